//! Prepares a run: reads and checks the command line and reports all mistakes together.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::parser::ValueSource;
use ungraceful_faults::mode::{AttemptsOf, Call as FaultCall, ConnectionsOf, FaultPlan, Mode as FaultMode};
use ungraceful_flags::{Mistake, TIME_MAX};
use ungraceful_load::Engine;
use ungraceful_load::process::Processes;
use ungraceful_load::settings::LoadSettings;
use ungraceful_record::rate_search::Promise;
use ungraceful_record::run::{Setting, SettingSource, ToolRecord};
use ungraceful_rig::broker::target::{BrokerChoice, Credentials, Target, TargetSettings};
use ungraceful_rig::broker::watch::WatchSettings;
use ungraceful_rig::error::RunError;
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_rig::run::bound::{AttemptWaits, Bound, Waits};
use ungraceful_rig::run::seed::Seed;
use ungraceful_rig::run::settings::{Attempts, Common, Experiment, ScheduleSettings, Spread, Work};

use super::{Call, LoadMode};
use crate::cli::common::{
    ATTEMPTS_MAX, EveryRunArgs, EveryRunSettings, OutputArgs, RunArgs, RunSettings, cores,
};
use crate::cli::gates::{check_promise, check_subjects};
use crate::cli::load::ConnectArgs;
use crate::cli::parse::{Parsed, without_secrets};
use crate::cli::target::TargetArgs;
use crate::junit_file::JunitFile;
use crate::live;
use ungraceful_record::figures::Needs;

/// Reads and checks a run of attempts; all mistakes are reported together.
pub(crate) fn prepare(
    call: &Call<'_>,
    mode: &dyn FaultMode,
    parsed: &Parsed,
) -> Result<(Common, Attempts, OutputArgs), RunError> {
    let (target, run, output) =
        (parsed.read::<TargetArgs>(), parsed.read::<RunArgs>(), parsed.read::<OutputArgs>());
    let mut mistakes = parsed.mistakes.clone();
    let mut target_settings = target.settings(mode.wanted(&parsed.matches), &mut mistakes);
    if mode.administers() {
        target_settings.broker = target_settings.broker.administered();
        mistakes.extend(rejected_username(&target_settings));
    }
    let watch = target.watch(&mut mistakes);
    let settings = run.settings(&mut mistakes);
    let of_run = FaultCall {
        reaction_timeout: settings.reaction_timeout,
        attempts: run.attempts.get(),
        broker: &target_settings.broker,
    };
    let plan = mode.plan(&parsed.matches, &of_run, &mut mistakes);
    check_plan(&settings, mode, &plan, &mut mistakes);
    let without_load = (Needs::Load, "it needs a load of well-behaved clients; use ungraceful-bench");
    let gates = &run.every.gates;
    let lacks = lacking(without_load, &settings.every, &target_settings, &watch);
    let thresholds = gates.thresholds(&lacks, &Vec::new(), &mut mistakes);
    let accepted = gates.accepted(&call.mode.all_checks(), &mut mistakes);
    mistakes.extend(flags_without_effect(&parsed.settings, mode.attempts()));
    mistakes.extend(JunitFile::overwritten_input(&output, &parsed.inputs));
    live::check(&output, &parsed.inputs, &mut mistakes);
    check(&target_settings, &output, mistakes)?;
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
        tool: tool_record(call, parsed),
        command: without_secrets(call.arguments),
        settings: recorded_settings(parsed, &target_settings.clients.credentials, mode.attempts()),
        target: target_settings,
        phases: settings.every.phases,
        connections: connections(plan.connections, &settings),
        threads: settings.threads,
        bystanders: settings.every.bystanders.clone(),
        bound,
        client_id_prefix: run.every.client_id_prefix.clone(),
        seed: settings.every.seed,
        output: output.output.clone().unwrap_or_else(|| default_folder(call, settings.every.seed)),
        slip_limit: settings.every.slip_limit,
        watch,
        checks: call.mode.all_checks(),
        thresholds,
        accepted,
    };
    Ok((common, attempts, output))
}

