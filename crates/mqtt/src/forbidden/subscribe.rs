//! SUBSCRIBE and UNSUBSCRIBE with every field free. The faults that spoil them use it.

use super::Forged;
use crate::packet_type::PacketType;
use crate::properties::Properties;

/// The fields of a SUBSCRIBE or UNSUBSCRIBE, none of which is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForgedSubscribe<'a> {
    /// The Packet Identifier, 0 included.
    pub packet_identifier: u16,
    /// Property Length and properties; absent for the 3.1.1 layout.
    pub properties: Option<Properties<'a>>,
    /// Each Topic Filter's bytes with its Subscription Options byte, or nothing at all.
    pub filters: &'a [(&'a [u8], u8)],
}

impl ForgedSubscribe<'_> {
    /// The SUBSCRIBE.
    pub fn forge(&self) -> Forged {
        self.filters.iter().fold(self.head(PacketType::Subscribe), |packet, (filter, options)| {
            packet.string(filter).byte(*options)
        })
    }

    /// The UNSUBSCRIBE of the same Topic Filters; their options are not used.
    pub fn forge_unsubscribe(&self) -> Forged {
        self.filters
            .iter()
            .fold(self.head(PacketType::Unsubscribe), |packet, (filter, _)| packet.string(filter))
    }

    fn head(&self, packet_type: PacketType) -> Forged {
        Forged::of_type(packet_type).two_bytes(self.packet_identifier).optional_properties(self.properties)
    }
}
