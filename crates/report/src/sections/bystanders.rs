//! The bystanders: their times and the fate of their messages, by phase.

use ungraceful_mqtt::ReasonCode;
use ungraceful_record::ledger::{IrregularityKind, LedgerCounts};
use ungraceful_record::metric::Percentiles;
use ungraceful_record::phase::Phase;
use ungraceful_record::recovery::RecoveryOutcome;
use ungraceful_record::run::{BystanderOutagesRecord, BystanderPhaseRecord, BystandersRecord, Record};

use super::evidence;
use crate::document::{Cell, Column, Document, Table, cell};
use crate::percentile::Figure;
use crate::scale::{count, counted, ratio, time};
use crate::totals;

pub(super) fn section(record: &Record, document: &mut Document) {
    let Some(bystanders) = &record.bystanders else {
        if record.load.is_some() {
            document.labelled(
                "Bystanders",
                "none; --bystanders 3 measures well-behaved clients of another library during the load",
            );
            return;
        }
        document.heading("Bystanders");
        document.line("None in this run: the impact on well-behaved clients was not measured.");
        return;
    };
    let pairs = counted(bystanders.pairs, "pair");
    let rate = count(bystanders.rate_per_pair);
    document.heading(format!("Bystanders: {pairs}, {rate}/s each, MQTT {}", bystanders.version));
    if bystanders.phases.is_empty() {
        document.line("No phase was measured.");
    } else {
        document.values(table(bystanders).with_equal_rows_together(&SAME_MESSAGES));
        document.line(recovery(record, bystanders));
        refusals(bystanders, document);
    }
    for (label, kind) in EVIDENCE {
        if let Some(which) = evidence::line(bystanders, kind) {
            document.labelled(label, which);
        }
    }
    if let Some(planned) = &bystanders.outages {
        document.labelled("Outages", outages(planned));
    }
    for (why, times) in &bystanders.connections_lost {
        document.labelled("Disconnected", format!("{}: {why}", counted(*times, "connection")));
    }
}

/// The effect of planned outages.
fn outages(planned: &BystanderOutagesRecord) -> String {
    let (outages, lost) =
        (counted(planned.outages, "planned outage"), counted(planned.connections_lost, "connection"));
    let back = match planned.longest_away_us {
        Some(longest_us) => {
            format!("{} reconnected, the last after {}", count(planned.came_back), time(longest_us))
        }
        None => "none reconnected".to_owned(),
    };
    format!("{outages} ended {lost}: {back}")
}

/// The Reason Codes of refused messages, over all phases.
fn refusals(bystanders: &BystandersRecord, document: &mut Document) {
    let mut sum = LedgerCounts::default();
    for phase in &bystanders.phases {
        sum += &totals::ledger(phase);
    }
    let named = sum.refused.iter().map(|(code, times)| {
        let name = ReasonCode(*code).name().unwrap_or("unknown");
        format!("0x{code:02X} {name} ×{}", count(*times))
    });
    let named = named.collect::<Vec<_>>();
    if !named.is_empty() {
        document.labelled("Refused", named.join(" · "));
    }
}

type Distribution = fn(&BystanderPhaseRecord) -> &Percentiles;
type Counted = fn(&BystanderPhaseRecord, &LedgerCounts) -> u64;

/// Irregularities that are listed by message. Acknowledged but lost messages are at the top of the report.
const EVIDENCE: [(&str, IrregularityKind); 5] = [
    ("No subscriber", IrregularityKind::WithoutSubscribers),
    ("Duplicated", IrregularityKind::Duplicated),
    ("Repeated", IrregularityKind::Repeated),
    ("Reordered", IrregularityKind::Reordered),
    ("Unknown", IrregularityKind::Unknown),
];

/// Distributions of a phase, with three rows each.
const TIMES: [(&str, Distribution); 3] = [
    ("response time", |phase| &phase.response_time),
    ("service time", |phase| &phase.service_time),
    ("time to acknowledge", |phase| &phase.acknowledge_time),
];

/// Counts that are equal when all goes well.
const SAME_MESSAGES: [&str; 4] = ["due", "sent", "acknowledged", "delivered"];

