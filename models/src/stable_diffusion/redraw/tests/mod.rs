//! Tests of redrawing: laws with networks that can be reckoned by hand, and drawings of random networks against diffusers.

mod inversion;
mod laws;
mod one_step;
mod pipeline;
mod small;

use super::*;
use crate::Picture;
use crate::stable_diffusion::Conditioning;
use crate::stable_diffusion::samplers::{SamplerKind, Spacing};

/// How a picture of three planes is redrawn where nothing else is said: in one tile, by the settings of `tests/parity/pipeline.py`.
fn usual<'a>(
    rgb: &'a [f32],
    (width, height): (usize, usize),
    wanted: &'a [(Place, Conditioning)],
    unwanted: &'a Conditioning,
) -> Redrawing<'a> {
    Redrawing {
        picture: Picture::new(width as u32, height as u32, rgb).unwrap(),
        creativity: Amount::Uniform(0.7),
        resemblance: Amount::Uniform(1.0),
        detail: Amount::Uniform(0.5),
        guidance: 4.0,
        way: Way::Steps { count: 10, sampler: SamplerKind::Ddim, spacing: Spacing::Leading, inversion: None },
        tiling: Tiling::Independent,
        tile: (512, 512),
        overlap: (64, 64),
        seed: 5,
        wanted,
        unwanted,
    }
}
