//! The networks of a checkpoint, put together to redraw pictures.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::amount::Amount;
use super::course::Course;
use super::denoise::Steps;
use super::inversion::Inversion;
use super::job::{Job, Place, Tiling};
use super::layout::{LATENT, Layout};
use super::networks::{Half, Networks, Seen};
use super::one_step::OneStep;
use super::{Easel, tiles};
use crate::stable_diffusion::autoencoder::Autoencoder;
use crate::stable_diffusion::samplers::{Prediction, SamplerKind, Schedule, Spacing};
use crate::stable_diffusion::{
    Adapter, Added, Checkpoint, Clip, Condition, Conditioning, ControlNet, Embedding, Family, Hint, Lora, OneStepKind,
    Residuals, Scratch, TextEncoder, Unet, soft_weights,
};
use crate::{Compute, Error, Picture, Result};

/// The files to draw with.
#[derive(Clone, Debug, PartialEq)]
pub struct Materials {
    /// The checkpoint: a file, or a folder of diffusers.
    pub checkpoint: PathBuf,
    /// Another autoencoder than the checkpoint's, which may be a small one: see [`small_autoencoder`](super::super::small_autoencoder).
    pub vae: Option<PathBuf>,
    /// ControlNets that see the picture, and their weights.
    pub controls: Vec<(PathBuf, f32)>,
    /// LoRAs and their weights.
    pub loras: Vec<(PathBuf, f32)>,
    /// Embeddings, and the words that prompts call them by.
    pub embeddings: Vec<(String, PathBuf)>,
}

/// How a picture is redrawn.
pub struct Redrawing<'a> {
    /// The picture, at its final size.
    pub picture: Picture<'a>,
    /// How much may be reinvented, 0 to 1: the share of the steps that are taken.
    pub creativity: Amount<'a>,
    /// How strictly the structure is kept, 0 to 1: the weight of the ControlNets.
    pub resemblance: Amount<'a>,
    /// Strength of new detail, 0 to 1: the guidance is as given at 0.5.
    pub detail: Amount<'a>,
    /// Scale of the guidance (Ho and Salimans 2022) towards what is wanted; 1 is none.
    pub guidance: f32,
    /// The way to the new picture.
    pub way: Way,
    /// How the tiles belong together.
    pub tiling: Tiling,
    /// Largest width and height of a tile, in pixels.
    pub tile: (u32, u32),
    /// Least overlap of tiles, in pixels.
    pub overlap: (u32, u32),
    /// Picks one of the plausible answers.
    pub seed: u64,
    /// What is wanted: the first for all of the picture, others for parts of it.
    pub wanted: &'a [(Place, Conditioning)],
    /// What is not wanted.
    pub unwanted: &'a Conditioning,
}

/// The way to a new picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// Out of noise, step by step.
    Steps {
        /// Steps of a drawing from nothing.
        count: usize,
        /// How a step is made.
        sampler: SamplerKind,
        /// How the steps lie over the noise.
        spacing: Spacing,
        /// Whether the noise is one that leads back to the picture, and how much of it; all of it is drawn otherwise.
        inversion: Option<Inversion>,
    },
    /// At once, without noise, by a LoRA that was made for it: see [`OneStepKind`]. Of one with two halves resemblance is the weight of
    /// the half for the pixels, and creativity that of the half that adds meaning; of another creativity is how much of the
    /// new latent counts.
    OneStep,
}

/// How many tiles of which width and height, in pixels, a picture is redrawn in: see [`Redrawing`].
pub fn tiles_of(size: (u32, u32), tile: (u32, u32), overlap: (u32, u32)) -> (u64, (u32, u32)) {
    let layout = Layout::new((size.0 as usize, size.1 as usize), latents(tile), latents(overlap));
    let pixels = |latents: usize| u32::try_from(latents * LATENT).unwrap_or(u32::MAX);
    (layout.count() as u64, (pixels(layout.tile.0), pixels(layout.tile.1)))
}

/// Pixels as latents.
fn latents((width, height): (u32, u32)) -> (usize, usize) {
    (width as usize / LATENT, height as usize / LATENT)
}

/// Networks that redraw pictures.
pub struct Painter {
    family: Family,
    unet: Unet,
    /// The same without the half of an adapter that adds meaning.
    pixels: Option<Unet>,
    /// The kind of an adapter for one step among those that are merged.
    one_step: Option<OneStepKind>,
    controls: Vec<(ControlNet, f32)>,
    autoencoder: Autoencoder,
    text: TextEncoder,
    prediction: Prediction,
    schedule: Schedule,
    scratch: Mutex<Scratch>,
}

