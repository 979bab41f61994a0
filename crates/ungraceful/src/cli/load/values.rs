//! Values of the flags of a load: rates, stages, QoS weights, named scenarios.

use std::num::NonZeroU32;
use std::str::FromStr;

use ungraceful_flags::PositiveTime;
use ungraceful_load::pace::Stage;
use ungraceful_load::shape::Shape;
use ungraceful_mqtt::QoS;

/// Maximum rate in messages per second.
pub const RATE_MAX: f64 = 10_000_000.0;

/// Maximum number of worker processes.
const PROCESSES_MAX: u32 = 1_000;

/// How many processes make a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessCount {
    /// As many as the limit of file descriptors requires.
    Auto,
    /// So many.
    Number(NonZeroU32),
}

impl Default for ProcessCount {
    fn default() -> Self {
        Self::Number(NonZeroU32::MIN)
    }
}

impl FromStr for ProcessCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let number = text.parse().ok().filter(|number: &NonZeroU32| number.get() <= PROCESSES_MAX);
        number.map(Self::Number).ok_or_else(|| {
            format!("invalid number of processes {text:?}: give 1 to {PROCESSES_MAX}, or auto")
        })
    }
}

/// A rate, or as fast as possible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Closed loop.
    Max,
    /// Open loop, messages per second.
    PerSecond(f64),
}

/// A number with an optional `k` or `M`, and an optional `/s`.
fn scaled(text: &str) -> Option<f64> {
    let text = text.trim().trim_end_matches("/s");
    let by = [('k', 1e3), ('K', 1e3), ('M', 1e6)];
    let found = by.into_iter().find_map(|(unit, by)| Some((text.strip_suffix(unit)?, by)));
    let (digits, by) = found.unwrap_or((text, 1.0));
    digits.trim().parse::<f64>().ok().map(|number| number * by).filter(|number| number.is_finite())
}

fn rate(text: &str) -> Result<f64, String> {
    const MIN: f64 = 0.001;
    scaled(text).filter(|rate| (MIN..=RATE_MAX).contains(rate)).ok_or_else(|| {
        format!("invalid rate {text:?}: give {MIN} to {RATE_MAX} per second, such as 500 or 10k")
    })
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "max" {
            return Ok(Self::Max);
        }
        rate(text).map(Self::PerSecond).map_err(|why| format!("{why}, or max"))
    }
}

/// Stages.
#[derive(Clone, Debug, PartialEq)]
pub struct Stages(pub Vec<Stage>);

impl FromStr for Stages {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let stage = |part: &str| {
            let (lasts, per_second) = part
                .split_once(':')
                .ok_or_else(|| format!("invalid stage {part:?}: give a time and a rate, such as 10s:1k"))?;
            let lasts: PositiveTime = lasts.trim().parse().map_err(|why| format!("{part:?}: {why}"))?;
            Ok(Stage { lasts: lasts.0, per_second: rate(per_second)? })
        };
        text.split(',').map(stage).collect::<Result<_, _>>().map(Self)
    }
}

/// QoS with their weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QosWeights(pub Vec<(QoS, u32)>);

impl FromStr for QosWeights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| {
            let (qos, weight) = part.split_once(':').unwrap_or((part, "1"));
            let weight = weight.trim().parse::<u32>().ok().filter(|weight| (1..=1_000).contains(weight));
            let weight = weight
                .ok_or_else(|| format!("{part:?} needs a weight from 1 to 1000, such as 0:7,1:2,2:1"))?;
            Ok::<_, String>((qos.trim().parse::<QoS>().map_err(|why| why.to_string())?, weight))
        };
        text.split(',').map(part).collect::<Result<_, _>>().map(Self)
    }
}

/// A User Property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserProperty(pub(super) String, pub(super) String);

