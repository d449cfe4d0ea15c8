//! Weights in the order in which the kernel reads them.

use rayon::prelude::*;

use super::{Isa, Source, winograd};
use crate::kernels::isa::Kernel;
use crate::kernels::matrix::Depth;
use crate::kernels::simd::Simd;
use crate::kernels::{Aligned, Element};

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
    pub(super) weights: Aligned<E>,
    /// Per block, filled up with zeros to whole vectors.
    pub(super) bias: Vec<f32>,
    /// How the channels of one place of the patch are cut into parts.
    pub(super) depth: Depth,
    lanes: usize,
}

/// Where the weights of output channels come from: writes those of a channel, for each input channel those of all places of the patch side by side.
pub type Row<'a> = &'a (dyn Fn(usize, &mut [f32]) + Sync);

/// How the weights of a channel become those of the places that are packed.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// As they are, so many places of the patch.
    Plain(usize),
    /// Those of 3x3 filters, as [`super::winograd`] has them.
    Winograd,
}

impl Form {
    /// Places of the patch in a row, and packed.
    fn taps(self) -> (usize, usize) {
        match self {
            Self::Plain(taps) => (taps, taps),
            Self::Winograd => (9, winograd::POINTS),
        }
    }
}

/// Values between the rows of a block in memory beyond their own: rows that lie a power of two apart would fall into few sets of
/// the cache.
const APART: usize = 16;

impl<E: Element> Packed<E> {
    /// `row(o, values)` writes the weights of output channel `o`: for each input channel those of the places of the patch. It is asked in
    /// parallel, block by block, so that no more of them need be in memory at once.
    pub(super) fn new(isa: Isa, bias: &[f32], form: Form, channels_in: usize, row: Row<'_>) -> Self {
        let lanes = isa.lanes();
        let (read, written) = form.taps();
        let tiles = isa.has_tiles::<E>();
        let depth = if tiles { Depth::new(channels_in) } else { Depth::whole(channels_in) };
        let patch = written * depth.padded();
        let mut blocks = vec![];
        let (mut first, mut end) = (0, 0);
        while first < bias.len() {
            // Two vectors each; a third one goes along rather than alone, where there are registers for it.
            let left = (bias.len() - first).div_ceil(lanes);
            let vectors = if left == 3 && !tiles { 3 } else { left.min(2) };
            let channels = (bias.len() - first).min(vectors * lanes);
            blocks.push(Block { first, channels, vectors, weights: end * patch, bias: end });
            first += channels;
            end += vectors * lanes;
        }

        let mut weights = Aligned::lasting(end * patch);
        let mut parts = vec![];
        let mut rest = &mut weights[..];
        for block in &blocks {
            let (part, behind) = rest.split_at_mut(block.vectors * lanes * patch);
            parts.push((block, part));
            rest = behind;
        }
        let len = read * channels_in;
        parts.into_par_iter().for_each_init(Vec::new, |rows, (block, out)| {
            let lanes = block.vectors * lanes;
            // Lanes without a channel stay zeros.
            rows.clear();
            rows.resize(lanes * (len + APART), 0.0);
            for (o, values) in rows.chunks_exact_mut(len + APART).enumerate().take(block.channels) {
                row(block.first + o, &mut values[..len]);
            }
            isa.run(Pack { form, channels_in, depth, lanes, rows, out });
        });

        let mut padded = vec![0.0; end];
        for block in &blocks {
            padded[block.bias..][..block.channels].copy_from_slice(&bias[block.first..][..block.channels]);
        }
        Self { blocks, weights, bias: padded, depth, lanes }
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> u64 {
        (size_of_val(&self.weights[..]) + size_of_val(&self.bias[..])) as u64
    }

    /// The weights of a part of the patch and those behind it, for the matrix unit.
    pub(super) fn part(&self, block: &Block, part: usize) -> *const E {
        self.weights.as_ptr().wrapping_add(block.weights + part * self.depth.part * block.vectors * self.lanes)
    }

    /// Where the parts of the patch lie in the source, from its first value on, in bytes, cut into pieces whose weights fit the cache.
    pub(super) fn parts(&self, kernel: usize, source: &Source<'_, E>) -> Vec<Vec<usize>> {
        let taps = (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| ky * source.row + kx * source.pixel));
        let parts = taps.flat_map(|tap| (0..self.depth.parts).map(move |part| tap + self.depth.start(part)));
        let all: Vec<usize> = parts.map(|offset| offset * size_of::<E>()).collect();
        let widest = self.blocks.iter().map(|block| block.vectors).max().unwrap_or(1);
        let most = (PIECE / (self.depth.part * widest * self.lanes * size_of::<E>()).max(1)).max(1);
        let most = all.len().div_ceil(all.len().div_ceil(most).max(1)).max(1);
        all.chunks(most).map(<[usize]>::to_vec).collect()
    }

