//! Vectors for processors without an implementation of their own.

use half::bf16;

use super::Simd;

/// Eight values in an array. The compiler makes vectors of it where it can; on ARM, which always has NEON, these are two
/// registers of four.
#[derive(Clone, Copy)]
pub(in super::super) struct Plain([f32; 8]);

impl Plain {
    #[inline(always)]
    fn map2(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

// SAFETY (of the calls to these functions): only those that take a pointer can go wrong, and the caller promises that it is
// good for all values; the unaligned reads and writes ask for no more.
impl Simd for Plain {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 8])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const bf16) -> Self {
        let values = unsafe { from.cast::<[bf16; 8]>().read_unaligned() };
        Self(values.map(widen))
    }
    #[inline(always)]
    unsafe fn store_bf16(self, to: *mut bf16) {
        unsafe { to.cast::<[bf16; 8]>().write_unaligned(self.0.map(bf16::from_f32)) }
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

    #[inline(always)]
    unsafe fn first(self) -> Self {
        Self(self.0.map(|pair| f32::from_bits(pair.to_bits() << 16)))
    }
    #[inline(always)]
    unsafe fn second(self) -> Self {
        Self(self.0.map(|pair| f32::from_bits(pair.to_bits() & 0xffff_0000)))
    }
}

/// bf16 is the upper half of an f32. (The crate's own conversion looks for NaN first.)
#[inline(always)]
fn widen(value: bf16) -> f32 {
    f32::from_bits(u32::from(value.to_bits()) << 16)
}
