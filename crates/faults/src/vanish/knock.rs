//! The knock: a connection without a CONNECT, or with a very slow one. A load balancer's health check that connects and
//! closes; a silent socket; a CONNECT that arrives byte by byte.
//!
//! When does the broker give up, does it limit the whole CONNECT or only the gap between two bytes, and can well-behaved
//! clients still connect while many such connections are open?

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::LocalBoxFuture;
use ungraceful_flags::{Named, PositiveTime, Versions, Wanted, chosen};
use ungraceful_mqtt::ProtocolVersion;
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::scale::{micros, span};
use ungraceful_rig::attempts::client::{Client, NotConnected, encode_connect};
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::{Observed, Watch, observe_silently};
use ungraceful_wire::PACKET_BYTES_MAX;
use ungraceful_wire::clock::now;

use super::knock_checks;
use crate::ending::{Answer, Unfinished, attempted, confirm, prepared, refusal};
use crate::mode::{ConnectionsOf, FaultMode, each_case};
use crate::peer::honest_connack_time;

/// The fault's id in the catalogue.
pub const ID: &str = "knock";

/// Fact: the fate of the slow CONNECT.
pub const DRIPPED: FactOf<Dripping> = FactOf::new("dripped_connect");
/// Fact: the answer to a well-behaved client that connected meanwhile.
pub const HONEST: FactOf<Answer> = FactOf::new("honest_client");
/// Measure: from the SYN of that client to its CONNACK.
pub const HONEST_CONNACK: Measure = Measure::new("honest_connack_us");
/// Measure: open connections of this run when the well-behaved client connected.
pub const HELD_OPEN: Measure = Measure::new("held_open");
/// Measure: bytes of the slow CONNECT that were sent.
pub const DRIPPED_BYTES: Measure = Measure::new("dripped_bytes");
/// Measure: from the opening of the connection until the last byte of the CONNECT was sent or the broker closed it.
pub const DRIPPED_FOR: Measure = Measure::new("dripped_for_us");

ungraceful_record::words! {
    /// The fate of a slow CONNECT.
    pub enum Dripping {
        /// Accepted.
        Accepted = "accepted",
        /// The broker closed the connection before the CONNECT was complete.
        Cut = "cut",
    } else {
        /// Refused or not answered.
        Refused = "",
    }
}

ungraceful_record::words! {
    /// What the client does.
    pub enum Variant: "variant" {
        /// FIN at once, like a load balancer's health check.
        Closes = "closes",
        /// Nothing is sent.
        Silent = "silent",
        /// CONNECT, byte by byte, evenly over the time of [`Knock::wait`].
        Drip = "drip",
    }
}

impl Variant {
    /// The variant with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: closes, silent, drip [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    /// Maximum time to hold a connection without a complete CONNECT; brokers give up after 5 to 90 s
    #[arg(long, value_name = "TIME", default_value = "5s")]
    wait: PositiveTime,
    #[command(flatten)]
    versions: Versions,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str =
        "Connections without a CONNECT, or with a very slow one: when does the broker give up?";
    const LONG_ABOUT: &'static str = "Opens connections that close before their CONNECT, like a load balancer's health check; that stay silent; and \
         whose CONNECT arrives byte by byte. Reports when the broker gives up, whether it limits the whole CONNECT or \
         only the gap between two bytes, how many connections can be held open (raise --attempts, --count and \
         --connrate), and whether well-behaved clients can still connect. A connection that is still open after \
         --wait is a note, never a violation.";
    const CHECKS: &'static [&'static [Check]] = &[knock_checks::CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("attempts", "20")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn connections(&self) -> ConnectionsOf {
        // The held one, and that of the well-behaved client.
        ConnectionsOf::EachClient(2)
    }

    fn longest_pause(&self) -> Duration {
        *self.wait
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&chosen(&Variant::ALL, &self.variant), spoken, |variant, version| {
            Some(Knock { variant, version, wait: *self.wait })
        })
    }
}

/// One variant with one version.
#[derive(Clone, Copy, Debug)]
pub struct Knock {
    /// What the client does.
    pub variant: Variant,
    /// The version of the slow CONNECT and of the well-behaved client.
    pub version: ProtocolVersion,
    /// How long the connection is held at most.
    pub wait: Duration,
}

/// A slow CONNECT.
struct Dripped {
    fate: Dripping,
    bytes: usize,
    lasted: Duration,
}

impl Fault for Knock {
    fn case(&self) -> Case {
        Case::new(ID, self.variant.name(), self.version)
    }

    fn describe(&self) -> String {
        match self.variant {
            Variant::Closes => "connect, FIN at once; then a well-behaved client connects".to_owned(),
            Variant::Silent => {
                format!("connect, send nothing for {}; then a well-behaved client connects", span(self.wait))
            }
            Variant::Drip => format!(
                "connect, CONNECT byte by byte over {}; a well-behaved client connects before the last byte",
                span(self.wait)
            ),
        }
    }

