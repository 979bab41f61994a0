//! Carries scenarios out, each once or several times, in runs with short phases and a single bystander pair. Every run keeps its record.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use ungraceful_faults::mode::Mode as FaultMode;
use ungraceful_faults::scenario::shrinking::{Sought, connections, faults, is_down};
use ungraceful_mqtt::QoS;
use ungraceful_record::exit::Exit;
use ungraceful_record::expectation::Expected;
use ungraceful_record::live::Unobserved;
use ungraceful_record::run::{Completeness, Record, SettingSource};
use ungraceful_record::verdict::Verdict;
use ungraceful_report::{NOT_RECORDED, shell_command};
use ungraceful_rig::broker::target::BrokerChoice;
use ungraceful_rig::bystanders::BystanderSettings;
use ungraceful_rig::error::RunError;
use ungraceful_rig::run::plan::Arrival;
use ungraceful_rig::run::run;
use ungraceful_rig::run::settings::{
    Attempts, Common, Experiment, PhaseSettings, ScheduleSettings, Spread, Work,
};
use ungraceful_scenario::Scenario;

use super::outcome::Share;
use crate::cli::parse::{Parsed, is_secret};
use crate::launch::{Call, prepare};
use crate::tour::passed_on;

/// How long the broker has to react unless the user says otherwise: a run waits for this long where a client is served.
const REACTION_TIMEOUT: Duration = Duration::from_millis(500);
/// The shortest baseline that is long enough: its figures are not used.
const BASELINE: Duration = Duration::from_millis(50);
/// Attempts begun per second.
const PER_SECOND: f64 = 500.0;
/// A Will counts as lost or as wrongly published in so many attempts at least.
const ATTEMPTS_WITH_WILL: u64 = 3;

/// The runs of one call.
pub(super) struct Tries {
    common: Common,
    attempts: Attempts,
    runs: u64,
    /// Whether the user wants it to end, in a run or between two.
    interrupted: Arc<AtomicBool>,
    /// Scenarios that were tried, besides the first and the smallest.
    pub(super) candidates: u64,
}

/// What ended the search before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    OutOfBudget,
    Interrupted,
    BrokerDown,
    Failed(String),
}

impl Stopped {
    pub(super) fn why(&self) -> String {
        match self {
            Self::OutOfBudget => "its time was over; give a longer --budget".to_owned(),
            Self::Interrupted => "it was interrupted".to_owned(),
            Self::BrokerDown => {
                "the broker went down, and only one that this program starts is started again; give --spawn"
                    .to_owned()
            }
            Self::Failed(why) => why.clone(),
        }
    }
}

/// What the first tries show, or the last.
pub(super) struct Measured {
    /// What was sought, or found; absent if nothing shows.
    pub(super) sought: Option<Sought>,
    pub(super) share: Share,
    /// The exit code that belongs to it.
    pub(super) exit: Exit,
    /// Checks with a note.
    pub(super) differs: Vec<String>,
    pub(super) was_interrupted: bool,
}

impl Tries {
    /// Reads and checks the call.
    pub(super) fn new(
        call: &Call<'_>,
        mode: &dyn FaultMode,
        parsed: &Parsed,
        scenario: &Scenario,
    ) -> Result<Self, RunError> {
        let (mut common, mut attempts, _output) = prepare(call, mode, parsed)?;
        common.phases =
            PhaseSettings { warmup: Duration::ZERO, baseline: BASELINE, recovery: Duration::ZERO };
        // One that publishes often shows sooner than a probe that the broker is alive.
        common.bystanders = BystanderSettings { pairs: 1, rate_per_pair: 200, qos: vec![QoS::AtMostOnce] };
        common.thresholds = Vec::new();
        common.target.versions.clone_from(&scenario.versions);
        common.target.versions_required = true;
        let given = parsed.settings.get("reaction-timeout");
        if given.is_none_or(|setting| setting.source == SettingSource::Default) {
            attempts.reaction_timeout = REACTION_TIMEOUT;
        }
        let has_will = scenario.expects.iter().any(|expect| matches!(expect.what, Expected::Will(_)));
        attempts.schedule = ScheduleSettings {
            attempts_per_case: if has_will { ATTEMPTS_WITH_WILL } else { 1 },
            spread: Spread::Rate { per_second: PER_SECOND, arrival: Arrival::Uniform },
        };
        let interrupted = interrupts();
        Ok(Self { interrupted, common, attempts, runs: 0, candidates: 0 })
    }

    /// Where the records of all runs are.
    pub(super) fn folder(&self) -> &Path {
        &self.common.output
    }

