//! SUBSCRIBE with an invalid Topic Filter: a misplaced wildcard, or an empty filter.
//!
//! A broker may refuse it in the SUBACK, or treat it as a malformed packet and close the connection (MQTT 5.0 sections 4.7.1
//! and 4.13, MQTT 3.1.1 sections 4.7.1 and 4.8). Applications send it when they put a name chosen by a user into a filter. The
//! broker's log then has "Invalid subscription string" or "Invalid subscription topic".

use std::sync::Arc;

use clap::Args;
use futures_util::future::LocalBoxFuture;
use ungraceful_flags::{Named, Versions, Wanted, chosen};
use ungraceful_mqtt::forbidden::ForgedSubscribe;
use ungraceful_mqtt::statement::{V5_3_8_4_1, V311_3_8_4_1};
use ungraceful_mqtt::{Packet, Properties, ProtocolVersion};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::FactOf;
use ungraceful_record::reaction::Outcome;
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::{STALLED, observe_expecting};

use crate::ending::{Unfinished, attempted, confirm, prepared, watch};
use crate::judging::{evidence_count, examples, no_sample, served_on};
use crate::mode::{FaultMode, each_case};
use crate::peer::Peer;

/// The fault's name.
pub const ID: &str = "topic-filter";
/// Fact: the SUBACK.
pub const ANSWER: FactOf<Suback> = FactOf::new("answer");
/// The Packet Identifier of the SUBSCRIBE.
const IDENTIFIER: u16 = 1;

ungraceful_record::words! {
    /// The answer to a SUBSCRIBE.
    pub enum Suback {
        /// No SUBACK came.
        None = "no SUBACK",
    } else {
        /// The broker granted the filter; the QoS.
        Granted = "granted at QoS ",
        /// The broker refused the filter; the Reason Code.
        Refused = "SUBACK 0x",
    }
}

ungraceful_record::words! {
    /// What is wrong with the Topic Filter.
    pub enum Variant: "variant" {
        /// The multi-level wildcard is not the last level (MQTT 5.0 [MQTT-4.7.1-1], MQTT 3.1.1 [MQTT-4.7.1-2]).
        HashNotLast = "hash-not-last",
        /// The multi-level wildcard shares its level with other characters.
        HashInLevel = "hash-in-level",
        /// The single-level wildcard shares its level with other characters.
        PlusInLevel = "plus-in-level",
        /// No character at all (MQTT 5.0 and 3.1.1 [MQTT-4.7.3-1]).
        Empty = "empty",
    }
}

impl Variant {
    /// The Topic Filter, below this topic.
    fn topic_filter(self, topic: &str) -> String {
        match self {
            Self::HashNotLast => format!("{topic}/#/b"),
            Self::HashInLevel => format!("{topic}/a#"),
            Self::PlusInLevel => format!("{topic}/+a"),
            Self::Empty => String::new(),
        }
    }
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: hash-not-last, hash-in-level, plus-in-level, empty [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    #[command(flatten)]
    versions: Versions,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str =
        "SUBSCRIBE with an invalid Topic Filter: does the broker refuse it or close the connection?";
    const LONG_ABOUT: &'static str = "Connects and subscribes to an invalid Topic Filter: a wildcard within a level, a multi-level \
         wildcard that is not the last level, or an empty filter. Reports how the broker answers: SUBACK \
         with a Reason Code, DISCONNECT, a close, or nothing. A broker may refuse the filter or close the \
         connection; one that does neither and keeps serving the client violates [MQTT-3.8.4-1] of either \
         version. A granted filter is a note.";
    const CHECKS: &'static [&'static [Check]] = &[CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("attempts", "20")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&chosen(&Variant::ALL, &self.variant), spoken, |variant, version| {
            Some(InvalidTopicFilter { variant, version })
        })
    }
}

/// A SUBSCRIBE with an invalid Topic Filter, in one version.
#[derive(Clone, Copy, Debug)]
struct InvalidTopicFilter {
    variant: Variant,
    version: ProtocolVersion,
}

impl Fault for InvalidTopicFilter {
    fn case(&self) -> Case {
        Case::new(ID, self.variant, self.version)
    }

    fn describe(&self) -> String {
        format!("CONNECT, wait for CONNACK, SUBSCRIBE to {:?}", self.variant.topic_filter("TOPIC"))
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl InvalidTopicFilter {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let client_id = log.client_id().to_owned();
        let connect = Client::honest_connect(&client_id, &stage.credentials);
        let (peer, accepted) = prepared(stage, Peer::connect(stage, self.version, &connect)).await?;
        log.accepted(accepted.connack_at);
        let mut client = peer.client;
        let topic_filter = self.variant.topic_filter(&format!("{}/{}", stage.topic_root, log.name()));
        let subscribe = ForgedSubscribe {
            packet_identifier: IDENTIFIER,
            properties: (self.version == ProtocolVersion::V5).then_some(Properties::NONE),
            filters: &[(topic_filter.as_bytes(), 0)],
        };
        let sent = client.connection.send(&subscribe.forge().to_vec()).await;
        let sent = sent.map_err(|_ended| "the connection ended before the SUBSCRIBE")?;
        log.provoked(sent.at);
        let mut answer = None;
        let mut is_suback = |packet: &Packet<'_>| match packet {
            Packet::SubAck(suback) if suback.packet_identifier == IDENTIFIER => {
                answer = answer.or(suback.reason_codes.first().copied());
                true
            }
            _ => false,
        };
        let watch = watch(sent.at, stage.reaction_timeout);
        let seen = observe_expecting(&mut client, &stage.clock, &stage.stop, watch, &mut is_suback).await;
        if seen.stalled {
            log.trouble(STALLED);
        }
        let confirmed = confirm(stage, log, self.version, (seen.reactions, seen.outcome)).await;
        if confirmed.outcome.is_evidence() {
            let answer = match answer {
                Some(code @ 0..=2) => Suback::Granted(code.to_string()),
                Some(code) => Suback::Refused(format!("{code:02X}")),
                None => Suback::None,
            };
            log.fact(ANSWER, answer);
        }
        client.leave().await;
        Ok(())
    }
}

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::must("answers_or_closes", &[V5_3_8_4_1, V311_3_8_4_1], answers_or_closes),
    Check::prose("grants_no_invalid_topic_filter", grants_no_invalid_topic_filter),
];

