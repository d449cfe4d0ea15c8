//! From a prompt to what the U-Net is conditioned on.

mod chunks;
mod embeddings;
mod prompt;

use chunks::{Chunk, PLACES, Slot};
use embeddings::Embeddings;

use super::Scratch;
use super::clip::{Clip, Ending, Token};
use super::tokenizer::{END, START};
use crate::picture::zeros;
use crate::{Error, Result};

/// What a prompt is to the U-Net.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditioning {
    /// A vector for each token, one after the other: 77 for each chunk of the prompt.
    pub tokens: Vec<f32>,
    /// Values of a vector.
    pub width: usize,
    /// The vector of the whole text (of its first chunk), where the family has it: SDXL.
    pub pooled: Option<Vec<f32>>,
}

/// The text encoders of a family of models.
///
/// A prompt may be as long as it likes: every 75 tokens are encoded on their own. Weights, see below, multiply the vectors of their
/// tokens, and all vectors of the chunk are then scaled so that their mean is what it was, each encoder on its own, as the first
/// programs for Stable Diffusion did; prompts that were tuned there mean the same here. The pooled vector knows no weights.
///
/// | written | weight of what is inside |
/// |---|---|
/// | `(words)` | times 1.1 |
/// | `[words]` | divided by 1.1 |
/// | `(words:1.3)` | times 1.3 |
/// | `\(`, `\)`, `\[`, `\]`, `\\` | the character itself |
/// | `BREAK` | begins a new chunk |
///
/// A bracket without its partner is an ordinary character.
pub struct TextEncoder {
    encoders: Vec<Encoder>,
    /// Whether the last encoder gives a vector of the whole text.
    pooled: bool,
    embeddings: Embeddings,
}

/// One of the encoders, and what the family takes of it.
struct Encoder {
    clip: Clip,
    /// Blocks that are left out at its end.
    skip: usize,
    ending: Ending,
    /// What stands behind the token of the end.
    filler: u32,
}

/// Stable Diffusion 2 looks at what comes out of so many blocks, of 24. Files have 23 or 24 of them.
const SD2_BLOCKS: usize = 23;

impl TextEncoder {
    /// That of Stable Diffusion 1: CLIP ViT-L/14, all of it.
    ///
    /// # Errors
    /// When the encoder does not take 77 tokens.
    pub fn sd1(clip: Clip) -> Result<Self> {
        Self::of(vec![Encoder { clip, skip: 0, ending: Ending::Normalised, filler: END }], false)
    }

    /// That of Stable Diffusion 2: OpenCLIP ViT-H/14 up to the last block but one, normalised.
    ///
    /// # Errors
    /// When the encoder does not take 77 tokens.
    pub fn sd2(clip: Clip) -> Result<Self> {
        let skip = clip.config().layers.saturating_sub(SD2_BLOCKS);
        Self::of(vec![Encoder { clip, skip, ending: Ending::Normalised, filler: 0 }], false)
    }

    /// Those of SDXL: CLIP ViT-L/14 and OpenCLIP ViT-bigG/14, both up to the last block but one and not normalised, side by side, and the
    /// pooled and projected vector of the second.
    ///
    /// # Errors
    /// When an encoder does not take 77 tokens, or the second has no projection.
    pub fn sdxl(clip: Clip, big_g: Clip) -> Result<Self> {
        if !big_g.projects() {
            let hint = "the second text encoder of SDXL has a `text_projection.weight`";
            return Err(Error::Setting { name: "text encoder", value: "no projection".into(), hint });
        }
        let encoder = |clip, filler| Encoder { clip, skip: 1, ending: Ending::Raw, filler };
        Self::of(vec![encoder(clip, END), encoder(big_g, 0)], true)
    }

    /// That of the refiner of SDXL: OpenCLIP ViT-bigG/14 alone, as in [`TextEncoder::sdxl`].
    ///
    /// # Errors
    /// As [`TextEncoder::sdxl`].
    pub fn sdxl_refiner(big_g: Clip) -> Result<Self> {
        if !big_g.projects() {
            let hint = "the text encoder of the refiner of SDXL has a `text_projection.weight`";
            return Err(Error::Setting { name: "text encoder", value: "no projection".into(), hint });
        }
        Self::of(vec![Encoder { clip: big_g, skip: 1, ending: Ending::Raw, filler: 0 }], true)
    }

    fn of(encoders: Vec<Encoder>, pooled: bool) -> Result<Self> {
        for Encoder { clip, .. } in &encoders {
            let positions = clip.config().positions;
            if positions != PLACES + 2 {
                let hint = "the text encoders of Stable Diffusion take 77 tokens";
                return Err(Error::Setting { name: "positions", value: positions.to_string(), hint });
            }
        }
        Ok(Self { encoders, pooled, embeddings: Embeddings::default() })
    }

