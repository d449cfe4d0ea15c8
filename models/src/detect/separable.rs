//! The block of MobileNet (Howard et al. 2017).

use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Depthwise, Map, Pool, Then, Weights, Window};

/// Added to the variance in batch normalisations.
pub(super) const EPSILON: f32 = 1e-5;

/// What sets all negative values to zero.
pub(super) const RELU: Activation<'static> = Activation::LeakyRelu(0.0);

/// A depthwise 3x3 convolution and a 1x1 convolution, and what follows each of them.
pub(super) struct Separable {
    each: Depthwise,
    mixed: Conv2d,
    halving: bool,
    between: Activation<'static>,
    behind: Activation<'static>,
}

impl Separable {
    /// With batch normalisations: reads `{name}.0`, `.1`, `.3` and `.4`, as PyTorch numbers them.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(super) fn normalised(
        weights: &Weights<'_>,
        name: &str,
        inputs: usize,
        halving: bool,
        activation: Activation<'static>,
    ) -> Result<Self> {
        let norm = |number: usize| format!("{name}.{number}");
        let each = Depthwise::normalised(weights, &norm(0), Some((&norm(1), EPSILON)), inputs, 3)?;
        let outputs = weights.width(&format!("{name}.3.weight"))?;
        let behind = Some((norm(4), EPSILON));
        let behind = behind.as_ref().map(|(norm, epsilon)| (norm.as_str(), *epsilon));
        let mixed = Conv2d::normalised(weights, &norm(3), behind, inputs, outputs, Window::same(1))?;
        Ok(Self { each, mixed, halving, between: activation, behind: activation })
    }

    /// With biases instead, and a rectifier between them: reads `{name}.0` and `.2`.
    ///
    /// # Errors
    /// As [`Separable::normalised`].
    pub(super) fn plain(
        weights: &Weights<'_>,
        name: &str,
        inputs: usize,
        halving: bool,
        behind: Activation<'static>,
    ) -> Result<Self> {
        let each = Depthwise::load(weights, &format!("{name}.0"), inputs, 3)?;
        let mixed = Conv2d::found(weights, &format!("{name}.2"), inputs)?;
        Ok(Self { each, mixed, halving, between: RELU, behind })
    }

    /// Channels of the result.
    pub(super) fn channels(&self) -> usize {
        self.mixed.channels()
    }

    /// # Errors
    /// When there is no memory for the result.
    pub(super) fn run(&self, input: &Map, pool: &mut Pool) -> Result<Map> {
        let mut each = self.each.run(input, pool)?;
        if self.halving {
            let second = each.every_second(0, pool)?;
            pool.give(std::mem::replace(&mut each, second));
        }
        each.activate(self.between)?;
        let mixed = self.mixed.run(&each, Then::activation(self.behind), pool)?;
        pool.give(each);
        Ok(mixed)
    }
}

/// An ordinary convolution with a batch normalisation behind it, all sizes from the file.
///
/// # Errors
/// When a tensor is missing or misshaped.
pub(super) fn normalised(
    weights: &Weights<'_>,
    name: &str,
    norm: &str,
    inputs: usize,
    stride: usize,
) -> Result<Conv2d> {
    let weight = format!("{name}.weight");
    let (outputs, kernel) = (weights.width(&weight)?, weights.side(&weight, 2)?);
    let window = Window { stride, ..Window::same(kernel) };
    Conv2d::normalised(weights, name, Some((norm, EPSILON)), inputs, outputs, window)
}
