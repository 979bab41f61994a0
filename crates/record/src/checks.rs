//! The checks of every run: is the run itself sound, and were the bystanders affected? Only the checks in `messages` can
//! report a violation.

mod messages;

use std::collections::BTreeMap;

use crate::check::{Check, Finding};
use crate::ledger::LedgerCounts;
use crate::metric::Percentiles;
use crate::own_lateness::{own_lateness_us, own_share_max_us};
use crate::phase::Phase;
use crate::reaction::Outcome;
use crate::recovery::{self, RecoveryOutcome};
use crate::run::{Completeness, Record};
use crate::scale::time;
use crate::verdict::Force;

/// The checks of a run with attempts, in the order of the report.
pub const CHECKS: &[Check] = &[
    Check::of_run("carries_out_the_plan", Force::Run, &[], carries_out_the_plan),
    Check::of_run("generator_keeps_up", Force::Run, &[], generator_keeps_up),
    messages::ACKNOWLEDGED_MESSAGES_ARRIVE,
    messages::QOS_2_ARRIVES_ONCE,
    messages::MESSAGES_KEEP_THEIR_ORDER,
    messages::MESSAGES_ARE_NOT_REPEATED,
    Check::of_run("bystanders_lose_nothing", Force::Run, &[], bystanders_lose_nothing),
    Check::of_run("bystanders_stay_connected", Force::Run, &[], bystanders_stay_connected),
    Check::of_run("bystanders_keep_their_pace", Force::Run, &[], bystanders_keep_their_pace),
];

/// The checks of a run without attempts: all but the first.
pub const WITHOUT_ATTEMPTS: &[Check] = CHECKS.split_at(1).1;

/// Every planned attempt was begun and acted.
fn carries_out_the_plan(record: &Record) -> Option<Finding> {
    let count = |outcome| record.cases.iter().map(|case| case.outcome(outcome)).sum::<u64>();
    let (planned, dropped) = (record.attempts.planned, record.attempts.dropped);
    let (not_acted, down) = (count(Outcome::NotActed), count(Outcome::BrokerDown));
    let interrupted = count(Outcome::Interrupted);
    // In a stopped run, attempts that did not end count as dropped.
    let dropped_were = match record.completeness {
        Completeness::Complete => "were never started",
        _ => "were never started, or cut off when the run stopped",
    };
    let counted = [
        (dropped, dropped_were),
        (not_acted, "could not act"),
        (down, "found the broker down"),
        (interrupted, "were interrupted"),
    ];
    let parts: Vec<String> = counted
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let mut besides = vec![format!("of {planned} attempts, {}", parts.join(", "))];
    let waited = record.generator.attempts_waited_for_a_client;
    if waited > 0 {
        besides.push(format!("{waited} found all clients busy: raise --count or lower --connrate"));
    }
    let mut troubles: BTreeMap<&str, u64> = BTreeMap::new();
    for (trouble, count) in record.cases.iter().flat_map(|case| &case.troubles) {
        *troubles.entry(trouble).or_default() += count;
    }
    if let Some((trouble, count)) = troubles.into_iter().max_by_key(|(_, count)| *count) {
        besides.push(format!("most often ({count}): {trouble}"));
    }
    let evidence = besides.join("; ");
    let sound = planned > 0 && dropped + not_acted + down + interrupted == 0;
    Some(if sound {
        Finding::holds(planned, format!("{planned} of {planned} attempts acted"))
    } else {
        Finding::inconclusive(evidence)
    })
}

