//! What ControlNets add to a U-Net.

use super::Scratch;
use super::encoder::Shape;
use crate::layers::{Map, Pool};
use crate::{Error, Result};

/// What ControlNets add to the maps on a U-Net's way down, the finest first, and to its middle.
pub struct Residuals {
    pub(super) maps: Vec<Map>,
}

/// How much weaker each layer is than the next one in [`soft_weights`].
const DECAY: f32 = 0.825;
/// Layers of Stable Diffusion 1, whose last one has the whole weight.
const LAYERS: usize = 13;

/// Weights that let a ControlNet say more about the whole than about details: `weight * 0.825^(12 - i)` for layer `i`
/// (Zhang's guess mode; "soft injection" in sd-webui-controlnet). As there, networks of fewer layers (SDXL: 10) take the first ones
/// of the 13, so that a layer of a resolution has about the same weight in all of them; further ones keep the whole weight.
pub fn soft_weights(weight: f32, layers: usize) -> Vec<f32> {
    (0..layers).map(|i| weight * DECAY.powi(LAYERS.saturating_sub(1 + i) as i32)).collect()
}

impl Residuals {
    /// How many layers they are for: 13 in Stable Diffusion 1, 10 in SDXL. The last one is the middle.
    pub fn layers(&self) -> usize {
        self.maps.len()
    }

    /// Multiplies each layer by its factor.
    ///
    /// # Errors
    /// When there are not as many factors as layers, one is not finite, or a device fails.
    pub fn weigh(&mut self, factors: &[f32]) -> Result<()> {
        if factors.len() != self.maps.len() || !factors.iter().all(|factor| factor.is_finite()) {
            let hint = "it takes a number for each layer";
            return Err(Error::Setting { name: "control weights", value: format!("{factors:?}"), hint });
        }
        self.maps.iter_mut().zip(factors).try_for_each(|(map, factor)| map.weigh(|_, _| *factor))
    }

    /// Multiplies each pixel by a factor, out of a map of width x height factors, one for each pixel of the latent. A pixel of a
    /// coarser layer takes the mean over the square that it stands for.
    ///
    /// # Errors
    /// When the map is not of the latent's size, a factor is not finite, or a device fails.
    pub fn weigh_by_map(&mut self, map: &[f32], size: (usize, usize)) -> Result<()> {
        let of_latent = self.maps.first().map(Map::size);
        if of_latent != Some(size) || Some(map.len()) != size.0.checked_mul(size.1) {
            let value = format!("{}x{} with {} values", size.0, size.1, map.len());
            return Err(Error::Setting {
                name: "control map",
                value,
                hint: "it takes a value for each pixel of the latent",
            });
        }
        if !map.iter().all(|factor| factor.is_finite()) {
            let hint = "every value has to be finite";
            return Err(Error::Setting { name: "control map", value: "not a number".into(), hint });
        }
        let (mut factors, mut wide) = (map.to_vec(), size.0);
        for layer in &mut self.maps {
            // Sides are halved from layer to layer, or stay.
            while layer.size().0 < wide {
                factors = halved(&factors, wide);
                wide /= 2;
            }
            layer.weigh(|x, y| factors[y * wide + x])?;
        }
        Ok(())
    }

    /// Adds those of another ControlNet.
    ///
    /// # Errors
    /// When they are for another network or a latent of another size, or a device fails.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        let shapes: Vec<Shape> = other.maps.iter().map(shape).collect();
        self.check(&shapes)?;
        self.maps.iter_mut().zip(&other.maps).try_for_each(|(map, other)| map.add(other))
    }

    /// # Errors
    /// When they are not for maps of these shapes.
    pub(super) fn check(&self, shapes: &[Shape]) -> Result<()> {
        if self.maps.len() == shapes.len() && self.maps.iter().zip(shapes).all(|(map, wanted)| shape(map) == *wanted) {
            return Ok(());
        }
        let of = |shape: Option<Shape>| shape.map_or((0, 0), |shape| shape.size);
        let (found, wanted) = (of(self.maps.first().map(shape)), of(shapes.first().copied()));
        let value = format!(
            "{} maps for a latent of {}x{}, where {} for one of {}x{} are needed",
            self.maps.len(),
            found.0,
            found.1,
            shapes.len(),
            wanted.0,
            wanted.1
        );
        Err(Error::Setting { name: "residuals", value, hint: "a ControlNet and its U-Net are of the same family" })
    }

    /// Takes the maps back.
    pub(super) fn give(self, pool: &mut Pool) {
        self.maps.into_iter().for_each(|map| pool.give(map));
    }
}

impl Scratch {
    /// Takes back the memory of residuals that are no longer needed, for those of the next step.
    pub fn recycle(&mut self, residuals: Residuals) {
        residuals.give(&mut self.0);
    }
}

fn shape(map: &Map) -> Shape {
    Shape { size: map.size(), channels: map.channels }
}

/// The means of squares of 2x2 values, of rows of `wide` values.
fn halved(values: &[f32], wide: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len() / 4);
    for rows in values.chunks_exact(2 * wide) {
        let (above, below) = rows.split_at(wide);
        let pairs = above.chunks_exact(2).zip(below.chunks_exact(2));
        out.extend(pairs.map(|(a, b)| (a[0] + a[1] + b[0] + b[1]) / 4.0));
    }
    out
}
