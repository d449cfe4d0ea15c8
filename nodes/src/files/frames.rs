//! How many frames an animation has, told from the bones of its file: no frame is taken apart.

use crate::limits::Limits;
use engine::NodeResult;
use image::ImageFormat;

/// Refuses an animation of more frames than the limits allow. PNG says it in a chunk that is looked at with the others.
///
/// # Errors
/// [`Blame::Limit`](engine::Blame::Limit).
pub(super) fn check(path: &str, format: ImageFormat, bytes: &[u8], limits: &Limits) -> NodeResult<()> {
    let Some(most) = limits.frames else { return Ok(()) };
    // Nobody needs to know by how many there are too many.
    let enough = usize::try_from(most).unwrap_or(usize::MAX).saturating_add(1);
    let count = match format {
        ImageFormat::Gif => gif(bytes).take(enough).count(),
        ImageFormat::WebP => webp(bytes).take(enough).count(),
        _ => 0,
    };
    limits.check_frames(path, count as u64)
}

/// The frames of a GIF file: blocks of their own between extensions, each a chain of short stretches.
fn gif(bytes: &[u8]) -> impl Iterator<Item = ()> {
    // The table of colours that a byte of flags announces.
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut at = 13 + bytes.get(10).map_or(0, |&flags| table(flags));
    std::iter::from_fn(move || {
        loop {
            let frame = match bytes.get(at)? {
                0x21 => {
                    at += 2;
                    false
                }
                0x2c => {
                    // Place and size, the flags, and the width of the first codes.
                    at += 11 + table(*bytes.get(at + 9)?);
                    true
                }
                _ => return None,
            };
            while let length @ 1.. = usize::from(*bytes.get(at)?) {
                at += 1 + length;
            }
            at += 1;
            if frame {
                return Some(());
            }
        }
    })
}

/// The frames of a WebP file: chunks.
fn webp(bytes: &[u8]) -> impl Iterator<Item = ()> {
    let mut at = 12;
    let names = std::iter::from_fn(move || {
        let name = bytes.get(at..at + 4)?;
        let length = u32::from_le_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?) as usize;
        at = at.checked_add(8)?.checked_add(length)?.checked_next_multiple_of(2)?;
        Some(name)
    });
    names.filter(|name| *name == b"ANMF").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Frame, RgbaImage, codecs::gif::GifEncoder};

    #[test]
    fn frames_are_counted() {
        let mut file = Vec::new();
        let mut encoder = GifEncoder::new(&mut file);
        for shade in 0..7 {
            let picture = RgbaImage::from_fn(40, 30, |x, y| image::Rgba([(x * y) as u8, shade, x as u8, 255]));
            encoder.encode_frame(Frame::new(picture)).unwrap();
        }
        drop(encoder);
        assert_eq!(gif(&file).count(), 7);
        let limits = Limits { frames: Some(6), ..Limits::LOCAL };
        let failure = check("a.gif", ImageFormat::Gif, &file, &limits).unwrap_err();
        assert!(failure.message.contains("6 frames"), "{failure}");
        assert!(check("a.gif", ImageFormat::Gif, &file, &Limits { frames: Some(7), ..limits }).is_ok());
        for cut in 0..file.len() {
            assert!(gif(&file[..cut]).count() <= 7);
        }
        let chunk = |name: &[u8], length: u32, data: &[u8]| [name, &length.to_le_bytes(), data].concat();
        let frames = [chunk(b"ANMF", 3, &[0; 4]), chunk(b"XMP ", 1, &[0; 2]), chunk(b"ANMF", u32::MAX, &[])].concat();
        let file = [b"RIFF\0\0\0\0WEBP".to_vec(), frames].concat();
        assert_eq!(webp(&file).count(), 2);
    }
}
