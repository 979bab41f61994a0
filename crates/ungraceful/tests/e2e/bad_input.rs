//! Mistakes of the person at the keyboard, and ports behind which there is no broker for us: one clear sentence,
//! the right exit code, and never a hang or a verdict.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use ungraceful_scripted_broker::{Greeting, Script, ScriptedBroker};

use crate::support::{Call, binary, call, double_connect, double_connect_at};

fn assert_refused(call: &Call, exit: i32, words: &[&str]) {
    assert_eq!(call.exit(), exit, "{}", call.said());
    for word in words {
        assert!(call.stderr().contains(word), "{word:?} is missing\n{}", call.said());
    }
    assert!(call.stdout().is_empty(), "no result\n{}", call.said());
    assert!(!call.folder.join("run.json").exists(), "no record");
}

#[test]
fn all_mistakes_of_a_call_are_told_together_and_nothing_is_sent() {
    let broker = ScriptedBroker::start(Script::default());
    let call = double_connect_at(
        broker.address(),
        &[
            "--count",
            "0",
            "-R",
            "-5",
            "--baseline",
            "soon",
            "--attempts",
            "none",
            "--variant",
            "sideways",
            "-V",
            "6",
            "--format",
            "poem",
            "--bystander-qos",
            "3",
            "--seed",
            "x",
            "--client-id-prefix",
            "far/too/long",
        ],
    );
    let flags = [
        "--count",
        "--connrate",
        "--baseline",
        "--attempts",
        "--variant",
        "--protocol-version",
        "--format",
        "--bystander-qos",
        "--seed",
        "--client-id-prefix",
        "nothing was sent",
    ];
    assert_refused(&call, 2, &flags);
    assert_eq!(broker.log().connections(), 0);
}

