//! The loops of one thread.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::pack::{KEYS, Packed, scatter};
use super::{Place, Tokens};
use crate::kernels::element::Multiply;
use crate::kernels::isa::Kernel;
use crate::kernels::matrix::{self, Depth, Pair};
use crate::kernels::shared::Shared;
use crate::kernels::simd::Simd;
use crate::kernels::{Aligned, Element, Isa, math};

/// Vectors of queries in a tile.
pub(super) const VECTORS: usize = 2;

/// The largest score so far of a query that has seen no key.
const LOWEST: f32 = -1e38;

/// Most lanes of a query tile.
const LANES: usize = VECTORS * 16;

/// A block of queries of one head, for one thread: maps hold numbers of format `E`, those of format `W` are multiplied.
pub(super) struct Job<'a, E, W> {
    pub(super) q: &'a Tokens<'a, E>,
    pub(super) packed: &'a Packed<W>,
    pub(super) head: usize,
    pub(super) queries: Range<usize>,
    pub(super) scale: f32,
    pub(super) causal: bool,
    pub(super) out: Shared<'a, E>,
    pub(super) place: Place,
}

/// The rows that a register tile of a set can have, the larger first: sums, the vectors of a step and one value have to fit into
/// the registers.
const fn limits(registers: usize) -> [usize; 2] {
    match (registers - (VECTORS + 1)) / VECTORS {
        12.. => [12, 8],
        6.. => [6, 4],
        _ => [4, 4],
    }
}

/// The rows that tiles can have on a set.
pub(super) fn tile_rows<W: Element>(isa: Isa) -> [usize; 2] {
    struct Rows;
    impl Kernel for Rows {
        type Out = [usize; 2];

        #[inline(always)]
        unsafe fn run<V: Simd>(self) -> [usize; 2] {
            limits(V::REGISTERS)
        }
    }
    if isa.has_tiles::<W>() { [matrix::ROWS; 2] } else { isa.run(Rows) }
}

/// What is known of the queries of a tile.
#[repr(align(64))]
struct State {
    /// The largest score so far, times the factor of the exponent.
    largest: [f32; LANES],
    /// The sum of 2^(score * factor - largest).
    sum: [f32; LANES],
    /// What the sums so far are multiplied with.
    shrink: [f32; LANES],
}

/// The scores of a block of keys, and then their probabilities.
#[repr(align(64))]
struct Scores {
    _values: [f32; KEYS * LANES],
}

impl<E: Element, W: Element> Kernel for Job<'_, E, W> {
    type Out = ();

    /// Relies on what `attention` has made sure of.
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let lanes = VECTORS * V::LANES;
        let Packed { head_size, steps, channel_rows, .. } = *self.packed;
        let tiles = self.queries.len().div_ceil(lanes);
        let line = steps * lanes * W::PER_STEP;
        let mut q = Aligned::<W>::zeros(tiles * line);
        for (i, query) in self.queries.clone().enumerate() {
            let from = &self.q.data[self.q.at(query) + self.head * head_size..][..head_size];
            scatter(from, &mut q[i / lanes * line + i % lanes * W::PER_STEP..], lanes);
        }
        // Per tile: for each channel the weighted sums of the tile's queries.
        let channel_tiles = head_size.div_ceil(channel_rows);
        let area = channel_tiles * channel_rows * lanes;
        let mut sums = Aligned::<f32>::zeros(tiles * area);
        let fresh = || State { largest: [LOWEST; LANES], sum: [0.0; LANES], shrink: [0.0; LANES] };
        let mut states: Vec<State> = (0..tiles).map(|_| fresh()).collect();
        let mut scores = MaybeUninit::<Scores>::uninit();
        let scores: *mut f32 = scores.as_mut_ptr().cast();

        for block in 0..self.packed.blocks() {
            let keys = self.packed.range(block);
            let (k, v) = self.packed.block(self.head, block);
            for (tile, state) in states.iter_mut().enumerate() {
                let first = self.queries.start + tile * lanes;
                if self.causal && keys.start >= first + lanes {
                    continue;
                }
                // SAFETY: the caller vouches for the set; the packed rows, the queries and the sums are as long as the tiles
                // say, and the scores have room for a block of keys.
                unsafe {
                    let (vectors, sums) = (q.as_ptr().add(tile * line), sums.as_mut_ptr().add(tile * area));
                    match self.packed.depth {
                        Some(depth) => self.keys_on_unit(depth, &keys, k, vectors, scores),
                        None => self.keys_on_vectors::<V>(&keys, k, vectors, scores),
                    }
                    if self.causal && keys.end > first + 1 {
                        mask::<V>(scores, keys.clone(), first);
                    }
                    softmax::<V, W>(scores, keys.len(), self.scale * std::f32::consts::LOG2_E, state);
                    match self.packed.depth {
                        Some(_) => self.values_on_unit::<V>(&keys, v, scores, sums, state),
                        None => self.values_on_vectors::<V>(&keys, v, scores, sums, state),
                    }
                }
            }
        }
        for (tile, state) in states.iter().enumerate() {
            let first = self.queries.start + tile * lanes;
            let queries = first..(first + lanes).min(self.queries.end);
            // SAFETY: the caller vouches for the set, and for the place of each query.
            unsafe { self.finish::<V>(&sums[tile * area..][..area], state, queries) };
        }
    }
}

