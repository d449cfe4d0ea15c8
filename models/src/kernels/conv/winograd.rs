//! 3x3 convolution by the minimal filtering of Winograd (1980), F(2x2, 3x3) of Lavin and Gray (2016): 16 products for four
//! pixels of the output where the definition takes 36.
//!
//! With `d` a 4x4 patch of the input and `g` the weights, the four pixels are `A^T ((G g G^T) * (B^T d B)) A`. The matrices of
//! the input and of the result hold only 0, 1 and -1; the weights are transformed once. Over the channels the product in the
//! middle is 16 matrix products.
//!
//! The four pixels of a tile begin at even columns and rows of the whole picture, wherever the map at hand is cut out of it,
//! and a pixel uses only those of the 16 sums that do not know what lies beyond its own 3x3 patch. So tiled results equal
//! untiled ones bit for bit here as well.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::finish::{Finish, Pixels};
use super::multiply::{Pace, Product};
use super::pack::{Block, Packed, Run};
use super::{Conv, Input};
use crate::kernels::Element;
use crate::kernels::aligned::LINE;
use crate::kernels::element::Multiply;
use crate::kernels::element::sealed::Format;
use crate::kernels::isa::Kernel;
use crate::kernels::room::with_room;
use crate::kernels::simd::Simd;

/// Places of a transformed patch.
pub(super) const POINTS: usize = 16;

/// Most tiles of a job, and about how many bytes of transformed input it may have. All weights go by once for each job, so many tiles
/// pay even where not all of the input stays in the second-level cache.
const TILES: usize = 48;
const BYTES: usize = 2 << 20;

/// Tiles that are transformed together, so that what is written stays in the first-level cache.
const GROUP: usize = 8;

/// The weights of all transformed places of the nine weights of filters, `G g G^T`, for many of them side by side.
#[inline(always)]
pub(super) fn transform<const N: usize>(filters: &[[f32; N]; 9], points: &mut [[f32; N]; POINTS]) {
    // The rows of `G` are (1, 0, 0), (1/2, 1/2, 1/2), (1/2, -1/2, 1/2) and (0, 0, 1).
    let four = |[a, b, c]: [f32; 3]| [a, 0.5 * a + 0.5 * b + 0.5 * c, 0.5 * a - 0.5 * b + 0.5 * c, c];
    let mut rows = [[[0.0; N]; 4]; 3];
    for (y, rows) in rows.iter_mut().enumerate() {
        for o in 0..N {
            let new = four([filters[3 * y][o], filters[3 * y + 1][o], filters[3 * y + 2][o]]);
            for x in 0..4 {
                rows[x][o] = new[x];
            }
        }
    }
    for x in 0..4 {
        for o in 0..N {
            let new = four([rows[0][x][o], rows[1][x][o], rows[2][x][o]]);
            for y in 0..4 {
                points[4 * y + x][o] = new[y];
            }
        }
    }
}

/// Most tiles of a job of a convolution of so many channels, of which each value takes so many bytes.
pub(super) fn most_tiles(channels_in: usize, bytes: usize) -> usize {
    let fit = BYTES / (POINTS * channels_in * bytes);
    // The register tiles are of twelve pixels at most.
    (fit / 12 * 12).clamp(12, TILES)
}

/// A block of tiles and some blocks of channels, for one thread.
pub(super) struct Job<'a, E, O> {
    pub(super) conv: &'a Conv<E>,
    pub(super) packed: &'a Packed<E>,
    pub(super) input: Input<E>,
    /// How many columns and rows of the first tiles lie in front of the output: 0 or 1.
    pub(super) before: (usize, usize),
    pub(super) finish: Finish<'a, O>,
    pub(super) blocks: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) rows: Range<usize>,
}

/// Where transformed patches and sums lie: for each of the 16 places, one run of all tiles.
struct Layout {
    /// Values from one place to the next, transformed patches and sums.
    patches: usize,
    sums: usize,
}

