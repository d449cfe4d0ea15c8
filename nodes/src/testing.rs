//! Generated pictures for tests.

use engine::value::{Image, Size};
use std::sync::Arc;

/// White noise, the same at every call.
pub(crate) fn noise(size: Size, channels: usize) -> Image {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let samples = (0..size.pixels() * channels)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        })
        .collect();
    Image::new(size, channels, samples, Arc::default())
}

/// Smooth waves of different frequency and direction in each plane.
pub(crate) fn waves(size: Size, channels: usize) -> Image {
    let mut samples = Vec::new();
    for c in 0..channels {
        for y in 0..size.height {
            for x in 0..size.width {
                let (x, y) = (x as f32, y as f32);
                let phase = x * (0.05 + 0.04 * c as f32) + y * (0.11 - 0.02 * c as f32);
                samples.push(0.5 + 0.3 * phase.sin() + 0.15 * (phase * 3.7 + y * 0.4).cos());
            }
        }
    }
    Image::new(size, channels, samples, Arc::default())
}
