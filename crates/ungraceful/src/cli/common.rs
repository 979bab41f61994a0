//! The flags of a run that mean the same in every tool.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::gates::GateArgs;
use crate::cli::repeats::RepeatArgs;
use clap::Args;
use ungraceful_flags::{Mistake, PerSecond, PositiveTime, Time, Whole, reader};
use ungraceful_mqtt::QoS;
use ungraceful_report::Format;
use ungraceful_rig::bystanders::BystanderSettings;
use ungraceful_rig::run::plan::Arrival;
use ungraceful_rig::run::seed::Seed;
use ungraceful_rig::run::settings::PhaseSettings;

use crate::cli::metrics_address::MetricsAddress;

/// Maximum number of attempts of a run.
pub const ATTEMPTS_MAX: u64 = 10_000_000;

/// Size, rate and duration of a run that makes attempts.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Run")]
pub struct RunArgs {
    /// Maximum number of clients that misbehave at the same time
    #[arg(short = 'c', long, value_name = "N", default_value = "1000")]
    pub count: Whole<1, 1_000_000>,
    /// Connection attempts per second, over all variants and versions
    #[arg(short = 'R', long, value_name = "PER_SECOND", default_value = "100")]
    pub connrate: PerSecond,
    /// Attempts per variant and version
    #[arg(long, value_name = "N", default_value = "100")]
    pub attempts: Whole<1, ATTEMPTS_MAX>,
    /// Run attempts for this long, instead of a fixed number (--attempts)
    #[arg(short = 'z', long, value_name = "TIME")]
    pub duration: Option<PositiveTime>,
    /// The flags of every run.
    #[command(flatten)]
    pub every: EveryRunArgs,
    /// How long to wait for the broker's reaction; later reactions are not seen
    #[arg(long, help_heading = "Run", value_name = "TIME", default_value = "5s")]
    pub reaction_timeout: PositiveTime,
    /// How long to wait for a Will after a connection ends
    #[arg(long, help_heading = "Run", value_name = "TIME", default_value = "10s")]
    pub will_wait: PositiveTime,
    /// The limit on recorded attempts.
    #[command(flatten)]
    pub lines: AttemptLinesArgs,
}

/// The limit on recorded attempts.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub struct AttemptLinesArgs {
    /// Maximum number of lines in attempts.ndjson; further attempts are only counted
    #[arg(long, help_heading = "Output", value_name = "N", default_value = "1000000")]
    pub attempts_max: Whole<0, 1_000_000_000>,
}

/// The flags of every run, of attempts or of load.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Run")]
pub struct EveryRunArgs {
    /// How attempts or messages are distributed over time: uniform or poisson
    #[arg(long, value_name = "ARRIVAL", default_value = "uniform", value_parser = reader::<Arrival>())]
    pub arrival: Arrival,
    /// Prefix of every ClientID: at most 6 letters and digits
    #[arg(short = 'i', long, value_name = "PREFIX", default_value = "ug")]
    pub client_id_prefix: String,
    /// Warm-up before anything is counted
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub warmup: Time,
    /// Duration of the baseline, with bystanders alone: the reference for the fault or the load
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub baseline: PositiveTime,
    /// Maximum time for the bystanders to return to the baseline's p99
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub recovery: Time,
    /// Well-behaved publisher/subscriber pairs that measure side effects; 0 for none
    #[arg(long, value_name = "PAIRS", default_value = "3")]
    pub bystanders: Whole<0, 1_000>,
    /// Messages per second of each pair
    #[arg(long, value_name = "PER_SECOND", default_value = "100")]
    pub bystander_rate: Whole<1, 10_000>,
    /// QoS of the pairs, assigned in turn; use 0,1 for a broker without QoS 2
    #[arg(long, value_name = "QOS", default_value = "0,1,2", value_delimiter = ',', value_parser = reader::<QoS>())]
    pub bystander_qos: Vec<QoS>,
    /// How late the generator may be at the 99th percentile before the run's times count as unreliable
    #[arg(long, value_name = "TIME", default_value = "20ms")]
    pub slip_limit: PositiveTime,
    /// Random seed, to repeat a run; without it, a seed is drawn and printed
    #[arg(long, value_name = "NUMBER", value_parser = reader::<Seed>())]
    pub seed: Option<Seed>,
    /// Several runs, and their comparison.
    #[command(flatten)]
    pub repeats: RepeatArgs,
    /// What decides whether it passes.
    #[command(flatten)]
    pub gates: GateArgs,
    /// Worker threads; the bystanders have one more [default: one per core; for a load, one for every 500
    /// clients, at most one per core]
    #[arg(long, help_heading = "Run", value_name = "N")]
    pub threads: Option<Whole<1, 256>>,
}

/// The output of a run.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Folder for the record; must not contain one yet [default: a new one in results/, named by time, tool and seed]
    #[arg(short = 'o', long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Format of the result on standard output: text, json, csv, markdown, or junit with a test case for each verdict
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = reader::<Format>())]
    pub format: Format,
    /// Write the result as JUnit XML into this file, too; an existing file is replaced
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write what happens, as it happens, into this file: an event a line as JSON, with the state of the run once a second; an
    /// existing file is replaced. With - the events are on standard output, and the result is on standard error
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Serve the state of the run as OpenMetrics while it lasts, by HTTP at the path /metrics: on a port of loopback, such as 9464, or
    /// on an address of this machine, such as 10.0.0.5:9464
    #[arg(long, value_name = "ADDRESS", value_parser = reader::<MetricsAddress>())]
    pub metrics: Option<MetricsAddress>,
    /// Print no progress: only notes, such as which broker was found, and the result
    #[arg(long)]
    pub quiet: bool,
    /// Show no progress on standard error
    #[arg(long)]
    pub no_progress: bool,
    /// Print what would be sent and when, without sending anything
    #[arg(long)]
    pub print_plan: bool,
    /// Print what the run needs of this machine (descriptors, ports, memory, cores) and what there is, without sending anything;
    /// exit code 2 if it does not fit
    #[arg(long, conflicts_with = "print_plan")]
    pub preflight: bool,
    /// Read flags from a TOML file, one per long flag, such as `count = 50`; the command line and the environment override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl OutputArgs {
    /// Whether the call only prints, and neither sends nor writes anything.
    #[must_use]
    pub fn only_prints(&self) -> bool {
        self.print_plan || self.preflight
    }

    /// Whether events are on standard output, and the result therefore on standard error.
    #[must_use]
    pub fn events_on_stdout(&self) -> bool {
        !self.only_prints() && self.events.as_deref().is_some_and(is_stdout)
    }
}

