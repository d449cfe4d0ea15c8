//! Stable Diffusion's autoencoder: from pictures to latents and back.

use super::resnet::{Norms, Resnet};
use super::transformer::PixelAttention;
use super::{Scratch, from_planes, to_planes};
use crate::kernels::Activation;
use crate::layers::{Compute, Conv2d, GroupNorm, Map, Pool, Precision, Then, Upsample, Weights, Window};
use crate::{Error, Result};

/// The sizes of an autoencoder. A level is one resolution, the finest first.
#[derive(Clone, Debug, PartialEq)]
pub struct VaeConfig {
    /// Channels of pictures.
    pub channels: usize,
    /// Channels of latents.
    pub latent: usize,
    /// Channels of each level.
    pub widths: Vec<usize>,
    /// Residual blocks of a level of the encoder; the decoder has one more.
    pub blocks: usize,
    /// Groups of the normalisations.
    pub groups: usize,
}

impl Default for VaeConfig {
    /// Stable Diffusion 1.
    fn default() -> Self {
        Self { channels: 3, latent: 4, widths: vec![128, 256, 512, 512], blocks: 2, groups: 32 }
    }
}

impl VaeConfig {
    fn norms(&self) -> Norms {
        Norms { groups: self.groups, epsilon: 1e-6 }
    }

    /// Channels of the finest and the coarsest level.
    fn ends(&self) -> Result<(usize, usize)> {
        match (&self.widths[..], &self.widths[..]) {
            (&[first, ..], &[.., last]) => Ok((first, last)),
            _ => Err(Error::Setting { name: "widths", value: "none".into(), hint: "there is at least one level" }),
        }
    }
}

/// The middle of both halves.
struct Middle(Resnet, PixelAttention, Resnet);

impl Middle {
    fn load(weights: &Weights<'_>, name: &str, channels: usize, norms: Norms) -> Result<Self> {
        let resnet =
            |i: usize| Resnet::load(weights, &format!("{name}.resnets.{i}"), (channels, channels), norms, None);
        let attention = PixelAttention::load(weights, &format!("{name}.attentions.0"), channels, norms)?;
        Ok(Self(resnet(0)?, attention, resnet(1)?))
    }

    fn flops(&self, pixels: usize) -> f64 {
        (self.0.flops() + self.2.flops()) * pixels as f64 + self.1.flops(pixels)
    }

    fn bytes(&self) -> u64 {
        self.0.bytes() + self.1.bytes() + self.2.bytes()
    }

    fn run(&self, x: Map, pool: &mut Pool) -> Result<Map> {
        let Self(first, attention, second) = self;
        let y = first.run(&x, None, pool)?;
        pool.give(x);
        let y = attention.run(y, pool)?;
        let out = second.run(&y, None, pool)?;
        pool.give(y);
        Ok(out)
    }
}

/// Residual blocks one after the other.
fn through(blocks: &[Resnet], mut x: Map, pool: &mut Pool) -> Result<Map> {
    for block in blocks {
        let y = block.run(&x, None, pool)?;
        pool.give(std::mem::replace(&mut x, y));
    }
    Ok(x)
}

/// The residual blocks of a level: the first one changes the number of channels.
fn level(weights: &Weights<'_>, name: &str, count: usize, from: usize, to: usize, norms: Norms) -> Result<Vec<Resnet>> {
    let block = |i: usize| {
        let from = if i == 0 { from } else { to };
        Resnet::load(weights, &format!("{name}.resnets.{i}"), (from, to), norms, None)
    };
    (0..count).map(block).collect()
}

/// The half from latents to pictures, with its weights.
pub struct VaeDecoder {
    latent: usize,
    mix: Conv2d,
    enter: Conv2d,
    middle: Middle,
    levels: Vec<(Vec<Resnet>, Option<Upsample>)>,
    norm: GroupNorm,
    leave: Conv2d,
}

