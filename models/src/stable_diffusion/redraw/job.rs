//! What is asked of redrawing.

use super::amount::Amount;
use super::denoise::Wishes;
use super::layout::{LATENT, Patch};
use crate::Result;

/// How the tiles of a picture belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tiling {
    /// One after the other, in two phases like the fields of a chequerboard. A change reaches the neighbours and no further.
    #[default]
    Independent,
    /// All at every step, averaged by a bell over each tile.
    Mixture,
    /// All at every step, averaged evenly.
    MultiDiffusion,
}

/// A part of the picture, in shares of its width and height.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Left edge, 0 to 1.
    pub left: f32,
    /// Upper edge, 0 to 1.
    pub top: f32,
    /// Right edge, 0 to 1.
    pub right: f32,
    /// Lower edge, 0 to 1.
    pub bottom: f32,
}

impl Place {
    /// The whole picture.
    pub const WHOLE: Self = Self { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 };

    fn holds(self, x: f32, y: f32) -> bool {
        (self.left..=self.right).contains(&x) && (self.top..=self.bottom).contains(&y)
    }
}

/// A picture to redraw, and how.
pub(super) struct Job<'a, T> {
    /// Three planes, 0 to 1.
    pub(super) rgb: &'a [f32],
    /// Pixels.
    pub(super) size: (usize, usize),
    pub(super) creativity: Amount<'a>,
    pub(super) resemblance: Amount<'a>,
    /// Strength of new detail, 0.5 is natural.
    pub(super) detail: Amount<'a>,
    /// Scale of the guidance at natural detail.
    pub(super) guidance: f32,
    /// Share of the noise that is drawn, where the rest is found by inversion.
    pub(super) renoise: Option<Amount<'a>>,
    pub(super) tiling: Tiling,
    /// Largest width and height of a tile, in latents.
    pub(super) tile: (usize, usize),
    /// Least overlap of tiles, in latents.
    pub(super) overlap: (usize, usize),
    /// What is wanted in parts of the picture; the last one that holds the middle of a tile counts, and the first holds all.
    pub(super) wanted: &'a [(Place, T)],
    /// What is not wanted.
    pub(super) unwanted: &'a T,
}

impl<T> Job<'_, T> {
    /// What is asked of each latent of a patch.
    pub(super) fn wishes(&self, patch: Patch) -> Result<Wishes> {
        let mut kept = self.creativity.latents(patch, self.size)?;
        kept.iter_mut().for_each(|value| *value = 1.0 - value.clamp(0.0, 1.0));
        let mut guidance = self.detail.latents(patch, self.size)?;
        for value in &mut guidance {
            *value = 1.0 + (self.guidance - 1.0) * (*value / 0.5).max(0.0);
        }
        let resemblance = self.resemblance.latents(patch, self.size)?;
        let renoise = self.renoise.map_or(Ok(vec![]), |renoise| renoise.latents(patch, self.size))?;
        Ok(Wishes { kept, resemblance, guidance, renoise })
    }

    /// Which of the wanted texts counts for a patch.
    pub(super) fn text(&self, patch: Patch) -> usize {
        let middle = |start: usize, length: usize, all: usize| {
            ((start as f32 + length as f32 / 2.0) * LATENT as f32 / all as f32).min(1.0)
        };
        let (x, y) = (middle(patch.x, patch.width, self.size.0), middle(patch.y, patch.height, self.size.1));
        self.wanted.iter().rposition(|(place, _)| place.holds(x, y)).unwrap_or(0)
    }
}
