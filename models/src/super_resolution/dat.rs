//! DAT (Chen et al. 2023), the Dual Aggregation Transformer, in all its sizes: blocks with attention inside windows and blocks with
//! attention between channels by turns. Convolutions beside each attention and the attention weigh each other.

use super::attention::{across_channels, distances};
use super::network::mean;
use super::swinir::Convs;
use super::upsampler::Upsampler;
use super::{Architecture, Network, Take};
use crate::Result;
use crate::kernels::{Activation, activate};
use crate::layers::{Conv2d, Dense, Depthwise, LayerNorm, Map, Pool, Region, Then, Weights, Window, Windows, sigmoid};

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "DAT",
    signs: &[
        "conv_first.weight",
        "before_RG.1.weight",
        "layers.0.blocks.0.attn.attns.0.rpe_biases",
        "layers.0.blocks.0.attn.attns.0.pos.pos_proj.weight",
        "layers.0.blocks.0.attn.spatial_interaction.0.weight",
        "layers.0.blocks.0.ffn.sg.conv.weight",
        "norm.weight",
    ],
    names: &[],
    is: |_| true,
    load: |weights| Ok(Box::new(Dat::load(&weights.on_processor())?)),
};

/// Added to variances.
const EPSILON: f32 = 1e-5;

/// The most pixels of a window; those of the published ones have 256.
const MOST_PIXELS: usize = 1024;

/// The network.
struct Dat {
    first: Conv2d,
    before: LayerNorm,
    groups: Vec<Group>,
    norm: LayerNorm,
    end: Convs,
    upsampler: Upsampler,
    colours: usize,
    features: usize,
}

/// Blocks with a shortcut around them, and convolutions at their end.
struct Group {
    blocks: Vec<Block>,
    end: Convs,
}

/// An attention and a gated layer, each with a shortcut around it.
struct Block {
    norms: [LayerNorm; 2],
    qkv: Conv2d,
    attention: Attention,
    /// The convolution of the values beside the attention, its batch normalisation in it.
    local: Depthwise,
    interaction: Interaction,
    out: Conv2d,
    wide: Conv2d,
    gate: (LayerNorm, Depthwise),
    narrow: Conv2d,
}

/// What a block looks at.
enum Attention {
    /// Pixels of the same window: wide windows for one half of the channels, high ones for the other.
    Spatial([Windows; 2]),
    /// Other channels of the same head, with a factor for each head.
    Channel(Vec<f32>),
}

/// How two maps weigh each other: the means of the channels of one weigh the channels of the other, whose pixels weigh the pixels of
/// the first (the paper's adaptive interaction module).
struct Interaction {
    channels: [Dense; 2],
    pixels: [Conv2d; 2],
}

impl Interaction {
    /// Reads `{name}.channel_interaction` and `{name}.spatial_interaction`.
    fn load(weights: &Weights<'_>, name: &str, features: usize) -> Result<Self> {
        let channels = format!("{name}.channel_interaction");
        let pixels = format!("{name}.spatial_interaction");
        let few = weights.width(&format!("{channels}.1.weight"))?;
        let fewer = weights.width(&format!("{pixels}.0.weight"))?;
        let norm = |part: &str| format!("{part}.{}", if part == channels { 2 } else { 1 });
        let conv = |name: &str, norm: Option<(&str, f32)>, inputs: usize, outputs: usize| {
            Conv2d::normalised(weights, name, norm, inputs, outputs, Window::same(1))
        };
        let squeeze =
            Dense::normalised(weights, &format!("{channels}.1"), Some((&norm(&channels), EPSILON)), features, few)?;
        Ok(Self {
            channels: [squeeze, Dense::of_pixels(weights, &format!("{channels}.4"), few, features)?],
            pixels: [
                conv(&format!("{pixels}.0"), Some((&norm(&pixels), EPSILON)), features, fewer)?,
                conv(&format!("{pixels}.3"), None, fewer, 1)?,
            ],
        })
    }

