//! Phase 3: unknown wires, types, ranges, cycles, unused nodes. Everything is reported in one go.

use crate::{
    DynNode, NodeKind, ParameterKind,
    diagnostic::{Diagnostic, Diagnostics, Label, Severity, Span},
    graph::{Connection, Graph, GraphNode, What, file_order, upstream},
    link::{Linker, Origin, Request, Source, resolve},
    value::Type,
};
use petgraph::{
    algo::kosaraju_scc,
    graph::{DiGraph, NodeIndex},
};
use std::collections::{BTreeMap, VecDeque, btree_map::Entry};

/// Of a loop of nodes so many are named.
const LONGEST_TOLD: usize = 40;

/// A graph that can run, and what its author should know.
pub struct Built {
    /// The graph.
    pub graph: Graph,
    /// Warnings, with the texts that they point into.
    pub warnings: Diagnostics,
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Built({} nodes, {} warnings)", self.graph.nodes.len(), self.warnings.items.len())
    }
}

/// Reads, links and checks a graph.
///
/// # Errors
/// All mistakes that can be found without running anything, and the warnings beside them.
pub fn build(request: &Request<'_>) -> Result<Built, Diagnostics> {
    let (mut linker, linked) = Linker::link(request);
    if linked.is_none() {
        return Err(linker.into_diagnostics());
    }
    let scopes = std::mem::take(&mut linker.scopes);
    let nodes = std::mem::take(&mut linker.nodes);
    let found = &mut linker.found;

    // Wires to their sources.
    let mut connections: Vec<Vec<(Connection, Span)>> = Vec::new();
    for node in &nodes {
        let mut connected = Vec::new();
        for wire in &node.wires {
            let source = match resolve(&scopes, &nodes, wire) {
                Ok(Source::Port(node, port)) => Some((node, port)),
                Ok(Source::Nothing) if wire.optional => None,
                Ok(Source::Nothing) => {
                    let message =
                        format!("`{}` must have a value, but the input `{}` may be missing", wire.field, wire.name);
                    let hint = "declare the input without Optional(..)";
                    found.push(Diagnostic::error("optional", wire.span.clone(), message).hint(hint));
                    continue;
                }
                Ok(Source::Broken) => continue,
                Err(mistake) => {
                    found.push(mistake);
                    continue;
                }
            };
            // Outputs have no field that takes a certain type.
            let Some(takes) = wire.takes else { continue };
            let connection = Connection { field: wire.field.clone(), name: wire.name.clone(), source, takes };
            connected.push((connection, wire.span.clone()));
        }
        connections.push(connected);
    }
    let topology = topology(connections.iter().map(|connected| connected.iter().map(|(wire, _)| wire)));

    // Outputs of the file, wherever the file stands; unused nodes are told from them.
    let mut outputs = Vec::new();
    for output in scopes.first().map_or(&[][..], |scope| &scope.outputs) {
        match resolve(&scopes, &nodes, output) {
            Ok(Source::Port(node, port)) => outputs.push((output.field.clone(), node, port)),
            Ok(Source::Nothing) => {
                let message = format!("output `{}` would be missing when its input is", output.field);
                found.push(Diagnostic::error("optional", output.span.clone(), message));
            }
            Ok(Source::Broken) => {}
            Err(mistake) => found.push(mistake),
        }
    }

    report_cycles(&topology, &nodes, found);
    let mut checked: Vec<GraphNode> = Vec::with_capacity(nodes.len());
    let mut spans: Vec<Vec<Span>> = Vec::with_capacity(nodes.len());
    let mut broken = vec![false; nodes.len()];
    let whole: Vec<bool> = nodes.iter().map(|node| node.whole).collect();
    for (index, (node, connected)) in nodes.into_iter().zip(connections).enumerate() {
        let (wires, wire_spans) = connected.into_iter().unzip();
        let what = match node.origin {
            Origin::Node { kind, node } => What::Node { kind, node },
            Origin::Open { ty, .. } => What::Open(ty),
            Origin::Broken => {
                broken[index] = true;
                What::Open(Type::Image)
            }
        };
        spans.push(wire_spans);
        checked.push(GraphNode { id: node.id, what, wires, mapped: false, span: node.span, fields: node.fields });
    }
    let order = file_order(&topology);
    check_types(&mut checked, &spans, &order, &broken, request.registry, found);
    checked.iter().zip(whole).for_each(|(node, whole)| check_values(node, whole, found));

    // With wires missing, nobody can tell what is used.
    let certain = found.iter().all(|item| item.severity == Severity::Warning);
    let used = upstream(&topology, outputs.iter().map(|(_, node, _)| *node));
    for (index, node) in checked.iter().enumerate() {
        let bound = node.id.starts_with("in:") || node.id.starts_with("out:");
        if certain && !used.contains(&index) && !bound && matches!(node.what, What::Node { .. }) {
            let message = format!("nothing needs `{}`; it does not run", node.id);
            let hint = "wire it to an output, or remove it";
            found.push(Diagnostic::warning("unused", node.span.clone(), message).hint(hint));
        }
    }
    if !request.outputs.is_empty() {
        let bound = checked
            .iter()
            .enumerate()
            .filter_map(|(index, node)| node.id.strip_prefix("out:").map(|name| (name.to_owned(), index, 0)));
        outputs = bound.collect();
    }
    let all = linker.into_diagnostics();
    if all.errors() > 0 {
        return Err(all);
    }
    // What a node does not look at is neither made for it nor part of its key.
    for node in &mut checked {
        let unread = node.node().map_or(&[][..], |(_, node)| node.unread());
        node.wires.iter_mut().filter(|wire| unread.contains(&&*wire.field)).for_each(|wire| wire.source = None);
    }
    let topology = self::topology(checked.iter().map(|node| node.wires.iter()));
    let graph = Graph { nodes: checked, topology, order, outputs, sources: all.sources.clone() };
    Ok(Built { graph, warnings: all })
}

