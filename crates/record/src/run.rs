//! The record of a run, `run.json`. Checks and reports read nothing else, so a run can be judged and reported again without a
//! broker. Instants and durations are integer µs, with the unit in the name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::accepted::Accepted;
use crate::attempt::Case;
use crate::discarded::Discarded;
use crate::encoded::Encoded;
use crate::expectation::Expectation;
use crate::ledger::{Irregularity, IrregularityKind, LedgerCounts};
use crate::load::LoadRecord;
use crate::merge::MergedRecord;
use crate::metric::{Distribution, Histograms, Metric, Percentiles, ValuesRecord};
use crate::phase::Phase;
use crate::reaction::Outcome;
use crate::verdict::Verdict;

/// Version of the record's format; grows with every change that affects readers.
pub const FORMAT_VERSION: u32 = 2;

/// How complete a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// The run has started; a final record with this value was cut short (crash, full disk, power).
    #[default]
    Partial,
    /// The plan was carried out.
    Complete,
    /// The user interrupted the run.
    Interrupted,
    /// The broker went down.
    BrokerDown,
    /// The run reached its time limit.
    OutOfTime,
    /// The record could not be written completely.
    RecordFailed,
}

/// Where a setting came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingSource {
    /// The command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The file given by `--config`.
    File,
    /// The built-in default.
    Default,
}

/// Placeholder for a value that is or may contain a secret.
pub const WITHHELD: &str = "***";

/// One setting of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// The value as text; `***` for one that is or may contain a secret.
    pub value: String,
    /// The further values of a flag that was repeated; empty for most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<String>,
    /// Where it came from.
    pub source: SettingSource,
}

impl Setting {
    /// A setting with a single value.
    #[must_use]
    pub fn new(value: impl Into<String>, source: SettingSource) -> Self {
        Self { value: value.into(), source, further: Vec::new() }
    }

    /// All its values.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.value).chain(&self.further).map(String::as_str)
    }
}

/// The program that made the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolRecord {
    /// The binary's name, such as `ungraceful-double-connect`.
    pub name: String,
    /// The mode, such as `storm`; absent for a binary without modes.
    #[serde(default)]
    pub mode: Option<String>,
    /// Its version.
    pub version: String,
    /// The commit of the build; absent for a build outside a checkout.
    pub commit: Option<String>,
    /// Whether `--variant` chooses its cases; otherwise other flags set their number or times.
    #[serde(default)]
    pub chooses_variants: bool,
    /// Its arguments that are no flags, such as scenarios or files; empty for most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Whether such an argument names a fault.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chooses_faults: bool,
}

/// The generator's machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostRecord {
    /// Kernel name and release.
    pub kernel: String,
    /// Processor cores that this process may use.
    pub cores: u64,
    /// Soft limit of open file descriptors, after it was raised.
    pub descriptor_limit: u64,
    /// First and last local port that the kernel assigns; absent when unknown.
    pub port_range: Option<(u16, u16)>,
    /// The kernel's clock source; absent when unknown.
    pub clock_source: Option<String>,
    /// Generator threads for faults; one more runs the honest clients.
    pub worker_threads: u64,
}

/// Support for one protocol version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionRecord {
    /// MQTT version.
    pub version: String,
    /// Whether the broker accepted a CONNECT of this version.
    pub spoken: bool,
    /// Why it is not supported; absent when it is.
    pub why_not: Option<String>,
    /// The CONNACK's properties by their standard names (MQTT 5.0).
    pub connack_properties: BTreeMap<String, String>,
    /// From the CONNECT handed to the kernel to the complete CONNACK; one sample.
    pub connack_time_us: Option<u64>,
}

/// The origin of the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BrokerOrigin {
    /// The embedded broker, as our child process.
    Embedded,
    /// An installed broker, started for the run.
    Spawned,
    /// A broker that was already running.
    #[default]
    External,
}

/// A number that the broker published about itself, in the broker's unit. Brokers publish every few seconds, so a value may be
/// that old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SysRecord {
    /// The last value before the fault phase; absent without one.
    pub before: Option<i64>,
    /// The last value of the run.
    pub after: Option<i64>,
}

