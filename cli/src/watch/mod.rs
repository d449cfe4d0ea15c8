//! `upweave watch`: every picture that arrives in a folder is worked on, once.
//!
//! - `events.rs` tells when to look; `arrivals.rs` looks, and knows which files are whole;
//! - `ledger.rs` keeps account of what was done;
//! - `account.rs` is the account of one batch of arrived files;
//! - `sidecar.rs` reads the settings that lie beside pictures;
//! - `places.rs` sees to it that results do not come back as pictures.

mod account;
mod arrivals;
mod events;
mod ledger;
pub(crate) mod places;
mod sidecar;

pub(crate) use ledger::LedgerError;
pub(crate) use sidecar::Sidecar;

use crate::{
    args::Frames,
    batch::{Batch, Outcome, Wrong, exit_code},
    commands::upscale::Refused,
    pictures::Picture,
    speed,
    stop::Stop,
    terminal::Terminal,
};
use account::Account;
use arrivals::{Arrivals, Arrived};
use engine::Blame;
use events::Events;
use ledger::{Entry, Ledger, State};
use places::Places;
use serde_json::json;
use sidecar::Settings;
use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

/// So many pictures are begun before the folder is looked at again.
const WAVE: usize = 256;
/// So many different settings are held ready.
const MOST_BATCHES: usize = 64;

/// How a folder is watched.
pub(crate) struct Manner {
    /// How long a file must rest before it counts as whole.
    pub settle: Duration,
    /// How often to look where nothing tells of changes.
    pub poll: Option<Duration>,
    /// How often to look at everything in any case.
    pub rescan: Duration,
    /// Whether files that are there already are left alone.
    pub ignore_existing: bool,
    /// Whether to end once all that is there is done.
    pub once: bool,
    /// Which pictures of files that hold several are made, each for itself; nothing for the first.
    pub frames: Option<Frames>,
    /// A number that changes when what is asked for does.
    pub settings: u64,
}

/// Makes the batch for what a sidecar says.
pub(crate) type Factory<'a> = &'a dyn Fn(&Sidecar) -> Result<Batch, Refused>;

/// A watched folder.
pub(crate) struct Watch<'a> {
    terminal: &'a Terminal,
    stop: &'a Stop,
    places: Places,
    manner: Manner,
    factory: Factory<'a>,
    ledger: Ledger,
    arrivals: Arrivals,
    batches: HashMap<(Settings, u64), Batch>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    done: usize,
    known: usize,
    failed: usize,
}

impl<'a> Watch<'a> {
    /// # Errors
    /// When the ledger cannot be used.
    pub(crate) fn new(
        terminal: &'a Terminal,
        stop: &'a Stop,
        places: Places,
        manner: Manner,
        factory: Factory<'a>,
    ) -> Result<Self, LedgerError> {
        let ledger = Ledger::open(&places.ledger)?;
        let arrivals = Arrivals::new(&places.input, places.avoided(), manner.settle, manner.settings);
        let (batches, counts) = (HashMap::new(), Counts::default());
        Ok(Self { terminal, stop, places, manner, factory, ledger, arrivals, batches, counts })
    }

    /// Watches until it is stopped, or until all is done when that is enough. Gives the exit code.
    pub(crate) fn run(mut self) -> u8 {
        let folder = self.places.input.clone();
        let mut events = (!self.manner.once).then(|| Events::new(&folder, self.manner.poll.is_some()));
        let poll = self.manner.poll.unwrap_or(Duration::from_secs(5));
        if let Some(why) = events.as_ref().and_then(|events| events.silent.as_ref()) {
            self.terminal.note(&format!("looking every {}, {why}", speed::duration(poll.as_secs_f64())));
        }
        self.terminal.event(json!({ "event": "watching", "folder": folder, "output": self.places.output }));
        if self.manner.ignore_existing
            && let Err(error) = self.ignore_existing()
        {
            return self.broken(&error);
        }
        let (mut heard, mut gone) = (None, false);
        loop {
            if let Some(code) = self.stop.exit_code() {
                self.terminal.clear();
                self.terminal.say("stopped; nothing half-written was left");
                return code;
            }
            let begun = Instant::now();
            let look = match self.arrivals.look(&self.ledger) {
                Ok(look) => look,
                Err(error) if self.manner.once => {
                    self.terminal.error(&format!("the folder `{}` cannot be read: {error}", folder.display()), None);
                    return 3;
                }
                Err(error) => {
                    if !std::mem::replace(&mut gone, true) {
                        self.terminal.clear();
                        self.terminal.warning(
                            &format!("the folder `{}` is gone: {error}", folder.display()),
                            "the watcher goes on when it is back",
                        );
                        self.terminal.event(json!({ "event": "folder-gone", "folder": folder }));
                    }
                    self.rest(events.as_ref(), poll.min(Duration::from_secs(1)));
                    continue;
                }
            };
            if std::mem::take(&mut gone) {
                self.terminal.note(&format!("the folder `{}` is back", folder.display()));
                self.terminal.event(json!({ "event": "folder-back", "folder": folder }));
            }
            // A folder that went and came is another one: nobody tells of its changes yet.
            if heard != self.arrivals.root_id {
                if let (Some(events), true) = (&mut events, heard.is_some() && self.manner.poll.is_none()) {
                    events.listen(&folder);
                }
                let first = heard.is_none();
                heard = self.arrivals.root_id;
                if !first {
                    continue;
                }
            }
            let looked = begun.elapsed();
            for path in &look.finished {
                self.move_away(path);
            }
            if !look.arrived.is_empty() {
                if let Err(error) = self.work(look.arrived) {
                    return self.broken(&error);
                }
                continue;
            }
            if self.manner.once && look.once == 0 {
                return self.finish();
            }
            self.status(look.waiting);
            let polls = events.as_ref().is_none_or(Events::polls);
            let usual = if polls { poll } else { self.manner.rescan };
            // A look at a large folder takes its time; it must not be all that the program does.
            let rest = look.next.unwrap_or(usual).min(usual).max(looked * 2);
            self.rest(events.as_ref(), rest);
        }
    }

