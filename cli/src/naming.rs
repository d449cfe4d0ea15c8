//! Where a result goes.

use crate::{args::OnExists, pictures::Picture};
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Formats that results are written in, each by the names that its files have.
const FORMATS: [&[&str]; 10] = [
    &["png"],
    &["jpg", "jpeg"],
    &["webp"],
    &["tif", "tiff"],
    &["bmp"],
    &["tga"],
    &["qoi"],
    &["ppm", "pnm"],
    &["exr"],
    &["hdr"],
];

/// Where results go.
#[derive(Clone, Debug, PartialEq)]
enum Place {
    /// Beside the picture, as `photo.x2.png`.
    Beside,
    /// Into a folder, as `photo.x2.png`.
    Folder(PathBuf),
    /// To this file.
    File(PathBuf),
    /// By a template.
    Template(String),
    /// To stdout.
    Stdout,
}

/// Names results.
#[derive(Debug)]
pub(crate) struct Naming {
    place: Place,
    extension: String,
    on_exists: OnExists,
    /// Whether names tell that only a part is shown.
    pub partly: bool,
    /// What this run has written: never replaced, whatever the person said about older files.
    taken: HashSet<PathBuf>,
}

/// What becomes of one result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// It is written to this file.
    File(PathBuf),
    /// It is written to stdout.
    Stdout,
    /// Nothing: this file is already there.
    Skip(PathBuf),
}

impl Naming {
    /// Understands `-o` and `-f`.
    ///
    /// # Errors
    /// When they make no sense together, or for `many` pictures.
    pub(crate) fn new(
        output: Option<&str>,
        format: Option<&str>,
        on_exists: OnExists,
        many: bool,
    ) -> Result<Self, String> {
        let format = format.map(|format| format.trim_start_matches('.').to_lowercase());
        if let Some(format) = &format
            && !known(format)
        {
            return Err(format!("cannot write format `{format}`; there are {}", all_formats()));
        }
        let place = match output {
            None => Place::Beside,
            Some("-") => Place::Stdout,
            Some("") => return Err("`-o` needs the name of a file or folder".to_owned()),
            Some(text) if text.contains('{') => Place::Template(text.to_owned()),
            Some(text) if text.ends_with(['/', std::path::MAIN_SEPARATOR]) || Path::new(text).is_dir() => {
                Place::Folder(PathBuf::from(text))
            }
            // Many pictures do not fit into one file; a name without extension is meant to be a folder.
            Some(text) if many && Path::new(text).extension().is_none() => Place::Folder(PathBuf::from(text)),
            Some(text) if many => {
                return Err(format!("several pictures cannot all be written to `{text}`; name a folder: {text}/"));
            }
            Some(text) => Place::File(PathBuf::from(text)),
        };
        if many && place == Place::Stdout {
            return Err("several pictures cannot all be written to stdout".to_owned());
        }
        let named = match &place {
            Place::File(path) => path.extension().map(|extension| extension.to_string_lossy().to_lowercase()),
            _ => None,
        };
        if let (Place::File(path), None, None) = (&place, &named, &format) {
            return Err(format!(
                "`{}` does not tell its format; name it .png, .jpg, .webp or .tiff, or add `--format png`",
                path.display()
            ));
        }
        if let Some(named) = named.as_deref().filter(|named| !known(named)) {
            return Err(format!("cannot write format `{named}`; there are {}", all_formats()));
        }
        if let (Some(named), Some(format)) = (&named, &format)
            && family(named) != family(format)
        {
            return Err(format!("`-o` names a {named} file, but `--format` says {format}"));
        }
        let extension = format.or(named).unwrap_or_else(|| "png".to_owned());
        let naming = Self { place, extension, on_exists, partly: false, taken: HashSet::new() };
        if let Place::Template(text) = &naming.place {
            let example = Picture { path: "photo.jpg".into(), inside: PathBuf::new() };
            let name = naming.fill(text, &example, "2");
            let rest = name.to_string_lossy().into_owned();
            if rest.contains(['{', '}']) {
                return Err(format!(
                    "`{text}` has an unknown name in braces; there are {{dir}} {{stem}} {{scale}} {{ext}}"
                ));
            }
            if many && name == naming.fill(text, &Picture { path: "other.jpg".into(), inside: PathBuf::new() }, "2") {
                return Err(format!("`{text}` gives all pictures the same name; put {{stem}} into it"));
            }
        }
        Ok(naming)
    }

    /// The extension of the files, which is also the format.
    pub(crate) fn extension(&self) -> &str {
        &self.extension
    }

    /// Whether the enlargement is part of the names.
    pub(crate) fn needs_scale(&self) -> bool {
        match &self.place {
            Place::Beside | Place::Folder(_) => true,
            Place::Template(text) => text.contains("{scale}"),
            Place::File(_) | Place::Stdout => false,
        }
    }

