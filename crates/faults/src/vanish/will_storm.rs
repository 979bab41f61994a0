//! The storm of Wills: many clients with a Will are lost in the same instant, as when a switch goes down. Are all Wills
//! published, how long does the last one take, and what is retained afterwards: does "offline" stay although the client
//! is back?

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
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::bystanders::witness::WitnessWatch;
use ungraceful_wire::clock::now;

use super::will_storm_checks;
use crate::ending::{Answer, Untold, attempted, confirm, prepared};
use crate::mode::{AttemptsOf, Call, ConnectionsOf, FaultMode, each_case};
use crate::peer::Peer;
use crate::takeover::session_connect;

/// The fault's id in the catalogue.
pub const ID: &str = "will-storm";

/// Fact: what is retained on the Will's topic when all is over.
pub const RETAINED: FactOf<Retained> = FactOf::new("retained");
/// Fact: whether the Will came after what the client had published when it was back.
pub const AFTER_ONLINE: FactOf<YesNo> = FactOf::new("offline_after_online");
/// Fact: what became of the client that came back: it was accepted, and its "online" acknowledged, or why not.
pub const RETURN: FactOf<Answer> = FactOf::new("return");
/// Measure: the client was lost, until its "online" was acknowledged.
pub const ONLINE_AFTER: Measure = Measure::new("online_after_us");

ungraceful_record::words! {
    /// What is retained on the Will's topic when all is over.
    pub enum Retained: "message" {
        /// The Will.
        Offline = "offline",
        /// What the client published when it was back.
        Online = "online",
        /// Nothing.
        Nothing = "nothing",
        /// Another message.
        Other = "something else",
        /// It could not be asked for.
        Unknown = "unknown",
    }
}

/// Application Message of the Will.
const OFFLINE: &[u8] = Retained::Offline.name().as_bytes();
/// What the client publishes when it is back.
const ONLINE: &[u8] = Retained::Online.name().as_bytes();

/// How long after the SUBACK a retained message would come.
const RETAINED_WITHIN: Duration = Duration::from_secs(3);
/// Clients that look at what is retained do not come all at once: they are no part of the storm.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How many of them come one after the other before it begins anew.
const LOOKING_MAX: u64 = 500;

ungraceful_record::words! {
    /// What is done.
    pub enum Variant: "variant" {
        /// A Will that is not retained.
        Plain = "plain",
        /// A retained Will, "offline".
        Retained = "retained",
        /// The same; the client is back at once and publishes a retained "online".
        Back = "back",
        /// The same with a Will Delay Interval, the cure (MQTT 5.0).
        BackWillDelay = "back-will-delay",
    }
}

impl Variant {
    /// The variant with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Whether the version has it: MQTT 3.1.1 knows no delay of Wills.
    #[must_use]
    pub fn is_in(self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::V5 || self != Self::BackWillDelay
    }

    /// Whether the client comes back at once.
    #[must_use]
    pub const fn returns(self) -> bool {
        matches!(self, Self::Back | Self::BackWillDelay)
    }
}

/// Why a client was not lost.
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
    const LONG_ABOUT: &'static str = "Connects --count clients with a Will before the baseline and resets them all, --connrate per \
         second: fast enough to be one instant. Reports how many of the Wills come and how they are \
         spread in time, whether retained Wills are retained, and whether clients that are back at once \
         stay \"offline\" for whoever subscribes then; with a Will Delay Interval they must not. Each \
         client is lost once, so --attempts and --duration are not accepted.";
    const CHECKS: &'static [&'static [Check]] = &[will_storm_checks::CHECKS];
    // A witness that is sent more than a thousand messages at once is more than some brokers queue by default.
    // And what is all due at once is begun one after the other: times of Wills begin when their own client was lost.
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
        // The client or its return, and who looks at what is retained.
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
    /// What is done.
    pub variant: Variant,
    /// The version spoken.
    pub version: ProtocolVersion,
    /// Will Delay Interval of [`Variant::BackWillDelay`] in seconds, from 1.
    pub will_delay_interval_s: u32,
}

/// A client that is back, and when its "online" was acknowledged.
struct Back {
    peer: Peer,
    accepted: Accepted,
    online_at: Instant,
}

impl Fault for WillStorm {
    fn case(&self) -> Case {
        Case::new(ID, self.variant.name(), self.version)
    }

    fn unsupported_reason(&self, offers: Offers) -> Option<String> {
        (self.variant != Variant::Plain && !offers.retain_available)
            .then(|| "the broker retains nothing: its CONNACK says Retain Available 0".to_owned())
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
            true => "; back at once, PUBLISH a retained \"online\"",
            false => "",
        };
        format!("CONNECT with {will}; RST{back}")
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

impl WillStorm {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Untold> {
        let Some(watch) = stage.watch_will(log.client_id()) else {
            return Err("no Will was set, because the witness did not provably receive messages".into());
        };
        let is_lost = self.be_lost_in_turn(stage, log, &watch).await;
        if self.variant != Variant::Plain && !matches!(is_lost, Ok(false)) {
            // Neither a session stays behind nor a Will that the broker has retained: a connection that is given up ends
            // without DISCONNECT.
            Box::pin(self.clean_up(stage, log.client_id(), watch.topic())).await;
        }
        if !is_lost? {
            return Err(Untold::Stopped);
        }
        Box::pin(confirm(stage, log, self.version, (Vec::new(), Some(Outcome::Left)))).await;
        Ok(())
    }