/// What sums start from that start from nothing.
#[repr(align(64))]
struct Zeros([f32; LANES]);
static ZEROS: Zeros = Zeros([0.0; LANES]);

impl<E: Element, W: Element> Job<'_, E, W> {
    /// The scores of a block of keys.
    ///
    /// # Safety
    /// The processor must have the set of `V`; `k` is the packed block, `vectors` the packed queries of a tile, and `scores` have
    /// room for a block of keys.
    #[inline(always)]
    unsafe fn keys_on_vectors<V: Simd>(&self, keys: &Range<usize>, k: &[W], vectors: *const W, scores: *mut f32) {
        let Packed { steps, key_rows, .. } = *self.packed;
        let (row_tile, tiles) = (key_rows * steps * W::PER_STEP, keys.len().div_ceil(key_rows));
        let product =
            Product { rows: k.as_ptr(), row_tile, tiles, vectors, steps, sums: scores, shrink: std::ptr::null() };
        // SAFETY: passed on from the caller.
        unsafe { product.run::<V>(key_rows) };
    }

    /// Adds the values of a block of keys, by the probabilities that the scores have become, to the sums.
    ///
    /// # Safety
    /// As above; `v` is the packed block, and the sums those of the tile.
    #[inline(always)]
    unsafe fn values_on_vectors<V: Simd>(
        &self,
        keys: &Range<usize>,
        v: &[W],
        scores: *mut f32,
        sums: *mut f32,
        state: &State,
    ) {
        let Packed { head_size, channel_rows, .. } = *self.packed;
        let product = Product {
            rows: v.as_ptr(),
            row_tile: channel_rows * KEYS,
            tiles: head_size.div_ceil(channel_rows),
            vectors: scores.cast_const().cast::<W>(),
            steps: keys.len().div_ceil(W::PER_STEP),
            sums,
            shrink: state.shrink.as_ptr(),
        };
        // SAFETY: passed on from the caller.
        unsafe { product.run::<V>(channel_rows) };
    }

    /// [`keys_on_vectors`](Job::keys_on_vectors) on the matrix unit.
    ///
    /// # Safety
    /// As there; the processor has the unit.
    unsafe fn keys_on_unit(&self, depth: Depth, keys: &Range<usize>, k: &[W], vectors: *const W, scores: *mut f32) {
        let step = self.packed.key_step();
        let parts: Vec<usize> = (0..depth.parts).map(|part| part * matrix::DEPTH * size_of::<W>()).collect();
        let pairs = pairs(k.as_ptr(), step, keys.len().div_ceil(matrix::ROWS), scores, Some(ZEROS.0.as_ptr()));
        // SAFETY: the packed block holds whole tiles of keys, and the scores room for them.
        unsafe { on_unit(&pairs, step, &parts, depth.part, vectors, 0) };
    }

    /// [`values_on_vectors`](Job::values_on_vectors) on the matrix unit.
    ///
    /// # Safety
    /// As there; the processor has the unit.
    #[inline(always)]
    unsafe fn values_on_unit<V: Simd>(
        &self,
        keys: &Range<usize>,
        v: &[W],
        scores: *mut f32,
        sums: *mut f32,
        state: &State,
    ) {
        let tiles = self.packed.head_size.div_ceil(matrix::ROWS);
        let parts = keys.len().div_ceil(matrix::DEPTH);
        let lanes = VECTORS * V::LANES;
        // SAFETY: the sums hold whole tiles of channels, and the scores a whole block, of which each step takes two lines.
        unsafe {
            let shrink: [V; VECTORS] = std::array::from_fn(|v| V::load(state.shrink.as_ptr().add(v * V::LANES)));
            for channel in 0..tiles * matrix::ROWS {
                for (v, shrink) in shrink.iter().enumerate() {
                    let at = sums.add(channel * lanes + v * V::LANES);
                    V::load(at).mul(*shrink).store(at);
                }
            }
            // Probabilities of keys that are not there meet values that are zero, and must be numbers.
            for step in keys.len().div_ceil(W::PER_STEP)..parts * matrix::DEPTH / W::PER_STEP {
                for v in 0..VECTORS {
                    V::splat(0.0).store(scores.add(step * lanes + v * V::LANES));
                }
            }
            let parts: Vec<usize> = (0..parts).map(|part| part * matrix::DEPTH * size_of::<W>()).collect();
            let pairs = pairs(v.as_ptr(), KEYS, tiles, sums, None);
            on_unit(&pairs, KEYS, &parts, matrix::DEPTH, scores.cast_const().cast::<W>(), lanes);
        }
    }

    /// Divides the sums of a tile and stores them, query by query.
    ///
    /// # Safety
    /// The processor must have the set of `V`; the place must lie within `out`.
    #[inline(always)]
    unsafe fn finish<V: Simd>(&self, sums: &[f32], state: &State, queries: Range<usize>) {
        let (lanes, size) = (VECTORS * V::LANES, self.packed.head_size);
        for (lane, query) in queries.enumerate() {
            let Place { start, row, pixel, width, .. } = self.place;
            let to = start + query / width * row + query % width * pixel + self.head * size;
            let whole = 1.0 / state.sum[lane];
            let mut spare = [0.0f32; 16];
            for c in (0..size).step_by(V::LANES) {
                // The last vector goes over some channels again rather than be cut off.
                let c = c.min(size.saturating_sub(V::LANES));
                let many = (size - c).min(V::LANES);
                for (i, value) in spare[..many].iter_mut().enumerate() {
                    *value = sums[(c + i) * lanes + lane];
                }
                // SAFETY: `many` channels of this query are left, and no one else writes to them; 16 values are enough for
                // any vector.
                unsafe {
                    let values = V::load(spare.as_ptr()).mul(V::splat(whole));
                    if many == V::LANES {
                        E::store(values, self.out.at(to + c));
                    } else {
                        let mut rounded = [E::default(); 16];
                        E::store(values, rounded.as_mut_ptr());
                        std::ptr::copy_nonoverlapping(rounded.as_ptr(), self.out.at(to + c), many);
                    }
                }
            }
        }
    }
}

