//! The variants: what goes into which frames, and what a broker owes on it.

use ungraceful_wire::RawFrame;

ungraceful_record::words! {
    /// What is unusual about the frames, or about the request for WebSocket.
    pub enum Variant: "variant" {
        /// CONNECT in a text frame.
        TextConnect = "text-connect",
        /// PUBLISH in a text frame, after CONNECT in a binary one.
        TextPublish = "text-publish",
        /// Each byte of the packets in a binary frame of its own: legal.
        Split = "split",
        /// Messages of fragments that end in the middle of packets: legal.
        Fragmented = "fragmented",
        /// One and a half packets in a frame: legal.
        Joined = "joined",
        /// A request without a sub-protocol.
        NoSubprotocol = "no-subprotocol",
        /// A request for a sub-protocol that is not MQTT.
        OtherSubprotocol = "other-subprotocol",
        /// CONNECT in a frame that announces 1 GiB, and then nothing.
        LongFrame = "long-frame",
        /// The beginning of a CONNECT in a whole frame, and then nothing.
        CutPacket = "cut-packet",
        /// PUBLISH in a frame without a mask.
        Unmasked = "unmasked",
        /// PUBLISH in a frame with the reserved opcode 3.
        ReservedOpcode = "reserved-opcode",
        /// PUBLISH in a frame with the reserved bit RSV2.
        ReservedBit = "reserved-bit",
        // The last: it is known to end brokers.
        /// PUBLISH in a frame that announces 2^63 bytes.
        ImpossibleLength = "impossible-length",
    }
}

/// What a broker owes on a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// To close: MQTT forbids the frames.
    Text,
    /// To serve the client, which does nothing wrong.
    Legal,
    /// Nothing: the request for WebSocket lacks what a client must ask for.
    Subprotocol,
    /// Nothing: the client is in the middle of a frame or a packet.
    Unfinished,
    /// To close, by RFC 6455 only.
    Forbidden,
}

/// The sub-protocol of [`Variant::OtherSubprotocol`].
pub(super) const NOT_MQTT: &str = "not-mqtt";

/// The length that [`Variant::LongFrame`] announces, in bytes.
const LONG_BYTES: u64 = 1 << 30;
/// One more than the largest length of a frame (RFC 6455 section 5.2), in bytes.
const IMPOSSIBLE_BYTES: u64 = 1 << 63;
/// Payload of each fragment of [`Variant::Fragmented`], in bytes: not a divisor of the packets' lengths, for most names.
const FRAGMENT_BYTES: usize = 5;

impl Variant {
    /// The variant with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// What a broker owes on it.
    #[must_use]
    pub const fn group(self) -> Group {
        match self {
            Self::TextConnect | Self::TextPublish => Group::Text,
            Self::Split | Self::Fragmented | Self::Joined => Group::Legal,
            Self::NoSubprotocol | Self::OtherSubprotocol => Group::Subprotocol,
            Self::LongFrame | Self::CutPacket => Group::Unfinished,
            Self::Unmasked | Self::ReservedOpcode | Self::ReservedBit | Self::ImpossibleLength => {
                Group::Forbidden
            }
        }
    }

