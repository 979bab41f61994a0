//! The time at the start of a log line, in many forms; its zone is ignored.

mod forms;

use std::fmt;
use std::str::FromStr;

use crate::envelope;
use crate::matcher::Found;
use forms::Stamp;

/// A time in ms since 1970, as the log prints it: a zone is not applied, so that times can be found again in the log.
/// Numbers of seconds since 1970 are UTC. In a log that prints no day, it is the time since the begin of the log's first day, or since
/// the start of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogTime(pub i64);

const DAY_MS: i64 = 86_400_000;
/// Times before this many days are of a log that names no day.
const DAYS_MAX: i64 = 3_650;
/// Bytes at the start of a line that may contain its time, after prefixes of containers and journald.
const LOOK_AT_MAX: usize = 160;
/// Quoted time keys of journald, container runtimes, loggers and clouds.
const KEYS: [&[u8]; 8] = [
    b"\"__REALTIME_TIMESTAMP\"",
    b"\"time\"",
    b"\"timestamp\"",
    b"\"ts\"",
    b"\"@timestamp\"",
    b"\"eventTime\"",
    b"\"disconnected_at\"",
    b"\"connected_at\"",
];
/// Texts that precede a ClientID.
const CLIENT_IDS: [&[u8]; 5] = [b"lientid", b"lientId", b"lient_id", b"lient ID", b" - mid:"];
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
    /// Whether its log names no day.
    #[must_use]
    pub const fn is_without_day(self) -> bool {
        self.0 < DAYS_MAX * DAY_MS
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }
}

/// Reads the times of one log, line after line.
#[derive(Clone, Debug)]
pub struct Times {
    /// The latest day that the log can be about, for lines without a year.
    latest: LogTime,
    /// The latest time without a day, and the midnights before it.
    last_of_day: i64,
    midnights: i64,
    /// The latest time with a year: other lines of its log are of that time.
    dated: Option<LogTime>,
    /// Lines without a time that is understood.
    untimed: u64,
}

impl Times {
    /// `latest`: a moment after the last line, such as the file's last change. Times without a year lie in the year before it.
    #[must_use]
    pub const fn until(latest: LogTime) -> Self {
        Self { latest, last_of_day: 0, midnights: 0, dated: None, untimed: 0 }
    }

    /// Recognised lines so far without a time that is understood.
    #[must_use]
    pub const fn untimed(&self) -> u64 {
        self.untimed
    }

    /// The time of a recognised line; absent when it has none that is understood.
    pub fn of(&mut self, line: &[u8], found: &Found) -> Option<LogTime> {
        let time = stamp_of(line, found).map(|stamp| self.resolved(stamp));
        self.untimed += u64::from(time.is_none());
        time
    }

    fn resolved(&mut self, stamp: Stamp) -> LogTime {
        match stamp {
            Stamp::Full(time) => {
                self.dated = Some(time);
                time
            }
            Stamp::WithoutYear(month, day, ms) => {
                let (year, ..) = civil(self.latest.0.div_euclid(DAY_MS));
                let in_year = |year: i64| LogTime(days(year, month, day) * DAY_MS + ms);
                if let Some(dated) = self.dated {
                    let (year, ..) = civil(dated.0.div_euclid(DAY_MS));
                    let near = [year - 1, year, year + 1].map(in_year);
                    let distance = |time: &LogTime| time.0.abs_diff(dated.0);
                    return near.into_iter().min_by_key(distance).unwrap_or(dated);
                }
                // A day of leeway, since the log may be of another zone.
                let is_past = in_year(year).0 <= self.latest.0 + DAY_MS;
                in_year(if is_past { year } else { year - 1 })
            }
            Stamp::OfDay(ms) => {
                if ms < self.last_of_day - DAY_MS / 2 && self.midnights < DAYS_MAX - 2 {
                    self.midnights += 1;
                }
                self.last_of_day = ms;
                LogTime(self.midnights * DAY_MS + ms)
            }
        }
    }
}

