//! What lies between the bytes of MQTT and those of the socket, without I/O of its own: the same for a connection that a runtime
//! waits for and for an engine that waits for thousands of sockets itself.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::arrivals::Arrived;
use crate::clock;
use crate::endpoint::OpenError;
use crate::kernel_stamps::{self, Read};
use crate::stamps::possible;
use crate::tls::{Session, Tls};
use crate::websocket::{Frames, RawFrame, WebSocket};

/// How much is read from the socket at once, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// How much a layer gives to the next one at once, in bytes.
const PLAIN_BYTES: usize = 4 * 1024;

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// The layers with which a run's connections are made; plain TCP without any. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// TLS; absent without.
    pub tls: Option<Tls>,
    /// WebSocket, over TLS if there is TLS; absent without.
    pub websocket: Option<WebSocket>,
}

impl Transport {
    /// The layers of a new connection; absent for plain TCP.
    #[must_use]
    pub fn layers(&self) -> Option<Layers> {
        if !self.is_layered() {
            return None;
        }
        Some(Layers {
            tls: self.tls.as_ref().map(Tls::session),
            websocket: self.websocket.as_ref().map(|websocket| websocket.upgrade(self.tls.is_some())),
            unsent: 0,
            resumable: false,
            owed: 0,
            stamp: None,
        })
    }

    /// The same layers to another host: the certificate must be for `server_name`, unless absent, and `authority` is the Host of
    /// WebSocket. A name that can't be one is left as it is; it was checked.
    #[must_use]
    pub fn toward(&self, server_name: Option<&str>, authority: &str) -> Self {
        let named = |tls: &Tls| server_name.and_then(|name| tls.named(name)).unwrap_or_else(|| tls.clone());
        Self {
            tls: self.tls.as_ref().map(named),
            websocket: self.websocket.as_ref().map(|websocket| websocket.toward(authority)),
        }
    }

    /// Whether there is anything over TCP.
    #[must_use]
    pub fn is_layered(&self) -> bool {
        self.tls.is_some() || self.websocket.is_some()
    }

    /// The names of the handshakes over TCP, for messages.
    #[must_use]
    pub fn handshakes(&self) -> &'static str {
        match (&self.tls, &self.websocket) {
            (_, None) => "TLS",
            (None, Some(_)) => "WebSocket",
            (Some(_), Some(_)) => "TLS or WebSocket",
        }
    }
}

/// A layer that can be ended alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// WebSocket, by a Close frame with code 1000.
    WebSocket,
    /// TLS, by close_notify.
    Tls,
}

/// The layers of one connection. The functions of this crate get the socket as two functions that never wait: one that writes and one
/// that reads.
#[derive(Debug)]
pub struct Layers {
    tls: Option<Session>,
    websocket: Option<Frames>,
    /// Bytes of MQTT that the layers have, of whose records or frames the kernel has not taken all.
    unsent: usize,
    /// Whether the bytes are those of a call that is taken up again when it was abandoned.
    resumable: bool,
    /// As `unsent`, of an abandoned call while others send in between.
    owed: usize,
    /// The kernel's stamp of the last segment that was read.
    stamp: Option<Duration>,
}

impl Layers {
    /// Goes on with the handshakes, as far as the non-blocking `socket` goes now. Returns whether they are complete; if not, it is to
    /// be called again when the socket can be read, or written while [`Layers::is_flushed`] is false.
    ///
    /// # Errors
    /// [`OpenError`], with what is wrong with the broker's certificate or answer in words.
    pub fn shake_hands_on(&mut self, socket: &TcpStream) -> Result<bool, OpenError> {
        let read = |into: &mut [u8]| kernel_stamps::read(socket, into);
        self.shake_hands(write_to(socket), read, read)
    }

