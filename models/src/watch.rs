//! Progress and cancellation.

use crate::Result;

/// Hears how far a run is and may stop it.
pub trait Watch {
    /// `done` of `total` equal pieces of work are finished. Called before the first piece and after each one.
    ///
    /// # Errors
    /// Any error ends the run and is what the run returns; [`crate::Error::Cancelled`] is the one to stop with.
    fn step(&mut self, done: u64, total: u64) -> Result<()>;
}

impl<F: FnMut(u64, u64) -> Result<()>> Watch for F {
    fn step(&mut self, done: u64, total: u64) -> Result<()> {
        self(done, total)
    }
}

/// Listens to nothing and never stops a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn step(&mut self, _done: u64, _total: u64) -> Result<()> {
        Ok(())
    }
}
