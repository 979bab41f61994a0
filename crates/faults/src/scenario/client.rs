//! A client of a scenario: its connection, and what it has said so far.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ungraceful_mqtt::{Framed, Packet, PacketType, ProtocolVersion, frame};
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::observe::Occupation;
use ungraceful_scenario::label::{answer, label};
use ungraceful_scenario::model::Field;
use ungraceful_scenario::template::{Value, Variables};

/// The Receive Maximum of a CONNACK without one (MQTT 5.0 section 3.2.2.3.3).
const RECEIVE_MAXIMUM: u16 = u16::MAX;
/// The largest packet that a CONNACK without a Maximum Packet Size accepts: a fixed header of five bytes and the largest
/// Remaining Length.
const MAXIMUM_PACKET_SIZE: u64 = 268_435_460;

/// A client of a scenario.
#[derive(Debug)]
pub(super) struct Player {
    /// Its name in the scenario.
    pub(super) name: String,
    /// Its ClientID.
    pub(super) client_id: String,
    /// Its connection; absent before the first step and after the client ended it.
    pub(super) client: Option<Client>,
    /// Whether a CONNACK accepted it.
    pub(super) is_accepted: bool,
    /// CONNECTs on this connection whose CONNACK has not come.
    pub(super) connacks_due: u32,
    /// PINGREQs of its steps whose PINGRESP has not come.
    pub(super) pings_due: u32,
    /// Whether it has sent SUBSCRIBE, so that a PUBLISH is a delivery.
    pub(super) subscribed: bool,
    /// Whether it may not send PINGREQ any more: it has sent DISCONNECT or FIN, or stopped reading.
    pub(super) is_silent: bool,
    /// Whether it goes on reading.
    pub(super) reads: bool,
    /// Bytes that wait for the next step that sends.
    pub(super) held: Vec<u8>,
    /// The end of what it has sent that is no whole packet.
    unframed: Vec<u8>,
    /// What its CONNACK announced.
    announced: Variables,
    /// The topics whose messages count.
    topics: Arc<Topics>,
    /// The messages that it has received.
    pub(super) received: u64,
    /// All packets that it has received on this connection, each as text.
    pub(super) exchanged: Vec<String>,
    /// Packets that came while it waited for others, in order: a later step may wait for them. At most [`UNCLAIMED_MAX`].
    unclaimed: Vec<Unclaimed>,
}

/// A packet that no step has waited for yet, with its fields.
#[derive(Clone, Debug)]
struct Unclaimed {
    packet: PacketType,
    fields: Vec<(Field, Value)>,
}

/// The most packets that are kept for later steps.
const UNCLAIMED_MAX: usize = 1_024;

impl Player {
    pub(super) fn new(name: &str, client_id: String, topics: &Arc<Topics>) -> Self {
        Self {
            name: name.to_owned(),
            client_id,
            client: None,
            is_accepted: false,
            connacks_due: 0,
            pings_due: 0,
            subscribed: false,
            is_silent: false,
            reads: true,
            held: Vec::new(),
            unframed: Vec::new(),
            announced: Variables::new(),
            topics: Arc::clone(topics),
            received: 0,
            exchanged: Vec::new(),
            unclaimed: Vec::new(),
        }
    }

    /// Takes packets of a type that came earlier, at most so many: how many there were, and the fields of the last one.
    pub(super) fn claim(
        &mut self,
        packet: PacketType,
        times: u64,
        capture: &[(String, Field)],
    ) -> (u64, Variables) {
        let (mut claimed, mut captured) = (0, Variables::new());
        self.unclaimed.retain(|unclaimed| {
            if unclaimed.packet != packet || claimed == times {
                return true;
            }
            claimed += 1;
            for (name, field) in capture {
                let value = unclaimed.fields.iter().find(|(other, _)| other == field);
                captured.extend(value.map(|(_, value)| (name.clone(), value.clone())));
            }
            false
        });
        (claimed, captured)
    }

    /// Keeps packets for later steps.
    pub(super) fn keep_unclaimed(&mut self, awaiting: &mut Awaiting<'_>) {
        let room = UNCLAIMED_MAX.saturating_sub(self.unclaimed.len());
        self.unclaimed.extend(awaiting.unclaimed.drain(..).take(room));
    }

    /// Goes on with a new connection.
    pub(super) fn opened(&mut self, client: Client) {
        let fresh = Self::new(&self.name, std::mem::take(&mut self.client_id), &self.topics);
        *self = Self {
            client: Some(client),
            held: std::mem::take(&mut self.held),
            received: self.received,
            ..fresh
        };
    }

    /// The variables of its connection, besides those of the attempt.
    pub(super) fn variables(&self) -> Variables {
        let mut variables = Variables::from([
            ("client_id".to_owned(), Value::Bytes(self.client_id.as_bytes().to_vec())),
            ("receive_maximum".to_owned(), Value::Number(RECEIVE_MAXIMUM.into())),
            ("maximum_packet_size".to_owned(), Value::Number(MAXIMUM_PACKET_SIZE)),
            ("topic_alias_maximum".to_owned(), Value::Number(0)),
        ]);
        variables.extend(self.announced.clone());
        variables
    }

