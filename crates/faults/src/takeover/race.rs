//! The race: many CONNECTs with one ClientID, sent on separate connections within a millisecond. Exactly one of them should
//! survive.

use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use futures_util::future::{LocalBoxFuture, join_all};
use ungraceful_flags::{Versions, Wanted, Whole};
use ungraceful_mqtt::{Connect, ProtocolVersion};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::reaction::{Outcome, Reaction};
use ungraceful_record::scale::micros;
use ungraceful_rig::attempts::client::{Accepted, Client, NotConnected};
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::{Observed, observe};
use ungraceful_wire::Sent;

use super::{
    ALIVE, Alive, Answer, NEWCOMER, NEWCOMER_CONNACK, VersionPair, connack_time, judged, keep_observing,
    refusal,
};
use crate::ending::{Unfinished, attempted, prepared, watch};
use crate::mode::{ConnectionsOf, FaultMode, each_case};

/// The fault's id in the catalogue.
pub const ID: &str = "race";
/// Measure: from the first CONNECT handed to the kernel until the last.
pub const RELEASED_WITHIN: Measure = Measure::new("released_within_us");
/// Measure: contenders that received a successful CONNACK, however soon they were closed.
pub const CONTENDERS_ACCEPTED: Measure = Measure::new("contenders_accepted");
/// Fact: why contenders were not accepted; absent when all were, or none.
pub const OTHERS: FactOf<String> = FactOf::new("others_refused_by");

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// CONNECT packets with one ClientID sent at once
    #[arg(long, value_name = "N", default_value = "10")]
    contenders: Whole<2, 1_000>,
    #[command(flatten)]
    versions: Versions,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str =
        "Many CONNECT packets with one ClientID at once: exactly one client may survive";
    const LONG_ABOUT: &'static str = "Opens --contenders connections and then sends CONNECT with one ClientID on all of them, within a \
         millisecond (the exact spread is measured). Reports how many are accepted, what the others \
         receive, and how many are still served at the end: exactly one should be.";
    const CHECKS: &'static [&'static [Check]] = &[judged::CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("attempts", "20"), ("count", "20"), ("connrate", "20")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn connections(&self) -> ConnectionsOf {
        ConnectionsOf::EachClient(self.contenders.0)
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&[self.contenders.get()], spoken, |contenders, version| Some(Race { version, contenders }))
    }
}

/// One race.
#[derive(Clone, Copy, Debug)]
pub struct Race {
    /// The version that every contender speaks.
    pub version: ProtocolVersion,
    /// Their number, from 2.
    pub contenders: u16,
}

impl Fault for Race {
    fn case(&self) -> Case {
        Case::new(ID, format!("{}-contenders", self.contenders), VersionPair::both(self.version))
    }

