//! What can be measured in a run, by the names that thresholds and comparisons have for it: times with their percentiles, counts,
//! rates, and what the broker's process used.

use crate::load::{LoadCounts, LoadRecord};
use crate::metric::{Metric, Percentiles};
use crate::own_lateness::own_lateness_us;
use crate::phase::Phase;
use crate::reaction::Outcome;
use crate::run::{CaseRecord, Record};

/// A time.
pub(crate) struct Times {
    pub(crate) name: &'static str,
    /// The metric of its distribution; absent for a single time.
    pub(crate) metric: Option<Metric>,
    pub(crate) of: fn(&Record) -> Percentiles,
    pub(crate) needs: Needs,
    /// When it was measured: our own lateness in these phases is part of it. Empty for our own lateness itself.
    pub(crate) phases: &'static [Phase],
    /// How many should have one, where some may have none; absent where each has one.
    expected: Option<fn(&Record) -> u64>,
    /// The time before the load or the fault; absent when it is not measured then.
    pub(crate) baseline: Option<fn(&Record) -> Percentiles>,
}

impl Times {
    /// Why the figure says nothing, where too many that should have a time have none: a broker that answers once, and then never, is not
    /// fast.
    pub(crate) fn missing(&self, record: &Record, figure: &Percentile) -> Option<String> {
        let expected = self.expected?(record);
        let missing = expected.saturating_sub((self.of)(record).count);
        #[expect(clippy::cast_precision_loss, reason = "counts of a bounded run are far below 2^53")]
        let is_in_tail = missing as f64 <= figure.tail() * expected as f64;
        (!is_in_tail && missing < expected).then(|| {
            format!("{missing} of {expected} that should have one have none, so it says nothing about all")
        })
    }
}

/// A number; absent when nothing was counted.
pub(crate) struct Counted {
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    pub(crate) of: fn(&Record) -> Option<Tally>,
}

/// What a run must do so that a time or number can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing in particular.
    AnyRun,
    /// A load.
    Load,
    /// Attempts of a fault.
    Attempts,
    /// Bystanders.
    Bystanders,
    /// The broker's process.
    BrokerProcess,
}

pub(crate) struct Tally {
    pub(crate) count: f64,
    /// The total, for a share.
    pub(crate) of: f64,
    /// How many could have been counted.
    pub(crate) samples: u64,
    /// Other values that the number may truly have, and why. Where one of them compares otherwise, nothing is concluded.
    pub(crate) perhaps: Vec<f64>,
    pub(crate) because: &'static str,
}

