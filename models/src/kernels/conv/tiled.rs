//! Convolution of bf16 on the matrix unit: the loops of one thread.
//!
//! Sixteen neighbouring pixels are the rows of a tile, read where they lie in the map; two groups of them meet the same weights.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::finish::{Finish, Pixels};
use super::pack::{Block, Packed};
use super::{Conv, Input};
use crate::kernels::Element;
use crate::kernels::isa::Kernel;
use crate::kernels::matrix::{Pair, Product, ROWS};
use crate::kernels::simd::Simd;

/// Most pixels of a job: their sums wait in memory while the weights go by.
pub(super) const PIXELS: usize = 192;

/// Pixels of all groups of a job at most: some belong to two.
const ROOM: usize = PIXELS + PIXELS / 4;

/// Room for the sums of a job, two vectors each.
#[repr(align(64))]
struct Sums {
    _values: [f32; ROOM * 32],
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
        let groups = Groups::new(self.columns.len(), self.rows.len());
        assert!(groups.count() * groups.pixels <= ROOM, "sums for all groups");
        let mut pairs = Vec::with_capacity(groups.count().div_ceil(2));
        for block in &self.packed.blocks[self.blocks.clone()] {
            // SAFETY: passed on from the caller; whoever has the unit has vectors of as many lanes as it.
            unsafe {
                match block.vectors {
                    1 => self.block::<V, 1>(block, &groups, sums, &mut pairs),
                    _ => self.block::<V, 2>(block, &groups, sums, &mut pairs),
                }
            }
        }
    }
}

impl<E: Element, O: Element> Job<'_, E, O> {
    /// All pixels of one block of channels.
    ///
    /// # Safety
    /// As `run`; `NV` must be the block's vectors, and `sums` have room for all groups.
    #[inline(always)]
    unsafe fn block<V: Simd, const NV: usize>(
        &self,
        block: &Block,
        groups: &Groups,
        sums: *mut f32,
        pairs: &mut Vec<Pair>,
    ) {
        let width = NV * V::LANES;
        let sums_of = |index: usize| sums.wrapping_add(index * groups.pixels * width);
        self.list(groups, self.packed.bias.as_ptr().wrapping_add(block.bias), sums_of, pairs);
        let all = self.pieces.iter().map(Vec::len).sum();
        // Behind the last block, this thread begins with the first one again, at other pixels.
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
            let next = if parts == all { behind } else { self.packed.part(block, parts) };
            let product = Product {
                pairs,
                rows: groups.pixels,
                step: self.conv.stride * self.input.pixel,
                parts: piece,
                part: self.packed.depth.part,
                weights: weights.cast(),
                vectors: NV,
                // All pixels start from one bias, or each from its own sums.
                apart: if first { 0 } else { width },
                next: far.then_some(next.cast()),
            };
            // SAFETY: `check` has made sure that every patch lies within the source; the weights hold all parts of the patch for
            // the block; there are sums for all pixels of all groups.
            unsafe { product.run() };
            pairs.iter_mut().for_each(|pair| pair.from = pair.sums.map(|sums| sums.cast_const()));
        }
        for index in 0..groups.count() {
            let (column, line) = groups.at(index);
            let twice = groups.twice(index);
            let at = Pixels {
                x: self.columns.start + column + twice,
                y: self.rows.start + line,
                count: groups.pixels - twice,
            };
            // SAFETY: the sums hold all pixels of the group.
            unsafe {
                let sums = sums_of(index).add(twice * width);
                if self.conv.gated {
                    self.finish.open_gates::<V>(block, at, sums, self.conv.channels_out);
                } else {
                    self.finish.store::<V, NV>(block, at, sums);
                }
            }
        }
    }

    /// Lists the pairs of groups.
    fn list(&self, groups: &Groups, bias: *const f32, sums_of: impl Fn(usize) -> *mut f32, pairs: &mut Vec<Pair>) {
        pairs.clear();
        pairs.extend(Pair::all(groups.count(), |index| {
            let (column, line) = groups.at(index);
            let (x, y) = (self.columns.start + column, self.rows.start + line);
            let at = self.input.start + (y * self.input.row + x * self.input.pixel) * self.conv.stride;
            (self.input.data.wrapping_add(at).cast(), bias, sums_of(index))
        }));
    }
}

/// The pixels of a job in groups that fit the rows of a tile: equally many, side by side. The last group of a row begins early where
/// the pixels do not fill it, and computes some of them again.
struct Groups {
    /// Pixels of a row of the job, and groups.
    columns: usize,
    across: usize,
    rows: usize,
    /// Pixels of a group.
    pixels: usize,
}

impl Groups {
    fn new(columns: usize, rows: usize) -> Self {
        let least = columns.div_ceil(ROWS);
        // Groups go two by two: one more of smaller ones is less work than the last one twice.
        let alone = (least * rows) % 2 == 1 && columns > 1 && (least > 1 || rows == 1);
        let across = least + usize::from(alone);
        Self { columns, across, rows, pixels: columns.div_ceil(across) }
    }

    fn count(&self) -> usize {
        self.across * self.rows
    }

    /// Column and row of a group's first pixel.
    fn at(&self, index: usize) -> (usize, usize) {
        ((index % self.across * self.pixels).min(self.columns - self.pixels), index / self.across)
    }

    /// How many of its pixels belong to the group in front, too.
    fn twice(&self, index: usize) -> usize {
        index % self.across * self.pixels - self.at(index).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_every_pixel_once() {
        for (columns, rows) in (1..=PIXELS).flat_map(|columns| (1..=PIXELS / columns).map(move |rows| (columns, rows)))
        {
            let groups = Groups::new(columns, rows);
            assert!(groups.pixels <= ROWS && groups.count() * groups.pixels <= ROOM, "{columns}x{rows}");
            let mut found = vec![];
            for index in 0..groups.count() {
                let ((column, line), twice) = (groups.at(index), groups.twice(index));
                found.extend((column + twice..column + groups.pixels).map(|column| line * columns + column));
            }
            assert!(found.into_iter().eq(0..columns * rows), "{columns}x{rows}");
        }
    }
}
