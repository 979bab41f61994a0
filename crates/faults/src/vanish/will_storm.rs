//! The storm of Wills: many clients with a Will are lost at the same instant, as when a network switch fails. Are all Wills
//! published, how long does the last one take, and is "offline" still retained although the client is back?

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::LocalBoxFuture;
use tokio::time::sleep;
use ungraceful_flags::{Mistake, Named, Seconds, Versions, Wanted, chosen};
use ungraceful_mqtt::{Properties, Property, ProtocolVersion, Will};
use ungraceful_record::attempt::{Attempt, Case, WillSeen};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure, YesNo};
use ungraceful_record::offers::Offers;
use ungraceful_record::reaction::Outcome;
use ungraceful_record::scale::micros;
use ungraceful_rig::attempts::client::Accepted;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_wire::Transport;
use ungraceful_wire::clock::now;

use super::will_storm_checks;
use crate::ending::{Answer, Unfinished, attempted, confirm, prepared};
use crate::mode::{AttemptsOf, Call, ConnectionsOf, FaultMode, each_case};
use crate::peer::Peer;
use crate::takeover::session_connect;

/// The fault's id in the catalogue.
pub const ID: &str = "will-storm";

/// Fact: the message retained on the Will's topic at the end.
pub const RETAINED: FactOf<Retained> = FactOf::new("retained");
/// Fact: whether the Will came after the message that the returned client published.
pub const AFTER_ONLINE: FactOf<YesNo> = FactOf::new("offline_after_online");
/// Fact: whether the returning client was accepted and its "online" acknowledged, or why not.
pub const RETURN: FactOf<Answer> = FactOf::new("return");
/// Measure: from the loss of the client until its "online" was acknowledged.
pub const ONLINE_AFTER: Measure = Measure::new("online_after_us");

ungraceful_record::words! {
    /// The message retained on the Will's topic at the end.
    pub enum Retained: "message" {
        /// The Will.
        Offline = "offline",
        /// The message of the returned client.
        Online = "online",
        /// Nothing.
        Nothing = "nothing",
        /// Another message.
        Other = "something else",
        /// It could not be read.
        Unknown = "unknown",
    }
}

/// Application Message of the Will.
const OFFLINE: &[u8] = Retained::Offline.name().as_bytes();
/// The message that the returned client publishes.
const ONLINE: &[u8] = Retained::Online.name().as_bytes();

/// How long to wait for a retained message after the SUBACK.
const RETAINED_WITHIN: Duration = Duration::from_secs(3);
/// Clients that read the retained message are not part of the storm, so they start one after the other, this far apart.
const READ_EVERY: Duration = Duration::from_millis(2);
/// How many of them start one after the other before the next round.
const READERS_PER_ROUND: u64 = 500;

ungraceful_record::words! {
    /// The kind of Will, and whether the client returns.
    pub enum Variant: "variant" {
        /// A Will that is not retained.
        Plain = "plain",
        /// A retained Will, "offline".
        Retained = "retained",
        /// The same; the client returns at once and publishes a retained "online".
        Back = "back",
        /// The same with a Will Delay Interval, which prevents a stale "offline" (MQTT 5.0).
        BackWillDelay = "back-will-delay",
    }
}

impl Variant {
    /// The variant with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Whether the version has it: MQTT 3.1.1 has no Will delay.
    #[must_use]
    pub fn is_in(self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::V5 || self != Self::BackWillDelay
    }

    /// Whether the client returns at once.
    #[must_use]
    pub const fn returns(self) -> bool {
        matches!(self, Self::Back | Self::BackWillDelay)
    }
}

