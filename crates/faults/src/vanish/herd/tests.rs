//! One member of a herd against brokers that accept it, accept it late, or never again.

use std::time::Duration;

use clap::{Args, Command, FromArgMatches};
use ungraceful_mqtt::ProtocolVersion::{self, V3_1_1, V5};
use ungraceful_record::attempt::Attempt;
use ungraceful_record::fact::Measure;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::testing::{fact_of, measure_of};
use ungraceful_rig::attempts::backoff::{Backoff, Profile};
use ungraceful_scripted_broker::{Log, Readmission, Script, ScriptedBroker, Sessions};

use super::returning::TRIES_REFUSED;
use super::{BACK, Back, CONNACK, Flags, Herd, LOST_AGAIN, Loss, OUR_OWN, TRIES, by_connack};
use crate::resumption::{Resumption, SESSION_PRESENT};
use crate::testing::Scene;

fn herd(version: ProtocolVersion, loss: Loss, back_within: Duration) -> Herd {
    let backoff = Backoff::Fixed(Duration::from_millis(50));
    let profile = Profile { name: "fixed:50ms".into(), backoff };
    let flags = Flags::augment_args(Command::new("herd").no_binary_name(true));
    let flags = Flags::from_arg_matches(&flags.get_matches_from([""; 0])).unwrap();
    Herd { loss, back_within, ..Herd::new(profile, version, &flags) }
}

async fn reset(script: Script, version: ProtocolVersion, back_within: Duration) -> Attempt {
    Scene::with(script).attempt(&herd(version, Loss::Reset, back_within)).await
}

const LONG: Duration = Duration::from_secs(60);

fn facts(attempt: &Attempt) -> (Option<Back>, Option<Resumption>) {
    (fact_of(attempt, BACK), fact_of(attempt, SESSION_PRESENT))
}

#[tokio::test]
async fn a_member_accepted_at_its_first_try_is_back_after_its_wait() {
    for version in [V5, V3_1_1] {
        let attempt = reset(Script::default(), version, LONG).await;
        assert_eq!(attempt.outcome, Outcome::Tolerated, "{attempt:?}");
        assert_eq!(facts(&attempt), (Some(Back::InTime), Some(Resumption::Announced)));
        assert_eq!(measure_of(&attempt, TRIES).unwrap(), 1);
        assert!(measure_of(&attempt, CONNACK).is_some() && measure_of(&attempt, LOST_AGAIN).is_none());
        let away_us = attempt.milestones[BACK.name()] + attempt.due_us - attempt.provoked_us.unwrap();
        assert!(away_us >= 45_000, "it waited first: {attempt:?}");
    }
}

#[tokio::test]
async fn a_refused_member_retries_and_refusals_are_counted_by_code() {
    let refusing = Duration::from_millis(400);
    let script = Script { readmission: Readmission::After(refusing), ..Script::default() };
    for (version, code) in [(V5, 0x88), (V3_1_1, 0x03)] {
        let attempt = reset(script, version, LONG).await;
        assert_eq!(fact_of(&attempt, BACK), Some(Back::InTime), "{attempt:?}");
        let tries = measure_of(&attempt, TRIES).unwrap();
        assert_eq!(measure_of(&attempt, TRIES_REFUSED.of_code(code)), Some(tries - 1), "{attempt:?}");
        assert!((2..=9).contains(&tries), "at most one each 50 ms: {tries}");
        assert!(attempt.milestones[BACK.name()] + attempt.due_us >= attempt.provoked_us.unwrap() + 380_000);
    }
}

#[tokio::test]
async fn a_member_that_is_never_accepted_reports_its_last_refusal() {
    let script = Script { readmission: Readmission::NeverEvery(1.try_into().unwrap()), ..Script::default() };
    let attempt = reset(script, V5, Duration::from_millis(1_500)).await;
    assert_eq!(attempt.outcome, Outcome::NoReaction, "{attempt:?}");
    assert_eq!(fact_of(&attempt, BACK), Some(Back::Not("CONNACK 0x97 Quota exceeded".into())));
    let tries = measure_of(&attempt, TRIES).unwrap();
    // The time may be over within the last try.
    let unanswered = measure_of(&attempt, Measure::new("tries_without_connack")).unwrap_or(0);
    assert!(unanswered <= 1, "{attempt:?}");
    assert_eq!(measure_of(&attempt, TRIES_REFUSED.of_code(0x97)), Some(tries - unanswered), "{attempt:?}");
    assert!(attempt.milestones.is_empty() && fact_of(&attempt, SESSION_PRESENT).is_none());
    assert!(measure_of(&attempt, OUR_OWN).is_none());
}

#[tokio::test]
async fn a_member_whose_session_is_gone_is_back_without_it() {
    let attempt = reset(Script { sessions: Sessions::Forget, ..Script::default() }, V5, LONG).await;
    assert_eq!(facts(&attempt), (Some(Back::InTime), Some(Resumption::Not)));
}

#[tokio::test]
async fn a_resumed_session_that_the_broker_denies_is_recorded() {
    let attempt = reset(Script { sessions: Sessions::LieAbsent, ..Script::default() }, V5, LONG).await;
    assert_eq!(fact_of(&attempt, SESSION_PRESENT), Some(Resumption::Unannounced), "{attempt:?}");
}

#[tokio::test]
async fn a_connection_that_survives_the_restart_is_no_loss() {
    let fault = herd(V5, Loss::Restart(Duration::from_millis(200)), LONG);
    let attempt = Scene::conforming().attempt(&fault).await;
    assert_eq!(attempt.outcome, Outcome::NotActed, "{attempt:?}");
    assert!(attempt.trouble.as_ref().unwrap().contains("survived the restart"), "{attempt:?}");
    assert!(attempt.provoked_us.is_none() && attempt.facts.is_empty());
}

#[tokio::test]
async fn a_member_returns_to_the_restarted_broker() {
    let scene = Scene::conforming();
    let address = scene.broker.address();
    let fault = herd(V5, Loss::Restart(LONG), LONG);
    let restart = async {
        let is_served = |log: &Log| log.client_ids().count() == 1;
        while !is_served(&scene.broker.log()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The member's turn comes at once.
        tokio::time::sleep(Duration::from_millis(300)).await;
        scene.broker.stop_abruptly();
        tokio::time::sleep(Duration::from_millis(300)).await;
        ScriptedBroker::start_on(address, Script::default()).unwrap()
    };
    let (attempt, _broker) = tokio::join!(scene.attempt(&fault), restart);
    assert_eq!(fact_of(&attempt, BACK), Some(Back::InTime), "{attempt:?}");
    assert!(attempt.measures["tries_refused_by_tcp"] >= 1, "nobody listened: {attempt:?}");
    assert_eq!(fact_of(&attempt, SESSION_PRESENT), Some(Resumption::Not), "it is another broker");
}

#[test]
fn a_denied_session_that_was_not_looked_for_is_unknown() {
    assert_eq!(by_connack(true, Loss::Reset), Resumption::Announced);
    assert_eq!(by_connack(false, Loss::Reset), Resumption::Unknown);
    assert_eq!(
        by_connack(false, Loss::Restart(LONG)),
        Resumption::Not,
        "it is not looked for after a restart"
    );
}
