//! Phase 5: a coordinator issues ready nodes to the pool.
//!
//! The coordinator never runs a node itself and never blocks a worker: nodes report through a channel. One heavy node
//! runs at a time, because it keeps all cores busy by itself; light ones overlap with it. An output is dropped at its
//! last use.

use crate::{
    Cx, DynNode, Failure, Graph, NoStore, NodeKind, NodeResult, Plan, RunError, State, Step, Store, Watcher,
    node::Inputs,
    plan::{action, plan},
    value::{Image, Rect, Tile, Tiles, Type, Value},
};
use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Instant,
};

/// How a node came to its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum How {
    /// It ran.
    Computed,
    /// The result was kept.
    Kept,
    /// It is mapped: so many tiles ran, so many were kept.
    Mapped {
        /// Tiles that ran.
        computed: usize,
        /// Tiles that were kept.
        kept: usize,
    },
}

/// What happens during a run.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A node begins.
    Started {
        /// The node.
        id: &'a str,
        /// Its kind.
        kind: &'static str,
    },
    /// A node has done some of its steps.
    Progress {
        /// The node.
        id: &'a str,
        /// Steps done.
        done: u64,
        /// Steps in all.
        total: u64,
        /// Share of the whole run that is done, 0 to 1.
        overall: f64,
    },
    /// A node is done.
    Finished {
        /// The node.
        id: &'a str,
        /// Its kind.
        kind: &'static str,
        /// How it came to its result.
        how: How,
        /// How long it took.
        seconds: f64,
        /// Share of the whole run that is done, 0 to 1.
        overall: f64,
    },
}

/// What one node did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The node.
    pub id: String,
    /// Its kind.
    pub kind: &'static str,
    /// How it came to its result.
    pub how: How,
    /// How long it took.
    pub seconds: f64,
}

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The outputs of the graph by name.
    pub values: BTreeMap<String, Value>,
    /// What every node did, in the order in which they finished.
    pub report: Vec<Ran>,
}

/// Runs a graph.
///
/// # Errors
/// The first failure of a node. A node that panics has failed. Once one has failed or `cancel` is set no other begins,
/// and those that run end at their next step.
pub fn run(
    graph: &Graph,
    store: &dyn Store,
    cancel: &AtomicBool,
    listen: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Outcome, Box<RunError>> {
    // Another process may make room in the store between plan and run. Then the plan no longer holds and a new one is
    // made; what was computed meanwhile is kept. The last attempt trusts nothing that is kept.
    for _ in 0..3 {
        let plan = plan(graph, store)?;
        let coordinator = Coordinator::new(graph, &plan, store, cancel, listen);
        let result = coordinator.run();
        if !coordinator.lost.load(Ordering::Relaxed) {
            return result;
        }
    }
    let plan = plan(graph, &NoStore)?;
    Coordinator::new(graph, &plan, &NoStore, cancel, listen).run()
}

struct Coordinator<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    store: &'a dyn Store,
    cancel: &'a AtomicBool,
    /// Set at the first failure, so that running nodes end at their next step.
    stop: AtomicBool,
    /// Set when a result that the plan counted on is gone.
    lost: AtomicBool,
    listen: &'a (dyn Fn(Event<'_>) + Sync),
    weights: Vec<f64>,
    total: f64,
}

/// The outputs of a step and how it came to them, or the tile at which it failed and why.
type StepResult = Result<(Vec<Value>, How), (Option<(usize, usize, Rect)>, Failure)>;

/// What a worker reports about one step.
struct Done {
    step: usize,
    seconds: f64,
    result: StepResult,
}

