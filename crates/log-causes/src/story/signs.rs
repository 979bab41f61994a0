//! Signs that only many lines show: duels, herds, clients that reconnect too fast, simultaneous Keep Alive lapses, a broker that stalls,
//! connections that always last equally long, and regular visitors. Memory is bounded: anything beyond the limits is ignored.

mod herds;
mod lifetimes;

use std::collections::{BTreeSet, VecDeque};

use foldhash::HashMap;

pub use herds::Herd;
use herds::Herds;
pub use lifetimes::EqualLifetimes;
use lifetimes::Lifetimes;

use super::incident::{Incident, host_of};
use crate::cause::{Cause, Effect};
use crate::matcher;
use crate::timestamp::LogTime;

/// Maximum number of watched ClientIDs and addresses.
const WATCHED_MAX: usize = 10_000;
/// A duel: at least this many take-overs of one ClientID, with at most this gap between two.
const DUEL_MIN: u64 = 3;
const DUEL_GAP_MS: i64 = 120_000;
/// Reported addresses of a duel.
const ADDRESSES_MAX: usize = 4;
/// A reconnect within this time is too fast; a client that does so this often is reported.
const TOO_FAST_MS: i64 = 1_000;
const TOO_FAST_MIN: u64 = 5;
/// Keep Alive lapses of this many clients within this time point to the network.
const TOGETHER_MS: i64 = 5_000;
const TOGETHER_MIN: usize = 5;
/// Clients of one such event that are counted individually.
const LAPSES_MAX: usize = 100;
/// A regular visitor: at least this many connections whose intervals vary by at most this share of their mean; fewer are enough where
/// they are as even as a timer, or where each was refused for a reason of its own.
const VISITS_MIN: u64 = 5;
const VISITS_MIN_EVEN: u64 = 3;
const SPREAD_MAX: f64 = 0.2;
const SPREAD_MAX_EVEN: f64 = 0.05;
/// A broker that logs nothing for this long, and then ends several clients in one second, has stalled.
const STALL_MIN_MS: i64 = 5_000;
/// What Mosquitto logs before it writes its database, in the thread that serves clients.
const SAVING: &[u8] = b"aving in-memory database";
/// Reported signs of each kind.
const SIGNS_MAX: usize = 20;

/// Clients with one ClientID that keep disconnecting each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duel {
    /// Number of its log, from 0.
    pub log: usize,
    /// The ClientID.
    pub client: String,
    /// Take-overs.
    pub take_overs: u64,
    /// Time of the first; absent when the log has no times.
    pub first: Option<LogTime>,
    /// Time of the last.
    pub last: Option<LogTime>,
    /// The hosts involved, at most four; one when both are on one machine or behind one NAT.
    pub hosts: Vec<String>,
}

impl Duel {
    /// Take-overs per minute; absent when the log has no times, or all are equal.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^53")]
    pub fn per_minute(&self) -> Option<f64> {
        let ms = self.last?.0 - self.first?.0;
        (ms > 0).then(|| (self.take_overs - 1) as f64 * 60_000.0 / ms as f64)
    }
}

/// A client that reconnects too fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flapping {
    /// Number of its log, from 0.
    pub log: usize,
    /// The ClientID.
    pub client: String,
    /// Number of reconnects within a second.
    pub times: u64,
}

/// Keep Alive lapses of several clients within seconds of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimultaneousLapses {
    /// Number of its log, from 0.
    pub log: usize,
    /// Time of the first.
    pub at: LogTime,
    /// Number of clients.
    pub clients: usize,
    /// Whether so many of them lapsed in one second. A fault of the network spreads lapses over the clients' Keep Alives, since each was
    /// heard last at another time: together they point to the broker, or to its clock.
    pub in_one_second: bool,
    /// How long the broker had logged nothing known before, in ms, where it was at least 5 s.
    pub silent_ms: Option<i64>,
    /// Whether the last line before the silence says that the broker saves its database.
    pub while_saving: bool,
}

impl SimultaneousLapses {
    /// Whether the broker stopped for a while.
    #[must_use]
    pub const fn is_stall(&self) -> bool {
        self.in_one_second && self.silent_ms.is_some()
    }
}

/// A host or client that comes at regular intervals, and is not accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Visits {
    /// Number of its log, from 0.
    pub log: usize,
    /// Why no connection comes of it. [`Cause::BeforeConnect`] and [`Cause::NoConnect`] are a health check.
    pub cause: Cause,
    /// The host; the ClientID where the log has no address.
    pub visitor: String,
    /// Connections.
    pub times: u64,
    /// Seconds between them, on average.
    pub every_s: f64,
}

