//! One thread of a load: its clients, its share of the schedule, and the loop that waits for sockets and due times.

mod connecting;
mod events;
mod publishing;
mod thread_state;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::thread::set_current_timer_slack;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use ungraceful_mqtt::encode::pingreq;
use ungraceful_rig::run::load::{LoadReports, LoadStage};

use crate::client::{Client, Role, Stage};
use crate::figures::{Figures, Timed};
use crate::heard::Heard;
use crate::held::HeldBack;
use crate::pace::{Due, Pace, Schedule};
use crate::progress::{NOT_YET, Orders, Progress};
use crate::publisher::{Context, PublisherEnd};
use crate::settings::{LoadSettings, Waiting};
use crate::socket::Socket;
use crate::subscriber::{Reading, Receiver};
use thread_state::ThreadState;

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 * 1024;
/// Reads of one socket before the others have their turn.
const READS_IN_A_ROW: u32 = 4;
/// Events that are taken at a time.
const EVENTS: usize = 256;
/// How late a thread runs this is its loop lag. It also sees orders then, at the latest.
const TICK_US: u64 = 10_000;
/// Publishers of which less than half is acknowledged go on when nothing came for so many µs, or after so many at the latest.
const SHORT_QUIET_US: u64 = 100;
const SHORT_MAX_US: u64 = 10_000;
/// Marks a thread's bell among the places of its clients.
const BELL: u64 = u64::MAX;
/// One part in so many of a thread's time, at the most, goes into its progress: it grows with the number of clients.
const PROGRESS_SHARE: u64 = 100;
/// Progress is no older than that, whatever it costs: a run waits for messages as long as they come.
const PROGRESS_MAX_US: u64 = 250_000;
const SECOND_US: u64 = 1_000_000;
const DISCONNECT: [u8; 2] = [0xE0, 0];
/// How long a broker may take for what publishers of retained messages had sent.
pub(crate) const TAKEN_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) thread: u32,
    pub(crate) threads: u32,
    pub(crate) settings: Arc<LoadSettings>,
    pub(crate) stage: LoadStage,
    pub(crate) run: u8,
    pub(crate) started_ms: u64,
    pub(crate) clients: Vec<Client>,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) heard: Option<Arc<Heard>>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) orders: Arc<Orders>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReceiverEnd {
    pub(crate) receiver: Receiver,
    /// Subscribers whose deliveries it takes.
    pub(crate) members: u32,
    /// Whether any member was ready at all.
    pub(crate) was_there: bool,
    /// Whether a member lost its connection.
    pub(crate) was_lost: bool,
    /// Whether its user's rights may explain that it receives nothing of a publisher.
    pub(crate) may_lack_rights: bool,
}

/// The results of a thread.
#[derive(Debug, Default, Serialize, Deserialize)]
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
    /// When the last message that counts was sent.
    pub(crate) last_sent_us: Option<u64>,
    /// When the last message that counts came.
    pub(crate) last_delivered_us: Option<u64>,
    pub(crate) cpu_us: Option<u64>,
    pub(crate) held_back: HeldBack,
    /// Publishers of retained messages whose connection the broker had not read to its end.
    pub(crate) not_taken: u64,
}

struct Worker {
    job_thread: u32,
    threads: u32,
    clients: Vec<Client>,
    /// The places of the thread's publishers among its clients.
    publishers: Vec<usize>,
    thread_state: ThreadState,
    reports: LoadReports,
    progress: Arc<Progress>,
    orders: Arc<Orders>,
    next_connect: usize,
    /// Whether so many are connecting that others wait.
    waits_to_connect: bool,
    /// No client before this place is connecting.
    first_connecting: usize,
    connects_began_us: u64,
    schedule: Option<Schedule>,
    next_due: Option<Due>,
    begin_us: u64,
    until_us: u64,
    is_closed: bool,
    is_over: bool,
    /// Publishers that can go on at once: of a closed loop, their socket having taken a whole chunk.
    hot: VecDeque<usize>,
    /// Publishers of a closed loop that may send, but less than half of what may be unacknowledged, and since when, the longest first. An
    /// entry is stale when its publisher has gone on since.
    short: VecDeque<(usize, u64)>,
    /// When the last events came.
    last_events_us: u64,
    /// Publishers for which something fell due.
    touched: Vec<usize>,
    next_tick_us: u64,
    next_progress_us: u64,
    next_second_us: u64,
    cpu_before_us: Option<u64>,
    buffer: Vec<u8>,
}

