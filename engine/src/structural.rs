//! Nodes that are gone before a graph runs: linking puts the nodes of other files in their place.

use crate::{Cx, Failure, Node, NodeResult, node, value::Image};
use std::collections::BTreeMap;

node! {
    /// Puts another graph file in this place.
    ///
    /// The nodes of the file become part of this graph, under this node's name. A wire `"name"` takes the first output
    /// of the file, `"name.output"` a certain one. Its exposed parameters are set by `set`, and from outside as
    /// `name.parameter`.
    pub struct Subgraph, version 1 {
        /// The graph file: a path from this file, or a shipped part.
        file: String,
        /// What feeds the inputs of the file: input to wire.
        inputs: BTreeMap<String, String>,
        /// A preset of the file.
        preset: Option<String>,
        /// Values for exposed parameters (or `node.parameter`) of the file.
        #[serde(skip_serializing)]
        set: Anything,
    }
}

node! {
    /// Puts another graph file in this place several times, one behind the other.
    ///
    /// Each pass feeds its first output to the input `carry` of the next pass. The number of passes is `times`, or
    /// follows from `scale`: so many passes that none enlarges by more than `most`, the last by what is left.
    pub struct Repeat, version 1 {
        /// The graph file of one pass: a path from this file, or a shipped part.
        file: String,
        /// What feeds the inputs of the first pass: input to wire. All passes share those other than `carry`.
        inputs: BTreeMap<String, String>,
        /// The input that every later pass gets from the pass before it.
        carry: String,
        /// Number of passes, when `scale` is not given.
        #[schemars(range(min = 1, max = 64))]
        times: u32 = 1,
        /// Enlargement by all passes together.
        #[schemars(range(min = 1.0, max = 64.0))]
        scale: Option<f64>,
        /// The most that one pass enlarges.
        #[schemars(range(min = 1.1, max = 64.0))]
        most: f64 = 4.0,
        /// The exposed parameter of the file that takes the enlargement of a pass.
        parameter: String = "scale".to_owned(),
        /// A preset of the file.
        preset: Option<String>,
        /// Values for exposed parameters (or `node.parameter`) of the file, in the first pass.
        #[serde(skip_serializing)]
        set: Anything,
        /// How values of `set` change from pass to pass: `{"creativity": Times(0.8), "seed": Plus(1)}`.
        later: BTreeMap<String, Change>,
    }
}

/// How a number changes from pass to pass.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum Change {
    /// Multiplied by this each time.
    Times(f64),
    /// This is added each time.
    Plus(f64),
}

impl Change {
    /// The number in a pass, counted from 0.
    pub(crate) fn apply(self, base: f64, pass: u32) -> f64 {
        match self {
            Self::Times(factor) => base * factor.powi(pass as i32),
            Self::Plus(step) => base + step * f64::from(pass),
        }
    }
}

/// Values of any type. Linking reads them as text; here they only have to be well formed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anything;

impl<'de> serde::Deserialize<'de> for Anything {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl schemars::JsonSchema for Anything {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Values".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object" })
    }
}

impl Repeat {
    /// The enlargement of each pass, or `None` for passes that are counted by `times`.
    pub(crate) fn factors(&self) -> Vec<Option<f64>> {
        let Some(scale) = self.scale else { return vec![None; self.times as usize] };
        let mut left = scale;
        let mut factors = Vec::new();
        // A rest within rounding of 1 is no pass of its own.
        while left > self.most * (1.0 + 1e-9) {
            factors.push(Some(self.most));
            left /= self.most;
        }
        if factors.is_empty() || left > 1.0 + 1e-9 {
            factors.push(Some(left));
        }
        factors
    }
}

impl Node for Subgraph {
    type Out = Image;

    fn run(&self, _: &mut Cx<'_>) -> NodeResult<Image> {
        Err(never_runs())
    }
}

impl Node for Repeat {
    type Out = Image;

    fn run(&self, _: &mut Cx<'_>) -> NodeResult<Image> {
        Err(never_runs())
    }
}

fn never_runs() -> Failure {
    Failure::internal("linking left a structural node in the graph")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(scale: f64, most: f64) -> Vec<f64> {
        Repeat { scale: Some(scale), most, ..Repeat::default() }.factors().into_iter().flatten().collect()
    }

    #[test]
    fn passes_multiply_to_the_scale() {
        assert_eq!(factors(3.0, 4.0), [3.0]);
        assert_eq!(factors(1.0, 4.0), [1.0]);
        assert_eq!(factors(16.0, 4.0), [4.0, 4.0]);
        assert_eq!(factors(6.0, 4.0), [4.0, 1.5]);
        assert_eq!(factors(8.0, 2.0), [2.0, 2.0, 2.0]);
        for scale in [1.0, 1.3, 2.7, 5.0, 15.99] {
            assert!((factors(scale, 4.0).iter().product::<f64>() - scale).abs() < 1e-9);
        }
    }
}