impl<'a> Coordinator<'a> {
    fn new(
        graph: &'a Graph,
        plan: &'a Plan,
        store: &'a dyn Store,
        cancel: &'a AtomicBool,
        listen: &'a (dyn Fn(Event<'_>) + Sync),
    ) -> Self {
        // Networks dominate; the rest is weighed by the memory that it writes. Only the ratio matters.
        let weigh = |step: &Step| match step.state {
            State::Kept => 1e-3,
            State::Compute => {
                let bytes: u64 = step.forecast.outputs.iter().map(crate::Shape::bytes).sum();
                1e-3 + step.forecast.flops / 50e9 + bytes as f64 / 500e6
            }
        };
        let weights: Vec<f64> = plan.steps.iter().map(weigh).collect();
        let total = weights.iter().sum();
        Self {
            graph,
            plan,
            store,
            cancel,
            stop: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            listen,
            weights,
            total,
        }
    }

    fn run(&self) -> Result<Outcome, Box<RunError>> {
        let steps = &self.plan.steps;
        let at: HashMap<usize, usize> = steps.iter().enumerate().map(|(step, s)| (s.node, step)).collect();
        // Kept results need none of their inputs.
        let sources = |step: usize| -> Vec<usize> {
            if steps[step].state == State::Kept {
                return Vec::new();
            }
            let wires = self.graph.nodes[steps[step].node].wires.iter();
            wires.filter_map(|wire| wire.source).map(|(source, _)| at[&source]).collect()
        };
        let mut readers = vec![0_usize; steps.len()];
        let mut missing = vec![0_usize; steps.len()];
        for (step, missing) in missing.iter_mut().enumerate() {
            *missing = sources(step).len();
            sources(step).iter().for_each(|source| readers[*source] += 1);
        }
        for (_, node, _) in &self.graph.outputs {
            readers[at[node]] += 1;
        }
        let mut values: Vec<Option<Vec<Value>>> = vec![None; steps.len()];
        let mut started = vec![false; steps.len()];
        let mut report = Vec::new();
        let mut failed: Option<Box<RunError>> = None;
        let mut done_weight = 0.0;
        let (sender, receiver) = mpsc::channel::<Done>();

        rayon::in_place_scope(|scope| {
            let (mut running, mut heavy_running) = (0, false);
            loop {
                for step in 0..steps.len() {
                    let heavy = self.heavy(step);
                    let may = failed.is_none() && !self.cancelled() && !started[step] && missing[step] == 0;
                    if !may || (heavy && heavy_running) {
                        continue;
                    }
                    let inputs = self.inputs(step, &at, &values);
                    let sender = sender.clone();
                    let before = done_weight;
                    started[step] = true;
                    running += 1;
                    heavy_running |= heavy;
                    scope.spawn(move |_| {
                        let begun = Instant::now();
                        let result = self.step(step, inputs, before);
                        // The coordinator listens until every started step has reported.
                        let _ = sender.send(Done { step, seconds: begun.elapsed().as_secs_f64(), result });
                    });
                }
                if running == 0 {
                    break;
                }
                let Ok(done) = receiver.recv() else { break };
                running -= 1;
                heavy_running &= !self.heavy(done.step);
                let node = steps[done.step].node;
                match done.result {
                    Ok((outputs, how)) => {
                        done_weight += self.weights[done.step];
                        for source in sources(done.step) {
                            readers[source] -= 1;
                            if readers[source] == 0 {
                                values[source] = None;
                            }
                        }
                        for (after, missing) in missing.iter_mut().enumerate() {
                            *missing -= sources(after).iter().filter(|source| **source == done.step).count();
                        }
                        values[done.step] = (readers[done.step] > 0).then_some(outputs);
                        let (id, kind) = (self.graph.nodes[node].id.as_str(), self.graph.nodes[node].kind_name());
                        let overall = done_weight / self.total;
                        (self.listen)(Event::Finished { id, kind, how, seconds: done.seconds, overall });
                        report.push(Ran { id: id.to_owned(), kind, how, seconds: done.seconds });
                    }
                    Err((tile, failure)) => {
                        self.stop.store(true, Ordering::Relaxed);
                        // What others say once they are told to stop is not the reason.
                        failed.get_or_insert_with(|| RunError::new(self.graph, node, tile, failure));
                    }
                }
            }
        });
        if let Some(failed) = failed {
            return Err(failed);
        }
        if let Some(left) = started.iter().position(|started| !started) {
            return Err(RunError::new(self.graph, steps[left].node, None, Failure::cancelled()));
        }
        let outputs = self.graph.outputs.iter().filter_map(|(name, node, port)| {
            let value = values[at[node]].as_ref()?.get(*port)?;
            Some((name.clone(), value.clone()))
        });
        Ok(Outcome { values: outputs.collect(), report })
    }

    fn heavy(&self, step: usize) -> bool {
        let step = &self.plan.steps[step];
        step.state == State::Compute && self.graph.nodes[step.node].node().is_some_and(|(kind, _)| kind.heavy())
    }

    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    fn inputs(&self, step: usize, at: &HashMap<usize, usize>, values: &[Option<Vec<Value>>]) -> Inputs {
        let mut inputs = Inputs::new();
        if self.plan.steps[step].state == State::Compute {
            for wire in &self.graph.nodes[self.plan.steps[step].node].wires {
                let value = wire.source.and_then(|(source, port)| values[at[&source]].as_ref()?.get(port));
                inputs.extend(value.map(|value| (wire.name.clone(), value.clone())));
            }
        }
        inputs
    }

    /// Does one step, on a worker.
    fn step(&self, step: usize, inputs: Inputs, before: f64) -> StepResult {
        let plan = &self.plan.steps[step];
        let at = &self.graph.nodes[plan.node];
        let Some((kind, node)) = at.node() else {
            return Err((None, Failure::internal("an input that is not bound was planned")));
        };
        if let Some(digests) = &plan.outputs {
            let kept: Option<Vec<Value>> = digests.iter().map(|digest| self.store.content(*digest)).collect();
            return kept.map(|kept| (kept, How::Kept)).ok_or_else(|| {
                self.lost.store(true, Ordering::Relaxed);
                (None, Failure::internal("a kept result is gone"))
            });
        }
        (self.listen)(Event::Started { id: &at.id, kind: kind.name() });
        let job = Job { kind, node, identity: plan.identity, store: self.store, stop: &self.stop, cancel: self.cancel };
        let progress = |done: u64, total: u64| {
            let share = if total == 0 { 0.0 } else { done as f64 / total as f64 };
            let overall = (before + share * self.weights[step]) / self.total;
            (self.listen)(Event::Progress { id: &at.id, done, total, overall });
        };
        if at.mapped {
            return self.map(&job, plan.node, inputs, &progress);
        }
        let fields = at.wires.iter().filter(|wire| inputs.contains_key(&wire.name));
        let fields: Vec<(&str, &str)> = fields.map(|wire| (wire.field.as_str(), wire.name.as_str())).collect();
        job.run(&fields, &inputs, None, &progress)
            .map(|(values, kept)| (values, if kept { How::Kept } else { How::Computed }))
            .map_err(|failure| (None, failure))
    }

    /// Runs a node once per tile. What spans the picture besides is cropped to the tile.
    fn map(&self, job: &Job<'_>, node: usize, inputs: Inputs, progress: &(dyn Fn(u64, u64) + Sync)) -> StepResult {
        let wires = &self.graph.nodes[node].wires;
        let fields = wires.iter().filter(|wire| inputs.contains_key(&wire.name));
        let fields: Vec<(&str, &str)> = fields.map(|wire| (wire.field.as_str(), wire.name.as_str())).collect();
        let enters_as_image = |name: &str| wires.iter().any(|w| w.name == name && w.takes == Type::Image);
        let mut grids = inputs.iter().filter_map(|(name, value)| match value {
            Value::Tiles(tiles) if enters_as_image(name) => Some(tiles.clone()),
            _ => None,
        });
        let Some(grid) = grids.next() else {
            return Err((None, Failure::internal("a mapped node got no tiles")));
        };
        let same = |other: &Tiles| {
            other.frame == grid.frame
                && other.items.len() == grid.items.len()
                && other.items.iter().zip(&grid.items).all(|(a, b)| a.core == b.core && a.outer == b.outer)
        };
        if !grids.all(|other| same(&other)) {
            let message = "the tiles that come in are cut in different ways";
            return Err((None, Failure::new(crate::Blame::Graph, message).hint("cut all of them with one `Tile`")));
        }
        let count = grid.items.len();
        let mut ports: Vec<Tiles> = Vec::new();
        let mut kept = 0;
        for (number, tile) in grid.items.iter().enumerate() {
            let place = (number + 1, count, tile.core);
            let failed = |failure| (Some(place), failure);
            let one: Inputs = inputs
                .iter()
                .map(|(name, value)| {
                    let part = match value {
                        Value::Tiles(tiles) if enters_as_image(name) => {
                            Value::Image(tiles.items[number].pixels.clone())
                        }
                        other => other.crop_to(grid.frame, tile.outer),
                    };
                    (name.clone(), part)
                })
                .collect();
            let within = |done: u64, total: u64| {
                progress(number as u64 * total.max(1) + done, count as u64 * total.max(1));
            };
            let (values, was_kept) = job.run(&fields, &one, Some((tile.outer, grid.frame)), &within).map_err(failed)?;
            kept += usize::from(was_kept);
            for (port, value) in values.into_iter().enumerate() {
                let Value::Image(pixels) = value else {
                    return Err(failed(Failure::internal("a mapped node gave something else than a picture")));
                };
                let factor = growth(tile, &pixels).map_err(failed)?;
                let frame = grid.frame.times(factor);
                if ports.len() <= port {
                    ports.push(Tiles { frame, items: Vec::with_capacity(count) });
                }
                if ports[port].frame != frame {
                    return Err(failed(Failure::internal("tiles grew by different factors")));
                }
                let (core, outer) = (tile.core.times(factor), tile.outer.times(factor));
                ports[port].items.push(Tile { core, outer, pixels });
            }
            progress(number as u64 + 1, count as u64);
        }
        let values = ports.into_iter().map(|tiles| Value::Tiles(Arc::new(tiles))).collect();
        Ok((values, How::Mapped { computed: count - kept, kept }))
    }
}

