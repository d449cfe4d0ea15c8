//! Tests against diffusers (golden files of `models/tests/parity/checkpoints.py` and `loras.py`) and by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::Dtype;

use super::parts::{places, taken};
use super::*;
use crate::files::{Format, Tensor};
use crate::testing::errors;

mod folders;
mod identities;
mod loras;
mod names;
mod outputs;

/// A golden file, from the folder that `UPWEAVE_GOLDENS` names or the repository's.
fn golden(name: &str) -> PathBuf {
    let folder = std::env::var_os("UPWEAVE_GOLDENS").map(PathBuf::from);
    folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")).join(name)
}

/// A line of a list: a name and a shape, and what else stands there.
fn listed(text: &str) -> Vec<(String, Vec<usize>, Vec<String>)> {
    let shape = |text: &str| -> Vec<usize> {
        let sides = text.trim_matches(['[', ']']).split(',').filter(|side| !side.is_empty());
        sides.map(|side| side.parse().unwrap()).collect()
    };
    let line = |line: &str| {
        let mut words = line.split(' ');
        let (name, sides) = (words.next().unwrap().to_owned(), shape(words.next().unwrap()));
        (name, sides, words.map(str::to_owned).collect())
    };
    text.lines().map(line).collect()
}

/// Tensors of bytes without values, all of which lie in the same room.
fn hollow(shapes: impl IntoIterator<Item = (String, Vec<usize>)>, room: &[u8]) -> Tensors<'_> {
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let len = shape.iter().product();
        (name, Tensor::new(Dtype::U8, shape, &room[..len]).unwrap())
    };
    Tensors::of(Format::Safetensors, shapes.into_iter().map(tensor).collect())
}

/// Room for the largest tensor there is: the vocabulary of ViT-bigG. The system gives pages only where they are looked at.
fn room() -> Vec<u8> {
    vec![0; 49_408 * 1280]
}

/// What a test writes and reads.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// The bytes of a safetensors file of f32.
fn safetensors_of(tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>, metadata: &[(&str, &str)]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> =
        tensors.values().map(|(_, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let named = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, (shape, _)), bytes)| (name.clone(), Tensor::new(Dtype::F32, shape.clone(), &bytes[..]).unwrap()));
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Tensors::of(Format::Safetensors, named.collect()).to_safetensors("test", metadata).unwrap()
}

/// A tensor of a golden file: its shape and its values.
fn values(file: &[u8], name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensors = Tensors::safetensors("golden", file).unwrap();
    let tensor = tensors.get(name).unwrap();
    (tensor.shape().to_vec(), tensor.values().unwrap())
}

/// Makes sure that outputs are those of the reference.
fn close(name: &str, wanted: &[f32], found: &[f32]) {
    let (worst, _) = errors(wanted, found);
    assert!(worst < 1e-4, "{name}: {worst}");
}
