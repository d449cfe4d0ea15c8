//! Room for what a job of a thread makes and uses up.

use std::cell::RefCell;

use super::Aligned;

thread_local! {
    static ROOM: RefCell<Aligned<u8>> = RefCell::new(Aligned::zeros(0));
}

/// Calls `job` with room for so many bytes that begins at a line of the cache and holds anything. The thread keeps it for its next job.
pub(super) fn with_room<T>(bytes: usize, job: impl FnOnce(*mut u8) -> T) -> T {
    ROOM.with_borrow_mut(|room| {
        if room.len() < bytes {
            *room = Aligned::zeros(bytes);
        }
        job(room.as_mut_ptr())
    })
}
