//! What the edges of a picture say of its blur.

use crate::measure::window::Window;
use rayon::prelude::*;

/// Squares of the known blurs.
const BLURS: [f32; 6] = [0.5, 1.0, 2.0, 4.0, 8.0, 14.0];
/// The one in [`BLURS`] in which edges are looked for.
const SEEN: usize = 1;
/// Ranges of three neighbouring blurs each.
pub(super) const RANGES: usize = BLURS.len() - 2;
/// Pixels at the border of a window that are not looked at.
const MARGIN: usize = 9;
/// How far the middle of three may be off the straight line, over the height between the ends.
const STRAIGHT: f32 = 0.03;
/// Places beside an edge, in pixels, where no other may be for it to be a lone one.
const BESIDE: [isize; 4] = [2, 4, 6, 8];
/// Share of the edges that is used: the strongest ones.
const SHARE: usize = 4;
/// Fewest edges that give an answer.
const FEWEST: usize = 20;
/// Quantiles of the squared blur that are told.
const QUANTILES: [f32; 5] = [0.1, 0.25, 0.5, 0.7, 0.85];

/// Numbers in [`features`]: for every range the quantiles and the share of straight edges, then of lone ones; at last
/// how dense edges are, and how strong the noise is beside them.
pub(super) const FEATURES: usize = 2 * RANGES * TOLD + 2;

/// Numbers of a range in [`features`].
const TOLD: usize = QUANTILES.len() + 1;

/// What the lone edges say in each range: the quantiles, and the logarithm of their share.
pub(super) fn lone(features: &[f32; FEATURES]) -> impl Iterator<Item = &[f32]> + Clone {
    features[RANGES * TOLD..2 * RANGES * TOLD].chunks_exact(TOLD)
}

/// What one edge says in one range.
#[derive(Clone, Copy)]
struct Straight {
    strength: f32,
    square: f32,
    lone: bool,
}

#[derive(Default)]
struct Found {
    /// Pixels that were looked at.
    pixels: usize,
    /// Sum of the squared gradients.
    energy: f64,
    /// Edges that were found.
    edges: usize,
    /// Edges that could be read in each range.
    read: [usize; RANGES],
    straight: [Vec<Straight>; RANGES],
}

/// The features that the regression takes, or none when there are too few edges.
pub fn features(windows: &[Window], noise: f32) -> Option<[f32; FEATURES]> {
    let mut all = Found::default();
    for part in windows.par_iter().map(|window| look(window, noise)).collect::<Vec<_>>() {
        all.pixels += part.pixels;
        all.energy += part.energy;
        all.edges += part.edges;
        for range in 0..RANGES {
            all.read[range] += part.read[range];
            all.straight[range].extend_from_slice(&part.straight[range]);
        }
    }
    if all.straight.iter().any(|edges| edges.len() < FEWEST) {
        return None;
    }
    let mut told = Vec::with_capacity(FEATURES);
    for lone in [false, true] {
        for (edges, read) in all.straight.iter().zip(all.read) {
            let chosen = edges.iter().filter(|edge| edge.lone || !lone).copied().collect();
            tell(chosen, read, &mut told);
        }
    }
    told.push(((all.edges as f32 + 10.0) / all.pixels as f32).ln());
    // Rounding to whole steps is noise, too. Luma has 0.447 of the variance of a channel.
    let variance = 0.447 * (f64::from(noise).powi(2) + 1.0 / 12.0);
    told.push((variance * all.pixels as f64 / (all.energy + 1e-3)).ln() as f32);
    told.try_into().ok()
}

/// Quantiles of the blur of the strongest edges, and how many there were to choose from.
fn tell(mut edges: Vec<Straight>, read: usize, told: &mut Vec<f32>) {
    let share = edges.len() as f32 / (read as f32 + 1.0);
    edges.sort_by(|a, b| b.strength.total_cmp(&a.strength));
    edges.truncate((edges.len() / SHARE).max(FEWEST));
    edges.sort_by(|a, b| a.square.total_cmp(&b.square));
    for quantile in QUANTILES {
        let at = (edges.len().saturating_sub(1) as f32 * quantile) as usize;
        told.push(edges.get(at).map_or(0.0, |edge| edge.square.max(0.0).sqrt()));
    }
    told.push((share + 0.02).ln());
}

