//! Maps that are made pixel by pixel out of others.

use candle_core::Tensor;

use super::map::Values;
use super::{Map, Pool, Precision, Then};
use crate::Result;
use crate::kernels::{Activation, activate};

impl Map {
    /// A map in f32 on the processor whose rows `make` makes of the same rows of others, over the pixels that all of them know: the rows of
    /// the inputs, pixel by pixel, and the row to fill.
    ///
    /// # Errors
    /// When there is no memory for it, or a device fails.
    pub(crate) fn of_rows<const N: usize>(
        inputs: [&Self; N],
        channels: usize,
        pool: &mut Pool,
        make: impl Fn([&[f32]; N], &mut [f32]) + Sync,
    ) -> Result<Self> {
        let region = inputs.iter().skip(1).fold(inputs[0].region, |region, map| region.within(map.region));
        let mut out = pool.map(region, channels, Precision::F32)?;
        out.write(|y, row| {
            let parts = inputs.map(|map| {
                let from = map.region;
                map.pixels(region.left - from.left, region.top + y - from.top, region.width())
            });
            make(std::array::from_fn(|i| &parts[i][..]), row);
        })?;
        Ok(out)
    }

    /// PyTorch's `pixel_shuffle`: channel c * by * by + y * by + x becomes row y and column x of each square of pixels.
    ///
    /// # Errors
    /// As [`Map::of_rows`].
    pub(crate) fn shuffled(&self, by: usize, pool: &mut Pool) -> Result<Self> {
        let (from, channels) = (self.region, self.channels / (by * by));
        let mut out = pool.map(from.times(by), channels, Precision::F32)?;
        out.write(|y, row| {
            let line = self.pixels(0, y / by, from.width());
            for (pixel, square) in line.chunks_exact(self.channels).zip(row.chunks_exact_mut(by * channels)) {
                for (x, out) in square.chunks_exact_mut(channels).enumerate() {
                    for (c, value) in out.iter_mut().enumerate() {
                        *value = pixel[(c * by + y % by) * by + x];
                    }
                }
            }
        })?;
        Ok(out)
    }

    /// Some channels, from one on.
    ///
    /// # Errors
    /// As [`Map::of_rows`].
    pub(crate) fn part(&self, first: usize, channels: usize, pool: &mut Pool) -> Result<Self> {
        Self::of_rows([self], channels, pool, |[row], out| {
            for (pixel, out) in row.chunks_exact(self.channels).zip(out.chunks_exact_mut(channels)) {
                out.copy_from_slice(&pixel[first..first + channels]);
            }
        })
    }

    /// The channels of several maps one behind the other.
    ///
    /// # Errors
    /// As [`Map::of_rows`].
    pub(crate) fn beside<const N: usize>(maps: [&Self; N], pool: &mut Pool) -> Result<Self> {
        let widths = maps.map(|map| map.channels);
        let channels = widths.iter().sum();
        Self::of_rows(maps, channels, pool, |rows, out| {
            for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                let mut rest = out;
                for (row, width) in rows.iter().zip(widths) {
                    let (here, behind) = rest.split_at_mut(width);
                    here.copy_from_slice(&row[x * width..][..width]);
                    rest = behind;
                }
            }
        })
    }

    /// A map made value by value of two maps of as many channels.
    ///
    /// # Errors
    /// As [`Map::of_rows`].
    pub(crate) fn with(&self, other: &Self, pool: &mut Pool, value: impl Fn(f32, f32) -> f32 + Sync) -> Result<Self> {
        assert_eq!(self.channels, other.channels, "channels of other maps");
        Self::of_rows([self, other], self.channels, pool, |[a, b], out| {
            out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (a, b))| *out = value(*a, *b));
        })
    }

    /// Changes every value: its channel, and the value.
    ///
    /// # Errors
    /// When a device fails.
    pub(crate) fn change(&mut self, value: impl Fn(usize, f32) -> f32 + Sync) -> Result<()> {
        let channels = self.channels;
        self.write(|_, row| {
            for pixel in row.chunks_exact_mut(channels) {
                pixel.iter_mut().enumerate().for_each(|(c, old)| *old = value(c, *old));
            }
        })
    }

    /// Puts every value through an activation.
    ///
    /// # Errors
    /// When a device fails.
    pub(crate) fn activate(&mut self, activation: Activation<'_>) -> Result<()> {
        if let Values::Tensor(tensor) = &self.values {
            self.values = Values::Tensor(Then::activation(activation).on_device(tensor.clone(), self.region)?);
            return Ok(());
        }
        self.write(|_, row| activate(row, activation))
    }

    /// Adds another map of the same pixels and channels.
    ///
    /// # Errors
    /// When a device fails.
    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        assert_eq!((self.region, self.channels), (other.region, other.channels), "other pixels or channels");
        if let Values::Tensor(tensor) = &self.values {
            self.values = Values::Tensor((tensor + other.tensor())?);
            return Ok(());
        }
        let width = self.region.width();
        self.write(|y, row| row.iter_mut().zip(&other.pixels(0, y, width)[..]).for_each(|(sum, value)| *sum += value))
    }

    /// Multiplies each pixel by a factor, given its column and row.
    ///
    /// # Errors
    /// When a device fails.
    pub(crate) fn weigh(&mut self, factor: impl Fn(usize, usize) -> f32 + Sync) -> Result<()> {
        let (width, height) = self.size();
        if let Values::Tensor(tensor) = &self.values {
            let factors = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| factor(x, y));
            let factors = Tensor::from_iter(factors, tensor.device())?.reshape((1, 1, height, width))?;
            self.values = Values::Tensor(tensor.broadcast_mul(&factors.to_dtype(tensor.dtype())?)?);
            return Ok(());
        }
        let channels = self.channels;
        self.write(|y, row| {
            for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                let factor = factor(x, y);
                pixel.iter_mut().for_each(|value| *value *= factor);
            }
        })
    }
}

/// `1 / (1 + e^-x)`.
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
