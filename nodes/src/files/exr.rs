//! Writing OpenEXR. The encoder of the `image` crate puts blocks into the file in the order in which its threads finish them,
//! so that the same picture would have other bytes each time; here they have their order.

use super::encode::full;
use engine::{Blame, Failure, NodeResult, value::Size};
use exr::{
    error::Error,
    image::{Encoding, Image, SpecificChannels, write::WritableImage},
    math::Vec2,
    meta::attribute::LineOrder,
};
use std::io::{Seek, Write};

/// Writes interleaved samples of linear light, with alpha or without.
///
/// # Errors
/// When the file takes no more.
pub(super) fn write(bytes: &[u8], size: Size, alpha: bool, out: impl Write + Seek) -> NodeResult<()> {
    let (width, height) = (size.width as usize, size.height as usize);
    let stride = if alpha { 16 } else { 12 };
    let sample = |pixel: Vec2<usize>, channel: usize| {
        let at = pixel.flat_index_for_size(Vec2(width, height)) * stride + 4 * channel;
        f32::from_ne_bytes(std::array::from_fn(|byte| bytes[at + byte]))
    };
    let ordered = Encoding { line_order: LineOrder::Increasing, ..Encoding::FAST_LOSSLESS };
    let written = if alpha {
        let pixel = |at| (sample(at, 0), sample(at, 1), sample(at, 2), sample(at, 3));
        let mut image = Image::from_channels((width, height), SpecificChannels::rgba(pixel));
        image.layer_data.encoding = ordered;
        image.write().to_buffered(out)
    } else {
        let pixel = |at| (sample(at, 0), sample(at, 1), sample(at, 2));
        let mut image = Image::from_channels((width, height), SpecificChannels::rgb(pixel));
        image.layer_data.encoding = ordered;
        image.write().to_buffered(out)
    };
    written.map_err(|error| match error {
        Error::Io(error) => full(&error),
        error => Failure::new(Blame::Internal, format!("cannot write OpenEXR: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn the_same_picture_has_the_same_bytes() {
        // Many blocks of 64 x 64 pixels.
        let size = Size::new(500, 400);
        for alpha in [false, true] {
            let samples = size.pixels() * if alpha { 4 } else { 3 };
            let bytes: Vec<u8> = (0..samples).flat_map(|i| ((i * i % 977) as f32 / 977.0).to_ne_bytes()).collect();
            let file = || {
                let mut file = Cursor::new(Vec::new());
                write(&bytes, size, alpha, &mut file).unwrap();
                file.into_inner()
            };
            let first = file();
            for _ in 0..8 {
                assert!(file() == first);
            }
            let back = image::load_from_memory(&first).unwrap();
            let back = if alpha { back.to_rgba32f().into_raw() } else { back.to_rgb32f().into_raw() };
            assert!(back.iter().flat_map(|sample| sample.to_ne_bytes()).eq(bytes));
        }
    }
}
