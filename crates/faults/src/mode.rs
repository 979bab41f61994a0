//! A fault as a mode of a tool: its name, its texts, its flags, its cases and its checks, in the fault's own file and nowhere
//! else.
//!
//! A fault's flags are a `clap::Args` struct that implements [`FaultMode`]. The tools, `ungraceful list`, the generated
//! reference, the plan and the tests that every check can fail read it through [`Mode`], the same trait without its type.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgMatches, Args, Command};
use ungraceful_flags::{Mistake, Wanted};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::check::Check;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::broker::outage::Restart;
use ungraceful_rig::broker::target::BrokerChoice;

/// The flags of a fault, and everything else that is said of it once.
pub trait FaultMode: Args + Clone + fmt::Debug + Send + Sync + 'static {
    /// The mode's name, by which its records name the fault.
    const NAME: &'static str;
    /// What it finds out, in one line.
    const ABOUT: &'static str;
    /// What it does, for its help text.
    const LONG_ABOUT: &'static str;
    /// What its records are judged by, beside the checks of every run: lists that are reported one after the other.
    const CHECKS: &'static [&'static [Check]];
    /// Defaults that it has for flags of every run, by long flag.
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[];
    /// Flags without which it can't be run on any broker, with values that show what goes there; none for most.
    const REQUIRED_FLAGS: &'static [&'static str] = &[];
    /// Where the number of attempts of each case comes from.
    const ATTEMPTS: AttemptsOf = AttemptsOf::Flags;
    /// Whether clients are removed by an operator: a broker that we start is then set up so that we can be one.
    const ADMINISTERS: bool = false;

    /// The versions that it is to speak.
    fn wanted(&self) -> Wanted;

    /// Checks what one flag alone can't tell, and reads what flags name, such as files. Mistakes are added to the list.
    fn check(&mut self, _call: &Call<'_>, _mistakes: &mut Vec<Mistake>) {}

    /// How many connections the clients of `--count` have at the same time.
    fn connections(&self) -> ConnectionsOf {
        ConnectionsOf::EachClient(1)
    }

    /// The longest that an attempt takes by its own choice, beside the waits that every run has.
    fn longest_pause(&self) -> Duration {
        Duration::ZERO
    }

    /// How the broker is restarted when a wave begins; absent when it is not. Only with [`AttemptsOf::EachWave`].
    fn restart(&self) -> Option<Restart> {
        None
    }

    /// The fault of each case, for the versions that the broker speaks.
    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>>;

    /// Changes the flags of the command; for texts that differ from those of the group that a flag comes from.
    fn adjust(command: Command) -> Command {
        command
    }
}

/// What a fault may need of the flags of every run.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// How long the broker has to react.
    pub reaction_timeout: Duration,
    /// Which broker is meant.
    pub broker: &'a BrokerChoice,
}

/// Where the number of attempts of each case comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptsOf {
    /// `--attempts` or `--duration`.
    Flags,
    /// One for each client of `--count`, shared by the cases: clients that are all there at the same time.
    Clients,
    /// One for each client of `--count` in each case: one case after another, the attempts of each at one instant.
    EachWave,
}

impl AttemptsOf {
    /// The flags that do not count.
    #[must_use]
    pub const fn without(self) -> &'static [&'static str] {
        match self {
            Self::Flags => &[],
            Self::Clients => &["attempts", "duration"],
            Self::EachWave => &["attempts", "duration", "connrate", "arrival"],
        }
    }
}

/// How many connections a run has at the same time, beside those of its honest clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionsOf {
    /// At most so many for each client of `--count`.
    EachClient(u64),
    /// One for each client of `--count`, and another for those that are being attempted.
    EachClientAndAttempt,
}

/// What a mode is going to do.
pub struct FaultPlan {
    /// Versions to speak.
    pub wanted: Wanted,
    /// The longest that an attempt takes by its own choice, beside the waits that every run has.
    pub longest_pause: Duration,
    /// How many connections the clients of `--count` have at the same time.
    pub connections: ConnectionsOf,
    /// How the broker is restarted when a wave begins; absent when it is not.
    pub restart: Option<Restart>,
    /// Makes the faults for the versions that the broker speaks.
    pub make: Arc<ungraceful_rig::run::settings::MakeFaults>,
}

