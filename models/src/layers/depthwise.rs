//! Convolution of each channel with a filter of its own.

use super::conv2d::Number;
use super::{Map, Pool, Weights, Window};
use crate::Result;
use crate::kernels;
use crate::layers::Precision;

/// A depthwise convolution with a stride of 1 and a padding that keeps the size. Computes in f32 on the processor.
pub(crate) struct Depthwise {
    kernel: usize,
    packed: kernels::Depthwise<f32>,
}

impl Depthwise {
    /// Reads `{name}.weight` (channels, 1, kernel, kernel) and, where there is one, `{name}.bias` (channels).
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn load(weights: &Weights<'_>, name: &str, channels: usize, kernel: usize) -> Result<Self> {
        Self::normalised(weights, name, None, channels, kernel)
    }

    /// The same with a batch normalisation behind it, if `norm` names one and its epsilon.
    ///
    /// # Errors
    /// As [`Depthwise::load`].
    pub(crate) fn normalised(
        weights: &Weights<'_>,
        name: &str,
        norm: Option<(&str, f32)>,
        channels: usize,
        kernel: usize,
    ) -> Result<Self> {
        let mut values = weights.tensor(&format!("{name}.weight"), &[channels, 1, kernel, kernel])?;
        let mut bias = weights.tensor_or_zeros(&format!("{name}.bias"), &[channels])?;
        if let Some((norm, epsilon)) = norm {
            weights.normalise(norm, epsilon, &mut values, &mut bias)?;
        }
        Ok(Self { kernel, packed: kernels::Depthwise::new(weights.compute().isa(), &values, &bias, kernel) })
    }

    /// Convolves all that can be known of a map in f32.
    ///
    /// # Errors
    /// When there is no memory for the result, or a device fails.
    pub(crate) fn run(&self, input: &Map, pool: &mut Pool) -> Result<Map> {
        let (region, before) = (input.region.convolved(Window::same(self.kernel)), self.kernel / 2);
        let padded = if input.margin < before { Some(input.cut(input.region, before, pool)?) } else { None };
        let from = padded.as_ref().unwrap_or(input);
        let mut out = pool.map(region, self.packed.channels(), Precision::F32)?;
        let start = from.at(region.left - from.region.left, region.top - from.region.top);
        let source = kernels::Source {
            data: f32::slice(from),
            start: start - before * (from.row() + from.channels),
            row: from.row(),
            pixel: from.channels,
            odd: region.odd(),
        };
        let place = out.place();
        self.packed.run(source, f32::slice_mut(&mut out), place);
        padded.into_iter().for_each(|map| pool.give(map));
        Ok(out)
    }
}
