//! What of the broker is watched beside its packets: its process and its log.

use std::path::PathBuf;

use crate::broker::log_follower::LogFollower;
use crate::broker::process::why_not_watched;
use ungraceful_flags::Mistake;

/// Lines of the broker's log that are kept unless the user says otherwise.
pub const LOG_LINES_MAX_DEFAULT: u64 = 10_000;

/// What of a broker is watched beside its packets. A broker that we started is watched without being told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchSettings {
    /// Process id of the broker, when the user gave it. Not used for a broker that we started.
    pub pid: Option<u32>,
    /// The broker's log file, when the user gave it. It goes before the log of a broker that we started.
    pub log: Option<PathBuf>,
    /// Lines of the log that are kept at the most.
    pub log_lines_max: u64,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self { pid: None, log: None, log_lines_max: LOG_LINES_MAX_DEFAULT }
    }
}

impl WatchSettings {
    /// What of it can't be watched, each with its flag and cure; sends nothing and keeps nothing open.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Mistake> {
        let pid = self.pid.and_then(why_not_watched).map(|what| Mistake::new("--broker-pid", what));
        pid.into_iter().chain(self.follow_log().err()).collect()
    }

    /// Opens the log file at its end; absent when the user named none.
    pub(crate) fn follow_log(&self) -> Result<Option<LogFollower>, Mistake> {
        let Some(path) = &self.log else { return Ok(None) };
        LogFollower::at_end(path).map(Some).map_err(|error| {
            let cure = "give the file that the broker writes its log to, and the right to read it, or leave the flag out";
            Mistake::new("--broker-log", format!("cannot follow {}: {error}; {cure}", path.display()))
        })
    }
}
