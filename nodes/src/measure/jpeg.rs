//! Quality of a JPEG from the pixels that it left.
//!
//! The decoded luma of a JPEG has cosine coefficients that lie on multiples of the quantisation steps, up to the
//! rounding of samples. First the phase of the 8x8 grid is found by the jumps across block edges; then the histograms
//! of the coefficients say how likely each step is (as in Fan and de Queiroz 2003, "Identification of bitmap
//! compression history"), and the table of ITU T.81 annex K, scaled as the IJG's library does, that explains all of
//! them best gives the quality.

use super::{dct, window::Window};
use engine::value::Measure;
use rayon::prelude::*;
use std::sync::LazyLock;

/// Luma table of ITU T.81 annex K, row by row.
const ANNEX_K: [u16; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
];
/// Greatest step that is told apart.
const STEPS: usize = 255;
/// Histogram bins per unit.
const FINE: f32 = 4.0;
/// Greatest coefficient that is counted.
const REACH: usize = 256;
/// Histogram bins.
const BINS: usize = REACH * FINE as usize;
/// Deviation of a coefficient around its multiple: rounding of luma and of the three colours.
const SPREAD: f64 = 0.4;
/// Share of coefficients that may lie anywhere, such as in blocks that were clipped.
const STRAY: f64 = 0.08;
/// Coefficients below this may be zeros of any step and say nothing.
const SILENT: f32 = 1.5;

type Histogram = Vec<[u32; 64]>;

/// How much a coefficient in a bin speaks for a step, over "no steps", in natural units.
static FIT: LazyLock<Vec<Vec<f32>>> = LazyLock::new(|| {
    let fit = |q: usize, bin: usize| {
        if q < 2 {
            return 0.0;
        }
        let (q, c) = (q as f64, (bin as f64 + 0.5) / f64::from(FINE));
        let peak = (1.0 - STRAY) * q / (SPREAD * std::f64::consts::TAU.sqrt());
        // Zeros were left out, so the least multiple is the step itself.
        let d = c - q * (c / q).round().max(1.0);
        (peak * (-0.5 * (d / SPREAD).powi(2)).exp() + STRAY).ln() as f32
    };
    (0..=STEPS).into_par_iter().map(|q| (0..BINS).map(|bin| fit(q, bin)).collect()).collect()
});

/// The IJG's scaled luma table of a quality of 1 to 100.
pub fn table(quality: u32) -> [u16; 64] {
    let q = quality.clamp(1, 100);
    let scale = if q < 50 { 5000 / q } else { 200 - 2 * q };
    ANNEX_K.map(|base| ((u32::from(base) * scale + 50) / 100).clamp(1, 255) as u16)
}

/// What the pixels tell of a JPEG.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Quality, 1 to 100; 100 when nothing was found.
    pub quality: Measure,
    /// Phase of the grid: column and row, modulo 8, at which blocks start.
    pub phase: (usize, usize),
    /// Evidence over "no JPEG" in natural units.
    pub evidence: f64,
}

/// Quality of the JPEG that a picture once was.
pub fn quality(windows: &[Window]) -> Found {
    let phase = phase(windows);
    let mut best = fit(windows, phase);
    if phase != (0, 0) {
        // Few pictures are cropped: a weak grid must not hide the plain one.
        let plain = fit(windows, (0, 0));
        if plain.evidence > best.evidence {
            best = plain;
        }
    }
    best
}

