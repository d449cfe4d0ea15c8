//! `upweave models rm`: removes what was pulled or imported. Like `upweave cache clear` it does not ask.

use super::is_embedded;
use crate::{
    installed::{Lock, Record, staging},
    models_folder,
    terminal::{Terminal, print},
};
use serde_json::json;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub(super) fn run(terminal: &Terminal, names: &[String]) -> u8 {
    let folder = match models_folder::folder() {
        Ok(folder) => folder,
        Err(message) => {
            terminal.error(&message, None);
            return 2;
        }
    };
    names.iter().map(|name| remove(terminal, &folder, name)).find(|code| *code != 0).unwrap_or(0)
}

fn remove(terminal: &Terminal, folder: &Path, name: &str) -> u8 {
    let own = models_folder::imported(folder).into_iter().find(|(own, _)| own == name).map(|(_, path)| path);
    let part = Some(staging(folder, name)).filter(|part| part.is_dir() && crate::catalog::is_plain_name(name));
    if own.is_none() && part.is_none() {
        let elsewhere = nodes::files::locate(name, None).ok().flatten();
        let (message, hint, code) = match elsewhere {
            _ if is_embedded(name) => (format!("the model `{name}` is inside the program and stays"), None, 2),
            Some(path) => {
                let hint = "remove it with the program that it belongs to, or by hand";
                (
                    format!("the model `{name}` is not in `{}`: it lies in `{}`", folder.display(), path.display()),
                    Some(hint),
                    2,
                )
            }
            None => (
                format!("there is no model `{name}` here"),
                Some("`upweave models list` shows those that there are"),
                5,
            ),
        };
        terminal.error(&message, hint);
        return code;
    }
    let removed = || -> io::Result<Option<u64>> {
        let Some(_lock) = Lock::take(folder, name)? else { return Ok(None) };
        let mut bytes = 0;
        for path in [own, part].into_iter().flatten() {
            bytes += size(&path)?;
            if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
        }
        Record::remove(folder, name);
        Ok(Some(bytes))
    };
    match removed() {
        Ok(Some(bytes)) => {
            terminal.event(json!({ "event": "removed", "name": name, "bytes": bytes }));
            if !terminal.json() {
                print(&format!("{name} is removed, {}", engine::bytes(bytes)));
            }
            0
        }
        Ok(None) => {
            terminal.error(&format!("another process is at the model `{name}`"), Some("wait until it has finished"));
            5
        }
        Err(error) => {
            terminal.error(&format!("cannot remove the model `{name}`: {error}"), None);
            6
        }
    }
}

/// Bytes of a file, or of all files in a folder.
pub(super) fn size(path: &Path) -> io::Result<u64> {
    let about = fs::symlink_metadata(path)?;
    if !about.is_dir() {
        return Ok(about.len());
    }
    let inside: Vec<PathBuf> = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    inside.iter().map(|path| size(path)).sum()
}
