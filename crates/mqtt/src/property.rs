//! The 27 properties of MQTT 5.0: identifier, name, data type, and where each is allowed (MQTT 5.0 table 2-4).
//!
//! Values are as on the wire, so that a forbidden one can be shown; the legal encoders refuse it.
//! Lists of properties and look-ups in them are in `properties.rs`.

use std::fmt;

use crate::encode::{self, Written};
use crate::frame::REMAINING_LENGTH_MAX;
use crate::oddity::Oddity;
use crate::packet_type::PacketType;
use crate::reader::Reader;
use PacketType::{
    Auth, ConnAck, Connect, Disconnect, PubAck, PubComp, PubRec, PubRel, Publish, SubAck, Subscribe, UnsubAck,
};

/// Where properties stand: in a packet's variable header, or in the Will of a CONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PropertyPlace {
    /// The properties of the packet itself.
    Packet(PacketType),
    /// The Will Properties in the payload of a CONNECT (MQTT 5.0 section 3.1.3.2).
    Will,
}

impl PropertyPlace {
    const fn bit(self) -> u16 {
        match self {
            // No packet has the type number 0, so its bit is free.
            Self::Will => 1,
            Self::Packet(packet_type) => 1 << packet_type.nibble(),
        }
    }
}

impl From<PacketType> for PropertyPlace {
    fn from(packet_type: PacketType) -> Self {
        Self::Packet(packet_type)
    }
}

/// Why the properties behind this point cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PropertyError {
    /// No property has this identifier, so nothing says how long its value is.
    UnknownProperty(u32),
    /// The bytes end within the property of this name, or within an identifier.
    Truncated(&'static str),
}

impl fmt::Display for PropertyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownProperty(id) => write!(f, "unknown property 0x{id:02X}"),
            Self::Truncated(name) => write!(f, "properties end within {name}"),
        }
    }
}

impl std::error::Error for PropertyError {}

/// The value of a property by its data type (MQTT 5.0 section 1.5).
pub(crate) enum WireValue<'a> {
    Byte(u8),
    TwoBytes(u16),
    FourBytes(u32),
    Variable(u32),
    /// Binary Data, or the bytes of a UTF-8 Encoded String.
    Bytes(&'a [u8]),
    /// A UTF-8 String Pair.
    Pair(&'a [u8], &'a [u8]),
}

const WILL: u16 = PropertyPlace::Will.bit();

const fn places(types: &[PacketType]) -> u16 {
    let (mut mask, mut index) = (0, 0);
    while index < types.len() {
        mask |= PropertyPlace::Packet(types[index]).bit();
        index += 1;
    }
    mask
}

/// All packets with properties, and the Will.
const EVERYWHERE: u16 = !places(&[PacketType::PingReq, PacketType::PingResp]);

