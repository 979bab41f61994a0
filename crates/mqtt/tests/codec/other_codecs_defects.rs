//! Defects of the other codecs, so that what the cross checks leave out is known to be theirs.
//!
//! Each test shows the legal bytes, that we read them, and what the other codec makes of them. One that fails tells of a
//! repair over there: then its excuse in `other_codecs.rs` can go.

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::v5;
use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{Connect, Packet, Properties, Property, Publish, ReasonCode};

use crate::decode;
use crate::generate::encoded;
use crate::other_codecs::{mqtt_protocol_core, mqtt5_protocol, rumqttc};

fn connect_with_password(user_name: Option<&str>, password: &[u8]) -> Vec<u8> {
    encoded(&Packet::Connect(Connect { user_name, password: Some(password), ..Connect::new("i") }), V5)
}

#[test]
fn rumqttc_refuses_a_disconnect_without_property_length() {
    for legal in [&[0xE0, 0][..], &[0xE0, 1, 0x8E]] {
        assert!(decode(legal, V5).oddities.is_empty());
        assert!(rumqttc(legal, V5).is_err(), "{legal:02X?}");
        assert!(mqtt5_protocol(legal, V5).is_ok());
        assert!(mqtt_protocol_core(legal, V5).is_ok());
    }
}

#[test]
fn rumqttc_knows_no_auth() {
    for legal in [&[0xF0, 0][..], &[0xF0, 6, 0x18, 4, 0x15, 0, 1, b'X']] {
        assert!(decode(legal, V5).oddities.is_empty());
        assert_eq!(rumqttc(legal, V5), Err("InvalidPacketType(15)".into()));
        assert!(mqtt5_protocol(legal, V5).is_ok());
        assert!(mqtt_protocol_core(legal, V5).is_ok());
    }
}

#[test]
fn rumqttc_takes_the_third_subscription_identifier_for_payload() {
    let list = [1, 2, 3].map(Property::SubscriptionIdentifier);
    let legal = encoded(
        &Packet::Publish(Publish { properties: Properties::List(&list), ..Publish::new("t", b"hi") }),
        V5,
    );
    let Ok(v5::Packet::Publish(theirs)) = v5::Packet::read(&mut BytesMut::from(&legal[..]), None) else {
        panic!("no PUBLISH")
    };
    assert_eq!(theirs.payload[..], *b"\x0B\x03hi");
    let Packet::Publish(ours) = decode(&legal, V5).packet else { panic!("no PUBLISH") };
    assert_eq!(ours.payload, b"hi");
}

#[test]
fn rumqttc_loses_bytes_before_a_connect() {
    let legal = encoded(&Packet::Connect(Connect::new("client")), V5);
    let packet = v5::Packet::read(&mut BytesMut::from(&legal[..]), None).unwrap();
    let before = [0xA5; 40];
    let mut buffer = BytesMut::from(&before[..]);
    packet.write(&mut buffer, None).unwrap();
    assert_ne!(buffer[..40], before, "an index from the start of the buffer");
    let mut out = before.to_vec();
    Connect::new("client").encode(V5, &mut out).unwrap();
    assert_eq!(out[..40], before);
    assert_eq!(out[40..], legal);
}

#[test]
fn rumqttc_rejects_packets_with_an_unknown_reason_code() {
    let unknown = [0x40, 4, 0, 1, 0xFF, 0];
    assert!(rumqttc(&unknown, V5).is_err());
    let Packet::PubAck(ack) = decode(&unknown, V5).packet else { panic!("no PUBACK") };
    assert_eq!((ack.packet_identifier, ack.reason_code), (1, ReasonCode(0xFF)));
}

#[test]
fn rumqttc_drops_empty_credentials_and_refuses_binary_passwords() {
    let empty = connect_with_password(Some(""), b"");
    assert_ne!(rumqttc(&empty, V5).unwrap(), empty);
    assert!(rumqttc(&connect_with_password(Some("u"), b"\xFF"), V5).is_err());
    assert_eq!(mqtt5_protocol(&empty, V5).unwrap(), empty);
    assert_eq!(mqtt_protocol_core(&empty, V5).unwrap(), empty);
}

#[test]
fn two_codecs_refuse_the_password_alone_that_mqtt_5_allows() {
    let legal = connect_with_password(None, b"token");
    assert!(decode(&legal, V5).oddities.is_empty());
    assert!(mqtt5_protocol(&legal, V5).is_err());
    assert!(mqtt_protocol_core(&legal, V5).is_err());
    assert_eq!(rumqttc(&legal, V5).unwrap(), legal);
}

#[test]
fn mqtt_protocol_core_accepts_a_publish_without_property_length() {
    let illegal = b"\x30\x03\0\x01t";
    assert!(!decode(illegal, V5).oddities.is_empty());
    assert!(mqtt_protocol_core(illegal, V5).is_ok());
    assert!(decode(illegal, V3_1_1).oddities.is_empty());
}

#[test]
fn no_other_codec_accepts_0x8c_in_a_disconnect() {
    let disputed = [0xE0, 2, 0x8C, 0];
    assert!(decode(&disputed, V5).oddities.is_empty());
    for other in [rumqttc, mqtt5_protocol, mqtt_protocol_core] {
        assert!(other(&disputed, V5).is_err());
    }
}
