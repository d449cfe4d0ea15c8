//! How the work of a plan is cut so that it fits into memory.
//!
//! The first that fits is taken: everything whole; whole, with smaller tiles inside the nodes; in strips, as few as fit, with
//! the tiles that make the least work. Strips are previews of all of the output from top to bottom, each of which goes to the
//! file at once; a picture that something needs to see whole (damage is measured on the whole) is put together from strips of
//! its own before.

use crate::{
    Blame, Failure, Graph, Plan, State, Step, Thrift,
    demand::{Wanted, gives_parts, taken},
    plan::{on_parts, whole_forecast},
    value::Rect,
};
use std::collections::{HashMap, HashSet};

/// Rows of strips are multiples of this: blocks in which networks and file formats work then lie in one strip.
const GRAIN: u32 = 32;

/// The allocator keeps a part of what a strip gives back for the next one (see [`crate::allocator`]): so much more is held than is in use.
const KEPT_BACK: f64 = 1.1;

/// How much of the output is wanted, and what may be taken to make it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// The only part of the output that is wanted.
    pub region: Option<Rect>,
    /// The most bytes that the process may hold.
    pub memory: Option<u64>,
    /// The bytes that it holds beside values and working space: the program, its networks, what is kept in memory.
    pub base: u64,
    /// How small tiles must be at least, as an earlier run on this machine has shown.
    pub thrift: Thrift,
}

/// A part of the work of a plan, done at once.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// These nodes run, or are read, as a whole.
    Whole(Vec<usize>),
    /// A picture, strip by strip.
    Strips(Stage),
}

/// A picture that is made strip by strip.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// The nodes that take the strips to the outside, or the one whose strips are put together.
    pub targets: Vec<usize>,
    /// Whether the strips are put together.
    pub gathers: bool,
    /// The part of the picture that is made.
    pub region: Rect,
    /// Rows of a strip.
    pub rows: u32,
}

impl Stage {
    /// The strips.
    pub(crate) fn bands(&self) -> impl Iterator<Item = Rect> {
        self.region.bands(self.rows)
    }

    /// What one strip wants.
    pub(crate) fn wanted(&self, band: Rect) -> Wanted {
        self.targets.iter().map(|node| (*node, Some(band))).collect()
    }

    /// The steps that run on parts for one strip.
    pub(crate) fn steps(&self, graph: &Graph, band: Rect, steps: &[Step]) -> Vec<Step> {
        let mut cut = on_parts(graph, &self.wanted(band), steps);
        cut.retain(|step| step.part.is_some());
        cut
    }
}

/// The plan that fits.
///
/// # Errors
/// When none does, with the node of an output.
pub(crate) fn fitted(
    graph: &Graph,
    mut steps: Vec<Step>,
    spared: Vec<Step>,
    wanted: &Wanted,
    bounds: Bounds,
) -> Result<Plan, (usize, Failure)> {
    let most = bounds.memory.map_or(u64::MAX, |memory| memory.saturating_sub(bounds.base));
    let mut least = u64::MAX;
    let plan = |steps: Vec<Step>, spared: &[Step], work: Vec<Work>, peak: u64, flops: f64, thrift| Plan {
        steps,
        spared: spared.to_vec(),
        peak_bytes: bounds.base + peak,
        flops,
        thrift,
        work,
    };
    let thrifts = || std::iter::successors(Some(bounds.thrift), |thrift| thrift.more());
    for thrift in thrifts() {
        set_thrift(graph, &mut steps, thrift);
        let cut = if wanted.is_empty() { steps.clone() } else { on_parts(graph, wanted, &steps) };
        let highest = peak(graph, &cut, &HashSet::new());
        if highest <= most {
            let flops = flops(&cut);
            return Ok(plan(cut, &spared, Vec::new(), highest, flops, thrift));
        }
        least = least.min(highest);
    }
    // Large tiles may leave room for thin strips alone, whose surroundings are computed over and over: not the first that
    // fits is taken, but the one that computes least.
    let mut best: Option<(Cut, Thrift)> = None;
    for thrift in thrifts() {
        set_thrift(graph, &mut steps, thrift);
        let Some(cut) = in_strips(graph, &steps, bounds.region, most) else { break };
        least = least.min(cut.highest);
        if cut.highest <= most && best.as_ref().is_none_or(|(best, _)| cut.flops < best.flops) {
            best = Some((cut, thrift));
        }
    }
    if let Some((cut, thrift)) = best {
        set_thrift(graph, &mut steps, thrift);
        return Ok(plan(steps, &spared, cut.work, cut.highest, cut.flops, thrift));
    }
    let node = graph.outputs.first().map_or(0, |(_, node, _)| *node);
    let needed = bounds.base.saturating_add(least);
    let message = format!(
        "this needs about {} of memory, however it is cut, and may take {}",
        bytes(needed),
        bytes(bounds.memory.unwrap_or_default())
    );
    let hint = format!("allow more with `--memory {}MiB`, or make a smaller picture", needed.div_ceil(1 << 20));
    Err((node, Failure::new(Blame::Memory, message).hint(hint)))
}

