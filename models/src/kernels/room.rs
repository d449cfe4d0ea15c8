//! Room for what a job of a thread makes and uses up.

use std::cell::RefCell;

/// A line of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    _bytes: [u8; LINE],
}

/// Bytes of a line of the cache.
pub(super) const LINE: usize = 64;

thread_local! {
    static ROOM: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Calls `job` with room for so many bytes that begins at a line of the cache and holds what was left there. The thread keeps it for its next
/// job.
pub(super) fn with_room<T>(bytes: usize, job: impl FnOnce(*mut u8) -> T) -> T {
    let lines = bytes.div_ceil(LINE);
    ROOM.with_borrow_mut(|room| {
        if room.len() < lines {
            room.resize(lines, Line { _bytes: [0; LINE] });
        }
        job(room.as_mut_ptr().cast())
    })
}