/// MQTT 5.0 and 3.1.1 [MQTT-3.8.4-1]: the broker answers a SUBSCRIBE with a SUBACK, or closes the connection if it considers
/// the packet malformed. Violated only when it demonstrably kept serving the client without either.
fn answers_or_closes(case: &Judged<'_>) -> Option<Finding> {
    let all = case.total(ANSWER);
    let silent = case.count(ANSWER, Suback::None);
    let ended = case.ended();
    let served = silent.saturating_sub(ended).min(case.outcome(Outcome::Tolerated));
    let evidence = format!(
        "of {all} clients, {} received a SUBACK, {ended} were cut, and {served} received no SUBACK but were still served: \
         the broker answered PINGREQ",
        all - silent
    );
    Some(if evidence_count(case) == 0 {
        Finding::inconclusive(no_sample(case))
    } else if served > 0 {
        served_on(served, all - served, evidence)
            .with_examples(examples(case, |sequence| sequence.ends_with("still served")))
    } else if case.outcome(Outcome::NoReaction) > 0 {
        Finding::inconclusive(format!("{evidence}; try a longer --reaction-timeout"))
    } else {
        Finding::holds(all, evidence)
    })
}

/// MQTT 5.0 and 3.1.1 sections 4.7.1 and 4.7.3 define Topic Filters, but no statement forbids to grant an invalid one.
fn grants_no_invalid_topic_filter(case: &Judged<'_>) -> Option<Finding> {
    let all = case.total(ANSWER);
    let granted: u64 = case
        .values(ANSWER)
        .filter(|(answer, _)| matches!(answer, Suback::Granted(_)))
        .map(|(_, count)| count)
        .sum();
    let evidence = format!(
        "the broker granted the filter to {granted} of {all} clients; answers: {}",
        case.in_words(ANSWER)
    );
    Some(match (all, granted) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(all, evidence),
        _ => Finding::differs(all, "an invalid Topic Filter is granted", evidence),
    })
}

#[cfg(test)]
mod tests {
    use ungraceful_record::testing::{
        assert_differs, assert_holds, assert_inconclusive, assert_violated, case, empty_record, with_fact,
    };
    use ungraceful_record::verdict::{Verdict, judge};

    use super::{ANSWER, ID, Outcome};

    const NO_SUBACK: &str = "no SUBACK";

    /// The verdict of `check` on attempts of one outcome and one answer.
    fn verdict(check: &str, version: &str, outcome: Outcome, answers: &[(&str, u64)]) -> Verdict {
        let mut record = empty_record();
        let all = answers.iter().map(|(_, count)| count).sum();
        let mut case = case(ID, "empty", version, &[(outcome, all)]);
        for (answer, count) in answers {
            with_fact(&mut case, ANSWER, answer, *count);
        }
        record.cases = vec![case];
        judge(&mut record, &crate::find(ID).unwrap().checks());
        record.verdicts.into_iter().find(|verdict| verdict.check == check).unwrap()
    }

    #[test]
    fn mqtt5_3_8_4_1_and_mqtt3_1_1_3_8_4_1_a_suback_or_a_close_is_required() {
        const ANSWERS: &str = "answers_or_closes";
        for version in ["5.0", "3.1.1"] {
            assert_holds(&verdict(ANSWERS, version, Outcome::Tolerated, &[("SUBACK 0x8F", 3)]));
            assert_holds(&verdict(ANSWERS, version, Outcome::Closed, &[(NO_SUBACK, 3)]));
            let citation = format!("MQTT {version} [MQTT-3.8.4-1]");
            assert_violated(&verdict(ANSWERS, version, Outcome::Tolerated, &[(NO_SUBACK, 3)]), &citation);
            let silent = verdict(ANSWERS, version, Outcome::NoReaction, &[(NO_SUBACK, 3)]);
            assert_inconclusive(&silent, "try a longer --reaction-timeout");
            assert_inconclusive(&verdict(ANSWERS, version, Outcome::NotActed, &[]), "none of");
            let few = [("SUBACK 0x8F", 99), (NO_SUBACK, 1)];
            assert_inconclusive(&verdict(ANSWERS, version, Outcome::Tolerated, &few), "are no violation");
        }
    }

    #[test]
    fn a_filter_that_is_granted_is_a_note() {
        const GRANTS: &str = "grants_no_invalid_topic_filter";
        let granted =
            verdict(GRANTS, "5.0", Outcome::Tolerated, &[("granted at QoS 0", 2), ("SUBACK 0x8F", 1)]);
        assert_differs(&granted, "an invalid Topic Filter is granted");
        assert_holds(&verdict(GRANTS, "5.0", Outcome::Closed, &[(NO_SUBACK, 3)]));
        assert_inconclusive(&verdict(GRANTS, "5.0", Outcome::NotActed, &[]), "none of");
    }
}
