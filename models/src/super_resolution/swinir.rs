//! SwinIR (Liang et al. 2021): groups of blocks with attention inside windows, every second one with moved windows, and one of
//! four ways to enlarge.

use super::network::mean;
use super::upsampler::Upsampler;
use super::{Architecture, Network, Take, hat};
use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Conv2d, LayerNorm, Map, Pool, Region, Then, Weights, Windows};

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "SwinIR",
    signs: &[
        "conv_first.weight",
        "layers.0.residual_group.blocks.0.norm1.weight",
        "layers.0.residual_group.blocks.0.attn.relative_position_bias_table",
        "layers.0.residual_group.blocks.0.attn.qkv.weight",
        "layers.0.residual_group.blocks.0.mlp.fc1.weight",
        "norm.weight",
    ],
    names: &[],
    is: |tensors| tensors.get("layers.0.residual_group.overlap_attn.qkv.weight").is_none(),
    load: |weights| Ok(Box::new(SwinIr::load(&weights.on_processor())?)),
};

/// The network.
pub(super) struct SwinIr {
    first: Conv2d,
    before: Option<LayerNorm>,
    groups: Vec<Group>,
    norm: LayerNorm,
    end: Convs,
    upsampler: Upsampler,
    colours: usize,
    features: usize,
    window: usize,
    /// Pictures are stretched to this range.
    range: f32,
}

/// Blocks with a shortcut around them, and convolutions at their end.
struct Group {
    blocks: Vec<Block>,
    end: Convs,
}

/// One convolution, or three that are narrow in the middle.
pub(super) struct Convs(Vec<Conv2d>);

impl Convs {
    pub(super) fn load(weights: &Weights<'_>, name: &str, features: usize) -> Result<Self> {
        if weights.has(&format!("{name}.weight")) {
            return Ok(Self(vec![Conv2d::found(weights, name, features)?]));
        }
        let first = Conv2d::found(weights, &format!("{name}.0"), features)?;
        let second = Conv2d::found(weights, &format!("{name}.2"), first.channels())?;
        let third = Conv2d::found(weights, &format!("{name}.4"), second.channels())?;
        Ok(Self(vec![first, second, third]))
    }

    pub(super) fn channels(&self) -> usize {
        self.0.last().map_or(0, Conv2d::channels)
    }

    pub(super) fn layers(&self) -> &[Conv2d] {
        &self.0
    }

    /// The convolutions, and a base that is added to the last.
    pub(super) fn run(&self, x: &Map, base: &Map, pool: &mut Pool) -> Result<Map> {
        let mut y: Option<Map> = None;
        for (i, conv) in self.0.iter().enumerate() {
            let last = i + 1 == self.0.len();
            let then = if last { Then::add(base) } else { Then::activation(Activation::LeakyRelu(0.2)) };
            let next = conv.run(y.as_ref().unwrap_or(x), then, pool)?;
            if let Some(old) = y.replace(next) {
                pool.give(old);
            }
        }
        // There is one at least.
        y.map_or_else(|| x.part(0, x.channels, pool), Ok)
    }
}

/// Attention inside windows and two linear layers, each with a shortcut around it.
pub(super) struct Block {
    norms: [LayerNorm; 2],
    qkv: Conv2d,
    windows: Windows,
    /// What a HAT has beside the attention.
    aside: Option<hat::Aside>,
    out: Conv2d,
    wide: Conv2d,
    narrow: Conv2d,
}

impl Block {
    fn load(weights: &Weights<'_>, name: &str, features: usize, window: usize, moved: bool) -> Result<Self> {
        let table_name = format!("{name}.attn.relative_position_bias_table");
        let heads = weights.side(&table_name, 1)?;
        let table = weights.tensor(&table_name, &[(2 * window - 1).pow(2), heads])?;
        if !features.is_multiple_of(heads) {
            return Err(weights.unsupported("its channels cannot be shared out to its heads"));
        }
        let norm = |part: &str| LayerNorm::load(weights, &format!("{name}.{part}"), features, 1e-5);
        let shift = if moved { window / 2 } else { 0 };
        let windows = Windows {
            size: (window, window),
            shift: (shift, shift),
            around: 0,
            masked: moved,
            heads,
            bias: Windows::spread(&table, (window, window), heads),
            scale: 1.0 / ((features / heads) as f32).sqrt(),
        };
        let aside = match weights.has(&format!("{name}.conv_block.cab.0.weight")) {
            true => Some(hat::Aside::load(weights, name, features)?),
            false => None,
        };
        let inside = |part: &str| match part {
            "qkv" | "proj" => format!("{name}.attn.{part}"),
            _ => format!("{name}.{part}"),
        };
        Self::with(weights, [norm("norm1")?, norm("norm2")?], windows, aside, features, inside)
    }

    /// A block of linear layers `qkv`, `proj`, `mlp.fc1` and `mlp.fc2`, whose names `name` completes.
    pub(super) fn with(
        weights: &Weights<'_>,
        norms: [LayerNorm; 2],
        windows: Windows,
        aside: Option<hat::Aside>,
        features: usize,
        name: impl Fn(&str) -> String,
    ) -> Result<Self> {
        let linear = |part: &str, inputs: usize, outputs: usize| {
            let bias = weights.has(&format!("{}.bias", name(part)));
            Conv2d::linear(weights, &name(part), inputs, outputs, bias)
        };
        let hidden = weights.width(&format!("{}.weight", name("mlp.fc1")))?;
        Ok(Self {
            norms,
            qkv: linear("qkv", features, 3 * features)?,
            windows,
            aside,
            out: linear("proj", features, features)?,
            wide: linear("mlp.fc1", features, hidden)?,
            narrow: linear("mlp.fc2", hidden, features)?,
        })
    }

