//! The operations that each transport must provide to a connection.
//!
//! TLS and WebSocket would be variants here. What a fault does to the socket below (RST, half-close) must reach
//! through them, so the stream does it, and not a generic reader and writer.

use std::io::{self, Read as _};
use std::net::{self, Shutdown};
use std::os::fd::AsFd;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::kernel_stamps::{self, Read};
use crate::tap::Addresses;

/// Most reads of [`DRAIN_BYTES`] that a close discards: 64 MiB, more than a socket's buffer holds, so only a peer
/// that goes on sending all the while reaches it.
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

    /// Ready when the kernel's buffer has room, or when a write would fail for good.
    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        let Self::Tcp(tcp) = self;
        // The following write returns the error.
        tcp.poll_write_ready(context).map(|_seen_by_the_write| ())
    }

    /// Reads once when there is something to read; 0 bytes are the end.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<Read>> {
        let Self::Tcp(tcp) = self;
        loop {
            ready!(tcp.poll_read_ready(context))?;
            let mut read = None;
            let tried = tcp.try_io(Interest::READABLE, || {
                let brought = kernel_stamps::read(tcp, into)?;
                read = Some(brought);
                // A read that leaves room in the buffer has emptied the socket: reported here, the runtime waits for
                // more without another system call.
                let is_emptied = 0 < brought.bytes && brought.bytes < into.len();
                if is_emptied { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match (read, tried) {
                (Some(read), _) => return Poll::Ready(Ok(read)),
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                (None, _nothing_yet) => {}
            }
        }
    }

    /// Asks the kernel to stamp what leaves and what arrives.
    pub(crate) fn stamp(&self) -> io::Result<()> {
        let Self::Tcp(tcp) = self;
        kernel_stamps::stamp_both(tcp)
    }

    /// Shows the stamps since the last call: the position of the last byte of a write, and when it left.
    pub(crate) fn take_departures(&self, show: impl FnMut(u32, Duration)) {
        let Self::Tcp(tcp) = self;
        kernel_stamps::take_departures(tcp, show);
    }

    /// Our address and the broker's.
    pub(crate) fn addresses(&self) -> io::Result<Addresses> {
        let Self::Tcp(tcp) = self;
        Ok((tcp.local_addr()?, tcp.peer_addr()?))
    }

    /// Makes the runtime wait for room after a write found none. The kernel signals a stamp in the error queue like
    /// an error, which the runtime takes for the end of all writing. Registered anew, the socket is waited for again.
    pub(crate) fn expect_room_later(&mut self) -> io::Result<()> {
        let Self::Tcp(tcp) = self;
        if tcp.poll_write_ready(&mut Context::from_waker(Waker::noop())).is_pending() {
            return Ok(());
        }
        kernel_stamps::take_departures(tcp, |_place, _came_late| {});
        let same = net::TcpStream::from(tcp.as_fd().try_clone_to_owned()?);
        *tcp = TcpStream::from_std(same)?;
        Ok(())
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Self::Tcp(tcp) = self;
        tcp.try_write(bytes)
    }

    /// Whether FIN, RST or the kernel's own end of the connection has arrived, without reading.
    pub(crate) fn has_hung_up(&self) -> bool {
        let Self::Tcp(tcp) = self;
        let mut asked = [PollFd::new(tcp, PollFlags::RDHUP)];
        // When the poll fails, the next one will do. Stamps raise ERR too; a real end raises a hang-up as well.
        let found = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap_or(0);
        found > 0 && asked[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP)
    }

    /// Requests immediate acknowledgements of what arrives next. Best effort: a transport or system without the
    /// option measures the same, but with its own delayed ACK in the figures.
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

    /// Sends FIN, discards what has arrived, and closes.
    pub(crate) fn close(self) {
        let Self::Tcp(tcp) = self;
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
