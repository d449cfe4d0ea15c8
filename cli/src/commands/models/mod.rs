//! `upweave models`: what there is, and how to bring more along. A file for each of its verbs.

mod import;
mod list;
mod path;
mod pull;
mod rm;
mod scan;
mod verify;

use crate::{
    args::{Models, ModelsVerb},
    stop::Stop,
    terminal::Terminal,
};

pub(crate) fn run(terminal: &Terminal, args: &Models) -> u8 {
    match &args.verb {
        ModelsVerb::List => list::run(terminal),
        ModelsVerb::Pull(pull) => pull::run(terminal, &Stop::listen(), pull),
        ModelsVerb::Rm { names } => rm::run(terminal, names),
        ModelsVerb::Verify { names } => verify::run(terminal, &Stop::listen(), names),
        ModelsVerb::Path { name } => path::run(terminal, name.as_deref()),
        ModelsVerb::Import { file, name, dry_run } => import::run(terminal, file, name.as_deref(), *dry_run),
        ModelsVerb::Scan { folder } => scan::run(terminal, folder),
    }
}

/// Whether a model of this name ships inside the program.
fn is_embedded(name: &str) -> bool {
    models::digests().iter().any(|(embedded, _)| *embedded == name)
}
