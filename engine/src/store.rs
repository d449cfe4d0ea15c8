//! Where results are kept: action key to output digests, digests to contents.

use crate::{digest::Digest, value::Value};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Keeps results. Implementations are shared by threads and must never fail a run: what cannot be kept is forgotten.
///
/// Two levels, as build systems have: an action names the digests of its outputs, and equal contents are held once,
/// whatever produced them.
pub trait Store: Send + Sync {
    /// Whether anything is kept at all. Where it is not, nobody needs to compute digests.
    fn keeps(&self) -> bool {
        true
    }

    /// The digests of an action's outputs, when the contents of all of them are still there.
    fn outputs(&self, action: Digest) -> Option<Vec<Digest>>;

    /// A content.
    fn content(&self, digest: Digest) -> Option<Value>;

    /// Keeps the outputs of an action.
    fn put(&self, action: Digest, outputs: &[(Digest, Value)]);

    /// The outputs of an action with their contents.
    fn get(&self, action: Digest) -> Option<Vec<(Digest, Value)>> {
        self.outputs(action)?.into_iter().map(|digest| Some((digest, self.content(digest)?))).collect()
    }
}

/// A store that keeps nothing.
pub struct NoStore;

impl Store for NoStore {
    fn keeps(&self) -> bool {
        false
    }
    fn outputs(&self, _: Digest) -> Option<Vec<Digest>> {
        None
    }
    fn content(&self, _: Digest) -> Option<Value> {
        None
    }
    fn put(&self, _: Digest, _: &[(Digest, Value)]) {}
}

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
        let mut shelves = self.lock();
        let digests = shelves.actions.get(&action)?.clone();
        if digests.iter().all(|digest| shelves.contents.contains_key(digest)) {
            return Some(digests);
        }
        shelves.actions.remove(&action);
        None
    }

    fn content(&self, digest: Digest) -> Option<Value> {
        let mut shelves = self.lock();
        shelves.clock += 1;
        let now = shelves.clock;
        let content = shelves.contents.get_mut(&digest)?;
        content.used = now;
        Some(content.value.clone())
    }

    fn put(&self, action: Digest, outputs: &[(Digest, Value)]) {
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
        store.put(action("a"), &[entry("aaaa")]);
        store.put(action("b"), &[entry("bbbb")]);
        assert!(store.get(action("a")).is_some());
        store.put(action("c"), &[entry("cccc")]);
        assert!(store.get(action("a")).is_some());
        assert!(store.get(action("b")).is_none());
        assert!(store.get(action("c")).is_some());
        assert_eq!(store.bytes(), 8);
    }

    #[test]
    fn equal_contents_are_held_once() {
        let store = MemoryStore::new(100);
        store.put(action("a"), &[entry("same")]);
        store.put(action("b"), &[entry("same")]);
        assert_eq!(store.bytes(), 4);
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let store = MemoryStore::new(3);
        store.put(action("a"), &[entry("aaaa")]);
        assert!(store.get(action("a")).is_none());
        assert_eq!(store.bytes(), 0);
    }
}
