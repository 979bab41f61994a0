//! Every expectation of every scenario of the catalogue: on a minimal record it holds, is violated if it is a MUST and noted if not,
//! and is inconclusive without samples. Generated from the catalogue, so a new scenario needs no test of its own.
#![cfg(test)]

use std::sync::Arc;

use ungraceful_faults::scenario::{CHECKS, ScenarioFault, catalogue};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::expectation::{Expectation, Expected, Publication};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Record, WillRecord, WitnessRecord};
use ungraceful_record::testing::{assert_holds, case, empty_record};
use ungraceful_record::verdict::{Conclusion, Force, Verdict, judge};

/// Attempts of each minimal case.
const ATTEMPTS: u64 = 3;

/// The cases of the catalogue, each with its expectations.
fn cases() -> Vec<CaseRecord> {
    let scenarios: Vec<_> = catalogue::all().iter().map(|entry| Arc::clone(&entry.scenario)).collect();
    let faults = ScenarioFault::of_all(&scenarios, &ProtocolVersion::ALL);
    let cases: Vec<CaseRecord> = faults
        .iter()
        .map(|fault| {
            let of = fault.case();
            CaseRecord { expects: fault.expects(), ..case(&of.fault, &of.variant, &of.version, &[]) }
        })
        .collect();
    assert!(cases.len() > 1_000, "{} cases", cases.len());
    cases
}

/// What a broker did: what is expected, or the opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broker {
    Obeys,
    Breaks,
}

/// The check of an expectation.
fn check_of(what: &Expected) -> &'static str {
    match what {
        Expected::Closes => "closes_the_connection",
        Expected::Stays => "keeps_serving",
        Expected::Disconnect(_) => "reports_the_reason",
        Expected::Connack(_) => "refuses_the_connect",
        Expected::Answers { .. } => "answers_as_expected",
        Expected::Receives(_) => "sends_what_was_recorded",
        Expected::Delivers { .. } => "delivers_as_expected",
        Expected::Will(Publication::Published) => "publishes_the_will",
        Expected::Will(Publication::Withheld) => "withholds_the_will",
    }
}

/// A record of a single case whose broker does this about one expectation.
fn record(of: &CaseRecord, expectation: &Expectation, broker: Broker) -> Record {
    let mut case = CaseRecord { expects: vec![expectation.clone()], ..of.clone() };
    (case.planned, case.finished) = (ATTEMPTS, ATTEMPTS);
    let obeys = broker == Broker::Obeys;
    let mut outcome =
        if obeys == (expectation.what == Expected::Stays) { Outcome::Tolerated } else { Outcome::Closed };
    let mut fact = |name: &str, value: String| {
        case.facts.entry(name.to_owned()).or_default().insert(value, ATTEMPTS);
    };
    match &expectation.what {
        Expected::Closes => outcome = if obeys { Outcome::Closed } else { Outcome::Tolerated },
        Expected::Stays => {}
        Expected::Disconnect(codes) => {
            // 0x8B is a code that no scenario expects.
            case.disconnect_codes.insert(if obeys { codes[0] } else { 0x8B }, ATTEMPTS);
        }
        Expected::Connack(codes) => {
            let other = if codes.contains(&0) { "0x8B" } else { "accepted" };
            let fitting = if codes[0] == 0 { "accepted".to_owned() } else { format!("0x{:02X}", codes[0]) };
            fact("connack", if obeys { fitting } else { other.to_owned() });
        }
        Expected::Answers { packet, codes } => {
            outcome = Outcome::Tolerated;
            let answer =
                codes.first().map_or_else(|| packet.clone(), |code| format!("{packet} 0x{code:02X}"));
            fact("answers", if obeys { answer } else { "none".to_owned() });
        }
        Expected::Receives(packets) => {
            fact("received", if obeys { packets.join(", ") } else { "none".to_owned() });
        }
        Expected::Delivers { count, .. } => {
            fact("delivered", (if obeys { *count } else { count + 1 }).to_string());
        }
        Expected::Will(publication) => {
            let is_due = *publication == Publication::Published;
            let is_seen = is_due == obeys;
            case.will = Some(WillRecord {
                set: ATTEMPTS,
                due: if is_due { ATTEMPTS } else { 0 },
                due_and_seen: if is_due && is_seen { ATTEMPTS } else { 0 },
                not_due_and_seen: if !is_due && is_seen { ATTEMPTS } else { 0 },
                ..WillRecord::default()
            });
        }
    }
    case.outcomes.insert(outcome.name().to_owned(), ATTEMPTS);
    let witness = Some(WitnessRecord { proved: true, unexpected: 0 });
    Record { cases: vec![case], witness, ..empty_record() }
}

/// The verdict of the expectation's check.
fn verdict(mut record: Record) -> Verdict {
    let check = check_of(&record.cases[0].expects[0].what);
    judge(&mut record, CHECKS);
    let found = record.verdicts.into_iter().find(|verdict| verdict.check == check && verdict.case.is_some());
    found.expect("each expectation has a verdict")
}

#[test]
fn every_expectation_holds_for_a_broker_that_obeys() {
    let mut expectations = 0;
    for case in cases() {
        for expectation in &case.expects {
            assert_holds(&verdict(record(&case, expectation, Broker::Obeys)));
            expectations += 1;
        }
    }
    assert!(expectations > 1_000, "{expectations}");
}

#[test]
fn every_must_is_violated_by_a_broker_that_breaks_it_and_nothing_else_is() {
    let (mut musts, mut others) = (0, 0);
    for case in cases() {
        for expectation in &case.expects {
            let verdict = verdict(record(&case, expectation, Broker::Breaks));
            let place = format!("{}: {expectation:?}: {verdict:?}", case.case);
            if expectation.force == Force::Must {
                let citation = format!("MQTT {} [{}]", case.case.version, expectation.by);
                assert_eq!(verdict.conclusion, Conclusion::Violated, "{place}");
                assert_eq!(verdict.citation, Some(citation), "{place}");
                musts += 1;
            } else {
                assert_ne!(verdict.conclusion, Conclusion::Violated, "{place}");
                assert_eq!(verdict.citation, None, "{place}");
                let is_noted = verdict.differs.is_some() || verdict.conclusion == Conclusion::Inconclusive;
                assert!(is_noted || expectation.force == Force::May, "{place}");
                others += 1;
            }
        }
    }
    assert!(musts > 300 && others > 300, "{musts} {others}");
}

#[test]
fn no_expectation_holds_without_samples() {
    for case in cases() {
        for expectation in &case.expects {
            let without = CaseRecord { expects: vec![expectation.clone()], ..case.clone() };
            let verdict = verdict(Record { cases: vec![without], ..empty_record() });
            assert_eq!(verdict.conclusion, Conclusion::Inconclusive, "{}: {verdict:?}", case.case);
        }
    }
}

#[test]
fn what_a_broker_may_have_forgotten_in_a_restart_is_no_violation() {
    let mut judged = 0;
    for case in cases() {
        for expectation in &case.expects {
            // A broker that closes, or serves, does so whether it restarted or not.
            if matches!(expectation.what, Expected::Closes | Expected::Answers { .. }) {
                continue;
            }
            let mut record = record(&case, expectation, Broker::Breaks);
            record.broker.honest_connections_lost = 1;
            assert_ne!(verdict(record).conclusion, Conclusion::Violated, "{}: {expectation:?}", case.case);
            judged += 1;
        }
    }
    assert!(judged > 100, "{judged}");
}
