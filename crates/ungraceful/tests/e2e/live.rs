//! Watching a run live, as other programs do: `--events` as JSON Lines, and `--metrics` over a raw socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use ungraceful_record::testing::{every, until};
use ungraceful_scripted_broker::{Script, ScriptedBroker};

use crate::support::{
    Call, QUICK, Running, at, bench, binary, call, call_at, double_connect, double_connect_at, free_port,
    tour_at,
};

/// The events of some runs, at least one line, each valid by the published schema.
fn events(text: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/events.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(every(text.lines(), |line| !line.contains(char::is_control)), "{text}");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in &events {
        let errors: Vec<String> = validator.iter_errors(event).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}\n{event}");
    }
    assert!(!events.is_empty() && text.ends_with('\n'), "{text}");
    events
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

/// The events that a call wrote into a file, checked against its record.
fn checked(call: &Call, file: &Path) -> Vec<Value> {
    let events = events(&std::fs::read_to_string(file).unwrap());
    let record = call.record();
    let (first, last) = (&events[0], &events[events.len() - 1]);
    assert_eq!((&first["event"], &first["at_us"]), (&"run_started".into(), &0.into()), "{first}");
    assert_eq!((&first["tool"], &first["seed"]), (&(&*record.tool.name).into(), &record.seed.into()));
    assert!(first["time"].as_str().unwrap().starts_with(&record.started_utc[..20]), "{first}");
    assert_eq!(last["event"], "run_ended", "{last}");
    assert_eq!(last["exit"]["code"], call.output.status.code().unwrap(), "{last}");
    assert_eq!(last["record_dir"], call.folder.display().to_string());
    assert_eq!((&last["completeness"], &last["events_dropped"]), (&"complete".into(), &0.into()));
    let verdicts = of_kind(&events, "verdict").into_iter().map(|event| {
        let mut verdict = event.clone();
        for key in ["event", "at_us", "time"] {
            verdict.as_object_mut().unwrap().remove(key);
        }
        verdict
    });
    let verdicts: Vec<Value> = verdicts.collect();
    assert_eq!(Value::from(verdicts), serde_json::to_value(&record.verdicts).unwrap());
    let phases = of_kind(&events, "phase_ended").into_iter();
    let phases = phases.map(|event| (event["phase"].clone(), event["lasted_us"].as_u64().unwrap()));
    let recorded = record
        .phases
        .iter()
        .map(|phase| (serde_json::to_value(phase.phase).unwrap(), phase.ended_us - phase.began_us));
    assert_eq!(phases.collect::<Vec<_>>(), recorded.collect::<Vec<_>>());
    events
}

#[test]
fn the_events_of_attempts_agree_with_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.ndjson");
    std::fs::write(&file, "older events, longer than the new ones\n".repeat(10_000)).unwrap();
    let flags = format!("--variant identical --attempts 40 -R 30 --events {}", file.display());
    let call = double_connect(&flags).expect_exit(0);
    call.assert_prints(&["closes_on_second_connect"]);
    let events = checked(&call, &file);
    let seconds = of_kind(&events, "second");
    let finished: Vec<u64> =
        seconds.iter().map(|second| second["attempts_finished"].as_u64().unwrap()).collect();
    assert!(
        finished.is_sorted() && finished.last().is_some_and(|last| (1..=80).contains(last)),
        "{finished:?}"
    );
    let last = seconds.last().unwrap();
    assert_eq!(last["outcomes"]["closed"], last["attempts_finished"]);
    assert!(last["broker"]["rss_bytes"].as_u64().is_some_and(|bytes| bytes > 100_000), "{last}");
    assert!(last["bystander_delivered"].as_u64().unwrap() > 0 && last["load"].is_null(), "{last}");
    assert_eq!(events[0]["plan"]["bounds"]["attempts_max"], 80);
    assert!(events[0]["plan"]["attempts"].is_null(), "one event for each attempt is too many");
}

