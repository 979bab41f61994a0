//! CONNECT and the Will in it (MQTT 5.0 section 3.1, MQTT 3.1.1 section 3.1).
//!
//! A CONNECT says itself which version it is written in, so that is what decides how it is read.

use crate::encode::{self, EncodeError, Written};
use crate::oddity::Oddity;
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::property::PropertyPlace;
use crate::qos::QoS;
use crate::reader::{DecodeError, Reader};
use crate::topic;
use crate::version::ProtocolVersion;

/// The protocol name of both versions, `MQTT` (`MQTT 5.0 [MQTT-3.1.2-1]`).
pub const PROTOCOL_NAME: &[u8] = b"MQTT";

pub(crate) const RESERVED: u8 = 1;
pub(crate) const CLEAN_START: u8 = 1 << 1;
pub(crate) const WILL: u8 = 1 << 2;
pub(crate) const WILL_QOS_SHIFT: u8 = 3;
pub(crate) const WILL_RETAIN: u8 = 1 << 5;
pub(crate) const PASSWORD: u8 = 1 << 6;
pub(crate) const USER_NAME: u8 = 1 << 7;

/// The fields of a CONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connect<'a> {
    /// The protocol name as it stands; [`PROTOCOL_NAME`] if legal.
    pub protocol_name: &'a [u8],
    /// The level byte as it was read; absent in a CONNECT to be written, which takes that of the version.
    pub protocol_level: Option<u8>,
    /// Clean Start (5.0), or Clean Session (3.1.1).
    pub clean_start: bool,
    /// Keep Alive in seconds; 0 turns it off.
    pub keep_alive_s: u16,
    /// The Client Identifier; empty to have the Server choose one.
    pub client_id: &'a str,
    /// The Will, if there is one.
    pub will: Option<Will<'a>>,
    /// The user name, if there is one.
    pub user_name: Option<&'a str>,
    /// The password, if there is one.
    pub password: Option<&'a [u8]>,
    /// Properties; none in MQTT 3.1.1.
    pub properties: Properties<'a>,
}

/// The Will in a CONNECT: what the Server publishes when the Client is lost (MQTT 5.0 section 3.1.2.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Will<'a> {
    /// The Will Topic.
    pub topic: &'a str,
    /// The Will Payload, at most 65,535 bytes.
    pub payload: &'a [u8],
    /// The Will QoS; a CONNECT with 3 shows QoS 2 and [`Oddity::InvalidQos`].
    pub qos: QoS,
    /// Will Retain.
    pub retain: bool,
    /// Will Properties; none in MQTT 3.1.1.
    pub properties: Properties<'a>,
}

impl<'a> Will<'a> {
    /// A QoS 0 Will without Will Retain and properties.
    pub const fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        Self { topic, payload, qos: QoS::AtMostOnce, retain: false, properties: Properties::NONE }
    }

    fn write(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Written {
        if !topic::is_topic_name(self.topic) {
            encode::forbid(self.topic.is_empty(), Oddity::EmptyTopic)?;
            encode::forbid(self.topic.contains(['+', '#']), Oddity::WildcardInTopic)?;
        }
        self.properties.write(PropertyPlace::Will, version, out)?;
        encode::text(out, self.topic, "Will Topic")?;
        encode::binary(out, self.payload, "Will Payload")
    }

    fn read(reader: &mut Reader<'a>, flags: u8, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let (qos, is_qos_3) = QoS::from_bits(flags >> WILL_QOS_SHIFT);
        reader.note_if(is_qos_3, Oddity::InvalidQos);
        let properties = reader.properties_in(version, PropertyPlace::Will);
        let topic = reader.topic_name().ok_or(DecodeError::Truncated("Will Topic"))?;
        reader.note_if(topic.is_empty(), Oddity::EmptyTopic);
        let payload = reader.binary().ok_or(DecodeError::Truncated("Will Payload"))?;
        Ok(Self { topic, payload, qos, retain: flags & WILL_RETAIN != 0, properties })
    }
}

impl<'a> Connect<'a> {
    /// Clean Start 1, Keep Alive 60 s, and nothing else.
    pub const fn new(client_id: &'a str) -> Self {
        Self {
            protocol_name: PROTOCOL_NAME,
            protocol_level: None,
            clean_start: true,
            keep_alive_s: 60,
            client_id,
            will: None,
            user_name: None,
            password: None,
            properties: Properties::NONE,
        }
    }

