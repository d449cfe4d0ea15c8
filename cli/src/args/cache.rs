//! `upweave cache`.

use super::values::size;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub(crate) enum CacheVerb {
    /// Tell where it is and how much it holds
    Info(CachePlace),
    /// Read everything, and remove what is broken
    Verify(CachePlace),
    /// Remove what was not used for longest, until no more than SIZE is left
    Prune {
        /// What may stay, such as 1GiB [default: half of the most that is kept]
        #[arg(value_name = "SIZE", value_parser = size)]
        size: Option<u64>,
        #[command(flatten)]
        place: CachePlace,
    },
    /// Remove everything but what running jobs need
    Clear(CachePlace),
}

/// Which cache is meant.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CachePlace {
    /// The folder [default: that of the system]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
}