#[test]
fn the_events_of_a_load_on_mosquitto_agree_with_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.ndjson");
    let flags = format!("--spawn mosquitto -z 4s --rate 300 --events {}", file.display());
    let call = bench("pubsub", &flags).expect_exit(0);
    let events = checked(&call, &file);
    let loads: Vec<&Value> = of_kind(&events, "second").into_iter().map(|second| &second["load"]).collect();
    let sent: Vec<u64> = loads.iter().map(|load| load["sent"].as_u64().unwrap()).collect();
    assert!(sent.is_sorted() && sent.last().is_some_and(|last| (1..=1_200).contains(last)), "{sent:?}");
    assert!(every(&loads, |load| load["connections_planned"].as_u64() > Some(0)), "{loads:?}");
    assert_eq!(events[0]["plan"]["stages"][0]["messages_per_second"], 300.0);
}

#[test]
fn events_on_standard_output_leave_the_result_to_standard_error() {
    let flags = "--variant identical --attempts 3 --events - --format json";
    let call = double_connect_at(Script::default(), flags).expect_exit(0);
    let events = events(&call.stdout());
    assert_eq!(events[events.len() - 1]["exit"]["name"], "holds");
    let begin = call.stderr().find("\n{").unwrap_or_else(|| panic!("no document\n{call}"));
    let result: Value = serde_json::from_str(&call.stderr()[begin..]).unwrap();
    assert_eq!(result["exit"]["code"], 0);
}

#[test]
fn a_reader_of_events_that_goes_away_does_not_end_the_run() {
    let broker = ScriptedBroker::start(Script::default());
    let flags = format!("{} --variant identical --attempts 3 --events -", at(broker.address()));
    let mut running = Running::begin(binary(&format!("ungraceful-double-connect {QUICK} {flags}")));
    drop(running.child.stdout.take());
    let call = running.end().expect_exit(0);
    assert_eq!(call.attempts().len(), 6);
    // The result is all there; which code it ends with is asserted above.
    call.assert_reports(&["Findings", "Exit "]);
}

#[test]
fn events_on_a_full_disk_are_reported_and_the_run_is_complete() {
    let flags = "--variant identical --attempts 3 --events /dev/full";
    let call = double_connect_at(Script::default(), flags).expect_exit(4);
    assert_eq!(call.attempts().len(), 6);
    call.assert_prints(&["closes_on_second_connect"]);
    call.assert_reports(&["--events: cannot write /dev/full", "the events are not complete"]);
}

#[test]
fn a_run_that_fails_begins_and_ends_all_the_same() {
    let closed = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let call = double_connect_at(closed, "--events -").expect_exit(4);
    let events = events(&call.stdout());
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["run_started", "run_ended"]);
    let ended = &events[1];
    assert_eq!((&ended["exit"]["code"], &ended["completeness"]), (&4.into(), &Value::Null), "{ended}");
    assert!(ended["reason"].as_str().unwrap().contains("refused"), "{ended}");
}

#[test]
fn each_run_of_a_tour_has_its_events_in_one_stream() {
    let call = tour_at(Script::default(), "--only double-connect,takeover --events -").expect_exit(0);
    let events = events(&call.stdout());
    let (started, ended) = (of_kind(&events, "run_started"), of_kind(&events, "run_ended"));
    let tools: Vec<&str> = started.iter().map(|event| event["tool"].as_str().unwrap()).collect();
    assert_eq!((tools.len(), ended.len()), (2, 2), "{tools:?}\n{call}");
    assert!(
        tools.contains(&"ungraceful-takeover") && tools.contains(&"ungraceful-double-connect"),
        "{tools:?}"
    );
}

