//! A fault: one named way for a client to misbehave or get lost, carried out once per attempt, which cleans up after
//! itself.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{LocalBoxFuture, select_all};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use ungraceful_mqtt::{Properties, ProtocolVersion, QoS, ReasonCode, Will};
use ungraceful_record::attempt::{Attempt, Case, Fact, WillSeen};
use ungraceful_record::expectation::Expectation;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::ledger::LedgerCounts;
use ungraceful_record::offers::Offers;
use ungraceful_record::phase::Phase;
use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind};
use ungraceful_record::scale::micros;
use ungraceful_wire::{ConnectOptions, Endpoint, Established, Hop, OpenError, Transport};

use crate::attempts::client::Client;
use crate::attempts::companion::Companion;
use crate::attempts::connections::OpenConnections;
use crate::broker::clients::{Clients, Identity};
use crate::broker::nodes::{Node, Nodes};
use crate::broker::target::{Credentials, SourceAddresses};
use crate::bystanders::pulse::Asker;
use crate::bystanders::witness::{Witness, WitnessWatch, Witnessed};
use crate::measure::clock::RunClock;
use crate::run::seed::Seed;
use crate::run::stop::{Stop, StopReason};

/// How long after the first copy of a Will a second one is waited for.
const WILL_SETTLE: Duration = Duration::from_millis(250);

/// Why an attempt proves nothing when honest clients heard nothing from the broker during it.
const ALL_SILENT: &str =
    "honest clients heard nothing for more than a second meanwhile: the broker stalled, or this process did";

/// Why an attempt proves nothing whose client the broker disconnected for another one.
const TAKEN_OVER: &str = "DISCONNECT 0x8E (Session taken over) while the attempt had a single connection: another client uses this \
                          ClientID, such as the device itself; stop it, or give this run ClientIDs of its own";

/// One fault in one variant, with one protocol version.
///
/// Adding a fault takes one file with one `impl` of this. An attempt closes what it opened in every case.
pub trait Fault: fmt::Debug + Send + Sync {
    /// What results are grouped by.
    fn case(&self) -> Case;

    /// Carries the fault out once and returns what was observed.
    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt>;

    /// What goes on the wire, in one line, for `--print-plan`.
    fn describe(&self) -> String;

    /// Why the case is skipped: the broker announces that it does not support it, or the case makes no sense over this transport. Absent
    /// when it is carried out. The record and the report name what was skipped.
    fn unsupported_reason(&self, _offers: Offers, _transport: &Transport) -> Option<String> {
        None
    }

    /// What it expects of the broker, for checks that read it from the record; none for most, whose checks know it.
    fn expects(&self) -> Vec<Expectation> {
        Vec::new()
    }

    /// The second clients that its attempts may connect, so that the broker's access rules are tried for them before the run.
    /// [`AttemptLog::companion`] names only these.
    fn companions(&self) -> &'static [Companion] {
        &[]
    }

    /// Whether its attempts send CONNECT again on a connection that has a client, so that the broker may take over from the attempt's
    /// client on behalf of that client itself.
    fn repeats_connect(&self) -> bool {
        false
    }

    /// Whether all its attempts start before the baseline and then wait for their due time ([`AttemptLog::turn`]):
    /// for faults whose clients must have been connected and working for a while.
    fn gathers(&self) -> bool {
        false
    }
}

