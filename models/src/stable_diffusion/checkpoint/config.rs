//! The settings that a folder of diffusers keeps beside its weights.

use serde::Deserialize;

use super::sizes;
use crate::stable_diffusion::{ClipConfig, UnetConfig, VaeConfig};

/// A number for all levels, or one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Each {
    All(usize),
    One(Vec<usize>),
}

impl Each {
    fn of(&self, levels: usize) -> Vec<usize> {
        match self {
            Self::All(value) => vec![*value; levels],
            Self::One(values) => values.clone(),
        }
    }
}

/// `unet/config.json`, and that of a ControlNet: what changes how it computes.
#[derive(Debug, Deserialize)]
pub(super) struct UnetFile {
    #[serde(default = "four")]
    in_channels: usize,
    #[serde(default = "four")]
    out_channels: usize,
    block_out_channels: Vec<usize>,
    down_block_types: Vec<String>,
    #[serde(default = "two")]
    layers_per_block: usize,
    cross_attention_dim: usize,
    /// In truth the number of heads.
    #[serde(default = "eight")]
    attention_head_dim: Each,
    num_attention_heads: Option<Each>,
    transformer_layers_per_block: Option<Each>,
    #[serde(default = "groups")]
    norm_num_groups: usize,
    #[serde(default)]
    use_linear_projection: bool,
    addition_embed_type: Option<String>,
    addition_time_embed_dim: Option<usize>,
    projection_class_embeddings_input_dim: Option<usize>,
    class_embed_type: Option<String>,
    time_cond_proj_dim: Option<usize>,
    encoder_hid_dim: Option<usize>,
    #[serde(default)]
    only_cross_attention: serde_json::Value,
    conditioning_embedding_out_channels: Option<Vec<usize>>,
}

fn two() -> usize {
    2
}
fn four() -> usize {
    4
}
fn eight() -> Each {
    Each::All(8)
}
fn groups() -> usize {
    32
}

impl UnetFile {
    /// # Errors
    /// What it asks for that is not known here.
    pub(super) fn config(&self) -> Result<UnetConfig, String> {
        let levels = self.block_out_channels.len();
        if self.down_block_types.len() != levels {
            return Err("`down_block_types` and `block_out_channels` are not equally many".into());
        }
        for (what, given) in [
            ("time_cond_proj_dim", self.time_cond_proj_dim.is_some()),
            ("encoder_hid_dim", self.encoder_hid_dim.is_some()),
            ("class_embed_type", self.class_embed_type.is_some()),
            ("only_cross_attention", self.only_cross_attention.as_bool() == Some(true)),
        ] {
            if given {
                return Err(format!("it uses `{what}`, which is not known here"));
            }
        }
        if let Some(other) = self.addition_embed_type.as_deref().filter(|kind| *kind != "text_time") {
            return Err(format!("its `addition_embed_type` is `{other}`, but `text_time` is known"));
        }
        let added = match (&self.addition_embed_type, self.projection_class_embeddings_input_dim) {
            (None, _) => None,
            (Some(_), inputs) => {
                let width = self.addition_time_embed_dim.unwrap_or(sizes::NUMBER);
                let added = inputs.and_then(|inputs| sizes::added(self.cross_attention_dim, inputs, width));
                Some(added.ok_or("its `projection_class_embeddings_input_dim` leaves no room for the pooled text")?)
            }
        };
        let layers = self.transformer_layers_per_block.clone().unwrap_or(Each::All(1)).of(levels);
        let heads = self.num_attention_heads.as_ref().unwrap_or(&self.attention_head_dim).of(levels);
        if layers.len() != levels || heads.len() != levels {
            return Err(
                "`transformer_layers_per_block` or `attention_head_dim` is not one number for each level".into()
            );
        }
        let mut transformers = vec![];
        for (kind, blocks) in self.down_block_types.iter().zip(layers) {
            transformers.push(match kind.as_str() {
                "CrossAttnDownBlock2D" => blocks,
                "DownBlock2D" => 0,
                other => return Err(format!("it has a `{other}`, which is not known here")),
            });
        }
        Ok(UnetConfig {
            channels_in: self.in_channels,
            channels_out: self.out_channels,
            widths: self.block_out_channels.clone(),
            transformers,
            heads,
            blocks: self.layers_per_block,
            text: self.cross_attention_dim,
            groups: self.norm_num_groups,
            linear: self.use_linear_projection,
            added,
        })
    }

