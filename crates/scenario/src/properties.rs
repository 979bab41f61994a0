//! The 27 properties of MQTT 5.0 by the names that scenarios use: the standard's, in lower case with `_`.

/// The type of a property's value (MQTT 5.0 section 1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Byte.
    Byte,
    /// Two Byte Integer.
    TwoBytes,
    /// Four Byte Integer.
    FourBytes,
    /// Variable Byte Integer.
    Variable,
    /// UTF-8 Encoded String or Binary Data.
    Bytes,
}

impl Wire {
    /// The largest number that can be sent, legal or not; absent for bytes.
    #[must_use]
    pub const fn max(self) -> Option<u64> {
        match self {
            Self::Byte => Some(u8::MAX as u64),
            Self::TwoBytes => Some(u16::MAX as u64),
            Self::FourBytes | Self::Variable => Some(u32::MAX as u64),
            Self::Bytes => None,
        }
    }
}

/// A property: its name, its identifier, and the type of its value.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// The name.
    pub name: &'static str,
    /// The Property Identifier.
    pub id: u8,
    /// The type of its value.
    pub wire: Wire,
}

/// The Property Identifier of a User Property, which is a pair of strings.
pub const USER_PROPERTY: u8 = 0x26;

const fn kind(name: &'static str, id: u8, wire: Wire) -> Kind {
    Kind { name, id, wire }
}

/// Every property but User Property (MQTT 5.0 table 2-4).
pub const KINDS: [Kind; 26] = [
    kind("payload_format_indicator", 0x01, Wire::Byte),
    kind("message_expiry_interval", 0x02, Wire::FourBytes),
    kind("content_type", 0x03, Wire::Bytes),
    kind("response_topic", 0x08, Wire::Bytes),
    kind("correlation_data", 0x09, Wire::Bytes),
    kind("subscription_identifier", 0x0B, Wire::Variable),
    kind("session_expiry_interval", 0x11, Wire::FourBytes),
    kind("assigned_client_identifier", 0x12, Wire::Bytes),
    kind("server_keep_alive", 0x13, Wire::TwoBytes),
    kind("authentication_method", 0x15, Wire::Bytes),
    kind("authentication_data", 0x16, Wire::Bytes),
    kind("request_problem_information", 0x17, Wire::Byte),
    kind("will_delay_interval", 0x18, Wire::FourBytes),
    kind("request_response_information", 0x19, Wire::Byte),
    kind("response_information", 0x1A, Wire::Bytes),
    kind("server_reference", 0x1C, Wire::Bytes),
    kind("reason_string", 0x1F, Wire::Bytes),
    kind("receive_maximum", 0x21, Wire::TwoBytes),
    kind("topic_alias_maximum", 0x22, Wire::TwoBytes),
    kind("topic_alias", 0x23, Wire::TwoBytes),
    kind("maximum_qos", 0x24, Wire::Byte),
    kind("retain_available", 0x25, Wire::Byte),
    kind("maximum_packet_size", 0x27, Wire::FourBytes),
    kind("wildcard_subscription_available", 0x28, Wire::Byte),
    kind("subscription_identifier_available", 0x29, Wire::Byte),
    kind("shared_subscription_available", 0x2A, Wire::Byte),
];
