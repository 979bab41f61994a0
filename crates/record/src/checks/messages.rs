//! The checks of every run on the bystanders' messages: do they arrive, once, and in their order?
//!
//! They report violations of numbered MUSTs, so they are cautious: when an incomplete run, a lost connection or a slow broker
//! may explain the observation, the result is a note or inconclusive. The standard sets no time limit for delivery; a loss is
//! proved when a later message of the same publisher arrived.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::{
    V5_4_4_0_1, V5_4_5_0_1, V5_4_6_0_5, V311_4_3_3_1, V311_4_5_0_1, V311_4_6_0_6,
};

use super::totals;
use crate::check::{Check, Finding};
use crate::ledger::{IrregularityKind, LedgerCounts};
use crate::loss::{self, Explained};
use crate::phase::Phase;
use crate::run::{BystanderPhaseRecord, BystandersRecord, Completeness, Drain, Record};
use crate::scale::time;
use crate::verdict::Force;

/// Maximum number of messages named in evidence.
const EXAMPLES_AT_MOST: usize = 3;

/// The bystanders' messages that a check covers.
struct Messages<'a> {
    record: &'a Record,
    bystanders: &'a BystandersRecord,
    by_qos: BTreeMap<u8, LedgerCounts>,
    sum: LedgerCounts,
}

impl<'a> Messages<'a> {
    /// The messages of these QoS; absent without any.
    fn of(record: &'a Record, is_wanted: impl Fn(u8) -> bool) -> Option<Self> {
        let bystanders = record.bystanders.as_ref()?;
        let mut by_qos = totals(record);
        let had_any = !by_qos.is_empty();
        by_qos.retain(|qos, _| is_wanted(*qos));
        if had_any && by_qos.is_empty() {
            return None;
        }
        let mut sum = LedgerCounts::default();
        for counts in by_qos.values() {
            sum += counts;
        }
        Some(Self { record, bystanders, by_qos, sum })
    }

    /// Why a queue may have reached a configured limit although bystanders publish slowly: their messages arrived late, so they
    /// waited somewhere. Absent when any queue has room for them, or when the broker counts its drops.
    fn possible_queue_overflow(&self) -> Option<String> {
        /// Messages of one publisher that every queue is assumed to hold.
        const ROOM_OF_ANY_QUEUE: u64 = 5;
        const SECOND_US: u64 = 1_000_000;
        if loss::is_counted(self.record) {
            return None;
        }
        let slow = self.bystanders.phases.iter().filter_map(|phase| phase.response_time.max_us).max()?;
        let own = self.record.generator.schedule_slip.max_us.unwrap_or_default();
        let late_us = slow.max(own);
        let waited = late_us.saturating_mul(self.bystanders.rate_per_pair) / SECOND_US;
        (waited > ROOM_OF_ANY_QUEUE).then(|| {
            format!(
                "other messages arrived up to {} late, so {waited} messages of a publisher were waiting at a time, and the \
                 broker does not report how many it drops: a queue limit may have been reached",
                time(late_us)
            )
        })
    }

    fn explained(&self) -> Option<Explained> {
        let lost: u64 = self.bystanders.connections_lost.values().sum();
        let below = self.bystanders.pairs_below_qos;
        if self.record.completeness != Completeness::Complete {
            Some(Explained::Unclear("the run was cut short".to_owned()))
        } else if let Some(planned) = self.bystanders.outages {
            Some(Explained::Note(format!(
                "the broker was restarted {} times, as planned, which may have lost undelivered messages",
                planned.outages
            )))
        } else if lost > 0 {
            Some(Explained::Note(format!(
                "well-behaved clients lost {lost} connections, which may explain it"
            )))
        } else if below > 0 {
            Some(Explained::Note(format!(
                "{below} subscribers were granted or served at a lower QoS than they requested"
            )))
        } else {
            None
        }
    }

    /// The latest phase with lost messages; the last one without any.
    fn latest_loss(&self) -> Phase {
        let has_lost = |phase: &&BystanderPhaseRecord| {
            phase.by_qos.iter().any(|(qos, counts)| self.by_qos.contains_key(qos) && counts.lost > 0)
        };
        let with_loss = self.bystanders.phases.iter().filter(has_lost);
        with_loss.map(|phase| phase.phase).max().unwrap_or(Phase::Recovery)
    }

    /// The finding: violated when nothing else explains the evidence.
    fn conclude(
        &self,
        samples: u64,
        note: &str,
        evidence: &str,
        explained: Option<Explained>,
    ) -> Option<Finding> {
        Some(match explained {
            None if self.bystanders.version.parse::<ProtocolVersion>().is_err() => {
                let why = "the MQTT version of the bystanders is unknown";
                Finding::inconclusive(format!("{evidence}; {why}"))
            }
            None => Finding::violated(evidence),
            Some(Explained::Note(why)) => Finding::differs(samples, note, format!("{evidence}; {why}")),
            Some(Explained::Unclear(why)) => Finding::inconclusive(format!("{evidence}; {why}")),
        })
    }

