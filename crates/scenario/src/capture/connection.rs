//! What a captured connection says about itself.

use ungraceful_mqtt::{Framed, Packet, ProtocolVersion, frame};

use super::traffic::{self, Content};
use super::{CapturedConnection, Side};

/// As many bytes of a side are looked at to find out what they are.
const HEAD_BYTES_MAX: usize = 64 * 1024;

impl CapturedConnection {
    /// The Client Identifier of the first CONNECT; absent if the capture does not have that packet as a whole, and empty if the
    /// client leaves the choice to the broker.
    pub fn client_id(&self) -> Option<String> {
        self.with_connect(|connect| connect.client_id.to_owned())
    }

    /// The protocol version of the first CONNECT; absent if the capture does not have that packet as a whole, and for a
    /// version that is neither 3.1.1 nor 5.0.
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.with_connect(|connect| connect.version()).flatten()
    }

    /// Whether the connection carries MQTT in the clear: the client begins with a CONNECT (even an illegal one) or, if its
    /// first bytes are missing, everything that is there consists of legal packets.
    pub fn is_mqtt(&self) -> bool {
        self.content() == Content::Mqtt
    }

    /// Whether the connection is encrypted with TLS, so that it can't be replayed.
    pub fn is_tls(&self) -> bool {
        self.content() == Content::Tls
    }

    /// What the connection carries, judged by how both sides begin.
    pub fn content(&self) -> Content {
        let first_is_there = self
            .segments
            .iter()
            .find(|segment| segment.from == Side::Client)
            .is_some_and(|segment| segment.missing_before == 0);
        let is_middle = !self.has_beginning || !first_is_there;
        Content::of(&self.head(Side::Client), &self.head(Side::Server), is_middle)
    }

    /// The first MQTT packet of a side, as it was sent; absent if the side does not begin with a whole packet, or the capture
    /// does not have its beginning.
    pub fn first_packet(&self, from: Side) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for segment in self.segments.iter().filter(|segment| segment.from == from) {
            if segment.missing_before > 0 {
                return None;
            }
            bytes.extend_from_slice(&segment.bytes);
            match frame(&bytes) {
                Framed::Complete(packet) => return Some(packet.bytes.to_vec()),
                Framed::Incomplete { .. } => {}
                Framed::Malformed(_) => return None,
            }
        }
        None
    }

    /// How the bytes of a side begin, up to the first hole (a hole before all of them does not count).
    pub(super) fn head(&self, from: Side) -> Vec<u8> {
        let mut bytes = Vec::new();
        for segment in self.segments.iter().filter(|segment| segment.from == from) {
            if segment.missing_before > 0 && !bytes.is_empty() || bytes.len() >= HEAD_BYTES_MAX {
                break;
            }
            bytes.extend_from_slice(&segment.bytes);
        }
        bytes
    }

    fn with_connect<T>(&self, read: impl FnOnce(&ungraceful_mqtt::Connect<'_>) -> T) -> Option<T> {
        let bytes = self.first_packet(Side::Client).filter(|bytes| traffic::is_connect(bytes))?;
        let Framed::Complete(packet) = frame(&bytes) else { return None };
        match packet.decode(ProtocolVersion::V5).packet {
            Packet::Connect(connect) => Some(read(&connect)),
            _ => None,
        }
    }
}
