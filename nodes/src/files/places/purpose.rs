//! What models are for, by the folders that programs keep them in.

use std::path::Path;

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A checkpoint of Stable Diffusion: all of its networks in one file, or a folder.
    Checkpoint,
    /// Its U-Net alone.
    DiffusionModel,
    /// An autoencoder.
    Vae,
    /// A small autoencoder for previews.
    Preview,
    /// A text encoder.
    TextEncoder,
    /// A low-rank change of a checkpoint.
    Lora,
    /// A ControlNet.
    ControlNet,
    /// A textual inversion.
    Embedding,
    /// An upscaler or restorer.
    Upscaler,
    /// No folder tells.
    Unknown,
}

impl Purpose {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::DiffusionModel => "diffusion model",
            Self::Vae => "VAE",
            Self::Preview => "preview decoder",
            Self::TextEncoder => "text encoder",
            Self::Lora => "LoRA",
            Self::ControlNet => "ControlNet",
            Self::Embedding => "embedding",
            Self::Upscaler => "upscaler",
            Self::Unknown => "model",
        }
    }

    /// What a folder of this name is for in ComfyUI, in Automatic1111's web UI and in what came from it; nothing when it has no such
    /// meaning.
    pub(super) fn of_folder(name: &str) -> Option<Self> {
        Some(match &*name.to_ascii_lowercase() {
            "checkpoints" | "stable-diffusion" | "diffusers" => Self::Checkpoint,
            "unet" | "diffusion_models" => Self::DiffusionModel,
            "vae" => Self::Vae,
            "vae_approx" | "vae-approx" => Self::Preview,
            "clip" | "text_encoders" | "text_encoder" => Self::TextEncoder,
            "lora" | "loras" | "lycoris" => Self::Lora,
            "controlnet" | "t2i_adapter" => Self::ControlNet,
            "embeddings" => Self::Embedding,
            "upscale_models" | "esrgan" | "realesrgan" | "bsrgan" | "swinir" | "dat" | "hat" | "scunet" => {
                Self::Upscaler
            }
            _ => return None,
        })
    }

    /// What the last folder of a path is for.
    pub(super) fn of_path(path: &Path) -> Self {
        path.file_name().and_then(|name| name.to_str()).and_then(Self::of_folder).unwrap_or(Self::Unknown)
    }
}
