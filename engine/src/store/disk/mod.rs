//! Results on the disk, for many processes at once and across restarts.
//!
//! There is no database. An action is a small file that names the digests of its outputs, a content is a file that is named
//! by its digest; both are published whole (see [`crate::filesystem::publish_soon`]) and checked when they are read. What is
//! not right is removed and counts as never kept. Databases such as redb allow one process at a time; files and the locks
//! of the system allow any number, and those locks end with the process that holds them.

mod blob;
mod layout;
mod record;
mod room;

use super::{Claim, Store};
use crate::{
    digest::Digest,
    filesystem::{Filesystem, Lock, Replace, folder_of, publish, publish_soon, sweep},
    value::{Image, Value, WireType},
};
use blob::Blob;
use layout::{Layout, digest_of};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// A content up to this size is always kept.
const SMALL: usize = 64 << 10;
/// A larger one is kept when computing it took longer than writing it takes, at this many bytes a second.
const WRITING: f64 = 100e6;
/// Files are worth so many times that: to write one again, pictures are read that have many times as many bytes.
const FILES: f64 = 4.0;
/// The most that is kept, unless the person says otherwise.
const USUAL: u64 = 20 << 30;
/// The most of the free disk that is used, unless the person says otherwise, as one part in so many.
const SHARE: u64 = 10;

/// How much a cache may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheSize {
    /// 20 GiB or a tenth of the free disk, whichever is less.
    Usual,
    /// So many bytes.
    Bytes(u64),
}

/// A cache on the disk. See the module.
pub struct Cache {
    layout: Layout,
    capacity: u64,
    /// Why nothing is written any more.
    trouble: OnceLock<String>,
    /// What this process still needs.
    pins: Mutex<Pins>,
    damaged: AtomicU64,
    /// Whether [`Cache::settle`] is done.
    settled: AtomicBool,
}

#[derive(Default)]
struct Pins {
    file: Option<(PathBuf, Box<dyn Lock>)>,
    digests: Vec<u8>,
}

/// What [`Cache::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Files that are as they should be.
    pub good: usize,
    /// Files that were not, and are gone.
    pub broken: Vec<PathBuf>,
}

/// What went from a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Files.
    pub files: usize,
    /// Bytes on the disk.
    pub bytes: u64,
}

