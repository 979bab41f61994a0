//! A TCP socket that never waits.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with, sockopt};
use ungraceful_wire::clock::now;
use ungraceful_wire::{Arrived, read_arrived, stamp_arrivals};

#[derive(Debug)]
pub(crate) struct Socket(TcpStream);

/// The result of a read or a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    NotNow,
    /// Nothing ever again; how it ended.
    Ended(&'static str),
}

impl Socket {
    /// Begins to connect. The error is the kernel's, with the cure where there is one.
    pub(crate) fn connect(address: SocketAddr, source: Option<IpAddr>) -> Result<Self, String> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP)).map_err(why)?;
        if let Some(source) = source {
            bind(&socket, &SocketAddr::new(source, 0)).map_err(why)?;
        }
        let _best_effort = sockopt::set_tcp_nodelay(&socket, true);
        // Without it, arrivals are timed as they are read.
        let _best_effort = stamp_arrivals(&socket);
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(Self(TcpStream::from(socket))),
            Err(error) => Err(why(error)),
        }
    }

    /// Whether the handshake succeeded.
    pub(crate) fn connected(&self) -> Result<(), String> {
        match sockopt::socket_error(&self.0) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) | Err(error) => Err(why(error)),
        }
    }

    /// Reads once. Nothing of it arrived before `not_before`. The error is [`Moved::NotNow`] or [`Moved::Ended`].
    pub(crate) fn read(&mut self, into: &mut [u8], not_before: Instant) -> Result<Arrived, Moved> {
        match read_arrived(&self.0, into, not_before) {
            Ok(Arrived { bytes: 0, .. }) => Err(Moved::Ended("FIN")),
            Ok(arrived) => Ok(arrived),
            Err(error) => Err(moved(&error)),
        }
    }

    /// Writes once.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Moved {
        match self.0.write(bytes) {
            Ok(written) => Moved::Bytes(written),
            Err(error) => moved(&error),
        }
    }

    /// Sends nothing more: the peer sees the end behind everything that was sent.
    pub(crate) fn end_sending(&self) {
        // What is closed already has ended for the peer too.
        let _closed_already = self.0.shutdown(Shutdown::Write);
    }

    /// Waits, after [`Socket::end_sending`], until the peer has ended the connection too, and so has taken
    /// everything. Returns whether it has by `deadline`.
    pub(crate) fn ends_by(mut self, deadline: Instant) -> bool {
        let mut answers = [0; 16 * 1_024];
        loop {
            let left = deadline.saturating_duration_since(now());
            let is_set = match left.is_zero() {
                true => self.0.set_nonblocking(true),
                false => self.0.set_nonblocking(false).and_then(|()| self.0.set_read_timeout(Some(left))),
            };
            if is_set.is_err() {
                return false;
            }
            match self.0.read(&mut answers) {
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
        self.0.as_fd()
    }
}

fn moved(error: &io::Error) -> Moved {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Moved::NotNow,
        io::ErrorKind::ConnectionReset => Moved::Ended("RST"),
        io::ErrorKind::BrokenPipe => Moved::Ended("an already closed connection"),
        io::ErrorKind::TimedOut => Moved::Ended("no acknowledgement from the broker's host"),
        _ => Moved::Ended("a network error"),
    }
}

fn why(error: Errno) -> String {
    match error {
        Errno::CONNREFUSED => "TCP: connection refused".to_owned(),
        Errno::CONNRESET => "TCP: RST".to_owned(),
        Errno::ADDRNOTAVAIL => {
            "out of local ports towards this broker: add source addresses with --ifaddr".to_owned()
        }
        Errno::ADDRINUSE => {
            "out of local ports of this address: add source addresses with --ifaddr".to_owned()
        }
        Errno::MFILE | Errno::NFILE => {
            "out of file descriptors: raise `ulimit -n`, or fewer connections".to_owned()
        }
        error => format!("TCP: {error}"),
    }
}
