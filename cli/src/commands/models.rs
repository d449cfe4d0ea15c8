//! `upweave models`: what there is, and how to bring more along.

use crate::{
    args::ModelsVerb,
    catalog, models_folder,
    terminal::{Terminal, print},
};
use engine::{Blame, Failure};
use models::{Compute, detect::Kind};
use nodes::files::{MODEL_ENDINGS, ModelFile, is_model_name};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// Deepest folder that is looked into.
const MOST_DEPTH: usize = 16;
/// What an imported model says of itself.
const KIND: &str = "network";
const SCALE: &str = "scale";
const FROM: &str = "from";
const LICENCE: &str = "licence";
/// Where it says so in the metadata of a safetensors file: in one entry, since several would come in any order, and the same model
/// is to give the same file.
const NOTES: &str = "upweave";

pub(crate) fn run(terminal: &Terminal, verb: &ModelsVerb) -> u8 {
    match verb {
        ModelsVerb::List => list(terminal),
        ModelsVerb::Import { file, name, dry_run } => import(terminal, file, name.as_deref(), *dry_run),
        ModelsVerb::Scan { folder } => scan(terminal, folder),
    }
}

fn list(terminal: &Terminal) -> u8 {
    let cards = match models::cards() {
        Ok(cards) => cards,
        Err(error) => {
            terminal.error(&error.to_string(), Some("the program is damaged: install it again"));
            return 5;
        }
    };
    for (card, digest) in &cards {
        terminal.event(json!({
            "event": "model", "name": card.name, "embedded": true, "about": card.about, "licence": card.licence,
            "bytes": card.bytes, "version": card.version, "trained": card.trained, "blake3": hex(digest),
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
    let folder = match models_folder::folder() {
        Ok(folder) => folder,
        Err(message) => {
            terminal.note(&message);
            return 0;
        }
    };
    let imported = models_folder::imported(&folder);
    for (name, path) in &imported {
        let bytes = fs::metadata(path).map_or(0, |about| about.len());
        let notes = notes(path);
        let note = |key: &str| notes.get(key).map_or("", String::as_str);
        terminal.event(json!({
            "event": "model", "name": name, "embedded": false, "network": note(KIND), "scale": note(SCALE).parse::<u32>().ok(),
            "from": note(FROM), "licence": note(LICENCE), "bytes": bytes, "file": path,
        }));
        if !terminal.json() {
            let kind = if note(KIND).is_empty() { "not looked at yet" } else { note(KIND) };
            print(&format!(
                "{name}  {kind}{}",
                if note(SCALE).is_empty() { String::new() } else { format!(", x{}", note(SCALE)) }
            ));
            let from = if note(FROM).is_empty() { String::new() } else { format!(", imported from `{}`", note(FROM)) };
            let licence = if note(LICENCE).is_empty() { "that of whoever made it" } else { note(LICENCE) };
            print(&format!("    {}{from}; its licence is {licence}", engine::bytes(bytes)));
        }
    }
    let missing = match catalog::entries() {
        Ok(entries) => entries.into_iter().filter(|entry| imported.iter().all(|(name, _)| *name != entry.name)),
        Err(message) => {
            terminal.error(&message, Some("the program is damaged: install it again"));
            return 5;
        }
    };
    for entry in missing {
        let addresses: Vec<String> = entry.addresses().collect();
        terminal.event(json!({
            "event": "known", "name": entry.name, "about": entry.about, "licence": entry.licence, "bytes": entry.bytes(),
            "addresses": addresses,
        }));
        if !terminal.json() {
            print(&format!("{}  {}", entry.name, entry.about));
            print(&format!("    not here: {} to fetch, licence {}", engine::bytes(entry.bytes()), entry.licence));
            addresses.iter().for_each(|address| print(&format!("    {address}")));
        }
    }
    if !terminal.json() {
        print(&format!(
            "\n{} of your own in `{}`; `upweave models import FILE` adds one",
            imported.len(),
            folder.display()
        ));
    }
    0
}

/// What a safetensors file says of itself.
fn notes(path: &Path) -> BTreeMap<String, String> {
    let read = || -> Option<BTreeMap<String, String>> {
        let mut file = fs::File::open(path).ok()?;
        let mut length = [0; 8];
        io::Read::read_exact(&mut file, &mut length).ok()?;
        let length = u64::from_le_bytes(length);
        let mut header = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, length.min(models::MOST_HEADER_BYTES as u64)), &mut header)
            .ok()?;
        let header: serde_json::Value = serde_json::from_slice(&header).ok()?;
        serde_json::from_str(header.get("__metadata__")?.get(NOTES)?.as_str()?).ok()
    };
    read().unwrap_or_default()
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a model file is for.
struct Known {
    /// The name of its kind of network.
    network: &'static str,
    /// How much larger it makes pictures; detectors make none.
    scale: Option<u32>,
    /// All of it in a line.
    about: String,
    /// How it is used, under its name.
    used: fn(&str) -> String,
}

/// Looks for something to use in a file. It is built to see whether that works.
fn identified(file: &ModelFile) -> models::Result<Known> {
    let tensors = file.tensors()?;
    let from = format!("{} tensors, out of {}", tensors.names().count(), tensors.format().name());
    if let Some((network, kind)) = models::detector_of(&tensors) {
        file.detector(Compute::default())?;
        let (finds, used): (_, fn(&str) -> String) = match kind {
            Kind::Faces => ("faces", |name| {
                format!("`FaceDetect(model: \"{name}\")`; under the name `faces` it is used by itself")
            }),
            Kind::Hands => ("hands", |name| {
                format!("`HandDetect(model: \"{name}\")`; under the name `hands` it is used by itself")
            }),
        };
        return Ok(Known { network, scale: None, about: format!("{network}, finds {finds}, {from}"), used });
    }
    let found = file.network(Compute::default())?;
    let reach = found.radius().map_or("overlapping tiles".to_owned(), |radius| format!("looks {radius} pixels far"));
    let does = if found.scale() == 1 { "restores".to_owned() } else { format!("x{}", found.scale()) };
    Ok(Known {
        network: found.architecture(),
        scale: Some(found.scale()),
        about: format!("{}, {does}, {reach}, {from}", found.architecture()),
        used: |name| format!("`upweave upscale -n {name} PICTURE`"),
    })
}

fn import(terminal: &Terminal, path: &Path, name: Option<&str>, dry_run: bool) -> u8 {
    match imported(terminal, path, name, dry_run) {
        Ok(()) => 0,
        Err(failure) => {
            terminal.error(&failure.message, failure.hint.as_deref());
            match failure.blame {
                Blame::Graph => 2,
                Blame::Resource | Blame::Memory => 6,
                _ => 5,
            }
        }
    }
}

fn imported(terminal: &Terminal, path: &Path, name: Option<&str>, dry_run: bool) -> Result<(), Failure> {
    let file = ModelFile::read(path)?;
    let broken = |error: models::Error| Failure::new(Blame::Model, error.to_string());
    let tensors = file.tensors().map_err(broken)?;
    let known = identified(&file).map_err(broken)?;
    let shared = catalog::find(file.bytes());
    let name = match (name, &shared) {
        (Some(name), _) => name.to_owned(),
        (None, Some(shared)) => shared.name.clone(),
        (None, None) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    };
    if name.is_empty() || !is_model_name(&name) {
        return Err(Failure::new(Blame::Graph, format!("a model cannot be called `{name}`"))
            .hint("choose a name without slashes, colons and endings of model files: `--name NAME`"));
    }
    let scale = known.scale.map(|scale| scale.to_string()).unwrap_or_default();
    let notes = [
        (KIND, known.network.to_owned()),
        (SCALE, scale),
        (FROM, path.file_name().unwrap_or_default().to_string_lossy().into_owned()),
        (LICENCE, shared.as_ref().map(|shared| shared.licence.clone()).unwrap_or_default()),
    ];
    let notes = serde_json::to_string(&BTreeMap::from(notes)).map_err(|error| Failure::internal(error.to_string()))?;
    let notes = HashMap::from([(NOTES.to_owned(), notes)]);
    let bytes = tensors.to_safetensors(&path.display().to_string(), notes).map_err(broken)?;
    let digest = hex(blake3::hash(&bytes).as_bytes());
    let folder = models_folder::folder().map_err(|message| Failure::new(Blame::Graph, message))?;
    let place = folder.join(format!("{name}.safetensors"));
    let event = |what: &str| {
        terminal.event(json!({
            "event": what, "name": name, "network": known.network, "scale": known.scale, "bytes": bytes.len(),
            "blake3": digest, "file": place, "licence": shared.as_ref().map(|shared| &shared.licence),
        }));
        if !terminal.json() {
            print(&format!("{}: {}", path.display(), known.about));
            print(&format!("    {} as safetensors, blake3 {digest}", engine::bytes(bytes.len() as u64)));
            let licence =
                shared.as_ref().map(|shared| format!("    known as `{}`, licence {}", shared.name, shared.licence));
            print(&licence.unwrap_or_else(|| {
                "    not in the list of known models; its licence is that of whoever made it".into()
            }));
        }
    };
    if dry_run {
        event("identified");
        return Ok(());
    }
    let there = fs::read(&place).ok();
    if there.as_ref().is_some_and(|there| *there != bytes) {
        return Err(Failure::new(Blame::Graph, format!("there is another model called `{name}`"))
            .hint(format!("choose another name with `--name`, or remove `{}`", place.display())));
    }
    if there.is_none() {
        written(&folder, &place, &bytes).map_err(|error| {
            Failure::new(Blame::Resource, format!("cannot write `{}`: {error}", place.display()))
                .hint("make room, or name another folder with the variable `UPWEAVE_MODELS`")
        })?;
    }
    event("imported");
    if !terminal.json() {
        print(&format!("    kept in `{}`; use it with {}", place.display(), (known.used)(&name)));
    }
    Ok(())
}

/// A file that is there whole, or not at all.
fn written(folder: &Path, place: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(place).map_err(|error| error.error)?;
    Ok(())
}

fn scan(terminal: &Terminal, folder: &Path) -> u8 {
    let mut files = Vec::new();
    if let Err(error) = collect(folder, 0, &mut files) {
        terminal.error(&format!("cannot read the folder `{}`: {error}", folder.display()), None);
        return 2;
    }
    files.sort();
    let mut known = 0;
    for path in &files {
        let found = ModelFile::read(path)
            .map_err(|failure| failure.message)
            .and_then(|file| identified(&file).map_err(|error| error.to_string()));
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
