//! The record: everything a run saw, in `run.json`. Checks and reports read this and nothing else, so a run can
//! be judged and shown again without a broker.
//!
//! Instants and durations are integer µs, with the unit in the name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attempt::Case;
use crate::discarded::Discarded;
use crate::ledger::{Irregularity, IrregularityKind, LedgerCounts};
use crate::load::LoadRecord;
use crate::metric::{Distribution, Metric, Percentiles};
use crate::phase::Phase;
use crate::reaction::Outcome;
use crate::verdict::Verdict;

/// Version of the record's format; grows with every change that a reader must know of.
pub const FORMAT_VERSION: u32 = 2;

/// How complete a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// The run was begun; a record that still says so was cut short (crash, full disk, power).
    #[default]
    Partial,
    /// The plan was carried out.
    Complete,
    /// The user interrupted the run.
    Interrupted,
    /// The broker went down.
    BrokerDown,
    /// The run reached the longest time that it may take.
    OutOfTime,
    /// The record could not be written to its end.
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
    /// Nobody set it.
    Default,
}

/// What stands for the value of a setting that is a secret, or may hold one.
pub const WITHHELD: &str = "***";

/// One setting of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// The value as text; `***` for a secret, or what may hold one.
    pub value: String,
    /// Who set it.
    pub source: SettingSource,
}

/// The program that made the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolRecord {
    /// The binary's name, such as `ungraceful-double-connect`.
    pub name: String,
    /// The mode it ran in, such as `storm`; absent for a binary that has one alone.
    #[serde(default)]
    pub mode: Option<String>,
    /// Its version.
    pub version: String,
    /// The commit it was built from; absent when it was built outside a checkout.
    pub commit: Option<String>,
    /// Whether its cases are chosen by `--variant`; otherwise other flags set their number or their times.
    #[serde(default)]
    pub chooses_variants: bool,
}

/// The machine that the generator ran on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostRecord {
    /// Kernel name and release.
    pub kernel: String,
    /// Processor cores that this process may use.
    pub cores: u64,
    /// Soft limit of open file descriptors, after it was raised.
    pub descriptor_limit: u64,
    /// First and last local port that the kernel gives out; absent where it can't be told.
    pub port_range: Option<(u16, u16)>,
    /// The kernel's clock source; absent where it can't be told.
    pub clock_source: Option<String>,
    /// Generator threads for faults; one more carries the honest clients.
    pub worker_threads: u64,
}

/// What is known of one protocol version on the broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionRecord {
    /// MQTT version.
    pub version: String,
    /// Whether the broker accepted a CONNECT of this version.
    pub spoken: bool,
    /// Why it is not spoken; absent when it is.
    pub why_not: Option<String>,
    /// The CONNACK's properties by the standard's name (MQTT 5.0).
    pub connack_properties: BTreeMap<String, String>,
    /// CONNECT handed to the kernel, until the CONNACK was complete; one sample.
    pub connack_time_us: Option<u64>,
}

/// How the broker was come by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BrokerOrigin {
    /// The embedded broker, as our child process.
    Embedded,
    /// An installed broker that we started.
    Spawned,
    /// It ran already.
    #[default]
    External,
}

/// A number that the broker published about itself. Its unit is the broker's; brokers publish every few seconds, so
/// either value may be as old as that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SysRecord {
    /// The last value before the fault phase; absent when there was none yet.
    pub before: Option<i64>,
    /// The last value of the run.
    pub after: Option<i64>,
}

/// The QoS that the broker was seen to serve before the run, where that is less than its CONNACK says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QosLimitRecord {
    /// The highest QoS at which a message was acknowledged and came back.
    pub maximum_qos: u8,
    /// What happened at the next one.
    pub because: String,
}

impl QosLimitRecord {
    /// What is served, what not and why, and who keeps to it.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!(
            "the broker serves QoS {} at the most (at QoS {}: {}); bystanders, Wills and faults keep to it",
            self.maximum_qos,
            self.maximum_qos + 1,
            self.because
        )
    }
}

