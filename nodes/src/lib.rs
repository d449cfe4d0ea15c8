//! The nodes: one file each. A node's doc comment is its reference page; [`NODES`] is the registry.
//!
//! Nodes are pure: only `Load`, `MaskLoad`, `Save` and the reading and writing of files that they share touch the disk.

mod backend;
pub mod files;
pub mod limits;
pub mod measure;
mod pixel;
mod search;
#[cfg(test)]
mod testing;

mod annotate;
mod blend;
mod brought;
mod choice;
mod color_correct;
mod compare;
mod crop;
/// Measuring of damage and the decision to restore, as plain functions beside the node.
pub mod degrade_detect;
mod diffuse;
mod face_detect;
mod guide;
mod hand_detect;
mod load;
mod mask_combine;
mod mask_feather;
mod mask_invert;
mod mask_load;
mod mask_regions;
mod named;
mod number;
mod pad;
mod redraw;
mod resize;
mod restore;
mod save;
mod sharpen;
mod text;
mod tile;
mod upscale;
mod walk;

pub use backend::{Precision, known_model, model_scale};
pub use diffuse::Style;
pub use named::Named;

use engine::{Kind, NodeKind};

/// Every kind of node, in the order of the alphabet.
pub const NODES: &[&dyn NodeKind] = &[
    &Kind::<annotate::Annotate>::NEW,
    &Kind::<blend::Blend>::NEW,
    &Kind::<choice::Choice>::NEW,
    &Kind::<color_correct::ColorCorrect>::NEW,
    &Kind::<compare::Compare>::NEW,
    &Kind::<crop::Crop>::NEW,
    &Kind::<degrade_detect::DegradeDetect>::NEW,
    &Kind::<diffuse::Diffuse>::NEW,
    &Kind::<face_detect::FaceDetect>::NEW,
    &Kind::<guide::Guide>::NEW,
    &Kind::<hand_detect::HandDetect>::NEW,
    &Kind::<load::Load>::NEW,
    &Kind::<mask_combine::MaskCombine>::NEW,
    &Kind::<mask_feather::MaskFeather>::NEW,
    &Kind::<mask_invert::MaskInvert>::NEW,
    &Kind::<mask_load::MaskLoad>::NEW,
    &Kind::<mask_regions::MaskRegions>::NEW,
    &Kind::<number::Number>::NEW,
    &Kind::<pad::Pad>::NEW,
    &Kind::<redraw::Redraw>::NEW,
    &Kind::<engine::Repeat>::NEW,
    &Kind::<resize::Resize>::NEW,
    &Kind::<restore::Restore>::NEW,
    &Kind::<save::Save>::NEW,
    &Kind::<sharpen::Sharpen>::NEW,
    &Kind::<engine::Subgraph>::NEW,
    &Kind::<text::Text>::NEW,
    &Kind::<tile::Tile>::NEW,
    &Kind::<upscale::Upscale>::NEW,
];

#[cfg(test)]
mod registry {
    use super::*;
    use engine::ParameterKind;

    #[test]
    fn names_are_unique_and_in_order() {
        let names: Vec<&str> = NODES.iter().map(|kind| kind.name()).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    }

    #[test]
    fn everything_is_documented() {
        for kind in NODES {
            let name = kind.name();
            assert!(kind.about().ends_with('.'), "{name} is not documented");
            assert!(kind.version() >= 1, "{name}");
            if kind.ports().len() > 1 {
                kind.ports().iter().for_each(|port| assert!(!port.about.trim().is_empty(), "{name}.{}", port.name));
            }
            for field in kind.parameters() {
                assert!(field.about.ends_with('.'), "`{name}.{}` is not documented", field.name);
                if let ParameterKind::Choice(choices) = &field.kind {
                    choices.iter().for_each(|(choice, about)| {
                        assert!(!about.is_empty(), "`{name}.{}: {choice}` is not documented", field.name);
                    });
                }
            }
        }
    }

    #[test]
    fn defaults_parse_and_lie_within_their_ranges() {
        for kind in NODES {
            let name = kind.name();
            let fields = kind.parse("()").unwrap_or_else(|error| panic!("{name}: {error}")).fields();
            for field in kind.parameters() {
                let Some(value) = fields[&field.name].as_f64() else { continue };
                let least = field.minimum.unwrap_or(f64::NEG_INFINITY);
                let most = field.maximum.unwrap_or(f64::INFINITY);
                assert!((least..=most).contains(&value), "`{name}.{}`: {value}", field.name);
            }
            assert!(kind.parse("(no_such_field: 1)").is_err(), "{name} takes unknown fields");
        }
    }

    #[test]
    fn forecasts_of_nothing_do_not_panic() {
        for kind in NODES {
            let node = kind.parse("()").unwrap_or_else(|error| panic!("{error}"));
            let forecast = node.forecast(&engine::Shapes::default());
            assert_eq!(forecast.outputs.len(), kind.ports().len(), "{}", kind.name());
        }
    }
}
