//! Convolution as a register-blocked loop over feature maps that lie pixel by pixel.
//!
//! A register tile is a few neighbouring pixels times one block of output channels (two vectors). Where pixels lie side by
//! side, one row of a 3x3 patch is one run of 3 * channels values, so the inner loop walks that run, broadcasts one value
//! per pixel and multiplies it with the packed weights of the block.
//!
//! Each output value is one chain of fused multiply-adds that starts at the bias and takes the patch row by row, left to
//! right, channel by channel. The chain does not know the picture's size, the tile or the thread: that is why tiled
//! results equal untiled ones bit for bit.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::Isa;
use super::simd::{self, Simd};

/// Where the input of a convolution lies.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The whole feature map.
    pub data: &'a [f32],
    /// Index of the first value of the patch that belongs to output pixel (0, 0).
    pub start: usize,
    /// Values from one row of the map to the next.
    pub row: usize,
    /// Values from one pixel to the next.
    pub pixel: usize,
}

/// Where output pixels go.
#[derive(Clone, Copy)]
pub struct Place {
    /// Index of the first value of output pixel (0, 0).
    pub start: usize,
    /// Values from one output row to the next.
    pub row: usize,
    /// Values from one output pixel to the next.
    pub pixel: usize,
    /// Output pixels per row.
    pub width: usize,
    /// Output rows.
    pub height: usize,
}

impl Place {
    /// The first index behind the last value, given the values per pixel; `None` beyond `usize`.
    fn end(&self, channels: usize) -> Option<usize> {
        let (rows, pixels) = (self.height.checked_sub(1)?, self.width.checked_sub(1)?);
        let last = self.row.checked_mul(rows)?.checked_add(self.pixel.checked_mul(pixels)?)?;
        self.start.checked_add(last)?.checked_add(channels)
    }
}

/// What happens to the sums before they are stored.
#[derive(Clone, Copy)]
pub enum After<'a> {
    /// Nothing.
    Nothing,
    /// `silu(y)`.
    Silu,
    /// `silu(y * scale + shift)` with one scale and one shift per output channel.
    FilmSilu {
        /// Factor per output channel.
        scale: &'a [f32],
        /// Addend per output channel.
        shift: &'a [f32],
    },
    /// `base + gain * y`, `base` being laid out by `place` (whose width and height are not looked at).
    Residual {
        /// The map to add to.
        base: &'a [f32],
        /// Where in it output pixel (0, 0) and its neighbours lie.
        place: Place,
        /// Factor of the sums.
        gain: f32,
    },
}

/// A convolution with its weights packed for one instruction set. Padding is the caller's: the input map has a border.
pub struct Conv {
    isa: Isa,
    channels_in: usize,
    channels_out: usize,
    kernel: usize,
    stride: usize,
    blocks: Vec<Block>,
    /// Per block: for each patch value the weights of the block's channels, side by side.
    weights: Vec<f32>,
    /// Per block, filled up with zeros to whole vectors.
    bias: Vec<f32>,
}

/// Output channels that are computed together.
#[derive(Clone, Copy)]
struct Block {
    /// First output channel.
    first: usize,
    /// Output channels, at most `vectors` whole vectors.
    channels: usize,
    /// Vectors per pixel, 1 or 2.
    vectors: usize,
    /// Where in `weights` the block starts.
    weights: usize,
    /// Where in `bias` the block starts.
    bias: usize,
}

impl Conv {
    /// Packs weights of PyTorch's shape (out, in, kernel, kernel) and a bias per output channel.
    ///
    /// # Panics
    /// When the lengths do not belong to the shape or the processor lacks the instruction set.
    pub fn new(isa: Isa, weights: &[f32], bias: &[f32], channels_in: usize, kernel: usize, stride: usize) -> Self {
        assert!(isa.available(), "the processor has no {isa:?}");
        let channels_out = bias.len();
        let patch = channels_in * kernel * kernel;
        assert_eq!(weights.len(), channels_out * patch, "weights of a {kernel}x{kernel} convolution");
        let lanes = if isa == Isa::Avx512 { 16 } else { 8 };

        let mut this =
            Self { isa, channels_in, channels_out, kernel, stride, blocks: vec![], weights: vec![], bias: vec![] };
        let mut first = 0;
        while first < channels_out {
            let left = channels_out - first;
            let vectors = if left > lanes { 2 } else { 1 };
            let channels = left.min(vectors * lanes);
            let (at_weights, at_bias) = (this.weights.len(), this.bias.len());
            this.blocks.push(Block { first, channels, vectors, weights: at_weights, bias: at_bias });
            for ky in 0..kernel {
                for kx in 0..kernel {
                    for i in 0..channels_in {
                        let at =
                            |o: usize| weights[((first + o) * channels_in + i) * kernel * kernel + ky * kernel + kx];
                        this.weights.extend((0..vectors * lanes).map(|o| if o < channels { at(o) } else { 0.0 }));
                    }
                }
            }
            this.bias.extend((0..vectors * lanes).map(|o| if o < channels { bias[first + o] } else { 0.0 }));
            first += channels;
        }
        this
    }

