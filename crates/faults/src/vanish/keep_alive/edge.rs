//! The edge of the Keep Alive: a client sends only PINGREQ, just in time or slightly late. Does it stay connected?

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::LocalBoxFuture;
use ungraceful_flags::{Named, Time, Versions, Wanted};
use ungraceful_mqtt::{Connect, ProtocolVersion};
use ungraceful_record::attempt::{Attempt, Case};
use ungraceful_record::check::Check;
use ungraceful_record::fact::{FactOf, Measure};
use ungraceful_record::reaction::{Outcome, Reaction, ReactionKind};
use ungraceful_record::scale::{micros, span};
use ungraceful_rig::attempts::client::Client;
use ungraceful_rig::attempts::companion::Companion;
use ungraceful_rig::attempts::fault::{AttemptLog, Fault, Stage};
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_wire::EndKind;
use ungraceful_wire::clock::now;

use super::control::{self, CutClient};
use super::flags::{KeepAlives, Tried, WithKeepAlive, longest};
use super::{CUT_AT, KEEP_ALIVE, LastPacket, Reason, Silence, connect, cut_of, edge_checks};
use crate::ending::{Confirmed, Unfinished, attempted, confirm, end_of_stream, prepared};
use crate::mode::{FaultMode, each_case};
use crate::peer::{Event, Peer};

/// The fault's id in the catalogue.
pub const ID: &str = "edge";
/// Fact: the fate of the client.
pub const FATE: FactOf<Fate> = FactOf::new("fate");
/// Measure: PINGREQs that were sent; 0 when the client was cut before its first.
pub const SENT: Measure = Measure::new("pings_sent");
/// Measure: PINGREQs that were answered.
pub const ANSWERED: Measure = Measure::new("pings_answered");
/// Measure: the longest time between two packets of the client, from before one to after the next.
pub const LONGEST_GAP: Measure = Measure::new("longest_gap_us");

ungraceful_record::words! {
    /// The fate of a client.
    pub enum Fate {
        /// Every PINGREQ was answered, to the end.
        LeftAlone = "left alone",
        /// It was cut, but it had sent a PINGREQ later than its variant says, so that the broker was right.
        WeWereLate = "cut after we were late ourselves",
        /// It was cut, but a PINGREQ was unanswered when the next one was sent or when the cut came, or the broker answered no
        /// client for a while: a stalled broker had not read the PINGREQ.
        BrokerWasLate = "cut after the broker was late itself",
    } else {
        /// It was cut, with this [`Reason`].
        CutWith = "cut with ",
    }
}

/// The margin for clocks and timers at one and a half times the Keep Alive, as a divisor of the Keep Alive.
const MARGIN: u32 = 20;

/// How often a client sends PINGREQ, as a share of its Keep Alive in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    /// All shares, in the order of the tables.
    pub const ALL: [Self; 7] = [Self(50), Self(75), Self(90), Self(95), Self(105), Self(125), Self(145)];

    /// Whether a client that sends PINGREQ at this share is in time.
    #[must_use]
    pub const fn is_in_time(self) -> bool {
        self.0 < 100
    }

    /// This share of a Keep Alive.
    #[must_use]
    pub fn of(self, keep_alive: Duration) -> Duration {
        keep_alive * u32::from(self.0) / 100
    }

    /// The share at the beginning of a variant's name.
    #[must_use]
    pub fn of_variant(variant: &str) -> Option<Self> {
        variant.split_once(OF)?.0.parse().ok()
    }
}

/// Separates share and Keep Alive in a variant's name.
const OF: &str = "-of-";

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_it = |share: &Self| {
            let name = share.to_string();
            text == name || Some(text) == name.strip_suffix('0')
        };
        Self::ALL.into_iter().find(is_it).ok_or_else(|| {
            let names = Self::ALL.map(|share| share.to_string()).join(", ");
            format!("unknown variant {text:?}; choose from {names}")
        })
    }
}

impl Tried for Share {
    const EACH: &'static [Self] = &Self::ALL;
    const BETWEEN: &'static str = OF;
}

/// The flags.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fault")]
pub struct Flags {
    /// Variants, separated by commas: a PINGREQ every 0.50, 0.75, 0.90, 0.95, 1.05, 1.25 or 1.45 times the Keep Alive; with a Keep Alive of its own as 0.95-of-5s [default: all]
    #[arg(long, value_name = "VARIANT", value_delimiter = ',')]
    variant: Vec<Named<WithKeepAlive<Share>>>,
    /// How long each client sends PINGREQ; at least twice the Keep Alive
    #[arg(long = "for", value_name = "TIME", default_value = "10s")]
    lasting: Time,
    #[command(flatten)]
    keep_alives: KeepAlives,
    #[command(flatten)]
    versions: Versions,
}