    /// Whether what follows on the connection is read as a frame: a client can ask whether it is still served.
    #[must_use]
    pub const fn can_ask(self) -> bool {
        !matches!(self, Self::LongFrame | Self::CutPacket | Self::ImpossibleLength)
    }

    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::TextConnect => "CONNECT in a text frame",
            Self::TextPublish => "CONNECT, wait for CONNACK, PUBLISH in a text frame",
            Self::Split => "CONNECT and two PUBLISH, each byte in a binary frame of its own (legal)",
            Self::Fragmented => "CONNECT and two PUBLISH, in messages of many fragments (legal)",
            Self::Joined => "CONNECT, and two PUBLISH, one and a half in the first frame (legal)",
            Self::NoSubprotocol => "a request for WebSocket without a sub-protocol, CONNECT",
            Self::OtherSubprotocol => "a request for WebSocket with the sub-protocol not-mqtt, CONNECT",
            Self::LongFrame => "CONNECT in a frame that announces 1 GiB, and then nothing",
            Self::CutPacket => "the beginning of a CONNECT in a whole frame, and then nothing",
            Self::Unmasked => "CONNECT, wait for CONNACK, PUBLISH in a frame without a mask",
            Self::ReservedOpcode => "CONNECT, wait for CONNACK, PUBLISH in a frame with the opcode 3",
            Self::ReservedBit => "CONNECT, wait for CONNACK, PUBLISH in a frame with RSV2",
            Self::ImpossibleLength => {
                "CONNECT, wait for CONNACK, PUBLISH in a frame that announces 2^63 bytes"
            }
        }
    }

    /// The frames of one packet.
    pub(super) fn frames(self, packet: &[u8]) -> Vec<RawFrame> {
        let whole = RawFrame::binary(packet);
        vec![match self {
            Self::TextConnect | Self::TextPublish => RawFrame::text(packet),
            Self::Split => return packet.iter().map(|byte| RawFrame::binary([*byte])).collect(),
            Self::Fragmented => return fragments(packet),
            Self::LongFrame => RawFrame { announced_bytes: Some(LONG_BYTES), ..whole },
            Self::CutPacket => RawFrame::binary(&packet[..packet.len() - 1]),
            Self::Unmasked => RawFrame { mask: false, ..whole },
            Self::ReservedOpcode => RawFrame { opcode: 3, ..whole },
            Self::ReservedBit => RawFrame { rsv: 2, ..whole },
            Self::ImpossibleLength => RawFrame { announced_bytes: Some(IMPOSSIBLE_BYTES), ..whole },
            Self::Joined | Self::NoSubprotocol | Self::OtherSubprotocol => whole,
        }]
    }

    /// The frames of two packets that follow each other.
    pub(super) fn frames_of_two(self, first: &[u8], second: &[u8]) -> Vec<RawFrame> {
        let both = [first, second].concat();
        if self == Self::Joined {
            let (one_and_a_half, rest) = both.split_at(first.len() + second.len() / 2);
            return vec![RawFrame::binary(one_and_a_half), RawFrame::binary(rest)];
        }
        self.frames(&both)
    }
}

/// One message of many fragments (RFC 6455 section 5.4).
fn fragments(bytes: &[u8]) -> Vec<RawFrame> {
    let chunks = bytes.chunks(FRAGMENT_BYTES);
    let last = chunks.len().saturating_sub(1);
    let fragment = |(number, chunk)| {
        let opcode = if number == 0 { 2 } else { 0 };
        RawFrame { is_final: number == last, opcode, ..RawFrame::binary(chunk) }
    };
    chunks.enumerate().map(fragment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opcode, FIN and payload of each frame.
    fn shape(frames: &[RawFrame]) -> Vec<(u8, bool, &[u8])> {
        frames.iter().map(|frame| (frame.opcode, frame.is_final, &*frame.payload)).collect()
    }

    #[test]
    fn the_legal_frames_hold_every_byte_and_end_elsewhere_than_packets() {
        let of = |variant: Variant| variant.frames_of_two(b"abcd", b"efgh");
        assert_eq!(shape(&of(Variant::Joined)), [(2, true, &b"abcdef"[..]), (2, true, b"gh")]);
        assert_eq!(shape(&of(Variant::Fragmented)), [(2, false, &b"abcde"[..]), (0, true, b"fgh")]);
        let split = of(Variant::Split);
        assert_eq!(split.len(), 8);
        assert_eq!(shape(&split)[7], (2, true, &b"h"[..]));
    }

    #[test]
    fn each_other_variant_differs_from_a_legal_frame_in_one_thing() {
        let legal = RawFrame::binary(*b"abcd");
        let of = |variant: Variant| variant.frames(b"abcd").remove(0);
        assert_eq!(of(Variant::TextPublish), RawFrame { opcode: 1, ..legal.clone() });
        assert_eq!(of(Variant::LongFrame), RawFrame { announced_bytes: Some(1 << 30), ..legal.clone() });
        assert_eq!(of(Variant::CutPacket), RawFrame { payload: b"abc".to_vec(), ..legal });
        assert_eq!(of(Variant::Unmasked), RawFrame { mask: false, ..legal.clone() });
        assert_eq!(of(Variant::ReservedOpcode), RawFrame { opcode: 3, ..legal.clone() });
        assert_eq!(of(Variant::ReservedBit), RawFrame { rsv: 2, ..legal.clone() });
        assert_eq!(
            of(Variant::ImpossibleLength),
            RawFrame { announced_bytes: Some(1 << 63), ..legal.clone() }
        );
        assert_eq!(of(Variant::OtherSubprotocol), legal);
    }
}
