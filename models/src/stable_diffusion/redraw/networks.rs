//! What redrawing asks of networks.

use super::layout::Patch;
use crate::Result;

/// The networks of a checkpoint, as redrawing sees them.
pub(super) trait Networks {
    /// A text in vectors.
    type Text;
    /// A picture whose structure is to be kept, ready to be looked at in every step.
    type Hint;

    /// The latent of three planes (0 to 1) of so many pixels, of deviation one.
    fn encode(&self, rgb: &[f32], size: (usize, usize)) -> Result<Vec<f32>>;

    /// Takes [`encode`](Self::encode) back; the size is that of the latent.
    fn decode(&self, latent: &[f32], size: (usize, usize)) -> Result<Vec<f32>>;

    /// Looks at the structure of three planes (0 to 1) of so many pixels.
    fn hint(&self, rgb: &[f32], size: (usize, usize)) -> Result<Self::Hint>;

    /// What the network sees in a scaled latent at a time.
    fn predict(&self, latent: &[f32], time: f32, text: &Self::Text, seen: &Seen<'_, Self>) -> Result<Vec<f32>>
    where
        Self: Sized;
}

/// What is the same in all steps over a patch.
pub(super) struct Seen<'a, N: Networks> {
    pub(super) at: Patch,
    /// What is wanted, and what is not.
    pub(super) texts: (&'a N::Text, &'a N::Text),
    pub(super) hint: &'a N::Hint,
    /// How strictly the structure is kept, for each latent.
    pub(super) resemblance: &'a [f32],
}
