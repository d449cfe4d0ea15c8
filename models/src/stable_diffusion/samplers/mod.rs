//! The ways from noise to a picture.
//!
//! All of them count in `x = x0 + sigma n`; those that the papers state for `alpha x0 + sqrt(1 - alpha^2) n` are the same after a
//! division by alpha. So one loop serves all:
//!
//! ```text
//! x = picture + steps[start].from * noise           (or noise alone, times the first sigma)
//! for step in &steps[start..] {
//!     output = network(x * input_scale(step.from), step.time)
//!     prediction.denoised(x, output, step.from)     (output is now what the network takes for the picture)
//!     sampler.step(x, output, step, noise)
//! }
//! picture = x * input_scale(last sigma)             (1, but for samplers that end above a sigma of 0)
//! ```
//!
//! Samplers never draw noise themselves: they ask the caller for it, who knows the place. What a multistep sampler remembers is in the
//! sampler, so each tile has its own.

mod consistency;
mod dpm;
mod euler;
mod schedule;
mod spacing;
mod unipc;

pub use schedule::{Prediction, Schedule, input_scale};
pub use spacing::{Spacing, start};

use crate::{Error, Result};

/// One step from a sigma to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Its place among all steps, from 0; tells apart the noise of the steps.
    pub index: u32,
    /// The time that the network is told, 0 to 999.
    pub time: f32,
    /// The time of the next step, 0 after the last.
    pub next_time: f32,
    /// Sigma before the step.
    pub from: f64,
    /// Sigma behind it: smaller.
    pub to: f64,
}

/// Fills a buffer of the size of the latents with standard normal noise. The number tells apart the draws of one step: below
/// [`Sampler::draws`].
pub type Noise<'a> = dyn FnMut(u32, &mut [f32]) + 'a;

/// A way from noise to a picture, with what it remembers of the steps before.
pub trait Sampler: Send + Sync {
    /// How many noises a step may ask for.
    fn draws(&self) -> u32;

    /// Carries `x` from `step.from` to `step.to`. `denoised` is what the network takes for the picture in `x`.
    ///
    /// Between two steps the caller may change `x`, and put parts of a noised picture back, say: nothing here relies on its own `x`.
    ///
    /// # Errors
    /// When the buffers differ in size, within a step or from one to the next, or there is too little memory.
    fn step(&mut self, x: &mut [f32], denoised: &[f32], step: &Step, noise: &mut Noise<'_>) -> Result<()>;

    /// Forgets all steps, for another picture.
    fn reset(&mut self);

    /// The same sampler in the same state, for another tile.
    fn boxed(&self) -> Box<dyn Sampler>;
}

/// The samplers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplerKind {
    /// Song, Meng and Ermon 2021. Deterministic unless told otherwise.
    Ddim,
    /// Straight steps along the slope (Karras et al. 2022 without churn).
    Euler,
    /// The same, a little further, with fresh noise in return.
    EulerAncestral,
    /// DPM-Solver++(2M) of Lu et al. 2022.
    Dpm2m,
    /// SDE-DPM-Solver++(2M) of the same.
    Dpm2mSde,
    /// The same of third order.
    Dpm3mSde,
    /// UniPC of Zhao et al. 2023, B2(h), order 2.
    UniPc,
    /// Latent consistency models (Luo et al. 2023).
    Lcm,
    /// Trajectory consistency distillation (Zheng et al. 2024).
    Tcd,
}

impl SamplerKind {
    /// All of them, with the names that graphs and presets use.
    pub const NAMES: [(&'static str, Self); 9] = [
        ("ddim", Self::Ddim),
        ("euler", Self::Euler),
        ("euler-a", Self::EulerAncestral),
        ("dpm++2m", Self::Dpm2m),
        ("dpm++2m-sde", Self::Dpm2mSde),
        ("dpm++3m-sde", Self::Dpm3mSde),
        ("unipc", Self::UniPc),
        ("lcm", Self::Lcm),
        ("tcd", Self::Tcd),
    ];

    /// The name, as it can be parsed.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The spacing that it is mostly used with.
    pub fn spacing(self) -> Spacing {
        match self {
            Self::Ddim => Spacing::Leading,
            Self::Euler | Self::EulerAncestral | Self::UniPc => Spacing::Linspace,
            Self::Dpm2m | Self::Dpm2mSde | Self::Dpm3mSde => Spacing::Karras,
            Self::Lcm | Self::Tcd => Spacing::Distilled,
        }
    }

    /// A sampler that remembers nothing yet. `randomness` is eta of DDIM (default 0) or gamma of TCD (default 0.3), from 0
    /// (deterministic) to 1.
    ///
    /// # Errors
    /// When the randomness is out of range, or given to a sampler that has none to set.
    pub fn sampler(self, schedule: &Schedule, randomness: Option<f64>) -> Result<Box<dyn Sampler>> {
        let wrong = |value: f64, hint| Error::Setting { name: "randomness", value: value.to_string(), hint };
        match (self, randomness) {
            (Self::Ddim | Self::Tcd, Some(value)) if !(0.0..=1.0).contains(&value) => {
                return Err(wrong(value, "it is between 0 and 1"));
            }
            (Self::Ddim | Self::Tcd, _) | (_, None) => {}
            (_, Some(value)) => return Err(wrong(value, "only the samplers `ddim` and `tcd` take one")),
        }
        Ok(match self {
            Self::Ddim => Box::new(euler::Euler { eta: randomness.unwrap_or(0.0) }),
            Self::Euler => Box::new(euler::Euler { eta: 0.0 }),
            Self::EulerAncestral => Box::new(euler::Euler { eta: 1.0 }),
            Self::Dpm2m => Box::new(dpm::Dpm::new(dpm::Order::Second, 0.0)),
            Self::Dpm2mSde => Box::new(dpm::Dpm::new(dpm::Order::Second, 1.0)),
            Self::Dpm3mSde => Box::new(dpm::Dpm::new(dpm::Order::Third, 1.0)),
            Self::UniPc => Box::new(unipc::UniPc::default()),
            Self::Lcm => Box::new(consistency::Lcm),
            Self::Tcd => Box::new(consistency::Tcd { gamma: randomness.unwrap_or(0.3), schedule: schedule.clone() }),
        })
    }

    /// Whether the last of the evenly spaced times is left out.
    fn leaves_out_last(self) -> bool {
        matches!(self, Self::Dpm2m | Self::Dpm2mSde | Self::Dpm3mSde | Self::UniPc | Self::Tcd)
    }

    /// Whether the network is told whole times.
    fn at_whole_times(self) -> bool {
        self.leaves_out_last() || matches!(self, Self::Ddim | Self::Lcm)
    }

    /// Whether the last step goes to a sigma of 0.
    fn ends_at_zero(self) -> bool {
        self != Self::Tcd
    }
}

impl std::str::FromStr for SamplerKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let hint =
            "it is one of `ddim`, `euler`, `euler-a`, `dpm++2m`, `dpm++2m-sde`, `dpm++3m-sde`, `unipc`, `lcm`, `tcd`";
        let known = Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        known.ok_or_else(|| Error::Setting { name: "sampler", value: name.into(), hint })
    }
}

/// Adds `spread` times the first draw of a step to `x`; asks for none where it would be nothing.
fn add_noise(x: &mut [f32], spread: f64, noise: &mut Noise<'_>) -> Result<()> {
    if spread > 0.0 {
        let mut drawn = crate::picture::zeros(x.len(), "the noise of a step")?;
        noise(0, &mut drawn);
        x.iter_mut().zip(&drawn).for_each(|(x, noise)| *x += spread as f32 * noise);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
