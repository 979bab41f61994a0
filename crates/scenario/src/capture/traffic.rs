//! What the bytes of a connection are, judged by how they begin.

use ungraceful_mqtt::{Framed, Packet, PacketType, ProtocolVersion, frame};

use super::Side;

/// What a connection carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Content {
    /// MQTT in the clear.
    Mqtt,
    /// TLS. Whether MQTT is in it can't be seen, and the bytes can't be replayed: the other side would have other keys.
    Tls,
    /// A WebSocket handshake, or MQTT frames of WebSocket after one.
    WebSocket,
    /// Bytes of something else, or of the middle of something.
    Unknown,
    /// No bytes from either side.
    Nothing,
}

impl Content {
    /// `is_middle`: whether the first bytes of the client are missing, so that what is there may begin anywhere.
    pub(super) fn of(client: &[u8], server: &[u8], is_middle: bool) -> Self {
        if client.is_empty() && server.is_empty() {
            Self::Nothing
        } else if is_connect(client) {
            Self::Mqtt
        } else if is_tls(client) || is_tls(server) {
            Self::Tls
        } else if is_websocket(client, b"get ") || is_websocket(server, b"http/1.1 101") {
            Self::WebSocket
        } else if is_middle && is_packets_of(client, Side::Client) && is_packets_of(server, Side::Server) {
            Self::Mqtt
        } else {
            Self::Unknown
        }
    }
}

/// Which side sends such bytes: the first packet that only Clients or only Servers send shows it.
pub(super) fn sender(bytes: &[u8]) -> Option<Side> {
    if is_connect(bytes) {
        return Some(Side::Client);
    }
    if !is_packets(bytes) {
        return None;
    }
    Packets(bytes).find_map(|frame| match frame.packet_type()? {
        PacketType::Connect | PacketType::Subscribe | PacketType::Unsubscribe | PacketType::PingReq => {
            Some(Side::Client)
        }
        PacketType::ConnAck | PacketType::SubAck | PacketType::UnsubAck | PacketType::PingResp => {
            Some(Side::Server)
        }
        _ => None,
    })
}

/// Whether these bytes begin a CONNECT, legal or not: the type, and the protocol name of 3.1.1 and 5.0 or that of 3.1.
pub(super) fn is_connect(bytes: &[u8]) -> bool {
    let Some((first, rest)) = bytes.split_first() else { return false };
    let length = rest.iter().take(4).take_while(|byte| **byte >= 0x80).count() + 1;
    let name = rest.get(length..).unwrap_or_default();
    first >> 4 == PacketType::Connect.nibble()
        && (name.starts_with(b"\x00\x04MQTT") || name.starts_with(b"\x00\x06MQIsdp"))
}

/// Whether these bytes begin a record of TLS: its type, and a version from SSL 3.0 to TLS 1.3.
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x14..=0x17, 3, 0..=4, ..])
}

fn is_websocket(bytes: &[u8], first_line: &[u8]) -> bool {
    let head = bytes[..bytes.len().min(4096)].to_ascii_lowercase();
    head.starts_with(first_line) && head.windows(9).any(|part| part == b"websocket")
}

/// Whether these bytes may be what this side sends; true for none.
fn is_packets_of(bytes: &[u8], side: Side) -> bool {
    bytes.is_empty() || is_packets(bytes) && sender(bytes).is_none_or(|sender| sender == side)
}

/// Whether these bytes are nothing but legal packets, of either version; the last one may be incomplete.
fn is_packets(bytes: &[u8]) -> bool {
    ProtocolVersion::ALL.iter().any(|version| {
        let mut packets = Packets(bytes);
        let mut count = 0;
        for packet in packets.by_ref() {
            let has_legal_flags = packet.packet_type().is_some_and(|packet_type| {
                packet_type.required_flags().is_none_or(|flags| flags == packet.flags())
            });
            if !has_legal_flags || matches!(packet.decode(*version).packet, Packet::Unreadable { .. }) {
                return false;
            }
            count += 1;
        }
        count > 0 && !matches!(frame(packets.0), Framed::Malformed(_))
    })
}

/// Whole packets at the head of bytes.
struct Packets<'a>(&'a [u8]);

impl<'a> Iterator for Packets<'a> {
    type Item = ungraceful_mqtt::Frame<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let Framed::Complete(frame) = frame(self.0) else { return None };
        self.0 = &self.0[frame.len()..];
        Some(frame)
    }
}
