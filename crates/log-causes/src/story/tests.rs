//! Incidents and signs in lines of real brokers.

use super::{Incident, Limits, Story};
use crate::broker::Broker;
use crate::cause::{Cause, Effect};
use crate::scan::Scanner;
use crate::timestamp::{LogTime, Times};

/// The story of a log, and its incidents in order.
pub(super) fn story(broker: Option<Broker>, log: &str, limits: Limits) -> (Story, Vec<Incident>) {
    story_of(broker, &[log], limits)
}

/// The story of several logs.
fn story_of(broker: Option<Broker>, logs: &[&str], limits: Limits) -> (Story, Vec<Incident>) {
    let mut story = Story::new(limits);
    let mut incidents = Vec::new();
    let mut report = |incident| incidents.push(incident);
    for (number, log) in logs.iter().enumerate() {
        if number > 0 {
            story.end_log(&mut report);
        }
        let mut scanner = Scanner::new(broker);
        let mut times = Times::until("2026-12-31".parse().unwrap());
        let mut take = |line: crate::scan::Line<'_>| {
            let time = times.of(line.bytes, &line.found);
            story.take(line.number, line.bytes, time, line.found, &mut report);
        };
        let mut reader = log.as_bytes();
        while scanner.read(&mut reader, &mut take).unwrap() > 0 {}
        scanner.finish(&mut take);
    }
    story.finish(&mut report);
    incidents.sort_by_key(|incident| (incident.log, incident.line));
    (story, incidents)
}

fn incidents_of(log: &str) -> Vec<(Cause, Option<String>, u64)> {
    let (_, incidents) = story(None, log, Limits::default());
    incidents.into_iter().map(|incident| (incident.cause, incident.client, incident.lines)).collect()
}

fn one(cause: Cause, client: &str, lines: u64) -> (Cause, Option<String>, u64) {
    (cause, Some(client.to_owned()), lines)
}

#[test]
fn hivemqs_documented_lines_give_their_cause_as_one_incident() {
    let tail = "Client ID: abc, IP:10.0.0.7 disconnected ungracefully.";
    let causes = [
        ("Another client connected with the same clientId.", Cause::TakeOver),
        ("Sent too many concurrent PUBLISH messages.", Cause::ReceiveMaximum),
        ("Sent second CONNECT message.", Cause::SecondConnect),
        ("Client was idle for too long.", Cause::KeepAlive),
    ];
    for (reason, cause) in causes {
        let line = format!("Client ID: abc, IP:10.0.0.7 was disconnected. reason: {reason}");
        assert_eq!(incidents_of(&line), [one(cause, "abc", 1)], "{reason}");
        assert_eq!(incidents_of(&format!("{line}\n{tail}\n")), [one(cause, "abc", 2)], "{reason}");
    }
    let extension = "Disconnecting client with clientId abc and ip 10.0.0.7 forcibly via extension system.";
    assert_eq!(incidents_of(&format!("{extension}\n{tail}\n")), [one(Cause::Extension, "abc", 2)]);
    let unknown = "Client ID: UNKNOWN, IP:10.0.0.7 disconnected ungracefully.";
    assert_eq!(incidents_of(unknown), [(Cause::BeforeConnect, None, 1)]);
    assert_eq!(incidents_of(tail), [one(Cause::Lost, "abc", 1)]);
}

#[test]
fn a_newcomers_line_does_not_split_a_take_over() {
    let log = "\
2026-11-24 10:00:00,000 - Client ID: abc, IP:10.0.0.7 was disconnected. reason: Another client connected with the same clientId.
2026-11-24 10:00:00,001 - Client ID: abc, IP: 10.0.0.8, Clean Start: true, Session Expiry: 0 connected.
2026-11-24 10:00:00,002 - Client ID: abc, IP:10.0.0.7 disconnected ungracefully.
2026-11-24 10:00:00,900 - Client ID: abc, IP:10.0.0.8 was disconnected. reason: Another client connected with the same clientId.
2026-11-24 10:00:00,902 - Client ID: abc, IP:10.0.0.8 disconnected ungracefully.
";
    assert_eq!(incidents_of(log), [one(Cause::TakeOver, "abc", 2), one(Cause::TakeOver, "abc", 2)]);
}

