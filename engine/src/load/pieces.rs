//! Pieces of RON text that know where they stand, taken apart one level at a time.

use super::{DEEPEST, MOST_NODES, TOO_LARGE, dialect};
use crate::diagnostic::{Diagnostic, Span, offset_of};
use ron::{error::SpannedError, value::RawValue};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, SeqAccess, Visitor},
};
use std::{fmt, marker::PhantomData};

/// A piece of RON text and where it begins.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Index of the text that it stands in.
    pub source: usize,
    /// Byte where it begins.
    pub start: usize,
    /// The piece, without surrounding blanks and comments.
    pub text: String,
}

/// A named piece.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub name: String,
    pub span: Span,
    pub value: Piece,
}

impl Piece {
    /// A whole text.
    pub(crate) fn whole(source: usize, text: &str) -> Self {
        let start = blank_prefix(text);
        Self { source, start, text: text[start..].trim_end().to_owned() }
    }

    /// Where it stands.
    pub(crate) fn span(&self) -> Span {
        Span { source: self.source, range: self.start..self.start + self.text.len() }
    }

    /// A part of it, without surrounding blanks.
    pub(crate) fn part(&self, part: &str) -> Self {
        let blank = blank_prefix(part);
        let text = part[blank..].trim_end();
        Self { source: self.source, start: self.start + offset_in(&self.text, part) + blank, text: text.to_owned() }
    }

    /// Place of an error that ron found in it.
    pub(crate) fn span_of(&self, error: &SpannedError) -> Span {
        let at = |position: ron::error::Position| offset_of(&self.text, position.line, position.col);
        let (mut start, end) = (at(error.span.start), at(error.span.end));
        // ron starts a span at the blank before the value.
        start += blank_prefix(&self.text[start..]);
        start = start.min(self.text.len().saturating_sub(1));
        let end = if end > start { end } else { start + self.text[start..].chars().next().map_or(0, char::len_utf8) };
        Span { source: self.source, range: self.start + start..self.start + end.min(self.text.len()) }
    }

    /// The error that ron found, as a diagnostic.
    pub(crate) fn diagnostic(&self, error: &SpannedError) -> Diagnostic {
        let span = self.span_of(error);
        match &error.code {
            ron::Error::ExceededRecursionLimit => {
                let message = format!("values nest deeper than {DEEPEST}, the limit for graphs");
                Diagnostic::error(TOO_LARGE, span, message).hint("write it flatter")
            }
            ron::Error::Message(message) if *message == too_many() => {
                Diagnostic::error(TOO_LARGE, span, message.clone()).hint("divide it into several files")
            }
            code => Diagnostic::error("syntax", span, lower_first(&code.to_string())),
        }
    }
}

/// Parses a piece as a plain value.
pub(crate) fn parse<T: DeserializeOwned>(piece: &Piece) -> Result<T, Diagnostic> {
    dialect().from_str(&piece.text).map_err(|error| Diagnostic { code: "value", ..piece.diagnostic(&error) })
}

/// The fields of `(name: value, ..)`.
pub(crate) fn fields_of(piece: &Piece) -> Result<Vec<Field>, Diagnostic> {
    let Fields(fields) = dialect().from_str(&piece.text).map_err(|error| piece.diagnostic(&error))?;
    Ok(fields
        .into_iter()
        .map(|(name, value)| Field {
            name: name.to_owned(),
            span: piece.part(name).span(),
            value: piece.part(value.get_ron()),
        })
        .collect())
}

/// The entries of `{ "name": value, .. }`, also those whose names repeat.
pub(crate) fn map_of(piece: &Piece) -> Result<Vec<Field>, Diagnostic> {
    let Entries(entries) = dialect().from_str(&piece.text).map_err(|error| piece.diagnostic(&error))?;
    entries
        .into_iter()
        .map(|(key, value)| {
            let key = piece.part(key.get_ron());
            Ok(Field { name: parse(&key)?, span: key.span(), value: piece.part(value.get_ron()) })
        })
        .collect()
}

/// The elements of `[a, b, ..]`.
pub(crate) fn list_of(piece: &Piece) -> Result<Vec<Piece>, Diagnostic> {
    let Elements(elements) = dialect().from_str(&piece.text).map_err(|error| piece.diagnostic(&error))?;
    Ok(elements.into_iter().map(|element| piece.part(element.get_ron())).collect())
}

/// Length of the blanks and comments that a text begins with.
pub(crate) fn blank_prefix(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = after_block_comment(comment);
        } else {
            return text.len() - rest.len();
        }
    }
}

/// What follows a block comment whose opening is already gone. Such comments nest.
fn after_block_comment(mut text: &str) -> &str {
    let mut depth = 1;
    while depth > 0 {
        let Some(at) = text.find(['*', '/']) else { return "" };
        text = &text[at..];
        let (step, change) = match text.as_bytes() {
            [b'*', b'/', ..] => (2, -1),
            [b'/', b'*', ..] => (2, 1),
            _ => (1, 0),
        };
        depth += change;
        text = &text[step..];
    }
    text
}

fn offset_in(whole: &str, part: &str) -> usize {
    // Every part was borrowed from the whole by ron; the distance of their addresses is the place of the part.
    part.as_ptr() as usize - whole.as_ptr() as usize
}

pub(crate) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

struct Fields<'a>(Vec<(&'a str, &'a RawValue)>);
struct Entries<'a>(Vec<(&'a RawValue, &'a RawValue)>);
struct Elements<'a>(Vec<&'a RawValue>);

/// What is said when there are more entries than a graph may have nodes. Reading ends there, before memory is spent.
pub(super) fn too_many() -> String {
    format!("more than {MOST_NODES} entries, the limit for graphs")
}

/// Collects keys and values as they come, so that a name that stands twice is seen twice.
struct Pairs<K>(PhantomData<K>);

impl<'de, K: Deserialize<'de>> Visitor<'de> for Pairs<K> {
    type Value = Vec<(K, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("named values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            if pairs.len() == MOST_NODES {
                return Err(serde::de::Error::custom(too_many()));
            }
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            if items.len() == MOST_NODES {
                return Err(serde::de::Error::custom(too_many()));
            }
            items.push(item);
        }
        Ok(items)
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct("", &[], Pairs(PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs(PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Items).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_know_their_places() {
        let text = "( /* ü */ a: 1,\n  b: Foo(x: \"}\"), // c\n c: [1, 2] )";
        let fields = fields_of(&Piece::whole(0, text)).unwrap();
        let seen: Vec<_> = fields.iter().map(|f| (f.name.as_str(), &text[f.value.span().range])).collect();
        assert_eq!(seen, [("a", "1"), ("b", "Foo(x: \"}\")"), ("c", "[1, 2]")]);
        assert_eq!(&text[fields[1].span.range.clone()], "b");
        assert_eq!(list_of(&fields[2].value).unwrap()[1].start, text.find("2]").unwrap());
        assert!(fields_of(&Piece::whole(0, "()")).unwrap().is_empty());
    }

    #[test]
    fn repeated_keys_are_kept() {
        let entries = map_of(&Piece::whole(0, r#"{ "a": 1, "a": 2 }"#)).unwrap();
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn comments_are_blank() {
        assert_eq!(blank_prefix(" // x\n /* a /* b */ c */ y"), 25);
        assert_eq!(blank_prefix("/* open"), 7);
    }
}
