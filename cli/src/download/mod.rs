//! Fetches files whose size and SHA-256 are known beforehand, so that nothing but the right content ever gets its final name,
//! whatever the network does. What was fetched stays, and the next attempt goes on from there.

mod apart;
mod http;
mod part;
mod sources;

pub(crate) use http::Client;
pub(crate) use sources::Sources;

use apart::Pieces;
use http::Answer;
use part::Part;
use std::{
    io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Whether this process may make no connection.
static OFFLINE: AtomicBool = AtomicBool::new(false);

/// From now on this process makes no connection.
pub(crate) fn go_offline() {
    OFFLINE.store(true, Ordering::Relaxed);
}

/// Whether this process may make no connection.
pub(crate) fn is_offline() -> bool {
    OFFLINE.load(Ordering::Relaxed)
}

/// How long is waited, and how often something is tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Time without news after which a connection is given up.
    pub timeout: Duration,
    /// Attempts after the first that bring nothing.
    pub retries: u32,
}

impl Patience {
    /// The wait before attempt number `retry`: it doubles, and never takes longer than the timeout.
    fn wait(self, retry: u32) -> Duration {
        (self.timeout / 30).saturating_mul(1 << retry.min(16)).min(self.timeout)
    }
}

/// Fewer bytes than this in the time of a timeout are no connection.
const LEAST_BYTES: u64 = 4096;
/// An attempt that brings so much does not count as one that failed.
const NEWS: u64 = 1 << 20;

/// A file to fetch.
pub(crate) struct Wanted<'a> {
    /// Where it can be had, in the order in which they are tried.
    pub addresses: &'a [String],
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: &'a str,
    /// Where it will lie. What there is of it lies in a file beside.
    pub place: &'a Path,
}

/// Who is told of a download.
pub(crate) trait Watch {
    /// So many bytes of the file are there.
    fn progress(&self, bytes: u64);
    /// An attempt failed, and the next one begins after a wait.
    fn again(&self, why: &str, wait: Duration);
    /// Whether to stop.
    fn stopped(&self) -> bool;
}

/// Why a file is not there.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Somebody asked to stop.
    Stopped,
    /// The disk does not take it.
    Disk(io::Error),
    /// No address gives it: what the last one said, and what can be done.
    Network(String, Option<String>),
}

/// Why an attempt failed.
enum Fault {
    /// It may work in a moment, at the earliest after the time that the server asks for.
    Passing(String, Option<Duration>),
    /// This address will not give it.
    Lasting(String, Option<String>),
    Stopped,
    Disk(io::Error),
}

/// Fetches a file, or what is missing of it.
///
/// # Errors
/// When no address gives it. What came so far stays, unless it is known to be wrong.
pub(crate) fn fetch(client: &Client, wanted: &Wanted<'_>, patience: Patience, watch: &dyn Watch) -> Result<(), Failed> {
    let mut part = Part::open(wanted.place, wanted.sha256).map_err(Failed::Disk)?;
    let mut last = ("there is no address for it".to_owned(), None);
    for address in wanted.addresses {
        let mut retry = 0;
        loop {
            let before = part.bytes();
            let (why, asked) = match attempt(client, wanted, address, &mut part, patience, watch) {
                Ok(()) => return part.finish().map_err(Failed::Disk),
                Err(Fault::Stopped) => return Err(Failed::Stopped),
                Err(Fault::Disk(error)) => return Err(Failed::Disk(error)),
                Err(Fault::Lasting(why, hint)) => {
                    last = (why, hint);
                    break;
                }
                Err(Fault::Passing(why, asked)) => (why, asked),
            };
            if part.bytes() >= before.saturating_add(NEWS) {
                retry = 0;
            }
            if retry >= patience.retries {
                let kept =
                    if part.bytes() > 0 { ": what came so far is kept, and the same command goes on" } else { "" };
                last = (why, Some(format!("try again later{kept}")));
                break;
            }
            let wait = asked.unwrap_or(Duration::ZERO).max(patience.wait(retry));
            // A server that wants to be left alone for long is not waited for.
            if wait > patience.timeout.saturating_mul(10) {
                last = (why, Some(format!("the server asks to try again in {} s", wait.as_secs())));
                break;
            }
            watch.again(&why, wait);
            let until = Instant::now() + wait;
            while Instant::now() < until {
                if watch.stopped() {
                    return Err(Failed::Stopped);
                }
                thread::sleep(Duration::from_millis(50).min(until.saturating_duration_since(Instant::now())));
            }
            retry += 1;
        }
    }
    if part.bytes() == 0 {
        part.discard();
    }
    Err(Failed::Network(last.0, last.1))
}

