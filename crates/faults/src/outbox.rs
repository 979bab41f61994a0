//! The Application Messages that an attempt sends, with one ledger for each QoS: messages are ordered within one QoS only
//! (MQTT 5.0 [MQTT-4.6.0-5]).

use ungraceful_mqtt::QoS;
use ungraceful_record::fact::Measure;
use ungraceful_record::ledger::{Delivered, Ledger};
use ungraceful_rig::attempts::fault::AttemptLog;
use ungraceful_rig::measure::clock::RunClock;

use crate::peer;

/// The position of the QoS in a sequence number on the wire.
const QOS_SHIFT: u32 = 56;

ungraceful_record::words! {
    /// How many of the awaited messages came.
    pub enum Share: "share" {
        /// All of them.
        All = "all",
        /// Not all, although a later message came.
        Some = "some",
        /// None, although a later message came.
        None = "none",
        /// All, but some after a later message.
        Late = "late",
        /// Some were missing at the deadline, and no later message came either.
        NotYet = "not yet",
    }
}

/// Measure: messages that the broker held back for their client and delivered later.
pub const HELD_BACK: Measure = Measure::new("held_back");

/// Messages by QoS.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    by_qos: [Ledger; 3],
}

impl Default for Outbox {
    fn default() -> Self {
        Self { by_qos: [Ledger::new(false), Ledger::new(true), Ledger::new(true)] }
    }
}

/// The ledger's index and number for a sequence number on the wire; absent for a foreign one.
fn split(sequence: u64) -> Option<(usize, u64)> {
    let qos = usize::try_from(sequence >> QOS_SHIFT).ok().filter(|qos| *qos <= 2)?;
    Some((qos, sequence & ((1 << QOS_SHIFT) - 1)))
}

impl Outbox {
    /// These messages, in the order they were sent, with the Reason Code of each acknowledgement.
    pub(crate) fn of(published: &[(u64, Option<u8>)]) -> Self {
        let mut outbox = Self::default();
        for (sequence, code) in published {
            if let Some((qos, _)) = split(*sequence) {
                outbox.by_qos[qos].offer();
            }
            outbox.sent(*sequence);
            if let Some(code) = code {
                outbox.acknowledged(*sequence, *code);
            }
        }
        outbox
    }

    /// The QoS of a sequence number on the wire; absent for a foreign one.
    pub(crate) fn qos_of(sequence: u64) -> Option<QoS> {
        let (qos, _) = split(sequence)?;
        Some([QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][qos])
    }

    /// The next message of `qos` falls due; returns its sequence number on the wire.
    pub(crate) fn offer(&mut self, qos: QoS) -> u64 {
        let number = self.by_qos[usize::from(qos.level())].offer();
        u64::from(qos.level()) << QOS_SHIFT | number
    }

    fn act(&mut self, sequence: u64, act: impl FnOnce(&mut Ledger, u64)) {
        if let Some((qos, number)) = split(sequence) {
            act(&mut self.by_qos[qos], number);
        }
    }

    /// It was handed to the connection.
    pub(crate) fn sent(&mut self, sequence: u64) {
        self.act(sequence, Ledger::sent);
    }

    /// The broker acknowledged it with `code`.
    pub(crate) fn acknowledged(&mut self, sequence: u64, code: u8) {
        self.act(sequence, |ledger, number| ledger.acknowledged(number, code));
    }

    /// A copy of it arrived.
    pub(crate) fn delivered(&mut self, sequence: u64, copy: Delivered) {
        self.act(sequence, |ledger, number| {
            ledger.delivered(number, copy);
        });
    }

    /// These arrived; foreign ones are ignored.
    pub(crate) fn take_all(&mut self, came: &[peer::Delivered], clock: &RunClock) {
        for message in came {
            if let Some(sequence) = message.sequence {
                self.delivered(sequence, Delivered { at_us: clock.us(message.at), dup: message.dup });
            }
        }
    }

    /// The messages that have not come.
    pub(crate) fn missing(&self, came: &[peer::Delivered]) -> Vec<u64> {
        self.sequences()
            .filter(|sequence| came.iter().all(|message| message.sequence != Some(*sequence)))
            .collect()
    }

    /// Whether the broker has acknowledged any message of QoS 1 or 2.
    pub(crate) fn acknowledged_any(&self) -> bool {
        self.by_qos[1..].iter().any(|ledger| ledger.counts(0, u64::MAX).acknowledged > 0)
    }

