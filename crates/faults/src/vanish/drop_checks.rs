//! The checks of the drop. Each reads only the record, and gives a verdict for each case.

use ungraceful_mqtt::QoS;
use ungraceful_mqtt::statement::{
    V5_3_1_2_8, V5_3_1_2_10, V5_3_1_2_23, V5_3_1_3_9, V5_3_2_2_3, V5_3_14_4_3, V5_4_1_0_2, V5_4_5_0_1,
    V5_4_6_0_5, V311_3_1_2_4, V311_3_1_2_5, V311_3_1_2_6, V311_3_1_2_8, V311_3_1_2_10, V311_3_2_2_3,
    V311_3_14_4_3, V311_4_6_0_6,
};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::offers::Offers;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Record};

use super::drop::{BACK_PAST_END, RETURN, Variant, WAITING, WILL_CAME, Way, WillCame};
use crate::ending::Answer;
use crate::judging::{
    self, SENDS_NO_DISCONNECT_ON_3_1_1, breach, comes_in_order, due_wills, no_sample, no_will, of_version,
    will_breach,
};
use crate::outbox::{HELD_BACK, Share};
use crate::resumption::{
    REPORTS_SESSION_PRESENT_CORRECTLY, Resumed, Resumption, SESSION_PRESENT, broken_by_presence,
};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::must("publishes_the_will", &[V5_3_1_2_8, V311_3_1_2_8], publishes_the_will).on(will_is_due),
    Check::must("publishes_the_will_once", &[V5_3_1_2_10, V311_3_1_2_10], publishes_the_will_once)
        .on(will_is_due),
    Check::must("withholds_the_will", &[V5_3_14_4_3, V311_3_14_4_3, V5_3_1_3_9], withholds_the_will),
    Check::must("keeps_the_session", &[V5_3_1_2_23, V311_3_1_2_4], keeps_the_session).on(keeps_session),
    Check::must("ends_the_session", &[V5_4_1_0_2, V311_3_1_2_6, V5_3_2_2_3, V311_3_2_2_3], ends_the_session),
    REPORTS_SESSION_PRESENT_CORRECTLY.on(keeps_session),
    Check::must("delivers_what_waited", &[V5_4_5_0_1, V311_3_1_2_5], delivers_what_waited).on(keeps_session),
    Check::must("delivers_in_order", &[V5_4_6_0_5, V311_4_6_0_6], delivers_in_order).on(keeps_session),
    Check::prose("closes_its_side", closes_its_side),
    SENDS_NO_DISCONNECT_ON_3_1_1,
];

const NO_WILL_AWAITED: &str = "the attempts could not wait for a Will";

fn variant(case: &CaseRecord) -> Option<Variant> {
    Variant::named(&case.case.variant)
}

fn keeps_session(case: &CaseRecord) -> bool {
    variant(case).is_some_and(Variant::keeps_session)
}

fn will_is_due(case: &CaseRecord) -> bool {
    variant(case).is_some_and(Variant::will_is_due)
}

/// MQTT 5.0 and 3.1.1 [MQTT-3.1.2-8]: the Will of a client that leaves without DISCONNECT 0x00 is published, and not before
/// its delay or its session is over.
fn publishes_the_will(case: &Judged<'_>) -> Option<Finding> {
    let Some(will) = case.will.as_ref().filter(|will| will.due > 0) else {
        return Some(Finding::inconclusive(no_will(case, NO_WILL_AWAITED)));
    };
    let count = |came| case.count(WILL_CAME, came);
    let (early, rounded) = (count(WillCame::Early), count(WillCame::Rounded));
    let late = count(WillCame::LateByDelay);
    if early > 0 {
        let evidence = format!(
            "{early} of {} Wills came more than a second before their delay or session was over",
            will.due
        );
        return Some(will_breach(case, early, evidence));
    }
    let came = |evidence| {
        let note = if late > 0 {
            format!("{late} Wills came after their full delay, although the session had ended earlier")
        } else if rounded > 0 {
            format!("{rounded} Wills came up to a second early: the broker seems to count in whole seconds")
        } else {
            return Finding::holds(will.due, evidence);
        };
        Finding::differs(will.due, note, evidence)
    };
    Some(due_wills(case, will, |evidence| breach(case, evidence), came))
}

