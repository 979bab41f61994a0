//! Invalid usage, and ports without a usable broker: one clear sentence, the right exit code, and never a hang or a verdict.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use ungraceful_record::testing::every;
use ungraceful_scripted_broker::{Greeting, Script, ScriptedBroker};

use crate::support::{Call, at, bench, binary, call, call_at, double_connect, double_connect_at, free_port};

fn assert_rejected(call: &Call, exit: i32, words: &[&str]) {
    assert_eq!(call.exit(), exit, "{call}");
    call.assert_reports(words);
    assert!(call.stdout().is_empty(), "no result\n{call}");
    assert!(!call.folder.join("run.json").exists(), "no record");
}

#[test]
fn all_mistakes_are_reported_together_and_nothing_is_sent() {
    let broker = ScriptedBroker::start(Script::default());
    let call = double_connect_at(
        broker.address(),
        "--count 0 -R -5 --baseline soon --attempts none --variant sideways -V 6 --format poem \
                --bystander-qos 3 --seed x --client-id-prefix far/too/long",
    );
    let flags = "--count --connrate --baseline --attempts --variant --protocol-version --format --bystander-qos --seed";
    assert_rejected(&call, 2, &flags.split(' ').collect::<Vec<_>>());
    assert_rejected(&call, 2, &["--client-id-prefix", "nothing was sent"]);
    assert_eq!(broker.log().connections(), 0);
}

#[test]
fn an_unwritable_folder_is_reported_before_the_first_packet() {
    let broker = ScriptedBroker::start(Script::default());
    let file = tempfile::NamedTempFile::new().unwrap();
    let call = format!("ungraceful-double-connect {} --output", at(broker.address()));
    let output = binary(&call).arg(file.path().join("record")).output().unwrap();
    Call::without_record(output).assert_mistake(&["--output"]);
    assert_eq!(broker.log().connections(), 0);
}

#[test]
fn a_public_host_needs_confirmation_and_test_brokers_are_rejected() {
    // With --print-plan, so that no test contacts a public host.
    let plan = |arguments: &str| double_connect(&format!("--print-plan {arguments}"));
    let call = plan("--host 192.0.2.1 --count 0");
    assert_rejected(&call, 2, &["--i-own-this-broker 192.0.2.1", "--count"]);
    assert_eq!(plan("--host 192.0.2.1 --i-own-this-broker 192.0.2.1").exit(), 0);
    assert_rejected(&plan("--host 192.0.2.1 --i-own-this-broker 192.0.2.2"), 2, &["repeat the host exactly"]);
    let word = "--host test.mosquitto.org --i-own-this-broker test.mosquitto.org";
    assert_rejected(&plan(word), 2, &["public test broker"]);
}

#[test]
fn conflicting_or_unsupported_brokers_are_usage_errors() {
    assert_rejected(&double_connect("--host 127.0.0.1 --spawn mosquitto"), 2, &["--host and --spawn"]);
    assert_rejected(&double_connect("--port 1883"), 2, &["--port", "--host"]);
    assert_rejected(&double_connect("--url http://127.0.0.1"), 2, &["--url", "http:// is not MQTT"]);
    assert_rejected(&double_connect("--spawn hivemq"), 2, &["--spawn", "mosquitto"]);
}

#[test]
fn an_unwatchable_process_or_log_is_reported_before_sending() {
    let broker = ScriptedBroker::start(Script::default());
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    let pid = gone.id().to_string();
    gone.wait().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let watch = |log: &str| {
        let flags = format!("--broker-pid {pid} --broker-log {log} --broker-log-max -1");
        double_connect_at(broker.address(), &flags)
    };
    let flags = ["--broker-pid: there is no process", "--broker-log-max", "leave the flag out"];
    assert_rejected(&watch("/no/such/file.log"), 2, &flags);
    assert_rejected(&watch("/no/such/file.log"), 2, &["--broker-log: cannot follow /no/such/file.log"]);
    assert_rejected(&watch(folder), 2, &["--broker-log: cannot follow", "it is not a regular file"]);
    assert_eq!(broker.log().connections(), 0);
}

#[test]
fn more_clients_than_descriptors_are_refused_with_the_cure() {
    let storm = call("ungraceful-takeover", "storm", "--count 1000000");
    assert_rejected(&storm, 2, &["file descriptors", "lower --count"]);
    // There are no more clients than attempts, so these fit.
    let few = double_connect("--count 1000000 --attempts 1 --variant identical --host 127.0.0.1 -p 1");
    assert_rejected(&few, 4, &["127.0.0.1"]);
}

