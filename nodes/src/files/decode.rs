//! From the bytes of a file to a picture.

use super::{
    Header,
    avif::{self, Avif},
    claims, exif,
    fields::Fields,
    frames, jpeg,
    jxl::{self, Jxl},
    png, texts,
};
use crate::{
    limits::Limits,
    pixel::{
        resample::{linear_to_srgb, srgb_to_linear},
        room, unit,
    },
};
use engine::{
    Blame, Failure, NodeResult, contain,
    value::{Image, Metadata, SampleDepth, Size},
};
use image::{ColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, codecs, metadata::Orientation};
use rayon::prelude::*;
use std::{
    borrow::Cow,
    io::{self, BufRead, Cursor, Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const KNOWN: &str = "PNG, JPEG, JPEG XL, AVIF, WebP, TIFF, BMP, GIF, PNM, TGA, QOI, EXR, HDR and ICO are read";

pub(super) fn header(path: &str, bytes: &[u8], limits: &Limits, frame: u32) -> NodeResult<Header> {
    guarded(path, || {
        let format = format(path, bytes)?;
        let page = frames::page(path, format, bytes, frame)?;
        let mut source = Source::open(path, format, &page, limits, frame)?;
        let (mut size, channels) = (source.size, source.channels());
        if turns(source.orientation()) {
            size = Size::new(size.height, size.width);
        }
        let inks = match source.format {
            Kind::Of(ImageFormat::Jpeg) => jpeg::is_cmyk(bytes),
            Kind::Of(ImageFormat::Tiff) => exif::is_cmyk(&page),
            _ => false,
        };
        Ok(Header { size, channels, inks, frames: source.frames })
    })
}

/// The picture in a file, or one of several: frame 1 and so on; 0 is what is seen where nothing moves.
pub(super) fn image(path: &str, bytes: &[u8], limits: &Limits, frame: u32) -> NodeResult<Image> {
    guarded(path, || {
        let format = format(path, bytes)?;
        let page = frames::page(path, format, bytes, frame)?;
        let mut source = Source::open(path, format, &page, limits, frame)?;
        let size = source.size;
        let (metadata, orientation) = source.metadata();
        let linear = matches!(source.format, Kind::Of(ImageFormat::OpenExr | ImageFormat::Hdr));
        let wanted = source.channels();
        let (raw, colour) = source.pixels(path)?;
        let (_, mut samples) = planes(&raw, colour, size, linear)?;
        drop(raw);
        let channels = wanted.min(samples.len() / size.pixels());
        samples.truncate(channels * size.pixels());
        let picture = Image::new(size, channels, samples, Arc::new(metadata));
        upright(picture, orientation)
    })
}

/// Some decoders panic on some broken files. That is the file's fault, as far as the person is concerned.
fn guarded<T>(path: &str, work: impl FnOnce() -> NodeResult<T>) -> NodeResult<T> {
    contain(work).unwrap_or_else(|_| {
        Err(Failure::input(format!("`{path}` is broken: its decoder gave up"))
            .at("path")
            .hint("open it in another program and save it again"))
    })
}

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Avif,
    JpegXl,
    Of(ImageFormat),
}

impl PartialEq<ImageFormat> for Kind {
    fn eq(&self, other: &ImageFormat) -> bool {
        *self == Self::Of(*other)
    }
}

/// A decoder that has read the header, which the limits allow.
struct Source<'a> {
    decoder: Box<dyn ImageDecoder + 'a>,
    format: Kind,
    size: Size,
    bytes: &'a [u8],
    deadline: Option<Instant>,
    /// Which of its pictures is meant, from 1; 0 is what is seen where nothing moves.
    frame: u32,
    /// How many there are.
    frames: u32,
}

