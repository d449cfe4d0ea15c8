//! Normalisation.

use candle_core::{DType, Tensor};
use half::bf16;

use super::conv2d::Number;
use super::map::Values;
use super::{Map, Pool, Precision, Region, Then, Weights};
use crate::kernels::{self, Activation, Isa, Moments, Tokens};
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

    /// What the groups of a part of a map are like. Those of the parts of a level, pooled, are those of the level.
    ///
    /// # Errors
    /// When a device fails.
    pub(crate) fn statistics(&self, input: &Map, part: Region) -> Result<Vec<Moments>> {
        let (channels, isa) = (self.affine.weight.len(), self.affine.isa);
        assert_eq!(input.channels, channels, "a normalisation of another width");
        match &input.values {
            Values::F32(_) => Ok(kernels::group_statistics(isa, tokens::<f32>(input, part), channels, self.groups)),
            Values::Bf16(_) => Ok(kernels::group_statistics(isa, tokens::<bf16>(input, part), channels, self.groups)),
            Values::Tensor(tensor) => {
                let x = on_device(tensor, input.region, part)?.reshape((self.groups, ()))?;
                let means = x.mean_keepdim(1)?;
                let variances = x.broadcast_sub(&means)?.sqr()?.mean(1)?.to_vec1::<f32>()?;
                let (count, means) = (x.dim(1)? as f64, means.flatten_all()?.to_vec1::<f32>()?);
                let of = |(mean, variance): (f32, f32)| Moments {
                    count,
                    mean: f64::from(mean),
                    variance: f64::from(variance),
                };
                Ok(means.into_iter().zip(variances).map(of).collect())
            }
        }
    }

    /// Normalises a part of a map by what the groups of the whole level are like, with an activation behind it.
    ///
    /// # Errors
    /// When there is no memory for the result, or a device fails.
    pub(crate) fn apply(
        &self,
        input: &Map,
        part: Region,
        moments: &[Moments],
        activation: Activation<'_>,
        pool: &mut Pool,
    ) -> Result<Map> {
        assert_eq!(moments.len(), self.groups, "moments of other groups");
        match &input.values {
            Values::F32(_) => {
                let out = pool.map(part, input.channels, Precision::F32)?;
                self.applied::<f32>(input, moments, activation, out)
            }
            Values::Bf16(_) => {
                let out = pool.map(part, input.channels, Precision::Bf16)?;
                self.applied::<bf16>(input, moments, activation, out)
            }
            Values::Tensor(tensor) => {
                let Affine { weight, bias, epsilon, .. } = &self.affine;
                let size = weight.len() / self.groups;
                let of = |c: usize| (moments[c / size].mean, moments[c / size].variance);
                let factor: Vec<f32> = (0..weight.len())
                    .map(|c| (f64::from(weight[c]) / (of(c).1 + f64::from(*epsilon)).sqrt()) as f32)
                    .collect();
                let means: Vec<f32> = (0..weight.len()).map(|c| of(c).0 as f32).collect();
                let x = on_device(tensor, input.region, part)?.broadcast_sub(&vector(&means, tensor)?)?;
                let x = x.broadcast_mul(&vector(&factor, tensor)?)?.broadcast_add(&vector(bias, tensor)?)?;
                Map::on_device(part, Then::activation(activation).on_device(x.to_dtype(tensor.dtype())?, part)?)
            }
        }
    }

    fn applied<E: Number>(
        &self,
        input: &Map,
        moments: &[Moments],
        activation: Activation<'_>,
        mut out: Map,
    ) -> Result<Map> {
        let (Affine { weight, bias, epsilon, isa }, place) = (&self.affine, out.place());
        let (from, to) = (tokens::<E>(input, out.region), E::slice_mut(&mut out));
        kernels::group_apply(*isa, from, moments, weight, bias, *epsilon, activation, to, place);
        Ok(out)
    }
}

/// The pixels of a part of a map.
fn tokens<E: Number>(map: &Map, part: Region) -> Tokens<'_, E> {
    assert!(map.region.contains(part), "a part of the map");
    let start = map.at(part.left - map.region.left, part.top - map.region.top);
    Tokens { start, width: part.width(), height: part.height(), ..map.tokens::<E>(0) }
}

/// A part of a map of `region` on a device, in f32.
fn on_device(tensor: &Tensor, region: Region, part: Region) -> Result<Tensor> {
    let columns = tensor.narrow(3, part.left - region.left, part.width())?;
    Ok(columns.narrow(2, part.top - region.top, part.height())?.to_dtype(DType::F32)?.contiguous()?)
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
