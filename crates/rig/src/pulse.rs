//! Whether the broker is alive, as honest clients see it: so that the end of a connection that came from the
//! broker's own death is not taken for its reaction to a fault.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_wire::{ConnectOptions, Endpoint, OpenError};

use crate::client::{Client, NotConnected};
use crate::clock::{RunClock, micros};
use crate::target::Credentials;

/// How long honest traffic may take to prove the broker alive before a connection of our own asks.
const HONEST_TRAFFIC_WAIT: Duration = Duration::from_millis(500);
/// How much later than the end of a connection a sign of life must have come. What a broker sent just before it
/// died may still lie in an honest client's socket, and is read by another thread than the end was.
const SURELY_LATER: Duration = Duration::from_millis(100);
/// How often whoever watches looks, and how old a sign of life may be before a connection of our own asks for one.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The last proof of life. Shared by all threads; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    last_alive_us: Arc<AtomicU64>,
    /// Held by whoever asks with a connection of its own while others wait for the same answer.
    asking: Arc<Mutex<()>>,
}

impl Pulse {
    /// Notes that the broker answered an honest client at `at_us` of the run's clock.
    pub fn beat(&self, at_us: u64) {
        self.last_alive_us.fetch_max(at_us, Ordering::AcqRel);
    }

    /// The latest proof of life, in µs since the run's start; 0 when there was none.
    #[must_use]
    pub fn last_alive_us(&self) -> u64 {
        self.last_alive_us.load(Ordering::Acquire)
    }

    /// Whether the broker was alive after `after_us`: proved by honest traffic, or else by a connection of our
    /// own that gets a CONNACK.
    pub async fn alive_after(&self, after_us: u64, asker: &Asker<'_>) -> bool {
        let after_us = after_us + micros(SURELY_LATER);
        let mut waited = Duration::ZERO;
        while waited < HONEST_TRAFFIC_WAIT {
            if self.last_alive_us() > after_us {
                return true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
        // Twice, because one attempt can fall into a moment in which a busy broker drops a SYN.
        for _ in 0..2 {
            if asker.answered().await {
                self.beat(asker.clock.now_us());
                return true;
            }
        }
        self.last_alive_us() > after_us
    }

    /// Watches for as long as it is polled, and keeps in `longest` for how long the broker gave no sign of life. Where no
    /// honest traffic asks, connections of our own do, one after another for everybody who watches.
    pub async fn watch(&self, asker: &Asker<'_>, longest: &mut Duration) -> Infallible {
        let mut last_us = asker.clock.now_us();
        loop {
            tokio::time::sleep(WATCH_EVERY).await;
            if asker.clock.now_us().saturating_sub(self.last_alive_us()) > micros(WATCH_EVERY) {
                let _asking = self.asking.lock().await;
                let is_still_unknown =
                    asker.clock.now_us().saturating_sub(self.last_alive_us()) > micros(WATCH_EVERY);
                if is_still_unknown && asker.answered().await {
                    self.beat(asker.clock.now_us());
                }
            }
            let alive_us = self.last_alive_us().max(last_us);
            let since_us = if alive_us > last_us { alive_us } else { asker.clock.now_us() };
            *longest = (*longest).max(Duration::from_micros(since_us.saturating_sub(last_us)));
            last_us = alive_us;
        }
    }
}

/// What it takes to ask the broker for a CONNACK.
#[derive(Debug)]
pub struct Asker<'a> {
    /// The broker's address.
    pub endpoint: Endpoint,
    /// How to connect.
    pub options: &'a ConnectOptions,
    /// What to show.
    pub credentials: &'a Credentials,
    /// A version the broker speaks.
    pub version: ProtocolVersion,
    /// The run's clock.
    pub clock: &'a RunClock,
    /// A ClientID that no other client of the run has.
    pub client_id: String,
}

impl Asker<'_> {
    /// Whether somebody is at home. A refused or unanswered handshake says no, and so does silence after it. Any
    /// CONNACK says yes, an accepting one or not; so does a connection that is accepted and then ended (a broker at
    /// its limit of connections does that). What goes wrong on our side says nothing against the broker.
    async fn answered(&self) -> bool {
        let opened = match self.endpoint.open(self.options).await {
            Ok(opened) => opened,
            Err(OpenError::Refused | OpenError::Timeout(_)) => return false,
            Err(_ours) => return true,
        };
        let mut client = Client::new(opened.connection, self.version);
        let connect = Client::honest_connect(&self.client_id, self.credentials);
        let answer = client.connect(&connect, self.options.connect_timeout).await;
        client.leave().await;
        !matches!(answer, Err(NotConnected::Silent(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::Pulse;

    #[test]
    fn the_last_sign_of_life_never_goes_back_and_is_seen_by_every_clone() {
        let pulse = Pulse::default();
        assert_eq!(pulse.last_alive_us(), 0);
        let other = pulse.clone();
        for (beat_us, expected_us) in [(50, 50), (30, 50), (50, 50), (70, 70), (0, 70)] {
            other.beat(beat_us);
            assert_eq!(pulse.last_alive_us(), expected_us);
        }
    }
}
