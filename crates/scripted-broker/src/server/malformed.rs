//! Packets that the standard forbids: what is wrong with them, and the policy for them.

use ungraceful_mqtt::{Connect, Decoded, Frame, Oddity, Packet, ProtocolVersion, ReasonCode, Subscribe};

use super::connection::Phase;
use super::{ConnectionId, Server};
use crate::policy::{Greeting, Malformed};

impl Server {
    /// Applies the policy to a packet that deserves this Reason Code. False if the packet is acted on all the same.
    pub(super) fn rejects(&mut self, id: ConnectionId, code: ReasonCode) -> bool {
        match self.script.malformed {
            Malformed::Disconnect => self.disconnect(id, code),
            Malformed::Close => self.hang_up(id),
            Malformed::Ignore => {}
            Malformed::Obey => return false,
            Malformed::CrashBroker => self.crash_at(id),
        }
        true
    }

    /// Applies the policy to a malformed CONNECT. False if it is accepted all the same.
    pub(super) fn rejects_connect(&mut self, id: ConnectionId) -> bool {
        match self.script.malformed {
            // MQTT 5.0 [MQTT-3.1.4-1]: a CONNACK is optional.
            Malformed::Disconnect | Malformed::Close => self.hang_up(id),
            Malformed::Ignore | Malformed::Obey => return false,
            Malformed::CrashBroker => self.crash_at(id),
        }
        true
    }

    /// Acts on bytes that do not form a packet.
    pub(super) fn lose_track(&mut self, id: ConnectionId) {
        if self.phase(id) == Phase::AwaitingConnect && self.script.greeting == Greeting::Silent {
            self.set_phase(id, Phase::Muted);
        } else {
            self.rejects(id, ReasonCode::MALFORMED_PACKET);
        }
    }

    /// Acts on a first packet that is no CONNECT (`[MQTT-3.1.0-1]` of both versions).
    pub(super) fn receive_before_connect(&mut self, id: ConnectionId, found: Frame<'_>) {
        if self.rejects(id, ReasonCode::PROTOCOL_ERROR) {
            return;
        }
        // Nothing says which version it is.
        let is_v5 = found.decode(ProtocolVersion::V5).oddities.is_empty();
        self.receive_packet(id, found, if is_v5 { ProtocolVersion::V5 } else { ProtocolVersion::V3_1_1 });
    }

    /// Acts on bytes behind a DISCONNECT that has ended the connection.
    pub(super) fn receive_after_disconnect(&mut self, id: ConnectionId) {
        let has_left = |connection: &super::Connection| {
            connection.phase == Phase::Ended && connection.farewell.is_some()
        };
        if self.script.malformed == Malformed::CrashBroker && self.connections.get(&id).is_some_and(has_left)
        {
            self.crash_at(id);
        }
    }

    /// The whole broker goes down; until it has, this connection gets no more answers.
    fn crash_at(&mut self, id: ConnectionId) {
        if self.phase(id) != Phase::Ended {
            self.set_phase(id, Phase::Muted);
        }
        self.crash.notify_one();
    }
}

/// The Reason Code to close with after this packet from a Client; absent when the standard allows it.
pub(super) fn breach(decoded: &Decoded<'_>, version: ProtocolVersion) -> Option<ReasonCode> {
    let packet_type = decoded.packet.packet_type();
    if packet_type.is_some_and(|packet_type| !packet_type.may_come_from_client(version)) {
        return Some(ReasonCode::PROTOCOL_ERROR);
    }
    if let Packet::Unreadable { .. } = decoded.packet {
        return Some(ReasonCode::MALFORMED_PACKET);
    }
    if decoded.oddities.contains(Oddity::InvalidUtf8) {
        // Of such text there is only a part, which may be odd in other ways, too.
        return Some(ReasonCode::MALFORMED_PACKET);
    }
    let first = decoded.oddities.without(Oddity::DisconnectOnV3_1_1).iter().next()?;
    Some(match (first, &decoded.packet) {
        (Oddity::InvalidTopicFilter, _) => ReasonCode::TOPIC_FILTER_INVALID,
        (Oddity::WildcardInTopic, _) => ReasonCode::TOPIC_NAME_INVALID,
        // MQTT 5.0 section 3.8.3.1 makes QoS 3 a Protocol Error here; in a PUBLISH it is malformed.
        (Oddity::InvalidQos, Packet::Subscribe(_)) => ReasonCode::PROTOCOL_ERROR,
        (Oddity::InvalidSubscriptionOptions, Packet::Subscribe(subscribe))
            if !has_reserved_bits(subscribe) =>
        {
            ReasonCode::PROTOCOL_ERROR
        }
        (
            Oddity::PacketIdentifierZero
            | Oddity::EmptyTopic
            | Oddity::EmptyList
            | Oddity::DuplicateProperty
            | Oddity::BadPropertyValue
            | Oddity::MissingAuthenticationMethod
            | Oddity::UnknownReasonCode
            | Oddity::ReasonCodeNotAllowedHere,
            _,
        ) => ReasonCode::PROTOCOL_ERROR,
        _ => ReasonCode::MALFORMED_PACKET,
    })
}

/// Whether bits of Subscription Options are set that mean nothing in MQTT 5.0 (`MQTT 5.0 [MQTT-3.8.3-5]`).
fn has_reserved_bits(subscribe: &Subscribe<'_>) -> bool {
    subscribe.filters.iter().any(|subscription| subscription.options.bits() & 0xC0 != 0)
}

/// What can be guessed of a CONNECT that cannot be read: its level, and its ClientID if that is whole.
pub(super) fn guess(body: &[u8]) -> Connect<'_> {
    let behind_name = string(body).map_or(&[][..], |(_name, rest)| rest);
    let level = behind_name.first().copied();
    let client_id = behind_name.get(4..).and_then(|rest| {
        let rest = if level == Some(ProtocolVersion::V5.level()) { behind_properties(rest)? } else { rest };
        std::str::from_utf8(string(rest)?.0).ok()
    });
    Connect { protocol_level: level, keep_alive_s: 0, ..Connect::new(client_id.unwrap_or_default()) }
}

/// A string and what is behind it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// What is behind a Property Length and its properties.
fn behind_properties(bytes: &[u8]) -> Option<&[u8]> {
    let last = bytes.iter().take(4).position(|byte| *byte < 0x80)?;
    let (digits, rest) = bytes.split_at(last + 1);
    let length = digits.iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7F));
    rest.get(length..)
}

#[cfg(test)]
mod tests {
    use super::guess;

    #[test]
    fn a_client_id_is_guessed_where_it_is_whole() {
        let old = b"\x00\x04MQTT\x04\xC2\x00\x3C\x00\x02id\x00\x09us";
        let new = b"\x00\x04MQTT\x05\x82\x00\x3C\x05\x11\x00\x00\x00\x09\x00\x02id\x00\x09us";
        for (body, level) in [(&old[..], 4), (&new[..], 5)] {
            let guessed = guess(body);
            assert_eq!((guessed.client_id, guessed.protocol_level), ("id", Some(level)));
        }
        for body in [
            &b""[..],
            b"\x00\x09MQTT\x05",
            &new[..9],
            &new[..18],
            &old[..13],
            b"\x00\x00\x05\x00\x00\x00\xFF\xFF",
        ] {
            assert_eq!(guess(body).client_id, "", "{body:02X?}");
        }
        assert_eq!(guess(&new[..9]).protocol_level, Some(5));
    }
}
