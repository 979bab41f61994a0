//! `ungraceful-bench`: exact counts, thresholds that set the exit code, and no pass without evidence.

use ungraceful_record::load::{LoadCounts, Release};
use ungraceful_record::verdict::Conclusion;
use ungraceful_scripted_broker::{Script, ScriptedBroker};

use crate::real_brokers::RealBroker;
use crate::support::{Call, VERSIONS, bench, bench_at};

/// 2 publishers to 2 subscribers in pairs, 200 messages each.
const PAIRS: &str = "--publishers 2 --subscribers 2 --rate 200 --duration 2s";

/// A short run against a broker with this policy for deliveries.
fn against(deliveries: &str, flags: &str) -> Call {
    let deliveries = deliveries.parse().unwrap();
    let script = Script { deliveries, ..Script::default() };
    bench_at(script, "pubsub", &format!("{PAIRS} {flags}"))
}

/// The counts of all messages; asserts that those of each QoS add up.
fn all(call: &Call) -> LoadCounts {
    let load = call.load();
    for (qos, counts) in &load.by_qos {
        assert_eq!(counts.offered, counts.sent + counts.dropped, "{counts:?}");
        let accounted = counts.delivered + counts.lost + counts.unknown + counts.still_coming;
        assert_eq!(counts.expected, accounted, "{counts:?}");
        let settled = counts.acknowledged + counts.refused_in_all() + counts.unacknowledged;
        assert_eq!(if *qos == 0 { 0 } else { counts.sent }, settled, "{counts:?}");
    }
    load.all()
}

fn conclusion(call: &Call, check: &str) -> Conclusion {
    call.verdicts(check)[0].conclusion
}

#[test]
fn a_conforming_broker_passes_at_every_qos_in_both_versions() {
    for version in VERSIONS {
        for qos in ["0", "1", "2"] {
            let call = against("all", &format!("-V {version} -q {qos}")).expect_exit(0);
            let counts = all(&call);
            let LoadCounts { offered, sent, delivered, expected, .. } = counts;
            assert_eq!([offered, sent, delivered, expected], [400; 4]);
            assert_eq!((counts.lost, counts.duplicated, counts.reordered, counts.dropped), (0, 0, 0, 0));
            assert_eq!(counts.acknowledged, if qos == "0" { 0 } else { 400 });
            let total = |column: &str| {
                call.timeline(column).iter().map(|cell| cell.parse::<u64>().unwrap_or(0)).sum::<u64>()
            };
            let sums = ["load_offered", "load_sent", "load_acknowledged", "load_delivered"].map(total);
            assert_eq!(sums, [400, 400, counts.acknowledged, 400], "second by second: {call}");
            let open = call.timeline("connections_open");
            assert!(open.iter().any(|open| open == "4"), "two publishers and two subscribers: {open:?}");
            let load = call.load();
            assert_eq!((load.delivery_response_time.count, load.release), (400, Release::Open));
            assert_eq!(load.publish_response_time.count, counts.acknowledged);
            assert!(load.delivery_service_time.max_us <= load.delivery_response_time.max_us, "{load:?}");
            // Sampled at most a hundred times a second by at most two threads.
            let seconds =
                (load.counted_until_us.unwrap() - load.counted_from_us.unwrap()).div_ceil(1_000_000);
            let departed = load.departure_time;
            assert!((1..=200 * seconds + 2).contains(&departed.count), "{departed:?}");
            assert!(departed.p50_us <= load.delivery_service_time.max_us, "it left before it was delivered");
            assert_eq!((load.connections.accepted, load.connections.suback_time.count), (4, 2));
            assert_eq!(load.connections.connack_time.count, 4);
        }
    }
}

#[test]
fn lost_messages_are_counted_exactly() {
    for qos in ["0", "1"] {
        let call = against("lose-every-10", &format!("-q {qos}"));
        let counts = all(&call);
        let seen = [counts.sent, counts.expected, counts.delivered, counts.lost];
        assert_eq!(seen, [400, 400, 360, 40], "{call}");
        assert_eq!((counts.duplicated, counts.reordered, counts.unknown), (0, 0, 0));
        // A loss under load is a note and no violation.
        assert_eq!(call.exit(), 0, "{call}");
        let note = call.verdicts("loses_nothing").remove(0).differs.unwrap();
        assert!(note.contains("40 deliveries were lost"), "{note}");
    }
}