#[test]
fn a_folder_that_cannot_be_written_is_told_before_the_first_packet() {
    let broker = ScriptedBroker::start(Script::default());
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = binary("ungraceful-double-connect")
        .args(["--host", "127.0.0.1", "--port", &broker.address().port().to_string(), "--output"])
        .arg(file.path().join("record"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--output"));
    assert_eq!(broker.log().connections(), 0);
}

#[test]
fn a_host_that_is_not_private_needs_the_owners_word_and_a_public_test_broker_is_always_refused() {
    // Through --print-plan: no test aims a run at somebody else's host.
    let plan = |arguments: &[&str]| double_connect(&[&["--print-plan"], arguments].concat());
    let call = plan(&["--host", "192.0.2.1", "--count", "0"]);
    assert_refused(&call, 2, &["--i-own-this-broker 192.0.2.1", "--count"]);
    assert_eq!(plan(&["--host", "192.0.2.1", "--i-own-this-broker", "192.0.2.1"]).exit(), 0);
    assert_refused(
        &plan(&["--host", "192.0.2.1", "--i-own-this-broker", "192.0.2.2"]),
        2,
        &["repeat the host exactly"],
    );
    let word = ["--host", "test.mosquitto.org", "--i-own-this-broker", "test.mosquitto.org"];
    assert_refused(&plan(&word), 2, &["public test broker"]);
}

#[test]
fn two_brokers_a_port_without_a_host_and_urls_we_do_not_speak_are_usage_errors() {
    assert_refused(
        &double_connect(&["--host", "127.0.0.1", "--spawn", "mosquitto"]),
        2,
        &["--host and --spawn"],
    );
    assert_refused(&double_connect(&["--port", "1883"]), 2, &["--port", "--host"]);
    assert_refused(&double_connect(&["--url", "mqtts://127.0.0.1"]), 2, &["--url", "not spoken yet"]);
    assert_refused(&double_connect(&["--spawn", "hivemq"]), 2, &["--spawn", "mosquitto"]);
}

#[test]
fn a_process_or_a_log_that_cannot_be_watched_is_told_before_the_first_packet() {
    let broker = ScriptedBroker::start(Script::default());
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    let pid = gone.id().to_string();
    gone.wait().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let watch = |log: &str| {
        double_connect_at(
            broker.address(),
            &["--broker-pid", &pid, "--broker-log", log, "--broker-log-max", "-1"],
        )
    };
    let flags = ["--broker-pid: there is no process", "--broker-log-max", "leave the flag out"];
    assert_refused(&watch("/no/such/file.log"), 2, &flags);
    assert_refused(&watch("/no/such/file.log"), 2, &["--broker-log: cannot follow /no/such/file.log"]);
    assert_refused(&watch(folder), 2, &["--broker-log: cannot follow", "it is no regular file"]);
    assert_eq!(broker.log().connections(), 0);
}

#[test]
fn more_clients_than_descriptors_are_refused_with_the_cure() {
    let call = double_connect(&["--count", "1000000"]);
    assert_refused(&call, 2, &["file descriptors", "lower --count"]);
}

#[test]
fn a_storm_of_fewer_clients_than_cases_or_with_a_number_of_attempts_is_refused() {
    let storm =
        |flags: &[&str]| call("ungraceful-takeover", &["storm"], &[&["--print-plan"], flags].concat());
    assert_refused(&storm(&["--count", "12"]), 2, &["--count: 12 is too few", "give at least 13"]);
    assert_eq!(storm(&["--count", "13"]).exit(), 0);
    assert_eq!(storm(&["--count", "1", "--variant", "clean", "-V", "5"]).exit(), 0);
    let cure = "each client acts once; leave it out and give --count";
    let told = [&format!("--attempts: {cure}")[..], &format!("--duration: {cure}")];
    assert_refused(&storm(&["--attempts", "100", "--duration", "5s"]), 2, &told);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "attempts = 100\n").unwrap();
    assert_refused(&storm(&["--config", file.path().to_str().unwrap()]), 2, &told[..1]);
}

#[test]
fn an_unknown_mode_and_a_flag_before_the_mode_are_refused_with_the_modes_there_are() {
    for arguments in [&["nope"][..], &["--attempts", "3", "quota-leak"]] {
        let output = binary("ungraceful-flood").args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("quota-leak, ") && told.contains("the mode comes first"), "{told}");
    }
}

#[test]
fn an_unknown_host_and_a_refused_port_are_told_by_name() {
    let call = double_connect(&["--host", "no-such-host.invalid"]);
    assert_refused(&call, 4, &["no-such-host.invalid", "resolve"]);
    // A port that was just free, and that nobody has been given since.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_refused(&double_connect_at(closed, &[]), 4, &["refused", &closed.port().to_string()]);
}

