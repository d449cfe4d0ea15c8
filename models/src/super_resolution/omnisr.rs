//! OmniSR (Wang et al. 2023): attention between pixels and between channels by turns, inside windows and then over a grid of pixels
//! that are far apart.

use super::attention::{Gated, across_channels_in_windows};
use super::rlfn::Esa;
use super::{Architecture, Network, Take};
use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Dense, Depthwise, LayerNorm, Map, Pool, Region, Then, Weights, Windows, sigmoid, silu};

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "OmniSR",
    signs: &[
        "input.weight",
        "residual_layer.0.residual_layer.0.layer.0.fn.0.weight",
        "residual_layer.0.residual_layer.0.layer.2.fn.to_qkv.weight",
        "residual_layer.0.residual_layer.0.layer.5.fn.temperature",
        "residual_layer.0.esa.conv_f.weight",
        "output.weight",
        "up.0.weight",
    ],
    names: &[],
    is: |_| true,
    load: |weights| Ok(Box::new(OmniSr::load(&weights.on_processor())?)),
};

/// Edge of the windows where no bias tells it.
const WINDOW: usize = 8;

/// The widest windows.
const MOST_WINDOW: usize = 32;

/// The network.
struct OmniSr {
    first: Conv2d,
    groups: Vec<Group>,
    end: Conv2d,
    last: Conv2d,
    scale: usize,
    colours: usize,
    features: usize,
    window: usize,
}

/// Blocks with a convolution behind them and a shortcut around, and an attention that looks at the map made small.
struct Group {
    blocks: Vec<Block>,
    end: Conv2d,
    attention: Esa,
}

/// Convolutions, then both attentions inside windows, then both over the grid; each with a gated layer behind it.
struct Block {
    local: Local,
    pixels: [Pixels; 2],
    channels: [Channels; 2],
    gated: [(LayerNorm, Gated); 4],
}

/// A wider look at the pixels around, whose channels are weighed by their means (Sandler et al., MobileNetV2 2018).
struct Local {
    wide: Conv2d,
    around: Depthwise,
    /// From the means to a few values, and back.
    shares: [Dense; 2],
    narrow: Conv2d,
}

/// Attention between the pixels of a window.
struct Pixels {
    norm: LayerNorm,
    qkv: Conv2d,
    windows: Windows,
    out: Conv2d,
}

/// Attention between the channels of a window.
struct Channels {
    norm: LayerNorm,
    qkv: (Conv2d, Depthwise),
    temperature: Vec<f32>,
    out: Conv2d,
}

/// A convolution that has to be as wide as it is said to be.
fn conv(weights: &Weights<'_>, name: &str, inputs: usize, outputs: usize) -> Result<Conv2d> {
    let conv = Conv2d::found(weights, name, inputs)?;
    if conv.channels() != outputs {
        let name = format!("{name}.weight");
        return Err(weights.misshaped(&name, weights.shape(&name)?, format!("{outputs} output channels")));
    }
    Ok(conv)
}

impl Local {
    fn load(weights: &Weights<'_>, name: &str, features: usize) -> Result<Self> {
        let wide = Conv2d::found(weights, &format!("{name}.fn.0"), features)?;
        let hidden = wide.channels();
        let squeeze = format!("{name}.fn.4.gate.1");
        let few = weights.width(&format!("{squeeze}.weight"))?;
        Ok(Self {
            around: Depthwise::load(weights, &format!("{name}.fn.2"), hidden, 3)?,
            shares: [
                Dense::without_bias(weights, &squeeze, hidden, few)?,
                Dense::without_bias(weights, &format!("{name}.fn.4.gate.3"), few, hidden)?,
            ],
            narrow: conv(weights, &format!("{name}.fn.5"), hidden, features)?,
            wide,
        })
    }

    fn layers(&self) -> [&Conv2d; 2] {
        [&self.wide, &self.narrow]
    }

