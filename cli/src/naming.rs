//! Where a result goes.

use crate::{
    args::OnExists,
    pictures::Picture,
    template::{Part, Template},
};
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Formats that results are written in, each by the names that its files have.
const FORMATS: [&[&str]; 11] = [
    &["png"],
    &["jpg", "jpeg"],
    &["webp"],
    &["jxl"],
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
    Template(Template),
    /// To stdout.
    Stdout,
}

/// Names results.
#[derive(Debug)]
pub(crate) struct Naming {
    place: Place,
    extension: String,
    /// What is done about files that are there; nothing for the usual: to leave a result of the same picture and recipe,
    /// and to write beside any other file.
    on_exists: Option<OnExists>,
    /// Whether names tell that only a part is shown.
    pub partly: bool,
}

/// What becomes of one result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// It is written to this file.
    File(PathBuf),
    /// It is written to stdout.
    Stdout,
    /// It is written to this file, which somebody who was stopped may have written already.
    Again(PathBuf),
    /// Nothing: this file is already there.
    Skip(PathBuf),
}

/// What a name may tell of a picture and of what is made of it.
pub(crate) trait Facts {
    /// Enlargement.
    fn scale(&self) -> f64;
    /// Type, or another preset.
    fn style(&self) -> String;
    /// Seed of all noise.
    fn seed(&self) -> String;
    /// Today, as 2026-01-31.
    fn date(&self) -> String;
    /// Eight characters that stand for the content of the picture.
    ///
    /// # Errors
    /// When it cannot be read.
    fn hash8(&self) -> Result<String, String>;
    /// Whether a file is what would be made now.
    fn is_made(&self, file: &Path) -> bool;
    /// Whether this name was given to this very result before.
    fn is_own(&self, file: &Path) -> bool;
}

/// The folder that `-o` names, when it is one.
pub(crate) fn folder(output: Option<&str>) -> Option<&Path> {
    let path = Path::new(output.filter(|text| !text.contains('{') && *text != "-")?);
    (path.is_dir() || path.extension().is_none()).then_some(path)
}

impl Naming {
    /// Understands `-o` and `-f`.
    ///
    /// # Errors
    /// When they make no sense together, or for `many` pictures.
    pub(crate) fn new(
        output: Option<&str>,
        format: Option<&str>,
        on_exists: Option<OnExists>,
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
            Some(text) if text.contains(['{', '}']) => Place::Template(Template::new(text)?),
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
        if let Place::Template(template) = &place
            && many
            && ![Part::Stem, Part::Hash8].iter().any(|part| template.has(*part))
        {
            let text = output.unwrap_or_default();
            return Err(format!("`{text}` gives all pictures the same name; put {{stem}} into it"));
        }
        Ok(Self { place, extension, on_exists, partly: false })
    }

    /// The extension of the files, which is also the format.
    pub(crate) fn extension(&self) -> &str {
        &self.extension
    }

    /// Whether the enlargement is part of the names.
    pub(crate) fn needs_scale(&self) -> bool {
        match &self.place {
            Place::Beside | Place::Folder(_) => true,
            Place::Template(template) => template.has(Part::Scale),
            Place::File(_) | Place::Stdout => false,
        }
    }

