//! The pictures that a person names: files, folders, patterns, lists, stdin.

use crate::args::{Frames, Gather};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use nodes::limits::Limits;
use std::{
    collections::HashSet,
    fs,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

/// What a file in a folder must be called to be taken for a picture.
const EXTENSIONS: [&str; 21] = [
    "png", "jpg", "jpeg", "jfif", "jxl", "avif", "webp", "tif", "tiff", "bmp", "gif", "pnm", "ppm", "pgm", "pbm",
    "pam", "tga", "qoi", "exr", "hdr", "ico",
];

/// One picture to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    /// The file; `-` is stdin.
    pub path: PathBuf,
    /// Its folder inside the folder that was named, to be mirrored.
    pub inside: PathBuf,
    /// Which of several pictures in the file, counted from 1; 0 is what is seen where nothing moves.
    pub frame: u32,
}

impl Picture {
    pub(crate) fn new(path: PathBuf, inside: PathBuf) -> Self {
        Self { path, inside, frame: 0 }
    }

    pub(crate) fn is_stdin(&self) -> bool {
        self.path == Path::new("-")
    }

    /// The wanted frames or pages of a file that holds several; the file itself when it holds one.
    pub(crate) fn unfolded(self, frames: Frames, limits: &Limits) -> impl Iterator<Item = Self> + use<> {
        // What cannot be read fails in its turn, with a message of its own.
        let header = self.path.to_str().and_then(|path| nodes::files::probe(path, limits).ok());
        let count = header.map_or(1, |header| header.frames);
        let numbers = match frames {
            Frames { first: 1, .. } if count == 1 => 0..=0,
            // A frame that is not there fails as well, unless others that are wanted are there.
            Frames { first, last } => first..=last.min(count.max(first)),
        };
        numbers.map(move |frame| Self { frame, ..self.clone() })
    }

    /// How it is called in messages.
    pub(crate) fn name(&self) -> String {
        match (self.is_stdin(), self.frame) {
            (true, _) => "stdin".to_owned(),
            (_, 0) => self.path.display().to_string(),
            (_, frame) => format!("{}#{frame}", self.path.display()),
        }
    }

    /// Its name without folder and extension.
    pub(crate) fn stem(&self) -> String {
        if self.is_stdin() {
            return "stdin".to_owned();
        }
        self.path.file_stem().map_or_else(|| "picture".to_owned(), |stem| stem.to_string_lossy().into_owned())
    }
}

/// How folders are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folders {
    /// As one picture, which then fails with a message of its own.
    No,
    /// The pictures in them.
    Flat,
    /// The pictures in them and in the folders inside.
    Deep,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub pictures: Vec<Picture>,
    /// Folders that could not be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
    /// How many results of earlier runs lie among the pictures, and were left out.
    pub results: usize,
    /// Whether something was named that stands for many, however many it was this time.
    pub many: bool,
}

impl Found {
    /// Puts the wanted frames and pages of files that hold several in the place of those files.
    ///
    /// # Errors
    /// When pictures come from stdin, which is not looked at before its turn.
    pub(crate) fn unfold(&mut self, frames: Frames, limits: &Limits) -> Result<(), String> {
        if self.pictures.iter().any(Picture::is_stdin) {
            return Err("`--frames` needs files: it cannot count what comes from stdin".to_owned());
        }
        self.pictures = self.pictures.drain(..).flat_map(|picture| picture.unfolded(frames, limits)).collect();
        Ok(())
    }
}

/// How pictures are looked for.
pub(crate) struct Search<'a> {
    recursive: bool,
    include: Option<GlobSet>,
    exclude: Option<GlobSet>,
    /// The folder that results go to: what lies in it is not taken.
    results: Option<PathBuf>,
    limits: &'a Limits,
}

impl<'a> Search<'a> {
    /// # Errors
    /// When a pattern makes no sense.
    pub(crate) fn new(gather: &Gather, results: Option<&Path>, limits: &'a Limits) -> Result<Self, String> {
        let set = |globs: &[String]| -> Result<Option<GlobSet>, String> {
            if globs.is_empty() { Ok(None) } else { glob_set(globs).map(Some) }
        };
        Ok(Self {
            recursive: gather.recursive,
            include: set(&gather.include)?,
            exclude: set(&gather.exclude)?,
            results: results.and_then(|folder| folder.canonicalize().ok()),
            limits,
        })
    }