/// What an attempt acts on and measures with.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The run's seed, for faults that need randomness.
    pub seed: Seed,
    /// Where connections go, and whether it is alive there.
    pub nodes: Nodes,
    /// How they are opened.
    pub options: ConnectOptions,
    /// From which local addresses.
    pub sources: SourceAddresses,
    /// The credentials of the attempt's clients.
    pub credentials: Credentials,
    /// All clients of the run.
    pub clients: Clients,
    /// Credentials for the dynamic security of a broker started by the run; absent where it has none.
    pub administrator: Option<Credentials>,
    /// The run's clock.
    pub clock: RunClock,
    /// The witness for Wills; absent when it could not subscribe.
    pub witness: Option<Witness>,
    /// Whether the run is to stop.
    pub stop: Stop,
    /// How many connections of attempts are open.
    pub connections: OpenConnections,
    /// The highest QoS that the broker takes (MQTT 5.0 [MQTT-3.2.2-11]); a Will keeps to it.
    pub maximum_qos: QoS,
    /// The prefix of every topic of the attempt.
    pub topic_root: Arc<str>,
    /// How long the broker has to react.
    pub reaction_timeout: Duration,
    /// How long to wait for a Will after a connection ended.
    pub will_wait: Duration,
}

impl Stage {
    /// The same for the attempt of this client.
    #[must_use]
    pub fn of_client(&self, client: &Identity) -> Self {
        Self {
            nodes: self.nodes.of_client(client.number),
            credentials: client.credentials.clone(),
            options: client.options(&self.options),
            topic_root: Arc::clone(&client.topic_root),
            ..self.clone()
        }
    }

