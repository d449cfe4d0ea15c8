//! From the fields of a file to a node's own struct, with mistakes at the place of the field.

use crate::{
    DynNode, NodeKind,
    diagnostic::{Diagnostic, Span},
    load::{Field, Piece, RawNode, lower_first},
};

/// Place of a field's value, or of the node's kind when the field is not written.
pub(super) fn value_span(raw: &RawNode, fields: &[Field], name: &str) -> Span {
    fields.iter().find(|field| field.name == name).map_or_else(|| raw.kind_span.clone(), |field| field.value.span())
}

/// The fields as one struct text, and where each of them went.
fn compose(fields: &[Field]) -> (String, Vec<std::ops::Range<usize>>) {
    let mut text = String::from("(");
    let mut places = Vec::new();
    for field in fields {
        text.push_str(&field.name);
        text.push_str(": ");
        let start = text.len();
        text.push_str(&field.value.text);
        places.push(start..text.len());
        text.push_str(", ");
    }
    text.push(')');
    (text, places)
}

/// A node of this kind with these fields; the others take their defaults.
pub(super) fn parse_fields(kind: &'static dyn NodeKind, fields: &[Field]) -> Result<Box<dyn DynNode>, Diagnostic> {
    let (text, places) = compose(fields);
    // RON can write what no parameter takes.
    let endless = |field: &&Field| field.value.text.parse::<f64>().is_ok_and(|number| !number.is_finite());
    if let Some(field) = fields.iter().find(endless) {
        let message = format!("`{}` must be a finite number, not {}", field.name, field.value.text);
        return Err(Diagnostic::error("out-of-range", field.value.span(), message));
    }
    kind.parse(&text).map_err(|error| locate(&text, &places, fields, &error))
}

/// The fields as a struct.
pub(super) fn parse_struct<T: serde::de::DeserializeOwned>(fields: &[Field]) -> Result<T, Diagnostic> {
    let (text, places) = compose(fields);
    crate::load::dialect().from_str(&text).map_err(|error| locate(&text, &places, fields, &error))
}

/// Moves the place of an error from the composed text back to where the field stands.
fn locate(
    text: &str,
    places: &[std::ops::Range<usize>],
    fields: &[Field],
    error: &ron::error::SpannedError,
) -> Diagnostic {
    let composed = Piece { source: 0, start: 0, text: text.to_owned() };
    let Span { range, .. } = composed.span_of(error);
    let hit = places.iter().position(|place| place.start <= range.start && range.start < place.end);
    let (field, span) = match hit {
        Some(i) => {
            let value = &fields[i].value;
            let shift = |at: usize| value.start + at.clamp(places[i].start, places[i].end) - places[i].start;
            // A short value is shown whole; ron often points at its first character only.
            let long = value.text.contains('\n');
            let inside = Span { source: value.source, range: shift(range.start)..shift(range.end) };
            (&fields[i], if long { inside } else { value.span() })
        }
        // Without a field that it lies in, an error concerns all of them; there is at least the one that is parsed.
        None => match fields.first() {
            Some(field) => (field, field.value.span()),
            None => return composed.diagnostic(error),
        },
    };
    let message = format!("`{}`: {}", field.name, lower_first(&error.code.to_string()));
    Diagnostic::error("value", span, message)
}