/// The generator was not the bottleneck.
fn generator_keeps_up(record: &Record) -> Option<Finding> {
    let bottlenecks = &record.generator.bottlenecks;
    if !bottlenecks.is_empty() {
        return Some(Finding::inconclusive(bottlenecks.join("; ")));
    }
    let slip = record.generator.schedule_slip;
    Some(match (slip.p99_us, slip.max_us) {
        (Some(us), _) => {
            Finding::holds(slip.count, format!("schedule slip of {} at the 99th percentile", time(us)))
        }
        (None, Some(us)) => Finding::holds(slip.count, format!("schedule slip of at most {}", time(us))),
        // Without a schedule the lag of the threads counts.
        (None, None) if record.load.is_some() => match record.generator.loop_lag.max_us {
            Some(us) => {
                Finding::holds(record.generator.loop_lag.count, format!("loop lag of at most {}", time(us)))
            }
            None => Finding::inconclusive("the load ended before anything was measured"),
        },
        (None, None) => Finding::inconclusive("nothing was sent on a schedule"),
    })
}

fn totals(record: &Record) -> BTreeMap<u8, LedgerCounts> {
    let mut by_qos: BTreeMap<u8, LedgerCounts> = BTreeMap::new();
    for phase in record.bystanders.iter().flat_map(|bystanders| &bystanders.phases) {
        for (qos, counts) in &phase.by_qos {
            *by_qos.entry(*qos).or_default() += counts;
        }
    }
    by_qos
}

/// Number of planned broker restarts; absent without any.
fn bystanders_outages(record: &Record) -> Option<u64> {
    Some(record.bystanders.as_ref()?.outages?.outages)
}

/// All messages of well-behaved clients arrived, at every QoS. Only a note: `acknowledged_messages_arrive` reports violations.
fn bystanders_lose_nothing(record: &Record) -> Option<Finding> {
    record.bystanders.as_ref()?;
    let by_qos = totals(record);
    let delivered: u64 = by_qos.values().map(|counts| counts.delivered).sum();
    let lost: u64 = by_qos.values().map(|counts| counts.lost).sum();
    let unknown: u64 = by_qos.values().map(|counts| counts.unknown).sum();
    let kept_back: u64 = by_qos.values().map(|counts| counts.waiting + counts.dropped).sum();
    let refused: u64 = by_qos.values().flat_map(|counts| counts.refused.values()).sum();
    let without_subscribers: u64 = by_qos.values().map(|counts| counts.without_subscribers).sum();
    let acknowledged_but_lost: u64 =
        by_qos.iter().filter(|(qos, _)| **qos > 0).map(|(_, counts)| counts.lost).sum();
    let mut evidence = format!(
        "{delivered} messages delivered, {acknowledged_but_lost} acknowledged but lost, {} of QoS 0 lost, {unknown} \
         unknown, {refused} refused, {kept_back} not sent",
        lost - acknowledged_but_lost
    );
    if without_subscribers > 0 {
        evidence += &format!(", {without_subscribers} without subscribers according to the broker");
    }
    if let Some(planned) = bystanders_outages(record) {
        evidence += &format!("; the broker was restarted {planned} times, as planned");
    }
    let missed = lost + unknown + refused + kept_back + without_subscribers;
    Some(if delivered == 0 {
        Finding::inconclusive("no bystander message was delivered at all")
    } else if missed > 0 {
        Finding::differs(delivered, format!("bystanders missed {missed} messages"), evidence)
    } else {
        Finding::holds(delivered, evidence)
    })
}

/// Honest clients kept their connections.
fn bystanders_stay_connected(record: &Record) -> Option<Finding> {
    let bystanders = record.bystanders.as_ref()?;
    let lost: u64 = bystanders.connections_lost.values().sum();
    let reasons: Vec<String> =
        bystanders.connections_lost.iter().map(|(why, count)| format!("{why} ({count} times)")).collect();
    let offered: u64 = totals(record).values().map(|counts| counts.offered).sum();
    let planned = bystanders.outages.unwrap_or_default();
    let away = planned.connections_lost.saturating_sub(planned.came_back);
    Some(if lost == 0 && away > 0 {
        let note =
            format!("{away} connections of well-behaved clients did not come back after a planned outage");
        let evidence = format!("{} of {} came back", planned.came_back, planned.connections_lost);
        Finding::differs(bystanders.pairs, note, evidence)
    } else if lost == 0 && planned.connections_lost > 0 {
        let evidence = format!(
            "no well-behaved client lost its connection except in the {} planned outages: {} did, and all came back, the last \
             after {}",
            planned.outages,
            planned.connections_lost,
            time(planned.longest_away_us.unwrap_or(0))
        );
        Finding::holds(bystanders.pairs, evidence)
    } else if lost == 0 && offered == 0 {
        Finding::inconclusive("the bystanders sent nothing")
    } else if lost == 0 {
        Finding::holds(bystanders.pairs, "no well-behaved client lost its connection")
    } else {
        let note = format!("well-behaved clients lost {lost} connections");
        Finding::differs(bystanders.pairs, note, reasons.join("; "))
    })
}

