//! Clients with credentials and topics of their own, on a Mosquitto that knows each of them and lets none into the topics
//! of another.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tempfile::TempDir;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::testing::{FactsByText, every};
use ungraceful_scripted_broker::{Script, ScriptedBroker};

use crate::real_brokers::RealBroker;
use crate::support::{
    Call, QUICK, Running, at, bench_at, binary, call, call_at, double_connect_at, free_port, record_in,
};

/// Devices in the file, before the clients for bystanders, witness and `$SYS`.
const DEVICES: usize = 6;
/// In every password, and in nothing else.
const SECRET: &str = "geheim";

/// A Mosquitto with a user for each device, which may use the topics below its own name, with users for the bystanders, and with one
/// that may read everything.
struct Fleet {
    broker: RealBroker,
    folder: TempDir,
    websocket_port: u16,
}

impl Fleet {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut rows: Vec<(String, String)> =
            (0..DEVICES).map(|number| (format!("Gerät {number}: ä"), format!("dev{number}"))).collect();
        rows.extend((0..7).map(|number| (format!("by {number}"), format!("by{number}"))));
        rows.push(("watch".to_owned(), "watcher".to_owned()));
        let mut csv = "client_id,username,password\n".to_owned();
        let mut users = String::new();
        for (client_id, user_name) in &rows {
            csv += &format!("{client_id},{user_name},{SECRET}-{user_name}\n");
            users += &format!("{user_name}:{SECRET}-{user_name}\n");
        }
        // One password for all of these, whose names a template makes.
        users.extend((0..DEVICES + 8).map(|number| format!("t{number}:{SECRET}\n")));
        let by = |number: usize| format!("user by{number}\ntopic readwrite by/#\n");
        let rules = "pattern readwrite devices/%u/#\npattern readwrite everybody/#\npattern read shown/#\n\
                     pattern readwrite shown/%u/#\n"
            .to_owned();
        let rules = rules + &(0..7).map(by).collect::<String>();
        let rules = rules
            + "user watcher\ntopic readwrite devices/#\ntopic readwrite shown/#\ntopic readwrite by/#\n";
        fs::write(at("clients.csv"), csv).unwrap();
        fs::write(at("users"), users).unwrap();
        let hashed = Command::new("mosquitto_passwd").arg("-U").arg(at("users")).status().unwrap();
        assert!(hashed.success());
        fs::write(at("acl"), rules).unwrap();
        let websocket_port = free_port();
        let added = format!(
            "password_file {}\nacl_file {}\nlistener {websocket_port} 127.0.0.1\nprotocol websockets\n",
            at("users").display(),
            at("acl").display()
        );
        fs::write(at("added"), added).unwrap();
        let broker = RealBroker::start_with("mosquitto", &["--add", at("added").to_str().unwrap()])
            .expect("run scripts/install-mosquitto first");
        Self { broker, folder, websocket_port }
    }

    fn file(&self) -> String {
        self.folder.path().join("clients.csv").display().to_string()
    }

    /// The file with one text replaced, as another file.
    fn with(&self, old: &str, new: &str) -> String {
        let rows = fs::read_to_string(self.file()).unwrap();
        assert!(rows.contains(old), "{rows}");
        let other = self.folder.path().join("other.csv");
        fs::write(&other, rows.replace(old, new)).unwrap();
        other.display().to_string()
    }

    fn flags(file: &str) -> String {
        format!("--clients-file {file} --topic-root devices/%u --bystander-topic by/%i")
    }

    fn call(&self, tool: &str, mode: &str, flags: &str) -> Call {
        let call =
            call_at(self.broker.address, tool, mode, &format!("{} {flags}", Self::flags(&self.file())));
        assert!(call.folder.exists(), "{call}");
        call.assert_keeps_secret(SECRET);
        call
    }
}

fn client_ids(call: &Call) -> BTreeSet<String> {
    call.attempts().into_iter().map(|attempt| attempt.client_id).collect()
}

