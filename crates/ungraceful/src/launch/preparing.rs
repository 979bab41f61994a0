//! From the command line to a run that can be made: everything is read and checked, and all mistakes are told together.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::FromArgMatches;
use clap::parser::ValueSource;
use ungraceful_faults::mode::{AttemptsOf, Call as FaultCall, ConnectionsOf, FaultPlan, Mode as FaultMode};
use ungraceful_flags::{Mistake, TIME_MAX};
use ungraceful_load::Engine;
use ungraceful_record::rate_search::Promise;
use ungraceful_record::run::{Setting, SettingSource, ToolRecord};
use ungraceful_rig::broker::target::{BrokerChoice, Credentials, Target, TargetSettings};
use ungraceful_rig::error::RunError;
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_rig::run::bound::{AttemptWaits, Bound, Waits};
use ungraceful_rig::run::seed::Seed;
use ungraceful_rig::run::settings::{Attempts, Common, Experiment, ScheduleSettings, Spread, Work};

use super::{Call, LoadMode};
use crate::cli::common::{
    ATTEMPTS_MAX, EveryRunArgs, EveryRunSettings, OutputArgs, RunArgs, RunSettings, cores,
};
use crate::cli::parse::{Parsed, without_secrets};
use crate::cli::target::TargetArgs;

/// Reads and checks everything; all mistakes are told together.
pub(crate) fn prepare(
    call: &Call<'_>,
    mode: &dyn FaultMode,
    parsed: &Parsed,
) -> Result<(Common, Attempts, OutputArgs), RunError> {
    let read = "the flags are those of the tool's command";
    let target = TargetArgs::from_arg_matches(&parsed.matches).expect(read);
    let run = RunArgs::from_arg_matches(&parsed.matches).expect(read);
    let output = OutputArgs::from_arg_matches(&parsed.matches).expect(read);
    let mut mistakes = parsed.mistakes.clone();
    let mut target_settings = target.settings(mode.wanted(&parsed.matches), &mut mistakes);
    if mode.administers() {
        target_settings.broker = target_settings.broker.administered();
        mistakes.extend(users_of_its_own(&target_settings));
    }
    let watch = target.watch(&mut mistakes);
    let settings = run.settings(&mut mistakes);
    let of_run = FaultCall { reaction_timeout: settings.reaction_timeout, broker: &target_settings.broker };
    let plan = mode.plan(&parsed.matches, &of_run, &mut mistakes);
    check_plan(&settings, mode, &plan, &mut mistakes);
    mistakes.extend(without_effect(&parsed.settings, mode.attempts()));
    check_target(&target_settings.broker, target_settings.owned_host.as_deref(), &mut mistakes)?;
    let folder = output.output.clone();
    if let Some(folder) = folder.as_ref().filter(|_| !output.print_plan) {
        check_folder(folder, &mut mistakes);
    }
    if !mistakes.is_empty() {
        return Err(RunError::Usage(mistakes));
    }
    let schedule = ScheduleSettings {
        attempts_per_case: attempts_per_case(&settings, mode.attempts(), cases(&plan)),
        spread: match mode.attempts() {
            AttemptsOf::Flags | AttemptsOf::Clients => {
                Spread::Rate { per_second: settings.per_second, arrival: settings.every.arrival }
            }
            AttemptsOf::EachWave => Spread::Waves,
        },
    };
    let bound = bound_of_attempts(&settings, &plan, &schedule, &target_settings);
    let attempts = Attempts {
        faults: plan.make,
        schedule,
        restart: plan.restart,
        clients: settings.clients,
        reaction_timeout: settings.reaction_timeout,
        will_wait: settings.will_wait,
        attempts_max: settings.attempts_max,
    };
    let common = Common {
        tool: tool_record(call),
        command: without_secrets(call.arguments),
        settings: recorded_settings(parsed, &target_settings.credentials, mode.attempts()),
        target: target_settings,
        phases: settings.every.phases,
        connections: connections(plan.connections, &settings),
        threads: settings.threads,
        bystanders: settings.every.bystanders.clone(),
        bound,
        client_id_prefix: run.every.client_id_prefix.clone(),
        seed: settings.every.seed,
        output: folder.unwrap_or_else(|| default_folder(call, settings.every.seed)),
        slip_limit: settings.every.slip_limit,
        watch,
        checks: [mode.checks(), ungraceful_record::checks::CHECKS.to_vec()].concat(),
        thresholds: Vec::new(),
    };
    Ok((common, attempts, output))
}

