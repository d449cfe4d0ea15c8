//! Processes that are killed, and many of them on one cache. A suite of the command line, as it runs the program.
//!
//! `UPWEAVE_FAULTS=full` repeats everything as often as promised; else a part is done, so that the suite stays fast.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// 24 tiles, each of which is kept on its own.
const TILES: &str = r#"Graph(format: 1, inputs: {"photo": Image}, outputs: {"photo": "joined"}, nodes: {
    "guide": Guide(image: "photo", creativity: 0.4),
    "cut": Tile(image: "photo", size: 32, halo: 8),
    "drawn": Diffuse(image: "cut", guide: "guide", steps: 2),
    "joined": Blend(tiles: "drawn"),
})"#;

/// A graph that takes no time.
const PLAIN: &str = r#"Graph(format: 1, inputs: {"photo": Image}, outputs: {"photo": "sharp"}, nodes: {
    "sharp": Sharpen(image: "photo", amount: 0.1),
})"#;

fn full() -> bool {
    std::env::var_os("UPWEAVE_FAULTS").is_some_and(|value| value == "full")
}

/// Numbers that look random, the same in every run of the suite.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A folder with pictures and the graph.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, shift) in [("photo.png", 0), ("other.png", 50)] {
        image::RgbImage::from_fn(192, 128, |x, y| {
            let texture = (x * x * 31 + y * 57 + x * y + shift) % 41;
            image::Rgb([(x + texture) as u8, (y * 2) as u8, (90 + texture) as u8])
        })
        .save(folder.path().join(name))
        .unwrap();
    }
    fs::write(folder.path().join("tiles.ron"), TILES).unwrap();
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_upweave"));
    command.args(arguments).current_dir(folder).env("UPWEAVE_CACHE", folder.join("cache"));
    command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::null());
    command
}

