//! Between the nodes and the `models` crate: failures, progress and the measured damage in the networks' terms.

use crate::files;
use engine::{
    Blame, Cx, Failure, NodeResult,
    digest::{Digest, Digester},
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    value::{Damage, Image, Rect, Size},
};
use models::{Compute, DamageCondition, Detail, Faithful, Part, Picture, SuperResolution, Watch};
use std::{borrow::Cow, sync::Arc};

/// The numbers that a network computes in. Sums are 32 bits wide in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub enum Precision {
    /// Bf16 where the processor is twice as fast with it, and for networks of gigabytes, else F32; F32 on graphics processors.
    #[default]
    Auto,
    /// 32 bits.
    F32,
    /// 16 bits: the upper half of 32. Results differ by far less than anyone can see.
    Bf16,
}

impl Precision {
    /// What the network is told.
    fn told(self) -> models::Precision {
        match self {
            Self::Auto => models::Precision::fastest(),
            Self::F32 => models::Precision::F32,
            Self::Bf16 => models::Precision::Bf16,
        }
    }

    /// The same for networks with gigabytes of weights.
    pub(crate) fn of_large(self) -> Self {
        match (self, models::Precision::leanest()) {
            (Self::Auto, models::Precision::Bf16) => Self::Bf16,
            (Self::Auto, models::Precision::F32) => Self::F32,
            (asked, _) => asked,
        }
    }

    /// The faithful network in these numbers.
    pub(crate) fn faithful(self) -> NodeResult<&'static Faithful> {
        Faithful::embedded(self.told()).map_err(failure)
    }

    /// The detail network in these numbers.
    pub(crate) fn detail(self) -> NodeResult<&'static Detail> {
        Detail::embedded(self.told()).map_err(failure)
    }

    /// What other networks compute on, in these numbers.
    pub(crate) fn compute(self) -> Compute {
        Compute::here(self.told())
    }

    /// A network out of a file in these numbers.
    pub(crate) fn brought(self, model: &str) -> NodeResult<Arc<SuperResolution>> {
        files::network(model, self.compute())
    }

    /// What results of a network out of a file depend on in these numbers. The network is not made for this.
    pub(crate) fn outside(self, model: &str) -> NodeResult<Vec<Digest>> {
        Ok(vec![files::network_digest(model)?, self.family()])
    }

    /// Bytes of a number.
    pub(crate) fn bytes(self) -> u64 {
        if self.reduced() { 2 } else { 4 }
    }

    /// A digest of all that decides about the last bits of results on this machine.
    pub(crate) fn family(self) -> Digest {
        let mut d = Digester::new("upweave compute family");
        d.text(&self.compute().family());
        d.finish()
    }

    /// Whether 32 bits could do what these numbers cannot.
    pub(crate) fn reduced(self) -> bool {
        self.told() != models::Precision::F32
    }

    /// The same, but 32 bits where the engine asks for them, after a run in fewer was broken.
    pub(crate) fn within(self, cx: &Cx<'_>) -> Self {
        if cx.precise() { Self::F32 } else { self }
    }
}

/// Whose fault a failure of a model is.
pub(crate) fn failure(error: models::Error) -> Failure {
    let blame = match &error {
        models::Error::PictureSize { .. } => Blame::Input,
        models::Error::Setting { .. } => Blame::Graph,
        models::Error::TooLarge { .. } => Blame::Memory,
        models::Error::Cancelled => return Failure::cancelled(),
        _ => Blame::Model,
    };
    let hint = match &error {
        models::Error::TooLarge { .. } => Some("make a smaller picture, or close other programs".to_owned()),
        models::Error::ModelMissing { model, .. } => {
            Some(files::how(model).unwrap_or_else(|| format!("run `upweave models pull {model}`")))
        }
        _ => None,
    };
    let message = match &error {
        // The hint says how to get it.
        models::Error::ModelMissing { purpose, .. } => format!("the model that {purpose} is not installed"),
        other => other.to_string(),
    };
    Failure { hint, ..Failure::new(blame, message) }
}

/// By how much a model of the user's enlarges: a name or a file, as `Upscale(model: ..)` takes it.
///
/// # Errors
/// When there is no such model, or it holds no network that is known.
pub fn model_scale(model: &str) -> NodeResult<u32> {
    Ok(Precision::Auto.brought(model)?.scale())
}

/// Makes sure that a model of the user's holds a network that is known, as far as the names of its tensors tell.
///
/// # Errors
/// When there is no such model, or it holds none.
pub fn known_model(model: &str) -> NodeResult<()> {
    files::network_digest(model).map(|_| ())
}