const ENDED_FIRST: &str = "the broker ended the connection before the client was lost";

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: plain, retained, back; and on MQTT 5 also back-will-delay [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<Variant>>,
    /// Will Delay Interval of back-will-delay
    #[arg(long, value_name = "SECONDS", default_value = "4s")]
    will_delay: Seconds,
    #[command(flatten)]
    versions: Versions,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str = "Many clients with a Will are lost at once: are all Wills published, how late, and which are retained?";
    const LONG_ABOUT: &'static str = "Connects --count clients with a Will before the baseline and resets them all, --connrate per second: fast \
         enough to be one instant. Reports how many Wills are published and how they are spread over time, whether \
         retained Wills are retained, and whether clients that return at once stay \"offline\" for later subscribers; \
         with a Will Delay Interval they must not. Each client is lost once, so --attempts and --duration are not \
         accepted.";
    const CHECKS: &'static [&'static [Check]] = &[will_storm_checks::CHECKS];
    // Some brokers queue no more than a thousand messages for the witness by default. The clients are reset one after the
    // other, and the time of each Will counts from the loss of its own client.
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("count", "700"), ("connrate", "10000"), ("slip-limit", "200ms")];
    const ATTEMPTS: AttemptsOf = AttemptsOf::Clients;

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn check(&mut self, _call: &Call<'_>, mistakes: &mut Vec<Mistake>) {
        let variants = chosen(&Variant::ALL, &self.variant);
        if self.wanted().versions == [ProtocolVersion::V3_1_1] && variants == [Variant::BackWillDelay] {
            let what = "MQTT 3.1.1 has no Will Delay Interval; choose plain, retained or back, or -V 5";
            mistakes.push(Mistake::new("--variant", what));
        }
    }

    fn connections(&self) -> ConnectionsOf {
        // The client, and the reader of the retained message.
        ConnectionsOf::EachClient(2)
    }

    fn longest_pause(&self) -> Duration {
        self.will_delay.time()
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&chosen(&Variant::ALL, &self.variant), spoken, |variant, version| {
            let storm = WillStorm { variant, version, will_delay_interval_s: self.will_delay.0 };
            variant.is_in(version).then_some(storm)
        })
    }
}

/// One variant with one version.
#[derive(Clone, Copy, Debug)]
pub struct WillStorm {
    /// The kind of Will, and whether the client returns.
    pub variant: Variant,
    /// The protocol version.
    pub version: ProtocolVersion,
    /// Will Delay Interval of [`Variant::BackWillDelay`], in seconds, at least 1.
    pub will_delay_interval_s: u32,
}

/// A returned client, and when its "online" was acknowledged.
struct Back {
    peer: Peer,
    accepted: Accepted,
    online_at: Instant,
}

impl Fault for WillStorm {
    fn case(&self) -> Case {
        Case::new(ID, self.variant.name(), self.version)
    }

    fn unsupported_reason(&self, offers: Offers, _transport: &Transport) -> Option<String> {
        (self.variant != Variant::Plain && !offers.retain_available).then(|| {
            "the broker does not support retained messages: its CONNACK has Retain Available 0".to_owned()
        })
    }

    fn gathers(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        let will = match self.variant {
            Variant::Plain => "a Will".to_owned(),
            Variant::Retained | Variant::Back => "a retained Will \"offline\"".to_owned(),
            Variant::BackWillDelay => {
                format!("a retained Will \"offline\" (Will Delay Interval {} s)", self.will_delay_interval_s)
            }
        };
        let back = match self.variant.returns() {
            true => "; return at once, PUBLISH a retained \"online\"",
            false => "",
        };
        format!("CONNECT with {will}; RST{back}")
    }

    fn companions(&self) -> &'static [Companion] {
        match self.variant {
            Variant::Plain => &[],
            // A new subscriber, which receives the retained message.
            Variant::Retained | Variant::Back | Variant::BackWillDelay => &[Companion::UsesTopics],
        }
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl WillStorm {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let Some(watch) = stage.watch_will(log.name()) else {
            return Err("no Will was set, because the witness did not provably receive messages".into());
        };
        let is_lost = self.lose_in_turn(stage, log, &watch).await;
        if self.variant != Variant::Plain && !matches!(is_lost, Ok(false)) {
            // Leaves neither a session nor a retained Will behind: an abandoned connection ends without DISCONNECT.
            Box::pin(self.clean_up(stage, log, watch.topic())).await;
        }
        if !is_lost? {
            return Err(Unfinished::Stopped);
        }
        Box::pin(confirm(stage, log, self.version, (Vec::new(), Some(Outcome::Left)))).await;
        Ok(())
    }

    /// False when the run stops before the client's turn; the client leaves nothing behind then.
    async fn lose_in_turn(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        watch: &WitnessWatch,
    ) -> Result<bool, Unfinished> {
        let mut peer = Box::pin(prepared(stage, self.prepare(stage, log, watch))).await?;
        if peer.wait_for_turn(log, drop).await.map_err(|_ended| ENDED_FIRST)? {
            return Box::pin(self.lose(stage, log, peer, watch)).await.map(|()| true);
        }
        Box::pin(peer.leave_nothing(stage, log.client_id())).await;
        Ok(false)
    }

