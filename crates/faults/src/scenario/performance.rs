//! One attempt of a scenario: its steps in order, then the broker's reaction.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use tokio::time::{sleep, timeout};
use ungraceful_mqtt::{Packet as Received, PacketType, QoS};
use ungraceful_record::expectation::{Expectation, Expected, Publication};
use ungraceful_record::fact::FactOf;
use ungraceful_record::reaction::{Outcome, Reaction};
use ungraceful_record::scale::span;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Stage};
use ungraceful_rig::attempts::observe::{Observed, STALLED, Watch, observe_at_work, observe_until};
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_scenario::encode::Context;
use ungraceful_scenario::label::{NONE, in_a_row};
use ungraceful_scenario::model::{Action, Body, End, Packet, Property, Sending, Step, WaitFor};
use ungraceful_scenario::properties::KINDS;
use ungraceful_scenario::template::{Number, Random, Value, Variables};
use ungraceful_wire::clock::now;

use super::client::{Awaiting, Player, SETTLE, Topics};
use super::turns::Taken;
use super::{COMPANIONS, ScenarioFault};
use crate::ending::{Confirmed, Unfinished, confirm};

/// Fact: the answers after the provoking byte, in order, such as `PUBACK 0x00`; `none` without any.
pub(super) const ANSWERS: FactOf<String> = FactOf::new("answers");
/// Fact: the CONNACK after the provoking byte: `accepted`, its code, or `none`. Only where one was due.
pub(super) const CONNACK: FactOf<String> = FactOf::new("connack");
/// Fact: the messages that the client of the expectation received.
pub(super) const DELIVERED: FactOf<u64> = FactOf::new("delivered");
/// Fact: all packets that the first client received, in order; [`NONE`] without any. Only where a scenario expects them.
pub(super) const RECEIVED: FactOf<String> = FactOf::new("received");
/// Fact: the CONNECT was accepted.
pub(super) const ACCEPTED: &str = "accepted";

/// The attempt.
pub(super) struct Performance<'a> {
    fault: &'a ScenarioFault,
    stage: &'a Stage,
    players: Vec<Player>,
    /// Those of the attempt, the case and what was captured.
    variables: Variables,
    random: Random,
    will: Option<WitnessWatch>,
    /// The Application Message of the first Will.
    will_payload: Vec<u8>,
    /// Its Will Delay Interval.
    will_delay: Duration,
    /// The player and the time of the last act.
    acted: Option<(usize, Instant)>,
    /// The same for the provoking byte.
    provoked: Option<(usize, Instant)>,
    /// What came since on that player's connection.
    reactions: Vec<Reaction>,
    outcome: Option<Outcome>,
    answers: Vec<String>,
    connacks: Vec<u8>,
}

/// How a step ended.
enum Done {
    /// The next one follows.
    Go,
    /// The provoked connection has ended, or what was awaited did not come: no further step.
    Stop,
}

impl<'a> Performance<'a> {
    pub(super) fn new(
        fault: &'a ScenarioFault,
        stage: &'a Stage,
        log: &AttemptLog<'_>,
    ) -> Result<Self, Unfinished> {
        let ids = [log.client_id().to_owned()].into_iter();
        let ids = ids.chain(
            COMPANIONS.iter().take(fault.clients.len() - 1).map(|which: &Companion| log.companion(*which)),
        );
        let topic = format!("{}/{}", stage.topic_root, log.name());
        let topics = Arc::new(Topics { root: Arc::clone(&stage.topic_root), name: log.name().to_owned() });
        let players: Vec<Player> =
            fault.clients.iter().zip(ids).map(|(name, id)| Player::new(name, id, &topics)).collect();
        let will = fault.expects_will().then(|| stage.watch_will(log.name())).flatten();
        let text = |text: &str| Value::Bytes(text.as_bytes().to_vec());
        let will_topic =
            will.as_ref().map_or_else(|| format!("{topic}/will"), |watch| watch.topic().to_owned());
        let mut variables = Variables::from([
            ("topic".to_owned(), text(&topic)),
            ("will".to_owned(), text(&will_topic)),
            ("first_client_id".to_owned(), text(log.client_id())),
            ("client_id".to_owned(), text(log.client_id())),
        ]);
        let mut random = Random::new(stage.seed.0.wrapping_add(log.number()));
        let parameters = fault.of_case().variables(&variables, &mut random);
        variables.extend(parameters.map_err(|why| why.to_string())?);
        Ok(Self {
            fault,
            stage,
            players,
            variables,
            random,
            will,
            will_payload: Vec::new(),
            will_delay: Duration::ZERO,
            acted: None,
            provoked: None,
            reactions: Vec::new(),
            outcome: None,
            answers: Vec::new(),
            connacks: Vec::new(),
        })
    }

