//! Packets that other codecs lose, reject or corrupt, read here according to the standard.

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{
    Connect, DecodeError, Framed, Oddities, Oddity, Packet, PacketType, Properties, Property,
    ProtocolVersion, Publish, ReasonCode, frame,
};

use crate::decode;

fn oddities(bytes: &[u8], version: ProtocolVersion) -> Vec<Oddity> {
    listed(decode(bytes, version).oddities)
}

fn listed(oddities: Oddities) -> Vec<Oddity> {
    oddities.iter().collect()
}

fn reason_code(bytes: &[u8]) -> (ReasonCode, Oddities) {
    let decoded = decode(bytes, V5);
    let code = match decoded.packet {
        Packet::Disconnect(packet) => packet.reason_code,
        Packet::Auth(packet) => packet.reason_code,
        Packet::PubAck(packet) | Packet::PubRec(packet) => packet.reason_code,
        Packet::PubRel(packet) | Packet::PubComp(packet) => packet.reason_code,
        other => panic!("no Reason Code in {other:?}"),
    };
    (code, decoded.oddities)
}

#[test]
fn a_disconnect_without_property_length_keeps_its_reason() {
    assert_eq!(reason_code(&[0xE0, 1, 0x8E]), (ReasonCode::SESSION_TAKEN_OVER, Oddities::NONE));
    assert_eq!(reason_code(&[0xE0, 2, 0x8E, 0]), (ReasonCode::SESSION_TAKEN_OVER, Oddities::NONE));
}

#[test]
fn an_empty_disconnect_is_a_normal_one() {
    assert_eq!(reason_code(&[0xE0, 0]), (ReasonCode::NORMAL_DISCONNECTION, Oddities::NONE));
}

#[test]
fn a_disconnect_with_properties_that_lie_keeps_its_reason() {
    for broken in [&[0xE0, 3, 0x82, 9, 0x1F][..], &[0xE0, 2, 0x82, 0x80], &[0xE0, 4, 0x82, 2, 0x1F, 0]] {
        let (code, oddities) = reason_code(broken);
        assert_eq!(code, ReasonCode::PROTOCOL_ERROR);
        assert_eq!(listed(oddities), [Oddity::MalformedProperties], "{broken:02X?}");
    }
}

#[test]
fn a_disconnect_on_a_3_1_1_connection_is_shown_with_its_reason() {
    let decoded = decode(&[0xE0, 1, 0x8E], V3_1_1);
    let Packet::Disconnect(disconnect) = decoded.packet else { panic!("{decoded:?}") };
    assert_eq!(disconnect.reason_code, ReasonCode::SESSION_TAKEN_OVER);
    assert!(decoded.oddities.contains(Oddity::DisconnectOnV3_1_1));
    assert!(decoded.oddities.contains(Oddity::TrailingBytes));
    assert_eq!(oddities(&[0xE0, 0], V3_1_1), [Oddity::DisconnectOnV3_1_1]);
}

#[test]
fn auth_is_read_in_all_lengths() {
    assert_eq!(reason_code(&[0xF0, 0]), (ReasonCode::SUCCESS, Oddities::NONE));
    let with_method = [0xF0, 6, 0x19, 4, 0x15, 0, 1, b'X'];
    assert_eq!(reason_code(&with_method), (ReasonCode::RE_AUTHENTICATE, Oddities::NONE));
    let (code, oddities) = reason_code(&[0xF0, 2, 0x18, 0]);
    assert_eq!(code, ReasonCode::CONTINUE_AUTHENTICATION);
    assert_eq!(listed(oddities), [Oddity::MissingAuthenticationMethod]);
    // The one short form that the standard grants to DISCONNECT and not to AUTH.
    let (code, oddities) = reason_code(&[0xF0, 1, 0x18]);
    assert_eq!(code, ReasonCode::CONTINUE_AUTHENTICATION);
    assert!(oddities.contains(Oddity::MissingPropertyLength));
}

