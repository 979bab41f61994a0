//! How sure a percentile is: `--until` names one, and a load that goes on until the interval that holds the true one at 95 % confidence is
//! narrow. `watched` computes the interval.

mod watched;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::Finding;
use crate::figures::{Needs, PERCENTILES, Percentile, TIMES, Times};
use crate::metric::Metric;
use crate::phase::Phase;
use crate::run::Record;
use crate::scale::{count, time};
use crate::verdict::{Force, Verdict};

pub use watched::Watched;

/// The check of `--until`.
pub const CHECK: &str = "reaches_the_confidence";
/// How many times as long a load would have to be to be pointless.
const HOPELESS: u64 = 100;
/// Most that an interval may be asked to be, each way.
const SHARE_MAX: f64 = 0.5;

/// A percentile, and how narrow its interval is to be, such as `e2e p(99) ±5%`. Two are equal when their texts are.
#[derive(Clone)]
pub struct Until {
    text: String,
    times: &'static Times,
    figure: &'static Percentile,
    metric: Metric,
    /// How far the interval may reach to each side, as a share of the percentile.
    share: f64,
}

impl PartialEq for Until {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Until({:?})", self.text)
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The times whose interval a load can wait for: those that it measures all the time.
fn candidates() -> impl Iterator<Item = (&'static Times, Metric)> {
    let goes_on = |times: &&Times| {
        times.phases.contains(&Phase::Load)
            && !times.phases.contains(&Phase::Warmup)
            && matches!(times.needs, Needs::Load | Needs::Bystanders)
    };
    TIMES.iter().filter(goes_on).filter_map(|times| Some((times, times.metric?)))
}

/// The percentiles that have an interval.
fn percentiles() -> impl Iterator<Item = &'static Percentile> {
    PERCENTILES.iter().filter(|figure| figure.0.starts_with("p("))
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<&str> = candidates().map(|(times, _)| times.name).collect();
        let figures: Vec<&str> = percentiles().map(|figure| figure.0).collect();
        let wrong = |why: &str| {
            format!(
                "invalid interval {text:?}: {why}; write a time, a percentile and a share, such as 'e2e p(99) ±5%'. Times are {}; \
                 percentiles are {}",
                names.join(", "),
                figures.join(", ")
            )
        };
        let parted = ["±", "+-"].into_iter().find_map(|sign| text.split_once(sign));
        let (subject, share) = parted.ok_or_else(|| wrong("it has no ± (or +-)"))?;
        let (name, figure) =
            subject.trim().split_once(char::is_whitespace).ok_or_else(|| wrong("it has no percentile"))?;
        let (times, metric) =
            candidates().find(|(times, _)| times.name == name).ok_or_else(|| wrong("unknown time"))?;
        let figure = percentiles()
            .find(|known| known.0 == figure.replace(' ', ""))
            .ok_or_else(|| wrong("unknown percentile"))?;
        let percent = share.trim().strip_suffix('%').and_then(|percent| percent.trim().parse::<f64>().ok());
        let share =
            percent.map(|percent| percent / 100.0).filter(|share| (0.001..=SHARE_MAX).contains(share));
        let share = share.ok_or_else(|| wrong("the share must be from 0.1% to 50%"))?;
        Ok(Self { text: text.to_owned(), times, figure, metric, share })
    }
}

impl Until {
    /// The name of the time.
    #[must_use]
    pub fn subject(&self) -> &'static str {
        self.times.name
    }

    /// What a run must do so that it is measured.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.times.needs
    }

    /// The share of samples beyond the percentile.
    fn tail(&self) -> f64 {
        self.figure.tail()
    }
}

/// How sure the percentile of a load is that `--until` named. Times are those that were measured until the load ended because of it, or
/// by its --duration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Confidence {
    /// The percentile and the width, as the user wrote them.
    pub asked: String,
    /// The percentile in µs; absent with too few samples.
    pub estimate_us: Option<u64>,
    /// The lower end of its interval at 95 % confidence, in µs; absent with too few samples or parts.
    pub low_us: Option<u64>,
    /// The upper end, in µs; absent with too few samples or parts.
    pub high_us: Option<u64>,
    /// The percentile in the first half of the time and in the second, in µs; absent unless they differ by more than noise.
    pub halves_us: Option<[u64; 2]>,
    /// Samples.
    pub samples: u64,
    /// How long they were collected, in seconds.
    pub seconds: u64,
}

impl Confidence {
    /// How far the interval reaches, as a share of the percentile, to the farther side.
    fn share(&self) -> Option<f64> {
        let [estimate, low, high] = [self.estimate_us?, self.low_us?, self.high_us?].map(precise);
        (estimate > 0.0).then(|| ((high - estimate) / estimate).max((estimate - low) / estimate))
    }

    /// How far the interval reaches to the farther side, such as `±4.1 %`; absent with too few samples or parts.
    #[must_use]
    pub fn width(&self) -> Option<String> {
        self.share().map(|share| format!("±{}", percent(share)))
    }

