//! The residual block that the U-Net and the autoencoder share.

use super::encoder::Shape;
use super::vae::Source;
use crate::kernels::Activation;
use crate::layers::{Conv2d, GroupNorm, Map, Mosaic, Pool, Precision, Then, Weights};
use crate::{Error, Result};

/// `shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x))) + time)))`.
pub(super) struct Resnet {
    norm1: GroupNorm,
    conv1: Conv2d,
    time: Option<Time>,
    norm2: GroupNorm,
    conv2: Conv2d,
    /// Where the number of channels changes.
    shortcut: Option<Conv2d>,
}

/// The layer that makes a shift of each channel of the embedded time.
struct Time {
    layer: Conv2d,
    ones: Vec<f32>,
}

/// What the group normalisations of a network have in common.
#[derive(Clone, Copy)]
pub(super) struct Norms {
    pub(super) groups: usize,
    pub(super) epsilon: f32,
}

impl Resnet {
    /// `time` is the width of the embedded time, where the block sees it.
    ///
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(super) fn load(
        weights: &Weights<'_>,
        name: &str,
        (from, to): (usize, usize),
        norms: Norms,
        time: Option<usize>,
    ) -> Result<Self> {
        let norm = |part: &str, channels: usize| {
            GroupNorm::load(weights, &format!("{name}.{part}"), channels, norms.groups, norms.epsilon)
        };
        let conv =
            |part: &str, from: usize, kernel: usize| Conv2d::load(weights, &format!("{name}.{part}"), from, to, kernel);
        let layer = |width: usize| -> Result<Time> {
            let layer = Conv2d::linear(weights, &format!("{name}.time_emb_proj"), width, to, true)?;
            Ok(Time { layer: layer.giving(Precision::F32), ones: vec![1.0; to] })
        };
        Ok(Self {
            norm1: norm("norm1", from)?,
            conv1: conv("conv1", from, 3)?,
            time: time.map(layer).transpose()?,
            norm2: norm("norm2", to)?,
            conv2: conv("conv2", to, 3)?,
            shortcut: if from == to { None } else { Some(conv("conv_shortcut", from, 1)?) },
        })
    }

    /// Floating-point operations per pixel.
    pub(super) fn flops(&self) -> f64 {
        self.conv1.flops() + self.conv2.flops() + self.shortcut.as_ref().map_or(0.0, Conv2d::flops)
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> u64 {
        let time = self.time.as_ref().map(|time| &time.layer);
        [Some(&self.conv1), time, Some(&self.conv2), self.shortcut.as_ref()]
            .into_iter()
            .flatten()
            .map(Conv2d::bytes)
            .sum()
    }

    /// Channels of the result.
    pub(super) fn channels(&self) -> usize {
        self.conv2.channels()
    }

    /// Whether it changes the number of channels.
    pub(super) fn changes(&self) -> bool {
        self.shortcut.is_some()
    }

    /// The most values beside the input that lie in memory at once, the result with them.
    pub(super) fn room(&self, from: Shape) -> u64 {
        let to = Shape { channels: self.channels(), ..from }.values();
        let maps = if self.shortcut.is_some() { 3 } else { 2 };
        (from.values() + to).max(maps * to)
    }

    /// # Errors
    /// When there is no memory for the maps, or a device fails.
    pub(super) fn run(&self, x: &Map, embedded: Option<&Map>, pool: &mut Pool) -> Result<Map> {
        let shift = match (&self.time, embedded) {
            (Some(Time { layer, ones }), Some(embedded)) => {
                let shift = layer.run(embedded, Then::NOTHING, pool)?;
                let values = shift.fetch()?;
                pool.give(shift);
                Some((ones, values))
            }
            _ => None,
        };
        let then = shift.as_ref().map_or(Then::NOTHING, |(ones, shift)| Then::NOTHING.film(ones, shift));

        let y = self.norm1.run(x, Activation::Silu, pool)?;
        let h = self.conv1.run(&y, then, pool)?;
        pool.give(y);
        let y = self.norm2.run(&h, Activation::Silu, pool)?;
        pool.give(h);
        let out = match &self.shortcut {
            Some(shortcut) => {
                let base = shortcut.run(x, Then::NOTHING, pool)?;
                let out = self.conv2.run(&y, Then::add(&base), pool)?;
                pool.give(base);
                out
            }
            None => self.conv2.run(&y, Then::add(x), pool)?,
        };
        pool.give(y);
        Ok(out)
    }

    /// The same for blocks that see no time, tile by tile of so many pixels: no normalised map is ever whole in memory. Each
    /// normalisation sees the whole map, and each convolution a tile with a halo of a pixel.
    ///
    /// # Errors
    /// When there is no memory for the maps, or a device fails.
    pub(super) fn run_in_tiles(&self, x: Source<'_>, tile: usize, pool: &mut Pool) -> Result<Map> {
        let whole = x.region();
        let moments = x.statistics(&self.norm1, tile, pool)?;
        let (mut inner, mut base) = (Mosaic::new(whole), Mosaic::new(whole));
        for cell in whole.cells(tile) {
            let (y, part) = x.normalised(&self.norm1, &moments, cell.grown(1), pool)?;
            let h = self.conv1.run_for(&y, cell, Then::NOTHING, 0, pool)?;
            pool.give(y);
            if let Some(shortcut) = &self.shortcut {
                let out = shortcut.run_for(part.map(), cell, Then::NOTHING, 0, pool)?;
                base.put(out, pool)?;
            }
            part.give(pool);
            inner.put(h, pool)?;
        }
        let base = match base.finish()? {
            Some(base) => {
                x.give(pool);
                base
            }
            None => x.whole(pool)?,
        };
        let Some(inner) = inner.finish()? else { return Ok(base) };
        let inner = Source::Map(inner);
        let moments = inner.statistics(&self.norm2, tile, pool)?;
        // What the result is added to is needed where the result will lie, and nowhere else.
        let mut out = Mosaic::over(base);
        for cell in whole.cells(tile) {
            let (y, part) = inner.normalised(&self.norm2, &moments, cell.grown(1), pool)?;
            part.give(pool);
            let then = out.before().map_or(Then::NOTHING, Then::add);
            let done = self.conv2.run_for(&y, cell, then, 0, pool)?;
            pool.give(y);
            out.put(done, pool)?;
        }
        inner.give(pool);
        let hint = "it takes at least one pixel";
        out.finish()?.ok_or(Error::Setting { name: "size", value: "nothing".into(), hint })
    }
}