/// The QoS that the broker served before the run, where it is lower than its CONNACK says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QosLimitRecord {
    /// The highest QoS at which a message was acknowledged and delivered.
    pub maximum_qos: u8,
    /// What happened at the next one.
    pub because: String,
}

impl QosLimitRecord {
    /// The limit, its reason and its consequence as text.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!(
            "the broker serves at most QoS {} (at QoS {}: {}); bystanders, Wills and faults stay within it",
            self.maximum_qos,
            self.maximum_qos + 1,
            self.because
        )
    }
}

/// The broker under test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokerRecord {
    /// Its origin.
    pub origin: BrokerOrigin,
    /// Its name or version, as far as known: as it reports, or as it was started.
    pub name: Option<String>,
    /// `host:port` as given by the user.
    pub target: String,
    /// The address of the connections.
    pub address: String,
    /// TLS to the broker; absent for plain TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsRecord>,
    /// WebSocket to the broker, over TLS if there is TLS; absent without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket: Option<WebSocketRecord>,
    /// Process id; absent when unknown.
    pub pid: Option<u32>,
    /// The system's name of the process, at most 15 bytes; absent when unknown or unreadable.
    #[serde(default)]
    pub process_name: Option<String>,
    /// The supported and unsupported versions.
    pub versions: Vec<VersionRecord>,
    /// Its further nodes or listeners, where the user named several hosts; empty otherwise, and in records of earlier versions. A
    /// version that one of them does not support is unsupported in `versions`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_nodes: Vec<NodeRecord>,
    /// The QoS that it served before the run, where it is lower than its CONNACK says, the lowest of several hosts; absent otherwise.
    /// Honest clients, Wills and faults stay within it.
    #[serde(default)]
    pub qos_limit: Option<QosLimitRecord>,
    /// The value of `$SYS/broker/version`; absent when not published.
    pub sys_version: Option<String>,
    /// Whole numbers published below `$SYS/broker`, by Topic Name, at most 64 topics; empty when none are published or the
    /// subscription is refused.
    #[serde(default)]
    pub sys: BTreeMap<String, SysRecord>,
    /// When it last published anything below `$SYS/broker`, in µs since the run's start; the values of `sys` are no older.
    /// Absent when it never did, and in records of earlier versions.
    #[serde(default)]
    pub sys_last_heard_us: Option<u64>,
    /// Connections of honest clients (bystanders and witness) that ended while no restart was planned.
    #[serde(default)]
    pub honest_connections_lost: u64,
    /// How its process ended during the run; absent when it did not, or for an external broker.
    pub exit: Option<String>,
}

/// A node or listener of the broker, after the first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeRecord {
    /// `host:port` as given by the user.
    pub target: String,
    /// The address of the connections.
    pub address: String,
    /// Its supported and unsupported versions, and what its CONNACKs said.
    pub versions: Vec<VersionRecord>,
}

/// TLS to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TlsRecord {
    /// Whether any certificate of the broker was accepted (`--insecure`).
    pub insecure: bool,
}

/// WebSocket to a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebSocketRecord {
    /// The path, without its query, which may hold a token.
    pub path: String,
}

/// The transport, to follow a broker's address; empty for plain TCP.
#[must_use]
pub fn transport(tls: Option<TlsRecord>, websocket: Option<&WebSocketRecord>) -> String {
    let layers = match (websocket, tls) {
        (None, None) => return String::new(),
        (None, Some(_)) => "TLS",
        (Some(_), None) => "WebSocket",
        (Some(_), Some(_)) => "WebSocket and TLS",
    };
    let path = websocket.map(|websocket| format!(" (path {})", websocket.path)).unwrap_or_default();
    let insecure = tls.is_some_and(|tls| tls.insecure);
    let unverified = if insecure { ", certificate not verified (--insecure)" } else { "" };
    format!(" over {layers}{path}{unverified}")
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseRecord {
    /// The phase.
    pub phase: Phase,
    /// When it began, in µs since the run's start.
    pub began_us: u64,
    /// When it ended.
    pub ended_us: u64,
}

/// The fate of the Wills of one case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WillRecord {
    /// Attempts that set a Will and waited for it; not those cut short by the end of the run.
    pub set: u64,
    /// Attempts after which the standard requires its publication.
    pub due: u64,
    /// Of these, those for which the witness received the Will of the accepted CONNECT.
    pub due_and_seen: u64,
    /// Attempts with a received Will that was not due.
    pub not_due_and_seen: u64,
    /// Attempts for which the Will of the accepted CONNECT was received more than once.
    pub more_than_once: u64,
    /// Attempts for which the Will of a later CONNECT was received.
    pub of_later_connect: u64,
    /// Attempts for which a Will was received before the attempt acted, for example when the broker ended the connection
    /// earlier. Not counted elsewhere.
    #[serde(default)]
    pub seen_before: u64,
    /// The shortest time that the witness waited for a due Will in vain; absent when all were received.
    pub shortest_wait_of_unseen_us: Option<u64>,
    /// From the provoking byte handed to the kernel until the witness received the Will of the accepted CONNECT.
    pub will_time: Percentiles,
}