    /// The version the packet names; absent for a level this crate does not speak, and before it is written.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.protocol_level.and_then(ProtocolVersion::from_level)
    }

    /// Appends it.
    ///
    /// # Errors
    /// A protocol name or level that is not the version's, a Will Topic that names no topic, properties CONNECT does not
    /// have, anything too long; in MQTT 3.1.1 also a password alone, and an empty Client Identifier with Clean Session 0.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode::packet(out, PacketType::Connect.first_byte(), &[], |out| self.write(version, out))
    }

    fn write(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Written {
        let level = self.protocol_level.unwrap_or(version.level());
        encode::forbid(
            self.protocol_name != PROTOCOL_NAME || level != version.level(),
            Oddity::UnknownProtocol,
        )?;
        if version == ProtocolVersion::V3_1_1 {
            encode::forbid(
                self.password.is_some() && self.user_name.is_none(),
                Oddity::PasswordWithoutUserName,
            )?;
            if self.client_id.is_empty() && !self.clean_start {
                return Err(EncodeError::EmptyClientIdentifier);
            }
        }
        encode::binary(out, PROTOCOL_NAME, "protocol name")?;
        encode::byte(out, level);
        encode::byte(out, self.connect_flags());
        encode::two_bytes(out, self.keep_alive_s);
        self.properties.write(PacketType::Connect, version, out)?;
        encode::text(out, self.client_id, "Client Identifier")?;
        if let Some(will) = &self.will {
            will.write(version, out)?;
        }
        if let Some(user_name) = self.user_name {
            encode::text(out, user_name, "User Name")?;
        }
        match self.password {
            Some(password) => encode::binary(out, password, "Password"),
            None => Ok(()),
        }
    }

    /// The Connect Flags byte these fields make (MQTT 5.0 section 3.1.2.3).
    pub fn connect_flags(&self) -> u8 {
        let flag = |condition, bit| if condition { bit } else { 0 };
        let will = self
            .will
            .map_or(0, |will| WILL | will.qos.level() << WILL_QOS_SHIFT | flag(will.retain, WILL_RETAIN));
        will | flag(self.clean_start, CLEAN_START)
            | flag(self.user_name.is_some(), USER_NAME)
            | flag(self.password.is_some(), PASSWORD)
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let protocol_name = reader.binary().ok_or(DecodeError::Truncated("protocol name"))?;
        let level = reader.byte().ok_or(DecodeError::Truncated("protocol level"))?;
        let version = ProtocolVersion::from_level(level);
        reader.note_if(protocol_name != PROTOCOL_NAME || version.is_none(), Oddity::UnknownProtocol);
        // MQTT 3.1 and the bridges' private levels have the older layout, so that is the guess for an unknown one.
        let version = version.unwrap_or(ProtocolVersion::V3_1_1);
        let flags = reader.byte().ok_or(DecodeError::Truncated("Connect Flags"))?;
        note_flags(reader, flags, version);
        let keep_alive_s = reader.two_bytes().ok_or(DecodeError::Truncated("Keep Alive"))?;
        let properties = reader.properties_in(version, PacketType::Connect);
        let client_id = reader.text().ok_or(DecodeError::Truncated("Client Identifier"))?;
        let will = if flags & WILL == 0 { None } else { Some(Will::read(reader, flags, version)?) };
        let user_name = match flags & USER_NAME {
            0 => None,
            _ => Some(reader.text().ok_or(DecodeError::Truncated("User Name"))?),
        };
        let password = match flags & PASSWORD {
            0 => None,
            _ => Some(reader.binary().ok_or(DecodeError::Truncated("Password"))?),
        };
        Ok(Self {
            protocol_name,
            protocol_level: Some(level),
            clean_start: flags & CLEAN_START != 0,
            keep_alive_s,
            client_id,
            will,
            user_name,
            password,
            properties,
        })
    }
}

fn note_flags(reader: &mut Reader<'_>, flags: u8, version: ProtocolVersion) {
    let will_details = 3 << WILL_QOS_SHIFT | WILL_RETAIN;
    reader.note_if(flags & RESERVED != 0, Oddity::ReservedBits);
    reader.note_if(flags & WILL == 0 && flags & will_details != 0, Oddity::WillFlagsWithoutWill);
    reader.note_if(
        version == ProtocolVersion::V3_1_1 && flags & PASSWORD != 0 && flags & USER_NAME == 0,
        Oddity::PasswordWithoutUserName,
    );
}