/// The digest of a model file, as the engine counts it.
pub(crate) fn digest(digest: [u8; 32]) -> Digest {
    Digest(digest)
}

/// Tells the progress of a model run as that of the node, as part `part` of `parts` equal ones, and keeps its tiles.
pub(crate) struct Watched<'a, 'b> {
    /// The node's context.
    pub(crate) cx: &'a Cx<'b>,
    /// Parts that are done already.
    pub(crate) part: u64,
    /// All parts.
    pub(crate) parts: u64,
}

impl Watch for Watched<'_, '_> {
    fn step(&mut self, done: u64, total: u64) -> models::Result<()> {
        self.cx.checkpoint().map_err(|_| models::Error::Cancelled)?;
        self.cx.progress(self.part * total + done, self.parts * total);
        Ok(())
    }

    fn recall(&mut self, part: Part) -> Option<Vec<f32>> {
        self.cx.recall::<Image>(|d| feed(d, part)).map(|image| image.samples().to_vec())
    }

    fn keep(&mut self, part: Part, values: &dyn Fn() -> Vec<f32>) {
        let size = Size::new(part.size.0, part.size.1);
        self.cx.keep(|d| feed(d, part), || Image::new(size, 3, values(), Arc::default()));
    }
}

/// Where a part lies, for its key.
fn feed(d: &mut Digester, part: Part) {
    d.u64(u64::from(part.stage));
    d.rect(Rect { x: part.corner.0, y: part.corner.1, width: part.size.0, height: part.size.1 });
}

/// The colours of a picture for a network. Samples that are not finite count as black, as a network would carry them
/// into all their surroundings.
pub(crate) fn colours(image: &Image) -> Cow<'_, [f32]> {
    let rgb = image.rgb();
    if rgb.iter().all(|v| v.is_finite()) {
        Cow::Borrowed(rgb)
    } else {
        Cow::Owned(rgb.iter().map(|&v| if v.is_finite() { v } else { 0.0 }).collect())
    }
}

/// A picture for a network, whose first pixel lies at `origin` of the whole picture.
pub(crate) fn picture(rgb: &[f32], size: Size, origin: (u32, u32)) -> NodeResult<Picture<'_>> {
    Picture::new(size.width, size.height, rgb).map(|picture| picture.at(origin)).map_err(failure)
}

/// What the networks are told of the damage: nothing, unless the picture is to be restored. Measures in the range of
/// clean pictures count as none, since the networks learned to keep those as they are.
pub(crate) fn condition(damage: Option<&Damage>) -> DamageCondition {
    let Some(damage) = damage.filter(|damage| damage.restore) else {
        return DamageCondition::default();
    };
    DamageCondition {
        noise_sigma: if damage.noise.value >= 2.0 { damage.noise.value.min(50.0) } else { 0.0 },
        jpeg_quality: (damage.jpeg_quality.value < 95.0).then(|| damage.jpeg_quality.value.clamp(1.0, 100.0)),
        blur_sigma: if damage.blur.value >= 1.0 { damage.blur.value.min(3.0) } else { 0.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::value::Measure;

    #[test]
    fn damage_counts_only_when_it_is_to_be_restored() {
        let noise = Measure { value: 15.0, confidence: 1.0 };
        let told = |restore| condition(Some(&Damage { noise, restore, ..Damage::NONE }));
        assert_eq!(told(false).noise_sigma, 0.0);
        assert_eq!(told(true).noise_sigma, 15.0);
        assert_eq!(told(true).jpeg_quality, None);
    }

    #[test]
    fn what_is_no_number_becomes_black() {
        let image = Image::filled(Size::new(2, 1), &[f32::NAN, 0.5, f32::INFINITY]);
        assert_eq!(colours(&image).as_ref(), [0.0, 0.0, 0.5, 0.5, 0.0, 0.0]);
    }

    /// The tests run on the processor.
    #[test]
    fn large_networks_take_half_the_memory_unless_told_otherwise() {
        assert_eq!([Precision::Auto, Precision::Bf16, Precision::F32].map(|asked| asked.of_large().bytes()), [2, 2, 4]);
    }

    #[test]
    fn a_missing_model_names_the_command() {
        let failure = failure(models::Error::ModelMissing { model: "hands", purpose: "finds hands" });
        assert_eq!(failure.blame, Blame::Model);
        assert_eq!(failure.hint.as_deref(), Some("run `upweave models pull hands`"));
    }
}