    /// As [`Layers::shake_hands_on`]. `read_last` reads what has arrived when a write is refused, without asking the runtime first.
    pub(crate) fn shake_hands(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
        mut read: impl FnMut(&mut [u8]) -> io::Result<Read>,
        read_last: impl FnMut(&mut [u8]) -> io::Result<Read>,
    ) -> Result<bool, OpenError> {
        // One read a call: a peer that always has more to say must not hold the thread.
        let mut has_read = false;
        loop {
            match self.flush(&mut write) {
                Ok(()) => {}
                Err(error) if is_not_now(&error) => return Ok(false),
                Err(refused) => {
                    let why = self.last_words(read_last).err().unwrap_or(refused);
                    return Err(self.of_handshake(why));
                }
            }
            if !self.is_handshaking() || has_read {
                return Ok(!self.is_handshaking());
            }
            has_read = true;
            let came = match self.take_from(&mut read) {
                Err(error) if is_not_now(&error) => return Ok(false),
                came => came.map_err(|error| self.of_handshake(error))?,
            };
            if let Err(error) = self.failure() {
                // Sends the alert that has the reason.
                let _best_effort = self.flush(&mut write);
                return Err(self.of_handshake(error));
            }
            if came == 0 {
                return Err(OpenError::TlsCut);
            }
        }
    }

    fn is_securing(&self) -> bool {
        self.tls.as_ref().is_some_and(Session::is_handshaking)
    }

    fn is_handshaking(&self) -> bool {
        self.is_securing() || self.websocket.as_ref().is_some_and(Frames::is_handshaking)
    }

    /// An error that ended a handshake.
    fn of_handshake(&self, error: io::Error) -> OpenError {
        match &self.websocket {
            Some(_) if !self.is_securing() => OpenError::of_websocket(error),
            _ => OpenError::of_tls(error),
        }
    }

    /// What the broker sent before it reset the connection: a client certificate has several records, and the alert that refuses it
    /// may come before the last of them is written.
    fn last_words(&mut self, mut read: impl FnMut(&mut [u8]) -> io::Result<Read>) -> io::Result<()> {
        while self.take_from(&mut read).is_ok_and(|bytes| bytes > 0) && self.failure().is_ok() {}
        self.failure()
    }

    fn failure(&self) -> io::Result<()> {
        self.tls.as_ref().map_or(Ok(()), Session::failure)?;
        self.websocket.as_ref().map_or(Ok(()), Frames::failure)
    }