    /// Whether each run starts a broker of its own.
    pub(super) const fn owns_broker(&self) -> bool {
        !matches!(self.common.target.broker, BrokerChoice::Host { .. })
    }

    /// How often a scenario shows what is sought, or what it shows.
    pub(super) fn measure(
        &mut self,
        scenario: &Scenario,
        until: Option<Sought>,
        times: u64,
    ) -> Result<Measured, RunError> {
        if until == Some(Sought::Died) {
            return self.measure_deaths(scenario, times);
        }
        let copies: Vec<Scenario> = (0..times).map(|copy| numbered(scenario, copy)).collect();
        let record = self.carry_out(&copies)?;
        let sought = match until {
            None if is_down(&record) && self.owns_broker() => {
                return self.measure_deaths(scenario, times);
            }
            None => Sought::of_record(&record),
            Some(sought) => Some(sought),
        };
        let shows = |sought: &Sought| {
            let shown = record.cases.iter().filter(|case| sought.shows_in(&record, case)).count();
            u64::try_from(shown).unwrap_or(u64::MAX)
        };
        let share = match &sought {
            // All were under way together.
            Some(Sought::Died) => Share { shown: 1, of: 1 },
            sought => Share { shown: sought.as_ref().map_or(0, shows), of: times },
        };
        let mut differs: Vec<String> = record
            .verdicts
            .iter()
            .filter(|verdict| verdict.case.is_some() && verdict.differs.is_some())
            .map(|verdict| verdict.check.clone())
            .collect();
        differs.dedup();
        let was_interrupted = self.was_interrupted(&record);
        let exit = exit(sought.as_ref().filter(|_| share.shown > 0), &record);
        Ok(Measured { sought, share, exit, differs, was_interrupted })
    }

    /// How often the broker goes down: a run for each try. Where this program does not start the broker again, the first time is the last.
    fn measure_deaths(&mut self, scenario: &Scenario, times: u64) -> Result<Measured, RunError> {
        let mut share = Share { shown: 0, of: 0 };
        let (mut exit_code, mut was_interrupted) = (Exit::Holds, false);
        // A run ends later with bystanders whose broker is gone.
        self.common.bystanders.pairs = 0;
        while share.of < times && !was_interrupted && (self.owns_broker() || share.shown == 0) {
            let record = self.carry_out(std::slice::from_ref(scenario))?;
            was_interrupted = self.was_interrupted(&record);
            share.of += 1;
            share.shown += u64::from(is_down(&record));
            let of_run = exit(is_down(&record).then_some(&Sought::Died), &record);
            exit_code = if exit_code == Exit::Holds { of_run } else { exit_code };
        }
        let sought = Some(Sought::Died);
        Ok(Measured { sought, share, exit: exit_code, differs: Vec::new(), was_interrupted })
    }

    /// Which of these scenarios show it, each in any of so many copies.
    pub(super) fn show(
        &mut self,
        batch: &[Scenario],
        sought: &Sought,
        copies: usize,
    ) -> Result<Result<Vec<bool>, Stopped>, RunError> {
        self.candidates += batch.len() as u64;
        if *sought == Sought::Died {
            return Ok(self.kills(&batch[0], copies));
        }
        let all: Vec<Scenario> = batch
            .iter()
            .flat_map(|scenario| std::iter::repeat_n(scenario, copies))
            .zip(0..)
            .map(|(scenario, number)| numbered(scenario, number))
            .collect();
        let record = match self.carry_out(&all) {
            Ok(record) => record,
            Err(error) => return Ok(Err(self.stopped_by(error))),
        };
        if self.was_interrupted(&record) {
            return Ok(Err(Stopped::Interrupted));
        }
        if is_down(&record) {
            if !self.owns_broker() {
                return Ok(Err(Stopped::BrokerDown));
            }
            // One of them did it: each by itself.
            return match batch {
                [_] => Ok(Ok(vec![false])),
                _ => self.one_by_one(batch, sought, copies),
            };
        }
        let shows = |scenarios: &[Scenario]| {
            let mut cases = record.cases.iter();
            cases.any(|case| {
                scenarios.iter().any(|scenario| scenario.id == case.case.fault)
                    && sought.shows_in(&record, case)
            })
        };
        Ok(Ok(all.chunks(copies).map(shows).collect()))
    }

    fn one_by_one(
        &mut self,
        batch: &[Scenario],
        sought: &Sought,
        copies: usize,
    ) -> Result<Result<Vec<bool>, Stopped>, RunError> {
        let mut all = Vec::new();
        self.candidates -= batch.len() as u64;
        for scenario in batch {
            match self.show(std::slice::from_ref(scenario), sought, copies)? {
                Ok(shows) => all.extend(shows),
                Err(stopped) => return Ok(Err(stopped)),
            }
            // The others are tried again, as others.
            if all.last() == Some(&true) {
                break;
            }
        }
        Ok(Ok(all))
    }

