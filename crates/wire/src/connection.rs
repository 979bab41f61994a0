//! One open Network Connection: send exact bytes, receive packets with their instants, end it in a chosen way.
//!
//! An idle connection owns its socket's registration and nothing else: what arrives is read into one buffer
//! per thread, and only a packet that is not complete yet is kept aside.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use ungraceful_mqtt::{Frame, Framed, frame};

use crate::clock;
use crate::received::{Arrival, EndKind, ReceivedPacket, SendError, Sent, StreamEnd};
use crate::stream::Stream;

/// One read takes at most this many bytes, and all connections of a thread share the one buffer.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// How much of bytes that can't be cut into packets is kept as evidence.
const UNFRAMEABLE_KEPT_BYTES: usize = 64;

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER_BYTES].into_boxed_slice());
}

/// The beginning of a packet whose rest has not come yet.
#[derive(Debug)]
struct Unfinished {
    bytes: Vec<u8>,
    first_byte_at: Instant,
}

/// One open Network Connection.
///
/// Dropping it closes the socket: by FIN when everything received was read, by RST when not (the kernel's
/// rule). A fault that means one of them says so with [`Connection::close`] or [`Connection::reset`].
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    unfinished: Option<Box<Unfinished>>,
    pending: VecDeque<ReceivedPacket>,
    ended: Option<Box<StreamEnd>>,
    /// Bytes that can't be framed came, and with them the end of all packets.
    unframeable: bool,
    /// The telling of them, until the packets that came before are taken.
    untold: Option<Box<Arrival>>,
    quick_ack: bool,
}

impl Connection {
    pub(crate) fn new(stream: Stream, quick_ack: bool) -> Self {
        Self {
            stream,
            unfinished: None,
            pending: VecDeque::new(),
            ended: None,
            unframeable: false,
            untold: None,
            quick_ack,
        }
    }

    /// Hands all bytes to the kernel, in one write when its buffer has room.
    ///
    /// # Errors
    /// [`SendError::Ended`] when the broker ended the connection first. What it sent before can still be read
    /// with [`Connection::next`].
    pub async fn send(&mut self, bytes: &[u8]) -> Result<Sent, SendError> {
        let mut written = 0;
        let mut writes = 0;
        loop {
            match self.stream.try_write(&bytes[written..]) {
                Ok(taken) => {
                    let at = clock::now();
                    written += taken;
                    writes += 1;
                    if written == bytes.len() {
                        return Ok(Sent { at, writes });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Err(error) = self.stream.writable().await {
                        return Err(SendError::Ended { written, of: bytes.len(), how: EndKind::of(&error) });
                    }
                }
                Err(error) => {
                    return Err(SendError::Ended { written, of: bytes.len(), how: EndKind::of(&error) });
                }
            }
        }
    }

    /// Waits for the next thing the broker does: a whole packet, bytes that are no packet, or the end.
    ///
    /// Nothing is lost when the returned future is dropped before it completes.
    pub async fn next(&mut self) -> Arrival {
        loop {
            if let Some(packet) = self.pending.pop_front() {
                return Arrival::Packet(packet);
            }
            if let Some(unframeable) = self.untold.take() {
                return *unframeable;
            }
            if let Some(end) = &self.ended {
                return Arrival::End((**end).clone());
            }
            if let Err(error) = self.readiness().await {
                self.end(EndKind::of(&error));
                continue;
            }
            let mut pending = std::mem::take(&mut self.pending);
            let read = self.read_once(&mut |frame: Frame<'_>, first_byte_at, complete_at| {
                pending.push_back(ReceivedPacket { bytes: frame.bytes.to_vec(), first_byte_at, complete_at });
            });
            self.pending = pending;
            if let Some(unframeable @ Arrival::Unframeable { .. }) = read {
                self.untold = Some(Box::new(unframeable));
            }
        }
    }

