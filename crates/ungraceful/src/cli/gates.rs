//! What decides whether a run passes, beside its checks: the user's thresholds, and deviations that the user knows and accepts.

use std::path::{Path, PathBuf};

use clap::Args;
use ungraceful_flags::{Given, Mistake};
use ungraceful_record::accepted::Accepted;
use ungraceful_record::check::Check;
use ungraceful_record::figures::Needs;
use ungraceful_record::rate_search::Promise;
use ungraceful_record::threshold::{self, Threshold};

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Gates")]
pub struct GateArgs {
    /// Condition that the run must meet, such as 'reaction p(99)<50ms', 'bystander p(99)<2x baseline' or 'loss==0'; repeatable.
    /// Exit code 1 if one is not met, 3 if there are too few samples. A wrong one lists all names
    #[arg(long, value_name = "EXPRESSION")]
    pub threshold: Vec<Given<Threshold>>,
    /// Known deviation that fails no run, CHECK=REASON or CHECK@CASE=REASON; repeatable. CASE is fault, variant or version, or several
    /// of them, such as clean/5.0. The report shows it with the reason, and tells when it no longer shows
    #[arg(long, value_name = "CHECK[@CASE]=REASON")]
    pub accept: Vec<Given<Accepted>>,
    /// File with known deviations, one per line as for --accept; # begins a comment line
    #[arg(long, value_name = "FILE")]
    pub accept_file: Option<PathBuf>,
}

/// What a mode never measures, with what would.
pub type Never = Vec<(&'static str, &'static str)>;

impl GateArgs {
    /// The thresholds. A mistake is added for each that this run could not conclude: it `never` measures the subject, or does not do
    /// what the subject needs.
    pub fn thresholds(
        &self,
        lacks: &[(Needs, &str)],
        never: &Never,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<Threshold> {
        const FLAG: &str = "--threshold";
        let thresholds: Vec<Threshold> =
            self.threshold.iter().filter_map(|threshold| threshold.take(FLAG, mistakes)).collect();
        check_thresholds(&thresholds, FLAG, lacks, never, mistakes);
        thresholds
    }

    /// The deviations that the user accepts. A mistake is added for each whose check the run does not have.
    pub fn accepted(&self, checks: &[Check], mistakes: &mut Vec<Mistake>) -> Vec<Accepted> {
        let mut all = Vec::new();
        for given in &self.accept {
            let of_flag = given.take("--accept", mistakes);
            all.extend(of_flag.filter(|accepted| is_known(accepted, checks, "--accept", "", mistakes)));
        }
        if let Some(path) = &self.accept_file {
            all.extend(of_file(path, checks, mistakes));
        }
        all
    }
}

fn of_file(path: &Path, checks: &[Check], mistakes: &mut Vec<Mistake>) -> Vec<Accepted> {
    const FLAG: &str = "--accept-file";
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            mistakes.push(Mistake::new(FLAG, format!("{}: {error}", path.display())));
            return Vec::new();
        }
    };
    let mut all = Vec::new();
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    for (line, number) in lines.zip(1_u64..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#')) {
        let place = format!("{}, line {number}: ", path.display());
        match line.parse::<Accepted>() {
            Ok(accepted) if is_known(&accepted, checks, FLAG, &place, mistakes) => all.push(accepted),
            Ok(_) => {}
            Err(what) => mistakes.push(Mistake::new(FLAG, format!("{place}{what}"))),
        }
    }
    all
}

/// Whether the run has such a check; if not, a mistake is added.
fn is_known(
    accepted: &Accepted,
    checks: &[Check],
    flag: &str,
    place: &str,
    mistakes: &mut Vec<Mistake>,
) -> bool {
    let mut names: Vec<&str> = checks.iter().map(|check| check.claim).chain([threshold::CHECK]).collect();
    if names.contains(&accepted.check.as_str()) {
        return true;
    }
    names.sort_unstable();
    names.dedup();
    let what =
        format!("{place}this run has no check {:?}; its checks are {}", accepted.check, names.join(", "));
    mistakes.push(Mistake::new(flag, what));
    false
}

/// Reports thresholds on what this run never measures: they would be inconclusive after the whole run.
fn check_thresholds(
    thresholds: &[Threshold],
    flag: &str,
    lacks: &[(Needs, &str)],
    never: &Never,
    mistakes: &mut Vec<Mistake>,
) {
    let subjects = thresholds.iter().map(|threshold| (threshold.subject(), threshold.needs()));
    check_subjects(subjects, flag, lacks, never, mistakes);
}

/// Reports what a flag names, each with what it needs, and this run never measures.
pub fn check_subjects(
    subjects: impl IntoIterator<Item = (&'static str, Needs)>,
    flag: &str,
    lacks: &[(Needs, &str)],
    never: &Never,
    mistakes: &mut Vec<Mistake>,
) {
    for (subject, needed) in subjects {
        let by_need = lacks.iter().find(|(needs, _)| *needs == needed).map(|(_, cure)| *cure);
        let by_name = never.iter().find(|(name, _)| *name == subject).map(|(_, cure)| *cure);
        if let Some(cure) = by_name.or(by_need) {
            mistakes.push(Mistake::new(flag, format!("{subject} is not measured in this run: {cure}")));
        }
    }
}

/// As [`GateArgs::thresholds`], for those of a rate search's promise.
pub fn check_promise(promise: Option<&Promise>, never: &Never, mistakes: &mut Vec<Mistake>) {
    let thresholds = promise.map(Promise::thresholds).unwrap_or_default();
    check_thresholds(thresholds, "--find-rate", &[], never, mistakes);
}
