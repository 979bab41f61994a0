//! Client take-over: a CONNECT with the ClientID of a connection that is still alive.
//!
//! Both versions of the standard require the broker to close the older connection (MQTT 5.0 [MQTT-3.1.4-3], MQTT 3.1.1
//! [MQTT-3.1.4-2]). A device does it whenever it reconnects before the broker noticed that it was gone, and two devices
//! with one ClientID do it to each other for ever. The broker's log then has a client that was disconnected because
//! "another client connected with the same ClientID".

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use clap::Args;
use ungraceful_flags::{Wanted, reader};
use ungraceful_mqtt::{Connect, Properties, Property, ProtocolVersion};
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::reaction::Outcome;
use ungraceful_rig::attempts::client::{Accepted, Client};
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_rig::attempts::observe::{Observed, observe};
use ungraceful_wire::Sent;
use ungraceful_wire::clock::now;

pub use crate::ending::Answer;
pub(crate) use crate::ending::refusal;
use crate::ending::watch;
use crate::mode::{Mode, mode};
use crate::peer::Peer;

pub mod after_takeover;
pub mod dead_peer;
pub mod duel;
pub mod flap;
pub mod judged;
pub mod race;
pub mod storm;
pub mod storm_checks;

/// The modes of `ungraceful-takeover`, the default one first.
pub const MODES: &[&dyn Mode] = &[
    mode::<storm::Flags>(),
    mode::<duel::Flags>(),
    mode::<dead_peer::Flags>(),
    mode::<race::Flags>(),
    mode::<flap::Flags>(),
];

/// Fact: the answer to the newcomer's CONNECT.
pub const NEWCOMER: FactOf<Answer> = FactOf::new("newcomer");
/// Fact: how many connections with the ClientID were alive at the end.
pub const ALIVE: FactOf<Alive> = FactOf::new("alive");
/// Measure: from the newcomer's CONNECT, handed to the kernel, until its CONNACK was complete.
pub const NEWCOMER_CONNACK: Measure = Measure::new("newcomer_connack_us");

ungraceful_record::words! {
    /// How many connections with one ClientID are alive.
    pub enum Alive: "number" {
        /// None.
        None = "0",
        /// One.
        One = "1",
        /// Both of two.
        Two = "2",
        /// Two or more of many.
        Several = "2 or more",
        /// Not known.
        Unknown = "unknown",
    }
}

impl Alive {
    /// The number for a pair, from the outcome of the older connection and whether the newcomer is served.
    const fn of(older: Outcome, newcomer_is_served: bool) -> Self {
        match (older, newcomer_is_served) {
            (Outcome::Closed | Outcome::Reset, false) => Self::None,
            (Outcome::Closed | Outcome::Reset, true) | (Outcome::Tolerated, false) => Self::One,
            (Outcome::Tolerated, true) => Self::Two,
            _ => Self::Unknown,
        }
    }

    /// The number for any count of contenders.
    const fn of_many(count: usize) -> Self {
        match count {
            0 => Self::None,
            1 => Self::One,
            _ => Self::Several,
        }
    }
}

/// The version of the older connection and that of the newcomer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionPair {
    /// The older connection's.
    pub old: ProtocolVersion,
    /// The newcomer's.
    pub new: ProtocolVersion,
}

impl VersionPair {
    /// The same version for both.
    #[must_use]
    pub const fn both(version: ProtocolVersion) -> Self {
        Self { old: version, new: version }
    }
}

/// Separates the two versions of a pair.
const TO: &str = "-to-";

impl fmt::Display for VersionPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.old == self.new {
            write!(f, "{}", self.new)
        } else {
            write!(f, "{}{TO}{}", self.old, self.new)
        }
    }
}

impl FromStr for VersionPair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let version = |text: &str| {
            text.trim().parse::<ProtocolVersion>().map_err(|_unknown| {
                format!("unknown version {text:?}; use 3.1.1, 5, 3.1.1-to-5 or 5-to-3.1.1")
            })
        };
        match text.split_once(TO) {
            Some((old, new)) => Ok(Self { old: version(old)?, new: version(new)? }),
            None => Ok(Self::both(version(text)?)),
        }
    }
}

/// The versions of the older connection and of the newcomer.
#[derive(Args, Clone, Debug)]
struct VersionPairs {
    /// MQTT versions, separated by commas: 3.1.1 (or 4), 5 (or 5.0); and mixed, older connection first: 3.1.1-to-5, 5-to-3.1.1 [default: 3.1.1 and 5, if the broker supports them]
    #[arg(
        short = 'V',
        long,
        value_name = "VERSION",
        value_delimiter = ',',
        value_parser = reader::<VersionPair>(),
        help_heading = "Fault"
    )]
    protocol_version: Vec<VersionPair>,
}

