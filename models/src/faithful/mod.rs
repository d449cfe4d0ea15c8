//! The faithful network: the picture with the least expected error at one, two or four times its size, given how it is
//! damaged. It is the answer at creativity 0.

mod net;
mod run;

use crate::embedded::Embedded;
use crate::layers::Weights;
use crate::{Card, Compute, DamageCondition, Factor, Picture, Precision, Result, Watch};
use net::Net;

/// The network that ships in the binary.
static EMBEDDED: Embedded<Faithful> =
    Embedded::new(include_bytes!("../../weights/faithful.safetensors"), Faithful::from_safetensors);

/// The faithful network with its weights.
pub struct Faithful {
    net: Net,
    card: Card,
    digest: [u8; 32],
}

impl Faithful {
    /// A good edge for the tiles of [`Faithful::enlarge`], in pixels of the input.
    pub const TILE: u32 = 1024;

    /// The network that ships in the binary, unpacked on the first call for each precision.
    ///
    /// # Errors
    /// When the embedded file is damaged.
    pub fn embedded(precision: Precision) -> Result<&'static Self> {
        EMBEDDED.get(precision)
    }

    /// blake3 of the model file that ships in the binary. It is not unpacked for this.
    pub fn embedded_digest() -> [u8; 32] {
        EMBEDDED.digest()
    }

    /// Whether this process has unpacked the network that ships in the binary.
    pub fn is_unpacked() -> bool {
        EMBEDDED.is_unpacked()
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
    /// the other, each on all threads, from top to bottom in bands that stay in the cache. Every tile size gives the same bits.
    /// Besides the result, [`Faithful::bytes_at_work`] are needed.
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

    /// Bytes of the maps that live at once when a tile comes in that is so wide and high, its margin included.
    pub fn bytes_at_work(&self, width: u32, height: u32, factor: Factor) -> u64 {
        self.net.bytes_at_work(width as usize, height as usize, factor)
    }

    /// Floating-point operations per pixel of the input, the tiles' margins left out.
    pub fn flops_per_pixel(&self, factor: Factor) -> f64 {
        self.net.flops(factor)
    }
}

#[cfg(test)]
mod tests;
