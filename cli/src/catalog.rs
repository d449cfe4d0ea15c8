//! Models that are known: what they are for, where they come from, and their licences.

use crate::download::Sources;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    env, fmt, fs, io,
    path::{Component, Path},
};

/// The variable that names another list in place of the one inside the program.
const VARIABLE: &str = "UPWEAVE_CATALOG";

/// A model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// What it is called once it is here.
    pub name: String,
    /// What it is for.
    pub about: String,
    pub kind: Kind,
    /// SPDX identifier, or that of Hugging Face.
    pub licence: String,
    /// Where the licence can be read.
    #[serde(default)]
    pub terms: String,
    /// Whether the licence lets everyone use it for money.
    #[serde(default = "yes")]
    pub commercial: bool,
    pub source: Source,
    /// Commit.
    pub revision: String,
    /// Its files, the first one being what `upweave models import` is given.
    pub files: Vec<File>,
}

fn yes() -> bool {
    true
}

/// What a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Kind {
    Upscaler,
    Restorer,
    Detector,
    Checkpoint,
    Vae,
    Preview,
    Lora,
    ControlNet,
}

impl Kind {
    /// Whether it is converted to safetensors when it arrives.
    pub(crate) fn converted(self) -> bool {
        matches!(self, Self::Upscaler | Self::Restorer | Self::Detector)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upscaler => "upscaler",
            Self::Restorer => "restorer",
            Self::Detector => "detector",
            Self::Checkpoint => "checkpoint",
            Self::Vae => "VAE",
            Self::Preview => "preview decoder",
            Self::Lora => "LoRA",
            Self::ControlNet => "ControlNet",
        })
    }
}

/// Where the files of a model come from: owner and name of a repository.
#[derive(Clone, Debug, Deserialize)]
pub(crate) enum Source {
    GitHub(String),
    HuggingFace(String),
}

/// Path in the repository, bytes, and SHA-256 in hexadecimal digits.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct File(pub String, pub u64, pub String);

impl File {
    /// Its name without folders.
    pub(crate) fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl Entry {
    /// Where its files can be fetched, the usual way.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = String> {
        let sources = Sources::usual();
        self.files.iter().filter_map(move |file| self.addresses_of(file, &sources).pop())
    }

    /// Where one of its files can be fetched, in the order in which they are tried.
    pub(crate) fn addresses_of(&self, file: &File, sources: &Sources) -> Vec<String> {
        let Self { revision, .. } = self;
        let path = escaped(&file.0);
        let (origin, path) = match &self.source {
            Source::GitHub(repository) => ("https://github.com", format!("{repository}/raw/{revision}/{path}")),
            Source::HuggingFace(repository) => (&*sources.endpoint, format!("{repository}/resolve/{revision}/{path}")),
        };
        let bases = sources.mirrors.iter().map(String::as_str).chain([origin]);
        bases.map(|base| format!("{}/{path}", base.trim_end_matches('/'))).collect()
    }

    /// Bytes of all its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|File(_, bytes, _)| bytes).sum()
    }

    /// Whether it lies in a folder of its own.
    pub(crate) fn is_folder(&self) -> bool {
        !self.kind.converted() && self.files.len() > 1
    }

    /// The command that fetches it, and what that takes, as a hint.
    pub(crate) fn how(&self) -> String {
        format!("run `upweave models pull {}` ({}, licence {})", self.name, engine::bytes(self.bytes()), self.licence)
    }

    /// What is wrong with it. Lists of others are not trusted.
    fn mistake(&self) -> Option<String> {
        let plain = |path: &str| {
            !path.contains('\\') && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
        };
        if !is_plain_name(&self.name) {
            return Some("no model can be called so".to_owned());
        }
        if self.files.is_empty() {
            return Some("it has no files".to_owned());
        }
        if !self.kind.converted() && self.files.len() == 1 && !self.files[0].0.ends_with(".safetensors") {
            return Some("what is kept as it is has to be a safetensors file".to_owned());
        }
        self.files.iter().find_map(|File(path, _, digest)| match path {
            path if path.is_empty() || !plain(path) => Some(format!("`{path}` is no path in a repository")),
            _ if digest.len() != 64 || !digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => {
                Some(format!("`{digest}` is no SHA-256"))
            }
            _ => None,
        })
    }
}

/// Whether a model of the user's can be called so.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.contains('/') && nodes::files::is_model_name(name)
}

