//! The checks of scenarios: one for each kind of expectation. Each reads the expectation from the record of the case.

use ungraceful_mqtt::statement::{self, Statement};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::expectation::{Expectation, Expected, Publication};
use ungraceful_record::fact::FactOf;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{Completeness, Record};
use ungraceful_record::scale::bytes;
use ungraceful_record::verdict::Force;
use ungraceful_scenario::label::NONE;

use super::performance::{ACCEPTED, ANSWERS, CONNACK, DELIVERED, RECEIVED};
use crate::judging::{
    SENDS_NO_DISCONNECT_ON_3_1_1, breach, came_once, due_wills, evidence_count, examples, is_v3_1_1,
    names_the_reason, no_sample, no_will, sent_code, served_on, withheld,
};

/// The checks, in the order in which they are reported. Each applies to the cases that have such an expectation.
pub const CHECKS: &[Check] = &[
    Check::must("closes_the_connection", statement::ALL, closes_the_connection),
    Check::must("keeps_serving", statement::ALL, keeps_serving),
    Check::must("refuses_the_connect", statement::ALL, refuses_the_connect),
    Check::must("answers_as_expected", statement::ALL, answers_as_expected),
    Check::prose("sends_what_was_recorded", sends_what_was_recorded),
    Check::must("delivers_as_expected", statement::ALL, delivers_as_expected),
    Check::must("publishes_the_will", statement::ALL, publishes_the_will),
    Check::must("withholds_the_will", statement::ALL, withholds_the_will),
    Check::new("reports_the_reason", Force::May, reports_the_reason),
    SENDS_NO_DISCONNECT_ON_3_1_1.on(|case| !case.expects.is_empty() && is_v3_1_1(case)),
    Check::of_run("broker_stays_up", Force::Run, &[], broker_stays_up),
    Check::of_run("broker_memory_stays_level", Force::Run, &[], broker_memory_stays_level),
];

/// The expectation of a case that `is_it` selects; absent without one.
fn expected<'a, T>(
    case: &'a Judged<'_>,
    is_it: impl Fn(&'a Expected) -> Option<T>,
) -> Option<(&'a Expectation, T)> {
    case.of.expects.iter().find_map(|expectation| Some((expectation, is_it(&expectation.what)?)))
}

/// The statement of an expectation that is a MUST; absent for others.
fn statement_of(case: &Judged<'_>, expectation: &Expectation) -> Option<Statement> {
    if expectation.force != Force::Must {
        return None;
    }
    statement::find(case.case.protocol_version()?, &expectation.by)
}

/// The finding with the force and the statement of its expectation.
fn by(case: &Judged<'_>, expectation: &Expectation, finding: Finding) -> Finding {
    match statement_of(case, expectation) {
        Some(statement) => finding.by(statement),
        // A record of a version with other statements: nothing is violated by what can't be cited.
        None if expectation.force == Force::Must => finding.of(Force::Prose),
        None => finding.of(expectation.force),
    }
}

/// A deviation: a violation of a MUST, else a note. What a MAY allows, a broker need not do.
fn deviation(
    case: &Judged<'_>,
    expectation: &Expectation,
    violated: impl FnOnce(String) -> Finding,
    note: &str,
    evidence: String,
) -> Finding {
    match (statement_of(case, expectation), expectation.force) {
        (Some(_), _) => violated(evidence),
        (None, Force::May) => Finding::holds(evidence_count(case), format!("{evidence}; this is allowed")),
        (None, _) => Finding::differs(evidence_count(case), note, evidence),
    }
}

/// Violated only when the broker demonstrably kept serving the client; an open connection alone proves nothing.
fn closes_the_connection(case: &Judged<'_>) -> Option<Finding> {
    let (expectation, ()) = expected(case, |what| matches!(what, Expected::Closes).then_some(()))?;
    let (served, silent) = (case.outcome(Outcome::Tolerated), case.outcome(Outcome::NoReaction));
    let (ended, all) = (case.ended(), evidence_count(case));
    let finding = if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if served > 0 {
        let evidence = format!(
            "the broker kept serving {served} of {all} clients: it answered every PINGREQ in time until the deadline"
        );
        let violated = |evidence| served_on(served, ended, evidence);
        deviation(case, expectation, violated, "the broker kept serving the client", evidence)
            .with_examples(examples(case, |sequence| sequence.ends_with("still served")))
    } else if silent > 0 {
        let evidence = format!(
            "{silent} of {all} connections were neither closed nor provably served by the deadline; try a longer \
             --reaction-timeout"
        );
        deviation(case, expectation, Finding::inconclusive, "the connection stays open", evidence)
            .with_examples(examples(case, |sequence| sequence.ends_with("until the deadline")))
    } else if ended == 0 {
        Finding::inconclusive("the clients themselves ended their connections")
    } else {
        Finding::holds(ended, format!("the broker closed {ended} of {all} connections"))
    };
    Some(by(case, expectation, finding))
}

