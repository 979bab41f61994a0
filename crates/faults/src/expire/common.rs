//! What the faults of credentials share: watching the client at work, its Will and its return, and the checks of these.

use ungraceful_mqtt::statement::{
    Statement, V5_3_1_2_8, V5_3_2_2_7, V5_3_14_4_1, V311_3_1_2_8, V311_3_2_2_5,
};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::FactOf;
use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind};
use ungraceful_record::run::CaseRecord;
use ungraceful_record::scale::micros;
use ungraceful_record::verdict::Force;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_rig::attempts::observe::{Observed, STALLED, Watch, observe_at_work};
use ungraceful_rig::bystanders::witness::WitnessWatch;

use super::authentication::Authentication;
use super::reconnect::reconnect;
use super::token::GRACE;
use super::working_pair::{CompanionClient, Served, WILL, WorkingPair};
use super::{
    AFTER_DISCONNECT, AFTER_REFUSAL, AfterDisconnect, AfterRefusal, CAME_BACK, COMPANION, CompanionFate,
    DELIVERED, PUBLISHED, Return,
};
use crate::ending::confirm;
use crate::judging::{
    breach, due_wills, evidence_count, examples, is_v5, names_the_reason, no_sample, of_version, sent_code,
    served_on,
};

/// A working pair, and what was observed of its client.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) pair: WorkingPair,
    pub(super) seen: Observed,
}

/// Watches the client while both clients work.
pub(super) async fn watch_at_work(stage: &Stage, mut pair: WorkingPair, watch: Watch) -> Watched {
    let WorkingPair { client, work, companion } = &mut pair;
    let seen = tokio::select! {
        biased;
        seen = observe_at_work(client, &stage.clock, &stage.stop, watch, work) => seen,
        never = companion.publish() => match never {},
    };
    Watched { pair, seen }
}

/// Records everything in the attempt: the reaction, the Will, what was still served and, with an `authentication`, whether the
/// client can return. Returns the companion, unless the attempt yields no evidence.
pub(super) async fn conclude(
    stage: &Stage,
    log: &mut AttemptLog<'_>,
    watched: Watched,
    will: Option<WitnessWatch>,
    served: Served,
    authentication: Option<&Authentication>,
) -> Option<CompanionClient> {
    let Watched { pair: WorkingPair { client, work, mut companion }, seen } = watched;
    let version = client.version;
    if seen.stalled {
        log.trouble(STALLED);
    }
    let confirmed = confirm(stage, log, version, (seen.reactions, seen.outcome)).await;
    client.leave().await;
    log.connection_over();
    if !confirmed.outcome.is_evidence() {
        companion.leave().await;
        return None;
    }
    served.report(log);
    let is_disconnect = |seen: &Reaction| seen.kind == ReactionKind::Disconnect;
    if log.so_far().reactions.iter().any(is_disconnect) {
        let names: Vec<&str> = work.after_disconnect.into_iter().collect();
        let after = match names.is_empty() {
            true => AfterDisconnect::Nothing,
            false => AfterDisconnect::Packets(names.join(" and ")),
        };
        log.fact(AFTER_DISCONNECT, after);
    }
    if let Some(watch) = will {
        let (is_due, ended_at) = (confirmed.outcome.is_ended(), confirmed.ended_at(stage));
        // A broker may cut a client this much too early.
        let since = stage.clock.at(log.so_far().provoked_us.unwrap_or(0).saturating_sub(micros(GRACE)));
        if let Some(seen) = stage.await_will(&watch, is_due, since, ended_at, WILL).await {
            log.will(seen);
        }
    }
    if let Some(authentication) = authentication {
        let reconnect = reconnect(stage, version, log, authentication, &mut companion);
        if let Some(reconnect) = stage.unless_stopped(reconnect).await {
            reconnect.report(CAME_BACK, log);
        }
    }
    Some(companion)
}

/// Records whether the companion is still served, and disconnects it.
pub(super) async fn leave(stage: &Stage, log: &mut AttemptLog<'_>, mut companion: CompanionClient) {
    if let Some(is_served) = stage.unless_stopped(companion.is_served(stage.options.connect_timeout)).await {
        log.fact(COMPANION, if is_served { CompanionFate::Served } else { CompanionFate::Cut });
    }
    companion.leave().await;
}