fn succeeds(folder: &Path, arguments: &[&str]) {
    let output = command(folder, arguments).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Lets a process run for so long, at most; tells whether it ended by itself.
fn ends_within(child: &mut Child, time: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < time {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

fn temporary_files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.path() {
            path if path.is_dir() => temporary_files(&path),
            path => usize::from(path.extension().is_some_and(|extension| extension == "part")),
        })
        .sum()
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let folder = folder();
    let at = folder.path();
    succeeds(at, &["run", "tiles.ron", "photo.png", "-o", "right.png", "--no-cache"]);
    let right = fs::read(at.join("right.png")).unwrap();
    let begun = Instant::now();
    succeeds(at, &["run", "tiles.ron", "photo.png", "-o", "time.png", "--no-cache"]);
    let usual = begun.elapsed();

    let (mut dice, mut kills, mut rounds) = (Dice(1), 0, 0);
    while kills < if full() { 100 } else { 12 } {
        rounds += 1;
        fs::remove_dir_all(at.join("cache")).ok();
        fs::remove_file(at.join("out.png")).ok();
        let mut seen = BTreeSet::new();
        loop {
            let arguments = ["run", "tiles.ron", "photo.png", "-o", "out.png", "--on-exists", "overwrite", "--json"];
            let events = fs::File::create(at.join("events")).unwrap();
            let mut child = command(at, &arguments).stdout(events).spawn().unwrap();
            let time = usual.mul_f64(dice.roll(1000) as f64 / 1000.0);
            let ended = ends_within(&mut child, time);
            for place in computed(&at.join("events")) {
                assert!(seen.insert(place), "the tile at {place:?} was finished before");
            }
            if at.join("out.png").exists() {
                assert!(fs::read(at.join("out.png")).unwrap() == right, "another picture after {kills} kills");
            }
            if ended {
                break;
            }
            kills += 1;
        }
        assert!(at.join("out.png").exists());
        // The next start sweeps what killed ones left, in the cache and beside the picture.
        succeeds(at, &["run", "tiles.ron", "other.png", "-o", "next.png", "--on-exists", "overwrite"]);
        assert_eq!(temporary_files(at), 0);
    }
    println!("{kills} kills in {rounds} runs of {usual:?}");
}

#[test]
fn the_main_job_goes_on_within_a_node() {
    let folder = folder();
    let at = folder.path();
    let job = |output, more: &[&str]| {
        let arguments =
            ["upscale", "photo.png", "-o", output, "--tile", "64", "--steps", "8", "--on-exists", "overwrite"];
        command(at, &[&arguments[..], more].concat())
    };
    assert!(job("right.png", &["--no-cache"]).status().unwrap().success());
    let (mut dice, mut kills) = (Dice(2), 0);
    loop {
        let mut child = job("out.png", &[]).spawn().unwrap();
        // Longer each time, so that it ends however slow the machine is.
        if ends_within(&mut child, Duration::from_millis(100 + kills * 100 + dice.roll(300))) {
            break;
        }
        kills += 1;
    }
    assert!(fs::read(at.join("out.png")).unwrap() == fs::read(at.join("right.png")).unwrap());
    println!("{kills} kills");
}

#[test]
fn many_processes_share_a_cache_that_is_harmed() {
    let folder = folder();
    let at = folder.path();
    let (processes, runs) = if full() { (8, 50) } else { (4, 4) };
    let seeds = ["1", "2", "3"];
    for seed in seeds {
        let out = format!("right-{seed}.png");
        succeeds(
            at,
            &["run", "tiles.ron", "photo.png", "-o", &out, "--no-cache", "--set", &format!("drawn.seed={seed}")],
        );
    }
    let right: Vec<Vec<u8>> =
        seeds.iter().map(|seed| fs::read(at.join(format!("right-{seed}.png"))).unwrap()).collect();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..processes)
            .map(|worker| {
                let right = &right;
                scope.spawn(move || {
                    let mut dice = Dice(worker);
                    for _ in 0..runs {
                        let pick = dice.roll(3) as usize;
                        let (out, set) = (format!("out-{worker}.png"), format!("drawn.seed={}", seeds[pick]));
                        let arguments =
                            ["run", "tiles.ron", "photo.png", "-o", &out, "--on-exists", "overwrite", "--set", &set];
                        if dice.roll(4) == 0 {
                            let mut child = command(at, &arguments).spawn().unwrap();
                            ends_within(&mut child, Duration::from_millis(dice.roll(400)));
                        } else {
                            succeeds(at, &arguments);
                            assert!(fs::read(at.join(&out)).unwrap() == right[pick], "a wrong picture");
                        }
                    }
                })
            })
            .collect();
        let mut dice = Dice(99);
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            harm(&at.join("cache"), &mut dice);
            if dice.roll(5) == 0 {
                succeeds(at, &["cache", "prune", "1MiB"]);
            }
            thread::sleep(Duration::from_millis(30));
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    succeeds(at, &["cache", "verify"]);
}

/// The tiles that a run has computed, by their place.
fn computed(events: &Path) -> Vec<(u64, u64)> {
    let text = fs::read_to_string(events).unwrap();
    // The last line may be cut.
    let events = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let tiles = events.filter(|event| event["event"] == "tile" && event["kept"] == false);
    tiles.map(|event| (event["x"].as_u64().unwrap(), event["y"].as_u64().unwrap())).collect()
}

