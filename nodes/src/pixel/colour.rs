//! CIE Lab and statistics of planes.

use super::resample::{linear_to_srgb, srgb_to_linear};
use rayon::prelude::*;

const WHITE: [f32; 3] = [0.950_47, 1.0, 1.088_83];

/// sRGB to CIE Lab (D65): L 0 to 100, a and b around -128 to 127.
pub(crate) fn rgb_to_lab(rgb: [f32; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(srgb_to_linear);
    let xyz = [
        0.412_456_4 * r + 0.357_576_1 * g + 0.180_437_5 * b,
        0.212_672_9 * r + 0.715_152_2 * g + 0.072_175 * b,
        0.019_333_9 * r + 0.119_192 * g + 0.950_304_1 * b,
    ];
    let f = |i: usize| {
        let t = xyz[i] / WHITE[i];
        if t > 216.0 / 24_389.0 { t.cbrt() } else { (24_389.0 / 27.0 * t + 16.0) / 116.0 }
    };
    let (x, y, z) = (f(0), f(1), f(2));
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// The inverse of [`rgb_to_lab`].
pub(crate) fn lab_to_rgb([l, a, b]: [f32; 3]) -> [f32; 3] {
    let y = (l + 16.0) / 116.0;
    let f = |t: f32| if t > 6.0 / 29.0 { t * t * t } else { (116.0 * t - 16.0) * 27.0 / 24_389.0 };
    let [x, y, z] = [WHITE[0] * f(y + a / 500.0), f(y), WHITE[2] * f(y - b / 200.0)];
    [
        3.240_454_2 * x - 1.537_138_5 * y - 0.498_531_4 * z,
        -0.969_266 * x + 1.876_010_8 * y + 0.041_556 * z,
        0.055_643_4 * x - 0.204_025_9 * y + 1.057_225_2 * z,
    ]
    .map(linear_to_srgb)
}

/// Sum over a plane in parts of fixed length, so that the thread count does not change the rounding.
fn total(plane: &[f32], part: impl Fn(f64) -> f64 + Sync) -> f64 {
    let parts: Vec<f64> = plane.par_chunks(1 << 14).map(|c| c.iter().map(|&v| part(f64::from(v))).sum()).collect();
    parts.iter().sum()
}

/// Mean and standard deviation.
pub(crate) fn moments(plane: &[f32]) -> (f64, f64) {
    let n = plane.len().max(1) as f64;
    let mean = total(plane, |v| v) / n;
    let variance = total(plane, |v| (v - mean).powi(2)) / n;
    (mean, variance.sqrt())
}

const BINS: usize = 4096;

/// Shares of the samples at or below the upper border of each bin.
fn cumulated(plane: &[f32], low: f32, high: f32) -> Vec<f64> {
    let bin = |v: f32| (((v - low) / (high - low) * BINS as f32).max(0.0) as usize).min(BINS - 1);
    let counts = plane
        .par_chunks(1 << 16)
        .map(|part| {
            let mut counts = vec![0_u64; BINS];
            part.iter().for_each(|&v| counts[bin(v)] += 1);
            counts
        })
        .reduce(
            || vec![0; BINS],
            |mut a, b| {
                a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                a
            },
        );
    let mut sum = 0;
    let total = plane.len().max(1) as f64;
    counts
        .into_iter()
        .map(|count| {
            sum += count;
            sum as f64 / total
        })
        .collect()
}

/// Moves samples so that their distribution between `low` and `high` becomes that of `reference`; `share` of the way.
pub(crate) fn match_histogram(plane: &mut [f32], reference: &[f32], low: f32, high: f32, share: f32) {
    let (own, wanted) = (cumulated(plane, low, high), cumulated(reference, low, high));
    let width = (high - low) / BINS as f32;
    // Where the lower end of a stretch of shares begins, and where its upper end stops: next to an empty bin they differ.
    let within = |bin: usize, share: f64| {
        let below = if bin == 0 { 0.0 } else { wanted[bin - 1] };
        let full = wanted[bin] - below;
        low + (bin as f32 + if full > 0.0 { ((share - below) / full).clamp(0.0, 1.0) as f32 } else { 0.5 }) * width
    };
    let from = |share: f64| within(wanted.partition_point(|&c| c <= share).min(BINS - 1), share);
    let to = |share: f64| within(wanted.partition_point(|&c| c < share).min(BINS - 1), share);
    // Where the borders of each own bin go.
    let borders: Vec<(f32, f32)> =
        (0..BINS).map(|bin| (from(if bin == 0 { 0.0 } else { own[bin - 1] }), to(own[bin]))).collect();
    plane.par_iter_mut().for_each(|v| {
        let at = ((*v - low) / width).max(0.0).min(BINS as f32 - 0.001);
        let (bin, within) = (at as usize, at.fract());
        let (from, to) = borders[bin];
        let target = from + (to - from) * within;
        *v += share * (target - *v);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;
    use engine::value::Size;

    #[test]
    fn lab_goes_there_and_back() {
        let [l, a, b] = rgb_to_lab([1.0, 1.0, 1.0]);
        assert!((l - 100.0).abs() < 0.01 && a.abs() < 0.02 && b.abs() < 0.02);
        let [l, a, b] = rgb_to_lab([1.0, 0.0, 0.0]);
        assert!((l - 53.24).abs() < 0.05 && (a - 80.09).abs() < 0.05 && (b - 67.2).abs() < 0.05);
        for rgb in [[0.0, 0.0, 0.0], [0.2, 0.7, 0.01], [1.0, 0.5, 0.9]] {
            let back = lab_to_rgb(rgb_to_lab(rgb));
            assert!(back.iter().zip(rgb).all(|(a, b)| (a - b).abs() < 1e-4), "{rgb:?} {back:?}");
        }
    }

    #[test]
    fn distributions_are_matched() {
        let size = Size::new(200, 200);
        let picture = noise(size, 3);
        let mut same = picture.plane(0).to_vec();
        match_histogram(&mut same, picture.plane(0), 0.0, 1.0, 1.0);
        assert!(same.iter().zip(picture.plane(0)).all(|(a, b)| (a - b).abs() < 1e-3));
        let reference: Vec<f32> = picture.plane(1).iter().map(|v| 0.2 + 0.3 * v).collect();
        match_histogram(&mut same, &reference, 0.0, 1.0, 1.0);
        let ((m, s), (wm, ws)) = (moments(&same), moments(&reference));
        assert!((m - wm).abs() < 2e-3 && (s - ws).abs() < 2e-3, "{m} {s} {wm} {ws}");
        match_histogram(&mut same, &[0.5], 0.0, 1.0, 1.0);
        assert!(same.iter().all(|v| (v - 0.5).abs() < 1e-3));
        match_histogram(&mut [f32::NAN, 0.1], &[f32::NAN, f32::INFINITY], 0.0, 1.0, 1.0);
    }
}
