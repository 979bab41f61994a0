//! DISCONNECT: the last packet of a Network Connection, and why (MQTT 5.0 section 3.14).
//!
//! The three-byte form without Property Length, which several brokers send, is legal and read as such.

use crate::encode::{self, EncodeError};
use crate::oddity::Oddity;
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::reader::Reader;
use crate::reason;
use crate::reason_code::ReasonCode;
use crate::version::ProtocolVersion;

/// The fields of a DISCONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disconnect<'a> {
    /// Why; [`ReasonCode::NORMAL_DISCONNECTION`] when the packet leaves it out, and always in MQTT 3.1.1.
    pub reason_code: ReasonCode,
    /// Properties; none in MQTT 3.1.1.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A DISCONNECT with this reason and no properties.
    pub const fn new(reason_code: ReasonCode) -> Self {
        Self { reason_code, properties: Properties::NONE }
    }

    /// Appends it in the shortest legal form: `E0 00`, `E0 01 xx`, or with properties.
    ///
    /// # Errors
    /// A Reason Code or property that DISCONNECT does not have, either of them in MQTT 3.1.1.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode::packet(out, PacketType::Disconnect.first_byte(), &[], |out| {
            reason::write(self.reason_code, self.properties, PacketType::Disconnect, version, out)
        })
    }

    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>, version: ProtocolVersion) -> Self {
        reader.note_if(version == ProtocolVersion::V3_1_1, Oddity::DisconnectOnV3_1_1);
        let (reason_code, properties) = reason::read(reader, version, PacketType::Disconnect);
        Self { reason_code, properties }
    }
}
