//! The broker without its sockets: connections, sessions, retained messages, and which packet goes where.
//!
//! One file for each task; everything runs on one thread, and nothing waits but a stall.

mod acknowledging;
mod answer;
mod awaiting_connect;
mod connecting;
mod connection;
mod credentials;
mod delivering;
mod ending;
mod greeting;
mod malformed;
mod readmitting;
mod receiving;
mod second_connect;
mod session;
mod subscribers;
mod subscribing;
mod taking_over;
mod window;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use ungraceful_mqtt::{Frame, Framed, PacketIdentifier, PacketType, ReasonCode, frame};

use crate::link::Link;
use crate::log::{Event, SharedLog};
use crate::message::{Delivery, Message};
use crate::policy::{Greeting, KeepAlive, Script, SlowReader, Stall};
use crate::timers::Timers;
use connection::{Connection, Phase};
use credentials::Users;
use readmitting::Returners;
use session::{Session, WaitingWill};
use subscribers::Subscribers;

/// A connection's number, in the order of acceptance from 0.
pub(crate) type ConnectionId = u64;

/// How many bytes from a Client are buffered while its CONNACK is held back.
const BACKLOG_MAX: usize = 1 << 20;

/// What the server wants done later.
pub(crate) enum Later {
    /// Hands over the delayed deliveries for this ClientID that are due.
    DeliverDelayed(String),
    /// Delivers the retained messages of a subscription to this ClientID.
    DeliverRetained(String, Vec<Delivery>),
    /// Hands over what a swap holds back for this ClientID, if it still does.
    ReleaseHeld(String, u64),
    /// Ends the session of this ClientID, unless it was used since.
    ExpireSession(String, u64),
    /// Publishes the Will that waits in the session of this ClientID, if it is still this connection's.
    PublishWill(String, ConnectionId),
    /// Publishes this Will of this ClientID, whatever has happened to its session.
    PublishWillAnyway(String, WaitingWill),
    /// Ends a connection that has not sent a complete CONNECT. With a number of reads: only if no bytes have arrived since.
    GiveUpOnConnect(ConnectionId, Option<u64>),
    /// Closes the connection, which is muted until then, with this Reason Code.
    CloseLate(ConnectionId, ReasonCode),
    /// Closes the connection, which is served until then, with this Reason Code.
    CloseServed(ConnectionId, ReasonCode),
    /// Closes the connection, which is served until then, by FIN alone.
    HangUpServed(ConnectionId),
    /// Handles the end of the connection that this one took over a second time.
    EndAgain(ConnectionId),
    /// Sends the CONNACK that was held back.
    Admit(ConnectionId),
    /// Acts on the expiry of the token with this number on this connection.
    Expire(ConnectionId, u32),
    /// Acknowledges a QoS 1 message, with this Reason Code.
    Acknowledge(ConnectionId, PacketIdentifier, ReasonCode),
    /// Acknowledges this QoS 1 message, if it still waits for the Client's next one.
    AcknowledgeHeld(ConnectionId, PacketIdentifier),
}

/// How often a ClientID has connected, for the greeting that bans it.
#[derive(Default)]
struct Ban {
    connections: u32,
    /// Until when it is refused; absent while it is not.
    until: Option<Instant>,
}

/// The broker without its sockets.
#[derive(Default)]
pub(crate) struct Server {
    script: Script,
    log: SharedLog,
    connections: HashMap<ConnectionId, Connection>,
    /// By ClientID, in a fixed order, so that messages always reach their subscribers in the same order.
    sessions: BTreeMap<String, Session>,
    subscribers: Subscribers,
    retained: BTreeMap<String, Rc<Message>>,
    bans: HashMap<String, Ban>,
    users: Users,
    returners: Returners,
    timers: Rc<Timers<Later>>,
    crash: Rc<Notify>,
    accepted: u64,
    session_uses: u64,
    /// The CONNECTs or PUBLISHes on all connections, for the policy that stalls at one of them.
    counted: u32,
    /// The Clients that were accepted in this second.
    greeted: readmitting::Window,
    /// When the last second CONNECT arrived.
    attacked: Option<Instant>,
    /// Whether everything is being reset.
    is_down: bool,
}

