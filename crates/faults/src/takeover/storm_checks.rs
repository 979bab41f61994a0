//! The checks of a take-over storm. Each check reads only the record and gives one verdict per case.

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::{
    V5_3_1_2_4, V5_3_1_2_5, V5_3_1_3_9, V5_3_2_2_2, V5_3_2_2_3, V5_3_3_1_1, V5_4_1_0_2, V5_4_3_3_10,
    V5_4_4_0_1, V5_4_5_0_1, V311_3_1_2_4, V311_3_1_2_6, V311_3_1_2_8, V311_3_2_2_1, V311_3_2_2_3,
    V311_3_3_1_1, V311_4_3_3_2, V311_4_4_0_1,
};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::FactOf;
use ungraceful_record::run::CaseRecord;
use ungraceful_record::scale::{span, time};
use ungraceful_record::verdict::Force;

use super::VersionPair;
use super::judged::{no_newcomer, versions};
use super::storm::{
    DUP, Dup, HELD_BACK, IDENTIFIERS, Identifiers, QUEUED, REPEATED, RESEND_DECIDES_AFTER, Repeated,
    SENT_AGAIN, SENT_AGAIN_AFTER, Share, Situation,
};
use crate::judging::{self, breach, came_once, due_wills, no_will, of_version};
use crate::resumption::{
    LEFT_OVER, REPORTS_SESSION_PRESENT_CORRECTLY, Remains, Resumed, Resumption, SESSION_PRESENT,
    broken_by_presence,
};

/// The checks that only a storm has, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::must(
        "starts_a_new_session",
        &[V5_3_1_2_4, V311_3_1_2_6, V5_3_2_2_2, V311_3_2_2_1],
        starts_a_new_session,
    )
    .on(|case| situation(case).is_some_and(Situation::clean_start)),
    Check::must("ends_the_session", &[V5_4_1_0_2, V311_3_1_2_6, V5_3_2_2_3, V311_3_2_2_3], ends_the_session)
        .on(|case| situation(case).is_some_and(Situation::has_ended)),
    Check::must("resumes_the_session", &[V5_3_1_2_5, V311_3_1_2_4, V5_4_5_0_1], resumes_the_session)
        .on(resumes),
    REPORTS_SESSION_PRESENT_CORRECTLY.on(resumes),
    Check::must(
        "sends_again_what_was_in_flight",
        &[V5_4_4_0_1, V311_4_4_0_1],
        sends_again_what_was_in_flight,
    )
    .on(resumes),
    Check::must("marks_what_it_sends_again", &[V5_3_3_1_1, V311_3_3_1_1], marks_what_it_sends_again)
        .on(resumes),
    Check::must(
        "delivers_the_repeated_message_once",
        &[V5_4_3_3_10, V311_4_3_3_2],
        delivers_the_repeated_message_once,
    )
    .on(resumes),
    Check::must(
        "treats_the_will_as_the_session",
        &[V311_3_1_2_8, V5_3_1_3_9],
        treats_the_will_as_the_session,
    ),
];

/// Whether the newcomers of a case should resume a session.
fn resumes(case: &CaseRecord) -> bool {
    situation(case).is_some_and(Situation::resumes)
}

/// The situation of a case.
fn situation(case: &CaseRecord) -> Option<Situation> {
    case.case.variant.parse().ok()
}

/// Clean Start 1 begins a session with Session Present 0 (MQTT 5.0 [MQTT-3.2.2-2], MQTT 3.1.1 [MQTT-3.2.2-1]) and with
/// nothing of the older one ([MQTT-3.1.2-4], 3.1.1 [MQTT-3.1.2-6]).
fn starts_a_new_session(case: &Judged<'_>) -> Option<Finding> {
    let discards = of_version(case, V5_3_1_2_4, V311_3_1_2_6);
    let says_so = of_version(case, V5_3_2_2_2, V311_3_2_2_1);
    let (present, all) = (case.count(SESSION_PRESENT, Resumption::Announced), case.total(SESSION_PRESENT));
    let left_over = case.count(LEFT_OVER, Remains::Some);
    let evidence = format!(
        "of {all} newcomers with Clean Start 1, {present} received Session Present 1 and {left_over} received messages \
         of the older session"
    );
    Some(if all == 0 {
        no_newcomer(case).by(discards)
    } else if left_over > 0 {
        Finding::violated(evidence).by(discards)
    } else if present > 0 {
        Finding::violated(evidence).by(says_so)
    } else {
        Finding::holds(all, evidence).by(discards)
    })
}

