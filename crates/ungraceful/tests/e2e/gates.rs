//! Thresholds and known deviations, in tools that inject faults.

use ungraceful_scripted_broker::{Malformed, Script};

use crate::support::{Call, binary, call_at};

const FLAGS: &str = "publish-qos3 --attempts 25 --connrate 200 -V 5";

fn serving_on() -> Script {
    Script { malformed: Malformed::Ignore, ..Script::default() }
}

#[test]
fn a_known_deviation_fails_no_run_and_is_told_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let failed = call_at(serving_on(), "ungraceful-violate", "scenario", FLAGS).expect_exit(1);
    let verdicts = failed.record().verdicts;
    let violated: Vec<_> = verdicts.iter().filter(|verdict| verdict.is_violation()).collect();
    assert_eq!(violated.len(), 4, "one for each variant: {failed}");
    let check = &violated[0].check;
    let file = folder.path().join("known.txt");
    std::fs::write(&file, format!("# of this broker\n\n{check}@5.0 = ticket 7\ngenerator_keeps_up=slow\n"))
        .unwrap();
    let flags = format!("{FLAGS} --accept-file {}", file.display());
    let passed = call_at(serving_on(), "ungraceful-violate", "scenario", &flags).expect_exit(0);
    passed.assert_prints(&[
        &format!("{check}: known: ticket 7"),
        "Known deviation generator_keeps_up (slow): it did not show",
        "Exit 0: every check holds, but for 4 known deviations",
    ]);
    // Judged again it is as well, by the record alone.
    let judge = format!("ungraceful-report judge {}", passed.folder.display());
    let judged = Call::without_record(binary(&judge).output().unwrap()).expect_exit(0);
    judged.assert_prints(&["known: ticket 7", "Judged again: the same "]);
}

#[test]
fn a_threshold_gates_a_tool_that_injects_a_fault() {
    let script = Script::default;
    let flags = format!("{FLAGS} --threshold closed==100% --threshold 'bystander_disconnects==0'");
    let kept = call_at(script(), "ungraceful-violate", "scenario", &flags).expect_exit(0);
    let kept = kept.record().verdicts;
    assert_eq!(kept.iter().filter(|verdict| verdict.check == "keeps_the_threshold").count(), 2);
    let flags = format!("{FLAGS} --threshold 'reaction min>10s'");
    call_at(script(), "ungraceful-violate", "scenario", &flags)
        .expect_exit(1)
        .assert_prints(&["reaction min>10s", "Exit 1: a check or a threshold is violated"]);
}

#[test]
fn no_output_replaces_a_file_that_the_call_reads() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known.txt");
    std::fs::write(&file, "generator_keeps_up=slow\n").unwrap();
    let known = file.display();
    for flag in ["--events", "--junit"] {
        let line = format!("ungraceful-violate scenario publish-qos3 --accept-file {known} {flag} {known}");
        let said = Call::without_record(binary(&line).output().unwrap());
        said.assert_mistake(&[&format!("{flag}: {known} is read by this call")]);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "generator_keeps_up=slow\n");
    }
}

#[test]
fn gates_that_cannot_be_judged_are_refused_together() {
    let line = "ungraceful-violate scenario publish-qos3 --bystanders 0 --threshold e2e --threshold 'ack max<1s' \
                --threshold bystander_loss==0 --accept nonsense=x --accept closes --accept-file /nonexistent";
    let said = Call::without_record(binary(line).output().unwrap()).expect_exit(2);
    said.assert_mistake(&[
        "--threshold: invalid threshold \"e2e\"",
        "ack is not measured in this run: it needs a load",
        "bystander_loss is not measured in this run: there are no bystanders",
        "--accept: this run has no check \"nonsense\"; its checks are ",
        "--accept: \"closes\" has no reason",
        "--accept-file: /nonexistent: No such file",
    ]);
    let unknown = "ungraceful-violate scenario publish-qos3 --host 127.0.0.1 --threshold memory_slope<1k --threshold broker_cpu<1";
    Call::without_record(binary(unknown).output().unwrap()).assert_mistake(&[
        "memory_slope is not measured in this run: the broker's process is unknown; give --broker-pid",
        "broker_cpu is not measured in this run",
    ]);
    let line = "ungraceful-bench conn --threshold 'reaction max<1s' --threshold 'suback max<1s'";
    let said = Call::without_record(binary(line).output().unwrap()).expect_exit(2);
    said.assert_mistake(&[
        "reaction is not measured in this run: a load provokes nothing",
        "suback is not measured",
    ]);
}
