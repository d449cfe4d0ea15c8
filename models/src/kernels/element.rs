//! The numbers that maps and weights are made of.

use half::bf16;

use super::simd::Simd;

/// A number format of maps and packed weights: f32, or bf16 with sums in f32.
pub trait Element: sealed::Format {}

impl Element for f32 {}
impl Element for bf16 {}

pub(super) mod sealed {
    use super::Simd;

    /// What kernels need of a number format. One step of a product takes the 4 bytes of one lane: an f32, or two bf16.
    #[allow(unreachable_pub, reason = "it seals a public trait")]
    pub trait Format: bytemuck::Pod + Default + Send + Sync + 'static {
        /// Values of one lane and step.
        const PER_STEP: usize;

        /// How packed values are multiplied with others of the same format.
        type Alike: Multiply<Packed = Self, Input = Self>;
        /// How they are multiplied with values that have been widened.
        type Widened: Multiply<Packed = Self, Input = f32>;

        /// Rounds to the nearest.
        fn from_f32(value: f32) -> Self;
        /// Exact.
        fn to_f32(self) -> f32;
        /// A value of another format that this one can hold.
        fn exactly<E: Format>(value: E) -> Self;

        /// # Safety
        /// `from` must be readable for `V::LANES` values; the processor must have the set of `V` (here and below).
        unsafe fn load<V: Simd>(from: *const Self) -> V;
        /// # Safety
        /// `to` must be writable for `V::LANES` values.
        unsafe fn store<V: Simd>(value: V, to: *mut Self);
        /// Makes a step of each lane of `first`, and of `second` where a step is two values.
        ///
        /// # Safety
        /// `to` must be writable for `PER_STEP * V::LANES` values.
        unsafe fn store_step<V: Simd>(first: V, second: V, to: *mut Self);
    }

    /// A way to multiply a step of an input, the same for all lanes, with a step of packed values for each lane.
    #[allow(unreachable_pub, reason = "it stands in a sealed trait")]
    pub trait Multiply {
        type Input: Format;
        type Packed: Format;
        /// Parts of a step that are multiplied one after the other.
        const PARTS: usize;

        /// A part of a step of the input for all lanes.
        ///
        /// # Safety
        /// `from` must be readable for `PER_STEP` values of the packed format, `part` below `PARTS` (here and below).
        unsafe fn value<V: Simd>(from: *const Self::Input, part: usize) -> V;
        /// A part of a step of packed values.
        ///
        /// # Safety
        /// `from` must be readable for `PER_STEP * V::LANES` values.
        unsafe fn factor<V: Simd>(from: *const Self::Packed, part: usize) -> V;
        /// `sum` plus the products of both.
        ///
        /// # Safety
        /// See above.
        #[inline(always)]
        unsafe fn mac<V: Simd>(sum: V, value: V, factor: V) -> V {
            // SAFETY: passed on from the caller.
            unsafe { value.fma(factor, sum) }
        }
    }
}

pub(super) use sealed::Multiply;

/// f32 with f32.
#[allow(unreachable_pub, reason = "it stands in a sealed trait")]
pub struct Singles;

/// Pairs of bf16 with pairs of bf16.
#[allow(unreachable_pub, reason = "it stands in a sealed trait")]
pub struct Pairs;

/// f32 with the halves of pairs of bf16, widened in the registers: exact, at the speed of f32.
#[allow(unreachable_pub, reason = "it stands in a sealed trait")]
pub struct Halves;

// SAFETY (of all): passed on from the caller.
impl Multiply for Singles {
    type Input = f32;
    type Packed = f32;
    const PARTS: usize = 1;

    #[inline(always)]
    unsafe fn value<V: Simd>(from: *const f32, _part: usize) -> V {
        unsafe { V::splat(*from) }
    }
    #[inline(always)]
    unsafe fn factor<V: Simd>(from: *const f32, _part: usize) -> V {
        unsafe { V::load(from) }
    }
}

impl Multiply for Pairs {
    type Input = bf16;
    type Packed = bf16;
    const PARTS: usize = 1;

