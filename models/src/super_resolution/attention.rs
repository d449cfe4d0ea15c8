//! What transformers have in common: what distances add to scores (Wang et al., CrossFormer 2021), and attention between channels
//! (El-Nouby et al., XCiT 2021) with the gated layers that come with it (Zamir et al., Restormer 2022).

use rayon::prelude::*;

use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Dense, Depthwise, Map, Pool, Precision, Then, Weights, softmax};

/// A small network that makes of the distance of two pixels what is added to their score, for each head.
pub(super) fn distances(
    weights: &Weights<'_>,
    name: &str,
    (rows, columns): (usize, usize),
    heads: usize,
) -> Result<Vec<f32>> {
    let width = weights.width(&format!("{name}.pos_proj.weight"))?;
    let first = Dense::load(weights, &format!("{name}.pos_proj"), 2, width)?;
    let step = |part: &str, outputs: usize| -> Result<_> {
        let vector = |what: &str| weights.tensor(&format!("{name}.{part}.0.{what}"), &[width]);
        Ok((vector("weight")?, vector("bias")?, Dense::load(weights, &format!("{name}.{part}.2"), width, outputs)?))
    };
    let steps = [step("pos1", width)?, step("pos2", width)?, step("pos3", heads)?];
    let mut table = Vec::with_capacity((2 * rows - 1) * (2 * columns - 1) * heads);
    for down in 0..2 * rows - 1 {
        for across in 0..2 * columns - 1 {
            let mut x = first.run(&[down as f32 - (rows - 1) as f32, across as f32 - (columns - 1) as f32]);
            for (gain, shift, linear) in &steps {
                let mean = x.iter().sum::<f32>() / x.len() as f32;
                let variance = x.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / x.len() as f32;
                let root = (variance + 1e-5).sqrt();
                let normed = x.iter().zip(gain).zip(shift).map(|((x, gain), shift)| (x - mean) / root * gain + shift);
                x = linear.run(&normed.map(|value| value.max(0.0)).collect::<Vec<_>>());
            }
            table.extend(x);
        }
    }
    Ok(table)
}

/// Each channel of a head sees the channels of the other map by how alike they are over all pixels.
pub(super) fn across_channels(q: &Map, kv: &Map, temperature: &[f32], pool: &mut Pool) -> Result<Map> {
    let (channels, heads) = (q.channels, temperature.len());
    let size = channels / heads;
    let (width, height) = q.size();
    // For each head: products of each pair of channels, and the squares of both.
    let sums = |y: usize| -> Vec<f64> {
        let mut sums = vec![0.0f64; channels * size + 2 * channels];
        let (own, other) = (q.pixels(0, y, width), kv.pixels(0, y, width));
        for (own, other) in own.chunks_exact(channels).zip(other.chunks_exact(2 * channels)) {
            for c in 0..channels {
                let first = c / size * size;
                for (sum, k) in sums[c * size..].iter_mut().zip(&other[first..first + size]) {
                    *sum += f64::from(own[c] * k);
                }
                sums[channels * size + c] += f64::from(own[c] * own[c]);
                sums[channels * size + channels + c] += f64::from(other[c] * other[c]);
            }
        }
        sums
    };
    let rows: Vec<Vec<f64>> = (0..height).into_par_iter().map(sums).collect();
    let all = rows.into_iter().reduce(|mut all, row| {
        all.iter_mut().zip(row).for_each(|(all, row)| *all += row);
        all
    });
    let all = all.unwrap_or_default();
    let (products, squares) = all.split_at(channels * size);
    let length = |at: usize| squares[at].sqrt().max(1e-12);
    let mut shares = Vec::with_capacity(channels * size);
    for c in 0..channels {
        let first = c / size * size;
        let score = |i: usize| products[c * size + i] / length(c) / length(channels + first + i);
        let mut scores: Vec<f32> = (0..size).map(|i| score(i) as f32 * temperature[c / size]).collect();
        softmax(&mut scores);
        shares.extend(scores);
    }
    Map::of_rows([kv], channels, pool, |[row], out| {
        for (pixel, out) in row.chunks_exact(2 * channels).zip(out.chunks_exact_mut(channels)) {
            for (c, value) in out.iter_mut().enumerate() {
                let values = &pixel[channels + c / size * size..][..size];
                *value = shares[c * size..][..size].iter().zip(values).map(|(share, value)| share * value).sum();
            }
        }
    })
}

