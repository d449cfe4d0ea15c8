//! What does not fit into memory whole, strip by strip.

use super::{
    How, Outcome, Ran, Shared, World,
    coordinator::{Coordinator, Held, Share, weigh},
    spared,
};
use crate::{
    Blame, Failure, Graph, NodeResult, Plan, RunError, Sink, Step,
    allocator::give_back_at_once,
    demand::{Part, taken},
    memory::{Stage, Work, reads},
    value::{Image, Rect, Value},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// Runs the parts of a plan's work one after the other.
pub(super) fn run(graph: &Graph, plan: &Plan, world: World<'_>, shared: &Shared) -> Result<Outcome, Box<RunError>> {
    give_back_at_once();
    let steps = &plan.steps;
    let reads: Vec<HashSet<usize>> = plan.work.iter().map(|work| reads(graph, steps, work)).collect();
    let weights: Vec<f64> = plan.work.iter().map(|work| weight(graph, steps, work)).collect();
    let total: f64 = weights.iter().sum();
    let (mut held, mut published, mut report) = (Held::new(), BTreeMap::new(), Report::default());
    let mut before = 0.0;
    for (index, work) in plan.work.iter().enumerate() {
        let later: HashSet<usize> = reads[index + 1..].iter().flatten().copied().collect();
        let share = Share { before: before / total, of: weights[index] / total };
        match work {
            Work::Whole(nodes) => {
                let own: Vec<Step> = steps.iter().filter(|step| nodes.contains(&step.node)).cloned().collect();
                let ended = Coordinator::new(graph, &own, world, shared, share).run(&held, &later)?;
                held.extend(ended.values);
                ended.report.into_iter().for_each(|ran| report.add(ran, None));
            }
            Work::Strips(stage) => {
                let mut strips = Strips { graph, steps, world, shared, share, report: &mut report };
                if stage.gathers {
                    let node = stage.targets[0];
                    let picture = strips.gather(stage, node, &held)?;
                    held.insert(node, vec![picture]);
                } else {
                    published.extend(strips.pour(stage, &held)?);
                }
            }
        }
        held.retain(|node, _| later.contains(node));
        before += weights[index];
    }
    let (values, report) = (BTreeMap::new(), report.0);
    Ok(Outcome { values, published, report, spared: spared(graph, plan), thrift: shared.thrift() })
}

/// How long a part of the work will take, roughly.
fn weight(graph: &Graph, steps: &[Step], work: &Work) -> f64 {
    match work {
        Work::Whole(nodes) => steps.iter().filter(|step| nodes.contains(&step.node)).map(weigh).sum(),
        Work::Strips(stage) => {
            stage.bands().flat_map(|band| stage.steps(graph, band, steps)).map(|step| weigh(&step)).sum()
        }
    }
}

/// A stage at work.
struct Strips<'a> {
    graph: &'a Graph,
    steps: &'a [Step],
    world: World<'a>,
    shared: &'a Shared,
    share: Share,
    report: &'a mut Report,
}

