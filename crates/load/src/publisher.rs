//! A client that publishes: messages that are due and wait, that are unacknowledged, and the fate of all others.

mod source;

use std::collections::VecDeque;

use rangemap::RangeInclusiveSet;
use serde::{Deserialize, Serialize};
use source::Source;
use ungraceful_mqtt::{EncodeError, PacketIdentifier, ProtocolVersion, QoS};
use ungraceful_record::load::LoadCounts;
use ungraceful_rig::run::seed::Seed;

use crate::heard::{Heard, WrittenOff};
use crate::payload::Payload;
use crate::settings::MessageSettings;
use crate::stamp::{SEQUENCES, Stamp};

/// "No matching subscribers" in PUBACK and PUBREC of MQTT 5.0.
const NO_MATCHING_SUBSCRIBERS: u8 = 0x10;
/// A message that goes out so much after it was due, or more, counts as late.
const LATE_US: u64 = 1_000;
/// Bytes made at a time, so that acknowledgements are read in between.
pub(crate) const CHUNK: usize = 32 * 1024;

/// The context of every message of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) run: u8,
    pub(crate) version: ProtocolVersion,
    /// Milliseconds since 1970 at the run's start.
    pub(crate) started_ms: u64,
    pub(crate) counted_from_us: u64,
}

/// A message that waits for its acknowledgement.
#[derive(Clone, Copy, Debug)]
struct Slot {
    sequence: u64,
    due_us: u64,
    sent_us: u64,
    /// When the message after it was sent; absent while none was.
    next_sent_us: Option<u64>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Free,
    /// PUBLISH sent.
    Published,
    /// QoS 2: PUBREL sent.
    Released,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) due_us: u64,
    pub(crate) sent_us: u64,
    /// When the next message was sent, if it is the last that was.
    pub(crate) next_sent_us: Option<u64>,
}

/// Messages of the same length, one behind the other, that were made and not handed over yet: several only at QoS 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) end: usize,
    /// Bytes of each.
    length: usize,
    pub(crate) count: usize,
    due_us: u64,
    /// The Packet Identifier; 0 at QoS 0.
    identifier: u16,
}

/// How many of these messages begin within the first `taken` bytes, and where the last of them ends.
pub(crate) fn begun(made: &[Made], taken: usize) -> (usize, usize) {
    let (mut number, mut end) = (0, 0);
    for each in made {
        let start = each.end - each.count * each.length;
        if taken <= start {
            break;
        }
        let begun = (taken - start).div_ceil(each.length).min(each.count);
        number += begun;
        end = start + begun * each.length;
    }
    (number, end)
}

#[derive(Debug)]
pub(crate) struct Publisher {
    number: u32,
    qos: QoS,
    source: Source,
    /// With a Topic Alias: the message that introduces it, and is sent first.
    introduction: Option<Source>,
    /// The next message's number.
    sequence: u64,
    /// When the waiting messages were due.
    backlog: VecDeque<u64>,
    window: u16,
    slots: Vec<Slot>,
    free: Vec<u16>,
    in_flight: u32,
    /// The slot of the message that was sent last, if it waits for its acknowledgement.
    last_slot: Option<u16>,
    /// In a closed loop whose subscribers belong to the load: messages below this number may be sent.
    until: u64,
    written_off: WrittenOff,
    /// In the same: how far its subscribers were, and what it had sent, at the last check whether they move.
    looked_at: (u64, u64),
    /// Since when its thread has it among those of which less than half is acknowledged; absent when it has not.
    pub(crate) short_since_us: Option<u64>,
    /// The first message that counts; absent until one falls due.
    first_counted: Option<u64>,
    /// Messages below this had to wait.
    blocked_below: u64,
    refused: RangeInclusiveSet<u64>,
    counts: LoadCounts,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PublisherSettings<'a> {
    pub(crate) number: u32,
    pub(crate) qos: QoS,
    pub(crate) topic: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) user_name: &'a str,
    pub(crate) payload: &'a Payload,
    pub(crate) message: &'a MessageSettings,
    pub(crate) window: u16,
    pub(crate) version: ProtocolVersion,
    /// Seeds what is random in a payload.
    pub(crate) seed: Seed,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PublisherEnd {
    pub(crate) number: u32,
    #[serde(with = "crate::process::qos")]
    pub(crate) qos: QoS,
    /// The first message that counts, and the one after the last that was sent.
    pub(crate) counted: (u64, u64),
    pub(crate) unacknowledged: Vec<u64>,
    #[serde(with = "crate::process::ranges")]
    pub(crate) refused: RangeInclusiveSet<u64>,
    pub(crate) was_lost: bool,
    pub(crate) counts: LoadCounts,
}

