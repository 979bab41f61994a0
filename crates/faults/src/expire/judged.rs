//! What the faults of credentials have in common once the client's right has ended: watching the client at work, its Will,
//! its coming back; and what of it is judged alike.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use ungraceful_mqtt::statement::{
    Statement, V5_3_1_2_8, V5_3_2_2_7, V5_3_14_4_1, V311_3_1_2_8, V311_3_2_2_5,
};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind};
use ungraceful_record::run::CaseRecord;
use ungraceful_record::scale::micros;
use ungraceful_record::verdict::Force;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_rig::attempts::observe::{Observed, STALLED, Watch, observe_at_work};
use ungraceful_rig::bystanders::witness::WitnessWatch;

use super::at_work::{Beside, Served, WILL, Workplace};
use super::coming_back::come_back;
use super::shown::Shown;
use super::token::GRACE;
use super::{
    AFTER_DISCONNECT, AFTER_REFUSAL, AfterDisconnect, AfterRefusal, BESIDE, CAME_BACK, DELIVERED, PUBLISHED,
    Publisher, Return,
};
use crate::ending::confirm;
use crate::judging::{
    breach, due_wills, evidence_count, examples, is_v5, names_the_reason, no_sample, of_version, sent_code,
    served_on,
};

/// A client at work, and what was seen of it.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) place: Workplace,
    pub(super) seen: Observed,
}

impl Workplace {
    /// When watching is to end, once that is known.
    pub(super) fn until(&self) -> Rc<Cell<Option<Instant>>> {
        Rc::clone(&self.work.until)
    }

    /// Both leave.
    pub(super) async fn leave(self) {
        self.client.leave().await;
        self.beside.leave().await;
    }
}

impl Cut {
    /// When the broker ended the connection, in µs since the run's start; absent when it did not.
    pub(super) fn ended_at_us(&self) -> Option<u64> {
        self.seen.ended_at_us()
    }
}

/// Watches the client while it works and is published to.
pub(super) async fn watch_at_work(stage: &Stage, place: Workplace, watch: Watch) -> Cut {
    let Workplace { mut client, mut work, mut beside } = place;
    let seen = tokio::select! {
        biased;
        seen = observe_at_work(&mut client, &stage.clock, &stage.stop, watch, &mut work) => seen,
        never = beside.publish() => match never {},
    };
    Cut { place: Workplace { client, work, beside }, seen }
}

/// Puts everything into the attempt: reaction, Will, what was still served, and what became of the client that came back
/// showing this, where anybody is to come back. Tells who published to it, unless there is nothing more to be said.
pub(super) async fn conclude(
    stage: &Stage,
    log: &mut AttemptLog<'_>,
    cut: Cut,
    will: Option<WitnessWatch>,
    served: Served,
    shown: Option<&Shown>,
) -> Option<Beside> {
    let version = cut.place.client.version;
    let Cut { place: Workplace { client, work, mut beside }, seen } = cut;
    if seen.stalled {
        log.trouble(STALLED);
    }
    let confirmed = confirm(stage, log, version, (seen.reactions, seen.outcome)).await;
    client.leave().await;
    log.connection_over();
    if !confirmed.outcome.is_evidence() {
        beside.leave().await;
        return None;
    }
    served.tell(log);
    let is_disconnect = |seen: &Reaction| seen.kind == ReactionKind::Disconnect;
    if log.so_far().reactions.iter().any(is_disconnect) {
        let names: Vec<&str> = work.after_disconnect.iter().copied().collect();
        let after = match &names[..] {
            [] => AfterDisconnect::Nothing,
            names => AfterDisconnect::Packets(names.join(" and ")),
        };
        log.fact(AFTER_DISCONNECT, after);
    }
    if let Some(watch) = will {
        let (is_due, ended_at) = (confirmed.outcome.is_ended(), confirmed.ended_at(stage));
        // A broker may cut a client so much too early.
        let since = stage.clock.at(log.so_far().provoked_us.unwrap_or(0).saturating_sub(micros(GRACE)));
        if let Some(seen) = stage.await_will(&watch, is_due, since, ended_at, WILL).await {
            log.will(seen);
        }
    }
    if let Some(shown) = shown {
        let client_id = log.client_id().to_owned();
        let come_back = come_back(stage, version, &client_id, shown, &mut beside);
        if let Some(came_back) = stage.unless_stopped(come_back).await {
            came_back.tell(CAME_BACK, log);
        }
    }
    Some(beside)
}

