//! What the networks of a step are told beside the latent: the time, the text and, in SDXL, the pooled text and sizes.

use super::{UnetConfig, from_tokens};
use crate::layers::{Compute, Conv2d, Map, Pool, Precision, Region, Then, Weights, silu};
use crate::{Error, Result};

/// What the networks of a step are told beside the latent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition<'a> {
    /// The time, in the steps of training: 0 to 999, and whatever lies between.
    pub time: f32,
    /// The vectors of the text, one after the other.
    pub text: &'a [f32],
    /// What SDXL's networks are told besides, and no others.
    pub added: Option<Added<'a>>,
}

/// What SDXL's networks are told besides (Podell et al. 2023, section 2.2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Added<'a> {
    /// The pooled text of the larger text encoder.
    pub pooled: &'a [f32],
    /// Numbers about the picture: in the base network height and width of the original, top and left of the cut, height and width of
    /// what is wanted; in the refiner the last two are one, a score of beauty from 0 to 10.
    pub ids: &'a [f32],
}

/// The sizes of [`Added`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddedConfig {
    /// Channels of the pooled text.
    pub pooled: usize,
    /// How many numbers there are about the picture.
    pub ids: usize,
    /// Cosines and sines that each number is spread over.
    pub width: usize,
}

/// Turns a [`Condition`] into what layers take.
pub(super) struct Embedder {
    /// Cosines and sines of the time.
    width: usize,
    time: [Conv2d; 2],
    added: Option<(AddedConfig, [Conv2d; 2])>,
    /// Channels of the text.
    text: usize,
    compute: Compute,
    precision: Precision,
}

/// What is the same for all layers of a run.
pub(super) struct Given {
    /// The embedded time, ready for the layers of the residual blocks.
    pub(super) time: Map,
    pub(super) text: Map,
}

impl Given {
    /// Takes the maps back.
    pub(super) fn give(self, pool: &mut Pool) {
        pool.give(self.time);
        pool.give(self.text);
    }
}

impl Embedder {
    /// # Errors
    /// When a tensor is missing or misshaped, or the sizes make no sense.
    pub(super) fn load(weights: &Weights<'_>, config: &UnetConfig, first: usize) -> Result<Self> {
        // Numbers come in as f32, and their sum is narrowed at the end.
        let precise = weights.precise();
        let (width, embedded) = (first / 2 * 2, 4 * first);
        let two = |name: &str, from: usize| -> Result<[Conv2d; 2]> {
            let layer =
                |i: usize, from: usize| Conv2d::linear(&precise, &format!("{name}.linear_{i}"), from, embedded, true);
            Ok([layer(1, from)?, layer(2, embedded)?])
        };
        let added = |added: AddedConfig| -> Result<(AddedConfig, [Conv2d; 2])> {
            let from = added.width.checked_mul(added.ids).and_then(|ids| ids.checked_add(added.pooled));
            let Some(from) = from.filter(|_| added.width.is_multiple_of(2)) else {
                let value = format!("{} x {} + {}", added.ids, added.width, added.pooled);
                return Err(Error::Setting { name: "added sizes", value, hint: "each number is spread over pairs" });
            };
            Ok((added, two("add_embedding", from)?))
        };
        Ok(Self {
            width,
            time: two("time_embedding", width)?,
            added: config.added.map(added).transpose()?,
            text: config.text,
            compute: weights.compute().clone(),
            precision: weights.precision(),
        })
    }

    /// Bytes of the packed weights.
    pub(super) fn bytes(&self) -> u64 {
        self.time.iter().chain(self.added.iter().flat_map(|(_, layers)| layers)).map(Conv2d::bytes).sum()
    }

    /// # Errors
    /// When the text is not of the network's width, something is missing or superfluous, or there is too little memory.
    pub(super) fn run(&self, condition: Condition<'_>, pool: &mut Pool) -> Result<Given> {
        if !condition.time.is_finite() {
            let value = condition.time.to_string();
            return Err(Error::Setting { name: "time", value, hint: "it is a number from 0 to 999" });
        }
        let text = from_tokens(condition.text, self.text, &self.compute, self.precision, pool)?;
        let mut waves = vec![0.0; self.width];
        spread(condition.time, &mut waves);
        let mut sum = through(&self.time, &waves, None, pool)?;
        if let Some((layers, values)) = self.about(condition.added)? {
            let both = through(layers, &values, Some(&sum), pool)?;
            pool.give(std::mem::replace(&mut sum, both));
        }
        // What the layers of the residual blocks begin with is the same for all of them.
        let mut values = sum.fetch()?;
        pool.give(sum);
        silu(&mut values);
        let time = from_tokens(&values, values.len(), &self.compute, self.precision, pool)?;
        Ok(Given { time, text })
    }

    /// The numbers about the picture, spread, behind the pooled text; and the layers that take them.
    fn about(&self, added: Option<Added<'_>>) -> Result<Option<(&[Conv2d; 2], Vec<f32>)>> {
        let wrong = |value: String, hint: &'static str| Err(Error::Setting { name: "added", value, hint });
        match (&self.added, added) {
            (None, None) => Ok(None),
            (None, Some(_)) => wrong("given".into(), "this network takes no pooled text and no sizes"),
            (Some(_), None) => wrong("none".into(), "this network takes pooled text and sizes"),
            (Some((config, layers)), Some(Added { pooled, ids })) => {
                if (pooled.len(), ids.len()) != (config.pooled, config.ids) {
                    let value = format!("{} values and {} numbers", pooled.len(), ids.len());
                    return wrong(value, "pooled text and numbers are as many as the network's sizes say");
                }
                let mut values = pooled.to_vec();
                values.resize(config.pooled + config.ids * config.width, 0.0);
                let (_, waves) = values.split_at_mut(config.pooled);
                waves.chunks_exact_mut(config.width.max(1)).zip(ids).for_each(|(waves, id)| spread(*id, waves));
                Ok(Some((layers, values)))
            }
        }
    }
}

/// A vector through two layers, `base` added behind.
fn through([first, second]: &[Conv2d; 2], values: &[f32], base: Option<&Map>, pool: &mut Pool) -> Result<Map> {
    let mut input = pool.padded(Region::whole(1, 1), values.len(), Precision::F32, 0)?;
    input.write(|_, row| row.copy_from_slice(values))?;
    let y = first.run(&input, Then::SILU, pool)?;
    pool.give(input);
    let out = second.run(&y, base.map_or(Then::NOTHING, Then::add), pool)?;
    pool.give(y);
    Ok(out)
}

/// A number as cosines and, behind them, sines of frequencies from 1 down to 1/10000.
fn spread(number: f32, waves: &mut [f32]) {
    let half = waves.len() / 2;
    let (cosines, sines) = waves.split_at_mut(half);
    for (i, (cosine, sine)) in cosines.iter_mut().zip(sines).enumerate() {
        // The angle in f32, as it was in training; the functions in f64, as f32's last bit is left to the C library.
        let exponent = -10_000f32.ln() * i as f32 / half as f32;
        let angle = f64::from(number * f64::from(exponent).exp() as f32);
        (*cosine, *sine) = (angle.cos() as f32, angle.sin() as f32);
    }
}