#[test]
fn a_newcomer_lost_after_a_take_over_is_a_separate_incident() {
    let log = "\
               2026-11-24 10:00:00,000 - Client ID: c1, IP: 10.0.0.1, Clean Start: true, Session Expiry: 0 connected.
2026-11-24 10:00:10,000 - Client ID: c1, IP: 10.0.0.1 was disconnected. reason: Another client connected with the same client id..
2026-11-24 10:00:10,005 - Client ID: c1, IP: 10.0.0.2, Clean Start: true, Session Expiry: 0 connected.
2026-11-24 10:00:11,000 - Client ID: c1, IP: 10.0.0.2 disconnected ungracefully from TCP Listener on port: 1883.
2026-11-24 10:00:20,000 - Client ID: c2, IP: 10.0.0.3 disconnected ungracefully from TCP Listener on port: 1883.
";
    let expected = [one(Cause::TakeOver, "c1", 1), one(Cause::Lost, "c1", 1), one(Cause::Lost, "c2", 1)];
    assert_eq!(incidents_of(log), expected);
    // From the same address, and without the newcomer's own line.
    let same = log.replace("10.0.0.2", "10.0.0.1");
    assert_eq!(incidents_of(&same), expected);
    let without: String =
        log.lines().filter(|line| !line.ends_with("connected.")).map(|line| format!("{line}\n")).collect();
    assert_eq!(incidents_of(&without), expected);
}

#[test]
fn ends_with_different_addresses_are_two_incidents() {
    let line = |address: &str, reason: &str| {
        format!(
            "2026-11-24T10:00:00.000+00:00 [info] clientid: c1, msg: terminate, peername: {address}, reason: {{shutdown,{reason}}}\n"
        )
    };
    let taken = line("10.0.0.7:50123", "takenover");
    let lost = |address| format!("{taken}{}", line(address, "tcp_closed"));
    let two = [one(Cause::TakeOver, "c1", 1), one(Cause::Lost, "c1", 1)];
    assert_eq!(incidents_of(&lost("10.0.0.7:50124")), two);
    assert_eq!(incidents_of(&lost("10.0.0.8:50123")), two);
    assert_eq!(incidents_of(&lost("10.0.0.7:50123")), [one(Cause::TakeOver, "c1", 2)]);
}

#[test]
fn an_expired_session_is_no_incident() {
    assert_eq!(incidents_of("2026-11-24T10:00:00: Expiring client c9 due to timeout.\n"), []);
}

#[test]
fn events_in_two_logs_are_not_combined() {
    let log = |host: &str| {
        let rounds = [0, 30].map(|second| {
            format!(
                "2026-11-24T10:00:{second:02}: New client connected from {host}:{second} as gw (p2, c1, k60).\n\
                 2026-11-24T10:00:{second:02}: Client gw already connected, closing old connection.\n"
            )
        });
        rounds.concat()
    };
    let logs = [log("10.0.0.1"), log("10.0.0.5")];
    let (one, _) = story(None, &logs.concat(), Limits::default());
    assert_eq!(one.picture().signs.duels().len(), 1);
    let (two, incidents) = story_of(None, &[&logs[0], &logs[1]], Limits::default());
    assert_eq!(incidents.iter().map(|incident| incident.log).collect::<Vec<_>>(), [0, 0, 1, 1]);
    assert_eq!(two.picture().signs.duels(), []);
    let worst: Vec<_> = two
        .worst_clients(9)
        .into_iter()
        .map(|client| (client.log, client.client, client.incidents))
        .collect();
    assert_eq!(worst, [(0, "gw".to_owned(), 2), (1, "gw".to_owned(), 2)]);
    // Addresses and incidents of the first log are unknown in the second.
    let begin = "2026-11-24T10:00:00: New client connected from 10.0.0.7:1 as first (p2, c1, k60).\n";
    let end = "2026-11-24T10:00:01: Bad client 10.0.0.7:1 sending multiple CONNECT messages.\n";
    assert_eq!(
        story_of(None, &[&format!("{begin}{end}")], Limits::default()).1[0].client.as_deref(),
        Some("first")
    );
    assert_eq!(story_of(None, &[begin, end], Limits::default()).1[0].client, None);
    let (_, incidents) = story_of(None, &[end, end], Limits::default());
    assert_eq!(incidents.len(), 2);
}

