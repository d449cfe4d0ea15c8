//! `upweave models pull`: fetches models into the user's folder. What arrives is put together beside it, and gets its name when all of it
//! is there and is what it should be.

mod install;
mod telling;

use super::{import::exit_code, is_embedded};
use crate::{
    args::Pull,
    catalog::{self, Entry, File},
    download::{self, Client, Failed, Patience, Sources, Wanted},
    installed::{self, Lock, Stopped},
    models_folder,
    stop::Stop,
    terminal::{Terminal, print},
};
use engine::{Blame, Failure};
use install::Here;
use serde_json::json;
use std::{
    cell::Cell,
    fs,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    thread,
    time::Duration,
};
use telling::Telling;

/// Pause between two looks at a lock that another process holds.
const LOOK: Duration = Duration::from_millis(200);

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
}
