//! Finding graph files: those of the person first, then those that are shipped.

use engine::{Library, Text};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::Path,
    sync::{Mutex, PoisonError},
};

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
    // One byte too many is enough for the engine to refuse it.
    let most = engine::MOST_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    if read.as_ref().is_ok_and(|length| *length as u64 == most) {
        return Ok(Text { name: name.to_owned(), text: String::from_utf8_lossy(&bytes).into_owned() });
    }
    match read.map(|_| String::from_utf8(bytes)) {
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
    /// What was opened.
    opened: Mutex<BTreeMap<String, String>>,
}

impl Shelf {
    /// A shelf that holds these texts, and no files.
    pub(crate) fn with(given: BTreeMap<String, String>) -> Self {
        Self { given: Some(given), opened: Mutex::default() }
    }

    /// The texts that were opened so far, by name.
    pub(crate) fn opened(&self) -> BTreeMap<String, String> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A text is named by its path from where the program runs, or among the shipped ones: whoever asks, one name is one
    /// text.
    fn find(&self, name: &str, from: &str) -> Result<Text, String> {
        let beside = Path::new(from).parent().unwrap_or(Path::new("")).join(name);
        let path = beside.display().to_string();
        let shipped = graphs::find(name);
        if let Some(given) = &self.given {
            let names = [Some(path.as_str()), shipped.map(|graph| graph.path)];
            let (name, text) = names
                .into_iter()
                .flatten()
                .find_map(|name| given.get_key_value(name))
                .ok_or_else(|| format!("the recipe has no graph file `{name}`"))?;
            return Ok(Text { name: name.clone(), text: text.clone() });
        }
        if beside.is_file() {
            return read(&beside, &path);
        }
        let shipped =
            shipped.ok_or_else(|| format!("there is no graph file `{path}`, and no shipped part `{name}`"))?;
        Ok(Text { name: shipped.path.to_owned(), text: shipped.text.to_owned() })
    }
}

impl Library for Shelf {
    fn open(&self, name: &str, from: &str) -> Result<Text, String> {
        let text = self.find(name, from)?;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.insert(text.name.clone(), text.text.clone());
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_one_name_in_two_folders_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::create_dir(path("sub")).unwrap();
        fs::write(path("part.ron"), "outer").unwrap();
        fs::write(path("sub/part.ron"), "inner").unwrap();
        let shelf = Shelf::default();
        assert_eq!(shelf.open("part.ron", &path("main.ron")).unwrap().text, "outer");
        assert_eq!(shelf.open("part.ron", &path("sub/main.ron")).unwrap().text, "inner");
        let again = Shelf::with(shelf.opened());
        assert_eq!(again.open("part.ron", &path("main.ron")).unwrap().text, "outer");
        assert_eq!(again.open("part.ron", &path("sub/main.ron")).unwrap().text, "inner");
        assert!(again.open("none.ron", "main.ron").is_err());
    }

    #[test]
    fn a_recipe_finds_shipped_parts_by_every_name() {
        let shelf = Shelf::default();
        let text = shelf.open("parts/weave-pass", "/none/main.ron").unwrap();
        assert_eq!(Shelf::with(shelf.opened()).open("parts/weave-pass", "/none/main.ron").unwrap(), text);
    }
}
