//! A graph for the eye: as text, Graphviz dot, Mermaid and SVG.

use crate::{Graph, GraphNode};
use std::fmt::Write as _;

const BOX: (usize, usize) = (170, 44);
const GAP: (usize, usize) = (70, 22);

impl Graph {
    /// One line per node in the order in which they can run, with wires and parameters.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for &index in &self.order {
            let node = &self.nodes[index];
            let wires = node.wires.iter().map(|wire| format!("{}: {}", wire.field, self.source_name(wire.source)));
            let parameters = node.parameters().into_iter().map(|(name, value)| format!("{name}: {value}"));
            let fields: Vec<String> = wires.chain(parameters).collect();
            let mapped = if node.mapped { "  [per tile]" } else { "" };
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{} = {}({}){mapped}", node.id, node.kind_name(), fields.join(", "));
        }
        for (name, node, port) in &self.outputs {
            let _ = writeln!(out, "-> {name}: {}", self.source_name(Some((*node, *port))));
        }
        out
    }

    /// Graphviz dot.
    pub fn dot(&self) -> String {
        let mut out =
            String::from("digraph upweave {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=sans];\n");
        for &index in &self.order {
            let node = &self.nodes[index];
            let _ = writeln!(out, "  n{index} [label={:?}];", format!("{}\n{}", node.id, caption(node)));
        }
        for (from, to, label) in self.edges() {
            let _ = writeln!(out, "  n{from} -> n{to} [label={label:?}];");
        }
        out.push_str("}\n");
        out
    }

    /// Mermaid, as Markdown pages show it.
    pub fn mermaid(&self) -> String {
        let mut out = String::from("flowchart LR\n");
        for &index in &self.order {
            let node = &self.nodes[index];
            let _ = writeln!(out, "  n{index}[\"{}<br/>{}\"]", xml(&node.id), xml(&caption(node)));
        }
        for (from, to, label) in self.edges() {
            let _ = writeln!(out, "  n{from} -->|{}| n{to}", xml(&label));
        }
        out
    }

    /// A drawing: every node stands right of those that it needs.
    pub fn svg(&self) -> String {
        let columns = self.columns();
        let mut rows = vec![0; columns.iter().max().map_or(1, |last| last + 1)];
        let mut places = vec![(0, 0); self.nodes.len()];
        for &index in &self.order {
            let column = columns[index];
            places[index] = (GAP.1 + column * (BOX.0 + GAP.0), GAP.1 + rows[column] * (BOX.1 + GAP.1));
            rows[column] += 1;
        }
        let width = GAP.1 * 2 + rows.len() * (BOX.0 + GAP.0) - GAP.0;
        let height = GAP.1 + rows.iter().max().copied().unwrap_or(1) * (BOX.1 + GAP.1);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        for (from, to, _) in self.edges() {
            let (x1, y1) = (places[from].0 + BOX.0, places[from].1 + BOX.1 / 2);
            let (x2, y2) = (places[to].0, places[to].1 + BOX.1 / 2);
            let bend = (x1 + x2) / 2;
            let _ = writeln!(
                out,
                "<path d=\"M{x1},{y1} C{bend},{y1} {bend},{y2} {x2},{y2}\" fill=\"none\" stroke=\"#888\"/>"
            );
        }
        for &index in &self.order {
            let (node, (x, y)) = (&self.nodes[index], places[index]);
            let middle = x + BOX.0 / 2;
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"7\" fill=\"#eef3fb\" stroke=\"#456\"/>\n\
                 <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" font-weight=\"bold\">{}</text>\n\
                 <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" fill=\"#456\">{}</text>",
                BOX.0,
                BOX.1,
                y + 18,
                xml(&node.id),
                y + 35,
                xml(&caption(node)),
            );
        }
        out.push_str("</svg>\n");
        out
    }

    /// Wires as (from, to, label).
    fn edges(&self) -> Vec<(usize, usize, String)> {
        let mut edges = Vec::new();
        for &index in &self.order {
            for wire in &self.nodes[index].wires {
                edges.extend(wire.source.map(|(from, _)| (from, index, wire.field.clone())));
            }
        }
        edges
    }

    /// The column of each node: one right of the rightmost that it needs.
    fn columns(&self) -> Vec<usize> {
        let mut columns = vec![0; self.nodes.len()];
        for &index in &self.order {
            let sources = self.nodes[index].wires.iter().filter_map(|wire| wire.source);
            columns[index] = sources.map(|(from, _)| columns[from] + 1).max().unwrap_or(0);
        }
        columns
    }

    fn source_name(&self, source: Option<(usize, usize)>) -> String {
        let Some((node, port)) = source else { return "nothing".to_owned() };
        let node = &self.nodes[node];
        let port = node.ports().get(port).filter(|_| node.ports().len() > 1);
        port.map_or_else(|| node.id.clone(), |port| format!("{}.{}", node.id, port.name))
    }
}

fn caption(node: &GraphNode) -> String {
    let mapped = if node.mapped { ", per tile" } else { "" };
    format!("{}{mapped}", node.kind_name())
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
