//! The program as a process that is looked at while it runs.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_upweave");

/// One run of the program: its exit code, what it said, how long it took, and the most memory that it held.
pub(crate) struct Seen {
    pub code: i32,
    pub said: String,
    pub time: Duration,
    pub bytes: u64,
}

/// Runs the program.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Seen {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    watched(folder, command)
}

/// Runs a command that is the program, or becomes it.
pub(crate) fn watched(folder: &Path, mut command: Command) -> Seen {
    let begun = Instant::now();
    let mut child =
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let status = format!("/proc/{}/status", child.id());
    let mut bytes = 0;
    // What it says is short; the pipe holds all of it.
    let code = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak =
            text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        bytes = bytes.max(peak.unwrap_or(0u64) << 10);
        if let Some(status) = child.try_wait().unwrap() {
            break status.code().unwrap_or(-1);
        }
        thread::sleep(Duration::from_micros(200));
    };
    let time = begun.elapsed();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    Seen { code, said, time, bytes }
}
