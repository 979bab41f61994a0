//! One open Network Connection: send exact bytes, receive packets with their instants, end it in a chosen way.
//!
//! An idle connection owns its socket's registration and nothing else: what arrives is read into one buffer
//! per thread, and only a packet that is not complete yet, or not asked for yet, is kept aside.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ungraceful_mqtt::Frame;

use crate::clock;
use crate::framing::Framing;
use crate::received::{Arrival, EndKind, ReceivedPacket, SendError, Sent, StreamEnd};
use crate::stream::Stream;

/// One read takes at most this many bytes, and all connections of a thread share the one buffer.
const READ_BUFFER_BYTES: usize = 64 * 1024;

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER_BYTES].into_boxed_slice());
}

/// One open Network Connection.
///
/// Dropping it closes the socket: by FIN when everything received was read, by RST when not (the kernel's
/// rule). A fault that means one of them says so with [`Connection::close`] or [`Connection::reset`].
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    framing: Framing,
    /// What one read brought and nobody took yet: packets, then the telling of unframeable bytes.
    ahead: VecDeque<Arrival>,
    ended: Option<Box<StreamEnd>>,
    /// How both directions ended at once, as the first read or write to fail was told. The kernel tells it
    /// once: a read sees a mere end of stream then, and a write EPIPE.
    lost: Option<EndKind>,
    half_closed: bool,
    quick_ack: bool,
}

impl Connection {
    pub(crate) fn new(stream: Stream, quick_ack: bool) -> Self {
        Self {
            stream,
            framing: Framing::default(),
            ahead: VecDeque::new(),
            ended: None,
            lost: None,
            half_closed: false,
            quick_ack,
        }
    }

