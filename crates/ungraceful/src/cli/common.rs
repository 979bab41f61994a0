//! The flags of a run that mean the same in every tool.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ungraceful_mqtt::QoS;
use ungraceful_report::Format;
use ungraceful_rig::bystanders::BystanderSettings;
use ungraceful_rig::error::Mistake;
use ungraceful_rig::run::plan::Arrival;
use ungraceful_rig::run::seed::Seed;
use ungraceful_rig::run::settings::PhaseSettings;

use super::given::{Given, PerSecond, Readable, Time, Whole};

/// The longest that any phase or wait may be set to.
pub const TIME_MAX: Duration = Duration::from_secs(24 * 3_600);
/// The most attempts that a run may have in all.
pub const ATTEMPTS_MAX: u64 = 10_000_000;

/// How much, how fast, how long, and who stands by.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Run")]
pub struct RunArgs {
    /// Clients that misbehave at the same time, at the most
    #[arg(
        short = 'c',
        long,
        value_name = "N",
        env = "UNGRACEFUL_COUNT",
        default_value = "1000",
        allow_hyphen_values = true
    )]
    pub count: Given<Whole<1, 1_000_000>>,
    /// Connections begun for attempts per second, over all variants and versions
    #[arg(
        short = 'R',
        long,
        value_name = "PER_SECOND",
        env = "UNGRACEFUL_CONNRATE",
        default_value = "100",
        allow_hyphen_values = true
    )]
    pub connrate: Given<PerSecond>,
    /// Attempts per variant and version
    #[arg(
        long,
        value_name = "N",
        env = "UNGRACEFUL_ATTEMPTS",
        default_value = "100",
        allow_hyphen_values = true
    )]
    pub attempts: Given<Whole<1, ATTEMPTS_MAX>>,
    /// Keep attempting for so long, in place of --attempts
    #[arg(short = 'z', long, value_name = "TIME", env = "UNGRACEFUL_DURATION", allow_hyphen_values = true)]
    pub duration: Option<Given<Time>>,
    /// What every run has.
    #[command(flatten)]
    pub every: EveryRunArgs,
    /// How long the broker has to react; what it does later is not seen
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_REACTION_TIMEOUT",
        default_value = "5s",
        allow_hyphen_values = true
    )]
    pub reaction_timeout: Given<Time>,
    /// How long the witness waits for a Will after the end of a connection
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_WILL_WAIT",
        default_value = "10s",
        allow_hyphen_values = true
    )]
    pub will_wait: Given<Time>,
    /// How many lines its attempts have.
    #[command(flatten)]
    pub lines: AttemptLinesArgs,
}

/// How much is kept of the attempts, one by one.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub struct AttemptLinesArgs {
    /// Lines in attempts.ndjson at the most; what is left out is counted
    #[arg(
        long,
        help_heading = "Output",
        value_name = "N",
        env = "UNGRACEFUL_ATTEMPTS_MAX",
        default_value = "1000000",
        allow_hyphen_values = true
    )]
    pub attempts_max: Given<Whole<0, 1_000_000_000>>,
}