macro_rules! properties {
    ($($(#[$doc:meta])+ $variant:ident($type:ty) = $id:literal, $name:literal, $kind:ident, $places:expr;)+) => {
        /// One property and its value (MQTT 5.0 section 2.2.2.2).
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Property<'a> {
            $($(#[$doc])+ $variant($type),)+
            /// A name and a value of the application's own; may come any number of times.
            UserProperty(&'a str, &'a str),
        }

        impl<'a> Property<'a> {
            /// The Property Identifier, 1 to 42.
            pub const fn id(&self) -> u8 {
                match self {
                    $(Self::$variant(_) => $id,)+
                    Self::UserProperty(..) => 0x26,
                }
            }

            /// The standard's name.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)+
                    Self::UserProperty(..) => "User Property",
                }
            }

            const fn places(&self) -> u16 {
                match self {
                    $(Self::$variant(_) => $places,)+
                    Self::UserProperty(..) => EVERYWHERE,
                }
            }

            /// Reads one property; text that is not UTF-8 is noted and cut, not refused.
            pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, PropertyError> {
                let id = reader.variable().ok_or(PropertyError::Truncated("a Property Identifier"))?;
                match id {
                    $($id => reader.$kind().map(Self::$variant).ok_or(PropertyError::Truncated($name)),)+
                    0x26 => match (reader.text(), reader.text()) {
                        (Some(name), Some(value)) => Ok(Self::UserProperty(name, value)),
                        _ => Err(PropertyError::Truncated("User Property")),
                    },
                    unknown => Err(PropertyError::UnknownProperty(unknown)),
                }
            }

            /// The value by its data type on the wire.
            pub(crate) const fn wire_value(&self) -> WireValue<'a> {
                match *self {
                    $(Self::$variant(value) => properties!(@wire $kind, value),)+
                    Self::UserProperty(name, value) => WireValue::Pair(name.as_bytes(), value.as_bytes()),
                }
            }
        }
    };
    (@wire byte, $value:expr) => { WireValue::Byte($value) };
    (@wire two_bytes, $value:expr) => { WireValue::TwoBytes($value) };
    (@wire four_bytes, $value:expr) => { WireValue::FourBytes($value) };
    (@wire variable, $value:expr) => { WireValue::Variable($value) };
    (@wire text, $value:expr) => { WireValue::Bytes($value.as_bytes()) };
    (@wire binary, $value:expr) => { WireValue::Bytes($value) };
}

