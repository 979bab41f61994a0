//! How long a run can last at the most: every wait to its end, one after the other. It is printed before the run, and kept by
//! it: a run that reaches its bound is stopped, and its record says so.
//!
//! Pure arithmetic over the settings. It does not know how long the machine keeps our threads from running.

use std::num::NonZeroU32;
use std::time::Duration;

use ungraceful_record::scale::span;

use crate::attempts::client::LEAVE_WITHIN;
use crate::attempts::waves::CALM_BEFORE_WAVE;
use crate::attempts::worker::{GATHERING_MAX, LATE_MAX};
use crate::broker::owned;
use crate::broker::rights::{AGAIN_AFTER, SERVED_WITHIN, TIMES_AGAIN};
use crate::broker::target::{BrokerChoice, TargetSettings};
use crate::bystanders::honest_thread::{DRAIN_WITHIN, PROOF_WITHIN, READY_WITHIN};
use crate::bystanders::pulse::HONEST_TRAFFIC_WAIT;
use crate::run::load::DRAIN_MAX;
use crate::run::plan::Schedule;
use crate::run::settings::PhaseSettings;

/// Measuring our own share, and coming to the first phase.
const OWN_SHARE_WITHIN: Duration = Duration::from_secs(2);
/// The last look at the broker's log, the threads' ends, and writing the record.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);
/// What a broker is tried with before a run, in each version: CONNECT alone, and a client for each of two QoS; and what these
/// two wait for: SUBACKs, messages, and PINGRESPs where one of these did not come, each of the clients once.
const VISITS_OF_TRIAL: u32 = 3;
const SUBACKS_OF_TRIAL: u32 = 6;
const MESSAGES_OF_TRIAL: u32 = 11;
/// Answers that an attempt waits for beside the reaction, each for the connect timeout: two clients with a handshake, CONNACK
/// and SUBACK each, and a third that removes what is left of their session.
const ANSWERS_OF_ATTEMPT: u32 = 8;
/// Of these, the ones for which a gathered attempt waits before its turn.
const ANSWERS_OF_GATHERING: u32 = 3;
/// What each client of a load waits for: handshake, CONNACK, SUBACK.
const ANSWERS_OF_LOAD: u32 = 3;
/// How often an attempt gives the broker time to react: to messages in flight, to the fault, to a newcomer, to a last PINGREQ.
const REACTIONS_OF_ATTEMPT: u32 = 4;
/// Of these, the ones before a gathered attempt's turn.
const REACTIONS_OF_GATHERING: u32 = 2;

/// How long a run can last at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// All of it, from its begin until the record is written.
    pub longest: Duration,
    /// What every wait to its end comes to: longer than `longest` where a budget cut it.
    pub needs: Duration,
    /// Of it, how long what is under way when the run is stopped may take to clean up: attempts, or the clients of a load.
    pub cure_within: Duration,
}

/// What a bound follows from, of attempts and loads alike.
#[derive(Clone, Copy, Debug)]
pub struct Waits<'a> {
    /// The broker.
    pub target: &'a TargetSettings,
    /// The phases.
    pub phases: PhaseSettings,
    /// Bystander pairs; 0 for none.
    pub bystander_pairs: u64,
}

/// What a bound follows from, of attempts alone.
#[derive(Clone, Copy, Debug)]
pub struct AttemptWaits<'a> {
    /// When they fall due.
    pub schedule: &'a Schedule,
    /// Worker threads.
    pub threads: NonZeroU32,
    /// Whether any fault gathers its clients before its turn.
    pub gathers: bool,
    /// How long the broker has to react.
    pub reaction_timeout: Duration,
    /// How long a Will is waited for.
    pub will_wait: Duration,
    /// The longest that an attempt takes by its own choice.
    pub longest_pause: Duration,
    /// How long a planned restart of the broker may take, at each wave; zero when there is none.
    pub restart_within: Duration,
}

/// What a bound follows from, of a load alone.
#[derive(Clone, Copy, Debug)]
pub struct LoadWaits {
    /// How long connections are begun.
    pub connecting: Duration,
    /// In how many turns, each of as many as may be under way at the same time.
    pub turns: u32,
    /// How long it is measured.
    pub lasts: Duration,
    /// How long its end takes, once it is over or stopped: until its messages are taken, and what is retained of them removed.
    pub ends_within: Duration,
}

