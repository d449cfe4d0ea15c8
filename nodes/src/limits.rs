//! Limits on what is read and made, so that no file and no parameter can exhaust a machine.

use engine::{
    Blame, Failure, NodeResult,
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    value::Size,
};

/// Bytes that a block of metadata (ICC, EXIF, XMP, text) may have unless it is said otherwise: 4 MiB.
pub const METADATA_BYTES: usize = 4 << 20;

/// What is refused before any memory is spent on it. `None` means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde", default, deny_unknown_fields)]
#[schemars(crate = "engine::schemars")]
pub struct Limits {
    /// Most pixels of a picture that is read.
    pub input_pixels: Option<u64>,
    /// Most pixels of a picture that is made.
    pub output_pixels: Option<u64>,
    /// Most bytes of a file that is read.
    pub file_bytes: Option<u64>,
    /// Most bytes of one block of metadata (ICC, EXIF, XMP, text) in it, inflated.
    pub metadata_bytes: Option<u64>,
    /// Most frames of an animation, or pages of a document.
    pub frames: Option<u64>,
    /// Most seconds that decoding may take.
    pub decode_seconds: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self::LOCAL
    }
}

/// A named set of limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// One person's own machine and own pictures.
    #[default]
    Local,
    /// A server that takes pictures from strangers.
    Server,
    /// No limits: what fits into memory.
    Unlimited,
}

impl Profile {
    /// All profiles, in the order of the table.
    pub const ALL: [Self; 3] = [Self::Local, Self::Server, Self::Unlimited];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Server => "server",
            Self::Unlimited => "unlimited",
        }
    }

    /// The profile of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// Its limits.
    pub const fn limits(self) -> Limits {
        match self {
            Self::Local => Limits::LOCAL,
            Self::Server => Limits::SERVER,
            Self::Unlimited => Limits::UNLIMITED,
        }
    }
}

/// One row of the table that `upweave limits` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What is limited.
    pub about: &'static str,
    /// The flag that sets it, when one does.
    pub flag: Option<&'static str>,
    /// The limit in each profile, in the order of [`Profile::ALL`].
    pub values: [String; 3],
}

impl Limits {
    /// See [`Profile::Local`].
    pub const LOCAL: Self = Self {
        input_pixels: Some(268_000_000),
        output_pixels: Some(1_024_000_000),
        file_bytes: Some(512 << 20),
        metadata_bytes: Some(METADATA_BYTES as u64),
        frames: Some(4096),
        decode_seconds: Some(30),
    };

    /// See [`Profile::Server`].
    pub const SERVER: Self = Self {
        input_pixels: Some(50_000_000),
        output_pixels: Some(512_000_000),
        file_bytes: Some(64 << 20),
        metadata_bytes: Some(METADATA_BYTES as u64),
        frames: Some(512),
        decode_seconds: Some(30),
    };

    /// See [`Profile::Unlimited`].
    pub const UNLIMITED: Self = Self {
        input_pixels: None,
        output_pixels: None,
        file_bytes: None,
        metadata_bytes: None,
        frames: None,
        decode_seconds: None,
    };

    /// The table of all limits and profiles.
    pub fn table() -> Vec<Row> {
        let row = |about, flag, show: &dyn Fn(Limits) -> Option<String>| Row {
            about,
            flag,
            values: Profile::ALL.map(|profile| show(profile.limits()).unwrap_or_else(|| "no limit".to_owned())),
        };
        let fixed = |about, text: &str| Row { about, flag: None, values: std::array::from_fn(|_| text.to_owned()) };
        vec![
            row("pixels of an input picture", Some("--max-input-pixels"), &|l| l.input_pixels.map(megapixels)),
            row("pixels of an output picture", Some("--max-output-pixels"), &|l| l.output_pixels.map(megapixels)),
            row("bytes of an input file", Some("--max-file-bytes"), &|l| l.file_bytes.map(mebibytes)),
            row("bytes of a metadata block (ICC, EXIF, XMP, text)", Some("--max-metadata-bytes"), &|l| {
                l.metadata_bytes.map(mebibytes)
            }),
            row("frames of an animation, pages of a document", Some("--max-frames"), &|l| {
                l.frames.map(|frames| frames.to_string())
            }),
            row("time to decode a picture", None, &|l| l.decode_seconds.map(|s| format!("{s} s"))),
            fixed("bytes of a graph file", &mebibytes(engine::MOST_BYTES as u64)),
            fixed("nodes of a graph, and entries of any list in it", &engine::MOST_NODES.to_string()),
            fixed("nesting of values in a graph", &engine::DEEPEST.to_string()),
            fixed("header of a model file", &mebibytes(models::MOST_HEADER_BYTES as u64)),
            fixed("tensors of a model file", &models::MOST_TENSORS.to_string()),
        ]
    }

