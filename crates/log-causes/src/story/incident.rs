//! One incident, and its state while more lines may follow.

use ungraceful_mqtt::ProtocolVersion;

use crate::broker::Broker;
use crate::cause::{Cause, Effect, Precision};
use crate::explanations::{Closer, explain};
use crate::matcher::Found;
use crate::timestamp::LogTime;

/// Bytes of a line that are kept.
const TEXT_MAX: usize = 300;

/// Lines of a log that are about one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Number of its log, from 0.
    pub log: usize,
    /// Number of its first line, from 1.
    pub line: u64,
    /// Number of its lines.
    pub lines: u64,
    /// How often it came: 1, or what the log says where it writes a repeated message once.
    pub occurrences: u64,
    /// Time of its first line; absent when the log has none.
    pub time: Option<LogTime>,
    /// The broker that wrote the log.
    pub broker: Broker,
    /// Why it happened, by the most precise line.
    pub cause: Cause,
    /// The effect on the connection.
    pub effect: Effect,
    /// The ClientID; absent when no line has it.
    pub client: Option<String>,
    /// The client's address; absent when unknown.
    pub address: Option<String>,
    /// In a take-over the newcomer's address; absent when the line has none.
    pub newcomer: Option<String>,
    /// The client's Keep Alive in seconds; absent when unknown.
    pub keep_alive_s: Option<u16>,
    /// The client's MQTT version; absent when unknown.
    pub version: Option<ProtocolVersion>,
    /// The Reason Code or Connect Return Code; absent when no line has one.
    pub code: Option<u8>,
    /// How long the connection lasted, in ms; absent when its begin is unknown.
    pub connected_for_ms: Option<i64>,
    /// Whether the client was connected, by the lines before.
    pub was_connected: bool,
    /// Row of the pattern that gave the cause.
    pub row: u16,
    /// The line that gave the cause, at most 300 bytes; invalid UTF-8 is replaced.
    pub text: String,
}

impl Incident {
    pub(super) fn begin(log: usize, line: u64, text: &[u8], time: Option<LogTime>, found: &Found) -> Self {
        let text = text.trim_ascii_end();
        Self {
            log,
            line,
            lines: 1,
            occurrences: 1,
            time,
            broker: found.pattern.broker,
            cause: found.cause,
            effect: effect_of(found),
            client: found.client.clone().or_else(|| found.client_of_handle.clone()),
            address: found.address.clone(),
            newcomer: found.newcomer.clone(),
            keep_alive_s: found.keep_alive_s,
            version: found.version,
            code: found.code,
            connected_for_ms: None,
            was_connected: false,
            row: found.pattern.row,
            text: String::from_utf8_lossy(&text[..text.len().min(TEXT_MAX)]).into_owned(),
        }
    }

    /// Who closed the connection; [`Closer::NotClosed`] if it stayed open.
    #[must_use]
    pub fn closed_by(&self) -> Closer {
        if self.effect == Effect::Lives { Closer::NotClosed } else { explain(self.cause).closed_by }
    }

    /// Whether the connection did not last as long as its Keep Alive, so that it can't have been exceeded. An MQTT 5.0 broker
    /// may have set another one in its CONNACK, which the log does not show.
    pub(super) fn is_before_its_keep_alive(&self) -> bool {
        /// Many logs print whole seconds.
        const RESOLUTION_MS: i64 = 1_000;
        let keep_alive_s =
            self.keep_alive_s.filter(|seconds| *seconds > 0 && self.version != Some(ProtocolVersion::V5));
        let lasted = keep_alive_s.zip(self.connected_for_ms);
        lasted.is_some_and(|(seconds, ms)| ms + RESOLUTION_MS < i64::from(seconds) * 1_000)
    }
}

/// An incident that waits for further lines.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) incident: Incident,
    /// The name that identifies it, with its index in `open_of`.
    pub(super) key: Option<(usize, String)>,
    pub(super) last_line: u64,
    pub(super) last_time: Option<LogTime>,
    /// Whether it is within the time limits.
    pub(super) is_wanted: bool,
    rows: Vec<u16>,
    has_tail: bool,
    /// Whether a line said that the connection is over.
    has_end: bool,
    /// The address in the lines themselves, which can't be another connection's.
    own_address: Option<String>,
}

