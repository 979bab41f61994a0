//! `--print-plan`, and seeds that repeat a plan.

use crate::support::double_connect;

fn plan(arguments: &str) -> serde_json::Value {
    let call = double_connect(&format!("--print-plan --format json {arguments}")).expect_exit(0);
    assert!(!call.folder.exists(), "a plan writes nothing");
    serde_json::from_slice(&call.output.stdout).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_plan_and_another_seed_does_not() {
    let with = |seed| plan(&format!("--seed {seed} --arrival poisson --attempts 5"));
    assert_eq!(with("1"), with("1"));
    assert_ne!(with("1")["attempts"], with("2")["attempts"]);
}

#[test]
fn a_run_carries_out_the_plan_of_its_seed() {
    let flags = "--seed 77 --attempts 3 --variant identical,other-client-id --delay 1ms";
    let planned = plan(flags);
    let call = double_connect(flags).expect_exit(0);
    let began_us = call.record().phases.iter().find(|phase| phase.phase.name() == "fault").unwrap().began_us;
    let mut attempts = call.attempts();
    attempts.sort_by_key(|attempt| attempt.attempt);
    let planned = planned["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), planned.len());
    for (attempt, planned) in attempts.iter().zip(planned) {
        assert_eq!(attempt.due_us - began_us, planned["due_us"].as_u64().unwrap());
        assert_eq!(attempt.case.to_string(), planned["case"].as_str().unwrap());
    }
}

#[test]
fn the_plan_as_text_has_every_case_and_bound() {
    let call = double_connect("--print-plan --seed 5 --attempts 10");
    call.assert_prints(&[
        "nothing is sent",
        "seed 5",
        "embedded broker",
        "attempts               100",
        "duration               at most ",
    ]);
    let text = call.stdout();
    // Three pairs, the witness, and the client that reads $SYS; each message has a stamp of five numbers.
    assert!(text.contains("8 connections, ") && text.contains(" messages per second of 40 bytes"), "{text}");
    for variant in ["identical", "other-client-id", "same-segment", "delayed", "with-will"] {
        assert!(text.contains(&format!("double-connect {variant} MQTT 5.0")), "{text}");
    }
}
