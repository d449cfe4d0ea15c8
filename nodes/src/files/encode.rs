//! From a picture, whole or strip by strip, to the bytes of a file.

use super::{
    carry::{self, Strip},
    exr, iptc, jpeg, jxl,
    pixels::{Layout, Pixels},
    png as chunks, tiff, webp,
};
use engine::{
    Blame, Failure, NodeResult,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    value::{Image, Metadata, SampleDepth, Size},
};
use image::{ImageEncoder, ImageError, codecs};
use std::{
    borrow::Cow,
    cell::RefCell,
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    rc::Rc,
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
    /// Lossless, or lossy with `webp_quality`; 8 bits, alpha, ICC, EXIF and XMP. At most 16,383 pixels an edge.
    WebP,
    /// Lossless, 8 or 16 bits, alpha, ICC unless it is broken, EXIF and XMP. At least 2 pixels an edge.
    Jxl,
    /// Lossless, 8 or 16 bits or floating point, alpha, all metadata.
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
            "jxl" => Self::Jxl,
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

    pub(super) fn has_alpha(self) -> bool {
        !matches!(self, Self::Jpeg | Self::Pnm | Self::Hdr)
    }

    pub(super) fn has_grey(self, alpha: bool, depth: SampleDepth) -> bool {
        match self {
            // Its encoder takes such samples for numbers with a sign.
            Self::Jxl if alpha && depth == SampleDepth::Sixteen => false,
            Self::Png | Self::Jxl | Self::Tga => true,
            Self::Jpeg | Self::Tiff | Self::Bmp | Self::Pnm => !alpha,
            // WebP holds colours in any case.
            Self::Auto | Self::WebP | Self::Qoi | Self::Exr | Self::Hdr => false,
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
    pub(super) fn depth(self, wanted: SampleDepth) -> SampleDepth {
        match (self, wanted) {
            (Self::Exr | Self::Hdr, _) => SampleDepth::Float,
            (Self::Tiff, wanted) => wanted,
            (Self::Png | Self::Jxl | Self::Pnm, SampleDepth::Sixteen | SampleDepth::Float) => SampleDepth::Sixteen,
            _ => SampleDepth::Eight,
        }
    }
}

/// How a picture is written.
#[derive(Clone, Debug)]
pub(crate) struct Encoding {
    pub(crate) format: Format,
    /// 1 to 100, of JPEG.
    pub(crate) quality: u8,
    /// 1 to 100, of WebP; without it nothing is lost.
    pub(crate) webp_quality: Option<u8>,
    /// Bits per sample; `None` for those of the file that was read.
    pub(crate) depth: Option<SampleDepth>,
    /// What of the metadata is left out.
    pub(crate) strip: Strip,
    /// Whether JPEG is written so that it shows roughly before it is all there.
    pub(crate) progressive: bool,
    /// A text that tells how the picture was made.
    pub(crate) recipe: Option<String>,
    /// The same in a line that readers of other programs understand.
    pub(crate) parameters: Option<String>,
}

/// A picture on its way into a file. It comes in strips, from top to bottom; the bytes do not depend on how it is cut.
///
/// PNG and PNM are written as the rows come. The encoders of all other formats want the picture at once: its rows are held
/// until then, in the depth of the file.
pub(crate) struct Encoder<W: Write + Seek + 'static> {
    how: Encoding,
    frame: Size,
    layout: Layout,
    metadata: Metadata,
    body: Body<W>,
    /// Where the bytes go; the encoder of PNG has the other handle.
    out: Target<W>,
}

enum Body<W: Write + Seek + 'static> {
    Png(Box<png::StreamWriter<'static, Target<W>>>),
    Pnm,
    Whole(Vec<u8>),
}

impl<W: Write + Seek + 'static> Encoder<W> {
    /// Begins a picture of `frame` pixels that is like `first`: its first strip, or all of it.
    ///
    /// # Errors
    /// When the format cannot hold it, there is no memory, or the disk is full.
    pub(crate) fn new(first: &Image, frame: Size, how: Encoding, out: W) -> NodeResult<Self> {
        let edge = how.format.longest_edge();
        if frame.width.max(frame.height) > edge {
            let what = how.format;
            return Err(Failure::new(
                Blame::Graph,
                format!("a picture of {frame} is too large for {what:?}, which holds at most {edge} pixels an edge"),
            )
            .at("path")
            .hint("write a `.png` or `.tif` file"));
        }
        if how.format == Format::Jxl && frame.width.min(frame.height) < jxl::SHORTEST_EDGE {
            let least = jxl::SHORTEST_EDGE;
            let message = format!(
                "a picture of {frame} is too small for JPEG XL, which is written from {least} pixels an edge on"
            );
            return Err(Failure::new(Blame::Graph, message).at("path").hint("write a `.png` file"));
        }
        let layout = Layout::new(first, &how);
        let metadata = carry::with_origin(carry::fitting(&first.metadata, frame, how.strip), &how);
        let mut out = Target(Rc::new(RefCell::new(Open { inner: out, failed: None })));
        let body = match how.format {
            Format::Auto | Format::Png => Body::Png(Box::new(png(&metadata, frame, layout, &how, out.clone())?)),
            Format::Pnm => {
                // Written here: the encoder of the image crate has no 16-bit form.
                let most = if layout.depth == SampleDepth::Eight { 255 } else { 65_535 };
                let kind = if layout.grey { "P5" } else { "P6" };
                write!(out, "{kind}\n{} {}\n{most}\n", frame.width, frame.height).map_err(|error| full(&error))?;
                Body::Pnm
            }
            _ => {
                let mut bytes = Vec::new();
                bytes
                    .try_reserve_exact(frame.pixels() * layout.pixel())
                    .map_err(|_| Failure::new(Blame::Memory, "there is no memory to write the picture"))?;
                Body::Whole(bytes)
            }
        };
        Ok(Self { how, frame, layout, metadata, body, out })
    }

    /// Adds the next rows.
    ///
    /// # Errors
    /// When the disk is full.
    pub(crate) fn add(&mut self, strip: &Image) -> NodeResult<()> {
        let pixels = Pixels { image: strip, layout: self.layout };
        match &mut self.body {
            Body::Png(stream) => pixels.for_bands(u16::to_be_bytes, |band| stream.write_all(band)),
            Body::Pnm => pixels.for_bands(u16::to_be_bytes, |band| self.out.write_all(band)),
            Body::Whole(bytes) => pixels.for_bands(u16::to_ne_bytes, |band| {
                bytes.extend_from_slice(band);
                Ok(())
            }),
        }
        .map_err(|error| full(&error))
    }

    /// Ends the picture.
    ///
    /// # Errors
    /// When rows are missing or the disk is full.
    pub(crate) fn end(&mut self) -> NodeResult<()> {
        match std::mem::replace(&mut self.body, Body::Pnm) {
            Body::Png(stream) => stream.finish().map_err(png_failed)?,
            Body::Pnm => {}
            Body::Whole(bytes) => {
                whole(&bytes, &self.metadata, self.frame, self.layout, &self.how, self.out.clone())?;
            }
        }
        // Some encoders write their last bytes where they cannot tell that it failed.
        self.trouble().map_or(Ok(()), |error| Err(full(&error)))
    }

    /// Why what it is written to took no more.
    pub(crate) fn trouble(&self) -> Option<io::Error> {
        self.out.0.borrow().failed.as_ref().map(copy)
    }

    /// Gives back what the picture was written to, once it is ended.
    ///
    /// # Errors
    /// Only when it is not.
    pub(crate) fn into_inner(self) -> NodeResult<W> {
        drop(self.body);
        // All other handles are gone with the encoders.
        let open = Rc::into_inner(self.out.0).ok_or_else(|| Failure::internal("an encoder holds on to its file"))?;
        Ok(open.into_inner().inner)
    }
}

