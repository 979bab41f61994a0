//! What a tool is made of: its modes, and what each of them brings to the launch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, ArgMatches, Args, Command};
use ungraceful_load::settings::LoadSettings;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::Statement;
use ungraceful_record::rate_search::Promise;
use ungraceful_record::run::Setting;
use ungraceful_record::threshold::Threshold;
use ungraceful_record::verdict::Check;
use ungraceful_rig::broker::outage::Restart;
use ungraceful_rig::broker::target::BrokerChoice;
use ungraceful_rig::error::Mistake;
use ungraceful_rig::run::plan::Arrival;
use ungraceful_rig::run::settings::MakeFaults;

use crate::cli::common::{EveryRunArgs, OutputArgs, RunArgs, RunSettings};
use crate::cli::parse::times_and_exit_codes_text;
use crate::cli::target::TargetArgs;

/// A binary: the question it answers, and the modes in which it does.
#[derive(Clone, Copy)]
pub struct Tool {
    /// The binary's name.
    pub name: &'static str,
    /// The question it answers.
    pub question: &'static str,
    /// Its modes, the default one first. A binary with one mode alone need not name it on its command line.
    pub modes: &'static [&'static dyn Mode],
}

/// What one mode of a tool brings: its flags, its faults, its checks.
pub trait Mode: Sync {
    /// The mode's name.
    fn name(&self) -> &'static str;
    /// What it finds out, in one line.
    fn about(&self) -> &'static str;
    /// What it does, for its help text.
    fn long_about(&self) -> &'static str;
    /// Adds the flags that only this mode has.
    fn add_flags(&self, command: Command) -> Command;
    /// Defaults that this mode has for flags of every run, by long flag.
    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
    /// Flags without which it can't be run on any broker, with values that show what goes there; none for most.
    fn indispensable(&self) -> &'static [&'static str] {
        &[]
    }
    /// Whether clients are removed by an operator: a broker that we start is then set up so that we can be one.
    fn administers(&self) -> bool {
        false
    }
    /// What it makes in place of attempts; absent for a mode of attempts.
    fn load(&self) -> Option<&'static dyn LoadMode> {
        None
    }
    /// Reads the mode's flags; mistakes are added to the list. A mode of load plans no attempts.
    fn fault_plan(&self, _matches: &ArgMatches, _mistakes: &mut Vec<Mistake>) -> FaultPlan {
        FaultPlan::nothing()
    }
    /// How the broker is restarted when a wave begins; absent when it is not. Mistakes are added to the list. Only for a
    /// mode whose attempts are those [of each wave](AttemptsOf::EachWave).
    fn restart(
        &self,
        _matches: &ArgMatches,
        _broker: &BrokerChoice,
        _mistakes: &mut Vec<Mistake>,
    ) -> Option<Restart> {
        None
    }
    /// What the record is judged by, beside the checks of every run.
    fn checks(&self) -> Vec<Check>;
    /// The numbered statements by which a broker can be accused here, beside those that every run judges by.
    fn accuses_by(&self) -> Vec<Statement>;
    /// Version and section of the rule that a client has kept here which a broker can be accused of not serving, where no
    /// numbered statement says that it is served; absent for most.
    fn accuses_without_number(&self) -> Option<&'static str> {
        None
    }
}

impl Tool {
    /// The command line of one mode, as it is parsed.
    #[must_use]
    pub fn mode_command(&self, mode: &dyn Mode) -> Command {
        self.mode_command_with(mode, &[])
    }

    /// As [`Tool::mode_command`], with defaults that go before those of the mode, by long flag.
    #[must_use]
    pub fn mode_command_with(&self, mode: &dyn Mode, defaults: &[(&'static str, &'static str)]) -> Command {
        let name = if self.modes.len() > 1 {
            format!("{} {}", self.name, mode.name())
        } else {
            self.name.to_owned()
        };
        let command = Command::new(mode.name()).bin_name(name).about(mode.about());
        let command = self.with_flags(command, mode).about(mode.about()).long_about(mode.long_about());
        with_defaults(command, defaults)
    }

    /// The whole command line: the default mode's flags, and the modes.
    #[must_use]
    pub fn command(&self) -> Command {
        let default = self.modes[0];
        let command = self.with_flags(Command::new(self.name), default).about(self.question);
        if self.modes.len() == 1 {
            return command.long_about(default.long_about());
        }
        let long_about =
            format!("{}\n\nWithout a mode: {}. {}", self.question, default.name(), default.long_about());
        let modes = self.modes.iter().map(|mode| self.mode_command(*mode));
        command
            .long_about(long_about)
            .subcommands(modes)
            .subcommand_value_name("MODE")
            .subcommand_help_heading("Modes")
            .disable_help_subcommand(true)
            .args_conflicts_with_subcommands(true)
    }

    fn with_flags(&self, command: Command, mode: &dyn Mode) -> Command {
        let command = mode.add_flags(TargetArgs::augment_args(with_help(command)));
        let command = match mode.load() {
            None => RunArgs::augment_args(command),
            Some(_) => EveryRunArgs::augment_args(command),
        };
        let command = with_defaults(OutputArgs::augment_args(command), mode.defaults());
        // Last, because each group of flags brings an `about` of its own.
        command.mut_args(without_values).after_long_help(times_and_exit_codes_text())
    }

