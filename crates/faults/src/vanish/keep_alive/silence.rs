//! A client falls silent: its socket is healthy but it sends nothing, or the network is lost in both directions, or it
//! receives messages but sends nothing. When is it cut, and is its Will published?

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::{LocalBoxFuture, pending};
use tokio::time::sleep;
use ungraceful_flags::{Named, Versions, Wanted};
use ungraceful_mqtt::{Connect, Packet, ProtocolVersion, QoS};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::reaction::Outcome;
use ungraceful_record::scale::micros;
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::attempts::observe::{Watch, observe_in_silence};
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_wire::ClientSide;

use super::control::{self, CutClient};
use super::flags::{KeepAlives, Tried, WithKeepAlive, longest};
use super::{
    CUT_AT, Cut, KEEP_ALIVE, LastPacket, Reason, Silence, connect, cut_of, ping_once, silence_checks,
};
use crate::ending::{Confirmed, Unfinished, attempted, confirm, prepared};
use crate::mode::{ConnectionsOf, FaultMode, each_case};
use crate::peer::Peer;

/// The fault's id in the catalogue.
pub const ID: &str = "silence";
/// Fact: when the client was cut, relative to the effective Keep Alive; absent when it was not.
pub const CUT: FactOf<Cut> = FactOf::new("cut");
/// Fact: the reason given to a client that was cut before its Keep Alive was over; absent for others.
pub const CUT_EARLY_WITH: FactOf<Reason> = FactOf::new("cut_early_with");
/// Measure: how long a client that was not cut had been silent at the end.
pub const WAITED: Measure = Measure::new("not_cut_within_us");
/// Measure: the longest time without a sign of life from the broker, to any client, during the silence of a client that was
/// not cut; 0 when there was none.
pub const BROKER_STALLED: Measure = Measure::new("broker_stalled_us");
/// Measure: from the observed end of the connection until the Will came; 0 when the Will came first.
pub const WILL_AFTER_CUT: Measure = Measure::new("will_after_cut_us");
/// Measure: messages delivered to a silent client.
pub const DOWNLINK_MESSAGES: Measure = Measure::new("downlink_messages");
/// Measure: PINGREQs that a client sent into a lost network, each without an error from the kernel.
pub const PINGS_LOST: Measure = Measure::new("pings_into_the_void");

/// Application Message of the Will.
const WILL: &[u8] = b"will of a client that fell silent";
/// A `--reaction-timeout` this long adds [`UNTOUCHED_FOR`], so that the run can conclude that the broker never cuts. The standard
/// has no such time.
const AT_LEAST_AFTER: Duration = Duration::from_secs(30);
/// How much longer a client stays silent before the run concludes that the broker never cuts it. Brokers check their clients
/// now and then (the slowest known one every 30 s and somewhat more, whatever the Keep Alive), and a PINGREQ would renew the
/// Keep Alive.
const UNTOUCHED_FOR: Duration = Duration::from_secs(30);
/// The longest acceptable silence of the broker meanwhile. A stalled broker cannot cut.
const STALL_MAX: Duration = Duration::from_secs(5);
/// How long a broker that has not cut the client may take to answer a PINGREQ.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How often in a Keep Alive messages are published to a silent client.
const MESSAGES_PER_KEEP_ALIVE: u32 = 4;

ungraceful_record::words! {
    /// How a client is silent.
    pub enum Cause: "variant" {
        /// Its socket is healthy and reads; it sends nothing after CONNECT.
        Idle = "idle",
        /// The network is lost in both directions; the client does not notice, and still sends PINGREQ.
        HalfOpen = "half-open",
        /// Its socket is healthy and it receives messages of QoS 0, but sends nothing.
        Downlink = "downlink",
    }
}

impl Cause {
    const fn describe(self) -> &'static str {
        match self {
            Self::Idle => "CONNECT, and then no packet",
            Self::HalfOpen => {
                "CONNECT, PINGREQ, and then the network is lost: the generator's hop on loopback stops forwarding"
            }
            Self::Downlink => {
                "CONNECT, SUBSCRIBE, PINGREQ, and then no packet, while another client publishes QoS 0 to it"
            }
        }
    }
}

