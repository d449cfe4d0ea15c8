//! `upweave run`.

use super::{Change, Files, Gather, Machine, Shown};
use clap::{Args, ValueHint};

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
