//! Adapters of low rank (LoRA, Hu et al. 2021): thin matrices whose products are added to the weights of a model while it is read,
//! `W + weight * alpha / rank * up * down`. The distilled ones (LCM, Hyper-SD, Lightning) are just that.
//!
//! | layout | told by | read by |
//! |---|---|---|
//! | kohya's trainer | `lora_unet_`, `lora_te_`; names with underscores for dots, of diffusers or of the first program | `keys` |
//! | diffusers and PEFT | `unet.`, `text_encoder.`; `lora_A` and `lora_B`, `lora.down`, or `to_q_lora` of processors | `keys` |
//! | cloneofsimo's | `unet:7:up`: layers by number, in the order in which the program has its modules | `numbered` |
//! | OSEDiff and PiSA-SR | `lora_A.default_encoder.weight` and the like, for the autoencoder as well | `keys`, `one_step`, `whole` |

mod fit;
mod keys;
mod numbered;
mod one_step;
mod whole;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use safetensors::SafeTensors;
use serde_json::Value;

use super::{Embedding, Part};
use crate::files::{Format, Mapped, Tensors};
use crate::{Error, Result};
pub(super) use fit::Base;
pub use one_step::OneStepKind;
use whole::Whole;

/// An adapter that is open. Nothing but names and shapes was read. What is said of files that change holds as for
/// [`Checkpoint`](super::Checkpoint).
pub struct Lora {
    name: String,
    file: Mapped,
    modules: Vec<Module>,
    /// What the metadata of the file says of layers without an alpha of their own.
    scales: BTreeMap<Part, Scale>,
    /// Which modules layers were numbered among, where they are.
    numbered: BTreeMap<Part, Vec<String>>,
    embeddings: Vec<Embedding>,
    /// Tensors that take the place of those of the model.
    wholes: Vec<Whole>,
    one_step: Option<OneStepKind>,
    /// Tensors that belong to nothing that is known.
    strange: Vec<String>,
    digest: OnceLock<[u8; 32]>,
}

/// An adapter and how strongly it is meant: 1 as it was trained, 0 not at all; negative weights are allowed.
#[derive(Clone, Copy)]
pub struct Adapter<'a> {
    /// The adapter.
    pub lora: &'a Lora,
    /// Its weight in the U-Net, and in the autoencoder.
    pub unet: f32,
    /// Its weight in the text encoders.
    pub text: f32,
    /// Whether the half of it counts that adds meaning, where it has two: see [`OneStepKind::Residual`].
    pub semantic: bool,
}

impl<'a> Adapter<'a> {
    /// All of an adapter at one weight.
    pub fn all(lora: &'a Lora, weight: f32) -> Self {
        Self { lora, unet: weight, text: weight, semantic: true }
    }
}

/// What of an adapter fits a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Layers of the U-Net that it changes.
    pub unet: usize,
    /// Layers of the text encoders that it changes.
    pub text: usize,
    /// Layers of the autoencoder that it changes.
    pub vae: usize,
    /// Its layers and tensors for which the checkpoint has no place.
    pub unused: Vec<String>,
}

/// Two thin matrices for a layer.
#[derive(Clone, Debug, PartialEq)]
struct Module {
    part: Part,
    layer: Layer,
    /// The tensors.
    up: String,
    down: String,
    alpha: Option<f32>,
    /// Whether it belongs to the half that adds meaning.
    semantic: bool,
}

/// Which layer is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    /// By its name, underscores for dots.
    Named(String),
    /// By its place in the order of modules.
    Numbered(usize),
}

/// What a file says of the scale of its layers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    alpha: f32,
    /// Whether alpha is divided by the root of the rank (Kalajdzievski 2023).
    root: bool,
}

