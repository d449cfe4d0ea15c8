//! The verbs, a file each. Every one of them gives the exit code.

pub(crate) mod bench;
pub(crate) mod cache;
pub(crate) mod doctor;
pub(crate) mod graph;
pub(crate) mod inspect;
pub(crate) mod limits;
pub(crate) mod manual;
pub(crate) mod models;
pub(crate) mod nodes;
pub(crate) mod run;
pub(crate) mod upscale;
pub(crate) mod watch;
