//! The record of a load: its messages, deliveries and times.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ungraceful_mqtt::ReasonCode;

use crate::confidence::Confidence;
use crate::counts;
use crate::metric::Percentiles;
use crate::scale::counted;

/// How work is released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Release {
    /// Open loop: on a schedule, independent of the broker. Times start when a message is due.
    #[default]
    Open,
    /// Closed loop: as fast as the broker accepts it. A slow broker receives less, so times flatter it.
    Closed,
    /// Nothing is published.
    Nothing,
}

counts! {
    /// The fate of one QoS's messages. Always: `offered = sent + dropped`, for QoS 1 and 2
    /// `sent = acknowledged + refused + unacknowledged`, and `expected = delivered + lost + unknown + still_coming`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    pub struct LoadCounts {
        /// Due; in a closed loop, sent.
        pub offered: u64,
        /// Handed to the kernel.
        pub sent: u64,
        /// Due but never sent: the connection was lost, or the message was still waiting at the end.
        pub dropped: u64,
        /// Sent after waiting, because the limit of unacknowledged messages was reached or the socket was full.
        pub blocked: u64,
        /// Sent more than a millisecond after the due time, for any reason.
        pub late: u64,
        /// Acknowledged without an error (QoS 1 and 2).
        pub acknowledged: u64,
        /// Refused by the broker, by Reason Code.
        pub refused: BTreeMap<u8, u64>,
        /// Sent and not acknowledged by the end (QoS 1 and 2).
        pub unacknowledged: u64,
        /// Acknowledged with 0x10 "No matching subscribers"; included in the acknowledged.
        pub without_subscribers: u64,
        /// Expected deliveries: each message that was not refused once per subscriber, and once per group of a Shared
        /// Subscription.
        pub expected: u64,
        /// Deliveries, each counted once.
        pub delivered: u64,
        /// Not delivered by the end although acknowledged (QoS 1 and 2) or sent (QoS 0) to a connected subscriber.
        pub lost: u64,
        /// Not delivered, without attributable loss: not acknowledged, or the subscriber's connection was lost.
        pub unknown: u64,
        /// Not delivered when the wait ended while the broker was still delivering: later than the last delivered message of the
        /// same publisher to the same subscriber, so not known to be lost.
        #[serde(default)]
        pub still_coming: u64,
        /// Deliveries beyond the first.
        pub duplicated: u64,
        /// Deliveries after that of a later message of the same publisher to the same subscriber.
        pub reordered: u64,
    }
}

impl LoadCounts {
    /// Refused messages, with any Reason Code.
    #[must_use]
    pub fn refused_in_all(&self) -> u64 {
        self.refused.values().sum()
    }

    /// The Reason Codes of refusals with names and counts: `200 by 0x95 Packet too large`.
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

/// The connections of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoadConnections {
    /// Planned.
    pub planned: u64,
    /// Accepted and, where planned, subscribed.
    pub accepted: u64,
    /// Refused or failed, by the reason from the broker or the kernel.
    pub refused: BTreeMap<String, u64>,
    /// Accepted and lost before the end, by reason.
    pub lost: BTreeMap<String, u64>,
    /// Never started, because the run was over.
    pub never_begun: u64,
    /// When the first SYN was sent, in µs since the run's start; absent without one, and in older records.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_syn_us: Option<u64>,
    /// From the first SYN until the last one was accepted; absent when none was.
    pub up_after_us: Option<u64>,
    /// SYN until the TCP handshake was complete.
    pub tcp_connect_time: Percentiles,
    /// TCP handshake complete until the handshakes of TLS and WebSocket over it were complete; none over plain TCP, and in older
    /// records.
    #[serde(default)]
    pub handshake_time: Percentiles,
    /// CONNECT sent until CONNACK.
    pub connack_time: Percentiles,
    /// SUBSCRIBE until SUBACK.
    pub suback_time: Percentiles,
}

