//! `upweave models scan`: what the model files of a folder are.

use super::import::{Whole, identified};
use crate::terminal::{Terminal, print};
use nodes::files::{MODEL_ENDINGS, ModelFile};
use serde_json::json;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Deepest folder that is looked into.
const MOST_DEPTH: usize = 16;

pub(super) fn run(terminal: &Terminal, folder: &Path) -> u8 {
    let mut files = Vec::new();
    if let Err(error) = collect(folder, 0, &mut files) {
        terminal.error(&format!("cannot read the folder `{}`: {error}", folder.display()), None);
        return 2;
    }
    files.sort();
    let mut known = 0;
    for path in &files {
        if let Ok(Some(whole)) = Whole::of(path) {
            known += 1;
            let text = whole.line();
            terminal.event(json!({ "event": "found", "file": path, "kind": whole.kind, "message": text }));
            if !terminal.json() {
                print(&format!("{}: {text}", path.display()));
            }
            continue;
        }
        let found = ModelFile::read(path)
            .map_err(|failure| failure.message)
            .and_then(|file| identified(&file).map_err(in_a_line));
        let (network, scale, text) = match found {
            Ok(found) => (Some(found.network), found.scale, found.about),
            Err(message) => (None, None, format!("not used: {}", without_name(&message))),
        };
        known += usize::from(network.is_some());
        terminal.event(json!({ "event": "found", "file": path, "network": network, "scale": scale, "message": text }));
        if !terminal.json() {
            print(&format!("{}: {text}", path.display()));
        }
    }
    if !terminal.json() {
        print(&format!("{known} of {} files hold a model that can be used", files.len()));
    }
    0
}

/// What is wrong with a file, in a line: what would be known instead tells `import`.
fn in_a_line(error: models::Error) -> String {
    match error {
        models::Error::Unused { message, .. } => message,
        other => other.to_string(),
    }
}

/// A message without the file that it begins with.
fn without_name(message: &str) -> &str {
    message.strip_prefix("model file `").and_then(|rest| rest.split_once("`: ")).map_or(message, |(_, rest)| rest)
}

/// All model files of a folder and those inside. Links are not followed; of a pair the `.param` stands for both.
fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        if kind.is_dir() && depth < MOST_DEPTH {
            // A folder that may not be read hides what is in it, and nothing else.
            _ = collect(&path, depth + 1, files);
        } else if kind.is_file()
            && MODEL_ENDINGS.contains(&&*ending)
            && (ending != "bin" || !path.with_extension("param").is_file())
        {
            files.push(path);
        }
    }
    Ok(())
}
