use super::{Claim, Digest, Store, Value};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// A store whose results are kept in the background, while the next ones are computed.
///
/// Everybody sees a result at once; other processes see it when it is kept, and until then the claim on it holds. When
/// results come faster than they can be kept, whoever brings the next one waits, and what is only offered is left out.
/// A result that is larger than what may wait is kept by whoever brings it.
pub struct Behind<S> {
    back: Arc<S>,
    shared: Arc<Shared>,
    /// Bytes that may wait, so that a slow disk does not fill the memory.
    most: usize,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something came in, or went out.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// What is not kept yet; the first one is being written when the thread is at work.
    results: VecDeque<Pending>,
    bytes: usize,
    ended: bool,
}

/// A result that is to be kept.
struct Pending {
    action: Digest,
    outputs: Vec<(Digest, Value)>,
    cost: Duration,
    bytes: usize,
    /// Ends once the result is kept.
    _claim: Option<Claim>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here panics half way through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for something among what is not kept yet.
    fn find<T>(&self, look: impl Fn(&Pending) -> Option<T>) -> Option<T> {
        self.queue().results.iter().find_map(look)
    }

    fn content<T>(&self, digest: Digest, take: impl Fn(&Value) -> T) -> Option<T> {
        self.find(|pending| pending.outputs.iter().find(|(own, _)| *own == digest).map(|(_, value)| take(value)))
    }

    /// Keeps what comes in until the end.
    fn keep(&self, back: &dyn Store) {
        let mut queue = self.queue();
        loop {
            let next = queue.results.front().map(|first| (first.action, first.outputs.clone(), first.cost));
            match next {
                Some((action, outputs, cost)) => {
                    drop(queue);
                    back.put(action, &outputs, cost);
                    drop(outputs);
                    queue = self.queue();
                    let done = queue.results.pop_front();
                    queue.bytes -= done.as_ref().map_or(0, |done| done.bytes);
                    self.changed.notify_all();
                }
                None if queue.ended => return,
                None => queue = self.wait(queue),
            }
        }
    }
}

impl<S: Store + 'static> Behind<S> {
    /// A store that keeps things in `back`, for which up to `most` bytes wait.
    pub fn new(back: S, most: usize) -> Self {
        let (back, shared) = (Arc::new(back), Arc::new(Shared::default()));
        let thread = back.keeps().then(|| {
            let (back, shared) = (back.clone(), shared.clone());
            thread::Builder::new().name("keeper".into()).spawn(move || shared.keep(&*back)).ok()
        });
        Self { back, shared, most, thread: thread.flatten() }
    }

    /// The store behind it, once everything is kept.
    pub fn settled(&self) -> &S {
        self.settle();
        &self.back
    }

    fn add(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration, claim: Option<Claim>, patient: bool) {
        // Nobody should wait until there is room for what is left out.
        let any = outputs.iter().any(|(_, value)| self.back.worth(value, cost));
        if self.thread.is_none() || !any {
            return self.back.put(action, outputs, cost);
        }
        let bytes = outputs.iter().map(|(_, value)| value.bytes()).sum();
        let mut queue = self.shared.queue();
        while !queue.results.is_empty() && queue.bytes.saturating_add(bytes) > self.most {
            if !patient {
                return;
            }
            queue = self.shared.wait(queue);
        }
        if bytes > self.most {
            drop(queue);
            return self.back.put(action, outputs, cost);
        }
        queue.bytes += bytes;
        queue.results.push_back(Pending { action, outputs: outputs.to_vec(), cost, bytes, _claim: claim });
        self.shared.changed.notify_all();
    }
}

impl<S: Store + 'static> Store for Behind<S> {
    fn keeps(&self) -> bool {
        self.back.keeps()
    }

    fn outputs(&self, action: Digest) -> Option<Vec<Digest>> {
        let digests = |pending: &Pending| pending.outputs.iter().map(|(digest, _)| *digest).collect();
        self.shared
            .find(|pending| (pending.action == action).then(|| digests(pending)))
            .or_else(|| self.back.outputs(action))
    }

    fn has(&self, digest: Digest) -> bool {
        self.shared.content(digest, |_| ()).is_some() || self.back.has(digest)
    }

    fn content(&self, digest: Digest) -> Option<Value> {
        self.shared.content(digest, Value::clone).or_else(|| self.back.content(digest))
    }

    fn put(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration) {
        self.add(action, outputs, cost, None, true);
    }

    fn put_claimed(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration, claim: Claim) {
        self.add(action, outputs, cost, Some(claim), true);
    }

    fn offer(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration) {
        self.add(action, outputs, cost, None, false);
    }

    fn settle(&self) {
        let mut queue = self.shared.queue();
        while !queue.results.is_empty() {
            queue = self.shared.wait(queue);
        }
    }

    fn claim(&self, action: Digest) -> Claim {
        self.back.claim(action)
    }

    fn pin(&self, digests: &[Digest]) {
        self.back.pin(digests);
    }
}