impl<'a> Source<'a> {
    fn open(path: &str, format: Kind, bytes: &'a [u8], limits: &Limits, frame: u32) -> NodeResult<Self> {
        let deadline = limits.decode_seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let timed = |bytes: Cow<'a, [u8]>| Timed { inner: Cursor::new(bytes), deadline };
        let at = |failure: Failure| failure.at("path");
        if let Some(size) = claims::size(format, bytes) {
            limits.check_input(path, size).map_err(at)?;
        }
        let mut frames = frames::count(format, bytes, limits);
        limits.check_frames(path, u64::from(frames)).map_err(at)?;
        let mut allowed = image::Limits::default();
        let decoder: Box<dyn ImageDecoder + 'a> = match format {
            Kind::Of(ImageFormat::Png) => {
                png::check(path, bytes, limits).map_err(at)?;
                // What the PNG decoder takes beside the pixels: metadata, inflated, and a few rows.
                let metadata = limits.metadata_bytes.unwrap_or(u64::MAX).saturating_mul(4);
                allowed.max_alloc = Some(metadata.saturating_add(4 * png::row_bytes(bytes) as u64));
                Box::new(
                    codecs::png::PngDecoder::with_limits(timed(png::lean(bytes)), allowed)
                        .map_err(|error| broken(path, &error))?,
                )
            }
            Kind::Avif => {
                avif::check(path, bytes, limits).map_err(at)?;
                Box::new(Avif::new(bytes, deadline).map_err(|error| broken(path, &error))?)
            }
            Kind::JpegXl => {
                jxl::check(path, bytes, limits).map_err(at)?;
                let metadata = limits.metadata_bytes.unwrap_or(u64::MAX);
                let decoder = Jxl::new(bytes, frame, metadata).map_err(|error| broken(path, &error))?;
                frames = decoder.frames();
                limits.check_frames(path, u64::from(frames)).map_err(at)?;
                if frame > frames {
                    return Err(frames::missing(path, frames, frame));
                }
                Box::new(decoder)
            }
            Kind::Of(format) => {
                let mut reader = ImageReader::with_format(timed(Cow::Borrowed(bytes)), format);
                reader.no_limits();
                Box::new(reader.into_decoder().map_err(|error| unread(path, format, bytes, &error))?)
            }
        };
        let (width, height) = decoder.dimensions();
        let size = Size::new(width, height);
        if size.area() == 0 {
            return Err(Failure::input(format!("`{path}` is a picture without pixels ({size})")).at("path"));
        }
        limits.check_input(path, size).map_err(at)?;
        let mut source = Self { decoder, format, size, bytes, deadline, frame, frames };
        if format != ImageFormat::Png {
            let blocks = [("colour profile", source.profile()), ("XMP", source.xmp()), ("IPTC", source.iptc())];
            let blocks = blocks.map(|(name, block)| (name, block.map_or(0, |block| block.len() as u64)));
            let exif = if format == ImageFormat::Tiff {
                Fields::length(bytes)
            } else {
                source.exif().map_or(0, |block| block.len() as u64)
            };
            for (name, length) in blocks.into_iter().chain([("EXIF", exif)]) {
                limits.check_metadata(path, &format!("its {name}"), length).map_err(at)?;
            }
            // Twice the pixels for decoders that turn one form into another, and room for their tables.
            let mut allowed = image::Limits::default();
            allowed.max_alloc = Some(source.decoder.total_bytes().saturating_mul(2).saturating_add(256 << 20));
            source.decoder.set_limits(allowed).map_err(|error| broken(path, &error))?;
        }
        if jpeg::cut_off(bytes) {
            return Err(cut_off(path));
        }
        Ok(source)
    }

    /// Whether the frame is put together here from those before it.
    fn is_composed(&self) -> bool {
        self.frame > 0 && frames::is_animated(self.format, self.bytes)
    }

    /// Planes of the frame. What is seen through a frame that fills the whole only in part is nothing.
    fn channels(&self) -> usize {
        let fills = self.format == ImageFormat::WebP || !self.is_composed();
        if fills && !self.decoder.color_type().has_alpha() { 3 } else { 4 }
    }

    /// Interleaved samples of the frame, and what they are.
    fn pixels(self, path: &str) -> NodeResult<(Vec<u8>, ColorType)> {
        let size = self.size;
        if self.is_composed() {
            let file = Timed { inner: Cursor::new(self.bytes), deadline: self.deadline };
            // The canvas, what it was before, and the frame in several forms.
            let mut room = image::Limits::default();
            room.max_alloc = Some(size.area().saturating_mul(4 * 8).saturating_add(256 << 20));
            return Ok((frames::animated(path, self.format, file, room, self.frame)?, ColorType::Rgba8));
        }
        let colour = self.decoder.color_type();
        let length = usize::try_from(self.decoder.total_bytes()).unwrap_or(usize::MAX);
        // Asked for first, because this can fail. Then taken as zeros that cost nothing until they are written to: a file
        // may claim far more than it holds.
        Vec::<u8>::new().try_reserve_exact(length).map_err(|_| no_memory(path, size))?;
        let mut raw = vec![0u8; length];
        self.decoder.read_image(&mut raw).map_err(|error| broken(path, &error))?;
        Ok((raw, colour))
    }

    fn orientation(&mut self) -> Orientation {
        match self.decoder.exif_metadata() {
            // Its decoder has turned the picture already, by what stands beside the pixels.
            _ if self.format == Kind::JpegXl => Orientation::NoTransforms,
            // What its container says is what holds.
            _ if self.format == Kind::Avif => self.decoder.orientation().unwrap_or(Orientation::NoTransforms),
            Ok(Some(exif)) => Orientation::from_exif_chunk(strip_prefix(&exif)).unwrap_or(Orientation::NoTransforms),
            _ => self.decoder.orientation().unwrap_or(Orientation::NoTransforms),
        }
    }

    fn exif(&mut self) -> Option<Vec<u8>> {
        match self.format {
            Kind::Of(ImageFormat::Tiff) => Fields::of(self.bytes).map(|fields| fields.block()),
            _ => self.decoder.exif_metadata().ok().flatten(),
        }
    }

    fn xmp(&mut self) -> Option<Vec<u8>> {
        match self.format {
            // The decoder knows what fits into one segment only.
            Kind::Of(ImageFormat::Jpeg) => jpeg::xmp(self.bytes),
            Kind::Of(ImageFormat::Tiff) => exif::xmp(self.bytes),
            _ => self.decoder.xmp_metadata().ok().flatten(),
        }
    }

    fn profile(&mut self) -> Option<Vec<u8>> {
        match self.format {
            // The decoder knows profiles of one of the two types in use only.
            Kind::Of(ImageFormat::Tiff) => exif::icc(self.bytes),
            _ => self.decoder.icc_profile().ok().flatten(),
        }
    }

    /// The IPTC block, where it does not lie among texts.
    fn iptc(&self) -> Option<Vec<u8>> {
        match self.format {
            Kind::Of(ImageFormat::Jpeg) => jpeg::iptc(self.bytes),
            Kind::Of(ImageFormat::Tiff) => exif::iptc(self.bytes),
            _ => None,
        }
    }

    /// What the file says beside its pixels. Metadata that cannot be read is no reason to refuse a picture.
    fn metadata(&mut self) -> (Metadata, Orientation) {
        let orientation = self.orientation();
        let some = |block: &Vec<u8>| !block.is_empty();
        let colour = self.decoder.color_type();
        let icc = self.profile().filter(some).filter(|icc| {
            // A profile for four inks says nothing about the RGB that they were turned into.
            matches!(icc.get(16..20), Some(b"RGB "))
                || (matches!(icc.get(16..20), Some(b"GRAY")) && !colour.has_color())
        });
        let exif = self.exif().filter(some).map(|exif| {
            let mut exif = strip_prefix(&exif).to_vec();
            exif::take_orientation(&mut exif);
            exif
        });
        let xmp = self.xmp().filter(some);
        let dpi = match self.format {
            Kind::Of(ImageFormat::Png) => png::dpi(self.bytes),
            Kind::Of(ImageFormat::Jpeg) => jpeg::dpi(self.bytes),
            Kind::Of(ImageFormat::Tiff) => exif::dpi(self.bytes),
            _ => None,
        };
        let texts = texts::of(self.bytes);
        let iptc = self.iptc().or(texts.iptc);
        let metadata = Metadata {
            dpi: dpi.or_else(|| exif.as_deref().and_then(exif::dpi)),
            icc,
            exif,
            xmp,
            iptc: iptc.filter(some),
            texts: texts.all,
            depth: match colour {
                ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => SampleDepth::Sixteen,
                ColorType::Rgb32F | ColorType::Rgba32F => SampleDepth::Float,
                _ => SampleDepth::Eight,
            },
            grey: !colour.has_color(),
            jpeg_quality: if self.format == ImageFormat::Jpeg { jpeg::quality(self.bytes) } else { None },
        };
        (metadata, orientation)
    }
}

