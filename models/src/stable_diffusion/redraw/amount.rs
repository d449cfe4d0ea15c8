//! How much of something is wanted, over a picture.

use super::layout::{LATENT, Patch};
use crate::picture::zeros;
use crate::{Error, Result};

/// How much of something is wanted: the same everywhere, or one value for each pixel of the picture, row by row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount<'a> {
    /// The same everywhere.
    Uniform(f32),
    /// One value for each pixel.
    Map(&'a [f32]),
}

impl Amount<'_> {
    /// The highest value.
    pub fn highest(&self) -> f32 {
        match self {
            Self::Uniform(value) => *value,
            Self::Map(map) => map.iter().copied().fold(0.0, f32::max),
        }
    }

    /// Makes sure that a map has a value for each pixel.
    pub(super) fn fits(&self, name: &'static str, (width, height): (usize, usize)) -> Result<()> {
        match self {
            Self::Map(map) if map.len() != width * height => {
                let value = format!("{} values for {width}x{height} pixels", map.len());
                Err(Error::Setting { name, value, hint: "a map has one value for each pixel" })
            }
            _ => Ok(()),
        }
    }

    /// The mean over the pixels of each latent of a patch; beyond the picture of so many pixels its edges go on.
    pub(super) fn latents(&self, patch: Patch, (width, height): (usize, usize)) -> Result<Vec<f32>> {
        let mut means = zeros(patch.area(), "a map of a tile")?;
        match self {
            Self::Uniform(value) => means.fill(*value),
            Self::Map(map) => {
                for (mean, i) in means.iter_mut().zip(0..) {
                    let (left, top) = ((patch.x + i % patch.width) * LATENT, (patch.y + i / patch.width) * LATENT);
                    let rows = (top..top + LATENT).map(|y| &map[y.min(height - 1) * width..][..width]);
                    // In f64, so that the mean of equal values is that value to the last bit: a map is then what a number would be.
                    let line =
                        |row: &[f32]| (left..left + LATENT).map(|x| f64::from(row[x.min(width - 1)])).sum::<f64>();
                    *mean = (rows.map(line).sum::<f64>() / (LATENT * LATENT) as f64) as f32;
                }
            }
        }
        Ok(means)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latent_has_the_mean_of_its_pixels() {
        let (width, height) = (20, 9);
        let map: Vec<f32> = (0..width * height).map(|i| (i % width) as f32).collect();
        let patch = Patch { x: 1, y: 0, width: 8, height: 8 };
        let means = Amount::Map(&map).latents(patch, (width, height)).unwrap();
        assert_eq!(means[0], 11.5);
        // Columns 16 to 19, and the last one for those beyond.
        assert_eq!(means[1], (16.0 + 17.0 + 18.0 + 19.0 * 5.0) / 8.0);
        assert_eq!(means[63], 19.0);
        assert_eq!(Amount::Uniform(0.25).latents(patch, (width, height)).unwrap(), [0.25; 64]);
    }

    #[test]
    fn maps_fit_the_picture() {
        assert!(Amount::Map(&[0.0; 5]).fits("creativity", (2, 3)).is_err());
        assert!(Amount::Map(&[0.0; 6]).fits("creativity", (2, 3)).is_ok());
        assert_eq!(Amount::Map(&[0.1, 0.7, 0.2]).highest(), 0.7);
    }
}
