//! Lines that no pattern knows and that look like trouble, grouped by their shape: a report that is silent about them would reassure
//! over nothing.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use foldhash::HashMap;

/// Beginnings of words that tell of trouble, in lower case.
const STEMS: [&str; 31] = [
    "killed process",
    "out of memory",
    "abort",
    "can't auth",
    "cannot auth",
    "closed",
    "closing",
    "crash",
    "denied",
    "disconnect",
    "dropped",
    "error",
    "exceed",
    "exception",
    "expired",
    "fail",
    "kick",
    "lost",
    "malformed",
    "not author",
    "panic",
    "refused",
    "reject",
    "reset",
    "terminat",
    "timed out",
    "timeout",
    "time out",
    "unauthor",
    "unreachable",
    "violat",
];

/// Lines that name messages and topics, which may contain any word.
const ORDINARY: [&[u8]; 6] = [
    b"Sending PUB",
    b"Received PUB",
    b"Sending SUBACK",
    b"Sending UNSUBACK",
    b" sending PUB",
    b" received PUB",
];

/// Shapes that are kept; further ones are only counted.
const SHAPES_MAX: usize = 1_000;
/// Bytes of a shape and of an example.
const TEXT_MAX: usize = 200;

/// The stems as they are written at the begin of a sentence, within it, and in capitals.
pub(crate) fn needles() -> impl Iterator<Item = Vec<u8>> {
    STEMS.iter().flat_map(|stem| {
        let mut begin = stem.as_bytes().to_vec();
        begin[0].make_ascii_uppercase();
        [stem.as_bytes().to_vec(), begin, stem.to_ascii_uppercase().into_bytes()]
    })
}

/// Whether a line that has a word of trouble is about one. Lines about messages are not, and of a stack trace only the first line is.
pub(crate) fn is_trouble(line: &[u8]) -> bool {
    let is_frame = line.trim_ascii_start().starts_with(b"at ") && memchr::memchr(b'(', line).is_some();
    !is_frame && ORDINARY.iter().all(|text| memchr::memmem::find(line, text).is_none())
}

/// Texts of runtimes, which any program that loses a connection prints.
const OF_ANY_PROGRAM: [&str; 14] = [
    "econn",
    "enotfound",
    "epipe",
    "etimedout",
    "socket hang up",
    "connection closed",
    "connection lost",
    "closed connection",
    "http:",
    "npm err",
    "connection refused",
    "connection reset",
    "tls handshake",
    "getaddrinfo",
];

/// Words that only a client of MQTT, or a program around one, has in its lines: packets, programs, and the usual ports.
const OF_CLIENTS: [&str; 37] = [
    "not authori",
    "identifier rejected",
    "bad user",
    "unacceptable protocol",
    "server unavailable",
    "broker unavailable",
    "services.iot",
    "(3210",
    "mainloop:",
    "mqtt",
    "paho",
    "mosquitto",
    "zigbee",
    "tasmota",
    "mosq_",
    "connack",
    "suback",
    "puback",
    "pingreq",
    "pingresp",
    "ping_resp",
    "keepalive",
    "keep alive",
    "keep-alive",
    "clientid",
    "client id",
    "broker",
    ":1883",
    ":8883",
    " 1883",
    " 8883",
    "result code",
    "return code",
    "[client]",
    "[net]",
    "esp-",
    "transport_",
];

/// Whether a line may be that of any program, so that it says nothing of MQTT by itself.
pub(crate) fn is_of_any_program(line: &[u8]) -> bool {
    static ANY: LazyLock<AhoCorasick> = LazyLock::new(|| words(&OF_ANY_PROGRAM));
    ANY.is_match(line) && !is_of_mqtt_client(line)
}

/// Whether a line says that it is of a client of MQTT.
pub(crate) fn is_of_mqtt_client(line: &[u8]) -> bool {
    static CLIENTS: LazyLock<AhoCorasick> = LazyLock::new(|| words(&OF_CLIENTS));
    CLIENTS.is_match(line)
}

fn words(words: &[&str]) -> AhoCorasick {
    let built = AhoCorasick::builder().ascii_case_insensitive(true).build(words);
    built.expect("a few words fit an automaton")
}

