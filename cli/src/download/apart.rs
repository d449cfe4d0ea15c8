//! Waits for servers on threads of their own, so that whoever wants to stop need not wait for them.

use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

/// Pause between two looks whether to stop.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes that are read at once.
const AT_ONCE: usize = 1 << 18;
/// Pieces that are read ahead.
const AHEAD: usize = 4;

/// What comes of work on another thread; nothing once `stopped` says so. The thread is left alone then, and ends when its work does.
pub(super) fn done<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    stopped: &dyn Fn() -> bool,
) -> Option<T> {
    let (sender, receiver) = sync_channel(1);
    // Nobody listens any more after a stop.
    thread::spawn(move || drop(sender.send(work())));
    next(&receiver, stopped)
}

/// What is read on another thread, piece by piece.
pub(super) struct Pieces(Receiver<io::Result<Vec<u8>>>);

impl Pieces {
    pub(super) fn of(mut reader: Box<dyn Read + Send>) -> Self {
        let (sender, receiver): (SyncSender<io::Result<Vec<u8>>>, _) = sync_channel(AHEAD);
        thread::spawn(move || {
            loop {
                let mut piece = vec![0; AT_ONCE];
                let read = match reader.read(&mut piece) {
                    Ok(0) => break,
                    Ok(read) => {
                        piece.truncate(read);
                        Ok(piece)
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = read.is_err();
                if sender.send(read).is_err() || failed {
                    break;
                }
            }
        });
        Self(receiver)
    }

    /// The next piece; nothing at the end, or once `stopped` says so.
    pub(super) fn next(&self, stopped: &dyn Fn() -> bool) -> Option<io::Result<Vec<u8>>> {
        next(&self.0, stopped)
    }
}

fn next<T>(receiver: &Receiver<T>, stopped: &dyn Fn() -> bool) -> Option<T> {
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(value) => return Some(value),
            Err(RecvTimeoutError::Timeout) if !stopped() => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn pieces_come_in_order_and_errors_at_the_end() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let content: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        let pieces = Pieces::of(Box::new(io::Cursor::new(content.clone()).chain(Broken)));
        let mut found = Vec::new();
        while let Some(Ok(piece)) = pieces.next(&|| false) {
            found.extend(piece);
        }
        assert_eq!(found, content);
        assert!(pieces.next(&|| false).is_none());
    }

    #[test]
    fn nobody_waits_after_a_stop() {
        static STOP: AtomicBool = AtomicBool::new(false);
        thread::spawn(|| {
            thread::sleep(Duration::from_millis(100));
            STOP.store(true, Ordering::Relaxed);
        });
        let start = std::time::Instant::now();
        assert_eq!(done(|| thread::sleep(Duration::from_secs(20)), &|| STOP.load(Ordering::Relaxed)), None);
        assert!(start.elapsed() < Duration::from_secs(5));
        assert_eq!(done(|| 7, &|| false), Some(7));
    }
}
