use super::*;
use crate::{
    digest::Digester,
    filesystem::OsFilesystem,
    value::{Mask, Rect, Size, Tile, Tiles},
};
use std::fs;
use tempfile::TempDir;

const COST: Duration = Duration::from_secs(1);

fn cache(folder: &TempDir, capacity: u64) -> Cache {
    Cache::new(folder.path(), CacheSize::Bytes(capacity), Arc::new(OsFilesystem))
}

fn action(number: u32) -> Digest {
    Digester::new(&format!("action {number}")).finish()
}

/// Noise, which does not compress.
fn entry(number: u32) -> (Digest, Value) {
    let sample = |i: u32| f32::from_bits(0x3f00_0000 | ((i + number * 7919).wrapping_mul(2_654_435_761) >> 9));
    let value = Value::Mask(Arc::new(Mask::new(Size::new(64, 60), (0..64 * 60).map(sample).collect())));
    (value.digest(), value)
}

fn files(folder: &TempDir, what: &str) -> Vec<PathBuf> {
    let folders = fs::read_dir(folder.path().join("1").join(what)).into_iter().flatten();
    let mut all: Vec<PathBuf> = folders
        .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    all.sort();
    all
}

#[test]
fn results_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    cache(&folder, 1 << 20).put(action(1), &[entry(1), entry(2)], COST);
    let again = cache(&folder, 1 << 20);
    assert_eq!(again.outputs(action(1)), Some(vec![entry(1).0, entry(2).0]));
    let got = again.get(action(1)).expect("kept");
    assert_eq!(got[1].1.digest(), entry(2).0);
    assert!(again.outputs(action(2)).is_none() && again.content(entry(3).0).is_none());
    assert_eq!(again.held().0, 1);
    assert!(folder.path().join("CACHEDIR.TAG").is_file());
    assert_eq!((again.trouble(), again.damaged()), (None, 0));
}

#[test]
fn what_is_cheap_and_large_is_known_but_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(&folder, 1 << 30);
    let value = Value::Mask(Arc::new(Mask::filled(Size::new(1000, 1000), 0.5)));
    cache.put(action(1), &[(value.digest(), value.clone())], Duration::from_millis(1));
    assert_eq!(cache.outputs(action(1)), Some(vec![value.digest()]));
    assert!(!cache.has(value.digest()));
    cache.put(action(1), &[(value.digest(), value.clone())], COST);
    assert!(cache.has(value.digest()));
}

#[test]
fn tiles_share_their_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let cache = cache(&folder, 1 << 20);
    let rect = Rect { x: 0, y: 0, width: 2, height: 2 };
    let pixels = Arc::new(Image::filled(Size::new(2, 2), &[0.1, 0.2, 0.3]));
    let tile = Tile { core: rect, outer: rect, pixels: pixels.clone() };
    let tiles = Value::Tiles(Arc::new(Tiles { frame: Size::new(2, 2), items: vec![tile.clone(), tile] }));
    cache.put(action(1), &[(tiles.digest(), tiles.clone())], COST);
    assert_eq!(cache.held().1, 2, "the tiles and one picture");
    assert_eq!(cache.content(tiles.digest()).expect("kept").digest(), tiles.digest());
    fs::remove_file(cache.layout.content(pixels.digest())).unwrap();
    assert!(cache.content(tiles.digest()).is_none());
    assert!(!cache.has(tiles.digest()), "what cannot be read is not promised again");
}

