//! Models that are known and may be shared: what they are for, where they come from, and their licences.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A model.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// What an import is called.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// SPDX identifier.
    pub licence: String,
    /// Owner and name on GitHub.
    repository: String,
    /// Commit.
    revision: String,
    /// Its files, the first one being what `upweave models import` is given.
    files: Vec<File>,
}

/// Path in the repository, bytes, and SHA-256 in hexadecimal digits.
#[derive(Deserialize)]
struct File(String, u64, String);

impl Entry {
    /// Where its files can be fetched.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = String> {
        let Self { repository, revision, .. } = self;
        self.files.iter().map(move |File(path, ..)| format!("https://github.com/{repository}/raw/{revision}/{path}"))
    }

    /// Bytes of all its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|File(_, bytes, _)| bytes).sum()
    }
}

/// All models that are known.
///
/// # Errors
/// When the list inside the program is damaged.
pub(crate) fn entries() -> Result<Vec<Entry>, String> {
    ron::from_str(models::CATALOG).map_err(|error| format!("the list of models is damaged: {error}"))
}

/// The model that a file of these bytes is.
pub(crate) fn find(bytes: &[u8]) -> Option<Entry> {
    let length = bytes.len() as u64;
    let mut entries = entries().ok()?;
    // Digests are computed only of what has the right size.
    entries.retain(|entry| entry.files.iter().any(|File(_, bytes, _)| *bytes == length));
    let digest = (!entries.is_empty()).then(|| sha256(bytes))?;
    entries.into_iter().find(|entry| entry.files.iter().any(|File(_, _, known)| *known == digest))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole() {
        let entries = entries().expect("it can be read");
        for entry in &entries {
            assert!(nodes::files::is_model_name(&entry.name), "{}", entry.name);
            assert!(["Apache-2.0", "MIT", "BSD-3-Clause"].contains(&entry.licence.as_str()), "{}", entry.licence);
            assert_eq!(entries.iter().filter(|other| other.name == entry.name).count(), 1, "{}", entry.name);
            assert!(!entry.files.is_empty() && entry.bytes() > 0 && entry.revision.len() == 40);
            for File(_, _, digest) in &entry.files {
                assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
            }
        }
        assert!(["faces", "hands"].into_iter().all(|name| entries.iter().any(|entry| entry.name == name)));
    }

    #[test]
    fn files_are_known_by_their_content() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(find(&[0; 747_497]).is_none());
        let Some(data) = std::env::var_os("UPWEAVE_DATA") else {
            println!("skipped: UPWEAVE_DATA is not set");
            return;
        };
        let weights = std::path::Path::new(&data).join("weights");
        for (file, name) in [
            ("yunet/yunet_n.pth", "faces"),
            ("blazepalm-onnx/palm_detection_barracuda.onnx", "hands"),
            ("realesr-animevideov3-ncnn/realesr-animevideov3-x4.bin", "realesr-animevideov3"),
            ("dncnn/dncnn_25.pth", "dncnn-25"),
        ] {
            let bytes = std::fs::read(weights.join(file)).expect("UPWEAVE_DATA has the weights");
            assert_eq!(find(&bytes).map(|entry| entry.name).as_deref(), Some(name));
        }
    }
}
