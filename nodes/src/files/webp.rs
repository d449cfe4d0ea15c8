//! WebP: writing it, and chunks of its files: what is to be known beside what the decoder tells.

use super::{encode::full, pixels::Layout};
use engine::{
    Failure, NodeResult,
    value::{Metadata, Size},
};
use std::{fmt::Display, io::Write, ops::Range};

/// Writes a picture, without loss unless a quality is asked for. Two encoders do it: that of loss knows the other way as well,
/// but is not the one that the rest of the world uses.
pub(super) fn write(
    bytes: &[u8],
    meta: &Metadata,
    icc: Option<&Vec<u8>>,
    size: Size,
    layout: Layout,
    quality: Option<u8>,
    mut out: impl Write,
) -> NodeResult<()> {
    let failed = |error: &dyn Display| Failure::internal(format!("cannot write WebP: {error}"));
    let some = |block: Option<&Vec<u8>>| block.cloned().unwrap_or_default();
    let (exif, xmp) = (some(meta.exif.as_ref()), some(meta.xmp.as_ref()));
    let Some(quality) = quality else {
        let mut encoder = image_webp::WebPEncoder::new(out);
        encoder.set_icc_profile(some(icc));
        encoder.set_exif_metadata(exif);
        encoder.set_xmp_metadata(xmp);
        let colour = if layout.alpha { image_webp::ColorType::Rgba8 } else { image_webp::ColorType::Rgb8 };
        return encoder.encode(bytes, size.width, size.height, colour).map_err(|error| match error {
            image_webp::EncodingError::IoError(error) => full(&error),
            error => failed(&error),
        });
    };
    let mut file = Vec::new();
    let mut encoder = webp_lossy::WebPEncoder::new(&mut file);
    let mut how = webp_lossy::EncoderParams::default();
    (how.use_lossy, how.lossy_quality) = (true, quality);
    encoder.set_params(how);
    encoder.set_icc_profile(some(icc));
    encoder.set_exif_metadata(exif);
    encoder.set_xmp_metadata(xmp);
    let colour = if layout.alpha { webp_lossy::ColorType::Rgba8 } else { webp_lossy::ColorType::Rgb8 };
    encoder.encode(bytes, size.width, size.height, colour).map_err(|error| failed(&error))?;
    out.write_all(&file).map_err(|error| full(&error))
}

const HEAD: usize = 12;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_found_and_nonsense_is_not() {
        let mut file = b"RIFF\0\0\0\0WEBPVP8X\x01\0\0\0\x02\0".to_vec();
        file.extend(b"XMP \x04\0\0\0<x/>");
        assert_eq!(xmp(&file).as_deref(), Some(&b"<x/>"[..]));
        for cut in 0..file.len() {
            xmp(&file[..cut]);
        }
    }
}
