//! AVIF: pictures of AV1 in boxes. The container is read here, the pictures by a decoder that is safe Rust throughout.

mod colour;
mod container;
mod planes;
#[cfg(test)]
mod tests;

use self::{
    colour::Colours,
    container::{Container, Reader, Trouble},
    planes::{Form, Planes, Reading, Window},
};
use super::{
    alpha::straighten,
    boxes::{self, exif_of},
};
use crate::limits::Limits;
use engine::{NodeResult, value::Size};
use image::{
    ColorType, ImageDecoder, ImageError, ImageResult,
    error::{DecodingError, ImageFormatHint, UnsupportedError, UnsupportedErrorKind},
    metadata::Orientation,
};
use oxideav_av1::{ObuIter, ObuType, SequenceHeader, decoder::SpecDecodeSession, parse_sequence_header};
use std::{io, time::Instant};

/// What an alpha plane is called in its property.
const ALPHA: [&[u8]; 2] = [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"];
/// Properties that are understood, or say nothing about the pixels.
const KNOWN: [&[u8; 4]; 17] = [
    b"av1C", b"ispe", b"pixi", b"colr", b"irot", b"imir", b"clap", b"pasp", b"auxC", b"a1op", b"a1lx", b"lsel",
    b"clli", b"mdcv", b"cclv", b"amve", b"ster",
];
/// A picture may be packed in layers, each better than the one before: four at most (AV1, section 6.4.1, spatial layers).
const MOST_FRAMES: usize = 8;
/// Smaller tiles are against the rules (MIAF, section 7.3.11.4.2), and would be a way to ask for very many of them.
const LEAST_TILE: u32 = 64;

/// The brand and all compatible brands of a file that is built of boxes.
fn brands(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let kind = boxes::parts(bytes).next().filter(|part| part.name == b"ftyp").map_or(&[][..], |part| part.data);
    // A version stands behind the first.
    kind.chunks_exact(4).enumerate().filter(|(place, _)| *place != 1).map(|(_, brand)| brand)
}

pub(super) fn is_avif(bytes: &[u8]) -> bool {
    brands(bytes).any(|brand| brand == b"avif" || brand == b"avis")
}

/// Whether it is built like AVIF, but holds pictures of another kind: HEIC and the like.
pub(super) fn is_heif(bytes: &[u8]) -> bool {
    const OTHERS: [&[u8]; 8] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"];
    !is_avif(bytes) && brands(bytes).any(|brand| OTHERS.contains(&brand))
}

fn hint() -> ImageFormatHint {
    ImageFormatHint::Name("AVIF".to_owned())
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ImageError {
    ImageError::Decoding(DecodingError::new(hint(), error))
}

fn unknown(what: &str) -> ImageError {
    let kind = UnsupportedErrorKind::GenericFeature(format!("AVIF with {what}"));
    ImageError::Unsupported(UnsupportedError::from_format_and_kind(hint(), kind))
}

/// Refuses a picture by its header alone.
///
/// # Errors
/// [`Blame::Limit`](engine::Blame::Limit).
pub(super) fn check(path: &str, bytes: &[u8], limits: &Limits) -> NodeResult<()> {
    // What is no header is for the decoder to say.
    let size = Container::parse(bytes).and_then(|container| container.size(container.primary));
    size.map_or(Ok(()), |(width, height)| limits.check_input(path, Size::new(width, height)))
}

/// A file of which all but the pixels is read.
pub(super) struct Avif<'a> {
    container: Container<'a>,
    size: (u32, u32),
    window: Window,
    form: Form,
    reading: Reading,
    alpha: Option<u32>,
    orientation: Orientation,
    /// When reading has to be done.
    deadline: Option<Instant>,
}

impl<'a> Avif<'a> {
    /// Reads a file that the limits allow.
    pub(super) fn new(bytes: &'a [u8], deadline: Option<Instant>) -> ImageResult<Self> {
        let container = Container::parse(bytes).map_err(failed)?;
        let primary = container.primary;
        let size = container.size(primary).map_err(failed)?;
        let header = header(&container, primary)?;
        let colours = Self::said(&container, primary).unwrap_or_else(|| in_stream(&header));
        let form = form(&header);
        let Some(matrix) = colours.matrix() else {
            return Err(unknown(&format!("the colour matrix {}", colours.matrix)));
        };
        if matrix == colour::Matrix::Identity && form.shared != (1, 1) && !form.grey {
            return Err(failed("planes of red and blue are smaller than that of green"));
        }
        let beside = (
            matches!(header.color_config.chroma_sample_position, 1 | 2),
            header.color_config.chroma_sample_position == 2,
        );
        let alpha = container.referring(primary, b"auxl").find(|&id| is_alpha(&container, id));
        let (window, orientation) = seen(&container, primary, size)?;
        let reading = Reading { colours, matrix, beside };
        Ok(Self { container, size, window, form, reading, alpha, orientation, deadline })
    }

    /// What the container says about the colours of an item.
    fn said(container: &Container<'a>, id: u32) -> Option<Colours> {
        let profiles = container.properties(id).filter(|(part, _)| part.name == b"colr");
        profiles.filter_map(|(part, _)| part.data.strip_prefix(b"nclx")).find_map(Colours::parse)
    }

    fn profile(&self) -> Option<Vec<u8>> {
        let all = self.container.properties(self.container.primary).filter(|(part, _)| part.name == b"colr");
        let whole = |data: &'a [u8]| data.strip_prefix(b"prof").or_else(|| data.strip_prefix(b"rICC"));
        let embedded = all.filter_map(|(part, _)| whole(part.data)).map(<[u8]>::to_vec).next();
        embedded.or_else(|| self.reading.colours.profile(self.form.grey))
    }

    fn in_time(&self) -> ImageResult<()> {
        match self.deadline {
            Some(deadline) if Instant::now() > deadline => Err(ImageError::IoError(io::ErrorKind::TimedOut.into())),
            _ => Ok(()),
        }
    }

    /// The planes of an item, which may be made of tiles.
    fn planes(&self, id: u32, form: Form) -> ImageResult<Planes> {
        let size = self.container.size(id).map_err(failed)?;
        if &self.container.item(id).map_err(failed)?.kind != b"grid" {
            return self.decoded(id, size, form);
        }
        let grid = Grid::of(&self.container, id).map_err(failed)?;
        if (grid.width, grid.height) != size {
            return Err(failed("tiles make a picture of another size than it is said to have"));
        }
        let tiles = self.container.referred(id, b"dimg");
        let (across, down) = self.container.size(tiles[0]).map_err(failed)?;
        let fits = |edge: u32, count: u32, whole: u32| {
            edge.checked_mul(count).is_some_and(|all| all >= whole) && edge * (count - 1) < whole
        };
        let many = tiles.len() > 1;
        if !fits(across, grid.columns, grid.width)
            || !fits(down, grid.rows, grid.height)
            || many && (across.min(down) < LEAST_TILE || across % form.shared.0 != 0 || down % form.shared.1 != 0)
        {
            return Err(failed("tiles of a size that does not fit"));
        }
        let mut whole = Planes::blank(grid.width, grid.height, form).ok_or_else(|| failed("out of memory"))?;
        for (index, &tile) in tiles.iter().enumerate() {
            self.in_time()?;
            let planes = self.decoded(tile, (across, down), form)?;
            let index = index as u32;
            whole.put(&planes, index % grid.columns * across, index / grid.columns * down);
        }
        Ok(whole)
    }

    /// The planes of one picture of AV1.
    fn decoded(&self, id: u32, size: (u32, u32), expected: Form) -> ImageResult<Planes> {
        if &self.container.item(id).map_err(failed)?.kind != b"av01" {
            return Err(unknown("a picture that is not AV1"));
        }
        understood(&self.container, id)?;
        let data = self.container.data(id).map_err(failed)?;
        // The size has been allowed by now, and none beyond it is.
        let most = u64::from(size.0) * u64::from(size.1);
        let frames = ObuIter::new(&data).filter_map(Result::ok);
        let frames = frames.filter(|part| matches!(part.obu_type, ObuType::Frame | ObuType::FrameHeader)).count();
        if frames > MOST_FRAMES {
            return Err(unknown("more layers than a picture has"));
        }
        if form(&header(&self.container, id)?) != expected {
            return Err(failed("parts of it are of other depths or colours than the first"));
        }
        let mut session = SpecDecodeSession::new();
        session.set_max_picture_size(u32::try_from(most).unwrap_or(u32::MAX));
        session.set_threads(rayon::current_num_threads());
        if let Some(&[point]) = self.container.property(id, b"a1op") {
            session.set_operating_point(point).map_err(broken)?;
        }
        let frames = session.decode_temporal_unit(&data).map_err(broken)?;
        let frame = frames.into_iter().rfind(|frame| (frame.width, frame.height) == size);
        frame
            .and_then(|frame| Planes::of(frame, expected))
            .ok_or_else(|| failed("it is of another size or kind than it is said to be"))
    }
}

impl ImageDecoder for Avif<'_> {
    fn dimensions(&self) -> (u32, u32) {
        (self.window.2, self.window.3)
    }

    fn color_type(&self) -> ColorType {
        match (self.form.grey, self.alpha.is_some(), self.form.depth > 8) {
            (true, false, false) => ColorType::L8,
            (true, true, false) => ColorType::La8,
            (false, false, false) => ColorType::Rgb8,
            (false, true, false) => ColorType::Rgba8,
            (true, false, true) => ColorType::L16,
            (true, true, true) => ColorType::La16,
            (false, false, true) => ColorType::Rgb16,
            (false, true, true) => ColorType::Rgba16,
        }
    }

    fn icc_profile(&mut self) -> ImageResult<Option<Vec<u8>>> {
        Ok(self.profile())
    }

    fn exif_metadata(&mut self) -> ImageResult<Option<Vec<u8>>> {
        Ok(self.container.metadata(b"Exif", b"").and_then(|block| exif_of(&block).map(<[u8]>::to_vec)))
    }

    fn xmp_metadata(&mut self) -> ImageResult<Option<Vec<u8>>> {
        Ok(self.container.metadata(b"mime", b"application/rdf+xml").map(std::borrow::Cow::into_owned))
    }

    fn orientation(&mut self) -> ImageResult<Orientation> {
        Ok(self.orientation)
    }

    fn read_image(self, target: &mut [u8]) -> ImageResult<()> {
        let picture = self.planes(self.container.primary, self.form)?;
        self.in_time()?;
        let alpha = match self.alpha {
            None => None,
            Some(id) => {
                if self.container.size(id).map_err(failed)? != self.size {
                    return Err(unknown("an alpha plane of another size"));
                }
                let header = header(&self.container, id)?;
                if !header.color_config.mono_chrome {
                    return Err(unknown("an alpha plane in colours"));
                }
                Some((
                    self.planes(id, form(&header))?,
                    Self::said(&self.container, id).unwrap_or_else(|| in_stream(&header)),
                ))
            }
        };
        picture.fill(self.window, self.reading, alpha.as_ref().map(|(planes, colours)| (planes, *colours)), target);
        let multiplied =
            self.alpha.is_some_and(|id| self.container.referred(self.container.primary, b"prem").contains(&id));
        if multiplied {
            straighten(target, self.color_type());
        }
        Ok(())
    }

    fn read_image_boxed(self: Box<Self>, target: &mut [u8]) -> ImageResult<()> {
        (*self).read_image(target)
    }
}