    /// `b` weighed by the channels of `a`, and `a` weighed by the pixels of `b`.
    fn run(&self, a: &Map, b: &Map, pool: &mut Pool) -> Result<Map> {
        let (means, _) = a.moments();
        let [squeeze, widen] = &self.channels;
        let mut few = squeeze.run(&means);
        activate(&mut few, Activation::Gelu);
        let channels: Vec<f32> = widen.run(&few).into_iter().map(sigmoid).collect();
        let [narrow, one] = &self.pixels;
        let inner = narrow.run(b, Then::activation(Activation::Gelu), pool)?;
        let shares = one.run(&inner, Then::NOTHING, pool)?;
        pool.give(inner);
        let width = a.channels;
        let out = Map::of_rows([a, b, &shares], width, pool, |[a, b, shares], out| {
            let pixels = a.chunks_exact(width).zip(b.chunks_exact(width)).zip(shares);
            for (((a, b), share), out) in pixels.zip(out.chunks_exact_mut(width)) {
                let share = sigmoid(*share);
                for (((out, a), b), channel) in out.iter_mut().zip(a).zip(b).zip(&channels) {
                    *out = b * channel + a * share;
                }
            }
        })?;
        pool.give(shares);
        Ok(out)
    }
}

impl Attention {
    /// Reads what is particular to it in `{name}`; `size` are the sides of its windows.
    fn load(weights: &Weights<'_>, name: &str, features: usize, size: (usize, usize), moved: bool) -> Result<Self> {
        let temperature = format!("{name}.temperature");
        let uneven = || weights.unsupported("its channels cannot be shared out to its heads");
        if weights.has(&temperature) {
            let heads = weights.width(&temperature)?;
            if !features.is_multiple_of(heads) {
                return Err(uneven());
            }
            return Ok(Self::Channel(weights.tensor(&temperature, &[heads, 1, 1])?));
        }
        let half = features / 2;
        let windows = |index: usize, size: (usize, usize)| -> Result<Windows> {
            let pos = format!("{name}.attns.{index}.pos");
            let heads = weights.width(&format!("{pos}.pos3.2.weight"))?;
            if !features.is_multiple_of(2 * heads) {
                return Err(uneven());
            }
            Ok(Windows {
                size,
                shift: if moved { (size.0 / 2, size.1 / 2) } else { (0, 0) },
                around: 0,
                masked: moved,
                heads,
                bias: Windows::spread(&distances(weights, &pos, size, heads)?, size, heads),
                scale: 1.0 / ((half / heads) as f32).sqrt(),
            })
        };
        Ok(Self::Spatial([windows(0, size)?, windows(1, (size.1, size.0))?]))
    }

    /// What is seen, out of queries, keys and values one behind the other.
    fn run(&self, qkv: &Map, pool: &mut Pool) -> Result<Map> {
        let channels = qkv.channels / 3;
        match self {
            Self::Channel(temperature) => {
                let (q, kv) = (qkv.part(0, channels, pool)?, qkv.part(channels, 2 * channels, pool)?);
                let seen = across_channels(&q, &kv, temperature, pool)?;
                pool.give(q);
                pool.give(kv);
                Ok(seen)
            }
            Self::Spatial([wide, high]) => {
                let (size, half) = (qkv.size(), channels / 2);
                let edge = wide.size.0.max(wide.size.1);
                // Zeros, which the pixels at the sides see as well.
                let whole = qkv.with_zeros((size.0.next_multiple_of(edge), size.1.next_multiple_of(edge)), pool)?;
                let seen = |windows: &Windows, at: usize, pool: &mut Pool| {
                    windows.run([(&whole, at), (&whole, channels + at), (&whole, 2 * channels + at)], half, pool)
                };
                let (a, b) = (seen(wide, 0, pool)?, seen(high, half, pool)?);
                let both = Map::beside([&a, &b], pool)?;
                let out = both.cropped(size, pool)?;
                [whole, a, b, both].into_iter().for_each(|map| pool.give(map));
                Ok(out)
            }
        }
    }

    /// Floating-point operations per pixel.
    fn flops(&self, features: usize) -> f64 {
        match self {
            Self::Spatial(windows) => windows.iter().map(|windows| windows.flops(features / 2)).sum(),
            Self::Channel(temperature) => 4.0 * (features * (features / temperature.len())) as f64,
        }
    }
}

