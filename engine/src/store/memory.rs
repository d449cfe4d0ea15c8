use super::{Digest, Store, Value};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A store in memory that forgets the longest unused contents when it holds more than its capacity.
pub struct MemoryStore {
    capacity: usize,
    shelves: Mutex<Shelves>,
}

#[derive(Default)]
struct Shelves {
    actions: HashMap<Digest, Vec<Digest>>,
    contents: HashMap<Digest, Content>,
    bytes: usize,
    clock: u64,
}

struct Content {
    value: Value,
    bytes: usize,
    used: u64,
}

impl MemoryStore {
    /// A store that holds at most `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, shelves: Mutex::default() }
    }

    /// Bytes held now.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        // Nothing in here panics half way through a change, so a poisoned lock still guards consistent shelves.
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn outputs(&self, action: Digest) -> Option<Vec<Digest>> {
        self.lock().actions.get(&action).cloned()
    }

    fn has(&self, digest: Digest) -> bool {
        self.lock().contents.contains_key(&digest)
    }

    fn content(&self, digest: Digest) -> Option<Value> {
        let mut shelves = self.lock();
        shelves.clock += 1;
        let now = shelves.clock;
        let content = shelves.contents.get_mut(&digest)?;
        content.used = now;
        Some(content.value.clone())
    }

    fn put(&self, action: Digest, outputs: &[(Digest, Value)], _: Duration) {
        if outputs.iter().map(|(_, value)| value.bytes()).sum::<usize>() > self.capacity {
            return;
        }
        let mut shelves = self.lock();
        shelves.clock += 1;
        let used = shelves.clock;
        for (digest, value) in outputs {
            let bytes = value.bytes();
            if shelves.contents.insert(*digest, Content { value: value.clone(), bytes, used }).is_none() {
                shelves.bytes += bytes;
            }
        }
        shelves.actions.insert(action, outputs.iter().map(|(digest, _)| *digest).collect());
        while shelves.bytes > self.capacity {
            let oldest =
                shelves.contents.iter().min_by_key(|(digest, c)| (c.used, **digest)).map(|(digest, _)| *digest);
            let Some(content) = oldest.and_then(|digest| shelves.contents.remove(&digest)) else { break };
            shelves.bytes -= content.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digester;

    const COST: Duration = Duration::from_secs(1);

    fn entry(text: &str) -> (Digest, Value) {
        let value = Value::Text(text.into());
        (value.digest(), value)
    }

    fn action(name: &str) -> Digest {
        Digester::new(name).finish()
    }

    #[test]
    fn the_longest_unused_content_goes_first() {
        let store = MemoryStore::new(10);
        store.put(action("a"), &[entry("aaaa")], COST);
        store.put(action("b"), &[entry("bbbb")], COST);
        assert!(store.get(action("a")).is_some());
        store.put(action("c"), &[entry("cccc")], COST);
        assert!(store.get(action("a")).is_some());
        assert!(store.get(action("b")).is_none());
        assert!(store.get(action("c")).is_some());
        assert_eq!(store.bytes(), 8);
    }

    #[test]
    fn equal_contents_are_held_once() {
        let store = MemoryStore::new(100);
        store.put(action("a"), &[entry("same")], COST);
        store.put(action("b"), &[entry("same")], COST);
        assert_eq!(store.bytes(), 4);
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let store = MemoryStore::new(3);
        store.put(action("a"), &[entry("aaaa")], COST);
        assert!(store.get(action("a")).is_none());
        assert_eq!(store.bytes(), 0);
    }
}
