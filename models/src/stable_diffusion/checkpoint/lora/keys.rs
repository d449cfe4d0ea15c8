//! Which layer a tensor of an adapter belongs to, by its name.

use std::collections::{BTreeMap, BTreeSet};

use super::one_step::{self, OneStepKind};
use super::{Layer, Module};
use crate::files::Tensors;
use crate::stable_diffusion::checkpoint::Part;

/// What is in a file.
pub(super) struct Found {
    pub(super) modules: Vec<Module>,
    /// Whether it is for one step, and of which kind.
    pub(super) one_step: Option<OneStepKind>,
    /// Tensors that belong to nothing that is known.
    pub(super) strange: Vec<String>,
    /// Tensors of tokens.
    pub(super) tokens: Vec<String>,
}

/// What a tensor is of its module.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Up,
    Down,
    Alpha,
}

/// Endings of names, with what they mean.
const ENDINGS: [(&str, Role); 13] = [
    (".lora_up.weight", Role::Up),
    (".lora_down.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_A.weight", Role::Down),
    (".lora_linear_layer.up.weight", Role::Up),
    (".lora_linear_layer.down.weight", Role::Down),
    (".lora.up.weight", Role::Up),
    (".lora.down.weight", Role::Down),
    ("_lora.up.weight", Role::Up),
    ("_lora.down.weight", Role::Down),
    (":up", Role::Up),
    (":down", Role::Down),
    (".alpha", Role::Alpha),
];

/// Prefixes of names, with the part that they mean; the longer ones first.
const PREFIXES: [(&str, Part); 13] = [
    ("state_dict_unet.", Part::Unet),
    ("state_dict_vae.", Part::Vae),
    ("lora_unet_", Part::Unet),
    ("lora_te2_", Part::Text2),
    ("lora_te1_", Part::Text),
    ("lora_te_", Part::Text),
    ("text_encoder_2.", Part::Text2),
    ("text_encoder:", Part::Text),
    ("text_encoder.", Part::Text),
    ("unet:", Part::Unet),
    ("unet.", Part::Unet),
    ("base_model.model.", Part::Unet),
    // The U-Net alone.
    ("", Part::Unet),
];

/// Kinds of adapters that are known by name and not read.
const OTHERS: [(&str, &str); 11] = [
    ("dora_scale", "DoRA"),
    ("lora_magnitude_vector", "DoRA"),
    ("lora_mid", "LoCon with a core tensor (Tucker decomposition)"),
    ("hada_w", "LoHa"),
    ("lokr_w", "LoKr"),
    ("oft_blocks", "OFT"),
    ("oft_diag", "OFT"),
    (".on_input", "IA3"),
    (".diff_b", "set of full differences"),
    (".a1.weight", "GLoRA"),
    ("lora_B.bias", "LoRA with biases"),
];

/// The kind of an adapter that is not read.
pub(super) fn unsupported<'n>(names: impl Iterator<Item = &'n str>) -> Option<String> {
    for name in names {
        let whole = name.ends_with(".diff").then_some("set of full differences");
        let kind = OTHERS.into_iter().find(|(sign, _)| name.contains(sign)).map(|(_, kind)| kind);
        if let Some(kind) = kind.or(whole) {
            return Some(format!("{kind} (tensor `{name}`)"));
        }
    }
    None
}

/// Whether a name is that of a thin matrix.
pub(super) fn is_lora(name: &str) -> bool {
    ended(name).is_some_and(|ended| ended.role != Role::Alpha)
}

/// A name taken apart.
struct Ended<'n> {
    before: &'n str,
    ending: &'static str,
    role: Role,
    /// What PEFT calls the adapter, where it says so; `default` says nothing.
    adapter: &'n str,
}

/// A name without what says which matrix it is.
fn ended(name: &str) -> Option<Ended<'_>> {
    let known = |(ending, role): (&'static str, Role)| {
        Some(Ended { before: name.strip_suffix(ending)?, ending, role, adapter: "" })
    };
    // `lora_A.adapter.weight`
    let called = || {
        let (before, adapter) = name.strip_suffix(".weight")?.rsplit_once('.')?;
        let adapter = if adapter == "default" { "" } else { adapter };
        [(".lora_B", Role::Up), (".lora_A", Role::Down)]
            .into_iter()
            .find_map(|(ending, role)| Some(Ended { before: before.strip_suffix(ending)?, ending, role, adapter }))
    };
    ENDINGS.into_iter().find_map(known).or_else(called)
}

/// The part that a name is for, and the name in it.
pub(super) fn part_of(name: &str) -> Option<(Part, &str)> {
    PREFIXES.into_iter().find_map(|(prefix, part)| Some((part, name.strip_prefix(prefix)?)))
}

