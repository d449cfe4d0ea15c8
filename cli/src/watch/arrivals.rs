//! Which files have arrived: looking through the folder, and at every file twice.

use super::{
    ledger::{Ledger, Reading, State},
    sidecar::{self, Settings},
};
use crate::pictures;
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant, UNIX_EPOCH},
};

/// Endings of files that are still on their way.
const PARTIAL: [&str; 8] = ["tmp", "temp", "part", "partial", "crdownload", "download", "filepart", "swp"];
/// A file that cannot be decoded is tried again so often while nobody touches it, each time after twice as long.
const ATTEMPTS: u32 = 4;
/// However often something fails, the next attempt comes after `2^8` times the rest that a file needs.
const MOST_PATIENT: u32 = 8;

/// A file to be worked on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Arrived {
    /// Its path inside the folder.
    pub path: PathBuf,
    pub reading: Reading,
    pub settings: Settings,
}

/// A file that may still be written.
struct Waiting {
    reading: Reading,
    /// When it was first seen like this.
    since: Instant,
    /// How often it could not be made like this.
    attempts: u32,
    /// Whether it has changed since it was first seen.
    changed: bool,
}

/// Looks for files.
pub(super) struct Arrivals {
    root: PathBuf,
    /// Folders whose files are not taken: those that results and finished files go to.
    avoid: Vec<PathBuf>,
    settle: Duration,
    /// Stands for what is asked for.
    asked: u64,
    waiting: HashMap<PathBuf, Waiting>,
    /// Identity of the folder at the last look; nothing when it was not there.
    pub(super) root_id: Option<(u64, u64)>,
}

/// What a look has shown.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub arrived: Vec<Arrived>,
    /// Files that are still being written, as far as one can tell.
    pub waiting: usize,
    /// Those of them that are worth waiting for when that is to end: neither empty nor still growing.
    pub once: usize,
    /// When the next of them may have arrived.
    pub next: Option<Duration>,
    /// Files that are finished but still lie here, to be moved away.
    pub finished: Vec<PathBuf>,
}

impl Arrivals {
    pub(super) fn new(root: &Path, avoid: Vec<PathBuf>, settle: Duration, asked: u64) -> Self {
        Self { root: root.to_owned(), avoid, settle, asked, waiting: HashMap::new(), root_id: None }
    }

    /// Looks through the folder.
    ///
    /// # Errors
    /// When the folder is not there. What is known of its files stays known.
    pub(super) fn look(&mut self, ledger: &Ledger) -> io::Result<Look> {
        let about = fs::metadata(&self.root)?;
        self.root_id = Some(identity(&about));
        let files = self.present()?;
        let mut look = Look::default();
        let present: HashSet<&PathBuf> = files.iter().map(|file| &file.path).collect();
        self.waiting.retain(|path, _| present.contains(path));
        drop(present);
        for file in files {
            if let Some(entry) = ledger.entry(&file.path)
                && entry.state != State::Begun
                && entry.reading == file.reading
            {
                self.waiting.remove(&file.path);
                if entry.state != State::Ignored {
                    look.finished.push(file.path);
                }
                continue;
            }
            match self.rest(&file) {
                Some(rest) => {
                    look.waiting += 1;
                    let growing = self.waiting.get(&file.path).is_some_and(|seen| seen.changed);
                    look.once += usize::from(file.reading.size > 0 && !growing);
                    look.next = Some(look.next.map_or(rest, |next| next.min(rest)));
                }
                None => look.arrived.push(file),
            }
        }
        Ok(look)
    }

    /// All files that are there.
    ///
    /// # Errors
    /// When the folder is not there.
    pub(super) fn present(&self) -> io::Result<Vec<Arrived>> {
        let mut files = Vec::new();
        walk(&self.root, Path::new(""), &Settings::default(), &self.avoid, &mut files)?;
        files.iter_mut().for_each(|file| file.reading.settings ^= self.asked);
        Ok(files)
    }

    /// How long to wait for a file at least; nothing when it has arrived.
    fn rest(&mut self, file: &Arrived) -> Option<Duration> {
        let now = Instant::now();
        let seen = self.waiting.entry(file.path.clone()).or_insert(Waiting {
            reading: file.reading,
            since: now,
            attempts: 0,
            changed: false,
        });
        if seen.reading != file.reading {
            *seen = Waiting { reading: file.reading, since: now, attempts: 0, changed: true };
        }
        // An empty file is one that nobody has written yet.
        if file.reading.size == 0 {
            return Some(self.settle.max(Duration::from_secs(1)));
        }
        let wanted = self.settle * ((1 << (seen.attempts.min(MOST_PATIENT) + 1)) - 1);
        wanted.checked_sub(now - seen.since).filter(|rest| !rest.is_zero())
    }

    /// Tells that a file could not be made. Gives whether it may still be on its way, and so is worth another attempt.
    pub(super) fn failed(&mut self, path: &Path) -> bool {
        self.waiting.get_mut(path).is_some_and(|seen| {
            seen.attempts += 1;
            seen.attempts < ATTEMPTS
        })
    }
}

impl Arrived {
    /// Whether it still looks as it did.
    pub(super) fn is_unchanged(&self, root: &Path) -> bool {
        let about = fs::metadata(root.join(&self.path));
        about.is_ok_and(|about| reading(&about, self.reading.settings) == self.reading)
    }
}

