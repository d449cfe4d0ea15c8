//! The loops of one thread.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::pack::{Block, Run};
use super::{After, Conv, Place, Residual};
use crate::kernels::isa::Kernel;
use crate::kernels::shared::Shared;
use crate::kernels::simd::Simd;
use crate::kernels::{Activation, Element, math};

/// Most pixels of a job's block: their sums wait in memory while a piece of the weights is used.
pub(super) const PIXELS: usize = 192;

/// Room for the sums of a block of pixels: three vectors of 16 each.
#[repr(align(64))]
struct Sums {
    _values: [f32; PIXELS * 48],
}

/// A `Source` that may be a part of the output's map.
#[derive(Clone, Copy)]
pub(super) struct Input<E> {
    pub(super) data: *const E,
    pub(super) start: usize,
    pub(super) row: usize,
    pub(super) pixel: usize,
}

// SAFETY: it is only read, and whoever makes a job promises that nobody writes what is read meanwhile.
unsafe impl<E: Sync> Send for Input<E> {}
// SAFETY: as above.
unsafe impl<E: Sync> Sync for Input<E> {}

/// A block of pixels and some blocks of channels, for one thread.
pub(super) struct Job<'a, E, O> {
    pub(super) conv: &'a Conv<E>,
    pub(super) input: Input<E>,
    pub(super) place: Place,
    pub(super) after: After<'a, O>,
    pub(super) pieces: &'a [Vec<Run>],
    pub(super) blocks: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) rows: Range<usize>,
    pub(super) out: Shared<'a, O>,
}

/// Some pixels of a row.
#[derive(Clone, Copy)]
struct Tile {
    x: usize,
    y: usize,
    /// Where the sums wait.
    sums: *mut f32,
}

/// What is multiplied now.
#[derive(Clone, Copy)]
struct Piece<'a> {
    runs: &'a [Run],
    /// Steps of the patch in front of it.
    before: usize,
    first: bool,
    last: bool,
}

