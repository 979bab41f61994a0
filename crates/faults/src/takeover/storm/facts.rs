//! What was seen of one take-over, put into facts: only what was really looked at, and only what is owed.

use ungraceful_record::reaction::Outcome;
use ungraceful_record::scale::micros;
use ungraceful_rig::attempts::fault::AttemptLog;

use super::super::{ALIVE, Alive, Answer, NEWCOMER, NEWCOMER_CONNACK};
use super::{
    DUP, Dup, IDENTIFIERS, Identifiers, Newcomer, OldSession, QUEUED, REPEATED, RESEND_TELLS_AFTER, Repeated,
    SENT_AGAIN, SENT_AGAIN_AFTER, Storm,
};
use crate::outbox::{HELD_BACK, Outbox, Share, arrived, share};
use crate::peer::Delivered;
use crate::resumption::{LEFT_OVER, Remains, Resumption, SESSION_PRESENT};

impl Storm {
    /// Puts what was seen into facts.
    pub(super) fn tell(
        &self,
        log: &mut AttemptLog<'_>,
        outbox: &Outbox,
        old: &OldSession,
        newcomer: &Newcomer,
        outcome: Outcome,
    ) {
        let accepted = newcomer.accepted;
        log.fact(NEWCOMER, Answer::Accepted);
        let connack_time = accepted.connack_at.saturating_duration_since(accepted.connect_sent);
        let is_owed = match self.situation {
            // The broker may have said at the older client's CONNECT that it would not keep the session, or not so long.
            situation if situation.resumes() => {
                newcomer.resumption.goes_on() || (old.is_kept && connack_time < old.granted)
            }
            // Or that it would keep one that was to end.
            situation => !(situation.has_ended() && old.is_kept),
        };
        log.fact(SESSION_PRESENT, if is_owed { newcomer.resumption } else { Resumption::NotOwed });
        log.measure(NEWCOMER_CONNACK, micros(connack_time));
        log.fact(ALIVE, Alive::of(outcome, newcomer.alive));
        let copies = |sequence: u64| messages_of(&newcomer.came, sequence);
        // To a newcomer that was cut off, and by a broker that went down, not everything could be sent.
        let is_whole = newcomer.alive && outcome.is_evidence();
        if !self.situation.resumes() {
            let left_over = match newcomer.came.iter().any(|came| came.sequence.is_some()) {
                true => Some(Remains::Some),
                // What is left of a session is silent until it is asked for.
                false if self.situation.has_ended() => newcomer.remains,
                false if newcomer.alive => Some(Remains::None),
                false => Some(Remains::Unknown),
            };
            if let Some(left_over) = left_over.filter(|_| is_owed) {
                log.fact(LEFT_OVER, left_over);
            }
            return;
        }
        // A session that the broker never promised to keep, or did not keep, owes nothing more.
        if !newcomer.resumption.goes_on() || !old.is_kept {
            return;
        }
        let unreleased = old.unreleased.map(|(sequence, _)| sequence);
        self.tell_in_flight(log, old, newcomer, unreleased, is_whole);
        if !is_whole {
            return;
        }
        outbox.tell(log);
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
        if let (Some(sequence), true) = (unreleased, accepted.session_present) {
            let times = [Repeated::Never, Repeated::Once].get(copies(sequence)).copied();
            log.fact(REPEATED, times.unwrap_or(Repeated::Twice));
        }
    }

    /// How many of the `owed` came. What is missing after less than [`RESEND_TELLS_AFTER`] may come yet.
    fn share(&self, owed: &[u64], newcomer: &Newcomer) -> Share {
        match share(owed, &newcomer.came, &newcomer.later) {
            Share::None | Share::Some if *self.flags.resend_wait < RESEND_TELLS_AFTER => Share::NotYet,
            told => told,
        }
    }

    fn tell_in_flight(
        &self,
        log: &mut AttemptLog<'_>,
        old: &OldSession,
        newcomer: &Newcomer,
        unreleased: Option<u64>,
        is_whole: bool,
    ) {
        // The repeated message may be sent again or not: the newcomer itself has sent it again.
        // Nor is a message owed that came at QoS 0, or is none of ours.
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

/// How often a message came. A copy with DUP under the Packet Identifier of an earlier one is no message of its own.
pub(super) fn messages_of(came: &[Delivered], sequence: u64) -> usize {
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

    use super::{Delivered, messages_of};

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
    fn a_copy_with_dup_under_the_same_identifier_is_no_message_of_its_own() {
        let of = |came: &[Delivered]| messages_of(came, 7);
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[copy(7, 1, true)]), 1, "what the older client was sent may come with DUP");
        assert_eq!(of(&[copy(7, 1, true), copy(7, 1, true), copy(8, 2, false)]), 1);
        assert_eq!(of(&[copy(7, 1, true), copy(7, 1, false)]), 2, "the identifier was free again");
        assert_eq!(of(&[copy(7, 1, true), copy(7, 2, true)]), 2);
        assert_eq!(of(&[copy(7, 1, false), copy(7, 2, false), copy(7, 2, true)]), 2);
    }
}
