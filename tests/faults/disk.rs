//! Disks that are full, broken or read-only: each operation fails once.

use super::{COST, action, entry, simulated::Simulated};
use engine::{
    Blame, Cache, CacheSize, NoLibrary, NoStore, Request, Store, Text, World,
    filesystem::{Filesystem, Replace, publish},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// EIO, EMFILE, ENOSPC, EROFS: the same numbers on Linux and macOS.
const ERRORS: [i32; 4] = [5, 24, 28, 30];

#[test]
fn a_cache_on_a_failing_disk_forgets_and_never_lies() {
    let work = |disk: &Simulated| {
        let cache = Cache::new(Path::new("/cache"), CacheSize::Bytes(1 << 30), Arc::new(disk.clone()));
        for number in 0..4 {
            drop(cache.claim(action(number)));
            cache.put(action(number), &[entry(number, 30)], COST);
            let right = entry(number, 30).0;
            assert!(cache.content(right).is_none_or(|content| content.digest() == right));
        }
        cache.pin(&[entry(0, 30).0]);
        cache.trouble().map(str::to_owned)
    };
    let whole = Simulated::default();
    assert_eq!(work(&whole), None);
    let mut troubles = 0;
    for operation in 1..=whole.operations() {
        for errno in ERRORS {
            let disk = Simulated::default();
            disk.fail_at(operation, errno);
            troubles += usize::from(work(&disk).is_some());
            // The disk works again: nothing wrong was left behind, and everything can be kept.
            let cache = Cache::new(Path::new("/cache"), CacheSize::Bytes(1 << 30), Arc::new(disk.clone()));
            assert_eq!(cache.verify().broken, Vec::<PathBuf>::new(), "operation {operation}, error {errno}");
            for number in 0..4 {
                cache.put(action(number), &[entry(number, 30)], COST);
                assert_eq!(cache.get(action(number)).unwrap()[0].0, entry(number, 30).0);
            }
        }
    }
    assert!(troubles > 0, "no failure was noticed");
    println!("{} operations, {} errors each, {troubles} told", whole.operations(), ERRORS.len());
}

/// Saves a picture on a disk; tells what went wrong.
fn save(disk: &Simulated) -> Result<PathBuf, engine::Failure> {
    let text = r#"Graph(format: 1, outputs: {"file": "saved"}, nodes: {
        "saved": Save(image: "picture", path: "/out/photo.png"),
        "picture": Pad(image: "small", left: 40, top: 30),
        "small": Load(path: "PHOTO"),
    })"#;
    let photo = photo();
    let text = text.replace("PHOTO", &photo.to_string_lossy());
    let request = Request {
        file: Text { name: "test.ron".into(), text },
        library: &NoLibrary,
        registry: nodes::NODES,
        preset: None,
        settings: vec![],
        inputs: vec![],
        outputs: vec![],
    };
    let built = engine::build(&request).unwrap_or_else(|found| panic!("{found}"));
    match engine::run(&built.graph, World { files: disk, ..World::quiet(&NoStore) }) {
        Ok(outcome) => Ok(outcome.published["saved"].clone()),
        Err(error) => Err(error.failure),
    }
}

fn photo() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../assets/sample.jpg")
}

#[test]
fn a_picture_that_cannot_be_saved_leaves_the_old_one_and_says_why() {
    let fresh = || {
        let disk = Simulated::default();
        disk.make_folder(Path::new("/out")).unwrap();
        publish(&disk, Path::new("/out/photo.png"), &[b"old"], Replace::No).unwrap();
        disk
    };
    // What killed processes left in a folder is looked for once: that is over before operations are counted.
    save(&fresh()).unwrap();
    let disk = fresh();
    let before = disk.operations();
    assert_eq!(save(&disk).unwrap(), Path::new("/out/photo.png"));
    let all = disk.operations() - before;
    // Writing is many operations alike; the first, the last and some between stand for them.
    let some: Vec<usize> = (1..=all).filter(|n| *n < 8 || *n + 8 > all || n % 97 == 0).collect();
    for number in &some {
        for errno in ERRORS {
            let disk = fresh();
            disk.fail_at(disk.operations() + number, errno);
            match save(&disk) {
                Ok(_) => assert!(disk.read(Path::new("/out/photo.png"), u64::MAX).unwrap().len() > 1000),
                Err(failure) => {
                    assert_eq!(failure.blame, Blame::Resource, "{failure}");
                    assert!(failure.message.contains("/out"), "{failure}");
                    if errno == 28 {
                        assert!(failure.message.contains("/out/photo.png") && failure.message.contains("bytes"));
                    }
                    assert_eq!(disk.read(Path::new("/out/photo.png"), 99).unwrap(), b"old");
                }
            }
            assert_eq!(save(&disk).unwrap(), Path::new("/out/photo.png"), "it works once the disk does");
            assert_eq!(disk.files().len(), 1, "nothing temporary is left: {:?}", disk.files());
        }
    }
    println!("{} of {all} operations, {} errors each", some.len(), ERRORS.len());
}
