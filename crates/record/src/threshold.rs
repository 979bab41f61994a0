//! Thresholds that a user sets, such as `e2e p(99)<50ms` or `loss==0`: read from text, judged by a record. Over no
//! samples a threshold is inconclusive, and so is one on times when the generator itself was late.

use std::fmt;
use std::str::FromStr;

use crate::check::Finding;
use crate::load::{LoadCounts, LoadRecord};
use crate::metric::Percentiles;
use crate::own_lateness::{ours_at_most_us, own_lateness_us};
use crate::phase::Phase;
use crate::run::Record;
use crate::scale::time;
use crate::verdict::{Force, Verdict};

const CHECK: &str = "keeps_the_threshold";

/// A threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    text: String,
    subject: Subject,
    comparison: Comparison,
    limit: Limit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Subject {
    Time(&'static Times, Figure),
    Count(&'static Counted),
}

/// A time that thresholds can be set on.
struct Times {
    name: &'static str,
    of: fn(&Record) -> Percentiles,
    /// When it was measured: our own lateness in these phases is in it. Empty for what is our own lateness.
    phases: &'static [Phase],
    /// What the time was before the load or the fault; absent for what is not measured then.
    baseline: Option<fn(&Record) -> Percentiles>,
}

/// A number that thresholds can be set on; absent when nothing was counted.
struct Counted {
    name: &'static str,
    of: fn(&Record) -> Option<Tally>,
}

/// How many there were.
struct Tally {
    count: f64,
    /// Of how many, for a share.
    of: f64,
    /// Those that could have been among them.
    samples: u64,
    /// As `count`, had the generator itself not been late.
    had_we_been_in_time: f64,
}

// By name: a threshold's subject comes from one of the two tables below, and no name is in them twice.
impl PartialEq for Times {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    Min,
    P50,
    P90,
    P99,
    P999,
    P9999,
    Max,
}

/// The figures of a time by name, and how many samples each needs.
const FIGURES: [(&str, Figure, u64); 7] = [
    ("min", Figure::Min, 1),
    ("p(50)", Figure::P50, 20),
    ("p(90)", Figure::P90, 100),
    ("p(99)", Figure::P99, 1_000),
    ("p(99.9)", Figure::P999, 10_000),
    ("p(99.99)", Figure::P9999, 100_000),
    ("max", Figure::Max, 1),
];

impl Figure {
    fn us(self, of: &Percentiles) -> Option<u64> {
        match self {
            Self::Min => of.min_us,
            Self::P50 => of.p50_us,
            Self::P90 => of.p90_us,
            Self::P99 => of.p99_us,
            Self::P999 => of.p99_9_us,
            Self::P9999 => of.p99_99_us,
            Self::Max => of.max_us,
        }
    }

    fn needs(self) -> u64 {
        FIGURES.iter().find(|(_, figure, _)| *figure == self).map_or(1, |(_, _, needs)| *needs)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
}

/// In this order, because the first of them is the beginning of the second.
const COMPARISONS: [(&str, Comparison); 5] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("<", Comparison::Below),
    (">", Comparison::Above),
];

impl Comparison {
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
            Self::Above => value > limit,
            Self::AtLeast => value >= limit,
            Self::Equal => (value - limit).abs() < f64::EPSILON,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    /// A time in µs, or a number.
    Value(f64),
    /// Of all that there could have been, from 0 to 1.
    Share(f64),
    /// So many times what it was in the baseline.
    TimesBaseline(f64),
}

/// When a load connects, and when it publishes.
const CONNECTING: &[Phase] = &[Phase::Warmup, Phase::Load];
const LOAD: &[Phase] = &[Phase::Load];
/// When honest clients are measured against their baseline.
const ACTS: &[Phase] = &[Phase::Load, Phase::Fault];

const TIMES: [Times; 9] = [
    Times {
        name: "connect",
        of: |record| load(record, |load| load.connections.tcp_connect_time),
        phases: CONNECTING,
        baseline: None,
    },
    Times {
        name: "connack",
        of: |record| load(record, |load| load.connections.connack_time),
        phases: CONNECTING,
        baseline: None,
    },
    Times {
        name: "suback",
        of: |record| load(record, |load| load.connections.suback_time),
        phases: CONNECTING,
        baseline: None,
    },
    Times {
        name: "ack",
        of: |record| load(record, |load| load.publish_response_time),
        phases: LOAD,
        baseline: None,
    },
    Times {
        name: "ack_service",
        of: |record| load(record, |load| load.publish_service_time),
        phases: LOAD,
        baseline: None,
    },
    Times {
        name: "e2e",
        of: |record| load(record, |load| load.delivery_response_time),
        phases: LOAD,
        baseline: None,
    },
    Times {
        name: "e2e_service",
        of: |record| load(record, |load| load.delivery_service_time),
        phases: LOAD,
        baseline: None,
    },
    Times {
        name: "bystander",
        of: |record| bystanders(record, ACTS),
        phases: ACTS,
        baseline: Some(|record| bystanders(record, &[Phase::Baseline])),
    },
    Times { name: "slip", of: |record| record.generator.schedule_slip, phases: &[], baseline: None },
];

const COUNTS: [Counted; 14] = [
    Counted {
        name: "loss",
        // Of a message that was neither delivered nor lost, nobody knows what became of it: it is no part of a share.
        of: |record| {
            of_messages(record, |all| [all.lost, all.delivered + all.lost, all.delivered + all.lost])
        },
    },
    Counted {
        name: "unknown",
        of: |record| of_messages(record, |all| [all.unknown, all.expected, all.expected]),
    },
    Counted {
        name: "duplicated",
        of: |record| of_messages(record, |all| [all.duplicated, all.expected, all.delivered]),
    },
    Counted {
        name: "reordered",
        of: |record| of_messages(record, |all| [all.reordered, all.expected, all.delivered]),
    },
    Counted {
        name: "still_coming",
        of: |record| of_messages(record, |all| [all.still_coming, all.expected, all.expected]),
    },
    Counted {
        name: "dropped",
        of: |record| of_messages(record, |all| [all.dropped, all.offered, all.offered]),
    },
    Counted {
        name: "blocked",
        of: |record| of_messages(record, |all| [all.blocked, all.offered, all.offered]),
    },
    Counted { name: "late", of: |record| of_messages(record, |all| [all.late, all.offered, all.offered]) },
    Counted {
        name: "refused",
        of: |record| {
            of_messages(record, |all| {
                let refused = all.refused_in_all();
                [refused, all.sent, refused + all.acknowledged]
            })
        },
    },
    Counted {
        name: "unacknowledged",
        of: |record| {
            let to_acknowledge = |(qos, counts): (&u8, &LoadCounts)| if *qos > 0 { counts.sent } else { 0 };
            let load = record.load.as_ref()?;
            let samples = load.by_qos.iter().map(to_acknowledge).sum();
            of_messages(record, |all| [all.unacknowledged, all.sent, samples])
        },
    },
    Counted {
        name: "connections_refused",
        of: |record| {
            let connections = &record.load.as_ref()?.connections;
            let refused = connections.refused.values().sum();
            tally([refused, connections.planned, refused + connections.accepted])
        },
    },
    Counted {
        name: "connections_lost",
        of: |record| {
            let connections = &record.load.as_ref()?.connections;
            tally([connections.lost.values().sum(), connections.planned, connections.accepted])
        },
    },
    Counted { name: "sent_rate", of: |record| rate(record, |load| load.all().sent, LoadRecord::sent_in_us) },
    Counted {
        name: "delivered_rate",
        of: |record| rate(record, |load| load.all().delivered, LoadRecord::delivered_in_us),
    },
];

/// Those of the counts that are rates.
const RATES: [&str; 2] = ["sent_rate", "delivered_rate"];

fn load(record: &Record, of: fn(&LoadRecord) -> Percentiles) -> Percentiles {
    record.load.as_ref().map(of).unwrap_or_default()
}

/// The bystanders' response time in the first of `phases` that there was.
fn bystanders(record: &Record, phases: &[Phase]) -> Percentiles {
    let of = |wanted: &Phase| {
        let phases = record.bystanders.iter().flat_map(|bystanders| &bystanders.phases);
        phases.into_iter().find(|phase| phase.phase == *wanted).map(|phase| phase.response_time)
    };
    phases.iter().find_map(of).unwrap_or_default()
}

/// How many there were, of how many, and how many of these could have been among them.
#[expect(clippy::cast_precision_loss, reason = "counts of a bounded run are far below 2^53")]
fn tally([count, of, samples]: [u64; 3]) -> Option<Tally> {
    let (count, of) = ((of > 0).then_some(count as f64)?, of as f64);
    Some(Tally { count, of, samples, had_we_been_in_time: count })
}

fn of_messages(record: &Record, of: impl Fn(&LoadCounts) -> [u64; 3]) -> Option<Tally> {
    tally(of(&record.load.as_ref()?.all()))
}

/// Messages per second, over as long as it took.
#[expect(clippy::cast_precision_loss, reason = "counts of a bounded run are far below 2^53")]
fn rate(
    record: &Record,
    of: impl Fn(&LoadRecord) -> u64,
    took_us: fn(&LoadRecord) -> Option<u64>,
) -> Option<Tally> {
    let load = record.load.as_ref()?;
    let took_us = took_us(load).filter(|us| *us > 0)?;
    let ours_us = own_lateness_us(record, LOAD, |times| times.max_us).min(took_us - 1);
    let per_second = |us: u64| of(load) as f64 / (us as f64 / 1e6);
    Some(Tally {
        count: per_second(took_us),
        of: 1.0,
        samples: of(load),
        had_we_been_in_time: per_second(took_us - ours_us),
    })
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What can be written, for messages and help texts.
#[must_use]
pub fn grammar() -> String {
    let times: Vec<&str> = TIMES.iter().map(|times| times.name).collect();
    let counts: Vec<&str> = COUNTS.iter().map(|counted| counted.name).collect();
    let figures: Vec<&str> = FIGURES.iter().map(|(name, ..)| *name).collect();
    format!(
        "times are {} with {}, compared with a time such as 50ms (bystander also with 2x baseline); numbers are {}, \
         compared with a number such as 0 or 10k, or with a share such as 0.1%; comparisons are <, <=, >, >= and ==",
        times.join(", "),
        figures.join(", "),
        counts.join(", ")
    )
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("{text:?} is no threshold: {why}; {}", grammar());
        let found = COMPARISONS.iter().find_map(|(sign, comparison)| {
            text.split_once(sign).map(|(subject, limit)| (subject.trim(), *comparison, limit.trim()))
        });
        let (subject, comparison, limit) = found.ok_or_else(|| wrong("it compares nothing".to_owned()))?;
        let (name, figure) = match subject.split_once(char::is_whitespace) {
            Some((name, figure)) => (name, Some(figure.replace(' ', ""))),
            None => (subject, None),
        };
        if let Some(times) = TIMES.iter().find(|times| times.name == name) {
            let figure = figure.unwrap_or_default();
            let found = FIGURES.iter().find(|(name, ..)| *name == figure);
            let (_, figure, _) =
                found.ok_or_else(|| wrong(format!("{name} is a time and has no {figure:?}")))?;
            let limit = time_limit(limit, times).map_err(wrong)?;
            return Ok(Self {
                text: text.to_owned(),
                subject: Subject::Time(times, *figure),
                comparison,
                limit,
            });
        }
        let Some(counted) = COUNTS.iter().find(|counted| counted.name == name) else {
            return Err(wrong(format!("there is no {name:?}")));
        };
        if let Some(figure) = figure {
            return Err(wrong(format!("{name} is a number and has no {figure:?}")));
        }
        let limit = count_limit(limit).map_err(wrong)?;
        if matches!(limit, Limit::Share(_)) && RATES.contains(&name) {
            return Err(wrong(format!(
                "{name} is a rate, and a share of nothing; compare it with one such as 10k"
            )));
        }
        Ok(Self { text: text.to_owned(), subject: Subject::Count(counted), comparison, limit })
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
}

fn time_limit(text: &str, times: &Times) -> Result<Limit, String> {
    if let Some(factor) = text.strip_suffix("baseline") {
        if times.baseline.is_none() {
            return Err(format!("{} has no baseline", times.name));
        }
        let factor = factor.trim().strip_suffix('x').and_then(number);
        return factor
            .map(Limit::TimesBaseline)
            .ok_or_else(|| format!("{text:?} is not such as 2x baseline"));
    }
    // The longer names first: each of them ends in the last.
    let units = [("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6)];
    let read = units.into_iter().find_map(|(unit, us)| Some(number(text.strip_suffix(unit)?)? * us));
    read.map(Limit::Value).ok_or_else(|| format!("{text:?} is no time with its unit"))
}

fn count_limit(text: &str) -> Result<Limit, String> {
    let wrong = || format!("{text:?} is no number");
    if let Some(percent) = text.strip_suffix('%') {
        return number(percent).map(|percent| Limit::Share(percent / 100.0)).ok_or_else(wrong);
    }
    let text = text.trim_end_matches("/s");
    let scaled =
        [("k", 1e3), ("M", 1e6)].into_iter().find_map(|(unit, by)| Some((text.strip_suffix(unit)?, by)));
    let (digits, by) = scaled.unwrap_or((text, 1.0));
    number(digits).map(|number| Limit::Value(number * by)).ok_or_else(wrong)
}

/// What the record says of a threshold.
struct Seen {
    holds: bool,
    /// How many times or things it was judged by.
    samples: u64,
    told: String,
}

impl Threshold {
    /// What it is about, by the name that it is written with.
    #[must_use]
    pub fn subject(&self) -> &'static str {
        match self.subject {
            Subject::Time(times, _) => times.name,
            Subject::Count(counted) => counted.name,
        }
    }

    /// What the record says of it.
    #[must_use]
    pub fn judge(&self, record: &Record) -> Verdict {
        let seen = match self.subject {
            Subject::Time(times, figure) => self.time(times, figure, record),
            Subject::Count(counted) => self.count(counted, record),
        };
        let finding = match seen {
            Err(why) => Finding::inconclusive(format!("{self}: {why}")),
            Ok(Seen { holds: true, samples, told }) => Finding::holds(samples, format!("{self}: {told}")),
            Ok(Seen { holds: false, told, .. }) => Finding::violated(format!("{self}: {told}")),
        };
        finding.verdict(CHECK, Force::Threshold)
    }

    fn time(&self, times: &Times, figure: Figure, record: &Record) -> Result<Seen, String> {
        if !record.generator.bottlenecks.is_empty() {
            return Err("the generator itself was late, so that times are not to be relied on".to_owned());
        }
        let of = |percentiles: Percentiles, when: &str| {
            let too_few = || match percentiles.count {
                0 => format!("nothing was measured{when}"),
                count => format!("it needs {} samples and there are {count}{when}", figure.needs()),
            };
            figure.us(&percentiles).ok_or_else(too_few)
        };
        let measured = (times.of)(record);
        let (us, samples) = (of(measured, "")?, measured.count);
        #[expect(clippy::cast_precision_loss, reason = "times of a bounded run are far below 2^53 µs")]
        let float = |us: u64| us as f64;
        let own_us = match times.phases {
            [] => 0,
            phases => own_lateness_us(record, phases, |times| figure.us(times)),
        };
        let compare = |limit_us: f64| {
            let holds = self.comparison.holds(float(us), limit_us);
            if self.comparison.holds(float(us.saturating_sub(ours_at_most_us(own_us))), limit_us) == holds {
                return Ok(holds);
            }
            let own = time(own_us);
            Err(format!("{}, and the generator itself was late by {own}, which may be all of it", time(us)))
        };
        match (self.limit, times.baseline) {
            (Limit::TimesBaseline(factor), Some(baseline)) => {
                let before_us = of(baseline(record), " in the baseline")?;
                let holds = compare(float(before_us) * factor)?;
                let told = format!("{}, {} in the baseline", time(us), time(before_us));
                Ok(Seen { holds, samples, told })
            }
            (Limit::Value(limit_us), _) => {
                let shown = time(us);
                // Three digits don't tell a time from a limit that it has just missed.
                let is_close = (float(us) - limit_us).abs() < float(us) / 100.0;
                let exact = if is_close && us >= 1_000 { format!(" ({us} µs)") } else { String::new() };
                let holds = compare(limit_us)?;
                Ok(Seen { holds, samples, told: shown + &exact })
            }
            (Limit::Share(_) | Limit::TimesBaseline(_), _) => {
                Err("it has nothing to be compared with".to_owned())
            }
        }
    }

    fn count(&self, counted: &Counted, record: &Record) -> Result<Seen, String> {
        let Tally { count, of, samples, had_we_been_in_time } =
            (counted.of)(record).ok_or_else(|| "nothing was counted".to_owned())?;
        let (value, limit, told) = match self.limit {
            Limit::Share(share) => (count / of, share, format!("{count} of {of}")),
            Limit::Value(limit) => (count, limit, format!("{count}")),
            Limit::TimesBaseline(_) => return Err("it has nothing to be compared with".to_owned()),
        };
        let holds = self.comparison.holds(value, limit);
        if RATES.contains(&counted.name) && self.comparison.holds(had_we_been_in_time, limit) != holds {
            return Err(format!("{told}, and the generator itself was late by as much as that"));
        }
        // What was late, dropped or lost when we were not there may be ours.
        if let (false, Some(bottleneck)) = (holds, record.generator.bottlenecks.first()) {
            return Err(format!("{told}, and the generator itself did not keep up: {bottleneck}"));
        }
        Ok(Seen { holds, samples, told })
    }
}

#[cfg(test)]
mod tests {
    use super::Threshold;

    #[test]
    fn a_threshold_is_read_with_or_without_spaces_and_told_as_it_was_written() {
        for text in [
            "e2e p(99)<50ms",
            "e2e p(99.99) >= 1.5 s",
            "connack max <= 200us",
            "bystander p(99)<2x baseline",
            "loss==0",
            "loss < 0.1%",
            "sent_rate > 10k",
            "delivered_rate >= 5000/s",
            "delivered_rate >= 0.5k/s",
        ] {
            assert_eq!(text.parse::<Threshold>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_threshold_is_refused_with_everything_that_there_is() {
        for (text, why) in [
            ("e2e p(99)", "compares nothing"),
            ("e2e<5ms", "has no \"\""),
            ("e2e p(98)<5ms", "has no \"p(98)\""),
            ("e2e p(99)<5", "no time with its unit"),
            ("e2e p(99)<2x baseline", "has no baseline"),
            ("bystander p(99)<baseline", "not such as 2x baseline"),
            ("lost==0", "there is no \"lost\""),
            ("loss max==0", "is a number and has no \"max\""),
            ("loss==none", "is no number"),
            ("loss<-1", "is no number"),
            ("sent_rate>=99%", "is a rate, and a share of nothing"),
        ] {
            let refused = text.parse::<Threshold>().unwrap_err();
            assert!(refused.contains(why) && refused.contains("connack, suback, ack"), "{text}: {refused}");
            assert!(refused.contains("loss, unknown, duplicated"), "{text}: {refused}");
        }
    }
}