impl FromStr for UserProperty {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
        Ok(Self(name.to_owned(), value.to_owned()))
    }
}

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Preset {
    /// Connections only.
    Connect {
        /// Clients.
        clients: u32,
        /// Connections per second.
        per_second: f64,
    },
    /// Messages.
    Messages {
        /// Who receives what.
        shape: Shape,
        /// Clients that publish.
        publishers: u32,
        /// Clients that subscribe.
        subscribers: u32,
        /// Messages per second that are published.
        per_second: f64,
    },
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "unknown preset {text:?}; give conn-tcp-1K-100, p2p-1K-1K-1K-1K, fanout-1-1k-1-1K or \
                 sharedsub-1K-5-1K-1K, with your own numbers"
            )
        };
        let number = |text: &str| scaled(text).filter(|number| *number >= 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within the range just before"
        )]
        let clients = |text: &str| {
            number(text).filter(|number| *number <= 1e6 && number.fract() == 0.0).map(|number| number as u32)
        };
        let parts: Vec<&str> = text.split('-').collect();
        let read = match parts[..] {
            ["conn", "tcp", count, rate] => clients(count)
                .zip(number(rate))
                .map(|(clients, per_second)| Self::Connect { clients, per_second }),
            [kind, publishers, subscribers, topics, rate] => (|| {
                let (publishers, subscribers) = (clients(publishers)?, clients(subscribers)?);
                // Each publisher has its own topic.
                clients(topics).filter(|topics| *topics == publishers)?;
                let out = number(rate)?;
                let (shape, per_second) = match kind {
                    "p2p" if publishers == subscribers => (Shape::Pairs, out),
                    // Every subscriber receives each message.
                    "fanout" => (Shape::Everyone, out / f64::from(subscribers)),
                    "sharedsub" | "sharesub" => (Shape::Shared, out),
                    _ => return None,
                };
                Some(Self::Messages { shape, publishers, subscribers, per_second })
            })(),
            _ => None,
        };
        read.ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ungraceful_load::pace::Stage;
    use ungraceful_load::shape::Shape;
    use ungraceful_mqtt::QoS;

    use super::{Preset, QosWeights, Rate, Stages};

    #[test]
    fn rates_are_numbers_or_max() {
        assert_eq!("max".parse(), Ok(Rate::Max));
        for (text, per_second) in [("500", 500.0), ("2.5k", 2_500.0), ("1M", 1e6), ("10/s", 10.0)] {
            assert_eq!(text.parse(), Ok(Rate::PerSecond(per_second)));
        }
        for wrong in ["0", "-1", "100M", "fast", "", "NaN"] {
            assert!(wrong.parse::<Rate>().unwrap_err().ends_with("or max"), "{wrong}");
        }
    }

    #[test]
    fn stages_are_times_with_rates() {
        let stage = |seconds, per_second| Stage { lasts: Duration::from_secs(seconds), per_second };
        assert_eq!("10s:1k,1m:10k".parse(), Ok(Stages(vec![stage(10, 1_000.0), stage(60, 10_000.0)])));
        for wrong in ["", "10s", "10:1k", "0s:5", "10s:0", "48h:5", "1s:5,"] {
            assert!(wrong.parse::<Stages>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn qos_may_have_weights() {
        assert_eq!("1".parse(), Ok(QosWeights(vec![(QoS::AtLeastOnce, 1)])));
        let mixed = vec![(QoS::AtMostOnce, 7), (QoS::ExactlyOnce, 1)];
        assert_eq!("0:7,2".parse(), Ok(QosWeights(mixed)));
        for wrong in ["3", "0:0", "0:x", "", "0:7,"] {
            assert!(wrong.parse::<QosWeights>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn presets_mean_the_same_as_in_the_benchmark_suite() {
        let messages = |shape, publishers, subscribers, per_second| {
            Ok(Preset::Messages { shape, publishers, subscribers, per_second })
        };
        assert_eq!("p2p-1K-1K-1K-1K".parse(), messages(Shape::Pairs, 1_000, 1_000, 1_000.0));
        assert_eq!("fanout-1-1k-1-1K".parse(), messages(Shape::Everyone, 1, 1_000, 1.0));
        assert_eq!("fanout-5-1000-5-250K".parse(), messages(Shape::Everyone, 5, 1_000, 250.0));
        assert_eq!("sharedsub-1K-5-1K-1K".parse(), messages(Shape::Shared, 1_000, 5, 1_000.0));
        assert_eq!("sharesub-50K-500-50K-50K".parse(), messages(Shape::Shared, 50_000, 500, 50_000.0));
        assert_eq!("conn-tcp-1M-5K".parse(), Ok(Preset::Connect { clients: 1_000_000, per_second: 5_000.0 }));
        for wrong in ["p2p-1-2-1-5", "fanout-1-1k-2-1K", "conn-tcp-1", "ring-1-1-1-1", "p2p-0-0-0-0", ""] {
            assert!(wrong.parse::<Preset>().is_err(), "{wrong}");
        }
    }
}
