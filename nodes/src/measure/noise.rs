//! Deviation of the noise in a picture.
//!
//! Ponomarenko et al. 2007, "An automatic approach to lossy compression of AVIRIS images", in the form of Colom and
//! Buades 2013, "Analysis and extension of the Ponomarenko et al. method, estimating a noise curve from a single image"
//! (IPOL): white noise is equally strong and independent in all coefficients of a cosine transform, while the picture
//! lives in the low ones. So the blocks with the least energy in the low frequencies are chosen, which does not prefer
//! blocks with little noise in the high frequencies, and there the noise is read off.

use super::{dct, window::Window};
use engine::value::Measure;
use rayon::prelude::*;

/// Blocks that are looked at, about.
const BLOCKS: f64 = 24_000.0;
/// Sum of the two frequencies from which on a coefficient counts as high.
const HIGH: usize = 10;
/// Number of high coefficients.
const HIGHS: usize = 15;
/// Share of the blocks that is used: the flattest ones.
const SHARE: f64 = 0.006;
/// Variance that counts as the picture's own: the flattest blocks of clean photographs have 0 to 1.5 steps of grain and
/// texture. With this, noise of 3 steps is told about as much too low on the ones as too high on the others.
const OWN: f64 = 0.8;
/// Fewest blocks that give an answer.
const FEWEST: usize = 24;

struct Block {
    low: f32,
    mean: [f32; 3],
    high: [[f32; HIGHS]; 3],
}

/// Standard deviation of the noise on top of what clean photographs have, in 8-bit steps of a colour channel (the root
/// mean square over the three).
pub fn sigma(windows: &[Window]) -> Measure {
    let area: usize = windows.iter().map(|w| w.width * w.height).sum();
    let step = ((area as f64 / BLOCKS).sqrt().round() as usize).clamp(1, 8);
    let mut blocks: Vec<Block> =
        windows.par_iter().map(|w| collect(w, step)).collect::<Vec<_>>().into_iter().flatten().collect();
    if blocks.len() < FEWEST {
        return Measure { value: 0.0, confidence: 0.0 };
    }
    blocks.sort_by(|a, b| a.low.total_cmp(&b.low));
    let first = estimate(blocks.iter(), blocks.len());
    // Near black and white the noise is cut off by clipping, and looks weaker than it is: look again away from there.
    let room = 2.5 * first;
    let inside = |b: &&Block| b.mean.iter().all(|&m| m >= room && m <= 255.0 - room);
    let kept = blocks.iter().filter(inside).count();
    let (value, used) = if kept >= FEWEST.max(blocks.len() / 50) {
        (estimate(blocks.iter().filter(inside), kept), kept)
    } else {
        (first, blocks.len())
    };
    let confidence = (used as f32 / 2000.0).sqrt().min(1.0);
    Measure { value, confidence }
}

fn collect(window: &Window, step: usize) -> Vec<Block> {
    let (w, h) = (window.width, window.height);
    if w < 8 || h < 8 {
        return Vec::new();
    }
    let mut blocks = Vec::new();
    for y in (0..=h - 8).step_by(step) {
        for x in (0..=w - 8).step_by(step) {
            if window.clipped(x, y) {
                continue;
            }
            let mut block = Block { low: 0.0, mean: [0.0; 3], high: [[0.0; HIGHS]; 3] };
            let mut flat = false;
            for c in 0..3 {
                let t = dct::forward(&window.rgb[c], w, y * w + x);
                block.mean[c] = t[0] / 8.0;
                let (mut low, mut n) = (0.0, 0);
                for v in 0..8 {
                    for u in 0..8 {
                        if u + v >= HIGH {
                            block.high[c][n] = t[8 * v + u];
                            n += 1;
                        } else if u + v > 0 {
                            low += t[8 * v + u] * t[8 * v + u];
                        }
                    }
                }
                flat |= low < 1e-2;
                block.low += low;
            }
            // A block of one colour was drawn, not photographed: it says nothing about the rest of the picture.
            if !flat {
                blocks.push(block);
            }
        }
    }
    blocks
}

/// The estimate from blocks in rising order of their low energy.
fn estimate<'a>(blocks: impl Iterator<Item = &'a Block>, count: usize) -> f32 {
    let used = ((count as f64 * SHARE) as usize).max(FEWEST);
    let mut sums = [[0f64; HIGHS]; 3];
    let mut n = 0f64;
    for block in blocks.take(used) {
        n += 1.0;
        for (sum, v) in sums.as_flattened_mut().iter_mut().zip(block.high.as_flattened()) {
            *sum += f64::from(*v) * f64::from(*v);
        }
    }
    let variance: f64 = sums
        .iter_mut()
        .map(|s| {
            s.sort_by(f64::total_cmp);
            s[HIGHS / 2] / n.max(1.0)
        })
        .sum::<f64>()
        / 3.0;
    // Rounding to whole steps adds 1/12.
    (variance - OWN - 1.0 / 12.0).max(0.0).sqrt() as f32
}
