//! Promises about pixels, kept by the whole program on small pictures.

mod program;

use program::{started, upweave};
use std::{
    fs,
    io::BufRead,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("there is room");
    image::RgbImage::from_fn(72, 56, |x, y| {
        let stripes = if (x + 2 * y) % 9 < 4 { 70 } else { 0 };
        let texture = (x * x * 31 + y * 57 + x * y) % 41;
        image::Rgb([(x * 2 + stripes) as u8, (y * 3 + texture) as u8, (90 + stripes + texture) as u8])
    })
    .save(folder.path().join("photo.png"))
    .expect("a picture can be written");
    folder
}

/// The pixels that `upweave upscale photo.png` gives with more arguments.
fn upscaled(folder: &Path, name: &str, arguments: &[&str]) -> image::RgbImage {
    let mut all = vec!["upscale", "photo.png", "-o", name];
    all.extend(arguments);
    upweave(folder, &all);
    image::open(folder.join(name)).expect("the result can be read").to_rgb8()
}

#[test]
fn threads_and_tiles_change_no_byte() {
    let folder = folder();
    let at = folder.path();
    let first = upscaled(at, "one.png", &["-j", "1"]);
    assert_eq!(first.dimensions(), (144, 112));
    upscaled(at, "two.png", &["-j", "2"]);
    for tile in ["64", "128", "1024"] {
        upscaled(at, &format!("tile-{tile}.png"), &["--tile", tile]);
    }
    let bytes = |name: &str| fs::read(at.join(name)).expect("the result can be read");
    for name in ["two.png", "tile-64.png", "tile-128.png", "tile-1024.png"] {
        assert_eq!(bytes("one.png"), bytes(name), "{name}");
    }
}

#[test]
fn the_seed_matters_and_creativity_nought_is_the_faithful_answer() {
    let folder = folder();
    let at = folder.path();
    let one = upscaled(at, "one.png", &["--seed", "1"]);
    assert_ne!(one, upscaled(at, "two.png", &["--seed", "2"]));
    let none = upscaled(at, "none.png", &["--creativity", "0", "--seed", "1"]);
    assert_eq!(none, upscaled(at, "none-2.png", &["--creativity", "0", "--seed", "2"]));
    assert_ne!(one, none);
}

#[test]
fn where_the_mask_is_black_the_answer_is_the_faithful_one() {
    let folder = tempfile::tempdir().expect("there is room");
    let at = folder.path();
    image::RgbImage::from_fn(160, 24, |x, y| image::Rgb([(x * 7 % 256) as u8, (y * 9) as u8, ((x * y) % 251) as u8]))
        .save(at.join("photo.png"))
        .expect("a picture can be written");
    image::GrayImage::from_fn(320, 48, |x, _| image::Luma([if x < 40 { 255 } else { 0 }]))
        .save(at.join("mask.png"))
        .expect("a mask can be written");
    let masked = upscaled(at, "masked.png", &["--mask", "mask.png", "--creativity", "0.9"]);
    let none = upscaled(at, "none.png", &["--creativity", "0"]);
    let same = |columns: std::ops::Range<u32>| {
        columns.flat_map(|x| (0..48).map(move |y| (x, y))).all(|(x, y)| masked.get_pixel(x, y) == none.get_pixel(x, y))
    };
    assert!(!same(0..40), "the mask lets nothing through");
    // The colour correction looks 62 pixels far; everything beyond is untouched.
    assert!(same(40 + 64..320), "pixels outside of the mask changed");
}