    fn companions(&self) -> &'static [Companion] {
        &[Companion::OnlyConnects]
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl Knock {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let opening =
            async { stage.open(self.version).await.map_err(|error| format!("cannot connect: {error}")) };
        let (mut client, established) = prepared(stage, opening).await?;
        log.established(established);
        let established = established.last();
        log.provoked(established);
        let client_id = log.client_id().to_owned();
        let (seen, dripped) = match self.variant {
            Variant::Closes => {
                client.connection.close();
                log.provoked(now());
                let seen = Observed { outcome: Some(Outcome::Left), ..Observed::default() };
                stage.unless_stopped(self.honest_client(stage, log)).await.ok_or(Unfinished::Stopped)?;
                (seen, None)
            }
            Variant::Silent => {
                let watch = self.watch(established, self.wait);
                let seen = observe_silently(&mut client, &stage.clock, &stage.stop, watch).await;
                stage.unless_stopped(self.honest_client(stage, log)).await.ok_or(Unfinished::Stopped)?;
                client.connection.close();
                (seen, None)
            }
            Variant::Drip => {
                let dripping = self.drip(stage, log, &mut client, established, &client_id);
                let observed = stage.unless_stopped(dripping).await.ok_or(Unfinished::Stopped)?;
                client.leave().await;
                observed
            }
        };
        log.connection_over();
        if let Some(dripped) = dripped {
            log.fact(DRIPPED, dripped.fate);
            log.measure(DRIPPED_BYTES, dripped.bytes as u64);
            log.measure(DRIPPED_FOR, micros(dripped.lasted));
        }
        confirm(stage, log, self.version, (seen.reactions, seen.outcome)).await;
        Ok(())
    }

    const fn watch(&self, from: Instant, within: Duration) -> Watch {
        Watch { provoked_at: from, within, connacks_due: 0, subscribed: false }
    }

    /// Connects a well-behaved client and disconnects it.
    async fn honest_client(&self, stage: &Stage, log: &mut AttemptLog<'_>) {
        log.measure(HELD_OPEN, stage.connections.now());
        let honest_id = log.companion(Companion::OnlyConnects);
        match honest_connack_time(stage, self.version, &honest_id).await {
            Ok(took) => {
                log.measure(HONEST_CONNACK, micros(took));
                log.fact(HONEST, Answer::Accepted);
            }
            Err(why) => log.fact(HONEST, Answer::Refused(why)),
        }
    }

    /// Sends CONNECT byte by byte. No [`Dripped`] where the CONNECT has no bytes.
    async fn drip(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        client: &mut Client,
        established: Instant,
        client_id: &str,
    ) -> (Observed, Option<Dripped>) {
        let mut bytes = Vec::new();
        let connect = Client::honest_connect(client_id, &stage.credentials);
        let encoded = encode_connect(&connect, self.version, PACKET_BYTES_MAX, &mut bytes);
        encoded.expect("a well-behaved CONNECT is valid");
        let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX).max(1);
        let mut reactions = Vec::new();
        for (index, byte) in (1..=count).zip(&bytes) {
            let from = established + self.wait * (index - 1) / count;
            let watch = self.watch(from, self.wait / count);
            let seen = observe_silently(client, &stage.clock, &stage.stop, watch).await;
            reactions.extend(seen.reactions.iter().cloned());
            let is_last = index == count;
            if is_last {
                self.honest_client(stage, log).await;
            }
            let is_over = seen.outcome != Some(Outcome::NoReaction);
            let sent = match is_over {
                true => None,
                false => client.connection.send(std::slice::from_ref(byte)).await.ok(),
            };
            let lasted = now().saturating_duration_since(established);
            let Some(sent) = sent else {
                if !is_last {
                    self.honest_client(stage, log).await;
                }
                let outcome = if is_over { seen.outcome } else { Some(Outcome::Reset) };
                let dripped = Dripped { fate: Dripping::Cut, bytes: index as usize - 1, lasted };
                return (Observed { reactions, outcome, ..seen }, Some(dripped));
            };
            if is_last {
                let (fate, outcome) = match client.await_connack(sent, stage.reaction_timeout).await {
                    Ok((accepted, _packet)) => {
                        log.accepted(accepted.connack_at);
                        (Dripping::Accepted, Outcome::Tolerated)
                    }
                    Err(silent @ NotConnected::Silent(_)) => {
                        (Dripping::Refused(refusal(&silent)), Outcome::NoReaction)
                    }
                    Err(refused) => (Dripping::Refused(refusal(&refused)), Outcome::Closed),
                };
                let seen = Observed { reactions, outcome: Some(outcome), ..Observed::default() };
                return (seen, Some(Dripped { fate, bytes: index as usize, lasted }));
            }
        }
        (Observed::default(), None)
    }
}
