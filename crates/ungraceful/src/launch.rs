//! The launch of a tool, the same for all: arguments, plan, run, report, exit code.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use ungraceful_load::Engine;
use ungraceful_load::settings::LoadSettings;
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::Statement;
use ungraceful_report::progress::{ProgressStyle, Terminal};
use ungraceful_report::{Context, Format, render};
use ungraceful_rig::clock::RunClock;
use ungraceful_rig::error::{Mistake, RunError};
use ungraceful_rig::exit::Exit;
use ungraceful_rig::outage::Restart;
use ungraceful_rig::plan::Arrival;
use ungraceful_rig::rate_search::Promise;
use ungraceful_rig::record::{Setting, SettingSource, ToolRecord};
use ungraceful_rig::run::{Experiment, Finished, MakeFaults, ScheduleSettings, Spread, Work, run};
use ungraceful_rig::seed::Seed;
use ungraceful_rig::target::{BrokerChoice, Credentials, Target, TargetSettings};
use ungraceful_rig::threshold::Threshold;
use ungraceful_rig::verdict::{Check, exit_of};

use crate::cli::common::{ATTEMPTS_MAX, EveryRunArgs, OutputArgs, RunArgs, RunSettings, TIME_MAX, cores};
use crate::cli::parse::{NotParsed, Parsed, exit_codes_text, parse, without_secrets};
use crate::cli::target::TargetArgs;
use crate::{find_rate, hidden, print_plan};

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
        command.after_long_help(exit_codes_text())
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
    pub make: Box<MakeFaults>,
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
            make: Box::new(|_versions| Vec::new()),
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
    fn of(self, settings: &RunSettings) -> u64 {
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
    const fn without(self) -> &'static [&'static str] {
        match self {
            Self::Flags => &[],
            Self::Clients => &["attempts", "duration"],
            Self::EachWave => &["attempts", "duration", "connrate", "arrival"],
        }
    }
}

/// Runs a tool.
pub fn main(tool: &Tool, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(exit) = hidden::command(&arguments) {
        return exit;
    }
    let named = arguments.get(1).and_then(|name| tool.mode(name.to_str()?));
    let mode = named.unwrap_or(tool.modes[0]);
    let call = Call { tool, mode, arguments: &arguments };
    let parsed = match named {
        Some(mode) => parse(&tool.mode_command(mode), &call.flags()),
        None => parse(&tool.command(), &arguments),
    };
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(NotParsed::Clap(error)) => {
            // A closed pipe is nobody's concern here.
            let _printed = error.print();
            if named.is_none()
                && error.use_stderr()
                && let Some(cure) = mode_comes_first(tool, &arguments[1..])
            {
                complain(&cure);
            }
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Holds.into() };
        }
        Err(NotParsed::Config(mistakes)) => return fail(&call, &RunError::Usage(mistakes)),
    };
    match launch(&call, &parsed) {
        Ok(exit) => exit.into(),
        Err(error) => fail(&call, &error),
    }
}

/// The cure for arguments that were refused and look as if a mode was meant: one that there is not, or one that comes
/// after a flag.
fn mode_comes_first(tool: &Tool, arguments: &[OsString]) -> Option<String> {
    let arguments: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let is_misplaced = arguments.iter().any(|argument| tool.mode(argument).is_some());
    let is_unknown = arguments.first().is_some_and(|argument| !argument.starts_with('-'));
    (tool.modes.len() > 1 && (is_misplaced || is_unknown)).then(|| {
        let modes: Vec<&str> = tool.modes.iter().map(|mode| mode.name()).collect();
        format!("modes of {}: {}; the mode comes first, its flags after it", tool.name, modes.join(", "))
    })
}

/// What was called, and how.
pub(crate) struct Call<'a> {
    pub(crate) tool: &'a Tool,
    pub(crate) mode: &'static dyn Mode,
    pub(crate) arguments: &'a [OsString],
}

