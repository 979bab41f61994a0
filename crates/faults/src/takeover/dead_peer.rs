//! The dead peer: a client reconnects while its older connection is still open but no longer read. Does the newcomer's
//! CONNACK wait for the dead connection?

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
use ungraceful_record::scale::{micros, time};
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::{Observed, observe};
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_wire::ConnectOptions;
use ungraceful_wire::clock::now;

use super::after_takeover::{self, LATER, Later, NEWCOMER_WILL, Newcomer};
use super::judged::{self, no_newcomer, refused};
use super::{
    ALIVE, Alive, Answer, NEWCOMER, NEWCOMER_CONNACK, VersionPair, VersionPairs, connack_time, refusal,
    send_newcomer,
};
use crate::ending::{Unfinished, attempted, confirm, prepared, watch};
use crate::mode::{ConnectionsOf, FaultMode, each_case};
use crate::peer::Peer;
use crate::vanish::keep_alive::longest_held;

/// The fault's id in the catalogue.
pub const ID: &str = "dead-peer";
/// Measure: bytes published to the older connection, whose client did not read them.
pub const UNREAD: Measure = Measure::new("unread_bytes");

/// The receive buffer of an older client whose window should soon be zero.
const SMALL_BUFFER_BYTES: u32 = 4_096;
/// The size of a message to the client that does not read.
const MESSAGE_BYTES: usize = 32 * 1_024;
/// How long the broker has to reach the zero window.
const FILL_WITHIN: Duration = Duration::from_millis(500);

/// How often the newcomer sends PINGREQ while the older connection is watched.
const PING_EVERY: Duration = Duration::from_millis(400);
const TOO_LATE: &str =
    "the older connection's Keep Alive expired before the newcomer's CONNECT; use a longer --keepalive";
const NOT_ACCEPTED: &str = "the broker did not accept the backlog in time";

ungraceful_record::words! {
    /// The state of the older connection's client.
    pub enum PeerState: "variant" {
        /// Alive: the control for the other two.
        Alive = "alive",
        /// It neither reads nor writes; nothing is in flight to it.
        Silent = "silent",
        /// It does not read, and more is in flight to it than the kernels' buffers hold: its window is zero.
        ZeroWindow = "zero-window",
    }
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: alive (the control), silent, zero-window [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<PeerState>>,
    /// MiB published to the older client of zero-window, which does not read
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
    const ABOUT: &'static str = "Does a dead older connection delay the newcomer's CONNACK?";
    const LONG_ABOUT: &'static str = "Takes over connections whose client no longer reads, with nothing in flight to it (silent) or \
         with more than the buffers between it and the broker hold (zero-window), and compares the \
         newcomer's CONNACK time with that of a take-over of a live connection (alive). Then the older \
         client reads again, to see whether the broker has closed its connection. The newcomer is watched \
         until well after the older connection's Keep Alive (--keepalive) has expired: a late end of the \
         older one must not end its connection or subscription, or publish its Will.";
    const CHECKS: &'static [&'static [Check]] = &[judged::CHECKS, CHECKS, after_takeover::CHECKS];
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
        let states = chosen(&PeerState::ALL, &self.variant);
        each_case(&states, &self.versions.spoken(spoken), |state, versions| {
            Some(DeadPeer { state, versions, flags: self.clone() })
        })
    }
}

impl Flags {
    /// Bytes to publish to the older client that does not read.
    fn backlog_bytes(&self) -> u64 {
        self.backlog.0 * 1_024 * 1_024
    }
}

/// A take-over of a connection whose client is in one state.
#[derive(Clone, Debug)]
pub struct DeadPeer {
    /// That state.
    pub state: PeerState,
    /// The versions.
    pub versions: VersionPair,
    /// The other settings.
    pub flags: Flags,
}

impl Fault for DeadPeer {
    fn case(&self) -> Case {
        Case::new(ID, self.state.name(), self.versions)
    }