/// When the attempts of a case reached a milestone, in µs from their due time on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MilestoneRecord {
    /// Attempts that acted, all of which should reach it.
    pub of: u64,
    /// How many did.
    pub reached: u64,
    /// When half had; absent when fewer did.
    pub half_us: Option<u64>,
    /// When 95 % had; absent when fewer did.
    pub percent_95_us: Option<u64>,
    /// When all had; absent when one did not.
    pub all_us: Option<u64>,
    /// When the last one did; absent when none did.
    pub last_us: Option<u64>,
}

/// A planned restart of the broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutageRecord {
    /// When the restart began, in µs since the run's start.
    pub began_us: u64,
    /// When the broker accepted connections again; absent when it did not.
    pub ended_us: Option<u64>,
    /// The means, as text.
    pub by: String,
}

/// A wave: all attempts of a case, acting at one instant after the previous wave was over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaveRecord {
    /// The case.
    #[serde(flatten)]
    pub case: Case,
    /// When it acted, in µs since the run's start.
    pub began_us: u64,
    /// When its last attempt ended; absent when the run stopped before.
    pub ended_us: Option<u64>,
    /// The outage at its begin; absent when none was planned.
    pub outage: Option<OutageRecord>,
    /// Bystander messages due in it.
    pub bystander_messages_due: u64,
    /// From due to delivered, for the delivered ones.
    pub bystander_response_time: Percentiles,
    /// The broker's resident memory when the wave acted; absent when its process is unknown.
    pub rss_bytes_before: Option<u64>,
    /// The largest sample, taken once a second and at its end.
    pub rss_bytes_max: Option<u64>,
}

/// The effect of planned outages on the bystanders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BystanderOutagesRecord {
    /// Planned outages.
    pub outages: u64,
    /// Connections that the bystanders lost in them; these are not among `connections_lost`.
    pub connections_lost: u64,
    /// Connections that were restored (accepted and, for a subscriber, subscribed).
    pub came_back: u64,
    /// The longest absence, in µs; absent when none was restored.
    pub longest_away_us: Option<u64>,
}

