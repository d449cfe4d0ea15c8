//! Where models lie that are called by their names: the user's own folder, and those of other programs, which are read in place.
//!
//! A name is the name of a file without its ending, or of a folder in diffusers' layout. Where several have it, folders in front tell
//! them apart: `loras/detail`, `models/loras/detail`, as far up as it takes; in the cache of Hugging Face `owner/repository/file`.

mod comfy;
mod hugging_face;
mod purpose;
#[cfg(test)]
mod tests;
mod walk;

pub use purpose::Purpose;

use super::weights;
use engine::{Blame, Failure, NodeResult};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

/// What the program knows of models that can be fetched.
pub struct Fetchable {
    /// The name of its file where it comes from.
    pub file: String,
    /// Bytes of that file.
    pub bytes: u64,
    /// How it is fetched, as a hint: a command and a size.
    pub how: String,
}

/// Where models are looked for that are called by their names.
pub struct Places {
    /// The user's folder of models, which comes first.
    pub own: PathBuf,
    /// Folders of other programs: a cache of Hugging Face, ComfyUI, Automatic1111 and its kin, `extra_model_paths.yaml`, or any
    /// folder of models.
    pub others: Vec<PathBuf>,
    /// What is known of a model that can be fetched.
    pub fetchable: fn(&str) -> Option<Fetchable>,
}

/// A model in a folder of another program.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its file, or its folder when it is in diffusers' layout.
    pub path: PathBuf,
    /// What it is for, as far as its folder tells.
    pub purpose: Purpose,
    /// Bytes of the file; none of folders.
    pub bytes: Option<u64>,
    /// The folders that it lies in and its name, the last being the name.
    words: Vec<String>,
}

impl Placed {
    /// The shortest name of one word.
    pub fn name(&self) -> &str {
        self.words.last().map_or("", String::as_str)
    }

    /// Its name with so many folders in front.
    fn longer(&self, folders: usize) -> String {
        self.words[self.words.len().saturating_sub(folders + 1)..].join("/")
    }

    fn is_called(&self, name: &[&str]) -> bool {
        self.words.len() >= name.len() && self.words.iter().rev().zip(name.iter().rev()).all(|(a, b)| a == b)
    }
}

/// Where models of these names, wanted for these purposes, were found.
type Known = HashMap<(String, Option<Purpose>), PathBuf>;

/// The places. Set by the program, once, before anything runs.
static PLACES: OnceLock<Places> = OnceLock::new();

/// Says where models are looked for that are called by their name. Only the first call counts.
pub fn keep_models_in(places: Places) {
    _ = PLACES.set(places);
}

/// The user's folder of models.
pub(super) fn own_folder() -> Option<&'static Path> {
    PLACES.get().map(|places| &*places.own)
}

/// What lies in a folder of another program, and what about it was not understood.
pub fn contents(place: &Path) -> (Vec<Placed>, Vec<String>) {
    let mut found = walk::Found::default();
    if place.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
        comfy::read(place, &mut found);
    } else if let Some(hub) = hugging_face::hub(place) {
        hugging_face::read(&hub, &mut found);
    } else {
        let extra = place.join("extra_model_paths.yaml");
        if extra.is_file() {
            comfy::read(&extra, &mut found);
        }
        // What else lies beside these folders is the program itself, with thousands of files.
        let inner: Vec<PathBuf> =
            ["models", "embeddings"].map(|name| place.join(name)).into_iter().filter(|inner| inner.is_dir()).collect();
        if place.join("models").is_dir() {
            inner.iter().for_each(|inner| walk::collect(inner, Purpose::of_path(inner), &mut found));
        } else {
            walk::collect(place, Purpose::of_path(place), &mut found);
        }
    }
    found.finished()
}

/// The file or folder of a model by its name; nothing when there is none. `wanted` leaves out what lies in a folder for other things.
///
/// # Errors
/// When several places have a model of this name.
pub fn locate(name: &str, wanted: Option<Purpose>) -> NodeResult<Option<PathBuf>> {
    let Some(places) = PLACES.get() else { return Ok(None) };
    static FOUND: Mutex<Option<Known>> = Mutex::new(None);
    if let Some(own) = own(&places.own, name) {
        return Ok(Some(own));
    }
    let key = (name.to_owned(), wanted);
    let known = |found: &Option<Known>| found.as_ref().and_then(|found| found.get(&key)).cloned();
    let before = known(&FOUND.lock().unwrap_or_else(PoisonError::into_inner));
    // Folders of others are large: they are walked once for a name, and again when the file is gone.
    if let Some(path) = before.filter(|path| path.exists()) {
        return Ok(Some(path));
    }
    let all: Vec<Placed> = places.others.iter().flat_map(|place| contents(place).0).collect();
    let found = chosen(&all, name, wanted, (places.fetchable)(name).as_ref())?;
    if let Some(path) = &found {
        let mut slot = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert_default().insert(key.clone(), path.clone());
    }
    Ok(found)
}

