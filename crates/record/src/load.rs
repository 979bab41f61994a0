//! What became of a load: what was sent, what of it came, and how long that took.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ungraceful_mqtt::ReasonCode;

use crate::counts;
use crate::metric::Percentiles;

/// How work is released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Release {
    /// Open loop: by a schedule, whatever the broker does. Times are from when a message was due.
    #[default]
    Open,
    /// Closed loop: as fast as the broker takes it. A broker that is slow is sent less, so times flatter it.
    Closed,
    /// Nothing is published.
    Nothing,
}

counts! {
    /// What became of the messages of one QoS. The identities that always hold are `offered = sent + dropped`, for QoS 1
    /// and 2 `sent = acknowledged + refused + unacknowledged`, and `expected = delivered + lost + unknown + still_coming`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    pub struct LoadCounts {
        /// Fell due. In a closed loop nothing is due, and this is what was sent.
        pub offered: u64,
        /// Handed to the kernel.
        pub sent: u64,
        /// Fell due and never sent: the connection was lost, or what had to wait could not go out until the end.
        pub dropped: u64,
        /// Of the sent, those that had to wait because as many as allowed were unacknowledged, or the socket took no more.
        pub blocked: u64,
        /// Of the sent, those that went out more than a millisecond after they were due, for whatever reason.
        pub late: u64,
        /// Acknowledged without an error (QoS 1 and 2).
        pub acknowledged: u64,
        /// Refused by the broker, by Reason Code.
        pub refused: BTreeMap<u8, u64>,
        /// Sent and not acknowledged until the end (QoS 1 and 2).
        pub unacknowledged: u64,
        /// Acknowledged with 0x10 "No matching subscribers"; among the acknowledged.
        pub without_subscribers: u64,
        /// Deliveries that follow from what was sent and who subscribed: each message once for every subscriber, and once
        /// for every group of a Shared Subscription. Messages that were refused are left out.
        pub expected: u64,
        /// Deliveries that came, each counted once.
        pub delivered: u64,
        /// Expected and not come until the end: acknowledged (QoS 1 and 2) or sent (QoS 0), and the subscriber was there.
        pub lost: u64,
        /// Expected and not come, and nobody can tell whose loss it is: not acknowledged, or the subscriber's connection was
        /// lost.
        pub unknown: u64,
        /// Expected and not come when the wait for them ended, while the broker was still delivering: later than the last
        /// message of the same publisher that came to the same subscriber, so nothing says that they are lost.
        #[serde(default)]
        pub still_coming: u64,
        /// Deliveries beyond the first.
        pub duplicated: u64,
        /// Deliveries that came after that of a later message of the same publisher to the same subscriber.
        pub reordered: u64,
    }
}

impl LoadCounts {
    /// Refused, whatever the Reason Code.
    #[must_use]
    pub fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Each Reason Code by which messages were refused, with its name and how often: `200 by 0x95 Packet too large`.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        let mut refused: Vec<_> = self.refused.iter().collect();
        refused.sort_by_key(|(code, count)| (std::cmp::Reverse(**count), **code));
        let named = refused.into_iter().map(|(code, count)| {
            let name = ReasonCode(*code).name().map(|name| format!(" {name}"));
            format!("{count} by 0x{code:02X}{}", name.unwrap_or_default())
        });
        named.collect()
    }
}

/// What became of a load's connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoadConnections {
    /// Were to be made.
    pub planned: u64,
    /// Accepted, and subscribed where they were to.
    pub accepted: u64,
    /// Refused or not made, by what the broker or the kernel said.
    pub refused: BTreeMap<String, u64>,
    /// Accepted and lost before the end, by how.
    pub lost: BTreeMap<String, u64>,
    /// Never begun, because the run was over.
    pub never_begun: u64,
    /// First SYN until the last of them was accepted; absent when none was.
    pub up_after_us: Option<u64>,
    /// SYN until the TCP handshake was complete.
    pub tcp_connect_time: Percentiles,
    /// TCP handshake complete until CONNACK.
    pub connack_time: Percentiles,
    /// SUBSCRIBE until SUBACK.
    pub suback_time: Percentiles,
}

