//! `upweave models import`: a model file becomes safetensors under a name.

use crate::{
    catalog::{self, Entry, hex, is_plain_name},
    installed::{self, Kept, Lock, Origin, Record, copied, written},
    models_folder,
    terminal::{Terminal, print},
};
use engine::{Blame, Failure};
use models::{
    Compute,
    detect::Kind,
    stable_diffusion::{self as sd, Identity, identify},
};
use nodes::files::ModelFile;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

/// What an imported model says of itself.
pub(super) const KIND: &str = "network";
pub(super) const SCALE: &str = "scale";
pub(super) const FROM: &str = "from";
pub(super) const LICENCE: &str = "licence";
/// Where it says so in the metadata of a safetensors file: in one entry, since several would come in any order, and the same model
/// is to give the same file.
const NOTES: &str = "upweave";

/// What a safetensors file says of itself.
pub(super) fn notes(path: &Path) -> BTreeMap<String, String> {
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

/// What a model file is for.
pub(super) struct Known {
    /// The name of its kind of network.
    pub(super) network: &'static str,
    /// How much larger it makes pictures; detectors make none.
    pub(super) scale: Option<u32>,
    /// All of it in a line.
    pub(super) about: String,
    /// How it is used, under its name.
    pub(super) used: fn(&str) -> String,
}

/// Looks for something to use in a file. It is built to see whether that works.
pub(super) fn identified(file: &ModelFile) -> models::Result<Known> {
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

pub(super) fn run(terminal: &Terminal, path: &Path, name: Option<&str>, dry_run: bool) -> u8 {
    match imported(terminal, path, name, dry_run) {
        Ok(()) => 0,
        Err(failure) => {
            terminal.error(&failure.message, failure.hint.as_deref());
            exit_code(&failure)
        }
    }
}

/// What a failure of this verb and of pulling means for who called the program.
pub(super) fn exit_code(failure: &Failure) -> u8 {
    match failure.blame {
        Blame::Graph => 2,
        Blame::Resource | Blame::Memory => 6,
        _ => 5,
    }
}

/// A model file as safetensors.
pub(super) struct Converted {
    pub(super) known: Known,
    pub(super) bytes: Vec<u8>,
}

impl Converted {
    /// Looks what it is, and writes it anew with what there is to say of it. The same file always gives the same bytes.
    pub(super) fn new(file: &ModelFile, path: &Path, shared: Option<&Entry>) -> Result<Self, Failure> {
        let broken = |error: models::Error| Failure::new(Blame::Model, error.to_string());
        let tensors = file.tensors().map_err(broken)?;
        let known = identified(file).map_err(broken)?;
        let notes = [
            (KIND, known.network.to_owned()),
            (SCALE, known.scale.map(|scale| scale.to_string()).unwrap_or_default()),
            (FROM, path.file_name().unwrap_or_default().to_string_lossy().into_owned()),
            (LICENCE, shared.map(|shared| shared.licence.clone()).unwrap_or_default()),
        ];
        let notes =
            serde_json::to_string(&BTreeMap::from(notes)).map_err(|error| Failure::internal(error.to_string()))?;
        let notes = HashMap::from([(NOTES.to_owned(), notes)]);
        let bytes = tensors.to_safetensors(&path.display().to_string(), notes).map_err(broken)?;
        Ok(Self { known, bytes })
    }

    /// What is written down of it.
    pub(super) fn kept(&self, name: &str) -> Kept {
        let sha256 = hex(&Sha256::digest(&self.bytes));
        Kept { path: format!("{name}.safetensors"), bytes: self.bytes.len() as u64, sha256 }
    }
}

/// What is put into the folder of models.
enum Content<'a> {
    Bytes(&'a [u8]),
    /// A file, as it is.
    File(&'a Path),
}

/// Puts a model into the folder, unless it is there already.
fn put(name: &str, record: &Record, content: &Content<'_>) -> Result<PathBuf, Failure> {
    let folder = models_folder::folder().map_err(|message| Failure::new(Blame::Graph, message))?;
    let place = folder.join(format!("{name}.safetensors"));
    let unwritable = |error: io::Error| {
        Failure::new(Blame::Resource, format!("cannot write `{}`: {error}", place.display()))
            .hint("make room, or name another folder with the variable `UPWEAVE_MODELS`")
    };
    let _lock = Lock::take(&folder, name).map_err(unwritable)?.ok_or_else(|| {
        Failure::new(Blame::Model, format!("another process is at the model `{name}`")).hint("try again in a moment")
    })?;
    let there = place.is_file();
    let same = || record.check(&folder, &|_, _| Ok(())).is_ok_and(|wrong| wrong.is_empty());
    if folder.join(name).is_dir() || (there && !same()) {
        return Err(Failure::new(Blame::Graph, format!("there is another model called `{name}`"))
            .hint(format!("choose another name with `--name`, or remove it: `upweave models rm {name}`")));
    }
    if !there || Record::of(&folder, name).is_none() {
        record.write(&folder, name).map_err(unwritable)?;
    }
    if !there {
        match content {
            Content::Bytes(bytes) => written(&place, bytes),
            Content::File(file) => copied(&place, file),
        }
        .map_err(unwritable)?;
    }
    Ok(place)
}

/// The name of an import: the one that was given, the one that it is known by, or that of the file.
fn named(path: &Path, name: Option<&str>, shared: Option<&Entry>) -> Result<String, Failure> {
    let name = match (name, shared) {
        (Some(name), _) => name.to_owned(),
        (None, Some(shared)) => shared.name.clone(),
        (None, None) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    };
    if !is_plain_name(&name) {
        return Err(Failure::new(Blame::Graph, format!("a model cannot be called `{name}`"))
            .hint("choose a name without slashes, colons and endings of model files: `--name NAME`"));
    }
    Ok(name)
}

fn imported(terminal: &Terminal, path: &Path, name: Option<&str>, dry_run: bool) -> Result<(), Failure> {
    let unreadable = |error: io::Error| {
        Failure::new(Blame::Model, format!("the model file `{}` cannot be read: {error}", path.display()))
    };
    if let Some(whole) = Whole::of(path).map_err(unreadable)? {
        return taken(terminal, path, name, dry_run, &whole);
    }
    let file = ModelFile::read(path)?;
    let shared = catalog::find(file.bytes());
    let model = Converted::new(&file, path, shared.as_ref())?;
    let name = named(path, name, shared.as_ref())?;
    let Converted { known, bytes } = &model;
    let digest = hex(blake3::hash(bytes).as_bytes());
    let licence = shared.as_ref().map(|shared| &shared.licence);
    if !dry_run {
        let record = Record {
            origin: Origin::Imported,
            from: from(path),
            kind: known.network.to_owned(),
            licence: licence.cloned().unwrap_or_default(),
            files: vec![model.kept(&name)],
            // Of a pair only one file was compared.
            sources: match &shared {
                Some(Entry { files, .. }) if files.len() == 1 => vec![files[0].2.clone()],
                _ => Vec::new(),
            },
        };
        put(&name, &record, &Content::Bytes(bytes))?;
    }
    let place = models_folder::folder().map(|folder| folder.join(format!("{name}.safetensors"))).ok();
    terminal.event(json!({
        "event": if dry_run { "identified" } else { "imported" }, "name": name, "network": known.network, "scale": known.scale,
        "bytes": bytes.len(), "blake3": digest, "file": place, "licence": licence,
    }));
    if !terminal.json() {
        print(&format!("{}: {}", path.display(), known.about));
        print(&format!("    {} as safetensors, blake3 {digest}", engine::bytes(bytes.len() as u64)));
        let licence =
            shared.as_ref().map(|shared| format!("    known as `{}`, licence {}", shared.name, shared.licence));
        print(
            &licence.unwrap_or_else(|| {
                "    not in the list of known models; its licence is that of whoever made it".into()
            }),
        );
        if let (false, Some(place)) = (dry_run, place) {
            print(&format!("    kept in `{}`; use it with {}", place.display(), (known.used)(&name)));
        }
    }
    Ok(())
}

/// A file that is kept as it came: one of Stable Diffusion's world.
pub(super) struct Whole {
    /// What it is, for people.
    pub(super) kind: String,
    /// More about it.
    pub(super) about: String,
    /// What the list of models says of it.
    pub(super) entry: Option<Entry>,
}

impl Whole {
    /// What a file is, by its digest or by its tensors; nothing when it is none of these.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        if let Some(entry) = catalog::kept_as_it_is(path)? {
            return Ok(Some(Self { kind: entry.kind.to_string(), about: entry.about.clone(), entry: Some(entry) }));
        }
        let Ok(Identity { kind, family, about, .. }) = identify(path) else { return Ok(None) };
        // Nothing draws with these alone.
        if matches!(kind, sd::Kind::Unet | sd::Kind::TextEncoder) {
            return Ok(None);
        }
        let family = family.map(|family| format!("for {}", family.name()));
        let about: Vec<String> = family.into_iter().chain([about]).filter(|part| !part.is_empty()).collect();
        Ok(Some(Self { kind: kind.name().to_owned(), about: about.join(", "), entry: None }))
    }

    /// What it is in a line.
    pub(super) fn line(&self) -> String {
        let known = self.entry.as_ref().map(|entry| format!(", known as `{}`", entry.name));
        let about = if self.about.is_empty() { String::new() } else { format!(", {}", self.about) };
        format!("{}{about}{}", self.kind, known.unwrap_or_default())
    }
}

/// Imports a file that is kept as it came; only pickles become safetensors.
fn taken(terminal: &Terminal, path: &Path, name: Option<&str>, dry_run: bool, whole: &Whole) -> Result<(), Failure> {
    let name = named(path, name, whole.entry.as_ref())?;
    let converted = if path.extension().is_some_and(|ending| ending == "safetensors") {
        None
    } else {
        let broken = |error: models::Error| Failure::new(Blame::Model, error.to_string());
        let file = ModelFile::read(path)?;
        let tensors = file.tensors().map_err(broken)?;
        Some(tensors.to_safetensors(&path.display().to_string(), HashMap::new()).map_err(broken)?)
    };
    let (bytes, sha256) = match (&converted, &whole.entry) {
        (Some(bytes), _) => (bytes.len() as u64, hex(&Sha256::digest(bytes))),
        (None, Some(entry)) => (entry.files[0].1, entry.files[0].2.clone()),
        (None, None) => {
            let unreadable = |error: io::Error| {
                Failure::new(Blame::Model, format!("the model file `{}` cannot be read: {error}", path.display()))
            };
            let bytes = fs::metadata(path).map_err(unreadable)?.len();
            let digest = installed::digest(path, &|_| Ok(())).map_err(|_| Failure::cancelled())?;
            (bytes, digest.map_err(unreadable)?)
        }
    };
    let licence = whole.entry.as_ref().map(|entry| entry.licence.clone()).unwrap_or_default();
    let mut place = None;
    if !dry_run {
        let record = Record {
            origin: Origin::Imported,
            from: from(path),
            kind: whole.kind.clone(),
            licence: licence.clone(),
            files: vec![Kept { path: format!("{name}.safetensors"), bytes, sha256: sha256.clone() }],
            sources: whole.entry.iter().map(|entry| entry.files[0].2.clone()).collect(),
        };
        let content = converted.as_deref().map_or(Content::File(path), Content::Bytes);
        place = Some(put(&name, &record, &content)?);
    }
    terminal.event(json!({
        "event": if dry_run { "identified" } else { "imported" }, "name": name, "kind": whole.kind, "bytes": bytes,
        "sha256": sha256, "file": place, "licence": licence,
    }));
    if !terminal.json() {
        print(&format!("{}: {}", path.display(), whole.line()));
        match &whole.entry {
            Some(entry) => print(&format!("    known as `{}`, licence {}", entry.name, entry.licence)),
            None => print("    not in the list of known models; its licence is that of whoever made it"),
        }
        if let Some(place) = place {
            print(&format!("    kept in `{}`", place.display()));
        }
    }
    Ok(())
}

/// Where an import came from, so that it can be repeated from anywhere.
fn from(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}
