//! JPEG XL. The decoder is given the bare pictures: what lies beside them may be packed without end, and is read here.

mod header;
mod write;

pub(super) use write::{SHORTEST_EDGE, write};

use super::{
    alpha::straighten,
    boxes::{self, exif_of},
};
use crate::limits::{Limits, METADATA_BYTES};
use engine::{NodeResult, value::Size};
use image::{
    ColorType, ImageDecoder, ImageError, ImageResult,
    error::{DecodingError, ImageFormatHint, UnsupportedError, UnsupportedErrorKind},
};
use jxl_bitstream::Bitstream;
use jxl_oxide::{
    AllocTracker, FrameBufferSample, ImageHeader, InitializeResult, JxlImage, PixelFormat, Render, image::BitDepth,
};
use jxl_oxide_common::Bundle;
use std::{borrow::Cow, io::Read};

const SIGNATURE: &[u8] = b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a";
const BARE: &[u8] = &[0xFF, 0x0A];

pub(super) fn is_jxl(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE) || bytes.starts_with(BARE)
}

/// The pictures without what lies beside them.
fn pictures(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.starts_with(BARE) {
        return Cow::Borrowed(bytes);
    }
    let mut all = Vec::new();
    for part in boxes::parts(bytes) {
        match part.name {
            b"jxlc" => return Cow::Borrowed(part.data),
            // A number comes first.
            b"jxlp" => all.extend(part.data.get(4..).unwrap_or_default()),
            _ => {}
        }
    }
    Cow::Owned(all)
}

/// What lies in a box beside the pictures, as far as the limit and one byte more.
fn beside(bytes: &[u8], name: &[u8], most: u64) -> Option<Vec<u8>> {
    let mut boxes = bytes.starts_with(SIGNATURE).then(|| boxes::parts(bytes)).into_iter().flatten();
    boxes.find_map(|part| {
        let (packed, data) = match part.name {
            b"brob" => (true, part.data.strip_prefix(name)?),
            plain if plain == name => (false, part.data),
            _ => return None,
        };
        let mut out = Vec::new();
        if packed {
            let inflated = brotli_decompressor::Decompressor::new(data, 1 << 16);
            inflated.take(most.saturating_add(1)).read_to_end(&mut out).ok()?;
        } else {
            out.extend(data);
        }
        Some(out)
    })
}

/// The XMP packet, as far as the limit.
pub(super) fn xmp(bytes: &[u8]) -> Option<Vec<u8>> {
    beside(bytes, b"xml ", METADATA_BYTES as u64).filter(|packet| packet.len() <= METADATA_BYTES)
}

/// Refuses a picture by its header alone, whose own colour profile may be packed as well.
///
/// # Errors
/// [`Blame::Limit`](engine::Blame::Limit).
pub(super) fn check(path: &str, bytes: &[u8], limits: &Limits) -> NodeResult<()> {
    let pictures = pictures(bytes);
    let mut stream = Bitstream::new(&pictures);
    // What is no header is the decoder's matter.
    let Ok(header) = ImageHeader::parse(&mut stream, ()) else { return Ok(()) };
    limits.check_input(path, Size::new(header.size.width, header.size.height))?;
    let profile = if header.metadata.colour_encoding.want_icc() { stream.read_u64().unwrap_or(0) } else { 0 };
    limits.check_metadata(path, "its colour profile", profile)
}

/// A file of which all but the pixels is read.
pub(super) struct Jxl {
    image: JxlImage,
    exif: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
    /// Which of its pictures is meant, from 0.
    index: usize,
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ImageError {
    ImageError::Decoding(DecodingError::new(hint(), error))
}

fn hint() -> ImageFormatHint {
    ImageFormatHint::Name("JPEG XL".to_owned())
}

impl Jxl {
    /// Reads a file that the limits allow; `frame` counts from 1, 0 is the first as well.
    pub(super) fn new(bytes: &[u8], frame: u32, metadata_bytes: u64) -> ImageResult<Self> {
        let pictures = pictures(bytes);
        let size = ImageHeader::parse(&mut Bitstream::new(&pictures), ())
            .map_or(0, |header| u64::from(header.size.width) * u64::from(header.size.height));
        // Planes of 32 bits, as they are at several stages.
        let room = size.saturating_mul(4 * 4 * 8).saturating_add(256 << 20);
        let tracker = AllocTracker::with_limit(usize::try_from(room).unwrap_or(usize::MAX));
        let mut begun = JxlImage::builder().alloc_tracker(tracker).build_uninit();
        begun.feed_bytes(&pictures).map_err(failed)?;
        let image = match begun.try_init().map_err(failed)? {
            InitializeResult::Initialized(image) => image,
            InitializeResult::NeedMoreData(_) => return Err(failed("end of file in the header")),
        };
        if !image.is_loading_done() {
            return Err(failed("end of file in the pixels"));
        }
        if image.pixel_format().has_black() {
            let kind = UnsupportedErrorKind::GenericFeature("JPEG XL of four inks (CMYK)".to_owned());
            return Err(ImageError::Unsupported(UnsupportedError::from_format_and_kind(hint(), kind)));
        }
        let exif = beside(bytes, b"Exif", metadata_bytes).and_then(|block| exif_of(&block).map(<[u8]>::to_vec));
        let xmp = beside(bytes, b"xml ", metadata_bytes);
        Ok(Self { image, exif, xmp, index: (frame.max(1) - 1) as usize })
    }

