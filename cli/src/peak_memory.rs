//! The most memory that this process had at once, where Linux tells.

use std::fs;

/// Forgets what was before. Where that is not possible the peak counts from the start of the program.
pub(crate) fn reset() {
    // 5 stands for the peak; see proc(5).
    drop(fs::write("/proc/self/clear_refs", "5"));
}

/// Bytes in memory at the highest moment since [`reset`].
pub(crate) fn read() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}