/// A [`FaultMode`] without its type.
pub trait Mode: Sync {
    /// [`FaultMode::NAME`].
    fn name(&self) -> &'static str;
    /// [`FaultMode::ABOUT`].
    fn about(&self) -> &'static str;
    /// [`FaultMode::LONG_ABOUT`].
    fn long_about(&self) -> &'static str;
    /// [`FaultMode::CHECKS`], in one list.
    fn checks(&self) -> Vec<Check>;
    /// [`FaultMode::DEFAULTS`].
    fn defaults(&self) -> &'static [(&'static str, &'static str)];
    /// [`FaultMode::REQUIRED_FLAGS`].
    fn required_flags(&self) -> &'static [&'static str];
    /// [`FaultMode::ATTEMPTS`].
    fn attempts(&self) -> AttemptsOf;
    /// [`FaultMode::ADMINISTERS`].
    fn administers(&self) -> bool;
    /// Adds the flags that only this mode has.
    fn add_flags(&self, command: Command) -> Command;
    /// The versions that were asked for.
    fn wanted(&self, matches: &ArgMatches) -> Wanted;
    /// What it is going to do. Mistakes are added to the list.
    fn plan(&self, matches: &ArgMatches, call: &Call<'_>, mistakes: &mut Vec<Mistake>) -> FaultPlan;
}

/// The mode whose flags are `M`, for the list of a tool.
#[must_use]
pub const fn mode<M: FaultMode>() -> &'static dyn Mode {
    &Registered::<M>(PhantomData)
}

struct Registered<M>(PhantomData<fn() -> M>);

impl<M: FaultMode> Registered<M> {
    fn flags(matches: &ArgMatches) -> M {
        M::from_arg_matches(matches).expect("the flags are those of this mode's command")
    }
}

impl<M: FaultMode> Mode for Registered<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn about(&self) -> &'static str {
        M::ABOUT
    }

    fn long_about(&self) -> &'static str {
        M::LONG_ABOUT
    }

    fn checks(&self) -> Vec<Check> {
        M::CHECKS.concat().into_iter().map(|check| check.of_fault(M::NAME)).collect()
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        M::DEFAULTS
    }

    fn required_flags(&self) -> &'static [&'static str] {
        M::REQUIRED_FLAGS
    }

    fn attempts(&self) -> AttemptsOf {
        M::ATTEMPTS
    }

    fn administers(&self) -> bool {
        M::ADMINISTERS
    }

    fn add_flags(&self, command: Command) -> Command {
        M::adjust(M::augment_args(command))
    }

    fn wanted(&self, matches: &ArgMatches) -> Wanted {
        Self::flags(matches).wanted()
    }

    fn plan(&self, matches: &ArgMatches, call: &Call<'_>, mistakes: &mut Vec<Mistake>) -> FaultPlan {
        let mut flags = Self::flags(matches);
        flags.check(call, mistakes);
        FaultPlan {
            wanted: flags.wanted(),
            longest_pause: flags.longest_pause(),
            connections: flags.connections(),
            restart: flags.restart(),
            make: Arc::new(move |spoken| flags.faults(spoken)),
        }
    }
}

/// The fault of each variant in each version (or pair of versions) for which there is one, version by version.
pub fn each_case<V: Copy, P: Copy, F: Fault + 'static>(
    variants: &[V],
    spoken: &[P],
    fault: impl Fn(V, P) -> Option<F>,
) -> Vec<Arc<dyn Fault>> {
    let cases = spoken.iter().flat_map(|version| variants.iter().map(move |variant| (*variant, *version)));
    cases
        .filter_map(|(variant, version)| Some(Arc::new(fault(variant, version)?) as Arc<dyn Fault>))
        .collect()
}
