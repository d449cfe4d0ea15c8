//! What was typed. What it means is for [`job`](crate::job) to say.

mod models;

pub(crate) use models::{Models, ModelsVerb, Pull};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::{path::PathBuf, time::Duration};

const TEMPLATE: &str = "\
{about}

Examples:
  upweave upscale photo.jpg                          photo.x2.png beside it
  upweave upscale photo.jpg -s 4 -o big.png          four times as large
  upweave upscale old.jpg --quality low              clean noise and JPEG first
  upweave upscale art.png --type anime --creativity 0.5 --mask brush.png
  upweave upscale -r scans/ -o large/                a folder, mirrored
  upweave run my.ron photo=photo.jpg -o out.png      a graph of your own

{usage-heading} {usage}

{all-args}{after-help}
";

/// Enlarges a picture and weaves new detail into it
#[derive(Parser, Debug)]
#[command(name = "upweave", version, help_template = TEMPLATE, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 internal error, 2 wrong usage or graph, 3 an input failed, 4 refused by a\n\
    limit, 5 model missing or damaged, 6 out of disk or memory, 130 and 143 stopped by a signal.\n\
    `upweave VERB --help` tells more about a verb."
)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub talk: Talk,
    #[command(subcommand)]
    pub verb: Verb,
}

/// How much is said, and how.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Talk {
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more: which node took how long
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// One JSON event per line on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    #[arg(help = "Colours: auto, always or never; NO_COLOR is respected")]
    pub color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Enlarge pictures
    Upscale(Box<Upscale>),
    /// Run a graph
    Run(Box<Run>),
    /// Work on every picture that arrives in a folder, once
    Watch(Box<Watch>),
    /// Check, show and start graph files
    #[command(subcommand)]
    Graph(GraphVerb),
    /// List the kinds of nodes, or show the page of one
    Nodes {
        /// The kind to show
        name: Option<String>,
    },
    /// List models, fetch them, and bring your own along
    Models(Models),
    /// Look at what is kept of earlier runs, and remove it
    #[command(subcommand)]
    Cache(CacheVerb),
    /// Tell how a picture was made, by the recipe that it holds
    Inspect {
        /// The picture
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Print the table of limits
    Limits,
    /// Look whether everything works on this machine, or what is wrong with files
    Doctor {
        /// Pictures and graph files to look at
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        files: Vec<PathBuf>,
    },
    /// Measure how fast kernels and networks run on this machine
    Bench(Bench),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all verbs into a folder
    Man {
        /// Folder to write one page per verb into
        #[arg(value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// What to measure, as `--list` names it [default: everything]
    #[arg(value_name = "WORK")]
    pub works: Vec<String>,
    /// List what can be measured
    #[arg(long)]
    pub list: bool,
    /// Only in these numbers: f32 or bf16 [default: auto, both]
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub precision: Option<Numbers>,
    /// Runs of each work after one to warm up; long ones stop after 20 seconds
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub rounds: u16,
    /// Answer requests on stdin, one JSON object a line: {"work": "conv3x3-320-64", "precision": "bf16"}
    #[arg(long, conflicts_with_all = ["works", "list", "precision"])]
    pub serve: bool,
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

#[derive(Args, Debug)]
pub(crate) struct Upscale {
    /// Pictures, folders with `-r`, patterns in quotes such as 'scans/**/*.tif'; `-` is stdin
    #[arg(value_name = "PICTURE", value_hint = ValueHint::FilePath)]
    pub pictures: Vec<PathBuf>,

    #[command(flatten)]
    pub controls: Controls,

    /// Another graph: a shipped one by name, or a file
    #[arg(long, value_name = "NAME|FILE", help_heading = "Graph", default_value = "dynamic-upscale")]
    pub graph: String,
    #[command(flatten)]
    pub change: Change,

    #[command(flatten)]
    pub gather: Gather,
    #[command(flatten)]
    pub files: Files,
    /// The same as PICTURE; a folder stands for the pictures in it
    #[arg(short, long = "input", value_name = "PICTURE|FOLDER", help_heading = "Files")]
    pub input: Vec<PathBuf>,

    #[command(flatten)]
    pub shown: Shown,
    #[command(flatten)]
    pub machine: Machine,
    /// Model: a model file, a model that is kept by name, one of the types, or a shipped graph
    #[arg(short = 'n', long = "model-name", value_name = "NAME", help_heading = "Machine", allow_hyphen_values = true)]
    pub name: Option<String>,
    /// Device: only `auto` and `-1`, which both mean the CPU
    #[arg(short, long = "gpu", value_name = "ID", help_heading = "Machine", allow_hyphen_values = true)]
    pub gpu: Option<String>,
    /// Folder that `-n` names a model file in, without its ending
    #[arg(short = 'm', long = "model-folder", value_name = "FOLDER", help_heading = "Machine", value_hint = ValueHint::DirPath, requires = "name")]
    pub model_folder: Option<PathBuf>,
}

/// The controls. Those that a graph has are the names that it exposes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Controls")]
pub(crate) struct Controls {
    /// What the picture is [default: universal]
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "preset")]
    pub style: Option<Style>,
    /// low restores first (noise, JPEG, blur), high does not, auto measures [default: auto]
    #[arg(long, value_name = "QUALITY")]
    pub quality: Option<Quality>,
    /// Enlargement, 1 to 16, fractions allowed [default: 2]
    #[arg(short, long, value_name = "N", value_parser = within::<1, 16>, allow_negative_numbers = true)]
    pub scale: Option<f64>,
    /// How much may be reinvented, 0 to 1; 0 is the faithful answer alone
    #[arg(long, value_name = "N", value_parser = within::<0, 1>, allow_negative_numbers = true)]
    pub creativity: Option<f64>,
    /// Grey picture that scales creativity: white all of it, black none
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub mask: Option<PathBuf>,
    /// How strictly the structure is kept, 0 to 1
    #[arg(long, value_name = "N", value_parser = within::<0, 1>, allow_negative_numbers = true)]
    pub resemblance: Option<f64>,
    /// Strength of new detail, 0 to 1; 0.5 is natural
    #[arg(long, value_name = "N", value_parser = within::<0, 1>, allow_negative_numbers = true)]
    pub detail: Option<f64>,
    /// Leave faces as they are
    #[arg(hide_possible_values = true, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false", action = ArgAction::Set)]
    pub preserve_faces: Option<bool>,
    /// Leave hands as they are
    #[arg(hide_possible_values = true, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false", action = ArgAction::Set)]
    pub preserve_hands: Option<bool>,
    /// Same seed, same picture; `random` draws one and prints it [default: 0]
    #[arg(long, value_name = "N|random", value_parser = seed)]
    pub seed: Option<Seed>,
    /// Steps in which detail is sampled; more are finer and slower [default: 4, with Stable Diffusion 18]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub steps: Option<u32>,
    /// Numbers that the networks compute in: auto, f32 or bf16 [default: auto, the fastest]
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub precision: Option<Numbers>,
    /// Edge of the tiles that the networks work in; of the embedded ones it changes memory and time, never the picture
    #[arg(short, long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(0..=8192))]
    pub tile: Option<u32>,

    #[command(flatten)]
    pub drawing: Drawing,
}