#[test]
fn signs_are_reported_with_their_log() {
    let mut duel = String::new();
    for second in 10..20 {
        duel.push_str(&format!(
            "2026-11-24T10:00:{second}: Client gw already connected, closing old connection.\n"
        ));
    }
    let calm = "2026-11-24T10:00:00: Client c1 closed its connection.\n";
    let (story, _) = story_of(None, &[calm, &duel, calm, &duel], Limits::default());
    let duels: Vec<_> =
        story.picture().signs.duels().iter().map(|duel| (duel.log, duel.take_overs)).collect();
    assert_eq!(duels, [(1, 10), (3, 10)]);
}

#[test]
fn mosquittos_lines_about_one_end_are_one_complete_incident() {
    let log = "\
               2026-11-24T23:13:48: New connection from 127.0.0.1:45164 on port 17527.
2026-11-24T23:13:48: New client connected from 127.0.0.1:45164 as doubled (p2, c1, k60).
2026-11-24T23:13:58: Bad client doubled sending multiple CONNECT messages.
2026-11-24T23:13:58: Client doubled disconnected due to protocol error.
2026-11-24T23:14:00: New client connected from 127.0.0.1:45165 as honest (p5, c1, k30).
2026-11-24T23:14:01: Client honest disconnected.
";
    let (_, incidents) = story(None, log, Limits::default());
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    let incident = &incidents[0];
    assert_eq!((incident.cause, incident.lines, incident.line), (Cause::SecondConnect, 2, 3));
    assert_eq!(incident.address.as_deref(), Some("127.0.0.1:45164"));
    assert_eq!((incident.keep_alive_s, incident.version.map(|version| version.level())), (Some(60), Some(4)));
    assert_eq!((incident.connected_for_ms, incident.effect), (Some(10_000), Effect::Ended));
}

#[test]
fn an_end_without_client_id_is_the_only_waiting_connections() {
    let log = "\
               2026-11-24T23:13:48: New connection from 127.0.0.1:45208 on port 17527.
2026-11-24T23:13:48: Client <unknown> closed its connection.
2026-11-24T23:13:49: New connection from 127.0.0.1:45230 on port 17527.
2026-11-24T23:13:49: Invalid protocol version 9 in CONNECT from 127.0.0.1.
2026-11-24T23:13:49: Sending CONNACK to 127.0.0.1 (0, 1)
2026-11-24T23:13:49: Client <unknown> disconnected due to protocol error.
";
    let (_, incidents) = story(None, log, Limits::default());
    let causes: Vec<_> = incidents.iter().map(|incident| (incident.cause, incident.lines)).collect();
    assert_eq!(causes, [(Cause::BeforeConnect, 1), (Cause::ProtocolVersion, 3)]);
    assert_eq!(incidents[0].address.as_deref(), Some("127.0.0.1:45208"));
}

#[test]
fn two_ends_without_a_client_id_are_two_incidents() {
    let log = "\
               2026-11-24T23:13:48: New connection from 127.0.0.1:45208 on port 17527.
2026-11-24T23:13:48: New connection from 127.0.0.1:45210 on port 17527.
2026-11-24T23:13:48: Client <unknown> closed its connection.
2026-11-24T23:13:48: Client <unknown> disconnected due to protocol error.
";
    assert_eq!(incidents_of(log), [(Cause::BeforeConnect, None, 1), (Cause::FirstPacket, None, 1)]);
}