    /// Does `work`, unless the run stops first: absent then.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _reason = self.stop.raised() => None,
            done = work => Some(done),
        }
    }

    /// Opens a connection for a client of `version`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(&self, version: ProtocolVersion) -> Result<(Client, Established), OpenError> {
        self.open_with(version, &self.options).await
    }

    /// As [`Stage::open`], with its own socket options; the source address stays the run's.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_with(
        &self,
        version: ProtocolVersion,
        options: &ConnectOptions,
    ) -> Result<(Client, Established), OpenError> {
        let (endpoint, options) = self.next_node(options);
        let opened = endpoint.open(&options).await?;
        let client = Client::new(opened.connection, version).counted(self.connections.enter());
        Ok((client, opened.established))
    }

    /// Where the next connection goes, and how.
    fn next_node(&self, options: &ConnectOptions) -> (Endpoint, ConnectOptions) {
        let node = self.nodes.next();
        let options = if self.nodes.are_several() { node.options(options) } else { options.clone() };
        (node.endpoint, ConnectOptions { source: self.sources.next(), ..options })
    }

    /// As [`Stage::open`], through a hop between client and broker, which forwards while it [carries](Hop::carrying).
    /// Counts as one connection and takes four descriptors.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_through_hop(
        &self,
        version: ProtocolVersion,
    ) -> Result<(Hop, Client, Established), OpenError> {
        let (endpoint, options) = self.next_node(&self.options);
        let (hop, opened) = Hop::open(endpoint, &options).await?;
        let client = Client::new(opened.connection, version).counted(self.connections.enter());
        Ok((hop, client, opened.established))
    }

    /// The topic for the Will of the attempt of this [name](AttemptLog::name), watched from now on; absent without a witness.
    #[must_use]
    pub fn watch_will(&self, name: &str) -> Option<WitnessWatch> {
        let witness = self.witness.as_ref()?;
        Some(witness.watch(format!("{}/will/{name}", self.topic_root)))
    }

    /// A Will that `watch` listens for: not retained, without properties, at QoS 1 or the broker's Maximum QoS.
    #[must_use]
    pub fn will<'a>(&self, watch: &'a WitnessWatch, payload: &'a [u8]) -> Will<'a> {
        let qos = QoS::AtLeastOnce.min(self.maximum_qos);
        Will { topic: watch.topic(), payload, qos, retain: false, properties: Properties::NONE }
    }

    /// Waits for the Will after a connection ended at `ended_at` and returns what the witness saw. `first` is the
    /// Application Message of the awaited Will. Wills from before `since`, when the attempt had not yet acted, are
    /// listed separately. Absent when the run stopped before the Will came: a wait that was cut short proves nothing.
    pub async fn await_will(
        &self,
        watch: &WitnessWatch,
        due: bool,
        since: Instant,
        ended_at: Instant,
        first: &[u8],
    ) -> Option<WillSeen> {
        self.await_delayed_will(watch, due, since, Duration::ZERO, ended_at, first).await
    }

    /// As [`Stage::await_will`], for a Will with a Will Delay Interval (MQTT 5.0 section 3.1.3.2.2), which extends
    /// the wait.
    pub async fn await_delayed_will(
        &self,
        watch: &WitnessWatch,
        due: bool,
        since: Instant,
        delay: Duration,
        ended_at: Instant,
        first: &[u8],
    ) -> Option<WillSeen> {
        // One that is not due is waited for as long as a second copy would be.
        let deadline = ended_at + delay + if due { self.will_wait } else { WILL_SETTLE };
        let since_us = self.clock.us(since);
        let is_before = |witnessed: &Witnessed| witnessed.at_us < since_us;
        let is_first = |witnessed: &Witnessed| witnessed.payload == first && !is_before(witnessed);
        let heard = tokio::select! {
            heard = watch.settled(deadline, WILL_SETTLE, is_first) => heard,
            _reason = self.stop.raised() => {
                Some(watch.heard()).filter(|heard| heard.iter().any(is_first))?
            }
        };
        let at_us = |witnessed: &Witnessed| witnessed.at_us;
        let (before, heard): (Vec<_>, Vec<_>) = heard.into_iter().partition(is_before);
        Some(WillSeen {
            due,
            of_first_connect: heard.iter().map(is_first).collect(),
            seen_at_us: heard.iter().map(at_us).collect(),
            seen_before_us: before.iter().map(at_us).collect(),
            waited_us: self.clock.now_us().saturating_sub(self.clock.us(ended_at)),
        })
    }

    /// Watches for signs of life of the broker while polled, and asks for them when no other client does: for
    /// [`Stage::silence_since`].
    pub async fn watch_the_broker(&self, version: ProtocolVersion) -> Infallible {
        let at_us = self.clock.now_us();
        let watch = async |node: &Node| {
            let options = node.options(&self.options);
            node.pulse.watch(&self.asker(node, &options, version, at_us)).await
        };
        let (never, ..) = select_all(self.nodes.all().iter().map(|node| Box::pin(watch(node)))).await;
        never
    }

    /// The longest time since `since` without a sign of life from the broker; absent when no silence is conclusive.
    #[must_use]
    pub fn silence_since(&self, since: Instant) -> Option<Duration> {
        self.silence(self.clock.us(since), self.clock.now_us())
    }

    /// The longest silence of a node: where one stalls, others prove nothing.
    fn silence(&self, from_us: u64, until_us: u64) -> Option<Duration> {
        self.nodes.all().iter().filter_map(|node| node.pulse.silence(from_us, until_us)).max()
    }

    /// Whether every node was alive after `after_us`.
    async fn are_alive_after(&self, after_us: u64, version: ProtocolVersion) -> bool {
        for node in self.nodes.all() {
            let options = node.options(&self.options);
            let asker = self.asker(node, &options, version, after_us);
            if !node.pulse.alive_after(after_us, &asker).await {
                return false;
            }
        }
        true
    }

    /// Asks a node for a sign of life since `at_us` of the run's clock.
    fn asker<'a>(
        &'a self,
        node: &Node,
        options: &'a ConnectOptions,
        version: ProtocolVersion,
        at_us: u64,
    ) -> Asker<'a> {
        Asker {
            endpoint: node.endpoint,
            options,
            credentials: &self.credentials,
            version,
            clock: &self.clock,
            // Letters and digits only, and unlike any attempt's.
            client_id: self.clients.asking(&format!(
                "z{:x}p{}",
                at_us & 0xFFFF_FFFF,
                node.endpoint.address.port()
            )),
        }
    }

    /// Corrects an outcome for the broker's own troubles. The end of a connection is a reaction only when the broker
    /// was alive afterwards; otherwise the run stops. A client counts as served only when the broker did not stall
    /// meanwhile, as far as honest clients can see: [`Outcome::NoReaction`] otherwise.
    pub async fn confirm(
        &self,
        outcome: Outcome,
        ended_at_us: Option<u64>,
        version: ProtocolVersion,
    ) -> Outcome {
        let after_us = match (outcome, ended_at_us) {
            (Outcome::Closed | Outcome::Reset, Some(ended_at_us)) => ended_at_us,
            (Outcome::NoReaction | Outcome::NotActed | Outcome::Left, _) => self.clock.now_us(),
            (Outcome::Tolerated, _) if self.silence_lately().is_some() => return Outcome::NoReaction,
            _ => return outcome,
        };
        let alive = self.unless_stopped(self.are_alive_after(after_us, version)).await;
        // A run that stops for another reason asks no further and does not report the broker as down.
        let is_down = match alive {
            Some(is_alive) => !is_alive,
            None => matches!(self.stop.reason(), None | Some(StopReason::BrokerDown(_))),
        };
        if !is_down {
            return outcome;
        }
        self.stop.raise(StopReason::BrokerDown(
            "no honest client got an answer any more, and a new connection got no CONNACK".to_owned(),
        ));
        Outcome::BrokerDown
    }

    /// The longest silence of honest traffic within the last reaction timeout.
    fn silence_lately(&self) -> Option<Duration> {
        let now_us = self.clock.now_us();
        self.silence(now_us.saturating_sub(micros(self.reaction_timeout)), now_us)
    }

    /// Excludes an attempt during which another client, such as the device itself, connected with the same ClientID: the broker says so,
    /// and the attempt had a single connection. Other clients do not have ClientIDs that this run generates.
    pub(crate) fn exclude_if_taken_over(&self, attempt: &mut Attempt) {
        let is_taken_over = |reaction: &Reaction| {
            reaction.kind == ReactionKind::Disconnect
                && reaction.code == Some(ReasonCode::SESSION_TAKEN_OVER.0)
        };
        let is_other = self.clients.settings().names_devices() && self.nodes.connections() == 1;
        let is_down = attempt.outcome == Outcome::BrokerDown;
        if is_down || !is_other || !attempt.reactions.iter().any(is_taken_over) {
            return;
        }
        let begun = Attempt::begun(
            attempt.attempt,
            attempt.case.clone(),
            attempt.client_id.clone(),
            attempt.phase,
            attempt.due_us,
            attempt.started_us,
        );
        let excluded = Attempt {
            established_us: attempt.established_us,
            handshaken_us: attempt.handshaken_us,
            connack_us: attempt.connack_us,
            trouble: Some(TAKEN_OVER.to_owned()),
            ..begun
        };
        let reactions = std::mem::replace(attempt, excluded).reactions;
        attempt.reactions = reactions;
    }

    /// Notes why an attempt during which honest clients heard nothing proves nothing.
    pub(crate) fn explain(&self, attempt: &mut Attempt) {
        let Some(provoked_us) = attempt.provoked_us.filter(|_| attempt.outcome == Outcome::NoReaction) else {
            return;
        };
        if attempt.trouble.is_none() && self.silence(provoked_us, self.clock.now_us()).is_some() {
            attempt.trouble = Some(ALL_SILENT.to_owned());
        }
    }
}

