//! `upweave models list`: what there is, inside the program, in the user's folder, in those of other programs, and to be fetched.

use super::import::{FROM, KIND, LICENCE, SCALE, notes};
use crate::{
    catalog::{self, hex},
    installed::{Origin, Record},
    models_folder,
    terminal::{Terminal, print},
};
use nodes::files::Placed;
use serde_json::json;
use std::path::{Path, PathBuf};

pub(super) fn run(terminal: &Terminal) -> u8 {
    if let Err(error) = embedded(terminal) {
        terminal.error(&error.to_string(), Some("the program is damaged: install it again"));
        return 5;
    }
    let own = models_folder::folder();
    let kept = own.as_deref().map(models_folder::imported).unwrap_or_default();
    let mut others = Vec::new();
    match &own {
        Ok(folder) => {
            kept.iter().for_each(|(name, path)| ours(terminal, folder, name, path));
            for place in models_folder::others(folder).unwrap_or_default() {
                others.extend(theirs(terminal, &place));
            }
        }
        Err(message) => terminal.note(message),
    }
    let missing = match catalog::entries() {
        Ok(entries) => entries.into_iter().filter(|entry| kept.iter().all(|(name, _)| *name != entry.name)),
        Err(message) => {
            terminal.error(&message, Some("leave out `UPWEAVE_CATALOG`, or install the program again"));
            return 5;
        }
    };
    for entry in missing {
        let addresses: Vec<String> = entry.addresses().collect();
        // In the folder of another program under its name there.
        let there = others.iter().find(|placed| {
            placed.bytes == Some(entry.files[0].1)
                && placed.path.file_name().is_some_and(|file| file == entry.files[0].name())
        });
        terminal.event(json!({
            "event": "known", "name": entry.name, "about": entry.about, "kind": entry.kind.to_string(), "licence": entry.licence,
            "terms": entry.terms, "commercial": entry.commercial, "bytes": entry.bytes(), "addresses": addresses,
            "there": there.map(|placed| &placed.path),
        }));
        if terminal.json() {
            continue;
        }
        print(&format!("{}  {}", entry.name, entry.about));
        match there {
            Some(placed) => print(&format!("    read in `{}`, licence {}", placed.path.display(), entry.licence)),
            None => {
                let limits = if entry.commercial { "" } else { ", which restricts commercial use" };
                print(&format!(
                    "    not here: {} to fetch with `upweave models pull {}`, licence {}{limits}",
                    engine::bytes(entry.bytes()),
                    entry.name,
                    entry.licence
                ));
            }
        }
        addresses.iter().filter(|_| there.is_none()).for_each(|address| print(&format!("    {address}")));
    }
    if let (false, Ok(folder)) = (terminal.json(), &own) {
        print(&format!(
            "\n{} of your own in `{}`; `upweave models pull NAME` fetches one, `upweave models import FILE` adds one",
            kept.len(),
            folder.display()
        ));
    }
    0
}

/// Those inside the program.
fn embedded(terminal: &Terminal) -> models::Result<()> {
    for (card, digest) in models::cards()? {
        terminal.event(json!({
            "event": "model", "name": card.name, "embedded": true, "about": card.about, "licence": card.licence,
            "bytes": card.bytes, "version": card.version, "trained": card.trained, "blake3": hex(&digest),
        }));
        if !terminal.json() {
            print(&format!("{}  {}", card.name, card.about));
            print(&format!("    inside the program, {}, licence {}", engine::bytes(card.bytes), card.licence));
            let lines = [("version", &card.version), ("trained", &card.trained)];
            for (what, text) in lines.into_iter().filter(|(_, text)| !text.is_empty()) {
                print(&format!("    {what}: {text}"));
            }
        }
    }
    Ok(())
}

/// One in the user's folder.
fn ours(terminal: &Terminal, folder: &Path, name: &str, path: &Path) {
    let record = Record::of(folder, name);
    let bytes = super::rm::size(path).unwrap_or(0);
    let notes = notes(path);
    let note = |key: &str| notes.get(key).map(String::as_str).filter(|text| !text.is_empty());
    let kind = note(KIND).or(record.as_ref().map(|record| record.kind.as_str()));
    let licence =
        note(LICENCE).or(record.as_ref().map(|record| record.licence.as_str())).filter(|text| !text.is_empty());
    let pulled = record.as_ref().filter(|record| record.origin == Origin::Pulled);
    let from = pulled.map(|record| record.from.as_str()).or(note(FROM));
    terminal.event(json!({
        "event": "model", "name": name, "embedded": false, "network": kind.unwrap_or_default(),
        "scale": note(SCALE).and_then(|scale| scale.parse::<u32>().ok()), "from": from.unwrap_or_default(),
        "pulled": pulled.is_some(), "licence": licence.unwrap_or_default(), "bytes": bytes, "file": path,
    }));
    if !terminal.json() {
        let scale = note(SCALE).map_or_else(String::new, |scale| format!(", x{scale}"));
        print(&format!("{name}  {}{scale}", kind.unwrap_or("not looked at yet")));
        let came = if pulled.is_some() { "pulled" } else { "imported" };
        let from = from.map_or_else(String::new, |from| format!(", {came} from `{from}`"));
        let licence = licence.unwrap_or("that of whoever made it");
        print(&format!("    {}{from}; its licence is {licence}", engine::bytes(bytes)));
    }
}

/// Those in the folder of another program.
fn theirs(terminal: &Terminal, place: &PathBuf) -> Vec<Placed> {
    if !place.exists() {
        terminal.note(&format!("`{}` is not there: no models are looked for in it", place.display()));
        return Vec::new();
    }
    let (found, notes) = nodes::files::contents(place);
    notes.iter().for_each(|note| terminal.note(note));
    if !terminal.json() && !found.is_empty() {
        print(&format!("{} models in `{}`, read in place:", found.len(), place.display()));
    }
    for placed in &found {
        terminal.event(json!({
            "event": "model", "name": placed.name(), "embedded": false, "kind": placed.purpose.name(), "bytes": placed.bytes,
            "file": placed.path, "place": place,
        }));
        if !terminal.json() {
            let bytes = placed.bytes.map_or_else(|| "a folder".to_owned(), engine::bytes);
            print(&format!("    {}  {}, {bytes}, `{}`", placed.name(), placed.purpose.name(), placed.path.display()));
        }
    }
    found
}
