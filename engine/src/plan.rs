//! Phase 4: what the outputs need, what is kept already, and what the rest will cost.

use crate::{
    Blame, Cell, DynNode, Failure, Forecast, Graph, Shape, Shapes, Store, Thrift,
    demand::{self, Part, Role, Wanted},
    diagnostic::{Label, Text},
    digest::Digest,
    key::{Identity, Parts},
    memory::{self, Bounds, Work},
    value::{Rect, Size, Type},
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
    /// The shapes of what comes in.
    pub(crate) seen: Shapes,
    /// The part that it works on, when only a part of the output is wanted.
    pub(crate) part: Option<Part>,
    /// Digests of its outputs, where they are known before anything runs.
    pub(crate) outputs: Option<Vec<Digest>>,
}

impl Step {
    /// Width and height of the picture that it gives, when it gives one.
    pub(crate) fn picture(&self) -> Option<Size> {
        self.forecast.outputs.first().and_then(Shape::size)
    }

    /// Bytes of all that it gives.
    pub(crate) fn bytes(&self) -> u64 {
        self.forecast.outputs.iter().map(Shape::bytes).sum()
    }
}

/// What a run will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The nodes that run or are read, in this order.
    pub steps: Vec<Step>,
    /// The nodes that the outputs depend on, but which need not run this time.
    pub spared: Vec<Step>,
    /// Highest memory of the process, in bytes.
    pub peak_bytes: u64,
    /// Floating point operations of all networks that will run.
    pub flops: f64,
    /// How small the tiles are in which nodes work.
    pub thrift: Thrift,
    /// How the work is cut, when it does not fit into memory otherwise.
    pub(crate) work: Vec<Work>,
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
    /// How the picture of the output is cut, when it does not fit into memory whole: number of strips and rows of each.
    pub fn strips(&self) -> Option<(u32, u32)> {
        match self.work.last()? {
            Work::Strips(stage) => Some((stage.bands().count() as u32, stage.rows)),
            Work::Whole(_) => None,
        }
    }

    /// The step of a node.
    pub fn step(&self, node: usize) -> Option<&Step> {
        self.steps.iter().find(|step| step.node == node)
    }
}

/// Plans a run within bounds.
///
/// # Errors
/// When an input is not bound, something outside of the graph (a file, a model) cannot be read, the region leaves the
/// output, or there is not enough memory however the work is cut.
pub fn plan(graph: &Graph, store: &dyn Store, bounds: Bounds) -> Result<Plan, Box<RunError>> {
    let mut steps = survey(graph, store)?;
    // A kept file shows the whole.
    decide(graph, store, bounds.region.is_some(), &mut steps);
    for step in steps.iter_mut().filter(|step| step.state == State::Compute) {
        step.forecast = whole_forecast(graph, step.node, &step.seen);
    }
    let failed = |(node, failure)| RunError::new(graph, node, None, failure);
    let mut wanted = Wanted::new();
    if let Some(region) = bounds.region {
        wanted = demand::wanted(graph, region, &steps).map_err(failed)?;
    }
    let (spared, steps): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(|step| step.state == State::Spared);
    memory::fitted(graph, steps, spared, &wanted, bounds).map_err(failed)
}

/// What the nodes of a graph give that its outputs need, by their index. No costs are counted, so no model is looked at.
///
/// # Errors
/// When an input is not bound, or something outside of the graph cannot be read.
pub fn shapes(graph: &Graph) -> Result<HashMap<usize, Vec<Shape>>, Box<RunError>> {
    let steps = survey(graph, &crate::NoStore)?;
    Ok(steps.into_iter().map(|step| (step.node, step.forecast.outputs)).collect())
}

/// The nodes that the outputs need, with what they give and what is kept of it.
fn survey(graph: &Graph, store: &dyn Store) -> Result<Vec<Step>, Box<RunError>> {
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
                seen.fields.insert(wire.field.clone(), shape.clone());
            }
            let known = digests.get(&source).and_then(|all| all.as_ref()?.get(port).copied());
            match (&mut inputs, known) {
                (Some(all), Some(digest)) => all.push((wire.field.as_str(), digest)),
                _ => inputs = None,
            }
        }
        let key = inputs.map(|inputs| identity.key(kind, node, &inputs));
        let outputs = key.as_ref().and_then(|key| store.outputs(key.digest));
        // What it costs is asked once it is known that it runs.
        let forecast = Forecast { outputs: given(graph, index, &seen), ..Forecast::default() };
        shapes.insert(index, forecast.outputs.clone());
        digests.insert(index, outputs.clone());
        let parts = key.map(|key| key.parts);
        steps.push(Step { node: index, state: State::Spared, forecast, parts, identity, seen, part: None, outputs });
    }
    Ok(steps)
}

