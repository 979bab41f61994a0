//! What the checks of silence and edge conclude from records made by hand. No sockets.

use std::fmt::Display;
use std::str::FromStr;

use ungraceful_faults::vanish::keep_alive::control::{CONTROL, Control, FIXED_CUT_AFTER};
use ungraceful_faults::vanish::keep_alive::edge::{self, FATE, LONGEST_GAP, SENT};
use ungraceful_faults::vanish::keep_alive::silence::{self, BROKER_STALLED, CUT, CUT_EARLY_WITH, WAITED};
use ungraceful_faults::vanish::keep_alive::{CUT_AT, Cut, KEEP_ALIVE};
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::metric::Distribution;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Completeness, Record, WillRecord, WitnessRecord};
use ungraceful_record::testing::{self, bystanders_that_lost_connections, empty_record, every};
use ungraceful_record::verdict::{Conclusion, Force, Verdict, judge};

const BROKER_WAS_LATE: &str = "cut after the broker was late itself";
const WE_WERE_LATE: &str = "cut after we were late ourselves";
const LEFT_ALONE: &str = "left alone";
const KEEP_ALIVE_TIMEOUT: &str = "DISCONNECT 0x8D";
const NO_REASON: &str = "no reason";
const V5: &str = "5.0";
const V311: &str = "3.1.1";
const CLOSES: &str = "closes_a_silent_connection";
const WAITS: &str = "waits_for_the_keep_alive";
const TELLS: &str = "tells_keep_alive_timeout";
const WILL: &str = "publishes_the_will_of_the_silent";
const KEEPS: &str = "keeps_a_client_that_pings_in_time";
const BEARS: &str = "bears_with_a_late_pingreq";
const NO_DISCONNECT: &str = "sends_no_disconnect_on_3_1_1";

/// A record with one case and bystanders that lost no connection.
#[derive(Clone)]
struct Made(Record);

impl Made {
    fn of(fault: &str, variant: &str, version: &str, outcomes: &[(Outcome, u64)]) -> Self {
        let mut record = empty_record();
        record.witness = Some(WitnessRecord { proved: true, unexpected: 0 });
        record.bystanders = Some(bystanders_that_lost_connections(version, 0));
        record.cases = vec![testing::case(fault, variant, version, outcomes)];
        Self(record)
    }

    /// Silent clients of one variant with a Keep Alive of 2 s.
    fn silent(version: &str, outcomes: &[(Outcome, u64)]) -> Self {
        let all = outcomes.iter().map(|(_, count)| count).sum();
        Self::of(silence::ID, "idle-2s", version, outcomes).fact(KEEP_ALIVE, 2_u64, all)
    }

    /// So many of them, cut at this time.
    fn cut(version: &str, cut: Cut, count: u64) -> Self {
        Self::silent(version, &[(Outcome::Closed, count)])
            .fact(CUT, cut, count)
            .measure(CUT_AT, count, 600, 3_150)
    }

    /// Clients that send PINGREQ so often.
    fn at_the_edge(variant: &str, version: &str, fates: &[(&str, u64)]) -> Self {
        let outcome = |fate: &str| match fate {
            LEFT_ALONE => Outcome::Tolerated,
            _ => Outcome::Closed,
        };
        let outcomes: Vec<_> = fates.iter().map(|(fate, count)| (outcome(fate), *count)).collect();
        let made = Self::of(edge::ID, variant, version, &outcomes);
        let made = fates.iter().fold(made, |made, (fate, count)| made.fact(FATE, *fate, *count));
        made.measure(SENT, 5, 3, 10).measure(edge::ANSWERED, 4, 3, 9).measure(LONGEST_GAP, 4, 1, 1_234_000)
    }

    fn case(&mut self) -> &mut CaseRecord {
        &mut self.0.cases[0]
    }

    fn fact<V: FromStr>(mut self, fact: FactOf<V>, value: impl Display, count: u64) -> Self {
        testing::with_fact(self.case(), fact, value, count);
        self
    }

    fn measure(mut self, measure: Measure, count: u64, min: u64, max: u64) -> Self {
        let values =
            Distribution { count, sum: max, min: Some(min), max: Some(max), ..Distribution::default() };
        self.case().measures.insert(measure.to_string(), values);
        self
    }

    fn code(mut self, code: u8, count: u64) -> Self {
        self.case().disconnect_codes.insert(code, count);
        self
    }

