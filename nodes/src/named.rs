//! The models that nodes name, by the parameters that name them.

use crate::files::{Purpose, painting, weights};
use engine::{NodeResult, digest::Digest};
use serde_json::{Map, Value};

/// A model that a node names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// A name, or a file.
    pub model: String,
    /// What it is used as; nothing where any file of weights may do.
    pub purpose: Option<Purpose>,
}

/// Parameters that name models, alone, in lists, or in lists of entries with a `model`.
const PARAMETERS: [(&str, Option<Purpose>); 6] = [
    ("model", None),
    ("checkpoint", Some(Purpose::Checkpoint)),
    ("vae", Some(Purpose::Vae)),
    ("controls", Some(Purpose::ControlNet)),
    ("loras", Some(Purpose::Lora)),
    ("embeddings", Some(Purpose::Embedding)),
];

impl Named {
    /// The models that the parameters of a node name.
    pub fn all(parameters: &Map<String, Value>) -> Vec<Self> {
        let of = |(name, purpose): &(&str, Option<Purpose>)| {
            let models = parameters.get(*name).map(texts).unwrap_or_default();
            models.into_iter().map(|model| Self { model, purpose: *purpose }).collect::<Vec<_>>()
        };
        PARAMETERS.iter().flat_map(of).filter(|named| !named.model.is_empty()).collect()
    }

    /// A digest of its content.
    ///
    /// # Errors
    /// When there is no such model, or it cannot be read.
    pub fn digest(&self) -> NodeResult<Digest> {
        let path = weights::place(&self.model, self.purpose)?;
        match self.purpose {
            Some(Purpose::Checkpoint | Purpose::Vae | Purpose::ControlNet) => painting::digest(&path),
            _ => Ok(weights::ModelFile::read(&path)?.digest()),
        }
    }
}

/// The texts of a value that are models: itself, those of a list, and what entries of a list have as `model`.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.get("model").map(texts).unwrap_or_default(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_models_are_seen() {
        let parameters = serde_json::json!({
            "checkpoint": "sd15", "vae": "", "prompt": "model", "tile": 3, "embeddings": ["bad", "good"],
            "loras": [{ "model": "detail", "weight": 0.5 }, { "model": "/etc/passwd.pth" }],
        });
        let Value::Object(parameters) = parameters else { panic!("an object") };
        let found: Vec<String> = Named::all(&parameters).into_iter().map(|named| named.model).collect();
        assert_eq!(found, ["sd15", "detail", "/etc/passwd.pth", "bad", "good"]);
    }
}
