//! The checks of a herd. The standard sets no time limit for accepting all clients again, so a client that is left behind is a
//! note. The standard does require that the broker resumes the sessions of clients that only lost their connection.

use ungraceful_mqtt::statement::{V5_3_1_2_5, V311_3_1_2_4};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::verdict::Force;

use super::herd::{BACK, Back, LOST_AGAIN, OUR_OWN, TRIES};
use crate::judging::{breach, no_sample};
use crate::resumption::{REPORTS_SESSION_PRESENT_CORRECTLY, Resumed, Resumption, SESSION_PRESENT};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::prose("lets_everybody_in_again", lets_everybody_in_again),
    Check::prose("keeps_whom_it_lets_in", keeps_whom_it_lets_in),
    Check::must("resumes_the_session", &[V5_3_1_2_5, V311_3_1_2_4], resumes_the_session),
    Check::must(
        "reports_session_present_correctly",
        REPORTS_SESSION_PRESENT_CORRECTLY.statements,
        reports_session_present_correctly,
    ),
];

const NONE_ACCEPTED: &str = "the broker accepted no client again";

/// Whether the case's wave began with a planned outage.
fn was_restarted(case: &Judged<'_>) -> bool {
    case.record.waves.iter().any(|wave| wave.case == case.case && wave.outage.is_some())
}

/// No numbered statement: the broker accepts all clients again within `--back-within`.
fn lets_everybody_in_again(case: &Judged<'_>) -> Option<Finding> {
    let (back, all) = (case.count(BACK, Back::InTime), case.total(BACK));
    let tries = case.measured(TRIES).sum;
    let evidence = format!("{back} of {all} clients were back in time, by {tries} tries");
    let own = case.measured(OUR_OWN).sum;
    let down = case.outcome(Outcome::BrokerDown);
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if back == all {
        Finding::holds(all, evidence)
    } else if down > 0 {
        Finding::inconclusive(format!("{evidence}; the broker was down at the end ({down} times)"))
    } else if own > 0 {
        let why = "because this machine ran out of local ports or file descriptors";
        Finding::inconclusive(format!("{evidence}; {own} tries failed {why}"))
    } else {
        let note =
            format!("{} of {all} clients were not back: {}", all - back, case.others(BACK, Back::InTime));
        Finding::differs(all, note, evidence)
    })
}

/// No numbered statement: an accepted client keeps its connection while the others return.
fn keeps_whom_it_lets_in(case: &Judged<'_>) -> Option<Finding> {
    let (let_in, lost) = (case.total(SESSION_PRESENT), case.measured(LOST_AGAIN).sum);
    let evidence =
        format!("the broker accepted {let_in} clients again, and their connections were lost {lost} times");
    Some(match (let_in, lost) {
        (0, _) => Finding::inconclusive(NONE_ACCEPTED),
        (_, 0) => Finding::holds(let_in, evidence),
        _ => Finding::differs(let_in, "clients lost their connection again", evidence),
    })
}

/// MQTT 5.0 [MQTT-3.1.2-5], MQTT 3.1.1 [MQTT-3.1.2-4]: Clean Start 0 resumes an existing session. No numbered statement
/// requires that sessions survive a restart of the broker.
fn resumes_the_session(case: &Judged<'_>) -> Option<Finding> {
    let resumed = Resumed::of(case);
    let (present, absent) = (resumed.kept(), resumed.gone);
    let not_owed = case.count(SESSION_PRESENT, Resumption::NotOwed);
    let evidence = format!(
        "of {} clients that returned with Clean Start 0, {} received Session Present 1, and {} received Session Present 0 \
         but also messages of their session",
        present + absent + not_owed,
        resumed.announced,
        resumed.unannounced
    );
    Some(if present + absent == 0 {
        let why = match (resumed.nothing_known(), not_owed) {
            (Some(why), _) => why,
            (None, 0) => NONE_ACCEPTED.to_owned(),
            (None, _) => {
                format!("the broker granted {not_owed} clients a session too short for their absence")
            }
        };
        Finding::inconclusive(why)
    } else if absent == 0 {
        Finding::holds(present + absent, evidence)
    } else if was_restarted(case) {
        let note = "sessions did not survive the restart of the broker";
        Finding::differs(present + absent, note, evidence).of(Force::Prose)
    } else {
        breach(case, evidence)
    })
}

/// The check that all faults share. After a restart, sessions are not looked for.
fn reports_session_present_correctly(case: &Judged<'_>) -> Option<Finding> {
    if was_restarted(case) { None } else { Resumed::session_present_is_true(case) }
}