impl VaeDecoder {
    /// Reads the bytes of a safetensors file with the tensor names of diffusers' `AutoencoderKL`.
    ///
    /// # Errors
    /// When the file is no safetensors file, a tensor is missing, misshaped or not finite, or the sizes make no sense.
    pub fn from_safetensors(file: &[u8], config: &VaeConfig, compute: Compute) -> Result<Self> {
        Self::load(&Weights::read(file, "autoencoder", "")?.on(compute), config)
    }

    pub(crate) fn load(weights: &Weights<'_>, config: &VaeConfig) -> Result<Self> {
        let (norms, latent, (first, last)) = (config.norms(), config.latent, config.ends()?);
        let (mut levels, mut from) = (vec![], last);
        for (i, &width) in config.widths.iter().rev().enumerate() {
            let name = format!("decoder.up_blocks.{i}");
            let blocks = level(weights, &name, config.blocks + 1, from, width, norms)?;
            let double = || Upsample::nearest(weights, &format!("{name}.upsamplers.0.conv"), width, width);
            levels.push((blocks, if i + 1 < config.widths.len() { Some(double()?) } else { None }));
            from = width;
        }
        // The latent comes in as f32, and the picture goes out as f32.
        let precise = weights.precise();
        Ok(Self {
            latent,
            mix: Conv2d::load(&precise, "post_quant_conv", latent, latent, 1)?,
            enter: Conv2d::load(&precise, "decoder.conv_in", latent, last, 3)?.giving(weights.precision()),
            middle: Middle::load(weights, "decoder.mid_block", last, norms)?,
            levels,
            norm: GroupNorm::load(weights, "decoder.conv_norm_out", first, norms.groups, norms.epsilon)?,
            leave: Conv2d::load(weights, "decoder.conv_out", first, config.channels, 3)?.giving(Precision::F32),
        })
    }

    /// Floating-point operations for a latent of this size, as textbooks count them.
    pub fn flops(&self, (width, height): (usize, usize)) -> f64 {
        let mut pixels = width * height;
        let mut sum = (self.mix.flops() + self.enter.flops()) * pixels as f64 + self.middle.flops(pixels);
        for (blocks, double) in &self.levels {
            sum += blocks.iter().map(Resnet::flops).sum::<f64>() * pixels as f64;
            if let Some(double) = double {
                sum += double.flops() * pixels as f64;
                pixels *= 4;
            }
        }
        sum + self.leave.flops() * pixels as f64
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        let blocks = self.levels.iter().flat_map(|(blocks, _)| blocks).map(Resnet::bytes);
        let doubles = self.levels.iter().filter_map(|(_, double)| double.as_ref()).map(Upsample::bytes);
        let plain = [&self.mix, &self.enter, &self.leave].into_iter().map(Conv2d::bytes);
        blocks.chain(doubles).chain(plain).sum::<u64>() + self.middle.bytes()
    }

    /// The picture of a latent of width x height, plane by plane, in the latent's own unit (what the U-Net sees, divided by
    /// 0.18215): three planes about -1 to 1, twice as large for each level but one.
    ///
    /// # Errors
    /// When the latent does not fit its size, or there is too little memory.
    pub fn run(&self, latent: &[f32], size: (usize, usize), scratch: &mut Scratch) -> Result<Vec<f32>> {
        let Scratch(pool) = scratch;
        let input = from_planes(latent, self.latent, size, pool)?;
        let y = self.mix.run(&input, Then::NOTHING, pool)?;
        pool.give(input);
        let x = self.enter.run(&y, Then::NOTHING, pool)?;
        pool.give(y);
        let mut x = self.middle.run(x, pool)?;
        for (blocks, double) in &self.levels {
            x = through(blocks, x, pool)?;
            if let Some(double) = double {
                let y = double.run(&x, Then::NOTHING, 0, pool)?;
                pool.give(std::mem::replace(&mut x, y));
            }
        }
        let y = self.norm.run(&x, Activation::Silu, pool)?;
        pool.give(x);
        let picture = self.leave.run(&y, Then::NOTHING, pool)?;
        pool.give(y);
        let out = to_planes(&picture);
        pool.give(picture);
        out
    }
}

