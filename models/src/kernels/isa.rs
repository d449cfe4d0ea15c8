//! The instruction sets, and how a kernel comes to run on the best one.

use std::sync::OnceLock;

use super::Element;
use super::simd::{self, Simd};

/// The instruction sets that the kernels know, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// 512-bit vectors, and a unit that multiplies matrices of bf16 sixteen times as fast.
    Amx,
    /// 512-bit vectors with dot products of bf16 pairs at twice the rate of f32.
    Avx512Bf16,
    /// 512-bit vectors.
    Avx512,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// What every 64-bit ARM processor has; the compiler makes it of the plain code.
    Neon,
    /// Whatever the compiler makes of plain code.
    Plain,
}

/// The environment variable that picks the set.
const VARIABLE: &str = "UPWEAVE_ISA";

impl Isa {
    /// All sets, the best first.
    pub const ALL: [Self; 6] = [Self::Amx, Self::Avx512Bf16, Self::Avx512, Self::Avx2, Self::Neon, Self::Plain];

    /// The set that is used: what `UPWEAVE_ISA` asks for, where this processor has it, or else the best one.
    pub fn detect() -> Self {
        static USED: OnceLock<Isa> = OnceLock::new();
        *USED.get_or_init(|| Self::asked().ok().flatten().unwrap_or_else(Self::best))
    }

    /// What `UPWEAVE_ISA` asks for.
    ///
    /// # Errors
    /// When it names no set, or one that this processor lacks: the message for the user.
    pub fn asked() -> Result<Option<Self>, String> {
        let Some(name) = std::env::var_os(VARIABLE) else { return Ok(None) };
        let isa = Self::ALL.into_iter().find(|isa| name.to_str() == Some(isa.name()));
        let names =
            || Self::ALL.into_iter().filter(|isa| isa.available()).map(Self::name).collect::<Vec<_>>().join("`, `");
        match isa {
            Some(isa) if isa.available() => Ok(Some(isa)),
            Some(_) => Err(format!("`{VARIABLE}`: this processor has no {}; it has `{}`", name.display(), names())),
            None => Err(format!("`{VARIABLE}` cannot be `{}`; this processor has `{}`", name.display(), names())),
        }
    }

    fn best() -> Self {
        Self::ALL.into_iter().find(|isa| isa.available() && isa.pays()).unwrap_or(Self::Plain)
    }

    /// Whether the set is the best where the processor has it. Intel's processors have dot products of bf16 at half the rate of f32
    /// (measured on model 207: 247 of 485 GFLOP/s); for bf16 they have the matrix unit.
    fn pays(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Avx512Bf16 {
            let maker = std::arch::x86_64::__cpuid(0);
            return [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes).concat() != *b"GenuineIntel";
        }
        true
    }

    /// Its name in `UPWEAVE_ISA`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amx => "amx",
            Self::Avx512Bf16 => "avx512bf16",
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Plain => "plain",
        }
    }

    /// Whether this processor has the set.
    pub fn available(self) -> bool {
        match self {
            Self::Plain => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Self::Avx2.available() && is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => Self::Avx512.available() && is_x86_feature_detected!("avx512bf16"),
            Self::Amx => Self::Avx512Bf16.available() && super::matrix::available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 | Self::Avx512Bf16 => false,
        }
    }

    /// Whether bf16 numbers are multiplied at twice the rate of f32 or more, so that they pay.
    pub fn has_bf16(self) -> bool {
        matches!(self, Self::Amx | Self::Avx512Bf16)
    }

    /// Whether these numbers are widened to be multiplied as f32.
    pub(super) fn widens<E: Element>(self) -> bool {
        E::PER_STEP == 2 && !self.has_bf16()
    }

    /// Whether products of these numbers are those of the matrix unit.
    pub(super) fn has_tiles<E: Element>(self) -> bool {
        self == Self::Amx && E::PER_STEP == 2
    }

    /// Runs a kernel, compiled for this set.
    ///
    /// # Panics
    /// When the processor lacks the set.
    #[inline]
    pub(super) fn run<K: Kernel>(self, kernel: K) -> K::Out {
        assert!(self.available(), "the processor has no {self:?}");
        match self {
            // SAFETY (of all): `available` has just looked; `Plain` needs no special instructions.
            #[cfg(target_arch = "x86_64")]
            Self::Amx | Self::Avx512Bf16 => unsafe { avx512bf16(kernel) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512(kernel) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2(kernel) },
            _ => unsafe { kernel.run::<simd::Plain>() },
        }
    }

    /// f32 values per vector.
    pub(super) fn lanes(self) -> usize {
        match self {
            Self::Amx | Self::Avx512Bf16 | Self::Avx512 => 16,
            Self::Avx2 | Self::Neon | Self::Plain => 8,
        }
    }
}

/// A piece of work that is written once for all vectors.
pub(super) trait Kernel {
    type Out;

    /// Does the work. Implementations are `#[inline(always)]`, or else they are not compiled for the set; the same holds for
    /// all that they call, and for closures, which is why threads are shared out around kernels and never in them.
    ///
    /// # Safety
    /// The processor must have the instruction set of `V`.
    unsafe fn run<V: Simd>(self) -> Self::Out;
}

/// # Safety
/// The processor must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<K: Kernel>(kernel: K) -> K::Out {
    // SAFETY: the caller vouches for the instruction set.
    unsafe { kernel.run::<simd::Avx2>() }
}

/// # Safety
/// The processor must have AVX-512F, AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn avx512<K: Kernel>(kernel: K) -> K::Out {
    // SAFETY: the caller vouches for the instruction set.
    unsafe { kernel.run::<simd::Avx512<false>>() }
}

/// # Safety
/// The processor must have AVX512-BF16, AVX-512F, AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
unsafe fn avx512bf16<K: Kernel>(kernel: K) -> K::Out {
    // SAFETY: the caller vouches for the instruction set.
    unsafe { kernel.run::<simd::Avx512<true>>() }
}

/// All sets of this processor, for tests.
#[cfg(test)]
pub(super) fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.available())
}
