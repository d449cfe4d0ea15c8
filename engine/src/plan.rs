//! Phase 4: what the outputs need, what is kept already, and what the rest will cost.

use crate::{
    Blame, DynNode, Failure, Forecast, Graph, Shape, Shapes, Store,
    demand::{Part, restrict},
    diagnostic::{Label, Text},
    digest::Digest,
    key::{Identity, Parts},
    value::{Rect, Type},
};
use petgraph::{Direction, graph::NodeIndex};
use std::collections::{HashMap, HashSet};

/// What became of a node in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum State {
    /// It will run, or look each of its tiles up.
    Compute,
    /// Its result is kept, and will be read.
    Kept,
    /// What it would give is known well enough: nothing that will run needs its content.
    Spared,
}

/// One node of a plan.
#[derive(Clone, Debug)]
pub struct Step {
    /// Index in [`Graph::nodes`].
    pub node: usize,
    /// What becomes of it.
    pub state: State,
    /// What it gives and costs.
    pub forecast: Forecast,
    /// What the key of its result is made of, where that is known before anything runs.
    pub parts: Option<Parts>,
    pub(crate) identity: Identity,
    /// The part that it works on, when only a part of the output is wanted.
    pub(crate) part: Option<Part>,
    /// Digests of its outputs, where they are known before anything runs.
    pub(crate) outputs: Option<Vec<Digest>>,
}

/// What a run will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The nodes that run or are read, in this order.
    pub steps: Vec<Step>,
    /// The nodes that the outputs depend on, but which need not run this time.
    pub spared: Vec<Step>,
    /// Highest memory for values and working space, in bytes.
    pub peak_bytes: u64,
    /// Floating point operations of all networks that will run.
    pub flops: f64,
}

/// A run that could not be finished.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{id}`{}: {failure}", self.tile_text())]
pub struct RunError {
    /// The node that failed.
    pub id: String,
    /// Its kind.
    pub kind: &'static str,
    /// The tile that it worked on: number from 1, how many there are, where it lies.
    pub tile: Option<(usize, usize, Rect)>,
    /// Why.
    pub failure: Failure,
    /// The place in the graph file.
    pub label: Label,
    /// The texts that the label points into.
    pub sources: Vec<Text>,
}

impl RunError {
    pub(crate) fn new(graph: &Graph, node: usize, tile: Option<(usize, usize, Rect)>, failure: Failure) -> Box<Self> {
        let at = &graph.nodes[node];
        let label = graph.label(node, failure.field.as_deref());
        let (id, kind, sources) = (at.id.clone(), at.kind_name(), graph.sources.clone());
        Box::new(Self { id, kind, tile, failure, label, sources })
    }

    fn tile_text(&self) -> String {
        self.tile
            .map_or_else(String::new, |(number, of, at)| format!(", tile {number} of {of} (x {}, y {})", at.x, at.y))
    }
}

impl Plan {
    /// The shape of an output of the graph.
    pub fn output_shape(&self, graph: &Graph, name: &str) -> Option<Shape> {
        let (_, node, port) = graph.outputs().iter().find(|(output, ..)| output == name)?;
        self.step(*node)?.forecast.outputs.get(*port).cloned()
    }

    /// The step of a node.
    pub fn step(&self, node: usize) -> Option<&Step> {
        self.steps.iter().find(|step| step.node == node)
    }
}

/// Plans a run, of which only a `region` of the output may be wanted.
///
/// # Errors
/// When an input is not bound, something outside of the graph (a file, a model) cannot be read, or the region leaves the
/// output.
pub fn plan(graph: &Graph, store: &dyn Store, region: Option<Rect>) -> Result<Plan, Box<RunError>> {
    let needed = graph.needed();
    let mut digests: HashMap<usize, Option<Vec<Digest>>> = HashMap::new();
    let mut shapes: HashMap<usize, Vec<Shape>> = HashMap::new();
    let mut steps = Vec::with_capacity(needed.len());
    for &index in &needed {
        let at = &graph.nodes[index];
        let Some((kind, node)) = at.node() else {
            let message = format!("nothing is given for the input `{}`", at.id);
            let hint = format!("give it as  {}=..", at.id);
            return Err(RunError::new(graph, index, None, Failure::new(Blame::Graph, message).hint(hint)));
        };
        let outside = node.outside().map_err(|failure| RunError::new(graph, index, None, failure))?;
        let identity = Identity::new(kind, &outside);
        let mut seen = Shapes::default();
        let mut inputs = store.keeps().then(Vec::new);
        for wire in &at.wires {
            let Some((source, port)) = wire.source else { continue };
            if let Some(shape) = shapes.get(&source).and_then(|all| all.get(port)) {
                seen.0.insert(wire.field.clone(), shape.clone());
            }
            let known = digests.get(&source).and_then(|all| all.as_ref()?.get(port).copied());
            match (&mut inputs, known) {
                (Some(all), Some(digest)) => all.push((wire.field.as_str(), digest)),
                _ => inputs = None,
            }
        }
        let key = inputs.map(|inputs| identity.key(kind, node, &inputs));
        let outputs = key.as_ref().and_then(|key| store.outputs(key.digest));
        let forecast = if at.mapped { mapped_forecast(node, &seen, kind.ports().len()) } else { node.forecast(&seen) };
        shapes.insert(index, forecast.outputs.clone());
        digests.insert(index, outputs.clone());
        let parts = key.map(|key| key.parts);
        steps.push(Step { node: index, state: State::Spared, forecast, parts, identity, part: None, outputs });
    }
    // A kept file shows the whole.
    decide(graph, store, region.is_some(), &mut steps);
    if let Some(region) = region {
        restrict(graph, region, &shapes, &mut steps)
            .map_err(|(node, failure)| RunError::new(graph, node, None, failure))?;
    }
    let (spared, steps): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(|step| step.state == State::Spared);
    let flops = steps.iter().filter(|step| step.state == State::Compute).map(|step| step.forecast.flops).sum();
    let peak_bytes = peak(graph, &steps);
    Ok(Plan { steps, spared, peak_bytes, flops })
}

