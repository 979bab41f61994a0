//! What the checks of a herd conclude from records made by hand. No sockets.

use std::fmt::Display;
use std::str::FromStr;

use ungraceful_faults::resumption::{Resumption, SESSION_PRESENT};
use ungraceful_faults::vanish::herd::{BACK, ID, LOST_AGAIN, OUR_OWN, TRIES};
use ungraceful_faults::vanish::herd_checks::CHECKS;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::metric::{Distribution, Percentiles};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, OutageRecord, Record, WaveRecord};
use ungraceful_record::testing::{self, bystanders_that_lost_connections, empty_record};
use ungraceful_record::verdict::{Conclusion, Verdict, judge};

const LETS_IN: &str = "lets_everybody_in_again";
const KEEPS: &str = "keeps_whom_it_lets_in";
const RESUMES: &str = "resumes_the_session";

struct Made(Record);

impl Made {
    /// Ten members, of which these outcomes were seen.
    fn herd(version: &str, outcomes: &[(Outcome, u64)]) -> Self {
        let mut made = empty_record();
        made.cases = vec![testing::case(ID, "none", version, outcomes)];
        Self(made)
    }

    fn case(&mut self) -> &mut CaseRecord {
        &mut self.0.cases[0]
    }

    fn fact<V: FromStr>(mut self, fact: FactOf<V>, value: impl Display, count: u64) -> Self {
        testing::with_fact(self.case(), fact, value, count);
        self
    }

    fn measure(mut self, measure: Measure, sum: u64) -> Self {
        let values = Distribution { count: 10, sum, ..Distribution::default() };
        self.case().measures.insert(measure.to_string(), values);
        self
    }

    fn restarted(mut self) -> Self {
        let outage = OutageRecord { began_us: 1, ended_us: Some(2), by: "killed and started again".into() };
        let wave = WaveRecord {
            case: self.case().case.clone(),
            began_us: 1,
            ended_us: Some(9),
            outage: Some(outage),
            bystander_messages_due: 0,
            bystander_response_time: Percentiles::default(),
            rss_bytes_before: None,
            rss_bytes_max: None,
        };
        self.0.waves.push(wave);
        self
    }

    fn verdict(&self, check: &str) -> Verdict {
        let mut record = self.0.clone();
        judge(&mut record, CHECKS);
        let found = record.verdicts.into_iter().find(|verdict| verdict.check == check);
        found.expect("the check judges this case")
    }
}

/// Ten of ten are back, with their sessions.
fn all_back(version: &str) -> Made {
    let made = Made::herd(version, &[(Outcome::Tolerated, 10)]);
    made.fact(BACK, Resumption::Announced.name(), 10)
        .fact(SESSION_PRESENT, Resumption::Announced.name(), 10)
        .measure(TRIES, 25)
}

#[test]
fn a_herd_that_is_back_with_its_sessions_holds() {
    for (version, citation) in [("5.0", "MQTT 5.0 [MQTT-3.1.2-5]"), ("3.1.1", "MQTT 3.1.1 [MQTT-3.1.2-4]")] {
        let made = all_back(version);
        for check in [LETS_IN, KEEPS, RESUMES] {
            let verdict = made.verdict(check);
            assert_eq!((verdict.conclusion, verdict.differs), (Conclusion::Holds, None), "{check}");
        }
        assert_eq!(made.verdict(RESUMES).citation.as_deref(), Some(citation));
        assert!(made.verdict(LETS_IN).evidence.contains("10 of 10 clients were back in time, by 25 tries"));
    }
}

#[test]
fn who_was_not_let_in_is_a_note_with_the_reasons_and_no_accusation() {
    let made = Made::herd("5.0", &[(Outcome::Tolerated, 7), (Outcome::NoReaction, 3)]);
    let made = made.fact(BACK, Resumption::Announced.name(), 7).fact(BACK, "CONNACK 0x97 Quota exceeded", 3);
    let verdict = made.verdict(LETS_IN);
    assert_eq!(verdict.conclusion, Conclusion::Holds);
    let note = verdict.differs.unwrap();
    assert_eq!(note, "3 of 10 clients were not back: CONNACK 0x97 Quota exceeded (×3)");
}

