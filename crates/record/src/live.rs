//! The live view of a run: notes, and a state once a second.

use std::collections::BTreeMap;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::confidence::Confidence;
use crate::metric::Percentiles;
use crate::phase::Phase;
use crate::reaction::ReactionKind;

/// The current state of the run. All counts are of the whole run so far, unless they say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Live {
    /// The second since the run's start that figures of "the last second" belong to, as in `timeline.csv`; absent before the first.
    /// Figures change once a second, when each thread has reported.
    pub second: Option<u64>,
    /// The phase; absent before the first.
    pub phase: Option<Phase>,
    /// When the phase began, in µs since the run's start.
    pub phase_began_us: u64,
    /// How long the phase has lasted, in µs.
    pub phase_elapsed_us: u64,
    /// Its maximum duration, in µs; absent when unknown.
    pub phase_expected_us: Option<u64>,
    /// Attempts in the plan.
    pub attempts_planned: u64,
    /// Attempts that were begun.
    pub attempts_started: u64,
    /// Attempts that ended.
    pub attempts_finished: u64,
    /// Attempts that were dropped because they could not be begun in time.
    pub attempts_dropped: u64,
    /// Connections of attempts, or of the load, that are open.
    pub connections_open: u64,
    /// Attempts by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Reactions of the broker by kind and code, such as `DISCONNECT 0x8E` or `FIN`.
    #[serde(serialize_with = "by_label")]
    #[schemars(with = "BTreeMap<String, u64>")]
    pub reactions: BTreeMap<Reacted, u64>,
    /// From the provoking byte to the first reaction.
    pub reaction_time: Percentiles,
    /// Attempts with a trouble: what hindered them, such as a refused connection.
    pub troubles: u64,
    /// The latest trouble; absent when there was none.
    pub latest_trouble: Option<String>,
    /// Bystander messages that fell due.
    pub bystander_offered: u64,
    /// Bystander messages that were sent.
    pub bystander_sent: u64,
    /// Bystander messages that were delivered for the first time.
    pub bystander_delivered: u64,
    /// Bystanders' response time over the last second, in µs: median, absent without samples.
    pub bystander_p50_us: Option<u64>,
    /// Bystanders' response time over the last second, in µs: 99th percentile, absent below 1,000 samples.
    pub bystander_p99_us: Option<u64>,
    /// Bystanders' response time over the last second, in µs: the largest, absent without samples.
    pub bystander_max_us: Option<u64>,
    /// Bystanders' response time over this phase so far.
    pub bystander_response_time: Percentiles,
    /// Bystanders' response time over the baseline so far.
    pub baseline_response_time: Percentiles,
    /// The load; absent in a run without one.
    pub load: Option<LiveLoad>,
    /// The broker's process; absent when it is not known or gone.
    pub broker: Option<LiveBroker>,
    /// Largest lag of a generator thread's own tick over the last second, in µs; absent when unknown.
    pub generator_lag_us_max: Option<u64>,
}

/// A reaction without its time: its kind, and its Reason Code where it has one.
pub type Reacted = (ReactionKind, Option<u8>);

fn by_label<S: Serializer>(reactions: &BTreeMap<Reacted, u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(reactions.iter().map(|((kind, code), times)| (kind.label(*code, None), times)))
}

/// The broker's process, without its child processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LiveBroker {
    /// CPU time that it used in the last second, in µs; absent before the second sample.
    pub cpu_us: Option<u64>,
    /// CPU time since it began, in µs.
    pub cpu_us_total: u64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// File descriptors that it holds open; absent where `/proc/PID/fd` can't be read.
    pub descriptors: Option<u64>,
}

impl Live {
    /// A run before its start.
    #[must_use]
    pub fn of(attempts_planned: u64, makes_load: bool) -> Self {
        Self { attempts_planned, load: makes_load.then(LiveLoad::default), ..Self::default() }
    }
}

/// The current state of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LiveLoad {
    /// Planned connections.
    pub connections_planned: u64,
    /// Connections that were accepted and, where planned, subscribed.
    pub connections_ready: u64,
    /// Connections that were refused, could not be made, or were lost.
    pub connections_failed: u64,
    /// Messages that fell due.
    pub offered: u64,
    /// Messages that were sent.
    pub sent: u64,
    /// Messages that were acknowledged (QoS 1 and 2).
    pub acknowledged: u64,
    /// Messages that came to a subscriber for the first time.
    pub delivered: u64,
    /// Messages that were sent in the last second.
    pub sent_per_second: u64,
    /// Messages delivered to a subscriber in the last second.
    pub delivered_per_second: u64,
    /// Response time over the last second, in µs: median, absent without samples.
    pub response_p50_us: Option<u64>,
    /// Response time over the last second, in µs: 99th percentile, absent below 1,000 samples.
    pub response_p99_us: Option<u64>,
    /// Messages that are due but not sent.
    pub waiting: u64,
    /// How sure the percentile is that `--until` named, at the last look; absent without it, and before the first.
    pub confidence: Option<Confidence>,
}

/// An observer of a run.
pub trait Observer {
    /// The run's time line begins: this instant is 0 in the record, and `started_us` µs since 1970. Nothing was sent yet.
    fn begin(&mut self, origin: Instant, started_us: i64) {
        let _most_need_no_clock = (origin, started_us);
    }
    /// A note: one line without a line end.
    fn note(&mut self, text: &str);
    /// The state of this second.
    fn view(&mut self, live: &Live);
    /// The run has ended; drawings can be cleared.
    fn end(&mut self);
}

/// No observer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn note(&mut self, _text: &str) {}
    fn view(&mut self, _live: &Live) {}
    fn end(&mut self) {}
}
