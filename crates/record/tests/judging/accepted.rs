//! Known deviations: which violations they cover, the exit code, and what the report says about one that did not show.

use ungraceful_mqtt::statement::V5_3_1_0_2;
use ungraceful_record::accepted::{Accepted, accept};
use ungraceful_record::attempt::Case;
use ungraceful_record::check::Finding;
use ungraceful_record::exit::Exit;
use ungraceful_record::run::{Completeness, Record};
use ungraceful_record::testing::empty_record;
use ungraceful_record::verdict::{Force, exit_of, why_exit};

/// A complete run in which `claim` is violated in two cases and holds in a third.
fn violated_in_two_cases() -> Record {
    let mut record = empty_record();
    record.completeness = Completeness::Complete;
    let violated = |variant, version| {
        let verdict = Finding::violated("seen").by(V5_3_1_0_2).verdict("claim", Force::Must);
        verdict.on(&Case::new("storm", variant, version))
    };
    let holds = Finding::holds(1, "seen").verdict("claim", Force::Must);
    record.verdicts = vec![
        violated("clean", "5.0"),
        violated("resume", "3.1.1"),
        holds.on(&Case::new("storm", "clean", "3.1.1")),
    ];
    record
}

fn accepting(known: &[&str]) -> Record {
    let mut record = violated_in_two_cases();
    let known: Vec<Accepted> = known.iter().map(|text| text.parse().expect("a known deviation")).collect();
    accept(&mut record, &known);
    record
}

#[test]
fn only_what_is_accepted_in_every_case_ends_with_0() {
    for (known, exit, covered) in [
        (&[][..], Exit::Violated, vec![]),
        (&["claim=why"], Exit::Holds, vec![2]),
        (&["claim@clean=why"], Exit::Violated, vec![1]),
        (&["claim@clean/5.0=why"], Exit::Violated, vec![1]),
        (&["claim@storm clean on MQTT 5.0=why", "claim@3.1.1=another"], Exit::Holds, vec![1, 1]),
        // Words of no case, and a part of a word.
        (
            &["claim@clean/3.1.1=why", "claim@clea=why", "claim@clean/resume=why"],
            Exit::Violated,
            vec![0, 0, 0],
        ),
        (&["other=why"], Exit::Violated, vec![0]),
        // The first one covers it.
        (&["claim@5.0=one", "claim=two"], Exit::Holds, vec![1, 1]),
    ] {
        let record = accepting(known);
        assert_eq!(exit_of(&record), exit, "{known:?}");
        let covers: Vec<u64> = record.accepted.iter().map(|known| known.covers).collect();
        assert_eq!(covers, covered, "{known:?}");
    }
    let record = accepting(&["claim@clean=ticket 7"]);
    let reasons: Vec<_> = record.verdicts.iter().map(|verdict| verdict.accepted.as_deref()).collect();
    assert_eq!(reasons, [Some("ticket 7"), None, None]);
}

#[test]
fn an_accepted_deviation_stays_a_violation_and_accepts_nothing_else() {
    let mut record = accepting(&["claim=why"]);
    assert_eq!(why_exit(&record), "every check holds, but for 2 known deviations");
    record.verdicts.push(Finding::inconclusive("not seen").verdict("another", Force::Must));
    assert_eq!(exit_of(&record), Exit::Inconclusive);
    assert_eq!(why_exit(&record), "inconclusive: 1 check gave no answer; the findings say why");
    record.completeness = Completeness::Interrupted;
    assert_eq!(exit_of(&record), Exit::Interrupted);
}

#[test]
fn one_that_no_longer_shows_is_told() {
    let gone = |known: &str| {
        let record = accepting(&[known]);
        record.accepted[0].gone(&record)
    };
    assert_eq!(gone("claim=why"), None);
    assert_eq!(gone("claim@clean/3.1.1=why"), Some("it did not show, the claim holds now: leave it out"));
    assert_eq!(gone("claim@discard=why"), Some("no check of this run is about it"));
    let mut record = accepting(&[]);
    record.verdicts = vec![Finding::inconclusive("not seen").verdict("claim", Force::Must)];
    accept(&mut record, &["claim=why".parse().expect("a known deviation")]);
    assert_eq!(record.accepted[0].gone(&record), Some("this run could not conclude it"));
}

#[test]
fn what_is_no_known_deviation_is_rejected_with_the_form() {
    for (text, why) in [
        ("claim", "has no reason"),
        ("claim= ", "has no reason"),
        ("=why", "names no check"),
        ("claim@ =why", "names no case"),
    ] {
        let wrong = text.parse::<Accepted>().expect_err(text);
        assert!(wrong.contains(why) && wrong.contains("CHECK@CASE=REASON"), "{text}: {wrong}");
    }
    let known: Accepted = " claim @ clean = a=b ".parse().expect("a known deviation");
    assert_eq!((&*known.check, known.case.as_deref(), &*known.reason), ("claim", Some("clean"), "a=b"));
    assert_eq!(known.to_string(), "claim@clean");
}
