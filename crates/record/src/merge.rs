//! Shards made one record: the same call, carried out at the same time by several machines or processes against one broker.
//!
//! Counts add up and percentiles come from merged histograms, so that the result is what one generator had recorded. Instants are
//! moved to the clock of the shard that started first. `ungraceful-report merge` reads and writes the files; judging is the
//! caller's.

mod broker;
mod bystanders;
mod cases;
mod generator;
mod load;
mod placing;
mod refusing;
mod shards;

use std::collections::{BTreeMap, BTreeSet};

use crate::encoded::Encoded;
use crate::files::{METRICS_HLOG, RUN_JSON};
use crate::load::LoadRecord;
use crate::metric::{Histograms, histogram, merge as add};
use crate::phase::Phase;
use crate::run::{
    AttemptsRecord, Completeness, FORMAT_VERSION, HostRecord, MetricRecord, PhaseRecord, Record, RunSums,
    Setting, WitnessRecord,
};

pub use placing::Place;
pub use refusing::{conflicts, refused, unusable};
pub use shards::{MergedRecord, MissingShardRecord, ShardRecord};

/// The record of a shard, and what its files have besides.
#[derive(Clone, Debug)]
pub struct Shard {
    /// The folder, as given.
    pub folder: String,
    /// Its record.
    pub record: Record,
    /// `started_utc` in µs since 1970.
    pub started_us: i64,
    /// All times of `metrics.hlog`.
    pub histograms: Histograms,
}

/// The shards that were expected and are not merged, and what the user accepted.
#[derive(Clone, Debug, Default)]
pub struct Besides {
    /// Number of shards of the run; the given ones when fewer.
    pub expected: u64,
    /// Those that can't be merged.
    pub missing: Vec<MissingShardRecord>,
    /// What makes the merged ones unlike.
    pub unlike: Vec<String>,
}

/// A shard with its place in the merged record.
#[derive(Clone, Copy, Debug)]
struct Placed<'a> {
    shard: &'a Shard,
    place: Place,
}

impl<'a> Placed<'a> {
    fn record(&self) -> &'a Record {
        &self.shard.record
    }

    /// An instant of the shard on the clock of the merged record.
    fn us(&self, at_us: u64) -> u64 {
        self.place.us(at_us)
    }
}

/// Makes one record of the shards, without verdicts.
///
/// # Errors
/// Why there is none: no shard, or one that is [`unusable`].
pub fn merge(shards: &[Shard], besides: Besides) -> Result<Record, String> {
    let first = shards.iter().min_by_key(|shard| shard.started_us).ok_or("there is no shard to merge")?;
    let placed: Vec<Placed<'_>> =
        shards.iter().zip(Place::of_each(shards)).map(|(shard, place)| Placed { shard, place }).collect();
    let mut histograms = Histograms::default();
    for shard in shards {
        histograms.merge(&shard.histograms);
    }
    let cases = cases::of(&placed)?;
    let (waves, wave_response_times) = cases::waves(&placed)?;
    let mut seen_late = histogram();
    for shard in shards {
        add(&mut seen_late, &shard.record.sums.seen_late.histogram()?);
    }
    let settings = shared_settings(shards);
    let merged = merged_record(&placed, &settings, besides);
    let (completeness, incomplete_because) = completeness(&placed, &merged);
    let watching = watching_shard(shards).and_then(|number| shards.get(number));
    let of_all = || placed.iter().map(Placed::record);
    Ok(Record {
        format_version: FORMAT_VERSION,
        completeness,
        incomplete_because,
        tool: first.record.tool.clone(),
        command: first.record.command.clone(),
        settings,
        seed: first.record.seed,
        started_utc: first.record.started_utc.clone(),
        duration_us: placed.iter().map(|one| one.us(one.record().duration_us)).max().unwrap_or(0),
        host: HostRecord {
            worker_threads: of_all().map(|record| record.host.worker_threads).sum(),
            ..first.record.host.clone()
        },
        broker: broker::of(&placed, first, watching),
        phases: phases(&placed),
        attempts: attempts(of_all().map(|record| record.attempts)),
        cases: cases.records,
        cases_left_out: in_order(of_all().flat_map(|record| record.cases_left_out.clone())),
        waves,
        reaction_time: cases.reaction_time,
        measures: cases.measures,
        bystanders: bystanders::of(&placed, &histograms),
        witness: witness(of_all().map(|record| record.witness)),
        load: load::of(&placed, &histograms),
        broker_resources: broker::resources(watching),
        broker_log: broker::log(&placed),
        generator: generator::of(&placed, &histograms, &seen_late),
        metrics: MetricRecord::of_each(&histograms),
        sums: RunSums { seen_late: Encoded::of(&seen_late), wave_response_times },
        merged: Some(merged),
        verdicts: Vec::new(),
        accepted: in_order(of_all().flat_map(|record| record.accepted.clone())),
    })
}

