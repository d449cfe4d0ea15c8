//! CLIP's tokenizer (Radford et al. 2021): what transformers' `CLIPTokenizer` makes of a text, with the vocabulary in the program.

mod bpe;

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization_alignments::UnicodeNormalization;

/// The token in front of every text.
pub const START: u32 = 49_406;
/// The token behind every text.
pub const END: u32 = 49_407;

/// Tokens that are written out. They count only in exactly this spelling.
static WRITTEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"<\|startoftext\|>|<\|endoftext\|>"));

/// Words: endings of contractions, letters, single digits, and everything else that is not space. Marks that join a letter are "else",
/// as in transformers.
static WORDS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("both patterns are constants, and tests use them")
}

/// The ids of a text, without those of its start and end. Letters are composed (NFC) and made small; space only parts words.
/// The time is nearly proportional to the length.
pub fn tokenize(text: &str) -> Vec<u32> {
    let (mut ids, mut behind) = (vec![], 0);
    for token in WRITTEN.find_iter(text) {
        plain(&text[behind..token.start()], &mut ids);
        ids.push(if token.as_str().contains("start") { START } else { END });
        behind = token.end();
    }
    plain(&text[behind..], &mut ids);
    ids
}

/// Appends the ids of a text in which no token is written out.
fn plain(text: &str, ids: &mut Vec<u32>) {
    // The crate is that of transformers: later versions of Unicode put some marks in another order.
    let text: String = text.nfc().flat_map(|(letter, _)| letter.to_lowercase()).collect();
    for word in WORDS.find_iter(&text) {
        let word = word.as_str();
        // What became a token only by being made small is one word to the pattern, but three to the encoding.
        match WRITTEN.is_match(word) {
            true => {
                let (open, close) = (2, word.len() - 2);
                [&word[..open], &word[open..close], &word[close..]].iter().for_each(|part| bpe::encode(part, ids));
            }
            false => bpe::encode(word, ids),
        }
    }
}

#[cfg(test)]
mod tests;