fn attempt(
    client: &Client,
    wanted: &Wanted<'_>,
    address: &str,
    part: &mut Part,
    patience: Patience,
    watch: &dyn Watch,
) -> Result<(), Fault> {
    if watch.stopped() {
        return Err(Fault::Stopped);
    }
    if part.bytes() > wanted.bytes {
        part.restart().map_err(Fault::Disk)?;
    }
    let resumed = part.bytes() > 0;
    if part.bytes() < wanted.bytes {
        let (client, to, tag) = (client.clone(), address.to_owned(), part.tag(address).map(str::to_owned));
        let (from, bytes) = (part.bytes(), wanted.bytes);
        let asked = apart::done(move || client.get(&to, from, bytes, tag.as_deref()), &|| watch.stopped());
        let answer = asked.ok_or(Fault::Stopped)??;
        receive(answer, wanted, address, part, patience, watch)?;
    }
    if part.sha256() == wanted.sha256 {
        return Ok(());
    }
    part.restart().map_err(Fault::Disk)?;
    if resumed {
        let why = "what was kept of an earlier attempt is not part of this file: all of it is fetched anew";
        return Err(Fault::Passing(why.to_owned(), None));
    }
    let hint = "the file was changed, there or on its way; nothing of it is kept. Another source: `--mirror URL`";
    Err(Fault::Lasting(format!("`{address}` gives another content than it should"), Some(hint.to_owned())))
}

/// Takes what a server sends.
fn receive(
    answer: Answer,
    wanted: &Wanted<'_>,
    address: &str,
    part: &mut Part,
    patience: Patience,
    watch: &dyn Watch,
) -> Result<(), Fault> {
    if answer.start != part.bytes() {
        part.restart().map_err(Fault::Disk)?;
    }
    part.comes_from(address, answer.tag.as_deref()).map_err(Fault::Disk)?;
    let pieces = Pieces::of(answer.reader);
    let (mut since, mut then) = (Instant::now(), part.bytes());
    loop {
        let piece = pieces.next(&|| watch.stopped());
        if watch.stopped() {
            part.flush().map_err(Fault::Disk)?;
            return Err(Fault::Stopped);
        }
        let piece = match piece {
            Some(Ok(piece)) => piece,
            Some(Err(error)) => return Err(Fault::Passing(http::broken(&error, part.bytes(), wanted.bytes), None)),
            None => break,
        };
        if part.bytes() + piece.len() as u64 > wanted.bytes {
            part.restart().map_err(Fault::Disk)?;
            let why = format!("`{address}` sends more than the {} bytes that the file has", wanted.bytes);
            return Err(Fault::Lasting(why, None));
        }
        part.write(&piece).map_err(Fault::Disk)?;
        watch.progress(part.bytes());
        if since.elapsed() > patience.timeout {
            if part.bytes() - then < LEAST_BYTES && part.bytes() < wanted.bytes {
                let why = format!("only {} bytes came in {} s", part.bytes() - then, patience.timeout.as_secs_f32());
                return Err(Fault::Passing(why, None));
            }
            (since, then) = (Instant::now(), part.bytes());
        }
    }
    if part.bytes() < wanted.bytes {
        let why = format!("the connection ended after {} of {} bytes", part.bytes(), wanted.bytes);
        return Err(Fault::Passing(why, None));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_timeout() {
        let patience = Patience { timeout: Duration::from_secs(30), retries: 5 };
        let waits: Vec<u64> = (0..7).map(|retry| patience.wait(retry).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(patience.wait(u32::MAX).as_secs(), 30);
    }
}
