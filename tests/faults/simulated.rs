//! A disk in memory: every operation can be made to fail, and after each of them one can see what a power cut leaves.

use engine::filesystem::{Filesystem, Listed, Lock, OpenFile, folder_of};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

/// What survives of things that were not flushed when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing.
    Nothing,
    /// All names, but not the contents: files of length 0, as some systems leave them behind a rename.
    Names,
    /// All names, and the first half of every content.
    Half,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Vec<u8>,
    flushed: Vec<u8>,
    modified: u64,
    locked: bool,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    flushed_names: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    clock: u64,
    operations: usize,
    fail_at: Option<(usize, i32)>,
    /// Whether what is to be flushed soon never is.
    lazy: bool,
    /// The state after every operation, when they are recorded.
    history: Option<Vec<Snapshot>>,
}

/// A state that a power cut may find.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    flushed_names: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
}

/// The disk. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated(Arc<Mutex<State>>);

impl Simulated {
    /// Records the state after every operation from now on.
    pub(crate) fn record(&self) {
        self.state().history = Some(Vec::new());
    }

    /// The states after every operation since then.
    pub(crate) fn history(&self) -> Vec<Snapshot> {
        self.state().history.clone().unwrap_or_default()
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> usize {
        self.state().operations
    }

    /// Makes the operation of this number fail, and all after it when the disk is `full`.
    pub(crate) fn fail_at(&self, operation: usize, errno: i32) {
        self.state().fail_at = Some((operation, errno));
    }

    /// Makes a disk whose power goes before anything is flushed that nobody waits for.
    pub(crate) fn lazy() -> Self {
        Self(Arc::new(Mutex::new(State { lazy: true, ..State::default() })))
    }

    /// The files.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// What a power cut leaves of a state.
    pub(crate) fn after(snapshot: &Snapshot, cut: Cut) -> Self {
        let names = if cut == Cut::Nothing { &snapshot.flushed_names } else { &snapshot.names };
        let mut inodes = snapshot.inodes.clone();
        for inode in &mut inodes {
            if cut == Cut::Half && inode.flushed.len() < inode.now.len() {
                inode.flushed = inode.now[..inode.now.len() / 2].to_vec();
            }
            inode.now.clone_from(&inode.flushed);
            inode.locked = false;
        }
        let (names, folders) = (names.clone(), snapshot.folders.clone());
        let state = State { inodes, flushed_names: names.clone(), names, folders, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Does one operation, or fails in its place.
    fn operate<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        state.operations += 1;
        state.clock += 1;
        let operations = state.operations;
        match state.fail_at {
            Some((at, errno)) if at == operations => return Err(io::Error::from_raw_os_error(errno)),
            _ => {}
        }
        let result = act(&mut state);
        if state.history.is_some() {
            let snapshot = Snapshot {
                inodes: state.inodes.clone(),
                names: state.names.clone(),
                flushed_names: state.flushed_names.clone(),
                folders: state.folders.clone(),
            };
            state.history.get_or_insert_default().push(snapshot);
        }
        result
    }
}

fn missing<T>() -> io::Result<T> {
    Err(io::ErrorKind::NotFound.into())
}

impl State {
    fn inode(&mut self, path: &Path) -> io::Result<&mut Inode> {
        match self.names.get(path) {
            Some(index) => Ok(&mut self.inodes[*index]),
            None => missing(),
        }
    }

    fn in_folder(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new(""));
        if self.folders.contains(folder) { Ok(()) } else { missing() }
    }
}

struct Open {
    disk: Simulated,
    inode: usize,
    locking: bool,
}

impl Write for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A long write may stop in the middle.
        let now = bytes.len().min(1000);
        self.disk.operate(|state| {
            state.inodes[self.inode].now.extend_from_slice(&bytes[..now]);
            Ok(now)
        })
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Open {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl OpenFile for Open {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.operate(|state| {
            let inode = &mut state.inodes[self.inode];
            inode.flushed.clone_from(&inode.now);
            Ok(())
        })
    }
}

impl Lock for Open {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.disk.operate(|state| Ok(state.inodes[self.inode].now.clone()))
    }
    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.disk.operate(|state| {
            state.inodes[self.inode].now = content.to_vec();
            Ok(())
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.locking {
            self.disk.state().inodes[self.inode].locked = false;
        }
    }
}

impl Filesystem for Simulated {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let inode = self.operate(|state| {
            state.in_folder(path)?;
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.inodes.push(Inode { modified: state.clock, locked: true, ..Inode::default() });
            let index = state.inodes.len() - 1;
            state.names.insert(path.to_owned(), index);
            Ok(index)
        })?;
        Ok(Box::new(Open { disk: self.clone(), inode, locking: true }))
    }

    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        self.operate(|state| {
            let inode = state.inode(path)?;
            if inode.now.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(inode.now.clone()) }
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|state| {
            state.in_folder(to)?;
            let Some(inode) = state.names.remove(from) else { return missing() };
            state.names.insert(to.to_owned(), inode);
            Ok(())
        })
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.state().names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate(|state| state.names.remove(path).map_or_else(missing, |_| Ok(())))
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.operate(|state| {
            state.folders.extend(path.ancestors().map(Path::to_owned));
            Ok(())
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.operate(|state| {
            let inside = |name: &&PathBuf| name.parent() == Some(path);
            let gone: Vec<PathBuf> = state.flushed_names.keys().filter(inside).cloned().collect();
            gone.iter().for_each(|name| {
                state.flushed_names.remove(name);
            });
            let there: Vec<(PathBuf, usize)> = state
                .names
                .iter()
                .filter(|(name, _)| inside(name))
                .map(|(name, inode)| (name.clone(), *inode))
                .collect();
            state.flushed_names.extend(there);
            Ok(())
        })
    }

    fn sync_soon(&self, path: &Path) {
        if self.state().lazy {
            return;
        }
        let flush = |state: &mut State| {
            let inode = state.inode(path)?;
            inode.flushed.clone_from(&inode.now);
            Ok(())
        };
        self.operate(flush).and_then(|()| self.sync_folder(folder_of(path))).ok();
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        self.operate(|state| {
            let inside = state.names.iter().filter(|(path, _)| path.parent() == Some(folder));
            let listed = |(path, index): (&PathBuf, &usize)| Listed {
                name: path.file_name().unwrap().to_string_lossy().into_owned(),
                bytes: state.inodes[*index].now.len() as u64,
                modified: SystemTime::UNIX_EPOCH + Duration::from_secs(state.inodes[*index].modified),
            };
            Ok(inside.map(listed).collect())
        })
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        self.operate(|state| state.inode(path).map(|inode| inode.now.len() as u64))
    }

    fn touch(&self, path: &Path) -> io::Result<()> {
        self.operate(|state| {
            let clock = state.clock;
            state.inode(path).map(|inode| inode.modified = clock)
        })
    }

    fn lock(&self, path: &Path, _wait: bool) -> io::Result<Option<Box<dyn Lock>>> {
        let inode = self.operate(|state| {
            state.in_folder(path)?;
            let fresh = state.inodes.len();
            let index = *state.names.entry(path.to_owned()).or_insert(fresh);
            if index == fresh {
                state.inodes.push(Inode::default());
            }
            // Nothing here is shared by threads, so nobody would ever let go.
            assert!(!state.inodes[index].locked, "{} is locked twice", path.display());
            state.inodes[index].locked = true;
            Ok(index)
        })?;
        Ok(Some(Box::new(Open { disk: self.clone(), inode, locking: true })))
    }

    fn abandoned(&self, path: &Path) -> bool {
        self.state().inode(path).is_ok_and(|inode| !inode.locked)
    }

    fn free(&self, _: &Path) -> Option<u64> {
        Some(1 << 40)
    }
}
