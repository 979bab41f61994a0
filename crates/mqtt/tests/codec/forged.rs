//! Forbidden packets are written as specified, and read back with their oddities.

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::forbidden::{
    Forged, ForgedConnect, ForgedPublish, ForgedSubscribe, RemainingLength, property_bytes,
};
use ungraceful_mqtt::{
    Connect, EncodeError, FrameError, Framed, Oddity, Packet, PacketIdentifier, PacketType, Properties,
    Property, Publish, QoS, Subscribe, Subscription, Will, frame,
};

use crate::decode;
use crate::generate::{encoded, versioned_packet};
use proptest::prelude::*;

fn odd(bytes: &[u8]) -> Vec<Oddity> {
    decode(bytes, V5).oddities.iter().collect()
}

fn publish() -> Publish<'static> {
    Publish::new("t", b"x").at_least_once(PacketIdentifier::MIN)
}

#[test]
fn mqtt5_3_3_1_4_a_forged_publish_has_both_qos_bits() {
    let bytes = ForgedPublish { qos: 3, ..ForgedPublish::like(&publish(), V5) }.forge().to_vec();
    assert_eq!(bytes, b"\x36\x07\0\x01t\0\x01\0x");
    assert_eq!(odd(&bytes), [Oddity::InvalidQos]);
}

#[test]
fn mqtt5_2_2_1_3_a_forged_packet_identifier_is_0() {
    let publish = ForgedPublish { packet_identifier: Some(0), ..ForgedPublish::like(&publish(), V5) };
    assert_eq!(odd(&publish.forge().to_vec()), [Oddity::PacketIdentifierZero]);
    let subscribe =
        ForgedSubscribe { packet_identifier: 0, properties: Some(Properties::NONE), filters: &[(b"a", 0)] };
    assert_eq!(odd(&subscribe.forge().to_vec()), [Oddity::PacketIdentifierZero]);
    assert_eq!(odd(&subscribe.forge_unsubscribe().to_vec()), [Oddity::PacketIdentifierZero]);
}

#[test]
fn mqtt5_3_1_2_1_a_forged_connect_has_any_name_level_and_flags() {
    let legal = ForgedConnect::like(&Connect::new("id"), V5);
    let bytes = ForgedConnect { protocol_name: b"MQTX", ..legal }.forge().to_vec();
    assert_eq!(odd(&bytes), [Oddity::UnknownProtocol]);
    let bytes = ForgedConnect { connect_flags: legal.connect_flags | 1, ..legal }.forge().to_vec();
    assert_eq!(odd(&bytes), [Oddity::ReservedBits]);
    let bytes = ForgedConnect { connect_flags: 0x1A, ..legal }.forge().to_vec();
    assert_eq!(odd(&bytes), [Oddity::WillFlagsWithoutWill]);
    let bytes = ForgedConnect { protocol_level: 9, properties: None, ..legal }.forge().to_vec();
    let Packet::Connect(read) = decode(&bytes, V5).packet else { panic!("no CONNECT") };
    assert_eq!((read.protocol_level, read.version()), (Some(9), None));
    let bytes = ForgedConnect { connect_flags: 0x82, ..legal }.forge().to_vec();
    assert!(matches!(decode(&bytes, V5).packet, Packet::Unreadable { .. }), "a user name that never comes");
}

#[test]
fn mqtt5_1_5_4_1_a_forged_string_is_not_utf_8() {
    let bytes =
        ForgedPublish { topic: b"a\xED\xA0\x80", ..ForgedPublish::like(&publish(), V5) }.forge().to_vec();
    assert_eq!(odd(&bytes), [Oddity::InvalidUtf8]);
    let bytes = ForgedConnect { client_id: Some(b"\0"), ..ForgedConnect::like(&Connect::new("id"), V5) };
    assert_eq!(odd(&bytes.forge().to_vec()), [Oddity::NullCharacter]);
    let lying = Forged::of_type(PacketType::Publish).string_claiming(65_535, b"t").to_vec();
    assert_eq!(lying, b"\x30\x03\xFF\xFFt");
}

#[test]
fn mqtt5_2_1_3_1_forged_flags_stand_on_any_packet() {
    for packet_type in PacketType::ALL {
        let bytes = Forged::of_type(packet_type).flags(0b1111).to_vec();
        assert_eq!(bytes, [packet_type.nibble() << 4 | 15, 0]);
    }
    assert_eq!(Forged::packet(0x0F).to_vec(), [0x0F, 0], "the reserved type");
}