    /// Output channels.
    pub fn channels_out(&self) -> usize {
        self.channels_out
    }

    /// Multiplications and additions per output pixel.
    pub fn flops(&self) -> u64 {
        2 * (self.kernel * self.kernel * self.channels_in * self.channels_out) as u64
    }

    /// Computes all pixels of `place` into `out`, in parallel over rows. The values between the pixels of `place` are left
    /// alone.
    ///
    /// # Panics
    /// When the source, the place or the base does not lie within its slice, or output pixels would overlap.
    pub fn run(&self, source: Source<'_>, out: &mut [f32], place: Place, after: After<'_>) {
        if place.width == 0 || place.height == 0 {
            return;
        }
        self.check(&source, out.len(), &place, &after);

        // Enough jobs to share out evenly, rows enough per job to use a block's weights several times.
        let jobs = rayon::current_num_threads() * 4;
        let rows = place.height.div_ceil(jobs).clamp(1, 8);
        out[place.start..].par_chunks_mut(place.row * rows).take(place.height.div_ceil(rows)).enumerate().for_each(
            |(job, out)| {
                let job = Job {
                    conv: self,
                    source,
                    place,
                    after,
                    top: job * rows,
                    rows: rows.min(place.height - job * rows),
                };
                match self.isa {
                    Isa::Plain => job.plain(out),
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: `new` made sure that the processor has the set.
                    Isa::Avx2 => unsafe { job.avx2(out) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: as above.
                    Isa::Avx512 => unsafe { job.avx512(out) },
                    #[cfg(not(target_arch = "x86_64"))]
                    _ => job.plain(out),
                }
            },
        );
    }

    /// The promises that the kernels rely on.
    fn check(&self, source: &Source<'_>, out: usize, place: &Place, after: &After<'_>) {
        let within = |place: &Place, channels: usize, len: usize| place.end(channels).is_some_and(|end| end <= len);
        assert!(within(place, self.channels_out, out), "output outside its map");
        let line = place.pixel * (place.width - 1) + self.channels_out;
        assert!(self.channels_out <= place.pixel && line <= place.row, "output pixels overlap");

        // The last patch row of each output row, as a place of its own.
        let patches = Place {
            start: source.start + (self.kernel - 1) * source.row,
            row: source.row * self.stride,
            pixel: source.pixel * self.stride,
            ..*place
        };
        assert_eq!(source.pixel, self.channels_in, "a patch row must be one run");
        assert!(within(&patches, self.kernel * self.channels_in, source.data.len()), "input outside its map");
        match after {
            After::Nothing | After::Silu => {}
            After::FilmSilu { scale, shift } => {
                assert!(scale.len() == self.channels_out && shift.len() == self.channels_out, "film of another width");
            }
            After::Residual { base, place: at, .. } => {
                let at = Place { width: place.width, height: place.height, ..*at };
                assert!(within(&at, self.channels_out, base.len()), "residual outside its map");
            }
        }
    }
}

/// A few output rows, for one thread.
struct Job<'a> {
    conv: &'a Conv,
    source: Source<'a>,
    place: Place,
    after: After<'a>,
    top: usize,
    rows: usize,
}

