//! How long a run can last at most: every wait to its end, one after the other. It is printed before the run, and
//! enforced: a run that reaches its bound is stopped, and its record says so.
//!
//! Pure arithmetic over the settings. It does not know how long the machine delays our threads.

use std::num::NonZeroU32;
use std::time::Duration;

use ungraceful_record::scale::span;

use crate::attempts::client::LEAVE_WITHIN;
use crate::attempts::waves::CALM_BEFORE_WAVE;
use crate::attempts::worker::{GATHERING_MAX, LATE_MAX};
use crate::broker::owned;
use crate::broker::rights::{AGAIN_AFTER, SERVED_WITHIN, TIMES_AGAIN, each_tried_within};
use crate::broker::target::{BrokerChoice, TargetSettings};
use crate::bystanders::honest_thread::{DRAIN_WITHIN, PROOF_WITHIN, READY_WITHIN};
use crate::bystanders::pulse::HONEST_TRAFFIC_WAIT;
use crate::run::load::{DRAIN_MAX, KNOWN_AFTER};
use crate::run::plan::Schedule;
use crate::run::settings::PhaseSettings;

/// Measuring our own share, and reaching the first phase.
const OWN_SHARE_WITHIN: Duration = Duration::from_secs(2);
/// The last look at the broker's log, ending the threads, and writing the record.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);
/// Clients that try a broker before a run, in each version: one with CONNECT alone, and one for each of two QoS. Then
/// what these two wait for: SUBACKs, messages, and a PINGRESP for each client where one of these did not come.
const VISITS_OF_TRIAL: u32 = 3;
const SUBACKS_OF_TRIAL: u32 = 6;
const MESSAGES_OF_TRIAL: u32 = 11;
/// Answers that an attempt waits for besides the reaction, each for the connect timeout: handshake, CONNACK and
/// SUBACK of two clients, and a third client that removes their session.
const ANSWERS_OF_ATTEMPT: u32 = 8;
/// Of these, those before a gathered attempt's turn.
const ANSWERS_OF_GATHERING: u32 = 3;
/// What each client of a load waits for: the TCP handshake, CONNACK, SUBACK. Handshakes over TCP are one more.
const ANSWERS_OF_LOAD: u32 = 3;
/// How often an attempt gives the broker time to react: to messages in flight, the fault, a newcomer, a last PINGREQ.
const REACTIONS_OF_ATTEMPT: u32 = 4;
/// Of these, those before a gathered attempt's turn.
const REACTIONS_OF_GATHERING: u32 = 2;

/// How long a run can last at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// All of it, from its begin until the record is written.
    pub longest: Duration,
    /// The sum of all waits: longer than `longest` where a budget cut it.
    pub needs: Duration,
    /// Of it, how long attempts, or the clients of a load, may take to clean up when the run is stopped.
    pub cure_within: Duration,
}

/// What a bound depends on, for attempts and loads alike.
#[derive(Clone, Copy, Debug)]
pub struct Waits<'a> {
    /// The broker.
    pub target: &'a TargetSettings,
    /// The phases.
    pub phases: PhaseSettings,
    /// Bystander pairs; 0 for none.
    pub bystander_pairs: u64,
    /// Clients that misbehave or load at the same time, at most.
    pub clients: u64,
}

/// What a bound depends on, for attempts.
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
    /// The longest pause that an attempt makes by itself.
    pub longest_pause: Duration,
    /// How long a planned restart of the broker may take, in each wave; zero when there is none.
    pub restart_within: Duration,
}

/// What a bound depends on, for a load.
#[derive(Clone, Copy, Debug)]
pub struct LoadWaits {
    /// How long connecting takes.
    pub connecting: Duration,
    /// In how many turns, each of as many as may connect at the same time.
    pub turns: u32,
    /// How long it is measured.
    pub lasts: Duration,
    /// How long its end takes, once it is over or stopped: until the broker has its messages, and retained ones are
    /// removed.
    pub ends_within: Duration,
}

