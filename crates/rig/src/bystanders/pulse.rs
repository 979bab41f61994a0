//! Whether the broker is alive, as honest clients see it: so that the end of a connection of a dying broker is not
//! taken for a reaction to a fault, nor a broker that stalls for one that goes on serving.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::scale::micros;
use ungraceful_wire::{ConnectOptions, Endpoint, OpenError};

use crate::attempts::client::{Client, NotConnected};
use crate::broker::target::Credentials;
use crate::measure::clock::RunClock;

/// How long honest traffic may take to prove the broker alive before a connection of our own asks.
pub(crate) const HONEST_TRAFFIC_WAIT: Duration = Duration::from_millis(500);
/// How much later than the end of a connection a sign of life must have come. What a broker sent just before it died
/// may still be in an honest client's socket, which another thread reads.
const SURELY_LATER: Duration = Duration::from_millis(100);
/// How often a watcher looks, and how old a sign of life may be before a connection of our own asks for one.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// The interval between two looks at the last sign of life.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The shortest silence of honest traffic that counts, in µs.
const SILENCE_US: u64 = 1_000_000;
/// It must also be this many times as long as the average interval between signs of life.
const TIMES_THE_USUAL: u64 = 10;
/// The shortest silence that counts with a watcher, which asks a silent broker for a sign of life, in µs: up to twice [`WATCH_EVERY`] passes before.
const WATCHED_SILENCE_US: u64 = 2 * 1_000_000 + SILENCE_US;
/// Silences kept, the latest ones.
const SILENCES_MAX: usize = 1_000;

/// The signs of life: the last one, and long silences. Shared by all threads; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    signs: Arc<Signs>,
    /// Held by the task that asks with its own connection, while others wait for the same answer.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Signs {
    count: AtomicU64,
    first_us: AtomicU64,
    last_alive_us: AtomicU64,
    past: Mutex<Past>,
}

/// Times without a sign of life.
#[derive(Debug, Default)]
struct Past {
    silences: VecDeque<Silence>,
    watchers: u64,
    /// Since when there has been a watcher without a break; unused while there is none.
    watched_from_us: u64,
}

/// A time without a sign of life, in µs since the run's start.
#[derive(Clone, Copy, Debug)]
struct Silence {
    /// The sign of life before it; 0 when there was none.
    began_us: u64,
    ended_us: u64,
    /// The begin of the watch that covers its end; absent when no watcher was there.
    watched_from_us: Option<u64>,
}

impl Silence {
    /// The part of it in which the broker would have given a sign of life, from and until; absent when it is too
    /// short. `usual_us` is the average interval between signs; absent when they are too few.
    fn telling(&self, usual_us: Option<u64>) -> Option<(u64, u64)> {
        let longer_than = |from_us: u64, us: u64| self.ended_us.saturating_sub(from_us) > us;
        let is_unusual = |usual_us: u64| longer_than(self.began_us, usual_us.saturating_mul(TIMES_THE_USUAL));
        if longer_than(self.began_us, SILENCE_US) && self.began_us > 0 && usual_us.is_some_and(is_unusual) {
            return Some((self.began_us, self.ended_us));
        }
        let from_us = self.watched_from_us?.max(self.began_us);
        longer_than(from_us, WATCHED_SILENCE_US).then_some((from_us, self.ended_us))
    }
}

impl Past {
    /// The silence from the sign of life at `began_us` until `ended_us`.
    fn silence(&self, began_us: u64, ended_us: u64) -> Silence {
        let watched_from_us = (self.watchers > 0).then_some(self.watched_from_us);
        Silence { began_us, ended_us, watched_from_us }
    }

    fn keep(&mut self, began_us: u64, ended_us: u64) {
        if ended_us.saturating_sub(began_us) <= SILENCE_US {
            return;
        }
        if self.silences.len() == SILENCES_MAX {
            self.silences.pop_front();
        }
        self.silences.push_back(self.silence(began_us, ended_us));
    }

    fn watched(&mut self, at_us: u64) {
        if self.watchers == 0 {
            self.watched_from_us = at_us;
        }
        self.watchers += 1;
    }

    /// A watcher leaves. A silence that is still under way was watched until now.
    fn unwatched(&mut self, last_alive_us: u64, at_us: u64) {
        self.keep(last_alive_us, at_us);
        self.watchers -= 1;
    }
}

impl Signs {
    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watcher, until dropped.
struct Watching<'a> {
    pulse: &'a Pulse,
    clock: &'a RunClock,
}

