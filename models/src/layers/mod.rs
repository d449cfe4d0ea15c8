//! The layers that the networks are put together from. Each reads its tensors from a safetensors file and checks their
//! shapes; activations are [`Map`]s. A layer computes with the kernels of this crate, in f32 or bf16, or with candle's own
//! operations on a device; what a network says is the same for all of them.

mod attention;
mod bands;
mod compute;
mod conv2d;
mod dense;
mod depthwise;
mod dilated;
mod embedding;
mod join;
mod low_rank;
mod map;
mod mosaic;
mod norm;
mod pixelwise;
mod region;
mod rows;
mod spatial;
mod upsample;
mod weights;
mod windows;

pub(crate) use attention::Attention;
pub(crate) use bands::{Band, Rolling, along};
pub use compute::{Compute, Precision};
pub(crate) use conv2d::{Conv2d, Then};
pub(crate) use dense::Dense;
pub(crate) use depthwise::Depthwise;
pub(crate) use embedding::Embedding;
pub(crate) use low_rank::{LowRank, Patches};
pub(crate) use map::{Map, Pool};
pub(crate) use mosaic::Mosaic;
pub(crate) use norm::{GroupNorm, LayerNorm, RmsNorm};
pub(crate) use pixelwise::sigmoid;
pub(crate) use region::{Region, Window};
pub(crate) use upsample::Upsample;
pub(crate) use weights::Weights;
pub(crate) use windows::{Windows, softmax};

/// `x * sigmoid(x)` in place.
pub(crate) fn silu(values: &mut [f32]) {
    crate::kernels::activate(values, crate::kernels::Activation::Silu);
}
