//! A folder as diffusers writes it: a folder for each part, with its settings and its weights.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::config::{ClipFile, IndexFile, SchedulerFile, ShardsFile, UnetFile, VaeFile};
use super::parts::{Naming, Part, Place};
use super::{Checkpoint, Sizes, Source};
use crate::files::Mapped;
use crate::stable_diffusion::ControlNetConfig;
use crate::stable_diffusion::samplers::Prediction;
use crate::{Error, Result};

/// Most bytes of a file of settings.
const MOST_SETTINGS: u64 = 16 << 20;

/// Most files of one part.
const MOST_SHARDS: usize = 1000;

/// Names of the weights of a part, the most wanted first.
const FILES: [&str; 2] = ["diffusion_pytorch_model", "model"];
/// Endings, the most wanted first.
const ENDINGS: [&str; 2] = [".safetensors", ".fp16.safetensors"];
/// Endings of lists of files.
const LISTS: [&str; 3] = [".safetensors.index.json", ".safetensors.index.fp16.json", ".fp16.safetensors.index.json"];
/// What PyTorch wrote before there was safetensors.
const OLD: [&str; 4] =
    ["diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.bin", "pytorch_model.bin", "pytorch_model.fp16.bin"];

/// The folders of the parts.
const FOLDERS: [(Part, &str); 4] =
    [(Part::Unet, "unet"), (Part::Vae, "vae"), (Part::Text, "text_encoder"), (Part::Text2, "text_encoder_2")];

/// What is collected of a folder.
struct Reader {
    root: PathBuf,
    files: Vec<Mapped>,
    settings: Vec<Vec<u8>>,
    parts: BTreeMap<Part, Source>,
    scaling: Option<f32>,
}

/// Opens a folder.
///
/// # Errors
/// As [`Checkpoint::open`].
pub(super) fn open(root: &Path) -> Result<Checkpoint> {
    let mut reader =
        Reader { root: root.into(), files: vec![], settings: vec![], parts: BTreeMap::new(), scaling: None };
    let mut scheduler = SchedulerFile::default();
    if root.join("model_index.json").is_file() {
        let IndexFile { pipeline } = reader.settings(&root.join("model_index.json"))?;
        if !known(&pipeline) {
            let message =
                format!("it is for a `{pipeline}`, but the pipelines of Stable Diffusion 1, 2 and XL are known here");
            return Err(broken(root, message));
        }
        for (part, folder) in FOLDERS {
            let place = root.join(folder);
            if place.join("config.json").is_file() {
                reader.part(part, &place)?;
            }
        }
        let place = root.join("scheduler").join("scheduler_config.json");
        if place.is_file() {
            scheduler = reader.settings(&place)?;
        }
    } else {
        reader.alone(root)?;
    }
    if reader.parts.is_empty() {
        return Err(broken(
            root,
            "it has no part of Stable Diffusion: `unet`, `vae` and `text_encoder` are missing".into(),
        ));
    }
    let prediction = match scheduler.prediction_type.as_deref() {
        None => Prediction::Epsilon,
        Some(told) => {
            Prediction::NAMES.into_iter().find(|(name, _)| *name == told).map(|(_, is)| is).ok_or_else(|| {
                broken(
                    root,
                    format!("its scheduler says `{told}`, but `epsilon`, `v_prediction` and `sample` are known"),
                )
            })?
        }
    };
    let zero_terminal = scheduler.rescale_betas_zero_snr;
    let Reader { files, settings, parts, scaling, .. } = reader;
    let checkpoint = Checkpoint::assembled(root.display().to_string(), files, parts, scaling);
    Ok(Checkpoint { settings, prediction, zero_terminal, ..checkpoint })
}

/// Whether this is a pipeline of a Stable Diffusion whose parts are known.
fn known(pipeline: &str) -> bool {
    let others = ["StableDiffusion3", "Upscale", "Depth", "Gligen", "GLIGEN", "UnCLIP", "ImageVariation", "Latent"];
    pipeline.starts_with("StableDiffusion") && !others.iter().any(|other| pipeline.contains(other))
}

fn broken(path: &Path, message: String) -> Error {
    Error::Weights { file: path.display().to_string(), message }
}

/// The class that a part says it is.
#[derive(serde::Deserialize)]
struct ClassFile {
    #[serde(rename = "_class_name")]
    class: Option<String>,
    #[serde(default)]
    architectures: Vec<String>,
}