impl Block {
    fn load(weights: &Weights<'_>, name: &str, features: usize, size: (usize, usize), moved: bool) -> Result<Self> {
        let linear = |part: &str, inputs: usize, outputs: usize| {
            let bias = weights.has(&format!("{name}.{part}.bias"));
            Conv2d::linear(weights, &format!("{name}.{part}"), inputs, outputs, bias)
        };
        let norm = |part: &str, width: usize| LayerNorm::load(weights, &format!("{name}.{part}"), width, EPSILON);
        let attention = format!("{name}.attn");
        let hidden = weights.width(&format!("{name}.ffn.fc1.weight"))?;
        if hidden % 2 == 1 {
            return Err(weights.unsupported("half of the inner layers of its blocks would be gates, but they are odd"));
        }
        let half = hidden / 2;
        let gate = Depthwise::load(weights, &format!("{name}.ffn.sg.conv"), half, 3)?;
        let beside = (format!("{attention}.dwconv.0"), format!("{attention}.dwconv.1"));
        Ok(Self {
            norms: [norm("norm1", features)?, norm("norm2", features)?],
            qkv: linear("attn.qkv", features, 3 * features)?,
            attention: Attention::load(weights, &attention, features, size, moved)?,
            local: Depthwise::normalised(weights, &beside.0, Some((&beside.1, EPSILON)), features, 3)?,
            interaction: Interaction::load(weights, &attention, features)?,
            out: linear("attn.proj", features, features)?,
            wide: linear("ffn.fc1", features, hidden)?,
            gate: (norm("ffn.sg.norm", half)?, gate),
            narrow: linear("ffn.fc2", half, features)?,
        })
    }

    fn layers(&self) -> impl Iterator<Item = &Conv2d> {
        [&self.qkv, &self.out, &self.wide, &self.narrow].into_iter().chain(&self.interaction.pixels)
    }

    fn run(&self, x: Map, pool: &mut Pool) -> Result<Map> {
        let [first, second] = &self.norms;
        let channels = x.channels;
        let normed = first.run(&x, pool)?;
        let qkv = self.qkv.run(&normed, Then::NOTHING, pool)?;
        pool.give(normed);
        let seen = self.attention.run(&qkv, pool)?;
        let values = qkv.part(2 * channels, channels, pool)?;
        pool.give(qkv);
        let mut local = self.local.run(&values, pool)?;
        pool.give(values);
        local.activate(Activation::Gelu)?;
        let sum = match self.attention {
            Attention::Spatial(_) => self.interaction.run(&local, &seen, pool)?,
            Attention::Channel(_) => self.interaction.run(&seen, &local, pool)?,
        };
        pool.give(seen);
        pool.give(local);
        let y = self.out.run(&sum, Then::add(&x), pool)?;
        pool.give(sum);
        pool.give(x);
        let normed = second.run(&y, pool)?;
        let wide = self.wide.run(&normed, Then::activation(Activation::Gelu), pool)?;
        pool.give(normed);
        let half = wide.channels / 2;
        let (values, behind) = (wide.part(0, half, pool)?, wide.part(half, half, pool)?);
        pool.give(wide);
        let (norm, conv) = &self.gate;
        let normed = norm.run(&behind, pool)?;
        let gates = conv.run(&normed, pool)?;
        let gated = values.with(&gates, pool, |value, gate| value * gate)?;
        [values, behind, normed, gates].into_iter().for_each(|map| pool.give(map));
        let out = self.narrow.run(&gated, Then::add(&y), pool)?;
        pool.give(gated);
        pool.give(y);
        Ok(out)
    }
}

