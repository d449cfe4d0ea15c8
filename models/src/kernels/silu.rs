//! SiLU over a slice.

use super::Isa;
use super::simd::{self, Plain, Simd};

/// `x * sigmoid(x)` in place. Relative error below 1e-6 for x above -86; below, where the result is next to nothing, it is
/// off by at most 1e-37 * |x|. NaN stays NaN.
pub fn silu(values: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if Isa::detect() != Isa::Plain {
        // SAFETY: the processor has AVX2 and FMA, or `detect` had said so.
        unsafe { avx2(values) };
        return;
    }
    // SAFETY: needs no special instructions.
    unsafe { all::<Plain>(values) };
}

/// # Safety
/// The processor must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(values: &mut [f32]) {
    // SAFETY: the caller vouches for the instruction set.
    unsafe { all::<simd::Avx2>(values) }
}

/// # Safety
/// The processor must have the set of `V`.
#[inline(always)]
unsafe fn all<V: Simd>(values: &mut [f32]) {
    let mut chunks = values.chunks_exact_mut(V::LANES);
    // SAFETY: each chunk is one vector long, and 16 values are enough for any vector.
    unsafe {
        for chunk in &mut chunks {
            simd::silu(V::load(chunk.as_ptr())).store(chunk.as_mut_ptr());
        }
        let rest = chunks.into_remainder();
        let mut spare = [0.0f32; 16];
        spare[..rest.len()].copy_from_slice(rest);
        simd::silu(V::load(spare.as_ptr())).store(spare.as_mut_ptr());
        rest.copy_from_slice(&spare[..rest.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silu_is_close_for_all_magnitudes() {
        let inputs: Vec<f32> = (-85_000..=100_000).map(|i| i as f32 / 1_000.0).collect();
        let run = |f: fn(&mut [f32])| {
            let mut out = inputs.clone();
            f(&mut out);
            out
        };
        let plain = run(|values| {
            // SAFETY: needs no special instructions.
            unsafe { all::<Plain>(values) }
        });
        for (&x, (best, plain)) in inputs.iter().zip(run(silu).into_iter().zip(plain)) {
            let exact = f64::from(x) / (1.0 + f64::from(-x).exp());
            for found in [best, plain] {
                assert!((f64::from(found) - exact).abs() <= 1e-6 * exact.abs(), "silu({x}) = {found}, not {exact}");
            }
        }
    }

    #[test]
    fn silu_at_the_ends() {
        let mut values = [f32::NAN, -1e30, -1000.0, 0.0, 1e30, f32::MAX];
        silu(&mut values);
        assert!(values[0].is_nan());
        assert!(values[1].abs() < 1e-4 && values[2].abs() < 1e-30);
        assert_eq!(values[3..], [0.0, 1e30, f32::MAX]);
    }
}
