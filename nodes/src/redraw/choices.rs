//! What can be chosen in redrawing, and how the models are told of it.

use engine::{
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
};
use models::stable_diffusion as sd;

/// The way from noise to a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub(crate) enum Sampler {
    /// DDIM.
    Ddim,
    /// Euler's method.
    Euler,
    /// Euler's method with fresh noise in every step.
    EulerAncestral,
    /// DPM-Solver++ of second order over several steps.
    Dpm2m,
    /// The same as a stochastic differential equation.
    Dpm2mSde,
    /// The same of third order.
    #[default]
    Dpm3mSde,
    /// UniPC of second order.
    UniPc,
    /// Latent consistency, for distilled models and LoRAs: 4 to 8 steps.
    Lcm,
    /// Trajectory consistency, for distilled models and LoRAs.
    Tcd,
    /// No noise and one step, by a LoRA that was made for it: OSEDiff or PiSA-SR, on Stable Diffusion 2.1. Of `steps`, `spacing` and
    /// `seed` nothing counts.
    OneStep,
}

/// How the noise levels are spaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub(crate) enum Spacing {
    /// Karras et al. 2022: most levels where there is little noise.
    #[default]
    Karras,
    /// Even on a logarithmic scale.
    Exponential,
    /// Even in time, the last step ending at no noise, as distilled models want it.
    SgmUniform,
    /// Even in time, from the last time on.
    Trailing,
    /// Even in time, from the first time on.
    Leading,
    /// Even in time, both ends included.
    Linspace,
    /// The times at which models of latent or trajectory consistency were distilled.
    Distilled,
}

/// How the tiles of a picture belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub(crate) enum Tiling {
    /// One after the other, like the white and then the black fields of a chequerboard. A change reaches the neighbours and no
    /// further, and every tile is kept on its own.
    #[default]
    Independent,
    /// All at every step, averaged by a bell over each tile: no tile stands out, and nothing is kept before all is done.
    Mixture,
    /// All at every step, averaged evenly.
    MultiDiffusion,
}

/// How noise is found that leads back to the picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde", deny_unknown_fields)]
#[schemars(crate = "engine::schemars")]
pub(crate) struct Inversion {
    /// How much of it is replaced by noise that is drawn, 0 to 1, where the picture is flat.
    #[serde(default = "one")]
    pub(super) renoise: f32,
    /// Pixels of the square in which edges are looked for around each pixel, 0 to 1024: edges keep their noise. 0 looks for none.
    #[serde(default = "kernel")]
    pub(super) kernel: u32,
}

fn kernel() -> u32 {
    64
}

/// A prompt for a part of the picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde", deny_unknown_fields)]
#[schemars(crate = "engine::schemars")]
pub(crate) struct Place {
    /// Left edge as a share of the width, 0 to 1.
    #[serde(default)]
    pub(super) left: f32,
    /// Upper edge as a share of the height, 0 to 1.
    #[serde(default)]
    pub(super) top: f32,
    /// Right edge as a share of the width, 0 to 1.
    #[serde(default = "one")]
    pub(super) right: f32,
    /// Lower edge as a share of the height, 0 to 1.
    #[serde(default = "one")]
    pub(super) bottom: f32,
    /// What is wanted there, instead of the prompt for the whole.
    pub(super) prompt: String,
}

fn one() -> f32 {
    1.0
}

impl Sampler {
    /// As the models know it; nothing where there are no steps to sample.
    pub(super) fn told(self) -> Option<sd::samplers::SamplerKind> {
        Some(match self {
            Self::Ddim => sd::samplers::SamplerKind::Ddim,
            Self::Euler => sd::samplers::SamplerKind::Euler,
            Self::EulerAncestral => sd::samplers::SamplerKind::EulerAncestral,
            Self::Dpm2m => sd::samplers::SamplerKind::Dpm2m,
            Self::Dpm2mSde => sd::samplers::SamplerKind::Dpm2mSde,
            Self::Dpm3mSde => sd::samplers::SamplerKind::Dpm3mSde,
            Self::UniPc => sd::samplers::SamplerKind::UniPc,
            Self::Lcm => sd::samplers::SamplerKind::Lcm,
            Self::Tcd => sd::samplers::SamplerKind::Tcd,
            Self::OneStep => return None,
        })
    }
}

impl Spacing {
    pub(super) fn told(self) -> sd::samplers::Spacing {
        match self {
            Self::Karras => sd::samplers::Spacing::Karras,
            Self::Exponential => sd::samplers::Spacing::Exponential,
            Self::SgmUniform => sd::samplers::Spacing::SgmUniform,
            Self::Trailing => sd::samplers::Spacing::Trailing,
            Self::Leading => sd::samplers::Spacing::Leading,
            Self::Linspace => sd::samplers::Spacing::Linspace,
            Self::Distilled => sd::samplers::Spacing::Distilled,
        }
    }
}

impl Tiling {
    pub(super) fn told(self) -> sd::Tiling {
        match self {
            Self::Independent => sd::Tiling::Independent,
            Self::Mixture => sd::Tiling::Mixture,
            Self::MultiDiffusion => sd::Tiling::MultiDiffusion,
        }
    }
}

impl Inversion {
    pub(super) fn told(self) -> sd::Inversion {
        sd::Inversion { renoise: self.renoise, kernel: self.kernel as usize }
    }
}
