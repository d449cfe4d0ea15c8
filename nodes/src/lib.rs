//! The nodes: one file each. A node's doc comment is its reference page; [`NODES`] is the registry.
//!
//! Nodes are pure: only `Load`, `MaskLoad`, `Save` and the reading and writing of files that they share touch the disk.

pub mod files;
pub mod limits;
mod pixel;
#[cfg(test)]
mod testing;

mod blend;
mod load;
mod resize;
mod save;
mod tile;

use engine::{Kind, NodeKind};

/// Every kind of node, in the order of the alphabet.
pub const NODES: &[&dyn NodeKind] = &[
    &Kind::<blend::Blend>::NEW,
    &Kind::<load::Load>::NEW,
    &Kind::<resize::Resize>::NEW,
    &Kind::<save::Save>::NEW,
    &Kind::<tile::Tile>::NEW,
];
