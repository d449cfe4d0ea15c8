//! What there is of a file that is being fetched: `FILE.part`, and in `FILE.part.json` what it is a part of.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// What a part is a part of.
#[derive(Default, PartialEq, Serialize, Deserialize)]
struct Note {
    /// The digest of the whole.
    sha256: String,
    /// Where it came from last.
    address: String,
    /// What the server called this version of the file.
    tag: Option<String>,
}

/// A file that is not whole. The caller sees to it that nobody else writes it.
pub(super) struct Part {
    file: File,
    place: PathBuf,
    bytes: u64,
    digest: Sha256,
    note: Note,
}

fn beside(place: &Path, ending: &str) -> PathBuf {
    let mut path = place.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

impl Part {
    /// Opens what there is of a file, and reads it for its digest. What belongs to another file is thrown away.
    pub(super) fn open(place: &Path, sha256: &str) -> io::Result<Self> {
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        let note: Option<Note> =
            fs::read(beside(place, ".part.json")).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let note = note.filter(|note| note.sha256 == sha256);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(beside(place, ".part"))?;
        let mut digest = Sha256::new();
        let mut bytes = 0;
        if note.is_some() {
            let mut buffer = vec![0; 1 << 20];
            loop {
                match file.read(&mut buffer)? {
                    0 => break,
                    read => {
                        digest.update(&buffer[..read]);
                        bytes += read as u64;
                    }
                }
            }
        } else {
            file.set_len(0)?;
        }
        let note = note.unwrap_or_else(|| Note { sha256: sha256.to_owned(), ..Note::default() });
        Ok(Self { file, place: place.to_owned(), bytes, digest, note })
    }

    /// So many bytes are there.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of what is there, in hexadecimal digits.
    pub(super) fn sha256(&self) -> String {
        crate::catalog::hex(&self.digest.clone().finalize())
    }

    /// What this server called the version that the part is of.
    pub(super) fn tag(&self, address: &str) -> Option<&str> {
        self.note.tag.as_deref().filter(|_| self.note.address == address)
    }

    /// Writes down where the rest comes from.
    pub(super) fn comes_from(&mut self, address: &str, tag: Option<&str>) -> io::Result<()> {
        let note = Note { sha256: self.note.sha256.clone(), address: address.to_owned(), tag: tag.map(str::to_owned) };
        if note != self.note || self.bytes == 0 {
            self.note = note;
            fs::write(beside(&self.place, ".part.json"), serde_json::to_vec(&self.note)?)?;
        }
        Ok(())
    }

    /// Adds what came.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Forgets all that came.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.digest = Sha256::new();
        self.bytes = 0;
        Ok(())
    }

    /// Brings what there is to the disk.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// The whole gets its name, once it is on the disk.
    pub(super) fn finish(self) -> io::Result<()> {
        self.flush()?;
        fs::rename(beside(&self.place, ".part"), &self.place)?;
        _ = fs::remove_file(beside(&self.place, ".part.json"));
        Ok(())
    }

    /// Removes it.
    pub(super) fn discard(self) {
        for ending in [".part", ".part.json"] {
            _ = fs::remove_file(beside(&self.place, ending));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_continued_only_if_it_belongs_to_the_file() {
        let folder = tempfile::tempdir().expect("there is room");
        let place = folder.path().join("x");
        let whole = crate::catalog::hex(&Sha256::digest(b"abcdef"));
        let mut part = Part::open(&place, &whole).expect("a new one");
        part.comes_from("http://a/x", Some("\"1\"")).expect("written down");
        part.write(b"abc").expect("room");
        drop(part);
        let mut part = Part::open(&place, &whole).expect("the same");
        assert_eq!((part.bytes(), part.tag("http://a/x"), part.tag("http://b/x")), (3, Some("\"1\""), None));
        part.write(b"def").expect("room");
        assert_eq!(part.sha256(), whole);
        drop(part);
        assert_eq!(Part::open(&place, "other").expect("another").bytes(), 0);
        let mut part = Part::open(&place, &whole).expect("again");
        part.comes_from("http://a/x", None).expect("written down");
        part.write(b"abcdef").expect("room");
        part.finish().expect("renamed");
        assert_eq!(fs::read(&place).expect("it is there"), b"abcdef");
        assert_eq!(fs::read_dir(folder.path()).expect("it can be listed").count(), 1);
    }
}