impl<'a> Watching<'a> {
    fn begin(pulse: &'a Pulse, clock: &'a RunClock) -> Self {
        pulse.signs.past().watched(clock.now_us());
        Self { pulse, clock }
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.pulse.signs.past().unwatched(self.pulse.last_alive_us(), self.clock.now_us());
    }
}

impl Pulse {
    /// Notes that the broker answered an honest client at `at_us` of the run's clock.
    pub fn beat(&self, at_us: u64) {
        if self.signs.count.fetch_add(1, Ordering::AcqRel) == 0 {
            self.signs.first_us.store(at_us, Ordering::Release);
        }
        let before_us = self.signs.last_alive_us.fetch_max(at_us, Ordering::AcqRel);
        if at_us.saturating_sub(before_us) > SILENCE_US {
            self.signs.past().keep(before_us, at_us);
        }
    }

    /// The longest silence of which at least a second lies within `from_us` to `until_us` (now, or before): the
    /// broker or this process stalled. Absent when there was none, or when honest clients do too little for their
    /// silence to count and no task [watches](Pulse::watch).
    #[must_use]
    pub fn silence(&self, from_us: u64, until_us: u64) -> Option<Duration> {
        let (count, last_us) = (self.signs.count.load(Ordering::Acquire), self.last_alive_us());
        let first_us = self.signs.first_us.load(Ordering::Acquire);
        let usual_us = last_us.saturating_sub(first_us).checked_div(count.saturating_sub(1));
        let past = self.signs.past();
        let until_now = past.silence(last_us, until_us.max(last_us));
        let telling =
            past.silences.iter().chain([&until_now]).filter_map(|silence| silence.telling(usual_us));
        let within = |(began_us, ended_us): &(u64, u64)| {
            (*ended_us).min(until_us).saturating_sub((*began_us).max(from_us)) > SILENCE_US
        };
        telling.filter(within).map(|(began_us, ended_us)| Duration::from_micros(ended_us - began_us)).max()
    }

    /// The latest sign of life, in µs since the run's start; 0 when there was none.
    #[must_use]
    pub fn last_alive_us(&self) -> u64 {
        self.signs.last_alive_us.load(Ordering::Acquire)
    }

    /// Whether the broker was alive after `after_us`: proved by honest traffic, or by a connection of our own that
    /// gets a CONNACK.
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
        // Twice, because a busy broker may drop a single SYN.
        for _ in 0..2 {
            if self.ask(asker).await != Answer::Nothing {
                return true;
            }
        }
        self.last_alive_us() > after_us
    }

    /// Watches while polled: where honest traffic is silent, connections of our own ask, one at a time for all
    /// watchers. [`Pulse::silence`] returns what they see, also after the watch.
    pub async fn watch(&self, asker: &Asker<'_>) -> Infallible {
        let _watching = Watching::begin(self, asker.clock);
        let is_silent = || asker.clock.now_us().saturating_sub(self.last_alive_us()) > micros(WATCH_EVERY);
        loop {
            tokio::time::sleep(WATCH_EVERY).await;
            if is_silent() {
                let _asking = self.asking.lock().await;
                if is_silent() {
                    self.ask(asker).await;
                }
            }
        }
    }

    /// Asks the broker for a sign of life; only a CONNACK counts.
    async fn ask(&self, asker: &Asker<'_>) -> Answer {
        let answer = asker.answered().await;
        if answer == Answer::ConnAck {
            self.beat(asker.clock.now_us());
        }
        answer
    }
}

/// What is needed to ask the broker for a CONNACK.
#[derive(Debug)]
pub struct Asker<'a> {
    /// The broker's address.
    pub endpoint: Endpoint,
    /// How to connect.
    pub options: &'a ConnectOptions,
    /// The client's credentials.
    pub credentials: &'a Credentials,
    /// A version the broker speaks.
    pub version: ProtocolVersion,
    /// The run's clock.
    pub clock: &'a RunClock,
    /// A ClientID that no other client of the run has.
    pub client_id: String,
}

/// The answer to a connection that asks whether the broker is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// A CONNACK, accepting or not: the broker works.
    ConnAck,
    /// The connection was accepted, and ended or was answered otherwise (as by a broker at its connection limit, or a
    /// proxy whose broker stalls), or our side failed. The broker may be gone or alive.
    Unclear,
    /// The handshake was refused or unanswered, or nothing came after it.
    Nothing,
}

