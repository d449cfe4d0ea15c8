//! From a picture to the bytes of a file.

use super::{decode::to_linear, jpeg, png as chunks};
use crate::pixel::unit;
use engine::{
    Blame, Failure, NodeResult,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    value::{Image, SampleDepth},
};
use image::{ExtendedColorType, ImageEncoder, ImageError, codecs};
use rayon::prelude::*;
use std::{
    borrow::Cow,
    io::{self, Seek, Write},
    path::Path,
};

/// A format that pictures are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub(crate) enum Format {
    /// By the ending of the file name.
    #[default]
    Auto,
    /// Lossless, 8 or 16 bits, alpha, all metadata.
    Png,
    /// Lossy, 8 bits, no alpha, all metadata. At most 65,535 pixels an edge.
    Jpeg,
    /// Lossless, 8 bits, alpha, ICC and EXIF. At most 16,383 pixels an edge.
    WebP,
    /// Uncompressed, 8 or 16 bits or floating point, alpha, ICC.
    Tiff,
    /// Uncompressed, 8 bits, alpha, no metadata.
    Bmp,
    /// Run lengths, 8 bits, alpha, no metadata. At most 65,535 pixels an edge.
    Tga,
    /// Lossless and fast, 8 bits, alpha, no metadata.
    Qoi,
    /// Uncompressed, 8 or 16 bits, no alpha, no metadata.
    Pnm,
    /// Floating point in linear light, alpha, no metadata.
    Exr,
    /// Floating point in linear light with a shared exponent, no alpha, no metadata.
    Hdr,
}

impl Format {
    /// The format that an ending stands for.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match ending.as_str() {
            "png" => Self::Png,
            "jpg" | "jpeg" | "jpe" | "jfif" => Self::Jpeg,
            "webp" => Self::WebP,
            "tif" | "tiff" => Self::Tiff,
            "bmp" => Self::Bmp,
            "tga" => Self::Tga,
            "qoi" => Self::Qoi,
            "pnm" | "ppm" | "pgm" => Self::Pnm,
            "exr" => Self::Exr,
            "hdr" => Self::Hdr,
            _ => return None,
        })
    }

    fn has_alpha(self) -> bool {
        !matches!(self, Self::Jpeg | Self::Pnm | Self::Hdr)
    }

    fn has_grey(self, alpha: bool) -> bool {
        match self {
            Self::Png | Self::WebP | Self::Tga => true,
            Self::Jpeg | Self::Tiff | Self::Bmp | Self::Pnm => !alpha,
            Self::Auto | Self::Qoi | Self::Exr | Self::Hdr => false,
        }
    }

    fn longest_edge(self) -> u32 {
        match self {
            Self::Jpeg | Self::Tga => 65_535,
            Self::WebP => 16_383,
            _ => i32::MAX as u32,
        }
    }

    /// The depth that the format can hold and that is nearest to the wanted one.
    fn depth(self, wanted: SampleDepth) -> SampleDepth {
        match (self, wanted) {
            (Self::Exr | Self::Hdr, _) => SampleDepth::Float,
            (Self::Tiff, wanted) => wanted,
            (Self::Png | Self::Pnm, SampleDepth::Sixteen | SampleDepth::Float) => SampleDepth::Sixteen,
            _ => SampleDepth::Eight,
        }
    }
}

/// How a picture is written.
pub(crate) struct Encoding<'a> {
    pub(crate) format: Format,
    /// 1 to 100, where the format is lossy.
    pub(crate) quality: u8,
    /// Bits per sample; `None` for those of the file that was read.
    pub(crate) depth: Option<SampleDepth>,
    /// Whether metadata goes along.
    pub(crate) metadata: bool,
    /// A text that tells how the picture was made.
    pub(crate) recipe: Option<&'a str>,
}

