//! The operations on files that keeping and saving results need, and how a file is published whole or not at all.
//!
//! They go through a trait so that tests can make each of them fail, and can see what a power cut would leave of them.

mod direct;
mod os;

pub use os::OsFilesystem;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

/// Files and folders.
pub trait Filesystem: Send + Sync + fmt::Debug {
    /// Makes a file to write, which must not exist. While it is open, [`Filesystem::abandoned`] is false for it.
    ///
    /// # Errors
    /// Those of the system.
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    /// As [`Filesystem::create`], with its content, in parts.
    ///
    /// # Errors
    /// Those of the system.
    fn create_with(&self, path: &Path, parts: &[&[u8]]) -> io::Result<Box<dyn OpenFile>> {
        let mut file = self.create(path)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        Ok(file)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// Those of the system, and [`io::ErrorKind::FileTooLarge`] when it has more than `most` bytes.
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>>;

    /// Puts a file under another name in the same file system, in one step; what was there is gone.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// As [`Filesystem::rename`], but what is there stays.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when something is there, and those of the system.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder and those around it, such that they survive a power cut.
    ///
    /// # Errors
    /// Those of the system.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder survive a power cut.
    ///
    /// # Errors
    /// Those of the system.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes a file and its name survive a power cut, some time soon; nobody waits for it, and nobody hears when it fails.
    fn sync_soon(&self, path: &Path);

    /// The files in a folder, in no order; folders in it are left out.
    ///
    /// # Errors
    /// Those of the system.
    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>>;

    /// Size of a file.
    ///
    /// # Errors
    /// Those of the system.
    fn size(&self, path: &Path) -> io::Result<u64>;

    /// Marks a file as used now.
    ///
    /// # Errors
    /// Those of the system.
    fn touch(&self, path: &Path) -> io::Result<()>;

    /// Takes the lock that a file stands for, which is made when it is not there. `None` when another holds it and
    /// `wait` is false. The lock ends when it is dropped, or with the process.
    ///
    /// # Errors
    /// Those of the system.
    fn lock(&self, path: &Path, wait: bool) -> io::Result<Option<Box<dyn Lock>>>;

    /// Whether whoever made this file for writing is gone.
    fn abandoned(&self, path: &Path) -> bool;

    /// Bytes that are free where a folder lies, when the system tells.
    fn free(&self, folder: &Path) -> Option<u64>;
}

/// A file being written.
pub trait OpenFile: io::Write + io::Seek + Send {
    /// Makes its content survive a power cut.
    ///
    /// # Errors
    /// Those of the system.
    fn sync(&mut self) -> io::Result<()>;
}

/// A lock that is held, and the file that stands for it.
pub trait Lock: Send + Sync {
    /// The content of the file.
    ///
    /// # Errors
    /// Those of the system.
    fn read(&mut self) -> io::Result<Vec<u8>>;

    /// Gives the file another content. This is no careful step: after a crash the content may be cut.
    ///
    /// # Errors
    /// Those of the system.
    fn write(&mut self, content: &[u8]) -> io::Result<()>;
}

/// A file in a folder.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name, without the folder.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was written or touched last.
    pub modified: SystemTime,
}

/// What a file replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// What is there is replaced, in one step.
    Yes,
    /// What is there stays, and the error is [`io::ErrorKind::AlreadyExists`].
    No,
}

const PREFIX: &str = ".upweave-";
const SUFFIX: &str = ".part";

/// How often a file is made anew whose temporary name was taken away.
const ATTEMPTS: usize = 4;

/// Writes a file such that it is there whole or not at all, even after a power cut: under another name in the same
/// folder, flushed, renamed, the folder flushed.
///
/// # Errors
/// Those of the system. Then nothing is left behind, as far as the system allows.
pub fn publish(files: &dyn Filesystem, path: &Path, parts: &[&[u8]], replace: Replace) -> io::Result<()> {
    write(files, path, parts, |file, temporary| {
        file.sync()?;
        give_name(files, temporary, path, replace)
    })?;
    // Not every system can flush a folder; without it the file may be missing after a power cut, never broken.
    files.sync_folder(folder_of(path)).ok();
    Ok(())
}

/// As [`publish`], but nobody waits for the disk: the file is there for all processes at once and survives the end of any of
/// them, but for a moment a power cut may leave it broken. For files that are checked when they are read.
///
/// # Errors
/// Those of the system. Then nothing is left behind, as far as the system allows.
pub fn publish_soon(files: &dyn Filesystem, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    write(files, path, parts, |_, temporary| give_name(files, temporary, path, Replace::Yes))?;
    files.sync_soon(path);
    Ok(())
}

/// Writes a file under another name in the same folder, for `name` to give it its own.
fn write(
    files: &dyn Filesystem,
    path: &Path,
    parts: &[&[u8]],
    mut name: impl FnMut(&mut dyn OpenFile, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let temporary = folder_of(path).join(temporary_name());
        let written = files.create_with(&temporary, parts).and_then(|mut file| name(&mut *file, &temporary));
        match written {
            Ok(()) => return Ok(()),
            // In the moment between making and locking it, another process may have taken the file for a dead one's.
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
            Err(error) => {
                files.remove(&temporary).ok();
                return Err(error);
            }
        }
    }
}

/// A file that is written bit by bit, to be published once it is whole. When it is dropped before, nothing is left of it.
pub struct Unpublished<'a> {
    files: &'a dyn Filesystem,
    /// Its temporary name, until it has its own.
    path: Option<PathBuf>,
}

impl<'a> Unpublished<'a> {
    /// Begins a file in a folder, and gives what its content is to be written to. That is to be held until it is
    /// published, and flushed before.
    ///
    /// # Errors
    /// Those of the system.
    pub fn begin(files: &'a dyn Filesystem, folder: &Path) -> io::Result<(Self, Box<dyn OpenFile>)> {
        let path = folder.join(temporary_name());
        let file = files.create(&path)?;
        Ok((Self { files, path: Some(path) }, file))
    }

    /// The bytes that were written so far.
    pub fn bytes(&self) -> u64 {
        self.path.as_ref().and_then(|path| self.files.size(path).ok()).unwrap_or_default()
    }

    /// Gives the file its name, in the folder that it lies in. It may be tried again under another name.
    ///
    /// # Errors
    /// Those of the system.
    pub fn publish(&mut self, path: &Path, replace: Replace) -> io::Result<()> {
        let Some(temporary) = &self.path else { return Err(io::ErrorKind::NotFound.into()) };
        give_name(self.files, temporary, path, replace)?;
        self.path = None;
        self.files.sync_folder(folder_of(path)).ok();
        Ok(())
    }
}

impl Drop for Unpublished<'_> {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            self.files.remove(path).ok();
        }
    }
}

fn give_name(files: &dyn Filesystem, from: &Path, to: &Path, replace: Replace) -> io::Result<()> {
    match replace {
        Replace::Yes => files.rename(from, to),
        Replace::No => files.rename_new(from, to),
    }
}

/// Removes what processes that were killed left of files they wrote into this folder.
pub fn sweep(files: &dyn Filesystem, folder: &Path) {
    for listed in files.list(folder).unwrap_or_default() {
        let path = folder.join(&listed.name);
        if listed.name.starts_with(PREFIX) && listed.name.ends_with(SUFFIX) && files.abandoned(&path) {
            files.remove(&path).ok();
        }
    }
}

/// The folder that a file lies in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A name that no other thread or process uses.
fn temporary_name() -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(format!("{PREFIX}{}-{number}{SUFFIX}", std::process::id()))
}
