//! How to reach the broker under test: addresses, credentials, protocol versions.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::run::{TlsRecord, WebSocketRecord};
use ungraceful_wire::{ConnectOptions, Endpoint, Transport};

use crate::broker::clients::ClientsSettings;
use crate::broker::nodes::NodeOrder;
use crate::error::RunError;
use crate::run::safety;
use ungraceful_flags::Mistake;

/// A password. Never printed, never recorded: its `Debug` shows nothing, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Hides `bytes`.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for the CONNECT packet only.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

/// The credentials of a client.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// User Name; not sent when absent.
    pub user_name: Option<String>,
    /// Password; not sent when absent.
    pub password: Option<Secret>,
}

/// Local addresses for connections, in turn. Shared by all threads; cheap to clone.
#[derive(Clone, Debug)]
pub struct SourceAddresses {
    addresses: Arc<[IpAddr]>,
    taken: Arc<AtomicUsize>,
}

impl SourceAddresses {
    /// These addresses; the kernel chooses when there are none.
    #[must_use]
    pub fn new(addresses: &[IpAddr]) -> Self {
        Self { addresses: addresses.into(), taken: Arc::default() }
    }

    /// The address for the next connection; absent for the kernel's choice.
    #[must_use]
    pub fn next(&self) -> Option<IpAddr> {
        if self.addresses.is_empty() {
            return None;
        }
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        Some(self.addresses[taken % self.addresses.len()])
    }
}

/// The broker that the user chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerChoice {
    /// The embedded broker, as a child process.
    Embedded,
    /// An installed Mosquitto, started with our configuration.
    SpawnMosquitto,
    /// The same with its dynamic-security plug-in, through which any client can remove others.
    SpawnAdministeredMosquitto,
    /// A broker that is already running.
    Host {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
}

impl BrokerChoice {
    /// The same broker, set up for administration where the run starts it.
    #[must_use]
    pub fn administered(self) -> Self {
        match self {
            Self::SpawnMosquitto => Self::SpawnAdministeredMosquitto,
            other => other,
        }
    }
}

/// Several nodes or listeners of a broker.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Those after the first: host and port.
    pub further: Vec<(String, u16)>,
    /// How clients are spread.
    pub order: NodeOrder,
    /// Whether the certificate of each must be for its own host.
    pub named: bool,
}

/// How to reach the broker.
#[derive(Clone, Debug)]
pub struct TargetSettings {
    /// Which broker.
    pub broker: BrokerChoice,
    /// Further hosts, and how clients are spread over them; absent when there is one.
    pub nodes: Option<NodeSettings>,
    /// Who the clients are, and below which topics they are.
    pub clients: ClientsSettings,
    /// Protocol versions to speak; see `versions_required`.
    pub versions: Vec<ProtocolVersion>,
    /// Whether a version that the broker does not speak stops the run (the user asked for it) or is skipped with a
    /// note.
    pub versions_required: bool,
    /// Local addresses to connect from, in turn; the kernel's choice when empty.
    pub sources: Vec<IpAddr>,
    /// Bound of the handshakes of TCP and what lies over it together, and of the wait for CONNACK.
    pub connect_timeout: Duration,
    /// The layers over TCP.
    pub transport: Transport,
    /// The host named by `--i-own-this-broker`.
    pub owned_host: Option<String>,
}

impl TargetSettings {
    /// TLS, for the record; absent without.
    #[must_use]
    pub fn tls_record(&self) -> Option<TlsRecord> {
        self.transport.tls.as_ref().map(|tls| TlsRecord { insecure: tls.is_insecure() })
    }

    /// WebSocket, for the record; absent without.
    #[must_use]
    pub fn websocket_record(&self) -> Option<WebSocketRecord> {
        let websocket = self.transport.websocket.as_ref()?;
        Some(WebSocketRecord { path: websocket.path().to_owned() })
    }
}

/// A resolved and permitted address of a broker.
#[derive(Clone, Debug)]
pub struct Target {
    /// As the user named it, without credentials: `host:port`.
    pub name: String,
    /// The usable addresses; the first is used.
    pub addresses: Vec<SocketAddr>,
}

impl Target {
    /// Resolves `host` and applies the safety rule to every address it resolves to.
    ///
    /// # Errors
    /// [`RunError::Environment`] when the name can't be resolved, [`RunError::Usage`] when it is refused.
    pub fn resolve(host: &str, port: u16, owned: Option<&str>) -> Result<Self, RunError> {
        // Rejects by name before any look-up.
        safety::permit(host, &[], owned).map_err(|refusal| refused(&refusal))?;
        let found = (host, port).to_socket_addrs().map_err(|error| {
            RunError::Environment(format!("cannot resolve host {host:?}: {error}; check --host or --url"))
        })?;
        let addresses: Vec<SocketAddr> = found.collect();
        if addresses.is_empty() {
            return Err(RunError::Environment(format!(
                "host {host:?} has no address; check --host or --url"
            )));
        }
        let bare: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        safety::permit(host, &bare, owned).map_err(|refusal| refused(&refusal))?;
        let name = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Ok(Self { name, addresses })
    }

    /// The address that connections go to.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint { address: self.addresses[0] }
    }

    /// Prefers the first of several addresses that accepts a connection ("localhost" is often both `::1` and
    /// `127.0.0.1`, and brokers often listen on one of them).
    pub async fn prefer_reachable(&mut self, options: &ConnectOptions) {
        if self.addresses.len() < 2 {
            return;
        }
        for index in 0..self.addresses.len() {
            let endpoint = Endpoint { address: self.addresses[index] };
            if let Ok(opened) = endpoint.open(options).await {
                opened.connection.close();
                self.addresses.swap(0, index);
                return;
            }
        }
    }
}

fn refused(refusal: &safety::Refusal) -> RunError {
    RunError::Usage(vec![Mistake::new("--host", refusal.to_string())])
}

#[cfg(test)]
mod tests {
    use super::{Secret, SourceAddresses, Target};
    use crate::error::RunError;

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(not shown)");
    }

    #[test]
    fn source_addresses_are_taken_in_turn() {
        let addresses = ["127.0.0.1", "127.0.1.1"].map(|text| text.parse().unwrap());
        let sources = SourceAddresses::new(&addresses);
        let taken = [sources.next(), sources.clone().next(), sources.next()];
        assert_eq!(taken, [Some(addresses[0]), Some(addresses[1]), Some(addresses[0])]);
        assert_eq!(SourceAddresses::new(&[]).next(), None);
    }

    #[test]
    fn a_public_address_is_a_usage_error_that_names_the_cure() {
        let error = Target::resolve("192.0.2.7", 1883, None).unwrap_err();
        assert!(matches!(&error, RunError::Usage(_)), "{error:?}");
        assert!(error.to_string().contains("--i-own-this-broker 192.0.2.7"), "{error}");
    }

    #[test]
    fn a_loopback_address_is_permitted() {
        assert_eq!(Target::resolve("127.0.0.1", 1883, None).unwrap().name, "127.0.0.1:1883");
        assert_eq!(Target::resolve("::1", 1883, None).unwrap().name, "[::1]:1883");
    }
}