    /// Whether the mode's cases are chosen by `--variant`.
    #[must_use]
    pub fn chooses_variants(&self, mode: &dyn Mode) -> bool {
        self.mode_command(mode).get_arguments().any(|arg| arg.get_long() == Some("variant"))
    }

    /// The mode with this name.
    #[must_use]
    pub fn mode(&self, name: &str) -> Option<&'static dyn Mode> {
        self.modes.iter().find(|mode| mode.name() == name).copied()
    }
}

/// A mode that makes load in place of attempts.
pub trait LoadMode: Sync {
    /// Reads the mode's flags; mistakes are added to the list. `given` tells what was given, and where.
    fn load_plan(
        &self,
        matches: &ArgMatches,
        given: &BTreeMap<String, Setting>,
        arrival: Arrival,
        mistakes: &mut Vec<Mistake>,
    ) -> LoadPlan;
}

/// What a mode of load is going to do.
pub struct LoadPlan {
    /// Versions to speak: the newest of them that the broker speaks.
    pub versions: Vec<ProtocolVersion>,
    /// Whether the user named them.
    pub versions_required: bool,
    /// The load; absent when a value can't be read.
    pub load: Option<LoadSettings>,
    /// The user's thresholds.
    pub thresholds: Vec<Threshold>,
    /// What the broker is to keep while the highest rate at which it does is searched for; absent for one run at the
    /// given rate.
    pub promise: Option<Promise>,
}

/// What every command line of ours has.
pub(crate) fn with_help(command: Command) -> Command {
    command
        .version(env!("CARGO_PKG_VERSION"))
        // A flag given twice counts as given last, so that a call can be repeated with one thing changed.
        .args_override_self(true)
        // -h is --host, as in the tools that users know.
        .disable_help_flag(true)
        .arg(clap::arg!(--help "Print help").action(clap::ArgAction::Help))
        .disable_version_flag(true)
        .arg(clap::arg!(--version "Print version").action(clap::ArgAction::Version))
}

/// A flag whose help text names its variable and not the value in it: help texts are pasted into tickets, and a variable may
/// hold a password, also where none belongs.
pub(crate) fn without_values(arg: Arg) -> Arg {
    arg.hide_env_values(true)
}

fn with_defaults(command: Command, defaults: &[(&'static str, &'static str)]) -> Command {
    defaults.iter().fold(command, |command, (flag, value)| {
        command.mut_arg(flag.replace('-', "_"), |arg| arg.default_value(*value))
    })
}

/// What a mode is going to do.
pub struct FaultPlan {
    /// Versions to speak.
    pub versions: Vec<ProtocolVersion>,
    /// Whether the user named them.
    pub versions_required: bool,
    /// How many attempts each case has.
    pub attempts: AttemptsOf,
    /// The longest that an attempt takes by its own choice, beside the waits that every run has.
    pub longest_pause: Duration,
    /// How many connections the clients of `--count` have at the same time.
    pub connections: ConnectionsOf,
    /// Makes the faults for the versions that the broker speaks.
    pub make: Arc<MakeFaults>,
}

impl FaultPlan {
    /// No attempts at all.
    fn nothing() -> Self {
        Self {
            versions: Vec::new(),
            versions_required: false,
            attempts: AttemptsOf::Flags,
            longest_pause: Duration::ZERO,
            connections: ConnectionsOf::EachClient(0),
            make: Arc::new(|_versions| Vec::new()),
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

impl ConnectionsOf {
    pub(super) fn of(self, settings: &RunSettings) -> u64 {
        /// How long an attempt goes on after the time the broker has to react, at the most.
        const BESIDES_S: f64 = 2.0;
        let clients = u64::from(settings.clients.get());
        match self {
            Self::EachClient(connections) => clients * connections,
            Self::EachClientAndAttempt => {
                let under_way =
                    (settings.per_second * (settings.reaction_timeout.as_secs_f64() + BESIDES_S)).ceil();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "rates and times are positive, and what is too large is cut at once"
                )]
                let under_way = under_way as u64;
                clients + under_way.min(clients)
            }
        }
    }
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
    pub(super) const fn without(self) -> &'static [&'static str] {
        match self {
            Self::Flags => &[],
            Self::Clients => &["attempts", "duration"],
            Self::EachWave => &["attempts", "duration", "connrate", "arrival"],
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tools;

    #[test]
    fn a_mode_chooses_variants_when_it_has_the_flag_for_it() {
        let chooses = |tool: &super::Tool, mode| tool.chooses_variants(tool.mode(mode).unwrap());
        for (mode, expected) in [("storm", true), ("duel", true), ("race", false), ("flap", false)] {
            assert_eq!(chooses(&tools::takeover::TOOL, mode), expected, "{mode}");
        }
        let double_connect = &tools::double_connect::TOOL;
        assert!(double_connect.chooses_variants(double_connect.modes[0]));
    }
}