impl Open {
    pub(super) fn new(
        incident: Incident,
        key: Option<(usize, String)>,
        found: &Found,
        is_wanted: bool,
    ) -> Self {
        Self {
            last_line: incident.line,
            last_time: incident.time,
            is_wanted: is_wanted && !is_of_another_protocol(found),
            rows: vec![found.pattern.row],
            has_tail: found.pattern.effect == Effect::Tail,
            has_end: is_end(found),
            own_address: found.address.clone(),
            incident,
            key,
        }
    }

    /// Whether it has neither a client nor an end: the next nameless end belongs to it, and a further one to another
    /// connection. A client's log is about one connection, so a line without a name right after an end is about that end.
    pub(super) fn is_nameless_and_unended(&self) -> bool {
        self.incident.client.is_none() && (!self.has_end || self.incident.broker == Broker::Client)
    }

    /// Whether a line without a ClientID is the second one about it: HiveMQ before 2023.4 has moved the ClientID to the newcomer of a
    /// take-over by then.
    pub(super) fn is_ended_without_a_name_by(&self, found: &Found) -> bool {
        found.pattern.broker == Broker::HiveMq
            && found.is_unknown_client
            && found.pattern.effect == Effect::Tail
            && self.incident.cause == Cause::TakeOver
            && !self.has_tail
            && found.address.is_some()
            && found.address == self.own_address
    }

    /// Whether a second line about it may follow the client's next connect: HiveMQ before 2023.4 logs the newcomer of a
    /// take-over first, and NATS logs the end of the older connection last.
    pub(super) fn outlives_the_next_connect(&self) -> bool {
        if self.has_tail || self.incident.cause != Cause::TakeOver {
            return false;
        }
        // Mosquitto up to 2.0 closes a WebSocket later than it accepts the newcomer. Only there it logs mapped addresses.
        let is_web_socket =
            || self.incident.address.as_ref().is_some_and(|address| address.starts_with("::ffff:"));
        match self.incident.broker {
            Broker::HiveMq | Broker::Nats => true,
            Broker::Mosquitto => is_web_socket(),
            _ => false,
        }
    }

    /// Whether a line can belong to this incident. A repeated kind of line is a new incident, unless the connection lives
    /// on.
    pub(super) fn takes(&self, found: &Found) -> bool {
        let is_new = !self.is_repeated(found) && found.named.is_none();
        let is_same_row = self.rows.contains(&found.pattern.row) && is_new;
        if found.client_of_handle.is_some() || self.is_denied_and_ended_by(found) {
            return true;
        }
        // Only a name tells that a client's line and a broker's line are about the same connection.
        let is_nameless = found.client.is_none() && found.handle.is_none() && found.address.is_none();
        if is_nameless && self.incident.broker != found.pattern.broker {
            return false;
        }
        if self.is_ended_after_a_warning_by(found) {
            return true;
        }
        if self.incident.effect == Effect::Lives || found.pattern.effect == Effect::Lives {
            return is_same_row
                && self.incident.effect == found.pattern.effect
                && self.incident.cause == found.cause;
        }
        let is_begun_by_the_whole = self.incident.broker == Broker::HiveMq
            && self.incident.cause == Cause::Lost
            && self.incident.effect == Effect::Ended
            && !self.has_tail;
        // Mosquitto logs the refusal before the end, so this one is of the next connection.
        let is_of_the_next = self.has_end
            && self.incident.broker == Broker::Mosquitto
            && found.pattern.effect == Effect::Refused;
        if is_same_row
            || is_the_whole(found)
            || is_begun_by_the_whole
            || is_of_the_next
            || self.is_elsewhere(found)
        {
            return false;
        }
        let both_are_exact = self.incident.cause.precision() == Precision::Exact
            && found.cause.precision() == Precision::Exact;
        // A client says of every failed connect, behind the reason, that it could not connect.
        let is_echo = found.pattern.broker == Broker::Client
            && found.cause == Cause::Unreachable
            && self.incident.effect == Effect::Refused;
        !both_are_exact || self.incident.cause == found.cause || is_echo
    }

    /// Whether the line names the same connection, by a port, once more: each ends only once.
    fn is_repeated(&self, found: &Found) -> bool {
        let Some(address) = &found.address else { return false };
        self.own_address.as_ref() == Some(address)
            && host_of(address).len() < address.len()
            && self.incident.effect != Effect::Lives
            && self.incident.cause == found.cause
    }

