//! Boxes of files that are built like MP4: a length, a name, what is in it. JPEG XL and AVIF are.

/// One box.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub name: &'a [u8],
    pub data: &'a [u8],
}

/// The boxes that follow each other in these bytes, as far as they go. The last may be cut off.
pub(super) fn parts(bytes: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..)?;
        let name = rest.get(4..8)?;
        let (head, length) = match u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) {
            // All that is left.
            0 => (8, rest.len()),
            1 => {
                let length = u64::from_be_bytes(rest.get(8..16)?.try_into().ok()?);
                (16, usize::try_from(length).unwrap_or(usize::MAX))
            }
            length => (8, length as usize),
        };
        let data = rest.get(head..length.min(rest.len()))?;
        at = at.checked_add(length)?;
        Some(Part { name, data })
    })
}

/// The EXIF block in what is in a box or an item of that name: four bytes tell where in the rest it begins.
pub(super) fn exif_of(data: &[u8]) -> Option<&[u8]> {
    let skip = u32::from_be_bytes(data.get(..4)?.try_into().ok()?) as usize;
    data.get(skip.checked_add(4)?..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_follow_each_other() {
        let long = [&b"\0\0\0\x01long\0\0\0\0\0\0\0\x12"[..], b"ab"].concat();
        let file = [&b"\0\0\0\x0bcutsabc"[..], &long, b"\0\0\0\0lastxyz"].concat();
        let found: Vec<(&[u8], &[u8])> = parts(&file).map(|part| (part.name, part.data)).collect();
        assert_eq!(found, [(&b"cuts"[..], &b"abc"[..]), (b"long", b"ab"), (b"last", b"xyz")]);
        for cut in 0..file.len() {
            parts(&file[..cut]).count();
        }
        assert_eq!(parts(b"\0\0\0\x02tiny").count(), 0);
        // Cut off before it begins.
        assert!(parts(b"\0\0\0\x01hugeXXXXXXXX").all(|part| part.data.is_empty()));
    }
}
