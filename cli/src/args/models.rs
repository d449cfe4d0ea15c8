//! `upweave models`.

use clap::{Args, Subcommand, ValueHint};
use std::{path::PathBuf, time::Duration};

#[derive(Args, Debug)]
pub(crate) struct Models {
    #[command(subcommand)]
    pub verb: ModelsVerb,
    /// Make no connection, and say so where one would be needed
    #[arg(long, global = true)]
    pub offline: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsVerb {
    /// List the models inside the program, those that are here, those of other programs, and those that can be fetched
    List,
    /// Fetch models that `list` names, or go on with what was interrupted
    Pull(Pull),
    /// Remove models that were pulled or imported
    Rm {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Read models, and compare them with what they were when they came
    Verify {
        /// Their names [default: all]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Print where a model lies, or the folder of models
    Path {
        /// Its name
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Put a model file into your folder of models, where it has a name; upscalers and detectors become safetensors
    Import {
        /// The model: .safetensors, .pth, .pt, .ckpt, .onnx, or .param with its .bin
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// What to call it [default: the name of the file without its ending]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Only tell what it is
        #[arg(long)]
        dry_run: bool,
    },
    /// Tell of every model file in a folder what it is
    Scan {
        /// The folder; those inside are looked at too
        #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

/// What is fetched, and from where.
#[derive(Args, Debug)]
pub(crate) struct Pull {
    /// What to fetch, as `list` names it
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Accept licences that restrict what may be done with a model, without being asked
    #[arg(long, alias = "accept-license", help_heading = "Fetching")]
    pub accept_licence: bool,
    /// A server to ask first, which has the paths of the usual ones: URL/owner/name/resolve/.. and URL/owner/name/raw/..; may be
    /// repeated. The variable UPWEAVE_MIRROR names another. HF_ENDPOINT stands for the place of Hugging Face, HF_TOKEN is sent there
    /// and nowhere else
    #[arg(long, value_name = "URL", help_heading = "Fetching", value_hint = ValueHint::Url)]
    pub mirror: Vec<String>,
    /// Give up a connection after so long without news
    #[arg(long, value_name = "SECONDS", help_heading = "Fetching", value_parser = patience, default_value = "30")]
    pub timeout: Duration,
    /// Try again so often when nothing comes
    #[arg(long, value_name = "N", help_heading = "Fetching", default_value = "5", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub retries: u32,
}

/// A time in seconds that is long enough for an answer.
fn patience(text: &str) -> Result<Duration, String> {
    let time = super::values::seconds(text)?;
    if time < Duration::from_millis(100) { Err("takes at least 0.1 seconds".to_owned()) } else { Ok(time) }
}
