//! Percentiles over time from `metrics.hlog`: a 99th percentile needs 1,000 samples, which one second seldom has, so the seconds of a
//! phase are taken together until there are as many.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use hdrhistogram::Histogram;
use ungraceful_record::files::METRICS_HLOG;
use ungraceful_record::intervals::{Interval, intervals};
use ungraceful_record::metric::{Metric, Percentiles, histogram};
use ungraceful_record::phase::Phase;

use super::seconds::Seconds;
use crate::scale::count;

/// Samples that a 99th percentile needs.
const SAMPLES_MIN: u64 = 1_000;
/// Maximum length of a line; one of a histogram has at most half of it.
const LINE_AT_MOST: u64 = 1 << 17;

/// Seconds of a phase with enough samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) seconds: Range<u64>,
    pub(super) phase: Phase,
    pub(super) of: Percentiles,
}

/// The windows of a run, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Windows {
    /// Response times of the bystanders.
    pub(super) bystanders: Vec<Window>,
    /// Response times of a load: until delivered where there are any, else until acknowledged.
    pub(super) load: Vec<Window>,
    /// Why they are not complete; absent when they are.
    pub(super) trouble: Option<String>,
}

impl Windows {
    /// Reads the windows of the record in `folder`, none shorter than a point.
    pub(super) fn read(folder: &Path, seconds: Seconds) -> Self {
        let mut all = METRICS.map(|metric| Collected { metric, windows: Vec::new(), open: None });
        let trouble = read(&folder.join(METRICS_HLOG), seconds, &mut all).err();
        let [bystanders, delivered, acknowledged] = all.map(|collected| collected.windows);
        let load = if delivered.is_empty() { acknowledged } else { delivered };
        Self { bystanders, load, trouble }
    }
}

/// The metrics that have windows.
const METRICS: [Metric; 3] =
    [Metric::BystanderResponseTime, Metric::DeliveryResponseTime, Metric::PublishResponseTime];

/// The windows of a metric, and the one that has too few samples yet.
struct Collected {
    metric: Metric,
    windows: Vec<Window>,
    open: Option<(u64, Phase, Histogram<u64>)>,
}

impl Collected {
    fn add(
        &mut self,
        second: u64,
        phase: Phase,
        part: &Histogram<u64>,
        seconds: Seconds,
    ) -> Result<(), String> {
        // Phases are not mixed: a rest with too few samples is left out.
        let open = self.open.take().filter(|(_, of, _)| *of == phase);
        let (begin, _, mut sum) = open.unwrap_or_else(|| (second, phase, histogram()));
        sum.add(part).map_err(|error| error.to_string())?;
        let end = second.saturating_add(1);
        if sum.len() < SAMPLES_MIN || end.saturating_sub(begin) < seconds.each {
            self.open = Some((begin, phase, sum));
        } else {
            self.windows.push(Window { seconds: begin..end, phase, of: Percentiles::of(&sum) });
        }
        Ok(())
    }
}

fn read(path: &Path, seconds: Seconds, all: &mut [Collected]) -> Result<(), String> {
    let unreadable = |error: io::Error| format!("{METRICS_HLOG} can't be read: {error}");
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        if reader.by_ref().take(LINE_AT_MOST).read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            break;
        }
        let damaged = || {
            format!(
                "{METRICS_HLOG} is cut short or damaged at line {}; what follows is not shown",
                count(number)
            )
        };
        if !line.ends_with(b"\n") {
            return Err(damaged());
        }
        for collected in &mut *all {
            let tag = format!("Tag={}.", collected.metric.name());
            if !line.starts_with(tag.as_bytes()) {
                continue;
            }
            let Interval { second, phase, histogram: part, .. } = parsed(&line).ok_or_else(damaged)?;
            // A second after the run is none of it.
            if seconds.point(second).is_some() {
                collected.add(second, phase, &part, seconds).map_err(|_| damaged())?;
            }
        }
    }
    Ok(())
}

/// The histogram of a line.
fn parsed(line: &[u8]) -> Option<Interval> {
    intervals(str::from_utf8(line).ok()?).next()?.ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hdrhistogram::serialization::V2DeflateSerializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
    use ungraceful_record::metric::histogram;
    use ungraceful_record::phase::Phase;

    use super::super::seconds::Seconds;
    use super::Windows;

    /// A log with `samples` times from `us` on in each second.
    fn log(seconds: &[(u64, &str, u64, u64)]) -> Vec<u8> {
        let (mut written, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
        let builder = IntervalLogWriterBuilder::new();
        let mut log = builder.begin_log_with(&mut written, &mut serializer).unwrap();
        for (second, tag, samples, us) in seconds {
            let mut times = histogram();
            for n in 0..*samples {
                times.saturating_record(us + n);
            }
            let second = Duration::from_secs(*second);
            log.write_histogram(&times, second, Duration::from_secs(1), Tag::new(tag)).unwrap();
        }
        written
    }

    fn read(log: &[u8], last_second: u64) -> Windows {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("metrics.hlog"), log).unwrap();
        Windows::read(folder.path(), Seconds::until(last_second))
    }

    const BASELINE: &str = "bystander_response_time.baseline";
    const FAULT: &str = "bystander_response_time.fault";

    #[test]
    fn seconds_of_a_phase_are_taken_together_until_a_percentile_has_its_samples() {
        let log = log(&[
            (0, BASELINE, 600, 1),
            (1, BASELINE, 400, 1_000),
            (2, BASELINE, 999, 1),
            (3, FAULT, 1_000, 1),
            (3, "loop_lag.fault", 5_000, 1),
        ]);
        let read = read(&log, 9);
        assert_eq!(read.trouble, None);
        let [first, second] = &read.bystanders[..] else { panic!("{read:?}") };
        assert_eq!((first.seconds.clone(), first.phase, first.of.count), (0..2, Phase::Baseline, 1_000));
        assert_eq!(first.of.p99_us, Some(1_389));
        assert_eq!(
            (second.seconds.clone(), second.phase),
            (3..4, Phase::Fault),
            "the rest of a phase is left out"
        );
        assert!(read.load.is_empty());
    }

    #[test]
    fn a_window_of_a_long_run_is_no_shorter_than_a_point() {
        let seconds: Vec<_> = (0..1_800).map(|second| (second, FAULT, 1_000, 1)).collect();
        let read = read(&log(&seconds), 1_799);
        assert_eq!((read.bystanders.len(), read.bystanders[0].seconds.clone()), (600, 0..3));
    }

    #[test]
    fn what_follows_a_damaged_line_is_left_out_and_reported() {
        let whole = log(&[(0, FAULT, 1_000, 1), (1, FAULT, 1_000, 1)]);
        for cut in [whole.len() - 1, whole.len() - 20] {
            let read = read(&whole[..cut], 9);
            assert_eq!(read.bystanders.len(), 1);
            assert!(read.trouble.unwrap().contains("damaged at line"), "{cut}");
        }
        let mut nonsense = whole;
        nonsense.extend(format!("Tag={FAULT},2.000,1.000,1.0,HISTFAAAnonsense\n").bytes());
        let read = read(&nonsense, 9);
        assert!(read.bystanders.len() == 2 && read.trouble.is_some());
    }
}
