//! Resampling of planes to another size.

use super::{
    room,
    stretch::{self, Window},
    zeros,
};
use engine::{
    NodeResult,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    value::{Image, Mask, Size},
};
use rayon::prelude::*;
use std::sync::Arc;

/// How samples are weighed together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub(crate) enum Filter {
    /// Windowed sinc over 6x6 pixels: the sharpest, with slight ringing at hard edges.
    #[default]
    Lanczos3,
    /// Catmull-Rom cubic over 4x4 pixels: what most programs call bicubic.
    Bicubic,
    /// Linear interpolation over 2x2 pixels; soft.
    Bilinear,
    /// Mean over the area that a pixel covers: best for making a picture much smaller. Enlarges like `Nearest`.
    Area,
    /// Copies the nearest pixel: for pixel art and index maps.
    Nearest,
}

/// A plane at another size. Filters with negative weights may leave the range of the input.
///
/// # Errors
/// When there is no memory for it.
pub(crate) fn plane(samples: &[f32], from: Size, to: Size, filter: Filter) -> NodeResult<Vec<f32>> {
    if from == to {
        let mut out = room(samples.len())?;
        out.extend_from_slice(samples);
        return Ok(out);
    }
    stretch::plane(samples, &Window::whole(from, to), filter)
}

/// A mask at another size, kept within 0 to 1.
///
/// # Errors
/// When there is no memory for it.
pub(crate) fn mask(mask: &Mask, to: Size, filter: Filter) -> NodeResult<Mask> {
    let mut samples = plane(mask.samples(), mask.size(), to, filter)?;
    samples.par_iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
    Ok(Mask::new(to, samples))
}

/// A picture at another size, or the wanted part of it. Alpha is resampled on its own and weighs the colours, so that what
/// cannot be seen does not bleed into what can. Colours are weighed in `linear` light, or as they are encoded.
///
/// # Errors
/// When there is no memory for it.
pub(crate) fn image(image: &Image, window: &Window, filter: Filter, linear: bool) -> NodeResult<Image> {
    if window.frame == window.to && window.seen == window.part {
        return Ok(image.clone());
    }
    let to = window.part.size();
    let n = to.pixels();
    let mut out = zeros(n * image.channels())?;
    let (colours, veil) = out.split_at_mut(3 * n);
    if let Some(alpha) = image.alpha() {
        stretch::plane_into(alpha, window, filter, veil)?;
    }
    // Invisible pixels keep a trace of weight: a picture that is transparent all over keeps its hidden colours.
    const TRACE: f32 = 1.0 / 4096.0;
    for (channel, target) in colours.chunks_exact_mut(n.max(1)).enumerate() {
        let source = image.plane(channel);
        if !linear && !image.has_alpha() {
            stretch::plane_into(source, window, filter, target)?;
            continue;
        }
        let mut weighed = zeros(source.len())?;
        weighed.par_iter_mut().enumerate().for_each(|(i, w)| {
            let v = if linear { srgb_to_linear(source[i]) } else { source[i] };
            *w = image.alpha().map_or(v, |alpha| v * (alpha[i] + TRACE));
        });
        stretch::plane_into(&weighed, window, filter, target)?;
        drop(weighed);
        let veil = &*veil;
        target.par_iter_mut().enumerate().for_each(|(i, v)| {
            if let Some(alpha) = veil.get(i) {
                // Negative lobes can leave next to no weight; the colour there is of no weight either.
                *v = (*v / (alpha + TRACE).max(TRACE)).clamp(0.0, 1.0);
            }
            if linear {
                *v = linear_to_srgb(*v);
            }
        });
    }
    veil.par_iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
    // The tables of a JPEG file tell nothing about resampled pixels.
    let mut metadata = image.metadata.clone();
    if metadata.jpeg_quality.is_some() {
        Arc::make_mut(&mut metadata).jpeg_quality = None;
    }
    Ok(Image::new(to, image.channels(), out, metadata))
}

/// The sRGB curve (IEC 61966-2-1), odd around zero so that overshoots survive the way there and back.
pub(crate) fn srgb_to_linear(v: f32) -> f32 {
    let a = v.abs();
    let linear = if a <= 0.040_45 { a / 12.92 } else { ((a + 0.055) / 1.055).powf(2.4) };
    linear.copysign(v)
}

