//! Clients that say nothing, and when the broker closes them.

use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, ProtocolVersion, QoS};
use ungraceful_scripted_broker::{KeepAlive, Script, ScriptedBroker};

use crate::raw_client::{RawClient, publish, takes_at_least};

const ONE_SECOND: Connect<'_> = Connect { keep_alive_s: 1, ..Connect::new("client") };

fn broker_with(keep_alive: &str) -> ScriptedBroker {
    let keep_alive: KeepAlive = keep_alive.parse().expect("a policy's name");
    ScriptedBroker::start(Script { keep_alive, ..Script::default() })
}

/// A Client that says nothing is left alone for at least so many milliseconds before it reads these bytes and FIN.
fn left_alone(time_ms: u64, keep_alive: &str, version: ProtocolVersion, told: &[u8]) {
    let broker = broker_with(keep_alive);
    let mut client = RawClient::connected_with(&broker, version, &ONE_SECOND, 0);
    takes_at_least(Duration::from_millis(time_ms), || client.expect_then_fin(told));
}

#[test]
fn a_silent_client_is_closed_after_the_share_of_its_keep_alive_that_is_asked_for() {
    const TOLD: [u8; 4] = [0xE0, 2, 0x8D, 0];
    left_alone(1_400, "close", V5, &TOLD);
    left_alone(500, "close-at-percent-60", V5, &TOLD);
    left_alone(1_100, "fin-at-percent-120", V5, &[]);
    left_alone(500, "close-at-percent-60", V3_1_1, &[]);
}

#[test]
fn a_silent_client_is_never_closed_when_the_policy_says_so() {
    let broker = broker_with("never");
    let mut patient = RawClient::connected_with(&broker, V5, &ONE_SECOND, 0);
    // One that is closed for its silence would be by now: another one with a policy that closes was, twice over.
    left_alone(2_700, "close-at-percent-300", V5, &[0xE0, 2, 0x8D, 0]);
    patient.expect_service();
}

#[test]
fn what_is_sent_to_a_silent_client_counts_when_the_policy_says_so() {
    let broker = broker_with("refreshed-by-downlink");
    let mut silent = RawClient::connected_with(&broker, V5, &ONE_SECOND, 0);
    silent.subscribe("t", QoS::AtMostOnce);
    let mut publisher = RawClient::connected(&broker, V5, "publisher");
    let mut waiting =
        RawClient::connected_with(&broker, V5, &Connect { keep_alive_s: 1, ..Connect::new("waiting") }, 0);
    for _ in 0..6 {
        std::thread::sleep(Duration::from_millis(500));
        publisher.send(&publish(V5, "t", "x", QoS::AtMostOnce));
        silent.expect_payloads(&["x"]);
    }
    silent.expect_service();
    // And nobody else was left alone for it.
    waiting.expect_close(0x8D);
}
