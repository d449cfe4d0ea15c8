//! Stable Diffusion's U-Net: what is noise in a latent, given a time and a text.

use super::resnet::{Norms, Resnet};
use super::transformer::{Sizes, Transformer};
use super::{Scratch, from_planes, from_tokens, to_planes};
use crate::kernels::Activation;
use crate::layers::{Compute, Conv2d, GroupNorm, Map, Pool, Precision, Region, Then, Upsample, Weights, Window};
use crate::{Error, Result};

/// The sizes of a U-Net. A level is one resolution, the finest first.
#[derive(Clone, Debug, PartialEq)]
pub struct UnetConfig {
    /// Channels of the latent.
    pub channels_in: usize,
    /// Channels of the result.
    pub channels_out: usize,
    /// Channels of each level.
    pub widths: Vec<usize>,
    /// Transformer blocks behind each residual block of a level; 0 where it has no attention. The middle has as many as the
    /// last level that has some.
    pub transformers: Vec<usize>,
    /// Heads of the attention (diffusers calls that number `attention_head_dim`).
    pub heads: Vec<usize>,
    /// Residual blocks of a level on the way down; on the way up there is one more.
    pub blocks: usize,
    /// Channels of the text.
    pub text: usize,
    /// Groups of the normalisations.
    pub groups: usize,
    /// Whether the way into and out of transformers are linear layers and not 1x1 convolutions.
    pub linear: bool,
}

impl Default for UnetConfig {
    /// Stable Diffusion 1.
    fn default() -> Self {
        Self {
            channels_in: 4,
            channels_out: 4,
            widths: vec![320, 640, 1280, 1280],
            transformers: vec![1, 1, 1, 0],
            heads: vec![8; 4],
            blocks: 2,
            text: 768,
            groups: 32,
            linear: false,
        }
    }
}

/// A U-Net with its weights.
pub struct Unet {
    config: UnetConfig,
    compute: Compute,
    precision: Precision,
    enter: Conv2d,
    time: [Conv2d; 2],
    down: Vec<Down>,
    middle: (Resnet, Transformer, Resnet),
    up: Vec<Up>,
    norm: GroupNorm,
    leave: Conv2d,
}

/// A residual block, and a transformer behind it.
struct Stage {
    resnet: Resnet,
    transformer: Option<Transformer>,
}

/// A level on the way down.
struct Down {
    stages: Vec<Stage>,
    halve: Option<Conv2d>,
}

/// A level on the way up.
struct Up {
    stages: Vec<Stage>,
    double: Option<Upsample>,
}

/// What is the same for all layers of a run.
#[derive(Clone, Copy)]
struct Given<'a> {
    time: &'a Map,
    text: &'a Map,
}

impl Unet {
    /// Reads the bytes of a safetensors file with the tensor names of diffusers' `UNet2DConditionModel`.
    ///
    /// # Errors
    /// When the file is no safetensors file, a tensor is missing, misshaped or not finite, or the sizes make no sense.
    pub fn from_safetensors(file: &[u8], config: UnetConfig, compute: Compute) -> Result<Self> {
        Self::load(&Weights::read(file, "unet", "")?.on(compute), config)
    }