/// A listener that treats each connection in its own way.
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
fn a_port_that_speaks_http_is_named_as_that_whether_it_answers_a_connect_or_waits_for_a_line() {
    let answers_anything = listener(|mut stream| {
        let mut bytes = [0; 64];
        let _ = stream.read(&mut bytes);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    assert_refused(&double_connect_at(answers_anything, &["--connect-timeout", "2s"]), 4, &["HTTP"]);
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
    let call = double_connect_at(waits_for_a_line, &["--connect-timeout", "1s"]);
    assert_refused(&call, 4, &["speaks HTTP and not MQTT", "404"]);
}

#[test]
fn a_broker_that_accepts_and_says_nothing_is_told_within_the_connect_timeout() {
    let broker = ScriptedBroker::start(Script { greeting: Greeting::Silent, ..Script::default() });
    let call = double_connect_at(broker.address(), &["--connect-timeout", "500ms"]);
    assert_refused(&call, 4, &["answers nothing to a CONNECT"]);
}

#[test]
fn a_broker_that_closes_every_connect_is_told() {
    let broker = ScriptedBroker::start(Script { greeting: Greeting::Fin, ..Script::default() });
    assert_refused(
        &double_connect_at(broker.address(), &[]),
        4,
        &["before any CONNACK", "MQTT 3.1.1", "MQTT 5.0"],
    );
}

#[test]
fn a_wrong_password_is_told_with_the_code_of_each_version_and_never_shown() {
    for (greeting, version, code) in [
        ("refuse-0x86-0x04", "5", "0x86 Bad User Name or Password"),
        ("refuse-0x87-0x05", "5", "0x87 Not authorized"),
        ("refuse-0x86-0x04", "3.1.1", "0x04"),
        ("refuse-0x87-0x05", "3.1.1", "0x05"),
    ] {
        let broker =
            ScriptedBroker::start(Script { greeting: greeting.parse().unwrap(), ..Script::default() });
        let call = double_connect_at(broker.address(), &["-u", "me", "-P", "hunter2", "-V", version]);
        assert_refused(&call, 4, &[code, "--username"]);
        assert!(!call.said().contains("hunter2"), "{}", call.said());
    }
}

#[test]
fn a_version_that_the_broker_does_not_speak_is_left_out_unless_it_was_asked_for() {
    let broker =
        ScriptedBroker::start(Script { greeting: "only-3.1.1".parse().unwrap(), ..Script::default() });
    let call = double_connect_at(broker.address(), &["--attempts", "1", "--variant", "identical"]);
    assert_eq!(call.exit(), 0, "{}", call.said());
    let record = call.record();
    assert!(record.cases.iter().all(|case| case.case.version == "3.1.1"));
    assert!(record.broker.versions.iter().any(|version| version.version == "5.0" && !version.spoken));
    let call = double_connect_at(broker.address(), &["-V", "5"]);
    assert_refused(&call, 4, &["does not speak", "5.0"]);
}

#[test]
fn secrets_are_in_no_file_of_the_record() {
    let broker = ScriptedBroker::start(Script::default());
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("record");
    let password_file = parent.path().join("password");
    std::fs::write(&password_file, "hunter2\n").unwrap();
    let url = format!("mqtt://me:hunter2@{}", broker.address());
    let by_url = vec!["--url".to_owned(), url];
    let by_file = vec![
        "--host".to_owned(),
        "127.0.0.1".to_owned(),
        format!("--port={}", broker.address().port()),
        "--username=me".to_owned(),
        format!("--pw-file={}", password_file.display()),
    ];
    for (number, way) in [by_url, by_file].into_iter().enumerate() {
        let folder = folder.with_extension(number.to_string());
        let arguments: Vec<&str> = way.iter().map(String::as_str).collect();
        let output = crate::support::quick_command(&arguments)
            .args(["--attempts", "1", "--variant", "identical", "--output"])
            .arg(&folder)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        for file in std::fs::read_dir(&folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            assert!(!text.contains("hunter2"));
        }
        assert!(!String::from_utf8_lossy(&output.stdout).contains("hunter2"));
    }
}

#[test]
fn flags_come_from_the_command_line_before_the_environment_before_a_file_before_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("run.toml");
    std::fs::write(
        &config,
        "attempts = 7\ncount = 8\nconnrate = 9\nvariant = [\"identical\", \"delayed\"]\n",
    )
    .unwrap();
    let output = binary("ungraceful-double-connect")
        .args(["--print-plan", "--format", "json", "--count", "3", "--config"])
        .arg(&config)
        .env("UNGRACEFUL_COUNT", "4")
        .env("UNGRACEFUL_CONNRATE", "5")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["bounds"]["misbehaving_clients_max"], 3, "the command line");
    assert_eq!(plan["bounds"]["attempts_per_second_max"], 5.0, "the environment");
    assert_eq!(
        plan["bounds"]["attempts_max"],
        7 * 2 * 2,
        "the file: attempts of two variants in two versions"
    );
    std::fs::write(&config, "cuont = 8\n").unwrap();
    let output = binary("ungraceful-double-connect").arg("--config").arg(&config).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cuont"));
}
