//! The network itself; `models/training/faithful.py` is its twin.

use crate::layers::{Band, Conv2d, Map, Pool, Precision, Region, Rolling, Then, Weights};
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

    /// The residual that is added to the bicubic enlargement, before the pixel shuffle: 3 * factor^2 channels. `take` gets its rows
    /// from top to bottom until all of `cell` is there.
    ///
    /// # Errors
    /// When there is no memory for the activations.
    pub(super) fn residual(
        &self,
        input: Map,
        cell: Region,
        factor: Factor,
        pool: &mut Pool,
        mut take: impl FnMut(&Map),
    ) -> Result<()> {
        let layers = self.layers(factor);
        let (mut head, mut tail, mut up) = (Rolling::behind(layers.len() - 2), Rolling::behind(1), Rolling::behind(0));
        let mut body: Vec<[Rolling; 2]> = self.body.iter().map(|_| [Rolling::behind(1), Rolling::behind(2)]).collect();
        for band in Band::all(input.region, cell, &layers) {
            let h = head.run(&self.head, &input, band, Then::NOTHING, pool)?;
            let mut t: Option<Map> = None;
            for (block, [a, b]) in self.body.iter().zip(&mut body) {
                let from = t.as_ref().unwrap_or(&h);
                let y = a.run(&block.a, from, band, Then::SILU, pool)?;
                let next = b.run(&block.b, &y, band, Then::NOTHING.plus(from, 0.2), pool)?;
                pool.give(y);
                t.replace(next).into_iter().for_each(|done| pool.give(done));
            }
            let sum = tail.run(&self.tail, t.as_ref().unwrap_or(&h), band, Then::add(&h), pool)?;
            t.into_iter().for_each(|done| pool.give(done));
            pool.give(h);
            let out = up.run(self.up(factor), &sum, band, Then::NOTHING, pool)?.here(pool)?;
            pool.give(sum);
            take(&out);
            pool.give(out);
        }
        pool.give(input);
        Ok(())
    }

    /// All convolutions on the way.
    fn layers(&self, factor: Factor) -> Vec<&Conv2d> {
        let body = self.body.iter().flat_map(|block| [&block.a, &block.b]);
        [&self.head].into_iter().chain(body).chain([&self.tail, self.up(factor)]).collect()
    }

    /// Bytes of the maps for an input with its margin.
    pub(super) fn bytes_at_work(&self, width: usize, height: usize, factor: Factor) -> u64 {
        let input = (width * height * Self::INPUTS * Precision::F32.bytes()) as u64;
        // The head's result to the end, and of a block what comes in, what is between, and what comes out.
        input + Band::most_bytes((width, height), &self.layers(factor), 4)
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
        self.layers(factor).iter().map(|layer| layer.flops()).sum()
    }
}