    /// The non-zero counts by QoS: `QoS 1: 5`.
    fn per_qos(&self, count: impl Fn(&LedgerCounts) -> u64) -> String {
        let counted = self.by_qos.iter().map(|(qos, counts)| (qos, count(counts)));
        let parts = counted.filter(|(_, count)| *count > 0).map(|(qos, count)| format!("QoS {qos}: {count}"));
        parts.collect::<Vec<_>>().join(", ")
    }

    /// The non-zero counts by phase: `fault: 5`.
    fn per_phase(&self, count: impl Fn(&LedgerCounts) -> u64) -> String {
        let counted = self.bystanders.phases.iter().map(|phase| {
            let of_these = phase.by_qos.iter().filter(|(qos, _)| self.by_qos.contains_key(qos));
            (phase.phase.name(), of_these.map(|(_, counts)| count(counts)).sum::<u64>())
        });
        let parts = counted.filter(|(_, count)| *count > 0).map(|(phase, count)| format!("{phase}: {count}"));
        parts.collect::<Vec<_>>().join(", ")
    }

    /// The first irregular messages of this kind and these QoS, to look up in the record.
    fn examples(&self, kind: IrregularityKind) -> String {
        self.examples_of(kind, |qos| self.by_qos.contains_key(&qos))
    }

    fn examples_of(&self, kind: IrregularityKind, is_wanted: impl Fn(u8) -> bool) -> String {
        let listed = self.bystanders.irregularities.iter();
        let wanted = listed.filter(|listed| listed.irregularity.kind == kind && is_wanted(listed.qos));
        let mut examples = String::new();
        for listed in wanted.take(EXAMPLES_AT_MOST) {
            let (first, last) = (listed.irregularity.first, listed.irregularity.last);
            let numbers = if first == last { format!("{first}") } else { format!("{first} to {last}") };
            let before = if examples.is_empty() { "; such as" } else { "," };
            let (pair, phase) = (listed.pair, listed.phase.name());
            let _written = write!(examples, "{before} pair {pair} number {numbers} ({phase})");
        }
        examples
    }
}

/// Every acknowledged message reaches the subscriber.
pub(super) const ACKNOWLEDGED_MESSAGES_ARRIVE: Check = Check::of_run(
    "acknowledged_messages_arrive",
    Force::Must,
    &[V5_4_5_0_1, V311_4_5_0_1],
    acknowledged_messages_arrive,
);

fn acknowledged_messages_arrive(record: &Record) -> Option<Finding> {
    let messages = Messages::of(record, |qos| qos > 0)?;
    let sum = &messages.sum;
    if sum.acknowledged == 0 || sum.delivered == 0 {
        let why = "no bystander message of QoS 1 or 2 was acknowledged, or none arrived at all";
        return Some(Finding::inconclusive(why));
    }
    let (samples, without) = (sum.delivered + sum.lost, sum.without_subscribers);
    if sum.lost == 0 && without > 0 {
        let note = "the broker reported no subscriber for messages that had one";
        let evidence = format!(
            "{without} of {} acknowledged messages were answered with 0x10 \"No matching subscribers\" and did not arrive{}",
            sum.acknowledged,
            messages.examples(IrregularityKind::WithoutSubscribers)
        );
        return Some(Finding::differs(sum.acknowledged, note, evidence).of(Force::Prose));
    }
    if sum.lost == 0 {
        let evidence = format!("none of {} acknowledged messages is missing", sum.acknowledged);
        return Some(Finding::holds(samples, evidence));
    }
    let overtaken = sum.lost - sum.lost_at_the_end.min(sum.lost);
    let mut evidence = format!(
        "{} of {} acknowledged messages never arrived ({}; {}), {overtaken} of them overtaken by later ones of the \
         same publisher{}",
        sum.lost,
        sum.acknowledged,
        messages.per_qos(|counts| counts.lost),
        messages.per_phase(|counts| counts.lost),
        messages.examples(IrregularityKind::AcknowledgedButLost)
    );
    if without > 0 {
        let _written = write!(evidence, "; {without} more with 0x10 \"No matching subscribers\"");
    }
    evidence += "; a configured queue limit (Mosquitto: max_queued_messages) may be the cause";
    let explained = messages.explained().or_else(|| {
        let unclear = |why: &str| Some(Explained::Unclear(why.to_owned()));
        match messages.bystanders.drain {
            Some(Drain::StillArriving) => unclear(
                "messages were still arriving when the wait for them ended: the broker is slow and may have lost none",
            ),
            None => unclear("the record does not say whether messages were still arriving at the end"),
            Some(Drain::Settled | Drain::Quiet) => {
                let explained = loss::explained(record, sum, 0, messages.latest_loss());
                explained.or_else(|| messages.possible_queue_overflow().map(Explained::Unclear))
            }
        }
    });
    let note = "acknowledged messages of bystanders never arrived";
    messages.conclude(samples, note, &evidence, explained)
}