/// Some programs start the block with the marker that JPEG puts before it.
fn strip_prefix(exif: &[u8]) -> &[u8] {
    exif.strip_prefix(b"Exif\0\0").unwrap_or(exif)
}

/// The format, by the content. Only TGA, which has no signature, is known by its name.
fn format(path: &str, bytes: &[u8]) -> NodeResult<Kind> {
    if jxl::is_jxl(bytes) {
        return Ok(Kind::JpegXl);
    }
    if avif::is_avif(bytes) {
        return Ok(Kind::Avif);
    }
    let named = || Path::new(path).extension().and_then(ImageFormat::from_extension);
    let unread = |what: &str, hint: &str| {
        Failure::input(format!("`{path}` is a picture of a format that is not read: {what}")).at("path").hint(hint)
    };
    match image::guess_format(bytes) {
        Ok(format) if format.reading_enabled() => Ok(Kind::Of(format)),
        Ok(format) => Err(unread(&format!("{format:?}"), &format!("convert it first; {KNOWN}"))),
        // BigTIFF.
        Err(_) if exif::is_tiff(bytes) => Ok(Kind::Of(ImageFormat::Tiff)),
        Err(_) if avif::is_heif(bytes) => {
            Err(unread("HEIC", "convert it first, such as with `heif-convert in.heic out.png`"))
        }
        Err(_) if named() == Some(ImageFormat::Tga) => Ok(Kind::Of(ImageFormat::Tga)),
        Err(_) => Err(Failure::input(format!("`{path}` is not a picture")).at("path").hint(KNOWN)),
    }
}

