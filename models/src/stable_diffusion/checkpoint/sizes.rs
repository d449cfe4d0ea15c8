//! The sizes of networks, from the shapes of their tensors. The names are those of diffusers and transformers.

use crate::layers::Weights;
use crate::stable_diffusion::{AddedConfig, ClipConfig, UnetConfig, VaeConfig};
use crate::{Error, Result};

/// The width of the text of Stable Diffusion 1, the only one whose U-Net has the same number of heads everywhere.
const FIRST_TEXT: usize = 768;
/// Heads there.
const FIRST_HEADS: usize = 8;
/// Channels of a head in all later ones, and of every text encoder.
const HEAD: usize = 64;

/// The levels of a network whose blocks are named `{before}{level}.resnets...`, the finest first: their widths, and how many
/// residual blocks each has.
fn levels(weights: &Weights<'_>, before: &str) -> Result<(Vec<usize>, usize)> {
    let levels = weights.count(before, ".resnets.0.conv1.weight");
    let widths = (0..levels).map(|level| weights.width(&format!("{before}{level}.resnets.0.conv1.weight")));
    let blocks = weights.count(&format!("{before}0.resnets."), ".conv1.weight");
    Ok((widths.collect::<Result<_>>()?, blocks))
}

/// Those of a U-Net, or of the half of one that a ControlNet has. How many heads its attention has stands nowhere: it is what the models
/// of its family have.
///
/// # Errors
/// When it has no attention to a text, or a tensor is missing.
pub(super) fn unet(weights: &Weights<'_>) -> Result<UnetConfig> {
    let (widths, blocks) = levels(weights, "down_blocks.")?;
    let deep = |level: usize| {
        weights.count(&format!("down_blocks.{level}.attentions.0.transformer_blocks."), ".attn2.to_k.weight")
    };
    let transformers: Vec<usize> = (0..widths.len()).map(deep).collect();
    let Some(seeing) = transformers.iter().position(|blocks| *blocks > 0) else {
        return Err(weights.unsupported("its U-Net looks at no text, so it is no Stable Diffusion that is known here"));
    };
    let attention = format!("down_blocks.{seeing}.attentions.0");
    let text = weights.side(&format!("{attention}.transformer_blocks.0.attn2.to_k.weight"), 1)?;
    let heads = |width: &usize| if text == FIRST_TEXT { FIRST_HEADS } else { (width / HEAD).max(1) };
    let embedding = "add_embedding.linear_1.weight";
    let added = match weights.has(embedding) {
        true => {
            let shape = weights.shape(embedding)?;
            let wanted = format!("inputs of {NUMBER} for each number, and of a text");
            let found = added(text, weights.side(embedding, 1)?, NUMBER);
            Some(found.ok_or_else(|| weights.misshaped(embedding, shape, wanted))?)
        }
        false => None,
    };
    let outputs = if weights.has("conv_out.weight") { weights.width("conv_out.weight")? } else { 4 };
    Ok(UnetConfig {
        channels_in: weights.side("conv_in.weight", 1)?,
        channels_out: outputs,
        heads: widths.iter().map(heads).collect(),
        transformers,
        blocks,
        text,
        linear: weights.shape(&format!("{attention}.proj_in.weight"))?.len() == 2,
        widths,
        added,
        ..UnetConfig::default()
    })
}

/// Cosines and sines that each number about a picture is spread over.
pub(super) const NUMBER: usize = 256;

/// What a U-Net with so many inputs beside its text is told: the refiner of SDXL five numbers, with a score in place of a size; others
/// six.
pub(super) fn added(text: usize, inputs: usize, width: usize) -> Option<AddedConfig> {
    let ids = if text == 1280 { 5 } else { 6 };
    let pooled = inputs.checked_sub(width.checked_mul(ids)?).filter(|pooled| *pooled > 0)?;
    Some(AddedConfig { pooled, ids, width })
}

/// Those of an autoencoder, which may have one half only.
///
/// # Errors
/// When a tensor is missing.
pub(super) fn vae(weights: &Weights<'_>) -> Result<VaeConfig> {
    let (mut widths, mut blocks) = levels(weights, "encoder.down_blocks.")?;
    let (latent, channels);
    if weights.has("decoder.conv_in.weight") {
        latent = weights.side("decoder.conv_in.weight", 1)?;
        channels = weights.width("decoder.conv_out.weight")?;
        if widths.is_empty() {
            (widths, blocks) = levels(weights, "decoder.up_blocks.")?;
            widths.reverse();
            blocks = blocks.saturating_sub(1);
        }
    } else {
        // Means and logarithms of variances.
        latent = weights.width("encoder.conv_out.weight")? / 2;
        channels = weights.side("encoder.conv_in.weight", 1)?;
    }
    Ok(VaeConfig { channels, latent, widths, blocks, ..VaeConfig::default() })
}

/// The token that ends a text: the last one, unless more were added behind those of CLIP.
pub(super) fn end(vocabulary: usize) -> Option<u32> {
    const CLIP: usize = 49_408;
    u32::try_from(vocabulary.min(CLIP).checked_sub(1)?).ok()
}

/// Those of a text encoder.
///
/// # Errors
/// When a tensor is missing.
pub(super) fn clip(weights: &Weights<'_>) -> Result<ClipConfig> {
    let embedding = "embeddings.token_embedding.weight";
    let (vocabulary, width) = (weights.width(embedding)?, weights.side(embedding, 1)?);
    let end = end(vocabulary).ok_or_else(|| Error::Setting {
        name: "vocabulary",
        value: vocabulary.to_string(),
        hint: "tokens are numbered in 32 bits",
    })?;
    Ok(ClipConfig {
        vocabulary,
        width,
        inner: weights.width("encoder.layers.0.mlp.fc1.weight")?,
        layers: weights.count("encoder.layers.", ".mlp.fc1.weight"),
        heads: (width / HEAD).max(1),
        positions: weights.width("embeddings.position_embedding.weight")?,
        quick_gelu: width == FIRST_TEXT,
        end,
    })
}

/// Channels of the layers with which a ControlNet looks at its picture.
///
/// # Errors
/// When a tensor is missing.
pub(super) fn hint(weights: &Weights<'_>) -> Result<Vec<usize>> {
    let block = |i: usize| format!("controlnet_cond_embedding.blocks.{i}.weight");
    let blocks = weights.count("controlnet_cond_embedding.blocks.", ".weight");
    // Of each pair the second one changes the number.
    let halving = (1..blocks).step_by(2).map(|i| weights.width(&block(i)));
    [weights.width("controlnet_cond_embedding.conv_in.weight")].into_iter().chain(halving).collect()
}