    /// Why the interval is not as narrow as asked; absent when it is.
    #[must_use]
    pub fn unreached_because(&self) -> Option<String> {
        let until: Until = match self.asked.parse() {
            Ok(until) => until,
            Err(why) => return Some(why),
        };
        let seconds = count(self.seconds);
        let Some(share) = self.share() else {
            return Some(match (self.samples, self.estimate_us) {
                (0, _) => "nothing was measured".to_owned(),
                (samples, None) => format!(
                    "too few samples: {} of at least {}, in {seconds} s; raise --rate or --duration",
                    count(samples),
                    count(until.figure.1)
                ),
                (samples, Some(_)) => format!(
                    "too few samples: {} in {seconds} s leave its upper end open; raise --rate or --duration",
                    count(samples)
                ),
            });
        };
        if let Some([first, second]) = self.halves_us {
            return Some(format!(
                "not stationary: {} in the first half of {seconds} s and {} in the second, so no single percentile describes the whole load",
                time(first),
                time(second)
            ));
        }
        (share > until.share).then(|| {
            let longer = (share / until.share).powi(2) * precise(self.seconds);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "positive; saturates"
            )]
            let longer = longer.ceil() as u64;
            let after = format!("±{} after {seconds} s", percent(share));
            if longer > HOPELESS * self.seconds {
                return format!("{after}; it varies so much that a longer load would hardly help");
            }
            format!("{after}; at this rate it takes about {} s", count(longer.max(self.seconds + 1)))
        })
    }

    /// The verdict.
    #[must_use]
    pub fn judge(&self, record: &Record) -> Verdict {
        let unreliable = if record.load.as_ref().is_some_and(|load| load.died().is_some()) {
            Some("a worker process died, and took its share of the samples with it")
        } else if record.generator.bottlenecks.is_empty() {
            None
        } else {
            Some("the generator itself was late, so the times are unreliable")
        };
        let why = self.unreached_because().or_else(|| unreliable.map(str::to_owned));
        let finding = match why {
            None => Finding::holds(self.samples, format!("{}: {}", self.asked, self.in_words())),
            Some(why) => Finding::inconclusive(format!("{}: {why}", self.asked)),
        };
        finding.verdict(CHECK, Force::Threshold)
    }

    /// The percentile with its interval.
    #[must_use]
    pub fn in_words(&self) -> String {
        let at = |us: Option<u64>| us.map_or_else(|| "?".to_owned(), time);
        let within = self.width().map(|width| format!(" ({width})")).unwrap_or_default();
        format!(
            "{}{within}, between {} and {} at 95 % confidence, after {} s",
            at(self.estimate_us),
            at(self.low_us),
            at(self.high_us),
            count(self.seconds)
        )
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts and times of a bounded run are far below 2^53")]
fn precise(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::{Confidence, Until};
    use crate::load::{DiedProcess, LoadProcessRecord, LoadRecord};
    use crate::run::Record;
    use crate::verdict::Conclusion;

    #[test]
    fn an_interval_is_read_with_either_sign() {
        for text in ["e2e p(99) ±5%", "ack p(99.9)+-0.5%", "bystander p( 50 ) ± 10 %"] {
            assert_eq!(text.parse::<Until>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_invalid_interval_is_rejected_with_an_example() {
        for (text, why) in [
            ("e2e p(99) 5%", "has no ±"),
            ("e2e ±5%", "has no percentile"),
            ("e2e p(98) ±5%", "unknown percentile"),
            ("e2e max ±5%", "unknown percentile"),
            ("loss p(99) ±5%", "unknown time"),
            ("connack p(99) ±5%", "unknown time"),
            ("e2e p(99) ±5ms", "from 0.1% to 50%"),
            ("e2e p(99) ±0%", "from 0.1% to 50%"),
            ("e2e p(99) ±51%", "from 0.1% to 50%"),
        ] {
            let refused = text.parse::<Until>().unwrap_err();
            assert!(refused.contains(why) && refused.contains("'e2e p(99) ±5%'"), "{text}: {refused}");
        }
    }

    /// A percentile that is known within a twentieth.
    fn sure() -> Confidence {
        Confidence {
            asked: "e2e p(99) ±5%".to_owned(),
            estimate_us: Some(1_000),
            low_us: Some(960),
            high_us: Some(1_050),
            halves_us: None,
            samples: 5_000,
            seconds: 12,
        }
    }

    #[test]
    fn an_interval_holds_only_within_its_width_on_both_sides() {
        let conclusion = |confidence: Confidence| confidence.judge(&Record::default()).conclusion;
        assert_eq!(conclusion(sure()), Conclusion::Holds);
        for wide in [
            Confidence { high_us: Some(1_051), ..sure() },
            Confidence { low_us: Some(949), ..sure() },
            Confidence { high_us: None, ..sure() },
            Confidence { estimate_us: None, ..sure() },
            Confidence { halves_us: Some([900, 1_100]), ..sure() },
            Confidence { asked: "nothing".to_owned(), ..sure() },
        ] {
            assert_eq!(conclusion(wide.clone()), Conclusion::Inconclusive, "{wide:?}");
        }
    }

    #[test]
    fn a_late_generator_or_a_dead_process_leaves_nothing_sure() {
        let mut late = Record::default();
        late.generator.bottlenecks.push("its slip was 30 ms".to_owned());
        let died = LoadProcessRecord { died: Some(DiedProcess::default()), ..LoadProcessRecord::default() };
        let dead = LoadRecord { processes: vec![died], ..LoadRecord::default() };
        let dead = Record { load: Some(dead), ..Record::default() };
        for (record, why) in [(late, "generator itself was late"), (dead, "a worker process died")] {
            let verdict = sure().judge(&record);
            assert_eq!(verdict.conclusion, Conclusion::Inconclusive);
            assert!(verdict.evidence.contains(why), "{}", verdict.evidence);
        }
    }

    #[test]
    fn the_words_have_every_number() {
        let words = sure().in_words();
        assert_eq!(words, "1.00 ms (±5.0 %), between 960 µs and 1.05 ms at 95 % confidence, after 12 s");
    }
}