    pub(crate) fn load(weights: &Weights<'_>, config: UnetConfig) -> Result<Self> {
        let levels = config.widths.len();
        let (&[first, ..], &[.., last]) = (&config.widths[..], &config.widths[..]) else {
            return Err(Error::Setting { name: "widths", value: "none".into(), hint: "there is at least one level" });
        };
        if config.transformers.len() != levels || config.heads.len() != levels {
            let value = format!("{} and {}", config.transformers.len(), config.heads.len());
            let hint = "there is one number for each level";
            return Err(Error::Setting { name: "transformers and heads", value, hint });
        }
        let (norms, embedded) = (Norms { groups: config.groups, epsilon: 1e-5 }, 4 * first);
        let sizes = |level: usize, blocks: usize| Sizes {
            blocks,
            heads: config.heads[level],
            text: config.text,
            groups: config.groups,
            linear: config.linear,
        };
        let resnet =
            |name: String, from: usize, to: usize| Resnet::load(weights, &name, (from, to), norms, Some(embedded));
        let stage = |name: &str, i: usize, level: usize, from: usize| -> Result<Stage> {
            let (to, blocks) = (config.widths[level], config.transformers[level]);
            let transformer =
                || Transformer::load(weights, &format!("{name}.attentions.{i}"), to, sizes(level, blocks));
            Ok(Stage {
                resnet: resnet(format!("{name}.resnets.{i}"), from, to)?,
                transformer: if blocks > 0 { Some(transformer()?) } else { None },
            })
        };

        // What the way up will find from the way down.
        let mut skips = vec![first];
        let mut down = vec![];
        for (level, &width) in config.widths.iter().enumerate() {
            let name = format!("down_blocks.{level}");
            let mut stages = vec![];
            for i in 0..config.blocks {
                let from = skips.last().copied().unwrap_or(first);
                stages.push(stage(&name, i, level, from)?);
                skips.push(width);
            }
            let halve = if level + 1 < levels {
                skips.push(width);
                let window = Window { kernel: 3, stride: 2, before: 1, after: 1 };
                Some(Conv2d::windowed(weights, &format!("{name}.downsamplers.0.conv"), width, width, window)?)
            } else {
                None
            };
            down.push(Down { stages, halve });
        }

        let middle_blocks = config.transformers.iter().rev().copied().find(|blocks| *blocks > 0).unwrap_or(1);
        let middle = (
            resnet("mid_block.resnets.0".into(), last, last)?,
            Transformer::load(weights, "mid_block.attentions.0", last, sizes(levels - 1, middle_blocks))?,
            resnet("mid_block.resnets.1".into(), last, last)?,
        );

        let (mut up, mut from) = (vec![], last);
        for (i, level) in (0..levels).rev().enumerate() {
            let (name, width) = (format!("up_blocks.{i}"), config.widths[level]);
            let mut stages = vec![];
            for i in 0..=config.blocks {
                // As many were pushed as are popped.
                let skip = skips.pop().unwrap_or(first);
                stages.push(stage(&name, i, level, from + skip)?);
                from = width;
            }
            let double = match level {
                0 => None,
                _ => Some(Upsample::nearest(weights, &format!("{name}.upsamplers.0.conv"), width, width)?),
            };
            up.push(Up { stages, double });
        }

        // The latent and the time come in as f32, and the noise goes out as f32.
        let precise = weights.precise();
        let time = |i: usize, from: usize| {
            Conv2d::linear(&precise, &format!("time_embedding.linear_{i}"), from, embedded, true)
        };
        Ok(Self {
            compute: weights.compute().clone(),
            precision: weights.precision(),
            enter: Conv2d::load(&precise, "conv_in", config.channels_in, first, 3)?.giving(weights.precision()),
            time: [time(1, first)?, time(2, embedded)?.giving(weights.precision())],
            down,
            middle,
            up,
            norm: GroupNorm::load(weights, "conv_norm_out", first, norms.groups, norms.epsilon)?,
            leave: Conv2d::load(weights, "conv_out", first, config.channels_out, 3)?.giving(Precision::F32),
            config,
        })
    }

    /// Floating-point operations of a run over a latent of this size and so many tokens, as textbooks count them.
    pub fn flops(&self, (width, height): (usize, usize), tokens: usize) -> f64 {
        let mut pixels = width * height;
        let stages = |stages: &[Stage], pixels: usize| -> f64 { stages.iter().map(|s| s.flops(pixels, tokens)).sum() };
        let mut sum = (self.enter.flops() + self.leave.flops()) * pixels as f64;
        for Down { stages: all, halve } in &self.down {
            sum += stages(all, pixels);
            if let Some(halve) = halve {
                pixels /= 4;
                sum += halve.flops() * pixels as f64;
            }
        }
        let (a, transformer, b) = &self.middle;
        sum += (a.flops() + b.flops()) * pixels as f64 + transformer.flops(pixels, tokens);
        for Up { stages: all, double } in &self.up {
            sum += stages(all, pixels);
            if let Some(double) = double {
                sum += double.flops() * pixels as f64;
                pixels *= 4;
            }
        }
        sum
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        let stages = |stages: &[Stage]| stages.iter().map(Stage::bytes).sum::<u64>();
        let plain: u64 = [&self.enter, &self.time[0], &self.time[1], &self.leave].into_iter().map(Conv2d::bytes).sum();
        let down: u64 = self.down.iter().map(|d| stages(&d.stages) + d.halve.as_ref().map_or(0, Conv2d::bytes)).sum();
        let up: u64 = self.up.iter().map(|u| stages(&u.stages) + u.double.as_ref().map_or(0, Upsample::bytes)).sum();
        let (a, transformer, b) = &self.middle;
        plain + down + up + a.bytes() + transformer.bytes() + b.bytes()
    }

