//! `ungraceful-bench`: closed loops, how long a load waits for late deliveries, and times that other effects distort.

use std::process::{Command, Stdio};
use std::time::Duration;

use ungraceful_record::phase::Phase;
use ungraceful_record::testing::until;
use ungraceful_scripted_broker::{Pubacks, Script};

use crate::support::{Call, bench, bench_at, free_port};

/// A closed loop from one publisher to several subscribers, against a broker with this policy for deliveries.
fn as_fast_as_it_goes(deliveries: &str, flags: &str) -> Call {
    let deliveries = deliveries.parse().unwrap();
    let script = Script { deliveries, ..Script::default() };
    let fan = "--publishers 1 --subscribers 5 --rate max -F 20 -z 2s";
    bench_at(script, "pubsub", &format!("{fan} {flags}"))
}

#[test]
fn at_every_qos_a_closed_loop_waits_for_the_subscribers() {
    for qos in ["0", "1", "2"] {
        let call = as_fast_as_it_goes("delay-200ms", &format!("-q {qos}")).expect_exit(0);
        let load = call.load();
        let all = load.all();
        // There are ten delays in two seconds, and at most twenty messages in flight.
        assert!((20..=220).contains(&all.sent), "{all:?}");
        assert_eq!((all.delivered, all.lost, all.still_coming), (5 * all.sent, 0, 0), "{all:?}");
        assert_eq!(load.end_to_end_window, Some(20));
        assert!(load.delivery_service_time.min_us.unwrap() >= 190_000, "{load:?}");
    }
}

#[test]
fn a_closed_loop_continues_after_losses_but_never_runs_ahead() {
    let some = as_fast_as_it_goes("lose-every-10", "-q 0 --threads 2");
    let all = some.load().all();
    assert!(all.sent >= 200 && all.delivered + all.lost == 5 * all.sent, "{some}");
    assert!(all.lost.abs_diff(5 * all.sent / 10) <= 5, "{all:?}");
    let nothing = as_fast_as_it_goes("lose-every-1", "-q 0").expect_exit(3);
    // Each second, missing messages are given up and as many may follow.
    assert!((20..=60).contains(&nothing.load().all().sent), "{nothing}");
}

#[test]
fn a_loop_that_only_tcp_closes_is_reported() {
    let call = bench_at(Script::default(), "pub", "-c 1 -q 0 --rate max -z 1s");
    assert_eq!((call.exit(), call.load().end_to_end_window), (0, None), "{call}");
    call.assert_prints(&["At QoS 0 only TCP closes the loop"]);
}

#[test]
fn a_load_waits_for_as_long_as_deliveries_come() {
    // Every message comes twelve seconds late: nine to twelve seconds after the end.
    let script = Script { deliveries: "delay-12s".parse().unwrap(), ..Script::default() };
    let call = bench_at(script, "pubsub", "--publishers 1 --subscribers 1 --rate 50 -z 3s -q 0");
    let all = call.load().all();
    assert_eq!((call.exit(), all.delivered, all.lost, all.still_coming), (0, 150, 0, 0), "{call}");
}

/// Publishers on a schedule, against a broker with this policy for acknowledgements.
fn acknowledged(pubacks: Pubacks, flags: &str) -> Call {
    let script = Script { pubacks, ..Script::default() };
    bench_at(script, "pub", &format!("-q 1 -z 3s {flags}"))
}

#[test]
fn acknowledgements_held_for_the_next_message_are_reported() {
    // Each publisher's gaps are 5 ms long; 5 ms on average; and 20 ms on average.
    for flags in
        ["-c 8 --rate 1600", "-c 1 --rate 200 --arrival poisson", "-c 4 --rate 200 --arrival poisson"]
    {
        let call = acknowledged(Pubacks::WithNext, flags);
        let held = call.load().held_acknowledgements.unwrap_or_else(|| panic!("{flags:?}\n{call}"));
        assert!(held.held * 4 >= held.of && held.after_next_us_mean * 4 <= held.waited_us_mean, "{held:?}");
        call.assert_prints(&["set_tcp_nodelay true"]);
    }
}

