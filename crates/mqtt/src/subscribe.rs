//! SUBSCRIBE: Topic Filters with their Subscription Options (MQTT 5.0 section 3.8).

use crate::encode::{self, EncodeError, Written};
use crate::oddity::Oddity;
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::qos::{PacketIdentifier, QoS};
use crate::reader::{DecodeError, Reader};
use crate::topic;
use crate::version::ProtocolVersion;

/// Which retained messages a new subscription brings (MQTT 5.0 section 3.8.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum RetainHandling {
    /// All that match, as always in MQTT 3.1.1.
    #[default]
    Send = 0,
    /// Those that match, if the subscription is new.
    SendIfNew = 1,
    /// None.
    DoNotSend = 2,
}

/// The Subscription Options byte of one Topic Filter, legal when built here, as it came when decoded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SubscriptionOptions(u8);

impl SubscriptionOptions {
    const NO_LOCAL: u8 = 1 << 2;
    const RETAIN_AS_PUBLISHED: u8 = 1 << 3;
    const RETAIN_HANDLING_SHIFT: u8 = 4;

    /// This maximum QoS, and everything else off.
    pub const fn new(maximum_qos: QoS) -> Self {
        Self(maximum_qos.level())
    }

    /// The same with No Local: what the Client publishes itself does not come back. MQTT 5.0 only.
    #[must_use]
    pub const fn no_local(self) -> Self {
        Self(self.0 | Self::NO_LOCAL)
    }

    /// The same with Retain As Published: RETAIN arrives as it was sent. MQTT 5.0 only.
    #[must_use]
    pub const fn retain_as_published(self) -> Self {
        Self(self.0 | Self::RETAIN_AS_PUBLISHED)
    }

    /// The same with this Retain Handling. MQTT 5.0 only, but for the default.
    #[must_use]
    pub const fn retain_handling(self, handling: RetainHandling) -> Self {
        let cleared = self.0 & !(3 << Self::RETAIN_HANDLING_SHIFT);
        Self(cleared | (handling as u8) << Self::RETAIN_HANDLING_SHIFT)
    }

    /// The byte as it stands.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The maximum QoS; QoS 2 for the forbidden 3.
    pub const fn maximum_qos(self) -> QoS {
        QoS::from_bits(self.0).0
    }

    /// Whether No Local is set.
    pub const fn is_no_local(self) -> bool {
        self.0 & Self::NO_LOCAL != 0
    }

    /// Whether Retain As Published is set.
    pub const fn is_retain_as_published(self) -> bool {
        self.0 & Self::RETAIN_AS_PUBLISHED != 0
    }

    /// Retain Handling; absent for the forbidden 3.
    pub const fn handling(self) -> Option<RetainHandling> {
        match self.0 >> Self::RETAIN_HANDLING_SHIFT & 3 {
            0 => Some(RetainHandling::Send),
            1 => Some(RetainHandling::SendIfNew),
            2 => Some(RetainHandling::DoNotSend),
            _ => None,
        }
    }

    /// What the standard finds wrong with the byte in this version, if anything.
    const fn oddity(self, version: ProtocolVersion) -> Option<Oddity> {
        let reserved = match version {
            ProtocolVersion::V3_1_1 => !3,
            ProtocolVersion::V5 => 0xC0,
        };
        if self.0 & 3 == 3 {
            Some(Oddity::InvalidQos)
        } else if self.0 & reserved != 0 || self.handling().is_none() {
            Some(Oddity::InvalidSubscriptionOptions)
        } else {
            None
        }
    }
}

/// One Topic Filter of a SUBSCRIBE.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subscription<'a> {
    /// The Topic Filter.
    pub topic_filter: &'a str,
    /// Its options.
    pub options: SubscriptionOptions,
}

impl<'a> Subscription<'a> {
    /// A Topic Filter with this maximum QoS.
    pub const fn new(topic_filter: &'a str, maximum_qos: QoS) -> Self {
        Self { topic_filter, options: SubscriptionOptions::new(maximum_qos) }
    }