/// What is said to Stable Diffusion.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Stable Diffusion")]
pub(crate) struct Drawing {
    /// What makes new detail: embedded, stable-diffusion, or auto, which is that where its checkpoint is installed [default: embedded]
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub backbone: Option<Backbone>,
    /// Checkpoint: a name, a file, or a folder of diffusers [default: sd15]
    #[arg(long, value_name = "NAME|FILE", value_hint = ValueHint::AnyPath)]
    pub checkpoint: Option<String>,
    /// What is wanted; (word:1.2) weighs a word
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// What is not wanted
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub negative_prompt: Option<String>,
}

/// Changes to a graph.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Graph")]
pub(crate) struct Change {
    /// A preset of the graph
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Set an exposed parameter, or any parameter as node.parameter; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
}

/// Which pictures are meant, where a folder, a pattern or a list stands for many.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Files")]
pub(crate) struct Gather {
    /// Take every picture in the folders given, and mirror them
    #[arg(short, long)]
    pub recursive: bool,
    /// Read the names of pictures from a file, one a line, or with NUL behind each; `-` is stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files_from: Option<PathBuf>,
    /// Of what folders, patterns and lists give, take only what matches: '*.jpg', 'holidays/**'; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Of what folders, patterns and lists give, leave out what matches; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    #[command(flatten)]
    pub unfold: Unfold,
    /// Stop at the first picture that fails
    #[arg(long)]
    pub fail_fast: bool,
}

/// What is taken of files that hold several pictures.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Files")]
pub(crate) struct Unfold {
    /// Take all frames of an animation (GIF, WebP, PNG, JPEG XL) and all pages of a TIFF, each as a picture of its own:
    /// photo.x2.f0001.png, or {frame} in a template; with `=3` or `=3-9` only those [default: the first]
    #[arg(long, value_name = "N|FROM-TO", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_parser = frames)]
    pub frames: Option<Frames>,
}

