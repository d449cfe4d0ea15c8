//! Values from presets and from outside, on their way to the parameters that they set.

use crate::{
    diagnostic::{Diagnostic, Span, did_you_mean},
    load::{Field, Piece, RawGraph, RawNode, parse},
};

/// A value for `target`: an exposed name or `"node.parameter"`.
#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub target: String,
    /// Where the target is named.
    pub span: Span,
    pub value: Piece,
}

impl From<&Field> for Assignment {
    fn from(field: &Field) -> Self {
        Self { target: field.name.clone(), span: field.span.clone(), value: field.value.clone() }
    }
}

/// A value for one parameter of one node.
pub(crate) struct Override {
    pub node: String,
    pub parameter: Field,
}

/// Finds the parameters that an assignment sets.
pub(crate) fn targets(graph: &RawGraph, assignment: &Assignment) -> Result<Vec<Override>, Diagnostic> {
    if let Some(exposed) = graph.expose.iter().find(|exposed| exposed.name == assignment.target) {
        return exposed
            .sets
            .iter()
            .map(|piece| {
                let path: String = parse(piece)?;
                one(graph, &path, piece.span(), assignment)
            })
            .collect();
    }
    if assignment.target.contains('.') {
        return Ok(vec![one(graph, &assignment.target, assignment.span.clone(), assignment)?]);
    }
    let names: Vec<&str> = graph.expose.iter().map(|exposed| exposed.name.as_str()).collect();
    let message = format!("the graph exposes no parameter `{}`", assignment.target);
    let hint = did_you_mean(&assignment.target, names.iter().copied()).unwrap_or_else(|| {
        if names.is_empty() { "name it as  node.parameter".into() } else { format!("exposed: {}", names.join(", ")) }
    });
    Err(Diagnostic::error("unknown-parameter", assignment.span.clone(), message).hint(hint))
}

fn one(graph: &RawGraph, path: &str, span: Span, assignment: &Assignment) -> Result<Override, Diagnostic> {
    let Some((node, parameter)) = path.split_once('.') else {
        let message = format!("`{path}` does not name a parameter of a node");
        return Err(Diagnostic::error("unknown-parameter", span, message).hint("name it as  node.parameter"));
    };
    if !graph.nodes.iter().any(|candidate| candidate.id == node) {
        let message = format!("there is no node `{node}` to set `{parameter}` of");
        let hint = did_you_mean(node, graph.nodes.iter().map(|n: &RawNode| n.id.as_str()));
        return Err(Diagnostic::error("unknown-node", span, message).maybe_hint(hint));
    }
    let parameter = Field { name: parameter.to_owned(), span, value: assignment.value.clone() };
    Ok(Override { node: node.to_owned(), parameter })
}
