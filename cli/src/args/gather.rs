//! Which pictures are meant.

use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Which pictures are meant, where a folder, a pattern or a list stands for many.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Files")]
pub(crate) struct Gather {
    /// Take every picture in the folders given, and mirror them
    #[arg(short, long)]
    pub recursive: bool,
    /// Read the names of pictures from a file, one a line, or with NUL behind each; `-` is stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files_from: Option<PathBuf>,
    /// Of what folders, patterns and lists give, take only what matches: '*.jpg', 'holidays/**'; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Of what folders, patterns and lists give, leave out what matches; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    #[command(flatten)]
    pub unfold: Unfold,
    /// Stop at the first picture that fails
    #[arg(long)]
    pub fail_fast: bool,
}

/// What is taken of files that hold several pictures.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Files")]
pub(crate) struct Unfold {
    /// Take all frames of an animation (GIF, WebP, PNG, JPEG XL) and all pages of a TIFF, each as a picture of its own:
    /// photo.x2.f0001.png, or {frame} in a template; with `=3` or `=3-9` only those [default: the first]
    #[arg(long, value_name = "N|FROM-TO", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_parser = frames)]
    pub frames: Option<Frames>,
}

/// Which pictures of files that hold several, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frames {
    pub first: u32,
    pub last: u32,
}

/// `all`, a number or a range.
fn frames(text: &str) -> Result<Frames, String> {
    let (first, last) = match text.split_once('-') {
        _ if text == "all" => return Ok(Frames { first: 1, last: u32::MAX }),
        Some((first, last)) => (first.parse(), last.parse()),
        None => (text.parse(), text.parse()),
    };
    match (first, last) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Frames { first, last }),
        _ => Err("frames are counted from 1: --frames=3 or --frames=3-9".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_in_all_forms() {
        assert_eq!(frames("3"), Ok(Frames { first: 3, last: 3 }));
        assert_eq!(frames("3-9"), Ok(Frames { first: 3, last: 9 }));
        for text in ["0", "3-2", "-", "-3", "x", ""] {
            assert!(frames(text).is_err(), "{text}");
        }
    }
}
