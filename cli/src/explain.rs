//! `--explain`: why each node ran or did not.
//!
//! What the keys were made of in the last run of the same graph on the same picture is kept beside the results.

use engine::{
    How, Outcome, Parts, Store,
    digest::{Digest, Digester},
    value::Value,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Of how many tiles the reasons are told.
const TILES: usize = 12;

/// What the keys of one run were made of.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Keys {
    nodes: BTreeMap<String, Parts>,
    /// By node and place.
    tiles: BTreeMap<String, Parts>,
}

impl Keys {
    pub(crate) fn new(outcome: &Outcome) -> Self {
        let mut keys = Self::default();
        let known = |(id, parts): (&String, &Option<Parts>)| Some((id.clone(), parts.clone()?));
        keys.nodes.extend(outcome.spared.iter().map(|(id, parts)| (id, parts)).filter_map(known));
        for ran in &outcome.report {
            keys.nodes.extend(known((&ran.id, &ran.parts)));
            keys.tiles.extend(ran.tiles.iter().map(|(core, parts, _)| (tile(&ran.id, core), parts.clone())));
        }
        keys
    }

    /// Those of the last run, when they are still there.
    pub(crate) fn last(store: &dyn Store, graph: &str, picture: &str) -> Option<Self> {
        let (_, value) = store.get(action(graph, picture))?.pop()?;
        let Value::Text(text) = value else { return None };
        serde_json::from_str(&text).ok()
    }

    /// Keeps them for the next run.
    pub(crate) fn keep(&self, store: &dyn Store, graph: &str, picture: &str) {
        // Maps of texts always have a text.
        let Ok(text) = serde_json::to_string(self) else { return };
        let value = Value::Text(text.into());
        store.put(action(graph, picture), &[(value.digest(), value)], Duration::MAX);
    }
}

fn action(graph: &str, picture: &str) -> Digest {
    let mut d = Digester::new("keys of the last run");
    d.text(graph);
    d.text(picture);
    d.finish()
}

fn tile(id: &str, core: &engine::value::Rect) -> String {
    format!("{id} at {}, {}", core.x, core.y)
}

/// A line for each node, and for tiles that ran.
pub(crate) fn lines(outcome: &Outcome, last: Option<&Keys>) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, _) in &outcome.spared {
        lines.push(format!("{id}: not needed, for what follows is kept"));
    }
    for ran in &outcome.report {
        let before = last.and_then(|last| last.nodes.get(&ran.id));
        match ran.how {
            How::Kept => lines.push(format!("{}: kept", ran.id)),
            How::Computed => lines.push(format!("{}: ran; {}", ran.id, reason(before, ran.parts.as_ref()))),
            How::Mapped { computed, kept } => {
                let reason = reason(before, ran.parts.as_ref());
                lines.push(format!("{}: {computed} tiles ran, {kept} were kept; {reason}", ran.id));
                let ran_tiles = ran.tiles.iter().filter(|(_, _, kept)| !kept);
                for (core, parts, _) in ran_tiles.take(TILES) {
                    let name = tile(&ran.id, core);
                    let before = last.and_then(|last| last.tiles.get(&name));
                    lines.push(format!("  {name}: {}", self::reason(before, Some(parts))));
                }
                if computed > TILES {
                    lines.push(format!("  and {} more", computed - TILES));
                }
            }
        }
    }
    lines
}

/// Why something had to run.
fn reason(before: Option<&Parts>, now: Option<&Parts>) -> String {
    let (Some(before), Some(now)) = (before, now) else { return "it had not run before".to_owned() };
    let mut changes = Vec::new();
    for name in before.keys().chain(now.keys().filter(|name| !before.contains_key(*name))) {
        let (was, is) = (before.get(name), now.get(name));
        if was != is {
            let text = |value: Option<&String>| value.map_or("nothing", String::as_str).to_owned();
            changes.push(format!("`{name}` was {} and is {}", text(was), text(is)));
        }
    }
    if changes.is_empty() { "nothing changed, but its result was not kept".to_owned() } else { changes.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(all: &[(&str, &str)]) -> Parts {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn reasons_name_what_changed() {
        let before = parts(&[("amount", "1"), ("image", "aa")]);
        assert_eq!(reason(None, Some(&before)), "it had not run before");
        assert_eq!(reason(Some(&before), Some(&before)), "nothing changed, but its result was not kept");
        let now = parts(&[("amount", "2"), ("image", "aa"), ("mask", "bb")]);
        assert_eq!(reason(Some(&before), Some(&now)), "`amount` was 1 and is 2, `mask` was nothing and is bb");
    }
}