/// The broker under test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokerRecord {
    /// How it was come by.
    pub origin: BrokerOrigin,
    /// What it is, as far as it is known: its own words, or the name under which we started it.
    pub name: Option<String>,
    /// `host:port` as the user named it.
    pub target: String,
    /// The address that connections went to.
    pub address: String,
    /// Process id, when it is known.
    pub pid: Option<u32>,
    /// What the system calls this process, at most 15 bytes; absent when the id is not known or the process could not be
    /// read.
    #[serde(default)]
    pub process_name: Option<String>,
    /// What it answered to each version.
    pub versions: Vec<VersionRecord>,
    /// What QoS it was seen to serve before the run, where that is less than it says; absent when it serves what it says.
    /// Honest clients, Wills and faults keep to it.
    #[serde(default)]
    pub qos_limit: Option<QosLimitRecord>,
    /// What it published on `$SYS/broker/version`; absent when it published nothing there.
    pub sys_version: Option<String>,
    /// What it published below `$SYS/broker` as a whole number, by Topic Name, at most 64 topics; empty when it publishes
    /// nothing there or lets nobody subscribe.
    #[serde(default)]
    pub sys: BTreeMap<String, SysRecord>,
    /// When it last published anything below `$SYS/broker`, numbers or not, in µs since the run's start: as old are the values of
    /// `sys` at the most. Absent when it never did, and in records of earlier versions.
    #[serde(default)]
    pub sys_last_heard_us: Option<u64>,
    /// Connections of honest clients that ended while no restart was planned: those of the bystanders, and of the witness, which
    /// is there in a run without bystanders, too.
    #[serde(default)]
    pub honest_connections_lost: u64,
    /// How its process ended during the run; absent when it did not or is not ours.
    pub exit: Option<String>,
}

/// One phase as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseRecord {
    /// Which.
    pub phase: Phase,
    /// When it began, in µs since the run's start.
    pub began_us: u64,
    /// When it ended.
    pub ended_us: u64,
}

/// What became of the Wills of one case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WillRecord {
    /// Attempts that set a Will and waited for it; without those that the end of the run cut short.
    pub set: u64,
    /// Attempts after which the standard wants it published.
    pub due: u64,
    /// Of these, those for which the witness received the Will of the CONNECT that was accepted.
    pub due_and_seen: u64,
    /// Attempts after which it was not due and came all the same.
    pub not_due_and_seen: u64,
    /// Attempts for which the Will of the CONNECT that was accepted came more than once.
    pub more_than_once: u64,
    /// Attempts for which the Will of a later CONNECT came.
    pub of_later_connect: u64,
    /// Attempts for which a Will came before the attempt's own act, as that of a connection does which the broker ended
    /// earlier. It counts nowhere else.
    #[serde(default)]
    pub seen_before: u64,
    /// The shortest time that the witness waited for a Will that was due and did not come; absent when all
    /// came.
    pub shortest_wait_of_unseen_us: Option<u64>,
    /// Provoking byte handed to the kernel, until the witness received the Will of the CONNECT that was accepted.
    pub will_time: Percentiles,
}

/// When the attempts of a case reached what each of them is to reach, in µs from their due time on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MilestoneRecord {
    /// Attempts that acted: all of these are to reach it.
    pub of: u64,
    /// How many did.
    pub reached: u64,
    /// When half of all had; absent when fewer did.
    pub half_us: Option<u64>,
    /// When 95 of a hundred had; absent when fewer did.
    pub percent_95_us: Option<u64>,
    /// When all had; absent when one did not.
    pub all_us: Option<u64>,
    /// When the last of those that did had; absent when none did.
    pub last_us: Option<u64>,
}

/// A planned outage: the run had the broker restarted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutageRecord {
    /// When the restart was begun, in µs since the run's start.
    pub began_us: u64,
    /// When the broker accepted connections again; absent when it did not.
    pub ended_us: Option<u64>,
    /// By which means, in words.
    pub by: String,
}