    fn rest(&self, events: Option<&Events>, time: Duration) {
        let stop = || self.stop.exit_code().is_some();
        match events {
            Some(events) => events.wait(time, &stop),
            None => Events::still(time, &stop),
        }
    }

    /// What is there before anybody watched is left alone, except what was begun.
    fn ignore_existing(&mut self) -> Result<(), LedgerError> {
        let Ok(files) = self.arrivals.present() else { return Ok(()) };
        let unknown = files.into_iter().filter(|file| self.ledger.entry(&file.path).is_none());
        let ignored = unknown.map(|file| Entry::whole(file.path, State::Ignored, file.reading)).collect();
        self.ledger.add(ignored)
    }

    /// Works on files that have arrived, those with the same settings together.
    fn work(&mut self, arrived: Vec<Arrived>) -> Result<(), LedgerError> {
        self.terminal.clear();
        let mut groups: Vec<(Settings, Vec<Arrived>)> = Vec::new();
        for file in arrived.into_iter().take(WAVE) {
            match groups.iter_mut().find(|(settings, _)| *settings == file.settings) {
                Some((_, files)) => files.push(file),
                None => groups.push((file.settings.clone(), vec![file])),
            }
        }
        for (settings, files) in groups {
            let key = (settings.clone(), settings.stamp());
            let batch = match self.batches.remove(&key) {
                Some(batch) => Ok(batch),
                None => settings.read().map_err(Refused::from).and_then(|sidecar| (self.factory)(&sidecar)),
            };
            match batch {
                Ok(batch) => {
                    self.make(&batch, &files)?;
                    if self.batches.len() >= MOST_BATCHES {
                        self.batches.clear();
                    }
                    self.batches.insert(key, batch);
                }
                Err(refused) => self.refuse(refused, &files)?,
            }
            if self.stop.exit_code().is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Files whose settings make no sense fail until the settings change.
    fn refuse(&mut self, refused: Refused, files: &[Arrived]) -> Result<(), LedgerError> {
        self.terminal.clear();
        refused.tell(self.terminal);
        for file in files {
            self.failed(file, "its settings make no sense", 2)?;
        }
        Ok(())
    }

    fn make(&mut self, batch: &Batch, files: &[Arrived]) -> Result<(), LedgerError> {
        let picture = |file: &Arrived| {
            Picture::new(self.places.input.join(&file.path), file.path.parent().unwrap_or(Path::new("")).to_owned())
        };
        let (mut pictures, mut shown) = (Vec::new(), Vec::new());
        for (file, arrived) in files.iter().enumerate() {
            let taken = match self.manner.frames {
                Some(frames) => picture(arrived).unfolded(frames, &batch.limits).collect(),
                None => vec![picture(arrived)],
            };
            shown.extend(taken.iter().map(|picture| (file, picture.frame)));
            pictures.extend(taken);
        }
        // How many pictures of each file are still to be made, and what went wrong first.
        let mut left = vec![0usize; files.len()];
        let mut wrong: Vec<Option<Wrong>> = files.iter().map(|_| None).collect();
        // Those that are taken apart have an account of their own beside those of their pictures.
        let mut apart = vec![false; files.len()];
        for &(file, frame) in &shown {
            left[file] += 1;
            apart[file] |= frame > 0;
        }
        let account = Account::new(&mut self.ledger, &self.places, files, &shown);
        for file in (0..files.len()).filter(|&file| apart[file]) {
            account.whole(file, State::Begun)?;
        }
        let (terminal, counts) = (self.terminal, &mut self.counts);
        let mut broken = None;
        batch.work(terminal, self.stop, &pictures, &account, &mut |index, outcome| {
            let file = shown[index].0;
            match outcome {
                Outcome::Made(made) => {
                    made.notes.iter().for_each(|note| terminal.note(note));
                    for output in &made.outputs {
                        terminal.say(&format!("{}  {}", output.display(), speed::duration(made.seconds)));
                    }
                    terminal.event(json!({
                        "event": "done", "input": pictures[index].name(), "output": made.outputs, "seconds": made.seconds,
                    }));
                    counts.done += 1;
                }
                Outcome::Skipped(path) => {
                    terminal.event(json!({ "event": "skipped", "input": pictures[index].name(), "output": path }));
                    counts.known += 1;
                }
                Outcome::Failed(why) => {
                    wrong[file].get_or_insert(why);
                    return true;
                }
            }
            left[file] -= 1;
            let settled = account.done(index).and_then(|()| match left[file] {
                0 if apart[file] => account.whole(file, State::Done),
                _ => Ok(()),
            });
            broken = settled.err();
            broken.is_none()
        });
        drop(account);
        if let Some(error) = broken {
            return Err(error);
        }
        self.ledger.flush()?;
        batch.kept.complain(self.terminal);
        for ((file, left), wrong) in files.iter().zip(left).zip(wrong) {
            match wrong {
                Some(wrong) => self.wrong(file, &wrong)?,
                None if left == 0 => self.move_away(&file.path),
                // Somebody has stopped before its turn.
                None => {}
            }
        }
        Ok(())
    }

    /// What is to be done about a file that could not be made.
    fn wrong(&mut self, file: &Arrived, wrong: &Wrong) -> Result<(), LedgerError> {
        let Some(failure) = wrong.failure() else {
            if let Wrong::Graph(found) = wrong {
                crate::report::diagnostics(self.terminal, found);
            }
            return self.failed(file, "there are mistakes in its graph", 2);
        };
        // It is looked at anew, as what it has become.
        if failure.blame == Blame::Cancelled || !file.is_unchanged(&self.places.input) {
            return Ok(());
        }
        let again = self.arrivals.failed(&file.path);
        match failure.blame {
            // It may still be on its way.
            Blame::Input if again => {
                if self.terminal.verbose() {
                    self.terminal.say(&format!("{}: not whole yet: {}", file.path.display(), failure.message));
                }
                self.terminal.event(json!({ "event": "incomplete", "input": file.path, "message": failure.message }));
                Ok(())
            }
            // Disk and memory are no fault of the file.
            Blame::Resource | Blame::Memory => {
                self.terminal.clear();
                self.terminal.error(&failure.message, failure.hint.as_deref());
                Ok(())
            }
            blame => {
                self.terminal.clear();
                self.terminal.error(&failure.message, failure.hint.as_deref());
                self.failed(file, &failure.message, exit_code(blame))
            }
        }
    }

    fn failed(&mut self, file: &Arrived, message: &str, code: u8) -> Result<(), LedgerError> {
        self.counts.failed += 1;
        self.terminal.event(json!({ "event": "failed", "input": file.path, "message": message, "code": code }));
        self.ledger.add(vec![Entry::whole(file.path.clone(), State::Failed, file.reading)])?;
        self.move_away(&file.path);
        Ok(())
    }

    /// Moves a file to where done or failed ones go, when there is such a place.
    fn move_away(&mut self, path: &Path) {
        let state = self.ledger.entry(path).map(|entry| entry.state);
        let folder = match state {
            Some(State::Done) => self.places.done.as_ref(),
            Some(State::Failed) => self.places.failed.as_ref(),
            _ => None,
        };
        if let Some(folder) = folder
            && let Err(error) = places::move_to(&self.places.input.join(path), &folder.join(path))
        {
            let message = format!("`{}` cannot be moved to `{}`: {error}", path.display(), folder.display());
            self.terminal.warning(&message, "it stays where it is, and is not worked on again");
        }
    }

    fn status(&self, waiting: usize) {
        let Counts { done, known, failed } = &self.counts;
        let mut text = format!("watching {}: {done} done", self.places.input.display());
        for (n, what) in [(*known, "there already"), (*failed, "failed"), (waiting, "arriving")] {
            if n > 0 {
                text.push_str(&format!(", {n} {what}"));
            }
        }
        self.terminal.status(&text);
        self.terminal.event(json!({
            "event": "status", "done": done, "known": known, "failed": failed, "arriving": waiting,
        }));
    }

    fn finish(self) -> u8 {
        self.terminal.clear();
        let Counts { done, known, failed } = self.counts;
        self.terminal.say(&format!("{done} done, {known} there already, {failed} failed"));
        self.terminal.event(json!({ "event": "finished", "done": done, "skipped": known, "failed": failed }));
        if failed > 0 { 3 } else { 0 }
    }

    fn broken(&self, error: &LedgerError) -> u8 {
        self.terminal.clear();
        self.terminal.error(
            &error.to_string(),
            Some("without it files would be worked on twice; make room, or name another with `--ledger`"),
        );
        6
    }
}
