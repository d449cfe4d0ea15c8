//! What was typed. What it means is for [`job`](crate::job) to say.
//!
//! One file per verb; what several verbs share is in `controls.rs`, `change.rs`, `gather.rs`, `files.rs` and `machine.rs`.

mod bench;
mod cache;
mod change;
mod controls;
mod files;
mod gather;
mod graph;
mod machine;
mod models;
mod run;
mod upscale;
mod values;
mod watch;

pub(crate) use bench::Bench;
pub(crate) use cache::{CachePlace, CacheVerb};
pub(crate) use change::{Change, Chosen};
pub(crate) use controls::{Backbone, Controls, Drawing, Quality, Seed, Style};
pub(crate) use files::{Bits, Files, OnExists, StripMetadata, Writing};
pub(crate) use gather::{Frames, Gather, Unfold};
pub(crate) use graph::{GraphVerb, Picture};
pub(crate) use machine::{Gpu, Machine, Numbers, Shown};
pub(crate) use models::{Models, ModelsVerb, Pull};
pub(crate) use run::Run;
pub(crate) use upscale::Upscale;
pub(crate) use watch::{Existing, Watch};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

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
    fn letters_of_realesrgan_ncnn_are_known() {
        let typed = "upweave upscale -i a.jpg -o b.png -s 4 -t 0 -n anime -g -1 -j 1:2:2 -f png";
        let cli = Cli::try_parse_from(typed.split(' ')).expect("all letters are known");
        let Verb::Upscale(upscale) = cli.verb else { panic!("not upscale") };
        assert_eq!((upscale.controls.scale, upscale.machine.threads), (Some(4.0), Some(2)));
        assert_eq!(upscale.machine.gpu, Gpu::None);
    }
}