/// A wave: all attempts of a case, which acted at one instant, when nothing was left of the wave before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaveRecord {
    /// Which fault, variant and version.
    #[serde(flatten)]
    pub case: Case,
    /// When it acted, in µs since the run's start.
    pub began_us: u64,
    /// When its last attempt had ended; absent when the run stopped before.
    pub ended_us: Option<u64>,
    /// The outage that it began with; absent when none was planned.
    pub outage: Option<OutageRecord>,
    /// Messages of the bystanders that fell due in it.
    pub bystander_messages_due: u64,
    /// Due, until delivered, of those of them that were.
    pub bystander_response_time: Percentiles,
    /// The broker's resident memory when it acted; absent when its process is not known.
    pub rss_bytes_before: Option<u64>,
    /// The largest value seen in it, by samples once a second and at its end.
    pub rss_bytes_max: Option<u64>,
}

/// What planned outages did to the bystanders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BystanderOutagesRecord {
    /// Planned outages.
    pub outages: u64,
    /// Connections that the bystanders lost in them; these are not among `connections_lost`.
    pub connections_lost: u64,
    /// Connections that were there again (accepted, and for a subscriber subscribed).
    pub came_back: u64,
    /// The longest that one was away, in µs; absent when none came back.
    pub longest_away_us: Option<u64>,
}

/// Everything about one case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseRecord {
    /// Which fault, variant and version.
    #[serde(flatten)]
    pub case: Case,
    /// Attempts in the plan.
    pub planned: u64,
    /// Attempts that were never begun: they could not be begun in time, or the run was stopped. Of a stopped run also those
    /// that were under way and cut.
    pub dropped: u64,
    /// Attempts that were begun and ended.
    pub finished: u64,
    /// Attempts by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Reactions by label, each one counted.
    pub reactions: BTreeMap<String, u64>,
    /// Attempts by their whole sequence of reactions.
    pub sequences: BTreeMap<String, u64>,
    /// Attempts that received a DISCONNECT, by Reason Code; one that received two codes counts for each.
    pub disconnect_codes: BTreeMap<u8, u64>,
    /// Attempts that received a CONNACK beyond the one that was due.
    pub attempts_with_second_connack: u64,
    /// The attempts with the lowest numbers of each sequence, to be looked up in `attempts.ndjson`.
    pub examples: BTreeMap<String, Vec<u64>>,
    /// What only this fault knows about: counts by name and value.
    pub facts: BTreeMap<String, BTreeMap<String, u64>>,
    /// What only this fault measures, over its attempts. A name ends in its unit (`_us`, `_bytes`, `_permille`); without
    /// one it is a count.
    pub measures: BTreeMap<String, Distribution>,
    /// When the attempts reached what each of them is to reach, by name; empty when the fault has no such thing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub milestones: BTreeMap<String, MilestoneRecord>,
    /// What became of the attempts' own Application Messages, by QoS; empty when the fault sends none.
    pub messages: BTreeMap<u8, LedgerCounts>,
    /// Why attempts did not act, with counts.
    pub troubles: BTreeMap<String, u64>,
    /// Provoking byte handed to the kernel, until the first reaction.
    pub reaction_time: Percentiles,
    /// Provoking byte handed to the kernel, until the end of stream.
    pub time_to_close: Percentiles,
    /// TCP handshake complete, until the CONNACK was complete.
    pub connack_time: Percentiles,
    /// The Wills; absent when the case sets none.
    pub will: Option<WillRecord>,
}

impl CaseRecord {
    /// How many attempts ended in `outcome`.
    #[must_use]
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome.name()).copied().unwrap_or(0)
    }

    /// How many attempts had their connection ended by the broker.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.outcome(Outcome::Closed) + self.outcome(Outcome::Reset)
    }
}

