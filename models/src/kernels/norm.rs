//! Normalisation over the channels of each pixel.

use rayon::prelude::*;

use super::Isa;
use super::convert;

/// Added to the mean square, so that a black pixel does not divide by zero.
const EPSILON: f32 = 1e-6;

/// `x / sqrt(mean over channels of x^2 + 1e-6) * gain` for `pixels` neighbouring pixels per row, rows running in parallel.
/// Both maps have rows of `row` values; row 0 starts at `start`.
///
/// # Panics
/// When the maps are shorter than the rows ask for.
pub fn rms_norm<E: super::Element>(
    from: &[E],
    to: &mut [E],
    gain: &[f32],
    start: usize,
    row: usize,
    pixels: usize,
    rows: usize,
) {
    let line = pixels * gain.len();
    if rows == 0 || line == 0 {
        return;
    }
    assert!(line <= row && start + (rows - 1) * row + line <= from.len().min(to.len()), "rows outside their map");
    let wide = Isa::detect() != Isa::Plain;
    to[start..].par_chunks_mut(row).zip(from[start..].par_chunks(row)).take(rows).with_min_len(4).for_each(
        |(to, from)| {
            let (narrow, out) = (&from[..line], &mut to[..line]);
            let (mut from, mut to) = (vec![0.0f32; line], vec![0.0f32; line]);
            convert(narrow, &mut from);
            let (from, to) = (&from[..], &mut to[..]);
            #[cfg(target_arch = "x86_64")]
            if wide {
                // SAFETY: the processor has AVX2 and FMA, or `detect` had said so.
                unsafe { line_avx2(from, to, gain) };
                convert(to, out);
                return;
            }
            let _ = wide;
            line_plain(from, to, gain);
            convert(to, out);
        },
    );
}

/// # Safety
/// The processor must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn line_avx2(from: &[f32], to: &mut [f32], gain: &[f32]) {
    line::<true>(from, to, gain);
}

fn line_plain(from: &[f32], to: &mut [f32], gain: &[f32]) {
    line::<{ cfg!(any(target_feature = "fma", target_arch = "aarch64")) }>(from, to, gain);
}

/// Squares are summed in eight strands, whatever the width of the vectors, so that every set gives the same bits.
#[inline(always)]
fn line<const FMA: bool>(from: &[f32], to: &mut [f32], gain: &[f32]) {
    let channels = gain.len();
    for (from, to) in from.chunks_exact(channels).zip(to.chunks_exact_mut(channels)) {
        let mut strands = [0.0f32; 8];
        let (eights, rest) = from.as_chunks::<8>();
        for eight in eights {
            for (strand, value) in strands.iter_mut().zip(eight) {
                *strand = if FMA { value.mul_add(*value, *strand) } else { value * value + *strand };
            }
        }
        for (strand, value) in strands.iter_mut().zip(rest) {
            *strand = if FMA { value.mul_add(*value, *strand) } else { value * value + *strand };
        }
        let [a, b, c, d, e, f, g, h] = strands;
        let sum = ((a + e) + (c + g)) + ((b + f) + (d + h));
        let factor = 1.0 / (sum / channels as f32 + EPSILON).sqrt();
        for ((to, value), gain) in to.iter_mut().zip(from).zip(gain) {
            *to = value * factor * gain;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::gaussian;

    #[test]
    fn norm_matches_its_definition() {
        for channels in [1, 5, 8, 24, 35] {
            let (row, start) = (7 * channels + 3, 2);
            let from: Vec<f32> = (0..4 * row as u32).map(|i| gaussian(1, i, 0, 0, 0)).collect();
            let gain: Vec<f32> = (0..channels as u32).map(|i| gaussian(2, i, 0, 0, 0)).collect();
            let mut to = vec![9.0; from.len()];
            rms_norm(&from, &mut to, &gain, start, row, 7, 3);
            for (y, x) in (0..21).map(|i| (i / 7, i % 7)) {
                let at = start + y * row + x * channels;
                let pixel = &from[at..][..channels];
                let mean = pixel.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / channels as f64;
                for (c, value) in pixel.iter().enumerate() {
                    let exact = f64::from(*value) / (mean + 1e-6).sqrt() * f64::from(gain[c]);
                    assert!((f64::from(to[at + c]) - exact).abs() < 1e-6 * exact.abs().max(1.0));
                }
            }
            assert_eq!(to.iter().filter(|value| **value == 9.0).count(), to.len() - 21 * channels);
        }
    }

    /// The plain form may differ by the rounding of fused instructions, no more.
    #[test]
    fn all_sets_agree() {
        let from: Vec<f32> = (0..48).map(|i| gaussian(1, i, 0, 0, 0)).collect();
        let (mut fused, mut plain) = (vec![0.0; 48], vec![0.0; 48]);
        line::<true>(&from, &mut fused, &[1.5; 24]);
        line::<false>(&from, &mut plain, &[1.5; 24]);
        assert!(fused.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
