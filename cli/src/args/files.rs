//! Where results go, and how they are written.

use clap::{Args, ValueEnum, ValueHint};

/// Where results go.
#[derive(Args, Debug)]
#[command(next_help_heading = "Files")]
pub(crate) struct Files {
    /// Picture to write, or folder, or template such as {dir}/{stem}.{scale}x.{ext}; `-` is stdout. Also {inside} {type}
    /// {seed} {hash8} {date} {frame}: folder inside the one that was named, type, seed, start of the digest of the picture,
    /// today, number in an animation
    #[arg(short, long, value_name = "FILE|FOLDER", value_hint = ValueHint::AnyPath)]
    pub output: Vec<String>,
    #[command(flatten)]
    pub writing: Writing,
}

/// How results are written.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Files")]
pub(crate) struct Writing {
    /// File format: png, jpg, webp, tiff, ... [default: png, or by the name of the output]
    #[arg(short, long, value_name = "EXT")]
    pub format: Option<String>,
    /// When the output is already there: rename (photo.x2-1.png), skip, overwrite or error [default: skip when it was
    /// made from the same picture in the same way, else rename]
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub on_exists: Option<OnExists>,
    /// Leave out all metadata; with `=gps` only where the picture was taken
    #[arg(long, value_name = "gps|all", num_args = 0..=1, require_equals = true, default_missing_value = "all", hide_possible_values = true)]
    pub strip_metadata: Option<StripMetadata>,
    /// Quality of JPEG, 1 (small) to 100 (good) [default: 92]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub jpeg_quality: Option<u32>,
    /// Write WebP with losses, of a quality from 1 (small) to 100 (good) [default: lossless]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub webp_quality: Option<u32>,
    /// Write JPEG so that it shows roughly before it is all there
    #[arg(long)]
    pub progressive: bool,
    /// Bits per sample: 8, 16 or 32 (TIFF) [default: those of the picture, as far as the format has them]
    #[arg(long, value_name = "BITS", hide_possible_values = true)]
    pub depth: Option<Bits>,
    /// Leave out the recipe, which tells how the picture was made
    #[arg(long)]
    pub no_recipe: bool,
}

/// What of the metadata is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StripMetadata {
    /// Where the picture was taken
    Gps,
    /// All
    All,
}

/// Bits per sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bits {
    /// 8
    #[value(name = "8")]
    Eight,
    /// 16
    #[value(name = "16")]
    Sixteen,
    /// 32, floating point
    #[value(name = "32")]
    Float,
}

/// What to do about an output that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnExists {
    /// Write beside it, as photo.x2-1.png
    Rename,
    /// Leave it and do nothing
    Skip,
    /// Replace it
    Overwrite,
    /// Count it as a failure
    Error,
}
