//! What is in a file: found from the names of its tensors.

use std::collections::BTreeMap;

use super::names::{Blocks, OpenClip, open_clip, superfluous, transformers, vae};
use crate::files::{Tensor, Tensors};

/// A network of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The U-Net.
    Unet,
    /// The autoencoder.
    Vae,
    /// The text encoder, or the first of two: CLIP ViT-L of Stable Diffusion 1 and SDXL, OpenCLIP of the others.
    Text,
    /// The second text encoder of SDXL: OpenCLIP ViT-bigG.
    Text2,
    /// A ControlNet.
    Control,
}

impl Part {
    /// What messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unet => "U-Net",
            Self::Vae => "autoencoder",
            Self::Text => "text encoder",
            Self::Text2 => "second text encoder",
            Self::Control => "ControlNet",
        }
    }
}

/// How the tensors of a part are named.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Naming {
    /// As in the first program: U-Net, ControlNet and autoencoder.
    Compvis,
    /// As in OpenCLIP.
    OpenClip,
    /// As in diffusers and transformers.
    Diffusers,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) part: Part,
    pub(super) naming: Naming,
    /// What stands before the names of its tensors.
    pub(super) prefix: &'static str,
}

/// Where parts are looked for, and the tensor that tells each. Of several places of a part the first counts.
const PLACES: [(Place, &str); 19] = {
    const fn place(part: Part, naming: Naming, prefix: &'static str, sign: &'static str) -> (Place, &'static str) {
        (Place { part, naming, prefix }, sign)
    }
    use Naming::{Compvis, Diffusers, OpenClip};
    use Part::{Control, Text, Text2, Unet, Vae};
    let (token, tokens) = ("embeddings.token_embedding.weight", "text_model.embeddings.token_embedding.weight");
    [
        place(Unet, Compvis, "model.diffusion_model.", "input_blocks.0.0.weight"),
        place(Control, Compvis, "control_model.", "zero_convs.0.0.weight"),
        place(Vae, Compvis, "first_stage_model.", "decoder.mid.block_1.conv1.weight"),
        place(Vae, Diffusers, "first_stage_model.", "decoder.mid_block.resnets.0.conv1.weight"),
        place(Vae, Compvis, "vae.", "decoder.mid.block_1.conv1.weight"),
        place(Text, Diffusers, "cond_stage_model.transformer.", tokens),
        place(Text, Diffusers, "cond_stage_model.transformer.", token),
        place(Text, OpenClip, "cond_stage_model.model.", "token_embedding.weight"),
        place(Text, Diffusers, "conditioner.embedders.0.transformer.", tokens),
        place(Text, OpenClip, "conditioner.embedders.0.model.", "token_embedding.weight"),
        place(Text2, OpenClip, "conditioner.embedders.1.model.", "token_embedding.weight"),
        place(Control, Compvis, "", "zero_convs.0.0.weight"),
        place(Control, Diffusers, "", "controlnet_mid_block.weight"),
        place(Unet, Compvis, "", "input_blocks.0.0.weight"),
        place(Unet, Diffusers, "", "down_blocks.0.resnets.0.conv1.weight"),
        place(Vae, Compvis, "", "decoder.mid.block_1.conv1.weight"),
        place(Vae, Diffusers, "", "decoder.mid_block.resnets.0.conv1.weight"),
        place(Text, Diffusers, "", tokens),
        place(Text, Diffusers, "", token),
    ]
};

/// The parts of a file.
pub(super) fn places(tensors: &Tensors<'_>) -> Vec<Place> {
    let mut found: Vec<Place> = vec![];
    for (place, sign) in PLACES {
        // A part that fills a file of its own stands beside no other.
        let alone = place.prefix.is_empty();
        let taken = found.iter().any(|other| other.part == place.part) || (alone && !found.is_empty());
        if !taken && tensors.get(&format!("{}{sign}", place.prefix)).is_some() {
            found.push(place);
        }
    }
    found
}

/// The tensors of a part, by the names of diffusers and transformers, and the names of those that nobody knows.
///
/// # Errors
/// What is wrong with a tensor.
pub(super) fn taken<'a>(tensors: Tensors<'a>, place: Place) -> Result<(Tensors<'a>, Vec<String>), String> {
    let format = tensors.format();
    let inside = || tensors.names().filter_map(|name| name.strip_prefix(place.prefix));
    let blocks = Blocks::of(inside);
    let levels = inside().filter_map(|name| {
        let number = name.strip_prefix("decoder.up.")?.split('.').next()?;
        number.parse::<usize>().ok().map(|level| level.saturating_add(1))
    });
    let levels = levels.max().unwrap_or(0);
    let (mut named, mut unknown) = (BTreeMap::new(), vec![]);
    for (full, tensor) in tensors.into_named() {
        let Some(name) = full.strip_prefix(place.prefix) else { continue };
        if superfluous(&full) || superfluous(name) {
            continue;
        }
        let new = match (place.part, place.naming) {
            (Part::Unet | Part::Control, Naming::Compvis) => blocks.unet(name),
            (Part::Vae, _) => vae(name, levels),
            (Part::Text | Part::Text2, Naming::OpenClip) => {
                match open_clip(name) {
                    Some(OpenClip::Named(new)) => _ = named.insert(new, tensor),
                    Some(OpenClip::Transposed(new)) => {
                        let turned = tensor.transposed();
                        _ = named.insert(new, turned.ok_or_else(|| format!("tensor `{full}` is no matrix"))?);
                    }
                    Some(OpenClip::Three(new)) => {
                        let three = tensor.split(3);
                        let three = three.ok_or_else(|| {
                            format!("tensor `{full}` has shape {:?}, which does not make three", tensor.shape())
                        })?;
                        named.extend(new.into_iter().zip(three));
                    }
                    None => unknown.push(full),
                }
                continue;
            }
            (Part::Text | Part::Text2, _) => transformers(name),
            (Part::Unet | Part::Control, _) => Some(name.to_owned()),
        };
        match new {
            Some(new) => {
                let tensor =
                    if place.part == Part::Vae && new.contains(".attentions.") { flat(tensor) } else { tensor };
                named.insert(new, tensor);
            }
            None => unknown.push(full),
        }
    }
    Ok((Tensors::of(format, named), unknown))
}

/// A 1x1 convolution as the matrix that it is; anything else as it is.
fn flat(tensor: Tensor<'_>) -> Tensor<'_> {
    match *tensor.shape() {
        [rows, columns, 1, 1] => tensor.clone().reshaped(vec![rows, columns]).unwrap_or(tensor),
        _ => tensor,
    }
}
