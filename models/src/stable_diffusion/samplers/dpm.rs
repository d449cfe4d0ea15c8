//! DPM-Solver++, multistep (Lu et al. 2022): exact in the part of the equation that is linear in `x`, with the picture that the network
//! sees as a polynomial in `lambda = -log sigma` through the last steps.

use super::schedule::same;
use super::{Noise, Sampler, Step, add_noise};
use crate::Result;
use crate::picture::room;

/// How many steps the polynomial goes through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Two, its slope taken at the middle of the step ("midpoint").
    Second,
    /// Three (two at the second step), integrated exactly.
    Third,
}

/// Both solvers; `eta` is 0 for the ordinary and 1 for the stochastic differential equation.
#[derive(Clone)]
pub(super) struct Dpm {
    order: Order,
    eta: f64,
    /// What the network saw at the last steps and the log sigma there, the newest first.
    seen: Vec<(f64, Vec<f32>)>,
}

impl Dpm {
    pub(super) fn new(order: Order, eta: f64) -> Self {
        Self { order, eta, seen: vec![] }
    }

    /// How much of the newest picture and of those before makes the polynomial, weighed for the step of length `h` in lambda, all
    /// of it times `1 - exp(-h (1 + eta))`, the part of `x` that is replaced.
    fn weights(&self, lambda: f64, h: f64) -> [f64; 3] {
        let long = h * (1.0 + self.eta);
        let replaced = -(-long).exp_m1();
        // Slopes between the last pictures, per step of length h.
        let lambdas = |i: usize| self.seen.get(i).map(|(lambda, _)| *lambda);
        let (Some(before), earlier) = (lambdas(0), lambdas(1)) else { return [replaced, 0.0, 0.0] };
        let r0 = (lambda - before) / h;
        if self.order == Order::Second {
            let slope = 0.5 * replaced / r0;
            return [replaced + slope, -slope, 0.0];
        }
        let phi2 = 1.0 - replaced / long;
        let Some(earlier) = earlier else { return [replaced + phi2 / r0, -phi2 / r0, 0.0] };
        // `phi2 d1 - phi3 d2`, the first and second derivatives written out in the slopes
        // s0 = (m0 - m1) / r0 and s1 = (m1 - m2) / r1: d1 = s0 + (s0 - s1) r0 / (r0 + r1), d2 = (s0 - s1) / (r0 + r1).
        let phi3 = phi2 / long - 0.5;
        let r1 = (before - earlier) / h;
        let bend = (phi2 * r0 - phi3) / (r0 + r1);
        let (s0, s1) = ((phi2 + bend) / r0, -bend / r1);
        [replaced + s0, s1 - s0, -s1]
    }
}

impl Sampler for Dpm {
    fn draws(&self) -> u32 {
        u32::from(self.eta > 0.0)
    }

    fn step(&mut self, x: &mut [f32], denoised: &[f32], step: &Step, noise: &mut Noise<'_>) -> Result<()> {
        same(x.len(), denoised.len())?;
        self.seen.iter().try_for_each(|(_, seen)| same(x.len(), seen.len()))?;
        let Step { from, to, .. } = *step;
        let lambda = -from.ln();
        if to > 0.0 {
            let h = -to.ln() - lambda;
            let kept = (-h * (1.0 + self.eta)).exp() as f32;
            let weights = self.weights(lambda, h).map(|weight| weight as f32);
            x.iter_mut().zip(denoised).for_each(|(x, denoised)| *x = kept * *x + weights[0] * denoised);
            for (weight, (_, seen)) in weights[1..].iter().zip(&self.seen) {
                x.iter_mut().zip(seen).for_each(|(x, seen)| *x += weight * seen);
            }
            add_noise(x, to * (-(-2.0 * h * self.eta).exp_m1()).sqrt(), noise)?;
        } else {
            x.copy_from_slice(denoised);
        }
        // The buffer of the oldest is used again.
        let remembered = if self.order == Order::Third { 2 } else { 1 };
        let mut newest = match self.seen.len() == remembered {
            true => self.seen.pop().map(|(_, seen)| seen).unwrap_or_default(),
            false => room(denoised.len(), "the memory of a sampler")?,
        };
        newest.clear();
        newest.extend_from_slice(denoised);
        self.seen.insert(0, (lambda, newest));
        Ok(())
    }

    fn reset(&mut self) {
        self.seen.clear();
    }

    fn boxed(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}
