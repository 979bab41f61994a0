//! The operations that each transport must provide to a connection.
//!
//! What a fault does to the socket beneath (RST, half-close) has to reach through TLS, so the stream does it and not a generic
//! reader and writer.

use std::io::{self, Read as _};
use std::net::{self, Shutdown};
use std::os::fd::AsFd;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::endpoint::OpenError;
use crate::kernel_stamps::{self, Read};
use crate::layers::{Layer, Layers, Transport};
use crate::tap::Addresses;
use crate::websocket::RawFrame;

/// Most reads of [`DRAIN_BYTES`] that a close discards: 64 MiB, more than a socket's buffer holds, so only a peer
/// that goes on sending all the while reaches it.
const DRAIN_READS_MAX: usize = 4096;
const DRAIN_BYTES: usize = 16 * 1024;

/// One transport.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TCP below other layers.
    Layered(Box<Layered>),
}

/// TCP below other layers.
#[derive(Debug)]
pub(crate) struct Layered {
    tcp: TcpStream,
    layers: Layers,
}

impl Stream {
    /// Makes the layers on an open connection.
    ///
    /// # Errors
    /// [`OpenError`], with what is wrong with the broker's certificate or answer in words.
    pub(crate) async fn over(tcp: TcpStream, transport: &Transport) -> Result<Self, OpenError> {
        let Some(mut layers) = transport.layers() else { return Ok(Self::Tcp(tcp)) };
        while !layers.shake_hands(
            |bytes| tcp.try_write(bytes),
            |into| try_read(&tcp, into),
            |into| kernel_stamps::read(&tcp, into),
        )? {
            let ready = if layers.is_flushed() { tcp.readable().await } else { tcp.writable().await };
            ready?;
        }
        Ok(Self::Layered(Box::new(Layered { tcp, layers })))
    }

    /// A stream over `tcp` with this one's layers; this one goes on in plain TCP. What has arrived here, and `under_way` after it, is
    /// lost.
    pub(crate) fn hand_over_layers(&mut self, tcp: TcpStream, under_way: &[u8]) -> Self {
        match self {
            Self::Tcp(_) => Self::Tcp(tcp),
            Self::Layered(layered) => {
                // Not through the runtime: it would not look at bytes that it does not know of yet.
                layered.layers.lose(under_way, |into| kernel_stamps::read(&layered.tcp, into));
                let own = std::mem::replace(&mut layered.tcp, tcp);
                std::mem::replace(self, Self::Tcp(own))
            }
        }
    }