    fn run(&self, x: &Map, pool: &mut Pool) -> Result<Map> {
        let wide = self.wide.run(x, Then::activation(Activation::Gelu), pool)?;
        let mut seen = self.around.run(&wide, pool)?;
        pool.give(wide);
        seen.activate(Activation::Gelu)?;
        let (means, _) = seen.moments();
        let [squeeze, widen] = &self.shares;
        let mut few = squeeze.run(&means);
        silu(&mut few);
        let shares: Vec<f32> = widen.run(&few).into_iter().map(sigmoid).collect();
        seen.change(|c, value| value * shares[c])?;
        let out = self.narrow.run(&seen, Then::add(x), pool)?;
        pool.give(seen);
        Ok(out)
    }
}

impl Pixels {
    fn load(weights: &Weights<'_>, name: &str, features: usize, window: usize, heads: usize) -> Result<Self> {
        let linear = |part: &str, outputs: usize| {
            let name = format!("{name}.fn.{part}");
            Conv2d::linear(weights, &name, features, outputs, weights.has(&format!("{name}.bias")))
        };
        let size = (window, window);
        let table = format!("{name}.fn.rel_pos_bias.weight");
        let bias = match weights.has(&table) {
            true => Windows::spread(&weights.tensor(&table, &[(2 * window - 1).pow(2), heads])?, size, heads),
            false => vec![0.0; heads * window.pow(4)],
        };
        Ok(Self {
            norm: LayerNorm::load(weights, &format!("{name}.norm"), features, 1e-5)?,
            qkv: linear("to_qkv", 3 * features)?,
            windows: Windows {
                size,
                shift: (0, 0),
                around: 0,
                masked: false,
                heads,
                bias,
                scale: 1.0 / ((features / heads) as f32).sqrt(),
            },
            out: linear("to_out.0", features)?,
        })
    }

    /// With a shortcut; over the grid where its `step`, the distance of the pixels that see each other, is given.
    fn run(&self, x: &Map, step: Option<(usize, usize)>, pool: &mut Pool) -> Result<Map> {
        let channels = x.channels;
        let normed = self.norm.run(x, pool)?;
        let mut qkv = self.qkv.run(&normed, Then::NOTHING, pool)?;
        pool.give(normed);
        let edge = self.windows.size.0;
        if step.is_some() {
            // What belongs together comes together.
            let together = qkv.interleaved((edge, edge), pool)?;
            pool.give(std::mem::replace(&mut qkv, together));
        }
        let mut seen = self.windows.run([(&qkv, 0), (&qkv, channels), (&qkv, 2 * channels)], channels, pool)?;
        pool.give(qkv);
        if let Some(step) = step {
            let back = seen.interleaved(step, pool)?;
            pool.give(std::mem::replace(&mut seen, back));
        }
        let out = self.out.run(&seen, Then::add(x), pool)?;
        pool.give(seen);
        Ok(out)
    }
}

impl Channels {
    fn load(weights: &Weights<'_>, name: &str, features: usize) -> Result<Self> {
        let inside = |part: &str| format!("{name}.fn.{part}");
        let heads = weights.width(&inside("temperature"))?;
        if !features.is_multiple_of(heads) {
            return Err(weights.unsupported("its channels cannot be shared out to its heads"));
        }
        Ok(Self {
            norm: LayerNorm::load(weights, &format!("{name}.norm"), features, 1e-6)?,
            qkv: (
                conv(weights, &inside("qkv"), features, 3 * features)?,
                Depthwise::load(weights, &inside("qkv_dwconv"), 3 * features, 3)?,
            ),
            temperature: weights.tensor(&inside("temperature"), &[heads, 1, 1])?,
            out: conv(weights, &inside("project_out"), features, features)?,
        })
    }

