//! Cross checks: three other codecs read our packets, and we read what they write from them.
//!
//! Each other codec decodes our bytes and encodes them again; the result, decoded by us, must be the original packet. Packets on which
//! another codec is wrong are excluded, with the reason here and a test of the defect in `other_codecs_defects.rs`.

use std::cell::Cell;
use std::sync::Arc;

use bytes::BytesMut;
use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
use mqtt5_protocol::packet::{FixedHeader, MqttPacket};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;
use ungraceful_mqtt::{Framed, Packet, PacketType, Properties, ProtocolVersion, ReasonCode, frame};

use crate::decode;
use crate::generate::{encoded, packet_of, types_of};

/// Our bytes, decoded and encoded again by another codec, or why it rejects them.
type Again = Result<Vec<u8>, String>;

pub(crate) fn rumqttc(bytes: &[u8], version: ProtocolVersion) -> Again {
    let mut stream = BytesMut::from(bytes);
    let mut out = BytesMut::new();
    match version {
        ProtocolVersion::V3_1_1 => {
            let packet = v4::Packet::read(&mut stream, usize::MAX).map_err(|why| format!("{why:?}"))?;
            packet.write(&mut out, usize::MAX).map_err(|why| format!("{why:?}"))?;
        }
        ProtocolVersion::V5 => {
            let packet = v5::Packet::read(&mut stream, None).map_err(|why| format!("{why:?}"))?;
            packet.write(&mut out, None).map_err(|why| format!("{why:?}"))?;
        }
    }
    Ok(out.to_vec())
}

pub(crate) fn mqtt5_protocol(bytes: &[u8], version: ProtocolVersion) -> Again {
    use mqtt5_protocol::packet::Packet as Other;
    let mut stream = bytes;
    let header = FixedHeader::decode(&mut stream).map_err(|why| why.to_string())?;
    let packet =
        Other::decode_from_body_with_version(header.packet_type, &header, &mut stream, version.level())
            .map_err(|why| why.to_string())?;
    let mut out = Vec::new();
    let written = match packet {
        Other::Connect(packet) => packet.encode(&mut out),
        Other::ConnAck(packet) => packet.encode(&mut out),
        Other::Publish(packet) => packet.encode(&mut out),
        Other::PubAck(packet) => packet.encode(&mut out),
        Other::PubRec(packet) => packet.encode(&mut out),
        Other::PubRel(packet) => packet.encode(&mut out),
        Other::PubComp(packet) => packet.encode(&mut out),
        Other::Subscribe(packet) => packet.encode(&mut out),
        Other::SubAck(packet) => packet.encode(&mut out),
        Other::Unsubscribe(packet) => packet.encode(&mut out),
        Other::UnsubAck(packet) => packet.encode(&mut out),
        Other::PingReq => mqtt5_protocol::packet::pingreq::PingReqPacket::default().encode(&mut out),
        Other::PingResp => mqtt5_protocol::packet::pingresp::PingRespPacket::default().encode(&mut out),
        Other::Disconnect(packet) => packet.encode(&mut out),
        Other::Auth(packet) => packet.encode(&mut out),
    };
    written.map_err(|why| why.to_string())?;
    Ok(out)
}

pub(crate) fn mqtt_protocol_core(bytes: &[u8], version: ProtocolVersion) -> Again {
    let Framed::Complete(found) = frame(bytes) else { panic!("no whole packet") };
    let (body, flags) = (found.body, found.flags());
    let shared: Arc<[u8]> = Arc::from(body);
    macro_rules! again {
        ($parsed:expr) => {
            $parsed.map(|(packet, _)| packet.to_continuous_buffer()).map_err(|why| format!("{why:?}"))
        };
    }
    let packet_type = found.packet_type().expect("our own packets have a type");
    macro_rules! again_by {
        ($module:ident) => {
            match packet_type {
                PacketType::Publish => again!($module::Publish::parse(flags, shared)),
                PacketType::Connect => again!($module::Connect::parse(body)),
                PacketType::ConnAck => again!($module::Connack::parse(body)),
                PacketType::PubAck => again!($module::Puback::parse(body)),
                PacketType::PubRec => again!($module::Pubrec::parse(body)),
                PacketType::PubRel => again!($module::Pubrel::parse(body)),
                PacketType::PubComp => again!($module::Pubcomp::parse(body)),
                PacketType::Subscribe => again!($module::Subscribe::parse(body)),
                PacketType::SubAck => again!($module::Suback::parse(body)),
                PacketType::Unsubscribe => again!($module::Unsubscribe::parse(body)),
                PacketType::UnsubAck => again!($module::Unsuback::parse(body)),
                PacketType::PingReq => again!($module::Pingreq::parse(body)),
                PacketType::PingResp => again!($module::Pingresp::parse(body)),
                PacketType::Disconnect => again!($module::Disconnect::parse(body)),
                PacketType::Auth => again!(v5_0::Auth::parse(body)),
            }
        };
    }
    match version {
        ProtocolVersion::V3_1_1 => again_by!(v3_1_1),
        ProtocolVersion::V5 => again_by!(v5_0),
    }
}

