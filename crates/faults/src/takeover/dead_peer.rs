//! The dead peer: a client comes back while its older connection is still open and is no longer read. Does the
//! newcomer's CONNACK wait for the corpse?

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::{LocalBoxFuture, pending};
use tokio::time::{sleep, timeout};
use ungraceful_flags::{Named, Seconds, Time, Wanted, Whole, chosen};
use ungraceful_mqtt::{Connect, ProtocolVersion, Publish, QoS};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::{Check, Finding, Judged};
use ungraceful_record::fact::Measure;
use ungraceful_record::run::CaseRecord;
use ungraceful_record::scale::micros;
use ungraceful_record::scale::time;
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::{Observed, observe};
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_wire::ConnectOptions;
use ungraceful_wire::clock::now;

use super::judged::{self, no_newcomer, refused};
use super::looking_on::{self, LATER, Later, NEWCOMER_WILL, Newcomer};
use super::{ALIVE, Alive, Answer, NEWCOMER, NEWCOMER_CONNACK, VersionPair, VersionPairs, refusal};
use crate::ending::{Confirmed, Untold, attempted, confirm, prepared, watch};
use crate::mode::{ConnectionsOf, FaultMode, each_case};
use crate::peer::Peer;
use crate::vanish::keep_alive::longest_held;

/// The fault's id in the catalogue.
pub const ID: &str = "dead-peer";
/// Measure: what the broker was given for the older connection and that connection's client did not read.
pub const UNREAD: Measure = Measure::new("unread_bytes");

/// The receive buffer of an older client that is to have a zero window soon.
const SMALL_BUFFER_BYTES: u32 = 4_096;
/// One message towards the client that does not read.
const MESSAGE_BYTES: usize = 32 * 1_024;
/// How long the broker is given to run into the zero window.
const FILL_WITHIN: Duration = Duration::from_millis(500);

/// How often the newcomer shows that it is alive, while the older connection is watched.
const PING_EVERY: Duration = Duration::from_millis(400);
const TOO_LATE: &str = "the older connection's Keep Alive was over before the newcomer's CONNECT: a longer --keepalive leaves it time";
const NOT_TAKEN: &str = "the broker did not take the backlog in time";

ungraceful_record::words! {
    /// In which way the older connection is dead.
    pub enum Corpse: "variant" {
        /// It is alive: the control that the others are compared with.
        Alive = "alive",
        /// It neither reads nor writes; nothing is under way to it.
        Silent = "silent",
        /// It does not read, and more is under way to it than the kernels' buffers hold: its window is zero.
        ZeroWindow = "zero-window",
    }
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: alive (the control), silent, zero-window [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Corpse>>,
    /// MiB published to the older client of zero-window, which does not read them
    #[arg(long, value_name = "MIB", default_value = "8")]
    backlog: Whole<1, 1_000>,
    /// Keep Alive of the older connection, in whole seconds; the newcomer is watched for one and a half times as long after the take-over
    #[arg(short = 'k', long, value_name = "TIME", default_value = "5s")]
    keepalive: Seconds<1, 65_535>,
    /// How much longer the newcomer is watched: brokers check for expired Keep Alives every few seconds
    #[arg(long, value_name = "TIME", default_value = "5s")]
    look_on: Time,
    #[command(flatten)]
    versions: VersionPairs,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str = "The older connection is dead: does it delay the newcomer's CONNACK?";
    const LONG_ABOUT: &'static str = "Takes over connections whose client reads nothing any more, with nothing under way to it \
         (silent) or with more than the buffers between it and the broker hold (zero-window), and \
         compares the newcomer's CONNACK time with that of a take-over of a living connection (alive). \
         Then the older client reads again, to see whether the broker has closed its connection. The \
         newcomer is watched until the older connection's Keep Alive (--keepalive) is well over: a late \
         end of the older one must not cost it its connection, its subscription or its Will.";
    const CHECKS: &'static [&'static [Check]] = &[judged::CHECKS, CHECKS, looking_on::CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("attempts", "20"), ("count", "80"), ("connrate", "5")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn connections(&self) -> ConnectionsOf {
        ConnectionsOf::EachClient(3)
    }

    fn longest_pause(&self) -> Duration {
        Duration::from_secs(1) + longest_held(self.keepalive.time()).mul_f64(1.5) + *self.look_on
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        let corpses = chosen(&Corpse::ALL, &self.variant);
        each_case(&corpses, &self.versions.spoken(spoken), |corpse, versions| {
            Some(DeadPeer { corpse, versions, flags: self.clone() })
        })
    }
}

impl Flags {
    /// What is sent towards the older client that does not read.
    fn backlog_bytes(&self) -> u64 {
        self.backlog.0 * 1_024 * 1_024
    }
}

/// A take-over of a connection that is dead in one way.
#[derive(Clone, Debug)]
pub struct DeadPeer {
    /// In which.
    pub corpse: Corpse,
    /// The versions.
    pub versions: VersionPair,
    /// What else was asked for.
    pub flags: Flags,
}

impl Fault for DeadPeer {
    fn case(&self) -> Case {
        Case::new(ID, self.corpse.name(), self.versions)
    }

    fn describe(&self) -> String {
        let then = "then CONNECT with the same ClientID on a new connection";
        match self.corpse {
            Corpse::Alive => format!("CONNECT, SUBSCRIBE; {then}"),
            Corpse::Silent => format!("CONNECT, SUBSCRIBE, and the socket is not read any more; {then}"),
            Corpse::ZeroWindow => format!(
                "CONNECT, SUBSCRIBE, the socket is not read any more, and {} bytes are published to it; {then}",
                self.flags.backlog_bytes()
            ),
        }
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.versions.new, async |log| self.carry_out(stage, log).await)
    }
}

