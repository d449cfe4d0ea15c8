//! From pictures to latents.

use super::{Cut, Level, Middle, Source, VaeConfig};
use crate::layers::{Conv2d, GroupNorm, Mosaic, Precision, Then, Weights, Window};
use crate::stable_diffusion::encoder::Shape;
use crate::stable_diffusion::{Scratch, bytes_of, from_planes, to_planes};
use crate::{Compute, Error, Result};

/// The half from pictures to latents, with its weights.
pub struct VaeEncoder {
    channels: usize,
    latent: usize,
    enter: Conv2d,
    levels: Vec<(Level, Option<Conv2d>)>,
    middle: Middle,
    norm: GroupNorm,
    leave: Conv2d,
    mix: Conv2d,
    precision: Precision,
}

/// The latents that a picture may have: a normal distribution for each value, plane by plane, in the latent's own unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior {
    /// Width and height.
    pub size: (usize, usize),
    /// The most likely values.
    pub mean: Vec<f32>,
    /// The standard deviations.
    pub deviation: Vec<f32>,
}

impl Posterior {
    /// One of the latents: `mean + deviation * noise`, given a normally distributed value for each of its values.
    ///
    /// # Errors
    /// When there is not as much noise as there are values.
    pub fn sample(&self, noise: &[f32]) -> Result<Vec<f32>> {
        if noise.len() != self.mean.len() {
            let value = format!("{} values for {}", noise.len(), self.mean.len());
            return Err(Error::Setting { name: "noise", value, hint: "it takes one for each value of the latent" });
        }
        let values = self.mean.iter().zip(&self.deviation).zip(noise);
        Ok(values.map(|((mean, deviation), noise)| mean + deviation * noise).collect())
    }
}

impl VaeEncoder {
    /// Reads the bytes of a safetensors file with the tensor names of diffusers' `AutoencoderKL`.
    ///
    /// # Errors
    /// When the file is no safetensors file, a tensor is missing, misshaped or not finite, or the sizes make no sense.
    pub fn from_safetensors(file: &[u8], config: &VaeConfig, compute: Compute) -> Result<Self> {
        Self::load(&Weights::read(file, "autoencoder", "")?.on(compute), config)
    }

    pub(crate) fn load(weights: &Weights<'_>, config: &VaeConfig) -> Result<Self> {
        let (norms, moments, (first, last)) = (config.norms(), 2 * config.latent, config.ends()?);
        let (mut levels, mut from) = (vec![], first);
        for (i, &width) in config.widths.iter().enumerate() {
            let name = format!("encoder.down_blocks.{i}");
            let level = Level::load(weights, &name, config.blocks, (from, width), norms)?;
            // A padding behind the end only.
            let window = Window { kernel: 3, stride: 2, before: 0, after: 1 };
            let halve = || Conv2d::windowed(weights, &format!("{name}.downsamplers.0.conv"), width, width, window);
            levels.push((level, if i + 1 < config.widths.len() { Some(halve()?) } else { None }));
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
            middle: Middle::load(weights, "encoder.mid_block", last, norms)?,
            norm: GroupNorm::load(weights, "encoder.conv_norm_out", last, norms.groups, norms.epsilon)?,
            leave: Conv2d::load(weights, "encoder.conv_out", last, moments, 3)?.giving(Precision::F32),
            mix: Conv2d::load(&precise, "quant_conv", moments, moments, 1)?,
            precision: weights.precision(),
        })
    }

    /// Floating-point operations for a picture of this size, as textbooks count them.
    pub fn flops(&self, (width, height): (usize, usize)) -> f64 {
        let mut pixels = width * height;
        let mut sum = self.enter.flops() * pixels as f64;
        for (level, halve) in &self.levels {
            sum += level.flops() * pixels as f64;
            if let Some(halve) = halve {
                pixels /= 4;
                sum += halve.flops() * pixels as f64;
            }
        }
        sum + self.middle.flops(pixels) + (self.leave.flops() + self.mix.flops()) * pixels as f64
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        let levels: u64 = self.levels.iter().map(|(l, h)| l.bytes() + h.as_ref().map_or(0, Conv2d::bytes)).sum();
        let plain: u64 = [&self.mix, &self.enter, &self.leave].into_iter().map(Conv2d::bytes).sum();
        levels + plain + self.middle.bytes()
    }

    /// Bytes of the maps of a run over a picture of this size, on the processor, the picture left out.
    pub fn working_bytes(&self, size: (usize, usize)) -> u64 {
        let cut = Cut::default();
        let mut shape = Shape { size, channels: self.enter.channels() };
        let mut most = 0;
        for (level, halve) in &self.levels {
            most = most.max(level.room(shape.values(), shape, cut));
            let Some(halve) = halve else { continue };
            shape = Shape { size: (shape.size.0 / 2, shape.size.1 / 2), channels: halve.channels() };
        }
        // The picture is f32 always.
        let picture = Shape { size, channels: self.channels };
        bytes_of(most.max(self.middle.room(shape)), self.precision) + 4 * picture.values()
    }

    /// The latents of a picture of width x height, whose planes run from -1 to 1. In tiles.
    ///
    /// # Errors
    /// When the picture does not fit its size or is smaller than a pixel of the latent, or there is too little memory.
    pub fn run(&self, picture: &[f32], size: (usize, usize), scratch: &mut Scratch) -> Result<Posterior> {
        self.run_cut(picture, size, Cut::default(), scratch)
    }

    pub(in super::super) fn run_cut(
        &self,
        picture: &[f32],
        size: (usize, usize),
        cut: Cut,
        scratch: &mut Scratch,
    ) -> Result<Posterior> {
        let least = 1 << self.levels.len().saturating_sub(1);
        if size.0 < least || size.1 < least {
            let hint = "no side may be shorter than a pixel of the latent";
            return Err(Error::Setting { name: "size", value: format!("{}x{}", size.0, size.1), hint });
        }
        let Scratch(pool) = scratch;
        let input = from_planes(picture, self.channels, size, pool)?;
        let mut x = self.enter.run(&input, Then::NOTHING, pool)?;
        pool.give(input);
        for (level, halve) in &self.levels {
            x = level.run(Source::Map(x), cut, pool)?;
            if let Some(halve) = halve {
                let y = halve.run(&x, Then::NOTHING, pool)?;
                pool.give(std::mem::replace(&mut x, y));
            }
        }
        let x = Source::Map(self.middle.run(x, cut, pool)?);
        let (statistics, whole) = (x.statistics(&self.norm, cut.tile, pool)?, x.region());
        let mut moments = Mosaic::new(whole);
        for cell in whole.cells(cut.tile) {
            let (y, part) = x.normalised(&self.norm, &statistics, cell.grown(1), pool)?;
            part.give(pool);
            let out = self.leave.run_for(&y, cell, Then::NOTHING, 0, pool)?;
            pool.give(y);
            moments.put(out, pool)?;
        }
        x.give(pool);
        let size = (whole.width(), whole.height());
        let Some(moments) = moments.finish()? else {
            return Ok(Posterior { size, mean: vec![], deviation: vec![] });
        };
        let both = self.mix.run(&moments, Then::NOTHING, pool)?;
        pool.give(moments);
        let mut mean = to_planes(&both)?;
        pool.give(both);
        // Behind the means lie the logarithms of the variances, limited as diffusers does.
        let mut deviation = mean.split_off(self.latent * size.0 * size.1);
        deviation.iter_mut().for_each(|log| *log = (0.5 * log.clamp(-30.0, 20.0)).exp());
        Ok(Posterior { size, mean, deviation })
    }
}
