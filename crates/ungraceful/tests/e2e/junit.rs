//! JUnit XML as a pipeline uses it: `--junit FILE` beside the normal output, and `--format junit`.

use std::path::Path;

use roxmltree::Document;
use ungraceful_scripted_broker::{Script, ScriptedBroker};

use crate::support::{Call, at, binary, call_at, double_connect_at, free_port};

fn ignoring() -> Script {
    Script { second_connect: "ignore".parse().unwrap(), ..Script::default() }
}

/// Names and messages of the elements of this name, by their test case.
fn of(xml: &str, element: &str) -> Vec<(String, String)> {
    let document = Document::parse(xml).unwrap_or_else(|error| panic!("{error}\n{xml}"));
    let found = document.descendants().filter(|node| node.has_tag_name(element));
    found
        .map(|node| {
            let case = node.parent().and_then(|case| case.attribute("name")).unwrap();
            (case.to_owned(), node.attribute("message").unwrap_or_default().to_owned())
        })
        .collect()
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn a_violation_is_a_failure_in_the_file_and_the_text_is_printed_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("junit.xml");
    std::fs::write(&file, "an older result, longer than the new one".repeat(10_000)).unwrap();
    let flags = format!("--variant identical --attempts 3 --junit {}", file.display());
    let call = double_connect_at(ignoring(), &flags).expect_exit(1);
    call.assert_prints(&["VIOLATED", "reproduce: "]);
    assert!(!call.stdout().contains("--junit"), "a command that reproduces leaves the file alone\n{call}");
    let xml = read(&file);
    let failures = of(&xml, "failure");
    let names: Vec<&str> = failures.iter().map(|(name, _)| &**name).collect();
    assert_eq!(
        names,
        ["closes_on_second_connect identical MQTT 3.1.1", "closes_on_second_connect identical MQTT 5.0"],
        "{xml}"
    );
    assert!(failures[1].1.starts_with("MQTT 5.0 [MQTT-3.1.0-2]: "), "{failures:?}");
    let document = Document::parse(&xml).unwrap();
    let cases = document.descendants().filter(|node| node.has_tag_name("testcase")).count();
    assert_eq!(cases, call.record().verdicts.len() + call.record().cases_left_out.len(), "{xml}");
}

#[test]
fn the_format_junit_prints_the_document_alone() {
    let flags = "--variant identical --attempts 3 --format junit";
    let broken = double_connect_at(ignoring(), flags).expect_exit(1);
    assert_eq!(of(&broken.stdout(), "failure").len(), 2, "{broken}");
    let sound = double_connect_at(Script::default(), flags).expect_exit(0);
    assert!(of(&sound.stdout(), "failure").is_empty(), "{sound}");
}

#[test]
fn a_run_that_can_not_begin_replaces_an_older_result_by_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("junit.xml");
    std::fs::write(&file, "<testsuites/>").unwrap();
    let closed = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let call = double_connect_at(closed, &format!("--junit {}", file.display())).expect_exit(4);
    let errors = of(&read(&file), "error");
    assert!(errors.len() == 1 && errors[0].1.contains("refused"), "{errors:?}\n{call}");
}

#[test]
fn a_file_that_can_not_be_written_is_a_mistake_before_anything_is_sent() {
    let broker = ScriptedBroker::start(Script::default());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none").join("junit.xml");
    let flags = format!("--count 0 --junit {}", file.display());
    let call = double_connect_at(broker.address(), &flags);
    call.assert_mistake(&["--count", "--junit: cannot write", "name a file in a folder that exists"]);
    let storm = call_at(
        broker.address(),
        "ungraceful-takeover",
        "storm",
        &format!("--junit {}", folder.path().display()),
    );
    storm.assert_mistake(&["--junit: cannot write"]);
    assert_eq!(broker.log().connections(), 0);
}

#[test]
fn the_result_never_replaces_the_file_that_is_carried_out() {
    const SCENARIO: &str = "id = \"mine\"\nabout = \"x\"\n[[step]]\nconnect = {}\n[[step]]\nend = \"fin\"\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my-fault.toml");
    std::fs::write(&file, SCENARIO).unwrap();
    let broker = ScriptedBroker::start(Script::default());
    let flags = format!("{0} --junit {0}", file.display());
    let call = call_at(broker.address(), "ungraceful-replay", "", &flags);
    call.assert_mistake(&["--junit:", "the result would replace it; name another file"]);
    assert_eq!(read(&file), SCENARIO);
    assert_eq!(broker.log().connections(), 0);
}

#[test]
fn a_plan_and_a_mistake_leave_the_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("junit.xml");
    let broker = ScriptedBroker::start(Script::default());
    let flags = |more: &str| format!("{} --junit {} {more}", at(broker.address()), file.display());
    for more in ["--print-plan", "--count 0"] {
        let call = binary(&format!("ungraceful-double-connect {}", flags(more))).output().unwrap();
        assert!(!file.exists(), "{more}: {call:?}");
    }
}

#[test]
fn a_tour_has_a_suite_for_each_cause() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("junit.xml");
    let broker = ScriptedBroker::start(ignoring());
    let flags = format!("--only double-connect,kick --junit {}", file.display());
    let call = crate::support::tour(&format!("{} {flags}", at(broker.address()))).expect_exit(1);
    let xml = read(&file);
    assert!(!of(&xml, "failure").is_empty(), "{xml}\n{call}");
    assert_eq!(of(&xml, "skipped").iter().filter(|(_, why)| why.contains("--kick-cmd")).count(), 1, "{xml}");
}

#[test]
fn a_list_has_no_verdicts() {
    let call = Call::without_record(binary("ungraceful list --format junit").output().unwrap());
    assert_eq!(call.exit(), 2, "{call}");
    call.assert_reports(&["--format: junit is for the verdicts of a run", "choose text"]);
}