impl Bound {
    /// The bound of a run of attempts.
    #[must_use]
    pub fn of_attempts(waits: Waits<'_>, attempts: AttemptWaits<'_>) -> Self {
        let phases = waits.phases;
        // Attempts close what they open, and a visit removes their session.
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
        let answers = ANSWERS_OF_LOAD + u32::from(waits.target.transport.is_layered());
        let connecting = load.connecting + load.turns * answers * waits.answer();
        // Messages are waited for while any come.
        let making = KNOWN_AFTER + phases.warmup + load.lasts + DRAIN_MAX;
        waits.bound(connecting + beside + making, load.ends_within)
    }

    /// The same run, limited to `longest`.
    #[must_use]
    pub fn within(self, longest: Duration) -> Self {
        // Whole seconds, as printed.
        Self { longest: self.longest.min(Duration::from_secs(longest.as_secs())), ..self }
    }

    /// Why a run that reached its bound was stopped, with the cure if any. The broker is not blamed for a budget, nor
    /// alone for a wait that a busy machine prolongs too.
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

    /// When to stop the run, from its begin, so that it ends in time; zero when there is not even time to end.
    #[must_use]
    pub fn stopped_after(&self) -> Duration {
        self.longest.saturating_sub(self.ending())
    }

    /// How long the end of a stopped run takes at most.
    #[must_use]
    pub fn ending(&self) -> Duration {
        self.cure_within + DRAIN_WITHIN + LEAVE_WITHIN + WRITTEN_WITHIN
    }
}

impl Waits<'_> {
    fn answer(&self) -> Duration {
        self.target.connect_timeout
    }

    /// A client connects, gets its CONNACK and leaves.
    fn visit(&self) -> Duration {
        2 * self.answer() + LEAVE_WITHIN
    }

    /// Until the first phase: the broker starts or is found, is tried in each version, and the honest clients come
    /// up.
    fn preparing(&self) -> Duration {
        let found = match self.target.broker {
            // One handshake for each of its addresses, IPv6 and IPv4.
            BrokerChoice::Host { .. } => 2 * self.answer(),
            _ => owned::READY_WITHIN,
        };
        let versions = u32::try_from(self.target.versions.len()).unwrap_or(u32::MAX);
        let tried = VISITS_OF_TRIAL * self.visit() + SUBACKS_OF_TRIAL * self.answer();
        let tried = tried + MESSAGES_OF_TRIAL * SERVED_WITHIN;
        // As many clients as the run needs connect at once, and those that are not admitted try again after a while.
        let let_in = self.visit() + TIMES_AGAIN * (AGAIN_AFTER + self.visit()) + LEAVE_WITHIN;
        let each_tried = match self.target.clients.vary() {
            true => each_tried_within(self.clients),
            false => Duration::ZERO,
        };
        // Each host is found and tried, one after the other.
        let further = self.target.nodes.as_ref().map_or(0, |nodes| nodes.further.len());
        let hosts = u32::try_from(1 + further).unwrap_or(u32::MAX);
        hosts * (found + versions * tried + each_tried)
            + let_in
            + OWN_SHARE_WITHIN
            + READY_WITHIN
            + PROOF_WITHIN
    }

    /// Whether the broker is alive: by its honest clients, or by two visits.
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
    /// All waves, each of them gathered, restarted, attempted and awaited.
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

    /// One attempt, until it has cleaned up. Others wait for its client no longer than [`LATE_MAX`].
    fn attempt(&self, waits: &Waits<'_>) -> Duration {
        ANSWERS_OF_ATTEMPT * waits.answer()
            + REACTIONS_OF_ATTEMPT * self.reaction_timeout
            + waits.alive()
            + self.will_wait
            + self.longest_pause
            + LEAVE_WITHIN
    }
}

