//! Where results are kept: action key to output digests, digests to contents.

mod behind;
mod disk;
mod layered;
mod memory;

pub use behind::Behind;
pub use disk::{Cache, CacheSize, Checked, Pruned};
pub use layered::Layered;
pub use memory::MemoryStore;

use crate::{digest::Digest, value::Value};
use std::time::Duration;

/// Keeps results. Implementations are shared by threads and must never fail a run: what cannot be kept is forgotten.
///
/// Two levels, as build systems have: an action names the digests of its outputs, and equal contents are held once,
/// whatever produced them. The digests may be known when the contents are gone; that is enough to tell what depends on
/// them.
pub trait Store: Send + Sync {
    /// Whether anything is kept at all. Where it is not, nobody needs to compute digests.
    fn keeps(&self) -> bool {
        true
    }

    /// The digests of an action's outputs.
    fn outputs(&self, action: Digest) -> Option<Vec<Digest>>;

    /// Whether a content is there.
    fn has(&self, digest: Digest) -> bool;

    /// A content.
    fn content(&self, digest: Digest) -> Option<Value>;

    /// Keeps the outputs of an action, which took `cost` to compute: what is cheaper to compute than to keep may be left
    /// out.
    fn put(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration);

    /// Whether an output that took `cost` to compute is kept, and not left out as what is cheaper to compute than to keep.
    fn worth(&self, _: &Value, _cost: Duration) -> bool {
        true
    }

    /// As [`Store::put`], by the one who has the claim on the action. It ends when others can find the result.
    fn put_claimed(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration, _claim: Claim) {
        self.put(action, outputs, cost);
    }

    /// As [`Store::put`], for what may be left out when keeping it would hold up the work.
    fn offer(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration) {
        self.put(action, outputs, cost);
    }

    /// Waits until all that was put is where it would survive the end of this process.
    fn settle(&self) {}

    /// The outputs of an action with their contents.
    fn get(&self, action: Digest) -> Option<Vec<(Digest, Value)>> {
        self.outputs(action)?.into_iter().map(|digest| Some((digest, self.content(digest)?))).collect()
    }

    /// Asks to be the one who computes an action. It is [`Claim::Taken`] while another process computes it; then its result
    /// will be there soon.
    fn claim(&self, _: Digest) -> Claim {
        Claim::Mine(None)
    }

    /// Asks that these contents stay until the store is dropped.
    fn pin(&self, _: &[Digest]) {}
}

/// The answer to [`Store::claim`].
pub enum Claim {
    /// It is for the caller to compute, and for nobody else until this is dropped.
    Mine(Option<Box<dyn crate::filesystem::Lock>>),
    /// Another process is at it.
    Taken,
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
    fn has(&self, _: Digest) -> bool {
        false
    }
    fn content(&self, _: Digest) -> Option<Value> {
        None
    }
    fn put(&self, _: Digest, _: &[(Digest, Value)], _: Duration) {}
}
