//! PNG chunks: what is to be known before the decoder sees the file.

use crate::limits::{Limits, METADATA_BYTES};
use engine::NodeResult;
use flate2::bufread::ZlibDecoder;
use std::{borrow::Cow, io::Read};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Keyword of the text chunk that holds the recipe.
pub(super) const RECIPE: &str = "upweave";

/// Keyword of the text chunk that holds IPTC.
pub(super) const IPTC: &str = "Raw profile type iptc";

/// Keyword of the text chunk that holds XMP.
pub(super) const XMP: &str = "XML:com.adobe.xmp";

pub(super) fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// One chunk: its name, where it starts (with its length), where it ends (behind its sum), and its data.
struct Chunk<'a> {
    name: &'a [u8],
    start: usize,
    end: usize,
    data: &'a [u8],
}

/// All chunks, as far as the file goes.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut at = SIGNATURE.len();
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        let name = bytes.get(at + 4..at + 8)?;
        let end = at.checked_add(12)?.checked_add(length)?;
        let data = bytes.get(..end)?.get(at + 8..end - 4)?;
        let chunk = Chunk { name, start: at, end, data };
        at = end;
        Some(chunk)
    })
}

/// The chunks before the pixels.
fn head(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    chunks(bytes).take_while(|chunk| chunk.name != b"IDAT" && chunk.name != b"IEND")
}

/// Frames of an animation that are there, at most as many as its header counts; 0 for a picture that stands still.
pub(super) fn frames(bytes: &[u8]) -> u32 {
    let control = is_png(bytes).then(|| head(bytes).find(|chunk| chunk.name == b"acTL")).flatten();
    control.map_or(0, |chunk| {
        let there = chunks(bytes).filter(|chunk| chunk.name == b"fcTL").count();
        counted(&chunk).min(u32::try_from(there).unwrap_or(u32::MAX))
    })
}

/// What the chunk that controls an animation counts.
fn counted(control: &Chunk<'_>) -> u32 {
    control.data.get(..4).and_then(|frames| frames.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// Names and data of the chunks that hold texts, before the pixels or behind them.
pub(super) fn text_chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let all = is_png(bytes).then(|| chunks(bytes)).into_iter().flatten();
    all.filter(|chunk| [&b"tEXt"[..], b"zTXt", b"iTXt"].contains(&chunk.name)).map(|chunk| (chunk.name, chunk.data))
}

/// Whether the pixels begin within these first bytes of a file.
pub(super) fn reaches_pixels(bytes: &[u8]) -> bool {
    let end = if is_png(bytes) { head(bytes).last().map(|chunk| chunk.end) } else { None };
    end.is_some_and(|end| bytes.get(end + 4..end + 8) == Some(b"IDAT"))
}

/// So many times the limit of one block may all blocks of a file hold together.
const TOGETHER: u64 = 4;

/// Refuses a file with blocks of metadata, or with more frames, than the limits allow. What is compressed is inflated as
/// far as the limit to see that, and kept nowhere.
///
/// # Errors
/// [`Blame::Limit`](engine::Blame::Limit).
pub(super) fn check(path: &str, bytes: &[u8], limits: &Limits) -> NodeResult<()> {
    let mut together = 0;
    for chunk in chunks(bytes) {
        let (name, most) = (String::from_utf8_lossy(chunk.name), limits.metadata_bytes.unwrap_or(u64::MAX));
        let packed = match chunk.name {
            b"tEXt" | b"eXIf" => None,
            // A keyword, the method, the stream.
            b"zTXt" | b"iCCP" => after_keyword(chunk.data).and_then(|rest| rest.get(1..)),
            b"iTXt" => packed_text(chunk.data),
            b"acTL" => {
                limits.check_frames(path, u64::from(counted(&chunk)))?;
                continue;
            }
            _ => continue,
        };
        let length = chunk.data.len() as u64;
        limits.check_metadata(path, &format!("its `{name}` block"), length)?;
        let inflated = packed.filter(|_| limits.metadata_bytes.is_some()).map_or(0, |packed| inflated(packed, most));
        limits.check_metadata(path, &format!("its `{name}` block, inflated,"), inflated)?;
        together += length.max(inflated);
        if let Some(most) = limits.metadata_bytes.filter(|most| together > most.saturating_mul(TOGETHER)) {
            limits.check_metadata(path, "its metadata together", together.max(most + 1))?;
        }
    }
    Ok(())
}

/// What stands behind a keyword, or another text that ends with a zero.
pub(super) fn after_keyword(data: &[u8]) -> Option<&[u8]> {
    data.iter().position(|&byte| byte == 0).map(|end| &data[end + 1..])
}

/// The compressed text of an international text block, when it is compressed: behind keyword, flag, method, language and
/// translated keyword.
fn packed_text(data: &[u8]) -> Option<&[u8]> {
    let rest = after_keyword(data)?;
    let rest = rest.get(2..).filter(|_| rest[0] == 1)?;
    after_keyword(after_keyword(rest)?)
}

/// Bytes that a stream inflates to, counted up to one more than `most`. A broken stream ends where it breaks.
fn inflated(packed: &[u8], most: u64) -> u64 {
    let mut decoder = ZlibDecoder::new(packed);
    let mut part = [0; 1 << 14];
    let mut count = 0;
    while count <= most {
        match decoder.read(&mut part) {
            Ok(length) if length > 0 => count += length as u64,
            _ => break,
        }
    }
    count.min(most.saturating_add(1))
}

/// Most bytes of one row of pixels, by the header.
pub(super) fn row_bytes(bytes: &[u8]) -> usize {
    let width = bytes.get(16..20).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
    (width as usize).saturating_mul(8)
}

/// The file without text that nobody reads: the decoder would inflate it.
pub(super) fn lean(bytes: &[u8]) -> Cow<'_, [u8]> {
    let unwanted = |chunk: &Chunk<'_>| match chunk.name {
        b"tEXt" | b"zTXt" => true,
        // XMP is to be written uncompressed, says its specification.
        b"iTXt" => !chunk.data.starts_with(&[XMP.as_bytes(), &[0, 0]].concat()),
        _ => false,
    };
    let mut kept = Vec::new();
    let mut copied = 0;
    for chunk in head(bytes).filter(unwanted) {
        kept.extend_from_slice(&bytes[copied..chunk.start]);
        copied = chunk.end;
    }
    if copied == 0 {
        return Cow::Borrowed(bytes);
    }
    kept.extend_from_slice(&bytes[copied..]);
    Cow::Owned(kept)
}

