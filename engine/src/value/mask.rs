use super::{Rect, Size, image::crop_plane};
use crate::digest::{Digester, Once};

/// A grey picture: one plane of `f32`, 0 (black) to 1 (white), row by row.
#[derive(Clone, Debug)]
pub struct Mask {
    size: Size,
    samples: Vec<f32>,
    /// Digest of the samples, once somebody asked.
    digest: Once,
}

impl PartialEq for Mask {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.samples == other.samples
    }
}

impl Mask {
    /// A mask from its samples, row by row.
    ///
    /// # Panics
    /// When `samples` is not as long as `size` has pixels: a mistake of the caller.
    pub fn new(size: Size, samples: Vec<f32>) -> Self {
        assert_eq!(samples.len(), size.pixels(), "samples do not fill a mask of {size}");
        Self { size, samples, digest: Once::default() }
    }

    /// A mask of one value.
    pub fn filled(size: Size, value: f32) -> Self {
        Self::new(size, vec![value; size.pixels()])
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The samples, row by row.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// The samples, to be written.
    pub fn samples_mut(&mut self) -> &mut [f32] {
        self.digest = Once::default();
        &mut self.samples
    }

    /// A part of the mask.
    ///
    /// # Panics
    /// When `rect` leaves the mask: a mistake of the caller.
    pub fn crop(&self, rect: Rect) -> Self {
        Self::new(rect.size(), crop_plane(&self.samples, self.size, rect).collect())
    }

    pub(super) fn bytes(&self) -> usize {
        self.samples.len() * size_of::<f32>()
    }

    pub(super) fn digest_into(&self, d: &mut Digester) {
        d.size(self.size);
        d.digest(self.digest.get(|| Digester::of_samples(&self.samples)));
    }
}
