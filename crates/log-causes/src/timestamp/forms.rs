//! The forms in which logs print a time.

use super::{LogTime, days};

const MONTHS: [&[u8]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// A time, and whether the text names its day and its year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// A day of a year, and a time of that day.
    Full(LogTime),
    /// A time without a year: month from 1, day, and ms of that day.
    WithoutYear(i64, i64, i64),
    /// A time of any day, or since the start of a device, in ms.
    OfDay(i64),
}

/// The time at the begin of `text`; absent when there is none that names its day.
pub(super) fn dated(text: &[u8]) -> Option<Stamp> {
    match text.first()? {
        b'0'..=b'9' => year_first(text)
            .or_else(|| compact(text))
            .or_else(|| day_first(text))
            .or_else(|| month_and_day(text)),
        b'A'..=b'Z' => month_first(text),
        _ => None,
    }
}

/// `23:10:06`, `23:10:06.123`, `1:02:03 PM`, `1:02PM`.
pub(super) fn of_day(text: &[u8]) -> Option<Stamp> {
    clock(text).map(|(ms, _)| Stamp::OfDay(ms))
}

/// The ms since the start of a device as ESP-IDF prints them: `E (300711) `.
pub(super) fn since_boot(text: &[u8]) -> Option<Stamp> {
    let rest = text.get(1..)?.strip_prefix(b" (")?;
    let (value, digits) = digits(rest, 12)?;
    let is_one = matches!(text[0], b'E' | b'W' | b'I' | b'D' | b'V') && rest.get(digits) == Some(&b')');
    is_one.then_some(Stamp::OfDay(value))
}

/// Seconds since 1970 with ten digits and perhaps a fraction, ms with 13, µs with 16, ns with 19. With the length.
pub(super) fn since_1970(text: &[u8]) -> Option<(LogTime, usize)> {
    let (value, count) = digits(text, 19)?;
    let ms = match count {
        10 => {
            let (fraction, length) = fraction(&text[count..]);
            return Some((LogTime(value * 1_000 + fraction), count + length));
        }
        13 => value,
        16 => value / 1_000,
        19 => value / 1_000_000,
        _ => return None,
    };
    Some((LogTime(ms), count))
}

/// The number at the begin, and its digits: at most `most`, and no digit behind them.
fn digits(text: &[u8], most: usize) -> Option<(i64, usize)> {
    let count = text.iter().take(most + 1).take_while(|byte| byte.is_ascii_digit()).count();
    // Nineteen digits fit into 63 bits up to the year 2262.
    let sum = |sum: i64, digit: &u8| sum.checked_mul(10)?.checked_add(i64::from(digit - b'0'));
    (1..=most)
        .contains(&count)
        .then(|| text[..count].iter().try_fold(0_i64, sum))?
        .map(|value| (value, count))
}

