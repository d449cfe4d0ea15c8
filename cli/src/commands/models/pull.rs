//! `upweave models pull`: fetches models into the user's folder. What arrives is put together beside it, and gets its name when all of it
//! is there and is what it should be.

use super::{
    import::{Converted, exit_code},
    is_embedded,
};
use crate::{
    args::Pull,
    catalog::{self, Entry, File},
    download::{self, Client, Failed, Patience, Sources, Wanted},
    installed::{self, Kept, Lock, Origin, Record, Stopped, staging, written},
    models_folder,
    stop::Stop,
    terminal::{Terminal, print},
};
use engine::{Blame, Failure};
use nodes::files::ModelFile;
use serde_json::json;
use std::{
    cell::Cell,
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Pause between two looks at a lock that another process holds.
const LOOK: Duration = Duration::from_millis(200);
/// Pause between two events that tell how far a download is.
const NEWS: Duration = Duration::from_millis(500);

/// Why a model is not pulled.
enum Ended {
    Stopped,
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Stopped> for Ended {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

pub(super) fn run(terminal: &Terminal, stop: &Stop, args: &Pull) -> u8 {
    let prepared = || -> Result<(PathBuf, Sources, Vec<Entry>), Failure> {
        let usage = |message: String| Failure::new(Blame::Graph, message);
        let folder = models_folder::folder().map_err(usage)?;
        let sources = Sources::chosen(&args.mirror).map_err(usage)?;
        Ok((folder, sources, named(&args.names)?))
    };
    let (folder, sources, entries) = match prepared() {
        Ok(prepared) => prepared,
        Err(failure) => {
            terminal.error(&failure.message, failure.hint.as_deref());
            return exit_code(&failure);
        }
    };
    let patience = Patience { timeout: args.timeout, retries: args.retries };
    let client = Client::new(&sources, patience);
    let puller = Puller { terminal, stop, folder, sources, client, patience, accepted: args.accept_licence };
    let mut code = 0;
    for entry in &entries {
        let ended = puller.pull(entry);
        terminal.clear();
        match ended {
            Ok(()) => {}
            Err(Ended::Stopped) => {
                terminal
                    .say(&format!("{}: stopped; what came so far is kept, and the same command goes on", entry.name));
                return stop.exit_code().unwrap_or(130);
            }
            Err(Ended::Failed(failure)) => {
                terminal.event(json!({ "event": "failed", "name": entry.name, "message": failure.message }));
                terminal.error(&failure.message, failure.hint.as_deref());
                code = if code == 0 { exit_code(&failure) } else { code };
            }
        }
    }
    code
}

/// The models of these names. All are looked up before the first is fetched.
fn named(names: &[String]) -> Result<Vec<Entry>, Failure> {
    let all = catalog::entries().map_err(|message| Failure::new(Blame::Model, message))?;
    let mut found: Vec<Entry> = Vec::new();
    for name in names {
        match all.iter().find(|entry| entry.name == *name) {
            Some(entry) if found.iter().all(|there| there.name != *name) => found.push(entry.clone()),
            Some(_) => {}
            None => {
                let message = match is_embedded(name) {
                    true => format!("the model `{name}` is inside the program: there is nothing to fetch"),
                    false => format!("no model `{name}` is known that could be fetched"),
                };
                let known: Vec<&str> = all.iter().map(|entry| entry.name.as_str()).collect();
                return Err(Failure::new(Blame::Graph, message).hint(format!("these can be: {}", known.join(", "))));
            }
        }
    }
    Ok(found)
}

struct Puller<'a> {
    terminal: &'a Terminal,
    stop: &'a Stop,
    folder: PathBuf,
    sources: Sources,
    client: Client,
    patience: Patience,
    /// Whether all licences are accepted.
    accepted: bool,
}

/// How a model is here.
enum Here {
    Not,
    Good,
    Damaged,
    /// Another model has its name.
    Other,
}

impl Puller<'_> {
    fn pull(&self, entry: &Entry) -> Result<(), Ended> {
        let name = &entry.name;
        let _lock = self.lock(name)?;
        match self.here(entry)? {
            Here::Good => {
                self.terminal.event(json!({ "event": "here", "name": name, "path": self.place(entry) }));
                self.terminal.say(&format!("{name} is here already, and whole"));
                return Ok(());
            }
            Here::Other => {
                return Err(Failure::new(Blame::Graph, format!("there is another model called `{name}`"))
                    .hint(format!("remove it first: `upweave models rm {name}`"))
                    .into());
            }
            Here::Damaged => self.terminal.note(&format!("the model `{name}` is damaged, and fetched anew")),
            Here::Not => {}
        }
        if download::is_offline() {
            return Err(Failure::new(
                Blame::Model,
                format!("the model `{name}` is not here, and `--offline` allows no connection"),
            )
            .hint(format!("without `--offline`, {}", entry.how()))
            .into());
        }
        self.licence(entry)?;
        self.room(entry)?;
        self.fetch(entry)?;
        let record = self.install(entry)?;
        self.terminal.clear();
        let place = self.place(entry);
        self.terminal.event(json!({
            "event": "pulled", "name": name, "path": place, "bytes": entry.bytes(), "licence": entry.licence,
            "files": record.files,
        }));
        if !self.terminal.json() {
            print(&format!("{name}: kept in `{}`", place.display()));
        }
        Ok(())
    }

    /// Where the model will lie.
    fn place(&self, entry: &Entry) -> PathBuf {
        let name = &entry.name;
        self.folder.join(if entry.is_folder() { name.clone() } else { format!("{name}.safetensors") })
    }

    /// Where a file lies until all are there.
    fn staged(&self, entry: &Entry, file: &File) -> PathBuf {
        staging(&self.folder, &entry.name).join(if entry.is_folder() { file.0.as_str() } else { file.name() })
    }

    fn unwritable(&self, error: &io::Error) -> Failure {
        Failure::new(Blame::Resource, format!("cannot write in `{}`: {error}", self.folder.display()))
            .hint("make room, or name another folder with the variable `UPWEAVE_MODELS`; what came so far is kept")
    }

    /// Waits until no other process is at this model.
    fn lock(&self, name: &str) -> Result<Lock, Ended> {
        let mut told = false;
        loop {
            if self.stop.exit_code().is_some() {
                return Err(Ended::Stopped);
            }
            if let Some(lock) = Lock::take(&self.folder, name).map_err(|error| self.unwritable(&error))? {
                return Ok(lock);
            }
            if !told {
                self.terminal.event(json!({ "event": "waiting", "name": name }));
                self.terminal.say(&format!("{name}: another process is at it; waiting"));
                told = true;
            }
            thread::sleep(LOOK);
        }
    }

    fn here(&self, entry: &Entry) -> Result<Here, Ended> {
        let place = self.place(entry);
        let other = if entry.is_folder() {
            self.folder.join(format!("{}.safetensors", entry.name))
        } else {
            self.folder.join(&entry.name)
        };
        if other.exists() {
            return Ok(Here::Other);
        }
        if !place.exists() {
            return Ok(Here::Not);
        }
        // What somebody put there by hand may well be the same.
        let by_hand = || (!entry.kind.converted()).then(|| self.record(entry, as_it_is(entry)));
        let of_list = Record::of(&self.folder, &entry.name).filter(|record| record.is_of(&entry.files));
        let Some(record) = of_list.clone().or_else(by_hand) else { return Ok(Here::Other) };
        let root = if entry.is_folder() { &place } else { &self.folder };
        let wrong = record.check(root, &|done, of| {
            self.terminal.progress(
                None,
                &format!("{}, looking at what is here", entry.name),
                done as f64 / of.max(1) as f64,
            );
            if self.stop.exit_code().is_some() { Err(Stopped) } else { Ok(()) }
        })?;
        self.terminal.clear();
        match (wrong.is_empty(), of_list.is_some()) {
            (false, true) => Ok(Here::Damaged),
            (false, false) => Ok(Here::Other),
            (true, known) => {
                if !known {
                    record.write(&self.folder, &entry.name).map_err(|error| self.unwritable(&error))?;
                }
                Ok(Here::Good)
            }
        }
    }

    /// Shows the licence, and asks where it restricts what may be done.
    fn licence(&self, entry: &Entry) -> Result<(), Ended> {
        let Entry { name, about, licence, terms, .. } = entry;
        let terms = if terms.is_empty() { String::new() } else { format!(", {terms}") };
        self.terminal.say(&format!("{name}: {about}; {}, licence {licence}{terms}", engine::bytes(entry.bytes())));
        if entry.commercial || self.accepted {
            return Ok(());
        }
        let (message, asked) = (
            format!("the licence of `{name}` ({licence}{terms}) restricts its commercial use"),
            io::stdin().is_terminal() && !self.terminal.silent(),
        );
        if asked {
            // Nobody is left to ask when stderr is gone.
            _ = write!(io::stderr(), "{message}. Accept it? [y/N] ");
            let mut answer = String::new();
            _ = io::stdin().read_line(&mut answer);
            if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
                return Ok(());
            }
        }
        Err(Failure::new(Blame::Graph, message).hint("read it, and accept it with `--accept-licence`").into())
    }

    /// Whether the disk has room for what is missing.
    fn room(&self, entry: &Entry) -> Result<(), Ended> {
        let there = |path: PathBuf| fs::metadata(path).map_or(0, |about| about.len());
        let missing = |file: &File| {
            let staged = self.staged(entry, file);
            let mut part = staged.clone().into_os_string();
            part.push(".part");
            file.1.saturating_sub(there(staged).max(there(part.into())))
        };
        let missing = entry.files.iter().map(missing).fold(0, u64::saturating_add);
        let need = missing.saturating_add(if entry.kind.converted() { entry.bytes() } else { 0 });
        match installed::free(&self.folder) {
            Some(free) if free < need => Err(Failure::new(
                Blame::Resource,
                format!(
                    "`{}` needs {} more, and the disk of `{}` has {} free",
                    entry.name,
                    engine::bytes(need),
                    self.folder.display(),
                    engine::bytes(free)
                ),
            )
            .hint("make room, or name another folder with the variable `UPWEAVE_MODELS`")
            .into()),
            _ => Ok(()),
        }
    }

    /// Fetches all files that are not there yet.
    fn fetch(&self, entry: &Entry) -> Result<(), Ended> {
        let mut before = 0;
        for file in &entry.files {
            let place = self.staged(entry, file);
            // What has its name was whole when it got it.
            if !fs::metadata(&place).is_ok_and(|about| about.len() == file.1) {
                let addresses = entry.addresses_of(file, &self.sources);
                let wanted = Wanted { addresses: &addresses, bytes: file.1, sha256: &file.2, place: &place };
                let telling = Telling { puller: self, entry, file, before, last: Cell::new(None) };
                download::fetch(&self.client, &wanted, self.patience, &telling).map_err(|failed| match failed {
                    Failed::Stopped => Ended::Stopped,
                    Failed::Disk(error) => self.unwritable(&error).into(),
                    Failed::Network(message, hint) => {
                        let message = format!("the model `{}` cannot be fetched: {message}", entry.name);
                        Failure { hint, ..Failure::new(Blame::Model, message) }.into()
                    }
                })?;
            }
            before += file.1;
        }
        Ok(())
    }

    fn record(&self, entry: &Entry, files: Vec<Kept>) -> Record {
        Record {
            origin: Origin::Pulled,
            from: entry.addresses_of(&entry.files[0], &Sources::usual()).pop().unwrap_or_default(),
            kind: entry.kind.to_string(),
            licence: entry.licence.clone(),
            files,
            sources: entry.files.iter().map(|file| file.2.clone()).collect(),
        }
    }

    /// Gives what was fetched its name.
    fn install(&self, entry: &Entry) -> Result<Record, Ended> {
        let (staging, place) = (staging(&self.folder, &entry.name), self.place(entry));
        let first = self.staged(entry, &entry.files[0]);
        let unwritable = |error: io::Error| self.unwritable(&error);
        let record = if entry.kind.converted() {
            let model = Converted::new(&ModelFile::read(&first)?, Path::new(entry.files[0].name()), Some(entry))?;
            let record = self.record(entry, vec![model.kept(&entry.name)]);
            record.write(&self.folder, &entry.name).map_err(unwritable)?;
            written(&place, &model.bytes).map_err(unwritable)?;
            record
        } else {
            let record = self.record(entry, as_it_is(entry));
            record.write(&self.folder, &entry.name).map_err(unwritable)?;
            if entry.is_folder() {
                // Only a damaged one can be there.
                if place.exists() {
                    fs::remove_dir_all(&place).map_err(unwritable)?;
                }
                fs::rename(&staging, &place).map_err(unwritable)?;
            } else {
                fs::rename(&first, &place).map_err(unwritable)?;
            }
            installed::sync(&self.folder);
            record
        };
        _ = fs::remove_dir_all(&staging);
        Ok(record)
    }
}

/// The files of a model that is kept as it came.
fn as_it_is(entry: &Entry) -> Vec<Kept> {
    let kept = |File(path, bytes, sha256): &File| Kept {
        path: if entry.is_folder() { path.clone() } else { format!("{}.safetensors", entry.name) },
        bytes: *bytes,
        sha256: sha256.clone(),
    };
    entry.files.iter().map(kept).collect()
}

/// Tells how far a download is.
struct Telling<'a> {
    puller: &'a Puller<'a>,
    entry: &'a Entry,
    file: &'a File,
    /// Bytes of the files before this one.
    before: u64,
    last: Cell<Option<Instant>>,
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
