//! The CPU kernels: the inner loops of the networks, in f32 and in bf16 with f32 sums.
//!
//! candle's own convolution reaches a tenth of what a processor can do, so these are ours. This is the only module of the
//! crate with unsafe code; what it exports is safe, and each kernel is tested against a plain loop.
//!
//! Feature maps lie pixel by pixel, the channels of one pixel side by side (height, width, channels).
#![allow(unsafe_code)]

mod activate;
mod aligned;
mod attention;
mod conv;
mod depthwise;
mod element;
mod isa;
mod math;
mod matrix;
mod noise;
mod norm;
mod peak;
mod room;
mod shared;
mod simd;
mod tokens;

pub use activate::{Activation, activate};
pub use aligned::Aligned;
pub use attention::attention;
pub use conv::{After, Conv, Film, Place, Residual, Row, Source};
pub use depthwise::Depthwise;
pub use element::{Element, convert};
pub use isa::Isa;
pub use noise::gaussian_row;
pub use norm::{Moments, group_apply, group_norm, group_statistics, layer_norm, rms_norm};
pub use peak::peak;
pub use tokens::Tokens;