/// What the decoder says, in the words of files that are cut off where it is that.
fn broken(error: oxideav_av1::Error) -> ImageError {
    match error {
        oxideav_av1::Error::PictureSizeExceedsLimit => failed("it is larger than it is said to be"),
        oxideav_av1::Error::UnexpectedEnd => failed("end of file in the pixels"),
        error => failed(error.to_string()),
    }
}

fn is_alpha(container: &Container<'_>, id: u32) -> bool {
    let name = container.property(id, b"auxC").and_then(|data| data.get(4..)).unwrap_or_default();
    ALPHA.iter().any(|alpha| name.strip_prefix(*alpha).is_some_and(|rest| matches!(rest, [] | [0, ..])))
}

/// The header of the first picture of AV1 in an item.
fn header(container: &Container<'_>, id: u32) -> ImageResult<SequenceHeader> {
    let first = match &container.item(id).map_err(failed)?.kind {
        b"av01" => id,
        b"grid" => {
            understood(container, id)?;
            *container.referred(id, b"dimg").first().ok_or_else(|| failed("a grid without tiles"))?
        }
        kind => return Err(unknown(&format!("a picture of the kind `{}`", kind.escape_ascii()))),
    };
    let data = container.data(first).map_err(failed)?;
    for part in ObuIter::new(&data) {
        let part = part.map_err(broken)?;
        if part.obu_type == ObuType::SequenceHeader {
            return parse_sequence_header(part.payload).map_err(broken);
        }
    }
    Err(failed("end of file before the pixels"))
}

