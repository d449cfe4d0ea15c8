//! What is there is listed, checked, named and removed.

use super::{
    place::{Place, line, weights},
    server::Server,
};
use std::fs;

#[test]
fn damage_is_found_and_mended() {
    let content = weights(50_000);
    let (place, server) = (Place::with(&content), Server::of(&content));
    place.pull(&server.address).is(0, &[]);
    place.run("", "models verify").is(0, &["one: good", "1 of 1"]);
    let mut harmed = content.clone();
    harmed[30_000] ^= 1;
    fs::write(place.one(), harmed).unwrap();
    place.run("", "models verify one").is(5, &["`one` is damaged", "another content", "upweave models pull one"]);
    place.pull(&server.address).is(0, &["fetched anew"]);
    assert_eq!(fs::read(place.one()).unwrap(), content);
    place.run("", "models verify").is(0, &["one: good"]);
    place.run("", "models verify two").is(5, &["no model `two`"]);
}

#[test]
fn imports_are_checked_too() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden/formats.pth");
    let place = Place::with(b"x");
    fs::copy(golden, place.root().join("tiny.pth")).unwrap();
    place.run("", "models import tiny.pth --name mine").is(0, &[]);
    place.run("", "models verify").is(0, &["mine: good"]);
    let file = place.models().join("mine.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    bytes.pop();
    fs::write(file, bytes).unwrap();
    place.run("", "models verify").is(5, &["`mine` is damaged", "upweave models import", "tiny.pth --name mine"]);
}

#[test]
fn what_was_pulled_is_listed_and_removed() {
    let content = weights(2_000_000);
    let files = [line("x.safetensors", &content)];
    let place = Place::new(&[("one", "Vae", "", &files), ("two", "Lora", "commercial: false,", &files)]);
    let server = Server::of(&content);
    place
        .run("", "models list")
        .is(0, &["one  a test", "not here: 1.9 MiB to fetch with `upweave models pull one`, licence MIT"]);
    place.pull(&server.address).is(0, &[]);
    let list = place.run("", "models list");
    list.is(0, &["one  VAE", "its licence is MIT", "two  a test", "restricts commercial use", "1 of your own"]);
    assert!(!list.out.contains("pull one"), "{}", list.out);
    let json = place.run("", "models list --json");
    let one = json.out.lines().find(|line| line.contains("\"name\":\"one\"")).expect("it is listed");
    assert!(one.contains("\"pulled\":true") && one.contains("/resolve/abc/x.safetensors"), "{one}");
    place.run("", "models path one").is(0, &["one.safetensors\n"]);
    place.run("", "models path").is(0, &["models\n"]);
    place.run("", "models path two").is(5, &["no model `two`", "upweave models pull two"]);
    place.run("", "models rm one").is(0, &["one is removed, 1.9 MiB"]);
    assert!(!place.one().exists());
    place.run("", "models rm one").is(5, &["no model `one`"]);
    place.run("", "models rm faithful").is(2, &["inside the program"]);
    place.run("", "models rm ../catalog").is(5, &["no model"]);
    assert!(place.root().join("catalog.ron").exists());
}

#[test]
fn what_lies_there_under_the_name_is_respected() {
    let content = weights(1000);
    let (place, server) = (Place::with(&content), Server::of(&content));
    fs::create_dir_all(place.models()).unwrap();
    fs::write(place.one(), weights(999)).unwrap();
    place.pull(&server.address).is(2, &["another model called `one`", "models rm one"]);
    // The right file, put there by hand, is taken.
    fs::write(place.one(), &content).unwrap();
    place.pull(&server.address).is(0, &["here already, and whole"]);
    assert!(server.asked().is_empty());
    place.run("", "models verify").is(0, &["one: good"]);
}

#[test]
fn a_known_file_is_imported_as_it_is() {
    let content = weights(30_000);
    let (place, server) = (Place::with(&content), Server::of(&content));
    fs::write(place.root().join("download (1).safetensors"), &content).unwrap();
    place.run("", "models scan .").is(0, &["LoRA, a test, known as `one`", "1 of 1"]);
    let mut command = place.command("", "models import");
    let output = command.arg("download (1).safetensors").output().unwrap();
    super::place::Came::from(output).is(0, &["known as `one`, licence MIT", "one.safetensors"]);
    assert_eq!(fs::read(place.one()).unwrap(), content);
    place.run("", "models verify").is(0, &["one: good"]);
    place.pull(&server.address).is(0, &["here already"]);
    assert!(server.asked().is_empty());
}