#[test]
fn a_storm_needs_a_client_per_case_and_takes_no_attempts() {
    let storm = |flags: &str| call("ungraceful-takeover", "storm", &format!("--print-plan {flags}"));
    assert_rejected(&storm("--count 12"), 2, &["--count: 12 is too few", "give at least 13"]);
    assert_eq!(storm("--count 13").exit(), 0);
    assert_eq!(storm("--count 1 --variant clean -V 5").exit(), 0);
    let cure = "each client acts once; give --count instead";
    let expected = [&format!("--attempts: {cure}")[..], &format!("--duration: {cure}")];
    assert_rejected(&storm("--attempts 100 --duration 5s"), 2, &expected);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "attempts = 100\n").unwrap();
    assert_rejected(&storm(&format!("--config {}", file.path().display())), 2, &expected[..1]);
}

#[test]
fn an_unknown_or_misplaced_mode_lists_the_modes() {
    for arguments in ["nope", "--attempts 3 quota-leak"] {
        let call = Call::without_record(binary(&format!("ungraceful-flood {arguments}")).output().unwrap());
        call.assert_mistake(&["quota-leak, ", "the mode comes first"]);
    }
}

#[test]
fn an_unknown_host_and_a_refused_port_are_reported_by_name() {
    let call = double_connect("--host no-such-host.invalid");
    assert_rejected(&call, 4, &["no-such-host.invalid", "resolve"]);
    let closed = SocketAddr::from(([127, 0, 0, 1], free_port()));
    assert_rejected(&double_connect_at(closed, ""), 4, &["refused", &closed.port().to_string()]);
}

/// A listener that handles each connection with this function.
fn listener(treat: impl Fn(std::net::TcpStream) + Send + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let treat = treat.clone();
            std::thread::spawn(move || treat(stream));
        }
    });
    address
}

