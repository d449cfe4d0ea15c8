//! How the machine is used, and what is shown.

use super::values::{gpu, rectangle, size, threads};
use clap::{Args, ValueEnum, ValueHint};
use std::path::PathBuf;

/// How the machine is used.
#[derive(Args, Debug)]
#[command(next_help_heading = "Machine")]
pub(crate) struct Machine {
    /// Limits on what is read and made: local, server or unlimited
    #[arg(long, value_name = "PROFILE", default_value = "local")]
    pub limits: String,
    /// Most pixels of an input picture
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_input_pixels: Option<u64>,
    /// Most pixels of an output picture
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_output_pixels: Option<u64>,
    /// Most bytes of an input file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_file_bytes: Option<u64>,
    /// Most bytes of a block of metadata in it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_metadata_bytes: Option<u64>,
    /// Most frames of an animation, or pages of a document
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_frames: Option<u64>,
    /// Folder in which results are kept, so that nothing is computed twice [default: that of the system]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, conflicts_with = "no_cache")]
    pub cache: Option<PathBuf>,
    /// Keep nothing and look nothing up
    #[arg(long)]
    pub no_cache: bool,
    /// Most that is kept, such as 5GiB [default: 20GiB or a tenth of the free disk]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub cache_size: Option<u64>,
    /// Most memory that is used, such as 4GiB: larger pictures are made in strips [default: 70 % of what is available]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
    /// Make no connection; this verb makes none anyway, since only `upweave models pull` does
    #[arg(long)]
    pub offline: bool,
    /// Threads; of LOAD:WORK:SAVE the middle counts [default: all cores]
    #[arg(short = 'j', long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// Graphics processor, counted from 0; -1 is none, auto the first where the program was built for them
    #[arg(short, long, value_name = "ID", value_parser = gpu, default_value = "auto", allow_hyphen_values = true)]
    pub gpu: Gpu,
}

/// A graphics processor to compute on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gpu {
    /// The first one, where the program was built for any.
    Auto,
    /// The processor computes.
    None,
    /// This one.
    Number(usize),
}

/// What is shown instead of the results, or beside them.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Machine")]
pub(crate) struct Shown {
    /// Show what would be done, how large, how long; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Only this part of the result, in its pixels: left edge, upper edge, width, height
    #[arg(long, value_name = "X,Y,W,H", value_parser = rectangle)]
    pub preview: Option<engine::value::Rect>,
    /// Tell of every node why it ran or did not
    #[arg(long, conflicts_with_all = ["dry_run", "no_cache"])]
    pub explain: bool,
}

/// The numbers that networks compute in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Numbers {
    /// What is fastest here
    Auto,
    /// 32 bits
    F32,
    /// The upper half of it, with sums in f32
    Bf16,
}