/// The bystanders in one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BystanderPhaseRecord {
    /// Which phase; a message belongs to the one in which it was due.
    pub phase: Phase,
    /// Due, until delivered: all QoS together.
    pub response_time: Percentiles,
    /// Given to the publisher's client library, until delivered: all QoS together. Of the same messages as the response time,
    /// and of none longer.
    pub service_time: Percentiles,
    /// Written, until acknowledged: QoS 1 and 2 together.
    #[serde(default)]
    pub acknowledge_time: Percentiles,
    /// What became of the messages, by QoS.
    pub by_qos: BTreeMap<u8, LedgerCounts>,
}

/// How the wait for messages that were still under way at the run's end came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Drain {
    /// What became of every message was known before the time was up.
    Settled,
    /// The time was up, and nothing had arrived any more for the last seconds of it.
    Quiet,
    /// The time was up, and messages were still arriving: the broker is slow, and what had not arrived may have been on
    /// its way.
    StillArriving,
}

/// Which message of the bystanders was not in order, or which ones.
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
    /// What was not in order.
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
    /// The version they speak.
    pub version: String,
    /// Per measured phase.
    pub phases: Vec<BystanderPhaseRecord>,
    /// Connections that they lost, with the reasons the client library gave.
    pub connections_lost: BTreeMap<String, u64>,
    /// What planned outages did to them; absent when none was planned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outages: Option<BystanderOutagesRecord>,
    /// Which messages of the measured phases were not in order: at most 100 entries of each kind, of these the ones that
    /// were due first.
    #[serde(default)]
    pub irregularities: Vec<IrregularityRecord>,
    /// Messages (or, for what came more than once, copies) that were not in order and are not among these, by kind.
    #[serde(default)]
    pub irregularities_left_out: BTreeMap<IrregularityKind, u64>,
    /// Pairs whose subscriber was granted, or served at, a lower QoS than it asked for.
    #[serde(default)]
    pub pairs_below_qos: u64,
    /// How the wait for what was still under way at the end came out; absent where it was not noted.
    #[serde(default)]
    pub drain: Option<Drain>,
    /// The limit that a response had to keep to count as recovered: three times the baseline's p99 (its maximum when there
    /// are too few samples), and five milliseconds more than it at the least.
    pub recovery_limit_us: Option<u64>,
    /// End of the fault phase, until the first second in which 99 % of the messages kept that limit; absent
    /// when they did not within the phase.
    pub recovery_time_us: Option<u64>,
}

/// A case that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOutRecord {
    /// The case.
    pub case: Case,
    /// Why, in words.
    pub why: String,
}

/// The witness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WitnessRecord {
    /// Whether it received the proof messages sent to its topics before the fault phase and after it. Without,
    /// its silence says nothing.
    pub proved: bool,
    /// Messages that came when nobody waited for them any more.
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
    /// Samples that it rests on, at least 5.
    pub samples: u64,
}

/// A quantity of the broker's process over the run. The unit is in the name of the field that holds it; a value is
/// absent when the process could not be read then, or the run did not get that far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantityRecord {
    /// When the baseline ended and the fault phase began; for a load, before its first client connected.
    pub before_fault: Option<u64>,
    /// The largest value seen in the fault phase, by samples once a second and at its begin and end; for a load, also before
    /// its first client connected.
    pub max: Option<u64>,
    /// When the fault phase ended.
    pub after_fault: Option<u64>,
    /// When the recovery ended, with the bystanders still connected.
    pub after_recovery: Option<u64>,
    /// `after_recovery` less `before_fault`: what the fault left behind.
    pub change: Option<i64>,
    /// How it grew over the fault phase: once-a-second samples against the number of attempts that had ended by
    /// then. Absent with fewer than 5 samples, or when no attempt ended between them. Samples that follow one
    /// another are not independent (memory is taken and given back in steps, and keeps for a while what it has), so
    /// the interval is optimistic: the true one is wider.
    pub per_1000_attempts: Option<SlopeRecord>,
}

