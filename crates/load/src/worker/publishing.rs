//! Hands due messages to their publishers, and sends them as far as allowed.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{SHORT_MAX_US, SHORT_QUIET_US, Worker, thread_cpu_us};
use crate::client::{Role, Stage};
use crate::figures::Timed;
use crate::pace::{Due, Pace, Schedule};
use crate::progress::NOT_YET;
use crate::publisher::begun;
use crate::socket::Moved;

impl Worker {
    /// Hands due messages to their publishers, and sends them.
    pub(super) fn release_due(&mut self, now_us: u64) -> Result<(), String> {
        if self.begin_us == NOT_YET && !self.begin(now_us)? {
            return Ok(());
        }
        if self.cpu_before_us.is_none() && now_us >= self.thread_state.context.counted_from_us {
            self.cpu_before_us = Some(thread_cpu_us());
        }
        // An order may end it earlier.
        self.until_us = self.until_us.min(self.orders.until_us.load(Relaxed));
        while let Some(due) = self.next_due {
            let due_us = self.begin_us + due.after_us;
            if due_us >= self.until_us {
                self.next_due = None;
                break;
            }
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
            self.thread_state.ended.cpu_us =
                self.cpu_before_us.map(|before_us| thread_cpu_us().saturating_sub(before_us));
            self.store_progress();
            self.progress.is_over.store(true, Release);
        }
        Ok(())
    }

    pub(super) fn offer(&mut self, due: Due, due_us: u64, now_us: u64) {
        let place = self.publishers[due.publisher];
        let client = &mut self.clients[place];
        let Role::Publisher(publisher) = &mut client.role else { return };
        let counts = if client.stage == Stage::Ready {
            if publisher.waiting() == 0 {
                self.touched.push(place);
            }
            self.thread_state.waiting += 1;
            publisher.offer(due_us, &self.thread_state.context)
        } else {
            publisher.drop_due(due_us, &self.thread_state.context)
        };
        if counts {
            self.thread_state.figures.counters.load_offered += 1;
            self.thread_state.figures.record(Timed::Slip, now_us - due_us);
        }
    }

    /// Begins once the order has come and its time is reached. Returns whether it has.
    pub(super) fn begin(&mut self, now_us: u64) -> Result<bool, String> {
        let begin_us = self.orders.begin_us.load(Acquire);
        if begin_us == NOT_YET || now_us < begin_us {
            return Ok(false);
        }
        let counted_from_us = self.orders.counted_from_us.load(Acquire);
        self.begin_us = begin_us;
        self.thread_state.context.counted_from_us = counted_from_us;
        self.thread_state.reading.counted_from_us = counted_from_us;
        let settings = Arc::clone(&self.thread_state.settings);
        self.until_us = counted_from_us + ungraceful_record::scale::micros(settings.lasts());
        match &settings.pace {
            Pace::Nothing(_) => {}
            Pace::Closed(_) => self.hot.extend(self.publishers.iter().copied()),
            Pace::Open(stages, arrival) => {
                let own = self.publishers.iter().map(|place| self.clients[*place].number).collect();
                let warmup = std::time::Duration::from_micros(counted_from_us - begin_us);
                let mut schedule = Schedule::new(
                    stages,
                    warmup,
                    *arrival,
                    own,
                    settings.publishers,
                    self.thread_state.stage.seed,
                );
                self.next_due = schedule.next();
                self.schedule = Some(schedule);
            }
        }
        Ok(true)
    }

    /// Publishers go on whose subscribers are far enough.
    pub(super) fn pump_woken(&mut self) -> Result<(), String> {
        let Some(heard) = self.thread_state.reading.heard.clone() else { return Ok(()) };
        let now_us = self.thread_state.clock.now_us();
        for publisher in heard.woken(self.job_thread) {
            // Publisher n is the one with the number n / threads of the thread n modulo threads.
            if let Some(place) = self.publishers.get((publisher / self.threads) as usize) {
                self.pump(*place, now_us)?;
            }
        }
        Ok(())
    }

    /// Publishers go on whose subscribers have not moved for a second: messages under way to them may never come.
    pub(super) fn pump_stalled(&mut self) {
        let Some(heard) = self.thread_state.reading.heard.as_ref().filter(|_| !self.is_over) else { return };
        for place in &self.publishers {
            let client = &mut self.clients[*place];
            if let Role::Publisher(publisher) = &mut client.role
                && client.stage == Stage::Ready
                && publisher.writes_off_when_stalled(heard)
                && !self.hot.contains(place)
            {
                self.hot.push_back(*place);
            }
        }
    }

    pub(super) fn pump_hot(&mut self, now_us: u64) -> Result<(), String> {
        for _ in 0..self.hot.len() {
            let Some(place) = self.hot.pop_front() else { break };
            self.pump(place, now_us)?;
        }
        Ok(())
    }