/// A figure of a time: its name, the samples that it needs, and its value in µs.
pub(crate) struct Percentile(pub(crate) &'static str, pub(crate) u64, pub(crate) OfPercentiles);

impl Percentile {
    /// The share of samples that may be larger.
    pub(crate) fn tail(&self) -> f64 {
        let percent = self.0.strip_prefix("p(").and_then(|rest| rest.strip_suffix(')')?.parse::<f64>().ok());
        match self.0 {
            "min" => 1.0,
            _ => percent.map_or(0.0, |percent| 1.0 - percent / 100.0),
        }
    }
}

pub(crate) const PERCENTILES: [Percentile; 8] = [
    Percentile("min", 1, |of| of.min_us),
    Percentile("p(50)", 20, |of| of.p50_us),
    Percentile("p(90)", 100, |of| of.p90_us),
    Percentile("p(95)", 200, |of| of.p95_us),
    Percentile("p(99)", 1_000, |of| of.p99_us),
    Percentile("p(99.9)", 10_000, |of| of.p99_9_us),
    Percentile("p(99.99)", 100_000, |of| of.p99_99_us),
    Percentile("max", 1, |of| of.max_us),
];

/// When a load connects, and when it publishes.
const CONNECTING: &[Phase] = &[Phase::Warmup, Phase::Load];
const LOAD: &[Phase] = &[Phase::Load];
/// When honest clients are compared with their baseline.
const ACTS: &[Phase] = &[Phase::Load, Phase::Fault];

pub(crate) const TIMES: [Times; 14] = [
    time_of(
        "connect",
        Metric::TcpConnectTime,
        |record| load(record, |load| load.connections.tcp_connect_time),
        CONNECTING,
    ),
    time_of(
        "handshake",
        Metric::HandshakeTime,
        |record| load(record, |load| load.connections.handshake_time),
        CONNECTING,
    ),
    Times {
        needs: Needs::AnyRun,
        ..time_of("connack", Metric::ConnackTime, connack, &[Phase::Warmup, Phase::Load, Phase::Fault])
    },
    time_of(
        "suback",
        Metric::SubackTime,
        |record| load(record, |load| load.connections.suback_time),
        CONNECTING,
    ),
    time_of(
        "ack",
        Metric::PublishResponseTime,
        |record| load(record, |load| load.publish_response_time),
        LOAD,
    ),
    time_of(
        "ack_service",
        Metric::PublishServiceTime,
        |record| load(record, |load| load.publish_service_time),
        LOAD,
    ),
    time_of(
        "e2e",
        Metric::DeliveryResponseTime,
        |record| load(record, |load| load.delivery_response_time),
        LOAD,
    ),
    time_of(
        "e2e_service",
        Metric::DeliveryServiceTime,
        |record| load(record, |load| load.delivery_service_time),
        LOAD,
    ),
    of_attempts("reaction", Metric::ReactionTime, |record| record.reaction_time, acted),
    of_attempts("close", Metric::TimeToClose, |record| metric(record, Metric::TimeToClose), acted),
    of_attempts("will", Metric::WillTime, |record| metric(record, Metric::WillTime), wills_due),
    Times {
        needs: Needs::Bystanders,
        metric: None,
        ..time_of("recovery", Metric::BystanderResponseTime, recovery, &[Phase::Recovery])
    },
    Times {
        needs: Needs::Bystanders,
        baseline: Some(|record| bystanders(record, &[Phase::Baseline])),
        ..time_of("bystander", Metric::BystanderResponseTime, |record| bystanders(record, ACTS), ACTS)
    },
    Times {
        needs: Needs::AnyRun,
        ..time_of("slip", Metric::ScheduleSlip, |record| record.generator.schedule_slip, &[])
    },
];

const fn time_of(
    name: &'static str,
    metric: Metric,
    of: fn(&Record) -> Percentiles,
    phases: &'static [Phase],
) -> Times {
    Times { name, metric: Some(metric), needs: Needs::Load, of, phases, expected: None, baseline: None }
}

/// A time of attempts. They act in the fault phase, and what they cause may come after it.
const fn of_attempts(
    name: &'static str,
    metric: Metric,
    of: fn(&Record) -> Percentiles,
    expected: fn(&Record) -> u64,
) -> Times {
    let times = time_of(name, metric, of, &[Phase::Fault, Phase::Recovery]);
    Times { needs: Needs::Attempts, expected: Some(expected), ..times }
}

pub(crate) const COUNTS: [Counted; 22] = [
    // A message that was neither delivered nor lost has an unknown fate and is no part of the share.
    counted("loss", |record| {
        of_messages(record, |all| [all.lost, all.delivered + all.lost, all.delivered + all.lost])
    }),
    counted("unknown", |record| of_messages(record, |all| [all.unknown, all.expected, all.expected])),
    counted("duplicated", |record| of_messages(record, |all| [all.duplicated, all.expected, all.delivered])),
    counted("reordered", |record| of_messages(record, |all| [all.reordered, all.expected, all.delivered])),
    counted("still_coming", |record| {
        of_messages(record, |all| [all.still_coming, all.expected, all.expected])
    }),
    counted("dropped", |record| of_messages(record, |all| [all.dropped, all.offered, all.offered])),
    counted("blocked", |record| of_messages(record, |all| [all.blocked, all.offered, all.offered])),
    counted("late", |record| of_messages(record, |all| [all.late, all.offered, all.offered])),
    counted("refused", |record| {
        of_messages(record, |all| [all.refused_in_all(), all.sent, all.refused_in_all() + all.acknowledged])
    }),
    counted("unacknowledged", |record| {
        let samples = record.load.as_ref()?.acknowledging().sent;
        of_messages(record, |all| [all.unacknowledged, all.sent, samples])
    }),
    counted("connections_refused", |record| {
        let connections = &record.load.as_ref()?.connections;
        let refused = connections.refused.values().sum();
        tally([refused, connections.planned, refused + connections.accepted])
    }),
    counted("connections_lost", |record| {
        let connections = &record.load.as_ref()?.connections;
        tally([connections.lost.values().sum(), connections.planned, connections.accepted])
    }),
    counted("sent_rate", |record| rate(record, |load| load.all().sent, LoadRecord::sent_in_us)),
    counted("delivered_rate", |record| {
        rate(record, |load| load.all().delivered, LoadRecord::delivered_in_us)
    }),
    Counted { needs: Needs::Attempts, ..counted("attempts_dropped", attempts_dropped) },
    Counted { needs: Needs::Attempts, ..counted("closed", |record| closed(record, |_case| true)) },
    Counted { needs: Needs::Attempts, ..counted("takeovers", takeovers) },
    Counted { needs: Needs::Bystanders, ..counted("bystander_loss", bystander_loss) },
    Counted { needs: Needs::Bystanders, ..counted("bystander_disconnects", bystander_disconnects) },
    Counted { needs: Needs::BrokerProcess, ..counted("memory_slope", memory_slope) },
    Counted { needs: Needs::BrokerProcess, ..counted("broker_memory", broker_memory) },
    Counted { needs: Needs::BrokerProcess, ..counted("broker_cpu", broker_cpu) },
];

const fn counted(name: &'static str, of: fn(&Record) -> Option<Tally>) -> Counted {
    Counted { name, needs: Needs::Load, of }
}

/// The counts that are rates, so that a share of them means nothing.
pub(crate) const RATES: [&str; 5] =
    ["sent_rate", "delivered_rate", "memory_slope", "broker_memory", "broker_cpu"];

fn load(record: &Record, of: fn(&LoadRecord) -> Percentiles) -> Percentiles {
    record.load.as_ref().map(of).unwrap_or_default()
}

/// The bystanders' response time in the first existing phase of `phases`.
fn bystanders(record: &Record, phases: &[Phase]) -> Percentiles {
    let of = |wanted: &Phase| {
        let phases = record.bystanders.iter().flat_map(|bystanders| &bystanders.phases);
        phases.into_iter().find(|phase| phase.phase == *wanted).map(|phase| phase.response_time)
    };
    phases.iter().find_map(of).unwrap_or_default()
}

/// Attempts of a case that ended otherwise than so.
fn besides(case: &CaseRecord, outcomes: &[Outcome]) -> u64 {
    case.finished.saturating_sub(outcomes.iter().map(|of| case.outcome(*of)).sum())
}

/// Attempts that should have seen the broker react: those that acted, and whose client did not leave by itself.
fn acted(record: &Record) -> u64 {
    const OTHERS: [Outcome; 4] =
        [Outcome::NotActed, Outcome::Interrupted, Outcome::Left, Outcome::BrokerDown];
    record.cases.iter().map(|case| besides(case, &OTHERS)).sum()
}

fn wills_due(record: &Record) -> u64 {
    record.cases.iter().filter_map(|case| case.will.as_ref()).map(|will| will.due).sum()
}

/// A metric of attempts: it belongs to the fault phase, in which they act.
fn metric(record: &Record, metric: Metric) -> Percentiles {
    let mut all = record.metrics.iter();
    let found = all.find(|of| of.metric == metric && of.phase == Phase::Fault);
    found.map(|of| of.percentiles).unwrap_or_default()
}

/// The CONNACKs of a load's clients, or of attempts.
fn connack(record: &Record) -> Percentiles {
    match &record.load {
        Some(load) => load.connections.connack_time,
        None => metric(record, Metric::ConnackTime),
    }
}

/// One sample: how long the bystanders took to recover, or the whole phase when they did not.
fn recovery(record: &Record) -> Percentiles {
    let Some(bystanders) = &record.bystanders else { return Percentiles::default() };
    let phase = record.phases.iter().find(|phase| phase.phase == Phase::Recovery);
    let whole_us = || phase.map(|phase| phase.ended_us.saturating_sub(phase.began_us));
    let is_known = bystanders.recovery_limit_us.is_some();
    let us = bystanders.recovery_time_us.or_else(|| whole_us().filter(|_| is_known));
    us.map_or_else(Percentiles::default, |us| Percentiles {
        count: 1,
        min_us: Some(us),
        max_us: Some(us),
        ..Percentiles::default()
    })
}

fn attempts_dropped(record: &Record) -> Option<Tally> {
    let attempts = &record.attempts;
    tally([attempts.dropped, attempts.planned, attempts.planned])
}

/// Attempts whose connection the broker ended.
fn closed(record: &Record, is_counted: fn(&CaseRecord) -> bool) -> Option<Tally> {
    let cases = || record.cases.iter().filter(|case| is_counted(case));
    let acted = cases().map(|case| besides(case, &[Outcome::NotActed, Outcome::Interrupted])).sum();
    tally([cases().map(CaseRecord::ended).sum(), acted, acted])
}

/// Take-overs: of a duel all that its attempts counted, of other modes the attempts whose older connection the broker ended.
fn takeovers(record: &Record) -> Option<Tally> {
    let counted: Vec<_> = record.cases.iter().filter_map(|case| case.measures.get("takeovers")).collect();
    let sum: u64 = counted.iter().map(|all| all.sum).sum();
    let attempts: u64 = counted.iter().map(|all| all.count).sum();
    // An attempt that saw none could have seen one.
    if counted.is_empty() {
        closed(record, takes_over)
    } else {
        tally([sum, sum.max(attempts), sum.max(attempts)])
    }
}

/// Whether attempts of this case end an older connection by a take-over.
fn takes_over(case: &CaseRecord) -> bool {
    matches!(case.case.fault.as_str(), "storm" | "duel" | "race" | "dead-peer")
}

fn bystander_loss(record: &Record) -> Option<Tally> {
    let phases = record.bystanders.iter().flat_map(|bystanders| &bystanders.phases);
    let ledgers: Vec<_> = phases
        .filter(|phase| phase.phase != Phase::Baseline)
        .flat_map(|phase| phase.by_qos.values())
        .collect();
    let lost = ledgers.iter().map(|ledger| ledger.lost).sum();
    let settled = ledgers.iter().map(|ledger| ledger.delivered + ledger.lost).sum();
    tally([lost, settled, settled])
}

fn bystander_disconnects(record: &Record) -> Option<Tally> {
    let bystanders = record.bystanders.as_ref().filter(|bystanders| bystanders.pairs > 0)?;
    tally([bystanders.connections_lost.values().sum(), 2 * bystanders.pairs, 2 * bystanders.pairs])
}

/// The growth of the broker's resident memory, in bytes per 1,000 attempts.
fn memory_slope(record: &Record) -> Option<Tally> {
    let slope = record.broker_resources.as_ref()?.rss_bytes.per_1000_attempts?;
    Some(Tally {
        count: slope.estimate.round(),
        of: 1.0,
        samples: slope.samples,
        perhaps: vec![slope.low, slope.high],
        because: "its 95 % interval reaches across the limit: more attempts (--attempts, --duration) narrow it",
    })
}

/// The largest resident memory of the broker's process beside the fault or the load, in bytes.
#[expect(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
fn broker_memory(record: &Record) -> Option<Tally> {
    let resources = record.broker_resources.as_ref()?;
    let count = resources.rss_bytes.max? as f64;
    Some(Tally { count, of: 1.0, samples: resources.samples, perhaps: Vec::new(), because: "" })
}

/// The cores that the broker's process used beside the fault or the load.
#[expect(clippy::cast_precision_loss, reason = "times of a bounded run are far below 2^53 µs")]
fn broker_cpu(record: &Record) -> Option<Tally> {
    let resources = record.broker_resources.as_ref()?;
    let used_us = resources.cpu_us_fault_phase?;
    let phase = record.phases.iter().find(|phase| ACTS.contains(&phase.phase))?;
    let lasted_us = phase.ended_us.saturating_sub(phase.began_us);
    let count = (lasted_us > 0).then(|| used_us as f64 / lasted_us as f64)?;
    Some(Tally { count, of: 1.0, samples: resources.samples, perhaps: Vec::new(), because: "" })
}

/// The share of the broker's CPU time that one tick of the kernel is.
#[expect(clippy::cast_precision_loss, reason = "times of a bounded run are far below 2^53 µs")]
fn tick_share(record: &Record) -> f64 {
    const TICK_US: f64 = 10_000.0;
    let used_us = record.broker_resources.as_ref().and_then(|resources| resources.cpu_us_fault_phase);
    used_us.filter(|us| *us > 0).map_or(1.0, |us| TICK_US / us as f64)
}

/// The tally of a count, its total, and the number of samples.
#[expect(clippy::cast_precision_loss, reason = "counts of a bounded run are far below 2^53")]
fn tally([count, of, samples]: [u64; 3]) -> Option<Tally> {
    let (count, of) = ((of > 0).then_some(count as f64)?, of as f64);
    Some(Tally { count, of, samples, perhaps: Vec::new(), because: "" })
}

fn of_messages(record: &Record, of: impl Fn(&LoadCounts) -> [u64; 3]) -> Option<Tally> {
    tally(of(&record.load.as_ref()?.all()))
}

/// Messages per second over the time that they took.
#[expect(clippy::cast_precision_loss, reason = "counts of a bounded run are far below 2^53")]
fn rate(
    record: &Record,
    of: impl Fn(&LoadRecord) -> u64,
    took_us: fn(&LoadRecord) -> Option<u64>,
) -> Option<Tally> {
    let load = record.load.as_ref()?;
    let took_us = took_us(load).filter(|us| *us > 0)?;
    let ours_us = own_lateness_us(record, LOAD, |times| times.max_us).min(took_us - 1);
    let per_second = |us: u64| of(load) as f64 / (us as f64 / 1e6);
    Some(Tally {
        count: per_second(took_us),
        of: 1.0,
        samples: of(load),
        perhaps: vec![per_second(took_us - ours_us)],
        because: "the generator itself was late by as much",
    })
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// µs.
    Time,
    /// A number of things.
    Count,
    /// Bytes.
    Bytes,
    /// Bytes per 1,000 attempts.
    BytesPer1000,
    /// Messages per second.
    PerSecond,
    /// Processor cores.
    Cores,
}

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The smaller, the better.
    Lower,
    /// The larger, the better.
    Higher,
    /// Neither: it describes.
    Neither,
}