fn look(window: &Window, noise: f32) -> Found {
    let (w, h) = (window.width, window.height);
    let mut found = Found::default();
    if w <= 2 * MARGIN + 2 || h <= 2 * MARGIN + 2 {
        return found;
    }
    let mut planes: Vec<Vec<f32>> = Vec::with_capacity(BLURS.len());
    for (i, square) in BLURS.iter().enumerate() {
        let next = match planes.last() {
            None => smooth(&window.luma, w, h, *square),
            Some(last) => smooth(last, w, h, square - BLURS[i - 1]),
        };
        planes.push(next);
    }
    // Between four pixels, so that nothing more than needed is smoothed.
    let gradient = |plane: &[f32], i: usize| {
        let (a, b, c, d) = (plane[i], plane[i + 1], plane[i + w], plane[i + w + 1]);
        (0.5 * (b - a + d - c), 0.5 * (c - a + d - b))
    };
    let mut strength = vec![0f32; w * h];
    for y in 1..h - 1 {
        for x in 1..w - 1 {
            let (gx, gy) = gradient(&planes[SEEN], y * w + x);
            strength[y * w + x] = (gx * gx + gy * gy).sqrt();
        }
    }
    // Luma noise of a gradient after a blur of one pixel is sigma x 0.67 / sqrt(8 pi).
    let least = 2.0 + 6.0 * noise * 0.67 / (8.0 * std::f32::consts::PI).sqrt();
    for y in MARGIN..h - MARGIN {
        for x in MARGIN..w - MARGIN {
            let i = y * w + x;
            let g = strength[i];
            found.pixels += 1;
            found.energy += f64::from(g * g);
            if g < least {
                continue;
            }
            let (gx, gy) = gradient(&planes[SEEN], i);
            let (dx, dy) = (gx / g, gy / g);
            let step = direction(dx) + w as isize * direction(dy);
            // A crest: neither neighbour across the edge is stronger.
            if g < strength[i.wrapping_add_signed(step)] || g <= strength[i.wrapping_add_signed(-step)] {
                continue;
            }
            found.edges += 1;
            let across = |plane: &[f32], i: usize| {
                let (gx, gy) = gradient(plane, i);
                gx * dx + gy * dy
            };
            for range in 0..RANGES {
                let read = |k: usize| across(&planes[range + k], i);
                let (near, middle, far) = (read(0), read(1), read(2));
                if near <= 0.0 || middle <= 0.0 || far <= 0.0 {
                    continue;
                }
                let [a, b, c] = [near, middle, far].map(|g| 1.0 / (g * g));
                let (ta, tb, tc) = (BLURS[range], BLURS[range + 1], BLURS[range + 2]);
                if c <= 1.01 * a {
                    continue;
                }
                found.read[range] += 1;
                let line = a + (c - a) * (tb - ta) / (tc - ta);
                if ((b - line) / (c - a)).abs() > STRAIGHT {
                    continue;
                }
                let beside = |d: isize| across(&planes[range], i.wrapping_add_signed(d * step)) / near;
                let free = |d: isize| (-0.1..1.0).contains(&beside(d));
                found.straight[range].push(Straight {
                    strength: far,
                    square: (tc * a - ta * c) / (c - a),
                    lone: BESIDE.iter().all(|&d| free(d) && free(-d)),
                });
            }
        }
    }
    found
}

/// A part of a direction as a step on the grid.
fn direction(part: f32) -> isize {
    if part > 0.38 {
        1
    } else if part < -0.38 {
        -1
    } else {
        0
    }
}

/// Gaussian blur of a variance; the border is mirrored.
fn smooth(plane: &[f32], w: usize, h: usize, variance: f32) -> Vec<f32> {
    let radius = (3.5 * variance.sqrt()).ceil() as isize;
    let weights: Vec<f32> = (-radius..=radius).map(|i| (-0.5 * (i * i) as f32 / variance).exp()).collect();
    let sum: f32 = weights.iter().sum();
    let mirrored = |i: isize, n: usize| {
        let period = 2 * n as isize;
        let i = i.rem_euclid(period);
        i.min(period - 1 - i) as usize
    };
    let r = radius as usize;
    let mut wide = vec![0f32; w + 2 * r];
    let mut along = vec![0f32; w * h];
    for y in 0..h {
        for (i, v) in wide.iter_mut().enumerate() {
            *v = plane[y * w + mirrored(i as isize - radius, w)];
        }
        let to = &mut along[y * w..(y + 1) * w];
        for (k, weight) in weights.iter().enumerate() {
            for (o, v) in to.iter_mut().zip(&wide[k..]) {
                *o += weight / sum * v;
            }
        }
    }
    let mut out = vec![0f32; w * h];
    for y in 0..h {
        let to = &mut out[y * w..(y + 1) * w];
        for (k, weight) in weights.iter().enumerate() {
            let from = mirrored((y + k) as isize - radius, h);
            for (o, v) in to.iter_mut().zip(&along[from * w..(from + 1) * w]) {
                *o += weight / sum * v;
            }
        }
    }
    out
}