/// Checks that the files of a shard have what its record has: merged alone, it is the same.
///
/// # Errors
/// What differs.
pub fn check(shard: &Shard) -> Result<(), String> {
    let alone = merge(std::slice::from_ref(shard), Besides::default())?;
    let record = &shard.record;
    let phases = |of: &Record| of.bystanders.as_ref().map(|bystanders| bystanders.phases.clone());
    // What hinders the removal of retained messages names the shard, and `--until` needs each second.
    let load = |of: &Record| {
        of.load.clone().map(|load| LoadRecord { retained_by_us: None, confidence: None, ..load })
    };
    let differs = |what: &str| {
        format!("{METRICS_HLOG} lacks a part of {what} in {RUN_JSON}: it was cut short or changed")
    };
    if alone.metrics != record.metrics {
        return Err(differs("the metrics"));
    }
    if phases(&alone) != phases(record) {
        return Err(differs("the bystanders"));
    }
    if load(&alone) != load(record) {
        return Err(differs("the load"));
    }
    if alone.cases != record.cases {
        return Err(format!(
            "{RUN_JSON} contradicts itself: the figures of its cases are not those of their histograms"
        ));
    }
    Ok(())
}

/// The shard whose view of the broker's process and of its log is in the merged record, by its place among these.
#[must_use]
pub fn watching_shard(shards: &[Shard]) -> Option<usize> {
    let samples = |shard: &Shard| shard.record.broker_resources.map(|resources| resources.samples);
    let watching = shards.iter().enumerate().filter_map(|(number, shard)| Some((samples(shard)?, number)));
    // The first of several that sampled as often.
    watching.max_by_key(|(samples, number)| (*samples, std::cmp::Reverse(*number))).map(|(_, number)| number)
}

/// The shard whose lines of the broker's log are in the merged record, by its place among these.
#[must_use]
pub fn logging_shard(shards: &[Shard]) -> Option<usize> {
    shards.iter().position(|shard| shard.record.broker_log.is_some())
}

fn in_order<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut kept, one| {
        if !kept.contains(&one) {
            kept.push(one);
        }
        kept
    })
}

/// The settings that are the same in every shard.
fn shared_settings(shards: &[Shard]) -> BTreeMap<String, Setting> {
    let Some((first, others)) = shards.split_first() else { return BTreeMap::new() };
    let is_shared = |name: &String, setting: &Setting| {
        others.iter().all(|other| {
            other.record.settings.get(name).is_some_and(|of_other| of_other.values().eq(setting.values()))
        })
    };
    let settings = first.record.settings.iter().filter(|(name, setting)| is_shared(name, setting));
    settings.map(|(name, setting)| (name.clone(), setting.clone())).collect()
}

