use super::{Mask, Rect, Size};
use crate::digest::Digester;
use std::sync::Arc;

/// One control over a picture: the same everywhere, or one value per pixel.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// The same value everywhere.
    Uniform(f32),
    /// One value per pixel.
    Map(Arc<Mask>),
}

impl Field {
    /// The value at a pixel, counted row by row.
    pub fn at(&self, pixel: usize) -> f32 {
        match self {
            Self::Uniform(value) => *value,
            Self::Map(mask) => mask.samples()[pixel],
        }
    }

    /// The highest value.
    pub fn highest(&self) -> f32 {
        match self {
            Self::Uniform(value) => *value,
            Self::Map(mask) => mask.samples().iter().copied().fold(0.0, f32::max),
        }
    }

    fn crop(&self, rect: Rect) -> Self {
        match self {
            Self::Uniform(value) => Self::Uniform(*value),
            Self::Map(mask) => Self::Map(Arc::new(mask.crop(rect))),
        }
    }

    fn digest_into(&self, d: &mut Digester) {
        match self {
            Self::Uniform(value) => {
                d.u64(0);
                d.f64(f64::from(*value));
            }
            Self::Map(mask) => {
                d.u64(1);
                mask.digest_into(d);
            }
        }
    }
}

/// What a person asked for, per pixel: all controls, masks, faces and hands meet here, and everything downstream reads
/// only this.
#[derive(Clone, Debug, PartialEq)]
pub struct Guide {
    size: Size,
    /// How much may be reinvented, 0 to 1.
    pub creativity: Field,
    /// How strictly the structure is kept, 0 to 1.
    pub resemblance: Field,
    /// Strength of new detail, 0 to 1; 0.5 is natural.
    pub detail: Field,
}

impl Guide {
    /// A guide over a picture of `size` pixels.
    ///
    /// # Panics
    /// When a map is of another size: a mistake of the caller.
    pub fn new(size: Size, creativity: Field, resemblance: Field, detail: Field) -> Self {
        for field in [&creativity, &resemblance, &detail] {
            if let Field::Map(mask) = field {
                assert_eq!(mask.size(), size, "a map of the guide has another size");
            }
        }
        Self { size, creativity, resemblance, detail }
    }

    /// Width and height of the picture that it guides.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The guide of a part of the picture.
    pub fn crop(&self, rect: Rect) -> Self {
        Self::new(rect.size(), self.creativity.crop(rect), self.resemblance.crop(rect), self.detail.crop(rect))
    }

    pub(super) fn bytes(&self) -> usize {
        [&self.creativity, &self.resemblance, &self.detail]
            .into_iter()
            .map(|field| match field {
                Field::Uniform(_) => size_of::<f32>(),
                Field::Map(mask) => mask.bytes(),
            })
            .sum()
    }

    pub(super) fn digest_into(&self, d: &mut Digester) {
        d.size(self.size);
        self.creativity.digest_into(d);
        self.resemblance.digest_into(d);
        self.detail.digest_into(d);
    }
}
