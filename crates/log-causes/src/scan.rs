//! Brings the lines of a log to a [`Matcher`]: from any reader, in bounded memory, whatever the bytes are.
//!
//! Lines that hold no needle are never looked at as lines: they are only counted.

use std::io::{self, Read};

use crate::broker::Broker;
use crate::cause::{Cause, Effect};
use crate::matcher::{Found, Matcher};
use crate::unknown::{Unknown, UnknownLines};

/// Bytes of a line that are looked at: as many as container runtimes put into one line. What is behind them is skipped,
/// so that the work, and what is kept, does not depend on what a client has a broker write into its log.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;
/// Recognised lines after which the broker is decided, and bytes of them at the most.
const LINES_TO_DECIDE: usize = 200;
const BYTES_TO_DECIDE: usize = 1 << 20;

/// One recognised line.
#[derive(Debug)]
pub struct Line<'l> {
    /// Its number, from 1.
    pub number: u64,
    /// Its first [`LINE_BYTES_MAX`] bytes, without the line end.
    pub bytes: &'l [u8],
    /// What it says.
    pub found: Found,
}

/// Counts of what was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Lines, including a last one without an end.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
    /// Recognised lines, without those that are known to mean nothing.
    pub recognised: u64,
    /// Lines that are known to mean nothing for a client.
    pub insignificant: u64,
    /// Lines that were not recognised, and tell of trouble.
    pub unknown: u64,
    /// Lines longer than [`LINE_BYTES_MAX`], whose rest was ignored.
    pub lines_cut: u64,
}

impl std::ops::AddAssign for Scanned {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.bytes += other.bytes;
        self.recognised += other.recognised;
        self.insignificant += other.insignificant;
        self.unknown += other.unknown;
        self.lines_cut += other.lines_cut;
    }
}

/// Reads one log. Unless given, the broker is detected from the first recognised lines.
#[derive(Debug)]
pub struct Scanner {
    matcher: Matcher,
    broker: Option<Broker>,
    buffer: Vec<u8>,
    filled: usize,
    scanned: Scanned,
    /// Whether the buffer begins within a line that is longer than a block and was counted as cut.
    is_within_long_line: bool,
    /// Whether the previous line is a take-over or directly follows one.
    is_behind: bool,
    /// Lines that wait for the detection, and whether each directly follows a take-over.
    undecided: Vec<(u64, Vec<u8>, bool)>,
    undecided_bytes: usize,
    unknown: Unknown,
}

impl Scanner {
    /// A scanner for the log of `broker`, or of any broker.
    #[must_use]
    pub fn new(broker: Option<Broker>) -> Self {
        Self {
            matcher: Matcher::new(broker),
            broker,
            buffer: vec![0; BLOCK_BYTES],
            filled: 0,
            scanned: Scanned::default(),
            is_within_long_line: false,
            is_behind: false,
            undecided: Vec::new(),
            undecided_bytes: 0,
            unknown: Unknown::default(),
        }
    }

    /// The broker; absent while it is unknown.
    #[must_use]
    pub fn broker(&self) -> Option<Broker> {
        self.broker
    }

    /// The counts so far.
    #[must_use]
    pub fn scanned(&self) -> Scanned {
        Scanned { unknown: self.unknown.lines(), ..self.scanned }
    }

    /// The lines that were not recognised and tell of trouble, by their shape; most frequent first, at most 1,000 shapes.
    #[must_use]
    pub fn unknown(&self) -> Vec<UnknownLines> {
        self.unknown.shapes()
    }

