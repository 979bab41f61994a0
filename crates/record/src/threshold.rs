//! Thresholds of the user, such as `e2e p(99)<50ms` or `loss==0`. Without samples a threshold is inconclusive, and so is
//! one on times when the generator itself was late.

mod measured;

use std::fmt;
use std::str::FromStr;

use crate::check::Finding;
use crate::figures::{COUNTS, Counted, Needs, PERCENTILES, Percentile, RATES, TIMES, Tally, Times};
use crate::metric::Percentiles;
use crate::own_lateness::{own_lateness_us, own_share_max_us};
use crate::run::Record;
use crate::scale::time;
use crate::verdict::{Force, Verdict};

pub use self::measured::{Measured, MeasuredUnit};

/// The check of every threshold.
pub const CHECK: &str = "keeps_the_threshold";

#[derive(Clone, Copy)]
enum Subject {
    Time(&'static Times, &'static Percentile),
    Count(&'static Counted),
}

/// A threshold. Two are equal when their texts are, which determine everything else.
#[derive(Clone)]
pub struct Threshold {
    text: String,
    subject: Subject,
    comparison: Comparison,
    limit: Limit,
}

impl PartialEq for Threshold {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threshold({:?})", self.text)
    }
}

/// Whether a value and a limit compare so.
type Comparison = fn(f64, f64) -> bool;

/// Two characters first, because the one-character signs are their prefixes.
const COMPARISONS: [(&str, Comparison); 5] = [
    ("<=", |value, limit| value <= limit),
    (">=", |value, limit| value >= limit),
    ("==", |value, limit| (value - limit).abs() < f64::EPSILON),
    ("<", |value, limit| value < limit),
    (">", |value, limit| value > limit),
];