    fn layers(&self) -> impl Iterator<Item = &Conv2d> {
        let linear = [&self.qkv, &self.out, &self.wide, &self.narrow];
        linear.into_iter().chain(self.aside.iter().flat_map(hat::Aside::layers))
    }

    fn run(&self, x: Map, pool: &mut Pool) -> Result<Map> {
        let [first, second] = &self.norms;
        let normed = first.run(&x, pool)?;
        let qkv = self.qkv.run(&normed, Then::NOTHING, pool)?;
        let channels = x.channels;
        let seen = self.windows.run([(&qkv, 0), (&qkv, channels), (&qkv, 2 * channels)], channels, pool)?;
        pool.give(qkv);
        let mut y = self.out.run(&seen, Then::add(&x), pool)?;
        pool.give(seen);
        pool.give(x);
        if let Some(aside) = &self.aside {
            let sum = aside.run(&normed, &y, pool)?;
            pool.give(std::mem::replace(&mut y, sum));
        }
        pool.give(normed);
        let normed = second.run(&y, pool)?;
        let wide = self.wide.run(&normed, Then::activation(Activation::Gelu), pool)?;
        pool.give(normed);
        let out = self.narrow.run(&wide, Then::add(&y), pool)?;
        pool.give(wide);
        pool.give(y);
        Ok(out)
    }
}

impl SwinIr {
    pub(super) fn load(weights: &Weights<'_>) -> Result<Self> {
        if weights.has("absolute_pos_embed") {
            return Err(weights
                .unsupported("it knows places of its pixels (`absolute_pos_embed`), which no published one does"));
        }
        let colours = weights.side("conv_first.weight", 1)?;
        if ![1, 3].contains(&colours) {
            return Err(weights.misshaped(
                "conv_first.weight",
                weights.shape("conv_first.weight")?,
                "1 or 3 channels".into(),
            ));
        }
        let first = Conv2d::found(weights, "conv_first", colours)?;
        let features = first.channels();
        let table = "layers.0.residual_group.blocks.0.attn.relative_position_bias_table";
        let window = weights.width(table)?.isqrt().div_ceil(2);
        let groups = (0..).take_while(|i| weights.any(&format!("layers.{i}.")));
        let group = |i: usize| -> Result<Group> {
            let name = format!("layers.{i}");
            let count = weights.count(&format!("{name}.residual_group.blocks."), ".norm1.weight");
            let block = |j: usize| {
                Block::load(weights, &format!("{name}.residual_group.blocks.{j}"), features, window, j % 2 == 1)
            };
            let end = Convs::load(weights, &format!("{name}.conv"), features)?;
            let mut blocks = (0..count).map(block).collect::<Result<Vec<_>>>()?;
            let overlap = format!("{name}.residual_group.overlap_attn");
            if weights.has(&format!("{overlap}.qkv.weight")) {
                blocks.push(hat::overlapping(weights, &overlap, features, window)?);
            }
            Ok(Group { blocks, end })
        };
        let groups = groups.map(group).collect::<Result<Vec<_>>>()?;
        let end = Convs::load(weights, "conv_after_body", features)?;
        if groups.iter().map(|group| &group.end).chain([&end]).any(|end| end.channels() != features) {
            return Err(weights.unsupported("the convolutions behind its groups are of another width"));
        }
        let before = match weights.has("patch_embed.norm.weight") {
            true => Some(LayerNorm::load(weights, "patch_embed.norm", features, 1e-5)?),
            false => None,
        };
        Ok(Self {
            first,
            before,
            groups,
            norm: LayerNorm::load(weights, "norm", features, 1e-5)?,
            end,
            upsampler: Upsampler::load(weights, features, colours)?,
            colours,
            features,
            window,
            // The networks against JPEG damage, which alone have windows of seven pixels.
            range: if window == 7 { 255.0 } else { 1.0 },
        })
    }
}

impl Network for SwinIr {
    fn scale(&self) -> usize {
        self.upsampler.scale()
    }

    fn colours(&self) -> usize {
        self.colours
    }

    fn radius(&self) -> Option<usize> {
        // Windows begin at the first pixel.
        None
    }

    fn layers(&self) -> Vec<&Conv2d> {
        let blocks = self.groups.iter().flat_map(|group| &group.blocks);
        let linear = blocks.flat_map(Block::layers);
        let ends = self.groups.iter().map(|group| &group.end).chain([&self.end]).flat_map(Convs::layers);
        [&self.first].into_iter().chain(linear).chain(ends).chain(self.upsampler.layers()).collect()
    }

    fn flops(&self) -> f64 {
        let blocks = self.groups.iter().flat_map(|group| &group.blocks);
        let windows: f64 = blocks.map(|block| block.windows.flops(self.features)).sum();
        self.layers().iter().map(|layer| layer.flops()).sum::<f64>() + windows + self.upsampler.more_flops()
    }

    fn alive(&self) -> u64 {
        (4 * (12 * self.features)) as u64 + self.upsampler.alive()
    }

    fn enlarged(&self, input: Map, _: Region, pool: &mut Pool, take: &mut Take<'_>) -> Result<()> {
        let (width, height) = input.size();
        let whole = |of: usize| of.next_multiple_of(self.window);
        let mut x = input.mirrored((whole(width), whole(height)), pool)?;
        pool.give(input);
        x.change(|c, value| (value - mean(self.colours, c)) * self.range)?;
        let first = self.first.run(&x, Then::NOTHING, pool)?;
        let mut y = match &self.before {
            Some(norm) => norm.run(&first, pool)?,
            None => first.part(0, first.channels, pool)?,
        };
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
        out.change(|c, value| value / self.range + mean(self.colours, c))?;
        take(out.cropped((width * self.scale(), height * self.scale()), pool)?, pool)
    }
}