/// A file that an encoder writes to.
struct Target<W>(Rc<RefCell<Open<W>>>);

struct Open<W> {
    inner: W,
    /// The first error.
    failed: Option<io::Error>,
}

impl<W> Clone for Target<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W> Target<W> {
    fn on<T>(&self, work: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        let mut open = self.0.borrow_mut();
        let result = work(&mut open.inner);
        if let Err(error) = &result {
            open.failed.get_or_insert_with(|| copy(error));
        }
        result
    }
}

/// The same error once more.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl<W: Write> Write for Target<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.on(|out| out.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.on(Write::flush)
    }
}

impl<W: Seek> Seek for Target<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.on(|out| out.seek(to))
    }
}

/// The colour profile, when it fits: one describes either grey or colours, and would be wrong for the other kind.
fn profile(metadata: &Metadata, layout: Layout) -> Option<&Vec<u8>> {
    let fits = |icc: &&Vec<u8>| (icc.get(16..20) == Some(b"GRAY")) == layout.grey;
    metadata.icc.as_ref().filter(fits)
}

fn png<W: Write>(
    meta: &Metadata,
    frame: Size,
    layout: Layout,
    how: &Encoding,
    out: W,
) -> NodeResult<png::StreamWriter<'static, W>> {
    let mut info = png::Info::with_size(frame.width, frame.height);
    info.color_type = match (layout.grey, layout.alpha) {
        (true, false) => png::ColorType::Grayscale,
        (true, true) => png::ColorType::GrayscaleAlpha,
        (false, false) => png::ColorType::Rgb,
        (false, true) => png::ColorType::Rgba,
    };
    info.bit_depth = if layout.depth == SampleDepth::Eight { png::BitDepth::Eight } else { png::BitDepth::Sixteen };
    info.icc_profile = profile(meta, layout).map(|block| Cow::Owned(block.clone()));
    info.exif_metadata = meta.exif.as_ref().map(|block| Cow::Owned(block.clone()));
    info.pixel_dims = meta.dpi.map(|(x, y)| {
        let per_metre = |dpi: f64| (dpi / 0.0254).round().clamp(1.0, f64::from(i32::MAX)) as u32;
        png::PixelDimensions { xppu: per_metre(x), yppu: per_metre(y), unit: png::Unit::Meter }
    });
    let mut encoder = png::Encoder::with_info(out, info).map_err(png_failed)?;
    encoder.set_compression(png::Compression::Fast);
    let text = |block: &[u8]| std::str::from_utf8(block).ok().map(str::to_owned);
    if let Some(xmp) = meta.xmp.as_ref().and_then(|block| text(block)) {
        encoder.add_itxt_chunk(chunks::XMP.to_owned(), xmp).map_err(png_failed)?;
    }
    for (keyword, text) in &meta.texts {
        // What was read may be longer or odder than what may be written: then it is left out.
        let latin = text.chars().all(|c| u32::from(c) < 256);
        let _ = match latin {
            true => encoder.add_text_chunk(keyword.clone(), text.clone()),
            false => encoder.add_itxt_chunk(keyword.clone(), text.clone()),
        };
    }
    if let Some(iptc) = &meta.iptc {
        encoder.add_text_chunk(chunks::IPTC.to_owned(), iptc::to_text(iptc)).map_err(png_failed)?;
    }
    if let Some(recipe) = &how.recipe {
        encoder.add_itxt_chunk(chunks::RECIPE.to_owned(), recipe.clone()).map_err(png_failed)?;
    }
    encoder.write_header().and_then(png::Writer::into_stream_writer).map_err(png_failed)
}

