//! Stable Diffusion's autoencoder: from pictures to latents and back.
//!
//! Pictures of any size go through in tiles, so that memory holds two maps of the widest layer and little else. Between two
//! group normalisations a tile sees no further than one 3x3 convolution, so tiles advance together from one normalisation to
//! the next, each with a halo of a pixel, and what the groups are like is asked of all tiles at once ("Tiled VAE", pkuliyi2015: the
//! idea; independent tiles would each be brought to a mean and a contrast of their own). So a result is that of an untiled
//! run: no pixel depends on where tiles are cut, but for the last bits of sums over them.
//!
//! The attention in the middle looks at all pixels of the latent as long as they are at most [`MOST_PIXELS`]. Beyond, each
//! pixel looks at its surroundings: that is no longer what an untiled run would give.

mod decoder;
mod encoder;
mod source;

pub use decoder::VaeDecoder;
pub use encoder::{Posterior, VaeEncoder};
pub(super) use source::Source;

use super::encoder::Shape;
use super::resnet::{Norms, Resnet};
use super::transformer::PixelAttention;
use crate::layers::{Map, Pool, Weights};
use crate::{Error, Result};

/// The sizes of an autoencoder. A level is one resolution, the finest first.
#[derive(Clone, Debug, PartialEq)]
pub struct VaeConfig {
    /// Channels of pictures.
    pub channels: usize,
    /// Channels of latents.
    pub latent: usize,
    /// Channels of each level.
    pub widths: Vec<usize>,
    /// Residual blocks of a level of the encoder; the decoder has one more.
    pub blocks: usize,
    /// Groups of the normalisations.
    pub groups: usize,
    /// What latents are multiplied by on their way to the U-Net, and divided by on their way back.
    pub scaling: f32,
}

impl Default for VaeConfig {
    /// Stable Diffusion 1 and 2.
    fn default() -> Self {
        Self { channels: 3, latent: 4, widths: vec![128, 256, 512, 512], blocks: 2, groups: 32, scaling: 0.18215 }
    }
}

impl VaeConfig {
    /// SDXL. Its maps leave the range of f16; f32 and bf16 hold them.
    pub fn sdxl() -> Self {
        Self { scaling: 0.13025, ..Self::default() }
    }

    /// Pixels of the picture per pixel of the latent, on each axis.
    pub fn stride(&self) -> usize {
        1 << self.widths.len().saturating_sub(1).min(16)
    }

    fn norms(&self) -> Norms {
        Norms { groups: self.groups, epsilon: 1e-6 }
    }

    /// Channels of the finest and the coarsest level.
    fn ends(&self) -> Result<(usize, usize)> {
        match (&self.widths[..], &self.widths[..]) {
            (&[first, ..], &[.., last]) => Ok((first, last)),
            _ => Err(Error::Setting { name: "widths", value: "none".into(), hint: "there is at least one level" }),
        }
    }
}

/// Edge of a tile in pixels of each level: small beside large pictures, large beside its halo.
const TILE: usize = 256;

/// Pixels of the latent that all look at each other in the middle. At this number, that of a picture of 4096x4096, the attention takes
/// about as many operations as all convolutions of the decoder together; as it grows with the square, it would be nearly all of
/// the work soon after.
pub(super) const MOST_PIXELS: usize = 1 << 18;

/// How a run is cut up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Edge of a tile.
    pub(super) tile: usize,
    /// Pixels of the latent that look at each other.
    pub(super) most: usize,
}

impl Default for Cut {
    fn default() -> Self {
        Self { tile: TILE, most: MOST_PIXELS }
    }
}

impl Cut {
    /// Values of a tile with its halo.
    fn values(self, shape: Shape) -> u64 {
        let edge = |side: usize| side.min(self.tile.saturating_add(4));
        Shape { size: (edge(shape.size.0), edge(shape.size.1)), ..shape }.values()
    }
}

/// The middle of both halves.
struct Middle(Resnet, PixelAttention, Resnet);

impl Middle {
    fn load(weights: &Weights<'_>, name: &str, channels: usize, norms: Norms) -> Result<Self> {
        let resnet =
            |i: usize| Resnet::load(weights, &format!("{name}.resnets.{i}"), (channels, channels), norms, None);
        let attention = PixelAttention::load(weights, &format!("{name}.attentions.0"), channels, norms)?;
        Ok(Self(resnet(0)?, attention, resnet(1)?))
    }

    fn flops(&self, pixels: usize) -> f64 {
        (self.0.flops() + self.2.flops()) * pixels as f64 + self.1.flops(pixels)
    }

    fn bytes(&self) -> u64 {
        self.0.bytes() + self.1.bytes() + self.2.bytes()
    }

    /// The most values that lie in memory at once, the input with them: those of the attention.
    fn room(&self, shape: Shape) -> u64 {
        shape.values() + self.1.room(shape)
    }

    fn run(&self, x: Map, cut: Cut, pool: &mut Pool) -> Result<Map> {
        let Self(first, attention, second) = self;
        let x = first.run_in_tiles(Source::Map(x), cut.tile, pool)?;
        let x = attention.run(x, cut.most, pool)?;
        second.run_in_tiles(Source::Map(x), cut.tile, pool)
    }
}

/// The residual blocks of a level: the first one changes the number of channels.
struct Level(Vec<Resnet>);

impl Level {
    fn load(weights: &Weights<'_>, name: &str, count: usize, ends: (usize, usize), norms: Norms) -> Result<Self> {
        let block = |i: usize| {
            let from = if i == 0 { ends.0 } else { ends.1 };
            Resnet::load(weights, &format!("{name}.resnets.{i}"), (from, ends.1), norms, None)
        };
        (0..count).map(block).collect::<Result<_>>().map(Self)
    }

    fn flops(&self) -> f64 {
        self.0.iter().map(Resnet::flops).sum()
    }

    fn bytes(&self) -> u64 {
        self.0.iter().map(Resnet::bytes).sum()
    }

    /// Channels of the result, unless there are no blocks.
    fn channels(&self) -> Option<usize> {
        self.0.last().map(Resnet::channels)
    }

    /// The most values that lie in memory at once, given those of the source, which stands for a map of this shape. In the first
    /// half of a block: the source, what the first convolution gives, where the source is of another width what it becomes, and a
    /// normalised tile; in the second half two maps of the result's width, and a tile before and behind the convolution.
    fn room(&self, source: u64, mut shape: Shape, cut: Cut) -> u64 {
        let (mut kept, mut most) = (source, 0);
        for block in &self.0 {
            let tile = cut.values(shape);
            let maps = if block.changes() { 2 } else { 1 };
            shape.channels = block.channels();
            most = most.max(kept + maps * shape.values() + tile);
            most = most.max(2 * (shape.values() + cut.values(shape)));
            kept = shape.values();
        }
        most
    }

    fn run(&self, mut x: Source<'_>, cut: Cut, pool: &mut Pool) -> Result<Map> {
        for block in &self.0 {
            x = Source::Map(block.run_in_tiles(x, cut.tile, pool)?);
        }
        x.whole(pool)
    }
}