impl FaultMode for Flags {
    const NAME: &'static str = ID;
    const ABOUT: &'static str =
        "A client sends PINGREQ just in time, or a little late: does it stay connected?";
    const LONG_ABOUT: &'static str = "Connects clients that send only PINGREQ: every 0.50 to 0.95 times their Keep Alive, which is in time, and \
         every 1.05 to 1.45 times, which a broker tolerates when it waits for one and a half times the Keep Alive \
         (section 3.1.2.10). Reports which of them are cut. Cutting an MQTT 5.0 client because of its Keep Alive \
         although it was in time is a violation without a numbered statement; cutting a late client is a note. A client \
         that is cut without a reason is compared with a second client that has twice the Keep Alive: if both are cut \
         after the same time, a proxy may be the cause. Attempts in which the generator sent a PINGREQ too late are not \
         counted.";
    const CHECKS: &'static [&'static [Check]] = &[edge_checks::CHECKS];
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("attempts", "5"), ("connrate", "50"), ("keepalive", "2s")];

    fn wanted(&self) -> Wanted {
        self.versions.wanted()
    }

    fn longest_pause(&self) -> Duration {
        let longest = longest(&self.keep_alives.cases(&self.variant));
        self.lasting.0.max(longest * 2) + longest * 2 + control::longest(longest)
    }

    fn faults(&self, spoken: &[ProtocolVersion]) -> Vec<Arc<dyn Fault>> {
        each_case(&self.keep_alives.cases(&self.variant), spoken, |(share, keep_alive_s), version| {
            Some(Edge { share, version, keep_alive_s, lasting: *self.lasting })
        })
    }
}

/// A client at the edge.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// How often it sends PINGREQ.
    pub share: Share,
    /// The protocol version.
    pub version: ProtocolVersion,
    /// The Keep Alive of its CONNECT, in seconds; above 0.
    pub keep_alive_s: u16,
    /// How long it sends PINGREQ; above its Keep Alive.
    pub lasting: Duration,
}

impl Fault for Edge {
    fn case(&self) -> Case {
        Case::new(ID, format!("{}{OF}{}s", self.share, self.keep_alive_s), self.version)
    }

    fn describe(&self) -> String {
        let every = self.share.of(Duration::from_secs(self.keep_alive_s.into()));
        format!(
            "CONNECT with a Keep Alive of {} s, PINGREQ every {} for {}",
            self.keep_alive_s,
            span(every),
            span(self.lasting)
        )
    }

    fn companions(&self) -> &'static [Companion] {
        // The control client of one that was cut.
        &[Companion::OnlyConnects]
    }

    fn attempt<'a>(&'a self, stage: &'a Stage, log: AttemptLog<'a>) -> LocalBoxFuture<'a, Attempt> {
        attempted(stage, log, self.version, async |log| self.carry_out(stage, log).await)
    }
}

/// What was observed of a client at the edge.
struct Pinged {
    last: LastPacket,
    longest_gap: Duration,
    sent: u64,
    answered: u64,
    /// A PINGREQ was still unanswered when the next one was sent, or when the broker ended the connection.
    was_unanswered: bool,
    reactions: Vec<Reaction>,
    how: Option<EndKind>,
}