    /// The patch as runs of a map whose rows and pixels lie so far apart, cut into pieces whose weights fit the cache.
    pub(super) fn pieces(&self, kernel: usize, row: usize, pixel: usize) -> Vec<Vec<Run>> {
        let channels_in = self.depth.padded();
        let steps = channels_in / E::PER_STEP;
        let widest = self.blocks.iter().map(|block| block.vectors).max().unwrap_or(1);
        let total = kernel * kernel * steps;
        // Four bytes per lane and step, for every format.
        let most = (PIECE / (widest * self.lanes * 4)).max(1);
        let most = total.div_ceil(total.div_ceil(most).max(1)).max(1);

        // Pixels that lie side by side make one run of a row.
        let (across, along) = if pixel == channels_in { (1, kernel * steps) } else { (kernel, steps) };
        let (mut pieces, mut piece, mut room) = (vec![], vec![], most);
        for (ky, kx) in (0..kernel).flat_map(|ky| (0..across).map(move |kx| (ky, kx))) {
            let (mut offset, mut left) = (ky * row + kx * pixel, along);
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

/// Packs the rows of a block: a kernel so that the plain loops below are compiled for the set.
struct Pack<'a, E> {
    form: Form,
    channels_in: usize,
    depth: Depth,
    lanes: usize,
    rows: &'a [f32],
    out: &'a mut [E],
}

impl<E: Element> Kernel for Pack<'_, E> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let Self { form, channels_in, depth, lanes, rows, out } = self;
        let (read, written) = form.taps();
        let stride = read * channels_in + APART;
        // Where the weights of a place and an input channel go: `PER_STEP` channels of each lane lie side by side.
        let step = lanes * E::PER_STEP;
        let place = |tap: usize, i: usize| {
            let k = tap * depth.padded() + depth.place(i);
            (k / E::PER_STEP * step, k % E::PER_STEP)
        };
        match form {
            Form::Plain(taps) => {
                for tap in 0..taps {
                    for i in 0..channels_in {
                        let (at, part) = place(tap, i);
                        let from = &rows[i * taps + tap..];
                        let out = &mut out[at..at + step];
                        for (o, out) in out.chunks_exact_mut(E::PER_STEP).enumerate() {
                            out[part] = E::from_f32(from[o * stride]);
                        }
                    }
                }
            }
            Form::Winograd => {
                // Lane by lane side by side, so that the transform is one for all of them.
                let (mut filters, mut points) = ([[0.0; MOST_LANES]; 9], [[0.0; MOST_LANES]; winograd::POINTS]);
                for i in 0..channels_in {
                    for (tap, filters) in filters.iter_mut().enumerate() {
                        let from = &rows[i * 9 + tap..];
                        filters.iter_mut().take(lanes).enumerate().for_each(|(o, value)| *value = from[o * stride]);
                    }
                    winograd::transform(&filters, &mut points);
                    for (point, points) in points.iter().enumerate().take(written) {
                        let (at, part) = place(point, i);
                        let out = &mut out[at..at + step];
                        for (out, value) in out.chunks_exact_mut(E::PER_STEP).zip(points) {
                            out[part] = E::from_f32(*value);
                        }
                    }
                }
            }
        }
    }
}

/// Lanes of the widest block: three of the widest vectors.
pub(super) const MOST_LANES: usize = 48;
