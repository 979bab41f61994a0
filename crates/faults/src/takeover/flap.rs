//! The flap: one ClientID connects and resets its connection repeatedly. After how many connections, and for how long,
//! does the broker ban it?

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant as TokioInstant, sleep_until};
use ungraceful_flags::{Mistake, PositiveTime, Versions, Wanted};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::{FactOf, Measure, YesNo};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::scale::{micros, span};
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_wire::clock::now;

use super::{connack_time, refusal};
use crate::ending::{Unfinished, attempted};
use crate::judging::no_sample;
use crate::mode::{Call, FaultMode, each_case};
use crate::peer::honest_connack_time;

/// The fault's id in the catalogue.
pub const ID: &str = "flap";
/// Fact: how the broker refused the client for reconnecting too often, or that it never did.
pub const BANNED: FactOf<Banned> = FactOf::new("banned");
/// Fact: whether another ClientID was served at the end.
pub const OTHERS_SERVED: FactOf<YesNo> = FactOf::new("others_served");
/// Measure: accepted connections.
pub const ACCEPTED: Measure = Measure::new("connections_accepted");
/// Measure: connections accepted before the first refusal.
pub const BANNED_AFTER: Measure = Measure::new("banned_after_connections");
/// Measure: from the first refusal until the client was accepted again; absent when that did not happen.
pub const BANNED_FOR: Measure = Measure::new("banned_for_us");
/// Measure: median CONNACK time of the first tenth of all connections.
pub const CONNACK_FIRST: Measure = Measure::new("connack_first_tenth_us");
/// Measure: median CONNACK time of the last tenth of all connections.
pub const CONNACK_LAST: Measure = Measure::new("connack_last_tenth_us");
/// Measure: the longest CONNACK time.
pub const CONNACK_MAX: Measure = Measure::new("connack_max_us");

ungraceful_record::words! {
    /// Whether the broker refused a client that reconnected repeatedly.
    pub enum Banned {
        /// It never did.
        Never = "no",
    } else {
        /// How it did.
        By = "",
    }
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Interval between connections
    #[arg(long, value_name = "TIME", default_value = "100ms")]
    every: PositiveTime,
    /// How long each client keeps reconnecting
    #[arg(long = "for", value_name = "TIME", default_value = "10s")]
    lasting: PositiveTime,
    #[command(flatten)]
    versions: Versions,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str = "When does the broker ban a ClientID that connects and resets repeatedly?";
    const LONG_ABOUT: &'static str = "Connects, waits for CONNACK and resets the connection, with the same ClientID, every --every for \
         the time of --for. Reports after how many connections the broker refuses the client, how and for \
         how long, whether CONNACK times drift, and whether other clients are still served. --attempts \
         clients flap per case, each with a ClientID of its own; --count bounds how many at the same \
         time.";
    const CHECKS: &'static [&'static [Check]] = &[CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("attempts", "1"), ("count", "10")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, _call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        if self.every >= self.lasting {
            let what = format!(
                "{} leaves no time to reconnect within the {} of --for; use a shorter interval",
                span(*self.every),
                span(*self.lasting)
            );
            mistakes.push(Mistake::new("--every", what));
        }
    }

    fn longest_pause(&self) -> Duration {
        *self.lasting
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        let (every, lasting) = (*self.every, *self.lasting);
        each_case(&[()], spoken, |(), version| Some(Flap { version, every, lasting }))
    }
}

/// One client that flaps.
#[derive(Clone, Copy, Debug)]
pub struct Flap {
    /// The version it speaks.
    pub version: ProtocolVersion,
    /// Interval between connections; above 0.
    pub every: Duration,
    /// How long it keeps reconnecting.
    pub lasting: Duration,
}

/// The answers to all CONNECTs of a client.
#[derive(Debug, Default)]
struct Connections {
    connack_us: Vec<u64>,
    first_refusal: Option<(Instant, String)>,
    accepted_before: u64,
    accepted_again_at: Option<Instant>,
}

impl Fault for Flap {
    fn case(&self) -> Case {
        Case::new(ID, format!("every-{}ms", self.every.as_millis()), self.version)
    }

    fn describe(&self) -> String {
        format!(
            "CONNECT, wait for CONNACK, RST; again every {} for {} with the same ClientID",
            span(self.every),
            span(self.lasting)
        )
    }