/// Why there is no decoder for what is in a file.
fn unread(path: &str, format: ImageFormat, bytes: &[u8], error: &ImageError) -> Failure {
    let unsupported = format == ImageFormat::Tiff && matches!(error, ImageError::Unsupported(_));
    match exif::unusual(bytes).filter(|_| unsupported) {
        Some(what) => Failure::input(format!("`{path}` is of a kind that is not read: TIFF of {what}"))
            .at("path")
            .hint("save it as RGB in another program"),
        None => broken(path, error),
    }
}

pub(super) fn broken(path: &str, error: &ImageError) -> Failure {
    // What decoders say is of many styles: one line of it, without a full stop.
    let said = error.to_string();
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = said.strip_prefix("Format error decoding ").unwrap_or(&said).trim_end_matches('.');
    let failure = match error {
        ImageError::IoError(e) if e.kind() == io::ErrorKind::TimedOut => {
            Failure::new(Blame::Limit, format!("`{path}` takes longer to decode than the limit allows"))
                .hint("allow it with `--limits unlimited`")
        }
        ImageError::IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => return cut_off(path),
        ImageError::Limits(_) => Failure::new(
            Blame::Limit,
            format!("`{path}` needs far more memory to decode than a picture of its size should"),
        )
        .hint("it is likely made to do harm; save it again with another program if it is yours"),
        ImageError::Unsupported(_) => Failure::input(format!("`{path}` is of a kind that is not read: {said}"))
            .hint(format!("convert it; {KNOWN}")),
        _ if said.contains("end of file")
            || said.contains("Not enough bytes")
            || said.contains("end of stream")
            || said.contains("UnexpectedEof") =>
        {
            return cut_off(path);
        }
        _ => Failure::input(format!("`{path}` is broken: {said}")).hint("open it in another program and save it again"),
    };
    failure.at("path")
}

fn cut_off(path: &str) -> Failure {
    Failure::input(format!("`{path}` is cut off: its end is missing"))
        .at("path")
        .hint("copy or download the file again")
}

