//! `upweave bench`.

use super::Numbers;
use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// What to measure, as `--list` names it [default: everything]
    #[arg(value_name = "WORK")]
    pub works: Vec<String>,
    /// List what can be measured
    #[arg(long)]
    pub list: bool,
    /// Only in these numbers: f32 or bf16 [default: auto, both]
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    pub precision: Option<Numbers>,
    /// Runs of each work after one to warm up; long ones stop after 20 seconds
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub rounds: u16,
    /// Answer requests on stdin, one JSON object a line: {"work": "conv3x3-320-64", "precision": "bf16"}
    #[arg(long, conflicts_with_all = ["works", "list", "precision"])]
    pub serve: bool,
}
