//! UpConv7 of waifu2x (nagadomi 2015, after Dong et al., SRCNN 2014): six 3x3 convolutions without padding, and a transposed
//! one that enlarges by 2. Around the picture its outermost pixels go on for as far as the network looks.

use super::{Architecture, Network, Take};
use crate::Result;
use crate::files::Tensor;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Map, Pool, Precision, Region, Then, Upsample, Weights};

/// How its files are told: by the names that nunif gives, which ncnn's files get, too.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "UpConv7 (waifu2x)",
    signs: &[
        "net.0.weight",
        "net.2.weight",
        "net.4.weight",
        "net.6.weight",
        "net.8.weight",
        "net.10.weight",
        "net.12.weight",
        "net.12.bias",
    ],
    names: &[],
    is: |tensors| matches!(tensors.get("net.12.weight").map(Tensor::shape), Some([_, 3, 4, 4])),
    load: |weights| Ok(Box::new(UpConv7::load(weights)?)),
};

/// What follows the convolutions.
const LEAKY: Activation<'_> = Activation::LeakyRelu(0.1);
/// Convolutions before the one that enlarges.
const CONVS: usize = 6;
/// How far it looks: a pixel with each convolution, and one with the last.
const RADIUS: usize = CONVS + 1;
const SCALE: usize = 2;

/// The network.
struct UpConv7 {
    convs: Vec<Conv2d>,
    last: Upsample,
}

impl UpConv7 {
    fn load(weights: &Weights<'_>) -> Result<Self> {
        // What it gives is the picture itself, and not what is to be added to one: in bf16 that is 52 dB from f32.
        let weights = &weights.precise();
        let mut convs: Vec<Conv2d> = Vec::with_capacity(CONVS);
        for i in 0..CONVS {
            let inputs = convs.last().map_or(3, Conv2d::channels);
            convs.push(Conv2d::found(weights, &format!("net.{}", 2 * i), inputs)?);
        }
        if convs.iter().any(|conv| conv.radius() != 1) {
            return Err(weights.unsupported("the convolutions of UpConv7 are 3x3"));
        }
        let last = Upsample::transposed(weights, &format!("net.{}", 2 * CONVS), convs[CONVS - 1].channels(), 3)?;
        Ok(Self { convs, last })
    }
}

/// A map that knows a part of the picture, with the outermost pixels of the picture going on beyond its sides.
fn continued(input: &Map, by: usize, pool: &mut Pool) -> Result<Map> {
    let from = input.region;
    let axis = |first: usize, end: usize, of: usize| {
        (if first == 0 { 0 } else { first + by }, if end == of { of + 2 * by } else { end + by })
    };
    let ((left, right), (top, bottom)) =
        (axis(from.left, from.right, from.of.0), axis(from.top, from.bottom, from.of.1));
    let region = Region { left, top, right, bottom, of: (from.of.0 + 2 * by, from.of.1 + 2 * by), ..from };
    let (channels, width) = (input.channels, from.width());
    let before = from.left + by - left;
    let mut out = pool.map(region, channels, Precision::F32)?;
    out.write(|y, row| {
        let y = (top + y).saturating_sub(by + from.top).min(from.height() - 1);
        let line = input.pixels(0, y, width);
        for (x, out) in row.chunks_exact_mut(channels).enumerate() {
            let x = x.saturating_sub(before).min(width - 1);
            out.copy_from_slice(&line[x * channels..][..channels]);
        }
    })?;
    Ok(out)
}

/// Takes [`continued`] back: the part of a map that lies on the picture itself.
fn within(map: &Map, by: usize, pool: &mut Pool) -> Result<Map> {
    let from = map.region;
    let of = (from.of.0 - 2 * by, from.of.1 - 2 * by);
    let axis = |first: usize, end: usize, of: usize| (first.max(by), end.min(of + by));
    let ((left, right), (top, bottom)) = (axis(from.left, from.right, of.0), axis(from.top, from.bottom, of.1));
    let mut out = map.cut(Region { left, top, right, bottom, ..from }, 0, pool)?;
    out.region = Region { left: left - by, top: top - by, right: right - by, bottom: bottom - by, of, ..from };
    Ok(out)
}

impl Network for UpConv7 {
    fn scale(&self) -> usize {
        SCALE
    }

    fn radius(&self) -> Option<usize> {
        Some(RADIUS)
    }

    fn layers(&self) -> Vec<&Conv2d> {
        self.convs.iter().collect()
    }

    fn flops(&self) -> f64 {
        self.convs.iter().map(Conv2d::flops).sum::<f64>() + self.last.flops()
    }

    fn bytes(&self) -> u64 {
        self.convs.iter().map(Conv2d::bytes).sum::<u64>() + self.last.bytes()
    }

    fn alive(&self) -> u64 {
        let pairs = self.convs.windows(2).map(|pair| pair[0].channels() + pair[1].channels());
        4 * (pairs.max().unwrap_or(0) + 3 * SCALE * SCALE) as u64
    }

    fn enlarged(&self, input: Map, _: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        // Layers see zeros beyond the larger picture, but nothing that does reaches the picture itself.
        let mut map = continued(&input, RADIUS, pool)?;
        pool.give(input);
        for conv in &self.convs {
            let next = conv.run(&map, Then::activation(LEAKY), pool)?;
            pool.give(std::mem::replace(&mut map, next));
        }
        let large = self.last.run(&map, Then::NOTHING, 0, pool)?.here(pool)?;
        pool.give(map);
        let out = within(&large, SCALE * RADIUS, pool)?;
        pool.give(large);
        take(out, pool)
    }
}