/// MQTT 5.0 and 3.1.1 [MQTT-3.1.2-10]: a published Will is removed. Copies with DUP do not count, and a broker may have to
/// repeat some Wills at QoS 1.
fn publishes_the_will_once(case: &Judged<'_>) -> Option<Finding> {
    let Some(will) = case.will.as_ref().filter(|will| will.due_and_seen > 0) else {
        return Some(Finding::inconclusive("no Will came"));
    };
    let twice = will.more_than_once;
    let evidence = format!("{twice} of {} Wills came more than once, without DUP", will.due_and_seen);
    Some(if twice == 0 {
        Finding::holds(will.due_and_seen, evidence)
    } else if twice == will.due_and_seen {
        will_breach(case, twice, evidence)
    } else {
        Finding::differs(will.due_and_seen, format!("{twice} Wills came more than once (QoS 1)"), evidence)
    })
}

/// MQTT 5.0 and 3.1.1 [MQTT-3.14.4-3]: no Will after DISCONNECT 0x00. MQTT 5.0 [MQTT-3.1.3-9]: none when the session is
/// resumed before the delay is over.
fn withholds_the_will(case: &Judged<'_>) -> Option<Finding> {
    let (statement, when) = match variant(case)? {
        Variant::Disconnect => {
            (of_version(case, V5_3_14_4_3, V311_3_14_4_3), "although the client had sent DISCONNECT")
        }
        Variant::BackBeforeWillDelay => (
            V5_3_1_3_9,
            "although the client had resumed its session before the Will Delay Interval was over",
        ),
        _ => return None,
    };
    let Some(will) = case.will.as_ref() else {
        return Some(Finding::inconclusive(no_will(case, NO_WILL_AWAITED)).by(statement));
    };
    let evidence = format!("{} of {} Wills were published {when}", will.not_due_and_seen, will.set);
    Some(judging::withheld(case, will, evidence).by(statement))
}

/// Why Session Present allows no conclusion.
fn no_return(case: &CaseRecord) -> String {
    let refused = case.others(RETURN, Answer::Accepted);
    let not_owed = case.count(SESSION_PRESENT, Resumption::NotOwed);
    if let Some(why) = Resumed::of(case).nothing_known() {
        why
    } else if not_owed > 0 {
        format!(
            "{not_owed} of {} returning clients were too late, or the broker had granted another Session Expiry Interval \
             than requested",
            case.total(SESSION_PRESENT)
        )
    } else if !refused.is_empty() {
        format!("the broker accepted no returning client: {refused}")
    } else {
        no_sample(case)
    }
}

/// MQTT 5.0 [MQTT-3.1.2-23], MQTT 3.1.1 [MQTT-3.1.2-4]: the session is kept. Violated only when every session was gone.
fn keeps_the_session(case: &Judged<'_>) -> Option<Finding> {
    let resumed = Resumed::of(case);
    let (kept, gone) = (resumed.kept(), resumed.gone);
    let evidence = format!("{kept} of {} sessions still existed when their clients returned", resumed.all());
    Some(if resumed.all() == 0 {
        Finding::inconclusive(no_return(case))
    } else if gone == 0 {
        Finding::holds(resumed.all(), evidence)
    } else if kept > 0 {
        Finding::differs(kept + gone, format!("{gone} sessions were gone"), evidence)
    } else {
        breach(case, evidence)
    })
}