/// Maximum number of connections of attempts at the same time.
fn connections(of: ConnectionsOf, settings: &RunSettings) -> u64 {
    /// How long an attempt may continue after the reaction timeout.
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
                reason = "rates and times are positive, and large values are bounded by the clients"
            )]
            let under_way = under_way as u64;
            clients + under_way.min(clients)
        }
    }
}

fn tool_record(call: &Call<'_>, parsed: &Parsed) -> ToolRecord {
    ToolRecord {
        name: call.tool.name.to_owned(),
        mode: call.mode_name().map(ToOwned::to_owned),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("BUILT_FROM_COMMIT").map(ToOwned::to_owned),
        chooses_variants: call.tool.chooses_variants(call.mode),
        arguments: parsed.arguments.clone(),
        chooses_faults: call.mode.fault().is_some_and(FaultMode::chooses_faults),
    }
}

/// What a run does not have, so that thresholds on it can't be judged, each with what would: `kind` is what no run of its kind has.
fn lacking(
    kind: (Needs, &'static str),
    settings: &EveryRunSettings,
    target: &TargetSettings,
    watch: &WatchSettings,
) -> Vec<(Needs, &'static str)> {
    let bystanders = (settings.bystanders.pairs == 0)
        .then_some((Needs::Bystanders, "there are no bystanders; give --bystanders 3"));
    let is_unknown = matches!(target.broker, BrokerChoice::Host { .. }) && watch.pid.is_none();
    let process =
        is_unknown.then_some((Needs::BrokerProcess, "the broker's process is unknown; give --broker-pid"));
    [Some(kind), bystanders, process].into_iter().flatten().collect()
}

/// A load that is ready to run.
pub(crate) struct ReadyLoad {
    pub(crate) experiment: Experiment,
    pub(crate) engine: Engine,
    pub(crate) output: OutputArgs,
    /// The promise of a rate search; absent when the rate is given.
    pub(crate) promise: Option<Promise>,
}

/// Reads and checks a load; all mistakes are reported together.
pub(crate) fn prepare_load(call: &Call<'_>, mode: &LoadMode, parsed: &Parsed) -> Result<ReadyLoad, RunError> {
    let (target, run, output) =
        (parsed.read::<TargetArgs>(), parsed.read::<EveryRunArgs>(), parsed.read::<OutputArgs>());
    let mut mistakes = parsed.mistakes.clone();
    let settings = run.settings(&mut mistakes);
    let plan = (mode.plan)(parsed, settings.arrival, &mut mistakes);
    let target_settings = target.settings(plan.wanted, &mut mistakes);
    let watch = target.watch(&mut mistakes);
    let without_attempts = (Needs::Attempts, "a load provokes nothing; use a tool that injects a fault");
    let lacks = lacking(without_attempts, &settings, &target_settings, &watch);
    let thresholds = run.gates.thresholds(&lacks, &plan.never, &mut mistakes);
    let until = plan.load.until.iter().map(|until| (until.subject(), until.needs()));
    check_subjects(until, "--until", &lacks, &plan.never, &mut mistakes);
    check_promise(plan.promise.as_ref(), &plan.never, &mut mistakes);
    let accepted = run.gates.accepted(&call.mode.all_checks(), &mut mistakes);
    let load = plan.load;
    let number = parsed.read::<ConnectArgs>().processes(&load, &mut mistakes);
    mistakes.extend(JunitFile::overwritten_input(&output, &parsed.inputs));
    live::check(&output, &parsed.inputs, &mut mistakes);
    check(&target_settings, &output, mistakes)?;
    let clients = NonZeroU32::new(load.clients()).unwrap_or(NonZeroU32::MIN);
    let processes = Processes { number, arguments: call.arguments.to_vec() };
    let engine = Engine::new(load).in_processes(processes);
    let threads = engine.threads(settings.threads.unwrap_or_else(|| threads_for(clients)));
    let waits = engine.settings().waits(threads.get());
    let bound = Bound::of_load(waits_of(&settings, &target_settings, clients), waits);
    let common = Common {
        tool: tool_record(call, parsed),
        command: without_secrets(call.arguments),
        settings: recorded_settings(parsed, &target_settings.clients.credentials, AttemptsOf::Flags),
        target: target_settings,
        phases: settings.phases,
        connections: u64::from(clients.get()),
        threads,
        bystanders: settings.bystanders.clone(),
        bound,
        client_id_prefix: run.client_id_prefix.clone(),
        seed: settings.seed,
        output: output.output.clone().unwrap_or_else(|| default_folder(call, settings.seed)),
        slip_limit: settings.slip_limit,
        watch,
        checks: call.mode.all_checks(),
        thresholds,
        accepted,
    };
    let experiment = Experiment { common, work: Work::Load(Arc::new(engine.clone())) };
    Ok(ReadyLoad { experiment, engine, output, promise: plan.promise })
}

/// Reads the load and the target again, in a worker process of the run that has checked them.
pub(crate) fn prepare_worker(
    mode: &LoadMode,
    parsed: &Parsed,
) -> Result<(LoadSettings, TargetSettings), RunError> {
    let mut mistakes = parsed.mistakes.clone();
    let arrival = parsed.read::<EveryRunArgs>().arrival;
    let plan = (mode.plan)(parsed, arrival, &mut mistakes);
    let target = parsed.read::<TargetArgs>().settings(plan.wanted, &mut mistakes);
    if mistakes.is_empty() { Ok((plan.load, target)) } else { Err(RunError::Usage(mistakes)) }
}

/// Threads for this many clients: one is enough for hundreds, and leaves the other cores free.
fn threads_for(clients: NonZeroU32) -> NonZeroU32 {
    const CLIENTS_EACH: u32 = 500;
    NonZeroU32::new(clients.get().div_ceil(CLIENTS_EACH)).unwrap_or(NonZeroU32::MIN).min(cores())
}

/// The effective settings, for the record. Of a URL with credentials, which may contain a password, only the User Name is recorded.
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
        settings.entry("username".to_owned()).or_insert_with(|| Setting::new(name, source));
    }
    settings
}

