//! `ungraceful-explain`: from the log lines of brokers, real ones where installed, to causes, client by client.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use ungraceful_log_causes::{Broker, Cause, Effect, command, patterns};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::testing::every;

use crate::real_brokers::RealBroker;
use crate::support::{Call, binary, call, call_at, double_connect_at};

fn explain(arguments: &str, log: &str) -> Call {
    let mut command = binary(&format!("ungraceful-explain {arguments}"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A rejected call does not read.
    let _written = stdin.write_all(log.as_bytes());
    drop(stdin);
    Call::without_record(child.wait_with_output().unwrap())
}

fn explained(arguments: &str, log: &str) -> Value {
    let said = explain(&format!("--format json {arguments}"), log);
    serde_json::from_str(&said.stdout()).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// The text with each run of blanks and line ends as one blank.
fn unwrapped(said: &Call) -> String {
    said.stdout().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Each incident's ClientID and cause, in order.
fn incidents(explained: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let incidents = explained["incidents"].as_array().unwrap();
    incidents.iter().map(|incident| (text(&incident["client_id"]), text(&incident["cause"]))).collect()
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// Extreme values that a log can contain.
fn extreme_values() -> Vec<command::Seen> {
    let mut all = vec![command::Seen::default()];
    for version in [None, Some(ProtocolVersion::V3_1_1), Some(ProtocolVersion::V5)] {
        for keep_alive_s in [None, Some(0), Some(u16::MAX)] {
            for prefix in ["", "sensor-0001", "-rm", "a\u{1b}b c"] {
                for is_duel in [false, true] {
                    let seen = command::Seen {
                        version,
                        client_id_prefix: prefix.to_owned(),
                        keep_alive_s,
                        is_duel,
                        ..command::Seen::default()
                    };
                    let unlike = command::Seen {
                        take_overs_per_minute: Some([0.1, 6.0, 61.5, 21_000.0][all.len() % 4]),
                        lifetime_s: Some(350),
                        was_connected: true,
                        ..seen.clone()
                    };
                    all.extend([seen, unlike]);
                }
            }
        }
    }
    all
}

#[test]
fn every_command_that_explain_prints_is_valid() {
    let mut commands = BTreeSet::new();
    for cause in Cause::ALL {
        commands.extend(extreme_values().iter().filter_map(|seen| command::words(*cause, seen).ok()));
    }
    assert!(commands.len() > 50, "{commands:?}");
    let mut refused = Vec::new();
    for words in commands {
        let (words, _host) = words.split_at(words.len() - 1);
        let output =
            binary(&words[0]).args(&words[1..]).args(["127.0.0.1", "--print-plan"]).output().unwrap();
        if !output.status.success() {
            refused.push(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn hivemq_statements_have_a_cause_and_a_command() {
    let reason = |text: &str| format!("Client ID: abc, IP:10.0.0.7 was disconnected. reason: {text}");
    let statements = [
        (
            "Client ID: UNKNOWN, IP:10.0.0.7 disconnected ungracefully.".to_owned(),
            "before-connect",
            "ungraceful-vanish",
        ),
        (reason("Another client connected with the same clientId."), "take-over", "ungraceful-takeover"),
        (reason("Sent too many concurrent PUBLISH messages."), "receive-maximum", "ungraceful-flood"),
        (reason("Sent second CONNECT message."), "double-connect", "ungraceful-double-connect"),
        (reason("Client was idle for too long."), "keep-alive", "ungraceful-vanish"),
        (
            "Disconnecting client with clientId abc and ip 10.0.0.7 forcibly via extension system."
                .to_owned(),
            "extension",
            "ungraceful-expire",
        ),
    ];
    for (statement, cause, tool) in statements {
        for tail in ["", "\nClient ID: abc, IP:10.0.0.7 disconnected ungracefully.\n"] {
            if cause == "before-connect" && !tail.is_empty() {
                continue;
            }
            let explained = explained("", &format!("{statement}{tail}"));
            assert_eq!(explained["logs"][0]["broker"], "hivemq");
            let causes: Vec<String> = incidents(&explained).into_iter().map(|(_, cause)| cause).collect();
            assert_eq!(causes, [cause], "{statement}{tail}");
            assert_eq!(words(&explained["causes"][0]["reproduce"])[0], tool);
            let cause = &explained["causes"][0];
            assert!(cause["standard"].is_array() && cause["cure_client"].is_array());
        }
    }
}

#[test]
fn the_text_has_closer_statement_command_and_fix() {
    let log = "1795442586: New client connected from 10.0.0.7:50123 as twin (p5, c1, k60).\n\
               1795442590: Client twin already connected, closing old connection.\n";
    let said = explain("", log).expect_exit(0);
    for part in [
        "Mosquitto (detected); 2 lines, recognised 2 of 2",
        "take-over ×1",
        "the broker closed",
        "MQTT 5.0 [MQTT-3.1.4-3]",
        "ungraceful-takeover storm -V 5.0 --host YOUR-BROKER\n",
        "its own ClientID",
        "line 2, twin, at 10.0.0.7:50123, MQTT 5.0, Keep Alive 60 s, after 4 s",
    ] {
        assert!(said.stdout().contains(part) || unwrapped(&said).contains(part), "{part}\n{}", said.stdout());
    }
    let wide: Vec<String> =
        said.stdout().lines().filter(|line| line.chars().count() > 80).map(str::to_owned).collect();
    assert_eq!(wide, Vec::<String>::new());
    explain("--format markdown", log).assert_prints(&["| take-over | 1 |"]);
}

#[test]
fn output_has_no_control_characters_from_a_log() {
    let said = explain("", "Client \u{1b}[31mred\u{7} closed its connection.\n");
    assert!(said.stdout().contains("lost ×1") && !said.stdout().contains('\u{1b}'), "{}", said.stdout());
}

#[test]
fn an_unknown_log_is_inconclusive_and_a_missing_one_an_error() {
    let said = explain("", "nothing to see\n\0\u{1}\n").expect_exit(3);
    said.assert_prints(&["--list"]);
    let said = explain("/no/such/log", "").expect_exit(4);
    assert!(said.stderr().contains("/no/such/log"), "{}", said.stderr());
}

#[test]
fn lines_that_are_known_to_mean_nothing_are_no_unknown_log() {
    let log = "2020-09-09 12:53:45.002 [warning] c1@10.0.0.8:45363 [Channel] The PUBREC 5 is not found.\n";
    let said = explain("", &log.repeat(2)).expect_exit(3);
    assert!(unwrapped(&said).contains("2 lines are known to mean nothing for them"), "{said}");
    let json = explained("", log);
    let counted =
        ["lines_insignificant", "lines_recognised", "lines_unknown"].map(|key| &json["logs"][0][key]);
    assert_eq!(counted, [1, 0, 0].map(Value::from).each_ref());
}

#[test]
fn a_log_that_is_not_known_reassures_nobody() {
    let log = "2026-11-24 10:00:00 [error] link of dev1 broke: connection refused by peer\n\
               2026-11-24 10:00:01 [error] link of dev2 broke: connection refused by peer\nhello\n";
    let said = explain("", log).expect_exit(3);
    let text = unwrapped(&said);
    for part in [
        "no line is known; 3 lines, recognised 0 of 2 that look like events",
        "no line of this log is known, and 2 lines tell of trouble",
        "Not known: 2 lines tell of trouble",
        "2 1 2026-11-24 10:00:00 [error] link of dev1 broke",
    ] {
        assert!(text.contains(part), "{part}\n{said}");
    }
    let json = explained("", log);
    assert_eq!(
        (&json["logs"][0]["lines_unknown"], &json["logs"][0]["unknown"][0]["lines"]),
        (&2.into(), &2.into())
    );
    // The exit code tells of a low coverage, too.
    let known = "Client a closed its connection.\n";
    explain("", &format!("{known}{log}")).expect_exit(3);
    let said = explain("", &format!("{known}{known}{log}")).expect_exit(0);
    assert!(unwrapped(&said).contains("recognised 2 of 4 that look like events"), "{said}");
    let innocent = "1795442586: New client connected from 10.0.0.7:50123 as a (p5, c1, k60).\n";
    let said = explain("", &format!("{innocent}{innocent}{log}"));
    assert!(
        unwrapped(&said).contains("no incident in the 2 recognised lines, but 2 lines tell of trouble"),
        "{said}"
    );
}

#[test]
fn a_mistyped_client_is_told_with_those_it_may_be() {
    let log = "1795442586: New client connected from 10.0.0.7:50123 as Pump-7 (p5, c1, k60).\n\
               1795442590: Client Pump-7 closed its connection.\n";
    let said = explain("--client pump7", log).expect_exit(3);
    said.assert_prints(&["no recognised line names the client pump7", "did you mean Pump-7?"]);
    explain("--client Pump-7", log).expect_exit(0).assert_prints(&["lost ×1"]);
}

#[test]
fn limits_of_time_say_what_they_do_not_apply_to() {
    let said = explain("--since 2026-11-24", "Client a closed its connection.\n");
    assert!(unwrapped(&said).contains("1 recognised line without a time that is understood"), "{said}");
    let dated = "2026-11-24T22:14:04: Client a closed its connection.\n";
    for (flags, why) in [
        ("--since 22:00", "--since can't be compared with the times of this log; the log has dates"),
        ("--until 2026-11-24", "no recognised line is between --since and --until"),
        ("--since 2026-11-25", "are from 2026-11-24T22:14:04 to 2026-11-24T22:14:04"),
    ] {
        let said = explain(flags, dated).expect_exit(3);
        assert!(unwrapped(&said).contains(why), "{said}");
    }
    let undated = explain("--since 2026-11-24", "22:14:04 Client a closed its connection.\n").expect_exit(3);
    assert!(unwrapped(&undated).contains("names no day: give a time of day"), "{undated}");
    let timed = explain("--since 22:00", "22:14:04 Client a closed its connection.\n").expect_exit(0);
    assert!(unwrapped(&timed).contains("lost ×1") && !unwrapped(&timed).contains("understood"), "{timed}");
}

#[test]
fn a_log_is_read_however_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = "1795442586: Client a closed its connection.\n";
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let plain = write("plain.log", log.as_bytes());
    let mut files = vec![write(
        "utf16.log",
        &[0xff, 0xfe].into_iter().chain(log.encode_utf16().flat_map(u16::to_le_bytes)).collect::<Vec<_>>(),
    )];
    for (program, ending) in [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")] {
        let Ok(packed) = std::process::Command::new(program).args(["-c", &plain]).output() else { continue };
        files.push(write(&format!("packed-{ending}.log.{ending}"), &packed.stdout));
    }
    assert!(files.len() > 1, "gzip is on every machine");
    for file in files {
        let read = explained(&file, "");
        assert_eq!(incidents(&read), [("a".to_owned(), "lost".to_owned())], "{file}");
    }
}

#[test]
fn the_parts_of_a_rotated_log_are_one_log() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let newer = write("b.log", "1795442590: Client a closed its connection.\nthe link failed\n");
    let older = write(
        "b.log.1",
        "\n1795442580: New client connected from 10.0.0.7:1 as a (p2, c1, k60).\n1795442581: Client c closed its connection.\n",
    );
    let both = explained(&format!("{newer} {older}"), "");
    assert_eq!(both["logs"].as_array().unwrap().len(), 1);
    assert_eq!(
        incidents(&both),
        [("c", "lost"), ("a", "lost")].map(|(id, cause)| (id.to_owned(), cause.to_owned()))
    );
    assert_eq!(both["incidents"][1]["connected_for_ms"], 10_000);
    let unknown = &both["logs"][0]["unknown"][0];
    assert_eq!((&unknown["first_line"], &unknown["file"]), (&2.into(), &newer.clone().into()), "{unknown}");
    let said = unwrapped(&explain(&format!("{newer} {older}"), ""));
    assert!(
        said.contains("line 1 of ") && said.contains("line 3 of ") && said.contains("and 1 older file"),
        "{said}"
    );
}

#[test]
fn a_file_given_twice_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.log");
    std::fs::write(&path, "1795442590: Client a closed its connection.\n").unwrap();
    let (one, other) = (path.display(), folder.path().join("./b.log"));
    explain(&format!("{one} {}", other.display()), "").assert_mistake(&["is given twice"]);
}

#[test]
fn programs_without_mqtt_are_not_accused() {
    for log in [
        "Error: connect ECONNREFUSED 127.0.0.1:5432\n",
        "java.net.SocketException: Connection reset by peer\n\tat java.base/sun.nio.ch.SocketChannelImpl.read(X.java:186)\njava.io.IOException: Broken pipe\n",
        "2026/11/24 23:10:06 http: TLS handshake error from 10.0.0.7:50123: EOF\nError: socket hang up\n",
    ] {
        let read = explained("", log);
        assert_eq!((incidents(&read).len(), &read["logs"][0]["broker"]), (0, &Value::Null), "{read}");
        explain("", log).expect_exit(3);
        let followed = explain("--follow -", log).expect_exit(3);
        assert_eq!(followed.stdout(), "", "{followed}");
    }
}

#[test]
fn objects_over_several_lines_are_read() {
    let log = "{\n  \"timestamp\": 1795442586123,\n  \"clientId\": \"thing1\",\n  \"disconnectReason\": \"DUPLICATE_CLIENTID\"\n}\n";
    let read = explained("", &log.repeat(2));
    assert_eq!(incidents(&read).len(), 2, "{read}");
    assert_eq!(
        (&read["incidents"][1]["client_id"], &read["incidents"][1]["line"]),
        (&"thing1".into(), &6.into())
    );
}

#[test]
fn standard_input_is_followed_to_its_end() {
    let said = explain("--follow -", "1795442586: Client early closed its connection.\n").expect_exit(0);
    said.assert_prints(&["lost: ", "early"]);
    let said = explain("--follow -", "nothing\n").expect_exit(3);
    assert!(said.stderr().contains("no line of this log is known"), "{said}");
    let said =
        explain("--follow --client b -", "1795442586: Client a closed its connection.\n").expect_exit(3);
    assert!(said.stderr().contains("names the client b"), "{said}");
}

#[test]
fn a_log_becomes_a_scenario_that_can_be_replayed() {
    let log = "Client ID: abc, IP: 10.0.0.7 was disconnected. reason: Sent second CONNECT message.\n";
    let said = explain("--as-scenario", log).expect_exit(0);
    said.assert_prints(&["# 1 incident of the cause double-connect", "id = \"double-connect-same\""]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("from-log.toml");
    std::fs::write(&file, said.stdout()).unwrap();
    let plan = call("ungraceful-replay", "", &format!("{} --print-plan", file.display())).expect_exit(0);
    plan.assert_prints(&["double-connect-same"]);
    let take_over = "Client ID: abc, IP: 10.0.0.7 was disconnected. reason: Another client connected with the same client id.\n";
    let none = explain("--as-scenario", take_over).expect_exit(3);
    assert!(none.stderr().contains("without --as-scenario"), "{none}");
}

#[test]
fn overlong_lines_are_cut_and_counted() {
    let lost = "Client a closed its connection. ";
    let log = format!("{lost}\n{}\n{lost}\n", lost.repeat(14_500));
    let explained = explained("", &log);
    let of_log = &explained["logs"][0];
    let counts = ["lines", "lines_cut", "lines_recognised"].map(|name| of_log[name].as_u64());
    assert_eq!(counts, [3, 1, 3].map(Some));
    let text = unwrapped(&explain("", &log));
    assert!(text.contains("1 line longer than 16.0 KiB, the rest of which is ignored"), "{text}");
}

#[test]
fn a_log_without_a_line_end_is_read_in_little_memory() {
    const BYTES: usize = 300 << 20;
    let mut child = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 262144; exec \"$0\""])
        .arg(binary("ungraceful-explain").get_program())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let block = "Client a closed its connection. ".repeat(32_768);
    for _ in 0..BYTES / block.len() {
        stdin.write_all(block.as_bytes()).expect("it reads to the end");
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 line, recognised 1 of 1"), "{output:?}");
}

#[test]
fn all_mistakes_are_reported_together() {
    let flags = "--broker hive --since noon --format csv --code 0x00 --incidents -1";
    let expected = ["hivemq", "2026-11-24T23:10", "text, json, markdown", "0x8E", "--incidents"];
    explain(flags, "").assert_mistake(&expected);
    explain("--since 2026-11-24 --until 2026-11-24", "").assert_mistake(&["--until"]);
    explain("--follow", "").expect_exit(2);
}

#[test]
fn a_blank_client_and_a_blank_file_are_refused_with_the_cure() {
    for blank in ["", " "] {
        explain(&format!("--client '{blank}'"), "").assert_mistake(&["--client", "leave the flag out"]);
    }
    explain("''", "").assert_mistake(&["FILE"]);
}

#[test]
fn the_help_has_the_exit_codes_of_this_tool() {
    let said = explain("--help-all", "");
    said.assert_prints(&[
        "0  the logs were read to their end",
        "3  no line was recognised",
        "4  a log can't be read",
    ]);
    assert!(!said.stdout().contains("every check holds"), "{}", said.stdout());
}

#[test]
fn each_line_of_several_logs_names_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = |name: &str, host: &str| {
        let path = folder.path().join(name);
        let mut text = String::new();
        for second in [10, 40] {
            text.push_str(&format!(
                "2026-11-24T10:00:{second}: New client connected from {host}:1 as gw (p2, c1, k60).\n"
            ));
            text.push_str(&format!(
                "2026-11-24T10:00:{second}: Client gw already connected, closing old connection.\n"
            ));
        }
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (one, other) = (log("one.log", "10.0.0.1"), log("other.log", "10.0.0.5"));
    let explained = explained(&format!("{one} {other}"), "");
    assert_eq!(
        (explained["incidents_total"].as_u64(), explained["duels"].as_array().unwrap().len()),
        (Some(4), 0)
    );
    let logs: Vec<&str> = explained["incidents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|incident| incident["log"].as_str().unwrap())
        .collect();
    assert_eq!(logs, [&one, &other, &one, &other]);
    let said = explain(&format!("{one} {other}"), "").stdout();
    assert!(said.contains("line 2 of ") && said.contains("one.log") && said.contains("gw ("), "{said}");
    let said = explain(&one, "").stdout();
    assert!(said.contains("line 2, gw"), "{said}");
}

#[test]
fn the_text_and_the_markdown_show_the_incidents_over_time() {
    let mut log = String::new();
    for second in 0..50 {
        let minute = if second < 10 { 0 } else { 5 };
        log.push_str(&format!(
            "2026-11-24T10:{minute:02}:{second:02}: Client c{second} closed its connection.\n"
        ));
    }
    log.push_str("2026-11-24T10:05:55: Client twin already connected, closing old connection.\n");
    let explained = explained("", &log);
    let counts = explained["causes"][0]["rate"]["counts"].as_array().unwrap();
    assert_eq!(counts.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 50);
    let said = explain("", &log).stdout();
    assert!(said.contains("Over time: incidents in each 32 s"), "{said}");
    assert!(said.contains("2026-11-24T10:00:00         10  ####"), "{said}");
    let markdown = explain("--format markdown", &log).stdout();
    assert!(markdown.contains("| from | incidents | share of peak | lost | take-over |"), "{markdown}");
}

#[test]
fn codes_are_explained_by_number_and_by_name() {
    for code in ["0x8E", "142", "session taken over"] {
        explain(&format!("--code '{code}'"), "")
            .expect_exit(0)
            .assert_prints(&["Session taken over", "ungraceful-takeover"]);
    }
    let code = &explained("--code 4", "")[0];
    assert_eq!((&code["cause"], &code["of"]), (&"bad-credentials".into(), &"MQTT 3.1.1".into()));
    for (code, cause) in [
        ("rc=7", "peer-closed"),
        ("-2", "unreachable"),
        ("1006", "peer-closed"),
        ("DUPLICATE_CLIENTID", "take-over"),
    ] {
        assert_eq!(explained(&format!("--code {code}"), "")[0]["cause"], cause, "{code}");
    }
    explain("--list", "").assert_prints(&["take-over", "Another client connected"]);
}

#[test]
fn the_front_explains_as_well() {
    let call = Call::without_record(binary("ungraceful explain --code 0x93").output().unwrap());
    call.expect_exit(0).assert_prints(&["ungraceful-flood receive-maximum"]);
}

#[test]
fn a_growing_log_is_reported_as_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.log");
    std::fs::write(&path, "1795442586: Client early closed its connection.\n").unwrap();
    let mut command = binary("ungraceful-explain");
    let mut child = command.arg("--follow").arg(&path).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next =
        |wanted: &str| lines.by_ref().map(Result::unwrap).find(|line| line.starts_with(wanted)).unwrap();
    assert!(next("lost: ").contains("early"));
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"1795442599: Bad client late sending multiple CONNECT messages.\n").unwrap();
    assert!(next("double-connect: ").contains("late"));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A CONNECT of MQTT 3.1.1 with Clean Session 1.
fn connect(client: &str, keep_alive_s: u8, level: u8) -> Vec<u8> {
    let length = u8::try_from(client.len()).unwrap();
    let mut packet = vec![0x10, 12 + length, 0, 4];
    packet.extend_from_slice(b"MQTT");
    packet.extend_from_slice(&[level, 2, 0, keep_alive_s, 0, length]);
    packet.extend_from_slice(client.as_bytes());
    packet
}

/// Opens a connection, sends `packet`, and waits for its answer or its end.
fn open(address: SocketAddr, packet: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(packet).unwrap();
    let _answer_or_end = stream.read(&mut [0; 4]);
    stream
}

fn read_to_the_end(mut stream: TcpStream) {
    // A reset is an end, too.
    let _end = stream.read_to_end(&mut Vec::new());
}

/// A way for a client to end, and the cause in the log of Mosquitto, RabbitMQ and NATS; absent when the log has nothing.
struct Way {
    client: &'static str,
    end: fn(SocketAddr, &str),
    causes: [Option<&'static str>; 3],
}

/// Each row proves a cause on real brokers.
const WAYS: [Way; 7] = [
    Way {
        client: "leaves",
        end: |address, client| {
            let mut stream = open(address, &connect(client, 60, 4));
            stream.write_all(&[0xE0, 0]).unwrap();
            read_to_the_end(stream);
        },
        causes: [None; 3],
    },
    Way {
        client: "drops",
        end: |address, client| drop(open(address, &connect(client, 60, 4))),
        causes: [Some("lost"), Some("lost"), None],
    },
    Way {
        client: "twice",
        end: |address, client| {
            let mut stream = open(address, &connect(client, 60, 4));
            stream.write_all(&connect(client, 60, 4)).unwrap();
            let _second_connack_or_end = stream.read(&mut [0; 4]);
            // RabbitMQ 3.10 keeps the connection open.
            let _ended = stream.write_all(&[0xE0, 0]);
            read_to_the_end(stream);
        },
        causes: [Some("double-connect"); 3],
    },
    Way {
        client: "taken",
        end: |address, client| {
            let older = open(address, &connect(client, 60, 4));
            let mut newcomer = open(address, &connect(client, 60, 4));
            read_to_the_end(older);
            newcomer.write_all(&[0xE0, 0]).unwrap();
            read_to_the_end(newcomer);
        },
        causes: [Some("take-over"); 3],
    },
    Way {
        client: "lapses",
        end: |address, client| read_to_the_end(open(address, &connect(client, 1, 4))),
        causes: [Some("keep-alive"), Some("keep-alive"), None],
    },
    Way {
        client: "-",
        end: |address, _| read_to_the_end(open(address, &[0xC0, 0])),
        causes: [Some("first-packet"); 3],
    },
    Way {
        client: "-",
        end: |address, _| read_to_the_end(open(address, &connect("odd", 60, 9))),
        causes: [Some("protocol-version"); 3],
    },
];

/// The result for this log once it has `count` incidents: brokers write late.
fn explained_after(log: &str, count: usize) -> Value {
    explained_when(log, |explained| incidents(explained).len() >= count)
}

fn explained_when(log: &str, is_enough: impl Fn(&Value) -> bool) -> Value {
    let deadline = ungraceful_rig::measure::clock::RunClock::start();
    loop {
        let explained = explained(&format!("--incidents 100000 --top 100000 {log}"), "");
        if is_enough(&explained) || deadline.now_us() > 30_000_000 {
            return explained;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn every_way_is_reported(name: &str, broker: &RealBroker, column: usize) {
    for way in &WAYS {
        (way.end)(broker.address, way.client);
    }
    let mut expected: Vec<(String, String)> =
        WAYS.iter().filter_map(|way| Some((way.client.to_owned(), way.causes[column]?.to_owned()))).collect();
    let explained = explained_after(&broker.log, expected.len());
    assert_eq!(explained["logs"][0]["broker"], name);
    let mut incidents = incidents(&explained);
    incidents.sort();
    expected.sort();
    assert_eq!(incidents, expected, "{}", std::fs::read_to_string(&broker.log).unwrap());
}

#[test]
fn mosquittos_log_has_every_way_to_end() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    every_way_is_reported("mosquitto", &broker, 0);
}

#[test]
fn rabbitmqs_log_has_every_way_to_end() {
    let Some(broker) = RealBroker::start("rabbitmq") else { return };
    every_way_is_reported("rabbitmq", &broker, 1);
}

#[test]
fn the_log_of_nats_has_every_way_to_end() {
    let Some(broker) = RealBroker::start("nats") else { return };
    every_way_is_reported("nats", &broker, 2);
}

#[test]
fn explain_finds_each_attempt_of_a_run_and_no_honest_client() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let runs = [
        ("double-connect", double_connect_at(broker.address, "--attempts 5 --variant identical -i dc")),
        (
            "take-over",
            call_at(broker.address, "ungraceful-takeover", "storm", "-c 12 --variant resume -i st"),
        ),
    ];
    let explained = explained_after(&broker.log, runs.iter().map(|(_, call)| call.attempts().len()).sum());
    let incidents = incidents(&explained);
    for (cause, call) in &runs {
        let attempts = call.attempts();
        assert!(!attempts.is_empty(), "{call}");
        for attempt in &attempts {
            let of_attempt = incidents.iter().filter(|(client, _)| *client == attempt.client_id);
            let causes: Vec<&str> = of_attempt.map(|(_, cause)| cause.as_str()).collect();
            assert_eq!(causes.iter().filter(|found| *found == cause).count(), 1, "{attempt:?} {causes:?}");
        }
        let of_cause = incidents.iter().filter(|(_, found)| found == cause).count();
        assert_eq!(of_cause, attempts.len(), "none is invented");
    }
    // Bystanders and witnesses leave by DISCONNECT; this log has no other clients.
    let attempts: BTreeSet<String> =
        runs.iter().flat_map(|(_, call)| call.attempts()).map(|attempt| attempt.client_id).collect();
    let strangers: Vec<_> = incidents
        .iter()
        .filter(|(client, _)| !attempts.iter().any(|attempt| client.starts_with(attempt.as_str())))
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn explain_finds_wills_at_take_overs_in_mosquittos_log() {
    let broker = RealBroker::start("mosquitto").expect("run scripts/install-mosquitto first");
    let call = call_at(broker.address, "ungraceful-takeover", "storm", "-c 4 --variant clean -i wt");
    let explained = explained_after(&broker.log, call.attempts().len());
    // Mosquitto publishes the Will of a connection whose session ends with it.
    let with_will = call.attempts().into_iter().filter(|attempt| attempt.will.is_some());
    let with_will: BTreeSet<String> = with_will.map(|attempt| attempt.client_id).collect();
    let wills = explained["wills_at_take_over"].as_array().unwrap();
    let clients = wills.iter().map(|wills| wills["client_id"].as_str().unwrap().to_owned());
    let clients: BTreeSet<String> = clients.collect();
    assert_eq!(clients.len(), wills.len());
    assert!(!clients.is_empty() && clients == with_will, "{clients:?} {with_will:?}\n{call}");
    assert!(every(wills, |wills| wills["topic"].as_str().unwrap().contains("/will/")), "{explained}");
}

#[test]
fn a_record_has_causes_where_the_log_names_only_connections() {
    let Some(broker) = RealBroker::start("rabbitmq") else { return };
    let flags = format!("--variant fin --attempts 3 -V 3.1.1 --broker-log {}", broker.log);
    let call = call_at(broker.address, "ungraceful-vanish", "drop", &flags);
    let attempts = call.attempts();
    assert_eq!(attempts.len(), 3, "{call}");
    for attempt in attempts {
        let logged = attempt.broker_log.unwrap_or_else(|| panic!("{call}"));
        assert_eq!(logged.cause.as_deref(), Some("lost"));
        let phrase = logged.phrase.unwrap();
        assert!(phrase.contains("<address> -> <address>") && !phrase.contains("<client>"), "{phrase}");
    }
}

/// A statement of HiveMQ, and the cause that its command reproduces on a real broker.
struct Proof {
    statement: &'static str,
    cause: &'static str,
    broker: &'static str,
    /// Flags that make the run short.
    short: &'static str,
    /// Attempts with this cause in the log.
    incidents: usize,
    /// Whether the log names the client, which needs a CONNECT.
    names_clients: bool,
    /// The words before the ClientID in the log of a broker that does not log every one; absent for the others.
    logged_as: Option<&'static str>,
}

impl Proof {
    /// Whether the log of this broker has a line about this client.
    fn is_logged(&self, log: &str, client_id: &str) -> bool {
        self.logged_as.is_none_or(|words| log.contains(&format!("{words}'{client_id}'")))
    }
}

const REASON: &str = "Client ID: abc, IP:10.0.0.7 was disconnected. reason: ";
const SECOND_CONNECT: &str = "Sent second CONNECT message.";
const TAKE_OVER: &str = "Another client connected with the same clientId.";
const IDLE: &str = "Client was idle for too long.";
const UNKNOWN: &str = "Client ID: UNKNOWN, IP:10.0.0.7 disconnected ungracefully.";

const fn proof(
    broker: &'static str,
    statement: &'static str,
    cause: &'static str,
    short: &'static str,
    incidents: usize,
) -> Proof {
    Proof { statement, cause, broker, short, incidents, names_clients: true, logged_as: None }
}

/// Each row proves a cause.
const PROOFS: [Proof; 9] = [
    proof("mosquitto", SECOND_CONNECT, "double-connect", "--attempts 2 --variant identical", 4),
    proof("rabbitmq", SECOND_CONNECT, "double-connect", "-V 3.1.1 --attempts 2 --variant identical", 2),
    proof("nats", SECOND_CONNECT, "double-connect", "-V 3.1.1 --attempts 2 --variant identical", 2),
    proof("mosquitto", TAKE_OVER, "take-over", "--count 4 --variant clean --will-wait 1s", 4),
    proof("mosquitto", IDLE, "keep-alive", "--attempts 2 -k 1s --variant idle --reaction-timeout 60s", 4),
    proof(
        "rabbitmq",
        IDLE,
        "keep-alive",
        "-V 3.1.1 --attempts 2 -k 1s --variant idle --reaction-timeout 60s",
        2,
    ),
    Proof {
        names_clients: false,
        ..proof("mosquitto", UNKNOWN, "before-connect", "--attempts 2 --wait 1s --variant closes,silent", 8)
    },
    // RabbitMQ 3.10.8 ends the older connection of some take-overs without a line in its log, as raw sockets see too.
    Proof {
        logged_as: Some("with duplicate id "),
        ..proof("rabbitmq", TAKE_OVER, "take-over", "-V 3.1.1 --count 4 --variant clean --will-wait 1s", 4)
    },
    proof("nats", TAKE_OVER, "take-over", "-V 3.1.1 --count 4 --variant clean --will-wait 1s", 4),
];

#[test]
fn a_newcomer_that_is_taken_over_is_another_incident() {
    let line = |came: &str, mid, held: &str| {
        format!(
            "[29370] 2026/11/25 04:12:56.158083 [WRN] 127.0.0.1:{came} - mid:{mid} - \"abc\" - Replacing old client \
             \"127.0.0.1:{held} - \\\"abc\\\"\" since both have the same client ID \"abc\"\n"
        )
    };
    let first = line("37702", 239, "37492 - mid:209");
    let of_the_newcomer = line("37844", 253, "37702 - mid:239");
    let stranger = line("37900", 260, "37844 - mid:253");
    let ended = |explained: &Value| -> Vec<String> {
        let all = explained["incidents"].as_array().unwrap();
        all.iter().map(|incident| incident["address"].as_str().unwrap().to_owned()).collect()
    };
    let explained = explained("", &(first + &of_the_newcomer + &stranger));
    assert_eq!(ended(&explained), ["127.0.0.1:37492", "127.0.0.1:37702", "127.0.0.1:37844"]);
}

/// Proves every row of this broker, at least one.
fn prove_on(broker: &str) {
    let proofs: Vec<&Proof> = PROOFS.iter().filter(|proof| proof.broker == broker).collect();
    assert!(!proofs.is_empty(), "{broker} has proofs");
    proofs.into_iter().for_each(prove);
}

fn prove(proof: &Proof) {
    let Proof { statement, cause, .. } = proof;
    let is_whole = statement.starts_with("Client ID");
    let line = if is_whole { (*statement).to_owned() } else { format!("{REASON}{statement}") };
    let reproduce = words(&explained("", &line)["causes"][0]["reproduce"]);
    let Some(broker) = RealBroker::start(proof.broker) else { return };
    let call = call_as(&reproduce, broker.address, &broker.log, proof.short);
    let explained = explained_when(&broker.log, |explained| {
        incidents(explained).iter().filter(|(_, found)| found == cause).count() >= proof.incidents
    });
    assert_reported(proof, &explained, &call, &std::fs::read_to_string(&broker.log).unwrap());
}

/// Calls the command from explain, with short phases and the place of its broker filled in.
fn call_as(words: &[String], address: SocketAddr, log: &str, short: &str) -> Call {
    let Some((words, host)) = words.split_last_chunk::<2>().map(|(words, host)| (words, host.clone())) else {
        panic!("{words:?}")
    };
    assert_eq!(host, ["--host", command::HOST]);
    let (mode, flags) = match words.get(1).filter(|word| !word.starts_with('-')) {
        Some(mode) => (mode.as_str(), &words[2..]),
        None => ("", &words[1..]),
    };
    let call =
        call_at(address, &words[0], mode, &format!("{} -i abc --broker-log {log} {short}", flags.join(" ")));
    assert!(matches!(call.exit(), 0 | 1 | 3), "{call}");
    call
}

/// Each attempt that the broker logged has one incident, of this cause, in the broker's log and in the record, and no other client has
/// one.
fn assert_reported(proof: &Proof, explained: &Value, call: &Call, log: &str) {
    let Proof { cause, broker, .. } = proof;
    let mut reported = incidents(explained);
    // NATS 2.9 closes clients that publish with QoS 2, which the bystanders do.
    reported.retain(|(client, cause)| {
        let is_honest =
            cause == "not-supported" && !call.attempts().iter().any(|attempt| attempt.client_id == *client);
        !(*broker == "nats" && is_honest)
    });
    let causes: Vec<&str> = reported.iter().map(|(_, cause)| cause.as_str()).collect();
    if !proof.names_clients {
        assert_eq!(causes, vec![*cause; proof.incidents], "{broker} {cause}: {call}\n{explained}\n{log}");
        assert!(every(&reported, |(client, _)| client == "-"), "{explained}");
        return;
    }
    let attempts = call.attempts();
    assert_eq!(attempts.len(), proof.incidents, "{broker} {cause}: {call}");
    let logged = attempts.iter().filter(|attempt| proof.is_logged(log, &attempt.client_id)).count();
    assert!(logged > 0, "{broker} {cause}: {call}\n{log}");
    assert_eq!(causes, vec![*cause; logged], "{broker} {cause}: {call}\n{explained}\n{log}");
    for attempt in attempts {
        let is_logged = proof.is_logged(log, &attempt.client_id);
        let of_attempt = |(client, _): &&(String, String)| *client == attempt.client_id;
        let found = reported.iter().filter(of_attempt).count();
        assert_eq!(found, usize::from(is_logged), "{broker} {attempt:?}\n{explained}\n{log}");
        let named = attempt.broker_log.as_ref().and_then(|logged| logged.cause.as_deref());
        assert_eq!(named, is_logged.then_some(*cause), "{broker} {attempt:?}\n{log}");
        assert!(attempt.client_id.starts_with("abc"), "{attempt:?}");
    }
}

#[test]
fn commands_of_explain_reproduce_their_causes_on_mosquitto() {
    prove_on("mosquitto");
}

#[test]
fn a_command_that_explain_prints_provokes_its_cause_on_rabbitmq() {
    prove_on("rabbitmq");
}

#[test]
fn a_command_that_explain_prints_provokes_its_cause_on_nats() {
    prove_on("nats");
}

#[test]
fn a_kick_is_reported_as_one_from_mosquittos_log() {
    let kick = words(&explained("--code 0x98", "")[0]["reproduce"]);
    assert_eq!(kick, ["ungraceful-expire", "kick", "--host", command::HOST]);
    let call = call(&kick[0], "kick", "--spawn mosquitto --attempts 2 --variant disable -i abc");
    let log: String = call.broker_log().into_iter().map(|line| line.line + "\n").collect();
    let mut explained = explained("", &log);
    // Each is rejected when it reconnects, which is also an incident. The start of the broker may have probed its port. No administrator is
    // among them: each of them disconnects.
    let mut causes: BTreeMap<String, usize> = BTreeMap::new();
    for (_, cause) in incidents(&explained) {
        *causes.entry(cause).or_default() += 1;
    }
    // Mosquitto does not log every connection that is closed at once.
    let probes = causes.remove("before-connect").unwrap_or(0);
    assert!(probes <= 1, "{explained}");
    let expected = [("bad-credentials", 4), ("kicked", 4)];
    assert_eq!(causes, expected.map(|(cause, count)| (cause.to_owned(), count)).into(), "{explained}");
    let is_kick = |incident: &Value| incident["cause"] == "kicked";
    explained["incidents"].as_array_mut().unwrap().retain(is_kick);
    assert_reported(&proof("mosquitto", "", "kicked", "", 4), &explained, &call, &log);
}

#[test]
fn the_lines_of_every_broker_are_recognised_in_every_wrapper() {
    for broker in Broker::ALL {
        let rows = patterns()
            .iter()
            .filter(|row| row.broker == *broker && !matches!(row.effect, Effect::Behind | Effect::Aside));
        let examples: Vec<&str> = rows.map(|row| row.example).collect();
        let wraps: [fn(&str) -> String; 3] = [
            |line| line.to_owned(),
            |line| format!("Nov 24 23:10:06 host broker[812]: {line}"),
            |line| {
                serde_json::json!({"log": format!("{line}\n"), "stream": "stdout", "time": "2026-11-24T23:10:06Z"}).to_string()
            },
        ];
        for wrap in wraps {
            let log: String = examples.iter().map(|line| wrap(line) + "\n").collect();
            // Some lines of clients may be any program's.
            let given = if *broker == Broker::Client { "--broker client" } else { "" };
            let explained = explained(given, &log);
            assert_eq!(explained["logs"][0]["broker"], broker.slug(), "{explained}");
            assert_eq!(explained["logs"][0]["lines_recognised"], examples.len(), "{}", wrap(broker.slug()));
        }
    }
}