/// Dots per inch.
pub(super) fn dpi(bytes: &[u8]) -> Option<(f64, f64)> {
    const INCH: f64 = 0.0254;
    let data = head(bytes).find(|chunk| chunk.name == b"pHYs")?.data;
    let x = u32::from_be_bytes(data.get(..4)?.try_into().ok()?);
    let y = u32::from_be_bytes(data.get(4..8)?.try_into().ok()?);
    (data.get(8) == Some(&1) && x > 0 && y > 0).then(|| (f64::from(x) * INCH, f64::from(y) * INCH))
}

/// The recipe, when the file carries one.
pub(super) fn recipe(bytes: &[u8]) -> Option<String> {
    if !is_png(bytes) {
        return None;
    }
    // Keyword, compression flag and method, language, translated keyword, text. `Save` writes it uncompressed.
    let data = head(bytes)
        .filter(|chunk| chunk.name == b"iTXt" && chunk.data.len() <= METADATA_BYTES)
        .find_map(|chunk| chunk.data.strip_prefix(RECIPE.as_bytes())?.strip_prefix(&[0, 0, 0]))?;
    let text = data.splitn(3, |&b| b == 0).nth(2)?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        for (name, data) in chunks {
            bytes.extend((data.len() as u32).to_be_bytes());
            bytes.extend(*name);
            bytes.extend(*data);
            bytes.extend([0; 4]);
        }
        bytes
    }

    #[test]
    fn texts_go_and_the_rest_stays() {
        let full = file(&[
            (b"IHDR", &[0; 13]),
            (b"zTXt", b"bomb"),
            (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x/>"),
            (b"iTXt", b"upweave\0\0\0\0\0Graph()"),
            (b"pHYs", &[0, 0, 11, 19, 0, 0, 11, 19, 1]),
            (b"IDAT", b"z"),
        ]);
        let lean = lean(&full);
        assert!(!lean.windows(4).any(|w| w == b"zTXt"));
        assert!(lean.windows(5).any(|w| w == b"adobe"));
        assert!(lean.windows(4).any(|w| w == b"IDAT"));
        assert_eq!(recipe(&full).as_deref(), Some("Graph()"));
        assert!(reaches_pixels(&full) && !reaches_pixels(&full[..full.len() - 10]));
        let (x, _) = dpi(&full).unwrap();
        assert!((x - 72.0).abs() < 0.1);
        for cut in 0..full.len() {
            super::lean(&full[..cut]);
            recipe(&full[..cut]);
            dpi(&full[..cut]);
        }
    }
}