#[test]
fn each_attempt_is_made_as_a_client_of_the_file() {
    let fleet = Fleet::start();
    let devices: BTreeSet<String> = (0..DEVICES).map(|number| format!("Gerät {number}: ä")).collect();
    let log = format!("--broker-log {}", fleet.broker.log);
    let storm =
        fleet.call("ungraceful-takeover", "storm", &format!("--variant clean --count {DEVICES} -V 5 {log}"));
    assert_eq!((storm.violated(), client_ids(&storm)), (Vec::new(), devices.clone()), "{storm}");
    let record = storm.record();
    assert!(record.bystanders.is_some_and(|bystanders| bystanders.pairs == 3), "{storm}");
    // The broker's log names clients by their own ClientIDs.
    let log = record.broker_log.unwrap();
    let causes: Vec<(String, u64)> =
        log.causes.into_iter().map(|cause| (cause.cause, cause.attempts)).collect();
    assert_eq!(causes, [("take-over".to_owned(), DEVICES as u64)], "{storm}");
    // A device comes up again when its attempt is over: there are more attempts than devices.
    let flags = format!("--variant identical --attempts 20 -R 200 --count {DEVICES} -V 5");
    let again = fleet.call("ungraceful-double-connect", "", &flags);
    assert_eq!((again.violated(), client_ids(&again)), (Vec::new(), devices), "{again}");
    assert_eq!(again.record().attempts.finished, 20, "{again}");
}

#[test]
fn wills_sessions_and_companions_keep_to_the_rights_of_their_clients() {
    let fleet = Fleet::start();
    for (tool, mode, flags) in [
        ("ungraceful-vanish", "drop", "--variant fin,rst --attempts 3"),
        ("ungraceful-vanish", "will-storm", "--variant plain"),
        ("ungraceful-vanish", "knock", "--attempts 2"),
        ("ungraceful-flood", "unacked-subscriber", "--variant k3-qos1 --attempts 1"),
    ] {
        let call = fleet.call(tool, mode, &format!("{flags} --count {DEVICES} -V 5"));
        call.assert_violates_nothing();
        let cases = call.record().cases;
        assert!(!cases.is_empty() && every(&cases, |case| case.troubles.is_empty()), "{call}");
    }
}

#[test]
fn a_load_has_the_clients_of_the_file() {
    let fleet = Fleet::start();
    let flags = "--publishers 3 --subscribers 3 --topic everybody/%i --rate 60 --duration 1s -q 1 -V 5";
    let flags = format!("{} {flags}", Fleet::flags(&fleet.file()));
    let call = bench_at(fleet.broker.address, "pubsub", &flags).expect_exit(0);
    call.assert_keeps_secret(SECRET);
    let counts = call.load().all();
    assert_eq!((counts.delivered, counts.lost), (counts.sent, 0), "{call}");
    let log = fs::read_to_string(&fleet.broker.log).unwrap();
    let named = |number: usize| log.contains(&format!("as Gerät {number}: ä "));
    assert_eq!((0..DEVICES).filter(|number| named(*number)).count(), DEVICES, "{log}");
}

#[test]
fn a_rate_search_has_the_clients_of_the_file_in_every_trial() {
    let fleet = Fleet::start();
    let flags = "--publishers 3 --subscribers 3 --topic everybody/%i --rate 60 --duration 500ms -q 1 -V 5 \
                 --bystanders 0 --find-rate 'e2e p(50)<1us'";
    let call = bench_at(fleet.broker.address, "pubsub", &format!("{} {flags}", Fleet::flags(&fleet.file())));
    call.assert_keeps_secret(SECRET);
    let search = fs::read_to_string(call.folder.join("search.json")).unwrap();
    let search: Value = serde_json::from_str(&search).unwrap();
    let trials = search["trials"].as_array().unwrap();
    // No delivery is so fast, so a rate that breaks the promise is tried again, unless the generator itself was late.
    let was_late =
        trials.iter().any(|trial| trial["why"].to_string().contains("the generator itself was late"));
    let is_judged = call.exit() == 1 && trials.len() > 1;
    assert!(is_judged || (call.exit() == 3 && was_late), "{call}\n{search}");
    let log = fs::read_to_string(&fleet.broker.log).unwrap();
    for number in 0..DEVICES {
        let connected = log.matches(&format!("as Gerät {number}: ä ")).count();
        assert!(connected >= trials.len(), "{connected} times: {log}");
    }
    for trial in trials {
        let folder = trial["run"]["record_dir"].as_str().unwrap();
        let record = record_in(Path::new(folder));
        let counts = record.load.as_ref().unwrap().all();
        assert!(counts.sent > 0 && counts.delivered == counts.sent, "{call}");
        assert!(trial["command"].as_str().unwrap().contains("--clients-file"), "{search}");
    }
}

