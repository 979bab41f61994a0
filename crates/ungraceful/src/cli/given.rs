//! Values as they were given: a value that can't be read is kept as a mistake, so that all mistakes of a call are
//! told together and not one by one.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use ungraceful_mqtt::{ProtocolVersion, QoS};
use ungraceful_rig::attempts::backoff::{Backoff, LIBRARIES, Profile};
use ungraceful_rig::error::Mistake;
use ungraceful_rig::run::plan::Arrival;

use super::common::TIME_MAX;

/// A value that was given, readable or not.
#[derive(Clone, Debug)]
pub struct Given<T>(Result<T, String>);

impl<T: Readable> FromStr for Given<T> {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(T::read(text)))
    }
}

impl<T: Clone> Given<T> {
    /// The value; or absent, with the mistake told.
    pub fn take(&self, flag: &str, mistakes: &mut Vec<Mistake>) -> Option<T> {
        match &self.0 {
            Ok(value) => Some(value.clone()),
            Err(what) => {
                mistakes.push(Mistake::new(flag, what));
                None
            }
        }
    }
}

impl Given<Time> {
    /// The time, which may be 0 and is at most [`TIME_MAX`]; or absent, with the mistake told.
    pub fn within_a_day(&self, flag: &str, mistakes: &mut Vec<Mistake>) -> Option<Duration> {
        let Time(time) = self.take(flag, mistakes)?;
        if time > TIME_MAX {
            mistakes.push(Mistake::new(flag, "is longer than the 24h that a run may have"));
            return None;
        }
        Some(time)
    }

    /// The time, above 0 and at most [`TIME_MAX`]; or absent, with the mistake told.
    pub fn positive(&self, flag: &str, mistakes: &mut Vec<Mistake>) -> Option<Duration> {
        let time = self.within_a_day(flag, mistakes)?;
        if time.is_zero() {
            mistakes.push(Mistake::new(flag, "0 leaves no time; give one such as 5s"));
            return None;
        }
        Some(time)
    }
}

impl Given<Seconds> {
    /// The seconds, from 1 and below 4,294,967,295, which MQTT takes for "never"; or absent, with the mistake told.
    pub fn from_one(&self, flag: &str, mistakes: &mut Vec<Mistake>) -> Option<u32> {
        self.between(1, u32::MAX - 1, flag, mistakes)
    }

    /// The seconds within these bounds; or absent, with the mistake told.
    pub fn between(&self, min: u32, max: u32, flag: &str, mistakes: &mut Vec<Mistake>) -> Option<u32> {
        let Seconds(seconds) = self.take(flag, mistakes)?;
        if (min..=max).contains(&seconds) {
            return Some(seconds);
        }
        let what = format!("{seconds} s is not in range; give {min} to {max} seconds, such as 60 or 60s");
        mistakes.push(Mistake::new(flag, what));
        None
    }
}

/// The variants that were given, in the order of `all`; all of them when none was, or for `all`.
pub fn chosen<V: Readable + PartialEq>(
    all: &[V],
    given: &[Given<Named<V>>],
    mistakes: &mut Vec<Mistake>,
) -> Vec<V> {
    let named = named(all, given, mistakes);
    all.iter().filter(|variant| named.is_empty() || named.contains(variant)).cloned().collect()
}

/// The variants that were named, in the order of `all`, which the name `all` stands for; none when none was.
pub fn named<V: Readable + PartialEq>(
    all: &[V],
    given: &[Given<Named<V>>],
    mistakes: &mut Vec<Mistake>,
) -> Vec<V> {
    let named: Vec<Named<V>> =
        given.iter().filter_map(|variant| variant.take("--variant", mistakes)).collect();
    let is_named = |variant: &&V| {
        named.iter().any(|named| match named {
            Named::All => true,
            Named::One(one) => one == *variant,
        })
    };
    all.iter().filter(is_named).cloned().collect()
}

/// Whether `all` is among the names.
pub fn names_all<V: Clone>(given: &[Given<Named<V>>]) -> bool {
    given.iter().any(|given| matches!(given.take("", &mut Vec::new()), Some(Named::All)))
}

/// One of a flag's names, or `all` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<V> {
    /// `all`.
    All,
    /// This one.
    One(V),
}

impl<V: Readable> Readable for Named<V> {
    fn read(text: &str) -> Result<Self, String> {
        if text.trim() == "all" {
            return Ok(Self::All);
        }
        V::read(text).map(Self::One).map_err(|why| format!("{why}; or all"))
    }
}

/// What can be read from the command line.
pub trait Readable: Sized + Clone + Send + Sync + 'static {
    /// Reads a value.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    fn read(text: &str) -> Result<Self, String>;
}

/// A time with its unit, such as `250ms` or `1m 30s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Time(pub Duration);

