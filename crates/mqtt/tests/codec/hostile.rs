//! No bytes make the decoder panic.

use proptest::collection::vec;
use proptest::prelude::*;
use ungraceful_mqtt::{Decoded, Framed, Oddities, Packet, ProtocolVersion, frame};

use crate::generate::{encoded, versioned_packet};

/// Reads every part of a packet that is only read on demand.
fn look_at_everything(decoded: &Decoded<'_>) {
    let shown = format!("{decoded:?} {}", decoded.oddities);
    assert!(!shown.is_empty());
    match decoded.packet {
        Packet::Subscribe(packet) => assert!(packet.filters.iter().count() <= 65_536),
        Packet::Unsubscribe(packet) => assert!(packet.filters.iter().count() <= 65_536),
        Packet::Publish(packet) => {
            assert!(packet.properties.subscription_identifiers().count() <= packet.properties.iter().count());
        }
        Packet::ConnAck(packet) => {
            let _ = (packet.reason_code().to_string(), packet.return_code().to_string());
            let _ = (packet.properties.receive_maximum(), packet.properties.reason_string());
            assert!(packet.properties.user_properties().count() <= packet.properties.iter().count());
        }
        _ => {}
    }
}

fn decode_all(bytes: &[u8]) {
    for version in ProtocolVersion::ALL {
        let mut rest = bytes;
        while let Framed::Complete(found) = frame(rest) {
            let decoded = found.decode(version);
            look_at_everything(&decoded);
            // The strict encoder may reject the packet, but then it leaves the buffer unchanged.
            let mut out = vec![0xA5; 3];
            match decoded.packet.encode(version, &mut out) {
                Ok(()) => assert!(out.len() > 3),
                Err(_) => assert_eq!(out, [0xA5; 3]),
            }
            rest = &rest[found.len()..];
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_bytes_at_all_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..300)) {
        decode_all(&bytes);
    }

    #[test]
    fn no_body_makes_the_decoder_panic(first in any::<u8>(), body in vec(any::<u8>(), 0..120)) {
        let mut bytes = vec![first, u8::try_from(body.len()).unwrap()];
        bytes.extend(body);
        decode_all(&bytes);
    }

    #[test]
    fn no_strings_and_properties_make_the_decoder_panic(
        first in any::<u8>(),
        body in vec(prop_oneof![Just(0_u8), Just(1), Just(2), 0_u8..0x30, any::<u8>()], 0..60),
    ) {
        let mut bytes = vec![first, u8::try_from(body.len()).unwrap()];
        bytes.extend(body);
        decode_all(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_change_to_a_legal_packet_makes_the_decoder_panic(
        (version, packet) in versioned_packet(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encoded(&packet, version);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        decode_all(&bytes);
    }

    #[test]
    fn what_the_strict_encoder_writes_again_has_nothing_odd_left(
        (version, packet) in versioned_packet(),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let mut bytes = encoded(&packet, version);
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Framed::Complete(found) = frame(&bytes) {
            let read = found.decode(version).packet;
            let mut out = Vec::new();
            if read.encode(version, &mut out).is_ok() {
                let again = crate::decode(&out, version);
                let expected = Oddities::NONE.union(again.oddities)
                    .without(ungraceful_mqtt::Oddity::DisconnectOnV3_1_1);
                prop_assert!(expected.is_empty(), "{:?}", again);
            }
        }
    }
}
