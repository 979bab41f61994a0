//! Lines that stand for several events: loggers write a repeated message once, with how often it came.

use crate::cause::Effect;
use crate::matcher::Found;

/// Most repetitions that a line may claim.
const MAX: u64 = 1_000_000;

/// What a recognised line says about how often a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// The line is one event.
    No,
    /// The message in this line came this often: `message repeated 3 times: [ …]`.
    This(u64),
    /// The message of the line directly before came this many times more: `last message repeated 3 times`.
    Before(u64),
    /// The message in one of the next lines came this often: `First occurred: 21:53:39 (3 occurrences)`.
    Next(u64),
}

impl Repeats {
    pub(super) fn of(text: &[u8], found: &Found) -> Self {
        let is_note = found.pattern.effect == Effect::Aside;
        let number = |before: &[u8]| number_behind(text, before);
        if is_note {
            let next = || Some(Self::Next(number(b" (").filter(|_| text.starts_with(b"First occurred: "))?));
            return number(b"last message repeated ").map(Self::Before).or_else(next).unwrap_or(Self::No);
        }
        // A ClientID may have such words, but hardly at the begin of a line of syslog.
        let times =
            || number(b"message repeated ").filter(|_| memchr::memmem::find(text, b" times: [").is_some());
        times().map_or(Self::No, Self::This)
    }
}

/// The number directly behind `before`, where that is in the text.
fn number_behind(text: &[u8], before: &[u8]) -> Option<u64> {
    /// Bytes at the start of a line that may contain it.
    const LOOK_AT_MAX: usize = 160;
    let head = &text[..text.len().min(LOOK_AT_MAX)];
    let digits = &head[memchr::memmem::find(head, before)? + before.len()..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok()?.parse::<u64>().ok().map(|number| number.min(MAX))
}