/// Everything about one case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseRecord {
    /// The case.
    #[serde(flatten)]
    pub case: Case,
    /// Attempts in the plan.
    pub planned: u64,
    /// Attempts that never started: too late, or the run was stopped. In a stopped run also unfinished attempts.
    pub dropped: u64,
    /// Attempts that started and ended.
    pub finished: u64,
    /// Attempts by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Reactions by label.
    pub reactions: BTreeMap<String, u64>,
    /// Attempts by their sequence of reactions.
    pub sequences: BTreeMap<String, u64>,
    /// Attempts that received a DISCONNECT, by Reason Code; an attempt with two codes counts for each.
    pub disconnect_codes: BTreeMap<u8, u64>,
    /// Attempts that received an extra CONNACK.
    pub attempts_with_second_connack: u64,
    /// The first attempts with each sequence, to look up in `attempts.ndjson`.
    pub examples: BTreeMap<String, Vec<u64>>,
    /// Facts of this fault: counts by name and value.
    pub facts: BTreeMap<String, BTreeMap<String, u64>>,
    /// Measures of this fault. A name ends in the unit (`_us`, `_bytes`, `_permille`); without one it is a count.
    pub measures: BTreeMap<String, Distribution>,
    /// The milestones of this fault, by name; may be empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub milestones: BTreeMap<String, MilestoneRecord>,
    /// The fate of the attempts' own Application Messages, by QoS; empty when the fault sends none.
    pub messages: BTreeMap<u8, LedgerCounts>,
    /// Reasons why attempts did not act, with counts.
    pub troubles: BTreeMap<String, u64>,
    /// From the provoking byte handed to the kernel to the first reaction.
    pub reaction_time: Percentiles,
    /// From the provoking byte handed to the kernel to the end of stream.
    pub time_to_close: Percentiles,
    /// From the complete TCP handshake to the complete CONNACK.
    pub connack_time: Percentiles,
    /// The Wills; absent when the case sets none.
    pub will: Option<WillRecord>,
    /// What a scenario expects of the broker; empty for other faults.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub expects: Vec<Expectation>,
    /// The histograms of the figures above, for an exact merge; absent in older records.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sums: Option<CaseSums>,
}

/// What the attempts of a case measured, as histograms: what a percentile alone does not keep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseSums {
    /// Attempts that acted.
    pub acted: u64,
    /// Of the reaction times.
    #[serde(skip_serializing_if = "Encoded::is_empty", default)]
    pub reaction_time: Encoded,
    /// Of the times to close.
    #[serde(skip_serializing_if = "Encoded::is_empty", default)]
    pub time_to_close: Encoded,
    /// Of the CONNACK times.
    #[serde(skip_serializing_if = "Encoded::is_empty", default)]
    pub connack_time: Encoded,
    /// Of the times of the Wills.
    #[serde(skip_serializing_if = "Encoded::is_empty", default)]
    pub will_time: Encoded,
    /// The values of each measure, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub measures: BTreeMap<String, ValuesRecord>,
    /// The times of each milestone, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub milestones: BTreeMap<String, ValuesRecord>,
}

impl CaseRecord {
    /// Number of attempts with this outcome.
    #[must_use]
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome.name()).copied().unwrap_or(0)
    }

    /// Number of attempts whose connection the broker ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.outcome(Outcome::Closed) + self.outcome(Outcome::Reset)
    }
}

/// The bystanders in one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BystanderPhaseRecord {
    /// The phase; a message belongs to the one in which it was due.
    pub phase: Phase,
    /// From due to delivered: all QoS together.
    pub response_time: Percentiles,
    /// From given to the publisher's client library to delivered: all QoS together. For the same messages as the response time,
    /// and never longer.
    pub service_time: Percentiles,
    /// From written to acknowledged: QoS 1 and 2 together.
    #[serde(default)]
    pub acknowledge_time: Percentiles,
    /// The fate of the messages, by QoS.
    pub by_qos: BTreeMap<u8, LedgerCounts>,
}

impl BystanderPhaseRecord {
    /// A phase with these times and fates of messages.
    #[must_use]
    pub fn of(phase: Phase, histograms: &Histograms, by_qos: BTreeMap<u8, LedgerCounts>) -> Self {
        let percentiles = |metric| histograms.of(metric, phase).map(Percentiles::of).unwrap_or_default();
        Self {
            phase,
            response_time: percentiles(Metric::BystanderResponseTime),
            service_time: percentiles(Metric::BystanderServiceTime),
            acknowledge_time: percentiles(Metric::BystanderAcknowledgeTime),
            by_qos,
        }
    }
}

/// How the wait for messages in flight at the run's end finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Drain {
    /// The fate of every message was known in time.
    Settled,
    /// The wait timed out, and nothing arrived in its last seconds.
    Quiet,
    /// The wait timed out while messages were still arriving: the broker is slow, and the missing ones may have been in flight.
    StillArriving,
}

/// One or several irregular messages of the bystanders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IrregularityRecord {
    /// Number of the publisher-subscriber pair, from 0.
    pub pair: u64,
    /// QoS of the pair.
    pub qos: u8,
    /// The phase in which the message, or the first of several, was due.
    pub phase: Phase,
    /// When it was due, in µs since the run's start.
    pub due_us: u64,
    /// The irregularity.
    #[serde(flatten)]
    pub irregularity: Irregularity,
}

