//! The account that is kept of the pictures of one batch.

use super::{
    arrivals::Arrived,
    ledger::{Entry, Ledger, LedgerError, State},
    places::Places,
};
use crate::batch::Keeper;
use engine::{Blame, Failure};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use tempfile::TempPath;

pub(super) struct Account<'a> {
    ledger: Mutex<&'a mut Ledger>,
    places: &'a Places,
    files: &'a [Arrived],
    /// The pictures in them: which file, and which picture of it.
    shown: &'a [(usize, u32)],
    /// What was written down about each picture.
    begun: Mutex<Vec<Option<Entry>>>,
}

impl<'a> Account<'a> {
    pub(super) fn new(
        ledger: &'a mut Ledger,
        places: &'a Places,
        files: &'a [Arrived],
        shown: &'a [(usize, u32)],
    ) -> Self {
        Self { ledger: Mutex::new(ledger), places, files, shown, begun: Mutex::new(vec![None; shown.len()]) }
    }

    fn file(&self, index: usize) -> &Arrived {
        &self.files[self.shown[index].0]
    }

    /// Writes down what became of a file that is taken apart into its pictures.
    pub(super) fn whole(&self, file: usize, state: State) -> Result<(), LedgerError> {
        let Arrived { path, reading, .. } = &self.files[file];
        let entry = Entry::whole(path.clone(), state, *reading);
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).note(vec![entry])
    }

    /// Writes down that the result of a picture is there. This need not reach the disk at once: who finds it only begun after a
    /// power cut makes the same result once more, under the name that was written down before.
    pub(super) fn done(&self, index: usize) -> Result<(), LedgerError> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner)[index].take();
        let entry = begun.map(|entry| Entry { state: State::Done, ..entry });
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).note(entry.into_iter().collect())
    }

    fn known(&self, index: usize) -> Option<Entry> {
        self.ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .frame(&self.file(index).path, self.shown[index].1)
            .cloned()
    }

    fn note(&self, index: usize, work: &str, outputs: &[PathBuf]) -> Entry {
        // The same whatever folder the watcher is started from.
        let from_there = |output: &PathBuf| output.strip_prefix(&self.places.output).unwrap_or(output).to_owned();
        let outputs = outputs.iter().map(from_there).collect();
        let Arrived { path, reading, .. } = self.file(index);
        let entry = Entry {
            frame: self.shown[index].1,
            work: work.to_owned(),
            outputs,
            ..Entry::whole(path.clone(), State::Begun, *reading)
        };
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(entry.clone());
        entry
    }
}

impl Keeper for Account<'_> {
    /// A copy: what writers do to the file later cannot change a picture that is at work.
    fn copy(&self, index: usize) -> Result<Option<TempPath>, Failure> {
        let path = self.places.input.join(&self.file(index).path);
        // Some formats are known by their names alone.
        let ending = path.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
        let copied = tempfile::Builder::new().prefix("upweave-").suffix(&ending).tempfile().and_then(|copy| {
            let copy = copy.into_temp_path();
            fs::copy(&path, &copy).map(|_| copy)
        });
        if copied.is_ok() && !self.file(index).is_unchanged(&self.places.input) {
            return Err(Failure::input(format!("`{}` was changed while it was read", path.display())));
        }
        copied.map(Some).map_err(|error| match error.kind() {
            std::io::ErrorKind::StorageFull => {
                Failure::new(Blame::Resource, format!("there is no room for a copy of `{}`: {error}", path.display()))
            }
            _ => Failure::input(format!("`{}` cannot be read: {error}", path.display())),
        })
    }

    fn is_done(&self, index: usize, work: &str) -> Option<PathBuf> {
        let entry = self.known(index).filter(|entry| entry.state == State::Done && entry.work == work)?;
        let output = entry.outputs.first().map(|output| self.places.output.join(output));
        self.note(index, work, &entry.outputs);
        output
    }

    fn is_own(&self, index: usize, work: &str, file: &Path) -> bool {
        self.known(index).is_some_and(|entry| {
            entry.state == State::Begun
                && entry.work == work
                && entry.outputs.iter().any(|output| self.places.output.join(output) == file)
        })
    }

    fn begin(&self, index: usize, work: &str, outputs: &[PathBuf]) -> Result<(), Failure> {
        let entry = self.note(index, work, outputs);
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.add(vec![entry]).map_err(|error| Failure::new(Blame::Resource, error.to_string()))
    }

    fn found(&self, index: usize, work: &str, output: &Path) {
        self.note(index, work, &[output.to_owned()]);
    }
}