/// The client did nothing wrong, or nothing for which the standard has the connection closed.
fn keeps_serving(case: &Judged<'_>) -> Option<Finding> {
    let (expectation, ()) = expected(case, |what| matches!(what, Expected::Stays).then_some(()))?;
    let (served, ended, all) = (case.outcome(Outcome::Tolerated), case.ended(), evidence_count(case));
    let finding = if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if ended > 0 {
        let evidence = format!("the broker closed {ended} of {all} connections");
        deviation(
            case,
            expectation,
            |evidence| breach(case, evidence),
            "the broker closed the connection",
            evidence,
        )
        .with_examples(examples(case, |sequence| sequence.contains("FIN") || sequence.contains("RST")))
    } else if served < all {
        Finding::inconclusive(format!(
            "only {served} of {all} clients were provably served until the deadline"
        ))
    } else {
        Finding::holds(all, format!("the broker kept serving {served} of {all} clients"))
    };
    Some(by(case, expectation, finding))
}

/// What a broker answers to a CONNECT that it must not, or need not, accept.
fn refuses_the_connect(case: &Judged<'_>) -> Option<Finding> {
    let (expectation, codes) = expected(case, |what| match what {
        Expected::Connack(codes) => Some(codes),
        _ => None,
    })?;
    let fitting: Vec<String> = codes.iter().map(|code| format!("0x{code:02X}")).collect();
    let all = case.total(CONNACK);
    let accepted = case.count(CONNACK, ACCEPTED.to_owned());
    let none = case.count(CONNACK, NONE.to_owned());
    let evidence = format!("CONNACK after this CONNECT: {}", case.in_words(CONNACK));
    let others = count_others(case, CONNACK, |value| {
        value == NONE || value == ACCEPTED && codes.contains(&0) || fitting.iter().any(|code| code == value)
    });
    let finding = if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if others > 0 {
        let note = if accepted > 0 { "the CONNECT is accepted" } else { "another code" };
        deviation(case, expectation, |evidence| breach(case, evidence), note, evidence)
    } else if none == all {
        Finding::holds(all, format!("{evidence}; this is allowed"))
    } else {
        Finding::holds(all, evidence)
    };
    Some(by(case, expectation, finding))
}

/// How many attempts have another value of the fact than the fitting ones.
fn count_others(case: &Judged<'_>, fact: FactOf<String>, is_fitting: impl Fn(&str) -> bool) -> u64 {
    case.values(fact).filter(|(value, _)| !is_fitting(value)).map(|(_, count)| count).sum()
}

/// The broker answers, or closes the connection. Violated only when it demonstrably kept serving the client without the answer.
fn answers_as_expected(case: &Judged<'_>) -> Option<Finding> {
    let (expectation, (packet, codes)) = expected(case, |what| match what {
        Expected::Answers { packet, codes } => Some((packet, codes)),
        _ => None,
    })?;
    let is_answer = |answers: &str| {
        answers.split(", ").any(|answer| match answer.split_once(" 0x") {
            None => answer == packet,
            Some((name, code)) => {
                let code = u8::from_str_radix(code, 16).ok();
                name == packet && (codes.is_empty() || code.is_some_and(|code| codes.contains(&code)))
            }
        })
    };
    let (all, ended) = (case.total(ANSWERS), case.ended());
    let without = count_others(case, ANSWERS, is_answer);
    // Which of the clients without an answer were served is not recorded: all that were not served may be among them.
    let missing = without.saturating_sub(all.saturating_sub(case.outcome(Outcome::Tolerated)));
    let evidence = format!(
        "of {all} clients, {} received {packet} as expected, {ended} were cut, {missing} did not receive it and were still \
         served; answers: {}",
        all - without,
        case.in_words(ANSWERS)
    );
    let finding = if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if missing > 0 {
        let violated = |evidence| served_on(missing, all - missing, evidence);
        deviation(case, expectation, violated, &format!("no {packet} as expected"), evidence)
            .with_examples(examples(case, |sequence| sequence.ends_with("still served")))
    } else if case.outcome(Outcome::NoReaction) > 0 && without > 0 {
        Finding::inconclusive(format!("{evidence}; try a longer --reaction-timeout"))
    } else {
        Finding::holds(all, evidence)
    };
    Some(by(case, expectation, finding))
}