impl DeadPeer {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Untold> {
        let client_id = log.client_id().to_owned();
        let will = stage.watch_will(&client_id);
        let old = prepared(stage, self.prepare(stage, log, &client_id)).await?;
        // Nothing reads the older connection from here until the newcomer has its answer.
        let mut newcomer = prepared(stage, self.come_back(stage, &client_id, will.as_ref(), log)).await?;
        let Old { client: mut old, topic, keep_alive, heard_at } = old;
        if !keep_alive.is_zero() && newcomer.connect_sent >= heard_at + keep_alive {
            // It may have been cut for its Keep Alive, and not by a take-over.
            return Err(TOO_LATE.into());
        }
        // From the newcomer's answer on, however long it took: the broker has all of its time to close the older one.
        let provoked_at = now();
        let watch = watch(provoked_at, stage.reaction_timeout);
        let kept = async {
            // Silent for as long, the newcomer would be cut for its Keep Alive, which the broker may have shortened.
            if let Some((peer, _)) = &mut newcomer.accepted {
                while peer.is_served(stage.reaction_timeout).await {
                    sleep(PING_EVERY).await;
                }
            }
            pending::<Observed>().await
        };
        let seen = tokio::select! {
            seen = observe(&mut old, &stage.clock, &stage.stop, watch) => seen,
            seen = kept => seen,
        };
        let seen = (seen.reactions, seen.outcome);
        let Confirmed { outcome, .. } = confirm(stage, log, self.versions.new, seen).await;
        if self.corpse == Corpse::Alive && outcome.is_ended() {
            // A living client closes its side as well; a dead one leaves that to the broker.
            drop(old);
        }
        if let Some((mut peer, accepted_at)) = newcomer.accepted {
            log.fact(ALIVE, Alive::of(outcome, peer.is_served(stage.reaction_timeout).await));
            let is_awaited = !keep_alive.is_zero() && keep_alive <= longest_held(self.flags.keepalive.time());
            if outcome.is_ended() && !is_awaited {
                log.fact(LATER, Later::NotAwaited(format!("{} s", keep_alive.as_secs())));
            } else if outcome.is_ended() {
                let until = now() + keep_alive.mul_f64(1.5) + *self.flags.look_on;
                let will = will.as_ref();
                let mut newcomer = Newcomer { peer: &mut peer, topic: &topic, accepted_at, will };
                // A run that stops meanwhile has seen the take-over all the same.
                stage.unless_stopped(newcomer.look_on(stage, log, self.versions.new, until)).await;
            }
            peer.client.leave().await;
        }
        Ok(())
    }

    /// Has the older client connected, and dead.
    async fn prepare(&self, stage: &Stage, log: &mut AttemptLog<'_>, client_id: &str) -> Result<Old, String> {
        let receive_buffer_bytes = (self.corpse == Corpse::ZeroWindow).then_some(SMALL_BUFFER_BYTES);
        let stage_of_old = Stage {
            options: ConnectOptions { receive_buffer_bytes, ..stage.options.clone() },
            ..stage.clone()
        };
        let mut peer = Peer::open(&stage_of_old, log, self.versions.old).await?;
        let within = stage.options.connect_timeout;
        let honest = Client::honest_connect(client_id, &stage.credentials);
        let keep_alive_s = u16::try_from(self.flags.keepalive.0).unwrap_or(u16::MAX);
        let connect = Connect { keep_alive_s, ..honest };
        let accepted = peer.be_accepted(stage, log, &connect).await;
        let accepted = accepted.map_err(|error| format!("older client: {error}"))?;
        let topic = format!("{}/takeover/{client_id}", stage.topic_root);
        let heard_at = now();
        peer.subscribe(&topic, QoS::AtMostOnce, within).await?;
        if self.corpse == Corpse::ZeroWindow {
            // A broker that holds back a publisher whose subscriber does not read would hold us for ever.
            let filled = timeout(stage.reaction_timeout * 2, self.fill(stage, log, client_id, &topic)).await;
            filled.map_err(|_late| NOT_TAKEN.to_owned())??;
        }
        let keep_alive = accepted.server_keep_alive.unwrap_or(self.flags.keepalive.time());
        Ok(Old { client: peer.client, topic, keep_alive, heard_at })
    }