impl Job<'_> {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2(&self, out: &mut [f32]) {
        // SAFETY: the caller vouches for the instruction set.
        unsafe { self.rows::<simd::Avx2>(out) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    unsafe fn avx512(&self, out: &mut [f32]) {
        // SAFETY: the caller vouches for the instruction set.
        unsafe { self.rows::<simd::Avx512>(out) }
    }

    fn plain(&self, out: &mut [f32]) {
        // SAFETY: needs no special instructions.
        unsafe { self.rows::<simd::Plain>(out) }
    }

    /// `out` starts at the first value of the job's first row.
    ///
    /// # Safety
    /// The processor must have the instruction set of `V`, `V::LANES` must be what the weights are packed for, and
    /// `Conv::check` must have passed.
    #[inline(always)]
    unsafe fn rows<V: Simd>(&self, out: &mut [f32]) {
        for block in &self.conv.blocks {
            for y in 0..self.rows {
                // SAFETY: passed on from the caller.
                unsafe {
                    if block.vectors == 2 {
                        self.line::<V, 2>(block, y, out);
                    } else {
                        self.line::<V, 1>(block, y, out);
                    }
                }
            }
        }
    }

    /// One row of one block.
    ///
    /// # Safety
    /// As `rows`; `NV` must be the block's vectors.
    #[inline(always)]
    unsafe fn line<V: Simd, const NV: usize>(&self, block: &Block, y: usize, out: &mut [f32]) {
        let width = self.place.width;
        // Tiles of nearly the same size: a last one of one or two pixels would wait for its own sums.
        let most = if NV == 2 { V::PIXELS } else { 12 };
        let tiles = width.div_ceil(most);
        let (size, longer) = (width / tiles, width % tiles);
        let mut x = 0;
        for tile in 0..tiles {
            let pixels = size + usize::from(tile < longer);
            // SAFETY: passed on from the caller; x + pixels <= width.
            unsafe {
                match pixels {
                    1 => self.tile::<V, 1, NV>(block, x, y, out),
                    2 => self.tile::<V, 2, NV>(block, x, y, out),
                    3 => self.tile::<V, 3, NV>(block, x, y, out),
                    4 => self.tile::<V, 4, NV>(block, x, y, out),
                    5 => self.tile::<V, 5, NV>(block, x, y, out),
                    6 => self.tile::<V, 6, NV>(block, x, y, out),
                    7 => self.tile::<V, 7, NV>(block, x, y, out),
                    8 => self.tile::<V, 8, NV>(block, x, y, out),
                    9 => self.tile::<V, 9, NV>(block, x, y, out),
                    10 => self.tile::<V, 10, NV>(block, x, y, out),
                    11 => self.tile::<V, 11, NV>(block, x, y, out),
                    _ => self.tile::<V, 12, NV>(block, x, y, out),
                }
            }
            x += pixels;
        }
    }

    /// `P` pixels of one block, from the sums to the store.
    ///
    /// # Safety
    /// As `line`; pixels x to x + P must lie in the row.
    #[inline(always)]
    unsafe fn tile<V: Simd, const P: usize, const NV: usize>(
        &self,
        block: &Block,
        x: usize,
        y: usize,
        out: &mut [f32],
    ) {
        let mut sums = MaybeUninit::<Sums>::uninit();
        // SAFETY: as `line`; `patches` fills what `finish` reads.
        unsafe {
            self.patches::<V, P, NV>(block, x, y, sums.as_mut_ptr().cast());
            self.finish::<V, NV>(block, sums.as_mut_ptr().cast(), P, x, y, out);
        }
    }

    /// The sums of `P` pixels of one block, pixel by pixel. All of the time goes here: sums and weights stay in registers,
    /// which is why the sums leave through memory instead of in an array that someone could index. The loops run over constant
    /// ranges, as those are unrolled early; written with iterators, the sums end up on the stack and a third of the speed is
    /// left.
    ///
    /// # Safety
    /// As `tile`; `to` must be writable for P * NV vectors.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    unsafe fn patches<V: Simd, const P: usize, const NV: usize>(
        &self,
        block: &Block,
        x: usize,
        y: usize,
        to: *mut f32,
    ) {
        let Conv { channels_in, kernel, stride, weights, bias, .. } = self.conv;
        let source = &self.source;
        let patch = source.start + (self.top + y) * stride * source.row + x * stride * source.pixel;
        // SAFETY: `check` has made sure that every patch of the place lies within the source; the weights hold
        // kernel^2 * channels_in * NV vectors per block and the bias NV.
        unsafe {
            let bias = bias.as_ptr().add(block.bias);
            let mut sums = [[V::splat(0.0); NV]; P];
            for v in 0..NV {
                let start = V::load(bias.add(v * V::LANES));
                for p in 0..P {
                    sums[p][v] = start;
                }
            }
            let step = stride * source.pixel;
            let mut w = weights.as_ptr().add(block.weights);
            for ky in 0..*kernel {
                let mut from = source.data.as_ptr().add(patch + ky * source.row);
                for _ in 0..kernel * channels_in {
                    let mut factors = [V::splat(0.0); NV];
                    for v in 0..NV {
                        factors[v] = V::load(w.add(v * V::LANES));
                    }
                    for p in 0..P {
                        let value = V::splat(*from.add(p * step));
                        for v in 0..NV {
                            sums[p][v] = value.fma(factors[v], sums[p][v]);
                        }
                    }
                    from = from.add(1);
                    w = w.add(NV * V::LANES);
                }
            }
            for p in 0..P {
                for v in 0..NV {
                    sums[p][v].store(to.add((p * NV + v) * V::LANES));
                }
            }
        }
    }

    /// Applies `after` to the sums of some pixels and stores them.
    ///
    /// # Safety
    /// As `tile`; `sums` must hold NV vectors per pixel.
    #[inline(always)]
    unsafe fn finish<V: Simd, const NV: usize>(
        &self,
        block: &Block,
        sums: *mut f32,
        pixels: usize,
        x: usize,
        y: usize,
        out: &mut [f32],
    ) {
        let block_len = NV * V::LANES;
        // SAFETY: `check` has made sure that scale, shift, base and output are long enough for the block's channels of
        // every pixel.
        unsafe {
            match self.after {
                After::Nothing => {}
                After::Silu => {
                    for at in (0..pixels * block_len).step_by(V::LANES) {
                        simd::silu(V::load(sums.add(at))).store(sums.add(at));
                    }
                }
                After::FilmSilu { scale, shift } => {
                    let scale: [V; NV] = fetch(scale.as_ptr().add(block.first), block.channels);
                    let shift: [V; NV] = fetch(shift.as_ptr().add(block.first), block.channels);
                    for p in 0..pixels {
                        for (v, (scale, shift)) in scale.into_iter().zip(shift).enumerate() {
                            let sum = sums.add(p * block_len + v * V::LANES);
                            simd::silu(V::load(sum).fma(scale, shift)).store(sum);
                        }
                    }
                }
                After::Residual { base, place, gain } => {
                    let at = place.start + (self.top + y) * place.row + x * place.pixel + block.first;
                    let gain = V::splat(gain);
                    for p in 0..pixels {
                        let base: [V; NV] = fetch(base.as_ptr().add(at + p * place.pixel), block.channels);
                        for (v, base) in base.into_iter().enumerate() {
                            let sum = sums.add(p * block_len + v * V::LANES);
                            V::load(sum).fma(gain, base).store(sum);
                        }
                    }
                }
            }
            let to = out.as_mut_ptr().add(y * self.place.row + x * self.place.pixel + block.first);
            for p in 0..pixels {
                let (from, to) = (sums.add(p * block_len), to.add(p * self.place.pixel));
                if block.channels == block_len {
                    for v in 0..NV {
                        V::load(from.add(v * V::LANES)).store(to.add(v * V::LANES));
                    }
                } else {
                    std::ptr::copy_nonoverlapping(from, to, block.channels);
                }
            }
        }
    }
}

/// Room for the sums of the largest tile of any set: 12 pixels of two vectors of 16.
#[repr(align(64))]
struct Sums {
    _values: [f32; 12 * 32],
}

/// Reads `channels` values into vectors, zeros behind them.
///
/// # Safety
/// `from` must be readable for `channels` values, `channels <= NV * LANES`, and the processor must have the set of `V`.
#[inline(always)]
unsafe fn fetch<V: Simd, const NV: usize>(from: *const f32, channels: usize) -> [V; NV] {
    // SAFETY: whole vectors are only read when all their values are there; 32 values are two vectors of any set.
    unsafe {
        let mut spare = [0.0f32; 32];
        let mut from = from;
        if channels < NV * V::LANES {
            std::ptr::copy_nonoverlapping(from, spare.as_mut_ptr(), channels);
            from = spare.as_ptr();
        }
        let mut vectors = [V::splat(0.0); NV];
        for (v, vector) in vectors.iter_mut().enumerate() {
            *vector = V::load(from.add(v * V::LANES));
        }
        vectors
    }
}

#[cfg(test)]
mod tests;