    /// Where the result of a picture goes. `taken` is what this run writes already: never replaced, whatever the person said
    /// about older files.
    ///
    /// # Errors
    /// When the file is there and must not be replaced.
    pub(crate) fn target(
        &self,
        picture: &Picture,
        facts: &dyn Facts,
        taken: &mut HashSet<PathBuf>,
    ) -> Result<Target, String> {
        let part = if self.partly { "preview." } else { "" };
        let plain = || format!("{}.x{}.{part}{}", picture.stem(), scale_text(facts.scale()), self.extension);
        let path = match &self.place {
            Place::Stdout => return Ok(Target::Stdout),
            Place::File(path) => path.clone(),
            Place::Template(template) => self.fill(template, picture, facts)?,
            Place::Folder(folder) => folder.join(&picture.inside).join(plain()),
            Place::Beside if picture.is_stdin() => PathBuf::from(plain()),
            Place::Beside => picture.path.with_file_name(plain()),
        };
        let path = match &self.place {
            // The one frame that is meant has the name that was typed for it.
            Place::File(_) => path,
            Place::Template(template) if template.has(Part::Frame) => path,
            _ if picture.frame == 0 => path,
            _ => with_suffix(&path, &format!(".f{}", frame_text(picture.frame))),
        };
        let free = (0..MOST_NAMES).map(|number| numbered(&path, number)).filter(|name| !taken.contains(name));
        for name in free {
            let target = if fs::symlink_metadata(&name).is_err() {
                Target::File(name.clone())
            } else if facts.is_own(&name) {
                Target::Again(name.clone())
            } else {
                match self.on_exists {
                    Some(OnExists::Overwrite) if same_file(&name, &picture.path) => {
                        return Err(format!("`{}` is the picture itself; write to another name", name.display()));
                    }
                    Some(OnExists::Overwrite) => Target::File(name.clone()),
                    Some(OnExists::Skip) => Target::Skip(name.clone()),
                    Some(OnExists::Error) => return Err(format!("`{}` is already there", name.display())),
                    None if facts.is_made(&name) => Target::Skip(name.clone()),
                    None | Some(OnExists::Rename) => continue,
                }
            };
            taken.insert(name);
            return Ok(target);
        }
        Err(format!("`{}` and all names like it are taken", path.display()))
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

    fn fill(&self, template: &Template, picture: &Picture, facts: &dyn Facts) -> Result<PathBuf, String> {
        template.fill(|part| {
            Ok(match part {
                Part::Dir => picture.path.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned(),
                Part::Inside => picture.inside.to_string_lossy().into_owned(),
                Part::Stem => picture.stem(),
                Part::Scale => scale_text(facts.scale()),
                Part::Ext => self.extension.clone(),
                Part::Type => facts.style(),
                Part::Seed => facts.seed(),
                Part::Hash8 => facts.hash8()?,
                Part::Date => facts.date(),
                Part::Frame => frame_text(picture.frame),
            })
        })
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

/// How many names are tried for one result.
const MOST_NAMES: u32 = 1_000_000;

/// `photo.x2.png`, then `photo.x2-1.png` and so on.
pub(crate) fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    with_suffix(path, &format!("-{number}"))
}

/// The path with something behind the stem of its name.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}{suffix}{extension}"))
}

/// The number of a frame in names, which so have the order of the frames. What stands still is its first.
fn frame_text(frame: u32) -> String {
    format!("{:04}", frame.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known {
        scale: f64,
        made: Option<PathBuf>,
    }

    impl Facts for Known {
        fn scale(&self) -> f64 {
            self.scale
        }
        fn style(&self) -> String {
            "anime".to_owned()
        }
        fn seed(&self) -> String {
            "7".to_owned()
        }
        fn date(&self) -> String {
            "2026-01-31".to_owned()
        }
        fn hash8(&self) -> Result<String, String> {
            Ok("0123abcd".to_owned())
        }
        fn is_made(&self, file: &Path) -> bool {
            self.made.as_deref() == Some(file)
        }
        fn is_own(&self, _: &Path) -> bool {
            false
        }
    }

    fn picture(path: &str) -> Picture {
        Picture { path: path.into(), inside: "sub".into(), frame: 0 }
    }

    fn named(output: Option<&str>, format: Option<&str>, scale: f64) -> Target {
        let naming = Naming::new(output, format, None, false).unwrap();
        naming.target(&picture("in/photo.tar.jpg"), &Known { scale, made: None }, &mut HashSet::new()).unwrap()
    }

    #[test]
    fn names() {
        let file = |path: &str| Target::File(path.into());
        assert_eq!(named(None, None, 2.0), file("in/photo.tar.x2.png"));
        assert_eq!(named(None, Some("JPG"), 2.5), file("in/photo.tar.x2.5.jpg"));
        assert_eq!(named(Some("out/"), None, 4.0 / 3.0), file("out/sub/photo.tar.x1.33.png"));
        assert_eq!(named(Some("a.webp"), None, 2.0), file("a.webp"));
        assert_eq!(named(Some("{dir}/big/{stem}-{scale}.{ext}"), None, 16.0), file("in/big/photo.tar-16.png"));
        let all = "o/{inside}/{date}/{type}.{seed}.{hash8}.{ext}";
        assert_eq!(named(Some(all), None, 2.0), file("o/sub/2026-01-31/anime.7.0123abcd.png"));
        assert_eq!(named(Some("-"), None, 2.0), Target::Stdout);
    }

    #[test]
    fn frames_are_told_apart() {
        let named = |output: Option<&str>, frame| {
            let naming = Naming::new(output, None, None, output != Some("one.png")).unwrap();
            let picture = Picture { frame, ..picture("in/a.gif") };
            match naming.target(&picture, &Known { scale: 2.0, made: None }, &mut HashSet::new()).unwrap() {
                Target::File(path) => path.display().to_string(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(named(None, 3), "in/a.x2.f0003.png");
        assert_eq!(named(Some("out/"), 4096), "out/sub/a.x2.f4096.png");
        assert_eq!(named(Some("{stem}/{frame}.{ext}"), 12), "a/0012.png");
        assert_eq!(named(Some("{stem}/{frame}.{ext}"), 0), "a/0001.png");
        assert_eq!(named(Some("{stem}.{ext}"), 12), "a.f0012.png");
        assert_eq!(named(Some("one.png"), 12), "one.png");
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
            assert!(Naming::new(output, format, None, many).is_err(), "{output:?} {format:?}");
        }
    }

    #[test]
    fn nothing_is_replaced_in_silence() {
        let folder = tempfile::tempdir().unwrap();
        let (output, next) = (folder.path().join("a.png"), folder.path().join("a-1.png"));
        fs::write(&output, "old").unwrap();
        let target = |on_exists, made: Option<&PathBuf>| {
            let known = Known { scale: 2.0, made: made.cloned() };
            let naming = Naming::new(output.to_str(), None, on_exists, false).unwrap();
            naming.target(&picture("in/photo.jpg"), &known, &mut HashSet::new())
        };
        assert_eq!(target(Some(OnExists::Rename), Some(&output)), Ok(Target::File(next.clone())));
        assert_eq!(target(Some(OnExists::Skip), None), Ok(Target::Skip(output.clone())));
        assert_eq!(target(Some(OnExists::Overwrite), None), Ok(Target::File(output.clone())));
        assert!(target(Some(OnExists::Error), None).is_err());
        assert_eq!(target(None, None), Ok(Target::File(next.clone())));
        assert_eq!(target(None, Some(&output)), Ok(Target::Skip(output.clone())));
        // Made in a run in which the first name was taken, too.
        fs::write(&next, "older").unwrap();
        assert_eq!(target(None, Some(&next)), Ok(Target::Skip(next.clone())));
    }

    #[test]
    fn two_pictures_of_one_name_get_two_results() {
        let folder = tempfile::tempdir().unwrap();
        let output = format!("{}/", folder.path().display());
        for on_exists in [None, Some(OnExists::Overwrite), Some(OnExists::Skip)] {
            let naming = Naming::new(Some(&output), None, on_exists, true).unwrap();
            let mut taken = HashSet::new();
            let mut target = |path: &str| {
                let picture = Picture { path: path.into(), inside: "".into(), frame: 0 };
                naming.target(&picture, &Known { scale: 2.0, made: None }, &mut taken).unwrap()
            };
            assert_ne!(target("a.jpg"), target("a.png"));
        }
    }
}
