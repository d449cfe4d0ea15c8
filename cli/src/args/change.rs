//! Graphs, and changes to them.

use super::values::assignment;
use clap::Args;

/// Changes to a graph.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Graph")]
pub(crate) struct Change {
    /// A preset of the graph
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// Set an exposed parameter, or any parameter as node.parameter; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
}

/// A graph, and changes to it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Graph")]
pub(crate) struct Chosen {
    /// Another graph: a shipped one by name, or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "dynamic-upscale")]
    pub graph: String,
    #[command(flatten)]
    pub change: Change,
}
