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

/// A silent Client reads these bytes and FIN after at least this many milliseconds.
fn closed_after(time_ms: u64, keep_alive: &str, version: ProtocolVersion, expected: &[u8]) {
    let broker = broker_with(keep_alive);
    let mut client = RawClient::connected_with(&broker, version, &ONE_SECOND, 0);
    takes_at_least(Duration::from_millis(time_ms), || client.expect_then_fin(expected));
}

#[test]
fn a_silent_client_is_closed_after_this_share_of_its_keep_alive() {
    const DISCONNECT: [u8; 4] = [0xE0, 2, 0x8D, 0];
    closed_after(1_400, "close", V5, &DISCONNECT);
    closed_after(500, "close-at-percent-60", V5, &DISCONNECT);
    closed_after(1_100, "fin-at-percent-120", V5, &[]);
    closed_after(500, "close-at-percent-60", V3_1_1, &[]);
}

#[test]
fn a_silent_client_is_never_closed_when_the_policy_says_so() {
    let broker = broker_with("never");
    let mut patient = RawClient::connected_with(&broker, V5, &ONE_SECOND, 0);
    // A broker that closes silent Clients would have closed it by now.
    closed_after(2_700, "close-at-percent-300", V5, &[0xE0, 2, 0x8D, 0]);
    patient.expect_service();
}

#[test]
fn downlink_counts_for_the_keep_alive_when_the_policy_says_so() {
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
    // Other Clients are still closed.
    waiting.expect_close(0x8D);
}
