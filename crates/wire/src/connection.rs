//! One open Network Connection: send exact bytes, receive packets with their instants, end it in a chosen way.
//!
//! An idle connection owns its socket's registration and the state of its layers (of TLS about 10 KB), and nothing else:
//! arrivals are read into one buffer per thread, and only packets that are incomplete or not asked for yet are kept. Their size is bounded (see `framing`); what is
//! not read stays in the kernel, which then stops the broker.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::net::TcpStream;
use ungraceful_mqtt::Frame;

use crate::clock;
use crate::endpoint::ConnectOptions;
use crate::framing::{Framing, Held, discard};
use crate::kernel_stamps::Read;
use crate::layers::Layer;
use crate::received::{Arrival, EndKind, SendError, Sent, StreamEnd};
use crate::stamps::{Stamped, StampedBy, Stamping};
use crate::stream::Stream;
use crate::websocket::RawFrame;

/// Most bytes of one read; all connections of a thread share the buffer.
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Most bytes of one read for [`Connection::next`], which returns one packet and has to keep the others: many small
/// packets then stay in the kernel.
const NEXT_READ_BYTES: usize = 4 * 1024;

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER_BYTES].into_boxed_slice());
}

/// One open Network Connection.
///
/// Dropping it closes the socket: by FIN when everything received was read, otherwise by RST (the kernel's rule). A
/// fault that needs one of them calls [`Connection::close`] or [`Connection::reset`].
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    framing: Framing,
    /// Read, and not taken yet.
    ahead: VecDeque<Chunk>,
    ended: Option<Box<StreamEnd>>,
    /// How both directions ended at once, by the first read or write that failed. The kernel reports it once: later
    /// reads see a mere end of stream, and later writes EPIPE.
    lost: Option<EndKind>,
    half_closed: bool,
    quick_ack: bool,
    /// Absent without the kernel's stamps.
    stamping: Option<Box<Stamping>>,
}

/// Bytes that one read brought.
#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    /// How many of them were taken.
    taken: usize,
    at: Stamped,
    /// There was no room for them, nor for what follows.
    is_overrun: bool,
    _held: Held,
}

impl Chunk {
    fn of(bytes: &[u8], at: Stamped, held: Held) -> Self {
        Self { bytes: bytes.to_vec(), taken: 0, at, is_overrun: false, _held: held }
    }

    fn overrun(at: Stamped) -> Self {
        Self { is_overrun: true, ..Self::of(&[], at, Held::default()) }
    }
}

impl Connection {
    pub(crate) fn new(stream: Stream, options: &ConnectOptions) -> Self {
        // The kernel counts the bytes of the layers, and a capture shows no packets in them: their stamps are the program's own.
        let stamps = options.stamps.as_ref().filter(|_| !stream.is_layered());
        let stamping = stamps.and_then(|stamps| Stamping::begin(stamps, &stream));
        Self {
            stream,
            framing: Framing::default(),
            ahead: VecDeque::new(),
            ended: None,
            lost: None,
            half_closed: false,
            quick_ack: options.quick_ack,
            stamping,
        }
    }

    /// A stream over `tcp` with this connection's layers; this connection goes on in plain TCP. What has arrived here, and
    /// `under_way` after it, is lost.
    pub(crate) fn hand_over_layers(&mut self, tcp: TcpStream, under_way: &[u8]) -> Stream {
        self.stream.hand_over_layers(tcp, under_way)
    }

