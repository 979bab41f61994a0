//! The checks of WebSocket. Each reads only the record, and gives a verdict for each case.

use ungraceful_mqtt::statement::{
    V5_6_0_0_1, V5_6_0_0_2, V5_6_0_0_4, V311_6_0_0_1, V311_6_0_0_2, V311_6_0_0_4,
};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::CaseRecord;

use super::websocket::{ANSWER, END, Group, Reply, Variant};
use crate::judging::{breach, evidence_count, examples, no_sample, served_on};

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::must("closes_on_text_frames", &[V5_6_0_0_1, V311_6_0_0_1], closes_on_text_frames)
        .on(|case| is_of(case, Group::Text)),
    Check::must("takes_packets_in_any_frames", &[V5_6_0_0_2, V311_6_0_0_2], takes_packets_in_any_frames)
        .on(|case| is_of(case, Group::Legal)),
    Check::must("selects_no_other_subprotocol", &[V5_6_0_0_4, V311_6_0_0_4], selects_no_other_subprotocol)
        .on(|case| variant(case) == Some(Variant::OtherSubprotocol)),
    Check::prose("requires_a_subprotocol", requires_a_subprotocol)
        .on(|case| variant(case) == Some(Variant::NoSubprotocol)),
    Check::prose("does_not_wait_for_long_frames", does_not_wait_for_long_frames)
        .on(|case| variant(case) == Some(Variant::LongFrame)),
    Check::prose("answers_no_cut_packet", answers_no_cut_packet)
        .on(|case| variant(case) == Some(Variant::CutPacket)),
    Check::prose("closes_on_forbidden_frames", closes_on_forbidden_frames)
        .on(|case| is_of(case, Group::Forbidden)),
];

/// How many clients must be cut alike, each after its control was served, before a broker that restarts explains it no more.
const CUT_ALIKE_MIN: u64 = 3;

fn variant(case: &CaseRecord) -> Option<Variant> {
    Variant::named(&case.case.variant)
}

fn is_of(case: &CaseRecord, group: Group) -> bool {
    variant(case).is_some_and(|variant| variant.group() == group)
}

/// Why a broker that went down is a finding; absent when it did not. The frames of other cases may have ended it as well.
fn went_down(case: &Judged<'_>, after: &str) -> Option<Finding> {
    let down = case.outcome(Outcome::BrokerDown);
    let note = format!("the broker went down after a frame {after}");
    let evidence = format!("{down} of {} attempts found the broker down", case.planned);
    (down > 0).then(|| Finding::differs(down, note, evidence))
}

/// How the broker ended the connections, in words; empty when it ended none.
fn endings(case: &Judged<'_>) -> String {
    let words = case.in_words(END);
    if words.is_empty() { words } else { format!(" ({words})") }
}

/// MQTT 5.0 and 3.1.1 [MQTT-6.0.0-1]: the recipient of a data frame that is not binary closes. Violated only when the broker
/// provably went on to serve the client.
fn closes_on_text_frames(case: &Judged<'_>) -> Option<Finding> {
    let (all, closed, served) = (evidence_count(case), case.ended(), case.outcome(Outcome::Tolerated));
    let answered = case.count(ANSWER, Reply::Answered);
    let evidence = format!(
        "of {all} clients that sent a packet in a text frame, the broker closed {closed}{} and still served {served}: it answered \
         PINGREQ; it answered the packets in text frames of {answered}",
        endings(case)
    );
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if served > 0 {
        served_on(served, closed, evidence)
            .with_examples(examples(case, |sequence| sequence.ends_with("still served")))
    } else if case.outcome(Outcome::NoReaction) > 0 {
        Finding::inconclusive(format!("{evidence}; the others are open and not served"))
    } else {
        Finding::holds(all, evidence)
    })
}

/// MQTT 5.0 and 3.1.1 [MQTT-6.0.0-2]: the receiver does not assume that packets are aligned on frames. The same client was served
/// just before with each packet in a frame of its own, so only the frames explain why it is cut.
fn takes_packets_in_any_frames(case: &Judged<'_>) -> Option<Finding> {
    let (all, closed, served) = (evidence_count(case), case.ended(), case.outcome(Outcome::Tolerated));
    let answered = case.count(ANSWER, Reply::Answered).min(served);
    let evidence = format!(
        "of {all} clients whose packets do not end with frames, the broker served {served} and closed {closed}{}; all were served \
         just before with each packet in one frame",
        endings(case)
    );
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if closed >= CUT_ALIKE_MIN && served == 0 {
        // Not unsettled by well-behaved clients that lost connections: such a broker may cut them for the same reason.
        Finding::violated(evidence).with_examples(examples(case, |_| true))
    } else if closed > 0 && served == 0 {
        breach(case, evidence)
    } else if closed > 0 {
        Finding::differs(all, format!("{closed} clients were cut"), evidence)
    } else if served < all {
        Finding::inconclusive(format!("{evidence}; try a longer --reaction-timeout"))
    } else if answered < served {
        let note =
            format!("{} clients are served, but not all their packets were answered", served - answered);
        Finding::differs(all, note, evidence)
    } else {
        Finding::holds(all, evidence)
    })
}