#[test]
fn a_port_that_speaks_http_is_recognised() {
    let answers_anything = listener(|mut stream| {
        let mut bytes = [0; 64];
        let _ = stream.read(&mut bytes);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    assert_rejected(&double_connect_at(answers_anything, "--connect-timeout 2s"), 4, &["HTTP"]);
    let waits_for_a_line = listener(|mut stream| {
        let mut seen = Vec::new();
        let mut byte = [0];
        while stream.read_exact(&mut byte).is_ok() {
            seen.push(byte[0]);
            if seen.ends_with(b"\r\n\r\n") {
                let _ = stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n");
                return;
            }
        }
    });
    let call = double_connect_at(waits_for_a_line, "--connect-timeout 1s");
    assert_rejected(&call, 4, &["speaks HTTP and not MQTT", "404"]);
}

#[test]
fn a_broker_that_answers_nothing_is_reported_after_the_timeout() {
    let script = Script { greeting: Greeting::Silent, ..Script::default() };
    let call = double_connect_at(script, "--connect-timeout 500ms");
    assert_rejected(&call, 4, &["does not answer a CONNECT"]);
}

#[test]
fn a_broker_that_closes_every_connect_is_reported() {
    let script = Script { greeting: Greeting::Fin, ..Script::default() };
    assert_rejected(&double_connect_at(script, ""), 4, &["before any CONNACK", "MQTT 3.1.1", "MQTT 5.0"]);
}

#[test]
fn a_wrong_password_is_reported_with_its_code_and_never_shown() {
    for (greeting, version, code) in [
        ("refuse-0x86-0x04", "5", "0x86 Bad User Name or Password"),
        ("refuse-0x87-0x05", "5", "0x87 Not authorized"),
        ("refuse-0x86-0x04", "3.1.1", "0x04"),
        ("refuse-0x87-0x05", "3.1.1", "0x05"),
    ] {
        let script = Script { greeting: greeting.parse().unwrap(), ..Script::default() };
        let call = double_connect_at(script, &format!("-u me -P hunter2 -V {version}"));
        assert_rejected(&call, 4, &[code, "--username"]);
        assert!(!call.to_string().contains("hunter2"), "{call}");
    }
}

#[test]
fn an_unsupported_version_is_skipped_unless_requested() {
    let script = Script { greeting: "only-3.1.1".parse().unwrap(), ..Script::default() };
    let call = double_connect_at(script, "--attempts 1 --variant identical").expect_exit(0);
    let record = call.record();
    assert!(every(&record.cases, |case| case.case.version == "3.1.1"));
    assert!(record.broker.versions.iter().any(|version| version.version == "5.0" && !version.spoken));
    assert_rejected(&double_connect_at(script, "-V 5"), 4, &["does not support", "5.0"]);
}

#[test]
fn a_broker_that_answers_no_5_0_connect_is_run_against_in_3_1_1() {
    let script = Script { greeting: "silent-to-5.0".parse().unwrap(), ..Script::default() };
    let short = "--connect-timeout 1s --attempts 1 --variant identical";
    let call = double_connect_at(script, short).expect_exit(0);
    let record = call.record();
    assert!(every(&record.cases, |case| case.case.version == "3.1.1"));
    let v5 = record.broker.versions.iter().find(|version| version.version == "5.0").unwrap();
    assert!(!v5.spoken && v5.why_not.as_ref().unwrap().contains("does not answer a CONNECT of this version"));
    let call = double_connect_at(script, "--connect-timeout 1s -V 5");
    assert_rejected(&call, 4, &["does not answer a CONNECT"]);
}

#[test]
fn secrets_are_in_no_file_of_the_record() {
    let broker = ScriptedBroker::start(Script::default());
    let parent = tempfile::tempdir().unwrap();
    let password_file = parent.path().join("password");
    std::fs::write(&password_file, "hunter2\n").unwrap();
    let by_url = format!("--url mqtt://me:hunter2@{}", broker.address());
    let by_file = format!("{} --username=me --pw-file={}", at(broker.address()), password_file.display());
    for way in [by_url, by_file] {
        let quick = "--attempts 1 --variant identical --bystanders 0";
        let call = double_connect(&format!("{way} {quick}")).expect_exit(0);
        call.assert_keeps_secret("hunter2");
    }
}

#[test]
fn flags_override_the_environment_the_file_and_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("run.toml");
    let text = "attempts = 7\ncount = 8\nconnrate = 9\nvariant = [\"identical\", \"delayed\"]\n";
    std::fs::write(&config, text).unwrap();
    let output = binary("ungraceful-double-connect --print-plan --format json --count 3 --config")
        .arg(&config)
        .env("UNGRACEFUL_COUNT", "4")
        .env("UNGRACEFUL_CONNRATE", "5")
        .output()
        .unwrap();
    let plan = Call::without_record(output).expect_exit(0).json();
    assert_eq!(plan["bounds"]["misbehaving_clients_max"], 3, "the command line");
    assert_eq!(plan["bounds"]["attempts_per_second_max"], 5.0, "the environment");
    let attempts = plan["bounds"]["attempts_max"].as_u64();
    assert_eq!(attempts, Some(7 * 2 * 2), "the file: attempts of two variants in two versions");
    let few = double_connect("--print-plan --format json --count 50 --attempts 2 --variant identical");
    assert_eq!(few.json()["bounds"]["misbehaving_clients_max"], 4, "no more than there are attempts");
}

#[test]
fn an_invalid_value_in_a_file_is_the_only_mistake_reported() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("run.toml");
    for (line, expected) in [
        ("cuont = 8", "unknown flag \"cuont\""),
        ("count = [100, 2]", "count must be a single text or number, not a list"),
        ("variant = []", "variant must be text, a number, or a non-empty list of them"),
        ("quiet = \"no\"", "quiet must be true or false, without quotes"),
        ("count = 5.5", "--count: \"5.5\""),
    ] {
        std::fs::write(&config, format!("{line}\n")).unwrap();
        let output = binary("ungraceful-takeover --print-plan --config").arg(&config).output().unwrap();
        let call = Call::without_record(output);
        call.assert_mistake(&[expected]);
        assert_eq!(call.stderr().lines().count(), 2, "one mistake, and \"nothing was sent\": {call}");
    }
}

