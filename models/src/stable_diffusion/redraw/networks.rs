//! What redrawing asks of networks.

use super::layout::Patch;
use crate::Result;

/// How much of an adapter of two halves is in the network that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// All of it; networks without such an adapter know nothing else.
    Both,
    /// What is for the pixels, without what adds meaning.
    Pixels,
}

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
    fn predict(&self, latent: &[f32], at: (f32, Half), text: &Self::Text, seen: &Seen<'_, Self>) -> Result<Vec<f32>>
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

impl<N: Networks> Seen<'_, N> {
    /// What the network sees in a scaled latent with both texts, mixed by the guidance (Ho and Salimans 2022).
    pub(super) fn guided(&self, networks: &N, latent: &[f32], at: (f32, Half), guidance: &[f32]) -> Result<Vec<f32>> {
        let mut wanted = networks.predict(latent, at, self.texts.0, self)?;
        // At a scale of one the other answer would have no weight.
        if guidance.iter().any(|scale| *scale != 1.0) {
            let unwanted = networks.predict(latent, at, self.texts.1, self)?;
            let area = self.at.area();
            for (wanted, unwanted) in wanted.chunks_exact_mut(area).zip(unwanted.chunks_exact(area)) {
                for ((wanted, unwanted), scale) in wanted.iter_mut().zip(unwanted).zip(guidance) {
                    *wanted = unwanted + scale * (*wanted - unwanted);
                }
            }
        }
        Ok(wanted)
    }
}
