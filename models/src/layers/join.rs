//! Maps side by side.

use candle_core::Tensor;
use half::bf16;
use rayon::prelude::*;

use super::conv2d::Number;
use super::map::Values;
use super::{Map, Pool, Precision};
use crate::Result;

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
}