/// Flags that were given but have no effect where the clients are the attempts. Environment variables may be meant for other calls.
fn flags_without_effect(
    settings: &BTreeMap<String, Setting>,
    attempts: AttemptsOf,
) -> impl Iterator<Item = Mistake> {
    let given = attempts.without().iter().filter(|name| {
        let source = settings.get(**name).map(|setting| setting.source);
        matches!(source, Some(SettingSource::Flag | SettingSource::File))
    });
    let what = match attempts {
        AttemptsOf::EachWave => "all clients of a case act at one instant; give --count instead",
        AttemptsOf::Flags | AttemptsOf::Clients => "each client acts once; give --count instead",
    };
    given.map(move |name| Mistake::new(format!("--{name}"), what))
}

/// How long the attempts can take at most, if the broker supports every selected version.
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
    Bound::of_attempts(waits_of(&settings.every, target, settings.clients), waits)
}

fn waits_of<'a>(settings: &EveryRunSettings, target: &'a TargetSettings, clients: NonZeroU32) -> Waits<'a> {
    let clients = u64::from(clients.get());
    Waits { target, phases: settings.phases, bystander_pairs: settings.bystanders.pairs, clients }
}

/// Cases, if the broker supports every selected version.
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
        // The reason has been reported.
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
        let what = format!("{all} attempts in total exceed the maximum of {ATTEMPTS_MAX} for a run");
        mistakes.push(Mistake::new("--attempts", what));
    }
    if mode.attempts() == AttemptsOf::EachWave {
        return;
    }
    // Counts are far below 2^53, where a float is exact.
    #[expect(clippy::cast_precision_loss, reason = "attempts are bounded by ATTEMPTS_MAX just above")]
    let seconds = all as f64 / settings.per_second;
    if seconds > TIME_MAX.as_secs_f64() {
        let what = format!(
            "{all} attempts at {} per second exceed the maximum of 24h for a run",
            settings.per_second
        );
        mistakes.push(Mistake::new("--connrate", what));
    }
}

