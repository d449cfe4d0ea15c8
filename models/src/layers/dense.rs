//! Fully connected layer for the few values of a condition.

use super::Weights;
use crate::Result;

/// `weight * x + bias`.
pub(crate) struct Dense {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Dense {
    /// Reads `{name}.weight` (out, in) and `{name}.bias` (out).
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn load(weights: &Weights<'_>, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        let weight = weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = weights.tensor(&format!("{name}.bias"), &[outputs])?;
        Ok(Self { weight, bias })
    }

    /// The same without a bias: `{name}.weight` (out, in) alone.
    ///
    /// # Errors
    /// When the tensor is missing or misshaped.
    pub(crate) fn without_bias(weights: &Weights<'_>, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        let weight = weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok(Self { weight, bias: vec![0.0; outputs] })
    }

    /// The same out of the weights of a convolution of one pixel: `{name}.weight` (out, in, 1, 1).
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn of_pixels(weights: &Weights<'_>, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        Self::normalised(weights, name, None, inputs, outputs)
    }

    /// The same with a batch normalisation behind it, if `norm` names one and its epsilon.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn normalised(
        weights: &Weights<'_>,
        name: &str,
        norm: Option<(&str, f32)>,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self> {
        let mut weight = weights.tensor(&format!("{name}.weight"), &[outputs, inputs, 1, 1])?;
        let mut bias = weights.tensor_or_zeros(&format!("{name}.bias"), &[outputs])?;
        if let Some((norm, epsilon)) = norm {
            weights.normalise(norm, epsilon, &mut weight, &mut bias)?;
        }
        Ok(Self { weight, bias })
    }

    /// One sum per output, in the order of the inputs and without fused instructions: the same on every machine.
    pub(crate) fn run(&self, input: &[f32]) -> Vec<f32> {
        let rows = self.weight.chunks_exact(input.len().max(1));
        rows.zip(&self.bias).map(|(row, bias)| row.iter().zip(input).fold(*bias, |sum, (w, x)| sum + w * x)).collect()
    }
}
