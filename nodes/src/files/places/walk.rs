//! Walks through folders of models.

use super::{super::weights::MODEL_ENDINGS, Placed, Purpose};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

/// Deepest folder that is looked into.
const MOST_DEPTH: usize = 8;

/// Most models of all places together.
const MOST_MODELS: usize = 100_000;

/// What was found, and what was not understood.
#[derive(Default)]
pub(super) struct Found {
    pub(super) models: Vec<Placed>,
    pub(super) notes: Vec<String>,
    /// Folders that were walked through; links may lead back.
    seen: HashSet<PathBuf>,
}

impl Found {
    pub(super) fn finished(mut self) -> (Vec<Placed>, Vec<String>) {
        self.models.sort_by(|a, b| a.path.cmp(&b.path));
        self.models.dedup_by(|a, b| a.path == b.path);
        (self.models, self.notes)
    }
}

/// All models of a folder and those inside.
pub(super) fn collect(folder: &Path, purpose: Purpose, found: &mut Found) {
    let words = words(folder);
    walk(folder, &words, purpose, 0, found);
}

/// The parts of a path, as words of names.
pub(super) fn words(path: &Path) -> Vec<String> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let parts = path.components().filter_map(|part| match part {
        std::path::Component::Normal(word) => Some(word.to_string_lossy().into_owned()),
        _ => None,
    });
    parts.collect()
}

/// As [`collect`], where names begin with other words than those of the path.
pub(super) fn walk(folder: &Path, words: &[String], purpose: Purpose, depth: usize, found: &mut Found) {
    let new = folder.canonicalize().is_ok_and(|real| found.seen.insert(real));
    if !new || depth > MOST_DEPTH {
        return;
    }
    // A folder that may not be read hides what is in it, and nothing else.
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    let pipeline = entries.iter().any(|path| path.file_name().is_some_and(|name| name == "model_index.json"));
    if pipeline {
        let placed =
            Placed { path: folder.to_owned(), purpose: Purpose::Checkpoint, bytes: None, words: words.to_vec() };
        found.models.push(placed);
    }
    for path in entries {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if name.starts_with('.') || found.models.len() >= MOST_MODELS {
            continue;
        }
        // Links are followed: many keep their models elsewhere.
        let Ok(about) = fs::metadata(&path) else { continue };
        let longer = |word: &str| words.iter().map(String::as_str).chain([word]).map(str::to_owned).collect::<Vec<_>>();
        if about.is_dir() {
            // The parts of a pipeline are no models of their own.
            if !pipeline {
                let purpose = Purpose::of_folder(name).unwrap_or(purpose);
                walk(&path, &longer(name), purpose, depth + 1, found);
            }
        } else if is_model(&path) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let placed = Placed { words: longer(&stem), purpose, bytes: Some(about.len()), path };
            found.models.push(placed);
        }
    }
}

/// Whether the ending is that of a model. Of a pair of ncnn's the `.param` stands for both.
fn is_model(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    MODEL_ENDINGS.contains(&&*ending) && (ending != "bin" || !path.with_extension("param").is_file())
}
