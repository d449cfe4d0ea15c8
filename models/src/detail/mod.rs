//! The detail network: a conditional flow that carries noise to a plausible residual over the faithful picture.

mod net;
mod run;

use crate::embedded::Embedded;
use crate::layers::Weights;
use crate::{Backbone, Card, Compute, Error, Picture, Precision, Result, Watch};
use net::Net;
use std::sync::OnceLock;

/// What kind of picture it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// Anything.
    Universal,
    /// Photographs.
    Realism,
    /// Flat colours and ink lines.
    Anime,
    /// Thick paint with relief.
    Impasto,
    /// Washes on paper.
    Watercolor,
}

impl Style {
    /// All styles, in the order of the network's condition.
    pub const ALL: [Self; 5] = [Self::Universal, Self::Realism, Self::Anime, Self::Impasto, Self::Watercolor];

    /// Whether it is drawn or painted by hand.
    pub fn is_painting(self) -> bool {
        matches!(self, Self::Anime | Self::Impasto | Self::Watercolor)
    }
}

/// How detail is sampled.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Picks one of the plausible residuals.
    pub seed: u64,
    /// Euler steps, 1 to 1000. For two there are weights of their own, which get as far as eight steps of the others.
    pub steps: u32,
    /// How much is missing from the condition: log2 of the enlargement, 1 to 2 (what lies outside counts as the nearest end).
    pub coarse: f32,
    /// The style; `None` when it is not known.
    pub style: Option<Style>,
    /// Edge of the tiles that the network runs on, in pixels. Changes time and memory, never the result.
    pub tile: u32,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { seed: 0, steps: 2, coarse: 1.0, style: None, tile: Detail::TILE }
    }
}

/// The typical size of the residual at a coarseness of 1 to 2; what the network samples is in this unit.
pub fn residual_scale(coarse: f32) -> f32 {
    // In f64, as the last bit of f32's power is left to the C library.
    (0.05 * 1.5f64.powf(f64::from(coarse) - 1.0)) as f32
}

/// The network that ships in the binary.
static EMBEDDED: Embedded<Detail> =
    Embedded::new(include_bytes!("../../weights/detail.safetensors"), Detail::from_safetensors);

/// What stands before the names of the tensors for photographs, for photographs in two steps, and of the same for paintings.
const SETS: [&str; 4] = ["", "two-steps.", "paintings.", "paintings-two-steps."];

/// The detail network with its weights.
pub struct Detail {
    weights: Weights<'static>,
    /// The network of each of the [`SETS`], unpacked when it is first wanted; the first one is.
    nets: [OnceLock<Result<Net>>; SETS.len()],
    /// How far all of them look, and their operations per pixel.
    radius: usize,
    flops: f64,
    card: Card,
    digest: [u8; 32],
}

impl Detail {
    /// A good edge for tiles: the network looks [`Detail::radius`] pixels far, which small tiles pay for.
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

    /// Reads a network of any widths and numbers of blocks from the bytes of a safetensors file. Where it holds a second
    /// one of the same size, whose tensors' names begin with `paintings.`, anime, impasto and watercolor are sampled with that. What is
    /// named `two-steps.*` and `paintings-two-steps.*` makes two steps in their place. These are unpacked when they are first wanted.
    ///
    /// # Errors
    /// When the file is no detail network, or a tensor of the first network is missing, misshaped or not finite; for the others,
    /// sampling says so.
    pub fn from_safetensors(file: &'static [u8], compute: &Compute) -> Result<Self> {
        crate::check_safetensors(file, "detail")?;
        let about = Weights::about(file, "detail")?;
        let weights = Weights::read(file, "detail", "")?.on(compute.clone());
        let first = Net::load(&weights)?;
        let card = Card {
            name: "detail",
            about: "invents plausible detail over a faithful picture",
            licence: "MIT OR Apache-2.0",
            bytes: file.len() as u64,
            version: about.version,
            trained: about.trained,
        };
        let (radius, flops, digest) = (first.radius(), first.flops(), *blake3::hash(file).as_bytes());
        let nets = [OnceLock::from(Ok(first)), OnceLock::new(), OnceLock::new(), OnceLock::new()];
        Ok(Self { weights, nets, radius, flops, card, digest })
    }

    /// The network for a style and a number of steps.
    fn of(&self, sampling: &Sampling) -> Result<&Net> {
        let any = if sampling.style.is_some_and(Style::is_painting) && self.weights.any(SETS[2]) { 2 } else { 0 };
        let few = any + 1;
        let set = if sampling.steps == 2 && self.weights.any(SETS[few]) { few } else { any };
        self.nets[set].get_or_init(|| self.unpack(SETS[set])).as_ref().map_err(Clone::clone)
    }

    fn unpack(&self, set: &'static str) -> Result<Net> {
        let net = Net::load(&self.weights.under(set))?;
        if net.radius() == self.radius && net.flops() == self.flops {
            return Ok(net);
        }
        Err(Error::Weights { file: "detail".into(), message: format!("`{set}*` is a network of another size") })
    }

    /// Samples the residual that turns a faithful picture into a plausible original: three planes of the condition's size;
    /// the result is condition + creativity * residual.
    ///
    /// All steps run over the whole picture before the next one starts, each tile by tile with a margin of
    /// [`Detail::radius`], so every tile size and thread count gives the same bits. Where the condition does not begin on
    /// multiples of 16 of the whole picture, or end on multiples of 8, its border pixels are repeated up to there. Besides the result, 24 bytes per
    /// pixel of the condition are needed, and about 240 bytes per pixel of one tile with
    /// its margin in f32, half of it in bf16.
    ///
    /// # Errors
    /// A picture that does not fit its size, a setting out of range, too little memory, or what `watch` stopped with; it is
    /// asked before each tile of each step.
    pub fn sample(&self, condition: Picture<'_>, sampling: &Sampling, watch: &mut dyn Watch) -> Result<Vec<f32>> {
        run::sample(self.of(sampling)?, condition, sampling, watch)
    }

    /// blake3 of the model file.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Name, size and licence.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// How far a pixel looks in one step.
    pub fn radius(&self) -> u32 {
        // A network deeper than u32 cannot be held in memory.
        u32::try_from(self.radius).unwrap_or(u32::MAX)
    }

    /// Floating-point operations per pixel and step, the tiles' margins left out.
    pub fn flops_per_pixel(&self) -> f64 {
        self.flops
    }
}

impl Backbone for Detail {
    fn sample(&self, condition: Picture<'_>, sampling: &Sampling, watch: &mut dyn Watch) -> Result<Vec<f32>> {
        Detail::sample(self, condition, sampling, watch)
    }

    fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn card(&self) -> &Card {
        &self.card
    }

    fn radius(&self) -> u32 {
        Detail::radius(self)
    }

    fn flops_per_pixel(&self) -> f64 {
        Detail::flops_per_pixel(self)
    }
}

#[cfg(test)]
mod tests;