/// The stamp of `line` before the match of `found`.
fn stamp_of(line: &[u8], found: &Found) -> Option<Stamp> {
    // An object has numbers of every kind, so only a time key counts.
    if line.first() == Some(&b'{')
        && let Some(stamp) = KEYS.iter().find_map(|key| named(line, key))
    {
        return Some(stamp);
    }
    if found.depth == 0 {
        let of_object = || {
            let object = &line[memchr::memmem::find(line, b"{\"")?..];
            KEYS.iter().find_map(|key| named(object, key))
        };
        return before(&line[..found.begins_at.min(line.len())]).or_else(of_object);
    }
    let layers = envelope::layers(line);
    let text = layers.get(layers.len().checked_sub(found.depth + 1)?)?;
    before(&text[..found.begins_at.min(text.len())])
}

/// The first stamp in the text before the match; one that names its day goes first.
fn before(head: &[u8]) -> Option<Stamp> {
    if let Some(stamp) = forms::since_boot(head) {
        return Some(stamp);
    }
    let head = &head[..head.len().min(LOOK_AT_MAX)];
    let (mut is_begin, mut clock) = (true, None);
    for (at, byte) in head.iter().enumerate() {
        if is_begin && (byte.is_ascii_digit() || byte.is_ascii_uppercase()) {
            let rest = &head[at..];
            // Plain seconds or milliseconds stand at the very begin, or before a colon.
            let plain = || {
                let (time, length) = forms::since_1970(rest)?;
                (at <= 1 || rest.get(length) == Some(&b':')).then_some(Stamp::Full(time))
            };
            if let Some(stamp) = forms::dated(rest).or_else(plain) {
                return Some(stamp).filter(|_| !is_in_client_id(head, at));
            }
            if clock.is_none() {
                clock = forms::of_day(rest).filter(|_| !is_in_client_id(head, at));
            }
        }
        // Colours end in an `m`.
        let ends_a_colour = *byte == b'm' && is_colour(&head[..at]);
        is_begin = !(byte.is_ascii_alphanumeric() || *byte == b':') || ends_a_colour;
    }
    clock
}

/// A ClientID may look like a time.
fn is_in_client_id(head: &[u8], at: usize) -> bool {
    at > 0 && CLIENT_IDS.iter().any(|key| memchr::memmem::find(&head[..at], key).is_some())
}

impl FromStr for LogTime {
    type Err = String;

