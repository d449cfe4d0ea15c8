//! What was put into the user's folder of models: where each came from, and the digests of its files. A record is a file
//! `.records/NAME.json` in that folder; `.pulling/NAME` holds what is on its way, and `.pulling/.NAME.lock` is held by who works on it.

use crate::catalog::{File, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, OpenOptions, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// How a model got here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    Pulled,
    Imported,
}

/// A file of a model, relative to its folder, or to the folder of models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
}

/// What was put where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub origin: Origin,
    /// The file that was imported, or the address of the first that was pulled.
    pub from: String,
    /// What it is.
    pub kind: String,
    pub licence: String,
    pub files: Vec<Kept>,
    /// Digests of the files that it was made from, by which it is known to be what the list of models says; none when it is another.
    #[serde(default)]
    pub sources: Vec<String>,
}

/// What there is to say about a file after it was read.
pub(crate) enum Trouble {
    Missing,
    Unreadable(io::Error),
    Size(u64),
    Content,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("is not there"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Size(bytes) => write!(f, "has {bytes} bytes now"),
            Self::Content => f.write_str("has another content now"),
        }
    }
}

impl Record {
    /// That of a model; nothing when there is none, or none that can be read.
    pub(crate) fn of(folder: &Path, name: &str) -> Option<Self> {
        serde_json::from_slice(&fs::read(place(folder, name)).ok()?).ok()
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> io::Result<()> {
        written(&place(folder, name), &serde_json::to_vec_pretty(self)?)
    }

    /// Removes that of a model.
    pub(crate) fn remove(folder: &Path, name: &str) {
        _ = fs::remove_file(place(folder, name));
    }

    /// Whether it came from these files.
    pub(crate) fn is_of(&self, files: &[File]) -> bool {
        self.sources.iter().eq(files.iter().map(|File(_, _, digest)| digest))
    }

    /// Reads all files, and gives those that are not as they were. `tell` learns how far it is, in bytes.
    ///
    /// # Errors
    /// When `tell` says to stop.
    pub(crate) fn check(
        &self,
        root: &Path,
        tell: &dyn Fn(u64, u64) -> Result<(), Stopped>,
    ) -> Result<Vec<(PathBuf, Trouble)>, Stopped> {
        let all: u64 = self.files.iter().map(|file| file.bytes).sum();
        let (mut wrong, mut done) = (Vec::new(), 0);
        for Kept { path, bytes, sha256 } in &self.files {
            let path = root.join(path);
            let trouble = match fs::metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Trouble::Missing),
                Err(error) => Some(Trouble::Unreadable(error)),
                Ok(about) if about.len() != *bytes => Some(Trouble::Size(about.len())),
                Ok(_) => match digest(&path, &|read| tell(done + read, all))? {
                    Ok(found) => (found != *sha256).then_some(Trouble::Content),
                    Err(error) => Some(Trouble::Unreadable(error)),
                },
            };
            wrong.extend(trouble.map(|trouble| (path, trouble)));
            done += bytes;
        }
        Ok(wrong)
    }
}

/// Somebody asked to stop.
#[derive(Debug)]
pub(crate) struct Stopped;

fn place(folder: &Path, name: &str) -> PathBuf {
    folder.join(".records").join(format!("{name}.json"))
}

/// SHA-256 of a file. `tell` learns how many bytes are read.
///
/// # Errors
/// When `tell` says to stop.
pub(crate) fn digest(path: &Path, tell: &dyn Fn(u64) -> Result<(), Stopped>) -> Result<io::Result<String>, Stopped> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    let (mut digest, mut buffer, mut done) = (Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Ok(hex(&digest.finalize()))),
            Ok(read) => {
                digest.update(&buffer[..read]);
                done += read as u64;
                tell(done)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// A file that is there whole, or not at all.
///
/// # Errors
/// When the disk does not take it.
pub(crate) fn written(place: &Path, bytes: &[u8]) -> io::Result<()> {
    put(place, |file| file.write_all(bytes))
}

/// As [`written`], with the content of another file.
///
/// # Errors
/// When that cannot be read, or the disk does not take it.
pub(crate) fn copied(place: &Path, from: &Path) -> io::Result<()> {
    put(place, |file| io::copy(&mut fs::File::open(from)?, file).map(drop))
}

fn put(place: &Path, fill: impl FnOnce(&mut fs::File) -> io::Result<()>) -> io::Result<()> {
    let folder = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    fill(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(place).map_err(|error| error.error)?;
    sync(folder);
    Ok(())
}

/// Brings names in a folder to the disk, where the system knows how to.
pub(crate) fn sync(folder: &Path) {
    _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
}

/// The folder in which a model is put together.
pub(crate) fn staging(folder: &Path, name: &str) -> PathBuf {
    folder.join(".pulling").join(name)
}

/// Held as long as somebody works on a model; it ends with the process.
pub(crate) struct Lock(#[expect(dead_code, reason = "what is held is the lock of the open file")] fs::File);

impl Lock {
    /// Takes it, unless another process has it.
    ///
    /// # Errors
    /// When the file of the lock cannot be made.
    pub(crate) fn take(folder: &Path, name: &str) -> io::Result<Option<Self>> {
        let path = staging(folder, &format!(".{name}.lock"));
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Bytes that are free on the disk of a folder; nothing where nobody knows.
pub(crate) fn free(folder: &Path) -> Option<u64> {
    use engine::filesystem::{Filesystem, OsFilesystem};
    OsFilesystem.free(folder.ancestors().find(|folder| folder.is_dir())?)
}
