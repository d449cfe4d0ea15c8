//! The attention blocks of the U-Net and of the autoencoder.

use super::encoder::Shape;
use super::resnet::Norms;
use crate::kernels::Activation;
use crate::layers::{Attention, Conv2d, GroupNorm, LayerNorm, Map, Mosaic, Pool, Then, Weights};
use crate::{Error, Result};

/// Added to the variance in layer normalisations.
const EPSILON: f32 = 1e-5;

/// Transformer blocks over the pixels of a map, which also look at the tokens of a text.
pub(super) struct Transformer {
    norm: GroupNorm,
    enter: Conv2d,
    blocks: Vec<Block>,
    leave: Conv2d,
}

/// What the transformers of a network have in common.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// Blocks one after the other.
    pub(super) blocks: usize,
    pub(super) heads: usize,
    /// Channels of the text.
    pub(super) text: usize,
    /// Groups of the normalisation in front.
    pub(super) groups: usize,
    /// Whether the way in and out are linear layers and not 1x1 convolutions.
    pub(super) linear: bool,
}

impl Transformer {
    /// # Errors
    /// When a tensor is missing or misshaped, or the channels do not make heads of the same size.
    pub(super) fn load(weights: &Weights<'_>, name: &str, channels: usize, sizes: Sizes) -> Result<Self> {
        let project = |part: &str| match sizes.linear {
            true => Conv2d::linear(weights, &format!("{name}.{part}"), channels, channels, true),
            false => Conv2d::load(weights, &format!("{name}.{part}"), channels, channels, 1),
        };
        let block = |i: usize| Block::load(weights, &format!("{name}.transformer_blocks.{i}"), channels, sizes);
        Ok(Self {
            norm: GroupNorm::load(weights, &format!("{name}.norm"), channels, sizes.groups, 1e-6)?,
            enter: project("proj_in")?.with_margin(0),
            blocks: (0..sizes.blocks).map(block).collect::<Result<_>>()?,
            leave: project("proj_out")?.with_margin(1),
        })
    }

    /// Floating-point operations over so many pixels and tokens.
    pub(super) fn flops(&self, pixels: usize, tokens: usize) -> f64 {
        let blocks: f64 = self.blocks.iter().map(|block| block.flops(pixels, tokens)).sum();
        blocks + (self.enter.flops() + self.leave.flops()) * pixels as f64
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> u64 {
        let blocks: u64 = self.blocks.iter().map(Block::bytes).sum();
        blocks + self.enter.bytes() + self.leave.bytes()
    }

    /// The most values beside the input that lie in memory at once, the result with them: what the blocks begin with, and
    /// the four times as wide map of the feed-forward part with what it comes from or what is made of it.
    pub(super) fn room(&self, of: Shape) -> u64 {
        6 * of.values()
    }

    /// # Errors
    /// When there is no memory for the maps, or a device fails.
    pub(super) fn run(&self, x: &Map, text: &Map, pool: &mut Pool) -> Result<Map> {
        let y = self.norm.run(x, Activation::Identity, pool)?;
        let mut h = self.enter.run(&y, Then::NOTHING, pool)?;
        pool.give(y);
        for block in &self.blocks {
            h = block.run(h, text, pool)?;
        }
        let out = self.leave.run(&h, Then::add(x), pool)?;
        pool.give(h);
        Ok(out)
    }
}

/// Attention among the pixels, attention to the text, and a feed-forward part with a gate, each behind a normalisation and
/// added to its input.
struct Block {
    norms: [LayerNorm; 3],
    /// Queries, keys and values side by side.
    own: Conv2d,
    own_attention: Attention,
    own_out: Conv2d,
    query: Conv2d,
    /// Keys and values of the text.
    text: Conv2d,
    text_attention: Attention,
    text_out: Conv2d,
    widen: Conv2d,
    narrow: Conv2d,
    channels: usize,
}

impl Block {
    fn load(weights: &Weights<'_>, name: &str, channels: usize, sizes: Sizes) -> Result<Self> {
        let Sizes { heads, text, .. } = sizes;
        if heads == 0 || !channels.is_multiple_of(heads) {
            let hint = "the channels of every layer with attention have to make so many heads";
            return Err(Error::Setting { name: "heads", value: heads.to_string(), hint });
        }
        let norm = |i: usize| LayerNorm::load(weights, &format!("{name}.norm{i}"), channels, EPSILON);
        let names = |of: usize, parts: &[&str]| -> Vec<String> {
            parts.iter().map(|part| format!("{name}.attn{of}.to_{part}")).collect()
        };
        let linear =
            |part: &str, from: usize, to: usize| Conv2d::linear(weights, &format!("{name}.{part}"), from, to, true);
        Ok(Self {
            norms: [norm(1)?, norm(2)?, norm(3)?],
            own: Conv2d::joined(weights, &names(1, &["q", "k", "v"]), channels, channels, false)?,
            own_attention: Attention::new(weights, channels, heads, false),
            own_out: linear("attn1.to_out.0", channels, channels)?,
            query: Conv2d::joined(weights, &names(2, &["q"]), channels, channels, false)?,
            text: Conv2d::joined(weights, &names(2, &["k", "v"]), text, channels, false)?,
            text_attention: Attention::new(weights, channels, heads, false),
            text_out: linear("attn2.to_out.0", channels, channels)?,
            widen: Conv2d::gated(weights, &format!("{name}.ff.net.0.proj"), channels, 4 * channels)?,
            narrow: linear("ff.net.2", 4 * channels, channels)?,
            channels,
        })
    }

