//! Writing a file so that it is there whole or not at all.

use super::encode::full;
use engine::{
    Blame, Failure, NodeResult, schemars,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
};
use std::{
    fs::File,
    io::{self, BufWriter, Seek, Write},
    path::{Path, PathBuf},
};

/// What happens when the file is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub enum OnExists {
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

/// Writes a file by way of a temporary one beside it, and tells the name that it got.
///
/// # Errors
/// Those of `fill`, and [`Blame::Resource`] when the folder cannot be written.
pub(crate) fn write(
    path: &Path,
    on_exists: OnExists,
    fill: impl FnOnce(&mut BufWriter<&mut File>) -> NodeResult<()>,
) -> NodeResult<PathBuf> {
    let taken = || {
        Failure::new(Blame::Graph, format!("`{}` is there already", path.display()))
            .at("path")
            .hint("choose another name, or set `on_exists: Overwrite`")
    };
    if path.is_dir() {
        return Err(Failure::new(Blame::Resource, format!("`{}` is a folder", path.display()))
            .at("path")
            .hint("name a file in it, such as `result.png`"));
    }
    match on_exists {
        OnExists::Error if path.exists() => return Err(taken()),
        OnExists::Skip if path.exists() => return Ok(path.to_owned()),
        _ => {}
    }
    // Renaming is atomic only within one file system, so the temporary file lies beside the final one.
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".upweave-").suffix(".part");
    #[cfg(unix)]
    {
        // The temporary file would be private otherwise; the process's mask still applies.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(|error| closed(folder, &error))?;
    // From here on the temporary file goes away by itself when anything fails.
    let mut out = BufWriter::with_capacity(1 << 18, file.as_file_mut());
    fill(&mut out).map_err(|failure| failure.at("path"))?;
    out.flush().map_err(|error| full(&error).at("path"))?;
    drop(out);
    file.as_file().sync_all().map_err(|error| full(&error).at("path"))?;

    let written = match on_exists {
        OnExists::Overwrite => {
            file.persist(path).map_err(|error| closed(folder, &error.error))?;
            path.to_owned()
        }
        // Another process may have taken the name meanwhile: never replace what was to be kept.
        OnExists::Error => {
            file.persist_noclobber(path).map_err(|error| match error.error.kind() {
                io::ErrorKind::AlreadyExists => taken(),
                _ => closed(folder, &error.error),
            })?;
            path.to_owned()
        }
        OnExists::Skip => {
            match file.persist_noclobber(path) {
                Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(closed(folder, &error.error));
                }
                _ => {}
            }
            path.to_owned()
        }
        OnExists::Rename => {
            let mut number = 0;
            loop {
                let candidate = numbered(path, number);
                match file.persist_noclobber(&candidate) {
                    Ok(_) => break candidate,
                    Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists && number < 1_000_000 => {
                        file = error.file;
                        number += 1;
                    }
                    Err(error) => return Err(closed(folder, &error.error)),
                }
            }
        }
    };
    // The name itself survives a crash only when the folder is flushed too; where that is not possible, nothing is lost.
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().ok();
    }
    Ok(written)
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

fn closed(folder: &Path, error: &io::Error) -> Failure {
    let failure = match error.kind() {
        io::ErrorKind::NotFound => Failure::new(Blame::Resource, format!("there is no folder `{}`", folder.display()))
            .hint(format!("make it with `mkdir -p {}`", folder.display())),
        io::ErrorKind::NotADirectory => {
            Failure::new(Blame::Resource, format!("`{}` is a file, not a folder", folder.display()))
                .hint("choose another folder")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Failure::new(Blame::Resource, format!("the folder `{}` may not be written", folder.display()))
                .hint("choose another folder with `-o`")
        }
        _ => Failure::new(Blame::Resource, format!("cannot write into the folder `{}`: {error}", folder.display()))
            .hint("choose another folder with `-o`"),
    };
    failure.at("path")
}

// `Seek` is what TIFF and EXR need to fill in their offsets at the end.
const _: fn() = || {
    fn needs<T: Write + Seek>() {}
    needs::<BufWriter<&mut File>>();
};

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, on_exists: OnExists, text: &str) -> NodeResult<PathBuf> {
        write(path, on_exists, |out| out.write_all(text.as_bytes()).map_err(|e| full(&e)))
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

        let failed = write(&path, OnExists::Overwrite, |out| {
            out.write_all(b"half").unwrap();
            Err(Failure::internal("stopped"))
        });
        assert!(failed.is_err());
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
