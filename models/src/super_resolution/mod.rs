//! The upscalers and restorers that people bring along: networks that enlarge by a fixed factor or not at all, found from the
//! names and shapes of their tensors.
//!
//! One file for each network. It says by which tensors its files are told (`identify::Architecture`), finds its sizes in
//! their shapes, and computes (`Network`). What all have in common, tiles above all, is in `enlarge`.

mod attention;
mod craft;
mod dat;
mod denoisers;
mod dncnn;
mod enlarge;
mod espcn;
mod fsrcnn;
mod hat;
mod identify;
mod imdn;
mod network;
mod omnisr;
mod plksr;
mod rlfn;
pub(crate) mod rrdb;
mod safmn;
mod span;
pub(crate) mod srvgg;
mod swinir;
mod upconv7;
mod upsampler;

pub use identify::architectures;

pub(crate) use enlarge::enlarge;
pub(crate) use identify::Architecture;
pub(crate) use network::{Network, Take};
pub(crate) use rrdb::Rrdb;
pub(crate) use srvgg::Srvgg;

use crate::files::Tensors;
use crate::layers::Weights;
use crate::{Compute, Error, Picture, Result, Watch};

/// An upscaler with its weights.
pub struct SuperResolution {
    net: Box<dyn Network>,
    architecture: &'static str,
}

impl SuperResolution {
    /// Pixels by which the tiles of networks without a radius overlap their neighbours, on each side.
    pub const OVERLAP: u32 = enlarge::OVERLAP as u32;
    /// The smallest tiles of networks without a radius.
    pub const LEAST_TILE: u32 = enlarge::LEAST as u32;

    /// Reads the bytes of a safetensors file.
    ///
    /// # Errors
    /// As [`SuperResolution::of`].
    pub fn from_safetensors(file: &[u8], compute: Compute) -> Result<Self> {
        Self::of("upscaler", Tensors::read("upscaler", file, None)?, compute)
    }

    /// Finds the network that tensors are for: one of [`architectures`], of any width, depth and factor. `name` is what errors
    /// call the file.
    ///
    /// # Errors
    /// When they are for no network that is known, or a tensor is missing, misshaped or not finite.
    pub fn of(name: &str, tensors: Tensors<'_>, compute: Compute) -> Result<Self> {
        let (architecture, tensors) = identify::identify(name, tensors)?;
        let weights = Weights::of(name, tensors).on(compute);
        let net = match (architecture.load)(&weights) {
            // A layer of an odd number of channels: what has such layers computes in f32 whatever was asked for.
            Err(Error::Setting { name: "precision", .. }) => (architecture.load)(&weights.precise())?,
            net => net?,
        };
        let (scale, squares) = (net.scale(), net.unshuffle());
        if scale == 0 || scale > MOST_SCALE || squares == 0 || !scale.is_multiple_of(squares) {
            let message =
                format!("it would enlarge by {scale}/{squares}, but whole factors up to {MOST_SCALE} are known");
            return Err(Error::Weights { file: name.into(), message });
        }
        crate::card::unpacks(architecture.name);
        Ok(Self { net, architecture: architecture.name })
    }

    /// The name of the kind of network that tensors are for, as far as their names and shapes tell; no network is made of them.
    ///
    /// # Errors
    /// When they are for none that is known.
    pub fn architecture_of(name: &str, tensors: Tensors<'_>) -> Result<&'static str> {
        identify::identify(name, tensors).map(|(architecture, _)| architecture.name)
    }

    /// The name of the kind of network.
    pub fn architecture(&self) -> &'static str {
        self.architecture
    }

    /// How much larger the result is: 1 for networks that only restore.
    pub fn scale(&self) -> u32 {
        // At most `MOST_SCALE`.
        (self.net.scale() / self.net.unshuffle()) as u32
    }

    /// How far an output pixel looks, in pixels of the input; nothing when it may look at all of the picture. Networks without a
    /// radius run on overlapping tiles, whose size then changes the picture a little.
    pub fn radius(&self) -> Option<u32> {
        let radius = self.net.radius()?.saturating_mul(self.net.unshuffle());
        // Pixels of a square are computed together, so parts that do not begin with one differ.
        (self.net.unshuffle() == 1).then(|| u32::try_from(radius).unwrap_or(u32::MAX))
    }

    /// Floating-point operations per pixel of the input as textbooks count them, the tiles' margins left out.
    pub fn flops_per_pixel(&self) -> f64 {
        self.net.flops() / self.net.unshuffle().pow(2) as f64
    }

    /// Bytes of the maps that live at once when a tile comes in that is so wide and high, its margin included.
    pub fn bytes_at_work(&self, width: u32, height: u32) -> u64 {
        let side = |length: u32| (length as usize).div_ceil(self.net.unshuffle());
        self.net.bytes_at_work(side(width), side(height))
    }

    /// Whether tiles are computed in bands, so that memory does not grow with their height.
    pub fn in_bands(&self) -> bool {
        self.net.in_bands()
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        self.net.bytes()
    }

    /// Enlarges a picture. Returns three planes of the enlarged size; values may leave 0..1 a little.
    ///
    /// The network runs on cells of `tile` x `tile` pixels of the picture, one after the other, each on all threads. With a margin of
    /// [`SuperResolution::radius`] every tile size gives the same bits; networks that have none fade from cell to cell.
    ///
    /// # Errors
    /// A picture that does not fit its size, a `tile` of 0, too little memory, or what `watch` stopped with; it is
    /// asked before each tile.
    pub fn run(&self, picture: Picture<'_>, tile: u32, watch: &mut dyn Watch) -> Result<Vec<f32>> {
        enlarge(&*self.net, picture, tile, watch)
    }
}

/// Greatest factor of a network.
const MOST_SCALE: usize = 16;

#[cfg(test)]
mod tests;