#[test]
fn broken_files_are_found_and_go() {
    for harm in ["flip", "cut", "zero", "swap"] {
        let folder = tempfile::tempdir().unwrap();
        let fill = cache(&folder, 1 << 30);
        let count = 50;
        (0..count).for_each(|number| fill.put(action(number), &[entry(number)], COST));
        let all: Vec<PathBuf> = [files(&folder, "actions"), files(&folder, "contents")].concat();
        assert_eq!(all.len(), 2 * count as usize);
        for (index, pair) in all.chunks(2).enumerate() {
            let mut bytes = fs::read(&pair[0]).unwrap();
            match harm {
                "flip" => {
                    let at = index * 37 % bytes.len();
                    bytes[at] ^= 1 << (index % 8);
                }
                "cut" => bytes.truncate(index * 53 % bytes.len()),
                "zero" => bytes.fill(0),
                _ => bytes = fs::read(&pair[1]).unwrap(),
            }
            fs::write(&pair[0], bytes).unwrap();
        }
        // A copy, as reading removes what is broken.
        let second = tempfile::tempdir().unwrap();
        for path in &all {
            let to = second.path().join(path.strip_prefix(folder.path()).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(path, to).unwrap();
        }
        let reading = cache(&folder, 1 << 30);
        for number in 0..count {
            for digest in reading.outputs(action(number)).into_iter().flatten() {
                assert_eq!(digest, entry(number).0, "{harm}");
            }
            if let Some(value) = reading.content(entry(number).0) {
                assert_eq!(value.digest(), entry(number).0, "{harm}");
            }
        }
        assert_eq!(reading.damaged(), u64::from(count), "{harm}");
        let checked = cache(&second, 1 << 30).verify();
        assert_eq!((checked.good, checked.broken.len()), (count as usize, count as usize), "{harm}");
        assert_eq!(cache(&second, 1 << 30).verify().broken.len(), 0, "{harm}");
    }
}

#[test]
fn the_longest_unused_goes_and_the_capacity_holds() {
    let folder = tempfile::tempdir().unwrap();
    let capacity = 40 * (20 << 10);
    let cache = cache(&folder, capacity);
    cache.put(action(0), &[entry(0)], COST);
    for number in 1..200 {
        cache.put(action(number), &[entry(number)], COST);
        assert!(cache.content(entry(0).0).is_some(), "it is used all the time ({number})");
        assert!(cache.held().2 <= capacity, "{} after {number}", cache.held().2);
    }
    assert!(cache.has(entry(199).0) && !cache.has(entry(1).0));
    let pruned = cache.prune(capacity / 4).unwrap();
    assert!(pruned.files > 0 && cache.held().2 <= capacity / 4);
    cache.prune(0).unwrap();
    assert_eq!(cache.held(), (0, 0, 0));
}

#[test]
fn what_a_running_job_needs_stays() {
    let folder = tempfile::tempdir().unwrap();
    let job = cache(&folder, 1 << 30);
    job.put(action(0), &[entry(0)], COST);
    job.pin(&[entry(0).0]);
    let other = cache(&folder, 1 << 30);
    other.prune(0).unwrap();
    assert!(other.has(entry(0).0));
    drop(job);
    other.prune(0).unwrap();
    assert!(!other.has(entry(0).0));
}

#[test]
fn one_computes_and_others_wait() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (cache(&folder, 1 << 20), cache(&folder, 1 << 20));
    let claim = one.claim(action(1));
    assert!(matches!(claim, Claim::Mine(_)));
    assert!(matches!(two.claim(action(1)), Claim::Taken));
    drop(claim);
    assert!(matches!(two.claim(action(1)), Claim::Mine(_)));
}

#[test]
fn a_cache_that_cannot_be_written_only_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let cache = Cache::new(&file.join("cache"), CacheSize::Usual, Arc::new(OsFilesystem));
    cache.put(action(1), &[entry(1)], COST);
    assert!(cache.trouble().is_some());
    assert!(cache.get(action(1)).is_none());
    assert!(matches!(cache.claim(action(1)), Claim::Mine(None)));
    cache.pin(&[entry(1).0]);
}

#[test]
fn the_usual_capacity_is_a_share_of_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(&folder.path().join("not/there/yet"), CacheSize::Usual, Arc::new(OsFilesystem));
    let free = OsFilesystem.free(folder.path()).unwrap_or(u64::MAX);
    assert!(cache.capacity() <= USUAL && cache.capacity() <= free / SHARE + (1 << 30));
    assert!(cache.capacity() > 0);
}
