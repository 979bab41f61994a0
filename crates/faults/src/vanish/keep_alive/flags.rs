//! The common flags of the modes about Keep Alive: the Keep Alives, and a variant for each.

use std::collections::BTreeSet;
use std::slice::from_ref;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use ungraceful_flags::{Named, Seconds, reader};

use super::longest_held;

/// A variant that runs with several Keep Alives.
pub(super) trait Tried: FromStr<Err = String> + Copy + Ord + 'static {
    /// All of them.
    const EACH: &'static [Self];
    /// Separates it from its Keep Alive in a variant's name.
    const BETWEEN: &'static str;
}

/// The flag for Keep Alives.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub(super) struct KeepAlives {
    /// Keep Alives of the clients, separated by commas, in whole seconds, such as 60 or 60s; each is a variant of its own
    #[arg(short = 'k', long, value_name = "SECONDS", default_value = "1s,2s", value_delimiter = ',', value_parser = reader::<KeepAlive>())]
    keepalive: Vec<KeepAlive>,
}

/// A Keep Alive in seconds, above 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct KeepAlive(Seconds<1, 65_535>);

impl KeepAlive {
    fn seconds(self) -> u16 {
        u16::try_from(self.0.0).unwrap_or(u16::MAX)
    }
}

impl FromStr for KeepAlive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|why: String| format!("{why} (0 turns it off)"))
    }
}

/// A variant from the command line: for every Keep Alive of `--keepalive`, or with one of its own, such as `idle-2s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WithKeepAlive<V> {
    variant: V,
    keep_alive: Option<KeepAlive>,
}

impl<V: Tried> FromStr for WithKeepAlive<V> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let with_its_own = text.rsplit_once(V::BETWEEN).and_then(|(variant, keep_alive)| {
            Some(Self { variant: variant.parse().ok()?, keep_alive: Some(keep_alive.parse().ok()?) })
        });
        with_its_own.map_or_else(|| Ok(Self { variant: text.parse()?, keep_alive: None }), Ok)
    }
}

impl KeepAlives {
    /// Every variant with each of its Keep Alives, in seconds: all variants when none is named.
    pub(super) fn cases<V: Tried>(&self, given: &[Named<WithKeepAlive<V>>]) -> Vec<(V, u16)> {
        let given = if given.is_empty() { &[Named::All] } else { given };
        let mut cases = BTreeSet::new();
        for named in given {
            let (variants, its_own) = match named {
                Named::All => (V::EACH, None),
                Named::One(named) => (from_ref(&named.variant), named.keep_alive.as_ref()),
            };
            let times = its_own.map_or(&self.keepalive[..], from_ref);
            let tried =
                variants.iter().flat_map(|variant| times.iter().map(|time| (*variant, time.seconds())));
            cases.extend(tried);
        }
        cases.into_iter().collect()
    }
}

/// The longest effective Keep Alive of these cases.
pub(super) fn longest<V>(cases: &[(V, u16)]) -> Duration {
    let asked = cases.iter().map(|(_, seconds)| *seconds).max().unwrap_or_default();
    longest_held(Duration::from_secs(asked.into()))
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::str::FromStr;
    use std::time::Duration;

    use ungraceful_flags::{Named, Seconds};

    use super::super::silence::Cause;
    use super::{KeepAlive, KeepAlives, WithKeepAlive, longest};

    fn given<T: FromStr<Err: Debug>>(texts: &[&str]) -> Vec<T> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_keep_alive_is_whole_seconds_from_1_to_65_535() {
        for (text, seconds) in [("1s", 1), ("1m", 60), ("65535s", 65_535), ("60", 60)] {
            assert_eq!(text.parse(), Ok(KeepAlive(Seconds(seconds))), "{text}");
        }
        for wrong in ["0", "1500ms", "65536s", "-1s", "", "soon"] {
            assert!(wrong.parse::<KeepAlive>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_variant_runs_with_every_keep_alive_or_its_own() {
        let cases = |times: &[&str], variants: &[&str]| {
            KeepAlives { keepalive: given(times) }.cases(&given::<Named<WithKeepAlive<Cause>>>(variants))
        };
        let all = cases(&["2s", "1s", "2s"], &[]);
        assert_eq!(all.len(), 6);
        assert_eq!(all[..2], [(Cause::Idle, 1), (Cause::Idle, 2)]);
        let some = cases(&["1s"], &["downlink", "half-open-5s", "idle-1s", "idle"]);
        assert_eq!(some, [(Cause::Idle, 1), (Cause::HalfOpen, 5), (Cause::Downlink, 1)]);
        let seconds = Duration::from_secs;
        assert_eq!(longest(&some), seconds(10), "the broker may replace 5 s by this");
        assert_eq!(longest(&[("idle", 60)]), seconds(60));
        assert_eq!(cases(&["1"], &["idle-5", "all"]).len(), 4, "all three, and idle-5");
    }

    #[test]
    fn an_unknown_variant_is_rejected_with_the_known_ones() {
        for wrong in ["gone", "idle-0s", "half-shut-1s"] {
            let why = wrong.parse::<WithKeepAlive<Cause>>().unwrap_err();
            assert!(why.contains(wrong) && why.contains("half-open"), "{why}");
        }
    }
}