/// The packet, and its properties sorted, since a codec may write them in another order.
fn in_any_order<'a>(packet: &Packet<'a>) -> (Packet<'a>, Vec<String>) {
    let mut packet = *packet;
    let mut lists = Vec::new();
    let mut take = |properties: &mut Properties<'a>| lists.push(std::mem::take(properties));
    match &mut packet {
        Packet::Connect(packet) => {
            take(&mut packet.properties);
            if let Some(will) = &mut packet.will {
                take(&mut will.properties);
            }
        }
        Packet::ConnAck(packet) => take(&mut packet.properties),
        Packet::Publish(packet) => take(&mut packet.properties),
        Packet::PubAck(packet) | Packet::PubRec(packet) => take(&mut packet.properties),
        Packet::PubRel(packet) | Packet::PubComp(packet) => take(&mut packet.properties),
        Packet::Subscribe(packet) => take(&mut packet.properties),
        Packet::SubAck(packet) => take(&mut packet.properties),
        Packet::Unsubscribe(packet) => take(&mut packet.properties),
        Packet::UnsubAck(packet) => take(&mut packet.properties),
        Packet::Disconnect(packet) => take(&mut packet.properties),
        Packet::Auth(packet) => take(&mut packet.properties),
        Packet::PingReq | Packet::PingResp | Packet::Unreadable { .. } => {}
    }
    let mut shown = Vec::new();
    for (place, list) in lists.iter().enumerate() {
        shown.extend(list.iter().map(|property| format!("{place} {property:?}")));
    }
    shown.sort();
    (packet, shown)
}

/// Compares another codec on every type of packet, except those that `excused` excludes.
fn agrees(
    name: &str,
    again: fn(&[u8], ProtocolVersion) -> Again,
    excused: fn(&Packet<'_>, ProtocolVersion) -> bool,
) {
    let mut disagreements = Vec::new();
    for version in ProtocolVersion::ALL {
        for packet_type in types_of(version) {
            let asked = Cell::new(0);
            let result = runner().run(&packet_of(packet_type, version), |packet| {
                if excused(&packet, version) {
                    return Ok(());
                }
                asked.set(asked.get() + 1);
                let ours = encoded(&packet, version);
                let theirs = again(&ours, version)
                    .map_err(|why| TestCaseError::fail(format!("refuses {ours:02X?}: {why}")))?;
                let read = decode(&theirs, version).packet;
                let (read, packet) = (in_any_order(&read), in_any_order(&packet));
                prop_assert!(read == packet, "{ours:02X?} became {theirs:02X?}, {packet:?}");
                Ok(())
            });
            if let Err(TestError::Fail(why, _)) = result {
                disagreements.push(format!("{name}, {packet_type} of {version}: {why}"));
            }
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
}

/// The same packets in every run: a defect of another codec must not fail a build now and then. `CROSS_CHECK_CASES` in
/// the environment asks for more than 100 of each type.
fn runner() -> TestRunner {
    let cases = std::env::var("CROSS_CHECK_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// MQTT 5.0 table 2-6 gives DISCONNECT the code 0x8C and the table of section 3.14.2.1 does not; the other codecs
/// follow the latter. We take the code, since a reader that shows it hides nothing.
fn is_disconnect_0x8c(packet: &Packet<'_>) -> bool {
    let code = ReasonCode::BAD_AUTHENTICATION_METHOD;
    matches!(packet, Packet::Disconnect(disconnect) if disconnect.reason_code == code)
}

/// MQTT 5.0 section 3.1.2.9 allows a password alone, unlike MQTT 3.1.1.
fn is_password_alone(packet: &Packet<'_>) -> bool {
    matches!(packet, Packet::Connect(connect) if connect.password.is_some() && connect.user_name.is_none())
}

#[test]
fn rumqttc_agrees() {
    agrees("rumqttc", rumqttc, |packet, version| match packet {
        // Empty credentials are dropped, and a password that is no text is refused.
        Packet::Connect(connect) => {
            connect.user_name == Some("")
                || connect
                    .password
                    .is_some_and(|password| password.is_empty() || std::str::from_utf8(password).is_err())
        }
        // From the second one on, each Subscription Identifier is counted as longer than it is.
        Packet::Publish(publish) => publish.properties.subscription_identifiers().count() >= 2,
        // The forms without Property Length are refused.
        Packet::Disconnect(disconnect) => {
            is_disconnect_0x8c(packet) || version == ProtocolVersion::V5 && disconnect.properties.is_empty()
        }
        Packet::Auth(_) => true,
        _ => false,
    });
}

#[test]
fn mqtt5_protocol_agrees() {
    agrees("mqtt5-protocol", mqtt5_protocol, |packet, _| {
        is_disconnect_0x8c(packet) || is_password_alone(packet)
    });
}

#[test]
fn mqtt_protocol_core_agrees() {
    agrees("mqtt-protocol-core", mqtt_protocol_core, |packet, _| {
        is_disconnect_0x8c(packet) || is_password_alone(packet)
    });
}
