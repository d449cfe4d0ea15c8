//! Attention between the pixels of maps.

use candle_core::{D, DType, Tensor};
use half::bf16;

use super::conv2d::Number;
use super::map::Values;
use super::{Map, Pool, Precision, Weights};
use crate::Result;
use crate::kernels::{self, Isa};

/// Scores of candle's that lie in memory at once: a GiB of them.
const MOST_SCORES: usize = 1 << 28;

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

    /// With candle's operations, and the scores of some queries at a time.
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
        let (k, queries, keys) = (k.t()?.contiguous()?, q.dim(2)?, k.dim(2)?);
        // Each query on its own: some at a time, so that their scores stay small.
        let some = (MOST_SCORES / (heads * keys).max(1)).clamp(1, queries.max(1));
        let part = |first: usize| -> Result<Tensor> {
            let count = some.min(queries - first);
            let mut scores = (q.narrow(2, first, count)?.contiguous()?.matmul(&k)? / (size as f64).sqrt())?;
            if causal {
                let hidden = |i: usize| if i % keys > first + i / keys { f32::NEG_INFINITY } else { 0.0 };
                let mask: Vec<f32> = (0..count * keys).map(hidden).collect();
                scores = scores.broadcast_add(&Tensor::from_vec(mask, (1, 1, count, keys), scores.device())?)?;
            }
            Ok(candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v)?)
        };
        let parts: Vec<Tensor> = (0..queries).step_by(some).map(part).collect::<Result<_>>()?;
        let out = Tensor::cat(&parts, 2)?;
        let out = out.transpose(2, 3)?.reshape((1, heads * size, region.height(), region.width()))?;
        Map::on_device(region, out.to_dtype(dtype)?)
    }
}