/// The bystanders of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BystandersRecord {
    /// Publisher-subscriber pairs.
    pub pairs: u64,
    /// Messages per second and pair.
    pub rate_per_pair: u64,
    /// Their MQTT version.
    pub version: String,
    /// Per measured phase.
    pub phases: Vec<BystanderPhaseRecord>,
    /// Lost connections, by the reasons of the client library.
    pub connections_lost: BTreeMap<String, u64>,
    /// The effect of planned outages; absent when none was planned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outages: Option<BystanderOutagesRecord>,
    /// Irregular messages of the measured phases: the first 100 entries of each kind, by due time.
    #[serde(default)]
    pub irregularities: Vec<IrregularityRecord>,
    /// Unlisted irregular messages (or copies, for duplicates), by kind.
    #[serde(default)]
    pub irregularities_left_out: BTreeMap<IrregularityKind, u64>,
    /// Pairs whose subscriber was granted or served at a lower QoS than requested.
    #[serde(default)]
    pub pairs_below_qos: u64,
    /// How the wait for messages in flight at the end finished; absent when not recorded.
    #[serde(default)]
    pub drain: Option<Drain>,
    /// The response limit for recovery: three times the baseline's p99 (its maximum with too few samples), and at least five
    /// milliseconds more.
    pub recovery_limit_us: Option<u64>,
    /// From the end of the fault phase to the first second in which 99 % of the messages kept that limit; absent without such a
    /// second.
    pub recovery_time_us: Option<u64>,
}

/// A skipped case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOutRecord {
    /// The case.
    pub case: Case,
    /// The reason, as text.
    pub why: String,
}

/// The witness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WitnessRecord {
    /// Whether it received the proof messages before and after the fault phase. Without, its silence proves nothing.
    pub proved: bool,
    /// Messages that arrived after the wait for them had ended.
    pub unexpected: u64,
}

/// A slope per 1,000 attempts with its 95 % confidence interval. The unit is that of the quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlopeRecord {
    /// By ordinary least squares, to a thousandth.
    pub estimate: f64,
    /// Lower end of the interval, by Student's t.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Number of samples, at least 5.
    pub samples: u64,
}

/// A quantity of the broker's process over the run, with the unit in the name of its field. A value is absent when the process
/// could not be read, or the run ended before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantityRecord {
    /// When the baseline ended and the fault phase began; for a load, before its first client connected.
    pub before_fault: Option<u64>,
    /// The largest sample in the fault phase, taken once a second and at its begin and end; for a load, also before its first
    /// client connected.
    pub max: Option<u64>,
    /// When the fault phase ended.
    pub after_fault: Option<u64>,
    /// When the recovery ended, with the bystanders still connected.
    pub after_recovery: Option<u64>,
    /// `after_recovery` minus `before_fault`.
    pub change: Option<i64>,
    /// The growth over the fault phase: once-a-second samples against the number of finished attempts. Absent with fewer than 5
    /// samples, or when no attempt ended between them. Successive samples are not independent (memory is allocated and freed
    /// in steps), so the interval is optimistic: the true one is wider.
    pub per_1000_attempts: Option<SlopeRecord>,
}

/// Resources of the broker's process, excluding child processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BrokerResourcesRecord {
    /// Samples taken in the fault phase, one a second.
    pub samples: u64,
    /// Resident memory, in bytes.
    pub rss_bytes: QuantityRecord,
    /// Open file descriptors; all absent where `/proc/PID/fd` can't be read, as with another user's process.
    pub descriptors: QuantityRecord,
    /// CPU time used while a load's clients connected (and in its warm-up, with bystanders); absent without a load.
    #[serde(default)]
    pub cpu_us_connecting: Option<u64>,
    /// CPU time used in the baseline phase, in steps of the kernel's tick (mostly 10 ms).
    pub cpu_us_baseline_phase: Option<u64>,
    /// CPU time used in the fault phase.
    pub cpu_us_fault_phase: Option<u64>,
}

