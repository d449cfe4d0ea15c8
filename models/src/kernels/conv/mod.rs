//! Convolution as an implicit matrix product over feature maps that lie pixel by pixel. A fully connected layer is a 1x1
//! convolution.
//!
//! A register tile is a few neighbouring pixels times a block of output channels (up to three vectors). Where pixels lie side
//! by side, one row of a 3x3 patch is one run of 3 * channels values, so the inner loop walks that run, broadcasts one value
//! (or bf16 pair) per pixel and multiplies it with the packed weights of the block. Long patches are cut into pieces whose
//! weights stay in the second-level cache while a block of pixels goes by; the sums wait in memory in between.
//!
//! Each output value is one chain of fused multiply-adds that starts at the bias and takes the patch row by row, left to
//! right, channel by channel. The chain does not know the picture's size, the tile or the thread: that is why tiled
//! results equal untiled ones bit for bit.
//!
//! A grouped convolution is one convolution per group, of some channels of a map to some channels of another: both are told by
//! where they start and how far apart pixels lie.
//!
//! 3x3 convolutions of many channels go another way, with less than half of the products: see [`winograd`]. Where the processor
//! has a unit for products of matrices, all of bf16 goes there, see [`tiled`]; its sums are chains of larger steps.

mod direct;
mod finish;
mod multiply;
mod pack;
mod tiled;
mod winograd;

use std::ops::Range;

use rayon::prelude::*;

use super::shared::Shared;
use super::{Activation, Element, Isa, matrix};
use finish::Finish;
use pack::{Form, Packed};

pub use pack::Row;

/// Where the input of a convolution lies.
#[derive(Clone, Copy)]
pub struct Source<'a, E> {
    /// The whole feature map.
    pub data: &'a [E],
    /// Index of the first value of the patch that belongs to output pixel (0, 0).
    pub start: usize,
    /// Values from one row of the map to the next.
    pub row: usize,
    /// Values from one pixel to the next.
    pub pixel: usize,
    /// Whether output pixel (0, 0) lies in an odd column, and in an odd row, of the whole picture.
    pub odd: (bool, bool),
}

/// A `Source` that may be a part of the output's map.
#[derive(Clone, Copy)]
struct Input<E> {
    data: *const E,
    start: usize,
    row: usize,
    pixel: usize,
}

// SAFETY: it is only read, and whoever makes a job promises that nobody writes what is read meanwhile.
unsafe impl<E: Sync> Send for Input<E> {}
// SAFETY: as above.
unsafe impl<E: Sync> Sync for Input<E> {}

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

/// What happens to the sums before they are stored: `base + gain * activation(y * scale + shift)`, and another base and gain
/// around that.
#[derive(Clone, Copy)]
pub struct After<'a, E> {
    /// Scale and shift.
    pub film: Option<Film<'a>>,
    /// The activation.
    pub activation: Activation<'a>,
    /// Bases and gains, the inner one first.
    pub add: [Option<Residual<'a, E>>; 2],
}

/// One scale and one shift per output channel (feature-wise linear modulation, Perez et al. 2017).
#[derive(Clone, Copy)]
pub struct Film<'a> {
    /// Factor per output channel.
    pub scale: &'a [f32],
    /// Addend per output channel.
    pub shift: &'a [f32],
}

/// A map that a result is added to.
#[derive(Clone, Copy)]
pub struct Residual<'a, E> {
    /// The map.
    pub base: &'a [E],
    /// Where in it output pixel (0, 0) and its neighbours lie; width and height are not looked at.
    pub place: Place,
    /// Factor of the result.
    pub gain: f32,
}

impl<'a, E: Copy> After<'a, E> {
    /// The activation alone.
    pub fn only(activation: Activation<'a>) -> Self {
        Self { film: None, activation, add: [None; 2] }
    }
}

/// A convolution with its weights packed for one instruction set. Padding is the caller's: the input map has a border.
pub struct Conv<E> {
    isa: Isa,
    channels_in: usize,
    channels_out: usize,
    kernel: usize,
    stride: usize,
    /// Whether each block holds a vector of values and a vector of their gates.
    gated: bool,
    /// Whether the weights are those of [`winograd`].
    fast: bool,
    packed: Packed<E>,
}

