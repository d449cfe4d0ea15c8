//! Maps that are made pixel by pixel out of others.

use super::{Map, Pool, Precision};
use crate::Result;

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
}