#[test]
fn a_preview_has_the_pixels_of_the_whole() {
    let folder = tempfile::tempdir().expect("there is room");
    let at = folder.path();
    image::RgbImage::from_fn(500, 400, |x, y| {
        let texture = (x * x * 31 + y * 57 + x * y) % 41;
        image::Rgb([(x / 2 + texture) as u8, (y / 2 + texture) as u8, ((x * y) % 251) as u8])
    })
    .save(at.join("photo.png"))
    .expect("a picture can be written");
    image::GrayImage::from_fn(30, 30, |x, y| image::Luma([(x * 8 + y / 2) as u8]))
        .save(at.join("mask.png"))
        .expect("a mask can be written");
    let (x, y, w, h) = (501, 399, 64, 50);
    let part = format!("{x},{y},{w},{h}");
    for (name, more) in [
        ("plain", &["--steps", "1"][..]),
        ("bold", &["--steps", "1", "--creativity", "0.9", "--mask", "mask.png", "--type", "impasto"]),
        ("between", &["--steps", "1", "-s", "2.2"]),
        ("quick", &["--graph", "quick"]),
    ] {
        let whole = upscaled(at, &format!("{name}.png"), more);
        let preview = upscaled(at, &format!("{name}-part.png"), &[more, &["--preview", &part]].concat());
        let cut = image::imageops::crop_imm(&whole, x, y, w, h).to_image();
        assert_eq!(preview.dimensions(), (w, h), "{name}");
        assert!(preview == cut, "{name} differs from the whole");
    }
    let beyond = started(at, &["upscale", "photo.png", "--preview", "900,0,101,10"]);
    let said = String::from_utf8_lossy(&beyond.stderr).into_owned();
    assert_eq!(beyond.status.code(), Some(2), "{said}");
    assert!(said.contains("1000x800"), "{said}");
}

#[test]
fn json_is_one_event_per_line() {
    let folder = folder();
    let output = upweave(folder.path(), &["upscale", "photo.png", "--graph", "quick", "--json"]);
    let events: Vec<serde_json::Value> =
        output.stdout.lines().map(|line| serde_json::from_str(&line.expect("text")).expect("JSON")).collect();
    let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"started"), Some(&"finished")));
    let done = events.iter().find(|event| event["event"] == "done").expect("it is done");
    assert_eq!(done["output"], "photo.x2.png");
}

#[test]
fn a_dry_run_writes_nothing_and_tells_the_size() {
    let folder = folder();
    let output = upweave(folder.path(), &["upscale", "photo.png", "-s", "4", "--dry-run"]);
    let plan = String::from_utf8(output.stdout).expect("text");
    assert!(plan.contains("288x224"), "{plan}");
    assert!(plan.contains("photo.x4.png"), "{plan}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder can be listed").count(), 1);
}

#[test]
fn the_sample_of_the_readme_is_a_picture() {
    let sample = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../assets/sample.jpg");
    assert_eq!(image::image_dimensions(sample).expect("it can be read"), (640, 426));
}

#[cfg(unix)]
#[test]
fn a_signal_stops_the_run_and_leaves_nothing_half_written() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let folder = tempfile::tempdir().expect("there is room");
        let at = folder.path();
        // Large enough to be still at work when the signal comes.
        image::RgbImage::from_fn(1200, 900, |x, y| image::Rgb([(x * y % 251) as u8, (x % 256) as u8, (y % 256) as u8]))
            .save(at.join("photo.png"))
            .expect("a picture can be written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_upweave"))
            .args(["upscale", "photo.png", "-s", "4", "--json", "--no-cache"])
            .current_dir(at)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut events = std::io::BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let canvas = events.by_ref().map_while(Result::ok).any(|line| line.contains("\"progress\""));
        assert!(canvas, "nothing was running");
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill is there");
        assert!(sent.success());
        // Whoever reads the events must go on reading, or the program waits for it.
        events.for_each(drop);
        assert_eq!(child.wait().expect("it ends").code(), Some(code));
        assert_eq!(fs::read_dir(at).expect("a folder can be listed").count(), 1);
    }
}

