//! Talking to a person on stderr and to programs on stdout.

use crate::args::{Color, Talk};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{self, IsTerminal, Write},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Where talk goes, and how much of it.
pub(crate) struct Terminal {
    talk: Talk,
    /// Whether stderr may be coloured.
    pub color: bool,
    bars: Mutex<Option<Bars>>,
}

/// What shows how far the work is.
struct Bars {
    all: MultiProgress,
    /// That of all pictures, when there are several.
    total: Option<ProgressBar>,
    current: ProgressBar,
}

/// How far a batch is: pictures finished, pictures in all, share of the work, time left.
pub(crate) type Total = (usize, usize, f64, Option<Duration>);

/// Steps of the progress bar.
const FINE: f64 = 10_000.0;

impl Terminal {
    pub(crate) fn new(talk: Talk) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let color = match talk.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => io::stderr().is_terminal() && !no_color,
        };
        Self { talk, color, bars: Mutex::default() }
    }

    /// Whether events go to stdout as JSON.
    pub(crate) fn json(&self) -> bool {
        self.talk.json
    }

    /// Whether more is to be said.
    pub(crate) fn verbose(&self) -> bool {
        self.talk.verbose
    }

    /// Says something unless the person wants quiet.
    pub(crate) fn say(&self, text: &str) {
        if !self.talk.quiet {
            self.stderr(text);
        }
    }

    /// Says something that is worth knowing, though nothing is wrong.
    pub(crate) fn note(&self, text: &str) {
        let head = self.paint("note", "36;1");
        self.say(&format!("{head}: {text}"));
    }

    /// Says what may need attention, though the results are good.
    pub(crate) fn warning(&self, message: &str, hint: &str) {
        self.say(&format!("{}: {message}\n  {}: {hint}", self.paint("warning", "33;1"), self.paint("hint", "36")));
    }

    /// Says what is wrong and what to do about it; also to those who want quiet.
    pub(crate) fn error(&self, message: &str, hint: Option<&str>) {
        let mut text = format!("{}: {message}", self.paint("error", "31;1"));
        if let Some(hint) = hint {
            text.push_str(&format!("\n  {}: {hint}", self.paint("hint", "36")));
        }
        self.stderr(&text);
    }

    /// One event for programs, when they listen.
    pub(crate) fn event(&self, event: serde_json::Value) {
        if self.talk.json {
            print(&event.to_string());
        }
    }

    /// Whether nobody sees how far the work is.
    pub(crate) fn silent(&self) -> bool {
        self.talk.quiet || self.talk.json || !io::stderr().is_terminal()
    }

    /// Shows how far a run is, from 0 to 1, and the batch that it is part of, where there is a terminal to show it on.
    pub(crate) fn progress(&self, total: Option<Total>, name: &str, fraction: f64) {
        if self.silent() {
            return;
        }
        let mut slot = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let Bars { total: all, current, .. } = slot.get_or_insert_with(|| Bars::new(total.is_some()));
        if let (Some(bar), Some((finished, of, share, left))) = (all, total) {
            let left =
                left.map_or_else(String::new, |left| format!(", {} left", crate::speed::duration(left.as_secs_f64())));
            bar.set_message(format!("{finished} of {of} pictures{left}"));
            bar.set_position((share.clamp(0.0, 1.0) * FINE) as u64);
        }
        if current.message() != name {
            current.set_message(name.to_owned());
        }
        current.set_position((fraction.clamp(0.0, 1.0) * FINE) as u64);
    }

    /// Shows what the program waits for, where there is a terminal to show it on.
    pub(crate) fn status(&self, text: &str) {
        if self.silent() {
            return;
        }
        let mut slot = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let bars = slot.get_or_insert_with(Bars::status);
        bars.current.set_message(text.to_owned());
    }

    /// Takes the bars away.
    pub(crate) fn clear(&self) {
        if let Some(bars) = self.bars.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bars.current.finish_and_clear();
            bars.total.iter().for_each(ProgressBar::finish_and_clear);
        }
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn stderr(&self, text: &str) {
        // Nobody is left to tell when stderr is gone.
        let write = || drop(writeln!(io::stderr().lock(), "{text}"));
        match &*self.bars.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bars) => bars.all.suspend(write),
            None => write(),
        }
    }
}

impl Bars {
    /// A line of text.
    fn status() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        let current = all.add(ProgressBar::new_spinner());
        Self { all, total: None, current }
    }

    fn new(several: bool) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        let bar = |template: &str| {
            let bar = all.add(ProgressBar::new(FINE as u64));
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        };
        let total = several.then(|| bar("[{bar:30}] {percent:>3} %  {msg}"));
        let current = if several {
            bar("[{bar:30}] {percent:>3} %  {msg}")
        } else {
            bar("{msg} [{bar:30}] {percent:>3} %  {elapsed} so far, {eta} left")
        };
        Self { all, total, current }
    }
}

/// Prints data on stdout. Ends the program when nobody reads it any more: that is how `| head` says enough.
pub(crate) fn print(text: &str) {
    if bytes(format!("{text}\n").as_bytes()).is_err() {
        std::process::exit(0);
    }
}

/// Writes data to stdout.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
