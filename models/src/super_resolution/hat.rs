//! What HAT (Chen et al. 2023) adds to a SwinIR: in each block convolutions beside the attention, and at the end of each group an
//! attention whose windows see what is around them.

use super::{Architecture, Network, swinir};
use crate::Result;
use crate::kernels::Activation;
use crate::layers::{Conv2d, Dense, LayerNorm, Map, Pool, Then, Weights, Windows, sigmoid};

/// How its files are told.
pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "HAT",
    signs: &[
        "conv_first.weight",
        "layers.0.residual_group.blocks.0.conv_block.cab.0.weight",
        "layers.0.residual_group.blocks.0.attn.relative_position_bias_table",
        "layers.0.residual_group.overlap_attn.relative_position_bias_table",
        "layers.0.residual_group.overlap_attn.qkv.weight",
        "norm.weight",
    ],
    names: &[],
    is: |_| true,
    load: |weights| Ok(Box::new(swinir::SwinIr::load(&weights.on_processor())?) as Box<dyn Network>),
};

/// How much of the convolutions is added, which no tensor tells.
const SHARE: f32 = 0.01;

/// Two convolutions, whose channels are weighed by their means.
pub(super) struct Aside {
    narrow: Conv2d,
    wide: Conv2d,
    squeeze: Dense,
    widen: Dense,
}

impl Aside {
    /// Reads `{name}.conv_block.cab`.
    pub(super) fn load(weights: &Weights<'_>, name: &str, features: usize) -> Result<Self> {
        let inside = format!("{name}.conv_block.cab");
        let narrow = Conv2d::found(weights, &format!("{inside}.0"), features)?;
        let wide = Conv2d::found(weights, &format!("{inside}.2"), narrow.channels())?;
        let hidden = weights.width(&format!("{inside}.3.attention.1.weight"))?;
        if wide.channels() != features {
            return Err(weights.unsupported("the convolutions of its blocks are of another width"));
        }
        Ok(Self {
            narrow,
            wide,
            squeeze: Dense::of_pixels(weights, &format!("{inside}.3.attention.1"), features, hidden)?,
            widen: Dense::of_pixels(weights, &format!("{inside}.3.attention.3"), hidden, features)?,
        })
    }

    pub(super) fn layers(&self) -> [&Conv2d; 2] {
        [&self.narrow, &self.wide]
    }

    /// `base` with a small share of what the convolutions make of `x`.
    pub(super) fn run(&self, x: &Map, base: &Map, pool: &mut Pool) -> Result<Map> {
        let inner = self.narrow.run(x, Then::activation(Activation::Gelu), pool)?;
        let mut y = self.wide.run(&inner, Then::NOTHING, pool)?;
        pool.give(inner);
        let (means, _) = y.moments();
        let hidden: Vec<f32> = self.squeeze.run(&means).iter().map(|value| value.max(0.0)).collect();
        let shares: Vec<f32> = self.widen.run(&hidden).iter().map(|value| SHARE * sigmoid(*value)).collect();
        y.change(|c, value| value * shares[c])?;
        let out = base.with(&y, pool, |base, more| base + more)?;
        pool.give(y);
        Ok(out)
    }
}

/// The attention at the end of a group, as that of a block but with windows that see further.
pub(super) fn overlapping(weights: &Weights<'_>, name: &str, features: usize, window: usize) -> Result<swinir::Block> {
    let table_name = format!("{name}.relative_position_bias_table");
    let (distances, heads) = (weights.width(&table_name)?.isqrt(), weights.side(&table_name, 1)?);
    // A table of every distance between a pixel of a window and one of the wider window.
    let wide = (distances + 1).checked_sub(window).filter(|wide| *wide > window && (wide - window).is_multiple_of(2));
    let wide = wide.ok_or_else(|| weights.unsupported("its overlapping windows are not wider than the others"))?;
    let table = weights.tensor(&table_name, &[distances * distances, heads])?;
    let (count, others) = (window * window, wide * wide);
    let mut bias = Vec::with_capacity(heads * count * others);
    for head in 0..heads {
        for own in 0..count {
            for other in 0..others {
                // Distances below the first count from the end of the table, as indices do in Python.
                let place = |own: usize, other: usize| (other + window + 1) as isize - (own + wide) as isize;
                let (down, across) = (place(own / window, other / wide), place(own % window, other % wide));
                let row = (down * distances as isize + across).rem_euclid((distances * distances) as isize);
                bias.push(table[row as usize * heads + head]);
            }
        }
    }
    if !features.is_multiple_of(heads) {
        return Err(weights.unsupported("its channels cannot be shared out to its heads"));
    }
    let windows = Windows {
        size: (window, window),
        shift: (0, 0),
        around: (wide - window) / 2,
        masked: false,
        heads,
        bias,
        scale: 1.0 / ((features / heads) as f32).sqrt(),
    };
    let norm = |part: &str| LayerNorm::load(weights, &format!("{name}.{part}"), features, 1e-5);
    swinir::Block::with(weights, [norm("norm1")?, norm("norm2")?], windows, None, features, |part| {
        format!("{name}.{part}")
    })
}
