//! The user's folder of models, and what lies in it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

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

/// The imported models: names and files, in the order of the alphabet.
pub(crate) fn imported(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let named = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?.strip_suffix(".safetensors")?.to_owned();
        nodes::files::is_model_name(&name).then_some((name, path))
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
