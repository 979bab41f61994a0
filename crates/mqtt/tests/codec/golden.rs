//! Bytes written out by hand from the packet layouts of the standard, encoded and decoded.

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_mqtt::{
    Ack, Auth, ConnAck, Connect, Disconnect, Oddity, Packet, PacketIdentifier, Properties, Property,
    ProtocolVersion, Publish, QoS, ReasonCode, RetainHandling, SubAck, Subscribe, Subscription,
    SubscriptionOptions, UnsubAck, Unsubscribe, Will,
};

use crate::decode;

/// The packet is written as these bytes behind others, and read back from them with nothing odd about it.
fn is_written_as(packet: &Packet<'_>, version: ProtocolVersion, golden: &[u8]) {
    let mut out = vec![0xAA, 0xBB];
    packet.encode(version, &mut out).unwrap();
    assert_eq!(out[..2], [0xAA, 0xBB], "earlier bytes are untouched");
    assert_eq!(out[2..], *golden, "{packet:?}");
    let decoded = decode(golden, version);
    assert!(decoded.oddities.without(Oddity::DisconnectOnV3_1_1).is_empty(), "{:?}", decoded.oddities);
    let read = match decoded.packet {
        Packet::Connect(connect) => {
            assert_eq!(connect.version(), Some(version));
            Packet::Connect(Connect { protocol_level: None, ..connect })
        }
        other => other,
    };
    assert_eq!(read, *packet);
}

fn identifier(value: u16) -> PacketIdentifier {
    PacketIdentifier::new(value).unwrap()
}

#[test]
fn connect_with_everything() {
    let properties = [Property::SessionExpiryInterval(10), Property::ReceiveMaximum(20)];
    let will_properties = [Property::WillDelayInterval(5)];
    let connect = Connect {
        clean_start: true,
        keep_alive_s: 10,
        will: Some(Will {
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: Properties::List(&will_properties),
            ..Will::new("w", b"bye")
        }),
        user_name: Some("u"),
        password: Some(b"p"),
        properties: Properties::List(&properties),
        ..Connect::new("id")
    };
    is_written_as(
        &Packet::Connect(connect),
        V5,
        &[
            0x10, 43, 0, 4, b'M', b'Q', b'T', b'T', 5, 0xEE, 0, 10, // header, flags, Keep Alive
            8, 0x11, 0, 0, 0, 10, 0x21, 0, 20, // properties
            0, 2, b'i', b'd', 5, 0x18, 0, 0, 0, 5, 0, 1, b'w', 0, 3, b'b', b'y',
            b'e', // Client Identifier, Will
            0, 1, b'u', 0, 1, b'p',
        ],
    );
}

#[test]
fn connect_in_3_1_1() {
    let connect = Connect { keep_alive_s: 60, ..Connect::new("ab") };
    is_written_as(
        &Packet::Connect(connect),
        V3_1_1,
        &[0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 4, 0x02, 0, 60, 0, 2, b'a', b'b'],
    );
}

#[test]
fn connack_of_both_versions() {
    is_written_as(&Packet::ConnAck(ConnAck::new(0)), V3_1_1, &[0x20, 2, 0, 0]);
    is_written_as(&Packet::ConnAck(ConnAck::new(5)), V3_1_1, &[0x20, 2, 0, 5]);
    let properties = [Property::ReceiveMaximum(100), Property::MaximumQoS(1)];
    let connack =
        ConnAck { session_present: true, properties: Properties::List(&properties), ..ConnAck::new(0) };
    is_written_as(&Packet::ConnAck(connack), V5, &[0x20, 8, 1, 0, 5, 0x21, 0, 100, 0x24, 1]);
    is_written_as(&Packet::ConnAck(ConnAck::new(0x84)), V5, &[0x20, 3, 0, 0x84, 0]);
}

#[test]
fn publish_of_both_versions() {
    is_written_as(&Packet::Publish(Publish::new("a/b", b"hi")), V3_1_1, b"\x30\x07\0\x03a/bhi");
    is_written_as(&Packet::Publish(Publish::new("a/b", b"hi")), V5, b"\x30\x08\0\x03a/b\0hi");
    let resent =
        Publish { dup: true, retain: true, ..Publish::new("t", b"").at_least_once(identifier(0x1234)) };
    is_written_as(&Packet::Publish(resent), V5, b"\x3B\x06\0\x01t\x12\x34\0");
    let properties = [Property::TopicAlias(7), Property::UserProperty("k", "v")];
    let aliased = Publish { properties: Properties::List(&properties), ..Publish::new("", b"x") }
        .exactly_once(identifier(1));
    is_written_as(&Packet::Publish(aliased), V5, b"\x34\x10\0\0\0\x01\x0A\x23\0\x07\x26\0\x01k\0\x01vx");
}