/// What the run cost the broker's process. Of that process alone: what its child processes use does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BrokerResourcesRecord {
    /// Samples taken in the fault phase, one a second.
    pub samples: u64,
    /// Resident memory, in bytes.
    pub rss_bytes: QuantityRecord,
    /// Open file descriptors; all absent where `/proc/PID/fd` can't be read, as with another user's process.
    pub descriptors: QuantityRecord,
    /// CPU time used while the clients of a load connected (and in its warm-up, beside bystanders); absent without a load.
    #[serde(default)]
    pub cpu_us_connecting: Option<u64>,
    /// CPU time used in the baseline phase, in steps of the kernel's tick (mostly 10 ms).
    pub cpu_us_baseline_phase: Option<u64>,
    /// CPU time used in the fault phase.
    pub cpu_us_fault_phase: Option<u64>,
}

/// A cause that the broker's log tells of attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogCauseRecord {
    /// The cause, as `ungraceful explain --list` names it, such as `double-connect`.
    pub cause: String,
    /// Attempts of which a line tells it. Where several lines tell of one attempt, the one that says most counts.
    pub attempts: u64,
    /// The first of them; `attempts.ndjson` tells the cause of each.
    pub example_attempt: u64,
}

/// A phrase of the broker's log: lines that differ in nothing but numbers, ids, addresses and ClientIDs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogPhraseRecord {
    /// The line, with a placeholder such as `<client>` or `<n>` for what differs, and without its time. Text of the
    /// broker: escape it before showing it.
    pub phrase: String,
    /// Lines of this phrase.
    pub lines: u64,
    /// The first attempt that such a line named; absent when none did.
    pub example_attempt: Option<u64>,
}

/// A line of `broker-log.ndjson`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokerLogLine {
    /// When we read it, in µs since the run's start: at the most a tenth of a second after the broker wrote it.
    pub at_us: u64,
    /// What the broker wrote, at most 1,024 bytes of it. What is no UTF-8 is replaced; control characters are as they
    /// came, so escape it before showing it.
    pub line: String,
    /// The attempts whose ClientID, or that of a helper of theirs, is in the line as a word of its own; where none is, the
    /// attempt of the connection that the line names, as an earlier line told it.
    pub attempts: Vec<u64>,
    /// The cause that the line tells, as `ungraceful explain --list` names it; absent when it tells none that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// What the broker wrote into its log during the run. The lines are in `broker-log.ndjson`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokerLogRecord {
    /// The file.
    pub path: String,
    /// Lines in `broker-log.ndjson`.
    pub lines_kept: u64,
    /// Lines read, and left out of it because of `--broker-log-max`, of which lines that name no attempt may take half.
    /// They count in everything below.
    pub lines_left_out: u64,
    /// Lines that were longer than the 1,024 bytes that are kept of each.
    pub lines_cut: u64,
    /// Lines that name the ClientID of an attempt, or its connection.
    pub lines_that_name_an_attempt: u64,
    /// Attempts that were named by a line.
    pub attempts_named: u64,
    /// What was appended and never read, because the broker wrote faster than we read.
    pub bytes_unread: u64,
    /// Times that the file was truncated, or that another took its place.
    pub begun_anew: u64,
    /// Why it could not be read to its end; absent when it could.
    pub trouble: Option<String>,
    /// The most frequent phrases, at most 20, the most frequent first. Those that name no attempt are at most 10 of
    /// them, unless there are fewer others.
    pub phrases: Vec<LogPhraseRecord>,
    /// What the lines that name attempts say of their connections, as `ungraceful explain` reads them: the most frequent
    /// first. Empty when no such line is of a known kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<LogCauseRecord>,
}

/// Whether the generator itself can be trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorRecord {
    /// Due, until the generator got to it, over all measured phases.
    pub schedule_slip: Percentiles,
    /// How late the generator threads' own tick ran.
    pub loop_lag: Percentiles,
    /// Whose clock the instants of attempts come from. All zero in a run without attempts.
    #[serde(default)]
    pub clock: ClockRecord,
    /// CPU time that this process used from the baseline's begin to the recovery's end, in µs.
    pub cpu_us: Option<u64>,
    /// Attempts that were begun late because all `--count` clients were busy.
    pub attempts_waited_for_a_client: u64,
    /// What the broker sent and was dropped, so that memory stays bounded.
    #[serde(default)]
    pub discarded: Discarded,
    /// Why figures of this run are not to be relied on; empty when the generator kept up.
    pub bottlenecks: Vec<String>,
}

