//! The vector operations the kernels are written in, one implementation per instruction set.
//!
//! Every f32 operation acts on each lane alone and is exactly rounded, so an f32 kernel gives the same bits on every set that
//! has a fused multiply-add, whatever the width of its vectors.

use half::bf16;

mod plain;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use plain::Plain;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

/// A vector of `LANES` f32.
///
/// # Safety
/// All functions may only run on a processor that has the implementation's instruction set. Inlined into a function
/// that enables that set, they become single instructions.
#[allow(unreachable_pub, reason = "it stands in the bounds of a public, sealed trait")]
pub trait Simd: Copy {
    /// Values per vector, at most 16.
    const LANES: usize;
    /// Vector registers.
    const REGISTERS: usize;

    /// Has a line of memory brought into the caches. Any address will do.
    unsafe fn prefetch(_address: *const u8) {}
    unsafe fn splat(value: f32) -> Self;
    /// # Safety
    /// `from` must be readable for `LANES` values.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// `to` must be writable for `LANES` values.
    unsafe fn store(self, to: *mut f32);
    /// Widens `LANES` values.
    /// # Safety
    /// `from` must be readable for `LANES` values.
    unsafe fn load_bf16(from: *const bf16) -> Self;
    /// Rounds to the nearest, half to even. NaN stays NaN; what is too small for a normal number may become 0.
    /// # Safety
    /// `to` must be writable for `LANES` values.
    unsafe fn store_bf16(self, to: *mut bf16);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// The quotient to 13 bits at least, which is more than a bf16 holds.
    #[inline(always)]
    unsafe fn div_roughly(self, other: Self) -> Self {
        // SAFETY: passed on from the caller.
        unsafe { self.div(other) }
    }
    /// `self * factor + addend`.
    unsafe fn fma(self, factor: Self, addend: Self) -> Self;
    /// The larger of `self` and `other`; `other` where `self` is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller of `self` and `other`; `other` where `self` is NaN.
    unsafe fn min(self, other: Self) -> Self;
    /// `self * 2^n`, n being the lowest bits of the bit pattern of `n`; the product must be a normal number.
    unsafe fn scale(self, n: Self) -> Self;

    /// The first values of pairs of bf16, widened; the bits of each lane are a pair, here and below.
    unsafe fn first(self) -> Self;
    /// The second values of pairs, widened.
    unsafe fn second(self) -> Self;
    /// Rounds `self` and `second` as `store_bf16` does, finite as they are, and stores pairs of their lanes.
    /// # Safety
    /// `to` must be writable for 2 * `LANES` values.
    #[inline(always)]
    unsafe fn store_pairs(self, second: Self, to: *mut bf16) {
        // SAFETY: passed on from the caller.
        unsafe { store_pairs(self, second, to) }
    }
    /// `self` plus, in each lane, the products of the first and of the second values of the pairs `a` and `b`.
    #[inline(always)]
    unsafe fn dot(self, a: Self, b: Self) -> Self {
        // SAFETY: passed on from the caller.
        unsafe { dot(self, a, b) }
    }
}

/// [`Simd::store_pairs`] where there is nothing better.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn store_pairs<V: Simd>(first: V, second: V, to: *mut bf16) {
    let mut halves = [[bf16::ZERO; 16]; 2];
    // SAFETY: 16 values are enough for any vector; the rest is passed on from the caller.
    unsafe {
        first.store_bf16(halves[0].as_mut_ptr());
        second.store_bf16(halves[1].as_mut_ptr());
        for (lane, (one, two)) in halves[0].into_iter().zip(halves[1]).enumerate().take(V::LANES) {
            to.cast::<[bf16; 2]>().add(lane).write_unaligned([one, two]);
        }
    }
}

/// [`Simd::dot`] where it is no instruction.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn dot<V: Simd>(sum: V, a: V, b: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe { a.second().fma(b.second(), a.first().fma(b.first(), sum)) }
}
