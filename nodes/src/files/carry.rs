//! What of a picture's metadata goes along into a file, and is true of the new picture.

use super::{
    encode::{Encoding, Format},
    tags::{self, Tags},
    xmp,
};
use engine::value::{Metadata, Size};

/// How much is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Strip {
    /// Nothing.
    #[default]
    Nothing,
    /// Where the picture was taken.
    Gps,
    /// Everything.
    All,
}

/// With how the picture was made, where the format keeps that among the metadata, and with texts where XMP is their only
/// place.
pub(super) fn with_origin(mut metadata: Metadata, how: &Encoding) -> Metadata {
    let packet = |metadata: &Metadata| metadata.xmp.clone().and_then(|packet| String::from_utf8(packet).ok());
    if matches!(how.format, Format::Jpeg | Format::WebP | Format::Jxl | Format::Tiff)
        && let Some(told) = xmp::with_texts(packet(&metadata).as_deref(), &metadata.texts)
    {
        metadata.xmp = Some(told.into_bytes());
    }
    let place = matches!(how.format, Format::Auto | Format::Png | Format::WebP | Format::Jxl | Format::Tiff);
    if let Some(recipe) = how.recipe.as_ref().filter(|_| place) {
        metadata.xmp = Some(xmp::with_recipe(packet(&metadata).as_deref(), recipe).into_bytes());
    }
    match (&how.parameters, how.format) {
        (Some(line), Format::Auto | Format::Png) => {
            // How the picture that was enlarged was made stays where readers look for it.
            let taken = metadata.texts.iter().any(|(keyword, _)| keyword == "parameters");
            let keyword = if taken { "postprocessing" } else { "parameters" };
            metadata.texts.retain(|(other, _)| other != keyword);
            metadata.texts.push((keyword.to_owned(), line.clone()));
        }
        (Some(line), Format::Jpeg | Format::WebP | Format::Jxl) => {
            metadata.exif.get_or_insert_with(|| tags::comment(line));
        }
        _ => {}
    }
    metadata
}

/// The metadata of a picture that now has this size.
pub(super) fn fitting(metadata: &Metadata, size: Size, strip: Strip) -> Metadata {
    if strip == Strip::All {
        let Metadata { depth, grey, jpeg_quality, .. } = *metadata;
        return Metadata { depth, grey, jpeg_quality, ..Metadata::default() };
    }
    let mut metadata = metadata.clone();
    if let Some(mut tags) = metadata.exif.as_deref_mut().and_then(Tags::new) {
        tags.set_size(size);
        tags.drop_thumbnail();
        if strip == Strip::Gps {
            tags.drop_gps();
        }
    }
    // What is not UTF-8 is XMP of a kind that nobody writes any more: it stays as it is, unless it might tell too much.
    let packet = metadata.xmp.take();
    metadata.xmp = packet.and_then(|packet| match std::str::from_utf8(&packet) {
        Ok(text) => {
            let text = xmp::fitting(text, size);
            Some(if strip == Strip::Gps { xmp::without_gps(&text) } else { text }.into_bytes())
        }
        Err(_) => (strip != Strip::Gps).then_some(packet),
    });
    metadata
}
