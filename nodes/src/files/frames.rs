//! How many frames an animation has, told from the bones of its file: no frame is taken apart.

use super::{gif, webp};
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
        ImageFormat::Gif => gif::pictures(bytes).take(enough).count(),
        ImageFormat::WebP => webp::frames(bytes).take(enough).count(),
        _ => 0,
    };
    limits.check_frames(path, count as u64)
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
        assert_eq!(gif::pictures(&file).count(), 7);
        let limits = Limits { frames: Some(6), ..Limits::LOCAL };
        let failure = check("a.gif", ImageFormat::Gif, &file, &limits).unwrap_err();
        assert!(failure.message.contains("6 frames"), "{failure}");
        assert!(check("a.gif", ImageFormat::Gif, &file, &Limits { frames: Some(7), ..limits }).is_ok());
        for cut in 0..file.len() {
            assert!(gif::pictures(&file[..cut]).count() <= 7);
        }
        let chunk = |name: &[u8], length: u32, data: &[u8]| [name, &length.to_le_bytes(), data].concat();
        let frames = [chunk(b"ANMF", 3, &[0; 4]), chunk(b"XMP ", 1, &[0; 2]), chunk(b"ANMF", u32::MAX, &[])].concat();
        let file = [b"RIFF\0\0\0\0WEBP".to_vec(), frames].concat();
        assert_eq!(webp::frames(&file).count(), 2);
    }
}