/// The inverse of [`srgb_to_linear`].
pub(crate) fn linear_to_srgb(v: f32) -> f32 {
    let a = v.abs();
    let encoded = if a <= 0.003_130_8 { a * 12.92 } else { 1.055 * a.powf(1.0 / 2.4) - 0.055 };
    encoded.copysign(v)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize) -> Vec<f32> {
        (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32).collect()
    }

    #[test]
    fn thread_count_changes_no_bit() {
        let (from, to) = (Size::new(61, 47), Size::new(173, 149));
        let samples = noise(from.pixels());
        for filter in [Filter::Lanczos3, Filter::Bicubic, Filter::Bilinear, Filter::Area, Filter::Nearest] {
            for (a, b) in [(from, to), (to, from)] {
                let samples = if a == from { samples.clone() } else { noise(to.pixels()) };
                let runs: Vec<Vec<u32>> = [1, 2, 3, 5]
                    .map(|threads| {
                        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                        pool.install(|| plane(&samples, a, b, filter).unwrap()).iter().map(|v| v.to_bits()).collect()
                    })
                    .to_vec();
                assert!(runs.iter().all(|run| run == &runs[0]), "{filter:?} {a} to {b}");
            }
        }
    }

    #[test]
    fn area_is_the_mean() {
        let samples = noise(64);
        let out = plane(&samples, Size::new(8, 8), Size::new(4, 4), Filter::Area).unwrap();
        let mean = (samples[2] + samples[3] + samples[10] + samples[11]) / 4.0;
        assert!((out[1] - mean).abs() < 1e-6);
    }

    #[test]
    fn bicubic_is_catmull_rom() {
        // Against the formula, far from the edges.
        let samples = noise(16);
        let out = plane(&samples, Size::new(16, 1), Size::new(32, 1), Filter::Bicubic).unwrap();
        let w = |x: f64| {
            let x = x.abs();
            if x < 1.0 { 1.5 * x.powi(3) - 2.5 * x * x + 1.0 } else { -0.5 * x.powi(3) + 2.5 * x * x - 4.0 * x + 2.0 }
        };
        let at = (13.0 + 0.5) / 2.0 - 0.5; // centre of target pixel 13 on the source
        let expected: f64 = (5..=8).map(|i| w(at - f64::from(i)) * f64::from(samples[i as usize])).sum();
        assert!((f64::from(out[13]) - expected).abs() < 1e-5, "{} {expected}", out[13]);
    }

    #[test]
    fn hidden_colours_do_not_bleed() {
        // Visible grey beside invisible bright red.
        let size = Size::new(8, 1);
        let mut samples = vec![0.5; 8 * 4];
        for x in 4..8 {
            samples[x] = 1.0;
            samples[8 + x] = 0.0;
            samples[16 + x] = 0.0;
            samples[24 + x] = 0.0;
        }
        for x in 0..4 {
            samples[24 + x] = 1.0;
        }
        let picture = Image::new(size, 4, samples, Arc::default());
        let out = image(&picture, &Window::whole(size, Size::new(16, 1)), Filter::Bilinear, false).unwrap();
        for x in 0..8 {
            assert!((out.plane(0)[x] - 0.5).abs() < 2e-3, "{x}: {}", out.plane(0)[x]);
        }
        assert!(out.plane(0)[14] > 0.99, "hidden colour kept");
    }

    #[test]
    fn linear_light_keeps_energy() {
        let size = Size::new(4, 4);
        let checker: Vec<f32> = (0..16).map(|i| ((i + i / 4) % 2) as f32).collect();
        let picture = Image::new(size, 3, checker.repeat(3), Arc::default());
        let out = image(&picture, &Window::whole(size, Size::new(1, 1)), Filter::Area, true).unwrap();
        assert!((out.samples()[0] - linear_to_srgb(0.5)).abs() < 1e-4);
        for i in -20..=40 {
            let v = i as f32 / 20.0;
            assert!((linear_to_srgb(srgb_to_linear(v)) - v).abs() < 1e-5);
        }
    }

    #[test]
    fn any_size_works() {
        for (from, to) in [((1, 1), (7, 3)), ((7, 3), (1, 1)), ((1, 500), (500, 1)), ((20_000, 1), (3, 2))] {
            let (from, to) = (Size::new(from.0, from.1), Size::new(to.0, to.1));
            for filter in [Filter::Lanczos3, Filter::Bicubic, Filter::Bilinear, Filter::Area, Filter::Nearest] {
                let out = plane(&vec![0.25; from.pixels()], from, to, filter).unwrap();
                assert!(out.iter().all(|v| (v - 0.25).abs() < 1e-5), "{filter:?} {from} {to}");
            }
        }
        let broken = [f32::NAN, 1.0, f32::INFINITY, 0.0];
        assert_eq!(plane(&broken, Size::new(2, 2), Size::new(5, 5), Filter::Lanczos3).unwrap().len(), 25);
    }
}
