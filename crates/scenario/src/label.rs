//! Packets that a broker sends, as text: what `answers` and `receives` compare.

use ungraceful_mqtt::{Packet, ProtocolVersion};

/// No packet at all.
pub const NONE: &str = "none";

/// A packet that answers something, with its first Reason Code if it has one, such as `SUBACK 0x8F`; absent for all others.
#[must_use]
pub fn answer(packet: &Packet<'_>, version: ProtocolVersion) -> Option<String> {
    let name = packet.packet_type()?.name();
    let code = match packet {
        // MQTT 3.1.1 has no Reason Code there.
        Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_)
            if version == ProtocolVersion::V3_1_1 =>
        {
            None
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            Some(ack.reason_code.0)
        }
        Packet::SubAck(suback) => suback.reason_codes.first().copied(),
        Packet::UnsubAck(unsuback) => unsuback.reason_codes.first().copied(),
        Packet::Auth(auth) => Some(auth.reason_code.0),
        _ => return None,
    };
    Some(code.map_or_else(|| name.to_owned(), |code| format!("{name} 0x{code:02X}")))
}

/// Any packet as text; absent for one of the reserved type.
#[must_use]
pub fn label(packet: &Packet<'_>, version: ProtocolVersion) -> Option<String> {
    let name = packet.packet_type()?.name();
    Some(match packet {
        Packet::ConnAck(connack) => format!("{name} 0x{:02X}", connack.code),
        Packet::Disconnect(disconnect) => format!("{name} 0x{:02X}", disconnect.reason_code.0),
        _ => answer(packet, version).unwrap_or_else(|| name.to_owned()),
    })
}

/// Packets in order, equal ones in a row once with their number.
#[must_use]
pub fn in_a_row(packets: &[String]) -> Vec<String> {
    let run = |run: &[String]| match run.len() {
        1 => run[0].clone(),
        times => format!("{} ×{times}", run[0]),
    };
    packets.chunk_by(|one, other| one == other).map(run).collect()
}
