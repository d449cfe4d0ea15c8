//! The dataflow engine: graphs, values, checking, planning, running and caching. It knows no image algorithm and no
//! model.
//!
//! A run goes through five phases, a file each:
//! - **load** (`load/`): RON text to a raw graph that knows the place of every name and value;
//! - **link** (`link/`): names become edges, presets and settings are applied, subgraphs and repeats expanded;
//! - **check** (`check.rs`): all mistakes in one go, each with its place and a hint;
//! - **plan** ([`plan()`], `demand.rs`, `memory.rs`): what the outputs need, what is kept already, predicted sizes and cost,
//!   and how the work is cut to fit into memory;
//! - **run** ([`run()`]): ready nodes run, outputs are dropped at their last use.

// The declarations that `node!` writes name this crate as `engine`, also in here.
extern crate self as engine;

mod allocator;
mod check;
mod contain;
mod demand;
mod diagnostic;
pub mod digest;
pub mod filesystem;
mod graph;
mod guard;
mod key;
mod link;
mod load;
mod memory;
mod node;
mod outline;
mod plan;
mod render;
mod run;
mod store;
mod structural;
pub mod value;

pub use check::{Built, build};
pub use contain::{contain, silence_contained};
pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity, Span, Text, line_and_column};
pub use graph::{Connection, Graph, GraphNode};
pub use key::Parts;
pub use link::{Binding, Library, NoLibrary, Registry, Request, Setting};
pub use load::{DEEPEST, FORMAT, MOST_BYTES, MOST_NODES};
pub use memory::{Bounds, bytes};
pub use node::*;
pub use outline::{Outline, OutlineInput, OutlineParameter};
pub use plan::{Plan, RunError, State, Step, plan, shapes};
pub use run::{Device, Event, How, Outcome, Ran, World, run};
pub use store::{Behind, Cache, CacheSize, Checked, Claim, Layered, MemoryStore, NoStore, Pruned, Store};
pub use structural::{Change, Repeat, Subgraph};
pub use {schemars, serde};
