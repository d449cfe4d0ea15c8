//! The cache of Hugging Face: `models--OWNER--NAME/snapshots/REVISION/FILE`, where `refs/main` names a revision.

use super::{
    Purpose,
    walk::{self, Found},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How the folder of a repository begins.
const PREFIX: &str = "models--";

/// The folder of the repositories, when a place is one of Hugging Face.
pub(super) fn hub(place: &Path) -> Option<PathBuf> {
    let inner = place.join("hub");
    [place.to_owned(), inner].into_iter().find(|folder| repositories(folder).next().is_some())
}

fn repositories(hub: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    fs::read_dir(hub).into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name().to_str()?.strip_prefix(PREFIX)?.to_owned();
        Some((name, entry.path()))
    })
}

/// The models of the newest revision of each repository: the one that `main` was when it was fetched last, else that of the latest change.
pub(super) fn read(hub: &Path, found: &mut Found) {
    let mut all: Vec<(String, PathBuf)> = repositories(hub).collect();
    all.sort();
    for (name, folder) in all {
        let main = fs::read_to_string(folder.join("refs/main")).ok();
        let main = main.map(|revision| folder.join("snapshots").join(revision.trim())).filter(|path| path.is_dir());
        let newest = || {
            let snapshots = fs::read_dir(folder.join("snapshots")).into_iter().flatten().filter_map(Result::ok);
            snapshots.max_by_key(|entry| entry.metadata().and_then(|about| about.modified()).ok()).map(|e| e.path())
        };
        let Some(snapshot) = main.or_else(newest) else { continue };
        let words: Vec<String> = walk::words(hub).into_iter().chain(name.split("--").map(str::to_owned)).collect();
        walk::walk(&snapshot, &words, Purpose::Unknown, 0, found);
    }
}
