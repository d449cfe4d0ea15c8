//! What tells that it is time to look at the folder again. Events are hints only: what has arrived is found by looking, so
//! that a queue that runs over, a network that is silent, or a folder that comes back loses nothing.

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Set by whoever notices something.
#[derive(Clone, Default)]
struct Bell(Arc<(Mutex<bool>, Condvar)>);

impl Bell {
    fn ring(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits for it, at most so long.
    fn wait(&self, most: Duration) -> bool {
        let rung = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut rung, _) =
            self.0.1.wait_timeout_while(rung, most, |rung| !*rung).unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *rung)
    }
}

/// Hears of changes in a folder, or looks at it from time to time.
pub(super) struct Events {
    bell: Bell,
    watcher: Option<RecommendedWatcher>,
    /// Why there are no events, where there are none.
    pub(super) silent: Option<String>,
}

/// The program looks so often whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(200);

impl Events {
    /// Hears of changes, unless the folder is to be polled.
    pub(super) fn new(folder: &Path, poll: bool) -> Self {
        let mut events = Self { bell: Bell::default(), watcher: None, silent: None };
        if poll {
            events.silent = Some("as it is asked to".to_owned());
        } else if let Some(kind) = remote(folder) {
            events.silent =
                Some(format!("as `{}` lies on a file system ({kind}) that tells of no changes", folder.display()));
        } else {
            events.listen(folder);
        }
        events
    }

    /// Listens anew: a folder that went away and came back is another one.
    pub(super) fn listen(&mut self, folder: &Path) {
        let bell = self.bell.clone();
        // Errors, such as a queue that ran over, are a reason to look as well.
        let made = notify::recommended_watcher(move |_| bell.ring())
            .and_then(|mut watcher| watcher.watch(folder, RecursiveMode::Recursive).map(|()| watcher));
        match made {
            Ok(watcher) => (self.watcher, self.silent) = (Some(watcher), None),
            Err(error) => {
                self.watcher = None;
                self.silent = Some(format!("as the system does not tell of changes: {error}"));
            }
        }
    }

    /// Whether there are no events, and the folder has to be looked at from time to time.
    pub(super) fn polls(&self) -> bool {
        self.watcher.is_none()
    }

    /// Waits without hearing anything.
    pub(super) fn still(most: Duration, stop: &dyn Fn() -> bool) {
        let deaf = Self { bell: Bell::default(), watcher: None, silent: None };
        deaf.wait(most, stop);
    }

    /// Waits for a change, at most so long. Ends early when `stop` says so.
    pub(super) fn wait(&self, most: Duration, stop: &dyn Fn() -> bool) {
        let end = Instant::now() + most;
        while !stop() {
            let rest = end.saturating_duration_since(Instant::now());
            if self.bell.wait(rest.min(PATIENCE)) || rest.is_zero() {
                return;
            }
        }
    }
}

/// The kind of a file system that other machines change without telling.
#[cfg(target_os = "linux")]
fn remote(folder: &Path) -> Option<&'static str> {
    // Numbers of statfs(2).
    match rustix::fs::statfs(folder).ok()?.f_type as u32 {
        0x6969 => Some("NFS"),
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
        0x6573_5546 => Some("FUSE"),
        0x0102_1997 => Some("9p"),
        0x00C3_6400 => Some("Ceph"),
        0x7461_636f => Some("OCFS2"),
        0x0BD0_0BD0 => Some("Lustre"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn remote(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let events = Events::new(folder.path(), false);
        assert!(!events.polls(), "{:?}", events.silent);
        std::fs::write(folder.path().join("a"), "x").unwrap();
        let begun = Instant::now();
        events.wait(Duration::from_secs(60), &|| false);
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(Events::new(folder.path(), true).polls());
    }

    #[test]
    fn what_stops_ends_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        Events::new(folder.path(), true).wait(Duration::from_secs(600), &|| true);
    }
}
