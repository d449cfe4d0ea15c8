//! What a file or folder is, for who looks through many.

use std::path::Path;

use super::lora::Lora;
use super::{Checkpoint, Embedding, Family, Part, Sizes};
use crate::files::{Mapped, Tensors};
use crate::{Error, Result};

/// What a file or folder of Stable Diffusion's world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A U-Net with more parts.
    Checkpoint,
    /// A U-Net alone.
    Unet,
    /// An autoencoder alone.
    Vae,
    /// A text encoder alone.
    TextEncoder,
    /// A ControlNet.
    ControlNet,
    /// A LoRA.
    Lora,
    /// Tokens of textual inversion.
    Embedding,
}

impl Kind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Unet => "U-Net",
            Self::Vae => "autoencoder",
            Self::TextEncoder => "text encoder",
            Self::ControlNet => "ControlNet",
            Self::Lora => "LoRA",
            Self::Embedding => "embedding",
        }
    }
}

/// What a file or folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it is.
    pub kind: Kind,
    /// The family that it belongs to, where that can be told.
    pub family: Option<Family>,
    /// The parts of a checkpoint.
    pub parts: Vec<Part>,
    /// More about it, in a few words.
    pub about: String,
}

/// Says what a file or folder is: a checkpoint or a part of one, a LoRA or an embedding. Only names and shapes are read.
///
/// # Errors
/// When it cannot be read or is none of these.
pub fn identify(path: &Path) -> Result<Identity> {
    if path.is_dir() {
        return Ok(of(&Checkpoint::open(path)?));
    }
    let name = path.display().to_string();
    let file = Mapped::open(path).map_err(|message| Error::Weights { file: name.clone(), message })?;
    let tensors = Tensors::read(&name, file.bytes(), None)?;
    if Lora::looks(&tensors) {
        let lora = Lora::open(path)?;
        let family = lora.text_width()?.and_then(Family::of_text);
        return Ok(Identity {
            kind: Kind::Lora,
            family,
            parts: vec![],
            about: format!("{} tensors", tensors.names().count()),
        });
    }
    if Embedding::looks(&tensors) {
        let tokens = Embedding::open(path)?;
        let widths: Vec<usize> = tokens.iter().flat_map(|token| &token.vectors).map(|vectors| vectors.width).collect();
        let family = match widths[..] {
            [_, _, ..] if widths.contains(&1280) => Some(Family::SdXl),
            [768, ..] => Some(Family::Sd1),
            [1024, ..] => Some(Family::Sd2),
            _ => None,
        };
        let names: Vec<String> = tokens.into_iter().take(4).map(|token| format!("`{}`", token.name)).collect();
        return Ok(Identity { kind: Kind::Embedding, family, parts: vec![], about: names.join(", ") });
    }
    drop(tensors);
    Ok(of(&Checkpoint::open(path)?))
}

/// What a checkpoint is.
fn of(checkpoint: &Checkpoint) -> Identity {
    let parts: Vec<Part> = checkpoint.parts().collect();
    let kind = match parts[..] {
        [Part::Unet] => Kind::Unet,
        [Part::Vae] => Kind::Vae,
        [Part::Text | Part::Text2] => Kind::TextEncoder,
        _ if checkpoint.has(Part::Control) => Kind::ControlNet,
        _ => Kind::Checkpoint,
    };
    let inputs = |sizes: &Sizes| match sizes {
        Sizes::Unet(unet) => match unet.channels_in {
            4 => None,
            5 => Some("with depth"),
            8 => Some("for instructions (InstructPix2Pix)"),
            9 => Some("for inpainting"),
            _ => Some("with inputs that are not known here"),
        },
        _ => None,
    };
    let mut about: Vec<&str> = checkpoint.parts.values().filter_map(|source| inputs(&source.sizes)).collect();
    let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
    if kind == Kind::Checkpoint {
        about.extend(names);
    }
    let about = about.join(", ");
    Identity { kind, family: checkpoint.family(), parts, about }
}