    fn example(mut self, sequence: &str, attempt: u64) -> Self {
        self.case().examples.insert(sequence.into(), vec![attempt]);
        self
    }

    fn wills(mut self, due: u64, seen: u64, twice: u64) -> Self {
        self.case().will = Some(WillRecord {
            set: due,
            due,
            due_and_seen: seen,
            more_than_once: twice,
            shortest_wait_of_unseen_us: (seen < due).then_some(10_000_000),
            ..WillRecord::default()
        });
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Record)) -> Self {
        change(&mut self.0);
        self
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let mut record = self.0.clone();
        let fault = ungraceful_faults::find(&record.cases[0].case.fault).expect("one of ours");
        judge(&mut record, &fault.checks());
        record.verdicts
    }

    /// The verdict of `check`, which has one.
    fn verdict(&self, check: &str) -> Verdict {
        let found = self.verdicts().into_iter().find(|verdict| verdict.check == check);
        found.expect("the check judges this case")
    }

    fn has_no_verdict_of(&self, check: &str) -> bool {
        every(&self.verdicts(), |verdict| verdict.check != check)
    }
}

/// What is concluded, and the note.
fn told(verdict: &Verdict) -> (Conclusion, Option<&str>) {
    (verdict.conclusion, verdict.differs.as_deref())
}

const HOLDS: (Conclusion, Option<&str>) = (Conclusion::Holds, None);
const VIOLATED: (Conclusion, Option<&str>) = (Conclusion::Violated, None);
const INCONCLUSIVE: (Conclusion, Option<&str>) = (Conclusion::Inconclusive, None);

#[test]
fn without_a_sample_nothing_is_concluded() {
    for version in [V5, V311] {
        for outcome in [Outcome::NotActed, Outcome::BrokerDown, Outcome::Interrupted] {
            let silent = Made::of(silence::ID, "idle-1s", version, &[(outcome, 3)]);
            let verdicts = silent.verdicts();
            assert_eq!(verdicts.len(), 4, "{verdicts:?}");
            assert!(every(&verdicts, |verdict| told(verdict) == INCONCLUSIVE), "{verdicts:?}");
            for variant in ["0.95-of-1s", "1.25-of-1s"] {
                let verdicts = Made::of(edge::ID, variant, version, &[(outcome, 3)]).verdicts();
                assert!(!verdicts.is_empty());
                assert!(every(&verdicts, |verdict| told(verdict) == INCONCLUSIVE), "{verdicts:?}");
            }
        }
    }
}

#[test]
fn a_broker_that_cuts_in_time_holds_with_the_times_in_its_evidence() {
    let made = Made::cut(V5, Cut::InTime, 3).code(0x8D, 3).wills(3, 3, 0);
    for check in [CLOSES, WAITS, TELLS, WILL] {
        assert_eq!(told(&made.verdict(check)), HOLDS, "{check}");
    }
    let closes = made.verdict(CLOSES);
    assert_eq!((closes.force, closes.citation.as_deref()), (Force::Must, Some("MQTT 5.0 [MQTT-3.1.2-22]")));
    let evidence = "3 of 3 clients were cut, 0.60 to 3.15 times the Keep Alive of 2 s after the last packet";
    assert_eq!(closes.evidence, evidence);
    assert!(made.has_no_verdict_of(NO_DISCONNECT));
    let old = Made::cut(V311, Cut::InTime, 3).wills(3, 3, 0);
    assert_eq!(old.verdict(CLOSES).citation.as_deref(), Some("MQTT 3.1.1 [MQTT-3.1.2-24]"));
    assert_eq!(told(&old.verdict(NO_DISCONNECT)), HOLDS);
    assert!(old.has_no_verdict_of(TELLS));
}

#[test]
fn a_broker_that_cuts_late_differs_and_is_not_violated_however_late_it_is() {
    let late = Made::cut(V5, Cut::Late, 2).fact(CUT, Cut::InTime, 1).verdict(CLOSES);
    assert_eq!(told(&late).0, Conclusion::Holds);
    assert_eq!(late.differs.as_deref(), Some("cut late"));
    assert!(late.evidence.ends_with(", 2 of them later than 1.75 times"), "{late:?}");
}

