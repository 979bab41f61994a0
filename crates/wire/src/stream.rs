//! The seam between a connection and its transport: the few operations that each transport must bring.
//!
//! TLS and WebSocket become variants here. What a fault does to the socket beneath (RST, half-close) has to
//! reach through them, so it is asked of the stream and not of a generic reader and writer.

use std::io::{self, Read};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

/// How many reads of [`DRAIN_BYTES`] a close throws away at most: 64 MiB, more than a socket's buffer holds, so
/// only a peer that goes on sending all the while reaches it.
const DRAIN_READS_MAX: usize = 4096;
const DRAIN_BYTES: usize = 16 * 1024;

/// One transport.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
}

impl Stream {
    pub(crate) async fn writable(&self) -> io::Result<()> {
        let Self::Tcp(tcp) = self;
        tcp.writable().await
    }

    /// Ready when the kernel's buffer has room, or when a write would tell that it never will again.
    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        let Self::Tcp(tcp) = self;
        // What went wrong is told by the write that follows.
        tcp.poll_write_ready(context).map(|_told_by_the_write| ())
    }

    /// Reads once when there is something to read; 0 is the end.
    ///
    /// Polled rather than waited for and then tried: a read that leaves room in the buffer has emptied the
    /// socket, and the runtime then spares the system call that would only say so.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Self::Tcp(tcp) = self;
        let mut into = ReadBuf::new(into);
        ready!(Pin::new(tcp).poll_read(context, &mut into))?;
        Poll::Ready(Ok(into.filled().len()))
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Self::Tcp(tcp) = self;
        tcp.try_write(bytes)
    }

    /// Whether FIN, RST or the kernel's own end of the connection has arrived, without reading.
    pub(crate) fn has_hung_up(&self) -> bool {
        let Self::Tcp(tcp) = self;
        let mut asked = [PollFd::new(tcp, PollFlags::RDHUP)];
        // Errors and hang-ups are told unasked. A poll that fails has nothing to tell: the next one will.
        let told = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap_or(0);
        told > 0 && asked[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
    }

    /// Asks for immediate acknowledgements of what arrives next. Best effort: a transport or system without
    /// the option measures the same, only with its own delayed ACK in the figures.
    pub(crate) fn arm_quick_ack(&self) {
        let Self::Tcp(tcp) = self;
        #[cfg(target_os = "linux")]
        let _best_effort = tcp.set_quickack(true);
        #[cfg(not(target_os = "linux"))]
        let _ = tcp;
    }

    /// Makes the close that follows an RST instead of a FIN (SO_LINGER with zero).
    pub(crate) fn arm_reset(&self) -> io::Result<()> {
        let Self::Tcp(tcp) = self;
        tcp.set_zero_linger()
    }

    /// Sends FIN after what was written; reading stays possible.
    pub(crate) async fn half_close(&mut self) -> io::Result<()> {
        let Self::Tcp(tcp) = self;
        tokio::io::AsyncWriteExt::shutdown(tcp).await
    }

    /// Sends FIN, throws away what has arrived, and closes.
    pub(crate) fn close(self) {
        let Self::Tcp(tcp) = self;
        // Not through the runtime: it would not look at bytes that it was not told of yet.
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