impl Tried for Cause {
    const EACH: &'static [Self] = &Self::ALL;
    const BETWEEN: &'static str = "-";
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: idle, half-open, downlink; with a Keep Alive of its own as idle-5s [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<WithKeepAlive<Cause>>>,
    #[command(flatten)]
    keep_alives: KeepAlives,
    #[command(flatten)]
    versions: Versions,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str =
        "A client falls silent: when is it disconnected, with which Reason Code, and is its Will published?";
    const LONG_ABOUT: &'static str = "Connects clients with a short Keep Alive that then send nothing: with a healthy socket (idle), behind a lost \
         network (half-open; the generator's hop on loopback stops forwarding), or while messages are delivered to \
         them (downlink). Reports after how many times the Keep Alive the broker cuts them, whether it sends \
         DISCONNECT 0x8D, and when the Will comes. Both versions of the standard require that the broker closes the \
         connection after one and a half times the Keep Alive without a packet (5.0 [MQTT-3.1.2-22], 3.1.1 \
         [MQTT-3.1.2-24]). The run waits --reaction-timeout beyond that time, and at least three times the Keep Alive. \
         With 30s or more, a client that is still connected stays silent for another 30s before it sends a PINGREQ, \
         which would renew its Keep Alive; only then does the run conclude that the broker never cuts. A client that is \
         cut early without a reason is compared with a second client that has twice the Keep Alive: if both are cut \
         after the same time, a proxy may be the cause. The run ends as soon as all clients are cut.";
    const CHECKS: &'static [&'static [Check]] = &[silence_checks::CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("attempts", "10"), ("connrate", "50"), ("reaction-timeout", "30s")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn connections(&self) -> ConnectionsOf {
        // The client, both ends of the hop, and the hop's listening socket.
        ConnectionsOf::EachClient(4)
    }

    fn longest_pause(&self) -> Duration {
        /// Beside the silence: connecting, and the PINGREQ to a broker that has not cut.
        const BESIDES: Duration = Duration::from_secs(15);
        let longest = longest(&self.keep_alives.cases(&self.variant));
        longest * 3 + UNTOUCHED_FOR + control::longest(longest) + BESIDES
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&self.keep_alives.cases(&self.variant), spoken, |(cause, keep_alive_s), version| {
            Some(FallSilent { cause, version, keep_alive_s })
        })
    }
}

/// A client that falls silent.
#[derive(Clone, Copy, Debug)]
pub struct FallSilent {
    /// How it is silent.
    pub cause: Cause,
    /// The protocol version.
    pub version: ProtocolVersion,
    /// The Keep Alive of its CONNECT, in seconds; above 0.
    pub keep_alive_s: u16,
}

/// How long to wait for the cut: `reaction_timeout` beyond one and a half times the Keep Alive, and at least three times the Keep
/// Alive.
#[must_use]
pub fn patience(keep_alive: Duration, reaction_timeout: Duration) -> Duration {
    (keep_alive * 3 / 2).saturating_add(reaction_timeout).max(keep_alive * 3)
}

/// How long a client that is not cut stays silent: its [`patience`] and, where that was long, as long again.
#[must_use]
pub fn silent_for(keep_alive: Duration, reaction_timeout: Duration) -> Duration {
    let patience = patience(keep_alive, reaction_timeout);
    if reaction_timeout < AT_LEAST_AFTER { patience } else { patience.saturating_add(UNTOUCHED_FOR) }
}

/// How long a broker must have had before the run concludes that it never cuts.
#[must_use]
pub fn long_enough(keep_alive: Duration) -> Duration {
    silent_for(keep_alive, AT_LEAST_AFTER)
}

/// Whether a broker without a sign of life for this long, in µs, may have stalled instead of cutting.
#[must_use]
pub fn has_stalled(stalled_us: u64) -> bool {
    stalled_us > micros(STALL_MAX)
}

/// A client after its last packet.
struct Silenced {
    /// The connection as the broker sees it.
    client: Client,
    last: LastPacket,
    keep_alive: Duration,
    beside: Beside,
}

/// What goes on while the client is silent.
enum Beside {
    Nothing,
    /// The client itself, behind a lost network.
    LostClient {
        client: Client,
        _network: ClientSide,
    },
    /// Another client that publishes to the silent one.
    Publisher {
        publisher: Peer,
        topic: String,
    },
}

