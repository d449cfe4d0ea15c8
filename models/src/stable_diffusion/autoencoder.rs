//! The way between pictures and latents as the U-Net sees them: an autoencoder, or a small stand-in for it (TAESD), which is faster by
//! far and less exact.

use std::path::{Path, PathBuf};

use super::{Adapter, Checkpoint, Part, Scratch, TaesdDecoder, TaesdEncoder, VaeDecoder, VaeEncoder};
use crate::files::{Mapped, Tensors};
use crate::layers::Weights;
use crate::picture::room;
use crate::{Compute, Error, Result};

/// Channels of a latent.
const CHANNELS: usize = 4;
/// Pixels to a latent, each way.
const STRIDE: usize = 8;
/// What the files of the halves are called where each has its own.
const HALVES: [&str; 2] = ["encoder", "decoder"];
/// The weights in a folder of diffusers.
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

/// Both halves.
pub(super) struct Autoencoder {
    encoder: Encoder,
    decoder: Decoder,
    /// What a latent of a full autoencoder is multiplied with for the U-Net.
    scaling: f32,
}

enum Encoder {
    Full(Box<VaeEncoder>),
    Small(TaesdEncoder),
}

enum Decoder {
    Full(Box<VaeDecoder>),
    Small(TaesdDecoder),
}

/// The files of a small autoencoder, if this is one: the file or the folder of diffusers itself, and where a file holds one half the
/// other one beside it (`taesd_decoder.safetensors` and `taesd_encoder.safetensors`), if it is there.
///
/// # Errors
/// When a file cannot be read, or is broken.
pub fn small_autoencoder(path: &Path) -> Result<Option<Vec<PathBuf>>> {
    let file = if path.is_dir() { path.join(WEIGHTS) } else { path.to_owned() };
    if !file.is_file() {
        return Ok(None);
    }
    let has = opened(&file, |_, tensors| Ok(halves(tensors)))?;
    if has == [false, false] {
        return Ok(None);
    }
    let mut files = vec![file.clone()];
    if has != [true, true] {
        let (own, other) = if has[0] { (HALVES[0], HALVES[1]) } else { (HALVES[1], HALVES[0]) };
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let beside = file.with_file_name(name.replacen(own, other, 1));
        if name.contains(own) && beside.is_file() {
            files.push(beside);
        }
    }
    Ok(Some(files))
}

