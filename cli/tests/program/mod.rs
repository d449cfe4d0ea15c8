//! The program, as tests start it.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// Runs the program in a folder, whatever comes of it. Nothing is kept: else what is compared would be read, not computed.
pub(crate) fn started(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_upweave"))
        .args(arguments)
        .arg("--no-cache")
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

/// Runs the program in a folder, where it must succeed.
pub(crate) fn upweave(folder: &Path, arguments: &[&str]) -> Output {
    let output = started(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