/// Clients that were still served when the wait was over.
fn never_cut(waited_us: u64) -> Made {
    Made::silent(V5, &[(Outcome::Tolerated, 2), (Outcome::Closed, 1)])
        .measure(WAITED, 2, waited_us, waited_us)
        .example("still served", 7)
}

#[test]
fn mqtt5_3_1_2_22_a_broker_that_still_serves_the_silent_is_violated_after_60_s_beyond_its_deadline_and_not_before()
 {
    // 1.5 times 2 s, 30 s, and as long again.
    let violated = never_cut(63_000_000).verdict(CLOSES);
    assert_eq!(told(&violated), VIOLATED);
    assert_eq!(violated.citation.as_deref(), Some("MQTT 5.0 [MQTT-3.1.2-22]"));
    assert!(violated.evidence.contains("2 of 3 clients were not cut within 63.0 s"), "{violated:?}");
    assert_eq!(violated.examples, [7]);
    let too_soon = never_cut(62_999_999).verdict(CLOSES);
    assert_eq!(told(&too_soon), INCONCLUSIVE);
    assert!(too_soon.evidence.contains("--reaction-timeout of 30s"), "{too_soon:?}");
    // A long Keep Alive has three times of it: 120 s here, which are more than 60 s and 30 s; and 30 s.
    let of_40_s = |waited_us| never_cut(waited_us).fact(KEEP_ALIVE, 40_u64, 3).verdict(CLOSES);
    assert_eq!(told(&of_40_s(149_999_999)), INCONCLUSIVE);
    assert_eq!(told(&of_40_s(150_000_000)), VIOLATED);
}

#[test]
fn a_broker_that_stood_still_while_it_should_have_cut_is_not_violated() {
    let stalled =
        |stalled_us| never_cut(63_000_000).measure(BROKER_STALLED, 2, 1_000, stalled_us).verdict(CLOSES);
    assert_eq!(told(&stalled(5_000_000)), VIOLATED);
    let still = stalled(7_000_000);
    assert_eq!(told(&still), INCONCLUSIVE);
    assert!(still.evidence.contains("answered nobody for up to 7.00 s"), "{still:?}");
}

/// The clients of this record that were cut, and so were their control clients, after the same time.
fn after_the_same_time(made: Made, count: u64) -> Made {
    made.fact(CONTROL, Control::FixedTime.name(), count).measure(FIXED_CUT_AFTER, count, 3_000_000, 3_010_000)
}

#[test]
fn a_cut_after_the_same_time_at_two_keep_alives_accuses_nobody_and_the_time_is_told() {
    for version in [V5, V311] {
        let early = Made::cut(version, Cut::Early, 3).fact(CUT_EARLY_WITH, NO_REASON, 3);
        let between = Made::cut(version, Cut::Between, 3);
        let in_time = Made::at_the_edge("0.95-of-4s", version, &[("cut with no reason", 3)]);
        let late = Made::at_the_edge("1.25-of-4s", version, &[("cut with no reason", 3)]);
        for (made, check) in
            [(&early, WAITS), (&early, CLOSES), (&between, WAITS), (&in_time, KEEPS), (&late, BEARS)]
        {
            let verdict = after_the_same_time(made.clone(), 3).verdict(check);
            assert_eq!(told(&verdict), INCONCLUSIVE, "{verdict:?}");
            assert!(verdict.evidence.contains("something between client and broker"), "{verdict:?}");
            assert!(verdict.evidence.contains("3.00 s to 3.01 s"), "{verdict:?}");
        }
        let verdicts = after_the_same_time(early, 3).verdicts();
        assert!(every(&verdicts, |verdict| verdict.differs.is_none()), "a proxy says no 0x8D: {verdicts:?}");
        assert!(!verdicts.is_empty());
    }
}

#[test]
fn what_was_delivered_to_a_client_that_was_not_cut_is_in_the_evidence() {
    let verdict = never_cut(63_000_000).measure(silence::DOWNLINK_MESSAGES, 2, 46, 47).verdict(CLOSES);
    assert!(verdict.evidence.contains("at least 46 messages were delivered to each client"), "{verdict:?}");
}

