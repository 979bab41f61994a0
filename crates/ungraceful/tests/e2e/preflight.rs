//! `--preflight`, and its warnings before a run.

use ungraceful_record::testing::every;
use ungraceful_scripted_broker::Script;

use crate::support::{Call, bench, bench_at, binary, double_connect};

/// The call has sent and written nothing.
fn printed(call: &Call) -> String {
    assert!(!call.folder.exists(), "a preflight writes nothing\n{call}");
    call.stdout()
}

#[test]
fn the_table_has_every_limit_and_the_exit_code_is_0_when_the_plan_fits() {
    let call = double_connect("--preflight --attempts 10").expect_exit(0);
    let text = printed(&call);
    call.assert_prints(&[
        "nothing is sent",
        "embedded broker",
        "descriptors of a process",
        "local ports",
        "memory",
    ]);
    assert!(every(text.lines(), |line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_plan_that_does_not_fit_exits_with_2_and_names_the_cure() {
    let call = bench("conn", "--preflight -c 1000000 --host 127.0.0.1 --port 1").expect_exit(2);
    printed(&call);
    call.assert_prints(&["short (local ports)", "--ifaddr"]);
    let many = "--preflight -c 20000 --host 127.0.0.1 --port 1 --connects-in-flight 500 --format json";
    let json = bench("conn", many).json();
    let of = |limit: &str| {
        let mut limits = json["limits"].as_array().unwrap().iter();
        limits.find(|line| line["limit"] == limit).unwrap_or_else(|| panic!("{json}")).clone()
    };
    assert_eq!(
        (of("local ports")["fit"].as_str(), of("connects in flight")["fit"].as_str()),
        (Some("warning"), Some("warning"))
    );
    assert!(of("local ports")["cure"].as_str().unwrap().contains("--ifaddr 127.0.1.1-127.0.1.2"), "{json}");
}

#[test]
fn the_warnings_are_printed_before_a_run() {
    let call = bench_at(Script::default(), "conn", "-c 2 -z 100ms --connects-in-flight 500").expect_exit(0);
    assert!(!call.stderr().contains("warning"), "there are only two connections\n{call}");
    let call = bench_at(Script::default(), "conn", "-c 130 -R 10000 -z 100ms --connects-in-flight 500");
    call.assert_reports(&[
        "warning: 130 connections are opened at the same time",
        "--connects-in-flight 100",
    ]);
}

#[test]
fn the_preflight_of_a_tour_is_that_of_its_largest_run() {
    let call = Call::of(binary("ungraceful --preflight --format json")).expect_exit(0);
    printed(&call);
    assert_eq!(call.json()["fits"], true, "{call}");
}
