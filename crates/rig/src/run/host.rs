//! Facts about the generator's machine that affect its figures.

use std::fs;

use ungraceful_record::run::HostRecord;

/// Reads the facts; `descriptor_limit` is the soft limit after it was raised.
#[must_use]
pub(crate) fn facts(descriptor_limit: u64, worker_threads: u64) -> HostRecord {
    HostRecord {
        kernel: kernel(),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
        descriptor_limit,
        port_range: port_range(),
        clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        worker_threads,
    }
}

fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn kernel() -> String {
    let name = line("/proc/sys/kernel/ostype").unwrap_or_else(|| std::env::consts::OS.to_owned());
    let release = line("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{name} {release}").trim().to_owned()
}

/// First and last local port that the kernel gives out.
#[must_use]
pub(crate) fn port_range() -> Option<(u16, u16)> {
    let text = line("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut numbers = text.split_whitespace();
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