/// The same inside windows of so many rows and columns; queries, keys and values lie one behind the other in the channels. The map
/// has to be of whole windows.
pub(super) fn across_channels_in_windows(
    qkv: &Map,
    temperature: &[f32],
    (rows, columns): (usize, usize),
    pool: &mut Pool,
) -> Result<Map> {
    let (channels, count) = (qkv.channels / 3, rows * columns);
    let size = channels / temperature.len();
    let (width, height) = qkv.size();
    let (down, across) = (height / rows, width / columns);
    assert!(down * rows == height && across * columns == width, "a map of whole windows");
    let seen = |window: usize| -> Vec<f32> {
        // Each channel by itself: its values at all pixels.
        let mut values = vec![0.0; 3 * channels * count];
        for pixel in 0..count {
            let x = window % across * columns + pixel % columns;
            let y = window / across * rows + pixel / columns;
            let line = qkv.pixels(x, y, 1);
            values[pixel..].iter_mut().step_by(count).zip(line.iter()).for_each(|(to, from)| *to = *from);
        }
        let channel = |c: usize| &values[c * count..][..count];
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let lengths: Vec<f64> = (0..2 * channels).map(|c| product(channel(c), channel(c)).sqrt().max(1e-12)).collect();
        let mut out = vec![0.0; channels * count];
        let mut scores = vec![0.0; size];
        for (c, out) in out.chunks_exact_mut(count).enumerate() {
            let first = c / size * size;
            for (i, score) in scores.iter_mut().enumerate() {
                let other = channels + first + i;
                let alike = product(channel(c), channel(other)) / lengths[c] / lengths[other];
                *score = alike as f32 * temperature[c / size];
            }
            softmax(&mut scores);
            for (i, share) in scores.iter().enumerate() {
                let values = channel(2 * channels + first + i);
                out.iter_mut().zip(values).for_each(|(sum, value)| *sum += share * value);
            }
        }
        out
    };
    let seen: Vec<Vec<f32>> = (0..down * across).into_par_iter().map(seen).collect();
    let mut out = pool.map(qkv.region, channels, Precision::F32)?;
    out.write(|y, row| {
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            let window = &seen[y / rows * across + x / columns];
            let at = y % rows * columns + x % columns;
            pixel.iter_mut().zip(window[at..].iter().step_by(count)).for_each(|(to, from)| *to = *from);
        }
    })?;
    Ok(out)
}

/// A layer whose one half, put through a GELU, is the gate of the other, with a look at the pixels around.
pub(super) struct Gated {
    wide: Conv2d,
    around: Depthwise,
    narrow: Conv2d,
}

impl Gated {
    /// Reads `{name}.project_in`, `{name}.dwconv` and `{name}.project_out`.
    pub(super) fn load(weights: &Weights<'_>, name: &str, features: usize) -> Result<Self> {
        let wide = Conv2d::found(weights, &format!("{name}.project_in"), features)?;
        let narrow = Conv2d::found(weights, &format!("{name}.project_out"), wide.channels() / 2)?;
        if wide.channels() % 2 == 1 || narrow.channels() != features {
            return Err(weights.unsupported("its gated layers are of widths that do not fit"));
        }
        let around = Depthwise::load(weights, &format!("{name}.dwconv"), wide.channels(), 3)?;
        Ok(Self { wide, around, narrow })
    }

    pub(super) fn layers(&self) -> [&Conv2d; 2] {
        [&self.wide, &self.narrow]
    }

    /// `base` and what is made of `x`.
    pub(super) fn run(&self, x: &Map, base: &Map, pool: &mut Pool) -> Result<Map> {
        let wide = self.wide.run(x, Then::NOTHING, pool)?;
        let seen = self.around.run(&wide, pool)?;
        pool.give(wide);
        let half = seen.channels / 2;
        let mut values = seen.part(0, half, pool)?;
        let gates = seen.part(half, half, pool)?;
        pool.give(seen);
        values.activate(Activation::Gelu)?;
        let gated = values.with(&gates, pool, |value, gate| value * gate)?;
        pool.give(values);
        pool.give(gates);
        let out = self.narrow.run(&gated, Then::add(base), pool)?;
        pool.give(gated);
        Ok(out)
    }
}
