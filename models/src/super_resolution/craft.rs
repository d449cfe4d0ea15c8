//! CRAFT (Li et al. 2023): attention inside rectangular windows for what is smooth, convolutions for what is not, and attention
//! between the channels of both.

use super::attention::{Gated, across_channels, distances};
use super::network::MEAN;
use super::{Architecture, Network, Take};
use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Depthwise, LayerNorm, Map, Pool, Region, Then, Weights, Windows};

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "CRAFT",
    signs: &[
        "conv_first.weight",
        "biases_h",
        "layers.0.residual_group.srwa_blocks.0.qkv.weight",
        "layers.0.residual_group.hfer_blocks.0.fc.weight",
        "layers.0.residual_group.hf_blocks.0.attn.temperature",
        "norm.body.weight",
        "conv_after_body.weight",
        "upsample.0.weight",
    ],
    names: &[],
    is: |_| true,
    load: |weights| Ok(Box::new(Craft::load(&weights.on_processor())?)),
};

/// Pictures are continued to whole squares of so many pixels, and by one pixel at least.
const SQUARE: usize = 16;

/// The network.
struct Craft {
    first: Conv2d,
    groups: Vec<Group>,
    norm: LayerNorm,
    end: Conv2d,
    last: Conv2d,
    scale: usize,
    features: usize,
}

/// Blocks with a shortcut around them.
struct Group {
    blocks: Vec<Block>,
    end: Conv2d,
}

/// What is smooth, what is not, and how both come together.
struct Block {
    smooth: [Smooth; 2],
    sharp: Sharp,
    fusion: Fusion,
}

/// Attention inside windows that are wide for one half of the channels and high for the other.
struct Smooth {
    norms: [LayerNorm; 2],
    qkv: Conv2d,
    windows: [Windows; 2],
    local: Depthwise,
    out: Conv2d,
    wide: Conv2d,
    narrow: Conv2d,
}

/// A convolution of one half of the channels, and the largest value around of the other.
struct Sharp {
    conv: Conv2d,
    peaks: Conv2d,
    out: Conv2d,
}

/// Attention of the channels of one map to those of another, and a gated layer.
struct Fusion {
    norms: [LayerNorm; 2],
    q: (Conv2d, Depthwise),
    kv: (Conv2d, Depthwise),
    temperature: Vec<f32>,
    out: Conv2d,
    gated: Gated,
}

impl Smooth {
    fn load(weights: &Weights<'_>, name: &str, features: usize, heads: usize, moved: bool) -> Result<Self> {
        // Every distance in a window, from one less than its sides below zero to as much above.
        let count = weights.width("biases_h")?;
        let all = weights.tensor("biases_h", &[count, 2])?;
        let side =
            |axis: usize| all.iter().skip(axis).step_by(2).fold(0.0f32, |most, value| most.max(*value)) as usize + 1;
        let size = (side(0), side(1));
        if !SQUARE.is_multiple_of(size.0)
            || !SQUARE.is_multiple_of(size.1)
            || count != (2 * size.0 - 1) * (2 * size.1 - 1)
        {
            return Err(weights.unsupported("its windows do not fit into squares of 16 pixels"));
        }
        let (half, each) = (features / 2, heads / 2);
        let windows = |index: usize, size: (usize, usize)| -> Result<Windows> {
            let table = distances(weights, &format!("{name}.attns.{index}.pos"), size, each)?;
            Ok(Windows {
                size,
                shift: if moved { (size.0 / 2, size.1 / 2) } else { (0, 0) },
                around: 0,
                // Moved windows see across the sides of the picture.
                masked: false,
                heads: each,
                bias: Windows::spread(&table, size, each),
                scale: 1.0 / ((half / each) as f32).sqrt(),
            })
        };
        let linear = |part: &str, inputs: usize, outputs: usize| {
            let bias = weights.has(&format!("{name}.{part}.bias"));
            Conv2d::linear(weights, &format!("{name}.{part}"), inputs, outputs, bias)
        };
        let hidden = weights.width(&format!("{name}.mlp.fc1.weight"))?;
        let norm = |part: &str| LayerNorm::load(weights, &format!("{name}.{part}"), features, 1e-5);
        Ok(Self {
            norms: [norm("norm1")?, norm("norm2")?],
            qkv: linear("qkv", features, 3 * features)?,
            windows: [windows(0, size)?, windows(1, (size.1, size.0))?],
            local: Depthwise::load(weights, &format!("{name}.get_v"), features, 3)?,
            out: linear("proj", features, features)?,
            wide: linear("mlp.fc1", features, hidden)?,
            narrow: linear("mlp.fc2", hidden, features)?,
        })
    }

    fn layers(&self) -> [&Conv2d; 4] {
        [&self.qkv, &self.out, &self.wide, &self.narrow]
    }

