//! `upweave watch`.

use super::{Chosen, Controls, Machine, Unfold, Writing, values::seconds};
use clap::{Args, ValueEnum, ValueHint};
use std::{path::PathBuf, time::Duration};

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
    #[command(flatten)]
    pub chosen: Chosen,
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
