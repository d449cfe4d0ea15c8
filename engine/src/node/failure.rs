use serde::{Deserialize, Serialize};

/// Result of anything a node does.
pub type NodeResult<T> = Result<T, Failure>;

/// Whose fault a failure is. Decides the exit code and whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blame {
    /// The graph or a parameter asks for something impossible.
    Graph,
    /// An input is missing, broken or unfit.
    Input,
    /// An input or output is larger than the limits allow.
    Limit,
    /// A model is missing or broken.
    Model,
    /// Disk or device ran out, or cannot be written.
    Resource,
    /// Memory ran out. With smaller tiles it may suffice.
    Memory,
    /// A mistake of this program.
    Internal,
    /// The person stopped the run.
    Cancelled,
}

/// Why a node could not do its work.
#[derive(Clone, Debug, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Failure {
    /// Whose fault it is.
    pub blame: Blame,
    /// What is wrong: lower case, no full stop, names in back-ticks.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The field of the node that is at fault.
    pub field: Option<String>,
}

impl Failure {
    /// A failure by whose fault it is.
    pub fn new(blame: Blame, message: impl Into<String>) -> Self {
        Self { blame, message: message.into(), hint: None, field: None }
    }

    /// A broken, missing or unfit input.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Blame::Input, message)
    }

    /// A mistake of this program.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Blame::Internal, message)
    }

    /// The person stopped the run.
    pub fn cancelled() -> Self {
        Self::new(Blame::Cancelled, "stopped")
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Points at a field of the node.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }
}

/// Leaves a node with a failure that blames the graph and points at a field:
/// `bail!(size, "an edge of {} is too small", self.size; hint: "use at least {}", 16)`.
#[macro_export]
macro_rules! bail {
    ($field:ident, $text:literal $(, $arg:expr)* ; hint: $hint:literal $(, $hint_arg:expr)* $(,)?) => {
        return Err($crate::Failure::new($crate::Blame::Graph, format!($text $(, $arg)*))
            .at(stringify!($field))
            .hint(format!($hint $(, $hint_arg)*)))
    };
    ($field:ident, $text:literal $(, $arg:expr)* $(,)?) => {
        return Err($crate::Failure::new($crate::Blame::Graph, format!($text $(, $arg)*)).at(stringify!($field)))
    };
}
