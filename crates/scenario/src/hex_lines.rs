//! Hex as people paste it into bug reports: plain digits in many notations, hex dumps, and shell one-liners.
//!
//! [`read`] accepts, also mixed in one text:
//!
//! - digits: `10 0C 00 04`, `100c0004`, `0x10,0x0c`, `\x10\x0c`, `10:0c`, `10-0c`, and string literals such as
//!   `b'\x10\x0c\x00\x04MQTT'`. One line is one segment, so a packet over several lines is sent in several segments.
//! - dumps with offsets: of `xxd`, `hexdump -C`, `od -t x1`, of Wireshark and tshark. The rows of a dump are one segment;
//!   offset 0 begins the next one. In a followed TCP stream of Wireshark, the indented rows are the broker's.
//! - shell commands: `echo 100c... | xxd -r -p | nc HOST 1883`, `printf '\x10\x0c' | nc HOST 1883`; each `echo` or `printf` is
//!   one segment, and `sleep` is a pause. The newline that `echo` adds counts, except for hex.
//! - `pause 2s` or `wait 500ms`.
//! - comments after `#`, `//` or `;`, blank lines, and the fences of Markdown.
//!
//! A line may begin with a mark: `>`, `->` or `C:` where the client sends, and `<`, `<-` or `S:` where the broker does. Without
//! a mark, the client sends.

mod digits;
mod dump;
mod literal;
mod row;
mod shell;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use dump::{Dumps, Place};
use row::Row;

pub use crate::capture::Side;

/// Bytes that one side sends at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HexLine {
    /// Where it begins: the number of a line, counted from 1.
    pub line: usize,
    /// Who sends the bytes.
    pub from: Side,
    /// The bytes. Empty only in the last element, where a pause follows all bytes.
    pub bytes: Vec<u8>,
    /// How long to wait before the bytes: the sum of the pauses before them. Absent without any.
    pub pause: Option<Duration>,
}

/// Something that is neither bytes nor a comment.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct Mistake {
    /// The number of the line, counted from 1.
    pub line: usize,
    /// Where in the line, in characters, counted from 1.
    pub column: usize,
    /// What is wrong and how to correct it, without a full stop.
    pub what: String,
}

/// How lines begin that surround bytes: fences of Markdown, and what tshark prints before a followed stream.
const FRAMING: [&str; 5] = ["```", "====", "Follow: ", "Filter: ", "Node "];

/// Reads bytes from text. The result is empty if the text has nothing but comments.
///
/// ```
/// use ungraceful_scenario::hex_lines::{Side, read};
///
/// let lines = read("> 0xC0,0x00  # PINGREQ\nwait 500ms\n< d000").expect("no mistakes");
/// assert_eq!((lines[0].from, &lines[0].bytes[..]), (Side::Client, &[0xC0, 0][..]));
/// assert_eq!(lines[1].pause.map(|pause| pause.as_millis()), Some(500));
///
/// let mistakes = read("10 c").unwrap_err();
/// assert_eq!(mistakes[0].to_string(), "line 1, column 4: \"c\" is one digit: every byte has two, such as 0c");
/// ```
///
/// # Errors
/// All mistakes of the text, at most one per line, in the order of the lines.
pub fn read(text: &str) -> Result<Vec<HexLine>, Vec<Mistake>> {
    let mut reader = Reader { dumps: Dumps::of(text), ..Reader::default() };
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end()));
    while let Some((number, first)) = lines.next() {
        let mut line = Cow::Borrowed(first);
        // A command may go on in the next line.
        while line.ends_with('\\') && shell::is_command(&line[mark(&line).1..]) {
            let Some((_, next)) = lines.next() else { break };
            let joined = line.to_mut();
            joined.pop();
            joined.push(' ');
            joined.push_str(next);
        }
        if let Err(wrong) = reader.line(number, &line) {
            reader.add(wrong.in_line(number, &line));
        }
    }
    reader.finish()
}

/// A mistake in a line that is being read.
#[derive(Debug)]
struct Wrong {
    /// In bytes from the start of the line.
    at: usize,
    what: String,
}

impl Wrong {
    fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }

    fn in_line(self, number: usize, line: &str) -> Mistake {
        let before = line.char_indices().take_while(|(at, _)| *at < self.at).count();
        Mistake { line: number, column: before + 1, what: self.what }
    }
}

