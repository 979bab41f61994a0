//! Sessions and take-over on a conforming broker.

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, Packet, Properties, Property, ProtocolVersion, QoS};
use ungraceful_scripted_broker::{Script, ScriptedBroker, Sessions};

use crate::raw_client::{RawClient, connack, encoded};

fn conforming() -> ScriptedBroker {
    ScriptedBroker::start(Script::default())
}

const AN_HOUR: &[Property<'static>] = &[Property::SessionExpiryInterval(3600)];

/// A CONNECT whose session outlives the connection.
pub(crate) fn lasting(version: ProtocolVersion, clean_start: bool) -> Connect<'static> {
    let properties = if version == V5 { AN_HOUR.into() } else { Properties::NONE };
    Connect { clean_start, properties, ..Connect::new("client") }
}

/// In MQTT 3.1.1 the only session that lasts is one without Clean Session.
pub(crate) fn first_of_lasting(version: ProtocolVersion) -> Connect<'static> {
    lasting(version, version == V5)
}

#[test]
fn mqtt5_3_1_4_3_a_client_is_taken_over() {
    for version in ProtocolVersion::ALL {
        let broker = conforming();
        let mut old = RawClient::connected(&broker, version, "client");
        let mut new = RawClient::connected(&broker, version, "client");
        old.expect_close(0x8E);
        new.expect_service();
    }
}

#[test]
fn a_client_of_the_other_version_is_taken_over_in_its_own() {
    let broker = conforming();
    let mut old = RawClient::connected(&broker, V5, "client");
    let mut new = RawClient::connected(&broker, V3_1_1, "client");
    old.expect_close(0x8E);
    let mut newest = RawClient::connected(&broker, V5, "client");
    new.expect_fin();
    newest.expect_service();
}

#[test]
fn a_lasting_session_keeps_subscriptions_and_messages() {
    for version in ProtocolVersion::ALL {
        let broker = conforming();
        let mut client = RawClient::connected_with(&broker, version, &first_of_lasting(version), 0);
        client.subscribe("t", QoS::AtLeastOnce);
        client.leave();
        let mut publisher = RawClient::connected(&broker, version, "publisher");
        for payload in ["1", "2"] {
            publisher.publish_at_least_once("t", payload);
        }
        let mut client = RawClient::connected_with(&broker, version, &lasting(version, false), 1);
        client.expect_payloads(&["1", "2"]);
    }
}

#[test]
fn a_session_survives_its_take_over() {
    for version in ProtocolVersion::ALL {
        let broker = conforming();
        let mut old = RawClient::connected_with(&broker, version, &first_of_lasting(version), 0);
        old.subscribe("t", QoS::AtMostOnce);
        let mut new = RawClient::connected_with(&broker, version, &lasting(version, false), 1);
        new.publish("t", "x", QoS::AtMostOnce);
        new.expect_payloads(&["x"]);
    }
}

#[test]
fn mqtt5_3_1_2_4_clean_start_discards_the_session() {
    for version in ProtocolVersion::ALL {
        let broker = conforming();
        let mut old = RawClient::connected_with(&broker, version, &first_of_lasting(version), 0);
        old.subscribe("t", QoS::AtMostOnce);
        let mut new = RawClient::connected(&broker, version, "client");
        new.publish("t", "x", QoS::AtMostOnce);
        new.expect_service();
    }
}

#[test]
fn a_session_without_expiry_ends_with_its_connection() {
    let broker = conforming();
    let connect = Connect { clean_start: false, ..Connect::new("client") };
    RawClient::connected_with(&broker, V5, &connect, 0).expect_silence();
    RawClient::connected_with(&broker, V5, &connect, 0).expect_silence();
}

#[test]
fn a_session_expires_after_its_interval() {
    let broker = conforming();
    let properties = [Property::SessionExpiryInterval(1)];
    let connect = Connect { properties: properties.as_slice().into(), ..lasting(V5, false) };
    RawClient::connected_with(&broker, V5, &connect, 0).leave();
    let second = Connect { keep_alive_s: 1, ..Connect::new("clock") };
    // The Keep Alive closes after one and a half seconds: half a second after the expiry.
    let mut clock = RawClient::connected_with(&broker, V5, &second, 0);
    clock.expect_disconnect(0x8D);
    RawClient::connected_with(&broker, V5, &connect, 0).expect_service();
}

#[test]
fn the_expiry_of_a_session_does_not_affect_the_next_one() {
    let broker = conforming();
    for expiry_s in [1, 3600] {
        let properties = [Property::SessionExpiryInterval(expiry_s)];
        let connect = Connect { properties: properties.as_slice().into(), ..lasting(V5, true) };
        RawClient::connected_with(&broker, V5, &connect, 0).leave();
    }
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    RawClient::connected_with(&broker, V5, &lasting(V5, false), 1).expect_service();
}