    /// The pictures behind what was typed, added to what was `found`. Folders need `-r`, unless they are taken `Flat`.
    ///
    /// # Errors
    /// When a folder holds no picture, or a pattern matches nothing.
    pub(crate) fn typed(&self, typed: &[PathBuf], flat: Folders, found: &mut Found) -> Result<(), String> {
        let folders = if self.recursive { Folders::Deep } else { flat };
        for path in typed {
            if folders != Folders::No && path.is_dir() {
                found.many = true;
                let (before, left_out) = (found.pictures.len(), found.results);
                self.folder(path, &[], folders == Folders::Deep, found);
                let nothing = found.pictures.len() == before && found.results == left_out;
                if nothing && found.unreadable.is_empty() {
                    return Err(format!("there is no picture in folder `{}`", path.display()));
                }
            } else if is_pattern(path) && fs::symlink_metadata(path).is_err() {
                found.many = true;
                self.pattern(path, found)?;
            } else {
                found.pictures.push(Picture::new(path.clone(), PathBuf::new()));
            }
        }
        Ok(())
    }

    /// The pictures in a list.
    ///
    /// # Errors
    /// When it cannot be read or is empty.
    pub(crate) fn list(&self, list: &Path, found: &mut Found) -> Result<(), String> {
        let mut bytes = Vec::new();
        let read = if list == Path::new("-") {
            io::stdin().lock().read_to_end(&mut bytes)
        } else {
            fs::File::open(list).and_then(|mut file| file.read_to_end(&mut bytes))
        };
        read.map_err(|error| format!("cannot read the list `{}`: {error}", list.display()))?;
        let names = names(&String::from_utf8_lossy(&bytes));
        if names.is_empty() {
            return Err(format!("the list `{}` names no picture", list.display()));
        }
        found.many = true;
        let wanted: Vec<PathBuf> = names.into_iter().filter(|path| self.wanted(path)).collect();
        self.typed(&wanted, Folders::No, found)
    }

    /// Whether a path, from the folder that was named, is to be taken.
    fn wanted(&self, inside: &Path) -> bool {
        self.include.as_ref().is_none_or(|globs| globs.is_match(inside)) && !self.excluded(inside)
    }

    fn excluded(&self, inside: &Path) -> bool {
        self.exclude.as_ref().is_some_and(|globs| globs.is_match(inside))
    }

    /// Looks through a folder; with `pattern`, for whatever it matches, else for pictures.
    fn folder(&self, root: &Path, pattern: &[GlobSet], deep: bool, found: &mut Found) {
        let mut files = Vec::new();
        self.walk(root, Path::new(""), pattern.first(), deep, &mut files, &mut found.unreadable);
        // What lies elsewhere is no result of this run; results beside the pictures would else be enlarged next time.
        let elsewhere = self.results.as_ref().is_some_and(|results| {
            root.canonicalize().is_ok_and(|root| root != *results && !results.starts_with(&root))
        });
        if !elsewhere {
            let all = files.len();
            files = self.without_results(files);
            found.results += all - files.len();
        }
        found.pictures.extend(files);
    }

