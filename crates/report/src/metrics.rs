//! The live view as OpenMetrics text, for `--metrics`. Times are in seconds, sizes in bytes. Labels have values of closed sets; no
//! name of a client or text of a broker is among them.

use std::borrow::Cow;
use std::fmt::Error;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use ungraceful_mqtt::ReasonCode;
use ungraceful_record::live::{Live, LiveBroker, LiveLoad, Reacted};
use ungraceful_record::metric::Percentiles;
use ungraceful_record::phase::Phase;
use ungraceful_record::reaction::Outcome;

use crate::percentile::Figure;

/// The media type of the text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What every metric of a run is labelled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLabels {
    /// The tool.
    pub tool: String,
    /// Its mode; absent for a tool with a single mode.
    pub mode: Option<String>,
    /// The program's version; a label of `ungraceful_run` alone.
    pub version: String,
}

/// The state of a run as OpenMetrics text.
#[must_use]
pub fn render_metrics(run: &RunLabels, live: &Live) -> String {
    let labels = [("tool", Some(&run.tool)), ("mode", run.mode.as_ref())];
    let labels =
        labels.into_iter().filter_map(|(name, value)| Some((name.into(), Cow::from(value?.clone()))));
    let mut registry = Registry::with_prefix_and_labels("ungraceful", labels);
    registry.register_collector(Box::new(Figures(figures(run, live))));
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing into a string never fails");
    text
}

type Labels = Vec<(&'static str, String)>;

#[derive(Clone, Copy, Debug)]
enum Value {
    Whole(u64),
    Seconds(Duration),
}

/// A metric with its samples.
#[derive(Debug)]
struct Metric {
    kind: MetricType,
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    samples: Vec<(Labels, Value)>,
}

#[derive(Debug)]
struct Figures(Vec<Metric>);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        // A metric without samples is left out.
        for metric in self.0.iter().filter(|metric| !metric.samples.is_empty()) {
            let Metric { kind, name, unit, help, samples } = metric;
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), *kind)?;
            for (labels, value) in samples {
                let sample = family.encode_family(labels)?;
                match (kind, value) {
                    (MetricType::Counter, Value::Whole(whole)) => ConstCounter::new(*whole).encode(sample)?,
                    (MetricType::Counter, Value::Seconds(time)) => {
                        ConstCounter::new(time.as_secs_f64()).encode(sample)?;
                    }
                    (_, Value::Whole(whole)) => ConstGauge::new(*whole).encode(sample)?,
                    (_, Value::Seconds(time)) => ConstGauge::new(time.as_secs_f64()).encode(sample)?,
                }
            }
        }
        Ok(())
    }
}

fn seconds(us: u64) -> Value {
    Value::Seconds(Duration::from_micros(us))
}

/// A counter of the run so far.
fn counter(
    name: &'static str,
    help: &'static str,
    samples: impl IntoIterator<Item = (Labels, u64)>,
) -> Metric {
    let samples = samples.into_iter().map(|(labels, count)| (labels, Value::Whole(count))).collect();
    Metric { kind: MetricType::Counter, name, unit: None, help, samples }
}

/// A number of things at the moment.
fn gauge(name: &'static str, help: &'static str, samples: impl IntoIterator<Item = (Labels, u64)>) -> Metric {
    Metric { kind: MetricType::Gauge, ..counter(name, help, samples) }
}

/// Times, in µs.
fn times(name: &'static str, help: &'static str, samples: impl IntoIterator<Item = (Labels, u64)>) -> Metric {
    let samples = samples.into_iter().map(|(labels, us)| (labels, seconds(us))).collect();
    Metric { kind: MetricType::Gauge, name, unit: Some(Unit::Seconds), help, samples }
}

