//! Algorithms on planes of samples that several nodes share: plain functions, no wires, no parameters of nodes.

pub(crate) mod blur;
pub(crate) mod colour;
pub(crate) mod feather;
pub(crate) mod gaussian;
pub(crate) mod lettering;
pub(crate) mod resample;
pub(crate) mod spread;
pub(crate) mod stretch;

use engine::{Blame, Failure, NodeResult};

/// A sample within 0 to 1; what is no number becomes 0.
pub(crate) fn unit(v: f32) -> f32 {
    // Unlike `clamp`, which keeps NaN.
    if v > 0.0 { v.min(1.0) } else { 0.0 }
}

/// Room for `length` samples.
///
/// # Errors
/// [`Blame::Memory`] when there is not that much memory. (Linux may promise more than it has; then the plan's
/// prediction is what protects the person.)
pub(crate) fn room(length: usize) -> NodeResult<Vec<f32>> {
    let mut samples = Vec::new();
    samples.try_reserve_exact(length).map_err(|_| {
        let mib = length as f64 * 4.0 / f64::from(1 << 20);
        Failure::new(Blame::Memory, format!("there is no memory for {mib:.0} MiB of samples"))
            .hint("make a smaller picture, or close other programs")
    })?;
    Ok(samples)
}

/// `length` samples of zero.
///
/// # Errors
/// Those of [`room`].
pub(crate) fn zeros(length: usize) -> NodeResult<Vec<f32>> {
    let mut samples = room(length)?;
    samples.resize(length, 0.0);
    Ok(samples)
}
