//! Finding graph files: those of the person first, then those that are shipped.

use engine::{Library, Text};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Most bytes of a graph file that are read. The engine refuses less than that, with a better message.
const MOST_BYTES: u64 = 64 << 20;

/// The graph that a person names: a file, or a shipped graph.
pub(crate) fn graph(name: &str) -> Result<Text, String> {
    let path = Path::new(name);
    if path.is_file() {
        return read(path, name);
    }
    match graphs::find(name) {
        Some(shipped) => Ok(Text { name: shipped.path.to_owned(), text: shipped.text.to_owned() }),
        None if path.is_dir() => Err(format!("`{name}` is a folder, not a graph file")),
        None => {
            let names: Vec<&str> = graphs::GRAPHS.iter().filter(|g| !g.is_part()).map(|graph| graph.name).collect();
            Err(format!("there is no graph file `{name}`, and no shipped graph of that name: {}", names.join(", ")))
        }
    }
}

fn read(path: &Path, name: &str) -> Result<Text, String> {
    let bytes = fs::metadata(path).map_err(|error| format!("cannot read `{name}`: {error}"))?.len();
    if bytes > MOST_BYTES {
        return Err(format!("`{name}` has {bytes} bytes, which is no graph file"));
    }
    match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Ok(Text { name: name.to_owned(), text }),
        Ok(Err(_)) => Err(format!("`{name}` is not a graph file: it is not text")),
        Err(error) => Err(format!("cannot read `{name}`: {error}")),
    }
}

/// Opens the files of subgraphs: relative to the file that asks, else shipped.
#[derive(Default)]
pub(crate) struct Shelf {
    /// Where the files that were opened lie, by the name that they were asked for.
    opened: Mutex<HashMap<String, PathBuf>>,
}

impl Library for Shelf {
    fn open(&self, name: &str, from: &str) -> Result<Text, String> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let asking = opened.get(from).cloned().unwrap_or_else(|| PathBuf::from(from));
        let path = asking.parent().unwrap_or(Path::new("")).join(name);
        if path.is_file() {
            let text = read(&path, &path.display().to_string())?;
            opened.insert(name.to_owned(), path);
            return Ok(text);
        }
        match graphs::find(name) {
            Some(shipped) => Ok(Text { name: shipped.path.to_owned(), text: shipped.text.to_owned() }),
            None => Err(format!("there is no graph file `{}`, and no shipped part `{name}`", path.display())),
        }
    }
}
