//! Finding faces and hands.

mod blaze;
mod faces;
mod priors;
mod pyramid;
mod retinaface;
mod separable;
mod slim;
mod yunet;

use crate::files::Tensors;
use crate::layers::Weights;
use crate::{Card, Compute, Error, Picture, Result};
use pyramid::Sight;

/// Something that was found.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// Landmarks (column, row), where the detector knows them. YuNet: the eyes, the tip of the nose, the corners of the mouth, the
    /// right ones of the person first. BlazeFace: eyes, nose, mouth, ears. BlazePalm: the wrist, and the roots of the fingers.
    pub points: Vec<(f32, f32)>,
}

impl Found {
    fn area(&self) -> f32 {
        self.width * self.height
    }

    /// The area that two boxes have in common.
    fn common(&self, other: &Self) -> f32 {
        let width = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let height = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        width.max(0.0) * height.max(0.0)
    }

    /// The same in another picture, in which its picture begins at a place before it is stretched.
    fn placed(mut self, (x, y): (f32, f32), by: (f32, f32)) -> Self {
        let place = |px: f32, py: f32| ((px + x) * by.0, (py + y) * by.1);
        (self.x, self.y) = place(self.x, self.y);
        (self.width, self.height) = (self.width * by.0, self.height * by.1);
        self.points.iter_mut().for_each(|point| *point = place(point.0, point.1));
        self
    }

    /// Cuts the box at the sides of the picture. False when nothing is left of it, or it never was a box.
    fn cut(&mut self, (width, height): (f32, f32)) -> bool {
        let axis = |from: f32, length: f32, end: f32| {
            let (first, last) = (from.clamp(0.0, end), (from + length).clamp(0.0, end));
            (first, last - first)
        };
        (self.x, self.width) = axis(self.x, self.width, width);
        (self.y, self.height) = axis(self.y, self.height, height);
        self.width > 0.0 && self.height > 0.0
    }
}

/// What a detector finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Faces.
    Faces,
    /// Hands.
    Hands,
}

/// Finds one kind of thing in pictures.
pub trait Detector: Send + Sync {
    /// What it finds.
    fn kind(&self) -> Kind;

    /// Finds everything, the surest first. Same picture, same answer.
    ///
    /// # Errors
    /// [`Error::PictureSize`] when the picture does not fit its size, and when there is no memory for its maps.
    fn find(&self, picture: Picture<'_>) -> Result<Vec<Found>>;

    /// blake3 of the model file.
    fn digest(&self) -> [u8; 32];
}

/// A detector out of a file.
struct Brought {
    sight: Box<dyn Sight>,
    kind: Kind,
    digest: [u8; 32],
}

impl Detector for Brought {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn find(&self, picture: Picture<'_>) -> Result<Vec<Found>> {
        pyramid::find(&*self.sight, picture)
    }

    fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

/// Names of the networks that [`detector`] reads.
pub const DETECTORS: [&str; 6] =
    ["YuNet", "BlazeFace", "BlazePalm", "RetinaFace (MobileNet 0.25)", "RetinaFace (slim)", "Ultra-Light"];

/// Which network tensors are for, one of [`DETECTORS`], and what it finds. `None` when they are for no detector.
pub fn detector_of(tensors: &Tensors<'_>) -> Option<(&'static str, Kind)> {
    if yunet::SIGNS.iter().all(|sign| tensors.get(sign).is_some()) {
        Some((DETECTORS[0], Kind::Faces))
    } else if blaze::BlazeFace::fits(tensors) {
        Some((DETECTORS[1], Kind::Faces))
    } else if blaze::BlazePalm::fits(tensors) {
        Some((DETECTORS[2], Kind::Hands))
    } else if retinaface::RetinaFace::fits(tensors) {
        Some((DETECTORS[3], Kind::Faces))
    } else {
        slim::Slim::fits(tensors).map(|name| (name, Kind::Faces))
    }
}

/// The same, with an error that says what is known when they are for no detector. `name` is what the error calls the file.
fn known(name: &str, tensors: &Tensors<'_>) -> Result<(&'static str, Kind)> {
    detector_of(tensors).ok_or_else(|| {
        let told = crate::unused::told(tensors).map(|told| format!("it holds {told}"));
        let message = told.unwrap_or_else(|| "it is for no detector that is known here".into());
        Error::Unused {
            file: name.into(),
            message,
            more: format!("; detectors that are known: {}", DETECTORS.join(", ")),
        }
    })
}

/// What the detector of a file finds, as far as the names of its tensors tell; no network is made of them.
///
/// # Errors
/// When the tensors are for no detector.
pub fn detector_kind(name: &str, tensors: &Tensors<'_>) -> Result<Kind> {
    known(name, tensors).map(|(_, kind)| kind)
}

/// The detector of a file: one of [`DETECTORS`] out of PyTorch's files, YuNet, BlazePalm and Ultra-Light out of their ONNX files, or any
/// of them out of safetensors with the same names. `name` is what errors call it, `digest` that of the file.
///
/// # Errors
/// When the tensors are for no detector, or one of them is missing, misshaped or not finite.
pub fn detector(name: &str, tensors: Tensors<'_>, digest: [u8; 32], compute: Compute) -> Result<Box<dyn Detector>> {
    let (network, kind) = known(name, &tensors)?;
    let weights = |tensors| Weights::of(name, tensors).on(compute).on_processor();
    let sight: Box<dyn Sight> = match network {
        "YuNet" => Box::new(yunet::Yunet::load(&weights(tensors))?),
        "BlazeFace" => Box::new(blaze::BlazeFace::load(&weights(tensors.clone()), &tensors)?),
        "RetinaFace (MobileNet 0.25)" => Box::new(retinaface::RetinaFace::load(&weights(tensors))?),
        "RetinaFace (slim)" | "Ultra-Light" => {
            Box::new(slim::Slim::load(&weights(slim::Slim::renamed(tensors.clone())), &tensors)?)
        }
        _ => Box::new(blaze::BlazePalm::load(&weights(blaze::BlazePalm::renamed(tensors)))?),
    };
    crate::card::unpacks(network);
    Ok(Box::new(Brought { sight, kind, digest }))
}

/// The detector of faces that ships in the binary.
///
/// # Errors
/// When the embedded file is damaged.
pub fn faces() -> Result<&'static dyn Detector> {
    faces::Faces::embedded().map(|faces| faces as &dyn Detector)
}

/// Name, size and licence of [`faces`].
pub(crate) fn faces_card() -> Result<&'static Card> {
    faces::Faces::embedded().map(faces::Faces::card)
}

/// blake3 of the model file of [`faces`], which is not unpacked for this.
pub fn faces_digest() -> [u8; 32] {
    faces::Faces::file_digest()
}

/// Whether this process has unpacked the network of [`faces`].
pub(crate) fn faces_are_unpacked() -> bool {
    faces::Faces::is_unpacked()
}

/// Why there are no hands without a model: none ships in the binary.
pub fn hands() -> Error {
    Error::ModelMissing { model: "hands", purpose: "finds hands" }
}

#[cfg(test)]
mod tests;
