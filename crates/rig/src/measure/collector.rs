//! The collector: one thread that takes the reports of all others, writes the record as it goes, and holds the sums
//! for the end of the run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::confidence::{Until, Watched};
use ungraceful_record::discarded::Discarded;
use ungraceful_record::live::{Live, LiveBroker};
use ungraceful_record::phase::Phase;
use ungraceful_record::run::Record;

use crate::attempts::connections::OpenConnections;
use crate::attempts::discarded::discarded_so_far;
use crate::broker::process::BrokerProcess;
use crate::broker::resources::ResourceSample;
use crate::error::RunError;
use crate::measure::clock::RunClock;
use crate::measure::meter::{Interval, Meter};
use crate::measure::recorder::Recorder;
use crate::measure::showing::{add_attempt, set_baseline, set_second};
use crate::measure::timeline::{Sampled, rows};
use crate::run::stop::{Stop, StopReason};
use ungraceful_record::tally::Tally;

/// Reports that may wait; a thread that reports more is held up, which shows as its loop lag.
pub(crate) const REPORTS: usize = 4_096;
/// Rows are written this many seconds later, when every thread has reported.
const ROW_DELAY_S: u64 = 1;
const SECOND_US: u64 = 1_000_000;
/// How often a thread reports what it measured.
const REPORT_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The honest clients' thread.
    Honest,
    /// A worker, by its number.
    Worker(u32),
}

#[derive(Debug)]
pub(crate) enum Report {
    /// An attempt ended.
    Attempt(Source, Box<Attempt>),
    /// What was measured since the last such report.
    Interval(Source, Interval),
}

/// Reports what `meter` measured once a second; the rest is to be sent when the thread ends.
pub(crate) async fn report_intervals(source: Source, meter: Meter, reports: mpsc::Sender<Report>) {
    loop {
        tokio::time::sleep(REPORT_EVERY).await;
        // Room first: what is taken is then sent even if this task ends while it waits.
        let Ok(room) = reports.reserve().await else { return };
        room.send(Report::Interval(source, meter.take()));
    }
}

#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) tallies: BTreeMap<Case, Tally>,
    pub(crate) whole: Interval,
    /// The broker's process, once a second.
    pub(crate) resources: Vec<ResourceSample>,
    /// How sure the percentile is that may end a load; absent where none does.
    pub(crate) watched: Option<Watched>,
    pub(crate) recorder: Recorder,
}

#[derive(Debug)]
pub(crate) struct CollectorLinks {
    pub(crate) clock: RunClock,
    pub(crate) stop: Stop,
    pub(crate) connections: OpenConnections,
    pub(crate) broker: Option<BrokerProcess>,
    pub(crate) live: Arc<Mutex<Live>>,
    /// The percentile that ends a load when it is sure enough.
    pub(crate) until: Option<Until>,
}

#[derive(Debug)]
pub(crate) struct Collector {
    thread: JoinHandle<Collected>,
    begun: Record,
    discarded_before: Discarded,
}

impl Collector {
    /// Writes the record as it begins, and starts the thread, which ends when every sender of `reports` is gone.
    pub(crate) fn start(
        mut recorder: Recorder,
        begun: Record,
        discarded_before: Discarded,
        links: CollectorLinks,
        reports: mpsc::Receiver<Report>,
    ) -> Result<Self, RunError> {
        recorder.run_json(&begun);
        let thread = std::thread::Builder::new()
            .name("collector".to_owned())
            .spawn(move || collect(recorder, links, reports))
            .map_err(|error| RunError::Environment(format!("cannot start a thread: {error}")))?;
        Ok(Self { thread, begun, discarded_before })
    }

    /// Waits until all reports are written. Returns the record as it began, with what was discarded since.
    pub(crate) fn finish(self) -> Result<(Record, Collected), RunError> {
        let panicked = |_panic| RunError::Bug("the collector's thread panicked".to_owned());
        let collected = self.thread.join().map_err(panicked)?;
        let mut record = self.begun;
        record.generator.discarded = discarded_so_far().since(self.discarded_before);
        Ok((record, collected))
    }
}

struct Collecting {
    recorder: Recorder,
    links: CollectorLinks,
    tallies: BTreeMap<(Source, Case), Tally>,
    whole: Interval,
    seconds: BTreeMap<u64, Interval>,
    /// Samples of the processes at the end of each second.
    samples: BTreeMap<u64, Sampled>,
    /// The broker's process so far.
    resources: Vec<ResourceSample>,
    watched: Option<Watched>,
    attempts_finished: u64,
    second: u64,
}

