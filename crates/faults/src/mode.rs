//! A fault as a mode of a tool: its name, texts, flags, cases and checks, all in the fault's own file.
//!
//! A fault's flags are a `clap::Args` struct that implements [`FaultMode`]. The tools, `ungraceful list`, the generated
//! reference, the plan and the test that every check can fail read it through [`Mode`], the object-safe form.

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

use crate::scenario::shrinking::Shrink;

/// The flags of a fault, and everything else that is declared once per fault.
pub trait FaultMode: Args + Clone + fmt::Debug + Send + Sync + 'static {
    /// The mode's name, by which its records name the fault.
    const NAME: &'static str;
    /// A summary in one line.
    const ABOUT: &'static str;
    /// A description for its help text.
    const LONG_ABOUT: &'static str;
    /// Its checks, besides those of every run: lists that are reported one after the other.
    const CHECKS: &'static [&'static [Check]];
    /// Whether its cases belong to a fault of the mode's name. If not, each check selects its cases itself.
    const NAMES_ITS_FAULT: bool = true;
    /// Whether an argument without a flag names the fault of a case.
    const CHOOSES_FAULTS: bool = false;
    /// Its defaults for common flags, by long flag.
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[];
    /// Its defaults for common flags where another flag is given: by that flag's long name and the long flag.
    const DEFAULTS_WITH: &'static [(&'static str, &'static str, &'static str)] = &[];
    /// Flags that it requires on any broker, with example values; none for most.
    const REQUIRED_FLAGS: &'static [&'static str] = &[];
    /// Where the number of attempts of each case comes from.
    const ATTEMPTS: AttemptsOf = AttemptsOf::Flags;
    /// Whether an operator removes clients: a broker that we start is then set up to let us.
    const ADMINISTERS: bool = false;

    /// The versions to speak.
    fn wanted(&self) -> Wanted;

    /// Validates combinations of flags, and reads files that flags name. Adds mistakes to the list.
    fn check(&mut self, _call: &Call<'_>, _mistakes: &mut Vec<Mistake>) {}

    /// What to print instead of making a run; absent for a run.
    fn prints(&self) -> Option<String> {
        None
    }

    /// What to shrink instead of making one run; absent for a run.
    fn shrink(&self) -> Option<Shrink> {
        None
    }

    /// How many connections the clients of `--count` have at the same time.
    fn connections(&self) -> ConnectionsOf {
        ConnectionsOf::EachClient(1)
    }

    /// The longest time that an attempt takes by itself, besides the waits of every run.
    fn longest_pause(&self) -> Duration {
        Duration::ZERO
    }

    /// How to restart the broker when a wave begins; absent without a restart. Only with [`AttemptsOf::EachWave`].
    fn restart(&self) -> Option<Restart> {
        None
    }

    /// The fault of each case, for the versions that the broker speaks.
    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>>;

    /// Changes the command, for help texts that differ from those of a shared flag group.
    fn adjust(command: Command) -> Command {
        command
    }
}

/// Common flags that a fault may need.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// How long the broker has to react.
    pub reaction_timeout: Duration,
    /// How many attempts each case has at least: `--attempts`, also where `--duration` replaces it.
    pub attempts: u32,
    /// The broker.
    pub broker: &'a BrokerChoice,
}

/// Where the number of attempts of each case comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptsOf {
    /// `--attempts` or `--duration`.
    Flags,
    /// One for each client of `--count`, shared by the cases: all clients exist at the same time.
    Clients,
    /// One for each client of `--count` in each case: one case after another, all attempts of a case at once.
    EachWave,
}

impl AttemptsOf {
    /// The flags that do not apply.
    #[must_use]
    pub const fn without(self) -> &'static [&'static str] {
        match self {
            Self::Flags => &[],
            Self::Clients => &["attempts", "duration"],
            Self::EachWave => &["attempts", "duration", "connrate", "arrival"],
        }
    }
}

/// How many connections a run has at the same time, besides those of its well-behaved clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionsOf {
    /// At most so many for each client of `--count`.
    EachClient(u64),
    /// One for each client of `--count`, and a second one during its attempt.
    EachClientAndAttempt,
}

/// The plan of a mode.
pub struct FaultPlan {
    /// Versions to speak.
    pub wanted: Wanted,
    /// The longest time that an attempt takes by itself, besides the waits of every run.
    pub longest_pause: Duration,
    /// How many connections the clients of `--count` have at the same time.
    pub connections: ConnectionsOf,
    /// How to restart the broker when a wave begins; absent without a restart.
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
    /// [`FaultMode::DEFAULTS_WITH`].
    fn defaults_with(&self) -> &'static [(&'static str, &'static str, &'static str)];
    /// [`FaultMode::REQUIRED_FLAGS`].
    fn required_flags(&self) -> &'static [&'static str];
    /// [`FaultMode::ATTEMPTS`].
    fn attempts(&self) -> AttemptsOf;
    /// [`FaultMode::ADMINISTERS`].
    fn administers(&self) -> bool;
    /// [`FaultMode::CHOOSES_FAULTS`].
    fn chooses_faults(&self) -> bool;
    /// [`FaultMode::NAMES_ITS_FAULT`].
    fn names_its_fault(&self) -> bool;
    /// Adds the mode's own flags.
    fn add_flags(&self, command: Command) -> Command;
    /// The requested versions.
    fn wanted(&self, matches: &ArgMatches) -> Wanted;
    /// What to print instead of making a run; absent for a run. Mistakes are left to [`Mode::plan`].
    fn prints(&self, matches: &ArgMatches) -> Option<String>;
    /// What to shrink instead of making one run; absent for a run. Mistakes in other flags are left to [`Mode::plan`].
    fn shrink(&self, matches: &ArgMatches) -> Option<Shrink>;
    /// Its plan. Adds mistakes to the list.
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
        let of_mode = |check: Check| if M::NAMES_ITS_FAULT { check.of_fault(M::NAME) } else { check };
        M::CHECKS.concat().into_iter().map(of_mode).collect()
    }

    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        M::DEFAULTS
    }

    fn defaults_with(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        M::DEFAULTS_WITH
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

    fn chooses_faults(&self) -> bool {
        M::CHOOSES_FAULTS
    }

    fn names_its_fault(&self) -> bool {
        M::NAMES_ITS_FAULT
    }

    fn add_flags(&self, command: Command) -> Command {
        M::adjust(M::augment_args(command))
    }

    fn wanted(&self, matches: &ArgMatches) -> Wanted {
        Self::flags(matches).wanted()
    }

    fn prints(&self, matches: &ArgMatches) -> Option<String> {
        Self::flags(matches).prints()
    }

    fn shrink(&self, matches: &ArgMatches) -> Option<Shrink> {
        Self::flags(matches).shrink()
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

/// The fault of each variant in each version (or pair of versions), version by version, where `fault` makes one.
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
