//! `upweave cache`: what is kept of earlier runs.

use crate::{
    args::{CachePlace, CacheVerb},
    cache,
    terminal::{Terminal, print},
};
use engine::{Cache, CacheSize, filesystem::OsFilesystem};
use serde_json::json;
use std::sync::Arc;

pub(crate) fn run(terminal: &Terminal, verb: &CacheVerb) -> u8 {
    let (CacheVerb::Info(place) | CacheVerb::Verify(place) | CacheVerb::Clear(place) | CacheVerb::Prune { place, .. }) =
        verb;
    let cache = match open(place) {
        Ok(cache) => cache,
        Err(message) => {
            terminal.error(&message, None);
            return 2;
        }
    };
    match verb {
        CacheVerb::Info(_) => info(terminal, &cache),
        CacheVerb::Verify(_) => verify(terminal, &cache),
        CacheVerb::Prune { size, .. } => prune(terminal, &cache, size.unwrap_or(cache.capacity() / 2)),
        CacheVerb::Clear(_) => prune(terminal, &cache, 0),
    }
}

fn open(place: &CachePlace) -> Result<Cache, String> {
    let root = cache::root(place.cache.as_deref())?;
    Ok(Cache::new(&root, CacheSize::Usual, Arc::new(OsFilesystem)))
}

fn info(terminal: &Terminal, cache: &Cache) -> u8 {
    let (actions, contents, bytes) = cache.held();
    if terminal.json() {
        terminal.event(json!({
            "event": "cache", "folder": cache.root(), "results": actions, "contents": contents, "bytes": bytes,
            "capacity": cache.capacity(),
        }));
        return 0;
    }
    print(&format!("folder    {}", cache.root().display()));
    print(&format!("results   {actions} of nodes and tiles, with {contents} contents"));
    print(&format!("size      {} of at most {}", engine::bytes(bytes), engine::bytes(cache.capacity())));
    0
}

fn verify(terminal: &Terminal, cache: &Cache) -> u8 {
    let checked = cache.verify();
    terminal.event(json!({ "event": "verified", "good": checked.good, "broken": checked.broken }));
    checked.broken.iter().for_each(|path| terminal.say(&format!("broken, removed: {}", path.display())));
    if !terminal.json() {
        print(&format!("{} files are good, {} were broken and are removed", checked.good, checked.broken.len()));
    }
    0
}

fn prune(terminal: &Terminal, cache: &Cache, size: u64) -> u8 {
    match cache.prune(size) {
        Ok(pruned) => {
            terminal.event(json!({ "event": "pruned", "files": pruned.files, "bytes": pruned.bytes }));
            if !terminal.json() {
                print(&format!("{} files with {} are removed", pruned.files, engine::bytes(pruned.bytes)));
            }
            0
        }
        Err(error) => {
            terminal.error(&format!("cannot remove from `{}`: {error}", cache.root().display()), None);
            6
        }
    }
}
