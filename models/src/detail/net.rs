//! The network itself; `models/training/detail.py` is its twin.

use super::Style;
use crate::Result;
use crate::layers::{Conv2d, Dense, Map, Pool, Precision, RmsNorm, Then, Upsample, Weights, silu};
use crate::noise::turn_sin_cos;

/// Frequencies of the time embedding, in half turns from noise to residual.
const FREQUENCIES: [f32; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Values of the condition vector.
const CONDITION: usize = 2 * FREQUENCIES.len() + 1 + Style::ALL.len();

/// A U-Net over half, a quarter and an eighth of the resolution, with a thin last part at the full one.
pub(super) struct Net {
    emb: [Dense; 2],
    stem: Conv2d,
    enc1: Vec<Block>,
    down1: Conv2d,
    enc2: Vec<Block>,
    down2: Conv2d,
    mid: Vec<Block>,
    up2: Upsample,
    dec2: Vec<Block>,
    up1: Upsample,
    dec1: Vec<Block>,
    up0: Upsample,
    out_a: Conv2d,
    out_b: Conv2d,
    /// Channels of `up0`, in front of z and the condition.
    full: usize,
    /// The numbers of the map that comes in.
    pub(super) precision: Precision,
}

/// `x + conv2(silu(film(conv1(norm(x)))))`.
struct Block {
    norm: RmsNorm,
    conv1: Conv2d,
    conv2: Conv2d,
    film: Dense,
}

/// What the network sees besides pictures, embedded.
pub(super) struct Embedding(Vec<f32>);

impl Net {
    /// Sides of pictures and tiles are multiples of this.
    pub(super) const ALIGN: usize = 8;

    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(super) fn load(weights: &Weights<'_>) -> Result<Self> {
        let width = |name: &str| weights.width(name);
        let (c1, c2, c3) = (width("stem.weight")?, width("down1.weight")?, width("down2.weight")?);
        let (last, full) = (width("out.a.weight")?, width("up0.weight")?.div_ceil(4));
        let (emb0, emb1) = (width("emb.0.weight")?, width("emb.1.weight")?);
        let blocks = |name: &str, channels: usize| -> Result<Vec<Block>> {
            let count = weights.count(&format!("{name}."), ".gain");
            (0..count).map(|i| Block::load(weights, &format!("{name}.{i}"), channels, emb1)).collect()
        };
        let conv = |name: &str, from, to, kernel| Conv2d::load(weights, name, from, to, kernel);
        Ok(Self {
            emb: [Dense::load(weights, "emb.0", CONDITION, emb0)?, Dense::load(weights, "emb.1", emb0, emb1)?],
            stem: conv("stem", 24, c1, 3)?,
            enc1: blocks("enc1", c1)?,
            down1: conv("down1", c1, c2, 2)?,
            enc2: blocks("enc2", c2)?,
            down2: conv("down2", c2, c3, 2)?,
            mid: blocks("mid", c3)?,
            up2: Upsample::shuffle(weights, "up2", c3, c2, 1)?,
            dec2: blocks("dec2", c2)?,
            up1: Upsample::shuffle(weights, "up1", c2, c1, 1)?,
            dec1: blocks("dec1", c1)?,
            up0: Upsample::shuffle(weights, "up0", c1, full, 3)?,
            out_a: conv("out.a", full + 6, last, 3)?,
            // The velocity goes out as f32.
            out_b: conv("out.b", last, 3, 3)?.giving(Precision::F32),
            full,
            precision: weights.precision(),
        })
    }

    /// Embeds the time (0 noise, 1 residual), the coarseness and the style.
    pub(super) fn embed(&self, time: f32, coarse: f32, style: Option<Style>) -> Embedding {
        let waves = FREQUENCIES.map(|frequency| turn_sin_cos(frequency * time * 0.5));
        let mut values: Vec<f32> = waves.iter().map(|(sin, _)| *sin).collect();
        values.extend(waves.iter().map(|(_, cos)| *cos));
        values.push(coarse - 1.0);
        values.extend(Style::ALL.map(|other| if style == Some(other) { 1.0 } else { 0.0 }));
        for layer in &self.emb {
            values = layer.run(&values);
            silu(&mut values);
        }
        Embedding(values)
    }

    /// The velocity on a part of the picture. `halves` is z and the condition, unshuffled: 24 channels at half the
    /// resolution; `fill` writes z and the condition into the last 6 channels of a map at the full resolution.
    ///
    /// # Errors
    /// When there is no memory for the activations.
    pub(super) fn velocity(
        &self,
        halves: &Map,
        fill: impl FnOnce(&mut Map, usize) -> Result<()>,
        e: &Embedding,
        pool: &mut Pool,
    ) -> Result<Map> {
        let x = self.stem.run(halves, Then::NOTHING, pool)?;
        let skip1 = through(&self.enc1, x, e, pool)?;
        let x = self.down1.run(&skip1, Then::NOTHING, pool)?;
        let skip2 = through(&self.enc2, x, e, pool)?;
        let x = self.down2.run(&skip2, Then::NOTHING, pool)?;
        let x = through(&self.mid, x, e, pool)?;

        let y = self.up2.run(&x, Then::add(&skip2), 0, pool)?;
        pool.give(x);
        pool.give(skip2);
        let x = through(&self.dec2, y, e, pool)?;
        let y = self.up1.run(&x, Then::add(&skip1), 0, pool)?;
        pool.give(x);
        pool.give(skip1);
        let x = through(&self.dec1, y, e, pool)?;
        let mut y = self.up0.run(&x, Then::NOTHING, 6, pool)?;
        pool.give(x);

        fill(&mut y, self.full)?;
        let x = self.out_a.run(&y, Then::SILU, pool)?;
        pool.give(y);
        let v = self.out_b.run(&x, Then::NOTHING, pool)?;
        pool.give(x);
        v.here(pool)
    }

    /// How far a pixel looks, in pixels of the full resolution: backwards through the network, each convolution adds one
    /// pixel of its level.
    pub(super) fn radius(&self) -> usize {
        let blocks = |blocks: &[Block]| 2 * blocks.len();
        let half = 1 + 1 + blocks(&self.dec1);
        let quarter = half.div_ceil(2) + blocks(&self.dec2);
        let eighth = quarter.div_ceil(2) + blocks(&self.mid);
        let quarter = eighth * 2 + blocks(&self.enc2);
        let half = quarter * 2 + blocks(&self.enc1) + 1;
        half * 2
    }

    /// Floating-point operations per pixel of the full resolution.
    pub(super) fn flops(&self) -> f64 {
        let blocks = |blocks: &[Block]| -> f64 { blocks.iter().map(|b| b.conv1.flops() + b.conv2.flops()).sum() };
        let full = self.out_a.flops() + self.out_b.flops();
        let half = self.stem.flops() + blocks(&self.enc1) + blocks(&self.dec1) + self.up0.flops();
        let quarter = self.down1.flops() + blocks(&self.enc2) + blocks(&self.dec2) + self.up1.flops();
        let eighth = self.down2.flops() + blocks(&self.mid) + self.up2.flops();
        full + half / 4.0 + quarter / 16.0 + eighth / 64.0
    }
}

/// One block after the other.
fn through(blocks: &[Block], mut x: Map, e: &Embedding, pool: &mut Pool) -> Result<Map> {
    for block in blocks {
        x = block.run(x, e, pool)?;
    }
    Ok(x)
}

impl Block {
    fn load(weights: &Weights<'_>, name: &str, channels: usize, emb: usize) -> Result<Self> {
        Ok(Self {
            norm: RmsNorm::load(weights, &format!("{name}.gain"), channels)?,
            conv1: Conv2d::load(weights, &format!("{name}.conv1"), channels, channels, 3)?,
            conv2: Conv2d::load(weights, &format!("{name}.conv2"), channels, channels, 3)?,
            film: Dense::load(weights, &format!("{name}.film"), emb, 2 * channels)?,
        })
    }

    fn run(&self, x: Map, e: &Embedding, pool: &mut Pool) -> Result<Map> {
        let mut scale = self.film.run(&e.0);
        let shift = scale.split_off(x.channels);
        scale.iter_mut().for_each(|scale| *scale += 1.0);

        let y = self.norm.run(&x, pool)?;
        let h = self.conv1.run(&y, Then::SILU.film(&scale, &shift), pool)?;
        pool.give(y);
        let out = self.conv2.run(&h, Then::add(&x), pool)?;
        pool.give(h);
        pool.give(x);
        Ok(out)
    }
}
