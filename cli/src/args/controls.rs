//! The controls: what a person turns.

use super::{Numbers, values::within};
use clap::{ArgAction, Args, ValueEnum, ValueHint};
use std::path::PathBuf;

/// The controls. Those that a graph has are the names that it exposes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Controls")]
pub(crate) struct Controls {
    /// What the picture is [default: universal]
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "preset")]
    pub style: Option<Style>,
    /// low restores first (noise, JPEG, blur), high does not, auto measures [default: auto]
    #[arg(long, value_name = "QUALITY")]
    pub quality: Option<Quality>,
    /// Enlargement, 1 to 16, fractions allowed [default: 2]
    #[arg(short, long, value_name = "N", value_parser = within::<1, 16>, allow_negative_numbers = true)]
    pub scale: Option<f64>,
    /// How much may be reinvented, 0 to 1; 0 is the faithful answer alone
    #[arg(long, value_name = "N", value_parser = within::<0, 1>, allow_negative_numbers = true)]
    pub creativity: Option<f64>,
    /// Grey picture that scales creativity: white all of it, black none
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub mask: Option<PathBuf>,
    /// How strictly the structure is kept, 0 to 1
    #[arg(long, value_name = "N", value_parser = within::<0, 1>, allow_negative_numbers = true)]
    pub resemblance: Option<f64>,
    /// Strength of new detail, 0 to 1; 0.5 is natural
    #[arg(long, value_name = "N", value_parser = within::<0, 1>, allow_negative_numbers = true)]
    pub detail: Option<f64>,
    /// Leave faces as they are
    #[arg(hide_possible_values = true, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false", action = ArgAction::Set)]
    pub preserve_faces: Option<bool>,
    /// Leave hands as they are
    #[arg(hide_possible_values = true, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false", action = ArgAction::Set)]
    pub preserve_hands: Option<bool>,
    /// Same seed, same picture; `random` draws one and prints it [default: 0]
    #[arg(long, value_name = "N|random", value_parser = seed)]
    pub seed: Option<Seed>,
    /// Steps in which detail is sampled [default: 2, for which there are weights of their own; with Stable Diffusion 18]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub steps: Option<u32>,
    /// Numbers that the networks compute in: auto, f32 or bf16 [default: auto, the fastest]
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub precision: Option<Numbers>,
    /// Edge of the tiles that the networks work in; of the embedded ones it changes memory and time, never the picture
    #[arg(short, long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(0..=8192))]
    pub tile: Option<u32>,

    #[command(flatten)]
    pub drawing: Drawing,
}

/// What is said to Stable Diffusion.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Stable Diffusion")]
pub(crate) struct Drawing {
    /// What makes new detail: embedded, stable-diffusion, or auto, which is that where its checkpoint is installed [default: embedded]
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub backbone: Option<Backbone>,
    /// Checkpoint: a name, a file, or a folder of diffusers [default: sd15]
    #[arg(long, value_name = "NAME|FILE", value_hint = ValueHint::AnyPath)]
    pub checkpoint: Option<String>,
    /// What is wanted; (word:1.2) weighs a word
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub prompt: Option<String>,
    /// What is not wanted
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub negative_prompt: Option<String>,
}

/// What a picture is: one preset of the graph each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// Anything
    Universal,
    /// Photographs
    Realism,
    /// Drawn with lines and flat colours
    Anime,
    /// Painted thickly
    Impasto,
    /// Painted thinly on paper
    Watercolor,
}

impl Style {
    /// The name of its preset.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Universal => "universal",
            Self::Realism => "realism",
            Self::Anime => "anime",
            Self::Impasto => "impasto",
            Self::Watercolor => "watercolor",
        }
    }
}

/// What makes new detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backbone {
    /// Stable Diffusion where its checkpoint is installed, else the embedded models
    Auto,
    /// The models inside the program
    Embedded,
    /// Stable Diffusion
    StableDiffusion,
}

/// Whether damage is restored before detail is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Quality {
    /// Measure the damage and decide
    Auto,
    /// Restore
    Low,
    /// Do not restore
    High,
}

/// Where randomness starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seed {
    Given(u32),
    Random,
}

fn seed(text: &str) -> Result<Seed, String> {
    if text == "random" {
        return Ok(Seed::Random);
    }
    text.parse().map(Seed::Given).map_err(|_| format!("a seed is a whole number from 0 to {}, or `random`", u32::MAX))
}
