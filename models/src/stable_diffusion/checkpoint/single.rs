//! A file with everything in it, or with a part alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use safetensors::SafeTensors;

use super::names::superfluous;
use super::parts::{self, Part, Place};
use super::{Checkpoint, Family, Sizes, Source, sizes};
use crate::files::{Format, Mapped, Tensors};
use crate::layers::Weights;
use crate::stable_diffusion::ControlNetConfig;
use crate::stable_diffusion::samplers::Prediction;
use crate::{Error, Result};

/// Opens a file.
///
/// # Errors
/// As [`Checkpoint::open`].
pub(super) fn open(path: &Path) -> Result<Checkpoint> {
    let name = path.display().to_string();
    let broken = |message: String| Error::Weights { file: name.clone(), message };
    let file = Mapped::open(path).map_err(broken)?;
    let tensors = Tensors::read(&name, file.bytes(), None)?;
    if let Some(other) = unsupported(&tensors) {
        return Err(broken(other.into()));
    }
    let places = parts::places(&tensors);
    if places.is_empty() {
        return Err(broken(strange(&tensors)));
    }

    let mut found = BTreeMap::new();
    let mut unknown: Vec<String> = tensors.names().filter(|name| !superfluous(name)).map(str::to_owned).collect();
    for place in &places {
        let (taken, strange) = parts::taken(tensors.clone(), *place).map_err(broken)?;
        let strange: BTreeSet<String> = strange.into_iter().collect();
        unknown.retain(|name| !name.starts_with(place.prefix) || strange.contains(name));
        let sizes = sizes_of(&Weights::of(&name, taken), *place)?;
        found.insert(place.part, Source { files: vec![0], place: *place, sizes });
    }
    let (prediction, zero_terminal) = hints(&tensors, file.bytes());
    drop(tensors);
    let checkpoint = Checkpoint::assembled(name, vec![file], found, None);
    Ok(Checkpoint { unknown, prediction, zero_terminal, ..checkpoint })
}

/// The sizes of a part, from the shapes of its tensors.
pub(super) fn sizes_of(weights: &Weights<'_>, place: Place) -> Result<Sizes> {
    Ok(match place.part {
        Part::Unet => Sizes::Unet(sizes::unet(weights)?),
        Part::Vae => Sizes::Vae(sizes::vae(weights)?),
        Part::Text | Part::Text2 => Sizes::Clip(sizes::clip(&weights.under("text_model."))?),
        Part::Control => Sizes::Control(ControlNetConfig {
            unet: sizes::unet(weights)?,
            hint: sizes::hint(weights)?,
            ..ControlNetConfig::default()
        }),
    })
}

/// What the file says of what its U-Net predicts, and whether it was trained down to pure noise.
fn hints(tensors: &Tensors<'_>, file: &[u8]) -> (Prediction, bool) {
    let metadata = match tensors.format() {
        Format::Safetensors => SafeTensors::read_metadata(file).ok().and_then(|(_, about)| about.metadata().clone()),
        _ => None,
    };
    let told = metadata.as_ref().and_then(|texts| texts.get("modelspec.prediction_type")).map(String::as_str);
    let velocity = tensors.get("v_pred").is_some() || matches!(told, Some("v" | "v_prediction" | "v-prediction"));
    (if velocity { Prediction::Velocity } else { Prediction::Epsilon }, tensors.get("ztsnr").is_some())
}

/// What a file is that looks like a Stable Diffusion and is none that is known here.
fn unsupported(tensors: &Tensors<'_>) -> Option<&'static str> {
    const SIGNS: [(&str, &str); 9] = [
        ("double_blocks.", "it is a Flux model, which is not known here: take Stable Diffusion 1, 2 or XL"),
        ("joint_blocks.", "it is a Stable Diffusion 3 model, which is not known here: take 1, 2 or XL"),
        ("edm_mean", "it is a Playground 2.5 model, whose noise is another: take Stable Diffusion 1, 2 or XL"),
        ("clip_txt_mapper.", "it is a Stable Cascade model, which is not known here: take Stable Diffusion 1, 2 or XL"),
        ("lora_controlnet", "it is a Control-LoRA, which is not known here: take the full ControlNet"),
        ("lllite_", "it is a ControlNet-LLLite, which is not known here: take the full ControlNet"),
        ("difference", "it is a ControlNet as a difference to one model, which is not known here: take the full one"),
        ("motion_modules.", "it is an AnimateDiff model, which is not known here"),
        ("image_proj", "it is an IP-Adapter, which is not known here"),
    ];
    let has = |sign: &str| {
        let inside = |name: &str| name.starts_with(sign) || name.contains(&format!(".{sign}"));
        tensors.names().any(inside)
    };
    SIGNS.into_iter().find(|(sign, _)| has(sign)).map(|(_, what)| what)
}

/// What to say of a file without a part that is known.
fn strange(tensors: &Tensors<'_>) -> String {
    let first: Vec<String> = tensors.names().take(3).map(|name| format!("`{name}`")).collect();
    format!(
        "it holds no part of {}, {} or {}; its {} tensors begin with {}",
        Family::Sd1.name(),
        Family::Sd2.name(),
        Family::SdXl.name(),
        tensors.names().count(),
        first.join(", ")
    )
}