#[test]
fn acks_omit_empty_fields() {
    let ack = Ack::new(identifier(1));
    is_written_as(&Packet::PubAck(ack), V3_1_1, &[0x40, 2, 0, 1]);
    is_written_as(&Packet::PubAck(ack), V5, &[0x40, 2, 0, 1]);
    is_written_as(&Packet::PubRec(ack.with_reason_code(ReasonCode(0x10))), V5, &[0x50, 3, 0, 1, 0x10]);
    is_written_as(&Packet::PubRel(ack.with_reason_code(ReasonCode(0x92))), V5, &[0x62, 3, 0, 1, 0x92]);
    let properties = [Property::ReasonString("no")];
    let full = Ack { properties: Properties::List(&properties), ..ack };
    is_written_as(&Packet::PubComp(full), V5, &[0x70, 9, 0, 1, 0, 5, 0x1F, 0, 2, b'n', b'o']);
}

#[test]
fn subscribe_and_its_answer() {
    let filters = [
        Subscription::new("a/#", QoS::ExactlyOnce),
        Subscription {
            topic_filter: "b",
            options: SubscriptionOptions::new(QoS::AtLeastOnce)
                .no_local()
                .retain_as_published()
                .retain_handling(RetainHandling::DoNotSend),
        },
    ];
    let subscribe = Subscribe::new(identifier(10), &filters);
    is_written_as(&Packet::Subscribe(subscribe), V5, b"\x82\x0D\0\x0A\0\0\x03a/#\x02\0\x01b\x2D");
    let plain = Subscribe::new(identifier(10), &filters[..1]);
    is_written_as(&Packet::Subscribe(plain), V3_1_1, b"\x82\x08\0\x0A\0\x03a/#\x02");
    is_written_as(
        &Packet::SubAck(SubAck::new(identifier(10), &[2, 0x80])),
        V3_1_1,
        &[0x90, 4, 0, 10, 2, 0x80],
    );
    is_written_as(
        &Packet::SubAck(SubAck::new(identifier(10), &[1, 0x8F])),
        V5,
        &[0x90, 5, 0, 10, 0, 1, 0x8F],
    );
}

#[test]
fn unsubscribe_and_its_answer() {
    let unsubscribe = Unsubscribe::new(identifier(11), &["a", "+/b"]);
    is_written_as(&Packet::Unsubscribe(unsubscribe), V3_1_1, b"\xA2\x0A\0\x0B\0\x01a\0\x03+/b");
    is_written_as(&Packet::Unsubscribe(unsubscribe), V5, b"\xA2\x0B\0\x0B\0\0\x01a\0\x03+/b");
    is_written_as(&Packet::UnsubAck(UnsubAck::new(identifier(11), &[])), V3_1_1, &[0xB0, 2, 0, 11]);
    is_written_as(
        &Packet::UnsubAck(UnsubAck::new(identifier(11), &[0, 0x11])),
        V5,
        &[0xB0, 5, 0, 11, 0, 0, 0x11],
    );
}

#[test]
fn ping_disconnect_and_auth() {
    for version in ProtocolVersion::ALL {
        is_written_as(&Packet::PingReq, version, &[0xC0, 0]);
        is_written_as(&Packet::PingResp, version, &[0xD0, 0]);
        let normal = Disconnect::new(ReasonCode::NORMAL_DISCONNECTION);
        is_written_as(&Packet::Disconnect(normal), version, &[0xE0, 0]);
    }
    let taken_over = Disconnect::new(ReasonCode::SESSION_TAKEN_OVER);
    is_written_as(&Packet::Disconnect(taken_over), V5, &[0xE0, 1, 0x8E]);
    let properties = [Property::ServerReference("b")];
    let moved = Disconnect { properties: Properties::List(&properties), ..Disconnect::new(ReasonCode(0x9D)) };
    is_written_as(&Packet::Disconnect(moved), V5, &[0xE0, 6, 0x9D, 4, 0x1C, 0, 1, b'b']);
    let properties = [Property::AuthenticationMethod("X")];
    let auth = Auth::new(ReasonCode::CONTINUE_AUTHENTICATION, Properties::List(&properties));
    is_written_as(&Packet::Auth(auth), V5, &[0xF0, 6, 0x18, 4, 0x15, 0, 1, b'X']);
    is_written_as(&Packet::Auth(Auth::new(ReasonCode::SUCCESS, Properties::NONE)), V5, &[0xF0, 0]);
}

#[test]
fn long_packets_and_long_properties_have_longer_lengths() {
    let payload = vec![7; 200];
    is_written_as(
        &Packet::Publish(Publish::new("t", &payload)),
        V3_1_1,
        &[&[0x30, 0xCB, 0x01, 0, 1, b't'], &payload[..]].concat(),
    );
    let text = "x".repeat(130);
    let properties = [Property::ContentType(&text)];
    let publish = Publish { properties: Properties::List(&properties), ..Publish::new("t", b"p") };
    is_written_as(
        &Packet::Publish(publish),
        V5,
        &[&[0x30, 0x8B, 0x01, 0, 1, b't', 0x85, 0x01, 0x03, 0, 130], text.as_bytes(), b"p"].concat(),
    );
}
