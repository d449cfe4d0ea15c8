//! The way of a latent to an answer: in steps out of noise, or in one step as it is.

use super::denoise::{Answer, Steps, Turn, Wishes};
use super::layout::Patch;
use super::networks::{Networks, Seen};
use super::one_step::OneStep;
use crate::{Result, Watch};

/// The way of a latent to an answer, wherever in the picture it is.
pub(super) enum Course {
    /// Out of noise.
    Steps(Steps),
    /// As it is.
    OneStep(OneStep),
}

impl Course {
    /// The first step at which one of these latents is free to change, if there is one.
    pub(super) fn first(&self, kept: &[f32]) -> Option<usize> {
        match self {
            Self::Steps(steps) => steps.first(kept),
            Self::OneStep(_) => kept.iter().any(|kept| *kept < 1.0).then_some(0),
        }
    }

    /// Whether a tile is to be drawn out of the picture as it came in, and not to fit to what its neighbours have become: what was restored
    /// once is no damaged picture any more.
    pub(super) fn alone(&self) -> bool {
        matches!(self, Self::OneStep(_))
    }

    /// What the networks make of a latent at a turn.
    pub(super) fn predict<N: Networks>(
        &self,
        networks: &N,
        turn: Turn,
        latent: &[f32],
        seen: &Seen<'_, N>,
        wishes: &Wishes,
    ) -> Result<Vec<f32>> {
        match self {
            Self::Steps(steps) => steps.predict(networks, turn, latent, seen, wishes),
            Self::OneStep(one) => one.predict(networks, latent, seen, wishes),
        }
    }

    /// Carries the latent of a picture to an answer, from step `first` on; `answer` gives what the networks make of a latent.
    pub(super) fn run(
        &self,
        first: usize,
        origin: &[f32],
        (at, wishes): (Patch, &Wishes),
        watch: &mut dyn Watch,
        answer: &mut Answer<'_>,
    ) -> Result<Vec<f32>> {
        match self {
            Self::Steps(steps) => steps.run(first, origin, (at, wishes), watch, answer),
            Self::OneStep(one) => one.run(origin, wishes, watch, answer),
        }
    }
}
