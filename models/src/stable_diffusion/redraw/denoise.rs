//! From noise to a latent, in steps: guidance, structure and regional strength.

use super::layout::Patch;
use super::networks::{Half, Networks, Seen};
use crate::noise::gaussian;
use crate::picture::{room, zeros};
use crate::stable_diffusion::samplers::{Prediction, Sampler, Step, input_scale};
use crate::{Result, Watch};

/// A step, and which way it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// To less noise.
    Down(usize),
    /// To more.
    Up(usize),
}

/// What the networks make of a latent at a turn.
pub(super) type Answer<'a> = dyn FnMut(Turn, &[f32]) -> Result<Vec<f32>> + 'a;

/// The way out of noise, wherever it is gone.
pub(super) struct Steps {
    /// All steps of a drawing from nothing.
    pub(super) steps: Vec<Step>,
    pub(super) sampler: Box<dyn Sampler>,
    pub(super) prediction: Prediction,
    pub(super) seed: u64,
    /// Whether the noise is found that leads back to the picture.
    pub(super) inverts: bool,
}

/// What is asked of each latent of a patch.
pub(super) struct Wishes {
    /// Share of the steps that pass before a latent begins to change: 0 none, 1 all.
    pub(super) kept: Vec<f32>,
    /// How strictly the structure is kept.
    pub(super) resemblance: Vec<f32>,
    /// Scale of the guidance.
    pub(super) guidance: Vec<f32>,
    /// Share of the noise that is drawn where it is found by inversion; nothing elsewhere.
    pub(super) renoise: Vec<f32>,
}

impl Steps {
    /// The first step at which one of these latents is free to change, if there is one. A creativity of `c` takes part in the last
    /// `floor(c * steps)` steps, as in diffusers' image-to-image pipelines; so what happens at one place does not depend on
    /// what is asked for at another.
    pub(super) fn first(&self, kept: &[f32]) -> Option<usize> {
        let least = kept.iter().copied().fold(1.0, f32::min);
        (0..self.steps.len()).find(|step| !self.is_kept(least, *step))
    }

    fn is_kept(&self, kept: f32, step: usize) -> bool {
        // The rounding of the product must not cost a step.
        kept * self.steps.len() as f32 > step as f32 + 1e-4
    }

    /// Standard normal noise for each latent of a patch, by its place in the whole picture.
    pub(super) fn noise(&self, at: Patch, draw: u32, values: &mut [f32]) {
        for (c, plane) in values.chunks_exact_mut(at.area()).enumerate() {
            for (i, value) in plane.iter_mut().enumerate() {
                let (x, y) = ((at.x + i % at.width) as u32, (at.y + i / at.width) as u32);
                *value = gaussian(self.seed, x, y, c as u32, draw);
            }
        }
    }

    /// What the network makes of a latent at a step: its input scaled, and both answers mixed by the guidance.
    pub(super) fn predict<N: Networks>(
        &self,
        networks: &N,
        turn: Turn,
        latent: &[f32],
        seen: &Seen<'_, N>,
        wishes: &Wishes,
    ) -> Result<Vec<f32>> {
        let (Turn::Down(step) | Turn::Up(step)) = turn;
        let Step { time, from, to, .. } = self.steps[step];
        let scale = input_scale(if turn == Turn::Up(step) { to } else { from });
        let mut input = room(latent.len(), "the latent")?;
        input.extend(latent.iter().map(|value| value * scale));
        match turn {
            Turn::Down(_) => seen.guided(networks, &input, (time, Half::Both), &wishes.guidance),
            Turn::Up(_) => networks.predict(&input, (time, Half::Both), seen.texts.0, seen),
        }
    }

    /// Carries a latent from noise to an answer, from step `first` on: differential diffusion (Levin and Fried 2023). Each step begins
    /// by putting back what is kept until later, at the noise of that step; `answer` gives what the network makes of the latent.
    pub(super) fn run(
        &self,
        first: usize,
        origin: &[f32],
        (at, wishes): (Patch, &Wishes),
        watch: &mut dyn Watch,
        answer: &mut Answer<'_>,
    ) -> Result<Vec<f32>> {
        let mut sampler = self.sampler.boxed();
        let kept = &wishes.kept[..];
        let down = (self.steps.len() - first) as u64;
        let up = if self.inverts { down } else { 0 };
        watch.step(0, up + down)?;
        let mut fresh = zeros(origin.len(), "the noise")?;
        self.noise(at, 0, &mut fresh);
        let found = match self.inverts {
            true => self.inverted(first, origin, (at, wishes, &fresh), watch, answer)?,
            false => vec![],
        };
        let noise_of = |step: usize| found.get(step - first).unwrap_or(&fresh);
        let noise = noise_of(first);
        let begin = self.steps.get(first).map_or(0.0, |step| step.from as f32);
        let mut x = room(origin.len(), "the latent")?;
        x.extend(origin.iter().zip(noise).map(|(value, noise)| value + begin * noise));
        let put_back = |x: &mut [f32], noise: &[f32], sigma: f32, still: &dyn Fn(f32) -> bool| {
            for ((x, origin), noise) in
                x.chunks_exact_mut(at.area()).zip(origin.chunks_exact(at.area())).zip(noise.chunks_exact(at.area()))
            {
                for (((x, origin), noise), kept) in x.iter_mut().zip(origin).zip(noise).zip(kept) {
                    if still(*kept) {
                        *x = origin + sigma * noise;
                    }
                }
            }
        };
        for (step, now) in self.steps.iter().enumerate().skip(first) {
            put_back(&mut x, noise_of(step), now.from as f32, &|kept| self.is_kept(kept, step));
            let mut denoised = answer(Turn::Down(step), &x)?;
            self.prediction.denoised(&x, &mut denoised, now.from)?;
            // Draw 0 is the noise that it all begins with.
            let draws = sampler.draws();
            let mut draw = |number: u32, values: &mut [f32]| self.noise(at, 1 + now.index * draws + number, values);
            sampler.step(&mut x, &denoised, now, &mut draw)?;
            watch.step(up + (step - first) as u64 + 1, up + down)?;
        }
        // Samplers that end above no noise leave the latent in the network's scale.
        let scale = input_scale(self.steps.last().map_or(0.0, |step| step.to));
        x.iter_mut().for_each(|value| *value *= scale);
        // What never began is what came in.
        put_back(&mut x, &fresh, 0.0, &|kept| self.is_kept(kept, self.steps.len() - 1));
        Ok(x)
    }
}
