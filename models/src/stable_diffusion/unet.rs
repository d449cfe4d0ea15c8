//! Stable Diffusion's U-Net: what is noise in a latent, given a time and a text.

use super::condition::AddedConfig;
use super::encoder::{Encoder, Shape, Stage};
use super::{Condition, Residuals, Scratch, bytes_of, to_planes};
use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Compute, Conv2d, GroupNorm, Map, Pool, Precision, Then, Upsample, Weights};

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
    /// What it is told about the picture beside the text.
    pub added: Option<AddedConfig>,
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
            added: None,
        }
    }
}

impl UnetConfig {
    /// Stable Diffusion 2, and what is made of it (SD-Turbo).
    pub fn sd2() -> Self {
        Self { heads: vec![5, 10, 20, 20], text: 1024, linear: true, ..Self::default() }
    }

    /// SDXL's base network (Podell et al. 2023, table 1).
    pub fn sdxl() -> Self {
        Self {
            widths: vec![320, 640, 1280],
            transformers: vec![0, 2, 10],
            heads: vec![5, 10, 20],
            text: 2048,
            linear: true,
            added: Some(AddedConfig { pooled: 1280, ids: 6, width: 256 }),
            ..Self::default()
        }
    }

    /// SDXL's refiner.
    pub fn refiner() -> Self {
        Self {
            widths: vec![384, 768, 1536, 1536],
            transformers: vec![0, 4, 4, 0],
            heads: vec![6, 12, 24, 24],
            text: 1280,
            linear: true,
            added: Some(AddedConfig { pooled: 1280, ids: 5, width: 256 }),
            ..Self::default()
        }
    }
}

/// A U-Net with its weights.
pub struct Unet {
    config: UnetConfig,
    precision: Precision,
    encoder: Encoder,
    up: Vec<Up>,
    norm: GroupNorm,
    leave: Conv2d,
}

/// A level on the way up.
struct Up {
    stages: Vec<Stage>,
    double: Option<Upsample>,
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
        let encoder = Encoder::load(weights, &config)?;
        // What the way up will find from the way down does not depend on the size.
        let (mut skips, Shape { channels: mut from, .. }) = encoder.shapes((0, 0))?;
        let (mut up, mut first) = (vec![], from);
        for (i, (level, &width)) in config.widths.iter().enumerate().rev().enumerate() {
            let name = format!("up_blocks.{i}");
            let mut stages = vec![];
            for i in 0..=config.blocks {
                // As many were pushed as are popped.
                let skip = skips.pop().map_or(0, |skip| skip.channels);
                stages.push(Stage::load(weights, &config, &name, i, level, from + skip)?);
                from = width;
            }
            let double = match level {
                0 => None,
                _ => Some(Upsample::nearest(weights, &format!("{name}.upsamplers.0.conv"), width, width)?),
            };
            up.push(Up { stages, double });
            first = width;
        }
        Ok(Self {
            precision: weights.precision(),
            encoder,
            up,
            norm: GroupNorm::load(weights, "conv_norm_out", first, config.groups, 1e-5)?,
            // The noise goes out as f32.
            leave: Conv2d::load(weights, "conv_out", first, config.channels_out, 3)?.giving(Precision::F32),
            config,
        })
    }

    /// Its sizes.
    pub fn config(&self) -> &UnetConfig {
        &self.config
    }

    /// Floating-point operations of a run over a latent of this size and so many tokens, as textbooks count them.
    pub fn flops(&self, (width, height): (usize, usize), tokens: usize) -> f64 {
        let mut sum = self.encoder.flops((width, height), tokens) + self.leave.flops() * (width * height) as f64;
        for (i, Up { stages, double }) in self.up.iter().rev().enumerate() {
            // Levels from the finest one on.
            let pixels = (width >> i) * (height >> i);
            sum += stages.iter().map(|stage| stage.flops(pixels, tokens)).sum::<f64>();
            sum += double.as_ref().map_or(0.0, |double| double.flops() * pixels as f64);
        }
        sum
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        let level =
            |u: &Up| u.stages.iter().map(Stage::bytes).sum::<u64>() + u.double.as_ref().map_or(0, Upsample::bytes);
        self.encoder.bytes() + self.up.iter().map(level).sum::<u64>() + self.leave.bytes()
    }

    /// Bytes of the maps of a run over a latent of this size, on the processor.
    pub fn working_bytes(&self, size: (usize, usize)) -> u64 {
        let Ok((mut skips, mut x)) = self.encoder.shapes(size) else { return 0 };
        let mut most = self.encoder.room(size).unwrap_or(0);
        let mut kept: u64 = skips.iter().map(|skip| skip.values()).sum();
        for (Up { stages, double }, &width) in self.up.iter().zip(self.config.widths.iter().rev()) {
            for stage in stages {
                let Some(skip) = skips.pop() else { continue };
                let both = Shape { channels: x.channels + skip.channels, ..x };
                most = most.max(kept + x.values() + both.values());
                kept -= skip.values();
                most = most.max(kept + both.values() + stage.room(both, width));
                x.channels = width;
            }
            if double.is_some() {
                let twice = Shape { size: (2 * x.size.0, 2 * x.size.1), ..x };
                most = most.max(kept + x.values() + twice.values());
                x = twice;
            }
        }
        // The latent and the noise are f32 always.
        let ends = Shape { size, channels: self.config.channels_in + self.config.channels_out };
        bytes_of(most, self.precision) + 4 * ends.values()
    }

    /// The noise (or whatever it has learned to predict) in a latent of width x height, plane by plane, given what it is told and
    /// what ControlNets add.
    ///
    /// # Errors
    /// When the latent does not fit its size, its sides are not multiples of 2 for each level but one, what it is told does not
    /// fit the network, the residuals are for another network or size, or there is too little memory.
    pub fn run(
        &self,
        latent: &[f32],
        size: (usize, usize),
        condition: Condition<'_>,
        residuals: Option<&Residuals>,
        scratch: &mut Scratch,
    ) -> Result<Vec<f32>> {
        let Scratch(pool) = scratch;
        let (mut shapes, middle) = self.encoder.shapes(size)?;
        shapes.push(middle);
        residuals.map(|residuals| residuals.check(&shapes)).transpose()?;
        let given = self.encoder.embedder().run(condition, pool)?;
        let mut keep = |i: usize, mut map: Map, _: &mut Pool| -> Result<Map> {
            residuals.map(|residuals| map.add(&residuals.maps[i])).transpose()?;
            Ok(map)
        };
        let (mut skips, middle) = self.encoder.run(latent, size, &given, None, &mut keep, pool)?;
        let mut x = keep(skips.len(), middle, pool)?;
        for Up { stages, double } in &self.up {
            // One map for each stage, as many as were pushed.
            for (stage, skip) in stages.iter().zip(skips.split_off(skips.len() - stages.len()).into_iter().rev()) {
                let both = x.join(&skip, pool)?;
                pool.give(x);
                pool.give(skip);
                x = stage.run(&both, &given, pool)?;
                pool.give(both);
            }
            if let Some(double) = double {
                let y = double.run(&x, Then::NOTHING, 0, pool)?;
                pool.give(std::mem::replace(&mut x, y));
            }
        }
        let y = self.norm.run(&x, Activation::Silu, pool)?;
        pool.give(x);
        given.give(pool);
        let noise = self.leave.run(&y, Then::NOTHING, pool)?;
        pool.give(y);
        let out = to_planes(&noise);
        pool.give(noise);
        out
    }
}