/// A recorded exchange shows what a broker sent; another broker may send something else.
fn sends_what_was_recorded(case: &Judged<'_>) -> Option<Finding> {
    let (expectation, packets) = expected(case, |what| match what {
        Expected::Receives(packets) => Some(packets),
        _ => None,
    })?;
    let recorded = packets.join(", ");
    let all = case.total(RECEIVED);
    let others = count_others(case, RECEIVED, |received| received == recorded);
    let finding = if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if others > 0 {
        let evidence = format!(
            "recorded: {}; received: {}",
            if recorded.is_empty() { NONE } else { &recorded },
            case.in_words(RECEIVED)
        );
        Finding::differs(all, format!("other packets in {others} of {all} attempts"), evidence)
    } else {
        Finding::holds(all, format!("the broker sent what was recorded: {recorded}"))
    };
    Some(by(case, expectation, finding))
}

/// Messages that came although they must not are a violation. Missing ones are a note: other checks judge losses.
fn delivers_as_expected(case: &Judged<'_>) -> Option<Finding> {
    let (expectation, (client, count)) = expected(case, |what| match what {
        Expected::Delivers { client, count } => Some((client, *count)),
        _ => None,
    })?;
    let all = case.total(DELIVERED);
    let (mut more, mut fewer) = (0, 0);
    for (came, attempts) in case.values(DELIVERED) {
        match came.cmp(&count) {
            std::cmp::Ordering::Greater => more += attempts,
            std::cmp::Ordering::Less => fewer += attempts,
            std::cmp::Ordering::Equal => {}
        }
    }
    let evidence = format!(
        "client {client} received this many messages instead of {count}: {}",
        case.in_words(DELIVERED)
    );
    let finding = if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if more > 0 {
        let note = format!("in {more} of {all} attempts, more messages than expected were delivered");
        deviation(case, expectation, |evidence| breach(case, evidence), &note, evidence)
    } else if fewer > 0 {
        let note = format!("in {fewer} of {all} attempts, fewer messages than expected were delivered");
        Finding::differs(all, note, evidence)
    } else {
        Finding::holds(all, format!("client {client} received {count} messages in all {all} attempts"))
    };
    Some(by(case, expectation, finding))
}

fn publishes_the_will(case: &Judged<'_>) -> Option<Finding> {
    let (expectation, ()) =
        expected(case, |what| (*what == Expected::Will(Publication::Published)).then_some(()))?;
    let finding = match case.will.as_ref().filter(|will| will.due > 0) {
        None => Finding::inconclusive(no_will(case, "no connection with a Will ended")),
        Some(will) => {
            let missing = |evidence| {
                deviation(
                    case,
                    expectation,
                    |evidence| breach(case, evidence),
                    "no Will is published",
                    evidence,
                )
            };
            let unseen = will.due - will.due_and_seen.min(will.due);
            if unseen > 0 && statement_of(case, expectation).is_none() {
                let evidence = format!("{} of {} Wills came", will.due_and_seen, will.due);
                Finding::differs(will.due, format!("{unseen} Wills are not published"), evidence)
            } else {
                due_wills(case, will, missing, |evidence| came_once(will, evidence))
            }
        }
    };
    Some(by(case, expectation, finding))
}

fn withholds_the_will(case: &Judged<'_>) -> Option<Finding> {
    let (expectation, ()) =
        expected(case, |what| (*what == Expected::Will(Publication::Withheld)).then_some(()))?;
    let finding = match &case.will {
        None => Finding::inconclusive(no_will(case, "no connection with a Will ended")),
        Some(will) => {
            withheld(case, will, format!("{} of {} Wills were published", will.not_due_and_seen, will.set))
        }
    };
    Some(by(case, expectation, finding))
}