#[test]
fn duplicated_messages_are_counted_exactly() {
    let call = against("duplicate-every-10", "-q 1");
    let counts = all(&call);
    let seen = [counts.delivered, counts.duplicated, counts.lost, counts.reordered];
    assert_eq!(seen, [400, 40, 0, 0], "{call}");
    assert_eq!(call.load().delivery_response_time.count, 400, "a copy is not a separate delivery");
}

#[test]
fn swapped_messages_are_counted_as_reordered() {
    let call = against("swap-every-10", "-q 1");
    let counts = all(&call);
    // The last of each has no follower: it is held back for a second and arrives in order.
    let seen = [counts.delivered, counts.reordered, counts.duplicated, counts.lost];
    assert_eq!(seen, [400, 38, 0, 0], "{call}");
}

#[test]
fn a_delay_is_in_every_end_to_end_time_and_no_acknowledgement() {
    let call = against("delay-700ms", "-q 1");
    let load = call.load();
    assert_eq!(all(&call).delivered, 400, "{call}");
    for times in [load.delivery_response_time, load.delivery_service_time] {
        assert!(times.min_us.unwrap() >= 650_000, "{times:?}");
        assert!(times.p50_us.unwrap() >= 690_000, "{times:?}");
    }
    assert!(load.publish_service_time.min_us.unwrap() < 650_000, "{:?}", load.publish_service_time);
}

#[test]
fn unacknowledged_messages_stay_within_the_receive_maximum() {
    let script = Script { receive_maximum: std::num::NonZeroU16::new(3), ..Script::default() };
    let call = bench_at(script, "pub", "-c 2 -q 1 --rate max -z 1s").expect_exit(0);
    let load = call.load();
    assert_eq!((load.in_flight_max, load.connections.lost.len()), (3, 0), "{call}");
    let counts = all(&call);
    assert!(counts.sent > 100 && counts.acknowledged == counts.sent, "{counts:?}");
}

#[test]
fn a_closed_loop_is_called_that_in_every_output() {
    let broker = ScriptedBroker::start(Script::default());
    let flags = "--rate max -z 1s -q 1 --publishers 1 --subscribers 1";
    let output = |format: &str| {
        let call = bench_at(broker.address(), "pubsub", &format!("{flags} --format {format}")).expect_exit(0);
        assert_eq!(call.load().release, Release::Closed);
        call.stdout().to_lowercase()
    };
    for (format, word) in
        [("text", "closed loop"), ("markdown", "closed loop"), ("json", "\"closed\""), ("csv", "closed")]
    {
        let shown = output(format);
        assert!(shown.contains(word), "{format}: {shown}");
    }
}

#[test]
fn thresholds_set_the_exit_code() {
    let holds = against("all", "--threshold loss==0 --threshold 'e2e p(50)<1h'");
    assert_eq!(holds.exit(), 2, "an hour is no unit of thresholds\n{holds}");
    against("all", "--threshold loss==0 --threshold 'e2e p(50)<3600s'").expect_exit(0);
    let lost = against("lose-every-10", "--threshold loss==0 --threshold loss<=10%").expect_exit(1);
    let verdicts = lost.verdicts("keeps_the_threshold");
    assert_eq!(lost.conclusions("keeps_the_threshold"), [Conclusion::Violated, Conclusion::Holds], "{lost}");
    assert!(verdicts[0].evidence.contains("loss==0: 40"), "{verdicts:?}");
    against("delay-300ms", "--threshold 'e2e p(50)<100ms'").expect_exit(1);
}

#[test]
fn a_threshold_with_too_few_samples_is_inconclusive() {
    let few = against("all", "--threshold 'e2e p(99.9)<3600s'");
    assert_eq!((few.exit(), conclusion(&few, "keeps_the_threshold")), (3, Conclusion::Inconclusive), "{few}");
    let evidence = &few.verdicts("keeps_the_threshold")[0].evidence;
    assert!(evidence.contains("needs 10000 samples and there are 400"), "{evidence}");
    // QoS 0 is not acknowledged, and nothing was subscribed to.
    against("all", "-q 0 --threshold 'ack p(50)<3600s'").expect_exit(3);
}

#[test]
fn an_unknown_threshold_is_rejected_with_the_valid_subjects() {
    let call = bench("pubsub", "--threshold 'latency p(99)<5ms' --threshold loss=0");
    let subjects = ["connack", "e2e", "bystander", "loss", "delivered_rate"];
    call.assert_mistake(&[&["unknown name \"latency\"", "has no comparison"], &subjects[..]].concat());
    assert!(!call.folder.exists(), "nothing was begun");
}

