//! Writes packets and capture files for the tests of this module: a second opinion on the formats, sharing nothing with the
//! reader.

use std::net::{IpAddr, SocketAddr};

pub(super) const CLIENT: &str = "10.0.0.1:40000";
pub(super) const SERVER: &str = "10.0.0.2:1883";

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const ACK: u8 = 16;

/// A legal CONNECT of MQTT 5.0 with the ClientID `c1`.
pub(super) const CONNECT: &[u8] = b"\x10\x0F\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x02c1";
pub(super) const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];

/// One TCP packet.
#[derive(Clone, Debug)]
pub(super) struct Tcp {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) sequence: u32,
    pub(super) acknowledged: u32,
    pub(super) flags: u8,
    pub(super) payload: Vec<u8>,
}

/// A packet of the client; without payload, only its flags say something.
pub(super) fn client(sequence: u32, acknowledged: u32, flags: u8, payload: &[u8]) -> Tcp {
    let (from, to) = (CLIENT.parse().unwrap(), SERVER.parse().unwrap());
    Tcp { from, to, sequence, acknowledged, flags, payload: payload.to_vec() }
}

/// A packet of the server.
pub(super) fn server(sequence: u32, acknowledged: u32, flags: u8, payload: &[u8]) -> Tcp {
    client(sequence, acknowledged, flags, payload).reversed()
}

/// Client at 1000 and server at 5000: the first bytes have the numbers 1001 and 5001.
pub(super) fn handshake() -> Vec<Tcp> {
    vec![client(1000, 0, SYN, b""), server(5000, 1001, SYN | ACK, b""), client(1001, 5001, ACK, b"")]
}

impl Tcp {
    pub(super) fn reversed(self) -> Self {
        Self { from: self.to, to: self.from, ..self }
    }

    pub(super) fn between(self, from: &str, to: &str) -> Self {
        Self { from: from.parse().unwrap(), to: to.parse().unwrap(), ..self }
    }

    /// The IP packet.
    pub(super) fn ip(&self) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(self.from.port().to_be_bytes());
        tcp.extend(self.to.port().to_be_bytes());
        tcp.extend(self.sequence.to_be_bytes());
        tcp.extend(self.acknowledged.to_be_bytes());
        // A header of 24 bytes, with the option for the maximum segment size.
        tcp.extend([0x60, self.flags, 0xFF, 0xFF, 0, 0, 0, 0, 2, 4, 5, 0xB4]);
        tcp.extend(&self.payload);
        let mut packet = Vec::new();
        match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                packet.extend([0x45, 0]);
                packet.extend(u16::try_from(20 + tcp.len()).unwrap().to_be_bytes());
                packet.extend([0, 1, 0x40, 0, 64, 6, 0, 0]);
                packet.extend(from.octets());
                packet.extend(to.octets());
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                packet.extend([0x60, 0, 0, 0]);
                // A Destination Options header with padding goes before TCP.
                packet.extend(u16::try_from(8 + tcp.len()).unwrap().to_be_bytes());
                packet.extend([60, 64]);
                packet.extend(from.octets());
                packet.extend(to.octets());
                packet.extend([6, 0, 1, 4, 0, 0, 0, 0]);
            }
            _ => panic!("addresses of two kinds"),
        }
        packet.extend(tcp);
        packet
    }

    /// The packet with the link header of this type.
    pub(super) fn linked(&self, link: u16) -> Vec<u8> {
        let ip = self.ip();
        let ether_type: [u8; 2] = if self.from.is_ipv4() { [0x08, 0] } else { [0x86, 0xDD] };
        let mut packet = match link {
            1 => [&[0; 12], &ether_type[..]].concat(),
            0 => vec![if self.from.is_ipv4() { 2 } else { 30 }, 0, 0, 0],
            108 => vec![0, 0, 0, 2],
            101 | 228 => Vec::new(),
            113 => [&[0; 14], &ether_type[..]].concat(),
            276 => [&ether_type[..], &[0; 18]].concat(),
            other => panic!("no header for {other}"),
        };
        packet.extend(ip);
        // Ethernet packets are at least 60 bytes long.
        if link == 1 && packet.len() < 60 {
            packet.resize(60, 0xEE);
        }
        packet
    }
}