#[test]
fn disconnect_can_lower_the_session_expiry_but_not_raise_it_from_0() {
    let broker = conforming();
    let mut client = RawClient::connected_with(&broker, V5, &lasting(V5, true), 0);
    client.send(&[0xE0, 7, 0, 5, 0x11, 0, 0, 0, 0]);
    client.expect_fin();
    let connect = Connect { clean_start: false, ..Connect::new("client") };
    let mut client = RawClient::connected_with(&broker, V5, &connect, 0);
    client.send(&[0xE0, 7, 0, 5, 0x11, 0, 0, 0, 9]);
    client.expect_close(0x82);
}

#[test]
fn mqtt5_4_4_0_1_unacknowledged_messages_are_resent_in_order() {
    for version in ProtocolVersion::ALL {
        let broker = conforming();
        let mut client = RawClient::connected_with(&broker, version, &first_of_lasting(version), 0);
        client.subscribe("t", QoS::ExactlyOnce);
        let mut publisher = RawClient::connected(&broker, version, "publisher");
        publisher.publish_exactly_once("t", "1");
        publisher.publish_at_least_once("t", "2");
        client.expect_payloads(&["1", "2"]);
        client.send(&[0x50, 2, 0, 1]);
        client.expect(&[0x62, 2, 0, 1]);
        drop(client);
        let mut client = RawClient::connected_with(&broker, version, &lasting(version, false), 1);
        client.expect(&[0x62, 2, 0, 1]);
        let again = client.next_packet();
        assert_eq!((again[0], &again[5..7]), (0x3A, &[0, 2][..]));
        client.send(&[0x70, 2, 0, 1, 0x40, 2, 0, 2]);
        client.expect_service();
    }
}

#[test]
fn a_smaller_receive_maximum_holds_for_what_is_sent_again() {
    let broker = conforming();
    let mut client = RawClient::connected_with(&broker, V5, &lasting(V5, true), 0);
    client.subscribe("t", QoS::AtLeastOnce);
    client.echo_at_least_once(&["1", "2"]);
    drop(client);
    let properties = [Property::SessionExpiryInterval(3600), Property::ReceiveMaximum(1)];
    let connect = Connect { properties: properties.as_slice().into(), ..lasting(V5, false) };
    let mut client = RawClient::connected_with(&broker, V5, &connect, 1);
    client.expect_payloads(&["1"]);
    client.expect_service();
    client.send(&[0x40, 2, 0, 1]);
    client.expect_payloads(&["2"]);
}

#[test]
fn a_qos_2_message_is_remembered_across_connections() {
    for version in ProtocolVersion::ALL {
        let broker = conforming();
        let mut witness = RawClient::subscribed(&broker, version, "t", QoS::AtMostOnce);
        for session_present in [0, 1] {
            let is_first = session_present == 0;
            let connect = if is_first { first_of_lasting(version) } else { lasting(version, false) };
            let mut client = RawClient::connected_with(&broker, version, &connect, session_present);
            client.publish_exactly_once("t", "once");
        }
        witness.expect_payloads(&["once"]);
        witness.expect_service();
    }
}

#[test]
fn a_client_without_client_id_gets_one_in_5_0() {
    let broker = conforming();
    let mut client = RawClient::answered(
        &broker,
        V5,
        &Connect::new(""),
        b"\x20\x14\x00\x00\x11\x12\x00\x0aassigned-0\x29\x00\x2a\x00",
    );
    client.expect_service();
}

#[test]
fn mqtt3_1_1_3_1_3_8_an_empty_client_id_needs_a_clean_session() {
    let broker = conforming();
    let mut client = RawClient::open(&broker, V3_1_1);
    let clean = encoded(V3_1_1, &Packet::Connect(Connect::new("")));
    client.send(&clean);
    client.expect(&connack(V3_1_1, 0));
    let mut client = RawClient::open(&broker, V3_1_1);
    let mut unclean = clean;
    unclean[9] = 0;
    client.send(&unclean);
    client.expect(&[0x20, 2, 0, 2]);
    client.expect_fin();
}

#[test]
fn never_expire_keeps_a_session_beyond_its_connection() {
    for version in ProtocolVersion::ALL {
        let broker = ScriptedBroker::start(Script { sessions: Sessions::NeverExpire, ..Script::default() });
        let mut client = RawClient::connected(&broker, version, "client");
        client.subscribe("t", QoS::AtLeastOnce);
        client.expect_silence();
        let back = Connect { clean_start: false, ..Connect::new("client") };
        let _back = RawClient::connected_with(&broker, version, &back, 1);
    }
}
