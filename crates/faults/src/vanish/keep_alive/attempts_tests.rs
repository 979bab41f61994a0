//! What an attempt says of a broker that was not there to cut anybody, and of a run that did not wait for it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use tokio::time::sleep;
use ungraceful_mqtt::ProtocolVersion::V5;
use ungraceful_record::attempt::Attempt;
use ungraceful_record::phase::Phase;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::testing::{fact_of, measure_of};
use ungraceful_rig::attempts::fault::{AttemptLog, Fault};
use ungraceful_rig::run::stop::StopReason;
use ungraceful_scripted_broker::Script;

use super::edge::{Edge, FATE, Fate};
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
    assert_eq!((fact_of(attempt, CUT), fact_of(attempt, FATE)), (None, None), "{attempt:?}");
    assert!(measure_of(attempt, WAITED).is_none() && attempt.will.is_none(), "{attempt:?}");
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
    assert!(measure_of(&attempt, DOWNLINK_MESSAGES).unwrap() >= 4, "{attempt:?}");
}

/// Accepts one client and its first PINGREQ, then stands still until it is past one and a half times a Keep Alive of a second,
/// and tells the client that its Keep Alive is over without having read what it sent meanwhile.
fn stands_still(listener: &TcpListener) {
    const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];
    const PINGRESP: [u8; 2] = [0xD0, 0];
    const KEEP_ALIVE_TIMEOUT: [u8; 4] = [0xE0, 2, 0x8D, 0];
    let (mut stream, _) = listener.accept().unwrap();
    let mut unread = [0; 256];
    for answer in [&CONNACK[..], &PINGRESP] {
        let read = stream.read(&mut unread).unwrap();
        assert!(read > 0, "CONNECT or PINGREQ");
        stream.write_all(answer).unwrap();
    }
    std::thread::sleep(Duration::from_millis(1_600));
    stream.write_all(&KEEP_ALIVE_TIMEOUT).unwrap();
}

#[tokio::test]
async fn a_broker_that_stood_still_and_then_names_the_keep_alive_has_cut_nobody_for_it() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut scene = Scene::conforming();
    scene.stage.endpoint.address = listener.local_addr().unwrap();
    let broker = std::thread::spawn(move || stands_still(&listener));
    let attempt = scene.attempt(&edge()).await;
    broker.join().unwrap();
    assert!(attempt.outcome.is_ended(), "{attempt:?}");
    assert_eq!(fact_of(&attempt, FATE), Some(Fate::BrokerWasLate), "{attempt:?}");
}
