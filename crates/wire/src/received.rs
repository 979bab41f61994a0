//! Arrivals on a Network Connection and their instants: packets, bytes that are no packet, the end.

use std::fmt;
use std::io;
use std::time::Instant;

use ungraceful_mqtt::{Framed, frame};

use crate::framing::PACKET_BYTES_MAX;
use crate::stamps::StampedBy;

/// When bytes left.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When the segment with the last byte left, by the kernel's stamp; without one, when the write of this byte
    /// began, which is earlier. The zero of every reaction time.
    pub at: Instant,
    /// Whose clock `at` comes from.
    pub by: StampedBy,
    /// How many writes it took; more than one means that the socket's buffer was full in between.
    pub writes: u32,
}

/// Why bytes could not be handed to the kernel.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The broker closed or reset the connection before everything was written.
    #[error("the connection ended after {written} of {of} bytes were written ({how:?})")]
    Ended {
        /// Bytes that the kernel took.
        written: usize,
        /// Bytes that were to be written.
        of: usize,
        /// How it ended.
        how: EndKind,
    },
}

/// One whole packet, with the instants of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedPacket {
    /// The packet's bytes, fixed header included.
    pub bytes: Vec<u8>,
    /// When the packet's first byte arrived. Segments that were not read until more had come have the stamp of the
    /// last of them, which is never later than our own reading.
    pub first_byte_at: Instant,
    /// Whose clock `first_byte_at` comes from.
    pub by: StampedBy,
    /// When the packet's last byte arrived.
    pub complete_at: Instant,
}

impl ReceivedPacket {
    /// The packet as a frame, ready to be decoded: a `ReceivedPacket` is always a complete one.
    #[must_use]
    pub fn frame(&self) -> ungraceful_mqtt::Frame<'_> {
        match frame(&self.bytes) {
            Framed::Complete(frame) => frame,
            Framed::Incomplete { .. } | Framed::Malformed(_) => {
                unreachable!("a received packet is a complete frame")
            }
        }
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndKind {
    /// The broker sent FIN.
    Fin,
    /// The broker, or something between, sent RST.
    Reset,
    /// The kernel gave up on the connection for another reason (retransmission time-out, no route).
    Failed,
}

impl EndKind {
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Self::Reset
            }
            _ => Self::Failed,
        }
    }
}

/// The end of what the broker sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    /// How it ended.
    pub how: EndKind,
    /// When FIN or RST arrived; without a stamp of the kernel's, when the kernel reported it.
    pub at: Instant,
    /// Whose clock `at` comes from.
    pub by: StampedBy,
    /// Bytes of an unfinished packet, at most the first 1,024; empty when the stream ended between packets.
    pub unfinished: Vec<u8>,
    /// What happened in TLS or WebSocket, such as an alert or a Close frame of the broker's, for the user; absent when the socket itself
    /// ended.
    pub why: Option<Box<str>>,
}

/// Why bytes were not accepted as packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unframed {
    /// They begin with no Remaining Length (MQTT 5.0 and 3.1.1 section 2.1.4 and 2.2.3): they are no MQTT.
    NoRemainingLength,
    /// They announce a packet that is larger than [`PACKET_BYTES_MAX`](crate::PACKET_BYTES_MAX).
    TooLarge {
        /// Bytes of the announced packet, fixed header included.
        packet_bytes: u64,
    },
    /// All connections of the process together hold [`HELD_BYTES_MAX`](crate::HELD_BYTES_MAX) already.
    NoRoom,
}

impl fmt::Display for Unframed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRemainingLength => f.write_str("bytes that are no packet"),
            Self::TooLarge { packet_bytes } => write!(
                f,
                "a packet of {packet_bytes} bytes announced, more than the Maximum Packet Size of {PACKET_BYTES_MAX}"
            ),
            Self::NoRoom => f.write_str("more bytes at once than this process may hold"),
        }
    }
}

/// The next thing that a broker did on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A whole packet came.
    Packet(ReceivedPacket),
    /// Bytes came that can't be cut into packets, or are rejected; nothing after them is accepted. Returned once.
    Unframeable {
        /// The first of those bytes, at most 64.
        bytes: Vec<u8>,
        /// When the first of them arrived.
        at: Instant,
        /// Why they are rejected.
        why: Unframed,
    },
    /// The stream ended. Returned on every later call too.
    End(StreamEnd),
}
