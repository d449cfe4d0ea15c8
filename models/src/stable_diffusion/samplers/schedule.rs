//! How much noise there is at each time of the training, and back.
//!
//! Sigma is the spread of the noise over the spread of the picture: `x = x0 + sigma n`, the form in which all samplers here count.
//! What the network is shown is `x / sqrt(sigma^2 + 1)`, which is the variance-preserving form of the papers.

use crate::{Error, Result};

/// Times of the training: 0 is next to no noise, 999 next to nothing but noise.
pub(super) const TIMES: usize = 1000;

/// The noise of Stable Diffusion's training: betas that rise with the square of a straight line from 0.00085 to 0.012.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    sigmas: Vec<f64>,
    logs: Vec<f64>,
}

impl Default for Schedule {
    /// As Stable Diffusion 1, 2 and XL were trained.
    fn default() -> Self {
        Self::of_betas(&betas())
    }
}

impl Schedule {
    /// For networks that were trained down to pure noise: the betas are stretched so that nothing is left of the picture at the last
    /// time (Lin et al. 2024, "Common diffusion noise schedules and sample steps are flawed", algorithm 1). Such networks predict
    /// velocity. What is left there is 2^-24, as in diffusers, so that sigma is a number: 4096.
    pub fn zero_terminal() -> Self {
        let roots: Vec<f64> = alphas(&betas()).iter().map(|alpha| f64::from(*alpha).sqrt()).collect();
        let (first, last) = (roots[0], roots[TIMES - 1]);
        let stretched: Vec<f64> = roots.iter().map(|root| ((root - last) * first / (first - last)).powi(2)).collect();
        let mut betas = vec![(1.0 - stretched[0]) as f32];
        betas.extend(stretched.windows(2).map(|pair| (1.0 - pair[1] / pair[0]) as f32));
        Self::of_betas(&betas)
    }

    fn of_betas(betas: &[f32]) -> Self {
        let mut alphas = alphas(betas);
        if let Some(last) = alphas.last_mut() {
            *last = last.max((-24.0f32).exp2());
        }
        let sigmas: Vec<f64> = alphas.iter().map(|alpha| f64::from(((1.0 - alpha) / alpha).sqrt())).collect();
        let logs = sigmas.iter().map(|sigma| sigma.ln()).collect();
        Self { sigmas, logs }
    }

    /// The smallest sigma of the training, about 0.03.
    pub fn smallest(&self) -> f64 {
        self.sigmas[0]
    }

    /// The largest sigma of the training, about 14.6.
    pub fn largest(&self) -> f64 {
        self.sigmas[TIMES - 1]
    }

    /// Sigma at a time of 0..=999, between whole times on a straight line of its logarithm. Times outside are moved to the ends.
    pub fn sigma(&self, time: f64) -> f64 {
        let time = within(time);
        // The table itself where it has the time: the logarithm costs the last bit.
        if time.fract() == 0.0 { self.sigmas[time as usize] } else { between(&self.logs, time).exp() }
    }

    /// The same on a straight line of sigma itself, as diffusers places evenly spaced times.
    pub(super) fn sigma_linear(&self, time: f64) -> f64 {
        between(&self.sigmas, time)
    }

    /// The time of a sigma: the inverse of [`Schedule::sigma`]. Sigmas outside are moved to the ends.
    pub fn time(&self, sigma: f64) -> f64 {
        let log = sigma.max(1e-10).ln();
        let low = self.logs.partition_point(|known| *known <= log).saturating_sub(1).min(TIMES - 2);
        let part = (log - self.logs[low]) / (self.logs[low + 1] - self.logs[low]);
        low as f64 + part.clamp(0.0, 1.0)
    }
}

/// A time of the training.
fn within(time: f64) -> f64 {
    time.clamp(0.0, (TIMES - 1) as f64)
}

/// A value between those of whole times.
fn between(values: &[f64], time: f64) -> f64 {
    let time = within(time);
    let low = (time as usize).min(TIMES - 2);
    values[low] + (values[low + 1] - values[low]) * (time - low as f64)
}