#[derive(Debug, Default)]
struct Reader {
    found: Vec<HexLine>,
    mistakes: Vec<Mistake>,
    /// Since the last bytes.
    pause: Option<Duration>,
    /// The line of `pause`.
    pause_line: usize,
    dumps: Dumps,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), Wrong> {
        let (mark, start) = mark(line);
        let content = &line[start..];
        if digits::is_comment(content) || FRAMING.iter().any(|start| content.starts_with(start)) {
            return Ok(());
        }
        if content == "*" {
            self.dumps.lose(mark);
            return Err(Wrong::new(
                start,
                "`*` stands for rows that the dump leaves out: use `hexdump -v -C` or `xxd`",
            ));
        }
        if let Some(pause) = pause(line, start) {
            self.dumps.close();
            self.wait(number, pause?);
            return Ok(());
        }
        if shell::is_command(content) {
            self.dumps.close();
            return self.command(number, mark, line, start);
        }
        match row::read(line, start) {
            Some(Ok(row)) if self.dumps.expects(&row, mark) => return self.row(number, mark, row),
            Some(Err(wrong)) => {
                self.dumps.lose(mark);
                return Err(wrong);
            }
            _ => {}
        }
        self.dumps.close();
        let bytes = literal::read(line, start).unwrap_or_else(|| digits::read(line, start))?;
        if !bytes.is_empty() {
            self.bytes(number, mark.unwrap_or(Side::Client), bytes);
        }
        Ok(())
    }

    fn add(&mut self, mistake: Mistake) {
        // Each row of such a dump has the same mistake.
        let is_repeated = self.mistakes.last().is_some_and(|last| last.what == row::WORDS);
        if !(is_repeated && mistake.what == row::WORDS) {
            self.mistakes.push(mistake);
        }
    }

    fn bytes(&mut self, line: usize, from: Side, bytes: Vec<u8>) {
        self.found.push(HexLine { line, from, bytes, pause: self.pause.take() });
    }

    fn wait(&mut self, number: usize, pause: Duration) {
        self.pause_line = number;
        self.pause = Some(self.pause.unwrap_or_default().saturating_add(pause));
    }

    fn command(&mut self, number: usize, mark: Option<Side>, line: &str, start: usize) -> Result<(), Wrong> {
        for step in shell::read(line, start)? {
            match step {
                shell::Step::Send(bytes) => self.bytes(number, mark.unwrap_or(Side::Client), bytes),
                shell::Step::Wait(pause) => self.wait(number, pause),
            }
        }
        Ok(())
    }

    fn row(&mut self, number: usize, mark: Option<Side>, row: Row) -> Result<(), Wrong> {
        match self.dumps.place(&row, mark)? {
            Place::First(from) => self.bytes(number, from, row.bytes),
            Place::Next => {
                if let Some(last) = self.found.last_mut() {
                    last.bytes.extend(row.bytes);
                }
            }
            Place::Nowhere => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<HexLine>, Vec<Mistake>> {
        for found in self.found.iter().filter(|found| is_frame(&found.bytes)) {
            self.mistakes.push(Mistake {
                line: found.line,
                column: 1,
                what: "these bytes are a whole Ethernet frame: copy the payload of TCP only, or save the capture and read that"
                    .into(),
            });
        }
        self.mistakes.sort_by_key(|mistake| mistake.line);
        if !self.mistakes.is_empty() {
            return Err(self.mistakes);
        }
        if self.pause.is_some() {
            self.bytes(self.pause_line, Side::Client, Vec::new());
        }
        Ok(self.found)
    }
}

/// Whether bytes begin with the headers of Ethernet, IP and TCP, as the packets in Wireshark do.
fn is_frame(bytes: &[u8]) -> bool {
    match bytes.get(12..).unwrap_or_default() {
        [0x08, 0x00, 0x45..=0x4F, ip @ ..] => ip.len() >= 39 && ip[8] == 6,
        [0x86, 0xDD, 0x60..=0x6F, ip @ ..] => ip.len() >= 59 && ip[5] == 6,
        _ => false,
    }
}

/// The side that the mark of a line names, and where the line goes on after it.
fn mark(line: &str) -> (Option<Side>, usize) {
    const MARKS: [(&str, Side); 11] = [
        ("-->", Side::Client),
        ("->", Side::Client),
        (">", Side::Client),
        ("<--", Side::Server),
        ("<-", Side::Server),
        ("<", Side::Server),
        ("C:", Side::Client),
        ("S:", Side::Server),
        ("client:", Side::Client),
        ("server:", Side::Server),
        ("broker:", Side::Server),
    ];
    let start = after_spaces(line, 0);
    for (text, side) in MARKS {
        let there = line.get(start..start + text.len());
        // A small c may be a digit.
        if there.is_some_and(|there| there == text || text.len() > 2 && there.eq_ignore_ascii_case(text)) {
            return (Some(side), after_spaces(line, start + text.len()));
        }
    }
    (None, start)
}

/// The first place from `start` on that is no white space.
fn after_spaces(line: &str, start: usize) -> usize {
    line.len() - line[start..].trim_start().len()
}

/// The duration of `pause 2s`; absent if the line is something else.
fn pause(line: &str, start: usize) -> Option<Result<Duration, Wrong>> {
    let word = line[start..].split_whitespace().next()?;
    if !["pause", "wait", "sleep"].iter().any(|known| word.eq_ignore_ascii_case(known)) {
        return None;
    }
    let at = after_spaces(line, start + word.len());
    let rest = &line[at..];
    let value = rest[..digits::comment_start(rest)].trim_end();
    let is_shell = word == "sleep";
    Some(match duration(value).or_else(|| seconds(value).filter(|_| is_shell)) {
        Some(pause) => Ok(pause),
        None if value.is_empty() => Err(Wrong::new(at, format!("a duration is missing: write `{word} 2s`"))),
        None => Err(Wrong::new(
            at,
            format!("invalid duration \"{value}\": write a number and ms, s or min, such as 500ms"),
        )),
    })
}

/// Seconds without a unit, as `sleep` takes them.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse::<f64>().ok()?).ok()
}

/// A number, perhaps with a decimal point, and a unit.
fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let unit_s = match text[unit_at..].trim_start() {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" | "sec" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(text[..unit_at].parse::<f64>().ok()? * unit_s).ok()
}