impl Cache {
    /// The cache in a folder, which is made when something is written.
    pub fn new(root: &Path, size: CacheSize, files: Arc<dyn Filesystem>) -> Self {
        let layout = Layout::new(root, files);
        let capacity = match size {
            CacheSize::Bytes(bytes) => bytes,
            CacheSize::Usual => usual(&layout),
        };
        Self {
            layout,
            capacity,
            trouble: OnceLock::new(),
            pins: Mutex::default(),
            damaged: AtomicU64::new(0),
            settled: AtomicBool::new(false),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// The most bytes that it holds.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Why nothing could be written, when that was so.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.get().map(String::as_str)
    }

    /// How many broken files were found while reading, and removed.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// How many results and contents it holds, and the bytes that they take of the disk.
    pub fn held(&self) -> (usize, usize, u64) {
        let held = self.layout.held();
        let contents = held.iter().filter(|file| file.content.is_some()).count();
        (held.len() - contents, contents, room::total(&held))
    }

    /// Reads everything, and removes what is broken and what killed processes left half-written.
    pub fn verify(&self) -> Checked {
        let mut checked = Checked::default();
        self.sweep();
        for (contents, folder) in self.layout.folders() {
            for listed in self.layout.files.list(&folder).unwrap_or_default() {
                let path = folder.join(&listed.name);
                if listed.name.starts_with('.') {
                    continue;
                }
                let good = match digest_of(&folder, &listed.name) {
                    Some(digest) if contents => self.read_content(digest).is_some(),
                    Some(digest) => self.read_record(digest).is_some(),
                    None => false,
                };
                if good {
                    checked.good += 1;
                } else {
                    self.layout.files.remove(&path).ok();
                    checked.broken.push(path);
                }
            }
        }
        checked
    }

    /// Removes what was not used for longest until no more than `bytes` are held. What running jobs need stays.
    ///
    /// # Errors
    /// Those of the system.
    pub fn prune(&self, bytes: u64) -> io::Result<Pruned> {
        self.layout.files.make_folder(&self.layout.locks())?;
        let (files, bytes) = room::shrink(&self.layout, bytes)?;
        Ok(Pruned { files, bytes })
    }

    fn read_record(&self, action: Digest) -> Option<Vec<Digest>> {
        let file = self.layout.files.read(&self.layout.action(action), record::LONGEST).ok()?;
        record::read(&file, action)
    }

    fn read_content(&self, digest: Digest) -> Option<Value> {
        let file = self.layout.files.read(&self.layout.content(digest), u64::MAX).ok()?;
        let picture = |digest: Digest| Image::from_value(&self.content(digest)?);
        blob::read(&file, &picture).filter(|value| value.digest() == digest)
    }

    /// Reads a file that must be right, or must go.
    fn checked<T>(&self, path: &Path, read: impl FnOnce() -> Option<T>) -> Option<T> {
        if self.layout.files.size(path).is_err() {
            return None;
        }
        let found = read();
        if found.is_some() {
            self.layout.files.touch(path).ok();
        } else if self.layout.files.remove(path).is_ok() {
            self.damaged.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    fn write(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration) -> io::Result<()> {
        for (digest, value) in outputs {
            if self.worth(value, cost) {
                self.write_content(*digest, value)?;
            }
        }
        let digests: Vec<Digest> = outputs.iter().map(|(digest, _)| *digest).collect();
        let path = self.layout.action(action);
        match record::write(action, &digests) {
            Some(file) if self.read_record(action).as_ref() != Some(&digests) => self.publish(&path, &[&file]),
            _ => Ok(()),
        }
    }

    fn write_content(&self, digest: Digest, value: &Value) -> io::Result<()> {
        if let Value::Tiles(tiles) = value {
            // The tiles name their pictures, each of which is a content of its own.
            for tile in &tiles.items {
                self.write_content(tile.pixels.digest(), &Value::Image(tile.pixels.clone()))?;
            }
        }
        if self.has(digest) {
            return Ok(());
        }
        self.publish(&self.layout.content(digest), &Blob::new(value).parts())
    }

    fn publish(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let files = &*self.layout.files;
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        files.make_folder(&self.layout.locks())?;
        if !room::reserve(&self.layout, self.capacity, bytes)? {
            return Ok(());
        }
        files.make_folder(folder_of(path))?;
        // A power cut in the wrong moment costs no more than computing it again.
        publish_soon(files, path, parts)
    }

    /// What is done before the first result is kept: the folder is marked as a cache, and what killed processes left of
    /// files that they wrote is removed.
    fn settle(&self) -> io::Result<()> {
        if self.settled.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.sweep();
        let (path, text) = self.layout.tag();
        if self.layout.files.size(&path).is_err() {
            self.layout.files.make_folder(self.layout.root())?;
            publish(&*self.layout.files, &path, &[text.as_bytes()], Replace::Yes)?;
        }
        self.settled.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn sweep(&self) {
        let folders = self.layout.folders().map(|(_, folder)| folder);
        for folder in folders.chain([self.layout.root().to_owned()]) {
            sweep(&*self.layout.files, &folder);
        }
    }

    fn pins(&self) -> MutexGuard<'_, Pins> {
        // Nothing in here panics half way through a change.
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_pins(&self, digests: &[Digest]) -> io::Result<()> {
        let mut pins = self.pins();
        pins.digests.extend(digests.iter().flat_map(|digest| digest.0));
        if pins.file.is_none() {
            let files = &self.layout.files;
            files.make_folder(&self.layout.pins())?;
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let path = self.layout.pins().join(format!("{}-{}", std::process::id(), since.as_nanos()));
            pins.file = files.lock(&path, false)?.map(|lock| (path, lock));
        }
        let Pins { file, digests } = &mut *pins;
        file.as_mut().map_or(Ok(()), |(_, lock)| lock.write(digests))
    }
}

impl Store for Cache {
    fn outputs(&self, action: Digest) -> Option<Vec<Digest>> {
        self.checked(&self.layout.action(action), || self.read_record(action))
    }

    fn has(&self, digest: Digest) -> bool {
        self.layout.files.size(&self.layout.content(digest)).is_ok()
    }

    fn content(&self, digest: Digest) -> Option<Value> {
        self.checked(&self.layout.content(digest), || self.read_content(digest))
    }

    fn worth(&self, value: &Value, cost: Duration) -> bool {
        let rate = if matches!(value, Value::File(_)) { FILES * WRITING } else { WRITING };
        value.bytes() <= SMALL || cost.as_secs_f64() * rate >= value.bytes() as f64
    }

    fn put(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration) {
        if self.trouble.get().is_some() {
            return;
        }
        if let Err(error) = self.settle().and_then(|()| self.write(action, outputs, cost)) {
            // The first reason is the one to tell.
            let _ = self.trouble.set(error.to_string());
        }
    }

    fn claim(&self, action: Digest) -> Claim {
        let path = self.layout.claim(action);
        let lock = || {
            self.layout.files.make_folder(&self.layout.locks())?;
            self.layout.files.lock(&path, false)
        };
        match lock() {
            Ok(Some(lock)) => Claim::Mine(Some(lock)),
            Ok(None) => Claim::Taken,
            // Where nothing can be locked, nothing is shared either.
            Err(_) => Claim::Mine(None),
        }
    }

    fn pin(&self, digests: &[Digest]) {
        // A content that is gone is computed again; pins only save that.
        self.write_pins(digests).ok();
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if let Some((path, lock)) = self.pins().file.take() {
            self.layout.files.remove(&path).ok();
            drop(lock);
        }
    }
}

fn usual(layout: &Layout) -> u64 {
    // The folder may not be there yet; the one around it tells as well.
    let folder = layout.root().ancestors().find(|folder| layout.files.free(folder).is_some());
    let free = folder.and_then(|folder| layout.files.free(folder));
    let held = || room::total(&layout.held());
    match free {
        // Whatever is held counts as free, or a cache would shrink itself.
        Some(free) if free / SHARE < USUAL => ((free + held()) / SHARE).min(USUAL),
        _ => USUAL,
    }
}

#[cfg(test)]
mod tests;
