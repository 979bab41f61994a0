//! The command that provokes a cause, with the version and ClientIDs from the log.

use ungraceful_mqtt::ProtocolVersion;

use crate::cause::Cause;
use crate::explanations::{Provoke, explain};

/// The longest ClientID prefix that the tools accept.
const PREFIX_MAX: usize = 6;

/// The longest Keep Alive of a reproduction: a lapse after a day looks like one after minutes.
const KEEP_ALIVE_MAX_S: u16 = 300;
/// The longest for `vanish edge`, whose PINGREQs must be further apart than the timeout they look for.
const EDGE_KEEP_ALIVE_MAX_S: u16 = 1_200;

/// What stands in a printed command for the broker to try it on. Without a host, the tools would run on the embedded broker.
pub const HOST: &str = "YOUR-BROKER";

/// Details from the log that a reproduction can keep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// The clients' MQTT version; absent when unknown or different.
    pub version: Option<ProtocolVersion>,
    /// The common prefix of their ClientIDs; empty where there is none, or only one client.
    pub client_id_prefix: String,
    /// Their shortest Keep Alive in seconds; absent when unknown.
    pub keep_alive_s: Option<u16>,
    /// Whether one ClientID was taken over repeatedly.
    pub is_duel: bool,
    /// How often the worst of them was taken over in a minute; absent when the log has no times.
    pub take_overs_per_minute: Option<f64>,
    /// After how many seconds most connections ended; absent when they differ.
    pub lifetime_s: Option<i64>,
    /// Whether the clients were connected when their queues were full.
    pub was_connected: bool,
}

/// The words of the command that provokes `cause`, with [`HOST`] in place; the error says why no tool does, or how else.
pub fn words(cause: Cause, seen: &Seen) -> Result<Vec<String>, &'static str> {
    let (tool, mode, flags) = match explain(cause).provoke {
        Provoke::With { tool, .. } if cause == Cause::TakeOver && seen.is_duel => (tool, "duel", &[][..]),
        // The tool that a limit on the path shows itself to.
        Provoke::With { tool, .. } if is_idle_timeout(cause, seen) => (tool, "edge", &[][..]),
        Provoke::With { tool, .. } if cause == Cause::QueueFull && seen.was_connected => {
            (tool, "slow-consumer", &[][..])
        }
        Provoke::With { tool, mode, flags } => (tool, mode, flags),
        Provoke::NotYet(what) => return Err(what),
    };
    let mut words = vec![tool.to_owned()];
    words.extend((!mode.is_empty()).then(|| mode.to_owned()));
    words.extend(flags.iter().map(|flag| (*flag).to_owned()));
    if let Some(per_minute) = seen.take_overs_per_minute.filter(|_| mode == "duel") {
        words.extend(pace(per_minute));
    }
    if let Some(version) = seen.version {
        words.extend(["-V".to_owned(), version.to_string()]);
    }
    if let Some(keep_alive_s) = seen.keep_alive_s.filter(|seconds| *seconds > 0) {
        let keep_alive_s = match mode {
            "silence" => Some(keep_alive_s.min(KEEP_ALIVE_MAX_S)),
            "edge" => Some(keep_alive_s.min(EDGE_KEEP_ALIVE_MAX_S)),
            _ => None,
        };
        words.extend(keep_alive_s.into_iter().flat_map(|seconds| ["-k".to_owned(), format!("{seconds}s")]));
    }
    words.extend(prefix(&seen.client_id_prefix).into_iter().flat_map(|prefix| ["-i".to_owned(), prefix]));
    words.extend(["--host".to_owned(), HOST.to_owned()]);
    Ok(words)
}

/// Whether a timeout on the path explains it.
fn is_idle_timeout(cause: Cause, seen: &Seen) -> bool {
    matches!(cause, Cause::Lost | Cause::Network) && seen.lifetime_s.is_some()
}

/// The flags of a duel with so many take-overs per minute: each side waits as long as the log's clients did.
fn pace(per_minute: f64) -> Vec<String> {
    /// A shorter wait is none.
    const WAIT_MIN_S: f64 = 0.005;
    const WAIT_MAX_S: f64 = 600.0;
    let wait_s = 60.0 / per_minute;
    if !(WAIT_MIN_S..=WAIT_MAX_S).contains(&wait_s) {
        return Vec::new();
    }
    let mut flags = match wait_s {
        ..1.0 => vec!["--backoff".to_owned(), format!("fixed:{:.0}ms", wait_s * 1_000.0)],
        _ => vec!["--backoff".to_owned(), format!("fixed:{wait_s:.0}s")],
    };
    // A duel needs several take-overs to be one.
    if wait_s > 1.0 {
        flags.extend(["--for".to_owned(), format!("{:.0}s", wait_s * 10.0)]);
    }
    flags
}