#[test]
fn quick_or_slow_acknowledgements_are_not_reported_as_held() {
    let late = Duration::from_millis(12);
    for pubacks in [Pubacks::AtOnce, Pubacks::Late(late), Pubacks::Late(2 * late)] {
        let call = acknowledged(pubacks, "-c 1 --rate 100");
        assert_eq!(call.load().held_acknowledgements, None, "{pubacks:?}\n{call}");
    }
}

/// A running Mosquitto with these additional lines in its configuration.
struct Mosquitto {
    process: std::process::Child,
    address: std::net::SocketAddr,
    _folder: tempfile::TempDir,
}

impl Mosquitto {
    fn with(lines: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let configuration = folder.path().join("conf");
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n{lines}\n");
        std::fs::write(&configuration, text).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "PATH=$PATH:/usr/sbin; exec mosquitto -c \"$0\""]).arg(configuration);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let address = ([127, 0, 0, 1], port).into();
        until("Mosquitto accepts connections", || {
            assert_eq!(process.try_wait().unwrap(), None, "run scripts/install-mosquitto first");
            std::net::TcpStream::connect(address).is_ok()
        });
        Self { process, address, _folder: folder }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _status = self.process.wait();
    }
}

#[test]
fn only_a_mosquitto_with_nagles_algorithm_is_reported() {
    let run = |lines: &str| {
        let broker = Mosquitto::with(lines);
        let call = bench_at(broker.address, "pub", "-c 2 -q 1 --rate 200 --arrival poisson -z 5s");
        (call.load().held_acknowledgements, call)
    };
    // A connection that begins well goes on well until one acknowledgement waits, which chance decides.
    let mut tries = (0..3).map(|_| run(""));
    let (held, call) =
        tries.find(|(held, _)| held.is_some()).expect("one run in three holds acknowledgements back");
    let held = held.unwrap_or_else(|| panic!("{call}"));
    assert!(held.after_next_us_mean < held.waited_us_mean / 2, "{held:?}");
    call.assert_prints(&["set_tcp_nodelay true"]);
    let (held, call) = run("set_tcp_nodelay true");
    assert_eq!(held, None, "{call}");
}

#[test]
fn bystanders_service_time_never_exceeds_their_response_time() {
    let script = Script { pubacks: Pubacks::WithNext, ..Script::default() };
    let call = bench_at(script, "pub", "--bystanders 3 --baseline 2s --recovery 1s -c 1 --rate 20 -z 2s");
    let bystanders = call.record().bystanders.unwrap();
    for phase in [Phase::Baseline, Phase::Load] {
        let of_phase = bystanders.phases.iter().find(|of_phase| of_phase.phase == phase);
        let times = of_phase.unwrap_or_else(|| panic!("no {phase:?}\n{call}"));
        let (response, service) = (times.response_time, times.service_time);
        assert!(response.count > 100 && service.count == response.count, "{times:?}");
        for (service_us, response_us) in [
            (service.min_us, response.min_us),
            (service.p50_us, response.p50_us),
            (service.p90_us, response.p90_us),
            (service.max_us, response.max_us),
        ] {
            assert!(service_us.unwrap() <= response_us.unwrap(), "{times:?}");
        }
        assert!(times.acknowledge_time.count > 0 && times.acknowledge_time.count < response.count);
    }
}

#[test]
fn a_closed_loop_does_not_wait_until_tcp_acknowledges_the_first_of_many_pubacks() {
    // Mosquitto sends the second PUBACK once its host has the TCP acknowledgement of the first (Nagle's algorithm), which takes 40 ms
    // where the client sends nothing: ten messages in that time would be 500 in two seconds.
    let call = bench("pub", "--spawn mosquitto -V 3.1.1 -c 1 -q 1 --rate max -F 10 -z 2s").expect_exit(0);
    let all = call.load().all();
    assert!(all.sent > 2_500 && all.acknowledged == all.sent, "{call}");
}
