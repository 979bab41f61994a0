//! The checks of clients that fall silent. Each reads only the record, and gives a verdict for each case.

use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::{V5_3_1_2_8, V5_3_1_2_22, V311_3_1_2_8, V311_3_1_2_24};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::CaseRecord;
use ungraceful_record::scale::{micros, time};
use ungraceful_record::verdict::Force;

use super::control::{cut_for_keep_alive, something_between};
use super::silence::{
    BROKER_STALLED, CUT, CUT_EARLY_WITH, DOWNLINK_MESSAGES, WAITED, has_stalled, long_enough,
};
use super::{CUT_AT, Cut, KEEP_ALIVE, Reason, SECTION, few_keep_alive_timeouts, is_common, no_control};
use crate::judging::{
    SENDS_NO_DISCONNECT_ON_3_1_1, breach, came_once, due_wills, evidence_count, examples, is_v5,
    names_the_reason, no_sample, no_will, sent_code, served_on,
};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::must("closes_a_silent_connection", &[V5_3_1_2_22, V311_3_1_2_24], closes_a_silent_connection),
    Check::prose("waits_for_the_keep_alive", waits_for_the_keep_alive)
        .by_section(ProtocolVersion::V5, SECTION),
    Check::new("reports_keep_alive_timeout", Force::May, reports_keep_alive_timeout).on(is_v5),
    Check::must(
        "publishes_the_will_of_the_silent",
        &[V5_3_1_2_8, V311_3_1_2_8],
        publishes_the_will_of_the_silent,
    ),
    SENDS_NO_DISCONNECT_ON_3_1_1,
];

/// The effective Keep Alives of this case, in seconds: usually one.
fn keep_alives(case: &CaseRecord) -> impl Iterator<Item = u64> {
    case.values(KEEP_ALIVE).map(|(seconds, _)| seconds)
}

/// When the clients of this case were cut, as text.
fn range(case: &CaseRecord) -> String {
    let values = case.measured(CUT_AT);
    if values.count == 0 {
        return "none was cut".to_owned();
    }
    let times = |permille: Option<u64>| {
        let permille = permille.unwrap_or_default();
        format!("{}.{:02}", permille / 1_000, permille % 1_000 / 10)
    };
    let seconds: Vec<String> = keep_alives(case).map(|seconds| format!("{seconds} s")).collect();
    format!(
        "{} to {} times the Keep Alive of {} after the last packet",
        times(values.min),
        times(values.max),
        seconds.join(" or ")
    )
}

/// MQTT 5.0 [MQTT-3.1.2-22], MQTT 3.1.1 [MQTT-3.1.2-24]: the broker cuts a client that sends nothing for one and a half times its
/// Keep Alive. The statement sets no upper limit: a late cut is a note. A violation is only a client that is still served after
/// a generous time in which it sent nothing and the broker answered others. Packets to the client do not count, nor do TCP
/// acknowledgements of them.
fn closes_a_silent_connection(case: &Judged<'_>) -> Option<Finding> {
    let (all, served) = (evidence_count(case), case.outcome(Outcome::Tolerated));
    let (nothing, down) = (case.outcome(Outcome::NoReaction), case.outcome(Outcome::BrokerDown));
    let late = case.count(CUT, Cut::Late);
    let waited_us = case.measured(WAITED).min.unwrap_or_default();
    let keep_alive = Duration::from_secs(keep_alives(case).max().unwrap_or_default());
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if served > 0 {
        let messages = case.measured(DOWNLINK_MESSAGES).min;
        let downlink = messages
            .map(|messages| format!(", while at least {messages} messages were delivered to each client"));
        let evidence = format!(
            "{served} of {all} clients were not cut within {} after their last packet, with a Keep Alive of {} s{}: the \
             broker still answered their PINGREQ",
            time(waited_us),
            keep_alive.as_secs(),
            downlink.unwrap_or_default()
        );
        let still_served = examples(case, |sequence| sequence.ends_with("still served"));
        let stalled_us = case.measured(BROKER_STALLED).max.unwrap_or_default();
        if has_stalled(stalled_us) {
            let stalled = time(stalled_us);
            Finding::inconclusive(format!("{evidence}; meanwhile it answered no client for up to {stalled}"))
        } else if waited_us >= micros(long_enough(keep_alive)) {
            served_on(served, case.total(CUT), evidence)
        } else {
            let cure = "some brokers check rarely and cut later; use a --reaction-timeout of 30s or more";
            Finding::inconclusive(format!("{evidence}; {cure}"))
        }
        .with_examples(still_served)
    } else if nothing > 0 {
        Finding::inconclusive(format!(
            "{nothing} of {all} connections were neither closed nor served within {} after the last packet",
            time(waited_us)
        ))
        .with_examples(examples(case, |sequence| sequence.ends_with("until the deadline")))
    } else if let Some(why) = something_between(case) {
        Finding::inconclusive(why)
    } else if down > 0 {
        Finding::inconclusive(format!("the broker cut {all} clients, then went down during {down} attempts"))
    } else {
        let evidence = format!("{all} of {all} clients were cut, {}", range(case));
        match late {
            0 => Finding::holds(all, evidence),
            _ => {
                let evidence = format!("{evidence}, {late} of them later than 1.75 times");
                Finding::differs(all, "cut late", evidence)
            }
        }
    })
}

