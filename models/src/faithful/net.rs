//! The network itself; `models/training/faithful.py` is its twin.

use crate::layers::{Conv2d, Map, Pool, Precision, Then, Weights};
use crate::{Factor, Result};

/// A residual trunk of plain 3x3 convolutions at the input's resolution, and a head for each factor.
pub(super) struct Net {
    head: Conv2d,
    body: Vec<Block>,
    tail: Conv2d,
    up: [Conv2d; 3],
}

/// `t + 0.2 * b(silu(a(t)))`.
struct Block {
    a: Conv2d,
    b: Conv2d,
}

impl Net {
    /// Channels of the input: red, green, blue, and the three planes of the damage.
    pub(super) const INPUTS: usize = 6;

    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(super) fn load(weights: &Weights<'_>) -> Result<Self> {
        let width = weights.width("head.weight")?;
        let conv = |name: &str, from: usize, to: usize| Conv2d::load(weights, name, from, to, 3);
        let block = |i: usize| -> Result<Block> {
            let part = |part: &str| conv(&format!("body.{i}.{part}"), width, width);
            Ok(Block { a: part("a")?, b: part("b")? })
        };
        // The picture itself comes in as f32, and the residual goes out as f32.
        let up = |name: &str, to: usize| conv(name, width, to).map(|conv| conv.giving(Precision::F32));
        let head = Conv2d::load(&weights.precise(), "head", Self::INPUTS, width, 3)?;
        Ok(Self {
            head: head.giving(weights.precision()),
            body: (0..weights.count("body.", ".a.weight")).map(block).collect::<Result<_>>()?,
            tail: conv("tail", width, width)?,
            up: [up("up1", 3)?, up("up2", 12)?, up("up4", 48)?],
        })
    }

    /// The residual that is added to the bicubic enlargement, before the pixel shuffle: 3 * factor^2 channels.
    ///
    /// # Errors
    /// When there is no memory for the activations.
    pub(super) fn residual(&self, input: &Map, factor: Factor, pool: &mut Pool) -> Result<Map> {
        let h = self.head.run(input, Then::NOTHING, pool)?;
        let mut t: Option<Map> = None;
        for block in &self.body {
            let from = t.as_ref().unwrap_or(&h);
            let y = block.a.run(from, Then::SILU, pool)?;
            let next = block.b.run(&y, Then::NOTHING.plus(from, 0.2), pool)?;
            pool.give(y);
            if let Some(done) = t.replace(next) {
                pool.give(done);
            }
        }
        let sum = self.tail.run(t.as_ref().unwrap_or(&h), Then::add(&h), pool)?;
        t.into_iter().for_each(|done| pool.give(done));
        pool.give(h);
        let out = self.up(factor).run(&sum, Then::NOTHING, pool)?;
        pool.give(sum);
        out.here(pool)
    }

    fn up(&self, factor: Factor) -> &Conv2d {
        let [x1, x2, x4] = &self.up;
        match factor {
            Factor::X1 => x1,
            Factor::X2 => x2,
            Factor::X4 => x4,
        }
    }

    /// How far an output pixel looks, in pixels of the input: one for each convolution on the way.
    pub(super) fn radius(&self) -> usize {
        2 * self.body.len() + 3
    }

    /// Floating-point operations per pixel of the input.
    pub(super) fn flops(&self, factor: Factor) -> f64 {
        let body: f64 = self.body.iter().map(|block| block.a.flops() + block.b.flops()).sum();
        self.head.flops() + body + self.tail.flops() + self.up(factor).flops()
    }
}
