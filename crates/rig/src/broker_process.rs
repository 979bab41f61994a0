//! The broker's process, where its id is known: CPU time and memory, once a second.

use procfs::process::Process;

/// What a process used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// CPU time since the last sample, in µs; absent for the first one.
    pub cpu_us: Option<u64>,
    /// Resident memory.
    pub rss_bytes: u64,
}

/// A process that is watched.
#[derive(Debug)]
pub(crate) struct BrokerProcess {
    pid: i32,
    cpu_us_before: Option<u64>,
}

impl BrokerProcess {
    /// Watches `pid`.
    #[must_use]
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid: i32::try_from(pid).unwrap_or(i32::MAX), cpu_us_before: None }
    }

    /// What the process used since the last sample; absent when it is gone.
    pub(crate) fn sample(&mut self) -> Option<Usage> {
        let stat = Process::new(self.pid).ok()?.stat().ok()?;
        let cpu_us = ticks_to_us(stat.utime + stat.stime);
        let since = self.cpu_us_before.replace(cpu_us).map(|before| cpu_us.saturating_sub(before));
        Some(Usage { cpu_us: since, rss_bytes: stat.rss * procfs::page_size() })
    }
}

/// CPU time that this process has used, in µs; absent where it can't be told.
#[must_use]
pub(crate) fn own_cpu_us() -> Option<u64> {
    let stat = Process::myself().ok()?.stat().ok()?;
    Some(ticks_to_us(stat.utime + stat.stime))
}

fn ticks_to_us(ticks: u64) -> u64 {
    ticks * 1_000_000 / procfs::ticks_per_second().max(1)
}

#[cfg(test)]
mod tests {
    use super::BrokerProcess;

    #[test]
    fn a_living_process_has_memory_and_a_second_sample_has_its_cpu_time() {
        let mut own = BrokerProcess::new(std::process::id());
        let first = own.sample().unwrap();
        assert!(first.rss_bytes > 100_000 && first.cpu_us.is_none());
        assert!(own.sample().unwrap().cpu_us.is_some());
    }

    #[test]
    fn a_process_that_is_gone_has_no_sample() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(BrokerProcess::new(pid).sample(), None);
    }
}
