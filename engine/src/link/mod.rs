//! Phase 2: names become edges. Presets and settings are applied, subgraphs and repeats are put in place, and every
//! node's fields are parsed into its own struct.

mod fields;
mod request;
mod resolve;
mod scope;
mod settings;
mod structure;

pub use request::{Binding, Library, NoLibrary, Registry, Request, Setting};
pub(crate) use resolve::{Source, resolve};
pub(crate) use scope::{Linker, Wire};

use crate::{DynNode, NodeKind, diagnostic::Span, value::Type};
use std::collections::BTreeMap;

/// A node in its place, with the places of everything that it was made of.
pub(crate) struct Linked {
    /// Its name, with those of the subgraphs around it: `"passes.1.canvas"`.
    pub id: String,
    pub origin: Origin,
    pub span: Span,
    /// Where the values of its fields stand.
    pub fields: BTreeMap<String, Span>,
    /// What its wires name, as it stands in the file, and the scope in which that is to be looked up.
    pub wires: Vec<Wire>,
    /// Whether all its fields could be read. Where not, defaults stand in for the others.
    pub whole: bool,
}

/// What a node is.
pub(crate) enum Origin {
    /// A node of a kind, with its parameters.
    Node { kind: &'static dyn NodeKind, node: Box<dyn DynNode> },
    /// An input of the graph that nothing is bound to.
    Open { ty: Type, optional: bool },
    /// Its mistakes are already reported; it stays so that wires to it are not reported as well.
    Broken,
}
