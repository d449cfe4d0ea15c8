//! What runs again: nothing when nothing changed, and only what depends on a change. A suite of the command line, as it
//! runs the program.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

fn folder() -> TempDir {
    folder_with(96, 64)
}

fn folder_with(width: u32, height: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    image::RgbImage::from_fn(width, height, |x, y| {
        let texture = (x * x * 31 + y * 57 + x * y) % 41;
        image::Rgb([(x * 2 + texture) as u8, (y * 3) as u8, (90 + texture) as u8])
    })
    .save(folder.path().join("photo.png"))
    .unwrap();
    folder
}

/// What one run said.
struct Said {
    /// Of every node that is not spared, whether it was kept, and why it ran.
    nodes: BTreeMap<String, String>,
    /// Its events.
    events: Vec<Value>,
}

impl Said {
    /// The nodes that ran.
    fn ran(&self) -> Vec<&str> {
        self.nodes.iter().filter(|(_, how)| how.contains("ran;")).map(|(node, _)| node.as_str()).collect()
    }

    /// The networks that were unpacked.
    fn unpacked(&self) -> usize {
        let finished = self.events.iter().find(|event| event["event"] == "finished").unwrap();
        finished["unpacked"].as_array().unwrap().len()
    }

    /// The nodes that were at work.
    fn started(&self) -> Vec<&str> {
        let started = self.events.iter().filter(|event| event["event"] == "node-started");
        started.map(|event| event["node"].as_str().unwrap()).collect()
    }
}

/// The main job, with these arguments besides, to this file.
fn upscale(folder: &Path, output: &str, more: &[&str]) -> Said {
    said(folder, output, &[&["--steps", "1"], more].concat())
}

/// The same without steps.
fn said(folder: &Path, output: &str, more: &[&str]) -> Said {
    let arguments = ["upscale", "photo.png", "-o", output, "--on-exists", "overwrite"];
    let output = Command::new(env!("CARGO_BIN_EXE_upweave"))
        .args(arguments)
        .args(["--explain", "--json"])
        .args(more)
        .current_dir(folder)
        .env("UPWEAVE_CACHE", folder.join("cache"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let (events, lines): (Vec<&str>, Vec<&str>) = said.lines().partition(|line| line.starts_with('{'));
    let events = events.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = lines.into_iter().filter_map(|line| line.split_once(": "));
    Said { nodes: told.map(|(node, how)| (node.to_owned(), how.to_owned())).collect(), events }
}

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap()
}

#[test]
fn a_finished_job_runs_nothing_and_unpacks_no_network() {
    let folder = folder();
    let at = folder.path();
    let cold = upscale(at, "out.png", &[]);
    assert!(cold.unpacked() > 0 && cold.ran().contains(&"passes.1.woven"), "{:?}", cold.nodes);
    let first = bytes(at, "out.png");
    // How the machine is used is part of no key.
    for how in [&[][..], &["--threads", "1"], &["--threads", "3"], &["--memory", "1GiB"]] {
        let warm = upscale(at, "out.png", how);
        assert_eq!((warm.unpacked(), warm.ran()), (0, vec![]), "{how:?}: {:?}", warm.nodes);
        assert!(bytes(at, "out.png") == first);
    }
}

#[test]
fn a_finished_job_makes_no_network_of_a_model_file() {
    // So small that results are kept however fast the networks are.
    let folder = folder_with(24, 16);
    let at = folder.path();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden");
    fs::copy(golden.join("formats.pth"), at.join("large.pth")).unwrap();
    fs::copy(golden.join("architectures/dncnn_colour_normalised.safetensors"), at.join("clean.safetensors")).unwrap();
    let graph = r#"Graph(format: 1, inputs: {"photo": Image}, outputs: {"photo": "large"}, nodes: {
        "clean": Restore(image: "photo", model: "clean.safetensors"),
        "large": Upscale(image: "clean", model: "large.pth", scale: 2),
    })"#;
    fs::write(at.join("own.ron"), graph).unwrap();
    for more in [&["--graph", "own.ron"][..], &["-n", "large.pth", "-s", "3"]] {
        let cold = said(at, "out.png", more);
        assert!(cold.unpacked() > 0 && !cold.ran().is_empty(), "{:?}", cold.nodes);
        let first = bytes(at, "out.png");
        let warm = said(at, "out.png", more);
        assert_eq!(warm.unpacked(), 0, "{more:?}: {:?}", warm.nodes);
        // A file that was quick to write is not kept, but written again.
        assert!(warm.ran().iter().all(|node| *node == "out:photo"), "{more:?}: {:?}", warm.nodes);
        assert!(bytes(at, "out.png") == first);
    }
    // Another file under the same name is another model.
    fs::copy(golden.join("architectures/dncnn_grey.safetensors"), at.join("clean.safetensors")).unwrap();
    let changed = said(at, "out.png", &["--graph", "own.ron"]);
    assert!(changed.ran().contains(&"clean"), "{:?}", changed.nodes);
}

#[test]
fn after_a_change_only_what_depends_on_it_runs() {
    let folder = folder();
    let at = folder.path();
    upscale(at, "out.png", &[]);
    let before = bytes(at, "out.png");
    // What comes behind the changed node sees other pictures, and goes to the file anew; no network is needed.
    let change = ["--set", "passes.graded.strength=0.5"];
    let said = upscale(at, "out.png", &change);
    assert_eq!(said.ran(), ["out:photo", "passes.1.graded", "passes.1.sharp"], "{:?}", said.nodes);
    assert!(said.nodes["passes.1.graded"].contains("`strength` was 1.0 and is 0.5"), "{:?}", said.nodes);
    assert_eq!(said.unpacked(), 0);
    let networks = ["passes.1.canvas", "passes.1.woven"];
    assert!(!said.started().iter().any(|node| networks.contains(node)), "{:?}", said.started());
    assert!(bytes(at, "out.png") != before);
    // The same as if all had run.
    upscale(at, "whole.png", &[&change[..], &["--cache", "another"]].concat());
    assert!(bytes(at, "out.png") == bytes(at, "whole.png"));
    // Back again, all of it is still there.
    let back = upscale(at, "out.png", &[]);
    assert_eq!((back.ran(), back.unpacked()), (vec![], 0), "{:?}", back.nodes);
    assert!(bytes(at, "out.png") == before);
}

#[test]
fn a_change_that_changes_no_pixel_goes_no_further() {
    let folder = folder();
    let at = folder.path();
    // The recipe in the file would tell of the change.
    upscale(at, "out.png", &["--no-recipe"]);
    let before = bytes(at, "out.png");
    let said = upscale(at, "out.png", &["--no-recipe", "--set", "passes.sharp.radius=1.5"]);
    assert!(said.nodes["passes.1.sharp"].contains("`radius` was 1.0 and is 1.5"), "{:?}", said.nodes);
    assert_eq!(said.nodes["out:photo"], "kept", "{:?}", said.nodes);
    assert!(bytes(at, "out.png") == before);
}