    /// Refuses a picture that is too large to be read.
    ///
    /// # Errors
    /// [`Blame::Limit`].
    pub fn check_input(&self, what: &str, size: Size) -> NodeResult<()> {
        match self.input_pixels {
            Some(most) if size.area() > most => Err(Failure::new(
                Blame::Limit,
                format!(
                    "`{what}` is {size} pixels ({}), above the limit of {} for input pictures",
                    megapixels(size.area()),
                    megapixels(most)
                ),
            )
            .hint(format!("allow it with `--max-input-pixels {}` or `--limits unlimited`", size.area()))),
            _ => Ok(()),
        }
    }

    /// Refuses a picture that is too large to be made.
    ///
    /// # Errors
    /// [`Blame::Limit`].
    pub fn check_output(&self, size: Size) -> NodeResult<()> {
        match self.output_pixels {
            Some(most) if size.area() > most => Err(Failure::new(
                Blame::Limit,
                format!(
                    "the result would be {size} pixels ({}), above the limit of {} for output pictures",
                    megapixels(size.area()),
                    megapixels(most)
                ),
            )
            .hint(format!("allow it with `--max-output-pixels {}` or `--limits unlimited`", size.area()))),
            _ => Ok(()),
        }
    }

    /// Refuses a file whose metadata takes too much.
    ///
    /// # Errors
    /// [`Blame::Limit`].
    pub fn check_metadata(&self, what: &str, block: &str, bytes: u64) -> NodeResult<()> {
        match self.metadata_bytes {
            Some(most) if bytes > most => Err(Failure::new(
                Blame::Limit,
                format!("`{what}`: {block} has more than {}, the limit for metadata", mebibytes(most)),
            )
            .hint("save it without metadata, or allow it with `--max-metadata-bytes N` or `--limits unlimited`")),
            _ => Ok(()),
        }
    }

    /// Refuses an animation of too many frames.
    ///
    /// # Errors
    /// [`Blame::Limit`].
    pub fn check_frames(&self, what: &str, frames: u64) -> NodeResult<()> {
        match self.frames {
            Some(most) if frames > most => Err(Failure::new(
                Blame::Limit,
                format!("`{what}` has more than {most} frames, the limit for animations and pages"),
            )
            .hint("save the one that is meant, or allow it with `--max-frames N` or `--limits unlimited`")),
            _ => Ok(()),
        }
    }

    /// Refuses a file that is too large to be read.
    ///
    /// # Errors
    /// [`Blame::Limit`].
    pub fn check_file(&self, what: &str, bytes: u64) -> NodeResult<()> {
        match self.file_bytes {
            Some(most) if bytes > most => Err(Failure::new(
                Blame::Limit,
                format!("`{what}` has {}, above the limit of {} for input files", mebibytes(bytes), mebibytes(most)),
            )
            .hint(format!("allow it with `--max-file-bytes {bytes}` or `--limits unlimited`"))),
            _ => Ok(()),
        }
    }
}

fn megapixels(pixels: u64) -> String {
    let mp = pixels as f64 / 1e6;
    if mp < 10.0 { format!("{mp:.1} MP") } else { format!("{mp:.0} MP") }
}

fn mebibytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib.fract() == 0.0 || mib >= 100.0 { format!("{mib:.0} MiB") } else { format!("{mib:.1} MiB") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_limit_and_the_flag() {
        let failure = Limits::LOCAL.check_input("huge.png", Size::new(31_623, 31_623)).unwrap_err();
        assert_eq!(failure.blame, Blame::Limit);
        assert!(failure.message.contains("268 MP"), "{}", failure.message);
        assert!(failure.hint.unwrap().contains("--max-input-pixels"));
        assert!(Limits::UNLIMITED.check_input("huge.png", Size::new(u32::MAX, u32::MAX)).is_ok());
        assert!(Limits::SERVER.check_file("big.tif", (64 << 20) + 1).is_err());
        assert!(Limits::LOCAL.check_output(Size::new(32_000, 32_000)).is_ok());
        assert!(Limits::LOCAL.check_output(Size::new(32_001, 32_000)).is_err());
    }

    #[test]
    fn the_table_holds_every_profile() {
        let table = Limits::table();
        assert_eq!(table[0].values, ["268 MP", "50 MP", "no limit"]);
        assert_eq!(table[2].values, ["512 MiB", "64 MiB", "no limit"]);
        assert_eq!(Profile::from_name("server"), Some(Profile::Server));
    }
}