/// The only sample of a metric.
fn one<T>(value: T) -> [(Labels, T); 1] {
    [(Vec::new(), value)]
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn figures(run: &RunLabels, live: &Live) -> Vec<Metric> {
    let mut figures = vec![gauge("run", "1 while the run lasts", [(label("version", &run.version), 1)])];
    figures.extend(of_phase(live));
    figures.extend(of_attempts(live));
    figures.extend(of_bystanders(live));
    figures.extend(live.load.iter().flat_map(of_load));
    figures.extend(live.broker.iter().flat_map(of_broker));
    figures.push(times(
        "generator_lag_max",
        "Largest lag of a thread of the generator in the last second",
        live.generator_lag_us_max.map(|us| (Vec::new(), us)),
    ));
    figures
}

fn of_phase(live: &Live) -> [Metric; 3] {
    let is = |phase| u64::from(live.phase == Some(phase));
    let phases = Phase::ALL.map(|phase| (label("phase", phase.name()), is(phase)));
    [
        gauge("phase", "1 for the phase of the run, 0 for all others", phases),
        times("phase_elapsed", "How long the phase has lasted", one(live.phase_elapsed_us)),
        times(
            "phase_expected",
            "Maximum duration of the phase",
            live.phase_expected_us.map(|us| (Vec::new(), us)),
        ),
    ]
}

fn of_attempts(live: &Live) -> Vec<Metric> {
    if live.attempts_planned == 0 {
        return Vec::new();
    }
    // All from the start, so that rates know the first one.
    let outcomes = Outcome::ALL.map(|outcome| {
        let ended = live.outcomes.get(outcome.name()).copied().unwrap_or(0);
        (label("outcome", outcome.name()), ended)
    });
    let reactions = live.reactions.iter().map(|(reacted, times)| (of_reaction(*reacted), *times));
    vec![
        gauge("attempts_planned", "Attempts in the plan", one(live.attempts_planned)),
        counter("attempts_started", "Attempts that were begun", one(live.attempts_started)),
        counter("attempts_finished", "Attempts that ended, by outcome", outcomes),
        counter("attempts_dropped", "Attempts that could not be begun in time", one(live.attempts_dropped)),
        counter(
            "attempt_troubles",
            "Attempts with a trouble, such as a refused connection",
            one(live.troubles),
        ),
        gauge("connections_open", "Open connections of attempts, or of the load", one(live.connections_open)),
        counter("reactions", "Reactions of the broker, by kind and Reason Code", reactions),
        times(
            "reaction_time",
            "From the provoking byte to the first reaction, over the run so far",
            distribution(&[], &live.reaction_time),
        ),
    ]
}

/// The labels of a reaction: its kind, and the Reason Code with its name.
fn of_reaction((kind, code): Reacted) -> Labels {
    let code = code.map(|code| match ReasonCode(code).name() {
        Some(name) => format!("0x{code:02X} {name}"),
        None => format!("0x{code:02X}"),
    });
    vec![("reaction", kind.label(None, None)), ("reason_code", code.unwrap_or_default())]
}

fn of_bystanders(live: &Live) -> Vec<Metric> {
    let second = Percentiles {
        p50_us: live.bystander_p50_us,
        p99_us: live.bystander_p99_us,
        max_us: live.bystander_max_us,
        ..Percentiles::default()
    };
    let over = [
        ("second", &second),
        ("phase", &live.bystander_response_time),
        ("baseline", &live.baseline_response_time),
    ];
    let response =
        over.into_iter().flat_map(|(over, times)| distribution(&[("over", over)], times)).collect::<Vec<_>>();
    vec![
        counter(
            "bystander_messages_offered",
            "Messages of well-behaved clients that fell due",
            one(live.bystander_offered),
        ),
        counter(
            "bystander_messages_sent",
            "Messages of well-behaved clients that were sent",
            one(live.bystander_sent),
        ),
        counter(
            "bystander_messages_delivered",
            "Messages of well-behaved clients that were delivered",
            one(live.bystander_delivered),
        ),
        times(
            "bystander_response_time",
            "Well-behaved clients: from due to delivered, over the last second, this phase or the baseline",
            response,
        ),
    ]
}

/// The figures of a distribution that have enough samples.
fn distribution(labels: &[(&'static str, &str)], times: &Percentiles) -> Vec<(Labels, u64)> {
    let with = |figure: Figure| {
        let labels = labels.iter().copied().chain([("stat", figure.name())]);
        labels.map(|(name, value)| (name, value.to_owned())).collect()
    };
    Figure::ALL.into_iter().filter_map(|figure| Some((with(figure), figure.us(times)?))).collect()
}

fn of_load(load: &LiveLoad) -> Vec<Metric> {
    let state = |name, clients| (label("state", name), clients);
    let connections = [
        state("planned", load.connections_planned),
        state("ready", load.connections_ready),
        state("failed", load.connections_failed),
    ];
    let response =
        Percentiles { p50_us: load.response_p50_us, p99_us: load.response_p99_us, ..Percentiles::default() };
    vec![
        gauge("load_connections", "Connections of the load, by state", connections),
        counter("load_messages_offered", "Messages of the load that fell due", one(load.offered)),
        counter("load_messages_sent", "Messages of the load that were sent", one(load.sent)),
        counter(
            "load_messages_acknowledged",
            "Messages of the load that were acknowledged",
            one(load.acknowledged),
        ),
        counter(
            "load_messages_delivered",
            "Messages of the load that came to a subscriber",
            one(load.delivered),
        ),
        gauge("load_messages_waiting", "Messages of the load that are due but not sent", one(load.waiting)),
        times(
            "load_response_time",
            "Messages of the load: from due to delivered or acknowledged, over the last second",
            distribution(&[], &response),
        ),
    ]
}

fn of_broker(broker: &LiveBroker) -> [Metric; 3] {
    let cpu = Metric {
        kind: MetricType::Counter,
        ..times("broker_cpu", "CPU time of the broker's process", one(broker.cpu_us_total))
    };
    let memory = Metric {
        unit: Some(Unit::Bytes),
        ..gauge("broker_resident_memory", "Resident memory of the broker's process", one(broker.rss_bytes))
    };
    let descriptors = broker.descriptors.map(|open| (Vec::new(), open));
    [cpu, memory, gauge("broker_descriptors", "Open file descriptors of the broker's process", descriptors)]
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use ungraceful_record::live::{Live, LiveBroker, LiveLoad};
    use ungraceful_record::metric::Percentiles;
    use ungraceful_record::phase::Phase;
    use ungraceful_record::reaction::ReactionKind;

    use super::{RunLabels, render_metrics};

    fn run() -> RunLabels {
        RunLabels { tool: "ungraceful-takeover".into(), mode: Some("storm".into()), version: "1.2.3".into() }
    }

    #[test]
    fn a_run_of_attempts_has_every_figure() {
        let baseline =
            Percentiles { count: 500, p50_us: Some(290), max_us: Some(900), ..Percentiles::default() };
        let live = Live {
            second: Some(7),
            phase: Some(Phase::Fault),
            phase_elapsed_us: 3_200_000,
            phase_expected_us: Some(10_000_000),
            attempts_planned: 1_100,
            attempts_started: 640,
            attempts_finished: 612,
            attempts_dropped: 13,
            connections_open: 28,
            outcomes: BTreeMap::from([("closed", 600), ("no_reaction", 12)]),
            reactions: BTreeMap::from([
                ((ReactionKind::Disconnect, Some(0x8E)), 598),
                ((ReactionKind::Disconnect, Some(0x7F)), 2),
                ((ReactionKind::Closed, None), 600),
            ]),
            reaction_time: Percentiles { p99_us: Some(2_400), ..baseline },
            troubles: 3,
            latest_trouble: Some("never a label".into()),
            bystander_offered: 900,
            bystander_sent: 899,
            bystander_delivered: 897,
            bystander_p50_us: Some(310),
            bystander_max_us: Some(1_500_000),
            baseline_response_time: baseline,
            broker: Some(LiveBroker {
                cpu_us_total: 1_250_000,
                rss_bytes: 9_000_000,
                ..LiveBroker::default()
            }),
            generator_lag_us_max: Some(60),
            ..Live::default()
        };
        insta::assert_snapshot!(render_metrics(&run(), &live));
    }

    /// Every figure of the catalogue, of attempts and of a load.
    fn everything() -> String {
        let live = Live {
            attempts_planned: 1,
            phase_expected_us: Some(1),
            reactions: BTreeMap::from([((ReactionKind::Closed, None), 1)]),
            reaction_time: Percentiles { max_us: Some(1), ..Percentiles::default() },
            bystander_max_us: Some(1),
            load: Some(LiveLoad { response_p50_us: Some(1), ..LiveLoad::default() }),
            broker: Some(LiveBroker { descriptors: Some(1), ..LiveBroker::default() }),
            generator_lag_us_max: Some(1),
            ..Live::default()
        };
        render_metrics(&run(), &live)
    }

    #[test]
    fn the_dashboard_asks_only_for_metrics_that_there_are() {
        let dashboard = include_str!("../../../docs/grafana.json");
        let text = everything();
        let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let parts = dashboard.split("ungraceful_").skip(1);
        let asked: BTreeSet<&str> = parts.map(|part| part.split(|c| !is_name(c)).next().unwrap()).collect();
        assert!(asked.len() > 15, "{asked:?}");
        for name in asked {
            assert!(text.contains(&format!("\nungraceful_{name}{{")), "{name} is not in\n{text}");
        }
    }

    #[test]
    fn a_load_has_its_own_figures_and_no_attempts() {
        let load = LiveLoad {
            connections_planned: 200,
            connections_ready: 197,
            connections_failed: 3,
            offered: 1_001,
            sent: 1_000,
            acknowledged: 900,
            delivered: 2_000,
            response_p50_us: Some(250),
            waiting: 10,
            ..LiveLoad::default()
        };
        let of = RunLabels { mode: None, ..run() };
        let text = render_metrics(&of, &Live { load: Some(load), ..Live::default() });
        for line in [
            "ungraceful_load_messages_sent_total{tool=\"ungraceful-takeover\"} 1000",
            "ungraceful_load_connections{tool=\"ungraceful-takeover\",state=\"failed\"} 3",
            "ungraceful_load_response_time_seconds{tool=\"ungraceful-takeover\",stat=\"p50\"} 0.00025",
        ] {
            assert!(text.lines().any(|has| has == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("attempts") && text.ends_with("# EOF\n"), "{text}");
    }
}
