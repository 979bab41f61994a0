//! Attempts with a broker that goes down or stalls, or in a run that stops meanwhile.

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
use ungraceful_rig::broker::nodes::Nodes;
use ungraceful_rig::run::stop::StopReason;
use ungraceful_scripted_broker::Script;

use super::edge::{Edge, FATE, Fate};
use super::silence::{CUT, Cause, DOWNLINK_MESSAGES, FallSilent, WAITED};
use crate::testing::Scene;

/// Less than a Keep Alive, and long enough to be silent.
const A_WHILE: Duration = Duration::from_millis(400);

fn silent(cause: Cause) -> FallSilent {
    FallSilent { cause, version: V5, keep_alive_s: 1 }
}

fn each_fault() -> [Box<dyn Fault>; 4] {
    let [idle, half_open, downlink] = Cause::ALL.map(|cause| Box::new(silent(cause)));
    [idle, half_open, downlink, Box::new(edge())]
}

fn edge() -> Edge {
    Edge { share: "0.5".parse().unwrap(), version: V5, keep_alive_s: 1, lasting: Duration::from_secs(60) }
}

/// The attempt says nothing about the broker.
fn assert_no_evidence(attempt: &Attempt, outcome: Outcome) {
    assert_eq!(attempt.outcome, outcome, "{attempt:?}");
    assert_eq!((fact_of(attempt, CUT), fact_of(attempt, FATE)), (None, None), "{attempt:?}");
    assert!(measure_of(attempt, WAITED).is_none() && attempt.will.is_none(), "{attempt:?}");
}

#[tokio::test]
async fn a_broker_that_goes_down_has_cut_no_client() {
    for fault in each_fault() {
        let Scene { broker, stage } = Scene::mortal(Script::default());
        let log = AttemptLog::begin(0, fault.case(), "ug000000".into(), Phase::Fault, 0, &stage.clock)
            .beside(fault.companions());
        let (attempt, ()) = tokio::join!(fault.attempt(&stage, log), async {
            sleep(A_WHILE).await;
            drop(broker);
        });
        assert_no_evidence(&attempt, Outcome::BrokerDown);
    }
}

#[tokio::test]
async fn a_stopped_run_is_no_evidence_about_the_broker() {
    for fault in each_fault() {
        let scene = Scene::conforming();
        let (attempt, ()) = tokio::join!(scene.attempt(&*fault), async {
            sleep(A_WHILE).await;
            scene.stage.stop.raise(StopReason::Interrupted);
        });
        assert_no_evidence(&attempt, Outcome::Interrupted);
    }
}

#[tokio::test]
async fn downlink_without_deliveries_is_no_evidence() {
    let lossy = Script { deliveries: "lose-every-1".parse().unwrap(), ..Script::default() };
    let attempt = Scene::with(lossy).attempt(&silent(Cause::Downlink)).await;
    assert_no_evidence(&attempt, Outcome::NotActed);
    assert_eq!(attempt.trouble.as_deref(), Some("nothing was delivered to the silent client"));
    let attempt = Scene::conforming().attempt(&silent(Cause::Downlink)).await;
    assert!(measure_of(&attempt, DOWNLINK_MESSAGES).unwrap() >= 4, "{attempt:?}");
}

/// Accepts one client and its first PINGREQ, then stalls until one and a half times a Keep Alive of a second are over, and sends
/// DISCONNECT 0x8D without having read the packets sent meanwhile.
fn stall(listener: &TcpListener) {
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
async fn a_stalled_broker_has_not_cut_because_of_the_keep_alive() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut scene = Scene::conforming();
    scene.stage.nodes = Nodes::only(listener.local_addr().unwrap());
    scene.stage.nodes.first().pulse.beat(u64::MAX);
    let broker = std::thread::spawn(move || stall(&listener));
    let attempt = scene.attempt(&edge()).await;
    broker.join().unwrap();
    assert!(attempt.outcome.is_ended(), "{attempt:?}");
    assert_eq!(fact_of(&attempt, FATE), Some(Fate::BrokerWasLate), "{attempt:?}");
}