impl Call<'_> {
    /// The arguments without the mode, which need not be named.
    pub(crate) fn flags(&self) -> Vec<OsString> {
        let names_mode = self.arguments.get(1).is_some_and(|name| name == self.mode.name());
        let skipped = if names_mode { 2 } else { 1 };
        self.arguments[..1].iter().chain(&self.arguments[skipped..]).cloned().collect()
    }

    /// The tool with its mode, as it is called.
    pub(crate) fn name(&self) -> String {
        let name = self.tool.name;
        self.mode_name().map_or_else(|| name.to_owned(), |mode| format!("{name} {mode}"))
    }

    /// The mode's name; absent for a tool that has one alone.
    fn mode_name(&self) -> Option<&'static str> {
        (self.tool.modes.len() > 1).then(|| self.mode.name())
    }
}

fn launch(call: &Call<'_>, parsed: &Parsed) -> Result<Exit, RunError> {
    if let Some(mode) = call.mode.load() {
        let ready = prepare_load(call, mode, parsed)?;
        let ReadyLoad { experiment, engine, output, promise } = &ready;
        let show = |format| print_plan::render_load(experiment, engine, promise.as_ref(), format);
        return match promise.as_ref().filter(|_| !output.print_plan) {
            Some(promise) => find_rate::find(call, mode, &ready, promise, format_of(output)),
            None => carry_out(call, experiment, Work::Load(engine), output, show),
        };
    }
    let (experiment, plan, output) = prepare(call, parsed)?;
    let show = |format| print_plan::render(&experiment, &plan, format);
    carry_out(call, &experiment, Work::Faults(plan.make.as_ref()), &output, show)
}

/// Makes the run and prints its result; or prints the plan.
fn carry_out(
    call: &Call<'_>,
    experiment: &Experiment,
    work: Work<'_>,
    output: &OutputArgs,
    show: impl Fn(Format) -> String,
) -> Result<Exit, RunError> {
    let format = format_of(output);
    if output.print_plan {
        return Ok(print(&show(format)));
    }
    let mut observer = Terminal::new(progress_style(output));
    let Finished { record, directory } = run(experiment, work, &mut observer)?;
    let context = Context { record_dir: Some(directory), ..shown_here() };
    let printed = print(&render(&record, format, &context));
    let exit = if printed == Exit::Environment { printed } else { exit_of(&record) };
    if exit == Exit::Environment && printed == Exit::Holds {
        complain(&format!(
            "{}: {}",
            call.tool.name,
            record.incomplete_because.as_deref().unwrap_or("the record failed")
        ));
    }
    Ok(exit)
}

/// The format of the result; text when it can't be read, which has been told by then.
fn format_of(output: &OutputArgs) -> Format {
    output.format.take("--format", &mut Vec::new()).unwrap_or(Format::Text)
}

/// How the progress of a run is shown.
pub(crate) fn progress_style(output: &OutputArgs) -> ProgressStyle {
    if output.quiet || output.no_progress { ProgressStyle::None } else { ProgressStyle::for_stderr() }
}

/// How results are shown on standard output: as wide as the terminal, and as long as they need in a pipe.
pub(crate) fn shown_here() -> Context {
    let is_terminal = std::io::stdout().is_terminal();
    let size = console::Term::stdout().size_checked().filter(|_| is_terminal);
    Context {
        record_dir: None,
        colour: is_terminal && wants_colour(),
        width: size.map(|(_rows, columns)| columns),
    }
}

fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Reads and checks everything; all mistakes are told together.
pub(crate) fn prepare(
    call: &Call<'_>,
    parsed: &Parsed,
) -> Result<(Experiment, FaultPlan, OutputArgs), RunError> {
    let read = "the flags are those of the tool's command";
    let target = TargetArgs::from_arg_matches(&parsed.matches).expect(read);
    let run = RunArgs::from_arg_matches(&parsed.matches).expect(read);
    let output = OutputArgs::from_arg_matches(&parsed.matches).expect(read);
    let mut mistakes = Vec::new();
    let plan = call.mode.fault_plan(&parsed.matches, &mut mistakes);
    let mut target_settings = target.settings(plan.versions.clone(), plan.versions_required, &mut mistakes);
    if call.mode.administers() {
        target_settings.broker = target_settings.broker.administered();
        mistakes.extend(users_of_its_own(&target_settings));
    }
    let watch = target.watch(&mut mistakes);
    let _checked = output.format.take("--format", &mut mistakes);
    let settings = run.settings(&mut mistakes);
    if let Some(settings) = &settings {
        check_plan(settings, &plan, &mut mistakes);
    }
    mistakes.extend(without_effect(&parsed.settings, plan.attempts));
    let restart = call.mode.restart(&parsed.matches, &target_settings.broker, &mut mistakes);
    check_target(&target_settings.broker, target_settings.owned_host.as_deref(), &mut mistakes)?;
    let folder = output.output.clone();
    if let Some(folder) = &folder
        && !output.print_plan
    {
        check_folder(folder, &mut mistakes);
    }
    let (Some(settings), true) = (settings, mistakes.is_empty()) else {
        return Err(RunError::Usage(mistakes));
    };
    let attempts_per_case = attempts_per_case(&settings, &plan);
    let experiment = Experiment {
        tool: tool_record(call),
        command: without_secrets(call.arguments),
        settings: recorded_settings(parsed, &target_settings.credentials, plan.attempts),
        target: target_settings,
        phases: settings.every.phases,
        schedule: ScheduleSettings {
            attempts_per_case,
            spread: match plan.attempts {
                AttemptsOf::Flags | AttemptsOf::Clients => {
                    Spread::Rate { per_second: settings.per_second, arrival: settings.every.arrival }
                }
                AttemptsOf::EachWave => Spread::Waves,
            },
        },
        restart,
        clients: settings.clients,
        connections: plan.connections.of(&settings),
        threads: settings.threads,
        bystanders: settings.every.bystanders.clone(),
        reaction_timeout: settings.reaction_timeout,
        will_wait: settings.will_wait,
        client_id_prefix: run.every.client_id_prefix.clone(),
        seed: settings.every.seed,
        output: folder.unwrap_or_else(|| default_folder(call, settings.every.seed)),
        attempts_max: settings.attempts_max,
        slip_limit: settings.every.slip_limit,
        watch,
        checks: [call.mode.checks(), ungraceful_rig::checks::CHECKS.to_vec()].concat(),
        thresholds: Vec::new(),
    };
    Ok((experiment, plan, output))
}

fn tool_record(call: &Call<'_>) -> ToolRecord {
    ToolRecord {
        name: call.tool.name.to_owned(),
        mode: call.mode_name().map(ToOwned::to_owned),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("UNGRACEFUL_COMMIT").map(ToOwned::to_owned),
        chooses_variants: call.tool.chooses_variants(call.mode),
    }
}

/// A load that can be made.
pub(crate) struct ReadyLoad {
    pub(crate) experiment: Experiment,
    pub(crate) engine: Engine,
    pub(crate) output: OutputArgs,
    /// What the highest rate is searched for by; absent when the rate is given.
    pub(crate) promise: Option<Promise>,
}

/// Reads and checks everything of a load; all mistakes are told together.
pub(crate) fn prepare_load(
    call: &Call<'_>,
    mode: &dyn LoadMode,
    parsed: &Parsed,
) -> Result<ReadyLoad, RunError> {
    let read = "the flags are those of the tool's command";
    let target = TargetArgs::from_arg_matches(&parsed.matches).expect(read);
    let run = EveryRunArgs::from_arg_matches(&parsed.matches).expect(read);
    let output = OutputArgs::from_arg_matches(&parsed.matches).expect(read);
    let mut mistakes = Vec::new();
    let settings = run.settings(&mut mistakes);
    let arrival = settings.as_ref().map_or(Arrival::Uniform, |settings| settings.arrival);
    let plan = mode.load_plan(&parsed.matches, &parsed.settings, arrival, &mut mistakes);
    let target_settings = target.settings(plan.versions.clone(), plan.versions_required, &mut mistakes);
    let watch = target.watch(&mut mistakes);
    let _checked = output.format.take("--format", &mut mistakes);
    check_target(&target_settings.broker, target_settings.owned_host.as_deref(), &mut mistakes)?;
    let folder = output.output.clone();
    if let Some(folder) = folder.as_ref().filter(|_| !output.print_plan) {
        check_folder(folder, &mut mistakes);
    }
    let (Some(settings), Some(load), true) = (settings, plan.load, mistakes.is_empty()) else {
        return Err(RunError::Usage(mistakes));
    };
    let clients = NonZeroU32::new(load.clients()).unwrap_or(NonZeroU32::MIN);
    let experiment = Experiment {
        tool: tool_record(call),
        command: without_secrets(call.arguments),
        settings: recorded_settings(parsed, &target_settings.credentials, AttemptsOf::Flags),
        target: target_settings,
        phases: settings.phases,
        schedule: ScheduleSettings {
            attempts_per_case: 0,
            spread: Spread::Rate { per_second: 1.0, arrival },
        },
        restart: None,
        clients,
        connections: u64::from(clients.get()),
        threads: settings.threads.unwrap_or_else(|| threads_for(clients)),
        bystanders: settings.bystanders.clone(),
        // A load waits for no reaction and no Will.
        reaction_timeout: Duration::from_secs(5),
        will_wait: Duration::ZERO,
        client_id_prefix: run.client_id_prefix.clone(),
        seed: settings.seed,
        output: folder.unwrap_or_else(|| default_folder(call, settings.seed)),
        attempts_max: 0,
        slip_limit: settings.slip_limit,
        watch,
        checks: [call.mode.checks(), ungraceful_rig::checks::WITHOUT_ATTEMPTS.to_vec()].concat(),
        thresholds: plan.thresholds,
    };
    Ok(ReadyLoad { experiment, engine: Engine::new(load), output, promise: plan.promise })
}