/// The start signal of a gathered attempt.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Brings the due time in µs since the run's start; never comes when the run stops first.
    pub(crate) due_us: oneshot::Receiver<u64>,
    /// A slot among the attempts gathered at the same time; free once this one waits.
    pub(crate) gathering: Option<OwnedSemaphorePermit>,
}

/// The record of an attempt in progress.
#[derive(Debug)]
pub struct AttemptLog<'a> {
    /// Boxed, because a log moves from future to future, each of which reserves room for it.
    attempt: Box<Attempt>,
    clock: &'a RunClock,
    /// The client and the attempt's name, where clients vary. Gone before the place among the clients is free.
    made_as: Option<Box<(Identity, String)>>,
    client: Option<OwnedSemaphorePermit>,
    turn: Option<Turn>,
    companions: &'static [Companion],
}

impl<'a> AttemptLog<'a> {
    /// Begins the record of attempt `number` of `case`.
    #[must_use]
    pub fn begin(
        number: u64,
        case: Case,
        client_id: String,
        phase: Phase,
        due_us: u64,
        clock: &'a RunClock,
    ) -> Self {
        let attempt = Attempt::begun(number, case, client_id, phase, due_us, clock.now_us());
        Self { attempt: Box::new(attempt), clock, made_as: None, client: None, turn: None, companions: &[] }
    }

