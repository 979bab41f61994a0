//! A tunnel to a broker behind TLS or WebSocket for the honest clients, whose library is built without them: they speak plain TCP to
//! it on loopback. It lives on their own thread, and its time is in what they measure.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::spawn_local;
use ungraceful_wire::{ConnectOptions, Endpoint, relay};

/// The end of the tunnel at which the clients connect.
#[derive(Debug)]
pub(crate) struct Tunnel {
    listener: TcpListener,
}

impl Tunnel {
    /// Listens on a free port of loopback.
    pub(crate) fn open() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: TcpListener::from_std(listener)? })
    }

    /// Where the clients connect.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Connects each client to the broker. Never returns; only within a `LocalSet`.
    pub(crate) async fn carry(self, broker: Endpoint, options: ConnectOptions) {
        /// Out of descriptors: some will be free again.
        const AGAIN_AFTER: Duration = Duration::from_millis(100);
        let options = Rc::new(options);
        loop {
            match self.listener.accept().await {
                Ok((client, _)) => {
                    let options = Rc::clone(&options);
                    let _carried = spawn_local(async move {
                        client.set_nodelay(true)?;
                        // The client sees an end.
                        let _cannot_connect = relay(client, broker, &options).await;
                        io::Result::Ok(())
                    });
                }
                Err(_error) => tokio::time::sleep(AGAIN_AFTER).await,
            }
        }
    }
}
