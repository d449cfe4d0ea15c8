//! Attention between the pixels of maps.

use candle_core::{D, DType, Tensor};
use half::bf16;

use super::conv2d::Number;
use super::map::Values;
use super::{Map, Pool, Precision, Weights};
use crate::Result;
use crate::kernels::{self, Isa};

/// Scaled dot-product attention (Vaswani et al. 2017): `softmax(q k^T / sqrt(size)) v` for each head.
pub(crate) struct Attention {
    heads: usize,
    /// Channels of a head.
    size: usize,
    /// Whether a pixel sees only itself and those in front of it.
    causal: bool,
    isa: Isa,
}

/// Queries, keys or values: the channels of a map from some channel on.
pub(crate) type Side<'a> = (&'a Map, usize);

impl Attention {
    /// Attention of `heads` heads that share `channels` channels, computed as `weights` are.
    pub(crate) fn new(weights: &Weights<'_>, channels: usize, heads: usize, causal: bool) -> Self {
        Self { heads, size: channels / heads, causal, isa: weights.compute().isa() }
    }

    /// Floating-point operations.
    pub(crate) fn flops(&self, queries: usize, keys: usize) -> f64 {
        4.0 * (self.heads * self.size) as f64 * queries as f64 * keys as f64
    }

    /// What the queries see; as many pixels as there are queries, without a border.
    ///
    /// # Errors
    /// When there is no memory for the result, or a device fails.
    pub(crate) fn run(&self, q: Side<'_>, k: Side<'_>, v: Side<'_>, pool: &mut Pool) -> Result<Map> {
        let (region, channels) = (q.0.region, self.heads * self.size);
        match &q.0.values {
            Values::F32(_) => self.seen::<f32>(q, k, v, pool.padded(region, channels, Precision::F32, 0)?),
            Values::Bf16(_) => self.seen::<bf16>(q, k, v, pool.padded(region, channels, Precision::Bf16, 0)?),
            Values::Tensor(_) => self.on_device(q, k, v),
        }
    }

    fn seen<E: Number>(&self, q: Side<'_>, k: Side<'_>, v: Side<'_>, mut out: Map) -> Result<Map> {
        let scale = 1.0 / (self.size as f32).sqrt();
        let [q, k, v] = [q, k, v].map(|(map, channel)| map.tokens::<E>(channel));
        let (place, out_values) = (out.place(), E::slice_mut(&mut out));
        kernels::attention(self.isa, q, k, v, self.heads, self.size, scale, self.causal, out_values, place);
        Ok(out)
    }

    /// With candle's operations, and the whole matrix of scores.
    fn on_device(&self, q: Side<'_>, k: Side<'_>, v: Side<'_>) -> Result<Map> {
        let Self { heads, size, causal, .. } = *self;
        let region = q.0.region;
        let dtype = q.0.tensor().dtype();
        // (1, heads, pixels, size)
        let side = |(map, channel): Side<'_>| -> Result<Tensor> {
            let part = map.tensor().narrow(1, channel, heads * size)?.to_dtype(DType::F32)?;
            Ok(part.reshape((1, heads, size, ()))?.transpose(2, 3)?.contiguous()?)
        };
        let (q, k, v) = (side(q)?, side(k)?, side(v)?);
        let scores = (q.matmul(&k.t()?.contiguous()?)? / (size as f64).sqrt())?;
        let scores = if causal {
            let (queries, keys) = (scores.dim(2)?, scores.dim(3)?);
            let hidden = |i: usize| if i % keys > i / keys { f32::NEG_INFINITY } else { 0.0 };
            let mask: Vec<f32> = (0..queries * keys).map(hidden).collect();
            scores.broadcast_add(&Tensor::from_vec(mask, (1, 1, queries, keys), scores.device())?)?
        } else {
            scores
        };
        let out = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v)?;
        let out = out.transpose(2, 3)?.reshape((1, heads * size, region.height(), region.width()))?;
        Map::on_device(region, out.to_dtype(dtype)?)
    }
}