/// Wills that the broker published at a take-over: subscribers hear of a loss although the client is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WillsAtTakeOver {
    /// Number of its log, from 0.
    pub log: usize,
    /// The ClientID.
    pub client: String,
    /// Messages sent to subscribers; each subscriber receives one per Will.
    pub messages: u64,
    /// Topic Name of the first.
    pub topic: String,
}

#[derive(Clone, Debug, Default)]
struct TakenOver {
    count: u64,
    first: Option<LogTime>,
    last: Option<LogTime>,
    hosts: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Gaps {
    count: u64,
    last_ms: i64,
    mean_ms: f64,
    squares: f64,
}

/// Signs that only many lines show.
#[derive(Debug, Default)]
pub struct Signs {
    /// Number of the current log.
    log: usize,
    /// Signs in earlier logs.
    before: Found,
    taken_over: HashMap<String, TakenOver>,
    ended_at: HashMap<String, LogTime>,
    too_fast: HashMap<String, u64>,
    visits: HashMap<(Cause, String), Gaps>,
    lifetimes: Lifetimes,
    /// The latest line, the silence before it, and whether the broker saved its database before that.
    last_line: Option<LogTime>,
    silence: Option<(LogTime, i64, bool)>,
    is_saving: bool,
    wills: HashMap<String, (u64, String)>,
    /// Keep Alive lapses of late: when, of which client, and after how many ms where it may not have been heard since it connected.
    lapses: VecDeque<(LogTime, String, Option<i64>)>,
    lapsed: Vec<SimultaneousLapses>,
    herds: Herds,
}

/// The signs found, at most 20 of each kind.
#[derive(Debug, Default)]
struct Found {
    duels: Vec<Duel>,
    herds: Vec<Herd>,
    flapping: Vec<Flapping>,
    lapsed: Vec<SimultaneousLapses>,
    visits: Vec<Visits>,
    lifetimes: Vec<EqualLifetimes>,
    wills: Vec<WillsAtTakeOver>,
}

impl Signs {
    /// Ends a log; the next one is another broker's or another day's.
    pub(super) fn end_log(&mut self) {
        let before = Found {
            duels: self.duels(),
            herds: self.herds(),
            flapping: self.flapping(),
            lapsed: self.lapsed_together(),
            visits: self.visits(),
            lifetimes: self.equal_lifetimes(),
            wills: self.wills_at_take_over(),
        };
        *self = Self { log: self.log + 1, before, ..Self::default() };
    }

    pub(super) fn broker_started(&mut self, time: Option<LogTime>) {
        self.herds.broker_started(time);
        // Nothing was to be logged before.
        self.last_line = None;
    }

    /// A line that is recognised, whatever it says.
    pub(super) fn line(&mut self, text: &[u8], effect: Effect, time: Option<LogTime>) {
        let Some(time) = time else { return };
        let silent_ms = self.last_line.map_or(0, |last| time.0 - last.0);
        if silent_ms >= STALL_MIN_MS {
            self.silence = Some((time, silent_ms, self.is_saving));
        }
        self.last_line = Some(time);
        self.is_saving = effect == Effect::Aside && memchr::memmem::find(text, SAVING).is_some();
    }

    /// A client connected. Where it is not wanted, it only matters for later lines.
    pub(super) fn connected(&mut self, found: &matcher::Found, time: Option<LogTime>, is_wanted: bool) {
        if let Some(client) = &found.client {
            if let (Some(ended), Some(now)) = (self.ended_at.remove(client), time)
                && (0..TOO_FAST_MS).contains(&(now.0 - ended.0))
                && is_wanted
                && (self.too_fast.len() < WATCHED_MAX || self.too_fast.contains_key(client))
            {
                *self.too_fast.entry(client.clone()).or_default() += 1;
            }
            if let Some(taken_over) = self.taken_over.get_mut(client) {
                add_host(taken_over, found.address.as_deref());
            }
        }
        if let Some(time) = time {
            self.herds.connected(time, is_wanted);
        }
    }

    /// A connection ended, whether it is reported or not.
    pub(super) fn ended(&mut self, incident: &Incident) {
        if incident.effect == Effect::Ended
            && incident.cause != Cause::TakeOver
            && let (Some(client), Some(time)) = (&incident.client, incident.time)
        {
            if self.ended_at.len() >= WATCHED_MAX {
                self.ended_at.clear();
            }
            self.ended_at.insert(client.clone(), time);
        }
    }

    /// A message was sent directly after a take-over: the Will of the older connection.
    pub(super) fn will_after_take_over(&mut self, client: Option<&str>, topic: Option<&str>) {
        let Some(client) = client else { return };
        if let Some((messages, _)) = self.wills.get_mut(client) {
            *messages += 1;
        } else if self.wills.len() < WATCHED_MAX {
            self.wills.insert(client.to_owned(), (1, topic.unwrap_or_default().to_owned()));
        }
    }

