//! A PUBLISH with every field free. The faults that spoil a PUBLISH use it.

use super::Forged;
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::publish::Publish;
use crate::version::ProtocolVersion;

/// The fields of a PUBLISH, none of which is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForgedPublish<'a> {
    /// DUP.
    pub dup: bool,
    /// The two QoS bits, 0 to 3.
    pub qos: u8,
    /// RETAIN.
    pub retain: bool,
    /// The Topic Name's bytes, with wildcards, without UTF-8, or none.
    pub topic: &'a [u8],
    /// The Packet Identifier, 0 included; absent to leave it out at any QoS.
    pub packet_identifier: Option<u16>,
    /// Property Length and properties; absent for the 3.1.1 layout.
    pub properties: Option<Properties<'a>>,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> ForgedPublish<'a> {
    /// The fields of this legal PUBLISH, to be spoiled one by one.
    pub fn like(publish: &Publish<'a>, version: ProtocolVersion) -> Self {
        Self {
            dup: publish.dup,
            qos: publish.qos.level(),
            retain: publish.retain,
            topic: publish.topic.as_bytes(),
            packet_identifier: publish.packet_identifier,
            properties: (version == ProtocolVersion::V5).then_some(publish.properties),
            payload: publish.payload,
        }
    }

    /// The packet.
    pub fn forge(&self) -> Forged {
        let flags = u8::from(self.dup) << 3 | (self.qos & 3) << 1 | u8::from(self.retain);
        let mut packet = Forged::of_type(PacketType::Publish).flags(flags).string(self.topic);
        if let Some(identifier) = self.packet_identifier {
            packet = packet.two_bytes(identifier);
        }
        packet.optional_properties(self.properties).raw(self.payload)
    }
}
