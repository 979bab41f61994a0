//! What a storm of Wills is judged by. Each check reads the record alone and gives a verdict for each case.

use ungraceful_mqtt::statement::{
    Statement, V5_3_1_2_8, V5_3_1_2_15, V5_3_1_3_9, V311_3_1_2_8, V311_3_1_2_17,
};
use ungraceful_record::run::{CaseRecord, Record};
use ungraceful_record::scale::time;
use ungraceful_record::verdict::{Check, Force, Verdict};

use super::will_storm::{ACCEPTED, AFTER_ONLINE, ID, NOTHING, OFFLINE, ONLINE, RETAINED, RETURN, Variant};
use crate::judging::{
    self, DueWills, breach, due_wills, evidence_count, examples, no_sample, of_version, told, will_breach,
};

/// The checks, in the order in which they are reported.
pub const CHECKS: [Check; 4] =
    [publishes_every_will, retains_the_will, withholds_the_will_of_who_is_back, leaves_online_behind];

/// The numbered statements by which a broker can be accused here.
pub const STATEMENTS: &[Statement] = &[V5_3_1_2_8, V5_3_1_2_15, V5_3_1_3_9, V311_3_1_2_8, V311_3_1_2_17];

fn on_each_case(record: &Record, judge: impl Fn(&CaseRecord, Variant) -> Option<Verdict>) -> Vec<Verdict> {
    judging::on_each_case(record, ID, |case| judge(case, Variant::named(&case.case.variant)?))
}

/// MQTT 5.0 and 3.1.1 [MQTT-3.1.2-8]. Of a client that is back at once a broker may find the new connection first: a note.
fn publishes_every_will(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "publishes_every_will";
    on_each_case(record, |case, variant| {
        if variant == Variant::BackWillDelay {
            return None;
        }
        let statement = of_version(case, V5_3_1_2_8, V311_3_1_2_8);
        let Some(will) = case.will.as_ref().filter(|will| will.due > 0) else {
            return Some(Verdict::inconclusive(CHECK, Force::Must, no_sample(case)).citing(statement));
        };
        let spread = match will.will_time.max_us {
            Some(us) => format!("; the last one {} after its client was lost", time(us)),
            None => String::new(),
        };
        let verdict = match due_wills(record, will) {
            DueWills::Unknown(why) => Verdict::inconclusive(CHECK, Force::Must, why),
            DueWills::Came(evidence) if will.more_than_once > 0 => {
                let note = format!("{} Wills came more than once (QoS 1)", will.more_than_once);
                Verdict::differs(CHECK, Force::Must, will.due, note, format!("{evidence}{spread}"))
            }
            DueWills::Came(evidence) => {
                Verdict::holds(CHECK, Force::Must, will.due, format!("{evidence}{spread}"))
            }
            DueWills::Missing(evidence) if variant.returns() => {
                let note = "no Will of clients that were back at once";
                Verdict::differs(CHECK, Force::Must, will.due, note, evidence)
            }
            DueWills::Missing(evidence) => breach(record, case, CHECK, statement, evidence),
        };
        Some(verdict.citing(statement))
    })
}

/// MQTT 5.0 [MQTT-3.1.2-15], MQTT 3.1.1 [MQTT-3.1.2-17]: a Will with Will Retain is published as a retained message. Accuses
/// only when nothing was retained of any, though all Wills came.
fn retains_the_will(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "retains_the_will";
    on_each_case(record, |case, variant| {
        if variant != Variant::Retained {
            return None;
        }
        let statement = of_version(case, V5_3_1_2_15, V311_3_1_2_17);
        let (offline, nothing) = (case.fact(RETAINED, OFFLINE), case.fact(RETAINED, NOTHING));
        let all = told(case, RETAINED);
        let (due, came) = case.will.as_ref().map_or((0, 0), |will| (will.due, will.due_and_seen));
        let evidence = format!(
            "{offline} of {all} clients that subscribed after the storm found the Will retained, {nothing} found nothing"
        );
        let verdict = if offline + nothing == 0 {
            Verdict::inconclusive(CHECK, Force::Must, no_sample(case))
        } else if offline == all {
            Verdict::holds(CHECK, Force::Must, all, evidence)
        } else if nothing == all && came == due && due > 0 {
            will_breach(record, case, CHECK, statement, nothing, evidence)
        } else {
            let why = format!(
                "{evidence}; {came} of {due} Wills had come by then: the broker may limit or delay what it retains"
            );
            Verdict::inconclusive(CHECK, Force::Must, why)
        };
        Some(verdict.citing(statement))
    })
}

/// MQTT 5.0 [MQTT-3.1.3-9]: no Will of a client whose session was taken up before the Will Delay Interval was over.
fn withholds_the_will_of_who_is_back(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "withholds_the_will_of_who_is_back";
    on_each_case(record, |case, variant| {
        if variant != Variant::BackWillDelay {
            return None;
        }
        let Some(will) = case.will.as_ref() else {
            let why = match evidence_count(case) {
                0 => no_sample(case),
                _ => "no client was back with its session well before its Will Delay Interval was over"
                    .to_owned(),
            };
            return Some(Verdict::inconclusive(CHECK, Force::Must, why).citing(V5_3_1_3_9));
        };
        let evidence = format!(
            "{} of {} Wills were published although their clients were back, with their sessions, before the Will Delay \
             Interval was over",
            will.not_due_and_seen, will.set
        );
        Some(judging::withheld(record, case, CHECK, V5_3_1_3_9, will, evidence))
    })
}

/// No numbered statement orders a Will and what its client publishes when it is back. An "offline" that stays is what
/// operators suffer from.
fn leaves_online_behind(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "leaves_online_behind";
    on_each_case(record, |case, variant| {
        if !variant.returns() {
            return None;
        }
        let (back, all) = (case.fact(RETURN, ACCEPTED), told(case, RETURN));
        let (offline, online) = (case.fact(RETAINED, OFFLINE), case.fact(RETAINED, ONLINE));
        let late = case.fact(AFTER_ONLINE, "yes");
        let evidence = format!(
            "of {back} clients that were back and had published a retained \"online\", {online} left it behind, {offline} \
             were shown as \"offline\" in the end, and the Will of {late} came after it"
        );
        Some(if back == 0 || online + offline == 0 {
            Verdict::inconclusive(CHECK, Force::Prose, no_sample(case))
        } else if offline > 0 || late > 0 {
            let note = format!("{} clients shown as offline though they are back", offline.max(late));
            Verdict::differs(CHECK, Force::Prose, online + offline, note, evidence)
                .with_examples(examples(case, |_| true))
        } else if back < all {
            Verdict::differs(
                CHECK,
                Force::Prose,
                online + offline,
                format!("{} clients could not come back", all - back),
                evidence,
            )
        } else {
            Verdict::holds(CHECK, Force::Prose, online + offline, evidence)
        })
    })
}
