//! One thread of a load: its clients, its share of the schedule, and the loop that waits for sockets and due times.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::thread::set_current_timer_slack;
use rustix::time::{ClockId, clock_gettime};
use ungraceful_mqtt::encode::pingreq;
use ungraceful_mqtt::{Decoded, Framed, Packet, PacketType, QoS, ReasonCode, frame};
use ungraceful_rig::clock::RunClock;
use ungraceful_rig::load::{LoadReports, LoadStage};

use crate::client::{Client, Role, Stage, unreadable};
use crate::figures::{Figures, Timed};
use crate::handshake::{connect, greeted, subscribe, subscribed};
use crate::pace::{Due, Pace, Schedule};
use crate::progress::{NOT_YET, Orders, Progress};
use crate::publisher::{Context, Made, PublisherEnd};
use crate::settings::{LoadSettings, Waiting};
use crate::socket::{Moved, Socket};
use crate::subscriber::{Reading, Receiver};

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 * 1024;
/// Reads of one socket before the others have their turn.
const READS_IN_A_ROW: u32 = 4;
/// Events that are taken at a time.
const EVENTS: usize = 256;
/// How late a thread runs this is its loop lag. Orders are seen at the latest then.
const TICK_US: u64 = 10_000;
const SECOND_US: u64 = 1_000_000;
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;
const DISCONNECT: [u8; 2] = [0xE0, 0];

/// A client that is to be made, and what it says.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) client: Client,
    pub(crate) client_id: String,
    /// What it subscribes to, and at which QoS; absent for what does not subscribe.
    pub(crate) subscribes: Option<(String, QoS)>,
}

/// What a thread needs.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) thread: u32,
    pub(crate) threads: u32,
    pub(crate) settings: Arc<LoadSettings>,
    pub(crate) stage: LoadStage,
    pub(crate) run: u8,
    pub(crate) started_ms: u64,
    pub(crate) planned: Vec<Planned>,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) orders: Arc<Orders>,
}

/// What a receiver came to: with the number of its first member, and whether every member stayed.
#[derive(Debug)]
pub(crate) struct ReceiverEnd {
    pub(crate) receiver: Receiver,
    /// Subscribers whose deliveries it takes.
    pub(crate) members: u32,
    /// Whether any member was ready at all.
    pub(crate) was_there: bool,
    /// Whether a member lost its connection.
    pub(crate) was_lost: bool,
}

/// What a thread came to.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) publishers: Vec<PublisherEnd>,
    pub(crate) receivers: Vec<ReceiverEnd>,
    pub(crate) figures: Figures,
    pub(crate) accepted: u64,
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) lost: BTreeMap<String, u64>,
    pub(crate) never_begun: u64,
    pub(crate) first_connect_us: Option<u64>,
    pub(crate) last_accepted_us: Option<u64>,
    pub(crate) window: u16,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) cpu_us: Option<u64>,
}

/// What is not of one client.
#[derive(Debug)]
struct Desk {
    epoll: OwnedFd,
    clock: RunClock,
    settings: Arc<LoadSettings>,
    stage: LoadStage,
    context: Context,
    reading: Reading,
    receivers: Vec<ReceiverEnd>,
    /// What clients say first, by their place; taken when it is said.
    greetings: Vec<Option<(Vec<u8>, Vec<u8>)>>,
    subscribe_qos: QoS,
    figures: Figures,
    ended: Ended,
    /// Clients that are being connected.
    under_way: u32,
    ready: u64,
    subscribers_ready: u64,
    failed: u64,
    /// Messages that wait, over all publishers.
    waiting: u64,
    acknowledgements: Vec<u8>,
    made: Vec<Made>,
    out: Vec<u8>,
}