impl Painter {
    /// Reads the networks.
    ///
    /// # Errors
    /// When a file cannot be read, is broken, holds something else, or does not fit the checkpoint.
    pub fn load(materials: &Materials, compute: &Compute) -> Result<Self> {
        let checkpoint = Checkpoint::open(&materials.checkpoint)?;
        let refused =
            |checkpoint: &Checkpoint, message: String| Error::Weights { file: checkpoint.name().into(), message };
        let family = match (checkpoint.family(), checkpoint.unet_config()) {
            (Some(Family::SdXlRefiner), _) => {
                return Err(refused(&checkpoint, "it is the refiner of SDXL, which cannot redraw by itself".into()));
            }
            (Some(family), Some(_)) => family,
            // Of an unusual width; what it takes tells what it is like.
            (None, Some(unet)) if unet.added.is_some() => Family::SdXl,
            (None, Some(unet)) if unet.linear => Family::Sd2,
            (None, Some(_)) => Family::Sd1,
            (_, None) => return Err(refused(&checkpoint, "it has no U-Net: it is no whole checkpoint".into())),
        };
        let loras: Vec<(Lora, f32)> =
            materials.loras.iter().map(|(path, weight)| Ok((Lora::open(path)?, *weight))).collect::<Result<_>>()?;
        let adapters: Vec<Adapter<'_>> = loras.iter().map(|(lora, weight)| Adapter::all(lora, *weight)).collect();
        let mut for_one = loras.iter().filter_map(|(lora, _)| Some((lora, lora.one_step()?)));
        let one_step = for_one.next();
        if let (Some((lora, _)), Some((other, _))) = (one_step, for_one.next()) {
            let message = format!("it is for one step, and so is `{}`: take one of them", lora.name());
            return Err(Error::Weights { file: other.name().into(), message });
        }
        if let Some((lora, _)) = one_step {
            checkpoint.merged(lora)?;
        }
        let halved = one_step.is_some_and(|(_, kind)| kind == OneStepKind::Residual);
        let pixels: Vec<Adapter<'_>> = adapters.iter().map(|all| Adapter { semantic: false, ..*all }).collect();
        let control = |(path, weight): &(PathBuf, f32)| -> Result<(ControlNet, f32)> {
            let file = Checkpoint::open(path)?;
            match file.family() {
                Some(other) if checkpoint.family().is_some() && other != family => {
                    let message =
                        format!("it is a ControlNet for {}, and the checkpoint is {}", other.name(), family.name());
                    Err(refused(&file, message))
                }
                _ => Ok((file.control_net(compute)?, *weight)),
            }
        };
        let other_encoders = || refused(&checkpoint, format!("it has other text encoders than {}", family.name()));
        let clips = checkpoint.text_encoders(compute, &adapters)?;
        let mut text = encoder_of(family, clips).ok_or_else(other_encoders)??;
        for (word, path) in &materials.embeddings {
            for embedding in Embedding::open(path)? {
                text.learn(word, embedding.vectors.iter().map(|vectors| (vectors.width, &vectors.values[..])))?;
            }
        }
        Ok(Self {
            family,
            controls: materials.controls.iter().map(control).collect::<Result<_>>()?,
            autoencoder: Autoencoder::load(materials.vae.as_deref(), &checkpoint, compute, &adapters)?,
            unet: checkpoint.unet(compute, &adapters)?,
            pixels: halved.then(|| checkpoint.unet(compute, &pixels)).transpose()?,
            one_step: one_step.map(|(_, kind)| kind),
            text,
            prediction: checkpoint.prediction(),
            schedule: if checkpoint.zero_terminal() { Schedule::zero_terminal() } else { Schedule::default() },
            scratch: Mutex::default(),
        })
    }

    /// A prompt in vectors; so many layers are left out at the end of the encoder.
    ///
    /// # Errors
    /// When there is too little memory.
    pub fn text(&self, prompt: &str, clip_skip: usize) -> Result<Conditioning> {
        self.text.encode(prompt, clip_skip, &mut self.scratch())
    }

    /// Redraws a picture: three planes of its size. Nothing of it is as it was, not even where nothing was to be reinvented:
    /// it has been through the autoencoder.
    ///
    /// # Errors
    /// A picture or setting out of range, too little memory, or what `easel` stopped with.
    pub fn redraw(&self, how: &Redrawing<'_>, easel: &mut dyn Easel) -> Result<Vec<f32>> {
        let size = how.picture.size()?;
        how.creativity.fits("creativity", size)?;
        how.resemblance.fits("resemblance", size)?;
        how.detail.fits("detail", size)?;
        if how.wanted.is_empty() {
            return Err(Error::Setting {
                name: "wanted",
                value: "nothing".into(),
                hint: "there is a text, if an empty one",
            });
        }
        let course = self.course(how)?;
        let inversion = match how.way {
            Way::Steps { inversion, .. } => inversion,
            Way::OneStep => None,
        };
        let edges = match inversion {
            Some(inversion) if inversion.kernel > 0 => Some(inversion.map(how.picture.rgb, size)?),
            _ => None,
        };
        let job = Job {
            rgb: how.picture.rgb,
            size,
            creativity: how.creativity,
            resemblance: how.resemblance,
            detail: how.detail,
            guidance: how.guidance,
            renoise: inversion
                .map(|inversion| edges.as_deref().map_or(Amount::Uniform(inversion.renoise), Amount::Map)),
            tiling: how.tiling,
            tile: latents(how.tile),
            overlap: latents(how.overlap),
            wanted: how.wanted,
            unwanted: how.unwanted,
        };
        tiles::redraw(self, &job, &course, easel)
    }