/// Decides from the outputs backwards: what is wanted is read where it is kept, and runs where it is not, and only what runs
/// wants its inputs.
fn decide(graph: &Graph, store: &dyn Store, partly: bool, steps: &mut [Step]) {
    let mut wanted: HashSet<usize> = graph.outputs.iter().map(|(_, node, _)| *node).collect();
    let mut pinned = Vec::new();
    for step in steps.iter_mut().rev().filter(|step| graph.nodes[step.node].node().is_some()) {
        if !wanted.contains(&step.node) {
            continue;
        }
        let shows_all = partly && graph.outputs.iter().any(|(_, node, _)| *node == step.node);
        match &step.outputs {
            Some(outputs) if !shows_all && outputs.iter().all(|output| store.has(*output)) => {
                step.state = State::Kept;
                pinned.extend(outputs);
            }
            _ => {
                step.state = State::Compute;
                let before = graph.topology.neighbors_directed(NodeIndex::new(step.node), Direction::Incoming);
                wanted.extend(before.map(NodeIndex::index));
            }
        }
    }
    if !pinned.is_empty() {
        store.pin(&pinned);
    }
}

/// The forecast of a node that runs once per tile.
fn mapped_forecast(node: &dyn DynNode, seen: &Shapes, ports: usize) -> Forecast {
    let tiles = seen.0.values().find_map(|shape| match shape {
        Shape::Tiles(frame, channels, tiles) => Some((*frame, *channels, tiles.clone())),
        _ => None,
    });
    let Some((frame, channels, rects)) = tiles else {
        return Forecast { outputs: vec![Shape::Unknown(Type::Tiles); ports], ..Forecast::default() };
    };
    let mut total = Forecast { tiles: rects.len() as u64, ..Forecast::default() };
    let mut grown = None;
    for rect in &rects {
        let mut one = seen.clone();
        for shape in one.0.values_mut() {
            *shape = match &*shape {
                Shape::Tiles(..) => Shape::Image(rect.size(), channels),
                Shape::Image(size, channels) if *size == frame => Shape::Image(rect.size(), *channels),
                Shape::Mask(size) if *size == frame => Shape::Mask(rect.size()),
                Shape::Guide(size) if *size == frame => Shape::Guide(rect.size()),
                other => other.clone(),
            };
        }
        let forecast = node.forecast(&one);
        total.flops += forecast.flops;
        total.working_bytes = total.working_bytes.max(forecast.working_bytes);
        let size = forecast.outputs.first().and_then(Shape::size);
        grown = grown.or(size.map(|size| size.width / rect.width.max(1)));
    }
    let factor = grown.unwrap_or(1).max(1);
    let rects = rects.iter().map(|rect| rect.times(factor)).collect();
    total.outputs = vec![Shape::Tiles(frame.times(factor), channels, rects); ports];
    total
}

/// Highest memory when the steps run one after the other and outputs go at their last use.
fn peak(graph: &Graph, steps: &[Step]) -> u64 {
    let bytes = |step: &Step| step.forecast.outputs.iter().map(Shape::bytes).sum::<u64>();
    let mut last_use: HashMap<usize, usize> = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        for (source, _) in graph.nodes[step.node].wires.iter().filter_map(|wire| wire.source) {
            last_use.insert(source, at);
        }
    }
    let (mut live, mut highest) = (0, 0);
    for (at, step) in steps.iter().enumerate() {
        live += bytes(step);
        highest = highest.max(live + step.forecast.working_bytes);
        let done = steps[..=at].iter().filter(|earlier| last_use.get(&earlier.node) == Some(&at));
        live = live.saturating_sub(done.map(bytes).sum());
    }
    highest
}
