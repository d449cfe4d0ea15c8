//! The skeleton of a graph file.

use super::{
    FORMAT, Field, MOST_BYTES, Piece, TOO_LARGE, fields_of, list_of, map_of, parse,
    pieces::{blank_prefix, too_many},
    screen,
};
use crate::{
    diagnostic::{Diagnostic, Span, did_you_mean},
    value::Type,
};
use std::collections::HashMap;

/// A graph file taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawGraph {
    pub source: usize,
    pub about: String,
    pub inputs: Vec<Input>,
    /// Output names and the wires that feed them.
    pub outputs: Vec<Field>,
    pub expose: Vec<Exposed>,
    pub presets: Vec<Preset>,
    pub nodes: Vec<RawNode>,
}

/// An input of a graph.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub name: String,
    pub span: Span,
    pub ty: Type,
    pub optional: bool,
}

/// A parameter that a graph offers by a name of its own.
#[derive(Clone, Debug)]
pub(crate) struct Exposed {
    pub name: String,
    pub span: Span,
    /// The parameters that it sets, as `"node.parameter"`.
    pub sets: Vec<Piece>,
    pub help: String,
}

/// A named set of values for exposed parameters.
#[derive(Clone, Debug)]
pub(crate) struct Preset {
    pub name: String,
    pub values: Vec<Field>,
}

/// A node, its fields still RON text.
#[derive(Clone, Debug)]
pub(crate) struct RawNode {
    pub id: String,
    pub id_span: Span,
    pub kind: String,
    pub kind_span: Span,
    pub fields: Vec<Field>,
}

const SECTIONS: [&str; 7] = ["format", "about", "inputs", "outputs", "expose", "presets", "nodes"];

impl RawGraph {
    /// Takes a graph file apart and reports everything that is wrong with its skeleton.
    pub(crate) fn read(source: usize, text: &str, found: &mut Vec<Diagnostic>) -> Option<Self> {
        if text.len() > MOST_BYTES {
            let message = format!("the file has more than {MOST_BYTES} bytes, the limit for graphs");
            let start = Span { source, range: 0..0 };
            found.push(Diagnostic::error(TOO_LARGE, start, message).hint("divide it into several files"));
            return None;
        }
        if let Some(end) = screen::too_long(text) {
            let place = Span { source, range: end..end + 1 };
            found.push(Diagnostic::error(TOO_LARGE, place, too_many()).hint("divide it into several files"));
            return None;
        }
        let whole = Piece::whole(source, text);
        let body = match whole.text.strip_prefix("Graph") {
            Some(rest) if rest[blank_prefix(rest)..].starts_with('(') => whole.part(rest),
            _ => {
                let end = whole.text.char_indices().nth(1).map_or(whole.text.len(), |(at, _)| at);
                let span = Span { source, range: whole.start..whole.start + end };
                let hint = "write  Graph(format: 1, inputs: {..}, outputs: {..}, nodes: {..})";
                found.push(Diagnostic::error("syntax", span, "a graph file begins with `Graph(`").hint(hint));
                return None;
            }
        };
        let sections = match fields_of(&body) {
            Ok(sections) => sections,
            Err(mistake) => {
                found.push(mistake);
                return None;
            }
        };
        let mut graph = Self { source, ..Self::default() };
        report_repeats(&sections, "section", found);
        for section in &sections {
            if let Err(mistake) = graph.read_section(section, found) {
                found.push(mistake);
            }
        }
        if !sections.iter().any(|section| section.name == "format") {
            let place = Span { source, range: whole.start..whole.start + "Graph".len() };
            let hint = format!("add  format: {FORMAT},");
            found.push(Diagnostic::error("format", place, "the file does not say its format").hint(hint));
        }
        Some(graph)
    }