    /// Will Delay Interval, in seconds.
    fn delay_s(&self) -> u32 {
        if self.variant == Variant::BackWillDelay { self.will_delay_interval_s } else { 0 }
    }

    /// A delayed Will belongs to a session, which must outlive the delay.
    fn properties(&self) -> [Property<'static>; 1] {
        const BEYOND_DELAY_S: u32 = 60;
        let expiry_s = match self.delay_s() {
            0 => 0,
            delay_s => delay_s.saturating_add(BEYOND_DELAY_S),
        };
        [Property::SessionExpiryInterval(expiry_s)]
    }

    async fn prepare(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        watch: &WitnessWatch,
    ) -> Result<Peer, String> {
        let client_id = log.client_id().to_owned();
        let properties = self.properties();
        let delay = [Property::WillDelayInterval(self.delay_s())];
        let mut connect = session_connect(stage, self.version, &client_id, true, &properties);
        let properties = if self.delay_s() > 0 { Properties::List(&delay) } else { Properties::NONE };
        let retain = self.variant != Variant::Plain;
        connect.will = Some(Will { properties, retain, ..stage.will(watch, OFFLINE) });
        Ok(Peer::begin(stage, log, self.version, &connect).await?.0)
    }

    async fn lose(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        peer: Peer,
        watch: &WitnessWatch,
    ) -> Result<(), Unfinished> {
        if peer.client.connection.has_hung_up() {
            return Err(ENDED_FIRST.into());
        }
        let before = now();
        peer.client.connection.reset();
        let at = now();
        log.provoked(at);
        log.concluded(Outcome::Left);
        stage.unless_stopped(self.observe(stage, log, watch, before, at)).await.ok_or(Unfinished::Stopped)
    }

    /// Has the client return where the variant says so, waits for the Will, and reads the retained message.
    async fn observe(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        watch: &WitnessWatch,
        before: Instant,
        at: Instant,
    ) {
        let delay = Duration::from_secs(self.delay_s().into());
        let back = match self.variant.returns() {
            true => self.come_back(stage, log, watch.topic()).await,
            false => None,
        };
        let is_forbidden = back.as_ref().is_some_and(|back| {
            let away = back.accepted.connack_at.saturating_duration_since(before);
            back.accepted.session_present && away < delay / 2
        });
        if let Some(back) = &back {
            log.measure(ONLINE_AFTER, micros(back.online_at.saturating_duration_since(at)));
        }
        if back.is_some() {
            // It was acknowledged at QoS 1, so the witness receives it, and the order of its messages shows which was first.
            let deadline = now() + stage.reaction_timeout;
            watch.settled(deadline, Duration::ZERO, |heard| heard.payload == ONLINE).await;
        }
        let seen = match self.variant {
            // The client was too late, or its session was gone: whether the Will is due is unknown.
            Variant::BackWillDelay if !is_forbidden => None,
            _ => {
                let (is_due, will) = (!is_forbidden, OFFLINE);
                stage.await_delayed_will(watch, is_due, before, delay, at, will).await
            }
        };
        if let Some(seen) = seen {
            if back.is_some() {
                log.fact(AFTER_ONLINE, is_after_online(&seen));
            }
            log.will(only_wills(&seen));
        }
        if self.variant != Variant::Plain {
            sleep(READ_EVERY * u32::try_from(log.number() % READERS_PER_ROUND).unwrap_or(0)).await;
            let retained = self.retained(stage, log, watch.topic()).await;
            log.fact(RETAINED, retained);
        }
        if let Some(back) = back {
            back.peer.leave_nothing(stage, log.client_id()).await;
        }
    }

