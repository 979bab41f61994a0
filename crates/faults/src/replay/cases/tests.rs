//! Reading files of cases: every kind of step, and every mistake.

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::expectation::Expected;
use ungraceful_scenario::model::{Action, Force};
use ungraceful_scenario::{Scenario, parse, print};

use super::{ROWS_MAX, of_text};

/// A row of a group with these steps, after a CONNECT.
fn row(name: &str, steps: &str) -> String {
    format!(
        "{{\"version\": \"5.0\", \"connected_first\": true, \"steps\": {steps}, \"then\": \"open\", \"file\": \"A b\", \
         \"group\": \"v5.0  C\", \"name\": \"{name}\"}}\n"
    )
}

fn read(text: &str) -> Vec<Scenario> {
    of_text(text, "some.ndjson").unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

fn mistakes(text: &str) -> Vec<String> {
    of_text(text, "some.ndjson").expect_err("the text has mistakes")
}

/// The steps of the only row, as a scenario is written.
fn steps(json: &str) -> String {
    let scenarios = read(&row("n", json));
    let printed = print(&scenarios[0]);
    let again = parse(&printed).unwrap_or_else(|mistakes| panic!("{mistakes:#?}\n{printed}"));
    assert_eq!(again, scenarios[0], "what is printed is the scenario");
    printed
}

#[track_caller]
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("no {part:?} in its place in\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn rows_of_a_group_are_cases_of_a_scenario() {
    let text = row("F0 [x]", "[]") + "\n" + &row("f0-X", "[]").replace("open", "closed") + &row("!", "[]");
    let other = row("F0 x", "[]").replace("A b", "d").replace("5.0", "3.1.1");
    let scenarios = read(&(text + &other));
    let ids: Vec<&str> = scenarios.iter().map(|scenario| &*scenario.id).collect();
    assert_eq!(ids, ["a-b-v5-0-c", "d-v3-1-1-c"]);
    let names: Vec<&str> = scenarios[0].cases.iter().map(|case| &*case.name).collect();
    assert_eq!(names, ["f0-x", "f0-x-2", "case"]);
    let expects: Vec<(&Expected, &Force)> = scenarios[0]
        .cases
        .iter()
        .flat_map(|case| &case.expects)
        .map(|expect| (&expect.what, &expect.force))
        .collect();
    let by = |line: u32| Force::Prose(format!("as recorded in some.ndjson, line {line}"));
    let expected = [(&Expected::Stays, &by(1)), (&Expected::Closes, &by(3)), (&Expected::Stays, &by(4))];
    assert_eq!(expects, expected);
    assert_eq!(scenarios[1].versions, [ProtocolVersion::V3_1_1]);
}

#[test]
fn a_name_with_a_number_stays_unique() {
    let scenarios = read(&["a-2", "a", "a", "a"].map(|name| row(name, "[]")).concat());
    let names: Vec<&str> = scenarios[0].cases.iter().map(|case| &*case.name).collect();
    assert_eq!(names, ["a-2", "a", "a-3", "a-4"]);
}

#[test]
fn bytes_are_sent_and_answers_awaited() {
    let printed = steps("[{\"send\": \"820604d200017001\"}, {\"recv\": \"900404d20001 d00 0e00182\"}]");
    assert_in_order(
        &printed,
        &[
            "connect = {}",
            "send = { hex = \"82 06 04 D2 00 01 70 01\" }",
            "provokes = true",
            "wait_for = { packet = \"SUBACK\", required = false }",
            "wait_for = { packet = \"PINGRESP\", required = false }",
            "wait_for = { packet = \"DISCONNECT\", required = false }",
            "stays",
            "receives = [\"CONNACK 0x00\", \"SUBACK 0x01\", \"PINGRESP\", \"DISCONNECT 0x82\"]",
        ],
    );
}

#[test]
fn another_client_publishes() {
    let publishes = |qos: u8| {
        format!(
            "{{\"other_client_publishes\": {{\"topic\": \"t{{x}}\", \"qos\": {qos}, \"payload\": \"p\"}}}}"
        )
    };
    let printed = steps(&format!("[{{\"send\": \"c000\"}}, {}, {}]", publishes(2), publishes(1)));
    assert_in_order(
        &printed,
        &[
            "connect = {}",
            "C0 00",
            "provokes = true",
            "client = \"b\"",
            "connect = {}",
            "t{{x}}",
            "PUBREC",
            "pubrel",
            "PUBCOMP",
            "PUBACK",
        ],
    );
    assert_eq!(printed.matches("connect = {}").count(), 2, "it connects once:\n{printed}");
    assert!(!printed.contains("receives"), "the row has no recv:\n{printed}");
}

#[test]
fn the_client_subscribes_and_unsubscribes() {
    let printed = steps(
        "[{\"subscribe\": {\"topic\": \"t\", \"qos\": 1}}, {\"unsubscribe\": {\"topic\": \"t\"}}, {\"recv\": \"d000\"}]",
    );
    assert_in_order(&printed, &["subscribe", "SUBACK", "unsubscribe", "UNSUBACK", "PINGRESP"]);
    assert!(!printed.contains("receives"), "it is unknown what the broker answers:\n{printed}");
}

#[test]
fn a_client_that_sends_nothing_asks_whether_it_is_served() {
    assert_in_order(&steps("[]"), &["connect = {}", "pingreq", "provokes = true"]);
}

#[test]
fn mqtt_3_1_has_its_own_protocol_name() {
    let printed = print(&read(&row("n", "[]").replace("5.0\",", "3.1\","))[0]);
    assert_in_order(&printed, &["versions = [\"3.1.1\"]", "MQIsdp", "protocol_level = 3"]);
}

#[test]
fn the_client_sends_its_own_connect() {
    let text = row("n", "[{\"send\": \"10\"}]").replace("true", "false");
    let scenario = &read(&text)[0];
    assert!(matches!(scenario.cases[0].steps[0].action, Action::Send(_)));
    assert_eq!(scenario.cases[0].steps.len(), 1);
}

#[test]
fn every_mistake_has_its_line_its_key_and_its_cure() {
    let good = row("n", "[]");
    for (text, expected) in [
        ("nonsense\n".to_owned(), "line 1: this is no JSON"),
        ("[]\n".to_owned(), "line 1: write an object with version, connected_first"),
        (
            good.replace("5.0\",", "5\","),
            "line 1: version: this is something else: write one of \"3.1\", \"3.1.1\"",
        ),
        (
            good.replace("open", "ajar"),
            "line 1: then: this is something else: write one of \"closed\", \"open\"",
        ),
        (good.replace("true", "1"), "line 1: connected_first: this is something else: write true or false"),
        (
            good.replace("\"then\"", "\"than\""),
            "line 1: than: unknown key: did you mean then? The keys are version",
        ),
        (good.replace("\"then\"", "\"than\""), "line 1: then: it is missing"),
        (good.replace("\"n\"", "\" \""), "line 1: name: write 1 to 200 bytes"),
        (good.replace("[]", "{}"), "line 1: steps: this is something else: write a list"),
        (good.replace("true", "false"), "line 1: steps: the client does nothing: add a step with send"),
        (row("n", "[3]"), "line 1: steps[1]: write an object with send, recv"),
        (row("n", "[{}]"), "line 1: steps[1]: write one of send, recv"),
        (row("n", "[{\"send\": \"00\", \"recv\": \"00\"}]"), "line 1: steps[1]: write one of send, recv"),
        (row("n", "[{\"sent\": \"00\"}]"), "line 1: steps[1].sent: unknown key: did you mean send?"),
        (
            row("n", "[{\"send\": \"0\"}]"),
            "line 1: steps[1].send: write two hexadecimal digits for each byte",
        ),
        (row("n", "[{\"send\": \"\"}]"), "line 1: steps[1].send: write two hexadecimal digits for each byte"),
        (row("n", "[{\"recv\": \"20020\"}]"), "line 1: steps[1].recv: write two hexadecimal digits"),
        (row("n", "[{\"recv\": \"200200\"}]"), "line 1: steps[1].recv: this ends amid a packet"),
        (
            row("n", "[{\"recv\": \"0000\"}]"),
            "line 1: steps[1].recv: no broker sends one of these packets: leave it out",
        ),
        (row("n", "[{\"recv\": \"c000\"}]"), "line 1: steps[1].recv: no broker sends one of these packets"),
        (row("n", "[{\"subscribe\": {}}]"), "line 1: steps[1].subscribe.topic: it is missing: write a text"),
        (
            row("n", "[{\"other_client_publishes\": {\"topic\": \"t\", \"qos\": 3}}]"),
            "line 1: steps[1].other_client_publishes.qos: this is something else: write 0, 1 or 2",
        ),
        ("\n \n".to_owned(), "line 1: the file has no rows"),
        (" ".repeat(1 << 20) + &good, "line 1: the line is longer than"),
    ] {
        let found = mistakes(&text);
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{expected}: {found:#?}");
    }
}

#[test]
fn all_mistakes_are_reported_together() {
    let text =
        row("n", "[]").replace("open", "ajar") + &row("n", "[]") + &row("n", "[{\"send\": \"x\"}, {}]");
    let lines: Vec<String> = mistakes(&text)
        .iter()
        .filter_map(|mistake| Some(mistake.split_once(": write")?.0.to_owned()))
        .collect();
    assert_eq!(lines, ["line 1: then: this is something else", "line 3: steps[1].send", "line 3: steps[2]"]);
    let many = mistakes(&"x\n".repeat(60));
    assert_eq!((many.len(), many.last().map(String::as_str)), (51, Some("and 10 further mistakes")));
}

#[test]
fn a_file_has_a_largest_number_of_rows() {
    let text = row("n", "[]").repeat(ROWS_MAX + 1);
    assert_eq!(mistakes(&text), ["line 10001: only 10000 rows are read: split the file"]);
}
