//! What an attempt says of a broker that was not there to cut anybody, and of a run that did not wait for it.

use std::time::Duration;

use tokio::time::sleep;
use ungraceful_mqtt::ProtocolVersion::V5;
use ungraceful_rig::attempt::Attempt;
use ungraceful_rig::fault::{AttemptLog, Fault};
use ungraceful_rig::phase::Phase;
use ungraceful_rig::reaction::Outcome;
use ungraceful_rig::stop::StopReason;
use ungraceful_scripted_broker::Script;

use super::edge::{Edge, FATE};
use super::silence::{CUT, Cause, DOWNLINK_MESSAGES, FallSilent, WAITED};
use crate::testing::Scene;

/// Less than a Keep Alive, and enough to be silent.
const A_WHILE: Duration = Duration::from_millis(400);

fn silent(cause: Cause) -> FallSilent {
    FallSilent { cause, version: V5, keep_alive_s: 1 }
}

fn edge() -> Edge {
    Edge { share: "0.5".parse().unwrap(), version: V5, keep_alive_s: 1, lasting: Duration::from_secs(60) }
}

/// Nothing was concluded of the broker.
fn assert_says_nothing(attempt: &Attempt, outcome: Outcome) {
    assert_eq!(attempt.outcome, outcome, "{attempt:?}");
    for fact in [CUT, FATE] {
        assert!(!attempt.facts.contains_key(fact), "{attempt:?}");
    }
    assert!(!attempt.measures.contains_key(WAITED) && attempt.will.is_none(), "{attempt:?}");
}

#[tokio::test]
async fn the_end_of_a_broker_that_goes_down_is_no_cut() {
    for fault in
        [&silent(Cause::Idle) as &dyn Fault, &silent(Cause::HalfOpen), &silent(Cause::Downlink), &edge()]
    {
        let Scene { broker, stage } = Scene::mortal(Script::default());
        let log = AttemptLog::begin(0, fault.case(), "ug000000".into(), Phase::Fault, 0, &stage.clock);
        let (attempt, ()) = tokio::join!(fault.attempt(&stage, log), async {
            sleep(A_WHILE).await;
            drop(broker);
        });
        assert_says_nothing(&attempt, Outcome::BrokerDown);
    }
}

#[tokio::test]
async fn a_run_that_is_stopped_meanwhile_says_nothing_of_the_broker() {
    for fault in
        [&silent(Cause::Idle) as &dyn Fault, &silent(Cause::HalfOpen), &silent(Cause::Downlink), &edge()]
    {
        let scene = Scene::conforming();
        let (attempt, ()) = tokio::join!(scene.attempt(fault), async {
            sleep(A_WHILE).await;
            scene.stage.stop.raise(StopReason::Interrupted);
        });
        assert_says_nothing(&attempt, Outcome::Interrupted);
    }
}

#[tokio::test]
async fn a_client_to_which_nothing_was_delivered_tells_nothing_of_what_deliveries_do() {
    let lossy = Script { deliveries: "lose-every-1".parse().unwrap(), ..Script::default() };
    let attempt = Scene::with(lossy).attempt(&silent(Cause::Downlink)).await;
    assert_says_nothing(&attempt, Outcome::NotActed);
    assert_eq!(attempt.trouble.as_deref(), Some("nothing was delivered to the silent client"));
    let attempt = Scene::conforming().attempt(&silent(Cause::Downlink)).await;
    assert!(attempt.measures[DOWNLINK_MESSAGES] >= 4, "{attempt:?}");
}
