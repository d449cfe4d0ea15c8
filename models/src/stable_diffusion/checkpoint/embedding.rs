//! Tokens with vectors of their own (textual inversion, Gal et al. 2022).

use std::path::Path;

use crate::files::{Mapped, Tensors};
use crate::{Error, Result};

/// Widths of the text encoders: ViT-L, OpenCLIP ViT-H, OpenCLIP ViT-bigG.
const WIDTHS: [usize; 3] = [768, 1024, 1280];

/// Most vectors of a token: more than a text has room for make no sense.
const MOST_ROWS: usize = 75;

/// A token that stands for vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// What stands for it in a text: the name of its file, or what the file says.
    pub name: String,
    /// For each text encoder that it is for.
    pub vectors: Vec<Vectors>,
}

/// The vectors of a token for a text encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// Channels of the encoder: 768 for ViT-L, 1024 for OpenCLIP ViT-H, 1280 for OpenCLIP ViT-bigG.
    pub width: usize,
    /// One vector after the other; each takes the place of a token.
    pub values: Vec<f32>,
}

impl Embedding {
    /// Reads the tokens of a file: of AUTOMATIC1111's (`.pt` with `string_to_param`, `.safetensors` with `emb_params`, SDXL's with `clip_l`
    /// and `clip_g`), or of diffusers' (`.bin`, `.safetensors`: each token by its name). The former are called as their file.
    ///
    /// # Errors
    /// When it cannot be read, or holds no vectors of a text encoder that is known.
    pub fn open(path: &Path) -> Result<Vec<Self>> {
        let name = path.display().to_string();
        let broken = |message: String| Error::Weights { file: name.clone(), message };
        let file = Mapped::open(path).map_err(broken)?;
        let tensors = Tensors::read(&name, file.bytes(), None)?;
        if !Self::looks(&tensors) {
            let first = tensors.names().next().unwrap_or_default().to_owned();
            return Err(broken(format!("it is no embedding: its tensor `{first}` is no vector of a text encoder")));
        }
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut found: Vec<Self> = vec![];
        for tensor in tensors.names().filter(|name| !is_number(name)) {
            let called = if is_nameless(tensor) { &stem } else { tensor };
            let vectors = vectors(&name, &tensors, tensor)?;
            match found.iter_mut().find(|embedding| embedding.name == *called) {
                Some(embedding) => embedding.vectors.push(vectors),
                None => found.push(Self { name: called.to_owned(), vectors: vec![vectors] }),
            }
        }
        file.unchanged().map_err(broken)?;
        Ok(found)
    }

    /// Whether a file looks like one: a few vectors, and nothing else.
    pub(super) fn looks(tensors: &Tensors<'_>) -> bool {
        let mut vectors = 0;
        let all = tensors.names().filter(|name| !is_number(name)).all(|name| {
            vectors += 1;
            let shape = tensors.get(name).map(|tensor| tensor.shape()).unwrap_or_default();
            matches!(shape, [.., width] if WIDTHS.contains(width) && shape.len() <= 2)
                && (is_nameless(name) || is_token(name) || tensors.names().count() == 1)
        });
        all && vectors > 0
    }

    /// A token that lies beside other tensors.
    pub(super) fn of_token(file: &str, tensors: &Tensors<'_>, token: &str) -> Result<Self> {
        Ok(Self { name: token.to_owned(), vectors: vec![vectors(file, tensors, token)?] })
    }
}

/// Tensors that are called by what they are for, and not by their token.
fn is_nameless(name: &str) -> bool {
    matches!(name, "*" | "emb_params" | "clip_l" | "clip_g") || name.starts_with("string_to_param.")
}

/// Numbers that stand beside the vectors: which token of the vocabulary was replaced.
fn is_number(name: &str) -> bool {
    name.starts_with("string_to_token")
}

fn is_token(name: &str) -> bool {
    name.starts_with('<') && name.ends_with('>')
}

fn vectors(file: &str, tensors: &Tensors<'_>, name: &str) -> Result<Vectors> {
    let missing = || Error::TensorMissing { file: file.into(), tensor: name.into() };
    let tensor = tensors.get(name).ok_or_else(missing)?;
    let (rows, width) = match *tensor.shape() {
        [width] => (1, width),
        [rows, width] => (rows, width),
        _ => (0, 0),
    };
    if !WIDTHS.contains(&width) || rows == 0 || rows > MOST_ROWS {
        return Err(Error::TensorShape {
            file: file.into(),
            tensor: name.into(),
            found: tensor.shape().to_vec(),
            wanted: format!("1 to {MOST_ROWS} vectors of {WIDTHS:?} values"),
        });
    }
    let values = tensor.values().filter(|values| values.iter().all(|value| value.is_finite()));
    let wrong = || Error::Weights {
        file: file.into(),
        message: format!("tensor `{name}` holds values that are no finite numbers"),
    };
    Ok(Vectors { width, values: values.ok_or_else(wrong)? })
}
