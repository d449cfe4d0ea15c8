//! Phase 5: a coordinator issues ready nodes to the pool.
//!
//! The coordinator never runs a node itself and never blocks a worker: nodes report through a channel. One heavy node
//! runs at a time, because it keeps all cores busy by itself; light ones overlap with it. An output is dropped at its
//! last use.

use crate::{
    Claim, Cx, DynNode, Failure, Graph, NoStore, NodeKind, NodeResult, Parts, Plan, RunError, State, Step, Store,
    Watcher,
    contain::contain,
    demand::Part,
    digest::Digest,
    filesystem::{Filesystem, OsFilesystem},
    guard,
    key::{Identity, Key},
    node::Inputs,
    plan::plan,
    value::{Image, Rect, Size, Tile, Tiles, Type, Value},
};
use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// How often to look whether another process is done with what both need.
const PATIENCE: Duration = Duration::from_millis(20);

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
    /// A mapped node has the result of one tile, and it is kept.
    Tile {
        /// The node.
        id: &'a str,
        /// The cell of the tile, in the picture that came in.
        core: Rect,
        /// Whether it was kept from before.
        kept: bool,
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
    /// What the key of its result is made of; nothing where nothing is kept.
    pub parts: Option<Parts>,
    /// The same for each of its tiles, and whether the tile was kept, when it is mapped.
    pub tiles: Vec<(Rect, Parts, bool)>,
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
    /// Where nodes brought their results, by the names of the nodes.
    pub published: BTreeMap<String, PathBuf>,
    /// What every node did, in the order of the plan.
    pub report: Vec<Ran>,
    /// What would have run if nothing had been kept, and what the keys of those results are made of.
    pub spared: Vec<(String, Option<Parts>)>,
}

/// What a run works with.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Where results are kept.
    pub store: &'a dyn Store,
    /// Where files are written.
    pub files: &'a dyn Filesystem,
    /// Set when the person wants to stop.
    pub cancel: &'a AtomicBool,
    /// Hears what happens.
    pub listen: &'a (dyn Fn(Event<'_>) + Sync),
    /// The only part of the output that is wanted.
    pub region: Option<Rect>,
}

impl<'a> World<'a> {
    /// The files of this machine, nobody who listens, nobody who stops.
    pub fn quiet(store: &'a dyn Store) -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self { store, files: &OsFilesystem, cancel: &NEVER, listen: &|_| {}, region: None }
    }
}

/// Runs a graph.
///
/// # Errors
/// The first failure of a node. A node that panics has failed. Once one has failed or the person wants to stop no other
/// begins, and those that run end at their next step.
pub fn run(graph: &Graph, world: World<'_>) -> Result<Outcome, Box<RunError>> {
    // Another process may make room in the store between plan and run. Then the plan no longer holds and a new one is
    // made; what was computed meanwhile is kept. The last attempt trusts nothing that is kept.
    for _ in 0..3 {
        let plan = plan(graph, world.store, world.region)?;
        let coordinator = Coordinator::new(graph, &plan, world);
        let result = coordinator.run();
        if !coordinator.lost.load(Ordering::Relaxed) {
            return result;
        }
    }
    let plan = plan(graph, &NoStore, world.region)?;
    Coordinator::new(graph, &plan, World { store: &NoStore, ..world }).run()
}

struct Coordinator<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    world: World<'a>,
    /// Set at the first failure, so that running nodes end at their next step.
    stop: AtomicBool,
    /// Set when a result that the plan counted on is gone.
    lost: AtomicBool,
    weights: Vec<f64>,
    total: f64,
}

/// The result of a node, and how it came to it.
struct Made {
    values: Vec<Value>,
    how: How,
    parts: Option<Parts>,
    tiles: Vec<(Rect, Parts, bool)>,
    published: Option<PathBuf>,
}

impl Made {
    fn new(values: Vec<Value>, how: How, parts: Option<Parts>) -> Self {
        Self { values, how, parts, tiles: Vec::new(), published: None }
    }
}

/// The tile at which a step failed (number, of how many, where), and why.
type StepFailure = (Option<(usize, usize, Rect)>, Failure);

/// What became of a step: nothing when another process is at it.
type StepResult = Result<Option<Made>, StepFailure>;

/// What a worker reports about one step.
struct Done {
    step: usize,
    seconds: f64,
    result: StepResult,
}