    #[inline(always)]
    unsafe fn value<V: Simd>(from: *const bf16, _part: usize) -> V {
        unsafe { V::splat(from.cast::<f32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn factor<V: Simd>(from: *const bf16, _part: usize) -> V {
        unsafe { V::load(from.cast()) }
    }
    #[inline(always)]
    unsafe fn mac<V: Simd>(sum: V, value: V, factor: V) -> V {
        unsafe { sum.dot(value, factor) }
    }
}

impl Multiply for Halves {
    type Input = f32;
    type Packed = bf16;
    const PARTS: usize = 2;

    #[inline(always)]
    unsafe fn value<V: Simd>(from: *const f32, part: usize) -> V {
        unsafe { V::splat(*from.add(part)) }
    }
    #[inline(always)]
    unsafe fn factor<V: Simd>(from: *const bf16, part: usize) -> V {
        unsafe {
            let pairs = V::load(from.cast());
            if part == 0 { pairs.first() } else { pairs.second() }
        }
    }
}

// SAFETY (of both): passed on from the caller.
impl sealed::Format for f32 {
    const PER_STEP: usize = 1;
    type Alike = Singles;
    type Widened = Singles;

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn exactly<E: sealed::Format>(value: E) -> Self {
        value.to_f32()
    }
    #[inline(always)]
    unsafe fn load<V: Simd>(from: *const Self) -> V {
        unsafe { V::load(from) }
    }
    #[inline(always)]
    unsafe fn store<V: Simd>(value: V, to: *mut Self) {
        unsafe { value.store(to) }
    }
    #[inline(always)]
    unsafe fn store_step<V: Simd>(first: V, _second: V, to: *mut Self) {
        unsafe { first.store(to) }
    }
}

impl sealed::Format for bf16 {
    const PER_STEP: usize = 2;
    type Alike = Pairs;
    type Widened = Halves;

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        Self::from_f32(value)
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        // The upper half of an f32. (The crate's own conversion looks for NaN first.)
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    #[inline(always)]
    fn exactly<E: sealed::Format>(value: E) -> Self {
        Self::from_bits((value.to_f32().to_bits() >> 16) as u16)
    }
    #[inline(always)]
    unsafe fn load<V: Simd>(from: *const Self) -> V {
        unsafe { V::load_bf16(from) }
    }
    #[inline(always)]
    unsafe fn store<V: Simd>(value: V, to: *mut Self) {
        unsafe { value.store_bf16(to) }
    }
    #[inline(always)]
    unsafe fn store_step<V: Simd>(first: V, second: V, to: *mut Self) {
        unsafe { first.store_pairs(second, to) }
    }
}

/// Converts between formats, rounding to the nearest.
///
/// # Panics
/// When the lengths differ.
pub fn convert<A: Element, B: Element>(from: &[A], to: &mut [B]) {
    assert_eq!(from.len(), to.len(), "a conversion keeps the length");
    super::Isa::detect().run(Convert { from, to });
}

pub(super) struct Convert<'a, A, B> {
    pub(super) from: &'a [A],
    pub(super) to: &'a mut [B],
}

impl<A: Element, B: Element> super::isa::Kernel for Convert<'_, A, B> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let whole = self.from.len() - self.from.len() % V::LANES;
        for at in (0..whole).step_by(V::LANES) {
            // SAFETY: a whole vector lies behind `at` in both, which are equally long.
            unsafe { B::store(A::load::<V>(self.from.as_ptr().add(at)), self.to.as_mut_ptr().add(at)) };
        }
        for (from, to) in self.from[whole..].iter().zip(&mut self.to[whole..]) {
            *to = B::from_f32(from.to_f32());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::isa::available;

    /// The crate `half` is the reference, for all that an f32 can be.
    #[test]
    fn rounding_is_to_the_nearest_on_every_set() {
        let from: Vec<f32> = (0..=u32::MAX).step_by(65_521).map(f32::from_bits).chain([f32::NAN, -f32::NAN]).collect();
        for isa in available() {
            let (mut halves, mut back) = (vec![bf16::ZERO; from.len()], vec![0.0f32; from.len()]);
            isa.run(Convert { from: &from, to: &mut halves[..] });
            isa.run(Convert { from: &halves, to: &mut back[..] });
            for ((from, half), back) in from.iter().zip(halves).zip(back) {
                let exact = bf16::from_f32(*from);
                let same = half == exact || (half.is_nan() && from.is_nan());
                let flushed = from.is_subnormal() && half == bf16::ZERO;
                assert!(same || flushed, "{isa:?}: {from} became {half}, not {exact}");
                assert!(back == half.to_f32() || (back.is_nan() && half.is_nan()), "{isa:?}: {back}");
            }
        }
    }
}