    fn walk(
        &self,
        folder: &Path,
        inside: &Path,
        pattern: Option<&GlobSet>,
        deep: bool,
        files: &mut Vec<Picture>,
        unreadable: &mut Vec<(PathBuf, String)>,
    ) {
        let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                unreadable.push((folder.to_owned(), error.to_string()));
                return;
            }
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, within) = (entry.path(), inside.join(entry.file_name()));
            if entry.file_name().to_string_lossy().starts_with('.') || self.excluded(&within) {
                continue;
            }
            // A link to a folder is not followed: it may lead back up. Pipes would wait for somebody to write.
            let odd = || fs::metadata(&path).is_ok_and(|about| !about.is_file());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if deep && !self.goes_to(&path) {
                    self.walk(&path, &within, pattern, deep, files, unreadable);
                }
            } else {
                let called = pattern.map_or_else(|| is_picture(&path), |globs| globs.is_match(&within));
                if called && self.wanted(&within) && !odd() {
                    files.push(Picture::new(path, inside.to_owned()));
                }
            }
        }
    }

    /// Whether it is the folder that results go to.
    fn goes_to(&self, folder: &Path) -> bool {
        self.results.as_ref().is_some_and(|results| folder.canonicalize().is_ok_and(|folder| folder == *results))
    }

    /// Files whose path matches, for shells that do not do it themselves and for `**`.
    fn pattern(&self, pattern: &Path, found: &mut Found) -> Result<(), String> {
        let mut root = PathBuf::new();
        let mut rest = PathBuf::new();
        for part in pattern.components() {
            if rest.as_os_str().is_empty() && !is_pattern(Path::new(part.as_os_str())) {
                root.push(part);
            } else {
                rest.push(part);
            }
        }
        let from_here = root.as_os_str().is_empty();
        let start = if from_here { Path::new(".") } else { &root };
        let globs = [glob_set(&[rest.to_string_lossy().into_owned()])?];
        let deep = rest.components().count() > 1;
        let (before, left_out) = (found.pictures.len(), found.results);
        self.folder(start, &globs, deep, found);
        if found.pictures.len() == before && found.results == left_out {
            return Err(format!("no file matches `{}`", pattern.display()));
        }
        for picture in &mut found.pictures[before..] {
            if from_here && let Ok(bare) = picture.path.strip_prefix(Path::new(".")) {
                picture.path = bare.to_owned();
            }
        }
        Ok(())
    }

    /// Leaves out what a run has made of another of the pictures: by its name, or by the recipe that it holds.
    fn without_results(&self, files: Vec<Picture>) -> Vec<Picture> {
        let stems: HashSet<(PathBuf, String)> =
            files.iter().map(|picture| (picture.inside.clone(), picture.stem())).collect();
        let by_name = |picture: &Picture| {
            original(&picture.stem()).is_some_and(|stem| stems.contains(&(picture.inside.clone(), stem.to_owned())))
        };
        let by_recipe = |picture: &Picture| {
            let path = picture.path.to_str();
            path.is_some_and(|path| matches!(nodes::files::recipe(path, self.limits), Ok(Some(_))))
        };
        files.into_iter().filter(|picture| !by_name(picture) && !by_recipe(picture)).collect()
    }
}

/// `photo` for `photo.x2`, `photo.x1.5-3` and `photo.x2.preview`: the names that results have when nothing else is said.
fn original(stem: &str) -> Option<&str> {
    let numbered = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let bare = match stem.rsplit_once('-') {
        Some((bare, number)) if numbered(number) => bare,
        _ => stem,
    };
    let bare = match bare.rsplit_once(".f") {
        Some((before, frame)) if frame.len() >= 4 && numbered(frame) => before,
        _ => bare,
    };
    let bare = bare.strip_suffix(".preview").unwrap_or(bare);
    let (original, scale) = bare.rsplit_once(".x")?;
    (!original.is_empty() && scale.parse::<f32>().is_ok() && scale.starts_with(|c: char| c.is_ascii_digit()))
        .then_some(original)
}

/// Names, one a line, or with NUL behind each.
fn names(text: &str) -> Vec<PathBuf> {
    let parts: Vec<&str> = if text.contains('\0') { text.split('\0').collect() } else { text.lines().collect() };
    parts.into_iter().filter(|name| !name.trim().is_empty()).map(PathBuf::from).collect()
}

/// Patterns in which `*` stays within a folder. One without a folder matches names at every depth.
fn glob_set(globs: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for text in globs {
        let glob = |text: &str| {
            GlobBuilder::new(text)
                .literal_separator(true)
                .build()
                .map_err(|error| format!("the pattern `{text}` makes no sense: {}", error.kind()))
        };
        set.add(glob(text)?);
        if !text.contains(['/', std::path::MAIN_SEPARATOR]) {
            set.add(glob(&format!("**/{text}"))?);
        }
    }
    set.build().map_err(|error| format!("the patterns make no sense: {error}"))
}

