//! When a silent client counts as cut early, late or in time; and which Keep Alive is effective.

use std::time::Duration;

use ungraceful_mqtt::ProtocolVersion::{V3_1_1, V5};
use ungraceful_record::reaction::{Reaction, ReactionKind};
use ungraceful_wire::clock::now;
use ungraceful_wire::{ReceivedPacket, StampedBy};

use super::{Cut, LastPacket, Reason, Silence, cut_of, keep_alive_of};

const SECOND: Duration = Duration::from_secs(1);

/// A silence of which the write of the last packet took 1 ms.
fn silence(ms: u64) -> Silence {
    let not_before = now();
    let at = not_before + Duration::from_millis(1);
    Silence::until(at + Duration::from_millis(ms), LastPacket { not_before, at })
}

#[test]
fn a_silence_is_measured_from_the_write_with_an_upper_bound() {
    let silence = silence(1_500);
    assert_eq!(silence.measured, Duration::from_millis(1_500));
    assert_eq!(silence.longest, Duration::from_millis(1_501));
    assert_eq!(silence.permille_of(SECOND), 1_500);
    assert_eq!(silence.permille_of(SECOND * 10), 150);
}

#[test]
fn a_cut_is_early_by_more_than_a_twentieth_of_the_longest_silence() {
    let cut = |ms| Cut::of(silence(ms), SECOND);
    assert_eq!((cut(0), cut(600), cut(948)), (Cut::Early, Cut::Early, Cut::Early));
    // 949 ms were measured, and the broker may have measured 950.
    assert_eq!((cut(949), cut(1_000), cut(1_448)), (Cut::Between, Cut::Between, Cut::Between));
    assert_eq!((cut(1_449), cut(1_500), cut(1_750)), (Cut::InTime, Cut::InTime, Cut::InTime));
    assert_eq!((cut(1_751), cut(60_000)), (Cut::Late, Cut::Late));
    assert_eq!(Cut::of(silence(6_000), SECOND * 10), Cut::Early);
    assert_eq!(Cut::of(silence(15_100), SECOND * 10), Cut::InTime);
}

#[test]
fn a_client_is_cut_at_disconnect_if_the_connection_ends() {
    let reaction = |kind, code, at_us| Reaction { kind, code, at_us, detail: None, connection: None };
    let disconnect = reaction(ReactionKind::Disconnect, Some(0x8D), 70);
    let end = reaction(ReactionKind::Closed, None, 90);
    assert_eq!(cut_of(&[disconnect.clone(), end.clone()]), Some((70, Reason::KeepAliveTimeout)));
    assert_eq!(cut_of(&[end]), Some((90, Reason::None)));
    assert_eq!(cut_of(&[disconnect]), None);
    assert_eq!(cut_of(&[]), None);
}

#[test]
fn mqtt5_3_2_2_21_the_server_keep_alive_replaces_the_clients() {
    let connack = |bytes: &[u8]| {
        let at = now();
        ReceivedPacket { bytes: bytes.to_vec(), first_byte_at: at, by: StampedBy::Program, complete_at: at }
    };
    let server = |high, low| connack(&[0x20, 0x06, 0x00, 0x00, 0x03, 0x13, high, low]);
    let none = connack(&[0x20, 0x03, 0x00, 0x00, 0x00]);
    assert_eq!(keep_alive_of(V5, 2, &none), Ok(SECOND * 2));
    assert_eq!(keep_alive_of(V5, 2, &server(0, 7)), Ok(SECOND * 7));
    assert_eq!(keep_alive_of(V5, 100, &server(0, 7)), Ok(SECOND * 7));
    assert_eq!(keep_alive_of(V3_1_1, 2, &connack(&[0x20, 0x02, 0x00, 0x00])), Ok(SECOND * 2));
    // A run does not wait for minutes unless requested, and a disabled Keep Alive cuts no client.
    assert!(keep_alive_of(V5, 2, &server(1, 44)).unwrap_err().contains("give --keepalive 300s"));
    assert_eq!(keep_alive_of(V5, 300, &server(1, 44)), Ok(SECOND * 300));
    assert!(keep_alive_of(V5, 2, &server(0, 0)).unwrap_err().contains("disables"));
}