impl Publisher {
    /// Fails on a topic or a property that can't be written.
    pub(crate) fn new(settings: &PublisherSettings<'_>) -> Result<Self, EncodeError> {
        let alias = settings.message.topic_alias && settings.version == ProtocolVersion::V5;
        let source = |topic: &str| Source::new(settings, topic, alias);
        let introduction = if alias { Some(source(settings.topic)?) } else { None };
        Ok(Self {
            number: settings.number,
            qos: settings.qos,
            source: source(if alias { "" } else { settings.topic })?,
            introduction,
            sequence: 0,
            backlog: VecDeque::new(),
            window: settings.window,
            slots: Vec::new(),
            free: Vec::new(),
            in_flight: 0,
            last_slot: None,
            until: u64::MAX,
            written_off: WrittenOff::default(),
            looked_at: (0, 0),
            short_since_us: None,
            first_counted: None,
            blocked_below: 0,
            refused: RangeInclusiveSet::new(),
            counts: LoadCounts::default(),
        })
    }

    /// The broker's Receive Maximum: no more than this are unacknowledged.
    pub(crate) fn limit_window(&mut self, receive_maximum: u16) {
        self.window = self.window.min(receive_maximum);
    }

    pub(crate) fn window(&self) -> u16 {
        self.window
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(crate) fn waiting(&self) -> u64 {
        self.backlog.len() as u64
    }

    /// A message falls due. Returns whether it counts.
    pub(crate) fn offer(&mut self, due_us: u64, context: &Context) -> bool {
        let counts = due_us >= context.counted_from_us;
        if counts {
            self.first_counted.get_or_insert(self.sequence + self.backlog.len() as u64);
            self.counts.offered += 1;
        }
        self.backlog.push_back(due_us);
        counts
    }

    /// The client is gone: it sends nothing any more.
    pub(crate) fn give_up(&mut self) {
        let first_counted = self.first_counted.unwrap_or(u64::MAX);
        let from = first_counted.max(self.sequence);
        let until = self.sequence + self.backlog.len() as u64;
        self.counts.dropped += until.saturating_sub(from);
        self.backlog.clear();
    }

    /// A message falls due for a client that is gone.
    pub(crate) fn drop_due(&mut self, due_us: u64, context: &Context) -> bool {
        let counts = due_us >= context.counted_from_us;
        self.counts.offered += u64::from(counts);
        self.counts.dropped += u64::from(counts);
        counts
    }

    /// Whether one more may be unacknowledged, and under way to the subscribers.
    fn has_room(&self) -> bool {
        self.sequence < self.until && (self.qos == QoS::AtMostOnce || self.in_flight < u32::from(self.window))
    }

    /// In a closed loop: whether its subscribers are far enough for it to go on. If not, it is woken when they are.
    pub(crate) fn may_go_on(&mut self, heard: &Heard) -> bool {
        let room = heard.room(self.number, self.sequence, &mut self.written_off);
        self.until = room.unwrap_or(self.until);
        room.is_some()
    }

    /// To be called once in a while: where its subscribers have not moved since the last call, messages under way to
    /// them are no longer waited for. Returns whether that is so.
    pub(crate) fn writes_off_when_stalled(&mut self, heard: &Heard) -> bool {
        let now = (heard.position(self.number), self.sequence);
        let stands_still = now == self.looked_at && !self.may_go_on(heard);
        self.looked_at = now;
        if stands_still {
            self.written_off = heard.write_off(self.number, self.sequence);
        }
        stands_still
    }

    /// Whether half of what may be unacknowledged is acknowledged. A closed loop refills then, and not after each
    /// acknowledgement: a write per message would cost the processor more than the message, and the other half keeps
    /// the broker busy meanwhile.
    pub(crate) fn has_half_of_its_window(&self) -> bool {
        2 * self.in_flight <= u32::from(self.window)
    }

    /// Makes messages that are due, as many as may be sent and fit into a chunk, and notes where each ends. In a
    /// closed loop, messages are due whenever there is room.
    pub(crate) fn make(
        &mut self,
        now_us: u64,
        is_closed: bool,
        context: &Context,
        out: &mut Vec<u8>,
        made: &mut Vec<Made>,
    ) -> Result<(), EncodeError> {
        if is_closed && self.make_run(now_us, context, out, made) {
            return Ok(());
        }
        while out.len() < CHUNK && self.has_room() {
            let due_us = if is_closed {
                let counts = now_us >= context.counted_from_us;
                if counts {
                    self.first_counted.get_or_insert(self.sequence);
                    self.counts.offered += 1;
                }
                now_us
            } else {
                let Some(due_us) = self.backlog.pop_front() else { break };
                due_us
            };
            let sequence = self.sequence;
            let identifier = self.take_identifier(Slot {
                sequence,
                due_us,
                sent_us: now_us,
                next_sent_us: None,
                stage: Stage::Published,
            });
            let lateness_us = now_us.saturating_sub(due_us);
            let stamp = Stamp { run: context.run, publisher: self.number, sequence, due_us, lateness_us };
            // The first message is recognised by its number: one that was taken back is made again.
            let start = out.len();
            let introduction = self.introduction.as_mut().filter(|_| sequence == 0);
            introduction.unwrap_or(&mut self.source).write(stamp, identifier, context, out)?;
            self.sequence += 1;
            if due_us >= context.counted_from_us {
                self.counts.sent += 1;
                self.counts.late += u64::from(lateness_us > LATE_US);
                self.counts.blocked += u64::from(sequence < self.blocked_below);
            }
            made.push(Made {
                end: out.len(),
                length: out.len() - start,
                count: 1,
                due_us,
                identifier: identifier.map_or(0, PacketIdentifier::get),
            });
        }
        Ok(())
    }

    /// [`Publisher::make`] for a closed loop at QoS 0, whose messages differ in nothing but their numbers. Returns whether it is one.
    fn make_run(&mut self, now_us: u64, context: &Context, out: &mut Vec<u8>, made: &mut Vec<Made>) -> bool {
        let is_introduced = self.introduction.is_none() || self.sequence > 0;
        let Some(template) = self.source.template().filter(|_| self.qos == QoS::AtMostOnce && is_introduced)
        else {
            return false;
        };
        let (sequence, length) = (self.sequence, template.len());
        let in_chunk = CHUNK.saturating_sub(out.len()).div_ceil(length) as u64;
        let count = in_chunk.min(self.until.saturating_sub(sequence)).min(SEQUENCES - sequence % SEQUENCES);
        let first =
            Stamp { run: context.run, publisher: self.number, sequence, due_us: now_us, lateness_us: 0 };
        let number = usize::try_from(count).expect("no more than fit into a chunk");
        template.append_run(out, number, first.bits(), Stamp::STEP);
        self.sequence += count;
        if now_us >= context.counted_from_us {
            self.first_counted.get_or_insert(sequence);
            self.counts.offered += count;
            self.counts.sent += count;
        }
        made.push(Made { end: out.len(), length, count: number, due_us: now_us, identifier: 0 });
        true
    }

    fn take_identifier(&mut self, slot: Slot) -> Option<PacketIdentifier> {
        if self.qos == QoS::AtMostOnce {
            return None;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(slot);
            u16::try_from(self.slots.len() - 1).expect("a window has at most 65,535 places")
        });
        if let Some(last) = self.last_slot.replace(index) {
            let last = &mut self.slots[usize::from(last)];
            if last.stage != Stage::Free && last.sequence + 1 == slot.sequence {
                last.next_sent_us = Some(slot.sent_us);
            }
        }
        self.slots[usize::from(index)] = slot;
        self.in_flight += 1;
        PacketIdentifier::new(index + 1)
    }

