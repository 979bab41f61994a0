//! What a herd's record is judged by. That a broker lets everybody in again within some time is demanded nowhere: a note.
//! That it resumes the sessions of clients which merely lost their connection is.

use ungraceful_mqtt::statement::{Statement, V5_3_1_2_5, V5_3_2_2_3, V311_3_1_2_4, V311_3_2_2_2};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Record};
use ungraceful_record::verdict::{Check, Force, Verdict};

use super::herd::{BACK, ID, LOST_AGAIN, OUR_OWN, TRIES};
use crate::judging::{self, breach, no_sample, of_version, sum};
use crate::resumption::{NOT_OWED, Resumed, SESSION_PRESENT, YES};

/// The checks, in the order in which they are reported.
pub const CHECKS: [Check; 4] =
    [lets_everybody_in_again, keeps_whom_it_lets_in, resumes_the_session, tells_session_present_truly];

/// The numbered statements by which a broker can be accused here.
pub const STATEMENTS: &[Statement] = &[V5_3_1_2_5, V5_3_2_2_3, V311_3_1_2_4, V311_3_2_2_2];

/// Members that lost their connection.
fn acted(case: &CaseRecord) -> u64 {
    case.facts.get(BACK).map_or(0, |counts| counts.values().sum())
}

/// The planned outage that the case's wave began with.
fn was_restarted(record: &Record, case: &CaseRecord) -> bool {
    record.waves.iter().any(|wave| wave.case == case.case && wave.outage.is_some())
}

/// No numbered statement: everybody is let in again within the time that there is.
fn lets_everybody_in_again(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "lets_everybody_in_again";
    judging::on_each_case(record, ID, |case| {
        let (back, all) = (case.fact(BACK, YES), acted(case));
        let tries = sum(case, TRIES);
        let mut evidence = format!("{back} of {all} clients were back in time, by {tries} tries");
        let own = sum(case, OUR_OWN);
        let down = case.outcome(Outcome::BrokerDown);
        Some(if all == 0 {
            Verdict::inconclusive(CHECK, Force::Prose, no_sample(case))
        } else if back == all {
            Verdict::holds(CHECK, Force::Prose, all, evidence)
        } else if down > 0 {
            evidence += &format!("; the broker was down at the end ({down} times)");
            Verdict::inconclusive(CHECK, Force::Prose, evidence)
        } else if own > 0 {
            evidence += &format!("; {own} tries failed for want of local ports or descriptors of ours");
            Verdict::inconclusive(CHECK, Force::Prose, evidence)
        } else {
            let why = case.facts.get(BACK).into_iter().flatten().filter(|(value, _)| *value != YES);
            let why: Vec<String> = why.map(|(value, count)| format!("{value} (×{count})")).collect();
            let note = format!("{} of {all} clients were not back: {}", all - back, why.join(", "));
            Verdict::differs(CHECK, Force::Prose, all, note, evidence)
        })
    })
}

/// No numbered statement: a client that was let in again keeps its connection while the others come.
fn keeps_whom_it_lets_in(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "keeps_whom_it_lets_in";
    judging::on_each_case(record, ID, |case| {
        let let_in: u64 = case.facts.get(SESSION_PRESENT).map_or(0, |counts| counts.values().sum());
        let lost = sum(case, LOST_AGAIN);
        let evidence = format!("{let_in} clients were let in again, and lost their connection {lost} times");
        Some(match (let_in, lost) {
            (0, _) => Verdict::inconclusive(CHECK, Force::Prose, "nobody was let in again"),
            (_, 0) => Verdict::holds(CHECK, Force::Prose, let_in, evidence),
            _ => Verdict::differs(CHECK, Force::Prose, let_in, "clients were cut off again", evidence),
        })
    })
}

/// MQTT 5.0 [MQTT-3.1.2-5], MQTT 3.1.1 [MQTT-3.1.2-4]: Clean Start 0 goes on with the session there is. A broker that was
/// restarted may have had none any more: how long sessions outlive that is told nowhere in numbers.
fn resumes_the_session(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "resumes_the_session";
    judging::on_each_case(record, ID, |case| {
        let statement = of_version(case, V5_3_1_2_5, V311_3_1_2_4);
        let resumed = Resumed::of(case);
        let (present, absent) = (resumed.kept(), resumed.gone);
        let not_owed = case.fact(SESSION_PRESENT, NOT_OWED);
        let evidence = format!(
            "of {} clients that came back with Clean Start 0, {} were told Session Present 1, and {} were told 0 and sent \
             messages of their session all the same",
            present + absent + not_owed,
            resumed.announced,
            resumed.unannounced
        );
        Some(if present + absent == 0 {
            let why = match (resumed.nothing_known(), not_owed) {
                (Some(why), _) => why,
                (None, 0) => "nobody was let in again".to_owned(),
                (None, owed_none) => format!(
                    "the broker told {owed_none} clients that it would not keep their session so long"
                ),
            };
            Verdict::inconclusive(CHECK, Force::Must, why).citing(statement)
        } else if absent == 0 {
            Verdict::holds(CHECK, Force::Must, present + absent, evidence).citing(statement)
        } else if was_restarted(record, case) {
            let note = "sessions did not outlive the restart of the broker";
            Verdict::differs(CHECK, Force::Prose, present + absent, note, evidence)
        } else {
            breach(record, case, CHECK, statement, evidence)
        })
    })
}

/// MQTT 5.0 [MQTT-3.2.2-3], MQTT 3.1.1 [MQTT-3.2.2-2]: Session Present 1 where there is a session. After a restart nobody
/// looks whether it is.
fn tells_session_present_truly(record: &Record) -> Vec<Verdict> {
    judging::on_each_case(record, ID, |case| {
        let statement = of_version(case, V5_3_2_2_3, V311_3_2_2_2);
        let looked = !was_restarted(record, case);
        let resumed = looked.then(|| Resumed::of(case))?;
        resumed.told_truly("tells_session_present_truly", case, statement)
    })
}
