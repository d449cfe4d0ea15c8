//! Stable Diffusion as people have it: one file with everything (`.safetensors`, `.ckpt`), a folder of diffusers, or a part alone.
//!
//! What a file holds is found from the names and shapes of its tensors (`parts`, `sizes`), or from the settings beside them (`folder`).
//! Files are mapped, never copied: tensors are read row by row, straight into the form that the kernels compute with, with
//! what adapters add ([`Lora`]) added on the way.

mod config;
mod embedding;
mod folder;
mod identify;
mod lora;
mod names;
mod parts;
mod single;
mod sizes;
#[cfg(test)]
mod tests;

pub use embedding::{Embedding, Vectors};
pub use identify::{Identity, Kind, identify};
pub use lora::{Adapter, Lora, Merged, OneStepKind};
pub use parts::Part;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use super::samplers::Prediction;
use super::{Clip, ClipConfig, ControlNet, ControlNetConfig, Unet, UnetConfig, VaeConfig, VaeDecoder, VaeEncoder};
use crate::files::{Mapped, Tensors};
use crate::layers::{Compute, Patches, Weights};
use crate::{Error, Result};
use lora::Base;
use parts::Place;

/// Kinds of Stable Diffusion, whose parts and adapters fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Stable Diffusion 1.
    Sd1,
    /// Stable Diffusion 2.
    Sd2,
    /// SDXL.
    SdXl,
    /// The refiner of SDXL.
    SdXlRefiner,
}

impl Family {
    /// What messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sd1 => "Stable Diffusion 1",
            Self::Sd2 => "Stable Diffusion 2",
            Self::SdXl => "SDXL",
            Self::SdXlRefiner => "the refiner of SDXL",
        }
    }

    /// The family whose texts have so many channels.
    fn of_text(width: usize) -> Option<Self> {
        match width {
            768 => Some(Self::Sd1),
            1024 => Some(Self::Sd2),
            2048 => Some(Self::SdXl),
            1280 => Some(Self::SdXlRefiner),
            _ => None,
        }
    }

    /// What a latent of the autoencoder is multiplied with for the U-Net, where nothing else is said.
    fn scaling(self) -> f32 {
        match self {
            Self::Sd1 | Self::Sd2 => 0.182_15,
            Self::SdXl | Self::SdXlRefiner => 0.130_25,
        }
    }
}

/// The sizes of a part.
#[derive(Clone, Debug, PartialEq)]
enum Sizes {
    Unet(UnetConfig),
    Vae(VaeConfig),
    Clip(ClipConfig),
    Control(ControlNetConfig),
}

/// Where the tensors of a part are, and its sizes.
struct Source {
    /// Which of the checkpoint's files.
    files: Vec<usize>,
    place: Place,
    sizes: Sizes,
}

/// A file of a checkpoint as it was when it was opened: as long as this stays the same, so does its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Where it lies.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// When it was changed last, where the system knows.
    pub modified: Option<SystemTime>,
}

/// A file as it was when it was mapped.
fn stamp(file: &Mapped) -> Stamp {
    let (bytes, modified) = file.looks();
    Stamp { path: file.path().into(), bytes, modified }
}

/// A checkpoint that is open. Nothing but names and shapes was read; its parts are read when they are asked for, each time anew.
///
/// The files are mapped: one that is cut off while a part is read ends the process (`SIGBUS`), which no program can help. Changes of
/// length or time are noticed before and after each part is read, and are an error. Files that are replaced by renaming, as
/// downloads do, keep their old content for this.
pub struct Checkpoint {
    name: String,
    files: Vec<Mapped>,
    /// Settings that were read beside the weights, for the digest.
    settings: Vec<Vec<u8>>,
    parts: BTreeMap<Part, Source>,
    unknown: Vec<String>,
    family: Option<Family>,
    prediction: Prediction,
    zero_terminal: bool,
    scaling: f32,
    digest: OnceLock<[u8; 32]>,
}