impl Readable for Time {
    fn read(text: &str) -> Result<Self, String> {
        if text.trim() == "0" {
            return Ok(Self(Duration::ZERO));
        }
        humantime::parse_duration(text).map(Self).map_err(|error| {
            format!("{text:?} is no time ({error}); write one with its unit, such as 250ms, 5s or 1m")
        })
    }
}

/// A field of a packet that MQTT counts in whole seconds, such as Keep Alive. A plain number is seconds, as in other MQTT
/// tools; a time with its unit (`60s`, `1m`) will do too. Every other time needs a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub u32);

impl Readable for Seconds {
    fn read(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        if !trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_digit()) {
            let too_many = |_| format!("{text:?} is more than the {} seconds that MQTT can carry", u32::MAX);
            return trimmed.parse().map(Self).map_err(too_many);
        }
        let Time(time) = Time::read(text)
            .map_err(|_no_time| format!("{text:?} is no number of seconds; give one such as 60 or 60s"))?;
        match u32::try_from(time.as_secs()) {
            Ok(seconds) if time == Duration::from_secs(seconds.into()) => Ok(Self(seconds)),
            _ => Err(format!("{text:?} is no whole number of seconds; give one such as 60 or 60s")),
        }
    }
}

/// A rate per second, such as `100` or `100/s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerSecond(pub f64);

impl Readable for PerSecond {
    fn read(text: &str) -> Result<Self, String> {
        const MIN: f64 = 0.001;
        const MAX: f64 = 100_000.0;
        let number = text.trim().trim_end_matches("/s");
        let (number, factor) =
            number.strip_suffix(['k', 'K']).map_or((number, 1.0), |number| (number, 1_000.0));
        match number.trim().parse::<f64>().map(|rate| rate * factor) {
            Ok(rate) if (MIN..=MAX).contains(&rate) => Ok(Self(rate)),
            Ok(rate) if rate > 0.0 && rate < MIN => Err(format!("{text} per second is less than {MIN}")),
            Ok(rate) if rate > MAX => {
                Err(format!("{text} per second is more than the {MAX} that a run may have"))
            }
            Ok(_) => Err(format!("{text:?} is no rate above 0; write one per second, such as 100 or 100/s")),
            Err(_) => Err(format!("{text:?} is no rate; write one per second, such as 100 or 100/s")),
        }
    }
}

/// A whole number between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole<const MIN: u64, const MAX: u64>(pub u64);

impl<const MIN: u64, const MAX: u64> Readable for Whole<MIN, MAX> {
    fn read(text: &str) -> Result<Self, String> {
        match text.trim().replace('_', "").parse::<u64>() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(format!("{text:?} is not in range; give a whole number from {MIN} to {MAX}")),
        }
    }
}

impl Readable for ProtocolVersion {
    fn read(text: &str) -> Result<Self, String> {
        text.trim()
            .parse()
            .map_err(|_unknown| format!("{text:?} is no version we speak; give 3.1.1 (or 4), or 5 (or 5.0)"))
    }
}

impl Readable for QoS {
    fn read(text: &str) -> Result<Self, String> {
        let number = text.trim().parse::<u8>().ok();
        number
            .and_then(|number| Self::try_from(number).ok())
            .ok_or_else(|| format!("{text:?} is no QoS; give 0, 1 or 2"))
    }
}

impl Readable for Arrival {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "uniform" => Ok(Self::Uniform),
            "poisson" => Ok(Self::Poisson),
            _ => Err(format!("{text:?} is no arrival; give uniform or poisson")),
        }
    }
}

impl Readable for Backoff {
    fn read(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "give none, fixed:100ms, exponential:100ms..10s or full-jitter:100ms..10s, with times of your own";
        let wrong = |why: &str| format!("{text:?} is no back-off: {why}; {EXPECTED}");
        let time = |text: &str| Time::read(text).map(|time| time.0).map_err(|why| wrong(&why));
        if text == "none" {
            return Ok(Self::None);
        }
        let Some((name, times)) = text.split_once(':') else { return Err(wrong("it names no time")) };
        if name == "fixed" {
            return Ok(Self::Fixed(time(times)?));
        }
        let Some((from, to)) = times.split_once("..") else {
            return Err(wrong("it names no range of times"));
        };
        let (from, to) = (time(from)?, time(to)?);
        if from.is_zero() || to < from {
            return Err(wrong("the first time must be above 0 and not above the second"));
        }
        match name {
            "exponential" => Ok(Self::Exponential { from, to }),
            "full-jitter" => Ok(Self::FullJitter { from, to }),
            _ => Err(wrong("there is none of this name")),
        }
    }
}

