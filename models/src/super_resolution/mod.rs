//! The upscalers that people bring along: networks that enlarge by a fixed factor, found from the names of their tensors.

pub(crate) mod rrdb;
pub(crate) mod srvgg;

pub(crate) use rrdb::Rrdb;
pub(crate) use srvgg::Srvgg;

use crate::layers::{Map, Pool, Precision, Region, Weights};
use crate::tiles::tile_by_tile;
use crate::{Compute, Error, Picture, Result, Watch, check_safetensors, planes};

/// A network that looks at no statistics over space: run on cells with a margin, it gives the same bits as on the whole
/// picture.
pub(crate) trait Network: Send + Sync {
    /// How much larger the result is.
    fn scale(&self) -> usize;

    /// How far an output pixel looks, in pixels of the input.
    fn radius(&self) -> usize;

    /// Floating-point operations per pixel of the input.
    fn flops(&self) -> f64;

    /// Bytes of the packed weights.
    fn bytes(&self) -> u64;

    /// The planes that the results of cells are added to.
    fn base(&self, picture: Picture<'_>) -> Result<Vec<f32>>;

    /// Adds the result of a cell to the planes, given the red, green and blue of the cell and a margin of the radius.
    fn run(&self, input: Map, cell: Region, out: &mut [f32], pool: &mut Pool) -> Result<()>;
}

/// An upscaler with its weights.
pub struct SuperResolution {
    net: Box<dyn Network>,
}

impl SuperResolution {
    /// Reads the bytes of a safetensors file: an `SRVGGNetCompact` or an `RRDBNet` as Real-ESRGAN publishes them, of any
    /// width, depth and factor.
    ///
    /// # Errors
    /// When the file is neither or beyond the limits, or a tensor is missing, misshaped or not finite.
    pub fn from_safetensors(file: &[u8], compute: Compute) -> Result<Self> {
        check_safetensors(file, "upscaler")?;
        let weights = Weights::read(file, "upscaler", "")?.on(compute);
        let has = |name| weights.shape(name).is_ok();
        let net: Box<dyn Network> = match (has("body.0.weight"), has("conv_first.weight")) {
            (true, _) => Box::new(Srvgg::load(&weights, srvgg::Shape::of(&weights)?)?),
            (_, true) => Box::new(Rrdb::load(&weights, rrdb::Shape::of(&weights)?)?),
            _ => {
                let message = "it is no SRVGGNetCompact, which has a tensor `body.0.weight`, and no RRDBNet, which has \
                               `conv_first.weight`";
                return Err(Error::Weights { file: "upscaler".into(), message: message.into() });
            }
        };
        Ok(Self { net })
    }

    /// How much larger the result is.
    pub fn scale(&self) -> u32 {
        // Found from the channels of a tensor, whose square it is a part of.
        self.net.scale() as u32
    }

    /// How far an output pixel looks, in pixels of the input.
    pub fn radius(&self) -> u32 {
        // A network deeper than u32 cannot be held in memory.
        u32::try_from(self.net.radius()).unwrap_or(u32::MAX)
    }

    /// Floating-point operations per pixel of the input as textbooks count them, the tiles' margins left out.
    pub fn flops_per_pixel(&self) -> f64 {
        self.net.flops()
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        self.net.bytes()
    }

    /// Enlarges a picture. Returns three planes of the enlarged size; values may leave 0..1 a little.
    ///
    /// The network runs on cells of `tile` x `tile` pixels of the picture with a margin of [`SuperResolution::radius`], one
    /// after the other, each on all threads. Every tile size gives the same bits.
    ///
    /// # Errors
    /// A picture that does not fit its size, a `tile` of 0, too little memory, or what `watch` stopped with; it is asked
    /// before each tile.
    pub fn run(&self, picture: Picture<'_>, tile: u32, watch: &mut dyn Watch) -> Result<Vec<f32>> {
        enlarge(&*self.net, picture, tile, watch)
    }
}

/// See [`SuperResolution::run`].
pub(crate) fn enlarge(net: &dyn Network, picture: Picture<'_>, tile: u32, watch: &mut dyn Watch) -> Result<Vec<f32>> {
    let mut pool = Pool::default();
    tile_by_tile(
        picture,
        tile,
        net.scale(),
        watch,
        || net.base(picture),
        |cell, out| {
            let mut input = pool.map(cell.grown(net.radius()), 3, Precision::F32)?;
            planes::fill(&mut input, picture.rgb, &[])?;
            net.run(input, cell, out, &mut pool)
        },
    )
}

#[cfg(test)]
mod tests;
