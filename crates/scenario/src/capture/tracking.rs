//! Which packets form a connection, which side is the client, and how the connection ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::headers::TcpPacket;
use super::reassembly::{Direction, Event, Stream};
use super::traffic;
use super::warnings::Findings;
use super::{CapturedConnection, End, How, Segment, Side};

/// The connections, in the order of their first packets. `packets` are in the order of their times.
pub(super) fn connections(packets: &[TcpPacket<'_>], warnings: &mut Vec<String>) -> Vec<CapturedConnection> {
    let mut tracked: Vec<Tracked<'_>> = Vec::new();
    let mut latest: HashMap<(SocketAddr, SocketAddr), usize> = HashMap::new();
    for (index, packet) in packets.iter().enumerate() {
        let key = (packet.from.min(packet.to), packet.from.max(packet.to));
        let known = latest.get(&key).and_then(|&place| tracked.get_mut(place));
        match known.filter(|connection| connection.continues_with(packet)) {
            Some(connection) => connection.take(index, packet),
            None => {
                latest.insert(key, tracked.len());
                let mut connection = Tracked::new(packet);
                connection.take(index, packet);
                tracked.push(connection);
            }
        }
    }
    let mut findings = Findings::default();
    let connections = tracked.into_iter().map(|tracked| tracked.finish(packets, &mut findings)).collect();
    findings.report(warnings);
    connections
}

/// The sender of the first packet, or the other side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    There,
    Back,
}

impl Way {
    const fn other(self) -> Self {
        match self {
            Self::There => Self::Back,
            Self::Back => Self::There,
        }
    }
}

/// One value for each way.
#[derive(Debug, Default)]
struct Ways<T> {
    there: T,
    back: T,
}

impl<T> Ways<T> {
    const fn get(&self, way: Way) -> &T {
        match way {
            Way::There => &self.there,
            Way::Back => &self.back,
        }
    }

    fn of(&mut self, way: Way) -> &mut T {
        match way {
            Way::There => &mut self.there,
            Way::Back => &mut self.back,
        }
    }
}

/// A connection whose packets are being collected.
#[derive(Debug)]
struct Tracked<'a> {
    first_sender: SocketAddr,
    first_receiver: SocketAddr,
    /// Who connected, if the capture has a SYN.
    connected_by: Option<Way>,
    /// The sequence numbers of the SYNs.
    syns: Ways<Option<u32>>,
    /// The sequence numbers of the first packets without SYN.
    firsts: Ways<Option<u32>>,
    directions: Ways<Direction<'a>>,
    end: Option<(Way, How, u64)>,
    /// Whether there was more than a handshake.
    is_under_way: bool,
}

impl<'a> Tracked<'a> {
    fn new(first: &TcpPacket<'_>) -> Self {
        Self {
            first_sender: first.from,
            first_receiver: first.to,
            connected_by: None,
            syns: Ways::default(),
            firsts: Ways::default(),
            directions: Ways::default(),
            end: None,
            is_under_way: false,
        }
    }

    fn way(&self, packet: &TcpPacket<'_>) -> Way {
        if packet.from == self.first_sender { Way::There } else { Way::Back }
    }

    /// Whether a packet between the same two addresses belongs to this connection, or begins a new one: a SYN that is no
    /// repetition, after the first one.
    fn continues_with(&self, packet: &TcpPacket<'_>) -> bool {
        if !packet.syn {
            return true;
        }
        let way = self.way(packet);
        match *self.syns.get(way) {
            Some(sequence) => sequence == packet.sequence,
            None => {
                let is_answer = packet.acknowledged.is_some() && self.connected_by == Some(way.other());
                !self.is_under_way || is_answer || self.is_late_beginning(way, packet)
            }
        }
    }

    /// Whether a SYN was captured after packets that follow it: their sequence numbers are just behind its own, or behind what
    /// it acknowledges.
    fn is_late_beginning(&self, way: Way, syn: &TcpPacket<'_>) -> bool {
        let follows = |way, start: u32| {
            self.firsts.get(way).is_some_and(|first| first.wrapping_sub(start) <= u32::from(u16::MAX))
        };
        follows(way, syn.sequence.wrapping_add(1))
            || syn.acknowledged.is_some_and(|acknowledged| follows(way.other(), acknowledged))
    }