    fn flops(&self, pixels: usize, tokens: usize) -> f64 {
        let layers = [&self.own, &self.own_out, &self.query, &self.text_out, &self.widen, &self.narrow];
        let each: f64 = layers.into_iter().map(Conv2d::flops).sum();
        each * pixels as f64
            + self.text.flops() * tokens as f64
            + self.own_attention.flops(pixels, pixels)
            + self.text_attention.flops(pixels, tokens)
    }

    fn bytes(&self) -> u64 {
        [&self.own, &self.own_out, &self.query, &self.text, &self.text_out, &self.widen, &self.narrow]
            .into_iter()
            .map(Conv2d::bytes)
            .sum()
    }

    fn run(&self, x: Map, text: &Map, pool: &mut Pool) -> Result<Map> {
        let [norm1, norm2, norm3] = &self.norms;
        let y = norm1.run(&x, pool)?;
        let all = self.own.run(&y, Then::NOTHING, pool)?;
        pool.give(y);
        let seen = self.own_attention.run((&all, 0), (&all, self.channels), (&all, 2 * self.channels), pool)?;
        pool.give(all);
        let x = then_add(&self.own_out, seen, x, pool)?;

        let y = norm2.run(&x, pool)?;
        let query = self.query.run(&y, Then::NOTHING, pool)?;
        pool.give(y);
        let pairs = self.text.run(text, Then::NOTHING, pool)?;
        let seen = self.text_attention.run((&query, 0), (&pairs, 0), (&pairs, self.channels), pool)?;
        pool.give(query);
        pool.give(pairs);
        let x = then_add(&self.text_out, seen, x, pool)?;

        let y = norm3.run(&x, pool)?;
        let wide = self.widen.run(&y, Then::NOTHING, pool)?;
        pool.give(y);
        then_add(&self.narrow, wide, x, pool)
    }
}

/// `base + layer(x)`; both maps go back to the pool.
fn then_add(layer: &Conv2d, x: Map, base: Map, pool: &mut Pool) -> Result<Map> {
    let out = layer.run(&x, Then::add(&base), pool)?;
    pool.give(x);
    pool.give(base);
    Ok(out)
}

/// Attention with one head among the pixels of a map, in the middle of the autoencoder.
pub(super) struct PixelAttention {
    norm: GroupNorm,
    /// Queries, keys and values side by side.
    all: Conv2d,
    attention: Attention,
    out: Conv2d,
    channels: usize,
}

impl PixelAttention {
    /// # Errors
    /// When a tensor is missing or misshaped.
    pub(super) fn load(weights: &Weights<'_>, name: &str, channels: usize, norms: Norms) -> Result<Self> {
        let names = ["to_q", "to_k", "to_v"].map(|part| format!("{name}.{part}"));
        Ok(Self {
            norm: GroupNorm::load(weights, &format!("{name}.group_norm"), channels, norms.groups, norms.epsilon)?,
            all: Conv2d::joined(weights, &names, channels, channels, true)?,
            attention: Attention::new(weights, channels, 1, false),
            out: Conv2d::linear(weights, &format!("{name}.to_out.0"), channels, channels, true)?.with_margin(1),
            channels,
        })
    }

    /// Floating-point operations over so many pixels.
    pub(super) fn flops(&self, pixels: usize) -> f64 {
        (self.all.flops() + self.out.flops()) * pixels as f64 + self.attention.flops(pixels, pixels)
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> u64 {
        self.all.bytes() + self.out.bytes()
    }

    /// The most values beside the input that lie in memory at once, the result with them: queries, keys and values, and what
    /// they come from or what is seen.
    pub(super) fn room(&self, of: Shape) -> u64 {
        4 * of.values()
    }

    /// Up to `most` pixels look at each other. Where there are more, squares of a quarter as many look at as many: at half an
    /// edge around them.
    ///
    /// # Errors
    /// When there is no memory for the maps, or a device fails.
    pub(super) fn run(&self, x: Map, most: usize, pool: &mut Pool) -> Result<Map> {
        let y = self.norm.run(&x, Activation::Identity, pool)?;
        let all = self.all.run(&y, Then::NOTHING, pool)?;
        pool.give(y);
        let (whole, channels) = (all.region, self.channels);
        let small = whole.width().saturating_mul(whole.height()) <= most;
        let edge = if small { usize::MAX } else { (most.isqrt() / 2).max(1) };
        let mut out = Mosaic::over(x);
        for cell in whole.cells(edge) {
            let seen = match small {
                true => self.attention.run((&all, 0), (&all, channels), (&all, 2 * channels), pool)?,
                false => {
                    let (queries, around) = (all.cut(cell, 0, pool)?, all.cut(cell.grown(edge / 2), 0, pool)?);
                    let pairs = ((&around, channels), (&around, 2 * channels));
                    let seen = self.attention.run((&queries, 0), pairs.0, pairs.1, pool)?;
                    pool.give(queries);
                    pool.give(around);
                    seen
                }
            };
            let done = self.out.run(&seen, out.before().map_or(Then::NOTHING, Then::add), pool)?;
            pool.give(seen);
            out.put(done, pool)?;
        }
        pool.give(all);
        let hint = "it takes at least one pixel";
        out.finish()?.ok_or(Error::Setting { name: "size", value: "nothing".into(), hint })
    }
}