impl Bound {
    /// The bound of a run of attempts.
    #[must_use]
    pub fn of_attempts(waits: Waits<'_>, attempts: AttemptWaits<'_>) -> Self {
        let phases = waits.phases;
        // What attempts open they close, and a visit removes their session.
        let cure_within = 2 * LEAVE_WITHIN + waits.visit();
        let phases = phases.warmup + phases.baseline + attempts.waves(&waits) + phases.recovery;
        waits.bound(phases, cure_within)
    }

    /// The bound of a load.
    #[must_use]
    pub fn of_load(waits: Waits<'_>, load: LoadWaits) -> Self {
        let phases = waits.phases;
        let beside = match waits.bystander_pairs {
            0 => Duration::ZERO,
            // Their warm-up comes before the load's own.
            _ => phases.warmup + phases.baseline + phases.recovery,
        };
        let connecting = load.connecting + load.turns * ANSWERS_OF_LOAD * waits.answer();
        // Messages may come for as long as anything comes.
        waits.bound(connecting + phases.warmup + beside + load.lasts + DRAIN_MAX, load.ends_within)
    }

    /// The same run, which may take no longer than `longest`.
    #[must_use]
    pub fn within(self, longest: Duration) -> Self {
        // Whole seconds, as it is printed.
        Self { longest: self.longest.min(Duration::from_secs(longest.as_secs())), ..self }
    }

    /// Why a run that reached its bound was stopped, and the cure where there is one. A broker is not blamed for a budget, nor
    /// alone for a wait that a busy machine makes longer too.
    #[must_use]
    pub fn why_stopped(&self) -> String {
        if self.longest < self.needs {
            return format!(
                "the tour's budget ended this run: {} of it were left, and the run may take {}; raise --budget, or choose fewer \
                 causes with --only",
                span(self.longest),
                span(self.needs)
            );
        }
        format!(
            "the run was stopped: it may take {} at the longest, and the broker or a busy machine kept it waiting",
            span(self.longest)
        )
    }

    /// When the run is to be stopped, from its begin, so that it has ended in time; zero when there is not even time to end.
    #[must_use]
    pub fn stopped_after(&self) -> Duration {
        self.longest.saturating_sub(self.ending())
    }

    /// How long the end of a run takes once it is stopped, at the most.
    #[must_use]
    pub fn ending(&self) -> Duration {
        self.cure_within + DRAIN_WITHIN + LEAVE_WITHIN + WRITTEN_WITHIN
    }
}

impl Waits<'_> {
    /// What one answer of the broker may take.
    fn answer(&self) -> Duration {
        self.target.connect_timeout
    }

    /// A client comes, gets its CONNACK, and leaves.
    fn visit(&self) -> Duration {
        2 * self.answer() + LEAVE_WITHIN
    }

    /// Until the first phase: the broker comes up or is found, is asked for each version and tried with it, and the honest
    /// clients come up.
    fn preparing(&self) -> Duration {
        let found = match self.target.broker {
            // One handshake for each of its addresses, of IPv6 and IPv4.
            BrokerChoice::Host { .. } => 2 * self.answer(),
            _ => owned::READY_WITHIN,
        };
        let versions = u32::try_from(self.target.versions.len()).unwrap_or(u32::MAX);
        let tried = VISITS_OF_TRIAL * self.visit() + SUBACKS_OF_TRIAL * self.answer();
        let tried = tried + MESSAGES_OF_TRIAL * SERVED_WITHIN;
        // As many clients as the run has at the same time come at once, and who is not let in comes again after a while.
        let let_in = self.visit() + TIMES_AGAIN * (AGAIN_AFTER + self.visit()) + LEAVE_WITHIN;
        found + versions * tried + let_in + OWN_SHARE_WITHIN + READY_WITHIN + PROOF_WITHIN
    }

    /// Whether the broker is alive: its honest clients tell, or two visits.
    fn alive(&self) -> Duration {
        HONEST_TRAFFIC_WAIT + 2 * self.visit()
    }

    fn bound(&self, phases: Duration, cure_within: Duration) -> Bound {
        let bound = Bound { longest: Duration::ZERO, needs: Duration::ZERO, cure_within };
        let work = self.preparing() + phases + PROOF_WITHIN + self.alive();
        let needs = whole_seconds(work + bound.ending());
        Bound { longest: needs, needs, ..bound }
    }
}