    fn take(&mut self, index: usize, packet: &TcpPacket<'a>) {
        let way = self.way(packet);
        if packet.syn {
            self.take_syn(way, packet);
        } else if !packet.rst {
            self.firsts.of(way).get_or_insert(packet.sequence);
        }
        let how = if packet.rst { Some(How::Rst) } else { packet.fin.then_some(How::Fin) };
        if let Some(how) = how {
            self.end.get_or_insert((way, how, packet.at_ns));
        }
        self.is_under_way |= how.is_some() || !packet.payload.is_empty();
        // What follows RST is a text for people, if anything, and the number it acknowledges need not be valid.
        if packet.rst {
            return;
        }
        if !packet.payload.is_empty() || packet.cut > 0 || packet.fin {
            let sequence = packet.sequence.wrapping_add(u32::from(packet.syn));
            let (payload, cut, fin) = (packet.payload, packet.cut, packet.fin);
            self.directions.of(way).events.push(Event::Sent { index, sequence, payload, cut, fin });
        }
        if let Some(acknowledged) = packet.acknowledged {
            self.directions.of(way.other()).events.push(Event::Acknowledged(acknowledged));
        }
    }

    fn take_syn(&mut self, way: Way, packet: &TcpPacket<'_>) {
        *self.syns.of(way) = Some(packet.sequence);
        self.directions.of(way).start = Some(packet.sequence.wrapping_add(1));
        if packet.acknowledged.is_none() {
            self.connected_by.get_or_insert(way);
        } else {
            self.connected_by.get_or_insert(way.other());
            // The answer to SYN acknowledges it and nothing else, unless SYN carried data.
            let start = &mut self.directions.of(way.other()).start;
            *start = start.or(packet.acknowledged);
        }
    }

    fn finish(self, packets: &[TcpPacket<'_>], findings: &mut Findings) -> CapturedConnection {
        let there = self.directions.there.reassemble();
        let back = self.directions.back.reassemble();
        let at = |at_ns| Duration::from_nanos(at_ns);
        let mut connection = CapturedConnection {
            client: self.first_sender,
            server: self.first_receiver,
            has_beginning: self.connected_by.is_some(),
            segments: merged(&there, &back, packets),
            end: self.end.map(|(way, how, at_ns)| End { by: provisional(way), how, at: at(at_ns) }),
            gaps: gaps(&there) + gaps(&back),
        };
        let seen = self.connected_by.map(provisional).or_else(|| client_by_packets(&connection));
        let client = seen.unwrap_or_else(|| client_by_port(&connection));
        let (mut from_client, mut from_server) = (there.missing_at_end, back.missing_at_end);
        if client == Side::Server {
            connection.swap_sides();
            (from_client, from_server) = (from_server, from_client);
        }
        if seen.is_none() && !connection.segments.is_empty() {
            findings.note_client_by_port(&connection);
        }
        findings.note(&connection, from_client, from_server);
        connection
    }
}

/// The side that a way is taken for until it is known which one is the client.
const fn provisional(way: Way) -> Side {
    match way {
        Way::There => Side::Client,
        Way::Back => Side::Server,
    }
}

/// Who the client is by what the sides sent; absent if that does not show it.
fn client_by_packets(connection: &CapturedConnection) -> Option<Side> {
    [Side::Client, Side::Server].into_iter().find_map(|side| match traffic::sender(&connection.head(side))? {
        Side::Client => Some(side),
        Side::Server => Some(side.other()),
    })
}

/// Ports of clients are mostly higher than those of servers.
fn client_by_port(connection: &CapturedConnection) -> Side {
    if connection.server.port() > connection.client.port() { Side::Server } else { Side::Client }
}

fn gaps(stream: &Stream<'_>) -> u64 {
    let holes = stream.parts.iter().filter(|part| part.missing_before > 0).count();
    u64::try_from(holes).unwrap_or(u64::MAX) + u64::from(stream.missing_at_end > 0)
}

/// Both streams in the order in which their bytes became readable.
fn merged(there: &Stream<'_>, back: &Stream<'_>, packets: &[TcpPacket<'_>]) -> Vec<Segment> {
    let of = |stream: &'_ Stream<'_>, way| {
        let segments = stream.parts.iter().map(|part| {
            let at_ns = packets.get(part.index).map_or(0, |packet| packet.at_ns);
            let segment = Segment {
                from: provisional(way),
                at: Duration::from_nanos(at_ns),
                missing_before: part.missing_before,
                bytes: part.bytes.to_vec(),
            };
            (part.index, segment)
        });
        segments.collect::<Vec<_>>()
    };
    let mut segments = of(there, Way::There);
    segments.extend(of(back, Way::Back));
    segments.sort_by_key(|(index, _)| *index);
    segments.into_iter().map(|(_, segment)| segment).collect()
}

impl CapturedConnection {
    fn swap_sides(&mut self) {
        std::mem::swap(&mut self.client, &mut self.server);
        for segment in &mut self.segments {
            segment.from = segment.from.other();
        }
        if let Some(end) = &mut self.end {
            end.by = end.by.other();
        }
    }
}
