//! Where results are kept: action key to output digests, digests to contents.

use crate::{digest::Digest, value::Value};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Keeps results. Implementations are shared by threads and must never fail a run: what cannot be kept is forgotten.
pub trait Store: Send + Sync {
    /// The outputs of an action, when all of them are still there.
    fn get(&self, action: Digest) -> Option<Vec<Value>>;

    /// Keeps the outputs of an action.
    fn put(&self, action: Digest, outputs: &[Value]);

    /// Whether [`get`](Self::get) would find something, without reading it.
    fn has(&self, action: Digest) -> bool;
}

/// A store in memory that forgets the longest unused contents when it holds more than its capacity.
///
/// Two levels, as build systems have: an action names the digests of its outputs, and equal contents are held once,
/// whatever produced them.
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
    fn get(&self, action: Digest) -> Option<Vec<Value>> {
        let mut shelves = self.lock();
        shelves.clock += 1;
        let now = shelves.clock;
        let digests = shelves.actions.get(&action)?.clone();
        let found: Option<Vec<Value>> = digests
            .iter()
            .map(|digest| {
                shelves.contents.get_mut(digest).map(|content| {
                    content.used = now;
                    content.value.clone()
                })
            })
            .collect();
        if found.is_none() {
            shelves.actions.remove(&action);
        }
        found
    }

    fn put(&self, action: Digest, outputs: &[Value]) {
        let digests: Vec<Digest> = outputs.iter().map(Value::digest).collect();
        let mut shelves = self.lock();
        shelves.clock += 1;
        let now = shelves.clock;
        for (digest, value) in digests.iter().zip(outputs) {
            let bytes = value.bytes();
            if bytes > self.capacity {
                return;
            }
            let fresh = Content { value: value.clone(), bytes, used: now };
            if shelves.contents.insert(*digest, fresh).is_none() {
                shelves.bytes += bytes;
            }
        }
        shelves.actions.insert(action, digests);
        while shelves.bytes > self.capacity {
            let Some(oldest) = shelves.contents.iter().min_by_key(|(digest, c)| (c.used, **digest)).map(|(d, _)| *d)
            else {
                break;
            };
            if let Some(content) = shelves.contents.remove(&oldest) {
                shelves.bytes -= content.bytes;
            }
        }
    }

    fn has(&self, action: Digest) -> bool {
        let shelves = self.lock();
        shelves.actions.get(&action).is_some_and(|all| all.iter().all(|digest| shelves.contents.contains_key(digest)))
    }
}