#[test]
fn rabbitmqs_lines_find_their_client_by_the_connection() {
    let log = "\
2026-11-24 23:14:04.112501+00:00 [info] <0.890.0> accepting MQTT connection <0.890.0> (127.0.0.1:40160 -> 127.0.0.1:10971, client id: doubled)
2026-11-24 23:14:04.113162+00:00 [warning] <0.890.0> MQTT detected duplicate connect/login attempt for user \"guest\", vhost \"/\"
2026-11-24 23:14:04.114647+00:00 [info] <0.890.0> MQTT connection \"127.0.0.1:40160 -> 127.0.0.1:10971\" will terminate because peer closed TCP connection
2026-11-24 23:14:13.161385+00:00 [info] <0.1066.0> accepting MQTT connection <0.1066.0> (127.0.0.1:48454 -> 127.0.0.1:10971, client id: lapsed)
2026-11-24 23:14:19.164183+00:00 [error] <0.1066.0> closing MQTT connection \"127.0.0.1:48454 -> 127.0.0.1:10971\" (keepalive timeout)
2026-11-24 23:14:13.151055+00:00 [error] <0.1059.0> MQTT login failed for user 'bob', authentication failed: Refused
2026-11-24 23:14:13.151249+00:00 [error] <0.1059.0> MQTT connection 127.0.0.1:48442 -> 127.0.0.1:10971 is closing due to an authentication failure
2026-11-24 23:14:20.000000+00:00 [info] <0.1070.0> accepting MQTT connection <0.1070.0> (127.0.0.1:1 -> 127.0.0.1:10971, client id: honest)
2026-11-24 23:14:20.500000+00:00 [info] <0.1070.0> closing MQTT connection <0.1070.0> (127.0.0.1:1 -> 127.0.0.1:10971)
";
    let expected = [
        one(Cause::SecondConnect, "doubled", 1),
        one(Cause::Lost, "doubled", 1),
        one(Cause::KeepAlive, "lapsed", 1),
        (Cause::BadCredentials, None, 2),
    ];
    assert_eq!(incidents_of(log), expected);
}

#[test]
fn a_duel_is_reported_with_both_addresses_and_its_command() {
    let mut log = String::new();
    for round in 0..10 {
        let host = 7 + round % 2;
        log.push_str(&format!(
            "2026-11-24T10:00:{round:02}: Client twin already connected, closing old connection.\n"
        ));
        log.push_str(&format!("2026-11-24T10:00:{round:02}: New client connected from 10.0.0.{host}:5000{round} as twin (p5, c0, k60).\n"));
    }
    let (story, incidents) = story(None, &log, Limits::default());
    assert_eq!(incidents.len(), 10);
    let duels = story.picture().signs.duels();
    assert_eq!(duels.len(), 1);
    assert_eq!((duels[0].client.as_str(), duels[0].take_overs), ("twin", 10));
    assert_eq!(duels[0].hosts, ["10.0.0.7", "10.0.0.8"]);
    assert_eq!(duels[0].per_minute(), Some(60.0));
    let words = crate::command::words(Cause::TakeOver, &story.picture().seen(Cause::TakeOver)).unwrap();
    assert_eq!(words.join(" "), "ungraceful-takeover duel --backoff fixed:1s -V 5.0 --host YOUR-BROKER");
}