#[test]
fn a_forged_remaining_length_lies_in_both_directions() {
    let packet = Forged::of_type(PacketType::Publish).string(b"t").raw(b"body");
    let shorter = packet.clone().remaining_length(RemainingLength::Claimed(3)).to_vec();
    assert_eq!(shorter, b"\x30\x03\0\x01tbody");
    let longer = packet.remaining_length(RemainingLength::Claimed(1_000_000)).to_vec();
    assert!(matches!(frame(&longer), Framed::Incomplete { missing: 999_993 }));
}

#[test]
fn mqtt5_1_5_5_1_a_forged_length_is_padded_or_too_long() {
    let ping = Forged::of_type(PacketType::PingReq);
    let padded = ping.clone().remaining_length(RemainingLength::Padded(4)).to_vec();
    assert_eq!(padded, [0xC0, 0x80, 0x80, 0x80, 0]);
    assert_eq!(odd(&padded), [Oddity::NonMinimalLength]);
    for too_long in [
        RemainingLength::Padded(5),
        RemainingLength::Claimed(268_435_456),
        RemainingLength::Raw(vec![0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
    ] {
        let bytes = ping.clone().remaining_length(too_long).to_vec();
        assert_eq!(frame(&bytes), Framed::Malformed(FrameError::RemainingLengthTooLong));
    }
}

#[test]
fn forged_properties_are_doubled_misplaced_forbidden_or_broken() {
    let with = |list: &[Property<'_>]| {
        let properties = Some(Properties::List(list));
        ForgedPublish { properties, ..ForgedPublish::like(&publish(), V5) }.forge().to_vec()
    };
    assert_eq!(odd(&with(&[Property::TopicAlias(1), Property::TopicAlias(2)])), [Oddity::DuplicateProperty]);
    assert_eq!(odd(&with(&[Property::WillDelayInterval(1)])), [Oddity::PropertyNotAllowedHere]);
    assert_eq!(odd(&with(&[Property::TopicAlias(0)])), [Oddity::BadPropertyValue]);
    assert_eq!(odd(&with(&[Property::ContentType("\0")])), [Oddity::NullCharacter]);
    let unknown = Some(Properties::Wire(&[0x7F, 1]));
    let bytes = ForgedPublish { properties: unknown, ..ForgedPublish::like(&publish(), V5) }.forge().to_vec();
    assert_eq!(odd(&bytes), [Oddity::UnknownProperty]);
    let lying = Forged::of_type(PacketType::Publish)
        .string(b"t")
        .properties_claiming(200, Properties::List(&[Property::TopicAlias(1)]))
        .to_vec();
    assert_eq!(odd(&lying), [Oddity::MalformedProperties]);
    let padded = Forged::of_type(PacketType::ConnAck).two_bytes(0).padded_variable(0, 2).to_vec();
    assert_eq!(odd(&padded), [Oddity::NonMinimalLength]);
}

#[test]
fn a_forged_packet_is_made_of_raw_bytes_and_cut_anywhere() {
    let mut legal = Vec::new();
    publish().encode(V5, &mut legal).unwrap();
    let spoiled = Forged::from_bytes(&legal).unwrap().with_body_byte(2, 0xFF).truncated(3);
    assert_eq!(spoiled.to_vec(), [0x32, 3, 0, 1, 0xFF]);
    assert_eq!(spoiled.body(), [0, 1, 0xFF]);
    assert_eq!(Forged::from_bytes(&legal[..3]), None);
    let built = Forged::packet(0x50).two_bytes(7).byte(0xEE).four_bytes(1).variable(321).to_vec();
    assert_eq!(built, [0x50, 9, 0, 7, 0xEE, 0, 0, 0, 1, 0xC1, 2]);
}

#[test]
fn the_encoders_reject_forbidden_packets() {
    let refuses = |packet: Packet<'_>, why| {
        let mut out = vec![7];
        assert_eq!(packet.encode(V5, &mut out), Err(why), "{packet:?}");
        assert_eq!(out, [7], "the buffer is as it was");
    };
    let forbidden = EncodeError::Forbidden;
    refuses(Packet::Publish(Publish::new("a/+", b"")), forbidden(Oddity::WildcardInTopic));
    refuses(Packet::Publish(Publish::new("", b"")), forbidden(Oddity::EmptyTopic));
    refuses(Packet::Publish(Publish::new("a\0", b"")), forbidden(Oddity::NullCharacter));
    refuses(Packet::Publish(Publish { dup: true, ..Publish::new("t", b"") }), forbidden(Oddity::DupOnQos0));
    let zero = Publish { packet_identifier: Some(0), ..publish() };
    refuses(Packet::Publish(zero), forbidden(Oddity::PacketIdentifierZero));
    let missing = Publish { packet_identifier: None, ..publish() };
    refuses(Packet::Publish(missing), EncodeError::MissingPacketIdentifier);
    let superfluous = Publish { qos: QoS::AtMostOnce, ..publish() };
    refuses(Packet::Publish(superfluous), EncodeError::PacketIdentifierOnQos0);
    let list = [Property::TopicAlias(1), Property::TopicAlias(1)];
    let doubled = Publish { properties: Properties::List(&list), ..publish() };
    refuses(Packet::Publish(doubled), forbidden(Oddity::DuplicateProperty));
    refuses(
        Packet::Connect(Connect { protocol_name: b"X", ..Connect::new("i") }),
        forbidden(Oddity::UnknownProtocol),
    );
    let will = Some(Will::new("a/#", b""));
    refuses(Packet::Connect(Connect { will, ..Connect::new("i") }), forbidden(Oddity::WildcardInTopic));
    let long = vec![0; 65_536];
    let password = Some(&long[..]);
    refuses(Packet::Connect(Connect { password, ..Connect::new("i") }), EncodeError::TooLong("Password"));
    refuses(Packet::Subscribe(Subscribe::new(PacketIdentifier::MIN, &[])), forbidden(Oddity::EmptyList));
    let filters = [Subscription::new("a#", QoS::AtMostOnce)];
    let filter = Subscribe::new(PacketIdentifier::MIN, &filters);
    refuses(Packet::Subscribe(filter), forbidden(Oddity::InvalidTopicFilter));
}

#[test]
fn mqtt5_3_8_3_4_no_local_on_a_shared_subscription_is_rejected() {
    let mut filters = [Subscription::new("$share/g/t", QoS::AtMostOnce)];
    filters[0].options = filters[0].options.no_local();
    let subscribe = Subscribe::new(PacketIdentifier::MIN, &filters);
    let why = EncodeError::Forbidden(Oddity::InvalidSubscriptionOptions);
    assert_eq!(subscribe.encode(V5, &mut Vec::new()), Err(why));
}

#[test]
fn mqtt311_3_1_3_7_an_empty_client_identifier_needs_a_clean_session() {
    let connect = Connect { clean_start: false, ..Connect::new("") };
    assert_eq!(connect.encode(V3_1_1, &mut Vec::new()), Err(EncodeError::EmptyClientIdentifier));
    assert_eq!(connect.encode(V5, &mut Vec::new()), Ok(()));
    let forged = ForgedConnect::like(&connect, V3_1_1).forge().to_vec();
    assert!(matches!(decode(&forged, V3_1_1).packet, Packet::Connect(read) if read.client_id.is_empty()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The forging writers are written apart from the strict ones, so each proves the other.
    #[test]
    fn a_forged_packet_with_nothing_spoiled_is_the_legal_one((version, packet) in versioned_packet()) {
        let legal = encoded(&packet, version);
        let forged = match packet {
            Packet::Connect(connect) => ForgedConnect::like(&connect, version).forge(),
            Packet::Publish(publish) => ForgedPublish::like(&publish, version).forge(),
            Packet::Subscribe(subscribe) => {
                let filters: Vec<_> = subscribe.filters.iter()
                    .map(|filter| (filter.topic_filter.as_bytes(), filter.options.bits()))
                    .collect();
                let properties = (version == V5).then_some(subscribe.properties);
                let packet_identifier = subscribe.packet_identifier;
                ForgedSubscribe { packet_identifier, properties, filters: &filters }.forge()
            }
            Packet::ConnAck(connack) => {
                let head = Forged::of_type(PacketType::ConnAck)
                    .byte(u8::from(connack.session_present)).byte(connack.code);
                if version == V5 { head.properties(connack.properties) } else { head }
            }
            _ => Forged::from_bytes(&legal).unwrap(),
        };
        prop_assert_eq!(forged.to_vec(), legal);
    }
}

#[test]
fn property_bytes_are_those_of_the_list() {
    let list = [Property::TopicAlias(1), Property::UserProperty("a", "b")];
    assert_eq!(property_bytes(Properties::List(&list)), b"\x23\0\x01\x26\0\x01a\0\x01b");
    assert_eq!(property_bytes(Properties::Wire(&[1, 2])), [1, 2]);
}
