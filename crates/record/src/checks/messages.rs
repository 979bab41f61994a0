//! The checks of every run on the bystanders' messages: do they arrive, once, and in their order?
//!
//! They accuse by a numbered MUST, so they are slow to: a run that was cut short, a connection that was lost, a broker
//! that is merely slow may explain what was seen, and then it is a note or inconclusive. The standard sets no time
//! within which a message must arrive; what proves a loss is that a later message of the same publisher arrived.

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

/// Messages that evidence names.
const EXAMPLES_AT_MOST: usize = 3;

/// The messages of the bystanders that a check is about.
struct Messages<'a> {
    record: &'a Record,
    bystanders: &'a BystandersRecord,
    by_qos: BTreeMap<u8, LedgerCounts>,
    sum: LedgerCounts,
}

impl<'a> Messages<'a> {
    /// The messages of these QoS; absent when there are no bystanders, or none of these QoS.
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

    /// Why a queue may have reached a limit that the broker was given, although bystanders publish so slowly: their messages
    /// came late, and waited somewhere. Absent when so few waited that every queue has room for them, and when the broker counts
    /// what it drops: it is asked first.
    fn may_have_filled_a_queue(&self) -> Option<String> {
        /// Messages of one publisher for which a queue is taken to have room.
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
                "others came up to {} late, so that {waited} of a publisher waited at a time, and the broker does not tell how many \
                 messages it drops: a limit of its queues may have been reached",
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
                "the broker was restarted {} times, as planned, and what it had not handed on may have gone with it",
                planned.outages
            )))
        } else if lost > 0 {
            Some(Explained::Note(format!(
                "well-behaved clients lost {lost} connections, which may explain it"
            )))
        } else if below > 0 {
            Some(Explained::Note(format!(
                "{below} subscribers were granted or served at a lower QoS than they asked for"
            )))
        } else {
            None
        }
    }

    /// The latest phase of which messages were lost; the last one when none was.
    fn latest_loss(&self) -> Phase {
        let has_lost = |phase: &&BystanderPhaseRecord| {
            phase.by_qos.iter().any(|(qos, counts)| self.by_qos.contains_key(qos) && counts.lost > 0)
        };
        let with_loss = self.bystanders.phases.iter().filter(has_lost);
        with_loss.map(|phase| phase.phase).max().unwrap_or(Phase::Recovery)
    }

    /// The finding on what was seen: violated when nothing else explains it.
    fn accuse(
        &self,
        samples: u64,
        note: &str,
        evidence: &str,
        explained: Option<Explained>,
    ) -> Option<Finding> {
        Some(match explained {
            None if self.bystanders.version.parse::<ProtocolVersion>().is_err() => {
                let why = "the version that the bystanders spoke is not known";
                Finding::inconclusive(format!("{evidence}; {why}"))
            }
            None => Finding::violated(evidence),
            Some(Explained::Note(why)) => Finding::differs(samples, note, format!("{evidence}; {why}")),
            Some(Explained::Unclear(why)) => Finding::inconclusive(format!("{evidence}; {why}")),
        })
    }

    /// Of each QoS that has any, `QoS 1: 5`.
    fn per_qos(&self, count: impl Fn(&LedgerCounts) -> u64) -> String {
        let counted = self.by_qos.iter().map(|(qos, counts)| (qos, count(counts)));
        let told = counted.filter(|(_, count)| *count > 0).map(|(qos, count)| format!("QoS {qos}: {count}"));
        told.collect::<Vec<_>>().join(", ")
    }

    /// Of each phase that has any, `fault: 5`.
    fn per_phase(&self, count: impl Fn(&LedgerCounts) -> u64) -> String {
        let counted = self.bystanders.phases.iter().map(|phase| {
            let of_these = phase.by_qos.iter().filter(|(qos, _)| self.by_qos.contains_key(qos));
            (phase.phase.name(), of_these.map(|(_, counts)| count(counts)).sum::<u64>())
        });
        let told = counted.filter(|(_, count)| *count > 0).map(|(phase, count)| format!("{phase}: {count}"));
        told.collect::<Vec<_>>().join(", ")
    }

    /// The first of the messages of this kind and of these QoS, to look up in the record.
    fn examples(&self, kind: IrregularityKind) -> String {
        self.examples_of(kind, |qos| self.by_qos.contains_key(&qos))
    }

    fn examples_of(&self, kind: IrregularityKind, is_wanted: impl Fn(u8) -> bool) -> String {
        let listed = self.bystanders.irregularities.iter();
        let wanted = listed.filter(|listed| listed.irregularity.kind == kind && is_wanted(listed.qos));
        let mut told = String::new();
        for listed in wanted.take(EXAMPLES_AT_MOST) {
            let (first, last) = (listed.irregularity.first, listed.irregularity.last);
            let numbers = if first == last { format!("{first}") } else { format!("{first} to {last}") };
            let before = if told.is_empty() { "; such as" } else { "," };
            let (pair, phase) = (listed.pair, listed.phase.name());
            let _written = write!(told, "{before} pair {pair} number {numbers} ({phase})");
        }
        told
    }
}

