//! A thread's state that belongs to no single client: which clients are ready or lost, and what each packet means.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::epoll::{self, EventData, EventFlags};
use ungraceful_mqtt::{Decoded, Packet, PacketType, ProtocolVersion, QoS, ReasonCode};
use ungraceful_rig::measure::clock::RunClock;
use ungraceful_rig::run::load::LoadStage;
use ungraceful_wire::{departed, watch_departures};

use super::{Ended, ReceiverEnd};
use crate::client::{Client, Ended as EndedBy, Role, Stage, unreadable};
use crate::figures::{Figures, Timed};
use crate::greeting::Greeting;
use crate::handshake::{check_connack, check_suback};
use crate::publisher::{Acknowledged, Context, Made};
use crate::settings::LoadSettings;
use crate::socket::Socket;
use crate::subscriber::Reading;

const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;
/// How often a thread has the kernel stamp a departing write.
const DEPARTURES_EVERY_US: u64 = 10_000;

#[derive(Debug)]
pub(super) struct ThreadState {
    pub(super) epoll: OwnedFd,
    pub(super) clock: RunClock,
    pub(super) settings: Arc<LoadSettings>,
    pub(super) stage: LoadStage,
    pub(super) context: Context,
    pub(super) reading: Reading,
    pub(super) receivers: Vec<ReceiverEnd>,
    /// What the clients that are connecting send first, by their place.
    pub(super) greetings: Vec<Option<Box<Greeting>>>,
    pub(super) subscribe_qos: QoS,
    /// Whether messages are sent one by one as they fall due, so that it is known which of them an acknowledgement
    /// follows.
    pub(super) is_open_loop: bool,
    pub(super) packet_bytes_max: usize,
    pub(super) figures: Figures,
    pub(super) ended: Ended,
    /// Clients that are connecting.
    pub(super) under_way: u32,
    pub(super) ready: u64,
    pub(super) subscribers_ready: u64,
    pub(super) failed: u64,
    /// Messages that wait, over all publishers.
    pub(super) waiting: u64,
    /// When the kernel is asked next when a write left.
    pub(super) watches_from_us: u64,
    /// No client has to send PINGREQ before that.
    pub(super) next_keep_alive_us: u64,
    pub(super) acknowledgements: Vec<u8>,
    pub(super) made: Vec<Made>,
    pub(super) out: Vec<u8>,
}

impl ThreadState {
    /// The TCP handshake has ended, successfully or not.
    pub(super) fn established(
        &mut self,
        client: &mut Client,
        place: usize,
        flags: EventFlags,
        since_us: u64,
    ) {
        let established_us = self.clock.now_us();
        let may_have_failed = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        let failed = client.socket.as_ref().filter(|_| may_have_failed).map(Socket::connected);
        if let Some(Err(why)) = failed {
            self.refuse(client, why);
            return;
        }
        self.figures.record(Timed::TcpConnect, established_us.saturating_sub(since_us));
        client.stage = Stage::Handshaking { established_us };
        self.shake_hands(client, place, established_us);
    }

    /// Goes on with the handshakes over TCP, if there are any, and then sends CONNECT.
    pub(super) fn shake_hands(&mut self, client: &mut Client, place: usize, established_us: u64) {
        let Some(socket) = &mut client.socket else { return };
        match socket.shake_hands() {
            Ok(true) => {}
            Ok(false) => {
                let for_room = !socket.is_flushed();
                self.watch(client, place, for_room);
                return;
            }
            Err(why) => {
                self.refuse(client, why);
                return;
            }
        }
        let since_us = if socket.is_layered() {
            let now_us = self.clock.now_us();
            self.figures.record(Timed::Handshake, now_us.saturating_sub(established_us));
            now_us
        } else {
            established_us
        };
        client.stage = Stage::Greeting { since_us };
        let greeting = self.greetings[place].as_mut();
        let greeting = greeting.map(|greeting| std::mem::take(&mut greeting.connect)).unwrap_or_default();
        let end = client.send(&greeting, since_us);
        if client.is_drained() {
            self.stop_waiting_for_room(client, place);
        }
        self.sent(client, place, end);
    }

    /// Handles the result of a send.
    pub(super) fn sent(&mut self, client: &mut Client, place: usize, end: Option<EndedBy>) {
        if let Some(how) = end {
            self.lose(client, &how);
        } else if !client.is_drained() {
            self.wait_for_room(client, place);
        }
    }

    /// Has the kernel stamp what the client writes next, when it is time for that.
    pub(super) fn watches_the_next_write(&mut self, client: &Client, now_us: u64) -> bool {
        let is_counted = now_us >= self.context.counted_from_us;
        let Some(socket) = client.socket.as_ref().filter(|_| is_counted && now_us >= self.watches_from_us)
        else {
            return false;
        };
        self.watches_from_us = now_us + DEPARTURES_EVERY_US;
        watch_departures(socket);
        true
    }

