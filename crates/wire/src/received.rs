//! What comes back from a Network Connection, and when: packets, bytes that are no packet, the end.

use std::io;
use std::time::Instant;

use ungraceful_mqtt::{Framed, frame};

/// When bytes were handed to the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// The return of the write that carried the last byte: the zero of every reaction time.
    pub at: Instant,
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
    /// When the kernel showed us the packet's first byte.
    pub first_byte_at: Instant,
    /// When the kernel showed us the packet's last byte.
    pub complete_at: Instant,
}

impl ReceivedPacket {
    /// The packet as a frame, ready to be decoded.
    ///
    /// # Panics
    /// Never: a `ReceivedPacket` is made from a complete frame only.
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
    /// When the kernel told us.
    pub at: Instant,
    /// Bytes of a packet that was begun and never finished; empty when the stream ended between packets.
    pub unfinished: Vec<u8>,
}

/// The next thing that a broker did on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A whole packet came.
    Packet(ReceivedPacket),
    /// Bytes came that can't be cut into packets; nothing after them can be either. Told once.
    Unframeable {
        /// The first of those bytes, at most 64.
        bytes: Vec<u8>,
        /// When the kernel showed us the first of them.
        at: Instant,
    },
    /// The stream ended. Told every time from then on.
    End(StreamEnd),
}
