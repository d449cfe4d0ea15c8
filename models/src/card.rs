//! What there is to say about a model.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

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

/// The kinds of networks that were made of files.
static BROUGHT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// Writes down that a network of this kind is made of a file.
pub(crate) fn unpacks(kind: &'static str) {
    BROUGHT.lock().unwrap_or_else(PoisonError::into_inner).insert(kind);
}

/// The names of the networks that this process has unpacked so far, and the kinds of those that it has made of files.
pub fn unpacked() -> Vec<&'static str> {
    let all = [
        ("faithful", crate::Faithful::is_unpacked()),
        ("detail", crate::Detail::is_unpacked()),
        ("faces", crate::detect::faces_are_unpacked()),
    ];
    let brought = BROUGHT.lock().unwrap_or_else(PoisonError::into_inner);
    all.into_iter().filter(|(_, unpacked)| *unpacked).map(|(name, _)| name).chain(brought.iter().copied()).collect()
}
