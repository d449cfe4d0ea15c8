//! Which file lies where.

use super::room::Held;
use crate::{digest::Digest, filesystem::Filesystem};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Tells programs that make backups to leave a folder out (bford.info/cachedir).
const TAG: (&str, &str) = (
    "CACHEDIR.TAG",
    "Signature: 8a477f597d28d172789f06886806bc55\n# Results that upweave keeps. It can be removed at any time.\n",
);
/// Raised when the files in it are made differently.
const VERSION: &str = "1";

/// The folder of a cache.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    pub files: Arc<dyn Filesystem>,
}

impl Layout {
    pub(super) fn new(root: &Path, files: Arc<dyn Filesystem>) -> Self {
        Self { root: root.to_owned(), files }
    }

    /// The folder as the person knows it.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The text that marks the folder as a cache, and where it goes.
    pub(super) fn tag(&self) -> (PathBuf, &'static str) {
        (self.root.join(TAG.0), TAG.1)
    }

    fn at(&self, what: &str) -> PathBuf {
        self.root.join(VERSION).join(what)
    }

    pub(super) fn action(&self, action: Digest) -> PathBuf {
        spread(&self.at("actions"), action)
    }

    pub(super) fn content(&self, digest: Digest) -> PathBuf {
        spread(&self.at("contents"), digest)
    }

    /// The lock for computing an action. Several actions share one: then one waits for nothing, which does no harm.
    pub(super) fn claim(&self, action: Digest) -> PathBuf {
        self.locks().join(&action.to_string()[..3])
    }

    pub(super) fn locks(&self) -> PathBuf {
        self.at("locks")
    }

    pub(super) fn ledger(&self) -> PathBuf {
        self.locks().join("ledger")
    }

    pub(super) fn pins(&self) -> PathBuf {
        self.at("pins")
    }

    /// The folders that files lie in, whether they are there or not.
    pub(super) fn folders(&self) -> impl Iterator<Item = (bool, PathBuf)> + '_ {
        ["actions", "contents"].into_iter().flat_map(move |what| {
            let folder = self.at(what);
            (0..=255u8).map(move |first| (what == "contents", folder.join(format!("{first:02x}"))))
        })
    }

    /// All files.
    pub(super) fn held(&self) -> Vec<Held> {
        let mut held = Vec::new();
        for (contents, folder) in self.folders() {
            for listed in self.files.list(&folder).unwrap_or_default() {
                let content = contents.then(|| digest_of(&folder, &listed.name)).flatten();
                held.push(Held { path: folder.join(&listed.name), listed, content });
            }
        }
        held
    }
}

/// A file that is named by a digest, in one of 256 folders: some systems are slow with very many files in one.
fn spread(folder: &Path, digest: Digest) -> PathBuf {
    let name = digest.to_string();
    folder.join(&name[..2]).join(&name[2..])
}

/// The digest that a file is named by.
pub(super) fn digest_of(folder: &Path, name: &str) -> Option<Digest> {
    let text = format!("{}{name}", folder.file_name()?.to_str()?);
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(Digest(digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{digest::Digester, filesystem::OsFilesystem};

    #[test]
    fn a_file_tells_its_digest() {
        let layout = Layout::new(Path::new("cache"), Arc::new(OsFilesystem));
        let digest = Digester::new("x").finish();
        let path = layout.content(digest);
        let (folder, name) = (path.parent().expect("a folder"), path.file_name().expect("a name"));
        assert_eq!(digest_of(folder, name.to_str().expect("text")), Some(digest));
        assert_eq!(digest_of(folder, ".upweave-1-0.part"), None);
        assert!(layout.folders().any(|(contents, known)| contents && known == folder));
    }
}
