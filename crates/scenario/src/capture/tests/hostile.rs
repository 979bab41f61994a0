//! Random and damaged bytes: an error or a result, never a panic.

use proptest::prelude::*;

use super::super::read;
use super::super::testing::{ACK, CONNACK, CONNECT, FIN, Order, Pcap, Pcapng, client, handshake, server};

/// A valid file of each kind, with a bit of everything in it.
fn valid(kind: u8) -> Vec<u8> {
    let mut packets = handshake();
    packets.push(client(1001, 5001, ACK, CONNECT));
    packets.push(server(5001, 1018, ACK, CONNACK));
    packets.push(client(1018, 5006, FIN | ACK, b""));
    let order = if kind & 1 == 0 { Order::Little } else { Order::Big };
    let link = [1, 0, 101, 113, 276][usize::from(kind / 4) % 5];
    if kind & 2 == 0 {
        let mut file = Pcap::new(order, kind & 4 == 0, link);
        for packet in packets {
            file.packet(&packet.linked(link), 0);
        }
        return file.bytes;
    }
    let mut file = Pcapng::new(order);
    file.interface(link, 0, &[(9, &[9]), (14, &[0; 8])]);
    for (number, packet) in packets.iter().enumerate() {
        file.enhanced(0, u64::try_from(number).unwrap() << 20, &packet.linked(link));
    }
    file.simple(&packets[3].linked(link), 2000);
    file.bytes
}

/// Calls everything that reads bytes.
fn read_all(bytes: &[u8]) {
    if let Ok(capture) = read(bytes) {
        for connection in &capture.connections {
            let _ = (connection.client_id(), connection.protocol_version(), connection.content());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_never_panic(
        head in proptest::sample::select(vec![
            vec![], vec![0xD4, 0xC3, 0xB2, 0xA1], vec![0xA1, 0xB2, 0xC3, 0xD4], vec![0x34, 0xCD, 0xB2, 0xA1],
            vec![0x0A, 0x0D, 0x0D, 0x0A, 28, 0, 0, 0, 0x4D, 0x3C, 0x2B, 0x1A],
        ]),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        read_all(&[head, bytes].concat());
    }

    #[test]
    fn damaged_captures_never_panic(
        kind: u8,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = valid(kind);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        read_all(&bytes);
        bytes.truncate(length.index(bytes.len()));
        read_all(&bytes);
    }

    #[test]
    fn extreme_numbers_never_panic(
        kind: u8,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..4_usize), 1..6),
    ) {
        let mut bytes = valid(kind);
        for (place, value) in changes {
            let place = place.index(bytes.len() / 4) * 4;
            let values = [[0; 4], [0xFF; 4], [0x7F, 0xFF, 0xFF, 0xFF], [0xFF, 0xFF, 0xFF, 0x7F]];
            bytes[place..place + 4].copy_from_slice(&values[value]);
        }
        read_all(&bytes);
    }
}

#[test]
fn the_valid_captures_of_these_tests_are_valid() {
    for kind in 0..=u8::MAX {
        assert_eq!(read(&valid(kind)).unwrap().connections[0].client_id().as_deref(), Some("c1"), "{kind}");
    }
}
