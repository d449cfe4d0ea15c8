//! Normalisation.

use candle_core::{DType, Tensor};
use half::bf16;

use super::conv2d::Number;
use super::map::Values;
use super::{Map, Pool, Precision, Weights};
use crate::{Result, kernels};

/// `x / sqrt(mean over channels of x^2 + 1e-6) * gain`, each pixel on its own.
pub(crate) struct RmsNorm {
    gain: Vec<f32>,
}

impl RmsNorm {
    /// Reads the gain (channels) from the tensor `name`.
    ///
    /// # Errors
    /// When the tensor is missing or misshaped.
    pub(crate) fn load(weights: &Weights<'_>, name: &str, channels: usize) -> Result<Self> {
        Ok(Self { gain: weights.tensor(name, &[channels])? })
    }

    /// Normalises a map.
    ///
    /// # Errors
    /// When there is no memory for the result, or a device fails.
    pub(crate) fn run(&self, input: &Map, pool: &mut Pool) -> Result<Map> {
        assert_eq!(input.channels, self.gain.len(), "a normalisation of another width");
        match &input.values {
            Values::F32(_) => self.normalised::<f32>(input, pool.map(input.region, input.channels, Precision::F32)?),
            Values::Bf16(_) => self.normalised::<bf16>(input, pool.map(input.region, input.channels, Precision::Bf16)?),
            Values::Tensor(tensor) => {
                let x = tensor.to_dtype(DType::F32)?;
                let gain = Tensor::from_slice(&self.gain, (1, self.gain.len(), 1, 1), tensor.device())?;
                let root = (x.sqr()?.mean_keepdim(1)? + 1e-6)?.sqrt()?;
                let x = x.broadcast_div(&root)?.broadcast_mul(&gain)?;
                Map::on_device(input.region, x.to_dtype(tensor.dtype())?)
            }
        }
    }

    fn normalised<E: Number>(&self, input: &Map, mut out: Map) -> Result<Map> {
        let (start, row) = (input.at(0, 0), input.row());
        let (width, height) = (input.region.width(), input.region.height());
        kernels::rms_norm(E::slice(input), E::slice_mut(&mut out), &self.gain, start, row, width, height);
        Ok(out)
    }
}