/// What every run has, whether it attempts something or makes load.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Run")]
pub struct EveryRunArgs {
    /// How attempts, or messages of a load, are spread in time: uniform or poisson
    #[arg(long, value_name = "ARRIVAL", env = "UNGRACEFUL_ARRIVAL", default_value = "uniform")]
    pub arrival: Given<Arrival>,
    /// Start of every ClientID: at most 6 letters and digits
    #[arg(
        short = 'i',
        long,
        value_name = "PREFIX",
        env = "UNGRACEFUL_CLIENT_ID_PREFIX",
        default_value = "ug"
    )]
    pub client_id_prefix: String,
    /// Warm-up: everything is connected, nothing is counted
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_WARMUP",
        default_value = "1s",
        allow_hyphen_values = true
    )]
    pub warmup: Given<Time>,
    /// Baseline: bystanders alone, what the fault or the load is compared with
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_BASELINE",
        default_value = "5s",
        allow_hyphen_values = true
    )]
    pub baseline: Given<Time>,
    /// Longest time for the bystanders to be back within the baseline's p99
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_RECOVERY",
        default_value = "10s",
        allow_hyphen_values = true
    )]
    pub recovery: Given<Time>,
    /// Honest publisher-subscriber pairs that suffer or do not; 0 for none
    #[arg(
        long,
        value_name = "PAIRS",
        env = "UNGRACEFUL_BYSTANDERS",
        default_value = "3",
        allow_hyphen_values = true
    )]
    pub bystanders: Given<Whole<0, 1_000>>,
    /// Messages per second of each pair
    #[arg(
        long,
        value_name = "PER_SECOND",
        env = "UNGRACEFUL_BYSTANDER_RATE",
        default_value = "100",
        allow_hyphen_values = true
    )]
    pub bystander_rate: Given<Whole<1, 10_000>>,
    /// QoS of the pairs, in turn; give 0,1 for a broker without QoS 2
    #[arg(
        long,
        value_name = "QOS",
        env = "UNGRACEFUL_BYSTANDER_QOS",
        default_value = "0,1,2",
        value_delimiter = ','
    )]
    pub bystander_qos: Vec<Given<QoS>>,
    /// How late our own schedule may run at the 99th percentile before the run's times are called unreliable
    #[arg(
        long,
        value_name = "TIME",
        env = "UNGRACEFUL_SLIP_LIMIT",
        default_value = "20ms",
        allow_hyphen_values = true
    )]
    pub slip_limit: Given<Time>,
    /// Makes a run repeatable; drawn and printed when absent
    #[arg(long, value_name = "NUMBER", env = "UNGRACEFUL_SEED", allow_hyphen_values = true)]
    pub seed: Option<Given<Seed>>,
    /// Threads for attempts or load; one more carries the bystanders [default: one per core; for a load, one for every 500
    /// clients, at most one per core]
    #[arg(long, value_name = "N", env = "UNGRACEFUL_THREADS", allow_hyphen_values = true)]
    pub threads: Option<Given<Whole<1, 256>>>,
}

impl Readable for Seed {
    fn read(text: &str) -> Result<Self, String> {
        text.trim()
            .parse()
            .map_err(|_| format!("{text:?} is no seed; give a whole number from 0 to {}", u64::MAX))
    }
}

/// What is written where.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Folder of the record; must not hold one already; by default one of its own in results/, named by time, tool and seed
    #[arg(short = 'o', long, value_name = "DIR", env = "UNGRACEFUL_OUTPUT")]
    pub output: Option<PathBuf>,
    /// Format of the result on standard output: text, json, csv or markdown
    #[arg(long, value_name = "FORMAT", env = "UNGRACEFUL_FORMAT", default_value = "text")]
    pub format: Given<Format>,
    /// Print nothing but the result
    #[arg(long, env = "UNGRACEFUL_QUIET")]
    pub quiet: bool,
    /// Show no progress on standard error
    #[arg(long, env = "UNGRACEFUL_NO_PROGRESS")]
    pub no_progress: bool,
    /// Print what would be sent and when, and send nothing
    #[arg(long)]
    pub print_plan: bool,
    /// Read flags from a TOML file: `count = 50`, one per long flag; the command line and the environment win
    #[arg(long, value_name = "FILE", env = "UNGRACEFUL_CONFIG")]
    pub config: Option<PathBuf>,
}

impl Readable for Format {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is no format; give text, json, csv or markdown"))
    }
}

/// The settings of a run that attempts something, read and checked.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// Clients at the same time.
    pub clients: NonZeroU32,
    /// Attempts per second.
    pub per_second: f64,
    /// Attempts of each case.
    pub attempts: Attempts,
    /// How long the broker has to react.
    pub reaction_timeout: Duration,
    /// How long the witness waits.
    pub will_wait: Duration,
    /// Lines in `attempts.ndjson` at the most.
    pub attempts_max: u64,
    /// Worker threads.
    pub threads: NonZeroU32,
    /// What every run has.
    pub every: EveryRunSettings,
}

/// The settings that every run has, read and checked.
#[derive(Clone, Debug)]
pub struct EveryRunSettings {
    /// How attempts or messages are spread.
    pub arrival: Arrival,
    /// The phases.
    pub phases: PhaseSettings,
    /// The bystanders.
    pub bystanders: BystanderSettings,
    /// Schedule slip beyond which times are not to be relied on.
    pub slip_limit: Duration,
    /// The seed.
    pub seed: Seed,
    /// Threads; absent when the user did not say.
    pub threads: Option<NonZeroU32>,
}