    /// Channels of the layers with which a ControlNet looks at its picture.
    pub(super) fn hint(&self) -> Vec<usize> {
        self.conditioning_embedding_out_channels.clone().unwrap_or_else(|| vec![16, 32, 96, 256])
    }
}

/// `vae/config.json`.
#[derive(Debug, Deserialize)]
pub(super) struct VaeFile {
    #[serde(default = "three")]
    in_channels: usize,
    #[serde(default = "four")]
    latent_channels: usize,
    block_out_channels: Vec<usize>,
    #[serde(default = "one")]
    layers_per_block: usize,
    #[serde(default = "groups")]
    norm_num_groups: usize,
    pub(super) scaling_factor: Option<f32>,
    shift_factor: Option<f32>,
    latents_mean: Option<serde_json::Value>,
}

fn one() -> usize {
    1
}
fn three() -> usize {
    3
}

impl VaeFile {
    /// # Errors
    /// What it asks for that is not known here.
    pub(super) fn config(&self) -> Result<VaeConfig, String> {
        if self.shift_factor.is_some_and(|shift| shift != 0.0) || self.latents_mean.is_some() {
            return Err("its latents are shifted, as those of other families than Stable Diffusion 1, 2 and XL".into());
        }
        Ok(VaeConfig {
            channels: self.in_channels,
            latent: self.latent_channels,
            widths: self.block_out_channels.clone(),
            blocks: self.layers_per_block,
            groups: self.norm_num_groups,
            scaling: self.scaling_factor.unwrap_or(VaeConfig::default().scaling),
        })
    }
}

/// `text_encoder/config.json`.
#[derive(Debug, Deserialize)]
pub(super) struct ClipFile {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    #[serde(default = "positions")]
    max_position_embeddings: usize,
    #[serde(default = "activation")]
    hidden_act: String,
    eos_token_id: Option<u32>,
}

fn positions() -> usize {
    77
}
fn activation() -> String {
    "quick_gelu".into()
}

impl ClipFile {
    /// # Errors
    /// What it asks for that is not known here.
    pub(super) fn config(&self) -> Result<ClipConfig, String> {
        let quick_gelu = match self.hidden_act.as_str() {
            "quick_gelu" => true,
            "gelu" => false,
            other => return Err(format!("its activation is `{other}`, but `quick_gelu` and `gelu` are known")),
        };
        // What early files say of the token that ends a text (2) was a mistake.
        let end = self.eos_token_id.filter(|end| *end != 2).or_else(|| sizes::end(self.vocab_size));
        Ok(ClipConfig {
            vocabulary: self.vocab_size,
            width: self.hidden_size,
            inner: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            positions: self.max_position_embeddings,
            quick_gelu,
            end: end.ok_or("its vocabulary is empty or too large")?,
        })
    }
}

/// `scheduler/scheduler_config.json`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SchedulerFile {
    pub(super) prediction_type: Option<String>,
    #[serde(default)]
    pub(super) rescale_betas_zero_snr: bool,
}

/// `model_index.json`.
#[derive(Debug, Deserialize)]
pub(super) struct IndexFile {
    #[serde(rename = "_class_name")]
    pub(super) pipeline: String,
}

/// The list of the files of a part, `*.index.json`.
#[derive(Debug, Deserialize)]
pub(super) struct ShardsFile {
    pub(super) weight_map: std::collections::BTreeMap<String, String>,
}