    /// Connects the client again and publishes "online".
    async fn come_back(&self, stage: &Stage, log: &mut AttemptLog<'_>, topic: &str) -> Option<Back> {
        let client_id = log.client_id().to_owned();
        let back = async {
            let properties = self.properties();
            let clean = self.variant != Variant::BackWillDelay;
            let connect = session_connect(stage, self.version, &client_id, clean, &properties);
            let (mut peer, accepted) = Peer::come_back(stage, self.version, &connect).await?;
            peer.retain(stage, topic, ONLINE).await?;
            Ok::<_, String>(Back { peer, accepted, online_at: now() })
        };
        let back = back.await;
        log.fact(RETURN, back.as_ref().map_or_else(|why| Answer::Refused(why.clone()), |_| Answer::Accepted));
        back.ok()
    }

    /// The message that a new subscriber receives.
    async fn retained(&self, stage: &Stage, log: &AttemptLog<'_>, topic: &str) -> Retained {
        let reader_id = log.companion(Companion::UsesTopics);
        let connect = session_connect(stage, self.version, &reader_id, true, &[]);
        let Ok((mut reader, _)) = Peer::connect(stage, self.version, &connect).await else {
            return Retained::Unknown;
        };
        let beacon = beacon(stage, log);
        let found = match reader.retain(stage, &beacon, b"beacon").await {
            Ok(()) => reader.retained(stage, topic, &beacon, RETAINED_WITHIN).await,
            Err(why) => Err(why),
        };
        reader.client.leave().await;
        match found {
            Ok(Some(payload)) if payload == OFFLINE => Retained::Offline,
            Ok(Some(payload)) if payload == ONLINE => Retained::Online,
            Ok(Some(_)) => Retained::Other,
            Ok(None) => Retained::Nothing,
            Err(_) => Retained::Unknown,
        }
    }

    /// Removes the retained messages and the session, which Clean Start 1 ends.
    async fn clean_up(&self, stage: &Stage, log: &AttemptLog<'_>, topic: &str) {
        let connect = session_connect(stage, self.version, log.client_id(), true, &[]);
        if let Ok((mut cleaner, _)) = Peer::connect(stage, self.version, &connect).await {
            for topic in [topic, &beacon(stage, log)] {
                let _best_effort = cleaner.retain(stage, topic, &[]).await;
            }
            cleaner.client.leave().await;
        }
    }
}

/// The topic of a message known to be retained; outside the Will topics, so that the witness does not receive it.
fn beacon(stage: &Stage, log: &AttemptLog<'_>) -> String {
    format!("{}/retained/{}", stage.topic_root, log.name())
}

/// Whether the Will came after the message of the returned client.
fn is_after_online(seen: &WillSeen) -> bool {
    let online = seen.of_first_connect.iter().position(|is_will| !is_will);
    let last_will = seen.of_first_connect.iter().rposition(|is_will| *is_will);
    online.is_some_and(|online| last_will.is_some_and(|last_will| last_will > online))
}

/// The messages that the witness received, without those of the client itself.
fn only_wills(seen: &WillSeen) -> WillSeen {
    let (seen_at_us, of_first_connect) = seen
        .seen_at_us
        .iter()
        .zip(&seen.of_first_connect)
        .filter(|(_, is_will)| **is_will)
        .map(|(at_us, is_will)| (*at_us, *is_will))
        .unzip();
    let (due, seen_before_us, waited_us) = (seen.due, seen.seen_before_us.clone(), seen.waited_us);
    WillSeen { due, seen_at_us, of_first_connect, seen_before_us, waited_us }
}

#[cfg(test)]
mod tests {
    use ungraceful_record::attempt::WillSeen;

    use super::{is_after_online, only_wills};

    fn seen(is_will: &[bool]) -> WillSeen {
        WillSeen {
            due: true,
            seen_at_us: (1..).take(is_will.len()).collect(),
            of_first_connect: is_will.to_vec(),
            seen_before_us: Vec::new(),
            waited_us: 9,
        }
    }

    #[test]
    fn a_will_is_late_only_after_an_online() {
        for in_order in [&[][..], &[true], &[false], &[true, false]] {
            assert!(!is_after_online(&seen(in_order)), "{in_order:?}");
        }
        for late in [&[false, true][..], &[true, false, true]] {
            assert!(is_after_online(&seen(late)), "{late:?}");
        }
    }

    #[test]
    fn a_message_of_the_client_itself_is_no_will() {
        let wills = only_wills(&seen(&[false, true, false, true]));
        assert_eq!((wills.seen_at_us, wills.of_first_connect), (vec![2, 4], vec![true, true]));
    }
}