/// A load. Messages due in its warm-up are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoadRecord {
    /// How work was released.
    pub release: Release,
    /// Publishers and subscribers, as text.
    pub shape: String,
    /// Publishers.
    pub publishers: u64,
    /// Subscribers.
    pub subscribers: u64,
    /// Payload of each message in bytes; absent for a text with placeholders, whose length varies.
    pub payload_bytes: Option<u64>,
    /// Maximum number of unacknowledged messages per publisher, within the broker's limit.
    pub in_flight_max: u64,
    /// Maximum number of messages per publisher in flight to its subscribers, in a closed loop; absent without a limit: on a
    /// schedule, without subscribers of this run, and with messages that can't be tracked.
    #[serde(default)]
    pub end_to_end_window: Option<u64>,
    /// When the first counted message was due, in µs since the run's start; absent when the run ended before.
    pub counted_from_us: Option<u64>,
    /// When the last message was due.
    pub counted_until_us: Option<u64>,
    /// How sure the percentile is that `--until` named; absent without it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confidence: Option<Confidence>,
    /// When the last counted message was sent: later than due where the broker fell behind.
    pub last_sent_us: Option<u64>,
    /// When the last counted message was delivered.
    pub last_delivered_us: Option<u64>,
    /// The connections.
    pub connections: LoadConnections,
    /// The fate of the messages, by QoS of the publisher.
    pub by_qos: BTreeMap<u8, LoadCounts>,
    /// Live deliveries without a stamp of this run.
    pub foreign: u64,
    /// Deliveries with RETAIN 1 and without a stamp of this run: retained messages that matched the subscription.
    #[serde(default)]
    pub retained: u64,
    /// Deliveries too old to know whether they are duplicates. First deliveries among them may be counted as lost.
    pub too_old: u64,
    /// Bytes handed to the kernel during the measurement.
    pub bytes_sent: u64,
    /// Bytes received during the measurement.
    pub bytes_received: u64,
    /// From due to acknowledged (QoS 1 and 2).
    pub publish_response_time: Percentiles,
    /// From just before the write to acknowledged.
    pub publish_service_time: Percentiles,
    /// From due to received by a subscriber: end to end.
    pub delivery_response_time: Percentiles,
    /// From just before the write to received by a subscriber.
    pub delivery_service_time: Percentiles,
    /// The part of a service time before the message left: from just before the write until its last byte left by the kernel's
    /// timestamp. Sampled a hundred times a second per thread; empty without kernel timestamps.
    #[serde(default)]
    pub departure_time: Percentiles,
    /// Deliveries with a service time of 39 to 45 ms, where these stand out: a broker that leaves Nagle's algorithm on waits that
    /// long for a delayed ACK (Linux: 40 ms). Absent otherwise.
    pub stalled_40_ms: Option<u64>,
    /// Acknowledgements that arrived with the publisher's next message; absent below a quarter.
    #[serde(default)]
    pub held_acknowledgements: Option<HeldAcknowledgements>,
    /// CPU time of the load's threads during the measurement, in µs; absent when unknown.
    pub cpu_us: Option<u64>,
    /// The retained messages of the load; absent without any.
    #[serde(default)]
    pub retained_by_us: Option<RetainedRecord>,
    /// The worker processes; empty in a load of one process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<LoadProcessRecord>,
}

/// A worker process of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoadProcessRecord {
    /// Its process id.
    pub pid: u32,
    /// Clients that it had.
    pub clients: u64,
    /// CPU time until the load began, most of it for connecting, in steps of the kernel's tick; absent when unknown.
    pub cpu_us_connecting: Option<u64>,
    /// CPU time from then on; absent when unknown.
    pub cpu_us: Option<u64>,
    /// Resident memory before it made its clients; absent when unknown.
    pub rss_bytes_before: Option<u64>,
    /// Resident memory when the load began; absent when unknown.
    pub rss_bytes_connected: Option<u64>,
    /// The share that went with it; absent when it ended with the load.
    pub died: Option<DiedProcess>,
}

/// What is known of a worker process that died. Its connections count as lost, its messages in no other figure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiedProcess {
    /// How it ended.
    pub how: String,
    /// Messages that it had sent by its last report, a fraction of a second before, with those of the warm-up. Their fate is unknown.
    pub sent: u64,
    /// Deliveries to its subscribers by its last report, with those of the warm-up. Which messages they were is unknown.
    pub delivered: u64,
}

/// The retained messages of a load, which are removed after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetainedRecord {
    /// Number of topics with a retained message.
    pub topics: u64,
    /// Why they were not removed; absent when they were.
    pub left_because: Option<String>,
}

/// Acknowledgements (PUBACK, or the PUBCOMP of QoS 2) that arrived only right after the publisher's next message, whatever the
/// time between the two. A broker that leaves Nagle's algorithm on does this: it holds back a small packet until TCP has
/// acknowledged the previous one, and the next message brings that acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldAcknowledgements {
    /// Number of such acknowledgements.
    pub held: u64,
    /// Number of examined ones: those of messages followed by another one of the same publisher.
    pub of: u64,
    /// Mean time from sending a message to its acknowledgement, for the held ones.
    pub waited_us_mean: u64,
    /// Mean time from sending the next message to the acknowledgement, for the held ones.
    pub after_next_us_mean: u64,
}