#[test]
fn a_threshold_on_an_unmeasured_subject_names_the_right_mode() {
    let pairs = "it needs publishers and subscribers; use pubsub";
    for (mode, flag, expression, subject, why) in [
        ("pub", "--threshold", "e2e p(50)<1s", "e2e", pairs),
        ("pub", "--find-rate", "loss==0", "loss", pairs),
        ("sub", "--threshold", "ack p(50)<1s", "ack", "nothing is published; use pub or pubsub"),
        ("conn", "--threshold", "suback max<1s", "suback", "nothing is subscribed to"),
    ] {
        let expected = format!("{flag}: {subject} is not measured in this run: {why}");
        bench(mode, &format!("{flag} '{expression}'")).assert_mistake(&[&expected]);
    }
}

#[test]
fn a_late_generator_makes_times_inconclusive() {
    let flags = format!("{PAIRS} --slip-limit 1us --threshold 'e2e p(50)<3600s' --threshold loss==0");
    let call = bench_at(Script::default(), "pubsub", &flags).expect_exit(3);
    assert_eq!(conclusion(&call, "generator_keeps_up"), Conclusion::Inconclusive);
    let expected = [Conclusion::Inconclusive, Conclusion::Holds];
    assert_eq!(call.conclusions("keeps_the_threshold"), expected, "a count is still valid");
    call.assert_prints(&["GENERATOR NOT RELIABLE"]);
}

#[test]
fn mistakes_are_reported_together_with_fixes() {
    let call =
        bench("pubsub", "--publishers 2 --subscribers 3 --shape pairs --stages 1s:5 --rate 7 -m %q -q 0,1,2");
    call.assert_mistake(&[
        "--shape: pairs need",
        "--rate: --stages already sets it",
        "--message: unknown placeholder %q",
        "--qos: 3 different",
    ]);
}

#[test]
fn all_messages_due_in_stages_are_offered() {
    // In floating point, the first stage has a little more than 110 messages.
    let stages = "--publishers 1 --subscribers 1 --stages 1100ms:100,1s:200";
    let call = bench_at(Script::default(), "pubsub", stages);
    assert_eq!(all(&call).offered, 310, "{call}");
}

#[test]
fn a_rate_is_over_the_time_that_it_took() {
    let script = Script { deliveries: "delay-1500ms".parse().unwrap(), ..Script::default() };
    let flags = "--publishers 1 --subscribers 1 --rate 100 -z 1s";
    let rates = "--threshold sent_rate>=20 --threshold delivered_rate>=50";
    let call = bench_at(script, "pubsub", &format!("{flags} {rates}"));
    // 100 messages in one second, which came in two and a half.
    assert_eq!(call.conclusions("keeps_the_threshold"), [Conclusion::Holds, Conclusion::Violated], "{call}");
}

#[test]
fn a_plan_is_printed_and_nothing_is_sent() {
    let call = bench("pubsub", "--preset fanout-5-1000-5-250K --print-plan --seed 7").expect_exit(0);
    call.assert_prints(&[
        "5 publishers, each to all of 1000 subscribers",
        "250 messages per second for 30000 ms",
        "16 bytes",
        "seed 7",
    ]);
    assert!(!call.folder.exists());
}

#[test]
fn a_plan_without_publishers_shows_no_payload() {
    let call = bench("sub", "--print-plan --max-packet-size 1000000").expect_exit(0);
    let shown = call.stdout();
    assert!(shown.contains("packets received       at most 1000000 bytes"), "{shown}");
    assert!(!shown.contains("payload") && !shown.contains("messages per second"), "{shown}");
}

#[test]
fn connections_to_the_embedded_broker_are_held_and_counted() {
    let call = bench("conn", "-c 50 -R 500 -z 1s --threshold connections_refused==0").expect_exit(0);
    let connections = call.load().connections;
    assert_eq!((connections.planned, connections.accepted, connections.never_begun), (50, 50, 0));
    assert_eq!((connections.tcp_connect_time.count, connections.connack_time.count), (50, 50));
    // The fiftieth of 500 a second is due 98 ms after the first.
    assert!(connections.up_after_us.unwrap() >= 90_000, "{connections:?}");
    call.assert_prints(&["50 of 50 accepted"]);
}

