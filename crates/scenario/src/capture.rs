//! Captures of network traffic as TCP connections: pcap and pcapng from tcpdump, tshark and Wireshark.
//!
//! [`read`] turns the bytes of a file into connections, whose bytes are in order and without repetitions. What the file
//! lacks is reported: as a warning, as [`Segment::missing_before`], and in [`CapturedConnection::gaps`]. Bytes on both sides
//! of a gap are never joined.
//!
//! Link types: Ethernet (with VLAN tags), Linux cooked v1 and v2, BSD loopback, raw IP. Left out on purpose: fragments of IP
//! packets, tunnels, and the contents of TLS.

mod connection;
mod file;
mod headers;
mod link;
mod reassembly;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tracking;
mod traffic;
mod warnings;

use std::net::SocketAddr;
use std::time::Duration;

pub use traffic::Content;

/// What a capture contains.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Capture {
    /// Every TCP connection, in the order of their first packets; also those without any bytes.
    pub connections: Vec<CapturedConnection>,
    /// What the reader had to skip or assume, and what is missing, as sentences without a full stop. Empty if the capture is
    /// complete.
    pub warnings: Vec<String>,
}

/// One TCP connection of a capture.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CapturedConnection {
    /// The side that connected. Without a handshake in the capture, it is inferred from the packets or the ports, and
    /// [`Capture::warnings`] says so where only the ports were left.
    pub client: SocketAddr,
    /// The side that accepted.
    pub server: SocketAddr,
    /// Whether the capture has the handshake (at least one of its SYNs). If not, the first segments may be the middle of
    /// something.
    pub has_beginning: bool,
    /// What both sides sent, in order of time. Each segment is what one packet added to the stream; repeated bytes are
    /// removed.
    pub segments: Vec<Segment>,
    /// How the connection ended; absent if the capture stops earlier.
    pub end: Option<End>,
    /// How many holes the two streams have, the missing ends included. 0 if every byte is there.
    pub gaps: u64,
}

/// Bytes that one side sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Who sent them.
    pub from: Side,
    /// When the last byte that the receiver needed for them was captured, since the first packet of the capture (of any
    /// connection). Never decreases from one segment to the next.
    pub at: Duration,
    /// How many bytes of this side are missing directly before these; 0 if none.
    pub missing_before: u64,
    /// The bytes, at least one.
    pub bytes: Vec<u8>,
}

/// The first FIN or RST of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Who sent it.
    pub by: Side,
    /// Which of the two it was.
    pub how: How,
    /// When, since the first packet of the capture.
    pub at: Duration,
}

/// How a side ended a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum How {
    /// Orderly: it sends nothing more.
    Fin,
    /// Abruptly.
    Rst,
}

/// One of the two sides of a Network Connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Side {
    /// The side that connects.
    Client,
    /// The side that accepts: the broker.
    Server,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Why a file can't be read as a capture. The user must act; each text says how.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CaptureError {
    /// No bytes at all.
    #[error(
        "the capture is empty (0 bytes): capture again, for example with `tcpdump -i any -s 0 -w FILE port 1883`"
    )]
    Empty,
    /// A compressed file.
    #[error("the capture is compressed with {with}: decompress it first, for example with `{command}`")]
    Compressed {
        /// The name of the format, such as gzip.
        with: &'static str,
        /// A command that decompresses it.
        command: &'static str,
    },
    /// Neither of the two formats.
    #[error(
        "not a capture: the file begins with {begins}, which is neither pcap nor pcapng; save it with `tcpdump -w FILE` or as \
         pcapng in Wireshark"
    )]
    NotACapture {
        /// The first bytes of the file, in hex.
        begins: String,
    },
    /// The file ends before its first packet is complete. (If it ends later, that is a warning.)
    #[error(
        "the capture is truncated: it ends at byte {at}, before the first packet is complete; copy or capture it again"
    )]
    Truncated {
        /// Length of the file in bytes.
        at: usize,
    },
    /// The structure of the file contradicts itself.
    #[error("the capture is damaged: byte {at} does not begin a valid {what}; copy or capture it again")]
    Damaged {
        /// Where the invalid part begins, in bytes from the start of the file.
        at: usize,
        /// What should be there.
        what: &'static str,
    },
    /// No packet is of a link type that this reader knows.
    #[error(
        "unsupported link type {number} ({name}): capture on an Ethernet or loopback interface, or with `tcpdump -i any`"
    )]
    UnsupportedLinkType {
        /// The number in the registry of link types.
        number: u16,
        /// Its name there; `unknown` if this reader has none for it.
        name: &'static str,
    },
}

/// Reads a whole capture file, pcap or pcapng.
///
/// A file that ends in the middle of a packet is read up to there, with a warning. Memory is proportional to `bytes`.
///
/// # Errors
/// If not a single packet can be read: not a capture, compressed, truncated, damaged, or of unsupported link types only.
pub fn read(bytes: &[u8]) -> Result<Capture, CaptureError> {
    let file = file::read(bytes)?;
    let mut warnings = file.warnings;
    let packets = headers::tcp_packets(file.packets, &mut warnings)?;
    let connections = tracking::connections(&packets, &mut warnings);
    Ok(Capture { connections, warnings })
}
