//! What the networks take: pictures, enlargement factors and known damage.

use crate::layers::Region;
use crate::{Error, Result};

/// A picture: three planes (red, green, blue), each row by row from the top, in the picture's own encoded RGB, black at 0
/// and white at 1. Values outside 0..1 are allowed.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The three planes one after the other: `3 * width * height` values.
    pub rgb: &'a [f32],
    /// Where the first pixel lies (column, row) in the larger picture that this one is a part of: a part gets the bits that the
    /// whole would get, and the noise that belongs to its place.
    pub origin: (u32, u32),
}

impl<'a> Picture<'a> {
    /// A picture of these values.
    ///
    /// # Errors
    /// [`Error::PictureSize`] when the picture is empty or `rgb` is not `3 * width * height` long.
    pub fn new(width: u32, height: u32, rgb: &'a [f32]) -> Result<Self> {
        let this = Self { width, height, rgb, origin: (0, 0) };
        this.size()?;
        Ok(this)
    }

    /// The same as a part of a larger picture, `origin` being the place of its first pixel there.
    pub fn at(self, origin: (u32, u32)) -> Self {
        Self { origin, ..self }
    }

    /// The whole of it as a region, once the values are known to fit it.
    pub(crate) fn region(&self) -> Result<Region> {
        let (width, height) = self.size()?;
        Ok(Region::whole(width, height).at((self.origin.0 as usize, self.origin.1 as usize)))
    }

    /// Width and height, once the values are known to fit them.
    pub(crate) fn size(&self) -> Result<(usize, usize)> {
        let Self { width, height, rgb, .. } = *self;
        let values = (u64::from(width) * u64::from(height)).checked_mul(3);
        if width == 0 || height == 0 || values != u64::try_from(rgb.len()).ok() {
            return Err(Error::PictureSize { width, height, values: rgb.len() });
        }
        Ok((width as usize, height as usize))
    }
}

/// How far a picture is enlarged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Factor {
    /// Not at all: restore only.
    X1,
    /// Twice as wide and twice as high.
    X2,
    /// Four times as wide and four times as high.
    X4,
}

impl Factor {
    /// All factors, the smallest first.
    pub const ALL: [Self; 3] = [Self::X1, Self::X2, Self::X4];

    /// The factor as a number.
    pub fn get(self) -> u32 {
        match self {
            Self::X1 => 1,
            Self::X2 => 2,
            Self::X4 => 4,
        }
    }

    /// The factor of this number, if there is one.
    pub fn try_from_u32(factor: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|this| this.get() == factor)
    }
}

/// How a picture is known to be damaged. The default is a clean picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DamageCondition {
    /// Standard deviation of the noise in 8-bit units; the network knows 0 to 50.
    pub noise_sigma: f32,
    /// JPEG quality, 1 to 100; `None` when the picture never was a JPEG.
    pub jpeg_quality: Option<f32>,
    /// Standard deviation of the blur in pixels of the picture; the network knows 0 to 3.
    pub blur_sigma: f32,
}

impl DamageCondition {
    /// The values of the network's three damage planes, 0..1. What is out of range counts as the nearest end, what is not a
    /// number as no damage.
    pub(crate) fn planes(self) -> [f32; 3] {
        let quality = self.jpeg_quality.map_or(0.0, |quality| (100.0 - quality) / 100.0);
        // f32::max turns NaN into 0.
        [self.noise_sigma / 50.0, quality, self.blur_sigma / 3.0].map(|value| value.max(0.0).clamp(0.0, 1.0))
    }
}

/// An empty vector with room for `len` values.
///
/// # Errors
/// [`Error::TooLarge`] when the memory cannot be had.
pub(crate) fn room(len: usize, what: &'static str) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    let bytes = u64::try_from(len).ok().and_then(|len| len.checked_mul(4)).unwrap_or(u64::MAX);
    values.try_reserve_exact(len).map_err(|_| Error::TooLarge { what, bytes })?;
    Ok(values)
}

/// A vector of `len` zeros, in memory that the system has cleared: whoever writes to it first takes its pages, in parallel where
/// many do.
///
/// # Errors
/// [`Error::TooLarge`] when the memory cannot be had.
pub(crate) fn zeros(len: usize, what: &'static str) -> Result<Vec<f32>> {
    let bytes = u64::try_from(len).ok().and_then(|len| len.checked_mul(4)).unwrap_or(u64::MAX);
    bytemuck::allocation::try_zeroed_vec(len).map_err(|()| Error::TooLarge { what, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_must_fit_their_size() {
        assert!(Picture::new(2, 1, &[0.0; 6]).is_ok());
        for (width, height, values) in [(0, 0, 0), (0, 5, 0), (2, 1, 5), (u32::MAX, u32::MAX, 3)] {
            let rgb = vec![0.0; values];
            assert_eq!(Picture::new(width, height, &rgb).err(), Some(Error::PictureSize { width, height, values }));
        }
    }

    #[test]
    fn damage_stays_in_range() {
        assert_eq!(DamageCondition::default().planes(), [0.0; 3]);
        let damage = DamageCondition { noise_sigma: 25.0, jpeg_quality: Some(40.0), blur_sigma: 1.5 };
        assert_eq!(damage.planes(), [0.5, 0.6, 0.5]);
        let damage = DamageCondition { noise_sigma: f32::NAN, jpeg_quality: Some(-7.0), blur_sigma: f32::INFINITY };
        assert_eq!(damage.planes(), [0.0, 1.0, 1.0]);
    }

    #[test]
    fn factors_and_numbers_agree() {
        assert!(Factor::ALL.into_iter().all(|factor| Factor::try_from_u32(factor.get()) == Some(factor)));
        assert_eq!(Factor::try_from_u32(3), None);
    }
}