    /// The noise (or whatever it has learned to predict) in a latent of width x height, plane by plane, at a time (0 to 999
    /// in training), given the vectors of a text, one after the other.
    ///
    /// # Errors
    /// When the latent does not fit its size, its sides are not multiples of 2 for each level but one, the text is not of
    /// the network's width, or there is too little memory.
    pub fn run(
        &self,
        latent: &[f32],
        (width, height): (usize, usize),
        time: f32,
        text: &[f32],
        scratch: &mut Scratch,
    ) -> Result<Vec<f32>> {
        let multiple = 1 << (self.config.widths.len() - 1);
        if !width.is_multiple_of(multiple) || !height.is_multiple_of(multiple) {
            let hint = "the sides are halved at each level but one";
            return Err(Error::Setting { name: "latent size", value: format!("{width}x{height}"), hint });
        }
        let Scratch(pool) = scratch;
        let text = from_tokens(text, self.config.text, &self.compute, self.precision, pool)?;
        let time = self.embed(time, pool)?;
        let given = Given { time: &time, text: &text };

        let input = from_planes(latent, self.config.channels_in, (width, height), pool)?;
        let mut skips = vec![self.enter.run(&input, Then::NOTHING, pool)?];
        pool.give(input);
        for Down { stages, halve } in &self.down {
            for stage in stages {
                let out = stage.run(newest(&skips), given, pool)?;
                skips.push(out);
            }
            if let Some(halve) = halve {
                let out = halve.run(newest(&skips), Then::NOTHING, pool)?;
                skips.push(out);
            }
        }

        let (a, transformer, b) = &self.middle;
        let y = a.run(newest(&skips), Some(given.time), pool)?;
        let z = transformer.run(&y, given.text, pool)?;
        pool.give(y);
        let mut x = b.run(&z, Some(given.time), pool)?;
        pool.give(z);

        for Up { stages, double } in &self.up {
            // One map for each stage, as many as were pushed.
            for (stage, skip) in stages.iter().zip(skips.split_off(skips.len() - stages.len()).into_iter().rev()) {
                let both = x.join(&skip, pool)?;
                pool.give(x);
                pool.give(skip);
                x = stage.run(&both, given, pool)?;
                pool.give(both);
            }
            if let Some(double) = double {
                let y = double.run(&x, Then::NOTHING, 0, pool)?;
                pool.give(std::mem::replace(&mut x, y));
            }
        }

        let y = self.norm.run(&x, Activation::Silu, pool)?;
        pool.give(x);
        let noise = self.leave.run(&y, Then::NOTHING, pool)?;
        [y, time, text].into_iter().for_each(|map| pool.give(map));
        let out = to_planes(&noise);
        pool.give(noise);
        out
    }

    /// The time as cosines and sines of frequencies from 1 down to 1/10000, through two layers, and ready for those of the
    /// residual blocks.
    fn embed(&self, time: f32, pool: &mut Pool) -> Result<Map> {
        let half = self.config.widths[0] / 2;
        let mut input = pool.padded(Region::whole(1, 1), 2 * half, Precision::F32, 0)?;
        input.write(|_, values| {
            let (cosines, sines) = values.split_at_mut(half);
            for (i, (cosine, sine)) in cosines.iter_mut().zip(sines).enumerate() {
                // The angle in f32, as it was in training; the functions in f64, as f32's last bit is left to the C library.
                let exponent = -10_000f32.ln() * i as f32 / half as f32;
                let angle = f64::from(time * f64::from(exponent).exp() as f32);
                (*cosine, *sine) = (angle.cos() as f32, angle.sin() as f32);
            }
        })?;
        let [first, second] = &self.time;
        let y = first.run(&input, Then::SILU, pool)?;
        pool.give(input);
        let out = second.run(&y, Then::SILU, pool)?;
        pool.give(y);
        Ok(out)
    }
}

/// What was computed last on the way down.
fn newest(skips: &[Map]) -> &Map {
    let [.., newest] = skips else { panic!("the first convolution has pushed one") };
    newest
}

impl Stage {
    fn flops(&self, pixels: usize, tokens: usize) -> f64 {
        self.resnet.flops() * pixels as f64 + self.transformer.as_ref().map_or(0.0, |t| t.flops(pixels, tokens))
    }

    fn bytes(&self) -> u64 {
        self.resnet.bytes() + self.transformer.as_ref().map_or(0, Transformer::bytes)
    }

    fn run(&self, x: &Map, given: Given<'_>, pool: &mut Pool) -> Result<Map> {
        let y = self.resnet.run(x, Some(given.time), pool)?;
        let Some(transformer) = &self.transformer else { return Ok(y) };
        let out = transformer.run(&y, given.text, pool)?;
        pool.give(y);
        Ok(out)
    }
}