/// Attempts in which the broker ended the connection.
pub(super) fn ended(case: &CaseRecord) -> u64 {
    case.outcome(Outcome::Closed) + case.outcome(Outcome::Reset)
}

/// No numbered statement: the broker cuts clients whose authorisation has ended. `which` describes them. A client that is still
/// served is what an operator must see.
pub(super) fn cuts_the_client(case: &CaseRecord, which: &str) -> Finding {
    let (all, cut) = (evidence_count(case), ended(case));
    let (tolerated, silent) = (case.outcome(Outcome::Tolerated), case.outcome(Outcome::NoReaction));
    let messages = format!(
        "{} messages sent to the clients afterwards were delivered, {} messages from them were accepted",
        case.measured(DELIVERED).sum,
        case.measured(PUBLISHED).sum
    );
    if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if tolerated > 0 {
        let note = format!("STILL SERVED: {tolerated} of {all} clients {which}");
        let evidence =
            format!("the broker cut {cut} of {all} clients, and answered the others to the end; {messages}");
        Finding::differs(all, note, evidence)
            .with_examples(examples(case, |sequence| sequence.ends_with("still served")))
    } else if silent > 0 {
        let evidence = format!(
            "{silent} of {all} clients {which} were neither cut nor served until the deadline; {messages}; try a longer \
             --reaction-timeout"
        );
        Finding::inconclusive(evidence)
            .with_examples(examples(case, |sequence| sequence.ends_with("until the deadline")))
    } else {
        Finding::holds(all, format!("the broker cut {cut} of {all} clients {which}"))
    }
}

/// MQTT 5.0 section 4.13 (prose): a DISCONNECT may give the reason. One of the `expected` Reason Codes fits best.
pub(super) fn reports_the_reason(case: &CaseRecord, expected: &[(u8, &str)]) -> Option<Finding> {
    let cut = ended(case);
    if cut == 0 && case.disconnect_codes.is_empty() {
        // No client was cut, so there is no reason to give.
        return (evidence_count(case) == 0).then(|| Finding::inconclusive(no_sample(case)));
    }
    let codes: Vec<u8> = expected.iter().map(|(code, _)| *code).collect();
    let names: Vec<String> = expected.iter().map(|(code, name)| format!("0x{code:02X} ({name})")).collect();
    let fitting = sent_code(case, &codes);
    let evidence = format!("{fitting} of {cut} clients that were cut received {}", names.join(" or "));
    Some(names_the_reason(case, &codes, cut, evidence))
}

/// MQTT 5.0 [MQTT-3.14.4-1]: after DISCONNECT, the sender sends nothing more.
pub(super) const SENDS_NOTHING_AFTER_DISCONNECT: Check =
    Check::must("sends_nothing_after_disconnect", &[V5_3_14_4_1], sends_nothing_after_disconnect).on(is_v5);

/// Absent when the broker sent no DISCONNECT.
fn sends_nothing_after_disconnect(case: &Judged<'_>) -> Option<Finding> {
    let all: u64 = case.facts.get(AFTER_DISCONNECT.name())?.values().sum();
    let others = case.others(AFTER_DISCONNECT, AfterDisconnect::Nothing);
    if others.is_empty() {
        return Some(Finding::holds(all, format!("nothing came after any of {all} DISCONNECT packets")));
    }
    let evidence = format!("after its DISCONNECT to {all} clients the broker sent: {others}");
    let examples = examples(case, |sequence| sequence.contains("DISCONNECT"));
    Some(Finding::violated(evidence).with_examples(examples))
}

/// MQTT 5.0 [MQTT-3.2.2-7], MQTT 3.1.1 [MQTT-3.2.2-5]: after a CONNACK with a refusal, the broker closes the connection. Violated
/// only where it still answered the refused client.
pub(super) const CLOSES_AFTER_REFUSING: Check =
    Check::must("closes_after_refusing", &[V5_3_2_2_7, V311_3_2_2_5], closes_after_refusing);