impl AttemptWaits<'_> {
    /// All waves, each of them gathered, restarted, attempted and waited for.
    fn waves(&self, waits: &Waits<'_>) -> Duration {
        let waves = self.schedule.waves();
        let gathering: Duration = match self.gathers {
            true => waves.iter().map(|wave| self.gathering(wave.end - wave.start, waits.answer())).sum(),
            false => Duration::ZERO,
        };
        let each = CALM_BEFORE_WAVE + self.restart_within + LATE_MAX + self.attempt(waits);
        gathering + self.schedule.plan.span() + u32::try_from(waves.len()).unwrap_or(u32::MAX) * each
    }

    /// The attempts of a wave are gathered a few at a time, on every thread.
    fn gathering(&self, attempts: u64, answer: Duration) -> Duration {
        let at_a_time = u64::from(GATHERING_MAX) * u64::from(self.threads.get());
        let rounds = u32::try_from(attempts.div_ceil(at_a_time)).unwrap_or(u32::MAX);
        rounds * (ANSWERS_OF_GATHERING * answer + REACTIONS_OF_GATHERING * self.reaction_timeout)
    }

    /// One attempt, from its begin until it has cleaned up. Others that wait for its client wait no longer than [`LATE_MAX`].
    fn attempt(&self, waits: &Waits<'_>) -> Duration {
        ANSWERS_OF_ATTEMPT * waits.answer()
            + REACTIONS_OF_ATTEMPT * self.reaction_timeout
            + waits.alive()
            + self.will_wait
            + self.longest_pause
            + LEAVE_WITHIN
    }
}