    /// Has a publisher send what it may, once half of what may be unacknowledged is acknowledged.
    pub(super) fn pump(&mut self, place: usize, now_us: u64) -> Result<(), String> {
        if let (true, Role::Publisher(publisher)) = (self.is_closed, &mut self.clients[place].role) {
            if !publisher.has_half_of_its_window() {
                if publisher.short_since_us.is_none() {
                    publisher.short_since_us = Some(now_us);
                    self.short.push_back((place, now_us));
                }
                return Ok(());
            }
            publisher.short_since_us = None;
        }
        self.pump_at_once(place, now_us)
    }

    /// Publishers go on of which less than half is acknowledged, when nothing more came for a while. A broker may have more
    /// acknowledgements and send them only once those before them are acknowledged by TCP (Nagle's algorithm), which the next message
    /// does at once, and the kernel alone after 40 ms.
    pub(super) fn pump_short(&mut self, now_us: u64) -> Result<(), String> {
        let is_quiet = now_us >= self.last_events_us + SHORT_QUIET_US;
        while let Some((place, since_us)) = self.short.front().copied() {
            if !is_quiet && now_us < since_us + SHORT_MAX_US {
                break;
            }
            self.short.pop_front();
            if let Role::Publisher(publisher) = &mut self.clients[place].role
                && publisher.short_since_us == Some(since_us)
            {
                publisher.short_since_us = None;
                self.pump_at_once(place, now_us)?;
            }
        }
        Ok(())
    }

    /// Has a publisher send what it may.
    fn pump_at_once(&mut self, place: usize, now_us: u64) -> Result<(), String> {
        let is_closed = self.is_closed;
        if is_closed && (now_us >= self.until_us || self.begin_us == NOT_YET) {
            return Ok(());
        }
        let (client, thread_state) = (&mut self.clients[place], &mut self.thread_state);
        if client.stage != Stage::Ready {
            return Ok(());
        }
        if !client.is_drained() {
            thread_state.wait_for_room(client, place);
            return Ok(());
        }
        let Role::Publisher(publisher) = &mut client.role else { return Ok(()) };
        let heard = thread_state.reading.heard.clone();
        if heard.as_ref().is_some_and(|heard| !publisher.may_go_on(heard)) {
            return Ok(());
        }
        let (mut out, mut made) =
            (std::mem::take(&mut thread_state.out), std::mem::take(&mut thread_state.made));
        out.clear();
        made.clear();
        let waiting_before = publisher.waiting();
        // Other publishers have sent since this thread last looked: a message is stamped just before it goes.
        let now_us = thread_state.clock.now_us();
        let written = publisher.make(now_us, is_closed, &thread_state.context, &mut out, &mut made);
        written.map_err(|error| format!("PUBLISH can't be written: {error}"))?;
        let mut end = None;
        let all: usize = made.iter().map(|made| made.count).sum();
        let mut kept = all;
        if !out.is_empty() {
            let is_watched = thread_state.watches_the_next_write(client, now_us);
            let moved = client.write(&out, now_us);
            let taken = match moved {
                Moved::Bytes(taken) => taken,
                Moved::NotNow => 0,
                Moved::Ended(how) => {
                    end = Some(how);
                    0
                }
            };
            if is_watched {
                thread_state.note_departure(client, taken == out.len() && client.is_drained(), now_us);
            }
            thread_state.note_sent(taken, now_us);
            if taken < out.len() {
                // A packet whose beginning went out is completed when there is room; the others are due as before.
                let (begun, end) = begun(&made, taken);
                kept = begun;
                client.keep_unsent(&out[taken..end.max(taken)]);
                if let Role::Publisher(publisher) = &mut client.role {
                    publisher.take_back(&made, kept, is_closed, now_us, &thread_state.context);
                }
            }
            // The layers may hold what the socket did not take.
            if taken < out.len() || !client.is_drained() {
                thread_state.wait_for_room(client, place);
            }
        }
        if let Role::Publisher(publisher) = &mut client.role {
            publisher.note_blocked();
            thread_state.waiting -= waiting_before - publisher.waiting();
            let is_whole = kept == all;
            let is_full = is_whole && out.len() >= crate::publisher::CHUNK;
            // Called at the end as well, because that is how it is woken when its subscribers have come further.
            let is_open = heard.is_some_and(|heard| is_whole && kept > 0 && publisher.may_go_on(&heard));
            if (is_full || is_open) && (is_closed || publisher.waiting() > 0) && !self.hot.contains(&place) {
                self.hot.push_back(place);
            }
        }
        if now_us >= thread_state.context.counted_from_us {
            thread_state.figures.counters.load_sent += kept as u64;
            if kept > 0 {
                thread_state.ended.last_sent_us = Some(now_us);
            }
            if is_closed {
                thread_state.figures.counters.load_offered += kept as u64;
            }
        }
        (thread_state.out, thread_state.made) = (out, made);
        if let Some(how) = end {
            thread_state.lose(client, &how);
        }
        Ok(())
    }
}