#[test]
fn only_a_will_right_after_a_take_over_is_reported() {
    let at = "2026-11-24T10:00:00: ";
    let taken = format!("{at}Client c1 already connected, closing old connection.\n");
    let sent = |to: &str, topic: &str| {
        format!("{at}Sending PUBLISH to {to} (d0, q1, r0, m2, '{topic}', ... (7 bytes))\n")
    };
    let newcomer = format!("{at}New client connected from 10.0.0.7:1 as c1 (p2, c1, k60).\n");
    let received = format!("{at}Received PUBLISH from p (d0, q1, r0, m1, 'a', ... (7 bytes))\n");
    let one =
        format!("{taken}{}{}{newcomer}{}", sent("m1", "gone/c1"), sent("m2", "gone/c1"), sent("c1", "a"));
    // By the broker's own finding, and as it is given.
    for broker in [None, Some(Broker::Mosquitto)] {
        let (story, incidents) = story(broker, &one.repeat(2), Limits::default());
        let wills = story.picture().signs.wills_at_take_over();
        assert_eq!((wills.len(), incidents.len()), (1, 2), "{wills:?}");
        assert_eq!(
            (wills[0].client.as_str(), wills[0].messages, wills[0].topic.as_str()),
            ("c1", 4, "gone/c1")
        );
        let numbers: Vec<u64> = incidents.iter().map(|incident| incident.line).collect();
        assert_eq!(numbers, [1, 6]);
    }
    for others in [
        format!("{taken}{newcomer}{}", sent("c1", "a")),
        format!("{taken}{received}{}", sent("m1", "a")),
        format!("{at}Client c1 closed its connection.\n{}", sent("m1", "gone/c1")),
        sent("m1", "a"),
    ] {
        let (story, _) = story(Some(Broker::Mosquitto), &others, Limits::default());
        assert_eq!(story.picture().signs.wills_at_take_over(), [], "{others}");
    }
}

#[test]
fn take_overs_of_many_clients_are_no_duel() {
    let lines = (0..50)
        .map(|n| format!("2026-11-24T10:00:00: Client c{n} already connected, closing old connection.\n"));
    let (story, incidents) = story(None, &lines.collect::<String>(), Limits::default());
    assert_eq!((incidents.len(), story.picture().signs.duels().len()), (50, 0));
}

#[test]
fn only_simultaneous_lapses_point_to_the_network() {
    let line =
        |n: u64| format!("2026-11-24T10:00:0{}: Client c{n} has exceeded timeout, disconnecting.\n", n % 3);
    let (many, _) = story(None, &(0..8).map(line).collect::<String>(), Limits::default());
    assert_eq!(many.picture().signs.lapsed_together().len(), 1);
    assert_eq!(many.picture().signs.lapsed_together()[0].clients, 8);
    let (few, _) = story(None, &line(1), Limits::default());
    assert!(few.picture().signs.lapsed_together().is_empty());
}

/// Keep Alive lapses of these clients, each after so many ms.
fn lapses(at_ms: impl Iterator<Item = i64>) -> String {
    let line = |(n, ms): (usize, i64)| {
        format!("{}: Client c{n} has exceeded timeout, disconnecting.\n", LogTime(1_795_514_400_000 + ms))
    };
    at_ms.enumerate().map(line).collect()
}

#[test]
fn lapses_in_one_second_after_a_silence_are_a_stall_of_the_broker() {
    let first = "2026-11-24T09:58:00: New connection from 10.0.0.7:1 on port 1883.\n";
    let lapsed = |log: &str| {
        let (story, _) = story(None, log, Limits::default());
        story.picture().signs.lapsed_together()
    };
    let stall = lapsed(&(first.to_owned() + &lapses((0..6).map(|_| 0))));
    assert_eq!(
        (stall.len(), stall[0].clients, stall[0].silent_ms, stall[0].is_stall()),
        (1, 6, Some(120_000), true)
    );
    // Spread over seconds, as a fault of the network does it.
    let network = lapsed(&(first.to_owned() + &lapses((0..6).map(|n| n * 900))));
    assert_eq!((network.len(), network[0].in_one_second, network[0].is_stall()), (1, false, false));
    // The broker was logging all the time.
    let busy = first.replace("09:58:00", "09:59:59");
    let no_silence = lapsed(&(busy + &lapses((0..6).map(|_| 0))));
    assert_eq!((no_silence[0].in_one_second, no_silence[0].is_stall()), (true, false));
}

#[test]
fn clients_that_connected_together_and_were_not_heard_again_are_no_stall() {
    let is_in_one_second = |after_ms: i64| {
        let mut log = String::new();
        for n in 0..6 {
            log.push_str(&format!(
                "1795514400: New client connected from 10.0.0.{n}:1 as c{n} (p2, c1, k60).\n"
            ));
        }
        log.push_str(&lapses((0..6).map(|_| after_ms)));
        let (story, _) = story(None, &log, Limits::default());
        let lapsed = story.picture().signs.lapsed_together();
        assert_eq!((lapsed.len(), lapsed[0].clients), (1, 6));
        lapsed[0].in_one_second
    };
    assert!(!is_in_one_second(91_000));
    // They have sent PINGREQ meanwhile.
    assert!(is_in_one_second(1_800_000));
}

