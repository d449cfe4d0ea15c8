//! What can go wrong with one picture, and whose fault it is.

use engine::{Blame, Failure, RunError};
use std::io::{self, ErrorKind};

/// What went wrong with one picture.
pub(crate) enum Wrong {
    /// The graph has mistakes: no picture will go better.
    Graph(engine::Diagnostics),
    Run(Box<RunError>),
    Plain(Failure),
}

impl From<engine::Diagnostics> for Wrong {
    fn from(found: engine::Diagnostics) -> Self {
        Self::Graph(found)
    }
}

impl From<Box<RunError>> for Wrong {
    fn from(error: Box<RunError>) -> Self {
        Self::Run(error)
    }
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        Self::Plain(failure)
    }
}

impl Wrong {
    /// The failure, unless it is a list of mistakes in the graph.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Graph(_) => None,
            Self::Run(error) => Some(&error.failure),
            Self::Plain(failure) => Some(failure),
        }
    }

    /// The same, told of the file that a person knows rather than of its copy.
    pub(super) fn told_of(mut self, copy: &str, file: &str) -> Self {
        let failure = match &mut self {
            Self::Graph(_) => return self,
            Self::Run(error) => &mut error.failure,
            Self::Plain(failure) => failure,
        };
        failure.message = failure.message.replace(copy, file);
        self
    }

    /// Whether the person has stopped it.
    pub(crate) fn cancelled(&self) -> bool {
        self.failure().is_some_and(|failure| failure.blame == Blame::Cancelled)
    }
}

/// The exit code that tells whose fault it was.
pub(crate) fn exit_code(blame: Blame) -> u8 {
    match blame {
        Blame::Internal => 1,
        Blame::Graph => 2,
        Blame::Input => 3,
        Blame::Limit => 4,
        Blame::Model => 5,
        Blame::Resource | Blame::Memory => 6,
        Blame::Cancelled => 130,
    }
}

/// Why something could not be written, in words.
pub(super) fn unwritable(what: &str, error: &io::Error) -> Failure {
    let why = match error.kind() {
        ErrorKind::NotFound => "there is no such folder".to_owned(),
        ErrorKind::NotADirectory => "a file is where a folder should be".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        ErrorKind::PermissionDenied => "it is not allowed".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "the disk can only be read".to_owned(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full".to_owned(),
        _ => error.to_string(),
    };
    Failure::new(Blame::Resource, format!("cannot write {what}: {why}")).hint("choose another place with `-o`")
}