    /// Every sequence number so far.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = u64> + '_ {
        (0_u64..)
            .zip(&self.by_qos)
            .flat_map(|(qos, ledger)| (0..ledger.offered()).map(move |number| qos << QOS_SHIFT | number))
    }

    /// Messages that were acknowledged and never arrived, with or without "No matching subscribers".
    pub(crate) fn lost(&self) -> u64 {
        let counts = self.by_qos[1..].iter().map(|ledger| ledger.counts(0, u64::MAX));
        counts.map(|counts| counts.lost + counts.without_subscribers).sum()
    }

    /// Logs the fate of all messages.
    pub(crate) fn report(&self, log: &mut AttemptLog<'_>) {
        for (qos, ledger) in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].iter().zip(&self.by_qos) {
            if ledger.offered() > 0 {
                log.messages(*qos, &ledger.counts(0, u64::MAX));
            }
        }
    }
}

/// How many of the `wanted` came. The `later` messages were published after all of them on the same topic: a message that none
/// of its QoS overtook may still be in flight, because the standard sets no time. The order of arrival counts, not the time: all
/// messages of one read have the same time.
pub(crate) fn share(wanted: &[u64], came: &[peer::Delivered], later: &[u64]) -> Share {
    let place = |sequence: u64| came.iter().position(|message| message.sequence == Some(sequence));
    let is_overtaken = |sequence: &&u64| {
        let of_its_qos = later.iter().filter(|later| Outbox::qos_of(**later) == Outbox::qos_of(**sequence));
        let first = of_its_qos.filter_map(|later| place(*later)).min();
        first.is_some_and(|first| place(**sequence).is_none_or(|place| first < place))
    };
    let missing: Vec<&u64> = wanted.iter().filter(|sequence| place(**sequence).is_none()).collect();
    if missing.is_empty() {
        return if wanted.iter().any(|sequence| is_overtaken(&sequence)) { Share::Late } else { Share::All };
    }
    match missing.iter().any(is_overtaken) {
        false => Share::NotYet,
        true if missing.len() == wanted.len() => Share::None,
        true => Share::Some,
    }
}

/// How many of the `wanted` came at all.
pub(crate) fn arrived(wanted: &[u64], came: &[peer::Delivered]) -> u64 {
    let is_there = |sequence: &&u64| came.iter().any(|message| message.sequence == Some(**sequence));
    wanted.iter().filter(is_there).count() as u64
}

#[cfg(test)]
mod tests {
    use ungraceful_mqtt::QoS::{AtLeastOnce, ExactlyOnce};
    use ungraceful_wire::clock::now;

    use super::{Delivered, Outbox, Share, share};
    use crate::peer;

    #[test]
    fn a_message_before_a_later_one_is_not_late_even_within_one_read() {
        let mut outbox = Outbox::default();
        let [first, second, later] = [(); 3].map(|()| outbox.offer(AtLeastOnce));
        let (of_qos_2, later_of_qos_2) = (outbox.offer(ExactlyOnce), outbox.offer(ExactlyOnce));
        let at = now();
        let came = |sequences: &[u64]| -> Vec<peer::Delivered> {
            let one = |sequence: &u64| peer::Delivered {
                identifier: Some(1),
                dup: true,
                qos: AtLeastOnce,
                sequence: Some(*sequence),
                at,
            };
            sequences.iter().map(one).collect()
        };
        let of = |sequences: &[u64]| share(&[first, second], &came(sequences), &[later]);
        assert_eq!(of(&[first, second, later]), Share::All);
        assert_eq!(of(&[first, later, second]), Share::Late);
        assert_eq!(of(&[first, later]), Share::Some);
        assert_eq!(of(&[later]), Share::None);
        assert_eq!(of(&[first]), Share::NotYet, "nothing overtook the other one");
        let mixed = share(&[first, of_qos_2], &came(&[first, later_of_qos_2, of_qos_2]), &[later]);
        assert_eq!(mixed, Share::All, "order is owed within one QoS");
    }

    #[test]
    fn each_qos_has_numbers_and_losses_of_its_own() {
        let mut outbox = Outbox::default();
        let sequences: Vec<u64> =
            [AtLeastOnce, ExactlyOnce, AtLeastOnce].into_iter().map(|qos| outbox.offer(qos)).collect();
        for sequence in &sequences {
            outbox.sent(*sequence);
            outbox.acknowledged(*sequence, 0);
        }
        outbox.delivered(sequences[2], Delivered::default());
        assert_eq!(outbox.lost(), 2);
        outbox.delivered(sequences[1], Delivered::default());
        outbox.delivered(u64::MAX, Delivered::default());
        assert_eq!(outbox.lost(), 1);
        assert_eq!(outbox.by_qos[1].counts(0, 9).reordered, 0);
        let mut all: Vec<u64> = outbox.sequences().collect();
        all.sort_unstable();
        let mut given = sequences;
        given.sort_unstable();
        assert_eq!(all, given);
    }
}