#[test]
fn a_connection_that_is_neither_closed_nor_served_and_a_broker_that_went_down_accuse_nobody() {
    let silent = Made::silent(V5, &[(Outcome::NoReaction, 1), (Outcome::Closed, 2)]);
    assert_eq!(told(&silent.measure(WAITED, 1, 33_000_000, 33_000_000).verdict(CLOSES)), INCONCLUSIVE);
    let down = Made::silent(V5, &[(Outcome::BrokerDown, 1), (Outcome::Closed, 2)]);
    assert_eq!(told(&down.verdict(CLOSES)), INCONCLUSIVE);
}

#[test]
fn a_cut_before_the_keep_alive_is_over_accuses_on_5_0_when_it_is_named_or_common_and_only_the_silent_are_cut()
{
    let early = |version, count| Made::cut(version, Cut::Early, count);
    let named = early(V5, 2).fact(CUT_EARLY_WITH, KEEP_ALIVE_TIMEOUT, 2);
    let silently = early(V5, 3)
        .fact(CUT_EARLY_WITH, NO_REASON, 3)
        .fact(CONTROL, Control::FollowsKeepAlive.name(), 3)
        .example("FIN", 4);
    for made in [&named, &silently] {
        let verdict = made.verdict(WAITS);
        assert_eq!((told(&verdict), verdict.force), (VIOLATED, Force::Prose));
        assert_eq!(verdict.citation.as_deref(), Some("MQTT 5.0 §3.1.2.10 (prose, no numbered statement)"));
    }
    assert_eq!(silently.verdict(WAITS).examples, [4]);

    // Others were cut as well, or there were no others: it may have had another reason.
    let lost = |record: &mut Record| {
        record.bystanders.as_mut().unwrap().connections_lost.insert("reset".into(), 1);
    };
    assert_eq!(told(&silently.clone().with(lost).verdict(WAITS)), INCONCLUSIVE);
    let alone = silently.with(|record| record.bystanders = None).verdict(WAITS);
    assert_eq!(told(&alone), INCONCLUSIVE);
    assert!(alone.evidence.contains("--bystanders"), "{alone:?}");
    // What is named needs no control; but one client is none, and one of many neither.
    assert_eq!(told(&named.with(|record| record.bystanders = None).verdict(WAITS)), VIOLATED);
    let rare = Made::silent(V5, &[(Outcome::Closed, 5)])
        .fact(CUT, Cut::Early, 2)
        .fact(CUT, Cut::InTime, 3)
        .fact(CUT_EARLY_WITH, KEEP_ALIVE_TIMEOUT, 2);
    for few in [early(V5, 1).fact(CUT_EARLY_WITH, KEEP_ALIVE_TIMEOUT, 1), rare] {
        let verdict = few.verdict(WAITS);
        assert_eq!(told(&verdict), INCONCLUSIVE);
        assert!(verdict.evidence.contains("more --attempts will tell"), "{verdict:?}");
    }
}

#[test]
fn a_cut_before_the_keep_alive_is_over_is_a_note_when_it_is_rare_has_another_reason_or_3_1_1_permits_it() {
    let note = |made: Made| {
        let verdict = made.verdict(WAITS);
        assert_eq!(verdict.conclusion, Conclusion::Holds, "{verdict:?}");
        verdict.differs.expect("a note")
    };
    let rare = Made::silent(V5, &[(Outcome::Closed, 5)])
        .fact(CUT, Cut::Early, 2)
        .fact(CUT, Cut::InTime, 3)
        .fact(CUT_EARLY_WITH, NO_REASON, 2)
        .fact(CONTROL, Control::FollowsKeepAlive.name(), 2);
    assert!(note(rare).ends_with("perhaps for another reason"));
    let one = Made::cut(V5, Cut::Early, 1).fact(CUT_EARLY_WITH, NO_REASON, 1);
    assert!(note(one).ends_with("perhaps for another reason"));
    // Control clients stand beside those, too, whose Keep Alive was over.
    let mixed = Made::silent(V5, &[(Outcome::Closed, 4)])
        .fact(CUT, Cut::Early, 1)
        .fact(CUT, Cut::Between, 3)
        .fact(CUT_EARLY_WITH, NO_REASON, 1)
        .fact(CONTROL, Control::FollowsKeepAlive.name(), 4);
    assert!(note(mixed).ends_with("perhaps for another reason"));
    // Their control clients were cut at other times: it was not for the Keep Alive.
    let odd = Made::cut(V5, Cut::Early, 3).fact(CUT_EARLY_WITH, NO_REASON, 3).fact(
        CONTROL,
        Control::Neither.name(),
        3,
    );
    assert!(note(odd).ends_with("perhaps for another reason"));
    let other = Made::cut(V5, Cut::Early, 3).fact(CUT_EARLY_WITH, "DISCONNECT 0x98", 3);
    assert!(note(other).ends_with("perhaps for another reason"));
    for told in [NO_REASON, KEEP_ALIVE_TIMEOUT] {
        let permitted = Made::cut(V311, Cut::Early, 3).fact(CUT_EARLY_WITH, told, 3);
        assert!(note(permitted).ends_with("which 3.1.1 permits"));
    }
    let between = note(Made::cut(V5, Cut::Between, 3));
    assert_eq!(between, "cut before 1.5 times the Keep Alive");
}

