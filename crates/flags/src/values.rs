//! Values with units and bounds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::ValueParserFactory;

use crate::reader::{Reader, reader};

/// The maximum of any phase or wait.
pub const TIME_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A time with its unit, such as `250ms` or `1m 30s`: from 0 to [`TIME_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "0" {
            return Ok(Self(Duration::ZERO));
        }
        match humantime::parse_duration(text) {
            Ok(time) if time > TIME_MAX => Err("exceeds the maximum of 24h".to_owned()),
            Ok(time) => Ok(Self(time)),
            Err(error) => Err(format!(
                "invalid time {text:?} ({error}): give a time with its unit, such as 250ms, 5s or 1m"
            )),
        }
    }
}

impl Deref for Time {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

/// As [`Time`], and above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PositiveTime(pub Duration);

impl Default for PositiveTime {
    fn default() -> Self {
        Self(Duration::from_secs(1))
    }
}

impl FromStr for PositiveTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Time(Duration::ZERO) => Err("must be above 0; give a time such as 5s".to_owned()),
            Time(time) => Ok(Self(time)),
        }
    }
}

impl Deref for PositiveTime {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

/// A field that MQTT counts in whole seconds, such as Keep Alive, within two bounds. A plain number means seconds, as
/// in other MQTT tools; a time with its unit (`60s`, `1m`) is accepted too. Every other time needs a unit. The default
/// maximum excludes 4,294,967,295, which means "never" in MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds<const MIN: u32 = 1, const MAX: u32 = 4_294_967_294>(pub u32);

impl<const MIN: u32, const MAX: u32> Default for Seconds<MIN, MAX> {
    fn default() -> Self {
        Self(MIN)
    }
}

impl<const MIN: u32, const MAX: u32> FromStr for Seconds<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let invalid = || format!("invalid number of seconds {text:?}: give a number such as 60 or 60s");
        let seconds: u64 = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse().map_err(|_too_long| invalid())?
        } else {
            let time = humantime::parse_duration(text).map_err(|_no_time| invalid())?;
            if time.subsec_nanos() != 0 {
                return Err(format!(
                    "{text:?} is not a whole number of seconds; give a number such as 60 or 60s"
                ));
            }
            time.as_secs()
        };
        match u32::try_from(seconds) {
            Ok(seconds) if (MIN..=MAX).contains(&seconds) => Ok(Self(seconds)),
            _ => Err(format!("{seconds} s is not in range; give {MIN} to {MAX} seconds, such as 60 or 60s")),
        }
    }
}

impl<const MIN: u32, const MAX: u32> Seconds<MIN, MAX> {
    /// The time.
    #[must_use]
    pub const fn time(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

/// A rate per second, such as `100`, `100/s` or `2k`: from 0.001 to 100,000.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerSecond(pub f64);

impl Default for PerSecond {
    fn default() -> Self {
        Self(1.0)
    }
}

impl FromStr for PerSecond {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const MIN: f64 = 0.001;
        const MAX: f64 = 100_000.0;
        let number = text.trim().trim_end_matches("/s");
        let (number, factor) =
            number.strip_suffix(['k', 'K']).map_or((number, 1.0), |number| (number, 1_000.0));
        match number.trim().parse::<f64>().map(|rate| rate * factor) {
            Ok(rate) if (MIN..=MAX).contains(&rate) => Ok(Self(rate)),
            Ok(rate) if rate > 0.0 && rate < MIN => Err(format!("{text} per second is less than {MIN}")),
            Ok(rate) if rate > MAX => Err(format!("{text} per second exceeds the maximum of {MAX}")),
            _ => Err(format!("invalid rate {text:?}: give a rate above 0 per second, such as 100 or 100/s")),
        }
    }
}

/// A whole number between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whole<const MIN: u64, const MAX: u64>(pub u64);

impl<const MIN: u64, const MAX: u64> Default for Whole<MIN, MAX> {
    fn default() -> Self {
        Self(MIN)
    }
}

impl<const MIN: u64, const MAX: u64> FromStr for Whole<MIN, MAX> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().replace('_', "").parse::<u64>() {
            Ok(number) if (MIN..=MAX).contains(&number) => Ok(Self(number)),
            _ => Err(format!("{text:?} is not in range; give a whole number from {MIN} to {MAX}")),
        }
    }
}

impl<const MIN: u64, const MAX: u64> Whole<MIN, MAX> {
    /// The number as a type that can hold its maximum.
    #[must_use]
    pub fn get<N: TryFrom<u64>>(self) -> N {
        N::try_from(self.0).ok().expect("the maximum was chosen to fit its type")
    }
}

/// IP addresses of this machine: one, a range or a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(pub Vec<IpAddr>);

impl Default for Addresses {
    fn default() -> Self {
        Self(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

/// Most addresses of one range or network.
const ADDRESSES_MAX: u128 = 65_536;

impl FromStr for Addresses {
    type Err = String;

    /// `10.0.0.7`, `10.0.0.7-10.0.0.20` or `10.0.0.0/24`. Of an IPv4 network of more than two addresses, the first and the last one
    /// are left out: they stand for the network and for all of its hosts.
    fn from_str(text: &str) -> Result<Self, String> {
        let no_address = |part: &str| {
            format!(
                "{part:?} is not an IP address; give an address of this machine such as 127.0.0.2, a range such as \
                 127.0.0.2-127.0.0.9, or a network such as 127.0.1.0/24"
            )
        };
        let address = |part: &str| part.trim().parse::<IpAddr>().map_err(|_invalid| no_address(part));
        let (first, last) = if let Some((first, last)) = text.split_once('-') {
            (address(first)?, address(last)?)
        } else if let Some((within, prefix)) = text.split_once('/') {
            network(address(within)?, prefix).ok_or_else(|| {
                format!("{text:?} is not a network; give one such as 127.0.1.0/24, with at most 32 bits, on IPv6 128")
            })?
        } else {
            let one = address(text)?;
            (one, one)
        };
        if first.is_ipv4() != last.is_ipv4() {
            return Err(format!(
                "{text:?} begins and ends in different versions of IP; give addresses of one version"
            ));
        }
        let (from, to) = (number(first), number(last));
        if from > to {
            return Err(format!("{text:?} ends before it begins; give the lower address first"));
        }
        if to - from >= ADDRESSES_MAX {
            return Err(format!("{text:?} has more than {ADDRESSES_MAX} addresses; give a smaller range"));
        }
        Ok(Self((from..=to).map(|number| of_number(number, first)).collect()))
    }
}

/// The first and the last address of a network that a host may have.
fn network(within: IpAddr, prefix: &str) -> Option<(IpAddr, IpAddr)> {
    let width: u32 = if within.is_ipv4() { 32 } else { 128 };
    let free = width.checked_sub(prefix.parse().ok()?)?;
    let hosts = 1_u128.checked_shl(free).map_or(u128::MAX, |addresses| addresses - 1);
    let (first, last) = (number(within) & !hosts, number(within) | hosts);
    // The first one stands for the network and the last one for all of its hosts (RFC 1122 section 3.2.1.3, RFC 3021).
    let inner = u128::from(within.is_ipv4() && free > 1);
    Some((of_number(first + inner, within), of_number(last - inner, within)))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address with this number, in the version of `like`.
fn of_number(number: u128, like: IpAddr) -> IpAddr {
    match (like, u32::try_from(number)) {
        (IpAddr::V4(_), Ok(number)) => Ipv4Addr::from_bits(number).into(),
        _ => Ipv6Addr::from_bits(number).into(),
    }
}

/// Lets clap read these types by their `FromStr`.
macro_rules! read_by_clap {
    ($($type:ty $(, const $bound:ident: $of:ty)*;)+) => {
        $(impl<$(const $bound: $of),*> ValueParserFactory for $type {
            type Parser = Reader<Self>;

            fn value_parser() -> Self::Parser {
                reader()
            }
        })+
    };
}

read_by_clap! {
    Time;
    PositiveTime;
    PerSecond;
    Addresses;
    Seconds<MIN, MAX>, const MIN: u32, const MAX: u32;
    Whole<MIN, MAX>, const MIN: u64, const MAX: u64;
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::{Addresses, PerSecond, PositiveTime, Seconds, Time, Whole};

    fn addresses(text: &str) -> Vec<String> {
        let read: Addresses = text.parse().unwrap();
        read.0.iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn addresses_are_one_or_a_range_or_a_network() {
        assert_eq!(addresses("127.0.0.2"), ["127.0.0.2"]);
        assert_eq!(addresses("10.0.0.254-10.0.1.1"), ["10.0.0.254", "10.0.0.255", "10.0.1.0", "10.0.1.1"]);
        assert_eq!(addresses("10.0.0.9/30"), ["10.0.0.9", "10.0.0.10"]);
        assert_eq!(addresses("10.0.0.9/31"), ["10.0.0.8", "10.0.0.9"]);
        assert_eq!(addresses("10.0.0.9/32"), ["10.0.0.9"]);
        assert_eq!(addresses("fd00::1/127"), ["fd00::", "fd00::1"]);
        assert_eq!(addresses("::ffff-::1:1"), ["::ffff", "::1:0", "::1:1"]);
        assert_eq!(addresses("10.7.0.0/16").len(), 65_534);
    }

    #[test]
    fn addresses_that_are_none_or_too_many_are_refused() {
        for (text, why) in [
            ("localhost", "is not an IP address"),
            ("10.0.0.1-b", "\"b\" is not an IP address"),
            ("10.0.0.2-10.0.0.1", "ends before it begins"),
            ("10.0.0.1-::1", "different versions"),
            ("10.0.0.0/33", "is not a network"),
            ("10.0.0.0/x", "is not a network"),
            ("10.0.0.0/15", "more than 65536 addresses"),
            ("::/0", "more than 65536 addresses"),
        ] {
            let refused = text.parse::<Addresses>().unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn times_need_a_unit_except_zero_and_are_at_most_a_day() {
        assert_eq!("250ms".parse(), Ok(Time(Duration::from_millis(250))));
        assert_eq!("1m 30s".parse(), Ok(Time(Duration::from_secs(90))));
        assert_eq!("0".parse(), Ok(Time(Duration::ZERO)));
        assert_eq!("24h".parse(), Ok(Time(Duration::from_secs(86_400))));
        for wrong in ["5", "", "-1s", "soon", "1 parsec", "25h"] {
            assert!(wrong.parse::<Time>().is_err(), "{wrong}");
        }
        assert!("0".parse::<PositiveTime>().unwrap_err().contains("give a time such as 5s"));
    }

    #[test]
    fn seconds_are_a_plain_number_or_a_time_with_its_unit() {
        for (text, seconds) in [("60", 60), ("60s", 60), ("1m", 60), ("4294967294", u32::MAX - 1)] {
            assert_eq!(text.parse(), Ok(Seconds::<1>(seconds)), "{text}");
        }
        for wrong in ["0", "1500ms", "-1", "", "soon", "4294967295", "4294967296", "1.5", "6 0"] {
            assert!(wrong.parse::<Seconds>().is_err(), "{wrong:?}");
        }
        assert_eq!("0".parse(), Ok(Seconds::<0, 65_535>(0)));
    }

    #[test]
    fn rates_are_positive_and_bounded() {
        for (text, rate) in [("100/s", 100.0), ("0.5", 0.5), ("2k", 2_000.0)] {
            assert_eq!(text.parse(), Ok(PerSecond(rate)));
        }
        for wrong in ["0", "-5", "1e-300", "NaN", "inf", "1e9", "fast", "", "100/m"] {
            assert!(wrong.parse::<PerSecond>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn whole_numbers_are_bounded_and_fit_their_type() {
        assert_eq!("1_00".parse(), Ok(Whole::<1, 100>(100)));
        assert_eq!(Whole::<1, 100>(100).get::<u8>(), 100);
        for wrong in ["0", "101", "-1", "1.5", "many", ""] {
            assert!(wrong.parse::<Whole<1, 100>>().is_err(), "{wrong}");
        }
    }
}
