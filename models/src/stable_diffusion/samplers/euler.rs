//! Straight steps: Euler, Euler ancestral and DDIM, which are one formula here.

use super::schedule::same;
use super::{Noise, Sampler, Step, add_noise};
use crate::Result;

/// A straight step to a sigma below the next, and fresh noise up to it. DDIM (Song, Meng and Ermon 2021, equations 12 and 16),
/// divided by the square root of alpha, is `x0 + sqrt(to^2 - up^2) eps + up n` with `up = eta to sqrt(from^2 - to^2) / from`: with an eta
/// of 0 it is Euler's step, and with 1 the ancestral one.
#[derive(Clone)]
pub(super) struct Euler {
    pub(super) eta: f64,
}

impl Sampler for Euler {
    fn draws(&self) -> u32 {
        u32::from(self.eta > 0.0)
    }

    fn step(&mut self, x: &mut [f32], denoised: &[f32], step: &Step, noise: &mut Noise<'_>) -> Result<()> {
        same(x.len(), denoised.len())?;
        let Step { from, to, .. } = *step;
        let up = self.eta * to * (from * from - to * to).max(0.0).sqrt() / from;
        let down = (to * to - up * up).max(0.0).sqrt();
        let kept = (down / from) as f32;
        for (x, denoised) in x.iter_mut().zip(denoised) {
            *x = denoised + kept * (*x - denoised);
        }
        add_noise(x, up, noise)
    }

    fn reset(&mut self) {}

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