#[test]
fn authentication_data_needs_its_method() {
    let data = [0xF0, 6, 0x00, 4, 0x16, 0, 1, 9];
    assert_eq!(oddities(&data, V5), [Oddity::MissingAuthenticationMethod]);
    assert_eq!(oddities(&[0x20, 7, 0, 0, 4, 0x16, 0, 1, 9], V5), [Oddity::MissingAuthenticationMethod]);
}

#[test]
fn auth_on_a_3_1_1_connection_is_shown() {
    assert_eq!(oddities(&[0xF0, 0], V3_1_1), [Oddity::AuthOnV3_1_1]);
}

#[test]
fn many_subscription_identifiers_do_not_change_the_payload() {
    for count in 0..20 {
        let list: Vec<_> =
            (0..count).map(|index| Property::SubscriptionIdentifier(1 + index * 100)).collect();
        let publish = Publish { properties: Properties::List(&list), ..Publish::new("t", b"hi") };
        let mut out = Vec::new();
        publish.encode(V5, &mut out).unwrap();
        let decoded = decode(&out, V5);
        let Packet::Publish(read) = decoded.packet else { panic!("{decoded:?}") };
        assert_eq!(read.payload, b"hi");
        let identifiers: Vec<_> = read.properties.subscription_identifiers().collect();
        assert_eq!(identifiers, (0..count).map(|index| 1 + index * 100).collect::<Vec<_>>());
        assert!(decoded.oddities.is_empty());
    }
}

#[test]
fn acks_are_read_in_all_three_lengths() {
    for first in [0x40, 0x50, 0x62, 0x70] {
        let code = if first == 0x40 || first == 0x50 { 0x80 } else { 0x92 };
        assert_eq!(reason_code(&[first, 2, 0, 1]), (ReasonCode::SUCCESS, Oddities::NONE));
        assert_eq!(reason_code(&[first, 3, 0, 1, code]), (ReasonCode(code), Oddities::NONE));
        assert_eq!(reason_code(&[first, 4, 0, 1, code, 0]), (ReasonCode(code), Oddities::NONE));
        let with_reason = [first, 8, 0, 1, code, 4, 0x1F, 0, 1, b'x'];
        assert_eq!(reason_code(&with_reason), (ReasonCode(code), Oddities::NONE));
    }
}

