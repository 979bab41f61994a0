//! The seam between a connection and its transport: the few operations that each transport must bring.
//!
//! TLS and WebSocket become variants here. What a fault does to the socket beneath (RST, half-close) has to
//! reach through them, so it is asked of the stream and not of a generic reader and writer.

use std::io;

use tokio::net::TcpStream;

/// One transport.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
}

impl Stream {
    pub(crate) async fn readable(&self) -> io::Result<()> {
        let Self::Tcp(tcp) = self;
        tcp.readable().await
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        let Self::Tcp(tcp) = self;
        tcp.writable().await
    }

    pub(crate) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let Self::Tcp(tcp) = self;
        tcp.try_read(into)
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Self::Tcp(tcp) = self;
        tcp.try_write(bytes)
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
}
