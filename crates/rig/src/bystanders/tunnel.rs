//! A tunnel to a broker behind TLS for the honest clients, whose library is built without TLS: they speak plain TCP to it on
//! loopback. It lives on their own thread, and its time is in what they measure.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use ungraceful_wire::Tls;

/// The end of the tunnel at which the clients connect.
#[derive(Debug)]
pub(crate) struct Tunnel {
    listener: TcpListener,
}

impl Tunnel {
    /// Listens on a free port of loopback.
    pub(crate) async fn open() -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await? })
    }

    /// Where the clients connect.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Connects each client to the broker. Never returns; only within a `LocalSet`.
    pub(crate) async fn carry(self, tls: Tls, broker: SocketAddr, connect_timeout: Duration) {
        /// Out of descriptors: some will be free again.
        const AGAIN_AFTER: Duration = Duration::from_millis(100);
        loop {
            match self.listener.accept().await {
                // An end on one side is an end on the other one.
                Ok((client, _)) => drop(spawn_local(connect(client, tls.clone(), broker, connect_timeout))),
                Err(_error) => tokio::time::sleep(AGAIN_AFTER).await,
            }
        }
    }
}

async fn connect(
    mut client: TcpStream,
    tls: Tls,
    broker: SocketAddr,
    connect_timeout: Duration,
) -> io::Result<()> {
    let connecting = async {
        client.set_nodelay(true)?;
        let tcp = TcpStream::connect(broker).await?;
        tcp.set_nodelay(true)?;
        TlsConnector::from(Arc::clone(tls.config())).connect(tls.server_name().clone(), tcp).await
    };
    let mut connected = timeout(connect_timeout, connecting).await??;
    copy_bidirectional(&mut client, &mut connected).await.map(drop)
}
