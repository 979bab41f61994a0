//! The causes of the tour, in the order in which they are shown.

use std::str::FromStr;

use ungraceful_rig::broker::target::BrokerChoice;

use crate::cli::target::TargetArgs;
use crate::launch::{Mode, Tool};
use crate::tools;

/// One cause of ungraceful disconnects, and the run that shows it.
#[derive(Clone, Copy)]
pub(super) struct Cause {
    /// Its name in `--only` and in the folder of its record.
    pub(super) name: &'static str,
    /// Its title in the table.
    pub(super) title: &'static str,
    /// What happens to each client.
    pub(super) done: &'static str,
    /// The facts about Will and session.
    pub(super) facts: &'static [&'static str],
    /// The tool that reproduces it.
    pub(super) tool: &'static Tool,
    /// The mode of the tool.
    pub(super) mode: &'static str,
    /// Defaults that override those of the mode, by long flag.
    pub(super) defaults: &'static [(&'static str, &'static str)],
    /// What it needs of the target.
    pub(super) needs: Needs,
}

/// What a cause needs of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Only a broker.
    Broker,
    /// A way to remove a client: the administration of a broker that the tour starts, or the user's command.
    Administrator,
}

/// Whether a target can show a cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Showable {
    /// Yes, with these flags.
    With(Vec<String>),
    /// No.
    No {
        /// The reason.
        why: String,
        /// What would change that.
        cure: String,
    },
}

impl Needs {
    /// Whether the target can show the cause.
    pub(super) fn of(self, target: &TargetArgs, kick_cmd: Option<&str>) -> Showable {
        match (self, target.chosen(), kick_cmd) {
            (Self::Broker, _, _) => Showable::With(Vec::new()),
            (Self::Administrator, _, Some(command)) => Showable::With(vec![format!("--kick-cmd={command}")]),
            (
                Self::Administrator,
                BrokerChoice::SpawnMosquitto | BrokerChoice::SpawnAdministeredMosquitto,
                None,
            ) => Showable::With(vec!["--variant=disable".to_owned()]),
            (Self::Administrator, BrokerChoice::Embedded, None) => Showable::No {
                why: "the embedded broker has no administrator who could remove a client".to_owned(),
                cure: "--spawn mosquitto, or your own broker with --host and --kick-cmd".to_owned(),
            },
            (Self::Administrator, BrokerChoice::Host { .. }, None) => Showable::No {
                why: "there is no command to remove a client from this broker".to_owned(),
                cure: "--kick-cmd 'COMMAND {client_id}', such as the command-line tool of the broker"
                    .to_owned(),
            },
        }
    }
}

impl Cause {
    /// The mode that reproduces it.
    pub(super) fn mode(&self) -> Mode {
        self.tool.mode(self.mode).expect("a test looks every mode up")
    }
}

/// Defaults of all runs of the tour: short phases, with enough bystander messages for a p99.
macro_rules! brief {
    ($($own:expr),* $(,)?) => {
        &[
            ("warmup", "200ms"),
            ("baseline", "1s"),
            ("recovery", "2s"),
            ("bystander-rate", "400"),
            ("reaction-timeout", "2s"),
            ("will-wait", "3s"),
            $($own),*
        ]
    };
}

/// All causes.
pub(super) const CAUSES: &[Cause] = &[
    Cause {
        name: "knock",
        title: "socket closed before CONNECT",
        done: "TCP connection opened, and closed without a packet",
        facts: &[],
        tool: &tools::VANISH,
        mode: "knock",
        defaults: brief![("variant", "closes"), ("attempts", "20"), ("connrate", "40")],
        needs: Needs::Broker,
    },
    Cause {
        name: "drop",
        title: "lost connection",
        done: "FIN or RST without DISCONNECT",
        facts: &["session_present"],
        tool: &tools::VANISH,
        mode: "drop",
        defaults: brief![("variant", "fin,rst"), ("attempts", "15"), ("connrate", "60")],
        needs: Needs::Broker,
    },
    Cause {
        name: "silence",
        title: "idle past Keep Alive",
        done: "no packet for longer than the Keep Alive of 1 s",
        facts: &[],
        tool: &tools::VANISH,
        mode: "silence",
        // A broker that has not closed earlier than this is not called late; the run ends as soon as all clients are cut.
        defaults: brief![
            ("variant", "idle-1s"),
            ("attempts", "10"),
            ("connrate", "40"),
            ("reaction-timeout", "30s")
        ],
        needs: Needs::Broker,
    },
    Cause {
        name: "takeover",
        title: "client take-over",
        done: "another connection came with the same ClientID",
        facts: &["session_present"],
        tool: &tools::TAKEOVER,
        mode: "storm",
        defaults: brief![("variant", "resume,clean"), ("count", "80"), ("connrate", "60")],
        needs: Needs::Broker,
    },
    Cause {
        name: "flood",
        title: "too many unacknowledged PUBLISH packets",
        done: "QoS 2 PUBLISH packets past Receive Maximum",
        facts: &[],
        tool: &tools::FLOOD,
        mode: "receive-maximum",
        defaults: brief![("variant", "qos2"), ("attempts", "3"), ("connrate", "20")],
        needs: Needs::Broker,
    },
    Cause {
        name: "double-connect",
        title: "second CONNECT",
        done: "a second CONNECT on the connection",
        facts: &[],
        tool: &tools::DOUBLE_CONNECT,
        mode: "double-connect",
        defaults: brief![("variant", "identical,with-will"), ("attempts", "20"), ("connrate", "80")],
        needs: Needs::Broker,
    },
    Cause {
        name: "kick",
        title: "operator's kick",
        done: "removed by an administrator while it worked",
        facts: &["still_served", "came_back"],
        tool: &tools::EXPIRE,
        mode: "kick",
        defaults: brief![("attempts", "10"), ("connrate", "20")],
        needs: Needs::Administrator,
    },
];

/// The name of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CauseName(pub(super) &'static str);

impl Default for CauseName {
    fn default() -> Self {
        Self(CAUSES[0].name)
    }
}

impl FromStr for CauseName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = CAUSES.iter().find(|cause| cause.name == text);
        found.map(|cause| Self(cause.name)).ok_or_else(|| {
            let names: Vec<&str> = CAUSES.iter().map(|cause| cause.name).collect();
            format!("unknown cause {text:?}; choose from {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::CAUSES;

    #[test]
    fn every_cause_has_a_mode_with_flags_for_its_defaults() {
        for cause in CAUSES {
            let command = cause.tool.mode_command_with(cause.mode(), cause.defaults);
            for (long, _) in cause.defaults {
                let is_there = command.get_arguments().any(|arg| arg.get_long() == Some(long));
                assert!(is_there, "{}: --{long}", cause.name);
            }
        }
    }
}