    /// With a shortcut, inside windows of so many rows and columns; over the grid where its `step` is given.
    fn run(&self, x: &Map, window: usize, step: Option<(usize, usize)>, pool: &mut Pool) -> Result<Map> {
        let (conv, around) = &self.qkv;
        let normed = self.norm.run(x, pool)?;
        let plain = conv.run(&normed, Then::NOTHING, pool)?;
        pool.give(normed);
        let mut qkv = around.run(&plain, pool)?;
        pool.give(plain);
        let seen = match step {
            None => across_channels_in_windows(&qkv, &self.temperature, (window, window), pool)?,
            // All pixels of the same place in their window together.
            Some(step) => {
                let together = qkv.interleaved(step, pool)?;
                pool.give(std::mem::replace(&mut qkv, together));
                let seen = across_channels_in_windows(&qkv, &self.temperature, (step.1, step.0), pool)?;
                let back = seen.interleaved((window, window), pool)?;
                pool.give(seen);
                back
            }
        };
        pool.give(qkv);
        let out = self.out.run(&seen, Then::add(x), pool)?;
        pool.give(seen);
        Ok(out)
    }
}

impl Block {
    fn load(weights: &Weights<'_>, name: &str, features: usize, window: usize) -> Result<Self> {
        let layer = |i: usize| format!("{name}.layer.{i}");
        let (a, b) = (Channels::load(weights, &layer(5), features)?, Channels::load(weights, &layer(11), features)?);
        // Attention between pixels has as many heads.
        let pixels = |i: usize, heads: usize| Pixels::load(weights, &layer(i), features, window, heads);
        let gated = |i: usize| -> Result<(LayerNorm, Gated)> {
            let norm = LayerNorm::load(weights, &format!("{}.norm", layer(i)), features, 1e-6)?;
            Ok((norm, Gated::load(weights, &format!("{}.fn", layer(i)), features)?))
        };
        Ok(Self {
            local: Local::load(weights, &layer(0), features)?,
            pixels: [pixels(2, a.temperature.len())?, pixels(8, b.temperature.len())?],
            channels: [a, b],
            gated: [gated(4)?, gated(6)?, gated(10)?, gated(12)?],
        })
    }

    fn layers(&self) -> impl Iterator<Item = &Conv2d> {
        let pixels = self.pixels.iter().flat_map(|pixels| [&pixels.qkv, &pixels.out]);
        let channels = self.channels.iter().flat_map(|channels| [&channels.qkv.0, &channels.out]);
        let gated = self.gated.iter().flat_map(|(_, gated)| gated.layers());
        self.local.layers().into_iter().chain(pixels).chain(channels).chain(gated)
    }

    /// Floating-point operations per pixel of its attentions.
    fn flops(&self, features: usize) -> f64 {
        let pixels: f64 = self.pixels.iter().map(|pixels| pixels.windows.flops(features)).sum();
        let each = |channels: &Channels| 4.0 * (features * (features / channels.temperature.len())) as f64;
        pixels + self.channels.iter().map(each).sum::<f64>()
    }

    fn run(&self, x: &Map, window: usize, pool: &mut Pool) -> Result<Map> {
        let (width, height) = x.size();
        let mut y = self.local.run(x, pool)?;
        let both = self.pixels.iter().zip(&self.channels).zip(self.gated.chunks_exact(2));
        let steps = [None, Some((width / window, height / window))];
        for (((pixels, channels), gated), step) in both.zip(steps) {
            let z = pixels.run(&y, step, pool)?;
            pool.give(std::mem::replace(&mut y, z));
            for (i, (norm, gated)) in gated.iter().enumerate() {
                if i == 1 {
                    let z = channels.run(&y, window, step, pool)?;
                    pool.give(std::mem::replace(&mut y, z));
                }
                let normed = norm.run(&y, pool)?;
                let z = gated.run(&normed, &y, pool)?;
                pool.give(normed);
                pool.give(std::mem::replace(&mut y, z));
            }
        }
        Ok(y)
    }
}

