//! Reassembly: whatever happens to the segments of a stream, it comes back whole, or with its holes named.

use std::time::Duration;

use proptest::prelude::*;

use super::super::testing::{ACK, CLIENT, CONNECT, FIN, SYN, Tcp, client, handshake, pcap, server};
use super::super::{Side, read};
use super::bytes_from;

proptest! {
    #[test]
    fn a_stream_comes_back_whole_whatever_happens_to_its_segments(
        stream in proptest::collection::vec(any::<u8>(), 1..2000),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        // For each segment: how far it is delayed, how much it repeats of what is before and after it, and how often it is sent.
        troubles in proptest::collection::vec((0..6_usize, 0..30_usize, 0..30_usize, 1..3_usize), 21),
        initial in prop_oneof![any::<u32>(), u32::MAX - 2000..=u32::MAX],
        has_handshake: bool,
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let number = |position: usize| initial.wrapping_add(1).wrapping_add(u32::try_from(position).unwrap());
        let mut sent: Vec<(usize, Tcp)> = Vec::new();
        for (place, (range, trouble)) in cuts.windows(2).zip(&troubles).enumerate() {
            let (delay, before, after, times) = *trouble;
            let (from, to) = (range[0].saturating_sub(before), (range[1] + after).min(stream.len()));
            for time in 0..times {
                let packet = client(number(from), 5001, ACK, &stream[from..to]);
                sent.push((place + delay * (time + 1), packet));
            }
        }
        sent.sort_by_key(|(place, _)| *place);
        let mut packets = Vec::new();
        if has_handshake {
            packets = vec![
                client(initial, 0, SYN, b""),
                server(5000, initial.wrapping_add(1), SYN | ACK, b""),
            ];
        }
        packets.extend(sent.into_iter().map(|(_, packet)| packet));
        packets.push(server(5001, number(stream.len()), ACK, b""));
        packets.push(client(number(stream.len()), 5001, ACK | FIN, b""));
        let capture = read(&pcap(&packets)).unwrap();
        let connection = &capture.connections[0];
        // Without a handshake, random bytes may look like packets of the other side.
        let is_client = connection.client.to_string() == CLIENT;
        prop_assert!(is_client || !has_handshake);
        let side = if is_client { Side::Client } else { Side::Server };
        prop_assert_eq!(bytes_from(&capture, side), stream);
        prop_assert_eq!(connection.gaps, 0);
        prop_assert!(connection.segments.is_sorted_by_key(|segment| segment.at));
        prop_assert!(connection.segments.iter().all(|segment| !segment.bytes.is_empty()));
    }

    #[test]
    fn what_the_capture_lacks_is_a_hole_of_its_length(
        lengths in proptest::collection::vec(1..50_usize, 1..12),
        lost in proptest::collection::vec(any::<bool>(), 12),
        initial: u32,
    ) {
        let mut next = initial.wrapping_add(1);
        let mut packets = vec![client(initial, 0, SYN, b""), server(5000, next, SYN | ACK, b"")];
        let mut expected: Vec<(u64, Vec<u8>)> = Vec::new();
        let (mut missing, mut holes) = (0_u64, 0);
        for (place, &length) in lengths.iter().enumerate() {
            let bytes = vec![u8::try_from(place).unwrap(); length];
            if lost[place] {
                missing += u64::try_from(length).unwrap();
            } else {
                packets.push(client(next, 5001, ACK, &bytes));
                holes += u64::from(missing > 0);
                expected.push((std::mem::take(&mut missing), bytes));
            }
            next = next.wrapping_add(u32::try_from(length).unwrap());
        }
        packets.push(client(next, 5001, ACK | FIN, b""));
        packets.push(server(5001, next.wrapping_add(1), ACK, b""));
        let capture = read(&pcap(&packets)).unwrap();
        let connection = &capture.connections[0];
        let found: Vec<_> = connection.segments.iter().map(|part| (part.missing_before, part.bytes.clone())).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(connection.gaps, holes + u64::from(missing > 0));
    }
}

#[test]
fn bytes_behind_a_hole_have_the_time_at_which_it_is_filled() {
    let mut packets = handshake();
    packets.push(client(1011, 5001, ACK, &CONNECT[10..]));
    packets.push(server(5001, 1001, ACK, b"\x20"));
    packets.push(client(1001, 5001, ACK, &CONNECT[..10]));
    let capture = read(&pcap(&packets)).unwrap();
    let order: Vec<_> =
        capture.connections[0].segments.iter().map(|part| (part.from, part.at, part.bytes.len())).collect();
    let at = Duration::from_millis;
    assert_eq!(order, [(Side::Server, at(4), 1), (Side::Client, at(5), 10), (Side::Client, at(5), 7)]);
}

#[test]
fn what_is_acknowledged_but_not_captured_is_missing_at_the_end() {
    let mut packets = handshake();
    packets.push(client(1001, 5001, ACK, CONNECT));
    packets.push(server(5001, 1018, ACK, b""));
    let whole = read(&pcap(&packets)).unwrap();
    assert_eq!((whole.connections[0].gaps, whole.warnings.len()), (0, 0));
    packets.push(server(5001, 1030, ACK, b""));
    let capture = read(&pcap(&packets)).unwrap();
    assert_eq!(capture.connections[0].gaps, 1);
    let expected = "bytes are missing from: 10.0.0.1:40000 -> 10.0.0.2:1883 (12 bytes from the client)";
    assert!(capture.warnings[0].starts_with(expected), "{:?}", capture.warnings);
}

#[test]
fn a_fin_that_was_not_captured_is_no_hole() {
    let mut packets = handshake();
    packets.push(client(1001, 5001, ACK, CONNECT));
    packets.push(server(5001, 1019, ACK, b""));
    assert_eq!(read(&pcap(&packets)).unwrap().connections[0].gaps, 0);
}

#[test]
fn a_probe_that_keeps_the_connection_alive_adds_no_byte() {
    let mut packets = handshake();
    packets.push(client(1001, 5001, ACK, CONNECT));
    packets.push(client(1017, 5001, ACK, b"\0"));
    packets.push(client(1018, 5001, ACK, b"\xC0\0"));
    let capture = read(&pcap(&packets)).unwrap();
    assert_eq!(bytes_from(&capture, Side::Client), [CONNECT, b"\xC0\0"].concat());
}

#[test]
fn data_may_come_with_syn() {
    let packets = [
        client(1000, 0, SYN, &CONNECT[..9]),
        server(5000, 1010, SYN | ACK, b""),
        client(1010, 5001, ACK, &CONNECT[9..]),
    ];
    let capture = read(&pcap(&packets)).unwrap();
    assert_eq!(bytes_from(&capture, Side::Client), CONNECT);
    assert_eq!(capture.connections[0].gaps, 0);
}

#[test]
fn packets_of_another_window_are_not_joined() {
    let mut packets = handshake();
    packets.push(client(1001, 5001, ACK, CONNECT));
    packets.push(client(1001 + (1 << 31), 5001, ACK, b"stray"));
    let capture = read(&pcap(&packets)).unwrap();
    assert_eq!(bytes_from(&capture, Side::Client), CONNECT);
}
