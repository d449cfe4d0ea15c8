//! Convolution and pixel shuffle in one.

use super::{Conv2d, Map, Pool, Then, Weights};
use crate::Result;
use crate::kernels::{After, Place, Residual};

/// A 1x1 or 3x3 convolution to 4 * channels and PyTorch's `pixel_shuffle(2)`, as four convolutions, one for each of the four
/// pixels that a pixel becomes, each of which writes to where its pixels belong.
pub(crate) struct Upsample {
    /// Row by row.
    corners: [Conv2d; 4],
    channels: usize,
}

impl Upsample {
    /// Reads `{name}.weight` (4 * channels_out, in, kernel, kernel) and `{name}.bias`.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn load(
        weights: &Weights<'_>,
        name: &str,
        channels_in: usize,
        channels_out: usize,
        kernel: usize,
    ) -> Result<Self> {
        let all = 4 * channels_out;
        let bias = weights.tensor(&format!("{name}.bias"), &[all])?;
        let weights = weights.tensor(&format!("{name}.weight"), &[all, channels_in, kernel, kernel])?;
        let filter = channels_in * kernel * kernel;
        let corners = std::array::from_fn(|corner| {
            let channels = || (0..channels_out).map(|channel| channel * 4 + corner);
            let weights: Vec<f32> = channels().flat_map(|c| &weights[c * filter..][..filter]).copied().collect();
            let bias: Vec<f32> = channels().map(|c| bias[c]).collect();
            Conv2d::new(&weights, &bias, channels_in, kernel)
        });
        Ok(Self { corners, channels: channels_out })
    }

    /// Floating-point operations per input pixel.
    pub(crate) fn flops(&self) -> f64 {
        self.corners.iter().map(Conv2d::flops).sum()
    }

    /// Enlarges, then adds `skip` if there is one. `spare` more channels per pixel are left for the caller to fill.
    ///
    /// # Errors
    /// When there is no memory for the result.
    pub(crate) fn run(&self, input: &Map, skip: Option<&Map>, spare: usize, pool: &mut Pool) -> Result<Map> {
        let [first, ..] = &self.corners;
        let region = first.known(input.region);
        let mut out = pool.map(region.doubled(), self.channels + spare)?;
        let then = skip.map_or(Then::Nothing, |base| Then::Add { base, gain: 1.0 }).at(out.region);
        for (corner, conv) in self.corners.iter().enumerate() {
            let (dx, dy) = (corner % 2, corner / 2);
            let place = |start: usize, row: usize, pixel: usize| Place {
                start: start + dy * row + dx * pixel,
                row: 2 * row,
                pixel: 2 * pixel,
                width: region.width(),
                height: region.height(),
            };
            let add = then.add.map(|add| Residual { place: place(add.place.start, add.place.row, add.place.pixel), ..add });
            let after = After { add, ..then };
            let to = place(out.at(0, 0), out.row(), out.channels);
            conv.run_into(input, &mut out.values, region, to, after);
        }
        Ok(out)
    }
}