/// MQTT 5.0 [MQTT-4.1.0-2], MQTT 3.1.1 [MQTT-3.1.2-6]: a session ends when its time is over. The standard does not limit how
/// late a broker may end it: less than [`VIOLATED_AFTER_S`] is a note. Where nothing of the session is left, Session
/// Present 1 is false ([MQTT-3.2.2-3] in both versions).
fn ends_the_session(case: &Judged<'_>) -> Option<Finding> {
    let variant = variant(case)?;
    if !matches!(variant, Variant::SessionEnds | Variant::AfterExpiry) {
        return None;
    }
    let statement = of_version(case, V5_4_1_0_2, V311_3_1_2_6);
    let Resumed { announced: kept, gone, .. } = Resumed::of(case);
    let evidence = format!("{kept} of {} returning clients received Session Present 1", kept + gone);
    let beyond_s = case.measured(BACK_PAST_END).min.unwrap_or(0) / 1_000_000;
    Some(if kept + gone == 0 {
        Finding::inconclusive(no_return(case))
    } else if kept == 0 {
        Finding::holds(kept + gone, evidence)
    } else if variant == Variant::AfterExpiry && beyond_s < VIOLATED_AFTER_S {
        let note = format!("{kept} sessions still existed {beyond_s} s after their end");
        let evidence = format!(
            "{evidence}; a broker may remove expired sessions only now and then: use --grace {VIOLATED_AFTER_S}s or more to \
             be sure"
        );
        Finding::differs(kept + gone, note, evidence)
    } else {
        broken_by_presence(case, statement, of_version(case, V5_3_2_2_3, V311_3_2_2_3), evidence)
    })
}

/// A session that still exists this long after its end is a violation, in seconds: brokers remove expired sessions every few
/// seconds.
pub const VIOLATED_AFTER_S: u64 = 10;

/// Whether the broker supports only QoS 0: it need not keep messages for an absent client then.
fn keeps_no_messages(record: &Record) -> bool {
    Offers::known(&record.broker).maximum_qos == QoS::AtMostOnce
}

/// MQTT 5.0 [MQTT-4.5.0-1], MQTT 3.1.1 [MQTT-3.1.2-5]: messages for the session of an absent client wait in it. A broker may
/// limit their number: the rule of [`ungraceful_record::loss`] decides what is a violation.
fn delivers_what_waited(case: &Judged<'_>) -> Option<Finding> {
    if keeps_no_messages(case.record) {
        return None;
    }
    let count = |value| case.count(WAITING, value);
    let (lacking, not_yet) = (count(Share::Some) + count(Share::None), count(Share::NotYet));
    let evidence = format!(
        "{lacking} of {} clients that resumed their session did not receive all messages that the broker had accepted \
         during their absence, although they received a later one",
        case.total(WAITING)
    );
    Some(if lacking > 0 {
        judging::lost(case, case.measured(HELD_BACK).sum, evidence)
    } else if not_yet > 0 {
        Finding::inconclusive(format!(
            "{not_yet} clients did not receive everything before the deadline, nor any later message: try a longer \
             --reaction-timeout"
        ))
    } else if case.total(WAITING) == 0 {
        Finding::inconclusive("no messages were waiting for a client that resumed its session")
    } else {
        Finding::holds(case.total(WAITING), evidence)
    })
}

/// MQTT 5.0 [MQTT-4.6.0-5], MQTT 3.1.1 [MQTT-4.6.0-6]: the messages of one client on one topic at one QoS come in order,
/// waiting ones before new ones.
fn delivers_in_order(case: &Judged<'_>) -> Option<Finding> {
    if keeps_no_messages(case.record) { None } else { comes_in_order(case) }
}

/// No numbered statement: after the client's FIN or Close frame the broker closes as well. Otherwise it holds a socket until the Keep Alive is
/// over.
fn closes_its_side(case: &Judged<'_>) -> Option<Finding> {
    if matches!(variant(case)?.way(), Way::Fin | Way::Rst) {
        return None;
    }
    let (closed, open) = (case.ended(), case.outcome(Outcome::NoReaction));
    let evidence = format!("the broker closed {closed} of {} connections", closed + open);
    Some(match (closed, open) {
        (0, 0) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(closed + open, evidence),
        _ => {
            let note = format!("{open} connections were still half open at the deadline");
            Finding::differs(closed + open, note, evidence)
        }
    })
}
