//! Blocks of GIF files: how many pictures there are.

/// One item for each picture.
pub(super) fn pictures(bytes: &[u8]) -> impl Iterator<Item = ()> + '_ {
    let mut at = if bytes.starts_with(b"GIF8") { 13 + table(bytes.get(10)) } else { bytes.len() };
    std::iter::from_fn(move || {
        loop {
            match bytes.get(at)? {
                // An extension: its label, then parts.
                0x21 => at = parts(bytes, at + 2)?,
                0x2C => {
                    at = parts(bytes, at + 11 + table(bytes.get(at + 9)))?;
                    return Some(());
                }
                _ => return None,
            }
        }
    })
}

/// Bytes of the table of colours that a byte tells of.
fn table(flags: Option<&u8>) -> usize {
    flags.filter(|flags| **flags & 0x80 != 0).map_or(0, |flags| 3 << ((flags & 7) + 1))
}

/// Where parts end, each with its length before it.
fn parts(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(pictures: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
        for shade in 0..pictures {
            let picture = image::RgbaImage::from_pixel(9, 7, image::Rgba([shade as u8, 0, 0, 255]));
            encoder.encode_frame(image::Frame::new(picture)).unwrap();
        }
        drop(encoder);
        bytes
    }

    #[test]
    fn pictures_are_counted() {
        assert_eq!(pictures(&file(1)).count(), 1);
        let animated = file(3);
        assert_eq!(pictures(&animated).count(), 3);
        for cut in 0..animated.len() {
            assert!(pictures(&animated[..cut]).count() <= 3);
        }
    }
}