    /// Reads the next block and passes complete recognised lines to `take`. Returns the bytes read: 0 at the end.
    pub fn read(&mut self, reader: &mut impl Read, take: &mut dyn FnMut(Line<'_>)) -> io::Result<usize> {
        let read = loop {
            match reader.read(&mut self.buffer[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.scanned.bytes += read as u64;
        let had = self.filled;
        self.filled += read;
        let complete = match memchr::memrchr(b'\n', &self.buffer[had..self.filled]) {
            Some(at) => had + at + 1,
            None if self.filled == self.buffer.len() => self.filled,
            None => return Ok(read),
        };
        let ends_within_a_line = self.buffer[complete - 1] != b'\n';
        self.region(complete, take);
        self.is_within_long_line = ends_within_a_line;
        self.buffer.copy_within(complete..self.filled, 0);
        self.filled -= complete;
        Ok(read)
    }

    /// Processes a last line without an end, and detects the broker if it is still unknown.
    pub fn finish(&mut self, take: &mut dyn FnMut(Line<'_>)) {
        let filled = self.filled;
        let has_rest = filled > 0;
        self.region(filled, take);
        self.filled = 0;
        self.scanned.lines += u64::from(has_rest || self.is_within_long_line);
        self.is_within_long_line = false;
        self.settle(take);
    }

    /// Detects the broker from the lines so far.
    pub fn settle(&mut self, take: &mut dyn FnMut(Line<'_>)) {
        if self.broker.is_some() {
            return;
        }
        let Some(leader) = self.matcher.leader() else { return };
        self.broker = Some(leader);
        self.matcher = self.matcher.narrowed_to(leader);
        // These lines are looked at again.
        self.scanned.insignificant = 0;
        for (number, bytes, is_behind) in std::mem::take(&mut self.undecided) {
            if is_behind {
                self.behind(number, &bytes, take);
                continue;
            }
            // The needles of one broker are fewer than those of all, so the first one may end elsewhere.
            self.candidate(number, &bytes, 0, take);
        }
    }

    /// Processes the first `end` bytes of the buffer: whole lines, except for a line longer than a block or the log's last.
    fn region(&mut self, end: usize, take: &mut dyn FnMut(Line<'_>)) {
        let buffer = std::mem::take(&mut self.buffer);
        self.lines(&buffer[..end], take);
        self.buffer = buffer;
    }

    fn lines(&mut self, text: &[u8], take: &mut dyn FnMut(Line<'_>)) {
        let end = text.len();
        let mut at = match self.is_within_long_line {
            true => memchr::memchr(b'\n', text).map_or(end, |place| place + 1),
            false => 0,
        };
        self.scanned.lines_cut += long_lines(&text[at..]);
        let mut counted = 0;
        loop {
            while self.is_behind && at < end {
                let line_end = memchr::memchr(b'\n', &text[at..]).map_or(end, |place| at + place);
                self.scanned.lines += newlines(&text[counted..at]);
                counted = at;
                let line = &text[at..line_end.min(at + LINE_BYTES_MAX)];
                self.is_behind = self.behind(self.scanned.lines + 1, line, take);
                if self.is_behind {
                    at = (line_end + 1).min(end);
                }
            }
            let Some(needle) = self.matcher.next_candidate(&text[at..]) else { break };
            let (from, to) = (at + needle.start, at + needle.end);
            let start =
                memchr::memrchr(b'\n', &text[counted..from]).map_or(counted, |place| counted + place + 1);
            let line_end = memchr::memchr(b'\n', &text[to..]).map_or(end, |place| to + place);
            self.scanned.lines += newlines(&text[counted..start]);
            counted = start;
            let line = &text[start..line_end.min(start + LINE_BYTES_MAX)];
            // The first needle may be beyond the part that is read.
            self.is_behind =
                to - start <= line.len() && self.candidate(self.scanned.lines + 1, line, to - start, take);
            at = (line_end + 1).min(end);
        }
        self.scanned.lines += newlines(&text[counted..]);
    }

    /// Processes a line with a needle. Returns whether it is a take-over.
    fn candidate(
        &mut self,
        number: u64,
        bytes: &[u8],
        needle_end: usize,
        take: &mut dyn FnMut(Line<'_>),
    ) -> bool {
        let Some(found) = self.matcher.candidate(bytes, needle_end) else {
            if self.broker.is_none() && self.matcher.is_perhaps_a_clients() {
                self.wait(number, bytes, false, take);
                return false;
            }
            if self.matcher.has_trouble(bytes) {
                self.unknown.add(number, bytes);
            }
            return false;
        };
        let is_take_over = found.cause == Cause::TakeOver;
        self.recognised(Line { number, bytes, found }, false, take);
        is_take_over
    }

    /// Processes a line directly after a take-over. Returns whether it belongs to it.
    fn behind(&mut self, number: u64, bytes: &[u8], take: &mut dyn FnMut(Line<'_>)) -> bool {
        let Some(found) = self.matcher.behind(bytes) else { return false };
        self.recognised(Line { number, bytes, found }, true, take);
        true
    }

    fn recognised(&mut self, line: Line<'_>, is_behind: bool, take: &mut dyn FnMut(Line<'_>)) {
        let is_aside = line.found.pattern.effect == Effect::Aside;
        self.scanned.insignificant += u64::from(is_aside);
        if self.broker.is_some() {
            // Lines that mean nothing are known, and no understanding of the log.
            self.scanned.recognised += u64::from(!is_aside);
            take(line);
            return;
        }
        self.wait(line.number, line.bytes, is_behind, take);
    }

    /// Keeps a line until the broker is detected.
    fn wait(&mut self, number: u64, bytes: &[u8], is_behind: bool, take: &mut dyn FnMut(Line<'_>)) {
        self.undecided_bytes += bytes.len();
        self.undecided.push((number, bytes.to_vec(), is_behind));
        if self.undecided.len() >= LINES_TO_DECIDE || self.undecided_bytes >= BYTES_TO_DECIDE {
            self.settle(take);
        }
    }
}

/// Number of lines longer than [`LINE_BYTES_MAX`]; the last one need not have an end.
fn long_lines(text: &[u8]) -> u64 {
    let (mut count, mut at) = (0, 0);
    while text.len() - at > LINE_BYTES_MAX {
        // Skips to the last line end within reach: most lines are much shorter.
        at += match memchr::memrchr(b'\n', &text[at..=at + LINE_BYTES_MAX]) {
            Some(place) => place + 1,
            None => {
                count += 1;
                memchr::memchr(b'\n', &text[at..]).map_or(text.len() - at, |place| place + 1)
            }
        };
    }
    count
}

fn newlines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::{LINE_BYTES_MAX, Scanned, Scanner, long_lines};
    use crate::broker::Broker;

    /// Returns a few bytes at a time.
    struct Drips<'t>(&'t [u8], usize);

    impl Read for Drips<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn scan(
        broker: Option<Broker>,
        text: &[u8],
        step: usize,
    ) -> (Scanned, Option<Broker>, Vec<(u64, String)>) {
        let mut scanner = Scanner::new(broker);
        let mut lines = Vec::new();
        let mut take = |line: super::Line<'_>| {
            lines.push((line.number, line.found.client.unwrap_or_else(|| "-".to_owned())));
        };
        let mut reader = Drips(text, step);
        while scanner.read(&mut reader, &mut take).unwrap() > 0 {}
        scanner.finish(&mut take);
        (scanner.scanned(), scanner.broker(), lines)
    }

    #[test]
    fn lines_are_numbered_and_found_across_reads() {
        let text = b"hello\nClient a closed its connection.\n\n\xff\x00rubbish\nClient b closed its connection.\nno\nClient c closed its connection.";
        let expected = vec![(2, "a".to_owned()), (5, "b".to_owned()), (7, "c".to_owned())];
        for step in [1, 2, 7, 40, 1_000] {
            for broker in [None, Some(Broker::Mosquitto)] {
                let (scanned, decided, lines) = scan(broker, text, step);
                assert_eq!(lines, expected, "{step}");
                assert_eq!(decided, Some(Broker::Mosquitto));
                assert_eq!((scanned.lines, scanned.recognised, scanned.bytes), (7, 3, text.len() as u64));
            }
        }
    }

    #[test]
    fn lines_after_a_take_over_are_found_across_reads() {
        let sent = "Sending PUBLISH to m (d0, q1, r0, m2, 't', ... (7 bytes))\n";
        let taken = "Client a already connected, closing old connection.\n";
        let text = format!("{sent}\n{taken}{sent}{sent}other\n{sent}{taken}\n{sent}{taken}{sent}");
        for step in [1, 7, 60, 1_000] {
            for broker in [None, Some(Broker::Mosquitto)] {
                let (scanned, _, lines) = scan(broker, text.as_bytes(), step);
                let numbers: Vec<u64> = lines.iter().map(|(number, _)| *number).collect();
                assert_eq!(numbers, [3, 4, 5, 8, 11, 12], "{step} {broker:?}");
                assert_eq!((scanned.lines, scanned.recognised), (12, 6));
            }
        }
    }

    #[test]
    fn an_unknown_log_has_no_broker() {
        let (scanned, broker, lines) = scan(None, b"one\ntwo\n", 100);
        assert_eq!((scanned.lines, broker, lines.len()), (2, None, 0));
        assert_eq!(scan(None, b"", 100).0, Scanned::default());
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let mut text = vec![b'x'; 3 << 20];
        text.extend_from_slice(b"\nClient a closed its connection.\n");
        let (scanned, _, lines) = scan(Some(Broker::Mosquitto), &text, 1 << 16);
        assert_eq!(lines, [(2, "a".to_owned())]);
        assert_eq!((scanned.lines, scanned.lines_cut), (2, 1));
    }

    #[test]
    fn a_long_line_is_read_from_its_start_and_counted_as_cut_once() {
        let lost = "Client a closed its connection. ";
        let filled = |length: usize| format!("{lost}{}", "x".repeat(length - lost.len()));
        let late = format!("{}{lost}", "x".repeat(LINE_BYTES_MAX));
        let endless = "Client b closed its connection.".repeat(100_000);
        let text = [
            &filled(LINE_BYTES_MAX),
            &filled(LINE_BYTES_MAX + 1),
            &late,
            &endless,
            lost,
            &filled(2 * LINE_BYTES_MAX),
        ]
        .map(|line| line.as_bytes())
        .join(&b'\n');
        for step in [1 << 13, 1 << 16, 1 << 22] {
            for broker in [None, Some(Broker::Mosquitto)] {
                let mut scanner = Scanner::new(broker);
                let (mut numbers, mut longest) = (Vec::new(), 0);
                let mut take = |line: super::Line<'_>| {
                    numbers.push(line.number);
                    longest = longest.max(line.bytes.len());
                };
                let mut reader = Drips(&text, step);
                while scanner.read(&mut reader, &mut take).unwrap() > 0 {}
                scanner.finish(&mut take);
                assert_eq!(numbers, [1, 2, 4, 5, 6], "{step} {broker:?}");
                let scanned = scanner.scanned();
                assert_eq!((scanned.lines, scanned.lines_cut, longest), (6, 4, LINE_BYTES_MAX));
                assert_eq!(scanned.bytes, text.len() as u64);
            }
        }
    }

    #[test]
    fn long_lines_are_those_above_the_limit() {
        let line = |length: usize| "x".repeat(length);
        for (lines, long) in [
            (vec![0, 1, LINE_BYTES_MAX], 0),
            (vec![LINE_BYTES_MAX + 1, 5, LINE_BYTES_MAX], 1),
            (vec![5, 3 * LINE_BYTES_MAX, 2 * LINE_BYTES_MAX], 2),
            (vec![LINE_BYTES_MAX, LINE_BYTES_MAX, LINE_BYTES_MAX + 1], 1),
        ] {
            let text = lines.iter().map(|length| line(*length)).collect::<Vec<_>>().join("\n");
            assert_eq!(long_lines(text.as_bytes()), long, "{lines:?}");
            assert_eq!(long_lines(format!("{text}\n").as_bytes()), long, "{lines:?}, with its end");
        }
    }

    #[test]
    fn most_lines_decide_the_broker_also_for_the_first_lines() {
        let mut text = b"Client a closed its connection.\n".to_vec();
        for _ in 0..3 {
            text.extend_from_slice(b"MQTT connection <<\"10.0.0.7:1 -> 10.0.0.1:1883\">> will terminate because peer closed TCP connection\n");
        }
        let (scanned, broker, lines) = scan(None, &text, 1_000);
        assert_eq!((broker, lines.len(), scanned.recognised), (Some(Broker::RabbitMq), 3, 3));
    }
}
