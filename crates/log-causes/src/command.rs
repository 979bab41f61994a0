//! The command that provokes a cause, with the version and ClientIDs from the log.

use ungraceful_mqtt::ProtocolVersion;

use crate::cause::Cause;
use crate::explanations::{Provoke, explain};

/// The longest ClientID prefix that the tools accept.
const PREFIX_MAX: usize = 6;

/// The longest Keep Alive of a reproduction: a lapse after a day looks like one after minutes.
const KEEP_ALIVE_MAX_S: u16 = 300;

/// Details from the log that a reproduction can keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The clients' MQTT version; absent when unknown or different.
    pub version: Option<ProtocolVersion>,
    /// The common prefix of their ClientIDs; may be empty.
    pub client_id_prefix: String,
    /// Their shortest Keep Alive in seconds; absent when unknown.
    pub keep_alive_s: Option<u16>,
    /// Whether one ClientID was taken over repeatedly.
    pub is_duel: bool,
}

/// The words of the command that provokes `cause`; the error is a hint where no tool of this project does.
pub fn words(cause: Cause, seen: &Seen) -> Result<Vec<String>, &'static str> {
    let (tool, mode, flags) = match explain(cause).provoke {
        Provoke::With { tool, .. } if cause == Cause::TakeOver && seen.is_duel => (tool, "duel", &[][..]),
        Provoke::With { tool, mode, flags } => (tool, mode, flags),
        Provoke::NotYet(what) => return Err(what),
    };
    let mut words = vec![tool.to_owned()];
    words.extend((!mode.is_empty()).then(|| mode.to_owned()));
    words.extend(flags.iter().map(|flag| (*flag).to_owned()));
    if let Some(version) = seen.version {
        words.extend(["-V".to_owned(), version.to_string()]);
    }
    if let Some(keep_alive_s) = seen.keep_alive_s.filter(|seconds| *seconds > 0 && cause == Cause::KeepAlive)
    {
        words.extend(["-k".to_owned(), format!("{}s", keep_alive_s.min(KEEP_ALIVE_MAX_S))]);
    }
    let prefix: String =
        seen.client_id_prefix.chars().take_while(char::is_ascii_alphanumeric).take(PREFIX_MAX).collect();
    if !prefix.is_empty() {
        words.extend(["-i".to_owned(), prefix]);
    }
    Ok(words)
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
            "ungraceful-takeover storm -V 5.0 -i sensor"
        );
        let duel = Seen { is_duel: true, ..Seen::default() };
        assert_eq!(words(Cause::TakeOver, &duel).unwrap().join(" "), "ungraceful-takeover duel");
        let lapsed = Seen { keep_alive_s: Some(60), ..Seen::default() };
        assert_eq!(words(Cause::KeepAlive, &lapsed).unwrap().join(" "), "ungraceful-vanish silence -k 60s");
        let long = Seen { keep_alive_s: Some(u16::MAX), ..Seen::default() };
        assert_eq!(words(Cause::KeepAlive, &long).unwrap().join(" "), "ungraceful-vanish silence -k 300s");
        assert_eq!(words(Cause::TakeOver, &lapsed).unwrap().join(" "), "ungraceful-takeover storm");
        let odd = Seen { client_id_prefix: "-rm".into(), ..Seen::default() };
        assert_eq!(words(Cause::SecondConnect, &odd).unwrap().join(" "), "ungraceful-double-connect");
    }

    #[test]
    fn a_cause_without_a_tool_gives_a_hint() {
        assert!(words(Cause::BadCredentials, &Seen::default()).unwrap_err().contains("mosquitto_sub"));
    }
}