    fn describe(&self) -> String {
        let then = "then CONNECT with the same ClientID on a new connection";
        match self.state {
            PeerState::Alive => format!("CONNECT, SUBSCRIBE; {then}"),
            PeerState::Silent => format!("CONNECT, SUBSCRIBE, stop reading the socket; {then}"),
            PeerState::ZeroWindow => format!(
                "CONNECT, SUBSCRIBE, stop reading the socket while {} bytes are published to it; {then}",
                self.flags.backlog_bytes()
            ),
        }
    }

    fn companions(&self) -> &'static [Companion] {
        &[Companion::UsesTopics]
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.versions.new, async |log| self.carry_out(stage, log).await)
    }
}

impl DeadPeer {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let client_id = log.client_id().to_owned();
        let will = stage.watch_will(log.name());
        let old = prepared(stage, self.prepare(stage, log, &client_id)).await?;
        // Nothing reads the older connection from here until the newcomer has its answer.
        let mut newcomer = prepared(stage, self.reconnect(stage, &client_id, will.as_ref(), log)).await?;
        let Old { client: mut old, topic, keep_alive, heard_at } = old;
        if !keep_alive.is_zero() && newcomer.connect_sent >= heard_at + keep_alive {
            // The broker may have cut it for its Keep Alive instead of a take-over.
            return Err(TOO_LATE.into());
        }
        // The reaction timeout starts at the newcomer's answer, however long that took.
        let watch = watch(now(), stage.reaction_timeout);
        let kept = async {
            // Otherwise the broker could cut the newcomer for its Keep Alive, which it may have shortened.
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
        let outcome = confirm(stage, log, self.versions.new, seen).await.outcome;
        if self.state == PeerState::Alive && outcome.is_ended() {
            // A live client closes its side as well; a dead one leaves that to the broker.
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
                // When the run stops meanwhile, the take-over itself has still been seen.
                stage.unless_stopped(newcomer.observe_until(stage, log, self.versions.new, until)).await;
            }
            peer.client.leave().await;
        }
        Ok(())
    }

    /// Connects the older client and brings it into its state.
    async fn prepare(&self, stage: &Stage, log: &mut AttemptLog<'_>, client_id: &str) -> Result<Old, String> {
        let receive_buffer_bytes = (self.state == PeerState::ZeroWindow).then_some(SMALL_BUFFER_BYTES);
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
        let topic = format!("{}/takeover/{}", stage.topic_root, log.name());
        let heard_at = now();
        peer.subscribe(&topic, QoS::AtMostOnce, within).await?;
        if self.state == PeerState::ZeroWindow {
            // A broker may hold back the publisher for as long as the subscriber does not read.
            let filled = timeout(stage.reaction_timeout * 2, self.fill(stage, log, &topic)).await;
            filled.map_err(|_late| NOT_ACCEPTED.to_owned())??;
        }
        let keep_alive = accepted.server_keep_alive.unwrap_or(self.flags.keepalive.time());
        Ok(Old { client: peer.client, topic, keep_alive, heard_at })
    }

    /// Publishes more to the older client than the buffers between it and the broker hold.
    async fn fill(&self, stage: &Stage, log: &mut AttemptLog<'_>, topic: &str) -> Result<(), String> {
        let publisher_id = log.companion(Companion::UsesTopics);
        let connect = Client::honest_connect(&publisher_id, &stage.credentials);
        let (mut publisher, _) = Peer::connect(stage, self.versions.old, &connect).await?;
        let message = vec![0; MESSAGE_BYTES];
        let mut bytes = Vec::new();
        Publish::new(topic, &message)
            .encode(self.versions.old, &mut bytes)
            .map_err(|error| format!("cannot encode PUBLISH: {error}"))?;
        let mut published = 0;
        while published < self.flags.backlog_bytes() {
            let sent = publisher.client.connection.send(&bytes).await;
            sent.map_err(|error| format!("cannot publish the backlog: {error}"))?;
            published += bytes.len() as u64;
        }
        log.measure(UNREAD, published);
        // The broker has received everything published once it answers a later packet.
        if !publisher.is_served(stage.reaction_timeout).await {
            return Err(NOT_ACCEPTED.to_owned());
        }
        sleep(FILL_WITHIN).await;
        publisher.client.leave().await;
        Ok(())
    }

    /// Connects the newcomer.
    async fn reconnect(
        &self,
        stage: &Stage,
        client_id: &str,
        will: Option<&WitnessWatch>,
        log: &mut AttemptLog<'_>,
    ) -> Result<Reconnected, String> {
        let honest = Client::honest_connect(client_id, &stage.credentials);
        let connect = Connect { will: will.map(|watch| stage.will(watch, NEWCOMER_WILL)), ..honest };
        let (mut peer, _, sent) = send_newcomer(stage, self.versions.new, &connect).await?;
        log.provoked(sent.at);
        let answered = peer.client.await_connack(sent, stage.reaction_timeout).await;
        let accepted = match answered {
            Ok((accepted, _packet)) => {
                log.fact(NEWCOMER, Answer::Accepted);
                log.measure(NEWCOMER_CONNACK, micros(connack_time(&accepted)));
                Some((peer, accepted.connack_at))
            }
            Err(refused) => {
                log.fact(NEWCOMER, Answer::Refused(refusal(&refused)));
                None
            }
        };
        Ok(Reconnected { connect_sent: sent.at, accepted })
    }
}

