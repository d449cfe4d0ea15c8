use crate::pixel::{
    blur, colour,
    resample::{self, Filter},
    zeros,
};
use engine::{
    Cx, Forecast, In, Node, NodeResult, Outputs, Reach, Shapes,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    value::{Image, Size},
};
use rayon::prelude::*;
use std::sync::Arc;

/// How colours are taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub(crate) enum Method {
    /// Fine structure from the picture, everything broader than about 32 pixels from the reference: an a-trous wavelet of
    /// five levels, as in StableSR (Wang et al. 2024). Colours follow the reference from place to place.
    #[default]
    Wavelet,
    /// Mean and deviation of every channel become those of the reference: adaptive instance normalisation (Huang and
    /// Belongie 2017). One change for the whole picture.
    AdaIn,
    /// The wavelet method first, then the distributions of a and b in CIE Lab become those of the reference, and a fifth
    /// of the way that of L, as in SeedVR2 (Wang et al. 2025).
    LabHistogram,
}

engine::node! {
    /// Gives a picture the colours of another, of which it was made.
    ///
    /// Models that draw detail also shift colours; this takes the shift back. A reference of another size is resized to
    /// the picture first (bicubic). Alpha and metadata of the picture stay.
    pub struct ColorCorrect, version 2 {
        /// Picture to correct.
        image: In<Image>,
        /// Picture whose colours are right.
        reference: In<Image>,
        /// How colours are taken over.
        method: Method = Method::Wavelet,
        /// Share of the correction: 0 changes nothing, 1 is all of it.
        #[schemars(range(min = 0.0, max = 1.0))]
        strength: f64 = 1.0,
    }
}

/// One plane of the reference, as large as the picture.
fn fitted(reference: &Image, channel: usize, size: Size) -> NodeResult<Vec<f32>> {
    resample::plane(reference.plane(channel), reference.size(), size, Filter::Bicubic)
}

/// Levels of the a-trous transform.
const LEVELS: u32 = 5;

/// The broad structure of a plane.
fn broad(mut plane: Vec<f32>, size: Size) -> NodeResult<Vec<f32>> {
    for level in 0..LEVELS {
        plane = blur::a_trous(&plane, size, 1 << level)?;
    }
    Ok(plane)
}

fn wavelet(out: &mut Image, reference: &Image, strength: f32, cx: &Cx<'_>) -> NodeResult<()> {
    let size = out.size();
    for channel in 0..3 {
        cx.checkpoint()?;
        if reference.size() == size && reference.plane(channel) == out.plane(channel) {
            // Nothing was drawn: there is no shift to look for.
            continue;
        }
        // content - broad(content) + broad(reference) = content + broad(reference - content): one transform does.
        let mut difference = fitted(reference, channel, size)?;
        difference.par_iter_mut().zip(out.plane(channel)).for_each(|(d, &v)| *d -= v);
        let shift = broad(difference, size)?;
        out.plane_mut(channel).par_iter_mut().zip(&shift).for_each(|(v, &d)| *v += strength * d);
    }
    Ok(())
}

fn adain(out: &mut Image, reference: &Image, strength: f32, cx: &Cx<'_>) -> NodeResult<()> {
    // Keeps flat planes from being blown up to noise.
    const LEAST: f64 = 1e-5;
    for channel in 0..3 {
        cx.checkpoint()?;
        let (mean, spread) = colour::moments(out.plane(channel));
        let (wanted_mean, wanted_spread) = colour::moments(reference.plane(channel));
        let gain = ((wanted_spread.powi(2) + LEAST) / (spread.powi(2) + LEAST)).sqrt();
        let (gain, offset) = (gain as f32, (wanted_mean - gain * mean) as f32);
        out.plane_mut(channel).par_iter_mut().for_each(|v| *v += strength * (*v * gain + offset - *v));
    }
    Ok(())
}

/// Turns three planes from RGB to Lab, or back.
fn convert(planes: &mut [f32], turn: fn([f32; 3]) -> [f32; 3]) {
    let n = planes.len() / 3;
    let (first, rest) = planes.split_at_mut(n);
    let (second, third) = rest.split_at_mut(n);
    first.par_iter_mut().zip(second).zip(third).for_each(|((x, y), z)| [*x, *y, *z] = turn([*x, *y, *z]));
}

fn lab_histogram(out: &mut Image, reference: &Image, strength: f32, cx: &Cx<'_>) -> NodeResult<()> {
    const LIGHTNESS_SHARE: f32 = 0.2;
    wavelet(out, reference, strength, cx)?;
    // The distribution does not need the reference at the picture's size.
    let mut wanted = zeros(reference.rgb().len())?;
    wanted.copy_from_slice(reference.rgb());
    convert(&mut wanted, colour::rgb_to_lab);
    cx.checkpoint()?;
    let n = out.size().pixels();
    let planes = &mut out.samples_mut()[..3 * n];
    convert(planes, colour::rgb_to_lab);
    let m = reference.size().pixels();
    let ranges = [(0.0, 100.0, LIGHTNESS_SHARE), (-128.0, 128.0, 1.0), (-128.0, 128.0, 1.0)];
    for (channel, (low, high, share)) in ranges.into_iter().enumerate() {
        cx.checkpoint()?;
        let plane = &mut planes[channel * n..(channel + 1) * n];
        colour::match_histogram(plane, &wanted[channel * m..(channel + 1) * m], low, high, share * strength);
    }
    convert(planes, colour::lab_to_rgb);
    Ok(())
}

