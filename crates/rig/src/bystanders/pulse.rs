//! Whether the broker is alive, as honest clients see it: so that the end of a connection that came from the
//! broker's own death is not taken for its reaction to a fault, nor a broker that stalled for one that goes on serving.

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
/// Nor is one of less than this, in µs, while somebody watches, who asks a sign of life of a broker that is silent: until then
/// up to twice [`WATCH_EVERY`] pass by rights.
const WATCHED_SILENCE_US: u64 = 2 * 1_000_000 + SILENCE_US;
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
    past: Mutex<Past>,
}

/// When there was no sign of life.
#[derive(Debug, Default)]
struct Past {
    silences: VecDeque<Silence>,
    /// Who watches now.
    watchers: u64,
    /// Since when somebody does, without a break; means nothing while nobody does.
    watched_from_us: u64,
}

/// A time without a sign of life, in µs since the run's start.
#[derive(Clone, Copy, Debug)]
struct Silence {
    /// The sign of life before it; 0 when there was none.
    began_us: u64,
    ended_us: u64,
    /// From when on somebody watched, to its end; absent when nobody did at its end.
    watched_from_us: Option<u64>,
}

impl Silence {
    /// The part of it in which the broker would have given a sign of life, from and until; absent when it is too short to
    /// tell. `usual_us` is how long honest clients wait for one on average; absent when they are too few to say.
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
    /// The time from the sign of life at `began_us` until `ended_us`.
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

    /// Somebody begins to watch.
    fn watched(&mut self, at_us: u64) {
        if self.watchers == 0 {
            self.watched_from_us = at_us;
        }
        self.watchers += 1;
    }

    /// Somebody watches no longer. A silence that is still under way was watched until now.
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

/// Somebody who watches, until this is dropped.
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

    /// The longest time without a sign of life, of at least a second of it within `from_us` to `until_us` (now, or before):
    /// the broker stalled then, or we did. Absent when there was none, and when honest clients have too little to do for
    /// their silence to tell, while nobody [watches](Pulse::watch).
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
            if self.ask(asker).await != Answer::Nothing {
                return true;
            }
        }
        self.last_alive_us() > after_us
    }

    /// Watches for as long as it is polled: where no honest traffic asks, connections of our own do, one after another for
    /// everybody who watches. What they see, [`Pulse::silence`] tells, also once the watching is over.
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

    /// Asks the broker for a sign of life. Only a CONNACK is one.
    async fn ask(&self, asker: &Asker<'_>) -> Answer {
        let answer = asker.answered().await;
        if answer == Answer::ConnAck {
            self.beat(asker.clock.now_us());
        }
        answer
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

/// What became of a connection that asked whether somebody is at home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// A CONNACK, an accepting one or not: the broker works.
    ConnAck,
    /// The connection was accepted, and ended or answered otherwise (a broker at its limit of connections does that, and so
    /// does a proxy whose broker stands still); or it was our side that failed. Nothing says that the broker is gone, nor
    /// that it works.
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
    fn a_silence_that_is_still_under_way_when_the_watching_ends_is_told_as_any_other() {
        let seconds = Duration::from_secs;
        let told =
            |pulse: &Pulse, from_s: u64, until_s: u64| pulse.silence(from_s * 1_000_000, until_s * 1_000_000);
        // Nobody but who watches has anything to do.
        let pulse = Pulse::default();
        pulse.signs.past().watched(10_000_000);
        pulse.beat(12_000_000);
        assert_eq!(
            told(&pulse, 10, 15),
            None,
            "until somebody who watches has looked and asked, 3 s may pass"
        );
        assert_eq!(told(&pulse, 10, 19), Some(seconds(7)), "under way, and watched");
        pulse.signs.past().unwatched(12_000_000, 19_000_000);
        assert_eq!(told(&pulse, 10, 19), Some(seconds(7)), "nobody watches any more");
        assert_eq!(told(&pulse, 19, 60), None, "nobody watched then");
        // Whoever begins to watch late has not watched before.
        pulse.signs.past().watched(60_000_000);
        pulse.beat(61_000_000);
        assert_eq!(told(&pulse, 20, 61), None);
        // Two who watch are no more than one, and the first that leaves does not end it.
        pulse.signs.past().watched(62_000_000);
        pulse.signs.past().unwatched(61_000_000, 63_000_000);
        assert_eq!(told(&pulse, 60, 66), Some(seconds(5)));
        // A broker of which nobody ever heard is silent from when it is watched.
        let never = Pulse::default();
        never.signs.past().watched(10_000_000);
        assert_eq!(told(&never, 10, 14), Some(seconds(4)));
    }

    #[tokio::test]
    async fn only_a_connack_is_a_sign_of_life_and_a_port_that_hangs_up_is_none_though_somebody_is_there() {
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
            assert!(pulse.alive_after(0, &asker).await, "somebody is there: {says:?}");
            assert_eq!(pulse.last_alive_us() > 0, says.first() == Some(&0x20), "{says:?}");
            answers.join().unwrap();
        }
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