#[test]
fn a_client_that_was_never_cut_was_not_cut_too_soon() {
    assert_eq!(told(&never_cut(63_000_000).verdict(WAITS)), HOLDS);
}

#[test]
fn the_reason_is_a_note_unless_every_client_is_told_that_its_keep_alive_is_over() {
    let of = |codes: &[(u8, u64)]| {
        let made =
            codes.iter().fold(Made::cut(V5, Cut::InTime, 3), |made, (code, count)| made.code(*code, *count));
        made.verdict(TELLS).differs
    };
    assert_eq!(of(&[(0x8D, 3)]), None);
    assert_eq!(of(&[]).as_deref(), Some("no DISCONNECT with a reason, which is allowed"));
    assert_eq!(of(&[(0x8D, 2)]).as_deref(), Some("not every client received the reason, which is allowed"));
    assert_eq!(of(&[(0x8B, 3)]).as_deref(), Some("DISCONNECT 0x8B (3 times)"));
    let none_cut = Made::silent(V5, &[(Outcome::Tolerated, 3)]).verdict(TELLS);
    assert_eq!(told(&none_cut), INCONCLUSIVE);
    let old = Made::cut(V311, Cut::InTime, 3).code(0x8D, 3).verdict(NO_DISCONNECT);
    assert_eq!(told(&old), (Conclusion::Holds, Some("a DISCONNECT from the broker")));
}

#[test]
fn mqtt5_3_1_2_8_the_will_of_the_silent_is_violated_when_none_came_before_a_witness_that_hears() {
    let cut = |version| Made::cut(version, Cut::InTime, 3);
    for (version, citation) in [(V5, "MQTT 5.0 [MQTT-3.1.2-8]"), (V311, "MQTT 3.1.1 [MQTT-3.1.2-8]")] {
        let missing = cut(version).wills(3, 0, 0).verdict(WILL);
        assert_eq!((told(&missing), missing.citation.as_deref()), (VIOLATED, Some(citation)));
    }
    assert_eq!(told(&cut(V5).wills(3, 2, 0).verdict(WILL)), INCONCLUSIVE);
    let note = Some("1 Wills came more than once (QoS 1)");
    assert_eq!(told(&cut(V5).wills(3, 3, 1).verdict(WILL)), (Conclusion::Holds, note));
    assert_eq!(told(&cut(V5).verdict(WILL)), INCONCLUSIVE, "none was set");
    let deaf = cut(V5).wills(3, 0, 0).with(|record| record.witness = None);
    assert_eq!(told(&deaf.verdict(WILL)), INCONCLUSIVE);
    let short = cut(V5).wills(3, 0, 0).with(|record| record.completeness = Completeness::Interrupted);
    assert_eq!(told(&short.verdict(WILL)), INCONCLUSIVE);
    let unsettled = cut(V5)
        .wills(3, 0, 0)
        .with(|record| record.bystanders = Some(bystanders_that_lost_connections(V5, 1)));
    assert_eq!(told(&unsettled.verdict(WILL)), INCONCLUSIVE);
}

#[test]
fn a_client_that_pings_in_time_and_is_left_alone_holds() {
    let made = Made::at_the_edge("0.95-of-1s", V5, &[(LEFT_ALONE, 3)]);
    let verdict = made.verdict(KEEPS);
    assert_eq!(told(&verdict), HOLDS);
    assert_eq!(
        verdict.evidence,
        "3 of 3 clients that were to send PINGREQ every 0.95 times their Keep Alive were left alone, 0 were cut; 10 PINGREQs \
         were sent, 9 answered; the longest time between two packets was 1.23 s"
    );
    assert!(made.has_no_verdict_of(BEARS));
    let late = Made::at_the_edge("1.45-of-1s", V5, &[(LEFT_ALONE, 3)]);
    assert!(told(&late.verdict(BEARS)) == HOLDS && late.has_no_verdict_of(KEEPS));
}