/// Pairs of tiles of rows that lie one behind the other. Without a start, sums go on from what they are.
fn pairs<W>(rows: *const W, step: usize, tiles: usize, sums: *mut f32, start: Option<*const f32>) -> Vec<Pair> {
    let of = |tile: usize| {
        let sums = sums.wrapping_add(tile * matrix::ROWS * LANES);
        (rows.wrapping_add(tile * matrix::ROWS * step).cast(), start.unwrap_or(sums), sums)
    };
    Pair::all(tiles, of).collect()
}

/// # Safety
/// As [`matrix::Product::run`], for whole tiles and two vectors of queries.
unsafe fn on_unit<W>(pairs: &[Pair], step: usize, parts: &[usize], part: usize, vectors: *const W, apart: usize) {
    let (rows, weights) = (matrix::ROWS, vectors.cast());
    let product = matrix::Product { pairs, rows, step, parts, part, weights, vectors: VECTORS, apart, next: None };
    // SAFETY: passed on from the caller.
    unsafe { product.run() };
}

/// Pushes the scores of keys that a query must not see far below all others.
///
/// # Safety
/// The processor must have the set of `V`; `scores` must hold a line of `VECTORS` vectors per key.
#[inline(always)]
unsafe fn mask<V: Simd>(scores: *mut f32, keys: Range<usize>, first: usize) {
    let lanes = VECTORS * V::LANES;
    let numbers: [f32; LANES] = std::array::from_fn(|lane| lane as f32);
    // The keys in front are seen by all queries.
    for key in keys.start.max(first + 1)..keys.end {
        // SAFETY: passed on from the caller.
        unsafe {
            for v in 0..VECTORS {
                let at = scores.add((key - keys.start) * lanes + v * V::LANES);
                let ahead = V::load(numbers.as_ptr().add(v * V::LANES)).sub(V::splat((key - first) as f32));
                ahead.min(V::splat(0.0)).fma(V::splat(1e30), V::load(at)).store(at);
            }
        }
    }
}

