//! Each policy for take-overs, in both versions.

use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, Packet, ProtocolVersion, QoS, Will};
use ungraceful_scripted_broker::{EndedBy, Event, Script, ScriptedBroker, TakeOver};

use crate::raw_client::{RawClient, connack, encoded, expect_end, takes_at_least, until};
use crate::sessions::{first_of_lasting, lasting};

const WAIT: Duration = Duration::from_millis(300);

fn broker_with(take_over: TakeOver) -> ScriptedBroker {
    ScriptedBroker::start(Script { take_over, ..Script::default() })
}

/// The older connection and the newcomer, which is accepted.
fn both(broker: &ScriptedBroker, version: ProtocolVersion) -> (RawClient, RawClient) {
    let old = RawClient::connected(broker, version, "client");
    let new = RawClient::connected(broker, version, "client");
    (old, new)
}

#[test]
fn the_log_counts_take_overs() {
    let broker = broker_with(TakeOver::default());
    let (mut old, mut new) = both(&broker, V5);
    old.expect_close(0x8E);
    new.expect_service();
    let log = broker.log();
    assert_eq!(log.take_overs(), 1);
    assert!(log.events.contains(&Event::TakeOver { connection: 0, by: 1 }));
    assert!(log.events.contains(&Event::Ended { connection: 0, by: EndedBy::Broker }));
}

#[test]
fn disconnect_code_fin_and_rst_end_the_older_connection() {
    for version in ProtocolVersion::ALL {
        for take_over in [TakeOver::DisconnectCode(0x82), TakeOver::Fin, TakeOver::Rst] {
            let broker = broker_with(take_over);
            let (mut old, mut new) = both(&broker, version);
            match take_over {
                TakeOver::DisconnectCode(code) => old.expect_close(code),
                TakeOver::Fin => old.expect_fin(),
                _ => old.expect_reset(),
            }
            new.expect_service();
        }
    }
}

#[test]
fn keep_both_serves_both() {
    for version in ProtocolVersion::ALL {
        for is_lasting in [false, true] {
            let broker = broker_with(TakeOver::KeepBoth);
            let [first, second] = if is_lasting {
                [first_of_lasting(version), lasting(version, false)]
            } else {
                [Connect::new("client"); 2]
            };
            let mut old = RawClient::connected_with(&broker, version, &first, 0);
            old.subscribe("t", QoS::AtLeastOnce);
            let mut new = RawClient::connected_with(&broker, version, &second, is_lasting.into());
            if !is_lasting {
                new.subscribe("t", QoS::AtLeastOnce);
            }
            old.expect_service();
            new.expect_service();
            let mut publisher = RawClient::connected(&broker, version, "publisher");
            for payload in ["1", "2"] {
                publisher.publish_at_least_once("t", payload);
                assert_eq!([old.next_payload(), new.next_payload()], [payload, payload]);
            }
            old.send(&[0x40, 2, 0, 1]);
            old.publish_exactly_once("other", "x");
            new.expect_service();
            // The end of one does not affect the other.
            old.leave();
            new.expect_service();
        }
    }
}

#[test]
fn keep_both_keeps_a_third_as_well() {
    let broker = broker_with(TakeOver::KeepBoth);
    let mut clients: Vec<_> = (0..3)
        .map(|_| {
            let mut client = RawClient::connected(&broker, V5, "client");
            client.subscribe("t", QoS::AtMostOnce);
            client
        })
        .collect();
    clients[0].publish("t", "x", QoS::AtMostOnce);
    for client in &mut clients {
        client.expect_payloads(&["x"]);
    }
    assert_eq!(broker.log().take_overs(), 2);
}

#[test]
fn refuse_newcomer_keeps_the_old_one() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(TakeOver::RefuseNewcomer);
        let mut old = RawClient::connected(&broker, version, "client");
        old.subscribe("t", QoS::AtMostOnce);
        let mut new = RawClient::answered(
            &broker,
            version,
            &Connect::new("client"),
            if version == V5 { &[0x20, 3, 0, 0x85, 0] } else { &[0x20, 2, 0, 2] },
        );
        new.expect_fin();
        old.publish("t", "x", QoS::AtMostOnce);
        old.expect_payloads(&["x"]);
        drop(old);
        expect_end(&broker, 0, EndedBy::Client);
        RawClient::connected(&broker, version, "client").expect_service();
    }
}

#[test]
fn close_after_accepts_at_once_and_closes_late() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(TakeOver::CloseAfter(WAIT));
        let mut old = RawClient::connected(&broker, version, "client");
        takes_at_least(WAIT, || {
            let mut new = RawClient::connected(&broker, version, "client");
            old.ping();
            new.expect_service();
            old.expect_close(0x8E);
            new.expect_service();
        });
    }
}