#[test]
fn an_endless_file_is_rejected_for_every_flag() {
    let broker = ScriptedBroker::start(Script::default());
    let (target, zero) = (at(broker.address()), "/dev/zero");
    for (tool, flag, beside) in [
        ("ungraceful-double-connect", "--pw-file", "-u me"),
        ("ungraceful-double-connect", "--config", ""),
        ("ungraceful-bench pub", "--file", ""),
        ("ungraceful-expire kick", "--admin-pw-file", "--admin-username me"),
        ("ungraceful-expire token", "--token-key-file", ""),
    ] {
        let output = binary(&format!("{tool} {target} {beside} {flag} {zero}")).output().unwrap();
        let why = [flag, zero, "longer than the", "is it the right file?"];
        Call::without_record(output).assert_mistake(&why);
    }
    assert_eq!(broker.log().connections(), 0);
}

#[test]
fn a_misplaced_password_is_never_repeated() {
    let url = "mqtt://me:hunter2@127.0.0.1:1";
    let call = |name: &str, arguments: &str, variable: Option<(&str, &str)>| {
        let output = binary(&format!("{name} {arguments}")).envs(variable).output().unwrap();
        let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
        assert!(!said.contains("hunter2"), "{name} {arguments:?}: {said}");
        (output.status.code(), said)
    };
    for (arguments, hint) in [
        ("--host me:hunter2@127.0.0.1", "--pw-file"),
        (&format!("-h {url}"), "--url"),
        ("-hme:hunter2@127.0.0.1", "--pw-file"),
        (url, "give the broker with a flag: --url"),
        (&format!("--port {url}"), "--port"),
        ("--attempts 'me:hunter2 \"x\"@h'", "--attempts"),
        ("--url mqtt://me:hunter2@127.0.0.1:99999", "--url"),
        (&format!("--variant {url}"), "--variant"),
    ] {
        for name in ["ungraceful-double-connect", "ungraceful"] {
            // The front does not have the flags of attempts.
            let is_of_attempts = ["--attempts", "--variant"].iter().any(|flag| arguments.starts_with(flag));
            let is_known = name != "ungraceful" || !is_of_attempts;
            let (exit, said) = call(name, arguments, None);
            assert!(exit == Some(2) && (said.contains(hint) || !is_known), "{name} {arguments:?}: {said}");
        }
    }
    let (exit, _) = call("ungraceful explain", url, None);
    assert_eq!(exit, Some(4));
    for (variable, value) in [("UNGRACEFUL_HOST", "me:hunter2@h"), ("UNGRACEFUL_PORT", url)] {
        let (exit, said) = call("ungraceful-double-connect", "", Some((variable, value)));
        assert_eq!(exit, Some(2), "{said}");
    }
}

