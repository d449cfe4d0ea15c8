//! UniPC (Zhao et al. 2023, "UniPC: a unified predictor-corrector framework"), order 2, with `B(h) = exp(-h) - 1` (B2).

use super::schedule::same;
use super::{Noise, Sampler, Step};
use crate::Result;
use crate::picture::room;

/// A multistep solver whose every step is corrected once the network has seen where it went, with no further run of the network.
#[derive(Clone, Default)]
pub(super) struct UniPc {
    /// What the network saw at the last two steps and lambda = -log sigma there, the newest first.
    seen: Vec<(f64, Vec<f32>)>,
    /// Slopes of the last step: what its predictor added beyond the first order.
    last: Option<Last>,
}

#[derive(Clone)]
struct Last {
    /// Length of the step in lambda.
    h: f64,
    /// `B(h)`, not positive.
    b: f64,
    /// Whether the predictor was of second order.
    second: bool,
}

impl UniPc {
    /// Adds what the corrector makes different from the predictor of the last step. Both begin with the same step of first order, so
    /// that is a sum over the pictures seen: the `x` before the step is not needed, and whatever the caller did to `x` since is kept.
    fn correct(&self, x: &mut [f32], denoised: &[f32]) {
        let (Some(last), Some((lambda, newest))) = (&self.last, self.seen.first()) else { return };
        let Last { h, b, second, .. } = *last;
        let (mut of_earlier, mut of_newest, mut of_now) = (0.0, 0.5 * b, -0.5 * b);
        let earlier = match (second, self.seen.get(1)) {
            (true, Some((before, earlier))) => {
                // Equation 13 for two points, at r (negative) and 1: the weights of their differences solve
                // rho_r + rho_1 = b1 and r rho_r + rho_1 = b2.
                let r = (before - lambda) / h;
                let phi1 = -b / h - 1.0;
                let (b1, b2) = (phi1 / b, (phi1 / -h - 0.5) * 2.0 / b);
                let rho_r = (b1 - b2) / (1.0 - r);
                let rho_1 = b1 - rho_r;
                // The predictor had 0.5 where the corrector has rho_r, and nothing for the point at 1.
                of_earlier = b * (0.5 - rho_r) / r;
                of_now = -b * rho_1;
                of_newest = -of_earlier - of_now;
                &earlier[..]
            }
            _ => &[],
        };
        let [of_newest, of_now, of_earlier] = [of_newest, of_now, of_earlier].map(|weight: f64| weight as f32);
        for ((x, newest), now) in x.iter_mut().zip(newest).zip(denoised) {
            *x += of_newest * newest + of_now * now;
        }
        x.iter_mut().zip(earlier).for_each(|(x, earlier)| *x += of_earlier * earlier);
    }
}

impl Sampler for UniPc {
    fn draws(&self) -> u32 {
        0
    }

    fn step(&mut self, x: &mut [f32], denoised: &[f32], step: &Step, _: &mut Noise<'_>) -> Result<()> {
        same(x.len(), denoised.len())?;
        self.seen.iter().try_for_each(|(_, seen)| same(x.len(), seen.len()))?;
        let Step { from, to, .. } = *step;
        self.correct(x, denoised);

        let lambda = -from.ln();
        self.last = None;
        if to > 0.0 {
            let h = -to.ln() - lambda;
            let b = (-h).exp_m1();
            let kept = (to / from) as f32;
            let (mut of_now, mut of_before) = (-b, 0.0);
            if let Some((before, _)) = self.seen.first() {
                of_before = -0.5 * b * h / (before - lambda);
                of_now -= of_before;
            }
            let (of_now, of_before) = (of_now as f32, of_before as f32);
            x.iter_mut().zip(denoised).for_each(|(x, now)| *x = kept * *x + of_now * now);
            if let Some((_, before)) = self.seen.first() {
                x.iter_mut().zip(before).for_each(|(x, before)| *x += of_before * before);
            }
            self.last = Some(Last { h, b, second: !self.seen.is_empty() });
        } else {
            x.copy_from_slice(denoised);
        }
        let mut newest = match self.seen.len() == 2 {
            true => self.seen.pop().map(|(_, seen)| seen).unwrap_or_default(),
            false => room(denoised.len(), "the memory of a sampler")?,
        };
        newest.clear();
        newest.extend_from_slice(denoised);
        self.seen.insert(0, (lambda, newest));
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
