//! Weights in the order in which the kernel reads them.

use rayon::prelude::*;

use super::{Isa, Source};
use crate::kernels::Element;

/// Most bytes of the weights of one piece of a patch: half of a usual second-level cache, the pixels need the rest.
const PIECE: usize = 384 << 10;

/// Output channels that are computed together.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// First output channel.
    pub(super) first: usize,
    /// Output channels, at most `vectors` whole vectors.
    pub(super) channels: usize,
    /// Vectors per pixel, 1 to 3.
    pub(super) vectors: usize,
    /// Where in `weights` the block starts.
    pub(super) weights: usize,
    /// Where in `bias` the block starts.
    pub(super) bias: usize,
}

/// A part of a patch that lies in one run.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// From the patch's first value.
    pub(super) offset: usize,
    /// Steps of a product, see [`Element`].
    pub(super) steps: usize,
}

/// The packed weights of a convolution.
pub(super) struct Packed<E> {
    pub(super) blocks: Vec<Block>,
    /// Per block: for each step of the patch the weights of the block's channels, side by side.
    pub(super) weights: Vec<E>,
    /// Per block, filled up with zeros to whole vectors.
    pub(super) bias: Vec<f32>,
    /// Values of one tap.
    channels_in: usize,
    lanes: usize,
}

impl<E: Element> Packed<E> {
    /// `at(o, tap, i)` gives the weight of output channel `o`, place `tap` of the patch and input channel `i`.
    pub(super) fn new(
        isa: Isa,
        bias: &[f32],
        taps: usize,
        channels_in: usize,
        at: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let lanes = isa.lanes();
        let patch = taps * channels_in;
        let mut blocks = vec![];
        let (mut first, mut end) = (0, 0);
        while first < bias.len() {
            // Two vectors each; a third one goes along rather than alone.
            let left = (bias.len() - first).div_ceil(lanes);
            let vectors = if left == 3 { 3 } else { left.min(2) };
            let channels = (bias.len() - first).min(vectors * lanes);
            blocks.push(Block { first, channels, vectors, weights: end * patch, bias: end });
            first += channels;
            end += vectors * lanes;
        }

        let mut weights = vec![E::default(); end * patch];
        let mut parts = vec![];
        let mut rest = &mut weights[..];
        for block in &blocks {
            let (part, behind) = rest.split_at_mut(block.vectors * lanes * patch);
            parts.push((block, part));
            rest = behind;
        }
        parts.into_par_iter().for_each(|(block, part)| {
            let step = block.vectors * lanes * E::PER_STEP;
            for (k, part) in part.chunks_exact_mut(step).enumerate() {
                for (o, lane) in part.chunks_exact_mut(E::PER_STEP).enumerate().take(block.channels) {
                    for (i, value) in lane.iter_mut().enumerate() {
                        let k = k * E::PER_STEP + i;
                        *value = E::from_f32(at(block.first + o, k / channels_in, k % channels_in));
                    }
                }
            }
        });

        let mut padded = vec![0.0; end];
        for block in &blocks {
            padded[block.bias..][..block.channels].copy_from_slice(&bias[block.first..][..block.channels]);
        }
        Self { blocks, weights, bias: padded, channels_in, lanes }
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> u64 {
        (size_of_val(&self.weights[..]) + size_of_val(&self.bias[..])) as u64
    }

    /// The patch as runs of the source, cut into pieces whose weights fit the cache.
    pub(super) fn pieces(&self, kernel: usize, source: &Source<'_, E>) -> Vec<Vec<Run>> {
        let steps = self.channels_in / E::PER_STEP;
        let widest = self.blocks.iter().map(|block| block.vectors).max().unwrap_or(1);
        let total = kernel * kernel * steps;
        // Four bytes per lane and step, for every format.
        let most = (PIECE / (widest * self.lanes * 4)).max(1);
        let most = total.div_ceil(total.div_ceil(most).max(1)).max(1);

        // Pixels that lie side by side make one run of a row.
        let (across, along) = if source.pixel == self.channels_in { (1, kernel * steps) } else { (kernel, steps) };
        let (mut pieces, mut piece, mut room) = (vec![], vec![], most);
        for (ky, kx) in (0..kernel).flat_map(|ky| (0..across).map(move |kx| (ky, kx))) {
            let (mut offset, mut left) = (ky * source.row + kx * source.pixel, along);
            while left > 0 {
                let steps = left.min(room);
                piece.push(Run { offset, steps });
                offset += steps * E::PER_STEP;
                left -= steps;
                room -= steps;
                if room == 0 {
                    pieces.push(std::mem::take(&mut piece));
                    room = most;
                }
            }
        }
        if !piece.is_empty() {
            pieces.push(piece);
        }
        pieces
    }
}
