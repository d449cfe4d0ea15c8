//! What a graph file offers, told without linking it: for help texts, completion and the studio.

use crate::{
    diagnostic::{Diagnostics, Text},
    load::{RawGraph, parse},
    value::Type,
};

/// The interface of a graph file.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// What the graph is for.
    pub about: String,
    /// Its inputs.
    pub inputs: Vec<OutlineInput>,
    /// The names of its outputs.
    pub outputs: Vec<String>,
    /// The parameters that it exposes.
    pub exposed: Vec<OutlineParameter>,
    /// The names of its presets.
    pub presets: Vec<String>,
}

/// An input of a graph file.
#[derive(Clone, Debug)]
pub struct OutlineInput {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Whether the graph can do without.
    pub optional: bool,
}

/// A parameter that a graph file exposes.
#[derive(Clone, Debug)]
pub struct OutlineParameter {
    /// Its name.
    pub name: String,
    /// What it does.
    pub help: String,
    /// The parameters of nodes that it sets.
    pub sets: Vec<String>,
}

impl Outline {
    /// Reads the interface of a graph file.
    ///
    /// # Errors
    /// What is wrong with the skeleton of the file.
    pub fn read(file: &Text) -> Result<Self, Diagnostics> {
        let mut found = Vec::new();
        let graph = RawGraph::read(0, &file.text, &mut found);
        let Some(graph) = graph.filter(|_| found.is_empty()) else {
            return Err(Diagnostics { sources: vec![file.clone()], items: found });
        };
        let exposed = graph.expose.into_iter().map(|exposed| OutlineParameter {
            name: exposed.name,
            help: exposed.help,
            sets: exposed.sets.iter().filter_map(|piece| parse(piece).ok()).collect(),
        });
        Ok(Self {
            about: graph.about,
            inputs: graph
                .inputs
                .into_iter()
                .map(|input| OutlineInput { name: input.name, ty: input.ty, optional: input.optional })
                .collect(),
            outputs: graph.outputs.into_iter().map(|output| output.name).collect(),
            exposed: exposed.collect(),
            presets: graph.presets.into_iter().map(|preset| preset.name).collect(),
        })
    }
}
