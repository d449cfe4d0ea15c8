//! Normalisation.

use candle_core::{DType, Tensor};
use half::bf16;

use super::conv2d::Number;
use super::map::Values;
use super::{Map, Pool, Precision, Then, Weights};
use crate::kernels::{self, Activation, Isa};
use crate::{Error, Result};

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
                let gain = vector(&self.gain, tensor)?;
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

/// Values per channel as a tensor that spreads over maps like `like`.
fn vector(values: &[f32], like: &Tensor) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, (1, values.len(), 1, 1), like.device())?)
}

/// Weight and bias of a normalisation, per channel.
struct Affine {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
    isa: Isa,
}

impl Affine {
    fn load(weights: &Weights<'_>, name: &str, channels: usize, epsilon: f32) -> Result<Self> {
        Ok(Self {
            weight: weights.tensor(&format!("{name}.weight"), &[channels])?,
            bias: weights.tensor(&format!("{name}.bias"), &[channels])?,
            epsilon,
            isa: weights.compute().isa(),
        })
    }

    /// With candle's operations: `x` in whatever shape its statistics are taken over the last dimension of, and back.
    fn on_device(&self, input: &Map, tensor: &Tensor, x: &Tensor, then: Then<'_>) -> Result<Map> {
        let x = x.broadcast_sub(&x.mean_keepdim(candle_core::D::Minus1)?)?;
        let root = (x.sqr()?.mean_keepdim(candle_core::D::Minus1)? + f64::from(self.epsilon))?.sqrt()?;
        let x = x.broadcast_div(&root)?;
        let x = if x.rank() == 4 { x.permute((0, 3, 1, 2))? } else { x.reshape(tensor.shape())? };
        let x = x.broadcast_mul(&vector(&self.weight, tensor)?)?.broadcast_add(&vector(&self.bias, tensor)?)?;
        Map::on_device(input.region, then.on_device(x.to_dtype(tensor.dtype())?, input.region)?)
    }
}

/// Group normalisation (Wu and He 2018): over the pixels of the map and the channels of each group.
pub(crate) struct GroupNorm {
    affine: Affine,
    groups: usize,
}

impl GroupNorm {
    /// Reads `{name}.weight` and `{name}.bias`, one per channel.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped, or the channels do not make groups of the same size.
    pub(crate) fn load(
        weights: &Weights<'_>,
        name: &str,
        channels: usize,
        groups: usize,
        epsilon: f32,
    ) -> Result<Self> {
        if groups == 0 || !channels.is_multiple_of(groups) {
            let hint = "the channels of every layer have to make so many groups";
            return Err(Error::Setting { name: "norm groups", value: groups.to_string(), hint });
        }
        Ok(Self { affine: Affine::load(weights, name, channels, epsilon)?, groups })
    }

    /// Normalises a map, with an activation behind it.
    ///
    /// # Errors
    /// When there is no memory for the result, or a device fails.
    pub(crate) fn run(&self, input: &Map, activation: Activation<'_>, pool: &mut Pool) -> Result<Map> {
        assert_eq!(input.channels, self.affine.weight.len(), "a normalisation of another width");
        match &input.values {
            Values::F32(_) => {
                self.normalised::<f32>(input, activation, pool.map(input.region, input.channels, Precision::F32)?)
            }
            Values::Bf16(_) => {
                self.normalised::<bf16>(input, activation, pool.map(input.region, input.channels, Precision::Bf16)?)
            }
            Values::Tensor(tensor) => {
                let x = tensor.to_dtype(DType::F32)?.reshape((1, self.groups, ()))?;
                self.affine.on_device(input, tensor, &x, Then::activation(activation))
            }
        }
    }

    fn normalised<E: Number>(&self, input: &Map, activation: Activation<'_>, mut out: Map) -> Result<Map> {
        let (Affine { weight, bias, epsilon, isa }, place) = (&self.affine, out.place());
        let (from, to) = (input.tokens::<E>(0), E::slice_mut(&mut out));
        kernels::group_norm(*isa, from, self.groups, weight, bias, *epsilon, activation, to, place);
        Ok(out)
    }
}

/// Layer normalisation (Ba, Kiros and Hinton 2016): over the channels of each pixel.
pub(crate) struct LayerNorm {
    affine: Affine,
}

impl LayerNorm {
    /// Reads `{name}.weight` and `{name}.bias`, one per channel.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(crate) fn load(weights: &Weights<'_>, name: &str, channels: usize, epsilon: f32) -> Result<Self> {
        Ok(Self { affine: Affine::load(weights, name, channels, epsilon)? })
    }

    /// Normalises a map. The result has no border.
    ///
    /// # Errors
    /// When there is no memory for the result, or a device fails.
    pub(crate) fn run(&self, input: &Map, pool: &mut Pool) -> Result<Map> {
        assert_eq!(input.channels, self.affine.weight.len(), "a normalisation of another width");
        match &input.values {
            Values::F32(_) => {
                self.normalised::<f32>(input, pool.padded(input.region, input.channels, Precision::F32, 0)?)
            }
            Values::Bf16(_) => {
                self.normalised::<bf16>(input, pool.padded(input.region, input.channels, Precision::Bf16, 0)?)
            }
            Values::Tensor(tensor) => {
                let x = tensor.to_dtype(DType::F32)?.permute((0, 2, 3, 1))?;
                self.affine.on_device(input, tensor, &x, Then::NOTHING)
            }
        }
    }

    fn normalised<E: Number>(&self, input: &Map, mut out: Map) -> Result<Map> {
        let (Affine { weight, bias, epsilon, isa }, place) = (&self.affine, out.place());
        kernels::layer_norm(*isa, input.tokens::<E>(0), weight, bias, *epsilon, E::slice_mut(&mut out), place);
        Ok(out)
    }
}