/// A cause in the broker's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogCauseRecord {
    /// The cause, as `ungraceful explain --list` names it, such as `double-connect`.
    pub cause: String,
    /// Attempts with this cause, by their most precise line.
    pub attempts: u64,
    /// The first of them; `attempts.ndjson` has the cause of each.
    pub example_attempt: u64,
}

/// A phrase of the broker's log: lines that differ only in numbers, ids, addresses and ClientIDs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogPhraseRecord {
    /// The line without its time, with placeholders such as `<client>` or `<n>`. Text of the broker: escape it before showing
    /// it.
    pub phrase: String,
    /// Number of lines.
    pub lines: u64,
    /// The first attempt named in such a line; absent without one.
    pub example_attempt: Option<u64>,
}

/// A line of `broker-log.ndjson`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokerLogLine {
    /// When it was read, in µs since the run's start: at most a tenth of a second after the broker wrote it.
    pub at_us: u64,
    /// The line, at most 1,024 bytes. Invalid UTF-8 is replaced; control characters are kept, so escape it before showing it.
    pub line: String,
    /// The attempts whose ClientID (or that of their helper) is a separate word in the line; otherwise the attempt of the
    /// connection in the line, as known from an earlier line.
    pub attempts: Vec<u64>,
    /// The cause in the line, as `ungraceful explain --list` names it; absent without a known one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// The broker's log during the run. The lines are in `broker-log.ndjson`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokerLogRecord {
    /// The file.
    pub path: String,
    /// Lines in `broker-log.ndjson`.
    pub lines_kept: u64,
    /// Lines omitted from it because of `--broker-log-max`, of which lines without attempts may use half. They count below.
    pub lines_left_out: u64,
    /// Lines truncated to 1,024 bytes.
    pub lines_cut: u64,
    /// Lines that name the ClientID of an attempt, or its connection.
    pub lines_that_name_an_attempt: u64,
    /// Attempts named in a line.
    pub attempts_named: u64,
    /// Bytes that were never read, because the broker wrote too fast.
    pub bytes_unread: u64,
    /// How often the file was truncated or replaced.
    pub begun_anew: u64,
    /// Why it could not be read completely; absent when it could.
    pub trouble: Option<String>,
    /// The 20 most frequent phrases, most frequent first; at most 10 without attempts, unless there are fewer others.
    pub phrases: Vec<LogPhraseRecord>,
    /// The causes in lines that name attempts, as found by `ungraceful explain`, most frequent first; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<LogCauseRecord>,
}

/// The reliability of the generator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorRecord {
    /// From due until the generator handled it, over all measured phases.
    pub schedule_slip: Percentiles,
    /// How late the generator threads' own tick ran.
    pub loop_lag: Percentiles,
    /// The clocks of attempts' instants. All zero in a run without attempts.
    #[serde(default)]
    pub clock: ClockRecord,
    /// CPU time of this process, and of a load's worker processes, from the baseline's begin to the recovery's end, in µs.
    pub cpu_us: Option<u64>,
    /// Attempts that started late because all `--count` clients were busy.
    pub attempts_waited_for_a_client: u64,
    /// Received data that was discarded to limit memory.
    #[serde(default)]
    pub discarded: Discarded,
    /// Why figures of this run are unreliable; empty when the generator kept up.
    pub bottlenecks: Vec<String>,
}

/// The clocks of attempts' instants: the kernel stamps segments as they leave or arrive; otherwise this program reads its clock
/// just before a write and after a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClockRecord {
    /// Sends and reads that the kernel stamped.
    pub kernel_stamped: u64,
    /// Sends and reads that this program stamped.
    pub program_stamped: u64,
    /// Ends of connections (FIN, RST) that the kernel stamped, which needs packet sockets (CAP_NET_RAW).
    pub kernel_stamped_ends: u64,
    /// Ends of connections that this program stamped.
    pub program_stamped_ends: u64,
    /// How much later than the kernel's stamp this program saw data: the lateness of instants that it stamped itself.
    pub seen_late: Percentiles,
}

