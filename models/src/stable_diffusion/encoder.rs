//! The way down of a U-Net, which a ControlNet has a copy of.

use super::condition::{Embedder, Given};
use super::resnet::{Norms, Resnet};
use super::transformer::{Sizes, Transformer};
use super::{UnetConfig, from_planes};
use crate::layers::{Conv2d, Map, Pool, Then, Weights, Window};
use crate::{Error, Result};

/// The way down to the middle, and the middle: whatever comes before the way up.
pub(super) struct Encoder {
    embedder: Embedder,
    enter: Conv2d,
    channels_in: usize,
    down: Vec<Down>,
    middle: (Resnet, Transformer, Resnet),
}

/// A residual block, and a transformer behind it.
pub(super) struct Stage {
    resnet: Resnet,
    transformer: Option<Transformer>,
}

/// A level on the way down.
struct Down {
    stages: Vec<Stage>,
    halve: Option<Conv2d>,
}

/// A map on the way, by its sizes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) size: (usize, usize),
    pub(super) channels: usize,
}

impl Shape {
    /// Values of such a map in memory, its border with them.
    pub(super) fn values(self) -> u64 {
        let side = |side: usize| (side as u64).saturating_add(2);
        side(self.size.0).saturating_mul(side(self.size.1)).saturating_mul(self.channels as u64)
    }
}

impl Encoder {
    /// Reads the tensors that diffusers' `UNet2DConditionModel` and `ControlNetModel` have in common.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped, or the sizes make no sense.
    pub(super) fn load(weights: &Weights<'_>, config: &UnetConfig) -> Result<Self> {
        let levels = config.widths.len();
        let (&[first, ..], &[.., last]) = (&config.widths[..], &config.widths[..]) else {
            return Err(Error::Setting { name: "widths", value: "none".into(), hint: "there is at least one level" });
        };
        if config.transformers.len() != levels || config.heads.len() != levels {
            let value = format!("{} and {}", config.transformers.len(), config.heads.len());
            let hint = "there is one number for each level";
            return Err(Error::Setting { name: "transformers and heads", value, hint });
        }
        let (mut down, mut from) = (vec![], first);
        for (level, &width) in config.widths.iter().enumerate() {
            let name = format!("down_blocks.{level}");
            let mut stages = vec![];
            for i in 0..config.blocks {
                stages.push(Stage::load(weights, config, &name, i, level, from)?);
                from = width;
            }
            let halve = || {
                let window = Window { kernel: 3, stride: 2, before: 1, after: 1 };
                Conv2d::windowed(weights, &format!("{name}.downsamplers.0.conv"), width, width, window)
            };
            down.push(Down { stages, halve: if level + 1 < levels { Some(halve()?) } else { None } });
        }
        let blocks = config.transformers.iter().rev().copied().find(|blocks| *blocks > 0).unwrap_or(1);
        let resnet = |i: usize| {
            let (norms, name) = (config.norms(), format!("mid_block.resnets.{i}"));
            Resnet::load(weights, &name, (last, last), norms, Some(config.embedded()))
        };
        let transformer = Transformer::load(weights, "mid_block.attentions.0", last, config.sizes(levels - 1, blocks))?;
        // The latent comes in as f32.
        let enter = Conv2d::load(&weights.precise(), "conv_in", config.channels_in, first, 3)?;
        Ok(Self {
            embedder: Embedder::load(weights, config, first)?,
            enter: enter.giving(weights.precision()),
            channels_in: config.channels_in,
            down,
            middle: (resnet(0)?, transformer, resnet(1)?),
        })
    }

    /// What turns conditions into maps.
    pub(super) fn embedder(&self) -> &Embedder {
        &self.embedder
    }

    /// The maps that a run over a latent of this size gives: what the way up will find, and the middle.
    ///
    /// # Errors
    /// When the sides are not multiples of 2 for each level but one.
    pub(super) fn shapes(&self, (width, height): (usize, usize)) -> Result<(Vec<Shape>, Shape)> {
        let multiple = 1 << (self.down.len() - 1);
        if !width.is_multiple_of(multiple) || !height.is_multiple_of(multiple) {
            let hint = "the sides are halved at each level but one";
            return Err(Error::Setting { name: "latent size", value: format!("{width}x{height}"), hint });
        }
        let mut shape = Shape { size: (width, height), channels: self.enter.channels() };
        let mut skips = vec![shape];
        for Down { stages, halve } in &self.down {
            for stage in stages {
                shape.channels = stage.resnet.channels();
                skips.push(shape);
            }
            if halve.is_some() {
                shape.size = (shape.size.0 / 2, shape.size.1 / 2);
                skips.push(shape);
            }
        }
        Ok((skips, shape))
    }