impl<'a> Coordinator<'a> {
    fn new(graph: &'a Graph, plan: &'a Plan, world: World<'a>) -> Self {
        // Networks dominate; the rest is weighed by the memory that it writes. Only the ratio matters.
        let weigh = |step: &Step| match step.state {
            State::Kept | State::Spared => 1e-3,
            State::Compute => {
                let bytes: u64 = step.forecast.outputs.iter().map(crate::Shape::bytes).sum();
                1e-3 + step.forecast.flops / 50e9 + bytes as f64 / 500e6
            }
        };
        let weights: Vec<f64> = plan.steps.iter().map(weigh).collect();
        let total = weights.iter().sum();
        Self { graph, plan, world, stop: AtomicBool::new(false), lost: AtomicBool::new(false), weights, total }
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
        // Steps that another process is at.
        let mut waiting = Vec::new();
        let mut published = BTreeMap::new();
        let mut report: Vec<(usize, Ran)> = Vec::new();
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
                if running == 0 && waiting.is_empty() {
                    break;
                }
                let patience = if waiting.is_empty() { Duration::MAX } else { PATIENCE };
                let done = match receiver.recv_timeout(patience) {
                    Ok(done) => done,
                    Err(RecvTimeoutError::Timeout) => {
                        waiting.drain(..).for_each(|step: usize| started[step] = false);
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                running -= 1;
                heavy_running &= !self.heavy(done.step);
                let node = steps[done.step].node;
                match done.result {
                    Ok(None) => waiting.push(done.step),
                    Ok(Some(made)) => {
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
                        values[done.step] = (readers[done.step] > 0).then_some(made.values);
                        let (id, kind) = (self.graph.nodes[node].id.as_str(), self.graph.nodes[node].kind_name());
                        let (how, seconds, overall) = (made.how, done.seconds, done_weight / self.total);
                        (self.world.listen)(Event::Finished { id, kind, how, seconds, overall });
                        published.extend(made.published.map(|path| (id.to_owned(), path)));
                        let (id, parts, tiles) = (id.to_owned(), made.parts, made.tiles);
                        report.push((done.step, Ran { parts, tiles, id, kind, how, seconds }));
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
            let value = match (self.world.region, value) {
                (Some(region), Value::Image(image)) if image.size() != region.size() => {
                    value.crop_to(image.size(), region)
                }
                _ => value.clone(),
            };
            Some((name.clone(), value))
        });
        report.sort_by_key(|(step, _)| *step);
        let report = report.into_iter().map(|(_, ran)| ran).collect();
        let spared = self.plan.spared.iter().map(|step| (self.graph.nodes[step.node].id.clone(), step.parts.clone()));
        Ok(Outcome { values: outputs.collect(), published, report, spared: spared.collect() })
    }

    fn heavy(&self, step: usize) -> bool {
        let step = &self.plan.steps[step];
        step.state == State::Compute && self.graph.nodes[step.node].node().is_some_and(|(kind, _)| kind.heavy())
    }

    fn cancelled(&self) -> bool {
        self.world.cancel.load(Ordering::Relaxed)
    }

    fn inputs(&self, step: usize, at: &HashMap<usize, usize>, values: &[Option<Vec<Value>>]) -> Inputs {
        let plan = &self.plan.steps[step];
        let mut inputs = Inputs::new();
        if plan.state != State::Compute {
            return inputs;
        }
        for wire in &self.graph.nodes[plan.node].wires {
            let Some((source, port)) = wire.source else { continue };
            let Some(value) = values[at[&source]].as_ref().and_then(|all| all.get(port)) else { continue };
            let value = match &plan.part {
                Some(part) if part.fields.contains(&wire.field) => {
                    // What comes in may be a part itself.
                    let covers = self.plan.steps[at[&source]].part.as_ref().and_then(|part| part.output);
                    let covers = covers.map_or(part.frame.rect(), |(rect, _)| rect);
                    value.crop_to(covers.size(), part.input.relative_to(covers))
                }
                _ => value.clone(),
            };
            inputs.insert(wire.name.clone(), value);
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
        let job = Job { kind, node, identity: &plan.identity, world: self.world, stop: &self.stop };
        let mut made = if plan.state == State::Kept {
            let digests = plan.outputs.iter().flatten();
            let kept: Option<Vec<Value>> = digests.map(|digest| self.world.store.content(*digest)).collect();
            let values = kept.ok_or_else(|| {
                self.lost.store(true, Ordering::Relaxed);
                (None, Failure::internal("a kept result is gone"))
            })?;
            Made::new(values, How::Kept, plan.parts.clone())
        } else {
            (self.world.listen)(Event::Started { id: &at.id, kind: kind.name() });
            let progress = |done: u64, total: u64| {
                let share = if total == 0 { 0.0 } else { done as f64 / total as f64 };
                let overall = (before + share * self.weights[step]) / self.total;
                (self.world.listen)(Event::Progress { id: &at.id, done, total, overall });
            };
            let fields = at.wires.iter().filter(|wire| inputs.contains_key(&wire.name));
            let fields: Vec<(&str, &str)> = fields.map(|wire| (wire.field.as_str(), wire.name.as_str())).collect();
            let key = job.key(&fields, &inputs);
            // A part is what a tile is: noise depends on where it lies.
            let part = plan.part.as_ref().filter(|part| part.output.is_some());
            let place = part.map(|part| (part.input, part.frame));
            let key = match place {
                Some((rect, frame)) => key.map(|key| key.on_tile(rect, frame)),
                None => key,
            };
            let made = job.make(key.as_ref(), true, || {
                if at.mapped {
                    return self.map(&job, plan.node, &fields, &inputs, &progress);
                }
                let values = job.run(key.as_ref(), &inputs, place, &progress).map_err(|failure| (None, failure))?;
                Ok(Made::new(values, How::Computed, None))
            })?;
            let Some(mut made) = made else { return Ok(None) };
            if let Some(Part { input, output: Some((wanted, factor)), .. }) = part {
                let given = input.times(*factor);
                let cut = |value: &Value| value.crop_to(given.size(), wanted.relative_to(given));
                made.values = made.values.iter().map(cut).collect();
            }
            made
        };
        made.published = node.publish(&made.values, self.world.files).map_err(|failure| (None, failure))?;
        Ok(Some(made))
    }

    /// Runs a node once per tile. What spans the picture besides is cropped to the tile.
    fn map(
        &self,
        job: &Job<'_>,
        node: usize,
        fields: &[(&str, &str)],
        inputs: &Inputs,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Made, StepFailure> {
        let wires = &self.graph.nodes[node].wires;
        let enters_as_image = |name: &str| wires.iter().any(|w| w.name == name && w.takes == Type::Image);
        let grid = grid(inputs, &enters_as_image).map_err(|failure| (None, failure))?;
        let count = grid.items.len();
        let mut done: Vec<Option<Made>> = (0..count).map(|_| None).collect();
        // What another process is at is left for later; it will be there by then, or is computed twice. Nobody waits in
        // here, for a waiting thread may hold what it waits for.
        for insist in [false, true] {
            for (number, tile) in grid.items.iter().enumerate() {
                if done[number].is_some() {
                    continue;
                }
                let failed = |failure| (Some((number + 1, count, tile.core)), failure);
                let one = on_tile(inputs, &grid, number, &enters_as_image);
                let finished = done.iter().flatten().count() as u64;
                let within = |done: u64, total: u64| {
                    progress(finished * total.max(1) + done, count as u64 * total.max(1));
                };
                let place = (tile.outer, grid.frame);
                let key = job.key(fields, &one).map(|key| key.on_tile(tile.outer, grid.frame));
                let made = job.make(key.as_ref(), !insist, || {
                    let values = job.run(key.as_ref(), &one, Some(place), &within).map_err(failed)?;
                    Ok(Made::new(values, How::Computed, None))
                })?;
                let Some(made) = made else { continue };
                let (id, kept) = (self.graph.nodes[node].id.as_str(), made.how == How::Kept);
                done[number] = Some(made);
                (self.world.listen)(Event::Tile { id, core: tile.core, kept });
                progress(done.iter().flatten().count() as u64, count as u64);
            }
        }
        let mut tiles = Vec::with_capacity(count);
        let mut ports: Vec<Tiles> = Vec::new();
        for (number, (tile, made)) in grid.items.iter().zip(done.into_iter().flatten()).enumerate() {
            let failed = |failure| (Some((number + 1, count, tile.core)), failure);
            tiles.extend(made.parts.map(|parts| (tile.core, parts, made.how == How::Kept)));
            for (port, value) in made.values.into_iter().enumerate() {
                gather(&mut ports, port, tile, grid.frame, value).map_err(failed)?;
            }
        }
        let kept = tiles.iter().filter(|(_, _, kept)| *kept).count();
        let values = ports.into_iter().map(|tiles| Value::Tiles(Arc::new(tiles))).collect();
        Ok(Made { tiles, ..Made::new(values, How::Mapped { computed: count - kept, kept }, None) })
    }
}

/// The tiles that a mapped node runs on. All that come in as pictures must be cut alike.
fn grid(inputs: &Inputs, enters_as_image: &dyn Fn(&str) -> bool) -> NodeResult<Arc<Tiles>> {
    let mut grids = inputs.iter().filter_map(|(name, value)| match value {
        Value::Tiles(tiles) if enters_as_image(name) => Some(tiles),
        _ => None,
    });
    let Some(grid) = grids.next() else { return Err(Failure::internal("a mapped node got no tiles")) };
    let same = |other: &Tiles| {
        other.frame == grid.frame
            && other.items.len() == grid.items.len()
            && other.items.iter().zip(&grid.items).all(|(a, b)| a.core == b.core && a.outer == b.outer)
    };
    if !grids.all(|other| same(other)) {
        let message = "the tiles that come in are cut in different ways";
        return Err(Failure::new(crate::Blame::Graph, message).hint("cut all of them with one `Tile`"));
    }
    Ok(grid.clone())
}

/// The inputs of a mapped node on one tile.
fn on_tile(inputs: &Inputs, grid: &Tiles, number: usize, enters_as_image: &dyn Fn(&str) -> bool) -> Inputs {
    let part = |(name, value): (&String, &Value)| {
        let part = match value {
            Value::Tiles(tiles) if enters_as_image(name) => Value::Image(tiles.items[number].pixels.clone()),
            other => other.crop_to(grid.frame, grid.items[number].outer),
        };
        (name.clone(), part)
    };
    inputs.iter().map(part).collect()
}

/// Adds what a mapped node gave for a tile to the tiles of its port.
fn gather(ports: &mut Vec<Tiles>, port: usize, tile: &Tile, frame: Size, value: Value) -> NodeResult<()> {
    let Value::Image(pixels) = value else {
        return Err(Failure::internal("a mapped node gave something else than a picture"));
    };
    let factor = growth(tile, &pixels)?;
    let frame = frame.times(factor);
    if ports.len() <= port {
        ports.push(Tiles { frame, items: Vec::new() });
    }
    if ports[port].frame != frame {
        return Err(Failure::internal("tiles grew by different factors"));
    }
    ports[port].items.push(Tile { core: tile.core.times(factor), outer: tile.outer.times(factor), pixels });
    Ok(())
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
    identity: &'a Identity,
    world: World<'a>,
    stop: &'a AtomicBool,
}

impl Job<'_> {
    /// The key of the result for these inputs, where results are kept.
    fn key(&self, fields: &[(&str, &str)], inputs: &Inputs) -> Option<Key> {
        self.world.store.keeps().then(|| {
            let digests: Vec<_> = fields.iter().map(|(field, name)| (*field, inputs[*name].digest())).collect();
            self.identity.key(self.kind, self.node, &digests)
        })
    }

    /// The kept result, or else what `compute` gives, which is kept then. Nothing when another process is computing it and
    /// the caller `may_wait`.
    fn make<E>(
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
        store.put(*digest, &keyed, begun.elapsed());
        made.parts = Some(parts.clone());
        Ok(Some(made))
    }

    /// Runs the node on these inputs.
    fn run(
        &self,
        key: Option<&Key>,
        inputs: &Inputs,
        place: Option<(Rect, Size)>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> NodeResult<Vec<Value>> {
        let World { store, cancel, .. } = self.world;
        if self.stop.load(Ordering::Relaxed) || cancel.load(Ordering::Relaxed) {
            return Err(Failure::cancelled());
        }
        let watcher = Watcher { cancel, stop: self.stop, progress };
        let (identity, work, begun) = (self.identity.digest, key.map(|key| key.digest), Cell::new(Instant::now()));
        let mut cx = Cx { inputs, watcher: &watcher, store, identity, place, work, begun };
        let values = contain(|| self.node.run(&mut cx))
            .unwrap_or_else(|panic| Err(Failure::internal(format!("panicked: {panic}"))))?;
        if self.kind.network() {
            guard::check(self.kind.name(), inputs, &values)?;
        }
        Ok(values)
    }
}