/// How many attempts there were, and how many are in `attempts.ndjson`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptsRecord {
    /// In the plan.
    pub planned: u64,
    /// Started and ended.
    pub finished: u64,
    /// Never started.
    pub dropped: u64,
    /// Lines in `attempts.ndjson`.
    pub written: u64,
    /// Ended, and omitted from the file because of `--attempts-max`.
    pub left_out: u64,
}

/// Counts and percentiles of one metric in one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetricRecord {
    /// The metric.
    pub metric: Metric,
    /// The phase.
    pub phase: Phase,
    /// The distribution.
    #[serde(flatten)]
    pub percentiles: Percentiles,
}

/// Histograms of a run that are in none of its files: what a percentile alone does not keep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunSums {
    /// Of `generator.clock.seen_late`.
    #[serde(skip_serializing_if = "Encoded::is_empty", default)]
    pub seen_late: Encoded,
    /// Of the response times of the bystanders in each of `waves`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub wave_response_times: Vec<Encoded>,
}

impl RunSums {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl MetricRecord {
    /// Each metric in each phase that has samples.
    #[must_use]
    pub fn of_each(histograms: &Histograms) -> Vec<Self> {
        let record = |(metric, phase, times)| Self { metric, phase, percentiles: Percentiles::of(times) };
        histograms.iter().map(record).collect()
    }
}

/// The record of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// See [`FORMAT_VERSION`].
    pub format_version: u32,
    /// How complete it is.
    pub completeness: Completeness,
    /// Why it is not complete; absent when it is.
    pub incomplete_because: Option<String>,
    /// The program that made it.
    pub tool: ToolRecord,
    /// The command line, without secrets.
    pub command: Vec<String>,
    /// All settings with their source.
    pub settings: BTreeMap<String, Setting>,
    /// The seed.
    pub seed: u64,
    /// The run's start in UTC (RFC 3339).
    pub started_utc: String,
    /// The duration of the run.
    pub duration_us: u64,
    /// The machine.
    pub host: HostRecord,
    /// The broker.
    pub broker: BrokerRecord,
    /// The phases.
    pub phases: Vec<PhaseRecord>,
    /// Attempts in numbers.
    pub attempts: AttemptsRecord,
    /// Every case.
    pub cases: Vec<CaseRecord>,
    /// Cases skipped because the broker does not support what they need.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cases_left_out: Vec<LeftOutRecord>,
    /// The waves of the cases, in order; empty when all cases took turns.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub waves: Vec<WaveRecord>,
    /// Reaction times of all cases together.
    pub reaction_time: Percentiles,
    /// The measures of all cases together, by name.
    #[serde(default)]
    pub measures: BTreeMap<String, Distribution>,
    /// The bystanders; absent when there were none.
    pub bystanders: Option<BystandersRecord>,
    /// The witness; absent in a record that was cut short.
    pub witness: Option<WitnessRecord>,
    /// The load; absent in a run that makes none.
    #[serde(default)]
    pub load: Option<LoadRecord>,
    /// Resources of the broker's process; absent when it is unknown (`--broker-pid`).
    pub broker_resources: Option<BrokerResourcesRecord>,
    /// The broker's log; absent when it is unknown (`--broker-log`), and in a record that was cut short.
    pub broker_log: Option<BrokerLogRecord>,
    /// The generator.
    pub generator: GeneratorRecord,
    /// Every metric by phase.
    pub metrics: Vec<MetricRecord>,
    /// Histograms for an exact merge; empty in older records.
    #[serde(skip_serializing_if = "RunSums::is_empty", default)]
    pub sums: RunSums,
    /// The shards of which it was merged; absent in the record of one run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub merged: Option<MergedRecord>,
    /// The verdicts. Judging the record again replaces them.
    pub verdicts: Vec<Verdict>,
    /// Known deviations that the user accepts.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub accepted: Vec<Accepted>,
}

/// The start of every generated ClientID of a run with this `--client-id-prefix`.
#[must_use]
pub fn generated_client_id_prefix(prefix: &str, seed: u64) -> String {
    format!("{prefix}{:05x}", seed & 0xF_FFFF)
}

/// The JSON Schema of `run.json`, published in `docs/reference`.
#[must_use]
pub fn json_schema() -> Value {
    schemars::schema_for!(Record).to_value()
}