/// Turns a block's scores into 2^(score * factor - largest), in place, as steps of `W`, and goes on with the sums.
///
/// # Safety
/// The processor must have the set of `V`; `scores` must hold a line of `VECTORS` vectors per key.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn softmax<V: Simd, W: Element>(scores: *mut f32, keys: usize, factor: f32, state: &mut State) {
    let lanes = VECTORS * V::LANES;
    // SAFETY: passed on from the caller. A step of probabilities takes as many bytes as one line of scores, and is written
    // after the lines that it is made of have been read.
    unsafe {
        let factor = V::splat(factor);
        let mut largest = [V::splat(f32::NEG_INFINITY); VECTORS];
        for key in 0..keys {
            for v in 0..VECTORS {
                largest[v] = V::load(scores.add(key * lanes + v * V::LANES)).max(largest[v]);
            }
        }
        let mut sums = [V::splat(0.0); VECTORS];
        for v in 0..VECTORS {
            let at = state.largest.as_mut_ptr().add(v * V::LANES);
            let before = V::load(at);
            largest[v] = largest[v].mul(factor).max(before);
            largest[v].store(at);
            let shrink = exponential::<V, W>(before.sub(largest[v]));
            shrink.store(state.shrink.as_mut_ptr().add(v * V::LANES));
            sums[v] = V::load(state.sum.as_ptr().add(v * V::LANES)).mul(shrink);
            largest[v] = V::splat(0.0).sub(largest[v]);
        }
        let probabilities: *mut W = scores.cast();
        let whole = keys - keys % W::PER_STEP;
        for key in (0..whole).step_by(W::PER_STEP) {
            for v in 0..VECTORS {
                let at = scores.cast_const().add(key * lanes + v * V::LANES);
                let one = exponential::<V, W>(V::load(at).fma(factor, largest[v]));
                sums[v] = sums[v].add(one);
                let mut two = one;
                if W::PER_STEP == 2 {
                    two = exponential::<V, W>(V::load(at.add(lanes)).fma(factor, largest[v]));
                    sums[v] = sums[v].add(two);
                }
                W::store_step(one, two, probabilities.add(key * lanes + v * V::LANES * W::PER_STEP));
            }
        }
        if whole < keys {
            for v in 0..VECTORS {
                let one =
                    exponential::<V, W>(V::load(scores.add(whole * lanes + v * V::LANES)).fma(factor, largest[v]));
                sums[v] = sums[v].add(one);
                W::store_step(one, V::splat(0.0), probabilities.add(whole * lanes + v * V::LANES * W::PER_STEP));
            }
        }
        for v in 0..VECTORS {
            sums[v].store(state.sum.as_mut_ptr().add(v * V::LANES));
        }
    }
}