    /// Whether the broker goes down in any of so many runs.
    fn kills(&mut self, scenario: &Scenario, times: usize) -> Result<Vec<bool>, Stopped> {
        for _ in 0..times {
            let record =
                self.carry_out(std::slice::from_ref(scenario)).map_err(|error| self.stopped_by(error))?;
            if self.was_interrupted(&record) {
                return Err(Stopped::Interrupted);
            }
            if is_down(&record) {
                return Ok(vec![true]);
            }
        }
        Ok(vec![false])
    }

    fn was_interrupted(&self, record: &Record) -> bool {
        record.completeness == Completeness::Interrupted || self.interrupted.load(Ordering::Relaxed)
    }

    fn stopped_by(&self, error: RunError) -> Stopped {
        match error {
            RunError::Interrupted => Stopped::Interrupted,
            RunError::Unreachable(_) if !self.owns_broker() => Stopped::BrokerDown,
            other => Stopped::Failed(other.to_string()),
        }
    }

    /// A run of these scenarios, an attempt or a few of each.
    fn carry_out(&mut self, scenarios: &[Scenario]) -> Result<Record, RunError> {
        self.runs += 1;
        let number = self.runs;
        let scenarios: Vec<Arc<Scenario>> = scenarios.iter().cloned().map(Arc::new).collect();
        let each = self.attempts.schedule.attempts_per_case;
        let all = each.saturating_mul(scenarios.len() as u64);
        let most = scenarios.iter().map(|scenario| connections(scenario)).max().unwrap_or(1);
        let common = Common {
            output: self.common.output.join("tries").join(format!("{number:04}")),
            connections: all.saturating_mul(most),
            ..self.common.clone()
        };
        let attempts = Attempts {
            clients: u32::try_from(all).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN),
            faults: Arc::new(move |spoken| faults(&scenarios, spoken)),
            ..self.attempts.clone()
        };
        let experiment = Experiment { common, work: Work::Attempts(attempts) };
        Ok(run(&experiment, &mut Unobserved)?.record)
    }

    /// The command that carries out the result, without secrets.
    pub(super) fn command(&self, parsed: &Parsed, file: Option<&Path>) -> String {
        let file = file.map_or_else(|| PathBuf::from("FILE"), Path::to_owned);
        let mut words = vec!["ungraceful".to_owned(), "replay".to_owned(), file.display().to_string()];
        words.extend(passed_on(parsed).into_iter().map(|word| match word.split_once('=') {
            Some((flag, _)) if is_secret(&word) => format!("{flag}={NOT_RECORDED}"),
            _ => word,
        }));
        let given = parsed.settings.get("reaction-timeout");
        let given = given.filter(|setting| setting.source != SettingSource::Default);
        words.extend(given.map(|setting| format!("--reaction-timeout={}", setting.value)));
        shell_command(&words)
    }
}

/// Becomes true with an interrupt, also between two runs. Without this thread it stays false, and only the run under way ends.
fn interrupts() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&interrupted);
    let watch = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).ok()?;
            let mut terminate = signal(SignalKind::terminate()).ok()?;
            tokio::select! {
                _signal = interrupt.recv() => {}
                _signal = terminate.recv() => {}
            }
            seen.store(true, Ordering::Relaxed);
            Some(())
        })
    };
    let _lives_as_long_as_the_process =
        std::thread::Builder::new().name("interrupts".to_owned()).spawn(watch);
    interrupted
}

/// The exit code for what shows in a record: that of a run with this finding. Without one, 0 if every scenario was carried out.
fn exit(shown: Option<&Sought>, record: &Record) -> Exit {
    let is_complete = record.completeness == Completeness::Complete
        && record.cases.iter().any(|case| case.finished > 0)
        && !record.cases.iter().any(|case| case.finished == 0);
    match shown {
        Some(Sought::Violated(_)) if record.verdicts.iter().any(Verdict::is_violation) => Exit::Violated,
        Some(Sought::Died) => Exit::Inconclusive,
        Some(_) => Exit::Holds,
        None if is_complete => Exit::Holds,
        None => Exit::Inconclusive,
    }
}

/// The scenario under a name of its own, so that each has a case in the record.
fn numbered(scenario: &Scenario, number: u64) -> Scenario {
    Scenario { id: format!("{}-{number}", scenario.id), ..scenario.clone() }
}
