//! Tells people and programs how far a download is.

use super::Puller;
use crate::{
    catalog::{Entry, File},
    download,
};
use serde_json::json;
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Pause between two events.
const NEWS: Duration = Duration::from_millis(500);

/// The download of one file of a model.
pub(super) struct Telling<'a> {
    pub(super) puller: &'a Puller<'a>,
    pub(super) entry: &'a Entry,
    pub(super) file: &'a File,
    /// Bytes of the files before this one.
    pub(super) before: u64,
    pub(super) last: Cell<Option<Instant>>,
}

impl download::Watch for Telling<'_> {
    fn progress(&self, bytes: u64) {
        let (terminal, name, of) = (self.puller.terminal, &self.entry.name, self.entry.bytes());
        let done = self.before + bytes;
        if done < of && self.last.get().is_some_and(|last| last.elapsed() < NEWS) {
            return;
        }
        self.last.set(Some(Instant::now()));
        terminal.event(json!({ "event": "pulling", "name": name, "file": self.file.0, "bytes": done, "of": of }));
        let text = format!("{name}, {} of {}", engine::bytes(done), engine::bytes(of));
        terminal.progress(None, &text, done as f64 / of.max(1) as f64);
    }

    fn again(&self, why: &str, wait: Duration) {
        let (terminal, name) = (self.puller.terminal, &self.entry.name);
        terminal.event(json!({ "event": "retry", "name": name, "message": why, "wait": wait.as_secs_f64() }));
        terminal.say(&format!("{name}: {why}; trying again in {:.1} s", wait.as_secs_f64()));
    }

    fn stopped(&self) -> bool {
        self.puller.stop.exit_code().is_some()
    }
}
