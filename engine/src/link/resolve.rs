//! Looking up what a wire names.

use super::{
    Linked, Origin,
    scope::{Entry, Scope, Wire},
};
use crate::diagnostic::{Diagnostic, did_you_mean};

/// Where a wire comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A port of a node of the flat list.
    Port(usize, usize),
    /// An optional input that nothing is bound to.
    Nothing,
    /// Something whose mistakes are already reported.
    Broken,
}

/// Looks a wire up, through inputs and outputs of subgraphs.
pub(crate) fn resolve(scopes: &[Scope], nodes: &[Linked], wire: &Wire) -> Result<Source, Diagnostic> {
    let mut wire = wire.clone();
    // Every step goes one file in or out; a wire that goes round for ever is a subgraph that only passes through.
    for _ in 0..1000 {
        let (name, port) = wire.name.split_once('.').map_or((wire.name.as_str(), None), |(n, p)| (n, Some(p)));
        let scope = &scopes[wire.scope];
        let Some(entry) = scope.entries.get(name) else {
            let message = format!("there is no node or input `{name}`");
            let mut known: Vec<&str> = scope.entries.keys().map(String::as_str).collect();
            known.sort_unstable();
            let hint =
                did_you_mean(name, known.iter().copied()).unwrap_or_else(|| format!("there are: {}", known.join(", ")));
            return Err(Diagnostic::error("unknown-wire", wire.span, message).hint(hint));
        };
        match entry {
            Entry::Broken => return Ok(Source::Broken),
            Entry::Node(index) => return port_of(*index, &nodes[*index], port, &wire),
            Entry::Input(outer) => {
                if let Some(port) = port {
                    let message = format!("input `{name}` has no output `{port}`");
                    return Err(
                        Diagnostic::error("unknown-port", wire.span, message).hint(format!("write  \"{name}\""))
                    );
                }
                wire = outer.clone();
            }
            Entry::Sub(inner) => {
                let outputs = &scopes[*inner].outputs;
                let found = match port {
                    Some(port) => outputs.iter().find(|output| output.field == port),
                    None => outputs.first(),
                };
                let Some(output) = found else {
                    if outputs.is_empty() {
                        return Ok(Source::Broken);
                    }
                    let names: Vec<&str> = outputs.iter().map(|output| output.field.as_str()).collect();
                    let port = port.unwrap_or_default();
                    let message = format!("subgraph `{name}` has no output `{port}`");
                    let hint = did_you_mean(port, names.iter().copied())
                        .unwrap_or_else(|| format!("its outputs: {}", names.join(", ")));
                    return Err(Diagnostic::error("unknown-port", wire.span, message).hint(hint));
                };
                wire = output.clone();
            }
        }
    }
    let message = format!("`{}` goes round in a circle through subgraphs", wire.name);
    Err(Diagnostic::error("cycle", wire.span, message))
}

fn port_of(index: usize, node: &Linked, port: Option<&str>, wire: &Wire) -> Result<Source, Diagnostic> {
    match &node.origin {
        Origin::Broken => Ok(Source::Broken),
        // Whether a missing value matters is for the field to say that takes it.
        Origin::Open { optional: true, .. } if port.is_none() => Ok(Source::Nothing),
        Origin::Open { .. } => match port {
            None => Ok(Source::Port(index, 0)),
            Some(port) => {
                let message = format!("input `{}` has no output `{port}`", node.id);
                Err(Diagnostic::error("unknown-port", wire.span.clone(), message)
                    .hint(format!("write  \"{}\"", node.id)))
            }
        },
        Origin::Node { kind, .. } => {
            let ports = kind.ports();
            let Some(port) = port else { return Ok(Source::Port(index, 0)) };
            if let Some(at) = ports.iter().position(|candidate| candidate.name == port) {
                return Ok(Source::Port(index, at));
            }
            let names: Vec<&str> = ports.iter().map(|port| port.name).collect();
            let message = format!("`{}` has no output `{port}`", kind.name());
            let hint = did_you_mean(port, names.iter().copied())
                .unwrap_or_else(|| format!("its outputs: {}", names.join(", ")));
            Err(Diagnostic::error("unknown-port", wire.span.clone(), message).hint(hint))
        }
    }
}
