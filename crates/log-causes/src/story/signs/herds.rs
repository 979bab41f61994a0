//! Herds: many connections at once, by a window of ten seconds that slides over the log.

use std::collections::VecDeque;

use crate::timestamp::LogTime;

/// The window.
const WINDOW_S: i64 = 10;
/// A herd: so many connections within the window, and so many times what is usual.
const HERD_MIN: u64 = 20;
const HERD_TIMES: f64 = 5.0;
/// What is usual is what there was lately: what lies this far back counts a third.
const USUAL_OVER_S: f64 = 600.0;
/// Time before the window without which nobody knows what is usual.
const USUAL_MIN_S: f64 = 10.0;
/// A herd that lasts this long is what is usual from then on.
const LASTS_MAX_S: i64 = 60;
/// Connections so soon after the broker's start are a herd whatever was usual.
const AFTER_START_MS: i64 = 60_000;
/// Time that runs back by more than this is another clock's.
const BACK_MAX_S: i64 = 3_600;

/// Many connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Herd {
    /// Which of several logs it is in, from 0.
    pub log: usize,
    /// Begin of the ten seconds with the most connections.
    pub at: LogTime,
    /// Connections in them.
    pub connections: u64,
    /// Whether the broker had started within the minute before.
    pub after_start: bool,
}

/// What is usual, forgotten over time.
#[derive(Clone, Copy, Debug, Default)]
struct Usual {
    connections: f64,
    seconds: f64,
}

impl Usual {
    #[expect(clippy::cast_precision_loss, reason = "counts and seconds of a log are far below 2^53")]
    fn add(&mut self, seconds: i64, connections: u64) {
        let fade = (-(seconds as f64) / USUAL_OVER_S).exp();
        self.connections = self.connections * fade + connections as f64;
        self.seconds = self.seconds * fade + USUAL_OVER_S * (1.0 - fade);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn as_in_window(connections: u64) -> Self {
        Self { connections: connections as f64 * USUAL_OVER_S / WINDOW_S as f64, seconds: USUAL_OVER_S }
    }

    /// Connections within a window; absent while too little was seen.
    #[expect(clippy::cast_precision_loss, reason = "ten")]
    fn of_window(self) -> Option<f64> {
        (self.seconds >= USUAL_MIN_S).then(|| self.connections * WINDOW_S as f64 / self.seconds)
    }
}

/// Looks for herds in one log.
#[derive(Debug, Default)]
pub(super) struct Herds {
    /// Connections by second, those of the window alone.
    window: VecDeque<(i64, u64)>,
    in_window: u64,
    /// What lies before the window, up to this second.
    usual: Usual,
    usual_until: i64,
    started: Option<LogTime>,
    /// The one under way, with the second in which it began; it is told from `wanted_from` on.
    now: Option<(i64, Herd)>,
    /// Those that are over.
    pub(super) told: Vec<Herd>,
}

impl Herds {
    pub(super) fn broker_started(&mut self, time: Option<LogTime>) {
        self.end();
        // What came before it says nothing of what is usual now.
        *self = Self { started: time, told: std::mem::take(&mut self.told), ..Self::default() };
    }

    /// Takes a connection; whether it `is_wanted` says whether a herd that it belongs to is to be told.
    pub(super) fn connected(&mut self, time: LogTime, is_wanted: bool) {
        let mut second = time.seconds();
        match self.window.back() {
            None => self.usual_until = second,
            Some((last, _)) if second < *last - BACK_MAX_S => {
                self.end();
                *self = Self { told: std::mem::take(&mut self.told), usual_until: second, ..Self::default() };
            }
            // Lines of several threads are not in order to the second.
            Some((last, _)) => second = second.max(*last),
        }
        self.slide_to(second);
        match self.window.back_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => self.window.push_back((second, 1)),
        }
        self.in_window += 1;
        if is_wanted {
            self.look(second);
        }
    }

    fn slide_to(&mut self, second: i64) {
        let is_past = |(first, _): &(i64, u64)| second - first >= WINDOW_S;
        while let Some((first, count)) = self.window.front().copied().filter(is_past) {
            self.window.pop_front();
            self.in_window -= count;
            self.usual.add(first - self.usual_until, 0);
            self.usual_until = first;
            // A herd is nothing usual.
            if self.now.is_none() {
                self.usual.add(0, count);
            }
        }
        // The silence before the window counts as well.
        let until = self.window.front().map_or(second, |(first, _)| *first).min(second);
        if until > self.usual_until {
            self.usual.add(until - self.usual_until, 0);
            self.usual_until = until;
        }
        if !self.is_herd() {
            self.end();
        } else if self.now.is_some_and(|(began, _)| second - began >= LASTS_MAX_S) {
            self.end();
            self.usual = Usual::as_in_window(self.in_window);
        }
    }

    fn after_start(&self, at: LogTime) -> bool {
        self.started.is_some_and(|started| (0..AFTER_START_MS).contains(&(at.0 + 1_000 - started.0)))
    }

    fn begin(&self) -> Option<LogTime> {
        self.window.front().map(|(first, _)| LogTime(first * 1_000))
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn is_herd(&self) -> bool {
        let Some(at) = self.begin() else { return false };
        let usual = self.usual.of_window();
        let is_unusual = usual.is_some_and(|usual| self.in_window as f64 >= HERD_TIMES * usual.max(1.0));
        self.in_window >= HERD_MIN && (is_unusual || self.after_start(at))
    }

    fn look(&mut self, second: i64) {
        let Some(at) = self.begin().filter(|_| self.is_herd()) else { return };
        let after_start = self.after_start(at);
        let (_, herd) = self.now.get_or_insert((second, Herd { log: 0, at, connections: 0, after_start }));
        if self.in_window > herd.connections {
            *herd = Herd {
                at,
                connections: self.in_window,
                after_start: herd.after_start || after_start,
                ..*herd
            };
        }
    }

    fn end(&mut self) {
        let Some((_, herd)) = self.now.take() else { return };
        self.told.push(herd);
        sort(&mut self.told);
    }

    /// Every herd, the one under way included.
    pub(super) fn all(&self) -> Vec<Herd> {
        let mut all = self.told.clone();
        all.extend(self.now.map(|(_, herd)| herd));
        all
    }
}

/// The most connections first; the last ones are let go.
pub(super) fn sort(herds: &mut Vec<Herd>) {
    herds.sort_by_key(|herd| (std::cmp::Reverse(herd.connections), herd.log, herd.at));
    herds.truncate(super::TOLD_MAX);
}
