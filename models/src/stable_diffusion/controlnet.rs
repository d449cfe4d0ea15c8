//! ControlNet (Zhang et al. 2023): a copy of a U-Net's way down that sees a picture, and whose maps are added to those of the
//! U-Net.

use super::encoder::Encoder;
use super::{Condition, Residuals, Scratch, UnetConfig, from_planes};
use crate::layers::{Conv2d, Map, Then, Weights, Window};
use crate::{Compute, Error, Precision, Result};

/// The sizes of a ControlNet.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlNetConfig {
    /// Those of the U-Net whose way down it copies. What it says of the way out (`channels_out`) has no meaning here.
    pub unet: UnetConfig,
    /// Channels of the picture.
    pub picture: usize,
    /// Channels of the layers that look at the picture. Each but the first halves it.
    pub hint: Vec<usize>,
}

impl Default for ControlNetConfig {
    /// For Stable Diffusion 1.
    fn default() -> Self {
        Self { unet: UnetConfig::default(), picture: 3, hint: vec![16, 32, 96, 256] }
    }
}

impl ControlNetConfig {
    /// For SDXL.
    pub fn sdxl() -> Self {
        Self { unet: UnetConfig::sdxl(), ..Self::default() }
    }

    /// Pixels of the picture per pixel of the latent, on each axis.
    pub fn stride(&self) -> usize {
        1 << self.hint.len().saturating_sub(1).min(16)
    }
}

/// A ControlNet with its weights.
pub struct ControlNet {
    config: ControlNetConfig,
    /// Takes the picture in.
    look: Conv2d,
    /// Pairs: one that stays, one that halves.
    shrink: Vec<[Conv2d; 2]>,
    embed: Conv2d,
    encoder: Encoder,
    /// One for each map on the way down and, last, one for the middle. Training began with zeros.
    zeros: Vec<Conv2d>,
    precision: Precision,
}

/// What a ControlNet sees in a picture: the same at every step.
pub struct Hint(Map);

impl Hint {
    /// Bytes in memory, on the processor.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }
}

impl ControlNet {
    /// Reads the bytes of a safetensors file with the tensor names of diffusers' `ControlNetModel`.
    ///
    /// # Errors
    /// When the file is no safetensors file, a tensor is missing, misshaped or not finite, or the sizes make no sense.
    pub fn from_safetensors(file: &[u8], config: ControlNetConfig, compute: Compute) -> Result<Self> {
        Self::load(&Weights::read(file, "controlnet", "")?.on(compute), config)
    }

    pub(crate) fn load(weights: &Weights<'_>, config: ControlNetConfig) -> Result<Self> {
        let encoder = Encoder::load(weights, &config.unet)?;
        let (&[thin, ..], &[.., thick], &[first, ..]) = (&config.hint[..], &config.hint[..], &config.unet.widths[..])
        else {
            return Err(Error::Setting { name: "hint", value: "none".into(), hint: "there is at least one layer" });
        };
        let name = |part: &str| format!("controlnet_cond_embedding.{part}");
        let shrink = |(i, pair): (usize, &[usize])| -> Result<[Conv2d; 2]> {
            let halve = Window { kernel: 3, stride: 2, before: 1, after: 1 };
            let layer = |i: usize, to: usize, window: Window| {
                Conv2d::windowed(weights, &name(&format!("blocks.{i}")), pair[0], to, window)
            };
            Ok([layer(2 * i, pair[0], Window::same(3))?, layer(2 * i + 1, pair[1], halve)?])
        };
        // The number of maps does not depend on the size.
        let (skips, middle) = encoder.shapes((0, 0))?;
        let zero = |name: String, channels: usize| -> Result<Conv2d> {
            Ok(Conv2d::load(weights, &name, channels, channels, 1)?.with_margin(0))
        };
        let mut zeros = vec![];
        for (i, skip) in skips.iter().enumerate() {
            zeros.push(zero(format!("controlnet_down_blocks.{i}"), skip.channels)?);
        }
        zeros.push(zero("controlnet_mid_block".into(), middle.channels)?);
        // The picture comes in as f32.
        let look = Conv2d::load(&weights.precise(), &name("conv_in"), config.picture, thin, 3)?;
        Ok(Self {
            look: look.giving(weights.precision()),
            shrink: config.hint.windows(2).enumerate().map(shrink).collect::<Result<_>>()?,
            embed: Conv2d::load(weights, &name("conv_out"), thick, first, 3)?.with_margin(0),
            encoder,
            zeros,
            precision: weights.precision(),
            config,
        })
    }