impl Fault for FallSilent {
    fn case(&self) -> Case {
        Case::new(ID, format!("{}-{}s", self.cause, self.keep_alive_s), self.version)
    }

    fn describe(&self) -> String {
        format!("{}; Keep Alive {} s", self.cause.describe(), self.keep_alive_s)
    }

    fn companions(&self) -> &'static [Companion] {
        match self.cause {
            // The control client of one that was cut.
            Cause::Idle | Cause::HalfOpen => &[Companion::OnlyConnects],
            Cause::Downlink => &[Companion::OnlyConnects, Companion::UsesTopics],
        }
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl FallSilent {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let will = stage.watch_will(log.name());
        let silenced = prepared(stage, self.fall_silent(stage, log, will.as_ref())).await?;
        let Silenced { mut client, last, keep_alive, mut beside } = silenced;
        log.provoked(last.at);
        log.fact(KEEP_ALIVE, keep_alive.as_secs());
        let within = silent_for(keep_alive, stage.reaction_timeout);
        let watch = Watch { provoked_at: last.at, within, connacks_due: 0, subscribed: false };
        let (mut delivered, mut pings_lost) = (0, 0);
        let mut is_delivery = |packet: &Packet<'_>| {
            let is_one = self.cause == Cause::Downlink && matches!(packet, Packet::Publish(_));
            delivered += u64::from(is_one);
            is_one
        };
        let (clock, stop) = (&stage.clock, &stage.stop);
        let seen = tokio::select! {
            biased;
            seen = observe_in_silence(
                &mut client, clock, stop, watch, ANSWER_WITHIN, &mut is_delivery,
            ) => seen,
            never = beside.go_on(keep_alive, &mut pings_lost) => match never {},
            never = stage.watch_the_broker(self.version) => match never {},
        };
        let broker_stalled = stage.silence_since(last.at).unwrap_or_default();
        let cut = cut_of(&seen.reactions);
        let confirmed = confirm(stage, log, self.version, (seen.reactions, seen.outcome)).await;
        client.leave().await;
        beside.end().await;
        if !confirmed.outcome.is_evidence() {
            return Ok(());
        }
        match self.cause {
            Cause::Idle => {}
            Cause::HalfOpen => log.measure(PINGS_LOST, pings_lost),
            Cause::Downlink if delivered == 0 => {
                log.trouble("nothing was delivered to the silent client");
                log.concluded(Outcome::NotActed);
                return Ok(());
            }
            Cause::Downlink => log.measure(DOWNLINK_MESSAGES, delivered),
        }
        match cut {
            Some((at_us, reason)) => {
                let silence = Silence::until(stage.clock.at(at_us), last);
                let cut = Cut::of(silence, keep_alive);
                log.fact(CUT, cut);
                log.measure(CUT_AT, silence.permille_of(keep_alive));
                if matches!(cut, Cut::Early | Cut::Between) && reason == Reason::None {
                    let cut = CutClient { silence, asked_s: self.keep_alive_s, keep_alive };
                    control::compare(stage, log, self.version, cut).await;
                }
                if cut == Cut::Early {
                    log.fact(CUT_EARLY_WITH, reason);
                }
            }
            None => {
                log.measure(WAITED, micros(within));
                log.measure(BROKER_STALLED, micros(broker_stalled));
            }
        }
        log.connection_over();
        if let Some(watch) = will {
            await_will(stage, log, &watch, last.at, confirmed).await;
        }
        Ok(())
    }

    /// Connects the client and makes it silent.
    async fn fall_silent(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        will: Option<&WitnessWatch>,
    ) -> Result<Silenced, String> {
        let client_id = log.client_id().to_owned();
        let first = Connect {
            keep_alive_s: self.keep_alive_s,
            will: will.map(|watch| stage.will(watch, WILL)),
            ..Client::honest_connect(&client_id, &stage.credentials)
        };
        match self.cause {
            Cause::Idle => self.idle(stage, log, &first).await,
            Cause::HalfOpen => self.half_open(stage, log, &first).await,
            Cause::Downlink => self.downlink(stage, log, &first).await,
        }
    }

    async fn idle(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        first: &Connect<'_>,
    ) -> Result<Silenced, String> {
        let mut peer = Peer::open(stage, log, self.version).await?;
        let connected = connect(stage, &mut peer, first).await?;
        log.accepted(connected.accepted.connack_at);
        let (last, keep_alive) = (connected.connect, connected.keep_alive);
        Ok(Silenced { client: peer.client, last, keep_alive, beside: Beside::Nothing })
    }

    async fn half_open(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        first: &Connect<'_>,
    ) -> Result<Silenced, String> {
        let opened = stage.open_through_hop(self.version).await;
        let (mut hop, client, established) = opened.map_err(|error| format!("cannot connect: {error}"))?;
        log.established(established);
        let mut peer = Peer::new(client);
        let working = async {
            let connected = connect(stage, &mut peer, first).await?;
            ping_once(&mut peer, stage.options.connect_timeout).await?;
            Ok::<_, String>(connected)
        };
        let connected = hop.carrying(working).await?;
        log.accepted(connected.accepted.connack_at);
        let halted = hop.halt(&mut peer.client.connection);
        let last = halted.last_up.ok_or("the hop has passed nothing on")?;
        let beside = Beside::LostClient { client: peer.client, _network: halted.client_side };
        let client = Client::new(halted.broker, self.version);
        Ok(Silenced { client, last: last.into(), keep_alive: connected.keep_alive, beside })
    }

    async fn downlink(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        first: &Connect<'_>,
    ) -> Result<Silenced, String> {
        // First, so that the client does not wait once it is connected.
        let publisher_id = log.companion(Companion::UsesTopics);
        let connect_publisher = Client::honest_connect(&publisher_id, &stage.credentials);
        let publisher = Peer::connect(stage, self.version, &connect_publisher).await;
        let (publisher, _) = publisher.map_err(|error| format!("the publisher: {error}"))?;
        let mut peer = Peer::open(stage, log, self.version).await?;
        let connected = connect(stage, &mut peer, first).await?;
        log.accepted(connected.accepted.connack_at);
        let within = stage.options.connect_timeout;
        let topic = format!("{}/silence/{}", stage.topic_root, log.name());
        peer.subscribe(&topic, QoS::AtMostOnce, within).await?;
        let last = ping_once(&mut peer, within).await?;
        let beside = Beside::Publisher { publisher, topic };
        Ok(Silenced { client: peer.client, last, keep_alive: connected.keep_alive, beside })
    }
}