impl<E: Element> Conv<E> {
    /// Packs weights of PyTorch's shape (out, in, kernel, kernel) and a bias per output channel.
    ///
    /// # Panics
    /// When the lengths do not belong to the shape, the processor lacks the instruction set, or bf16 input channels are odd.
    pub fn new(isa: Isa, weights: &[f32], bias: &[f32], channels_in: usize, kernel: usize, stride: usize) -> Self {
        let len = kernel * kernel * channels_in;
        assert_eq!(weights.len(), bias.len() * len, "weights of a {kernel}x{kernel} convolution");
        Self::by_rows(isa, &of(weights, len), bias, channels_in, kernel, stride)
    }

    /// The same where `row` writes the weights (in, kernel, kernel) of an output channel: it is asked in parallel, and for few at a
    /// time.
    ///
    /// # Panics
    /// As `new`.
    pub fn by_rows(isa: Isa, row: Row<'_>, bias: &[f32], channels_in: usize, kernel: usize, stride: usize) -> Self {
        assert!(isa.available(), "the processor has no {isa:?}");
        assert_eq!(channels_in % E::PER_STEP, 0, "bf16 channels come in pairs");
        let packed = Packed::new(isa, bias, Form::Plain(kernel * kernel), channels_in, row);
        Self { isa, channels_in, channels_out: bias.len(), kernel, stride, gated: false, fast: false, packed }
    }

    /// Whether a 3x3 convolution of so many channels can be a [`fast`](Conv::fast) one, and is faster for it. The same for all
    /// instruction sets, whose results are alike.
    pub fn pays(channels_in: usize) -> bool {
        channels_in.is_multiple_of(16) && channels_in >= 32
    }

    /// The same as `new` for a 3x3 convolution of stride 1, with less than half of the products and results that differ by
    /// rounding: by a few units of the last place in f32, of the last bf16 in bf16 (Winograd's minimal filtering).
    ///
    /// # Panics
    /// As `new`, and where it does not [pay](Conv::pays).
    pub fn fast(isa: Isa, weights: &[f32], bias: &[f32], channels_in: usize) -> Self {
        assert_eq!(weights.len(), bias.len() * channels_in * 9, "weights of a 3x3 convolution");
        Self::fast_by_rows(isa, &of(weights, channels_in * 9), bias, channels_in)
    }

    /// The same of rows, as [`by_rows`](Conv::by_rows).
    ///
    /// # Panics
    /// As `fast`.
    pub fn fast_by_rows(isa: Isa, row: Row<'_>, bias: &[f32], channels_in: usize) -> Self {
        assert!(isa.available(), "the processor has no {isa:?}");
        assert!(Self::pays(channels_in), "{channels_in} channels");
        if isa.has_tiles::<E>() {
            // Transforming patches would take longer than their products.
            return Self::by_rows(isa, row, bias, channels_in, 3, 1);
        }
        let packed = Packed::new(isa, bias, Form::Winograd, channels_in, row);
        Self { isa, channels_in, channels_out: bias.len(), kernel: 3, stride: 1, gated: false, fast: true, packed }
    }

    /// A fully connected layer and the gate of a GEGLU (Shazeer 2020) behind it: the first half of the rows of `weights`
    /// (out, in) makes values, each of which is multiplied with the GELU of what the row in the second half makes. Half as many
    /// channels come out as there are rows.
    ///
    /// # Panics
    /// As `new`, and when the number of rows is odd.
    pub fn gated(isa: Isa, weights: &[f32], bias: &[f32], channels_in: usize) -> Self {
        assert_eq!(weights.len(), bias.len() * channels_in, "weights of a fully connected layer");
        Self::gated_by_rows(isa, &of(weights, channels_in), bias, channels_in)
    }