/// What the broker acknowledged, the subscriber received.
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
        let note = "the broker says of messages that nobody had subscribed, and somebody had";
        let evidence = format!(
            "{without} of {} acknowledged messages came back with 0x10 \"No matching subscribers\" and did not arrive{}",
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
    evidence += "; if the broker has been given a limit of its queues (Mosquitto: max_queued_messages), that may be it";
    let explained = messages.explained().or_else(|| {
        let unclear = |why: &str| Some(Explained::Unclear(why.to_owned()));
        match messages.bystanders.drain {
            Some(Drain::StillArriving) => unclear(
                "messages were still arriving when the time for it was up: the broker is slow, and may have lost none",
            ),
            None => unclear("whether messages were still arriving at the end was not noted"),
            Some(Drain::Settled | Drain::Quiet) => {
                let explained = loss::explained(record, sum, 0, messages.latest_loss());
                explained.or_else(|| messages.may_have_filled_a_queue().map(Explained::Unclear))
            }
        }
    });
    let note = "acknowledged messages of bystanders never arrived";
    messages.accuse(samples, note, &evidence, explained)
}

/// A QoS 2 message is delivered once. MQTT 5.0 forbids every repetition but for a resumed session; in 3.1.1 it is the
/// rules for the sender of a QoS 2 message. A PUBLISH repeated within its exchange is no second delivery.
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
    messages.accuse(samples, note, &evidence, messages.explained())
}

/// Nothing is sent again on a connection that lives, of QoS 0 and 1, nor within an exchange of QoS 2. A note: a receiver
/// of QoS 1 must be ready for it, and MQTT 3.1.1 does not forbid to send again.
pub(super) const MESSAGES_ARE_NOT_REPEATED: Check =
    Check::of_run("messages_are_not_repeated", Force::Prose, &[], messages_are_not_repeated);

fn messages_are_not_repeated(record: &Record) -> Option<Finding> {
    let messages = Messages::of(record, |_| true)?;
    if messages.sum.delivered == 0 {
        return Some(Finding::inconclusive("no bystander message arrived"));
    }
    let below_2 = || messages.by_qos.iter().filter(|(qos, _)| **qos < 2);
    let duplicated: u64 = below_2().map(|(_, counts)| counts.duplicated).sum();
    let mut told: Vec<String> = below_2()
        .filter(|(_, counts)| counts.duplicated > 0)
        .map(|(qos, counts)| {
            let (copies, without_dup) = (counts.duplicated, counts.duplicated_without_dup);
            format!("QoS {qos}: {copies} copies beyond the first, {without_dup} of them with DUP 0")
        })
        .collect();
    let repeated = messages.sum.repeated;
    if repeated > 0 {
        told.push(format!("QoS 2: {repeated} PUBLISH packets sent again before their PUBREL"));
    }
    if told.is_empty() {
        let evidence = format!("nothing of {} messages was sent again", messages.sum.delivered);
        return Some(Finding::holds(messages.sum.delivered, evidence));
    }
    let examples = if duplicated > 0 {
        messages.examples_of(IrregularityKind::Duplicated, |qos| qos < 2)
    } else {
        messages.examples(IrregularityKind::Repeated)
    };
    let mut evidence = format!("{}{examples}", told.join("; "));
    let lost: u64 = messages.bystanders.connections_lost.values().sum();
    if lost > 0 {
        let _written = write!(evidence, "; well-behaved clients lost {lost} connections");
    }
    Some(Finding::differs(messages.sum.delivered, "messages were sent to a subscriber again", evidence))
}

/// The messages of one publisher to one topic arrive in their order: the first copy of each.
pub(super) const MESSAGES_KEEP_THEIR_ORDER: Check = Check::of_run(
    "messages_keep_their_order",
    Force::Must,
    &[V5_4_6_0_5, V311_4_6_0_6],
    messages_keep_their_order,
);

fn messages_keep_their_order(record: &Record) -> Option<Finding> {
    let messages = Messages::of(record, |_| true)?;
    let sum = &messages.sum;
    // The first message of a publisher has none that it could have come after.
    let samples = sum.delivered.saturating_sub(messages.bystanders.pairs);
    if sum.delivered == 0 {
        return Some(Finding::inconclusive("no bystander message arrived"));
    }
    if sum.reordered == 0 {
        let evidence = format!("{} messages arrived in the order of their publishers", sum.delivered);
        return Some(Finding::holds(samples, evidence));
    }
    let evidence = format!(
        "{} of {} messages arrived after a later one of the same publisher and topic ({}){}",
        sum.reordered,
        sum.delivered,
        messages.per_qos(|counts| counts.reordered),
        messages.examples(IrregularityKind::Reordered)
    );
    let note = "messages arrived out of their order";
    messages.accuse(samples, note, &evidence, messages.explained())
}
