//! What is watched of the broker beside its packets: process and log.

use std::path::PathBuf;

use crate::broker::log_follower::LogFollower;
use crate::broker::process::why_not_watched;
use ungraceful_flags::Mistake;

/// Lines of the broker's log kept by default.
pub const LOG_LINES_MAX_DEFAULT: u64 = 10_000;

/// What is watched of a broker beside its packets. A broker that the run started is always watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchSettings {
    /// Process id of the broker, if given; not used for a broker that the run started.
    pub pid: Option<u32>,
    /// The broker's log file, if given; overrides the log of a broker that the run started.
    pub log: Option<PathBuf>,
    /// Most lines of the log to keep.
    pub log_lines_max: u64,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self { pid: None, log: None, log_lines_max: LOG_LINES_MAX_DEFAULT }
    }
}

impl WatchSettings {
    /// What can't be watched, with flag and cure; sends nothing and keeps nothing open.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        let pid = self.pid.and_then(why_not_watched).map(|what| Mistake::new("--broker-pid", what));
        pid.into_iter().chain(self.follow_log().err()).collect()
    }

    /// Opens the log file at its end; absent when none was given.
    pub(crate) fn follow_log(&self) -> Result<Option<LogFollower>, Mistake> {
        let Some(path) = &self.log else { return Ok(None) };
        LogFollower::at_end(path).map(Some).map_err(|error| {
            let cure = "give a readable file that the broker writes its log to, or leave the flag out";
            Mistake::new("--broker-log", format!("cannot follow {}: {error}; {cure}", path.display()))
        })
    }
}
