//! The names of tensors in single files, as the program of the first Stable Diffusion (CompVis, later Stability's `sgm`) gave them, and
//! those of diffusers and transformers, which the networks know.
//!
//! The first counts blocks from end to end (`input_blocks.7.1`), the second by level and kind
//! (`down_blocks.2.attentions.0`): with the number of residual blocks per level each follows from the other.

/// Parts of a residual block.
const RESNET: [(&str, &str); 6] = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];

/// Layers of a U-Net, and of a ControlNet, that stand by themselves.
const ALONE: [(&str, &str); 8] = [
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
    ("middle_block_out.0", "controlnet_mid_block"),
];

/// More residual blocks of a level than any network has.
const MOST_BLOCKS: usize = 1000;

/// What the names of a U-Net or ControlNet depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Blocks {
    /// Residual blocks of a level on the way down.
    pub(super) per_level: usize,
    /// The number of the last layer of a ControlNet's `input_hint_block`.
    pub(super) hint: usize,
    /// What stands between the parts of a name: a dot, or an underscore in the files of kohya's trainer.
    pub(super) between: char,
}

impl Blocks {
    /// Counts them in the names of a file, the prefix left out.
    pub(super) fn of<'n, I: Iterator<Item = &'n str>>(names: impl Fn() -> I) -> Self {
        let number = |name: &str, before: &str| name.strip_prefix(before)?.split('.').next()?.parse::<usize>().ok();
        // The layer that halves the first level follows its residual blocks.
        let halving = |name: &&str| name.ends_with(".0.op.weight");
        let first = names().filter(halving).filter_map(|name| number(name, "input_blocks.")).min();
        let last = || names().filter_map(|name| number(name, "input_blocks.")).max();
        let hint = names().filter_map(|name| number(name, "input_hint_block.")).max();
        let per_level = first.map_or_else(|| last().unwrap_or(0), |halving| halving.saturating_sub(1));
        Self { per_level: per_level.clamp(1, MOST_BLOCKS), hint: hint.unwrap_or(14), between: '.' }
    }

    /// The name that diffusers gives a tensor of a U-Net or ControlNet; nothing for names of another kind.
    pub(super) fn unet(self, name: &str) -> Option<String> {
        let sep = self.between;
        let spelt = |text: &str| if sep == '.' { text.to_owned() } else { text.replace('.', &sep.to_string()) };
        // What is behind a layer's name: nothing, or a separator and more.
        let behind = |name: &str, layer: &str| -> Option<String> {
            let rest = name.strip_prefix(&spelt(layer))?;
            (rest.is_empty() || rest.starts_with(sep)).then(|| rest.to_owned())
        };
        let renamed = |name: &str, table: &[(&str, &str)]| {
            table.iter().find_map(|(old, new)| Some(format!("{}{}", spelt(new), behind(name, old)?)))
        };
        if let Some(name) = renamed(name, &ALONE) {
            return Some(name);
        }
        // The number at the front, and the rest behind the separator.
        let number = |text: &str| -> Option<(usize, String)> {
            let (first, rest) = text.split_once(sep)?;
            Some((first.parse().ok()?, rest.to_owned()))
        };
        let inside = |block: &str| number(name.strip_prefix(block)?.strip_prefix(sep)?);
        let resnet = |rest: &str| renamed(rest, &RESNET);
        let joined = |parts: [&str; 2]| format!("{}{sep}{}", spelt(parts[0]), parts[1]);

        if let Some((block, rest)) = inside("zero_convs") {
            let rest = behind(&rest, "0")?;
            return Some(format!("{}{rest}", spelt(&format!("controlnet_down_blocks.{block}"))));
        }
        if let Some((layer, rest)) = inside("input_hint_block") {
            let layer = match layer {
                0 => "conv_in".to_owned(),
                last if last == self.hint => "conv_out".to_owned(),
                even if even.is_multiple_of(2) => format!("blocks.{}", even / 2 - 1),
                _ => return None,
            };
            return Some(joined([&format!("controlnet_cond_embedding.{layer}"), &rest]));
        }
        if let Some((block, rest)) = inside("middle_block") {
            return match block {
                0 | 2 => Some(joined([&format!("mid_block.resnets.{}", block / 2), &resnet(&rest)?])),
                1 => Some(joined(["mid_block.attentions.0", &rest])),
                _ => None,
            };
        }
        if let Some((block, rest)) = inside("input_blocks") {
            let (part, rest) = number(&rest)?;
            let (level, block) = (block.checked_sub(1)? / (self.per_level + 1), (block - 1) % (self.per_level + 1));
            return match part {
                0 if block == self.per_level => {
                    let rest = behind(&rest, "op")?;
                    Some(format!("{}{rest}", spelt(&format!("down_blocks.{level}.downsamplers.0.conv"))))
                }
                0 => Some(joined([&format!("down_blocks.{level}.resnets.{block}"), &resnet(&rest)?])),
                1 => Some(joined([&format!("down_blocks.{level}.attentions.{block}"), &rest])),
                _ => None,
            };
        }
        if let Some((block, rest)) = inside("output_blocks") {
            let (part, rest) = number(&rest)?;
            let (level, block) = (block / (self.per_level + 1), block % (self.per_level + 1));
            return match part {
                0 => Some(joined([&format!("up_blocks.{level}.resnets.{block}"), &resnet(&rest)?])),
                1 | 2 if behind(&rest, "conv").is_some() => {
                    Some(joined([&format!("up_blocks.{level}.upsamplers.0"), &rest]))
                }
                1 => Some(joined([&format!("up_blocks.{level}.attentions.{block}"), &rest])),
                _ => None,
            };
        }
        None
    }
}