fn merged_record(
    placed: &[Placed<'_>],
    shared: &BTreeMap<String, Setting>,
    besides: Besides,
) -> MergedRecord {
    let spans: Vec<(&Record, u64)> = placed.iter().map(|one| (one.record(), one.place.offset_us)).collect();
    let (acted_us, together_us) = refusing::acting(&spans);
    let shard = |one: &Placed<'_>| {
        let record = one.record();
        let own = record.settings.iter().filter(|(name, _)| !shared.contains_key(*name));
        ShardRecord {
            folder: one.shard.folder.clone(),
            started_utc: record.started_utc.clone(),
            offset_us: one.place.offset_us,
            duration_us: record.duration_us,
            seed: record.seed,
            host: record.host.clone(),
            command: record.command.clone(),
            settings: own.map(|(name, setting)| (name.clone(), setting.clone())).collect(),
            first_attempt: one.place.first_attempt,
            first_pair: one.place.first_pair,
        }
    };
    let recovery = |record: &Record| {
        let phase = record.phases.iter().find(|phase| phase.phase == Phase::Recovery)?;
        Some(phase.ended_us.saturating_sub(phase.began_us))
    };
    let given = placed.len() as u64 + besides.missing.len() as u64;
    MergedRecord {
        expected: besides.expected.max(given),
        shards: placed.iter().map(shard).collect(),
        missing: besides.missing,
        unlike: besides.unlike,
        acted_us,
        together_us,
        shortest_recovery_us: placed.iter().filter_map(|one| recovery(one.record())).min(),
    }
}

/// A record that lacks shards is partial; otherwise it ended as the shard that ended worst.
fn completeness(placed: &[Placed<'_>], merged: &MergedRecord) -> (Completeness, Option<String>) {
    const WORST_FIRST: [Completeness; 5] = [
        Completeness::RecordFailed,
        Completeness::Interrupted,
        Completeness::BrokerDown,
        Completeness::OutOfTime,
        Completeness::Partial,
    ];
    let of_shards = placed.iter().filter_map(|one| {
        let why = one.record().incomplete_because.as_deref().unwrap_or("it was cut short");
        (one.record().completeness != Completeness::Complete).then(|| format!("{}: {why}", one.place.name()))
    });
    let because: Vec<String> = merged.lacks().into_iter().chain(of_shards).collect();
    let is_any = |wanted: &Completeness| placed.iter().any(|one| one.record().completeness == *wanted);
    let worst = WORST_FIRST.into_iter().find(is_any);
    let completeness =
        if merged.missing() > 0 { Completeness::Partial } else { worst.unwrap_or(Completeness::Complete) };
    (completeness, (!because.is_empty()).then(|| because.join("; ")))
}

/// Each phase from its first begin in a shard to its last end.
fn phases(placed: &[Placed<'_>]) -> Vec<PhaseRecord> {
    let of = |phase: Phase| {
        let all = || {
            placed.iter().flat_map(move |one| {
                let these = one.record().phases.iter().filter(move |record| record.phase == phase);
                these.map(|record| (one.us(record.began_us), one.us(record.ended_us)))
            })
        };
        let (began_us, ended_us) =
            (all().map(|(began, _)| began).min()?, all().map(|(_, ended)| ended).max()?);
        Some(PhaseRecord { phase, began_us, ended_us })
    };
    Phase::ALL.into_iter().filter_map(of).collect()
}

fn attempts(all: impl Iterator<Item = AttemptsRecord>) -> AttemptsRecord {
    all.fold(AttemptsRecord::default(), |sum, one| AttemptsRecord {
        planned: sum.planned + one.planned,
        finished: sum.finished + one.finished,
        dropped: sum.dropped + one.dropped,
        written: sum.written + one.written,
        left_out: sum.left_out + one.left_out,
    })
}

/// The witnesses of all shards together prove what each of them proved.
fn witness(all: impl Iterator<Item = Option<WitnessRecord>>) -> Option<WitnessRecord> {
    all.reduce(|sum, one| {
        let (sum, one) = sum.zip(one)?;
        Some(WitnessRecord { proved: sum.proved && one.proved, unexpected: sum.unexpected + one.unexpected })
    })
    .flatten()
}

/// The values that differ, as text.
fn listed(values: impl Iterator<Item = String>) -> String {
    values.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ")
}
