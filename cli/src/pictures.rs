//! The pictures that a person names: files, folders, patterns, stdin.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What a file in a folder must be called to be taken for a picture.
const EXTENSIONS: [&str; 19] = [
    "png", "jpg", "jpeg", "jfif", "webp", "tif", "tiff", "bmp", "gif", "pnm", "ppm", "pgm", "pbm", "pam", "tga", "qoi",
    "exr", "hdr", "ico",
];

/// One picture to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    /// The file; `-` is stdin.
    pub path: PathBuf,
    /// Its folder inside the folder that was named, to be mirrored.
    pub inside: PathBuf,
}

impl Picture {
    pub(crate) fn is_stdin(&self) -> bool {
        self.path == Path::new("-")
    }

    /// How it is called in messages.
    pub(crate) fn name(&self) -> String {
        if self.is_stdin() { "stdin".to_owned() } else { self.path.display().to_string() }
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

/// The pictures behind what was typed.
///
/// # Errors
/// When a folder cannot be read, or holds no picture, or a pattern matches nothing.
pub(crate) fn collect(typed: &[PathBuf], folders: Folders) -> Result<Vec<Picture>, String> {
    let mut found = Vec::new();
    for path in typed {
        if folders != Folders::No && path.is_dir() {
            let before = found.len();
            walk(path, Path::new(""), folders == Folders::Deep, &mut found)
                .map_err(|error| format!("cannot read folder `{}`: {error}", path.display()))?;
            if found.len() == before {
                return Err(format!("there is no picture in folder `{}`", path.display()));
            }
        } else if !path.exists() && is_pattern(path) {
            let matched = matching(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
            if matched.is_empty() {
                return Err(format!("no file matches `{}`", path.display()));
            }
            found.extend(matched);
        } else {
            found.push(Picture { path: path.clone(), inside: PathBuf::new() });
        }
    }
    Ok(found)
}

fn walk(folder: &Path, inside: &Path, deep: bool, found: &mut Vec<Picture>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        // A link to a folder is not followed: it may lead back up.
        if entry.file_type()?.is_dir() {
            if deep {
                walk(&path, &inside.join(entry.file_name()), deep, found)?;
            }
        } else if is_picture(&path) {
            found.push(Picture { path, inside: inside.to_owned() });
        }
    }
    Ok(())
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

fn is_pattern(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(['*', '?']))
}

/// Files whose name matches, for shells that do not do it themselves.
fn matching(pattern: &Path) -> io::Result<Vec<Picture>> {
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wanted: Vec<char> = pattern.file_name().unwrap_or_default().to_string_lossy().chars().collect();
    let mut names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| matches(&wanted, &name.to_string_lossy().chars().collect::<Vec<_>>()));
    names.sort();
    Ok(names.iter().map(|name| Picture { path: pattern.with_file_name(name), inside: PathBuf::new() }).collect())
}

fn matches(pattern: &[char], name: &[char]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some(('*', rest)) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        Some((wanted, rest)) => {
            name.split_first().is_some_and(|(c, others)| (*wanted == '?' || wanted == c) && matches(rest, others))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let matches = |pattern: &str, name: &str| {
            matches(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
        };
        assert!(matches("*.jpg", "a.jpg") && matches("?.j*g", "a.jpeg") && matches("*", ""));
        assert!(!matches("*.jpg", "a.png") && !matches("?", ""));
    }

    #[test]
    fn folders_are_mirrored() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["z.PNG", "notes.txt", ".hidden.png", "b/a.jpg"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let names = |folders| -> Vec<_> {
            let found = collect(&[folder.path().to_owned()], folders).unwrap();
            found.iter().map(|picture| picture.inside.join(picture.path.file_name().unwrap())).collect()
        };
        assert_eq!(names(Folders::Deep), [Path::new("b/a.jpg"), Path::new("z.PNG")]);
        assert_eq!(names(Folders::Flat), [Path::new("z.PNG")]);
    }
}
