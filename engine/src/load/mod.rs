//! Phase 1: RON text to a raw graph that knows the place of every name and value.
//!
//! Every part stays RON text until somebody knows what it has to be: a node's fields are parsed only when its kind is
//! known. So one broken part does not hide the mistakes in the others.

mod graph;
mod pieces;
mod screen;

pub(crate) use graph::{RawGraph, RawNode};
pub(crate) use pieces::{Field, Piece, fields_of, list_of, lower_first, map_of, parse};

/// Most nodes of a graph, subgraphs and repeats counted in, and most entries of any other map or list in a file.
pub const MOST_NODES: usize = 10_000;
/// Most bytes of one graph file.
pub const MOST_BYTES: usize = 4 << 20;
/// Deepest nesting of values in a file.
pub const DEEPEST: usize = 128;
/// The code of mistakes that are only a matter of these limits.
pub(crate) const TOO_LARGE: &str = "too-large";

/// The newest format of graph files.
pub const FORMAT: u32 = 1;

/// The RON dialect of graph files. Extensions that a file enables are not seen where its parts are parsed on their
/// own, so the dialect is fixed here.
pub(crate) fn dialect() -> ron::Options {
    ron::Options::default()
        .with_recursion_limit(DEEPEST)
        .with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME)
}