fn form(header: &SequenceHeader) -> Form {
    let colours = &header.color_config;
    let shared = |is: bool| if is { 2 } else { 1 };
    let grey = colours.mono_chrome;
    let shared = if grey { (1, 1) } else { (shared(colours.subsampling_x), shared(colours.subsampling_y)) };
    Form { depth: colours.bit_depth, grey, shared }
}

fn in_stream(header: &SequenceHeader) -> Colours {
    let said = &header.color_config;
    Colours {
        primaries: u16::from(said.color_primaries),
        transfer: u16::from(said.transfer_characteristics),
        matrix: u16::from(said.matrix_coefficients),
        full: said.color_range,
    }
}

/// Refuses what must not be shown by one who does not understand all of it.
fn understood(container: &Container<'_>, id: u32) -> ImageResult<()> {
    for (part, needed) in container.properties(id) {
        if needed && !KNOWN.iter().any(|known| part.name == *known) {
            return Err(unknown(&format!("the property `{}`", part.name.escape_ascii())));
        }
        if part.name == b"lsel" && part.data != [0xff, 0xff] {
            return Err(unknown("a choice among layers"));
        }
    }
    Ok(())
}

/// Rows and columns of tiles that make a picture.
struct Grid {
    rows: u32,
    columns: u32,
    width: u32,
    height: u32,
}

