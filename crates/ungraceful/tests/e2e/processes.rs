//! A load over several processes: the same counts, one record, and nothing lost silently.

use std::num::NonZeroU32;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use ungraceful_record::load::LoadCounts;
use ungraceful_record::run::Completeness;
use ungraceful_record::testing::{every, until};
use ungraceful_scripted_broker::{Script, ScriptedBroker};

use crate::support::{Call, Running, at, bench, bench_at, binary};

/// The counts that do not depend on how busy the machine is.
fn exact(call: &Call) -> Vec<(u8, LoadCounts)> {
    let by_qos = call.load().by_qos.into_iter();
    by_qos.map(|(qos, counts)| (qos, LoadCounts { late: 0, blocked: 0, ..counts })).collect()
}

/// A load on Mosquitto by so many processes.
fn by(processes: u32, flags: &str) -> Call {
    bench("pubsub", &format!("--spawn mosquitto --seed 7 -z 1s --processes {processes} {flags}"))
        .expect_exit(0)
}

/// The worker processes of a run.
fn workers(run: &Running) -> Vec<Pid> {
    let parent = format!("PPid:\t{}", run.child.id());
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let folder = entry.ok()?.path();
        let arguments = std::fs::read_to_string(folder.join("cmdline")).ok()?;
        let status = std::fs::read_to_string(folder.join("status")).ok()?;
        let is_worker = arguments.contains("__load-worker") && status.lines().any(|line| line == parent);
        Pid::from_raw(folder.file_name()?.to_str()?.parse().ok().filter(|_| is_worker)?)
    });
    processes.collect()
}

fn until_gone(workers: &[Pid]) {
    until("the workers are gone", || every(workers, |worker| test_kill_process(*worker).is_err()));
}

/// Fifteen pairs by three processes, in the phase of the load.
fn pairs(broker: &ScriptedBroker) -> Running {
    let load = "--publishers 15 --subscribers 15 --rate 100 -z 60s --processes 3 --threshold refused==1";
    let flags = format!("{load} --warmup 0s --slip-limit 1h --no-progress --quiet");
    Running::of(binary(&format!("ungraceful-bench pubsub {} {flags}", at(broker.address()))), "load")
}

#[test]
fn several_processes_count_as_one_does() {
    let flags = [
        "--publishers 7 --subscribers 7 --rate 350 -q 0:1,1:1,2:1",
        "--publishers 5 --subscribers 4 --rate 200 -q 1 --shape everyone --arrival poisson --threads 3",
        "--publishers 6 --subscribers 5 --rate 300 -q 2 --shape shared",
    ];
    for flags in flags {
        let (one, three) = (by(1, flags), by(3, flags));
        assert_eq!(exact(&three), exact(&one), "{flags}\n{three}");
        let all = three.load().all();
        assert_eq!((all.delivered, all.lost + all.unknown, all.duplicated), (all.expected, 0, 0), "{three}");
        assert!(all.sent > 100 && one.load().processes.is_empty(), "{one}");
        let (load, of_one) = (three.load(), one.load());
        assert_eq!(load.processes.len(), 3, "{three}");
        assert_eq!(
            load.processes.iter().map(|process| process.clients).sum::<u64>(),
            load.connections.planned
        );
        let counts = |load: &ungraceful_record::load::LoadRecord| {
            [load.delivery_response_time, load.publish_response_time, load.connections.connack_time]
                .map(|times| times.count)
        };
        assert_eq!(counts(&load), counts(&of_one), "{three}");
    }
}

#[test]
fn a_closed_loop_of_pairs_waits_within_each_process() {
    let flags = "--publishers 4 --subscribers 4 --rate max -q 1 --shape pairs";
    let all = by(2, flags).load().all();
    assert!(all.sent > 100 && all.delivered == all.sent && all.lost + all.unknown == 0, "{all:?}");
    let refused = bench("pubsub", "--processes 2 --publishers 1 --subscribers 4 --rate max");
    refused.assert_mistake(&["--processes: in a closed loop", "--shape pairs"]);
    bench("conn", "--processes 0").assert_mistake(&["--processes", "give 1 to 1000, or auto"]);
}