/// Parts of an autoencoder's attention, and what diffusers called them at first.
const ATTENTION: [(&str, &str); 9] = [
    ("q.", "to_q."),
    ("k.", "to_k."),
    ("v.", "to_v."),
    ("proj_out.", "to_out.0."),
    ("norm.", "group_norm."),
    ("query.", "to_q."),
    ("key.", "to_k."),
    ("value.", "to_v."),
    ("proj_attn.", "to_out.0."),
];

/// The name that diffusers gives a tensor of an autoencoder of so many levels, whichever of both it has now.
pub(super) fn vae(name: &str, levels: usize) -> Option<String> {
    if name.starts_with("quant_conv.") || name.starts_with("post_quant_conv.") {
        return Some(name.to_owned());
    }
    let (half, rest) = name.split_once('.')?;
    if half != "encoder" && half != "decoder" {
        return None;
    }
    let numbered = |rest: &str, before: &str| -> Option<(usize, String)> {
        let (number, rest) = rest.strip_prefix(before)?.split_once('.')?;
        Some((number.parse().ok()?, rest.to_owned()))
    };
    let attention = |rest: &str| {
        let part = ATTENTION.iter().find_map(|(old, new)| Some(format!("{new}{}", rest.strip_prefix(old)?)));
        format!("mid_block.attentions.0.{}", part.unwrap_or_else(|| rest.to_owned()))
    };
    let resnet = |rest: &str| rest.replace("nin_shortcut.", "conv_shortcut.");
    let level = |rest: &str, blocks: &str, sampler: &str| -> Option<String> {
        if let Some((block, rest)) = numbered(rest, "block.") {
            return Some(format!("{blocks}.resnets.{block}.{}", resnet(&rest)));
        }
        let (what, rest) = rest.split_once('.')?;
        (what == sampler).then(|| format!("{blocks}.{sampler}rs.0.{rest}"))
    };
    let rest = if let Some(rest) = rest.strip_prefix("mid.attn_1.").or(rest.strip_prefix("mid_block.attentions.0.")) {
        attention(rest)
    } else if let Some((block, rest)) = numbered(rest, "mid.block_") {
        format!("mid_block.resnets.{}.{}", block.checked_sub(1)?, resnet(&rest))
    } else if let Some((block, rest)) = numbered(rest, "down.") {
        level(&rest, &format!("down_blocks.{block}"), "downsample")?
    } else if let Some((block, rest)) = numbered(rest, "up.") {
        // The finest level comes last.
        level(&rest, &format!("up_blocks.{}", levels.checked_sub(block.checked_add(1)?)?), "upsample")?
    } else if let Some(rest) = rest.strip_prefix("norm_out.") {
        format!("conv_norm_out.{rest}")
    } else {
        rest.to_owned()
    };
    Some(format!("{half}.{rest}"))
}