/// How many attempts there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attempts {
    /// So many of each case.
    PerCase(u64),
    /// As many as fall due in this time, over all cases.
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
    /// The settings; absent when a value can't be read. All mistakes are added to the list.
    pub fn settings(&self, mistakes: &mut Vec<Mistake>) -> Option<RunSettings> {
        let clients = self.count.take("--count", mistakes).and_then(|count| non_zero(count.0));
        let per_second = self.connrate.take("--connrate", mistakes);
        let attempts =
            self.attempts.take("--attempts", mistakes).map(|attempts| Attempts::PerCase(attempts.0));
        let duration = self
            .duration
            .as_ref()
            .map(|given| Attempts::For(given.positive("--duration", mistakes).unwrap_or_default()));
        let every = self.every.settings(mistakes);
        let reaction_timeout = self.reaction_timeout.positive("--reaction-timeout", mistakes);
        let will_wait = self.will_wait.positive("--will-wait", mistakes);
        let attempts_max = self.lines.attempts_max.take("--attempts-max", mistakes);
        let every = every?;
        Some(RunSettings {
            clients: clients?,
            per_second: per_second?.0,
            attempts: duration.or(attempts)?,
            reaction_timeout: reaction_timeout?,
            will_wait: will_wait?,
            attempts_max: attempts_max?.0,
            threads: every.threads.unwrap_or_else(cores),
            every,
        })
    }
}

impl EveryRunArgs {
    /// The settings; absent when a value can't be read. All mistakes are added to the list.
    pub fn settings(&self, mistakes: &mut Vec<Mistake>) -> Option<EveryRunSettings> {
        let arrival = self.arrival.take("--arrival", mistakes);
        self.check_prefix(mistakes);
        let warmup = self.warmup.within_a_day("--warmup", mistakes);
        let baseline = self.baseline.positive("--baseline", mistakes);
        let recovery = self.recovery.within_a_day("--recovery", mistakes);
        let slip_limit = self.slip_limit.positive("--slip-limit", mistakes);
        let pairs = self.bystanders.take("--bystanders", mistakes);
        let rate_per_pair = self.bystander_rate.take("--bystander-rate", mistakes);
        let qos: Vec<QoS> =
            self.bystander_qos.iter().filter_map(|qos| qos.take("--bystander-qos", mistakes)).collect();
        let seed = match &self.seed {
            Some(given) => given.take("--seed", mistakes),
            None => Some(Seed::draw()),
        };
        let threads = self.threads.as_ref().map(|given| given.take("--threads", mistakes));
        Some(EveryRunSettings {
            arrival: arrival?,
            phases: PhaseSettings { warmup: warmup?, baseline: baseline?, recovery: recovery? },
            bystanders: BystanderSettings { pairs: pairs?.0, rate_per_pair: rate_per_pair?.0, qos },
            slip_limit: slip_limit?,
            seed: seed?,
            threads: match threads {
                Some(threads) => non_zero(threads?.0),
                None => None,
            },
        })
    }

    /// What we add to the prefix must stay within the 23 letters and digits that every 3.1.1 broker takes.
    fn check_prefix(&self, mistakes: &mut Vec<Mistake>) {
        let prefix = &self.client_id_prefix;
        if prefix.len() > 6 || !prefix.chars().all(|c| c.is_ascii_alphanumeric()) {
            mistakes.push(Mistake::new(
                "--client-id-prefix",
                format!("{prefix:?} must be at most 6 of 0-9, a-z, A-Z (MQTT 3.1.1 [MQTT-3.1.3-5])"),
            ));
        }
    }
}

fn non_zero(number: u64) -> Option<NonZeroU32> {
    u32::try_from(number).ok().and_then(NonZeroU32::new)
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
    fn a_duration_gives_every_case_its_share_of_the_attempts_and_at_least_one() {
        let ten_seconds = Attempts::For(Duration::from_secs(10));
        assert_eq!(ten_seconds.per_case(100.0, 10), 100);
        assert_eq!(ten_seconds.per_case(100.0, 3), 334);
        assert_eq!(Attempts::For(Duration::from_millis(1)).per_case(1.0, 10), 1);
        assert_eq!(Attempts::PerCase(7).per_case(100.0, 10), 7);
    }
}
