//! `upweave models path`: where a model lies.

use super::is_embedded;
use crate::{
    catalog, models_folder,
    terminal::{Terminal, print},
};
use serde_json::json;

pub(super) fn run(terminal: &Terminal, name: Option<&str>) -> u8 {
    let found = match name {
        None => match models_folder::folder() {
            Ok(folder) => folder,
            Err(message) => {
                terminal.error(&message, None);
                return 2;
            }
        },
        Some(name) => match nodes::files::locate(name, None) {
            Ok(Some(path)) => path,
            Ok(None) if is_embedded(name) => {
                terminal.error(&format!("the model `{name}` is inside the program, not in a file"), None);
                return 2;
            }
            Ok(None) => {
                let how = catalog::named(name).map(|entry| entry.how());
                let how = how.unwrap_or_else(|| "`upweave models list` shows those that there are".to_owned());
                terminal.error(&format!("there is no model `{name}` here"), Some(&how));
                return 5;
            }
            Err(failure) => {
                terminal.error(&failure.message, failure.hint.as_deref());
                return 5;
            }
        },
    };
    terminal.event(json!({ "event": "path", "name": name, "path": found }));
    if !terminal.json() {
        print(&found.display().to_string());
    }
    0
}
