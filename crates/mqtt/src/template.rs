//! A PUBLISH encoded once and patched per message: the fast path of every flood.
//!
//! Only the Packet Identifier and a 16-byte stamp in the payload change from message to message.

use crate::encode::EncodeError;
use crate::publish::Publish;
use crate::qos::{PacketIdentifier, QoS};
use crate::version::ProtocolVersion;

/// How many bytes of the payload a stamp takes.
pub const STAMP_LEN: usize = 16;

/// A legal PUBLISH with the places that change from message to message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishTemplate {
    bytes: Vec<u8>,
    packet_identifier_at: Option<usize>,
    stamp_at: Option<usize>,
}

impl PublishTemplate {
    /// Encodes the message; `stamp` is the offset in the payload of the 16 bytes to overwrite, absent for none.
    ///
    /// Above QoS 0 the message needs a Packet Identifier; it is what [`Self::append`] writes when given none.
    ///
    /// # Errors
    /// What [`Publish::encode`] refuses, and a stamp that does not lie within the payload.
    pub fn new(
        publish: &Publish<'_>,
        version: ProtocolVersion,
        stamp: Option<usize>,
    ) -> Result<Self, EncodeError> {
        let mut bytes = Vec::new();
        publish.encode(version, &mut bytes)?;
        let payload_at = bytes.len() - publish.payload.len();
        let stamp_at = match stamp {
            Some(offset) if offset.checked_add(STAMP_LEN).is_some_and(|end| end <= publish.payload.len()) => {
                Some(payload_at + offset)
            }
            Some(_) => return Err(EncodeError::StampOutsidePayload),
            None => None,
        };
        let fixed_header = 1 + bytes[1..].iter().take_while(|&&byte| byte >= 0x80).count() + 1;
        let packet_identifier_at =
            (publish.qos != QoS::AtMostOnce).then_some(fixed_header + 2 + publish.topic.len());
        Ok(Self { bytes, packet_identifier_at, stamp_at })
    }

    /// How many bytes each message takes.
    #[expect(clippy::len_without_is_empty, reason = "a packet has at least its fixed header")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends one message with this Packet Identifier (unused at QoS 0) and stamp (unused without a place for it).
    #[inline]
    pub fn append(
        &self,
        out: &mut Vec<u8>,
        packet_identifier: Option<PacketIdentifier>,
        stamp: [u8; STAMP_LEN],
    ) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let packet = &mut out[start..];
        if let (Some(at), Some(identifier)) = (self.packet_identifier_at, packet_identifier) {
            packet[at..at + 2].copy_from_slice(&identifier.get().to_be_bytes());
        }
        if let Some(at) = self.stamp_at {
            packet[at..at + STAMP_LEN].copy_from_slice(&stamp);
        }
    }

    /// Appends `count` messages of QoS 0: the first with the stamp `first`, each other with a stamp that is `step` more than the one
    /// before. Both are big-endian numbers, and wrap.
    pub fn append_run(&self, out: &mut Vec<u8>, count: usize, first: u128, step: u128) {
        let (start, length) = (out.len(), self.bytes.len());
        if count == 0 {
            return;
        }
        out.reserve(count * length);
        out.extend_from_slice(&self.bytes);
        // What is there is copied as a whole until there are enough: long copies cost the least for each byte.
        let mut copies = 1;
        while copies < count {
            let more = copies.min(count - copies);
            out.extend_from_within(start..start + more * length);
            copies += more;
        }
        let Some(at) = self.stamp_at else { return };
        let mut stamp = first;
        for packet in out[start..].chunks_exact_mut(length) {
            packet[at..at + STAMP_LEN].copy_from_slice(&stamp.to_be_bytes());
            stamp = stamp.wrapping_add(step);
        }
    }
}
