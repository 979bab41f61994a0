//! What the modes about Keep Alive have in common: choosing Keep Alives, and a variant for each of them.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use ungraceful_faults::connection::keep_alive::longest_held;
use ungraceful_rig::error::Mistake;

use crate::cli::given::{Given, Named, Readable, Seconds};

/// Which Keep Alives to try.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub(super) struct KeepAliveArgs {
    /// Keep Alives of the clients, separated by commas, in whole seconds, such as 60 or 60s; each is a variant of its own
    #[arg(
        short = 'k',
        long,
        value_name = "SECONDS",
        env = "UNGRACEFUL_KEEPALIVE",
        default_value = "1s,2s",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    keepalive: Vec<Given<KeepAliveTime>>,
}

/// A Keep Alive in seconds, above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeepAliveTime(pub(super) u16);

impl Readable for KeepAliveTime {
    fn read(text: &str) -> Result<Self, String> {
        let Seconds(seconds) = Seconds::read(text)?;
        match u16::try_from(seconds) {
            Ok(seconds) if seconds > 0 => Ok(Self(seconds)),
            _ => Err(format!(
                "{text:?} is no Keep Alive; give 1 to {} seconds, such as 60 or 60s (0 turns it off)",
                u16::MAX
            )),
        }
    }
}

/// A variant as it is named: alone, for every Keep Alive of `--keepalive`, or with one of its own, such as `idle-2s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WithKeepAlive<V> {
    variant: V,
    keep_alive: Option<KeepAliveTime>,
}

impl<V: FromStr<Err = String>> WithKeepAlive<V> {
    /// Reads one; `between` stands between the variant and its Keep Alive.
    pub(super) fn read(text: &str, between: &str) -> Result<Self, String> {
        let text = text.trim();
        let with_its_own = text.rsplit_once(between).and_then(|(variant, keep_alive)| {
            Some(Self {
                variant: variant.parse().ok()?,
                keep_alive: Some(KeepAliveTime::read(keep_alive).ok()?),
            })
        });
        match with_its_own {
            Some(named) => Ok(named),
            None => Ok(Self { variant: text.parse()?, keep_alive: None }),
        }
    }
}

impl KeepAliveArgs {
    /// Every variant with every Keep Alive that it is to be tried with: all of them when none is named.
    pub(super) fn cases<V: Copy + PartialEq>(
        &self,
        all: &[V],
        given: &[Given<Named<WithKeepAlive<V>>>],
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<(V, u16)>
    where
        WithKeepAlive<V>: Readable,
    {
        let mut times: Vec<KeepAliveTime> =
            self.keepalive.iter().filter_map(|time| time.take("--keepalive", mistakes)).collect();
        times.sort_unstable();
        times.dedup();
        let every =
            || all.iter().map(|variant| WithKeepAlive { variant: *variant, keep_alive: None }).collect();
        let named: Vec<WithKeepAlive<V>> = if given.is_empty() {
            every()
        } else {
            let named = given.iter().filter_map(|named| named.take("--variant", mistakes));
            named
                .flat_map(|named| match named {
                    Named::All => every(),
                    Named::One(named) => vec![named],
                })
                .collect()
        };
        let mut cases = Vec::new();
        for WithKeepAlive { variant, keep_alive } in named {
            let times = keep_alive.map_or_else(|| times.clone(), |time| vec![time]);
            for KeepAliveTime(seconds) in times {
                if !cases.contains(&(variant, seconds)) {
                    cases.push((variant, seconds));
                }
            }
        }
        let rank = |variant: &V| all.iter().position(|known| known == variant);
        cases.sort_by_key(|(variant, seconds)| (rank(variant), *seconds));
        cases
    }
}

/// The longest Keep Alive that may hold in these cases.
pub(super) fn longest<V>(cases: &[(V, u16)]) -> Duration {
    let asked = cases.iter().map(|(_, seconds)| *seconds).max().unwrap_or_default();
    longest_held(Duration::from_secs(asked.into()))
}

#[cfg(test)]
mod tests {
    use ungraceful_faults::connection::keep_alive::silence::Cause;

    use super::{KeepAliveArgs, KeepAliveTime, WithKeepAlive, longest};
    use crate::cli::given::{Given, Readable};

    fn given<T: Readable>(texts: &[&str]) -> Vec<Given<T>> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_keep_alive_is_whole_seconds_from_1_to_65_535() {
        assert_eq!(KeepAliveTime::read("1s"), Ok(KeepAliveTime(1)));
        assert_eq!(KeepAliveTime::read("1m"), Ok(KeepAliveTime(60)));
        assert_eq!(KeepAliveTime::read("65535s"), Ok(KeepAliveTime(65_535)));
        assert_eq!(KeepAliveTime::read("60"), Ok(KeepAliveTime(60)));
        for wrong in ["0", "1500ms", "65536s", "-1s", "", "soon"] {
            assert!(KeepAliveTime::read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_variant_is_tried_with_every_keep_alive_unless_it_names_one_of_its_own() {
        let cases = |times: &[&str], variants: &[&str]| {
            let args = KeepAliveArgs { keepalive: given(times) };
            let mut mistakes = Vec::new();
            let cases = args.cases(&Cause::ALL, &given(variants), &mut mistakes);
            (cases, mistakes.len())
        };
        let (all, mistakes) = cases(&["2s", "1s", "2s"], &[]);
        assert_eq!((all.len(), mistakes), (6, 0));
        assert_eq!(all[..2], [(Cause::Idle, 1), (Cause::Idle, 2)]);
        let (some, _) = cases(&["1s"], &["downlink", "half-open-5s", "idle-1s", "idle"]);
        assert_eq!(some, [(Cause::Idle, 1), (Cause::HalfOpen, 5), (Cause::Downlink, 1)]);
        let seconds = std::time::Duration::from_secs;
        assert_eq!(longest(&some), seconds(10), "a broker may put as long a Keep Alive in place of 5 s");
        assert_eq!(longest(&[("idle", 60)]), seconds(60));
        assert_eq!(
            cases(&["1"], &["idle-5", "all"]).0.len(),
            4,
            "all of them, and one with a Keep Alive of its own"
        );
        let (none, mistakes) = cases(&["1s"], &["gone", "idle-0s"]);
        assert_eq!((none, mistakes), (Vec::new(), 2));
    }

    #[test]
    fn a_variant_that_there_is_not_is_told_those_that_there_are() {
        let told = WithKeepAlive::<Cause>::read("half-shut-1s", "-").unwrap_err();
        assert!(told.contains("half-shut-1s") && told.contains("half-open"), "{told}");
    }
}
