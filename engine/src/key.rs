//! Keys of results: everything that a result depends on, and nothing else.

use crate::{
    DynNode, NodeKind,
    digest::{Digest, Digester},
    value::{Rect, Size},
};
use std::collections::BTreeMap;

/// Part of every key: raise it when the engine itself computes something differently.
const CACHE_VERSION: u64 = 3;

/// What a key is made of, by name, as a person can read it. What is long is told by its digest.
pub type Parts = BTreeMap<String, String>;

/// The key of a result.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub digest: Digest,
    pub parts: Parts,
}

/// The stem of a node's keys: its kind and version, and what lies outside of the graph.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub digest: Digest,
    parts: Parts,
}

impl Identity {
    pub(crate) fn new(kind: &dyn NodeKind, outside: &[Digest]) -> Self {
        let mut d = Digester::new("upweave node");
        let mut parts = Parts::new();
        d.u64(CACHE_VERSION);
        d.text(kind.name());
        d.u64(u64::from(kind.version()));
        parts.insert("kind".into(), format!("{} {}", kind.name(), kind.version()));
        d.u64(outside.len() as u64);
        for (index, digest) in outside.iter().enumerate() {
            d.digest(*digest);
            parts.insert(format!("file or model {}", index + 1), format!("{digest:?}"));
        }
        Self { digest: d.finish(), parts }
    }

    /// The key of a node's result: its identity, its parameters and the contents of its inputs. What only names something
    /// that the identity has digested already, such as a path, is left out, and so are the names of other nodes.
    pub(crate) fn key(&self, kind: &dyn NodeKind, node: &dyn DynNode, inputs: &[(&str, Digest)]) -> Key {
        let mut d = Digester::new("action");
        let mut parts = self.parts.clone();
        d.digest(self.digest);
        let values = node.fields();
        for parameter in kind.parameters() {
            let value = &values[&parameter.name];
            let wired = parameter.wire.is_some() && (value.is_string() || value.is_null());
            if !wired && !parameter.names_outside {
                d.text(&parameter.name);
                d.json(value);
                parts.insert(parameter.name, readable(value));
            }
        }
        let mut inputs = inputs.to_vec();
        inputs.sort_unstable();
        d.u64(inputs.len() as u64);
        for (field, digest) in inputs {
            d.text(field);
            d.digest(digest);
            parts.insert(field.to_owned(), format!("{digest:?}"));
        }
        Key { digest: d.finish(), parts }
    }
}

/// Longest text that is told as it stands.
const LONGEST: usize = 60;

fn readable(value: &serde_json::Value) -> String {
    let text = value.to_string();
    if text.len() <= LONGEST {
        return text;
    }
    let mut d = Digester::new("text");
    d.text(&text);
    format!("{:?}", d.finish())
}

impl Key {
    /// The key of the result on one tile: noise depends on the place of a tile in its picture.
    pub(crate) fn on_tile(mut self, rect: Rect, frame: Size) -> Self {
        let mut d = Digester::new("tile");
        d.digest(self.digest);
        d.rect(rect);
        d.size(frame);
        let place = format!("{} at {}, {} of {frame}", rect.size(), rect.x, rect.y);
        self.parts.insert("place".into(), place);
        Self { digest: d.finish(), parts: self.parts }
    }
}