/// Asks all nodes what they cost with tiles of another size.
fn set_thrift(graph: &Graph, steps: &mut [Step], thrift: Thrift) {
    let runs = |step: &&mut Step| step.state == State::Compute && step.seen.thrift != thrift;
    for step in steps.iter_mut().filter(runs) {
        step.seen.thrift = thrift;
        step.forecast = whole_forecast(graph, step.node, &step.seen);
    }
}

/// Work that is cut into strips.
struct Cut {
    work: Vec<Work>,
    /// The highest memory.
    highest: u64,
    /// The operations of all networks in all strips.
    flops: f64,
}

/// The work cut into strips that fit, or into the lowest ones when none do. Nothing when the graph gives something else than
/// pictures for files.
fn in_strips(graph: &Graph, steps: &[Step], region: Option<Rect>, most: u64) -> Option<Cut> {
    let mut work = stages(graph, steps, region)?;
    let reads: Vec<HashSet<usize>> = work.iter().map(|work| reads(graph, steps, work)).collect();
    let step = |node: usize| steps.iter().find(|step| step.node == node);
    // What is held between the parts of the work.
    let mut held: HashSet<usize> = HashSet::new();
    let (mut highest, mut operations) = (0, 0.0);
    for index in 0..work.len() {
        let held_bytes: u64 = held.iter().filter_map(|node| step(*node)).map(Step::bytes).sum();
        let (needed, flops) = match &mut work[index] {
            Work::Whole(nodes) => {
                let cut: Vec<Step> = nodes.iter().filter_map(|node| step(*node)).cloned().collect();
                let later: HashSet<usize> = reads[index + 1..].iter().flatten().copied().collect();
                held.extend(nodes.iter().copied());
                (held_bytes + peak(graph, &cut, &later), flops(&cut))
            }
            Work::Strips(stage) if stage.gathers => {
                held.extend(stage.targets.iter().copied());
                let gathered = step(stage.targets[0]).map_or(0, Step::bytes);
                thin_enough(graph, steps, stage, held_bytes + gathered, most)
            }
            Work::Strips(stage) => thin_enough(graph, steps, stage, held_bytes, most),
        };
        highest = highest.max(needed);
        operations += flops;
        held.retain(|node| reads[index + 1..].iter().any(|reads| reads.contains(node)));
    }
    Some(Cut { work, highest, flops: operations })
}

/// Makes the strips of a stage as high as memory allows, or as low as they can be. Tells the highest memory and the
/// operations of all strips.
fn thin_enough(graph: &Graph, steps: &[Step], stage: &mut Stage, held: u64, most: u64) -> (u64, f64) {
    let height = stage.region.height;
    let mut count = 1;
    loop {
        stage.rows = height.div_ceil(count).next_multiple_of(GRAIN).min(height);
        let (mut highest, mut operations) = (held, 0.0);
        for band in stage.bands() {
            let cut = stage.steps(graph, band, steps);
            let targets = stage.targets.iter().copied().collect();
            let strip = peak(graph, &cut, &targets) as f64 * KEPT_BACK;
            highest = highest.max(held + strip as u64);
            operations += flops(&cut);
        }
        if highest <= most || stage.rows <= GRAIN {
            return (highest, operations);
        }
        // A quarter more each time, so that strips stay as high as they can.
        count += count.div_ceil(4);
    }
}

