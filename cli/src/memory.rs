//! How much memory there is for a run, and what keeping results takes of it.

use crate::args::Machine;
use engine::{Bounds, value::Rect};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Of what is available so much is taken, unless the person says otherwise. The rest is for others, and for what no plan
/// foresees.
const SHARE: f64 = 0.7;

/// What the program holds beside the pictures: itself, its networks, its threads.
const PROGRAM: u64 = 48 << 20;

/// What is read twice in one run of the program, such as a mask for many pictures, is held in front of the disk up to this size.
const FRONT: u64 = 16 << 20;

/// Results wait up to this size until the disk has taken them.
const WAITING: u64 = 64 << 20;

/// Either takes no more than this part of the memory, so that little of it is not all taken by what is done already.
const PART: u64 = 16;

/// How the memory that may be taken is shared out.
pub(crate) struct Budget {
    /// What may be taken in all, where that is known.
    most: Option<u64>,
    keeps: bool,
    /// Bytes of the memory in front of the disk.
    pub(crate) front: usize,
    /// Bytes that wait for the disk.
    pub(crate) waiting: usize,
}

impl Budget {
    /// What was asked for, or what may be taken here.
    pub(crate) fn new(machine: &Machine) -> Self {
        let most = machine.memory.or_else(usual);
        let part = |bytes: u64| most.map_or(bytes, |most| bytes.min(most / PART)) as usize;
        Self { most, keeps: !machine.no_cache, front: part(FRONT), waiting: part(WAITING) }
    }

    /// What a run has to stay within. `region` is the only part of the output that is wanted.
    pub(crate) fn bounds(&self, region: Option<Rect>) -> Bounds {
        // The front counts twice, since blocks of many sizes that come and go leave gaps between them.
        let kept = if self.keeps { 2 * self.front + self.waiting } else { 0 };
        Bounds { region, memory: self.most, base: PROGRAM + kept as u64, ..Bounds::default() }
    }
}

/// What may be taken when nothing else is said. Nothing where the system does not tell.
fn usual() -> Option<u64> {
    available_here().map(|bytes| (bytes as f64 * SHARE) as u64)
}

/// What is free here.
pub(crate) fn available_here() -> Option<u64> {
    available(&|path| fs::read_to_string(path).ok())
}

/// What is free, on the machine and in every group of processes that this one belongs to. `read` gives the text of a file.
fn available(read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let groups = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match controllers {
            "" => group_and_above(path).into_iter().filter_map(|group| second(&group, read)).min(),
            "memory" => group_and_above(path).into_iter().filter_map(|group| first(&group, read)).min(),
            _ => None,
        }
    });
    machine.into_iter().chain(groups).min()
}

/// A group and those that it lies in. In a container the path may be that of the outside; then only the last is there.
fn group_and_above(path: &str) -> Vec<PathBuf> {
    Path::new(path.trim_start_matches('/')).ancestors().map(Path::to_owned).collect()
}

/// What is free in a group of the second version.
fn second(group: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let folder = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .map(|root| Path::new(root).join(group))
        .into_iter()
        .find(|folder| read(&folder.join("memory.max")).is_some())?;
    let most: u64 = read(&folder.join("memory.max"))?.trim().parse().ok()?;
    let used: u64 = read(&folder.join("memory.current"))?.trim().parse().ok()?;
    let files = statistic(&read(&folder.join("memory.stat")).unwrap_or_default(), "inactive_file");
    Some(most.saturating_sub(used.saturating_sub(files)))
}

/// What is free in a group of the first version.
fn first(group: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let folder = Path::new("/sys/fs/cgroup/memory").join(group);
    let most: u64 = read(&folder.join("memory.limit_in_bytes"))?.trim().parse().ok()?;
    let used: u64 = read(&folder.join("memory.usage_in_bytes"))?.trim().parse().ok()?;
    let files = statistic(&read(&folder.join("memory.stat")).unwrap_or_default(), "total_inactive_file");
    Some(most.saturating_sub(used.saturating_sub(files)))
}

/// A line of `memory.stat`. Files that nobody uses go when memory is needed.
fn statistic(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(files: &[(&str, &str)]) -> Option<u64> {
        available(&|path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned()))
    }

    const MACHINE: (&str, &str) = ("/proc/meminfo", "MemTotal:  16384 kB\nMemFree: 100 kB\nMemAvailable:    8192 kB\n");

    #[test]
    fn the_machine_alone() {
        assert_eq!(told(&[MACHINE]), Some(8 << 20));
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn a_group_holds_less() {
        let second = [
            MACHINE,
            ("/proc/self/cgroup", "0::/jobs/one\n"),
            ("/sys/fs/cgroup/jobs/one/memory.max", "max\n"),
            ("/sys/fs/cgroup/jobs/one/memory.current", "1000\n"),
            ("/sys/fs/cgroup/jobs/memory.max", "5000000\n"),
            ("/sys/fs/cgroup/jobs/memory.current", "3000000\n"),
            ("/sys/fs/cgroup/jobs/memory.stat", "anon 1\ninactive_file 500000\n"),
        ];
        assert_eq!(told(&second), Some(2_500_000));
        let first = [
            MACHINE,
            ("/proc/self/cgroup", "9:cpu:/x\n4:memory:/docker/abc\n0::/\n"),
            // In the container only the root of the group is seen.
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "4000000\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1000000\n"),
            ("/sys/fs/cgroup/memory/memory.stat", "total_inactive_file 200000\n"),
        ];
        assert_eq!(told(&first), Some(3_200_000));
    }

    #[test]
    fn this_machine_has_some() {
        if cfg!(target_os = "linux") {
            assert!(usual().is_some_and(|bytes| bytes > 1 << 20));
        }
    }
}