#[test]
fn an_end_before_the_keep_alive_is_laid_on_the_broker() {
    let cause = |keep_alive: u16, protocol: u8, after: u16| {
        let log = format!(
            "1795514400: New client connected from 10.0.0.7:1 as a (p{protocol}, c1, k{keep_alive}).\n\
             {}: Client a has exceeded timeout, disconnecting.\n",
            1_795_514_400 + u32::from(after)
        );
        incidents_of(&log)[0].0
    };
    assert_eq!(cause(60, 2, 38), Cause::KeepAliveEarly);
    assert_eq!(cause(60, 2, 59), Cause::KeepAlive, "whole seconds may hide nearly one");
    assert_eq!(cause(60, 2, 90), Cause::KeepAlive);
    assert_eq!(cause(60, 5, 38), Cause::KeepAlive, "the CONNACK may have set a shorter one");
}

#[test]
fn a_refused_client_that_comes_again_and_again_is_told_with_its_interval() {
    let line = |n: u64| {
        format!(
            "2026-11-24T10:00:{:02}: Client ID: c1, IP: 10.0.0.9 was disconnected. reason: No client certificate provided for TLS Listener on port: 8883.\n",
            n * 10
        )
    };
    let (story, _) = story(None, &(0..4).map(line).collect::<String>(), Limits::default());
    let visits = story.picture().signs.visits();
    assert_eq!((visits.len(), visits[0].cause, visits[0].times, visits[0].every_s), (1, Cause::Tls, 4, 10.0));
}

#[test]
fn connections_that_always_last_equally_long_are_told() {
    let log: String = (0..4)
        .map(|n| {
            let at = LogTime(1_795_514_400_000 + n * 351_000);
            let until = LogTime(at.0 + 350_000);
            format!("{at}: New client connected from 10.0.0.7:{n}1 as a (p2, c1, k400).\n{until}: Client a closed its connection.\n")
        })
        .collect();
    let (story, _) = story(None, &log, Limits::default());
    let equal = story.picture().signs.equal_lifetimes();
    assert_eq!((equal.len(), equal[0].seconds, equal[0].connections, equal[0].of), (1, 350, 4, 4));
}

#[test]
fn only_regular_knocks_of_one_address_are_a_health_check() {
    let line = |second: u64| {
        format!(
            "2026-11-24T10:{:02}:{:02}: Client ID: UNKNOWN, IP:10.0.0.9 disconnected ungracefully.\n",
            second / 60,
            second % 60
        )
    };
    let (even, incidents) =
        story(None, &(0..20).map(|n| line(n * 10)).collect::<String>(), Limits::default());
    let checks = even.picture().signs.visits();
    assert_eq!((incidents.len(), checks.len()), (20, 1));
    assert_eq!((checks[0].visitor.as_str(), checks[0].times, checks[0].every_s), ("10.0.0.9", 20, 10.0));
    let (uneven, _) = story(None, &(0..12).map(|n| line(n * n * 9)).collect::<String>(), Limits::default());
    assert!(uneven.picture().signs.visits().is_empty());
}

#[test]
fn repeated_reconnects_within_a_second_are_too_fast() {
    let mut log = String::new();
    for second in 0..8 {
        let connected = "New client connected from 10.0.0.7:1 as hasty (p5, c0, k60).";
        log.push_str(&format!("2026-11-24T10:00:{second:02}.100: {connected}\n"));
        log.push_str(&format!("2026-11-24T10:00:{second:02}.900: Client hasty closed its connection.\n"));
    }
    let (story, _) = story(None, &log, Limits::default());
    let flapping = story.picture().signs.flapping();
    assert_eq!((flapping.len(), flapping[0].client.as_str(), flapping[0].times), (1, "hasty", 7));
}