    fn run(&self, x: Map, pool: &mut Pool) -> Result<Map> {
        let [first, second] = &self.norms;
        let normed = first.run(&x, pool)?;
        let qkv = self.qkv.run(&normed, Then::NOTHING, pool)?;
        pool.give(normed);
        let (channels, half) = (x.channels, x.channels / 2);
        let seen = |windows: &Windows, at: usize, pool: &mut Pool| {
            windows.run([(&qkv, at), (&qkv, channels + at), (&qkv, 2 * channels + at)], half, pool)
        };
        let (a, b) = (seen(&self.windows[0], 0, pool)?, seen(&self.windows[1], half, pool)?);
        let values = qkv.part(2 * channels, channels, pool)?;
        let local = self.local.run(&values, pool)?;
        let both = Map::beside([&a, &b], pool)?;
        let sum = both.with(&local, pool, |seen, local| seen + local)?;
        [qkv, a, b, values, local, both].into_iter().for_each(|map| pool.give(map));
        let y = self.out.run(&sum, Then::add(&x), pool)?;
        pool.give(sum);
        pool.give(x);
        let normed = second.run(&y, pool)?;
        let wide = self.wide.run(&normed, Then::activation(Activation::Gelu), pool)?;
        pool.give(normed);
        let out = self.narrow.run(&wide, Then::add(&y), pool)?;
        pool.give(wide);
        pool.give(y);
        Ok(out)
    }
}

impl Sharp {
    fn run(&self, x: &Map, pool: &mut Pool) -> Result<Map> {
        let gelu = Then::activation(Activation::Gelu);
        let half = x.channels / 2;
        let (front, back) = (x.part(0, half, pool)?, x.part(half, half, pool)?);
        let local = self.conv.run(&front, gelu, pool)?;
        let peaks = back.largest_around(1, pool)?;
        let edges = self.peaks.run(&peaks, gelu, pool)?;
        let both = Map::beside([&local, &edges], pool)?;
        let out = self.out.run(&both, Then::add(x), pool)?;
        [front, back, local, peaks, edges, both].into_iter().for_each(|map| pool.give(map));
        Ok(out)
    }
}

impl Fusion {
    fn load(weights: &Weights<'_>, name: &str, features: usize, heads: usize) -> Result<Self> {
        let pair = |part: &str, then: &str, outputs: usize| -> Result<(Conv2d, Depthwise)> {
            let conv = Conv2d::found(weights, &format!("{name}.{part}"), features)?;
            if conv.channels() != outputs {
                return Err(weights.unsupported("the layers of its attention are of widths that do not fit"));
            }
            Ok((conv, Depthwise::load(weights, &format!("{name}.{then}"), outputs, 3)?))
        };
        let norm = |part: &str| LayerNorm::load(weights, &format!("{name}.{part}.body"), features, 1e-5);
        let out = Conv2d::found(weights, &format!("{name}.attn.project_out"), features)?;
        if out.channels() != features {
            return Err(weights.unsupported("the layers of its fusion are of widths that do not fit"));
        }
        Ok(Self {
            norms: [norm("norm1")?, norm("norm2")?],
            q: pair("attn.q", "attn.q_dwconv", features)?,
            kv: pair("attn.kv", "attn.kv_dwconv", 2 * features)?,
            temperature: weights.tensor(&format!("{name}.attn.temperature"), &[heads, 1, 1])?,
            out,
            gated: Gated::load(weights, &format!("{name}.ffn"), features)?,
        })
    }

    fn layers(&self) -> impl Iterator<Item = &Conv2d> {
        [&self.q.0, &self.kv.0, &self.out].into_iter().chain(self.gated.layers())
    }

    fn run(&self, low: Map, high: &Map, pool: &mut Pool) -> Result<Map> {
        let both = |(conv, local): &(Conv2d, Depthwise), x: &Map, pool: &mut Pool| -> Result<Map> {
            let y = conv.run(x, Then::NOTHING, pool)?;
            let z = local.run(&y, pool)?;
            pool.give(y);
            Ok(z)
        };
        let [first, second] = &self.norms;
        let normed = first.run(&low, pool)?;
        let (q, kv) = (both(&self.q, high, pool)?, both(&self.kv, &normed, pool)?);
        pool.give(normed);
        let seen = across_channels(&q, &kv, &self.temperature, pool)?;
        pool.give(q);
        pool.give(kv);
        let y = self.out.run(&seen, Then::add(&low), pool)?;
        pool.give(seen);
        pool.give(low);
        let normed = second.run(&y, pool)?;
        let out = self.gated.run(&normed, &y, pool)?;
        pool.give(normed);
        pool.give(y);
        Ok(out)
    }
}

