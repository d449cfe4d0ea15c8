//! Faces, by the SeetaFace cascade.

use std::sync::OnceLock;

use super::{Detector, Found, Grey8};
use crate::{Card, Error, Result};

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

    /// blake3 of the model file, which is not unpacked for this.
    pub(super) fn file_digest() -> [u8; 32] {
        *blake3::hash(FILE).as_bytes()
    }
}

impl Detector for &'static Faces {
    fn find(&self, grey: &Grey8<'_>) -> Result<Vec<Found>> {
        let (width, height) = (grey.width, grey.height);
        if width == 0 || height == 0 || u64::from(width) * u64::from(height) != grey.pixels.len() as u64 {
            return Err(Error::PictureSize { width, height, values: grey.pixels.len() });
        }
        let scaled = Scaled::new(grey);
        let mut detector = rustface::create_detector_with_model(self.model.clone());
        detector.set_min_face_size(SMALLEST);
        detector.set_score_thresh(THRESHOLD);
        detector.set_pyramid_scale_factor(0.8);
        detector.set_slide_window_step(4, 4);
        let faces = detector.detect(&rustface::ImageData::new(&scaled.pixels, scaled.width, scaled.height));

        let mut found: Vec<Found> = faces.iter().filter_map(|face| scaled.back(face, width, height)).collect();
        found.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        Ok(found)
    }

    fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn card(&self) -> &Card {
        &self.card
    }
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
    fn new(grey: &Grey8<'_>) -> Self {
        let area = grey.width as f32 * grey.height as f32;
        let scale = (WINDOW as f32 / SMALLEST as f32).min((AREA / area).sqrt());
        let side = |len: u32| (len as f32 * scale).round().max(1.0) as usize;
        let (inner_width, inner_height) = (side(grey.width), side(grey.height));
        // A picture smaller than a window has no face to find, but the cascade needs its window.
        let least = 2 * WINDOW as usize;
        let (width, height) = (inner_width.max(least), inner_height.max(least));

        let across = spans(grey.width as usize, inner_width);
        let down = spans(grey.height as usize, inner_height);
        let mut pixels = vec![0; width * height];
        let mut line = vec![0.0f32; grey.width as usize];
        for (row, span) in pixels.chunks_exact_mut(width).zip(&down) {
            line.fill(0.0);
            for (y, weight) in span.iter() {
                let from = &grey.pixels[y * grey.width as usize..][..grey.width as usize];
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

    /// A face in pixels of the original, cut at its edges; `None` when nothing is left of it.
    fn back(&self, face: &rustface::FaceInfo, width: u32, height: u32) -> Option<Found> {
        let cut = |start: i32, len: u32, end: u32| {
            let from = (start as f32 / self.scale).clamp(0.0, end as f32);
            let to = ((start as f32 + len as f32) / self.scale).clamp(0.0, end as f32);
            (to > from).then_some((from, to - from))
        };
        let area = face.bbox();
        let (x, width) = cut(area.x(), area.width(), width)?;
        let (y, height) = cut(area.y(), area.height(), height)?;
        Some(Found { x, y, width, height, confidence: confidence(face.score()) })
    }
}

/// Maps a score to 0..1: half at 6, 0.86 at 15, 0.98 at 40.
fn confidence(score: f64) -> f32 {
    (score * score / (score * score + 36.0)).clamp(0.0, 1.0) as f32
}

/// Which input pixels an output pixel is made of, with weights that sum to one: the area that it covers where the picture
/// shrinks, linear interpolation where it grows.
struct Span {
    first: usize,
    weights: Vec<f32>,
}

impl Span {
    fn iter(&self) -> impl Iterator<Item = (usize, f32)> {
        (self.first..).zip(self.weights.iter().copied())
    }
}

fn spans(from: usize, to: usize) -> Vec<Span> {
    let step = from as f32 / to as f32;
    let reach = step.max(1.0);
    let span = |i: usize| {
        let centre = (i as f32 + 0.5) * step - 0.5;
        let first = (centre - reach).ceil().max(0.0) as usize;
        let last = ((centre + reach).floor().max(0.0) as usize).min(from - 1);
        let first = first.min(last);
        let mut weights: Vec<f32> =
            (first..=last).map(|x| (1.0 - (x as f32 - centre).abs() / reach).max(1e-6)).collect();
        let sum: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Span { first, weights }
    };
    (0..to).map(span).collect()
}
