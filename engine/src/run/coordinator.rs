//! Steps that hang together, run once.
//!
//! The coordinator never runs a node itself and never blocks a worker: nodes report through a channel. One heavy node
//! runs at a time, because it keeps all cores busy by itself, also when several runs share the device; light ones overlap
//! with it as far as that needs no more memory than running one after the other does. An output is dropped at its last use.

use super::{
    Event, How, Ran, Shared, World,
    job::{Job, Made, StepFailure},
};
use crate::{
    Failure, Graph, RunError, State, Step,
    demand::Part,
    memory::{peak, working},
    node::Inputs,
    value::{Tiles, Value},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// How often to look whether another process is done with what both need.
const PATIENCE: Duration = Duration::from_millis(20);

/// Values of nodes that ran before.
pub(super) type Held = HashMap<usize, Vec<Value>>;

/// The share of the whole run's progress that some steps are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub before: f64,
    pub of: f64,
}

impl Share {
    pub(super) const ALL: Self = Self { before: 0.0, of: 1.0 };
}

/// What came of the steps.
pub(super) struct Ended {
    /// What the wanted nodes gave.
    pub values: Held,
    pub published: BTreeMap<String, PathBuf>,
    /// In the order of the steps.
    pub report: Vec<Ran>,
}

pub(super) struct Coordinator<'a> {
    pub(super) graph: &'a Graph,
    steps: &'a [Step],
    pub(super) world: World<'a>,
    shared: &'a Shared,
    share: Share,
    weights: Vec<f64>,
    total: f64,
    /// The place of each node among the steps.
    at: HashMap<usize, usize>,
}

/// What became of a step: nothing when another process is at it.
type StepResult = Result<Option<Made>, StepFailure>;

/// What a worker reports about one step.
struct Done {
    step: usize,
    seconds: f64,
    result: StepResult,
}

/// What a coordinator hears.
enum Word {
    Done(Done),
    /// The device that a step waits for is free.
    Free,
}

/// How long a step will take, roughly: networks dominate; the rest is weighed by the memory that it writes. Only the ratio
/// matters.
pub(super) fn weigh(step: &Step) -> f64 {
    match step.state {
        State::Kept | State::Spared => 1e-3,
        State::Compute => 1e-3 + step.forecast.flops / 50e9 + step.bytes() as f64 / 500e6,
    }
}

impl<'a> Coordinator<'a> {
    pub(super) fn new(graph: &'a Graph, steps: &'a [Step], world: World<'a>, shared: &'a Shared, share: Share) -> Self {
        let weights: Vec<f64> = steps.iter().map(weigh).collect();
        let total = weights.iter().sum();
        let at = steps.iter().enumerate().map(|(at, step)| (step.node, at)).collect();
        Self { graph, steps, world, shared, share, weights, total, at }
    }