/// A broker may send DISCONNECT with a Reason Code before it closes the connection, or none.
fn reports_the_reason(case: &Judged<'_>) -> Option<Finding> {
    let (expectation, codes) = expected(case, |what| match what {
        Expected::Disconnect(codes) => Some(codes),
        _ => None,
    })?;
    let all = evidence_count(case);
    if all == 0 {
        return Some(Finding::inconclusive(no_sample(case)).of(expectation.force));
    }
    let names: Vec<String> = codes.iter().map(|code| format!("0x{code:02X}")).collect();
    let evidence = format!(
        "{} of {all} clients received DISCONNECT with {}",
        sent_code(case, codes),
        names.join(" or ")
    );
    let finding = if case.disconnect_codes.keys().any(|code| !codes.contains(code)) {
        names_the_reason(case, codes, all, evidence)
    } else {
        Finding::holds(all, format!("{evidence}, and no other Reason Code"))
    };
    Some(finding.of(expectation.force))
}

/// No statement says that a broker must not crash; that it did is the first thing to know.
fn broker_stays_up(record: &Record) -> Option<Finding> {
    let attempts: u64 = record.cases.iter().map(|case| case.finished).sum();
    let down: Vec<String> = record
        .cases
        .iter()
        .filter(|case| case.outcome(Outcome::BrokerDown) > 0)
        .map(|case| case.case.to_string())
        .collect();
    if record.completeness != Completeness::BrokerDown && down.is_empty() {
        return Some(Finding::holds(attempts, format!("the broker was alive after all {attempts} attempts")));
    }
    let under_way = match down.as_slice() {
        [] => "no attempt was under way".to_owned(),
        cases => format!("under way were {}; repeat each alone to find the cause", cases.join(", ")),
    };
    Some(Finding::differs(attempts.max(1), "the broker went down", under_way))
}

/// Below this growth for each attempt, in bytes, memory counts as level: allocators and logs grow by as much.
const LEVEL_BYTES: f64 = 64.0;
/// Fewer attempts of a case than this have no slope that means anything.
const ATTEMPTS_MIN: u64 = 1_000;

/// Whether the broker's memory grows with the attempts.
fn broker_memory_stays_level(record: &Record) -> Option<Finding> {
    let resources = record.broker_resources.as_ref()?;
    let attempts: u64 = record.cases.iter().map(|case| case.finished).sum();
    // A few attempts each of many scenarios leave sessions and messages behind, but repeat nothing.
    if record.cases.iter().any(|case| case.finished < ATTEMPTS_MIN) {
        return None;
    }
    let slope = resources.rss_bytes.per_1000_attempts?;
    let in_words = |value: f64| format!("{value:.0} bytes");
    let (low, high) = (slope.low / 1_000.0, slope.high / 1_000.0);
    let evidence = format!(
        "resident memory grew by {} for each of {attempts} attempts (95 % interval: {} to {}), from {} to {}",
        in_words(slope.estimate / 1_000.0),
        in_words(low),
        in_words(high),
        resources.rss_bytes.before_fault.map_or_else(|| "unknown".to_owned(), bytes),
        resources.rss_bytes.after_fault.map_or_else(|| "unknown".to_owned(), bytes),
    );
    Some(if low > LEVEL_BYTES {
        Finding::differs(attempts, "the broker's memory grows with the attempts", evidence)
    } else {
        Finding::holds(attempts, evidence)
    })
}

#[cfg(test)]
mod tests {
    use ungraceful_record::run::{BrokerResourcesRecord, QuantityRecord, SlopeRecord};
    use ungraceful_record::testing::{
        assert_differs, assert_holds, assert_inconclusive, assert_violated, case, empty_record, with_fact,
    };
    use ungraceful_record::verdict::{Verdict, judge};

    use super::*;

    const CITATION: &str = "MQTT 5.0 [MQTT-3.12.4-1]";

    /// The verdict on clients that expect PINGRESP: these outcomes, and so many clients with and without it.
    fn verdict(outcomes: &[(Outcome, u64)], (with, without): (u64, u64)) -> Verdict {
        let mut record = empty_record();
        let mut case = case("ping-before-connack", "plain", "5.0", outcomes);
        let what = Expected::Answers { packet: "PINGRESP".to_owned(), codes: Vec::new() };
        case.expects = vec![Expectation { what, force: Force::Must, by: "MQTT-3.12.4-1".to_owned() }];
        for (answers, count) in [("CONNACK 0x00, PINGRESP", with), (NONE, without)] {
            if count > 0 {
                with_fact(&mut case, ANSWERS, answers, count);
            }
        }
        record.cases = vec![case];
        judge(&mut record, CHECKS);
        let is_it = |verdict: &Verdict| verdict.check == "answers_as_expected";
        record.verdicts.into_iter().find(is_it).expect("the check applies")
    }

