//! Samplers of models that were distilled to jump: each step goes to a picture (or close to it), and back up with fresh noise.

use super::schedule::same;
use super::{Noise, Sampler, Schedule, Step, add_noise};
use crate::Result;

/// Latent consistency models (Luo et al. 2023), multistep sampling.
#[derive(Clone)]
pub(super) struct Lcm;

impl Sampler for Lcm {
    fn draws(&self) -> u32 {
        1
    }

    fn step(&mut self, x: &mut [f32], denoised: &[f32], step: &Step, noise: &mut Noise<'_>) -> Result<()> {
        same(x.len(), denoised.len())?;
        // The boundary condition of consistency models (Song et al. 2023, equation 5) with a data spread of 0.5 over ten times the
        // time: all of the picture is `denoised`, but for the very first times of the training.
        let (data, time) = (0.5, 10.0 * f64::from(step.time));
        let length = time * time + data * data;
        let (of_x, of_denoised) =
            (data * data / length * f64::from(super::input_scale(step.from)), time / length.sqrt());
        let (of_x, of_denoised) = (of_x as f32, of_denoised as f32);
        for (x, denoised) in x.iter_mut().zip(denoised) {
            *x = of_denoised * denoised + of_x * *x;
        }
        add_noise(x, step.to, noise)
    }

    fn reset(&mut self) {}

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

/// Strategic stochastic sampling of trajectory consistency distillation (Zheng et al. 2024, algorithm 4): a jump to the time
/// `(1 - gamma) next`, and noise from there up to the next.
#[derive(Clone)]
pub(super) struct Tcd {
    pub(super) gamma: f64,
    pub(super) schedule: Schedule,
}

impl Sampler for Tcd {
    fn draws(&self) -> u32 {
        u32::from(self.gamma > 0.0)
    }

    fn step(&mut self, x: &mut [f32], denoised: &[f32], step: &Step, noise: &mut Noise<'_>) -> Result<()> {
        same(x.len(), denoised.len())?;
        let Step { from, to, next_time, .. } = *step;
        // In f32 as diffusers counts: a product just below a whole number would be rounded down to another time.
        let time = ((1.0 - self.gamma) as f32 * next_time).floor();
        let jump = match self.gamma > 0.0 {
            true => self.schedule.sigma(f64::from(time)).min(to),
            false => to,
        };
        let kept = (jump / from) as f32;
        for (x, denoised) in x.iter_mut().zip(denoised) {
            *x = denoised + kept * (*x - denoised);
        }
        add_noise(x, (to * to - jump * jump).sqrt(), noise)
    }

    fn reset(&mut self) {}

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