/// Writes the picture.
///
/// # Errors
/// When the format cannot hold it or the disk is full.
pub(crate) fn encode(image: &Image, how: &Encoding<'_>, out: &mut (impl Write + Seek)) -> NodeResult<()> {
    let size = image.size();
    let edge = how.format.longest_edge();
    if size.width.max(size.height) > edge {
        return Err(Failure::new(
            Blame::Graph,
            format!("a picture of {size} is too large for {:?}, which holds at most {edge} pixels an edge", how.format),
        )
        .at("path")
        .hint("write a `.png` or `.tif` file"));
    }
    let pixels = Pixels::new(image, how);
    let meta = &image.metadata;
    // A profile describes either grey or colours; one for the other kind would be wrong.
    let fits = |icc: &&Vec<u8>| (icc.get(16..20) == Some(b"GRAY")) == pixels.grey;
    let icc = meta.icc.as_ref().filter(|_| how.metadata).filter(fits);
    let exif = meta.exif.as_ref().filter(|_| how.metadata);
    let xmp = meta.xmp.as_ref().filter(|_| how.metadata);
    let dpi = meta.dpi.filter(|_| how.metadata);
    let failed = |error: ImageError| unwritten(how.format, &error);

    match how.format {
        Format::Auto | Format::Png => {
            let mut info = png::Info::with_size(size.width, size.height);
            info.color_type = match (pixels.grey, pixels.alpha) {
                (true, false) => png::ColorType::Grayscale,
                (true, true) => png::ColorType::GrayscaleAlpha,
                (false, false) => png::ColorType::Rgb,
                (false, true) => png::ColorType::Rgba,
            };
            info.bit_depth =
                if pixels.depth == SampleDepth::Eight { png::BitDepth::Eight } else { png::BitDepth::Sixteen };
            info.icc_profile = icc.map(|block| Cow::Borrowed(block.as_slice()));
            info.exif_metadata = exif.map(|block| Cow::Borrowed(block.as_slice()));
            info.pixel_dims = dpi.map(|(x, y)| {
                let per_metre = |dpi: f64| (dpi / 0.0254).round().clamp(1.0, f64::from(i32::MAX)) as u32;
                png::PixelDimensions { xppu: per_metre(x), yppu: per_metre(y), unit: png::Unit::Meter }
            });
            let failed = |error: png::EncodingError| match error {
                png::EncodingError::IoError(error) => full(&error),
                error => Failure::internal(format!("cannot write PNG: {error}")),
            };
            let mut encoder = png::Encoder::with_info(&mut *out, info).map_err(failed)?;
            encoder.set_compression(png::Compression::Fast);
            let text = |block: &[u8]| std::str::from_utf8(block).ok().map(str::to_owned);
            if let Some(xmp) = xmp.and_then(|block| text(block)) {
                encoder.add_itxt_chunk(chunks::XMP.to_owned(), xmp).map_err(failed)?;
            }
            if let Some(recipe) = how.recipe {
                encoder.add_itxt_chunk(chunks::RECIPE.to_owned(), recipe.to_owned()).map_err(failed)?;
            }
            let mut writer = encoder.write_header().map_err(failed)?;
            let mut stream = writer.stream_writer().map_err(failed)?;
            pixels.for_bands(u16::to_be_bytes, |band| stream.write_all(band)).map_err(|error| full(&error))?;
            stream.finish().map_err(failed)?;
            writer.finish().map_err(failed)
        }
        Format::Jpeg => {
            let mut file = Vec::new();
            let mut encoder = codecs::jpeg::JpegEncoder::new_with_quality(&mut file, how.quality.clamp(1, 100));
            // A profile above 255 segments, or EXIF above one, cannot be written; the picture still can.
            if let Some(icc) = icc.filter(|icc| icc.len() < 255 * 65_519) {
                encoder.set_icc_profile(icc.clone()).map_err(|e| failed(ImageError::Unsupported(e)))?;
            }
            if let Some(exif) = exif.filter(|exif| exif.len() + 6 <= jpeg::SEGMENT) {
                encoder.set_exif_metadata(exif.clone()).map_err(|e| failed(ImageError::Unsupported(e)))?;
            }
            if let Some((x, y)) = dpi {
                let whole = |dpi: f64| dpi.round().clamp(1.0, 65_535.0) as u16;
                encoder.set_pixel_density(codecs::jpeg::PixelDensity {
                    density: (whole(x), whole(y)),
                    unit: codecs::jpeg::PixelDensityUnit::Inches,
                });
            }
            encoder.write_image(&pixels.interleaved()?, size.width, size.height, pixels.colour()).map_err(failed)?;
            jpeg::insert(&mut file, xmp.map(Vec::as_slice), how.recipe);
            out.write_all(&file).map_err(|error| full(&error))
        }
        Format::WebP => {
            let mut encoder = codecs::webp::WebPEncoder::new_lossless(out);
            if let Some(icc) = icc {
                encoder.set_icc_profile(icc.clone()).map_err(|e| failed(ImageError::Unsupported(e)))?;
            }
            if let Some(exif) = exif {
                encoder.set_exif_metadata(exif.clone()).map_err(|e| failed(ImageError::Unsupported(e)))?;
            }
            pixels.write(encoder).map_err(failed)
        }
        Format::Tiff => {
            let mut encoder = codecs::tiff::TiffEncoder::new(out);
            if let Some(icc) = icc {
                encoder.set_icc_profile(icc.clone()).map_err(|e| failed(ImageError::Unsupported(e)))?;
            }
            pixels.write(encoder).map_err(failed)
        }
        Format::Bmp => pixels.write(codecs::bmp::BmpEncoder::new(out)).map_err(failed),
        Format::Tga => pixels.write(codecs::tga::TgaEncoder::new(out)).map_err(failed),
        Format::Qoi => pixels.write(codecs::qoi::QoiEncoder::new(out)).map_err(failed),
        Format::Pnm => {
            // Written here: the encoder of the image crate has no 16-bit form.
            let most = if pixels.depth == SampleDepth::Eight { 255 } else { 65_535 };
            let kind = if pixels.grey { "P5" } else { "P6" };
            write!(out, "{kind}\n{} {}\n{most}\n", size.width, size.height)
                .and_then(|()| pixels.for_bands(u16::to_be_bytes, |band| out.write_all(band)))
                .map_err(|error| full(&error))
        }
        Format::Exr => pixels.write(codecs::openexr::OpenExrEncoder::new(out)).map_err(failed),
        Format::Hdr => pixels.write(codecs::hdr::HdrEncoder::new(out)).map_err(failed),
    }
}

