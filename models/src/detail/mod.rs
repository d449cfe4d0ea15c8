//! The detail network: a conditional flow that carries noise to a plausible residual over the faithful picture.

mod net;
mod run;

use crate::embedded::Embedded;
use crate::layers::Weights;
use crate::{Backbone, Card, Compute, Picture, Precision, Result, Watch};
use net::Net;

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

/// What stands before the names of the tensors for photographs, and before those that two steps are enough for.
const PHOTOGRAPHS: [&str; 2] = ["", "two-steps."];
/// The same for paintings.
const PAINTINGS: [&str; 2] = ["paintings.", "paintings-two-steps."];

/// The weights for some styles.
struct Nets {
    any: Net,
    /// Those that get in two steps to where the others get in eight.
    two_steps: Option<Net>,
}

/// The detail network with its weights.
pub struct Detail {
    photographs: Nets,
    /// Other sets of weights for styles that are paintings: one small network that does both does neither well.
    paintings: Option<Nets>,
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
    /// one, whose tensors' names begin with `paintings.`, anime, impasto and watercolor are sampled with that. What is named `two-steps.*` and
    /// `paintings-two-steps.*` makes two steps in their place.
    ///
    /// # Errors
    /// When the file is no detail network, or a tensor is missing, misshaped or not finite.
    pub fn from_safetensors(file: &[u8], compute: &Compute) -> Result<Self> {
        crate::check_safetensors(file, "detail")?;
        let about = Weights::about(file, "detail")?;
        let all = Weights::read(file, "detail", "")?;
        let net = |prefix| Net::load(&Weights::read(file, "detail", prefix)?.on(compute.clone()));
        let nets = |[any, few]: [&'static str; 2]| -> Result<Nets> {
            Ok(Nets { any: net(any)?, two_steps: all.any(few).then(|| net(few)).transpose()? })
        };
        let photographs = nets(PHOTOGRAPHS)?;
        let paintings = all.any(PAINTINGS[0]).then(|| nets(PAINTINGS)).transpose()?;
        let card = Card {
            name: "detail",
            about: "invents plausible detail over a faithful picture",
            licence: "MIT OR Apache-2.0",
            bytes: file.len() as u64,
            version: about.version,
            trained: about.trained,
        };
        Ok(Self { photographs, paintings, card, digest: *blake3::hash(file).as_bytes() })
    }

    /// The weights for a style and a number of steps.
    fn of(&self, sampling: &Sampling) -> &Net {
        let Nets { any, two_steps } = match &self.paintings {
            Some(paintings) if sampling.style.is_some_and(Style::is_painting) => paintings,
            _ => &self.photographs,
        };
        two_steps.as_ref().filter(|_| sampling.steps == 2).unwrap_or(any)
    }

    /// All weights.
    fn nets(&self) -> impl Iterator<Item = &Net> {
        let all = std::iter::once(&self.photographs).chain(&self.paintings);
        all.flat_map(|Nets { any, two_steps }| std::iter::once(any).chain(two_steps))
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
        run::sample(self.of(sampling), condition, sampling, watch)
    }

    /// blake3 of the model file.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Name, size and licence.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// How far a pixel looks in one step, at most.
    pub fn radius(&self) -> u32 {
        // A network deeper than u32 cannot be held in memory.
        self.nets().map(|net| u32::try_from(net.radius()).unwrap_or(u32::MAX)).max().unwrap_or(u32::MAX)
    }

    /// Floating-point operations per pixel and step, the tiles' margins left out, at most.
    pub fn flops_per_pixel(&self) -> f64 {
        self.nets().map(Net::flops).fold(0.0, f64::max)
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