/// The nodes by their number, with an edge for every wire.
fn topology<'a>(nodes: impl ExactSizeIterator<Item = impl Iterator<Item = &'a Connection>>) -> DiGraph<usize, ()> {
    let mut topology = DiGraph::with_capacity(nodes.len(), nodes.len());
    (0..nodes.len()).for_each(|node| {
        topology.add_node(node);
    });
    for (node, wires) in nodes.enumerate() {
        for (source, _) in wires.filter_map(|wire| wire.source) {
            topology.add_edge(NodeIndex::new(source), NodeIndex::new(node), ());
        }
    }
    topology
}

/// Names every loop whole. Kosaraju's algorithm is iterative, so deep graphs do not exhaust the stack.
fn report_cycles(topology: &DiGraph<usize, ()>, nodes: &[crate::link::Linked], found: &mut Vec<Diagnostic>) {
    for component in kosaraju_scc(topology) {
        let Some(start) = component.iter().min().copied() else { continue };
        if component.len() == 1 && !topology.contains_edge(start, start) {
            continue;
        }
        let cycle = shortest_cycle(topology, start);
        let mut names: Vec<&str> = cycle.iter().map(|node| nodes[node.index()].id.as_str()).collect();
        names.push(names[0]);
        // The whole loop, as far as somebody would read it.
        let between = names.len().saturating_sub(LONGEST_TOLD);
        let told = format!(".. {between} more ..");
        if between > 0 {
            names.splice(LONGEST_TOLD / 2..LONGEST_TOLD / 2 + between, [told.as_str()]);
        }
        let message = format!("`{}` needs itself: {}", names[0], names.join(" -> "));
        let mut mistake =
            Diagnostic::error("cycle", nodes[start.index()].span.clone(), message).hint("cut one of these wires");
        for node in cycle[1..].iter().take(LONGEST_TOLD) {
            let span = nodes[node.index()].span.clone();
            mistake.labels.push(Label { span, text: "on the way".into() });
        }
        found.push(mistake);
    }
}

/// The shortest way along the wires from a node back to itself.
fn shortest_cycle(topology: &DiGraph<usize, ()>, start: NodeIndex) -> Vec<NodeIndex> {
    let mut came_from: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(node) = open.pop_front() {
        let mut next: Vec<_> = topology.neighbors(node).collect();
        next.sort();
        for after in next {
            if after == start {
                let mut way = vec![node];
                while let Some(before) = came_from.get(&way[way.len() - 1]) {
                    way.push(*before);
                }
                way.reverse();
                return way;
            }
            if let Entry::Vacant(unseen) = came_from.entry(after) {
                unseen.insert(node);
                open.push_back(after);
            }
        }
    }
    vec![start]
}