#[test]
fn clients_of_the_file_come_over_websocket_too() {
    let fleet = Fleet::start();
    let target = format!("--url ws://127.0.0.1:{} {}", fleet.websocket_port, Fleet::flags(&fleet.file()));
    let devices: BTreeSet<String> = (0..3).map(|number| format!("Gerät {number}: ä")).collect();
    let storm = call("ungraceful-takeover", "storm", &format!("{target} --variant clean --count 3 -V 5"));
    assert_eq!((storm.violated(), client_ids(&storm)), (Vec::new(), devices), "{storm}");
    storm.assert_keeps_secret(SECRET);
    storm.assert_prints(&["over WebSocket"]);
    let flags = "--publishers 3 --subscribers 3 --topic everybody/%i --rate 60 --duration 1s -q 1 -V 5";
    let load = call("ungraceful-bench", "pubsub", &format!("{target} {flags}")).expect_exit(0);
    load.assert_keeps_secret(SECRET);
    let counts = load.load().all();
    assert!(counts.sent > 0 && (counts.delivered, counts.lost) == (counts.sent, 0), "{load}");
    let log = fs::read_to_string(&fleet.broker.log).unwrap();
    assert!(log.contains("u'dev5'"), "the last publisher has its own user: {log}");
}

#[test]
fn a_token_expires_for_the_clients_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let rows: String = (0..8).map(|number| format!("dev {number},user{number},{SECRET}\n")).collect();
    fs::write(at("clients.csv"), format!("client_id,username,password\n{rows}")).unwrap();
    fs::write(at("key"), "a key for tests\n").unwrap();
    // Long enough to connect on a busy machine.
    let flags = format!(
        "--clients-file {} --bystanders 1 --count 3 --attempts 3 -V 5 --variant one-topic --token-lifetime 5s \
         --token-key-file {}",
        at("clients.csv"),
        at("key")
    );
    let call = call_at(Script::default(), "ungraceful-expire", "token", &flags).expect_exit(0);
    call.assert_keeps_secret(SECRET);
    let devices = (0..3).map(|number| format!("dev {number}")).collect();
    assert_eq!(client_ids(&call), devices, "{call}");
    let case = call.only_case();
    assert_eq!(case.fact("came_back", "CONNACK 0x87 Not authorized"), 3, "{call}");
    assert_eq!(case.fact("with_a_new_token", "accepted"), 3, "{call}");
}

#[test]
fn what_rights_may_explain_is_not_called_lost() {
    // Each subscriber reads the topics of a publisher, which only that publisher may read.
    let fleet = Fleet::start();
    let flags = "--publishers 3 --subscribers 3 --rate 60 --duration 1s -q 1 -V 5";
    let call = bench_at(fleet.broker.address, "pubsub", &format!("{} {flags}", Fleet::flags(&fleet.file())));
    let counts = call.load().all();
    assert!(counts.sent > 0, "{call}");
    assert_eq!((counts.delivered, counts.lost, counts.unknown), (0, 0, counts.expected), "{call}");
    assert_eq!(call.exit(), 3, "{call}");
}

#[test]
fn templates_make_client_ids_user_names_and_topics() {
    let fleet = Fleet::start();
    let call = double_connect_at(
        fleet.broker.address,
        &format!(
            "--client-id 'Gerät %i !%u%%' -u t%i -P {SECRET} --topic-root shown/%u --bystander-topic everybody/%i --count 3 \
             --variant identical --attempts 8 -V 5"
        ),
    );
    let expected = (0..3).map(|number| format!("Gerät {number} !t{number}%")).collect();
    assert_eq!((call.violated(), client_ids(&call)), (Vec::new(), expected), "{call}");
    call.assert_keeps_secret(SECRET);
    let command = call.record().command.join(" ");
    assert!(command.contains("Gerät %i !%u%%"), "{command}");
}