/// The byte order of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn two(self, value: u16) -> [u8; 2] {
        if self == Self::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(super) fn four(self, value: u32) -> [u8; 4] {
        if self == Self::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

/// A pcap file being written; each packet is a millisecond after the one before.
pub(super) struct Pcap {
    order: Order,
    nanoseconds: bool,
    count: u32,
    pub(super) bytes: Vec<u8>,
}

impl Pcap {
    pub(super) fn new(order: Order, nanoseconds: bool, link: u16) -> Self {
        let mut bytes = order.four(if nanoseconds { 0xA1B2_3C4D } else { 0xA1B2_C3D4 }).to_vec();
        bytes.extend(order.two(2));
        bytes.extend(order.two(4));
        for value in [0, 0, 262_144, u32::from(link)] {
            bytes.extend(order.four(value));
        }
        Self { order, nanoseconds, count: 0, bytes }
    }

    /// `cut` bytes of the end of the packet are left out.
    pub(super) fn packet(&mut self, packet: &[u8], cut: usize) {
        let fraction = self.count * if self.nanoseconds { 1_000_000 } else { 1000 };
        let lengths = [packet.len() - cut, packet.len()].map(|length| u32::try_from(length).unwrap());
        for value in [1_700_000_000, fraction, lengths[0], lengths[1]] {
            self.bytes.extend(self.order.four(value));
        }
        self.bytes.extend(&packet[..packet.len() - cut]);
        self.count += 1;
    }
}

/// Ethernet in a pcap file of the usual kind.
pub(super) fn pcap(packets: &[Tcp]) -> Vec<u8> {
    let mut file = Pcap::new(Order::Little, false, 1);
    for packet in packets {
        file.packet(&packet.linked(1), 0);
    }
    file.bytes
}

/// A pcapng file being written.
pub(super) struct Pcapng {
    order: Order,
    pub(super) bytes: Vec<u8>,
}

impl Pcapng {
    pub(super) fn new(order: Order) -> Self {
        let mut file = Self { order, bytes: Vec::new() };
        file.section(order);
        file
    }

    pub(super) fn section(&mut self, order: Order) {
        self.order = order;
        let mut body = order.four(0x1A2B_3C4D).to_vec();
        body.extend(order.two(1));
        body.extend(order.two(0));
        body.extend([0xFF; 8]);
        self.block(0x0A0D_0D0A, &body);
    }

    /// `options`: code and value of each.
    pub(super) fn interface(&mut self, link: u16, snapshot_length: u32, options: &[(u16, &[u8])]) {
        let mut body = self.order.two(link).to_vec();
        body.extend([0, 0]);
        body.extend(self.order.four(snapshot_length));
        for (code, value) in options {
            body.extend(self.order.two(*code));
            body.extend(self.order.two(u16::try_from(value.len()).unwrap()));
            body.extend(padded(value));
        }
        self.block(1, &body);
    }

    pub(super) fn enhanced(&mut self, interface: u32, ticks: u64, packet: &[u8]) {
        let length = u32::try_from(packet.len()).unwrap();
        let (high, low) = (u32::try_from(ticks >> 32).unwrap(), u32::try_from(ticks & 0xFFFF_FFFF).unwrap());
        let mut body = Vec::new();
        for value in [interface, high, low, length, length] {
            body.extend(self.order.four(value));
        }
        body.extend(padded(packet));
        self.block(6, &body);
    }

    /// As much of the packet as the interface's snapshot length lets through.
    pub(super) fn simple(&mut self, packet: &[u8], snapshot_length: usize) {
        let mut body = self.order.four(u32::try_from(packet.len()).unwrap()).to_vec();
        body.extend(padded(&packet[..packet.len().min(snapshot_length)]));
        self.block(3, &body);
    }

    pub(super) fn block(&mut self, block_type: u32, body: &[u8]) {
        let length = self.order.four(u32::try_from(body.len() + 12).unwrap());
        self.bytes.extend(self.order.four(block_type));
        self.bytes.extend(length);
        self.bytes.extend(body);
        self.bytes.extend(length);
    }
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    padded
}