    /// Runs the steps. What they take from elsewhere is `held`; what the `wanted` of them give is given back.
    pub(super) fn run(&self, held: &Held, wanted: &HashSet<usize>) -> Result<Ended, Box<RunError>> {
        let steps = self.steps;
        let sources = |step: usize| self.sources(step);
        let mut readers = vec![0_usize; steps.len()];
        let mut missing = vec![0_usize; steps.len()];
        for (step, missing) in missing.iter_mut().enumerate() {
            *missing = sources(step).len();
            sources(step).iter().for_each(|source| readers[*source] += 1);
            readers[step] += usize::from(wanted.contains(&steps[step].node));
        }
        let mut values: Vec<Option<Vec<Value>>> = vec![None; steps.len()];
        let mut started = vec![false; steps.len()];
        // Steps that another process is at.
        let mut waiting = Vec::new();
        let mut published = BTreeMap::new();
        let mut report: Vec<(usize, Ran)> = Vec::new();
        let mut failed: Option<Box<RunError>> = None;
        let mut done_weight = 0.0;
        // What values and running steps hold, and the most that they may.
        let most = peak(self.graph, steps, wanted);
        let mut live = 0;
        let (sender, receiver) = mpsc::channel::<Word>();

        rayon::in_place_scope(|scope| {
            let (mut running, mut heavy_running) = (0, false);
            loop {
                // Whether a step waits for another run to leave the device.
                let mut blocked = false;
                for step in 0..steps.len() {
                    let heavy = self.heavy(step);
                    let may = failed.is_none() && !self.cancelled() && !started[step] && missing[step] == 0;
                    let takes = steps[step].bytes() + working(&steps[step]);
                    if !may || (heavy && heavy_running) || (running > 0 && live + takes > most) {
                        continue;
                    }
                    let call = || {
                        let sender = sender.clone();
                        // Nobody waits any more when the run is over.
                        move || drop(sender.send(Word::Free))
                    };
                    let turn = if heavy { self.world.device.take(call) } else { None };
                    if heavy && turn.is_none() {
                        blocked = true;
                        continue;
                    }
                    let inputs = self.inputs(step, held, &values);
                    let sender = sender.clone();
                    let before = done_weight;
                    started[step] = true;
                    running += 1;
                    live += takes;
                    heavy_running |= heavy;
                    scope.spawn(move |_| {
                        let begun = Instant::now();
                        let result = self.step(step, inputs, before);
                        drop(turn);
                        // The coordinator listens until every started step has reported.
                        let _ = sender.send(Word::Done(Done { step, seconds: begun.elapsed().as_secs_f64(), result }));
                    });
                }
                if running == 0 && waiting.is_empty() && !blocked {
                    break;
                }
                let patience = if waiting.is_empty() { Duration::MAX } else { PATIENCE };
                let done = match receiver.recv_timeout(patience) {
                    Ok(Word::Done(done)) => done,
                    Ok(Word::Free) => continue,
                    Err(RecvTimeoutError::Timeout) => {
                        waiting.drain(..).for_each(|step: usize| started[step] = false);
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                running -= 1;
                live -= working(&steps[done.step]);
                heavy_running &= !self.heavy(done.step);
                let node = steps[done.step].node;
                match done.result {
                    Ok(None) => {
                        live -= steps[done.step].bytes();
                        waiting.push(done.step);
                    }
                    Ok(Some(made)) => {
                        done_weight += self.weights[done.step];
                        for source in sources(done.step) {
                            readers[source] -= 1;
                            if readers[source] == 0 {
                                values[source] = None;
                                live -= steps[source].bytes();
                            }
                        }
                        for (after, missing) in missing.iter_mut().enumerate() {
                            *missing -= sources(after).iter().filter(|source| **source == done.step).count();
                        }
                        if readers[done.step] > 0 {
                            values[done.step] = Some(made.values);
                        } else {
                            live -= steps[done.step].bytes();
                        }
                        let (id, kind) = (self.graph.nodes[node].id.as_str(), self.graph.nodes[node].kind_name());
                        let (how, seconds, overall) = (made.how, done.seconds, self.overall(done_weight));
                        (self.world.listen)(Event::Finished { id, kind, how, seconds, overall });
                        published.extend(made.published.map(|path| (id.to_owned(), path)));
                        let (id, parts, tiles) = (id.to_owned(), made.parts, made.tiles);
                        report.push((done.step, Ran { parts, tiles, id, kind, how, seconds }));
                    }
                    Err((tile, failure)) => {
                        self.shared.stop.store(true, Ordering::Relaxed);
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
        report.sort_by_key(|(step, _)| *step);
        let values = steps.iter().zip(values).filter(|(step, _)| wanted.contains(&step.node));
        let values = values.filter_map(|(step, values)| Some((step.node, values?))).collect();
        Ok(Ended { values, published, report: report.into_iter().map(|(_, ran)| ran).collect() })
    }

    /// The steps that one waits for. Kept results need none of their inputs, and what is held is there already.
    fn sources(&self, step: usize) -> Vec<usize> {
        if self.steps[step].state == State::Kept {
            return Vec::new();
        }
        let wires = self.graph.nodes[self.steps[step].node].wires.iter();
        wires.filter_map(|wire| wire.source).filter_map(|(source, _)| self.at.get(&source).copied()).collect()
    }

    /// The share of the whole run that is done, when so much of these steps is.
    fn overall(&self, weight: f64) -> f64 {
        self.share.before + self.share.of * weight / self.total
    }

    fn heavy(&self, step: usize) -> bool {
        let step = &self.steps[step];
        step.state == State::Compute && self.graph.nodes[step.node].node().is_some_and(|(kind, _)| kind.heavy())
    }

    fn cancelled(&self) -> bool {
        self.world.cancel.load(Ordering::Relaxed)
    }

    fn inputs(&self, step: usize, held: &Held, values: &[Option<Vec<Value>>]) -> Inputs {
        let plan = &self.steps[step];
        let mut inputs = Inputs::new();
        if plan.state != State::Compute {
            return inputs;
        }
        for wire in &self.graph.nodes[plan.node].wires {
            let Some((source, port)) = wire.source else { continue };
            let from = self.at.get(&source).copied();
            let all = from.map_or_else(|| held.get(&source), |from| values[from].as_ref());
            let Some(value) = all.and_then(|all| all.get(port)) else { continue };
            let value = match &plan.part {
                Some(part) if part.fields.contains(&wire.field) => {
                    // What comes in may be a part itself.
                    let covers = from.and_then(|from| Part::covered(self.steps[from].part.as_ref()));
                    let covers = covers.unwrap_or(part.frame.rect());
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
        let plan = &self.steps[step];
        let at = &self.graph.nodes[plan.node];
        let Some((kind, node)) = at.node() else {
            return Err((None, Failure::internal("an input that is not bound was planned")));
        };
        let job = Job { kind, node, identity: &plan.identity, world: self.world, shared: self.shared };
        let mut made = if plan.state == State::Kept {
            let digests = plan.outputs.iter().flatten();
            let kept: Option<Vec<Value>> = digests.map(|digest| self.world.store.content(*digest)).collect();
            let values = kept.ok_or_else(|| {
                self.shared.lost.store(true, Ordering::Relaxed);
                (None, Failure::internal("a kept result is gone"))
            })?;
            Made::new(values, How::Kept, plan.parts.clone())
        } else {
            (self.world.listen)(Event::Started { id: &at.id, kind: kind.name() });
            let progress = |done: u64, total: u64| {
                let share = if total == 0 { 0.0 } else { done as f64 / total as f64 };
                let overall = self.overall(before + share * self.weights[step]);
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
                    let covers = plan.part.as_ref().map(|part| part.input);
                    return self.map(&job, plan.node, &fields, &inputs, covers, &progress);
                }
                let values = job.run(key.as_ref(), &inputs, place, &progress).map_err(|failure| (None, failure))?;
                Ok(Made::new(values, How::Computed, None))
            })?;
            let Some(mut made) = made else { return Ok(None) };
            if let Some(part) = part {
                made.values = made.values.into_iter().map(|value| kept_of(value, part)).collect();
            }
            made
        };
        made.published = node.publish(&made.values, self.world.files).map_err(|failure| (None, failure))?;
        Ok(Some(made))
    }
}

/// What is kept of what a node gave for a part.
fn kept_of(value: Value, part: &Part) -> Value {
    let Some(wanted) = part.output else { return value };
    match value {
        Value::Tiles(tiles) => {
            let items = tiles.items.iter().filter(|tile| tile.core.meets(wanted)).cloned().collect();
            Value::Tiles(Arc::new(Tiles { frame: tiles.frame, items }))
        }
        value => value.crop_to(part.gives.size(), wanted.relative_to(part.gives)),
    }
}
