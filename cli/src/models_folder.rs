//! The user's folder of models, what lies in it, and which folders of other programs are looked into besides.

use nodes::files::Fetchable;
use serde::Deserialize;
use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// The file in the user's folder of models that names those of other programs.
const PLACES: &str = "places.ron";

/// Where imported models are kept: `UPWEAVE_MODELS`, or the place that the system has for data of programs.
///
/// # Errors
/// When the system names no such place.
pub(crate) fn folder() -> Result<PathBuf, String> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("UPWEAVE_MODELS") {
        return Ok(folder);
    }
    let home = || variable("HOME");
    let system = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library/Application Support"))
    } else {
        // What is not absolute is to be ignored (XDG Base Directory Specification).
        variable("XDG_DATA_HOME")
            .filter(|folder| folder.is_absolute())
            .or_else(|| home().map(|home| home.join(".local/share")))
    };
    system
        .map(|folder| folder.join("upweave").join("models"))
        .ok_or_else(|| "there is no folder for models; name one with the variable `UPWEAVE_MODELS`".to_owned())
}

/// `places.ron`: where models of other programs lie.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Others {
    /// Folders of ComfyUI, Automatic1111 and its kin, caches of Hugging Face, `extra_model_paths.yaml`, or any folder of models.
    folders: Vec<String>,
    /// Whether the cache of Hugging Face is looked into.
    hugging_face: bool,
}

impl Default for Others {
    fn default() -> Self {
        Self { folders: Vec::new(), hugging_face: true }
    }
}

/// The folders of other programs in which models are looked for: those of `UPWEAVE_MODEL_PATHS`, those of `places.ron`, and the cache
/// of Hugging Face where it is there.
///
/// # Errors
/// When `places.ron` cannot be read.
pub(crate) fn others(own: &Path) -> Result<Vec<PathBuf>, String> {
    let file = own.join(PLACES);
    let wrong = |what: String| format!("`{}`: {what}", file.display());
    let others: Others = match fs::read_to_string(&file) {
        Ok(text) => ron::from_str(&text).map_err(|error| wrong(error.to_string()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Others::default(),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let listed = env::var_os("UPWEAVE_MODEL_PATHS").unwrap_or_default();
    let mut places: Vec<PathBuf> = env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    places.extend(others.folders.iter().map(|folder| match (folder.strip_prefix("~/"), env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => own.join(folder),
    }));
    places.extend(hugging_face().filter(|_| others.hugging_face));
    Ok(places)
}

/// The cache of Hugging Face, if there is one.
fn hugging_face() -> Option<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let hub = variable("HF_HUB_CACHE").or_else(|| Some(variable("HF_HOME")?.join("hub")));
    let hub = hub.or_else(|| Some(env::home_dir()?.join(".cache/huggingface/hub")));
    hub.filter(|hub| hub.is_dir())
}

/// What is known of a model that can be fetched.
pub(crate) fn fetchable(name: &str) -> Option<Fetchable> {
    let entry = crate::catalog::named(name)?;
    let file = entry.files.first()?;
    Some(Fetchable { file: file.0.clone(), bytes: file.1, how: entry.how() })
}

/// The models in the user's folder: names and files, or folders, in the order of the alphabet.
pub(crate) fn imported(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let named = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let file = path.file_name()?.to_str()?;
        let name = if path.is_dir() { file } else { file.strip_suffix(".safetensors")? }.to_owned();
        crate::catalog::is_plain_name(&name).then_some((name, path))
    });
    let mut found: Vec<_> = named.collect();
    found.sort();
    found
}

/// The file of a model that lies in a folder: `NAME` with one of the endings, or `NAME-xN` as realesrgan-ncnn has it.
pub(crate) fn within(folder: &Path, name: &str, scale: Option<f64>) -> Option<PathBuf> {
    let names = [Some(name.to_owned()), scale.map(|scale| format!("{name}-x{scale}"))];
    let files = names.into_iter().flatten().flat_map(|name| {
        // A `.bin` is found by its `.param`.
        let endings = nodes::files::MODEL_ENDINGS.into_iter().filter(|ending| *ending != "bin");
        endings.map(move |ending| folder.join(format!("{name}.{ending}")))
    });
    [folder.join(name)].into_iter().chain(files).find(|path| path.is_file())
}