/// 2^x, as exactly as a probability in `W` deserves.
///
/// # Safety
/// The processor must have the set of `V`.
#[inline(always)]
unsafe fn exponential<V: Simd, W: Element>(x: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe { if W::PER_STEP == 1 { math::exp2::<V, false>(x) } else { math::exp2::<V, true>(x) } }
}

/// A product of packed rows with vectors of queries.
struct Product<W> {
    /// Per tile of rows: for each step, that step of each row.
    rows: *const W,
    /// Values of a tile of rows.
    row_tile: usize,
    tiles: usize,
    /// Per step `VECTORS` vectors.
    vectors: *const W,
    steps: usize,
    /// `VECTORS` vectors per row.
    sums: *mut f32,
    /// What the sums are multiplied with first, or null where they start at zero.
    shrink: *const f32,
}

impl<W: Element> Product<W> {
    /// All tiles, of `rows` rows each.
    ///
    /// # Safety
    /// The processor must have the set of `V`, `rows` must be one of its `limits`, and the pointers as good as they say.
    #[inline(always)]
    unsafe fn run<V: Simd>(&self, rows: usize) {
        let most = const { limits(V::REGISTERS)[0] };
        // SAFETY: passed on from the caller.
        unsafe {
            if const { limits(V::REGISTERS)[0] == 12 } {
                if rows == most { self.tiles::<V, 12>() } else { self.tiles::<V, 8>() }
            } else if const { limits(V::REGISTERS)[0] == 6 } && rows == most {
                self.tiles::<V, 6>();
            } else {
                self.tiles::<V, 4>();
            }
        }
    }

    /// # Safety
    /// As `run`, for tiles of `P` rows. As in the convolution, the loops run over constant ranges, so that the sums stay in
    /// registers.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    unsafe fn tiles<V: Simd, const P: usize>(&self) {
        let lanes = VECTORS * V::LANES;
        for tile in 0..self.tiles {
            // SAFETY: passed on from the caller.
            unsafe {
                let to = self.sums.add(tile * P * lanes);
                let mut sums = [[V::splat(0.0); VECTORS]; P];
                if !self.shrink.is_null() {
                    for p in 0..P {
                        for v in 0..VECTORS {
                            let shrink = V::load(self.shrink.add(v * V::LANES));
                            sums[p][v] = V::load(to.add(p * lanes + v * V::LANES)).mul(shrink);
                        }
                    }
                }
                let mut rows = self.rows.add(tile * self.row_tile);
                let mut vectors = self.vectors;
                for _ in 0..self.steps {
                    let mut factors = [W::Alike::factor::<V>(vectors, 0); VECTORS];
                    for v in 1..VECTORS {
                        factors[v] = W::Alike::factor::<V>(vectors.add(v * V::LANES * W::PER_STEP), 0);
                    }
                    for p in 0..P {
                        let value = W::Alike::value::<V>(rows.add(p * W::PER_STEP), 0);
                        for v in 0..VECTORS {
                            sums[p][v] = W::Alike::mac(sums[p][v], value, factors[v]);
                        }
                    }
                    rows = rows.add(P * W::PER_STEP);
                    vectors = vectors.add(lanes * W::PER_STEP);
                }
                for p in 0..P {
                    for v in 0..VECTORS {
                        sums[p][v].store(to.add(p * lanes + v * V::LANES));
                    }
                }
            }
        }
    }
}