/// Phase at which the jumps between neighbours stand out the most.
fn phase(windows: &[Window]) -> (usize, usize) {
    let sums = windows
        .par_iter()
        .map(|window| {
            let (w, h, p) = (window.width, window.height, &window.luma);
            let mut sums = [[0f64; 8]; 2];
            let jump = |a: usize, b: usize| (p[a] - p[b]).abs();
            let excess =
                |before: f32, here: f32, after: f32| f64::from((here - 0.5 * (before + after)).clamp(-6.0, 6.0));
            for y in 0..h {
                for x in 2..w.saturating_sub(1) {
                    let i = y * w + x;
                    sums[0][x % 8] += excess(jump(i - 1, i - 2), jump(i, i - 1), jump(i + 1, i));
                }
            }
            for y in 2..h.saturating_sub(1) {
                for x in 0..w {
                    let i = y * w + x;
                    sums[1][y % 8] += excess(jump(i - w, i - 2 * w), jump(i, i - w), jump(i + w, i));
                }
            }
            sums
        })
        .collect::<Vec<_>>();
    let best = |axis: usize| {
        let total: [f64; 8] = std::array::from_fn(|k| sums.iter().map(|s| s[axis][k]).sum());
        (0..8).max_by(|&a, &b| total[a].total_cmp(&total[b]).then(b.cmp(&a))).unwrap_or(0)
    };
    (best(0), best(1))
}

/// The quality that explains the coefficients of the blocks at a phase best.
fn fit(windows: &[Window], phase: (usize, usize)) -> Found {
    let histogram = windows.par_iter().map(|w| count(w, phase)).reduce(
        || vec![[0; 64]; BINS],
        |mut a, b| {
            for (a, b) in a.iter_mut().zip(b) {
                for (a, b) in a.iter_mut().zip(b) {
                    *a += b;
                }
            }
            a
        },
    );
    let counted: f64 = (1..64).map(|k| histogram.iter().map(|bin| f64::from(bin[k])).sum::<f64>()).sum();
    let nothing = Found { quality: Measure { value: 100.0, confidence: 0.0 }, phase, evidence: 0.0 };
    if counted < 60.0 {
        return nothing;
    }
    let tables: Vec<[u16; 64]> = (1..=100).map(table).collect();
    // Evidence of each frequency for each quality, in natural units, over "no steps".
    let evidence: Vec<[f64; 100]> = (1..64usize)
        .into_par_iter()
        .map(|k| {
            let bins: Vec<(usize, f64)> =
                histogram.iter().map(|bin| f64::from(bin[k])).enumerate().filter(|(_, n)| *n > 0.0).collect();
            let mut known = [None; STEPS + 1];
            std::array::from_fn(|quality| {
                let q = usize::from(tables[quality][k]);
                *known[q].get_or_insert_with(|| bins.iter().map(|&(bin, n)| n * f64::from(FIT[q][bin])).sum::<f64>())
            })
        })
        .collect();
    let score = |quality: usize| -> f64 { evidence.iter().map(|row| row[quality - 1]).sum() };
    let (quality, total) = (1..=100usize)
        .map(|q| (q, score(q)))
        .max_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)))
        .unwrap_or((100, 0.0));
    let per = total / counted;
    if quality >= 98 || total < 40.0 || per < 0.05 {
        return Found {
            quality: Measure { value: 100.0, confidence: (counted / 20_000.0).sqrt().min(1.0) as f32 },
            phase,
            evidence: total,
        };
    }
    let confidence = ((per / 0.5).min(1.0) * (total / 400.0).min(1.0)).sqrt() as f32;
    Found { quality: Measure { value: quality as f32, confidence }, phase, evidence: total }
}

fn count(window: &Window, phase: (usize, usize)) -> Histogram {
    let mut histogram = vec![[0; 64]; BINS];
    let (w, h) = (window.width, window.height);
    for y in (phase.1..(h + 1).saturating_sub(8)).step_by(8) {
        for x in (phase.0..(w + 1).saturating_sub(8)).step_by(8) {
            if window.clipped(x, y) {
                continue;
            }
            for (k, c) in dct::forward(&window.luma, w, y * w + x).into_iter().enumerate() {
                if c.abs() >= SILENT
                    && let Some(bin) = histogram.get_mut((c.abs() * FINE) as usize)
                {
                    bin[k] += 1;
                }
            }
        }
    }
    histogram
}
