//! `--print-plan`: prints what would be sent and when, and every bound of the run. Sends nothing.

use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;
use ungraceful_load::Engine;
use ungraceful_load::pace::{Pace, Stage};
use ungraceful_record::rate_search::{Promise, TRIALS_MAX};
use ungraceful_record::run::transport;
use ungraceful_report::Format;
use ungraceful_rig::attempts::fault::Fault;
use ungraceful_rig::broker::target::{BrokerChoice, TargetSettings};
use ungraceful_rig::bystanders::{PAYLOAD_BYTES, honest_connections};
use ungraceful_rig::run::plan::{Arrival, Schedule};
use ungraceful_rig::run::settings::{Attempts, Common, Spread};

use crate::cli::load::RATE_MAX;

/// Maximum number of attempts in the text; JSON has all.
const ATTEMPTS_SHOWN: usize = 20;

#[derive(Serialize)]
struct Printed {
    tool: String,
    target: String,
    seed: u64,
    #[serde(flatten)]
    summary: Summary,
    attempts: Vec<PrintedAttempt>,
}

/// The plan of attempts without each attempt.
#[derive(Serialize)]
struct Summary {
    cases: Vec<PrintedCase>,
    bounds: Bounds,
}

#[derive(Serialize)]
struct PrintedCase {
    case: String,
    on_the_wire: String,
}

#[derive(Serialize)]
struct Bounds {
    attempts_max: u64,
    /// Absent when all attempts of a case are due at one instant.
    attempts_per_second_max: Option<f64>,
    misbehaving_clients_max: u64,
    bystander_connections_max: u64,
    bystander_messages_per_second_max: u64,
    duration_s_max: u64,
}

#[derive(Serialize)]
struct PrintedAttempt {
    attempt: u64,
    due_us: u64,
    case: String,
}

/// The plan of attempts as text or JSON.
pub(crate) fn render(common: &Common, attempts: &Attempts, format: Format) -> String {
    rendered(&printed(common, attempts), format, text)
}

/// The plan of attempts, without each attempt.
pub(crate) fn summary(common: &Common, attempts: &Attempts) -> serde_json::Value {
    let (schedule, faults) = scheduled(common, attempts);
    value(&summary_of(common, attempts, &schedule, &faults))
}

/// The plan of a load.
pub(crate) fn summary_of_load(common: &Common, engine: &Engine) -> serde_json::Value {
    let mut plan = value(&printed_load(common, engine, None));
    if let Some(plan) = plan.as_object_mut() {
        plan.retain(|key, _| !["tool", "target", "seed"].contains(&&**key));
    }
    plan
}

fn value(plan: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(plan).expect("plain data always serialises")
}

fn rendered<T: Serialize>(
    plan: &T,
    format: Format,
    text: fn(&T) -> Result<String, std::fmt::Error>,
) -> String {
    if format == Format::Json {
        let json = serde_json::to_string_pretty(plan).expect("plain data always serialises");
        return format!("{json}\n");
    }
    text(plan).expect("writing into a string never fails")
}

/// The first lines of a plan.
fn header(tool: &str, target: &str, seed: u64) -> String {
    format!(
        "{tool}: plan for a run against {target}; nothing is sent\nseed {seed} (--seed {seed} repeats this plan)\n\n"
    )
}

/// When each attempt is due, and the faults, if the broker supports every selected version.
fn scheduled(common: &Common, attempts: &Attempts) -> (Schedule, Vec<Arc<dyn Fault>>) {
    let faults = (attempts.faults)(&common.target.versions);
    let cases = u16::try_from(faults.len()).unwrap_or(u16::MAX);
    (attempts.schedule.schedule(cases, common.seed), faults)
}

fn printed(common: &Common, attempts: &Attempts) -> Printed {
    let (schedule, faults) = scheduled(common, attempts);
    let names: Vec<String> = faults.iter().map(|fault| fault.case().to_string()).collect();
    let due = schedule
        .plan
        .iter()
        .map(|due| PrintedAttempt {
            attempt: due.index,
            due_us: ungraceful_record::scale::micros(due.after),
            case: names[schedule.case_of(due.index)].clone(),
        })
        .collect();
    Printed {
        tool: common.tool.name.clone(),
        target: target(&common.target),
        seed: common.seed.0,
        summary: summary_of(common, attempts, &schedule, &faults),
        attempts: due,
    }
}