/// Bounds are in whole seconds.
fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use ungraceful_mqtt::ProtocolVersion;
    use ungraceful_wire::{Tls, TlsSettings, Transport};

    use super::{AttemptWaits, Bound, LoadWaits, Waits};
    use crate::broker::clients::ClientsSettings;
    use crate::broker::target::{BrokerChoice, TargetSettings};
    use crate::run::plan::{Arrival, Schedule};
    use crate::run::seed::Seed;
    use crate::run::settings::PhaseSettings;

    pub(crate) const PHASES: PhaseSettings = PhaseSettings {
        warmup: Duration::from_secs(5),
        baseline: Duration::from_secs(10),
        recovery: Duration::from_secs(30),
    };

    pub(crate) fn target(broker: BrokerChoice) -> TargetSettings {
        TargetSettings {
            broker,
            clients: ClientsSettings::default(),
            versions: vec![ProtocolVersion::V3_1_1, ProtocolVersion::V5],
            versions_required: false,
            sources: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            transport: Transport::default(),
            owned_host: None,
            nodes: None,
        }
    }

    fn waits(target: &TargetSettings, bystander_pairs: u64) -> Waits<'_> {
        Waits { target, phases: PHASES, bystander_pairs, clients: 1_000 }
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
        assert_eq!(bound.longest.subsec_nanos(), 0, "a bound is in whole seconds");
        bound.longest.as_secs()
    }

    /// One case, a hundred attempts in ten seconds.
    fn hundred() -> Schedule {
        Schedule::new(1, 100, 10.0, Arrival::Uniform, Seed(1))
    }

    #[test]
    fn a_bound_is_the_sum_of_all_waits() {
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
    fn a_load_waits_for_its_connections_and_bystanders() {
        let embedded = target(BrokerChoice::Embedded);
        let of = |pairs| longest_s(Bound::of_load(waits(&embedded, pairs), load()));
        assert_eq!((of(0), of(4)), (430, 475));
        let tls = Tls::new(&TlsSettings {
            server_name: "localhost".into(),
            insecure: true,
            ..TlsSettings::default()
        });
        let transport = Transport { tls: tls.ok(), websocket: None };
        let secured = TargetSettings { transport, ..embedded.clone() };
        assert_eq!(longest_s(Bound::of_load(waits(&secured, 0), load())), 445);
    }

    #[test]
    fn the_bound_of_a_load_includes_its_end() {
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
    fn a_cut_bound_leaves_time_to_end_in_order() {
        let (embedded, schedule) = (target(BrokerChoice::Embedded), hundred());
        let bound = Bound::of_attempts(waits(&embedded, 4), attempts(&schedule));
        let cut = bound.within(Duration::from_secs(40));
        assert_eq!((cut.longest, cut.stopped_after()), (Duration::from_secs(40), Duration::from_secs(13)));
        assert_eq!(bound.within(Duration::from_secs(1_000)), bound);
        assert_eq!(bound.within(Duration::from_secs(20)).stopped_after(), Duration::ZERO);
    }

    #[test]
    fn each_client_that_varies_is_tried_before_the_run() {
        let alike = target(BrokerChoice::Embedded);
        let mut varied = alike.clone();
        varied.clients.client_id = Some("%i".to_owned());
        let longest = |target: &TargetSettings| {
            let schedule = Schedule::in_waves(1, 10);
            Bound::of_attempts(waits(target, 4), attempts(&schedule)).longest
        };
        assert_eq!(
            longest(&varied),
            longest(&alike) + Duration::from_secs(40),
            "20 s, and 20 ms for each of 1,000"
        );
    }

    #[test]
    fn a_run_ended_by_a_budget_does_not_blame_the_broker() {
        let (embedded, schedule) = (target(BrokerChoice::Embedded), hundred());
        let bound = Bound::of_attempts(waits(&embedded, 4), attempts(&schedule));
        let why = bound.within(Duration::from_secs(40)).why_stopped();
        assert!(why.starts_with("the tour's budget ended this run: 40 s of it were left"), "{why}");
        assert!(why.contains("--budget") && !why.contains("broker"), "{why}");
        let why = bound.within(bound.longest).why_stopped();
        assert!(why.contains("at the longest") && why.contains("the broker or a busy machine"), "{why}");
    }
}