impl VersionPairs {
    /// The named pairs without repetition; by default one pair of each version.
    fn pairs(&self) -> Vec<VersionPair> {
        let mut pairs = self.protocol_version.clone();
        if pairs.is_empty() {
            pairs.extend(ProtocolVersion::ALL.map(VersionPair::both));
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// The pairs of which the broker supports both versions.
    fn spoken(&self, spoken: &[ProtocolVersion]) -> Vec<VersionPair> {
        let mut pairs = self.pairs();
        pairs.retain(|pair| spoken.contains(&pair.old) && spoken.contains(&pair.new));
        pairs
    }

    /// Every version that a pair needs.
    fn wanted(&self) -> Wanted {
        let pairs = self.pairs();
        let mut versions = ProtocolVersion::ALL.to_vec();
        versions.retain(|version| pairs.iter().any(|pair| pair.old == *version || pair.new == *version));
        Wanted { versions, are_named: !self.protocol_version.is_empty() }
    }
}

/// An honest CONNECT with this Clean Start and, on MQTT 5.0, these properties.
pub(crate) fn session_connect<'a>(
    stage: &'a Stage,
    version: ProtocolVersion,
    client_id: &'a str,
    clean_start: bool,
    properties: &'a [Property<'a>],
) -> Connect<'a> {
    Connect {
        clean_start,
        properties: match version {
            ProtocolVersion::V5 => Properties::List(properties),
            ProtocolVersion::V3_1_1 => Properties::NONE,
        },
        ..Client::honest_connect(client_id, &stage.credentials)
    }
}

/// Opens a newcomer's connection and sends its CONNECT; the instant is the one before sending.
async fn send_newcomer(
    stage: &Stage,
    version: ProtocolVersion,
    connect: &Connect<'_>,
) -> Result<(Peer, Instant, Sent), String> {
    let (client, _) =
        stage.open(version).await.map_err(|error| format!("the newcomer cannot connect: {error}"))?;
    let mut peer = Peer::new(client);
    let before = now();
    let sent = peer.client.send_connect(connect).await;
    let sent = sent.map_err(|error| format!("cannot send the newcomer's CONNECT: {error}"))?;
    Ok((peer, before, sent))
}

/// From CONNECT to CONNACK.
fn connack_time(accepted: &Accepted) -> Duration {
    accepted.connack_at.saturating_duration_since(accepted.connect_sent)
}

/// Keeps watching an older connection until the full reaction timeout has passed since the newcomer was accepted: `seen`
/// covers only a part of it when the CONNACK took long.
async fn keep_observing(stage: &Stage, older: &mut Client, seen: Observed, accepted_at: Instant) -> Observed {
    let is_open = matches!(seen.outcome, Some(Outcome::Tolerated | Outcome::NoReaction));
    if !is_open || accepted_at + stage.reaction_timeout <= now() {
        return seen;
    }
    let watch = watch(accepted_at, stage.reaction_timeout);
    let later = observe(older, &stage.clock, &stage.stop, watch).await;
    let reactions = seen.reactions.into_iter().chain(later.reactions).collect();
    Observed { reactions, ..later }
}

#[cfg(test)]
mod facts_tests;

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};

    use super::{VersionPair, VersionPairs};

    #[test]
    fn version_pairs_round_trip_through_text() {
        let mixed = VersionPair { old: V3_1_1, new: V5 };
        for pair in [VersionPair::both(V5), VersionPair::both(V3_1_1), mixed] {
            assert_eq!(pair.to_string().parse(), Ok(pair));
        }
        assert_eq!("5-to-4".parse(), Ok(VersionPair { old: V5, new: V3_1_1 }));
        for wrong in ["", "6", "5-to-", "5-to-5-to-5"] {
            assert!(wrong.parse::<VersionPair>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn pairs_are_deduplicated_and_limited_to_supported_versions() {
        let mixed = VersionPair { old: V3_1_1, new: V5 };
        let named = VersionPairs { protocol_version: vec![VersionPair::both(V5), mixed, mixed] };
        assert_eq!(
            (named.pairs(), named.spoken(&[V5])),
            (vec![mixed, VersionPair::both(V5)], vec![VersionPair::both(V5)])
        );
        assert_eq!((named.wanted().versions, named.wanted().are_named), (vec![V3_1_1, V5], true));
        let none = VersionPairs { protocol_version: Vec::new() };
        assert_eq!(
            (none.pairs(), none.wanted().are_named),
            ([V3_1_1, V5].map(VersionPair::both).to_vec(), false)
        );
    }
}