/// Absent when no CONNACK refused a client.
fn closes_after_refusing(case: &Judged<'_>) -> Option<Finding> {
    let all: u64 = case.facts.get(AFTER_REFUSAL.name())?.values().sum();
    let count = |after| case.count(AFTER_REFUSAL, after);
    let (served, open) = (count(AfterRefusal::Served), count(AfterRefusal::Open));
    Some(if served > 0 {
        let evidence =
            format!("the broker answered PINGREQ of {served} of {all} clients after refusing them");
        served_on(served, all - served - open, evidence)
    } else if open > 0 {
        Finding::inconclusive(format!(
            "{open} of {all} connections were still open one second after the refusal"
        ))
    } else {
        Finding::holds(all, format!("the broker closed all {all} refused connections"))
    })
}

/// Whether the client had the right to publish when its connection ended, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayPublish {
    /// It lost at most its connection or its password.
    Yes,
    /// It had lost that right, so the broker may withhold its Will.
    No,
}

/// MQTT 5.0 [MQTT-3.1.2-8], MQTT 3.1.1 [MQTT-3.1.2-8]: the Will is published when the broker closes the connection. The statement
/// has no exception for a client without the right to publish, but access rules are the broker's own: there a missing Will is
/// a note.
pub(super) fn publishes_the_will(case: &Judged<'_>, may_publish: MayPublish) -> Option<Finding> {
    if evidence_count(case) > 0 && ended(case) == 0 {
        // No client was cut, so no Will is due.
        return None;
    }
    let finding = match case.will.as_ref().filter(|will| will.due > 0) {
        None if evidence_count(case) == 0 => Finding::inconclusive(no_sample(case)),
        None => Finding::inconclusive(
            "the witness could not subscribe to the Will topics, or did not provably receive messages",
        ),
        Some(will) => {
            let missing = |evidence| match may_publish {
                MayPublish::Yes => breach(case, evidence),
                MayPublish::No => {
                    let note = "no Will of clients without the right to publish; the statement has no such exception";
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

/// No numbered statement: messages sent `after` the client's authorisation had ended are not delivered to it.
pub(super) fn stops_deliveries(case: &CaseRecord, after: &str) -> Finding {
    if evidence_count(case) == 0 {
        return Finding::inconclusive(no_sample(case));
    }
    let Some(delivered) = case.measures.get(&DELIVERED.to_string()) else {
        return Finding::inconclusive("the number of messages delivered afterwards is unknown");
    };
    let evidence =
        format!("{} messages sent {after} were delivered, to {} clients", delivered.sum, delivered.count);
    match delivered.sum {
        0 => Finding::holds(delivered.count, evidence),
        sum => Finding::differs(delivered.count, format!("{sum} messages were still delivered"), evidence),
    }
}

/// No numbered statement: a removed client's companion stays connected.
pub(super) const LEAVES_OTHERS_ALONE: Check = Check::prose("leaves_others_alone", leaves_others_alone);

fn leaves_others_alone(case: &Judged<'_>) -> Option<Finding> {
    let cut = case.count(COMPANION, CompanionFate::Cut);
    let all = case.count(COMPANION, CompanionFate::Served) + cut;
    let evidence =
        format!("{} of {all} clients that published to the affected clients were still served", all - cut);
    Some(match (all, cut) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(all, evidence),
        _ => Finding::differs(all, format!("{cut} other clients were cut as well"), evidence),
    })
}

/// The clients that connected again, counted by the answer.
pub(super) struct Reconnects {
    pub(super) all: u64,
    pub(super) with_rights: u64,
    /// Accepted, but whether with their rights is unknown.
    pub(super) unknown: u64,
    /// With their rights, without them, or unknown.
    pub(super) accepted: u64,
    /// All answers with their numbers, as text.
    pub(super) answers: String,
}

/// Absent when no client connected again.
pub(super) fn reconnects(case: &CaseRecord, fact: FactOf<Return>) -> Option<Reconnects> {
    let all = case.total(fact) - case.count(fact, Return::NotTried);
    let (with_rights, unknown) =
        (case.count(fact, Return::Accepted), case.count(fact, Return::RightsUnknown));
    (all > 0).then(|| Reconnects {
        all,
        with_rights,
        unknown,
        accepted: with_rights + case.count(fact, Return::WithoutRights) + unknown,
        answers: case.others(fact, Return::NotTried),
    })
}

/// The finding where no client connected again.
pub(super) fn no_reconnect(case: &CaseRecord) -> Finding {
    let without_attempts = evidence_count(case) == 0;
    Finding::inconclusive(if without_attempts { no_sample(case) } else { "no client returned".to_owned() })
}