    pub(crate) fn is_layered(&self) -> bool {
        matches!(self, Self::Layered(_))
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Layered(layered) => &layered.tcp,
        }
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Layered(layered) => &mut layered.tcp,
        }
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.tcp().writable().await
    }

    /// Ready when the kernel's buffer has room, or when a write would fail for good.
    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        // The following write returns the error.
        self.tcp().poll_write_ready(context).map(|_the_write_returns_it| ())
    }

    /// Reads once when there is something to read; 0 bytes are the end.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<Read>> {
        loop {
            // Asked before each read: the runtime counts the answers, and lets others have their turn although a broker sends without
            // end.
            let ready = self.tcp().poll_read_ready(context)?;
            let has_woken = ready.is_ready();
            let read = match self {
                Self::Tcp(tcp) => {
                    ready!(ready);
                    try_read(tcp, into)
                }
                Self::Layered(layered) => {
                    let Layered { tcp, layers } = &mut **layered;
                    if !layers.holds_bytes() {
                        ready!(ready);
                    }
                    layers.read(into, |bytes| tcp.try_write(bytes), |into| try_read(tcp, into))
                }
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && has_woken => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                read => return Poll::Ready(read),
            }
        }
    }

    /// Asks the kernel to stamp what leaves and what arrives.
    pub(crate) fn stamp(&self) -> io::Result<()> {
        kernel_stamps::stamp_both(self.tcp())
    }

    /// Shows the stamps since the last call: the position of the last byte of a write, and when it left.
    pub(crate) fn take_departures(&self, show: impl FnMut(u32, Duration)) {
        kernel_stamps::take_departures(self.tcp(), show);
    }

    /// Our address and the broker's.
    pub(crate) fn addresses(&self) -> io::Result<Addresses> {
        Ok((self.tcp().local_addr()?, self.tcp().peer_addr()?))
    }

    /// Makes the runtime wait for room after a write found none. The kernel signals a stamp in the error queue like
    /// an error, which the runtime takes for the end of all writing. Registered anew, the socket is waited for again.
    pub(crate) fn expect_room_later(&mut self) -> io::Result<()> {
        let tcp = self.tcp_mut();
        if tcp.poll_write_ready(&mut Context::from_waker(Waker::noop())).is_pending() {
            return Ok(());
        }
        kernel_stamps::take_departures(tcp, |_place, _came_late| {});
        let same = net::TcpStream::from(tcp.as_fd().try_clone_to_owned()?);
        *tcp = TcpStream::from_std(same)?;
        Ok(())
    }

    /// Hands bytes to the kernel; through layers as [`Layers::write`] does.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.try_write(bytes),
            Self::Layered(layered) => {
                let Layered { tcp, layers } = &mut **layered;
                layers.write(bytes, |bytes| tcp.try_write(bytes))
            }
        }
    }

    /// Begins to send; a call that is `resumable` may go on with the bytes of an earlier one that was abandoned.
    pub(crate) fn begin(&mut self, resumable: bool) {
        if let Self::Layered(layered) = self {
            layered.layers.begin(resumable);
        }
    }

    /// Whether FIN, RST or the kernel's own end of the connection has arrived, without reading.
    pub(crate) fn has_hung_up(&self) -> bool {
        let mut asked = [PollFd::new(self.tcp(), PollFlags::RDHUP)];
        // When the poll fails, the next one will do. Stamps raise ERR too; a real end raises a hang-up as well.
        let ready = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap_or(0);
        ready > 0 && asked[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP)
    }

    /// Requests immediate acknowledgements of what arrives next. Best effort: a transport or system without the
    /// option measures the same, but with its own delayed ACK in the figures.
    pub(crate) fn arm_quick_ack(&self) {
        #[cfg(target_os = "linux")]
        let _best_effort = self.tcp().set_quickack(true);
    }

    /// Makes the close that follows an RST instead of a FIN (SO_LINGER with zero).
    pub(crate) fn arm_reset(&self) -> io::Result<()> {
        self.tcp().set_zero_linger()
    }

    /// Sends FIN after what was written; reading stays possible.
    pub(crate) async fn half_close(&mut self) -> io::Result<()> {
        tokio::io::AsyncWriteExt::shutdown(self.tcp_mut()).await
    }

    /// The reason that the broker gave in a layer for the end, in words; absent without one.
    pub(crate) fn close_reason(&self) -> Option<String> {
        match self {
            Self::Tcp(_) => None,
            Self::Layered(layered) => layered.layers.close_reason(),
        }
    }

    /// Adds these frames to what the next write hands to the kernel; nothing without WebSocket.
    pub(crate) fn queue_frames(&mut self, frames: &[RawFrame]) {
        if let Self::Layered(layered) = self {
            layered.layers.queue_frames(frames);
        }
    }

    /// Ends this layer alone, or all of them from the outer to the inner one when absent, as far as the kernel has room.
    pub(crate) fn close_layers(&mut self, only: Option<Layer>) {
        if let Self::Layered(layered) = self {
            let Layered { tcp, layers } = &mut **layered;
            let write = |bytes: &[u8]| tcp.try_write(bytes);
            match only {
                Some(Layer::WebSocket) => layers.close_websocket(write),
                Some(Layer::Tls) => layers.close_tls(write),
                None => layers.close(write),
            }
        }
    }

    /// Sends FIN, discards what has arrived, and closes.
    pub(crate) fn close(self) {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Layered(layered) => layered.tcp,
        };
        // Bypasses the runtime, which would not look at bytes that it was not notified of.
        let Ok(mut tcp) = tcp.into_std() else { return };
        let _gone_already = tcp.shutdown(Shutdown::Write);
        let mut drain = [0; DRAIN_BYTES];
        for _ in 0..DRAIN_READS_MAX {
            match tcp.read(&mut drain) {
                Ok(read) if read > 0 => {}
                _end_or_nothing_more => break,
            }
        }
    }
}

/// Reads once, if the runtime knows of something to read.
fn try_read(tcp: &TcpStream, into: &mut [u8]) -> io::Result<Read> {
    let mut read = None;
    let tried = tcp.try_io(Interest::READABLE, || {
        let brought = kernel_stamps::read(tcp, into)?;
        read = Some(brought);
        // A read that leaves room in the buffer has emptied the socket: reported here, the runtime waits for more without another
        // system call.
        let is_emptied = 0 < brought.bytes && brought.bytes < into.len();
        if is_emptied { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match (read, tried) {
        (Some(read), _) => Ok(read),
        (None, tried) => Err(tried.err().unwrap_or_else(|| io::ErrorKind::WouldBlock.into())),
    }
}
