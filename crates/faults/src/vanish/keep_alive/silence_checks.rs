//! What a broker is judged by whose clients fall silent. Each check reads the record alone and gives a verdict for each case.

use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::{V5_3_1_2_8, V5_3_1_2_22, V311_3_1_2_8, V311_3_1_2_24};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::CaseRecord;
use ungraceful_record::scale::micros;
use ungraceful_record::scale::time;
use ungraceful_record::verdict::Force;

use super::control::{for_the_keep_alive, something_between};
use super::silence::{
    BROKER_STALLED, CUT, CUT_EARLY_WITH, DOWNLINK_MESSAGES, WAITED, has_stalled, long_enough,
};
use super::{CUT_AT, Cut, KEEP_ALIVE, Reason, SECTION, few_were_told, is_common, no_control};
use crate::judging::{
    SENDS_NO_DISCONNECT_ON_3_1_1, breach, came_once, due_wills, evidence_count, examples, is_v5,
    names_the_reason, no_sample, no_will, sent_code, served_on,
};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::must("closes_a_silent_connection", &[V5_3_1_2_22, V311_3_1_2_24], closes_a_silent_connection),
    Check::prose("waits_for_the_keep_alive", waits_for_the_keep_alive)
        .by_section(ProtocolVersion::V5, SECTION),
    Check::new("tells_keep_alive_timeout", Force::May, tells_keep_alive_timeout).on(is_v5),
    Check::must(
        "publishes_the_will_of_the_silent",
        &[V5_3_1_2_8, V311_3_1_2_8],
        publishes_the_will_of_the_silent,
    ),
    SENDS_NO_DISCONNECT_ON_3_1_1,
];

/// The Keep Alives that held in this case, in seconds: one, unless the broker changes its mind.
fn keep_alives(case: &CaseRecord) -> impl Iterator<Item = u64> {
    case.values(KEEP_ALIVE).map(|(seconds, _)| seconds)
}

/// When the clients of this case were cut, in words.
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

/// MQTT 5.0 [MQTT-3.1.2-22], MQTT 3.1.1 [MQTT-3.1.2-24]: a client of which nothing came for one and a half times its Keep
/// Alive is cut. The statement has no later limit: a client that is cut late is a note, and only one that is still served after
/// a generous time, in which it sent nothing and the broker answered others, is a violation. Packets to the client do not count, nor does a hop's kernel that acknowledges them.
fn closes_a_silent_connection(case: &Judged<'_>) -> Option<Finding> {
    let inconclusive = |why: String| Finding::inconclusive(why);
    let (all, served) = (evidence_count(case), case.outcome(Outcome::Tolerated));
    let (nothing, down) = (case.outcome(Outcome::NoReaction), case.outcome(Outcome::BrokerDown));
    let late = case.count(CUT, Cut::Late);
    let waited_us = case.measured(WAITED).min.unwrap_or_default();
    let keep_alive = Duration::from_secs(keep_alives(case).max().unwrap_or_default());
    let finding = if all == 0 {
        inconclusive(no_sample(case))
    } else if served > 0 {
        let downlink = match case.measured(DOWNLINK_MESSAGES).min {
            Some(messages) => {
                format!(", while at least {messages} messages were delivered to each client")
            }
            None => String::new(),
        };
        let evidence = format!(
            "{served} of {all} clients were not cut within {} after their last packet, with a Keep Alive of {} s\
             {downlink}: each was still answered PINGREQ then",
            time(waited_us),
            keep_alive.as_secs()
        );
        let still_served = examples(case, |sequence| sequence.ends_with("still served"));
        let stalled_us = case.measured(BROKER_STALLED).max.unwrap_or_default();
        if has_stalled(stalled_us) {
            let stalled = time(stalled_us);
            inconclusive(format!("{evidence}; the broker answered nobody for up to {stalled} meanwhile"))
                .with_examples(still_served)
        } else if waited_us >= micros(long_enough(keep_alive)) {
            served_on(served, case.total(CUT), evidence).with_examples(still_served)
        } else {
            let cure = "brokers that look rarely cut later; a --reaction-timeout of 30s or more will tell";
            inconclusive(format!("{evidence}; {cure}")).with_examples(still_served)
        }
    } else if nothing > 0 {
        inconclusive(format!(
            "{nothing} of {all} connections were neither closed nor served within {} after the last packet",
            time(waited_us)
        ))
        .with_examples(examples(case, |sequence| sequence.ends_with("until the deadline")))
    } else if let Some(why) = something_between(case) {
        inconclusive(why)
    } else if down > 0 {
        inconclusive(format!("the broker cut {all} clients, then went down during {down} attempts"))
    } else {
        let evidence = format!("{all} of {all} clients were cut, {}", range(case));
        if late > 0 {
            let evidence = format!("{evidence}, {late} of them later than 1.75 times");
            Finding::differs(all, "cut late", evidence)
        } else {
            Finding::holds(all, evidence)
        }
    };
    Some(finding)
}

