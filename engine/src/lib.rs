//! The dataflow engine.

pub mod digest;
pub mod value;