    /// The way that is asked for, if it fits the adapters.
    fn course(&self, how: &Redrawing<'_>) -> Result<Course> {
        let wrong = |value: String, hint| Err(Error::Setting { name: "sampler", value, hint });
        let prediction = self.prediction;
        match (how.way, self.one_step) {
            (Way::OneStep, Some(kind)) => Ok(Course::OneStep(OneStep::new(kind, prediction, &self.schedule))),
            (Way::OneStep, None) => {
                wrong("one step".into(), "it takes a LoRA that was made for it, of OSEDiff or PiSA-SR; there is none")
            }
            (Way::Steps { sampler, .. }, Some(_)) => {
                wrong(sampler.name().into(), "there is a LoRA that was made for one step; take `OneStep`")
            }
            (Way::Steps { count, sampler, spacing, inversion }, None) => {
                inversion.map_or(Ok(()), Inversion::sound)?;
                Ok(Course::Steps(Steps {
                    steps: spacing.steps(sampler, count, &self.schedule)?,
                    sampler: sampler.sampler(&self.schedule, None)?,
                    prediction,
                    seed: how.seed,
                    inverts: inversion.is_some(),
                }))
            }
        }
    }

    fn scratch(&self) -> MutexGuard<'_, Scratch> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text encoders of a family, put together; nothing where they are not as many as it has.
fn encoder_of(family: Family, clips: Vec<Clip>) -> Option<Result<TextEncoder>> {
    let mut clips = clips.into_iter();
    match (family, clips.next()?, clips.next()) {
        (Family::Sd1, only, None) => Some(TextEncoder::sd1(only)),
        (Family::Sd2, only, None) => Some(TextEncoder::sd2(only)),
        (Family::SdXl, first, Some(second)) => Some(TextEncoder::sdxl(first, second)),
        _ => None,
    }
}

impl Networks for Painter {
    type Text = Conditioning;
    type Hint = Vec<Hint>;

    fn encode(&self, rgb: &[f32], size: (usize, usize)) -> Result<Vec<f32>> {
        self.autoencoder.encode(rgb, size, &mut self.scratch())
    }

    fn decode(&self, latent: &[f32], size: (usize, usize)) -> Result<Vec<f32>> {
        self.autoencoder.decode(latent, size, &mut self.scratch())
    }

    fn hint(&self, rgb: &[f32], size: (usize, usize)) -> Result<Self::Hint> {
        self.controls.iter().map(|(control, _)| control.hint(rgb, size, &mut self.scratch())).collect()
    }

    fn predict(
        &self,
        latent: &[f32],
        (time, half): (f32, Half),
        text: &Conditioning,
        seen: &Seen<'_, Self>,
    ) -> Result<Vec<f32>> {
        let unet = match (half, &self.pixels) {
            (Half::Pixels, Some(pixels)) => pixels,
            _ => &self.unet,
        };
        let size = seen.at.size();
        let (width, height) = seen.at.pixels().size();
        // SDXL is told the size that the picture had, what was cut off, and the size that is wanted.
        let ids = [height as f32, width as f32, 0.0, 0.0, height as f32, width as f32];
        let added = match (self.family, &text.pooled) {
            (Family::SdXl, Some(pooled)) => Some(Added { pooled, ids: &ids }),
            _ => None,
        };
        let condition = Condition { time, text: &text.tokens, added };
        let scratch = &mut *self.scratch();
        let mut residuals: Option<Residuals> = None;
        if seen.resemblance.iter().any(|value| *value > 0.0) {
            for ((control, weight), hint) in
                self.controls.iter().zip(seen.hint).filter(|((_, weight), _)| *weight != 0.0)
            {
                let mut more = control.run(latent, size, condition, hint, scratch)?;
                more.weigh(&soft_weights(*weight, more.layers()))?;
                match &mut residuals {
                    None => residuals = Some(more),
                    Some(sum) => {
                        sum.add(&more)?;
                        scratch.recycle(more);
                    }
                }
            }
        }
        if let Some(residuals) = &mut residuals {
            residuals.weigh_by_map(seen.resemblance, size)?;
        }
        let out = unet.run(latent, size, condition, residuals.as_ref(), scratch);
        if let Some(residuals) = residuals {
            scratch.recycle(residuals);
        }
        out
    }
}