    /// How many pictures there are.
    pub(super) fn frames(&self) -> u32 {
        u32::try_from(self.image.num_loaded_keyframes()).unwrap_or(u32::MAX)
    }

    /// Whether colours are those of sRGB, which need no profile.
    fn is_srgb(&self) -> bool {
        use jxl_oxide::color::{ColourEncoding, Primaries, TransferFunction, WhitePoint};
        let ColourEncoding::Enum(told) = &self.image.image_header().metadata.colour_encoding else { return false };
        told.white_point == WhitePoint::D65 && told.primaries == Primaries::Srgb && told.tf == TransferFunction::Srgb
    }

    /// Whether colours are multiplied by alpha.
    fn is_multiplied(&self) -> bool {
        let channels = &self.image.image_header().metadata.ec_info;
        channels.iter().any(|channel| channel.alpha_associated() == Some(true))
    }

    fn render<S: FrameBufferSample + bytemuck::Pod>(&self, render: &Render, target: &mut [u8]) {
        let mut samples = vec![S::default(); target.len() / size_of::<S>()];
        render.stream().write_to_buffer(&mut samples);
        target.copy_from_slice(bytemuck::cast_slice(&samples));
    }
}

impl ImageDecoder for Jxl {
    fn dimensions(&self) -> (u32, u32) {
        (self.image.width(), self.image.height())
    }

    fn color_type(&self) -> ColorType {
        let depth = self.image.image_header().metadata.bit_depth;
        let float = matches!(depth, BitDepth::FloatSample { .. }) || depth.bits_per_sample() > 16;
        let deep = float || depth.bits_per_sample() > 8;
        match (self.image.pixel_format(), float, deep) {
            (PixelFormat::Gray, _, false) => ColorType::L8,
            (PixelFormat::Gray, ..) => ColorType::L16,
            (PixelFormat::Graya, _, false) => ColorType::La8,
            (PixelFormat::Graya, ..) => ColorType::La16,
            (PixelFormat::Rgb | PixelFormat::Cmyk, false, false) => ColorType::Rgb8,
            (PixelFormat::Rgb | PixelFormat::Cmyk, false, true) => ColorType::Rgb16,
            (PixelFormat::Rgb | PixelFormat::Cmyk, true, _) => ColorType::Rgb32F,
            (PixelFormat::Rgba | PixelFormat::Cmyka, false, false) => ColorType::Rgba8,
            (PixelFormat::Rgba | PixelFormat::Cmyka, false, true) => ColorType::Rgba16,
            (PixelFormat::Rgba | PixelFormat::Cmyka, true, _) => ColorType::Rgba32F,
        }
    }

    fn icc_profile(&mut self) -> ImageResult<Option<Vec<u8>>> {
        let told = &self.image.image_header().metadata;
        // Where the colours are those of the file, so is their profile.
        Ok(match self.image.original_icc().filter(|_| !told.xyb_encoded) {
            Some(icc) => Some(icc.to_vec()),
            None => (!self.is_srgb()).then(|| self.image.rendered_icc()),
        })
    }

    fn exif_metadata(&mut self) -> ImageResult<Option<Vec<u8>>> {
        Ok(self.exif.clone())
    }

    fn xmp_metadata(&mut self) -> ImageResult<Option<Vec<u8>>> {
        Ok(self.xmp.clone())
    }

