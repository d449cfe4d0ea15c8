use super::{Filesystem, Listed, Lock, OpenFile, direct, folder_of};
use std::{
    collections::BTreeSet,
    fs::{self, File, FileTimes, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{LazyLock, mpsc},
    thread,
    time::{Duration, SystemTime},
};

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFilesystem;

struct OsFile(File);

impl Write for OsFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for OsFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl OpenFile for OsFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// The system takes the lock away when the file is closed, which it also is when the process dies.
impl Lock for OsFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.0.rewind()?;
        self.0.read_to_end(&mut content)?;
        Ok(content)
    }

    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.0.rewind()?;
        self.0.set_len(0)?;
        self.0.write_all(content)
    }
}

impl Filesystem for OsFilesystem {
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        // Where files cannot be locked, nothing is ever taken for abandoned.
        file.try_lock().ok();
        Ok(Box::new(OsFile(file)))
    }

    fn create_with(&self, path: &Path, parts: &[&[u8]]) -> io::Result<Box<dyn OpenFile>> {
        let mut file = self.create(path)?;
        match direct::write(path, parts) {
            Some(written) => written?,
            None => parts.iter().try_for_each(|part| file.write_all(part))?,
        }
        Ok(file)
    }

    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut bytes = Vec::with_capacity(usize::try_from(length.min(most)).unwrap_or_default());
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::hard_link(from, to) {
            Ok(()) => fs::remove_file(from),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // A file system without links, such as that of memory cards. Between look and rename another process may
            // make the file; no call that every system has can prevent it.
            Err(_) if !fs::exists(to)? => fs::rename(from, to),
            Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let around = folder_of(path);
        if around != path {
            self.make_folder(around)?;
        }
        match fs::create_dir(path) {
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            made => made?,
        }
        self.sync_folder(around).ok();
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_soon(&self, path: &Path) {
        // Without the thread the system flushes in its own time.
        FLUSHER.send(path.to_owned()).ok();
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // Others may remove files meanwhile.
            let Ok(about) = entry.metadata() else { continue };
            if let (true, Ok(name)) = (about.is_file(), entry.file_name().into_string()) {
                let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                all.push(Listed { name, bytes: about.len(), modified });
            }
        }
        Ok(all)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        fs::metadata(path).map(|about| about.len())
    }

    fn touch(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.set_times(FileTimes::new().set_modified(SystemTime::now()))
    }

    fn lock(&self, path: &Path, wait: bool) -> io::Result<Option<Box<dyn Lock>>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match if wait { file.lock().map_err(TryLockError::Error) } else { file.try_lock() } {
            Ok(()) => Ok(Some(Box::new(OsFile(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn abandoned(&self, path: &Path) -> bool {
        File::open(path).is_ok_and(|file| file.try_lock().is_ok())
    }

    fn free(&self, folder: &Path) -> Option<u64> {
        free(folder)
    }
}

/// So long files are gathered that are to be flushed soon: one after the other they would keep the disk from other work.
const GATHERING: Duration = Duration::from_secs(1);

/// Takes the files that are to be flushed. The thread behind it ends with the process, and what it has not got to is
/// flushed by the system.
static FLUSHER: LazyLock<mpsc::Sender<PathBuf>> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel::<PathBuf>();
    let flush = move || {
        while let Ok(first) = receiver.recv() {
            // Files that come meanwhile share the flushing of their folders and of the journal. Those that are gone again
            // need none.
            thread::sleep(GATHERING);
            let folders: BTreeSet<PathBuf> = std::iter::once(first)
                .chain(receiver.try_iter())
                .inspect(|path| drop(File::open(path).and_then(|file| file.sync_all())))
                .map(|path| folder_of(&path).to_owned())
                .collect();
            for folder in folders {
                OsFilesystem.sync_folder(&folder).ok();
            }
        }
    };
    thread::Builder::new().name("flusher".into()).spawn(flush).ok();
    sender
});

#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(folder).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filesystem::{Replace, publish, publish_soon, sweep};

    #[test]
    fn files_appear_whole_and_keep_what_must_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        publish(&OsFilesystem, &path, &[b"on", b"e"], Replace::No).unwrap();
        let taken = publish(&OsFilesystem, &path, &[b"two"], Replace::No).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(OsFilesystem.read(&path, 3).unwrap(), b"one");
        assert_eq!(OsFilesystem.read(&path, 2).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        publish(&OsFilesystem, &path, &[b"two"], Replace::Yes).unwrap();
        assert_eq!(OsFilesystem.read(&path, 3).unwrap(), b"two");
        assert_eq!(OsFilesystem.list(folder.path()).unwrap().len(), 1, "nothing temporary is left");
        assert!(publish(&OsFilesystem, &folder.path().join("no/a"), &[], Replace::No).is_err());
    }

    #[test]
    fn large_files_are_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..3_000_017_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (name, length) in [(1_usize << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20, 3_000_017].into_iter().enumerate()
        {
            let path = folder.path().join(name.to_string());
            let (a, rest) = bytes[..length].split_at(13);
            let (b, c) = rest.split_at(length / 2);
            publish_soon(&OsFilesystem, &path, &[a, &[], b, c]).unwrap();
            assert!(OsFilesystem.read(&path, u64::MAX).unwrap() == bytes[..length], "{length} bytes");
        }
    }

    #[test]
    fn only_what_the_dead_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let alive = OsFilesystem.create(&at(".upweave-1-0.part")).unwrap();
        drop(OsFilesystem.create(&at(".upweave-1-1.part")).unwrap());
        drop(OsFilesystem.create(&at("mine.part")).unwrap());
        sweep(&OsFilesystem, folder.path());
        let mut left: Vec<String> = OsFilesystem.list(folder.path()).unwrap().into_iter().map(|f| f.name).collect();
        left.sort();
        assert_eq!(left, [".upweave-1-0.part", "mine.part"]);
        drop(alive);
        sweep(&OsFilesystem, folder.path());
        assert_eq!(OsFilesystem.list(folder.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_lock_is_held_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let mut held = OsFilesystem.lock(&path, false).unwrap().expect("free");
        assert!(OsFilesystem.lock(&path, false).unwrap().is_none());
        held.write(b"theirs").unwrap();
        held.write(b"mine").unwrap();
        assert_eq!(held.read().unwrap(), b"mine");
        assert_eq!(OsFilesystem.read(&path, 9).unwrap(), b"mine");
        drop(held);
        assert!(OsFilesystem.lock(&path, true).unwrap().is_some());
    }

    #[test]
    fn a_file_is_beside_the_one_that_runs() {
        assert_eq!(folder_of(Path::new("a.png")), Path::new("."));
        assert_eq!(folder_of(Path::new("b/a.png")), Path::new("b"));
        assert!(OsFilesystem.free(Path::new(".")).is_some() || cfg!(not(unix)));
    }
}
