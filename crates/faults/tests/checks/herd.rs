//! The checks of a herd.

use ungraceful_faults::resumption::{Resumption, SESSION_PRESENT};
use ungraceful_faults::vanish::herd::{BACK, Back, ID, LOST_AGAIN, OUR_OWN, TRIES};
use ungraceful_record::metric::Percentiles;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{OutageRecord, WaveRecord};

use crate::common::{TestCase, V5, V311};

const LETS_IN: &str = "lets_everybody_in_again";
const KEEPS: &str = "keeps_whom_it_lets_in";
const RESUMES: &str = "resumes_the_session";
const RESUME: [(&str, &str); 2] = [(V5, "MQTT 5.0 [MQTT-3.1.2-5]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-4]")];

fn herd(version: &str, outcomes: &[(Outcome, u64)]) -> TestCase {
    TestCase::new(ID, "none", version, outcomes)
}

/// Ten of ten are back, with their sessions.
fn all_back(version: &str) -> TestCase {
    herd(version, &[(Outcome::Tolerated, 10)])
        .fact(BACK, Back::InTime, 10)
        .fact(SESSION_PRESENT, Resumption::Announced, 10)
        .sum(TRIES, 10, 25)
}

/// Ten of ten are back, so many of them without Session Present 1.
fn without_session(version: &str, resumption: Resumption, count: u64) -> TestCase {
    all_back(version).fact(SESSION_PRESENT, Resumption::Announced, 10 - count).fact(
        SESSION_PRESENT,
        resumption,
        count,
    )
}

/// The wave began with a restart of the broker.
fn restarted(mut herd: TestCase) -> TestCase {
    let outage = OutageRecord { began_us: 1, ended_us: Some(2), by: "killed and started again".into() };
    herd.run.waves.push(WaveRecord {
        case: herd.case.case.clone(),
        began_us: 1,
        ended_us: Some(9),
        outage: Some(outage),
        bystander_messages_due: 0,
        bystander_response_time: Percentiles::default(),
        rss_bytes_before: None,
        rss_bytes_max: None,
    });
    herd
}

#[test]
fn a_herd_that_is_back_with_its_sessions_holds() {
    for (version, citation) in RESUME {
        let made = all_back(version);
        made.holds(KEEPS);
        made.holds_by(RESUMES, citation);
        let evidence = made.holds(LETS_IN).evidence;
        assert!(evidence.contains("10 of 10 clients were back in time, by 25 tries"), "{evidence}");
    }
}

#[test]
fn clients_that_are_left_behind_are_a_note_with_the_reasons() {
    let made = herd(V5, &[(Outcome::Tolerated, 7), (Outcome::NoReaction, 3)]);
    let made = made.fact(BACK, Back::InTime, 7).fact(BACK, "CONNACK 0x97 Quota exceeded", 3);
    made.differs(LETS_IN, "3 of 10 clients were not back: CONNACK 0x97 Quota exceeded (×3)");
}

#[test]
fn own_limits_or_a_broker_that_went_down_are_inconclusive() {
    let made = || herd(V5, &[(Outcome::NoReaction, 10)]).fact(BACK, Back::InTime, 7).fact(BACK, "gone", 3);
    made().sum(OUR_OWN, 10, 4).inconclusive(LETS_IN, "ran out of local ports");
    let mut down = made();
    down.case.outcomes.insert(Outcome::BrokerDown.name().into(), 3);
    down.inconclusive(LETS_IN, "the broker was down");
    down.fact(SESSION_PRESENT, Resumption::Not, 2).inconclusive(RESUMES, "the broker went down");
}

#[test]
fn clients_that_are_cut_off_again_are_a_note() {
    let verdict = all_back(V5).sum(LOST_AGAIN, 10, 4).differs(KEEPS, "clients lost their connection again");
    assert!(verdict.evidence.contains("their connections were lost 4 times"), "{verdict:?}");
}

#[test]
fn a_session_that_is_gone_is_violated_unless_the_broker_restarted() {
    for (version, citation) in RESUME {
        let gone = || without_session(version, Resumption::Not, 1);
        gone().violates(RESUMES, citation);
        gone().bystanders_lost(1).inconclusive(RESUMES, "lost 1 connections");
        // Without bystanders, the witness has seen it.
        let mut unsettled = gone();
        unsettled.run.broker.honest_connections_lost = 1;
        unsettled.inconclusive(RESUMES, "lost 1 connections");
        restarted(gone()).differs(RESUMES, "sessions did not survive the restart of the broker");
    }
}

#[test]
fn a_denied_session_that_was_resumed_breaks_only_session_present() {
    const TRULY: &str = "reports_session_present_correctly";
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.2.2-3]"), (V311, "MQTT 3.1.1 [MQTT-3.2.2-2]")] {
        let denied = without_session(version, Resumption::Unannounced, 10);
        denied.violates(TRULY, citation);
        denied.holds(RESUMES);
        without_session(version, Resumption::Not, 10).holds_by(TRULY, citation);
    }
}

#[test]
fn a_session_that_was_not_granted_and_a_herd_that_never_acted_are_inconclusive() {
    without_session(V5, Resumption::NotOwed, 10).inconclusive(RESUMES, "too short for their absence");
    let idle = herd(V5, &[(Outcome::NotActed, 10)]);
    for check in [LETS_IN, KEEPS, RESUMES] {
        idle.inconclusive(check, "");
    }
}
