//! The layers that the networks are put together from. Each reads its tensors from a safetensors file and checks their
//! shapes; activations are [`Map`]s.

mod conv2d;
mod linear;
mod map;
mod norm;
mod upsample;
mod weights;

pub(crate) use conv2d::{Conv2d, Then};
pub(crate) use linear::Linear;
pub(crate) use map::{Map, Pool, Region};
pub(crate) use norm::RmsNorm;
pub(crate) use upsample::Upsample;
pub(crate) use weights::Weights;

/// `x * sigmoid(x)` in place.
pub(crate) fn silu(values: &mut [f32]) {
    crate::kernels::activate(values, crate::kernels::Activation::Silu);
}
