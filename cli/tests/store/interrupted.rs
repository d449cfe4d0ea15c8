//! Pulls that are stopped, killed, or meet each other.

use super::{
    place::{Came, PULL, Place, weights},
    server::{Asked, Reply, Server},
};
use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

const SIZE: usize = 400_000;

/// A server that takes a second or two for the file when it is asked first.
fn slow(content: &[u8]) -> Server {
    let content = content.to_vec();
    Server::new(move |asked, before| match (before, asked.from()) {
        (0, _) => Reply::Trickle(content.clone(), 8192, Duration::from_millis(25)),
        _ => Reply::File(content.clone()),
    })
}

fn wait_for(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_pull_goes_on() {
    let content = weights(SIZE);
    let (place, server) = (Place::with(&content), slow(&content));
    let mut child = place.start(&server.address, PULL);
    wait_for(|| place.part_bytes() > 5_000);
    child.kill().unwrap();
    child.wait().unwrap();
    place.is_empty();
    let kept = place.part_bytes();
    place.pull(&server.address).is(0, &[]);
    assert_eq!(server.asked().last().and_then(Asked::from), Some(kept as usize));
    assert_eq!(fs::read(place.one()).unwrap(), content);
}

#[test]
fn nothing_good_is_fetched_twice_however_often_it_is_killed() {
    let content = weights(2_000_000);
    let (place, whole) = (Place::with(&content), content.clone());
    let server = Server::new(move |_, _| Reply::Trickle(whole.clone(), 16_384, Duration::from_millis(4)));
    let mut kept = 0;
    for _ in 0..12 {
        let mut child = place.start(&server.address, PULL);
        // Some are killed while they read what is there.
        wait_for(|| place.part_bytes() > kept || place.one().exists());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(place.part_bytes() >= kept || place.one().exists());
        kept = place.part_bytes();
    }
    place.pull(&server.address).is(0, &[]);
    assert_eq!(fs::read(place.one()).unwrap(), content);
    let from: Vec<usize> = server.asked().iter().map(|asked| asked.from().unwrap_or(0)).collect();
    assert!(from.is_sorted(), "{from:?}");
}

#[test]
fn a_part_that_was_harmed_is_found_out() {
    let content = weights(SIZE);
    let (place, server) = (Place::with(&content), slow(&content));
    let mut child = place.start(&server.address, PULL);
    wait_for(|| place.part_bytes() > 5_000);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut part = fs::read(place.part()).unwrap();
    part[100] ^= 1;
    fs::write(place.part(), part).unwrap();
    place.pull(&server.address).is(0, &["is not part of this file"]);
    assert_eq!(fs::read(place.one()).unwrap(), content);
}

#[test]
#[cfg(unix)]
fn a_stopped_pull_keeps_what_came() {
    let content = weights(SIZE);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let (place, server) = (Place::with(&content), slow(&content));
        let child = place.start(&server.address, PULL);
        wait_for(|| place.part_bytes() > 5_000);
        let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        Came::from(child.wait_with_output().unwrap()).is(code, &["what came so far is kept"]);
        place.is_empty();
        let kept = place.part_bytes();
        assert!(kept > 5_000);
        place.pull(&server.address).is(0, &[]);
        assert_eq!(server.asked().last().and_then(Asked::from), Some(kept as usize));
    }
}

#[test]
#[cfg(unix)]
fn a_stop_does_not_wait_for_a_silent_server() {
    let content = weights(SIZE);
    for middle in [false, true] {
        let (place, whole) = (Place::with(&content), content.clone());
        let server = Server::new(move |_, _| match middle {
            true => Reply::Trickle(whole.clone(), 100_000, Duration::from_secs(20)),
            false => Reply::Silence,
        });
        let child = place.start(&server.address, "models pull one --timeout 60");
        wait_for(|| if middle { place.part_bytes() >= 100_000 } else { !server.asked().is_empty() });
        let start = Instant::now();
        assert!(Command::new("kill").args(["-INT".to_owned(), child.id().to_string()]).status().unwrap().success());
        Came::from(child.wait_with_output().unwrap()).is(130, &["what came so far is kept"]);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn two_pulls_fetch_it_once() {
    let content = weights(SIZE);
    let (place, server) = (Place::with(&content), slow(&content));
    let first = place.start(&server.address, PULL);
    wait_for(|| place.part_bytes() > 5_000);
    let second = place.start(&server.address, PULL);
    Came::from(first.wait_with_output().unwrap()).is(0, &[]);
    Came::from(second.wait_with_output().unwrap()).is(0, &["waiting", "here already"]);
    assert_eq!(server.asked().len(), 1);
    assert_eq!(fs::read(place.one()).unwrap(), content);
}

#[test]
#[cfg(unix)]
fn a_disk_that_is_full_keeps_what_fits() {
    let content = weights(SIZE);
    let (place, server) = (Place::with(&content), Server::of(&content));
    // Files that grow too long are refused as on a full disk.
    let line = format!("trap '' XFSZ; ulimit -f 200; exec {} {PULL}", env!("CARGO_BIN_EXE_upweave"));
    let like = place.command(&server.address, PULL);
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).current_dir(place.root());
    like.get_envs().for_each(|(name, value)| match value {
        Some(value) => drop(shell.env(name, value)),
        None => drop(shell.env_remove(name)),
    });
    Came::from(shell.output().unwrap()).is(6, &["cannot write in", "UPWEAVE_MODELS", "what came so far is kept"]);
    place.is_empty();
    let kept = place.part_bytes();
    assert!(kept > 0);
    place.pull(&server.address).is(0, &[]);
    assert_eq!(server.asked().last().and_then(Asked::from), Some(kept as usize));
    assert_eq!(fs::read(place.one()).unwrap(), content);
}
