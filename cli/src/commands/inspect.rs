//! `upweave inspect`: how a picture was made, by the recipe that it holds.

use crate::{
    job, recipe,
    terminal::{Terminal, print},
};
use nodes::limits::Limits;
use serde_json::{Map, Value, json};
use std::path::Path;

pub(crate) fn run(terminal: &Terminal, file: &Path) -> u8 {
    let limits = Limits::LOCAL;
    let found = job::path_text(file).and_then(|path| {
        // What is no picture, or cannot be read, is told as such.
        let header = nodes::files::probe(path, &limits).map_err(|failure| failure.message)?;
        Ok((header, recipe::described(path, &limits)?))
    });
    let name = file.display().to_string();
    match found {
        Ok((header, Some(lines))) => {
            if terminal.json() {
                let mut told: Map<String, Value> = Map::new();
                for (name, value) in lines {
                    match told.get_mut(&name) {
                        Some(Value::String(before)) => *before = format!("{before}, {value}"),
                        _ => drop(told.insert(name, value.into())),
                    }
                }
                terminal.event(json!({ "event": "recipe", "file": name, "recipe": told }));
                return 0;
            }
            let frames = if header.frames > 1 { format!(", {} frames", header.frames) } else { String::new() };
            print(&format!("{name}: {}{frames}", header.size));
            let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
            lines.iter().for_each(|(name, value)| print(&format!("  {name:width$}  {}", shown(value))));
            0
        }
        Ok((_, None)) => {
            terminal.error(
                &format!("`{name}` holds no recipe"),
                Some("results of `upweave` in PNG, JPEG, WebP, JPEG XL and TIFF do"),
            );
            3
        }
        Err(message) => {
            terminal.error(&message, None);
            3
        }
    }
}

/// What a file says may hold anything: nothing of it is to command the terminal.
fn shown(value: &str) -> String {
    const LONGEST: usize = 200;
    let plain: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    if value.chars().count() > LONGEST { format!("{plain} ...") } else { plain }
}
