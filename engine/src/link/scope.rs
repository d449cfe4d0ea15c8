//! Expanding graph files into one flat list of nodes.

use super::{
    Binding, Linked, Origin, Request,
    fields::parse_fields,
    settings::{Assignment, targets},
    structure::{Place, is_structural},
};
use crate::{
    DynNode, NodeKind, Parameter, ParameterKind,
    diagnostic::{Diagnostic, Diagnostics, Span, Text, did_you_mean},
    load::{Field, MOST_NODES, Piece, RawGraph, RawNode, TOO_LARGE, fields_of, parse},
    value::Type,
};
use std::collections::{BTreeMap, HashMap};

/// What a wire names, before it is looked up.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    /// The field; for outputs and inputs of subgraphs their name.
    pub field: String,
    /// What stands in the file.
    pub name: String,
    pub span: Span,
    /// The scope in which the name is looked up.
    pub scope: usize,
    /// What the field takes, when it is a node's.
    pub takes: Option<Type>,
    /// Whether the node can do without.
    pub optional: bool,
}

/// One graph file in its place: what its names mean.
pub(crate) struct Scope {
    pub entries: HashMap<String, Entry>,
    /// Output names and the wires that feed them, in the order of the file.
    pub outputs: Vec<Wire>,
}

/// What a name means.
pub(crate) enum Entry {
    /// A node of the flat list.
    Node(usize),
    /// A subgraph, or the last pass of a repeat: its scope.
    Sub(usize),
    /// An input that a wire from the file around feeds.
    Input(Wire),
    /// Its mistakes are already reported.
    Broken,
}

/// Expands files into a flat list of nodes.
pub(crate) struct Linker<'a> {
    pub(super) request: &'a Request<'a>,
    pub sources: Vec<Text>,
    pub found: Vec<Diagnostic>,
    pub nodes: Vec<Linked>,
    pub scopes: Vec<Scope>,
    /// Names of the files that are being expanded, the innermost last.
    pub(super) open: Vec<String>,
    parameters: HashMap<&'static str, Vec<Parameter>>,
}

impl<'a> Linker<'a> {
    /// Expands the graph of a request. The first scope is that of its file. `None` when the file has no skeleton.
    pub(crate) fn link(request: &'a Request<'a>) -> (Self, Option<()>) {
        let mut linker = Self {
            request,
            sources: Vec::new(),
            found: Vec::new(),
            nodes: Vec::new(),
            scopes: Vec::new(),
            open: Vec::new(),
            parameters: HashMap::new(),
        };
        let done = linker.root();
        (linker, done)
    }

    pub(crate) fn into_diagnostics(self) -> Diagnostics {
        let mut all = Diagnostics { sources: self.sources, items: self.found };
        all.sort();
        all
    }

    fn root(&mut self) -> Option<()> {
        let graph = self.read(self.request.file.clone())?;
        let mut assignments = Vec::new();
        if let Some(preset) = &self.request.preset {
            let from = self.typed("--preset", preset);
            self.add_preset(&graph, preset, from.span(), &mut assignments);
        }
        for setting in &self.request.settings {
            let value = self.typed(&setting.origin, &setting.value);
            assignments.push(Assignment { target: setting.target.clone(), span: value.span(), value });
        }
        self.check_interface(&graph);
        let mut inputs = HashMap::new();
        for input in &graph.inputs {
            let bound = self.request.inputs.iter().find(|binding| binding.name == input.name);
            let entry = match bound {
                Some(binding) => self.bind(binding, None),
                None => {
                    let origin = Origin::Open { ty: input.ty, optional: input.optional };
                    self.push(input.name.clone(), origin, input.span.clone(), Vec::new(), BTreeMap::new())
                }
            };
            inputs.insert(input.name.clone(), Entry::Node(entry));
        }
        self.report_unknown("input", &self.request.inputs, graph.inputs.iter().map(|i| i.name.as_str()));
        self.report_unknown("output", &self.request.outputs, graph.outputs.iter().map(|o| o.name.as_str()));
        let scope = self.expand(&graph, "", inputs, assignments);
        for binding in &self.request.outputs {
            if let Some(wire) = self.scopes[scope].outputs.iter().find(|wire| wire.field == binding.name).cloned() {
                self.bind(binding, Some(wire));
            }
        }
        Some(())
    }

