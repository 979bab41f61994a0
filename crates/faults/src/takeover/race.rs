//! The race: many CONNECTs with one ClientID, released on connections of their own within a millisecond. One of them is
//! left, or the broker keeps two clients under one name.

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
use ungraceful_rig::attempts::client::{Client, NotConnected};
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::{Observed, observe};
use ungraceful_wire::Sent;

use super::{ALIVE, Alive, Answer, NEWCOMER, NEWCOMER_CONNACK, VersionPair, judged, observe_on, refusal};
use crate::ending::{Untold, attempted, prepared, watch};
use crate::mode::{ConnectionsOf, FaultMode, each_case};

/// The fault's id in the catalogue.
pub const ID: &str = "race";
/// Measure: first CONNECT handed to the kernel, until the last one was.
pub const RELEASED_WITHIN: Measure = Measure::new("released_within_us");
/// Measure: contenders that were answered by a CONNACK that accepts them, however short they lived.
pub const CONTENDERS_ACCEPTED: Measure = Measure::new("contenders_accepted");

/// Fact: why contenders that were not accepted were not; absent when all were, or none.
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
         millisecond (how closely is measured). Reports how many are accepted, what the losers are told, \
         and how many are still served at the end: exactly one should be.";
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
    /// How many there are, from 2.
    pub contenders: u16,
}

impl Fault for Race {
    fn case(&self) -> Case {
        Case::new(ID, format!("{}-contenders", self.contenders), VersionPair::both(self.version))
    }

    fn describe(&self) -> String {
        format!("{} connections, then CONNECT with one ClientID on each of them at once", self.contenders)
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

/// What became of one contender.
struct Raced {
    client: Client,
    accepted_at: Option<Instant>,
    accepted_after_us: Result<u64, NotConnected>,
    seen: Observed,
}

impl Raced {
    async fn watched_on(mut self, stage: &Stage, accepted_at: Instant) -> Self {
        if self.accepted_at.is_some() {
            self.seen = observe_on(stage, &mut self.client, self.seen, accepted_at).await;
        }
        self
    }
}

impl Race {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Untold> {
        let client_id = log.client_id().to_owned();
        let released = prepared(stage, self.release(stage, &client_id)).await?;
        let sent = |edge: fn(u64, u64) -> u64, none: u64| {
            released.iter().map(|(_, sent)| stage.clock.us(sent.at)).fold(none, edge)
        };
        let (first_us, last_us) = (sent(u64::min, u64::MAX), sent(u64::max, 0));
        log.provoked(stage.clock.at(first_us));
        log.measure(RELEASED_WITHIN, last_us.saturating_sub(first_us));
        let raced =
            join_all(released.into_iter().map(|(client, sent)| watch_contender(stage, client, sent))).await;
        // The connection that was accepted last may end the others until the broker has had all of its time since then.
        let last_accepted = raced.iter().filter_map(|raced| raced.accepted_at).max();
        let raced = match last_accepted {
            Some(at) => join_all(raced.into_iter().map(|raced| raced.watched_on(stage, at))).await,
            None => raced,
        };
        if stage.stop.reason().is_some() {
            return Err(Untold::Stopped);
        }
        self.tell(stage, log, raced, last_us).await;
        Ok(())
    }

    /// Opens every connection first, and then sends every CONNECT.
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
            released.push((client, sent.map_err(|error| format!("a CONNECT could not be sent: {error}"))?));
        }
        Ok(released)
    }

    async fn tell(&self, stage: &Stage, log: &mut AttemptLog<'_>, raced: Vec<Raced>, last_us: u64) {
        let served = |raced: &&Raced| raced.seen.outcome == Some(Outcome::Tolerated);
        let alive = raced.iter().filter(served).count();
        let accepted = raced.iter().filter(|raced| raced.accepted_after_us.is_ok()).count();
        let unclear = raced.iter().any(|raced| raced.seen.outcome == Some(Outcome::NoReaction));
        log.measure(CONTENDERS_ACCEPTED, accepted as u64);
        if let Some(us) = raced.iter().filter(served).find_map(|raced| raced.accepted_after_us.as_ref().ok())
        {
            log.measure(NEWCOMER_CONNACK, *us);
        }
        let refused = raced.iter().find_map(|raced| raced.accepted_after_us.as_ref().err()).map(refusal);
        if let (true, Some(refused)) = (accepted > 0, &refused) {
            log.fact(OTHERS, refused.clone());
        }
        let newcomer = refused.filter(|_| accepted == 0).map_or(Answer::Accepted, Answer::Refused);
        log.fact(NEWCOMER, newcomer);
        log.fact(ALIVE, if unclear && alive < 2 { Alive::Unknown } else { Alive::of_many(alive) });
        // What the losers saw; the survivor saw nothing.
        let ends = |raced: &Raced| raced.seen.reactions.iter().any(|seen| seen.kind.ends_connection());
        let outcome = match alive {
            0 | 1 if unclear => Outcome::NoReaction,
            // No connection was closed: the others were refused, or never answered.
            0 | 1 if !raced.iter().any(ends) => Outcome::NoReaction,
            0 | 1 => Outcome::Closed,
            _ => Outcome::Tolerated,
        };
        let mut reactions = Vec::new();
        let mut clients = Vec::new();
        for (number, contender) in (0..).zip(raced) {
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

/// Waits for a contender's CONNACK, and then for what the broker does with it.
async fn watch_contender(stage: &Stage, mut client: Client, sent: Sent) -> Raced {
    let within = stage.reaction_timeout;
    let accepted = match stage.unless_stopped(client.await_connack(sent, within)).await {
        Some(Ok((accepted, _packet))) => accepted,
        Some(Err(refused)) => {
            // What was refused, or never answered, is no live connection.
            return Raced {
                client,
                accepted_at: None,
                accepted_after_us: Err(refused),
                seen: Observed::default(),
            };
        }
        None => {
            let never = Err(NotConnected::Silent(within));
            return Raced { client, accepted_at: None, accepted_after_us: never, seen: Observed::default() };
        }
    };
    let watch = watch(sent.at, stage.reaction_timeout);
    let seen = observe(&mut client, &stage.clock, &stage.stop, watch).await;
    let connack_time = accepted.connack_at.saturating_duration_since(accepted.connect_sent);
    Raced {
        client,
        accepted_at: Some(accepted.connack_at),
        accepted_after_us: Ok(micros(connack_time)),
        seen,
    }
}