#[test]
fn quick_reconnects_are_found_in_hivemqs_log() {
    let mut log = String::new();
    for minute in 0..8 {
        log.push_str(&format!("2026-11-24 10:{minute:02}:00,000 - Client ID: c1, IP: 10.0.0.1, Clean Start: true, Session Expiry: 0 connected.\n"));
        log.push_str(&format!("2026-11-24 10:{minute:02}:59,500 - Client ID: c1, IP: 10.0.0.1 was disconnected. reason: Client was idle for too long.\n"));
    }
    let (story, incidents) = story(None, &log, Limits::default());
    let flapping = story.picture().signs.flapping();
    assert_eq!((incidents.len(), flapping.len(), flapping[0].times), (8, 1, 7));
}

/// Lines of clients that connect, at so many seconds of the same morning.
fn connects(seconds: impl IntoIterator<Item = u64>) -> String {
    let line = |(n, second): (usize, u64)| {
        let (hour, minute) = (10 + second / 3_600, second / 60 % 60);
        format!(
            "2026-11-24T{hour}:{minute:02}:{:02}: New client connected from 10.0.0.7:{n} as c{n} (p5, c0, k60).\n",
            second % 60
        )
    };
    seconds.into_iter().enumerate().map(line).collect()
}

fn herds(log: &str) -> Vec<(String, u64, bool)> {
    let (story, _) = story(Some(Broker::Mosquitto), log, Limits::default());
    let summary = |herd: &super::Herd| (herd.at.to_string(), herd.connections, herd.after_start);
    story.picture().signs.herds().iter().map(summary).collect()
}

fn herd(at: &str, connections: u64) -> (String, u64, bool) {
    (format!("2026-11-24T{at}"), connections, false)
}

#[test]
fn a_herd_is_found_at_any_second() {
    let calm = || (0..5).map(|minute| minute * 60);
    for begin in 360..372 {
        // 38 clients over two seconds.
        let log = connects(calm().chain((0..38).map(|n| begin + n / 19)));
        assert_eq!(herds(&log), [herd(&format!("10:06:{:02}", begin - 360), 38)], "{begin}");
    }
}

#[test]
fn silence_before_a_herd_lowers_the_usual_rate() {
    // Six at once each ten minutes are few in ten seconds on average: 24 are a herd.
    let log = connects((0..6).flat_map(|n| [n * 600; 6]).chain([3_605; 24]));
    assert_eq!(herds(&log), [herd("11:00:05", 24)]);
}

#[test]
fn steady_load_slow_growth_and_the_begin_of_a_log_are_no_herd() {
    assert_eq!(herds(&connects((0..600).flat_map(|second| [second; 4]))), []);
    assert_eq!(
        herds(&connects(
            (0..1_800).flat_map(|second| vec![second; 1 + usize::try_from(second / 300).unwrap()])
        )),
        []
    );
    assert_eq!(herds(&connects([0; 100])), []);
}

#[test]
fn a_rate_that_stays_high_is_one_herd_and_then_usual() {
    let log = connects((0..60).chain((60..900).flat_map(|second| [second; 12])));
    let herds = herds(&log);
    assert_eq!(herds.len(), 1, "{herds:?}");
}

#[test]
fn a_herd_before_a_broker_restart_is_reported() {
    let calm = (0..5).map(|minute| minute * 60);
    let log = connects(calm.chain([365; 38])) + "2026-11-24T10:06:07: mosquitto version 2.0.11 starting\n";
    assert_eq!(herds(&log), [herd("10:06:05", 38)]);
}

#[test]
fn a_herd_after_the_brokers_start_is_reported() {
    let mut log = "2026-11-24T10:00:00: mosquitto version 2.0.11 starting\n".to_owned();
    for n in 0..100 {
        log.push_str(&format!(
            "2026-11-24T10:00:01: New client connected from 10.0.0.7:{n} as c{n} (p5, c0, k60).\n"
        ));
    }
    let (herd, _) = story(Some(Broker::Mosquitto), &log, Limits::default());
    let herds = herd.picture().signs.herds();
    assert_eq!((herds.len(), herds[0].connections, herds[0].after_start), (1, 100, true));
    let (calm, _) = story(
        Some(Broker::Mosquitto),
        &log.lines().skip(1).take(10).collect::<Vec<_>>().join("\n"),
        Limits::default(),
    );
    assert!(calm.picture().signs.herds().is_empty());
}

