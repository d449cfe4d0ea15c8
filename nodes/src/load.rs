use crate::{files, limits::Limits};
use engine::{
    Forecast, Node, NodeResult, Shape, Shapes,
    digest::Digest,
    value::{Image, Type},
};

engine::node! {
    /// Reads a picture from a file.
    ///
    /// PNG, JPEG, JPEG XL, AVIF, WebP, TIFF, BMP, GIF, PNM, TGA, QOI, EXR, HDR and ICO are read; the content tells the format, not the
    /// name. Of several pictures in one file the first is taken, unless `frame` asks for another. The colours stay in the picture's own RGB, and its
    /// colour profile, EXIF, XMP, IPTC, texts, resolution and bit depth travel along to `Save`. The picture is turned the way that
    /// EXIF says it is meant to be seen, and the EXIF that travels along then says that it stands upright. Grey pictures
    /// become RGB and are written grey again. The linear light of EXR and HDR files is cut at white and encoded with the
    /// sRGB curve; CMYK is turned to RGB.
    ///
    /// What is too large is refused by its header, before any memory is spent on it: pixels, file, metadata once it is
    /// inflated, frames of an animation.
    pub struct Load, version 2 {
        /// The file, from the folder that the command runs in.
        #[schemars(extend("x-outside" = true))]
        path: String,
        /// Which of several pictures in the file: the frame of an animation, as it is seen on those before it, or the page of
        /// a document, counted from 1. 0 is the picture that is seen where nothing moves.
        frame: u32 = 0,
        /// What is refused: `(input_pixels: .., output_pixels: .., file_bytes: .., metadata_bytes: .., frames: ..,
        /// decode_seconds: ..)`, each a number or `None` for no limit.
        limits: Limits,
    }
}

impl Node for Load {
    type Out = Image;

    fn outside(&self) -> NodeResult<Vec<Digest>> {
        Ok(vec![files::digest(&self.path, &self.limits)?])
    }

    fn forecast(&self, _: &Shapes) -> Forecast {
        let shape = files::probe_frame(&self.path, &self.limits, self.frame)
            .map_or(Shape::Unknown(Type::Image), |header| Shape::Image(header.size, header.channels));
        // Beside the planes: the file, and its pixels as the decoder gives them.
        let working_bytes = shape.bytes() / 2;
        Forecast { working_bytes, ..Forecast::of(shape) }
    }

    fn run(&self, cx: &mut engine::Cx<'_>) -> NodeResult<Image> {
        cx.checkpoint()?;
        files::read(&self.path, &self.limits, self.frame)
    }
}
