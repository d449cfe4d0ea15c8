use super::{Claim, Digest, Store, Value};
use std::time::Duration;

/// A fast store in front of one that lasts.
pub struct Layered<A, B> {
    /// The fast one.
    pub front: A,
    /// The one that lasts.
    pub back: B,
}

impl<A: Store, B: Store> Store for Layered<A, B> {
    fn keeps(&self) -> bool {
        self.front.keeps() || self.back.keeps()
    }

    fn outputs(&self, action: Digest) -> Option<Vec<Digest>> {
        self.front.outputs(action).or_else(|| self.back.outputs(action))
    }

    fn has(&self, digest: Digest) -> bool {
        self.front.has(digest) || self.back.has(digest)
    }

    fn content(&self, digest: Digest) -> Option<Value> {
        self.front.content(digest).or_else(|| self.back.content(digest))
    }

    fn put(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration) {
        self.front.put(action, outputs, cost);
        self.back.put(action, outputs, cost);
    }

    fn put_claimed(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration, claim: Claim) {
        self.front.put(action, outputs, cost);
        self.back.put_claimed(action, outputs, cost, claim);
    }

    fn offer(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration) {
        self.front.offer(action, outputs, cost);
        self.back.offer(action, outputs, cost);
    }

    fn settle(&self) {
        self.back.settle();
    }

    fn claim(&self, action: Digest) -> Claim {
        self.back.claim(action)
    }

    fn pin(&self, digests: &[Digest]) {
        self.front.pin(digests);
        self.back.pin(digests);
    }
}