    /// Reports bindings to inputs or outputs that the graph does not have.
    fn report_unknown<'n>(&mut self, what: &str, bindings: &[Binding], known: impl Iterator<Item = &'n str>) {
        let known: Vec<&str> = known.collect();
        for binding in bindings {
            if !known.contains(&binding.name.as_str()) {
                let place = self.typed(&binding.origin, &binding.name).span();
                let message = format!("the graph has no {what} `{}`", binding.name);
                let list = || format!("{what}s: {}", known.join(", "));
                let hint = did_you_mean(&binding.name, known.iter().copied()).unwrap_or_else(list);
                self.found.push(Diagnostic::error("unknown-binding", place, message).hint(hint));
            }
        }
    }

    /// Checks what a file promises whether it is used now or not: every exposed parameter sets something, every preset
    /// can be applied.
    pub(super) fn check_interface(&mut self, graph: &RawGraph) {
        for exposed in &graph.expose {
            if exposed.sets.is_empty() {
                let message = format!("exposed parameter `{}` sets nothing", exposed.name);
                let hint = "write  sets: [\"node.parameter\"]";
                self.found.push(Diagnostic::error("expose", exposed.span.clone(), message).hint(hint));
            }
            for piece in &exposed.sets {
                let checked = parse::<String>(piece).map(|target| {
                    // The value is not known here; only the path is checked.
                    let value = piece.clone();
                    self.check_assignment(graph, &Assignment { target, span: piece.span(), value }, false);
                });
                self.found.extend(checked.err());
            }
        }
        for preset in &graph.presets {
            for value in &preset.values {
                self.check_assignment(graph, &Assignment::from(value), true);
            }
        }
    }

    fn check_assignment(&mut self, graph: &RawGraph, assignment: &Assignment, with_value: bool) {
        let overrides = match targets(graph, assignment) {
            Ok(overrides) => overrides,
            Err(mistake) => return self.found.push(mistake),
        };
        for entry in overrides {
            let Some(node) = graph.nodes.iter().find(|node| node.id == entry.node) else { continue };
            let Some(kind) = self.kind(&node.kind) else { continue };
            let own = self.has_parameter(kind, &entry.parameter.name);
            if is_structural(kind) && !own {
                // Belongs to the file of the subgraph, which is checked where it is expanded.
                continue;
            }
            if !own {
                self.unknown_field(kind, &entry.parameter);
            } else if with_value && let Err(mistake) = parse_fields(kind, std::slice::from_ref(&entry.parameter)) {
                self.found.push(mistake);
            }
        }
    }

    /// A result, or nothing once its mistake is reported.
    pub(super) fn note<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|mistake| self.found.push(mistake)).ok()
    }

    /// A text that was typed, as a source of its own.
    pub(super) fn typed(&mut self, origin: &str, text: &str) -> Piece {
        self.sources.push(Text { name: origin.to_owned(), text: text.to_owned() });
        Piece::whole(self.sources.len() - 1, text)
    }

    pub(super) fn read(&mut self, file: Text) -> Option<RawGraph> {
        let source = self.sources.len();
        let graph = RawGraph::read(source, &file.text, &mut self.found);
        self.sources.push(file);
        graph
    }

    pub(super) fn push(
        &mut self,
        id: String,
        origin: Origin,
        span: Span,
        wires: Vec<Wire>,
        fields: BTreeMap<String, Span>,
    ) -> usize {
        self.nodes.push(Linked { id, origin, span, fields, wires, whole: true });
        self.nodes.len() - 1
    }

    /// Puts a node before an input, or behind an output.
    fn bind(&mut self, binding: &Binding, feeds: Option<Wire>) -> usize {
        let piece = self.typed(&binding.origin, &binding.fields);
        let side = if feeds.is_some() { "out" } else { "in" };
        let id = format!("{side}:{}", binding.name);
        let made = match (self.kind(&binding.kind), fields_of(&piece)) {
            (Some(kind), Ok(mut fields)) => {
                let taking = kind.parameters().into_iter().find(Parameter::required_wire);
                fields.extend(taking.zip(feeds).map(|(parameter, wire)| Field {
                    name: parameter.name,
                    value: Piece {
                        source: wire.span.source,
                        start: wire.span.range.start,
                        text: format!("{:?}", wire.name),
                    },
                    span: wire.span,
                }));
                parse_fields(kind, &fields).map(|node| (kind, node, fields))
            }
            (None, _) => Err(Diagnostic::error("unknown-kind", piece.span(), format!("no kind `{}`", binding.kind))),
            (_, Err(mistake)) => Err(mistake),
        };
        match made {
            Ok((kind, node, fields)) => {
                let spans: BTreeMap<_, _> = fields.iter().map(|f| (f.name.clone(), f.value.span())).collect();
                let wires = self.wires_of(kind, &*node, &spans, &piece.span(), 0, true);
                self.push(id, Origin::Node { kind, node }, piece.span(), wires, spans)
            }
            Err(mistake) => {
                self.found.push(mistake);
                self.push(id, Origin::Broken, piece.span(), Vec::new(), BTreeMap::new())
            }
        }
    }

    pub(super) fn add_preset(&mut self, graph: &RawGraph, name: &str, asked: Span, into: &mut Vec<Assignment>) {
        match graph.presets.iter().find(|preset| preset.name == name) {
            Some(preset) => into.extend(preset.values.iter().map(Assignment::from)),
            None => {
                let names: Vec<&str> = graph.presets.iter().map(|preset| preset.name.as_str()).collect();
                let message = format!("the graph has no preset `{name}`");
                let list = || format!("presets: {}", if names.is_empty() { "none".into() } else { names.join(", ") });
                let hint = did_you_mean(name, names.iter().copied()).unwrap_or_else(list);
                self.found.push(Diagnostic::error("unknown-preset", asked, message).hint(hint));
            }
        }
    }

    /// Expands a file in its place. Gives its scope.
    pub(super) fn expand(
        &mut self,
        graph: &RawGraph,
        prefix: &str,
        mut entries: HashMap<String, Entry>,
        assignments: Vec<Assignment>,
    ) -> usize {
        self.open.push(self.sources[graph.source].name.clone());
        let scope = self.scopes.len();
        self.scopes.push(Scope { entries: HashMap::new(), outputs: Vec::new() });
        let mut overrides: HashMap<String, Vec<Field>> = HashMap::new();
        for assignment in &assignments {
            match targets(graph, assignment) {
                Ok(found) => {
                    for one in found {
                        overrides.entry(one.node).or_default().push(one.parameter);
                    }
                }
                Err(mistake) => self.found.push(mistake),
            }
        }
        for node in &graph.nodes {
            if let Some(input) = graph.inputs.iter().find(|input| input.name == node.id) {
                let message = format!("node `{}` has the name of an input", node.id);
                self.found.push(
                    Diagnostic::error("duplicate-node", node.id_span.clone(), message)
                        .also(input.span.clone(), "the input")
                        .hint("rename the node"),
                );
                continue;
            }
            if self.nodes.len() >= MOST_NODES {
                let message = format!("the graph has more than {MOST_NODES} nodes");
                self.found.push(Diagnostic::error(TOO_LARGE, node.id_span.clone(), message));
                break;
            }
            let changed = overrides.remove(&node.id).unwrap_or_default();
            let entry = self.place(node, &format!("{prefix}{}", node.id), scope, changed);
            entries.entry(node.id.clone()).or_insert(entry);
        }
        let outputs = graph.outputs.iter().filter_map(|output| {
            let (field, span) = (output.name.clone(), output.value.span());
            let name = self.note(parse(&output.value))?;
            Some(Wire { field, name, span, scope, takes: None, optional: false })
        });
        let outputs = outputs.collect();
        if graph.outputs.is_empty() {
            let place = Span { source: graph.source, range: 0..0 };
            let hint = "add  outputs: { \"photo\": \"name of a node\" }";
            self.found.push(Diagnostic::error("no-output", place, "the graph has no output").hint(hint));
        }
        self.scopes[scope] = Scope { entries, outputs };
        self.open.pop();
        scope
    }

    /// Makes one node of a file, with its changed parameters.
    fn place(&mut self, raw: &RawNode, id: &str, scope: usize, changed: Vec<Field>) -> Entry {
        let Some(kind) = self.kind(&raw.kind) else {
            let message = format!("there is no node kind `{}`", raw.kind);
            let hint = did_you_mean(&raw.kind, self.request.registry.iter().map(|kind| kind.name()))
                .unwrap_or_else(|| "`upweave nodes` lists all kinds".into());
            self.found.push(Diagnostic::error("unknown-kind", raw.kind_span.clone(), message).hint(hint));
            return Entry::Broken;
        };
        // A field that stands twice is reported already; going on with the first finds the other mistakes.
        let mut fields: Vec<Field> = Vec::new();
        for field in &raw.fields {
            if !fields.iter().any(|earlier| earlier.name == field.name) {
                fields.push(field.clone());
            }
        }
        let mut inner = Vec::new();
        for change in changed {
            if is_structural(kind) && !self.has_parameter(kind, &change.name) {
                inner.push(Assignment { target: change.name, span: change.span, value: change.value });
            } else if let Some(field) = fields.iter_mut().find(|field| field.name == change.name) {
                *field = change;
            } else {
                fields.push(change);
            }
        }
        let before = self.found.len();
        fields.retain(|field| {
            let known = self.has_parameter(kind, &field.name);
            if !known {
                self.unknown_field(kind, field);
            }
            known && self.note(parse_fields(kind, std::slice::from_ref(field))).is_some()
        });
        // A plain node goes on without its broken fields, so that its other mistakes are found as well.
        let whole = self.found.len() == before;
        if is_structural(kind) {
            let place = Place { raw, id, scope, fields: &fields, inner };
            return whole.then(|| self.place_structure(kind, &place)).flatten().unwrap_or(Entry::Broken);
        }
        let Some(node) = self.note(parse_fields(kind, &fields)) else { return Entry::Broken };
        let spans: BTreeMap<_, _> = fields.iter().map(|f| (f.name.clone(), f.value.span())).collect();
        let wires = self.wires_of(kind, &*node, &spans, &raw.kind_span, scope, whole);
        let index = self.push(id.to_owned(), Origin::Node { kind, node }, raw.kind_span.clone(), wires, spans);
        self.nodes[index].whole = whole;
        Entry::Node(index)
    }

    fn wires_of(
        &mut self,
        kind: &'static dyn NodeKind,
        node: &dyn DynNode,
        spans: &BTreeMap<String, Span>,
        kind_span: &Span,
        scope: usize,
        whole: bool,
    ) -> Vec<Wire> {
        let values = node.fields();
        let mut wires = Vec::new();
        for parameter in self.parameters_of(kind).to_vec() {
            let name = values[&parameter.name].as_str().unwrap_or_default();
            if parameter.wire.is_none() || (parameter.kind == ParameterKind::Number && name.is_empty()) {
                continue;
            }
            let span = spans.get(&parameter.name).unwrap_or(kind_span).clone();
            if !name.is_empty() {
                wires.push(Wire {
                    field: parameter.name.clone(),
                    name: name.to_owned(),
                    span,
                    scope,
                    takes: parameter.wire,
                    optional: parameter.optional,
                });
            } else if whole && parameter.required_wire() {
                // In a node that lost fields, the wire may be one of those.
                let ty = parameter.wire.map_or("", Type::name);
                let message = format!("`{}` needs a wire `{}` that carries {ty}", kind.name(), parameter.name);
                let hint = format!("add  {}: \"name of a node that gives {ty}\"", parameter.name);
                self.found.push(Diagnostic::error("missing-wire", span, message).hint(hint));
            }
        }
        wires
    }

    fn kind(&self, name: &str) -> Option<&'static dyn NodeKind> {
        self.request.registry.iter().copied().find(|kind| kind.name() == name)
    }

    fn parameters_of(&mut self, kind: &'static dyn NodeKind) -> &[Parameter] {
        self.parameters.entry(kind.name()).or_insert_with(|| kind.parameters())
    }

    fn has_parameter(&mut self, kind: &'static dyn NodeKind, name: &str) -> bool {
        self.parameters_of(kind).iter().any(|parameter| parameter.name == name)
    }

    fn unknown_field(&mut self, kind: &'static dyn NodeKind, field: &Field) {
        let names: Vec<String> = self.parameters_of(kind).iter().map(|parameter| parameter.name.clone()).collect();
        let message = format!("`{}` has no field `{}`", kind.name(), field.name);
        let hint = did_you_mean(&field.name, names.iter().map(String::as_str))
            .unwrap_or_else(|| format!("its fields: {}", names.join(", ")));
        self.found.push(Diagnostic::error("unknown-field", field.span.clone(), message).hint(hint));
    }
}
