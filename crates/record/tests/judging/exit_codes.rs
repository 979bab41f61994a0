//! The exit code of a judged record.

use ungraceful_mqtt::statement::V5_3_1_0_2;
use ungraceful_record::check::{Check, Finding};
use ungraceful_record::exit::Exit;
use ungraceful_record::run::Completeness;
use ungraceful_record::verdict::{Conclusion, Force, Verdict, exit_of, judge};

use ungraceful_record::testing::empty_record;

const ALL: [Completeness; 6] = [
    Completeness::Partial,
    Completeness::Complete,
    Completeness::Interrupted,
    Completeness::BrokerDown,
    Completeness::OutOfTime,
    Completeness::RecordFailed,
];

fn verdict(conclusion: Conclusion) -> Verdict {
    match conclusion {
        Conclusion::Holds => Finding::holds(1, "seen").verdict("claim", Force::Must),
        Conclusion::Violated => Finding::violated("seen").by(V5_3_1_0_2).verdict("claim", Force::Must),
        Conclusion::Inconclusive => Finding::inconclusive("not seen").verdict("claim", Force::Must),
    }
}

fn exit(completeness: Completeness, conclusions: &[Conclusion]) -> Exit {
    let mut record = empty_record();
    record.completeness = completeness;
    record.verdicts = conclusions.iter().copied().map(verdict).collect();
    exit_of(&record)
}

#[test]
fn a_complete_run_exits_by_its_worst_verdict_in_any_order() {
    use Conclusion::{Holds, Inconclusive, Violated};
    let complete = |conclusions: &[Conclusion]| exit(Completeness::Complete, conclusions);
    assert_eq!(complete(&[Holds]), Exit::Holds);
    assert_eq!(complete(&[Holds, Holds]), Exit::Holds);
    assert_eq!(complete(&[Holds, Inconclusive]), Exit::Inconclusive);
    assert_eq!(complete(&[Inconclusive, Holds]), Exit::Inconclusive);
    assert_eq!(complete(&[Holds, Violated]), Exit::Violated);
    assert_eq!(complete(&[Violated, Inconclusive, Holds]), Exit::Violated);
    assert_eq!(complete(&[Inconclusive, Violated]), Exit::Violated);
}

#[test]
fn no_verdict_is_no_success() {
    assert_eq!(exit(Completeness::Complete, &[]), Exit::Inconclusive);
}

#[test]
fn a_deviation_that_is_allowed_is_a_success() {
    let mut record = empty_record();
    record.verdicts = vec![Finding::differs(1, "another code", "seen").verdict("claim", Force::May)];
    assert_eq!(exit_of(&record), Exit::Holds);
}

#[test]
fn interruptions_and_unwritten_records_override_verdicts() {
    use Conclusion::{Holds, Inconclusive, Violated};
    for conclusions in [&[][..], &[Holds], &[Inconclusive], &[Violated], &[Holds, Inconclusive, Violated]] {
        assert_eq!(exit(Completeness::Interrupted, conclusions), Exit::Interrupted, "{conclusions:?}");
        assert_eq!(exit(Completeness::RecordFailed, conclusions), Exit::Environment, "{conclusions:?}");
    }
}

#[test]
fn a_run_cut_short_is_no_success_but_keeps_violations() {
    use Conclusion::{Holds, Inconclusive, Violated};
    for completeness in [Completeness::Partial, Completeness::BrokerDown, Completeness::OutOfTime] {
        assert_eq!(exit(completeness, &[]), Exit::Inconclusive, "{completeness:?}");
        assert_eq!(exit(completeness, &[Holds]), Exit::Inconclusive, "{completeness:?}");
        assert_eq!(exit(completeness, &[Holds, Inconclusive]), Exit::Inconclusive, "{completeness:?}");
        assert_eq!(exit(completeness, &[Inconclusive, Violated]), Exit::Violated, "{completeness:?}");
    }
}

#[test]
fn only_a_complete_run_without_violations_is_a_success() {
    for completeness in ALL {
        let is_success = exit(completeness, &[Conclusion::Holds]) == Exit::Holds;
        assert_eq!(is_success, completeness == Completeness::Complete, "{completeness:?}");
    }
}

#[test]
fn judging_again_replaces_the_verdicts_and_keeps_their_order() {
    let mut record = empty_record();
    record.verdicts = vec![verdict(Conclusion::Violated)];
    judge(
        &mut record,
        &[
            Check::of_run("first", Force::Run, &[], |_| Some(Finding::holds(1, ""))),
            Check::of_run("none", Force::Run, &[], |_| None),
            Check::of_run("second", Force::Run, &[], |_| Some(Finding::holds(1, ""))),
            Check::of_run("third", Force::Run, &[], |_| Some(Finding::holds(1, ""))),
        ],
    );
    let names: Vec<&str> = record.verdicts.iter().map(|verdict| verdict.check.as_str()).collect();
    assert_eq!(names, ["first", "second", "third"]);
}

#[test]
fn a_violation_has_its_statement_and_the_force_must() {
    let verdict = verdict(Conclusion::Violated);
    assert_eq!((verdict.force, verdict.citation.as_deref()), (Force::Must, Some("MQTT 5.0 [MQTT-3.1.0-2]")));
}

#[test]
fn exit_codes_are_the_published_ones() {
    let codes = Exit::ALL.map(Exit::code);
    assert_eq!(codes, [0, 1, 2, 3, 4, 70, 130]);
}
