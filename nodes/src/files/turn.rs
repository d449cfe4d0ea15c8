//! Locks behind which somebody computes.

use rayon::Yield;
use std::{
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
    thread,
    time::Duration,
};

/// Waits for a lock whose holder may have the thread pool work for it, such as to pack weights. A thread of the pool takes part in
/// that work instead of only waiting: else nobody might be left to do it.
pub(super) fn wait<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    const REST: Duration = Duration::from_millis(1);
    loop {
        match lock.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(broken)) => return broken.into_inner(),
            Err(TryLockError::WouldBlock) => match rayon::yield_now() {
                None => return lock.lock().unwrap_or_else(PoisonError::into_inner),
                Some(Yield::Idle) => thread::sleep(REST),
                Some(Yield::Executed) => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Barrier, mpsc};

    #[test]
    fn the_only_thread_of_a_pool_works_for_whom_it_waits_for() {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let (lock, both) = (Mutex::new(0), Barrier::new(2));
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut held = wait(&lock);
                    both.wait();
                    *held = pool.install(|| 7);
                });
                let seen = pool.install(|| {
                    both.wait();
                    *wait(&lock)
                });
                tell.send(seen).ok();
            });
        });
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(7));
    }
}
