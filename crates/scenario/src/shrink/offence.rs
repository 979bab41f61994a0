//! What a scenario does that the standard forbids, as far as its bytes show.
//!
//! A smaller scenario that is legal would "show" a broker that serves its client, as every broker should. So where a finding rests on a
//! rule, whatever breaks the rule has to stay, and nothing else may be broken.

use std::collections::BTreeSet;

use ungraceful_mqtt::{Framed, Oddity, Packet, PacketType, ProtocolVersion, QoS, frame};

use super::sent::{Sent, sent};
use crate::model::{Scenario, provoking_step};

/// Something forbidden, with the packet in which it is; without one where no packet can be read.
type Offence = (Option<&'static str>, What);

/// What is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Within a packet.
    Odd(Oddity),
    /// Its fields can't be read.
    Unreadable,
    /// Its Remaining Length has too many bytes.
    Malformed,
    /// Its end is missing.
    Incomplete,
    /// Another packet than CONNECT begins a connection.
    NotConnect,
    /// A CONNECT follows another.
    SecondConnect,
    /// It follows a DISCONNECT.
    AfterDisconnect,
    /// Only a broker sends it.
    OfServer,
    /// Its Packet Identifier was used before on the connection, and may still be in use.
    IdentifierAgain,
    /// A PUBREL for which there was no PUBLISH with QoS 2.
    Unasked,
    /// A Topic Alias in place of a topic that it does not stand for yet.
    UnmappedAlias,
}

/// What has to stay as it is.
#[derive(Clone, Debug)]
pub(super) struct Offences {
    /// What the provoking step does. It stays.
    essential: BTreeSet<Offence>,
    /// What all steps do. There is nothing else.
    all: BTreeSet<Offence>,
}

impl Offences {
    /// Those of a scenario; absent where its bytes can't be known.
    pub(super) fn of(scenario: &Scenario) -> Option<Self> {
        let sent = sent(scenario).ok()?;
        let version = scenario.versions.first().copied()?;
        let provoking = provoking_step(&scenario.steps)?;
        let (mut essential, mut all) = (BTreeSet::new(), BTreeSet::new());
        let clients: BTreeSet<&str> = sent.iter().map(|sent| &*sent.client).collect();
        for client in clients {
            let of_client = sent.iter().filter(|sent| sent.client == client);
            let mut connection = Connection::new(version);
            for part in of_client {
                let (opens, ends) = (part.opens, part.ends);
                if opens {
                    all.extend(connection.close());
                }
                let found = connection.take(part);
                if part.step == provoking {
                    essential.extend(found.iter().copied());
                    // An unfinished packet of the provoking step is what provokes.
                    essential.extend(connection.unfinished());
                }
                all.extend(found);
                if ends {
                    all.extend(connection.close());
                }
            }
            all.extend(connection.unfinished());
        }
        all.extend(essential.iter().copied());
        Some(Self { essential, all })
    }

    /// Whether no step breaks a rule, as far as the bytes show.
    pub(super) fn is_invisible(&self) -> bool {
        self.essential.is_empty()
    }

    /// Whether another scenario breaks the rule that this one breaks, and no other.
    pub(super) fn are_kept_by(&self, other: &Scenario) -> bool {
        Self::of(other).is_some_and(|other| {
            other.essential.is_superset(&self.essential) && other.all.is_subset(&self.all)
        })
    }
}

/// What a client has sent on a connection.
struct Connection {
    version: ProtocolVersion,
    /// Bytes that are no whole packet yet.
    rest: Vec<u8>,
    packets: u64,
    is_connected: bool,
    is_disconnected: bool,
    is_broken: bool,
    identifiers: BTreeSet<u16>,
    exactly_once: BTreeSet<u16>,
    aliases: BTreeSet<u16>,
}

impl Connection {
    const fn new(version: ProtocolVersion) -> Self {
        Self {
            version,
            rest: Vec::new(),
            packets: 0,
            is_connected: false,
            is_disconnected: false,
            is_broken: false,
            identifiers: BTreeSet::new(),
            exactly_once: BTreeSet::new(),
            aliases: BTreeSet::new(),
        }
    }

    /// An unfinished packet.
    fn unfinished(&self) -> Option<Offence> {
        (!self.rest.is_empty() && !self.is_broken).then_some((None, What::Incomplete))
    }

    /// Begins a new connection.
    fn close(&mut self) -> Option<Offence> {
        let unfinished = self.unfinished();
        *self = Self::new(self.version);
        unfinished
    }

    /// The offences in what is sent now.
    fn take(&mut self, sent: &Sent) -> Vec<Offence> {
        let mut found = Vec::new();
        self.rest.extend(&sent.bytes);
        let bytes = std::mem::take(&mut self.rest);
        let mut at = 0;
        while !self.is_broken && at < bytes.len() {
            match frame(&bytes[at..]) {
                Framed::Incomplete { .. } => break,
                Framed::Malformed(_) => {
                    self.is_broken = true;
                    found.push((None, What::Malformed));
                }
                Framed::Complete(whole) => {
                    let decoded = whole.decode(self.version);
                    let name = decoded.packet.packet_type().map(PacketType::name);
                    let odd = decoded.oddities.without(Oddity::DisconnectOnV3_1_1);
                    found.extend(odd.iter().map(|oddity| (name, What::Odd(oddity))));
                    found.extend(self.out_of_place(&decoded.packet).into_iter().map(|what| (name, what)));
                    at += whole.len();
                }
            }
        }
        self.rest = bytes[at..].to_vec();
        found
    }

    /// What is wrong about a packet because of those before it.
    fn out_of_place(&mut self, packet: &Packet<'_>) -> Vec<What> {
        let mut found = Vec::new();
        let mut when = |is_so: bool, what: What| {
            if is_so {
                found.push(what);
            }
        };
        when(self.packets == 0 && !matches!(packet, Packet::Connect(_)), What::NotConnect);
        when(self.is_disconnected, What::AfterDisconnect);
        self.packets += 1;
        match packet {
            Packet::Connect(_) => {
                when(self.is_connected, What::SecondConnect);
                self.is_connected = true;
            }
            Packet::Disconnect(_) => self.is_disconnected = true,
            Packet::Unreadable { .. } => when(true, What::Unreadable),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                when(true, What::OfServer);
            }
            Packet::PubRel(ack) => {
                when(!self.exactly_once.contains(&ack.packet_identifier), What::Unasked);
            }
            Packet::Subscribe(subscribe) => {
                when(!self.identifiers.insert(subscribe.packet_identifier), What::IdentifierAgain);
            }
            Packet::Unsubscribe(unsubscribe) => {
                when(!self.identifiers.insert(unsubscribe.packet_identifier), What::IdentifierAgain);
            }
            Packet::Publish(publish) => {
                if let Some(alias) = publish.properties.topic_alias() {
                    when(publish.topic.is_empty() && !self.aliases.contains(&alias), What::UnmappedAlias);
                    if !publish.topic.is_empty() {
                        self.aliases.insert(alias);
                    }
                }
                if let Some(identifier) = publish.packet_identifier {
                    when(!self.identifiers.insert(identifier), What::IdentifierAgain);
                    if publish.qos == QoS::ExactlyOnce {
                        self.exactly_once.insert(identifier);
                    }
                }
            }
            _ => {}
        }
        found
    }
}