impl OmniSr {
    fn load(weights: &Weights<'_>) -> Result<Self> {
        let colours = weights.side("input.weight", 1)?;
        if ![1, 3].contains(&colours) {
            let found = weights.shape("input.weight")?;
            return Err(weights.misshaped("input.weight", found, "1 or 3 channels".into()));
        }
        let first = Conv2d::found(weights, "input", colours)?;
        let features = first.channels();
        let table = "residual_layer.0.residual_layer.0.layer.2.fn.rel_pos_bias.weight";
        let window = match weights.has(table) {
            true => weights.width(table)?.isqrt().div_ceil(2),
            false => WINDOW,
        };
        if window > MOST_WINDOW {
            return Err(weights.unsupported("its windows are wider than 32 pixels"));
        }
        let group = |i: usize| -> Result<Group> {
            let name = format!("residual_layer.{i}");
            let inside = format!("{name}.residual_layer");
            let count = weights.count(&format!("{inside}."), ".layer.0.fn.0.weight");
            let block = |j: usize| Block::load(weights, &format!("{inside}.{j}"), features, window);
            Ok(Group {
                blocks: (0..count).map(block).collect::<Result<_>>()?,
                end: conv(weights, &format!("{inside}.{count}"), features, features)?,
                attention: Esa::load(weights, &format!("{name}.esa"), features)?,
            })
        };
        let groups = (0..).take_while(|i| weights.any(&format!("residual_layer.{i}.")));
        Ok(Self {
            groups: groups.map(group).collect::<Result<_>>()?,
            end: conv(weights, "output", features, features)?,
            last: Conv2d::found(weights, "up.0", features)?,
            scale: weights.enlargement("up.0.weight", colours)?,
            first,
            colours,
            features,
            window,
        })
    }
}

impl Network for OmniSr {
    fn scale(&self) -> usize {
        self.scale
    }

    fn colours(&self) -> usize {
        self.colours
    }

    fn radius(&self) -> Option<usize> {
        // The grid reaches over the whole picture.
        None
    }

    fn layers(&self) -> Vec<&Conv2d> {
        let mut layers = vec![&self.first, &self.end, &self.last];
        for group in &self.groups {
            layers.push(&group.end);
            layers.extend(group.attention.layers());
            layers.extend(group.blocks.iter().flat_map(Block::layers));
        }
        layers
    }

    fn flops(&self) -> f64 {
        let blocks = self.groups.iter().flat_map(|group| &group.blocks);
        let attention: f64 = blocks.map(|block| block.flops(self.features)).sum();
        self.layers().iter().map(|layer| layer.flops()).sum::<f64>() + attention
    }

    fn alive(&self) -> u64 {
        (4 * (16 * self.features + 6 * self.scale * self.scale)) as u64
    }

    fn enlarged(&self, input: Map, _: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        let (width, height) = input.size();
        let whole = |of: usize| of.next_multiple_of(self.window);
        let x = input.with_zeros((whole(width), whole(height)), pool)?;
        pool.give(input);
        let first = self.first.run(&x, Then::NOTHING, pool)?;
        pool.give(x);
        let mut y = first.part(0, first.channels, pool)?;
        for group in &self.groups {
            let mut z = y.part(0, y.channels, pool)?;
            for block in &group.blocks {
                let next = block.run(&z, self.window, pool)?;
                pool.give(std::mem::replace(&mut z, next));
            }
            let sum = group.end.run(&z, Then::add(&y), pool)?;
            pool.give(z);
            let out = group.attention.run(&sum, pool)?;
            pool.give(sum);
            pool.give(std::mem::replace(&mut y, out));
        }
        let sum = self.end.run(&y, Then::add(&first), pool)?;
        pool.give(y);
        pool.give(first);
        let out = self.last.run(&sum, Then::NOTHING, pool)?;
        pool.give(sum);
        // Before the pixel shuffle, a pixel of the enlarged picture's square is a channel.
        take(out.cropped((width, height), pool)?, pool)
    }
}
