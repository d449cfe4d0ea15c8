//! Batches with everything that lies about in folders. A suite of the command line, as it runs the program.
//!
//! `UPWEAVE_FAULTS=full` takes as many pictures as promised; else fewer, so that the suite stays fast.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A graph that takes no time.
const PLAIN: &str = r#"Graph(format: 1, inputs: {"photo": Image}, outputs: {"photo": "sharp"}, nodes: {
    "sharp": Sharpen(image: "photo", amount: 0.1),
})"#;

fn full() -> bool {
    std::env::var_os("UPWEAVE_FAULTS").is_some_and(|value| value == "full")
}

fn upweave(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_upweave"));
    command.args(arguments).current_dir(folder).env("UPWEAVE_CACHE", folder.join("cache")).stdin(Stdio::null());
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn picture(path: &Path, number: usize) {
    let shade = |x: u32, y: u32| image::Rgb([(x * 9) as u8, (y * 7) as u8, (number % 256) as u8]);
    let picture = image::RgbImage::from_fn(16 + (number / 256) as u32, 12, shade);
    picture.save(path).unwrap();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// So many good pictures in folders, and seven broken ones among them.
fn furnished(good: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::write(at.join("plain.ron"), PLAIN).unwrap();
    for number in 0..good {
        let inside = at.join(format!("in/{}/{}", number % 5, number % 3));
        fs::create_dir_all(&inside).unwrap();
        picture(&inside.join(format!("p{number}.png")), number);
    }
    let whole = fs::read(at.join("in/0/0/p0.png")).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0xff;
    let broken: [(&str, &[u8]); 7] = [
        ("in/empty.png", b""),
        ("in/text.png", b"not a picture"),
        ("in/0/cut.png", &whole[..whole.len() / 2]),
        ("in/1/short.png", &whole[..20]),
        ("in/2/flipped.png", &flipped),
        ("in/3/zeros.jpg", &[0; 1000]),
        ("in/4/start.jpg", b"\xff\xd8\xff"),
    ];
    broken.iter().for_each(|(name, bytes)| fs::write(at.join(name), bytes).unwrap());
    folder
}

#[test]
fn bad_files_stop_nothing_and_are_named() {
    let good = if full() { 493 } else { 58 };
    let folder = furnished(good);
    let at = folder.path();
    fs::create_dir_all(at.join("in/folder.png/empty")).unwrap();
    fs::write(at.join("in/notes.txt"), "not a picture").unwrap();
    symlink("..", at.join("in/0/up")).unwrap();
    symlink("loop.png", at.join("in/loop.png")).unwrap();
    picture(&at.join("in/locked.png"), 3);
    fs::set_permissions(at.join("in/locked.png"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::create_dir(at.join("in/shut")).unwrap();
    fs::set_permissions(at.join("in/shut"), fs::Permissions::from_mode(0o000)).unwrap();
    assert!(Command::new("mkfifo").arg(at.join("in/pipe.png")).status().unwrap().success());
    // Whoever may read everything finds a good picture and an empty folder there.
    let locked = fs::File::open(at.join("in/locked.png")).is_err();

    let run = || upweave(at, &["upscale", "-r", "in", "-o", "out", "--graph", "plain.ron"]);
    let output = run();
    let told = said(&output);
    assert_eq!(output.status.code(), Some(3), "{told}");
    let list = told.split("failed (").nth(1).unwrap_or_default();
    let broken = ["empty.png", "text.png", "cut.png", "short.png", "flipped.png", "zeros.jpg", "start.jpg", "loop.png"];
    for name in broken.iter().chain(if locked { &["locked.png", "shut"][..] } else { &[] }) {
        assert!(list.contains(name), "{name} is not named: {told}");
    }
    let results = files(&at.join("out"));
    assert_eq!(results.len(), good + usize::from(!locked), "{told}");
    assert!(results.iter().all(|path| image::open(path).is_ok()), "a result cannot be read");
    for path in results.iter().filter(|path| !path.ends_with("locked.x1.png")) {
        let inside = path.strip_prefix(at.join("out")).unwrap().parent().unwrap();
        let stem = path.file_name().unwrap().to_str().unwrap().replace(".x1.png", ".png");
        assert!(at.join("in").join(inside).join(stem).exists(), "{} is not mirrored", path.display());
    }

    // Once more: nothing is made, nothing changes.
    let before: Vec<_> = results.iter().map(|path| fs::metadata(path).unwrap().modified().unwrap()).collect();
    let again = said(&run());
    assert!(again.contains(&format!("{} already there", results.len())), "{again}");
    assert_eq!(files(&at.join("out")), results);
    let after: Vec<_> = results.iter().map(|path| fs::metadata(path).unwrap().modified().unwrap()).collect();
    assert_eq!(before, after, "a result was written again");
}

#[test]
fn a_finished_batch_has_nothing_to_do_in_every_format_and_place() {
    let folder = furnished(12);
    let at = folder.path();
    for format in ["png", "jpg", "webp", "tif", "bmp", "ppm"] {
        for place in [&["-o", "out"][..], &[], &["-o", "{dir}/{stem}.{scale}x.{hash8}.{ext}"]] {
            let arguments = ["upscale", "in/0/0/p0.png", "in/1/1/p1.png", "--graph", "plain.ron", "-f", format];
            let run = || upweave(at, &[&arguments[..], place].concat());
            assert!(run().status.success());
            let made = files(at).len();
            let told = said(&run());
            assert!(told.contains("nothing to do"), "{format} {place:?}: {told}");
            let left: Vec<_> = files(at).into_iter().filter(|path| !path.starts_with(at.join("cache"))).collect();
            assert!(files(at).len() <= made + 1, "{format} {place:?}: {left:?}");
        }
    }
    // Another graph, other settings: other results, beside the first.
    let sharper = ["upscale", "in/0/0/p0.png", "--graph", "plain.ron", "-o", "out/", "--set", "sharp.amount=0.3"];
    assert!(said(&upweave(at, &sharper)).contains("out/p0.x1-1.png"));
    assert!(said(&upweave(at, &sharper)).contains("out/p0.x1-1.png: already there"));
    // Another picture of the same name.
    picture(&at.join("in/0/0/p0.png"), 77);
    assert!(said(&upweave(at, &sharper)).contains("out/p0.x1-2.png"));
}

#[test]
fn results_among_the_pictures_are_not_enlarged_again() {
    let folder = furnished(6);
    let at = folder.path();
    let run = |more: &[&str]| upweave(at, &[&["upscale", "-r", "in", "--graph", "plain.ron"], more].concat());
    for more in [&[][..], &["-o", "in"], &["-o", "in/results/"], &["-o", "{dir}/{stem}-{scale}.{ext}"]] {
        assert_eq!(run(more).status.code(), Some(3));
        let made = files(&at.join("in"));
        let told = said(&run(more));
        assert!(told.contains("6 already there"), "{more:?}: {told}");
        assert_eq!(files(&at.join("in")), made, "{more:?}");
    }
}

#[test]
fn fail_fast_stops_at_the_first_failure() {
    let folder = furnished(30);
    let arguments = ["upscale", "-r", "in", "-o", "out", "--graph", "plain.ron", "--fail-fast"];
    let output = upweave(folder.path(), &arguments);
    let told = said(&output);
    assert!(told.contains("not tried") && told.contains("failed (1)"), "{told}");
    assert!(files(&folder.path().join("out")).len() < 30);
}

#[test]
fn run_takes_many_pictures_too() {
    let folder = furnished(7);
    let at = folder.path();
    let output = upweave(at, &["run", "plain.ron", "in/*/*/p?.png", "-o", "all/{stem}.{ext}"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(files(&at.join("all")).len(), 7);
    fs::write(at.join("list"), "in/0/0/p0.png\nin/1/1/p1.png\nin/none.png\n").unwrap();
    let output = upweave(at, &["run", "plain.ron", "--files-from", "list", "-o", "photo=listed/"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("in/none.png"));
    assert_eq!(files(&at.join("listed")).len(), 2);
}
