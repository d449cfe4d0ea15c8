//! What was done about which file, so that every file has its effect once, however often the watcher is killed.
//!
//! A text file to which one JSON object a line is added and synced to the disk. A line that a crash has cut is passed over. Before a
//! result is made its name is written down (`begun`): a watcher that is killed in between gives the same result the same name.

use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

/// How a file looks from outside. Two equal readings some time apart mean that nobody writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub size: u64,
    /// Nanoseconds since 1970, by the clock of whoever holds the file.
    pub mtime: i128,
    pub inode: u64,
    /// Stands for the settings that apply to it.
    pub settings: u64,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It is at work, or was when the watcher was killed.
    Begun,
    /// Its result is there.
    Done,
    /// It cannot be made.
    Failed,
    /// It was there before anybody watched, and is left alone.
    Ignored,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Its path inside the folder.
    pub path: PathBuf,
    /// Which of several pictures in it, counted from 1; 0 is the file as a whole.
    #[serde(default, skip_serializing_if = "is_whole")]
    pub frame: u32,
    pub state: State,
    pub reading: Reading,
    /// Stands for its content and for the recipe: equal ones are not made again.
    #[serde(default)]
    pub work: String,
    /// Names of the results, from the folder that they go to.
    #[serde(default)]
    pub outputs: Vec<PathBuf>,
}

impl Entry {
    /// What became of a file as a whole, where nothing more is to be told.
    pub(crate) fn whole(path: PathBuf, state: State, reading: Reading) -> Self {
        Self { path, frame: 0, state, reading, work: String::new(), outputs: Vec::new() }
    }
}

fn is_whole(frame: &u32) -> bool {
    *frame == 0
}

/// Why there is no ledger.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    #[error("another watcher works with the ledger `{0}`")]
    Taken(PathBuf),
    #[error("the ledger `{0}` cannot be used: {1}")]
    Io(PathBuf, #[source] io::Error),
}

type Known = HashMap<PathBuf, BTreeMap<u32, Entry>>;

/// Takes note of an entry. Gives how many lines that makes needless.
fn keep(known: &mut Known, entry: Entry) -> usize {
    usize::from(known.entry(entry.path.clone()).or_default().insert(entry.frame, entry).is_some())
}

/// The ledger of one folder.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
    /// Of each file, by the number of the picture in it.
    entries: Known,
    /// Lines that later ones have made needless.
    stale: usize,
    path: PathBuf,
}

/// So many needless lines are kept before the file is written anew.
const MOST_STALE: usize = 100_000;

