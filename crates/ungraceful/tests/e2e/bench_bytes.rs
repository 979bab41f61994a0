//! `ungraceful-bench` against a broker whose writes and closes are chosen byte by byte.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use ungraceful_record::verdict::Conclusion;

use crate::raw_broker::{Client, Script, publish, start};
use crate::support::bench_at;

const ONE_TO_TWO: &str = "-V 5 --publishers 1 --subscribers 2 --shape everyone --threads 1";

/// A run also has well-behaved clients, which publish now and then.
fn is_of_the_load(client: &Client<'_>) -> bool {
    client.id.ends_with("p00000")
}

/// Ends the first subscriber in the write that delivers its first message; keeps serving the other.
#[derive(Default)]
struct EndsTheFirst {
    messages: AtomicU64,
}

impl Script for EndsTheFirst {
    fn published(&self, from: &mut Client<'_>, packet_identifier: Option<u16>, payload: &[u8]) {
        if !is_of_the_load(from) {
            return from.acknowledge(packet_identifier);
        }
        if self.messages.fetch_add(1, SeqCst) == 0 {
            let disconnect = [0xE0, 0];
            from.others().write_to("s00000", &[&publish(Some(7_777), payload)[..], &disconnect].concat());
        }
        from.others().write_to("s00001", &publish(Some(1), payload));
        from.acknowledge(packet_identifier);
    }
}

#[test]
fn messages_to_a_lost_client_are_not_acknowledged_by_others() {
    let (address, clients) = start(EndsTheFirst::default());
    let call = bench_at(address, "pubsub", &format!("{ONE_TO_TWO} -q 1 --rate 50 -z 1s"));
    let acknowledged = clients.acknowledged();
    let own = acknowledged.iter().filter(|(id, identifier)| id.ends_with("s00001") && *identifier == 1);
    assert_eq!(own.count(), 50, "{acknowledged:?}\n{call}");
    let strange: Vec<_> = acknowledged
        .iter()
        .filter(|(id, identifier)| *identifier == 7_777 && !id.ends_with("s00000"))
        .collect();
    assert!(strange.is_empty(), "{strange:?}\n{call}");
}

/// Sends a message before the SUBACK, which is allowed.
struct SendsBeforeSuback;

impl Script for SendsBeforeSuback {
    fn subscribed(&self, to: &mut Client<'_>, suback: &[u8]) {
        to.write(&[&publish(Some(99), b"retained")[..], suback].concat());
    }
}

#[test]
fn a_message_that_comes_before_the_suback_is_acknowledged() {
    let (address, clients) = start(SendsBeforeSuback);
    let call = bench_at(address, "sub", "-c 1 -q 1 -t 'a/#' -z 1s -V 5");
    // It came before the measured time, in which nothing came.
    assert_eq!(call.exit(), 3, "{call}");
    let acknowledged = clients.acknowledged();
    let is_ours = |(id, identifier): &&(String, u16)| id.ends_with("s00000") && *identifier == 99;
    assert_eq!(acknowledged.iter().filter(is_ours).count(), 1, "{acknowledged:?}");
}

/// Sends a message that is larger than a client of MQTT 5.0 takes.
struct SendsTooMuch;

impl Script for SendsTooMuch {
    fn subscribed(&self, to: &mut Client<'_>, suback: &[u8]) {
        to.write(suback);
        if to.id.ends_with("s00000") {
            to.write(&publish(None, &vec![b'x'; 300_000]));
        }
    }
}

#[test]
fn a_packet_above_the_announced_maximum_names_limit_and_flag() {
    let (address, _clients) = start(SendsTooMuch);
    let call = bench_at(address, "sub", "-c 1 -t 'a/#' -z 1s -V 5");
    let reasons = call.connection_errors();
    let reason =
        "a packet from the broker above the 262144 bytes of the Maximum Packet Size that we announced";
    assert!(reasons.iter().any(|found| found.starts_with(reason)), "{reasons:?}\n{call}");
    call.assert_prints(&["(raise --max-packet-size)"]);
}

/// Sends everything to the first subscriber at once and then closes it; to the second, everything a second and a half later.
#[derive(Default)]
struct OneAtOnceOneLate {
    payloads: Mutex<Vec<Vec<u8>>>,
}

const MESSAGES: usize = 200;

impl Script for OneAtOnceOneLate {
    fn published(&self, from: &mut Client<'_>, _packet_identifier: Option<u16>, payload: &[u8]) {
        if !is_of_the_load(from) {
            return;
        }
        let mut payloads = self.payloads.lock().unwrap();
        payloads.push(payload.to_vec());
        from.others().write_to("s00000", &publish(None, payload));
        if payloads.len() == MESSAGES {
            from.others().close("s00000");
            std::thread::sleep(Duration::from_millis(1_500));
            let late: Vec<u8> = payloads.iter().flat_map(|payload| publish(None, payload)).collect();
            from.others().write_to("s00001", &late);
        }
    }
}

#[test]
fn a_late_subscriber_is_waited_for_after_another_has_left() {
    let (address, _clients) = start(OneAtOnceOneLate::default());
    let call = bench_at(address, "pubsub", &format!("{ONE_TO_TWO} -q 0 --rate 200 -z 1s"));
    let counts = call.load().all();
    assert_eq!((counts.sent, counts.delivered, counts.lost), (200, 400, 0), "{call}");
}

/// Acknowledges each message after 50 ms, without reading the next one meanwhile.
struct AcknowledgesSlowly;

impl Script for AcknowledgesSlowly {
    fn published(&self, from: &mut Client<'_>, packet_identifier: Option<u16>, _payload: &[u8]) {
        std::thread::sleep(Duration::from_millis(50));
        from.acknowledge(packet_identifier);
    }
}

#[test]
fn a_sent_rate_is_over_the_time_that_sending_took() {
    let (address, _clients) = start(AcknowledgesSlowly);
    let load = "-c 1 -q 1 -F 1 --rate 40 -z 1s";
    // 40 messages, each 50 ms after the one before: nearly two seconds.
    let call = bench_at(address, "pub", &format!("{load} --threshold sent_rate<25"));
    assert_eq!(call.load().all().sent, 40, "{call}");
    assert_eq!(call.verdicts("keeps_the_threshold")[0].conclusion, Conclusion::Holds, "{call}");
}