/// A QoS 2 message is delivered once. MQTT 5.0 forbids every repetition except for a resumed session; in 3.1.1 the rules for
/// the sender of a QoS 2 message do. A PUBLISH repeated within its exchange is no second delivery.
pub(super) const QOS_2_ARRIVES_ONCE: Check =
    Check::of_run("qos_2_arrives_once", Force::Must, &[V5_4_4_0_1, V311_4_3_3_1], qos_2_arrives_once);

fn qos_2_arrives_once(record: &Record) -> Option<Finding> {
    let messages = Messages::of(record, |qos| qos == 2)?;
    let sum = &messages.sum;
    let samples = sum.delivered;
    if sum.delivered == 0 {
        return Some(Finding::inconclusive("no bystander message of QoS 2 arrived"));
    }
    if sum.duplicated == 0 {
        let evidence = format!("each of {} messages of QoS 2 arrived once", sum.delivered);
        return Some(Finding::holds(samples, evidence));
    }
    let evidence = format!(
        "{} copies beyond the first, {} of them with DUP 0, of {} messages of QoS 2{}",
        sum.duplicated,
        sum.duplicated_without_dup,
        sum.delivered,
        messages.examples(IrregularityKind::Duplicated)
    );
    let note = "messages of QoS 2 arrived more than once";
    messages.conclude(samples, note, &evidence, messages.explained())
}

/// No QoS 0 or 1 message is sent again on a live connection, and no PUBLISH within a QoS 2 exchange. Only a note: receivers of
/// QoS 1 must accept it, and MQTT 3.1.1 does not forbid it.
pub(super) const MESSAGES_ARE_NOT_REPEATED: Check =
    Check::of_run("messages_are_not_repeated", Force::Prose, &[], messages_are_not_repeated);

fn messages_are_not_repeated(record: &Record) -> Option<Finding> {
    let messages = Messages::of(record, |_| true)?;
    if messages.sum.delivered == 0 {
        return Some(Finding::inconclusive("no bystander message arrived"));
    }
    let below_2 = || messages.by_qos.iter().filter(|(qos, _)| **qos < 2);
    let duplicated: u64 = below_2().map(|(_, counts)| counts.duplicated).sum();
    let mut repetitions: Vec<String> = below_2()
        .filter(|(_, counts)| counts.duplicated > 0)
        .map(|(qos, counts)| {
            let (copies, without_dup) = (counts.duplicated, counts.duplicated_without_dup);
            format!("QoS {qos}: {copies} copies beyond the first, {without_dup} of them with DUP 0")
        })
        .collect();
    let repeated = messages.sum.repeated;
    if repeated > 0 {
        repetitions.push(format!("QoS 2: {repeated} PUBLISH packets sent again before their PUBREL"));
    }
    if repetitions.is_empty() {
        let evidence = format!("none of {} messages was sent again", messages.sum.delivered);
        return Some(Finding::holds(messages.sum.delivered, evidence));
    }
    let examples = if duplicated > 0 {
        messages.examples_of(IrregularityKind::Duplicated, |qos| qos < 2)
    } else {
        messages.examples(IrregularityKind::Repeated)
    };
    let mut evidence = format!("{}{examples}", repetitions.join("; "));
    let lost: u64 = messages.bystanders.connections_lost.values().sum();
    if lost > 0 {
        let _written = write!(evidence, "; well-behaved clients lost {lost} connections");
    }
    Some(Finding::differs(
        messages.sum.delivered,
        "messages were sent to a subscriber more than once",
        evidence,
    ))
}

/// The first copies of one publisher's messages to one topic arrive in order.
pub(super) const MESSAGES_KEEP_THEIR_ORDER: Check = Check::of_run(
    "messages_keep_their_order",
    Force::Must,
    &[V5_4_6_0_5, V311_4_6_0_6],
    messages_keep_their_order,
);

fn messages_keep_their_order(record: &Record) -> Option<Finding> {
    let messages = Messages::of(record, |_| true)?;
    let sum = &messages.sum;
    // The first message of a publisher can't be out of order.
    let samples = sum.delivered.saturating_sub(messages.bystanders.pairs);
    if sum.delivered == 0 {
        return Some(Finding::inconclusive("no bystander message arrived"));
    }
    if sum.reordered == 0 {
        let evidence = format!("{} messages arrived in publishing order", sum.delivered);
        return Some(Finding::holds(samples, evidence));
    }
    let evidence = format!(
        "{} of {} messages arrived after a later one of the same publisher and topic ({}){}",
        sum.reordered,
        sum.delivered,
        messages.per_qos(|counts| counts.reordered),
        messages.examples(IrregularityKind::Reordered)
    );
    let note = "messages arrived out of order";
    messages.conclude(samples, note, &evidence, messages.explained())
}
