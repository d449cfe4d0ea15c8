//! What comes of a pull that works.

use super::{
    place::{Place, line, weights},
    server::{Reply, Server},
};
use std::fs;

#[test]
fn a_model_arrives_and_is_not_fetched_twice() {
    let content = weights(300_000);
    let (place, server) = (Place::with(&content), Server::of(&content));
    place.pull(&server.address).is(0, &["licence MIT", "one.safetensors"]);
    assert_eq!(fs::read(place.one()).unwrap(), content);
    assert_eq!(server.asked()[0].path, "/me/it/resolve/abc/a/file.safetensors");
    assert!(!place.models().join(".pulling/one").exists());
    place.pull(&server.address).is(0, &["here already, and whole"]);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn events_tell_programs() {
    let content = weights(300_000);
    let (place, server) = (Place::with(&content), Server::of(&content));
    let came = place.run(&server.address, "models pull one --json");
    came.is(0, &[]);
    let events: Vec<serde_json::Value> = came.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = events.last().unwrap();
    assert_eq!(
        (&last["event"], &last["name"], &last["bytes"]),
        (&"pulled".into(), &"one".into(), &content.len().into())
    );
    assert!(events.iter().any(|event| event["event"] == "pulling" && event["of"] == content.len()));
}

#[test]
fn several_files_are_a_folder_whole_or_not_at_all() {
    let (config, unet) = (b"{}".to_vec(), weights(5000));
    let files = [line("model_index.json", &config), line("unet/model.safetensors", &unet)];
    let place = Place::new(&[("one", "Checkpoint", "", &files)]);
    let (first, second) = (config.clone(), unet.clone());
    let broken = Server::new(move |asked, _| match asked.path.ends_with(".json") {
        true => Reply::File(first.clone()),
        false => Reply::Status(404, vec![], vec![]),
    });
    place.pull(&broken.address).is(5, &["404"]);
    place.is_empty();
    let server = Server::of(&second);
    place.pull(&server.address).is(0, &[]);
    // The first was not fetched again.
    assert_eq!(server.asked().len(), 1);
    assert_eq!(fs::read(place.models().join("one/model_index.json")).unwrap(), config);
    assert_eq!(fs::read(place.models().join("one/unet/model.safetensors")).unwrap(), unet);
    place.run("", "models path one").is(0, &["models/one\n"]);
    fs::write(place.models().join("one/unet/model.safetensors"), weights(5001)).unwrap();
    place.run("", "models verify").is(5, &["unet/model.safetensors` has", "upweave models pull one"]);
}

#[test]
fn upscalers_are_converted_and_used_by_their_name() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden/formats.pth");
    let content = fs::read(golden).unwrap();
    let place = Place::new(&[("one", "Upscaler", "", &[line("tiny.pth", &content)])]);
    image::RgbImage::from_fn(12, 12, |x, y| image::Rgb([x as u8 * 9, y as u8 * 9, 7]))
        .save(place.root().join("p.png"))
        .unwrap();
    // Before it is there, the command that gets it is named, and its size.
    place.run("", "upscale p.png -n one").is(5, &["`one` is not installed", "upweave models pull one", "MiB"]);
    let server = Server::of(&content);
    place.pull(&server.address).is(0, &[]);
    place.run("", "upscale p.png -n one -o big.png --no-cache").is(0, &[]);
    assert_eq!(image::image_dimensions(place.root().join("big.png")).unwrap(), (24, 24));
    place.run("", "models verify").is(0, &["one: good"]);
    // The same file imported by hand is the same model.
    fs::write(place.root().join("tiny.pth"), &content).unwrap();
    place.run("", "models import tiny.pth").is(0, &["one.safetensors"]);
    place.pull(&server.address).is(0, &["here already"]);
}

#[test]
fn mirrors_are_asked_first() {
    let content = weights(1000);
    let place = Place::with(&content);
    let mirror = Server::new(|_, _| Reply::Status(404, vec![], vec![]));
    let second = Server::of(&content);
    let origin = Server::of(&content);
    let pull = format!("models pull one --mirror {}/deep", mirror.address);
    let output = place.command(&origin.address, &pull).env("UPWEAVE_MIRROR", &second.address).output().unwrap();
    super::place::Came::from(output).is(0, &[]);
    assert_eq!(mirror.asked()[0].path, "/deep/me/it/resolve/abc/a/file.safetensors");
    assert_eq!((second.asked().len(), origin.asked().len()), (1, 0));
    place.run("", "models pull one --mirror ftp://x").is(2, &["no address"]);
}

#[test]
fn proxies_of_the_environment_are_used() {
    let content = weights(1000);
    let place = Place::with(&content);
    let proxy = Server::new(|_, _| Reply::Status(403, vec![], vec![]));
    let output = place
        .command("http://models.example", "models pull one --timeout 1 --retries 0")
        .env("ALL_PROXY", &proxy.address)
        .output()
        .unwrap();
    super::place::Came::from(output).is(5, &[]);
    assert!(proxy.asked()[0].path.contains("models.example"), "{:?}", proxy.asked());
}

#[test]
fn licences_that_restrict_are_asked_for() {
    let content = weights(1000);
    let place = Place::new(&[(
        "one",
        "Lora",
        "commercial: false, terms: \"https://terms.example\",",
        &[line("x.safetensors", &content)],
    )]);
    let server = Server::of(&content);
    place.pull(&server.address).is(2, &["restricts its commercial use", "https://terms.example", "--accept-licence"]);
    assert!(server.asked().is_empty());
    place.run(&server.address, "models pull one --accept-licence").is(0, &[]);
}

#[test]
fn offline_makes_no_connection() {
    let content = weights(1000);
    let (place, server) = (Place::with(&content), Server::of(&content));
    place
        .run(&server.address, "models pull one --offline")
        .is(5, &["`--offline` allows no connection", "models pull one"]);
    place.run(&server.address, "models --offline list").is(0, &["one  a test"]);
    assert!(server.asked().is_empty());
    place.pull(&server.address).is(0, &[]);
    place.run(&server.address, "models pull one --offline").is(0, &["here already"]);
}

#[test]
fn what_is_not_known_is_told_before_anything_is_fetched() {
    let content = weights(1000);
    let (place, server) = (Place::with(&content), Server::of(&content));
    place.run(&server.address, "models pull one two").is(2, &["no model `two` is known", "these can be: one"]);
    place.run(&server.address, "models pull detail").is(2, &["inside the program"]);
    assert!(server.asked().is_empty());
}

#[test]
fn the_disk_is_asked_first() {
    let place =
        Place::new(&[("one", "Lora", "", &[format!("(\"x.safetensors\", {}, {:?})", 1u64 << 60, "0".repeat(64))])]);
    let server = Server::of(b"");
    place.pull(&server.address).is(6, &["needs", "free", "UPWEAVE_MODELS"]);
    assert!(server.asked().is_empty());
}

#[test]
fn a_damaged_list_is_told() {
    let place = Place::new(&[("one", "Lora", "", &["(\"../x.safetensors\", 1, \"0\")".to_owned()])]);
    place.pull("").is(5, &["is damaged: `one`", "no path in a repository"]);
}