/// The half from pictures to latents, with its weights.
pub struct VaeEncoder {
    channels: usize,
    latent: usize,
    enter: Conv2d,
    levels: Vec<(Vec<Resnet>, Option<Conv2d>)>,
    middle: Middle,
    norm: GroupNorm,
    leave: Conv2d,
    mix: Conv2d,
}

impl VaeEncoder {
    /// Reads the bytes of a safetensors file with the tensor names of diffusers' `AutoencoderKL`.
    ///
    /// # Errors
    /// When the file is no safetensors file, a tensor is missing, misshaped or not finite, or the sizes make no sense.
    pub fn from_safetensors(file: &[u8], config: &VaeConfig, compute: Compute) -> Result<Self> {
        let weights = Weights::read(file, "autoencoder", "")?.on(compute);
        let (norms, moments, (first, last)) = (config.norms(), 2 * config.latent, config.ends()?);
        let (mut levels, mut from) = (vec![], first);
        for (i, &width) in config.widths.iter().enumerate() {
            let name = format!("encoder.down_blocks.{i}");
            let blocks = level(&weights, &name, config.blocks, from, width, norms)?;
            // Zeros behind the end only.
            let window = Window { kernel: 3, stride: 2, before: 0, after: 1 };
            let halve = || Conv2d::windowed(&weights, &format!("{name}.downsamplers.0.conv"), width, width, window);
            levels.push((blocks, if i + 1 < config.widths.len() { Some(halve()?) } else { None }));
            from = width;
        }
        // The picture comes in as f32, and the latent goes out as f32.
        let precise = weights.precise();
        let enter = Conv2d::load(&precise, "encoder.conv_in", config.channels, first, 3)?;
        Ok(Self {
            channels: config.channels,
            latent: config.latent,
            enter: enter.giving(weights.precision()),
            levels,
            middle: Middle::load(&weights, "encoder.mid_block", last, norms)?,
            norm: GroupNorm::load(&weights, "encoder.conv_norm_out", last, norms.groups, norms.epsilon)?,
            leave: Conv2d::load(&weights, "encoder.conv_out", last, moments, 3)?.giving(Precision::F32),
            mix: Conv2d::load(&precise, "quant_conv", moments, moments, 1)?,
        })
    }

    /// The most likely latent of a picture of width x height, whose planes run from -1 to 1, in the latent's own unit.
    ///
    /// # Errors
    /// When the picture does not fit its size, or there is too little memory.
    pub fn run(&self, picture: &[f32], size: (usize, usize), scratch: &mut Scratch) -> Result<Vec<f32>> {
        let Scratch(pool) = scratch;
        let input = from_planes(picture, self.channels, size, pool)?;
        let mut x = self.enter.run(&input, Then::NOTHING, pool)?;
        pool.give(input);
        for (blocks, halve) in &self.levels {
            x = through(blocks, x, pool)?;
            if let Some(halve) = halve {
                let y = halve.run(&x, Then::NOTHING, pool)?;
                pool.give(std::mem::replace(&mut x, y));
            }
        }
        let x = self.middle.run(x, pool)?;
        let y = self.norm.run(&x, Activation::Silu, pool)?;
        pool.give(x);
        let moments = self.leave.run(&y, Then::NOTHING, pool)?;
        pool.give(y);
        let both = self.mix.run(&moments, Then::NOTHING, pool)?;
        pool.give(moments);
        let mut planes = to_planes(&both)?;
        // Behind the means lie the logarithms of the variances.
        planes.truncate(self.latent * both.region.width() * both.region.height());
        pool.give(both);
        Ok(planes)
    }
}
