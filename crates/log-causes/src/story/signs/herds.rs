//! Herds: many connections within a sliding window of ten seconds.

use std::collections::VecDeque;

use crate::timestamp::LogTime;

/// Length of the window.
const WINDOW_S: i64 = 10;
/// A herd: at least this many connections within the window, and this many times the usual number.
const HERD_MIN: u64 = 20;
const HERD_TIMES: f64 = 5.0;
/// The usual number is a fading mean: connections this long ago count a third.
const USUAL_OVER_S: f64 = 600.0;
/// Time before the window that is needed to know the usual number.
const USUAL_MIN_S: f64 = 10.0;
/// A herd that lasts this long becomes the usual number.
const LASTS_MAX_S: i64 = 60;
/// Many connections this soon after the broker's start are always a herd.
const AFTER_START_MS: i64 = 60_000;
/// A time that goes back by more than this comes from another clock.
const BACK_MAX_S: i64 = 3_600;

/// Many connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Herd {
    /// Number of its log, from 0.
    pub log: usize,
    /// Begin of the ten seconds with the most connections.
    pub at: LogTime,
    /// Connections in them.
    pub connections: u64,
    /// Whether the broker had started within the minute before.
    pub after_start: bool,
}

/// The usual number of connections, fading over time.
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
    /// Connections in the window, by second.
    window: VecDeque<(i64, u64)>,
    in_window: u64,
    /// Connections before the window, up to this second.
    usual: Usual,
    usual_until: i64,
    started: Option<LogTime>,
    /// The current herd, with the second in which it began.
    now: Option<(i64, Herd)>,
    /// Completed herds.
    pub(super) found: Vec<Herd>,
}

impl Herds {
    pub(super) fn broker_started(&mut self, time: Option<LogTime>) {
        self.end();
        // Connections before the start say nothing about the usual number.
        *self = Self { started: time, found: std::mem::take(&mut self.found), ..Self::default() };
    }

    /// Counts a connection; only one that `is_wanted` can make a herd.
    pub(super) fn connected(&mut self, time: LogTime, is_wanted: bool) {
        let mut second = time.seconds();
        match self.window.back() {
            None => self.usual_until = second,
            Some((last, _)) if second < *last - BACK_MAX_S => {
                self.end();
                *self =
                    Self { found: std::mem::take(&mut self.found), usual_until: second, ..Self::default() };
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
            // A herd is not usual.
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
        self.found.push(herd);
        sort(&mut self.found);
    }

    /// Every herd, including the current one.
    pub(super) fn all(&self) -> Vec<Herd> {
        let mut all = self.found.clone();
        all.extend(self.now.map(|(_, herd)| herd));
        all
    }
}

/// Largest first; the smallest are dropped.
pub(super) fn sort(herds: &mut Vec<Herd>) {
    herds.sort_by_key(|herd| (std::cmp::Reverse(herd.connections), herd.log, herd.at));
    herds.truncate(super::SIGNS_MAX);
}
