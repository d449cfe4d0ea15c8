//! CLIP's text encoder (Radford et al. 2021), as OpenAI trained it for Stable Diffusion 1 and as OpenCLIP did (Cherti et al. 2023) for
//! Stable Diffusion 2 and SDXL.

use super::{Scratch, from_tokens};
use crate::kernels::Activation;
use crate::layers::{Attention, Compute, Conv2d, Dense, Embedding, LayerNorm, Map, Pool, Precision, Then, Weights};
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

impl ClipConfig {
    /// OpenCLIP ViT-H/14, of Stable Diffusion 2: the 23 of its 24 blocks that are looked at.
    pub fn open_clip_h() -> Self {
        Self { width: 1024, inner: 4096, layers: 23, heads: 16, quick_gelu: false, ..Self::default() }
    }

    /// OpenCLIP ViT-bigG/14, the second text encoder of SDXL.
    pub fn open_clip_big_g() -> Self {
        Self { width: 1280, inner: 5120, layers: 32, heads: 20, quick_gelu: false, ..Self::default() }
    }
}

impl Default for ClipConfig {
    /// ViT-L/14, of Stable Diffusion 1 and the first of SDXL.
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
    /// What the vector of the whole text is projected by, where the file has it.
    projection: Option<Dense>,
}

/// What stands at a place of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// A token of the vocabulary.
    Id(u32),
    /// A vector in its place, as wide as the encoder: a word learned by textual inversion (Gal et al. 2023).
    Vector(&'a [f32]),
}

/// What a text encoder makes of a text. Each vector has the width of the encoder.
pub struct ClipText {
    /// A vector for each token, one after the other.
    pub last: Vec<f32>,
    /// The same before the last block and the last normalisation.
    pub before_last: Vec<f32>,
    /// The vector of the first token that ends the text; projected where the file has a projection.
    pub pooled: Vec<f32>,
}