#[test]
fn a_help_text_shows_no_value_of_a_variable() {
    for (name, arguments) in [
        ("ungraceful-double-connect", ""),
        ("ungraceful-bench", "pubsub"),
        ("ungraceful-expire", "token"),
        ("ungraceful-vanish", "herd"),
        ("ungraceful-explain", ""),
        ("ungraceful", ""),
    ] {
        let help = |flag: &str, variables: &[(String, String)]| {
            let output =
                binary(&format!("{name} {arguments} {flag}")).envs(variables.iter().cloned()).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let all = help("--help-all", &[]);
        let flags = all.split_whitespace().filter_map(|word| word.strip_prefix("--"));
        let names: Vec<String> = flags.map(ungraceful_flags::variable_of).collect();
        assert!(names.iter().any(|name| name == "UNGRACEFUL_FORMAT"), "{names:?}");
        let variables: Vec<(String, String)> =
            names.into_iter().map(|name| (name, "hunter2".to_owned())).collect();
        for flag in ["--help", "--help-all"] {
            assert!(!help(flag, &variables).contains("hunter2"), "{name} {flag}");
        }
    }
}

#[test]
fn an_ipv6_address_may_have_brackets_and_host_takes_no_url() {
    for host in ["[::1]", "[::1]:1884", "localhost:1884"] {
        double_connect(&format!("--print-plan --host {host}")).expect_exit(0);
    }
    for (host, hint) in
        [("localhost:0", "no port from 1 to 65535"), ("mqtt://127.0.0.1:1883", "--url mqtt://127.0.0.1:1883")]
    {
        assert_rejected(&double_connect(&format!("--host {host}")), 2, &["--host", hint]);
    }
}

#[test]
fn seconds_may_be_a_plain_number_or_a_time_with_its_unit() {
    for (tool, mode, flags) in [
        ("ungraceful-vanish", "silence", "-k"),
        ("ungraceful-vanish", "edge", "-k"),
        ("ungraceful-vanish", "drop", "-x --short-expiry --will-delay"),
        ("ungraceful-vanish", "will-storm", "--will-delay"),
        ("ungraceful-vanish", "herd", "-x"),
        ("ungraceful-takeover", "storm", "-x --will-delay"),
        ("ungraceful-takeover", "duel", "-x"),
    ] {
        for flag in flags.split_whitespace() {
            for value in ["7", "7s"] {
                let planned = call(tool, mode, &format!("--print-plan {flag} {value}"));
                assert_eq!(planned.exit(), 0, "{mode} {flag} {value}: {planned}");
            }
            for value in ["1500ms", "soon", "0"] {
                let refused = call(tool, mode, &format!("--print-plan {flag} {value}"));
                assert_rejected(&refused, 2, &["nothing was sent"]);
            }
        }
    }
    for flag in ["-k", "--message-expiry-interval"] {
        for (value, exit) in [("60", 0), ("60s", 0), ("1m", 0), ("0", 0), ("1500ms", 2)] {
            let planned = bench("pub", &format!("--print-plan {flag} {value}"));
            assert_eq!(planned.exit(), exit, "{flag} {value}: {planned}");
        }
    }
    assert_rejected(&bench("pub", "-k 65536"), 2, &["--keepalive", "0 to 65535 seconds"]);
    // Every other time has a unit.
    assert_rejected(&double_connect("--baseline 60"), 2, &["--baseline", "unit"]);
}

#[test]
fn all_is_a_variant_wherever_there_are_variants() {
    let modes = ungraceful::tools::ALL.iter().flat_map(|tool| tool.modes().map(move |mode| (tool, mode)));
    let mut tried = 0;
    for (tool, mode) in modes.filter(|(tool, mode)| tool.chooses_variants(*mode)) {
        let named = if tool.has_several_modes() { mode.name() } else { "" };
        let needed = match mode.name() {
            "token" => "--token-cmd print-token",
            "replay" => concat!(env!("CARGO_MANIFEST_DIR"), "/../faults/scenarios/packet/publish-qos3.toml"),
            _ => "",
        };
        let plan = |variant: &str| {
            let target = "--print-plan --seed 1 --host 127.0.0.1";
            call(tool.name, named, &format!("{target} {needed} {variant}"))
        };
        let (all, default, none) = (plan("--variant all"), plan(""), plan("--variant al"));
        assert_eq!(all.exit(), 0, "{} {}: {all}", tool.name, mode.name());
        if mode.name() == "websocket" {
            // One of its variants ends brokers.
            let has = |plan: &Call| plan.stdout().contains("websocket impossible-length");
            assert!(has(&all) && !has(&default), "{all} {default}");
        } else {
            assert_eq!(all.stdout(), default.stdout(), "{} {}", tool.name, mode.name());
        }
        assert_eq!(none.exit(), 2, "{none}");
        tried += 1;
    }
    assert!(tried > 10, "{tried}");
}

#[test]
fn every_tool_warns_of_a_mistyped_variable() {
    for (name, arguments) in [
        ("ungraceful-double-connect", "--print-plan"),
        ("ungraceful-bench", "pub --print-plan"),
        ("ungraceful-explain", "--list"),
        ("ungraceful", "explain --list"),
        ("ungraceful", "list"),
        ("ungraceful", "takeover duel --print-plan"),
    ] {
        let output = binary(&format!("{name} {arguments}"))
            .envs([("UNGRACEFUL_HOTS", "hunter2"), ("UNGRACEFUL_TOKEN_IN", "password")])
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(output.status.success(), "{output:?}");
        let warnings: Vec<&str> = stderr.lines().filter(|line| line.contains("warning")).collect();
        assert_eq!(warnings.len(), 1, "{name} {arguments:?}: {stderr}");
        let expected = ["UNGRACEFUL_HOTS", "did you mean UNGRACEFUL_HOST?"];
        assert!(every(&expected, |part| warnings[0].contains(part)), "{warnings:?}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
}

#[test]
fn a_command_of_the_users_is_in_no_file_of_the_record() {
    let flags = "-c 2 --backoff fixed:100ms --restart-cmd 'false hunter2'";
    call_at(Script::default(), "ungraceful-vanish", "herd", flags)
        .expect_exit(3)
        .assert_keeps_secret("hunter2");
}
