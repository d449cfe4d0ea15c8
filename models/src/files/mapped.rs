//! Files that are looked at where the system keeps them, without a copy.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::Mmap;

use super::Said;

/// A file that is mapped into memory: its bytes are those that the system has cached, so several gigabytes need no memory of
/// their own.
///
/// A file that someone writes over meanwhile gives other bytes, and one that is cut off ends the process with a signal
/// (`SIGBUS`) when what is missing is looked at: no program can catch that. So whoever reads a map asks
/// [`unchanged`](Mapped::unchanged) before and after, and keeps nothing that borrows from it. Files that are replaced by renaming, as
/// this program and others do when they download, keep their old content for whoever has them mapped.
#[derive(Debug)]
pub(crate) struct Mapped {
    path: PathBuf,
    file: File,
    looks: (u64, Option<SystemTime>),
    map: Option<Mmap>,
}

impl Mapped {
    /// # Errors
    /// When it is no file, or may not be read.
    pub(crate) fn open(path: &Path) -> Said<Self> {
        let unreadable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => "it may not be read".to_owned(),
            _ => format!("it cannot be read: {error}"),
        };
        let file = File::open(path).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        if !about.is_file() {
            return Err("it is no file".into());
        }
        // A map of nothing is refused by some systems.
        let map = if about.len() == 0 { None } else { Some(map(&file).map_err(unreadable)?) };
        Ok(Self { path: path.into(), file, looks: looks(&about), map })
    }

    /// Its content.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its length, and when it was changed last, as it was opened.
    pub(crate) fn looks(&self) -> (u64, Option<SystemTime>) {
        self.looks
    }

    /// # Errors
    /// When its length or its time is not what it was when it was opened.
    pub(crate) fn unchanged(&self) -> Said<()> {
        match self.file.metadata() {
            Ok(about) if looks(&about) == self.looks => Ok(()),
            _ => Err("it was changed while it was read".into()),
        }
    }
}

fn looks(about: &Metadata) -> (u64, Option<SystemTime>) {
    (about.len(), about.modified().ok())
}

#[allow(unsafe_code)]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is read only. Nothing keeps others from changing the file, as `Mapped` explains: its values are numbers of
    // which each pattern of bits is one, its names and lengths are copied and checked before they are used, and every use is bracketed by
    // `unchanged`.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        std::fs::write(&path, b"abc").unwrap();
        let mapped = Mapped::open(&path).unwrap();
        assert_eq!((mapped.bytes(), mapped.looks().0), (&b"abc"[..], 3));
        mapped.unchanged().unwrap();
        std::fs::write(folder.path().join("other"), b"abcdef").unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        // The old file is still there for whoever has it.
        mapped.unchanged().unwrap();
        let mapped = Mapped::open(&path).unwrap();
        File::options().append(true).open(&path).unwrap().set_len(2).unwrap();
        assert!(mapped.unchanged().unwrap_err().contains("changed"));
    }

    #[test]
    fn what_is_no_file_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Mapped::open(folder.path()).unwrap_err().contains("no file"));
        assert!(Mapped::open(&folder.path().join("a")).unwrap_err().contains("no such file"));
        std::fs::write(folder.path().join("a"), b"").unwrap();
        assert!(Mapped::open(&folder.path().join("a")).unwrap().bytes().is_empty());
    }
}
