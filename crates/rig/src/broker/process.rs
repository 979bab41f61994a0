//! CPU time, memory and open file descriptors of the broker's process, from `/proc`. Child processes are not
//! included.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use procfs::process::{Process, Stat};

/// What a process has used and holds at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time since the process began, user and system, in µs, in steps of the kernel's tick, mostly 10 ms;
    /// includes that of the processes it replaced.
    pub(crate) cpu_us: u64,
    /// Resident memory.
    pub(crate) rss_bytes: u64,
    /// Open file descriptors; absent where `/proc/PID/fd` can't be read, as for another user's process.
    pub(crate) descriptors: Option<u64>,
}

/// A watched process. Clones watch the same one and its replacement.
#[derive(Clone, Debug)]
pub(crate) struct BrokerProcess {
    watched: Arc<Mutex<Watched>>,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    pid: i32,
    /// When the process began, in kernel ticks: distinguishes it from a later one with the same id.
    began_ticks: Option<u64>,
    /// CPU time of the processes it replaced.
    cpu_us_before: u64,
}

impl BrokerProcess {
    #[must_use]
    pub(crate) fn new(pid: u32) -> Self {
        Self { watched: Arc::new(Mutex::new(Watched::new(pid, 0))) }
    }

    /// The process is about to end; another one will replace it.
    pub(crate) fn about_to_end(&self) {
        let used = self.sample();
        let mut watched = self.lock();
        watched.cpu_us_before = used.map_or(watched.cpu_us_before, |usage| usage.cpu_us);
    }

    /// Watches `pid` from now on.
    pub(crate) fn replaced_by(&self, pid: u32) {
        let mut watched = self.lock();
        *watched = Watched::new(pid, watched.cpu_us_before);
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the process has used; absent when it is gone.
    pub(crate) fn sample(&self) -> Option<Usage> {
        let watched = *self.lock();
        let stat = read(watched.pid).ok().filter(|stat| Some(stat.starttime) == watched.began_ticks)?;
        Some(Usage {
            cpu_us: watched.cpu_us_before + ticks_to_us(stat.utime + stat.stime),
            rss_bytes: stat.rss * procfs::page_size(),
            descriptors: watched.descriptors(),
        })
    }
}

impl Watched {
    fn new(pid: u32, cpu_us_before: u64) -> Self {
        let pid = i32::try_from(pid).unwrap_or(i32::MAX);
        Self { pid, began_ticks: read(pid).ok().map(|stat| stat.starttime), cpu_us_before }
    }

    fn descriptors(&self) -> Option<u64> {
        let folder = PathBuf::from(format!("/proc/{}/fd", self.pid));
        let entries = std::fs::read_dir(&folder).ok()?;
        // From Linux 6.2 on the folder's size is their number; before, it is 0 and they are counted one by one.
        match std::fs::metadata(&folder).ok()?.len() {
            0 => Some(entries.count() as u64),
            known => Some(known),
        }
    }
}

/// The kernel's name of a process; absent when there is none.
#[must_use]
pub(crate) fn process_name(pid: u32) -> Option<String> {
    read(i32::try_from(pid).ok()?).ok().map(|stat| stat.comm)
}

/// Why a process can't be watched, with the cure; absent when it can.
#[must_use]
pub(crate) fn why_not_watched(pid: u32) -> Option<String> {
    let cure = "give the id of the broker's process (pgrep -x NAME prints it), or leave the flag out";
    let why = read(i32::try_from(pid).unwrap_or(i32::MAX)).err()?;
    Some(format!("{why}; {cure}"))
}

/// The process's entry, unless it has ended: a zombie has no memory any more.
fn read(pid: i32) -> Result<Stat, String> {
    let stat = Process::new(pid).and_then(|process| process.stat()).map_err(|error| match error {
        procfs::ProcError::NotFound(_) => format!("there is no process {pid} here"),
        other => format!("process {pid} can't be read ({other})"),
    })?;
    if matches!(stat.state, 'Z' | 'X' | 'x') { Err(format!("process {pid} has ended")) } else { Ok(stat) }
}

/// CPU time used by this process, in µs; absent when unknown.
#[must_use]
pub(crate) fn own_cpu_us() -> Option<u64> {
    Some(own_usage()?.cpu_us)
}

/// What this process has used and holds; absent when unknown. CPU time is exact to the kernel's tick.
#[must_use]
pub fn own_usage() -> Option<OwnUsage> {
    let stat = Process::myself().ok()?.stat().ok()?;
    Some(OwnUsage { cpu_us: ticks_to_us(stat.utime + stat.stime), rss_bytes: stat.rss * procfs::page_size() })
}

/// What this process has used and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnUsage {
    /// CPU time since it began, user and system, in µs.
    pub cpu_us: u64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
}

fn ticks_to_us(ticks: u64) -> u64 {
    ticks * 1_000_000 / procfs::ticks_per_second().max(1)
}

#[cfg(test)]
mod tests {
    use super::{BrokerProcess, process_name, why_not_watched};
    use ungraceful_record::testing::until;

    #[test]
    fn open_files_count_as_descriptors() {
        let own = BrokerProcess::new(std::process::id());
        let first = own.sample().unwrap();
        assert!(first.rss_bytes > 100_000, "{first:?}");
        // Other tests of this process open files too, so many at once stand out.
        let files: Vec<_> = (0..500).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let second = own.sample().unwrap();
        assert!(second.descriptors >= first.descriptors.map(|before| before + 400), "{first:?} {second:?}");
        assert!(second.cpu_us >= first.cpu_us);
        drop(files);
    }

    #[test]
    fn a_replacement_continues_the_cpu_time() {
        let own = BrokerProcess::new(std::process::id());
        while own.sample().unwrap().cpu_us == 0 {
            std::hint::spin_loop();
        }
        own.about_to_end();
        let used = own.lock().cpu_us_before;
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let other = own.clone();
        other.replaced_by(child.id());
        let sample = own.sample().unwrap();
        assert!(used > 0 && sample.cpu_us >= used, "{sample:?} after {used}");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(own.sample(), None, "clones watch the same one");
    }

    #[test]
    fn a_process_that_has_ended_has_no_sample() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        assert_eq!(why_not_watched(pid), None);
        assert_eq!(process_name(pid).as_deref(), Some("cat"));
        let watched = BrokerProcess::new(pid);
        assert!(watched.sample().is_some());
        // A zombie has neither memory nor descriptors.
        drop(child.stdin.take());
        until("it is a zombie", || read_state(pid) == Some('Z'));
        assert_eq!(watched.sample(), None);
        assert!(why_not_watched(pid).unwrap().contains("has ended"));
        child.wait().unwrap();
        assert_eq!(watched.sample(), None);
        assert!(why_not_watched(pid).unwrap().contains("there is no process"));
        assert_eq!(process_name(pid), None);
    }

    fn read_state(pid: u32) -> Option<char> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        text.rsplit_once(") ")?.1.chars().next()
    }
}
