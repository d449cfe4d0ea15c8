//! The blur that the edges of a picture tell of, as learnt from photographs that were blurred by a known amount.

use super::{
    edges::{self, FEATURES},
    weights::{DOUBTS, INNER, OFFSETS, OUTER},
};
use engine::value::Measure;

/// Blur and confidence: the latter is how likely the blur is right within 0.15 pixels, or a tenth of it.
pub(super) fn blur(features: &[f32; FEATURES]) -> Measure {
    let hidden = INNER.iter().zip(OFFSETS).map(|(row, offset)| (offset + dot(row, features)).tanh());
    let [outer @ .., last] = OUTER;
    let value = (last + hidden.zip(outer).map(|(a, b)| a * b).sum::<f32>()).max(0.0);
    let doubts = DOUBTS[0] + dot(&DOUBTS[1..], &reasons(value, features));
    Measure { value, confidence: 1.0 / (1.0 + (-doubts).exp()) }
}

/// What the confidence is told by: how much the edges differ, within a range of known blurs and between them, how many
/// there are, and how strong the noise is.
fn reasons(value: f32, features: &[f32; FEATURES]) -> [f32; 7] {
    let lone = edges::lone(features);
    let mean = |of: &dyn Fn(&[f32]) -> f32| lone.clone().map(of).sum::<f32>() / edges::RANGES as f32;
    let medians = || lone.clone().map(|range| range[2]);
    let apart = medians().fold(0.0, f32::max) - medians().fold(f32::INFINITY, f32::min);
    let [.., density, noise] = *features;
    [
        value,
        mean(&|range| range[3] - range[1]) / (value + 0.5),
        apart / (value + 0.5),
        mean(&|range| range[5]),
        density,
        noise,
        (noise + 2.0).max(0.0).powi(2),
    ]
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