#[test]
fn what_can_not_be_opened_is_a_mistake_before_anything_is_sent() {
    let broker = ScriptedBroker::start(Script::default());
    let folder = tempfile::tempdir().unwrap();
    let rejected =
        |flags: &str, words: &[&str]| double_connect_at(broker.address(), flags).assert_mistake(words);
    let none = folder.path().join("none").join("events");
    rejected(
        &format!("--count 0 --events {}", none.display()),
        &["--count", "--events: cannot write", "name a file in a folder that exists"],
    );
    let same = folder.path().join("same");
    rejected(&format!("--events {0} --junit {0}", same.display()), &["--events:", "is the file of --junit"]);
    assert!(!same.exists());
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let kept = folder.path().join("kept");
    std::fs::write(&kept, "events of an earlier run").unwrap();
    rejected(
        &format!("--metrics {port} --events {}", kept.display()),
        &["--metrics: cannot listen on 127.0.0.1:", "give a free port"],
    );
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "events of an earlier run");
    rejected("--metrics everywhere", &["--metrics: invalid address", "such as 9464"]);
    let scenario = folder.path().join("mine.toml");
    std::fs::write(&scenario, "id = \"mine\"\nabout = \"x\"\n[[step]]\nconnect = {}\n").unwrap();
    let flags = format!("{0} --events {0}", scenario.display());
    call_at(broker.address(), "ungraceful-replay", "", &flags)
        .assert_mistake(&["the events would replace it"]);
    assert_eq!(broker.log().connections(), 0);
}

#[test]
fn a_plan_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let flags = format!("--print-plan --metrics {port} --events {}", file.display());
    let call = call("ungraceful-double-connect", "", &flags).expect_exit(0);
    assert!(!file.exists(), "{call}");
    let call = double_connect("--print-plan --events -").expect_exit(0);
    call.assert_prints(&["nothing is sent"]);
}

/// The response to one request; absent while nobody listens.
fn get(port: u16, path: &str) -> Option<(String, String)> {
    let mut client = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(client, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
    let mut response = String::new();
    client.read_to_string(&mut response).ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

/// The sum of the samples of this name.
fn value(text: &str, name: &str) -> Option<f64> {
    let samples = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    let values: Vec<f64> = samples.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

#[test]
fn metrics_can_be_scraped_while_the_run_lasts() {
    let port = free_port();
    let flags = format!("--variant identical --duration 1m -R 50 --metrics {port}");
    let mut running = Running::double_connect(&flags);
    let mut last = String::new();
    until("the metrics have attempts that ended", || {
        assert_eq!(running.child.try_wait().unwrap(), None, "the run ended by itself");
        let Some((head, body)) = get(port, "/metrics") else { return false };
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("Content-Type: application/openmetrics-text; version=1.0.0"), "{head}");
        assert!(body.ends_with("# EOF\n"), "{body}");
        last = body;
        value(&last, "ungraceful_attempts_finished_total") > Some(0.0)
            && value(&last, "ungraceful_reaction_time_seconds") > Some(0.0)
    });
    assert_eq!(value(&last, "ungraceful_phase"), Some(1.0), "one phase at a time\n{last}");
    assert!(
        last.contains("ungraceful_phase{tool=\"ungraceful-double-connect\",phase=\"fault\"} 1\n"),
        "{last}"
    );
    let not_there = get(port, "/").unwrap();
    assert!(not_there.0.starts_with("HTTP/1.1 404"), "{not_there:?}");
    running.interrupt();
    let call = running.end().expect_exit(130);
    #[expect(clippy::cast_precision_loss, reason = "some hundred attempts")]
    let finished = call.record().attempts.finished as f64;
    assert!(value(&last, "ungraceful_attempts_finished_total") <= Some(finished), "{finished}\n{last}");
    assert_eq!(get(port, "/metrics"), None, "the port is closed");
    assert!(!call.stdout().contains("--metrics"), "a command that reproduces needs no metrics\n{call}");
}

#[test]
fn a_silent_scraper_does_not_hold_up_the_end_of_a_run() {
    let port = free_port();
    let flags = format!("--variant identical --attempts 3 --metrics {port}");
    let mut command = binary(&format!("ungraceful-double-connect {QUICK} {flags}"));
    command.stdin(Stdio::null());
    let running = Running::of(command, "baseline");
    let _silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
    running.end().expect_exit(0);
}