/// By how much a tile grew in a node.
fn growth(tile: &Tile, pixels: &Image) -> NodeResult<u32> {
    let factor = (pixels.size().width / tile.outer.width.max(1)).max(1);
    if tile.outer.size().times(factor) == pixels.size() {
        return Ok(factor);
    }
    let message = format!("a tile of {} became {}; tiles grow by whole factors", tile.outer.size(), pixels.size());
    Err(Failure::new(crate::Blame::Graph, message).hint("put the tiles together before this node"))
}

/// One node that runs, once or once per tile.
struct Job<'a> {
    kind: &'static dyn NodeKind,
    node: &'a dyn DynNode,
    identity: crate::digest::Digest,
    store: &'a dyn Store,
    stop: &'a AtomicBool,
    cancel: &'a AtomicBool,
}

impl Job<'_> {
    /// Runs the node on these inputs, unless the result is kept. Tells which of the two it was.
    fn run(
        &self,
        fields: &[(&str, &str)],
        inputs: &Inputs,
        place: Option<(Rect, crate::value::Size)>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> NodeResult<(Vec<Value>, bool)> {
        if self.stop.load(Ordering::Relaxed) || self.cancel.load(Ordering::Relaxed) {
            return Err(Failure::cancelled());
        }
        let key = (self.kind.cached() && self.store.keeps()).then(|| {
            let digests: Vec<_> = fields.iter().map(|(field, name)| (*field, inputs[*name].digest())).collect();
            let base = action(self.identity, self.kind, self.node, &digests);
            // Noise depends on the place of a tile in its picture.
            place.map_or(base, |(rect, frame)| {
                let mut d = crate::digest::Digester::new("tile");
                d.digest(base);
                d.rect(rect);
                d.size(frame);
                d.finish()
            })
        });
        if let Some(known) = key.and_then(|key| self.store.get(key)) {
            return Ok((known.into_iter().map(|(_, value)| value).collect(), true));
        }
        let watcher = Watcher { cancel: self.cancel, stop: self.stop, progress };
        let mut cx = Cx { inputs, watcher: &watcher, store: self.store, identity: self.identity, place };
        let caught = catch_unwind(AssertUnwindSafe(|| self.node.run(&mut cx)));
        let values = caught.unwrap_or_else(|panic| Err(Failure::internal(format!("panicked: {}", told(&*panic)))))?;
        if let Some(key) = key {
            let keyed: Vec<_> = values.iter().map(|value| (value.digest(), value.clone())).collect();
            self.store.put(key, &keyed);
        }
        Ok((values, false))
    }
}

fn told(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}