/// A load and what became of it. Messages due in the load's warm-up are in none of the counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoadRecord {
    /// How work was released.
    pub release: Release,
    /// Who publishes to whom, in words.
    pub shape: String,
    /// Publishers.
    pub publishers: u64,
    /// Subscribers.
    pub subscribers: u64,
    /// Payload of each message in bytes; absent for a text with placeholders, whose length varies.
    pub payload_bytes: Option<u64>,
    /// Messages that each publisher may have unacknowledged, after what the broker allows.
    pub in_flight_max: u64,
    /// Messages of each publisher that may be on their way to its subscribers, in a closed loop; absent where nothing bounds
    /// them: by a schedule, without subscribers of ours, and with messages that can't be followed.
    #[serde(default)]
    pub end_to_end_window: Option<u64>,
    /// When messages that count began to fall due, in µs since the run's start; absent when it did not get that far.
    pub counted_from_us: Option<u64>,
    /// When the last message was due.
    pub counted_until_us: Option<u64>,
    /// When the last message that counts was sent: later than it was due where the broker fell behind.
    pub last_sent_us: Option<u64>,
    /// When the last message that counts came.
    pub last_delivered_us: Option<u64>,
    /// The connections.
    pub connections: LoadConnections,
    /// What became of the messages, by QoS of the publisher.
    pub by_qos: BTreeMap<u8, LoadCounts>,
    /// Live deliveries that carry no stamp of this run: somebody else's, or a payload without a stamp.
    pub foreign: u64,
    /// Deliveries with RETAIN 1 and no stamp of this run, at any time: retained messages that came because of the
    /// subscription.
    #[serde(default)]
    pub retained: u64,
    /// Deliveries whose number was so long ago that it can't be told whether it came before. Those that had not may be
    /// among the lost.
    pub too_old: u64,
    /// Bytes handed to the kernel while it was measured.
    pub bytes_sent: u64,
    /// Bytes received while it was measured.
    pub bytes_received: u64,
    /// Due until acknowledged (QoS 1 and 2).
    pub publish_response_time: Percentiles,
    /// About to be handed to the kernel, until acknowledged.
    pub publish_service_time: Percentiles,
    /// Due until received by a subscriber: end to end.
    pub delivery_response_time: Percentiles,
    /// About to be handed to the kernel, until received by a subscriber.
    pub delivery_service_time: Percentiles,
    /// How much of a service time had passed when the message left: about to be handed to the kernel, until its last byte
    /// left by the kernel's stamp. Looked at a hundred times a second for each thread; empty where the kernel gives no stamps.
    #[serde(default)]
    pub departure_time: Percentiles,
    /// Deliveries whose service time was 39 to 45 ms, where these stand out from the times around them: what a broker that
    /// leaves Nagle's algorithm on waits for a delayed ACK (Linux: 40 ms). Absent where they do not.
    pub stalled_40_ms: Option<u64>,
    /// Acknowledgements that came with the publisher's next message; absent where less than a quarter did.
    #[serde(default)]
    pub held_acknowledgements: Option<HeldAcknowledgements>,
    /// CPU time that the load's threads used while it was measured, in µs; absent where it can't be read.
    pub cpu_us: Option<u64>,
    /// What became of retained messages of the load; absent where it made none.
    #[serde(default)]
    pub retained_by_us: Option<RetainedRecord>,
}

/// What became of retained messages when a load was over: they are removed, so that nothing of a run stays behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetainedRecord {
    /// Topics on which something was retained.
    pub topics: u64,
    /// Why it was not removed, in words; absent when it was.
    pub left_because: Option<String>,
}

