//! Writing a file so that it is there whole or not at all.

use engine::{
    Blame, Failure, NodeResult,
    filesystem::{Filesystem, OpenFile, Replace, Unpublished, folder_of, publish, sweep},
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
};
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// How many names are tried for a picture whose name is taken.
const MOST_NAMES: u32 = 1_000_000;

/// What happens when the file is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub(crate) enum OnExists {
    /// It is replaced, in one step.
    #[default]
    Overwrite,
    /// The run fails; the file stays as it is.
    Error,
    /// The file stays as it is, and nothing is written.
    Skip,
    /// The picture gets the next free name: `name-1.png`, `name-2.png`, and so on.
    Rename,
}

/// Writes a file whole or not at all, and tells the name that it got.
///
/// # Errors
/// [`Blame::Resource`] when there is no room or the folder cannot be written.
pub(crate) fn write(files: &dyn Filesystem, path: &Path, on_exists: OnExists, bytes: &[u8]) -> NodeResult<PathBuf> {
    place(files, path, on_exists, bytes.len() as u64, |candidate, replace| publish(files, candidate, &[bytes], replace))
}

/// A file that is written bit by bit, and appears whole or not at all.
pub(crate) struct Writing<'a> {
    files: &'a dyn Filesystem,
    path: PathBuf,
    on_exists: OnExists,
    part: Unpublished<'a>,
}

impl<'a> Writing<'a> {
    /// Begins the file, and gives what its bytes are to be written to.
    ///
    /// # Errors
    /// [`Blame::Resource`] when there is no room or the folder cannot be written.
    pub(crate) fn begin(
        files: &'a dyn Filesystem,
        path: &Path,
        on_exists: OnExists,
    ) -> NodeResult<(Self, Box<dyn OpenFile>)> {
        let folder = looked_at(files, path)?;
        let (part, file) =
            Unpublished::begin(files, folder).map_err(|error| refused(path, folder, 0, &error).at("path"))?;
        Ok((Self { files, path: path.to_owned(), on_exists, part }, file))
    }

    /// Tells why a file could not be written on.
    pub(crate) fn refused(&self, error: &io::Error) -> Failure {
        refused(&self.path, folder_of(&self.path), self.part.bytes(), error).at("path")
    }

    /// Puts the file in its place, and tells the name that it got.
    ///
    /// # Errors
    /// As [`Writing::begin`].
    pub(crate) fn finish(mut self, mut file: Box<dyn OpenFile>) -> NodeResult<PathBuf> {
        file.sync().map_err(|error| self.refused(&error))?;
        let bytes = self.part.bytes();
        // The file stays open until it has its name: nobody takes it for what a dead process left.
        place(self.files, &self.path, self.on_exists, bytes, |candidate, replace| self.part.publish(candidate, replace))
    }
}

/// Folders in which nothing is left of killed processes. To look once is enough, and in a folder of many results looking takes
/// longer than writing one more.
static SWEPT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The folder of a file to be written, once what killed processes left in it is gone.
fn looked_at<'a>(files: &dyn Filesystem, path: &'a Path) -> NodeResult<&'a Path> {
    if path.is_dir() {
        return Err(Failure::new(Blame::Resource, format!("`{}` is a folder", path.display()))
            .at("path")
            .hint("name a file in it, such as `result.png`"));
    }
    let folder = folder_of(path);
    if SWEPT.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned()) {
        sweep(files, folder);
    }
    Ok(folder)
}

/// Gives a file its name, or another one when that is taken.
fn place(
    files: &dyn Filesystem,
    path: &Path,
    on_exists: OnExists,
    bytes: u64,
    mut put: impl FnMut(&Path, Replace) -> io::Result<()>,
) -> NodeResult<PathBuf> {
    let folder = looked_at(files, path)?;
    let failed = |error: io::Error| refused(path, folder, bytes, &error).at("path");
    match on_exists {
        OnExists::Overwrite => put(path, Replace::Yes).map_err(failed)?,
        OnExists::Error => put(path, Replace::No).map_err(failed)?,
        OnExists::Skip if files.size(path).is_ok() => {}
        OnExists::Skip => match put(path, Replace::No) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        },
        OnExists::Rename => {
            for number in 0..MOST_NAMES {
                let candidate = numbered(path, number);
                if files.size(&candidate).is_ok() {
                    continue;
                }
                match put(&candidate, Replace::No) {
                    Ok(()) => return Ok(candidate),
                    // Another process was faster.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
    }
    Ok(path.to_owned())
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    path.with_file_name(name)
}

/// Why a file could not be written, and what to do.
fn refused(path: &Path, folder: &Path, bytes: u64, error: &io::Error) -> Failure {
    let resource = |message: String, hint: &str| Failure::new(Blame::Resource, message).hint(hint);
    let elsewhere = "choose another folder with `-o`";
    match error.kind() {
        io::ErrorKind::NotFound => resource(
            format!("there is no folder `{}`", folder.display()),
            &format!("make it with `mkdir -p {}`", folder.display()),
        ),
        io::ErrorKind::NotADirectory => {
            resource(format!("`{}` is a file, not a folder", folder.display()), "choose another folder")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            resource(format!("the folder `{}` may not be written", folder.display()), elsewhere)
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => resource(
            format!("no room for `{}`, which has {bytes} bytes: {error}", path.display()),
            "make room on the disk, or choose another folder with `-o`; nothing was lost",
        ),
        io::ErrorKind::AlreadyExists => Failure::new(Blame::Graph, format!("`{}` is there already", path.display()))
            .hint("choose another name, or set `on_exists: Overwrite`"),
        _ => resource(format!("cannot write the {bytes} bytes of `{}`: {error}", path.display()), elsewhere),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::filesystem::OsFilesystem;

    fn put(path: &Path, on_exists: OnExists, text: &str) -> NodeResult<PathBuf> {
        write(&OsFilesystem, path, on_exists, text.as_bytes())
    }

    #[test]
    fn files_appear_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        put(&path, OnExists::Error, "1").unwrap();
        assert!(put(&path, OnExists::Error, "2").is_err());
        assert_eq!(put(&path, OnExists::Skip, "3").unwrap(), path);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1");
        assert_eq!(put(&path, OnExists::Rename, "4").unwrap(), folder.path().join("a-1.png"));
        assert_eq!(put(&path, OnExists::Rename, "5").unwrap(), folder.path().join("a-2.png"));
        put(&path, OnExists::Overwrite, "6").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "6");

        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "no temporary file is left");
    }

    #[test]
    fn bad_places_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no/such/a.png");
        let failure = put(&missing, OnExists::Overwrite, "").unwrap_err();
        assert_eq!(failure.blame, Blame::Resource);
        assert!(failure.message.contains("no/such"), "{}", failure.message);
        let failure = put(folder.path(), OnExists::Overwrite, "").unwrap_err();
        assert!(failure.message.contains("is a folder"));
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(put(&file.join("a.png"), OnExists::Overwrite, "").unwrap_err().blame, Blame::Resource);
    }
}