/// One figure of a distribution; absent with too few samples for it.
pub type OfPercentiles = fn(&Percentiles) -> Option<u64>;

/// One number of a record, by the name that thresholds have for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Such as `e2e p(99)` or `loss`.
    pub name: String,
    /// Its unit.
    pub unit: Unit,
    /// Which way it is better.
    pub better: Better,
    /// The value, in its unit.
    pub value: f64,
    /// The share of the value by which it may be wrong because it is measured in steps: histograms have three digits, and the kernel
    /// counts CPU time in ticks.
    pub resolution: f64,
    /// For a time its metric and percentile, by which the same figure of a part of the run is found in the record's histograms.
    pub part: Option<(Metric, OfPercentiles)>,
}

/// Every number of the record that a threshold can be set on, where it was measured with enough samples; the smallest times are left
/// out, and the largest too where there is a percentile: they depend on single events.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "times of a bounded run are far below 2^53 µs")]
pub fn figures(record: &Record) -> Vec<Figure> {
    let mut all = Vec::new();
    for times in &TIMES {
        let percentiles = (times.of)(record);
        let of = |figure: &Percentile| Some((figure.0, (figure.2)(&percentiles)?, figure.2));
        let measured = PERCENTILES.iter().filter(|figure| figure.0.starts_with('p')).filter_map(of);
        let mut measured: Vec<_> = measured.collect();
        if measured.is_empty() {
            measured.extend(PERCENTILES.iter().filter(|figure| figure.0 == "max").filter_map(of));
        }
        let better = if times.name == "slip" { Better::Neither } else { Better::Lower };
        all.extend(measured.into_iter().map(|(figure, us, of)| Figure {
            name: format!("{} {figure}", times.name),
            unit: Unit::Time,
            better,
            value: us as f64,
            resolution: 0.001,
            part: times.metric.map(|metric| (metric, of)),
        }));
    }
    for counted in &COUNTS {
        let Some(tally) = (counted.of)(record) else { continue };
        let (unit, better) = match counted.name {
            "sent_rate" | "delivered_rate" => (Unit::PerSecond, Better::Higher),
            "memory_slope" => (Unit::BytesPer1000, Better::Lower),
            "broker_memory" => (Unit::Bytes, Better::Lower),
            "broker_cpu" => (Unit::Cores, Better::Lower),
            "closed" | "takeovers" => (Unit::Count, Better::Neither),
            _ => (Unit::Count, Better::Lower),
        };
        let resolution = if unit == Unit::Cores { tick_share(record) } else { 0.0 };
        let name = counted.name.to_owned();
        all.push(Figure { name, unit, better, value: tally.count, resolution, part: None });
    }
    all
}