    /// Whether this is about a denied topic, and the line about the end of that connection: EMQX and VerneMQ log both, and
    /// EMQX names the end as it names a refused log-in: `not_authorized`.
    fn is_denied_and_ended_by(&self, found: &Found) -> bool {
        let broker = self.incident.broker;
        let is_its_end = match found.pattern.effect {
            Effect::Ended => found.cause == Cause::NotAuthorized,
            Effect::Refused => broker == Broker::Emqx,
            _ => false,
        };
        is_its_end
            && self.incident.cause == Cause::NotAuthorized
            && matches!(broker, Broker::Emqx | Broker::VerneMq)
            && !self.rows.contains(&found.pattern.row)
    }

    /// Whether this is a warning about a packet of the client, which the broker then ends.
    pub(super) fn is_ended_after_a_warning_by(&self, found: &Found) -> bool {
        self.incident.effect == Effect::Lives
            && self.incident.cause == Cause::PacketIdentifier
            && is_end(found)
            && found.cause.precision() >= Precision::General
    }

    /// Whether the line names another address and so another connection of the client.
    fn is_elsewhere(&self, found: &Found) -> bool {
        let (Some(one), Some(other)) = (&self.own_address, &found.address) else { return false };
        let hosts = [one, other].map(|address| host_of(address));
        let have_ports = hosts[0].len() < one.len() && hosts[1].len() < other.len();
        hosts[0] != hosts[1] || (have_ports && one != other)
    }

    pub(super) fn join(&mut self, number: u64, time: Option<LogTime>, found: &Found) {
        let is_denied = self.is_denied_and_ended_by(found);
        self.is_wanted &= !is_of_another_protocol(found);
        let incident = &mut self.incident;
        incident.lines += 1;
        self.last_line = number;
        self.last_time = time.or(self.last_time);
        self.has_tail |= found.pattern.effect == Effect::Tail;
        self.has_end |= is_end(found);
        if !self.rows.contains(&found.pattern.row) {
            self.rows.push(found.pattern.row);
        }
        // An end overrides a sign.
        if incident.effect == Effect::Sign {
            incident.effect = effect_of(found);
        }
        // Mosquitto names the client, or its own bridge, only in the line after OpenSSL's error.
        if found.client_of_handle.is_some() {
            incident.client.clone_from(&found.client_of_handle);
            if incident.cause != Cause::BadCredentials {
                incident.effect = Effect::Ended;
            }
        }
        let is_bridge = found.client_of_handle.is_some() && found.cause == Cause::Bridge;
        if is_denied {
            if incident.effect == Effect::Lives {
                incident.effect = Effect::Ended;
            }
        } else if is_bridge || found.cause.precision() > incident.cause.precision() {
            incident.cause = found.cause;
            incident.row = found.pattern.row;
        }
        let fill = |known: &mut Option<String>, new: &Option<String>| {
            if known.is_none() {
                known.clone_from(new);
            }
        };
        fill(&mut self.own_address, &found.address);
        fill(&mut incident.client, &found.client);
        fill(&mut incident.client, &found.named);
        fill(&mut incident.address, &found.address);
        fill(&mut incident.newcomer, &found.newcomer);
        incident.code = incident.code.or(found.code);
    }
}

/// The effect on the connection; one without a ClientID was refused.
fn effect_of(found: &Found) -> Effect {
    match found.pattern.effect {
        Effect::Ended | Effect::Tail if found.is_unknown_client => Effect::Refused,
        Effect::Tail => Effect::Ended,
        effect => effect,
    }
}

/// Whether the line tells that the connection is none of MQTT, which RabbitMQ does after the alert of TLS.
fn is_of_another_protocol(found: &Found) -> bool {
    found.pattern.effect == Effect::Tail && found.pattern.cause == Cause::Note
}

fn is_end(found: &Found) -> bool {
    matches!(found.pattern.effect, Effect::Ended | Effect::Tail)
}

/// HiveMQ since 2023.4 logs a lost connection in one line, with the listener: no reason comes before it.
fn is_the_whole(found: &Found) -> bool {
    found.pattern.broker == Broker::HiveMq
        && found.cause == Cause::Lost
        && found.pattern.effect == Effect::Ended
}

/// The address without its port. Mosquitto writes IPv6 addresses without brackets: five digits can only be a port.
pub(super) fn host_of(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']') || port.len() == 5) =>
        {
            host
        }
        _ => address,
    }
}
