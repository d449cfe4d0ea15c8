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
        (crate::detect::faces_card()?.clone(), faces.digest()),
    ])
}

/// The names and digests of the files of all models that ship in the binary. None is unpacked for this.
pub fn digests() -> [(&'static str, [u8; 32]); 3] {
    let (faithful, detail) = (crate::Faithful::embedded_digest(), crate::Detail::embedded_digest());
    [("faithful", faithful), ("detail", detail), ("faces", crate::faces_digest())]
}

/// The names of the networks that this process has unpacked so far.
pub fn unpacked() -> Vec<&'static str> {
    let all = [("faithful", crate::Faithful::is_unpacked()), ("detail", crate::Detail::is_unpacked())];
    all.into_iter().filter(|(_, unpacked)| *unpacked).map(|(name, _)| name).collect()
}
