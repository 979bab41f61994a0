//! What a take-over storm is judged by. Each check reads the record alone and gives a verdict for each case.

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::{
    Statement, V5_3_1_2_4, V5_3_1_2_5, V5_3_1_3_9, V5_3_2_2_2, V5_3_2_2_3, V5_3_3_1_1, V5_4_1_0_2,
    V5_4_3_3_10, V5_4_4_0_1, V5_4_5_0_1, V311_3_1_2_4, V311_3_1_2_6, V311_3_1_2_8, V311_3_2_2_1,
    V311_3_2_2_2, V311_3_2_2_3, V311_3_3_1_1, V311_4_3_3_2, V311_4_4_0_1,
};
use ungraceful_record::run::Record;
use ungraceful_record::scale::{span, time};
use ungraceful_record::verdict::{Check, Force, Verdict};

use super::VersionPair;
use super::judged::{TakeOver, closed_by_the_broker};
use super::storm::{
    DUP, HELD_BACK, ID, IDENTIFIERS, LATE, NOT_YET, QUEUED, REPEATED, RESEND_TELLS_AFTER, SENT_AGAIN,
    SENT_AGAIN_AFTER, Situation,
};
use crate::judging::{self, DueWills, breach, due_wills, sum};
use crate::resumption::{LEFT_OVER, NOT_OWED, Resumed, SESSION_PRESENT, SOME, YES, broken_by_presence};

/// The checks that only a storm has, in the order in which they are reported.
pub const CHECKS: [Check; 8] = [
    starts_a_new_session,
    ends_the_session,
    resumes_the_session,
    tells_session_present_truly,
    sends_again_what_was_in_flight,
    marks_what_it_sends_again,
    delivers_the_repeated_message_once,
    treats_the_will_as_the_session,
];

/// The numbered statements by which a broker can be accused here.
pub const STATEMENTS: &[Statement] = &[
    V5_3_1_2_4,
    V5_3_1_2_5,
    V5_3_1_3_9,
    V5_3_2_2_2,
    V5_3_2_2_3,
    V5_3_3_1_1,
    V5_4_1_0_2,
    V5_4_3_3_10,
    V5_4_4_0_1,
    V5_4_5_0_1,
    V311_3_1_2_4,
    V311_3_1_2_6,
    V311_3_1_2_8,
    V311_3_2_2_1,
    V311_3_2_2_2,
    V311_3_2_2_3,
    V311_3_3_1_1,
    V311_4_3_3_2,
    V311_4_4_0_1,
];

/// A case with what its names say.
struct Told<'a> {
    situation: Situation,
    versions: VersionPair,
    of: TakeOver<'a>,
}

impl Told<'_> {
    /// The statement of the version that the newcomer's CONNECT was made in.
    fn of_newcomer(&self, v5: Statement, v311: Statement) -> Statement {
        self.of.of_newcomer(v5, v311)
    }

    fn count(&self, fact: &str, value: &str) -> u64 {
        self.of.count(fact, value)
    }

    /// Attempts that tell the fact at all.
    fn all(&self, fact: &str) -> u64 {
        self.of.all(fact)
    }
}