/// What is in a file.
///
/// # Errors
/// When a module has one matrix only.
pub(super) fn found(tensors: &Tensors<'_>) -> Result<Found, String> {
    let mut matrices: BTreeMap<(Part, Layer, bool), [Option<String>; 3]> = BTreeMap::new();
    let (mut strange, mut tokens) = (vec![], vec![]);
    let mut adapters = BTreeSet::new();
    for name in tensors.names() {
        match place(name) {
            Some((part, layer, role, adapter)) => {
                adapters.insert(adapter);
                let key = (part, layer, one_step::is_semantic(adapter));
                let slot = &mut matrices.entry(key).or_default()[role as usize];
                if let Some(other) = slot.replace(name.to_owned()) {
                    return Err(format!("`{name}` and `{other}` are for the same layer"));
                }
            }
            None if name.starts_with('<') && name.ends_with('>') => tokens.push(name.to_owned()),
            None => strange.push(name.to_owned()),
        }
    }
    let mut modules = vec![];
    for ((part, layer, semantic), [up, down, alpha]) in matrices {
        let alpha = match alpha {
            None => None,
            Some(name) => {
                let value = tensors.get(&name).and_then(|tensor| tensor.values()).filter(|values| values.len() == 1);
                let value = value.and_then(|values| values.first().copied()).filter(|value| value.is_finite());
                Some(value.ok_or_else(|| format!("tensor `{name}` is no number"))?)
            }
        };
        match (up, down) {
            (Some(up), Some(down)) => modules.push(Module { part, layer, up, down, alpha, semantic }),
            (Some(name), None) | (None, Some(name)) => {
                return Err(format!("tensor `{name}` has no counterpart: of each layer there are two"));
            }
            (None, None) => strange.push(match layer {
                Layer::Named(layer) => format!("{layer}.alpha"),
                Layer::Numbered(layer) => format!("{layer}:alpha"),
            }),
        }
    }
    Ok(Found { modules, one_step: OneStepKind::of(adapters.iter().copied())?, strange, tokens })
}

/// The layer that a tensor belongs to, what it is of it, and the adapter that it names.
fn place(name: &str) -> Option<(Part, Layer, Role, &str)> {
    let Ended { before, ending, role, adapter } = ended(name)?;
    let (part, layer) = part_of(before)?;
    if ending.starts_with(':') {
        return Some((part, Layer::Numbered(layer.parse().ok()?), role, adapter));
    }
    let mut layer = layer.replace(".processor", "");
    // What processors call the layers of attention.
    let text = matches!(part, Part::Text | Part::Text2);
    if ending.starts_with('_') || text {
        for (old, unet, clip) in [
            (".to_q", ".to_q", ".q_proj"),
            (".to_k", ".to_k", ".k_proj"),
            (".to_v", ".to_v", ".v_proj"),
            (".to_out", ".to_out.0", ".out_proj"),
        ] {
            if let Some(before) = layer.strip_suffix(old) {
                layer = format!("{before}{}", if text { clip } else { unet });
                break;
            }
        }
    }
    Some((part, Layer::Named(layer.replace('.', "_")), role, adapter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_layouts_mean_layers() {
        let to_q = "down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q";
        let (mlp, key) = ("text_model_encoder_layers_3_mlp_fc1", "text_model_encoder_layers_3_self_attn_k_proj");
        for (name, part, layer, role) in [
            (&*format!("lora_unet_{to_q}.lora_down.weight"), Part::Unet, to_q, Role::Down),
            (&format!("lora_unet_{to_q}.alpha"), Part::Unet, to_q, Role::Alpha),
            (
                "unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q.lora_B.weight",
                Part::Unet,
                to_q,
                Role::Up,
            ),
            (
                "unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
                Part::Unet,
                to_q,
                Role::Down,
            ),
            (
                "base_model.model.down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q.lora_A.weight",
                Part::Unet,
                to_q,
                Role::Down,
            ),
            ("down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q.lora.up.weight", Part::Unet, to_q, Role::Up),
            (
                "unet.mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora.up.weight",
                Part::Unet,
                "mid_block_attentions_0_transformer_blocks_0_attn2_to_out_0",
                Role::Up,
            ),
            (&format!("lora_te2_{mlp}.lora_up.weight"), Part::Text2, mlp, Role::Up),
            (&format!("lora_te1_{mlp}.lora_up.weight"), Part::Text, mlp, Role::Up),
            ("text_encoder.text_model.encoder.layers.3.mlp.fc1.lora_linear_layer.up.weight", Part::Text, mlp, Role::Up),
            (
                "text_encoder_2.text_model.encoder.layers.3.self_attn.to_k_lora.down.weight",
                Part::Text2,
                key,
                Role::Down,
            ),
            ("text_encoder.text_model.encoder.layers.3.self_attn.k_proj.lora_A.weight", Part::Text, key, Role::Down),
        ] {
            assert_eq!(place(name), Some((part, Layer::Named(layer.into()), role, "")), "{name}");
        }
        assert_eq!(place("unet:17:up"), Some((Part::Unet, Layer::Numbered(17), Role::Up, "")));
        assert_eq!(place("text_encoder:0:down"), Some((Part::Text, Layer::Numbered(0), Role::Down, "")));
        let named = |layer: &str| Layer::Named(layer.into());
        assert_eq!(
            place("conv_in.lora_A.default_encoder_pix.weight"),
            Some((Part::Unet, named("conv_in"), Role::Down, "default_encoder_pix"))
        );
        assert_eq!(
            place("state_dict_vae.encoder.mid_block.attentions.0.to_q.lora_B.default_encoder.weight"),
            Some((Part::Vae, named("encoder_mid_block_attentions_0_to_q"), Role::Up, "default_encoder"))
        );
        assert_eq!(place("a.to_q.lora_B.default.weight"), Some((Part::Unet, named("a_to_q"), Role::Up, "")));
        assert_eq!(place("conv_in.weight"), None);
    }

    #[test]
    fn other_kinds_are_named() {
        for (name, kind) in [
            ("lora_unet_a.dora_scale", "DoRA"),
            ("lora_unet_a.lora_mid.weight", "Tucker"),
            ("lora_unet_a.hada_w1_a", "LoHa"),
            ("lora_unet_a.lokr_w1", "LoKr"),
            ("lora_unet_a.diff", "full differences"),
            ("unet.a.lora_magnitude_vector", "DoRA"),
        ] {
            assert!(unsupported([name].into_iter()).is_some_and(|said| said.contains(kind)), "{name}");
        }
        assert_eq!(unsupported(["lora_unet_a.lora_up.weight"].into_iter()), None);
    }
}