/// A session that ends with its connection is gone when a newcomer takes the ClientID over, whatever its Clean Start (MQTT
/// 5.0 [MQTT-4.1.0-2], MQTT 3.1.1 [MQTT-3.1.2-6]: its state is not reused). When nothing of it is left, Session Present 1 is
/// false ([MQTT-3.2.2-3] in both versions).
fn ends_the_session(case: &Judged<'_>) -> Option<Finding> {
    let kept = match versions(case)?.old {
        ProtocolVersion::V5 => V5_4_1_0_2,
        ProtocolVersion::V3_1_1 => V311_3_1_2_6,
    };
    let (present, all) = (case.count(SESSION_PRESENT, Resumption::Announced), Resumed::of(case).all());
    let left_over = case.count(LEFT_OVER, Remains::Some);
    let evidence = format!(
        "of {all} newcomers with Clean Start 0 after a session that ended with its connection, {present} received \
         Session Present 1 and {left_over} received messages of that session"
    );
    let not_owed = case.count(SESSION_PRESENT, Resumption::NotOwed);
    Some(if present + left_over > 0 {
        let says_so = of_version(case, V5_3_2_2_3, V311_3_2_2_3);
        broken_by_presence(case, kept, says_so, evidence)
    } else if all > 0 {
        Finding::holds(all, evidence).by(kept)
    } else if not_owed > 0 {
        let why = format!(
            "the broker granted {not_owed} older clients a longer Session Expiry Interval than they requested"
        );
        Finding::inconclusive(why).by(kept)
    } else {
        no_newcomer(case).by(kept)
    })
}

/// Clean Start 0 resumes an existing session (MQTT 5.0 [MQTT-3.1.2-5], MQTT 3.1.1 [MQTT-3.1.2-4]): the broker sets Session
/// Present or sends the messages of the session. It also delivers messages queued behind the older client's Receive Maximum
/// ([MQTT-4.5.0-1]), as far as its queue allows: [`ungraceful_record::loss`] decides which losses violate it.
fn resumes_the_session(case: &Judged<'_>) -> Option<Finding> {
    let resumed = Resumed::of(case);
    let (absent, all) = (resumed.gone, resumed.all());
    let without_queue = incomplete(case, QUEUED);
    let evidence = format!(
        "of {all} newcomers with Clean Start 0, {} received Session Present 1, and {} received Session Present 0 but also \
         messages of the session; of {} with messages queued in the session, {} received all of them",
        resumed.announced,
        resumed.unannounced,
        case.total(QUEUED),
        case.count(QUEUED, Share::All) + case.count(QUEUED, Share::Late)
    );
    let not_owed = case.count(SESSION_PRESENT, Resumption::NotOwed);
    Some(if all == 0 && not_owed > 0 {
        let why = format!(
            "the broker announced to {not_owed} older clients that it would not keep their session, or not for as long as \
             the take-over took"
        );
        Finding::inconclusive(why)
    } else if let Some(why) = resumed.nothing_known() {
        Finding::inconclusive(why)
    } else if all == 0 {
        no_newcomer(case)
    } else if absent > 0 && versions(case)?.old != versions(case)?.new {
        // Neither version requires that a session of the other one is resumed.
        Finding::differs(all, "a session is not resumed in the other version", evidence)
    } else if absent > 0 {
        breach(case, evidence)
    } else if without_queue > 0 && versions(case)? == VersionPair::both(ProtocolVersion::V5) {
        // Both when they were published and when they are due, the messages are subject to the rules of 5.0.
        judging::lost(case, case.measured(HELD_BACK).sum, evidence).by(V5_4_5_0_1)
    } else if without_queue > 0 {
        Finding::differs(all, "queued messages of the session were not delivered", evidence)
    } else if case.count(QUEUED, Share::NotYet) > 0 {
        Finding::inconclusive(not_yet(case.count(QUEUED, Share::NotYet)))
    } else {
        Finding::holds(all, evidence)
    })
}

/// Newcomers that did not receive all of the messages that this fact is about.
fn incomplete(case: &CaseRecord, fact: FactOf<Share>) -> u64 {
    case.count(fact, Share::None) + case.count(fact, Share::Some)
}

fn not_yet(newcomers: u64) -> String {
    format!(
        "{newcomers} newcomers did not receive everything within --resend-wait. It may still arrive: no later message had \
         arrived either, or --resend-wait was below {}, which is too short to decide; try a longer --resend-wait",
        span(RESEND_DECIDES_AFTER)
    )
}

/// MQTT 5.0 [MQTT-4.4.0-1], MQTT 3.1.1 [MQTT-4.4.0-1]: the broker sends messages that the older client had not acknowledged
/// again, with the same Packet Identifiers.
fn sends_again_what_was_in_flight(case: &Judged<'_>) -> Option<Finding> {
    let all = case.total(SENT_AGAIN);
    let (missing, renamed) = (incomplete(case, SENT_AGAIN), case.count(IDENTIFIERS, Identifiers::Changed));
    let evidence = format!(
        "of {all} newcomers that resumed a session with unacknowledged messages, {missing} did not receive all of them \
         again within --resend-wait (at least {}), and {renamed} received some under other Packet Identifiers",
        span(RESEND_DECIDES_AFTER)
    );
    let late = case.count(SENT_AGAIN, Share::Late);
    Some(if all == 0 {
        Finding::inconclusive("no session with unacknowledged messages was resumed")
    } else if renamed > 0 {
        Finding::violated(evidence)
    } else if missing > 0 {
        let evidence = format!("{evidence}; a later message on the same topic arrived");
        breach(case, evidence)
    } else if case.count(SENT_AGAIN, Share::NotYet) > 0 {
        Finding::inconclusive(not_yet(case.count(SENT_AGAIN, Share::NotYet)))
    } else if late > 0 {
        let evidence = format!(
            "of {all} newcomers that resumed a session with unacknowledged messages, {late} received them again only \
             after a message that was published later, up to {} after their CONNACK",
            time(case.measured(SENT_AGAIN_AFTER).max.unwrap_or(0))
        );
        Finding::differs(all, "messages in flight are sent again late and out of order", evidence)
    } else {
        Finding::holds(all, evidence)
    })
}