/// What `look` makes of the tensors of a file.
fn opened<T>(file: &Path, look: impl FnOnce(&str, &Tensors<'_>) -> Result<T>) -> Result<T> {
    let name = file.display().to_string();
    let broken = |message: String| Error::Weights { file: name.clone(), message };
    let mapped = Mapped::open(file).map_err(broken)?;
    let seen = look(&name, &Tensors::read(&name, mapped.bytes(), None)?)?;
    mapped.unchanged().map_err(broken)?;
    Ok(seen)
}

/// Whether there is an encoder, and a decoder. Where the halves have files of their own, layers are numbers: those of an encoder begin
/// with the first one, and a decoder's with a step that has no tensors.
fn halves(tensors: &Tensors<'_>) -> [bool; 2] {
    let any = |before: &str| tensors.names().any(|name| name.starts_with(before) && name.contains(".conv."));
    let numbered = |name: &str| name.split('.').next().is_some_and(|first| first.parse::<usize>().is_ok());
    let alone = tensors.names().all(numbered) && tensors.names().any(|name| name.contains(".conv.0."));
    let has = |name: &str| alone && tensors.get(name).is_some();
    [any("encoder.layers.") || has("0.weight"), any("decoder.layers.") || (has("1.weight") && !has("0.weight"))]
}

impl Autoencoder {
    /// Reads the autoencoder of a checkpoint, or another one instead. Of a small one that has one half only, the other half is the
    /// checkpoint's.
    ///
    /// # Errors
    /// As [`Checkpoint::vae_encoder`]; when a small one is for other latents, or an adapter would change it.
    pub(super) fn load(
        other: Option<&Path>,
        checkpoint: &Checkpoint,
        compute: &Compute,
        adapters: &[Adapter<'_>],
    ) -> Result<Self> {
        let (mut encoder, mut decoder, mut full) = (None, None, None);
        if let Some(path) = other {
            match small_autoencoder(path)? {
                Some(files) => {
                    for file in files {
                        let (first, second) = opened(&file, |name, tensors| halved(name, tensors, compute))?;
                        encoder = encoder.or(first);
                        decoder = decoder.or(second);
                    }
                }
                None => full = Some(Checkpoint::open(path)?),
            }
        }
        if encoder.is_some()
            && let Some(adapter) = adapters.iter().find(|adapter| adapter.lora.changes(Part::Vae))
        {
            let message = "it changes the autoencoder, which a small one (TAESD) cannot take: leave out `vae`";
            return Err(Error::Weights { file: adapter.lora.name().into(), message: message.into() });
        }
        let vae = full.as_ref().unwrap_or(checkpoint);
        // An autoencoder alone does not know which family it is for.
        let scaling = if vae.family().is_some() { vae.scaling() } else { checkpoint.scaling() };
        Ok(Self {
            encoder: match encoder {
                Some(small) => Encoder::Small(small),
                None => Encoder::Full(Box::new(vae.vae_encoder(compute, adapters)?)),
            },
            decoder: match decoder {
                Some(small) => Decoder::Small(small),
                None => Decoder::Full(Box::new(vae.vae_decoder(compute, adapters)?)),
            },
            scaling,
        })
    }

    /// The most likely latent of three planes (0 to 1) of so many pixels, as the U-Net sees it: what is drawn around it would be noise
    /// that is not of the seed.
    ///
    /// # Errors
    /// When the picture does not fit its size, or there is too little memory.
    pub(super) fn encode(&self, rgb: &[f32], size: (usize, usize), scratch: &mut Scratch) -> Result<Vec<f32>> {
        let mut picture = room(rgb.len(), "the picture")?;
        picture.extend(rgb.iter().map(|value| value * 2.0 - 1.0));
        match &self.encoder {
            Encoder::Small(small) => Ok(small.run(&picture, size, scratch)?.0),
            Encoder::Full(full) => {
                let mut latent = full.run(&picture, size, scratch)?.mean;
                latent.iter_mut().for_each(|value| *value *= self.scaling);
                Ok(latent)
            }
        }
    }

    /// Takes [`encode`](Self::encode) back; the size is that of the latent.
    ///
    /// # Errors
    /// When the latent does not fit its size, or there is too little memory.
    pub(super) fn decode(&self, latent: &[f32], size: (usize, usize), scratch: &mut Scratch) -> Result<Vec<f32>> {
        let mut rgb = match &self.decoder {
            Decoder::Small(small) => small.run(latent, size, scratch)?,
            Decoder::Full(full) => {
                let mut own = room(latent.len(), "the latent")?;
                own.extend(latent.iter().map(|value| value / self.scaling));
                full.run(&own, size, scratch)?
            }
        };
        rgb.iter_mut().for_each(|value| *value = *value * 0.5 + 0.5);
        Ok(rgb)
    }
}

/// The halves that a file of a small autoencoder holds.
fn halved(
    name: &str,
    tensors: &Tensors<'_>,
    compute: &Compute,
) -> Result<(Option<TaesdEncoder>, Option<TaesdDecoder>)> {
    let weights = Weights::of(name, tensors.clone()).on(compute.clone());
    let fits = |channels: usize, stride: usize| match (channels, stride) {
        (CHANNELS, STRIDE) => Ok(()),
        _ => {
            let message = format!(
                "it is a small autoencoder for latents of {channels} channels and {stride} x {stride} pixels, but those of Stable \
                 Diffusion 1, 2 and XL have {CHANNELS} and {STRIDE} x {STRIDE}"
            );
            Err(Error::Weights { file: name.into(), message })
        }
    };
    let [has_encoder, has_decoder] = halves(tensors);
    let encoder = has_encoder.then(|| TaesdEncoder::load(&weights)).transpose()?;
    let decoder = has_decoder.then(|| TaesdDecoder::load(&weights)).transpose()?;
    encoder.iter().try_for_each(|half| fits(half.latent(), half.stride()))?;
    decoder.iter().try_for_each(|half| fits(half.latent(), half.stride()))?;
    Ok((encoder, decoder))
}
