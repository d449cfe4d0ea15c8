//! `upweave upscale`.

use super::{Chosen, Controls, Files, Gather, Machine, Shown};
use clap::{Args, ValueHint};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct Upscale {
    /// Pictures, folders with `-r`, patterns in quotes such as 'scans/**/*.tif'; `-` is stdin
    #[arg(value_name = "PICTURE", value_hint = ValueHint::FilePath)]
    pub pictures: Vec<PathBuf>,

    #[command(flatten)]
    pub controls: Controls,

    #[command(flatten)]
    pub chosen: Chosen,

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
    /// Folder that `-n` names a model file in, without its ending
    #[arg(short = 'm', long = "model-folder", value_name = "FOLDER", help_heading = "Machine", value_hint = ValueHint::DirPath, requires = "name")]
    pub model_folder: Option<PathBuf>,
}