/// The parts of the work, in their order. Nothing when an output is not a picture for a file.
fn stages(graph: &Graph, steps: &[Step], region: Option<Rect>) -> Option<Vec<Work>> {
    let mut targets = Vec::new();
    let mut frame = None;
    for step in steps.iter().filter(|step| graph.gives_output(step.node)) {
        let node = &graph.nodes[step.node];
        let (taken, _) = taken(node, &step.seen)?;
        let streams = node.node().is_some_and(|(kind, _)| kind.streams()) && step.state == State::Compute;
        if !streams || *frame.get_or_insert(taken) != taken {
            return None;
        }
        targets.push(step.node);
    }
    let region = region.or(frame.map(|frame| frame.rect()))?;
    let last = Stage { targets, gathers: false, region, rows: region.height };
    let mut whole = whole_around(graph, steps, &last);
    let mut gathered = HashMap::new();
    for step in steps.iter().rev() {
        let node = &graph.nodes[step.node];
        if !whole.contains(&step.node) {
            continue;
        }
        match step.picture().filter(|_| gives_parts(node, step)) {
            Some(size) => {
                let stage = Stage { targets: vec![step.node], gathers: true, region: size.rect(), rows: size.height };
                whole.extend(whole_around(graph, steps, &stage));
                gathered.insert(step.node, stage);
            }
            None if step.state == State::Compute => {
                whole.extend(node.wires.iter().filter_map(|wire| wire.source).map(|(source, _)| source));
            }
            None => {}
        }
    }
    let mut work = Vec::new();
    let mut together = Vec::new();
    for step in steps.iter().filter(|step| whole.contains(&step.node)) {
        match gathered.remove(&step.node) {
            Some(stage) => {
                if !together.is_empty() {
                    work.push(Work::Whole(std::mem::take(&mut together)));
                }
                work.push(Work::Strips(stage));
            }
            None => together.push(step.node),
        }
    }
    if !together.is_empty() {
        work.push(Work::Whole(together));
    }
    work.push(Work::Strips(last));
    Some(work)
}

/// The nodes that a stage needs as a whole.
fn whole_around(graph: &Graph, steps: &[Step], stage: &Stage) -> HashSet<usize> {
    let cut = on_parts(graph, &stage.wanted(stage.region), steps);
    cut.iter().filter(|step| step.part.is_none()).map(|step| step.node).collect()
}

/// The nodes before a part of the work whose values it reads.
pub(crate) fn reads(graph: &Graph, steps: &[Step], work: &Work) -> HashSet<usize> {
    let own: Vec<Step> = match work {
        Work::Whole(nodes) => steps.iter().filter(|step| nodes.contains(&step.node)).cloned().collect(),
        Work::Strips(stage) => stage.steps(graph, stage.region, steps),
    };
    let made: HashSet<usize> = own.iter().map(|step| step.node).collect();
    let running = own.iter().filter(|step| step.state == State::Compute);
    let sources = running.flat_map(|step| graph.nodes[step.node].wires.iter().filter_map(|wire| wire.source));
    sources.map(|(source, _)| source).filter(|source| !made.contains(source)).collect()
}

fn flops(steps: &[Step]) -> f64 {
    steps.iter().filter(|step| step.state == State::Compute).map(|step| step.forecast.flops).sum()
}

/// Highest memory when the steps run one after the other and outputs go at their last use; those of `kept` stay.
pub(crate) fn peak(graph: &Graph, steps: &[Step], kept: &HashSet<usize>) -> u64 {
    let mut last_use: HashMap<usize, usize> = HashMap::new();
    for (at, step) in steps.iter().enumerate() {
        // What is read from the store needs none of its inputs.
        last_use.insert(step.node, at);
        if step.state == State::Compute {
            for (source, _) in graph.nodes[step.node].wires.iter().filter_map(|wire| wire.source) {
                last_use.insert(source, at);
            }
        }
    }
    let stays = |node: usize| kept.contains(&node) || graph.gives_output(node);
    let (mut live, mut highest) = (0, 0);
    for (at, step) in steps.iter().enumerate() {
        live += step.bytes();
        highest = highest.max(live + working(step));
        let done =
            steps[..=at].iter().filter(|earlier| last_use.get(&earlier.node) == Some(&at) && !stays(earlier.node));
        live = live.saturating_sub(done.map(Step::bytes).sum());
    }
    highest
}

/// Bytes that a step needs beside what comes in and goes out.
pub(crate) fn working(step: &Step) -> u64 {
    match step.state {
        State::Compute => step.forecast.working_bytes,
        // The file that it is read from, and what that holds once it is unpacked.
        State::Kept => 2 * step.bytes(),
        State::Spared => 0,
    }
}

/// `420 MiB`, `1.5 GiB`.
pub fn bytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    match mib {
        ..9.95 => format!("{mib:.1} MiB"),
        ..1024.0 => format!("{mib:.0} MiB"),
        _ => format!("{:.1} GiB", mib / 1024.0),
    }
}
