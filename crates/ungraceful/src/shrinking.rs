//! `--shrink`: carries out a scenario and ever smaller ones, as quick runs of the same command, until none that is smaller shows the
//! same. `ungraceful_scenario::shrink` proposes them; here they are tried, many in one run where they can't disturb each other.

mod outcome;
mod tries;

use std::time::{Duration, Instant};

use ungraceful_faults::mode::Mode as FaultMode;
use ungraceful_faults::scenario::shrinking::{Shrink, Sought, hex};
use ungraceful_flags::Mistake;
use ungraceful_record::exit::Exit;
use ungraceful_record::run::SettingSource;
use ungraceful_report::Format;
use ungraceful_rig::error::RunError;
use ungraceful_scenario::Scenario;
use ungraceful_scenario::shrink::{Shrinking, Size};
use ungraceful_wire::clock::now;

use self::outcome::{Share, Shrunk, sizes};
use self::tries::{Stopped, Tries};
use crate::cli::common::{EveryRunArgs, OutputArgs};
use crate::cli::parse::Parsed;
use crate::launch::{Call, prepare, print, print_error};

/// The file of the result, in the folder of the records.
const SHRUNK: &str = "shrunk.toml";
/// Scenarios that are tried in one run at most; after each run in which nothing shows it, the next has twice as many.
const BATCH: std::ops::RangeInclusive<usize> = 8..=64;
/// Attempts of one run at most: a scenario that shows something now and then is carried out several times.
const ATTEMPTS_MAX: usize = 256;
/// The probability, in percent, of missing what shows as often as in the first tries.
const MISSED_PERCENT: f64 = 1.0;

/// Shrinks, and prints the result.
pub(crate) fn run(
    call: &Call<'_>,
    mode: &dyn FaultMode,
    parsed: &Parsed,
    shrink: Shrink,
) -> Result<Exit, RunError> {
    let output = parsed.read::<OutputArgs>();
    let mut mistakes = rejected(&output, parsed);
    let scenario = shrink.scenario.map_err(|found| mistakes.extend(found)).ok();
    let scenario = match scenario {
        Some(scenario) if mistakes.is_empty() => scenario,
        // The other mistakes of the call are reported with them.
        _ => {
            if let Err(RunError::Usage(others)) = prepare(call, mode, parsed) {
                mistakes.extend(others);
            }
            if mistakes.is_empty() {
                mistakes.push(Mistake::new("--shrink", "there is no scenario to shrink: name one"));
            }
            return Err(RunError::Usage(mistakes));
        }
    };
    let mut tries = Tries::new(call, mode, parsed, &scenario)?;
    let file = tries.folder().join(SHRUNK);
    if file.exists() {
        let what = format!("{} exists, and nothing is overwritten; choose another folder", file.display());
        return Err(RunError::Usage(vec![Mistake::new("--output", what)]));
    }
    let mut shrinker = Shrinker { tries: &mut tries, budget: shrink.budget, quiet: output.quiet };
    let Some(shrunk) = shrinker.shrink(scenario, shrink.until, shrink.tries)? else {
        return Ok(Exit::Interrupted);
    };
    let written = shrunk.write(&file)?;
    let command = tries.command(parsed, written.as_deref());
    let printed = match output.format {
        Format::Json => print(&shrunk.json(&command, written.as_deref())),
        _ => print(&shrunk.text(&command, written.as_deref())),
    };
    Ok(if printed == Exit::Environment { printed } else { shrunk.exit })
}

/// Rejects flags of shrinking in a call without it. Environment variables may be meant for other tools.
pub(crate) fn reject_without_it(parsed: &Parsed) -> Result<(), RunError> {
    let is_without = parsed.settings.get("shrink").is_some_and(|shrink| shrink.value == "false");
    let is_given = |flag: &&str| {
        let source = parsed.settings.get(*flag).map(|setting| setting.source);
        matches!(source, Some(SettingSource::Flag | SettingSource::File))
    };
    let given = ["until", "tries", "budget"].into_iter().filter(|flag| is_without && is_given(flag));
    let what = "has an effect only with --shrink; give that too";
    let mistakes: Vec<Mistake> = given.map(|flag| Mistake::new(format!("--{flag}"), what)).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(RunError::Usage(mistakes)) }
}

/// Flags that make no sense with several quick runs.
fn rejected(output: &OutputArgs, parsed: &Parsed) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut reject = |is_given: bool, flag: &str, what: &str| {
        if is_given {
            mistakes.push(Mistake::new(flag, what));
        }
    };
    let repeats = parsed.read::<EveryRunArgs>().repeats;
    reject(
        repeats.is_any(),
        "--shrink",
        "has runs of its own; give it without --repeat, --against and --compare-with",
    );
    let what = "is of one run; give it without --shrink";
    reject(output.junit.is_some(), "--junit", what);
    reject(output.events.is_some(), "--events", what);
    reject(output.metrics.is_some(), "--metrics", what);
    let is_shown = matches!(output.format, Format::Text | Format::Json);
    reject(!is_shown, "--format", "what was shrunk is printed as text or json");
    mistakes
}