/// What becomes of a tensor of OpenCLIP's text encoder.
#[derive(Debug, PartialEq)]
pub(super) enum OpenClip {
    /// It has another name.
    Named(String),
    /// It is a matrix that is applied from the other side.
    Transposed(String),
    /// Queries, keys and values lie in it one after the other.
    Three([String; 3]),
}

/// The names that transformers gives a tensor of OpenCLIP's text encoder.
pub(super) fn open_clip(name: &str) -> Option<OpenClip> {
    let named = |name: &str| Some(OpenClip::Named(format!("text_model.{name}")));
    match name {
        "positional_embedding" => return named("embeddings.position_embedding.weight"),
        "token_embedding.weight" => return named("embeddings.token_embedding.weight"),
        "ln_final.weight" => return named("final_layer_norm.weight"),
        "ln_final.bias" => return named("final_layer_norm.bias"),
        "text_projection" => return Some(OpenClip::Transposed("text_projection.weight".into())),
        "text_projection.weight" => return Some(OpenClip::Named(name.into())),
        _ => {}
    }
    let (block, rest) = name.strip_prefix("transformer.resblocks.")?.split_once('.')?;
    let block: usize = block.parse().ok()?;
    let layer = |rest: &str| format!("text_model.encoder.layers.{block}.{rest}");
    let (part, kind) = rest.rsplit_once(['.', '_'])?;
    let new = match part {
        "attn.in_proj" => {
            let three = ["q", "k", "v"].map(|part| layer(&format!("self_attn.{part}_proj.{kind}")));
            return Some(OpenClip::Three(three));
        }
        "attn.out_proj" => "self_attn.out_proj",
        "ln_1" => "layer_norm1",
        "ln_2" => "layer_norm2",
        "mlp.c_fc" => "mlp.fc1",
        "mlp.c_proj" => "mlp.fc2",
        _ => return None,
    };
    Some(OpenClip::Named(layer(&format!("{new}.{kind}"))))
}

/// The name that transformers gives a tensor of its own text encoder: early files and late ones leave `text_model` out.
pub(super) fn transformers(name: &str) -> Option<String> {
    match name {
        "text_projection.weight" => Some(name.to_owned()),
        _ if name.starts_with("text_model.") => Some(name.to_owned()),
        _ if ["embeddings.", "encoder.layers.", "final_layer_norm."].iter().any(|part| name.starts_with(part)) => {
            Some(format!("text_model.{name}"))
        }
        _ => None,
    }
}

/// Whether a tensor has nothing to say to who only runs a network: what training keeps beside the weights, and tables that are
/// always the same.
pub(super) fn superfluous(name: &str) -> bool {
    const PREFIXES: [&str; 12] = [
        "model_ema.",
        "first_stage_model.loss.",
        "loss.",
        "depth_model.",
        "optimizer",
        "posterior_",
        "sqrt_",
        "log_one_minus_",
        "alphas_cumprod",
        "betas",
        "lvlb_weights",
        "denoiser.",
    ];
    const WHOLE: [&str; 6] =
        ["global_step", "scale_factor", "logvar", "v_pred", "ztsnr", "cond_stage_model.logit_scale"];
    const ENDINGS: [&str; 3] = ["position_ids", "logit_scale", "attn_mask"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || WHOLE.contains(&name)
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
}
