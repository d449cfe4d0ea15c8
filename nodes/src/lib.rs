//! The nodes: one file each. A node's doc comment is its reference page; [`NODES`] is the registry.
//!
//! Nodes are pure: only `Load`, `MaskLoad`, `Save` and the reading and writing of files that they share touch the disk.

mod backend;
pub mod files;
pub mod limits;
pub mod measure;
mod pixel;
#[cfg(test)]
mod testing;

mod blend;
/// Measuring of damage and the decision to restore, as plain functions beside the node.
pub mod degrade_detect;
mod diffuse;
mod face_detect;
mod guide;
mod hand_detect;
mod load;
mod resize;
mod restore;
mod save;
mod tile;
mod upscale;

pub use diffuse::Style;

use engine::{Kind, NodeKind};

/// Every kind of node, in the order of the alphabet.
pub const NODES: &[&dyn NodeKind] = &[
    &Kind::<blend::Blend>::NEW,
    &Kind::<degrade_detect::DegradeDetect>::NEW,
    &Kind::<diffuse::Diffuse>::NEW,
    &Kind::<face_detect::FaceDetect>::NEW,
    &Kind::<guide::Guide>::NEW,
    &Kind::<hand_detect::HandDetect>::NEW,
    &Kind::<load::Load>::NEW,
    &Kind::<resize::Resize>::NEW,
    &Kind::<restore::Restore>::NEW,
    &Kind::<save::Save>::NEW,
    &Kind::<tile::Tile>::NEW,
    &Kind::<upscale::Upscale>::NEW,
];
