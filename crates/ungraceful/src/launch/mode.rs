//! What a tool is made of: its modes, and the command line of each.

use std::collections::BTreeMap;

use clap::{ArgMatches, Args, Command};
use ungraceful_faults::mode::{AttemptsOf, Mode as FaultMode};
use ungraceful_flags::{Mistake, Wanted, with_environment};
use ungraceful_load::settings::LoadSettings;
use ungraceful_record::check::Check;
use ungraceful_record::rate_search::Promise;
use ungraceful_record::run::Setting;
use ungraceful_record::threshold::Threshold;
use ungraceful_rig::run::plan::Arrival;

use crate::cli::common::{EveryRunArgs, OutputArgs, RunArgs};
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
    pub modes: Modes,
}

/// The modes of a tool.
#[derive(Clone, Copy)]
pub enum Modes {
    /// Of attempts, each in its fault's own file.
    Faults(&'static [&'static dyn FaultMode]),
    /// Of load.
    Loads(&'static [&'static dyn LoadMode]),
}

/// One mode of a tool.
#[derive(Clone, Copy)]
pub enum Mode {
    /// It attempts a fault.
    Fault(&'static dyn FaultMode),
    /// It makes load.
    Load(&'static dyn LoadMode),
}

/// A mode that makes load in place of attempts. A load never reports a violation: what a broker drops is its operator's choice,
/// and what is too much the user's threshold.
pub trait LoadMode: Sync {
    /// The mode's name.
    fn name(&self) -> &'static str;
    /// What it finds out, in one line.
    fn about(&self) -> &'static str;
    /// What it does, for its help text.
    fn long_about(&self) -> &'static str;
    /// Adds the flags that only this mode has.
    fn add_flags(&self, command: Command) -> Command;
    /// Defaults that it has for flags of every run, by long flag.
    fn defaults(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
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
    pub wanted: Wanted,
    /// The load.
    pub load: LoadSettings,
    /// The user's thresholds.
    pub thresholds: Vec<Threshold>,
    /// What the broker is to keep while the highest rate at which it does is searched for; absent for one run at the
    /// given rate.
    pub promise: Option<Promise>,
}

impl Mode {
    /// The mode's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fault(mode) => mode.name(),
            Self::Load(mode) => mode.name(),
        }
    }

    /// What it finds out, in one line.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Fault(mode) => mode.about(),
            Self::Load(mode) => mode.about(),
        }
    }

    fn long_about(self) -> &'static str {
        match self {
            Self::Fault(mode) => mode.long_about(),
            Self::Load(mode) => mode.long_about(),
        }
    }

    /// The fault; absent for a load.
    #[must_use]
    pub fn fault(self) -> Option<&'static dyn FaultMode> {
        match self {
            Self::Fault(mode) => Some(mode),
            Self::Load(_) => None,
        }
    }

    /// What its records are judged by, beside the checks of every run.
    #[must_use]
    pub fn checks(self) -> Vec<Check> {
        self.fault().map_or_else(|| ungraceful_load::checks::CHECKS.to_vec(), FaultMode::checks)
    }

    /// Adds its own flags and those of every run.
    fn add_flags(self, command: Command) -> Command {
        match self {
            Self::Fault(mode) => {
                let command = RunArgs::augment_args(mode.add_flags(command));
                hidden(with_defaults(command, mode.defaults()), mode.attempts())
            }
            Self::Load(mode) => {
                let command = EveryRunArgs::augment_args(mode.add_flags(command));
                // No bystanders, unless they are asked for: a load is measured by itself.
                with_defaults(with_defaults(command, &[("bystanders", "0")]), mode.defaults())
            }
        }
    }
}

/// Hides flags that have no effect from the help text. They are still read, and refused with a reason.
fn hidden(command: Command, attempts: AttemptsOf) -> Command {
    let without = attempts.without();
    command.mut_args(|arg| {
        let is_one = arg.get_long().is_some_and(|long| without.contains(&long));
        if is_one { arg.hide(true) } else { arg }
    })
}

impl Tool {
    /// Its modes, the default one first.
    pub fn modes(&self) -> impl Iterator<Item = Mode> {
        let (faults, loads): (&[_], &[_]) = match self.modes {
            Modes::Faults(faults) => (faults, &[]),
            Modes::Loads(loads) => (&[], loads),
        };
        faults.iter().map(|mode| Mode::Fault(*mode)).chain(loads.iter().map(|mode| Mode::Load(*mode)))
    }