    /// A time as a user gives it: `2026-11-24`, `2026-11-24T23:10`, `2026-11-24 23:10:06`, seconds since 1970, or `23:10` for a log
    /// that names no day.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong =
            || format!("invalid time {text:?}: give one as the log prints it, such as 2026-11-24T23:10");
        if text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() >= 9 {
            return forms::since_1970(text.as_bytes()).map(|(time, _)| time).ok_or_else(wrong);
        }
        let full = match text.len() {
            5 => format!("{text}:00"),
            10 => format!("{text}T00:00:00"),
            16 => format!("{text}:00"),
            _ => text.to_owned(),
        };
        match forms::dated(full.as_bytes()).or_else(|| forms::of_day(full.as_bytes())) {
            Some(Stamp::Full(time)) => Ok(time),
            Some(Stamp::OfDay(ms)) => Ok(Self(ms)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for LogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(86_400_000));
        let of_day = self.0.rem_euclid(86_400_000);
        let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
        match self.0.div_euclid(86_400_000) {
            0 => {}
            later @ 1..DAYS_MAX => write!(f, "day {}, ", later + 1)?,
            _ => write!(f, "{year:04}-{month:02}-{day:02}T")?,
        }
        write!(f, "{hour:02}:{minute:02}:{second:02}")?;
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

/// The stamp that is the value of this key, in quotes or not.
fn named(object: &[u8], key: &[u8]) -> Option<Stamp> {
    memchr::memmem::find_iter(object, key).find_map(|at| {
        let value = object[at + key.len()..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        forms::dated(value).or_else(|| forms::since_1970(value).map(|(time, _)| Stamp::Full(time)))
    })
}

#[cfg(test)]
mod tests {
    use super::{LogTime, Times};
    use crate::matcher::Matcher;

    thread_local! {
        static MATCHER: std::cell::RefCell<Matcher> = std::cell::RefCell::new(Matcher::new(None));
    }

    /// The time of a line that is recognised.
    fn of(line: &str) -> Option<String> {
        let found = MATCHER.with_borrow_mut(|matcher| matcher.line(line.as_bytes()));
        let found = found.unwrap_or_else(|| panic!("not recognised: {line}"));
        Times::until("2026-12-01".parse().unwrap()).of(line.as_bytes(), &found).map(|time| time.to_string())
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
            (
                "2026-11-24T23:10:06: Error: Unknown configuration variable \"max_qos\".",
                "2026-11-24T23:10:06",
            ),
        ];
        for (line, time) in lines {
            assert_eq!(of(line).as_deref(), Some(time), "{line}");
        }
    }

    #[test]
    fn the_times_of_other_families_are_read() {
        let heads = [
            ("20240621T14:22:38", "2024-06-21T14:22:38"),
            ("20240621 142238", "2024-06-21T14:22:38"),
            ("24.12.2024 13:02:03", "2024-12-24T13:02:03"),
            ("24.12.2024, 13:02:03.25", "2024-12-24T13:02:03.250"),
            ("[24/12/2024, 13:02:03]", "2024-12-24T13:02:03"),
            ("12/24/2024, 1:02:03 PM", "2024-12-24T13:02:03"),
            ("1/2/2024, 12:02:03 AM", "2024-01-02T00:02:03"),
            ("Tue Nov 24 23:10:06 2026", "2026-11-24T23:10:06"),
            ("24/11/2026 00:45:44,510 [nioEventLoopGroup-3-3]", "2026-11-24T00:45:44.510"),
            ("5/13/2019 12:41:50 PM", "2019-05-13T12:41:50"),
            ("03-29 17:50:09.487 INFO[oup-6-1]", "2026-03-29T17:50:09.487"),
            ("1:57PM WRN", "13:57:00"),
            ("[22:29:08][W][mqtt:335]:", "22:29:08"),
            ("Nov  4 23:10:06 host mosquitto[7]:", "2026-11-04T23:10:06"),
            ("Dec 24 23:10:06 host mosquitto[7]:", "2025-12-24T23:10:06"),
            ("24 Nov 23:10:06 -", "2026-11-24T23:10:06"),
            ("Nov 24, 2024 11:10:06 PM", "2024-11-24T23:10:06"),
            ("10.0.0.7 - - [24/Nov/2026:23:10:06 +0000]", "2026-11-24T23:10:06"),
            ("22:14:04.022 [debug]", "22:14:04.022"),
            ("[10:45:28] INFO:", "10:45:28"),
            ("E (300711) MQTT:", "00:05:00.711"),
            ("1795442586.123", "2026-11-23T14:03:06.123"),
            ("1795442586123456", "2026-11-23T14:03:06.123"),
            ("1795442586123456789", "2026-11-23T14:03:06.123"),
            ("2019-01-31T08:26:06.267938862Z 1548923166:", "2019-01-31T08:26:06.267"),
            ("zigbee2mqtt  | [2025-04-10 09:22:32] error:", "2025-04-10T09:22:32"),
        ];
        for (head, time) in heads {
            let line = format!("{head} Client c1 closed its connection.");
            assert_eq!(of(&line).as_deref(), Some(time), "{line}");
        }
    }

    #[test]
    fn a_log_without_days_counts_its_midnights() {
        let mut times = Times::until("2026-12-01".parse().unwrap());
        let seen = ["23:59:58", "23:59:57", "00:00:01", "12:00:00", "23:00:00", "00:10:00"].map(|clock| {
            let line = format!("{clock} Client c1 closed its connection.");
            let found = Matcher::new(None).line(line.as_bytes()).unwrap();
            times.of(line.as_bytes(), &found).unwrap().to_string()
        });
        assert_eq!(
            seen,
            [
                "23:59:58",
                "23:59:57",
                "day 2, 00:00:01",
                "day 2, 12:00:00",
                "day 2, 23:00:00",
                "day 3, 00:10:00"
            ]
        );
        assert_eq!(times.untimed(), 0);
    }

    #[test]
    fn lines_without_a_time_are_counted() {
        let mut times = Times::until("2026-12-01".parse().unwrap());
        let line = b"Client c1 closed its connection.";
        let found = Matcher::new(None).line(line).unwrap();
        assert_eq!((times.of(line, &found), times.untimed()), (None, 1));
    }

    #[test]
    fn the_times_in_objects_are_read() {
        let lines = [(
            r#"{"log":"Client c1 closed its connection.","time":"24.11.2026 23:10:06"}"#,
            "2026-11-24T23:10:06",
        )];
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
        assert_eq!(parsed("23:10").unwrap(), "23:10:00");
        assert!(parsed("yesterday").unwrap_err().contains("2026-11-24T23:10"));
    }
}