    /// The same of rows, as [`by_rows`](Conv::by_rows).
    ///
    /// # Panics
    /// As `gated`.
    pub fn gated_by_rows(isa: Isa, row: Row<'_>, bias: &[f32], channels_in: usize) -> Self {
        assert!(isa.available(), "the processor has no {isa:?}");
        assert_eq!(channels_in % E::PER_STEP, 0, "bf16 channels come in pairs");
        assert!(bias.len().is_multiple_of(2), "a gate for each value");
        let (channels_out, lanes) = (bias.len() / 2, isa.lanes());
        // A vector of values and a vector of their gates in turn, the last ones filled up.
        let of = |o: usize| {
            let channel = o / (2 * lanes) * lanes + o % lanes;
            let gate = o % (2 * lanes) >= lanes;
            (channel < channels_out).then_some(channel + if gate { channels_out } else { 0 })
        };
        let rows = channels_out.div_ceil(lanes) * 2 * lanes;
        let bias: Vec<f32> = (0..rows).map(|o| of(o).map_or(0.0, |row| bias[row])).collect();
        let row = |o: usize, values: &mut [f32]| match of(o) {
            Some(index) => row(index, values),
            None => values.fill(0.0),
        };
        let packed = Packed::new(isa, &bias, Form::Plain(1), channels_in, &row);
        Self { isa, channels_in, channels_out, kernel: 1, stride: 1, gated: true, fast: false, packed }
    }

    /// Output channels.
    pub fn channels_out(&self) -> usize {
        self.channels_out
    }