    /// Carries out all steps, watches the broker, and logs what it did. `turn` is kept while others have to wait.
    pub(super) async fn carry_out(
        mut self,
        log: &mut AttemptLog<'_>,
        turn: Option<Taken>,
    ) -> Result<(), Unfinished> {
        let steps = Arc::clone(&self.fault.steps);
        for (index, step) in steps.iter().enumerate() {
            let done = self.step(log, step).await?;
            if index == self.fault.provoking {
                self.provoke(log);
            }
            if matches!(done, Done::Stop) {
                break;
            }
        }
        let Some((player, at)) = self.provoked else {
            return Err(
                "the broker ended the connection, or did not answer, before the provoking step".into()
            );
        };
        if self.outcome.is_none() {
            self.watch(log, player, at).await;
        }
        // A connection that is over disturbs no other.
        let _turn = turn.filter(|_| !matches!(self.outcome, Some(Outcome::Closed | Outcome::Reset)));
        let reactions = std::mem::take(&mut self.reactions);
        let confirmed = confirm(self.stage, log, self.fault.version, (reactions, self.outcome)).await;
        if confirmed.outcome.is_evidence() {
            self.log_answers(log);
            self.log_deliveries(log, player).await;
            self.log_will(log, at, confirmed).await;
        }
        for player in &mut self.players {
            if let Some(client) = player.client.take().filter(|_| !player.is_silent) {
                client.leave().await;
            }
        }
        log.connection_over();
        Ok(())
    }

    /// From here on, reactions count.
    fn provoke(&mut self, log: &mut AttemptLog<'_>) {
        if let (None, Some((player, at))) = (self.provoked, self.acted) {
            self.provoked = Some((player, at));
            log.provoked(at);
        }
    }