    fn describe(&self) -> String {
        format!(
            "open {} connections, then send CONNECT with one ClientID on all of them at once",
            self.contenders
        )
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

/// A contender after its CONNECT.
struct Contender {
    client: Client,
    accepted: Result<Accepted, NotConnected>,
    seen: Observed,
}

impl Contender {
    /// Waits for the CONNACK, and then for the broker's reaction. A contender without one is no live connection.
    async fn watch(stage: &Stage, mut client: Client, sent: Sent) -> Self {
        let within = stage.reaction_timeout;
        let answer = stage.unless_stopped(client.await_connack(sent, within)).await;
        let accepted =
            answer.unwrap_or(Err(NotConnected::Silent(within))).map(|(accepted, _packet)| accepted);
        let seen = match accepted {
            Ok(_) => observe(&mut client, &stage.clock, &stage.stop, watch(sent.at, within)).await,
            Err(_) => Observed::default(),
        };
        Self { client, accepted, seen }
    }

    async fn keep_watching(mut self, stage: &Stage, accepted_at: Instant) -> Self {
        if self.accepted.is_ok() {
            self.seen = keep_observing(stage, &mut self.client, self.seen, accepted_at).await;
        }
        self
    }

    fn is_served(&self) -> bool {
        self.seen.outcome == Some(Outcome::Tolerated)
    }
}

impl Race {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let client_id = log.client_id().to_owned();
        let released = prepared(stage, self.release(stage, &client_id)).await?;
        let sent_us =
            |released: Option<&(Client, Sent)>| released.map_or(0, |(_, sent)| stage.clock.us(sent.at));
        let (first_us, last_us) = (sent_us(released.first()), sent_us(released.last()));
        log.provoked(stage.clock.at(first_us));
        log.measure(RELEASED_WITHIN, last_us.saturating_sub(first_us));
        let mut contenders =
            join_all(released.into_iter().map(|(client, sent)| Contender::watch(stage, client, sent))).await;
        let accepted = contenders.iter().filter_map(|contender| contender.accepted.as_ref().ok());
        // The broker has the full reaction timeout from the last CONNACK on to end the other connections.
        if let Some(at) = accepted.map(|accepted| accepted.connack_at).max() {
            let watched = contenders.into_iter().map(|contender| contender.keep_watching(stage, at));
            contenders = join_all(watched).await;
        }
        if stage.stop.reason().is_some() {
            return Err(Unfinished::Stopped);
        }
        self.report(stage, log, contenders, last_us).await;
        Ok(())
    }

    /// Opens all connections first and then sends all CONNECTs.
    async fn release(&self, stage: &Stage, client_id: &str) -> Result<Vec<(Client, Sent)>, String> {
        let mut clients = Vec::new();
        for _ in 0..self.contenders {
            let opened = stage.open(self.version).await;
            let (client, _) = opened.map_err(|error| format!("a contender cannot connect: {error}"))?;
            clients.push(client);
        }
        let connect: Connect<'_> = Client::honest_connect(client_id, &stage.credentials);
        let mut released = Vec::new();
        for mut client in clients {
            let sent = client.send_connect(&connect).await;
            released.push((client, sent.map_err(|error| format!("cannot send a CONNECT: {error}"))?));
        }
        Ok(released)
    }

    async fn report(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        contenders: Vec<Contender>,
        last_us: u64,
    ) {
        let alive = contenders.iter().filter(|contender| contender.is_served()).count();
        let accepted = contenders.iter().filter(|contender| contender.accepted.is_ok()).count();
        let unclear = contenders.iter().any(|contender| contender.seen.outcome == Some(Outcome::NoReaction));
        log.measure(CONTENDERS_ACCEPTED, accepted as u64);
        let survivor = contenders.iter().find(|contender| contender.is_served());
        if let Some(Ok(accepted)) = survivor.map(|survivor| &survivor.accepted) {
            log.measure(NEWCOMER_CONNACK, micros(connack_time(accepted)));
        }
        let refused = contenders.iter().find_map(|contender| contender.accepted.as_ref().err()).map(refusal);
        if let (true, Some(refused)) = (accepted > 0, &refused) {
            log.fact(OTHERS, refused.clone());
        }
        let newcomer = refused.filter(|_| accepted == 0).map_or(Answer::Accepted, Answer::Refused);
        log.fact(NEWCOMER, newcomer);
        log.fact(ALIVE, if unclear && alive < 2 { Alive::Unknown } else { Alive::of_many(alive) });
        let mut reactions = contenders.iter().flat_map(|contender| &contender.seen.reactions);
        let outcome = match alive {
            0 | 1 if unclear => Outcome::NoReaction,
            // No connection was closed: the others were refused, or never answered.
            0 | 1 if !reactions.any(|seen| seen.kind.ends_connection()) => Outcome::NoReaction,
            0 | 1 => Outcome::Closed,
            _ => Outcome::Tolerated,
        };
        let mut reactions = Vec::new();
        let mut clients = Vec::new();
        for (number, contender) in (0..).zip(contenders) {
            let numbered = contender.seen.reactions.into_iter();
            reactions.extend(numbered.map(|seen| Reaction { connection: Some(number), ..seen }));
            clients.push(contender.client);
        }
        reactions.sort_by_key(|reaction| reaction.at_us);
        log.reacted(reactions, outcome);
        let confirmed = stage.confirm(outcome, Some(last_us), self.version).await;
        log.concluded(confirmed);
        for client in clients {
            client.leave().await;
        }
    }
}
