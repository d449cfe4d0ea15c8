//! Putting other graph files in the place of `Subgraph` and `Repeat`.

use super::{
    Origin,
    fields::{parse_fields, parse_struct, value_span},
    scope::{Entry, Linker, Wire},
    settings::Assignment,
};
use crate::{
    NodeKind,
    check::check_ranges,
    diagnostic::{Diagnostic, Span, did_you_mean},
    load::{Field, RawGraph, RawNode, map_of, parse},
    structural::{Change, Repeat, Subgraph},
};
use std::collections::{BTreeMap, HashMap};

/// Deepest nesting of subgraphs.
const DEEPEST: usize = 64;

/// A node that stands for another file.
pub(super) struct Place<'p> {
    pub raw: &'p RawNode,
    /// Its name, with those of the subgraphs around it.
    pub id: &'p str,
    /// The scope of the file that it stands in.
    pub scope: usize,
    /// Its fields, every one known and well formed.
    pub fields: &'p [Field],
    /// What is set from outside in the file that it stands for.
    pub inner: Vec<Assignment>,
}

impl Place<'_> {
    fn span(&self, field: &str) -> Span {
        value_span(self.raw, self.fields, field)
    }
}

pub(super) fn is_structural(kind: &dyn NodeKind) -> bool {
    matches!(kind.name(), "Subgraph" | "Repeat")
}

