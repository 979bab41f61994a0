//! Keep Alive: a client that falls silent, and a client that sends PINGREQ just in time or slightly late.
//!
//! A broker must close the connection of a client that sends nothing for one and a half times its Keep Alive (MQTT 5.0
//! [MQTT-3.1.2-22], MQTT 3.1.1 [MQTT-3.1.2-24]). This is how it notices that a device lost its power or its network; its log
//! says that the client "exceeded timeout". A broker that cuts too early makes healthy clients reconnect again and again.

use std::time::{Duration, Instant};

use ungraceful_mqtt::{Connect, Packet, ProtocolVersion};
use ungraceful_record::check::Finding;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::reaction::{Reaction, ReactionKind};
use ungraceful_record::run::Record;
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::client::{Accepted, NotConnected};
use ungraceful_rig::attempts::fault::Stage;
use ungraceful_wire::clock::now;
use ungraceful_wire::{Forwarded, ReceivedPacket};

use crate::peer::{Event, Peer};

pub mod control;
pub mod edge;
pub mod edge_checks;
mod flags;
pub mod silence;
pub mod silence_checks;

/// Fact: the effective Keep Alive, in seconds: the client's, or the Server Keep Alive that replaces it.
pub const KEEP_ALIVE: FactOf<u64> = FactOf::new("keep_alive_s");
/// Measure: from the client's last packet until it was cut, in thousandths of the effective Keep Alive.
pub const CUT_AT: Measure = Measure::new("cut_at_keep_alive_permille");

ungraceful_record::words! {
    /// The reason that the broker gave to a client that it cut.
    pub enum Reason {
        /// No Reason Code: FIN or RST alone.
        None = "no reason",
        /// The DISCONNECT that names the Keep Alive (MQTT 5.0 section 3.14.2.1).
        KeepAliveTimeout = "DISCONNECT 0x8D",
    } else {
        /// Another DISCONNECT; its Reason Code.
        Disconnect = "DISCONNECT",
    }
}

/// The section of both versions of the standard that defines Keep Alive.
const SECTION: &str = "3.1.2.10";
/// At least this many clients must be cut in the same way before the Keep Alive counts as the reason.
const ALIKE_MIN: u64 = 2;
/// The longest Server Keep Alive to wait for where it replaces a shorter one of the client.
const SERVER_KEEP_ALIVE_MAX_S: u16 = 10;

/// The longest Keep Alive to wait for where a client requests `asked`: a broker may replace it by its own (MQTT 5.0
/// [MQTT-3.2.2-21]), which the plan cannot know.
#[must_use]
pub fn longest_held(asked: Duration) -> Duration {
    asked.max(Duration::from_secs(SERVER_KEEP_ALIVE_MAX_S.into()))
}

/// When a packet was sent, as far as is visible from outside the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastPacket {
    /// Just before the write: the broker had not seen it.
    not_before: Instant,
    /// When it left.
    at: Instant,
}

impl From<Forwarded> for LastPacket {
    fn from(forwarded: Forwarded) -> Self {
        Self { not_before: forwarded.not_before, at: forwarded.at }
    }
}

/// How long a client had been silent when something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Silence {
    /// Since the last packet left: the reported value.
    measured: Duration,
    /// The longest silence that the broker can have measured: since just before that packet was handed to the kernel.
    longest: Duration,
}

impl Silence {
    fn until(at: Instant, last: LastPacket) -> Self {
        Self {
            measured: at.saturating_duration_since(last.at),
            longest: at.saturating_duration_since(last.not_before),
        }
    }

    /// In thousandths of the Keep Alive.
    fn permille_of(self, keep_alive: Duration) -> u64 {
        let permille = self.measured.as_micros() * 1_000 / keep_alive.as_micros().max(1);
        u64::try_from(permille).unwrap_or(u64::MAX)
    }
}

ungraceful_record::words! {
    /// When a silent client was cut, relative to the effective Keep Alive.
    pub enum Cut: "cut" {
        /// Before the Keep Alive was over, so that the client was in time: by more than a twentieth of it, the margin for
        /// clocks and timers.
        Early = "before 1.0",
        /// The client was late, but by less than half of its Keep Alive (less the same twentieth).
        Between = "between 1.0 and 1.5",
        /// At one and a half times the Keep Alive, and up to a quarter of it later.
        InTime = "at 1.5",
        /// Later than that.
        Late = "after 1.5",
    }
}

impl Cut {
    fn of(silence: Silence, keep_alive: Duration) -> Self {
        let margin = keep_alive / 20;
        if silence.longest < keep_alive - margin {
            Self::Early
        } else if silence.longest < keep_alive * 3 / 2 - margin {
            Self::Between
        } else if silence.measured <= keep_alive * 7 / 4 {
            Self::InTime
        } else {
            Self::Late
        }
    }
}

