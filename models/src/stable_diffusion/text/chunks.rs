//! Prompts cut into what a text encoder can take at a time.

use super::embeddings::Embeddings;
use super::prompt::{Part, parse};
use crate::stable_diffusion::tokenizer::tokenize;
use crate::{Error, Result};

/// Places between the tokens of start and end.
pub(super) const PLACES: usize = 75;
/// How far back from the end of a chunk a comma may be at which it ends instead, so that fewer phrases are torn.
const BACK: usize = 20;
/// A comma at the end of a word.
const COMMA: u32 = 267;
/// More chunks than that are a mistake, not a prompt.
const MOST: usize = 64;

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Slot {
    /// A token.
    Id(u32),
    /// A vector of a learned word.
    Learned { word: usize, row: usize },
}

/// At most [`PLACES`] places with their weights.
pub(super) type Chunk = Vec<(Slot, f32)>;

/// Cuts a prompt into chunks, at least one. A full chunk ends at its last comma, if that is among its last 20 tokens. `BREAK` ends a
/// chunk, and a learned word is never torn.
///
/// # Errors
/// When there are more than 64 chunks.
pub(super) fn chunks(prompt: &str, embeddings: &Embeddings) -> Result<Vec<Chunk>> {
    let mut cut = Cut::default();
    for part in parse(prompt) {
        let (words, weight) = match part {
            Part::Words(words, weight) => (words, weight),
            Part::Break => {
                cut.end_chunk();
                continue;
            }
        };
        let tokens = tokenize(&words);
        let mut rest = &tokens[..];
        while let Some(token) = rest.first().copied() {
            match embeddings.at(rest) {
                Some((word, name, rows)) => {
                    if cut.current.len() + rows > PLACES {
                        cut.end_chunk();
                    }
                    cut.current.extend((0..rows).map(|row| (Slot::Learned { word, row }, weight)));
                    rest = &rest[name..];
                }
                None => {
                    cut.push(token, weight);
                    rest = &rest[1..];
                }
            }
            if cut.done.len() >= MOST {
                let hint = "at most 64 chunks of 75 tokens are encoded";
                return Err(Error::Setting { name: "prompt", value: format!("{} bytes", prompt.len()), hint });
            }
        }
    }
    if !cut.current.is_empty() || cut.done.is_empty() {
        cut.end_chunk();
    }
    Ok(cut.done)
}

#[derive(Default)]
struct Cut {
    done: Vec<Chunk>,
    current: Chunk,
    /// Behind the last comma of the current chunk.
    comma: Option<usize>,
}

impl Cut {
    fn push(&mut self, token: u32, weight: f32) {
        if self.current.len() == PLACES {
            // A comma that does not fit closes what is in the chunk already.
            let at = self.comma.filter(|at| token != COMMA && PLACES - at < BACK);
            let moved = at.map_or(vec![], |at| self.current.split_off(at));
            self.end_chunk();
            self.current = moved;
        }
        self.current.push((Slot::Id(token), weight));
        if token == COMMA {
            self.comma = Some(self.current.len());
        }
    }

    fn end_chunk(&mut self) {
        self.done.push(std::mem::take(&mut self.current));
        self.comma = None;
    }
}
