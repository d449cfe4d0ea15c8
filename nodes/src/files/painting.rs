//! The files that Stable Diffusion draws with, as nodes name them: opened once, and told from each other by their content.

use super::places::Purpose;
use super::remembered;
use super::turn;
use super::weights::{ModelFile, place};
use crate::backend::{self, Precision};
use engine::{
    Blame, Failure, NodeResult,
    digest::{Digest, Digester},
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
};
use models::stable_diffusion::{Checkpoint, Family, Materials, Painter, small_autoencoder};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// A model, and how much of it counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde", deny_unknown_fields)]
#[schemars(crate = "engine::schemars")]
pub(crate) struct Weighted {
    /// The name of an installed model, or a file.
    pub(crate) model: String,
    /// How much of it counts.
    #[serde(default = "full")]
    pub(crate) weight: f64,
    /// Whether the weight follows the control `detail`: it is as given at 0.5, nothing at 0, and double at 1. Only for LoRAs.
    #[serde(default)]
    pub(crate) detail: bool,
}

fn full() -> f64 {
    1.0
}

/// Weights beyond which nothing but noise comes out.
const MOST_WEIGHT: f64 = 10.0;

impl Weighted {
    /// What is wrong with it, as an entry of `field`.
    pub(crate) fn wrong(&self, field: &'static str) -> Option<Failure> {
        let refused =
            |message: String, hint: &str| Some(Failure::new(Blame::Graph, message).at(field).hint(hint.to_owned()));
        if self.model.is_empty() {
            return refused(
                format!("an entry of `{field}` names no model"),
                "`upweave models list` shows those that there are",
            );
        }
        if !(-MOST_WEIGHT..=MOST_WEIGHT).contains(&self.weight) {
            let message = format!("the weight of `{}` cannot be {}", self.model, self.weight);
            return refused(message, "use -10 to 10; 1 is all of it");
        }
        if self.detail && field == "controls" {
            return refused(
                format!("the weight of `{}` cannot follow the detail", self.model),
                "resemblance is what weighs ControlNets; leave out `detail`",
            );
        }
        None
    }

    /// Feeds what decides about results besides the content of the file.
    pub(crate) fn digest_into(&self, d: &mut Digester) {
        d.text(&self.model);
        d.f64(self.weight);
        d.u64(u64::from(self.detail));
    }
}

/// What a node draws with.
pub(crate) struct Networks<'a> {
    pub(crate) checkpoint: &'a str,
    pub(crate) vae: &'a str,
    pub(crate) controls: &'a [Weighted],
    pub(crate) loras: &'a [Weighted],
    pub(crate) embeddings: &'a [String],
}

impl Networks<'_> {
    /// Where the other autoencoder lies. Small ones are kept among previews.
    fn autoencoder(&self) -> NodeResult<PathBuf> {
        let found = |purpose| found("vae", self.vae, purpose);
        found(Purpose::Vae).or_else(|failure| found(Purpose::Preview).map_err(|_| failure))
    }

    /// Where the files lie, and by how much they count.
    fn materials(&self, detail: f64) -> NodeResult<Materials> {
        let weighted = |field: &'static str, all: &[Weighted], purpose: Purpose| -> NodeResult<Vec<(PathBuf, f32)>> {
            let weight = |one: &Weighted| (one.weight * if one.detail { detail } else { 1.0 }) as f32;
            all.iter().map(|one| Ok((found(field, &one.model, purpose)?, weight(one)))).collect()
        };
        let embedding = |name: &String| {
            let path = found("embeddings", name, Purpose::Embedding)?;
            let word = path.file_stem().map_or_else(|| name.clone(), |stem| stem.to_string_lossy().into_owned());
            Ok((word, path))
        };
        Ok(Materials {
            checkpoint: found("checkpoint", self.checkpoint, Purpose::Checkpoint)?,
            vae: if self.vae.is_empty() { None } else { Some(self.autoencoder()?) },
            controls: weighted("controls", self.controls, Purpose::ControlNet)?,
            loras: weighted("loras", self.loras, Purpose::Lora)?,
            embeddings: self.embeddings.iter().map(embedding).collect::<NodeResult<_>>()?,
        })
    }
}

/// The file of a model that a field names.
fn found(field: &'static str, model: &str, purpose: Purpose) -> NodeResult<PathBuf> {
    let path = place(model, Some(purpose)).map_err(|failure| failure.at(field))?;
    if !path.exists() {
        return Err(Failure::new(Blame::Model, format!("there is no model file `{}`", path.display()))
            .at(field)
            .hint("check the spelling; paths start from the folder that the command runs in"));
    }
    Ok(path)
}