/// Counts of a phase, and whether their row is shown when all are zero. Lost messages come first.
const COUNTS: [(&str, bool, Counted); 15] = [
    ("acknowledged but lost", true, |phase, _| totals::acknowledged_but_lost(phase)),
    ("due", true, |_, sum| sum.offered),
    ("sent", true, |_, sum| sum.sent),
    ("not sent, queue full", false, |_, sum| sum.dropped),
    ("not sent before the end", false, |_, sum| sum.waiting),
    ("acknowledged", true, |_, sum| sum.acknowledged),
    ("refused", false, |_, sum| sum.refused.values().sum()),
    ("without subscribers", false, |_, sum| sum.without_subscribers),
    ("delivered", true, |_, sum| sum.delivered),
    ("lost at QoS 0", true, |phase, _| totals::lost_at_qos_0(phase)),
    ("unknown", true, |_, sum| sum.unknown),
    ("duplicated", true, |_, sum| sum.duplicated),
    ("duplicated with DUP 0", false, |_, sum| sum.duplicated_without_dup),
    ("repeated before PUBREL", false, |_, sum| sum.repeated),
    ("reordered", true, |_, sum| sum.reordered),
];

fn table(bystanders: &BystandersRecord) -> Table {
    let phases: Vec<_> =
        Phase::MEASURED.iter().filter_map(|phase| totals::of_phase(bystanders, *phase)).collect();
    let mut columns = vec![Column::words("")];
    columns.extend(phases.iter().map(|phase| Column::numbers(phase.phase.name())));
    let (lost, counts) = COUNTS.split_first().expect("the rows are a constant that is not empty");
    let mut rows = vec![count_row(lost, &phases)];
    for (name, distribution) in TIMES {
        rows.extend(Figure::ALL.map(|figure| time_row(name, figure, distribution, &phases)));
    }
    for counted in counts {
        let is_zero = |phase: &&BystanderPhaseRecord| (counted.2)(phase, &totals::ledger(phase)) == 0;
        if counted.1 || !phases.iter().all(is_zero) {
            rows.push(count_row(counted, &phases));
        }
    }
    Table { columns, rows, keys: 1 }
}

fn count_row((name, _, counted): &(&str, bool, Counted), phases: &[&BystanderPhaseRecord]) -> Vec<Cell> {
    let counts = phases.iter().map(|phase| cell(count(counted(phase, &totals::ledger(phase)))));
    std::iter::once(cell(*name)).chain(counts).collect()
}

/// The row of one figure; later phases also show the ratio to the baseline.
fn time_row(
    name: &str,
    figure: Figure,
    distribution: Distribution,
    phases: &[&BystanderPhaseRecord],
) -> Vec<Cell> {
    let baseline = phases.iter().find(|phase| phase.phase == Phase::Baseline);
    let baseline_us = baseline.and_then(|phase| figure.us(distribution(phase)));
    let times = phases.iter().map(|phase| {
        let of_phase = distribution(phase);
        let compared = figure.us(of_phase).zip(baseline_us).and_then(|(us, base_us)| ratio(us, base_us));
        let beside = compared.filter(|_| phase.phase != Phase::Baseline);
        let beside = beside.map(|ratio| format!("({ratio}) ")).unwrap_or_default();
        cell(beside + &figure.shown(of_phase))
    });
    std::iter::once(cell(format!("{name} {}", figure.name()))).chain(times).collect()
}

fn recovery(record: &Record, bystanders: &BystandersRecord) -> String {
    let within = time(bystanders.recovery_limit_us.unwrap_or_default());
    let limit = format!("99 % of the messages within {within}");
    match RecoveryOutcome::of(record) {
        None | Some(RecoveryOutcome::NoLimit) => "Recovery unknown: the baseline gave no limit.".to_owned(),
        Some(RecoveryOutcome::NoPhase) => {
            format!("Recovery unknown ({limit}): there was no recovery phase.")
        }
        Some(RecoveryOutcome::After(0)) => format!("Recovered immediately after the fault: {limit}."),
        Some(RecoveryOutcome::After(us)) => format!("Recovered {} after the fault: {limit}.", time(us)),
        Some(RecoveryOutcome::TooShort(lasted_us)) => format!(
            "Recovery unknown ({limit}): the recovery phase of {} is shorter than the one-second window it is judged by; \
             raise --recovery.",
            time(lasted_us)
        ),
        Some(RecoveryOutcome::NotRecovered(lasted_us)) => format!(
            "NOT RECOVERED within the recovery phase of {}: it has no second with {limit}.",
            time(lasted_us)
        ),
    }
}
