//! Where files are fetched from.

use std::env;

/// The usual place of Hugging Face.
const HUGGING_FACE: &str = "https://huggingface.co";

/// The places that are asked, besides GitHub.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// Where Hugging Face is.
    pub endpoint: String,
    /// Asked first. They hold the same paths.
    pub mirrors: Vec<String>,
}

impl Sources {
    /// Without anything that a person chose.
    pub(crate) fn usual() -> Self {
        Self { endpoint: HUGGING_FACE.to_owned(), mirrors: Vec::new() }
    }

    /// What was typed, then what the variables say: `UPWEAVE_MIRROR` and `HF_ENDPOINT`.
    ///
    /// # Errors
    /// When one of them is no address.
    pub(crate) fn chosen(mirrors: &[String]) -> Result<Self, String> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let mirrors: Vec<String> = mirrors.iter().cloned().chain(variable("UPWEAVE_MIRROR")).collect();
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| HUGGING_FACE.to_owned());
        if let Some(url) = mirrors.iter().chain([&endpoint]).find(|url| !is_address(url)) {
            return Err(format!("`{url}` is no address to fetch from: it has to begin with https:// or http://"));
        }
        Ok(Self { endpoint, mirrors })
    }
}

fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty()) && url.parse::<ureq::http::Uri>().is_ok_and(|uri| uri.host().is_some())
}
