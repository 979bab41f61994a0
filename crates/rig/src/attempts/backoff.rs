//! How long a client waits before it connects again: the profiles that client libraries have.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng as Random;
use ungraceful_flags::Time;
use ungraceful_record::scale::span;

/// How long to wait before each reconnect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backoff {
    /// No wait.
    #[default]
    None,
    /// The same wait every time.
    Fixed(Duration),
    /// Starts at `from` and doubles up to `to`.
    Exponential {
        /// The first wait; above 0.
        from: Duration,
        /// The longest wait; not below `from`.
        to: Duration,
    },
    /// A random time between 0 and what [`Backoff::Exponential`] would wait.
    FullJitter {
        /// The first wait's upper bound; above 0.
        from: Duration,
        /// The longest wait's upper bound; not below `from`.
        to: Duration,
    },
    /// As [`Backoff::Exponential`], plus or minus up to `percent` of it at random.
    Around {
        /// The first wait; above 0.
        from: Duration,
        /// The longest wait; not below `from`.
        to: Duration,
        /// The largest deviation, in percent, at most 100.
        percent: u8,
    },
}

/// A named profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The client library, or the profile as it is written on the command line.
    pub name: String,
    /// The waits.
    pub backoff: Backoff,
}

const SECOND: Duration = Duration::from_secs(1);

/// The defaults of client libraries, from their sources (November 2026).
pub const LIBRARIES: [(&str, Backoff); 7] = [
    // eclipse-paho/paho.mqtt.python, src/paho/mqtt/client.py, `_reconnect_wait`.
    ("paho-python", Backoff::Exponential { from: SECOND, to: Duration::from_secs(120) }),
    // eclipse-paho/paho.mqtt.java, MqttAsyncClient `reconnectDelay`, MqttConnectOptions `maxReconnectDelay`; when
    // automatic reconnect is switched on.
    ("paho-java", Backoff::Exponential { from: SECOND, to: Duration::from_secs(128) }),
    // mqttjs/MQTT.js, src/lib/client.ts, `reconnectPeriod`.
    ("mqtt-js", Backoff::Fixed(SECOND)),
    // hivemq/hivemq-mqtt-client, MqttClientAutoReconnectImpl; when automatic reconnect is switched on.
    ("hivemq-java", Backoff::Around { from: SECOND, to: Duration::from_secs(120), percent: 25 }),
    // eclipse/mosquitto, lib/mosquitto.c, `reconnect_delay`: what mosquitto_sub does.
    ("libmosquitto", Backoff::Fixed(SECOND)),
    // espressif/esp-mqtt, `MQTT_RECON_DEFAULT_MS`.
    ("esp-mqtt", Backoff::Fixed(Duration::from_secs(10))),
    // awslabs/aws-c-mqtt, the MQTT 5 client below the AWS IoT SDKs: `s_default_min_reconnect_delay_ms`, `..._max_...`,
    // AWS_EXPONENTIAL_BACKOFF_JITTER_DEFAULT, which is full jitter.
    ("aws-iot", Backoff::FullJitter { from: SECOND, to: Duration::from_secs(120) }),
];

impl Default for Profile {
    fn default() -> Self {
        Self { name: "none".to_owned(), backoff: Backoff::None }
    }
}

impl FromStr for Backoff {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "give none, fixed:100ms, exponential:100ms..10s or full-jitter:100ms..10s, with times of your own";
        let wrong = |why: &str| format!("invalid back-off {text:?}: {why}; {EXPECTED}");
        let time = |text: &str| text.parse::<Time>().map(|time| time.0).map_err(|why| wrong(&why));
        if text == "none" {
            return Ok(Self::None);
        }
        let Some((name, times)) = text.split_once(':') else { return Err(wrong("it has no time")) };
        if name == "fixed" {
            return Ok(Self::Fixed(time(times)?));
        }
        let Some((from, to)) = times.split_once("..") else {
            return Err(wrong("it has no range of times"));
        };
        let (from, to) = (time(from)?, time(to)?);
        if from.is_zero() || to < from {
            return Err(wrong("the first time must be above 0 and not above the second"));
        }
        match name {
            "exponential" => Ok(Self::Exponential { from, to }),
            "full-jitter" => Ok(Self::FullJitter { from, to }),
            _ => Err(wrong("unknown name")),
        }
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if let Some(library) = Self::of_library(name) {
            return Ok(library);
        }
        match name.parse() {
            Ok(backoff) => Ok(Self { name: name.to_owned(), backoff }),
            Err(why) => {
                let libraries = LIBRARIES.map(|(library, _)| library).join(", ");
                Err(format!("{why}; or a client library: {libraries}"))
            }
        }
    }
}

impl Profile {
    /// The profile of a client library.
    #[must_use]
    pub fn of_library(name: &str) -> Option<Self> {
        let (name, backoff) = LIBRARIES.into_iter().find(|(library, _)| *library == name)?;
        Some(Self { name: name.to_owned(), backoff })
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("at once"),
            Self::Fixed(wait) => write!(f, "after {} each time", span(*wait)),
            Self::Exponential { from, to } => {
                write!(f, "after {}, doubling up to {}", span(*from), span(*to))
            }
            Self::FullJitter { from, to } => {
                let (from, to) = (span(*from), span(*to));
                write!(f, "after a random time below {from}, whose bound doubles up to {to}")
            }
            Self::Around { from, to, percent } => {
                let (from, to) = (span(*from), span(*to));
                write!(f, "after {from}, doubling up to {to}, plus or minus up to {percent} % at random")
            }
        }
    }
}

