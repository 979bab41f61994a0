//! What the machine offers, read from the kernel.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::run::host;

/// What the machine offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Soft limit of open files, after it was raised.
    pub descriptors: u64,
    /// To how much a hard limit of open files can be raised (`fs.nr_open`); absent where unknown.
    pub descriptors_of_a_process_max: Option<u64>,
    /// Open files that the whole system still has room for (`fs.file-max`); absent where unknown, and for root, who may exceed it.
    pub descriptors_of_the_system: Option<u64>,
    /// Limit of open files of the broker's process; absent where unknown.
    pub descriptors_of_the_broker: Option<u64>,
    /// First and last ephemeral port; absent where unknown.
    pub ports: Option<(u16, u16)>,
    /// Memory in bytes that programs can still get without swapping, within the limits of the control group; absent where unknown.
    pub memory_bytes: Option<u64>,
    /// Longest listen backlog on this machine (`net.core.somaxconn`); absent where unknown.
    pub somaxconn: Option<u64>,
    /// Cores that this process may use.
    pub cores: u64,
}

impl Supply {
    /// Reads it, and raises the soft limit of open files to the hard one. `broker_pid` is the broker's process, if it is known.
    #[must_use]
    pub fn read(broker_pid: Option<u32>) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        Self {
            descriptors: raise_descriptor_limit(),
            descriptors_of_a_process_max: number("/proc/sys/fs/nr_open"),
            descriptors_of_the_system: left_of_the_system().filter(|_| !is_root),
            descriptors_of_the_broker: broker_pid.and_then(descriptor_limit_of),
            ports: host::port_range(),
            memory_bytes: memory_bytes(),
            somaxconn: number("/proc/sys/net/core/somaxconn"),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
        }
    }
}

/// Raises the soft limit of open files to the hard one, and returns it.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_err() {
        return limit.current.unwrap_or(u64::MAX);
    }
    limit.maximum.unwrap_or(u64::MAX)
}

fn number(path: impl AsRef<Path>) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// `file-nr` holds the allocated, the free (always 0) and the most.
fn left_of_the_system() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/fs/file-nr").ok()?;
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    Some(numbers.last()?.saturating_sub(*numbers.first()?))
}

fn descriptor_limit_of(pid: u32) -> Option<u64> {
    soft_limit(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)
}

/// The soft limit of open files in the text of `/proc/PID/limits`; absent when there is none.
fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn memory_bytes() -> Option<u64> {
    let of_the_machine = fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(available);
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let of_the_group = group.as_deref().and_then(|group| left_in_group(Path::new("/sys/fs/cgroup"), group));
    of_the_machine.into_iter().chain(of_the_group).min()
}

/// MemAvailable in the text of `/proc/meminfo`.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// What is left within the memory limits of a control group (version 2) and of those above it; absent without a limit. `group` is the
/// text of `/proc/self/cgroup`.
fn left_in_group(root: &Path, group: &str) -> Option<u64> {
    let path = group.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut folder = root.join(path.trim());
    while folder.starts_with(root) {
        folders.push(folder.clone());
        folder.pop();
    }
    folders.iter().filter_map(|folder| left_in(folder)).min()
}

fn left_in(folder: &Path) -> Option<u64> {
    // Without a limit it says "max".
    let limit = number(folder.join("memory.max"))?;
    let used = number(folder.join("memory.current"))?;
    // Files that were read and not used again are dropped first.
    let dropped = fs::read_to_string(folder.join("memory.stat")).ok().and_then(|stat| {
        stat.lines().find_map(|line| line.strip_prefix("inactive_file "))?.trim().parse::<u64>().ok()
    });
    Some(limit.saturating_sub(used.saturating_sub(dropped.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::{available, left_in_group, soft_limit};

    #[test]
    fn available_memory_and_limits_are_read() {
        let meminfo = "MemTotal:       24609944 kB\nMemFree:  1 kB\nMemAvailable:   23117908 kB\n";
        assert_eq!(available(meminfo), Some(23_117_908 * 1_024));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(soft_limit(limits), Some(1_024));
        assert_eq!(
            soft_limit("Max open files            unlimited            unlimited            files\n"),
            None
        );
    }

    #[test]
    fn the_narrowest_control_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |folder: &str, max: &str, current: &str, inactive: &str| {
            let folder = root.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("memory.max"), max).unwrap();
            std::fs::write(folder.join("memory.current"), current).unwrap();
            std::fs::write(folder.join("memory.stat"), format!("anon 5\ninactive_file {inactive}\n"))
                .unwrap();
        };
        write("a", "1000\n", "700\n", "100");
        write("a/b", "max\n", "300\n", "0");
        assert_eq!(
            left_in_group(root.path(), "0::/a/b\n"),
            Some(400),
            "700 used, of which 100 can be dropped"
        );
        write("a/b", "350\n", "300\n", "0");
        assert_eq!(left_in_group(root.path(), "0::/a/b\n"), Some(50));
        assert_eq!(left_in_group(root.path(), "0::/elsewhere\n"), None);
        assert_eq!(left_in_group(root.path(), "12:memory:/a\n"), None, "version 1");
    }
}
