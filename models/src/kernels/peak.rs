//! The limit that kernels are measured against.

use std::hint::black_box;
use std::time::Instant;

use super::Isa;
use super::simd::{self, Simd};

/// Fused multiply-adds per vector and measurement.
const ROUNDS: u32 = 200_000;

/// What this processor's vector units can do at most: floating-point operations per second of one thread, measured with
/// sums that never leave their registers. Takes some milliseconds.
pub fn peak() -> f64 {
    let once = |_| {
        let start = Instant::now();
        let flops = match Isa::detect() {
            Isa::Plain => {
                // SAFETY: needs no special instructions.
                unsafe { rounds::<simd::Plain>() }
            }
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has the set.
            Isa::Avx2 => unsafe { avx2() },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has the set.
            Isa::Avx512 => unsafe { avx512() },
            #[cfg(not(target_arch = "x86_64"))]
            // SAFETY: needs no special instructions.
            _ => unsafe { rounds::<simd::Plain>() },
        };
        flops / start.elapsed().as_secs_f64()
    };
    (0..20).map(once).fold(0.0, f64::max)
}

/// # Safety
/// The processor must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2() -> f64 {
    // SAFETY: the caller vouches for the instruction set.
    unsafe { rounds::<simd::Avx2>() }
}

/// # Safety
/// The processor must have AVX-512F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512() -> f64 {
    // SAFETY: the caller vouches for the instruction set.
    unsafe { rounds::<simd::Avx512>() }
}

/// Returns the operations done.
///
/// # Safety
/// The processor must have the set of `V`.
#[inline(always)]
unsafe fn rounds<V: Simd>() -> f64 {
    // Ten chains hide the latency of every processor's two units.
    const CHAINS: usize = 10;
    // SAFETY: passed on from the caller; 16 values are enough for any vector.
    unsafe {
        let (factor, addend) = (V::splat(black_box(0.999)), V::splat(black_box(0.001)));
        let mut sums = [V::splat(black_box(1.0)); CHAINS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = sum.fma(factor, addend);
            }
        }
        let mut out = [0.0f32; 16];
        for sum in sums {
            sum.store(out.as_mut_ptr());
            black_box(&out);
        }
    }
    2.0 * f64::from(ROUNDS) * CHAINS as f64 * V::LANES as f64
}
