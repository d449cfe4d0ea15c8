//! What can go wrong, sorted by whose fault it is.

/// Results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // The caller.
    /// The values do not make a picture of the size, or the picture is empty.
    #[error("a picture of {width}x{height} needs three planes of that size, not {values} values")]
    PictureSize {
        /// Pixels per row.
        width: u32,
        /// Rows.
        height: u32,
        /// Values that were given.
        values: usize,
    },
    /// A setting outside its range.
    #[error("`{name}` cannot be {value}: {hint}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        hint: &'static str,
    },
    /// There is not enough memory for a buffer.
    #[error("not enough memory for {what}{}", size(*bytes))]
    TooLarge {
        /// What the buffer was for.
        what: &'static str,
        /// Its size; `u64::MAX` when it cannot be counted.
        bytes: u64,
    },

    // The model file.
    /// The file cannot be read as weights, or its values make no sense.
    #[error("model file `{file}`: {message}")]
    Weights {
        /// The model.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// The tensors of the file are for nothing that is used here.
    #[error("model file `{file}`: {message}{more}")]
    Unused {
        /// The model.
        file: String,
        /// What it is, in a line.
        message: String,
        /// What would be known, and what was found instead, if that helps.
        more: String,
    },
    /// A tensor that the network needs is not in the file.
    #[error("model file `{file}` has no tensor `{tensor}`")]
    TensorMissing {
        /// The model.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// A tensor has the wrong shape.
    #[error("model file `{file}`: tensor `{tensor}` has shape {found:?}, but {wanted} is needed")]
    TensorShape {
        /// The model.
        file: String,
        /// The tensor.
        tensor: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape that the rest of the file asks for.
        wanted: String,
    },
    /// A model that does not ship with the program is not there.
    #[error("the model that {purpose} is not installed: run `upweave models pull {model}`")]
    ModelMissing {
        /// The name to pull.
        model: &'static str,
        /// What it does, as the end of "the model that ...".
        purpose: &'static str,
    },

    // The machine.
    /// A device of candle's failed.
    #[error("the device failed: {message}")]
    Device {
        /// What candle says.
        message: String,
    },

    // Nobody.
    /// The caller's `Watch` asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// A size in brackets, where it can be counted.
fn size(bytes: u64) -> String {
    if bytes == u64::MAX { String::new() } else { format!(" ({bytes} bytes)") }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        let message = error.to_string();
        // What CUDA and Metal say of it has no kind of its own in candle.
        if ["OUT_OF_MEMORY", "out of memory"].iter().any(|words| message.contains(words)) {
            return Self::TooLarge { what: "the tensors on the device", bytes: u64::MAX };
        }
        Self::Device { message }
    }
}
