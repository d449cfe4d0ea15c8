//! Gaussian blur of planes.

use super::zeros;
use engine::{NodeResult, value::Size};
use rayon::prelude::*;

/// How far a blur of this deviation reaches, in pixels.
pub(crate) fn reach(deviation: f32) -> usize {
    (3.0 * deviation.clamp(0.0, 1e6)).ceil() as usize
}

/// A plane blurred with a Gaussian of this deviation (in pixels), cut off at three deviations; the border is repeated
/// outwards. Shift-invariant, so a tile with a wide enough halo gets the pixels of the whole picture.
///
/// # Errors
/// When there is no memory for it.
pub(crate) fn blur(plane: &[f32], size: Size, deviation: f32) -> NodeResult<Vec<f32>> {
    let kernel = kernel(deviation);
    let r = kernel.len() / 2;
    let (w, h) = (size.width as usize, size.height as usize);
    let mut across = zeros(plane.len())?;
    if w == 0 || h == 0 {
        return Ok(across);
    }
    across.par_chunks_mut(w).zip(plane.par_chunks(w)).for_each(|(to, from)| {
        let padded: Vec<f32> = (0..w + 2 * r).map(|i| from[i.saturating_sub(r).min(w - 1)]).collect();
        for (k, weight) in kernel.iter().enumerate() {
            for (to, v) in to.iter_mut().zip(&padded[k..]) {
                *to += weight * v;
            }
        }
    });
    let mut out = zeros(plane.len())?;
    out.par_chunks_mut(w).enumerate().for_each(|(y, to)| {
        for (k, weight) in kernel.iter().enumerate() {
            let row = (y + k).saturating_sub(r).min(h - 1);
            for (to, v) in to.iter_mut().zip(&across[row * w..]) {
                *to += weight * v;
            }
        }
    });
    Ok(out)
}

fn kernel(deviation: f32) -> Vec<f32> {
    let r = reach(deviation) as i64;
    let bell = |i: i64| {
        // In f64: the last bit of f32's exponential is left to the C library.
        (-0.5 * (i as f64 / f64::from(deviation).max(1e-6)).powi(2)).exp()
    };
    let sum: f64 = (-r..=r).map(bell).sum();
    (-r..=r).map(|i| (bell(i) / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_flat_areas_and_spreads_points() {
        let size = Size::new(31, 17);
        let flat = blur(&vec![0.25; size.pixels()], size, 2.0).expect("small");
        assert!(flat.iter().all(|v| (v - 0.25).abs() < 1e-6));
        let mut point = vec![0.0; size.pixels()];
        point[8 * 31 + 15] = 1.0;
        let spread = blur(&point, size, 1.5).expect("small");
        let variance: f32 =
            (0..31).map(|x| (x as f32 - 15.0).powi(2) * (0..17).map(|y| spread[y * 31 + x]).sum::<f32>()).sum();
        assert!((variance.sqrt() - 1.5).abs() < 0.03, "{variance}");
    }

    #[test]
    fn no_blur_changes_nothing_and_one_pixel_is_enough() {
        let size = Size::new(2, 2);
        assert_eq!(blur(&[1.0, 2.0, 3.0, 4.0], size, 0.0).expect("small"), [1.0, 2.0, 3.0, 4.0]);
        assert!((blur(&[0.5], Size::new(1, 1), 4.0).expect("small")[0] - 0.5).abs() < 1e-6);
    }
}