    /// Waits for bytes, reads once and shows each complete packet without copying it.
    ///
    /// This is the hot path's way of reading: `visit` gets the packet, the instant of its first byte and that
    /// of its last. Returns the end of the stream, or bytes that can't be framed, once everything before it
    /// was shown. Not to be mixed with [`Connection::next`] on one connection: what that one has read ahead
    /// is not shown here.
    pub async fn receive(&mut self, mut visit: impl FnMut(Frame<'_>, Instant, Instant)) -> Option<Arrival> {
        if let Some(end) = &self.ended {
            return Some(Arrival::End((**end).clone()));
        }
        if let Err(error) = self.readiness().await {
            return Some(self.end(EndKind::of(&error)));
        }
        self.read_once(&mut visit)
    }

    async fn readiness(&self) -> io::Result<()> {
        if self.quick_ack {
            self.stream.arm_quick_ack();
        }
        self.stream.readable().await
    }

    fn read_once(&mut self, visit: &mut impl FnMut(Frame<'_>, Instant, Instant)) -> Option<Arrival> {
        READ_BUFFER.with_borrow_mut(|buffer| match self.stream.try_read(buffer) {
            Ok(0) => Some(self.end(EndKind::Fin)),
            Ok(read) => self.take_in(&buffer[..read], clock::now(), visit),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(self.end(EndKind::of(&error))),
        })
    }

    /// Cuts what came into packets, together with what was left over from before.
    fn take_in(
        &mut self,
        bytes: &[u8],
        at: Instant,
        visit: &mut impl FnMut(Frame<'_>, Instant, Instant),
    ) -> Option<Arrival> {
        if self.unframeable {
            return None;
        }
        let Some(mut left) = self.unfinished.take() else {
            return self.cut(bytes, at, at, visit);
        };
        left.bytes.extend_from_slice(bytes);
        self.cut(&left.bytes, left.first_byte_at, at, visit)
    }

    fn cut(
        &mut self,
        mut bytes: &[u8],
        mut first_byte_at: Instant,
        at: Instant,
        visit: &mut impl FnMut(Frame<'_>, Instant, Instant),
    ) -> Option<Arrival> {
        loop {
            match frame(bytes) {
                Framed::Complete(packet) => {
                    let length = packet.bytes.len();
                    visit(packet, first_byte_at, at);
                    // Whatever follows the first packet came with this read.
                    first_byte_at = at;
                    bytes = &bytes[length..];
                }
                Framed::Incomplete { .. } => {
                    if !bytes.is_empty() {
                        self.unfinished = Some(Box::new(Unfinished { bytes: bytes.to_vec(), first_byte_at }));
                    }
                    return None;
                }
                Framed::Malformed(_) => {
                    self.unframeable = true;
                    let kept = bytes[..bytes.len().min(UNFRAMEABLE_KEPT_BYTES)].to_vec();
                    return Some(Arrival::Unframeable { bytes: kept, at: first_byte_at });
                }
            }
        }
    }

    fn end(&mut self, how: EndKind) -> Arrival {
        let unfinished = self.unfinished.take().map(|left| left.bytes).unwrap_or_default();
        let end = StreamEnd { how, at: clock::now(), unfinished };
        self.ended = Some(Box::new(end.clone()));
        Arrival::End(end)
    }

    /// Ends the connection by FIN, without a DISCONNECT packet.
    ///
    /// What has arrived is read and thrown away first, or else the kernel would send RST instead.
    pub fn close(self) {
        READ_BUFFER.with_borrow_mut(
            |buffer| {
                while matches!(self.stream.try_read(buffer), Ok(read) if read > 0) {}
            },
        );
    }

    /// Ends the connection by RST, without a DISCONNECT packet. Falls back to FIN where the kernel refuses the
    /// option, which Linux does not.
    pub fn reset(self) {
        let _linux_never_refuses = self.stream.arm_reset();
    }

    /// Sends FIN and keeps reading: the broker sees the end of what we send, we see what it does then.
    ///
    /// # Errors
    /// [`SendError::Ended`] when the connection had ended before.
    pub async fn half_close(&mut self) -> Result<Sent, SendError> {
        match self.stream.half_close().await {
            Ok(()) => Ok(Sent { at: clock::now(), writes: 0 }),
            Err(error) => Err(SendError::Ended { written: 0, of: 0, how: EndKind::of(&error) }),
        }
    }

    /// Stops reading and writing for good while the socket stays open: what the broker sends fills the
    /// kernel's buffers, and then its own.
    #[must_use]
    pub fn fall_silent(self) -> SilentConnection {
        SilentConnection { connection: self }
    }
}

/// A connection that is open and neither reads nor writes. Dropping it closes the socket: by RST when unread
/// bytes wait in it, by FIN when not.
#[derive(Debug)]
pub struct SilentConnection {
    connection: Connection,
}

impl SilentConnection {
    /// Takes up reading and writing again.
    #[must_use]
    pub fn wake(self) -> Connection {
        self.connection
    }
}
