//! A hop between a client and its broker: it forwards bytes both ways until it is halted, and then nothing gets
//! through. Imitates a silently lost network without rights on the machine, but for one thing: each end of the hop
//! still acknowledges what it receives, while the kernels at the ends of a lost network get no acknowledgements.

use std::future::{pending, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::clock;
use crate::connection::Connection;
use crate::endpoint::{ConnectOptions, Endpoint, OpenError, Opened};

/// Most bytes of one read.
const READ_BYTES: usize = 4 * 1024;

/// When bytes were forwarded, as far as visible from outside the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Just before the write: the receiver had not seen them.
    pub not_before: Instant,
    /// The return of the write: they were on their way.
    pub at: Instant,
}

/// A forwarding hop between one client and one broker. It forwards during [`Hop::carrying`].
#[derive(Debug)]
pub struct Hop {
    client: TcpStream,
    broker: TcpStream,
    up: Direction,
    down: Direction,
    options: ConnectOptions,
}

/// A halted hop. Both of its connections stay open until it is dropped.
#[derive(Debug)]
pub struct HaltedHop {
    /// The hop's connection to the broker; the client sees nothing of it.
    pub broker: Connection,
    /// The hop's connection to the client, which is not read.
    pub client_side: ClientSide,
    /// When the last bytes of the client were forwarded; absent when there were none.
    pub last_up: Option<Forwarded>,
}

/// The end of a halted hop that the client takes for its broker. Dropping it closes the socket.
#[derive(Debug)]
pub struct ClientSide {
    _open: TcpStream,
}

/// Bytes on their way in one direction.
#[derive(Debug, Default)]
struct Direction {
    waiting: Vec<u8>,
    written: usize,
    ended: bool,
    last: Option<Forwarded>,
}

impl Hop {
    /// Connects to the broker, and a client to the hop. Takes four descriptors.
    ///
    /// # Errors
    /// [`OpenError`] of either connection, at the latest after twice [`ConnectOptions::connect_timeout`].
    pub async fn open(broker: Endpoint, options: &ConnectOptions) -> Result<(Self, Opened), OpenError> {
        let tcp = broker.connect(options).await?.tcp;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let hop = Endpoint { address: listener.local_addr()? };
        // From loopback to loopback, wherever the broker is.
        let to_hop = ConnectOptions { source: None, ..options.clone() };
        let client = hop.connect(&to_hop).await?;
        let address = client.tcp.local_addr()?;
        let accepted = timeout(options.connect_timeout, accept_from(&listener, address))
            .await
            .map_err(|_elapsed| OpenError::Timeout(options.connect_timeout))??;
        accepted.set_nodelay(true)?;
        let mut hop = Self {
            client: accepted,
            broker: tcp,
            up: Direction::default(),
            down: Direction::default(),
            options: options.clone(),
        };
        let opened = hop.carrying(client.layered(options)).await?;
        Ok((hop, opened))
    }

    /// Forwards while `work` runs, and returns its result. An end on one side is passed on as FIN. Nothing that was
    /// read is lost when the future is dropped early.
    pub async fn carrying<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = self.forward() => match never {},
        }
    }

    /// Stops forwarding for good. What was read and not passed on yet is lost, as in a network. The hop takes over the TLS session
    /// of its `client`, whose own bytes are not read any more.
    #[must_use]
    pub fn halt(self, client: &mut Connection) -> HaltedHop {
        let under_way = &self.down.waiting[self.down.written..];
        HaltedHop {
            broker: Connection::new(client.hand_over_layers(self.broker, under_way), &self.options),
            client_side: ClientSide { _open: self.client },
            last_up: self.up.last,
        }
    }

    async fn forward(&mut self) -> std::convert::Infallible {
        poll_fn(|context| {
            let up = self.up.poll(&mut self.client, &mut self.broker, context);
            let down = self.down.poll(&mut self.broker, &mut self.client, context);
            if up.is_ready() && down.is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        pending().await
    }
}

/// Accepts the connection from this address alone: every program of the machine may connect to the port.
async fn accept_from(listener: &TcpListener, client: SocketAddr) -> io::Result<TcpStream> {
    loop {
        let (tcp, from) = listener.accept().await?;
        if from == client {
            return Ok(tcp);
        }
    }
}

impl Direction {
    /// Forwards what there is. Ready when the direction has ended.
    fn poll(&mut self, from: &mut TcpStream, to: &mut TcpStream, context: &mut Context<'_>) -> Poll<()> {
        while !self.ended {
            if self.written == self.waiting.len() {
                self.waiting.clear();
                self.written = 0;
                let mut bytes = [0; READ_BYTES];
                let mut into = ReadBuf::new(&mut bytes);
                match ready!(Pin::new(&mut *from).poll_read(context, &mut into)) {
                    Ok(()) if !into.filled().is_empty() => self.waiting.extend_from_slice(into.filled()),
                    Ok(()) | Err(_) => {
                        self.ended = true;
                        // Done at once for TCP; an ended stream needs no FIN.
                        let _done = Pin::new(&mut *to).poll_shutdown(context);
                        break;
                    }
                }
            }
            let not_before = clock::now();
            match ready!(Pin::new(&mut *to).poll_write(context, &self.waiting[self.written..])) {
                Ok(taken) => {
                    self.written += taken;
                    self.last = Some(Forwarded { not_before, at: clock::now() });
                }
                Err(_gone) => self.ended = true,
            }
        }
        Poll::Ready(())
    }
}
