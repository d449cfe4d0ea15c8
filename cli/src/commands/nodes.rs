//! `upweave nodes`: the reference, made from the declarations of the nodes.

use crate::terminal::{Terminal, print};
use engine::{NodeKind, Parameter, ParameterKind};
use serde_json::Value as Json;

const WIDTH: usize = 100;

pub(crate) fn run(terminal: &Terminal, name: Option<&str>) -> u8 {
    let Some(name) = name else {
        list();
        return 0;
    };
    match nodes::NODES.iter().find(|kind| kind.name().eq_ignore_ascii_case(name)) {
        Some(kind) => {
            print(&page(*kind));
            0
        }
        None => {
            terminal.error(&format!("there is no node kind `{name}`"), Some("`upweave nodes` lists all kinds"));
            2
        }
    }
}

fn list() {
    let widest = nodes::NODES.iter().map(|kind| kind.name().len()).max().unwrap_or_default();
    for kind in nodes::NODES {
        let about = kind.about();
        let first = about.split_inclusive(". ").next().unwrap_or_default().split("\n\n").next().unwrap_or_default();
        let first = first.trim().replace('\n', " ");
        print(&indented(&format!("{:widest$}  ", kind.name()), &first, widest + 2));
    }
}

/// The reference page of a kind.
pub(crate) fn page(kind: &dyn NodeKind) -> String {
    let mut lines = vec![kind.name().to_owned(), String::new()];
    for paragraph in kind.about().split("\n\n") {
        lines.extend([indented("", &paragraph.replace('\n', " "), 0), String::new()]);
    }
    let (wires, parameters): (Vec<_>, Vec<_>) =
        kind.parameters().into_iter().partition(|parameter| parameter.kind == ParameterKind::Wire);
    if !wires.is_empty() {
        lines.push("Inputs".to_owned());
        for wire in &wires {
            let ty = wire.wire.map_or("", engine::value::Type::name);
            let optional = if wire.optional { ", may be left out" } else { "" };
            lines.push(format!("  {}: {ty}{optional}", wire.name));
            lines.push(indented("      ", &wire.about.replace('\n', " "), 6));
        }
        lines.push(String::new());
    }
    if !parameters.is_empty() {
        lines.push("Parameters".to_owned());
        for parameter in &parameters {
            lines.push(format!("  {}: {}", parameter.name, takes(parameter)));
            lines.push(indented("      ", &parameter.about.replace('\n', " "), 6));
            if let ParameterKind::Choice(choices) = &parameter.kind {
                for (name, about) in choices.iter().filter(|(_, about)| !about.is_empty()) {
                    lines.push(indented(&format!("      {name}  "), &about.replace('\n', " "), 10));
                }
            }
        }
        lines.push(String::new());
    }
    lines.push("Outputs".to_owned());
    for port in kind.ports() {
        lines.push(indented(&format!("  {}: {}  ", port.name, port.ty), port.about.trim(), 6));
    }
    lines.join("\n").trim_end().to_owned()
}

/// Type, range and default of a parameter in one line.
fn takes(parameter: &Parameter) -> String {
    let mut text = match &parameter.kind {
        ParameterKind::Number if parameter.wire.is_some() => "number, or a wire that carries one".to_owned(),
        ParameterKind::Number => "number".to_owned(),
        ParameterKind::Integer => "whole number".to_owned(),
        ParameterKind::Flag => "true or false".to_owned(),
        ParameterKind::Text => "text".to_owned(),
        ParameterKind::Choice(choices) => choices.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" | "),
        ParameterKind::Other | ParameterKind::Wire => "see below".to_owned(),
    };
    match (parameter.minimum, parameter.maximum) {
        (Some(low), Some(high)) => text.push_str(&format!(", {low} to {high}")),
        (Some(low), None) => text.push_str(&format!(", {low} or more")),
        (None, Some(high)) => text.push_str(&format!(", {high} or less")),
        (None, None) => {}
    }
    match &parameter.default {
        Json::Null if parameter.optional => text.push_str(", may be left out"),
        Json::Null | Json::Object(_) => {}
        Json::String(word) if matches!(parameter.kind, ParameterKind::Choice(_)) => {
            text.push_str(&format!(" (default {word})"));
        }
        value => text.push_str(&format!(" (default {value})")),
    }
    text
}

/// A paragraph with its lines broken; the first begins with `head`, the others with `indent` blanks.
fn indented(head: &str, text: &str, indent: usize) -> String {
    let mut out = head.to_owned();
    let mut column = head.chars().count();
    for (i, word) in text.split_whitespace().enumerate() {
        let length = word.chars().count();
        if i > 0 && column + 1 + length > WIDTH {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if i > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.trim_end().to_owned()
}
