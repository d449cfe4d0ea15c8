//! The CPU kernels: the inner loops of the networks, in f32.
//!
//! candle's own convolution reaches a tenth of what a processor can do, so these are ours. This is the only module of the
//! crate with unsafe code; what it exports is safe, and each kernel is tested against a plain loop.
//!
//! Feature maps lie pixel by pixel, the channels of one pixel side by side (height, width, channels).
#![allow(unsafe_code)]

mod conv;
mod norm;
mod silu;
mod simd;

pub use conv::{After, Conv, Place, Source};
pub use norm::rms_norm;
pub use silu::silu;

/// The instruction sets that the kernels know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// 512-bit vectors.
    Avx512,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// Whatever the compiler makes of plain code.
    Plain,
}

impl Isa {
    /// The best set of this processor.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Plain
    }

    /// Whether this processor has the set.
    pub fn available(self) -> bool {
        match self {
            Self::Plain => true,
            Self::Avx2 => Self::detect() != Self::Plain,
            Self::Avx512 => Self::detect() == Self::Avx512,
        }
    }
}
