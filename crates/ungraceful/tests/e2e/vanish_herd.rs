//! Herds: every client is counted, the numbers match the broker's, and a planned restart is no violation.

use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{Completeness, MilestoneRecord};
use ungraceful_record::testing::{FactsByText, until};
use ungraceful_record::verdict::Conclusion::{Holds, Violated};
use ungraceful_scripted_broker::{Readmission, Script, Sessions};

use crate::support::{Call, call, call_at, free_port};

const TOOL: &str = "ungraceful-vanish";
const LETS_IN: &str = "lets_everybody_in_again";
const RESUMES: &str = "resumes_the_session";

/// A herd before a broker with this script.
fn herd(script: Script, arguments: &str) -> Call {
    call_at(script, TOOL, "herd", arguments)
}

fn back(call: &Call, variant: &str, version: &str) -> MilestoneRecord {
    call.case(variant, version).milestones["back"]
}

#[test]
fn each_profile_is_a_wave_whose_clients_are_lost_at_once() {
    let arguments = "-c 60 --backoff none,fixed:200ms -V 3.1.1,5";
    let call = call_at(Script::default(), TOOL, "herd", arguments).expect_exit(0);
    assert!(call.differing().is_empty(), "{call}");
    let record = call.record();
    assert_eq!((record.cases.len(), record.waves.len()), (4, 4));
    let mut attempts = call.attempts();
    attempts.sort_by_key(|attempt| attempt.attempt);
    assert_eq!(attempts.len(), 240);
    let mut ended = 0;
    for (wave, attempts) in record.waves.iter().zip(attempts.chunks(60)) {
        assert!(wave.began_us >= ended, "when nothing is left of the one before");
        ended = wave.ended_us.unwrap();
        assert!(wave.outage.is_none() && wave.bystander_messages_due > 0);
        for attempt in attempts {
            assert_eq!((&attempt.case, attempt.due_us), (&wave.case, wave.began_us));
            assert!(attempt.connack_us.unwrap() < wave.began_us, "gathered before");
            let lost_us = attempt.provoked_us.unwrap();
            assert!((wave.began_us..ended).contains(&lost_us), "lost in it");
        }
    }
    for case in &record.cases {
        assert_eq!((case.outcome(Outcome::Tolerated), case.fact("back", "yes")), (60, 60));
        assert_eq!(case.fact("session_present", "yes"), 60);
        let tries = case.measures["tries"];
        assert_eq!((tries.count, tries.sum), (60, 60), "each at its first try");
        let back = case.milestones["back"];
        assert_eq!((back.of, back.reached, back.all_us), (60, 60, back.last_us));
        assert!(back.half_us <= back.percent_95_us && back.percent_95_us <= back.all_us);
        if case.case.variant == "fixed:200ms" {
            assert!(back.half_us >= Some(180_000), "no client came before its wait: {back:?}");
        }
    }
    call.assert_prints(&["back 50 %", "not back", "tries each"]);
    // The first herd is there in the baseline.
    let open = call.timeline("connections_open");
    assert!(open.iter().any(|open| open == "60"), "{open:?}");
}

#[test]
fn a_busy_broker_shows_in_tries_and_times() {
    let script = Script { readmission: "after-1s".parse().unwrap(), ..Script::default() };
    let call = herd(script, "-c 60 --backoff fixed:300ms -V 5").expect_exit(0);
    let case = call.only_case();
    let (tries, refused) = (case.measures["tries"], case.measures["tries_refused_0x88"]);
    assert_eq!(tries.sum, refused.sum + 60, "{call}");
    assert!(tries.min >= Some(2) && tries.max <= Some(5), "one each 300 ms: {tries:?}");
    let back = back(&call, "fixed:300ms", "5.0");
    assert!(back.reached == 60 && back.half_us >= Some(900_000), "{back:?}");
}

#[test]
fn a_limit_of_clients_per_second_sets_the_pace_of_the_herd() {
    let script =
        Script { readmission: Readmission::AtMostPerSecond(20.try_into().unwrap()), ..Script::default() };
    let call = herd(script, "-c 60 --backoff fixed:100ms -V 5").expect_exit(0);
    let back = back(&call, "fixed:100ms", "5.0");
    assert_eq!((back.of, back.reached), (60, 60));
    // Twenty at once, twenty a second later, and twenty another second later.
    assert!(back.half_us >= Some(900_000) && back.percent_95_us >= Some(1_800_000), "{back:?}");
    let case = call.only_case();
    assert_eq!(case.measures["tries"].sum, case.measures["tries_refused_0x9F"].sum + 60);
}

