//! Each policy for Clients that come back.

use std::time::{Duration, Instant};

use ungraceful_mqtt::Connect;
use ungraceful_mqtt::ProtocolVersion::{self, V3_1_1, V5};
use ungraceful_scripted_broker::{Readmission, Script, ScriptedBroker};

use crate::raw_client::{RawClient, connack, connect, until};

fn broker_with(readmission: Readmission) -> ScriptedBroker {
    ScriptedBroker::start(Script { readmission, ..Script::default() })
}

/// Comes and goes.
fn come(broker: &ScriptedBroker, client_id: &str, version: ProtocolVersion, expected: &[u8]) {
    RawClient::answered(broker, version, &Connect::new(client_id), expected);
}

fn is_accepted(broker: &ScriptedBroker, client_id: &str) {
    come(broker, client_id, V5, &connack(V5, 0));
}

fn is_rejected(broker: &ScriptedBroker, client_id: &str, code: u8) {
    come(broker, client_id, V5, &[0x20, 3, 0, code, 0]);
}

#[expect(clippy::disallowed_methods, reason = "this crate does not depend on the clock of the other crates")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn always_accepts_every_client_again() {
    let broker = broker_with(Readmission::Always);
    for _ in 0..3 {
        is_accepted(&broker, "a");
    }
}

#[test]
fn after_rejects_until_its_time_after_the_first_return() {
    let time = Duration::from_millis(400);
    let broker = broker_with(Readmission::After(time));
    is_accepted(&broker, "a");
    let back = now();
    is_rejected(&broker, "a", 0x88);
    is_accepted(&broker, "b");
    until("its time has passed", || back.elapsed() >= time + Duration::from_millis(100));
    is_accepted(&broker, "a");
    is_rejected(&broker, "b", 0x88);
}

#[test]
fn at_most_n_per_second_counts_only_returning_clients() {
    let broker = broker_with(Readmission::AtMostPerSecond(2.try_into().unwrap()));
    for client in ["a", "b", "c", "d"] {
        is_accepted(&broker, client);
    }
    let began = now();
    let mut accepted_at = Vec::new();
    until("all four are let in again", || {
        let mut client = RawClient::open(&broker, V5);
        client.send(&connect(V5, ["a", "b", "c", "d"][accepted_at.len()]));
        if client.next_packet() == connack(V5, 0) {
            accepted_at.push(began.elapsed());
        }
        accepted_at.len() == 4
    });
    assert!(accepted_at[2] >= Duration::from_millis(900), "two in the first second: {accepted_at:?}");
}

#[test]
fn never_every_n_rejects_every_nth_returning_client_for_ever() {
    let broker = broker_with(Readmission::NeverEvery(2.try_into().unwrap()));
    for client in ["a", "b", "c"] {
        is_accepted(&broker, client);
    }
    for _ in 0..3 {
        is_accepted(&broker, "a");
        is_rejected(&broker, "b", 0x97);
        is_accepted(&broker, "c");
    }
    let broker = broker_with(Readmission::NeverEvery(1.try_into().unwrap()));
    is_accepted(&broker, "a");
    come(&broker, "a", V3_1_1, &[0x20, 2, 0, 3]);
}
