//! AUTH: a step of enhanced authentication, MQTT 5.0 only (section 3.15).

use crate::encode::{self, EncodeError};
use crate::oddity::Oddity;
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::reader::Reader;
use crate::reason;
use crate::reason_code::ReasonCode;
use crate::version::ProtocolVersion;

/// The fields of an AUTH.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Auth<'a> {
    /// Which step it is; [`ReasonCode::SUCCESS`] when the packet leaves it out.
    pub reason_code: ReasonCode,
    /// Properties, among them the Authentication Method.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    /// An AUTH with this Reason Code and these properties.
    pub const fn new(reason_code: ReasonCode, properties: Properties<'a>) -> Self {
        Self { reason_code, properties }
    }

    /// Appends it: `F0 00`, or Reason Code, Property Length and properties.
    ///
    /// # Errors
    /// MQTT 3.1.1, a Reason Code or property that AUTH does not have, no Authentication Method unless it is `F0 00`.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if version == ProtocolVersion::V3_1_1 {
            return Err(EncodeError::NotInThisVersion("AUTH"));
        }
        encode::packet(out, PacketType::Auth.first_byte(), &[], |out| {
            encode::forbid(self.lacks_method(), Oddity::MissingAuthenticationMethod)?;
            reason::write(self.reason_code, self.properties, PacketType::Auth, version, out)
        })
    }

    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>, version: ProtocolVersion) -> Self {
        reader.note_if(version == ProtocolVersion::V3_1_1, Oddity::AuthOnV3_1_1);
        // An AUTH on a 3.1.1 connection is odd as a whole, so its fields are read as the 5.0 ones they are.
        let (reason_code, properties) = reason::read(reader, ProtocolVersion::V5, PacketType::Auth);
        let auth = Self { reason_code, properties };
        reader.note_if(auth.lacks_method(), Oddity::MissingAuthenticationMethod);
        auth
    }

    /// Only an AUTH that says nothing at all may leave the method out (MQTT 5.0 sections 3.15.2.1 and 3.15.2.2.2).
    fn lacks_method(&self) -> bool {
        let says_nothing = self.reason_code == ReasonCode::SUCCESS && self.properties.is_empty();
        !says_nothing && self.properties.authentication_method().is_none()
    }
}