/// A bound is told in whole seconds.
fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use ungraceful_mqtt::ProtocolVersion;

    use super::{AttemptWaits, Bound, LoadWaits, Waits};
    use crate::broker::target::{BrokerChoice, Credentials, TargetSettings};
    use crate::run::plan::{Arrival, Schedule};
    use crate::run::seed::Seed;
    use crate::run::settings::PhaseSettings;

    const PHASES: PhaseSettings = PhaseSettings {
        warmup: Duration::from_secs(5),
        baseline: Duration::from_secs(10),
        recovery: Duration::from_secs(30),
    };

    fn target(broker: BrokerChoice) -> TargetSettings {
        TargetSettings {
            broker,
            credentials: Credentials::default(),
            versions: vec![ProtocolVersion::V3_1_1, ProtocolVersion::V5],
            versions_required: false,
            sources: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
            owned_host: None,
            topic_root: "ungraceful".into(),
        }
    }

    fn waits(target: &TargetSettings, bystander_pairs: u64) -> Waits<'_> {
        Waits { target, phases: PHASES, bystander_pairs }
    }

    fn attempts(schedule: &Schedule) -> AttemptWaits<'_> {
        AttemptWaits {
            schedule,
            threads: NonZeroU32::new(2).unwrap(),
            gathers: false,
            reaction_timeout: Duration::from_secs(5),
            will_wait: Duration::from_secs(10),
            longest_pause: Duration::ZERO,
            restart_within: Duration::ZERO,
        }
    }

    /// Clients that come in three turns.
    fn load() -> LoadWaits {
        LoadWaits {
            connecting: Duration::from_secs(2),
            turns: 3,
            lasts: Duration::from_secs(10),
            ends_within: Duration::ZERO,
        }
    }

    fn longest_s(bound: Bound) -> u64 {
        assert_eq!(bound.longest.subsec_nanos(), 0, "it is told in whole seconds");
        bound.longest.as_secs()
    }

    /// One case, a hundred attempts in ten seconds.
    fn hundred() -> Schedule {
        Schedule::new(1, 100, 10.0, Arrival::Uniform, Seed(1))
    }

    #[test]
    fn a_bound_is_every_wait_to_its_end_one_after_the_other() {
        let (embedded, schedule) = (target(BrokerChoice::Embedded), hundred());
        let bound = Bound::of_attempts(waits(&embedded, 4), attempts(&schedule));
        // Until the first phase 268 s: 20 + 2 * (3 * 11 + 6 * 5 + 11 * 3) + 36 + 2 + 15 + 3. Phases 45 s. The last attempt is due after 9.9 s, waits 1 s
        // and 5 s for its client, and takes 93.5 s: 8 * 5 + 4 * 5 + 22.5 + 10 + 1. Then 3 + 22.5 s, and 27 s to end.
        assert_eq!(longest_s(bound), 475, "474.9 s");
        assert_eq!(bound.ending(), Duration::from_secs(27));
        assert_eq!(bound.stopped_after(), Duration::from_secs(448));
        let named = target(BrokerChoice::Host { host: "localhost".into(), port: 1883 });
        assert_eq!(longest_s(Bound::of_attempts(waits(&named, 4), attempts(&schedule))), 465);
    }

    #[test]
    fn attempts_that_pause_or_are_gathered_in_turns_take_longer() {
        let (embedded, schedule) = (target(BrokerChoice::Embedded), hundred());
        let of = |attempts| longest_s(Bound::of_attempts(waits(&embedded, 4), attempts));
        let pauses = AttemptWaits { longest_pause: Duration::from_secs(60), ..attempts(&schedule) };
        assert_eq!(of(pauses), 535);
        // Two threads gather 32 each at a time: two turns of 25 s.
        let gathers = AttemptWaits { gathers: true, ..attempts(&schedule) };
        assert_eq!(of(gathers), 525);
        let alone = AttemptWaits { gathers: true, threads: NonZeroU32::MIN, ..attempts(&schedule) };
        assert_eq!(of(alone), 575);
    }

    #[test]
    fn every_wave_is_gathered_restarted_and_waited_for() {
        let embedded = target(BrokerChoice::Embedded);
        let schedule = Schedule::in_waves(3, 100);
        let restart_within = Duration::from_secs(20);
        let waves = AttemptWaits { gathers: true, restart_within, ..attempts(&schedule) };
        assert_eq!(longest_s(Bound::of_attempts(waits(&embedded, 4), waves)), 874);
    }

    #[test]
    fn a_load_waits_for_its_connections_in_turns_and_for_its_bystanders_when_it_has_some() {
        let embedded = target(BrokerChoice::Embedded);
        let of = |pairs| longest_s(Bound::of_load(waits(&embedded, pairs), load()));
        assert_eq!((of(0), of(4)), (430, 475));
    }

    #[test]
    fn the_end_of_a_load_is_in_its_bound_and_time_is_left_for_it_when_it_is_stopped() {
        let embedded = target(BrokerChoice::Embedded);
        let plain = Bound::of_load(waits(&embedded, 0), load());
        let lasting = LoadWaits { lasts: Duration::from_secs(11), ..load() };
        let of_others = Bound::of_load(waits(&embedded, 0), lasting).longest - plain.longest;
        assert_eq!(of_others, Duration::from_secs(1));
        let retains = LoadWaits { ends_within: Duration::from_secs(20), ..load() };
        let retains = Bound::of_load(waits(&embedded, 0), retains);
        assert_eq!(retains.longest - plain.longest, Duration::from_secs(20));
        assert_eq!(retains.ending() - plain.ending(), Duration::from_secs(20));
        assert_eq!(retains.stopped_after(), plain.stopped_after(), "and it works as long as before");
    }

    #[test]
    fn a_bound_that_is_cut_leaves_the_time_to_end_in_order() {
        let (embedded, schedule) = (target(BrokerChoice::Embedded), hundred());
        let bound = Bound::of_attempts(waits(&embedded, 4), attempts(&schedule));
        let cut = bound.within(Duration::from_secs(40));
        assert_eq!((cut.longest, cut.stopped_after()), (Duration::from_secs(40), Duration::from_secs(13)));
        assert_eq!(bound.within(Duration::from_secs(1_000)), bound);
        assert_eq!(bound.within(Duration::from_secs(20)).stopped_after(), Duration::ZERO);
    }

    #[test]
    fn a_run_that_a_budget_ended_says_so_and_does_not_blame_the_broker() {
        let (embedded, schedule) = (target(BrokerChoice::Embedded), hundred());
        let bound = Bound::of_attempts(waits(&embedded, 4), attempts(&schedule));
        let told = bound.within(Duration::from_secs(40)).why_stopped();
        assert!(told.starts_with("the tour's budget ended this run: 40 s of it were left"), "{told}");
        assert!(told.contains("--budget") && !told.contains("broker"), "{told}");
        let told = bound.within(bound.longest).why_stopped();
        assert!(told.contains("at the longest") && told.contains("the broker or a busy machine"), "{told}");
    }
}
