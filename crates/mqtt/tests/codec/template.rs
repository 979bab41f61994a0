//! A template writes exactly what the general encoder writes.

use proptest::collection::vec;
use proptest::prelude::*;
use ungraceful_mqtt::{
    EncodeError, Packet, PacketIdentifier, PacketType, ProtocolVersion, Publish, PublishTemplate, STAMP_LEN,
};

use crate::generate::packet_of;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_template_writes_what_the_general_encoder_writes(
        packet in packet_of(PacketType::Publish, ProtocolVersion::V5),
        identifiers in vec(1_u16.., 1..4),
        stamp in any::<[u8; STAMP_LEN]>(),
        at in any::<prop::sample::Index>(),
    ) {
        let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
        let place = publish.payload.len().checked_sub(STAMP_LEN).map(|room| at.index(room + 1));
        let template = PublishTemplate::new(&publish, ProtocolVersion::V5, place).unwrap();
        let (mut by_template, mut by_encoder) = (vec![1, 2, 3], vec![1, 2, 3]);
        for identifier in identifiers {
            template.append(&mut by_template, PacketIdentifier::new(identifier), stamp);
            let mut payload = publish.payload.to_vec();
            if let Some(place) = place {
                payload[place..place + STAMP_LEN].copy_from_slice(&stamp);
            }
            let packet_identifier = publish.packet_identifier.map(|_| identifier);
            let message = Publish { packet_identifier, payload: &payload, ..publish };
            message.encode(ProtocolVersion::V5, &mut by_encoder).unwrap();
        }
        prop_assert_eq!(by_template, by_encoder);
    }
}

#[test]
fn a_stamp_must_lie_within_the_payload() {
    let version = ProtocolVersion::V3_1_1;
    let publish = Publish::new("t", &[0; 20]);
    assert!(PublishTemplate::new(&publish, version, Some(4)).is_ok());
    for outside in [5, usize::MAX] {
        let refused = PublishTemplate::new(&publish, version, Some(outside));
        assert_eq!(refused, Err(EncodeError::StampOutsidePayload));
    }
}

#[test]
fn a_run_is_one_message_after_the_other() {
    let publish = Publish::new("a/b", &[0; 20]);
    let template = PublishTemplate::new(&publish, ProtocolVersion::V5, Some(3)).unwrap();
    let (first, step) = (u128::MAX - 5, 3);
    for count in [0_u8, 1, 2, 3, 8, 13] {
        let (mut run, mut singly) = (vec![7; 2], vec![7; 2]);
        template.append_run(&mut run, usize::from(count), first, step);
        for number in 0..count {
            let stamp = first.wrapping_add(u128::from(number) * step);
            template.append(&mut singly, None, stamp.to_be_bytes());
        }
        assert_eq!(run, singly, "{count}");
    }
}

#[test]
fn a_template_without_places_repeats_itself() {
    let template = PublishTemplate::new(&Publish::new("t", b"x"), ProtocolVersion::V5, None).unwrap();
    let mut out = Vec::new();
    template.append(&mut out, Some(PacketIdentifier::MAX), [9; STAMP_LEN]);
    assert_eq!(out, b"\x30\x05\0\x01t\0x");
    assert_eq!(template.len(), out.len());
}
