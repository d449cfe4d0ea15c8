//! How much the cache holds, and what goes when it holds too much.
//!
//! One number, in the file that is also the lock for changing it, counts what is held. It is raised before a file is
//! written, so that a process that is killed in between leaves it too high, never too low; whenever something has to go
//! all files are counted anew, which corrects it.

use super::layout::Layout;
use crate::{
    digest::Digest,
    filesystem::{Listed, Lock},
};
use std::{collections::HashSet, io, path::PathBuf};

/// Disks give space in blocks of this many bytes.
const DISK_BLOCK: u64 = 4096;
/// When something has to go, so much more of the capacity goes with it: counting all files is not for every small one.
const SLACK: u64 = 10;

/// What a file takes of the disk.
pub(super) fn on_disk(bytes: u64) -> u64 {
    bytes.div_ceil(DISK_BLOCK) * DISK_BLOCK
}

/// A file of the cache.
pub(super) struct Held {
    pub path: PathBuf,
    pub listed: Listed,
    /// Its content's digest; nothing for action records.
    pub content: Option<Digest>,
}

/// Makes room for a file of so many bytes. False when it does not fit in, however much goes.
pub(super) fn reserve(layout: &Layout, capacity: u64, bytes: u64) -> io::Result<bool> {
    let bytes = on_disk(bytes);
    if bytes > capacity {
        return Ok(false);
    }
    let Some(mut ledger) = layout.files.lock(&layout.ledger(), true)? else { return Ok(false) };
    let counted = read(&mut *ledger);
    let mut used = match counted {
        Some(used) => used,
        None => total(&layout.held()),
    };
    let fits = used.saturating_add(bytes) <= capacity;
    if !fits {
        used = evict(layout, (capacity - capacity / SLACK).saturating_sub(bytes));
    }
    let fits = used.saturating_add(bytes) <= capacity;
    if fits {
        used += bytes;
    }
    ledger.write(&line(used))?;
    Ok(fits)
}

/// Removes what was not used for longest, until no more than `target` bytes are held or only what running jobs need is
/// left. Tells what is held then. The caller holds the ledger.
fn evict(layout: &Layout, target: u64) -> u64 {
    let mut held = layout.held();
    let mut used = total(&held);
    if used <= target {
        return used;
    }
    let pinned = pinned(layout);
    held.sort_by_key(|file| file.listed.modified);
    for file in held {
        if used <= target {
            break;
        }
        let needed = file.content.is_some_and(|digest| pinned.contains(&digest));
        if !needed && layout.files.remove(&file.path).is_ok() {
            used -= on_disk(file.listed.bytes);
        }
    }
    used
}

/// Removes files until no more than `target` bytes are held. Tells how many files and bytes went.
pub(super) fn shrink(layout: &Layout, target: u64) -> io::Result<(usize, u64)> {
    let Some(mut ledger) = layout.files.lock(&layout.ledger(), true)? else { return Ok((0, 0)) };
    let before = layout.held();
    let used = evict(layout, target);
    ledger.write(&line(used))?;
    Ok((before.len() - layout.held().len(), total(&before) - used))
}

/// Bytes that files take of the disk.
pub(super) fn total(held: &[Held]) -> u64 {
    held.iter().map(|file| on_disk(file.listed.bytes)).sum()
}

/// The contents that running jobs still need.
fn pinned(layout: &Layout) -> HashSet<Digest> {
    let mut pinned = HashSet::new();
    for listed in layout.files.list(&layout.pins()).unwrap_or_default() {
        let path = layout.pins().join(&listed.name);
        match layout.files.lock(&path, false) {
            // Nobody holds it: its job is gone.
            Ok(Some(_)) => {
                layout.files.remove(&path).ok();
            }
            _ => {
                let digests = layout.files.read(&path, 64 << 20).unwrap_or_default();
                pinned.extend(digests.as_chunks().0.iter().map(|digest| Digest(*digest)));
            }
        }
    }
    pinned
}

/// The ledger's line: the number, and whether it was written since the machine was started. It is not flushed to the disk,
/// so after a power cut it may be an older one.
fn line(used: u64) -> Vec<u8> {
    format!("{used:020} {}\n", boot()).into_bytes()
}

fn read(ledger: &mut dyn Lock) -> Option<u64> {
    let text = String::from_utf8(ledger.read().ok()?).ok()?;
    let (used, rest) = text.split_once(' ')?;
    (rest.strip_suffix('\n')? == boot()).then(|| used.parse().ok())?
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