impl Server {
    pub(crate) fn new(script: Script, log: SharedLog) -> Self {
        Self { script, log, ..Self::default() }
    }

    /// Notified when the whole broker goes down.
    pub(crate) fn crash(&self) -> Rc<Notify> {
        Rc::clone(&self.crash)
    }

    /// What is to be done later; [`Self::run_due`] does it.
    pub(crate) fn timers(&self) -> Rc<Timers<Later>> {
        Rc::clone(&self.timers)
    }

    /// Does everything that is due.
    pub(crate) fn run_due(&mut self) {
        while let Some(later) = self.timers.take_due() {
            match later {
                Later::DeliverDelayed(client_id) => self.deliver_delayed(&client_id),
                Later::DeliverRetained(client_id, deliveries) => self.deliver_all(&client_id, deliveries),
                Later::ReleaseHeld(client_id, number) => self.release_held(&client_id, number),
                Later::ExpireSession(client_id, use_number) => self.expire_session(&client_id, use_number),
                Later::PublishWill(client_id, id) => self.publish_late_will(&client_id, id),
                Later::PublishWillAnyway(client_id, will) => self.publish_will(&client_id, &will),
                Later::GiveUpOnConnect(id, reads) => self.give_up_on_connect(id, reads),
                Later::CloseLate(id, code) => self.close_late(id, code),
                Later::CloseServed(id, code) if self.phase(id) == Phase::Serving => self.disconnect(id, code),
                Later::HangUpServed(id) if self.phase(id) == Phase::Serving => self.hang_up(id),
                Later::CloseServed(..) | Later::HangUpServed(_) => {}
                Later::EndAgain(newcomer) => self.end_again(newcomer),
                Later::Expire(id, number) => self.expire(id, number),
                Later::Admit(id) => self.admit_late(id),
                Later::Acknowledge(id, identifier, code) => self.acknowledge_once(id, identifier, code),
                Later::AcknowledgeHeld(id, identifier) => self.acknowledge_held(id, Some(identifier)),
            }
        }
    }

    /// Registers a new connection.
    pub(crate) fn accept(&mut self, link: Link) -> ConnectionId {
        let id = self.accepted;
        self.accepted += 1;
        self.connections.insert(id, Connection::new(link));
        self.log.note(Event::Accepted { connection: id });
        self.await_connect(id);
        id
    }

    /// Forgets a connection that is closed.
    pub(crate) fn forget(&mut self, id: ConnectionId) {
        self.lost(id);
        self.connections.remove(&id);
    }

    /// Resets every connection there is.
    pub(crate) fn reset_all(&mut self) {
        self.is_down = true;
        for connection in self.connections.values() {
            connection.link.reset();
        }
    }

    /// How long the Client may be silent before [`Self::keep_alive_elapsed`] is called; absent when for ever.
    pub(crate) fn silence_max(&self, id: ConnectionId) -> Option<Duration> {
        let connection = self.connections.get(&id)?;
        if !matches!(connection.phase, Phase::Waiting | Phase::Serving) {
            return None;
        }
        let limit = self.silence_limit(connection)?;
        Some(match self.script.keep_alive {
            KeepAlive::SweepEvery(every) => {
                let since_sweep = connection.accepted_at.elapsed().as_nanos() % every.as_nanos();
                every - Duration::from_nanos(u64::try_from(since_sweep).unwrap_or_default())
            }
            _ => limit,
        })
    }

    /// How long the Client may be silent: one and a half times its Keep Alive (`MQTT 5.0 [MQTT-3.1.2-22]`), or what the
    /// policy allows; absent when for ever.
    fn silence_limit(&self, connection: &Connection) -> Option<Duration> {
        let percent = match self.script.keep_alive {
            KeepAlive::Close | KeepAlive::SweepEvery(_) | KeepAlive::RefreshedByDownlink => 150,
            KeepAlive::CloseAtPercent(percent) | KeepAlive::FinAtPercent(percent) => percent.get(),
            KeepAlive::Never => return None,
        };
        let keep_alive = Duration::from_secs(connection.keep_alive_s.into());
        (!keep_alive.is_zero()).then(|| keep_alive * percent / 100)
    }

