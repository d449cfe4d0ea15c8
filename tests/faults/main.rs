//! What is left when things go wrong: power cuts, full and broken disks, harmed files, many processes at once.
//!
//! `UPWEAVE_FAULTS=full` does everything as often as the promises in the README say; else a part of it is done, so that
//! the suite stays fast. Processes that are killed are in `processes.rs`, which is a suite of the command line.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod capacity;
mod disk;
mod keys;
mod power;
mod simulated;

use engine::{
    digest::{Digest, Digester},
    value::{Mask, Size, Value},
};
use std::{sync::Arc, time::Duration};

/// What everything cost to compute: enough to be kept.
const COST: Duration = Duration::from_secs(100);

/// Whether to do everything.
fn full() -> bool {
    std::env::var_os("UPWEAVE_FAULTS").is_some_and(|value| value == "full")
}

fn action(number: u32) -> Digest {
    Digester::new(&format!("action {number}")).finish()
}

/// A content of its own for every number, `4 * edge * edge` bytes that hardly compress.
fn entry(number: u32, edge: u32) -> (Digest, Value) {
    let mut state = u64::from(number) + 1;
    let mut sample = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from_bits((state >> 33) as u32 & 0x7eff_ffff)
    };
    let samples = (0..edge * edge).map(|_| sample()).collect();
    let value = Value::Mask(Arc::new(Mask::new(Size::new(edge, edge), samples)));
    (value.digest(), value)
}