/// A Mosquitto that this tool starts and administers has only the users of the run.
fn rejected_username(target: &TargetSettings) -> Option<Mistake> {
    if target.broker != BrokerChoice::SpawnAdministeredMosquitto {
        return None;
    }
    let rows = target.clients.file.as_ref().map_or(&[][..], |file| &file.rows);
    let flag = if target.clients.credentials.user_name.is_some() {
        "--username"
    } else if rows.iter().any(|row| row.user_name.is_some()) {
        "--clients-file"
    } else {
        return None;
    };
    let what = "the Mosquitto that this mode starts has its own users; leave the flag out";
    Some(Mistake::new(flag, what))
}

/// Checks the target and the folder, and reports their mistakes with all others.
fn check(target: &TargetSettings, output: &OutputArgs, mut mistakes: Vec<Mistake>) -> Result<(), RunError> {
    check_target(&target.broker, target.owned_host.as_deref(), &mut mistakes)?;
    for (host, port) in target.nodes.iter().flat_map(|nodes| nodes.further.clone()) {
        check_target(&BrokerChoice::Host { host, port }, target.owned_host.as_deref(), &mut mistakes)?;
    }
    if let Some(folder) = output.output.as_ref().filter(|_| !output.only_prints()) {
        check_folder(folder, &mut mistakes);
    }
    JunitFile::check(output, &mut mistakes);
    if mistakes.is_empty() { Ok(()) } else { Err(RunError::Usage(mistakes)) }
}

/// Resolves the host, so that a rejected one is reported with the other mistakes.
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
        // Mistakes of the call are reported first: fixing them needs no network.
        Err(_) if !mistakes.is_empty() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Reports a folder that can't be written, before the run creates it.
fn check_folder(folder: &PathBuf, mistakes: &mut Vec<Mistake>) {
    let mut mistake = |what: String| mistakes.push(Mistake::new("--output", what));
    if folder.join(ungraceful_rig::measure::recorder::RUN_JSON).exists() {
        mistake(format!(
            "{} already contains a record, and records are not overwritten; choose another folder",
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
    use super::{AttemptsOf, flags_without_effect, recorded_settings};
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
        let flag = |value: &str| Setting::new(value, SettingSource::Flag);
        let url = ["--url", "mqtt://me:hunter2@127.0.0.1"];
        assert_eq!(with(&url, "me"), flag("me"));
        assert_eq!(with(&[&url[..], &["--username", "other"]].concat(), "other"), flag("other"));
    }

    #[test]
    fn a_number_of_attempts_is_a_mistake_where_each_client_is_one() {
        let parsed = |flags: &[&str]| parsed(&tools::TAKEOVER, "storm", flags);
        let rejected = |flags: &[&str]| {
            let settings = parsed(flags).settings;
            flags_without_effect(&settings, AttemptsOf::Clients)
                .map(|mistake| mistake.flag)
                .collect::<Vec<_>>()
        };
        assert_eq!(rejected(&["--count", "50"]), Vec::<String>::new());
        assert_eq!(rejected(&["--attempts", "50", "-z", "5s"]), ["--attempts", "--duration"]);
        let none = Credentials { user_name: None, password: None };
        let settings = recorded_settings(&parsed(&[]), &none, AttemptsOf::Clients);
        assert!(settings.contains_key("count") && !settings.contains_key("attempts"), "{settings:?}");
        let given = parsed(&["--connrate", "7", "--attempts", "5"]).settings;
        let flags =
            |attempts| flags_without_effect(&given, attempts).map(|mistake| mistake.flag).collect::<Vec<_>>();
        assert_eq!(
            flags(AttemptsOf::EachWave),
            ["--attempts", "--connrate"],
            "in waves, a rate has no effect either"
        );
        assert_eq!(flags(AttemptsOf::Flags), Vec::<String>::new());
    }
}