#[test]
fn a_row_that_the_broker_refuses_ends_the_run_before_the_first_attempt() {
    let fleet = Fleet::start();
    let run = |file: &str| {
        let flags = format!("{} --count {DEVICES} --variant identical", Fleet::flags(file));
        let call = double_connect_at(fleet.broker.address, &flags).expect_exit(4);
        assert!(!call.folder.exists() && !call.to_string().contains(SECRET), "{call}");
        call
    };
    let device = run(&fleet.with(",geheim-dev3", ",falsch"));
    device.assert_reports(&[
        "user \"dev3\" with ClientID \"Gerät 3: ä\"",
        "Not authorized",
        "--clients-file",
    ]);
    let bystander = run(&fleet.with(",geheim-by4", ",falsch"));
    bystander.assert_reports(&["user \"by4\" with ClientID \"by 4\"", "--clients-file"]);
    // The witness has another row here, whose user may not read the devices' topics: no Will could be seen.
    let rights = run(&fleet.with("watch,watcher,geheim-watcher\n", "watch,t1,geheim\n"));
    rights.assert_reports(&["user \"t1\"", "cannot use the topics"]);
    // By ClientID in place of the User Name, only the witness has the right.
    let file = fleet.file();
    let flags =
        format!("--clients-file {file} --topic-root shown/%c --bystander-topic by/%i --count {DEVICES}");
    let device = double_connect_at(fleet.broker.address, &flags).expect_exit(4);
    device.assert_reports(&["user \"dev", "shown/Gerät", "cannot use the topics", "/# and by/+"]);
}

#[test]
fn a_file_with_too_few_rows_is_refused_unless_rows_may_be_used_again() {
    let fleet = Fleet::start();
    let flags = format!("{} --variant identical --attempts 20 -V 5", Fleet::flags(&fleet.file()));
    let refused = double_connect_at(fleet.broker.address, &format!("{flags} --count 7"));
    refused.assert_mistake(&["--clients-file", "14 clients", "needs 15", "--reuse-clients"]);
    let reused =
        double_connect_at(fleet.broker.address, &format!("{flags} --count 20 -R 2000 --reuse-clients"));
    assert_eq!(reused.violated(), Vec::<String>::new(), "{reused}");
    let ids = client_ids(&reused);
    let mine = |id: &String| id.starts_with("Gerät ");
    assert!(every(&ids, mine) && ids.len() > DEVICES && ids.contains("Gerät 0: ä-1"), "{ids:?}");
}

#[test]
fn mistakes_of_clients_are_told_together_and_without_their_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.jsonl");
    fs::write(
        &file,
        format!("{{\"password\":\"{SECRET}\",\"client_id\":7}}\n{SECRET}\n{{\"pasword\":\"{SECRET}\"}}\n"),
    )
    .unwrap();
    let wrong = |flags: &str| double_connect_at(SocketAddr::from(([127, 0, 0, 1], 9)), flags);
    let call = wrong(&format!(
        "--clients-file {} --client-id fixed --bystander-topic by --topic-root a/# --pw-cmd 'false {SECRET}'",
        file.display()
    ));
    for said in [
        &["--clients-file", "line 2", "no JSON object"][..],
        &["--clients-file", "line 3", "unknown column \"pasword\"", "password"],
        &["--client-id", "add %i"],
        &["--bystander-topic", "add %i"],
        &["--topic-root", "without + and #"],
        &["--pw-cmd", "false ended with"],
    ] {
        call.assert_mistake(said);
    }
    assert!(!call.to_string().contains(SECRET), "{call}");
    wrong("--reuse-clients").assert_mistake(&["--reuse-clients", "--clients-file"]);
    let missing = Path::new("no-such-file.csv");
    wrong(&format!("--clients-file {}", missing.display()))
        .assert_mistake(&["--clients-file", "no-such-file.csv"]);
    wrong("--client-id 'a+%i' --topic-root x/%c").assert_mistake(&["--topic-root", "\"x/a+0\""]);
    wrong("--pw a --pw-cmd 'echo b'").assert_mistake(&["--pw-cmd", "keep only one"]);
}