/// Section 3.1.2.10 of both versions: a client whose Keep Alive is not over is in time.
///
/// No numbered statement forbids to cut it. MQTT 3.1.1 explicitly permits to cut an inactive client at any time, whatever its Keep
/// Alive: a note there. MQTT 5.0 dropped that sentence and only mentions "other reasons": it is violated when the broker names the
/// Keep Alive as its reason (0x8D, which means one and a half times of it), or names none, cuts most silent clients but keeps
/// the well-behaved ones connected, and cuts a control client at the same share of another Keep Alive. When the control client is
/// cut after the same time, a proxy may be the cause: inconclusive. Between the Keep Alive and one and a half times of it the
/// client itself was late: a note.
fn waits_for_the_keep_alive(case: &Judged<'_>) -> Option<Finding> {
    let all = evidence_count(case);
    let (early, between) = (case.count(CUT, Cut::Early), case.count(CUT, Cut::Between));
    let named = case.count(CUT_EARLY_WITH, Reason::KeepAliveTimeout);
    let silently = case.count(CUT_EARLY_WITH, Reason::None);
    let evidence = format!("{} of {all} silent clients were cut, {}", case.total(CUT), range(case));
    let early_ones = || examples(case, |sequence| sequence.contains("FIN") || sequence.contains("RST"));
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if early > 0 {
        let evidence = format!(
            "{evidence}: {early} before it was over (by more than a twentieth of it), {named} of them with 0x8D (Keep Alive \
             timeout), {silently} without a reason"
        );
        // Clients cut between the Keep Alive and one and a half times of it have control clients, too.
        let shown = cut_for_keep_alive(case).min(silently);
        // A named reason needs no control client.
        let (is_named, is_shown) = (is_common(named, all), is_common(named + shown, all));
        let differs = |why: &str, evidence| {
            Finding::differs(all, format!("cut before the Keep Alive was over, {why}"), evidence)
        };
        match (something_between(case), no_control(case.record)) {
            (Some(why), _) if named == 0 => Finding::inconclusive(format!("{evidence}; {why}")),
            _ if !is_v5(case) => differs("which 3.1.1 permits", evidence),
            _ if is_named => Finding::violated_without_number(evidence),
            (_, None) if is_shown => Finding::violated_without_number(evidence),
            (_, Some(why)) if is_shown => Finding::inconclusive(format!("{evidence}; {why}")),
            _ if named > 0 => few_keep_alive_timeouts(&evidence, named),
            _ => differs("perhaps for another reason", evidence),
        }
        .with_examples(early_ones())
    } else if between > 0 {
        let evidence = format!("{evidence}: {between} of them before 1.5 times");
        let note = "cut before 1.5 times the Keep Alive";
        match something_between(case) {
            Some(why) => Finding::inconclusive(format!("{evidence}; {why}")),
            None => Finding::differs(all, note, evidence),
        }
    } else {
        Finding::holds(all, evidence)
    })
}

/// MQTT 5.0 section 3.14.2.1: DISCONNECT 0x8D gives the client the reason. It is optional, and a lost client receives nothing.
fn reports_keep_alive_timeout(case: &Judged<'_>) -> Option<Finding> {
    let all = case.total(CUT);
    if all == 0 {
        let why = match evidence_count(case) {
            0 => no_sample(case),
            _ => "no client was cut".to_owned(),
        };
        return Some(Finding::inconclusive(why));
    }
    if let Some(why) = something_between(case) {
        return Some(Finding::inconclusive(why));
    }
    let named = sent_code(case, &[KEEP_ALIVE_TIMEOUT_CODE]);
    let evidence =
        format!("{named} of {all} clients that were cut received DISCONNECT 0x8D (Keep Alive timeout)");
    Some(names_the_reason(case, &[KEEP_ALIVE_TIMEOUT_CODE], all, evidence))
}

const KEEP_ALIVE_TIMEOUT_CODE: u8 = 0x8D;

/// MQTT 5.0 [MQTT-3.1.2-8], MQTT 3.1.1 [MQTT-3.1.2-8]: the Will of a silent client that is cut is published.
fn publishes_the_will_of_the_silent(case: &Judged<'_>) -> Option<Finding> {
    let Some(will) = case.will.as_ref().filter(|will| will.due > 0) else {
        return Some(Finding::inconclusive(no_will(case, "no client with a Will was cut")));
    };
    let came = |evidence| match will.not_due_and_seen {
        uncut if uncut > 0 && will.more_than_once == 0 => {
            let note = format!("{uncut} clients had their Will published although they were not cut");
            Finding::differs(will.due, note, evidence)
        }
        _ => came_once(will, evidence),
    };
    Some(due_wills(case, will, |evidence| breach(case, evidence), came))
}