/// Tells what became of the publisher, which leaves.
pub(super) async fn part(stage: &Stage, log: &mut AttemptLog<'_>, mut beside: Beside) {
    if let Some(is_served) = stage.unless_stopped(beside.is_served(stage.options.connect_timeout)).await {
        log.fact(BESIDE, if is_served { Publisher::Served } else { Publisher::Cut });
    }
    beside.leave().await;
}

/// Attempts in which the broker ended the connection.
pub(super) fn ended(case: &CaseRecord) -> u64 {
    case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset)
}

/// No numbered statement: is a client cut whose right has ended `because` of something? A client that is still served is
/// the finding that an operator must see.
pub(super) fn cuts_the_client(case: &CaseRecord, because: &str) -> Finding {
    let (all, cut) = (evidence_count(case), ended(case));
    let (tolerated, silent) = (case.outcome(Outcome::Tolerated), case.outcome(Outcome::NoReaction));
    let messages = format!(
        "{} messages sent to them afterwards were delivered, {} that they published afterwards were taken",
        case.measured(DELIVERED).sum,
        case.measured(PUBLISHED).sum
    );
    if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if tolerated > 0 {
        let note = format!("STILL SERVED: {tolerated} of {all} clients {because}");
        let evidence =
            format!("the broker cut {cut} of {all}, and answered the others to the end; {messages}");
        Finding::differs(all, note, evidence)
            .with_examples(examples(case, |sequence| sequence.ends_with("still served")))
    } else if silent > 0 {
        let evidence = format!(
            "{silent} of {all} clients {because} were neither cut nor served until the deadline; {messages}; a longer \
             --reaction-timeout may tell"
        );
        Finding::inconclusive(evidence)
            .with_examples(examples(case, |sequence| sequence.ends_with("until the deadline")))
    } else {
        Finding::holds(all, format!("the broker cut {cut} of {all} clients {because}"))
    }
}

/// MQTT 5.0 section 4.13 (prose): a DISCONNECT with a Reason Code may tell why. One of `expected` fits best.
pub(super) fn tells_the_reason(case: &CaseRecord, expected: &[(u8, &str)]) -> Option<Finding> {
    let cut = ended(case);
    if cut == 0 && case.disconnect_codes.is_empty() {
        // No client was cut, so there is no reason to give.
        return (evidence_count(case) == 0).then(|| Finding::inconclusive(no_sample(case)));
    }
    let codes: Vec<u8> = expected.iter().map(|(code, _)| *code).collect();
    let names: Vec<String> = expected.iter().map(|(code, name)| format!("0x{code:02X} ({name})")).collect();
    let told = sent_code(case, &codes);
    let evidence = format!("{told} of {cut} clients that were cut were told {}", names.join(" or "));
    Some(names_the_reason(case, &codes, cut, evidence))
}

/// MQTT 5.0 [MQTT-3.14.4-1]: after DISCONNECT, the sender sends nothing more.
pub(super) const SENDS_NOTHING_AFTER_DISCONNECT: Check =
    Check::must("sends_nothing_after_disconnect", &[V5_3_14_4_1], sends_nothing_after_disconnect).on(is_v5);

/// Absent when the broker sent no DISCONNECT.
fn sends_nothing_after_disconnect(case: &Judged<'_>) -> Option<Finding> {
    let all: u64 = case.facts.get(AFTER_DISCONNECT.name())?.values().sum();
    let others = case.others(AFTER_DISCONNECT, AfterDisconnect::Nothing);
    Some(if others.is_empty() {
        Finding::holds(all, format!("nothing came after any of {all} DISCONNECT packets"))
    } else {
        Finding::violated(format!("after its DISCONNECT the broker sent: {others}; of {all} clients"))
            .with_examples(examples(case, |sequence| sequence.contains("DISCONNECT")))
    })
}

/// MQTT 5.0 [MQTT-3.2.2-7], MQTT 3.1.1 [MQTT-3.2.2-5]: after a CONNACK that refuses, the broker closes. Violated only where
/// it was proved to serve the client that it had refused.
pub(super) const CLOSES_AFTER_REFUSING: Check =
    Check::must("closes_after_refusing", &[V5_3_2_2_7, V311_3_2_2_5], closes_after_refusing);

/// Absent when no CONNACK refused a client.
fn closes_after_refusing(case: &Judged<'_>) -> Option<Finding> {
    let all: u64 = case.facts.get(AFTER_REFUSAL.name())?.values().sum();
    let count = |after| case.count(AFTER_REFUSAL, after);
    let (served, open) = (count(AfterRefusal::Served), count(AfterRefusal::Open));
    Some(if served > 0 {
        let evidence =
            format!("{served} of {all} clients were answered PINGREQ after the CONNACK that refused them");
        served_on(served, all - served - open, evidence)
    } else if open > 0 {
        Finding::inconclusive(format!(
            "{open} of {all} connections were still open one second after the refusal"
        ))
    } else {
        Finding::holds(all, format!("the broker closed all {all} connections that it refused"))
    })
}

