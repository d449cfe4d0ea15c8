//! What came of a batch: counts, the list of failures, the exit code.

use super::{
    Outcome,
    failures::{Wrong, exit_code},
};
use crate::{
    pictures::Picture,
    report, speed,
    stop::Stop,
    terminal::{Terminal, print},
};
use serde_json::json;
use std::{path::Path, time::Instant};

/// So many failures are listed at the end; `--json` tells all.
const MOST_LISTED: usize = 100;

pub(super) struct Summary {
    /// Whether there is more than one picture to tell of.
    many: bool,
    begun: Instant,
    done: usize,
    skipped: usize,
    failures: Vec<Failed>,
    /// The exit code, when nothing went on.
    stopped: Option<u8>,
}

struct Failed {
    input: String,
    message: String,
    code: u8,
}

impl Summary {
    pub(super) fn new(many: bool) -> Self {
        Self { many, begun: Instant::now(), done: 0, skipped: 0, failures: Vec::new(), stopped: None }
    }

    /// Tells what came of a picture. Gives whether the work goes on.
    pub(super) fn add(&mut self, terminal: &Terminal, stop: &Stop, picture: &Picture, outcome: Outcome) -> bool {
        if self.stopped.is_some() {
            return false;
        }
        match outcome {
            Outcome::Made(made) => {
                self.done += 1;
                if !made.lines.is_empty() {
                    terminal.clear();
                    made.lines.iter().for_each(|line| print(line));
                }
                made.notes.iter().for_each(|note| terminal.note(note));
                for output in &made.outputs {
                    terminal.say(&format!("{}  {}", output.display(), speed::duration(made.seconds)));
                    terminal.event(json!({
                        "event": "done", "input": picture.name(), "output": output, "seconds": made.seconds,
                    }));
                }
            }
            Outcome::Skipped(path) => {
                self.skipped += 1;
                // Of a thousand it is enough to tell how many they are.
                if !self.many || terminal.verbose() {
                    terminal.say(&format!("{}: already there, skipped", path.display()));
                }
                terminal.event(json!({ "event": "skipped", "input": picture.name(), "output": path }));
            }
            Outcome::Failed(wrong) => self.wrong(terminal, stop, picture, &wrong),
        }
        self.stopped.is_none()
    }

    fn wrong(&mut self, terminal: &Terminal, stop: &Stop, picture: &Picture, wrong: &Wrong) {
        if let Wrong::Graph(found) = wrong {
            report::diagnostics(terminal, found);
            terminal.stderr(&format!("{} in the graph; nothing was run", report::count(found)));
            self.stopped = Some(report::exit_code(found));
            return;
        }
        if wrong.cancelled() {
            terminal.stderr("stopped; nothing half-written was left");
            self.stopped = Some(stop.exit_code().unwrap_or(130));
            return;
        }
        let Some(failure) = wrong.failure() else { return };
        let code = exit_code(failure.blame);
        let input = picture.name();
        terminal.event(json!({
            "event": "failed", "input": input, "message": failure.message, "hint": failure.hint, "code": code,
        }));
        match wrong {
            Wrong::Run(error) => report::run_error(terminal, error),
            _ => terminal.error(&failure.message, failure.hint.as_deref()),
        }
        self.failures.push(Failed { input, message: failure.message.clone(), code });
    }

    /// Tells of a folder that could not be read.
    pub(super) fn unreadable(&mut self, terminal: &Terminal, folder: &Path, why: &str) {
        let input = folder.display().to_string();
        let message = format!("the folder `{input}` cannot be read: {why}");
        terminal.event(json!({ "event": "failed", "input": input, "message": message, "hint": null, "code": 3 }));
        terminal.error(&message, Some("check its permissions"));
        self.failures.push(Failed { input, message, code: 3 });
    }

    pub(super) fn failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Tells what came of all `pictures`. Gives the exit code.
    pub(super) fn finish(self, terminal: &Terminal, pictures: usize) -> u8 {
        if let Some(code) = self.stopped {
            return code;
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        if self.many {
            self.tell(terminal, pictures, seconds);
        }
        let failures: Vec<_> = self.failures.iter().map(|failed| json!([failed.input, failed.message])).collect();
        terminal.event(json!({
            "event": "finished", "done": self.done, "skipped": self.skipped, "failed": failures.len(),
            "seconds": seconds, "failures": failures, "unpacked": models::unpacked(),
        }));
        match &self.failures[..] {
            [] => 0,
            // With one picture, or when all failed alike, the code says why.
            [first, rest @ ..] if self.done + self.skipped == 0 && rest.iter().all(|next| next.code == first.code) => {
                first.code
            }
            _ => 3,
        }
    }

    fn tell(&self, terminal: &Terminal, pictures: usize, seconds: f64) {
        let failed = self.failures.len();
        let time = speed::duration(seconds);
        if self.done == 0 && failed == 0 {
            let pictures = counted(pictures, "picture");
            terminal.say(&format!("nothing to do: the results of all {pictures} are there already, found in {time}"));
            return;
        }
        let left = pictures.saturating_sub(self.done + self.skipped + failed);
        let parts = [(self.done, "done"), (self.skipped, "already there"), (failed, "failed"), (left, "not tried")];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        terminal.say(&format!("{} in {time}", parts.join(", ")));
        if failed > 0 {
            let width = self.failures.iter().map(|failed| failed.input.chars().count()).max().unwrap_or_default();
            let width = width.min(60);
            terminal.stderr(&format!("failed ({failed}):"));
            for Failed { input, message, .. } in self.failures.iter().take(MOST_LISTED) {
                // The name stands in front already.
                let message = message.strip_prefix(&format!("`{input}` ")).unwrap_or(message);
                terminal.stderr(&format!("  {input:width$}  {message}"));
            }
            if failed > MOST_LISTED {
                terminal.stderr(&format!("  and {} more; `--json` tells all", failed - MOST_LISTED));
            }
        }
    }
}

/// `1 result`, `2 results`.
pub(super) fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