properties! {
    /// Whether the payload is UTF-8 text (1) or anything (0, also when absent).
    PayloadFormatIndicator(u8) = 0x01, "Payload Format Indicator", byte, WILL | places(&[Publish]);
    /// Seconds until the message is stale; when absent it never is.
    MessageExpiryInterval(u32) = 0x02, "Message Expiry Interval", four_bytes, WILL | places(&[Publish]);
    /// What the payload is, in the application's words.
    ContentType(&'a str) = 0x03, "Content Type", text, WILL | places(&[Publish]);
    /// The Topic Name an answer should go to.
    ResponseTopic(&'a str) = 0x08, "Response Topic", text, WILL | places(&[Publish]);
    /// What ties an answer to its request.
    CorrelationData(&'a [u8]) = 0x09, "Correlation Data", binary, WILL | places(&[Publish]);
    /// The number of a subscription, 1 to 268,435,455; in a PUBLISH once for each that matched.
    SubscriptionIdentifier(u32) = 0x0B, "Subscription Identifier", variable, places(&[Publish, Subscribe]);
    /// Seconds the session outlives its Network Connection; 0 (also when absent) ends it at once, 0xFFFFFFFF never.
    SessionExpiryInterval(u32) = 0x11, "Session Expiry Interval", four_bytes,
        places(&[Connect, ConnAck, Disconnect]);
    /// The Client Identifier the Server chose for a Client that sent none.
    AssignedClientIdentifier(&'a str) = 0x12, "Assigned Client Identifier", text, places(&[ConnAck]);
    /// The Keep Alive in seconds the Client has to use; when absent its own holds.
    ServerKeepAlive(u16) = 0x13, "Server Keep Alive", two_bytes, places(&[ConnAck]);
    /// The name of the enhanced authentication method; when absent there is none.
    AuthenticationMethod(&'a str) = 0x15, "Authentication Method", text, places(&[Connect, ConnAck, Auth]);
    /// Data of the authentication method.
    AuthenticationData(&'a [u8]) = 0x16, "Authentication Data", binary, places(&[Connect, ConnAck, Auth]);
    /// Whether the Client wants Reason Strings and User Properties on failures: 0 or 1 (also when absent).
    RequestProblemInformation(u8) = 0x17, "Request Problem Information", byte, places(&[Connect]);
    /// Seconds between the end of the Network Connection and the Will; 0 when absent.
    WillDelayInterval(u32) = 0x18, "Will Delay Interval", four_bytes, WILL;
    /// Whether the Client wants Response Information: 1 or 0 (also when absent).
    RequestResponseInformation(u8) = 0x19, "Request Response Information", byte, places(&[Connect]);
    /// What Response Topics may be built from.
    ResponseInformation(&'a str) = 0x1A, "Response Information", text, places(&[ConnAck]);
    /// Where else the Client may connect.
    ServerReference(&'a str) = 0x1C, "Server Reference", text, places(&[ConnAck, Disconnect]);
    /// A reason for people to read.
    ReasonString(&'a str) = 0x1F, "Reason String", text,
        places(&[ConnAck, PubAck, PubRec, PubRel, PubComp, SubAck, UnsubAck, Disconnect, Auth]);
    /// How many QoS 1 and 2 deliveries the sender takes at a time, 1 to 65,535 (also when absent).
    ReceiveMaximum(u16) = 0x21, "Receive Maximum", two_bytes, places(&[Connect, ConnAck]);
    /// The highest Topic Alias the sender takes; 0 (also when absent) means none.
    TopicAliasMaximum(u16) = 0x22, "Topic Alias Maximum", two_bytes, places(&[Connect, ConnAck]);
    /// A number in place of the Topic Name, 1 to 65,535.
    TopicAlias(u16) = 0x23, "Topic Alias", two_bytes, places(&[Publish]);
    /// The highest QoS the Server takes, 0 or 1; 2 when absent.
    MaximumQoS(u8) = 0x24, "Maximum QoS", byte, places(&[ConnAck]);
    /// Whether the Server keeps retained messages: 0 or 1 (also when absent).
    RetainAvailable(u8) = 0x25, "Retain Available", byte, places(&[ConnAck]);
    /// The largest packet in bytes the sender takes, not 0; when absent any legal one.
    MaximumPacketSize(u32) = 0x27, "Maximum Packet Size", four_bytes, places(&[Connect, ConnAck]);
    /// Whether the Server takes wildcards: 0 or 1 (also when absent).
    WildcardSubscriptionAvailable(u8) = 0x28, "Wildcard Subscription Available", byte, places(&[ConnAck]);
    /// Whether the Server takes Subscription Identifiers: 0 or 1 (also when absent).
    SubscriptionIdentifierAvailable(u8) = 0x29, "Subscription Identifier Available", byte, places(&[ConnAck]);
    /// Whether the Server takes Shared Subscriptions: 0 or 1 (also when absent).
    SharedSubscriptionAvailable(u8) = 0x2A, "Shared Subscription Available", byte, places(&[ConnAck]);
}

impl Property<'_> {
    /// Whether the property is allowed there (MQTT 5.0 table 2-4).
    pub fn allowed_in(&self, place: impl Into<PropertyPlace>) -> bool {
        self.places() & place.into().bit() != 0
    }

    /// Whether the property may come more than once there: User Property, and Subscription Identifier in PUBLISH.
    pub fn may_repeat_in(&self, place: impl Into<PropertyPlace>) -> bool {
        match self {
            Self::UserProperty(..) => true,
            Self::SubscriptionIdentifier(_) => place.into() == PropertyPlace::Packet(Publish),
            _ => false,
        }
    }

    /// Whether the value is one the standard allows, wherever the property stands.
    pub fn has_legal_value(&self) -> bool {
        match *self {
            Self::PayloadFormatIndicator(value)
            | Self::RequestProblemInformation(value)
            | Self::RequestResponseInformation(value)
            | Self::MaximumQoS(value)
            | Self::RetainAvailable(value)
            | Self::WildcardSubscriptionAvailable(value)
            | Self::SubscriptionIdentifierAvailable(value)
            | Self::SharedSubscriptionAvailable(value) => value <= 1,
            Self::ReceiveMaximum(value) | Self::TopicAlias(value) => value != 0,
            Self::MaximumPacketSize(value) => value != 0,
            Self::SubscriptionIdentifier(value) => value != 0 && value as usize <= REMAINING_LENGTH_MAX,
            Self::ResponseTopic(topic) => !topic.contains(['+', '#']),
            _ => true,
        }
    }

    /// Whether its text, if it has any, is free of U+0000 (`MQTT 5.0 [MQTT-1.5.4-2]`).
    fn has_legal_text(&self) -> bool {
        let is_binary = matches!(self, Self::CorrelationData(_) | Self::AuthenticationData(_));
        is_binary
            || match self.wire_value() {
                WireValue::Bytes(bytes) => !bytes.contains(&0),
                WireValue::Pair(name, value) => !name.contains(&0) && !value.contains(&0),
                _ => true,
            }
    }

    /// Appends identifier and value. The caller has checked that the property is allowed at the place.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Written {
        encode::forbid(!self.has_legal_value(), Oddity::BadPropertyValue)?;
        encode::forbid(!self.has_legal_text(), Oddity::NullCharacter)?;
        encode::byte(out, self.id());
        match self.wire_value() {
            WireValue::Byte(value) => encode::byte(out, value),
            WireValue::TwoBytes(value) => encode::two_bytes(out, value),
            WireValue::FourBytes(value) => encode::four_bytes(out, value),
            WireValue::Variable(value) => encode::variable(out, value),
            WireValue::Bytes(bytes) => encode::binary(out, bytes, self.name())?,
            WireValue::Pair(name, value) => {
                encode::binary(out, name, self.name())?;
                encode::binary(out, value, self.name())?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Property<'_> {
    /// Writes the value alone: numbers in decimal, text as it is, Binary Data in hexadecimal, a pair as `name=value`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wire_value() {
            WireValue::Byte(value) => write!(f, "{value}"),
            WireValue::TwoBytes(value) => write!(f, "{value}"),
            WireValue::FourBytes(value) | WireValue::Variable(value) => write!(f, "{value}"),
            WireValue::Bytes(bytes) => match (self, std::str::from_utf8(bytes)) {
                (Self::CorrelationData(_) | Self::AuthenticationData(_), _) | (_, Err(_)) => {
                    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
                }
                (_, Ok(text)) => f.write_str(text),
            },
            WireValue::Pair(name, value) => {
                write!(f, "{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_shown_by_its_value() {
        assert_eq!(Property::ReceiveMaximum(20).to_string(), "20");
        assert_eq!(Property::ReasonString("no").to_string(), "no");
        assert_eq!(Property::AuthenticationData(b"ab").to_string(), "6162");
        assert_eq!(Property::UserProperty("k", "v").to_string(), "k=v");
    }

    #[test]
    fn properties_are_allowed_where_table_2_4_lists_them() {
        let will = |property: Property<'_>| property.allowed_in(PropertyPlace::Will);
        assert!(will(Property::WillDelayInterval(1)) && will(Property::ContentType("t")));
        assert!(!will(Property::TopicAlias(1)));
        assert!(!Property::WillDelayInterval(1).allowed_in(Connect));
        assert!(Property::SessionExpiryInterval(1).allowed_in(Disconnect));
        for packet_type in PacketType::ALL {
            let has_properties = !matches!(packet_type, PacketType::PingReq | PacketType::PingResp);
            assert_eq!(Property::UserProperty("k", "v").allowed_in(packet_type), has_properties);
        }
    }

    #[test]
    fn zero_is_an_odd_value_for_these_properties() {
        for property in [
            Property::ReceiveMaximum(0),
            Property::TopicAlias(0),
            Property::MaximumPacketSize(0),
            Property::SubscriptionIdentifier(0),
            Property::SubscriptionIdentifier(268_435_456),
            Property::MaximumQoS(2),
            Property::RequestProblemInformation(2),
            Property::ResponseTopic("a/#"),
        ] {
            assert!(!property.has_legal_value(), "{property:?}");
        }
        assert!(Property::SessionExpiryInterval(0).has_legal_value());
    }
}