    /// False when the run stopped before its turn; the client has left nothing then.
    async fn be_lost_in_turn(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        watch: &WitnessWatch,
    ) -> Result<bool, Untold> {
        let mut peer = Box::pin(prepared(stage, self.prepare(stage, log, watch))).await?;
        if peer.wait_for_turn(log, drop).await.map_err(|_ended| ENDED_FIRST)? {
            return Box::pin(self.be_lost(stage, log, peer, watch)).await.map(|()| true);
        }
        Box::pin(peer.leave_nothing(stage, log.client_id())).await;
        Ok(false)
    }

    /// Will Delay Interval in seconds.
    fn delay_s(&self) -> u32 {
        if self.variant == Variant::BackWillDelay { self.will_delay_interval_s } else { 0 }
    }

    /// A delayed Will waits in a session, which must live longer than its delay.
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

    async fn be_lost(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
        peer: Peer,
        watch: &WitnessWatch,
    ) -> Result<(), Untold> {
        if peer.client.connection.has_hung_up() {
            return Err(ENDED_FIRST.into());
        }
        let before = now();
        peer.client.connection.reset();
        let at = now();
        log.provoked(at);
        log.concluded(Outcome::Left);
        stage.unless_stopped(self.look(stage, log, watch, before, at)).await.ok_or(Untold::Stopped)
    }

    /// What comes of it.
    async fn look(
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
            // It was acknowledged at QoS 1, so the witness is sent it; what comes before and after tells the order.
            let deadline = now() + stage.reaction_timeout;
            watch.settled(deadline, Duration::ZERO, |heard| heard.payload == ONLINE).await;
        }
        let seen = match self.variant {
            // The client was too late, or its session was not there: it is not known whether the Will is due.
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
            sleep(LOOK_EVERY * u32::try_from(log.number() % LOOKING_MAX).unwrap_or(0)).await;
            let retained = self.retained(stage, log.client_id(), watch.topic()).await;
            log.fact(RETAINED, retained);
        }
        if let Some(back) = back {
            back.peer.leave_nothing(stage, log.client_id()).await;
        }
    }

    /// The client is back and says so.
    async fn come_back(&self, stage: &Stage, log: &mut AttemptLog<'_>, topic: &str) -> Option<Back> {
        let client_id = log.client_id().to_owned();
        let back = async {
            let properties = self.properties();
            // A session is taken up only where there may be one.
            let clean = self.variant != Variant::BackWillDelay;
            let connect = session_connect(stage, self.version, &client_id, clean, &properties);
            let (mut peer, accepted) = Peer::come_back(stage, self.version, &connect).await?;
            peer.retain(stage, topic, ONLINE).await?;
            Ok::<_, String>(Back { peer, accepted, online_at: now() })
        };
        match back.await {
            Ok(back) => {
                log.fact(RETURN, Answer::Accepted);
                Some(back)
            }
            Err(why) => {
                log.fact(RETURN, Answer::Refused(why));
                None
            }
        }
    }

    /// What a client finds that subscribes now.
    async fn retained(&self, stage: &Stage, client_id: &str, topic: &str) -> Retained {
        let looker_id = format!("{client_id}l");
        let connect = session_connect(stage, self.version, &looker_id, true, &[]);
        let Ok((mut looker, _)) = Peer::connect(stage, self.version, &connect).await else {
            return Retained::Unknown;
        };
        let beacon = beacon(stage, client_id);
        let found = match looker.retain(stage, &beacon, b"beacon").await {
            Ok(()) => looker.retained(stage, topic, &beacon, RETAINED_WITHIN).await,
            Err(why) => Err(why),
        };
        looker.client.leave().await;
        match found {
            Ok(Some(payload)) if payload == OFFLINE => Retained::Offline,
            Ok(Some(payload)) if payload == ONLINE => Retained::Online,
            Ok(Some(_)) => Retained::Other,
            Ok(None) => Retained::Nothing,
            Err(_) => Retained::Unknown,
        }
    }

    /// Removes what is retained, and the session where there is one: Clean Start 1 ends it.
    async fn clean_up(&self, stage: &Stage, client_id: &str, topic: &str) {
        let connect = session_connect(stage, self.version, client_id, true, &[]);
        if let Ok((mut cleaner, _)) = Peer::connect(stage, self.version, &connect).await {
            for topic in [topic, &beacon(stage, client_id)] {
                let _nothing_left_to_do = cleaner.retain(stage, topic, &[]).await;
            }
            cleaner.client.leave().await;
        }
    }
}

/// The topic of what is known to be retained; not below those of Wills, where the witness would hear it.
fn beacon(stage: &Stage, client_id: &str) -> String {
    format!("{}/retained/{client_id}", stage.topic_root)
}

/// Whether the Will came after a message that the client had published when it was back.
fn is_after_online(seen: &WillSeen) -> bool {
    let online = seen.of_first_connect.iter().position(|is_will| !is_will);
    let last_will = seen.of_first_connect.iter().rposition(|is_will| *is_will);
    online.is_some_and(|online| last_will.is_some_and(|last_will| last_will > online))
}

/// What the witness heard, without what the client published itself.
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
    fn an_offline_counts_as_late_only_behind_an_online() {
        assert!(!is_after_online(&seen(&[])));
        assert!(!is_after_online(&seen(&[true])));
        assert!(!is_after_online(&seen(&[false])));
        assert!(!is_after_online(&seen(&[true, false])));
        assert!(is_after_online(&seen(&[false, true])));
        assert!(is_after_online(&seen(&[true, false, true])));
    }

    #[test]
    fn what_the_client_published_itself_is_no_will() {
        let wills = only_wills(&seen(&[false, true, false, true]));
        assert_eq!((wills.seen_at_us, wills.of_first_connect), (vec![2, 4], vec![true, true]));
    }
}