/// Threads for so many clients: one is enough for hundreds, and shares the cores with nobody.
fn threads_for(clients: NonZeroU32) -> NonZeroU32 {
    const CLIENTS_EACH: u32 = 500;
    NonZeroU32::new(clients.get().div_ceil(CLIENTS_EACH)).unwrap_or(NonZeroU32::MIN).min(cores())
}

/// The settings for the record: those that count. A URL is not among them, because it may hold a password; the User
/// Name in it is.
fn recorded_settings(
    parsed: &Parsed,
    credentials: &Credentials,
    attempts: AttemptsOf,
) -> BTreeMap<String, Setting> {
    let mut settings = parsed.settings.clone();
    settings.retain(|name, _| !attempts.without().contains(&name.as_str()));
    if let Some(name) = &credentials.user_name {
        let source = match parsed.matches.value_source("url") {
            Some(ValueSource::CommandLine) => SettingSource::Flag,
            Some(ValueSource::EnvVariable) => SettingSource::Environment,
            _ => SettingSource::File,
        };
        settings.entry("username".to_owned()).or_insert_with(|| Setting { value: name.clone(), source });
    }
    settings
}

/// What was given and would not count where the clients are the attempts. An environment may be meant for other calls.
fn without_effect(
    settings: &BTreeMap<String, Setting>,
    attempts: AttemptsOf,
) -> impl Iterator<Item = Mistake> {
    let given = attempts.without().iter().filter(|name| {
        let source = settings.get(**name).map(|setting| setting.source);
        matches!(source, Some(SettingSource::Flag | SettingSource::File))
    });
    let what = match attempts {
        AttemptsOf::EachWave => "all clients of a case act at one instant; leave it out and give --count",
        AttemptsOf::Flags | AttemptsOf::Clients => "each client acts once; leave it out and give --count",
    };
    given.map(move |name| Mistake::new(format!("--{name}"), what))
}

/// Cases when the broker speaks every version that is asked for.
fn cases(plan: &FaultPlan) -> u64 {
    (plan.make)(&plan.versions).len() as u64
}

fn attempts_per_case(settings: &RunSettings, plan: &FaultPlan) -> u64 {
    let cases = cases(plan).max(1);
    match plan.attempts {
        AttemptsOf::Flags => settings.attempts.per_case(settings.per_second, cases),
        AttemptsOf::Clients => (u64::from(settings.clients.get()) / cases).max(1),
        AttemptsOf::EachWave => settings.clients.get().into(),
    }
}

fn check_plan(settings: &RunSettings, plan: &FaultPlan, mistakes: &mut Vec<Mistake>) {
    let cases = cases(plan);
    if cases == 0 {
        // Why there is none has been told.
        return;
    }
    let clients = u64::from(settings.clients.get());
    if plan.attempts == AttemptsOf::Clients && clients < cases {
        let what = format!(
            "{clients} is too few for {cases} cases; give at least {cases}, or fewer variants or versions"
        );
        mistakes.push(Mistake::new("--count", what));
    }
    let all = attempts_per_case(settings, plan).saturating_mul(cases);
    if all > ATTEMPTS_MAX {
        let what = format!("{all} attempts in all are more than the {ATTEMPTS_MAX} that a run may have");
        mistakes.push(Mistake::new("--attempts", what));
    }
    if plan.attempts == AttemptsOf::EachWave {
        return;
    }
    // Counts are far below 2^53, where a float is exact.
    #[expect(clippy::cast_precision_loss, reason = "attempts are bounded by ATTEMPTS_MAX just above")]
    let seconds = all as f64 / settings.per_second;
    if seconds > TIME_MAX.as_secs_f64() {
        let what =
            format!("{all} attempts at {} per second last longer than the 24h of a run", settings.per_second);
        mistakes.push(Mistake::new("--connrate", what));
    }
}

