use crate::files::{self, Encoder, Encoding, Format, OnExists, Strip, Writing};
use engine::{
    Blame, Cx, Failure, Forecast, In, Node, NodeResult, Shape, Shapes, Sink,
    digest::{Digest, Digester},
    filesystem::{Filesystem, OpenFile},
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    value::{File, Image, SampleDepth, Size, Type, Value},
};
use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

/// Bits per sample in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub(crate) enum Depth {
    /// Those of the file that the picture came from, as far as the format has them.
    #[default]
    Auto,
    /// 8 bits.
    Eight,
    /// 16 bits, where the format has them.
    Sixteen,
    /// 32-bit floating point, where the format has it (TIFF).
    Float,
}

engine::node! {
    /// Writes a picture to a file, and gives the bytes of the file.
    ///
    /// The file appears whole or not at all: it is written under another name in the same folder, flushed to the disk
    /// and renamed. Colour profile, EXIF, XMP, IPTC, resolution and the texts of PNG go along as far as the format has a
    /// place for them (PNG, JPEG and TIFF: all; WebP and JPEG XL: profile, EXIF, XMP); title, author, description, rights, source and software
    /// become XMP where there are no texts. Sizes in them are told anew, and small pictures of what was before are left out. 16 bits and alpha stay where the
    /// format has them, and what was read grey is written grey. Where a format has no alpha (JPEG, PNM, HDR) the picture is laid on white.
    /// Samples are rounded to the nearest step; what lies outside of 0 to 1 is cut. Pictures written as EXR or HDR are
    /// turned to linear light by the sRGB curve.
    pub struct Save, version 2 {
        /// Picture to write.
        image: In<Image>,
        /// The file, from the folder that the command runs in.
        #[schemars(extend("x-outside" = true))]
        path: String,
        /// Format of the file.
        format: Format = Format::Auto,
        /// Quality of JPEG, 1 (small) to 100 (good).
        #[schemars(range(min = 1, max = 100))]
        quality: u32 = 92,
        /// Quality of WebP, 1 (small) to 100 (good); without it nothing is lost, as in all other formats.
        #[schemars(range(min = 1, max = 100))]
        webp_quality: Option<u32>,
        /// Bits per sample.
        depth: Depth = Depth::Auto,
        /// Whether JPEG is written so that it shows roughly before it is all there, and mostly becomes smaller.
        progressive: bool = false,
        /// Leaves out colour profile, EXIF, XMP, IPTC, texts and resolution.
        strip_metadata: bool = false,
        /// Leaves out where the picture was taken.
        strip_gps: bool = false,
        /// A text that tells how the picture was made; `upweave run picture.png` reads it. Kept in PNG, JPEG, WebP, JPEG XL
        /// and TIFF files.
        recipe: Option<String>,
        /// A line that tells the same in the form of other programs (`parameters`), which their readers understand. Kept in
        /// PNG files, and in JPEG, WebP and JPEG XL files that have no EXIF of their own.
        parameters: Option<String>,
        /// What happens when the file is there already.
        #[schemars(extend("x-outside" = true))]
        on_exists: OnExists = OnExists::Overwrite,
    }
}

impl Save {
    fn format(&self) -> Result<Format, Failure> {
        match self.format {
            Format::Auto => Format::of(Path::new(&self.path)).ok_or_else(|| {
                Failure::new(Blame::Graph, format!("the ending of `{}` names no format that is written", self.path))
                    .at("path")
                    .hint("end it with .png, .jpg, .webp, .jxl, .tif, .bmp, .tga, .qoi, .ppm, .exr or .hdr, or set `format`")
            }),
            format => Ok(format),
        }
    }

    fn encoding(&self) -> NodeResult<Encoding> {
        Ok(Encoding {
            format: self.format()?,
            quality: self.quality.clamp(1, 100) as u8,
            webp_quality: self.webp_quality.map(|quality| quality.clamp(1, 100) as u8),
            depth: match self.depth {
                Depth::Auto => None,
                Depth::Eight => Some(SampleDepth::Eight),
                Depth::Sixteen => Some(SampleDepth::Sixteen),
                Depth::Float => Some(SampleDepth::Float),
            },
            strip: match (self.strip_metadata, self.strip_gps) {
                (true, _) => Strip::All,
                (false, true) => Strip::Gps,
                (false, false) => Strip::Nothing,
            },
            progressive: self.progressive,
            recipe: self.recipe.clone(),
            parameters: self.parameters.clone(),
        })
    }
}

/// A file that is written as the rows of the picture come.
struct Strips<'a> {
    encoder: Encoder<Box<dyn OpenFile>>,
    writing: Writing<'a>,
}

impl Strips<'_> {
    /// What went wrong, with the file and its bytes when that is the reason.
    fn told(&self, failure: Failure) -> Failure {
        match self.encoder.trouble() {
            Some(error) => self.writing.refused(&error),
            None => failure.at("path"),
        }
    }
}

impl Sink for Strips<'_> {
    fn strip(&mut self, strip: &Image) -> NodeResult<()> {
        let added = self.encoder.add(strip);
        added.map_err(|failure| self.told(failure))
    }

    fn finish(mut self: Box<Self>) -> NodeResult<Option<PathBuf>> {
        let ended = self.encoder.end();
        ended.map_err(|failure| self.told(failure))?;
        let Self { encoder, writing } = *self;
        writing.finish(encoder.into_inner()?).map(Some)
    }
}

impl Node for Save {
    type Out = File;
    const STREAMS: bool = true;

    fn check(&self) -> Vec<Failure> {
        if self.path.is_empty() {
            return vec![Failure::new(Blame::Graph, "no file is named").at("path").hint("set `path: \"result.png\"`")];
        }
        self.format().err().into_iter().collect()
    }

    fn outside(&self) -> NodeResult<Vec<Digest>> {
        // Where the file lies does not matter for its bytes, but its ending may tell the format.
        let mut d = Digester::new("format");
        d.u64(self.format()? as u64);
        Ok(vec![d.finish()])
    }

    fn forecast(&self, seen: &Shapes) -> Forecast {
        let picture = seen.first_picture().map_or(0, Shape::bytes);
        // The file, and the picture as the encoder takes it.
        Forecast { working_bytes: picture / 2, ..Forecast::of(Shape::Small(Type::File)) }
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<File> {
        let image = cx.get(&self.image)?;
        cx.checkpoint()?;
        let out = Cursor::new(Vec::new());
        let written = || {
            let mut encoder = Encoder::new(&image, image.size(), self.encoding()?, out)?;
            encoder.add(&image)?;
            encoder.end()?;
            Ok(File { bytes: encoder.into_inner()?.into_inner() })
        };
        written().map_err(|failure: Failure| failure.at("path"))
    }

    fn publish(&self, result: &[Value], files: &dyn Filesystem) -> NodeResult<Option<PathBuf>> {
        let Some(Value::File(file)) = result.first() else {
            return Err(Failure::internal("there is no file to write"));
        };
        files::write(files, Path::new(&self.path), self.on_exists, &file.bytes).map(Some)
    }

    fn sink<'a>(&self, frame: Size, first: &Image, files: &'a dyn Filesystem) -> NodeResult<Box<dyn Sink + 'a>> {
        let (writing, file) = Writing::begin(files, Path::new(&self.path), self.on_exists)?;
        let encoder = Encoder::new(first, frame, self.encoding()?, file).map_err(|failure| failure.at("path"))?;
        Ok(Box::new(Strips { encoder, writing }))
    }
}
