//! What every mode of a take-over is judged by: is the older connection closed, and is the newer one left?

use ungraceful_mqtt::ProtocolVersion;
use ungraceful_mqtt::statement::{Statement, V5_3_1_4_3, V311_3_1_4_2};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::run::{CaseRecord, Record};
use ungraceful_record::verdict::{Check, Force, Verdict};

use super::{ACCEPTED, ALIVE, MORE, NEWCOMER, TWO, VersionPair, duel, race};
use crate::judging::{self, evidence_count, examples, no_sample, served_on};

/// The checks, in the order in which they are reported.
pub const CHECKS: [Check; 5] = [
    closes_the_older_connection,
    accepts_the_newcomer,
    leaves_one_connection,
    tells_session_taken_over,
    sends_no_disconnect_on_3_1_1,
];

/// The numbered statements by which a broker can be accused here.
pub const STATEMENTS: &[Statement] = &[V5_3_1_4_3, V311_3_1_4_2];

/// How the ids of all faults begin that are take-overs.
const TAKEOVER: &str = "takeover-";

/// A case with what its version says.
pub(super) struct TakeOver<'a> {
    pub(super) case: &'a CaseRecord,
    pub(super) versions: VersionPair,
}

impl<'a> TakeOver<'a> {
    /// Absent for a case that is no take-over.
    pub(super) fn of(case: &'a CaseRecord) -> Option<Self> {
        let is_one = case.case.fault.starts_with(TAKEOVER);
        let versions = case.case.version.parse().ok().filter(|_| is_one)?;
        Some(Self { case, versions })
    }

    /// The statement of the version that the newcomer's CONNECT was made in.
    pub(super) fn of_newcomer(&self, v5: Statement, v311: Statement) -> Statement {
        match self.versions.new {
            ProtocolVersion::V5 => v5,
            ProtocolVersion::V3_1_1 => v311,
        }
    }

    pub(super) fn count(&self, fact: &str, value: &str) -> u64 {
        self.case.fact(fact, value)
    }

    /// Attempts that tell the fact at all.
    pub(super) fn all(&self, fact: &str) -> u64 {
        self.case.facts.get(fact).map_or(0, |counts| counts.values().sum())
    }

    /// Newcomers that were not accepted.
    pub(super) fn refused(&self) -> u64 {
        self.all(NEWCOMER).saturating_sub(self.count(NEWCOMER, ACCEPTED))
    }

    /// The verdict where no newcomer was accepted.
    pub(super) fn no_newcomer(&self, check: &str, force: Force) -> Verdict {
        let refused = match self.count(NEWCOMER, ACCEPTED) {
            0 => self.refused(),
            _ => 0,
        };
        let why = if refused > 0 {
            format!("the broker accepted none of the newcomers ({refused} refused or not answered)")
        } else {
            no_sample(self.case)
        };
        Verdict::inconclusive(check, force, why)
    }
}

/// Attempts in which the broker ended the older connection.
pub(super) fn closed_by_the_broker(case: &CaseRecord) -> u64 {
    case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset)
}

