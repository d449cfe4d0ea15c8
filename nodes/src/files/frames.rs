//! The frames of an animation and the pages of a document. They are counted by the bones of the file, for which no frame is
//! taken apart.

use super::{
    decode::{Kind, broken},
    exif, gif, png, webp,
};
use crate::limits::Limits;
use engine::{Failure, NodeResult};
use image::{
    AnimationDecoder, Frames, ImageDecoder, ImageFormat, ImageResult,
    codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder},
};
use std::{
    borrow::Cow,
    io::{BufRead, Seek},
};

/// How many pictures a file holds, counted up to one more than the limits allow.
pub(super) fn count(format: Kind, bytes: &[u8], limits: &Limits) -> u32 {
    // Nobody needs to know by how many there are too many.
    let enough = limits.frames.and_then(|most| usize::try_from(most).ok()).map_or(usize::MAX, |n| n.saturating_add(1));
    let count = match format {
        Kind::Of(ImageFormat::Png) => return png::frames(bytes).max(1),
        Kind::Of(ImageFormat::Gif) => gif::pictures(bytes).take(enough).count(),
        Kind::Of(ImageFormat::WebP) => webp::frames(bytes).take(enough).count(),
        Kind::Of(ImageFormat::Tiff) => exif::pages(bytes).take(enough).count(),
        // The decoder of JPEG XL counts its own.
        _ => 1,
    };
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

/// The file as it would be if it held the wanted page alone. Other formats keep their frames apart in ways of their own:
/// theirs are for [`animated`].
///
/// # Errors
/// When there is no such page.
pub(super) fn page<'a>(path: &str, format: Kind, bytes: &'a [u8], frame: u32) -> NodeResult<Cow<'a, [u8]>> {
    if format != ImageFormat::Tiff || frame == 0 {
        return Ok(Cow::Borrowed(bytes));
    }
    let index = usize::try_from(frame - 1).unwrap_or(usize::MAX);
    match exif::pages(bytes).nth(index) {
        Some(page) => Ok(Cow::Owned(exif::with_first(bytes, page))),
        // The decoder tells what is wrong with a file that has no pages.
        None if frame == 1 => Ok(Cow::Borrowed(bytes)),
        None => Err(missing(path, u32::try_from(exif::pages(bytes).count()).unwrap_or(u32::MAX), frame)),
    }
}

/// Whether a frame of this file is put together from those before it.
pub(super) fn is_animated(format: Kind, bytes: &[u8]) -> bool {
    match format {
        Kind::Of(ImageFormat::Png) => png::frames(bytes) > 1,
        Kind::Of(ImageFormat::Gif) => gif::pictures(bytes).take(2).count() > 1,
        Kind::Of(ImageFormat::WebP) => webp::frames(bytes).next().is_some(),
        _ => false,
    }
}

/// The pixels of a frame as it is seen: 8 bits of RGBA, of the size of the whole.
///
/// # Errors
/// When there is no such frame, or one up to it is broken or takes too long.
pub(super) fn animated(
    path: &str,
    format: Kind,
    file: impl BufRead + Seek,
    room: image::Limits,
    frame: u32,
) -> NodeResult<Vec<u8>> {
    fn frames<'a>(format: Kind, file: impl BufRead + Seek + 'a, room: image::Limits) -> ImageResult<Frames<'a>> {
        Ok(match format {
            Kind::Of(ImageFormat::Gif) => {
                let mut decoder = GifDecoder::new(file)?;
                decoder.set_limits(room)?;
                decoder.into_frames()
            }
            Kind::Of(ImageFormat::WebP) => WebPDecoder::new(file)?.into_frames(),
            _ => PngDecoder::with_limits(file, room)?.apng()?.into_frames(),
        })
    }
    let mut count = 0;
    for next in frames(format, file, room).map_err(|error| broken(path, &error))? {
        let next = next.map_err(|error| broken(path, &error))?;
        count += 1;
        if count == frame {
            return Ok(next.into_buffer().into_raw());
        }
    }
    Err(missing(path, count, frame))
}

pub(super) fn missing(path: &str, count: u32, frame: u32) -> Failure {
    let (is, s) = if count == 1 { ("is", "") } else { ("are", "s") };
    Failure::input(format!("`{path}` has no frame {frame}: there {is} {count} frame{s}"))
        .at("frame")
        .hint("frames are counted from 1; 0 is the picture that is seen where nothing moves")
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
        let gif = Kind::Of(ImageFormat::Gif);
        assert_eq!(count(gif, &file, &limits), 7);
        assert_eq!(count(gif, &file, &Limits { frames: Some(3), ..limits }), 4);
        let failure = super::super::decode("a.gif", &file, &limits, 0).unwrap_err();
        assert!(failure.message.contains("6 frames"), "{failure}");
        for cut in 0..file.len() {
            assert!(gif::pictures(&file[..cut]).count() <= 7);
        }
        let chunk = |name: &[u8], length: u32, data: &[u8]| [name, &length.to_le_bytes(), data].concat();
        let frames = [chunk(b"ANMF", 3, &[0; 4]), chunk(b"XMP ", 1, &[0; 2]), chunk(b"ANMF", u32::MAX, &[])].concat();
        let file = [b"RIFF\0\0\0\0WEBP".to_vec(), frames].concat();
        assert_eq!(webp::frames(&file).count(), 2);
    }
}