/// MQTT 5.0 and 3.1.1 [MQTT-6.0.0-4]: the sub-protocol that the Server selects is mqtt. A CONNACK shows that it is an MQTT Server
/// which selected the other one.
fn selects_no_other_subprotocol(case: &Judged<'_>) -> Option<Finding> {
    let (all, selected) = (case.total(ANSWER), case.count(ANSWER, Reply::Answered));
    let evidence = format!(
        "the broker selected the sub-protocol \"not-mqtt\" for {selected} of {all} clients, and answered their CONNECT{}",
        endings(case)
    );
    Some(match (all, selected) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(all, evidence),
        _ => Finding::violated(evidence).with_examples(examples(case, |_| true)),
    })
}

/// [MQTT-6.0.0-3] obliges the Client alone.
fn requires_a_subprotocol(case: &Judged<'_>) -> Option<Finding> {
    let (all, served) = (case.total(ANSWER), case.count(ANSWER, Reply::Answered));
    let evidence = format!(
        "the broker answered the CONNECT of {served} of {all} clients without a sub-protocol{}",
        endings(case)
    );
    let selected = case.outcome(Outcome::Left);
    Some(match (all, served, selected) {
        (0, ..) => Finding::inconclusive(no_sample(case)),
        (_, 0, 0) => Finding::holds(all, evidence),
        (_, 0, _) => Finding::differs(
            all,
            "it selects a sub-protocol that was not offered, so that clients have to leave (RFC 6455 section 4.1)",
            evidence,
        ),
        _ => Finding::differs(all, "clients that do not ask for the sub-protocol mqtt are served", evidence),
    })
}

/// No statement limits the length of frames, nor how long a broker may wait for the rest of one.
fn does_not_wait_for_long_frames(case: &Judged<'_>) -> Option<Finding> {
    let (all, closed) = (evidence_count(case), case.ended());
    let answered = case.count(ANSWER, Reply::Answered);
    let waits = case.count(ANSWER, Reply::Not).saturating_sub(closed);
    let evidence = format!(
        "of {all} connections with a frame of 1 GiB that begins with a CONNECT, the broker answered {answered} at once, closed \
         {closed}{}, and waits on {waits} for the rest",
        endings(case)
    );
    if let Some(down) = went_down(case, "that announces 1 GiB") {
        return Some(down);
    }
    Some(match (all, waits) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(all, evidence),
        _ => {
            let note = "it waits for a whole frame of 1 GiB, and may hold all of it in memory";
            Finding::differs(all, note, evidence)
        }
    })
}

/// No statement forbids an answer; but a broker that gives one read what the client has not sent.
fn answers_no_cut_packet(case: &Judged<'_>) -> Option<Finding> {
    let (all, answered) = (case.total(ANSWER), case.others(ANSWER, Reply::Not));
    let evidence = format!(
        "{all} clients sent a CONNECT without its last byte in a whole frame; the broker closed {}{}",
        case.ended(),
        endings(case)
    );
    if let Some(down) = went_down(case, "with a part of a packet") {
        return Some(down);
    }
    Some(match (all, answered.is_empty()) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, true) => Finding::holds(all, evidence),
        (_, false) => {
            let note = "a CONNECT that has not come whole is answered: the broker may read past the end of its buffer";
            Finding::differs(all, note, format!("{evidence}; answers: {answered}"))
        }
    })
}