#[test]
fn retained_messages_of_all_processes_are_removed() {
    let call = by(3, "--publishers 6 --subscribers 6 --rate 60 -q 1 --retain");
    let retained = call.load().retained_by_us.unwrap();
    assert_eq!((retained.topics, retained.left_because), (6, None), "{call}");
}

#[test]
fn auto_takes_as_many_processes_as_descriptors_require() {
    let broker = ScriptedBroker::start(Script::default());
    let limited = |flags: &str| {
        let bench = binary(&format!(
            "ungraceful-bench conn {} -c 100 -z 100ms --threads 1 {flags}",
            at(broker.address())
        ));
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -n 100; exec \"$0\" \"$@\""])
            .arg(bench.get_program())
            .args(bench.get_args());
        Call::of(command)
    };
    limited("").assert_mistake(&["file descriptors", "--processes auto"]);
    let call = limited("--processes auto --slip-limit 1h").expect_exit(0);
    let load = call.load();
    assert_eq!((load.connections.accepted, load.processes.len()), (100, 5), "{call}");
    let json = limited("--processes 4 --preflight --format json");
    assert_eq!((json.exit(), json.json()["limits"][0]["needed"].as_u64()), (2, Some(25 + 16 + 64)), "{json}");
}

#[test]
fn a_worker_that_dies_is_reported_and_its_share_counted() {
    let broker = ScriptedBroker::start(Script::default());
    let run = pairs(&broker);
    let workers = workers(&run);
    assert_eq!(workers.len(), 3);
    kill_process(workers[1], Signal::KILL).unwrap();
    let call = run.end().expect_exit(3);
    let (record, load) = (call.record(), call.load());
    assert_eq!(record.completeness, Completeness::Partial, "{call}");
    let because = record.incomplete_because.unwrap();
    assert!(because.contains("died (by signal 9)") && because.contains("its 10 clients"), "{because}");
    let connections = load.connections;
    assert_eq!(
        (connections.planned, connections.accepted, connections.lost.values().sum()),
        (30, 30, 10_u64),
        "{call}"
    );
    assert_eq!(load.processes.iter().filter(|process| process.died.is_some()).count(), 1);
    call.assert_prints(&["×10: worker process", "died (by signal 9)"]);
    let died = load.processes.iter().find_map(|process| process.died.as_ref()).unwrap();
    assert!(because.contains(&format!("{} sent and {} delivered", died.sent, died.delivered)), "{because}");
    let all = load.by_qos.values().map(|counts| counts.lost).sum::<u64>();
    assert_eq!(all, 0, "what it did not see is unknown\n{call}");
    let threshold = call.verdicts("keeps_the_threshold").remove(0).evidence;
    assert!(threshold.contains("a worker process died"), "{threshold}");
    until_gone(&workers);
}

#[test]
fn an_interrupt_ends_all_workers_in_order() {
    let broker = ScriptedBroker::start(Script::default());
    let run = pairs(&broker);
    let workers = workers(&run);
    run.interrupt();
    let call = run.end().expect_exit(130);
    let connections = call.load().connections;
    assert_eq!((connections.accepted, connections.lost.len()), (30, 0), "{call}");
    assert_eq!(call.record().completeness, Completeness::Interrupted, "{call}");
    until_gone(&workers);
}

#[test]
fn workers_end_by_themselves_when_their_run_is_killed() {
    let broker = ScriptedBroker::start(Script::default());
    let mut run = pairs(&broker);
    let workers = workers(&run);
    assert_eq!(workers.len(), 3);
    run.child.kill().unwrap();
    until_gone(&workers);
    run.child.wait().unwrap();
}

#[test]
fn why_a_worker_cannot_make_its_share_is_one_clear_error() {
    let script = Script { maximum_packet_size: NonZeroU32::new(1_000), ..Script::default() };
    let call = bench_at(script, "pub", "--processes 2 -c 2 -z 1s -q 1 --size 2000").expect_exit(4);
    call.assert_reports(&["worker process 1 of 2 failed", "Maximum Packet Size", "give --size"]);
}