impl Beside {
    /// Runs until it is dropped.
    async fn go_on(&mut self, keep_alive: Duration, pings_lost: &mut u64) -> Infallible {
        match self {
            Self::Nothing => {}
            Self::LostClient { client, .. } => {
                // The client pings in time, and its kernel accepts the bytes.
                while client.ping().await.is_ok() {
                    *pings_lost += 1;
                    sleep(keep_alive / 2).await;
                }
            }
            Self::Publisher { publisher, topic } => {
                for sequence in 0.. {
                    let sent = publisher.send_publish(topic, QoS::AtMostOnce, sequence, None).await;
                    if sent.is_err() {
                        break;
                    }
                    sleep(keep_alive / MESSAGES_PER_KEEP_ALIVE).await;
                }
            }
        }
        pending().await
    }

    async fn end(self) {
        match self {
            Self::Nothing => {}
            Self::LostClient { client, .. } => client.connection.close(),
            Self::Publisher { publisher, .. } => publisher.client.leave().await,
        }
    }
}

/// Records whether the Will comes, whether or not the connection ended.
async fn await_will(
    stage: &Stage,
    log: &mut AttemptLog<'_>,
    watch: &WitnessWatch,
    silent_since: Instant,
    confirmed: Confirmed,
) {
    let (is_due, ended_at) = (confirmed.outcome.is_ended(), confirmed.ended_at(stage));
    let seen = stage.await_will(watch, is_due, silent_since, ended_at, WILL).await;
    let Some(seen) = seen else { return };
    if let (Some(ended_at_us), Some(seen_at_us)) = (confirmed.ended_at_us, seen.seen_at_us.first()) {
        log.measure(WILL_AFTER_CUT, seen_at_us.saturating_sub(ended_at_us));
    }
    log.will(seen);
}