impl Readable for Profile {
    fn read(text: &str) -> Result<Self, String> {
        let name = text.trim();
        if let Some(library) = Self::of_library(name) {
            return Ok(library);
        }
        match Backoff::read(name) {
            Ok(backoff) => Ok(Self { name: name.to_owned(), backoff }),
            Err(why) => {
                let libraries = LIBRARIES.map(|(library, _)| library).join(", ");
                Err(format!("{why}; or a client library: {libraries}"))
            }
        }
    }
}

/// Anything that the standard library reads and that needs no bound of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub std::net::IpAddr);

impl Readable for Address {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|_| format!("{text:?} is no IP address of this machine; give one such as 127.0.0.2"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ungraceful_mqtt::QoS;
    use ungraceful_rig::attempts::backoff::Backoff;

    use super::{Given, Named, PerSecond, Readable, Seconds, Time, Whole, chosen, named};

    #[test]
    fn times_need_a_unit_but_for_zero() {
        assert_eq!(Time::read("250ms"), Ok(Time(Duration::from_millis(250))));
        assert_eq!(Time::read("1m 30s"), Ok(Time(Duration::from_secs(90))));
        assert_eq!(Time::read("0"), Ok(Time(Duration::ZERO)));
        for wrong in ["5", "", "-1s", "soon", "1 parsec"] {
            assert!(Time::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_mqtt_counts_in_seconds_is_a_plain_number_or_a_time_with_its_unit() {
        for (text, seconds) in [("60", 60), ("60s", 60), ("1m", 60), ("0", 0), ("4294967295", u32::MAX)] {
            assert_eq!(Seconds::read(text), Ok(Seconds(seconds)), "{text}");
        }
        for wrong in ["1500ms", "-1", "", "soon", "4294967296", "1.5", "6 0"] {
            assert!(Seconds::read(wrong).is_err(), "{wrong:?}");
        }
        let mut mistakes = Vec::new();
        let taken: Vec<_> = ["0", "1", "4294967294", "4294967295"]
            .map(|text| text.parse::<Given<Seconds>>().unwrap().from_one("-x", &mut mistakes))
            .into();
        assert_eq!((taken, mistakes.len()), (vec![None, Some(1), Some(u32::MAX - 1), None], 2));
    }

    #[test]
    fn all_stands_for_every_name_and_beside_it_others_change_nothing() {
        let all = [QoS::AtMostOnce, QoS::AtLeastOnce];
        let of = |texts: &[&str]| -> (Vec<QoS>, Vec<QoS>, usize) {
            let given: Vec<Given<Named<QoS>>> = texts.iter().map(|text| text.parse().unwrap()).collect();
            let mut mistakes = Vec::new();
            let chosen = chosen(&all, &given, &mut mistakes);
            (chosen, named(&all, &given, &mut Vec::new()), mistakes.len())
        };
        assert_eq!(of(&[]), (all.to_vec(), Vec::new(), 0));
        assert_eq!(of(&["all"]), (all.to_vec(), all.to_vec(), 0));
        assert_eq!(of(&["1", "all"]), (all.to_vec(), all.to_vec(), 0));
        assert_eq!(of(&["1"]), (vec![all[1]], vec![all[1]], 0));
        assert_eq!(of(&["7"]).2, 1);
    }

    #[test]
    fn back_offs_have_a_name_and_their_times() {
        let (from, to) = (Duration::from_millis(100), Duration::from_secs(10));
        assert_eq!(Backoff::read("none"), Ok(Backoff::None));
        assert_eq!(Backoff::read("fixed:100ms"), Ok(Backoff::Fixed(from)));
        assert_eq!(Backoff::read("exponential:100ms..10s"), Ok(Backoff::Exponential { from, to }));
        assert_eq!(Backoff::read("full-jitter:100ms..10s"), Ok(Backoff::FullJitter { from, to }));
        for wrong in [
            "",
            "fixed",
            "fixed:5",
            "exponential:100ms",
            "exponential:0..1s",
            "linear:1s..2s",
            "full-jitter:2s..1s",
        ] {
            assert!(Backoff::read(wrong).unwrap_err().contains("give none, fixed"), "{wrong}");
        }
    }

    #[test]
    fn rates_are_positive_and_bounded() {
        assert_eq!(PerSecond::read("100/s"), Ok(PerSecond(100.0)));
        assert_eq!(PerSecond::read("0.5"), Ok(PerSecond(0.5)));
        assert_eq!(PerSecond::read("2k"), Ok(PerSecond(2_000.0)));
        for wrong in ["0", "-5", "1e-300", "NaN", "inf", "1e9", "fast", "", "100/m"] {
            assert!(PerSecond::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn whole_numbers_keep_their_bounds() {
        assert_eq!(Whole::<1, 100>::read("1_00"), Ok(Whole(100)));
        for wrong in ["0", "101", "-1", "1.5", "many", ""] {
            assert!(Whole::<1, 100>::read(wrong).is_err(), "{wrong}");
        }
    }
}
