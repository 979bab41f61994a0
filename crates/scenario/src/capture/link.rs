//! Link types: which headers a packet of a capture begins with. The numbers are those of the registry that tcpdump keeps.

use etherparse::{EtherType, LaxSlicedPacket};

/// The link types that this reader knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link {
    Ethernet,
    /// Four bytes with the address family, in an order that depends on the machine; the IP version repeats it.
    Loopback,
    RawIp,
    LinuxCooked,
    LinuxCooked2,
}

/// Bytes before the payload in Linux cooked v1; the last two are the EtherType.
const COOKED_LEN: usize = 16;
/// Bytes before the payload in Linux cooked v2; the first two are the EtherType.
const COOKED_2_LEN: usize = 20;

impl Link {
    /// The link type with this number; absent if it is not supported.
    pub(super) const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Ethernet,
            0 | 108 => Self::Loopback,
            // 12 and 14 are what some BSDs write for raw IP.
            12 | 14 | 101 | 228 | 229 => Self::RawIp,
            113 => Self::LinuxCooked,
            276 => Self::LinuxCooked2,
            _ => return None,
        })
    }

    /// Finds the headers of a packet; absent if it is too short for its link type, or not IP.
    pub(super) fn slice(self, packet: &[u8]) -> Option<LaxSlicedPacket<'_>> {
        match self {
            Self::Ethernet => LaxSlicedPacket::from_ethernet(packet).ok(),
            Self::Loopback => LaxSlicedPacket::from_ip(packet.get(4..)?).ok(),
            Self::RawIp => LaxSlicedPacket::from_ip(packet).ok(),
            Self::LinuxCooked => of_ether_type(packet.get(14..16)?, packet.get(COOKED_LEN..)?),
            Self::LinuxCooked2 => of_ether_type(packet.get(..2)?, packet.get(COOKED_2_LEN..)?),
        }
    }
}

fn of_ether_type<'a>(ether_type: &[u8], payload: &'a [u8]) -> Option<LaxSlicedPacket<'a>> {
    let ether_type = u16::from_be_bytes(ether_type.try_into().ok()?);
    Some(LaxSlicedPacket::from_ether_type(EtherType(ether_type), payload))
}

/// The registry's name of a link type that is not supported, for messages.
pub(super) const fn name(number: u16) -> &'static str {
    match number {
        6 => "Token Ring",
        8 => "SLIP",
        9 => "PPP",
        10 => "FDDI",
        50 => "PPP in HDLC",
        51 => "PPPoE",
        105 => "IEEE 802.11 wireless LAN",
        119 => "IEEE 802.11 with Prism header",
        127 => "IEEE 802.11 with radiotap header",
        147..=162 => "private use",
        187 | 201 => "Bluetooth HCI H4",
        189 | 220 => "USB on Linux",
        192 => "Per-Packet Information",
        195 | 215 | 230 => "IEEE 802.15.4",
        227 => "CAN bus",
        239 => "Linux netfilter log",
        249 => "USBPcap",
        251 | 256 => "Bluetooth Low Energy",
        252 => "PDUs exported from Wireshark",
        253 => "Linux netlink",
        254 => "Bluetooth Linux monitor",
        _ => "unknown",
    }
}
