//! Layers by number, as cloneofsimo's trainer saves them: it walks through the modules of some kinds in the order in which the program
//! has them, and takes the linear layers inside.

use std::collections::{BTreeMap, BTreeSet};

use super::{Layer, Module};
use crate::stable_diffusion::checkpoint::Part;

/// Which kinds of modules the layers of a part were taken from: what the metadata say, or what the trainer takes where it is told
/// nothing.
///
/// # Errors
/// When kinds are named that are not known here.
pub(super) fn kinds<'t>(
    modules: &[Module],
    text: impl Fn(&str) -> Option<&'t str>,
) -> Result<BTreeMap<Part, Vec<String>>, String> {
    let mut kinds = BTreeMap::new();
    for (part, key, usual) in [
        (Part::Unet, "unet", &["CrossAttention", "Attention", "GEGLU"][..]),
        (Part::Text, "text_encoder", &["CLIPAttention"][..]),
    ] {
        if !modules.iter().any(|module| module.part == part && matches!(module.layer, Layer::Numbered(_))) {
            continue;
        }
        let told: Vec<String> = match text(key) {
            Some(text) => serde_json::from_str(text)
                .map_err(|_| format!("its metadata `{key}` are no list of the modules that its layers belong to"))?,
            None => usual.iter().map(|kind| (*kind).to_owned()).collect(),
        };
        if let Some(other) = told.iter().find(|kind| !usual.contains(&kind.as_str())) {
            return Err(format!(
                "its layers are numbered among those of `{other}` too, which is not known here: {} are",
                usual.join(", ")
            ));
        }
        kinds.insert(part, told);
    }
    Ok(kinds)
}

/// The layers of a part in the orders that may be meant, underscores for dots. The order within a block changed once: at first the
/// feed-forward part stood between the two attentions.
pub(super) fn orders<'n>(part: Part, kinds: &[String], names: impl Iterator<Item = &'n str>) -> [Vec<String>; 2] {
    let has = |kind: &str| kinds.iter().any(|known| known == kind);
    if part != Part::Unet {
        let layers: BTreeSet<usize> = names
            .filter_map(|name| name.strip_prefix("text_model.encoder.layers.")?.split('.').next()?.parse().ok())
            .collect();
        let list: Vec<String> = layers
            .into_iter()
            .flat_map(|layer| {
                ["k_proj", "v_proj", "q_proj", "out_proj"]
                    .map(|of| format!("text_model_encoder_layers_{layer}_self_attn_{of}"))
            })
            .collect();
        return [list.clone(), list];
    }
    // The way down, the way up, and the middle, which the program adds last.
    let mut blocks: BTreeSet<([usize; 4], String)> = BTreeSet::new();
    for name in names {
        let Some((before, rest)) = name.split_once(".transformer_blocks.") else { continue };
        let Some(block) = rest.split('.').next().and_then(|block| block.parse().ok()) else { continue };
        let mut numbers = before.split('.').filter_map(|part| part.parse().ok());
        let way = ["down_blocks", "up_blocks", "mid_block"].iter().position(|way| before.starts_with(way));
        let (Some(way), Some(first)) = (way, numbers.next()) else { continue };
        let place = [way, first, numbers.next().unwrap_or(0), block];
        blocks.insert((place, format!("{before}.transformer_blocks.{block}").replace('.', "_")));
    }
    let attention = |block: &str, of: usize| -> Vec<String> {
        if !has("CrossAttention") && !has("Attention") {
            return vec![];
        }
        ["to_q", "to_k", "to_v", "to_out_0"].map(|layer| format!("{block}_attn{of}_{layer}")).into()
    };
    let gate = |block: &str| if has("GEGLU") { vec![format!("{block}_ff_net_0_proj")] } else { vec![] };
    let each = |early: bool| {
        let block = |block: &str| {
            let (first, second, gate) = (attention(block, 1), attention(block, 2), gate(block));
            if early { [first, gate, second].concat() } else { [first, second, gate].concat() }
        };
        blocks.iter().flat_map(|(_, name)| block(name)).collect()
    };
    [each(true), each(false)]
}