/// What a node gives when it sees these shapes.
fn given(graph: &Graph, index: usize, seen: &Shapes) -> Vec<Shape> {
    let at = &graph.nodes[index];
    match at.node() {
        Some((kind, node)) if at.mapped => mapped_shapes(node, seen, kind.ports().len()),
        Some((_, node)) => node.gives(seen),
        None => Vec::new(),
    }
}

/// What a node gives and costs when it sees these shapes.
pub(crate) fn whole_forecast(graph: &Graph, index: usize, seen: &Shapes) -> Forecast {
    let at = &graph.nodes[index];
    match at.node() {
        Some((kind, node)) if at.mapped => mapped_forecast(node, seen, kind.ports().len()),
        Some((_, node)) => node.forecast(seen),
        None => Forecast::default(),
    }
}

/// The steps that run or are read when this is wanted, and what each of them works on.
pub(crate) fn on_parts(graph: &Graph, wanted: &Wanted, steps: &[Step]) -> Vec<Step> {
    let mut cut = Vec::with_capacity(steps.len());
    for (step, role) in steps.iter().zip(demand::roles(graph, wanted, steps)) {
        match role {
            Role::Unneeded => {}
            Role::Whole => cut.push(step.clone()),
            Role::Part(part, forecast) => cut.push(Step { part: Some(part), forecast, ..step.clone() }),
        }
    }
    cut
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

/// What a node sees that runs once per tile.
struct OnTiles {
    /// The whole picture.
    frame: Size,
    channels: usize,
    tiles: Vec<(Cell, Shapes)>,
}

impl OnTiles {
    fn new(seen: &Shapes) -> Option<Self> {
        let (frame, channels, cells) = seen.fields.values().find_map(|shape| match shape {
            Shape::Tiles(frame, channels, cells) => Some((*frame, *channels, cells.clone())),
            _ => None,
        })?;
        let on_one = |cell: Cell| {
            let mut one = seen.clone();
            for shape in one.fields.values_mut() {
                *shape = match &*shape {
                    Shape::Tiles(..) => Shape::Image(cell.outer.size(), channels),
                    spans if spans.size() == Some(frame) => spans.cut_to(cell.outer),
                    other => other.clone(),
                };
            }
            (cell, one)
        };
        Some(Self { frame, channels, tiles: cells.into_iter().map(on_one).collect() })
    }
}

/// What a node gives that runs once per tile.
fn mapped_shapes(node: &dyn DynNode, seen: &Shapes, ports: usize) -> Vec<Shape> {
    let Some(OnTiles { frame, channels, tiles }) = OnTiles::new(seen) else {
        return vec![Shape::Unknown(Type::Tiles); ports];
    };
    // All tiles grow alike.
    let grown = tiles.first().and_then(|(cell, one)| {
        let size = node.gives(one).first().and_then(Shape::size)?;
        Some(size.width / cell.outer.width.max(1))
    });
    let factor = grown.unwrap_or(1).max(1);
    let cells = tiles.iter().map(|(cell, _)| cell.times(factor)).collect();
    vec![Shape::Tiles(frame.times(factor), channels, cells); ports]
}

/// The forecast of a node that runs once per tile.
pub(crate) fn mapped_forecast(node: &dyn DynNode, seen: &Shapes, ports: usize) -> Forecast {
    let mut total = Forecast { outputs: mapped_shapes(node, seen, ports), ..Forecast::default() };
    for (_, one) in OnTiles::new(seen).map(|on| on.tiles).unwrap_or_default() {
        let forecast = node.forecast(&one);
        total.tiles += 1;
        total.flops += forecast.flops;
        total.working_bytes = total.working_bytes.max(forecast.working_bytes);
    }
    total
}
