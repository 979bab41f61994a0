//! Whether the broker is alive, as honest clients see it: so that the end of a connection that came from the
//! broker's own death is not taken for its reaction to a fault, nor a broker that stalled for one that goes on serving.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_wire::{ConnectOptions, Endpoint, OpenError};

use crate::client::{Client, NotConnected};
use crate::clock::{RunClock, micros};
use crate::target::Credentials;

/// How long honest traffic may take to prove the broker alive before a connection of our own asks.
pub(crate) const HONEST_TRAFFIC_WAIT: Duration = Duration::from_millis(500);
/// How much later than the end of a connection a sign of life must have come. What a broker sent just before it
/// died may still lie in an honest client's socket, and is read by another thread than the end was.
const SURELY_LATER: Duration = Duration::from_millis(100);
/// How often whoever watches looks, and how old a sign of life may be before a connection of our own asks for one.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A silence of honest traffic below this is none, in µs.
const SILENCE_US: u64 = 1_000_000;
/// Nor is one that is not so many times as long as honest clients wait for a sign of life on average.
const TIMES_THE_USUAL: u64 = 10;
/// Silences that are kept, of the latest.
const SILENCES_MAX: usize = 1_000;

/// The proofs of life: the last one, and when there was none for long. Shared by all threads; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    signs: Arc<Signs>,
    /// Held by whoever asks with a connection of its own while others wait for the same answer.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Signs {
    count: AtomicU64,
    first_us: AtomicU64,
    last_alive_us: AtomicU64,
    /// From one sign of life to the next, both in µs since the run's start.
    silences: Mutex<VecDeque<(u64, u64)>>,
}

impl Pulse {
    /// Notes that the broker answered an honest client at `at_us` of the run's clock.
    pub fn beat(&self, at_us: u64) {
        if self.signs.count.fetch_add(1, Ordering::AcqRel) == 0 {
            self.signs.first_us.store(at_us, Ordering::Release);
        }
        let before_us = self.signs.last_alive_us.fetch_max(at_us, Ordering::AcqRel);
        if before_us > 0 && at_us.saturating_sub(before_us) > SILENCE_US {
            let mut silences = self.signs.silences.lock().unwrap_or_else(PoisonError::into_inner);
            if silences.len() == SILENCES_MAX {
                silences.pop_front();
            }
            silences.push_back((before_us, at_us));
        }
    }

    /// The longest time without a sign of life, of at least a second of it within `from_us` to `until_us` (now, or before):
    /// the broker stalled then, or we did. Absent when there was none, and when honest clients have too little to do for
    /// their silence to tell.
    #[must_use]
    pub fn silence(&self, from_us: u64, until_us: u64) -> Option<Duration> {
        let (count, last_us) = (self.signs.count.load(Ordering::Acquire), self.last_alive_us());
        let first_us = self.signs.first_us.load(Ordering::Acquire);
        let usual_us = last_us.saturating_sub(first_us).checked_div(count.saturating_sub(1))?;
        let silences = self.signs.silences.lock().unwrap_or_else(PoisonError::into_inner);
        let tells = |(began_us, ended_us): &(u64, u64)| {
            let within = (*ended_us).min(until_us).saturating_sub((*began_us).max(from_us));
            within > SILENCE_US && ended_us - began_us > usual_us.saturating_mul(TIMES_THE_USUAL)
        };
        let until_now = (last_us, until_us.max(last_us));
        let longest_us = silences.iter().chain([&until_now]).filter(|silence| tells(silence));
        longest_us.map(|(began_us, ended_us)| Duration::from_micros(ended_us - began_us)).max()
    }

    /// The latest proof of life, in µs since the run's start; 0 when there was none.
    #[must_use]
    pub fn last_alive_us(&self) -> u64 {
        self.signs.last_alive_us.load(Ordering::Acquire)
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
    use std::time::Duration;

    use super::Pulse;

    /// Signs of life every 10 ms, but for the time between these, in ms.
    fn signs(until_ms: u64, without: std::ops::Range<u64>) -> Pulse {
        let pulse = Pulse::default();
        let steps = (1..=until_ms / 10).map(|step| step * 10);
        steps.filter(|ms| !without.contains(ms)).for_each(|ms| pulse.beat(ms * 1_000));
        pulse
    }

    #[test]
    fn a_silence_of_honest_clients_is_seen_by_whoever_watched_meanwhile() {
        let pulse = signs(10_000, 4_010..7_000);
        let silence = Some(Duration::from_millis(3_000));
        for (from_ms, until_ms, expected) in [
            (0, 10_000, silence),
            (4_000, 6_000, silence),
            (5_500, 9_000, silence),
            (0, 4_900, None),
            (6_500, 10_000, None),
            (7_000, 10_000, None),
            (9_000, 10_900, None),
            (9_000, 12_500, Some(Duration::from_millis(2_500))),
        ] {
            assert_eq!(pulse.silence(from_ms * 1_000, until_ms * 1_000), expected, "{from_ms} to {until_ms}");
        }
    }

    #[test]
    fn the_silence_of_clients_that_say_little_tells_nothing() {
        let pulse = Pulse::default();
        assert_eq!(pulse.silence(0, 60_000_000), None, "nobody is there");
        (1..=10).for_each(|sign| pulse.beat(sign * 5_000_000));
        assert_eq!(pulse.silence(0, 60_000_000), None);
        assert!(pulse.silence(0, 110_000_000).is_some(), "ten times as long as usual");
    }

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
