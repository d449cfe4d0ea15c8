//! Where pictures come from and where everything goes: so that no result comes back as a picture.

use crate::{commands::upscale::Refused, naming::numbered};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The folders of a watcher.
#[derive(Debug)]
pub(crate) struct Places {
    pub input: PathBuf,
    pub output: PathBuf,
    /// Where pictures go once they are done; nothing to leave them.
    pub done: Option<PathBuf>,
    /// Where pictures go that cannot be made.
    pub failed: Option<PathBuf>,
    pub ledger: PathBuf,
}

impl Places {
    /// Makes the folders that results go to.
    ///
    /// # Errors
    /// When results could come back as pictures, or a folder cannot be made.
    pub(crate) fn new(
        input: &Path,
        output: &Path,
        done: Option<&Path>,
        failed: Option<&Path>,
        ledger: Option<&Path>,
    ) -> Result<Self, Refused> {
        let whole = |folder: &Path| {
            folder.canonicalize().map_err(|error| {
                Refused::hint(
                    format!("the folder `{}` cannot be used: {error}", folder.display()),
                    "check its permissions",
                )
            })
        };
        let elsewhere = "name another folder; one inside the watched folder is fine";
        if !input.is_dir() {
            return Err(Refused::hint(format!("there is no folder `{}` to watch", input.display()), "make it first"));
        }
        let from = whole(input)?;
        for (folder, what) in [(Some(output), "-o"), (done, "--done"), (failed, "--failed")] {
            let Some(folder) = folder else { continue };
            fs::create_dir_all(folder).map_err(|error| {
                Refused::hint(format!("the folder `{}` cannot be made: {error}", folder.display()), "name another one")
            })?;
            let to = whole(folder)?;
            let named = format!("`{what} {}`", folder.display());
            if to == from {
                let message = format!("{named} is the watched folder itself: results would come back as pictures");
                return Err(Refused::hint(message, elsewhere));
            }
            if from.starts_with(&to) {
                let watched = input.display();
                return Err(Refused::hint(
                    format!("the watched folder `{watched}` lies inside {named}: results could come back as pictures"),
                    elsewhere,
                ));
            }
        }
        let ledger = ledger.map_or_else(|| output.join(".upweave-watch.jsonl"), Path::to_owned);
        Ok(Self {
            input: input.to_owned(),
            output: output.to_owned(),
            done: done.map(Path::to_owned),
            failed: failed.map(Path::to_owned),
            ledger,
        })
    }

    /// The folders inside the watched one whose files are not taken.
    pub(super) fn avoided(&self) -> Vec<PathBuf> {
        let folders = [Some(&self.output), self.done.as_ref(), self.failed.as_ref()];
        folders.into_iter().flatten().filter_map(|folder| folder.canonicalize().ok()).collect()
    }
}

/// Moves a file, also to another disk, to a name that is free.
pub(super) fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    for name in (0..).map(|number| numbered(to, number)) {
        // The name is taken by an empty file first, so that two watchers do not move onto each other.
        match File::create_new(&name) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
        let moved = match fs::rename(from, &name) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                fs::copy(from, &name).and_then(|_| File::open(&name)?.sync_all()).and_then(|()| fs::remove_file(from))
            }
            moved => moved,
        };
        // What is left of a move that failed: nothing but the name, or a copy of what is still there.
        if moved.is_err() && (from.exists() || fs::metadata(&name).is_ok_and(|about| about.len() == 0)) {
            fs::remove_file(&name)?;
        }
        return moved;
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_cannot_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("in/sub")).unwrap();
        let told = |result: Result<Places, Refused>| match result {
            Err(Refused::Usage(message, _)) => message,
            _ => String::new(),
        };
        let new = |output: &str| Places::new(&at("in"), &at(output), None, None, None);
        assert!(told(new("in")).contains("itself"));
        assert!(told(new(".")).contains("lies inside"));
        assert!(told(new("in/sub/..")).contains("itself"));
        let inside = new("in/out").ok().expect("a folder inside is fine");
        assert_eq!(inside.avoided(), [at("in/out").canonicalize().unwrap()]);
        assert!(told(Places::new(&at("none"), &at("out"), None, None, None)).contains("no folder"));
        assert!(told(Places::new(&at("in"), &at("out"), Some(&at("in")), None, None)).contains("--done"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("in"), at("link")).unwrap();
            assert!(told(new("link")).contains("itself"));
        }
    }

    #[test]
    fn moving_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for text in ["one", "two"] {
            fs::write(at("a.png"), text).unwrap();
            move_to(&at("a.png"), &at("done/sub/a.png")).unwrap();
        }
        assert_eq!(fs::read_to_string(at("done/sub/a.png")).unwrap(), "one");
        assert_eq!(fs::read_to_string(at("done/sub/a-1.png")).unwrap(), "two");
        assert!(move_to(&at("none.png"), &at("done/none.png")).is_err());
        assert!(!at("a.png").exists() && !at("done/none.png").exists());
    }
}