    /// Multiplications and additions per output pixel.
    pub fn flops(&self) -> u64 {
        let rows = if self.gated { 2 * self.channels_out } else { self.channels_out };
        2 * (self.kernel * self.kernel * self.channels_in * rows) as u64
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> u64 {
        self.packed.bytes()
    }

    /// Computes all pixels of `place` into `out`, in parallel over pixels and channels. The values between the pixels of
    /// `place` are left alone.
    ///
    /// # Panics
    /// When the source, the place or the base does not lie within its slice, output pixels would overlap, or anything follows
    /// a gate.
    pub fn run<O: Element>(&self, source: Source<'_, E>, out: &mut [O], place: Place, after: After<'_, O>) {
        if place.width == 0 || place.height == 0 || self.channels_out == 0 {
            return;
        }
        self.check(&source, out.len(), &place, &after);
        // SAFETY: `check` has just looked at all that is read and written.
        unsafe { self.share_out(source.data.as_ptr(), &source, Shared::new(out), place, after) };
    }

    /// The same where the input's channels and the output's lie side by side in the pixels of one map: a dense block
    /// (Huang et al. 2017) adds channels to a map and reads those in front of them. `start` and `odd` are those of a
    /// [`Source`].
    ///
    /// # Panics
    /// As `run`, or when an output channel does not lie behind the input's.
    pub fn run_beside(&self, map: &mut [E], start: usize, odd: (bool, bool), place: Place, after: After<'_, E>) {
        if place.width == 0 || place.height == 0 || self.channels_out == 0 {
            return;
        }
        let Place { pixel, row, .. } = place;
        let source = Source { data: &*map, start, row, pixel, odd };
        self.check(&source, map.len(), &place, &after);
        assert!(row.is_multiple_of(pixel) && self.stride == 1, "both have one layout");
        let (read, written) = (start % pixel, place.start % pixel);
        assert!(read + self.channels_in <= written && written + self.channels_out <= pixel, "channels overlap");
        let source = Source { data: &[], ..source };
        let shared = Shared::new(map);
        // SAFETY: `check` has just looked at all that is read and written; within each pixel, what is read lies in front of
        // what is written.
        unsafe { self.share_out(shared.at(0).cast_const(), &source, shared, place, after) };
    }

    /// Shares the work out to the threads.
    ///
    /// # Safety
    /// `data` must be readable, and `out` writable, for all that `check` looks at; nothing that is read is written.
    unsafe fn share_out<O: Element>(
        &self,
        data: *const E,
        source: &Source<'_, E>,
        out: Shared<'_, O>,
        place: Place,
        after: After<'_, O>,
    ) {
        let input = Input { data, start: source.start, row: source.row, pixel: source.pixel };
        let (packed, finish) = (&self.packed, Finish { place, after, out });
        if self.fast {
            let before = (usize::from(source.odd.0), usize::from(source.odd.1));
            let tiles = ((place.width + before.0).div_ceil(2), (place.height + before.1).div_ceil(2));
            let bytes = if self.isa.widens::<E>() { size_of::<f32>() } else { size_of::<E>() };
            self.each(tiles, winograd::most_tiles(self.channels_in, bytes), 1, |blocks, columns, rows| {
                winograd::Job { conv: self, packed, input, before, finish, blocks, columns, rows }.start();
            });
        } else if self.isa.has_tiles::<E>() {
            let pieces = packed.parts(self.kernel, source);
            self.each((place.width, place.height), tiled::PIXELS, matrix::ROWS, |blocks, columns, rows| {
                self.isa.run(tiled::Job { conv: self, packed, input, finish, pieces: &pieces, blocks, columns, rows });
            });
        } else {
            let wide = direct::wide_row(self, part(place.width, direct::PIXELS, 1));
            let (row, pixel) =
                if self.isa.widens::<E>() { (wide, self.channels_in) } else { (source.row, source.pixel) };
            let pieces = &packed.pieces(self.kernel, row, pixel);
            self.each((place.width, place.height), direct::PIXELS, 1, |blocks, columns, rows| {
                direct::Job { conv: self, packed, input, finish, pieces, wide, blocks, columns, rows }.start();
            });
        }
    }

    /// Calls `job` in parallel for ranges of blocks of channels, columns and rows: at most so many places at a time, as many as
    /// share what is in the cache, rows side by side where they are short. Rows are cut at multiples of `grain` columns.
    fn each(
        &self,
        (width, height): (usize, usize),
        most: usize,
        grain: usize,
        job: impl Fn(Range<usize>, Range<usize>, Range<usize>) + Sync,
    ) {
        let columns = part(width, most, grain);
        let (across, threads) = (width.div_ceil(columns), rayon::current_num_threads());
        let rows = (most / columns).min(height.div_ceil(threads)).max(1);
        // Somewhat fewer where the threads are done together then.
        let longest = |rows: usize| (height.div_ceil(rows) * across).div_ceil(threads) * rows;
        let rows = (rows.div_ceil(2)..=rows).rev().min_by_key(|&rows| longest(rows)).unwrap_or(rows);
        let parts = across * height.div_ceil(rows);
        // Enough jobs to share out evenly; where there are few pixels, the channels are shared out.
        let blocks = self.packed.blocks.len();
        let groups = (threads * 4).div_ceil(parts).min(blocks);
        let per_group = blocks.div_ceil(groups);
        let groups = blocks.div_ceil(per_group);
        (0..groups * parts).into_par_iter().for_each(|index| {
            let (group, part) = (index / parts, index % parts);
            let (left, top) = (part % across * columns, part / across * rows);
            job(
                group * per_group..((group + 1) * per_group).min(blocks),
                left..(left + columns).min(width),
                top..(top + rows).min(height),
            );
        });
    }

    /// The promises that the kernel relies on.
    fn check<O>(&self, source: &Source<'_, E>, out: usize, place: &Place, after: &After<'_, O>) {
        let within = |place: &Place, channels: usize, len: usize| place.end(channels).is_some_and(|end| end <= len);
        let channels = self.channels_out;
        assert!(within(place, channels, out), "output outside its map");
        let line = place.pixel * (place.width - 1) + channels;
        assert!(channels <= place.pixel && (line <= place.row || place.height == 1), "output pixels overlap");

        // The last value of each patch, as a place of its own.
        let last = (self.kernel - 1) * (source.row + source.pixel);
        let patches = Place {
            start: source.start + last,
            row: source.row * self.stride,
            pixel: source.pixel * self.stride,
            ..*place
        };
        assert!(within(&patches, self.channels_in, source.data.len()), "input outside its map");
        let nothing =
            after.film.is_none() && after.activation == Activation::Identity && after.add.iter().all(Option::is_none);
        assert!(nothing || !self.gated, "nothing follows a gate");
        if let Some(Film { scale, shift }) = after.film {
            assert!(scale.len() == channels && shift.len() == channels, "film of another width");
        }
        if let Activation::Prelu(slopes) = after.activation {
            assert_eq!(slopes.len(), channels, "slopes of another width");
        }
        for Residual { base, place: at, .. } in after.add.iter().flatten() {
            let at = Place { width: place.width, height: place.height, ..*at };
            assert!(within(&at, channels, base.len()), "residual outside its map");
        }
    }
}

/// Columns of a job: a part of the width that is at most so many, and a multiple of `grain` but for the last one.
fn part(width: usize, most: usize, grain: usize) -> usize {
    width.div_ceil(width.div_ceil(most)).next_multiple_of(grain).min(width)
}

/// The rows of weights that are there already.
fn of(weights: &[f32], len: usize) -> impl Fn(usize, &mut [f32]) + Sync {
    move |o, values| values.copy_from_slice(&weights[o * len..][..len])
}

#[cfg(test)]
mod tests;
