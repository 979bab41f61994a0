//! Keep Alive: the client that falls silent, and the one that is nearly late.
//!
//! A Client that says nothing for one and a half times its Keep Alive is to be cut (MQTT 5.0 [MQTT-3.1.2-22], MQTT 3.1.1
//! [MQTT-3.1.2-24]). It is how a broker finds out that a device lost its power or its network, and what an operator finds
//! in the log is a client that "exceeded timeout". Cut too early, healthy clients come and go for ever.

use std::time::{Duration, Instant};

use ungraceful_mqtt::{Connect, Packet, ProtocolVersion};
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

/// Fact: the Keep Alive that held, in seconds: the client's, or the Server Keep Alive in its place.
pub const KEEP_ALIVE: FactOf<u64> = FactOf::new("keep_alive_s");
/// Measure: from the client's last packet until it was cut, as a share of the Keep Alive that held.
pub const CUT_AT: Measure = Measure::new("cut_at_keep_alive_permille");

ungraceful_record::words! {
    /// What a client was told that was cut.
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

/// Where both versions of the standard tell what Keep Alive means.
const SECTION: &str = "3.1.2.10";
/// Clients that must be cut alike before their cut is put down to the Keep Alive.
const ALIKE_MIN: u64 = 2;
/// The longest Server Keep Alive that is waited for in place of a shorter one of the client's.
const SERVER_KEEP_ALIVE_MAX_S: u16 = 10;

/// The longest Keep Alive that is waited for where a client asks for `asked`: a broker may put its own in place of it (MQTT 5.0
/// [MQTT-3.2.2-21]), and a plan is made before that is known.
#[must_use]
pub fn longest_held(asked: Duration) -> Duration {
    asked.max(Duration::from_secs(SERVER_KEEP_ALIVE_MAX_S.into()))
}

/// When a packet was sent, as far as it can be told from outside the kernel.
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
    /// Since the last packet was on its way: what is reported.
    measured: Duration,
    /// The longest that the broker can have measured: since just before that packet was handed to the kernel.
    longest: Duration,
}

impl Silence {
    fn until(at: Instant, last: LastPacket) -> Self {
        Self {
            measured: at.saturating_duration_since(last.at),
            longest: at.saturating_duration_since(last.not_before),
        }
    }

    /// The share of the Keep Alive in thousandths.
    fn permille_of(self, keep_alive: Duration) -> u64 {
        let permille = self.measured.as_micros() * 1_000 / keep_alive.as_micros().max(1);
        u64::try_from(permille).unwrap_or(u64::MAX)
    }
}

ungraceful_record::words! {
    /// When a silent client was cut, by the Keep Alive that held.
    pub enum Cut: "cut" {
        /// Before the Keep Alive was over, so that the client had kept its word: by more than a twentieth of it, which is
        /// left to clocks and timers.
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

/// When the client was told to go or was cut, whichever came first, and the reason that it was told. Absent when the connection has
/// not ended.
fn cut_of(reactions: &[Reaction]) -> Option<(u64, Reason)> {
    let end = reactions.iter().find(|reaction| reaction.kind.ends_connection())?;
    let told = reactions.iter().find(|reaction| reaction.kind == ReactionKind::Disconnect);
    Some(match told {
        Some(told) => (told.at_us, told.label().parse().unwrap_or(Reason::None)),
        None => (end.at_us, Reason::None),
    })
}

/// A client that is connected, and the Keep Alive that holds.
#[derive(Debug)]
struct Connected {
    accepted: Accepted,
    keep_alive: Duration,
    /// Its CONNECT.
    connect: LastPacket,
}

/// Sends this CONNECT and waits for its CONNACK.
///
/// # Errors
/// In words, when the broker refuses or wants a Keep Alive that is too long to wait for.
async fn connect(stage: &Stage, peer: &mut Peer, connect: &Connect<'_>) -> Result<Connected, String> {
    let in_words = |error: NotConnected| error.to_string();
    let not_before = now();
    let sent = peer.client.send_connect(connect).await.map_err(in_words)?;
    let answered = peer.client.await_connack(sent, stage.options.connect_timeout).await;
    let (accepted, packet) = answered.map_err(in_words)?;
    let keep_alive = keep_alive_of(peer.client.version, connect.keep_alive_s, &packet)?;
    Ok(Connected { accepted, keep_alive, connect: LastPacket { not_before, at: sent.at } })
}

/// The Keep Alive that holds: the Server's where it tells one (MQTT 5.0 [MQTT-3.2.2-21]).
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
        Some(0) => Err("the broker turns Keep Alive off (Server Keep Alive 0)".to_owned()),
        Some(seconds) if held > longest_held(asked) => Err(format!(
            "the broker puts a Server Keep Alive of {seconds} s in place of {asked_s} s; give --keepalive {seconds}s"
        )),
        _ => Ok(held),
    }
}

/// Sends PINGREQ and waits for its answer.
///
/// # Errors
/// In words, when none comes.
async fn ping_once(peer: &mut Peer, within: Duration) -> Result<LastPacket, String> {
    let not_before = now();
    let sent = peer.client.ping().await.map_err(|error| format!("PINGREQ could not be sent: {error}"))?;
    let deadline = sent.at + within;
    loop {
        match peer.next_before(deadline).await {
            Some(Event::Pong) => return Ok(LastPacket { not_before, at: sent.at }),
            Some(Event::Ended { .. } | Event::Disconnect(_)) => {
                return Err("the broker ended the connection before it fell silent".to_owned());
            }
            Some(_passed_over) => {}
            None => return Err(format!("no PINGRESP within {}", span(within))),
        }
    }
}

/// Whether so many of `all` clients were cut alike that it is the broker's way, and no chance of one of them.
fn is_common(count: u64, all: u64) -> bool {
    count >= ALIKE_MIN && count * 2 >= all
}

/// Why `told` clients that received 0x8D are no violation: they are too few.
fn few_were_told(evidence: &str, told: u64) -> String {
    format!(
        "{evidence}; {told} of them told 0x8D (Keep Alive timeout): a broker that cuts too early for the Keep Alive does so to \
         most clients, and to two at the least; more --attempts will tell"
    )
}

/// Why a cut without a reason can't be put down to the Keep Alive in this run; absent when it can.
pub(crate) fn no_control(record: &Record) -> Option<&'static str> {
    match &record.bystanders {
        None => Some("there were no bystanders to show that others are left alone; run it with --bystanders"),
        Some(bystanders) if bystanders.connections_lost.is_empty() => None,
        Some(_) => Some("honest clients lost their connections, too"),
    }
}

#[cfg(test)]
mod attempts_tests;
#[cfg(test)]
mod tests;