    /// Floating-point operations over a latent of this size and so many tokens.
    pub(super) fn flops(&self, (width, height): (usize, usize), tokens: usize) -> f64 {
        let mut pixels = width * height;
        let mut sum = self.enter.flops() * pixels as f64;
        for Down { stages, halve } in &self.down {
            sum += stages.iter().map(|stage| stage.flops(pixels, tokens)).sum::<f64>();
            if let Some(halve) = halve {
                pixels /= 4;
                sum += halve.flops() * pixels as f64;
            }
        }
        let (a, transformer, b) = &self.middle;
        sum + (a.flops() + b.flops()) * pixels as f64 + transformer.flops(pixels, tokens)
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> u64 {
        let level =
            |d: &Down| d.stages.iter().map(Stage::bytes).sum::<u64>() + d.halve.as_ref().map_or(0, Conv2d::bytes);
        let (a, transformer, b) = &self.middle;
        let middle = a.bytes() + transformer.bytes() + b.bytes();
        self.embedder.bytes() + self.enter.bytes() + self.down.iter().map(level).sum::<u64>() + middle
    }

    /// The most values that lie in memory at once during a run over a latent of this size.
    ///
    /// # Errors
    /// As [`Encoder::shapes`].
    pub(super) fn room(&self, size: (usize, usize)) -> Result<u64> {
        let (skips, middle) = self.shapes(size)?;
        let (mut kept, mut most) = (0, 0);
        let stages = self.down.iter().flat_map(|d| d.stages.iter().map(Some).chain(d.halve.iter().map(|_| None)));
        for (stage, pair) in stages.zip(skips.windows(2)) {
            kept += pair[0].values();
            let inside = stage.map_or(pair[1].values(), |stage| stage.room(pair[0], pair[1].channels));
            most = most.max(kept + inside);
        }
        kept += middle.values();
        let (a, transformer, b) = &self.middle;
        let inside =
            a.room(middle).max(middle.values() + transformer.room(middle)).max(middle.values() + b.room(middle));
        Ok(most.max(kept + inside))
    }

    /// What lies behind each stage and each halving, the finest first, and the middle. `hint` is added to the first map;
    /// `keep` says what to keep of each map, by its number, once the next one is computed.
    ///
    /// # Errors
    /// When the latent does not fit its size, its sides are not multiples of 2 for each level but one, or there is too little
    /// memory.
    pub(super) fn run(
        &self,
        latent: &[f32],
        size: (usize, usize),
        given: &Given,
        hint: Option<&Map>,
        keep: &mut dyn FnMut(usize, Map, &mut Pool) -> Result<Map>,
        pool: &mut Pool,
    ) -> Result<(Vec<Map>, Map)> {
        let input = from_planes(latent, self.channels_in, size, pool)?;
        let mut x = self.enter.run(&input, hint.map_or(Then::NOTHING, Then::add), pool)?;
        pool.give(input);
        let mut kept = vec![];
        let mut next = |y: Map, x: &mut Map, pool: &mut Pool| -> Result<()> {
            let done = keep(kept.len(), std::mem::replace(x, y), pool)?;
            kept.push(done);
            Ok(())
        };
        for Down { stages, halve } in &self.down {
            for stage in stages {
                let y = stage.run(&x, given, pool)?;
                next(y, &mut x, pool)?;
            }
            if let Some(halve) = halve {
                let y = halve.run(&x, Then::NOTHING, pool)?;
                next(y, &mut x, pool)?;
            }
        }
        let (a, transformer, b) = &self.middle;
        let y = a.run(&x, Some(&given.time), pool)?;
        next(y, &mut x, pool)?;
        let y = transformer.run(&x, &given.text, pool)?;
        pool.give(std::mem::replace(&mut x, y));
        let middle = b.run(&x, Some(&given.time), pool)?;
        pool.give(x);
        Ok((kept, middle))
    }
}

impl Stage {
    /// Stage `i` of the part `name` of a U-Net, on a level; it takes maps of `from` channels.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(super) fn load(
        weights: &Weights<'_>,
        config: &UnetConfig,
        name: &str,
        i: usize,
        level: usize,
        from: usize,
    ) -> Result<Self> {
        let (to, blocks) = (config.widths[level], config.transformers[level]);
        let resnet = format!("{name}.resnets.{i}");
        let transformer = || {
            let name = format!("{name}.attentions.{i}");
            Transformer::load(weights, &name, to, config.sizes(level, blocks))
        };
        Ok(Self {
            resnet: Resnet::load(weights, &resnet, (from, to), config.norms(), Some(config.embedded()))?,
            transformer: if blocks > 0 { Some(transformer()?) } else { None },
        })
    }

    pub(super) fn flops(&self, pixels: usize, tokens: usize) -> f64 {
        self.resnet.flops() * pixels as f64 + self.transformer.as_ref().map_or(0.0, |t| t.flops(pixels, tokens))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.resnet.bytes() + self.transformer.as_ref().map_or(0, Transformer::bytes)
    }

    /// The most values beside the input that lie in memory at once, the result with them.
    pub(super) fn room(&self, from: Shape, channels: usize) -> u64 {
        let to = Shape { channels, ..from };
        let behind = self.transformer.as_ref().map_or(0, |transformer| to.values() + transformer.room(to));
        self.resnet.room(from).max(behind)
    }

    pub(super) fn run(&self, x: &Map, given: &Given, pool: &mut Pool) -> Result<Map> {
        let y = self.resnet.run(x, Some(&given.time), pool)?;
        let Some(transformer) = &self.transformer else { return Ok(y) };
        let out = transformer.run(&y, &given.text, pool)?;
        pool.give(y);
        Ok(out)
    }
}

impl UnetConfig {
    fn norms(&self) -> Norms {
        Norms { groups: self.groups, epsilon: 1e-5 }
    }

    /// Channels of the embedded time.
    fn embedded(&self) -> usize {
        4 * self.widths.first().copied().unwrap_or(0)
    }

    fn sizes(&self, level: usize, blocks: usize) -> Sizes {
        let heads = self.heads[level];
        Sizes { blocks, heads, text: self.text, groups: self.groups, linear: self.linear }
    }
}
