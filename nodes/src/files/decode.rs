//! From the bytes of a file to a picture.

use super::{Header, Lost, claims, exif, frames, gif, jpeg, png, texts, webp};
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

const KNOWN: &str = "PNG, JPEG, WebP, TIFF, BMP, GIF, PNM, TGA, QOI, EXR, HDR and ICO are read";

pub(super) fn header(path: &str, bytes: &[u8], limits: &Limits) -> NodeResult<Header> {
    guarded(path, || {
        let mut source = Source::open(path, bytes, limits)?;
        let (mut size, channels) = (source.size, if source.decoder.color_type().has_alpha() { 4 } else { 3 });
        if turns(source.orientation()) {
            size = Size::new(size.height, size.width);
        }
        let lost = Lost {
            inks: source.format == ImageFormat::Jpeg && jpeg::is_cmyk(bytes),
            pictures: match source.format {
                ImageFormat::Png => png::is_animated(bytes),
                ImageFormat::WebP => webp::is_animated(bytes),
                ImageFormat::Gif => gif::is_animated(bytes),
                ImageFormat::Tiff => exif::has_more(bytes),
                _ => false,
            },
        };
        Ok(Header { size, channels, lost })
    })
}

pub(super) fn image(path: &str, bytes: &[u8], limits: &Limits) -> NodeResult<Image> {
    guarded(path, || {
        let mut source = Source::open(path, bytes, limits)?;
        let size = source.size;
        let (metadata, orientation) = source.metadata();
        let colour = source.decoder.color_type();
        let linear = matches!(source.format, ImageFormat::OpenExr | ImageFormat::Hdr);
        let length = usize::try_from(source.decoder.total_bytes()).unwrap_or(usize::MAX);
        // Asked for first, because this can fail. Then taken as zeros that cost nothing until they are written to: a file
        // may claim far more than it holds.
        Vec::<u8>::new().try_reserve_exact(length).map_err(|_| no_memory(path, size))?;
        let mut raw = vec![0u8; length];
        source.decoder.read_image(&mut raw).map_err(|error| broken(path, &error))?;
        let (channels, samples) = planes(&raw, colour, size, linear)?;
        drop(raw);
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

/// A decoder that has read the header, which the limits allow.
struct Source<'a> {
    decoder: Box<dyn ImageDecoder + 'a>,
    format: ImageFormat,
    size: Size,
    bytes: &'a [u8],
}

impl<'a> Source<'a> {
    fn open(path: &str, bytes: &'a [u8], limits: &Limits) -> NodeResult<Self> {
        let format = format(path, bytes)?;
        let deadline = limits.decode_seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let timed = |bytes: Cow<'a, [u8]>| Timed { inner: Cursor::new(bytes), deadline };
        let at = |failure: Failure| failure.at("path");
        if let Some(size) = claims::size(format, bytes) {
            limits.check_input(path, size).map_err(at)?;
        }
        frames::check(path, format, bytes, limits).map_err(at)?;
        let mut allowed = image::Limits::default();
        let decoder: Box<dyn ImageDecoder + 'a> = if format == ImageFormat::Png {
            png::check(path, bytes, limits).map_err(at)?;
            // What the PNG decoder takes beside the pixels: metadata, inflated, and a few rows.
            let metadata = limits.metadata_bytes.unwrap_or(u64::MAX).saturating_mul(4);
            allowed.max_alloc = Some(metadata.saturating_add(4 * png::row_bytes(bytes) as u64));
            Box::new(
                codecs::png::PngDecoder::with_limits(timed(png::lean(bytes)), allowed)
                    .map_err(|error| broken(path, &error))?,
            )
        } else {
            let mut reader = ImageReader::with_format(timed(Cow::Borrowed(bytes)), format);
            reader.no_limits();
            Box::new(reader.into_decoder().map_err(|error| broken(path, &error))?)
        };
        let (width, height) = decoder.dimensions();
        let size = Size::new(width, height);
        if size.area() == 0 {
            return Err(Failure::input(format!("`{path}` is a picture without pixels ({size})")).at("path"));
        }
        limits.check_input(path, size).map_err(at)?;
        let mut source = Self { decoder, format, size, bytes };
        if format != ImageFormat::Png {
            let blocks = [
                ("colour profile", source.profile()),
                ("EXIF", source.decoder.exif_metadata().ok().flatten()),
                ("XMP", source.decoder.xmp_metadata().ok().flatten()),
                ("IPTC", source.iptc()),
            ];
            for (name, block) in blocks {
                let length = block.map_or(0, |block| block.len() as u64);
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

    fn orientation(&mut self) -> Orientation {
        match self.decoder.exif_metadata() {
            Ok(Some(exif)) => Orientation::from_exif_chunk(strip_prefix(&exif)).unwrap_or(Orientation::NoTransforms),
            _ => self.decoder.orientation().unwrap_or(Orientation::NoTransforms),
        }
    }

    fn profile(&mut self) -> Option<Vec<u8>> {
        match self.format {
            // The decoder knows profiles of one of the two types in use only.
            ImageFormat::Tiff => exif::icc(self.bytes),
            _ => self.decoder.icc_profile().ok().flatten(),
        }
    }

    /// The IPTC block, where it does not lie among texts.
    fn iptc(&self) -> Option<Vec<u8>> {
        match self.format {
            ImageFormat::Jpeg => jpeg::iptc(self.bytes),
            ImageFormat::Tiff => exif::iptc(self.bytes),
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
        let exif = self.decoder.exif_metadata().ok().flatten().filter(some).map(|exif| {
            let mut exif = strip_prefix(&exif).to_vec();
            exif::take_orientation(&mut exif);
            exif
        });
        let xmp = self.decoder.xmp_metadata().ok().flatten().filter(some);
        let dpi = match self.format {
            ImageFormat::Png => png::dpi(self.bytes),
            ImageFormat::Jpeg => jpeg::dpi(self.bytes),
            ImageFormat::Tiff => exif::dpi(self.bytes),
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
fn format(path: &str, bytes: &[u8]) -> NodeResult<ImageFormat> {
    let named = || Path::new(path).extension().and_then(ImageFormat::from_extension);
    match image::guess_format(bytes) {
        Ok(format) if format.reading_enabled() && format != ImageFormat::Avif => Ok(format),
        Ok(format) => Err(Failure::input(format!("`{path}` is a picture of a format that is not read: {format:?}"))
            .at("path")
            .hint(format!("convert it first; {KNOWN}"))),
        Err(_) if named() == Some(ImageFormat::Tga) => Ok(ImageFormat::Tga),
        Err(_) => Err(Failure::input(format!("`{path}` is not a picture")).at("path").hint(KNOWN)),
    }
}

fn broken(path: &str, error: &ImageError) -> Failure {
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
