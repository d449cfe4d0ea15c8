//! What was fetched gets its name; and whether a model has it already.

use super::{super::import::Converted, Ended, Puller};
use crate::{
    catalog::{Entry, File},
    download::Sources,
    installed::{self, Kept, Origin, Record, Stopped, staging, written},
};
use nodes::files::ModelFile;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// How a model is here.
pub(super) enum Here {
    Not,
    Good,
    Damaged,
    /// Another model has its name.
    Other,
}

impl Puller<'_> {
    /// Where the model will lie.
    pub(super) fn place(&self, entry: &Entry) -> PathBuf {
        let name = &entry.name;
        self.folder.join(if entry.is_folder() { name.clone() } else { format!("{name}.safetensors") })
    }

    /// Where a file lies until all are there.
    pub(super) fn staged(&self, entry: &Entry, file: &File) -> PathBuf {
        staging(&self.folder, &entry.name).join(if entry.is_folder() { file.0.as_str() } else { file.name() })
    }

    /// Looks at what has the name of a model.
    pub(super) fn here(&self, entry: &Entry) -> Result<Here, Ended> {
        let place = self.place(entry);
        let other = if entry.is_folder() {
            self.folder.join(format!("{}.safetensors", entry.name))
        } else {
            self.folder.join(&entry.name)
        };
        if other.exists() {
            return Ok(Here::Other);
        }
        if !place.exists() {
            return Ok(Here::Not);
        }
        // What somebody put there by hand may well be the same.
        let by_hand = || (!entry.kind.converted()).then(|| self.record(entry, as_it_is(entry)));
        let of_list = Record::of(&self.folder, &entry.name).filter(|record| record.is_of(&entry.files));
        let Some(record) = of_list.clone().or_else(by_hand) else { return Ok(Here::Other) };
        let root = if entry.is_folder() { &place } else { &self.folder };
        let wrong = record.check(root, &|done, of| {
            self.terminal.progress(
                None,
                &format!("{}, looking at what is here", entry.name),
                done as f64 / of.max(1) as f64,
            );
            if self.stop.exit_code().is_some() { Err(Stopped) } else { Ok(()) }
        })?;
        self.terminal.clear();
        match (wrong.is_empty(), of_list.is_some()) {
            (false, true) => Ok(Here::Damaged),
            (false, false) => Ok(Here::Other),
            (true, known) => {
                if !known {
                    record.write(&self.folder, &entry.name).map_err(|error| self.unwritable(&error))?;
                }
                Ok(Here::Good)
            }
        }
    }

    fn record(&self, entry: &Entry, files: Vec<Kept>) -> Record {
        Record {
            origin: Origin::Pulled,
            from: entry.addresses_of(&entry.files[0], &Sources::usual()).pop().unwrap_or_default(),
            kind: entry.kind.to_string(),
            licence: entry.licence.clone(),
            files,
            sources: entry.files.iter().map(|file| file.2.clone()).collect(),
        }
    }

    /// Gives what was fetched its name.
    pub(super) fn install(&self, entry: &Entry) -> Result<Record, Ended> {
        let (staging, place) = (staging(&self.folder, &entry.name), self.place(entry));
        let first = self.staged(entry, &entry.files[0]);
        let unwritable = |error: io::Error| self.unwritable(&error);
        let record = if entry.kind.converted() {
            let model = Converted::new(&ModelFile::read(&first)?, Path::new(entry.files[0].name()), Some(entry))?;
            let record = self.record(entry, vec![model.kept(&entry.name)]);
            record.write(&self.folder, &entry.name).map_err(unwritable)?;
            written(&place, &model.bytes).map_err(unwritable)?;
            record
        } else {
            let record = self.record(entry, as_it_is(entry));
            record.write(&self.folder, &entry.name).map_err(unwritable)?;
            if entry.is_folder() {
                // Only a damaged one can be there.
                if place.exists() {
                    fs::remove_dir_all(&place).map_err(unwritable)?;
                }
                fs::rename(&staging, &place).map_err(unwritable)?;
            } else {
                fs::rename(&first, &place).map_err(unwritable)?;
            }
            installed::sync(&self.folder);
            record
        };
        _ = fs::remove_dir_all(&staging);
        Ok(record)
    }
}

/// The files of a model that is kept as it came.
fn as_it_is(entry: &Entry) -> Vec<Kept> {
    let kept = |File(path, bytes, sha256): &File| Kept {
        path: if entry.is_folder() { path.clone() } else { format!("{}.safetensors", entry.name) },
        bytes: *bytes,
        sha256: sha256.clone(),
    };
    entry.files.iter().map(kept).collect()
}
