//! Bicubic enlargement, the part of the faithful answer that needs no network.

use rayon::prelude::*;

use crate::picture::zeros;
use crate::{Factor, Picture, Result};

/// Enlarges with Keys' cubic kernel (a = -0.5; Keys, "Cubic convolution interpolation for digital image processing", 1981),
/// pixel centres at half coordinates, border pixels repeated. Returns three planes of the enlarged size.
///
/// # Errors
/// When the picture does not fit its size or the result does not fit into memory.
pub fn bicubic(picture: Picture<'_>, factor: Factor) -> Result<Vec<f32>> {
    let (width, height) = picture.size()?;
    let scale = factor.get() as usize;
    let (wide, high) = (width.saturating_mul(scale), height.saturating_mul(scale));
    let mut out = zeros(wide.saturating_mul(high).saturating_mul(3), "the enlarged picture")?;
    if factor == Factor::X1 {
        out.copy_from_slice(picture.rgb);
        return Ok(out);
    }

    let taps: Vec<Taps> = (0..scale).map(|phase| Taps::new(phase, scale)).collect();
    out.par_chunks_mut(wide).enumerate().for_each_init(
        || vec![0.0; width],
        |line, (index, row)| {
            let (plane, y) = (index / high, index % high);
            let plane = &picture.rgb[plane * width * height..][..width * height];

            // First down, then across.
            let vertical = &taps[y % scale];
            let rows = vertical.around(y / scale, height).map(|y| &plane[y * width..][..width]);
            for (x, value) in line.iter_mut().enumerate() {
                *value = vertical.sum(rows.map(|row| row[x]));
            }
            for (x, row) in row.chunks_exact_mut(scale).enumerate() {
                for (value, taps) in row.iter_mut().zip(&taps) {
                    *value = taps.sum(taps.around(x, width).map(|x| line[x]));
                }
            }
        },
    );
    Ok(out)
}

/// The four taps of one phase.
struct Taps {
    /// Where the first tap lies relative to the input pixel that the output pixel falls into.
    first: isize,
    weights: [f32; 4],
}

impl Taps {
    /// For the output pixels that are the `phase`-th of their input pixel.
    fn new(phase: usize, scale: usize) -> Self {
        let centre = (phase as f64 + 0.5) / scale as f64 - 0.5;
        let first = centre.floor() - 1.0;
        let weights = std::array::from_fn(|tap| keys(centre - first - tap as f64) as f32);
        Self { first: first as isize, weights }
    }

    /// The pixels that the taps fall on, of a line of `len`.
    fn around(&self, pixel: usize, len: usize) -> [usize; 4] {
        std::array::from_fn(|tap| pixel.saturating_add_signed(self.first + tap as isize).min(len - 1))
    }

    fn sum(&self, values: [f32; 4]) -> f32 {
        let [a, b, c, d] = self.weights;
        (a * values[0] + d * values[3]) + (b * values[1] + c * values[2])
    }
}

/// Keys' kernel, a = -0.5.
fn keys(t: f64) -> f64 {
    let t = t.abs();
    if t <= 1.0 {
        (1.5 * t - 2.5) * t * t + 1.0
    } else if t < 2.0 {
        ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_stays_flat_and_ramps_stay_ramps() {
        for factor in Factor::ALL {
            let flat = vec![0.25; 3 * 5 * 4];
            let out = bicubic(Picture::new(5, 4, &flat).unwrap(), factor).unwrap();
            assert!(out.iter().all(|value| (value - 0.25).abs() < 1e-6));

            let ramp: Vec<f32> = (0..3 * 16).map(|i| (i % 16) as f32).collect();
            let out = bicubic(Picture::new(16, 1, &ramp).unwrap(), factor).unwrap();
            let scale = factor.get() as usize;
            for (x, found) in out.iter().enumerate().take(13 * scale).skip(3 * scale) {
                let exact = (x as f32 + 0.5) / scale as f32 - 0.5;
                assert!((found - exact).abs() < 1e-5, "{factor:?} {x}: {found} for {exact}");
            }
        }
    }

    #[test]
    fn one_pixel_becomes_a_flat_picture() {
        let out = bicubic(Picture::new(1, 1, &[0.1, 0.5, 0.9]).unwrap(), Factor::X4).unwrap();
        assert_eq!(out.len(), 48);
        assert!(out[..16].iter().all(|value| (value - 0.1).abs() < 1e-6));
    }
}
