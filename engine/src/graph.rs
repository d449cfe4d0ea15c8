//! A checked graph: nodes, their wires, and the order in which they can run.

use crate::{
    DynNode, NodeKind, Port,
    diagnostic::{Label, Span, Text},
    value::Type,
};
use petgraph::{
    Direction,
    graph::{DiGraph, NodeIndex},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

/// A node of a checked graph.
pub struct GraphNode {
    /// Its name, with those of the subgraphs around it: `"passes.1.canvas"`.
    pub id: String,
    pub(crate) what: What,
    /// Its wires.
    pub wires: Vec<Connection>,
    /// Whether it runs once per tile.
    pub mapped: bool,
    pub(crate) span: Span,
    pub(crate) fields: BTreeMap<String, Span>,
}

/// What a node of a checked graph is.
pub(crate) enum What {
    Node {
        kind: &'static dyn NodeKind,
        node: Box<dyn DynNode>,
    },
    /// An input that nothing is bound to.
    Open(Type),
}

/// A wire of a checked graph.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The field of the node that it enters.
    pub field: String,
    /// What stands in the file.
    pub name: String,
    /// The node and port that it comes from; nothing for an optional input that is not bound.
    pub source: Option<(usize, usize)>,
    /// The type that the field takes.
    pub takes: Type,
}

/// A graph that is linked and checked, ready to be planned and run.
pub struct Graph {
    pub(crate) nodes: Vec<GraphNode>,
    /// Nodes by their index in `nodes`, an edge for every wire.
    pub(crate) topology: DiGraph<usize, ()>,
    /// Every node behind those that it needs; else in the order of the files.
    pub(crate) order: Vec<usize>,
    /// The outputs: name, node, port. Those of the file, or the nodes bound to them where there are any.
    pub(crate) outputs: Vec<(String, usize, usize)>,
    /// The texts that the graph was built from.
    pub(crate) sources: Vec<Text>,
}

impl GraphNode {
    /// The name of its kind; `Input` for an input that nothing is bound to.
    pub fn kind_name(&self) -> &'static str {
        match &self.what {
            What::Node { kind, .. } => kind.name(),
            What::Open(_) => "Input",
        }
    }

    /// Its kind and parameters, unless it is an open input.
    pub(crate) fn node(&self) -> Option<(&'static dyn NodeKind, &dyn DynNode)> {
        match &self.what {
            What::Node { kind, node } => Some((*kind, &**node)),
            What::Open(_) => None,
        }
    }

    /// Its ports.
    pub fn ports(&self) -> &'static [Port] {
        self.node().map_or(&[], |(kind, _)| kind.ports())
    }

    /// Type of what a port gives; a mapped node gives tiles.
    pub fn gives(&self, port: usize) -> Type {
        match &self.what {
            What::Open(ty) => *ty,
            What::Node { .. } if self.mapped => Type::Tiles,
            What::Node { kind, .. } => kind.ports()[port].ty,
        }
    }

    /// Its parameters, without its wires.
    pub fn parameters(&self) -> serde_json::Map<String, serde_json::Value> {
        let Some((_, node)) = self.node() else { return serde_json::Map::new() };
        let serde_json::Value::Object(mut fields) = node.fields() else { return serde_json::Map::new() };
        fields.retain(|name, _| !self.wires.iter().any(|wire| &wire.field == name));
        fields
    }

    /// The place of a field in the file, or of the node when the field is not written.
    pub(crate) fn place(&self, field: Option<&str>) -> Span {
        field.and_then(|field| self.fields.get(field)).unwrap_or(&self.span).clone()
    }
}

impl Graph {
    /// All nodes.
    pub fn nodes(&self) -> &[GraphNode] {
        &self.nodes
    }

    /// The outputs: name, node and port.
    pub fn outputs(&self) -> &[(String, usize, usize)] {
        &self.outputs
    }

    /// The texts that the graph was built from; labels point into them.
    pub fn sources(&self) -> &[Text] {
        &self.sources
    }

    /// The nodes that the outputs need, every node behind those that it needs itself.
    pub fn needed(&self) -> Vec<usize> {
        let wanted = upstream(&self.topology, self.outputs.iter().map(|(_, node, _)| *node));
        self.order.iter().copied().filter(|node| wanted.contains(node)).collect()
    }

    /// Whether an output of the graph comes from this node.
    pub(crate) fn gives_output(&self, node: usize) -> bool {
        self.outputs.iter().any(|(_, output, _)| *output == node)
    }

    pub(crate) fn label(&self, node: usize, field: Option<&str>) -> Label {
        Label { span: self.nodes[node].place(field), text: String::new() }
    }
}

/// The given nodes and everything that they need.
pub(crate) fn upstream(topology: &DiGraph<usize, ()>, from: impl Iterator<Item = usize>) -> BTreeSet<usize> {
    let mut seen: BTreeSet<usize> = from.collect();
    let mut open: Vec<usize> = seen.iter().copied().collect();
    while let Some(node) = open.pop() {
        for before in topology.neighbors_directed(NodeIndex::new(node), Direction::Incoming) {
            if seen.insert(before.index()) {
                open.push(before.index());
            }
        }
    }
    seen
}

/// A topological order that keeps the order of the file where it is free to; nodes on a cycle are left out.
pub(crate) fn file_order(topology: &DiGraph<usize, ()>) -> Vec<usize> {
    let mut missing: Vec<usize> =
        topology.node_indices().map(|node| topology.neighbors_directed(node, Direction::Incoming).count()).collect();
    let mut ready: BinaryHeap<Reverse<usize>> =
        missing.iter().enumerate().filter(|(_, count)| **count == 0).map(|(node, _)| Reverse(node)).collect();
    let mut order = Vec::with_capacity(missing.len());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for after in topology.neighbors_directed(NodeIndex::new(node), Direction::Outgoing) {
            missing[after.index()] -= 1;
            if missing[after.index()] == 0 {
                ready.push(Reverse(after.index()));
            }
        }
    }
    order
}
