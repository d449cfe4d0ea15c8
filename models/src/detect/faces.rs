//! Faces, by the SeetaFace cascade.

use std::sync::OnceLock;

use super::pyramid::Weights;
use super::{Detector, Found, Kind};
use crate::{Card, Error, Picture, Result};

/// The model file and where it comes from: `weights/seetaface.md`.
static FILE: &[u8] = include_bytes!("../../weights/seeta_fd_frontal_v1.0.bin");

/// The cascade looks at windows of this size.
const WINDOW: u32 = 40;

/// Smallest face that is looked for, in pixels of the picture.
const SMALLEST: u32 = 20;

/// Pixels of the picture that the cascade works on, about; more are reduced first. This bounds the time.
const AREA: f32 = 3.0e6;

/// The cascade's scores are not bounded: clear faces reach 10 to 100, and at 1 chance hits begin. Missing a face is worse
/// than sparing something else.
const THRESHOLD: f64 = 2.0;

/// Finds frontal faces.
pub(super) struct Faces {
    model: rustface::Model,
    digest: [u8; 32],
    card: Card,
}

impl Faces {
    /// # Errors
    /// When the embedded file is damaged.
    pub(super) fn embedded() -> Result<&'static Self> {
        static FACES: OnceLock<Result<Faces>> = OnceLock::new();
        FACES.get_or_init(Self::read).as_ref().map_err(Clone::clone)
    }

    fn read() -> Result<Self> {
        let model = rustface::read_model(FILE)
            .map_err(|error| Error::Weights { file: "faces".into(), message: error.to_string() })?;
        let card = Card {
            name: "faces",
            about: "finds frontal faces (SeetaFace)",
            licence: "BSD-2-Clause",
            bytes: FILE.len() as u64,
            version: "1.0".into(),
            trained: "by the Visual Information Processing and Learning group, Chinese Academy of Sciences".into(),
        };
        Ok(Self { model, digest: Self::file_digest(), card })
    }

    /// Name, size and licence.
    pub(super) fn card(&self) -> &Card {
        &self.card
    }

    /// blake3 of the model file, which is not unpacked for this.
    pub(super) fn file_digest() -> [u8; 32] {
        *blake3::hash(FILE).as_bytes()
    }
}

impl Detector for Faces {
    fn kind(&self) -> Kind {
        Kind::Faces
    }

    fn find(&self, picture: Picture<'_>) -> Result<Vec<Found>> {
        let (width, height) = picture.size()?;
        let scaled = Scaled::new(&grey(picture.rgb), (width, height));
        let mut detector = rustface::create_detector_with_model(self.model.clone());
        detector.set_min_face_size(SMALLEST);
        detector.set_score_thresh(THRESHOLD);
        detector.set_pyramid_scale_factor(0.8);
        detector.set_slide_window_step(4, 4);
        let faces = detector.detect(&rustface::ImageData::new(&scaled.pixels, scaled.width, scaled.height));

        let size = (width as f32, height as f32);
        let mut found: Vec<Found> = faces.iter().map(|face| scaled.back(face)).collect();
        found.retain_mut(|found| found.cut(size));
        found.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        Ok(found)
    }

    fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

/// Luma (BT.601) in 8 bits. What is no number counts as black.
fn grey(rgb: &[f32]) -> Vec<u8> {
    let plane = rgb.len() / 3;
    let (r, rest) = rgb.split_at(plane);
    let (g, b) = rest.split_at(plane);
    let luma = r.iter().zip(g).zip(b).map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b);
    luma.map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect()
}

/// The picture at the size that the cascade sees it: the smallest faces fill a window, unless that is too much work. At
/// least two windows wide and high.
struct Scaled {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
    /// Pixels of this picture per pixel of the original.
    scale: f32,
}

impl Scaled {
    fn new(grey: &[u8], (wide, high): (usize, usize)) -> Self {
        let area = wide as f32 * high as f32;
        let scale = (WINDOW as f32 / SMALLEST as f32).min((AREA / area).sqrt());
        let side = |len: usize| (len as f32 * scale).round().max(1.0) as usize;
        let (inner_width, inner_height) = (side(wide), side(high));
        // A picture smaller than a window has no face to find, but the cascade needs its window.
        let least = 2 * WINDOW as usize;
        let (width, height) = (inner_width.max(least), inner_height.max(least));

        let across = Weights::along(wide, inner_width);
        let down = Weights::along(high, inner_height);
        let mut pixels = vec![0; width * height];
        let mut line = vec![0.0f32; wide];
        for (row, span) in pixels.chunks_exact_mut(width).zip(&down) {
            line.fill(0.0);
            for (y, weight) in span.iter() {
                let from = &grey[y * wide..][..wide];
                for (sum, value) in line.iter_mut().zip(from) {
                    *sum += weight * f32::from(*value);
                }
            }
            for (value, span) in row.iter_mut().zip(&across) {
                *value = span.iter().map(|(x, weight)| weight * line[x]).sum::<f32>().round() as u8;
            }
        }
        Self { width: width as u32, height: height as u32, pixels, scale }
    }

    /// A face in pixels of the original.
    fn back(&self, face: &rustface::FaceInfo) -> Found {
        let area = face.bbox();
        let [x, y] = [area.x(), area.y()].map(|start| start as f32 / self.scale);
        let [width, height] = [area.width(), area.height()].map(|length| length as f32 / self.scale);
        Found { x, y, width, height, confidence: confidence(face.score()), points: Vec::new() }
    }
}

/// Maps a score to 0..1: half at 6, 0.86 at 15, 0.98 at 40.
fn confidence(score: f64) -> f32 {
    (score * score / (score * score + 36.0)).clamp(0.0, 1.0) as f32
}
