//! Convolution of bf16 on the matrix unit: the loops of one thread.
//!
//! Sixteen neighbouring pixels are the rows of a tile, read where they lie in the map; two groups of them meet the same weights.

use std::mem::MaybeUninit;
use std::ops::Range;

use half::bf16;

use super::finish::{Finish, Pixels};
use super::pack::{Block, Packed};
use super::{Conv, Input};
use crate::kernels::Element;
use crate::kernels::isa::Kernel;
use crate::kernels::matrix::{Pair, Product, ROWS};
use crate::kernels::simd::Simd;

/// Most pixels of a job: their sums wait in memory while the weights go by.
pub(super) const PIXELS: usize = 192;

/// Room for the sums of a block of pixels: two vectors each.
#[repr(align(64))]
struct Sums {
    _values: [f32; PIXELS * 32],
}

/// Most bytes of weights that stay in the second-level cache from one block of pixels to the next.
const STAYS: u64 = 512 << 10;

/// A block of pixels and some blocks of channels, for one thread.
pub(super) struct Job<'a, E, O> {
    pub(super) conv: &'a Conv<E>,
    pub(super) packed: &'a Packed<E>,
    pub(super) input: Input<E>,
    pub(super) finish: Finish<'a, O>,
    /// Where the parts of a patch lie, from its first value on, in bytes: those whose weights stay in the cache together.
    pub(super) pieces: &'a [Vec<usize>],
    pub(super) blocks: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl<E: Element, O: Element> Kernel for Job<'_, E, O> {
    type Out = ();

    /// Relies on what `Conv::check` has made sure of.
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let mut sums = MaybeUninit::<Sums>::uninit();
        let sums: *mut f32 = sums.as_mut_ptr().cast();
        let mut pairs = [vec![], vec![]];
        for block in &self.packed.blocks[self.blocks.clone()] {
            // SAFETY: passed on from the caller; whoever has the unit has vectors of as many lanes as it.
            unsafe {
                match block.vectors {
                    1 => self.block::<V, 1>(block, sums, &mut pairs),
                    _ => self.block::<V, 2>(block, sums, &mut pairs),
                }
            }
        }
    }
}

impl<E: Element, O: Element> Job<'_, E, O> {
    /// All pixels of one block of channels.
    ///
    /// # Safety
    /// As `run`; `NV` must be the block's vectors, and `sums` have room for all pixels.
    #[inline(always)]
    unsafe fn block<V: Simd, const NV: usize>(&self, block: &Block, sums: *mut f32, pairs: &mut [Vec<Pair>; 2]) {
        let width = NV * V::LANES;
        let bias = self.packed.bias.as_ptr().wrapping_add(block.bias);
        let whole = self.columns.len() / ROWS;
        let rest = self.columns.len() % ROWS;
        self.list(0..whole, bias, sums, width, &mut pairs[0]);
        self.list(whole..whole + rest.min(1), bias, sums, width, &mut pairs[1]);
        // Behind the last block, this thread begins with the first one again, at other pixels.
        let all = self.pieces.iter().map(Vec::len).sum();
        let behind = if block.weights == self.packed.blocks[self.blocks.end - 1].weights {
            self.packed.part(&self.packed.blocks[self.blocks.start], 0)
        } else {
            self.packed.part(block, all)
        };
        // Few weights stay in the second-level cache anyway.
        let far = self.packed.bytes() > STAYS;
        let mut parts = 0;
        for piece in self.pieces {
            let (first, weights) = (parts == 0, self.packed.part(block, parts));
            parts += piece.len();
            let last = parts == all;
            for (pairs, rows) in pairs.iter_mut().zip([ROWS, rest]) {
                let product = Product {
                    pairs,
                    rows,
                    step: self.conv.stride * self.input.pixel,
                    parts: piece,
                    part: self.packed.depth.part,
                    weights: weights.cast(),
                    vectors: NV,
                    // All rows start from one bias, or each from its own sums.
                    apart: if first { 0 } else { width },
                    next: far.then(|| if last { behind } else { self.packed.part(block, parts) }.cast()),
                };
                // SAFETY: `check` has made sure that every patch lies within the source; the weights hold all parts of the patch for
                // the block; the sums are those of this job's pixels.
                unsafe { product.run() };
                pairs.iter_mut().for_each(|pair| pair.from = pair.sums.map(|sums| sums.cast_const()));
            }
        }
        for (line, y) in self.rows.clone().enumerate() {
            let at = Pixels { x: self.columns.start, y, count: self.columns.len() };
            // SAFETY: the sums hold all pixels of the job, row by row.
            unsafe {
                let sums = sums.add(line * self.columns.len() * width);
                if self.conv.gated {
                    self.finish.open_gates::<V>(block, at, sums, self.conv.channels_out);
                } else {
                    self.finish.store::<V, NV>(block, at, sums);
                }
            }
        }
    }

    /// Lists some groups of neighbouring pixels of each row, two by two; where one is left, it goes with itself.
    fn list(&self, groups: Range<usize>, bias: *const f32, sums: *mut f32, width: usize, pairs: &mut Vec<Pair>) {
        let stride = self.conv.stride;
        pairs.clear();
        pairs.reserve((groups.len() * self.rows.len()).div_ceil(2));
        let mut half = false;
        for (line, y) in self.rows.clone().enumerate() {
            for group in groups.clone() {
                let x = self.columns.start + group * ROWS;
                let at = self.input.start + (y * self.input.row + x * self.input.pixel) * stride;
                let input = self.input.data.wrapping_add(at).cast::<bf16>();
                let sums = sums.wrapping_add((line * self.columns.len() + group * ROWS) * width);
                match pairs.last_mut().filter(|_| half) {
                    Some(pair) => (pair.input[1], pair.sums[1]) = (input, sums),
                    None => pairs.push(Pair { input: [input; 2], from: [bias; 2], sums: [sums; 2] }),
                }
                half = !half;
            }
        }
    }
}