    /// Whether the kernel has taken everything.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        let is_secured = self.tls.as_ref().is_none_or(Session::is_flushed);
        // WebSocket begins after the handshake of TLS.
        is_secured && (self.is_securing() || self.websocket.as_ref().is_none_or(Frames::is_flushed))
    }

    /// Hands to the kernel what it has not taken yet, as far as the non-blocking `socket` goes.
    ///
    /// # Errors
    /// Those of the socket; [`io::ErrorKind::WouldBlock`] when some is left.
    pub fn flush_to(&mut self, socket: &TcpStream) -> io::Result<()> {
        self.flush(write_to(socket))
    }

    /// As [`Layers::flush_to`].
    pub(crate) fn flush(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        match (&mut self.tls, &mut self.websocket) {
            (None, None) => Ok(()),
            (None, Some(websocket)) => websocket.flush(write),
            (Some(tls), Some(websocket)) if !tls.is_handshaking() => {
                websocket.flush(|frames| {
                    tls.flush(&mut write)?;
                    tls.encrypt(frames)
                })?;
                tls.flush(write)
            }
            (Some(tls), _) => tls.flush(write),
        }
    }

    /// Gives bytes of MQTT to the outermost layer; how many it took.
    fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (&mut self.websocket, &mut self.tls) {
            // No data may follow the answer to the broker's Close (RFC 6455 section 5.5.1).
            (Some(websocket), _) if websocket.is_closed() => Err(io::ErrorKind::BrokenPipe.into()),
            (Some(websocket), _) => Ok(websocket.encode(bytes)),
            (None, Some(tls)) => tls.encrypt(bytes),
            (None, None) => Ok(0),
        }
    }

    /// Gives bytes of the socket to the innermost layer, and what it makes of them to the next one; none are its end.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        match (&mut self.tls, &mut self.websocket) {
            (Some(tls), None) => tls.take(bytes),
            (None, Some(websocket)) => {
                websocket.take(bytes);
                Ok(())
            }
            (Some(tls), Some(websocket)) => {
                tls.take(bytes)?;
                let mut plain = [0; PLAIN_BYTES];
                // An error is seen by `failure`, after everything before it.
                while let Ok(bytes) = tls.decrypted(&mut plain) {
                    websocket.take(&plain[..bytes]);
                    if bytes == 0 {
                        break;
                    }
                }
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    /// Bytes of MQTT that have come; 0 at the end of the stream.
    fn plain(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(websocket) = &mut self.websocket else {
            return self.tls.as_mut().map_or(Ok(0), |tls| tls.decrypted(into));
        };
        let plain = websocket.decoded(into);
        if plain.as_ref().is_err_and(is_not_now) {
            self.tls.as_ref().map_or(Ok(()), Session::failure)?;
        }
        plain
    }

    fn discard(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.discard();
        }
        if let Some(websocket) = &mut self.websocket {
            websocket.discard();
        }
    }

    /// Hands bytes to the kernel, at most one record or 64 KiB of frames, of which no byte is counted before the kernel has them all:
    /// after [`io::ErrorKind::WouldBlock`] the next call must begin with the same bytes.
    pub(crate) fn write(
        &mut self,
        bytes: &[u8],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        // What an abandoned write left goes first.
        self.flush(&mut write)?;
        if self.unsent == 0 {
            self.unsent = self.put(bytes)?;
            self.flush(&mut write)?;
        }
        Ok(std::mem::take(&mut self.unsent))
    }

    /// Takes bytes for the non-blocking `socket`, which may not have taken all of them: the rest goes out with the next call, or with
    /// [`Layers::flush_to`]. Takes fewer when the kernel has no room.
    ///
    /// # Errors
    /// Those of the socket; [`io::ErrorKind::WouldBlock`] when none were taken.
    pub fn write_ahead(&mut self, bytes: &[u8], socket: &TcpStream) -> io::Result<usize> {
        let mut write = write_to(socket);
        let mut taken = 0;
        while taken < bytes.len() {
            match self.flush(&mut write) {
                Err(error) if is_not_now(&error) && taken > 0 => return Ok(taken),
                flushed => flushed?,
            }
            taken += self.put(&bytes[taken..])?;
        }
        match self.flush(&mut write) {
            Err(error) if !is_not_now(&error) => Err(error),
            _flushed_or_later => Ok(taken),
        }
    }

    /// Begins to send; a call that is `resumable` may go on with the bytes of an earlier one that was abandoned.
    pub(crate) fn begin(&mut self, resumable: bool) {
        let unsent = std::mem::take(&mut self.unsent);
        if self.resumable {
            self.owed = unsent;
        }
        if resumable {
            self.unsent = std::mem::take(&mut self.owed);
        }
        self.resumable = resumable;
    }

    /// Bytes of MQTT; 0 at the end of the stream. The stamp is that of the last segment that was read. Reads from the socket at most
    /// once: a peer that sends without end what is no MQTT must not hold the thread.
    ///
    /// # Errors
    /// Those of the socket, [`io::ErrorKind::WouldBlock`] when there is nothing, while the socket may have more; in words what is wrong
    /// with what the broker sent.
    pub(crate) fn read(
        &mut self,
        into: &mut [u8],
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
        mut read: impl FnMut(&mut [u8]) -> io::Result<Read>,
    ) -> io::Result<Read> {
        let mut plain = self.plain(into);
        if plain.as_ref().is_err_and(is_not_now) {
            self.take_from(&mut read)?;
            // An alert that says what was wrong, an answer to a change of keys, a Pong.
            let _best_effort = self.flush(&mut write);
            plain = self.plain(into);
        }
        plain.map(|bytes| Read { bytes, stamp: self.stamp })
    }

    /// As [`read_arrived`](crate::read_arrived), through the layers. While [`Layers::holds_bytes`], it may return some without a read.
    ///
    /// # Errors
    /// Those of the socket, [`io::ErrorKind::WouldBlock`] when there is nothing; in words what is wrong with what the broker sent.
    pub fn read_arrived(
        &mut self,
        into: &mut [u8],
        not_before: Instant,
        socket: &TcpStream,
    ) -> io::Result<Arrived> {
        let Read { bytes, stamp } =
            self.read(into, write_to(socket), |into| kernel_stamps::read(socket, into))?;
        let seen = clock::now();
        let at = stamp.and_then(|stamp| possible(stamp, not_before, seen)).unwrap_or(seen);
        Ok(Arrived { bytes, at, seen })
    }

    /// Whether bytes of MQTT, or an end that a layer saw, were not taken yet: the socket does not become readable for them again.
    pub fn holds_bytes(&mut self) -> bool {
        self.websocket.as_ref().is_some_and(Frames::holds_plain)
            || self.tls.as_mut().is_some_and(Session::holds_plain)
    }

    /// One read from the socket into the layers; 0 at the end of the stream.
    fn take_from(&mut self, read: &mut impl FnMut(&mut [u8]) -> io::Result<Read>) -> io::Result<usize> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let came = read(buffer)?;
            self.stamp = came.stamp;
            self.take(&buffer[..came.bytes])?;
            Ok(came.bytes)
        })
    }

    /// Throws away what has arrived, and the content of what was to arrive next: taken, because without it nothing later could be
    /// decrypted.
    pub(crate) fn lose(&mut self, under_way: &[u8], mut read: impl FnMut(&mut [u8]) -> io::Result<Read>) {
        self.discard();
        while self.take_from(&mut read).is_ok_and(|bytes| bytes > 0) {
            self.discard();
        }
        if !under_way.is_empty() {
            let _fails_later = self.take(under_way);
            self.discard();
        }
    }

    /// Adds these frames to what is to be written, as they are; nothing without WebSocket.
    pub(crate) fn queue_frames(&mut self, frames: &[RawFrame]) {
        if let Some(websocket) = &mut self.websocket {
            frames.iter().for_each(|frame| websocket.encode_raw(frame));
        }
    }

    /// Ends WebSocket by a Close frame, as far as the socket goes; nothing without WebSocket.
    pub(crate) fn close_websocket(&mut self, write: impl FnMut(&[u8]) -> io::Result<usize>) {
        if let Some(websocket) = &mut self.websocket {
            websocket.close();
        }
        let _best_effort = self.flush(write);
    }

    /// Ends TLS by close_notify, as far as the socket goes; nothing without TLS.
    pub(crate) fn close_tls(&mut self, write: impl FnMut(&[u8]) -> io::Result<usize>) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _best_effort = tls.flush(write);
        }
    }

    /// Ends the layers, from the outer to the inner one.
    pub(crate) fn close(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) {
        self.close_websocket(&mut write);
        self.close_tls(write);
    }

    /// Ends the layers on the non-blocking `socket`, as far as it goes: a Close frame of WebSocket, close_notify of TLS.
    pub fn close_on(&mut self, socket: &TcpStream) {
        self.close(write_to(socket));
    }

    /// The reason that the broker gave for the end, in words; absent without one.
    #[must_use]
    pub fn close_reason(&self) -> Option<String> {
        let reason = self.websocket.as_ref()?.close_reason()?;
        Some(format!("WebSocket Close {reason}"))
    }
}