impl Grid {
    fn of(container: &Container<'_>, id: u32) -> Result<Self, Trouble> {
        let data = container.data(id)?;
        let mut data = Reader(&data);
        let flags = data.short(2)? & 1;
        let (rows, columns) = (data.short(1)? + 1, data.short(1)? + 1);
        let wide = if flags == 1 { 4 } else { 2 };
        let grid = Self { rows, columns, width: data.short(wide)?, height: data.short(wide)? };
        match container.referred(id, b"dimg").len() == (rows * columns) as usize {
            true => Ok(grid),
            false => Err("a grid with too few or too many tiles"),
        }
    }
}

/// The part of the picture that is to be seen, and how it is turned then.
fn seen(container: &Container<'_>, id: u32, (width, height): (u32, u32)) -> ImageResult<(Window, Orientation)> {
    let mut window = (0, 0, width, height);
    // Turned clockwise so many times, then mirrored left to right.
    let (mut turns, mut mirrored) = (0u8, false);
    for (part, _) in container.properties(id) {
        match (part.name, part.data) {
            (b"clap", data) if turns == 0 && !mirrored => {
                window = aperture(data, width, height).ok_or_else(|| unknown("an aperture between pixels"))?;
            }
            (b"clap", _) => return Err(unknown("an aperture behind its turn")),
            (b"irot", &[turn, ..]) => {
                // It counts the other way.
                let turn = 4 - (turn & 3);
                turns = if mirrored { turns + 4 - turn % 4 } else { turns + turn } % 4;
            }
            (b"imir", &[axis, ..]) => {
                // Top to bottom is left to right, half a turn on.
                turns = (turns + if axis & 1 == 0 { 2 } else { 0 }) % 4;
                mirrored = !mirrored;
            }
            _ => {}
        }
    }
    let orientation = match (turns, mirrored) {
        (0, false) => Orientation::NoTransforms,
        (1, false) => Orientation::Rotate90,
        (2, false) => Orientation::Rotate180,
        (_, false) => Orientation::Rotate270,
        (0, true) => Orientation::FlipHorizontal,
        (1, true) => Orientation::Rotate90FlipH,
        (2, true) => Orientation::FlipVertical,
        (_, true) => Orientation::Rotate270FlipH,
    };
    Ok((window, orientation))
}

/// The clean aperture: width, height, and how far its middle lies from that of the picture, all as fractions. Only whole
/// pixels can be seen.
fn aperture(data: &[u8], width: u32, height: u32) -> Option<Window> {
    let mut data = Reader(data);
    let mut number = || data.short(4).ok();
    // Offsets have signs; nothing else does.
    let edge = |whole: u32, shown: (u32, u32), middle: (u32, u32)| {
        let (shown, per) = shown;
        let (middle, parts) = (i128::from(middle.0 as i32), i128::from(middle.1));
        let length = (per > 0 && shown % per == 0).then(|| i128::from(shown / per)).filter(|&length| length > 0)?;
        // Twice the distance of the first pixel, in the parts that the middle is counted in.
        let twice = (parts > 0).then(|| (i128::from(whole) - length) * parts + 2 * middle)?;
        let start = (twice % (2 * parts) == 0).then(|| twice / (2 * parts))?;
        let inside = start >= 0 && start + length <= i128::from(whole);
        inside.then(|| Some((u32::try_from(start).ok()?, u32::try_from(length).ok()?)))?
    };
    let [w, wd, h, hd, x, xd, y, yd] = std::array::from_fn(|_| number());
    let (left, width) = edge(width, (w?, wd?), (x?, xd?))?;
    let (top, height) = edge(height, (h?, hd?), (y?, yd?))?;
    Some((left, top, width, height))
}