#[derive(Clone, Copy)]
enum Limit {
    /// A time in µs, or a number.
    Value(f64),
    /// A share of the total, from 0 to 1.
    Share(f64),
    /// A multiple of the baseline.
    TimesBaseline(f64),
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The valid thresholds, for messages and help texts.
#[must_use]
pub fn grammar() -> String {
    let times: Vec<&str> = TIMES.iter().map(|times| times.name).collect();
    let counts: Vec<&str> = COUNTS.iter().map(|counted| counted.name).collect();
    let figures: Vec<&str> = PERCENTILES.iter().map(|figure| figure.0).collect();
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
        let wrong = |why: String| format!("invalid threshold {text:?}: {why}; {}", grammar());
        let found = COMPARISONS.iter().find_map(|(sign, comparison)| {
            text.split_once(sign).map(|(subject, limit)| (subject.trim(), *comparison, limit.trim()))
        });
        let (subject, comparison, limit) = found.ok_or_else(|| wrong("it has no comparison".to_owned()))?;
        let (name, figure) = match subject.split_once(char::is_whitespace) {
            Some((name, figure)) => (name, Some(figure.replace(' ', ""))),
            None => (subject, None),
        };
        if let Some(times) = TIMES.iter().find(|times| times.name == name) {
            let figure = figure.unwrap_or_default();
            let found = PERCENTILES.iter().find(|known| known.0 == figure);
            let figure =
                found.ok_or_else(|| wrong(format!("{name} is a time without the figure {figure:?}")))?;
            if times.metric.is_none() && figure.0 != "max" {
                return Err(wrong(format!("{name} is a single time; use {name} max")));
            }
            let limit = time_limit(limit, times).map_err(wrong)?;
            return Ok(Self {
                text: text.to_owned(),
                subject: Subject::Time(times, figure),
                comparison,
                limit,
            });
        }
        let Some(counted) = COUNTS.iter().find(|counted| counted.name == name) else {
            return Err(wrong(format!("unknown name {name:?}")));
        };
        if let Some(figure) = figure {
            return Err(wrong(format!("{name} is a number without figures such as {figure:?}")));
        }
        let limit = count_limit(limit).map_err(wrong)?;
        if matches!(limit, Limit::Share(_)) && RATES.contains(&name) {
            return Err(wrong(format!(
                "{name} is a rate and not a share; compare it with a rate such as 10k"
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
            .ok_or_else(|| format!("{text:?} is not a multiple such as 2x baseline"));
    }
    // Longer units first: each of them ends in the last.
    let units = [("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6)];
    let read = units.into_iter().find_map(|(unit, us)| Some(number(text.strip_suffix(unit)?)? * us));
    read.map(Limit::Value).ok_or_else(|| format!("{text:?} is not a time with a unit"))
}

fn count_limit(text: &str) -> Result<Limit, String> {
    let wrong = || format!("{text:?} is not a number");
    if let Some(percent) = text.strip_suffix('%') {
        return number(percent).map(|percent| Limit::Share(percent / 100.0)).ok_or_else(wrong);
    }
    let text = text.trim_end_matches("/s");
    let scaled =
        [("k", 1e3), ("M", 1e6)].into_iter().find_map(|(unit, by)| Some((text.strip_suffix(unit)?, by)));
    let (digits, by) = scaled.unwrap_or((text, 1.0));
    number(digits).map(|number| Limit::Value(number * by)).ok_or_else(wrong)
}

/// The result of a threshold.
struct Seen {
    holds: bool,
    samples: u64,
    evidence: String,
}

impl Threshold {
    /// The name of the time or number that it limits.
    #[must_use]
    pub fn subject(&self) -> &'static str {
        match self.subject {
            Subject::Time(times, _) => times.name,
            Subject::Count(counted) => counted.name,
        }
    }

    /// What a run must do so that it can be judged.
    #[must_use]
    pub fn needs(&self) -> Needs {
        match self.subject {
            Subject::Time(times, _) => times.needs,
            Subject::Count(counted) => counted.needs,
        }
    }

    /// Judges the record by this threshold.
    #[must_use]
    pub fn judge(&self, record: &Record) -> Verdict {
        let seen = match self.subject {
            _ if record.merged.as_ref().is_some_and(|merged| merged.missing() > 0) => {
                Err("a shard is missing, with its share of the figures".to_owned())
            }
            // What went with a part of the generator says nothing about the broker.
            _ if record.load.as_ref().is_some_and(|load| load.died().is_some()) => {
                Err("a worker process died, and took its share of the figures with it".to_owned())
            }
            Subject::Time(times, figure) => self.time(times, figure, record),
            Subject::Count(counted) => self.count(counted, record),
        };
        let finding = match seen {
            Err(why) => Finding::inconclusive(format!("{self}: {why}")),
            Ok(Seen { holds: true, samples, evidence }) => {
                Finding::holds(samples, format!("{self}: {evidence}"))
            }
            Ok(Seen { evidence, .. }) => Finding::violated(format!("{self}: {evidence}")),
        };
        finding.verdict(CHECK, Force::Threshold)
    }

    fn time(&self, times: &Times, figure: &Percentile, record: &Record) -> Result<Seen, String> {
        if !record.generator.bottlenecks.is_empty() {
            return Err("the generator itself was late, so the times are unreliable".to_owned());
        }
        let of = |percentiles: Percentiles, when: &str| {
            let too_few = || match percentiles.count {
                0 => format!("nothing was measured{when}"),
                count => format!("it needs {} samples and there are {count}{when}", figure.1),
            };
            (figure.2)(&percentiles).ok_or_else(too_few)
        };
        let measured = (times.of)(record);
        if let Some(missing) = times.missing(record, figure) {
            return Err(missing);
        }
        let (us, samples) = (of(measured, "")?, measured.count);
        #[expect(clippy::cast_precision_loss, reason = "times of a bounded run are far below 2^53 µs")]
        let float = |us: u64| us as f64;
        let own_us = match times.phases {
            [] => 0,
            phases => own_lateness_us(record, phases, figure.2),
        };
        let compare = |limit_us: f64| {
            let holds = (self.comparison)(float(us), limit_us);
            if (self.comparison)(float(us.saturating_sub(own_share_max_us(own_us))), limit_us) == holds {
                return Ok(holds);
            }
            let own = time(own_us);
            Err(format!(
                "{}, but the generator itself was late by {own}, up to three times in one answer, which may explain all of it",
                time(us)
            ))
        };
        match (self.limit, times.baseline) {
            (Limit::TimesBaseline(factor), Some(baseline)) => {
                let before_us = of(baseline(record), " in the baseline")?;
                let holds = compare(float(before_us) * factor)?;
                let evidence = format!("{}, {} in the baseline", time(us), time(before_us));
                Ok(Seen { holds, samples, evidence })
            }
            (Limit::Value(limit_us), _) => {
                let shown = time(us);
                // Three digits can hide a limit that was just missed.
                let is_close = (float(us) - limit_us).abs() < float(us) / 100.0;
                let exact = if is_close && us >= 1_000 { format!(" ({us} µs)") } else { String::new() };
                let holds = compare(limit_us)?;
                Ok(Seen { holds, samples, evidence: shown + &exact })
            }
            (Limit::Share(_) | Limit::TimesBaseline(_), _) => {
                Err("there is nothing to compare it with".to_owned())
            }
        }
    }

    fn count(&self, counted: &Counted, record: &Record) -> Result<Seen, String> {
        let Tally { count, of, samples, perhaps, because } =
            (counted.of)(record).ok_or_else(|| "nothing was counted".to_owned())?;
        let (value, limit, evidence) = match self.limit {
            Limit::Share(share) => (count / of, share, format!("{count} of {of}")),
            Limit::Value(limit) => (count, limit, format!("{count}")),
            Limit::TimesBaseline(_) => return Err("there is nothing to compare it with".to_owned()),
        };
        let holds = (self.comparison)(value, limit);
        if perhaps.iter().any(|other| (self.comparison)(*other, limit) != holds) {
            return Err(format!("{evidence}, but {because}"));
        }
        // Late, dropped or lost messages may be due to a late generator.
        if let (false, Some(bottleneck)) = (holds, record.generator.bottlenecks.first()) {
            return Err(format!("{evidence}, but the generator itself did not keep up: {bottleneck}"));
        }
        Ok(Seen { holds, samples, evidence })
    }
}

#[cfg(test)]
mod tests {
    use super::Threshold;

    #[test]
    fn a_threshold_is_read_with_or_without_spaces() {
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
    fn an_invalid_threshold_is_rejected_with_the_valid_names() {
        for (text, why) in [
            ("e2e p(99)", "has no comparison"),
            ("e2e<5ms", "without the figure \"\""),
            ("e2e p(98)<5ms", "without the figure \"p(98)\""),
            ("e2e p(99)<5", "not a time with a unit"),
            ("e2e p(99)<2x baseline", "has no baseline"),
            ("bystander p(99)<baseline", "not a multiple such as 2x baseline"),
            ("lost==0", "unknown name \"lost\""),
            ("loss max==0", "is a number without figures such as \"max\""),
            ("loss==none", "is not a number"),
            ("loss<-1", "is not a number"),
            ("sent_rate>=99%", "is a rate and not a share"),
        ] {
            let refused = text.parse::<Threshold>().unwrap_err();
            assert!(refused.contains(why) && refused.contains("connack, suback, ack"), "{text}: {refused}");
            assert!(refused.contains("loss, unknown, duplicated"), "{text}: {refused}");
        }
    }
}
