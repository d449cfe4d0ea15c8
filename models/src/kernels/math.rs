//! Functions on vectors.

use super::Element;
use super::simd::Simd;

/// `x * sigmoid(x)`. Relative error below 1e-6 (3e-4 where the result is a bf16) for x above -86; below, where the result is next to
/// nothing, it is off by at most 1e-37 * |x|. NaN stays NaN.
///
/// # Safety
/// As for every function of `V`.
#[inline(always)]
pub(super) unsafe fn silu<V: Simd, O: Element>(x: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe { quotient::<V, O>(x, exp_as::<V, O>(V::splat(0.0).sub(x)).add(V::splat(1.0))) }
}

/// A quotient, as exactly as a result in `O` deserves.
///
/// # Safety
/// As for every function of `V`.
#[inline(always)]
unsafe fn quotient<V: Simd, O: Element>(a: V, b: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe { if O::PER_STEP == 1 { a.div(b) } else { a.div_roughly(b) } }
}

/// [`exp`], as exactly as a result in `O` deserves.
///
/// # Safety
/// As for every function of `V`.
#[inline(always)]
unsafe fn exp_as<V: Simd, O: Element>(x: V) -> V {
    // SAFETY: passed on from the caller. In this order NaN comes through.
    unsafe {
        if O::PER_STEP == 1 {
            exp(x)
        } else {
            exp2::<V, true>(V::splat(124.0).min(x.mul(V::splat(std::f32::consts::LOG2_E))))
        }
    }
}

/// e^x for x in -86..86; beyond, the value at the nearer end. After Cephes' `expf`.
///
/// # Safety
/// As for every function of `V`.
#[inline(always)]
pub(super) unsafe fn exp<V: Simd>(x: V) -> V {
    // Adding it leaves the nearest whole number in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // SAFETY: passed on from the caller.
    unsafe {
        let x = x.max(V::splat(-86.0)).min(V::splat(86.0));
        let shifted = x.fma(V::splat(std::f32::consts::LOG2_E), V::splat(ROUND));
        let n = shifted.sub(V::splat(ROUND));
        // ln 2 in two parts: the first is short enough for its product with n to be exact.
        let r = n.fma(V::splat(2.121_944_4e-4), n.fma(V::splat(-0.693_359_4), x));
        let mut p = V::splat(1.987_569_1e-4);
        for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5] {
            p = p.fma(r, V::splat(c));
        }
        p.fma(r.mul(r), r.add(V::splat(1.0))).scale(shifted)
    }
}

/// 2^x for x up to 127, with a relative error below 2e-7, or 2e-4 where it may be `ROUGH`. Exactly 1 at 0; exactly 0 below -127,
/// and within 1e-38 of the truth from there to -126. NaN stays NaN.
///
/// # Safety
/// As for every function of `V`.
#[inline(always)]
pub(super) unsafe fn exp2<V: Simd, const ROUGH: bool>(x: V) -> V {
    const ROUND: f32 = 12_582_912.0;
    // The best polynomials that start like 2^x itself, which is what makes 0 and -127 exact.
    const FINE: [f32; 4] = [1.330_026_4e-3, 9.669_708e-3, 5.550_56e-2, 0.240_222_82];
    const COARSE: [f32; 2] = [5.549_127e-2, 0.242_119_99];
    // SAFETY: passed on from the caller.
    unsafe {
        // In this order NaN comes through.
        let x = V::splat(-127.0).max(x);
        let shifted = x.add(V::splat(ROUND));
        let r = x.sub(shifted.sub(V::splat(ROUND)));
        let coefficients: &[f32] = if ROUGH { &COARSE } else { &FINE };
        let mut p = V::splat(coefficients[0]);
        for c in &coefficients[1..] {
            p = p.fma(r, V::splat(*c));
        }
        let p = p.fma(r, V::splat(std::f32::consts::LN_2)).fma(r, V::splat(1.0));
        // At -127 this takes the exponent of 1 away and leaves a zero.
        p.scale(shifted)
    }
}

/// `x * Phi(x)`, the exact GELU (Hendrycks and Gimpel 2016): the error function is that of Abramowitz and Stegun 7.1.26, with
/// an absolute error below 2e-7 * |x|. NaN stays NaN.
///
/// # Safety
/// As for every function of `V`.
#[inline(always)]
pub(super) unsafe fn gelu<V: Simd, O: Element>(x: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let magnitude = x.max(zero.sub(x));
        let t = quotient::<V, O>(one, magnitude.fma(V::splat(0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2), one));
        let mut p = V::splat(1.061_405_4);
        for c in [-1.453_152, 1.421_413_7, -0.284_496_72, 0.254_829_6] {
            p = p.fma(t, V::splat(c));
        }
        // 1 - erf(|x| / sqrt 2)
        let tail = p.mul(t).mul(exp_as::<V, O>(x.mul(x).mul(V::splat(-0.5))));
        // x Phi(x) = max(x, 0) - |x| tail / 2
        magnitude.mul(tail).fma(V::splat(-0.5), x.max(zero))
    }
}

/// `x * sigmoid(1.702 x)`, the GELU of CLIP's text encoder.
///
/// # Safety
/// As for every function of `V`.
#[inline(always)]
pub(super) unsafe fn quick_gelu<V: Simd, O: Element>(x: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe { quotient::<V, O>(x, exp_as::<V, O>(x.mul(V::splat(-1.702))).add(V::splat(1.0))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::isa::{Kernel, available};

    struct Exp2<'a, const ROUGH: bool>(&'a mut [f32; 16]);

    impl<const ROUGH: bool> Kernel for Exp2<'_, ROUGH> {
        type Out = ();

        #[inline(always)]
        unsafe fn run<V: Simd>(self) {
            for at in (0..16).step_by(V::LANES) {
                // SAFETY: 16 values are one or two vectors.
                unsafe {
                    let at = self.0.as_mut_ptr().add(at);
                    exp2::<V, ROUGH>(V::load(at)).store(at);
                }
            }
        }
    }

    #[test]
    fn powers_of_two() {
        for isa in available() {
            for first in (-126_000..=127_000 - 16).step_by(16) {
                let x: [f32; 16] = std::array::from_fn(|i| (first + i as i32) as f32 / 1000.0);
                let (mut fine, mut rough) = (x, x);
                isa.run(Exp2::<false>(&mut fine));
                isa.run(Exp2::<true>(&mut rough));
                for ((x, fine), rough) in x.into_iter().zip(fine).zip(rough) {
                    let exact = f64::from(x).exp2();
                    assert!((f64::from(fine) - exact).abs() <= 2e-7 * exact, "{isa:?} 2^{x} = {fine}");
                    assert!((f64::from(rough) - exact).abs() <= 2e-4 * exact, "{isa:?} 2^{x} = {rough}");
                }
            }
            let mut x = [0.0; 16];
            x[..8].copy_from_slice(&[0.0, -0.0, -127.0, -1e38, f32::NEG_INFINITY, f32::NAN, -126.5, -126.9]);
            isa.run(Exp2::<false>(&mut x));
            assert_eq!(x[..5], [1.0, 1.0, 0.0, 0.0, 0.0]);
            assert!(x[5].is_nan() && x[6..8].iter().all(|x| (0.0..2e-38).contains(x)), "{isa:?} {x:?}");
        }
    }
}
