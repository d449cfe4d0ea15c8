//! The faithful network: the picture with the least expected error at one, two or four times its size, given how it is
//! damaged. It is the answer at creativity 0.

mod net;
mod run;

use std::sync::OnceLock;

use crate::layers::Weights;
use crate::{Card, Compute, DamageCondition, Factor, Picture, Precision, Result, Watch};
use net::Net;

/// The network that ships in the binary, and what it is once it is unpacked: in f32, in bf16.
static FILE: &[u8] = include_bytes!("../../weights/faithful.safetensors");
static NETS: [OnceLock<Result<Faithful>>; 2] = [const { OnceLock::new() }; 2];

/// The faithful network with its weights.
pub struct Faithful {
    net: Net,
    card: Card,
    digest: [u8; 32],
}

impl Faithful {
    /// A good edge for the tiles of [`Faithful::enlarge`], in pixels of the input.
    pub const TILE: u32 = 256;

    /// The network that ships in the binary, unpacked on the first call for each precision.
    ///
    /// # Errors
    /// When the embedded file is damaged.
    pub fn embedded(precision: Precision) -> Result<&'static Self> {
        let net = &NETS[usize::from(precision == Precision::Bf16)];
        net.get_or_init(|| Self::from_safetensors(FILE, &Compute::cpu(precision))).as_ref().map_err(Clone::clone)
    }

    /// blake3 of the model file that ships in the binary. It is not unpacked for this.
    pub fn embedded_digest() -> [u8; 32] {
        static DIGEST: OnceLock<[u8; 32]> = OnceLock::new();
        *DIGEST.get_or_init(|| *blake3::hash(FILE).as_bytes())
    }

    /// Whether this process has unpacked the network that ships in the binary.
    pub fn is_unpacked() -> bool {
        NETS.iter().any(|net| net.get().is_some())
    }

    /// Reads a network of any width and number of blocks from the bytes of a safetensors file.
    ///
    /// # Errors
    /// When the file is no faithful network, or a tensor is missing, misshaped or not finite.
    pub fn from_safetensors(file: &[u8], compute: &Compute) -> Result<Self> {
        crate::check_safetensors(file, "faithful")?;
        let about = Weights::about(file, "faithful")?;
        let net = Net::load(&Weights::read(file, "faithful", "")?.on(compute.clone()))?;
        let card = Card {
            name: "faithful",
            about: "enlarges and restores with the least error",
            licence: "MIT OR Apache-2.0",
            bytes: file.len() as u64,
            version: about.version,
            trained: about.trained,
        };
        Ok(Self { net, card, digest: *blake3::hash(file).as_bytes() })
    }

    /// Enlarges a picture. Returns three planes of the enlarged size; values may leave 0..1 a little.
    ///
    /// The network runs on cells of `tile` x `tile` pixels of the picture with a margin of [`Faithful::radius`], one after
    /// the other, each on all threads. Every tile size gives the same bits. Besides the result, 16 bytes per channel of the
    /// network and pixel of one tile with its margin are needed: 66 MB for 256 pixels and 48 channels in f32, half of it in bf16.
    ///
    /// # Errors
    /// A picture that does not fit its size, a `tile` of 0, too little memory, or what `watch` stopped with; it is asked
    /// before each tile.
    pub fn enlarge(
        &self,
        picture: Picture<'_>,
        damage: DamageCondition,
        factor: Factor,
        tile: u32,
        watch: &mut dyn Watch,
    ) -> Result<Vec<f32>> {
        run::enlarge(&self.net, picture, damage, factor, tile, watch)
    }

    /// blake3 of the model file.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Name, size and licence.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// How far an output pixel looks, in pixels of the input.
    pub fn radius(&self) -> u32 {
        // A network deeper than u32 cannot be held in memory.
        u32::try_from(self.net.radius()).unwrap_or(u32::MAX)
    }

    /// Floating-point operations per pixel of the input, the tiles' margins left out.
    pub fn flops_per_pixel(&self, factor: Factor) -> f64 {
        self.net.flops(factor)
    }
}

#[cfg(test)]
mod tests;
