//! Redrawing a picture by Stable Diffusion, in tiles, as much as is wanted at each place.
//!
//! | file | what |
//! |---|---|
//! | `layout` | where tiles lie, and how they fade into each other |
//! | `amount` | creativity, resemblance and detail over the picture, and over latents |
//! | `course` | the way of a latent to an answer, of either kind |
//! | `denoise` | the steps from noise to a latent: differential diffusion |
//! | `inversion` | the noise that leads back to a picture |
//! | `one_step` | from the latent of a damaged picture to that of a good one at once |
//! | `tiles` | tiles one by one, or all at every step |
//! | `networks` | what is asked of networks, and guidance; `painter` is those of a checkpoint |

mod amount;
mod canvas;
mod course;
mod denoise;
mod inversion;
mod job;
mod layout;
mod networks;
mod one_step;
mod painter;
#[cfg(test)]
mod tests;
mod tiles;

pub use amount::Amount;
pub use inversion::Inversion;
pub use job::{Place, Tiling};
pub use layout::Patch;
pub use painter::{Materials, Painter, Redrawing, Way, tiles_of};

use crate::{Result, Watch};
use denoise::Wishes;

/// Where tiles are drawn on: it hears of their progress, and may know a tile already.
pub trait Easel {
    /// Gives the three planes of a tile. `redraw` makes them, and says how far it is.
    ///
    /// # Errors
    /// What `redraw` failed with.
    fn tile(
        &mut self,
        sight: &Sight<'_>,
        redraw: &mut dyn FnMut(&mut dyn Watch) -> Result<Vec<f32>>,
    ) -> Result<Vec<f32>>;
}

impl<W: Watch> Easel for W {
    fn tile(
        &mut self,
        _sight: &Sight<'_>,
        redraw: &mut dyn FnMut(&mut dyn Watch) -> Result<Vec<f32>>,
    ) -> Result<Vec<f32>> {
        redraw(self)
    }
}

/// All that a tile is made from, but for what is the same for the whole run.
pub struct Sight<'a> {
    at: Patch,
    part: (usize, usize),
    context: &'a [f32],
    original: &'a [f32],
    wishes: &'a Wishes,
    text: usize,
}

impl Sight<'_> {
    /// Where it lies, in pixels.
    pub fn pixels(&self) -> Patch {
        self.at.pixels()
    }

    /// How many tiles are done before it, and how many there are.
    pub fn part(&self) -> (usize, usize) {
        self.part
    }

    /// Which of the texts counts.
    pub fn text(&self) -> usize {
        self.text
    }

    /// Three planes of what is redrawn, three of what was there at first, and what is asked of each latent.
    pub fn values(&self) -> [&[f32]; 6] {
        let Wishes { kept, resemblance, guidance, renoise } = self.wishes;
        [self.context, self.original, kept, resemblance, guidance, renoise]
    }
}