/// What drawing takes, for the plan; per pixel of a tile where nothing else is said.
pub(crate) struct Needs {
    /// Bytes of the networks.
    pub(crate) weights: u64,
    /// Bytes of the maps of a step.
    pub(crate) of_step: u64,
    /// Bytes of the maps of the autoencoder.
    pub(crate) of_trip: u64,
    /// Floating-point operations of a step: with and without the prompt, each with the ControlNets.
    pub(crate) flops_of_step: f64,
    /// Floating-point operations of the way into the latent and back.
    pub(crate) flops_of_trip: f64,
}

/// What drawing takes. A plan is made before networks of gigabytes are read, so it counts by what the family is known for; where the
/// checkpoint is not there the first family stands for it. For one step there may be a second U-Net, without a half of the LoRA.
pub(crate) fn needs(networks: &Networks<'_>, precision: Precision, one_step: bool) -> Needs {
    let checkpoint = found("checkpoint", networks.checkpoint, Purpose::Checkpoint)
        .ok()
        .and_then(|path| Checkpoint::open(&path).ok());
    let family = checkpoint.and_then(|checkpoint| checkpoint.family());
    // Millions of parameters (U-Net, text encoders and autoencoder; a ControlNet) and of operations per pixel (both).
    let (parameters, control, step, control_step) = match family {
        Some(Family::SdXl | Family::SdXlRefiner) => (3470, 1250, 5.8, 2.2),
        Some(Family::Sd2) => (1290, 364, 2.6, 0.9),
        _ => (1066, 361, 2.6, 0.9),
    };
    let (bytes, controls) = (precision.bytes(), networks.controls.len());
    let (second, times) = if one_step { (866, 2.0) } else { (0, 1.0) };
    Needs {
        weights: (parameters + second + control * controls as u64) * 1_000_000 * bytes,
        of_step: BYTES_OF_STEP * bytes,
        of_trip: BYTES_OF_TRIP * bytes,
        flops_of_step: times * 2e6 * (step + control_step * controls as f64),
        flops_of_trip: 13.7e6,
    }
}

/// Numbers that live at once in a step, for each pixel of a tile.
const BYTES_OF_STEP: u64 = 450;
/// The same in the autoencoder, whose last maps are as large as the picture.
const BYTES_OF_TRIP: u64 = 800;

/// A digest of the content of a checkpoint, or of a part of one.
///
/// # Errors
/// When it is missing, cannot be read, or is nothing to draw with.
pub(crate) fn digest(path: &Path) -> NodeResult<Digest> {
    let checkpoint = Checkpoint::open(path).map_err(backend::failure)?;
    Ok(Digest(checkpoint.digest_by(|stamp, read| remembered::digest(stamp, || Digest(read())).0)))
}

/// Digests of the contents of all files.
///
/// # Errors
/// As [`digest`].
pub(crate) fn digests(networks: &Networks<'_>) -> NodeResult<Vec<Digest>> {
    let Materials { checkpoint, vae, controls, loras, embeddings } = networks.materials(1.0)?;
    let controls = controls.iter().map(|(path, _)| path);
    let tiny = vae.as_deref().map(small_autoencoder).transpose().map_err(backend::failure)?.flatten();
    let full = vae.as_ref().filter(|_| tiny.is_none());
    let large = [&checkpoint].into_iter().chain(full).chain(controls).map(|path| digest(path));
    let small = loras.iter().map(|(path, _)| path).chain(embeddings.iter().map(|(_, path)| path));
    let small = small.chain(tiny.iter().flatten());
    large.chain(small.map(|path| Ok(ModelFile::read(path)?.digest()))).collect()
}

/// The networks, ready to draw, where the controls ask for so much detail. One set of them is held at a time, for they are large.
///
/// # Errors
/// When a file is missing, or not what it is used for.
pub(crate) fn painter(networks: &Networks<'_>, precision: Precision, detail: f64) -> NodeResult<Arc<Painter>> {
    struct Held {
        materials: Materials,
        digests: Vec<Digest>,
        family: String,
        painter: Arc<Painter>,
    }
    static HELD: Mutex<Option<Held>> = Mutex::new(None);
    let materials = networks.materials(detail)?;
    let digests = digests(networks)?;
    let compute = precision.compute();
    let family = compute.family();
    let mut held = turn::wait(&HELD);
    if let Some(held) = held.as_ref()
        && (&held.materials, &held.digests, &held.family) == (&materials, &digests, &family)
    {
        return Ok(held.painter.clone());
    }
    // What was held goes first: there may be no room for both.
    *held = None;
    let painter = Arc::new(Painter::load(&materials, &compute).map_err(backend::failure)?);
    *held = Some(Held { materials, digests, family, painter: painter.clone() });
    Ok(painter)
}
