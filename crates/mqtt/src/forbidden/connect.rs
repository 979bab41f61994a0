//! A CONNECT with every field free. The faults that spoil a CONNECT use it.

use super::Forged;
use crate::connect::Connect;
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::version::ProtocolVersion;

/// The fields of a CONNECT, none of which is checked; flags and fields need not agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForgedConnect<'a> {
    /// The protocol name, `MQTT` if legal.
    pub protocol_name: &'a [u8],
    /// The level byte, 4 or 5 if legal; it does not decide the layout, the fields here do.
    pub protocol_level: u8,
    /// The Connect Flags byte as it is to be written, whatever fields follow.
    pub connect_flags: u8,
    /// Keep Alive in seconds.
    pub keep_alive_s: u16,
    /// Property Length and properties; absent for the 3.1.1 layout.
    pub properties: Option<Properties<'a>>,
    /// The Client Identifier's bytes; absent to end the packet before it.
    pub client_id: Option<&'a [u8]>,
    /// The Will's fields; absent to leave them out.
    pub will: Option<ForgedWill<'a>>,
    /// The user name's bytes; absent to leave it out.
    pub user_name: Option<&'a [u8]>,
    /// The password; absent to leave it out.
    pub password: Option<&'a [u8]>,
}

/// The Will fields of a forged CONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForgedWill<'a> {
    /// Property Length and Will Properties; absent for the 3.1.1 layout.
    pub properties: Option<Properties<'a>>,
    /// The Will Topic's bytes.
    pub topic: &'a [u8],
    /// The Will Payload.
    pub payload: &'a [u8],
}

impl<'a> ForgedConnect<'a> {
    /// The fields of this legal CONNECT, to be spoiled one by one.
    pub fn like(connect: &Connect<'a>, version: ProtocolVersion) -> Self {
        let in_5 = |properties| (version == ProtocolVersion::V5).then_some(properties);
        Self {
            protocol_name: connect.protocol_name,
            protocol_level: connect.protocol_level.unwrap_or(version.level()),
            connect_flags: connect.connect_flags(),
            keep_alive_s: connect.keep_alive_s,
            properties: in_5(connect.properties),
            client_id: Some(connect.client_id.as_bytes()),
            will: connect.will.map(|will| ForgedWill {
                properties: in_5(will.properties),
                topic: will.topic.as_bytes(),
                payload: will.payload,
            }),
            user_name: connect.user_name.map(str::as_bytes),
            password: connect.password,
        }
    }

    /// The packet.
    pub fn forge(&self) -> Forged {
        let mut packet = Forged::of_type(PacketType::Connect)
            .string(self.protocol_name)
            .byte(self.protocol_level)
            .byte(self.connect_flags)
            .two_bytes(self.keep_alive_s)
            .optional_properties(self.properties);
        if let Some(client_id) = self.client_id {
            packet = packet.string(client_id);
        }
        if let Some(will) = &self.will {
            packet = packet.optional_properties(will.properties).string(will.topic).string(will.payload);
        }
        for field in [self.user_name, self.password].into_iter().flatten() {
            packet = packet.string(field);
        }
        packet
    }
}