/// A number of exactly so many digits, whatever follows.
fn exactly(text: &[u8], count: usize) -> Option<i64> {
    let text = text.get(..count)?;
    text.iter()
        .all(u8::is_ascii_digit)
        .then(|| text.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// Milliseconds of `.123456` or `,123`, with the length; none is 0.
fn fraction(text: &[u8]) -> (i64, usize) {
    if !matches!(text.first(), Some(b'.' | b',')) || !text.get(1).is_some_and(u8::is_ascii_digit) {
        return (0, 0);
    }
    let count = text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let ms =
        (0..3).fold(0, |ms, at| ms * 10 + text[1..=count].get(at).map_or(0, |digit| i64::from(digit - b'0')));
    (ms, count + 1)
}

/// Milliseconds of a clock, with its length.
fn clock(text: &[u8]) -> Option<(i64, usize)> {
    let (hours, width) = digits(text, 2)?;
    let rest = text[width..].strip_prefix(b":")?;
    let minutes = exactly(rest, 2)?;
    let (seconds, at) = match rest.get(2..)?.strip_prefix(b":") {
        Some(rest) => (exactly(rest, 2)?, width + 6),
        // `1:57PM`, as zerolog prints it.
        None if matches!(rest.get(2..4), Some(b"AM" | b"PM")) => (0, width + 3),
        None => return None,
    };
    let (ms, length) = fraction(&text[at..]);
    let end = at + length;
    if hours > 24 || minutes > 59 || seconds > 60 || text.get(end).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    // JavaScript puts a narrow blank before the letters.
    let behind = text[end..].strip_prefix("\u{202f}".as_bytes()).unwrap_or(text[end..].trim_ascii_start());
    let half = behind.get(..2).map(<[u8]>::to_ascii_uppercase);
    let hours = match half.as_deref() {
        Some(b"AM") if hours == 12 => 0,
        Some(b"PM") if hours < 12 => hours + 12,
        _ => hours,
    };
    Some(((hours * 3_600 + minutes * 60 + seconds) * 1_000 + ms, end))
}

fn full(year: i64, month: i64, day: i64, ms: i64) -> Option<Stamp> {
    let is_day = (1970..=9_999).contains(&year) && is_in_year(month, day);
    is_day.then(|| Stamp::Full(LogTime(days(year, month, day) * 86_400_000 + ms)))
}

fn is_in_year(month: i64, day: i64) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// What stands between a date and a clock.
fn clock_behind(text: &[u8]) -> Option<(i64, usize)> {
    let skipped = text
        .iter()
        .take(3)
        .take_while(|byte| matches!(byte, b' ' | b'T' | b',' | b'_' | b':' | b'-'))
        .count();
    (skipped > 0).then(|| clock(&text[skipped..]))?.map(|(ms, length)| (ms, skipped + length))
}

/// `2026-11-24T23:10:06.123`, with `/`, `-` or `.` in the date.
fn year_first(text: &[u8]) -> Option<Stamp> {
    let year = exactly(text, 4)?;
    let separator = *text.get(4).filter(|byte| matches!(byte, b'-' | b'/' | b'.'))?;
    let (month, day) = (exactly(&text[5..], 2)?, exactly(text.get(8..)?, 2)?);
    let (ms, _) = (text[7] == separator).then(|| clock_behind(&text[10..]))??;
    full(year, month, day, ms)
}

/// `20240621T14:22:38`, `20240621 142238`, `20240621142238`.
fn compact(text: &[u8]) -> Option<Stamp> {
    let (year, month, day) = (exactly(text, 4)?, exactly(text.get(4..)?, 2)?, exactly(text.get(6..)?, 2)?);
    let rest = &text[8..];
    if let Some((ms, _)) = clock_behind(rest) {
        return full(year, month, day, ms);
    }
    let rest = rest.strip_prefix(b"T").or_else(|| rest.strip_prefix(b" ")).unwrap_or(rest);
    let (hours, minutes, seconds) = (exactly(rest, 2)?, exactly(&rest[2..], 2)?, exactly(rest.get(4..)?, 2)?);
    let is_clock = hours < 24 && minutes < 60 && seconds < 61 && !rest.get(6).is_some_and(u8::is_ascii_digit);
    is_clock.then(|| full(year, month, day, (hours * 3_600 + minutes * 60 + seconds) * 1_000))?
}

/// `24.12.2024 13:02:03`, `24/12/2024, 13:02:03`, `12/24/2024, 1:02:03 PM`, `24/Nov/2026:23:10:06`, `24 Nov 2026 23:10:06`,
/// `24 Nov 23:10:06`.
fn day_first(text: &[u8]) -> Option<Stamp> {
    let (first, width) = digits(text, 2)?;
    let rest = &text[width..];
    let separator = *rest.first().filter(|byte| matches!(byte, b'.' | b'/' | b'-' | b' '))?;
    let rest = &rest[1..];
    if let Some(month) = month(rest) {
        let rest = &rest[3..];
        if separator == b' '
            && let Some((ms, _)) = clock_behind(rest)
        {
            return is_in_year(month, first).then_some(Stamp::WithoutYear(month, first, ms));
        }
        let rest = rest.strip_prefix(&[separator])?;
        return full(exactly(rest, 4)?, month, first, clock_behind(&rest[4..])?.0);
    }
    if separator == b' ' {
        return None;
    }
    let (second, width) = digits(rest, 2)?;
    let rest = rest[width..].strip_prefix(&[separator])?;
    let (ms, length) = clock_behind(rest.get(4..)?)?;
    // America writes the month first, and mostly twelve hours.
    let has_half =
        rest[4 + length..].trim_ascii_start().get(1).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'M'));
    let is_month_first = separator == b'/' && (second > 12 || (has_half && first <= 12));
    let (month, day) = if is_month_first { (first, second) } else { (second, first) };
    full(exactly(rest, 4)?, month, day, ms)
}

/// `03-29 17:50:09.487`.
fn month_and_day(text: &[u8]) -> Option<Stamp> {
    let (month, day) = (exactly(text, 2)?, exactly(text.get(3..)?, 2)?);
    let (ms, _) = (text[2] == b'-' && text.get(5) == Some(&b' ')).then(|| clock(&text[6..]))??;
    is_in_year(month, day).then_some(Stamp::WithoutYear(month, day, ms))
}

fn month(text: &[u8]) -> Option<i64> {
    let place = MONTHS.iter().position(|name| text.starts_with(name))?;
    i64::try_from(place + 1).ok()
}

/// `Nov 24 23:10:06`, `Tue Nov 24 23:10:06 2026`, `Nov 24, 2026 11:10:06 PM`.
fn month_first(text: &[u8]) -> Option<Stamp> {
    let month = month(text)?;
    let rest = text[3..].strip_prefix(b" ")?.trim_ascii_start();
    let (day, width) = digits(rest, 2)?;
    let rest = &rest[width..];
    if let Some((ms, length)) = clock_behind(rest) {
        let behind = rest[length..].trim_ascii_start();
        return match exactly(behind, 4).filter(|_| !behind.get(4).is_some_and(u8::is_ascii_alphanumeric)) {
            Some(year) if (1970..2100).contains(&year) => full(year, month, day, ms),
            _ => is_in_year(month, day).then_some(Stamp::WithoutYear(month, day, ms)),
        };
    }
    let rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
    full(exactly(rest, 4)?, month, day, clock_behind(&rest[4..])?.0)
}