impl<E: Element, O: Element> Job<'_, E, O> {
    /// Does the work, with room that the thread keeps for the next job.
    pub(super) fn start(self) {
        if self.conv.isa.widens::<E>() { self.work::<E::Widened>() } else { self.work::<E::Alike>() }
    }

    fn work<M: Multiply<Packed = E>>(self) {
        let tiles = self.columns.len() * self.rows.len();
        // One line more between the places, or they would fall into few sets of the cache.
        let bytes = |values: usize, size: usize| ((values * size).div_ceil(LINE) + 1) * LINE;
        let widest = self.packed.blocks.iter().map(|block| block.vectors * self.conv.isa.lanes()).max().unwrap_or(0);
        let patches = bytes(tiles * self.conv.channels_in, size_of::<M::Input>());
        let sums = bytes(tiles * widest, size_of::<f32>());
        let layout = Layout { patches: patches / size_of::<M::Input>(), sums: sums / size_of::<f32>() };
        with_room(POINTS * (patches + sums), |room| {
            // The sums lie behind the patches.
            let behind = room.wrapping_add(POINTS * patches);
            self.conv.isa.run(Work::<_, _, M> { job: &self, layout, patches: room.cast(), sums: behind.cast() });
        });
    }
}

/// A job with its room.
struct Work<'a, E, O, M: Multiply> {
    job: &'a Job<'a, E, O>,
    layout: Layout,
    patches: *mut M::Input,
    sums: *mut f32,
}

impl<E: Element, O: Element, M: Multiply<Packed = E>> Kernel for Work<'_, E, O, M> {
    type Out = ();

    /// Relies on what `Conv::check` has made sure of.
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        // SAFETY: passed on from the caller; the weights are packed for vectors of `V::LANES`, of which the channels are a
        // multiple.
        unsafe {
            self.look::<V>();
            for block in &self.job.packed.blocks[self.job.blocks.clone()] {
                match block.vectors {
                    1 => self.block::<V, 1>(block),
                    2 => self.block::<V, 2>(block),
                    _ => self.block::<V, 3>(block),
                }
            }
        }
    }
}