/// A newcomer whose CONNECT was sent.
struct Reconnected {
    connect_sent: Instant,
    /// The newcomer and when it was accepted; absent when it was not.
    accepted: Option<(Peer, Instant)>,
}

/// The older connection.
struct Old {
    client: Client,
    topic: String,
    /// The Keep Alive in force: its own, or the broker's; zero when the broker turns it off.
    keep_alive: Duration,
    /// When it last sent anything, or a little before.
    heard_at: Instant,
}

/// The checks that only this mode has.
pub const CHECKS: &[Check] = &[Check::prose("does_not_wait_for_the_dead", does_not_wait_for_the_dead)
    .on(|case| case.case.variant != PeerState::Alive.name())];

/// No numbered statement bounds the time to CONNACK; a client that lost its network is locked out for that long.
fn does_not_wait_for_the_dead(case: &Judged<'_>) -> Option<Finding> {
    /// How much slower than with a live peer counts: ten times and half a second, so that noise does not.
    const TIMES: u64 = 10;
    const AND_US: u64 = 500_000;
    let slowest = |case: &CaseRecord| case.measured(NEWCOMER_CONNACK).max;
    let is_control = |other: &&CaseRecord| {
        other.case.variant == PeerState::Alive.name() && other.case.version == case.case.version
    };
    let Some(dead_us) = slowest(case) else {
        return Some(no_newcomer(case));
    };
    let Some(alive_us) = case.record.cases.iter().find(is_control).and_then(slowest) else {
        return Some(Finding::inconclusive(
            "there is no take-over of a live connection to compare with; add the variant alive",
        ));
    };
    let evidence = format!(
        "the slowest CONNACK took {} in the variant {} and {} in the variant alive",
        time(dead_us),
        case.case.variant,
        time(alive_us)
    );
    let (waited, refused) = (case.count(NEWCOMER, Answer::Accepted), refused(case));
    Some(if dead_us > alive_us.saturating_mul(TIMES) && dead_us > alive_us.saturating_add(AND_US) {
        Finding::differs(waited, "the newcomer waits for the dead connection", evidence)
    } else if refused > 0 {
        // A newcomer without an answer waited longest of all, and has no CONNACK time.
        let why = format!("{evidence}; but {refused} newcomers were refused or not answered");
        Finding::inconclusive(why)
    } else {
        Finding::holds(waited, evidence)
    })
}