/// The picture's pixels in the order and depth of a file.
struct Pixels<'a> {
    image: &'a Image,
    grey: bool,
    alpha: bool,
    depth: SampleDepth,
    linear: bool,
}

impl<'a> Pixels<'a> {
    fn new(image: &'a Image, how: &Encoding<'_>) -> Self {
        let alpha = image.has_alpha() && how.format.has_alpha();
        // A grey file with a profile for colours keeps its profile and is written in colours.
        let coloured = how.metadata && image.metadata.icc.as_ref().is_some_and(|icc| icc.get(16..20) == Some(b"RGB "));
        Self {
            image,
            grey: image.metadata.grey && !coloured && how.format.has_grey(alpha),
            alpha,
            depth: how.format.depth(how.depth.unwrap_or(image.metadata.depth)),
            linear: matches!(how.format, Format::Exr | Format::Hdr),
        }
        .with_float_layout()
    }

    /// Floating point samples have no grey form in the encoders.
    fn with_float_layout(mut self) -> Self {
        self.grey &= self.depth != SampleDepth::Float;
        self
    }

    fn channels(&self) -> usize {
        (if self.grey { 1 } else { 3 }) + usize::from(self.alpha)
    }

    fn bytes(&self) -> usize {
        match self.depth {
            SampleDepth::Eight => 1,
            SampleDepth::Sixteen => 2,
            SampleDepth::Float => 4,
        }
    }