    /// Hands all bytes to the kernel, in one write when its buffer has room.
    ///
    /// When the future is dropped early, any number of the bytes may have been sent.
    ///
    /// # Errors
    /// [`SendError::Ended`] when the broker ended the connection first. What it sent before can still be read with
    /// [`Connection::next`]. A FIN from the broker ends only its own direction: sending succeeds until it answers by
    /// RST. After [`Connection::half_close`] this fails at once, with [`EndKind::Failed`] because the broker has no
    /// part in it.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<Sent, SendError> {
        let mut written = 0;
        let mut writes = 0;
        self.stream.begin(false);
        loop {
            let error = match self.write(&bytes[written..]) {
                Ok((taken, (at, by))) => {
                    written += taken;
                    writes += 1;
                    if written == bytes.len() {
                        return Ok(Sent { at, by, writes });
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.stream.writable().await {
                        Ok(()) => continue,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            return Err(SendError::Ended { written, of: bytes.len(), how: self.refused(&error) });
        }
    }

    /// Sends these frames of WebSocket as they are, where [`Connection::send`] makes frames of packets. Nothing is sent without
    /// WebSocket.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub async fn send_frames(&mut self, frames: &[RawFrame]) -> Result<Sent, SendError> {
        self.stream.queue_frames(frames);
        self.send(&[]).await
    }

    /// One write: how many bytes the kernel took, and when the last of them left.
    fn write(&mut self, bytes: &[u8]) -> io::Result<(usize, Stamped)> {
        let began = clock::now();
        let written = self.stream.try_write(bytes);
        let Some(stamping) = &mut self.stamping else {
            return Ok((written?, (began, StampedBy::Program)));
        };
        match written {
            Ok(taken) => Ok((taken, stamping.left(&self.stream, &bytes[..taken], began))),
            Err(error) => {
                if error.kind() == io::ErrorKind::WouldBlock {
                    self.stream.expect_room_later()?;
                }
                Err(error)
            }
        }
    }

    /// As [`Connection::send`], but reads while the kernel's buffer is full, so that a broker which answers before it
    /// reads on can't deadlock with us. What it reads is kept for [`Connection::next`] and [`Connection::receive`],
    /// as long as all connections of the process hold no more than [`HELD_BYTES_MAX`](crate::HELD_BYTES_MAX); the
    /// rest is discarded, and reported as [`Arrival::Unframeable`].
    ///
    /// `written` is how many of the bytes the kernel has taken: 0 at first. It is always current, so after a dropped
    /// future the call is resumed with the same two arguments. Nothing that was read is lost.
    ///
    /// # Errors
    /// As [`Connection::send`]; also when the broker's FIN came while the kernel's buffer was full, because such a
    /// broker reads nothing more. [`Connection::next`] returns how it ended.
    pub async fn send_while_receiving(
        &mut self,
        bytes: &[u8],
        written: &mut usize,
    ) -> Result<Sent, SendError> {
        let mut writes = 0;
        self.stream.begin(true);
        // What was taken before this call left before it.
        let mut left = (clock::now(), StampedBy::Program);
        while *written < bytes.len() {
            match self.write(&bytes[*written..]) {
                Ok((taken, last_left)) => {
                    *written += taken;
                    writes += 1;
                    left = last_left;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll_fn(|context| self.poll_writable_or_read(context)).await;
                    if let Some(end) = &self.ended {
                        return Err(SendError::Ended { written: *written, of: bytes.len(), how: end.how });
                    }
                }
                Err(error) => {
                    let how = self.refused(&error);
                    return Err(SendError::Ended { written: *written, of: bytes.len(), how });
                }
            }
        }
        Ok(Sent { at: left.0, by: left.1, writes })
    }

    /// Ready when bytes can be written, or when some were read.
    fn poll_writable_or_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.stream.poll_writable(context).is_ready() {
            return Poll::Ready(());
        }
        READ_BUFFER.with_borrow_mut(|buffer| match ready!(self.poll_bytes(context, buffer)) {
            // The next read returns it again.
            Err(_end) => Poll::Ready(()),
            Ok((length, at)) => {
                let mut held = Held::default();
                if self.ahead.back().is_some_and(|chunk| chunk.is_overrun) {
                    discard(length);
                } else if held.grow(length) {
                    self.ahead.push_back(Chunk::of(&buffer[..length], at, held));
                } else {
                    discard(length);
                    self.ahead.push_back(Chunk::overrun(at));
                }
                Poll::Ready(())
            }
        })
    }

    /// Why a write was refused. EPIPE alone says only that some end came before.
    fn refused(&mut self, error: &io::Error) -> EndKind {
        if error.kind() != io::ErrorKind::BrokenPipe {
            return *self.lost.insert(EndKind::of(error));
        }
        let by_us = self.half_closed.then_some(EndKind::Failed);
        self.lost.or(by_us).unwrap_or(EndKind::of(error))
    }

    /// Waits for the next thing the broker does: a whole packet, bytes that are no packet, or the end. Nothing is
    /// lost when the future is dropped early.
    pub async fn next(&mut self) -> Arrival {
        loop {
            if let Some(arrival) = self.take_ahead() {
                return self.with_own_stamp(arrival);
            }
            self.arm_quick_ack();
            if let Some(arrival) = poll_fn(|context| self.poll_next(context)).await {
                return self.with_own_stamp(arrival);
            }
        }
    }

    /// Waits for bytes, reads once and shows each complete packet without copying it.
    ///
    /// For hot paths: `visit` gets the packet, and the instants of its first and last byte. Returns the end of the
    /// stream, or bytes that can't be framed, after everything before it. What [`Connection::next`] has read ahead is
    /// shown first, without a read. Nothing is lost when the future is dropped early.
    pub async fn receive(&mut self, visit: impl FnMut(Frame<'_>, Instant, Instant)) -> Option<Arrival> {
        if self.ahead.is_empty() {
            self.arm_quick_ack();
        }
        self.receive_at_most(READ_BUFFER_BYTES, visit).await
    }

    /// As [`Connection::receive`], but reads at most `bytes`, from 1 to 64 KiB, as a slow client does.
    pub async fn receive_at_most(
        &mut self,
        bytes: usize,
        visit: impl FnMut(Frame<'_>, Instant, Instant),
    ) -> Option<Arrival> {
        let mut visit = instants_alone(visit);
        if self.ahead.is_empty() {
            return poll_fn(|context| self.poll_read_at_most(bytes, context, &mut visit)).await;
        }
        while let Some(chunk) = self.ahead.pop_front() {
            let arrival = if chunk.is_overrun {
                self.framing.overrun(chunk.at)
            } else {
                let mut visit = with_own_stamps(self.stamping.as_deref(), &mut visit);
                self.framing.take_in(&chunk.bytes[chunk.taken..], chunk.at, &mut visit)
            };
            if arrival.is_some() {
                return arrival;
            }
        }
        self.ahead = VecDeque::new();
        None
    }

    /// Whether the end of the stream has arrived, read or not, or the connection is lost. Reads nothing: it shows a
    /// client that does not read that it was cut, as far as its kernel knows. A FIN behind bytes for which there was
    /// no room has not arrived.
    #[must_use]
    pub fn has_hung_up(&self) -> bool {
        self.ended.is_some() || self.lost.is_some() || self.stream.has_hung_up()
    }

    /// Bytes that were read and not taken yet.
    #[must_use]
    pub fn read_ahead(&self) -> usize {
        self.ahead.iter().map(|chunk| chunk.bytes.len() - chunk.taken).sum()
    }

    /// Gives a packet the stamp of its own segment, where known.
    fn with_own_stamp(&self, mut arrival: Arrival) -> Arrival {
        if let (Arrival::Packet(packet), Some(stamping)) = (&mut arrival, &self.stamping) {
            let came = |at| stamping.of_packet(packet.bytes[0], (at, packet.by)).0;
            (packet.first_byte_at, packet.complete_at) =
                (came(packet.first_byte_at), came(packet.complete_at));
        }
        arrival
    }

    fn arm_quick_ack(&self) {
        if self.quick_ack && self.ended.is_none() {
            self.stream.arm_quick_ack();
        }
    }

    /// The next arrival that was read ahead; absent when none is complete.
    fn take_ahead(&mut self) -> Option<Arrival> {
        while let Some(chunk) = self.ahead.front_mut() {
            let mut rest = &chunk.bytes[chunk.taken..];
            let arrival = match chunk.is_overrun {
                true => self.framing.overrun(chunk.at),
                false => self.framing.take_one(&mut rest, chunk.at),
            };
            chunk.taken = chunk.bytes.len() - rest.len();
            if rest.is_empty() {
                self.ahead.pop_front();
            }
            if self.ahead.is_empty() {
                // Frees the memory: an idle connection holds none.
                self.ahead = VecDeque::new();
            }
            if arrival.is_some() {
                return arrival;
            }
        }
        None
    }

    /// One read: returns the first arrival and keeps the others.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Arrival>> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            Poll::Ready(match ready!(self.poll_bytes(context, &mut buffer[..NEXT_READ_BYTES])) {
                Err(end) => Some(end),
                Ok((length, at)) => {
                    let mut rest = &buffer[..length];
                    let first = self.framing.take_one(&mut rest, at);
                    // Nearly every read brings one packet, and that one needs no queue.
                    if !rest.is_empty() {
                        self.ahead.push_back(Chunk::of(rest, at, Held::default()));
                    }
                    first
                }
            })
        })
    }

    fn poll_read_at_most(
        &mut self,
        bytes: usize,
        context: &mut Context<'_>,
        visit: &mut impl FnMut(Frame<'_>, Stamped, Stamped),
    ) -> Poll<Option<Arrival>> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let bytes = bytes.clamp(1, buffer.len());
            Poll::Ready(match ready!(self.poll_bytes(context, &mut buffer[..bytes])) {
                Err(end) => Some(end),
                Ok((length, at)) => {
                    let mut visit = with_own_stamps(self.stamping.as_deref(), visit);
                    self.framing.take_in(&buffer[..length], at, &mut visit)
                }
            })
        })
    }

    /// One read: how many bytes it brought and when, or the end of the stream.
    fn poll_bytes(
        &mut self,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<Result<(usize, Stamped), Arrival>> {
        if self.ended.is_some() {
            return Poll::Ready(Err(self.stream_end()));
        }
        let read = ready!(self.stream.poll_read(context, into));
        let seen = clock::now();
        let (how, why) = match read {
            Ok(Read { bytes: 0, .. }) => (self.lost.unwrap_or(EndKind::Fin), self.stream.close_reason()),
            Ok(Read { bytes, stamp }) => {
                let arrived = match &mut self.stamping {
                    Some(stamping) => stamping.arrived(stamp, seen),
                    None => (seen, StampedBy::Program),
                };
                return Poll::Ready(Ok((bytes, arrived)));
            }
            Err(error) => {
                let is_in_words =
                    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::Unsupported);
                (*self.lost.insert(EndKind::of(&error)), is_in_words.then(|| error.to_string()))
            }
        };
        let (at, by) = match &self.stamping {
            Some(stamping) => stamping.ended(how, seen),
            None => (seen, StampedBy::Program),
        };
        self.ended =
            Some(Box::new(StreamEnd { how, at, by, unfinished: Vec::new(), why: why.map(Into::into) }));
        Poll::Ready(Err(self.stream_end()))
    }

    /// The end of the stream. The unfinished packet is known when everything before it was taken.
    fn stream_end(&mut self) -> Arrival {
        let end = self.ended.as_mut().expect("it has ended");
        if self.ahead.is_empty() && end.unfinished.is_empty() {
            end.unfinished = self.framing.take_unfinished();
        }
        Arrival::End((**end).clone())
    }

    /// Ends WebSocket by a Close frame and TLS by close_notify, where there are any, and then the connection as [`Connection::close`] does.
    pub fn close_properly(mut self) {
        self.stream.close_layers(None);
        self.close();
    }

    /// Ends this layer alone, and leaves what lies beneath it open; reading stays possible. Nothing happens without it.
    pub fn close_layer(&mut self, layer: Layer) -> Sent {
        let at = clock::now();
        self.stream.close_layers(Some(layer));
        Sent { at, by: StampedBy::Program, writes: 0 }
    }

    /// Ends the connection by FIN, without a DISCONNECT packet, a Close frame and close_notify. FIN goes first, and what has arrived is discarded,
    /// because the kernel would send RST otherwise. A broker that goes on sending gets RST, as from any closed
    /// socket.
    pub fn close(self) {
        self.stream.close();
    }

    /// Ends the connection by RST, without a DISCONNECT packet; by FIN where the kernel refuses the option, which
    /// Linux does not.
    pub fn reset(self) {
        let _linux_never_refuses = self.stream.arm_reset();
    }

    /// Sends FIN and keeps reading.
    ///
    /// # Errors
    /// [`SendError::Ended`] when the connection is known to have ended before.
    pub async fn half_close(&mut self) -> Result<Sent, SendError> {
        if let Some(how) = self.lost {
            return Err(SendError::Ended { written: 0, of: 0, how });
        }
        self.half_closed = true;
        let at = clock::now();
        match self.stream.half_close().await {
            Ok(()) => Ok(Sent { at, by: StampedBy::Program, writes: 0 }),
            Err(error) => Err(SendError::Ended { written: 0, of: 0, how: EndKind::of(&error) }),
        }
    }

    /// Stops reading and writing while the socket stays open: what the broker sends fills the kernel's buffers, and
    /// then its own.
    #[must_use]
    pub fn fall_silent(self) -> SilentConnection {
        SilentConnection { connection: self }
    }
}