    /// An incident is reported.
    pub(super) fn incident(&mut self, incident: &Incident) {
        match incident.cause {
            Cause::TakeOver => self.take_over(incident),
            Cause::KeepAlive | Cause::KeepAliveEarly => self.lapse(incident),
            Cause::Lost | Cause::Network | Cause::PeerClosed => {
                self.lifetimes.add(incident.connected_for_ms);
            }
            _ if incident.effect == Effect::Refused => self.visit(incident),
            _ => {}
        }
    }

    fn take_over(&mut self, incident: &Incident) {
        let Some(client) = &incident.client else { return };
        if self.taken_over.len() >= WATCHED_MAX && !self.taken_over.contains_key(client) {
            return;
        }
        let taken_over = self.taken_over.entry(client.clone()).or_default();
        let gap = taken_over.last.zip(incident.time).map(|(last, now)| now.0 - last.0);
        if gap.is_some_and(|gap| gap > DUEL_GAP_MS) && taken_over.count < DUEL_MIN {
            *taken_over = TakenOver::default();
        }
        taken_over.count += 1;
        taken_over.first = taken_over.first.or(incident.time);
        taken_over.last = incident.time.or(taken_over.last);
        add_host(taken_over, incident.address.as_deref());
        add_host(taken_over, incident.newcomer.as_deref());
    }

    fn lapse(&mut self, incident: &Incident) {
        let (Some(time), Some(client)) = (incident.time, &incident.client) else { return };
        while self.lapses.front().is_some_and(|(first, ..)| time.0 - first.0 > TOGETHER_MS) {
            self.lapses.pop_front();
        }
        // This many are enough; further ones belong to the same event.
        if self.lapses.len() < LAPSES_MAX {
            self.lapses.push_back((time, client.clone(), unheard_ms(incident)));
        }
        let second = time.seconds();
        let of_second: Vec<_> = self.lapses.iter().filter(|(lapse, ..)| lapse.seconds() == second).collect();
        let count = |lapses: &mut dyn Iterator<Item = &(LogTime, String, Option<i64>)>| {
            lapses.map(|(_, client, _)| client).collect::<BTreeSet<&String>>().len()
        };
        let clients = count(&mut self.lapses.iter());
        let Some((at, ..)) = self.lapses.front().filter(|_| clients >= TOGETHER_MIN) else { return };
        // Clients that connected together and were not heard again lapse together, whatever the reason is.
        let lasted: Vec<i64> = of_second.iter().filter_map(|(.., lasted)| *lasted).collect();
        let connected_together = lasted.len() >= TOGETHER_MIN
            && lasted
                .iter()
                .max()
                .zip(lasted.iter().min())
                .is_some_and(|(most, least)| most - least <= TOGETHER_MS);
        let in_one_second = count(&mut of_second.into_iter()) >= TOGETHER_MIN && !connected_together;
        // Lines of the first second may come between the silence and the first lapse.
        let silence = self.silence.filter(|(until, ..)| (0..=1_000).contains(&(at.0 - until.0)));
        let (silent_ms, while_saving) =
            (silence.map(|(_, ms, _)| ms), silence.is_some_and(|(.., saving)| saving));
        let same = self.lapsed.iter_mut().find(|last| (0..=TOGETHER_MS).contains(&(at.0 - last.at.0)));
        if let Some(last) = same {
            last.clients = last.clients.max(clients);
            last.in_one_second |= in_one_second;
        } else if self.lapsed.len() < SIGNS_MAX {
            let lapses = SimultaneousLapses {
                log: self.log,
                at: *at,
                clients,
                in_one_second,
                silent_ms,
                while_saving,
            };
            self.lapsed.push(lapses);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "times of a log are far below 2^53 ms")]
    fn visit(&mut self, incident: &Incident) {
        let visitor = incident.address.as_deref().map(host_of).or(incident.client.as_deref());
        let (Some(time), Some(visitor)) = (incident.time, visitor) else { return };
        let key = (incident.cause, visitor.to_owned());
        if self.visits.len() >= WATCHED_MAX && !self.visits.contains_key(&key) {
            return;
        }
        let gaps = self.visits.entry(key).or_default();
        gaps.count += 1;
        if gaps.count > 1 {
            let gap = (time.0 - gaps.last_ms) as f64;
            let delta = gap - gaps.mean_ms;
            gaps.mean_ms += delta / (gaps.count - 1) as f64;
            gaps.squares += delta * (gap - gaps.mean_ms);
        }
        gaps.last_ms = time.0;
    }