    fn read_section(&mut self, section: &Field, found: &mut Vec<Diagnostic>) -> Result<(), Diagnostic> {
        let value = &section.value;
        match section.name.as_str() {
            "format" => {
                let format: u32 = parse(value)?;
                if format != FORMAT {
                    let message = format!("format {format} is not known; this version reads format {FORMAT}");
                    let hint = if format > FORMAT { "update upweave" } else { "write  format: 1" };
                    return Err(Diagnostic::error("format", value.span(), message).hint(hint));
                }
            }
            "about" => self.about = parse(value)?,
            "inputs" => {
                let entries = map_of(value)?;
                report_repeats(&entries, "input", found);
                for entry in entries {
                    collect(Input::read(entry), &mut self.inputs, found);
                }
            }
            "outputs" => {
                self.outputs = map_of(value)?;
                report_repeats(&self.outputs, "output", found);
            }
            "expose" => {
                let entries = map_of(value)?;
                report_repeats(&entries, "exposed parameter", found);
                for entry in entries {
                    collect(Exposed::read(entry), &mut self.expose, found);
                }
            }
            "presets" => {
                let entries = map_of(value)?;
                report_repeats(&entries, "preset", found);
                for entry in entries {
                    let values = map_of(&entry.value)?;
                    report_repeats(&values, "value", found);
                    self.presets.push(Preset { name: entry.name, values });
                }
            }
            "nodes" => {
                let entries = map_of(value)?;
                report_repeats(&entries, "node", found);
                for entry in entries {
                    collect(RawNode::read(entry, found), &mut self.nodes, found);
                }
            }
            unknown => {
                let message = format!("a graph has no section `{unknown}`");
                let hint =
                    did_you_mean(unknown, SECTIONS).unwrap_or_else(|| format!("sections: {}", SECTIONS.join(", ")));
                return Err(Diagnostic::error("unknown-section", section.span.clone(), message).hint(hint));
            }
        }
        Ok(())
    }
}

fn collect<T>(read: Result<T, Diagnostic>, into: &mut Vec<T>, found: &mut Vec<Diagnostic>) {
    match read {
        Ok(item) => into.push(item),
        Err(mistake) => found.push(mistake),
    }
}

/// Reports names that stand twice; ron itself would let the last one win in silence.
fn report_repeats(fields: &[Field], what: &str, found: &mut Vec<Diagnostic>) {
    let mut first: HashMap<&str, &Span> = HashMap::new();
    for field in fields {
        if let Some(earlier) = first.get(field.name.as_str()) {
            let message = format!("{what} `{}` stands here a second time", field.name);
            let code = match what {
                "node" => "duplicate-node",
                "field" => "duplicate-field",
                _ => "duplicate",
            };
            found.push(
                Diagnostic::error(code, field.span.clone(), message)
                    .also((*earlier).clone(), "first here")
                    .hint("rename or remove one of them"),
            );
        } else {
            first.insert(&field.name, &field.span);
        }
    }
}

impl Input {
    fn read(entry: Field) -> Result<Self, Diagnostic> {
        let text = entry.value.text.as_str();
        let inner = text.strip_prefix("Optional(").and_then(|rest| rest.strip_suffix(')')).map(str::trim);
        let Some(ty) = Type::from_name(inner.unwrap_or(text)) else {
            let names = Type::ALL.map(Type::name);
            let message = format!("`{text}` is not a type of wire");
            let hint = did_you_mean(inner.unwrap_or(text), names)
                .unwrap_or_else(|| format!("types: {}, each also as Optional(..)", names.join(", ")));
            return Err(Diagnostic::error("unknown-type", entry.value.span(), message).hint(hint));
        };
        Ok(Self { name: entry.name, span: entry.span, ty, optional: inner.is_some() })
    }
}

impl Exposed {
    fn read(entry: Field) -> Result<Self, Diagnostic> {
        let mut exposed = Self { name: entry.name, span: entry.span, sets: Vec::new(), help: String::new() };
        for field in fields_of(&entry.value)? {
            match field.name.as_str() {
                "sets" => exposed.sets = list_of(&field.value)?,
                "help" => exposed.help = parse(&field.value)?,
                unknown => {
                    let message = format!("an exposed parameter has no field `{unknown}`");
                    let hint = did_you_mean(unknown, ["sets", "help"]).unwrap_or_else(|| "fields: sets, help".into());
                    return Err(Diagnostic::error("unknown-field", field.span, message).hint(hint));
                }
            }
        }
        Ok(exposed)
    }
}

impl RawNode {
    fn read(entry: Field, found: &mut Vec<Diagnostic>) -> Result<Self, Diagnostic> {
        if entry.name.is_empty() || entry.name.contains('.') {
            let message = format!("`{}` cannot be the name of a node", entry.name);
            return Err(Diagnostic::error("node-name", entry.span, message).hint("use a name without dots"));
        }
        let text = &entry.value.text;
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let (kind, rest) = text.split_at(end);
        let kind_piece = entry.value.part(kind);
        if kind.is_empty() {
            let message = format!("node `{}` does not begin with its kind", entry.name);
            let hint = "write  Kind(field: value, ..)";
            return Err(Diagnostic::error("syntax", entry.value.span(), message).hint(hint));
        }
        let rest = entry.value.part(rest);
        let fields = if rest.text.is_empty() { Vec::new() } else { fields_of(&rest)? };
        report_repeats(&fields, "field", found);
        Ok(Self { id: entry.name, id_span: entry.span, kind: kind.to_owned(), kind_span: kind_piece.span(), fields })
    }
}
