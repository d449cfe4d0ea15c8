//! What every model that invents detail has in common.

use crate::{Card, Picture, Result, Sampling, Watch};

/// A model that invents detail for a picture.
pub trait Backbone: Send + Sync {
    /// Samples the residual that turns the condition into a plausible original: three planes of the condition's size, of
    /// which the caller adds as much as is wanted. Same condition, same sampling, same bits.
    ///
    /// # Errors
    /// A picture or setting out of range, too little memory, or what `watch` stopped with.
    fn sample(&self, condition: Picture<'_>, sampling: &Sampling, watch: &mut dyn Watch) -> Result<Vec<f32>>;

    /// blake3 of the model file.
    fn digest(&self) -> [u8; 32];

    /// Name, size and licence.
    fn card(&self) -> &Card;

    /// How far a pixel looks in one step.
    fn radius(&self) -> u32;

    /// Floating-point operations per pixel of the condition and sampling step, to predict the time of a run.
    fn flops_per_pixel(&self) -> f64;
}
