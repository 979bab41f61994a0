//! The operations that each transport must provide to a connection.
//!
//! What a fault does to the socket beneath (RST, half-close) has to reach through TLS, so the stream does it and not a generic
//! reader and writer.

use std::cell::RefCell;
use std::future::poll_fn;
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
use crate::tls::{Session, Tls};

/// Most reads of [`DRAIN_BYTES`] that a close discards: 64 MiB, more than a socket's buffer holds, so only a peer
/// that goes on sending all the while reaches it.
const DRAIN_READS_MAX: usize = 4096;
const DRAIN_BYTES: usize = 16 * 1024;

/// How much is read from the socket at once for a TLS session.
const RECORD_BYTES: usize = 16 * 1024;

thread_local! {
    static RECORDS: RefCell<Box<[u8]>> = RefCell::new(vec![0; RECORD_BYTES].into_boxed_slice());
}

/// One transport.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<Secured>),
}

/// TLS over TCP.
#[derive(Debug)]
pub(crate) struct Secured {
    tcp: TcpStream,
    session: Session,
    /// Plain bytes that were encrypted, of whose records the kernel has not taken all.
    unsent: usize,
    /// Whether the bytes are those of a call that is taken up again when it was abandoned.
    resumable: bool,
    /// As `unsent`, of an abandoned call while others send in between.
    owed: usize,
    /// The kernel's stamp of the last segment that was read.
    stamp: Option<Duration>,
}

impl Stream {
    /// Makes a TLS session on an open connection.
    ///
    /// # Errors
    /// Those of the socket, and in words what is wrong with the broker's certificate or handshake.
    pub(crate) async fn secure(tcp: TcpStream, tls: &Tls) -> io::Result<Self> {
        let session = tls.session();
        let mut secured = Secured { tcp, session, unsent: 0, resumable: false, owed: 0, stamp: None };
        while secured.session.is_handshaking() {
            match secured.flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => secured.tcp.writable().await?,
                flushed => {
                    flushed?;
                    let handshaken = poll_fn(|context| secured.poll_records(context)).await;
                    // Sends the alert that has the reason.
                    let _best_effort = secured.flush();
                    let handshaken = handshaken?;
                    secured.session.failure()?;
                    if handshaken == 0 {
                        let why = "the broker closed the connection during the TLS handshake";
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
                    }
                }
            }
        }
        while let Err(error) = secured.flush() {
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error);
            }
            secured.tcp.writable().await?;
        }
        Ok(Self::Tls(Box::new(secured)))
    }

    /// A stream over `tcp` with this one's TLS session; this one goes on in plain TCP. What has arrived here, and `under_way` after
    /// it, is lost: the session takes the records, because without them it could decrypt no later ones, and throws their content away.
    pub(crate) fn hand_over_session(&mut self, tcp: TcpStream, under_way: &[u8]) -> Self {
        match self {
            Self::Tcp(_) => Self::Tcp(tcp),
            Self::Tls(secured) => {
                secured.lose(under_way);
                let own = std::mem::replace(&mut secured.tcp, tcp);
                std::mem::replace(self, Self::Tcp(own))
            }
        }
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(secured) => &secured.tcp,
        }
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(secured) => &mut secured.tcp,
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
        match self {
            Self::Tcp(tcp) => poll_read(tcp, context, into),
            Self::Tls(secured) => secured.poll_read(context, into),
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

    /// Hands bytes to the kernel; with TLS at most one record, and none is counted before the kernel has the whole record: after
    /// [`io::ErrorKind::WouldBlock`] the next call must begin with the same bytes.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.try_write(bytes),
            Self::Tls(secured) => secured.try_write(bytes),
        }
    }

    /// Begins to send; a call that is `resumable` may go on with the bytes of an earlier one that was abandoned.
    pub(crate) fn begin(&mut self, resumable: bool) {
        if let Self::Tls(secured) = self {
            let unsent = std::mem::take(&mut secured.unsent);
            if secured.resumable {
                secured.owed = unsent;
            }
            if resumable {
                secured.unsent = std::mem::take(&mut secured.owed);
            }
            secured.resumable = resumable;
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

    /// Sends close_notify, with TLS.
    pub(crate) fn send_close_notify(&mut self) {
        if let Self::Tls(secured) = self {
            secured.session.send_close_notify();
            let _best_effort = secured.flush();
        }
    }

    /// Sends FIN, discards what has arrived, and closes.
    pub(crate) fn close(self) {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(secured) => secured.tcp,
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

/// Reads once when there is something to read; 0 bytes are the end.
fn poll_read(tcp: &TcpStream, context: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<Read>> {
    loop {
        ready!(tcp.poll_read_ready(context))?;
        let mut read = None;
        let tried = tcp.try_io(Interest::READABLE, || {
            let brought = kernel_stamps::read(tcp, into)?;
            read = Some(brought);
            // A read that leaves room in the buffer has emptied the socket: reported here, the runtime waits for more without
            // another system call.
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

impl Secured {
    fn flush(&mut self) -> io::Result<()> {
        let Self { tcp, session, .. } = self;
        session.flush(|records| tcp.try_write(records))
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Records of an abandoned write go first.
        self.flush()?;
        if self.unsent == 0 {
            self.unsent = self.session.encrypt(bytes)?;
            self.flush()?;
        }
        Ok(std::mem::take(&mut self.unsent))
    }

    /// One read from the socket into the session; 0 at the end of the stream.
    fn poll_records(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        RECORDS.with_borrow_mut(|records| {
            let read = ready!(poll_read(&self.tcp, context, records))?;
            self.stamp = read.stamp;
            let taken = self.session.take(&records[..read.bytes]);
            // An alert that says what was wrong, or an answer to a change of keys.
            let _best_effort = self.flush();
            Poll::Ready(taken.map(|()| read.bytes))
        })
    }

    /// Throws away what has arrived, and the content of the records that were to arrive next.
    fn lose(&mut self, under_way: &[u8]) {
        RECORDS.with_borrow_mut(|records| {
            self.session.discard();
            // Not through the runtime: it would not look at bytes that it does not know of yet.
            while let Ok(Read { bytes, .. }) = kernel_stamps::read(&self.tcp, records)
                && bytes > 0
            {
                let _fails_later = self.session.take(&records[..bytes]);
                self.session.discard();
            }
            if !under_way.is_empty() {
                let _fails_later = self.session.take(under_way);
                self.session.discard();
            }
        });
    }

    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<Read>> {
        loop {
            match self.session.decrypted(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(|bytes| Read { bytes, stamp: self.stamp })),
            }
            ready!(self.poll_records(context))?;
        }
    }
}