/// An administered broker of ours knows no user but those that it is told of in the run.
fn users_of_its_own(target: &TargetSettings) -> Option<Mistake> {
    let is_ours = target.broker == BrokerChoice::SpawnAdministeredMosquitto;
    (is_ours && target.credentials.user_name.is_some()).then(|| {
        Mistake::new("--username", "the Mosquitto that this mode starts has users of its own; leave it out")
    })
}

/// Resolves the host, so that a refused one is told with everything else.
fn check_target(
    broker: &BrokerChoice,
    owned: Option<&str>,
    mistakes: &mut Vec<Mistake>,
) -> Result<(), RunError> {
    let BrokerChoice::Host { host, port } = broker else { return Ok(()) };
    if host.trim().is_empty() {
        return Ok(());
    }
    match Target::resolve(host, *port, owned) {
        Ok(_) => Ok(()),
        Err(RunError::Usage(refusal)) => {
            mistakes.extend(refusal);
            Ok(())
        }
        // What is wrong with the call is told first: it can be mended without the network.
        Err(_) if !mistakes.is_empty() => Ok(()),
        Err(error) => Err(error),
    }
}

/// A folder that can't be written is told with everything else, before the run makes it.
fn check_folder(folder: &PathBuf, mistakes: &mut Vec<Mistake>) {
    let mut mistake = |what: String| mistakes.push(Mistake::new("--output", what));
    if folder.join(ungraceful_rig::recorder::RUN_JSON).exists() {
        mistake(format!(
            "{} holds a record already, and none is overwritten; choose another",
            folder.display()
        ));
        return;
    }
    let existed = folder.exists();
    let tried = std::fs::create_dir_all(folder).and_then(|()| {
        let probe = folder.join(".ungraceful-write-probe");
        std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(probe))
    });
    if let Err(error) = tried {
        mistake(format!("cannot write into {}: {error}; choose another folder", folder.display()));
    }
    if !existed {
        let _empty_or_not_there = std::fs::remove_dir(folder);
    }
}

fn default_folder(call: &Call<'_>, seed: Seed) -> PathBuf {
    let started = RunClock::start().started();
    let stamp = started.strftime("%Y%m%dT%H%M%SZ");
    let name = call.tool.name.trim_start_matches("ungraceful-");
    let name = call.mode_name().map_or_else(|| name.to_owned(), |mode| format!("{name}-{mode}"));
    PathBuf::from("results").join(format!("{stamp}-{name}-{seed}"))
}

fn fail(call: &Call<'_>, error: &RunError) -> ExitCode {
    fail_as(call.tool.name, &call.name(), error)
}

/// Tells on standard error why there was no run; `called` is what has the help text.
pub(crate) fn fail_as(name: &str, called: &str, error: &RunError) -> ExitCode {
    match error {
        RunError::Usage(mistakes) => {
            for mistake in mistakes {
                complain(&format!("{name}: {mistake}"));
            }
            complain(&format!("nothing was sent; see {called} --help"));
        }
        RunError::Environment(_) | RunError::Interrupted | RunError::Bug(_) => {
            complain(&format!("{name}: {error}"));
        }
    }
    error.exit().into()
}

/// Prints a result. A reader that has gone (`| head`) is nobody's concern; a result that can't be written is.
pub(crate) fn print(text: &str) -> Exit {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot write the result to standard output: {error}"));
            Exit::Environment
        }
        Ok(()) | Err(_) => Exit::Holds,
    }
}

/// Prints a part of a result that goes on. Whether somebody still reads it.
pub(crate) fn is_read(text: &str) -> bool {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).is_ok()
}