#[test]
fn only_the_wanted_time_and_client_are_reported() {
    let log = (0..10).map(|n| format!("2026-11-24T10:00:0{n}: Client c{} closed its connection.\n", n % 2));
    let log: String = log.collect();
    let time = |text: &str| Some(text.parse::<LogTime>().unwrap());
    let limits = Limits {
        since: time("2026-11-24T10:00:02"),
        until: time("2026-11-24T10:00:06"),
        ..Limits::default()
    };
    assert_eq!(story(None, &log, limits).1.len(), 4);
    let limits = Limits { client: Some("c1".into()), ..Limits::default() };
    assert_eq!(story(None, &log, limits).1.len(), 5);
}

#[test]
fn earlier_lines_identify_clients_but_make_no_incident() {
    let log = "\
               2026-11-24T09:00:00: New client connected from 10.0.0.7:50123 as old (p5, c1, k30).
2026-11-24T09:30:00: Client gone closed its connection.
2026-11-24T09:59:59.500: Client hasty closed its connection.
2026-11-24T10:00:00.100: New client connected from 10.0.0.8:1 as hasty (p5, c1, k30).
2026-11-24T10:00:01: Bad client 10.0.0.7:50123 sending multiple CONNECT messages.
";
    let limits = Limits { since: "2026-11-24T10:00".parse().ok(), ..Limits::default() };
    let (story, incidents) = story(None, log, limits);
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    let incident = &incidents[0];
    assert_eq!((incident.client.as_deref(), incident.cause), (Some("old"), Cause::SecondConnect));
    assert_eq!((incident.keep_alive_s, incident.connected_for_ms), (Some(30), Some(3_601_000)));
    assert_eq!(story.picture().incidents, 1);
    assert_eq!(story.picture().first.unwrap().to_string(), "2026-11-24T10:00:00.100");
    assert_eq!(story.worst_clients(9).len(), 1);
}

#[test]
fn only_signs_of_the_wanted_time_and_client_are_reported() {
    let mut log = connects((0..60).chain([100; 50]));
    for second in 10..20 {
        let line = "Client twin already connected, closing old connection.";
        log.push_str(&format!("2026-11-24T10:02:{second}: {line}\n"));
    }
    let (all, _) = story(None, &log, Limits::default());
    assert_eq!((all.picture().signs.duels().len(), all.picture().signs.herds().len()), (1, 1));
    let since = "2026-11-24T10:10".parse().ok();
    let (later, _) = story(None, &log, Limits { since, ..Limits::default() });
    assert_eq!((later.picture().signs.duels().len(), later.picture().signs.herds().len()), (0, 0));
    let client = Some("c1".to_owned());
    let (other, _) = story(None, &log, Limits { client, ..Limits::default() });
    assert_eq!((other.picture().signs.duels().len(), other.picture().signs.herds().len()), (0, 0));
}

#[test]
fn clients_beyond_the_limit_count_in_the_sums() {
    let log: String = (0..10).map(|n| format!("Client c{n} closed its connection.\n")).collect();
    let (story, incidents) = story(None, &log, Limits { clients_max: 3, ..Limits::default() });
    assert_eq!((incidents.len(), story.clients_known(), story.worst_clients(99).len()), (10, (3, 7), 3));
    assert_eq!(story.picture().causes[&Cause::Lost].incidents, 10);
}

#[test]
fn repeated_losses_on_a_live_connection_are_one_incident() {
    let log = "Outgoing messages are being dropped for client c1.\n".repeat(3)
        + "Client c1 closed its connection.\n";
    let incidents = incidents_of(&log);
    assert_eq!(incidents, [one(Cause::QueueFull, "c1", 3), one(Cause::Lost, "c1", 1)]);
}