fn collect(recorder: Recorder, links: CollectorLinks, mut reports: mpsc::Receiver<Report>) -> Collected {
    let watched = links.until.clone().map(Watched::new);
    let mut collecting = Collecting {
        recorder,
        links,
        watched,
        tallies: BTreeMap::new(),
        whole: Interval::default(),
        seconds: BTreeMap::new(),
        samples: BTreeMap::new(),
        resources: Vec::new(),
        attempts_finished: 0,
        second: 0,
    };
    while let Some(report) = reports.blocking_recv() {
        let second = collecting.links.clock.now_us() / SECOND_US;
        if second > collecting.second {
            collecting.end_second();
            collecting.show_second();
            collecting.second = second;
            collecting.write_rows(second.saturating_sub(ROW_DELAY_S));
        }
        collecting.take(report);
    }
    collecting.end_second();
    collecting.write_rows(u64::MAX);
    // Each worker counted for itself.
    let mut tallies: BTreeMap<Case, Tally> = BTreeMap::new();
    for ((_source, case), tally) in collecting.tallies {
        tallies.entry(case).or_default().merge(&tally);
    }
    Collected {
        tallies,
        whole: collecting.whole,
        resources: collecting.resources,
        watched: collecting.watched,
        recorder: collecting.recorder,
    }
}

impl Collecting {
    fn take(&mut self, report: Report) {
        match report {
            Report::Attempt(source, attempt) => {
                self.tallies.entry((source, attempt.case.clone())).or_default().add(&attempt);
                self.recorder.attempt(&attempt);
                self.attempts_finished += 1;
                add_attempt(&mut self.live(), &attempt);
            }
            Report::Interval(_source, interval) => {
                self.whole.merge(&interval);
                set_baseline(&mut self.live(), &interval, &self.whole);
                // Threads report once a second, so most of it happened in the second before.
                let second = self.second.saturating_sub(1);
                if let Some(watched) = &mut self.watched {
                    watched.add(second, &interval.histograms);
                }
                self.seconds.entry(second).or_default().merge(&interval);
            }
        }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.links.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Samples the processes at the end of the current second.
    fn end_second(&mut self) {
        let sampled = self.sample();
        self.samples.insert(self.second, sampled);
    }

    /// Shows what was measured until the end of the current second.
    fn show_second(&mut self) {
        // As for the rows: threads report a second late.
        let Some(second) = self.second.checked_sub(1) else { return };
        if let Some(watched) = &mut self.watched {
            watched.look(second);
        }
        let sampled = self.samples.get(&self.second).copied().unwrap_or_default();
        let broker = self.resources.last().filter(|_| sampled.broker_rss_bytes.is_some());
        let mut live = self.live();
        live.connections_open = sampled.connections_open;
        live.broker = broker.map(|sample| LiveBroker {
            cpu_us: sampled.broker_cpu_us,
            cpu_us_total: sample.usage.cpu_us,
            rss_bytes: sample.usage.rss_bytes,
            descriptors: sample.usage.descriptors,
        });
        let nothing = Interval::default();
        if let (Some(load), Some(watched)) = (&mut live.load, &self.watched) {
            load.confidence = watched.seen().cloned();
        }
        set_second(&mut live, second, self.seconds.get(&second).unwrap_or(&nothing), &self.whole);
    }

    /// Writes the rows of all seconds before `end`.
    fn write_rows(&mut self, end: u64) {
        let started = self.links.clock.started();
        while let Some(entry) = self.seconds.first_entry().filter(|entry| *entry.key() < end) {
            let (second, interval) = entry.remove_entry();
            let sampled = self.samples.remove(&second).unwrap_or_default();
            self.recorder.rows(&rows(second, &interval, sampled));
            self.recorder.interval_log(started, second, &interval);
        }
        if let Some(trouble) = self.recorder.trouble() {
            self.links.stop.raise(StopReason::RecordFailed(trouble.to_owned()));
        }
    }

    /// Open connections of the load, as the main thread saw them last. They are closed before the recovery.
    fn connections_of_load(&self) -> u64 {
        let live = self.live();
        let load = live.load.as_ref().filter(|_| live.phase != Some(Phase::Recovery));
        load.map_or(0, |load| load.connections_ready)
    }

    fn sample(&mut self) -> Sampled {
        let usage = self.links.broker.as_ref().and_then(BrokerProcess::sample);
        let cpu_us_before = self.resources.last().map(|before| before.usage.cpu_us);
        let at_us = self.links.clock.now_us();
        let attempts_finished = self.attempts_finished;
        self.resources.extend(usage.map(|usage| ResourceSample { at_us, attempts_finished, usage }));
        let cpu_us = usage.zip(cpu_us_before).map(|(usage, before)| usage.cpu_us.saturating_sub(before));
        let of_load = self.connections_of_load();
        Sampled {
            connections_open: self.links.connections.now() + of_load,
            broker_cpu_us: cpu_us,
            broker_rss_bytes: usage.map(|usage| usage.rss_bytes),
            broker_descriptors: usage.and_then(|usage| usage.descriptors),
        }
    }
}