impl Node for ColorCorrect {
    type Out = Image;
    const HEAVY: bool = true;

    fn forecast(&self, seen: &Shapes) -> Forecast {
        let plane = seen.picture_size().map_or(0, |size| size.area() * 4);
        Forecast { working_bytes: 3 * plane, ..Forecast::like(seen.first_picture(), <Image as Outputs>::PORTS) }
    }

    fn reach(&self, _: &Shapes) -> Option<Reach> {
        // The other methods look at the statistics of the whole picture.
        // Each level looks two of its steps far, which double from level to level.
        let halo = (1 << (LEVELS + 1)) - 2;
        (self.method == Method::Wavelet).then(|| Reach { fields: vec!["image", "reference"], halo })
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        let (image, reference) = (cx.get(&self.image)?, cx.get(&self.reference)?);
        let mut out = (*image).clone();
        let strength = self.strength as f32;
        if strength == 0.0 {
            return Ok(out);
        }
        match self.method {
            Method::Wavelet => wavelet(&mut out, &reference, strength, cx)?,
            Method::AdaIn => adain(&mut out, &reference, strength, cx)?,
            Method::LabHistogram => lab_histogram(&mut out, &reference, strength, cx)?,
        }
        let n = out.size().pixels();
        out.samples_mut()[..3 * n].par_iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
        if out.metadata.grey && !reference.metadata.grey {
            Arc::make_mut(&mut out.metadata).grey = false;
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{noise, run, waves};
    use engine::value::Value;

    fn correct(method: Method, image: &Image, reference: &Image) -> Image {
        let node = ColorCorrect { image: In::from("a"), reference: In::from("b"), method, strength: 1.0 };
        let values = [("a", Value::Image(Arc::new(image.clone()))), ("b", Value::Image(Arc::new(reference.clone())))];
        match run(&node, &values).unwrap().remove(0) {
            Value::Image(out) => (*out).clone(),
            other => panic!("{other:?}"),
        }
    }

    const METHODS: [Method; 3] = [Method::Wavelet, Method::AdaIn, Method::LabHistogram];

    #[test]
    fn a_picture_is_its_own_reference() {
        let picture = waves(Size::new(90, 70), 4);
        for method in METHODS {
            let out = correct(method, &picture, &picture);
            let worst = out.samples().iter().zip(picture.samples()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 4e-3, "{method:?}: {worst}");
            assert_eq!(out.alpha(), picture.alpha());
            if matches!(method, Method::Wavelet) {
                assert_eq!(out.samples(), picture.samples(), "what nothing was drawn into keeps its bits");
            }
        }
    }

    #[test]
    fn a_colour_cast_is_taken_back() {
        let right = waves(Size::new(120, 100), 3);
        let mut cast = right.clone();
        cast.plane_mut(0).iter_mut().for_each(|v| *v = *v * 0.8 + 0.12);
        cast.plane_mut(2).iter_mut().for_each(|v| *v *= 0.85);
        let error = |a: &Image| {
            a.samples().iter().zip(right.samples()).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.samples().len() as f32
        };
        for method in METHODS {
            let out = correct(method, &cast, &right);
            assert!(error(&out) < 0.6 * error(&cast), "{method:?}: {} of {}", error(&out), error(&cast));
        }
    }

    #[test]
    fn wavelet_is_high_of_one_and_low_of_the_other() {
        let size = Size::new(40, 30);
        let squeeze = |mut image: Image| {
            image.samples_mut().iter_mut().for_each(|v| *v = 0.4 + 0.2 * *v);
            image
        };
        let (a, b) = (squeeze(noise(size, 3)), squeeze(waves(size, 3)));
        let out = correct(Method::Wavelet, &a, &b);
        for c in 0..3 {
            let (low_a, low_b) = (broad(a.plane(c).to_vec(), size).unwrap(), broad(b.plane(c).to_vec(), size).unwrap());
            for i in 0..size.pixels() {
                let wanted = a.plane(c)[i] - low_a[i] + low_b[i];
                assert!((out.plane(c)[i] - wanted).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn any_size_and_broken_samples() {
        for (w, h) in [(1, 1), (3, 200), (65, 2)] {
            let mut picture = noise(Size::new(w, h), 3);
            for method in METHODS {
                correct(method, &picture, &noise(Size::new(7, 5), 4));
            }
            picture.samples_mut()[0] = f32::NAN;
            for method in METHODS {
                correct(method, &picture, &picture);
            }
        }
    }
}
