//! The parts of Stable Diffusion 1 and 2 (Rombach et al. 2022) and SDXL (Podell et al. 2023): the text encoder, the U-Net,
//! ControlNets and the autoencoder, with the tensor names of diffusers and transformers.

mod autoencoder;
mod checkpoint;
mod clip;
mod condition;
mod controlnet;
mod encoder;
mod redraw;
mod residuals;
mod resnet;
pub mod samplers;
mod taesd;
mod text;
#[cfg(any(test, feature = "tiny"))]
pub mod tiny;
pub mod tokenizer;
mod transformer;
mod unet;
mod vae;

pub use autoencoder::small_autoencoder;
pub use checkpoint::{
    Adapter, Checkpoint, Embedding, Family, Identity, Kind, Lora, Merged, OneStepKind, Part, Stamp, Vectors, identify,
};
pub use clip::{Clip, ClipConfig, ClipText, Token};
pub use condition::{Added, AddedConfig, Condition};
pub use controlnet::{ControlNet, ControlNetConfig, Hint};
pub use redraw::{Amount, Easel, Inversion, Materials, Painter, Patch, Place, Redrawing, Sight, Tiling, Way, tiles_of};
pub use residuals::{Residuals, soft_weights};
pub use taesd::{TaesdDecoder, TaesdEncoder};
pub use text::{Conditioning, TextEncoder};
pub use unet::{Unet, UnetConfig};
pub use vae::{Posterior, VaeConfig, VaeDecoder, VaeEncoder};

use crate::layers::{Compute, Map, Pool, Precision, Region};
use crate::picture::zeros;
use crate::{Error, Result};

/// Buffers that are kept from one run to the next, so that a denoising loop asks for memory only once.
#[derive(Default)]
pub struct Scratch(Pool);

impl Scratch {
    /// The most bytes that maps have taken so far, those that wait for another use with them.
    pub fn most_bytes(&self) -> u64 {
        self.0.most_bytes()
    }
}

/// Bytes of so many values of maps in memory. Buffers that wait for another use, and are larger than what they are used for, take an
/// eighth more.
fn bytes_of(values: u64, precision: Precision) -> u64 {
    let each = match precision {
        Precision::F32 => 4,
        Precision::Bf16 => 2,
    };
    values.saturating_mul(each) / 8 * 9
}

/// A map of planes that lie one after the other, in f32 on the processor.
fn from_planes(planes: &[f32], channels: usize, (width, height): (usize, usize), pool: &mut Pool) -> Result<Map> {
    let len = width.checked_mul(height).filter(|len| *len > 0).and_then(|plane| plane.checked_mul(channels));
    if len != Some(planes.len()) {
        let value = format!("{width}x{height} with {} values", planes.len());
        return Err(Error::Setting { name: "size", value, hint: "it takes a value for each pixel of each channel" });
    }
    let mut map = pool.map(Region::whole(width, height), channels, Precision::F32)?;
    map.write(|y, row| {
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            for (value, plane) in pixel.iter_mut().zip(planes.chunks_exact(width * height)) {
                *value = plane[y * width + x];
            }
        }
    })?;
    Ok(map)
}

/// Takes [`from_planes`] back.
fn to_planes(map: &Map) -> Result<Vec<f32>> {
    let (values, pixels) = (map.fetch()?, map.region.width() * map.region.height());
    let mut planes = zeros(values.len(), "the result")?;
    for (plane, c) in planes.chunks_exact_mut(pixels.max(1)).zip(0..) {
        for (value, pixel) in plane.iter_mut().zip(values.chunks_exact(map.channels)) {
            *value = pixel[c];
        }
    }
    Ok(planes)
}

/// A map of vectors that lie one after the other, where and as what `compute` computes.
fn from_tokens(
    values: &[f32],
    channels: usize,
    compute: &Compute,
    precision: Precision,
    pool: &mut Pool,
) -> Result<Map> {
    let tokens = values.len() / channels.max(1);
    if tokens == 0 || tokens * channels != values.len() {
        let hint = "it takes one vector of the network's width for each token";
        return Err(Error::Setting { name: "tokens", value: format!("{} values", values.len()), hint });
    }
    let mut map = pool.padded(Region::whole(tokens, 1), channels, precision, 0)?;
    map.write(|_, row| row.copy_from_slice(values))?;
    map.on(compute)
}

#[cfg(test)]
mod tests;
