use crate::measure::{blur, jpeg, noise, window};
use engine::{
    Cx, In, Node, NodeResult,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    value::{Damage, Image, Measure},
};
use rayon::prelude::*;

/// How good the picture is to be taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub enum Quality {
    /// The measures decide.
    #[default]
    Auto,
    /// The picture is damaged: it is restored before detail is added.
    Low,
    /// The picture is good: it is never restored.
    High,
}

/// Noise from which on a picture is restored, in 8-bit steps. The most textured clean photographs measure 5.
const NOISY: f32 = 7.5;
/// JPEG quality below which a picture is restored.
const COMPRESSED: f32 = 78.0;
/// Blur from which on a picture is restored, in pixels. Clean photographs measure up to 1.0.
const BLURRED: f32 = 1.3;
/// Measures that are less sure than this decide nothing.
const SURE: f32 = 0.35;
/// What `Low` assumes at least, when nothing worse was found.
const MILD_NOISE: f32 = 3.0;
/// See [`MILD_NOISE`].
const MILD_JPEG: f32 = 75.0;

engine::node! {
    /// Measures how damaged a picture is, and decides whether it is to be restored before detail is added.
    ///
    /// Three things are measured, each with a confidence of 0 to 1:
    ///
    /// - **noise**: standard deviation in 8-bit steps of a colour channel, read off the high frequencies of the flattest
    ///   blocks (Ponomarenko et al. 2007; Colom and Buades 2013). Clipped areas and drawn areas of one colour are left out,
    ///   and so is what clean photographs have of grain.
    /// - **JPEG quality**: told by the file when it is one and was not resized since; else from the pixels, by the jumps
    ///   at the edges of 8x8 blocks and the steps that the cosine coefficients lie on, compared with the tables of
    ///   ITU T.81 annex K scaled as the IJG's library does. 100 means that no trace of a JPEG was found.
    /// - **blur**: deviation in pixels of the Gaussian that would make a sharp photograph as soft, read off lone edges
    ///   after several known blurs (Zhuo and Sim 2011). Its confidence is how likely it is right within 0.15 pixels, or a
    ///   tenth of it.
    ///
    /// Of twelve photographs of 768x512 pixels to which a known damage was added, noise of 5 to 30 steps is told within
    /// 10 % on all (of 3 steps on eleven), JPEG quality of 20 to 90 exactly on all, blur of 1.2 to 3 pixels within 0.15 on
    /// eleven or twelve, of 0.5 and 0.8 on nine or ten: there the blur that a photograph has of its own weighs as much.
    ///
    /// With `quality: Auto` a picture is restored when its noise is at least 7.5, its JPEG quality below 78 or its blur at
    /// least 1.3, and the measure is sure enough (0.35). `High` never restores; `Low` always does, and assumes noise 3 and
    /// JPEG quality 75 where less was found. At most about a million pixels, evenly chosen, are looked at.
    pub struct DegradeDetect, version 2 {
        /// Picture to measure.
        image: In<Image>,
        /// How good the picture is to be taken for.
        quality: Quality = Quality::Auto,
    }
}

impl Node for DegradeDetect {
    type Out = Damage;

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Damage> {
        let image = cx.get(&self.image)?;
        cx.checkpoint()?;
        Ok(judge(measure(&image), self.quality))
    }
}

/// Measures a picture; `restore` is left false.
pub fn measure(image: &Image) -> Damage {
    let windows: Vec<window::Window> =
        window::choose(image.size()).into_par_iter().map(|rect| window::Window::cut(image, rect)).collect();
    let noise = noise::sigma(&windows);
    let jpeg_quality = match image.metadata.jpeg_quality {
        Some(told) => Measure { value: f32::from(told.clamp(1, 100)), confidence: 1.0 },
        None => jpeg::quality(&windows).quality,
    };
    Damage { noise, jpeg_quality, blur: blur::sigma(&windows, noise.value), restore: false }
}

/// Decides whether a measured picture is restored.
pub fn judge(mut damage: Damage, quality: Quality) -> Damage {
    let sure = |m: Measure| m.confidence >= SURE;
    damage.restore = match quality {
        Quality::High => false,
        Quality::Low => true,
        Quality::Auto => {
            (sure(damage.noise) && damage.noise.value >= NOISY)
                || (sure(damage.jpeg_quality) && damage.jpeg_quality.value < COMPRESSED)
                || (sure(damage.blur) && damage.blur.value >= BLURRED)
        }
    };
    if quality == Quality::Low && !judge(damage, Quality::Auto).restore {
        // Asked for, though nothing stands out: what such pictures mostly suffer from, at its mildest.
        damage.noise.value = damage.noise.value.max(MILD_NOISE);
        damage.jpeg_quality.value = damage.jpeg_quality.value.min(MILD_JPEG);
    }
    damage
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::value::{Metadata, Size};
    use std::sync::Arc;

    const CLEAN: Damage = Damage::NONE;

    fn measured(value: f32) -> Measure {
        Measure { value, confidence: 1.0 }
    }

    #[test]
    fn auto_restores_what_is_damaged() {
        assert!(!judge(CLEAN, Quality::Auto).restore);
        assert!(judge(Damage { noise: measured(15.0), ..CLEAN }, Quality::Auto).restore);
        assert!(judge(Damage { jpeg_quality: measured(40.0), ..CLEAN }, Quality::Auto).restore);
        assert!(judge(Damage { blur: measured(2.0), ..CLEAN }, Quality::Auto).restore);
        let guess = Measure { value: 15.0, confidence: 0.1 };
        assert!(!judge(Damage { noise: guess, ..CLEAN }, Quality::Auto).restore);
    }

    #[test]
    fn low_assumes_mild_damage_and_keeps_strong() {
        let mild = judge(CLEAN, Quality::Low);
        assert!(mild.restore && mild.noise.value == 3.0 && mild.jpeg_quality.value == 75.0);
        let strong = judge(Damage { noise: measured(15.0), ..CLEAN }, Quality::Low);
        assert!(strong.restore && strong.noise.value == 15.0 && strong.jpeg_quality.value == 100.0);
        assert!(!judge(Damage { noise: measured(15.0), ..CLEAN }, Quality::High).restore);
    }

    #[test]
    fn the_file_knows_its_quality() {
        let metadata = Metadata { jpeg_quality: Some(35), ..Metadata::default() };
        let image = Image::new(Size::new(2, 2), 3, vec![0.5; 12], Arc::new(metadata));
        assert_eq!(measure(&image).jpeg_quality, measured(35.0));
    }

    #[test]
    fn any_picture_can_be_measured() {
        for (w, h) in [(1, 1), (1, 3000), (7, 7), (8, 8), (15, 16), (17, 9), (300, 20)] {
            for value in [0.0, 0.5, 1.0, f32::NAN, f32::INFINITY, -3.0] {
                let damage = measure(&Image::filled(Size::new(w, h), &[value; 3]));
                assert!(!judge(damage, Quality::Auto).restore, "{w}x{h} of {value}: {damage:?}");
                assert!(damage.noise.value.is_finite() && damage.blur.value.is_finite());
            }
        }
    }
}