#[test]
fn a_command_prints_the_password_and_nothing_else_shows_it() {
    let fleet = Fleet::start();
    let flags = format!(
        "-u t1 --pw-cmd 'printf {SECRET}' --topic-root everybody --variant identical --attempts 2 -V 5"
    );
    let call = double_connect_at(fleet.broker.address, &flags);
    assert_eq!((call.exit(), call.violated()), (0, Vec::new()), "{call}");
    call.assert_keeps_secret(SECRET);
    let from_environment = Call::of({
        let (host, port) = (fleet.broker.address.ip(), fleet.broker.address.port());
        let mut command = binary(&format!("ungraceful-double-connect --host {host} -p {port} --print-plan"));
        command.env("UNGRACEFUL_PW_CMD", format!("printf {SECRET}")).env("UNGRACEFUL_USERNAME", "t1");
        command
    });
    assert_eq!(from_environment.exit(), 0, "{from_environment}");
    assert!(!from_environment.to_string().contains(SECRET), "{from_environment}");
}

#[test]
fn a_device_that_uses_a_client_id_of_the_run_is_named() {
    let fleet = Fleet::start();
    let stop = Arc::new(AtomicBool::new(false));
    let device = std::thread::spawn({
        let (address, stop) = (fleet.broker.address, Arc::clone(&stop));
        move || {
            while !stop.load(Ordering::Relaxed) {
                let Ok(mut stream) = TcpStream::connect(address) else { return };
                let connected = stream.write_all(&connect(4, "dev1", "dev1"));
                let _until_it_ends = connected.and_then(|()| stream.read_to_end(&mut Vec::new()));
            }
        }
    });
    let file = fleet.with("Gerät 1: ä", "dev1");
    let flags = format!("{} --variant identical --attempts 5 --count {DEVICES} -V 5", Fleet::flags(&file));
    let call = double_connect_at(fleet.broker.address, &flags);
    stop.store(true, Ordering::Relaxed);
    drop(fleet);
    device.join().unwrap();
    assert_eq!(call.exit(), 4, "{call}");
    call.assert_reports(&["another client uses this ClientID, \"dev1\""]);
}

#[test]
fn a_device_that_comes_during_the_run_excludes_the_attempts_that_it_takes_over() {
    // Mosquitto 2.0.11 closes the older connection without a reason.
    let broker = ScriptedBroker::start(Script::default());
    let flags = "--client-id dev%i --count 1 --attempts 1 --keepalive 10s --variant 0.90 --for 20s -V 5";
    let line = format!("ungraceful-vanish edge {} {} {flags}", QUICK, at(broker.address()));
    let running = Running::of(binary(&line), "fault");
    let stop = Arc::new(AtomicBool::new(false));
    let device = std::thread::spawn({
        let (address, stop) = (broker.address(), Arc::clone(&stop));
        move || {
            while !stop.load(Ordering::Relaxed) {
                let Ok(mut stream) = TcpStream::connect(address) else { return };
                let connected = stream.write_all(&connect(5, "dev0", "dev0"));
                let _until_it_ends = connected.and_then(|()| stream.read_to_end(&mut Vec::new()));
            }
        }
    });
    let call = running.end();
    stop.store(true, Ordering::Relaxed);
    drop(broker);
    device.join().unwrap();
    let case = call.only_case();
    assert_eq!((case.outcome(Outcome::NotActed), call.exit()), (1, 3), "{call}");
    assert!(every(case.troubles.keys(), |why| why.contains("another client uses this ClientID")), "{call}");
}

/// A CONNECT with Clean Start, on MQTT 3.1.1 (level 4) or 5.0 (level 5).
fn connect(level: u8, client_id: &str, user_name: &str) -> Vec<u8> {
    let mut rest = [b"\x00\x04MQTT", &[level][..], b"\xC2\x00\x3C"].concat();
    if level == 5 {
        // No properties.
        rest.push(0);
    }
    for text in [client_id, user_name, &format!("{SECRET}-{user_name}")] {
        rest.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        rest.extend(text.as_bytes());
    }
    let mut packet = vec![0x10, u8::try_from(rest.len()).unwrap()];
    packet.extend(rest);
    packet
}

