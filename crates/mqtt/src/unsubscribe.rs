//! UNSUBSCRIBE: Topic Filters given back (MQTT 5.0 section 3.10).

use crate::encode::{self, EncodeError, Written};
use crate::oddity::Oddity;
use crate::packet_type::PacketType;
use crate::properties::Properties;
use crate::qos::PacketIdentifier;
use crate::reader::{DecodeError, Reader};
use crate::topic;
use crate::version::ProtocolVersion;

/// The Topic Filters of an UNSUBSCRIBE, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum TopicFilters<'a> {
    /// Topic Filters to be written.
    List(&'a [&'a str]),
    /// The payload as it came.
    Wire(&'a [u8]),
}

impl PartialEq for TopicFilters<'_> {
    /// Equal when they list the same Topic Filters in the same order, written or read.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for TopicFilters<'_> {}

impl<'a> TopicFilters<'a> {
    /// The Topic Filters in order, up to the first that is cut short.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (list, wire) = match *self {
            Self::List(list) => (list, &[][..]),
            Self::Wire(wire) => (&[][..], wire),
        };
        let mut reader = Reader::new(wire);
        list.iter().copied().chain(std::iter::from_fn(move || reader.text()))
    }
}

/// The fields of an UNSUBSCRIBE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unsubscribe<'a> {
    /// The Packet Identifier, 1 to 65,535 if legal.
    pub packet_identifier: u16,
    /// Properties; none in MQTT 3.1.1.
    pub properties: Properties<'a>,
    /// The Topic Filters, at least one if legal.
    pub filters: TopicFilters<'a>,
}

impl<'a> Unsubscribe<'a> {
    /// These Topic Filters without properties.
    pub const fn new(packet_identifier: PacketIdentifier, filters: &'a [&'a str]) -> Self {
        Self {
            packet_identifier: packet_identifier.get(),
            properties: Properties::NONE,
            filters: TopicFilters::List(filters),
        }
    }

    /// Appends it.
    ///
    /// # Errors
    /// Packet Identifier 0, no Topic Filter, one that is none, properties UNSUBSCRIBE does not have.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        encode::packet(out, PacketType::Unsubscribe.first_byte(), &[], |out| self.write(version, out))
    }

    fn write(&self, version: ProtocolVersion, out: &mut Vec<u8>) -> Written {
        encode::packet_identifier(out, self.packet_identifier)?;
        self.properties.write(PacketType::Unsubscribe, version, out)?;
        encode::forbid(self.filters.iter().next().is_none(), Oddity::EmptyList)?;
        for filter in self.filters.iter() {
            encode::forbid(!is_filter(filter, version), Oddity::InvalidTopicFilter)?;
            encode::text(out, filter, "Topic Filter")?;
        }
        Ok(())
    }

    pub(crate) fn read(reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let packet_identifier = reader.packet_identifier()?;
        let properties = reader.properties_in(version, PacketType::Unsubscribe);
        let filters = reader.topic_filters(|reader| {
            let filter = reader.text()?;
            Some((!is_filter(filter, version)).then_some(Oddity::InvalidTopicFilter))
        });
        Ok(Self { packet_identifier, properties, filters: TopicFilters::Wire(filters) })
    }
}

fn is_filter(filter: &str, version: ProtocolVersion) -> bool {
    match version {
        ProtocolVersion::V3_1_1 => topic::is_plain_topic_filter(filter),
        ProtocolVersion::V5 => topic::is_topic_filter(filter),
    }
}
