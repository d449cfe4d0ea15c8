//! Digests of files of gigabytes, kept from run to run: to read a checkpoint only to know which one it is takes as long as a step.

use super::{places, turn};
use engine::digest::{Digest, Digester};
use models::stable_diffusion::Stamp;
use std::{fs, path::Path, sync::Mutex};

/// The folder of notes in the user's folder of models.
const NOTES: &str = ".digests";

/// The digest of a file that looks like this: the one that was found the last time, or what `read` finds now.
pub(super) fn digest(stamp: &Stamp, read: impl FnOnce() -> Digest) -> Digest {
    /// Those of this process.
    static KNOWN: Mutex<Vec<(Stamp, Digest)>> = Mutex::new(Vec::new());
    let mut known = turn::wait(&KNOWN);
    if let Some((_, digest)) = known.iter().find(|(known, _)| known == stamp) {
        return *digest;
    }
    let digest = match places::own_folder() {
        Some(folder) => noted(&folder.join(NOTES), stamp, read),
        None => read(),
    };
    known.push((stamp.clone(), digest));
    digest
}

/// The digest by the notes in a folder. A note that cannot be read or written costs time, nothing else.
fn noted(folder: &Path, stamp: &Stamp, read: impl FnOnce() -> Digest) -> Digest {
    let Some(before) = looks(stamp) else { return read() };
    let note = folder.join(before.to_string());
    if let Some(digest) = fs::read_to_string(&note).ok().and_then(|text| parsed(&text)) {
        return digest;
    }
    let digest = read();
    // Whoever writes it at the same moment writes the same.
    if looks(stamp) == Some(before) {
        _ = write(folder, &note, digest);
    }
    digest
}

/// Writes a note whole or not at all.
fn write(folder: &Path, note: &Path, digest: Digest) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let part = tempfile::NamedTempFile::new_in(folder)?;
    fs::write(part.path(), digest.to_string())?;
    part.persist(note)?;
    Ok(())
}

fn parsed(text: &str) -> Option<Digest> {
    let digits = text.as_bytes();
    let mut digest = [0; 32];
    (digits.len() == 64).then_some(())?;
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(Digest(digest))
}

/// What changes when a file is written to or another one takes its place, even one of the same length and time: the number of
/// the file, and the time of its last change, which no program can set. Nothing where the system tells neither, or where a file is so new
/// that it may change again within the same tick of the clock.
#[cfg(unix)]
fn looks(stamp: &Stamp) -> Option<Digest> {
    use std::os::unix::fs::MetadataExt;
    use std::time::{SystemTime, UNIX_EPOCH};
    /// Seconds; coarse clocks of network file systems included.
    const SETTLED: i64 = 3;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    let path = fs::canonicalize(&stamp.path).ok()?;
    let file = fs::metadata(&path).ok()?;
    if file.len() != stamp.bytes || file.modified().ok() != stamp.modified || now - file.ctime() < SETTLED {
        return None;
    }
    let mut d = Digester::new("upweave noted file");
    d.text(path.to_str()?);
    for number in [file.dev(), file.ino(), file.len()] {
        d.u64(number);
    }
    for time in [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()] {
        d.u64(time.cast_unsigned());
    }
    Some(d.finish())
}

#[cfg(not(unix))]
fn looks(_: &Stamp) -> Option<Digest> {
    None
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::{fs::File, os::unix::fs::MetadataExt, thread, time::Duration};

    fn stamp(path: &Path) -> Stamp {
        let file = fs::metadata(path).unwrap();
        Stamp { path: path.into(), bytes: file.len(), modified: file.modified().ok() }
    }

    #[test]
    fn what_looks_the_same_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let (file, notes) = (folder.path().join("a.safetensors"), folder.path().join("notes"));
        fs::write(&file, "first").unwrap();
        let read = |content: &'static str| move || Digest(*blake3::hash(content.as_bytes()).as_bytes());
        // Too new to be known again.
        assert_eq!(noted(&notes, &stamp(&file), read("first")), read("first")());
        assert!(!notes.exists());
        thread::sleep(Duration::from_secs(4));
        assert_eq!(noted(&notes, &stamp(&file), read("first")), read("first")());
        assert_eq!(noted(&notes, &stamp(&file), || panic!("it was noted")), read("first")());
        // Another content of the same length and time.
        let (time, changed) = (stamp(&file).modified.unwrap(), fs::metadata(&file).unwrap().ctime());
        fs::write(&file, "other").unwrap();
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        assert!(stamp(&file).modified == Some(time) && fs::metadata(&file).unwrap().ctime() > changed);
        assert_eq!(noted(&notes, &stamp(&file), read("other")), read("other")());
    }

    #[test]
    fn broken_notes_are_no_digests() {
        let digest = Digest([0xab; 32]);
        assert_eq!(parsed(&digest.to_string()), Some(digest));
        for text in ["", "ab", &"g".repeat(64), &"é".repeat(32), &"ab".repeat(33)] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
