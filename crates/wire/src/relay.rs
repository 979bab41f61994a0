//! Layers for a program that speaks plain TCP.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use crate::endpoint::{ConnectOptions, Endpoint, OpenError};
use crate::stream::Stream;

/// Most bytes that wait in each direction.
const WAITING_BYTES: usize = 16 * 1024;

/// Connects to the broker, and passes bytes on between it and `client` until one of them ends; then the other is closed.
///
/// # Errors
/// [`OpenError`] of the connection to the broker.
pub async fn relay(client: TcpStream, broker: Endpoint, options: &ConnectOptions) -> Result<(), OpenError> {
    let (mut stream, _) = broker.connect(options).await?.over(options).await?;
    let mut relayed = Relayed { client, up: Waiting::default(), down: Waiting::default() };
    poll_fn(|context| relayed.poll(&mut stream, context)).await;
    stream.close_layers(None);
    stream.close();
    Ok(())
}

struct Relayed {
    client: TcpStream,
    up: Waiting,
    down: Waiting,
}

/// Bytes of one direction that were read and not all written.
struct Waiting {
    bytes: Box<[u8]>,
    written: usize,
    read: usize,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { bytes: vec![0; WAITING_BYTES].into_boxed_slice(), written: 0, read: 0 }
    }
}

impl Waiting {
    fn left(&self) -> &[u8] {
        &self.bytes[self.written..self.read]
    }
}

impl Relayed {
    /// Ready when one side has ended.
    fn poll(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<()> {
        let up = self.poll_up(stream, context);
        let down = self.poll_down(stream, context);
        if up.is_ready() || down.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_up(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<()> {
        let Self { client, up, .. } = self;
        loop {
            if up.left().is_empty() {
                let mut into = ReadBuf::new(&mut up.bytes);
                let read = ready!(Pin::new(&mut *client).poll_read(context, &mut into));
                (up.written, up.read) = (0, into.filled().len());
                if read.is_err() || up.read == 0 {
                    return Poll::Ready(());
                }
            }
            match stream.try_write(up.left()) {
                Ok(written) => up.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(stream.poll_writable(context));
                }
                Err(_gone) => return Poll::Ready(()),
            }
        }
    }

    fn poll_down(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<()> {
        let Self { client, down, .. } = self;
        loop {
            if down.left().is_empty() {
                match ready!(stream.poll_read(context, &mut down.bytes)) {
                    Ok(read) if read.bytes > 0 => (down.written, down.read) = (0, read.bytes),
                    _end => return Poll::Ready(()),
                }
            }
            match ready!(Pin::new(&mut *client).poll_write(context, down.left())) {
                Ok(written) => down.written += written,
                Err(_gone) => return Poll::Ready(()),
            }
        }
    }
}