    /// The mode without a name on the command line.
    #[must_use]
    pub fn default_mode(&self) -> Mode {
        self.modes().next().expect("every tool has a mode")
    }

    /// Whether its modes are named on the command line: it has several.
    #[must_use]
    pub fn names_modes(&self) -> bool {
        self.modes().count() > 1
    }

    /// The command line of one mode, as it is parsed.
    #[must_use]
    pub fn mode_command(&self, mode: Mode) -> Command {
        self.mode_command_with(mode, &[])
    }

    /// As [`Tool::mode_command`], with defaults that go before those of the mode, by long flag.
    #[must_use]
    pub fn mode_command_with(&self, mode: Mode, defaults: &[(&'static str, &'static str)]) -> Command {
        let name = match self.names_modes() {
            true => format!("{} {}", self.name, mode.name()),
            false => self.name.to_owned(),
        };
        let command = Self::with_flags(Command::new(mode.name()).bin_name(name), mode);
        with_defaults(command.about(mode.about()).long_about(mode.long_about()), defaults)
    }

    /// The whole command line: the default mode's flags, and the modes.
    #[must_use]
    pub fn command(&self) -> Command {
        let default = self.default_mode();
        let command = Self::with_flags(Command::new(self.name), default).about(self.question);
        if !self.names_modes() {
            return command.long_about(default.long_about());
        }
        let long_about =
            format!("{}\n\nWithout a mode: {}. {}", self.question, default.name(), default.long_about());
        command
            .long_about(long_about)
            .subcommands(self.modes().map(|mode| self.mode_command(mode)))
            .subcommand_value_name("MODE")
            .subcommand_help_heading("Modes")
            .disable_help_subcommand(true)
            .args_conflicts_with_subcommands(true)
    }

    fn with_flags(command: Command, mode: Mode) -> Command {
        let command = mode.add_flags(TargetArgs::augment_args(with_help(command)));
        with_environment(OutputArgs::augment_args(command)).after_long_help(times_and_exit_codes_text())
    }

    /// Whether the mode's cases are chosen by `--variant`.
    #[must_use]
    pub fn chooses_variants(&self, mode: Mode) -> bool {
        self.mode_command(mode).get_arguments().any(|arg| arg.get_long() == Some("variant"))
    }

    /// The mode with this name.
    #[must_use]
    pub fn mode(&self, name: &str) -> Option<Mode> {
        self.modes().find(|mode| mode.name() == name)
    }
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

fn with_defaults(command: Command, defaults: &[(&'static str, &'static str)]) -> Command {
    defaults.iter().fold(command, |command, (flag, value)| {
        command.mut_arg(flag.replace('-', "_"), |arg| arg.default_value(*value))
    })
}

#[cfg(test)]
mod tests {
    use crate::tools;

    #[test]
    fn a_mode_chooses_variants_when_it_has_the_flag_for_it() {
        let chooses = |tool: &super::Tool, mode| tool.chooses_variants(tool.mode(mode).unwrap());
        for (mode, expected) in [("storm", true), ("duel", true), ("race", false), ("flap", false)] {
            assert_eq!(chooses(&tools::TAKEOVER, mode), expected, "{mode}");
        }
        let double_connect = &tools::DOUBLE_CONNECT;
        assert!(double_connect.chooses_variants(double_connect.default_mode()));
    }

    #[test]
    fn idle_connections_have_no_warm_up_and_no_load_has_bystanders() {
        let default = |mode, flag: &str| {
            let command = tools::BENCH.mode_command(tools::BENCH.mode(mode).unwrap());
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(flag)).unwrap();
            arg.get_default_values()[0].to_str().unwrap().to_owned()
        };
        assert_eq!((default("conn", "warmup"), default("pubsub", "warmup")), ("0s".into(), "1s".into()));
        assert_eq!(
            (default("conn", "bystanders"), default("pubsub", "bystanders")),
            ("0".into(), "0".into())
        );
    }

    #[test]
    fn a_flag_that_a_mode_refuses_is_not_in_its_help() {
        let help = |mode| {
            let mode = tools::TAKEOVER.mode(mode).unwrap();
            tools::TAKEOVER.mode_command(mode).render_long_help().to_string()
        };
        let (storm, race) = (help("storm"), help("race"));
        for flag in ["--attempts <", "--duration <"] {
            assert!(!storm.contains(flag) && race.contains(flag), "{flag}");
        }
        assert!(storm.contains("--connrate <"));
    }
}