/// Whether the normalisation behind the last block is also used behind an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Normalised,
    Raw,
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
    /// Reads the bytes of a safetensors file with the tensor names of transformers' `CLIPTextModel` or, with a projection,
    /// `CLIPTextModelWithProjection`.
    ///
    /// # Errors
    /// When the file is no safetensors file, a tensor is missing, misshaped or not finite, or the sizes make no sense.
    pub fn from_safetensors(file: &[u8], config: ClipConfig, compute: Compute) -> Result<Self> {
        Self::load(&Weights::read(file, "text encoder", "")?.on(compute), config)
    }

    /// The same of tensors with their full names: `text_model.*`, and `text_projection.weight` (out, width) if it is there.
    pub(crate) fn load(weights: &Weights<'_>, config: ClipConfig) -> Result<Self> {
        let ClipConfig { vocabulary, width, layers, heads, positions, .. } = config;
        if heads == 0 || !width.is_multiple_of(heads) {
            let hint = "the width has to make so many heads";
            return Err(Error::Setting { name: "heads", value: heads.to_string(), hint });
        }
        let embedding =
            |what: &str, count| Embedding::load(weights, &format!("text_model.embeddings.{what}"), count, width);
        let block = |i: usize| Block::load(weights, &format!("text_model.encoder.layers.{i}"), &config);
        let projection = match weights.has("text_projection.weight") {
            true => {
                let outputs = weights.width("text_projection.weight")?;
                Some(Dense::without_bias(weights, "text_projection", width, outputs)?)
            }
            false => None,
        };
        Ok(Self {
            compute: weights.compute().clone(),
            precision: weights.precision(),
            tokens: embedding("token_embedding", vocabulary)?,
            positions: embedding("position_embedding", positions)?,
            blocks: (0..layers).map(block).collect::<Result<_>>()?,
            norm: LayerNorm::load(weights, "text_model.final_layer_norm", width, EPSILON)?,
            projection,
            config,
        })
    }

    /// Its sizes.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Whether it projects the vector of the whole text.
    pub fn projects(&self) -> bool {
        self.projection.is_some()
    }

    /// Floating-point operations for so many tokens.
    pub fn flops(&self, tokens: usize) -> f64 {
        self.blocks.iter().map(|block| block.flops(tokens)).sum()
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        self.tokens.bytes() + self.positions.bytes() + self.blocks.iter().map(Block::bytes).sum::<u64>()
    }

    /// Encodes a text of tokens of the vocabulary.
    ///
    /// # Errors
    /// When there is no token, or more than the encoder has positions, one that is not in the vocabulary, or too little
    /// memory.
    pub fn run(&self, tokens: &[u32], scratch: &mut Scratch) -> Result<ClipText> {
        let text: Vec<Token<'_>> = tokens.iter().map(|token| Token::Id(*token)).collect();
        let Scratch(pool) = scratch;
        let (state, last) = self.states(&text, 1, pool)?;
        let before_last = state.fetch()?;
        pool.give(state);
        Ok(ClipText { pooled: self.pooled(&text, &last), last, before_last })
    }

    /// Encodes a text: a vector for each place, with the last `skip` blocks left out, and the pooled one of all blocks.
    ///
    /// # Errors
    /// As [`Clip::run`]; when there are not so many blocks to leave out; when a vector has another width.
    pub(super) fn encode(
        &self,
        text: &[Token<'_>],
        skip: usize,
        ending: Ending,
        scratch: &mut Scratch,
    ) -> Result<(Vec<f32>, Vec<f32>)> {
        let Scratch(pool) = scratch;
        let (mut state, last) = self.states(text, skip, pool)?;
        if ending == Ending::Normalised {
            let normalised = self.norm.run(&state, pool)?;
            pool.give(std::mem::replace(&mut state, normalised));
        }
        let vectors = state.fetch()?;
        pool.give(state);
        Ok((vectors, self.pooled(text, &last)))
    }

    /// The state in front of the last `skip` blocks, and the vectors behind the last block and normalisation.
    fn states(&self, text: &[Token<'_>], skip: usize, pool: &mut Pool) -> Result<(Map, Vec<f32>)> {
        let width = self.config.width;
        let Some(taken) = self.blocks.len().checked_sub(skip) else {
            let hint = "an encoder has no more blocks than it can leave out";
            return Err(Error::Setting { name: "clip skip", value: skip.to_string(), hint });
        };
        let embedded = self.embedded(text)?;
        let start = from_tokens(&embedded, width, &self.compute, self.precision, pool)?;
        let state = self.through(&self.blocks[..taken], start, pool)?;
        let last = match skip {
            0 => self.norm.run(&state, pool)?,
            _ => {
                // The blocks take their input for good, so they go on from a copy.
                let copy = from_tokens(&state.fetch()?, width, &self.compute, self.precision, pool)?;
                let x = self.through(&self.blocks[taken..], copy, pool)?;
                let last = self.norm.run(&x, pool)?;
                pool.give(x);
                last
            }
        };
        let values = last.fetch()?;
        pool.give(last);
        Ok((state, values))
    }

    fn through(&self, blocks: &[Block], x: Map, pool: &mut Pool) -> Result<Map> {
        blocks.iter().try_fold(x, |x, block| block.run(x, pool))
    }

    /// The vectors of tokens and of their places, added.
    fn embedded(&self, text: &[Token<'_>]) -> Result<Vec<f32>> {
        let ClipConfig { vocabulary, width, positions, .. } = self.config;
        let wrong = |value: String, hint| Error::Setting { name: "tokens", value, hint };
        if text.is_empty() || text.len() > positions {
            let hint = "there is at least one, and at most as many as positions";
            return Err(wrong(format!("{} tokens", text.len()), hint));
        }
        let mut vectors = room(text.len() * width, "the tokens")?;
        for (token, position) in text.iter().zip(0..) {
            let looked_up;
            let token = match token {
                Token::Id(id) if *id as usize >= vocabulary => {
                    return Err(wrong(id.to_string(), "it is not in the vocabulary"));
                }
                Token::Vector(vector) if vector.len() != width => {
                    return Err(wrong(format!("a vector of {} values", vector.len()), "it is as wide as the encoder"));
                }
                Token::Id(id) => {
                    looked_up = self.tokens.vector(*id as usize)?;
                    &looked_up[..]
                }
                Token::Vector(vector) => vector,
            };
            vectors
                .extend(token.iter().zip(&self.positions.vector(position)?).map(|(token, position)| token + position));
        }
        Ok(vectors)
    }

    fn pooled(&self, text: &[Token<'_>], last: &[f32]) -> Vec<f32> {
        let ClipConfig { width, end, .. } = self.config;
        let end = text.iter().position(|token| *token == Token::Id(end)).unwrap_or(text.len() - 1);
        let vector = &last[end * width..][..width];
        self.projection.as_ref().map_or_else(|| vector.to_vec(), |projection| projection.run(vector))
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

#[cfg(test)]
mod tests;
