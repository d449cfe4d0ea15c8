//! In one step from the latent of a damaged picture to that of a good one, without noise: OSEDiff (Wu et al. 2024) and PiSA-SR (Sun et
//! al. 2024).

use super::denoise::{Answer, Turn, Wishes};
use super::networks::{Half, Networks, Seen};
use crate::picture::room;
use crate::stable_diffusion::OneStepKind;
use crate::stable_diffusion::samplers::{Prediction, Schedule, input_scale};
use crate::{Result, Watch};

/// The time that OSEDiff takes pictures to be at, 0 to 999: the last.
const LAST: f32 = 999.0;
/// The time that PiSA-SR tells the U-Net: all but no noise.
const FIRST: f32 = 1.0;

/// One step.
pub(super) struct OneStep {
    kind: OneStepKind,
    prediction: Prediction,
    /// How much noise there would be at the time that is told.
    sigma: f64,
}

impl OneStep {
    pub(super) fn new(kind: OneStepKind, prediction: Prediction, schedule: &Schedule) -> Self {
        Self { kind, prediction, sigma: schedule.sigma(LAST.into()) }
    }

    /// What the networks see in a latent as it is. Of two halves, what each of them says by its weight (PiSA-SR, equation 5):
    /// `pix * pixels + sem * (both - pixels)`, where resemblance is `pix` and creativity is `sem`, each at its place.
    pub(super) fn predict<N: Networks>(
        &self,
        networks: &N,
        latent: &[f32],
        seen: &Seen<'_, N>,
        wishes: &Wishes,
    ) -> Result<Vec<f32>> {
        let ask = |time, half| seen.guided(networks, latent, (time, half), &wishes.guidance);
        if self.kind == OneStepKind::Denoise {
            return ask(LAST, Half::Both);
        }
        let weights = || wishes.resemblance.iter().zip(&wishes.kept).map(|(pixels, kept)| (*pixels, 1.0 - kept));
        let area = seen.at.area();
        // At equal weights what the half says by itself counts nothing, and without meaning only that counts.
        let mut out = if weights().any(|(_, meaning)| meaning != 0.0) {
            let mut both = ask(FIRST, Half::Both)?;
            for plane in both.chunks_exact_mut(area) {
                plane.iter_mut().zip(weights()).for_each(|(value, (_, meaning))| *value *= meaning);
            }
            Some(both)
        } else {
            None
        };
        if out.is_none() || weights().any(|(pixels, meaning)| pixels != meaning) {
            let mut half = ask(FIRST, Half::Pixels)?;
            for plane in half.chunks_exact_mut(area) {
                plane.iter_mut().zip(weights()).for_each(|(value, (pixels, meaning))| *value *= pixels - meaning);
            }
            match &mut out {
                Some(out) => out.iter_mut().zip(&half).for_each(|(value, half)| *value += half),
                None => out = Some(half),
            }
        }
        Ok(out.unwrap_or_default())
    }

    /// The latent of a good picture, where `answer` gives what the networks see in that of a damaged one.
    pub(super) fn run(
        &self,
        origin: &[f32],
        wishes: &Wishes,
        watch: &mut dyn Watch,
        answer: &mut Answer<'_>,
    ) -> Result<Vec<f32>> {
        watch.step(0, 1)?;
        let mut out = answer(Turn::Down(0), origin)?;
        match self.kind {
            OneStepKind::Residual => out.iter_mut().zip(origin).for_each(|(out, origin)| *out = origin - *out),
            OneStepKind::Denoise => {
                let scale = input_scale(self.sigma);
                let mut noisy = room(origin.len(), "the latent")?;
                noisy.extend(origin.iter().map(|value| value / scale));
                self.prediction.denoised(&noisy, &mut out, self.sigma)?;
                // There is one strength to such an adapter.
                for (out, origin) in out.chunks_exact_mut(wishes.kept.len()).zip(origin.chunks_exact(wishes.kept.len()))
                {
                    for ((out, origin), kept) in out.iter_mut().zip(origin).zip(&wishes.kept) {
                        *out += kept * (origin - *out);
                    }
                }
            }
        }
        watch.step(1, 1)?;
        Ok(out)
    }
}