/// In f32 as the checkpoints and diffusers hold them: near time 0 a rounded alpha is worth 4e-5 of sigma.
fn betas() -> Vec<f32> {
    let (first, last) = (0.00085f64.sqrt() as f32, 0.012f64.sqrt() as f32);
    let step = (last - first) / (TIMES - 1) as f32;
    let root = |i: usize| match i < TIMES / 2 {
        true => first + step * i as f32,
        false => last - step * (TIMES - 1 - i) as f32,
    };
    (0..TIMES).map(|i| root(i) * root(i)).collect()
}

/// The part of the picture in the variance, at each time: the product of all `1 - beta` so far.
fn alphas(betas: &[f32]) -> Vec<f32> {
    let product = |product: &mut f64, beta: &f32| {
        *product *= f64::from(1.0 - beta);
        Some(*product as f32)
    };
    betas.iter().scan(1.0, product).collect()
}

/// What the output of a network means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prediction {
    /// The noise: Stable Diffusion 1, SDXL and most others.
    Epsilon,
    /// `alpha n - sigma x0` (Salimans and Ho 2022): Stable Diffusion 2 at 768 pixels, and networks down to pure noise.
    Velocity,
    /// The picture itself.
    Sample,
}

impl Prediction {
    /// Names as in `prediction_type` of diffusers' files, with what they mean.
    pub const NAMES: [(&'static str, Self); 3] =
        [("epsilon", Self::Epsilon), ("v_prediction", Self::Velocity), ("sample", Self::Sample)];

    /// Makes the picture that the network sees in `x` of the output that it gave for `x * input_scale(sigma)`, in place.
    ///
    /// # Errors
    /// When `x` and `output` are not of the same size.
    pub fn denoised(self, x: &[f32], output: &mut [f32], sigma: f64) -> Result<()> {
        same(x.len(), output.len())?;
        let (of_x, of_output) = match self {
            Self::Epsilon => (1.0, -sigma),
            Self::Velocity => (1.0 / (sigma * sigma + 1.0), -sigma / (sigma * sigma + 1.0).sqrt()),
            Self::Sample => return Ok(()),
        };
        let (of_x, of_output) = (of_x as f32, of_output as f32);
        for (output, x) in output.iter_mut().zip(x) {
            *output = of_x * x + of_output * *output;
        }
        Ok(())
    }

    /// Makes the noise that the network sees in `x` of the output that it gave for `x * input_scale(sigma)`, in place. Sigma may be 0:
    /// what noise would lead there.
    ///
    /// # Errors
    /// When `x` and `output` are not of the same size, or the network predicts the picture: without noise in it there is none to tell.
    pub fn noise(self, x: &[f32], output: &mut [f32], sigma: f64) -> Result<()> {
        same(x.len(), output.len())?;
        let scale = f64::from(input_scale(sigma));
        let (of_x, of_output) = match self {
            Self::Epsilon => return Ok(()),
            Self::Velocity => ((sigma * scale * scale) as f32, scale as f32),
            Self::Sample => {
                let hint =
                    "networks that predict the picture cannot say which noise leads to it; leave out the inversion";
                return Err(Error::Setting { name: "prediction", value: "sample".into(), hint });
            }
        };
        output.iter_mut().zip(x).for_each(|(output, x)| *output = of_x * x + of_output * *output);
        Ok(())
    }
}

impl std::str::FromStr for Prediction {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let hint = "it is one of `epsilon`, `v_prediction`, `sample`";
        let known = Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, prediction)| *prediction);
        known.ok_or_else(|| Error::Setting { name: "prediction", value: name.into(), hint })
    }
}

/// What `x` is multiplied by before the network sees it: `1 / sqrt(sigma^2 + 1)`.
pub fn input_scale(sigma: f64) -> f32 {
    (1.0 / (sigma * sigma + 1.0).sqrt()) as f32
}

/// # Errors
/// When two buffers of a step are not of the same size.
pub(super) fn same(x: usize, other: usize) -> Result<()> {
    match x == other {
        true => Ok(()),
        false => {
            let hint = "all buffers of a step have the size of its latents";
            Err(Error::Setting { name: "latents", value: format!("{x} and {other} values"), hint })
        }
    }
}
