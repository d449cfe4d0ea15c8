//! Writing a file so that it is there whole or not at all.

use engine::{
    Blame, Failure, NodeResult,
    filesystem::{Filesystem, Replace, folder_of, publish, sweep},
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
};
use std::{
    io,
    path::{Path, PathBuf},
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
    if path.is_dir() {
        return Err(Failure::new(Blame::Resource, format!("`{}` is a folder", path.display()))
            .at("path")
            .hint("name a file in it, such as `result.png`"));
    }
    let folder = folder_of(path);
    sweep(files, folder);
    let failed = |error: io::Error| refused(path, folder, bytes.len(), &error).at("path");
    match on_exists {
        OnExists::Overwrite => publish(files, path, &[bytes], Replace::Yes).map_err(failed)?,
        OnExists::Error => publish(files, path, &[bytes], Replace::No).map_err(failed)?,
        OnExists::Skip if files.size(path).is_ok() => {}
        OnExists::Skip => match publish(files, path, &[bytes], Replace::No) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        },
        OnExists::Rename => {
            for number in 0..MOST_NAMES {
                let candidate = numbered(path, number);
                if files.size(&candidate).is_ok() {
                    continue;
                }
                match publish(files, &candidate, &[bytes], Replace::No) {
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
fn refused(path: &Path, folder: &Path, bytes: usize, error: &io::Error) -> Failure {
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