impl<E: Element, O: Element, M: Multiply<Packed = E>> Work<'_, E, O, M> {
    /// Groups of tiles that lie side by side: the number of the first one, its column and row, and how many.
    #[inline(always)]
    fn groups(&self) -> impl Iterator<Item = (usize, usize, usize, usize)> {
        let Range { start, end } = self.job.columns;
        let rows = self.job.rows.clone();
        let top = rows.start;
        rows.flat_map(move |y| {
            (start..end).step_by(GROUP).map(move |x| ((y - top) * (end - start) + x - start, x, y, GROUP.min(end - x)))
        })
    }

    /// Transforms the patches of all tiles: `B^T d B`.
    ///
    /// # Safety
    /// As `run`.
    #[inline(always)]
    unsafe fn look<V: Simd>(&self) {
        let Job { conv, input, .. } = self.job;
        let plane = self.layout.patches;
        for (tile, x, y, count) in self.groups() {
            let rows: [usize; 4] = std::array::from_fn(|i| input.start + self.row(2 * y + i) * input.row);
            for channel in (0..conv.channels_in).step_by(V::LANES) {
                // SAFETY: rows and columns are those of patches, which `check` has found within the source; the room holds
                // all channels of all tiles at 16 places.
                unsafe {
                    let first = input.data.add(channel);
                    let mut left = [self.column::<V>(first, rows, 2 * x), self.column::<V>(first, rows, 2 * x + 1)];
                    for t in 0..count {
                        let x = 2 * (x + t);
                        let right = [self.column::<V>(first, rows, x + 2), self.column::<V>(first, rows, x + 3)];
                        let to = self.patches.add((tile + t) * conv.channels_in + channel);
                        for i in 0..4 {
                            let (a, b, c, d) = (left[0][i], left[1][i], right[0][i], right[1][i]);
                            let to = to.add(4 * i * plane);
                            M::Input::store(a.sub(c), to);
                            M::Input::store(b.add(c), to.add(plane));
                            M::Input::store(c.sub(b), to.add(2 * plane));
                            M::Input::store(b.sub(d), to.add(3 * plane));
                        }
                        left = right;
                    }
                }
            }
        }
    }

    /// A row of the input, given one of the tiles; the nearest where the output needs none.
    #[inline(always)]
    fn row(&self, y: usize) -> usize {
        y.saturating_sub(self.job.before.1).min(self.job.finish.place.height + 1)
    }

    /// One column of a patch, transformed: `B^T d`.
    ///
    /// # Safety
    /// As `look`.
    #[inline(always)]
    unsafe fn column<V: Simd>(&self, first: *const E, rows: [usize; 4], x: usize) -> [V; 4] {
        let x = x.saturating_sub(self.job.before.0).min(self.job.finish.place.width + 1);
        // SAFETY: passed on from the caller.
        unsafe {
            let at = first.add(x * self.job.input.pixel);
            let [a, b, c, d]: [V; 4] = [
                E::load(at.add(rows[0])),
                E::load(at.add(rows[1])),
                E::load(at.add(rows[2])),
                E::load(at.add(rows[3])),
            ];
            [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
        }
    }

    /// All tiles of one block of channels.
    ///
    /// # Safety
    /// As `run`; `NV` must be the block's vectors.
    #[inline(always)]
    unsafe fn block<V: Simd, const NV: usize>(&self, block: &Block) {
        const ZEROS: [f32; 48] = [0.0; 48];
        let Job { conv, packed, .. } = self.job;
        let (width, step) = (NV * V::LANES, conv.channels_in);
        let tiles = self.job.columns.len() * self.job.rows.len();
        let steps = conv.channels_in / E::PER_STEP;
        let runs = [Run { offset: 0, steps }];
        let pace = Pace::new::<E>(width * E::PER_STEP, tiles);
        for point in 0..POINTS {
            let mut tile = 0;
            let weights = packed.weights.as_ptr().wrapping_add(block.weights + point * conv.channels_in * width);
            // The next point, or the next block, lies behind this one.
            let behind = weights.wrapping_add(conv.channels_in * width).cast::<u8>();
            while tile < tiles {
                // SAFETY: the room holds all tiles at all places; the weights hold NV vectors of steps per step of each place.
                unsafe {
                    let product = Product::<M> {
                        from: ZEROS.as_ptr(),
                        apart: 0,
                        sums: self.sums.add(point * self.layout.sums + tile * width),
                        input: self.patches.add(point * self.layout.patches + tile * step).cast_const(),
                        runs: &runs,
                        step,
                        weights,
                        next: behind.wrapping_add(pace.after(steps, tile)),
                        pace,
                    };
                    tile += product.some::<V, NV>(tiles - tile);
                }
            }
        }
        // SAFETY: the sums have just been filled.
        unsafe { self.give::<V, NV>(block) };
    }

    /// Makes pixels of the sums of one block of channels, `A^T m A`, and stores them.
    ///
    /// # Safety
    /// As `block`, which must have filled the sums.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    unsafe fn give<V: Simd, const NV: usize>(&self, block: &Block) {
        let (width, plane, before) = (NV * V::LANES, self.layout.sums, self.job.before);
        let mut pixels = MaybeUninit::<[[f32; 2 * GROUP * 48]; 2]>::uninit();
        let pixels: *mut f32 = pixels.as_mut_ptr().cast();
        let line = 2 * GROUP * 48;
        for (tile, x, y, count) in self.groups() {
            // SAFETY: the sums hold all tiles at all places, the pixels two rows of a group.
            unsafe {
                for v in 0..NV {
                    let bias = V::load(self.job.packed.bias.as_ptr().add(block.bias + v * V::LANES));
                    for t in 0..count {
                        let from = self.sums.add((tile + t) * width + v * V::LANES);
                        let mut upper = [bias; 4];
                        let mut lower = [bias; 4];
                        for j in 0..4 {
                            let m: [V; 4] = [
                                V::load(from.add(j * plane)),
                                V::load(from.add((4 + j) * plane)),
                                V::load(from.add((8 + j) * plane)),
                                V::load(from.add((12 + j) * plane)),
                            ];
                            upper[j] = m[0].add(m[1].add(m[2]));
                            lower[j] = m[1].sub(m[2]).sub(m[3]);
                        }
                        let to = pixels.add(2 * t * width + v * V::LANES);
                        for (row, [a, b, c, d]) in [upper, lower].into_iter().enumerate() {
                            let to = to.add(row * line);
                            bias.add(a.add(b.add(c))).store(to);
                            bias.add(b.sub(c).sub(d)).store(to.add(width));
                        }
                    }
                }
                let place = &self.job.finish.place;
                let (first, end) = ((2 * x).max(before.0) - before.0, (2 * (x + count) - before.0).min(place.width));
                let outside = if x == 0 { before.0 } else { 0 };
                for row in 0..2 {
                    let y = 2 * y + row;
                    if y < before.1 || y - before.1 >= place.height {
                        continue;
                    }
                    let at = Pixels { x: first, y: y - before.1, count: end - first };
                    self.job.finish.store::<V, NV>(block, at, pixels.add(row * line + outside * width));
                }
            }
        }
    }
}