/// The model of this name in the user's folder.
pub(super) fn own(folder: &Path, name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return None;
    }
    let file = folder.join(format!("{name}.safetensors"));
    let whole = folder.join(name);
    [(file.is_file(), file), (whole.is_dir(), whole)].into_iter().find_map(|(there, path)| there.then_some(path))
}

/// Whether the user's own folder has a model of this name. What others keep is only used when it is named.
pub(crate) fn has_own(name: &str) -> bool {
    PLACES.get().is_some_and(|places| own(&places.own, name).is_some())
}

/// The one of them that is meant.
fn chosen(
    all: &[Placed],
    name: &str,
    wanted: Option<Purpose>,
    fetchable: Option<&Fetchable>,
) -> NodeResult<Option<PathBuf>> {
    let fits =
        |placed: &&Placed| wanted.is_none_or(|wanted| placed.purpose == wanted || placed.purpose == Purpose::Unknown);
    let words: Vec<&str> = name.split('/').collect();
    let mut called: Vec<&Placed> = all.iter().filter(fits).filter(|placed| placed.is_called(&words)).collect();
    if let (true, Some(known)) = (called.is_empty(), fetchable) {
        // Under the name that it has where it comes from. The size leaves hardly a doubt, and a digest of gigabytes takes long.
        let same = |placed: &&Placed| {
            placed.bytes == Some(known.bytes)
                && placed.path.file_name().is_some_and(|file| Some(file) == Path::new(&known.file).file_name())
        };
        // Copies of one file: any of them will do.
        return Ok(all.iter().filter(same).map(|placed| placed.path.clone()).next());
    }
    // One file may be seen through several places and links.
    let mut seen = Vec::new();
    called.retain(|placed| {
        let real = placed.path.canonicalize().unwrap_or_else(|_| placed.path.clone());
        let new = !seen.contains(&real);
        seen.push(real);
        new
    });
    // The same model in two formats beside each other.
    let beside = |a: &Placed, b: &Placed| a.path.with_extension("") == b.path.with_extension("");
    if called.windows(2).all(|pair| beside(pair[0], pair[1]))
        && let Some(best) = called.iter().find(|placed| placed.path.extension().is_some_and(|e| e == "safetensors"))
    {
        called = vec![best];
    }
    match called[..] {
        [] => Ok(None),
        [one] => Ok(Some(one.path.clone())),
        [first, second, ..] => {
            let paths: Vec<String> = called.iter().take(4).map(|p| format!("`{}`", p.path.display())).collect();
            let more = if called.len() > 4 { ", ..." } else { "" };
            let longer = (words.len()..)
                .map(|folders| (first.longer(folders), second.longer(folders)))
                .take(first.words.len().max(second.words.len()))
                .find(|(a, b)| a != b);
            let hint = match longer {
                Some((a, b)) => format!("say which, with a folder in front: `{a}` or `{b}`"),
                None => "name the file itself".to_owned(),
            };
            Err(Failure::new(
                Blame::Model,
                format!("`{name}` is the name of {} models: {}{more}", called.len(), paths.join(", ")),
            )
            .at("model")
            .hint(hint))
        }
    }
}

/// Why a model that is called by its name cannot be used, with the command that gets it.
pub fn missing(name: &str) -> Failure {
    let failure = Failure::new(Blame::Model, format!("there is no model `{name}`")).at("model");
    failure.hint(how(name).unwrap_or_else(|| {
        "`upweave models list` shows those that there are, `upweave models import FILE` adds one; a file is named with its ending"
            .to_owned()
    }))
}

/// The command that gets a model, if it can be fetched.
pub(crate) fn how(name: &str) -> Option<String> {
    PLACES.get().and_then(|places| (places.fetchable)(name)).map(|known| known.how)
}

/// Whether this names a model by its name and no path: one word, or folders in front of it.
pub fn is_model_name(model: &str) -> bool {
    let word = |word: &str| !word.is_empty() && !word.starts_with('.');
    !model.contains(['\\', ':', '\0']) && model.split('/').all(word) && !weights::has_ending(model)
}
