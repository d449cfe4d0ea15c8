//! Algorithms on planes of samples that several nodes share: plain functions, no wires, no parameters of nodes.

pub(crate) mod feather;
pub(crate) mod resample;

use engine::{Blame, Failure, NodeResult};

/// Room for `length` samples.
///
/// # Errors
/// [`Blame::Resource`] when there is not that much memory. (Linux may promise more than it has; then the plan's
/// prediction is what protects the person.)
pub(crate) fn room(length: usize) -> NodeResult<Vec<f32>> {
    let mut samples = Vec::new();
    samples.try_reserve_exact(length).map_err(|_| {
        let mib = length as f64 * 4.0 / f64::from(1 << 20);
        Failure::new(Blame::Resource, format!("there is no memory for {mib:.0} MiB of samples"))
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