impl LoadRecord {
    /// Why the record is incomplete: the worker processes that died; absent when none did.
    #[must_use]
    pub fn died(&self) -> Option<String> {
        let of = self.processes.len();
        let died = (1..).zip(&self.processes).filter_map(|(number, process)| {
            let DiedProcess { how, sent, delivered } = process.died.as_ref()?;
            let clients = counted(process.clients, "client");
            let pid = process.pid;
            let messages = if sent + delivered == 0 {
                String::new()
            } else {
                format!(", and its messages are unknown: {sent} sent and {delivered} delivered by its last report")
            };
            Some(format!(
                "worker process {number} of {of} (pid {pid}) died ({how}): its {clients} count as lost{messages}"
            ))
        });
        let died: Vec<String> = died.collect();
        (!died.is_empty()).then(|| died.join("; "))
    }

    /// Why the load has no result, as text; absent when it has one.
    #[must_use]
    pub fn missing_result(&self) -> Option<String> {
        let connections = &self.connections;
        if connections.planned > 0 && connections.accepted == 0 {
            let why = most_frequent(&connections.refused).map(|why| format!(": {why}")).unwrap_or_default();
            return Some(format!("none of {} connections was accepted{why}", connections.planned));
        }
        self.counted_from_us?;
        if self.publishers == 0 {
            return (self.subscribers > 0 && self.foreign == 0).then(|| {
                let came = match self.retained {
                    0 => "no message arrived".to_owned(),
                    retained => {
                        format!("no live message arrived, only retained messages ({retained})")
                    }
                };
                let lost = self.most_lost_by();
                let kept_back = "; an MQTT 5.0 broker withholds messages larger than --max-packet-size";
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
            parts.push(format!("none of {} deliveries arrived", all.expected));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The most frequent reason of lost connections; absent without any.
    fn most_lost_by(&self) -> Option<String> {
        let lost = most_frequent(&self.connections.lost);
        lost.map(|why| format!(": connections were lost, most often by {why}"))
    }

    /// The counts of QoS 1 and 2, which a broker acknowledges.
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

    /// The counts of all QoS.
    #[must_use]
    pub fn all(&self) -> LoadCounts {
        self.sum_of(|_any| true)
    }

    /// The time span of counted due times, in µs; absent when the run ended before.
    #[must_use]
    pub fn counted_us(&self) -> Option<u64> {
        Some(self.counted_until_us?.saturating_sub(self.counted_from_us?))
    }

    /// The time that sending took, in µs: at least the span of due times, and longer when the broker accepted messages late.
    #[must_use]
    pub fn sent_in_us(&self) -> Option<u64> {
        let late_us = self.last_sent_us?.saturating_sub(self.counted_from_us?);
        Some(late_us.max(self.counted_us()?))
    }

    /// The time that delivery took, in µs, likewise.
    #[must_use]
    pub fn delivered_in_us(&self) -> Option<u64> {
        let late_us = self.last_delivered_us?.saturating_sub(self.counted_from_us?);
        Some(late_us.max(self.counted_us()?))
    }
}

/// How many times are 39 to 45 ms, where they stand out: at least 1 % of all, and ten times as many as in the 6 ms
/// before and the 6 ms after. Times that merely pass through there have neighbours.
#[must_use]
pub fn stalled_40_ms(times: &Histogram<u64>) -> Option<u64> {
    let between = |from_ms: u64, to_ms: u64| times.count_between(from_ms * 1_000, to_ms * 1_000 - 1);
    let (stalled, around) = (between(39, 45), between(33, 39).max(between(45, 51)));
    (stalled > 0 && stalled * 100 >= times.len() && stalled >= 10 * around).then_some(stalled)
}

/// The most frequent reason.
fn most_frequent(by_reason: &BTreeMap<String, u64>) -> Option<&str> {
    by_reason.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| reason.as_str())
}

#[cfg(test)]
mod tests {
    use super::stalled_40_ms;
    use crate::metric::histogram;

    #[test]
    fn times_of_40_ms_count_only_where_they_stand_out() {
        let stalled = |times: &[(u64, u64)]| {
            let mut all = histogram();
            for (ms, count) in times {
                all.record_n(ms * 1_000, *count).unwrap();
            }
            stalled_40_ms(&all)
        };
        assert_eq!(stalled(&[(1, 1_000), (40, 20), (44, 10), (60, 500)]), Some(30));
        assert_eq!(stalled(&[(1, 1_000), (40, 20), (36, 3)]), None, "times pass through there");
        assert_eq!(stalled(&[(1, 1_000), (40, 20), (48, 3)]), None);
        assert_eq!(stalled(&[(1, 10_000), (40, 20)]), None, "too few to matter");
        assert_eq!(stalled(&[]), None);
    }
}