impl<S> Drop for Behind<S> {
    fn drop(&mut self) {
        self.shared.queue().ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in there has cost some results, and nothing else.
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use std::sync::mpsc;

    const COST: Duration = Duration::from_secs(1);
    const WAITING: usize = 1 << 20;

    /// Keeps nothing before it is allowed to.
    struct Slow {
        back: MemoryStore,
        allowed: Mutex<mpsc::Receiver<()>>,
    }

    impl Store for Slow {
        fn outputs(&self, action: Digest) -> Option<Vec<Digest>> {
            self.back.outputs(action)
        }
        fn has(&self, digest: Digest) -> bool {
            self.back.has(digest)
        }
        fn content(&self, digest: Digest) -> Option<Value> {
            self.back.content(digest)
        }
        fn put(&self, action: Digest, outputs: &[(Digest, Value)], cost: Duration) {
            self.allowed.lock().unwrap().recv().ok();
            self.back.put(action, outputs, cost);
        }
    }

    fn slow() -> (Behind<Slow>, mpsc::Sender<()>) {
        let (allow, allowed) = mpsc::channel();
        let back = MemoryStore::new(1 << 30);
        (Behind::new(Slow { back, allowed: Mutex::new(allowed) }, WAITING), allow)
    }

    fn result(number: u8, bytes: usize) -> (Digest, Vec<(Digest, Value)>) {
        let text = Value::Text(char::from(b'a' + number).to_string().repeat(bytes).into());
        (Digest([number; 32]), vec![(text.digest(), text)])
    }

    #[test]
    fn results_are_there_before_they_are_kept() {
        let (store, allow) = slow();
        let (action, outputs) = result(1, 100);
        store.put(action, &outputs, COST);
        assert!(!store.back.has(outputs[0].0));
        assert_eq!(store.get(action).map(|found| found[0].0), Some(outputs[0].0));
        assert!(store.has(outputs[0].0));
        allow.send(()).unwrap();
        assert!(store.settled().has(outputs[0].0));
    }

    #[test]
    fn what_is_offered_gives_way() {
        let (store, allow) = slow();
        let all: Vec<_> = (0..3).map(|number| result(number, WAITING / 2)).collect();
        store.put(all[0].0, &all[0].1, COST);
        store.offer(all[1].0, &all[1].1, COST);
        store.offer(all[2].0, &all[2].1, COST);
        // Somebody who insists waits until there is room.
        thread::scope(|scope| {
            let insisting = scope.spawn(|| store.put(all[2].0, &all[2].1, COST));
            (0..3).for_each(|_| allow.send(()).unwrap());
            insisting.join().unwrap();
        });
        let kept = store.settled();
        assert!(all.iter().all(|(action, _)| kept.outputs(*action).is_some()));
        let (late, outputs) = result(9, WAITING);
        store.put(all[0].0, &all[0].1, COST);
        store.offer(late, &outputs, COST);
        drop(allow);
        assert!(store.settled().outputs(late).is_none(), "it was left out");
    }

    #[test]
    fn what_is_too_large_to_wait_is_kept_by_who_brings_it() {
        let (store, allow) = slow();
        let (action, outputs) = result(1, WAITING + 1);
        allow.send(()).unwrap();
        store.offer(action, &outputs, COST);
        assert!(store.back.has(outputs[0].0), "nothing waits, so there is time");
        let (small, _) = result(2, 1);
        store.put(small, &result(2, 1).1, COST);
        let (late, outputs) = result(3, WAITING + 1);
        store.offer(late, &outputs, COST);
        (0..2).for_each(|_| allow.send(()).unwrap());
        store.put(late, &outputs, COST);
        assert!(store.back.outputs(small).is_some() && store.back.outputs(late).is_some());
    }

    #[test]
    fn everything_is_kept_at_the_end() {
        let (store, allow) = slow();
        let (action, outputs) = result(1, 10);
        let back = store.back.clone();
        store.put(action, &outputs, COST);
        allow.send(()).unwrap();
        drop(store);
        assert!(back.has(outputs[0].0));
    }
}