#[test]
fn clients_that_are_never_accepted_again_are_counted_and_noted() {
    let script = Script { readmission: Readmission::NeverEvery(10.try_into().unwrap()), ..Script::default() };
    let call = herd(script, "-c 60 --backoff fixed:200ms -V 5 --back-within 3s");
    assert_eq!(call.exit(), 0, "no statement is about it: {call}");
    assert_eq!(call.differing(), [LETS_IN]);
    let case = call.only_case();
    assert_eq!((case.outcome(Outcome::Tolerated), case.outcome(Outcome::NoReaction)), (54, 6));
    assert_eq!((case.fact("back", "yes"), case.fact("back", "CONNACK 0x97 Quota exceeded")), (54, 6));
    let back = back(&call, "fixed:200ms", "5.0");
    assert_eq!((back.of, back.reached, back.all_us), (60, 54, None));
    assert!(back.half_us.is_some() && back.percent_95_us.is_none(), "57 would be 95 %: {back:?}");
    let refused = case.measures["tries_refused_0x97"];
    assert_eq!(refused.count, 6, "each of those alone");
    assert!(refused.min >= Some(2), "and went on trying: {refused:?}");
    assert_eq!(case.measures["tries"].sum, refused.sum + 54);
    call.assert_prints(&["never"]);
}

#[test]
fn lost_sessions_are_violated_after_a_reset_and_noted_after_a_restart() {
    let script = Script { sessions: Sessions::Forget, ..Script::default() };
    let call = herd(script, "-c 10 --backoff none -V 3.1.1,5");
    call.assert_violates(&[RESUMES]);
    call.assert_concludes(RESUMES, "none", Violated);
    let call = self::call(TOOL, "herd", "-c 10 --backoff fixed:100ms --loss kill");
    call.assert_violates_nothing();
    assert_eq!(call.differing(), [RESUMES]);
}

#[test]
fn mqtt5_3_2_2_3_denied_sessions_of_a_herd_violate_session_present() {
    let script = Script { sessions: Sessions::LieAbsent, ..Script::default() };
    let call = herd(script, "-c 10 --backoff none -V 3.1.1,5");
    let check = "reports_session_present_correctly";
    call.assert_violates(&[check]);
    call.assert_concludes(check, "none", Violated);
}

/// A restart of a broker that the run started: every client is counted, and bystanders return.
fn assert_restarted(call: &Call, clients: u64, waves: usize) {
    let record = call.record();
    assert_eq!(record.completeness, Completeness::Complete, "{call}");
    assert_eq!(call.violated(), Vec::<String>::new(), "a planned restart is no violation: {call}");
    assert_eq!(record.waves.len(), waves);
    for (wave, case) in record.waves.iter().zip(&record.cases) {
        let outage = wave.outage.as_ref().expect("each begins with an outage");
        let ended_us = outage.ended_us.expect("and the broker is back");
        assert!(wave.began_us <= outage.began_us && outage.began_us < ended_us);
        assert_eq!(case.facts["back"].values().sum::<u64>(), clients, "every client is counted");
        assert_eq!(case.fact("back", "yes"), clients, "{call}");
        let back = case.milestones["back"];
        assert_eq!((back.of, back.reached), (clients, clients));
    }
    let bystanders = record.bystanders.unwrap();
    let planned = bystanders.outages.expect("outages were planned");
    assert_eq!((planned.outages, planned.connections_lost), (waves as u64, 6 * waves as u64));
    assert_eq!(planned.came_back, planned.connections_lost, "{call}");
    assert!(bystanders.connections_lost.is_empty(), "{:?}", bystanders.connections_lost);
    assert_eq!(call.verdicts("bystanders_stay_connected")[0].conclusion, Holds);
    call.assert_prints(&["planned outage"]);
}

