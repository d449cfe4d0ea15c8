//! Writing TIFF: deflated, with what TIFF has tags for.

use super::{encode::full, fields::Fields, pixels::Layout};
use bytemuck::Pod;
use engine::{
    Failure, NodeResult,
    value::{Metadata, SampleDepth, Size},
};
use std::{
    borrow::Cow,
    io::{Seek, Write},
};
use tiff::{
    TiffError, TiffResult,
    encoder::{
        Compression, DeflateLevel, ImageEncoder, Predictor, Rational, TiffEncoder, TiffKindStandard, TiffValue,
        colortype::{self, ColorType},
    },
    tags::{ResolutionUnit, Tag},
};

const XMP: Tag = Tag::Unknown(700);
const IPTC: Tag = Tag::Unknown(33_723);

/// Writes a picture whose samples are in the order of this machine.
pub(super) fn write(
    bytes: &[u8],
    meta: &Metadata,
    icc: Option<&Vec<u8>>,
    size: Size,
    layout: Layout,
    out: impl Write + Seek,
) -> NodeResult<()> {
    let file = File { meta, icc, size, out };
    let written = match (layout.depth, layout.grey, layout.alpha) {
        (SampleDepth::Eight, true, _) => file.of::<colortype::Gray8>(bytes),
        (SampleDepth::Eight, false, false) => file.of::<colortype::RGB8>(bytes),
        (SampleDepth::Eight, false, true) => file.of::<colortype::RGBA8>(bytes),
        (SampleDepth::Sixteen, true, _) => file.of::<colortype::Gray16>(&samples(bytes)),
        (SampleDepth::Sixteen, false, false) => file.of::<colortype::RGB16>(&samples(bytes)),
        (SampleDepth::Sixteen, false, true) => file.of::<colortype::RGBA16>(&samples(bytes)),
        (SampleDepth::Float, _, false) => file.of::<colortype::RGB32Float>(&samples(bytes)),
        (SampleDepth::Float, _, true) => file.of::<colortype::RGBA32Float>(&samples(bytes)),
    };
    written.map_err(|error| match error {
        TiffError::IoError(error) => full(&error),
        error => Failure::internal(format!("cannot write TIFF: {error}")),
    })
}

/// Bytes as the samples that they are; copied only where they do not lie as samples must.
fn samples<T: Pod>(bytes: &[u8]) -> Cow<'_, [T]> {
    bytemuck::try_cast_slice(bytes).map_or_else(|_| Cow::Owned(bytemuck::pod_collect_to_vec(bytes)), Cow::Borrowed)
}

struct File<'a, W> {
    meta: &'a Metadata,
    icc: Option<&'a Vec<u8>>,
    size: Size,
    out: W,
}

impl<W: Write + Seek> File<'_, W> {
    fn of<C: ColorType>(self, data: &[C::Inner]) -> TiffResult<()>
    where
        [C::Inner]: TiffValue,
    {
        let Self { meta, icc, size, out } = self;
        // Differences of floating point numbers are of no use.
        let whole = !matches!(C::SAMPLE_FORMAT, [tiff::tags::SampleFormat::IEEEFP, ..]);
        let mut encoder = TiffEncoder::new(out)?
            .with_compression(Compression::Deflate(DeflateLevel::Balanced))
            .with_predictor(if whole { Predictor::Horizontal } else { Predictor::None });
        let fields = meta.exif.as_deref().and_then(Fields::of).unwrap_or_default();
        let told = fields.write(&mut encoder)?;
        let mut image: ImageEncoder<'_, _, C, TiffKindStandard> = encoder.new_image(size.width, size.height)?;
        if let Some((x, y)) = meta.dpi {
            let ratio =
                |dpi: f64| Rational { n: (dpi * 1000.0).round().clamp(1.0, f64::from(u32::MAX)) as u32, d: 1000 };
            image.resolution_unit(ResolutionUnit::Inch);
            image.x_resolution(ratio(x));
            image.y_resolution(ratio(y));
        }
        for (tag, block) in [(Tag::IccProfile, icc), (XMP, meta.xmp.as_ref()), (IPTC, meta.iptc.as_ref())] {
            if let Some(block) = block {
                image.encoder().write_tag(tag, block.as_slice())?;
            }
        }
        told.write(image.encoder())?;
        image.write_data(data)
    }
}