/// When the client received DISCONNECT or was cut, whichever came first, and the reason. Absent when the connection has not
/// ended.
fn cut_of(reactions: &[Reaction]) -> Option<(u64, Reason)> {
    let end = reactions.iter().find(|reaction| reaction.kind.ends_connection())?;
    let disconnect = reactions.iter().find(|reaction| reaction.kind == ReactionKind::Disconnect);
    Some(match disconnect {
        Some(disconnect) => (disconnect.at_us, disconnect.label().parse().unwrap_or(Reason::None)),
        None => (end.at_us, Reason::None),
    })
}

/// A connected client.
#[derive(Debug)]
struct Connected {
    accepted: Accepted,
    /// The effective Keep Alive.
    keep_alive: Duration,
    connect: LastPacket,
}

/// Sends this CONNECT and waits for its CONNACK.
///
/// # Errors
/// A message for the user when the broker refuses, or sets a Keep Alive that is too long to wait for.
async fn connect(stage: &Stage, peer: &mut Peer, connect: &Connect<'_>) -> Result<Connected, String> {
    let in_words = |error: NotConnected| error.to_string();
    let not_before = now();
    let sent = peer.client.send_connect(connect).await.map_err(in_words)?;
    let answered = peer.client.await_connack(sent, stage.options.connect_timeout).await;
    let (accepted, packet) = answered.map_err(in_words)?;
    let keep_alive = keep_alive_of(peer.client.version, connect.keep_alive_s, &packet)?;
    Ok(Connected { accepted, keep_alive, connect: LastPacket { not_before, at: sent.at } })
}

/// The effective Keep Alive: the Server Keep Alive where the CONNACK has one (MQTT 5.0 [MQTT-3.2.2-21]).
fn keep_alive_of(
    version: ProtocolVersion,
    asked_s: u16,
    connack: &ReceivedPacket,
) -> Result<Duration, String> {
    let server = match connack.frame().decode(version).packet {
        Packet::ConnAck(connack) => connack.properties.server_keep_alive_s(),
        _ => None,
    };
    let asked = Duration::from_secs(asked_s.into());
    let held = server.map_or(asked, |seconds| Duration::from_secs(seconds.into()));
    match server {
        Some(0) => Err("the broker disables Keep Alive (Server Keep Alive 0)".to_owned()),
        Some(seconds) if held > longest_held(asked) => Err(format!(
            "the broker replaces the Keep Alive of {asked_s} s by a Server Keep Alive of {seconds} s; give --keepalive {seconds}s"
        )),
        _ => Ok(held),
    }
}

/// Sends PINGREQ and waits for its answer.
///
/// # Errors
/// A message for the user when no answer comes.
async fn ping_once(peer: &mut Peer, within: Duration) -> Result<LastPacket, String> {
    let not_before = now();
    let sent = peer.client.ping().await.map_err(|error| format!("PINGREQ could not be sent: {error}"))?;
    let deadline = sent.at + within;
    loop {
        match peer.next_before(deadline).await {
            Some(Event::Pong) => return Ok(LastPacket { not_before, at: sent.at }),
            Some(Event::Ended { .. } | Event::Disconnect(_)) => {
                return Err("the broker ended the connection before the client fell silent".to_owned());
            }
            Some(_passed_over) => {}
            None => return Err(format!("no PINGRESP within {}", span(within))),
        }
    }
}

/// Whether `count` of `all` clients are enough to be the broker's regular behaviour.
fn is_common(count: u64, all: u64) -> bool {
    count >= ALIKE_MIN && count * 2 >= all
}

/// The finding where `count` clients received 0x8D: too few for a violation.
fn few_keep_alive_timeouts(evidence: &str, count: u64) -> Finding {
    Finding::inconclusive(format!(
        "{evidence}; {count} of them received 0x8D (Keep Alive timeout): a broker that cuts too early because of the Keep Alive \
         does so to most clients, and to at least two; run more --attempts"
    ))
}

/// Why this run cannot attribute a cut without a reason to the Keep Alive; absent when it can.
pub(crate) fn no_control(record: &Record) -> Option<&'static str> {
    match &record.bystanders {
        None => {
            Some("there were no bystanders to show that other clients stay connected; run with --bystanders")
        }
        Some(bystanders) if bystanders.connections_lost.is_empty() => None,
        Some(_) => Some("well-behaved clients lost their connections as well"),
    }
}

#[cfg(test)]
mod attempts_tests;
#[cfg(test)]
mod tests;