/// Section 3.1.2.10 of both versions: a client whose Keep Alive is not over has kept its word.
///
/// No numbered statement keeps a broker from cutting it. MQTT 3.1.1 permits in so many words to cut an inactive client at any
/// time, whatever its Keep Alive: a note there. MQTT 5.0 has dropped that and speaks of "other reasons": it accuses there when
/// the broker names the Keep Alive as its reason (0x8D, which stands for one and a half times of it), or when it names none,
/// cuts most silent clients while it leaves the honest ones alone, and cuts a control client at the same share of another Keep
/// Alive. One that is cut after the same time may have been cut by a proxy: inconclusive. Between the Keep Alive and one and a half times of it the
/// client was late itself: a note.
fn waits_for_the_keep_alive(case: &Judged<'_>) -> Option<Finding> {
    let all = evidence_count(case);
    let (early, between) = (case.count(CUT, Cut::Early), case.count(CUT, Cut::Between));
    let told = case.count(CUT_EARLY_WITH, Reason::KeepAliveTimeout);
    let silently = case.count(CUT_EARLY_WITH, Reason::None);
    let evidence = format!("of {all} silent clients {} were cut, {}", case.total(CUT), range(case));
    let early_ones = || examples(case, |sequence| sequence.contains("FIN") || sequence.contains("RST"));
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if early > 0 {
        let evidence = format!(
            "{evidence}: {early} before it was over (by more than a twentieth of it), {told} of them told 0x8D (Keep \
             Alive timeout), {silently} told nothing"
        );
        // Control clients stand beside those, too, that were cut between the Keep Alive and one and a half times it.
        let alike = for_the_keep_alive(case).min(silently);
        // What is named needs no control client.
        let (is_named, is_shown) = (is_common(told, all), is_common(told + alike, all));
        if let (0, Some(why)) = (told, something_between(case)) {
            Finding::inconclusive(format!("{evidence}; {why}"))
        } else if is_v5(case) && (is_named || (is_shown && no_control(case.record).is_none())) {
            Finding::violated_without_number(evidence)
        } else if let (true, true, Some(why)) = (is_v5(case), is_shown, no_control(case.record)) {
            Finding::inconclusive(format!("{evidence}; {why}"))
        } else if is_v5(case) && told > 0 {
            Finding::inconclusive(few_were_told(&evidence, told))
        } else if is_v5(case) {
            let note = "cut before the Keep Alive was over, perhaps for another reason";
            Finding::differs(all, note, evidence)
        } else {
            let note = "cut before the Keep Alive was over, which 3.1.1 permits";
            Finding::differs(all, note, evidence)
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

/// MQTT 5.0 section 3.14.2.1: DISCONNECT 0x8D tells the client why. A broker may, and a client that is lost hears nothing.
fn tells_keep_alive_timeout(case: &Judged<'_>) -> Option<Finding> {
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
    let told = sent_code(case, &[KEEP_ALIVE_TIMEOUT_CODE]);
    let evidence =
        format!("{told} of {all} clients that were cut were sent DISCONNECT 0x8D (Keep Alive timeout)");
    Some(names_the_reason(case, &[KEEP_ALIVE_TIMEOUT_CODE], all, evidence))
}

/// The Reason Code of a broker that cuts a client for its Keep Alive.
const KEEP_ALIVE_TIMEOUT_CODE: u8 = 0x8D;

/// MQTT 5.0 [MQTT-3.1.2-8], MQTT 3.1.1 [MQTT-3.1.2-8]: the Will of a client that is cut for its silence is published.
fn publishes_the_will_of_the_silent(case: &Judged<'_>) -> Option<Finding> {
    let Some(will) = case.will.as_ref().filter(|will| will.due > 0) else {
        return Some(Finding::inconclusive(no_will(case, "no client with a Will was cut")));
    };
    Some(due_wills(
        case,
        will,
        |evidence| breach(case, evidence),
        |evidence| match will.not_due_and_seen {
            uncut if uncut > 0 && will.more_than_once == 0 => Finding::differs(
                will.due,
                format!("{uncut} Wills came of clients that were not cut"),
                evidence,
            ),
            _ => came_once(will, evidence),
        },
    ))
}
