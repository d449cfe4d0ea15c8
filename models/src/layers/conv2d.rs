//! Convolution.

use super::{Map, Pool, Region, Weights};
use crate::Result;
use crate::kernels::{Activation, After, Conv, Film, Isa, Place, Residual, Source};

/// A convolution with bias: 1x1, 3x3 with a zero padding of 1, or 2x2 with a stride of 2 and no padding.
pub(crate) struct Conv2d {
    conv: Conv<f32>,
    kernel: usize,
    channels_in: usize,
}

/// What follows a convolution, done while its sums are still in registers.
#[derive(Clone, Copy)]
pub(crate) enum Then<'a> {
    /// Nothing.
    Nothing,
    /// SiLU.
    Silu,
    /// `silu(y * scale + shift)`, channel by channel.
    FilmSilu { scale: &'a [f32], shift: &'a [f32] },
    /// `base + gain * y`; the base may know more than the result.
    Add { base: &'a Map, gain: f32 },
}

impl<'a> Then<'a> {
    /// The kernel's form of it, for an output whose first pixel is the first pixel of `region`.
    pub(super) fn at(self, region: Region) -> After<'a, f32> {
        match self {
            Self::Nothing => After::only(Activation::Identity),
            Self::Silu => After::only(Activation::Silu),
            Self::FilmSilu { scale, shift } => {
                After { film: Some(Film { scale, shift }), ..After::only(Activation::Silu) }
            }
            Self::Add { base, gain } => {
                // The kernel checks that the base holds the place; a base that knows too little would be our mistake.
                let from = base.region;
                assert!(from.contains(region) && from.of == region.of, "a residual must know the whole result");
                let start = base.at(region.left - from.left, region.top - from.top);
                let place = Place { start, row: base.row(), pixel: base.channels, width: 0, height: 0 };
                let add = Some(Residual { base: &base.values[..], place, gain });
                After { add, ..After::only(Activation::Identity) }
            }
        }
    }
}

impl Conv2d {
    /// Reads `{name}.weight` (out, in, kernel, kernel) and `{name}.bias` (out).
    ///
    /// # Errors
    /// When a tensor is missing or does not have `channels_in` and `channels_out`.
    pub(crate) fn load(
        weights: &Weights<'_>,
        name: &str,
        channels_in: usize,
        channels_out: usize,
        kernel: usize,
    ) -> Result<Self> {
        let bias = weights.tensor(&format!("{name}.bias"), &[channels_out])?;
        let weights = weights.tensor(&format!("{name}.weight"), &[channels_out, channels_in, kernel, kernel])?;
        Ok(Self::new(&weights, &bias, channels_in, kernel))
    }

    /// From values that have the shape.
    pub(super) fn new(weights: &[f32], bias: &[f32], channels_in: usize, kernel: usize) -> Self {
        let stride = if kernel == 2 { 2 } else { 1 };
        let conv = Conv::new(Isa::detect(), weights, bias, channels_in, kernel, stride);
        Self { conv, kernel, channels_in }
    }

    /// Floating-point operations per output pixel.
    pub(crate) fn flops(&self) -> f64 {
        self.conv.flops() as f64
    }

    /// What can be known of the output.
    pub(super) fn known(&self, input: Region) -> Region {
        match self.kernel {
            1 => input,
            2 => input.halved(),
            _ => input.shrunk(),
        }
    }

    /// Convolves all that can be known.
    ///
    /// # Errors
    /// When there is no memory for the result.
    pub(crate) fn run(&self, input: &Map, then: Then<'_>, pool: &mut Pool) -> Result<Map> {
        let region = self.known(input.region);
        let mut out = pool.map(region, self.conv.channels_out())?;
        let place = Place {
            start: out.at(0, 0),
            row: out.row(),
            pixel: out.channels,
            width: region.width(),
            height: region.height(),
        };
        self.run_into(input, &mut out.values, region, place, then.at(region));
        Ok(out)
    }

    /// Convolves the pixels of `region` (on the output's level, within what is known) into `place`.
    pub(super) fn run_into(&self, input: &Map, out: &mut [f32], region: Region, place: Place, after: After<'_, f32>) {
        let stride = if self.kernel == 2 { 2 } else { 1 };
        let (x, y) = (region.left * stride - input.region.left, region.top * stride - input.region.top);
        // A 3x3 patch starts one pixel up and left.
        let back = if self.kernel == 3 { input.row() + input.channels } else { 0 };
        assert_eq!(input.channels, self.channels_in, "a convolution of another width");
        let source =
            Source { data: &input.values, start: input.at(x, y) - back, row: input.row(), pixel: input.channels };
        self.conv.run(source, out, place, after);
    }
}
