//! A socket that never waits, and the layers over it.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with, sockopt};
use ungraceful_wire::clock::now;
use ungraceful_wire::{Arrived, Layers, Transport, bind_source, read_arrived, stamp_arrivals};

#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    /// Absent for plain TCP.
    layers: Option<Box<Layers>>,
}

/// The result of a read or a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    NotNow,
    /// Nothing ever again; how it ended.
    Ended(Cow<'static, str>),
}

impl Socket {
    /// Begins to connect. The error is the kernel's, with the cure where there is one.
    pub(crate) fn connect(
        address: SocketAddr,
        source: Option<IpAddr>,
        transport: &Transport,
    ) -> Result<Self, String> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP)).map_err(why)?;
        if let Some(source) = source {
            bind_source(&socket, source).map_err(|error| no_source(&error, source))?;
        }
        let _best_effort = sockopt::set_tcp_nodelay(&socket, true);
        // Without it, arrivals are timed as they are read.
        let _best_effort = stamp_arrivals(&socket);
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {
                Ok(Self { tcp: TcpStream::from(socket), layers: transport.layers().map(Box::new) })
            }
            Err(error) => Err(why(error)),
        }
    }

    /// Whether the TCP handshake is complete: on loopback at once.
    pub(crate) fn is_established(&self) -> bool {
        self.tcp.peer_addr().is_ok()
    }

    /// Whether the TCP handshake succeeded.
    pub(crate) fn connected(&self) -> Result<(), String> {
        match sockopt::socket_error(&self.tcp) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) | Err(error) => Err(why(error)),
        }
    }

    /// Goes on with the handshakes of the layers. Returns whether they are complete.
    pub(crate) fn shake_hands(&mut self) -> Result<bool, String> {
        let Self { tcp, layers } = self;
        layers
            .as_mut()
            .map_or(Ok(true), |layers| layers.shake_hands_on(tcp).map_err(|error| error.to_string()))
    }

    /// Whether it has layers whose handshakes follow that of TCP.
    pub(crate) fn is_layered(&self) -> bool {
        self.layers.is_some()
    }

    /// Reads once. Nothing of it arrived before `not_before`. The error is [`Moved::NotNow`] or [`Moved::Ended`].
    pub(crate) fn read(&mut self, into: &mut [u8], not_before: Instant) -> Result<Arrived, Moved> {
        let Self { tcp, layers } = self;
        let read = match layers {
            None => read_arrived(tcp, into, not_before),
            Some(layers) => layers.read_arrived(into, not_before, tcp),
        };
        match read {
            Ok(Arrived { bytes: 0, .. }) => {
                let reason = layers.as_ref().and_then(|layers| layers.close_reason());
                Err(Moved::Ended(reason.map_or("FIN".into(), Cow::Owned)))
            }
            Ok(arrived) => Ok(arrived),
            Err(error) => Err(moved(&error)),
        }
    }

    /// Whether the next read may bring bytes although the kernel has none.
    pub(crate) fn holds_bytes(&mut self) -> bool {
        self.layers.as_mut().is_some_and(|layers| layers.holds_bytes())
    }

    /// Writes once. What the layers have taken and the kernel has not goes out with the next call, or with [`Socket::flush`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Moved {
        let Self { tcp, layers } = self;
        let written = match layers {
            None => tcp.write(bytes),
            Some(layers) => layers.write_ahead(bytes, tcp),
        };
        written.map_or_else(|error| moved(&error), Moved::Bytes)
    }

    /// Writes what the layers have taken and the kernel has not.
    pub(crate) fn flush(&mut self) -> Moved {
        let Self { tcp, layers } = self;
        let flushed = layers.as_mut().map_or(Ok(()), |layers| layers.flush_to(tcp));
        flushed.map_or_else(|error| moved(&error), |()| Moved::Bytes(0))
    }

    /// Whether the kernel has everything that was written.
    pub(crate) fn is_flushed(&self) -> bool {
        self.layers.as_ref().is_none_or(|layers| layers.is_flushed())
    }

    /// Ends the layers as a client does that leaves.
    pub(crate) fn close_layers(&mut self) {
        let Self { tcp, layers } = self;
        if let Some(layers) = layers {
            layers.close_on(tcp);
        }
    }

    /// Sends nothing more than what the layers hold: the peer sees the end behind everything that was sent.
    pub(crate) fn end_sending(&self) {
        if self.is_flushed() {
            // What is closed already has ended for the peer too.
            let _closed_already = self.tcp.shutdown(Shutdown::Write);
        }
    }

    /// Waits, after [`Socket::end_sending`], until the peer has ended the connection too, and so has taken
    /// everything. Returns whether it has by `deadline`.
    pub(crate) fn ends_by(mut self, deadline: Instant) -> bool {
        while !self.is_flushed() {
            let left = deadline.saturating_duration_since(now());
            let is_set = !left.is_zero()
                && self.tcp.set_nonblocking(false).is_ok()
                && self.tcp.set_write_timeout(Some(left)).is_ok();
            if !is_set || matches!(self.flush(), Moved::Ended(_)) {
                return false;
            }
        }
        self.end_sending();
        let mut answers = [0; 16 * 1_024];
        loop {
            let left = deadline.saturating_duration_since(now());
            let is_set = match left.is_zero() {
                true => self.tcp.set_nonblocking(true),
                false => self.tcp.set_nonblocking(false).and_then(|()| self.tcp.set_read_timeout(Some(left))),
            };
            if is_set.is_err() {
                return false;
            }
            match self.tcp.read(&mut answers) {
                Ok(0) => return true,
                Ok(_) if !left.is_zero() => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted && !left.is_zero() => {}
                Err(error) if moved(&error) != Moved::NotNow => return true,
                Ok(_) | Err(_) => return false,
            }
        }
    }
}

impl std::os::fd::AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.tcp.as_fd()
    }
}

fn moved(error: &io::Error) -> Moved {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Moved::NotNow,
        io::ErrorKind::ConnectionReset => Moved::Ended("RST".into()),
        io::ErrorKind::BrokenPipe => Moved::Ended("an already closed connection".into()),
        io::ErrorKind::TimedOut => Moved::Ended("no acknowledgement from the broker's host".into()),
        // What was wrong with what the broker sent, in words of a layer.
        io::ErrorKind::InvalidData | io::ErrorKind::Unsupported => Moved::Ended(error.to_string().into()),
        _ => Moved::Ended("a network error".into()),
    }
}

fn no_source(error: &io::Error, source: IpAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => format!("this machine has no address {source} to connect from"),
        _ => format!("TCP: {error}"),
    }
}

fn why(error: Errno) -> String {
    match error {
        Errno::CONNREFUSED => "TCP: connection refused".to_owned(),
        Errno::CONNRESET => "TCP: RST".to_owned(),
        Errno::ADDRNOTAVAIL => {
            "out of local ports towards this broker: add source addresses with --ifaddr".to_owned()
        }
        Errno::MFILE | Errno::NFILE => {
            "out of file descriptors: raise `ulimit -n`, or fewer connections".to_owned()
        }
        error => format!("TCP: {error}"),
    }
}