    /// A sample as the file holds it, 0 to 1.
    fn sample(&self, pixel: usize, channel: usize) -> f32 {
        let at = |plane: usize| unit(self.image.plane(plane)[pixel]);
        if self.alpha && channel == self.channels() - 1 {
            return at(3);
        }
        let mut value = if self.grey { 0.299 * at(0) + 0.587 * at(1) + 0.114 * at(2) } else { at(channel) };
        if self.linear {
            value = to_linear(value);
        }
        if self.image.has_alpha() {
            if !self.alpha {
                // The format cannot be seen through: on white paper.
                value = value * at(3) + (1.0 - at(3));
            } else if self.linear {
                value *= at(3);
            }
        }
        value
    }

    /// Fills whole pixels, from pixel `first` on.
    fn fill(&self, first: usize, target: &mut [u8], order: fn(u16) -> [u8; 2]) {
        let (channels, bytes) = (self.channels(), self.bytes());
        target.par_chunks_mut(channels * bytes * 4096).enumerate().for_each(|(block, target)| {
            for (i, pixel) in target.chunks_exact_mut(channels * bytes).enumerate() {
                for (channel, sample) in pixel.chunks_exact_mut(bytes).enumerate() {
                    let value = self.sample(first + block * 4096 + i, channel);
                    match self.depth {
                        SampleDepth::Eight => sample[0] = (value * 255.0).round() as u8,
                        SampleDepth::Sixteen => sample.copy_from_slice(&order((value * 65_535.0).round() as u16)),
                        SampleDepth::Float => sample.copy_from_slice(&value.to_ne_bytes()),
                    }
                }
            }
        });
    }

    /// Hands out the bytes some rows at a time, so that they are never all in memory.
    fn for_bands(&self, order: fn(u16) -> [u8; 2], mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let pixel = self.channels() * self.bytes();
        let total = self.image.size().pixels();
        let step = (self.image.size().width as usize).saturating_mul(64).min(total);
        let mut band = vec![0; step * pixel];
        for first in (0..total).step_by(step.max(1)) {
            let band = &mut band[..step.min(total - first) * pixel];
            self.fill(first, band, order);
            each(band)?;
        }
        Ok(())
    }

    fn interleaved(&self) -> NodeResult<Vec<u8>> {
        let length = self.image.size().pixels() * self.channels() * self.bytes();
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(length)
            .map_err(|_| Failure::new(Blame::Resource, "there is no memory to write the picture"))?;
        bytes.resize(length, 0);
        self.fill(0, &mut bytes, u16::to_ne_bytes);
        Ok(bytes)
    }

    fn colour(&self) -> ExtendedColorType {
        use ExtendedColorType as C;
        match (self.depth, self.grey, self.alpha) {
            (SampleDepth::Eight, true, false) => C::L8,
            (SampleDepth::Eight, true, true) => C::La8,
            (SampleDepth::Eight, false, false) => C::Rgb8,
            (SampleDepth::Eight, false, true) => C::Rgba8,
            (SampleDepth::Sixteen, true, false) => C::L16,
            (SampleDepth::Sixteen, true, true) => C::La16,
            (SampleDepth::Sixteen, false, false) => C::Rgb16,
            (SampleDepth::Sixteen, false, true) => C::Rgba16,
            (SampleDepth::Float, _, false) => C::Rgb32F,
            (SampleDepth::Float, _, true) => C::Rgba32F,
        }
    }

    fn write(&self, encoder: impl ImageEncoder) -> Result<(), ImageError> {
        let bytes = self
            .interleaved()
            .map_err(|failure| ImageError::IoError(io::Error::new(io::ErrorKind::OutOfMemory, failure.message)))?;
        let size = self.image.size();
        encoder.write_image(&bytes, size.width, size.height, self.colour())
    }
}

fn unwritten(format: Format, error: &ImageError) -> Failure {
    match error {
        ImageError::IoError(error) => full(error),
        error => Failure::internal(format!("cannot write {format:?}: {error}")),
    }
}

/// The disk does not take more.
pub(super) fn full(error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space, or write to another disk",
        io::ErrorKind::OutOfMemory => "close other programs, or write a `.png` file, which needs less memory",
        _ => "check the disk, or write to another place",
    };
    Failure::new(Blame::Resource, format!("the picture cannot be written: {error}")).hint(hint)
}