    /// Clients with one ClientID that disconnected each other, most take-overs first.
    #[must_use]
    pub fn duels(&self) -> Vec<Duel> {
        let often = self.taken_over.iter().filter(|(_, taken_over)| taken_over.count >= DUEL_MIN);
        let here = often.map(|(client, taken_over)| Duel {
            log: self.log,
            client: client.clone(),
            take_overs: taken_over.count,
            first: taken_over.first,
            last: taken_over.last,
            hosts: taken_over.hosts.iter().cloned().collect(),
        });
        let duels = self.before.duels.iter().cloned().chain(here).collect();
        most_first(duels, |duel| (duel.take_overs, &duel.client))
    }

    /// Herds, largest first.
    #[must_use]
    pub fn herds(&self) -> Vec<Herd> {
        let here = self.herds.all().into_iter().map(|herd| Herd { log: self.log, ..herd });
        let mut herds: Vec<Herd> = self.before.herds.iter().copied().chain(here).collect();
        herds::sort(&mut herds);
        herds
    }

    /// Clients that reconnect too fast, most frequent first.
    #[must_use]
    pub fn flapping(&self) -> Vec<Flapping> {
        let often = self.too_fast.iter().filter(|(_, times)| **times >= TOO_FAST_MIN);
        let here =
            often.map(|(client, times)| Flapping { log: self.log, client: client.clone(), times: *times });
        let flapping = self.before.flapping.iter().cloned().chain(here).collect();
        most_first(flapping, |flapping| (flapping.times, &flapping.client))
    }

    /// Simultaneous Keep Alive lapses, in the order of the logs.
    #[must_use]
    pub fn lapsed_together(&self) -> Vec<SimultaneousLapses> {
        self.before.lapsed.iter().chain(&self.lapsed).copied().take(SIGNS_MAX).collect()
    }

    /// Clients whose Wills were published at their take-overs, most messages first.
    #[must_use]
    pub fn wills_at_take_over(&self) -> Vec<WillsAtTakeOver> {
        let here = self.wills.iter().map(|(client, (messages, topic))| WillsAtTakeOver {
            log: self.log,
            client: client.clone(),
            messages: *messages,
            topic: topic.clone(),
        });
        let wills = self.before.wills.iter().cloned().chain(here).collect();
        most_first(wills, |wills| (wills.messages, &wills.client))
    }

    /// Who comes at regular intervals and is not accepted, most frequent first.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn visits(&self) -> Vec<Visits> {
        let even = self.visits.iter().filter(|((cause, _), gaps)| {
            let spread = (gaps.squares / (gaps.count.max(2) - 1) as f64).sqrt();
            let is_check = matches!(cause, Cause::BeforeConnect | Cause::NoConnect);
            let is_timer = gaps.mean_ms > 0.0 && spread <= SPREAD_MAX_EVEN * gaps.mean_ms;
            let enough = if is_check && !is_timer { VISITS_MIN } else { VISITS_MIN_EVEN };
            gaps.count >= enough && gaps.mean_ms > 0.0 && spread <= SPREAD_MAX * gaps.mean_ms
        });
        let here = even.map(|((cause, visitor), gaps)| Visits {
            log: self.log,
            cause: *cause,
            visitor: visitor.clone(),
            times: gaps.count,
            every_s: gaps.mean_ms / 1_000.0,
        });
        let visits = self.before.visits.iter().cloned().chain(here).collect();
        most_first(visits, |visits| (visits.times, &visits.visitor))
    }

    /// Connections that ended again and again after the same time, in the order of the logs.
    #[must_use]
    pub fn equal_lifetimes(&self) -> Vec<EqualLifetimes> {
        let here = self.lifetimes.equal().map(|lifetimes| EqualLifetimes { log: self.log, ..lifetimes });
        self.before.lifetimes.iter().copied().chain(here).take(SIGNS_MAX).collect()
    }
}

/// The items with the highest counts, highest first, then by name.
fn most_first<T>(mut all: Vec<T>, by: impl Fn(&T) -> (u64, &String)) -> Vec<T> {
    all.sort_by(|one, other| {
        let ((one_count, one_name), (other_count, other_name)) = (by(one), by(other));
        other_count.cmp(&one_count).then_with(|| one_name.cmp(other_name))
    });
    all.truncate(SIGNS_MAX);
    all
}

/// How long a connection lasted, in ms, if that is about as long as a client that says nothing after its CONNECT has.
fn unheard_ms(incident: &Incident) -> Option<i64> {
    let longest_ms = incident.keep_alive_s.map_or(i64::MAX, |seconds| i64::from(seconds) * 2_000);
    incident.connected_for_ms.filter(|ms| *ms <= longest_ms)
}

fn add_host(taken_over: &mut TakenOver, address: Option<&str>) {
    if let Some(address) = address
        && taken_over.hosts.len() < ADDRESSES_MAX
    {
        taken_over.hosts.insert(host_of(address).to_owned());
    }
}