#[test]
fn preserved_faces_change_nothing_but_the_faces() {
    let Some(data) = std::env::var_os("UPWEAVE_DATA") else {
        println!("skipped: UPWEAVE_DATA is not set");
        return;
    };
    let folder = tempfile::tempdir().expect("there is room");
    let at = folder.path();
    // A group, reduced so that the faces count as small.
    let photo = PathBuf::from(data).join("bench/faces-hands/human-samples/group-3.jpg");
    let photo = image::open(photo).expect("UPWEAVE_DATA has the benchmarks");
    let photo = photo.resize_exact(400, 320, image::imageops::FilterType::Triangle);
    photo.to_rgb8().save(at.join("photo.png")).expect("a picture can be written");
    let rgb = photo.to_rgb32f();
    let planes: Vec<f32> = (0..3).flat_map(|c| rgb.pixels().map(move |pixel| pixel.0[c])).collect();
    let picture = models::Picture::new(rgb.width(), rgb.height(), &planes).expect("planes of its size");
    let mut faces = models::faces().and_then(|detector| detector.find(picture)).expect("the detector ships");
    // What the node counts as a face, and a little less.
    faces.retain(|face| face.confidence > 0.2);
    let face = faces.first().expect("there is a face");

    let free = upscaled(at, "free.png", &["--creativity", "0.8"]);
    let kept = upscaled(at, "kept.png", &["--creativity", "0.8", "--preserve-faces"]);
    let none = upscaled(at, "none.png", &["--creativity", "0"]);
    // The protection ends 30 % beyond the box; shaping the detail and correcting the colours look some 75 pixels further.
    let near = |start: f32, length: f32, v: u32| {
        let (start, length, v) = (2.0 * start, 2.0 * length, v as f32);
        v > start - 0.3 * length - 80.0 && v < start + 1.3 * length + 80.0
    };
    let changed = |x: u32, y: u32| kept.get_pixel(x, y) != free.get_pixel(x, y);
    let outside = |x: u32, y: u32| !faces.iter().any(|f| near(f.x, f.width, x) && near(f.y, f.height, y));
    let all = || (0..free.height()).flat_map(|y| (0..free.width()).map(move |x| (x, y)));
    assert!(all().any(|(x, y)| outside(x, y)), "the faces leave nothing to compare");
    let stray = all().find(|&(x, y)| outside(x, y) && changed(x, y));
    assert_eq!(stray, None, "a pixel far from {faces:?} changed");
    let distance = |a: &image::RgbImage| -> u64 {
        let inside = |v: u32, start: f32, length: f32| (v as f32) > 2.0 * start && (v as f32) < 2.0 * (start + length);
        all()
            .filter(|&(x, y)| inside(x, face.x, face.width) && inside(y, face.y, face.height))
            .map(|(x, y)| {
                (0..3).map(|c| u64::from(a.get_pixel(x, y)[c].abs_diff(none.get_pixel(x, y)[c]))).sum::<u64>()
            })
            .sum()
    };
    let (with, without) = (distance(&kept), distance(&free));
    assert!(with * 3 < without, "the face strayed by {with} with protection and by {without} without");
}

fn every_file(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() { every_file(&path, found) } else { found.push(path) }
    }
}

#[test]
fn the_doctor_has_a_word_for_every_odd_file() {
    let Some(data) = std::env::var_os("UPWEAVE_DATA") else {
        println!("skipped: UPWEAVE_DATA is not set");
        return;
    };
    let mut files = Vec::new();
    every_file(&PathBuf::from(data).join("robust"), &mut files);
    assert!(files.len() > 1000, "only {} files", files.len());
    let output =
        Command::new(env!("CARGO_BIN_EXE_upweave")).arg("doctor").args(&files).output().expect("the program starts");
    let (good, bad) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{bad}");
    assert!(!bad.contains("panicked"), "{bad}");
    let lines = |text: &str, start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    let (good, bad) = (lines(&good, "ok    "), lines(&bad, "error: "));
    assert_eq!(good + bad, files.len());
    assert!(good > 200 && bad > 200, "{good} good, {bad} bad");
}

#[test]
fn a_result_can_be_made_again_from_its_recipe() {
    let folder = folder();
    let at = folder.path();
    upscaled(at, "first.png", &["--type", "impasto", "--seed", "7", "-s", "1.5"]);
    upweave(at, &["run", "first.png", "photo=photo.png", "-o", "again.png"]);
    let bytes = |name: &str| fs::read(at.join(name)).expect("the result can be read");
    assert_eq!(bytes("first.png"), bytes("again.png"));
}
