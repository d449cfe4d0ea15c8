//! CLIP's text encoder (Radford et al. 2021).

use super::{Scratch, from_tokens};
use crate::kernels::Activation;
use crate::layers::{Attention, Compute, Conv2d, Embedding, LayerNorm, Map, Pool, Precision, Then, Weights};
use crate::picture::room;
use crate::{Error, Result};

/// The sizes of a text encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipConfig {
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Channels of a token.
    pub width: usize,
    /// Channels between the two linear layers of a block.
    pub inner: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Tokens of the longest text.
    pub positions: usize,
    /// Whether its GELU is `x * sigmoid(1.702 x)`.
    pub quick_gelu: bool,
    /// The token that ends a text.
    pub end: u32,
}

impl Default for ClipConfig {
    /// ViT-L/14, of Stable Diffusion 1.
    fn default() -> Self {
        Self {
            vocabulary: 49_408,
            width: 768,
            inner: 3072,
            layers: 12,
            heads: 12,
            positions: 77,
            quick_gelu: true,
            end: 49_407,
        }
    }
}

/// A text encoder with its weights.
pub struct Clip {
    config: ClipConfig,
    compute: Compute,
    precision: Precision,
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

/// What a text encoder makes of a text. Each vector has the width of the encoder.
pub struct ClipText {
    /// A vector for each token, one after the other.
    pub last: Vec<f32>,
    /// The same before the last block and the last normalisation.
    pub before_last: Vec<f32>,
    /// The vector of the first token that ends the text.
    pub pooled: Vec<f32>,
}

/// Attention and a feed-forward part, each behind a normalisation and added to its input.
struct Block {
    norms: [LayerNorm; 2],
    /// Queries, keys and values side by side.
    all: Conv2d,
    attention: Attention,
    out: Conv2d,
    widen: Conv2d,
    narrow: Conv2d,
    quick_gelu: bool,
}

/// Added to the variance in layer normalisations.
const EPSILON: f32 = 1e-5;

impl Clip {
    /// Reads the bytes of a safetensors file with the tensor names of transformers' `CLIPTextModel`.
    ///
    /// # Errors
    /// When the file is no safetensors file, a tensor is missing, misshaped or not finite, or the sizes make no sense.
    pub fn from_safetensors(file: &[u8], config: ClipConfig, compute: Compute) -> Result<Self> {
        Self::load(&Weights::read(file, "text encoder", "text_model.")?.on(compute), config)
    }

    pub(crate) fn load(weights: &Weights<'_>, config: ClipConfig) -> Result<Self> {
        let ClipConfig { vocabulary, width, layers, heads, positions, .. } = config;
        if heads == 0 || !width.is_multiple_of(heads) {
            let hint = "the width has to make so many heads";
            return Err(Error::Setting { name: "heads", value: heads.to_string(), hint });
        }
        let block = |i: usize| Block::load(weights, &format!("encoder.layers.{i}"), &config);
        Ok(Self {
            compute: weights.compute().clone(),
            precision: weights.precision(),
            tokens: Embedding::load(weights, "embeddings.token_embedding", vocabulary, width)?,
            positions: Embedding::load(weights, "embeddings.position_embedding", positions, width)?,
            blocks: (0..layers).map(block).collect::<Result<_>>()?,
            norm: LayerNorm::load(weights, "final_layer_norm", width, EPSILON)?,
            config,
        })
    }

    /// Floating-point operations for so many tokens.
    pub fn flops(&self, tokens: usize) -> f64 {
        self.blocks.iter().map(|block| block.flops(tokens)).sum()
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        self.tokens.bytes() + self.positions.bytes() + self.blocks.iter().map(Block::bytes).sum::<u64>()
    }