/// Connections that the attempts have at the same time, at the most.
fn connections(of: ConnectionsOf, settings: &RunSettings) -> u64 {
    /// How long an attempt goes on after the time the broker has to react, at the most.
    const BESIDES_S: f64 = 2.0;
    let clients = u64::from(settings.clients.get());
    match of {
        ConnectionsOf::EachClient(connections) => clients * connections,
        ConnectionsOf::EachClientAndAttempt => {
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
    let mut mistakes = parsed.mistakes.clone();
    let settings = run.settings(&mut mistakes);
    let plan = mode.load_plan(&parsed.matches, &parsed.settings, settings.arrival, &mut mistakes);
    let target_settings = target.settings(plan.wanted, &mut mistakes);
    if target_settings.tls.is_some() {
        let what =
            "loads do not support TLS yet; the tools that provoke faults do. Give a port for plain TCP";
        mistakes.push(Mistake::new("--tls", what));
    }
    let watch = target.watch(&mut mistakes);
    check_target(&target_settings.broker, target_settings.owned_host.as_deref(), &mut mistakes)?;
    let folder = output.output.clone();
    if let Some(folder) = folder.as_ref().filter(|_| !output.print_plan) {
        check_folder(folder, &mut mistakes);
    }
    if !mistakes.is_empty() {
        return Err(RunError::Usage(mistakes));
    }
    let load = plan.load;
    let clients = NonZeroU32::new(load.clients()).unwrap_or(NonZeroU32::MIN);
    let threads = settings.threads.unwrap_or_else(|| threads_for(clients));
    let bound = Bound::of_load(waits_of(&settings, &target_settings), load.waits(threads.get()));
    let engine = Engine::new(load);
    let common = Common {
        tool: tool_record(call),
        command: without_secrets(call.arguments),
        settings: recorded_settings(parsed, &target_settings.credentials, AttemptsOf::Flags),
        target: target_settings,
        phases: settings.phases,
        connections: u64::from(clients.get()),
        threads,
        bystanders: settings.bystanders.clone(),
        bound,
        client_id_prefix: run.client_id_prefix.clone(),
        seed: settings.seed,
        output: folder.unwrap_or_else(|| default_folder(call, settings.seed)),
        slip_limit: settings.slip_limit,
        watch,
        checks: [call.mode.checks(), ungraceful_record::checks::WITHOUT_ATTEMPTS.to_vec()].concat(),
        thresholds: plan.thresholds,
    };
    let experiment = Experiment { common, work: Work::Load(Arc::new(engine.clone())) };
    Ok(ReadyLoad { experiment, engine, output, promise: plan.promise })
}

/// Threads for so many clients: one is enough for hundreds, and leaves the other cores free.
fn threads_for(clients: NonZeroU32) -> NonZeroU32 {
    const CLIENTS_EACH: u32 = 500;
    NonZeroU32::new(clients.get().div_ceil(CLIENTS_EACH)).unwrap_or(NonZeroU32::MIN).min(cores())
}

/// The settings for the record: those that count. Of a URL it is told at the most that it was given, because it may hold a
/// password; the User Name in it is told.
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

/// How long the attempts can take at the most, when the broker speaks every version that is asked for.
fn bound_of_attempts(
    settings: &RunSettings,
    plan: &FaultPlan,
    schedule: &ScheduleSettings,
    target: &TargetSettings,
) -> Bound {
    let faults = (plan.make)(&plan.wanted.versions);
    let cases = u16::try_from(faults.len()).unwrap_or(u16::MAX);
    let waits = AttemptWaits {
        schedule: &schedule.schedule(cases, settings.every.seed),
        threads: settings.threads,
        gathers: faults.iter().any(|fault| fault.gathers()),
        reaction_timeout: settings.reaction_timeout,
        will_wait: settings.will_wait,
        longest_pause: plan.longest_pause,
        restart_within: plan.restart.as_ref().map_or(Duration::ZERO, |restart| restart.within),
    };
    Bound::of_attempts(waits_of(&settings.every, target), waits)
}

fn waits_of<'a>(settings: &EveryRunSettings, target: &'a TargetSettings) -> Waits<'a> {
    Waits { target, phases: settings.phases, bystander_pairs: settings.bystanders.pairs }
}

/// Cases when the broker speaks every version that is asked for.
fn cases(plan: &FaultPlan) -> u64 {
    (plan.make)(&plan.wanted.versions).len() as u64
}

fn attempts_per_case(settings: &RunSettings, of: AttemptsOf, cases: u64) -> u64 {
    let cases = cases.max(1);
    match of {
        AttemptsOf::Flags => settings.attempts.per_case(settings.per_second, cases),
        AttemptsOf::Clients => (u64::from(settings.clients.get()) / cases).max(1),
        AttemptsOf::EachWave => settings.clients.get().into(),
    }
}

fn check_plan(settings: &RunSettings, mode: &dyn FaultMode, plan: &FaultPlan, mistakes: &mut Vec<Mistake>) {
    let cases = cases(plan);
    if cases == 0 {
        // Why there is none has been told.
        return;
    }
    let clients = u64::from(settings.clients.get());
    if mode.attempts() == AttemptsOf::Clients && clients < cases {
        let what = format!(
            "{clients} is too few for {cases} cases; give at least {cases}, or fewer variants or versions"
        );
        mistakes.push(Mistake::new("--count", what));
    }
    let all = attempts_per_case(settings, mode.attempts(), cases).saturating_mul(cases);
    if all > ATTEMPTS_MAX {
        let what = format!("{all} attempts in all are more than the {ATTEMPTS_MAX} that a run may have");
        mistakes.push(Mistake::new("--attempts", what));
    }
    if mode.attempts() == AttemptsOf::EachWave {
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
    if folder.join(ungraceful_rig::measure::recorder::RUN_JSON).exists() {
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

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use ungraceful_record::run::{Setting, SettingSource};
    use ungraceful_rig::broker::target::{Credentials, Secret};

    use super::super::Tool;
    use super::{AttemptsOf, recorded_settings, without_effect};
    use crate::cli::parse::{Parsed, parse};
    use crate::tools;

    fn parsed(tool: &Tool, mode: &str, flags: &[&str]) -> Parsed {
        let arguments: Vec<OsString> = ["tool"].iter().chain(flags).map(OsString::from).collect();
        parse(&tool.mode_command(tool.mode(mode).unwrap()), &arguments).unwrap()
    }

    #[test]
    fn the_user_name_of_a_url_is_a_setting_and_its_password_is_not() {
        let with = |flags: &[&str], name: &str| {
            let password = Some(Secret::new("hunter2"));
            let credentials = Credentials { user_name: Some(name.into()), password };
            let parsed = parsed(&tools::TAKEOVER, "race", flags);
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
        let parsed = |flags: &[&str]| parsed(&tools::TAKEOVER, "storm", flags);
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
}
