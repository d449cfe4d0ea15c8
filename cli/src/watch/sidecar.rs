//! Settings that lie beside the pictures: `photo.ron` for `photo.jpg`, `.upweave.ron` for a folder and those inside.
//!
//! ```ron
//! (graph: "quick", preset: "anime", set: { "scale": 4, "detail": 0.7 })
//! ```

use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// Name of the file that holds the settings of a folder.
pub(super) const FOLDER: &str = ".upweave.ron";
/// No settings are larger.
const MOST_BYTES: u64 = 64 << 10;

/// The files whose settings apply to a picture, those that count for more behind the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Settings(Vec<PathBuf>);

impl Settings {
    /// With one more file, which counts for more.
    pub(super) fn with(&self, file: PathBuf) -> Self {
        Self(self.0.iter().cloned().chain([file]).collect())
    }

    /// A number that changes when one of the files does.
    pub(super) fn stamp(&self) -> u64 {
        let mut hasher = blake3::Hasher::new();
        for file in &self.0 {
            let about = fs::metadata(file).ok();
            let time = about.as_ref().and_then(|about| about.modified().ok()?.duration_since(UNIX_EPOCH).ok());
            hasher.update(file.to_string_lossy().as_bytes());
            hasher.update(&about.map_or(0, |about| about.len()).to_le_bytes());
            hasher.update(&time.map_or(0, |time| time.as_nanos()).to_le_bytes());
        }
        let bytes = hasher.finalize();
        let stamp = || bytes.as_bytes().iter().take(8).fold(0, |stamp, byte| stamp << 8 | u64::from(*byte));
        if self.0.is_empty() { 0 } else { stamp() }
    }

    /// What the files say together.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub(super) fn read(&self) -> Result<Sidecar, String> {
        let mut all = Sidecar::default();
        for file in &self.0 {
            let said = Sidecar::read(file)?;
            // Another graph has other parameters.
            if said.graph.is_some() {
                all = Sidecar::default();
            }
            all.graph = said.graph.or(all.graph);
            all.preset = said.preset.or(all.preset);
            all.set.extend(said.set);
        }
        Ok(all)
    }
}

/// What such a file says.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sidecar {
    /// A shipped graph by name, or a graph file, from the folder of this file.
    pub graph: Option<String>,
    /// A type, or another preset of the graph.
    #[serde(alias = "type")]
    pub preset: Option<String>,
    /// Parameters by name.
    pub set: BTreeMap<String, Box<ron::value::RawValue>>,
}

impl Sidecar {
    fn read(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
        read.map_err(|error| format!("the settings `{name}` cannot be read: {error}"))?;
        let options = ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
        let mut said: Self = options
            .from_str(&text)
            .map_err(|error| format!("{name}:{}:{}: {}", error.span.start.line, error.span.start.col, error.code))?;
        if let Some(graph) = &mut said.graph {
            let beside = path.with_file_name(&*graph);
            if graphs::find(graph).is_none() || beside.is_file() {
                *graph = beside.display().to_string();
            }
        }
        Ok(said)
    }
}

/// What the settings of one picture may be called: `photo.ron`, `photo.jpg.ron`.
pub(super) fn names(picture: &Path) -> [PathBuf; 2] {
    let mut long = picture.as_os_str().to_owned();
    long.push(".ron");
    [PathBuf::from(long), picture.with_extension("ron")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearer_settings_count_for_more() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at(FOLDER), r#"(preset: "anime", set: { "scale": 2, "detail": 0.5 })"#).unwrap();
        fs::write(at("a.ron"), r#"(set: { "scale": 4, "look": Low })"#).unwrap();
        fs::write(at("b.ron"), r#"(graph: "quick")"#).unwrap();
        fs::write(at("c.ron"), "(graf: \"quick\")").unwrap();
        let both = |name| Settings::default().with(at(FOLDER)).with(at(name));
        let said = both("a.ron").read().unwrap();
        let set: Vec<_> = said.set.iter().map(|(name, value)| (name.as_str(), value.get_ron().trim())).collect();
        assert_eq!(set, [("detail", "0.5"), ("look", "Low"), ("scale", "4")]);
        assert_eq!(said.preset.as_deref(), Some("anime"));
        let said = both("b.ron").read().unwrap();
        assert_eq!((said.graph.as_deref(), said.preset, said.set.len()), (Some("quick"), None, 0));
        let error = both("c.ron").read().unwrap_err();
        assert!(error.contains("c.ron:1:") && error.contains("graf"), "{error}");
        assert_eq!(Settings::default().stamp(), 0);
        let before = both("a.ron").stamp();
        fs::write(at("a.ron"), "(set: {})").unwrap();
        assert_ne!(before, both("a.ron").stamp());
    }
}