/// Acknowledgements (PUBACK, or the PUBCOMP of QoS 2) that did not come until the publisher sent its next message, and then
/// at once, whatever the time between the two: what a broker does that leaves Nagle's algorithm on. It holds its small
/// packet back until TCP has acknowledged the one before, and the next message brings that acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldAcknowledgements {
    /// Acknowledgements that came so.
    pub held: u64,
    /// All that were looked at: those of messages after which the same publisher sent another one.
    pub of: u64,
    /// Mean time from sending a message until its acknowledgement, of those that were held.
    pub waited_us_mean: u64,
    /// Mean time from sending the next message until the acknowledgement, of the same.
    pub after_next_us_mean: u64,
}

impl LoadRecord {
    /// What this load has no result for, in words, with the reason where the broker named one; absent when there is one.
    #[must_use]
    pub fn came_to_nothing(&self) -> Option<String> {
        let connections = &self.connections;
        if connections.planned > 0 && connections.accepted == 0 {
            let why = most_frequent(&connections.refused).map(|why| format!(": {why}")).unwrap_or_default();
            return Some(format!("none of {} connections was accepted{why}", connections.planned));
        }
        self.counted_from_us?;
        if self.publishers == 0 {
            return (self.subscribers > 0 && self.foreign == 0).then(|| {
                let came = match self.retained {
                    0 => "no message came".to_owned(),
                    retained => {
                        format!("no live message came: all that came were retained messages ({retained})")
                    }
                };
                let lost = self.most_lost_by();
                let kept_back = "; a broker of MQTT 5.0 keeps back what is larger than --max-packet-size";
                came + &lost.unwrap_or_else(|| kept_back.to_owned())
            });
        }
        let all = self.all();
        if all.sent == 0 {
            return Some(format!("no message was sent{}", self.most_lost_by().unwrap_or_default()));
        }
        let mut parts = Vec::new();
        let acknowledging = self.acknowledging();
        if acknowledging.sent > 0 && acknowledging.acknowledged == 0 {
            let refusals = acknowledging.refusals();
            let refused = if refusals.is_empty() {
                String::new()
            } else {
                format!(": refused {}", refusals.join(", "))
            };
            parts.push(format!("the broker acknowledged none of {} messages{refused}", acknowledging.sent));
        }
        if all.expected > 0 && all.delivered == 0 {
            parts.push(format!("none of {} deliveries came", all.expected));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// How most connections were lost, behind a colon; absent when none was.
    fn most_lost_by(&self) -> Option<String> {
        let lost = most_frequent(&self.connections.lost);
        lost.map(|why| format!(": connections were lost, most often by {why}"))
    }

    /// The messages of QoS 1 and 2: those that a broker acknowledges.
    #[must_use]
    pub fn acknowledging(&self) -> LoadCounts {
        self.sum_of(|qos| qos > 0)
    }

    fn sum_of(&self, is_in: impl Fn(u8) -> bool) -> LoadCounts {
        let of_these = self.by_qos.iter().filter(|(qos, _)| is_in(**qos));
        of_these.fold(LoadCounts::default(), |mut sum, (_, counts)| {
            sum += counts;
            sum
        })
    }

    /// All messages, whatever their QoS.
    #[must_use]
    pub fn all(&self) -> LoadCounts {
        self.sum_of(|_any| true)
    }

    /// How long messages that count fell due, in µs; absent when it did not get that far.
    #[must_use]
    pub fn counted_us(&self) -> Option<u64> {
        Some(self.counted_until_us?.saturating_sub(self.counted_from_us?))
    }

    /// How long it took to send what was sent, in µs: no shorter than it fell due, and longer where the broker took it
    /// later.
    #[must_use]
    pub fn sent_in_us(&self) -> Option<u64> {
        let late_us = self.last_sent_us?.saturating_sub(self.counted_from_us?);
        Some(late_us.max(self.counted_us()?))
    }

    /// How long it took to deliver what was delivered, in µs, likewise.
    #[must_use]
    pub fn delivered_in_us(&self) -> Option<u64> {
        let late_us = self.last_delivered_us?.saturating_sub(self.counted_from_us?);
        Some(late_us.max(self.counted_us()?))
    }
}

/// What happened most often.
fn most_frequent(by_reason: &BTreeMap<String, u64>) -> Option<&str> {
    by_reason.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| reason.as_str())
}
