//! Maps at other sizes, and what their pixels have in common. For networks that see whole maps: nothing here looks at cuts.

use rayon::prelude::*;

use super::{Map, Pool, Precision, Region};
use crate::Result;

impl Map {
    /// Width and height of the pixels that are known.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.region.width(), self.region.height())
    }

    /// A map of another size that `make` fills row by row: number of the row, and its values.
    fn of_size(
        &self,
        (width, height): (usize, usize),
        pool: &mut Pool,
        make: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<Self> {
        let mut out = pool.map(Region::whole(width, height), self.channels, Precision::F32)?;
        out.write(make)?;
        Ok(out)
    }

    /// Resampled to another size between the two nearest pixels of each axis, corners not aligned (PyTorch's `bilinear`).
    ///
    /// # Errors
    /// When there is no memory for the result, or a device fails.
    pub(crate) fn bilinear(&self, to: (usize, usize), pool: &mut Pool) -> Result<Self> {
        let from = self.size();
        let place = |at: usize, from: usize, to: usize| {
            let x = ((at as f32 + 0.5) * (from as f32 / to as f32) - 0.5).max(0.0);
            let first = (x as usize).min(from - 1);
            (first, (first + 1).min(from - 1), x - first as f32)
        };
        let columns: Vec<_> = (0..to.0).map(|x| place(x, from.0, to.0)).collect();
        self.of_size(to, pool, |y, row| {
            let (above, below, share) = place(y, from.1, to.1);
            let (above, below) = (self.pixels(0, above, from.0), self.pixels(0, below, from.0));
            for (out, &(left, right, across)) in row.chunks_exact_mut(self.channels).zip(&columns) {
                for (c, value) in out.iter_mut().enumerate() {
                    let (l, r) = (left * self.channels + c, right * self.channels + c);
                    let top = above[l] * (1.0 - across) + above[r] * across;
                    let bottom = below[l] * (1.0 - across) + below[r] * across;
                    *value = top * (1.0 - share) + bottom * share;
                }
            }
        })
    }

    /// Resampled to another size by the nearest pixel in front (PyTorch's `nearest`).
    ///
    /// # Errors
    /// As [`Map::bilinear`].
    pub(crate) fn nearest(&self, to: (usize, usize), pool: &mut Pool) -> Result<Self> {
        let from = self.size();
        self.of_size(to, pool, |y, row| {
            let line = self.pixels(0, y * from.1 / to.1, from.0);
            for (x, out) in row.chunks_exact_mut(self.channels).enumerate() {
                out.copy_from_slice(&line[x * from.0 / to.0 * self.channels..][..self.channels]);
            }
        })
    }

    /// The largest value of each channel in as many parts as the size says (PyTorch's `adaptive_max_pool2d`).
    ///
    /// # Errors
    /// As [`Map::bilinear`].
    pub(crate) fn largest(&self, to: (usize, usize), pool: &mut Pool) -> Result<Self> {
        let from = self.size();
        let part = |at: usize, from: usize, to: usize| at * from / to..((at + 1) * from).div_ceil(to);
        self.of_size(to, pool, |y, row| {
            row.fill(f32::NEG_INFINITY);
            for line in part(y, from.1, to.1) {
                let line = self.pixels(0, line, from.0);
                for (x, out) in row.chunks_exact_mut(self.channels).enumerate() {
                    raise(out, &line, part(x, from.0, to.0));
                }
            }
        })
    }

    /// The largest value of each channel in squares of `edge` pixels, `step` pixels from one to the next (PyTorch's `max_pool2d`).
    /// A map that is smaller than a square gives one pixel.
    ///
    /// # Errors
    /// As [`Map::bilinear`].
    pub(crate) fn largest_in_squares(&self, edge: usize, step: usize, pool: &mut Pool) -> Result<Self> {
        let from = self.size();
        let count = |of: usize| of.saturating_sub(edge) / step + 1;
        self.of_size((count(from.0), count(from.1)), pool, |y, row| {
            row.fill(f32::NEG_INFINITY);
            for line in y * step..(y * step + edge).min(from.1) {
                let line = self.pixels(0, line, from.0);
                for (x, out) in row.chunks_exact_mut(self.channels).enumerate() {
                    raise(out, &line, x * step..(x * step + edge).min(from.0));
                }
            }
        })
    }

    /// The largest value of each channel among the pixels at most so far away (PyTorch's `max_pool2d` with a step of 1).
    ///
    /// # Errors
    /// As [`Map::bilinear`].
    pub(crate) fn largest_around(&self, reach: usize, pool: &mut Pool) -> Result<Self> {
        let from = self.size();
        self.of_size(from, pool, |y, row| {
            row.fill(f32::NEG_INFINITY);
            for line in y.saturating_sub(reach)..(y + reach + 1).min(from.1) {
                let line = self.pixels(0, line, from.0);
                for (x, out) in row.chunks_exact_mut(self.channels).enumerate() {
                    raise(out, &line, x.saturating_sub(reach)..(x + reach + 1).min(from.0));
                }
            }
        })
    }

    /// Every second pixel of each axis, from pixel `first` on: what a convolution with a stride of 2 gives, out of the same with a stride
    /// of 1. That is 0 where one pixel in front is padding (PyTorch), and 1 where none is (TensorFlow, which pads behind the end).
    ///
    /// # Errors
    /// As [`Map::bilinear`].
    pub(crate) fn every_second(&self, first: usize, pool: &mut Pool) -> Result<Self> {
        let from = self.size();
        let count = |of: usize| of.saturating_sub(first).div_ceil(2);
        self.of_size((count(from.0), count(from.1)), pool, |y, row| {
            let line = self.pixels(first, 2 * y + first, from.0 - first);
            let pixels = line.chunks_exact(self.channels).step_by(2);
            row.chunks_exact_mut(self.channels).zip(pixels).for_each(|(out, pixel)| out.copy_from_slice(pixel));
        })
    }

    /// Mean and variance of each channel over all pixels.
    pub(crate) fn moments(&self) -> (Vec<f32>, Vec<f32>) {
        let (width, height) = self.size();
        let count = (width * height).max(1) as f64;
        let sums = |of: &(dyn Fn(usize, f32) -> f64 + Sync)| -> Vec<f64> {
            // Row by row, and the rows in their order: the same sums however many threads there are.
            let rows: Vec<Vec<f64>> = (0..height)
                .into_par_iter()
                .map(|y| {
                    let mut sums = vec![0.0; self.channels];
                    for pixel in self.pixels(0, y, width).chunks_exact(self.channels) {
                        sums.iter_mut().zip(pixel).enumerate().for_each(|(c, (sum, value))| *sum += of(c, *value));
                    }
                    sums
                })
                .collect();
            rows.iter().fold(vec![0.0; self.channels], |mut all, row| {
                all.iter_mut().zip(row).for_each(|(all, row)| *all += row);
                all
            })
        };
        let means: Vec<f64> = sums(&|_, value| f64::from(value)).iter().map(|sum| sum / count).collect();
        let variances = sums(&|c, value| (f64::from(value) - means[c]).powi(2));
        let variances = variances.iter().map(|sum| (sum / count) as f32).collect();
        (means.iter().map(|mean| *mean as f32).collect(), variances)
    }

    /// Continued to another size by mirroring, the last pixel left out (PyTorch's `reflect`); as far as there are pixels to mirror,
    /// then by the pixel that is reached.
    ///
    /// # Errors
    /// As [`Map::bilinear`].
    pub(crate) fn mirrored(&self, to: (usize, usize), pool: &mut Pool) -> Result<Self> {
        self.continued(to, 2, pool)
    }

    /// The same with the last pixel twice.
    ///
    /// # Errors
    /// As [`Map::bilinear`].
    pub(crate) fn mirrored_with_edge(&self, to: (usize, usize), pool: &mut Pool) -> Result<Self> {
        self.continued(to, 1, pool)
    }

    fn continued(&self, to: (usize, usize), back: usize, pool: &mut Pool) -> Result<Self> {
        let from = self.size();
        let place = |at: usize, from: usize| match at {
            _ if at < from => at,
            _ => (2 * from).saturating_sub(back + at).min(from - 1),
        };
        self.of_size(to, pool, |y, row| {
            let line = self.pixels(0, place(y, from.1), from.0);
            for (x, out) in row.chunks_exact_mut(self.channels).enumerate() {
                out.copy_from_slice(&line[place(x, from.0) * self.channels..][..self.channels]);
            }
        })
    }

    /// Continued to another size by zeros.
    ///
    /// # Errors
    /// As [`Map::bilinear`].
    pub(crate) fn with_zeros(&self, to: (usize, usize), pool: &mut Pool) -> Result<Self> {
        let from = self.size();
        self.of_size(to, pool, |y, row| {
            row.fill(0.0);
            if y < from.1 {
                row[..from.0 * self.channels].copy_from_slice(&self.pixels(0, y, from.0));
            }
        })
    }

    /// The pixels of each axis in another order: the first of each of so many equal parts of it, then the second of each, and so on.
    /// The same with as many parts as a part has pixels puts them back.
    ///
    /// # Errors
    /// As [`Map::bilinear`].
    pub(crate) fn interleaved(&self, parts: (usize, usize), pool: &mut Pool) -> Result<Self> {
        let from = self.size();
        let place = |at: usize, of: usize, parts: usize| at % parts * (of / parts) + at / parts;
        self.of_size(from, pool, |y, row| {
            let line = self.pixels(0, place(y, from.1, parts.1), from.0);
            for (x, out) in row.chunks_exact_mut(self.channels).enumerate() {
                out.copy_from_slice(&line[place(x, from.0, parts.0) * self.channels..][..self.channels]);
            }
        })
    }

    /// The first pixels of the map, as many as the size says.
    ///
    /// # Errors
    /// As [`Map::bilinear`].
    pub(crate) fn cropped(&self, to: (usize, usize), pool: &mut Pool) -> Result<Self> {
        self.of_size(to, pool, |y, row| row.copy_from_slice(&self.pixels(0, y, to.0)))
    }
}

/// Raises the values of a pixel to the largest of some pixels of a line.
fn raise(out: &mut [f32], line: &[f32], part: std::ops::Range<usize>) {
    let channels = out.len();
    for pixel in line[part.start * channels..part.end * channels].chunks_exact(channels) {
        out.iter_mut().zip(pixel).for_each(|(most, value)| *most = most.max(*value));
    }
}