    /// Hands all bytes to the kernel, in one write when its buffer has room.
    ///
    /// When the returned future is dropped before it completes, any number of the bytes may have been sent.
    ///
    /// # Errors
    /// [`SendError::Ended`] when the broker ended the connection first. What it sent before can still be read
    /// with [`Connection::next`]. A FIN from the broker ends only what it sends: it is no error to send to one
    /// that sent FIN until it answers by RST. After [`Connection::half_close`] this is an error at once, told
    /// as [`EndKind::Failed`] because the broker has no part in it.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<Sent, SendError> {
        let mut written = 0;
        let mut writes = 0;
        loop {
            let error = match self.stream.try_write(&bytes[written..]) {
                Ok(taken) => {
                    let at = clock::now();
                    written += taken;
                    writes += 1;
                    if written == bytes.len() {
                        return Ok(Sent { at, writes });
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

    /// Hands all bytes to the kernel as [`Connection::send`] does, and reads while its buffer is full, so that a
    /// broker which answers before it reads on can't come to a standstill with us. What it reads is kept for
    /// [`Connection::next`] and [`Connection::receive`]: as much as the broker sends in the meantime.
    ///
    /// `written` is how many of the bytes the kernel has taken: 0 at first. It holds at every moment, so a call whose
    /// future was dropped is taken up again by calling with the same two arguments. Nothing that was read is lost.
    ///
    /// # Errors
    /// As [`Connection::send`]; also when the broker's FIN came while the kernel's buffer was full, because a broker
    /// that has gone reads nothing more. [`Connection::next`] tells how it ended.
    pub async fn send_while_receiving(
        &mut self,
        bytes: &[u8],
        written: &mut usize,
    ) -> Result<Sent, SendError> {
        let mut writes = 0;
        while *written < bytes.len() {
            match self.stream.try_write(&bytes[*written..]) {
                Ok(taken) => {
                    *written += taken;
                    writes += 1;
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
        Ok(Sent { at: clock::now(), writes })
    }

    /// Ready when bytes can be written, or when some were read and put aside.
    fn poll_writable_or_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.stream.poll_writable(context).is_ready() {
            return Poll::Ready(());
        }
        let mut ahead = std::mem::take(&mut self.ahead);
        let read = self.poll_read(context, &mut |frame, first_byte_at, complete_at| {
            let bytes = frame.bytes.to_vec();
            ahead.push_back(Arrival::Packet(ReceivedPacket { bytes, first_byte_at, complete_at }));
        });
        if let Poll::Ready(Some(told @ Arrival::Unframeable { .. })) = &read {
            ahead.push_back(told.clone());
        }
        self.ahead = ahead;
        read.map(|_the_end_is_told_again| ())
    }

    /// Why a write was refused. EPIPE alone says only that some end came before.
    fn refused(&mut self, error: &io::Error) -> EndKind {
        if error.kind() != io::ErrorKind::BrokenPipe {
            return *self.lost.insert(EndKind::of(error));
        }
        let by_us = self.half_closed.then_some(EndKind::Failed);
        self.lost.or(by_us).unwrap_or(EndKind::of(error))
    }

    /// Waits for the next thing the broker does: a whole packet, bytes that are no packet, or the end.
    ///
    /// Nothing is lost when the returned future is dropped before it completes.
    pub async fn next(&mut self) -> Arrival {
        loop {
            if let Some(arrival) = self.take_ahead() {
                return arrival;
            }
            self.arm_quick_ack();
            if let Some(arrival) = poll_fn(|context| self.poll_next(context)).await {
                return arrival;
            }
        }
    }

    /// Waits for bytes, reads once and shows each complete packet without copying it.
    ///
    /// This is the hot path's way of reading: `visit` gets the packet, the instant of its first byte and that
    /// of its last. Returns the end of the stream, or bytes that can't be framed, once everything before it
    /// was shown. What [`Connection::next`] has read ahead is shown first, without a read.
    ///
    /// Nothing is lost when the returned future is dropped before it completes.
    pub async fn receive(&mut self, mut visit: impl FnMut(Frame<'_>, Instant, Instant)) -> Option<Arrival> {
        if self.ahead.is_empty() {
            self.arm_quick_ack();
            return poll_fn(|context| self.poll_read(context, &mut visit)).await;
        }
        while let Some(arrival) = self.take_ahead() {
            match arrival {
                Arrival::Packet(packet) => visit(packet.frame(), packet.first_byte_at, packet.complete_at),
                told => return Some(told),
            }
        }
        None
    }

    /// Waits for bytes and reads at most `bytes` of them, at least 1 and at most 64 KiB, as a client does that is slow.
    /// Otherwise as [`Connection::receive`].
    ///
    /// Nothing is lost when the returned future is dropped before it completes.
    pub async fn receive_at_most(
        &mut self,
        bytes: usize,
        mut visit: impl FnMut(Frame<'_>, Instant, Instant),
    ) -> Option<Arrival> {
        poll_fn(|context| self.poll_read_at_most(bytes, context, &mut visit)).await
    }

    /// Whether the end of the stream has arrived, read or not, or the connection is lost. Reads nothing: this tells a
    /// client that does not read that it was cut, as far as its kernel knows. A FIN behind bytes for which there was no
    /// room has not arrived.
    #[must_use]
    pub fn has_hung_up(&self) -> bool {
        self.ended.is_some() || self.lost.is_some() || self.stream.has_hung_up()
    }

    /// How many arrivals have been read and not been taken yet.
    #[must_use]
    pub fn read_ahead(&self) -> usize {
        self.ahead.len()
    }

    fn arm_quick_ack(&self) {
        if self.quick_ack && self.ended.is_none() {
            self.stream.arm_quick_ack();
        }
    }

    fn take_ahead(&mut self) -> Option<Arrival> {
        let arrival = self.ahead.pop_front();
        if self.ahead.is_empty() {
            // Gives the memory back: an idle connection holds none.
            self.ahead = VecDeque::new();
        }
        arrival
    }

    /// One read: the first thing it brought; the others are kept.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Arrival>> {
        // Nearly every read brings one packet, and that one needs no queue.
        let mut first = None;
        let mut ahead = VecDeque::new();
        let told = ready!(self.poll_read(context, &mut |frame, first_byte_at, complete_at| {
            let bytes = frame.bytes.to_vec();
            let packet = Arrival::Packet(ReceivedPacket { bytes, first_byte_at, complete_at });
            match first {
                None => first = Some(packet),
                Some(_) => ahead.push_back(packet),
            }
        }));
        if first.is_none() {
            return Poll::Ready(told);
        }
        ahead.extend(told);
        self.ahead = ahead;
        Poll::Ready(first)
    }

    /// One read: shows its packets, or tells what came that is none.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        visit: &mut impl FnMut(Frame<'_>, Instant, Instant),
    ) -> Poll<Option<Arrival>> {
        self.poll_read_at_most(READ_BUFFER_BYTES, context, visit)
    }

    fn poll_read_at_most(
        &mut self,
        bytes: usize,
        context: &mut Context<'_>,
        visit: &mut impl FnMut(Frame<'_>, Instant, Instant),
    ) -> Poll<Option<Arrival>> {
        if let Some(end) = &self.ended {
            return Poll::Ready(Some(Arrival::End((**end).clone())));
        }
        READ_BUFFER.with_borrow_mut(|buffer| {
            let bytes = bytes.clamp(1, buffer.len());
            let read = ready!(self.stream.poll_read(context, &mut buffer[..bytes]));
            let at = clock::now();
            Poll::Ready(match read {
                Ok(0) => Some(self.end(self.lost.unwrap_or(EndKind::Fin), at)),
                Ok(length) => self.framing.take_in(&buffer[..length], at, visit),
                Err(error) => {
                    let how = *self.lost.insert(EndKind::of(&error));
                    Some(self.end(how, at))
                }
            })
        })
    }

    fn end(&mut self, how: EndKind, at: Instant) -> Arrival {
        let end = StreamEnd { how, at, unfinished: self.framing.take_unfinished() };
        self.ended = Some(Box::new(end.clone()));
        Arrival::End(end)
    }

    /// Ends the connection by FIN, without a DISCONNECT packet.
    ///
    /// FIN goes first, and what has arrived is read and thrown away, or else the kernel would send RST
    /// instead. A broker that goes on sending gets RST for that, as from any socket that is closed.
    pub fn close(self) {
        self.stream.close();
    }

    /// Ends the connection by RST, without a DISCONNECT packet. Falls back to FIN where the kernel refuses the
    /// option, which Linux does not.
    pub fn reset(self) {
        let _linux_never_refuses = self.stream.arm_reset();
    }

    /// Sends FIN and keeps reading: the broker sees the end of what we send, we see what it does then.
    ///
    /// # Errors
    /// [`SendError::Ended`] when the connection is known to have ended before.
    pub async fn half_close(&mut self) -> Result<Sent, SendError> {
        if let Some(how) = self.lost {
            return Err(SendError::Ended { written: 0, of: 0, how });
        }
        self.half_closed = true;
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

    #[test]
    fn a_connection_takes_two_cache_lines_at_most() {
        assert!(size_of::<Connection>() <= 128, "{}", size_of::<Connection>());
    }
}