    /// Teaches a word (textual inversion): wherever `name` stands in a prompt, its vectors stand in the place of its tokens. They are
    /// given as (width, rows one after the other), one for each encoder of the family, which is known by its width. A word of the same
    /// name is replaced.
    ///
    /// # Errors
    /// When the name is no word; when the vectors are not those of this family, not finite, or more than the 75 places of a chunk.
    pub fn learn<'a>(&mut self, name: &str, vectors: impl IntoIterator<Item = (usize, &'a [f32])>) -> Result<()> {
        let given: Vec<(usize, &[f32])> = vectors.into_iter().collect();
        let widths: Vec<usize> = self.encoders.iter().map(|encoder| encoder.clip.config().width).collect();
        let of = |width: &usize| given.iter().find(|(of, _)| of == width).map(|(_, values)| values.to_vec());
        let found: Option<Vec<Vec<f32>>> = widths.iter().map(of).collect();
        match found {
            Some(vectors) if given.len() == widths.len() => self.embeddings.add(name, vectors, &widths, PLACES),
            _ => {
                let found: Vec<String> = given.iter().map(|(width, _)| width.to_string()).collect();
                let value = format!("{name} (of width {})", found.join(" and "));
                let hint = "it has to be made for this family of models: 768 for Stable Diffusion 1, 1024 for 2, 768 and 1280 for SDXL";
                Err(Error::Setting { name: "embedding", value, hint })
            }
        }
    }

    /// Values of a vector of [`Conditioning`].
    pub fn width(&self) -> usize {
        self.encoders.iter().map(|encoder| encoder.clip.config().width).sum()
    }

    /// Bytes of the weights in memory.
    pub fn bytes(&self) -> u64 {
        self.encoders.iter().map(|encoder| encoder.clip.bytes()).sum()
    }

    /// Encodes a prompt. `skip` blocks more than the family leaves out are left out at the end of each encoder: 0 is usual, 1 is what most
    /// programs call "CLIP skip 2".
    ///
    /// # Errors
    /// When the prompt has more than 64 chunks, an encoder has not so many blocks, or there is too little memory.
    pub fn encode(&self, prompt: &str, skip: usize, scratch: &mut Scratch) -> Result<Conditioning> {
        let chunks = chunks::chunks(prompt, &self.embeddings)?;
        let (width, places) = (self.width(), PLACES + 2);
        let mut tokens = zeros(chunks.len() * places * width, "the text")?;
        let mut pooled = None;
        for (chunk, out) in chunks.iter().zip(tokens.chunks_exact_mut(places * width)) {
            let mut at = 0;
            for (i, Encoder { clip, skip: own, ending, filler }) in self.encoders.iter().enumerate() {
                let text = self.text(chunk, i, *filler);
                let (mut vectors, whole) = clip.encode(&text, own.saturating_add(skip), *ending, scratch)?;
                let part = clip.config().width;
                weigh(&mut vectors, chunk, part);
                for (to, vector) in out.chunks_exact_mut(width).zip(vectors.chunks_exact(part)) {
                    to[at..at + part].copy_from_slice(vector);
                }
                at += part;
                if self.pooled && i + 1 == self.encoders.len() {
                    pooled.get_or_insert(whole);
                }
            }
        }
        Ok(Conditioning { tokens, width, pooled })
    }

    /// All places of a chunk for one of the encoders.
    fn text(&self, chunk: &Chunk, encoder: usize, filler: u32) -> Vec<Token<'_>> {
        let words = chunk.iter().map(|(slot, _)| match slot {
            Slot::Id(id) => Token::Id(*id),
            Slot::Learned { word, row } => Token::Vector(self.embeddings.vector(encoder, *word, *row)),
        });
        let mut text: Vec<Token<'_>> = [Token::Id(START)].into_iter().chain(words).chain([Token::Id(END)]).collect();
        text.resize(PLACES + 2, Token::Id(filler));
        text
    }
}

/// Multiplies vectors by the weights of their places, and all of them so that their mean stays.
fn weigh(vectors: &mut [f32], chunk: &Chunk, width: usize) {
    if chunk.iter().all(|(_, weight)| *weight == 1.0) {
        return;
    }
    let sum = |vectors: &[f32]| vectors.iter().map(|value| f64::from(*value)).sum::<f64>();
    let before = sum(vectors);
    // The token of the start comes first.
    for (vector, (_, weight)) in vectors.chunks_exact_mut(width).skip(1).zip(chunk) {
        vector.iter_mut().for_each(|value| *value *= weight);
    }
    let scale = (before / sum(vectors)) as f32;
    if scale.is_finite() {
        vectors.iter_mut().for_each(|value| *value *= scale);
    }
}

#[cfg(test)]
mod tests;
