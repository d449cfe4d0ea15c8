//! Chunks of WebP files: what is to be known beside what the decoder tells.

use std::ops::Range;

const HEAD: usize = 12;
/// Bit of the extended header that tells of an animation.
const ANIMATED: u8 = 2;

pub(super) fn is_webp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..HEAD) == Some(b"WEBP")
}

/// Names of chunks, and where their data lie, which may end behind the file.
fn heads(bytes: &[u8]) -> impl Iterator<Item = (&[u8], Range<usize>)> {
    let mut at = HEAD;
    std::iter::from_fn(move || {
        let name = bytes.get(at..at.checked_add(4)?)?;
        let length = u32::from_le_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?) as usize;
        let data = at + 8..(at + 8).checked_add(length)?;
        at = data.end.checked_next_multiple_of(2)?;
        Some((name, data))
    })
}

fn chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    heads(bytes).map_while(|(name, data)| Some((name, bytes.get(data)?)))
}

/// One item for each frame of an animation.
pub(super) fn frames(bytes: &[u8]) -> impl Iterator<Item = ()> {
    heads(bytes).filter(|(name, _)| name == b"ANMF").map(drop)
}

/// The XMP packet.
pub(super) fn xmp(bytes: &[u8]) -> Option<Vec<u8>> {
    let all = is_webp(bytes).then(|| chunks(bytes))?;
    all.filter(|(name, _)| name == b"XMP ").map(|(_, data)| data.to_vec()).next()
}

/// Whether it is an animation.
pub(super) fn is_animated(bytes: &[u8]) -> bool {
    let first = is_webp(bytes).then(|| chunks(bytes).next()).flatten();
    first.is_some_and(|(name, data)| name == b"VP8X" && data.first().is_some_and(|flags| flags & ANIMATED != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_found_and_nonsense_is_not() {
        let mut file = b"RIFF\0\0\0\0WEBPVP8X\x01\0\0\0\x02\0".to_vec();
        file.extend(b"XMP \x04\0\0\0<x/>");
        assert_eq!(xmp(&file).as_deref(), Some(&b"<x/>"[..]));
        assert!(is_animated(&file));
        for cut in 0..file.len() {
            xmp(&file[..cut]);
            is_animated(&file[..cut]);
        }
    }
}
