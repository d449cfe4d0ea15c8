//! Words learned by textual inversion (Gal et al. 2023): a few vectors that stand in the place of tokens.

use std::collections::HashMap;

use crate::stable_diffusion::tokenizer::tokenize;
use crate::{Error, Result};

/// The learned words of a text encoder, by the tokens that name them.
#[derive(Default)]
pub(super) struct Embeddings {
    all: Vec<Embedding>,
    /// By the first token of their names: which; the longest name first.
    by_token: HashMap<u32, Vec<usize>>,
}

struct Embedding {
    name: Vec<u32>,
    rows: usize,
    /// For each encoder its rows, one after the other.
    vectors: Vec<Vec<f32>>,
}

impl Embeddings {
    /// Adds a word; one of the same name is replaced. `vectors` are those of each encoder, `widths` of theirs.
    ///
    /// # Errors
    /// When the name is no word, or the vectors do not fit the encoders, or a chunk.
    pub(super) fn add(&mut self, name: &str, vectors: Vec<Vec<f32>>, widths: &[usize], most: usize) -> Result<()> {
        let wrong = |hint| Error::Setting { name: "embedding", value: name.into(), hint };
        let tokens = tokenize(name);
        let Some(first) = tokens.first().copied() else { return Err(wrong("its name has at least one letter")) };
        let rows = vectors[0].len() / widths[0];
        if rows == 0 || vectors.iter().zip(widths).any(|(vectors, width)| vectors.len() != rows * width) {
            return Err(wrong("it has the same number of vectors, at least one, for each text encoder"));
        }
        if rows > most {
            return Err(wrong("it has at most 75 vectors"));
        }
        if vectors.iter().flatten().any(|value| !value.is_finite()) {
            return Err(wrong("its values have to be finite"));
        }
        let embedding = Embedding { name: tokens, rows, vectors };
        match self.all.iter_mut().find(|known| known.name == embedding.name) {
            Some(known) => *known = embedding,
            None => {
                let all = &mut self.all;
                all.push(embedding);
                let same = self.by_token.entry(first).or_default();
                same.push(all.len() - 1);
                same.sort_by_key(|i| std::cmp::Reverse(all[*i].name.len()));
            }
        }
        Ok(())
    }

    /// The word that the tokens begin with: which it is, how many tokens name it, and how many places it takes.
    pub(super) fn at(&self, tokens: &[u32]) -> Option<(usize, usize, usize)> {
        let named = self.by_token.get(tokens.first()?)?;
        let i = named.iter().copied().find(|i| tokens.starts_with(&self.all[*i].name))?;
        Some((i, self.all[i].name.len(), self.all[i].rows))
    }

    /// A vector of a word, for one of the encoders.
    pub(super) fn vector(&self, encoder: usize, word: usize, row: usize) -> &[f32] {
        let Embedding { rows, ref vectors, .. } = self.all[word];
        let width = vectors[encoder].len() / rows;
        &vectors[encoder][row * width..][..width]
    }
}
