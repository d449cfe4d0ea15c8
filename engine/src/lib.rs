//! The dataflow engine: graphs, values, checking, planning, running and caching. It knows no image algorithm and no
//! model.

// The declarations that `node!` writes name this crate as `engine`, also in here.
extern crate self as engine;

pub mod digest;
pub mod load;
mod node;
pub mod store;
pub mod value;

pub use node::*;
pub use {schemars, serde};
