//! Power cuts: after every single operation, with everything lost that was not flushed.

use super::{
    COST, action, entry,
    simulated::{Cut, Simulated},
};
use engine::{
    Cache, CacheSize, Store,
    filesystem::{Filesystem, Replace, publish, sweep},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

const ENTRIES: u32 = 40;

fn cache(disk: &Simulated) -> Cache {
    Cache::new(Path::new("/cache"), CacheSize::Bytes(1 << 30), Arc::new(disk.clone()))
}

#[test]
fn a_power_cut_never_makes_the_cache_lie() {
    // What is flushed in the background may be flushed at once, or never.
    let states: usize = [(Simulated::default(), true), (Simulated::lazy(), false)].map(never_lies).iter().sum();
    assert!(states >= 1000, "only {states} states");
    println!("{states} states after power cuts");
}

/// Tells how many states it looked at.
fn never_lies((disk, flushed): (Simulated, bool)) -> usize {
    disk.record();
    // How many operations had happened when an entry was kept.
    let mut kept = Vec::new();
    {
        let cache = cache(&disk);
        for number in 0..ENTRIES {
            cache.put(action(number), &[entry(number, 20)], COST);
            kept.push(disk.operations());
        }
        assert_eq!(cache.trouble(), None);
    }
    let history = disk.history();
    let mut states = 0;
    for (done, snapshot) in history.iter().enumerate() {
        for cut in [Cut::Nothing, Cut::Names, Cut::Half] {
            states += 1;
            let cache = cache(&Simulated::after(snapshot, cut));
            for number in 0..ENTRIES {
                let right = entry(number, 20).0;
                let outputs = cache.outputs(action(number));
                assert!(outputs.is_none() || outputs == Some(vec![right]), "{cut:?} after {done}: {number}");
                let content = cache.content(right);
                assert!(content.as_ref().is_none_or(|content| content.digest() == right), "{cut:?} after {done}");
                if flushed && kept[number as usize] <= done {
                    assert!(outputs.is_some() && content.is_some(), "{cut:?} after {done}: {number} is gone");
                }
            }
            // And it works on.
            cache.put(action(1000), &[entry(1000, 20)], COST);
            assert_eq!(cache.get(action(1000)).map(|got| got[0].0), Some(entry(1000, 20).0), "{cut:?} after {done}");
        }
    }
    states
}

#[test]
fn a_power_cut_leaves_the_old_file_or_the_new_one() {
    let path = Path::new("/out/photo.png");
    let (old, new) = (vec![1; 5000], vec![2; 7000]);
    let disk = Simulated::default();
    disk.make_folder(Path::new("/out")).unwrap();
    publish(&disk, path, &[&old], Replace::No).unwrap();
    disk.record();
    publish(&disk, path, &[&new[..3000], &new[3000..]], Replace::Yes).unwrap();
    let history = disk.history();
    let mut found_new = false;
    for snapshot in &history {
        for cut in [Cut::Nothing, Cut::Names, Cut::Half] {
            let disk = Simulated::after(snapshot, cut);
            let found = disk.read(path, u64::MAX).unwrap();
            assert!(found == old || found == new, "{} bytes, {cut:?}", found.len());
            found_new |= found == new;
            sweep(&disk, Path::new("/out"));
            assert_eq!(disk.files(), [PathBuf::from(path)], "{cut:?}");
        }
    }
    assert!(found_new);
    let last = Simulated::after(history.last().unwrap(), Cut::Nothing);
    assert_eq!(last.read(path, u64::MAX).unwrap(), new, "what was published is there");
}