impl Lora {
    /// Opens an adapter: `.safetensors`, or what PyTorch wrote.
    ///
    /// # Errors
    /// [`Error::Weights`] when it cannot be read, is no adapter, or one of a kind that is not known here: the message names it.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let broken = |message: String| Error::Weights { file: name.clone(), message };
        let file = Mapped::open(path).map_err(broken)?;
        let tensors = Tensors::read(&name, file.bytes(), None)?;
        if let Some(kind) = keys::unsupported(tensors.names()) {
            return Err(broken(format!(
                "it is a {kind}, which is not known here: plain LoRA of linear layers and convolutions is"
            )));
        }
        let metadata = match tensors.format() {
            Format::Safetensors => {
                SafeTensors::read_metadata(file.bytes()).ok().and_then(|(_, about)| about.metadata().clone())
            }
            _ => None,
        };
        let text = |key: &str| metadata.as_ref().and_then(|texts| texts.get(key)).map(String::as_str);
        let mut scales = scales(text("lora_adapter_metadata")).map_err(broken)?;
        let keys::Found { modules, one_step, mut strange, tokens } = keys::found(&tensors).map_err(broken)?;
        if modules.is_empty() {
            return Err(broken("it is no LoRA: none of its tensors are pairs of thin matrices".into()));
        }
        let mut wholes = vec![];
        if one_step.is_some() {
            scales.extend([Part::Unet, Part::Vae].map(|part| (part, one_step::SCALE)));
            strange.retain(|name| Whole::of(name).map(|whole| wholes.push(whole)).is_none());
        }
        let numbered = numbered::kinds(&modules, text).map_err(broken)?;
        let embeddings =
            tokens.iter().map(|token| Embedding::of_token(&name, &tensors, token)).collect::<Result<_>>()?;
        drop(tensors);
        let digest = OnceLock::new();
        Ok(Self { name, file, modules, scales, numbered, embeddings, wholes, one_step, strange, digest })
    }

    /// Whether a file looks like one.
    pub(super) fn looks(tensors: &Tensors<'_>) -> bool {
        tensors.names().any(keys::is_lora)
    }

    /// What messages call it: its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// blake3 of its file.
    pub fn digest(&self) -> [u8; 32] {
        *self.digest.get_or_init(|| *blake3::Hasher::new().update_rayon(self.file.bytes()).finalize().as_bytes())
    }

    /// Whether it was made to restore pictures in one step, and of which kind it is.
    pub fn one_step(&self) -> Option<OneStepKind> {
        self.one_step
    }

    /// Whether it has something for a part.
    pub(in super::super) fn changes(&self, part: Part) -> bool {
        self.modules.iter().any(|module| module.part == part)
    }

    /// Tokens that were trained along with it.
    pub fn embeddings(&self) -> &[Embedding] {
        &self.embeddings
    }

    /// The family that it was trained for, as far as the width of the texts in it tells.
    pub(super) fn text_width(&self) -> Result<Option<usize>> {
        let tensors = self.tensors()?;
        let reads = |module: &Module| {
            let Layer::Named(layer) = &module.layer else { return None };
            let seen = module.part == Part::Unet && (layer.ends_with("attn2_to_k") || layer.ends_with("attn2_to_v"));
            seen.then(|| tensors.get(&module.down)?.shape().get(1).copied()).flatten()
        };
        // By number: what takes other inputs than outputs in attention is what reads the text.
        let width = self.modules.iter().find_map(reads);
        let first = || {
            let module = self.modules.iter().find(|module| matches!(module.layer, Layer::Numbered(6)))?;
            tensors.get(&module.down)?.shape().get(1).copied()
        };
        Ok(width.or_else(first))
    }

    fn tensors(&self) -> Result<Tensors<'_>> {
        self.file.unchanged().map_err(|message| self.broken(message))?;
        Tensors::read(&self.name, self.file.bytes(), None)
    }

    fn broken(&self, message: String) -> Error {
        Error::Weights { file: self.name.clone(), message }
    }
}

/// What the settings that diffusers keeps in the metadata say of the parts.
fn scales(text: Option<&str>) -> std::result::Result<BTreeMap<Part, Scale>, String> {
    let Some(text) = text else { return Ok(BTreeMap::new()) };
    let settings: Value = serde_json::from_str(text).map_err(|error| format!("its metadata make no sense: {error}"))?;
    let mut scales = BTreeMap::new();
    for (part, prefix) in [(Part::Unet, "unet"), (Part::Text, "text_encoder"), (Part::Text2, "text_encoder_2")] {
        let setting = |name: &str| settings.get(format!("{prefix}.{name}"));
        let on = |name: &str| setting(name).and_then(Value::as_bool) == Some(true);
        if on("use_dora") {
            return Err("it is a DoRA, which is not known here: plain LoRA is".into());
        }
        if setting("alpha_pattern").and_then(Value::as_object).is_some_and(|pattern| !pattern.is_empty()) {
            return Err("its metadata scale layers one by one (`alpha_pattern`), which is not known here".into());
        }
        if let Some(alpha) = setting("lora_alpha").and_then(Value::as_f64) {
            scales.insert(part, Scale { alpha: alpha as f32, root: on("use_rslora") });
        }
    }
    Ok(scales)
}
