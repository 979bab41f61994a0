//! Where a Network Connection goes to, with which socket options, and what can go wrong while it is opened.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::clock;
use crate::connection::Connection;
use crate::layers::Transport;
use crate::stamps::Stamps;
use crate::stream::Stream;
use crate::tls::{Tls, TlsSettings};

/// A broker's address, resolved and permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The broker's address and port.
    pub address: SocketAddr,
}

/// How a Network Connection is opened.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// How long the TCP handshake and the TLS handshake may take together.
    pub connect_timeout: Duration,
    /// The local address to connect from; the kernel's choice when absent.
    pub source: Option<IpAddr>,
    /// TCP_NODELAY: send small packets at once. On unless a fault wants Nagle's algorithm.
    pub no_delay: bool,
    /// TCP_QUICKACK, set before every read because the kernel drops it: keeps our own delayed ACK (40 ms) out of the
    /// figures when the broker leaves Nagle's algorithm on. One more system call per read.
    pub quick_ack: bool,
    /// SO_RCVBUF in bytes; the kernel's default when absent. Small values make a zero window come soon.
    pub receive_buffer_bytes: Option<u32>,
    /// Has the kernel stamp departures and arrivals; without it our own clock does. One more system call for each
    /// send, and about 200 bytes for each connection.
    pub stamps: Option<Stamps>,
    /// The layers over TCP.
    pub transport: Transport,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            source: None,
            no_delay: true,
            quick_ack: true,
            receive_buffer_bytes: None,
            stamps: None,
            transport: Transport::default(),
        }
    }
}

/// A connection that was opened, and when.
#[derive(Debug)]
pub struct Opened {
    /// The open connection.
    pub connection: Connection,
    /// When the SYN was handed to the kernel.
    pub started: Instant,
    /// When the handshakes were complete.
    pub established: Established,
}

/// When the handshakes of a connection were complete.
#[derive(Clone, Copy, Debug)]
pub struct Established {
    /// That of TCP, as the kernel reported it.
    pub tcp: Instant,
    /// The last one of the layers over it; absent for plain TCP.
    pub layers: Option<Instant>,
}

impl Established {
    /// When MQTT could begin.
    #[must_use]
    pub fn last(self) -> Instant {
        self.layers.unwrap_or(self.tcp)
    }
}

/// Why a Network Connection could not be opened. The environment is at fault: none of these is a finding about how a
/// broker speaks MQTT.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The handshake did not complete in [`ConnectOptions::connect_timeout`].
    #[error("no answer to the TCP handshake within {0:?}")]
    Timeout(Duration),
    /// The handshakes over TCP did not complete in [`ConnectOptions::connect_timeout`].
    #[error("no answer to the {handshakes} handshake within {within:?}: {}", hint(handshakes))]
    LayersTimeout {
        /// Their names.
        handshakes: &'static str,
        /// The limit.
        within: Duration,
    },
    /// The broker ended the connection during the TLS handshake.
    #[error("the broker ended the connection during the TLS handshake: this may be a port for plain TCP")]
    TlsCut,
    /// The answer to the TLS handshake is no TLS.
    #[error(
        "the broker answered the TLS handshake with bytes that are no TLS: this may be a port for plain TCP"
    )]
    NotTls,
    /// The TLS handshake failed.
    #[error("{0}")]
    Tls(io::Error),
    /// The broker's certificate is not one that this client accepts.
    #[error("{0}")]
    Untrusted(io::Error),
    /// The WebSocket handshake failed.
    #[error("{0}")]
    WebSocket(io::Error),
    /// Nothing listens there.
    #[error("connection refused")]
    Refused,
    /// This process has no file descriptor left.
    #[error("out of file descriptors: raise `ulimit -n` or open fewer connections")]
    OutOfDescriptors,
    /// No local port is left towards this address.
    #[error("out of local ports towards this broker: add source addresses with --ifaddr")]
    OutOfPorts,
    /// This machine has no such address to connect from.
    #[error("this machine has no address {0} to connect from")]
    NoSuchSource(IpAddr),
    /// Anything else that the kernel said.
    #[error("{0}")]
    Other(io::Error),
}

/// Has a socket connect from this address. The kernel chooses the port when it connects, so that sockets to different brokers share
/// it, and none is searched for twice.
///
/// # Errors
/// What the kernel says, such as [`io::ErrorKind::AddrNotAvailable`] for an address that this machine does not have.
pub fn bind_source(socket: &impl AsFd, source: IpAddr) -> io::Result<()> {
    // Without the option, a port is taken here, for all destinations.
    let _best_effort = setsockopt(socket, IpBindAddressNoPort, &true);
    Ok(rustix::net::bind(socket, &SocketAddr::new(source, 0))?)
}

/// What a broker may be that does not answer these handshakes.
fn hint(handshakes: &str) -> &'static str {
    match handshakes {
        "WebSocket" => "this may not be a WebSocket port, or it expects TLS",
        _ => "this may be a port for plain TCP",
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        // EMFILE and ENFILE have no stable `ErrorKind`.
        const EMFILE: i32 = 24;
        const ENFILE: i32 = 23;
        match (error.kind(), error.raw_os_error()) {
            (_, Some(EMFILE | ENFILE)) => Self::OutOfDescriptors,
            (io::ErrorKind::ConnectionRefused, _) => Self::Refused,
            (io::ErrorKind::AddrNotAvailable, _) => Self::OutOfPorts,
            _ => Self::Other(error),
        }
    }
}