/// Honest clients were served as fast during the fault as before it, and again after it. No statement limits their response
/// time, so a slowdown is a note. One that our own lateness may explain is inconclusive.
fn bystanders_keep_their_pace(record: &Record) -> Option<Finding> {
    type Figure = fn(&Percentiles) -> Option<u64>;
    /// The first figure with enough samples in both phases is compared.
    const FIGURES: [(&str, Figure); 3] = [
        ("99th percentile", |times| times.p99_us),
        ("90th percentile", |times| times.p90_us),
        ("slowest", |times| times.max_us),
    ];
    let bystanders = record.bystanders.as_ref()?;
    let times = |wanted: Phase| {
        let phase = bystanders.phases.iter().find(|phase| phase.phase == wanted);
        phase.map(|phase| phase.response_time).unwrap_or_default()
    };
    let acts = if record.load.is_some() { Phase::Load } else { Phase::Fault };
    let (before, during) = (times(Phase::Baseline), times(acts));
    let compared = FIGURES.into_iter().find_map(|(what, figure)| {
        figure(&before)
            .zip(figure(&during))
            .map(|(before_us, during_us)| (what, figure, before_us, during_us))
    });
    let Some((what, figure, before_us, during_us)) = compared else {
        return Some(Finding::inconclusive(format!(
            "no message in the baseline or in the {} phase",
            acts.name()
        )));
    };
    let own_us = own_lateness_us(record, &[acts], figure);
    let evidence = format!(
        "response time, {what}: {} in the baseline, {} in the {} phase; the generator's own lateness {}",
        time(before_us),
        time(during_us),
        acts.name(),
        time(own_us)
    );
    let is_ours = |us: u64, own_us: u64| us.saturating_sub(before_us) <= own_share_max_us(own_us);
    let slow = (during_us > recovery::limit_us(before_us)).then(|| {
        let note = format!("well-behaved clients were served more slowly during the {}", acts.name());
        (note, is_ours(during_us, own_us))
    });
    let afterwards = times(Phase::Recovery);
    let not_back = RecoveryOutcome::of(record).and_then(|back| match back {
        RecoveryOutcome::NotRecovered(lasted_us) => {
            let note = format!(
                "well-behaved clients had not recovered within the recovery phase of {}",
                time(lasted_us)
            );
            let own_us = own_lateness_us(record, &[Phase::Recovery], figure);
            let us = figure(&afterwards).or(afterwards.max_us);
            // Clients without deliveries have not recovered, however fast the others are.
            let is_slow = |us: u64| us > recovery::limit_us(before_us);
            Some((note, us.is_some_and(|us| is_slow(us) && is_ours(us, own_us))))
        }
        _ => None,
    });
    let (ours, theirs): (Vec<_>, Vec<_>) = slow.into_iter().chain(not_back).partition(|(_, ours)| *ours);
    let notes = |of: Vec<(String, bool)>| of.into_iter().map(|(note, _)| note).collect::<Vec<_>>().join("; ");
    Some(if !theirs.is_empty() {
        Finding::differs(during.count, notes(theirs), evidence)
    } else if !ours.is_empty() {
        // Also for a lateness within `--slip-limit`: the cause of the slowdown is unknown.
        let why = format!(
            "{}, but the generator itself was late, which may explain all of it; {evidence}",
            notes(ours)
        );
        Finding::inconclusive(why)
    } else {
        Finding::holds(during.count, evidence)
    })
}
