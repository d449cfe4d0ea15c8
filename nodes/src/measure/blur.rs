//! Blur of a picture, as the deviation of the Gaussian that would blur it as much.
//!
//! Zhuo and Sim 2011, "Defocus map estimation from a single image": a step that was blurred by s and then by a known t
//! has a gradient of height 1 / sqrt(s^2 + t^2), so the ratio of the gradients after two known blurs gives s. It is
//! read off at the crests of strong edges.

use super::window::Window;
use engine::value::Measure;
use rayon::prelude::*;

/// The two known blurs.
const NARROW: f32 = 1.0;
const WIDE: f32 = 2.0;
/// Pixels at the border that the wide kernel cannot see fully.
const MARGIN: usize = 7;

/// One edge: strength and the square of its blur.
#[derive(Clone, Copy)]
struct Edge {
    strength: f32,
    square: f32,
}

/// Deviation of the blur in pixels of the strongest edges, when noise of `sigma` steps lies on the picture.
pub fn sigma(windows: &[Window], noise: f32) -> Measure {
    let mut edges: Vec<Edge> =
        windows.par_iter().map(|w| crests(w, noise)).collect::<Vec<_>>().into_iter().flatten().collect();
    if edges.len() < 12 {
        return Measure { value: 0.0, confidence: 0.0 };
    }
    // The strongest edges are in focus and stand clear of texture.
    edges.sort_by(|a, b| b.strength.total_cmp(&a.strength));
    edges.truncate((edges.len() / 4).max(12));
    edges.sort_by(|a, b| a.square.total_cmp(&b.square));
    // Lines and fine texture look sharper than steps of the same blur, hence a high quantile; measured on photographs.
    let value = edges[(edges.len() - 1) * 7 / 10].square.max(0.0).sqrt();
    Measure { value, confidence: (edges.len() as f32 / 500.0).sqrt().min(1.0) }
}

fn crests(window: &Window, noise: f32) -> Vec<Edge> {
    let (w, h) = (window.width, window.height);
    if w <= 2 * MARGIN + 2 || h <= 2 * MARGIN + 2 {
        return Vec::new();
    }
    let (gx, gy) = gradient(&window.luma, w, h, NARROW);
    let (wx, wy) = gradient(&window.luma, w, h, WIDE);
    let strength: Vec<f32> = gx.iter().zip(&gy).map(|(x, y)| (x * x + y * y).sqrt()).collect();
    // Luma noise of a gradient after the narrow blur is sigma x 0.67 / sqrt(8 pi t^4).
    let least = 2.0 + 6.0 * noise * 0.67 / (8.0 * std::f32::consts::PI * NARROW.powi(4)).sqrt();
    let mut edges = Vec::new();
    for y in MARGIN..h - MARGIN {
        for x in MARGIN..w - MARGIN {
            let i = y * w + x;
            let g = strength[i];
            if g < least {
                continue;
            }
            // A crest: neither neighbour across the edge is stronger.
            let (dx, dy) = (gx[i] / g, gy[i] / g);
            let step = (if dx > 0.38 {
                1
            } else if dx < -0.38 {
                -1isize
            } else {
                0
            }) + w as isize
                * (if dy > 0.38 {
                    1
                } else if dy < -0.38 {
                    -1
                } else {
                    0
                });
            let (a, b) = (strength[i.wrapping_add_signed(step)], strength[i.wrapping_add_signed(-step)]);
            if g < a || g <= b {
                continue;
            }
            // Along the direction of the narrow gradient, so that a neighbouring edge of another direction adds less.
            let wide = wx[i] * dx + wy[i] * dy;
            if wide <= 0.0 {
                continue;
            }
            let ratio = (g / wide).powi(2);
            if ratio <= 1.02 {
                continue;
            }
            edges.push(Edge { strength: g, square: (WIDE * WIDE - ratio * NARROW * NARROW) / (ratio - 1.0) });
        }
    }
    edges
}

/// Derivatives of the plane after a Gaussian blur; right only away from the border.
fn gradient(plane: &[f32], w: usize, h: usize, deviation: f32) -> (Vec<f32>, Vec<f32>) {
    let radius = (3.0 * deviation).ceil() as isize;
    let weights: Vec<f32> = (-radius..=radius).map(|i| (-0.5 * (i as f32 / deviation).powi(2)).exp()).collect();
    let sum: f32 = weights.iter().sum();
    let smooth: Vec<f32> = weights.iter().map(|v| v / sum).collect();
    // Slope of a ramp must come out as one.
    let slopes: Vec<f32> = (-radius..=radius).zip(&weights).map(|(i, v)| i as f32 * v).collect();
    let moment: f32 = (-radius..=radius).zip(&slopes).map(|(i, v)| i as f32 * v).sum();
    let slope: Vec<f32> = slopes.iter().map(|v| v / moment).collect();
    let r = radius as usize;
    let along = |source: &[f32], kernel: &[f32]| {
        let mut out = vec![0f32; w * h];
        for y in 0..h {
            let line = &source[y * w..(y + 1) * w];
            let to = &mut out[y * w + r..(y + 1) * w - r];
            for (k, weight) in kernel.iter().enumerate() {
                for (o, v) in to.iter_mut().zip(&line[k..]) {
                    *o += weight * v;
                }
            }
        }
        out
    };
    let down = |source: &[f32], kernel: &[f32]| {
        let mut out = vec![0f32; w * h];
        for y in r..h - r {
            let to = &mut out[y * w..(y + 1) * w];
            for (k, weight) in kernel.iter().enumerate() {
                let line = &source[(y + k - r) * w..(y + k - r + 1) * w];
                for (o, v) in to.iter_mut().zip(line) {
                    *o += weight * v;
                }
            }
        }
        out
    };
    (down(&along(plane, &slope), &smooth), down(&along(plane, &smooth), &slope))
}
