//! Packets are read as they were written, at any place in a buffer and however a stream is cut.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ungraceful_mqtt::{Framed, Oddity, Packet, ProtocolVersion, frame};

use crate::decode;
use crate::generate::{encoded, packet, packet_of, types_of, versioned_packet};

#[test]
fn every_packet_type_is_read_as_it_was_written() {
    for version in ProtocolVersion::ALL {
        for packet_type in types_of(version) {
            let mut runner = TestRunner::new(ProptestConfig::with_cases(100));
            runner
                .run(&packet_of(packet_type, version), |packet| {
                    let bytes = encoded(&packet, version);
                    let decoded = decode(&bytes, version);
                    prop_assert_eq!(decoded.packet, packet);
                    let odd = decoded.oddities.without(Oddity::DisconnectOnV3_1_1);
                    prop_assert!(odd.is_empty(), "{odd:?}");
                    prop_assert_eq!(encoded(&decoded.packet, version), bytes, "written again");
                    Ok(())
                })
                .unwrap();
        }
    }
}

/// Takes the packets off a stream that arrives in pieces of these sizes, and shows what it saw.
fn read_in_pieces(stream: &[u8], sizes: &[usize], version: ProtocolVersion) -> Vec<String> {
    let (mut buffer, mut seen, mut arrived) = (Vec::new(), Vec::new(), 0);
    let mut sizes = sizes.iter().copied().cycle();
    while arrived < stream.len() {
        let end = stream.len().min(arrived + sizes.next().unwrap_or(1).max(1));
        buffer.extend_from_slice(&stream[arrived..end]);
        arrived = end;
        let mut consumed = 0;
        while let Framed::Complete(found) = frame(&buffer[consumed..]) {
            seen.push(format!("{:?}", found.decode(version)));
            consumed += found.len();
        }
        if let Framed::Incomplete { missing } = frame(&buffer[consumed..]) {
            assert!(missing > 0 && consumed + missing <= buffer.len() + stream.len() - arrived + 2);
        }
        buffer.drain(..consumed);
    }
    assert!(buffer.is_empty(), "nothing is left of a stream of whole packets");
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_stream_reads_the_same_however_it_is_cut(
        packets in vec(packet(ProtocolVersion::V5), 1..6),
        sizes in vec(1_usize..40, 1..5),
    ) {
        let version = ProtocolVersion::V5;
        let stream: Vec<u8> = packets.iter().flat_map(|packet| encoded(packet, version)).collect();
        let whole = read_in_pieces(&stream, &[stream.len()], version);
        prop_assert_eq!(whole.len(), packets.len());
        prop_assert_eq!(&read_in_pieces(&stream, &sizes, version), &whole);
    }

    #[test]
    fn a_packet_is_incomplete_at_every_boundary_before_its_end((version, packet) in versioned_packet()) {
        let bytes = encoded(&packet, version);
        for cut in 0..bytes.len().min(300) {
            match frame(&bytes[..cut]) {
                Framed::Incomplete { missing } => prop_assert!(missing > 0 && cut + missing <= bytes.len()),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn a_packet_is_the_same_behind_any_bytes(
        (version, packet) in versioned_packet(),
        before in vec(any::<u8>(), 0..50),
    ) {
        let mut out = before.clone();
        packet.encode(version, &mut out).unwrap();
        prop_assert_eq!(&out[..before.len()], &before[..]);
        prop_assert_eq!(&out[before.len()..], &encoded(&packet, version)[..]);
    }
}

#[test]
fn a_stream_in_single_bytes_reads_as_in_one_piece() {
    let version = ProtocolVersion::V3_1_1;
    let mut runner = TestRunner::new(ProptestConfig::with_cases(24));
    runner
        .run(&vec(packet(version), 1..5), |packets| {
            let stream: Vec<u8> = packets.iter().flat_map(|packet| encoded(packet, version)).collect();
            let whole = read_in_pieces(&stream, &[stream.len()], version);
            prop_assert_eq!(read_in_pieces(&stream, &[1], version), whole);
            Ok(())
        })
        .unwrap();
}

#[test]
fn an_unreadable_packet_cannot_be_written() {
    let unreadable = decode(&[0x40, 0], ProtocolVersion::V5).packet;
    assert!(matches!(unreadable, Packet::Unreadable { .. }));
    let mut out = vec![1];
    assert!(unreadable.encode(ProtocolVersion::V5, &mut out).is_err());
    assert_eq!(out, [1]);
}
