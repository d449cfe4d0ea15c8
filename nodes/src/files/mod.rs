//! Reading and writing picture files: all that `Load`, `MaskLoad` and `Save` have in common, and the only place in this
//! crate that touches the disk.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is where files are read and written")]

mod alpha;
mod avif;
mod boxes;
mod carry;
mod claims;
mod decode;
mod encode;
mod exif;
mod exr;
mod fields;
mod frames;
mod gif;
mod iptc;
mod jpeg;
mod jxl;
pub(crate) mod painting;
mod pixels;
mod places;
mod png;
mod remembered;
mod tags;
#[cfg(test)]
mod tests;
mod texts;
mod tiff;
mod turn;
mod webp;
pub(crate) mod weights;
mod write;
mod xmp;

pub use places::{Fetchable, Placed, Places, Purpose, contents, is_model_name, keep_models_in, locate, missing};
pub use weights::{MODEL_ENDINGS, MOST_MODEL_BYTES, ModelFile, place};

pub(crate) use carry::Strip;
pub(crate) use encode::{Encoder, Encoding, Format};
pub(crate) use places::{has_own, how};
pub(crate) use weights::{detector, detector_digest, network, network_digest};
pub(crate) use write::{OnExists, Writing, write};

use crate::limits::Limits;
use engine::{
    Blame, Failure, NodeResult,
    digest::Digest,
    value::{Image, Size},
};
use std::{fs::File, io, io::Read, path::Path};

/// What a picture file says in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Width and height as shown, with the orientation applied.
    pub size: Size,
    /// 3 for RGB, 4 when there is an alpha plane.
    pub channels: usize,
    /// Whether it is made of four inks, which become RGB.
    pub inks: bool,
    /// How many pictures it holds: the frames of an animation, or pages.
    pub frames: u32,
}

/// Reads the header of a picture file, and checks it against the limits.
///
/// # Errors
/// When there is no such file, it is no picture, or it is larger than the limits allow.
pub fn probe(path: &str, limits: &Limits) -> NodeResult<Header> {
    probe_frame(path, limits, 0)
}

/// As [`probe`], of a frame of an animation or a page, counted from 1. Frame 0 is the picture that is seen where nothing moves.
///
/// # Errors
/// As [`probe`], and when there is no such page.
pub fn probe_frame(path: &str, limits: &Limits, frame: u32) -> NodeResult<Header> {
    decode::header(path, &bytes(path, limits)?, limits, frame)
}

/// Reads a picture file; of a file that holds several, the frame or page of that number, counted from 1. Frame 0 is the
/// picture that is seen where nothing moves.
///
/// # Errors
/// When there is no such file or frame, it is no picture, it is broken, or it is larger than the limits allow.
pub fn read(path: &str, limits: &Limits, frame: u32) -> NodeResult<Image> {
    decode::image(path, &bytes(path, limits)?, limits, frame)
}

/// Decodes the bytes of a picture file. Errors call it `name`, whose ending tells the formats that have no signature.
///
/// # Errors
/// As [`read`].
pub fn decode(name: &str, bytes: &[u8], limits: &Limits, frame: u32) -> NodeResult<Image> {
    limits.check_file(name, bytes.len() as u64)?;
    decode::image(name, bytes, limits, frame)
}

/// The recipe (graph, parameters, seed) that `Save` wrote into a picture file; `None` when there is none. The text is
/// whatever the file says: parse it as untrusted.
///
/// # Errors
/// When there is no such file, or it is larger than the limits allow.
pub fn recipe(path: &str, limits: &Limits) -> NodeResult<Option<String>> {
    let (file, _) = open(path, limits)?;
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head).map_err(|error| unreadable(path, &error))?;
    // TIFF, WebP and JPEG XL may keep it behind the pixels.
    let known = [png::is_png, jpeg::is_jpeg, exif::is_tiff, webp::is_webp, jxl::is_jxl].iter().any(|is| is(&head));
    let whole = !known || (head.len() as u64) < HEAD || png::reaches_pixels(&head) || jpeg::reaches_pixels(&head);
    let bytes = if whole { head } else { bytes(path, limits)? };
    let packet = || {
        let found = exif::xmp(&bytes).or_else(|| webp::xmp(&bytes)).or_else(|| jxl::xmp(&bytes));
        found.and_then(|packet| xmp::recipe(&String::from_utf8(packet).ok()?))
    };
    Ok(png::recipe(&bytes).or_else(|| jpeg::recipe(&bytes)).or_else(packet))
}

/// What stands before the pixels mostly fits into so many bytes.
const HEAD: u64 = 1 << 20;

/// Digest of the content of a picture file that the limits allow. Asked before anything runs, it is what refuses a picture
/// at once.
///
/// # Errors
/// As [`probe`].
pub fn digest(path: &str, limits: &Limits) -> NodeResult<Digest> {
    let bytes = bytes(path, limits)?;
    decode::header(path, &bytes, limits, 0)?;
    Ok(Digest(*blake3::hash(&bytes).as_bytes()))
}

fn open(path: &str, limits: &Limits) -> NodeResult<(File, u64)> {
    if path.is_empty() {
        return Err(Failure::new(Blame::Graph, "no file is named").at("path").hint("set `path: \"picture.png\"`"));
    }
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let about = file.metadata().map_err(|error| unreadable(path, &error))?;
    if about.is_dir() {
        return Err(Failure::input(format!("`{path}` is a folder, not a picture file"))
            .at("path")
            .hint("name a file, or work through the folder with `upweave upscale -r`"));
    }
    if about.is_file() && about.len() == 0 {
        return Err(Failure::input(format!("`{path}` is empty")).at("path").hint("copy or download the file again"));
    }
    limits.check_file(path, about.len()).map_err(|failure| failure.at("path"))?;
    Ok((file, about.len()))
}

fn bytes(path: &str, limits: &Limits) -> NodeResult<Vec<u8>> {
    let (file, length) = open(path, limits)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX)).map_err(|_| {
        Failure::new(Blame::Memory, format!("there is no memory to read `{path}`")).hint("close other programs")
    })?;
    // A pipe or a growing file tells no length beforehand: the limit holds for what really comes.
    let most = limits.file_bytes.unwrap_or(u64::MAX);
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    limits.check_file(path, bytes.len() as u64).map_err(|failure| failure.at("path"))?;
    if bytes.is_empty() {
        return Err(Failure::input(format!("`{path}` is empty")).at("path"));
    }
    Ok(bytes)
}

fn unreadable(path: &str, error: &io::Error) -> Failure {
    let failure = match error.kind() {
        io::ErrorKind::NotFound => {
            let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists());
            match folder {
                Some(folder) => {
                    Failure::input(format!("no such file `{path}`: there is no folder `{}`", folder.display()))
                }
                None => Failure::input(format!("no such file `{path}`")),
            }
            .hint("check the spelling; paths start from the folder that the command runs in")
        }
        io::ErrorKind::PermissionDenied => {
            Failure::input(format!("`{path}` may not be read")).hint("check the permissions of the file")
        }
        io::ErrorKind::IsADirectory => Failure::input(format!("`{path}` is a folder, not a picture file")),
        _ => Failure::input(format!("`{path}` cannot be read: {error}")),
    };
    failure.at("path")
}