/// For callers that need only the instants.
fn instants_alone(
    mut visit: impl FnMut(Frame<'_>, Instant, Instant),
) -> impl FnMut(Frame<'_>, Stamped, Stamped) {
    move |frame, (first_byte_at, _), (complete_at, _)| visit(frame, first_byte_at, complete_at)
}

/// Gives packets the stamps of their own segments, where known.
fn with_own_stamps(
    stamping: Option<&Stamping>,
    visit: &mut impl FnMut(Frame<'_>, Stamped, Stamped),
) -> impl FnMut(Frame<'_>, Stamped, Stamped) {
    move |frame, first_byte, complete| {
        let came = |at| stamping.map_or(at, |stamping| stamping.of_packet(frame.bytes[0], at));
        visit(frame, came(first_byte), came(complete));
    }
}

/// A connection that is open and neither reads nor writes. Dropping it closes the socket: by RST when unread
/// bytes wait in it, by FIN when not.
#[derive(Debug)]
pub struct SilentConnection {
    connection: Connection,
}

impl SilentConnection {
    /// Resumes reading and writing.
    #[must_use]
    pub fn wake(self) -> Connection {
        self.connection
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;
    use crate::endpoint::{ConnectOptions, Endpoint};

    #[tokio::test]
    async fn an_idle_connection_holds_no_memory_for_packets() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint { address: listener.local_addr().unwrap() };
        let mut connection = endpoint.open(&ConnectOptions::default()).await.unwrap().connection;
        let (mut peer, _address) = listener.accept().unwrap();
        peer.write_all(&[0xD0, 0x00, 0xD0, 0x00, 0xD0, 0x00]).unwrap();
        for _ in 0..3 {
            assert!(matches!(connection.next().await, Arrival::Packet(_)));
        }
        assert_eq!(connection.ahead.capacity(), 0);
        assert!(connection.framing.take_unfinished().is_empty());
        assert!(connection.ended.is_none());
    }

    #[tokio::test]
    async fn many_small_packets_stay_in_the_kernel() {
        const PACKETS: usize = 32 * 1024;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint { address: listener.local_addr().unwrap() };
        let mut connection = endpoint.open(&ConnectOptions::default()).await.unwrap().connection;
        let (mut peer, _address) = listener.accept().unwrap();
        peer.write_all(&[0xD0, 0x00].repeat(PACKETS)).unwrap();
        for _ in 0..PACKETS {
            assert!(matches!(connection.next().await, Arrival::Packet(_)));
            assert!(connection.read_ahead() < NEXT_READ_BYTES);
        }
        assert_eq!(connection.ahead.capacity(), 0);
    }

    #[test]
    fn a_connection_takes_two_cache_lines_at_most() {
        assert!(size_of::<Connection>() <= 128, "{}", size_of::<Connection>());
    }
}
