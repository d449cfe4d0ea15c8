//! Convolution by its definition: the loops of one thread.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::finish::{Finish, Pixels};
use super::multiply::{Pace, Product};
use super::pack::{Block, Packed, Run};
use super::{Conv, Input};
use crate::kernels::Element;
use crate::kernels::element::{Convert, Multiply};
use crate::kernels::isa::Kernel;
use crate::kernels::room::with_room;
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
    /// Values of a row of the input that has been widened.
    pub(super) wide: usize,
    pub(super) blocks: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) rows: Range<usize>,
}

/// Values of a row of widened input that so many columns of the output need.
pub(super) fn wide_row<E>(conv: &Conv<E>, columns: usize) -> usize {
    ((columns - 1) * conv.stride + conv.kernel) * conv.channels_in
}

impl<E: Element, O: Element> Job<'_, E, O> {
    /// Does the work.
    pub(super) fn start(self) {
        let isa = self.conv.isa;
        if isa.widens::<E>() {
            let rows = (self.rows.len() - 1) * self.conv.stride + self.conv.kernel;
            with_room(rows * self.wide * size_of::<f32>(), |room| isa.run(Wide { job: &self, to: room.cast() }));
        } else {
            isa.run(self);
        }
    }
}

impl<E: Element, O: Element> Kernel for Job<'_, E, O> {
    type Out = ();

    /// Relies on what `Conv::check` has made sure of.
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        // SAFETY: passed on from the caller.
        unsafe { self.blocks::<V, E::Alike>(self.input) };
    }
}

/// A job whose input is widened first, with room for it: what all blocks of channels use is widened once.
struct Wide<'a, E, O> {
    job: &'a Job<'a, E, O>,
    to: *mut f32,
}

impl<E: Element, O: Element> Kernel for Wide<'_, E, O> {
    type Out = ();

    /// Relies on what `Conv::check` has made sure of.
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let Self { job, to } = self;
        let Job { conv, input, rows, columns, wide, .. } = job;
        let (stride, channels) = (conv.stride, conv.channels_in);
        let columns_in = (columns.len() - 1) * stride + conv.kernel;
        let rows_in = (rows.len() - 1) * stride + conv.kernel;
        for (y, x) in (0..rows_in).flat_map(|y| (0..columns_in).map(move |x| (y, x))) {
            let (y_in, x_in) = (rows.start * stride + y, columns.start * stride + x);
            let (from, to) = (input.start + y_in * input.row + x_in * input.pixel, y * wide + x * channels);
            // SAFETY: this is the input of all patches, which `check` has found within the source; there is room for it.
            unsafe {
                let from = std::slice::from_raw_parts(input.data.add(from), channels);
                let to = std::slice::from_raw_parts_mut(self.to.add(to), channels);
                Convert { from, to }.run::<V>();
            }
        }
        let before = (rows.start * wide + columns.start * channels) * stride;
        let input = Input { data: to.cast_const().wrapping_sub(before), start: 0, row: *wide, pixel: channels };
        // SAFETY: passed on from the caller; the first value that is read is the first that has been written.
        unsafe { job.blocks::<V, E::Widened>(input) };
    }
}

impl<E: Element, O: Element> Job<'_, E, O> {
    /// All blocks of channels.
    ///
    /// # Safety
    /// As `run`; all patches of the job must lie within the input.
    #[inline(always)]
    unsafe fn blocks<V: Simd, M: Multiply<Packed = E>>(&self, input: Input<M::Input>) {
        for block in &self.packed.blocks[self.blocks.clone()] {
            // SAFETY: passed on from the caller; the weights are packed for vectors of `V::LANES`.
            unsafe {
                match block.vectors {
                    1 => self.block::<V, M, 1>(block, input),
                    2 => self.block::<V, M, 2>(block, input),
                    _ => self.block::<V, M, 3>(block, input),
                }
            }
        }
    }

    /// All pixels of one block of channels.
    ///
    /// # Safety
    /// As `run`; `NV` must be the block's vectors.
    #[inline(always)]
    unsafe fn block<V: Simd, M: Multiply<Packed = E>, const NV: usize>(&self, block: &Block, source: Input<M::Input>) {
        let mut sums = MaybeUninit::<Sums>::uninit();
        let sums: *mut f32 = sums.as_mut_ptr().cast();
        let (stride, width) = (self.conv.stride, NV * V::LANES);
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
                        let product = Product::<M> {
                            from,
                            apart,
                            sums,
                            input: source
                                .data
                                .wrapping_add(source.start + (y * source.row + x * source.pixel) * stride),
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