/// Compares the types at both ends of every wire, and finds the nodes that run once per tile.
fn check_types(
    nodes: &mut [GraphNode],
    spans: &[Vec<Span>],
    order: &[usize],
    broken: &[bool],
    registry: &[&'static dyn NodeKind],
    found: &mut Vec<Diagnostic>,
) {
    for &index in order {
        let mut mapped = None;
        let wires = nodes[index].wires.clone();
        for (wire, span) in wires.iter().zip(&spans[index]) {
            let Some((source, port)) = wire.source.filter(|(source, _)| !broken[*source]) else { continue };
            let gives = nodes[source].gives(port);
            if gives == Type::Tiles && wire.takes == Type::Image {
                mapped = Some(span);
            } else if gives != wire.takes {
                let (here, there) = (&nodes[index], &nodes[source]);
                let message =
                    format!("`{}.{}` takes {}, but `{}` gives {gives}", here.id, wire.field, wire.takes, wire.name);
                let hint = registry.iter().find_map(|kind| between(*kind, gives, wire));
                found.push(
                    Diagnostic::error("type", span.clone(), message)
                        .remark(format!("takes {}", wire.takes))
                        .also(there.span.clone(), format!("gives {gives}"))
                        .maybe_hint(hint),
                );
            }
        }
        let Some(span) = mapped else { continue };
        match nodes[index].ports().iter().find(|port| port.ty != Type::Image) {
            None => nodes[index].mapped = true,
            Some(port) => {
                let kind = nodes[index].kind_name();
                let message = format!("`{kind}` cannot run tile by tile: its output `{}` is {}", port.name, port.ty);
                let hint = "put the tiles together first:  Blend(tiles: \"..\")";
                found.push(Diagnostic::error("type", span.clone(), message).hint(hint));
            }
        }
    }
}

/// A kind that turns what there is into what is wanted, as a hint to paste.
fn between(kind: &dyn NodeKind, gives: Type, wire: &Connection) -> Option<String> {
    let first = kind.ports().first()?;
    let parameters = kind.parameters();
    let mut required = parameters.iter().filter(|parameter| parameter.required_wire());
    let only = required.next()?;
    let fits = first.ty == wire.takes && only.wire == Some(gives) && required.next().is_none();
    fits.then(|| format!("put a `{0}` between them:  {0}({1}: \"{2}\")", kind.name(), only.name, wire.name))
}

/// Checks ranges, and what the node itself demands of all its fields together.
fn check_values(graph_node: &GraphNode, whole: bool, found: &mut Vec<Diagnostic>) {
    let Some((kind, node)) = graph_node.node() else { return };
    let before = found.len();
    check_ranges(kind, node, |field| graph_node.place(Some(field)), found);
    if found.len() > before || !whole {
        return;
    }
    for failure in node.check() {
        let at = graph_node.place(failure.field.as_deref());
        found.push(Diagnostic {
            severity: Severity::Error,
            code: "parameter",
            message: failure.message,
            labels: vec![Label { span: at, text: String::new() }],
            hint: failure.hint,
        });
    }
}

/// Checks every number of a node against the range of its parameter. `place` tells where a field stands.
pub(crate) fn check_ranges(
    kind: &dyn NodeKind,
    node: &dyn DynNode,
    place: impl Fn(&str) -> Span,
    found: &mut Vec<Diagnostic>,
) {
    let values = node.fields();
    for parameter in kind.parameters() {
        let value = &values[&parameter.name];
        let numeric = matches!(parameter.kind, ParameterKind::Number | ParameterKind::Integer);
        let Some(number) = value.as_f64().filter(|_| numeric) else { continue };
        let low = parameter.minimum.is_some_and(|minimum| number < minimum);
        let high = parameter.maximum.is_some_and(|maximum| number > maximum);
        if low || high {
            let range = match (parameter.minimum, parameter.maximum) {
                (Some(minimum), Some(maximum)) => format!("{minimum} to {maximum}"),
                (Some(minimum), None) => format!("{minimum} or more"),
                (None, Some(maximum)) => format!("{maximum} or less"),
                (None, None) => String::new(),
            };
            let message = format!("`{}` is out of range: {number}; it takes {range}", parameter.name);
            let nearest = if low { parameter.minimum } else { parameter.maximum }.unwrap_or(number);
            let hint = format!("write  {}: {nearest}", parameter.name);
            found.push(Diagnostic::error("out-of-range", place(&parameter.name), message).hint(hint));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Linked;

    /// As many nodes as no file may have, in one loop, on a stack on which any recursion would end the program.
    #[test]
    fn a_loop_of_a_million_nodes_is_told_on_a_small_stack() {
        const NODES: usize = 1_000_000;
        let look = || {
            let begun = std::time::Instant::now();
            let span = |at: usize| Span { source: 0, range: at..at + 1 };
            let mut topology = DiGraph::with_capacity(NODES, NODES);
            for node in 0..NODES {
                topology.add_node(node);
            }
            for node in 0..NODES {
                topology.add_edge(NodeIndex::new(node), NodeIndex::new((node + 1) % NODES), ());
            }
            let nodes: Vec<Linked> = (0..NODES)
                .map(|node| Linked {
                    id: format!("n{node}"),
                    origin: Origin::Broken,
                    span: span(node),
                    fields: BTreeMap::new(),
                    wires: Vec::new(),
                    whole: true,
                })
                .collect();
            let mut found = Vec::new();
            report_cycles(&topology, &nodes, &mut found);
            assert!(file_order(&topology).is_empty(), "no node of a loop comes first");
            println!("a loop of {NODES} nodes: {:?}", begun.elapsed());
            found
        };
        let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(look).unwrap();
        let found = thread.join().unwrap();
        assert_eq!(found.len(), 1);
        let message = &found[0].message;
        assert!(message.starts_with("`n0` needs itself: n0 -> n1 -> "), "{message}");
        assert!(message.contains(&format!(".. {} more ..", NODES + 1 - LONGEST_TOLD)), "{message}");
        assert!(message.ends_with("-> n999999 -> n0") && message.len() < 1000, "{message}");
    }
}