#[test]
fn newcomer_waits_for_its_connack() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(TakeOver::NewcomerWaits(WAIT));
        let mut old = RawClient::connected_with(&broker, version, &first_of_lasting(version), 0);
        old.subscribe("t", QoS::AtLeastOnce);
        let mut new = RawClient::open(&broker, version);
        let mut publisher = RawClient::connected(&broker, version, "publisher");
        let again = lasting(version, false);
        takes_at_least(WAIT, || {
            new.send(&encoded(version, &Packet::Connect(again)));
            old.expect_close(0x8E);
            // What it sends meanwhile is answered behind the CONNACK.
            new.send(&[0xC0, 0, 0xC0]);
            publisher.publish_at_least_once("t", "x");
            new.expect(&connack(version, 1));
        });
        new.expect_payloads(&["x"]);
        new.expect(&[0xD0, 0]);
        new.send(&[0]);
        new.expect(&[0xD0, 0]);
        new.expect_service();
    }
}

#[test]
fn newcomer_waits_only_for_a_take_over() {
    let broker = broker_with(TakeOver::NewcomerWaits(Duration::from_secs(600)));
    RawClient::connected(&broker, V3_1_1, "client").expect_service();
}

#[test]
fn a_newcomer_that_has_waited_keeps_its_keep_alive() {
    let broker = broker_with(TakeOver::NewcomerWaits(WAIT));
    let _old = RawClient::connected(&broker, V5, "client");
    let connect = Connect { keep_alive_s: 1, ..Connect::new("client") };
    RawClient::connected_with(&broker, V5, &connect, 0).expect_close(0x8D);
}

#[test]
fn a_newcomer_may_disconnect_while_it_waits() {
    let broker = broker_with(TakeOver::NewcomerWaits(WAIT));
    let _old = RawClient::connected(&broker, V5, "client");
    RawClient::connecting(&broker, V5, &Connect::new("client")).expect_silence();
    RawClient::connected(&broker, V5, "client").expect_service();
}

#[test]
fn silence_neither_answers_nor_closes() {
    for version in ProtocolVersion::ALL {
        let broker = broker_with(TakeOver::Silence);
        let mut old = RawClient::connected(&broker, version, "client");
        old.subscribe("t", QoS::AtMostOnce);
        let mut new = RawClient::connected(&broker, version, "client");
        old.ping();
        new.subscribe("t", QoS::AtMostOnce);
        new.publish("t", "x", QoS::AtMostOnce);
        new.expect_payloads(&["x"]);
        assert!(!broker.log().events.iter().any(|event| matches!(event, Event::Ended { .. })));
        old.expect_silence();
        new.expect_service();
    }
}

#[test]
fn a_late_end_affects_the_newcomer_after_the_older_keep_alive() {
    for version in ProtocolVersion::ALL {
        for late_end in [TakeOver::LateEndCuts, TakeOver::LateEndUnsubscribes, TakeOver::LateEndPublishesWill]
        {
            let broker = broker_with(late_end);
            let mut witness = RawClient::subscribed(&broker, version, "will", QoS::AtMostOnce);
            let short = Connect { keep_alive_s: 1, ..Connect::new("client") };
            let mut old = RawClient::connected_with(&broker, version, &short, 0);
            let will = Some(Will::new("will", b"of the newcomer"));
            let connect = Connect { will, ..Connect::new("client") };
            let mut new = RawClient::connected_with(&broker, version, &connect, 0);
            old.expect_close(0x8E);
            new.subscribe("t", QoS::AtMostOnce);
            takes_at_least(Duration::from_secs(1), || match late_end {
                TakeOver::LateEndCuts => new.expect_fin(),
                TakeOver::LateEndPublishesWill => assert_eq!(witness.next_payload(), "of the newcomer"),
                _ => {
                    let mut publisher = RawClient::connected(&broker, version, "publisher");
                    until("it is subscribed no more", || {
                        publisher.publish("t", "x", QoS::AtMostOnce);
                        publisher.expect_service();
                        new.ping();
                        // PINGRESP before any PUBLISH.
                        let is_subscribed = new.next_packet()[0] != 0xD0;
                        if is_subscribed {
                            assert_eq!(new.next_packet(), [0xD0, 0]);
                        }
                        !is_subscribed
                    });
                }
            });
            if late_end != TakeOver::LateEndCuts {
                new.expect_service();
            }
        }
    }
}
