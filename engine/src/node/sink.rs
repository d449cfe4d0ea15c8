use super::NodeResult;
use crate::value::Image;
use std::path::PathBuf;

/// Takes a picture in strips, from top to bottom. When it is dropped before its end, nothing is left of it.
pub trait Sink {
    /// Takes the next rows.
    ///
    /// # Errors
    /// A [`Failure`](super::Failure), after which nothing more may be given.
    fn strip(&mut self, strip: &Image) -> NodeResult<()>;

    /// Brings the whole to the outside, and tells where it is then.
    ///
    /// # Errors
    /// As [`Sink::strip`].
    fn finish(self: Box<Self>) -> NodeResult<Option<PathBuf>>;
}