impl Asker<'_> {
    async fn answered(&self) -> Answer {
        let opened = match self.endpoint.open(self.options).await {
            Ok(opened) => opened,
            Err(OpenError::Refused | OpenError::Timeout(_)) => return Answer::Nothing,
            Err(_ours) => return Answer::Unclear,
        };
        let mut client = Client::new(opened.connection, self.version);
        let connect = Client::honest_connect(&self.client_id, self.credentials);
        let answer = client.connect(&connect, self.options.connect_timeout).await;
        client.leave().await;
        match answer {
            Ok(_) | Err(NotConnected::Refused { .. }) => Answer::ConnAck,
            Err(NotConnected::Silent(_)) => Answer::Nothing,
            Err(_) => Answer::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use ungraceful_mqtt::ProtocolVersion;
    use ungraceful_wire::{ConnectOptions, Endpoint};

    use super::{Asker, Pulse};
    use crate::broker::target::Credentials;
    use crate::measure::clock::RunClock;

    /// Signs of life every 10 ms, but for the time between these, in ms.
    fn signs(until_ms: u64, without: std::ops::Range<u64>) -> Pulse {
        let pulse = Pulse::default();
        let steps = (1..=until_ms / 10).map(|step| step * 10);
        steps.filter(|ms| !without.contains(ms)).for_each(|ms| pulse.beat(ms * 1_000));
        pulse
    }

    #[test]
    fn a_silence_is_seen_from_within_it() {
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
    fn the_silence_of_rare_clients_does_not_count() {
        let pulse = Pulse::default();
        assert_eq!(pulse.silence(0, 60_000_000), None, "no sign at all");
        (1..=10).for_each(|sign| pulse.beat(sign * 5_000_000));
        assert_eq!(pulse.silence(0, 60_000_000), None);
        assert!(pulse.silence(0, 110_000_000).is_some(), "ten times as long as usual");
    }

    #[test]
    fn a_silence_under_way_at_the_end_of_a_watch_counts() {
        let seconds = Duration::from_secs;
        let silence =
            |pulse: &Pulse, from_s: u64, until_s: u64| pulse.silence(from_s * 1_000_000, until_s * 1_000_000);
        // The watcher alone causes traffic.
        let pulse = Pulse::default();
        pulse.signs.past().watched(10_000_000);
        pulse.beat(12_000_000);
        assert_eq!(silence(&pulse, 10, 15), None, "a watcher may take 3 s to ask");
        assert_eq!(silence(&pulse, 10, 19), Some(seconds(7)), "under way, and watched");
        pulse.signs.past().unwatched(12_000_000, 19_000_000);
        assert_eq!(silence(&pulse, 10, 19), Some(seconds(7)), "after the watch");
        assert_eq!(silence(&pulse, 19, 60), None, "without a watcher");
        // A watcher that comes late has not watched before.
        pulse.signs.past().watched(60_000_000);
        pulse.beat(61_000_000);
        assert_eq!(silence(&pulse, 20, 61), None);
        // Two watchers are no more than one, and the first that leaves does not end it.
        pulse.signs.past().watched(62_000_000);
        pulse.signs.past().unwatched(61_000_000, 63_000_000);
        assert_eq!(silence(&pulse, 60, 66), Some(seconds(5)));
        // A broker without any sign of life is silent from the begin of the watch.
        let never = Pulse::default();
        never.signs.past().watched(10_000_000);
        assert_eq!(silence(&never, 10, 14), Some(seconds(4)));
    }

    #[tokio::test]
    async fn only_a_connack_is_a_sign_of_life() {
        for says in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x03\x00\x00\x00"] {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let endpoint = Endpoint { address: listener.local_addr().unwrap() };
            let answers = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut connect = [0; 256];
                let read = std::io::Read::read(&mut stream, &mut connect).unwrap();
                assert!(read > 0, "a CONNECT");
                std::io::Write::write_all(&mut stream, says).unwrap();
            });
            let (pulse, clock) = (Pulse::default(), RunClock::start());
            let asker = Asker {
                endpoint,
                options: &ConnectOptions::default(),
                credentials: &Credentials::default(),
                version: ProtocolVersion::V5,
                clock: &clock,
                client_id: "ugz".into(),
            };
            assert!(pulse.alive_after(0, &asker).await, "the port answers: {says:?}");
            assert_eq!(pulse.last_alive_us() > 0, says.first() == Some(&0x20), "{says:?}");
            answers.join().unwrap();
        }
    }

    #[test]
    fn clones_share_a_last_sign_of_life_that_never_goes_back() {
        let pulse = Pulse::default();
        assert_eq!(pulse.last_alive_us(), 0);
        let other = pulse.clone();
        for (beat_us, expected_us) in [(50, 50), (30, 50), (50, 50), (70, 70), (0, 70)] {
            other.beat(beat_us);
            assert_eq!(pulse.last_alive_us(), expected_us);
        }
    }
}
