//! Soft noise inversion: noise that leads back to the picture, mixed with noise that is drawn ("noise inversion", pkuliyi2015: the idea).
//!
//! The steps are gone upwards first, from the picture to its noise (DDIM inversion, Song, Meng and Ermon 2021; Mokady et al. 2022). Drawn
//! out of that noise the picture comes back nearly as it was; the more of it is replaced, the freer is the drawing. It is replaced where
//! the picture is flat, so that texture is new and contours stay.

use super::denoise::{Answer, Steps, Turn, Wishes};
use super::layout::Patch;
use crate::picture::{room, zeros};
use crate::{Error, Result, Watch};

/// The square of the contrast at which half of an edge counts: a tenth of all that there is (the regularisation of He et al. 2013,
/// "Guided image filtering", whose weight of edges this is).
const CONTRAST: f64 = 0.01;

/// How noise is found that leads back to the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inversion {
    /// How much of it is replaced by noise that is drawn, 0 to 1: 0 none, 1 all of it where the picture is flat.
    pub renoise: f32,
    /// Width and height of the square of pixels in which edges are looked for around each pixel; 0 looks for none, so that as much is
    /// replaced everywhere.
    pub kernel: usize,
}

impl Inversion {
    /// Makes sure that the share makes sense.
    pub(super) fn sound(self) -> Result<()> {
        match (0.0..=1.0).contains(&self.renoise) {
            true => Ok(()),
            false => {
                let hint = "it is a share of the noise, from 0 to 1";
                Err(Error::Setting { name: "renoise", value: self.renoise.to_string(), hint })
            }
        }
    }

    /// How much of the noise is replaced at each pixel of a picture of three planes: `renoise * (1 - v / (v + c))`, where `v` is the
    /// variance of the brightness around it.
    pub(super) fn map(self, rgb: &[f32], (width, height): (usize, usize)) -> Result<Vec<f32>> {
        let mut map = zeros(width * height, "the map of edges")?;
        let reach = self.kernel / 2;
        let mut sums = vec![[0.0f64; 2]; width];
        // Sums over the columns of the window move down row by row; a row is summed up when it enters, and again when it leaves.
        let add = |sums: &mut [[f64; 2]], y: usize, sign: f64| {
            let bright = |x: usize| {
                let at = |c: usize| f64::from(rgb[(c * height + y) * width + x]);
                0.299 * at(0) + 0.587 * at(1) + 0.114 * at(2)
            };
            for (x, [sum, squares]) in sums.iter_mut().enumerate() {
                let value = bright(x);
                *sum += sign * value;
                *squares += sign * value * value;
            }
        };
        (0..reach.min(height)).for_each(|y| add(&mut sums, y, 1.0));
        for (y, row) in map.chunks_exact_mut(width).enumerate() {
            if y + reach < height {
                add(&mut sums, y + reach, 1.0);
            }
            if y > reach {
                add(&mut sums, y - reach - 1, -1.0);
            }
            let rows = (y + reach).min(height - 1) + 1 - y.saturating_sub(reach);
            let mut window = [0.0f64; 2];
            let mut across = |x: usize, sign: f64| {
                window.iter_mut().zip(sums[x]).for_each(|(all, column)| *all += sign * column);
                window
            };
            (0..reach.min(width)).for_each(|x| _ = across(x, 1.0));
            for (x, value) in row.iter_mut().enumerate() {
                if x + reach < width {
                    across(x + reach, 1.0);
                }
                if x > reach {
                    across(x - reach - 1, -1.0);
                }
                let columns = (x + reach).min(width - 1) + 1 - x.saturating_sub(reach);
                let count = (rows * columns) as f64;
                let [sum, squares] = across(x, 0.0).map(|sum| sum / count);
                let variance = (squares - sum * sum).max(0.0);
                *value = (f64::from(self.renoise) * CONTRAST / (variance + CONTRAST)) as f32;
            }
        }
        Ok(map)
    }
}