struct Worker {
    job_thread: u32,
    threads: u32,
    clients: Vec<Client>,
    /// The places of the thread's publishers among its clients.
    publishers: Vec<usize>,
    desk: Desk,
    reports: LoadReports,
    progress: Arc<Progress>,
    orders: Arc<Orders>,
    /// The next client to connect.
    next_connect: usize,
    connects_began_us: u64,
    schedule: Option<Schedule>,
    next_due: Option<Due>,
    begin_us: u64,
    until_us: u64,
    is_closed: bool,
    is_over: bool,
    /// Publishers that can go on at once: a closed loop's, whose socket took a whole chunk.
    hot: VecDeque<usize>,
    /// Publishers for which something fell due.
    touched: Vec<usize>,
    next_tick_us: u64,
    next_second_us: u64,
    cpu_before_us: Option<u64>,
    buffer: Vec<u8>,
}

/// Runs a thread to its end.
///
/// # Errors
/// In words, what the machine does not give, or what of the load can't be written.
pub(crate) fn work(job: Job) -> Result<Ended, String> {
    // A best effort: without it, waits are up to 50 µs longer.
    let _slack = set_current_timer_slack(NonZeroU64::new(1));
    let mut worker = Worker::new(job)?;
    worker.run()?;
    Ok(worker.end())
}

fn thread_cpu_us() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * SECOND_US + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000
}