/// Prints a mistake or trouble. What comes from outside is in it, so control characters are shown and not sent.
pub(crate) fn complain(text: &str) {
    let mut errors = std::io::stderr().lock();
    let _closed_pipe = writeln!(errors, "{}", ungraceful_report::escape::plain(text));
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use ungraceful_rig::record::{Setting, SettingSource};
    use ungraceful_rig::target::{Credentials, Secret};

    use super::{AttemptsOf, Parsed, mode_comes_first, parse, recorded_settings, without_effect};
    use crate::tools;

    fn parsed(tool: &super::Tool, mode: &str, flags: &[&str]) -> Parsed {
        let arguments: Vec<OsString> = ["tool"].iter().chain(flags).map(OsString::from).collect();
        parse(&tool.mode_command(tool.mode(mode).unwrap()), &arguments).unwrap()
    }

    #[test]
    fn a_mode_chooses_variants_when_it_has_the_flag_for_it() {
        let chooses = |tool: &super::Tool, mode| tool.chooses_variants(tool.mode(mode).unwrap());
        for (mode, expected) in [("storm", true), ("duel", true), ("race", false), ("flap", false)] {
            assert_eq!(chooses(&tools::takeover::TOOL, mode), expected, "{mode}");
        }
        let double_connect = &tools::double_connect::TOOL;
        assert!(double_connect.chooses_variants(double_connect.modes[0]));
    }

    #[test]
    fn the_user_name_of_a_url_is_a_setting_and_its_password_is_not() {
        let with = |flags: &[&str], name: &str| {
            let password = Some(Secret::new("hunter2"));
            let credentials = Credentials { user_name: Some(name.into()), password };
            let parsed = parsed(&tools::takeover::TOOL, "race", flags);
            let settings = recorded_settings(&parsed, &credentials, AttemptsOf::Flags);
            assert!(settings.values().all(|setting| !setting.value.contains("hunter2")), "{settings:?}");
            settings["username"].clone()
        };
        let flag = |value: &str| Setting { value: value.into(), source: SettingSource::Flag };
        let url = ["--url", "mqtt://me:hunter2@127.0.0.1"];
        assert_eq!(with(&url, "me"), flag("me"));
        assert_eq!(with(&[&url[..], &["--username", "other"]].concat(), "other"), flag("other"));
    }
    #[test]
    fn where_clients_are_the_attempts_a_number_of_attempts_is_a_mistake_and_no_setting() {
        let parsed = |flags: &[&str]| parsed(&tools::takeover::TOOL, "storm", flags);
        let told = |flags: &[&str]| {
            let settings = parsed(flags).settings;
            without_effect(&settings, AttemptsOf::Clients).map(|mistake| mistake.flag).collect::<Vec<_>>()
        };
        assert_eq!(told(&["--count", "50"]), Vec::<String>::new());
        assert_eq!(told(&["--attempts", "50", "-z", "5s"]), ["--attempts", "--duration"]);
        let nobody = Credentials { user_name: None, password: None };
        let settings = recorded_settings(&parsed(&[]), &nobody, AttemptsOf::Clients);
        assert!(settings.contains_key("count") && !settings.contains_key("attempts"), "{settings:?}");
        let given = parsed(&["--connrate", "7", "--attempts", "5"]).settings;
        let flags =
            |attempts| without_effect(&given, attempts).map(|mistake| mistake.flag).collect::<Vec<_>>();
        assert_eq!(flags(AttemptsOf::EachWave), ["--attempts", "--connrate"], "nor does a rate, in waves");
        assert_eq!(flags(AttemptsOf::Flags), Vec::<String>::new());
    }

    #[test]
    fn a_mode_that_there_is_not_and_one_after_a_flag_are_told_the_modes() {
        let told = |tool, arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            mode_comes_first(tool, &arguments)
        };
        let flood = &tools::flood::TOOL;
        for arguments in [&["nope"][..], &["--attempts", "3", "quota-leak"]] {
            let cure = told(flood, arguments).unwrap();
            assert!(cure.contains("quota-leak, ") && cure.contains("the mode comes first"), "{cure}");
        }
        assert_eq!(told(flood, &["--no-such-flag"]), None, "and what is no mode is another mistake");
        assert_eq!(told(&tools::double_connect::TOOL, &["nope"]), None, "it has one mode alone");
    }
}