/// RFC 6455 sections 5.1 and 5.2 oblige the server to close; MQTT has no statement of its own.
fn closes_on_forbidden_frames(case: &Judged<'_>) -> Option<Finding> {
    let variant = variant(case)?;
    let (what, section) = match variant {
        Variant::Unmasked => ("without a mask", "5.1"),
        Variant::ReservedOpcode => ("with a reserved opcode", "5.2"),
        Variant::ReservedBit => ("with a reserved bit", "5.2"),
        _ => ("that announces 2^63 bytes", "5.2"),
    };
    let (all, closed) = (evidence_count(case), case.ended());
    let (served, silent) = (case.outcome(Outcome::Tolerated), case.outcome(Outcome::NoReaction));
    let evidence = format!(
        "of {all} clients with a frame {what}, the broker closed {closed}{} and still served {served}",
        endings(case)
    );
    if let Some(down) = went_down(case, what) {
        return Some(down);
    }
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if served > 0 || (silent > 0 && !variant.can_ask()) {
        let note = format!(
            "{} connections are open after a frame {what}, on which RFC 6455 section {section} requires a close",
            served + silent
        );
        Finding::differs(all, note, evidence)
    } else if silent > 0 {
        Finding::inconclusive(format!("{evidence}; try a longer --reaction-timeout"))
    } else {
        Finding::holds(all, evidence)
    })
}

#[cfg(test)]
mod tests {
    use ungraceful_record::testing::{
        assert_differs, assert_holds, assert_inconclusive, assert_note_contains, assert_violated, case,
        empty_record, with_fact,
    };
    use ungraceful_record::verdict::{Verdict, judge};

    use super::super::websocket::ID;
    use super::*;

    const ANSWERED: &str = "answered";
    const NOT: &str = "not answered";

    /// The verdict on attempts of one variant with these outcomes and answers.
    fn verdict(
        variant: &str,
        version: &str,
        outcomes: &[(Outcome, u64)],
        answers: &[(&str, u64)],
    ) -> Verdict {
        let mut record = empty_record();
        let mut case = case(ID, variant, version, outcomes);
        for (answer, count) in answers {
            with_fact(&mut case, ANSWER, answer, *count);
        }
        let closed = case.ended();
        if closed > 0 {
            with_fact(&mut case, END, "WebSocket Close 1003 (unsupported data)", closed);
        }
        record.cases = vec![case];
        judge(&mut record, &crate::find(ID).unwrap().checks());
        record.verdicts.retain(|verdict| verdict.case.is_some());
        assert_eq!(record.verdicts.len(), 1, "{:?}", record.verdicts);
        record.verdicts.remove(0)
    }

    const SERVED: &[(Outcome, u64)] = &[(Outcome::Tolerated, 3)];
    const CLOSED: &[(Outcome, u64)] = &[(Outcome::Closed, 2), (Outcome::Reset, 1)];
    const SILENT: &[(Outcome, u64)] = &[(Outcome::NoReaction, 3)];
    const NOT_ACTED: &[(Outcome, u64)] = &[(Outcome::NotActed, 3)];

    #[test]
    fn mqtt5_6_0_0_1_and_mqtt3_1_1_6_0_0_1_a_text_frame_is_closed_on() {
        for version in ["5.0", "3.1.1"] {
            for variant in ["text-connect", "text-publish"] {
                let closed = verdict(variant, version, CLOSED, &[(NOT, 3)]);
                assert_holds(&closed);
                assert!(closed.evidence.contains("WebSocket Close 1003"), "{closed:?}");
                let citation = format!("MQTT {version} [MQTT-6.0.0-1]");
                assert_violated(&verdict(variant, version, SERVED, &[(ANSWERED, 3)]), &citation);
                assert_violated(&verdict(variant, version, SERVED, &[(NOT, 3)]), &citation);
                let silent = verdict(variant, version, SILENT, &[(NOT, 3)]);
                assert_inconclusive(&silent, "open and not served");
                assert_inconclusive(&verdict(variant, version, NOT_ACTED, &[]), "none of");
            }
        }
        let few = [(Outcome::Closed, 99), (Outcome::Tolerated, 1)];
        assert_inconclusive(&verdict("text-connect", "5.0", &few, &[(NOT, 100)]), "are no violation");
    }

    #[test]
    fn mqtt5_6_0_0_2_and_mqtt3_1_1_6_0_0_2_packets_may_end_within_frames() {
        for version in ["5.0", "3.1.1"] {
            for variant in ["split", "fragmented", "joined"] {
                assert_holds(&verdict(variant, version, SERVED, &[(ANSWERED, 3)]));
                let citation = format!("MQTT {version} [MQTT-6.0.0-2]");
                assert_violated(&verdict(variant, version, CLOSED, &[(NOT, 3)]), &citation);
                let silent = verdict(variant, version, SILENT, &[(NOT, 3)]);
                assert_inconclusive(&silent, "try a longer --reaction-timeout");
                assert_inconclusive(&verdict(variant, version, NOT_ACTED, &[]), "none of");
            }
        }
        let some = [(Outcome::Closed, 1), (Outcome::Tolerated, 2)];
        assert_differs(&verdict("split", "5.0", &some, &[(ANSWERED, 2), (NOT, 1)]), "1 clients were cut");
        let unanswered = verdict("joined", "5.0", SERVED, &[(ANSWERED, 2), (NOT, 1)]);
        assert_differs(&unanswered, "1 clients are served, but not all their packets were answered");
    }

