//! YuNet in the ONNX files that its authors publish: the batch normalisations are gone, and what they were folded into has numbers
//! for names. The layers are told by their order.

use std::collections::BTreeMap;

use super::Tensor;
use super::onnx::Convolution;

/// Stages behind the first one, each of two units.
const STAGES: usize = 5;
/// Sizes that are looked at.
const LEVELS: usize = 3;
/// What is told of each place, in the order of the files, and how many numbers it takes.
const HEADS: [(&str, usize); 4] = [("cls", 1), ("bbox", 4), ("obj", 1), ("kps", 10)];

/// The tensors by the names of the PyTorch files; nothing when the convolutions are not those of YuNet.
pub(super) fn named<'a>(
    tensors: &BTreeMap<String, Tensor<'a>>,
    convolutions: &[Convolution<'_>],
) -> Option<BTreeMap<String, Tensor<'a>>> {
    // One ordinary convolution, then units of a 1x1 and a depthwise one.
    let (first, units) = convolutions.split_first()?;
    let (units, []) = units.as_chunks::<2>() else { return None };
    let shape = |name: &str| tensors.get(name).map(Tensor::shape);
    let is_unit = |[mixed, each]: &[Convolution<'_>; 2]| match (shape(mixed[0]), shape(each[0])) {
        (Some([width, _, 1, 1]), Some([channels, 1, 3, 3])) => width == channels,
        _ => false,
    };
    if !matches!(shape(first[0]), Some([_, 3, 3, 3])) || !units.iter().all(is_unit) {
        return None;
    }
    let names = names(units.len())?;
    let widths = HEADS.iter().flat_map(|(_, width)| [*width; LEVELS]);
    let heads = &units[units.len() - LEVELS * HEADS.len()..];
    if !heads.iter().zip(widths).all(|([mixed, _], width)| shape(mixed[0]).is_some_and(|shape| shape[0] == width)) {
        return None;
    }
    let layers = units.iter().zip(&names).flat_map(|(unit, name)| {
        let part = |number: usize| (format!("{name}.conv{}", number + 1), unit[number]);
        [part(0), part(1)]
    });
    let mut found = BTreeMap::new();
    for (name, [weight, bias]) in [("backbone.model0.conv1".to_owned(), *first)].into_iter().chain(layers) {
        found.insert(format!("{name}.weight"), tensors.get(weight)?.clone());
        found.insert(format!("{name}.bias"), tensors.get(bias)?.clone());
    }
    Some(found)
}

/// The names of so many units; nothing when YuNet does not have as many.
fn names(units: usize) -> Option<Vec<String>> {
    // What the heads of a size share is as many units as are left; the narrow network shares nothing.
    let shared = units.checked_sub(1 + 2 * STAGES + LEVELS + LEVELS * HEADS.len())?;
    if !shared.is_multiple_of(LEVELS) || shared > 4 * LEVELS {
        return None;
    }
    let mut names = vec!["backbone.model0.conv2".to_owned()];
    names.extend((0..2 * STAGES).map(|i| format!("backbone.model{}.conv{}", 1 + i / 2, 1 + i % 2)));
    names.extend((0..LEVELS).rev().map(|level| format!("neck.lateral_convs.{level}")));
    let each = shared / LEVELS;
    names.extend((0..shared).map(|i| format!("bbox_head.multi_level_share_convs.{}.{}", i / each, i % each)));
    names.extend(
        HEADS
            .iter()
            .flat_map(|(head, _)| (0..LEVELS).map(move |level| format!("bbox_head.multi_level_{head}.{level}"))),
    );
    Some(names)
}
