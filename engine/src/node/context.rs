use super::{Failure, In, NodeResult, Scalar, Thrift};
use crate::{
    digest::{Digest, Digester},
    store::Store,
    value::{Rect, Size, Value, WireType},
};
use std::{
    cell::Cell,
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

/// Values by the source that a wire names in the graph file.
pub type Inputs = HashMap<String, Value>;

/// Hears of the progress of one node, and knows whether to go on.
pub struct Watcher<'a> {
    /// Set when the person wants to stop.
    pub cancel: &'a AtomicBool,
    /// Set when another node has failed.
    pub stop: &'a AtomicBool,
    /// Hears how many of how many steps are done.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// Everything that a running node may see: its inputs, its place in the picture, progress, cancellation and a memo.
pub struct Cx<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) watcher: &'a Watcher<'a>,
    pub(crate) store: &'a dyn Store,
    /// Kind, version and outside digests of the node: the stem of memo keys.
    pub(crate) identity: Digest,
    /// The tile that it works on, and the whole picture's size.
    pub(crate) place: Option<(Rect, Size)>,
    /// How small its own tiles are to be.
    pub(crate) thrift: Thrift,
    /// Whether it is to compute in full precision.
    pub(crate) precise: bool,
    /// Whether it took tiles that can be smaller still.
    pub(crate) halves: Cell<bool>,
    /// The key of what is being computed: of the node's result, or of the memo within it.
    pub(crate) work: Option<Digest>,
    /// When the last part of it was begun.
    pub(crate) begun: Cell<Instant>,
}

impl Cx<'_> {
    /// A context outside of any graph, for trying a node on its own: its inputs by the names that its wires give.
    pub fn alone<'a>(inputs: &'a Inputs, watcher: &'a Watcher<'a>, store: &'a dyn Store) -> Cx<'a> {
        Cx {
            inputs,
            watcher,
            store,
            identity: Digester::new("alone").finish(),
            place: None,
            thrift: Thrift::default(),
            precise: false,
            halves: Cell::new(false),
            work: None,
            begun: Cell::new(Instant::now()),
        }
    }

    /// The value on a wire.
    ///
    /// # Errors
    /// Only when the graph was not checked.
    pub fn get<T: WireType>(&self, wire: &In<T>) -> NodeResult<T::Held> {
        self.inputs.get(wire.source()).and_then(T::from_value).ok_or_else(|| {
            Failure::internal(format!("no {} came in from `{}`; the graph was not checked", T::TYPE, wire.source()))
        })
    }

    /// The value on a wire that may be missing.
    ///
    /// # Errors
    /// Only when the graph was not checked.
    pub fn optional<T: WireType>(&self, wire: &Option<In<T>>) -> NodeResult<Option<T::Held>> {
        match wire {
            // A graph input that nothing was given for leaves its wires open.
            Some(wire) if self.inputs.contains_key(wire.source()) => self.get(wire).map(Some),
            _ => Ok(None),
        }
    }

    /// A number that is written down or comes over a wire.
    ///
    /// # Errors
    /// When the number that came over the wire is not finite.
    pub fn number(&self, scalar: &Scalar) -> NodeResult<f64> {
        match scalar {
            Scalar::Given(value) => Ok(*value),
            Scalar::Wire(source) => match self.inputs.get(source) {
                Some(Value::Number(value)) if value.is_finite() => Ok(*value),
                Some(Value::Number(value)) => Err(Failure::input(format!("`{source}` gave {value}, not a number"))),
                _ => Err(Failure::internal(format!("no number came in from `{source}`; the graph was not checked"))),
            },
        }
    }

    /// The rectangle of the picture that this run works on: the tile with its halo when the node is mapped over tiles,
    /// else the whole picture `size`.
    pub fn place(&self, size: Size) -> Rect {
        self.place.map_or(size.rect(), |(rect, _)| rect)
    }

    /// Size of the whole picture, of which the node may see one tile only.
    pub fn frame(&self, size: Size) -> Size {
        self.place.map_or(size, |(_, frame)| frame)
    }

    /// The edge of the tiles to work in, where `asked` would be usual: less when memory is short. For nodes whose tiles
    /// never change a pixel.
    pub fn edge(&self, asked: u32) -> u32 {
        let edge = self.thrift.edge(asked);
        if self.thrift.more().is_some_and(|less| less.edge(asked) < edge) {
            self.halves.set(true);
        }
        edge
    }

    /// Whether to compute in 32-bit floating point although less would be usual, for less gave a broken picture.
    pub fn precise(&self) -> bool {
        self.precise
    }

    /// Tells that `done` of `total` steps are done.
    pub fn progress(&self, done: u64, total: u64) {
        (self.watcher.progress)(done, total);
    }

    /// To be called between steps.
    ///
    /// # Errors
    /// When the person wants to stop.
    pub fn checkpoint(&self) -> NodeResult<()> {
        let set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if set(self.watcher.cancel) || set(self.watcher.stop) { Err(Failure::cancelled()) } else { Ok(()) }
    }

    /// What an earlier run, which was stopped, kept of the same work under the same `key`.
    pub fn recall<T: WireType>(&self, key: impl FnOnce(&mut Digester)) -> Option<T::Held> {
        self.begun.set(Instant::now());
        let action = self.part(key)?;
        self.store.get(action).and_then(|values| T::from_value(&values.first()?.1))
    }

    /// Keeps a part of the work, so that a run that is stopped can go on behind it; a disk that cannot keep up misses some.
    /// Nothing is asked for where nothing is kept.
    pub fn keep<T: WireType>(&self, key: impl FnOnce(&mut Digester), value: impl FnOnce() -> T) {
        if let Some(action) = self.part(key) {
            let cost = self.begun.get().elapsed();
            let value = value().into_value();
            self.store.offer(action, &[(value.digest(), value)], cost);
        }
    }

    /// The key of a part of what is being computed.
    fn part(&self, key: impl FnOnce(&mut Digester)) -> Option<Digest> {
        let work = self.work.filter(|_| self.store.keeps())?;
        let mut d = Digester::new("part");
        d.digest(work);
        self.mark(&mut d);
        key(&mut d);
        Some(d.finish())
    }

    /// What was computed in less than full precision must not be found when full precision is asked for.
    fn mark(&self, d: &mut Digester) {
        if self.precise {
            d.text("precise");
        }
    }

    /// A part of the work that is kept apart: `compute` runs only when nothing is known for the same `name` and the
    /// same things fed to `key`. Feed it everything that `compute` depends on.
    ///
    /// # Errors
    /// Those of `compute`.
    pub fn memo<T: WireType>(
        &mut self,
        name: &str,
        key: impl FnOnce(&mut Digester),
        compute: impl FnOnce(&mut Self) -> NodeResult<T>,
    ) -> NodeResult<T::Held> {
        let mut d = Digester::new("memo");
        d.digest(self.identity);
        d.text(name);
        self.mark(&mut d);
        key(&mut d);
        let action = d.finish();
        if let Some(known) = self.store.get(action).and_then(|values| T::from_value(&values.first()?.1)) {
            return Ok(known);
        }
        let begun = Instant::now();
        let outer = self.work.replace(action);
        let computed = compute(self);
        self.work = outer;
        let value = computed?.into_value();
        if self.store.keeps() {
            self.store.put(action, &[(value.digest(), value.clone())], begun.elapsed());
        }
        T::from_value(&value).ok_or_else(|| Failure::internal("a value changed its type"))
    }
}