impl<'a> Strips<'a> {
    /// Works through the strips, and hands out each with what the wanted nodes gave.
    fn each(
        &mut self,
        stage: &Stage,
        wanted: &HashSet<usize>,
        held: &Held,
        mut take: impl FnMut(&Strip<'_>) -> Result<(), Box<RunError>>,
    ) -> Result<(), Box<RunError>> {
        let count = stage.bands().count() as f64;
        for (number, band) in stage.bands().enumerate() {
            let mut steps = stage.steps(self.graph, band, self.steps);
            // Strips go to the outside by a sink.
            steps.retain(|step| stage.gathers || !stage.targets.contains(&step.node));
            let of = self.share.of / count;
            let share = Share { before: self.share.before + of * number as f64, of };
            let ended = Coordinator::new(self.graph, &steps, self.world, self.shared, share).run(held, wanted)?;
            take(&Strip { band, steps: &steps, given: &ended.values, held })?;
            ended.report.into_iter().for_each(|ran| self.report.add(ran, Some(band)));
        }
        Ok(())
    }

    /// Puts the strips of a node's picture together.
    fn gather(&mut self, stage: &Stage, node: usize, held: &Held) -> Result<Value, Box<RunError>> {
        let graph = self.graph;
        let mut gathered: Option<Image> = None;
        self.each(stage, &HashSet::from([node]), held, |strip| {
            let failed = |failure| RunError::new(graph, node, None, failure);
            let (band, strip) = (strip.band, strip.picture(node, 0).map_err(failed)?);
            let whole = match &mut gathered {
                Some(whole) => whole,
                None => gathered.insert(empty(stage.region, &strip).map_err(failed)?),
            };
            whole.paste(&strip, band.relative_to(stage.region));
            Ok(())
        })?;
        let whole = gathered.ok_or_else(|| {
            RunError::new(graph, node, None, Failure::internal("a picture without rows was to be put together"))
        })?;
        Ok(Value::Image(Arc::new(whole)))
    }

    /// Gives the strips to those who bring them to the outside.
    fn pour(&mut self, stage: &Stage, held: &Held) -> Result<BTreeMap<String, std::path::PathBuf>, Box<RunError>> {
        let (graph, files) = (self.graph, self.world.files);
        let source = |node: usize| -> Option<(usize, usize)> {
            let step = self.steps.iter().find(|step| step.node == node)?;
            let (_, field) = taken(&graph.nodes[node], &step.seen)?;
            graph.nodes[node].wires.iter().find(|wire| wire.field == field)?.source
        };
        let sources: HashMap<usize, (usize, usize)> =
            stage.targets.iter().filter_map(|node| Some((*node, source(*node)?))).collect();
        let wanted: HashSet<usize> = sources.values().map(|(node, _)| *node).collect();
        let mut sinks: HashMap<usize, Box<dyn Sink + 'a>> = HashMap::new();
        self.each(stage, &wanted, held, |strip| {
            for &node in &stage.targets {
                let failed = |failure| RunError::new(graph, node, None, failure);
                let (source, port) = sources[&node];
                let strip = strip.picture(source, port).map_err(failed)?;
                let sink = match sinks.entry(node) {
                    std::collections::hash_map::Entry::Occupied(sink) => sink.into_mut(),
                    std::collections::hash_map::Entry::Vacant(place) => {
                        let Some((_, own)) = graph.nodes[node].node() else { continue };
                        place.insert(own.sink(stage.region.size(), &strip, files).map_err(failed)?)
                    }
                };
                sink.strip(&strip).map_err(failed)?;
            }
            Ok(())
        })?;
        let mut published = BTreeMap::new();
        for (node, sink) in sinks {
            let path = sink.finish().map_err(|failure| RunError::new(graph, node, None, failure))?;
            published.extend(path.map(|path| (graph.nodes[node].id.clone(), path)));
        }
        Ok(published)
    }
}

/// A strip, and what nodes gave for it.
struct Strip<'a> {
    /// Where it lies.
    band: Rect,
    steps: &'a [Step],
    given: &'a Held,
    held: &'a Held,
}

impl Strip<'_> {
    /// The strip of the picture that a node gave.
    fn picture(&self, node: usize, port: usize) -> NodeResult<Arc<Image>> {
        let value = self.given.get(&node).or_else(|| self.held.get(&node)).and_then(|all| all.get(port));
        let Some(Value::Image(image)) = value else {
            return Err(Failure::internal("a strip is no picture"));
        };
        let step = self.steps.iter().find(|step| step.node == node);
        let covered = step.and_then(|step| Part::covered(step.part.as_ref())).unwrap_or(image.size().rect());
        match Value::Image(image.clone()).crop_to(covered.size(), self.band.relative_to(covered)) {
            Value::Image(strip) if strip.size() == self.band.size() => Ok(strip),
            _ => Err(Failure::internal("a strip has another size than its place")),
        }
    }
}

/// A picture to put strips into that are like this one.
fn empty(region: Rect, strip: &Image) -> NodeResult<Image> {
    let length = region.size().pixels() * strip.channels();
    let mut samples = Vec::new();
    samples.try_reserve_exact(length).map_err(|_| {
        Failure::new(Blame::Memory, format!("there is no memory for a picture of {}", region.size()))
            .hint("close other programs, or make a smaller picture")
    })?;
    samples.resize(length, 0.0);
    Ok(Image::new(region.size(), strip.channels(), samples, strip.metadata.clone()))
}

/// What every node did in all strips.
#[derive(Default)]
struct Report(Vec<Ran>);

impl Report {
    /// Adds what a node did, for one strip or at once.
    fn add(&mut self, mut ran: Ran, strip: Option<Rect>) {
        if let (Some(strip), How::Computed | How::Kept) = (strip, ran.how) {
            let kept = ran.how == How::Kept;
            ran.tiles.extend(ran.parts.clone().map(|parts| (strip, parts, kept)));
            ran.how = How::Mapped { computed: usize::from(!kept), kept: usize::from(kept) };
        }
        let Some(known) = self.0.iter_mut().find(|known| known.id == ran.id) else { return self.0.push(ran) };
        known.tiles.append(&mut ran.tiles);
        known.seconds += ran.seconds;
        if let (How::Mapped { computed, kept }, How::Mapped { computed: more, kept: others }) =
            (&mut known.how, ran.how)
        {
            *computed += more;
            *kept += others;
        }
    }
}
