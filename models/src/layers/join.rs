//! What maps go through between layers with weights.

use candle_core::Tensor;
use half::bf16;
use rayon::prelude::*;

use super::conv2d::Number;
use super::map::Values;
use super::{Map, Pool, Precision};
use crate::{Result, kernels};

impl Map {
    /// The channels of `self` and, behind them, those of another map of the same region.
    ///
    /// # Errors
    /// When there is no memory for the result, or a device fails.
    pub(crate) fn join(&self, other: &Self, pool: &mut Pool) -> Result<Self> {
        fn joined<E: Number>(a: &Map, b: &Map, mut out: Map) -> Map {
            let (start, row, width, height) = (out.at(0, 0), out.row(), out.region.width(), out.region.height());
            let lines = E::slice_mut(&mut out)[start..].par_chunks_mut(row).enumerate();
            lines.take(height).for_each(|(y, line)| {
                let of = |map: &Map| map.at(0, y)..map.at(width, y);
                let pixels =
                    E::slice(a)[of(a)].chunks_exact(a.channels).zip(E::slice(b)[of(b)].chunks_exact(b.channels));
                for (out, (a, b)) in line.chunks_exact_mut(a.channels + b.channels).zip(pixels) {
                    let (first, second) = out.split_at_mut(a.len());
                    first.copy_from_slice(a);
                    second.copy_from_slice(b);
                }
            });
            out
        }
        assert_eq!(self.region, other.region, "channels of other pixels");
        let channels = self.channels + other.channels;
        match &self.values {
            Values::F32(_) => Ok(joined::<f32>(self, other, pool.map(self.region, channels, Precision::F32)?)),
            Values::Bf16(_) => Ok(joined::<bf16>(self, other, pool.map(self.region, channels, Precision::Bf16)?)),
            Values::Tensor(tensor) => Self::on_device(self.region, Tensor::cat(&[tensor, other.tensor()], 1)?),
        }
    }

    /// The gate of a GEGLU (Shazeer 2020): the first half of the channels times the GELU of the second half, in the first
    /// half. What is left in the second half means nothing.
    ///
    /// # Errors
    /// When a device fails.
    pub(crate) fn gate(&mut self) -> Result<()> {
        fn gated<E: Number>(map: &mut Map) {
            let (start, row, channels) = (map.at(0, 0), map.row(), map.channels);
            let (width, height) = (map.region.width(), map.region.height());
            let lines = E::slice_mut(map)[start..].par_chunks_mut(row).take(height);
            lines.flat_map(|line| line.par_chunks_mut(channels).take(width).with_min_len(16)).for_each(|pixel| {
                let (values, gates) = pixel.split_at_mut(channels / 2);
                kernels::gate(values, gates);
            });
        }
        match &self.values {
            Values::F32(_) => gated::<f32>(self),
            Values::Bf16(_) => gated::<bf16>(self),
            Values::Tensor(tensor) => {
                let half = self.channels / 2;
                let gate = tensor.narrow(1, half, half)?.gelu_erf()?;
                let values = (tensor.narrow(1, 0, half)? * gate)?;
                self.values = Values::Tensor(values.pad_with_zeros(1, 0, half)?);
            }
        }
        Ok(())
    }
}