    /// Publishes more to the older client than the buffers between it and the broker hold.
    async fn fill(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        client_id: &str,
        topic: &str,
    ) -> Result<(), String> {
        let publisher_id = format!("{client_id}p");
        let connect = Client::honest_connect(&publisher_id, &stage.credentials);
        let (mut publisher, _) = Peer::connect(stage, self.versions.old, &connect).await?;
        let message = vec![0; MESSAGE_BYTES];
        let mut bytes = Vec::new();
        Publish::new(topic, &message)
            .encode(self.versions.old, &mut bytes)
            .map_err(|error| format!("cannot encode PUBLISH: {error}"))?;
        let mut given = 0;
        while given < self.flags.backlog_bytes() {
            let sent = publisher.client.connection.send(&bytes).await;
            sent.map_err(|error| format!("the backlog could not be published: {error}"))?;
            given += bytes.len() as u64;
        }
        log.measure(UNREAD, given);
        // Everything published is with the broker when it has answered what came after it.
        if !publisher.is_served(stage.reaction_timeout).await {
            return Err(NOT_TAKEN.to_owned());
        }
        sleep(FILL_WITHIN).await;
        publisher.client.leave().await;
        Ok(())
    }

    /// The newcomer connects.
    async fn come_back(
        &self,
        stage: &Stage,
        client_id: &str,
        will: Option<&WitnessWatch>,
        log: &mut AttemptLog<'_>,
    ) -> Result<CameBack, String> {
        let opened = stage.open(self.versions.new).await;
        let (client, _) = opened.map_err(|error| format!("the newcomer cannot connect: {error}"))?;
        let mut peer = Peer::new(client);
        let honest = Client::honest_connect(client_id, &stage.credentials);
        let connect = Connect { will: will.map(|watch| stage.will(watch, NEWCOMER_WILL)), ..honest };
        let sent = peer.client.send_connect(&connect).await;
        let sent = sent.map_err(|error| format!("the newcomer's CONNECT could not be sent: {error}"))?;
        log.provoked(sent.at);
        let answered = peer.client.await_connack(sent, stage.reaction_timeout).await;
        let accepted = match answered {
            Ok((accepted, _packet)) => {
                log.fact(NEWCOMER, Answer::Accepted);
                let connack_time = accepted.connack_at.saturating_duration_since(sent.at);
                log.measure(NEWCOMER_CONNACK, micros(connack_time));
                Some((peer, accepted.connack_at))
            }
            Err(refused) => {
                log.fact(NEWCOMER, Answer::Refused(refusal(&refused)));
                None
            }
        };
        Ok(CameBack { connect_sent: sent.at, accepted })
    }
}

/// What became of the newcomer.
struct CameBack {
    connect_sent: Instant,
    /// The newcomer that was accepted, and when.
    accepted: Option<(Peer, Instant)>,
}

/// The older connection.
struct Old {
    client: Client,
    topic: String,
    /// The Keep Alive that holds for it: its own, or the broker's; zero when the broker turns it off.
    keep_alive: Duration,
    /// When it last sent anything, or a little before.
    heard_at: Instant,
}

/// The checks that only this mode has.
pub const CHECKS: &[Check] = &[Check::prose("does_not_wait_for_the_dead", does_not_wait_for_the_dead)
    .on(|case| case.case.variant != Corpse::Alive.name())];

/// No numbered statement bounds the time to CONNACK; a client whose network was lost is locked out for as long.
fn does_not_wait_for_the_dead(case: &Judged<'_>) -> Option<Finding> {
    /// How much longer than with a living peer counts: ten times, and half a second, so that noise does not.
    const TIMES: u64 = 10;
    const AND_US: u64 = 500_000;
    let slowest = |case: &CaseRecord| case.measured(NEWCOMER_CONNACK).max;
    let is_control = |other: &&CaseRecord| {
        other.case.variant == Corpse::Alive.name() && other.case.version == case.case.version
    };
    let Some(dead_us) = slowest(case) else {
        return Some(no_newcomer(case));
    };
    let Some(alive_us) = case.record.cases.iter().find(is_control).and_then(slowest) else {
        let why = "no take-over of a living connection to compare with; add the variant alive";
        return Some(Finding::inconclusive(why));
    };
    let evidence = format!(
        "the slowest CONNACK took {} with a peer that is {}, and {} with one that is alive",
        time(dead_us),
        case.case.variant,
        time(alive_us)
    );
    let (waited, refused) = (case.count(NEWCOMER, Answer::Accepted), refused(case));
    Some(if dead_us > alive_us.saturating_mul(TIMES) && dead_us > alive_us.saturating_add(AND_US) {
        Finding::differs(waited, "the newcomer waits for the dead connection", evidence)
    } else if refused > 0 {
        // One that was never answered has waited longest of all, and has no time to CONNACK.
        let why = format!("{evidence}; but {refused} newcomers were refused or not answered");
        Finding::inconclusive(why)
    } else {
        Finding::holds(waited, evidence)
    })
}
