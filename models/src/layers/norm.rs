//! Normalisation.

use super::{Map, Pool, Weights};
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
    /// When there is no memory for the result.
    pub(crate) fn run(&self, input: &Map, pool: &mut Pool) -> Result<Map> {
        assert_eq!(input.channels, self.gain.len(), "a normalisation of another width");
        let mut out = pool.map(input.region, input.channels)?;
        let (start, row) = (input.at(0, 0), input.row());
        let (width, height) = (input.region.width(), input.region.height());
        kernels::rms_norm(&input.values, &mut out.values, &self.gain, start, row, width, height);
        Ok(out)
    }
}