impl<E: Element, O: Element> Kernel for Job<'_, E, O> {
    type Out = ();

    /// Relies on what `Conv::check` has made sure of.
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        for block in &self.conv.packed.blocks[self.blocks.clone()] {
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

/// Most pixels of a register tile: their sums, the weights of a step and one value have to fit into the registers. A few
/// sizes are enough, and all of them are even.
const fn tile_pixels(registers: usize, step_registers: usize, vectors: usize) -> usize {
    match (registers - step_registers * (vectors + 1)) / vectors {
        12.. => 12,
        8.. => 8,
        6.. => 6,
        4.. => 4,
        _ => 2,
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
        let mut before = 0;
        for (index, runs) in self.pieces.iter().enumerate() {
            let piece = Piece { runs, before, first: index == 0, last: index + 1 == self.pieces.len() };
            before += runs.iter().map(|run| run.steps).sum::<usize>();
            // With one piece no sums wait, and all tiles use the same few lines of the cache.
            let apart = if self.pieces.len() > 1 { NV * V::LANES } else { 0 };
            let mut pixel = 0;
            for y in self.rows.clone() {
                let mut x = self.columns.start;
                while x < self.columns.end {
                    // SAFETY: the block has at most `PIXELS` pixels, and at least `left` are left in this row.
                    unsafe {
                        let tile = Tile { x, y, sums: sums.add(pixel * apart) };
                        let done = self.tile::<V, NV>(block, piece, tile, self.columns.end - x);
                        x += done;
                        pixel += done;
                    }
                }
            }
        }
    }

    /// The largest tile that fits into the pixels that are left; returns its size.
    ///
    /// # Safety
    /// As `block`; the row must have `left` more pixels.
    #[inline(always)]
    unsafe fn tile<V: Simd, const NV: usize>(&self, block: &Block, piece: Piece<'_>, tile: Tile, left: usize) -> usize {
        let most = const { Limits::<V, E, NV>::MOST };
        // SAFETY: passed on from the caller.
        unsafe {
            // Sixteen are better shared out evenly.
            if const { Limits::<V, E, NV>::MOST >= 12 } && left >= most && left != 16 {
                self.pixels::<V, 12, NV>(block, piece, tile);
                12
            } else if const { Limits::<V, E, NV>::MOST >= 8 } && left >= 8 {
                self.pixels::<V, 8, NV>(block, piece, tile);
                8
            } else if const { Limits::<V, E, NV>::MOST == 6 } && left >= 6 {
                self.pixels::<V, 6, NV>(block, piece, tile);
                6
            } else if const { Limits::<V, E, NV>::MOST >= 4 } && left >= 4 {
                self.pixels::<V, 4, NV>(block, piece, tile);
                4
            } else if left >= 2 {
                self.pixels::<V, 2, NV>(block, piece, tile);
                2
            } else {
                self.pixels::<V, 1, NV>(block, piece, tile);
                1
            }
        }
    }

    /// One piece of the patch for `P` pixels, and what comes after the last piece.
    ///
    /// # Safety
    /// As `tile`; the row must have `P` more pixels.
    #[inline(always)]
    unsafe fn pixels<V: Simd, const P: usize, const NV: usize>(&self, block: &Block, piece: Piece<'_>, tile: Tile) {
        // SAFETY: passed on from the caller; `multiply` fills what `finish` reads.
        unsafe {
            self.multiply::<V, P, NV>(block, piece, tile);
            if piece.last && self.conv.gated {
                self.open_gates::<V>(block, tile, P);
            } else if piece.last {
                self.finish::<V, NV>(block, tile, P);
            }
        }
    }

    /// Goes on with the sums of `P` pixels of one block. All of the time goes here: sums and weights stay in registers, which
    /// is why the sums come and go through memory instead of in an array that someone could index. The loops run over constant
    /// ranges, as those are unrolled early; written with iterators, the sums end up on the stack and a third of the speed is
    /// left.
    ///
    /// # Safety
    /// As `pixels`; the tile's sums must hold P * NV vectors.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    unsafe fn multiply<V: Simd, const P: usize, const NV: usize>(&self, block: &Block, piece: Piece<'_>, tile: Tile) {
        let (packed, stride, source) = (&self.conv.packed, self.conv.stride, &self.input);
        let patch = source.start + tile.y * stride * source.row + tile.x * stride * source.pixel;
        let (line, width) = (NV * V::LANES * E::PER_STEP, NV * V::LANES);
        // SAFETY: `check` has made sure that every patch of the place lies within the source; the weights hold NV vectors of
        // steps per step of the patch and block, and the bias NV vectors.
        unsafe {
            let (from, apart) =
                if piece.first { (packed.bias.as_ptr().add(block.bias), 0) } else { (tile.sums.cast_const(), width) };
            let mut sums = [[V::splat(0.0); NV]; P];
            for p in 0..P {
                for v in 0..NV {
                    sums[p][v] = V::load(from.add(p * apart + v * V::LANES));
                }
            }
            let step = stride * source.pixel;
            let mut w = packed.weights.as_ptr().add(block.weights + piece.before * line);
            for run in piece.runs {
                let mut from = source.data.add(patch + run.offset);
                for _ in 0..run.steps {
                    let mut factors = [E::splat::<V>(from); NV];
                    for v in 0..NV {
                        factors[v] = E::step::<V>(w.add(v * V::LANES * E::PER_STEP));
                    }
                    for p in 0..P {
                        let value = E::splat::<V>(from.add(p * step));
                        for v in 0..NV {
                            sums[p][v] = E::mac(sums[p][v], value, factors[v]);
                        }
                    }
                    from = from.add(E::PER_STEP);
                    w = w.add(line);
                }
            }
            for p in 0..P {
                for v in 0..NV {
                    sums[p][v].store(tile.sums.add(p * width + v * V::LANES));
                }
            }
        }
    }

    /// Multiplies values with the GELU of their gates and stores them.
    ///
    /// # Safety
    /// As `finish`, for a block of one vector of values and one vector of gates.
    #[inline(always)]
    unsafe fn open_gates<V: Simd>(&self, block: &Block, tile: Tile, pixels: usize) {
        let first = block.first / 2;
        let channels = V::LANES.min(self.conv.channels_out - first);
        let at = self.place.start + tile.y * self.place.row + tile.x * self.place.pixel + first;
        // SAFETY: `check` has made sure that the output holds the channels of every pixel; the tile's sums hold two vectors
        // per pixel, and 16 values are enough for any vector.
        unsafe {
            for p in 0..pixels {
                let sums = tile.sums.add(p * 2 * V::LANES);
                let value = V::load(sums).mul(math::gelu(V::load(sums.add(V::LANES))));
                let to = self.out.at(at + p * self.place.pixel);
                if channels == V::LANES {
                    O::store(value, to);
                } else {
                    let mut spare = [O::default(); 16];
                    O::store(value, spare.as_mut_ptr());
                    std::ptr::copy_nonoverlapping(spare.as_ptr(), to, channels);
                }
            }
        }
    }

    /// Applies `after` to the sums of some pixels and stores them.
    ///
    /// # Safety
    /// As `pixels`; `multiply` must have filled the tile's sums.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    unsafe fn finish<V: Simd, const NV: usize>(&self, block: &Block, tile: Tile, pixels: usize) {
        let (After { film, activation, add }, channels) = (self.after, block.channels);
        let width = NV * V::LANES;
        // SAFETY: `check` has made sure that scale, shift, slopes, base and output are long enough for the block's channels
        // of every pixel; the tile's sums hold whole vectors.
        unsafe {
            let sum = |p: usize, v: usize| tile.sums.add(p * width + v * V::LANES);
            if let Some(film) = film {
                let scale: [V; NV] = fetch(film.scale.as_ptr().add(block.first), channels);
                let shift: [V; NV] = fetch(film.shift.as_ptr().add(block.first), channels);
                for p in 0..pixels {
                    for v in 0..NV {
                        V::load(sum(p, v)).fma(scale[v], shift[v]).store(sum(p, v));
                    }
                }
            }
            if activation != Activation::Identity {
                let slopes: [V; NV] = match activation {
                    Activation::Prelu(slopes) => fetch(slopes.as_ptr().add(block.first), channels),
                    _ => [V::splat(0.0); NV],
                };
                for p in 0..pixels {
                    for (v, slopes) in slopes.into_iter().enumerate() {
                        activation.apply(V::load(sum(p, v)), slopes).store(sum(p, v));
                    }
                }
            }
            for Residual { base, place, gain } in add.into_iter().flatten() {
                let at = place.start + tile.y * place.row + tile.x * place.pixel + block.first;
                let gain = V::splat(gain);
                for p in 0..pixels {
                    let base: [V; NV] = fetch(base.as_ptr().add(at + p * place.pixel), channels);
                    for (v, base) in base.into_iter().enumerate() {
                        V::load(sum(p, v)).fma(gain, base).store(sum(p, v));
                    }
                }
            }

            let at = self.place.start + tile.y * self.place.row + tile.x * self.place.pixel + block.first;
            for p in 0..pixels {
                let to = self.out.at(at + p * self.place.pixel);
                if channels == width {
                    for v in 0..NV {
                        O::store(V::load(sum(p, v)), to.add(v * V::LANES));
                    }
                } else {
                    let mut spare = [O::default(); 48];
                    for v in 0..NV {
                        O::store(V::load(sum(p, v)), spare.as_mut_ptr().add(v * V::LANES));
                    }
                    std::ptr::copy_nonoverlapping(spare.as_ptr(), to, channels);
                }
            }
        }
    }
}

/// The size of register tiles.
struct Limits<V, E, const NV: usize>(std::marker::PhantomData<(V, E)>);

impl<V: Simd, E: Element, const NV: usize> Limits<V, E, NV> {
    const MOST: usize = tile_pixels(V::REGISTERS, if E::PER_STEP == 1 { 1 } else { V::PAIR_REGISTERS }, NV);
}

/// Reads `channels` values into vectors, zeros behind them.
///
/// # Safety
/// `from` must be readable for `channels` values, `channels <= NV * LANES`, and the processor must have the set of `V`.
#[inline(always)]
unsafe fn fetch<V: Simd, T: Element, const NV: usize>(from: *const T, channels: usize) -> [V; NV] {
    // SAFETY: whole vectors are only read when all their values are there; 48 values are three vectors of any set.
    unsafe {
        let mut spare = [T::default(); 48];
        let mut from = from;
        if channels < NV * V::LANES {
            std::ptr::copy_nonoverlapping(from, spare.as_mut_ptr(), channels);
            from = spare.as_ptr();
        }
        let mut vectors = [V::splat(0.0); NV];
        for (v, vector) in vectors.iter_mut().enumerate() {
            *vector = T::load(from.add(v * V::LANES));
        }
        vectors
    }
}