#[test]
fn a_maximum_qos_below_2_names_the_fix() {
    let script = Script { maximum_qos: Some(ungraceful_mqtt::QoS::AtLeastOnce), ..Script::default() };
    let call = bench_at(script, "pubsub", "-q 2 -z 1s").expect_exit(4);
    assert!(call.stderr().contains("give -q 1"), "{}", call.stderr());
}

#[test]
fn clients_connect_from_each_of_the_addresses_in_turn() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let flags = "-c 12 -R 1000 -z 1s -V 5 --ifaddr 127.0.0.2-127.0.0.3,127.0.1.0/30";
    bench_at(broker.address, "conn", flags).expect_exit(0);
    let log = std::fs::read_to_string(&broker.log).unwrap();
    for address in ["127.0.0.2", "127.0.0.3", "127.0.1.1", "127.0.1.2"] {
        let from_here = |line: &&str| line.contains(&format!("New client connected from {address}:"));
        let clients = log.lines().filter(from_here).count();
        // One of them may have been a client of the tests before the run, too.
        assert!(clients >= 3, "{address}: {clients} in {log}");
    }
    let refused = bench_at(broker.address, "conn", "-c 1 -z 1s --ifaddr 192.0.2.1").expect_exit(4);
    refused.assert_reports(&["this machine has no address 192.0.2.1 to connect from"]);
    let mistaken = bench_at(broker.address, "conn", "-c 1 --ifaddr 127.0.0.9-127.0.0.2");
    mistaken.assert_mistake(&["--ifaddr: \"127.0.0.9-127.0.0.2\" ends before it begins"]);
}

#[test]
fn every_shape_on_mosquitto_delivers_the_right_number() {
    let run = |flags: &str| {
        let call = bench("pubsub", &format!("--spawn mosquitto -z 2s --rate 400 {flags}")).expect_exit(0);
        let counts = all(&call);
        assert_eq!((counts.sent, counts.lost, counts.unknown, counts.duplicated), (800, 0, 0, 0), "{call}");
        // The broker's cost is reported for the load phase.
        call.assert_prints(&[" in the load phase ("]);
        (counts.expected, call.load())
    };
    let fan = run("--publishers 2 --subscribers 5 -q 1");
    assert_eq!(fan.0, 4_000);
    let shared = run("--publishers 3 --subscribers 4 --shape shared -q 1 --threads 2");
    assert_eq!(shared.0, 800);
    let mixed = run("--publishers 4 --subscribers 4 -q 0:2,1:1,2:1 --arrival uniform");
    let sent: Vec<_> = mixed.1.by_qos.iter().map(|(qos, counts)| (*qos, counts.sent)).collect();
    assert_eq!((mixed.0, sent), (800, vec![(0, 400), (1, 200), (2, 200)]));
    let text = r#"{"n":%s,"id":"%c","r":%r,"stamp":"%x"}"#;
    let written = run(&format!("--publishers 2 --subscribers 2 -m '{text}' --topic-alias -V 5"));
    assert_eq!((written.0, written.1.foreign), (800, 0));
    let columns = run("--publishers 2 --subscribers 2 -m %i,%s,%t,%x");
    assert_eq!((columns.0, columns.1.foreign), (800, 0));
}

#[test]
fn with_bystanders_a_load_is_compared_with_a_baseline() {
    let flags = "--bystanders 1 --baseline 2s --recovery 1s --threshold 'bystander p(50)<1000x baseline'";
    let call = bench_at(Script::default(), "pubsub", &format!("{PAIRS} {flags}")).expect_exit(0);
    let record = call.record();
    let phases: Vec<_> = record.phases.iter().map(|phase| phase.phase.name()).collect();
    assert_eq!(phases, ["warmup", "baseline", "load", "recovery"]);
    assert!(call.verdicts("keeps_the_threshold")[0].evidence.contains("in the baseline"), "{call}");
    let (phases, open) = (call.timeline("phase"), call.timeline("connections_open"));
    let rows: Vec<(&str, &str)> =
        phases.iter().map(String::as_str).zip(open.iter().map(String::as_str)).collect();
    assert!(rows.contains(&("load", "4")), "{rows:?}");
    let after: Vec<_> = rows.iter().filter(|(phase, _)| *phase == "recovery").collect();
    assert_eq!(after.last(), Some(&&("recovery", "0")), "the load's clients have left: {rows:?}");
    assert_eq!(record.load.unwrap().all().offered, 400);
}
