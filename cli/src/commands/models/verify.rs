//! `upweave models verify`: reads models, and compares them with what they were when they came.

use super::is_embedded;
use crate::{
    catalog,
    installed::{Origin, Record},
    models_folder,
    stop::Stop,
    terminal::{Terminal, print},
};
use serde_json::json;
use std::path::Path;

pub(super) fn run(terminal: &Terminal, stop: &Stop, names: &[String]) -> u8 {
    let folder = match models_folder::folder() {
        Ok(folder) => folder,
        Err(message) => {
            terminal.error(&message, None);
            return 2;
        }
    };
    // Those inside the program are unpacked, which fails when they are damaged.
    if let Err(error) = models::cards() {
        terminal.error(&error.to_string(), Some("the program is damaged: install it again"));
        return 5;
    }
    let all = models_folder::imported(&folder);
    let mut code = 0;
    for name in names.iter().filter(|name| !is_embedded(name) && all.iter().all(|(own, _)| own != *name)) {
        let how = catalog::named(name).map(|entry| entry.how());
        terminal.error(&format!("there is no model `{name}` in `{}`", folder.display()), how.as_deref());
        code = 5;
    }
    let (mut good, mut bad) = (0, 0);
    for (name, path) in all.iter().filter(|(own, _)| names.is_empty() || names.contains(own)) {
        match verified(terminal, stop, &folder, name, path) {
            Some(true) => good += 1,
            Some(false) => bad += 1,
            None => {
                terminal.clear();
                if let Some(code) = stop.exit_code() {
                    return code;
                }
            }
        }
    }
    if !terminal.json() {
        print(&format!("{good} of {} models are what they were when they came", good + bad));
    }
    if bad > 0 { 5 } else { code }
}

/// Whether a model is as it was; nothing when nobody knows.
fn verified(terminal: &Terminal, stop: &Stop, folder: &Path, name: &str, path: &Path) -> Option<bool> {
    let Some(record) = Record::of(folder, name) else {
        terminal.event(json!({ "event": "verified", "name": name, "good": null }));
        terminal
            .note(&format!("`{name}` came when nothing was written down yet, so there is nothing to compare it with"));
        return None;
    };
    let root = if path.is_dir() { path } else { folder };
    let found = record.check(root, &|done, of| {
        terminal.progress(None, name, done as f64 / of.max(1) as f64);
        if stop.exit_code().is_some() { Err(crate::installed::Stopped) } else { Ok(()) }
    });
    terminal.clear();
    let wrong = found.ok()?;
    let troubles: Vec<String> = wrong.iter().map(|(path, trouble)| format!("`{}` {trouble}", path.display())).collect();
    let mend = match record.origin {
        Origin::Pulled => format!("upweave models pull {name}"),
        Origin::Imported => format!("upweave models rm {name} && upweave models import {} --name {name}", record.from),
    };
    terminal.event(json!({
        "event": "verified", "name": name, "good": wrong.is_empty(), "wrong": troubles,
        "mend": (!wrong.is_empty()).then_some(&mend),
    }));
    if wrong.is_empty() {
        if !terminal.json() {
            print(&format!("{name}: good"));
        }
        return Some(true);
    }
    terminal.error(&format!("the model `{name}` is damaged: {}", troubles.join(", ")), Some(&format!("run `{mend}`")));
    Some(false)
}