impl Dat {
    fn load(weights: &Weights<'_>) -> Result<Self> {
        let colours = weights.side("conv_first.weight", 1)?;
        if ![1, 3].contains(&colours) {
            let found = weights.shape("conv_first.weight")?;
            return Err(weights.misshaped("conv_first.weight", found, "1 or 3 channels".into()));
        }
        let first = Conv2d::found(weights, "conv_first", colours)?;
        let features = first.channels();
        if features % 2 == 1 {
            return Err(weights.unsupported("half of its channels would look across, but they are odd"));
        }
        let size = window(weights)?;
        let group = |i: usize| -> Result<Group> {
            let count = weights.count(&format!("layers.{i}.blocks."), ".norm1.weight");
            // Of the blocks that look at windows every second one has moved windows, the first one in every second group.
            let block = |j: usize| {
                let moved = j % 4 == if i.is_multiple_of(2) { 2 } else { 0 };
                Block::load(weights, &format!("layers.{i}.blocks.{j}"), features, size, moved)
            };
            let end = Convs::load(weights, &format!("layers.{i}.conv"), features)?;
            Ok(Group { blocks: (0..count).map(block).collect::<Result<_>>()?, end })
        };
        let groups = (0..).take_while(|i| weights.any(&format!("layers.{i}.")));
        let groups = groups.map(group).collect::<Result<Vec<_>>>()?;
        let end = Convs::load(weights, "conv_after_body", features)?;
        if groups.iter().map(|group| &group.end).chain([&end]).any(|end| end.channels() != features) {
            return Err(weights.unsupported("the convolutions behind its groups are of another width"));
        }
        Ok(Self {
            first,
            before: LayerNorm::load(weights, "before_RG.1", features, EPSILON)?,
            groups,
            norm: LayerNorm::load(weights, "norm", features, EPSILON)?,
            end,
            upsampler: Upsampler::load(weights, features, colours)?,
            colours,
            features,
        })
    }
}

/// Rows and columns of the windows: one more than the greatest distance, which is the last in the list of all.
fn window(weights: &Weights<'_>) -> Result<(usize, usize)> {
    let name = "layers.0.blocks.0.attn.attns.0.rpe_biases";
    let count = weights.width(name)?;
    let all = weights.tensor(name, &[count, 2])?;
    let side = |axis: usize| (all[2 * (count - 1) + axis].clamp(0.0, MOST_PIXELS as f32)) as usize + 1;
    let (rows, columns) = (side(0), side(1));
    if count != (2 * rows - 1) * (2 * columns - 1) || rows * columns > MOST_PIXELS {
        return Err(weights.unsupported("its list of distances is not that of a window"));
    }
    if !rows.max(columns).is_multiple_of(rows.min(columns)) {
        return Err(weights.unsupported("one side of its windows is no multiple of the other"));
    }
    Ok((rows, columns))
}

impl Network for Dat {
    fn scale(&self) -> usize {
        self.upsampler.scale()
    }

    fn colours(&self) -> usize {
        self.colours
    }

    fn radius(&self) -> Option<usize> {
        // The attention between channels looks at all pixels.
        None
    }

    fn layers(&self) -> Vec<&Conv2d> {
        let blocks = self.groups.iter().flat_map(|group| &group.blocks);
        let ends = self.groups.iter().map(|group| &group.end).chain([&self.end]).flat_map(Convs::layers);
        let layers = [&self.first].into_iter().chain(blocks.flat_map(Block::layers)).chain(ends);
        layers.chain(self.upsampler.layers()).collect()
    }

    fn flops(&self) -> f64 {
        let blocks = self.groups.iter().flat_map(|group| &group.blocks);
        let attention: f64 = blocks.map(|block| block.attention.flops(self.features)).sum();
        self.layers().iter().map(|layer| layer.flops()).sum::<f64>() + attention + self.upsampler.more_flops()
    }

    fn alive(&self) -> u64 {
        (4 * (20 * self.features)) as u64 + self.upsampler.alive()
    }

    fn enlarged(&self, mut x: Map, _: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        x.change(|c, value| value - mean(self.colours, c))?;
        let first = self.first.run(&x, Then::NOTHING, pool)?;
        let mut y = self.before.run(&first, pool)?;
        for group in &self.groups {
            let mut z = y.part(0, y.channels, pool)?;
            for block in &group.blocks {
                z = block.run(z, pool)?;
            }
            let out = group.end.run(&z, &y, pool)?;
            pool.give(z);
            pool.give(std::mem::replace(&mut y, out));
        }
        let normed = self.norm.run(&y, pool)?;
        pool.give(y);
        let sum = self.end.run(&normed, &first, pool)?;
        pool.give(normed);
        pool.give(first);
        let mut out = self.upsampler.run(sum, &x, pool)?;
        pool.give(x);
        out.change(|c, value| value + mean(self.colours, c))?;
        take(out, pool)
    }
}
