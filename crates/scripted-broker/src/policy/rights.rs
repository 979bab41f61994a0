//! What a Client may do with topics, and which QoS the broker serves (MQTT 5.0 sections 3.4.2.1 and 3.9.3).
//!
//! A message to a topic whose last level is `probe` is subject to this policy and to no other about messages: a Client that tries
//! its rights first comes as far as what the other policy is about.

use std::fmt;
use std::str::FromStr;

use super::name::{Named, UnknownName, by_name, listed, name_of};

/// What a Client may do with topics, and which QoS the broker serves without a Maximum QoS in its CONNACK.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Rights {
    /// Everything. Conforms.
    #[default]
    All,
    /// SUBSCRIBE is refused: 0x87, in MQTT 3.1.1 0x80. Conforms.
    NoSubscribe,
    /// PUBLISH is refused with 0x87; in MQTT 3.1.1, which has no means to say so, acknowledged and dropped. Conforms.
    NoPublish,
    /// SUBSCRIBE is granted and PUBLISH is acknowledged, and nothing is delivered: rights that are denied without a word.
    NoDelivery,
    /// The connection is reset on a QoS 2 PUBLISH, and a subscription is granted QoS 1 at the most.
    NoQos2,
}

const TABLE: &[Named<Rights>] = &[
    Named::one(Rights::All, "all", "every topic and every QoS: conforms"),
    Named::one(Rights::NoSubscribe, "no-subscribe", "SUBSCRIBE is refused with 0x87 (3.1.1: 0x80): conforms"),
    Named::one(
        Rights::NoPublish,
        "no-publish",
        "PUBLISH is refused with 0x87 (3.1.1: acknowledged and dropped): conforms",
    ),
    Named::one(
        Rights::NoDelivery,
        "no-delivery",
        "all is granted and acknowledged, and nothing is delivered",
    ),
    Named::one(
        Rights::NoQos2,
        "no-qos-2",
        "RST on a QoS 2 PUBLISH; a subscription is granted QoS 1 at the most",
    ),
];

impl Rights {
    /// Every name with its meaning.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        listed(TABLE)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(name_of(TABLE, self).unwrap_or_default())
    }
}

impl FromStr for Rights {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name(TABLE, text).ok_or_else(|| UnknownName::new("rights", text))
    }
}
