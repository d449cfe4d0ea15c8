//! Functions on vectors.

use super::simd::Simd;

/// `x * sigmoid(x)`. Relative error below 1e-6 for x above -86; below, where the result is next to nothing, it is off by at
/// most 1e-37 * |x|. NaN stays NaN.
///
/// # Safety
/// As for every function of `V`.
#[inline(always)]
pub(super) unsafe fn silu<V: Simd>(x: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        let one = V::splat(1.0);
        x.div(exp(V::splat(0.0).sub(x)).add(one))
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

/// 2^x for x up to 127, with a relative error below 2e-7. Exactly 1 at 0; exactly 0 below -127, and within 1e-38 of the truth
/// from there to -126. NaN stays NaN.
///
/// # Safety
/// As for every function of `V`.
#[inline(always)]
pub(super) unsafe fn exp2<V: Simd>(x: V) -> V {
    const ROUND: f32 = 12_582_912.0;
    // SAFETY: passed on from the caller.
    unsafe {
        // In this order NaN comes through.
        let x = V::splat(-127.0).max(x);
        let shifted = x.add(V::splat(ROUND));
        let r = x.sub(shifted.sub(V::splat(ROUND)));
        // The best polynomial that is 1 at 0: off by 1e-7 at most.
        let mut p = V::splat(1.326_472_7e-3);
        for c in [9.671_513e-3, 5.550_733_7e-2, 0.240_222_42, 0.693_147, 1.0] {
            p = p.fma(r, V::splat(c));
        }
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
pub(super) unsafe fn gelu<V: Simd>(x: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        let magnitude = x.max(zero.sub(x));
        let t = one.div(magnitude.fma(V::splat(0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2), one));
        let mut p = V::splat(1.061_405_4);
        for c in [-1.453_152, 1.421_413_7, -0.284_496_72, 0.254_829_6] {
            p = p.fma(t, V::splat(c));
        }
        // 1 - erf(|x| / sqrt 2)
        let tail = p.mul(t).mul(exp(x.mul(x).mul(V::splat(-0.5))));
        // x Phi(x) = max(x, 0) - |x| tail / 2
        magnitude.mul(tail).fma(V::splat(-0.5), x.max(zero))
    }
}

/// `x * sigmoid(1.702 x)`, the GELU of CLIP's text encoder.
///
/// # Safety
/// As for every function of `V`.
#[inline(always)]
pub(super) unsafe fn quick_gelu<V: Simd>(x: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe { x.div(exp(x.mul(V::splat(-1.702))).add(V::splat(1.0))) }
}
