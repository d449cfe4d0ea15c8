//! Writing JPEG XL without loss. The pixels are packed by an encoder that knows no profiles and only 8 bits of alpha, so what
//! stands before them is written here.

use super::{
    super::{encode::full, pixels::Layout},
    SIGNATURE,
    header::{Kind, header},
};
use engine::{
    Failure, NodeResult, contain,
    value::{Metadata, SampleDepth, Size},
};
use jxl_bitstream::Bitstream;
use jxl_oxide::{ColorEncodingWithProfile, ImageHeader};
use jxl_oxide_common::Bundle;
use std::io::Write;
use zune_core::{bit_depth::BitDepth, colorspace::ColorSpace, options::EncoderOptions};
use zune_jpegxl::JxlSimpleEncoder;

/// The shortest edge that the encoder knows what to do with.
pub(in crate::files) const SHORTEST_EDGE: u32 = 2;

/// Writes a picture whose samples are in the order of this machine.
pub(in crate::files) fn write(
    bytes: &[u8],
    meta: &Metadata,
    icc: Option<&Vec<u8>>,
    size: Size,
    layout: Layout,
    mut out: impl Write,
) -> NodeResult<()> {
    let failed = |error: &dyn std::fmt::Display| Failure::internal(format!("cannot write JPEG XL: {error}"));
    let sixteen = layout.depth != SampleDepth::Eight;
    let colours = match (layout.grey, layout.alpha) {
        (true, false) => ColorSpace::Luma,
        (true, true) => ColorSpace::LumaA,
        (false, false) => ColorSpace::RGB,
        (false, true) => ColorSpace::RGBA,
    };
    let depth = if sixteen { BitDepth::Sixteen } else { BitDepth::Eight };
    let how = EncoderOptions::new(size.width as usize, size.height as usize, colours, depth)
        .set_num_threads(u8::try_from(rayon::current_num_threads()).unwrap_or(u8::MAX));
    let mut packed = Vec::new();
    JxlSimpleEncoder::new(bytes, how)
        .encode(&mut packed)
        .map_err(|error| failed(&format!("{error:?}").to_lowercase()))?;
    // Frames begin with a whole byte.
    let mut stream = Bitstream::new(&packed);
    ImageHeader::parse(&mut stream, ()).map_err(|error| failed(&error))?;
    let frames = packed.get(stream.num_read_bits().div_ceil(8)..).unwrap_or_default();

    // Readers refuse the whole file for a profile that is broken.
    let whole = |icc: &&[u8]| contain(|| ColorEncodingWithProfile::with_icc(icc).is_ok()).unwrap_or(false);
    let icc = icc.map(Vec::as_slice).filter(whole);
    let head = header(Kind { size, grey: layout.grey, alpha: layout.alpha, sixteen, icc });
    let exif = meta.exif.as_ref().map(|exif| [&[0; 4], exif.as_slice()].concat());
    let beside = [(b"Exif", exif.as_deref()), (b"xml ", meta.xmp.as_deref())];
    let mut file = SIGNATURE.to_vec();
    put(&mut file, b"ftyp", b"jxl \0\0\0\0jxl ");
    if sixteen || size.width.max(size.height) > 1 << 18 || size.area() > 1 << 28 {
        // What needs more than 16 bits to compute in, or is very large, is of the tenth level.
        put(&mut file, b"jxll", &[10]);
    }
    for (name, data) in beside {
        if let Some(data) = data {
            put(&mut file, name, data);
        }
    }
    // The last box goes to the end of the file, so it may be of any length.
    file.extend(0u32.to_be_bytes());
    file.extend(b"jxlc");
    [&file, &head, frames].into_iter().try_for_each(|part| out.write_all(part)).map_err(|error| full(&error))
}

/// Adds a box. What does not fit into one is left out.
fn put(file: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    if let Ok(length) = u32::try_from(data.len() + 8) {
        file.extend(length.to_be_bytes());
        file.extend(name);
        file.extend(data);
    }
}
