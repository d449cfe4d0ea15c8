//! Finding faces and hands.

mod faces;

use crate::{Card, Error, Result};

/// A grey picture, row by row from the top.
#[derive(Clone, Copy, Debug)]
pub struct Grey8<'a> {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `width * height` values, black at 0.
    pub pixels: &'a [u8],
}

/// Something that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Left edge, in pixels of the picture. Boxes stay within the picture.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
    /// 0 to 1.
    pub confidence: f32,
}

/// Finds one kind of thing in pictures.
pub trait Detector: Send + Sync {
    /// Finds everything, the surest first. Same picture, same answer.
    ///
    /// # Errors
    /// [`Error::PictureSize`] when the picture does not fit its size.
    fn find(&self, grey: &Grey8<'_>) -> Result<Vec<Found>>;

    /// blake3 of the model file.
    fn digest(&self) -> [u8; 32];

    /// Name, size and licence.
    fn card(&self) -> &Card;
}

/// The detector of faces that ships in the binary.
///
/// # Errors
/// When the embedded file is damaged.
pub fn faces() -> Result<Box<dyn Detector>> {
    Ok(Box::new(faces::Faces::embedded()?))
}

/// blake3 of the model file of [`faces`], which is not unpacked for this.
pub fn faces_digest() -> [u8; 32] {
    faces::Faces::file_digest()
}

/// The detector of hands, which does not ship in the binary.
///
/// # Errors
/// [`Error::ModelMissing`], always, until there is a detector to pull.
pub fn hands() -> Result<Box<dyn Detector>> {
    Err(Error::ModelMissing { model: "hands", purpose: "finds hands" })
}

#[cfg(test)]
mod tests;