impl Linker<'_> {
    /// Expands what a structural node stands for; nothing after a mistake, which is reported.
    pub(super) fn place_structure(&mut self, kind: &'static dyn NodeKind, place: &Place<'_>) -> Option<Entry> {
        let node = self.note(parse_fields(kind, place.fields))?;
        let before = self.found.len();
        check_ranges(kind, &*node, |field| place.span(field), &mut self.found);
        if self.found.len() > before {
            return None;
        }
        if kind.name() == "Subgraph" { self.place_subgraph(place) } else { self.place_repeat(place) }
    }

    fn place_subgraph(&mut self, place: &Place<'_>) -> Option<Entry> {
        let own: Subgraph = self.note(parse_struct(place.fields))?;
        let (graph, assignments) = self.open_structure(place, &own.file, own.preset.as_deref())?;
        let inputs = self.feed(place, &graph);
        let sub = self.expand(&graph, &format!("{}.", place.id), inputs, assignments);
        Some(Entry::Sub(sub))
    }

    fn place_repeat(&mut self, place: &Place<'_>) -> Option<Entry> {
        let own: Repeat = self.note(parse_struct(place.fields))?;
        let (graph, base) = self.open_structure(place, &own.file, own.preset.as_deref())?;
        if !graph.inputs.iter().any(|input| input.name == own.carry) {
            let message = format!("`{}` has no input `{}` to carry from pass to pass", own.file, own.carry);
            let names = graph.inputs.iter().map(|input| input.name.as_str());
            let hint = did_you_mean(&own.carry, names.clone())
                .unwrap_or_else(|| format!("its inputs: {}", names.collect::<Vec<_>>().join(", ")));
            self.found.push(Diagnostic::error("carry", place.span("carry"), message).hint(hint));
            return None;
        }
        let mut last = None;
        for (pass, factor) in own.factors().into_iter().enumerate() {
            let mut assignments = base.clone();
            if let Some(factor) = factor {
                let value = self.typed(&format!("{}, pass {}", place.id, pass + 1), &format!("{factor:?}"));
                assignments.push(Assignment { target: own.parameter.clone(), span: value.span(), value });
            }
            for (name, change) in own.later.iter().filter(|_| pass > 0) {
                let changed = self.changed(place, &base, name, *change, pass as u32);
                let Some(assignment) = self.note(changed) else { break };
                assignments.push(assignment);
            }
            let mut inputs = self.feed(place, &graph);
            if let Some(previous) = last {
                inputs.insert(own.carry.clone(), Entry::Sub(previous));
            }
            last = Some(self.expand(&graph, &format!("{}.{}.", place.id, pass + 1), inputs, assignments));
        }
        last.map(Entry::Sub)
    }

    /// What a parameter of a repeat is in a later pass.
    fn changed(
        &mut self,
        place: &Place<'_>,
        base: &[Assignment],
        name: &str,
        change: Change,
        pass: u32,
    ) -> Result<Assignment, Diagnostic> {
        let Some(first) = base.iter().rev().find(|assignment| assignment.target == name) else {
            let message = format!("`later` changes `{name}`, for which `set` gives no first value");
            let hint = format!("add  set: {{ \"{name}\": .. }}");
            return Err(Diagnostic::error("later", place.span("later"), message).hint(hint));
        };
        let number: f64 = parse(&first.value)?;
        let number = change.apply(number, pass);
        // Whole numbers stay whole in RON, so that they fit parameters that count.
        let whole = first.value.text.parse::<i64>().is_ok() && number.fract() == 0.0;
        let text = if whole { format!("{number:.0}") } else { format!("{number:?}") };
        let value = self.typed(&format!("{}, pass {}", place.id, pass + 1), &text);
        Ok(Assignment { target: name.to_owned(), span: value.span(), value })
    }

    /// The file that a structural node stands for, and what is set in it: by `preset`, by `set`, from outside.
    fn open_structure(
        &mut self,
        place: &Place<'_>,
        file: &str,
        preset: Option<&str>,
    ) -> Option<(RawGraph, Vec<Assignment>)> {
        let graph = self.open_file(place, file)?;
        let mut assignments = Vec::new();
        if let Some(preset) = preset {
            self.add_preset(&graph, preset, place.span("preset"), &mut assignments);
        }
        let set = place.fields.iter().find(|field| field.name == "set").map(|set| map_of(&set.value));
        let values = self.note(set.unwrap_or_else(|| Ok(Vec::new()))).unwrap_or_default();
        assignments.extend(values.iter().map(Assignment::from));
        assignments.extend(place.inner.iter().cloned());
        Some((graph, assignments))
    }

    fn open_file(&mut self, place: &Place<'_>, file: &str) -> Option<RawGraph> {
        let span = place.span("file");
        if file.is_empty() {
            let mistake = Diagnostic::error("missing-file", span, format!("`{}` needs a file", place.raw.kind));
            self.found.push(mistake.hint("add  file: \"parts/name.ron\""));
            return None;
        }
        let from = self.open.last().cloned().unwrap_or_default();
        match self.request.library.open(file, &from) {
            Ok(text) if self.open.contains(&text.name) => {
                let mut chain = self.open.clone();
                chain.push(text.name);
                let message = format!("subgraph contains itself: {}", chain.join(" -> "));
                self.found.push(Diagnostic::error("recursion", span, message));
                None
            }
            Ok(_) if self.open.len() >= DEEPEST => {
                let message = format!("subgraphs nest deeper than {DEEPEST}");
                self.found.push(Diagnostic::error("recursion", span, message));
                None
            }
            Ok(text) => {
                let graph = self.read(text)?;
                self.check_interface(&graph);
                Some(graph)
            }
            Err(why) => {
                self.found.push(Diagnostic::error("missing-file", span, why));
                None
            }
        }
    }

    /// What feeds the inputs of a subgraph.
    fn feed(&mut self, place: &Place<'_>, graph: &RawGraph) -> HashMap<String, Entry> {
        let given = place.fields.iter().find(|field| field.name == "inputs").map(|field| map_of(&field.value));
        let given = self.note(given.unwrap_or_else(|| Ok(Vec::new()))).unwrap_or_default();
        let names: Vec<&str> = graph.inputs.iter().map(|input| input.name.as_str()).collect();
        for field in given.iter().filter(|field| !names.contains(&field.name.as_str())) {
            let message = format!("`{}` has no input `{}`", self.sources[graph.source].name, field.name);
            let hint = did_you_mean(&field.name, names.iter().copied())
                .unwrap_or_else(|| format!("its inputs: {}", names.join(", ")));
            self.found.push(Diagnostic::error("unknown-binding", field.span.clone(), message).hint(hint));
        }
        let mut entries = HashMap::new();
        for input in &graph.inputs {
            let wire = given.iter().find(|field| field.name == input.name).map(|field| {
                parse(&field.value).map(|name| Wire {
                    field: input.name.clone(),
                    name,
                    span: field.value.span(),
                    scope: place.scope,
                    takes: Some(input.ty),
                    optional: input.optional,
                })
            });
            let entry = match wire {
                Some(Ok(wire)) => Entry::Input(wire),
                Some(Err(mistake)) => {
                    self.found.push(mistake);
                    Entry::Broken
                }
                None if input.optional => {
                    let origin = Origin::Open { ty: input.ty, optional: true };
                    Entry::Node(self.push(
                        input.name.clone(),
                        origin,
                        place.raw.kind_span.clone(),
                        vec![],
                        BTreeMap::new(),
                    ))
                }
                None => {
                    let message = format!("`{}` gets nothing for its input `{}`", place.raw.id, input.name);
                    let hint = format!("add  inputs: {{ \"{}\": \"..\" }}", input.name);
                    let mistake = Diagnostic::error("missing-wire", place.raw.kind_span.clone(), message);
                    self.found.push(mistake.hint(hint));
                    Entry::Broken
                }
            };
            entries.insert(input.name.clone(), entry);
        }
        entries
    }
}