    /// Takes back the messages after the first `kept` of those just made, because the socket took no more. They are
    /// due as before.
    pub(crate) fn take_back(
        &mut self,
        made: &[Made],
        kept: usize,
        is_closed: bool,
        now_us: u64,
        context: &Context,
    ) {
        let mut too_many = made.iter().map(|made| made.count).sum::<usize>() - kept;
        for &Made { due_us, identifier, count, .. } in made.iter().rev() {
            let back = count.min(too_many);
            if back == 0 {
                break;
            }
            too_many -= back;
            let back = back as u64;
            self.sequence -= back;
            if let Some(index) = identifier.checked_sub(1) {
                self.release(usize::from(index));
            }
            let counts = due_us >= context.counted_from_us;
            if counts {
                self.counts.sent -= back;
                self.counts.late -= if now_us.saturating_sub(due_us) > LATE_US { back } else { 0 };
                self.counts.blocked -= self.blocked_below.saturating_sub(self.sequence).min(back);
                self.counts.offered -= if is_closed { back } else { 0 };
            }
            if !is_closed {
                self.backlog.push_front(due_us);
            }
        }
    }

    /// Messages that still wait after everything was tried are blocked.
    pub(crate) fn note_blocked(&mut self) {
        if !self.backlog.is_empty() {
            self.blocked_below = self.blocked_below.max(self.sequence + self.backlog.len() as u64);
        }
    }