impl Steps {
    /// The noise before each step from `first` on that leads to a latent, mixed with `fresh`. Only what is wanted is told to the network:
    /// guidance would carry the latent away from the noise of this picture.
    pub(super) fn inverted(
        &self,
        first: usize,
        origin: &[f32],
        (at, wishes, fresh): (Patch, &Wishes, &[f32]),
        watch: &mut dyn Watch,
        answer: &mut Answer<'_>,
    ) -> Result<Vec<Vec<f32>>> {
        let total = 2 * (self.steps.len() - first) as u64;
        let mut x = room(origin.len(), "the latent")?;
        x.extend_from_slice(origin);
        let mut noises = vec![];
        for (step, now) in self.steps.iter().enumerate().skip(first).rev() {
            let mut noise = answer(Turn::Up(step), &x)?;
            self.prediction.noise(&x, &mut noise, now.to)?;
            let rise = (now.from - now.to) as f32;
            x.iter_mut().zip(&noise).for_each(|(x, noise)| *x += rise * noise);
            // All of the noise so far; mixed so that its spread stays.
            let sigma = now.from as f32;
            for ((value, x), origin) in noise.iter_mut().zip(&x).zip(origin) {
                *value = (x - origin) / sigma;
            }
            for (noise, fresh) in noise.chunks_exact_mut(at.area()).zip(fresh.chunks_exact(at.area())) {
                for ((value, fresh), part) in noise.iter_mut().zip(fresh).zip(&wishes.renoise) {
                    *value =
                        ((1.0 - part) * *value + part * fresh) / (part * part + (1.0 - part) * (1.0 - part)).sqrt();
                }
            }
            noises.push(noise);
            watch.step((self.steps.len() - step) as u64, total)?;
        }
        noises.reverse();
        Ok(noises)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_keep_their_noise() {
        let (width, height) = (40, 23);
        let rgb: Vec<f32> = (0..3 * width * height).map(|i| if i % width < 20 { 0.1 } else { 0.9 }).collect();
        let map = Inversion { renoise: 0.8, kernel: 8 }.map(&rgb, (width, height)).unwrap();
        // Far from the edge nothing is seen of it; on it half of the window is dark: a variance of 0.4 * 0.4.
        assert!((map[5] - 0.8).abs() < 1e-6 && (map[22 * width + 39] - 0.8).abs() < 1e-6);
        let middle = map[11 * width + 20];
        // Of nine columns four are dark.
        let variance = 0.64 * (4.0 / 9.0) * (5.0 / 9.0);
        assert!((middle - 0.8 * 0.01 / (variance + 0.01)).abs() < 1e-6, "{middle}");
        assert!(map.chunks(width).all(|row| row == &map[..width]), "rows are alike");
    }

    #[test]
    fn the_window_of_each_pixel_is_what_is_said() {
        let (width, height, reach) = (13, 11, 3);
        let rgb: Vec<f32> = (0..3 * width * height).map(|i| ((i * 37) % 101) as f32 / 101.0).collect();
        let map = Inversion { renoise: 1.0, kernel: 2 * reach + 1 }.map(&rgb, (width, height)).unwrap();
        for (i, value) in map.iter().enumerate() {
            let (x, y) = (i % width, i / width);
            let mut seen = vec![];
            for y in y.saturating_sub(reach)..(y + reach + 1).min(height) {
                for x in x.saturating_sub(reach)..(x + reach + 1).min(width) {
                    let at = |c: usize| f64::from(rgb[(c * height + y) * width + x]);
                    seen.push(0.299 * at(0) + 0.587 * at(1) + 0.114 * at(2));
                }
            }
            let mean = seen.iter().sum::<f64>() / seen.len() as f64;
            let variance = seen.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / seen.len() as f64;
            assert!((f64::from(*value) - 0.01 / (variance + 0.01)).abs() < 1e-6, "{x},{y}");
        }
    }
}