pub(super) fn each_takeover(
    record: &Record,
    judge: impl Fn(&TakeOver<'_>) -> Option<Verdict>,
) -> Vec<Verdict> {
    let cases = record.cases.iter().filter_map(TakeOver::of);
    cases.filter_map(|told| Some(judge(&told)?.on(&told.case.case))).collect()
}

/// MQTT 5.0 [MQTT-3.1.4-3], MQTT 3.1.1 [MQTT-3.1.4-2]: the older connection is closed. Violated only when it was
/// proved to be served on beside a newcomer that was accepted.
fn closes_the_older_connection(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "closes_the_older_connection";
    each_takeover(record, |told| {
        let case = told.case;
        let statement = told.of_newcomer(V5_3_1_4_3, V311_3_1_4_2);
        // Where the broker stalled, two that were answered prove nothing.
        let both = (told.count(ALIVE, TWO) + told.count(ALIVE, MORE)).min(case.outcome(Outcome::Tolerated));
        let (silent, down) = (case.outcome(Outcome::NoReaction), case.outcome(Outcome::BrokerDown));
        let all = evidence_count(case);
        let ended = closed_by_the_broker(case);
        let accepted = told.count(NEWCOMER, ACCEPTED);
        let verdict = if both > 0 {
            let evidence = format!(
                "{both} of {all} ClientIDs had more than one connection that was served on after the newest CONNECT had \
                 been accepted: each of them was answered PINGREQ"
            );
            served_on(CHECK, statement, both, ended, evidence)
                .with_examples(examples(case, |sequence| sequence.ends_with("still served")))
        } else if accepted == 0 {
            told.no_newcomer(CHECK, Force::Must)
        } else if silent > 0 {
            let evidence = match case.case.fault.as_str() {
                // Many against many: there is no one older connection.
                duel::ID | race::ID => format!(
                    "in {silent} of {all} attempts the broker closed nobody, and no two clients were proved to be served"
                ),
                _ => format!(
                    "{silent} of {all} older connections were neither closed nor served until the deadline; a longer \
                     --reaction-timeout may tell"
                ),
            };
            Verdict::inconclusive(CHECK, Force::Must, evidence)
                .with_examples(examples(case, |sequence| sequence.ends_with("until the deadline")))
        } else if down > 0 {
            let evidence =
                format!("the broker closed {ended} older connections, then went down during {down} attempts");
            Verdict::inconclusive(CHECK, Force::Must, evidence)
        } else if ended < accepted.min(all) {
            let evidence = format!(
                "the broker closed {ended} older connections and accepted {accepted} newcomers: of the others, the older \
                 connection was served on, and the newcomer was not"
            );
            Verdict::inconclusive(CHECK, Force::Must, evidence)
                .with_examples(examples(case, |sequence| sequence.ends_with("still served")))
        } else if ended == 0 {
            Verdict::inconclusive(CHECK, Force::Must, no_sample(case))
        } else {
            let refused = told.refused();
            let but = match refused {
                0 => String::new(),
                _ => format!("; it refused {refused} newcomers, for whom it need not close any"),
            };
            Verdict::holds(
                CHECK,
                Force::Must,
                ended,
                format!("the broker closed {ended} of {all} older connections{but}"),
            )
        };
        Some(verdict.citing(statement))
    })
}

/// No numbered statement: a broker may refuse any CONNECT. The client that comes back is the one that is in need.
fn accepts_the_newcomer(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "accepts_the_newcomer";
    each_takeover(record, |told| {
        let (all, accepted) = (told.all(NEWCOMER), told.count(NEWCOMER, ACCEPTED));
        let evidence = format!("{accepted} of {all} newcomers were accepted");
        Some(match all {
            0 => Verdict::inconclusive(CHECK, Force::Prose, no_sample(told.case)),
            _ if accepted == all => Verdict::holds(CHECK, Force::Prose, all, evidence),
            _ => {
                let others = told.case.facts.get(NEWCOMER).into_iter().flatten();
                let others: Vec<String> = others
                    .filter(|(value, _)| *value != ACCEPTED)
                    .map(|(value, count)| format!("{value} (×{count})"))
                    .collect();
                Verdict::differs(CHECK, Force::Prose, all, others.join(", "), evidence)
            }
        })
    })
}

/// No numbered statement but that of [`closes_the_older_connection`]: of two connections with one ClientID the newer
/// one is left, and not none.
fn leaves_one_connection(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "leaves_one_connection";
    each_takeover(record, |told| {
        let count = |value| told.count(ALIVE, value);
        let (none, one, both) = (count("0"), count("1"), count(TWO) + count(MORE));
        let evidence =
            format!("{one} ClientIDs ended with one live connection, {none} with none, {both} with more");
        Some(if none + one + both == 0 {
            told.no_newcomer(CHECK, Force::Prose)
        } else if none + both > 0 {
            let note = format!("{} ClientIDs without exactly one live connection", none + both);
            Verdict::differs(CHECK, Force::Prose, none + one + both, note, evidence)
        } else {
            Verdict::holds(CHECK, Force::Prose, none + one + both, evidence)
        })
    })
}

/// MQTT 5.0 section 3.1.4 (prose): the older client is told 0x8E before it is cut.
fn tells_session_taken_over(record: &Record) -> Vec<Verdict> {
    const CHECK: &str = "tells_session_taken_over";
    each_takeover(record, |told| {
        if told.versions.old != ProtocolVersion::V5 {
            return None;
        }
        let (case, all) = (told.case, closed_by_the_broker(told.case));
        if told.count(NEWCOMER, ACCEPTED) == 0 {
            return Some(told.no_newcomer(CHECK, Force::Prose));
        }
        if all == 0 && case.disconnect_codes.is_empty() {
            let why = "the broker closed no older connection";
            return Some(Verdict::inconclusive(CHECK, Force::Prose, why));
        }
        let expected = case.disconnect_codes.get(&0x8E).copied().unwrap_or(0);
        let judged = all.max(case.disconnect_codes.values().sum());
        let evidence = format!(
            "{expected} older clients received DISCONNECT 0x8E (Session taken over); the broker closed {all} of them"
        );
        let others: Vec<String> = case
            .disconnect_codes
            .iter()
            .filter(|(code, _)| **code != 0x8E)
            .map(|(code, count)| format!("DISCONNECT 0x{code:02X} ({count} times)"))
            .collect();
        Some(if !others.is_empty() {
            Verdict::differs(CHECK, Force::Prose, judged, others.join(", "), evidence)
        } else if expected == 0 {
            Verdict::differs(
                CHECK,
                Force::Prose,
                judged,
                "no DISCONNECT tells the older client why",
                evidence,
            )
        } else if expected < all {
            Verdict::differs(
                CHECK,
                Force::Prose,
                judged,
                "not every older client was told the reason",
                evidence,
            )
        } else {
            Verdict::holds(CHECK, Force::Prose, judged, evidence)
        })
    })
}

fn sends_no_disconnect_on_3_1_1(record: &Record) -> Vec<Verdict> {
    each_takeover(record, |told| {
        judging::no_disconnect_on_3_1_1(told.case, told.versions.old == ProtocolVersion::V3_1_1)
    })
}
