//! Smoothing of planes. Beyond its edges a plane goes on with its edge samples.

use super::zeros;
use engine::{NodeResult, value::Size};
use rayon::prelude::*;

/// How far a Gaussian blur looks, in pixels.
pub(crate) fn reach(sigma: f64) -> u32 {
    (4.0 * sigma).ceil() as u32
}

/// Gaussian blur of standard deviation `sigma` pixels, cut at four of them.
pub(crate) fn gaussian(plane: &[f32], size: Size, sigma: f64) -> NodeResult<Vec<f32>> {
    let reach = i64::from(reach(sigma));
    let bell: Vec<f64> = (-reach..=reach).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let sum: f64 = bell.iter().sum();
    let taps: Vec<(i64, f32)> = (-reach..=reach).zip(&bell).map(|(i, w)| (i, (w / sum) as f32)).collect();
    weighted(plane, size, &taps)
}

/// One level of the a-trous wavelet transform: the 3x3 kernel [1 2 1] x [1 2 1] / 16 with holes of `step` pixels.
pub(crate) fn a_trous(plane: &[f32], size: Size, step: i64) -> NodeResult<Vec<f32>> {
    weighted(plane, size, &[(-step, 0.25), (0, 0.5), (step, 0.25)])
}

/// Weighted sums of neighbours, down and then across.
fn weighted(plane: &[f32], size: Size, taps: &[(i64, f32)]) -> NodeResult<Vec<f32>> {
    let (width, height) = (size.width as usize, size.height as usize);
    let mut out = zeros(plane.len())?;
    out.par_chunks_mut(width.max(1)).enumerate().for_each_init(
        || vec![0.0_f32; width],
        |down, (y, row)| {
            down.fill(0.0);
            for &(offset, weight) in taps {
                let from = (y as i64 + offset).clamp(0, height as i64 - 1) as usize;
                down.iter_mut().zip(&plane[from * width..][..width]).for_each(|(v, s)| *v += weight * s);
            }
            for &(offset, weight) in taps {
                // What lies beyond an edge takes the edge's sample; the rest is one straight run.
                let shift = offset.unsigned_abs().min(width as u64) as usize;
                let (first, last) = (down[0], down[width - 1]);
                if offset < 0 {
                    row[..shift].iter_mut().for_each(|v| *v += weight * first);
                    row[shift..].iter_mut().zip(&*down).for_each(|(v, s)| *v += weight * s);
                } else {
                    row[width - shift..].iter_mut().for_each(|v| *v += weight * last);
                    row[..width - shift].iter_mut().zip(&down[shift..]).for_each(|(v, s)| *v += weight * s);
                }
            }
        },
    );
    Ok(out)
}

/// Three box blurs after each other, which together reach `radius` pixels far and are close to a Gaussian. The time does
/// not depend on the radius.
pub(crate) fn boxes(mut plane: Vec<f32>, size: Size, radius: u32) -> NodeResult<Vec<f32>> {
    let reaches = [radius.div_ceil(3), (radius + 1) / 3, radius / 3];
    let (width, height) = (size.width as usize, size.height as usize);
    let mut turned = zeros(plane.len())?;
    box_rows(&mut plane, width, reaches);
    transpose(&plane, width, height, &mut turned);
    box_rows(&mut turned, height, reaches);
    transpose(&turned, height, width, &mut plane);
    Ok(plane)
}

fn box_rows(plane: &mut [f32], width: usize, reaches: [u32; 3]) {
    plane.par_chunks_mut(width.max(1)).for_each_init(
        || vec![0.0_f32; width],
        |copy, row| {
            for reach in reaches.into_iter().filter(|&reach| reach > 0) {
                copy.copy_from_slice(row);
                let reach = i64::from(reach);
                let at = |x: i64| f64::from(copy[x.clamp(0, width as i64 - 1) as usize]);
                let mut sum: f64 = (-reach..=reach).map(at).sum();
                for (x, v) in row.iter_mut().enumerate() {
                    *v = (sum / (2 * reach + 1) as f64) as f32;
                    sum += at(x as i64 + reach + 1) - at(x as i64 - reach);
                }
            }
        },
    );
}

fn transpose(from: &[f32], width: usize, height: usize, to: &mut [f32]) {
    to.par_chunks_mut(height.max(1)).enumerate().for_each(|(x, column)| {
        column.iter_mut().enumerate().for_each(|(y, v)| *v = from[y * width + x]);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    fn reference(plane: &[f32], size: Size, taps: &[(i64, f64)]) -> Vec<f32> {
        let (w, h) = (i64::from(size.width), i64::from(size.height));
        let at = |x: i64, y: i64| f64::from(plane[(y.clamp(0, h - 1) * w + x.clamp(0, w - 1)) as usize]);
        (0..w * h)
            .map(|i| {
                let (x, y) = (i % w, i / w);
                let sum = |dy: i64| taps.iter().map(|(dx, k)| k * at(x + dx, y + dy)).sum::<f64>();
                taps.iter().map(|(dy, k)| k * sum(*dy)).sum::<f64>() as f32
            })
            .collect()
    }

    #[test]
    fn blurs_agree_with_the_definition() {
        for (w, h) in [(1, 1), (2, 9), (13, 1), (17, 23)] {
            let size = Size::new(w, h);
            let picture = noise(size, 3);
            let plane = picture.plane(0);
            for step in [1, 4, 16] {
                let wanted = reference(plane, size, &[(-step, 0.25), (0, 0.5), (step, 0.25)]);
                let found = a_trous(plane, size, step).unwrap();
                assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{size} step {step}");
            }
            let thirds = [(-1, 1.0 / 3.0), (0, 1.0 / 3.0), (1, 1.0 / 3.0)];
            let once = reference(plane, size, &thirds);
            let wanted = reference(&reference(&once, size, &thirds), size, &thirds);
            let found = boxes(plane.to_vec(), size, 3).unwrap();
            assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{size} boxes");
            assert_eq!(boxes(plane.to_vec(), size, 0).unwrap(), plane);
            assert_eq!(boxes(vec![0.5; size.pixels()], size, 1000).unwrap(), vec![0.5; size.pixels()]);
            assert!(gaussian(&vec![0.5; size.pixels()], size, 7.3).unwrap().iter().all(|v| (v - 0.5).abs() < 1e-5));
        }
    }
}