    /// Whether the Client has been silent for as long as its Keep Alive allows.
    fn is_silent(&self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get(&id) else { return false };
        let limit = self.silence_limit(connection);
        limit.is_some_and(|limit| connection.last_read_at.elapsed() >= limit)
    }

    /// Acts on a Client that has been silent for longer than that.
    pub(crate) fn keep_alive_elapsed(&mut self, id: ConnectionId) {
        if self.phase(id) != Phase::Serving {
            return;
        }
        match self.script.keep_alive {
            KeepAlive::RefreshedByDownlink if self.was_sent_to_lately(id) => {}
            KeepAlive::SweepEvery(_) if !self.is_silent(id) => {}
            KeepAlive::FinAtPercent(_) => self.hang_up(id),
            _ => self.disconnect(id, ReasonCode::KEEP_ALIVE_TIMEOUT),
        }
    }

    /// Whether anything was sent to the Client within the time for which it may be silent.
    fn was_sent_to_lately(&self, id: ConnectionId) -> bool {
        let last_sent = self.connections.get(&id).and_then(|connection| connection.link.last_sent());
        self.silence_max(id).zip(last_sent).is_some_and(|(limit, last_sent)| last_sent.elapsed() < limit)
    }

    /// How long the socket of a Client may accept nothing while something waits for it.
    pub(crate) const fn stall_max(&self) -> Option<Duration> {
        match self.script.slow_reader {
            SlowReader::Buffer => None,
            SlowReader::CutAfter(time) => Some(time),
        }
    }

    /// Acts on all complete packets at the start of `bytes`. Returns how many bytes are used up.
    pub(crate) fn take_in(&mut self, id: ConnectionId, bytes: &[u8]) -> usize {
        self.note_read(id);
        let Some(connection) = self.connections.get_mut(&id).filter(|it| !it.backlog.is_empty()) else {
            return self.take_in_some(id, bytes);
        };
        let mut all = std::mem::take(&mut connection.backlog);
        all.extend_from_slice(bytes);
        let used = self.take_in_some(id, &all);
        self.keep_back(id, &all[used..]);
        bytes.len()
    }

    /// Keeps bytes for the next call of [`Self::take_in`].
    fn keep_back(&mut self, id: ConnectionId, rest: &[u8]) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.backlog.extend_from_slice(rest);
            if connection.phase == Phase::Waiting && connection.backlog.len() > BACKLOG_MAX {
                self.reset(id);
            }
        }
    }

    fn take_in_some(&mut self, id: ConnectionId, bytes: &[u8]) -> usize {
        if self.phase(id) == Phase::AwaitingConnect && self.script.greeting == Greeting::Http {
            self.answer_as_http(id);
        }
        let mut used = 0;
        while matches!(self.phase(id), Phase::AwaitingConnect | Phase::Serving) {
            match frame(&bytes[used..]) {
                Framed::Complete(found) => {
                    used += found.len();
                    self.receive(id, found);
                }
                Framed::Incomplete { .. } => return used,
                Framed::Malformed(_) => {
                    self.lose_track(id);
                    return bytes.len();
                }
            }
        }
        if used < bytes.len() {
            self.receive_after_disconnect(id);
        }
        if self.phase(id) == Phase::Waiting {
            self.keep_back(id, &bytes[used..]);
        }
        // The rest is ignored.
        bytes.len()
    }

    fn receive(&mut self, id: ConnectionId, found: Frame<'_>) {
        self.stall_before(found.packet_type());
        match self.connections.get(&id) {
            Some(connection) if connection.phase == Phase::AwaitingConnect => self.greet(id, found),
            Some(connection) => self.receive_packet(id, found, connection.version),
            None => {}
        }
    }

    fn stall_before(&mut self, packet_type: Option<PacketType>) {
        let ((Some(PacketType::Connect), Stall::AtConnect(number, time))
        | (Some(PacketType::Publish), Stall::AtPublish(number, time))) = (packet_type, self.script.stall)
        else {
            return;
        };
        self.counted = self.counted.saturating_add(1);
        if self.counted == number.get() {
            // The whole broker runs on this thread.
            std::thread::sleep(time);
        }
    }

    fn phase(&self, id: ConnectionId) -> Phase {
        self.connections.get(&id).map_or(Phase::Ended, |connection| connection.phase)
    }
}
