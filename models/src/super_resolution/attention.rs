//! What transformers have in common: what distances add to scores (Wang et al., CrossFormer 2021), and attention between channels
//! (Ali et al., XCiT 2021).

use rayon::prelude::*;

use crate::Result;
use crate::layers::{Dense, Map, Pool, Weights, softmax};

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
