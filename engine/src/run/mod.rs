//! Phase 5: a coordinator issues ready nodes to the pool.
//!
//! - `device.rs` lets one heavy node run at a time;
//! - `coordinator.rs` runs steps that hang together, once;
//! - `job.rs` runs one node, unless its result is kept;
//! - `mapped.rs` runs one node once per tile;
//! - `strips.rs` runs what does not fit into memory whole, strip by strip.

mod coordinator;
mod device;
mod job;
mod mapped;
mod strips;

use crate::{
    Bounds, Graph, NoStore, Parts, Plan, RunError, Store, Thrift,
    filesystem::{Filesystem, OsFilesystem},
    plan::plan,
    value::{Rect, Value},
};
use coordinator::{Coordinator, Share};
pub use device::Device;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

/// How a node came to its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum How {
    /// It ran.
    Computed,
    /// The result was kept.
    Kept,
    /// It is mapped, or the picture was made in strips: so many of them ran, so many were kept.
    Mapped {
        /// Tiles or strips that ran.
        computed: usize,
        /// Tiles or strips that were kept.
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
    /// The same for each of its tiles or strips, and whether it was kept, when it ran more than once.
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
    /// How small tiles had to be made before memory sufficed: worth telling the next run.
    pub thrift: Thrift,
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
    /// What computes the heavy nodes.
    pub device: &'a Device,
    /// How much of the output is wanted, and what may be taken to make it.
    pub bounds: Bounds,
}

impl<'a> World<'a> {
    /// The files of this machine, nobody who listens, nobody who stops.
    pub fn quiet(store: &'a dyn Store) -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        static DEVICE: Device = Device::new();
        Self {
            store,
            files: &OsFilesystem,
            cancel: &NEVER,
            listen: &|_| {},
            device: &DEVICE,
            bounds: Bounds::default(),
        }
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
        let plan = plan(graph, world.store, world.bounds)?;
        let shared = Shared::new(&plan);
        let result = planned(graph, &plan, world, &shared);
        if !shared.lost.load(Ordering::Relaxed) {
            return result;
        }
    }
    let plan = plan(graph, &NoStore, world.bounds)?;
    planned(graph, &plan, World { store: &NoStore, ..world }, &Shared::new(&plan))
}

/// What all parts of one run share.
struct Shared {
    /// Set at the first failure, so that running nodes end at their next step.
    stop: AtomicBool,
    /// Set when a result that the plan counted on is gone.
    lost: AtomicBool,
    /// How small tiles have to be, as far as is known yet.
    thrift: AtomicU32,
}

impl Shared {
    fn new(plan: &Plan) -> Self {
        Self { stop: AtomicBool::new(false), lost: AtomicBool::new(false), thrift: AtomicU32::new(plan.thrift.0) }
    }

    fn thrift(&self) -> Thrift {
        Thrift(self.thrift.load(Ordering::Relaxed))
    }
}

fn planned(graph: &Graph, plan: &Plan, world: World<'_>, shared: &Shared) -> Result<Outcome, Box<RunError>> {
    if !plan.work.is_empty() {
        return strips::run(graph, plan, world, shared);
    }
    let wanted: HashSet<usize> = graph.outputs.iter().map(|(_, node, _)| *node).collect();
    let coordinator = Coordinator::new(graph, &plan.steps, world, shared, Share::ALL);
    let ended = coordinator.run(&HashMap::new(), &wanted)?;
    let outputs = graph.outputs.iter().filter_map(|(name, node, port)| {
        let value = ended.values.get(node)?.get(*port)?;
        let covered = plan.step(*node).and_then(|step| step.part.as_ref()?.output);
        let value = match (world.bounds.region, value) {
            (Some(region), Value::Image(image)) => {
                let covered = covered.unwrap_or(image.size().rect());
                value.crop_to(covered.size(), region.relative_to(covered))
            }
            _ => value.clone(),
        };
        Some((name.clone(), value))
    });
    let (values, published, report) = (outputs.collect(), ended.published, ended.report);
    Ok(Outcome { values, published, report, spared: spared(graph, plan), thrift: shared.thrift() })
}

/// What need not run, by name.
fn spared(graph: &Graph, plan: &Plan) -> Vec<(String, Option<Parts>)> {
    plan.spared.iter().map(|step| (graph.nodes[step.node].id.clone(), step.parts.clone())).collect()
}
