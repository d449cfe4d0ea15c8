//! Running one graph over pictures. A bad picture never stops the others.
//!
//! - `one.rs` names the results of a picture, and makes them;
//! - `lanes.rs` has several pictures at work at once;
//! - `room.rs` sees to it that they fit into memory together;
//! - `made.rs` knows what earlier runs have made, `keeper.rs` is for those who keep account of it themselves;
//! - `estimate.rs` tells how long it will take, `summary.rs` what came of it, `table.rs` what would;
//! - `failures.rs` tells whose fault it was.

mod estimate;
mod failures;
mod keeper;
mod lanes;
mod made;
mod one;
mod room;
mod scratch;
mod summary;
mod table;

pub(crate) use failures::{Wrong, exit_code};
pub(crate) use keeper::Keeper;
pub(crate) use lanes::Outcome;

use crate::{
    args::Frames,
    cache::Kept,
    job::{Recipe, Saving},
    naming::Naming,
    pictures::Found,
    recipe,
    stop::Stop,
    terminal::Terminal,
};
use engine::{
    Binding, Bounds, Thrift,
    digest::{Digest, Digester},
};
use nodes::limits::Limits;
use std::{
    path::PathBuf,
    sync::{Mutex, OnceLock, PoisonError},
};
use summary::Summary;

/// A graph and what it is run on.
pub(crate) struct Batch {
    pub recipe: Recipe,
    /// What feeds the inputs beside the picture.
    pub inputs: Vec<Given>,
    /// The input that the pictures feed.
    pub picture_input: Option<String>,
    pub outputs: Vec<Output>,
    pub saving: Saving,
    /// The enlargement, when it was typed.
    pub scale: Option<f64>,
    pub limits: Limits,
    pub dry_run: bool,
    /// The results of earlier runs.
    pub kept: Kept,
    pub explain: bool,
    /// How much of the result is wanted, and how much memory may be taken for it.
    pub bounds: Bounds,
    /// Whether the first failure ends the batch.
    pub fail_fast: bool,
    pub progress: Progress,
}

/// What a batch learns on its way.
#[derive(Default)]
pub(crate) struct Progress {
    /// The recipe without the pictures.
    base: OnceLock<recipe::Base>,
    /// How small tiles have to be.
    thrift: Mutex<Thrift>,
}

/// What feeds an input that is the same for all pictures.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub binding: Binding,
    /// The file that is read.
    pub file: Option<PathBuf>,
}

/// An output of the graph, and where it goes.
pub(crate) struct Output {
    pub name: String,
    pub naming: Naming,
}

impl Batch {
    /// Works through the pictures. Gives the exit code.
    pub(crate) fn run(self, terminal: &Terminal, stop: &Stop, found: &Found) -> u8 {
        let pictures = &found.pictures;
        let mut summary = Summary::new(pictures.len() > 1 || !found.unreadable.is_empty());
        if found.results > 0 {
            terminal.note(&format!("left out {} of earlier runs", summary::counted(found.results, "result")));
        }
        for (folder, why) in &found.unreadable {
            summary.unreadable(terminal, folder, why);
        }
        let stopped = self.fail_fast && !found.unreadable.is_empty();
        if !stopped {
            self.work(terminal, stop, pictures, &keeper::Nobody, &mut |index, outcome| {
                let goes_on = summary.add(terminal, stop, &pictures[index], outcome);
                goes_on && !(self.fail_fast && summary.failed())
            });
        }
        self.kept.complain(terminal);
        summary.finish(terminal, pictures.len())
    }

    /// A number that changes when what is asked for does. Versions and models are not part of it: a better one is no reason to
    /// make everything anew.
    pub(crate) fn stamp(&self, frames: Option<Frames>) -> u64 {
        let mut d = Digester::new("what is asked for");
        d.text(&self.recipe.file.text);
        d.text(self.recipe.preset.as_deref().unwrap_or_default());
        for setting in &self.recipe.settings {
            d.text(&setting.target);
            d.text(&setting.value);
        }
        for given in &self.inputs {
            d.text(&given.binding.fields);
        }
        d.text(&self.saving.way());
        self.outputs.iter().for_each(|output| d.text(output.naming.extension()));
        if let Some(Frames { first, last }) = frames {
            d.text(&format!("frames {first} to {last}"));
        }
        let Digest(bytes) = d.finish();
        bytes.iter().take(8).fold(0, |stamp, byte| stamp << 8 | u64::from(*byte))
    }

    /// The memory and the part that the next picture may have.
    fn bounds(&self) -> Bounds {
        Bounds { thrift: *self.progress.thrift.lock().unwrap_or_else(PoisonError::into_inner), ..self.bounds }
    }

    fn learn(&self, thrift: Thrift) {
        *self.progress.thrift.lock().unwrap_or_else(PoisonError::into_inner) = thrift;
    }
}