    /// Takes note of what it has sent.
    pub(super) fn has_sent(&mut self, bytes: &[u8]) {
        self.unframed.extend_from_slice(bytes);
        let mut taken = 0;
        while let Framed::Complete(found) = frame(&self.unframed[taken..]) {
            taken += found.len();
            match found.packet_type() {
                Some(PacketType::Connect) => self.connacks_due += 1,
                // A broker need not answer another first byte, and the answer to a later PINGREQ is not to be taken for it.
                Some(PacketType::PingReq) if found.flags() == 0 => self.pings_due += 1,
                Some(PacketType::Subscribe) => self.subscribed = true,
                Some(PacketType::Disconnect) => self.is_silent = true,
                _ => {}
            }
        }
        self.unframed.drain(..taken);
    }

    /// Whether a PINGREQ would be read as a packet: the bytes sent so far end with a whole packet, and the broker has accepted the
    /// client.
    pub(super) fn can_ask(&self) -> bool {
        // Bytes that can never be framed are complete: the broker can't wait for more of them.
        let is_whole =
            !matches!(frame(&self.unframed), Framed::Incomplete { .. }) || self.unframed.is_empty();
        is_whole && self.is_accepted && !self.is_silent
    }

    /// Takes note of a CONNACK.
    pub(super) fn take_connack(&mut self, code: u8, announced: Variables) {
        self.connacks_due = self.connacks_due.saturating_sub(1);
        if code == 0 {
            self.is_accepted = true;
            self.announced = announced;
        }
    }
}

/// What a client awaits, and what it takes as normal meanwhile.
pub(super) struct Awaiting<'a> {
    version: ProtocolVersion,
    /// The awaited packet; absent to await none.
    packet: Option<PacketType>,
    /// How many of them are still awaited.
    missing: u64,
    /// The fields to keep of it.
    capture: &'a [(String, Field)],
    /// Their values.
    pub(super) captured: Variables,
    /// Whether it has come.
    pub(super) has_come: bool,
    /// CONNACKs that are due, and no reaction.
    connacks_due: u32,
    /// The same for PINGRESP.
    pub(super) pings_due: u32,
    /// The CONNACKs that came, each with its code and what it announces.
    pub(super) connacks: Vec<(u8, Variables)>,
    /// The other packets that answer something, each as text; the first of each.
    pub(super) answers: Vec<String>,
    seen: HashSet<String>,
    topics: Arc<Topics>,
    /// Messages that came.
    pub(super) received: u64,
    /// All packets that came, in order, each as text; those beyond [`EXCHANGED_MAX`] are left out.
    pub(super) exchanged: Vec<String>,
    /// What came and was not awaited, and a later step may wait for.
    unclaimed: Vec<Unclaimed>,
    /// How many messages suffice; absent to await none.
    pub(super) enough: Option<u64>,
    subscribed: bool,
}

/// The most packets that are kept of one client.
const EXCHANGED_MAX: usize = 10_000;
/// The most different answers that are kept of one client.
const ANSWERS_MAX: usize = 32;

impl<'a> Awaiting<'a> {
    /// Awaits nothing.
    pub(super) fn nothing(player: &Player, version: ProtocolVersion) -> Self {
        Self {
            version,
            packet: None,
            missing: 0,
            capture: &[],
            captured: Variables::new(),
            has_come: false,
            connacks_due: player.connacks_due,
            pings_due: player.pings_due,
            connacks: Vec::new(),
            answers: Vec::new(),
            seen: HashSet::new(),
            topics: Arc::clone(&player.topics),
            received: 0,
            exchanged: Vec::new(),
            unclaimed: Vec::new(),
            enough: None,
            subscribed: player.subscribed,
        }
    }

    /// Awaits so many packets of a type, of the last of which these fields are kept.
    pub(super) fn packet(
        player: &Player,
        version: ProtocolVersion,
        (packet, times): (PacketType, u64),
        capture: &'a [(String, Field)],
    ) -> Self {
        Self { packet: Some(packet), missing: times, capture, ..Self::nothing(player, version) }
    }

    /// Awaits so many messages.
    pub(super) fn messages(player: &Player, version: ProtocolVersion, enough: u64) -> Self {
        Self { enough: Some(enough), ..Self::nothing(player, version) }
    }

    /// Keeps the first answer of each kind.
    fn keep_answer(&mut self, answer: Option<String>) {
        let Some(answer) = answer.filter(|_| self.answers.len() < ANSWERS_MAX) else { return };
        if self.seen.insert(answer.clone()) {
            self.answers.push(answer);
        }
    }

    fn keep(&mut self, packet: &Packet<'_>) {
        for (name, field) in self.capture {
            if let Some(value) = value_of(packet, *field) {
                self.captured.insert(name.clone(), value);
            }
        }
    }
}