/// Runs a thread to its end. The error is what the machine lacks, or what of the load can't be written.
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
        if let Some(heard) = &job.heard {
            let added = epoll::add(&epoll, heard.bell(job.thread), EventData::new_u64(BELL), EventFlags::IN);
            added.map_err(|error| format!("epoll: {error}"))?;
        }
        let (version, clients) = (job.stage.version, job.clients);
        let is_publisher = |index: &usize| matches!(clients[*index].role, Role::Publisher(_));
        let publishers = (0..clients.len()).filter(is_publisher).collect();
        let receivers = job
            .receivers
            .into_iter()
            .map(|receiver| ReceiverEnd {
                receiver,
                members: 0,
                was_there: false,
                was_lost: false,
                may_lack_rights: job.stage.clients.vary(),
            })
            .collect();
        let clock = job.stage.clock;
        let now_us = clock.now_us();
        let thread_state = ThreadState {
            epoll,
            clock,
            context: Context { run: job.run, version, started_ms: job.started_ms, counted_from_us: NOT_YET },
            reading: Reading {
                run: job.run,
                finder: job.settings.payload.finder(),
                counted_from_us: NOT_YET,
                heard: job.heard,
            },
            receivers,
            greetings: clients.iter().map(|_| None).collect(),
            is_open_loop: matches!(job.settings.pace, Pace::Open(..)),
            subscribe_qos: job.settings.qos.highest(),
            packet_bytes_max: job.settings.packet_bytes_max(),
            figures: Figures::default(),
            ended: Ended::default(),
            under_way: 0,
            ready: 0,
            subscribers_ready: 0,
            failed: 0,
            waiting: 0,
            watches_from_us: 0,
            next_keep_alive_us: u64::MAX,
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
            thread_state,
            reports: job.stage.reports,
            progress: job.progress,
            orders: job.orders,
            next_connect: 0,
            waits_to_connect: false,
            first_connecting: 0,
            connects_began_us: now_us,
            schedule: None,
            next_due: None,
            begin_us: NOT_YET,
            until_us: NOT_YET,
            is_closed: matches!(job.settings.pace, Pace::Closed(_)),
            is_over: false,
            hot: VecDeque::new(),
            short: VecDeque::new(),
            last_events_us: now_us,
            touched: Vec::new(),
            next_tick_us: now_us + TICK_US,
            next_progress_us: now_us,
            next_second_us: now_us + SECOND_US,
            cpu_before_us: None,
            buffer: vec![0; READ_BYTES],
        })
    }

    fn run(&mut self) -> Result<(), String> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        while !self.orders.stop.load(Relaxed) {
            let now_us = self.thread_state.clock.now_us();
            self.connect_due(now_us);
            self.release_due(now_us)?;
            self.pump_hot(now_us)?;
            if now_us >= self.next_tick_us {
                self.tick(now_us);
            }
            let timeout = self.timeout();
            events.clear();
            match epoll::wait(&self.thread_state.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(format!("epoll: {error}")),
            }
            if self.is_closed {
                let now_us = self.thread_state.clock.now_us();
                if !events.is_empty() {
                    self.last_events_us = now_us;
                }
                self.pump_short(now_us)?;
            }
            // Another thread may have begun before this one saw the order: what it sent counts here too.
            if self.begin_us == NOT_YET && !events.is_empty() {
                let _not_yet = self.begin(self.thread_state.clock.now_us())?;
            }
            for event in &events {
                let (flags, data) = (event.flags, event.data);
                if data.u64() == BELL {
                    self.pump_woken()?;
                    continue;
                }
                let Ok(place) = usize::try_from(data.u64()) else { continue };
                self.event(place, flags)?;
            }
        }
        Ok(())
    }

    /// How long to wait for events.
    fn timeout(&self) -> Timespec {
        const NONE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !self.hot.is_empty() || self.thread_state.settings.waiting == Waiting::Spin {
            return NONE;
        }
        let now = ungraceful_wire::clock::now();
        let mut until = self.thread_state.clock.at(self.next_tick_us);
        if !self.short.is_empty() {
            until = until.min(self.thread_state.clock.at(self.last_events_us + SHORT_QUIET_US));
        }
        if let Some(due) = self.next_due {
            until = until.min(self.thread_state.clock.at(self.begin_us + due.after_us));
        }
        if let Some(connect_us) = self.next_connect_us() {
            until = until.min(self.thread_state.clock.at(connect_us));
        }
        let left = until.saturating_duration_since(now);
        let tv_sec = i64::try_from(left.as_secs()).unwrap_or(0);
        Timespec { tv_sec, tv_nsec: i64::from(left.subsec_nanos()) }
    }

    fn tick(&mut self, now_us: u64) {
        if self.begin_us != NOT_YET
            && self.next_tick_us >= self.thread_state.context.counted_from_us
            && !self.is_over
        {
            self.thread_state.figures.record(Timed::Lag, now_us - self.next_tick_us);
        }
        self.next_tick_us = now_us + TICK_US;
        if self.thread_state.under_way > 0 {
            self.give_up_silent(now_us);
        }
        self.waits_to_connect = false;
        if now_us >= self.next_second_us {
            self.next_second_us = now_us + SECOND_US;
            if now_us >= self.thread_state.next_keep_alive_us {
                self.keep_alive(now_us);
            }
            self.pump_stalled();
            let interval = self.thread_state.figures.take();
            if let Err(interval) = self.reports.report(self.job_thread, interval) {
                self.thread_state.figures.keep(interval);
            }
        }
        if now_us >= self.next_progress_us {
            self.store_progress();
            let took_us = self.thread_state.clock.now_us() - now_us;
            self.next_progress_us = now_us + (took_us * PROGRESS_SHARE).min(PROGRESS_MAX_US);
        }
    }

    /// Gives up connections whose time is over.
    fn give_up_silent(&mut self, now_us: u64) {
        let within_us = ungraceful_record::scale::micros(self.thread_state.stage.connect_timeout);
        let handshakes =
            format!("no answer to the {} handshake", self.thread_state.stage.transport.handshakes());
        let mut first = None;
        let tried = self.clients[..self.next_connect].iter_mut().enumerate();
        for (place, client) in tried.skip(self.first_connecting) {
            let (since_us, waited_for) = match client.stage {
                Stage::Connecting { since_us } => (since_us, "TCP: no answer to SYN"),
                Stage::Handshaking { established_us } => (established_us, &*handshakes),
                Stage::Greeting { since_us } => (since_us, "no CONNACK"),
                Stage::Subscribing { since_us } => (since_us, "no SUBACK"),
                Stage::Waiting | Stage::Ready | Stage::Gone => continue,
            };
            if now_us.saturating_sub(since_us) >= within_us {
                let why = format!("{waited_for} within {:?}", self.thread_state.stage.connect_timeout);
                self.thread_state.refuse(client, why);
            } else {
                first.get_or_insert(place);
            }
        }
        self.first_connecting = first.unwrap_or(self.next_connect);
    }

    fn keep_alive(&mut self, now_us: u64) {
        let mut ping = Vec::new();
        pingreq(&mut ping);
        self.thread_state.next_keep_alive_us = u64::MAX;
        for place in 0..self.next_connect {
            let client = &mut self.clients[place];
            if client.stage != Stage::Ready || client.keep_alive_us == 0 {
                continue;
            }
            if client.ping_sent_us.is_some_and(|sent_us| now_us - sent_us > client.keep_alive_us) {
                self.thread_state.lose(client, "no PINGRESP within Keep Alive");
                continue;
            }
            // What was sent since this thread last looked is later than `now_us`.
            let silent_us = now_us.saturating_sub(client.last_sent_us);
            // Half of it: what is due in the next second must not come too late either.
            if client.ping_sent_us.is_none() && silent_us >= client.keep_alive_us / 2 {
                client.ping_sent_us = Some(now_us);
                let end = client.send(&ping, now_us);
                self.thread_state.sent(client, place, end);
            }
            self.thread_state.must_be_heard(client);
        }
    }

    fn store_progress(&self) {
        let (progress, thread_state) = (&self.progress, &self.thread_state);
        let publishers = || {
            self.publishers.iter().filter_map(|place| match &self.clients[*place].role {
                Role::Publisher(publisher) => Some(publisher),
                _ => None,
            })
        };
        progress.ready.store(thread_state.ready, Relaxed);
        progress.subscribers_ready.store(thread_state.subscribers_ready, Relaxed);
        progress.failed.store(thread_state.failed, Relaxed);
        progress.sent.store(publishers().map(|publisher| publisher.sent()).sum(), Relaxed);
        progress.refused.store(publishers().map(|publisher| publisher.refused()).sum(), Relaxed);
        let unacknowledged = publishers().map(|publisher| u64::from(publisher.in_flight())).sum();
        progress.unacknowledged.store(unacknowledged, Relaxed);
        progress.waiting.store(thread_state.waiting, Relaxed);
        // What came to a receiver that is gone is no longer expected, so it does not count either.
        let there = thread_state.receivers.iter().filter(|end| !end.was_lost);
        let last_us = thread_state.receivers.iter().filter_map(|end| end.receiver.last_heard_us).max();
        progress.last_delivery_us.store(last_us.unwrap_or(0), Relaxed);
        progress.delivered.store(there.map(|end| end.receiver.delivered).sum(), Relaxed);
        let is_settled = self.next_connect == self.clients.len() && thread_state.under_way == 0;
        progress.is_settled.store(is_settled, Release);
    }

    /// Leaves with DISCONNECT, and returns the results.
    fn end(mut self) -> Ended {
        let now_us = self.thread_state.clock.now_us();
        let never_begun = self.clients.len() - self.next_connect;
        let mut ended = std::mem::take(&mut self.thread_state.ended);
        if ended.cpu_us.is_none() {
            ended.cpu_us = self.cpu_before_us.map(|before_us| thread_cpu_us().saturating_sub(before_us));
        }
        let mut leaving = Vec::new();
        for client in &mut self.clients {
            if client.stage == Stage::Ready {
                // What it receives no longer counts. Behind a part of a packet, it would be taken for the rest.
                if client.is_drained() {
                    let _left = client.write(&DISCONNECT, now_us);
                }
                if let Some(socket) = &mut client.socket {
                    socket.close_layers();
                }
                if self.thread_state.settings.message.retain && matches!(client.role, Role::Publisher(_)) {
                    leaving.extend(client.socket.take().inspect(Socket::end_sending));
                }
            } else if !matches!(client.stage, Stage::Waiting | Stage::Gone) {
                *ended.refused.entry("not accepted before the run ended".to_owned()).or_default() += 1;
            }
            client.socket = None;
            self.progress.left.fetch_add(1, Relaxed);
        }
        // Messages that the broker takes after the removal of what it retains would be retained again.
        let deadline = ungraceful_wire::clock::now() + TAKEN_WITHIN;
        ended.not_taken = leaving.into_iter().map(|socket| u64::from(!socket.ends_by(deadline))).sum();
        for client in self.clients {
            if let Role::Publisher(publisher) = client.role {
                ended.window = ended.window.max(publisher.window());
                ended.publishers.push(publisher.end(client.stage == Stage::Gone));
            }
        }
        let last = self.thread_state.figures.take();
        self.reports.report_last(self.job_thread, last);
        let last_delivered_us =
            self.thread_state.receivers.iter().filter_map(|end| end.receiver.last_us).max();
        Ended {
            last_delivered_us,
            receivers: self.thread_state.receivers,
            figures: self.thread_state.figures,
            never_begun: never_begun as u64,
            ..ended
        }
    }
}