impl Checkpoint {
    /// Opens a single file, a folder of diffusers, or a part alone: a file or folder with an autoencoder, a ControlNet, a U-Net or a
    /// text encoder.
    ///
    /// # Errors
    /// [`Error::Weights`] when it cannot be read, is broken, or holds no part that is known: the message says what it is instead, where
    /// that is known; [`Error::TensorMissing`] and [`Error::TensorShape`] when it is incomplete.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() { folder::open(path) } else { single::open(path) }
    }

    /// Of parts that were found. Where nothing says what latents are multiplied with, it is what the family does.
    fn assembled(name: String, files: Vec<Mapped>, mut parts: BTreeMap<Part, Source>, scaling: Option<f32>) -> Self {
        let width = |sizes: &Sizes| match sizes {
            Sizes::Unet(unet) => Some(unet.text),
            Sizes::Control(control) => Some(control.unet.text),
            Sizes::Vae(_) | Sizes::Clip(_) => None,
        };
        let family = parts.values().find_map(|source| width(&source.sizes)).and_then(Family::of_text);
        let scaling = scaling.unwrap_or_else(|| family.unwrap_or(Family::Sd1).scaling());
        for source in parts.values_mut() {
            if let Sizes::Vae(vae) = &mut source.sizes {
                vae.scaling = scaling;
            }
        }
        Self {
            name,
            files,
            settings: vec![],
            parts,
            unknown: vec![],
            family,
            prediction: Prediction::Epsilon,
            zero_terminal: false,
            scaling,
            digest: OnceLock::new(),
        }
    }

    /// What messages call it: its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its family; nothing where it holds neither U-Net nor ControlNet, or one of an unusual width.
    pub fn family(&self) -> Option<Family> {
        self.family
    }

    /// The parts that it has.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        self.parts.keys().copied()
    }

    /// Whether it has a part.
    pub fn has(&self, part: Part) -> bool {
        self.parts.contains_key(&part)
    }

    /// Names of tensors that belong to no part and to nothing else that is known.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// What the output of the U-Net means: what the folder's scheduler says; of a single file what a tensor `v_pred` or
    /// `modelspec.prediction_type` in its metadata say, and epsilon otherwise. Shapes do not tell: single files of Stable Diffusion 2 at
    /// 768 pixels that say nothing need [`Checkpoint::predicting`].
    pub fn prediction(&self) -> Prediction {
        self.prediction
    }

    /// The same checkpoint, whose U-Net predicts something else than it says.
    #[must_use]
    pub fn predicting(self, prediction: Prediction) -> Self {
        Self { prediction, ..self }
    }

    /// Whether it was trained down to pure noise (Lin et al. 2024): `rescale_betas_zero_snr` of the folder's scheduler, or a tensor
    /// `ztsnr`.
    pub fn zero_terminal(&self) -> bool {
        self.zero_terminal
    }

    /// What a latent of the autoencoder is multiplied with for the U-Net.
    pub fn scaling(&self) -> f32 {
        self.scaling
    }

    /// blake3 of its file; of a folder, of the digests of its files and settings. The first call reads all of it, in parallel (about a
    /// second for four gigabytes that the system has in memory): who asks in every run keeps the answers by [`Checkpoint::digest_by`].
    pub fn digest(&self) -> [u8; 32] {
        self.digest_by(|_, read| read())
    }

    /// The same, where `known` may tell the digest of a file by its stamp instead of reading it. Settings are small and read in any case.
    pub fn digest_by(&self, known: impl Fn(&Stamp, &dyn Fn() -> [u8; 32]) -> [u8; 32]) -> [u8; 32] {
        *self.digest.get_or_init(|| {
            let files = self.files.iter().map(|file| {
                known(&stamp(file), &|| *blake3::Hasher::new().update_rayon(file.bytes()).finalize().as_bytes())
            });
            let all: Vec<[u8; 32]> =
                files.chain(self.settings.iter().map(|text| *blake3::hash(text).as_bytes())).collect();
            match all[..] {
                [only] => only,
                _ => *blake3::hash(all.as_flattened()).as_bytes(),
            }
        })
    }

    /// The sizes of the U-Net.
    pub fn unet_config(&self) -> Option<&UnetConfig> {
        match &self.parts.get(&Part::Unet)?.sizes {
            Sizes::Unet(config) => Some(config),
            _ => None,
        }
    }

    /// The sizes of the autoencoder.
    pub fn vae_config(&self) -> Option<&VaeConfig> {
        match &self.parts.get(&Part::Vae)?.sizes {
            Sizes::Vae(config) => Some(config),
            _ => None,
        }
    }

    /// The sizes of the text encoders, the first one first.
    pub fn text_configs(&self) -> Vec<&ClipConfig> {
        let parts = [Part::Text, Part::Text2].into_iter().filter_map(|part| self.parts.get(&part));
        parts.filter_map(|source| if let Sizes::Clip(config) = &source.sizes { Some(config) } else { None }).collect()
    }

    /// The U-Net, with what adapters add to it.
    ///
    /// # Errors
    /// When the checkpoint has none, its file was changed meanwhile, a tensor is missing, misshaped or not finite, or the matrices of an
    /// adapter have other sizes than its layers. Layers of an adapter that it does not have are left out:
    /// [`Checkpoint::merged`] tells which.
    pub fn unet(&self, compute: &Compute, adapters: &[Adapter<'_>]) -> Result<Unet> {
        self.built(Part::Unet, compute, adapters, |weights, sizes| match sizes {
            Sizes::Unet(config) => Unet::load(&weights, config.clone()),
            _ => Err(self.without(Part::Unet)),
        })
    }

    /// The text encoders, the first one first, with what adapters add to them.
    ///
    /// # Errors
    /// As [`Checkpoint::unet`].
    pub fn text_encoders(&self, compute: &Compute, adapters: &[Adapter<'_>]) -> Result<Vec<Clip>> {
        let load = |part: Part| {
            self.built(part, compute, adapters, |weights, sizes| match sizes {
                Sizes::Clip(config) => Clip::load(&weights, config.clone()),
                _ => Err(self.without(part)),
            })
        };
        if !self.has(Part::Text) && !self.has(Part::Text2) {
            return Err(self.without(Part::Text));
        }
        [Part::Text, Part::Text2].into_iter().filter(|part| self.has(*part)).map(load).collect()
    }

    /// The half of the autoencoder that makes latents, with what adapters add to it.
    ///
    /// # Errors
    /// As [`Checkpoint::unet`].
    pub fn vae_encoder(&self, compute: &Compute, adapters: &[Adapter<'_>]) -> Result<VaeEncoder> {
        self.built(Part::Vae, compute, adapters, |weights, sizes| match sizes {
            Sizes::Vae(config) => VaeEncoder::load(&weights, config),
            _ => Err(self.without(Part::Vae)),
        })
    }

    /// The half of the autoencoder that makes pictures, with what adapters add to it.
    ///
    /// # Errors
    /// As [`Checkpoint::unet`].
    pub fn vae_decoder(&self, compute: &Compute, adapters: &[Adapter<'_>]) -> Result<VaeDecoder> {
        self.built(Part::Vae, compute, adapters, |weights, sizes| match sizes {
            Sizes::Vae(config) => VaeDecoder::load(&weights, config),
            _ => Err(self.without(Part::Vae)),
        })
    }

    /// The ControlNet.
    ///
    /// # Errors
    /// As [`Checkpoint::unet`].
    pub fn control_net(&self, compute: &Compute) -> Result<ControlNet> {
        self.built(Part::Control, compute, &[], |weights, sizes| match sizes {
            Sizes::Control(config) => ControlNet::load(&weights, config.clone()),
            _ => Err(self.without(Part::Control)),
        })
    }

    /// What of an adapter fits this checkpoint.
    ///
    /// # Errors
    /// When nothing of it does, or a matrix has another size than the layer it is for: it belongs to another family, which the message
    /// says with the name of the tensor.
    pub fn merged(&self, lora: &Lora) -> Result<Merged> {
        let parts = [Part::Unet, Part::Text, Part::Text2, Part::Vae].into_iter().filter(|part| self.has(*part));
        let tensors: Vec<(Part, Tensors<'_>)> =
            parts.map(|part| Ok((part, self.tensors(&self.parts[&part])?))).collect::<Result<_>>()?;
        let bases: Vec<Base<'_>> = tensors.iter().map(|(part, tensors)| self.base(*part, tensors)).collect();
        lora.merged(&bases)
    }

    fn base<'b>(&self, part: Part, tensors: &'b Tensors<'b>) -> Base<'b> {
        let per_level = self.unet_config().map_or(2, |unet| unet.blocks);
        Base { part, tensors, family: self.family, per_level }
    }

    /// What `build` makes of the tensors of a part and of what adapters add to them.
    fn built<T>(
        &self,
        part: Part,
        compute: &Compute,
        adapters: &[Adapter<'_>],
        build: impl FnOnce(Weights<'_>, &Sizes) -> Result<T>,
    ) -> Result<T> {
        let source = self.parts.get(&part).ok_or_else(|| self.without(part))?;
        let unchanged = || source.files.iter().try_for_each(|file| self.said(*file, self.files[*file].unchanged()));
        unchanged()?;
        let tensors = self.tensors(source)?;
        let mut patches = Patches::default();
        for Adapter { lora, unet, text, semantic } in adapters {
            let weight = if matches!(part, Part::Text | Part::Text2) { text } else { unet };
            lora.patch(&self.base(part, &tensors), *weight, *semantic, &mut patches)?;
        }
        let weights = Weights::of(&self.name, tensors).on(compute.clone()).patched(patches);
        let built = build(weights, &source.sizes)?;
        unchanged()?;
        Ok(built)
    }

    /// The tensors of a part by the names of diffusers and transformers.
    fn tensors(&self, source: &Source) -> Result<Tensors<'_>> {
        let mut all: Option<Tensors<'_>> = None;
        for &file in &source.files {
            let mapped = &self.files[file];
            let tensors = Tensors::read(&mapped.path().display().to_string(), mapped.bytes(), None)?;
            let (tensors, _) = self.said(file, parts::taken(tensors, source.place))?;
            all = Some(match all {
                Some(before) => before.and(tensors),
                None => tensors,
            });
        }
        all.ok_or_else(|| self.without(source.place.part))
    }

    /// A result with the name of a file put before what is wrong.
    fn said<T>(&self, file: usize, result: std::result::Result<T, String>) -> Result<T> {
        result.map_err(|message| Error::Weights { file: self.files[file].path().display().to_string(), message })
    }

    fn without(&self, part: Part) -> Error {
        let has: Vec<&str> = self.parts().map(Part::name).collect();
        let message = format!("it has no {}, but {}", part.name(), has.join(", "));
        Error::Weights { file: self.name.clone(), message }
    }
}