#[test]
fn a_client_that_pings_in_time_and_is_cut_accuses_on_5_0_when_it_is_named_or_common_and_only_these_are_cut() {
    let cut = |version, fates: &[(&str, u64)]| Made::at_the_edge("0.90-of-1s", version, fates);
    let silently = cut(V5, &[("cut with no reason", 2), (LEFT_ALONE, 2)]).fact(
        CONTROL,
        Control::FollowsKeepAlive.name(),
        2,
    );
    let named = cut(V5, &[("cut with DISCONNECT 0x8D", 2), (LEFT_ALONE, 2)]);
    for made in [&silently, &named] {
        let verdict = made.verdict(KEEPS);
        assert_eq!(told(&verdict), VIOLATED, "{verdict:?}");
        assert!(verdict.citation.unwrap().starts_with("MQTT 5.0 §3.1.2.10"));
    }
    let alone = silently.with(|record| record.bystanders = None);
    assert_eq!(told(&alone.verdict(KEEPS)), INCONCLUSIVE);
    let note = |made: Made| told(&made.verdict(KEEPS)).1.map(ToOwned::to_owned);
    let perhaps = Some("a client in time is cut, perhaps for another reason".to_owned());
    assert_eq!(note(cut(V5, &[("cut with no reason", 1), (LEFT_ALONE, 9)])), perhaps);
    let other = cut(V5, &[("cut with DISCONNECT 0x98", 3)]);
    assert!(note(other).unwrap().ends_with("perhaps for another reason"));
    let old = cut(V311, &[("cut with no reason", 3)]);
    assert_eq!(note(old).as_deref(), Some("a client in time is cut, which 3.1.1 permits"));
}

#[test]
fn a_client_in_time_that_is_told_that_its_keep_alive_is_over_accuses_nobody_when_it_is_one_of_many() {
    for fates in [&[("cut with DISCONNECT 0x8D", 1)][..], &[("cut with DISCONNECT 0x8D", 2), (LEFT_ALONE, 8)]]
    {
        let verdict = Made::at_the_edge("0.90-of-1s", V5, fates).verdict(KEEPS);
        assert_eq!(told(&verdict), INCONCLUSIVE);
        assert!(verdict.evidence.contains("more --attempts will tell"), "{verdict:?}");
    }
}

#[test]
fn a_cut_after_the_broker_was_late_itself_accuses_nobody_and_is_told() {
    for (variant, check) in [("0.95-of-1s", KEEPS), ("1.25-of-1s", BEARS)] {
        let made = Made::at_the_edge(variant, V5, &[(BROKER_WAS_LATE, 3), (LEFT_ALONE, 1)]);
        let verdict = made.verdict(check);
        assert_eq!(told(&verdict), INCONCLUSIVE);
        assert!(verdict.evidence.contains("3 were cut after the broker had left a PINGREQ"), "{verdict:?}");
    }
}

#[test]
fn a_client_that_is_late_and_is_cut_is_a_note() {
    for told_to_it in ["cut with no reason", "cut with DISCONNECT 0x8D"] {
        let made = Made::at_the_edge("1.25-of-1s", V5, &[(told_to_it, 3)]);
        let verdict = made.verdict(BEARS);
        assert_eq!(
            told(&verdict),
            (Conclusion::Holds, Some("a late client is cut before 1.5 times the Keep Alive"))
        );
    }
}

#[test]
fn a_cut_after_we_were_late_ourselves_accuses_nobody_and_is_told() {
    let made = Made::at_the_edge("0.95-of-1s", V5, &[(WE_WERE_LATE, 3)]);
    let verdict = made.verdict(KEEPS);
    assert_eq!(told(&verdict), INCONCLUSIVE);
    assert!(verdict.evidence.contains("this machine is too busy"), "{verdict:?}");
    let unanswered = Made::of(edge::ID, "0.95-of-1s", V5, &[(Outcome::NoReaction, 2)]);
    assert_eq!(told(&unanswered.verdict(KEEPS)), INCONCLUSIVE);
}