    /// May have these second clients, as its fault [declares](Fault::companions).
    #[must_use]
    pub fn beside(self, companions: &'static [Companion]) -> Self {
        Self { companions, ..self }
    }

    /// Is made as this client.
    #[must_use]
    pub fn made_as(mut self, identity: Identity) -> Self {
        let name = std::mem::replace(&mut self.attempt.client_id, identity.client_id.clone());
        self.made_as = Some(Box::new((identity, name)));
        self
    }

    #[must_use]
    pub(crate) fn waiting_for(self, turn: Turn) -> Self {
        Self { turn: Some(turn), ..self }
    }

    /// Waits until the attempt is due: returns at once unless its fault [gathers](Fault::gathers). False when the run
    /// stops first, also on later calls. Nothing is lost when the future is dropped early.
    pub async fn turn(&mut self) -> bool {
        let Some(turn) = &mut self.turn else { return true };
        turn.gathering = None;
        if turn.due_us.is_terminated() {
            return false;
        }
        match (&mut turn.due_us).await {
            Ok(due_us) => {
                self.attempt.due_us = due_us;
                self.turn = None;
                true
            }
            Err(_stopped) => false,
        }
    }

    /// Counts the client among those that may misbehave at the same time.
    #[must_use]
    pub fn occupying(self, client: OwnedSemaphorePermit) -> Self {
        Self { client: Some(client), ..self }
    }

    /// The client's connection is over; another client may start while this attempt waits for what follows.
    pub fn connection_over(&mut self) {
        // What still comes of it must not meet another attempt with the same ClientID.
        if self.made_as.is_none() {
            self.client = None;
        }
    }