impl Ledger {
    /// Opens it, for one watcher alone.
    pub(crate) fn open(path: &Path) -> Result<Self, LedgerError> {
        let failed = |error| LedgerError::Io(path.to_owned(), error);
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => LedgerError::Taken(path.to_owned()),
            TryLockError::Error(error) => failed(error),
        })?;
        let mut ledger = Self { file, entries: HashMap::new(), stale: 0, path: path.to_owned() };
        let mut reader = BufReader::new(&ledger.file);
        let (mut line, mut whole) = (Vec::new(), true);
        while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            whole = line.ends_with(b"\n");
            if let Ok(entry) = serde_json::from_slice::<Entry>(&line) {
                ledger.stale += keep(&mut ledger.entries, entry);
            }
            line.clear();
        }
        if !whole {
            // What is added must not stand behind half a line.
            (&ledger.file).write_all(b"\n").map_err(failed)?;
        }
        if ledger.stale > MOST_STALE.max(ledger.entries.len()) {
            ledger.rewrite().map_err(failed)?;
        }
        Ok(ledger)
    }

    /// What is known of a file as a whole.
    pub(crate) fn entry(&self, path: &Path) -> Option<&Entry> {
        self.frame(path, 0)
    }

    /// What is known of one of the pictures in a file.
    pub(crate) fn frame(&self, path: &Path, frame: u32) -> Option<&Entry> {
        self.entries.get(path)?.get(&frame)
    }

    /// Writes down what became of files. It is on the disk when this is over.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(crate) fn add(&mut self, entries: Vec<Entry>) -> Result<(), LedgerError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.note(entries)?;
        self.flush()
    }

    /// Writes down what became of files, which survives the end of the program, but a power cut only once it is flushed.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(crate) fn note(&mut self, entries: Vec<Entry>) -> Result<(), LedgerError> {
        let failed = |error| LedgerError::Io(self.path.clone(), error);
        (&self.file).write_all(&lines(entries.iter()).map_err(failed)?).map_err(failed)?;
        self.stale += entries.into_iter().map(|entry| keep(&mut self.entries, entry)).sum::<usize>();
        Ok(())
    }

    /// Brings to the disk what was written down.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(crate) fn flush(&self) -> Result<(), LedgerError> {
        self.file.sync_data().map_err(|error| LedgerError::Io(self.path.clone(), error))
    }

    /// Writes only what is of use, beside the file first: one of both is whole at any time.
    fn rewrite(&mut self) -> io::Result<()> {
        let text = lines(self.entries.values().flat_map(BTreeMap::values))?;
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let new = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&beside)?;
        // Locked before it takes the place of the other: at no time could another watcher have it.
        new.try_lock()?;
        (&new).write_all(&text)?;
        new.sync_all()?;
        fs::rename(&beside, &self.path)?;
        // All that is written later stands behind this text, for its place in the file goes on from here.
        self.file = new;
        self.stale = 0;
        Ok(())
    }
}

fn lines<'a>(entries: impl Iterator<Item = &'a Entry>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, entry)?;
        text.push(b'\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, state: State) -> Entry {
        let reading = Reading { size: 1, mtime: 2, inode: 3, settings: 4 };
        Entry { path: path.into(), frame: 0, state, reading, work: "w".to_owned(), outputs: vec!["o.png".into()] }
    }

    #[test]
    fn it_survives_and_is_held_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.add(vec![entry("a", State::Begun), entry("b", State::Failed)]).unwrap();
        ledger.add(vec![entry("a", State::Done)]).unwrap();
        assert!(matches!(Ledger::open(&path), Err(LedgerError::Taken(_))));
        drop(ledger);
        let again = Ledger::open(&path).unwrap();
        assert_eq!(again.entry(Path::new("a")), Some(&entry("a", State::Done)));
        assert_eq!(again.entries.len(), 2);
        drop(again);
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.add(vec![Entry { frame: 3, ..entry("a", State::Begun) }]).unwrap();
        drop(ledger);
        let again = Ledger::open(&path).unwrap();
        assert_eq!(again.entry(Path::new("a")), Some(&entry("a", State::Done)));
        assert_eq!(again.frame(Path::new("a"), 3).map(|entry| entry.state), Some(State::Begun));
        assert_eq!(again.frame(Path::new("b"), 3), None);
    }

    #[test]
    fn a_cut_line_harms_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.add(vec![entry("a", State::Done), entry("b", State::Done)]).unwrap();
        drop(ledger);
        let text = std::fs::read(&path).unwrap();
        for cut in 0..text.len() {
            std::fs::write(&path, &text[..cut]).unwrap();
            let mut ledger = Ledger::open(&path).unwrap();
            ledger.add(vec![entry("c", State::Done)]).unwrap();
            drop(ledger);
            let again = Ledger::open(&path).unwrap();
            assert!(again.entry(Path::new("c")).is_some(), "lost behind a cut at {cut}");
        }
    }

    #[test]
    fn it_can_be_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let mut ledger = Ledger::open(&path).unwrap();
        for _ in 0..10 {
            ledger.add(vec![entry("a", State::Begun), entry("a", State::Done)]).unwrap();
        }
        ledger.rewrite().unwrap();
        ledger.add(vec![entry("b", State::Done)]).unwrap();
        assert!(matches!(Ledger::open(&path), Err(LedgerError::Taken(_))));
        drop(ledger);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }
}
