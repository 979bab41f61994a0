//! The facts of one take-over: only what was observed, and only about what the broker owes.

use ungraceful_record::reaction::Outcome;
use ungraceful_record::scale::micros;
use ungraceful_rig::attempts::fault::AttemptLog;

use super::super::{ALIVE, Alive, Answer, NEWCOMER, NEWCOMER_CONNACK, connack_time};
use super::{
    DUP, Dup, IDENTIFIERS, Identifiers, Newcomer, OldSession, QUEUED, REPEATED, RESEND_DECIDES_AFTER,
    Repeated, SENT_AGAIN, SENT_AGAIN_AFTER, Storm,
};
use crate::outbox::{HELD_BACK, Outbox, Share, arrived, share};
use crate::peer::Delivered;
use crate::resumption::{LEFT_OVER, Remains, Resumption, SESSION_PRESENT};

impl Storm {
    /// Logs what was observed as facts.
    pub(super) fn report(
        &self,
        log: &mut AttemptLog<'_>,
        outbox: &Outbox,
        old: &OldSession,
        newcomer: &Newcomer,
        outcome: Outcome,
    ) {
        log.fact(NEWCOMER, Answer::Accepted);
        let connack_time = connack_time(&newcomer.accepted);
        let is_owed = match self.situation {
            // The older client's CONNACK may say that the broker does not keep the session, or not for so long.
            situation if situation.resumes() => {
                newcomer.resumption.goes_on() || (old.is_kept && connack_time < old.granted)
            }
            // Or that it keeps one that should have ended.
            situation => !(situation.has_ended() && old.is_kept),
        };
        log.fact(SESSION_PRESENT, if is_owed { newcomer.resumption } else { Resumption::NotOwed });
        log.measure(NEWCOMER_CONNACK, micros(connack_time));
        log.fact(ALIVE, Alive::of(outcome, newcomer.alive));
        // A newcomer that was cut, or whose broker went down, cannot have received everything.
        let is_whole = newcomer.alive && outcome.is_evidence();
        if !self.situation.resumes() {
            let left_over = match newcomer.came.iter().any(|came| came.sequence.is_some()) {
                true => Some(Remains::Some),
                // A leftover session is silent until a message is published to its subscription.
                false if self.situation.has_ended() => newcomer.remains,
                false if newcomer.alive => Some(Remains::None),
                false => Some(Remains::Unknown),
            };
            if let Some(left_over) = left_over.filter(|_| is_owed) {
                log.fact(LEFT_OVER, left_over);
            }
            return;
        }
        // A session that the broker did not promise to keep, or did not keep, owes nothing more.
        if !newcomer.resumption.goes_on() || !old.is_kept {
            return;
        }
        let unreleased = old.unreleased.map(|(sequence, _)| sequence);
        self.report_in_flight(log, old, newcomer, unreleased, is_whole);
        if !is_whole {
            return;
        }
        outbox.report(log);
        let was_sent = |sequence: u64| old.in_flight.iter().any(|message| message.sequence == Some(sequence));
        let queued: Vec<u64> = outbox
            .sequences()
            .filter(|sequence| !was_sent(*sequence) && Some(*sequence) != unreleased)
            .filter(|sequence| !newcomer.later.contains(sequence))
            .collect();
        if !queued.is_empty() {
            log.fact(QUEUED, self.share(&queued, newcomer));
            log.measure(HELD_BACK, arrived(&queued, &newcomer.came));
        }
        if let Some(sequence) = unreleased.filter(|_| newcomer.accepted.session_present) {
            let repeated = match count_messages(&newcomer.came, sequence) {
                0 => Repeated::Never,
                1 => Repeated::Once,
                _ => Repeated::Twice,
            };
            log.fact(REPEATED, repeated);
        }
    }

    /// How many of the `owed` messages arrived. After less than [`RESEND_DECIDES_AFTER`], missing ones may still arrive.
    fn share(&self, owed: &[u64], newcomer: &Newcomer) -> Share {
        match share(owed, &newcomer.came, &newcomer.later) {
            Share::None | Share::Some if *self.flags.resend_wait < RESEND_DECIDES_AFTER => Share::NotYet,
            share => share,
        }
    }

    fn report_in_flight(
        &self,
        log: &mut AttemptLog<'_>,
        old: &OldSession,
        newcomer: &Newcomer,
        unreleased: Option<u64>,
        is_whole: bool,
    ) {
        // Not owed: the message that the newcomer itself repeated, messages received at QoS 0, and foreign ones.
        let is_owed = |message: &&Delivered| {
            message.identifier.is_some() && message.sequence.is_some() && message.sequence != unreleased
        };
        let in_flight: Vec<&Delivered> = old.in_flight.iter().filter(is_owed).collect();
        if in_flight.is_empty() {
            return;
        }
        let again = |message: &Delivered| {
            newcomer.came.iter().find(|came| came.sequence.is_some() && came.sequence == message.sequence)
        };
        let sent_again: Vec<(&Delivered, &Delivered)> =
            in_flight.iter().filter_map(|message| Some((*message, again(message)?))).collect();
        if let Some(last) = sent_again.iter().map(|(_, after)| after.at).max() {
            let after = last.saturating_duration_since(newcomer.accepted.connack_at);
            log.measure(SENT_AGAIN_AFTER, micros(after));
        }
        if is_whole {
            let in_flight: Vec<u64> = in_flight.iter().filter_map(|message| message.sequence).collect();
            log.fact(SENT_AGAIN, self.share(&in_flight, newcomer));
        }
        if sent_again.is_empty() {
            return;
        }
        let kept = sent_again.iter().all(|(before, after)| before.identifier == after.identifier);
        log.fact(IDENTIFIERS, if kept { Identifiers::Kept } else { Identifiers::Changed });
        let marked = sent_again.iter().all(|(_, after)| after.dup);
        log.fact(DUP, if marked { Dup::Set } else { Dup::Missing });
    }
}

/// How often a message arrived. A copy with DUP under the Packet Identifier of an earlier one does not count.
fn count_messages(came: &[Delivered], sequence: u64) -> usize {
    let mut identifiers = Vec::new();
    let of_it = came.iter().filter(|came| came.sequence == Some(sequence));
    of_it
        .filter(|came| {
            let is_copy = came.dup && identifiers.contains(&came.identifier);
            identifiers.push(came.identifier);
            !is_copy
        })
        .count()
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::QoS;
    use ungraceful_wire::clock::now;

    use super::{Delivered, count_messages};

    fn copy(sequence: u64, identifier: u16, dup: bool) -> Delivered {
        Delivered {
            identifier: Some(identifier),
            dup,
            qos: QoS::ExactlyOnce,
            sequence: Some(sequence),
            at: now(),
        }
    }

    #[test]
    fn a_copy_with_dup_under_the_same_identifier_does_not_count() {
        let of = |came: &[Delivered]| count_messages(came, 7);
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[copy(7, 1, true)]), 1, "the older client's message may come with DUP");
        assert_eq!(of(&[copy(7, 1, true), copy(7, 1, true), copy(8, 2, false)]), 1);
        assert_eq!(of(&[copy(7, 1, true), copy(7, 1, false)]), 2, "the identifier was free again");
        assert_eq!(of(&[copy(7, 1, true), copy(7, 2, true)]), 2);
        assert_eq!(of(&[copy(7, 1, false), copy(7, 2, false), copy(7, 2, true)]), 2);
    }
}