fn summary_of(
    common: &Common,
    attempts: &Attempts,
    schedule: &Schedule,
    faults: &[Arc<dyn Fault>],
) -> Summary {
    let pairs = common.bystanders.pairs;
    Summary {
        cases: faults
            .iter()
            .map(|fault| PrintedCase { case: fault.case().to_string(), on_the_wire: fault.describe() })
            .collect(),
        bounds: Bounds {
            attempts_max: schedule.plan.len(),
            attempts_per_second_max: match attempts.schedule.spread {
                Spread::Rate { per_second, .. } => Some(per_second),
                Spread::Waves => None,
            },
            misbehaving_clients_max: attempts.clients_at_once(faults.len()),
            bystander_connections_max: honest_connections(pairs),
            bystander_messages_per_second_max: pairs * common.bystanders.rate_per_pair,
            duration_s_max: common.bound.longest.as_secs(),
        },
    }
}

/// The broker of a run, in words.
pub(crate) fn target(target: &TargetSettings) -> String {
    match &target.broker {
        BrokerChoice::Embedded => "embedded broker on a free port of 127.0.0.1".to_owned(),
        BrokerChoice::SpawnMosquitto | BrokerChoice::SpawnAdministeredMosquitto => {
            "mosquitto, started on a free port of 127.0.0.1".to_owned()
        }
        BrokerChoice::Host { host, port } => {
            let transport = transport(target.tls_record(), target.websocket_record().as_ref());
            format!("{host} port {port}{transport}")
        }
    }
}

fn text(printed: &Printed) -> Result<String, std::fmt::Error> {
    let mut out = header(&printed.tool, &printed.target, printed.seed);
    let Summary { cases, bounds } = &printed.summary;
    writeln!(out, "Cases")?;
    for case in cases {
        writeln!(out, "  {:<44} {}", case.case, case.on_the_wire)?;
    }
    writeln!(out, "\nBounds")?;
    writeln!(out, "  attempts               {}", bounds.attempts_max)?;
    match bounds.attempts_per_second_max {
        Some(per_second) => writeln!(out, "  attempts per second    {per_second}")?,
        None => {
            writeln!(out, "  in waves               all attempts of a case at one instant, case after case")?;
        }
    }
    writeln!(out, "  misbehaving clients    {} at the same time", bounds.misbehaving_clients_max)?;
    writeln!(
        out,
        "  well-behaved clients   {} connections, {} messages per second of {PAYLOAD_BYTES} bytes",
        bounds.bystander_connections_max, bounds.bystander_messages_per_second_max
    )?;
    writeln!(out, "  duration               at most {} s, then the run is stopped", bounds.duration_s_max)?;
    let since = if bounds.attempts_per_second_max.is_some() { "the fault phase" } else { "their wave" };
    writeln!(out, "\nAttempts, by the time they are due after the start of {since}")?;
    for attempt in printed.attempts.iter().take(ATTEMPTS_SHOWN) {
        writeln!(out, "  {:>12} µs  #{:<6} {}", attempt.due_us, attempt.attempt, attempt.case)?;
    }
    let more = printed.attempts.len().saturating_sub(ATTEMPTS_SHOWN);
    if more > 0 {
        writeln!(out, "  and {more} more; --format json prints them all")?;
    }
    Ok(out)
}

#[derive(Serialize)]
struct PrintedLoad {
    tool: String,
    target: String,
    seed: u64,
    shape: String,
    release: &'static str,
    #[serde(skip)]
    publishes: bool,
    stages: Vec<PrintedStage>,
    /// The promise of a rate search; absent for a single run.
    finds_rate: Option<String>,
    bounds: LoadBounds,
}

#[derive(Serialize)]
struct PrintedStage {
    duration_ms: u64,
    messages_per_second: f64,
}

