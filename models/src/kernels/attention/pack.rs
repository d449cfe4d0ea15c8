//! Keys and values in the order in which the kernel reads them.

use std::ops::Range;

use rayon::prelude::*;

use super::Tokens;
use crate::kernels::matrix::{self, Depth};
use crate::kernels::{Aligned, Element};

/// Keys of a block; a multiple of every tile. It is the same for all sets, as it decides when sums are rescaled.
pub(super) const KEYS: usize = 96;

/// The keys and values of all heads, head by head and block by block, as they are multiplied.
pub(super) struct Packed<W> {
    /// Per block and tile of keys: for each step of the channels, that step of each key of the tile. For the matrix unit, per
    /// block: for each key its channels, each part at the beginning of a line.
    k: Aligned<W>,
    /// Per block and tile of channels: for each step of the keys, that step of each channel of the tile. For the matrix unit, per
    /// block: for each channel the keys.
    v: Aligned<W>,
    pub(super) keys: usize,
    pub(super) head_size: usize,
    /// Steps of a product over the channels, see [`Element`].
    pub(super) steps: usize,
    /// Keys of a tile.
    pub(super) key_rows: usize,
    /// Channels of a tile.
    pub(super) channel_rows: usize,
    /// How the channels of a key are cut into parts for the matrix unit, where that is used.
    pub(super) depth: Option<Depth>,
}

impl<W: Element> Packed<W> {
    /// `rows` are the sizes that a tile may have; `tiles` says whether they are those of the matrix unit.
    pub(super) fn new<E: Element>(
        k: &Tokens<'_, E>,
        v: &Tokens<'_, E>,
        heads: usize,
        head_size: usize,
        rows: [usize; 2],
        tiles: bool,
    ) -> Self {
        let [key_rows, small] = rows;
        // The size that fills up less.
        let fits = |rows: usize| head_size.next_multiple_of(rows);
        let channel_rows = if fits(small) < fits(key_rows) { small } else { key_rows };
        let depth = tiles.then(|| Depth::new(head_size.next_multiple_of(2)));
        let (keys, channels) = (k.count(), depth.map_or(head_size, Depth::padded));
        let (k_out, v_out) = (Aligned::zeros(0), Aligned::zeros(0));
        let steps = channels.div_ceil(W::PER_STEP);
        let mut packed = Self { k: k_out, v: v_out, keys, head_size, steps, key_rows, channel_rows, depth };
        let blocks = heads * packed.blocks();
        let (mut to_k, mut to_v) =
            (Aligned::zeros(blocks * packed.k_block()), Aligned::zeros(blocks * packed.v_block()));
        let parts = to_k.par_chunks_mut(packed.k_block()).zip(to_v.par_chunks_mut(packed.v_block()));
        parts.enumerate().for_each(|(index, (to_k, to_v))| {
            let (head, block) = (index / packed.blocks(), index % packed.blocks());
            packed.pack_keys(k, head, packed.range(block), to_k);
            packed.pack_values(v, head, packed.range(block), to_v);
        });
        (packed.k, packed.v) = (to_k, to_v);
        packed
    }

    fn pack_keys<E: Element>(&self, from: &Tokens<'_, E>, head: usize, keys: Range<usize>, to: &mut [W]) {
        if let Some(depth) = self.depth {
            for (key, to) in keys.zip(to.chunks_exact_mut(self.key_step())) {
                let from = &from.data[from.at(key) + head * self.head_size..][..self.head_size];
                for (to, from) in to.chunks_exact_mut(matrix::DEPTH).zip(from.chunks(depth.part)) {
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = W::exactly(*from));
                }
            }
            return;
        }
        let tile = self.key_rows * self.steps * W::PER_STEP;
        for (i, key) in keys.enumerate() {
            let from = &from.data[from.at(key) + head * self.head_size..][..self.head_size];
            let to = &mut to[i / self.key_rows * tile + i % self.key_rows * W::PER_STEP..];
            scatter(from, to, self.key_rows);
        }
    }

    fn pack_values<E: Element>(&self, from: &Tokens<'_, E>, head: usize, keys: Range<usize>, to: &mut [W]) {
        for (i, key) in keys.enumerate() {
            let from = &from.data[from.at(key) + head * self.head_size..][..self.head_size];
            if self.depth.is_some() {
                to[i..].iter_mut().step_by(KEYS).zip(from).for_each(|(to, value)| *to = W::exactly(*value));
                continue;
            }
            for (tile, values) in from.chunks(self.channel_rows).enumerate() {
                let to = &mut to[(tile * KEYS + i / W::PER_STEP * W::PER_STEP) * self.channel_rows + i % W::PER_STEP..];
                for (to, value) in to.iter_mut().step_by(W::PER_STEP).zip(values) {
                    *to = W::exactly(*value);
                }
            }
        }
    }

    pub(super) fn blocks(&self) -> usize {
        self.keys.div_ceil(KEYS)
    }

    /// The keys of a block.
    pub(super) fn range(&self, block: usize) -> Range<usize> {
        block * KEYS..((block + 1) * KEYS).min(self.keys)
    }

    /// Values from one key to the next, for the matrix unit.
    pub(super) fn key_step(&self) -> usize {
        self.depth.map_or(0, |depth| depth.parts * matrix::DEPTH)
    }

    /// Values of a block of `k`.
    fn k_block(&self) -> usize {
        KEYS * if self.depth.is_some() { self.key_step() } else { self.steps * W::PER_STEP }
    }

    /// Values of a block of `v`.
    fn v_block(&self) -> usize {
        KEYS * self.head_size.next_multiple_of(self.channel_rows)
    }

    /// A block of a head's keys and values.
    pub(super) fn block(&self, head: usize, block: usize) -> (&[W], &[W]) {
        let index = head * self.blocks() + block;
        (&self.k[index * self.k_block()..][..self.k_block()], &self.v[index * self.v_block()..][..self.v_block()])
    }
}

/// Puts the steps of a token `apart` steps apart; what a last step lacks stays as it is.
#[inline(always)]
pub(super) fn scatter<E: Element, W: Element>(from: &[E], to: &mut [W], apart: usize) {
    let steps = from.chunks_exact(W::PER_STEP);
    let rest = steps.remainder();
    let mut at = 0;
    for step in steps {
        // One by one: copying slices would be a call each.
        for (i, value) in step.iter().enumerate() {
            to[at + i] = W::exactly(*value);
        }
        at += apart * W::PER_STEP;
    }
    for (i, value) in rest.iter().enumerate() {
        to[at + i] = W::exactly(*value);
    }
}