#[test]
fn a_herd_that_our_own_limits_or_a_broker_that_died_kept_away_says_nothing_of_the_broker() {
    let made = || {
        Made::herd("5.0", &[(Outcome::NoReaction, 10)])
            .fact(BACK, Resumption::Announced.name(), 7)
            .fact(BACK, "gone", 3)
    };
    assert_eq!(made().measure(OUR_OWN, 4).verdict(LETS_IN).conclusion, Conclusion::Inconclusive);
    let mut died = made();
    died.case().outcomes.insert(Outcome::BrokerDown.name().into(), 3);
    assert_eq!(died.verdict(LETS_IN).conclusion, Conclusion::Inconclusive);
    let died = died.fact(SESSION_PRESENT, Resumption::Not.name(), 2);
    assert_eq!(died.verdict(RESUMES).conclusion, Conclusion::Inconclusive);
}

#[test]
fn clients_that_are_cut_off_again_are_a_note() {
    let verdict = all_back("5.0").measure(LOST_AGAIN, 4).verdict(KEEPS);
    assert_eq!(verdict.differs.as_deref(), Some("clients were cut off again"));
    assert!(verdict.evidence.contains("lost their connection 4 times"), "{}", verdict.evidence);
}

#[test]
fn a_session_that_is_gone_is_violated_unless_the_broker_was_restarted() {
    for (version, citation) in [("5.0", "MQTT 5.0 [MQTT-3.1.2-5]"), ("3.1.1", "MQTT 3.1.1 [MQTT-3.1.2-4]")] {
        let gone = || {
            all_back(version).fact(SESSION_PRESENT, Resumption::Announced.name(), 9).fact(
                SESSION_PRESENT,
                Resumption::Not.name(),
                1,
            )
        };
        let verdict = gone().verdict(RESUMES);
        assert_eq!((verdict.conclusion, verdict.citation.as_deref()), (Conclusion::Violated, Some(citation)));
        let mut unsettled = gone();
        unsettled.0.bystanders = Some(bystanders_that_lost_connections(version, 1));
        assert_eq!(
            unsettled.verdict(RESUMES).conclusion,
            Conclusion::Inconclusive,
            "it may have come up anew"
        );
        // Without bystanders, the witness has seen it.
        let mut unsettled = gone();
        unsettled.0.broker.honest_connections_lost = 1;
        assert_eq!(unsettled.verdict(RESUMES).conclusion, Conclusion::Inconclusive);
        let verdict = gone().restarted().verdict(RESUMES);
        assert_eq!(verdict.conclusion, Conclusion::Holds, "no accusation");
        assert_eq!(verdict.differs.as_deref(), Some("sessions did not outlive the restart of the broker"));
    }
}

#[test]
fn a_session_that_goes_on_and_is_denied_breaks_the_rule_on_session_present_alone() {
    const TRULY: &str = "tells_session_present_truly";
    for (version, citation) in [("5.0", "MQTT 5.0 [MQTT-3.2.2-3]"), ("3.1.1", "MQTT 3.1.1 [MQTT-3.2.2-2]")] {
        let denied = || {
            all_back(version).fact(SESSION_PRESENT, Resumption::Announced.name(), 0).fact(
                SESSION_PRESENT,
                Resumption::Unannounced.name(),
                10,
            )
        };
        let verdict = denied().verdict(TRULY);
        assert_eq!((verdict.conclusion, verdict.citation.as_deref()), (Conclusion::Violated, Some(citation)));
        assert_eq!(denied().verdict(RESUMES).conclusion, Conclusion::Holds);
        let gone = all_back(version).fact(SESSION_PRESENT, Resumption::Announced.name(), 0).fact(
            SESSION_PRESENT,
            Resumption::Not.name(),
            10,
        );
        assert_eq!(gone.verdict(TRULY).conclusion, Conclusion::Holds, "it was told truly");
    }
}

#[test]
fn a_session_that_was_never_promised_and_a_herd_that_never_acted_are_inconclusive() {
    let made = Made::herd("5.0", &[(Outcome::Tolerated, 10)]).fact(BACK, Resumption::Announced.name(), 10);
    let made = made.fact(SESSION_PRESENT, Resumption::NotOwed.name(), 10);
    let verdict = made.verdict(RESUMES);
    assert_eq!(verdict.conclusion, Conclusion::Inconclusive);
    assert!(verdict.evidence.contains("would not keep"), "{}", verdict.evidence);
    let made = Made::herd("5.0", &[(Outcome::NotActed, 10)]);
    for check in [LETS_IN, KEEPS, RESUMES] {
        assert_eq!(made.verdict(check).conclusion, Conclusion::Inconclusive, "{check}");
    }
}