/// Which pictures of files that hold several, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frames {
    pub first: u32,
    pub last: u32,
}

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
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// A shipped graph by name, a graph file, or a picture that holds a recipe
    pub graph: String,
    /// What feeds the inputs of the graph: photo=photo.jpg; a bare file feeds the first. Of the first picture there may be
    /// many, and folders (`-r`) and patterns stand for many
    #[arg(value_name = "INPUT=VALUE", value_hint = ValueHint::FilePath)]
    pub inputs: Vec<String>,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub gather: Gather,
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub shown: Shown,
    #[command(flatten)]
    pub machine: Machine,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Beside `photo.jpg` the file `photo.ron` chooses graph and parameters for it, and `.upweave.ron` does so for a folder:\n\
    (graph: \"quick\", preset: \"anime\", set: { \"scale\": 4, \"detail\": 0.7 })"
)]
pub(crate) struct Watch {
    /// The folder to watch, with all folders in it
    #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
    /// Folder of the results, mirrored; it may lie inside the watched one
    #[arg(short, long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,

    /// Look every N seconds instead of waiting to be told of changes; done by itself on network file systems
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "5", value_parser = seconds)]
    pub poll: Option<Duration>,
    /// Seconds for which a file must not change before it counts as whole
    #[arg(long, value_name = "N", default_value = "2", value_parser = seconds)]
    pub settle: Duration,
    /// Look at everything every N seconds, whatever one is told of
    #[arg(long, value_name = "N", default_value = "60", value_parser = seconds)]
    pub rescan: Duration,
    /// What is done about files that are there at the start: process or ignore
    #[arg(long, value_name = "WHAT", default_value = "process", hide_possible_values = true)]
    pub existing: Existing,
    /// End once everything that is there is done
    #[arg(long)]
    pub once: bool,
    /// Move pictures to this folder once they are done [default: leave them]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub done: Option<PathBuf>,
    /// Move pictures that cannot be made to this folder [default: leave them]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub failed: Option<PathBuf>,
    /// File in which account is kept of what was done [default: .upweave-watch.jsonl among the results]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ledger: Option<PathBuf>,

    #[command(flatten)]
    pub controls: Controls,
    /// Another graph: a shipped one by name, or a file
    #[arg(long, value_name = "NAME|FILE", help_heading = "Graph", default_value = "dynamic-upscale")]
    pub graph: String,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub unfold: Unfold,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    pub machine: Machine,
}

/// What is done about files that are there before anybody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Existing {
    /// They are worked on, unless that was done before
    Process,
    /// They are left alone until they change
    Ignore,
}

#[derive(Subcommand, Debug)]
pub(crate) enum GraphVerb {
    /// Check graph files, and report every mistake at once
    Check {
        /// Shipped graphs by name, or files
        #[arg(required = true, value_name = "NAME|FILE")]
        graphs: Vec<String>,
        /// A preset of the graph
        #[arg(long, value_name = "NAME")]
        preset: Option<String>,
        /// Set a parameter first
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
        set: Vec<(String, String)>,
    },
    /// Show a graph: what it takes, gives and offers, and how its nodes are wired
    Show {
        /// A shipped graph by name, or a file
        graph: String,
        /// How
        #[arg(short, long, default_value = "text")]
        format: Picture,
    },
    /// Print a shipped graph to start from, or list them
    New {
        /// The graph to start from
        #[arg(long, value_name = "NAME")]
        from: Option<String>,
        /// File to write; never overwrites
        #[arg(short, long, value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum CacheVerb {
    /// Tell where it is and how much it holds
    Info(CachePlace),
    /// Read everything, and remove what is broken
    Verify(CachePlace),
    /// Remove what was not used for longest, until no more than SIZE is left
    Prune {
        /// What may stay, such as 1GiB [default: half of the most that is kept]
        #[arg(value_name = "SIZE", value_parser = size)]
        size: Option<u64>,
        #[command(flatten)]
        place: CachePlace,
    },
    /// Remove everything but what running jobs need
    Clear(CachePlace),
}

/// Which cache is meant.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CachePlace {
    /// The folder [default: that of the system]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
}

/// How a graph is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Picture {
    /// For reading
    Text,
    /// For Graphviz
    Dot,
    /// For Markdown pages
    Mermaid,
    /// A picture
    Svg,
}

/// What a picture is: one preset of the graph each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// Anything
    Universal,
    /// Photographs
    Realism,
    /// Drawn with lines and flat colours
    Anime,
    /// Painted thickly
    Impasto,
    /// Painted thinly on paper
    Watercolor,
}

impl Style {
    /// The name of its preset.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Universal => "universal",
            Self::Realism => "realism",
            Self::Anime => "anime",
            Self::Impasto => "impasto",
            Self::Watercolor => "watercolor",
        }
    }
}