/// A path as part of an address.
fn escaped(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/+,@".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// All models that are known.
///
/// # Errors
/// When the list is damaged.
pub(crate) fn entries() -> Result<Vec<Entry>, String> {
    let file = env::var_os(VARIABLE).filter(|file| !file.is_empty());
    let (name, text) = match &file {
        Some(file) => {
            let name = format!("`{}`", Path::new(file).display());
            let text =
                fs::read_to_string(file).map_err(|error| format!("{name} ({VARIABLE}) cannot be read: {error}"))?;
            (name, text)
        }
        None => ("inside the program".to_owned(), models::CATALOG.to_owned()),
    };
    let entries: Vec<Entry> =
        ron::from_str(&text).map_err(|error| format!("the list of models {name} is damaged: {error}"))?;
    match entries.iter().find_map(|entry| Some((&entry.name, entry.mistake()?))) {
        Some((model, mistake)) => Err(format!("the list of models {name} is damaged: `{model}`: {mistake}")),
        None => Ok(entries),
    }
}

/// The model of a name.
pub(crate) fn named(name: &str) -> Option<Entry> {
    entries().ok()?.into_iter().find(|entry| entry.name == name)
}

/// The model that a file of these bytes is.
pub(crate) fn find(bytes: &[u8]) -> Option<Entry> {
    let length = bytes.len() as u64;
    let mut entries = entries().ok()?;
    // Digests are computed only of what has the right size.
    entries.retain(|entry| entry.files.iter().any(|File(_, bytes, _)| *bytes == length));
    let digest = (!entries.is_empty()).then(|| hex(&Sha256::digest(bytes)))?;
    entries.into_iter().find(|entry| entry.files.iter().any(|File(_, _, known)| *known == digest))
}

/// The model that a file is, of those that are kept as they come. It is read only when its size is right.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn kept_as_it_is(path: &Path) -> io::Result<Option<Entry>> {
    let Ok(bytes) = fs::metadata(path).map(|about| about.len()) else { return Ok(None) };
    let mut entries = entries().unwrap_or_default();
    entries.retain(|entry| !entry.kind.converted() && matches!(&entry.files[..], [one] if one.1 == bytes));
    if entries.is_empty() {
        return Ok(None);
    }
    let Ok(digest) = crate::installed::digest(path, &|_| Ok(())) else { return Ok(None) };
    let digest = digest?;
    Ok(entries.into_iter().find(|entry| entry.files[0].2 == digest))
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole() {
        let entries = entries().expect("it can be read");
        let licences = ["Apache-2.0", "MIT", "BSD-3-Clause", "creativeml-openrail-m", "openrail", "openrail++"];
        for entry in &entries {
            // What all may use, unless it says otherwise.
            assert!(licences.contains(&entry.licence.as_str()) || !entry.commercial, "{}", entry.licence);
            assert!(entry.kind.converted() || entry.licence == "MIT" || entry.terms.starts_with("https://"));
            assert_eq!(entries.iter().filter(|other| other.name == entry.name).count(), 1, "{}", entry.name);
            assert!(entry.bytes() > 0 && entry.revision.len() == 40, "{}", entry.name);
        }
        assert!(["faces", "hands", "sd15"].into_iter().all(|name| entries.iter().any(|entry| entry.name == name)));
    }

    #[test]
    fn mistakes_are_told() {
        let entry = |name: &str, path: &str, digest: &str| Entry {
            files: vec![File(path.to_owned(), 1, digest.to_owned())],
            name: name.to_owned(),
            ..named("faces").expect("it is known")
        };
        let digest = "0".repeat(64);
        assert!(entry("a", "b/c.bin", &digest).mistake().is_none());
        for (name, path, digest) in [
            ("../a", "b", &*digest),
            ("a/b", "b", &digest),
            ("a", "../b", &digest),
            ("a", "/b", &digest),
            ("a", "", &digest),
            ("a", "b", "0"),
        ] {
            assert!(entry(name, path, digest).mistake().is_some(), "{name} {path}");
        }
    }

    #[test]
    fn addresses_of_both_kinds_of_sources_and_mirrors() {
        let usual = Sources::usual();
        let of = |name: &str, sources: &Sources| {
            let entry = named(name).expect("it is known");
            entry.addresses_of(&entry.files[0], sources)
        };
        assert_eq!(
            of(
                "taesd",
                &Sources { endpoint: "http://hf.example/".into(), mirrors: vec!["https://m.example/x".into()] }
            ),
            [
                "https://m.example/x/madebyollin/taesd/resolve/614f76814bbe30edbe2e627ace1c2234c81a2c0e/diffusion_pytorch_model.safetensors",
                "http://hf.example/madebyollin/taesd/resolve/614f76814bbe30edbe2e627ace1c2234c81a2c0e/diffusion_pytorch_model.safetensors",
            ]
        );
        assert!(of("faces", &usual)[0].starts_with("https://github.com/ShiqiYu/libfacedetection.train/raw/0047ac24"));
        assert_eq!(escaped("a b/c+d%.bin"), "a%20b/c+d%25.bin");
    }

    #[test]
    fn files_are_known_by_their_content() {
        assert_eq!(hex(&Sha256::digest(b"abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
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
