//! The time at the start of a log line, in many formats; its zone is ignored.

use std::fmt;
use std::str::FromStr;

use crate::envelope;
use crate::matcher::Found;

/// A time in ms since 1970, as the log prints it: a zone is not applied, so that times can be found again in the log.
/// Numbers of seconds since 1970 are UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogTime(pub i64);

/// Bytes at the start of a line that may contain its time, after prefixes of containers and journald.
const LOOK_AT_MAX: usize = 160;
/// Quoted time keys of journald, container runtimes, loggers and clouds.
const KEYS: [&[u8]; 5] =
    [b"\"__REALTIME_TIMESTAMP\"", b"\"time\"", b"\"timestamp\"", b"\"ts\"", b"\"@timestamp\""];
/// Texts that precede a ClientID.
const CLIENT_IDS: [&[u8]; 5] = [b"lientid", b"lientId", b"lient_id", b"lient ID", b" - mid:"];
const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

impl LogTime {
    /// The time of `line` before the match of `found`; absent when there is none. `year` completes syslog's times.
    #[must_use]
    pub fn of_line(line: &[u8], found: &Found, year: i64) -> Option<Self> {
        // An object has numbers of every kind, so only a time key counts.
        if line.first() == Some(&b'{')
            && let Some(time) = KEYS.iter().find_map(|key| named(line, key))
        {
            return Some(time);
        }
        if found.depth == 0 {
            return Self::before(&line[..found.begins_at.min(line.len())], year);
        }
        let layers = envelope::layers(line);
        let text = layers.get(layers.len().checked_sub(found.depth + 1)?)?;
        Self::before(&text[..found.begins_at.min(text.len())], year)
    }

    /// The first time in the text before the match.
    fn before(head: &[u8], year: i64) -> Option<Self> {
        if let Some(time) = syslog(head, year) {
            return Some(time);
        }
        let head = &head[..head.len().min(LOOK_AT_MAX)];
        let mut is_begin = true;
        for (at, byte) in head.iter().enumerate() {
            if is_begin && byte.is_ascii_digit() {
                let rest = &head[at..];
                // Plain seconds or milliseconds stand at the very begin, or before a colon.
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let plain = || since_1970(rest).filter(|_| at <= 1 || rest.get(digits) == Some(&b':'));
                if let Some(time) = dated(rest).or_else(plain) {
                    // A ClientID may look like a time.
                    let is_id =
                        || CLIENT_IDS.iter().any(|key| memchr::memmem::find(&head[..at], key).is_some());
                    return Some(time).filter(|_| at == 0 || !is_id());
                }
            }
            // Colours end in an `m`.
            let ends_a_colour = *byte == b'm' && is_colour(&head[..at]);
            is_begin = !byte.is_ascii_alphanumeric() || ends_a_colour;
        }
        None
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }
}

impl FromStr for LogTime {
    type Err = String;

    /// A time as a user gives it: `2026-11-24`, `2026-11-24T23:10`, `2026-11-24 23:10:06`, or seconds since 1970.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong =
            || format!("invalid time {text:?}: give one as the log prints it, such as 2026-11-24T23:10");
        if text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() >= 9 {
            return since_1970(text.as_bytes()).ok_or_else(wrong);
        }
        let full = match text.len() {
            10 => format!("{text}T00:00:00"),
            16 => format!("{text}:00"),
            _ => text.to_owned(),
        };
        dated(full.as_bytes()).ok_or_else(wrong)
    }
}

impl fmt::Display for LogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(86_400_000));
        let of_day = self.0.rem_euclid(86_400_000);
        let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match of_day % 1_000 {
            0 => Ok(()),
            ms => write!(f, ".{ms:03}"),
        }
    }
}

/// Whether `text` ends as the sequence that switches a colour on does, but for its last letter.
fn is_colour(text: &[u8]) -> bool {
    let codes = text.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
    text[..text.len() - codes].ends_with(b"\x1b[")
}