    #[test]
    fn an_answer_is_missing_only_where_a_client_without_it_was_served() {
        assert_holds(&verdict(&[(Outcome::Tolerated, 3)], (3, 0)));
        assert_holds(&verdict(&[(Outcome::Closed, 3)], (0, 3)));
        assert_holds(&verdict(&[(Outcome::Tolerated, 2), (Outcome::Closed, 1)], (2, 1)));
        assert_violated(&verdict(&[(Outcome::Tolerated, 3)], (0, 3)), CITATION);
        assert_violated(&verdict(&[(Outcome::Tolerated, 3), (Outcome::Closed, 1)], (0, 4)), CITATION);
        assert_inconclusive(&verdict(&[], (0, 0)), "none of");
    }

    /// The verdict of a check of the run on cases with so many attempts each, and this slope of memory per attempt with its interval.
    fn of_run(check: &str, attempts: &[u64], (low, estimate, high): (f64, f64, f64)) -> Option<Verdict> {
        let slope = SlopeRecord {
            low: low * 1_000.0,
            estimate: estimate * 1_000.0,
            high: high * 1_000.0,
            samples: 9,
        };
        let rss_bytes = QuantityRecord {
            before_fault: Some(8 << 20),
            after_fault: Some(9 << 20),
            per_1000_attempts: Some(slope),
            ..QuantityRecord::default()
        };
        let resources = BrokerResourcesRecord { rss_bytes, ..BrokerResourcesRecord::default() };
        let cases = attempts.iter().map(|count| case("f", "plain", "5.0", &[(Outcome::Closed, *count)]));
        let mut record =
            Record { cases: cases.collect(), broker_resources: Some(resources), ..empty_record() };
        judge(&mut record, CHECKS);
        record.verdicts.into_iter().find(|verdict| verdict.check == check)
    }

    #[test]
    fn memory_that_grows_with_the_attempts_is_a_note_with_its_slope() {
        const MEMORY: &str = "broker_memory_stays_level";
        let grows = of_run(MEMORY, &[1_000, 2_000], (65.0, 100.0, 135.0)).unwrap();
        assert_differs(&grows, "the broker's memory grows with the attempts");
        let figures = "by 100 bytes for each of 3000 attempts (95 % interval: 65 bytes to 135 bytes), from 8.00 MiB to 9.00 MiB";
        assert!(grows.evidence.contains(figures), "{}", grows.evidence);
        // Only the low end of the interval counts.
        assert_holds(&of_run(MEMORY, &[1_000], (64.0, 5_000.0, 10_000.0)).unwrap());
        assert_eq!(of_run(MEMORY, &[999, 9_000], (65.0, 100.0, 135.0)), None, "too few of one case");
    }

    #[test]
    fn a_broker_that_went_down_is_a_note_with_the_scenarios_under_way() {
        const UP: &str = "broker_stays_up";
        let level = (0.0, 0.0, 0.0);
        assert_holds(&of_run(UP, &[3], level).unwrap());
        assert_inconclusive(&of_run(UP, &[], level).unwrap(), "nothing to judge");
        let down = [(Outcome::Closed, 2), (Outcome::BrokerDown, 1)];
        let mut record = empty_record();
        record.cases = vec![case("publish-qos3", "plain", "5.0", &down), case("other", "plain", "5.0", &[])];
        judge(&mut record, CHECKS);
        let verdict = record.verdicts.iter().find(|verdict| verdict.check == UP).unwrap();
        assert_differs(verdict, "the broker went down");
        assert!(
            verdict.evidence.starts_with("under way were publish-qos3 plain MQTT 5.0;"),
            "{}",
            verdict.evidence
        );
    }

    #[test]
    fn a_client_that_was_neither_cut_nor_served_shows_no_missing_answer() {
        let outcomes = [(Outcome::Tolerated, 2), (Outcome::NoReaction, 1)];
        assert_inconclusive(&verdict(&outcomes, (2, 1)), "try a longer --reaction-timeout");
        assert_violated(&verdict(&outcomes, (0, 3)), CITATION);
    }
}
