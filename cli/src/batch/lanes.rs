//! Several pictures at work at once: while one is computed, others are read and written. They are told of in the order in
//! which they were named.

use super::{
    Batch,
    estimate::{Estimate, Standing},
    failures::Wrong,
    keeper::Keeper,
    one::{Made, Prepared, Workshop},
    room::Room,
};
use crate::{pictures::Picture, stop::Stop, terminal::Terminal};
use engine::{Device, Failure};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Sender},
    },
    thread,
};

/// One picture is computed while the one before is written and the next is read.
const LANES: usize = 2;
/// So many pictures are looked at beforehand to tell how long the batch will take.
const SAMPLED: usize = 200;

/// What came of one picture.
pub(crate) enum Outcome {
    Made(Made),
    Skipped(PathBuf),
    Failed(Wrong),
}

/// What all lanes share.
struct Lanes<'a> {
    batch: &'a Batch,
    workshop: Workshop<'a>,
    pictures: &'a [Picture],
    keeper: &'a dyn Keeper,
    feed: Mutex<Feed>,
    estimate: Estimate,
    /// Set when no further picture is to be begun.
    halt: AtomicBool,
}

/// Pictures are named one after the other, so that names do not depend on who is faster.
struct Feed {
    next: usize,
    taken: HashSet<PathBuf>,
}

impl Batch {
    /// Works through the pictures and tells what came of each, in their order. None is begun after one that ends the work:
    /// because `tell` says so, because the graph is wrong, or because the person stops it.
    pub(crate) fn work(
        &self,
        terminal: &Terminal,
        stop: &Stop,
        pictures: &[Picture],
        keeper: &dyn Keeper,
        tell: &mut dyn FnMut(usize, Outcome) -> bool,
    ) {
        let (device, room) = (Device::new(), Room::new(self.bounds.memory));
        // What is begun beside a picture that fails would be made all the same.
        let alone = pictures.len() < 2 || self.dry_run || self.explain || self.fail_fast;
        let workshop = Workshop { terminal, stop, device: &device, room: (!alone).then_some(&room) };
        let lanes = Lanes {
            batch: self,
            workshop,
            pictures,
            keeper,
            feed: Mutex::new(Feed { next: 0, taken: HashSet::new() }),
            estimate: Estimate::new(pictures.len()),
            halt: AtomicBool::new(false),
        };
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..if alone { 1 } else { LANES } {
                let (lanes, sender) = (&lanes, sender.clone());
                scope.spawn(move || lanes.lane(&sender));
            }
            drop(sender);
            if !alone && (terminal.json() || !terminal.silent()) {
                scope.spawn(|| lanes.sample());
            }
            let (mut next, mut waiting) = (0, BTreeMap::new());
            for (index, outcome) in receiver {
                waiting.insert(index, outcome);
                while let Some(outcome) = waiting.remove(&next) {
                    if !tell(next, outcome) {
                        lanes.halt.store(true, Ordering::Relaxed);
                    }
                    next += 1;
                }
            }
            lanes.halt.store(true, Ordering::Relaxed);
        });
        terminal.clear();
    }
}

impl Lanes<'_> {
    fn lane(&self, sender: &Sender<(usize, Outcome)>) {
        while let Some((index, prepared)) = self.next() {
            let outcome = match prepared {
                Ok(Prepared::Skip(path)) => {
                    self.estimate.skip(index);
                    Outcome::Skipped(path)
                }
                Ok(Prepared::Make(job)) => {
                    let title = self.title(index);
                    self.weigh(index);
                    self.estimate.begin(index, &title);
                    self.show();
                    let advance = |share: f64| {
                        self.estimate.advance(index, share);
                        self.show();
                    };
                    let picture = &self.pictures[index];
                    let (begun, told) = (job.begin(self.keeper, index), job.telling_of(picture));
                    let made = begun.and_then(|()| self.batch.make(&self.workshop, picture, &title, *job, &advance));
                    let made = made.map_err(told);
                    self.estimate.finish(index);
                    made.map_or_else(Outcome::Failed, Outcome::Made)
                }
                Err(wrong) => {
                    self.estimate.skip(index);
                    Outcome::Failed(wrong)
                }
            };
            self.show();
            self.tell_programs();
            if let Outcome::Failed(wrong) = &outcome
                && (self.batch.fail_fast || wrong.cancelled() || wrong.failure().is_none())
            {
                self.halt.store(true, Ordering::Relaxed);
            }
            // The one who tells listens until all lanes are done.
            let _ = sender.send((index, outcome));
        }
    }

    /// The next picture, with its names.
    fn next(&self) -> Option<(usize, Result<Prepared, Wrong>)> {
        let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        if self.halt.load(Ordering::Relaxed) {
            return None;
        }
        let index = feed.next;
        let picture = self.pictures.get(index)?;
        feed.next += 1;
        if self.workshop.stop.exit_code().is_some() {
            return Some((index, Err(Failure::cancelled().into())));
        }
        Some((index, self.batch.prepare(picture, index, self.keeper, &mut feed.taken)))
    }

    fn title(&self, index: usize) -> String {
        match self.pictures.len() {
            1 => self.pictures[index].name(),
            all => format!("{}/{all} {}", index + 1, self.pictures[index].name()),
        }
    }

    /// Looks at some of the pictures, spread over all of them.
    fn sample(&self) {
        let step = self.pictures.len().div_ceil(SAMPLED).max(1);
        for index in (0..self.pictures.len()).step_by(step) {
            if self.halt.load(Ordering::Relaxed) || self.workshop.stop.exit_code().is_some() {
                return;
            }
            self.weigh(index);
        }
    }

    fn weigh(&self, index: usize) {
        let picture = &self.pictures[index];
        if self.pictures.len() > 1
            && let Some(path) = picture.path.to_str().filter(|_| !picture.is_stdin())
            && let Ok(header) = nodes::files::probe(path, &self.batch.limits)
        {
            self.estimate.weigh(index, header.size.area());
        }
    }

    fn show(&self) {
        let terminal = self.workshop.terminal;
        if terminal.silent() {
            return;
        }
        let Standing { finished, of, fraction, left, current } = self.estimate.standing();
        let total = (of > 1).then_some((finished, of, fraction, left));
        if let Some((title, share)) = current.filter(|_| !self.batch.dry_run) {
            terminal.progress(total, &title, share);
        }
    }

    /// For programs: how far all of it is.
    fn tell_programs(&self) {
        let Standing { finished, of, fraction, left, .. } = self.estimate.standing();
        if of > 1 {
            let left = left.map(|left| left.as_secs_f64());
            let event = json!({
                "event": "batch", "finished": finished, "of": of, "fraction": fraction, "seconds_left": left,
            });
            self.workshop.terminal.event(event);
        }
    }
}
