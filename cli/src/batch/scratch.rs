//! Files of a run that are not meant to stay.

use super::failures::unwritable;
use engine::Failure;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder that is gone with this, made when it is first needed.
#[derive(Default)]
pub(super) struct Scratch(Option<TempDir>);

impl Scratch {
    /// Where a file of that name is to lie.
    pub(super) fn path(&mut self, name: &str) -> Result<PathBuf, Failure> {
        if self.0.is_none() {
            let made = tempfile::Builder::new().prefix("upweave-").tempdir();
            self.0 = Some(made.map_err(|error| unwritable("the folder for temporary files", &error))?);
        }
        self.0.as_ref().map(|folder| folder.path().join(name)).ok_or_else(|| Failure::internal("no temporary folder"))
    }
}