fn write_to(mut socket: &TcpStream) -> impl FnMut(&[u8]) -> io::Result<usize> {
    move |bytes| socket.write(bytes)
}

fn is_not_now(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::TlsSettings;

    #[test]
    fn an_alert_that_came_before_a_refused_write_is_read() {
        const UNKNOWN_CA: &[u8] = &[0x15, 3, 3, 0, 2, 2, 48];
        let handshake = |alert: &'static [u8]| {
            let settings =
                TlsSettings { server_name: "localhost".into(), insecure: true, ..TlsSettings::default() };
            let transport = Transport { tls: Some(Tls::new(&settings).unwrap()), websocket: None };
            let mut rest = alert;
            transport.layers().unwrap().shake_hands(
                |_bytes| Err(io::ErrorKind::ConnectionReset.into()),
                |_into| Err(io::ErrorKind::WouldBlock.into()),
                |into| io::Read::read(&mut rest, into).map(|bytes| Read { bytes, stamp: None }),
            )
        };
        let refused = handshake(UNKNOWN_CA).unwrap_err();
        assert!(
            matches!(&refused, OpenError::Tls(why) if why.to_string().contains("UnknownCA")),
            "{refused}"
        );
        assert!(matches!(handshake(&[]).unwrap_err(), OpenError::TlsCut));
    }
}
