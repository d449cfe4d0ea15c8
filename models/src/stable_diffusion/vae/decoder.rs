//! From latents to pictures.

use super::{Cut, Level, Middle, Source, VaeConfig};
use crate::layers::{Conv2d, GroupNorm, Mosaic, Precision, Then, Upsample, Weights};
use crate::stable_diffusion::encoder::Shape;
use crate::stable_diffusion::{Scratch, bytes_of, from_planes, to_planes};
use crate::{Compute, Result};

/// The half from latents to pictures, with its weights.
pub struct VaeDecoder {
    latent: usize,
    mix: Conv2d,
    enter: Conv2d,
    middle: Middle,
    levels: Vec<(Level, Option<Upsample>)>,
    norm: GroupNorm,
    leave: Conv2d,
    precision: Precision,
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
            let level = Level::load(weights, &name, config.blocks + 1, (from, width), norms)?;
            let double = || Upsample::nearest(weights, &format!("{name}.upsamplers.0.conv"), width, width);
            levels.push((level, if i + 1 < config.widths.len() { Some(double()?) } else { None }));
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
            precision: weights.precision(),
        })
    }

    /// Floating-point operations for a latent of this size, as textbooks count them.
    pub fn flops(&self, (width, height): (usize, usize)) -> f64 {
        let mut pixels = width * height;
        let mut sum = (self.mix.flops() + self.enter.flops()) * pixels as f64 + self.middle.flops(pixels);
        for (level, double) in &self.levels {
            sum += level.flops() * pixels as f64;
            if let Some(double) = double {
                sum += double.flops() * pixels as f64;
                pixels *= 4;
            }
        }
        sum + self.leave.flops() * pixels as f64
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        let levels: u64 = self.levels.iter().map(|(l, d)| l.bytes() + d.as_ref().map_or(0, Upsample::bytes)).sum();
        let plain: u64 = [&self.mix, &self.enter, &self.leave].into_iter().map(Conv2d::bytes).sum();
        levels + plain + self.middle.bytes()
    }

    /// Bytes of the maps of a run over a latent of this size, on the processor, the picture left out.
    pub fn working_bytes(&self, size: (usize, usize)) -> u64 {
        let cut = Cut::default();
        let mut shape = Shape { size, channels: self.enter.channels() };
        let (mut source, mut most) = (shape.values(), self.middle.room(shape));
        for (level, double) in &self.levels {
            most = most.max(level.room(source, shape, cut));
            shape.channels = level.channels().unwrap_or(shape.channels);
            if double.is_none() {
                continue;
            }
            let (kept, made) = Source::room(shape, cut);
            (source, most) = (kept, most.max(made));
            shape.size = (2 * shape.size.0, 2 * shape.size.1);
        }
        // At the end, the picture in f32 lies beside the last map and what that was made of.
        let picture = Shape { channels: self.leave.channels(), ..shape };
        let end = bytes_of(2 * shape.values(), self.precision) + 4 * picture.values();
        bytes_of(most, self.precision).max(end)
    }

    /// The picture of a latent of width x height, plane by plane, in the latent's own unit (what the U-Net sees, divided by
    /// [`VaeConfig::scaling`]): three planes about -1 to 1, twice as large for each level but one. In tiles.
    ///
    /// # Errors
    /// When the latent does not fit its size, or there is too little memory.
    pub fn run(&self, latent: &[f32], size: (usize, usize), scratch: &mut Scratch) -> Result<Vec<f32>> {
        self.run_cut(latent, size, Cut::default(), scratch)
    }

    pub(in super::super) fn run_cut(
        &self,
        latent: &[f32],
        size: (usize, usize),
        cut: Cut,
        scratch: &mut Scratch,
    ) -> Result<Vec<f32>> {
        let Scratch(pool) = scratch;
        let input = from_planes(latent, self.latent, size, pool)?;
        let y = self.mix.run(&input, Then::NOTHING, pool)?;
        pool.give(input);
        let x = self.enter.run(&y, Then::NOTHING, pool)?;
        pool.give(y);
        let mut x = Source::Map(self.middle.run(x, cut, pool)?);
        for (level, double) in &self.levels {
            let out = level.run(x, cut, pool)?;
            x = match double {
                Some(double) => Source::doubled(out, double, pool)?,
                None => Source::Map(out),
            };
        }
        let (moments, whole) = (x.statistics(&self.norm, cut.tile, pool)?, x.region());
        let mut picture = Mosaic::new(whole);
        for cell in whole.cells(cut.tile) {
            let (y, part) = x.normalised(&self.norm, &moments, cell.grown(1), pool)?;
            part.give(pool);
            let out = self.leave.run_for(&y, cell, Then::NOTHING, 0, pool)?;
            pool.give(y);
            picture.put(out, pool)?;
        }
        x.give(pool);
        let Some(picture) = picture.finish()? else { return Ok(vec![]) };
        let out = to_planes(&picture);
        pool.give(picture);
        out
    }
}