/// Whether a file is called like a picture.
pub(crate) fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

fn is_pattern(path: &Path) -> bool {
    path.components().any(|part| match part {
        Component::Normal(name) => name.to_string_lossy().contains(['*', '?', '[', '{']),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn furnished() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("b/deep")).unwrap();
        for name in ["z.PNG", "notes.txt", ".hidden.png", "b/a.jpg", "b/deep/c.png", "b/deep/c.x2.png"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        folder
    }

    fn found(root: &Path, typed: &[&str], gather: Gather, results: Option<&Path>) -> Vec<String> {
        let typed: Vec<PathBuf> = typed.iter().map(|name| root.join(name)).collect();
        let mut found = Found::default();
        let search = Search::new(&gather, results, &Limits::LOCAL).unwrap();
        search.typed(&typed, Folders::Flat, &mut found).unwrap();
        let inside = |picture: &Picture| picture.inside.join(picture.path.file_name().unwrap());
        found.pictures.iter().map(|picture| inside(picture).display().to_string()).collect()
    }

    fn deep() -> Gather {
        Gather { recursive: true, ..Gather::default() }
    }

    #[test]
    fn folders_are_mirrored_and_results_left_out() {
        let folder = furnished();
        let at = folder.path();
        assert_eq!(found(at, &[""], deep(), None), ["b/a.jpg", "b/deep/c.png", "z.PNG"]);
        assert_eq!(found(at, &[""], Gather::default(), None), ["z.PNG"]);
        assert_eq!(found(at, &[""], deep(), Some(&at.join("b/deep"))), ["b/a.jpg", "z.PNG"]);
        let elsewhere = tempfile::tempdir().unwrap();
        let all = ["b/a.jpg", "b/deep/c.png", "b/deep/c.x2.png", "z.PNG"];
        assert_eq!(found(at, &[""], deep(), Some(elsewhere.path())), all);
    }

    #[test]
    fn patterns_and_choices() {
        let folder = furnished();
        let at = folder.path();
        assert_eq!(found(at, &["**/*.png"], Gather::default(), None), ["b/deep/c.png"]);
        assert_eq!(found(at, &["b/*.j?g"], Gather::default(), None), ["a.jpg"]);
        assert_eq!(found(at, &["{z,y}.PNG"], Gather::default(), None), ["z.PNG"]);
        assert_eq!(found(at, &[""], Gather { include: vec!["*.jpg".to_owned()], ..deep() }, None), ["b/a.jpg"]);
        assert_eq!(found(at, &[""], Gather { exclude: vec!["b".to_owned()], ..deep() }, None), ["z.PNG"]);
        assert_eq!(
            found(at, &[""], Gather { exclude: vec!["b/deep".to_owned()], ..deep() }, None),
            ["b/a.jpg", "z.PNG"]
        );
        assert!(Search::new(&Gather { include: vec!["[".to_owned()], ..deep() }, None, &Limits::LOCAL).is_err());
    }

    #[test]
    fn lists() {
        let names = |text| names(text).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(names("a b.png\r\n\n c.png\n"), ["a b.png", " c.png"]);
        assert_eq!(names("a\nb.png\0c.png\0"), ["a\nb.png", "c.png"]);
    }

    #[test]
    fn names_of_results() {
        for (stem, expected) in [
            ("photo.x2", Some("photo")),
            ("photo.x1.5-3", Some("photo")),
            ("photo.x4.preview-1", Some("photo")),
            ("photo.x2.f0012", Some("photo")),
            ("photo.f0012", None),
            ("photo", None),
            ("photo.xl", None),
            (".x2", None),
            ("a-1", None),
        ] {
            assert_eq!(original(stem), expected, "{stem}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_in_circles() {
        let folder = furnished();
        std::os::unix::fs::symlink("..", folder.path().join("b/up.png")).unwrap();
        std::os::unix::fs::symlink("self.png", folder.path().join("self.png")).unwrap();
        // A link to itself is a picture that cannot be read: to be told, not passed over.
        assert_eq!(found(folder.path(), &[""], deep(), None), ["b/a.jpg", "b/deep/c.png", "self.png", "z.PNG"]);
    }
}