    fn oddity(&self, version: ProtocolVersion) -> Option<Oddity> {
        let (is_filter, is_shared) = match version {
            ProtocolVersion::V3_1_1 => (topic::is_plain_topic_filter(self.topic_filter), false),
            ProtocolVersion::V5 => {
                (topic::is_topic_filter(self.topic_filter), self.topic_filter.starts_with("$share/"))
            }
        };
        if !is_filter {
            return Some(Oddity::InvalidTopicFilter);
        }
        // A Shared Subscription takes no No Local: MQTT 5.0 [MQTT-3.8.3-4].
        let no_local_shared = is_shared && self.options.is_no_local();
        self.options.oddity(version).or(no_local_shared.then_some(Oddity::InvalidSubscriptionOptions))
    }
}

/// The Topic Filters of a SUBSCRIBE, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum Subscriptions<'a> {
    /// Topic Filters to be written.
    List(&'a [Subscription<'a>]),
    /// The payload as it came.
    Wire(&'a [u8]),
}

impl PartialEq for Subscriptions<'_> {
    /// Equal when they list the same Topic Filters in the same order, written or read.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Subscriptions<'_> {}

impl<'a> Subscriptions<'a> {
    /// The Topic Filters in order, up to the first that is cut short.
    pub fn iter(&self) -> impl Iterator<Item = Subscription<'a>> + use<'a> {
        let (list, wire) = match *self {
            Self::List(list) => (list, &[][..]),
            Self::Wire(wire) => (&[][..], wire),
        };
        let mut reader = Reader::new(wire);
        list.iter().copied().chain(std::iter::from_fn(move || read_subscription(&mut reader)))
    }
}

fn read_subscription<'a>(reader: &mut Reader<'a>) -> Option<Subscription<'a>> {
    let topic_filter = reader.text()?;
    Some(Subscription { topic_filter, options: SubscriptionOptions(reader.byte()?) })
}

/// The fields of a SUBSCRIBE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subscribe<'a> {
    /// The Packet Identifier, 1 to 65,535 if legal.
    pub packet_identifier: u16,
    /// Properties; none in MQTT 3.1.1.
    pub properties: Properties<'a>,
    /// The Topic Filters, at least one if legal.
    pub filters: Subscriptions<'a>,
}

impl<'a> Subscribe<'a> {
    /// These Topic Filters without properties.
    pub const fn new(packet_identifier: PacketIdentifier, filters: &'a [Subscription<'a>]) -> Self {
        Self {
            packet_identifier: packet_identifier.get(),
            properties: Properties::NONE,
            filters: Subscriptions::List(filters),
        }
    }

    /// Appends it.
    ///
    /// # Errors
    /// Packet Identifier 0, no Topic Filter, one that is none, options the version does not have, properties SUBSCRIBE
    /// does not have.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode::packet(out, PacketType::Subscribe.first_byte(), &[], |out| self.write(version, out))
    }

    fn write(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Written {
        encode::packet_identifier(out, self.packet_identifier)?;
        self.properties.write(PacketType::Subscribe, version, out)?;
        encode::forbid(self.filters.iter().next().is_none(), Oddity::EmptyList)?;
        for subscription in self.filters.iter() {
            if let Some(oddity) = subscription.oddity(version) {
                return Err(EncodeError::Forbidden(oddity));
            }
            encode::text(out, subscription.topic_filter, "Topic Filter")?;
            encode::byte(out, subscription.options.bits());
        }
        Ok(())
    }

    pub(crate) fn read(reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let packet_identifier = reader.packet_identifier()?;
        let properties = reader.properties_in(version, PacketType::Subscribe);
        let filters = reader.topic_filters(|reader| read_subscription(reader).map(|one| one.oddity(version)));
        Ok(Self { packet_identifier, properties, filters: Subscriptions::Wire(filters) })
    }
}
