use crate::{NodeKind, diagnostic::Text};

/// The kinds of nodes that graphs may use.
pub type Registry = &'static [&'static dyn NodeKind];

/// Finds graph files by name.
pub trait Library: Sync {
    /// The file `name`, as the file `from` asks for it.
    ///
    /// # Errors
    /// Why there is no such file, as a text for the person.
    fn open(&self, name: &str, from: &str) -> Result<Text, String>;
}

/// A library without files.
pub struct NoLibrary;

impl Library for NoLibrary {
    fn open(&self, name: &str, _: &str) -> Result<Text, String> {
        Err(format!("there is no graph file `{name}`"))
    }
}

/// A value for a parameter, given from outside the file.
#[derive(Clone, Debug)]
pub struct Setting {
    /// An exposed name, or `"node.parameter"`.
    pub target: String,
    /// The value in RON.
    pub value: String,
    /// Where it comes from, as messages show it: `"--set guide.creativity"`.
    pub origin: String,
}

/// A node that is put before an input or behind an output of the graph.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The input or output of the graph.
    pub name: String,
    /// The kind of node.
    pub kind: String,
    /// Its fields in RON: `(path: "a.jpg")`.
    pub fields: String,
    /// Where it comes from, as messages show it.
    pub origin: String,
}

/// Everything that a graph is built from.
pub struct Request<'a> {
    /// The graph file.
    pub file: Text,
    /// Finds the files of subgraphs.
    pub library: &'a dyn Library,
    /// The kinds of nodes.
    pub registry: Registry,
    /// A preset of the file.
    pub preset: Option<String>,
    /// Values for parameters; later ones win, and all win over the preset.
    pub settings: Vec<Setting>,
    /// What feeds the inputs. Inputs without a binding stay open: such a graph can be checked, not run.
    pub inputs: Vec<Binding>,
    /// What becomes of the outputs. Its first wire is connected to the output. Where there are bindings, only what they
    /// need runs; without any, all outputs run.
    pub outputs: Vec<Binding>,
}
