//! Progress, cancellation, and parts of the work that outlive it.

use crate::Result;

/// A part of a run's work that can be kept apart: what one tile gives at one stage, as three planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The stage: the sampling step, or 0 where there is but one.
    pub stage: u32,
    /// First column and row, in pixels of the result, or of the result extended to whole blocks.
    pub corner: (u32, u32),
    /// Width and height.
    pub size: (u32, u32),
}

impl Part {
    /// Values of the three planes.
    pub fn len(&self) -> usize {
        3 * self.size.0 as usize * self.size.1 as usize
    }

    /// Whether it has no pixel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Hears how far a run is and may stop it.
pub trait Watch {
    /// `done` of `total` equal pieces of work are finished. Called before the first piece and after each one.
    ///
    /// # Errors
    /// Any error ends the run and is what the run returns; [`crate::Error::Cancelled`] is the one to stop with.
    fn step(&mut self, done: u64, total: u64) -> Result<()>;

    /// What an earlier run, which was stopped, gave for this part. It is as long as the part says, or it is not used.
    fn recall(&mut self, _part: Part) -> Option<Vec<f32>> {
        None
    }

    /// A part is finished; `values` gives its planes, for whoever wants to keep them.
    fn keep(&mut self, _part: Part, _values: &dyn Fn() -> Vec<f32>) {}
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

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::Error;
    use std::collections::HashMap;

    /// Keeps all parts, and stops after so many steps.
    #[derive(Default)]
    pub(crate) struct Keeper {
        pub(crate) parts: HashMap<(u32, (u32, u32)), Vec<f32>>,
        /// Parts that were finished since the start.
        pub(crate) computed: usize,
        /// Parts that were there already.
        pub(crate) recalled: usize,
        pub(crate) stop_after: Option<u64>,
    }

    impl Watch for Keeper {
        fn step(&mut self, done: u64, _total: u64) -> Result<()> {
            if self.stop_after == Some(done) { Err(Error::Cancelled) } else { Ok(()) }
        }
        fn recall(&mut self, part: Part) -> Option<Vec<f32>> {
            let found = self.parts.get(&(part.stage, part.corner)).cloned();
            self.recalled += usize::from(found.is_some());
            found
        }
        fn keep(&mut self, part: Part, values: &dyn Fn() -> Vec<f32>) {
            self.computed += 1;
            assert!(self.parts.insert((part.stage, part.corner), values()).is_none(), "{part:?} is computed twice");
        }
    }
}
