//! The checks of the storm of Wills. Each reads only the record, and gives a verdict for each case.

use ungraceful_mqtt::statement::{V5_3_1_2_8, V5_3_1_2_15, V5_3_1_3_9, V311_3_1_2_8, V311_3_1_2_17};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::YesNo;
use ungraceful_record::run::CaseRecord;
use ungraceful_record::scale::time;

use super::will_storm::{AFTER_ONLINE, RETAINED, RETURN, Retained, Variant};
use crate::ending::Answer;
use crate::judging::{self, breach, came_once, due_wills, evidence_count, examples, no_sample, will_breach};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::must("publishes_every_will", &[V5_3_1_2_8, V311_3_1_2_8], publishes_every_will)
        .on(|case| variant(case).is_some_and(|variant| variant != Variant::BackWillDelay)),
    Check::must("retains_the_will", &[V5_3_1_2_15, V311_3_1_2_17], retains_the_will)
        .on(|case| variant(case) == Some(Variant::Retained)),
    Check::must("withholds_the_will_of_who_is_back", &[V5_3_1_3_9], withholds_the_will_of_who_is_back)
        .on(|case| variant(case) == Some(Variant::BackWillDelay)),
    Check::prose("leaves_online_behind", leaves_online_behind).on(returns),
];

fn variant(case: &CaseRecord) -> Option<Variant> {
    Variant::named(&case.case.variant)
}

fn returns(case: &CaseRecord) -> bool {
    variant(case).is_some_and(Variant::returns)
}

/// MQTT 5.0 and 3.1.1 [MQTT-3.1.2-8]. When the client returns at once, the broker may see the new connection first: a note.
fn publishes_every_will(case: &Judged<'_>) -> Option<Finding> {
    let Some(will) = case.will.as_ref().filter(|will| will.due > 0) else {
        return Some(Finding::inconclusive(no_sample(case)));
    };
    let spread = match will.will_time.max_us {
        Some(us) => format!("; the last one {} after its client was lost", time(us)),
        None => String::new(),
    };
    let missing = |evidence| match returns(case) {
        true => Finding::differs(will.due, "no Will of clients that returned at once", evidence),
        false => breach(case, evidence),
    };
    Some(due_wills(case, will, missing, |evidence| came_once(will, evidence + &spread)))
}

/// MQTT 5.0 [MQTT-3.1.2-15], MQTT 3.1.1 [MQTT-3.1.2-17]: a Will with Will Retain is published as a retained message. Violated
/// only when no Will was retained although all Wills came.
fn retains_the_will(case: &Judged<'_>) -> Option<Finding> {
    let (offline, nothing) =
        (case.count(RETAINED, Retained::Offline), case.count(RETAINED, Retained::Nothing));
    let all = case.total(RETAINED);
    let (due, came) = case.will.as_ref().map_or((0, 0), |will| (will.due, will.due_and_seen));
    let evidence = format!(
        "{offline} of {all} clients that subscribed after the storm received the retained Will, {nothing} received nothing"
    );
    Some(if offline + nothing == 0 {
        Finding::inconclusive(no_sample(case))
    } else if offline == all {
        Finding::holds(all, evidence)
    } else if nothing == all && came == due && due > 0 {
        will_breach(case, nothing, evidence)
    } else {
        Finding::inconclusive(format!(
            "{evidence}; {came} of {due} Wills had come by then: the broker may limit or delay retained messages"
        ))
    })
}

/// MQTT 5.0 [MQTT-3.1.3-9]: no Will of a client whose session was resumed before the Will Delay Interval was over.
fn withholds_the_will_of_who_is_back(case: &Judged<'_>) -> Option<Finding> {
    let Some(will) = case.will.as_ref() else {
        let why = match evidence_count(case) {
            0 => no_sample(case),
            _ => "no client resumed its session well before its Will Delay Interval was over".to_owned(),
        };
        return Some(Finding::inconclusive(why));
    };
    let evidence = format!(
        "{} of {} Wills were published although their clients had resumed their sessions before the Will Delay Interval \
         was over",
        will.not_due_and_seen, will.set
    );
    Some(judging::withheld(case, will, evidence))
}

/// No numbered statement orders a Will and the message of its returned client. A stale "offline" is a problem that operators
/// know.
fn leaves_online_behind(case: &Judged<'_>) -> Option<Finding> {
    let (back, all) = (case.count(RETURN, Answer::Accepted), case.total(RETURN));
    let (offline, online) = (case.count(RETAINED, Retained::Offline), case.count(RETAINED, Retained::Online));
    let late = case.count(AFTER_ONLINE, YesNo::Yes);
    let evidence = format!(
        "of {back} clients that returned and published a retained \"online\", {online} were still shown as \"online\" at \
         the end, {offline} as \"offline\", and {late} had a Will that came after the \"online\""
    );
    Some(if back == 0 || online + offline == 0 {
        Finding::inconclusive(no_sample(case))
    } else if offline > 0 || late > 0 {
        let note = format!("{} clients shown as offline although they are back", offline.max(late));
        Finding::differs(online + offline, note, evidence).with_examples(examples(case, |_| true))
    } else if back < all {
        Finding::differs(online + offline, format!("{} clients could not return", all - back), evidence)
    } else {
        Finding::holds(online + offline, evidence)
    })
}