/// A client's position in its profile.
#[derive(Debug)]
pub struct Waits {
    backoff: Backoff,
    random: Random,
    in_a_row: u32,
}

impl Backoff {
    /// The waits of one client, with randomness of its own.
    #[must_use]
    pub fn waits(self, random: Random) -> Waits {
        Waits { backoff: self, random, in_a_row: 0 }
    }

    /// How long a connection must last before the profile starts again: the longest wait. If it started again after
    /// every accepted CONNECT, a client in a duel would never wait longer than the first time.
    #[must_use]
    pub const fn stable_after(self) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Fixed(wait) => wait,
            Self::Exponential { to, .. } | Self::FullJitter { to, .. } | Self::Around { to, .. } => to,
        }
    }
}

impl Waits {
    /// How long to wait now.
    pub fn next_wait(&mut self) -> Duration {
        let doubled = |from: Duration, to: Duration, times: u32| {
            from.saturating_mul(2_u32.saturating_pow(times)).min(to)
        };
        let wait = match self.backoff {
            Backoff::None => Duration::ZERO,
            Backoff::Fixed(wait) => wait,
            Backoff::Exponential { from, to } => doubled(from, to, self.in_a_row),
            Backoff::FullJitter { from, to } => {
                doubled(from, to, self.in_a_row).mul_f64(self.random.random::<f64>())
            }
            Backoff::Around { from, to, percent } => {
                let share = f64::from(percent) / 100.0 * (2.0 * self.random.random::<f64>() - 1.0);
                doubled(from, to, self.in_a_row).mul_f64((1.0 + share).max(0.0))
            }
        };
        self.in_a_row = self.in_a_row.saturating_add(1);
        wait
    }

    /// Notes that a connection ended after `lasted`.
    pub fn connection_lasted(&mut self, lasted: Duration) {
        if lasted > self.backoff.stable_after() {
            self.in_a_row = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, LIBRARIES, Profile};
    use crate::run::seed::Seed;

    const FROM: Duration = Duration::from_millis(100);
    const TO: Duration = Duration::from_millis(500);

    fn waits(backoff: Backoff, count: usize) -> Vec<u128> {
        let mut waits = backoff.waits(Seed(1).stream("test"));
        (0..count).map(|_| waits.next_wait().as_millis()).collect()
    }

    #[test]
    fn back_offs_have_a_name_and_their_times() {
        let (from, to) = (Duration::from_millis(100), Duration::from_secs(10));
        assert_eq!("none".parse(), Ok(Backoff::None));
        assert_eq!("fixed:100ms".parse(), Ok(Backoff::Fixed(from)));
        assert_eq!("exponential:100ms..10s".parse(), Ok(Backoff::Exponential { from, to }));
        assert_eq!("full-jitter:100ms..10s".parse(), Ok(Backoff::FullJitter { from, to }));
        for wrong in [
            "",
            "fixed",
            "fixed:5",
            "exponential:100ms",
            "exponential:0..1s",
            "linear:1s..2s",
            "full-jitter:2s..1s",
        ] {
            assert!(wrong.parse::<Backoff>().unwrap_err().contains("give none, fixed"), "{wrong}");
        }
    }

    #[test]
    fn each_profile_waits_as_it_says() {
        assert_eq!(waits(Backoff::None, 3), [0, 0, 0]);
        assert_eq!(waits(Backoff::Fixed(FROM), 3), [100, 100, 100]);
        assert_eq!(waits(Backoff::Exponential { from: FROM, to: TO }, 5), [100, 200, 400, 500, 500]);
        assert_eq!(waits(Backoff::Exponential { from: FROM, to: TO }, 50)[49], 500, "and nothing overflows");
    }

    #[test]
    fn full_jitter_stays_below_the_exponential_wait_and_fills_it() {
        let jittered = waits(Backoff::FullJitter { from: FROM, to: TO }, 1_000);
        assert!(jittered[0] <= 100 && jittered[1] <= 200 && jittered.iter().all(|wait| *wait <= 500));
        let late = &jittered[3..];
        let mean = late.iter().sum::<u128>() / late.len() as u128;
        assert!((225..275).contains(&mean), "the mean of 0 to 500 ms was {mean} ms");
    }

    #[test]
    fn around_stays_within_its_percentage() {
        let around = waits(Backoff::Around { from: FROM, to: TO, percent: 25 }, 1_000);
        assert!((75..=125).contains(&around[0]) && (150..=250).contains(&around[1]), "{:?}", &around[..2]);
        let late = &around[3..];
        assert!(late.iter().all(|wait| (375..=625).contains(wait)));
        assert!(late.iter().any(|wait| *wait < 400) && late.iter().any(|wait| *wait > 600));
    }

    #[test]
    fn libraries_are_found_by_name_and_are_unique() {
        for (name, backoff) in LIBRARIES {
            assert_eq!(Profile::of_library(name), Some(Profile { name: name.into(), backoff }));
            assert_eq!(LIBRARIES.iter().filter(|(other, _)| *other == name).count(), 1);
        }
        assert_eq!(Profile::of_library("none"), None);
    }

    #[test]
    fn a_connection_longer_than_the_longest_wait_restarts_the_profile() {
        let mut waits = Backoff::Exponential { from: FROM, to: TO }.waits(Seed(1).stream("test"));
        for _ in 0..3 {
            waits.next_wait();
        }
        waits.connection_lasted(TO);
        assert_eq!(waits.next_wait(), TO);
        waits.connection_lasted(TO + FROM);
        assert_eq!(waits.next_wait(), FROM);
    }
}