/// Lines of one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLines {
    /// How many.
    pub lines: u64,
    /// The number of the first, from 1.
    pub first: u64,
    /// The first, at most 200 bytes; invalid UTF-8 is replaced.
    pub example: String,
}

/// The unknown lines of one log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unknown {
    by_shape: HashMap<String, UnknownLines>,
    lines: u64,
}

impl Unknown {
    pub(crate) fn add(&mut self, number: u64, line: &[u8]) {
        self.lines += 1;
        let shape = shape(line);
        if let Some(known) = self.by_shape.get_mut(&shape) {
            known.lines += 1;
        } else if self.by_shape.len() < SHAPES_MAX {
            let example = String::from_utf8_lossy(&line[..line.len().min(TEXT_MAX)]).trim_end().to_owned();
            self.by_shape.insert(shape, UnknownLines { lines: 1, first: number, example });
        }
    }

    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// Most frequent first, then in the order of the log.
    pub(crate) fn shapes(&self) -> Vec<UnknownLines> {
        let mut shapes: Vec<UnknownLines> = self.by_shape.values().cloned().collect();
        shapes.sort_by_key(|shape| (std::cmp::Reverse(shape.lines), shape.first));
        shapes
    }
}

/// The line with `#` for every word that has a digit, and `"` for every text in quotes: what differs between lines of one kind.
fn shape(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(&line[..line.len().min(2 * TEXT_MAX)]);
    let mut shape = String::new();
    let is_part = |character: char| {
        character.is_alphanumeric() || matches!(character, '.' | ':' | '-' | '_' | '@' | '/' | '+')
    };
    let mut rest = line.trim();
    while let Some(first) = rest.chars().next() {
        let length = if matches!(first, '"' | '\'')
            && let Some(end) = rest[1..].find(first)
        {
            shape.push('"');
            end + 2
        } else if is_part(first) {
            let end = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
            let word = &rest[..end];
            if !word.contains(|character: char| character.is_ascii_digit()) {
                shape.push_str(word);
            } else if !shape.ends_with("# ") {
                shape.push('#');
            }
            end
        } else {
            if !(first.is_whitespace() && (shape.is_empty() || shape.ends_with(' '))) {
                shape.push(first);
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    shape.truncate(shape.floor_char_boundary(TEXT_MAX));
    shape
}

#[cfg(test)]
mod tests {
    use super::{Unknown, is_trouble, shape};

    #[test]
    fn lines_that_differ_in_numbers_and_names_have_one_shape() {
        let one = b"2026-11-24 23:10:06 [error] Session(abc1) lost its 'first' link to 10.0.0.7:50123";
        let other = b"2026-11-25 00:00:59 [error] Session(xyz22) lost its 'second' link to 10.0.0.99:1";
        assert_eq!(shape(one), shape(other));
        assert_ne!(shape(one), shape(b"2026-11-25 00:00:59 [error] Session(xyz22) found its 'second' link"));
        assert!(shape(&[b'x'; 10_000]).len() <= 200);
    }

    #[test]
    fn shapes_are_counted_and_bounded() {
        let mut unknown = Unknown::default();
        for number in 1..=5_000_u64 {
            let word: String =
                number.to_string().chars().map(|digit| char::from(digit as u8 - b'0' + b'a')).collect();
            unknown.add(number, format!("error {word}").as_bytes());
            unknown.add(number, b"error 1");
        }
        assert_eq!(unknown.lines(), 10_000);
        let shapes = unknown.shapes();
        assert_eq!((shapes.len(), shapes[0].lines, shapes[0].first), (1_000, 5_000, 1));
    }

    #[test]
    fn a_message_with_such_a_word_is_no_trouble() {
        assert!(!is_trouble(b"Sending PUBLISH to c1 (d0, q0, r0, m0, 'device/error', ... (2 bytes))"));
        assert!(!is_trouble(b"\tat x.y.Handler.exceptionCaught(Handler.java:93) ~[x.jar:1]"));
        assert!(is_trouble(b"an error of another kind"));
    }
}
