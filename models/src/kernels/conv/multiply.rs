//! The product that all convolutions end in.

use super::pack::Run;
use crate::kernels::element::Multiply;
use crate::kernels::element::sealed::Format;
use crate::kernels::simd::Simd;

/// Sums of products: for some neighbouring pixels and the channels of one block, what lies in some runs of the input times the
/// packed weights.
pub(super) struct Product<'a, M: Multiply> {
    /// Where the sums start from, and how far it is from one pixel to the next there.
    pub(super) from: *const f32,
    pub(super) apart: usize,
    /// Where the sums go: `NV` vectors for each pixel, side by side.
    pub(super) sums: *mut f32,
    /// What of the input is multiplied, from the first pixel's value on, and how far it is to the next pixel.
    pub(super) input: *const M::Input,
    pub(super) runs: &'a [Run],
    pub(super) step: usize,
    /// For each step of the runs `NV` vectors.
    pub(super) weights: *const M::Packed,
    /// What is wanted next: it comes in from memory at this pace meanwhile.
    pub(super) next: *const u8,
    pub(super) pace: Pace,
}

/// How fast the weights that are wanted next come in while those of now stay in the cache: when all pixels are done, all of them are
/// there, so that nobody waits for memory where there are few pixels for many weights.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Bytes per step and pixel, times 2^16.
    bytes: usize,
}

impl Pace {
    /// For so many pixels that share weights of so many values a step.
    pub(super) fn new<E>(values: usize, pixels: usize) -> Self {
        Self { bytes: ((values * size_of::<E>()) << 16) / pixels }
    }

    /// Bytes that come in during so many steps of so many pixels.
    #[inline(always)]
    pub(super) fn after(self, steps: usize, pixels: usize) -> usize {
        (steps * pixels * self.bytes) >> 16
    }
}

/// Most pixels of a register tile: their sums, the weights of a step, as they come and a part of them, and one value have to fit
/// into the registers. A few sizes are enough, and all of them are even.
const fn tile_pixels(registers: usize, vectors: usize, parts: usize) -> usize {
    match (registers - (parts * vectors + 1)) / vectors {
        12.. => 12,
        8.. => 8,
        6.. => 6,
        4.. => 4,
        _ => 2,
    }
}

impl<M: Multiply> Product<'_, M> {
    /// Computes as many of the `left` pixels as fit into the registers; returns how many.
    ///
    /// # Safety
    /// What is read must be readable for `left` pixels and all runs, the sums writable for them; the processor must have the
    /// set of `V`.
    #[inline(always)]
    pub(super) unsafe fn some<V: Simd, const NV: usize>(self, left: usize) -> usize {
        let most = const { tile_pixels(V::REGISTERS, NV, M::PARTS) };
        // SAFETY: passed on from the caller.
        unsafe {
            // Sixteen are better shared out evenly.
            if const { tile_pixels(V::REGISTERS, NV, M::PARTS) >= 12 } && left >= most && left != 16 {
                self.pixels::<V, 12, NV>();
                12
            } else if const { tile_pixels(V::REGISTERS, NV, M::PARTS) >= 8 } && left >= 8 {
                self.pixels::<V, 8, NV>();
                8
            } else if const { tile_pixels(V::REGISTERS, NV, M::PARTS) == 6 } && left >= 6 {
                self.pixels::<V, 6, NV>();
                6
            } else if const { tile_pixels(V::REGISTERS, NV, M::PARTS) >= 4 } && left >= 4 {
                self.pixels::<V, 4, NV>();
                4
            } else if left >= 2 {
                self.pixels::<V, 2, NV>();
                2
            } else {
                self.pixels::<V, 1, NV>();
                1
            }
        }
    }

    /// Computes `P` pixels. All of the time goes here: sums and weights stay in registers, which is why the sums come and go
    /// through memory instead of in an array that someone could index. The loops run over constant ranges, as those are
    /// unrolled early; written with iterators, the sums end up on the stack and a third of the speed is left.
    ///
    /// # Safety
    /// As `some`, for `P` pixels.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    unsafe fn pixels<V: Simd, const P: usize, const NV: usize>(self) {
        let (line, width) = (NV * V::LANES * M::Packed::PER_STEP, NV * V::LANES);
        // SAFETY: the caller vouches for all that is read and written.
        unsafe {
            let mut sums = [[V::splat(0.0); NV]; P];
            for p in 0..P {
                for v in 0..NV {
                    sums[p][v] = V::load(self.from.add(p * self.apart + v * V::LANES));
                }
            }
            let mut w = self.weights;
            // Rather a little too much than too little.
            let (mut next, hop) = (self.next, self.pace.after(1, P) + 1);
            for run in self.runs {
                let mut from = self.input.add(run.offset);
                for _ in 0..run.steps {
                    V::prefetch(next);
                    next = next.wrapping_add(hop);
                    for part in 0..M::PARTS {
                        let mut factors = [V::splat(0.0); NV];
                        for v in 0..NV {
                            factors[v] = M::factor(w.add(v * V::LANES * M::Packed::PER_STEP), part);
                        }
                        for p in 0..P {
                            let value: V = M::value(from.add(p * self.step), part);
                            for v in 0..NV {
                                sums[p][v] = M::mac(sums[p][v], value, factors[v]);
                            }
                        }
                    }
                    from = from.add(M::Packed::PER_STEP);
                    w = w.add(line);
                }
            }
            for p in 0..P {
                for v in 0..NV {
                    sums[p][v].store(self.sums.add(p * width + v * V::LANES));
                }
            }
        }
    }
}