    fn read_image(self, target: &mut [u8]) -> ImageResult<()> {
        let render = self.image.render_frame(self.index).map_err(failed)?;
        let channels = usize::from(self.color_type().channel_count());
        match usize::from(self.color_type().bytes_per_pixel()) / channels {
            1 => self.render::<u8>(&render, target),
            2 => self.render::<u16>(&render, target),
            _ => self.render::<f32>(&render, target),
        }
        if self.is_multiplied() {
            straighten(target, self.color_type());
        }
        Ok(())
    }

    fn read_image_boxed(self: Box<Self>, target: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use engine::Blame;

    const GRADIENT: &[u8] = include_bytes!("../../../tests/data/gradient.jxl");

    fn decoded(file: &[u8]) -> engine::value::Image {
        files::decode("a.jxl", file, &Limits::LOCAL, 0).unwrap()
    }

    fn framed(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
        [&(data.len() as u32 + 8).to_be_bytes()[..], name, data].concat()
    }

    #[test]
    fn pixels_are_those_that_were_packed() {
        let picture = decoded(GRADIENT);
        assert_eq!((picture.size(), picture.channels()), (Size::new(21, 13), 3));
        let grey = decoded(include_bytes!("../../../tests/data/gradient-grey-16.jxl"));
        assert!(grey.metadata.grey && grey.metadata.depth == engine::value::SampleDepth::Sixteen);
        for (x, y) in [(0, 0), (20, 12), (7, 5)] {
            let at = y * 21 + x;
            let sample = |channel: usize| (picture.plane(channel)[at] * 255.0).round() as usize;
            assert_eq!([0, 1, 2].map(sample), [(x * 11 + y) % 256, y * 17 % 256, x * y * 3 % 256]);
            assert_eq!((grey.plane(0)[at] * 65_535.0).round() as usize, (x * 3001 + y * 517) % 65_536);
        }
    }

    #[test]
    fn colours_are_straightened() {
        let picture = decoded(include_bytes!("../../../tests/data/gradient-premultiplied.jxl"));
        assert_eq!(picture.channels(), 4);
        for x in 4..20 {
            let alpha = x * 12 % 256;
            assert_eq!((picture.plane(3)[x] * 255.0).round() as usize, alpha);
            let (seen, wanted) = (picture.plane(0)[x] * 255.0, (x * 11 % 256) as f32);
            // What was multiplied has lost steps.
            assert!((seen - wanted).abs() <= 128.0 / alpha as f32 + 1.0, "{x}: {seen} for {wanted}");
        }
    }

    #[test]
    fn what_lies_beside_is_read_as_far_as_the_limit() {
        let exif = [&[0, 0, 0, 0][..], b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"].concat();
        let (first, second) = GRADIENT.split_at(100);
        let parts = [
            SIGNATURE.to_vec(),
            framed(b"ftyp", b"jxl \0\0\0\0jxl "),
            framed(b"Exif", &exif),
            framed(b"jxlp", &[&[0, 0, 0, 0][..], first].concat()),
            framed(b"jxlp", &[&[0x80, 0, 0, 1][..], second].concat()),
            // `hello`, packed by brotli.
            framed(b"brob", b"xml \x0b\x02\x80hello\x03"),
        ];
        let file = parts.concat();
        let picture = decoded(&file);
        // The picture is not turned once more, and the tag says that it stands upright.
        assert_eq!(picture.size(), Size::new(21, 13));
        assert_eq!(picture.metadata.xmp.as_deref(), Some(&b"hello"[..]));
        assert_eq!(picture.metadata.exif.as_ref().map(|exif| exif[18]), Some(1));
        let tight = Limits { metadata_bytes: Some(4), ..Limits::LOCAL };
        assert_eq!(files::decode("a.jxl", &file, &tight, 0).unwrap_err().blame, Blame::Limit);
        for cut in 0..file.len() {
            let _ = files::decode("a.jxl", &file[..cut], &Limits::LOCAL, 0);
        }
    }

    #[test]
    fn too_large_is_refused_by_the_header() {
        let tight = Limits { input_pixels: Some(100), ..Limits::LOCAL };
        let failure = files::decode("a.jxl", &GRADIENT[..12], &tight, 0).unwrap_err();
        assert_eq!(failure.blame, Blame::Limit, "{failure}");
        let failure = files::decode("a.jxl", &GRADIENT[..150], &Limits::LOCAL, 0).unwrap_err();
        assert!(failure.message.contains("cut off"), "{failure}");
        assert!(files::decode("a.jxl", GRADIENT, &Limits::LOCAL, 2).unwrap_err().message.contains("no frame 2"));
    }
}