/// The pictures in a folder and those inside, with what applies to them.
fn walk(folder: &Path, inside: &Path, above: &Settings, avoid: &[PathBuf], files: &mut Vec<Arrived>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let names: HashSet<_> = entries.iter().map(fs::DirEntry::file_name).collect();
    let here = match names.contains(Path::new(sidecar::FOLDER).as_os_str()) {
        true => above.with(folder.join(sidecar::FOLDER)),
        false => above.clone(),
    };
    for entry in &entries {
        let (name, path) = (entry.file_name(), entry.path());
        if is_on_its_way(Path::new(&name)) {
            continue;
        }
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            let avoided = path.canonicalize().is_ok_and(|path| avoid.contains(&path));
            // What cannot be read, or is gone again, does not keep the others waiting.
            if !avoided {
                let _ = walk(&path, &inside.join(&name), &here, avoid, files);
            }
        } else if pictures::is_picture(&path) {
            // Links to files are taken, links to folders are not: they may lead back up.
            let Some(about) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) else { continue };
            let own =
                sidecar::names(&path).into_iter().find(|own| own.file_name().is_some_and(|name| names.contains(name)));
            let settings = own.map_or_else(|| here.clone(), |own| here.with(own));
            let reading = reading(&about, settings.stamp());
            files.push(Arrived { path: inside.join(&name), reading, settings });
        }
    }
    Ok(())
}

/// Whether a name says that the file is not whole yet, or that it is of no interest: `.photo.jpg.x7Hq2` of rsync is hidden.
fn is_on_its_way(name: &Path) -> bool {
    let text = name.to_string_lossy();
    let extension = name.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    text.starts_with(['.', '~']) || extension.is_some_and(|extension| PARTIAL.contains(&extension.as_str()))
}

fn reading(about: &fs::Metadata, settings: u64) -> Reading {
    let mtime = about.modified().ok().map_or(0, |time| match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    });
    Reading { size: about.len(), mtime, inode: identity(about).1, settings }
}

#[cfg(unix)]
fn identity(about: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (about.dev(), about.ino())
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> (u64, u64) {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::ledger::Entry;
    use std::thread;

    const SETTLE: Duration = Duration::from_millis(40);

    fn names(look: &Look) -> Vec<String> {
        look.arrived.iter().map(|file| file.path.display().to_string()).collect()
    }

    #[test]
    fn files_arrive_once_they_rest() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join("in").join(name);
        fs::create_dir_all(at("sub")).unwrap();
        fs::create_dir_all(at("out")).unwrap();
        for name in ["a.png", "sub/b.jpg", "out/c.png", ".hidden.png", "d.png.part", "~e.png", "notes.txt", "f.tmp"] {
            fs::write(at(name), "x").unwrap();
        }
        fs::write(at("empty.png"), "").unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger")).unwrap();
        let avoid = vec![at("out").canonicalize().unwrap()];
        let mut arrivals = Arrivals::new(&at(""), avoid, SETTLE, 0);
        let first = arrivals.look(&ledger).unwrap();
        assert_eq!((names(&first).len(), first.waiting), (0, 3));
        assert!(first.next.unwrap() <= SETTLE);
        thread::sleep(SETTLE);
        fs::write(at("sub/b.jpg"), "xy").unwrap();
        assert_eq!(names(&arrivals.look(&ledger).unwrap()), ["a.png"]);
        thread::sleep(SETTLE);
        let third = arrivals.look(&ledger).unwrap();
        assert_eq!(names(&third), ["a.png", "sub/b.jpg"]);
        // One that cannot be decoded has more time, but not for ever.
        assert!(arrivals.failed(Path::new("a.png")));
        assert_eq!(names(&arrivals.look(&ledger).unwrap()), ["sub/b.jpg"]);
        let more = (0..10).filter(|_| arrivals.failed(Path::new("a.png"))).count();
        assert_eq!(more as u32, ATTEMPTS - 2);
        assert!(third.arrived[0].is_unchanged(&at("")));
        fs::write(at("a.png"), "longer").unwrap();
        assert!(!third.arrived[0].is_unchanged(&at("")));
    }

    #[test]
    fn what_is_done_is_known_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.png");
        fs::write(&file, "x").unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&elsewhere.path().join("ledger")).unwrap();
        let mut arrivals = Arrivals::new(folder.path(), Vec::new(), Duration::ZERO, 7);
        let arrived = arrivals.look(&ledger).unwrap().arrived.remove(0);
        let entry = |state| Entry::whole(arrived.path.clone(), state, arrived.reading);
        ledger.add(vec![entry(State::Begun)]).unwrap();
        assert_eq!(arrivals.look(&ledger).unwrap().arrived.len(), 1);
        ledger.add(vec![entry(State::Done)]).unwrap();
        let look = arrivals.look(&ledger).unwrap();
        assert_eq!((look.arrived.len(), look.finished), (0, vec![PathBuf::from("a.png")]));
        fs::write(&file, "xyz").unwrap();
        assert_eq!(arrivals.look(&ledger).unwrap().arrived.len(), 1);
        drop(fs::remove_dir_all(folder.path()));
        assert!(arrivals.look(&ledger).is_err());
    }
}
