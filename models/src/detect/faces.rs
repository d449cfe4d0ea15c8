//! The faces that are found with no download, by YuNet.

use super::yunet::Yunet;
use super::{Brought, Detector, Found, Kind};
use crate::embedded::Embedded;
use crate::layers::Weights;
use crate::{Card, Compute, Picture, Precision, Result};

/// The network that ships in the binary; where it comes from: `weights/yunet.md`.
static EMBEDDED: Embedded<Faces> = Embedded::new(include_bytes!("../../weights/yunet.safetensors"), Faces::read);

/// Finds faces.
pub(super) struct Faces {
    yunet: Brought,
    card: Card,
}

impl Faces {
    /// # Errors
    /// When the embedded file is damaged.
    pub(super) fn embedded() -> Result<&'static Self> {
        EMBEDDED.get(Precision::F32)
    }

    fn read(file: &[u8], compute: &Compute) -> Result<Self> {
        crate::check_safetensors(file, "faces")?;
        let about = Weights::about(file, "faces")?;
        let weights = Weights::read(file, "faces", "")?.on(compute.clone());
        let card = Card {
            name: "faces",
            about: "finds faces (YuNet)",
            licence: "BSD-3-Clause",
            bytes: file.len() as u64,
            version: about.version,
            trained: about.trained,
        };
        let yunet = Brought { sight: Box::new(Yunet::load(&weights)?), kind: Kind::Faces, digest: Self::file_digest() };
        Ok(Self { yunet, card })
    }

    /// Name, size and licence.
    pub(super) fn card(&self) -> &Card {
        &self.card
    }

    /// blake3 of the model file, which is not unpacked for this.
    pub(super) fn file_digest() -> [u8; 32] {
        EMBEDDED.digest()
    }

    /// Whether this process has unpacked the network.
    pub(super) fn is_unpacked() -> bool {
        EMBEDDED.is_unpacked()
    }
}

impl Detector for Faces {
    fn kind(&self) -> Kind {
        self.yunet.kind()
    }

    fn find(&self, picture: Picture<'_>) -> Result<Vec<Found>> {
        self.yunet.find(picture)
    }

    fn digest(&self) -> [u8; 32] {
        self.yunet.digest()
    }
}