/// The search for the smallest scenario.
struct Shrinker<'a> {
    tries: &'a mut Tries,
    budget: Duration,
    quiet: bool,
}

impl Shrinker<'_> {
    /// Measures the scenario, shrinks it, and measures the smallest. Absent when it was interrupted before anything is known.
    fn shrink(
        &mut self,
        scenario: Scenario,
        until: Option<Sought>,
        times: u64,
    ) -> Result<Option<Shrunk>, RunError> {
        self.note(&format!("carrying out {} {times} times", scenario.id));
        let first = self.tries.measure(&scenario, until, times)?;
        if first.was_interrupted && first.share.shown == 0 {
            return Ok(None);
        }
        let mut shrunk = Shrunk::new(scenario.clone(), first.sought.clone(), first.share, first.exit);
        let Some(sought) = first.sought.filter(|_| first.share.shown > 0) else {
            shrunk.other_notes = first.differs;
            return Ok(Some(shrunk));
        };
        self.note(&format!("shown in {}: {sought}", first.share));
        if first.was_interrupted {
            shrunk.ended_by = Some("it was interrupted".to_owned());
            return Ok(Some(shrunk));
        }
        if sought == Sought::Died && !self.tries.owns_broker() {
            let why =
                "the broker is down, and only one that this program starts is started again; give --spawn";
            shrunk.ended_by = Some(why.to_owned());
            return Ok(Some(shrunk));
        }
        let copies = first.share.copies();
        shrunk.copies = copies;
        let mut shrinking = Shrinking::new(scenario, sought.kept());
        shrunk.keeps_client = shrinking.keeps_client();
        let ended_by = self.search(&mut shrinking, &sought, copies, now())?;
        shrunk.smallest = shrinking.smallest().clone();
        shrunk.candidates = self.tries.candidates;
        shrunk.ended_by = ended_by.as_ref().map(Stopped::why);
        if ended_by.is_none_or(|ended_by| ended_by == Stopped::OutOfBudget) {
            let last = self.tries.measure(&shrunk.smallest, Some(sought), times)?;
            shrunk.last = Some(last.share);
        }
        shrunk.hex = hex(&shrunk.smallest);
        Ok(Some(shrunk))
    }

    /// Tries one batch of candidates after another. Returns what ended it before there were none.
    fn search(
        &mut self,
        shrinking: &mut Shrinking,
        sought: &Sought,
        copies: usize,
        began: Instant,
    ) -> Result<Option<Stopped>, RunError> {
        let most = (ATTEMPTS_MAX / copies).clamp(1, *BATCH.end());
        let mut size = (*BATCH.start()).min(most);
        while shrinking.candidate().is_some() {
            if now().duration_since(began) >= self.budget {
                return Ok(Some(Stopped::OutOfBudget));
            }
            // A broker that goes down takes all attempts of its run with it.
            let batch = next(shrinking, if *sought == Sought::Died { 1 } else { size });
            let shows = match self.tries.show(&batch, sought, copies)? {
                Ok(shows) => shows,
                Err(stopped) => return Ok(Some(stopped)),
            };
            // Of several that show it, the smallest; the others are not needed any more.
            let shown =
                (0..shows.len()).filter(|index| shows[*index]).min_by_key(|index| Size::of(&batch[*index]));
            for index in 0..=shown.unwrap_or(shows.len() - 1) {
                shrinking.candidate();
                shrinking.answer(Some(index) == shown);
            }
            size = if shown.is_some() { *BATCH.start() } else { size * 2 }.min(most);
            if shown.is_some() {
                self.note(&format!("{} tried: {}", self.tries.candidates, sizes(shrinking.smallest())));
            }
        }
        Ok(None)
    }

    fn note(&self, text: &str) {
        if !self.quiet {
            print_error(text);
        }
    }
}

/// The next candidates, if none of those before them shows it.
fn next(shrinking: &Shrinking, most: usize) -> Vec<Scenario> {
    let mut ahead = shrinking.clone();
    let mut batch = Vec::new();
    while batch.len() < most
        && let Some(candidate) = ahead.candidate()
    {
        batch.push(candidate.clone());
        ahead.answer(false);
    }
    batch
}

impl Share {
    /// How often a candidate is carried out, so that one which shows it as often as the first is not missed.
    fn copies(self) -> usize {
        if self.shown >= self.of {
            return 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 100")]
        let missed = 1.0 - self.shown as f64 / self.of as f64;
        let mut copies = 1_usize;
        let mut all_missed = missed;
        while all_missed * 100.0 > MISSED_PERCENT && copies < ATTEMPTS_MAX {
            copies += 1;
            all_missed *= missed;
        }
        copies
    }
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn what_shows_rarely_is_tried_until_a_miss_is_below_one_in_a_hundred() {
        let copies = |shown, of| Share { shown, of }.copies();
        assert_eq!((copies(5, 5), copies(4, 5), copies(1, 5), copies(1, 2)), (1, 3, 21, 7));
        // Never more than a run has.
        assert_eq!(copies(1, 100), super::ATTEMPTS_MAX);
    }
}
