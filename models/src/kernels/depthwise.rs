//! Convolution of each channel with a filter of its own.

use rayon::prelude::*;

use super::isa::{Isa, Kernel};
use super::shared::Shared;
use super::simd::Simd;
use super::{Element, Place, Source};

/// A depthwise convolution of a stride of 1. Padding is the caller's: the input map has a border.
pub struct Depthwise<E> {
    isa: Isa,
    channels: usize,
    kernel: usize,
    /// Per place of the patch, the weights of all channels.
    weights: Vec<E>,
    bias: Vec<f32>,
}

impl<E: Element> Depthwise<E> {
    /// Orders weights of PyTorch's shape (channels, 1, kernel, kernel); a bias per channel.
    ///
    /// # Panics
    /// When the lengths do not belong to the shape, or the processor lacks the instruction set.
    pub fn new(isa: Isa, weights: &[f32], bias: &[f32], kernel: usize) -> Self {
        assert!(isa.available(), "the processor has no {isa:?}");
        let (channels, taps) = (bias.len(), kernel * kernel);
        assert_eq!(weights.len(), channels * taps, "weights of a depthwise {kernel}x{kernel} convolution");
        let at = |i: usize| E::from_f32(weights[i % channels * taps + i / channels]);
        Self { isa, channels, kernel, weights: (0..weights.len()).map(at).collect(), bias: bias.to_vec() }
    }

    /// Channels in and out.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Multiplications and additions per output pixel.
    pub fn flops(&self) -> u64 {
        2 * (self.kernel * self.kernel * self.channels) as u64
    }

    /// Computes all pixels of `place` into `out`, in parallel over rows.
    ///
    /// # Panics
    /// When the source or the place does not lie within its slice, or output pixels would overlap.
    pub fn run(&self, source: Source<'_, E>, out: &mut [E], place: Place) {
        if place.width == 0 || place.height == 0 || self.channels == 0 {
            return;
        }
        let last = |start: usize, row: usize, pixel: usize| {
            start + (place.height - 1) * row + (place.width - 1) * pixel + self.channels
        };
        assert!(last(place.start, place.row, place.pixel) <= out.len(), "output outside its map");
        let line = place.pixel * (place.width - 1) + self.channels;
        assert!(self.channels <= place.pixel && (line <= place.row || place.height == 1), "output pixels overlap");
        let patch = (self.kernel - 1) * (source.row + source.pixel);
        assert!(last(source.start + patch, source.row, source.pixel) <= source.data.len(), "input outside its map");
        let shared = Shared::new(out);
        (0..place.height).into_par_iter().with_min_len(4).for_each(|y| {
            self.isa.run(Row { conv: self, source, place, y, out: shared });
        });
    }
}

struct Row<'a, E> {
    conv: &'a Depthwise<E>,
    source: Source<'a, E>,
    place: Place,
    y: usize,
    out: Shared<'a, E>,
}

impl<E: Element> Kernel for Row<'_, E> {
    type Out = ();

    /// Relies on what `Depthwise::run` has made sure of.
    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let Depthwise { channels, kernel, weights, bias, .. } = self.conv;
        let whole = channels - channels % V::LANES;
        for x in 0..self.place.width {
            let patch = self.source.start + self.y * self.source.row + x * self.source.pixel;
            let to = self.place.start + self.y * self.place.row + x * self.place.pixel;
            let taps = || (0..*kernel).flat_map(move |ky| (0..*kernel).map(move |kx| (ky, kx)));
            for c in (0..whole).step_by(V::LANES) {
                // SAFETY: the caller made sure that every patch and every output pixel lies within its map; no other thread
                // writes to this row.
                unsafe {
                    let mut sum = V::load(bias.as_ptr().add(c));
                    for (ky, kx) in taps() {
                        let from = patch + ky * self.source.row + kx * self.source.pixel + c;
                        let weight = E::load::<V>(weights.as_ptr().add((ky * kernel + kx) * channels + c));
                        sum = E::load::<V>(self.source.data.as_ptr().add(from)).fma(weight, sum);
                    }
                    E::store(sum, self.out.at(to + c));
                }
            }
            for c in whole..*channels {
                let mut sum = bias[c];
                for (ky, kx) in taps() {
                    let value = self.source.data[patch + ky * self.source.row + kx * self.source.pixel + c];
                    sum = value.to_f32().mul_add(weights[(ky * kernel + kx) * channels + c].to_f32(), sum);
                }
                // SAFETY: as above.
                unsafe { *self.out.at(to + c) = E::from_f32(sum) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::kernels::isa::available;
    use crate::noise::gaussian;

    fn check<E: Element>(isa: Isa, channels: usize, kernel: usize, size: (usize, usize), tolerance: f64) {
        let values = |len: usize, seed| -> Vec<f32> {
            (0..len as u32).map(|i| E::from_f32(gaussian(seed, i, 0, 0, 0)).to_f32()).collect()
        };
        let (width, height) = size;
        let row = (width + kernel - 1) * channels;
        let (weights, bias) = (values(channels * kernel * kernel, 1), values(channels, 2));
        let input = values(row * (height + kernel - 1), 3);
        let data: Vec<E> = input.iter().map(|value| E::from_f32(*value)).collect();
        let mut out = vec![E::default(); width * height * channels];
        let place = Place { start: 0, row: width * channels, pixel: channels, width, height };
        let source = Source { data: &data, start: 0, row, pixel: channels, odd: (false, false) };
        Depthwise::<E>::new(isa, &weights, &bias, kernel).run(source, &mut out, place);
        for (i, found) in out.iter().enumerate() {
            let (c, x, y) = (i % channels, i / channels % width, i / channels / width);
            let mut exact = f64::from(bias[c]);
            for (ky, kx) in (0..kernel * kernel).map(|k| (k / kernel, k % kernel)) {
                let value = input[(y + ky) * row + (x + kx) * channels + c];
                exact += f64::from(value) * f64::from(weights[(c * kernel + ky) * kernel + kx]);
            }
            let error = (f64::from(found.to_f32()) - exact).abs();
            assert!(
                error <= tolerance * exact.abs().max(1.0),
                "{isa:?} {channels} {kernel}: {found} for {exact}",
                found = found.to_f32()
            );
        }
    }

    #[test]
    fn depthwise_matches_its_definition() {
        for isa in available() {
            for (channels, kernel, size) in [(1, 3, (1, 1)), (16, 3, (5, 4)), (37, 5, (7, 3)), (64, 7, (3, 9))] {
                check::<f32>(isa, channels, kernel, size, 1e-5);
                check::<bf16>(isa, channels, kernel, size, 1e-2);
            }
        }
    }
}