impl Reader {
    /// Reads a file of settings.
    fn settings<T: DeserializeOwned>(&mut self, path: &Path) -> Result<T> {
        let unreadable = |error: std::io::Error| broken(path, format!("it cannot be read: {error}"));
        let mut text = vec![];
        let file = File::open(path).map_err(unreadable)?;
        file.take(MOST_SETTINGS + 1).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MOST_SETTINGS {
            return Err(broken(path, format!("settings have at most {MOST_SETTINGS} bytes")));
        }
        let settings = serde_json::from_slice(&text);
        let settings = settings.map_err(|error| broken(path, format!("its settings make no sense: {error}")))?;
        self.settings.push(text);
        Ok(settings)
    }

    /// Reads the settings of a part and finds its weights.
    fn part(&mut self, part: Part, folder: &Path) -> Result<()> {
        let path = folder.join("config.json");
        let wrong = |message: String| broken(&path, message);
        let sizes = match part {
            Part::Unet => Sizes::Unet(self.settings::<UnetFile>(&path)?.config().map_err(wrong)?),
            Part::Control => {
                let file: UnetFile = self.settings(&path)?;
                let unet = file.config().map_err(wrong)?;
                Sizes::Control(ControlNetConfig { unet, hint: file.hint(), ..ControlNetConfig::default() })
            }
            Part::Vae => {
                let file: VaeFile = self.settings(&path)?;
                self.scaling = file.scaling_factor;
                Sizes::Vae(file.config().map_err(wrong)?)
            }
            Part::Text | Part::Text2 => Sizes::Clip(self.settings::<ClipFile>(&path)?.config().map_err(wrong)?),
        };
        let first = self.files.len();
        for path in self.weights(folder)? {
            self.files.push(Mapped::open(&path).map_err(|message| broken(&path, message))?);
        }
        let place = Place { part, naming: Naming::Diffusers, prefix: "" };
        self.parts.insert(part, Source { files: (first..self.files.len()).collect(), place, sizes });
        Ok(())
    }

    /// A part that is a folder of its own.
    fn alone(&mut self, folder: &Path) -> Result<()> {
        let path = folder.join("config.json");
        if !path.is_file() {
            let message = "it is a folder, but none of diffusers: it has neither `model_index.json` nor `config.json`";
            return Err(broken(folder, message.into()));
        }
        let ClassFile { class, architectures } = self.settings(&path)?;
        self.settings.clear();
        let class = class.or(architectures.into_iter().next()).unwrap_or_default();
        let part = match class.as_str() {
            "UNet2DConditionModel" => Part::Unet,
            "AutoencoderKL" => Part::Vae,
            "ControlNetModel" => Part::Control,
            "CLIPTextModel" | "CLIPTextModelWithProjection" => Part::Text,
            other => return Err(broken(&path, format!("it is a `{other}`, which is no part that is known here"))),
        };
        self.part(part, folder)
    }

    /// The files of the weights in a folder.
    fn weights(&mut self, folder: &Path) -> Result<Vec<PathBuf>> {
        let names = |endings: &'static [&'static str]| {
            endings.iter().flat_map(|ending| FILES.iter().map(move |file| format!("{file}{ending}")))
        };
        let there = |name: String| Some(folder.join(name)).filter(|path| path.is_file());
        if let Some(file) = names(&ENDINGS).find_map(there) {
            return Ok(vec![file]);
        }
        if let Some(list) = names(&LISTS).find_map(there) {
            let ShardsFile { weight_map } = self.settings(&list)?;
            let shards: BTreeSet<String> = weight_map.into_values().collect();
            // A list names its neighbours, and nothing elsewhere.
            if let Some(strange) = shards.iter().find(|name| name.contains(['/', '\\', ':']) || name.starts_with('.')) {
                return Err(broken(&list, format!("it names `{strange}`, which is no file beside it")));
            }
            if shards.is_empty() || shards.len() > MOST_SHARDS {
                return Err(broken(
                    &list,
                    format!("it names {} files, but 1 to {MOST_SHARDS} make sense", shards.len()),
                ));
            }
            return Ok(shards.into_iter().map(|name| folder.join(name)).collect());
        }
        if let Some(file) = OLD.into_iter().map(str::to_owned).find_map(there) {
            return Ok(vec![file]);
        }
        let shown = folder.strip_prefix(&self.root).unwrap_or(folder).display();
        Err(broken(
            folder,
            format!("`{shown}` has no weights: `diffusion_pytorch_model.safetensors` or `model.safetensors`"),
        ))
    }
}
