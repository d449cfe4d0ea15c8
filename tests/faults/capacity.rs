//! The cap of a cache holds at any moment, whoever writes.

use super::{COST, action, entry, full};
use engine::{Cache, CacheSize, Store, filesystem::OsFilesystem};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Bytes that everything in a folder takes.
fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => bytes(&entry.path()),
            // A file may go while it is looked at.
            _ => entry.metadata().map_or(0, |about| about.len()),
        })
        .sum()
}

#[test]
fn four_writers_never_exceed_the_capacity() {
    // Entries of a mebibyte, 10 GiB in all; or of 128 KiB.
    let (capacity, entries, edge) = if full() { (256 << 20, 10 << 10, 512) } else { (16 << 20, 900, 181) };
    let folder = tempfile::tempdir().unwrap();
    let open = || Cache::new(folder.path(), CacheSize::Bytes(capacity), Arc::new(OsFilesystem));
    let done = AtomicBool::new(false);
    let highest: u64 = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut highest = 0;
            while !done.load(Ordering::Relaxed) {
                highest = highest.max(bytes(folder.path()));
                thread::sleep(Duration::from_millis(20));
            }
            highest
        });
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let cache = open();
                scope.spawn(move || {
                    for number in (0..entries).filter(|number| number % 4 == writer) {
                        cache.put(action(number), &[entry(number, edge)], COST);
                        assert_eq!(cache.trouble(), None);
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    });
    println!("at most {highest} bytes of {capacity}, {} written", u64::from(entries) * 4 * u64::from(edge).pow(2));
    assert!(highest <= capacity + capacity / 20, "{highest} bytes, but {capacity} are the most");
    assert!(highest > capacity / 2, "the watcher saw nothing");
    let cache = open();
    assert!(cache.verify().broken.is_empty());
    assert!(cache.has(entry(entries - 1, edge).0), "the last ones are there");
}
