//! Starting, stopping and being killed; many connections at once; what the log keeps.

use ungraceful_mqtt::ProtocolVersion::{self, V3_1_1, V5};
use ungraceful_mqtt::{Connect, QoS, Will};
use ungraceful_scripted_broker::{EndedBy, Event, Script, ScriptedBroker};

use crate::raw_client::{RawClient, expect_connection_refused, expect_end};

#[test]
fn dropping_it_closes_listener_and_connections() {
    let broker = ScriptedBroker::start(Script::default());
    let address = broker.address();
    let mut client = RawClient::connected(&broker, V5, "client");
    drop(broker);
    client.expect_fin();
    expect_connection_refused(address);
}

#[test]
fn stopping_abruptly_resets_every_connection_without_wills() {
    for version in ProtocolVersion::ALL {
        let broker = ScriptedBroker::start(Script::default());
        let connect = Connect { will: Some(Will::new("will", b"")), ..Connect::new("client") };
        let mut client = RawClient::connected_with(&broker, version, &connect, 0);
        let mut unaccepted = RawClient::open(&broker, version);
        broker.stop_abruptly();
        client.expect_reset();
        unaccepted.expect_reset();
        expect_connection_refused(broker.address());
        broker.stop_abruptly();
        assert!(!broker.log().events.iter().any(|event| matches!(event, Event::Will { .. })));
    }
}

#[test]
fn a_broker_can_start_on_the_address_of_a_killed_one() {
    let broker = ScriptedBroker::start(Script::default());
    let address = broker.address();
    let _client = RawClient::connected(&broker, V5, "client");
    broker.stop_abruptly();
    let broker = ScriptedBroker::start_on(address, Script::default()).expect("the port is free again");
    assert_eq!(broker.address(), address);
    RawClient::connected(&broker, V5, "client").expect_service();
}

#[test]
fn an_address_in_use_is_an_error() {
    let broker = ScriptedBroker::start(Script::default());
    let error = ScriptedBroker::start_on(broker.address(), Script::default()).expect_err("in use");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn it_serves_three_hundred_connections_at_once() {
    let broker = ScriptedBroker::start(Script::default());
    let mut clients: Vec<_> = (0..300)
        .map(|number| {
            let version = if number % 2 == 0 { V5 } else { V3_1_1 };
            let mut client = RawClient::connected(&broker, version, &format!("client-{number}"));
            client.subscribe("all", QoS::AtLeastOnce);
            client
        })
        .collect();
    clients[0].publish("all", "hello", QoS::AtMostOnce);
    for client in &mut clients {
        client.expect_payloads(&["hello"]);
        client.expect_service();
    }
    assert_eq!(broker.log().connections(), 300);
}

#[test]
fn a_subscriber_that_does_not_read_delays_no_other_client() {
    let broker = ScriptedBroker::start(Script::default());
    let _stuck = RawClient::subscribed(&broker, V5, "t", QoS::AtMostOnce);
    let mut publisher = RawClient::connected(&broker, V5, "publisher");
    let payload = "x".repeat(1_000);
    for _ in 0..60_000 {
        publisher.publish("t", &payload, QoS::AtMostOnce);
    }
    publisher.expect_service();
    assert!(broker.log().dropped > 0);
}

#[test]
fn the_log_has_how_each_connection_began_and_ended() {
    let broker = ScriptedBroker::start(Script::default());
    let mut client = RawClient::connected(&broker, V3_1_1, "client");
    client.leave();
    drop(RawClient::open(&broker, V5));
    expect_end(&broker, 1, EndedBy::Client);
    let connect = Event::Connect {
        connection: 0,
        client_id: "client".to_owned(),
        protocol_level: 4,
        clean_start: true,
    };
    let expected = [
        Event::Accepted { connection: 0 },
        connect,
        Event::Disconnect { connection: 0, reason_code: 0 },
        Event::Ended { connection: 0, by: EndedBy::Client },
        Event::Accepted { connection: 1 },
        Event::Ended { connection: 1, by: EndedBy::Client },
    ];
    assert_eq!(broker.log().events, expected);
}

#[test]
fn wait_until_returns_false_after_its_timeout() {
    let broker = ScriptedBroker::start(Script::default());
    assert!(!broker.wait_until(std::time::Duration::from_millis(1), |log| log.connections() > 0));
}