/// Whether the client might still publish when its connection ended, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayPublish {
    /// Nothing was taken from it but its connection or its password.
    Yes,
    /// It might not: a broker may well publish nothing of it, its Will included.
    No,
}

/// MQTT 5.0 [MQTT-3.1.2-8], MQTT 3.1.1 [MQTT-3.1.2-8]: the Will is published when the broker closes the connection. A Will
/// of a client that may not publish any more is another matter: the statement knows no exception, and access rules are the
/// broker's own; there its absence is a note.
pub(super) fn publishes_the_will(case: &Judged<'_>, may_publish: MayPublish) -> Option<Finding> {
    if evidence_count(case) > 0 && ended(case) == 0 {
        // No client was cut, so no Will is due.
        return None;
    }
    let finding = match case.will.as_ref().filter(|will| will.due > 0) {
        None => {
            let why =
                "the witness could not subscribe to the Will topics, or did not provably receive messages";
            let is_acted = evidence_count(case) > 0;
            Finding::inconclusive(if is_acted { why.to_owned() } else { no_sample(case) })
        }
        Some(will) => {
            let missing = |evidence| match may_publish {
                MayPublish::Yes => breach(case, evidence),
                MayPublish::No => {
                    let note = "no Will of a client that may not publish any more, for which the statement has no exception";
                    Finding::differs(will.due, note, evidence)
                }
            };
            due_wills(case, will, missing, |evidence| Finding::holds(will.due, evidence))
        }
    };
    Some(match may_publish {
        MayPublish::Yes => finding,
        MayPublish::No => finding.by(of_version(case, V5_3_1_2_8, V311_3_1_2_8)).of(Force::Prose),
    })
}

/// The statements of [`publishes_the_will`].
pub(super) const PUBLISHES_THE_WILL: &[Statement] = &[V5_3_1_2_8, V311_3_1_2_8];

/// No numbered statement: what was sent to the client `after` its right had ended is not delivered to it.
pub(super) fn stops_deliveries(case: &CaseRecord, measure: Measure, after: &str) -> Finding {
    if evidence_count(case) == 0 {
        return Finding::inconclusive(no_sample(case));
    }
    let Some(delivered) = case.measures.get(&measure.to_string()) else {
        return Finding::inconclusive("what was delivered afterwards is not known");
    };
    let evidence = format!(
        "{} messages that were sent {after} were delivered, to {} clients",
        delivered.sum, delivered.count
    );
    match delivered.sum {
        0 => Finding::holds(delivered.count, evidence),
        sum => Finding::differs(delivered.count, format!("{sum} messages were still delivered"), evidence),
    }
}

/// No numbered statement: the client's removal does not concern the client that published to it.
pub(super) const LEAVES_OTHERS_ALONE: Check = Check::prose("leaves_others_alone", leaves_others_alone);

fn leaves_others_alone(case: &Judged<'_>) -> Option<Finding> {
    let (served, cut) = (case.count(BESIDE, Publisher::Served), case.count(BESIDE, Publisher::Cut));
    let evidence =
        format!("of {} clients that published to those that were cut, {served} were served on", served + cut);
    Some(match (served + cut, cut) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(served + cut, evidence),
        _ => Finding::differs(served + cut, format!("{cut} other clients were cut as well"), evidence),
    })
}

/// How many clients came back, by what became of them.
pub(super) struct CameBack {
    pub(super) all: u64,
    pub(super) accepted: u64,
    pub(super) without_rights: u64,
    /// Let in, but whether with their rights is not known.
    pub(super) unknown: u64,
    pub(super) told: String,
}

impl CameBack {
    /// Clients that were let in, with or without their rights.
    pub(super) const fn let_in(&self) -> u64 {
        self.accepted + self.without_rights + self.unknown
    }
}

/// Absent when no client came back.
pub(super) fn came_back(case: &CaseRecord, fact: FactOf<Return>) -> Option<CameBack> {
    let all = case.total(fact) - case.count(fact, Return::NotTried);
    (all > 0).then(|| CameBack {
        all,
        accepted: case.count(fact, Return::Accepted),
        without_rights: case.count(fact, Return::WithoutRights),
        unknown: case.count(fact, Return::RightsUnknown),
        told: case.others(fact, Return::NotTried),
    })
}
