//! Finding graph files: those of the person first, then those that are shipped.

use engine::{Library, Text};
use std::{
    collections::BTreeMap,
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
        Ok(Err(_)) => Err(format!("`{name}` is no graph file, and holds no recipe")),
        Err(error) => Err(format!("cannot read `{name}`: {error}")),
    }
}

/// Opens the files of subgraphs: relative to the file that asks, else shipped.
#[derive(Default)]
pub(crate) struct Shelf {
    /// The texts that come with a recipe; then no file is looked for.
    given: Option<BTreeMap<String, String>>,
    /// What was opened, by the name that it was asked for.
    opened: Mutex<BTreeMap<String, (PathBuf, String)>>,
}

impl Shelf {
    /// A shelf that holds these texts, by the names that they are asked for, and no files.
    pub(crate) fn with(given: BTreeMap<String, String>) -> Self {
        Self { given: Some(given), opened: Mutex::default() }
    }

    /// The texts that were opened so far, by the name that they were asked for.
    pub(crate) fn opened(&self) -> BTreeMap<String, String> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.iter().map(|(name, (_, text))| (name.clone(), text.clone())).collect()
    }

    fn find(&self, name: &str, asking: &Path) -> Result<(PathBuf, Text), String> {
        if let Some(given) = &self.given {
            let text = given.get(name).ok_or_else(|| format!("the recipe has no graph file `{name}`"))?;
            return Ok((PathBuf::new(), Text { name: name.to_owned(), text: text.clone() }));
        }
        let path = asking.parent().unwrap_or(Path::new("")).join(name);
        if path.is_file() {
            let text = read(&path, &path.display().to_string())?;
            return Ok((path, text));
        }
        match graphs::find(name) {
            Some(shipped) => {
                Ok((PathBuf::new(), Text { name: shipped.path.to_owned(), text: shipped.text.to_owned() }))
            }
            None => Err(format!("there is no graph file `{}`, and no shipped part `{name}`", path.display())),
        }
    }
}

impl Library for Shelf {
    fn open(&self, name: &str, from: &str) -> Result<Text, String> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let asking = opened.get(from).map_or_else(|| PathBuf::from(from), |(path, _)| path.clone());
        let (path, text) = self.find(name, &asking)?;
        opened.insert(name.to_owned(), (path, text.text.clone()));
        Ok(text)
    }
}