    /// Records how long a write stamped at `sent_us` took to leave. A write that the socket did not take at once is
    /// left out: it waited for the broker.
    pub(super) fn note_departure(&mut self, client: &Client, is_whole: bool, sent_us: u64) {
        let left = client.socket.as_ref().and_then(|socket| departed(socket, self.clock.at(sent_us)));
        if let Some(left) = left.filter(|_| is_whole) {
            self.figures.record(Timed::Departure, self.clock.us(left).saturating_sub(sent_us));
        }
    }

    pub(super) fn note_sent(&mut self, bytes: usize, now_us: u64) {
        if now_us >= self.context.counted_from_us {
            self.ended.bytes_sent += bytes as u64;
        }
    }

    pub(super) fn wait_for_room(&self, client: &mut Client, place: usize) {
        self.watch(client, place, true);
    }

    pub(super) fn stop_waiting_for_room(&self, client: &mut Client, place: usize) {
        self.watch(client, place, false);
    }

    pub(super) fn watch(&self, client: &mut Client, place: usize, for_room: bool) {
        if client.waits_for_room == for_room {
            return;
        }
        client.waits_for_room = for_room;
        let flags = if for_room { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        if let Some(socket) = &client.socket {
            // Fails only for a socket that is not watched, and every connection's is.
            let _watched = epoll::modify(&self.epoll, socket, EventData::new_u64(place as u64), flags);
        }
    }

    /// A client was not admitted.
    pub(super) fn refuse(&mut self, client: &mut Client, why: String) {
        if !matches!(client.stage, Stage::Waiting) {
            self.under_way -= 1;
        }
        self.failed += 1;
        *self.ended.refused.entry(why).or_default() += 1;
        self.let_go(client);
    }

    /// A client's connection ended, wherever it was.
    pub(super) fn lose(&mut self, client: &mut Client, how: &str) {
        match client.stage {
            Stage::Waiting | Stage::Gone => {}
            Stage::Ready => {
                self.failed += 1;
                self.ready -= 1;
                if let Role::Subscriber { receiver } = client.role {
                    let end = &mut self.receivers[receiver];
                    end.was_lost = true;
                    // A group goes on with its other members.
                    if let Some(heard) = self.reading.heard.as_ref().filter(|_| end.members == 1) {
                        for (publisher, came) in end.receiver.deliveries() {
                            heard.leave(publisher, came.next());
                        }
                    }
                    self.subscribers_ready -= 1;
                }
                *self.ended.lost.entry(how.to_owned()).or_default() += 1;
                self.let_go(client);
            }
            Stage::Connecting { .. } | Stage::Handshaking { .. } => self.refuse(client, how.to_owned()),
            Stage::Greeting { .. } => self.refuse(client, format!("{how} in place of CONNACK")),
            Stage::Subscribing { .. } => self.refuse(client, format!("{how} in place of SUBACK")),
        }
    }

    /// Ends a client's connection because its broker sends a larger packet than is accepted.
    pub(super) fn lose_to_a_large_packet(&mut self, client: &mut Client) {
        let bytes = self.packet_bytes_max;
        let limit = match self.context.version {
            ProtocolVersion::V3_1_1 => "that we accept",
            ProtocolVersion::V5 => "of the Maximum Packet Size that we announced",
        };
        // Only subscribers to other programs' messages have the flag.
        let cure = self.settings.max_packet_size.map_or("", |_| " (raise --max-packet-size)");
        self.lose(client, &format!("a packet from the broker above the {bytes} bytes {limit}{cure}"));
    }

    pub(super) fn let_go(&mut self, client: &mut Client) {
        if let Role::Publisher(publisher) = &client.role {
            self.waiting -= publisher.waiting();
        }
        client.let_go();
        // They were for this client: no other may send them.
        self.acknowledgements.clear();
    }

    /// Takes note of when a client has to send something at the latest.
    pub(super) fn must_be_heard(&mut self, client: &Client) {
        if client.keep_alive_us > 0 {
            let by_us = client.last_sent_us + client.keep_alive_us / 2;
            self.next_keep_alive_us = self.next_keep_alive_us.min(by_us);
        }
    }

    pub(super) fn is_ready(&mut self, client: &mut Client, now_us: u64) {
        client.stage = Stage::Ready;
        self.must_be_heard(client);
        self.under_way -= 1;
        self.ready += 1;
        self.ended.accepted += 1;
        self.ended.last_accepted_us = Some(now_us);
        if let Role::Subscriber { receiver } = client.role {
            let end = &mut self.receivers[receiver];
            if let Some(heard) = self.reading.heard.as_ref().filter(|_| !end.was_there) {
                for (publisher, _) in end.receiver.deliveries() {
                    heard.join(publisher);
                }
            }
            end.was_there = true;
            end.members += 1;
            self.subscribers_ready += 1;
        }
    }

    pub(super) fn packet(&mut self, client: &mut Client, place: usize, decoded: &Decoded<'_>, now_us: u64) {
        match (&decoded.packet, &mut client.role) {
            // A broker may send what a filter matches, such as retained messages, before its SUBACK.
            (Packet::Publish(publish), Role::Subscriber { receiver })
                if matches!(client.stage, Stage::Ready | Stage::Subscribing { .. }) =>
            {
                if let Some(identifier) = publish.packet_identifier {
                    let answer = if publish.qos == QoS::ExactlyOnce { PUBREC } else { PUBACK };
                    self.answer(answer, identifier);
                }
                let Self { receivers, figures, reading, .. } = self;
                let receiver = &mut receivers[*receiver].receiver;
                receiver.receive(publish.payload, publish.retain, now_us, reading, figures);
            }
            (Packet::PubAck(ack) | Packet::PubComp(ack), Role::Publisher(publisher)) => {
                let settled = publisher.acknowledged(ack.packet_identifier, ack.reason_code.0, &self.context);
                self.note_settled(settled, now_us);
            }
            (Packet::PubRec(ack), Role::Publisher(publisher)) => {
                if publisher.received(ack.packet_identifier, ack.reason_code.0, &self.context) {
                    self.answer(PUBREL, ack.packet_identifier);
                }
            }
            (Packet::PubRel(ack), Role::Subscriber { .. }) => self.answer(PUBCOMP, ack.packet_identifier),
            (Packet::PingResp, _) => client.ping_sent_us = None,
            _ => self.rare_packet(client, place, decoded, now_us),
        }
    }

    /// Takes the acknowledgements at the beginning of `bytes`, as far as they have the shortest form, which is that of nearly all. Returns
    /// how many bytes they are.
    pub(super) fn take_acknowledgements(&mut self, client: &mut Client, bytes: &[u8], now_us: u64) -> usize {
        let Role::Publisher(publisher) = &mut client.role else { return 0 };
        let mut taken = 0;
        for packet in bytes.as_chunks().0 {
            let &[PUBACK | PUBCOMP, 2, high, low] = packet else { break };
            let settled = publisher.acknowledged(u16::from_be_bytes([high, low]), 0, &self.context);
            self.note_settled(settled, now_us);
            taken += packet.len();
        }
        taken
    }

    #[inline]
    fn note_settled(&mut self, settled: Option<Acknowledged>, now_us: u64) {
        let Some(settled) = settled else { return };
        self.figures.counters.load_acknowledged += 1;
        self.figures.record(Timed::PublishResponse, now_us.saturating_sub(settled.due_us));
        self.figures.record(Timed::PublishService, now_us.saturating_sub(settled.sent_us));
        if self.is_open_loop {
            self.ended.held_back.note(settled.sent_us, settled.next_sent_us, now_us);
        }
    }

    /// The shortest form of an acknowledgement without an error, the same in both versions.
    pub(super) fn answer(&mut self, first_byte: u8, identifier: u16) {
        let [high, low] = identifier.to_be_bytes();
        self.acknowledgements.extend_from_slice(&[first_byte, 2, high, low]);
    }

    pub(super) fn rare_packet(
        &mut self,
        client: &mut Client,
        place: usize,
        decoded: &Decoded<'_>,
        now_us: u64,
    ) {
        let version = self.context.version;
        match (&decoded.packet, client.stage) {
            (Packet::ConnAck(connack), Stage::Greeting { since_us: sent_us }) => {
                if let Err(why) = check_connack(client, connack, &self.settings, version) {
                    self.refuse(client, why);
                    return;
                }
                self.figures.record(Timed::Connack, now_us.saturating_sub(sent_us));
                let greeting = self.greetings[place].take();
                if matches!(client.role, Role::Subscriber { .. }) {
                    let since_us = self.clock.now_us();
                    client.stage = Stage::Subscribing { since_us };
                    let end = client
                        .send(&greeting.map(|greeting| greeting.subscribe).unwrap_or_default(), since_us);
                    self.sent(client, place, end);
                } else {
                    self.is_ready(client, now_us);
                }
            }
            (Packet::SubAck(suback), Stage::Subscribing { since_us }) => {
                match check_suback(suback, self.subscribe_qos, version) {
                    Ok(()) => {
                        self.figures.record(Timed::Suback, now_us.saturating_sub(since_us));
                        self.is_ready(client, now_us);
                    }
                    Err(why) => self.refuse(client, why),
                }
            }
            (Packet::Disconnect(disconnect), _) => {
                let code = disconnect.reason_code.0;
                let name = ReasonCode(code).name_in(PacketType::Disconnect);
                let name = name.map(|name| format!(" {name}")).unwrap_or_default();
                self.lose(client, &format!("DISCONNECT 0x{code:02X}{name}"));
            }
            (Packet::Unreadable { .. }, _) => self.lose(client, &unreadable(decoded.oddities.iter().next())),
            // Of no concern to this client.
            _ => {}
        }
    }

    /// Sends the acknowledgements of what was read.
    pub(super) fn acknowledge(&mut self, client: &mut Client, place: usize, now_us: u64) {
        if self.acknowledgements.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.acknowledgements);
        let end = client.send(&bytes, now_us);
        self.note_sent(bytes.len(), now_us);
        self.acknowledgements = bytes;
        self.acknowledgements.clear();
        self.sent(client, place, end);
    }
}