/// MQTT 5.0 [MQTT-3.3.1-1], MQTT 3.1.1 [MQTT-3.3.1-1]: messages that are sent again have DUP 1.
fn marks_what_it_sends_again(case: &Judged<'_>) -> Option<Finding> {
    let (missing, all) = (case.count(DUP, Dup::Missing), case.total(DUP));
    let renamed = case.count(IDENTIFIERS, Identifiers::Changed);
    let evidence =
        format!("of {all} newcomers that received messages again, {missing} received some with DUP 0");
    Some(if all == 0 {
        Finding::inconclusive("no message was sent again")
    } else if missing > renamed {
        // More than the newcomers with other Packet Identifiers can account for.
        Finding::violated(evidence)
    } else if missing > 0 {
        // Under another Packet Identifier it is a new message.
        let why = format!(
            "{evidence}, and {renamed} received some under other Packet Identifiers: those are new messages, which need \
             no DUP"
        );
        Finding::inconclusive(why)
    } else {
        Finding::holds(all, evidence)
    })
}

/// MQTT 5.0 [MQTT-4.3.3-10], MQTT 3.1.1 [MQTT-4.3.3-2]: the broker does not deliver a QoS 2 PUBLISH again that is repeated
/// before its PUBREL.
fn delivers_the_repeated_message_once(case: &Judged<'_>) -> Option<Finding> {
    let all = case.total(REPEATED);
    let (twice, never) = (case.count(REPEATED, Repeated::Twice), case.count(REPEATED, Repeated::Never));
    let evidence = format!(
        "of {all} QoS 2 messages that newcomers repeated with DUP 1, {twice} were delivered more than once and {never} never"
    );
    Some(if all == 0 {
        Finding::inconclusive("no QoS 2 message was repeated on a resumed session")
    } else if twice > 0 {
        Finding::violated(evidence)
    } else if never > 0 {
        Finding::differs(
            all,
            "a QoS 2 message that the broker accepted was not delivered by the deadline",
            evidence,
        )
    } else {
        Finding::holds(all, evidence)
    })
}

/// The Will of the older connection. MQTT 3.1.1 [MQTT-3.1.2-8] requires it whenever the connection is closed without
/// DISCONNECT. MQTT 5.0 forbids a delayed one while its session goes on ([MQTT-3.1.3-9]). A comment in section 3.1.4
/// requires all others, and so does [MQTT-3.1.2-8], with an exception that may cover take-overs: a deviation there is a note.
fn treats_the_will_as_the_session(case: &Judged<'_>) -> Option<Finding> {
    let situation = situation(case)?;
    let is_3_1_1 = versions(case)?.old == ProtocolVersion::V3_1_1;
    let forbidden = situation.resumes() && situation.will_delay() && !is_3_1_1;
    let by = |finding: Finding| match (is_3_1_1, forbidden) {
        (true, _) => finding.by(V311_3_1_2_8),
        (false, true) => finding.by(V5_3_1_3_9),
        (false, false) => finding.of(Force::Prose),
    };
    let Some(will) = case.will.as_ref() else {
        return Some(by(Finding::inconclusive(no_will(case, "no Will could be observed"))));
    };
    let may_have_come = will.due == 0 && case.ended() > 0;
    if forbidden && (will.not_due_and_seen > 0 || may_have_come) {
        let evidence = format!(
            "{} of {} Wills with a Will Delay Interval were published although the session was resumed before that \
             interval had passed",
            will.not_due_and_seen, will.set
        );
        return Some(judging::withheld(case, will, evidence).by(V5_3_1_3_9));
    }
    if will.due == 0 {
        let why = "the broker closed no connection with a Will";
        return Some(by(Finding::inconclusive(why)));
    }
    // A delayed Will is due here only if its session was not resumed: no statement requires it.
    let by = |finding: Finding| if forbidden { finding.of(Force::Prose) } else { by(finding) };
    let missing = |evidence| match is_3_1_1 {
        true => breach(case, evidence),
        false => Finding::differs(will.due, "the Will of the older connection is not published", evidence),
    };
    Some(by(due_wills(case, will, missing, |evidence| came_once(will, evidence))))
}