impl Edge {
    async fn carry_out(&self, stage: &Stage, log: &mut AttemptLog<'_>) -> Result<(), Unfinished> {
        let (mut peer, connected, keep_alive) = prepared(stage, self.begin(stage, log)).await?;
        let pinged = stage.unless_stopped(self.ping_on(stage, &mut peer, connected, keep_alive)).await;
        let pinged = pinged.ok_or(Unfinished::Stopped)?;
        log.provoked(pinged.last.at);
        log.fact(KEEP_ALIVE, keep_alive.as_secs());
        log.measure(SENT, pinged.sent);
        log.measure(ANSWERED, pinged.answered);
        let cut = cut_of(&pinged.reactions);
        let broker_was_late = pinged.was_unanswered || stage.silence_since(connected.at).is_some();
        let outcome = match pinged.how {
            Some(how) => end_of_stream(how).1,
            None if pinged.answered == pinged.sent => Outcome::Tolerated,
            None => Outcome::NoReaction,
        };
        let seen = (pinged.reactions, Some(outcome));
        let Confirmed { outcome, .. } = confirm(stage, log, self.version, seen).await;
        peer.client.leave().await;
        if !outcome.is_evidence() {
            return Ok(());
        }
        let mut longest_gap = pinged.longest_gap;
        if let Some((at_us, reason)) = cut {
            let silence = Silence::until(stage.clock.at(at_us), pinged.last);
            longest_gap = longest_gap.max(silence.longest);
            log.measure(CUT_AT, silence.permille_of(keep_alive));
            if !self.was_punctual(longest_gap, keep_alive) {
                log.fact(FATE, Fate::WeWereLate);
            } else if broker_was_late {
                log.fact(FATE, Fate::BrokerWasLate);
            } else {
                log.fact(FATE, Fate::CutWith(reason.to_string()));
                if reason == Reason::None {
                    let cut = CutClient { silence, asked_s: self.keep_alive_s, keep_alive };
                    control::compare(stage, log, self.version, cut).await;
                }
            }
        } else if outcome == Outcome::Tolerated {
            log.fact(FATE, Fate::LeftAlone);
        }
        log.measure(LONGEST_GAP, micros(longest_gap));
        Ok(())
    }

    /// Whether the client was as punctual as its variant says, by the longest time between two of its packets.
    fn was_punctual(&self, longest_gap: Duration, keep_alive: Duration) -> bool {
        match self.share.is_in_time() {
            true => longest_gap <= keep_alive,
            false => longest_gap < keep_alive * 3 / 2 - keep_alive / MARGIN,
        }
    }

    async fn begin(
        &self,
        stage: &Stage,
        log: &mut AttemptLog<'_>,
    ) -> Result<(Peer, LastPacket, Duration), String> {
        let mut peer = Peer::open(stage, log, self.version).await?;
        let client_id = log.client_id().to_owned();
        let first = Connect {
            keep_alive_s: self.keep_alive_s,
            ..Client::honest_connect(&client_id, &stage.credentials)
        };
        let connected = connect(stage, &mut peer, &first).await?;
        log.accepted(connected.accepted.connack_at);
        Ok((peer, connected.connect, connected.keep_alive))
    }

    /// Sends PINGREQs until the time is over or the connection ends.
    async fn ping_on(
        &self,
        stage: &Stage,
        peer: &mut Peer,
        connected: LastPacket,
        keep_alive: Duration,
    ) -> Pinged {
        let mut pinged = Pinged {
            last: connected,
            longest_gap: Duration::ZERO,
            sent: 0,
            answered: 0,
            was_unanswered: false,
            reactions: Vec::new(),
            how: None,
        };
        let over = connected.at + self.lasting.max(keep_alive * 2);
        let every = self.share.of(keep_alive);
        while pinged.last.at < over {
            if pinged.listen_until(peer, pinged.last.at + every, &stage.clock, |_| false).await {
                return pinged;
            }
            let not_before = now();
            pinged.was_unanswered |= pinged.answered < pinged.sent;
            // The end of the connection is read next.
            let Ok(sent) = peer.client.ping().await else { break };
            pinged.sent += 1;
            pinged.longest_gap =
                pinged.longest_gap.max(sent.at.saturating_duration_since(pinged.last.not_before));
            pinged.last = LastPacket { not_before, at: sent.at };
        }
        let deadline = now() + stage.reaction_timeout;
        pinged.listen_until(peer, deadline, &stage.clock, |pinged| pinged.answered == pinged.sent).await;
        pinged
    }
}

impl Pinged {
    /// Takes packets until that time, or until it is `enough`. True when the connection has ended.
    async fn listen_until(
        &mut self,
        peer: &mut Peer,
        until: Instant,
        clock: &RunClock,
        enough: impl Fn(&Self) -> bool,
    ) -> bool {
        while !enough(self) {
            let Some(event) = peer.next_before(until).await else { return false };
            match event {
                Event::Pong => self.answered += 1,
                Event::Disconnect(code) => {
                    let at = peer.disconnected.map_or_else(now, |(_, at)| at);
                    self.react(ReactionKind::Disconnect, Some(code), clock.us(at));
                }
                Event::Ended { how, at } => {
                    self.react(end_of_stream(how).0, None, clock.us(at));
                    self.how = Some(how);
                    return true;
                }
                _passed_over => {}
            }
        }
        false
    }

    fn react(&mut self, kind: ReactionKind, code: Option<u8>, at_us: u64) {
        self.was_unanswered |= self.answered < self.sent;
        self.reactions.push(Reaction { kind, code, at_us, detail: None, connection: None });
    }
}