    #[test]
    fn mqtt5_6_0_0_4_and_mqtt3_1_1_6_0_0_4_no_other_subprotocol_is_selected() {
        for version in ["5.0", "3.1.1"] {
            assert_holds(&verdict("other-subprotocol", version, CLOSED, &[(NOT, 3)]));
            let citation = format!("MQTT {version} [MQTT-6.0.0-4]");
            assert_violated(&verdict("other-subprotocol", version, SERVED, &[(ANSWERED, 3)]), &citation);
            assert_inconclusive(&verdict("other-subprotocol", version, NOT_ACTED, &[]), "none of");
        }
        assert_differs(
            &verdict("no-subprotocol", "5.0", SERVED, &[(ANSWERED, 3)]),
            "clients that do not ask for the sub-protocol mqtt are served",
        );
        assert_holds(&verdict("no-subprotocol", "5.0", CLOSED, &[(NOT, 3)]));
        assert_inconclusive(&verdict("no-subprotocol", "5.0", NOT_ACTED, &[]), "none of");
    }

    #[test]
    fn what_waits_for_more_or_answers_too_early_is_a_note() {
        let waits = verdict("long-frame", "5.0", SILENT, &[(NOT, 3)]);
        assert_note_contains(&waits, "may hold all of it in memory");
        assert_holds(&verdict("long-frame", "5.0", SILENT, &[(ANSWERED, 3)]));
        assert_holds(&verdict("long-frame", "5.0", CLOSED, &[(NOT, 3)]));
        assert_inconclusive(&verdict("long-frame", "5.0", NOT_ACTED, &[]), "none of");
        assert_holds(&verdict("cut-packet", "5.0", SILENT, &[(NOT, 3)]));
        assert_holds(&verdict("cut-packet", "5.0", CLOSED, &[(NOT, 3)]));
        let answers = verdict("cut-packet", "5.0", SILENT, &[(ANSWERED, 3)]);
        assert_note_contains(&answers, "may read past the end of its buffer");
        assert_note_contains(&verdict("cut-packet", "5.0", CLOSED, &[("refused: x", 3)]), "may read past");
        assert_inconclusive(&verdict("cut-packet", "5.0", NOT_ACTED, &[]), "none of");
    }

    #[test]
    fn frames_that_only_rfc_6455_forbids_are_notes() {
        for (variant, section) in [("unmasked", "5.1"), ("reserved-opcode", "5.2"), ("reserved-bit", "5.2")] {
            assert_holds(&verdict(variant, "5.0", CLOSED, &[(NOT, 3)]));
            let served = verdict(variant, "5.0", SERVED, &[(ANSWERED, 3)]);
            assert_note_contains(&served, &format!("RFC 6455 section {section} requires a close"));
            assert_inconclusive(&verdict(variant, "5.0", SILENT, &[(NOT, 3)]), "longer --reaction-timeout");
            assert_inconclusive(&verdict(variant, "5.0", NOT_ACTED, &[]), "none of");
        }
        assert_holds(&verdict("impossible-length", "5.0", CLOSED, &[(NOT, 3)]));
        assert_note_contains(
            &verdict("impossible-length", "5.0", SILENT, &[(NOT, 3)]),
            "announces 2^63 bytes",
        );
    }

    #[test]
    fn a_broker_that_goes_down_is_a_note() {
        for (variant, words) in [
            ("impossible-length", "the broker went down after a frame that announces 2^63 bytes"),
            ("long-frame", "the broker went down after a frame that announces 1 GiB"),
            ("cut-packet", "the broker went down after a frame with a part of a packet"),
        ] {
            assert_differs(&verdict(variant, "5.0", &[(Outcome::BrokerDown, 1)], &[]), words);
        }
        let down = [(Outcome::BrokerDown, 1)];
        assert_inconclusive(&verdict("text-connect", "5.0", &down, &[]), "the broker was down");
    }

    #[test]
    fn a_subprotocol_that_was_not_offered_is_a_note_where_it_is_mqtt() {
        let left = [(Outcome::Left, 3)];
        assert_note_contains(&verdict("no-subprotocol", "5.0", &left, &[(NOT, 3)]), "was not offered");
        assert_holds(&verdict("other-subprotocol", "5.0", &left, &[(NOT, 3)]));
    }
}
