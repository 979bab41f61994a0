//! Configures the library broker, binds it to loopback, and serves until the parent stops it. Only this file uses the library.

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use mqtt5::broker::config::{RateLimitConfig, StorageBackend};
use mqtt5::broker::{BrokerConfig, MqttBroker, ResourceLimits, StorageConfig};

use crate::lifeline::{self, LifelineError};
use crate::settings::Settings;

/// Why the embedded broker could not start, or ended before standard input did.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The process could not be tied to its parent.
    #[error(transparent)]
    Lifeline(#[from] LifelineError),
    /// No runtime could be built, most likely for want of descriptors.
    #[error("cannot build the embedded broker's runtime: {0}")]
    Runtime(#[source] std::io::Error),
    /// The broker could not listen on its port of 127.0.0.1.
    #[error("the embedded broker cannot listen on 127.0.0.1: {0}")]
    Bind(String),
    /// The broker ended by itself.
    #[error("the embedded broker stopped by itself: {0}")]
    Stopped(String),
}

/// Serves MQTT on 127.0.0.1, on the port of the settings, until standard input ends; blocks for as long.
///
/// `ready` is called once, with the bound address, when the broker accepts connections. Nothing is written to
/// standard output here: `ready` prints the line that gives the parent the port.
///
/// The process is killed when its parent dies, from the call on and for as long as the calling thread lives. For the
/// kernel the parent is the *thread* that started this process: start it from one that lives as long as the broker
/// shall. Call this in a process that does nothing else, and end the process when it returns. Connections are then
/// closed without a DISCONNECT, as when a broker goes away.
///
/// Nothing here is generic, so that the library is compiled with this crate and not with each caller.
///
/// # Errors
///
/// [`ServeError::Lifeline`], [`ServeError::Runtime`] and [`ServeError::Bind`] before `ready` was called;
/// [`ServeError::Stopped`] before or after. What Clients do wrong is never an error here.
pub fn serve(settings: &Settings, ready: fn(SocketAddr)) -> Result<(), ServeError> {
    lifeline::die_with_parent(settings.parent_process)?;
    let input_ended = lifeline::end_of_standard_input()?;
    // One thread: the broker's processor time is then one line of /proc, and it leaves the other cores to the load.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Runtime)?;
    let outcome = runtime.block_on(async {
        let mut broker = MqttBroker::with_config(configuration(settings))
            .await
            .map_err(|error| ServeError::Bind(error.to_string()))?;
        broker.resource_monitor().update_limits(no_limits());
        let address =
            broker.local_addr().ok_or_else(|| ServeError::Bind("no address was bound".to_owned()))?;
        let mut accepts = broker.ready_receiver();
        let mut serving = pin!(broker.run());
        tokio::select! {
            ended = &mut serving => return Err(stopped(ended)),
            // An error would mean that the sender went away, which only the end of `serving` does.
            _ = accepts.wait_for(|accepts| *accepts) => ready(address),
        }
        tokio::select! {
            ended = &mut serving => Err(stopped(ended)),
            // An error means that the watching thread is gone: the input will never be seen to end, so end now.
            _ = input_ended => Ok(()),
        }
    });
    // Connections and timers of the library are not waited for.
    runtime.shutdown_background();
    outcome
}

fn stopped(ended: mqtt5::Result<()>) -> ServeError {
    ServeError::Stopped(ended.err().map_or_else(|| "without an error".to_owned(), |error| error.to_string()))
}

fn configuration(settings: &Settings) -> BrokerConfig {
    let mut config = BrokerConfig::default()
        // The library's default is every interface.
        .with_bind_address(SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port)))
        .with_max_clients(usize::MAX)
        .with_session_expiry(settings.session_expiry_interval_maximum)
        // The library's default writes to ./mqtt_storage. Without "persistence" it would keep no Sessions at all.
        .with_storage(
            StorageConfig::default()
                .with_backend(StorageBackend::Memory)
                .with_persistence(true)
                .with_cleanup_interval(EXPIRED_SESSIONS_STAY),
        );
    config.server_receive_maximum = Some(settings.receive_maximum.get());
    // All clients share one address here: what locks out one of them would lock out the run.
    config.auth_config.rate_limit = RateLimitConfig { enabled: false, ..RateLimitConfig::default() };
    config
}

/// The library refuses connections by number and by rate without a word; a run would take that for the broker's
/// reaction to a fault. Its window of zero keeps the list of recent connections, walked at each new one, empty.
fn no_limits() -> ResourceLimits {
    ResourceLimits {
        max_connections: usize::MAX,
        max_connections_per_ip: usize::MAX,
        max_message_rate_per_client: 0,
        max_bandwidth_per_client: 0,
        max_connection_rate: u32::MAX,
        rate_limit_window: Duration::ZERO,
    }
}

/// How long an expired Session may still take memory; for Clients it is gone at once. The library's hour would make
/// storms of short Sessions look like a leak.
const EXPIRED_SESSIONS_STAY: Duration = Duration::from_secs(60);
