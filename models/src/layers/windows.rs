//! Attention inside windows of a map (Liu et al., Swin Transformer 2021).

use rayon::prelude::*;

use super::attention::Side;
use super::{Map, Pool, Precision};
use crate::Result;

/// How a map is cut into windows, and what pixels of a window have to do with each other.
pub(crate) struct Windows {
    /// Rows and columns of a window. The map has to be of whole windows.
    pub(crate) size: (usize, usize),
    /// Rows and columns by which the windows are moved down and to the right; those at the end continue at the beginning.
    pub(crate) shift: (usize, usize),
    /// Pixels around a window that its own see as well; beyond the sides of the map those are zeros. For windows that are not moved.
    pub(crate) around: usize,
    /// Whether pixels that are neighbours only because windows continue at the beginning do not see each other.
    pub(crate) masked: bool,
    /// Heads.
    pub(crate) heads: usize,
    /// Added to the scores: for each head, for each pixel of a window, for each pixel that it sees.
    pub(crate) bias: Vec<f32>,
    /// Factor of the scores before that.
    pub(crate) scale: f32,
}

/// What hides a pixel from another, as far as a softmax goes.
const HIDDEN: f32 = -100.0;

impl Windows {
    /// The bias out of a table of the distances between pixels, rows of one value per head: (2 * rows - 1) * (2 * columns - 1) of them.
    pub(crate) fn spread(table: &[f32], (rows, columns): (usize, usize), heads: usize) -> Vec<f32> {
        let count = rows * columns;
        let mut bias = Vec::with_capacity(heads * count * count);
        for head in 0..heads {
            for own in 0..count {
                for other in 0..count {
                    let down = own / columns + rows - 1 - other / columns;
                    let across = own % columns + columns - 1 - other % columns;
                    bias.push(table[(down * (2 * columns - 1) + across) * heads + head]);
                }
            }
        }
        bias
    }

    /// Floating-point operations per pixel for so many channels.
    pub(crate) fn flops(&self, channels: usize) -> f64 {
        let wide = |side: usize| side + 2 * self.around;
        4.0 * (wide(self.size.0) * wide(self.size.1) * channels) as f64
    }

    /// What each pixel sees in its window: `channels` channels of queries, keys and values, in f32 on the processor. The result
    /// has no border.
    ///
    /// # Errors
    /// When there is no memory for the result, or a device fails.
    pub(crate) fn run(&self, [q, k, v]: [Side<'_>; 3], channels: usize, pool: &mut Pool) -> Result<Map> {
        let (width, height) = q.0.size();
        let ((rows, columns), around) = (self.size, self.around);
        let (down, across) = (height / rows, width / columns);
        assert!(down * rows == height && across * columns == width, "a map of whole windows");
        let count = rows * columns;
        // Where the pixels of a window lie in the map, and in which part of it by the windows that continue at the beginning.
        let place = |window: usize, pixel: usize| {
            let y = window / across * rows + pixel / columns;
            let x = window % across * columns + pixel % columns;
            let part = |at: usize, of: usize, size: usize, shift: usize| match at {
                _ if shift == 0 || at < of - size => 0,
                _ if at < of - shift => 1,
                _ => 2,
            };
            let parts = (part(y, height, rows, self.shift.0), part(x, width, columns, self.shift.1));
            ((x + self.shift.1) % width, (y + self.shift.0) % height, parts)
        };
        let seen: Vec<Vec<f32>> = (0..down * across)
            .into_par_iter()
            .map(|window| {
                let places: Vec<_> = (0..count).map(|pixel| place(window, pixel)).collect();
                let gathered = |(map, first): Side<'_>| -> Vec<f32> {
                    let pixels = places.iter().map(|&(x, y, _)| map.pixels(x, y, 1));
                    pixels.flat_map(|pixel| pixel[first..first + channels].to_vec()).collect()
                };
                // A window with what is around it.
                let wide = |(map, first): Side<'_>| -> Vec<f32> {
                    if around == 0 {
                        return gathered((map, first));
                    }
                    let mut values = Vec::with_capacity((rows + 2 * around) * (columns + 2 * around) * channels);
                    for y in window / across * rows..window / across * rows + rows + 2 * around {
                        for x in window % across * columns..window % across * columns + columns + 2 * around {
                            match (x.checked_sub(around), y.checked_sub(around)) {
                                (Some(x), Some(y)) if x < width && y < height => {
                                    values.extend_from_slice(&map.pixels(x, y, 1)[first..first + channels]);
                                }
                                _ => values.resize(values.len() + channels, 0.0),
                            }
                        }
                    }
                    values
                };
                let (q, k, v) = (gathered(q), wide(k), wide(v));
                let hidden = |own: usize, other: usize| self.masked && places[own].2 != places[other].2;
                self.attend(&q, &k, &v, channels, hidden)
            })
            .collect();
        let mut out = pool.padded(q.0.region, channels, Precision::F32, 0)?;
        out.write(|y, row| {
            // Row and column of a pixel once its window is found again.
            let line = (y + height - self.shift.0) % height;
            for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                let column = (x + width - self.shift.1) % width;
                let window = &seen[line / rows * across + column / columns];
                let at = line % rows * columns + column % columns;
                pixel.copy_from_slice(&window[at * channels..][..channels]);
            }
        })?;
        Ok(out)
    }

    /// Attention of the pixels of one window, `channels` values of each.
    fn attend(
        &self,
        q: &[f32],
        k: &[f32],
        v: &[f32],
        channels: usize,
        hidden: impl Fn(usize, usize) -> bool,
    ) -> Vec<f32> {
        let (count, others, size) = (q.len() / channels, k.len() / channels, channels / self.heads);
        let mut out = vec![0.0; q.len()];
        let mut scores = vec![0.0; others];
        for head in 0..self.heads {
            let first = head * size;
            for own in 0..count {
                let query = &q[own * channels + first..][..size];
                let bias = &self.bias[(head * count + own) * others..][..others];
                for (other, score) in scores.iter_mut().enumerate() {
                    let key = &k[other * channels + first..][..size];
                    let product: f32 = query.iter().zip(key).map(|(q, k)| q * k).sum();
                    *score = product * self.scale + bias[other] + if hidden(own, other) { HIDDEN } else { 0.0 };
                }
                softmax(&mut scores);
                let result = &mut out[own * channels + first..][..size];
                for (other, share) in scores.iter().enumerate() {
                    let value = &v[other * channels + first..][..size];
                    result.iter_mut().zip(value).for_each(|(sum, value)| *sum += share * value);
                }
            }
        }
        out
    }
}

/// Shares that add up to 1.
pub(crate) fn softmax(scores: &mut [f32]) {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - most).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}