impl Occupation for Awaiting<'_> {
    fn takes(&mut self, packet: &Packet<'_>, _at: Instant) -> bool {
        if self.exchanged.len() < EXCHANGED_MAX {
            self.exchanged.extend(label(packet, self.version));
        }
        if !self.has_come && packet.packet_type() == self.packet {
            self.missing = self.missing.saturating_sub(1);
            self.has_come = self.missing == 0;
            self.keep(packet);
        } else if let Some(packet_type) = packet.packet_type()
            && self.unclaimed.len() < UNCLAIMED_MAX
        {
            let fields = Field::ALL.iter().filter_map(|(_, field)| Some((*field, value_of(packet, *field)?)));
            self.unclaimed.push(Unclaimed { packet: packet_type, fields: fields.collect() });
        }
        match packet {
            Packet::ConnAck(connack) if self.connacks_due > 0 => {
                self.connacks_due -= 1;
                self.connacks.push((connack.code, announced(packet)));
                self.keep_answer(label(packet, self.version));
                true
            }
            Packet::PingResp if self.pings_due > 0 => {
                self.pings_due -= 1;
                self.keep_answer(label(packet, self.version));
                true
            }
            Packet::Publish(publish) => {
                self.received += u64::from(self.topics.has(publish.topic));
                self.subscribed
            }
            _ => {
                let answer = answer(packet, self.version);
                let is_answer = answer.is_some();
                self.keep_answer(answer);
                is_answer
            }
        }
    }

    fn is_satisfied(&self) -> bool {
        self.has_come || self.enough.is_some_and(|enough| self.received >= enough)
    }
}

/// The variables that a CONNACK sets.
pub(super) fn announced(packet: &Packet<'_>) -> Variables {
    let Packet::ConnAck(connack) = packet else { return Variables::new() };
    let properties = connack.properties;
    let numbers = [
        ("receive_maximum", properties.receive_maximum().map(u64::from)),
        ("maximum_packet_size", properties.maximum_packet_size().map(u64::from)),
        ("topic_alias_maximum", properties.topic_alias_maximum().map(u64::from)),
    ];
    let numbers =
        numbers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::Number(value?))));
    numbers.collect()
}

fn value_of(packet: &Packet<'_>, field: Field) -> Option<Value> {
    let number = |number: u64| Some(Value::Number(number));
    match (field, packet) {
        (Field::PacketIdentifier, Packet::Publish(publish)) => number(publish.packet_identifier?.into()),
        (Field::PacketIdentifier, Packet::SubAck(suback)) => number(suback.packet_identifier.into()),
        (Field::PacketIdentifier, Packet::UnsubAck(unsuback)) => number(unsuback.packet_identifier.into()),
        (
            Field::PacketIdentifier,
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack),
        ) => number(ack.packet_identifier.into()),
        (Field::ReasonCode, Packet::ConnAck(connack)) => number(connack.code.into()),
        (Field::ReasonCode, Packet::SubAck(suback)) => number((*suback.reason_codes.first()?).into()),
        (
            Field::ReasonCode,
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack),
        ) => number(ack.reason_code.0.into()),
        (Field::ReasonCode, Packet::Disconnect(disconnect)) => number(disconnect.reason_code.0.into()),
        (Field::ReasonCode, Packet::Auth(auth)) => number(auth.reason_code.0.into()),
        (Field::Topic, Packet::Publish(publish)) => Some(Value::Bytes(publish.topic.as_bytes().to_vec())),
        (Field::Payload, Packet::Publish(publish)) => Some(Value::Bytes(publish.payload.to_vec())),
        _ => None,
    }
}

/// How long messages are still waited for after enough have come, or where none is expected.
pub(super) const SETTLE: Duration = Duration::from_millis(500);

/// The topics of an attempt. Some brokers send a subscriber messages that it did not ask for; on another topic than the attempt's
/// they are no sign of what it did.
#[derive(Debug)]
pub(super) struct Topics {
    /// What the topics of all attempts of the run begin with.
    pub(super) root: Arc<str>,
    /// What those of this attempt contain: its name.
    pub(super) name: String,
}

impl Topics {
    /// Whether a message on this topic counts: not those that the broker publishes by itself, nor those of other attempts.
    fn has(&self, topic: &str) -> bool {
        let is_of_another_attempt = topic.contains(&*self.root) && !topic.contains(&self.name);
        !topic.starts_with("$SYS/") && !is_of_another_attempt
    }
}

#[cfg(test)]
mod tests {
    use super::Topics;

    #[test]
    fn messages_of_other_attempts_and_of_the_broker_itself_do_not_count() {
        let topics = Topics { root: "ungraceful/7".into(), name: "c3".to_owned() };
        for (topic, counts) in [
            ("ungraceful/7/c3/a", true),
            ("$other/ungraceful/7/c3", true),
            ("ungraceful/7/will/c3", true),
            ("a topic of the scenario", true),
            ("ungraceful/7/c4/a", false),
            ("$SYS/broker/version", false),
        ] {
            assert_eq!(topics.has(topic), counts, "{topic}");
        }
    }
}
