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
fn a_template_without_places_repeats_itself() {
    let template = PublishTemplate::new(&Publish::new("t", b"x"), ProtocolVersion::V5, None).unwrap();
    let mut out = Vec::new();
    template.append(&mut out, Some(PacketIdentifier::MAX), [9; STAMP_LEN]);
    assert_eq!(out, b"\x30\x05\0\x01t\0x");
    assert_eq!(template.len(), out.len());
}
