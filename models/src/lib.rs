//! Upweave's networks, their weights and the CPU kernels under them.
//!
//! Nothing here knows a graph or a node. Pictures come in and go out as planar f32 RGB ([`Picture`]); both embedded networks
//! look at no statistics over space, so they run tile by tile and still give the same bits for every tile size and thread
//! count.

/// The models that are known and may be shared, as RON: `catalog.ron`.
pub const CATALOG: &str = include_str!("../catalog.ron");

mod backbone;
pub mod bench;
mod bicubic;
mod card;
pub mod detail;
pub mod detect;
mod embedded;
mod error;
pub mod faithful;
pub mod files;
pub mod gpu;
pub mod kernels;
mod layers;
mod limits;
pub mod noise;
mod picture;
mod planes;
pub mod stable_diffusion;
pub mod super_resolution;
#[cfg(test)]
mod testing;
mod tiles;
mod unused;
mod watch;

pub use backbone::Backbone;
pub use bicubic::bicubic;
pub use card::{Card, cards, digests, unpacked};
pub use detail::{Detail, Sampling, Style, residual_scale};
pub use detect::{Detector, Found, detector, detector_kind, detector_of, faces, faces_digest, hands};
pub use error::{Error, Result};
pub use faithful::Faithful;
pub use half::bf16;
pub use layers::{Compute, Precision};
pub use limits::{MOST_HEADER_BYTES, MOST_TENSORS, check_safetensors};
pub use picture::{DamageCondition, Factor, Picture};
pub use super_resolution::{SuperResolution, architectures};
pub use watch::{Part, Unwatched, Watch};
