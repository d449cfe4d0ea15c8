//! Who keeps account of what is done about pictures that come by themselves.

use engine::Failure;
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// Keeps account of the pictures of a batch, each by its number. `work` stands for the content of a picture, the recipe and the
/// way in which the result is written: equal ones give equal results.
pub(crate) trait Keeper: Sync {
    /// Whether there is an account at all.
    fn keeps(&self) -> bool {
        true
    }

    /// A copy of the picture to work on, where others may write the file meanwhile.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn copy(&self, picture: usize) -> Result<Option<TempPath>, Failure>;

    /// The result, when this work was done before.
    fn is_done(&self, picture: usize, work: &str) -> Option<PathBuf>;

    /// Whether this file is the result of this work that somebody began, and perhaps has not finished.
    fn is_own(&self, picture: usize, work: &str, file: &Path) -> bool;

    /// Tells that the result was found where it belongs.
    fn found(&self, picture: usize, work: &str, output: &Path);

    /// Tells that the work begins, and what its results will be called.
    ///
    /// # Errors
    /// When that cannot be written down.
    fn begin(&self, picture: usize, work: &str, outputs: &[PathBuf]) -> Result<(), Failure>;
}

/// Nobody: pictures are named by a person, who sees what comes of them.
pub(crate) struct Nobody;

impl Keeper for Nobody {
    fn keeps(&self) -> bool {
        false
    }
    fn copy(&self, _: usize) -> Result<Option<TempPath>, Failure> {
        Ok(None)
    }
    fn is_done(&self, _: usize, _: &str) -> Option<PathBuf> {
        None
    }
    fn is_own(&self, _: usize, _: &str, _: &Path) -> bool {
        false
    }
    fn found(&self, _: usize, _: &str, _: &Path) {}
    fn begin(&self, _: usize, _: &str, _: &[PathBuf]) -> Result<(), Failure> {
        Ok(())
    }
}
