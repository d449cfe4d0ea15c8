//! What all upscalers have in common.

use crate::Result;
use crate::layers::{Conv2d, Map, Pool, Region};
use crate::picture::zeros;

/// Mean of red, green and blue over the photographs of DIV2K, that many networks move pictures by.
pub(super) const MEAN: [f32; 3] = [0.4488, 0.4371, 0.4040];

/// The mean of a channel; grey pictures are not moved.
pub(super) fn mean(colours: usize, c: usize) -> f32 {
    if colours == 3 { MEAN[c] } else { 0.0 }
}

/// What becomes of a map that an upscaler hands over.
pub(crate) type Take<'a> = dyn FnMut(Map, &mut Pool) -> Result<()> + 'a;

/// An upscaler. Most look at no statistics over space: run on cells with a margin of their [`Network::radius`], they give the same
/// bits as on the whole picture. Others have no radius; they run on overlapping cells, which are blended.
pub(crate) trait Network: Send + Sync {
    /// How much larger the result is than what comes in.
    fn scale(&self) -> usize;

    /// Edge of the squares of pixels whose channels come in as the channels of one.
    fn unshuffle(&self) -> usize {
        1
    }

    /// Colours that it takes and gives: 3, or 1 of a network for grey pictures, which runs on each colour alone.
    fn colours(&self) -> usize {
        3
    }

    /// How far an output pixel looks, in pixels of what comes in; nothing when it may look at all of it.
    fn radius(&self) -> Option<usize>;

    /// The convolutions and linear layers that work at the size of what comes in; most have no others that count.
    fn layers(&self) -> Vec<&Conv2d>;

    /// Floating-point operations per pixel of what comes in.
    fn flops(&self) -> f64 {
        self.layers().iter().map(|layer| layer.flops()).sum()
    }

    /// Bytes of the maps that live at once, for each pixel of what comes in.
    fn alive(&self) -> u64 {
        0
    }

    /// Whether it computes in bands, so that memory does not grow with the height of what comes in.
    fn in_bands(&self) -> bool {
        false
    }

    /// Bytes of the maps that live at once when so wide and high a map comes in.
    fn bytes_at_work(&self, width: usize, height: usize) -> u64 {
        (width as u64).saturating_mul(height as u64).saturating_mul(self.alive())
    }

    /// Bytes of the packed weights.
    fn bytes(&self) -> u64 {
        self.layers().iter().map(|layer| layer.bytes()).sum()
    }

    /// The planes that the results of cells are added to, given those that come in, rows of `width` values.
    ///
    /// # Errors
    /// When there is no memory for them.
    fn base(&self, planes: &[f32], _width: usize) -> Result<Vec<f32>> {
        let colours = planes.len() / self.unshuffle().pow(2);
        zeros(colours.saturating_mul(self.scale().pow(2)), "the enlarged picture")
    }

    /// Hands over the result of a cell that comes in with its margin: maps that together hold the cell, no pixel of it twice, of the enlarged level, or of a
    /// smaller one with a channel for each pixel of a square, as PyTorch's `pixel_shuffle` takes them.
    ///
    /// # Errors
    /// When there is no memory for it, or a device fails; what `take` failed with.
    fn enlarged(&self, input: Map, cell: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()>;
}
