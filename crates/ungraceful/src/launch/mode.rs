//! A tool, its modes, and the command line of each.

use clap::builder::ArgPredicate;
use clap::{Args, Command};
use ungraceful_faults::mode::{AttemptsOf, Mode as FaultMode};
use ungraceful_flags::{Mistake, Wanted, with_environment};
use ungraceful_load::settings::LoadSettings;
use ungraceful_record::check::Check;
use ungraceful_record::rate_search::Promise;

use ungraceful_rig::run::plan::Arrival;

use crate::cli::common::{EveryRunArgs, OutputArgs, RunArgs};
use crate::cli::gates::Never;
use crate::cli::help;
use crate::cli::parse::Parsed;
use crate::cli::target::TargetArgs;

/// A binary: the question it answers, and its modes.
#[derive(Clone, Copy)]
pub struct Tool {
    /// The binary's name.
    pub name: &'static str,
    /// The question it answers.
    pub question: &'static str,
    /// Its modes, the default one first. The command line of a binary with a single mode need not name it.
    pub modes: Modes,
}

/// The modes of a tool.
#[derive(Clone, Copy)]
pub enum Modes {
    /// Modes that make attempts; each is defined in its fault's file.
    Faults(&'static [&'static dyn FaultMode]),
    /// Modes that make load.
    Loads(&'static [LoadMode]),
}

/// One mode of a tool.
#[derive(Clone, Copy)]
pub enum Mode {
    /// It attempts a fault.
    Fault(&'static dyn FaultMode),
    /// It makes load.
    Load(&'static LoadMode),
}

/// A mode that makes load in place of attempts. A load never reports a violation: the operator chooses what a broker drops, and the
/// user sets the thresholds.
pub struct LoadMode {
    /// The mode's name.
    pub name: &'static str,
    /// Its purpose, in one line.
    pub about: &'static str,
    /// Its description, for its help text.
    pub long_about: &'static str,
    /// Adds the flags that only this mode has.
    pub add_flags: fn(Command) -> Command,
    /// Its defaults for flags of every run, by long flag.
    pub defaults: &'static [(&'static str, &'static str)],
    /// Reads the mode's flags. Mistakes are added to the list.
    pub plan: fn(&Parsed, Arrival, &mut Vec<Mistake>) -> LoadPlan,
}

/// The plan of a mode of load.
pub struct LoadPlan {
    /// Candidate versions: the newest that the broker supports is used.
    pub wanted: Wanted,
    /// The load.
    pub load: LoadSettings,
    /// What it never measures.
    pub never: Never,
    /// The promise of a rate search; absent for a single run at the given rate.
    pub promise: Option<Promise>,
}

impl Mode {
    /// The mode's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fault(mode) => mode.name(),
            Self::Load(mode) => mode.name,
        }
    }

    /// Its purpose, in one line.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Fault(mode) => mode.about(),
            Self::Load(mode) => mode.about,
        }
    }

    fn long_about(self) -> &'static str {
        match self {
            Self::Fault(mode) => mode.long_about(),
            Self::Load(mode) => mode.long_about,
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

    /// Its checks, beside those of every run.
    #[must_use]
    pub fn checks(self) -> Vec<Check> {
        self.fault().map_or_else(|| ungraceful_load::checks::CHECKS.to_vec(), FaultMode::checks)
    }

    /// Its checks, and those of every run.
    #[must_use]
    pub fn all_checks(self) -> Vec<Check> {
        let of_every_run = match self {
            Self::Fault(_) => ungraceful_record::checks::CHECKS.to_vec(),
            Self::Load(_) => ungraceful_record::checks::WITHOUT_ATTEMPTS.to_vec(),
        };
        [self.checks(), of_every_run].concat()
    }

    /// Adds its own flags and those of every run.
    fn add_flags(self, command: Command) -> Command {
        match self {
            Self::Fault(mode) => {
                let command = RunArgs::augment_args(mode.add_flags(command));
                let command = with_defaults(command, mode.defaults());
                hidden(with_defaults_of(command, mode.defaults_with()), mode.attempts())
            }
            Self::Load(mode) => {
                let command = EveryRunArgs::augment_args((mode.add_flags)(command));
                // No bystanders by default: a load is measured by itself.
                with_defaults(with_defaults(command, &[("bystanders", "0")]), mode.defaults)
            }
        }
    }
}

/// Hides flags without effect from the help text. They are still parsed, and rejected with a reason.
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
        faults.iter().map(|mode| Mode::Fault(*mode)).chain(loads.iter().map(Mode::Load))
    }

    /// The mode when the command line names none.
    #[must_use]
    pub fn default_mode(&self) -> Mode {
        self.modes().next().expect("every tool has a mode")
    }

    /// Whether it has several modes, which the command line names.
    #[must_use]
    pub fn has_several_modes(&self) -> bool {
        self.modes().count() > 1
    }

    /// The command line of one mode, as it is parsed.
    #[must_use]
    pub fn mode_command(&self, mode: Mode) -> Command {
        self.mode_command_with(mode, &[])
    }

    /// As [`Tool::mode_command`], with defaults that override those of the mode, by long flag.
    #[must_use]
    pub fn mode_command_with(&self, mode: Mode, defaults: &[(&'static str, &'static str)]) -> Command {
        let name = match self.has_several_modes() {
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
        if !self.has_several_modes() {
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
            .after_help(format!("{} MODE --help has the flags of a mode.", self.name))
    }

    fn with_flags(command: Command, mode: Mode) -> Command {
        let command = mode.add_flags(TargetArgs::augment_args(with_help(command)));
        with_environment(OutputArgs::augment_args(command)).after_long_help(help::end_of_runs())
    }

    /// Whether the mode has `--variant`.
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

/// Adds the flags of every command line.
pub(crate) fn with_help(command: Command) -> Command {
    help::with_flags(command)
        .version(env!("CARGO_PKG_VERSION"))
        // The last of several values counts, so that a call can be repeated with one change appended.
        .args_override_self(true)
        .disable_version_flag(true)
        .arg(clap::arg!(--version "Print version").action(clap::ArgAction::Version))
}

fn with_defaults(command: Command, defaults: &[(&'static str, &'static str)]) -> Command {
    defaults.iter().fold(command, |command, (flag, value)| {
        command.mut_arg(flag.replace('-', "_"), |arg| arg.default_value(*value))
    })
}

/// Defaults that apply where another flag is given.
fn with_defaults_of(command: Command, defaults: &[(&'static str, &'static str, &'static str)]) -> Command {
    defaults.iter().fold(command, |command, (given, flag, value)| {
        let given = given.replace('-', "_");
        command.mut_arg(flag.replace('-', "_"), |arg| {
            arg.default_value_if(given, ArgPredicate::IsPresent, Some(*value))
        })
    })
}

#[cfg(test)]
mod tests {
    use crate::tools;

    #[test]
    fn a_mode_chooses_variants_if_it_has_the_flag() {
        let chooses = |tool: &super::Tool, mode| tool.chooses_variants(tool.mode(mode).unwrap());
        for (mode, expected) in [("storm", true), ("duel", true), ("race", false), ("flap", false)] {
            assert_eq!(chooses(&tools::TAKEOVER, mode), expected, "{mode}");
        }
        let double_connect = &tools::DOUBLE_CONNECT;
        assert!(double_connect.chooses_variants(double_connect.default_mode()));
    }

    #[test]
    fn idle_connections_have_no_warm_up_and_loads_no_bystanders() {
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
    fn a_flag_that_a_mode_rejects_is_not_in_its_help() {
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