#[derive(Serialize)]
struct LoadBounds {
    connections_max: u32,
    connections_per_second_max: f64,
    /// Absent for a closed loop, which is bounded only by time.
    messages_per_second_max: Option<f64>,
    /// Absent for a text with placeholders, and when nothing is published.
    payload_bytes: Option<u64>,
    /// The largest packet that a client accepts.
    packet_bytes_max: usize,
    bystander_connections_max: u64,
    duration_s_max: u64,
}

/// The plan of a load as text or JSON.
pub(crate) fn render_load(
    common: &Common,
    engine: &Engine,
    promise: Option<&Promise>,
    format: Format,
) -> String {
    rendered(&printed_load(common, engine, promise), format, text_of_load)
}

fn printed_load(common: &Common, engine: &Engine, promise: Option<&Promise>) -> PrintedLoad {
    let settings = engine.settings();
    let (release, stages) = match &settings.pace {
        Pace::Nothing(_) => ("nothing is published", Vec::new()),
        Pace::Closed(_) => ("closed loop: as fast as the broker takes it", Vec::new()),
        Pace::Open(stages, Arrival::Uniform) => ("open loop, at equal distances", stages.clone()),
        Pace::Open(stages, Arrival::Poisson) => ("open loop, at random distances", stages.clone()),
    };
    let printed = |stage: &Stage| PrintedStage {
        duration_ms: u64::try_from(stage.lasts.as_millis()).unwrap_or(u64::MAX),
        messages_per_second: stage.per_second,
    };
    let pairs = common.bystanders.pairs;
    let trials = promise.map_or(1, |_| TRIALS_MAX as u64);
    PrintedLoad {
        tool: common.tool.name.clone(),
        target: target(&common.target),
        seed: common.seed.0,
        shape: engine.shape_in_words(),
        release,
        publishes: settings.publishers > 0,
        stages: stages.iter().map(printed).collect(),
        finds_rate: promise.map(ToString::to_string),
        bounds: LoadBounds {
            connections_max: settings.clients(),
            connections_per_second_max: settings.connects_per_second,
            messages_per_second_max: match settings.pace {
                Pace::Nothing(_) => Some(0.0),
                _ if promise.is_some() => Some(RATE_MAX),
                _ => settings.pace.per_second_max(),
            },
            payload_bytes: engine.payload_bytes().filter(|_| settings.publishers > 0),
            packet_bytes_max: settings.packet_bytes_max(),
            bystander_connections_max: honest_connections(pairs),
            duration_s_max: trials * common.bound.longest.as_secs(),
        },
    }
}

fn text_of_load(printed: &PrintedLoad) -> Result<String, std::fmt::Error> {
    let mut out = header(&printed.tool, &printed.target, printed.seed);
    let bounds = &printed.bounds;
    writeln!(out, "Load\n  {}\n  {}", printed.shape, printed.release)?;
    for stage in &printed.stages {
        writeln!(out, "  {} messages per second for {} ms", stage.messages_per_second, stage.duration_ms)?;
    }
    if let Some(promise) = &printed.finds_rate {
        writeln!(
            out,
            "  and other rates in at most {TRIALS_MAX} trials, to find the highest that keeps:\n  {promise}"
        )?;
    }
    writeln!(out, "\nBounds")?;
    writeln!(
        out,
        "  connections            {}, {} per second",
        bounds.connections_max, bounds.connections_per_second_max
    )?;
    if printed.publishes {
        match bounds.messages_per_second_max {
            Some(rate) => writeln!(out, "  messages per second    {rate}")?,
            None => writeln!(out, "  messages per second    as many as the broker accepts")?,
        }
        match bounds.payload_bytes {
            Some(bytes) => writeln!(out, "  payload                {bytes} bytes")?,
            None => writeln!(out, "  payload                a text with placeholders")?,
        }
    }
    writeln!(out, "  packets received       at most {} bytes each", bounds.packet_bytes_max)?;
    writeln!(out, "  well-behaved clients   {} connections", bounds.bystander_connections_max)?;
    writeln!(out, "  duration               at most {} s, then the run is stopped", bounds.duration_s_max)?;
    Ok(out)
}