    fn companions(&self) -> &'static [Companion] {
        &[Companion::OnlyConnects]
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl Flap {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let client_id = log.client_id().to_owned();
        let connections =
            stage.unless_stopped(self.flap(stage, &client_id)).await.ok_or(Unfinished::Stopped)?;
        if connections.connack_us.is_empty() {
            // A client that was never accepted was not banned for reconnecting.
            let why = connections.first_refusal.map_or_else(|| "no connection".to_owned(), |(_, how)| how);
            return Err(format!("never accepted: {why}").into());
        }
        let other_id = log.companion(Companion::OnlyConnects);
        let others = stage.unless_stopped(honest_connack_time(stage, self.version, &other_id)).await;
        let others = others.ok_or(Unfinished::Stopped)?.is_ok();
        // The client itself ends each connection, so the outcome is about reconnecting. When the other client is not
        // served, the broker may be down.
        let outcome = match others {
            true => Outcome::Tolerated,
            false => stage.confirm(Outcome::NoReaction, None, self.version).await,
        };
        log.reacted(Vec::new(), outcome);
        if !outcome.is_evidence() {
            return Ok(());
        }
        log.fact(OTHERS_SERVED, others);
        let connack_us = &connections.connack_us;
        log.measure(ACCEPTED, connack_us.len() as u64);
        let tenth = (connack_us.len() / 10).max(1);
        for (measure, us) in [
            (CONNACK_FIRST, median(&connack_us[..tenth])),
            (CONNACK_LAST, median(&connack_us[connack_us.len() - tenth..])),
            (CONNACK_MAX, connack_us.iter().max().copied()),
        ] {
            if let Some(us) = us {
                log.measure(measure, us);
            }
        }
        if let Some((refused_at, how)) = connections.first_refusal {
            log.fact(BANNED, Banned::By(how));
            log.measure(BANNED_AFTER, connections.accepted_before);
            if let Some(again_at) = connections.accepted_again_at {
                log.measure(BANNED_FOR, micros(again_at.saturating_duration_since(refused_at)));
            }
        } else {
            log.fact(BANNED, Banned::Never);
        }
        Ok(())
    }

    async fn flap(&self, stage: &Stage, client_id: &str) -> Connections {
        let mut connections = Connections::default();
        let began = now();
        let mut due = began;
        while due < began + self.lasting {
            sleep_until(TokioInstant::from_std(due)).await;
            match self.connect_and_reset(stage, client_id).await {
                Ok(connack_us) => {
                    connections.connack_us.push(connack_us);
                    if connections.first_refusal.is_some() {
                        connections.accepted_again_at.get_or_insert_with(now);
                    }
                }
                Err(how) => {
                    if connections.first_refusal.is_none() {
                        connections.accepted_before = connections.connack_us.len() as u64;
                        connections.first_refusal = Some((now(), how));
                    }
                }
            }
            // After a connection that took too long, the next one follows at once and the missed ones are skipped.
            due = (due + self.every).max(now());
        }
        connections
    }

    /// The time to CONNACK in µs, or why there was none. A broker may also ban an address, so that no connection opens.
    async fn connect_and_reset(&self, stage: &Stage, client_id: &str) -> Result<u64, String> {
        let opened = stage.open(self.version).await;
        let (mut client, _) = opened.map_err(|error| format!("cannot connect: {error}"))?;
        let connect = Client::honest_connect(client_id, &stage.credentials);
        let answered = client.connect(&connect, stage.options.connect_timeout).await;
        client.connection.reset();
        let accepted = answered.map_err(|refused| refusal(&refused))?;
        Ok(micros(connack_time(&accepted)))
    }
}

fn median(values: &[u64]) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

/// The checks, in the order in which they are reported.
pub const CHECKS: &[Check] = &[
    Check::prose("takes_the_client_back", takes_the_client_back),
    Check::prose("serves_others", serves_others),
];

/// No numbered statement: a broker may refuse a client that reconnects too often.
fn takes_the_client_back(case: &Judged<'_>) -> Option<Finding> {
    let (never, all) = (case.count(BANNED, Banned::Never), case.total(BANNED));
    let connections = case.measured(ACCEPTED).sum;
    let evidence = format!(
        "{never} of {all} clients that reconnected repeatedly were always accepted ({connections} connections)"
    );
    Some(if all == 0 {
        Finding::inconclusive(no_sample(case))
    } else if never == all && connections < 2 * all {
        Finding::inconclusive(format!("{evidence}, but no client reconnected"))
    } else if never == all {
        Finding::holds(all, evidence)
    } else {
        Finding::differs(all, format!("refused: {}", case.others(BANNED, Banned::Never)), evidence)
    })
}

/// No numbered statement: a client that flaps does not stop the broker from serving others.
fn serves_others(case: &Judged<'_>) -> Option<Finding> {
    let (served, not) = (case.count(OTHERS_SERVED, true), case.count(OTHERS_SERVED, false));
    let evidence =
        format!("after {} clients had flapped, another client was accepted {served} times", served + not);
    Some(match (served + not, not) {
        (0, _) => Finding::inconclusive(no_sample(case)),
        (_, 0) => Finding::holds(served + not, evidence),
        _ => Finding::differs(served + not, "another client was refused", evidence),
    })
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[5]), Some(5));
        assert_eq!(median(&[9, 1, 5]), Some(5));
    }
}
