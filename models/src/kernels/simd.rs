//! The vector operations the kernels are written in, one implementation per instruction set.
//!
//! Every operation acts on each lane alone and is exactly rounded, so a kernel gives the same bits on every set that has
//! a fused multiply-add, whatever the width of its vectors.

/// A vector of `LANES` f32.
///
/// # Safety
/// All functions may only run on a processor that has the implementation's instruction set. Inlined into a function
/// that enables that set, they become single instructions.
pub(super) trait Simd: Copy {
    /// Values per vector.
    const LANES: usize;
    /// Pixels per register tile when each pixel takes two vectors, chosen so that the sums stay in registers.
    const PIXELS: usize;

    unsafe fn splat(value: f32) -> Self;
    /// # Safety
    /// `from` must be readable for `LANES` values.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// `to` must be writable for `LANES` values.
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// `self * factor + addend`.
    unsafe fn fma(self, factor: Self, addend: Self) -> Self;
    /// The larger of `self` and `other`; `other` where `self` is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller of `self` and `other`; `other` where `self` is NaN.
    unsafe fn min(self, other: Self) -> Self;
    /// `self * 2^n`, n being the lowest bits of the bit pattern of `n`; the product must be a normal number.
    unsafe fn scale(self, n: Self) -> Self;
}

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

/// e^x for x in -86..86; beyond, the value at the nearer end, which is all that a sigmoid needs. After Cephes' `expf`.
///
/// # Safety
/// As for every function of `V`.
#[inline(always)]
unsafe fn exp<V: Simd>(x: V) -> V {
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

/// Eight values in an array: for processors without an implementation of their own. The compiler makes vectors of it
/// where it can.
#[derive(Clone, Copy)]
pub(super) struct Plain([f32; 8]);

impl Plain {
    #[inline(always)]
    fn map2(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

// SAFETY (of the calls to these functions): only `load` and `store` can go wrong, by their pointers.
impl Simd for Plain {
    const LANES: usize = 8;
    const PIXELS: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 8])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises eight readable values; an unaligned read asks for no more.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises eight writable values.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.map2(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.map2(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.map2(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.map2(other, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn fma(self, factor: Self, addend: Self) -> Self {
        // Without the instruction, `mul_add` is a slow call into the C library.
        let one = |a: f32, b: f32, c: f32| {
            if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, c) } else { a * b + c }
        };
        Self(std::array::from_fn(|i| one(self.0[i], factor.0[i], addend.0[i])))
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.map2(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.map2(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        self.map2(n, |a, n| f32::from_bits(a.to_bits().wrapping_add(n.to_bits() << 23)))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Simd;

    /// 256-bit vectors: AVX2 and FMA.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256);

    /// 512-bit vectors: AVX-512F.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(__m512);

    macro_rules! implement {
        ($name:ident, lanes $lanes:literal, pixels $pixels:literal, $splat:ident, $load:ident, $store:ident, $add:ident,
         $sub:ident, $mul:ident, $div:ident, $fma:ident, $max:ident, $min:ident, $bits:ident, $value:ident, $shift:ident, $sum:ident) => {
            // SAFETY (of every block): the caller promises the instruction set and, where there is a pointer, that it is
            // good for a whole vector; the unaligned loads and stores ask for no more.
            impl Simd for $name {
                const LANES: usize = $lanes;
                const PIXELS: usize = $pixels;

                #[inline(always)]
                unsafe fn splat(value: f32) -> Self {
                    unsafe { Self($splat(value)) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> Self {
                    unsafe { Self($load(from)) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    unsafe { $store(to, self.0) }
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    unsafe { Self($add(self.0, other.0)) }
                }
                #[inline(always)]
                unsafe fn sub(self, other: Self) -> Self {
                    unsafe { Self($sub(self.0, other.0)) }
                }
                #[inline(always)]
                unsafe fn mul(self, other: Self) -> Self {
                    unsafe { Self($mul(self.0, other.0)) }
                }
                #[inline(always)]
                unsafe fn div(self, other: Self) -> Self {
                    unsafe { Self($div(self.0, other.0)) }
                }
                #[inline(always)]
                unsafe fn fma(self, factor: Self, addend: Self) -> Self {
                    unsafe { Self($fma(self.0, factor.0, addend.0)) }
                }
                #[inline(always)]
                unsafe fn max(self, other: Self) -> Self {
                    unsafe { Self($max(self.0, other.0)) }
                }
                #[inline(always)]
                unsafe fn min(self, other: Self) -> Self {
                    unsafe { Self($min(self.0, other.0)) }
                }
                #[inline(always)]
                unsafe fn scale(self, n: Self) -> Self {
                    unsafe { Self($value($sum($bits(self.0), $shift::<23>($bits(n.0))))) }
                }
            }
        };
    }

    // 6 x 2 sums and 3 operands fill 15 of 16 registers.
    implement!(
        Avx2, lanes 8, pixels 6, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_sub_ps,
        _mm256_mul_ps, _mm256_div_ps, _mm256_fmadd_ps, _mm256_max_ps, _mm256_min_ps, _mm256_castps_si256,
        _mm256_castsi256_ps, _mm256_slli_epi32, _mm256_add_epi32
    );
    // 12 x 2 sums and 3 operands fill 27 of 32 registers.
    implement!(
        Avx512, lanes 16, pixels 12, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_sub_ps,
        _mm512_mul_ps, _mm512_div_ps, _mm512_fmadd_ps, _mm512_max_ps, _mm512_min_ps, _mm512_castps_si512,
        _mm512_castsi512_ps, _mm512_slli_epi32, _mm512_add_epi32
    );
}