#[test]
fn the_embedded_broker_is_restarted_and_the_herd_returns() {
    for loss in ["kill", "stop"] {
        let arguments = format!("-c 60 --backoff fixed:100ms,full-jitter:100ms..1s --loss {loss}");
        let call = call(TOOL, "herd", &arguments);
        assert_restarted(&call, 60, 2);
        let record = call.record();
        assert!(record.broker.exit.is_none(), "the one that is there at the end has not ended");
        let resources = record.broker_resources.unwrap();
        assert!(resources.rss_bytes.max.is_some() && resources.rss_bytes.change.is_none(), "{resources:?}");
    }
}

#[test]
fn mosquitto_is_restarted_with_hundreds_of_clients() {
    let call = call(TOOL, "herd", "--spawn mosquitto -c 400 --backoff fixed:200ms,libmosquitto --loss stop");
    assert_restarted(&call, 400, 2);
    let last = call.record().waves.last().unwrap().outage.clone().unwrap().ended_us.unwrap();
    let log = call.broker_log();
    let goes_on = log.iter().any(|line| line.at_us > last && line.line.contains("New client connected"));
    assert!(goes_on, "{:?}", call.record().broker_log);
}

#[test]
fn a_restart_command_restarts_and_its_failure_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let port = free_port();
    let configuration =
        format!("listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nuser root\n");
    std::fs::write(path("conf"), configuration).unwrap();
    let start = format!(
        "PATH=$PATH:/usr/sbin; mosquitto -c {} >/dev/null 2>&1 & echo $! > {}",
        path("conf"),
        path("pid")
    );
    let restart = format!("kill -9 $(cat {}); {start}", path("pid"));
    let sh = |command: &str| std::process::Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(sh(&start).success());
    let address: std::net::SocketAddr = ([127, 0, 0, 1], port).into();
    until("Mosquitto accepts connections", || std::net::TcpStream::connect(address).is_ok());
    let restarted_by = |command: &str| {
        let command = shlex::try_quote(command).unwrap();
        call_at(address, TOOL, "herd", &format!("-c 50 --backoff fixed:100ms --restart-cmd {command}"))
    };
    let call = restarted_by(&restart);
    // What it says is told without the words of the command itself: `u%st` prints `unit`.
    let failing = restarted_by("printf 'no u%st\\n' ni >&2; exit 5");
    sh(&format!("kill -9 $(cat {})", path("pid")));
    assert_restarted(&call, 50, 1);
    let failing = failing.expect_exit(3);
    assert_eq!(failing.record().completeness, Completeness::BrokerDown);
    failing.assert_prints(&["the planned restart failed", "no unit"]);
}

#[test]
fn mistakes_in_restarts_and_profiles_are_reported_together() {
    let refused = |flags: &str, words: &[&str]| {
        call(TOOL, "herd", &format!("--print-plan {flags}")).assert_mistake(words);
    };
    refused("--restart-cmd true", &["--restart-cmd", "this run starts and restarts its broker itself"]);
    refused("--spawn mosquitto --restart-cmd true", &["--loss stop or --loss kill"]);
    refused("--host 127.0.0.1 --loss kill", &["--loss", "give a command that does with --restart-cmd"]);
    refused("--host 127.0.0.1 --restart-cmd ' '", &["--restart-cmd: is empty"]);
    refused("--host 127.0.0.1 --restart-cmd true --loss kill", &["keep one of them"]);
    refused("--loss kill --back-within 30s", &["--back-within", "--restart-within (30 s)"]);
    refused(
        "--backoff linear,fixed:5 --loss gone --connrate 5 --attempts 3 -x 0",
        &[
            "paho-python",
            "fixed:5",
            "reset, stop, kill",
            "--connrate: all clients",
            "--attempts",
            "--session-expiry-interval: 0 s is not in range",
        ],
    );
}

#[test]
fn the_plan_has_every_profile_and_the_total_time() {
    let call = call(TOOL, "herd", "--print-plan -c 7").expect_exit(0);
    let text = call.stdout();
    for profile in ["none", "fixed:1s", "exponential:1s..2m", "paho-python", "esp-mqtt", "aws-iot"] {
        assert!(text.contains(&format!("herd {profile} MQTT 5.0")), "{text}");
    }
    assert!(text.contains("in waves") && text.contains("attempts               77"), "{text}");
}
