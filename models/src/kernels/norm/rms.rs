//! Normalisation by the root of the mean square.

use rayon::prelude::*;

use super::{load_some, store_some};
use crate::kernels::isa::Kernel;
use crate::kernels::simd::Simd;
use crate::kernels::{Element, Isa};

/// Added to the mean square, so that a black pixel does not divide by zero.
const EPSILON: f32 = 1e-6;

/// `x / sqrt(mean over channels of x^2 + 1e-6) * gain` (Zhang and Sennrich 2019) for `pixels` neighbouring pixels per row, rows
/// running in parallel. Both maps have rows of `row` values; row 0 starts at `start`.
///
/// # Panics
/// When the maps are shorter than the rows ask for.
pub fn rms_norm<I: Element, O: Element>(
    from: &[I],
    to: &mut [O],
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
    let isa = Isa::detect();
    to[start..]
        .par_chunks_mut(row)
        .zip(from[start..].par_chunks(row))
        .take(rows)
        .with_min_len(4)
        .for_each(|(to, from)| isa.run(Line { from: &from[..line], to: &mut to[..line], gain, fused: fused(isa) }));
}

/// Whether a set multiplies and adds in one instruction. Without it, `mul_add` is a slow call into the C library.
fn fused(isa: Isa) -> bool {
    isa != Isa::Plain || cfg!(any(target_feature = "fma", target_arch = "aarch64"))
}

/// The pixels of a row.
struct Line<'a, I, O> {
    from: &'a [I],
    to: &'a mut [O],
    gain: &'a [f32],
    fused: bool,
}

impl<I: Element, O: Element> Kernel for Line<'_, I, O> {
    type Out = ();

    #[inline(always)]
    unsafe fn run<V: Simd>(self) {
        let channels = self.gain.len();
        for (from, to) in self.from.chunks_exact(channels).zip(self.to.chunks_exact_mut(channels)) {
            let squares = if self.fused { squares::<I, true>(from) } else { squares::<I, false>(from) };
            let factor = 1.0 / (squares / channels as f32 + EPSILON).sqrt();
            for c in (0..channels).step_by(V::LANES) {
                let many = V::LANES.min(channels - c);
                // SAFETY: the caller vouches for the set; `many` channels lie behind `c` in all three.
                unsafe {
                    let value = load_some::<V, I>(from.as_ptr().add(c), many).mul(V::splat(factor));
                    let gain = load_some::<V, f32>(self.gain.as_ptr().add(c), many);
                    store_some(value.mul(gain), to.as_mut_ptr().add(c), many);
                }
            }
        }
    }
}

/// The sum of squares, in eight strands, whatever the width of the vectors, so that every set gives the same bits.
#[inline(always)]
fn squares<I: Element, const FMA: bool>(from: &[I]) -> f32 {
    let mut strands = [0.0f32; 8];
    let (eights, rest) = from.as_chunks::<8>();
    let add = |strand: &mut f32, value: &I| {
        let value = value.to_f32();
        *strand = if FMA { value.mul_add(value, *strand) } else { value * value + *strand };
    };
    for eight in eights {
        for (strand, value) in strands.iter_mut().zip(eight) {
            add(strand, value);
        }
    }
    for (strand, value) in strands.iter_mut().zip(rest) {
        add(strand, value);
    }
    let [a, b, c, d, e, f, g, h] = strands;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::kernels::isa::available;
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
        let run = |isa: Isa, fused| {
            let mut to = vec![0.0f32; 48];
            isa.run(Line { from: &from, to: &mut to, gain: &[1.5; 24], fused });
            to
        };
        let exact = run(Isa::Plain, true);
        for isa in available() {
            assert_eq!(run(isa, true), exact);
            assert!(run(isa, false).iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }

    #[test]
    fn bf16_goes_in_and_out() {
        let from: Vec<bf16> = (0..35).map(|i| bf16::from_f32(gaussian(1, i, 0, 0, 0))).collect();
        let wide: Vec<f32> = from.iter().map(|value| value.to_f32()).collect();
        let (mut exact, mut found, mut rounded) = (vec![0.0f32; 35], vec![0.0f32; 35], vec![bf16::ZERO; 35]);
        rms_norm(&wide, &mut exact, &[0.5; 35], 0, 35, 1, 1);
        rms_norm(&from, &mut found, &[0.5; 35], 0, 35, 1, 1);
        rms_norm(&from, &mut rounded, &[0.5; 35], 0, 35, 1, 1);
        assert_eq!(found, exact);
        assert!(rounded.iter().zip(exact).all(|(found, exact)| *found == bf16::from_f32(exact)));
    }
}
