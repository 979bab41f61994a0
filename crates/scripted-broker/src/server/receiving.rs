//! One packet of a Client whose CONNECT was accepted: what it breaks, and which file acts on it.

use ungraceful_mqtt::{Frame, Oddity, Packet, PacketType, ProtocolVersion, QoS, ReasonCode};

use super::{ConnectionId, Server, malformed};
use crate::policy::InvalidFilters;

impl Server {
    /// Acts on any packet but the first of a connection.
    pub(super) fn receive_packet(&mut self, id: ConnectionId, found: Frame<'_>, version: ProtocolVersion) {
        if version == ProtocolVersion::V5
            && self.is_too_large(found.len())
            // MQTT 5.0 section 3.2.2.3.6.
            && self.rejects(id, ReasonCode::PACKET_TOO_LARGE)
        {
            return;
        }
        let decoded = found.decode(version);
        if found.packet_type() == Some(PacketType::Connect) {
            return self.connect_again(id, &decoded.packet);
        }
        if let Packet::Subscribe(subscribe) = &decoded.packet
            && self.script.invalid_filters != InvalidFilters::Close
            && decoded.oddities == [Oddity::InvalidTopicFilter].into_iter().collect()
        {
            return self.answer_invalid_filter(id, subscribe);
        }
        if let Some(code) = malformed::breach(&decoded, version)
            && self.rejects(id, code)
        {
            return;
        }
        self.act_on(id, &decoded.packet);
    }

    /// Acts on a packet, legal or not.
    fn act_on(&mut self, id: ConnectionId, packet: &Packet<'_>) {
        match packet {
            Packet::Publish(publish) => self.publish(id, publish),
            Packet::PubAck(ack) => self.finish(id, ack.packet_identifier, QoS::AtLeastOnce),
            Packet::PubRec(ack) => self.release(id, ack),
            Packet::PubRel(ack) => self.complete(id, ack.packet_identifier),
            Packet::PubComp(ack) => self.finish(id, ack.packet_identifier, QoS::ExactlyOnce),
            Packet::Subscribe(subscribe) => self.subscribe(id, subscribe),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(id, unsubscribe),
            Packet::PingReq if self.is_starving(id) => {}
            Packet::PingReq => self.reply(id, &Packet::PingResp),
            Packet::Disconnect(disconnect) => self.receive_disconnect(id, disconnect),
            Packet::Auth(auth) => self.authenticate_again(id, auth),
            // CONNECT has its own paths; of the rest there is nothing to act on.
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Unreadable { .. } => {}
        }
    }

    /// Whether a packet of this many bytes exceeds the Maximum Packet Size in the CONNACK.
    fn is_too_large(&self, bytes: usize) -> bool {
        let limit = self.script.maximum_packet_size;
        limit.is_some_and(|limit| bytes > usize::try_from(limit.get()).unwrap_or(usize::MAX))
    }
}
