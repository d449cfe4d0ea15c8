//! A picture's pixels in the order and depth of a file.

use super::{carry::Strip, decode::to_linear, encode::Encoding};
use crate::{files::encode::Format, pixel::unit};
use engine::value::{Image, SampleDepth};
use image::ExtendedColorType;
use rayon::prelude::*;
use std::io;

/// What a pixel of a file is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) grey: bool,
    pub(super) alpha: bool,
    pub(super) depth: SampleDepth,
    linear: bool,
}

impl Layout {
    pub(super) fn new(image: &Image, how: &Encoding) -> Self {
        let alpha = image.has_alpha() && how.format.has_alpha();
        let depth = how.format.depth(how.depth.unwrap_or(image.metadata.depth));
        // A grey file with a profile for colours keeps its profile and is written in colours; floating point samples have
        // no grey form in the encoders.
        let coloured =
            how.strip != Strip::All && image.metadata.icc.as_ref().is_some_and(|icc| icc.get(16..20) == Some(b"RGB "));
        let grey = image.metadata.grey && !coloured && how.format.has_grey(alpha, depth) && depth != SampleDepth::Float;
        Self { grey, alpha, depth, linear: matches!(how.format, Format::Exr | Format::Hdr) }
    }

    fn channels(self) -> usize {
        (if self.grey { 1 } else { 3 }) + usize::from(self.alpha)
    }

    fn bytes(self) -> usize {
        match self.depth {
            SampleDepth::Eight => 1,
            SampleDepth::Sixteen => 2,
            SampleDepth::Float => 4,
        }
    }

    /// Bytes of a pixel.
    pub(super) fn pixel(self) -> usize {
        self.channels() * self.bytes()
    }

    pub(super) fn colour(self) -> ExtendedColorType {
        use ExtendedColorType as C;
        match (self.depth, self.grey, self.alpha) {
            (SampleDepth::Eight, true, false) => C::L8,
            (SampleDepth::Eight, true, true) => C::La8,
            (SampleDepth::Eight, false, false) => C::Rgb8,
            (SampleDepth::Eight, false, true) => C::Rgba8,
            (SampleDepth::Sixteen, true, false) => C::L16,
            (SampleDepth::Sixteen, true, true) => C::La16,
            (SampleDepth::Sixteen, false, false) => C::Rgb16,
            (SampleDepth::Sixteen, false, true) => C::Rgba16,
            (SampleDepth::Float, _, false) => C::Rgb32F,
            (SampleDepth::Float, _, true) => C::Rgba32F,
        }
    }
}

/// Pixels that are converted together.
const BLOCK: usize = 4096;

/// A value from 0 to 1 as the nearest of so many steps. (Rounding by name would be a call for each sample.)
fn steps(value: f32, most: f32) -> i32 {
    (value * most + 0.5) as i32
}

/// The pixels of a picture, or of a strip of it.
pub(super) struct Pixels<'a> {
    pub(super) image: &'a Image,
    pub(super) layout: Layout,
}

impl Pixels<'_> {
    /// A sample as the file holds it, 0 to 1.
    fn sample(&self, pixel: usize, channel: usize) -> f32 {
        let at = |plane: usize| unit(self.image.plane(plane)[pixel]);
        if self.layout.alpha && channel == self.layout.channels() - 1 {
            return at(3);
        }
        let mut value = if self.layout.grey { 0.299 * at(0) + 0.587 * at(1) + 0.114 * at(2) } else { at(channel) };
        if self.layout.linear {
            value = to_linear(value);
        }
        if self.image.has_alpha() {
            if !self.layout.alpha {
                // The format cannot be seen through: on white paper.
                value = value * at(3) + (1.0 - at(3));
            } else if self.layout.linear {
                value *= at(3);
            }
        }
        value
    }

    /// Whether a channel of the file is a plane of the picture as it is.
    fn is_plain(&self) -> bool {
        !self.layout.grey && !self.layout.linear && self.image.has_alpha() == self.layout.alpha
    }

    /// Fills whole pixels, from pixel `first` on.
    fn fill(&self, first: usize, target: &mut [u8], order: fn(u16) -> [u8; 2]) {
        let (channels, bytes, plain) = (self.layout.channels(), self.layout.bytes(), self.is_plain());
        target.par_chunks_mut(channels * bytes * BLOCK).enumerate().for_each(|(block, target)| {
            let mut values = [0.0; BLOCK];
            let (first, count) = (first + block * BLOCK, target.len() / (channels * bytes));
            let values = &mut values[..count];
            for channel in 0..channels {
                if plain {
                    let plane = &self.image.plane(channel)[first..first + count];
                    values.iter_mut().zip(plane).for_each(|(value, sample)| *value = unit(*sample));
                } else {
                    values.iter_mut().zip(first..).for_each(|(value, pixel)| *value = self.sample(pixel, channel));
                }
                let to = &mut target[channel * bytes..];
                match self.layout.depth {
                    SampleDepth::Eight => put(to, channels, values, |value| [steps(value, 255.0) as u8]),
                    SampleDepth::Sixteen => put(to, channels, values, |value| order(steps(value, 65_535.0) as u16)),
                    SampleDepth::Float => put(to, channels, values, f32::to_ne_bytes),
                }
            }
        });
    }

    /// Hands out the bytes some rows at a time, so that they are never all in memory.
    pub(super) fn for_bands(
        &self,
        order: fn(u16) -> [u8; 2],
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let pixel = self.layout.pixel();
        let total = self.image.size().pixels();
        let step = (self.image.size().width as usize).saturating_mul(64).min(total);
        let mut band = vec![0; step * pixel];
        for first in (0..total).step_by(step.max(1)) {
            let band = &mut band[..step.min(total - first) * pixel];
            self.fill(first, band, order);
            each(band)?;
        }
        Ok(())
    }
}

/// Writes a value of every `channels`th sample, as `bytes` says.
fn put<const N: usize>(target: &mut [u8], channels: usize, values: &[f32], bytes: impl Fn(f32) -> [u8; N]) {
    let (samples, _) = target.as_chunks_mut::<N>();
    samples.iter_mut().step_by(channels).zip(values).for_each(|(sample, value)| *sample = bytes(*value));
}