#[test]
fn unknown_and_misplaced_reason_codes_are_kept() {
    let (code, oddities) = reason_code(&[0x40, 3, 0, 1, 0xFF]);
    assert_eq!(code, ReasonCode(0xFF));
    assert_eq!(listed(oddities), [Oddity::UnknownReasonCode]);
    let (code, oddities) = reason_code(&[0x40, 3, 0, 1, 0x92]);
    assert_eq!(code, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
    assert_eq!(listed(oddities), [Oddity::ReasonCodeNotAllowedHere]);
    assert_eq!(self::oddities(&[0x90, 5, 0, 1, 0, 1, 0x33], V5), [Oddity::UnknownReasonCode]);
    assert_eq!(self::oddities(&[0x90, 4, 0, 1, 1, 0x87], V3_1_1), [Oddity::UnknownReasonCode]);
    assert_eq!(self::oddities(&[0x20, 3, 0, 0x8E, 0], V5), [Oddity::ReasonCodeNotAllowedHere]);
    assert_eq!(self::oddities(&[0x20, 2, 0, 9], V3_1_1), [Oddity::UnknownReasonCode]);
}

#[test]
fn a_reason_code_on_a_3_1_1_ack_is_shown() {
    let decoded = decode(&[0x40, 3, 0, 1, 0x87], V3_1_1);
    let Packet::PubAck(ack) = decoded.packet else { panic!("{decoded:?}") };
    assert_eq!(ack.reason_code, ReasonCode::NOT_AUTHORIZED);
    assert!(decoded.oddities.contains(Oddity::TrailingBytes));
}

#[test]
fn a_connect_behind_another_packet_leaves_both_whole() {
    let first = Connect { user_name: Some("u"), password: Some(b"p"), ..Connect::new("one") };
    let second = Connect { clean_start: false, ..Connect::new("two") };
    let mut out = Vec::new();
    first.encode(V5, &mut out).unwrap();
    let alone = out.clone();
    second.encode(V5, &mut out).unwrap();
    assert_eq!(out[..alone.len()], alone);
    let Packet::Connect(read) = decode(&out[alone.len()..], V5).packet else { panic!("no CONNECT") };
    assert_eq!((read.client_id, read.clean_start, read.user_name), ("two", false, None));
}

#[test]
fn mqtt5_2_2_2_1_a_missing_property_length_is_odd() {
    assert_eq!(oddities(&[0x20, 2, 0, 0x84], V5), [Oddity::MissingPropertyLength]);
    assert_eq!(oddities(b"\x30\x03\0\x01t", V5), [Oddity::MissingPropertyLength]);
    assert_eq!(oddities(&[0xB0, 2, 0, 1], V5), [Oddity::MissingPropertyLength, Oddity::EmptyList]);
}

#[test]
fn packets_of_the_other_side_are_shown() {
    let server_only = [&[0x20, 3, 0, 0, 0][..], &[0x90, 4, 0, 1, 0, 0], &[0xD0, 0]];
    for bytes in server_only {
        let decoded = decode(bytes, V5);
        assert!(decoded.oddities.is_empty());
        assert!(!decoded.packet.packet_type().unwrap().may_come_from_client(V5));
    }
}

#[test]
fn mqtt5_2_1_3_1_reserved_flags_are_odd_and_the_packet_is_shown() {
    for (bytes, packet_type) in [
        (&[0xC1, 0][..], PacketType::PingReq),
        (&[0xE1, 0], PacketType::Disconnect),
        (&[0x60, 2, 0, 1], PacketType::PubRel),
        (b"\x80\x07\0\x01\0\0\x01a\x00", PacketType::Subscribe),
        (b"\xA0\x06\0\x01\0\0\x01a", PacketType::Unsubscribe),
    ] {
        let decoded = decode(bytes, V5);
        assert_eq!(decoded.packet.packet_type(), Some(packet_type));
        assert_eq!(decoded.oddities.iter().collect::<Vec<_>>(), [Oddity::ReservedFlags]);
    }
}

#[test]
fn odd_publishes_are_shown() {
    assert_eq!(oddities(b"\x36\x06\0\x01t\0\x01\0", V5), [Oddity::InvalidQos]);
    assert_eq!(oddities(b"\x38\x04\0\x01t\0", V5), [Oddity::DupOnQos0]);
    assert_eq!(oddities(b"\x32\x06\0\x01t\0\0\0", V5), [Oddity::PacketIdentifierZero]);
    assert_eq!(oddities(b"\x30\x05\0\x02a+\0", V5), [Oddity::WildcardInTopic]);
    assert_eq!(oddities(b"\x30\x05\0\x02a\0\0", V5), [Oddity::NullCharacter]);
    assert_eq!(oddities(b"\x30\x03\0\0\0", V5), [Oddity::EmptyTopic]);
    assert_eq!(oddities(b"\x30\x06\0\0\x03\x23\0\x01", V5), [], "a Topic Alias replaces the topic");
    let decoded = decode(b"\x30\x06\0\x03ab\xFFx", V3_1_1);
    let Packet::Publish(publish) = decoded.packet else { panic!("{decoded:?}") };
    assert_eq!((publish.topic, publish.payload), ("ab", &b"x"[..]));
    assert!(decoded.oddities.contains(Oddity::InvalidUtf8));
}

#[test]
fn odd_properties_are_shown() {
    assert_eq!(oddities(b"\x30\x0A\0\x01t\x06\x23\0\x01\x23\0\x02", V5), [Oddity::DuplicateProperty]);
    assert_eq!(oddities(b"\x30\x09\0\x01t\x05\x11\0\0\0\x01", V5), [Oddity::PropertyNotAllowedHere]);
    assert_eq!(oddities(b"\x30\x07\0\x01t\x03\x23\0\0", V5), [Oddity::BadPropertyValue]);
    assert_eq!(oddities(b"\x30\x06\0\x01t\x02\x04\0", V5), [Oddity::UnknownProperty]);
    assert_eq!(
        oddities(b"\x30\x05\0\x01t\x81\0", V5),
        [Oddity::NonMinimalLength, Oddity::MalformedProperties]
    );
    assert_eq!(oddities(b"\xD0\x80\x00", V5), [Oddity::NonMinimalLength]);
}

#[test]
fn odd_connects_are_shown() {
    let connect = |name: &[u8; 4], level, flags| {
        [&[0x10, 13, 0, 4][..], name, &[level, flags, 0, 60, 0, 1, b'i']].concat()
    };
    assert_eq!(oddities(&connect(b"MQTT", 4, 2), V5), [], "the level decides, not the caller");
    assert_eq!(oddities(&connect(b"MQTX", 4, 2), V5), [Oddity::UnknownProtocol]);
    assert_eq!(oddities(&connect(b"MQTT", 0x7F, 2), V5), [Oddity::UnknownProtocol]);
    assert_eq!(oddities(&connect(b"MQTT", 4, 3), V5), [Oddity::ReservedBits]);
    assert_eq!(oddities(&connect(b"MQTT", 4, 0x2A), V5), [Oddity::WillFlagsWithoutWill]);
    let no_user = b"\x10\x10\0\x04MQTT\x04\x42\0\x3C\0\x01i\0\x01p";
    assert_eq!(oddities(no_user, V5), [Oddity::PasswordWithoutUserName]);
    let without_user_name = connect(b"MQTT", 4, 0x82);
    let truncated = decode(&without_user_name, V5);
    let why = DecodeError::Truncated("User Name");
    assert_eq!(truncated.packet, Packet::Unreadable { packet_type: Some(PacketType::Connect), why });
}

#[test]
fn odd_subscribes_are_shown() {
    assert_eq!(oddities(&[0x82, 3, 0, 1, 0], V5), [Oddity::EmptyList]);
    assert_eq!(oddities(b"\x82\x07\0\x01\0\0\x01a\x03", V5), [Oddity::InvalidQos]);
    assert_eq!(oddities(b"\x82\x07\0\x01\0\0\x01a\x30", V5), [Oddity::InvalidSubscriptionOptions]);
    assert_eq!(oddities(b"\x82\x06\0\x01\0\x01a\x04", V3_1_1), [Oddity::InvalidSubscriptionOptions]);
    assert_eq!(oddities(b"\x82\x08\0\x01\0\0\x02a#\x00", V5), [Oddity::InvalidTopicFilter]);
    assert_eq!(oddities(b"\x82\x06\0\x01\0\0\x01a", V5), [Oddity::TruncatedList]);
    assert_eq!(oddities(b"\xA2\x05\0\x01\0\0\x09", V5), [Oddity::TruncatedList]);
}

#[test]
fn mqtt5_3_2_2_6_session_present_beside_a_refusal_is_odd() {
    assert_eq!(oddities(&[0x20, 3, 1, 0x87, 0], V5), [Oddity::SessionPresentWithError]);
    assert_eq!(oddities(&[0x20, 2, 1, 5], V3_1_1), [Oddity::SessionPresentWithError]);
    assert_eq!(oddities(&[0x20, 3, 2, 0, 0], V5), [Oddity::ReservedBits]);
}

#[test]
fn unreadable_packets_say_why() {
    let reserved = decode(&[0x00, 0], V5).packet;
    assert_eq!(reserved, Packet::Unreadable { packet_type: None, why: DecodeError::ReservedPacketType });
    let why = DecodeError::Truncated("Packet Identifier");
    assert_eq!(
        decode(&[0x40, 1, 0], V5).packet,
        Packet::Unreadable { packet_type: Some(PacketType::PubAck), why }
    );
    assert_eq!(decode(&[0xC0, 1, 9], V5).oddities.iter().collect::<Vec<_>>(), [Oddity::TrailingBytes]);
}

#[test]
fn an_incomplete_packet_is_not_consumed() {
    let mut buffer = vec![0xE0, 0x01];
    assert!(matches!(frame(&buffer), Framed::Incomplete { missing: 1 }));
    buffer.push(0x8E);
    assert!(matches!(frame(&buffer), Framed::Complete(found) if found.len() == 3));
}
