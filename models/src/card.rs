//! What there is to say about a model.

use crate::{Precision, Result};

/// What `upweave models list` says about a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// The licence of the weights, as an SPDX expression.
    pub licence: &'static str,
    /// Size of the file.
    pub bytes: u64,
    /// Version of the weights; empty when the file does not say.
    pub version: String,
    /// How they were trained, in one line; empty when the file does not say.
    pub trained: String,
}

/// The cards and digests of all models that ship in the binary.
///
/// # Errors
/// When an embedded file is damaged.
pub fn cards() -> Result<Vec<(Card, [u8; 32])>> {
    let (faithful, detail, faces) =
        (crate::Faithful::embedded(Precision::F32)?, crate::Detail::embedded(Precision::F32)?, crate::faces()?);
    Ok(vec![
        (faithful.card().clone(), faithful.digest()),
        (detail.card().clone(), detail.digest()),
        (faces.card().clone(), faces.digest()),
    ])
}