impl Worker {
    fn new(job: Job) -> Result<Self, String> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| format!("epoll: {error}"))?;
        let version = job.stage.version;
        let (mut clients, mut greetings) = (Vec::new(), Vec::new());
        for planned in job.planned {
            let greeting =
                connect(&planned.client_id, &job.stage.credentials, job.settings.keep_alive_s, version)?;
            let subscription = match &planned.subscribes {
                Some((filter, qos)) => subscribe(filter, *qos, version)?,
                None => Vec::new(),
            };
            clients.push(planned.client);
            greetings.push(Some((greeting, subscription)));
        }
        let is_publisher = |index: &usize| matches!(clients[*index].role, Role::Publisher(_));
        let publishers = (0..clients.len()).filter(is_publisher).collect();
        let receivers = job
            .receivers
            .into_iter()
            .map(|receiver| ReceiverEnd { receiver, members: 0, was_there: false, was_lost: false })
            .collect();
        let clock = job.stage.clock;
        let now_us = clock.now_us();
        let desk = Desk {
            epoll,
            clock,
            context: Context { run: job.run, version, started_ms: job.started_ms, counted_from_us: NOT_YET },
            reading: Reading {
                run: job.run,
                finder: job.settings.payload.finder(),
                counted_from_us: NOT_YET,
            },
            receivers,
            greetings,
            subscribe_qos: job.settings.qos.highest(),
            figures: Figures::default(),
            ended: Ended::default(),
            under_way: 0,
            ready: 0,
            subscribers_ready: 0,
            failed: 0,
            waiting: 0,
            acknowledgements: Vec::new(),
            made: Vec::new(),
            out: Vec::new(),
            settings: Arc::clone(&job.settings),
            stage: job.stage.clone(),
        };
        Ok(Self {
            job_thread: job.thread,
            threads: job.threads,
            clients,
            publishers,
            desk,
            reports: job.stage.reports,
            progress: job.progress,
            orders: job.orders,
            next_connect: 0,
            connects_began_us: now_us,
            schedule: None,
            next_due: None,
            begin_us: NOT_YET,
            until_us: NOT_YET,
            is_closed: matches!(job.settings.pace, Pace::Closed(_)),
            is_over: false,
            hot: VecDeque::new(),
            touched: Vec::new(),
            next_tick_us: now_us + TICK_US,
            next_second_us: now_us + SECOND_US,
            cpu_before_us: None,
            buffer: vec![0; READ_BYTES],
        })
    }

    fn run(&mut self) -> Result<(), String> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        while !self.orders.stop.load(Relaxed) {
            let now_us = self.desk.clock.now_us();
            self.connect_due(now_us);
            self.release_due(now_us)?;
            self.go_on_with_the_hot(now_us)?;
            if now_us >= self.next_tick_us {
                self.tick(now_us);
            }
            let timeout = self.timeout();
            events.clear();
            match epoll::wait(&self.desk.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(format!("epoll: {error}")),
            }
            for event in &events {
                let (flags, data) = (event.flags, event.data);
                let Ok(place) = usize::try_from(data.u64()) else { continue };
                self.event(place, flags)?;
            }
        }
        Ok(())
    }

    /// How long to wait for events.
    fn timeout(&self) -> Timespec {
        const NONE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !self.hot.is_empty() || self.desk.settings.waiting == Waiting::Spin {
            return NONE;
        }
        let now = ungraceful_wire::clock::now();
        let mut until = self.desk.clock.at(self.next_tick_us);
        if let Some(due) = self.next_due {
            until = until.min(self.desk.clock.at(self.begin_us + due.after_us));
        }
        if let Some(connect_us) = self.next_connect_us() {
            until = until.min(self.desk.clock.at(connect_us));
        }
        let left = until.saturating_duration_since(now);
        let tv_sec = i64::try_from(left.as_secs()).unwrap_or(0);
        Timespec { tv_sec, tv_nsec: i64::from(left.subsec_nanos()) }
    }

    // Connecting

    /// Clients that may be under way at the same time: this thread's part, at least one.
    fn under_way_max(&self) -> u32 {
        (self.desk.settings.connects_in_flight / self.threads).max(1)
    }

    /// When the next client is to be connected; absent when there is none, or no room for one.
    fn next_connect_us(&self) -> Option<u64> {
        if self.next_connect >= self.clients.len() || self.desk.under_way >= self.under_way_max() {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "clients are far below 2^53")]
        let after_us =
            self.next_connect as f64 * f64::from(self.threads) / self.desk.settings.connects_per_second * 1e6;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, below a day")]
        let after_us = after_us as u64;
        Some(self.connects_began_us + after_us)
    }

    fn connect_due(&mut self, now_us: u64) {
        while self.next_connect_us().is_some_and(|due_us| due_us <= now_us) {
            let place = self.next_connect;
            self.next_connect += 1;
            let started_us = self.desk.clock.now_us();
            self.desk.ended.first_connect_us.get_or_insert(started_us);
            let sources = &self.desk.stage.sources;
            let source = (!sources.is_empty()).then(|| sources[place % sources.len()]);
            let client = &mut self.clients[place];
            match Socket::connect(self.desk.stage.address, source) {
                Ok(socket) => {
                    let flags = EventFlags::IN | EventFlags::OUT;
                    if let Err(error) =
                        epoll::add(&self.desk.epoll, &socket, EventData::new_u64(place as u64), flags)
                    {
                        self.desk.refuse(client, format!("epoll: {error}"));
                        continue;
                    }
                    client.socket = Some(socket);
                    client.waits_for_room = true;
                    client.stage = Stage::Connecting { since_us: started_us };
                    self.desk.under_way += 1;
                }
                Err(why) => self.desk.refuse(client, why),
            }
        }
    }

    // Publishing

    /// Hands what is due to its publishers, and has them send it.
    fn release_due(&mut self, now_us: u64) -> Result<(), String> {
        if self.begin_us == NOT_YET && !self.begin(now_us)? {
            return Ok(());
        }
        if self.cpu_before_us.is_none() && now_us >= self.desk.context.counted_from_us {
            self.cpu_before_us = Some(thread_cpu_us());
        }
        while let Some(due) = self.next_due {
            let due_us = self.begin_us + due.after_us;
            if due_us > now_us {
                break;
            }
            self.offer(due, due_us, now_us);
            self.next_due = self.schedule.as_mut().and_then(Schedule::next);
        }
        let mut touched = std::mem::take(&mut self.touched);
        for place in touched.drain(..) {
            self.pump(place, now_us)?;
        }
        self.touched = touched;
        let nothing_is_due = self.next_due.is_none();
        if !self.is_over && now_us >= self.until_us && nothing_is_due {
            self.is_over = true;
            self.desk.ended.cpu_us =
                self.cpu_before_us.map(|before_us| thread_cpu_us().saturating_sub(before_us));
            self.tell_progress();
            self.progress.is_over.store(true, Release);
        }
        Ok(())
    }

    fn offer(&mut self, due: Due, due_us: u64, now_us: u64) {
        let place = self.publishers[due.publisher];
        let client = &mut self.clients[place];
        let Role::Publisher(publisher) = &mut client.role else { return };
        let counts = if client.stage == Stage::Ready {
            if publisher.waiting() == 0 {
                self.touched.push(place);
            }
            self.desk.waiting += 1;
            publisher.offer(due_us, &self.desk.context)
        } else {
            publisher.drop_due(due_us, &self.desk.context)
        };
        if counts {
            self.desk.figures.counters.load_offered += 1;
            self.desk.figures.record(Timed::Slip, now_us - due_us);
        }
    }

    /// Begins once it is told when. Returns whether it has begun.
    fn begin(&mut self, now_us: u64) -> Result<bool, String> {
        let begin_us = self.orders.begin_us.load(Acquire);
        if begin_us == NOT_YET || now_us < begin_us {
            return Ok(false);
        }
        let counted_from_us = self.orders.counted_from_us.load(Acquire);
        self.begin_us = begin_us;
        self.desk.context.counted_from_us = counted_from_us;
        self.desk.reading.counted_from_us = counted_from_us;
        let settings = Arc::clone(&self.desk.settings);
        self.until_us = counted_from_us + ungraceful_rig::clock::micros(settings.lasts());
        match &settings.pace {
            Pace::Nothing(_) => {}
            Pace::Closed(_) => self.hot.extend(self.publishers.iter().copied()),
            Pace::Open(stages, arrival) => {
                let own = self.publishers.iter().map(|place| self.clients[*place].number).collect();
                let warmup = std::time::Duration::from_micros(counted_from_us - begin_us);
                let mut schedule =
                    Schedule::new(stages, warmup, *arrival, own, settings.publishers, self.desk.stage.seed);
                self.next_due = schedule.next();
                self.schedule = Some(schedule);
            }
        }
        Ok(true)
    }

    fn go_on_with_the_hot(&mut self, now_us: u64) -> Result<(), String> {
        for _ in 0..self.hot.len() {
            let Some(place) = self.hot.pop_front() else { break };
            self.pump(place, now_us)?;
        }
        Ok(())
    }

    /// Has a publisher send what it may.
    fn pump(&mut self, place: usize, now_us: u64) -> Result<(), String> {
        let is_closed = self.is_closed;
        if is_closed && (now_us >= self.until_us || self.begin_us == NOT_YET) {
            return Ok(());
        }
        let (client, desk) = (&mut self.clients[place], &mut self.desk);
        if client.stage != Stage::Ready || !client.is_drained() {
            return Ok(());
        }
        let Role::Publisher(publisher) = &mut client.role else { return Ok(()) };
        let (mut out, mut made) = (std::mem::take(&mut desk.out), std::mem::take(&mut desk.made));
        out.clear();
        made.clear();
        let waiting_before = publisher.waiting();
        let written = publisher.make(now_us, is_closed, &desk.context, &mut out, &mut made);
        written.map_err(|error| format!("PUBLISH can't be written: {error}"))?;
        let mut end = None;
        let mut kept = made.len();
        if !out.is_empty() {
            let moved = client.write(&out, now_us);
            let taken = match moved {
                Moved::Bytes(taken) => taken,
                Moved::NotNow => 0,
                Moved::Ended(how) => {
                    end = Some(how);
                    0
                }
            };
            desk.note_sent(taken, now_us);
            if taken < out.len() {
                // A packet of which the beginning went out is completed when there is room; the others are due as before.
                let begun = made.partition_point(|made| made.end <= taken);
                let begun_at = if begun == 0 { 0 } else { made[begun - 1].end };
                kept = if taken > begun_at { begun + 1 } else { begun };
                if kept > begun {
                    client.keep_unsent(&out[taken..made[begun].end]);
                }
                if let Role::Publisher(publisher) = &mut client.role {
                    publisher.take_back(&made, kept, is_closed, now_us, &desk.context);
                }
                desk.wait_for_room(client, place);
            }
        }
        if let Role::Publisher(publisher) = &mut client.role {
            publisher.note_blocked();
            desk.waiting -= waiting_before - publisher.waiting();
            let is_full = kept == made.len() && out.len() >= crate::publisher::CHUNK;
            if is_full && (is_closed || publisher.waiting() > 0) && !self.hot.contains(&place) {
                self.hot.push_back(place);
            }
        }
        if now_us >= desk.context.counted_from_us {
            desk.figures.counters.load_sent += kept as u64;
            if is_closed {
                desk.figures.counters.load_offered += kept as u64;
            }
        }
        (desk.out, desk.made) = (out, made);
        if let Some(how) = end {
            desk.lose(client, how);
        }
        Ok(())
    }

    // Events

    fn event(&mut self, place: usize, flags: EventFlags) -> Result<(), String> {
        let (client, desk) = (&mut self.clients[place], &mut self.desk);
        match client.stage {
            Stage::Waiting | Stage::Gone => return Ok(()),
            Stage::Connecting { since_us } => {
                desk.established(client, place, since_us);
                return Ok(());
            }
            Stage::Greeting { .. } | Stage::Subscribing { .. } | Stage::Ready => {}
        }
        if flags.intersects(EventFlags::OUT) {
            let now_us = desk.clock.now_us();
            if let Some(how) = client.go_on(now_us) {
                desk.lose(client, how);
                return Ok(());
            }
            if client.is_drained() {
                desk.stop_waiting_for_room(client, place);
                self.pump(place, now_us)?;
            }
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP) {
            self.read(place)?;
        }
        Ok(())
    }

    fn read(&mut self, place: usize) -> Result<(), String> {
        let mut now_us = 0;
        for _ in 0..READS_IN_A_ROW {
            let (client, desk) = (&mut self.clients[place], &mut self.desk);
            let begun = client.unread.len();
            self.buffer[..begun].copy_from_slice(&client.unread);
            client.unread.clear();
            let Some(socket) = &mut client.socket else { return Ok(()) };
            match socket.read(&mut self.buffer[begun..]) {
                Moved::Bytes(read) => {
                    now_us = desk.clock.now_us();
                    if !matches!(client.role, Role::Idle) {
                        socket.acknowledge_at_once();
                    }
                    let all = begun + read;
                    if now_us >= desk.context.counted_from_us {
                        desk.ended.bytes_received += read as u64;
                    }
                    let mut at = 0;
                    loop {
                        match frame(&self.buffer[at..all]) {
                            Framed::Complete(whole) => {
                                let decoded = whole.decode(desk.context.version);
                                at += whole.len();
                                desk.packet(client, place, &decoded, now_us);
                                if client.stage == Stage::Gone {
                                    return Ok(());
                                }
                            }
                            Framed::Incomplete { missing } => {
                                client.unread.extend_from_slice(&self.buffer[at..all]);
                                let needed = all - at + missing;
                                if needed > self.buffer.len() {
                                    self.buffer.resize(needed, 0);
                                }
                                break;
                            }
                            Framed::Malformed(_) => {
                                desk.lose(client, &unreadable(None));
                                return Ok(());
                            }
                        }
                    }
                    desk.acknowledge(client, place, now_us);
                    if all < self.buffer.len() {
                        break;
                    }
                }
                Moved::NotNow => {
                    client.unread.extend_from_slice(&self.buffer[..begun]);
                    break;
                }
                Moved::Ended(how) => {
                    desk.lose(client, how);
                    return Ok(());
                }
            }
        }
        // Acknowledgements make room for what waits.
        if now_us > 0 && matches!(self.clients[place].role, Role::Publisher(_)) {
            self.pump(place, now_us)?;
        }
        Ok(())
    }

    // From time to time

    fn tick(&mut self, now_us: u64) {
        if self.begin_us != NOT_YET && self.next_tick_us >= self.desk.context.counted_from_us && !self.is_over
        {
            self.desk.figures.record(Timed::Lag, now_us - self.next_tick_us);
        }
        self.next_tick_us = now_us + TICK_US;
        if self.desk.under_way > 0 {
            self.give_up_the_silent(now_us);
        }
        if now_us >= self.next_second_us {
            self.next_second_us = now_us + SECOND_US;
            self.keep_alive(now_us);
            let interval = self.desk.figures.take();
            if let Err(interval) = self.reports.report(self.job_thread, interval) {
                self.desk.figures.keep(interval);
            }
        }
        self.tell_progress();
    }

    /// Connections whose time is over are given up.
    fn give_up_the_silent(&mut self, now_us: u64) {
        let within_us = ungraceful_rig::clock::micros(self.desk.stage.connect_timeout);
        for client in &mut self.clients[..self.next_connect] {
            let (since_us, waited_for) = match client.stage {
                Stage::Connecting { since_us } => (since_us, "TCP: no answer to SYN"),
                Stage::Greeting { established_us } => (established_us, "no CONNACK"),
                Stage::Subscribing { since_us } => (since_us, "no SUBACK"),
                Stage::Waiting | Stage::Ready | Stage::Gone => continue,
            };
            if now_us.saturating_sub(since_us) >= within_us {
                let why = format!("{waited_for} within {:?}", self.desk.stage.connect_timeout);
                self.desk.refuse(client, why);
            }
        }
    }

    fn keep_alive(&mut self, now_us: u64) {
        let mut ping = Vec::new();
        pingreq(&mut ping);
        for place in 0..self.next_connect {
            let client = &mut self.clients[place];
            if client.stage != Stage::Ready || client.keep_alive_us == 0 {
                continue;
            }
            if client.ping_sent_us.is_some_and(|sent_us| now_us - sent_us > client.keep_alive_us) {
                self.desk.lose(client, "no PINGRESP within Keep Alive");
                continue;
            }
            // Half of it: what is due in the next second as well must not come too late.
            if client.ping_sent_us.is_none() && now_us - client.last_sent_us >= client.keep_alive_us / 2 {
                client.ping_sent_us = Some(now_us);
                let end = client.send(&ping, now_us);
                self.desk.sent(client, place, end);
            }
        }
    }

    fn tell_progress(&self) {
        let (progress, desk) = (&self.progress, &self.desk);
        let publishers = || {
            self.publishers.iter().filter_map(|place| match &self.clients[*place].role {
                Role::Publisher(publisher) => Some(publisher),
                _ => None,
            })
        };
        progress.ready.store(desk.ready, Relaxed);
        progress.subscribers_ready.store(desk.subscribers_ready, Relaxed);
        progress.failed.store(desk.failed, Relaxed);
        progress.sent.store(publishers().map(|publisher| publisher.sent()).sum(), Relaxed);
        progress.refused.store(publishers().map(|publisher| publisher.refused()).sum(), Relaxed);
        let unacknowledged = publishers().map(|publisher| u64::from(publisher.in_flight())).sum();
        progress.unacknowledged.store(unacknowledged, Relaxed);
        progress.waiting.store(desk.waiting, Relaxed);
        progress.delivered.store(desk.receivers.iter().map(|end| end.receiver.delivered).sum(), Relaxed);
        let is_settled = self.next_connect == self.clients.len() && desk.under_way == 0;
        progress.is_settled.store(is_settled, Release);
    }

    /// Leaves with DISCONNECT, and tells what came of everything.
    fn end(mut self) -> Ended {
        let now_us = self.desk.clock.now_us();
        let never_begun = self.clients.len() - self.next_connect;
        let mut ended = std::mem::take(&mut self.desk.ended);
        if ended.cpu_us.is_none() {
            ended.cpu_us = self.cpu_before_us.map(|before_us| thread_cpu_us().saturating_sub(before_us));
        }
        for client in &mut self.clients {
            if client.stage == Stage::Ready {
                // What it is answered is nobody's concern any more.
                let _left = client.write(&DISCONNECT, now_us);
            } else if !matches!(client.stage, Stage::Waiting | Stage::Gone) {
                *ended.refused.entry("not accepted when the run was over".to_owned()).or_default() += 1;
            }
            client.socket = None;
        }
        for client in self.clients {
            if let Role::Publisher(publisher) = client.role {
                ended.window = ended.window.max(publisher.window());
                ended.publishers.push(publisher.end());
            }
        }
        let last = self.desk.figures.take();
        self.reports.report_last(self.job_thread, last);
        Ended {
            receivers: self.desk.receivers,
            figures: self.desk.figures,
            never_begun: never_begun as u64,
            ..ended
        }
    }
}