/// The part of a common prefix that is a name of its own; absent where only a cut name would be left.
fn prefix(common: &str) -> Option<String> {
    let name: String = common.chars().take_while(char::is_ascii_alphanumeric).collect();
    (!name.is_empty() && name.len() <= PREFIX_MAX).then_some(name)
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::ProtocolVersion;

    use super::{Seen, words};
    use crate::cause::Cause;

    #[test]
    fn the_command_keeps_version_and_client_id_prefix() {
        let seen = Seen {
            version: Some(ProtocolVersion::V5),
            client_id_prefix: "sensor-12".into(),
            ..Seen::default()
        };
        assert_eq!(
            words(Cause::TakeOver, &seen).unwrap().join(" "),
            "ungraceful-takeover storm -V 5.0 -i sensor --host YOUR-BROKER"
        );
        let duel = Seen { is_duel: true, ..Seen::default() };
        assert_eq!(
            words(Cause::TakeOver, &duel).unwrap().join(" "),
            "ungraceful-takeover duel --host YOUR-BROKER"
        );
        let lapsed = Seen { keep_alive_s: Some(60), ..Seen::default() };
        assert_eq!(
            words(Cause::KeepAlive, &lapsed).unwrap().join(" "),
            "ungraceful-vanish silence -k 60s --host YOUR-BROKER"
        );
        let long = Seen { keep_alive_s: Some(u16::MAX), ..Seen::default() };
        assert_eq!(
            words(Cause::KeepAlive, &long).unwrap().join(" "),
            "ungraceful-vanish silence -k 300s --host YOUR-BROKER"
        );
        assert_eq!(
            words(Cause::TakeOver, &lapsed).unwrap().join(" "),
            "ungraceful-takeover storm --host YOUR-BROKER"
        );
        let odd = Seen { client_id_prefix: "-rm".into(), ..Seen::default() };
        assert_eq!(
            words(Cause::SecondConnect, &odd).unwrap().join(" "),
            "ungraceful-double-connect --host YOUR-BROKER"
        );
    }

    #[test]
    fn a_name_that_would_be_cut_is_left_out() {
        for common in ["myclient", "myclient-1", "-x", ""] {
            let seen = Seen { client_id_prefix: common.into(), ..Seen::default() };
            assert!(!words(Cause::Lost, &seen).unwrap().contains(&"-i".to_owned()), "{common}");
        }
    }

    #[test]
    fn a_duel_keeps_the_pace_of_the_log() {
        let command = |per_minute: Option<f64>| {
            let seen = Seen { is_duel: true, take_overs_per_minute: per_minute, ..Seen::default() };
            words(Cause::TakeOver, &seen).unwrap()[2..].join(" ")
        };
        assert_eq!(command(Some(21_000.0)), "--host YOUR-BROKER");
        assert_eq!(command(Some(600.0)), "--backoff fixed:100ms --host YOUR-BROKER");
        assert_eq!(command(Some(60.0)), "--backoff fixed:1s --host YOUR-BROKER");
        assert_eq!(command(Some(6.0)), "--backoff fixed:10s --for 100s --host YOUR-BROKER");
        assert_eq!(command(None), "--host YOUR-BROKER");
    }

    #[test]
    fn what_the_log_shows_chooses_the_tool() {
        let equal = Seen { lifetime_s: Some(350), keep_alive_s: Some(400), ..Seen::default() };
        let command = words(Cause::Lost, &equal).unwrap().join(" ");
        assert_eq!(command, "ungraceful-vanish edge -k 400s --host YOUR-BROKER");
        let connected = Seen { was_connected: true, ..Seen::default() };
        assert_eq!(words(Cause::QueueFull, &connected).unwrap()[1], "slow-consumer");
        assert_eq!(words(Cause::QueueFull, &Seen::default()).unwrap()[1], "offline-queue");
        let early = Seen { keep_alive_s: Some(60), ..Seen::default() };
        assert_eq!(words(Cause::KeepAliveEarly, &early).unwrap()[1..4], ["edge", "-k", "60s"]);
    }

    #[test]
    fn a_cause_without_a_tool_says_why() {
        assert!(words(Cause::NotAuthorized, &Seen::default()).unwrap_err().contains("rules"));
    }
}