    /// Its sizes.
    pub fn config(&self) -> &ControlNetConfig {
        &self.config
    }

    /// Floating-point operations of a run over a latent of this size and so many tokens, as textbooks count them, the hint left
    /// out.
    pub fn flops(&self, size: (usize, usize), tokens: usize) -> f64 {
        let zeros = |shapes: &[super::encoder::Shape]| -> f64 {
            let pixels = shapes.iter().map(|shape| (shape.size.0 * shape.size.1) as f64);
            self.zeros.iter().zip(pixels).map(|(zero, pixels)| zero.flops() * pixels).sum()
        };
        let shapes = self.encoder.shapes(size).map(|(skips, middle)| [skips, vec![middle]].concat());
        self.encoder.flops(size, tokens) + shapes.map_or(0.0, |shapes| zeros(&shapes))
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        let hint = [&self.look, &self.embed].into_iter().chain(self.shrink.iter().flatten());
        hint.chain(&self.zeros).map(Conv2d::bytes).sum::<u64>() + self.encoder.bytes()
    }

    /// Bytes of the maps of a run over a latent of this size, on the processor, the hint and the residuals with them.
    pub fn working_bytes(&self, size: (usize, usize)) -> u64 {
        // Residuals take the places of the maps that they are made of; the hint is one map of the first layer.
        let hint = self.config.unet.widths.first().map_or(0, |first| (size.0 * size.1 * first) as u64);
        let values = self.encoder.room(size).unwrap_or(0) + hint;
        super::bytes_of(values, self.precision)
    }

    /// What the network sees in a picture of width x height, whose planes run from 0 to 1. The latent is as many times
    /// smaller as [`ControlNetConfig::stride`] says: 8.
    ///
    /// # Errors
    /// When the picture does not fit its size, its sides are not multiples of the stride, or there is too little memory.
    pub fn hint(&self, picture: &[f32], (width, height): (usize, usize), scratch: &mut Scratch) -> Result<Hint> {
        let stride = self.config.stride();
        if !width.is_multiple_of(stride) || !height.is_multiple_of(stride) {
            let hint = "the sides of the picture are multiples of 8";
            return Err(Error::Setting { name: "hint size", value: format!("{width}x{height}"), hint });
        }
        let Scratch(pool) = scratch;
        let input = from_planes(picture, self.config.picture, (width, height), pool)?;
        let mut x = self.look.run(&input, Then::SILU, pool)?;
        pool.give(input);
        for layer in self.shrink.iter().flatten() {
            let y = layer.run(&x, Then::SILU, pool)?;
            pool.give(std::mem::replace(&mut x, y));
        }
        let out = self.embed.run(&x, Then::NOTHING, pool)?;
        pool.give(x);
        Ok(Hint(out))
    }

    /// What to add to the U-Net's maps, given a latent of width x height, plane by plane, what the U-Net is told, and a hint of a
    /// picture that is 8 times as large.
    ///
    /// # Errors
    /// When the latent does not fit its size, the hint is of another size or of another network, something that the network is
    /// told does not fit it, or there is too little memory.
    pub fn run(
        &self,
        latent: &[f32],
        size: (usize, usize),
        condition: Condition<'_>,
        hint: &Hint,
        scratch: &mut Scratch,
    ) -> Result<Residuals> {
        let Scratch(pool) = scratch;
        self.encoder.shapes(size)?;
        let Hint(seen) = hint;
        if seen.size() != size || seen.channels != self.embed.channels() {
            let value = format!("{}x{} for a latent of {}x{}", seen.size().0, seen.size().1, size.0, size.1);
            return Err(Error::Setting {
                name: "hint",
                value,
                hint: "it comes from this network and the latent's picture",
            });
        }
        let given = self.encoder.embedder().run(condition, pool)?;
        let mut keep = |i: usize, map: Map, pool: &mut crate::layers::Pool| -> Result<Map> {
            let zero: &Conv2d = &self.zeros[i];
            let out = zero.run(&map, Then::NOTHING, pool)?;
            pool.give(map);
            Ok(out)
        };
        let (mut maps, middle) = self.encoder.run(latent, size, &given, Some(seen), &mut keep, pool)?;
        let middle = keep(maps.len(), middle, pool)?;
        maps.push(middle);
        given.give(pool);
        Ok(Residuals { maps })
    }
}
