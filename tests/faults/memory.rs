//! The memory that a plan predicts is the memory that the run takes, with what it takes to keep results. A suite of the command line, as it runs the program.
//!
//! `UPWEAVE_FAULTS=full` looks at ten sizes; else at those that take no time.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod watched;

use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Stdio},
};
use watched::{PROGRAM, run};

/// The run may take so many times what was predicted.
const MOST: f64 = 1.3;

/// A picture, and what is made of it.
struct Job {
    width: u32,
    height: u32,
    arguments: &'static [&'static str],
    /// Whether the plan cuts it into strips.
    strips: bool,
}

const fn job(width: u32, height: u32, strips: bool, arguments: &'static [&'static str]) -> Job {
    Job { width, height, arguments, strips }
}

const QUICK: [Job; 3] = [
    job(320, 240, false, &["--steps", "1"]),
    job(200, 1500, true, &["--memory", "115MiB", "--steps", "1"]),
    job(3000, 2000, true, &["--memory", "230MiB", "--graph", "plain.ron"]),
];

const FULL: [Job; 10] = [
    job(64, 64, false, &[]),
    job(320, 240, false, &["--creativity", "0.8"]),
    job(640, 480, false, &["--steps", "1"]),
    job(1000, 1000, false, &["--creativity", "0"]),
    job(400, 3000, true, &["--memory", "270MiB", "--steps", "1"]),
    job(1600, 1200, true, &["--memory", "300MiB", "-s", "3", "--creativity", "0"]),
    job(1601, 1200, true, &["--memory", "300MiB", "--steps", "1"]),
    job(1200, 900, true, &["--memory", "300MiB", "--creativity", "0.8", "--steps", "1"]),
    job(700, 500, true, &["--memory", "300MiB", "-s", "8", "--creativity", "0"]),
    job(12_000, 9_000, true, &["--memory", "2GiB", "--graph", "plain.ron"]),
];

/// A graph whose work is nothing but memory.
const PLAIN: &str = r#"Graph(format: 1, inputs: {"photo": Image}, outputs: {"photo": "sharp"}, nodes: {
    "sharp": Sharpen(image: "photo", amount: 0.5),
})"#;

fn picture(path: &Path, width: u32, height: u32) {
    image::RgbImage::from_fn(width, height, |x, y| {
        let texture = (x.wrapping_mul(x) * 31 + y * 57 + x.wrapping_mul(y)) % 41;
        image::Rgb([(x / 8 + texture) as u8, (y / 4) as u8, (90 + texture) as u8])
    })
    .save(path)
    .unwrap();
}

/// What is told before: the highest memory, and whether there are strips.
fn predicted(folder: &Path, arguments: &[&str]) -> (u64, bool) {
    let output = Command::new(PROGRAM)
        .args(arguments)
        .args(["--dry-run", "--json"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let plan = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let plan = plan.into_iter().find(|event| event["event"] == "plan");
    let plan = plan.unwrap_or_else(|| panic!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)));
    (plan["peak_bytes"].as_u64().unwrap(), plan["strips"].as_u64().is_some_and(|strips| strips > 1))
}

#[test]
fn the_peak_is_what_was_predicted() {
    let full = std::env::var_os("UPWEAVE_FAULTS").is_some_and(|value| value == "full");
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("plain.ron"), PLAIN).unwrap();
    let mut missed = Vec::new();
    for Job { width, height, arguments, strips } in if full { &FULL[..] } else { &QUICK } {
        let name = format!("{width}x{height}.ppm");
        picture(&at.join(&name), *width, *height);
        let all =
            [&["upscale", &name, "-o", "out.ppm", "--on-exists", "overwrite", "--cache", "cache"], &arguments[..]]
                .concat();
        let (told, cut) = predicted(at, &all);
        assert_eq!(cut, *strips, "{all:?}");
        let seen = run(at, &all);
        assert_eq!(seen.code, 0, "{all:?}: {}", seen.said);
        let ratio = seen.bytes as f64 / told as f64;
        let line = format!(
            "{width}x{height} {}: {} MiB predicted, {} MiB at most, {ratio:.2} times, {:.1} s",
            arguments.join(" "),
            told >> 20,
            seen.bytes >> 20,
            seen.time.as_secs_f64()
        );
        println!("{line}");
        if ratio > MOST {
            missed.push(line);
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