/// What makes new detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backbone {
    /// Stable Diffusion where its checkpoint is installed, else the embedded models
    Auto,
    /// The models inside the program
    Embedded,
    /// Stable Diffusion
    StableDiffusion,
}

/// Whether damage is restored before detail is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Quality {
    /// Measure the damage and decide
    Auto,
    /// Restore
    Low,
    /// Do not restore
    High,
}

/// Where randomness starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seed {
    Given(u32),
    Random,
}

fn seed(text: &str) -> Result<Seed, String> {
    if text == "random" {
        return Ok(Seed::Random);
    }
    text.parse().map(Seed::Given).map_err(|_| format!("a seed is a whole number from 0 to {}, or `random`", u32::MAX))
}

/// `all`, a number or a range.
fn frames(text: &str) -> Result<Frames, String> {
    let (first, last) = match text.split_once('-') {
        _ if text == "all" => return Ok(Frames { first: 1, last: u32::MAX }),
        Some((first, last)) => (first.parse(), last.parse()),
        None => (text.parse(), text.parse()),
    };
    match (first, last) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Frames { first, last }),
        _ => Err("frames are counted from 1: --frames=3 or --frames=3-9".to_owned()),
    }
}

/// A time in seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.trim_end_matches('s').parse::<f64>() {
        Ok(number) if (0.0..=86_400.0).contains(&number) => Ok(Duration::from_secs_f64(number)),
        _ => Err("takes a number of seconds, at most a day".to_owned()),
    }
}

/// Four whole numbers.
fn rectangle(text: &str) -> Result<engine::value::Rect, String> {
    let numbers: Option<Vec<u32>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[x, y, width, height]) => Ok(engine::value::Rect { x, y, width, height }),
        _ => Err("a part is left edge, upper edge, width and height: 100,50,512,384".to_owned()),
    }
}

/// A number of bytes: 512MiB, 1.5G, 1000000.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 1u64,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => 0,
    };
    match digits.trim().parse::<f64>() {
        Ok(number) if factor > 0 && number >= 0.0 && number * (factor as f64) < 1e18 => {
            Ok((number * factor as f64) as u64)
        }
        _ => Err("a size is a number with MiB, GiB or TiB behind it".to_owned()),
    }
}

/// A number from `LOW` to `HIGH`. NaN is not a number.
fn within<const LOW: i32, const HIGH: i32>(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (f64::from(LOW)..=f64::from(HIGH)).contains(&number) => Ok(number),
        _ => Err(format!("takes a number from {LOW} to {HIGH}")),
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write it as name=value, or node.parameter=value".to_owned()),
    }
}

/// `N`, or `LOAD:WORK:SAVE` as realesrgan-ncnn has it.
fn threads(text: &str) -> Result<usize, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let work = match parts[..] {
        [one] => one,
        [_, work, _] if parts.iter().all(|part| part.parse::<usize>().is_ok()) => {
            work.split(',').next().unwrap_or(work)
        }
        _ => "",
    };
    match work.parse() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err("takes a number of threads from 1 to 1024, or LOAD:WORK:SAVE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_on_a_page() {
        let help = Cli::command().render_help().to_string();
        assert!(help.lines().count() <= 60, "{} lines", help.lines().count());
        assert!(help.find("Examples:") < help.find("Usage:"));
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for text in ["NaN", "inf", "-inf", "1.01", "-0.1", "x", ""] {
            assert!(within::<0, 1>(text).is_err(), "{text}");
        }
        assert_eq!(within::<0, 1>("0.25"), Ok(0.25));
    }

    #[test]
    fn frames_in_all_forms() {
        assert_eq!(frames("3"), Ok(Frames { first: 3, last: 3 }));
        assert_eq!(frames("3-9"), Ok(Frames { first: 3, last: 9 }));
        for text in ["0", "3-2", "-", "-3", "x", ""] {
            assert!(frames(text).is_err(), "{text}");
        }
    }

    #[test]
    fn threads_in_both_forms() {
        assert_eq!(threads("2"), Ok(2));
        assert_eq!(threads("1:4:2"), Ok(4));
        for text in ["0", "1:2", "a", "1:x:2", ""] {
            assert!(threads(text).is_err(), "{text}");
        }
    }

    #[test]
    fn letters_of_realesrgan_ncnn_are_known() {
        let typed = "upweave upscale -i a.jpg -o b.png -s 4 -t 0 -n anime -g -1 -j 1:2:2 -f png";
        let cli = Cli::try_parse_from(typed.split(' ')).expect("all letters are known");
        let Verb::Upscale(upscale) = cli.verb else { panic!("not upscale") };
        assert_eq!((upscale.controls.scale, upscale.machine.threads), (Some(4.0), Some(2)));
        assert_eq!(upscale.gpu.as_deref(), Some("-1"));
    }
}
