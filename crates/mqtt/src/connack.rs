//! CONNACK: the Server's answer to a CONNECT (MQTT 5.0 section 3.2, MQTT 3.1.1 section 3.2).

use crate::encode::{self, EncodeError};
use crate::oddity::Oddity;
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::reader::{DecodeError, Reader};
use crate::reason;
use crate::reason_code::{ConnectReturnCode, ReasonCode};
use crate::version::ProtocolVersion;

/// The fields of a CONNACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnAck<'a> {
    /// Session Present: whether the Server goes on with a session it has kept.
    pub session_present: bool,
    /// The code as it stands: a Reason Code in MQTT 5.0, a Connect Return Code in MQTT 3.1.1; 0 accepts.
    pub code: u8,
    /// Properties; none in MQTT 3.1.1.
    pub properties: Properties<'a>,
}

impl<'a> ConnAck<'a> {
    /// A CONNACK with this code, Session Present 0 and no properties.
    pub const fn new(code: u8) -> Self {
        Self { session_present: false, code, properties: Properties::NONE }
    }

    /// The code read as one of MQTT 5.0.
    #[inline]
    pub const fn reason_code(&self) -> ReasonCode {
        ReasonCode(self.code)
    }

    /// The code read as one of MQTT 3.1.1.
    #[inline]
    pub const fn return_code(&self) -> ConnectReturnCode {
        ConnectReturnCode(self.code)
    }

    /// Whether the Server takes the connection, in either version.
    #[inline]
    pub const fn is_accepted(&self) -> bool {
        self.code == 0
    }

    /// Appends it.
    ///
    /// # Errors
    /// A code or property the version's CONNACK does not have, Session Present beside a refusal.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode::packet(out, PacketType::ConnAck.first_byte(), &[], |out| {
            encode::forbid(self.session_present && self.code != 0, Oddity::SessionPresentWithError)?;
            match version {
                ProtocolVersion::V3_1_1 => {
                    encode::forbid(self.return_code().name().is_none(), Oddity::UnknownReasonCode)?;
                }
                ProtocolVersion::V5 => reason::check_code(self.reason_code(), PacketType::ConnAck)?,
            }
            encode::byte(out, u8::from(self.session_present));
            encode::byte(out, self.code);
            self.properties.write(PacketType::ConnAck, version, out)
        })
    }

    pub(crate) fn read(reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let flags = reader.byte().ok_or(DecodeError::Truncated("Connect Acknowledge Flags"))?;
        let code = reader.byte().ok_or(DecodeError::Truncated("Reason Code"))?;
        let session_present = flags & 1 != 0;
        reader.note_if(flags & !1 != 0, Oddity::ReservedBits);
        reader.note_if(session_present && code != 0, Oddity::SessionPresentWithError);
        let properties = match version {
            ProtocolVersion::V3_1_1 => {
                reader.note_if(ConnectReturnCode(code).name().is_none(), Oddity::UnknownReasonCode);
                Properties::NONE
            }
            ProtocolVersion::V5 => {
                reason::note_code(reader, ReasonCode(code), PacketType::ConnAck);
                reader.properties(PacketType::ConnAck.into())
            }
        };
        Ok(Self { session_present, code, properties })
    }
}