    fn release(&mut self, index: usize) {
        self.slots[index].stage = Stage::Free;
        self.in_flight -= 1;
        self.free.push(u16::try_from(index).expect("a window has at most 65,535 places"));
    }

    fn slot(&mut self, packet_identifier: u16, stages: &[Stage]) -> Option<usize> {
        let index = usize::from(packet_identifier.checked_sub(1)?);
        self.slots.get(index).filter(|slot| stages.contains(&slot.stage)).map(|_| index)
    }

    /// PUBACK, or PUBCOMP. Returns what was acknowledged, when it counts.
    #[inline]
    pub(crate) fn acknowledged(
        &mut self,
        packet_identifier: u16,
        code: u8,
        context: &Context,
    ) -> Option<Acknowledged> {
        let expected = match self.qos {
            QoS::AtMostOnce => return None,
            QoS::AtLeastOnce => [Stage::Published],
            QoS::ExactlyOnce => [Stage::Released],
        };
        let index = self.slot(packet_identifier, &expected)?;
        self.settle(index, code, context)
    }

    /// PUBREC. Returns whether a PUBREL is to follow; a refusal ends the exchange.
    pub(crate) fn received(&mut self, packet_identifier: u16, code: u8, context: &Context) -> bool {
        let Some(index) = self.slot(packet_identifier, &[Stage::Published, Stage::Released]) else {
            return false;
        };
        if self.qos != QoS::ExactlyOnce {
            return false;
        }
        if code >= 0x80 {
            let _refused = self.settle(index, code, context);
            return false;
        }
        let slot = &mut self.slots[index];
        if code == NO_MATCHING_SUBSCRIBERS && slot.stage == Stage::Published {
            self.counts.without_subscribers += u64::from(slot.due_us >= context.counted_from_us);
        }
        slot.stage = Stage::Released;
        true
    }

    fn settle(&mut self, index: usize, code: u8, context: &Context) -> Option<Acknowledged> {
        let slot = self.slots[index];
        self.release(index);
        let counts = slot.due_us >= context.counted_from_us;
        if code >= 0x80 {
            self.refused.insert(slot.sequence..=slot.sequence);
            if counts {
                *self.counts.refused.entry(code).or_default() += 1;
            }
            return None;
        }
        self.counts.acknowledged += u64::from(counts);
        self.counts.without_subscribers += u64::from(counts && code == NO_MATCHING_SUBSCRIBERS);
        // Where more than one went out since, which of them it followed is unknown.
        let next_sent_us = slot.next_sent_us.filter(|_| slot.sequence + 2 == self.sequence);
        counts.then_some(Acknowledged { due_us: slot.due_us, sent_us: slot.sent_us, next_sent_us })
    }

    /// Bytes of the PUBLISH of its first message. Later ones have as many, or a few more where a text counts them.
    pub(crate) fn packet_bytes(&self, context: &Context) -> Result<usize, EncodeError> {
        self.introduction.as_ref().unwrap_or(&self.source).packet_bytes(self.qos, context)
    }

    /// Messages that were refused, of the warm-up too.
    pub(crate) fn refused(&self) -> u64 {
        crate::deliveries::length(&self.refused)
    }

    /// Messages that were sent, of the warm-up too.
    pub(crate) fn sent(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn end(mut self, was_lost: bool) -> PublisherEnd {
        self.give_up();
        let under_way = self.slots.iter().filter(|slot| slot.stage != Stage::Free);
        let unacknowledged: Vec<u64> = under_way.map(|slot| slot.sequence).collect();
        let first = self.first_counted.unwrap_or(self.sequence).min(self.sequence);
        let counted = unacknowledged.iter().filter(|sequence| **sequence >= first).count() as u64;
        self.counts.unacknowledged = counted;
        PublisherEnd {
            number: self.number,
            qos: self.qos,
            counted: (first, self.sequence),
            unacknowledged,
            refused: self.refused,
            was_lost,
            counts: self.counts,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
