//! How far a batch is, and how long it will take.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What a picture costs beside its pixels, in pixels: opening, planning, naming.
const OVERHEAD: f64 = 20_000.0;

/// Weighs the pictures of a batch. Of those that nobody has looked at yet it is assumed that they are like the others.
pub(super) struct Estimate(Mutex<Inner>);

struct Inner {
    /// By picture, where it is known.
    weights: Vec<Option<f64>>,
    /// Sum and number of those that are known.
    known: (f64, usize),
    /// Pictures that need no work.
    without: usize,
    /// Weight of the pictures that are finished, and their number.
    done: (f64, usize),
    /// Title, weight and share of those at work.
    running: BTreeMap<usize, (String, f64)>,
    begun: Option<Instant>,
}

/// Where a batch stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Standing {
    /// Pictures that are finished, those that needed no work among them.
    pub finished: usize,
    /// Pictures in all.
    pub of: usize,
    /// Share of the work that is done.
    pub fraction: f64,
    /// What is left, when that can be told.
    pub left: Option<Duration>,
    /// Title and share of the picture that was begun first.
    pub current: Option<(String, f64)>,
}

impl Estimate {
    pub(super) fn new(pictures: usize) -> Self {
        Self(Mutex::new(Inner {
            weights: vec![None; pictures],
            known: (0.0, 0),
            without: 0,
            done: (0.0, 0),
            running: BTreeMap::new(),
            begun: None,
        }))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells how many pixels a picture has.
    pub(super) fn weigh(&self, picture: usize, pixels: u64) {
        self.with(|inner| inner.weigh(picture, pixels as f64 + OVERHEAD));
    }

    /// Tells that a picture is there already.
    pub(super) fn skip(&self, picture: usize) {
        self.with(|inner| {
            inner.forget(picture);
            inner.without += 1;
        });
    }

    /// Tells that a picture is begun.
    pub(super) fn begin(&self, picture: usize, title: &str) {
        self.with(|inner| {
            inner.begun.get_or_insert_with(Instant::now);
            inner.running.insert(picture, (title.to_owned(), 0.0));
        });
    }

    /// Tells how far a picture is.
    pub(super) fn advance(&self, picture: usize, share: f64) {
        self.with(|inner| {
            if let Some((_, done)) = inner.running.get_mut(&picture) {
                *done = share;
            }
        });
    }

    /// Tells that a picture is finished.
    pub(super) fn finish(&self, picture: usize) {
        self.with(|inner| {
            inner.running.remove(&picture);
            let weight = inner.weight(picture);
            inner.weigh(picture, weight);
            inner.done = (inner.done.0 + weight, inner.done.1 + 1);
        });
    }

    pub(super) fn standing(&self) -> Standing {
        self.with(|inner| inner.standing(inner.begun.map(|begun| begun.elapsed())))
    }
}

impl Inner {
    fn usual(&self) -> f64 {
        if self.known.1 == 0 { OVERHEAD } else { self.known.0 / self.known.1 as f64 }
    }

    fn weight(&self, picture: usize) -> f64 {
        self.weights[picture].unwrap_or_else(|| self.usual())
    }

    fn weigh(&mut self, picture: usize, weight: f64) {
        if self.weights[picture].is_none() {
            self.weights[picture] = Some(weight);
            self.known = (self.known.0 + weight, self.known.1 + 1);
        }
    }

    fn forget(&mut self, picture: usize) {
        if let Some(weight) = self.weights[picture].take() {
            self.known = (self.known.0 - weight, self.known.1 - 1);
        }
    }

    fn standing(&self, elapsed: Option<Duration>) -> Standing {
        let of = self.weights.len();
        let unknown = of - self.without - self.known.1;
        let total = self.known.0 + unknown as f64 * self.usual();
        let running: f64 = self.running.iter().map(|(picture, (_, share))| self.weight(*picture) * share).sum();
        let done = self.done.0 + running;
        let fraction = if of == self.without { 1.0 } else { (done / total.max(1.0)).clamp(0.0, 1.0) };
        let left = elapsed.filter(|_| fraction > 0.0).map(|elapsed| elapsed.mul_f64((1.0 - fraction) / fraction));
        let current = self.running.values().next().cloned();
        Standing { finished: self.without + self.done.1, of, fraction, left, current }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(estimate: &Estimate, seconds: u64) -> Standing {
        estimate.with(|inner| inner.standing(Some(Duration::from_secs(seconds))))
    }

    #[test]
    fn large_pictures_count_for_more() {
        let estimate = Estimate::new(4);
        estimate.weigh(0, 80_000);
        estimate.weigh(1, 280_000);
        estimate.skip(2);
        estimate.begin(0, "a");
        estimate.finish(0);
        // The fourth is taken for the mean of the first two: 100,000 of 600,000 are done.
        let after = standing(&estimate, 10);
        assert_eq!((after.finished, after.of), (2, 4));
        assert!((after.fraction - 1.0 / 6.0).abs() < 1e-9, "{after:?}");
        assert_eq!(after.left.map(|left| left.as_secs_f64().round()), Some(50.0));
        estimate.begin(1, "b");
        estimate.advance(1, 0.5);
        let later = standing(&estimate, 25);
        assert!((later.fraction - 250.0 / 600.0).abs() < 1e-9, "{later:?}");
        assert_eq!(later.current, Some(("b".to_owned(), 0.5)));
    }

    #[test]
    fn nothing_to_do_is_done() {
        let estimate = Estimate::new(1);
        assert_eq!(standing(&estimate, 0).left, None);
        estimate.skip(0);
        assert_eq!(estimate.standing().fraction, 1.0);
    }
}
