//! Servers that break off, lie, refuse, or are silent.

use super::{
    place::{Place, weights},
    server::{Reply, Server},
};
use std::{fs, time::Duration};

const SIZE: usize = 200_000;

#[test]
fn what_is_cut_off_goes_on_where_it_was() {
    let content = weights(SIZE);
    let (place, whole) = (Place::with(&content), content.clone());
    let server =
        Server::new(move |_, before| Reply::Cut(whole.clone(), [60_000, 60_000, 120_000, whole.len()][before.min(3)]));
    place.pull(&server.address).is(0, &["trying again"]);
    assert_eq!(fs::read(place.one()).unwrap(), content);
    let from: Vec<Option<usize>> = server.asked().iter().map(super::server::Asked::from).collect();
    assert_eq!(from, [None, Some(60_000), Some(60_000), Some(120_000)]);
}

#[test]
fn what_never_ends_well_is_given_up_and_kept() {
    let content = weights(SIZE);
    let (place, whole) = (Place::with(&content), content.clone());
    let server = Server::new(move |_, _| Reply::Cut(whole.clone(), 60_000));
    place.pull(&server.address).is(5, &["ended after 60000 of", "what came so far is kept"]);
    place.is_empty();
    assert_eq!(place.part_bytes(), 60_000);
    assert_eq!(server.asked().len(), 4);
    let server = Server::of(&content);
    place.pull(&server.address).is(0, &[]);
    assert_eq!(server.asked()[0].from(), Some(60_000));
    assert_eq!(fs::read(place.one()).unwrap(), content);
}

#[test]
fn ranges_that_are_ignored_begin_anew() {
    let content = weights(SIZE);
    let (place, whole) = (Place::with(&content), content.clone());
    let server = Server::new(move |_, before| match before {
        0 => Reply::Cut(whole.clone(), 60_000),
        _ => Reply::Whole(whole.clone()),
    });
    place.pull(&server.address).is(0, &[]);
    assert_eq!(fs::read(place.one()).unwrap(), content);
}

#[test]
fn wrong_bytes_never_get_the_name() {
    let content = weights(SIZE);
    let place = Place::with(&content);
    let mut wrong = content;
    wrong[SIZE / 2] ^= 1;
    place.pull(&Server::of(&wrong).address).is(5, &["gives another content than it should", "--mirror"]);
    place.is_empty();
    assert_eq!(place.part_bytes(), 0);
}

#[test]
fn wrong_lengths_are_refused_before_they_are_read() {
    let content = weights(SIZE);
    let place = Place::with(&content);
    for claimed in [SIZE * 5, 10] {
        let whole = content.clone();
        let server = Server::new(move |_, _| Reply::Claims(whole.clone(), claimed));
        place.pull(&server.address).is(5, &["is another file: it has", &claimed.to_string()]);
        place.is_empty();
        assert_eq!((place.part_bytes(), server.asked().len()), (0, 1));
    }
    // Without a length, more than the file has.
    let mut more = content.clone();
    more.push(0);
    let server = Server::new(move |_, _| Reply::Chunked(more.clone()));
    place.pull(&server.address).is(5, &["sends more than"]);
    place.is_empty();
    let server = Server::new(move |_, _| Reply::Chunked(content.clone()));
    place.pull(&server.address).is(0, &[]);
}

#[test]
fn another_part_than_asked_for_is_refused() {
    let content = weights(SIZE);
    let (place, whole) = (Place::with(&content), content.clone());
    let server = Server::new(move |_, before| match before {
        0 => Reply::Cut(whole.clone(), 60_000),
        _ => Reply::Status(206, vec![("Content-Range", format!("bytes 0-9/{}", whole.len()))], whole[..10].to_vec()),
    });
    place.pull(&server.address).is(5, &["another part than it was asked for"]);
    place.is_empty();
}

#[test]
fn answers_that_last_are_not_asked_for_again() {
    let content = weights(1000);
    let place = Place::with(&content);
    for (status, said) in
        [(401, "HF_TOKEN"), (403, "accept its licence"), (404, "--mirror"), (410, "--mirror"), (418, "418")]
    {
        let server = Server::new(move |_, _| Reply::Status(status, vec![], b"a page".to_vec()));
        place.pull(&server.address).is(5, &[&status.to_string(), said]);
        assert_eq!(server.asked().len(), 1);
        place.is_empty();
    }
}

#[test]
fn answers_that_pass_are_asked_for_again() {
    let content = weights(1000);
    for status in [408, 429, 500, 503] {
        let (place, whole) = (Place::with(&content), content.clone());
        let server = Server::new(move |_, before| match before {
            0 | 1 => Reply::Status(status, vec![("Retry-After", "0".to_owned())], vec![]),
            _ => Reply::File(whole.clone()),
        });
        place.pull(&server.address).is(0, &[&status.to_string(), "trying again"]);
        assert_eq!(server.asked().len(), 3);
    }
    let place = Place::with(&content);
    let server = Server::new(|_, _| Reply::Status(500, vec![], vec![]));
    place.pull(&server.address).is(5, &["500", "try again later"]);
    assert_eq!(server.asked().len(), 4);
    let server = Server::new(|_, _| Reply::Status(429, vec![("Retry-After", "3600".to_owned())], vec![]));
    place.pull(&server.address).is(5, &["asks to try again in 3600 s"]);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn silence_and_trickles_are_given_up() {
    let content = weights(SIZE);
    let place = Place::with(&content);
    let started = std::time::Instant::now();
    let server = Server::new(|_, _| Reply::Silence);
    place.run(&server.address, "models pull one --timeout 0.5 --retries 1").is(5, &["does not answer in time"]);
    let server = Server::new(move |_, _| Reply::Trickle(content.clone(), 1, Duration::from_millis(20)));
    place.run(&server.address, "models pull one --timeout 0.5 --retries 1").is(5, &["bytes came in 0.5 s"]);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(place.part_bytes() > 0);
    place.is_empty();
}

#[test]
fn what_is_no_server_is_told() {
    let place = Place::with(&weights(1000));
    let server = Server::new(|_, _| Reply::Nonsense);
    place.run(&server.address, "models pull one --timeout 1 --retries 0").is(5, &["no HTTP"]);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    place.run(&format!("http://{nobody}"), "models pull one --timeout 1 --retries 0").is(5, &["no connection to"]);
    place
        .run("http://no-such-host.invalid", "models pull one --timeout 2 --retries 0")
        .is(5, &["no-such-host.invalid"]);
    place.is_empty();
}

#[test]
fn a_file_that_changes_between_attempts_is_fetched_anew() {
    let content = weights(SIZE);
    let mut old = content.clone();
    old[10_000] ^= 1;
    let (place, whole) = (Place::with(&content), content.clone());
    // A server that knows of versions.
    let (first, then) = (old.clone(), whole.clone());
    let server = Server::new(move |_, before| match before {
        0 => Reply::Cut(first.clone(), 60_000),
        _ => Reply::Tagged(then.clone(), "\"two\""),
    });
    place.pull(&server.address).is(0, &[]);
    assert_eq!(server.asked()[1].headers.get("if-range").map(String::as_str), Some("\"one\""));
    assert_eq!(fs::read(place.one()).unwrap(), content);
    // One that does not.
    let place = Place::with(&content);
    let server = Server::new(move |_, before| match before {
        0 => Reply::Cut(old.clone(), 60_000),
        _ => Reply::File(whole.clone()),
    });
    place.pull(&server.address).is(0, &["is not part of this file"]);
    assert_eq!(fs::read(place.one()).unwrap(), content);
}