/// Whether a file's name stands for standard output.
pub(crate) fn is_stdout(file: &Path) -> bool {
    file == Path::new("-")
}

/// The settings of a run of attempts, read and checked.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// Clients at the same time.
    pub clients: NonZeroU32,
    /// Attempts per second.
    pub per_second: f64,
    /// Attempts of each case.
    pub attempts: Attempts,
    /// How long to wait for the broker's reaction.
    pub reaction_timeout: Duration,
    /// How long to wait for a Will.
    pub will_wait: Duration,
    /// Maximum number of lines in `attempts.ndjson`.
    pub attempts_max: u64,
    /// Worker threads.
    pub threads: NonZeroU32,
    /// The settings of every run.
    pub every: EveryRunSettings,
}

/// The settings of every run, read and checked.
#[derive(Clone, Debug)]
pub struct EveryRunSettings {
    /// How attempts or messages are distributed over time.
    pub arrival: Arrival,
    /// The phases.
    pub phases: PhaseSettings,
    /// The bystanders.
    pub bystanders: BystanderSettings,
    /// Schedule slip above which times are unreliable.
    pub slip_limit: Duration,
    /// The seed.
    pub seed: Seed,
    /// Threads; absent when the user gave no number.
    pub threads: Option<NonZeroU32>,
}

/// The number of attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attempts {
    /// This many of each case.
    PerCase(u64),
    /// As many as are due in this time, over all cases.
    For(Duration),
}

impl Attempts {
    /// Attempts of each of `cases` cases, at least one.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a positive count that is checked against ATTEMPTS_MAX afterwards; the cast saturates"
    )]
    pub fn per_case(self, per_second: f64, cases: u64) -> u64 {
        match self {
            Self::PerCase(attempts) => attempts,
            Self::For(duration) => {
                let all = (duration.as_secs_f64() * per_second).ceil();
                ((all / cases.max(1) as f64).ceil() as u64).max(1)
            }
        }
    }
}

impl RunArgs {
    /// The settings. Mistakes are added to the list.
    pub fn settings(&self, mistakes: &mut Vec<Mistake>) -> RunSettings {
        let every = self.every.settings(mistakes);
        let per_case = Attempts::PerCase(self.attempts.0);
        RunSettings {
            clients: non_zero(self.count.0),
            per_second: self.connrate.0,
            attempts: self.duration.map_or(per_case, |duration| Attempts::For(duration.0)),
            reaction_timeout: self.reaction_timeout.0,
            will_wait: self.will_wait.0,
            attempts_max: self.lines.attempts_max.0,
            threads: every.threads.unwrap_or_else(cores),
            every,
        }
    }
}

impl EveryRunArgs {
    /// The settings. Mistakes are added to the list.
    pub fn settings(&self, mistakes: &mut Vec<Mistake>) -> EveryRunSettings {
        self.check_prefix(mistakes);
        EveryRunSettings {
            arrival: self.arrival,
            phases: PhaseSettings {
                warmup: self.warmup.0,
                baseline: self.baseline.0,
                recovery: self.recovery.0,
            },
            bystanders: BystanderSettings {
                pairs: self.bystanders.0,
                rate_per_pair: self.bystander_rate.0,
                qos: self.bystander_qos.clone(),
            },
            slip_limit: self.slip_limit.0,
            seed: self.seed.unwrap_or_else(Seed::draw),
            threads: self.threads.map(|threads| non_zero(threads.0)),
        }
    }

    /// The whole ClientID must stay within the 23 letters and digits that every 3.1.1 broker accepts.
    fn check_prefix(&self, mistakes: &mut Vec<Mistake>) {
        let prefix = &self.client_id_prefix;
        if prefix.len() > 6 || !prefix.chars().all(|c| c.is_ascii_alphanumeric()) {
            mistakes.push(Mistake::new(
                "--client-id-prefix",
                format!("{prefix:?} must be at most 6 letters and digits (MQTT 3.1.1 [MQTT-3.1.3-5])"),
            ));
        }
    }
}

/// A number that the flag's bounds keep within the type.
fn non_zero(number: u64) -> NonZeroU32 {
    u32::try_from(number).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

/// Cores that this process may use.
#[must_use]
pub fn cores() -> NonZeroU32 {
    std::thread::available_parallelism()
        .ok()
        .and_then(|cores| NonZeroU32::try_from(cores).ok())
        .unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Attempts;

    #[test]
    fn a_duration_is_shared_between_cases_with_at_least_one_each() {
        let ten_seconds = Attempts::For(Duration::from_secs(10));
        assert_eq!(ten_seconds.per_case(100.0, 10), 100);
        assert_eq!(ten_seconds.per_case(100.0, 3), 334);
        assert_eq!(Attempts::For(Duration::from_millis(1)).per_case(1.0, 10), 1);
        assert_eq!(Attempts::PerCase(7).per_case(100.0, 10), 7);
    }
}
