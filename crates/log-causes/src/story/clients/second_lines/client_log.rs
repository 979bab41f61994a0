//! Lines of a client's own log. The library, the program around it and its runtime each log one end, mostly without a name, so lines that
//! follow each other and fit together are one event. A client that leaves may log the end as well.

use super::{First, become_aside};
use crate::cause::{Cause, Effect, Precision};
use crate::matcher::Found;
use crate::story::TOGETHER_MS;
use crate::timestamp::LogTime;

/// Recognised lines that tell something, within which a further line belongs to the same end.
const WITHIN: u64 = 4;
/// Seconds between lines of one end, where the handle is the uptime.
const TOGETHER_S: u64 = 2;

/// What the latest lines leave open.
#[derive(Debug, Default)]
pub(super) struct ClientLog {
    /// Number of lines that tell something.
    line: u64,
    /// The latest end or refusal.
    latest: Option<Latest>,
    /// When the client left, if no line came since that makes it connected.
    left: Option<(u64, Option<LogTime>)>,
    /// Whether Node-RED stops its flows, which closes its connections.
    is_stopping: bool,
}

#[derive(Debug)]
struct Latest {
    first: First,
    effect: Effect,
    time: Option<LogTime>,
    code: Option<u8>,
    is_named: bool,
}

impl ClientLog {
    /// Gives the line the name of the end before to which it belongs.
    pub(super) fn adjust(&mut self, found: &mut Found, time: Option<LogTime>) {
        match found.pattern.effect {
            Effect::Aside if found.cause == Cause::Shutdown => self.is_stopping = true,
            Effect::Aside if found.cause == Cause::BrokerStart => self.is_stopping = false,
            Effect::Aside => {}
            Effect::Connected => *self = Self { line: self.line + 1, ..Self::default() },
            Effect::Left => {
                self.line += 1;
                self.left = Some((self.line, time));
            }
            Effect::Ended | Effect::Tail | Effect::Refused => {
                self.line += 1;
                self.end(found, time);
            }
            _ => self.line += 1,
        }
    }

    fn end(&mut self, found: &mut Found, time: Option<LogTime>) {
        let line = self.line;
        let is_closing =
            found.pattern.effect != Effect::Refused && found.cause.precision() == Precision::Closing;
        let has_left = self.left.is_some_and(|(at, then)| line - at <= WITHIN && is_near(then, time));
        if is_closing && (has_left || self.is_stopping && is_of_node_red(found)) {
            become_aside(found);
            return;
        }
        let fits = |latest: &&mut Latest| {
            line - latest.first.line <= WITHIN && is_near(latest.time, time) && latest.takes(found, time)
        };
        if let Some(latest) = self.latest.as_mut().filter(fits) {
            latest.join(found);
            (latest.first.line, latest.time) = (line, time);
            return;
        }
        if found.client.is_none() && found.handle.is_none() && found.address.is_none() {
            found.handle = Some(format!("line {line}"));
        }
        let mut first = First::of(found, line);
        first.rows.push(found.pattern.row);
        let (effect, code, is_named) = (found.pattern.effect, found.code, is_named(found));
        self.latest = Some(Latest { first, effect, time, code, is_named });
    }
}

impl Latest {
    fn takes(&self, found: &Found, time: Option<LogTime>) -> bool {
        let differ = |one: &Option<String>, other: &Option<String>| {
            one.as_ref().zip(other.as_ref()).is_some_and(|(one, other)| one != other)
        };
        let first = &self.first;
        let handles = first.handle.as_deref().zip(found.handle.as_deref());
        let uptimes = handles.and_then(|(one, other)| uptime_s(one).zip(uptime_s(other)));
        let are_apart = match uptimes {
            Some((one, other)) => one.abs_diff(other) > TOGETHER_S,
            // Other handles than names tell only what the lines are about.
            None => (self.is_named || is_named(found)) && differ(&first.handle, &found.handle),
        };
        let have_other_codes = self.code.zip(found.code).is_some_and(|(one, other)| one != other);
        !are_apart
            && !have_other_codes
            && !differ(&first.client, &found.client)
            && !differ(&first.address, &found.address)
            && !first.rows.contains(&found.pattern.row)
            && self.fits(found, uptimes.is_some() || self.time.is_some() && time.is_some())
    }

    /// Whether the line tells the same event, more or less precisely. Without times, an attempt that did not reach the broker may be the
    /// next one.
    fn fits(&self, found: &Found, has_times: bool) -> bool {
        let cause = self.first.cause;
        match (self.effect, found.pattern.effect) {
            // The end that follows a refusal, and the words that it could not connect.
            (Effect::Refused, Effect::Refused) => {
                let is_echo =
                    |of: Cause| has_times && of == Cause::Unreachable || of.precision() < Precision::Exact;
                cause == found.cause || is_echo(cause) || is_echo(found.cause)
            }
            (Effect::Refused, _) => cause == found.cause || found.cause.precision() < Precision::Exact,
            // A client that lost its connection may be refused next, which is another event.
            (_, Effect::Refused) => false,
            _ => cause == found.cause || cause.precision().min(found.cause.precision()) < Precision::Exact,
        }
    }

    fn join(&mut self, found: &mut Found) {
        let first = &mut self.first;
        first.rows.push(found.pattern.row);
        if found.cause.precision() > first.cause.precision() {
            first.cause = found.cause;
        }
        if first.client.is_some() {
            found.client.clone_from(&first.client);
        } else if first.handle.is_some() {
            found.named = found.client.take();
            found.handle.clone_from(&first.handle);
        }
    }
}

/// Whether lines of these times can be about one event.
fn is_near(then: Option<LogTime>, now: Option<LogTime>) -> bool {
    then.zip(now).is_none_or(|(then, now)| now.0 - then.0 <= TOGETHER_MS)
}

/// Whether the handle is a name, of a broker of Node-RED or of an integration of Home Assistant.
fn is_named(found: &Found) -> bool {
    is_of_node_red(found) || found.handle.as_deref() == Some("mqtt")
}

fn is_of_node_red(found: &Found) -> bool {
    found.pattern.example.contains("[mqtt-broker:")
}

/// Seconds since the start of the device, or of the day.
fn uptime_s(handle: &str) -> Option<u64> {
    handle.split(':').try_fold(0_u64, |sum, part| {
        let part: u64 = if part.is_empty() { 0 } else { part.parse().ok()? };
        sum.checked_mul(60)?.checked_add(part)
    })
}
