//! One node, run on what comes in, unless its result is kept.

use super::{How, Shared, World};
use crate::{
    Blame, Claim, Cx, DynNode, Failure, NodeKind, NodeResult, Parts, Thrift, Watcher,
    contain::contain,
    digest::Digest,
    guard,
    key::{Identity, Key},
    node::Inputs,
    value::{Rect, Size, Value},
};
use std::{cell::Cell, path::PathBuf, sync::atomic::Ordering, time::Instant};

/// One node that runs, once or once per tile.
pub(super) struct Job<'a> {
    pub kind: &'static dyn NodeKind,
    pub node: &'a dyn DynNode,
    pub identity: &'a Identity,
    pub world: World<'a>,
    pub shared: &'a Shared,
}

impl Job<'_> {
    /// The key of the result for these inputs, where results are kept.
    pub(super) fn key(&self, fields: &[(&str, &str)], inputs: &Inputs) -> Option<Key> {
        self.world.store.keeps().then(|| {
            let digests: Vec<_> = fields.iter().map(|(field, name)| (*field, inputs[*name].digest())).collect();
            self.identity.key(self.kind, self.node, &digests)
        })
    }

    /// The kept result, or else what `compute` gives, which is kept then. Nothing when another process is computing it and
    /// the caller `may_wait`.
    pub(super) fn make<E>(
        &self,
        key: Option<&Key>,
        may_wait: bool,
        compute: impl FnOnce() -> Result<Made, E>,
    ) -> Result<Option<Made>, E> {
        let Some(Key { digest, parts }) = key else { return compute().map(Some) };
        let store = self.world.store;
        let kept = || {
            let values: Vec<Value> = store.get(*digest)?.into_iter().map(|(_, value)| value).collect();
            Some(Made::new(values, How::Kept, Some(parts.clone())))
        };
        if let Some(kept) = kept() {
            return Ok(Some(kept));
        }
        let claim = store.claim(*digest);
        if may_wait && matches!(claim, Claim::Taken) {
            return Ok(None);
        }
        // Whoever had the claim until now has kept the result.
        if let Some(kept) = kept() {
            return Ok(Some(kept));
        }
        let begun = Instant::now();
        let mut made = compute()?;
        let keyed: Vec<(Digest, Value)> = made.values.iter().map(|value| (value.digest(), value.clone())).collect();
        store.put_claimed(*digest, &keyed, begun.elapsed(), claim);
        made.parts = Some(parts.clone());
        Ok(Some(made))
    }

    /// Runs the node on these inputs: again with smaller tiles when memory did not suffice, once more in full precision when
    /// less gave a broken picture.
    pub(super) fn run(
        &self,
        key: Option<&Key>,
        inputs: &Inputs,
        place: Option<(Rect, Size)>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> NodeResult<Vec<Value>> {
        let watcher = Watcher { cancel: self.world.cancel, stop: &self.shared.stop, progress };
        let mut precise = false;
        loop {
            let thrift = self.shared.thrift();
            let wrong = match self.attempt(key, inputs, place, &watcher, thrift, precise) {
                Ok(values) => return Ok(values),
                Err(wrong) => wrong,
            };
            // All that the attempt held is gone by now; what it had finished is kept, and found again.
            match (wrong, thrift.more()) {
                (Wrong::Memory(_), Some(less)) => {
                    self.shared.thrift.fetch_max(less.0, Ordering::Relaxed);
                }
                (Wrong::Broken(_), _) if !precise && self.node.reduced() => precise = true,
                (Wrong::Memory(failure) | Wrong::Broken(failure) | Wrong::Else(failure), _) => return Err(failure),
            }
        }
    }

    fn attempt(
        &self,
        key: Option<&Key>,
        inputs: &Inputs,
        place: Option<(Rect, Size)>,
        watcher: &Watcher<'_>,
        thrift: Thrift,
        precise: bool,
    ) -> Result<Vec<Value>, Wrong> {
        let World { store, cancel, .. } = self.world;
        if self.shared.stop.load(Ordering::Relaxed) || cancel.load(Ordering::Relaxed) {
            return Err(Wrong::Else(Failure::cancelled()));
        }
        let (identity, work, begun) = (self.identity.digest, key.map(|key| key.digest), Cell::new(Instant::now()));
        let halves = Cell::new(false);
        let mut cx = Cx { inputs, watcher, store, identity, place, thrift, precise, work, begun, halves };
        let values = contain(|| self.node.run(&mut cx))
            .unwrap_or_else(|panic| Err(Failure::internal(format!("panicked: {panic}"))))
            .map_err(|failure| match failure.blame {
                // Only what works in tiles can do with less.
                Blame::Memory if cx.halves.get() => Wrong::Memory(failure),
                _ => Wrong::Else(failure),
            })?;
        if self.kind.network() {
            guard::check(self.kind.name(), inputs, &values).map_err(Wrong::Broken)?;
        }
        Ok(values)
    }
}

/// Why an attempt failed.
enum Wrong {
    /// Memory did not suffice, and smaller tiles need less.
    Memory(Failure),
    /// What came out is no picture.
    Broken(Failure),
    /// Another attempt would not go better.
    Else(Failure),
}

/// The result of a node, and how it came to it.
pub(super) struct Made {
    pub values: Vec<Value>,
    pub how: How,
    pub parts: Option<Parts>,
    pub tiles: Vec<(Rect, Parts, bool)>,
    pub published: Option<PathBuf>,
}

impl Made {
    pub(super) fn new(values: Vec<Value>, how: How, parts: Option<Parts>) -> Self {
        Self { values, how, parts, tiles: Vec::new(), published: None }
    }
}

/// The tile at which a step failed (number, of how many, where), and why.
pub(super) type StepFailure = (Option<(usize, usize, Rect)>, Failure);