#[test]
fn many_processes_compute_nothing_twice() {
    let folder = folder();
    let at = folder.path();
    let (processes, rounds) = (8, if full() { 50 } else { 3 });
    let (mut dice, mut done, mut distinct) = (Dice(5), 0, 0);
    for round in 0..rounds {
        // All want the same at once, and some of them are killed.
        let set = format!("drawn.seed={}", 100 + round);
        let mut runs: Vec<(Child, PathBuf, bool)> = (0..processes)
            .map(|number| {
                let (out, events) = (format!("out-{number}.png"), at.join(format!("events-{number}")));
                let arguments = ["run", "tiles.ron", "photo.png", "-o", &out, "--on-exists", "overwrite", "--json"];
                let mut command = command(at, &[&arguments[..], &["--set", &set]].concat());
                let child = command.stdout(fs::File::create(&events).unwrap()).spawn().unwrap();
                (child, events, number > 0 && dice.roll(4) == 0)
            })
            .collect();
        for (child, _, killed) in &mut runs {
            if *killed {
                ends_within(child, Duration::from_millis(dice.roll(800)));
            } else {
                assert!(child.wait().unwrap().success());
            }
        }
        let tiles: Vec<_> = runs.iter().flat_map(|(_, events, _)| computed(events)).collect();
        done += tiles.len();
        distinct += tiles.iter().collect::<BTreeSet<_>>().len();
    }
    let each = done as f64 / distinct as f64;
    println!("{done} tiles computed, {distinct} different ones: {each:.3} times each");
    assert!(each <= 1.1, "each tile was computed {each:.2} times");
}

/// Flips a bit of some file in a cache, or cuts it.
fn harm(cache: &Path, dice: &mut Dice) {
    let mut files: Vec<PathBuf> = Vec::new();
    for what in ["actions", "contents"] {
        for folder in fs::read_dir(cache.join("1").join(what)).into_iter().flatten().flatten() {
            files.extend(fs::read_dir(folder.path()).into_iter().flatten().flatten().map(|file| file.path()));
        }
    }
    if files.is_empty() {
        return;
    }
    let path = &files[dice.roll(files.len() as u64) as usize];
    let Ok(mut bytes) = fs::read(path) else { return };
    if bytes.is_empty() {
        return;
    }
    let at = dice.roll(bytes.len() as u64) as usize;
    if dice.roll(2) == 0 {
        bytes[at] ^= 1;
    } else {
        bytes.truncate(at);
    }
    fs::write(path, bytes).ok();
}

/// A file system of its own in memory, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Nothing where this user may not mount.
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let options = ["-t", "tmpfs", "-o", &format!("size={size}"), "none"];
        let mounted = Command::new("mount").args(options).arg(&at).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().ok();
    }
}

#[test]
fn a_small_disk_is_a_clear_message() {
    for (size, edge, memories) in
        [("64k", 192, &["2GiB"][..]), ("16m", 2600, &["2GiB", "220MiB"]), ("64m", 5000, &["2GiB", "600MiB"])]
    {
        let folder = folder();
        let at = folder.path();
        fs::write(at.join("plain.ron"), PLAIN).unwrap();
        // Noise, which no format makes small: the result has more bytes than the disk.
        let mut dice = Dice(7);
        let mut picture = image::RgbImage::new(edge, edge);
        picture
            .pixels_mut()
            .for_each(|pixel| pixel.0 = (dice.roll(1 << 24) as u32).to_le_bytes()[..3].try_into().unwrap());
        picture.save(at.join("noise.png")).unwrap();
        let Some(disk) = SmallDisk::mount(at.join("disk"), size) else {
            println!("skipped: this user may not mount");
            return;
        };
        let before = fs::read(at.join("noise.png")).unwrap();
        // At once, and in strips, which go to the disk one by one.
        for memory in memories {
            let arguments = ["upscale", "noise.png", "-o", "disk/out.png", "--graph", "plain.ron", "--memory", memory];
            let output = command(at, &arguments).stderr(Stdio::piped()).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(6), "{size} {memory}: {said}");
            assert!(said.contains("disk/out.png") && said.contains("bytes"), "{said}");
            assert_eq!(fs::read_dir(&disk.0).unwrap().count(), 0, "something half-written was left");
            assert!(fs::read(at.join("noise.png")).unwrap() == before);
        }
        // What was computed is kept: elsewhere there is room.
        succeeds(at, &["upscale", "noise.png", "-o", "out.png", "--graph", "plain.ron", "--memory", "2GiB"]);
        succeeds(at, &["cache", "verify"]);
        // A cache there is no better off, but only a warning.
        succeeds(at, &["upscale", "photo.png", "-o", "other.png", "--graph", "quick", "--cache", "disk/cache"]);
        assert!(at.join("other.png").exists());
    }
}
