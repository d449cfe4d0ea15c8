//! Showing mistakes in graphs with the lines that they are in.

use crate::terminal::Terminal;
use engine::{Blame, Diagnostic, Diagnostics, Label, RunError, Severity, line_and_column};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde_json::json;
use std::fmt;

/// Lines above this many bytes are not shown: they were not written by a person, and would fill the screen.
const LONGEST_LINE: usize = 2000;
/// So many mistakes are shown; more help nobody.
const MOST_SHOWN: usize = 100;

/// Shows them, errors and warnings.
pub(crate) fn diagnostics(terminal: &Terminal, all: &Diagnostics) {
    for item in all.items.iter().take(MOST_SHOWN) {
        if terminal.json() {
            terminal.event(as_json(all, item));
        } else if item.severity == Severity::Error {
            terminal.stderr(&rendered(all, item, terminal.color));
        } else {
            terminal.say(&rendered(all, item, terminal.color));
        }
    }
    let more = all.items.len().saturating_sub(MOST_SHOWN);
    if more > 0 && !terminal.json() {
        terminal.stderr(&format!("and {more} more"));
    }
}

/// The exit code that tells mistakes from what is only too large.
pub(crate) fn exit_code(all: &Diagnostics) -> u8 {
    if all.beyond_limits() { 4 } else { 2 }
}

/// `2 errors, 1 warning`.
pub(crate) fn count(all: &Diagnostics) -> String {
    let counted = |n: usize, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let parts = [counted(all.errors(), "error"), counted(all.warnings(), "warning")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// One of them, with its lines.
pub(crate) fn rendered(all: &Diagnostics, item: &Diagnostic, color: bool) -> String {
    let plain = || Diagnostics { sources: all.sources.clone(), items: vec![item.clone()] }.to_string();
    let long = |label: &Label| all.sources[label.span.source].text.lines().any(|line| line.len() > LONGEST_LINE);
    if item.labels.first().is_some_and(long) {
        return plain();
    }
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_context_lines(1).with_links(false).with_width(110);
    let mut text = String::new();
    match handler.render_report(&mut text, &Shown::new(all, item)) {
        Ok(()) => text.trim_end().to_owned(),
        Err(fmt::Error) => plain(),
    }
}

/// A run that could not be finished: with the lines of the graph where the mistake is in the graph, else with the node
/// where that helps.
pub(crate) fn run_error(terminal: &Terminal, error: &RunError) {
    let failure = &error.failure;
    let bound = error.id.starts_with("in:") || error.id.starts_with("out:");
    if failure.blame == Blame::Graph && !bound {
        let item = Diagnostic {
            severity: Severity::Error,
            code: "run",
            message: error.to_string(),
            labels: vec![error.label.clone()],
            hint: failure.hint.clone(),
        };
        let all = Diagnostics { sources: error.sources.clone(), items: Vec::new() };
        return terminal.stderr(&rendered(&all, &item, terminal.color));
    }
    let message = if bound { failure.message.clone() } else { error.to_string() };
    terminal.error(&message, failure.hint.as_deref());
}

fn as_json(all: &Diagnostics, item: &Diagnostic) -> serde_json::Value {
    let mut event = json!({
        "event": "diagnostic",
        "severity": if item.severity == Severity::Error { "error" } else { "warning" },
        "code": item.code,
        "message": item.message,
        "hint": item.hint,
    });
    if let Some(label) = item.labels.first() {
        let (name, line, column) = place(all, label);
        event["file"] = name.into();
        event["line"] = line.into();
        event["column"] = column.into();
    }
    event
}

fn place<'a>(all: &'a Diagnostics, label: &Label) -> (&'a str, usize, usize) {
    let source = &all.sources[label.span.source];
    let (line, column) = line_and_column(&source.text, label.span.range.start);
    (&source.name, line, column)
}

/// A diagnostic in the form that miette draws.
struct Shown<'a> {
    item: &'a Diagnostic,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
    help: Option<String>,
}

impl<'a> Shown<'a> {
    fn new(all: &Diagnostics, item: &'a Diagnostic) -> Self {
        let first = item.labels.first();
        let source = first.map(|label| &all.sources[label.span.source]);
        let (here, elsewhere): (Vec<&Label>, Vec<&Label>) =
            item.labels.iter().partition(|label| first.is_some_and(|first| first.span.source == label.span.source));
        let labels = here.iter().map(|label| {
            let text = (!label.text.is_empty()).then(|| label.text.clone());
            LabeledSpan::new(text, label.span.range.start, label.span.range.len().max(1))
        });
        let mut help: Vec<String> = item.hint.iter().cloned().collect();
        help.extend(elsewhere.iter().map(|label| {
            let (name, line, column) = place(all, label);
            format!("{name}:{line}:{column}: {}", label.text)
        }));
        Self {
            item,
            source: source.map(|source| NamedSource::new(&source.name, source.text.clone())),
            labels: labels.collect(),
            help: (!help.is_empty()).then(|| help.join("\n")),
        }
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.item.fmt(f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.item.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let severity = if self.item.severity == Severity::Error { "error" } else { "warning" };
        Some(Box::new(format!("{severity}[{}]", self.item.code)))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(if self.item.severity == Severity::Error { miette::Severity::Error } else { miette::Severity::Warning })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}
