//! The checks of clients that send PINGREQ just in time, or slightly late.

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::run::CaseRecord;
use ungraceful_record::scale::time;

use super::control::{cut_for_keep_alive, something_between};
use super::edge::{ANSWERED, FATE, Fate, LONGEST_GAP, SENT, Share};
use super::{Reason, SECTION, few_keep_alive_timeouts, is_common, no_control};
use crate::judging::{SENDS_NO_DISCONNECT_ON_3_1_1, evidence_count, examples, is_v5, no_sample};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::prose("keeps_a_client_that_pings_in_time", keeps_a_client_that_pings_in_time)
        .by_section(ProtocolVersion::V5, SECTION),
    Check::prose("bears_with_a_late_pingreq", bears_with_a_late_pingreq),
    SENDS_NO_DISCONNECT_ON_3_1_1,
];

/// The fates of a case's clients.
struct Fates {
    all: u64,
    cut: u64,
    /// Of these, those that received 0x8D.
    named: u64,
    /// Of these, those that received no reason and whose control client was cut at the same share of another Keep Alive.
    shown: u64,
    we_were_late: u64,
    broker_was_late: u64,
    evidence: String,
}

impl Fates {
    /// Absent for an unknown variant.
    fn of(case: &CaseRecord) -> Option<(Share, Self)> {
        let share = Share::of_variant(&case.case.variant)?;
        let left_alone = case.count(FATE, Fate::LeftAlone);
        let cut = case
            .values(FATE)
            .filter(|(fate, _)| matches!(fate, Fate::CutWith(_)))
            .map(|(_, count)| count)
            .sum();
        let all = evidence_count(case);
        let evidence = format!(
            "{left_alone} of {all} clients that should send PINGREQ every {share} times their Keep Alive stayed connected, \
             {cut} were cut; {} PINGREQs were sent, {} answered; the longest time between two packets was {}",
            case.measured(SENT).sum,
            case.measured(ANSWERED).sum,
            time(case.measured(LONGEST_GAP).max.unwrap_or_default())
        );
        let fates = Self {
            all,
            cut,
            named: case.count(FATE, Fate::CutWith(Reason::KeepAliveTimeout.to_string())),
            shown: cut_for_keep_alive(case),
            we_were_late: case.count(FATE, Fate::WeWereLate),
            broker_was_late: case.count(FATE, Fate::BrokerWasLate),
            evidence,
        };
        Some((share, fates))
    }

    /// The finding where nothing allows a conclusion; absent otherwise.
    fn nothing_to_judge(&self, case: &CaseRecord) -> Option<Finding> {
        let evidence = &self.evidence;
        let known = case.total(FATE);
        let why = if self.all == 0 {
            no_sample(case)
        } else if let (0, Some(why)) = (self.named, something_between(case)) {
            format!("{evidence}; {why}")
        } else if self.cut > 0 {
            return None;
        } else if self.we_were_late > 0 {
            format!(
                "{evidence}; {} were cut after they had sent a PINGREQ too late: this machine is too busy",
                self.we_were_late
            )
        } else if self.broker_was_late > 0 {
            format!(
                "{evidence}; {} were cut after the broker had left a PINGREQ unanswered or had answered no client for a while: \
                 it may have stalled, and not have read their packets",
                self.broker_was_late
            )
        } else if known < self.all {
            format!("{evidence}; {} were neither cut nor answered", self.all - known)
        } else {
            return None;
        };
        Some(Finding::inconclusive(why))
    }
}

/// Section 3.1.2.10 of both versions: a client that sends PINGREQ before its Keep Alive is over is in time.
///
/// No numbered statement requires that it stays connected, and MQTT 3.1.1 permits to cut a client that the Server "determines to
/// be inactive" at any time, whatever its Keep Alive: a note there. On MQTT 5.0 it is violated only when most of these clients
/// are cut, none of them after an unanswered PINGREQ, and the broker names the Keep Alive as its reason (0x8D); or names none,
/// keeps the well-behaved clients connected, and cuts a control client at the same share of another Keep Alive. When the control
/// client is cut after the same time, a proxy may be the cause: inconclusive.
fn keeps_a_client_that_pings_in_time(case: &Judged<'_>) -> Option<Finding> {
    let (share, fates) = Fates::of(case)?;
    if !share.is_in_time() {
        return None;
    }
    if let Some(finding) = fates.nothing_to_judge(case) {
        return Some(finding);
    }
    let evidence = fates.evidence.clone();
    // A named reason needs no control client.
    let is_named = is_common(fates.named, fates.all);
    let is_shown = is_common(fates.named + fates.shown, fates.all);
    let differs = |why: &str, evidence| {
        Finding::differs(fates.all, format!("a client in time is cut, {why}"), evidence)
    };
    let finding = match no_control(case.record) {
        _ if fates.cut == 0 => return Some(Finding::holds(fates.all, evidence)),
        _ if !is_v5(case) => differs("which 3.1.1 permits", evidence),
        _ if is_named => Finding::violated_without_number(evidence),
        None if is_shown => Finding::violated_without_number(evidence),
        Some(why) if is_shown => Finding::inconclusive(format!("{evidence}; {why}")),
        _ if fates.named > 0 => few_keep_alive_timeouts(&evidence, fates.named),
        _ => differs("perhaps for another reason", evidence),
    };
    Some(finding.with_examples(cut_ones(case)))
}

fn cut_ones(case: &CaseRecord) -> Vec<u64> {
    examples(case, |sequence| sequence.ends_with("FIN") || sequence.ends_with("RST"))
}

/// Section 3.1.2.10 of both versions: a broker waits for one and a half times the Keep Alive. It need not wait for a late
/// client.
fn bears_with_a_late_pingreq(case: &Judged<'_>) -> Option<Finding> {
    let (share, fates) = Fates::of(case)?;
    if share.is_in_time() {
        return None;
    }
    if let Some(finding) = fates.nothing_to_judge(case) {
        return Some(finding);
    }
    Some(match fates.cut {
        0 => Finding::holds(fates.all, fates.evidence),
        _ => {
            let note = "a late client is cut before 1.5 times the Keep Alive";
            Finding::differs(fates.all, note, fates.evidence).with_examples(cut_ones(case))
        }
    })
}
