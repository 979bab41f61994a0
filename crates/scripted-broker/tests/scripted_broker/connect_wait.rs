//! How long a CONNECT is waited for, and each policy.

use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion::{self, V3_1_1, V5};
use ungraceful_scripted_broker::{ConnectWait, Script, ScriptedBroker};

use crate::raw_client::{RawClient, connack, connect, takes_at_least};

const TIME: Duration = Duration::from_millis(600);
/// Less than [`TIME`], so that bytes may come this far apart, on a busy machine too.
const GAP: Duration = Duration::from_millis(50);

fn broker(connect_wait: ConnectWait) -> ScriptedBroker {
    ScriptedBroker::start(Script { connect_wait, ..Script::default() })
}

/// Sends the CONNECT byte by byte, for longer than [`TIME`] in all.
fn drip(client: &mut RawClient, version: ProtocolVersion) {
    for byte in connect(version, "client") {
        std::thread::sleep(GAP);
        client.send(&[byte]);
    }
}

#[test]
fn for_ever_waits_for_a_connect_that_drips() {
    for version in ProtocolVersion::ALL {
        let broker = broker(ConnectWait::ForEver);
        let mut client = RawClient::open(&broker, version);
        drip(&mut client, version);
        client.expect(&connack(version, 0));
    }
}

#[test]
fn whole_closes_only_connections_without_a_whole_connect() {
    let broker = broker(ConnectWait::Whole(TIME));
    let mut served = RawClient::connected(&broker, V5, "served");
    takes_at_least(TIME * 9 / 10, || RawClient::open(&broker, V5).expect_fin());
    let mut half = RawClient::open(&broker, V3_1_1);
    half.send(&connect(V3_1_1, "client")[..9]);
    half.expect_fin();
    served.expect_service();
}

#[test]
fn gap_closes_silent_connections_and_waits_for_dripping_ones() {
    let broker = broker(ConnectWait::Gap(TIME));
    takes_at_least(TIME * 9 / 10, || RawClient::open(&broker, V5).expect_fin());
    let mut client = RawClient::open(&broker, V5);
    drip(&mut client, V5);
    client.expect(&connack(V5, 0));
    let mut half = RawClient::open(&broker, V5);
    half.send(&connect(V5, "half")[..9]);
    half.expect_fin();
    client.expect_service();
}

#[test]
fn then_disconnect_says_what_it_may_not_say() {
    let broker = broker(ConnectWait::ThenDisconnect(TIME));
    RawClient::open(&broker, V5).expect_close(0x8D);
}