    /// A level of a topic that no other attempt of any run has: the generated ClientID, whatever the client is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.made_as.as_ref().map_or(&self.attempt.client_id, |made_as| &made_as.1)
    }

    /// The client's ClientID.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.attempt.client_id
    }

    /// The ClientID of a second client.
    ///
    /// # Panics
    /// When the fault does not [declare](Fault::companions) it: the trial before the run has not shown that the broker's access rules admit it.
    #[must_use]
    pub fn companion(&self, companion: Companion) -> String {
        assert!(
            self.companions.contains(&companion),
            "{} does not declare that its attempts have a second client that {companion:?}",
            self.attempt.case
        );
        companion.client_id(self.client_id())
    }

    /// Number of the attempt in the plan.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.attempt.attempt
    }

    /// The handshakes of the connection were complete.
    pub fn established(&mut self, at: Established) {
        self.attempt.established_us = Some(self.clock.us(at.tcp));
        self.attempt.handshaken_us = at.layers.map(|at| self.clock.us(at));
    }

    /// The CONNACK that accepted the client was complete.
    pub fn accepted(&mut self, at: Instant) {
        self.attempt.connack_us = Some(self.clock.us(at));
    }

    /// The provoking byte was handed to the kernel.
    pub fn provoked(&mut self, at: Instant) {
        self.attempt.provoked_us = Some(self.clock.us(at));
    }

    /// The broker's reactions and the outcome.
    pub fn reacted(&mut self, reactions: Vec<Reaction>, outcome: Outcome) {
        self.attempt.reactions = reactions;
        self.attempt.outcome = outcome;
    }

    /// Replaces only the outcome.
    pub fn concluded(&mut self, outcome: Outcome) {
        self.attempt.outcome = outcome;
    }

    /// What the witness saw of the Will.
    pub fn will(&mut self, will: WillSeen) {
        self.attempt.will = Some(will);
    }

    /// A fact that only this fault knows.
    pub fn fact<V: Into<Fact>>(&mut self, fact: FactOf<V>, value: impl Into<V>) {
        self.attempt.facts.insert(fact.name().to_owned(), value.into().into());
    }

    /// A value that only this fault measures.
    pub fn measure(&mut self, measure: Measure, value: u64) {
        self.attempt.measures.insert(measure.to_string(), value);
    }

    /// This attempt reached a milestone at `at`, as every attempt of the fault should. Reported as the time from the
    /// due time until 50 %, 95 % and all of the attempts that acted had reached it.
    pub fn milestone(&mut self, name: &str, at: Instant) {
        let after_us = self.clock.us(at).saturating_sub(self.attempt.due_us);
        self.attempt.milestones.insert(name.to_owned(), after_us);
    }

    /// Adds the fate of this attempt's Application Messages at `qos`.
    pub fn messages(&mut self, qos: QoS, counts: &LedgerCounts) {
        *self.attempt.messages.entry(qos.into()).or_default() += counts;
    }

    /// Why the fault did not act, or what else went wrong.
    pub fn trouble(&mut self, what: impl fmt::Display) {
        self.attempt.trouble = Some(what.to_string());
    }

    /// The record so far.
    #[must_use]
    pub fn so_far(&self) -> &Attempt {
        &self.attempt
    }

    /// Ends the record.
    #[must_use]
    pub fn end(self) -> Attempt {
        *self.attempt
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::{Semaphore, oneshot};
    use tokio::time::{sleep, timeout};
    use ungraceful_mqtt::{ProtocolVersion, QoS, ReasonCode};
    use ungraceful_record::attempt::Case;
    use ungraceful_record::fact::Measure;
    use ungraceful_record::phase::Phase;
    use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind};
    use ungraceful_wire::ConnectOptions;
    use ungraceful_wire::clock::now;

    use super::{AttemptLog, Stage, Turn};
    use crate::attempts::companion::Companion;
    use crate::attempts::connections::OpenConnections;
    use crate::broker::clients::{Clients, ClientsSettings};
    use crate::broker::nodes::Nodes;
    use crate::broker::target::{Credentials, SourceAddresses};
    use crate::bystanders::witness::{Witness, Witnessed};
    use crate::measure::clock::RunClock;
    use crate::run::stop::{Stop, StopReason};

    const TOPIC: &str = "ungraceful/1/will/c";

    /// A stage whose broker is never contacted.
    pub(crate) fn stage() -> Stage {
        Stage {
            seed: crate::run::seed::Seed(1),
            nodes: Nodes::only(([127, 0, 0, 1], 9).into()),
            options: ConnectOptions::default(),
            sources: SourceAddresses::new(&[]),
            credentials: Credentials::default(),
            clients: Clients::alike("ug", RunClock::start()),
            administrator: None,
            clock: RunClock::start(),
            witness: Some(Witness::default()),
            stop: Stop::default(),
            connections: OpenConnections::default(),
            maximum_qos: QoS::ExactlyOnce,
            topic_root: "ungraceful/1".into(),
            reaction_timeout: Duration::from_secs(5),
            will_wait: Duration::from_secs(5),
        }
    }

    fn hear(stage: &Stage, at_us: u64, payload: &[u8]) {
        let witness = stage.witness.as_ref().expect("this stage has a witness");
        witness.hear(TOPIC, Witnessed { at_us, payload: payload.to_vec() });
    }

    #[test]
    fn without_a_witness_no_will_is_watched() {
        assert_eq!(stage().watch_will("c").unwrap().topic(), TOPIC);
        assert!(Stage { witness: None, ..stage() }.watch_will("c").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_awaited_will_is_distinguished_from_others() {
        let stage = stage();
        let watch = stage.watch_will("c").unwrap();
        let publish = async {
            sleep(Duration::from_secs(1)).await;
            hear(&stage, 70, b"second");
            sleep(Duration::from_secs(1)).await;
            hear(&stage, 80, b"first");
        };
        let (seen, ()) =
            tokio::join!(stage.await_will(&watch, true, stage.clock.at(0), now(), b"first"), publish);
        let seen = seen.unwrap();
        assert!(seen.due);
        assert_eq!((seen.seen_at_us, seen.of_first_connect), (vec![70, 80], vec![false, true]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_will_wait_cut_short_by_the_run_proves_nothing() {
        let stage = stage();
        let watch = stage.watch_will("c").unwrap();
        let stop = async {
            sleep(Duration::from_secs(1)).await;
            hear(&stage, 70, b"second");
            stage.stop.raise(StopReason::BrokerDown("gone".into()));
        };
        let (seen, ()) =
            tokio::join!(stage.await_will(&watch, true, stage.clock.at(0), now(), b"first"), stop);
        assert_eq!(seen, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_will_that_came_before_the_stop_counts() {
        let stage = stage();
        let watch = stage.watch_will("c").unwrap();
        hear(&stage, 70, b"first");
        stage.stop.raise(StopReason::Interrupted);
        let seen = stage.await_will(&watch, true, stage.clock.at(0), now(), b"first").await.unwrap();
        assert_eq!(seen.of_first_connect, [true]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_will_from_before_the_attempt_acted_ends_no_wait() {
        let stage = stage();
        let watch = stage.watch_will("c").unwrap();
        hear(&stage, 70, b"first");
        let publish = async {
            sleep(Duration::from_secs(2)).await;
            hear(&stage, 80, b"first");
        };
        let since = stage.clock.at(80);
        let (seen, ()) = tokio::join!(stage.await_will(&watch, true, since, now(), b"first"), publish);
        let seen = seen.unwrap();
        assert_eq!((seen.seen_before_us, seen.seen_at_us), (vec![70], vec![80]));
        assert_eq!(seen.of_first_connect, [true]);
        stage.stop.raise(StopReason::Interrupted);
        let since = stage.clock.at(90);
        let cut_short = stage.await_will(&watch, true, since, now(), b"first").await;
        assert_eq!(cut_short, None, "the one that is awaited has not come");
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_a_reaction_when_the_broker_was_alive_afterwards() {
        let stage = stage();
        stage.nodes.first().pulse.beat(10_000_000);
        for outcome in [Outcome::Closed, Outcome::Reset] {
            assert_eq!(stage.confirm(outcome, Some(1_000), ProtocolVersion::V5).await, outcome);
        }
        assert_eq!(stage.stop.reason(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn served_and_interrupted_clients_need_no_sign_of_life() {
        let stage = stage();
        let (tolerated, interrupted) = (Outcome::Tolerated, Outcome::Interrupted);
        assert_eq!(stage.confirm(tolerated, None, ProtocolVersion::V5).await, tolerated);
        assert_eq!(stage.confirm(interrupted, None, ProtocolVersion::V5).await, interrupted);
        stage.stop.raise(StopReason::Interrupted);
        let confirmed = stage.confirm(Outcome::Closed, Some(1_000), ProtocolVersion::V5).await;
        assert_eq!((confirmed, stage.stop.reason()), (Outcome::Closed, Some(StopReason::Interrupted)));
    }

    fn log(clock: &RunClock) -> AttemptLog<'_> {
        let case = Case { fault: "f".into(), variant: "v".into(), version: "5.0".into() };
        AttemptLog::begin(7, case, "ug7".into(), Phase::Fault, 55, clock)
    }

    #[test]
    fn an_attempt_whose_client_id_another_client_took_is_excluded() {
        let (clock, taken_over) = (RunClock::start(), ReasonCode::SESSION_TAKEN_OVER.0);
        // With a ClientID of the user's or our own, after so many connections, disconnected with this code.
        let outcome = |client_id: Option<&str>, connections: usize, code: u8| {
            let settings = ClientsSettings {
                client_id: client_id.map(ToOwned::to_owned),
                topic_root: "t".to_owned(),
                ..ClientsSettings::default()
            };
            let clients = Clients::new(settings, "ug".to_owned(), "1".to_owned(), (1, 1), clock);
            let stage = Stage { clients, ..stage() };
            for _ in 0..connections {
                let _chosen = stage.nodes.next();
            }
            let disconnect = Reaction {
                kind: ReactionKind::Disconnect,
                code: Some(code),
                at_us: 70,
                detail: None,
                connection: None,
            };
            let mut log = log(&clock);
            log.provoked(now());
            log.measure(Measure::new("waited_us"), 1);
            log.reacted(vec![disconnect], Outcome::Closed);
            let mut attempt = log.end();
            stage.exclude_if_taken_over(&mut attempt);
            assert_eq!(attempt.outcome == Outcome::NotActed, attempt.trouble.is_some());
            assert_eq!(attempt.measures.is_empty(), attempt.provoked_us.is_none());
            assert_eq!((attempt.attempt, attempt.due_us, attempt.reactions.len()), (7, 55, 1));
            attempt.outcome
        };
        assert_eq!(outcome(Some("dev%i"), 1, taken_over), Outcome::NotActed);
        assert_eq!(outcome(Some("dev%i"), 1, 0x8D), Outcome::Closed, "for another reason");
        assert_eq!(outcome(Some("dev%i"), 2, taken_over), Outcome::Closed, "by its own second connection");
        assert_eq!(outcome(None, 1, taken_over), Outcome::Closed, "no other client has a generated ClientID");
    }

    #[test]
    fn a_second_client_has_the_client_id_with_a_letter() {
        let clock = RunClock::start();
        let log = log(&clock).beside(&[Companion::UsesTopics]);
        assert_eq!(log.companion(Companion::UsesTopics), "ug7p");
    }

    #[test]
    #[should_panic(
        expected = "f v MQTT 5.0 does not declare that its attempts have a second client that OnlyConnects"
    )]
    fn a_second_client_that_is_not_declared_is_noticed() {
        let clock = RunClock::start();
        let _client_id = log(&clock).beside(&[Companion::UsesTopics]).companion(Companion::OnlyConnects);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_was_not_gathered_has_its_turn_at_once() {
        let clock = RunClock::start();
        let mut log = log(&clock);
        assert!(log.turn().await && log.turn().await);
        assert_eq!(log.so_far().due_us, 55);
    }

    #[tokio::test(start_paused = true)]
    async fn a_gathered_attempt_frees_its_slot_and_gets_its_due_time() {
        let (clock, places) = (RunClock::start(), Arc::new(Semaphore::new(1)));
        let (sender, due_us) = oneshot::channel();
        let gathering = Some(Arc::clone(&places).try_acquire_owned().unwrap());
        let mut log = log(&clock).waiting_for(Turn { due_us, gathering });
        assert_eq!(places.available_permits(), 0, "it gathers");
        for _ in 0..3 {
            assert!(timeout(Duration::from_secs(1), log.turn()).await.is_err(), "its turn has not come");
        }
        assert_eq!(places.available_permits(), 1, "it waits, and another one may gather");
        sender.send(4_321).unwrap();
        assert!(log.turn().await);
        assert_eq!(log.so_far().due_us, 4_321);
        assert!(log.turn().await, "and it stays its turn");
    }

    #[tokio::test(start_paused = true)]
    async fn a_gathered_attempt_gets_no_turn_after_a_stop() {
        let clock = RunClock::start();
        let (sender, due_us) = oneshot::channel();
        let mut log = log(&clock).waiting_for(Turn { due_us, gathering: None });
        drop(sender);
        assert!(!log.turn().await);
        assert!(!log.turn().await);
    }
}
