//! At which sigmas a picture is looked at on its way from noise.

use super::schedule::{Schedule, TIMES};
use super::{SamplerKind, Step};
use crate::{Error, Result};

/// How the steps lie over the noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Every so many times from 1 on, as Stable Diffusion 1 is configured in diffusers (`leading` with `steps_offset` 1). Does not
    /// begin at the most noise.
    Leading,
    /// Even times from the most noise to the least.
    Linspace,
    /// Every so many times down from the most noise (Lin et al. 2024): for few steps and distilled models.
    Trailing,
    /// Even in `sigma^(1/7)` (Karras et al. 2022, equation 5).
    Karras,
    /// Even in `log sigma`.
    Exponential,
    /// Even, fractional times; the last step begins above the least noise. What other programs call "SGM uniform".
    SgmUniform,
    /// Of the 50 times that LCM and TCD models were distilled at (Luo et al. 2023), as many as asked for.
    Distilled,
}

/// Times that LCM and TCD models were distilled at.
const DISTILLED: usize = 50;

impl Spacing {
    /// All of them, with the names that graphs and presets use.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("leading", Self::Leading),
        ("linspace", Self::Linspace),
        ("trailing", Self::Trailing),
        ("karras", Self::Karras),
        ("exponential", Self::Exponential),
        ("sgm-uniform", Self::SgmUniform),
        ("distilled", Self::Distilled),
    ];

    /// The name, as it can be parsed.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, spacing)| *spacing == self).map_or("", |(name, _)| name)
    }

    /// `count` steps from noise to picture for a sampler; the samplers differ as they do in diffusers:
    ///
    /// - multistep solvers (DPM++, UniPC) leave out the last of `count + 1` evenly spaced times;
    /// - they and DDIM use whole times where the others use fractions;
    /// - the last step goes to a sigma of 0, but for TCD to the least of the training, which therefore is no place to begin a step at.
    ///
    /// Karras and exponential spacings go over all noise of the training, as in most programs.
    ///
    /// # Errors
    /// When there is no step, or more than the spacing has places.
    pub fn steps(self, sampler: SamplerKind, count: usize, schedule: &Schedule) -> Result<Vec<Step>> {
        let most = if self == Self::Distilled { DISTILLED } else { TIMES - 1 };
        if count == 0 || count > most {
            let hint = "there is at least one step, and at most 999 (50 with the spacing `distilled`)";
            return Err(Error::Setting { name: "steps", value: count.to_string(), hint });
        }
        let levels = self.levels(sampler, count, schedule);
        let end = (0.0, if sampler.ends_at_zero() { 0.0 } else { schedule.smallest() });
        let steps = levels.iter().zip(levels.iter().skip(1).chain([&end])).zip(0..);
        Ok(steps
            .map(|((from, to), index)| Step {
                index,
                time: from.0 as f32,
                next_time: to.0 as f32,
                from: from.1,
                to: to.1,
            })
            .collect())
    }

    /// Times and sigmas from the most noise to the least.
    fn levels(self, sampler: SamplerKind, count: usize, schedule: &Schedule) -> Vec<(f64, f64)> {
        let whole = |time: f64| if sampler.at_whole_times() { time.round_ties_even() } else { time };
        let spaces = count + usize::from(sampler.leaves_out_last());
        let sigmas = count + usize::from(!sampler.ends_at_zero());
        // Place i of `places` on the straight line from one end to the other.
        let line = |from: f64, to: f64, i: usize, places: usize| match places {
            0 | 1 => from,
            places => from + (to - from) * i as f64 / (places - 1) as f64,
        };
        let at_sigma = |sigma: f64| (whole(schedule.time(sigma)), sigma);
        let at_time = |time: f64| (time, schedule.sigma_linear(time));
        let (most, least, last) = (schedule.largest(), schedule.smallest(), (TIMES - 1) as f64);
        let level = |i: usize| match self {
            Self::Leading => at_time((((spaces - 1 - i) * (TIMES / spaces) + 1) as f64).min(last)),
            Self::Linspace => at_time(whole(line(last, 0.0, i, spaces))),
            Self::Trailing => at_time((TIMES as f64 - i as f64 * TIMES as f64 / count as f64).round_ties_even() - 1.0),
            Self::Karras => at_sigma(line(most.powf(1.0 / 7.0), least.powf(1.0 / 7.0), i, sigmas).powi(7)),
            Self::Exponential => at_sigma(line(most.ln(), least.ln(), i, sigmas).exp()),
            Self::SgmUniform => {
                let time = line(last, 0.0, i, count + 1);
                (time, schedule.sigma(time))
            }
            Self::Distilled => at_time(((DISTILLED - i * DISTILLED / count) * (TIMES / DISTILLED) - 1) as f64),
        };
        (0..count).map(level).collect()
    }
}

impl std::str::FromStr for Spacing {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let hint =
            "it is one of `leading`, `linspace`, `trailing`, `karras`, `exponential`, `sgm-uniform`, `distilled`";
        let known = Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, spacing)| *spacing);
        known.ok_or_else(|| Error::Setting { name: "spacing", value: name.into(), hint })
    }
}

/// The step to begin with when a picture is to be changed by `strength` of 0 (not at all: no step is left) to 1 (everything): the last
/// `floor(steps * strength)` steps are taken, as diffusers' image-to-image does. Other programs take one more.
///
/// The picture with noise to begin with is `x = picture + steps[start].from * noise`.
///
/// # Errors
/// When the strength is not in 0..=1.
pub fn start(steps: usize, strength: f64) -> Result<usize> {
    if !(0.0..=1.0).contains(&strength) {
        let hint = "it is between 0 and 1";
        return Err(Error::Setting { name: "strength", value: strength.to_string(), hint });
    }
    Ok(steps - ((steps as f64 * strength) as usize).min(steps))
}