fn no_memory(path: &str, size: Size) -> Failure {
    Failure::new(Blame::Memory, format!("there is no memory to decode `{path}` ({size})")).at("path")
}

/// Planes of `f32` from interleaved samples; grey becomes RGB.
fn planes(raw: &[u8], colour: ColorType, size: Size, linear: bool) -> NodeResult<(usize, Vec<f32>)> {
    let stride = usize::from(colour.channel_count());
    let channels = if colour.has_alpha() { 4 } else { 3 };
    let n = size.pixels();
    let mut samples = room(channels * n)?;
    let bytes = usize::from(colour.bytes_per_pixel()) / stride;
    for channel in 0..channels {
        // Where the plane lies in the file's pixel: all colours of a grey picture are its first sample.
        let offset = match (channel, colour.has_color()) {
            (3, _) => stride - 1,
            (_, true) => channel,
            (_, false) => 0,
        };
        let pixel = |i: usize| &raw[(i * stride + offset) * bytes..][..bytes];
        let sample = |i: usize| match *pixel(i) {
            [v] => f32::from(v) / 255.0,
            [a, b] => f32::from(u16::from_ne_bytes([a, b])) / 65_535.0,
            [a, b, c, d] => f32::from_ne_bytes([a, b, c, d]),
            _ => 0.0,
        };
        samples.par_extend((0..n).into_par_iter().map(sample));
    }
    if bytes == 4 {
        if linear && channels == 4 {
            // EXR multiplies colours by alpha; here they are straight.
            let (colours, alpha) = samples.split_at_mut(3 * n);
            colours.par_chunks_exact_mut(n).for_each(|plane| {
                plane.iter_mut().zip(&*alpha).for_each(|(v, &a)| *v = if a > 0.0 { *v / a } else { *v });
            });
        }
        let curve = 3 * n;
        samples.par_iter_mut().enumerate().for_each(|(i, v)| {
            *v = unit(*v);
            if linear && i < curve {
                *v = linear_to_srgb(*v);
            }
        });
    }
    Ok((channels, samples))
}

/// The linear light that EXR and HDR files hold.
pub(super) fn to_linear(v: f32) -> f32 {
    srgb_to_linear(v)
}

fn turns(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// The picture as it is meant to be looked at.
fn upright(picture: Image, orientation: Orientation) -> NodeResult<Image> {
    if orientation == Orientation::NoTransforms {
        return Ok(picture);
    }
    let from = picture.size();
    let size = if turns(orientation) { Size::new(from.height, from.width) } else { from };
    let (right, bottom) = (from.width as usize - 1, from.height as usize - 1);
    // Where the pixel (x, y) of the upright picture lies in the file.
    let source = |x: usize, y: usize| match orientation {
        Orientation::NoTransforms => (x, y),
        Orientation::FlipHorizontal => (right - x, y),
        Orientation::Rotate180 => (right - x, bottom - y),
        Orientation::FlipVertical => (x, bottom - y),
        Orientation::Rotate90FlipH => (y, x),
        Orientation::Rotate90 => (y, bottom - x),
        Orientation::Rotate270FlipH => (right - y, bottom - x),
        Orientation::Rotate270 => (right - y, x),
    };
    let width = size.width as usize;
    let mut samples = room(picture.samples().len())?;
    for channel in 0..picture.channels() {
        let plane = picture.plane(channel);
        samples.par_extend((0..size.pixels()).into_par_iter().map(|i| {
            let (x, y) = source(i % width, i / width);
            plane[y * from.width as usize + x]
        }));
    }
    Ok(Image::new(size, picture.channels(), samples, picture.metadata))
}

/// Stops a decoder that reads on past its time.
struct Timed<R> {
    inner: R,
    deadline: Option<Instant>,
}

impl<R> Timed<R> {
    fn check(&self) -> io::Result<()> {
        match self.deadline {
            Some(deadline) if Instant::now() > deadline => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }
}

impl<R: Read> Read for Timed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.read(buffer)
    }
}

impl<R: BufRead> BufRead for Timed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.check()?;
        self.inner.fill_buf()
    }
    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }
}

impl<R: Seek> Seek for Timed<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