impl Desk {
    /// The TCP handshake has ended: well or not.
    fn established(&mut self, client: &mut Client, place: usize, since_us: u64) {
        let established_us = self.clock.now_us();
        if let Some(Err(why)) = client.socket.as_ref().map(Socket::connected) {
            self.refuse(client, why);
            return;
        }
        self.figures.record(Timed::TcpConnect, established_us.saturating_sub(since_us));
        client.stage = Stage::Greeting { established_us };
        let greeting =
            self.greetings[place].as_ref().map(|(greeting, _)| greeting.clone()).unwrap_or_default();
        let end = client.send(&greeting, established_us);
        client.waits_for_room = true;
        if client.is_drained() {
            self.stop_waiting_for_room(client, place);
        }
        self.sent(client, place, end);
    }

    /// What came of handing something over.
    fn sent(&mut self, client: &mut Client, place: usize, end: Option<&'static str>) {
        if let Some(how) = end {
            self.lose(client, how);
        } else if !client.is_drained() {
            self.wait_for_room(client, place);
        }
    }

    fn note_sent(&mut self, bytes: usize, now_us: u64) {
        if now_us >= self.context.counted_from_us {
            self.ended.bytes_sent += bytes as u64;
        }
    }

    fn wait_for_room(&self, client: &mut Client, place: usize) {
        self.watch(client, place, true);
    }