fn number(digits: &[u8]) -> Option<i64> {
    let is_number = !digits.is_empty() && digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// The time that is the value of this key, in quotes or not.
fn named(object: &[u8], key: &[u8]) -> Option<LogTime> {
    memchr::memmem::find_iter(object, key).find_map(|at| {
        let value = object[at + key.len()..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        dated(value).or_else(|| since_1970(value))
    })
}

/// `2026-11-24T23:10:06.123`, with `/` or `-`, a blank or `T`, `.` or `,`.
fn dated(text: &[u8]) -> Option<LogTime> {
    let part = |from: usize, to: usize| number(text.get(from..to)?);
    let is = |at: usize, allowed: &[u8]| text.get(at).is_some_and(|byte| allowed.contains(byte));
    if !(is(4, b"-/") && is(7, b"-/") && is(10, b"T ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (month, day) = (part(5, 7)?, part(8, 10)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = days(part(0, 4)?, month, day) * 86_400 + clock(&text[11..])?;
    let mut ms = 0;
    if is(19, b".,") {
        let digits = text[20..].iter().take(3).take_while(|byte| byte.is_ascii_digit());
        let (value, count) = digits
            .fold((0, 0_u32), |(value, count), digit| (value * 10 + i64::from(digit - b'0'), count + 1));
        ms = value * 10_i64.pow(3 - count);
    }
    Some(LogTime(seconds * 1_000 + ms))
}

/// Seconds of `23:10:06`.
fn clock(text: &[u8]) -> Option<i64> {
    let part = |from: usize, to: usize| number(text.get(from..to)?);
    (text.get(2) == Some(&b':') && text.get(5) == Some(&b':'))
        .then(|| Some(part(0, 2)? * 3_600 + part(3, 5)? * 60 + part(6, 8)?))?
}

/// Ten digits are seconds, thirteen milliseconds, sixteen microseconds.
fn since_1970(text: &[u8]) -> Option<LogTime> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = number(&text[..count])?;
    match count {
        10 => Some(LogTime(value * 1_000)),
        13 => Some(LogTime(value)),
        16 => Some(LogTime(value / 1_000)),
        _ => None,
    }
}

/// `Nov 24 23:10:06`.
fn syslog(text: &[u8], year: i64) -> Option<LogTime> {
    let month = MONTHS.iter().position(|name| text.starts_with(name))?;
    let rest = text.get(4..)?;
    let day = number(rest.get(..2)?.trim_ascii_start())?;
    let seconds = clock(rest.get(3..)?)?;
    let month = i64::try_from(month).ok()? + 1;
    Some(LogTime((days(year, month, day) * 86_400 + seconds) * 1_000))
}

#[cfg(test)]
mod tests {
    use super::LogTime;
    use crate::matcher::Matcher;

    thread_local! {
        static MATCHER: std::cell::RefCell<Matcher> = std::cell::RefCell::new(Matcher::new(None));
    }

    /// The time of a line that is recognised.
    fn of(line: &str) -> Option<String> {
        let found = MATCHER.with_borrow_mut(|matcher| matcher.line(line.as_bytes()));
        let found = found.unwrap_or_else(|| panic!("not recognised: {line}"));
        LogTime::of_line(line.as_bytes(), &found, 2026).map(|time| time.to_string())
    }

    #[test]
    fn the_times_of_every_broker_are_read() {
        let lines = [
            ("2026-11-24T23:13:48: New connection from 10.0.0.7:1 on port 1883.", "2026-11-24T23:13:48"),
            ("1795442586: New connection from 10.0.0.7:1 on port 1883.", "2026-11-23T14:03:06"),
            (
                "2026-11-24 23:14:04.064964+00:00 [error] <0.724.0> closing MQTT connection \"127.0.0.1:1 -> 127.0.0.1:2\" (keepalive timeout)",
                "2026-11-24T23:14:04.064",
            ),
            (
                "[13988] 2026/11/24 23:14:00.699593 [WRN] 127.0.0.1:52004 - mid:5 - MQTT connection closed: Stale Connection",
                "2026-11-24T23:14:00.699",
            ),
            (
                "2026-11-23 13:59:28,123 INFO - Client ID: c1, IP: 10.0.0.7 disconnected ungracefully.",
                "2026-11-23T13:59:28.123",
            ),
            (
                "Nov 24 23:10:06 host mosquitto[812]: 1795442586: Client c1 closed its connection.",
                "2026-11-24T23:10:06",
            ),
            ("mosquitto-1  | 2026-11-24T23:13:48: Client c1 closed its connection.", "2026-11-24T23:13:48"),
            (
                "2026-11-24T23:10:06.123456789Z stdout F Client c1 closed its connection.",
                "2026-11-24T23:10:06.123",
            ),
            (
                r#"{"time":1795442586123456,"level":"info","msg":"terminate","clientid":"c1","reason":"{shutdown,kicked}"}"#,
                "2026-11-23T14:03:06.123",
            ),
            (
                r#"{"log":"Client c1 closed its connection.","time":"2026-11-24T23:10:06Z"}"#,
                "2026-11-24T23:10:06",
            ),
            (r#"{"log":"2026-11-24T23:10:06: Client c1 closed its connection."}"#, "2026-11-24T23:10:06"),
            (
                r#"{"clientId":"c1","timestamp":1795442586123,"eventType":"disconnected","disconnectReason": "CONNECTION_LOST"}"#,
                "2026-11-23T14:03:06.123",
            ),
            (
                "\u{1b}[2m2026-11-24T23:10:06.123456Z\u{1b}[0m \u{1b}[32m INFO\u{1b}[0m Client c1 closed its connection.",
                "2026-11-24T23:10:06.123",
            ),
            ("2024-02-29T00:00:00.5 Client c1 closed its connection.", "2024-02-29T00:00:00.500"),
        ];
        for (line, time) in lines {
            assert_eq!(of(line).as_deref(), Some(time), "{line}");
        }
    }

    #[test]
    fn an_objects_time_is_read_from_its_time_key() {
        let journald = [
            r#"{"__MONOTONIC_TIMESTAMP": "1843567890", "__REALTIME_TIMESTAMP": "1795514400000000", "MESSAGE": "Client c1 closed its connection."}"#,
            r#"{"_SOURCE_REALTIME_TIMESTAMP":"1795514399999995","pad":"PAD","__REALTIME_TIMESTAMP":"1795514400000000","MESSAGE":"Client c1 closed its connection."}"#,
        ];
        for line in journald {
            let line = line.replace("PAD", &"x".repeat(200));
            assert_eq!(of(&line).as_deref(), Some("2026-11-24T10:00:00"), "{line}");
        }
        assert_eq!(
            of(r#"{"__MONOTONIC_TIMESTAMP":"1843567890","MESSAGE":"Client c1 closed its connection."}"#),
            None
        );
    }

    #[test]
    fn plain_seconds_are_read_after_compose_and_kubectl_prefixes() {
        for prefix in
            ["mqtt-1  | ", "mosquitto-0 mosquitto ", "[pod/mosquitto-0/mosquitto] ", "host mosquitto[77]: "]
        {
            let line = format!("{prefix}1795514400: Client c4 closed its connection.");
            assert_eq!(of(&line).as_deref(), Some("2026-11-24T10:00:00"), "{line}");
        }
    }

    #[test]
    fn a_client_id_that_looks_like_a_time_is_not_one() {
        for id in ["1795442586", "1795442586:", "2025-01-01T00:00:00"] {
            assert_eq!(of(&format!("Client {id} closed its connection.")), None, "{id}");
            let timed = format!("2026-11-24T10:00:00: Client {id} closed its connection.");
            assert_eq!(of(&timed).as_deref(), Some("2026-11-24T10:00:00"));
            let emqx = format!(
                "[info] clientid: {id}, msg: terminate, peername: 10.0.0.7:50123, reason: {{shutdown,kicked}}"
            );
            assert_eq!(of(&emqx), None, "{id}");
            let wrapped = format!(r#"{{"log":"Client {id} closed its connection."}}"#);
            assert_eq!(of(&wrapped), None, "{id}");
        }
    }

    #[test]
    fn text_that_is_no_time_is_rejected() {
        for head in
            ["2026-13-24T23:13:48: ", "", "c1 2026 ", "Nov ", "Nov 2 ", "12345678901 ", "pid 1795442586 "]
        {
            let line = format!("{head}Client c1 closed its connection.");
            assert_eq!(of(&line), None, "{line}");
        }
    }

    #[test]
    fn a_user_gives_a_day_a_minute_or_a_second() {
        let parsed = |text: &str| text.parse::<LogTime>().map(|time| time.to_string());
        assert_eq!(parsed("2026-11-24").unwrap(), "2026-11-24T00:00:00");
        assert_eq!(parsed("2026-11-24 23:10").unwrap(), "2026-11-24T23:10:00");
        assert_eq!(parsed("2026-11-24T23:10:06.5").unwrap(), "2026-11-24T23:10:06.500");
        assert_eq!(parsed("1795442586").unwrap(), "2026-11-23T14:03:06");
        assert!(parsed("yesterday").unwrap_err().contains("2026-11-24T23:10"));
    }
}