impl OpenError {
    /// Of an error that the WebSocket handshake ended with.
    pub(crate) fn of_websocket(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::WebSocket(io::Error::other(
                "the broker ended the connection during the WebSocket handshake: this may not be a WebSocket port, or it expects TLS",
            )),
            _ => Self::WebSocket(error),
        }
    }

    /// Of an error that the TLS handshake ended with.
    pub(crate) fn of_tls(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
                Self::TlsCut
            }
            io::ErrorKind::Unsupported => Self::NotTls,
            io::ErrorKind::PermissionDenied => Self::Untrusted(error),
            _ => Self::Tls(error),
        }
    }

    fn of_bind(error: io::Error, source: IpAddr) -> Self {
        match error.kind() {
            io::ErrorKind::AddrNotAvailable => Self::NoSuchSource(source),
            // Any port would do, so none is left.
            io::ErrorKind::AddrInUse => Self::OutOfPorts,
            _ => Self::from(error),
        }
    }
}

impl Endpoint {
    /// Opens a Network Connection.
    ///
    /// # Errors
    /// [`OpenError`], at the latest after [`ConnectOptions::connect_timeout`].
    pub async fn open(&self, options: &ConnectOptions) -> Result<Opened, OpenError> {
        let connected = self.connect(options).await?;
        connected.layered(options).await
    }

    /// Whether a TLS server listens here, whatever its certificate.
    pub async fn speaks_tls(&self, options: &ConnectOptions) -> bool {
        let server_name = self.address.ip().to_string();
        let settings = TlsSettings { server_name, insecure: true, ..TlsSettings::default() };
        let transport = Transport { tls: Tls::new(&settings).ok(), websocket: None };
        let options = ConnectOptions { transport, ..options.clone() };
        matches!(self.open(&options).await, Ok(_) | Err(OpenError::Tls(_)))
    }

    pub(crate) async fn connect(&self, options: &ConnectOptions) -> Result<Connected, OpenError> {
        let socket = match self.address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(bytes) = options.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(source) = options.source {
            bind_source(&socket, source).map_err(|error| OpenError::of_bind(error, source))?;
        }
        let started = clock::now();
        let tcp = timeout(options.connect_timeout, socket.connect(self.address))
            .await
            .map_err(|_elapsed| OpenError::Timeout(options.connect_timeout))??;
        let established = clock::now();
        // Without a listener on an ephemeral port, a client that is given this very port connects to itself.
        if self.address.ip().is_loopback() && tcp.local_addr()? == self.address {
            return Err(OpenError::Refused);
        }
        tcp.set_nodelay(options.no_delay)?;
        Ok(Connected { tcp, started, established })
    }
}

/// What TCP brings to every transport.
pub(crate) struct Connected {
    pub(crate) tcp: TcpStream,
    pub(crate) started: Instant,
    pub(crate) established: Instant,
}

impl Connected {
    /// Makes the layers over it.
    pub(crate) async fn layered(self, options: &ConnectOptions) -> Result<Opened, OpenError> {
        let started = self.started;
        let (stream, established) = self.over(options).await?;
        Ok(Opened { connection: Connection::new(stream, options), started, established })
    }

    pub(crate) async fn over(self, options: &ConnectOptions) -> Result<(Stream, Established), OpenError> {
        let left =
            options.connect_timeout.saturating_sub(clock::now().saturating_duration_since(self.started));
        let transport = &options.transport;
        let stream = timeout(left, Stream::over(self.tcp, transport)).await;
        let stream = stream.map_err(|_elapsed| OpenError::LayersTimeout {
            handshakes: transport.handshakes(),
            within: options.connect_timeout,
        })??;
        let layers = stream.is_layered().then(clock::now);
        Ok((stream, Established { tcp: self.established, layers }))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustix::io::Errno;

    use super::*;

    #[tokio::test]
    async fn tcp_nodelay_is_set_unless_a_fault_wants_it_off() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint { address: listener.local_addr().unwrap() };
        for no_delay in [true, false] {
            let options = ConnectOptions { no_delay, ..ConnectOptions::default() };
            let connected = endpoint.connect(&options).await.unwrap();
            assert_eq!(connected.tcp.nodelay().unwrap(), no_delay);
        }
        assert!(ConnectOptions::default().no_delay);
    }

    #[test]
    fn the_error_names_what_ran_out() {
        let source = IpAddr::from([127, 0, 0, 2]);
        let of_connect = |errno: Errno| OpenError::from(io::Error::from(errno));
        let of_bind = |errno: Errno| OpenError::of_bind(errno.into(), source);
        assert!(matches!(of_connect(Errno::MFILE), OpenError::OutOfDescriptors));
        assert!(matches!(of_connect(Errno::ADDRNOTAVAIL), OpenError::OutOfPorts));
        assert!(matches!(of_bind(Errno::ADDRINUSE), OpenError::OutOfPorts));
        assert!(matches!(of_bind(Errno::ADDRNOTAVAIL), OpenError::NoSuchSource(_)));
    }
}