    fn stop_waiting_for_room(&self, client: &mut Client, place: usize) {
        self.watch(client, place, false);
    }

    fn watch(&self, client: &mut Client, place: usize, for_room: bool) {
        if client.waits_for_room == for_room {
            return;
        }
        client.waits_for_room = for_room;
        let flags = if for_room { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        if let Some(socket) = &client.socket {
            // It can fail only for a socket that is not watched, and each of ours is.
            let _watched = epoll::modify(&self.epoll, socket, EventData::new_u64(place as u64), flags);
        }
    }

    /// A client that was not let in.
    fn refuse(&mut self, client: &mut Client, why: String) {
        if !matches!(client.stage, Stage::Waiting) {
            self.under_way -= 1;
        }
        self.failed += 1;
        *self.ended.refused.entry(why).or_default() += 1;
        self.let_go(client);
    }

    /// A client whose connection ended, wherever it was.
    fn lose(&mut self, client: &mut Client, how: &str) {
        match client.stage {
            Stage::Waiting | Stage::Gone => {}
            Stage::Ready => {
                self.failed += 1;
                self.ready -= 1;
                if let Role::Subscriber { receiver } = client.role {
                    self.receivers[receiver].was_lost = true;
                    self.subscribers_ready -= 1;
                }
                *self.ended.lost.entry(how.to_owned()).or_default() += 1;
                self.let_go(client);
            }
            Stage::Connecting { .. } => self.refuse(client, how.to_owned()),
            Stage::Greeting { .. } => self.refuse(client, format!("{how} in place of CONNACK")),
            Stage::Subscribing { .. } => self.refuse(client, format!("{how} in place of SUBACK")),
        }
    }

    fn let_go(&mut self, client: &mut Client) {
        if let Role::Publisher(publisher) = &client.role {
            self.waiting -= publisher.waiting();
        }
        client.let_go();
    }

    fn is_ready(&mut self, client: &mut Client, now_us: u64) {
        client.stage = Stage::Ready;
        self.under_way -= 1;
        self.ready += 1;
        self.ended.accepted += 1;
        self.ended.last_accepted_us = Some(now_us);
        if let Role::Subscriber { receiver } = client.role {
            self.receivers[receiver].was_there = true;
            self.receivers[receiver].members += 1;
            self.subscribers_ready += 1;
        }
    }

    fn packet(&mut self, client: &mut Client, place: usize, decoded: &Decoded<'_>, now_us: u64) {
        match (&decoded.packet, &mut client.role) {
            (Packet::Publish(publish), Role::Subscriber { receiver }) if client.stage == Stage::Ready => {
                if let Some(identifier) = publish.packet_identifier {
                    let answer = if publish.qos == QoS::ExactlyOnce { PUBREC } else { PUBACK };
                    self.answer(answer, identifier);
                }
                let Self { receivers, figures, reading, .. } = self;
                receivers[*receiver].receiver.receive(publish.payload, now_us, reading, figures);
            }
            (Packet::PubAck(ack) | Packet::PubComp(ack), Role::Publisher(publisher)) => {
                let settled = publisher.acknowledged(ack.packet_identifier, ack.reason_code.0, &self.context);
                if let Some(settled) = settled {
                    self.figures.counters.load_acknowledged += 1;
                    self.figures.record(Timed::PublishResponse, now_us.saturating_sub(settled.due_us));
                    self.figures.record(Timed::PublishService, now_us.saturating_sub(settled.sent_us));
                }
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

    /// The shortest form of an acknowledgement without an error, the same in both versions.
    fn answer(&mut self, first_byte: u8, identifier: u16) {
        let [high, low] = identifier.to_be_bytes();
        self.acknowledgements.extend_from_slice(&[first_byte, 2, high, low]);
    }

    fn rare_packet(&mut self, client: &mut Client, place: usize, decoded: &Decoded<'_>, now_us: u64) {
        let version = self.context.version;
        match (&decoded.packet, client.stage) {
            (Packet::ConnAck(connack), Stage::Greeting { established_us }) => {
                if let Err(why) = greeted(client, connack, &self.settings, version) {
                    self.refuse(client, why);
                    return;
                }
                self.figures.record(Timed::Connack, now_us.saturating_sub(established_us));
                let greeting = self.greetings[place].take();
                if matches!(client.role, Role::Subscriber { .. }) {
                    let since_us = self.clock.now_us();
                    client.stage = Stage::Subscribing { since_us };
                    let end =
                        client.send(&greeting.map(|(_, subscribe)| subscribe).unwrap_or_default(), since_us);
                    self.sent(client, place, end);
                } else {
                    self.is_ready(client, now_us);
                }
            }
            (Packet::SubAck(suback), Stage::Subscribing { since_us }) => {
                match subscribed(suback, self.subscribe_qos, version) {
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
            // Retained messages that come before the SUBACK, and what is no business of this client.
            _ => {}
        }
    }

    /// Hands over the acknowledgements of what was read.
    fn acknowledge(&mut self, client: &mut Client, place: usize, now_us: u64) {
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