fn on_each_case(record: &Record, judge: impl Fn(&Told<'_>) -> Option<Verdict>) -> Vec<Verdict> {
    judging::on_each_case(record, ID, |case| {
        let situation = Situation::named(&case.case.variant)?;
        let of = TakeOver::of(case)?;
        judge(&Told { situation, versions: of.versions, of })
    })
}

/// Clean Start 1 begins a session without Session Present (MQTT 5.0 [MQTT-3.2.2-2], MQTT 3.1.1 [MQTT-3.2.2-1]) and
/// without anything of the older one ([MQTT-3.1.2-4], 3.1.1 [MQTT-3.1.2-6]).
fn starts_a_new_session(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "starts_a_new_session";
    on_each_case(record, |told| {
        if !told.situation.clean_start {
            return None;
        }
        let discards = told.of_newcomer(V5_3_1_2_4, V311_3_1_2_6);
        let says_so = told.of_newcomer(V5_3_2_2_2, V311_3_2_2_1);
        let (present, all) = (told.count(SESSION_PRESENT, YES), told.all(SESSION_PRESENT));
        let left_over = told.count(LEFT_OVER, SOME);
        let evidence = format!(
            "of {all} newcomers with Clean Start 1, {present} were told Session Present 1 and {left_over} were sent \
             messages of the older session"
        );
        Some(if all == 0 {
            told.of.no_newcomer(CHECK, Force::Must).citing(discards)
        } else if left_over > 0 {
            Verdict::violated(CHECK, discards, evidence)
        } else if present > 0 {
            Verdict::violated(CHECK, says_so, evidence)
        } else {
            Verdict::holds(CHECK, Force::Must, all, evidence).citing(discards)
        })
    })
}

/// A session that ends with its connection is gone when a newcomer takes the ClientID over, whatever its Clean Start (MQTT
/// 5.0 [MQTT-4.1.0-2], MQTT 3.1.1 [MQTT-3.1.2-6]: its state is not used again). Where nothing of it is left, Session Present
/// 1 says something false ([MQTT-3.2.2-3] in both versions).
fn ends_the_session(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "ends_the_session";
    on_each_case(record, |told| {
        if !told.situation.has_ended() {
            return None;
        }
        let kept = match told.versions.old {
            ProtocolVersion::V5 => V5_4_1_0_2,
            ProtocolVersion::V3_1_1 => V311_3_1_2_6,
        };
        let (present, all) = (told.count(SESSION_PRESENT, YES), Resumed::of(told.of.case).all());
        let left_over = told.count(LEFT_OVER, SOME);
        let evidence = format!(
            "of {all} newcomers with Clean Start 0 after a session that ended with its connection, {present} were told \
             Session Present 1 and {left_over} were sent messages of that session"
        );
        let not_owed = told.count(SESSION_PRESENT, NOT_OWED);
        Some(if present + left_over > 0 {
            let says_so = told.of_newcomer(V5_3_2_2_3, V311_3_2_2_3);
            broken_by_presence(told.of.case, CHECK, kept, says_so, evidence)
        } else if all > 0 {
            Verdict::holds(CHECK, Force::Must, all, evidence).citing(kept)
        } else if not_owed > 0 {
            let why = format!(
                "the broker told {not_owed} older clients that it would keep their session for longer than they asked for"
            );
            Verdict::inconclusive(CHECK, Force::Must, why).citing(kept)
        } else {
            told.of.no_newcomer(CHECK, Force::Must).citing(kept)
        })
    })
}

/// Clean Start 0 goes on with the session there is (MQTT 5.0 [MQTT-3.1.2-5], MQTT 3.1.1 [MQTT-3.1.2-4]): Session
/// Present says so, or the broker sends what the session holds; and what waited behind the older client's Receive Maximum
/// comes ([MQTT-4.5.0-1]), as far as the broker keeps so much: it accuses by the rule of [`ungraceful_record::loss`].
fn resumes_the_session(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "resumes_the_session";
    on_each_case(record, |told| {
        if !told.situation.resumes() {
            return None;
        }
        let statement = told.of_newcomer(V5_3_1_2_5, V311_3_1_2_4);
        let resumed = Resumed::of(told.of.case);
        let (absent, all) = (resumed.gone, resumed.all());
        let without_queue = told.count(QUEUED, "none") + told.count(QUEUED, "some");
        let evidence = format!(
            "of {all} newcomers with Clean Start 0, {} were told Session Present 1, and {} were told 0 and sent messages of \
             the session all the same; of {} whose messages waited in the session, {} were sent all of them",
            resumed.announced,
            resumed.unannounced,
            told.all(QUEUED),
            told.count(QUEUED, "all") + told.count(QUEUED, LATE)
        );
        let not_owed = told.count(SESSION_PRESENT, NOT_OWED);
        Some(if all == 0 && not_owed > 0 {
            let why = format!(
                "the broker told {not_owed} older clients that it would not keep their session, or for less time than the \
                 take-over took, and owes them none"
            );
            Verdict::inconclusive(CHECK, Force::Must, why).citing(statement)
        } else if let Some(why) = resumed.nothing_known() {
            Verdict::inconclusive(CHECK, Force::Must, why).citing(statement)
        } else if all == 0 {
            told.of.no_newcomer(CHECK, Force::Must).citing(statement)
        } else if absent > 0 && told.versions.old != told.versions.new {
            // Neither version says that a session of the other one is to be resumed.
            let note = "a session does not go on in the other version";
            Verdict::differs(CHECK, Force::Must, all, note, evidence).citing(statement)
        } else if absent > 0 {
            breach(record, told.of.case, CHECK, statement, evidence)
        } else if without_queue > 0 && told.versions == VersionPair::both(ProtocolVersion::V5) {
            // The messages were taken, and are to be sent, by the rules of 5.0.
            let held_back = sum(told.of.case, HELD_BACK);
            judging::lost(record, told.of.case, CHECK, V5_4_5_0_1, held_back, evidence)
        } else if told.count(QUEUED, NOT_YET) > 0 && without_queue == 0 {
            Verdict::inconclusive(CHECK, Force::Must, not_yet(told.count(QUEUED, NOT_YET))).citing(statement)
        } else if without_queue > 0 {
            Verdict::differs(
                CHECK,
                Force::Must,
                all,
                "messages that waited in the session did not come",
                evidence,
            )
            .citing(statement)
        } else {
            Verdict::holds(CHECK, Force::Must, all, evidence).citing(statement)
        })
    })
}

/// MQTT 5.0 [MQTT-3.2.2-3], MQTT 3.1.1 [MQTT-3.2.2-2]: Session Present is 1 where the session goes on. Messages of a session
/// that was said not to be there prove that it is.
fn tells_session_present_truly(record: &Record) -> Vec<Verdict> {
    on_each_case(record, |told| {
        let statement = told.of_newcomer(V5_3_2_2_3, V311_3_2_2_2);
        let resumed = told.situation.resumes().then(|| Resumed::of(told.of.case))?;
        resumed.told_truly("tells_session_present_truly", told.of.case, statement)
    })
}

fn not_yet(newcomers: u64) -> String {
    format!(
        "{newcomers} newcomers were not sent everything within --resend-wait. It may come yet: nothing that was published \
         later had come either, or --resend-wait was below {}, from which on it decides; a longer --resend-wait may tell",
        span(RESEND_TELLS_AFTER)
    )
}

/// MQTT 5.0 [MQTT-4.4.0-1], MQTT 3.1.1 [MQTT-4.4.0-1]: what the older client had not acknowledged is sent again, with
/// its Packet Identifier.
fn sends_again_what_was_in_flight(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "sends_again_what_was_in_flight";
    on_each_case(record, |told| {
        if !told.situation.resumes() {
            return None;
        }
        let statement = told.of_newcomer(V5_4_4_0_1, V311_4_4_0_1);
        let all = told.all(SENT_AGAIN);
        let lacking = told.count(SENT_AGAIN, "none") + told.count(SENT_AGAIN, "some");
        let renamed = told.count(IDENTIFIERS, "changed");
        let evidence = format!(
            "of {all} newcomers that resumed a session with unacknowledged messages, {lacking} were not sent all of them \
             again within --resend-wait, which was {} at the least, and {renamed} under other Packet Identifiers",
            span(RESEND_TELLS_AFTER)
        );
        let late = told.count(SENT_AGAIN, LATE);
        Some(if all == 0 {
            let why = "no session with unacknowledged messages was resumed";
            Verdict::inconclusive(CHECK, Force::Must, why).citing(statement)
        } else if renamed > 0 {
            Verdict::violated(CHECK, statement, evidence)
        } else if lacking > 0 {
            let evidence = format!("{evidence}; a later message on the same topic was");
            breach(record, told.of.case, CHECK, statement, evidence)
        } else if told.count(SENT_AGAIN, NOT_YET) > 0 {
            Verdict::inconclusive(CHECK, Force::Must, not_yet(told.count(SENT_AGAIN, NOT_YET)))
                .citing(statement)
        } else if late > 0 {
            let evidence = format!(
                "of {all} newcomers that resumed a session with unacknowledged messages, {late} were sent them again only \
                 after a message that had been published later, at the latest {} after their CONNACK",
                time(told.of.case.measures.get(SENT_AGAIN_AFTER).and_then(|after| after.max).unwrap_or(0))
            );
            let note = "what was in flight is sent again late, and not in its order";
            Verdict::differs(CHECK, Force::Must, all, note, evidence).citing(statement)
        } else {
            Verdict::holds(CHECK, Force::Must, all, evidence).citing(statement)
        })
    })
}

/// MQTT 5.0 [MQTT-3.3.1-1], MQTT 3.1.1 [MQTT-3.3.1-1]: DUP is 1 on what is sent again.
fn marks_what_it_sends_again(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "marks_what_it_sends_again";
    on_each_case(record, |told| {
        if !told.situation.resumes() {
            return None;
        }
        let statement = told.of_newcomer(V5_3_3_1_1, V311_3_3_1_1);
        let (missing, all) = (told.count(DUP, "missing"), told.all(DUP));
        let renamed = told.count(IDENTIFIERS, "changed");
        let evidence =
            format!("of {all} newcomers that were sent messages again, {missing} saw some with DUP 0");
        Some(if all == 0 {
            Verdict::inconclusive(CHECK, Force::Must, "nothing was sent again").citing(statement)
        } else if missing > renamed {
            // More than can be those of other Packet Identifiers.
            Verdict::violated(CHECK, statement, evidence)
        } else if missing > 0 {
            // Under another Packet Identifier it is a message of its own.
            let why = format!(
                "{evidence}, and {renamed} were sent some under other Packet Identifiers: these were not sent again, but \
                 sent anew"
            );
            Verdict::inconclusive(CHECK, Force::Must, why).citing(statement)
        } else {
            Verdict::holds(CHECK, Force::Must, all, evidence).citing(statement)
        })
    })
}

/// MQTT 5.0 [MQTT-4.3.3-10], MQTT 3.1.1 [MQTT-4.3.3-2]: a QoS 2 PUBLISH that is repeated before its PUBREL is not
/// delivered again.
fn delivers_the_repeated_message_once(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "delivers_the_repeated_message_once";
    on_each_case(record, |told| {
        if !told.situation.resumes() {
            return None;
        }
        let statement = told.of_newcomer(V5_4_3_3_10, V311_4_3_3_2);
        let all = told.all(REPEATED);
        let (twice, never) = (told.count(REPEATED, "twice"), told.count(REPEATED, "never"));
        let evidence = format!(
            "of {all} QoS 2 messages that the newcomer repeated with DUP 1, {twice} came more than once and {never} never"
        );
        Some(if all == 0 {
            let why = "no QoS 2 message was repeated on a resumed session";
            Verdict::inconclusive(CHECK, Force::Must, why).citing(statement)
        } else if twice > 0 {
            Verdict::violated(CHECK, statement, evidence)
        } else if never > 0 {
            let note = "a QoS 2 message that the broker took did not come until the deadline";
            Verdict::differs(CHECK, Force::Must, all, note, evidence).citing(statement)
        } else {
            Verdict::holds(CHECK, Force::Must, all, evidence).citing(statement)
        })
    })
}

/// The Will of the older connection. MQTT 3.1.1 [MQTT-3.1.2-8] has it published whenever the connection is closed
/// without DISCONNECT. MQTT 5.0 forbids one that is delayed while its session goes on ([MQTT-3.1.3-9]); all others are
/// published by a comment in section 3.1.4, and by [MQTT-3.1.2-8] with an exception that may be read to cover
/// take-overs: a deviation there is a note.
fn treats_the_will_as_the_session(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "treats_the_will_as_the_session";
    let witness_proved = record.witness.is_some_and(|witness| witness.proved);
    on_each_case(record, |told| {
        let is_3_1_1 = told.versions.old == ProtocolVersion::V3_1_1;
        let forbidden = told.situation.resumes() && told.situation.will_delay && !is_3_1_1;
        let force = if is_3_1_1 || forbidden { Force::Must } else { Force::Prose };
        let statement = match (is_3_1_1, forbidden) {
            (true, _) => Some(V311_3_1_2_8),
            (false, true) => Some(V5_3_1_3_9),
            (false, false) => None,
        };
        let cited = |verdict: Verdict| match statement {
            Some(statement) => verdict.citing(statement),
            None => verdict,
        };
        let Some(will) = told.of.case.will.as_ref() else {
            let why = if witness_proved {
                "no Will could be waited for"
            } else {
                "the witness could not subscribe to the Will topics, or was not proved to hear"
            };
            return Some(cited(Verdict::inconclusive(CHECK, force, why)));
        };
        let may_have_come = will.due == 0 && closed_by_the_broker(told.of.case) > 0;
        if forbidden && (will.not_due_and_seen > 0 || may_have_come) {
            let evidence = format!(
                "{} of {} Wills with a Will Delay Interval were published although the session was resumed before it had \
                 passed",
                will.not_due_and_seen, will.set
            );
            return Some(judging::withheld(record, told.of.case, CHECK, V5_3_1_3_9, will, evidence));
        }
        if will.due == 0 {
            let why = "no connection with a Will was closed by the broker";
            return Some(cited(Verdict::inconclusive(CHECK, force, why)));
        }
        // Where a delayed Will is due all the same, its session was not resumed: no statement demands it.
        let (force, statement) = if forbidden { (Force::Prose, None) } else { (force, statement) };
        let cited = |verdict: Verdict| match statement {
            Some(statement) => verdict.citing(statement),
            None => verdict,
        };
        Some(cited(match due_wills(record, will) {
            DueWills::Unknown(why) => Verdict::inconclusive(CHECK, force, why),
            DueWills::Came(evidence) if will.more_than_once > 0 => {
                let note = format!("{} Wills came more than once (QoS 1)", will.more_than_once);
                Verdict::differs(CHECK, force, will.due, note, evidence)
            }
            DueWills::Came(evidence) => Verdict::holds(CHECK, force, will.due, evidence),
            DueWills::Missing(evidence) if is_3_1_1 => {
                breach(record, told.of.case, CHECK, V311_3_1_2_8, evidence)
            }
            DueWills::Missing(evidence) => Verdict::differs(
                CHECK,
                force,
                will.due,
                "the Will of the older connection is not published",
                evidence,
            ),
        }))
    })
}
