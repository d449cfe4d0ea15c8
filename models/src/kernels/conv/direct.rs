//! Convolution by its definition: the loops of one thread.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::finish::{Finish, Pixels};
use super::multiply::{Pace, Product};
use super::pack::{Block, Packed, Run};
use super::{Conv, Input};
use crate::kernels::Element;
use crate::kernels::isa::Kernel;
use crate::kernels::simd::Simd;

/// Most pixels of a job's block: their sums wait in memory while a piece of the weights is used.
pub(super) const PIXELS: usize = 192;

/// Room for the sums of a block of pixels: three vectors of 16 each.
#[repr(align(64))]
struct Sums {
    _values: [f32; PIXELS * 48],
}

/// A block of pixels and some blocks of channels, for one thread.
pub(super) struct Job<'a, E, O> {
    pub(super) conv: &'a Conv<E>,
    pub(super) packed: &'a Packed<E>,
    pub(super) input: Input<E>,
    pub(super) finish: Finish<'a, O>,
    pub(super) pieces: &'a [Vec<Run>],
    pub(super) blocks: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl<E: Element, O: Element> Kernel for Job<'_, E, O> {
    type Out = ();

    /// Relies on what `Conv::check` has made sure of.
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        for block in &self.packed.blocks[self.blocks.clone()] {
            // SAFETY: passed on from the caller; the weights are packed for vectors of `V::LANES`.
            unsafe {
                match block.vectors {
                    1 => self.block::<V, 1>(block),
                    2 => self.block::<V, 2>(block),
                    _ => self.block::<V, 3>(block),
                }
            }
        }
    }
}

impl<E: Element, O: Element> Job<'_, E, O> {
    /// All pixels of one block of channels.
    ///
    /// # Safety
    /// As `run`; `NV` must be the block's vectors.
    #[inline(always)]
    unsafe fn block<V: Simd, const NV: usize>(&self, block: &Block) {
        let mut sums = MaybeUninit::<Sums>::uninit();
        let sums: *mut f32 = sums.as_mut_ptr().cast();
        let (stride, source, width) = (self.conv.stride, &self.input, NV * V::LANES);
        let pace = Pace::new::<E>(width * E::PER_STEP, self.rows.len() * self.columns.len());
        let mut steps = 0;
        for (index, runs) in self.pieces.iter().enumerate() {
            let (first, last) = (index == 0, index + 1 == self.pieces.len());
            // With one piece no sums wait, and all tiles use the same few lines of the cache.
            let waiting = if self.pieces.len() > 1 { width } else { 0 };
            let mut pixel = 0;
            let length = runs.iter().map(|run| run.steps).sum::<usize>();
            let weights = self.packed.weights.as_ptr().wrapping_add(block.weights + steps * width * E::PER_STEP);
            // The next piece, or the next block, lies behind this one.
            let behind = weights.wrapping_add(length * width * E::PER_STEP).cast::<u8>();
            for y in self.rows.clone() {
                let mut x = self.columns.start;
                while x < self.columns.end {
                    // SAFETY: `check` has made sure that every patch of the place lies within the source; the weights hold NV
                    // vectors of steps per step of the patch and block, and the bias NV vectors. The block has at most
                    // `PIXELS` pixels, for which there are sums.
                    unsafe {
                        let sums = sums.add(pixel * waiting);
                        let (from, apart) = if first {
                            (self.packed.bias.as_ptr().add(block.bias), 0)
                        } else {
                            (sums.cast_const(), width)
                        };
                        let product = Product {
                            from,
                            apart,
                            sums,
                            input: source.data.add(source.start + (y * source.row + x * source.pixel) * stride),
                            runs,
                            step: stride * source.pixel,
                            weights,
                            next: behind.wrapping_add(pace.after(length, pixel)),
                            pace,
                        };
                        let count = product.some::<V, NV>(self.columns.end - x);
                        let at = Pixels { x, y, count };
                        if last && self.conv.gated {
                            self.finish.open_gates::<V>(block, at, sums, self.conv.channels_out);
                        } else if last {
                            self.finish.store::<V, NV>(block, at, sums);
                        }
                        x += count;
                        pixel += count;
                    }
                }
            }
            steps += length;
        }
    }
}
