//! How many pictures may be at work at once, by the memory that they need.

use std::sync::{Condvar, Mutex, PoisonError};

/// The memory that all pictures at work share.
pub(super) struct Room {
    /// Nothing where it is not bounded.
    most: Option<u64>,
    used: Mutex<u64>,
    freed: Condvar,
}

impl Room {
    pub(super) fn new(most: Option<u64>) -> Self {
        Self { most, used: Mutex::new(0), freed: Condvar::new() }
    }

    /// Waits until so many bytes are free, or until nobody else is at work: what is too large for both is done alone.
    pub(super) fn enter(&self, bytes: u64) -> Place<'_> {
        // Something, so that nobody counts as absent.
        let bytes = bytes.max(1);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used > 0 && self.most.is_some_and(|most| used.saturating_add(bytes) > most) {
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used = used.saturating_add(bytes);
        Place { room: self, bytes }
    }
}

/// The memory of one picture, until it is dropped.
pub(super) struct Place<'a> {
    room: &'a Room,
    bytes: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut used = self.room.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_sub(self.bytes);
        drop(used);
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread, time::Duration};

    #[test]
    fn what_does_not_fit_beside_another_waits() {
        let room = Room::new(Some(10));
        let (small, large) = (room.enter(4), room.enter(6));
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            let room = &room;
            scope.spawn(move || {
                // Larger than all there is: it comes in once it is alone.
                let _place = room.enter(20);
                sender.send(()).unwrap();
            });
            drop(small);
            assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
            drop(large);
            receiver.recv().unwrap();
        });
        assert_eq!(*room.used.lock().unwrap(), 0);
    }
}