    /// Encodes a text.
    ///
    /// # Errors
    /// When there is no token, or more than the encoder has positions, one that is not in the vocabulary, or too little
    /// memory.
    pub fn run(&self, tokens: &[u32], scratch: &mut Scratch) -> Result<ClipText> {
        let ClipConfig { vocabulary, width, positions, end, .. } = self.config;
        let wrong = |value: String, hint| Err(Error::Setting { name: "tokens", value, hint });
        if tokens.is_empty() || tokens.len() > positions {
            return wrong(
                format!("{} tokens", tokens.len()),
                "there is at least one, and at most as many as positions",
            );
        }
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
            return wrong(token.to_string(), "it is not in the vocabulary");
        }
        let mut vectors = room(tokens.len() * width, "the tokens")?;
        for (token, position) in tokens.iter().zip(0..) {
            let (token, position) = (self.tokens.vector(*token as usize)?, self.positions.vector(position)?);
            vectors.extend(token.iter().zip(&position).map(|(token, position)| token + position));
        }

        let Scratch(pool) = scratch;
        let mut x = from_tokens(&vectors, width, &self.compute, self.precision, pool)?;
        let mut before_last = vec![];
        for (i, block) in self.blocks.iter().enumerate() {
            if i + 1 == self.blocks.len() {
                before_last = x.fetch()?;
            }
            x = block.run(x, pool)?;
        }
        let y = self.norm.run(&x, pool)?;
        pool.give(x);
        let last = y.fetch()?;
        pool.give(y);
        let end = tokens.iter().position(|token| *token == end).unwrap_or(tokens.len() - 1);
        let pooled = last[end * width..][..width].to_vec();
        Ok(ClipText { last, before_last, pooled })
    }
}

impl Block {
    fn load(weights: &Weights<'_>, name: &str, config: &ClipConfig) -> Result<Self> {
        let ClipConfig { width, inner, heads, .. } = *config;
        let norm = |i: usize| LayerNorm::load(weights, &format!("{name}.layer_norm{i}"), width, EPSILON);
        let names = ["q", "k", "v"].map(|part| format!("{name}.self_attn.{part}_proj"));
        let linear =
            |part: &str, from: usize, to: usize| Conv2d::linear(weights, &format!("{name}.{part}"), from, to, true);
        Ok(Self {
            norms: [norm(1)?, norm(2)?],
            all: Conv2d::joined(weights, &names, width, width, true)?,
            attention: Attention::new(weights, width, heads, true),
            out: linear("self_attn.out_proj", width, width)?,
            widen: linear("mlp.fc1", width, inner)?,
            narrow: linear("mlp.fc2", inner, width)?,
            quick_gelu: config.quick_gelu,
        })
    }

    fn flops(&self, tokens: usize) -> f64 {
        let layers: f64 = [&self.all, &self.out, &self.widen, &self.narrow].into_iter().map(Conv2d::flops).sum();
        layers * tokens as f64 + self.attention.flops(tokens, tokens)
    }

    fn bytes(&self) -> u64 {
        [&self.all, &self.out, &self.widen, &self.narrow].into_iter().map(Conv2d::bytes).sum()
    }

    fn run(&self, x: Map, pool: &mut Pool) -> Result<Map> {
        let ([norm1, norm2], width) = (&self.norms, x.channels);
        let y = norm1.run(&x, pool)?;
        let all = self.all.run(&y, Then::NOTHING, pool)?;
        pool.give(y);
        let seen = self.attention.run((&all, 0), (&all, width), (&all, 2 * width), pool)?;
        pool.give(all);
        let sum = self.out.run(&seen, Then::add(&x), pool)?;
        pool.give(seen);
        pool.give(x);

        let y = norm2.run(&sum, pool)?;
        let gelu = if self.quick_gelu { Activation::QuickGelu } else { Activation::Gelu };
        let wide = self.widen.run(&y, Then::activation(gelu), pool)?;
        pool.give(y);
        let out = self.narrow.run(&wide, Then::add(&sum), pool)?;
        pool.give(wide);
        pool.give(sum);
        Ok(out)
    }
}
