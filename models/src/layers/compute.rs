//! On what, and how exactly, a network computes.

use candle_core::{DType, Device};

use crate::{gpu, kernels::Isa};

/// The numbers that feature maps and weights are made of. Sums are f32 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// The upper half of an f32: half the memory and, where the processor is made to multiply pairs of it, twice the speed.
    Bf16,
}

impl Precision {
    /// What is fastest on this machine. Of graphics processors it is not known: not all of them have narrow numbers.
    pub fn fastest() -> Self {
        if !gpu::is_chosen() && Isa::detect().has_bf16() { Self::Bf16 } else { Self::F32 }
    }

    /// What networks with gigabytes of weights run in on this machine: half the memory, at about the speed of f32 where numbers are
    /// widened (a U-Net took 3 % longer with AVX2, and 3 to 10 % less with AVX-512).
    pub fn leanest() -> Self {
        if gpu::is_chosen() { Self::F32 } else { Self::Bf16 }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => size_of::<f32>(),
            Self::Bf16 => size_of::<half::bf16>(),
        }
    }
}

/// On what, and how exactly, a network computes.
#[derive(Clone, Debug)]
pub enum Compute {
    /// On the processor, with the kernels of this crate.
    Cpu {
        /// The instruction set.
        isa: Isa,
        /// The numbers of maps and weights.
        precision: Precision,
    },
    /// On a device of candle's, with candle's operations. The processor is one too, which is what the tests compare with.
    Candle {
        /// The device.
        device: Device,
        /// The numbers of maps and weights.
        dtype: DType,
    },
}

impl Compute {
    /// The processor with its best instruction set.
    pub fn cpu(precision: Precision) -> Self {
        Self::Cpu { isa: Isa::detect(), precision }
    }

    /// The instruction set of what runs on the processor.
    pub(crate) fn isa(&self) -> Isa {
        match self {
            Self::Cpu { isa, .. } => *isa,
            Self::Candle { .. } => Isa::detect(),
        }
    }

    /// Names what may change the last bits of a result: results of the same family are equal.
    pub fn family(&self) -> String {
        match self {
            Self::Cpu { isa, precision } => format!("cpu-{}-{}", isa.name(), precision.name()),
            Self::Candle { device, dtype } => format!("{:?}-{}", device.location(), dtype.as_str()),
        }
    }
}

impl Default for Compute {
    fn default() -> Self {
        Self::cpu(Precision::F32)
    }
}
