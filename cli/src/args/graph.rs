//! `upweave graph`.

use super::values::assignment;
use clap::{Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub(crate) enum GraphVerb {
    /// Check graph files, and report every mistake at once
    Check {
        /// Shipped graphs by name, or files
        #[arg(required = true, value_name = "NAME|FILE")]
        graphs: Vec<String>,
        /// A preset of the graph
        #[arg(long, value_name = "NAME")]
        preset: Option<String>,
        /// Set a parameter first
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
        set: Vec<(String, String)>,
    },
    /// Show a graph: what it takes, gives and offers, and how its nodes are wired
    Show {
        /// A shipped graph by name, or a file
        graph: String,
        /// How
        #[arg(short, long, default_value = "text")]
        format: Picture,
    },
    /// Print a shipped graph to start from, or list them
    New {
        /// The graph to start from
        #[arg(long, value_name = "NAME")]
        from: Option<String>,
        /// File to write; never overwrites
        #[arg(short, long, value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
}

/// How a graph is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Picture {
    /// For reading
    Text,
    /// For Graphviz
    Dot,
    /// For Markdown pages
    Mermaid,
    /// A picture
    Svg,
}