/// Whose clock the instants of attempts come from: the kernel stamps a segment as it leaves or arrives; where it does not,
/// this program reads its clock, just before it writes and as it sees what arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClockRecord {
    /// Sends and reads that the kernel stamped.
    pub kernel_stamped: u64,
    /// Sends and reads that this program stamped.
    pub program_stamped: u64,
    /// Ends of connections (FIN, RST) that the kernel stamped. It takes the right to open packet sockets (CAP_NET_RAW).
    pub kernel_stamped_ends: u64,
    /// Ends of connections that this program stamped.
    pub program_stamped_ends: u64,
    /// By how much this program saw what arrived later than the kernel stamped it: how late the instants are that this
    /// program stamped.
    pub seen_late: Percentiles,
}

/// How many attempts there were, and how many are in `attempts.ndjson`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptsRecord {
    /// In the plan.
    pub planned: u64,
    /// Begun and ended.
    pub finished: u64,
    /// Never begun.
    pub dropped: u64,
    /// Lines in `attempts.ndjson`.
    pub written: u64,
    /// Ended, and left out of the file because of `--attempts-max`.
    pub left_out: u64,
}

/// Counts and percentiles of one metric in one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetricRecord {
    /// What was timed.
    pub metric: Metric,
    /// In which phase.
    pub phase: Phase,
    /// The distribution.
    #[serde(flatten)]
    pub percentiles: Percentiles,
}

/// Everything a run saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// See [`FORMAT_VERSION`].
    pub format_version: u32,
    /// How complete it is.
    pub completeness: Completeness,
    /// Why it is not complete, in words; absent when it is.
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
    /// From the run's start to its end.
    pub duration_us: u64,
    /// The machine.
    pub host: HostRecord,
    /// The broker.
    pub broker: BrokerRecord,
    /// The phases as they were.
    pub phases: Vec<PhaseRecord>,
    /// Attempts in numbers.
    pub attempts: AttemptsRecord,
    /// Every case.
    pub cases: Vec<CaseRecord>,
    /// The cases that were left out, because the broker says that it does not do what they need; empty for most.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cases_left_out: Vec<LeftOutRecord>,
    /// The waves in which the cases acted, in order; empty when all cases took turns.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub waves: Vec<WaveRecord>,
    /// Reaction times of all cases together.
    pub reaction_time: Percentiles,
    /// What faults measured, all cases together; by name as in each case.
    #[serde(default)]
    pub measures: BTreeMap<String, Distribution>,
    /// The bystanders; absent when there were none.
    pub bystanders: Option<BystandersRecord>,
    /// The witness; absent in a record that was cut short. One that could not subscribe is not proved.
    pub witness: Option<WitnessRecord>,
    /// The load; absent in a run that makes none.
    #[serde(default)]
    pub load: Option<LoadRecord>,
    /// What the run cost the broker's process; absent when that is not known (`--broker-pid`).
    pub broker_resources: Option<BrokerResourcesRecord>,
    /// What the broker wrote into its log; absent when its log is not known (`--broker-log`), and in a record that was
    /// cut short.
    pub broker_log: Option<BrokerLogRecord>,
    /// The generator.
    pub generator: GeneratorRecord,
    /// Every metric by phase.
    pub metrics: Vec<MetricRecord>,
    /// The verdicts. Judging the record again replaces them.
    pub verdicts: Vec<Verdict>,
}

/// The JSON Schema of `run.json`, as it is published in `docs/reference`.
#[must_use]
pub fn json_schema() -> Value {
    schemars::schema_for!(Record).to_value()
}