impl Craft {
    fn load(weights: &Weights<'_>) -> Result<Self> {
        let first = Conv2d::found(weights, "conv_first", 3)?;
        let features = first.channels();
        let group = |i: usize| -> Result<Group> {
            let inside = format!("layers.{i}.residual_group");
            let heads = weights.width(&format!("{inside}.hf_blocks.0.attn.temperature"))?;
            if heads % 2 == 1 || !features.is_multiple_of(2 * heads) {
                return Err(weights.unsupported("its channels cannot be shared out to its heads"));
            }
            let count = weights.count(&format!("{inside}.hf_blocks."), ".attn.temperature");
            let block = |j: usize| -> Result<Block> {
                let smooth = |k: usize| {
                    Smooth::load(weights, &format!("{inside}.srwa_blocks.{}", 2 * j + k), features, heads, k == 1)
                };
                let conv = |part: &str, width: usize| -> Result<Conv2d> {
                    let conv = Conv2d::found(weights, &format!("{inside}.hfer_blocks.{j}.{part}"), width)?;
                    match conv.channels() == width {
                        true => Ok(conv),
                        false => Err(weights.unsupported("its blocks are not of one width")),
                    }
                };
                Ok(Block {
                    smooth: [smooth(0)?, smooth(1)?],
                    sharp: Sharp {
                        conv: conv("conv", features / 2)?,
                        peaks: conv("fc", features / 2)?,
                        out: conv("last_fc", features)?,
                    },
                    fusion: Fusion::load(weights, &format!("{inside}.hf_blocks.{j}"), features, heads)?,
                })
            };
            let end = Conv2d::found(weights, &format!("layers.{i}.conv"), features)?;
            Ok(Group { blocks: (0..count).map(block).collect::<Result<_>>()?, end })
        };
        let count = (0..).take_while(|i| weights.has(&format!("layers.{i}.conv.weight"))).count();
        let groups = (0..count).map(group).collect::<Result<Vec<_>>>()?;
        let end = Conv2d::found(weights, "conv_after_body", features)?;
        if groups.iter().map(|group| &group.end).chain([&end]).any(|conv| conv.channels() != features) {
            return Err(weights.unsupported("the convolutions behind its groups are of another width"));
        }
        Ok(Self {
            first,
            groups,
            norm: LayerNorm::load(weights, "norm.body", features, 1e-5)?,
            end,
            last: Conv2d::found(weights, "upsample.0", features)?,
            scale: weights.enlargement("upsample.0.weight", 3)?,
            features,
        })
    }
}

impl Network for Craft {
    fn scale(&self) -> usize {
        self.scale
    }

    fn radius(&self) -> Option<usize> {
        // The attention between channels looks at all pixels.
        None
    }

    fn layers(&self) -> Vec<&Conv2d> {
        let mut layers = vec![&self.first, &self.end, &self.last];
        for group in &self.groups {
            layers.push(&group.end);
            for block in &group.blocks {
                layers.extend([&block.sharp.conv, &block.sharp.peaks, &block.sharp.out]);
                layers.extend(block.smooth.iter().flat_map(Smooth::layers));
                layers.extend(block.fusion.layers());
            }
        }
        layers
    }

    fn flops(&self) -> f64 {
        let blocks = self.groups.iter().flat_map(|group| &group.blocks);
        let windows = blocks.flat_map(|block| &block.smooth).flat_map(|smooth| &smooth.windows);
        let attention: f64 = windows.map(|windows| windows.flops(self.features / 2)).sum();
        self.layers().iter().map(|layer| layer.flops()).sum::<f64>() + attention
    }

    fn alive(&self) -> u64 {
        (4 * (20 * self.features + 6 * self.scale * self.scale)) as u64
    }

    fn enlarged(&self, input: Map, _: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        let (width, height) = input.size();
        let whole = |of: usize| (of / SQUARE + 1) * SQUARE;
        let mut x = input.mirrored_with_edge((whole(width), whole(height)), pool)?;
        pool.give(input);
        x.change(|c, value| value - MEAN[c])?;
        let first = self.first.run(&x, Then::NOTHING, pool)?;
        pool.give(x);
        let mut y = first.part(0, first.channels, pool)?;
        for group in &self.groups {
            let mut z = y.part(0, y.channels, pool)?;
            for Block { smooth: [a, b], sharp, fusion } in &group.blocks {
                let high = sharp.run(&z, pool)?;
                let low = a.run(z, pool)?;
                let low = b.run(low, pool)?;
                z = fusion.run(low, &high, pool)?;
                pool.give(high);
            }
            let out = group.end.run(&z, Then::add(&y), pool)?;
            pool.give(z);
            pool.give(std::mem::replace(&mut y, out));
        }
        let normed = self.norm.run(&y, pool)?;
        pool.give(y);
        let sum = self.end.run(&normed, Then::add(&first), pool)?;
        pool.give(normed);
        pool.give(first);
        let out = self.last.run(&sum, Then::NOTHING, pool)?;
        pool.give(sum);
        let mut out = out.shuffled(self.scale, pool)?;
        out.change(|c, value| value + MEAN[c])?;
        take(out.cropped((width * self.scale, height * self.scale), pool)?, pool)
    }
}