    /// Where the result of a picture goes.
    ///
    /// # Errors
    /// When the file is there and must not be replaced.
    pub(crate) fn target(&mut self, picture: &Picture, scale: f64) -> Result<Target, String> {
        let scale = scale_text(scale);
        let part = if self.partly { "preview." } else { "" };
        let plain = || format!("{}.x{scale}.{part}{}", picture.stem(), self.extension);
        let path = match &self.place {
            Place::Stdout => return Ok(Target::Stdout),
            Place::File(path) => path.clone(),
            Place::Template(text) => self.fill(text, picture, &scale),
            Place::Folder(folder) => folder.join(&picture.inside).join(plain()),
            Place::Beside if picture.is_stdin() => PathBuf::from(plain()),
            Place::Beside => picture.path.with_file_name(plain()),
        };
        let exists = fs::symlink_metadata(&path).is_ok();
        let mine = self.taken.contains(&path);
        let settled = match self.on_exists {
            _ if !exists && !mine => path,
            OnExists::Overwrite if !mine => {
                if same_file(&path, &picture.path) {
                    return Err(format!("`{}` is the picture itself; write to another name", path.display()));
                }
                path
            }
            OnExists::Skip if !mine => return Ok(Target::Skip(path)),
            OnExists::Error if !mine => return Err(format!("`{}` is already there", path.display())),
            _ => free(&path, &self.taken),
        };
        self.taken.insert(settled.clone());
        Ok(Target::File(settled))
    }

    /// Makes the folder of a result, unless the person has named the file itself, and sees whether it can be written:
    /// better now than after an hour of work.
    pub(crate) fn prepare(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !matches!(self.place, Place::File(_)) {
            fs::create_dir_all(folder)?;
        }
        if path.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
        }
        tempfile::Builder::new().prefix(".upweave-").tempfile_in(folder).map(drop)
    }

    fn fill(&self, template: &str, picture: &Picture, scale: &str) -> PathBuf {
        let dir = picture.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        template
            .replace("{dir}", &dir.to_string_lossy())
            .replace("{stem}", &picture.stem())
            .replace("{scale}", scale)
            .replace("{ext}", &self.extension)
            .into()
    }
}

fn family(extension: &str) -> Option<usize> {
    FORMATS.iter().position(|names| names.contains(&extension))
}

fn known(extension: &str) -> bool {
    family(extension).is_some()
}

fn all_formats() -> String {
    FORMATS.map(|names| names[0]).join(", ")
}

/// `2`, `2.5`, `1.33`.
fn scale_text(scale: f64) -> String {
    let text = format!("{scale:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// `photo.x2-1.png`, or the first such name that is free.
fn free(path: &Path, taken: &HashSet<PathBuf>) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    (1u64..)
        .map(|n| path.with_file_name(format!("{stem}-{n}{extension}")))
        .find(|candidate| fs::symlink_metadata(candidate).is_err() && !taken.contains(candidate))
        .unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(path: &str) -> Picture {
        Picture { path: path.into(), inside: "sub".into() }
    }

    fn named(output: Option<&str>, format: Option<&str>, scale: f64) -> Target {
        let mut naming = Naming::new(output, format, OnExists::Rename, false).unwrap();
        naming.target(&picture("in/photo.tar.jpg"), scale).unwrap()
    }

    #[test]
    fn names() {
        let file = |path: &str| Target::File(path.into());
        assert_eq!(named(None, None, 2.0), file("in/photo.tar.x2.png"));
        assert_eq!(named(None, Some("JPG"), 2.5), file("in/photo.tar.x2.5.jpg"));
        assert_eq!(named(Some("out/"), None, 4.0 / 3.0), file("out/sub/photo.tar.x1.33.png"));
        assert_eq!(named(Some("a.webp"), None, 2.0), file("a.webp"));
        assert_eq!(named(Some("{dir}/big/{stem}-{scale}.{ext}"), None, 16.0), file("in/big/photo.tar-16.png"));
        assert_eq!(named(Some("-"), None, 2.0), Target::Stdout);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (output, format, many) in [
            (Some("a.png"), None, true),
            (Some("-"), None, true),
            (Some("a.png"), Some("jpg"), false),
            (Some("a.xyz"), None, false),
            (Some("a"), None, false),
            (None, Some("mp3"), false),
            (Some("{name}.png"), None, false),
            (Some("out/{scale}.png"), None, true),
            (Some(""), None, false),
        ] {
            assert!(Naming::new(output, format, OnExists::Rename, many).is_err(), "{output:?} {format:?}");
        }
    }

    #[test]
    fn nothing_is_replaced_in_silence() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("a.png");
        fs::write(&output, "old").unwrap();
        let target = |on_exists| {
            Naming::new(output.to_str(), None, on_exists, false).unwrap().target(&picture("in/photo.jpg"), 2.0)
        };
        assert_eq!(target(OnExists::Rename), Ok(Target::File(folder.path().join("a-1.png"))));
        assert_eq!(target(OnExists::Skip), Ok(Target::Skip(output.clone())));
        assert_eq!(target(OnExists::Overwrite), Ok(Target::File(output.clone())));
        assert!(target(OnExists::Error).is_err());
    }

    #[test]
    fn two_pictures_of_one_name_get_two_results() {
        let folder = tempfile::tempdir().unwrap();
        let output = format!("{}/", folder.path().display());
        let mut naming = Naming::new(Some(&output), None, OnExists::Overwrite, true).unwrap();
        let one = naming.target(&Picture { path: "a.jpg".into(), inside: "".into() }, 2.0).unwrap();
        let two = naming.target(&Picture { path: "a.png".into(), inside: "".into() }, 2.0).unwrap();
        assert_ne!(one, two);
    }
}