/// A Mosquitto whose rules name clients by ClientID: each may use the topics below its own. All may use the bystanders' topics and read
/// Wills, and what `more` says.
fn with_rules_by_client_id(more: &str) -> (RealBroker, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (acl, added) = (folder.path().join("acl"), folder.path().join("added"));
    let rules =
        format!("topic readwrite by/#\ntopic read dev/+/+/will/#\n{more}pattern readwrite dev/%c/#\n");
    fs::write(&acl, rules).unwrap();
    fs::write(&added, format!("acl_file {}\n", acl.display())).unwrap();
    let broker = RealBroker::start_with("mosquitto", &["--add", added.to_str().unwrap()])
        .expect("run scripts/install-mosquitto first");
    (broker, folder)
}

#[test]
fn rules_by_client_id_include_a_second_client_only_where_a_fault_has_one() {
    let run = |broker: &RealBroker, tool: &str, mode: &str, flags: &str| {
        let below = "--topic-root dev/%c --bystander-topic by/%i --attempts 2 --count 2 -V 5";
        call_at(broker.address, tool, mode, &format!("{below} {flags}"))
    };
    let serves = |call: &Call| {
        call.assert_violates_nothing();
        let record = call.record();
        assert_eq!(record.attempts.finished, 2, "{call}");
        assert!(every(&record.cases, |case| case.troubles.is_empty()), "{call}");
    };
    let (broker, _folder) = with_rules_by_client_id("");
    serves(&run(&broker, "ungraceful-double-connect", "", "--variant identical"));
    // Its second client only connects.
    serves(&run(&broker, "ungraceful-vanish", "knock", "--variant closes"));
    // With no messages for the time of its absence, the fault has no second client to publish them.
    serves(&run(&broker, "ungraceful-vanish", "drop", "--variant fin --messages 0"));
    let refused = run(&broker, "ungraceful-vanish", "drop", "--variant fin").expect_exit(4);
    refused.assert_reports(&[
        "n0p\" is the ClientID of a second client, which attempts of drop have",
        "cannot use the topics of this run",
        "(%c), give it the rights of",
    ]);
    assert!(!refused.folder.exists(), "{refused}");
    let (broker, _folder) = with_rules_by_client_id("topic readwrite dev/#\n");
    serves(&run(&broker, "ungraceful-vanish", "drop", "--variant fin"));
}

#[test]
fn bystanders_without_a_common_topic_are_named_before_the_run() {
    let fleet = Fleet::start();
    let flags = format!("--clients-file {} --topic-root devices/%u --count {DEVICES} -V 5", fleet.file());
    let call = double_connect_at(fleet.broker.address, &flags).expect_exit(4);
    call.assert_reports(&["user \"by", "cannot use the topics of this run"]);
}

#[test]
fn publishers_of_a_file_remove_what_they_had_retained() {
    let fleet = Fleet::start();
    let flags =
        format!("{} --count 3 --rate 30 --duration 1s --retain -q 1 -V 5", Fleet::flags(&fleet.file()));
    let call = bench_at(fleet.broker.address, "pub", &flags).expect_exit(0);
    let removed = call.load().retained_by_us.unwrap();
    assert_eq!((removed.topics, removed.left_because), (3, None), "{call}");
    // A new subscriber is sent what is still retained, before the answer to its PINGREQ.
    let mut stream = TcpStream::connect(fleet.broker.address).unwrap();
    stream.write_all(&connect(4, "raw", "watcher")).unwrap();
    stream.write_all(b"\x82\x0E\x00\x01\x00\x09devices/#\x00\xC0\x00").unwrap();
    let mut answers = [0; 4 + 5 + 2];
    stream.read_exact(&mut answers).unwrap();
    assert_eq!(answers, *b"\x20\x02\x00\x00\x90\x03\x00\x01\x00\xD0\x00", "CONNACK, SUBACK, PINGRESP");
}
