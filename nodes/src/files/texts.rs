//! Texts in PNG files: titles, authors, comments, and what other programs keep there.

use super::{iptc, png};
use crate::limits::METADATA_BYTES;
use flate2::read::ZlibDecoder;
use std::io::Read;

/// What a picture says in words.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Texts {
    /// Keyword and text.
    pub all: Vec<(String, String)>,
    pub iptc: Option<Vec<u8>>,
}

/// The texts of a PNG file, as many as fit into the limit of metadata. Those that are kept elsewhere are left out.
pub(super) fn of(bytes: &[u8]) -> Texts {
    let mut texts = Texts::default();
    let mut room = METADATA_BYTES;
    for (name, data) in png::text_chunks(bytes) {
        let Some((keyword, text)) = text(name, data, room) else { continue };
        room = room.saturating_sub(keyword.len() + text.len());
        match keyword.as_str() {
            png::RECIPE | png::XMP => {}
            "Raw profile type iptc" | "Raw profile type 8bim" => {
                texts.iptc = texts.iptc.or_else(|| iptc::of_text(&text));
            }
            // Blocks that are carried as such, or are of the file that was.
            other if other.starts_with("Raw profile type ") || other.starts_with("Thumb::") => {}
            _ => texts.all.push((keyword, text)),
        }
    }
    texts
}

/// Keyword and text of a chunk.
fn text(name: &[u8], data: &[u8], room: usize) -> Option<(String, String)> {
    let latin = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    let rest = png::after_keyword(data)?;
    let keyword = latin(data.get(..data.len() - rest.len() - 1)?);
    let text = match name {
        b"tEXt" => latin(rest.get(..rest.len().min(room))?),
        b"zTXt" => latin(&inflated(rest.strip_prefix(&[0])?, room)?),
        b"iTXt" => {
            let (packed, rest) = rest.split_first()?;
            // The method, a language and the keyword in that language come first.
            let rest = png::after_keyword(png::after_keyword(rest.get(1..)?)?)?;
            let bytes = if *packed == 1 { inflated(rest, room)? } else { rest.get(..rest.len().min(room))?.to_vec() };
            String::from_utf8(bytes).ok()?
        }
        _ => return None,
    };
    (!keyword.is_empty() && keyword.len() <= 79 && keyword.len() + text.len() <= room).then_some((keyword, text))
}

/// What was packed, when it is no larger than there is room.
fn inflated(packed: &[u8], room: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(packed).take(room as u64 + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() <= room).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_kinds_are_read_and_bombs_are_not() {
        let packed = |bytes: &[u8]| {
            let mut packed = Vec::new();
            flate2::read::ZlibEncoder::new(bytes, flate2::Compression::best()).read_to_end(&mut packed).unwrap();
            packed
        };
        let known = |name: &[u8], data: Vec<u8>| text(name, &data, 1000);
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(known(b"tEXt", b"Author\0J\xf6rg".to_vec()), pair("Author", "Jörg"));
        assert_eq!(known(b"zTXt", [b"Title\0\0", &packed(b"sea")[..]].concat()), pair("Title", "sea"));
        assert_eq!(known(b"iTXt", "Title\0\0\0de\0Titel\0Möwe".as_bytes().to_vec()), pair("Title", "Möwe"));
        let itxt = [b"Title\0\x01\0\0\0", &packed("Möwe".as_bytes())[..]].concat();
        assert_eq!(known(b"iTXt", itxt), pair("Title", "Möwe"));
        assert_eq!(known(b"zTXt", [b"Title\0\0", &packed(&[b'x'; 100_000])[..]].concat()), None);
        for broken in [&b"no end"[..], b"\0empty", b"Title\0\0no zlib", b"Title\0\x01"] {
            for name in [b"zTXt", b"iTXt"] {
                assert_eq!(known(name, broken.to_vec()), None);
            }
        }
    }
}
