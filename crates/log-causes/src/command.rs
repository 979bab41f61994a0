//! The command that provokes a cause, with what the log told about version and ClientIDs.

use ungraceful_mqtt::ProtocolVersion;

use crate::cause::Cause;
use crate::explanations::{Provoke, explain};

/// The longest ClientID prefix that the tools take.
const PREFIX_MAX: usize = 6;

/// The longest Keep Alive that a reproduction waits for: a lapse after a day looks like one after minutes.
const KEEP_ALIVE_MAX_S: u16 = 300;

/// What the log told that a reproduction can keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The version that the clients spoke; absent when it is unknown or they differ.
    pub version: Option<ProtocolVersion>,
    /// What their ClientIDs begin with; empty when they have nothing in common.
    pub client_id_prefix: String,
    /// The shortest Keep Alive that they had, in seconds; absent when the log does not tell.
    pub keep_alive_s: Option<u16>,
    /// Whether one ClientID was thrown out again and again.
    pub is_duel: bool,
}

/// The words of the command that provokes `cause`; an error says what does where no tool of ours does.
///
/// # Errors
/// What else provokes it.
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
    fn the_command_keeps_the_version_and_the_begin_of_the_client_ids() {
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
    fn what_no_tool_of_ours_does_says_what_does() {
        assert!(words(Cause::BadCredentials, &Seen::default()).unwrap_err().contains("mosquitto_sub"));
    }
}
