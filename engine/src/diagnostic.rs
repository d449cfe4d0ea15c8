//! Mistakes in graph files: what, where, and what to do. All of them are collected before anything is reported.

use std::{fmt, ops::Range};

/// A text with a name: a graph file, or something typed on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// How it is called in messages.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A place in one of several texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index of the text.
    pub source: usize,
    /// Bytes of the text.
    pub range: Range<usize>,
}

/// A place with a remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// The remark; may be empty.
    pub text: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The graph cannot run.
    Error,
    /// The graph runs, but not as its author may think.
    Warning,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A short name of this sort of mistake.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where: the place itself first, then others that explain it.
    pub labels: Vec<Label>,
    /// What to do.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        let labels = vec![Label { span, text: String::new() }];
        Self { severity: Severity::Error, code, message: message.into(), labels, hint: None }
    }

    /// A warning at a place.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what to do, if anything is known.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// Adds a remark on the place itself.
    #[must_use]
    pub fn remark(mut self, text: impl Into<String>) -> Self {
        if let Some(first) = self.labels.first_mut() {
            first.text = text.into();
        }
        self
    }

    /// Adds a place that explains it.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }
}

/// Mistakes and the texts that they are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// The texts.
    pub sources: Vec<Text>,
    /// The mistakes, in the order of the texts.
    pub items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Number of errors.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// Whether something is beyond the limits on graphs. What else is wrong may follow from what was not read.
    pub fn beyond_limits(&self) -> bool {
        self.items.iter().any(|item| item.code == crate::load::TOO_LARGE)
    }

    /// Number of warnings.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.items.iter().filter(|item| item.severity == severity).count()
    }

    /// Sorts by place.
    pub(crate) fn sort(&mut self) {
        self.items.sort_by_key(|item| item.labels.first().map(|l| (l.span.source, l.span.range.start)));
        self.items.dedup();
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.items.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            let severity = if item.severity == Severity::Error { "error" } else { "warning" };
            write!(f, "{separator}")?;
            if let Some(label) = item.labels.first() {
                let source = &self.sources[label.span.source];
                let (line, column) = line_and_column(&source.text, label.span.range.start);
                write!(f, "{}:{line}:{column}: ", source.name)?;
            }
            write!(f, "{severity}[{}]: {}", item.code, item.message)?;
            if let Some(hint) = &item.hint {
                write!(f, " ({hint})")?;
            }
        }
        Ok(())
    }
}

/// Line and column of a byte, both from 1, the column in characters.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..floor_boundary(text, offset)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The byte at a line and column, both from 1, the column in characters.
pub(crate) fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = &text[start.min(text.len())..];
    start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// "did you mean `x`?" for the nearest of several names, when one is near enough.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(name.len()) / 3)
        .min()
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let text = "a\nüñx";
        assert_eq!(line_and_column(text, text.find('x').unwrap()), (2, 3));
        assert_eq!(offset_of(text, 2, 3), text.find('x').unwrap());
        assert_eq!(offset_of(text, 9, 9), text.len());
    }

    #[test]
    fn near_names_are_offered_and_far_ones_are_not() {
        assert_eq!(did_you_mean("Upscal", ["Upscale", "Load"]), Some("did you mean `Upscale`?".into()));
        assert_eq!(did_you_mean("zebra", ["Upscale", "Load"]), None);
    }
}