fn png_failed(error: png::EncodingError) -> Failure {
    match error {
        png::EncodingError::IoError(error) => full(&error),
        error => Failure::internal(format!("cannot write PNG: {error}")),
    }
}

/// Writes a picture of which all rows are there.
fn whole(
    bytes: &[u8],
    meta: &Metadata,
    size: Size,
    layout: Layout,
    how: &Encoding,
    mut out: impl Write + Seek,
) -> NodeResult<()> {
    let icc = profile(meta, layout);
    let failed = |error: ImageError| unwritten(how.format, &error);
    // What all encoders have in common.
    fn put(encoder: impl ImageEncoder, bytes: &[u8], size: Size, layout: Layout) -> Result<(), ImageError> {
        encoder.write_image(bytes, size.width, size.height, layout.colour())
    }
    match how.format {
        // Written as the rows come.
        Format::Auto | Format::Png | Format::Pnm => Err(Failure::internal("rows were held that need not be")),
        Format::Jpeg => {
            let file = jpeg_file(bytes, meta, size, layout, how)?;
            out.write_all(&file).map_err(|error| full(&error))
        }
        Format::WebP => webp::write(bytes, meta, icc, size, layout, how.webp_quality, out),
        Format::Jxl => jxl::write(bytes, meta, icc, size, layout, out),
        Format::Tiff => tiff::write(bytes, meta, icc, size, layout, out),
        Format::Bmp => put(codecs::bmp::BmpEncoder::new(&mut out), bytes, size, layout).map_err(failed),
        Format::Tga => put(codecs::tga::TgaEncoder::new(out), bytes, size, layout).map_err(failed),
        Format::Qoi => put(codecs::qoi::QoiEncoder::new(out), bytes, size, layout).map_err(failed),
        Format::Exr => exr::write(bytes, size, layout.alpha, out),
        Format::Hdr => put(codecs::hdr::HdrEncoder::new(out), bytes, size, layout).map_err(failed),
    }
}

fn jpeg_file(bytes: &[u8], meta: &Metadata, size: Size, layout: Layout, how: &Encoding) -> NodeResult<Vec<u8>> {
    use jpeg_encoder::{ColorType, Encoder, PixelDensity, PixelDensityUnit, SamplingFactor};
    let failed = |error: jpeg_encoder::EncodingError| Failure::internal(format!("cannot write JPEG: {error}"));
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, how.quality.clamp(1, 100));
    // Colours at full resolution: what was made with care is not to be halved.
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    encoder.set_progressive(how.progressive);
    encoder.set_optimized_huffman_tables(true);
    if let Some((x, y)) = meta.dpi {
        let whole = |dpi: f64| dpi.round().clamp(1.0, 65_535.0) as u16;
        encoder.set_density(PixelDensity { density: (whole(x), whole(y)), unit: PixelDensityUnit::Inches });
    }
    // EXIF above one segment, or a profile above 255, cannot be written; the picture still can.
    if let Some(exif) = meta.exif.as_ref().filter(|exif| exif.len() + 6 <= jpeg::SEGMENT) {
        encoder.add_exif_metadata(exif).map_err(failed)?;
    }
    if let Some(icc) = profile(meta, layout).filter(|icc| icc.len() < 254 * 65_519) {
        encoder.add_icc_profile(icc).map_err(failed)?;
    }
    let edge = |length: u32| u16::try_from(length).map_err(|_| Failure::internal("the picture is too large for JPEG"));
    let colour = if layout.grey { ColorType::Luma } else { ColorType::Rgb };
    encoder.encode(bytes, edge(size.width)?, edge(size.height)?, colour).map_err(failed)?;
    jpeg::insert(&mut file, meta.xmp.as_deref(), meta.iptc.as_deref(), how.recipe.as_deref());
    Ok(file)
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