    fn step<'s>(
        &'s mut self,
        log: &'s mut AttemptLog<'_>,
        step: &'s Step,
    ) -> LocalBoxFuture<'s, Result<Done, Unfinished>> {
        Box::pin(async move {
            let player = self.player(&step.client);
            let done = match &step.action {
                Action::Open => {
                    self.open(log, player).await?;
                    Done::Go
                }
                Action::Connect(packet) => {
                    self.connect(log, player, packet).await?;
                    Done::Go
                }
                Action::Send(sending) => self.send(log, player, step, sending).await?,
                Action::WaitFor(wait) => self.wait_for(player, wait).await?,
                Action::Pause(time) => {
                    self.stage.unless_stopped(sleep(*time)).await.ok_or(Unfinished::Stopped)?;
                    Done::Go
                }
                Action::Repeat(times, steps) => self.repeat(log, times, steps).await?,
                Action::End(end) => self.end(player, end).await?,
            };
            if step.provokes {
                self.provoke(log);
            }
            Ok(done)
        })
    }

    fn player(&self, name: &str) -> usize {
        self.players.iter().position(|player| player.name == name).unwrap_or(0)
    }

    fn context(&self, player: usize) -> Context {
        let credentials = &self.stage.credentials;
        let mut variables = self.variables.clone();
        variables.extend(self.players[player].variables());
        Context {
            version: self.fault.version,
            variables,
            user_name: credentials.user_name.as_ref().map(|name| name.as_bytes().to_vec()),
            password: credentials.password.as_ref().map(|password| password.reveal().to_vec()),
            will_qos: QoS::AtLeastOnce.min(self.stage.maximum_qos).level(),
            random: self.random.clone(),
        }
    }

    async fn open(&mut self, log: &mut AttemptLog<'_>, player: usize) -> Result<(), Unfinished> {
        let opened = self.stage.unless_stopped(self.stage.open(self.fault.version)).await;
        let opened = opened.ok_or(Unfinished::Stopped)?;
        let (client, established) = opened.map_err(|error| format!("cannot connect: {error}"))?;
        if player == 0 && log.so_far().established_us.is_none() {
            log.established(established);
        }
        self.players[player].opened(client);
        self.acted = Some((player, now()));
        Ok(())
    }

    /// Connects and waits until the broker accepts the client.
    async fn connect(
        &mut self,
        log: &mut AttemptLog<'_>,
        player: usize,
        packet: &Packet,
    ) -> Result<(), Unfinished> {
        self.open(log, player).await?;
        let bytes = self.make(player, |context| context.packet(packet))?;
        self.note_will(player, packet)?;
        let within = self.stage.options.connect_timeout;
        let version = self.fault.version;
        let of = &mut self.players[player];
        let client = of.client.as_mut().expect("the connection was just opened");
        let sent = client
            .connection
            .send(&bytes)
            .await
            .map_err(|error| format!("CONNECT can't be sent: {error}"))?;
        let accepted = self.stage.unless_stopped(client.await_connack(sent, within)).await;
        let (accepted, connack) =
            accepted.ok_or(Unfinished::Stopped)?.map_err(|error| crate::ending::refusal(&error))?;
        if player == 0 && log.so_far().connack_us.is_none() {
            log.accepted(accepted.connack_at);
        }
        let announced = match connack.frame().decode(version).packet {
            packet @ Received::ConnAck(_) => super::client::announced(&packet),
            _ => Variables::new(),
        };
        of.has_sent(&bytes);
        of.take_connack(0, announced);
        of.exchanged.push("CONNACK 0x00".to_owned());
        Ok(())
    }

    /// Keeps what the witness waits for.
    fn note_will(&mut self, player: usize, packet: &Packet) -> Result<(), Unfinished> {
        let Body::Connect(connect) = &packet.body else { return Ok(()) };
        let Some(will) = &connect.will else { return Ok(()) };
        if self.will_payload.is_empty() {
            self.will_payload = self.make(player, |context| context.make(&will.payload))?;
        }
        // A Will comes when its delay or its session is over, whichever happens first.
        let delay_s = fixed(&will.properties.list, "will_delay_interval");
        self.will_delay =
            Duration::from_secs(delay_s.min(fixed(&connect.properties.list, "session_expiry_interval")));
        Ok(())
    }

    /// Makes bytes for a player. Randomness goes on from where it was.
    fn make<T>(
        &mut self,
        player: usize,
        make: impl FnOnce(&mut Context) -> Result<T, ungraceful_scenario::template::Unresolved>,
    ) -> Result<T, Unfinished> {
        let mut context = self.context(player);
        let made = make(&mut context).map_err(|why| Unfinished::Trouble(why.to_string()))?;
        self.random = context.random;
        Ok(made)
    }

    async fn send(
        &mut self,
        log: &mut AttemptLog<'_>,
        player: usize,
        step: &Step,
        sending: &Sending,
    ) -> Result<Done, Unfinished> {
        if self.players[player].client.is_none() {
            self.open(log, player).await?;
        }
        let bytes = self.make(player, |context| context.bytes(sending))?;
        if let Sending::Packet(packet) = sending {
            self.note_will(player, packet)?;
        }
        let split = match &step.split {
            Some(split) => {
                Some(self.make(player, |context| split.value(&context.variables, u16::MAX.into()))?)
            }
            None => None,
        };
        self.players[player].held.extend_from_slice(&bytes);
        if step.coalesce {
            return Ok(Done::Go);
        }
        let bytes = std::mem::take(&mut self.players[player].held);
        let segment = split.and_then(|split| usize::try_from(split).ok()).unwrap_or(bytes.len()).max(1);
        self.write(player, &bytes, segment).await
    }

    /// Writes bytes, so many at a time. A broker that ends the connection meanwhile has reacted to what was sent.
    async fn write(&mut self, player: usize, bytes: &[u8], segment: usize) -> Result<Done, Unfinished> {
        let began = now();
        self.players[player].has_sent(bytes);
        let client = self.players[player].client.as_mut().expect("a client that sends has a connection");
        let within = self.stage.reaction_timeout;
        for part in bytes.chunks(segment) {
            let sent = self.stage.unless_stopped(timeout(within, client.connection.send(part))).await;
            match sent.ok_or(Unfinished::Stopped)? {
                Ok(Ok(sent)) => self.acted = Some((player, sent.at)),
                Ok(Err(_ended)) => {
                    self.acted = Some((player, began));
                    return Ok(Done::Go);
                }
                Err(_elapsed) => {
                    let why = format!("the broker did not read what was sent within {}", span(within));
                    return Err(Unfinished::Trouble(why));
                }
            }
        }
        Ok(Done::Go)
    }

    async fn repeat(
        &mut self,
        log: &mut AttemptLog<'_>,
        times: &Number,
        steps: &[Step],
    ) -> Result<Done, Unfinished> {
        let times = self.make(0, |context| times.value(&context.variables, 1_000_000))?;
        for n in 0..times {
            self.variables.insert("n".to_owned(), Value::Number(n));
            for step in steps {
                if matches!(self.step(log, step).await?, Done::Stop) {
                    return Ok(Done::Stop);
                }
            }
        }
        Ok(Done::Go)
    }

    async fn end(&mut self, player: usize, end: &End) -> Result<Done, Unfinished> {
        let disconnect = match end {
            End::Disconnect(packet) => Some(self.make(player, |context| context.packet(packet))?),
            _ => None,
        };
        let of = &mut self.players[player];
        let Some(mut client) = of.client.take() else { return Ok(Done::Go) };
        of.is_silent = true;
        let at = match end {
            End::Fin => {
                let at = now();
                client.connection.close();
                at
            }
            End::Rst => {
                let at = now();
                client.connection.reset();
                at
            }
            End::HalfClose => {
                let at = client.connection.half_close().await.map_or_else(|_| now(), |sent| sent.at);
                of.client = Some(client);
                at
            }
            End::StopReading => {
                of.reads = false;
                of.client = Some(client);
                now()
            }
            End::Disconnect(_) => {
                let bytes = disconnect.unwrap_or_default();
                let at = client.connection.send(&bytes).await.map_or_else(|_| now(), |sent| sent.at);
                client.connection.close_properly();
                at
            }
        };
        self.acted = Some((player, at));
        Ok(Done::Go)
    }

    /// Waits for a packet. What else comes on the provoked connection is a reaction.
    async fn wait_for(&mut self, player: usize, wait: &WaitFor) -> Result<Done, Unfinished> {
        let within = wait.within.unwrap_or(self.stage.reaction_timeout);
        let version = self.fault.version;
        let times = self.make(player, |context| wait.times.value(&context.variables, 1_000_000))?;
        let (claimed, captured) = self.players[player].claim(wait.packet, times, &wait.capture);
        self.variables.extend(captured);
        if claimed == times {
            return Ok(Done::Go);
        }
        let awaited = (wait.packet, times - claimed);
        let mut awaiting = Awaiting::packet(&self.players[player], version, awaited, &wait.capture);
        let Some(client) = self.players[player].client.as_mut() else {
            return Err(format!("a client without a connection can't wait for {}", wait.packet).into());
        };
        let watch = Watch { provoked_at: now(), within, connacks_due: 0, subscribed: true };
        let (clock, stop) = (&self.stage.clock, &self.stage.stop);
        let seen = observe_until(client, clock, stop, watch, &mut awaiting).await;
        let is_provoked = self.provoked.is_some_and(|(provoked, _)| provoked == player);
        self.players[player].exchanged.append(&mut awaiting.exchanged);
        let (has_come, captured) = (awaiting.has_come, std::mem::take(&mut awaiting.captured));
        let ended = seen.ended_at_us().is_some();
        if seen.outcome.is_none() && !has_come {
            return Err(Unfinished::Stopped);
        }
        let awaited = wait.packet.name();
        self.take(player, awaiting, is_provoked.then_some(seen));
        self.variables.extend(captured);
        if has_come {
            return Ok(Done::Go);
        }
        match (self.provoked.is_some(), ended) {
            (true, _) if is_provoked && ended => Ok(Done::Stop),
            (_, false) if !wait.required => Ok(Done::Go),
            (true, _) => Ok(Done::Stop),
            (false, true) => {
                Err(format!("the broker ended the connection instead of sending {awaited}").into())
            }
            (false, false) => Err(format!("no {awaited} came within {}", span(within)).into()),
        }
    }

    /// Keeps what came. `seen` are the reactions, if the connection is the provoked one.
    fn take(&mut self, player: usize, mut awaiting: Awaiting<'_>, seen: Option<Observed>) {
        self.players[player].pings_due = awaiting.pings_due;
        self.players[player].keep_unclaimed(&mut awaiting);
        self.players[player].received += awaiting.received;
        for (code, announced) in awaiting.connacks {
            self.players[player].take_connack(code, announced);
            if seen.is_some() {
                self.connacks.push(code);
            }
        }
        if let Some(seen) = seen {
            self.answers.extend(awaiting.answers);
            if seen.ended_at_us().is_some() {
                self.outcome = seen.outcome;
            }
            self.reactions.extend(seen.reactions);
        }
    }

    /// Watches the provoked connection until it ends, or the broker proves that it goes on serving the client, or the time is over.
    async fn watch(&mut self, log: &mut AttemptLog<'_>, player: usize, at: Instant) {
        let of = &self.players[player];
        if of.client.is_none() || !of.reads {
            // The client itself ended the connection, or would not see the end.
            self.outcome = Some(Outcome::Left);
            return;
        }
        // The broker has its time after the last act, too.
        let at = self.acted.filter(|(of, _)| *of == player).map_or(at, |(_, acted)| acted.max(at));
        let version = self.fault.version;
        if of.connacks_due > 0 && !of.is_accepted {
            let connack = Awaiting::packet(of, version, (PacketType::ConnAck, 1), &[]);
            if let Some(outcome) = self.observe(log, (player, at), connack, Manner::Silent).await {
                self.outcome = Some(outcome);
                return;
            }
            if self.connacks.is_empty() {
                // The run stops.
                return;
            }
        }
        let manner = if self.players[player].can_ask() { Manner::Asking } else { Manner::Silent };
        let nothing = Awaiting::nothing(&self.players[player], version);
        self.outcome = self.observe(log, (player, at), nothing, manner).await;
    }

    /// Watches the connection of a player, for as long as the broker has to react.
    async fn observe(
        &mut self,
        log: &mut AttemptLog<'_>,
        (player, at): (usize, Instant),
        mut awaiting: Awaiting<'_>,
        manner: Manner,
    ) -> Option<Outcome> {
        let client = self.players[player].client.as_mut()?;
        let within = self.stage.reaction_timeout;
        let watch = Watch { provoked_at: at, within, connacks_due: 0, subscribed: true };
        let (clock, stop) = (&self.stage.clock, &self.stage.stop);
        let seen = match manner {
            Manner::Asking => observe_at_work(client, clock, stop, watch, &mut awaiting).await,
            Manner::Silent => observe_until(client, clock, stop, watch, &mut awaiting).await,
        };
        if seen.stalled {
            log.trouble(STALLED);
        }
        let outcome = seen.outcome;
        // A client that asks receives PINGRESP for it.
        awaiting.exchanged.retain(|packet| !matches!(manner, Manner::Asking) || packet != "PINGRESP");
        self.players[player].exchanged.append(&mut awaiting.exchanged);
        self.take(player, awaiting, Some(seen));
        outcome
    }

    fn log_answers(&self, log: &mut AttemptLog<'_>) {
        let is_awaited = |expectation: &Expectation| matches!(expectation.what, Expected::Answers { .. });
        if !self.answers.is_empty() {
            log.fact(ANSWERS, self.answers.join(", "));
        } else if self.fault.expects.iter().any(is_awaited) {
            log.fact(ANSWERS, NONE.to_owned());
        }
        if self.fault.expects.iter().any(|expectation| matches!(expectation.what, Expected::Receives(_))) {
            let packets = in_a_row(&self.players[0].exchanged);
            log.fact(RECEIVED, if packets.is_empty() { NONE.to_owned() } else { packets.join(", ") });
        }
        let is_connack = |expectation: &Expectation| matches!(expectation.what, Expected::Connack(_));
        if !self.connacks.is_empty() || self.fault.expects.iter().any(is_connack) {
            let connack = match self.connacks.first() {
                None => NONE.to_owned(),
                Some(0) => ACCEPTED.to_owned(),
                Some(code) => format!("0x{code:02X}"),
            };
            log.fact(CONNACK, connack);
        }
    }

    /// Waits for the messages that are expected, and then for those that are not.
    async fn log_deliveries(&mut self, log: &mut AttemptLog<'_>, provoked: usize) {
        let delivers = self.fault.expects.iter().find_map(|expectation| match &expectation.what {
            Expected::Delivers { client, count } => Some((self.player(client), *count)),
            _ => None,
        });
        let Some((player, count)) = delivers else { return };
        let missing = count.saturating_sub(self.players[player].received);
        for (enough, within) in [(missing, self.stage.reaction_timeout), (u64::MAX, SETTLE)] {
            if enough == 0 {
                continue;
            }
            let mut awaiting = Awaiting::messages(&self.players[player], self.fault.version, enough);
            let Some(client) = self.players[player].client.as_mut() else { break };
            let watch = Watch { provoked_at: now(), within, connacks_due: 0, subscribed: true };
            let (clock, stop) = (&self.stage.clock, &self.stage.stop);
            let seen = observe_until(client, clock, stop, watch, &mut awaiting).await;
            self.players[player].received += awaiting.received;
            if seen.ended_at_us().is_some() && player != provoked {
                log.trouble(format!(
                    "the broker ended the connection of client {}",
                    self.players[player].name
                ));
                return;
            }
        }
        log.fact(DELIVERED, self.players[player].received);
    }

    async fn log_will(&self, log: &mut AttemptLog<'_>, since: Instant, confirmed: Confirmed) {
        let expected = self.fault.expects.iter().find_map(|expectation| match expectation.what {
            Expected::Will(publication) => Some(publication),
            _ => None,
        });
        let (Some(publication), Some(watch)) = (expected, &self.will) else { return };
        let is_over = matches!(confirmed.outcome, Outcome::Closed | Outcome::Reset | Outcome::Left);
        let due = publication == Publication::Published && is_over;
        let (ended_at, first) = (confirmed.ended_at(self.stage), &self.will_payload);
        let seen = self.stage.await_delayed_will(watch, due, since, self.will_delay, ended_at, first).await;
        if let Some(seen) = seen {
            log.will(seen);
        }
    }
}

/// The number of a property; 0 without it, or if a variable gives it.
fn fixed(list: &[Property], name: &str) -> u64 {
    let number = list.iter().find_map(|property| match property {
        Property::Number(index, Number::Fixed(number)) if KINDS[*index].name == name => Some(*number),
        _ => None,
    });
    number.unwrap_or(0)
}

/// How a connection is watched.
#[derive(Clone, Copy)]
enum Manner {
    /// The client sends PINGREQ.
    Asking,
    /// The client sends nothing, because the broker would take it for the rest of what came before.
    Silent,
}
